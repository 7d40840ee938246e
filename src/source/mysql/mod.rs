//! A MySQL or MariaDB server as source.
//!
//! Composes the room: the catalog for what there is, the snapshot and its connections for the
//! hand-over, rows for the copy, replication and the binary log's decoder for the stream. One control
//! session lives as long as the source. Nothing is written on the server: it keeps its binary log by
//! its own rule, and the snapshot lives in this process.

mod accounts;
mod agreed;
mod alteration;
pub mod binlog;
mod bypass;
mod catalog;
mod check;
mod control;
mod create_table;
mod emptied;
mod error;
pub mod fence;
mod fields;
mod foreign_key;
mod held;
mod log;
mod objects;
mod obstacles;
mod peculiar;
pub mod present;
mod quiet;
mod range;
mod relations;
pub mod replication;
mod rows;
mod site;
mod snapshot;
mod split;
mod stretch;
mod transactions;
mod unlocked;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use self::catalog::{Positioning, Settings};
use self::control::Control;
use self::held::Handle;
use self::relations::Wanted;
use self::rows::MySqlReader;
use self::site::Site;
use self::stretch::Stretch;
use super::{BatchSender, Catalog, Source};
use crate::config::NamedTables;
use crate::config::endpoint::MySqlEndpoint;
use crate::connect::mysql::quote::quote_literal;
use crate::connect::mysql::{Flavour, connect};
use crate::model::report::{Removal, Transfer};
use crate::model::selection::Selection;
use crate::model::{
    Alteration, Bracket, CarriedSchema, ChunkRange, Drift, Failure, HeldSnapshot, Mark, Position,
    Relation, SchemaFacts, SequenceValue, SourceHealth, SourceIdentity, SourceSurvey, Table,
    TableId,
};

pub use error::SourceError;
pub use held::HeldConnections;

/// What a MySQL or MariaDB source has to know beside its address.
#[derive(Clone, Debug)]
pub struct Options {
    /// The migration's name.
    pub name: String,
    /// Which tables.
    pub selection: Selection,
    /// Tables without a key that are known to see inserts only.
    pub insert_only: NamedTables,
    /// Connections that read under the snapshot at once.
    pub workers: usize,
    /// Whether tables may be locked while the snapshot is taken.
    pub may_lock: bool,
    /// How long to wait for the lock under which the snapshot is taken.
    pub lock_timeout: Duration,
    /// How long the stream may be silent.
    pub source_timeout: Duration,
    /// The snapshot that this process holds, from one attempt of a run to the next.
    pub held: HeldConnections,
}

/// A MySQL or MariaDB server as source.
#[derive(Clone)]
pub struct MySqlSource {
    shared: Arc<Shared>,
}

struct Shared {
    site: Site,
    control: Control,
    positioning: Positioning,
    habits: binlog::Habits,
    sets: binlog::CharacterSets,
    options: Options,
    /// The definition that was passed by last.
    passed: Mutex<Option<Mark>>,
}

/// So often a table that is not to be seen is looked for again.
const MOST_LOOKS: u32 = 20;

/// How long it is waited before that.
const LOOK_PAUSE: Duration = Duration::from_millis(100);

/// By what a source is known where all databases are meant.
const ALL_DATABASES: &str = "all databases";

impl Shared {
    fn database(&self) -> &str {
        self.site.endpoint().database().unwrap_or(ALL_DATABASES)
    }
}

/// What the sessions say that they are.
const PROGRAM: &str = "dunlin";

impl MySqlSource {
    /// Connects, only to look.
    ///
    /// # Errors
    ///
    /// Where there is no connection.
    pub async fn connect(endpoint: &MySqlEndpoint, options: Options) -> Result<Self, Failure> {
        let session = connect(endpoint, PROGRAM).await?;
        let endpoint = session.endpoint().clone();
        let control = Control::new(session);
        control.show_hidden_keys().await?;
        let settings = Settings::read(&control).await?;
        let positioning = Positioning::of(control.version().flavour, &settings);
        let habits = binlog::Habits {
            folds_case: settings.number("lower_case_table_names") == Some(1),
            logs_cascades: foreign_key::are_logged(control.version(), &settings),
            explicit_timestamps: settings.on("explicit_defaults_for_timestamp"),
            collates_geometry: control.version().flavour == Flavour::MariaDb,
        };
        let sets = catalog::character_sets(&control).await?;
        let site = Site::of(endpoint, settings.server());
        let passed = Mutex::default();
        let shared = Shared { site, control, positioning, habits, sets, options, passed };
        Ok(MySqlSource { shared: Arc::new(shared) })
    }

    fn wanted(&self, selection: &Selection) -> Wanted {
        let database = self.shared.site.endpoint().database().map(str::to_owned);
        Wanted { selection: selection.clone(), database }
    }

    async fn found(&self) -> Result<relations::Tables, Failure> {
        self.find(&self.wanted(&self.shared.options.selection)).await
    }

    /// These tables as they are now; none where one is not there. One that is being emptied is not to be
    /// seen for a moment.
    async fn as_of_now(&self, tables: &[&Table]) -> Result<Vec<Option<Table>>, Failure> {
        let wanted = self.wanted(&self.shared.options.selection);
        let once = relations::tables_once(&self.shared.control, &wanted).await?.tables;
        let unchanged = |table: &&Table| once.iter().find(|now| now.has_shape_of(table)).cloned();
        let seen: Vec<Option<Table>> = tables.iter().map(unchanged).collect();
        if seen.iter().all(Option::is_some) {
            return Ok(seen);
        }
        let mut looks = 0;
        loop {
            let found = self.found().await?.tables;
            let now = |table: &&Table| found.iter().find(|now| now.name == table.name).cloned();
            let seen: Vec<Option<Table>> = tables.iter().map(now).collect();
            if looks == MOST_LOOKS || seen.iter().all(Option::is_some) {
                return Ok(seen);
            }
            looks += 1;
            tokio::time::sleep(LOOK_PAUSE).await;
        }
    }

    async fn find(&self, wanted: &Wanted) -> Result<relations::Tables, Failure> {
        let Shared { control, habits, .. } = &*self.shared;
        let mut found = relations::tables(control, wanted).await?;
        if !habits.logs_cascades {
            foreign_key::mark(control, &mut found.tables).await?;
        }
        Ok(found)
    }

    async fn take_snapshot(&self) -> Result<HeldSnapshot, Failure> {
        let Shared { site, control, positioning, options, .. } = &*self.shared;
        options.held.release();
        let tables = self.found().await?.tables.into_iter().map(|table| table.name);
        let order = snapshot::Order {
            site,
            control,
            positioning: *positioning,
            connections: options.workers,
            patience: options.lock_timeout,
            tables: tables.collect(),
        };
        let (wires, Bracket { low, high }) = match options.may_lock {
            true => snapshot::take(&order).await?,
            false if *positioning == Positioning::MariaGtid => agreed::take(&order).await?,
            false => unlocked::take(&order).await?,
        };
        let handle = options.held.keep(wires);
        let handle = serde_json::to_value(handle);
        Ok(HeldSnapshot {
            high: Some(high).filter(|high| *high != low),
            position: low,
            handle: handle.map_err(|source| SourceError::Handle { source })?,
        })
    }

    /// The log from a position up to now.
    async fn stretch(&self, from: Position) -> Result<Stretch<'_>, Failure> {
        let Shared { site, options, habits, .. } = &*self.shared;
        let until = self.position().await?;
        let silence = options.source_timeout;
        Ok(Stretch { site, habits: *habits, from, until, silence })
    }

    /// The columns of a table, as far as making them again needs.
    async fn described(&self, table: &Table) -> Result<Vec<alteration::Described>, Failure> {
        let text = format!(
            "{} WHERE TABLE_SCHEMA = {} AND TABLE_NAME = {}",
            include_str!("../../../sql/mysql/source_described.sql"),
            quote_literal(&table.name.schema),
            quote_literal(&table.name.name)
        );
        let act = format!("read the columns of table {}", table.name);
        let rows = self.shared.control.rows(&text, &act).await?;
        let flavour = self.shared.control.version().flavour;
        Ok(rows.iter().map(|row| alteration::Described::read(row, flavour)).collect())
    }
}

impl Catalog for MySqlSource {
    async fn alteration(
        &self,
        tables: &[Table],
        relation: &Relation,
    ) -> Result<Alteration, Failure> {
        let table = tables.iter().find(|table| table.id == relation.table);
        let table = table.ok_or_else(|| SourceError::Gone { table: relation.name.to_string() })?;
        Ok(alteration::in_the_log(table, relation))
    }
}

impl Source for MySqlSource {
    type Reader = MySqlReader;

    async fn identify(&self) -> Result<SourceIdentity, Failure> {
        let settings = Settings::read(&self.shared.control).await?;
        let (cluster, timeline) = catalog::identity(self.shared.positioning, &settings);
        Ok(SourceIdentity {
            cluster,
            timeline,
            database: self.shared.database().to_owned(),
            version: settings.text("version").to_owned(),
        })
    }

    async fn continues(
        &self,
        _known: &SourceIdentity,
        position: &Position,
    ) -> Result<bool, Failure> {
        let goes_on = self.position().await?.reaches(position);
        // What a replica lacks may still come, as long as its own source is there.
        if !goes_on && check::replicates(&self.shared.control).await? {
            return Err(SourceError::Lags.into());
        }
        Ok(goes_on)
    }

    async fn check(
        &self,
        selection: &Selection,
        connections: usize,
    ) -> Result<SourceSurvey, Failure> {
        check::survey(self, selection, connections).await
    }

    async fn publish(&self, _tables: &[Table]) -> Result<(), Failure> {
        Ok(())
    }

    async fn tables(&self, _held: Option<&HeldSnapshot>) -> Result<Vec<Table>, Failure> {
        Ok(self.found().await?.tables)
    }

    async fn lists(&self, tables: &[Table]) -> Result<bool, Failure> {
        let found = self.found().await?.tables;
        let same = |now: &Table| {
            let mut known = tables.iter();
            known.any(|table| now.has_shape_of(table) && now.cascades == table.cascades)
        };
        Ok(found.len() == tables.len() && found.iter().all(same))
    }

    async fn publish_more(&self, tables: &[Table]) -> Result<(), Failure> {
        match self.shared.habits.logs_cascades {
            true => Ok(()),
            false => foreign_key::refuse_new(&self.shared.control, tables).await,
        }
    }

    async fn begin(&self) -> Result<HeldSnapshot, Failure> {
        self.take_snapshot().await
    }

    async fn retain(&self) -> Result<(), Failure> {
        // The server keeps its log by a rule of its own.
        std::future::ready(Ok(())).await
    }

    async fn hold_again(&self) -> Result<HeldSnapshot, Failure> {
        self.take_snapshot().await
    }

    async fn is_held(&self, held: &HeldSnapshot) -> Result<bool, Failure> {
        let handle = handle(held)?;
        for mut lent in self.shared.options.held.idle(handle) {
            let (wire, sound) = lent.begin()?;
            *sound = self.shared.site.prove(wire).await.is_ok();
        }
        Ok(self.shared.options.held.is_held(handle))
    }

    async fn emptied(
        &self,
        held: &HeldSnapshot,
        table: &Table,
    ) -> Result<Option<Position>, Failure> {
        emptied::since(self.stretch(held.position.clone()).await?, table).await
    }

    async fn dropped(&self, from: &Position, table: &Table) -> Result<Option<Position>, Failure> {
        if self.as_of_now(&[table]).await?.iter().all(Option::is_some) {
            return Ok(None);
        }
        let stretch = self.stretch(from.clone()).await?;
        // Rows of a family change each other without a word in the log.
        let before = match table.cascades {
            None => emptied::before_drop(stretch, table).await?,
            Some(_) => None,
        };
        let gone = || SourceError::Gone { table: table.name.to_string() };
        Ok(Some(before.ok_or_else(gone)?))
    }

    async fn release(&self, _held: &HeldSnapshot) -> Result<(), Failure> {
        self.shared.options.held.release();
        Ok(())
    }

    async fn measure(
        &self,
        table: &Table,
        most_bytes: u64,
        longest: Duration,
    ) -> Result<Transfer, Failure> {
        let begun = Instant::now();
        let Shared { site, control, .. } = &*self.shared;
        let mut wire = snapshot::session(site, control).await?;
        let walk = control.walk(table).await?;
        let mut reading = rows::Reading::begin(&mut wire, table, &ChunkRange::Whole, walk).await?;
        let mut bytes = 0;
        while bytes < most_bytes && begun.elapsed() < longest {
            match reading.next_buffer().await? {
                Some(buffer) => bytes += buffer.len() as u64,
                None => break,
            }
        }
        Ok(Transfer { bytes, seconds: begun.elapsed().as_secs_f64() })
    }

    fn footprint(&self) -> Vec<String> {
        let lock = match self.shared.options.may_lock {
            true => "a lock on all tables while the snapshot is taken, for milliseconds",
            false => "no lock is taken",
        };
        vec![format!("source: nothing is stored; {lock}")]
    }

    async fn split(
        &self,
        _held: Option<&HeldSnapshot>,
        table: &Table,
        chunk_bytes: u64,
    ) -> Result<Vec<ChunkRange>, Failure> {
        split::split(&self.shared.control, table, chunk_bytes).await
    }

    async fn alterations(
        &self,
        _held: &HeldSnapshot,
        tables: &[Table],
        wanted: &[TableId],
    ) -> Result<Vec<Alteration>, Failure> {
        let all = tables;
        let tables: Vec<&Table> = all.iter().filter(|table| wanted.contains(&table.id)).collect();
        if !self.shared.habits.logs_cascades {
            foreign_key::expect_unchanged(&self.shared.control, all, &tables).await?;
        }
        let mut read = Vec::new();
        for (table, now) in tables.iter().zip(self.as_of_now(&tables).await?) {
            // Where it went is told once it is to be read.
            let Some(now) = now else { continue };
            let described = self.described(table).await?;
            read.extend(alteration::since(table, &now, &described)?);
        }
        Ok(read)
    }

    async fn redefines(&self, held: &HeldSnapshot, tables: &[Table]) -> Result<bool, Failure> {
        // The catalog is always of now; what it was under the snapshot nobody knows any more.
        self.stretch(held.position.clone()).await?.redefines(tables).await
    }

    async fn reader(&self, held: &HeldSnapshot) -> Result<MySqlReader, Failure> {
        Ok(MySqlReader::new(&self.shared.options.held, handle(held)?).await?)
    }

    async fn schema(
        &self,
        _held: &HeldSnapshot,
        tables: &[Table],
    ) -> Result<CarriedSchema, Failure> {
        let found = self.found().await?;
        let selection = &self.shared.options.selection;
        let wanted = self.wanted(selection);
        let schema = objects::schema(&self.shared.control, &found, tables, &wanted).await?;
        let archive = schema.to_archive().map_err(|source| SourceError::Archive { source })?;
        Ok(CarriedSchema { archive, facts: SchemaFacts::default() })
    }

    async fn sequences(&self) -> Result<Vec<SequenceValue>, Failure> {
        let found = self.found().await?;
        objects::sequences(&self.shared.control, &found).await
    }

    async fn position(&self) -> Result<Position, Failure> {
        catalog::position(&self.shared.control, self.shared.positioning).await
    }

    async fn log_bytes(&self) -> Result<u64, Failure> {
        catalog::log_bytes(&self.shared.control).await
    }

    async fn health(&self) -> Result<SourceHealth, Failure> {
        let position = self.position().await?;
        // The server keeps its binary log by its own rule, not on our account.
        Ok(SourceHealth { position, retained_bytes: 0, safe_bytes: None })
    }

    async fn drift(
        &self,
        _tables: &[Table],
        _held: Option<&HeldSnapshot>,
    ) -> Result<Drift, Failure> {
        // Whatever becomes of a table stands in the log, and is dealt with at its place there.
        Ok(Drift::default())
    }

    /// A server that was reset gives names anew: what it then has under one that is on the target already
    /// it would leave out.
    async fn confirm(&self, from: &Position) -> Result<(), Failure> {
        let Shared { control, positioning, options, .. } = &*self.shared;
        let asked = async {
            match positioning {
                // Whoever waits for a replica has its transaction in the log, and is not done with it.
                Positioning::Gtid => catalog::named(control).await,
                Positioning::MariaGtid | Positioning::File => self.position().await,
            }
        };
        match log::within(options.source_timeout, asked).await?.reaches(from) {
            true => Ok(()),
            false => Err(SourceError::Behind { position: from.clone() }.into()),
        }
    }

    fn pass_by(&self, place: &Mark) {
        let mut passed = self.shared.passed.lock().unwrap_or_else(PoisonError::into_inner);
        *passed = Some(place.clone());
    }

    async fn stream(
        &self,
        from: Position,
        tables: &[Table],
        out: BatchSender,
        _durable: watch::Receiver<Position>,
    ) -> Result<(), Failure> {
        let Shared { site, options, habits, sets, passed, .. } = &*self.shared;
        let wanted = self.wanted(&options.selection);
        let passed = passed.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let registry = binlog::Registry::new(tables)
            .selecting(wanted, *habits)
            .passing_by(passed)
            .reading_text_as(sets.clone());
        log::read(site.clone(), from, registry, out, options.source_timeout).await
    }

    async fn remove(&self) -> Result<Removal, Failure> {
        self.shared.options.held.release();
        Ok(Removal::default())
    }
}

fn handle(held: &HeldSnapshot) -> Result<Handle, SourceError> {
    let handle = serde_json::from_value(held.handle.clone());
    handle.map_err(|source| SourceError::Handle { source })
}
