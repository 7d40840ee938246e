//! From batches to target transactions.
//!
//! In come batches in commit order; out go plans, each with the checkpoint that covers it, and the
//! durable position. While the target works, batches wait in the channel (bounded in bytes); what
//! has come by the time it is free makes up the next group. So a group is one transaction when
//! there is little to do, and grows by itself when there is much.
//!
//! Nothing is lost: a group ends with a whole transaction, its checkpoint is committed with it, and
//! the position is announced only once a crash of the target cannot undo that. Commits do not wait
//! for it: several times a second another session does, and vouches for all before it. Nothing is
//! applied twice: the log is read from the stored checkpoint. A transaction that is larger than a group goes
//! to the target in pieces, inside of one target transaction that is committed with its last piece.
//! What ends the stream (a halt, a stop, the position that was asked for) ends it between
//! transactions: the complete ones before are applied first.
//!
//! A table that has other columns from some point of the log on is altered at that point: what came
//! before is sent to the target first, whole transactions with their checkpoint, and the alteration
//! commits with the transaction that shows it. Where the table's copy is of a later moment, it has
//! the columns of that moment, and what the log says of its shape before is passed over.

mod columns;
mod figures;
mod gathered;
mod waiting;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::watch;

pub use self::figures::Figures;
use self::gathered::{Complete, Ending, Gathered, last_mark};
use self::waiting::{Woken, done, reached};
use super::group::{self, Part, PlanError, Shapes};
use super::tap;
use crate::model::{
    Coverage, Event, Failure, Mark, Plan, Position, Relation, SchemaChange, Table, TableId, Tap,
};
use crate::observe::failpoint;
use crate::source::{BatchReceiver, Catalog, Delivered};
use crate::target::{Applied, Applier, Checkpoint};

/// How long an idle stream goes without storing a checkpoint.
const IDLE_CHECKPOINT: Duration = Duration::from_secs(10);

/// A group of more transactions than this shows that there is much to do.
const BUSY_TRANSACTIONS: u64 = 16;

/// Where there is much to do, groups are begun no closer together than this: each has a cost that
/// does not depend on its size.
const PACE: Duration = Duration::from_millis(10);

/// For how many groups a table is replayed change by change after it clashed.
const GROUPS_REPLAYED: u32 = 16;

/// What a stream needs.
#[derive(Debug)]
pub struct Feed {
    /// The tables, by their numbers.
    pub tables: Vec<Table>,
    /// Where the tables' chunks were read.
    pub coverage: Coverage,
    /// The stored checkpoint, durable (see [`store_durably`]).
    pub from: Position,
    /// Apply what this position contains, then end.
    pub until: Option<Position>,
    /// Bytes of log in a group, about.
    pub group_bytes: usize,
    /// How long a commit may go without being durable.
    pub flush: Duration,
    /// The log.
    pub batches: BatchReceiver,
    /// Becomes true when the operator wants it to end.
    pub stop: watch::Receiver<bool>,
    /// Where the rows are noted that change, where somebody wants to know.
    pub tap: Option<Tap>,
}

/// What a stream tells while it runs.
#[derive(Debug, Clone)]
pub struct Report {
    /// Everything before this is durable on the target and stored as the checkpoint.
    pub durable: watch::Sender<Position>,
    /// The latest figures.
    pub figures: watch::Sender<Figures>,
}

/// Why a stream ended without an error.
#[derive(Debug, PartialEq)]
pub enum End {
    /// The operator wanted it.
    Stopped,
    /// The position that was asked for is reached.
    Reached,
    /// No more batches will come; the source knows why.
    SourceEnded,
    /// Tables have to be copied again before the stream can go on.
    Recopy(Vec<TableId>),
    /// The log goes on with rows of a table of which it is not known yet whether it tells all.
    Unsettled(TableId),
    /// The log goes on behind a change of definitions, everything before which is applied.
    Schema(Arc<SchemaChange>),
}

/// Applies what comes until something ends it. `catalog` is asked what changed columns mean.
///
/// # Errors
///
/// Whatever the target reports, and logs that cannot be carried. The checkpoint stays where the
/// last whole group left it.
pub async fn run<C: Catalog, A: Applier>(
    feed: Feed,
    report: Report,
    catalog: C,
    applier: A,
) -> Result<End, Failure> {
    if feed.until.as_ref().is_some_and(|until| feed.from.reaches(until)) {
        return Ok(End::Reached);
    }
    let group_bytes = feed.group_bytes.min(feed.batches.most_gathered());
    let mut pipeline = Pipeline {
        gathered: Gathered::default(),
        rest: None,
        shapes: Arc::default(),
        unseen: BTreeMap::new(),
        applied: feed.from.clone(),
        stored: feed.from.clone(),
        stored_at: Instant::now(),
        durable: feed.from.clone(),
        hardened_at: Instant::now(),
        hardening: None,
        open: None,
        mark: None,
        altered: false,
        clashed: BTreeMap::new(),
        paced_until: None,
        committed_at_us: None,
        feed: Feed { group_bytes, ..feed },
        report,
        catalog,
        applier,
    };
    // After an error the session is given up with all that it left open.
    let end = pipeline.work().await?;
    if pipeline.open.is_some() {
        pipeline.applier.abandon().await?;
        pipeline.open = None;
    }
    if let End::Stopped | End::Reached | End::Schema(_) = &end {
        pipeline.store_idle_position(Duration::ZERO).await?;
    }
    pipeline.flush().await?;
    Ok(end)
}

/// Stores a checkpoint without any rows, and with it makes everything durable that was committed
/// before, by whomever. Before a stream begins this is called for the position from which on the
/// log will be read, since that is acknowledged at once.
///
/// # Errors
///
/// Whatever the target reports.
pub async fn store_durably<A: Applier>(
    applier: &mut A,
    position: Position,
) -> Result<Checkpoint, Failure> {
    let checkpoint =
        Checkpoint { position, committed_at_us: None, transactions: 0, changes: 0, durable: true };
    applier.apply(&Plan::default(), Some(&checkpoint)).await?;
    Ok(checkpoint)
}

struct Pipeline<C, A> {
    feed: Feed,
    report: Report,
    catalog: C,
    applier: A,
    gathered: Gathered,
    /// A batch that is to be gathered from this event on.
    rest: Option<(Delivered, usize)>,
    shapes: Arc<Shapes>,
    /// Relations of tables of which no change was to be applied since: the target need not fit.
    unseen: BTreeMap<TableId, Arc<Relation>>,
    /// Everything before this is on the target.
    applied: Position,
    /// The checkpoint as stored.
    stored: Position,
    stored_at: Instant,
    /// The checkpoint that a crash of the target cannot undo.
    durable: Position,
    /// When something was made durable last, or begun to be.
    hardened_at: Instant,
    /// What another session makes durable at the moment: everything before this position.
    hardening: Option<(Position, BoxFuture<'static, Result<(), Failure>>)>,
    /// The transaction of which the target holds the first pieces, uncommitted.
    open: Option<Mark>,
    /// The transaction that is being gathered. Several may end as one.
    mark: Option<Mark>,
    /// The open transaction altered tables: it is not to be undone by a crash once it is committed.
    altered: bool,
    /// Tables that clashed lately, each with the number of groups for which it is still replayed:
    /// what clashed once is likely to clash again, and finding out costs a group's work.
    clashed: BTreeMap<TableId, u32>,
    /// Where there is much to do: when the next group may begin.
    paced_until: Option<Instant>,
    /// When the transaction that is being gathered committed on the source.
    committed_at_us: Option<i64>,
}

impl<C: Catalog, A: Applier> Pipeline<C, A> {
    async fn work(&mut self) -> Result<End, Failure> {
        loop {
            self.gather().await?;
            self.harden()?;
            if let Some(end) = self.apply().await? {
                return Ok(end);
            }
            match self.gathered.ending.take() {
                None => {}
                Some(Ending::Reached) => return Ok(End::Reached),
                Some(Ending::SourceEnded) => return Ok(End::SourceEnded),
                Some(Ending::Unsettled(table)) => return Ok(End::Unsettled(table)),
                Some(Ending::Schema(change)) => return Ok(End::Schema(change)),
                Some(Ending::Altered(relation)) => {
                    if let Some(end) = self.alter(&relation).await? {
                        return Ok(end);
                    }
                }
                Some(Ending::Failed(failure)) => return Err(failure),
            }
            if *self.feed.stop.borrow() {
                return Ok(End::Stopped);
            }
        }
    }

    /// Waits for something to do, then takes what has come, up to a group.
    async fn gather(&mut self) -> Result<(), Failure> {
        if let Some((delivered, from)) = self.rest.take() {
            self.take_from(delivered, from).await?;
        }
        while self.may_gather() && (self.gathered.complete.is_none() || self.paced_until.is_some())
        {
            match self.wait().await {
                Woken::Stop => return Ok(()),
                Woken::Pace => self.paced_until = None,
                Woken::Undurable => self.harden()?,
                Woken::Hardened(hardened) => self.hardened(hardened)?,
                Woken::Log(delivered) => self.take(delivered).await?,
            }
        }
        while self.may_gather() {
            match self.feed.batches.try_receive() {
                Some(delivered) => self.take(Some(delivered)).await?,
                None => break,
            }
        }
        Ok(())
    }

    async fn wait(&mut self) -> Woken {
        let undurable = self.hardening.is_none() && self.stored != self.durable;
        let undurable = undurable.then(|| self.hardened_at + self.feed.flush);
        tokio::select! {
            biased;
            _ = self.feed.stop.wait_for(|stop| *stop) => Woken::Stop,
            () = reached(self.paced_until) => Woken::Pace,
            () = reached(undurable) => Woken::Undurable,
            hardened = done(&mut self.hardening) => Woken::Hardened(hardened),
            delivered = self.feed.batches.receive() => Woken::Log(delivered),
        }
    }

    fn may_gather(&self) -> bool {
        self.gathered.ending.is_none() && self.gathered.bytes < self.feed.group_bytes
    }

    async fn take(&mut self, delivered: Option<Delivered>) -> Result<(), Failure> {
        let Some(delivered) = delivered else {
            self.gathered.ending = Some(Ending::SourceEnded);
            return Ok(());
        };
        self.take_from(delivered, 0).await
    }

    /// Takes a batch from one of its events on.
    async fn take_from(&mut self, delivered: Delivered, mut from: usize) -> Result<(), Failure> {
        self.gathered.bytes += delivered.bytes;
        let batch = Arc::clone(&delivered.batch);
        for (index, event) in batch.events.iter().enumerate().skip(from) {
            while let Some((relation, next)) = self.shows(event, index) {
                self.push(&delivered, from..index);
                from = index;
                if let Some(ending) = self.describe(&relation).await {
                    self.gathered.ending = Some(ending);
                    self.rest = Some((delivered, next));
                    return Ok(());
                }
                if next > index {
                    break;
                }
            }
            match event {
                Event::Begin { mark, committed_at_us } => {
                    let until = self.feed.until.as_ref().filter(|_| self.mark.is_none());
                    if until.is_some_and(|until| until.ends_before(mark)) {
                        self.push(&delivered, from..index);
                        self.gathered.ending = Some(Ending::Reached);
                        return Ok(());
                    }
                    self.committed_at_us = Some(*committed_at_us);
                    self.mark = Some(mark.clone());
                }
                Event::Change(_) | Event::Truncate(_) => self.gathered.changes += 1,
                Event::Unsettled { table } => {
                    self.push(&delivered, from..index);
                    self.gathered.ending = Some(Ending::Unsettled(*table));
                    return Ok(());
                }
                Event::Relation(relation) if self.is_contained(relation.table) => {
                    self.push(&delivered, from..index);
                    from = index;
                    self.unseen.insert(relation.table, Arc::clone(relation));
                    self.keep_shape(relation);
                }
                Event::Relation(_) => {}
                Event::Schema(change) => {
                    self.push(&delivered, from..index);
                    let wanted = self.feed.until.as_ref();
                    let beyond = wanted.is_some_and(|until| until.ends_before(&change.mark));
                    let ending = Ending::Schema(Arc::clone(change));
                    self.gathered.ending = Some(if beyond { Ending::Reached } else { ending });
                    return Ok(());
                }
                Event::Commit { end } => {
                    self.push(&delivered, from..index + 1);
                    from = index + 1;
                    self.gathered.transactions += 1;
                    self.complete(end.clone());
                    if self.is_reached_by(end) {
                        return Ok(());
                    }
                }
                Event::Idle { position } => {
                    self.push(&delivered, from..index + 1);
                    from = index + 1;
                    self.complete(position.clone());
                    if self.is_reached_by(position) {
                        return Ok(());
                    }
                }
            }
        }
        self.push(&delivered, from..batch.events.len());
        Ok(())
    }

    /// Notes that the stream ends at `position`, if that is as far as it was to go.
    fn is_reached_by(&mut self, position: &Position) -> bool {
        let reached = self.feed.until.as_ref().is_some_and(|until| position.reaches(until));
        if reached {
            self.gathered.ending = Some(Ending::Reached);
        }
        reached
    }

    fn push(&mut self, delivered: &Delivered, events: Range<usize>) {
        self.gathered.push(delivered, events, &self.shapes);
    }

    /// Notes that everything gathered so far is whole, up to `position`.
    fn complete(&mut self, position: Position) {
        self.mark = None;
        let last_event = self.gathered.parts.last().map_or(0, |(part, _)| part.events.end);
        let position = position.further(self.applied.clone());
        self.gathered.complete = Some(Complete {
            parts: self.gathered.parts.len(),
            last_event,
            checkpoint: Checkpoint {
                position,
                committed_at_us: self.committed_at_us,
                transactions: self.gathered.transactions,
                changes: self.gathered.changes,
                durable: self.altered,
            },
        });
    }

    /// Applies what is whole; or, where nothing is and the group is full, a piece of the open
    /// transaction.
    async fn apply(&mut self) -> Result<Option<End>, Failure> {
        if let Some(complete) = self.gathered.complete.take() {
            let parts = self.gathered.cut(&complete);
            self.gathered.transactions -= complete.checkpoint.transactions;
            self.gathered.changes -= complete.checkpoint.changes;
            if complete.checkpoint.transactions == 0 && self.open.is_none() {
                self.applied = complete.checkpoint.position;
                self.announce(0, 0);
                self.store_idle_position(IDLE_CHECKPOINT).await?;
                return Ok(None);
            }
            let busy = complete.checkpoint.transactions > BUSY_TRANSACTIONS;
            self.paced_until = busy.then(|| Instant::now() + PACE);
            let end = self.carry_out(parts, Some(&complete.checkpoint)).await?;
            if end.is_none() {
                failpoint::reached("group-committed");
                self.committed(&complete.checkpoint);
            }
            return Ok(end);
        }
        if self.gathered.bytes >= self.feed.group_bytes && self.gathered.ending.is_none() {
            let parts = self.gathered.cut_all();
            return self.carry_out(parts, None).await;
        }
        Ok(None)
    }

    async fn carry_out(
        &mut self,
        parts: Vec<(Part, Delivered)>,
        checkpoint: Option<&Checkpoint>,
    ) -> Result<Option<End>, Failure> {
        let (parts, _permits): (Vec<Part>, Vec<Delivered>) = parts.into_iter().unzip();
        let mut replayed: BTreeSet<TableId> = self.clashed.keys().copied().collect();
        let bound = group::bound(&parts, &self.feed.tables);
        if let Some(tap) = &self.feed.tap {
            tap::note(tap, &parts, &bound);
        }
        replayed.extend(bound);
        loop {
            let open = self.open.clone();
            let clashed = match group::plan(&parts, open, &self.feed.coverage, &replayed) {
                Ok(plan) => match self.applier.apply(&plan, checkpoint).await? {
                    Applied::Done => break,
                    Applied::Clash { table, failure } if replayed.contains(&table) => {
                        let (open, coverage) = (self.open.as_ref(), &self.feed.coverage);
                        if group::repeats(&parts, open, coverage, table) {
                            return Ok(Some(End::Recopy(vec![table])));
                        }
                        if !group::widen(&mut replayed, &self.feed.tables) {
                            return Err(failure);
                        }
                        table
                    }
                    Applied::Clash { table, .. } => table,
                },
                Err(PlanError::Clash { table }) if !replayed.contains(&table) => table,
                Err(PlanError::Recopy { id, .. }) => return Ok(Some(End::Recopy(vec![id]))),
                Err(error) => return Err(error.into()),
            };
            replayed.insert(clashed);
            self.clashed.insert(clashed, GROUPS_REPLAYED);
            self.report.figures.send_modify(|figures| figures.replays += 1);
        }
        self.clashed.retain(|_, groups| {
            *groups -= 1;
            *groups > 0
        });
        self.open = match checkpoint {
            Some(_) => None,
            None => last_mark(&parts).or(self.open.take()),
        };
        Ok(None)
    }

    fn committed(&mut self, checkpoint: &Checkpoint) {
        self.applied = checkpoint.position.clone();
        self.stored = checkpoint.position.clone();
        self.stored_at = Instant::now();
        self.announce(checkpoint.transactions, checkpoint.changes);
        if checkpoint.durable {
            self.altered = false;
            self.hardened_at = Instant::now();
            self.is_durable(&checkpoint.position);
        }
    }

    /// Notes that everything before `position` is durable.
    fn is_durable(&mut self, position: &Position) {
        self.durable = self.durable.clone().further(position.clone());
        self.report.durable.send_replace(self.durable.clone());
    }

    /// Learns whether what was to become durable is, without waiting for it, and has another session
    /// see to what was committed since, where that is due.
    fn harden(&mut self) -> Result<(), Failure> {
        if let Some(hardened) = done(&mut self.hardening).now_or_never() {
            self.hardened(hardened)?;
        }
        let due = self.hardened_at.elapsed() >= self.feed.flush;
        if due && self.hardening.is_none() && self.stored != self.durable {
            self.hardened_at = Instant::now();
            self.hardening = Some((self.stored.clone(), self.applier.harden().boxed()));
            // Polled once, so that it begins.
            if let Some(hardened) = done(&mut self.hardening).now_or_never() {
                self.hardened(hardened)?;
            }
        }
        Ok(())
    }

    fn hardened(&mut self, hardened: Result<(), Failure>) -> Result<(), Failure> {
        let position = self.hardening.take().map(|(position, _)| position);
        hardened?;
        if let Some(position) = position {
            self.is_durable(&position);
        }
        Ok(())
    }

    /// Makes everything durable that is committed.
    async fn flush(&mut self) -> Result<(), Failure> {
        let undurable = self.stored != self.durable && self.open.is_none();
        if undurable { self.store(self.applied.clone()).await } else { Ok(()) }
    }

    /// Stores a checkpoint without any rows, durably.
    async fn store(&mut self, position: Position) -> Result<(), Failure> {
        let checkpoint = store_durably(&mut self.applier, position).await?;
        self.committed(&checkpoint);
        Ok(())
    }

    fn announce(&self, transactions: u64, changes: u64) {
        let queue_bytes = self.feed.batches.bytes_in_flight() as u64;
        self.report.figures.send_modify(|figures| {
            figures.bytes += figures.applied.bytes_until(&self.applied).unwrap_or_default();
            figures.applied = self.applied.clone();
            figures.committed_at_us = self.committed_at_us;
            figures.transactions += transactions;
            figures.changes += changes;
            figures.queue_bytes = queue_bytes;
        });
    }

    /// Stores how far an idle log was read, unless a checkpoint was stored less than `age` ago.
    async fn store_idle_position(&mut self, age: Duration) -> Result<(), Failure> {
        if self.applied == self.stored || self.stored_at.elapsed() < age || self.open.is_some() {
            return Ok(());
        }
        self.store(self.applied.clone()).await
    }
}
