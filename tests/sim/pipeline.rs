//! The pipeline between a log and a target in memory: whatever interrupts it, and wherever, going
//! on from the checkpoint ends with the source's state, and nothing is announced as durable that
//! is not committed. Tables get and lose columns meanwhile; where nobody knows what older rows hold
//! in a new one, the table is copied again as of some later moment.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dunlin::model::{
    Bracket, Chunk, ChunkRange, Code, Coverage, Failure, LedgerEntry, Lsn, Position, TableId,
};
use dunlin::source::{BatchSender, channel};
use dunlin::stream::pipeline::{self, End, Feed, Figures, Report};
use tokio::sync::watch;

use crate::applier::{Content, Loss, MemoryApplier, MemoryCatalog, Server, TargetFault, names};
use crate::log::{self, Idling};
use crate::script;
use crate::source::{Dice, Row, Source, Transaction, commit_of, position_after};

/// Bytes in flight: a few batches of a few rows.
const QUEUE_BYTES: usize = 64;

/// What happens to one connection.
struct Trouble {
    loss: Loss,
    describes: u64,
    until: Option<Position>,
    /// The operator's stop comes after this many batches.
    stop_after: Option<usize>,
    idling: Idling,
    group_bytes: usize,
    flush: Duration,
    /// The catalog does not know what older rows hold in new columns.
    doubtful: bool,
}

impl Trouble {
    fn none() -> Self {
        Trouble {
            loss: Loss::Never,
            describes: u64::MAX,
            until: None,
            stop_after: None,
            idling: Idling::Sometimes,
            group_bytes: QUEUE_BYTES / 2,
            flush: Duration::ZERO,
            doubtful: false,
        }
    }
}

/// A source's log and the target that follows it.
struct World {
    source: Source,
    server: Arc<Mutex<Server>>,
    /// Tables that were copied again: how many transactions are contained, and the position.
    copied: HashMap<TableId, (usize, Position)>,
    dice: Dice,
}

impl World {
    fn new(seed: u64, alters: bool) -> Self {
        let mut source = Source::new(alters);
        source.write(&mut Dice::new(script(seed, 700)));
        let mut server = Server {
            content: Content {
                state: source.history[0].clone(),
                tables: source.definitions[0].clone(),
            },
            checkpoint: Position::Postgres(Lsn(1)),
            epoch: 0,
            transactions: 0,
            changes: 0,
            clashes: 0,
            pieces: 0,
            alterations: 0,
            durable: None,
            crashes: 0,
        };
        server.durable = Some(Box::new(server.clone()));
        let dice = Dice::new(script(seed + 1_000_000, 4000));
        World { source, server: Arc::new(Mutex::new(server)), copied: HashMap::new(), dice }
    }

    fn checkpoint(&self) -> Lsn {
        let Position::Postgres(lsn) = self.server.lock().unwrap().checkpoint else { panic!() };
        lsn
    }

    fn applier(&self, loss: Loss, describes: u64) -> MemoryApplier {
        let mut server = self.server.lock().unwrap();
        server.epoch += 1;
        MemoryApplier {
            server: Arc::clone(&self.server),
            specs: Arc::new(self.source.specs.clone()),
            epoch: server.epoch,
            loss,
            describes,
            secondary: true,
            acts: 0,
            open: None,
            altered: false,
        }
    }

    /// What the log holds from the checkpoint on.
    fn rest(&self) -> &[Transaction] {
        let from = self.checkpoint().0;
        let done = self.source.log.partition_point(|transaction| transaction.commit < from);
        &self.source.log[done..]
    }

    fn catalog(&self, doubtful: bool) -> MemoryCatalog {
        let specs = Arc::new(self.source.specs.clone());
        MemoryCatalog { specs, befores: self.source.befores.clone(), doubtful }
    }

    /// Where the tables were copied.
    fn coverage(&self) -> Coverage {
        let entry = |&table: &TableId| {
            let copied = self.copied.get(&table).map(|(_, position)| position.clone());
            let chunk = Chunk { table, number: 0, range: ChunkRange::Whole, bytes: 0 };
            let at = copied.unwrap_or(Position::Postgres(Lsn(1)));
            LedgerEntry { chunk, read: Some(Bracket::exact(at)), rows: 0 }
        };
        let entries: Vec<_> = self.source.history[0].keys().map(entry).collect();
        Coverage::new(&self.source.definitions[0], &entries).unwrap()
    }

    /// Copies a table as it was at some moment from the checkpoint on.
    fn copy_again(&mut self, table: TableId) {
        let (all, done) = (self.source.log.len(), self.source.log.len() - self.rest().len());
        let moment = done + self.dice.below(all + 1 - done);
        let position = position_after(moment, &mut self.dice);
        let mut server = self.server.lock().unwrap();
        let rows = self.source.history[moment][&table].clone();
        server.content.state.insert(table, rows);
        server.content.tables[table.0 as usize] =
            self.source.definitions[moment][table.0 as usize].clone();
        server.durable = None;
        server.durable = Some(Box::new(server.clone()));
        drop(server);
        self.copied.insert(table, (moment, position));
    }

    /// One connection, from the checkpoint until something ends it.
    async fn connect(&mut self, trouble: Trouble) -> Result<End, Failure> {
        let rest = self.rest().to_vec();
        let batches = log::batches(&rest, &mut self.dice, trouble.idling);
        let mut applier = self.applier(trouble.loss, trouble.describes);
        let from = Position::Postgres(self.checkpoint());
        pipeline::store_durably(&mut applier, from.clone()).await?;
        let (sender, receiver) = channel::bounded(QUEUE_BYTES);
        let (durable, durable_seen) = watch::channel(from.clone());
        let (figures, _figures_seen) = watch::channel(Figures::starting_at(from.clone()));
        let (stop, stop_seen) = watch::channel(false);
        let feed = Feed {
            tables: self.server.lock().unwrap().content.tables.clone(),
            coverage: self.coverage(),
            from,
            until: trouble.until,
            group_bytes: trouble.group_bytes,
            flush: trouble.flush,
            batches: receiver,
            stop: stop_seen,
            tap: None,
        };
        let reader = Reader {
            sender,
            durable: durable_seen.clone(),
            server: Arc::clone(&self.server),
            stop: trouble.stop_after.map(|after| (after, stop.clone())),
        };
        let reading = reader.read(batches);
        let catalog = self.catalog(trouble.doubtful);
        let applying = pipeline::run(feed, Report { durable, figures }, catalog, applier);
        let (end, ()) = tokio::join!(applying, reading);
        assert_durable(&durable_seen, &self.server);
        self.assert_state();
        drop(stop);
        if let Ok(End::Recopy(tables)) = &end {
            tables.iter().for_each(|table| self.copy_again(*table));
            self.assert_state();
        }
        end
    }

    /// The target holds just what its checkpoint contains, and of tables that were copied later
    /// what they were copied with; columns that came or went since the last row apart.
    fn assert_state(&self) {
        let done = self.source.log.len() - self.rest().len();
        let server = self.server.lock().unwrap();
        for (table, spec) in server.content.tables.iter().zip(&self.source.specs) {
            let copied = self.copied.get(&table.id).map_or(0, |(moment, _)| *moment);
            let at = done.max(copied);
            let there = &self.source.definitions[at][table.id.0 as usize];
            let (here, there) = (names(&table.columns), names(&there.columns));
            let places: Vec<usize> = here.intersection(&there).map(|n| spec.place(n)).collect();
            let seen = |rows: &[Row]| {
                let row = |row: &Row| places.iter().map(|&place| row[place].clone()).collect();
                let mut rows: Vec<Row> = rows.iter().map(row).collect();
                rows.sort();
                rows
            };
            let rows = [&server.content.state, &self.source.history[at]].map(|of| &of[&table.id]);
            assert_eq!(seen(rows[0]), seen(rows[1]), "table {}", table.name);
        }
        assert_eq!(server.transactions, done as u64);
        let changes = self.source.log[..done].iter().map(|transaction| transaction.changes.len());
        assert_eq!(server.changes, changes.sum::<usize>() as u64);
    }

    fn is_done(&self) -> bool {
        self.rest().is_empty()
    }

    fn random_trouble(&mut self) -> Trouble {
        let mut trouble = Trouble::none();
        trouble.group_bytes = [1, QUEUE_BYTES / 4, QUEUE_BYTES / 2][self.dice.below(3)];
        // Every commit durable, some, or hardly any before the end.
        trouble.flush = Duration::from_micros([0, 200, 1_000_000][self.dice.below(3)]);
        let number = self.dice.below(40) as u64;
        trouble.doubtful = self.dice.below(6) == 0;
        match self.dice.below(8) {
            0 => trouble.loss = Loss::Before(1 + number),
            1 => trouble.loss = Loss::After(1 + number),
            6 => trouble.loss = Loss::Crash(1 + number),
            7 => trouble.loss = Loss::TakenOver(1 + number),
            2 => trouble.describes = number / 4,
            3 => trouble.stop_after = Some(number as usize),
            4 => {
                let at = commit_of(number as usize) + self.dice.below(40) as u64;
                trouble.until = Some(Position::Postgres(Lsn(at)));
            }
            _ => trouble.idling = Idling::Never,
        }
        trouble
    }
}

fn assert_durable(durable: &watch::Receiver<Position>, server: &Mutex<Server>) {
    let announced = durable.borrow().clone();
    let server = server.lock().unwrap();
    let kept =
        server.durable.as_ref().map_or(Position::Postgres(Lsn(1)), |kept| kept.checkpoint.clone());
    assert!(kept.reaches(&announced), "{announced} was announced, {kept} is durable");
}

/// Sends batches as a log reader would.
struct Reader {
    sender: BatchSender,
    durable: watch::Receiver<Position>,
    server: Arc<Mutex<Server>>,
    stop: Option<(usize, watch::Sender<bool>)>,
}

impl Reader {
    async fn read(self, batches: Vec<dunlin::model::Batch>) {
        for (number, batch) in batches.into_iter().enumerate() {
            assert_durable(&self.durable, &self.server);
            if let Some((after, stop)) = &self.stop
                && *after == number
            {
                stop.send_replace(true);
            }
            let size = batch.data.len() + batch.events.len();
            let Ok(permit) = self.sender.reserve(size).await else { return };
            if self.sender.send(batch, permit).is_err() {
                return;
            }
        }
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

#[test]
fn whatever_interrupts_the_stream_it_ends_equal() {
    let mut ends: BTreeMap<String, usize> = BTreeMap::new();
    let (mut clashes, mut pieces, mut alterations) = (0, 0, 0);
    for seed in 0..300 {
        eprintln!("seed {seed}");
        let mut world = World::new(seed, true);
        for _ in 0..8 {
            let trouble = world.random_trouble();
            let end = block_on(world.connect(trouble));
            let name = match end {
                Ok(End::Recopy(_)) => "Recopy".to_owned(),
                Ok(end) => format!("{end:?}"),
                Err(failure) => failure.to_string(),
            };
            *ends.entry(name).or_default() += 1;
        }
        while block_on(world.connect(Trouble::none())).unwrap() != End::SourceEnded {}
        assert!(world.is_done());
        let server = world.server.lock().unwrap();
        clashes += server.clashes;
        pieces += server.pieces;
        alterations += server.alterations;
    }
    let failures = [TargetFault::Lost, TargetFault::Misfit, TargetFault::Fenced];
    let expected = ["Stopped", "Reached", "SourceEnded", "Recopy"].map(str::to_owned);
    for end in expected.into_iter().chain(failures.map(|fault| fault.to_string())) {
        assert!(ends.get(&end).is_some_and(|times| *times > 20), "{ends:?}");
    }
    let seen = format!("{clashes} clashes, {pieces} pieces, {alterations} alterations");
    assert!(clashes > 20 && pieces > 100 && alterations > 300, "{seen}");
}

/// A process that was taken over commits nothing more.
#[test]
fn a_zombie_is_fenced() {
    let mut world = World::new(7, false);
    let mut zombie = world.applier(Loss::Never, u64::MAX);
    zombie.epoch -= 1;
    let from = Position::Postgres(world.checkpoint());
    let (sender, receiver) = channel::bounded(1 << 20);
    let (durable, durable_seen) = watch::channel(from.clone());
    let (figures, _seen) = watch::channel(Figures::starting_at(from.clone()));
    let (_stop, stop_seen) = watch::channel(false);
    let feed = Feed {
        tables: world.source.definitions[0].clone(),
        coverage: Coverage::default(),
        from: from.clone(),
        until: None,
        group_bytes: 1 << 10,
        flush: Duration::ZERO,
        batches: receiver,
        stop: stop_seen,
        tap: None,
    };
    let batches = log::batches(world.rest(), &mut Dice::new(Vec::new()), Idling::Never);
    let (server, durable_of_reader) = (Arc::clone(&world.server), durable_seen.clone());
    let reader = Reader { sender, durable: durable_of_reader, server, stop: None };
    let end = block_on(async {
        let catalog = world.catalog(false);
        let applying = pipeline::run(feed, Report { durable, figures }, catalog, zombie);
        tokio::join!(applying, reader.read(batches)).0
    });
    assert_eq!(end.unwrap_err().code(), Some(Code::Fenced));
    assert_eq!(*durable_seen.borrow(), from);
    world.assert_state();
    assert_eq!(block_on(world.connect(Trouble::none())).unwrap(), End::SourceEnded);
}

/// Complete transactions before a shape that the target refuses are applied first.
#[test]
fn a_misfit_in_mid_transaction_costs_nothing_before_it() {
    for seed in 0..30 {
        let mut world = World::new(seed, false);
        let tables_of = |transaction: &Transaction| {
            transaction.changes.iter().flat_map(|change| change.relations.clone()).collect()
        };
        let relations: Vec<Vec<_>> = world.source.log.iter().map(tables_of).collect();
        let mut known = BTreeMap::new();
        let mut seen = 0;
        let refused = relations.iter().position(|relations| {
            for relation in relations {
                if known.insert(relation.table, relation.clone()).as_ref() != Some(relation) {
                    seen += 1;
                }
            }
            seen > 4
        });
        let refused = refused.expect("every log tells of more than four shapes");
        let trouble = Trouble { describes: 4, ..Trouble::none() };
        let failure = block_on(world.connect(trouble)).unwrap_err();
        assert_eq!(failure.code(), Some(Code::SchemaChanged), "seed {seed}");
        let done = world.source.log.len() - world.rest().len();
        assert_eq!(done, refused, "seed {seed}");
    }
}
