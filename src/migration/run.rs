//! `run`: from whatever the stored state says to the stream, and on.
//!
//! Each phase does its work, records the next one in the target, and only then goes on; every step
//! within a phase can be repeated. Killed at any instant, the next run reads the state and begins
//! with the first thing that is not recorded as done.

use std::collections::HashSet;
use std::future::Future;

use tokio::sync::watch;

use super::MigrationError;
use super::cutover::Reins;
pub use super::end::{Ended, Until};
use super::follow::{self, Followed};
use super::recopy::Recopies;
use crate::config::NamedTables;
use crate::model::selection::Selection;
use crate::model::{
    Coverage, CutoverProgress, CutoverStage, Failure, HeldSnapshot, Phase, Position, SchemaPolicy,
    SourceIdentity, Table, TableId, with_families,
};
use crate::observe::failpoint;
use crate::observe::progress::{Progress, TableEstimate};
use crate::snapshot::worker::{Copied, Work};
use crate::snapshot::{build, planner, worker};
use crate::source::Source;
use crate::stream::group::PlanError;
use crate::target::{BuildStage, Migration, Target};

/// What a run is to do, apart from where.
#[derive(Clone, Debug)]
pub struct Options {
    /// Which tables.
    pub selection: Selection,
    /// Tables on the target that may be emptied first.
    pub truncate: NamedTables,
    /// Size of a chunk.
    pub chunk_bytes: u64,
    /// Copies at once.
    pub workers: usize,
    /// Builds at once.
    pub build_workers: usize,
    /// Connections at once on either server, at most.
    pub connections: usize,
    /// Limits and thresholds of the stream.
    pub stream: follow::Limits,
    /// What becomes of changes of definitions.
    pub schema: SchemaPolicy,
    /// Where to end.
    pub until: Option<Until>,
}

/// What follows from the end of a stream.
enum Next {
    /// The phases have to be gone through again.
    Again,
    /// A cutover wants the stream for itself.
    StandBy,
    /// The run ends.
    End(Ended),
}

/// The handles that every part of a run shares.
#[derive(Clone, Debug)]
pub struct Handles {
    /// Becomes true when the operator wants an end.
    pub stop: watch::Receiver<bool>,
    /// Grows whenever something was committed.
    pub moved: watch::Sender<u64>,
    /// Where progress is shown.
    pub progress: Progress,
    /// A cutover's, where it works for one.
    pub reins: Option<Reins>,
}

/// What a pair of engines carries beside tables and sequences.
pub(super) trait Besides<S, T>: Send + Sync {
    /// Copies it under the snapshot. May be called again.
    fn carry(
        &self,
        source: &S,
        target: &T,
        held: &HeldSnapshot,
    ) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// One attempt, from the stored state on.
pub(super) struct Run<S, T, B> {
    pub(super) source: S,
    pub(super) target: T,
    pub(super) besides: B,
    pub(super) options: Options,
    pub(super) handles: Handles,
}

impl<S: Source, T: Target, B: Besides<S, T>> Run<S, T, B> {
    /// Works until something ends it, and stands by while a cutover has the stream for itself.
    pub(super) async fn go(&self) -> Result<Ended, Failure> {
        let mut asked = false;
        loop {
            if let Some(ended) = self.stand_by(asked).await? {
                return Ok(ended);
            }
            if let Some(ended) = self.migrate().await? {
                return Ok(ended);
            }
            asked = true;
            self.target.unclaim().await?;
        }
    }

    /// Goes through the phases until something ends it. None where a cutover wants the stream.
    async fn migrate(&self) -> Result<Option<Ended>, Failure> {
        let mut migration = self.open().await?;
        self.adopt(&mut migration).await?;
        let mut recopies = Recopies::default();
        loop {
            let stopped = *self.handles.stop.borrow();
            if stopped {
                return Ok(Some(Ended::Stopped));
            }
            tracing::info!(phase = %migration.phase, "phase");
            let checkpoint = migration.checkpoint.clone();
            match migration.phase {
                Phase::Prepare => self.prepare(&mut migration).await?,
                Phase::Snapshot => {
                    let copied = tokio::select! {
                        copied = self.snapshot(&mut migration) => copied?,
                        failure = follow::guard(self, checkpoint) => return Err(failure),
                    };
                    if copied == Copied::Stopped {
                        return Ok(Some(Ended::Stopped));
                    }
                }
                Phase::Build => tokio::select! {
                    built = self.build(&mut migration) => built?,
                    failure = follow::guard(self, checkpoint) => return Err(failure),
                },
                Phase::CatchUp | Phase::Stream => {
                    if self.options.until == Some(Until::Snapshot) && self.is_built().await? {
                        return Ok(Some(Ended::Reached));
                    }
                    match self.stream(&mut migration, &mut recopies).await? {
                        Next::Again => {}
                        Next::StandBy => return Ok(None),
                        Next::End(ended) => return Ok(Some(ended)),
                    }
                }
                Phase::CutOver => return Ok(Some(Ended::CutOver)),
            }
            self.handles.moved.send_modify(|moved| *moved += 1);
        }
    }

    /// The stored migration, or a new one.
    async fn open(&self) -> Result<Migration, Failure> {
        self.target.claim().await?;
        if self.target.load().await?.is_none() {
            self.create().await?;
        }
        let identity = self.source.identify().await?;
        self.target.take_over().await?;
        let mut migration = self.target.load().await?.ok_or(MigrationError::Vanished)?;
        self.recognise(&mut migration, identity).await?;
        if self.handles.reins.is_some() {
            let stage = CutoverStage::Fencing;
            let progress = CutoverProgress { stage, left: None, way_back: None };
            self.target.record_cutover(Some(progress)).await?;
        }
        if migration.selection != *self.options.selection.patterns() {
            return Err(MigrationError::SettingsChanged.into());
        }
        failpoint::reached("taken-over");
        Ok(migration)
    }

    /// The source must be the one that the migration began with. Where it went over to another
    /// timeline behind all that was read from it, it still is, and that timeline is recorded.
    async fn recognise(
        &self,
        migration: &mut Migration,
        found: SourceIdentity,
    ) -> Result<(), Failure> {
        let compared = compare(&migration.source, &found);
        let Err(MigrationError::OtherTimeline { .. }) = compared else {
            return Ok(compared?);
        };
        let goes_on = match furthest(migration) {
            Some(position) => self.source.continues(&migration.source, &position).await?,
            None => true,
        };
        if !goes_on {
            return Ok(compared?);
        }
        tracing::warn!(
            timeline = %found.timeline,
            "the source was promoted, after all that was read from it: its log goes on"
        );
        self.target.record_source(&found).await?;
        migration.source = found;
        Ok(())
    }

    /// Takes in tables that came into being on the source after the migration began, once they
    /// are on the target too: they are copied under a snapshot of their own, and rule 2 tells
    /// which of their changes come after it.
    async fn adopt(&self, migration: &mut Migration) -> Result<(), Failure> {
        if migration.phase == Phase::Prepare {
            return Ok(());
        }
        let tables = self.source.tables(None).await?;
        let known = |table: &Table| {
            let same =
                |other: &Table| other.source_id == table.source_id || other.name == table.name;
            migration.tables.iter().any(same)
        };
        let new: Vec<Table> = tables.into_iter().filter(|table| !known(table)).collect();
        let mut adopted = self.target.present(new).await?;
        if adopted.is_empty() {
            return Ok(());
        }
        let first = migration.tables.iter().map(|table| table.id.0 + 1).max().unwrap_or_default();
        for (table, id) in adopted.iter_mut().zip(first..) {
            table.id = TableId(id);
            tracing::info!(table = %table.name, "taken into the migration");
        }
        self.source.publish_more(&adopted).await?;
        failpoint::reached("tables-published");
        self.target.adopt(&adopted).await?;
        *migration = self.target.load().await?.ok_or(MigrationError::Vanished)?;
        Ok(())
    }

    /// Tables and rows.
    async fn snapshot(&self, migration: &mut Migration) -> Result<Copied, Failure> {
        let unread = migration.ledger.iter().any(|entry| entry.read.is_none());
        if unread || !unplanned(migration).is_empty() {
            let (held, is_new) = self.hold(migration).await?;
            self.make_tables(migration, &held).await?;
            self.retake(migration, &held).await?;
            if is_new || !unplanned(migration).is_empty() {
                self.expect_as_defined(migration, &held).await?;
            }
            self.plan_chunks(migration, &held).await?;
            // Before the last chunk is done: what is done is what the next run goes by.
            self.besides.carry(&self.source, &self.target, &held).await?;
            let copied = self.copy(migration, held.clone()).await?;
            if let Copied::AllBut(tables) = &copied {
                self.give_up(migration, &held, tables).await?;
            }
            *migration = self.target.load().await?.ok_or(MigrationError::Vanished)?;
            if copied != Copied::All {
                return Ok(copied);
            }
        }
        if let Some(held) = &migration.held {
            self.source.release(held).await?;
        }
        failpoint::reached("snapshot-released");
        self.target.record_phase(Phase::Build).await?;
        migration.phase = Phase::Build;
        Ok(Copied::All)
    }

    /// The snapshot that was left held, or a new one; and whether it is new.
    async fn hold(&self, migration: &mut Migration) -> Result<(HeldSnapshot, bool), Failure> {
        if let Some(held) = &migration.held
            && self.source.is_held(held).await?
        {
            return Ok((held.clone(), false));
        }
        tracing::warn!("what is left is copied under a new snapshot");
        let held = self.source.hold_again().await?;
        failpoint::reached("snapshot-held");
        let indexed = match migration.owns_schema {
            true => self.target.indexed_already(&migration.tables).await?,
            false => migration.tables.iter().map(|table| table.id).collect(),
        };
        let stale =
            planner::stale_tables(&migration.tables, &migration.ledger, &held.bracket(), &indexed);
        if !stale.is_empty() {
            self.reset(migration, &stale).await?;
        }
        // Only now: who finds it recorded must be able to copy under it as the ledger says.
        self.target.record_snapshot(Some(&held), None).await?;
        migration.held = Some(held.clone());
        Ok((held, true))
    }

    /// What was read of the tables that are to be copied must be what they are under the snapshot: their
    /// definitions in the log behind it are carried out once more else. Where it need not be, the
    /// snapshot is given up, and the next one comes behind these definitions.
    async fn expect_as_defined(
        &self,
        migration: &Migration,
        held: &HeldSnapshot,
    ) -> Result<(), Failure> {
        if !self.source.redefines(held, &unread(migration)).await? {
            return Ok(());
        }
        self.source.release(held).await?;
        Err(MigrationError::Redefined.into())
    }

    /// Empties tables and goes back to copy them anew.
    pub(super) async fn reset(
        &self,
        migration: &mut Migration,
        stale: &[TableId],
    ) -> Result<(), Failure> {
        let stale = with_families(&migration.tables, stale);
        let is_stale = |table: &&Table| stale.contains(&table.id);
        let tables: Vec<_> = migration.tables.iter().filter(is_stale).cloned().collect();
        for table in &tables {
            tracing::warn!(table = %table.name, "will be copied again from its start");
        }
        self.target.reset(&tables).await?;
        migration.ledger.retain(|entry| !stale.contains(&entry.chunk.table));
        failpoint::reached("tables-reset");
        Ok(())
    }

    async fn make_tables(
        &self,
        migration: &mut Migration,
        held: &HeldSnapshot,
    ) -> Result<(), Failure> {
        if migration.owns_schema && !migration.schema_made {
            self.handles.progress.step_started("schema");
            let schema = self.source.schema(held, &migration.tables).await?;
            self.target.make_tables(&schema, &migration.tables).await?;
            self.handles.progress.step_finished("schema");
            migration.schema_made = true;
            failpoint::reached("tables-made");
        }
        Ok(())
    }

    /// Brings tables that are still to be copied up to what they are like under the snapshot, and
    /// with them those that were altered by the same act.
    async fn retake(&self, migration: &mut Migration, held: &HeldSnapshot) -> Result<(), Failure> {
        let unread: Vec<TableId> = unread(migration).iter().map(|table| table.id).collect();
        let alterations = self.source.alterations(held, &migration.tables, &unread).await?;
        if alterations.is_empty() {
            return Ok(());
        }
        for alteration in &alterations {
            let now = &alteration.table;
            let taken = |other: &Table| other.id != now.id && other.name == now.name;
            if migration.tables.iter().any(taken) {
                let (table, taken) = (alteration.formerly.clone(), now.name.clone());
                return Err(PlanError::NameTaken { table, taken }.into());
            }
        }
        for alteration in &alterations {
            tracing::info!(table = %alteration.table.name, "is copied as it is by now");
        }
        self.target.retake(&alterations).await?;
        *migration = self.target.load().await?.ok_or(MigrationError::Vanished)?;
        Ok(())
    }

    async fn plan_chunks(
        &self,
        migration: &mut Migration,
        held: &HeldSnapshot,
    ) -> Result<(), Failure> {
        let mut tables = unplanned(migration);
        if tables.is_empty() {
            return Ok(());
        }
        let chunk_bytes = self.options.chunk_bytes;
        let chunks = planner::plan(&self.source, Some(held), &mut tables, chunk_bytes).await?;
        self.target.record_chunks(&tables, &chunks).await?;
        failpoint::reached("chunks-planned");
        *migration = self.target.load().await?.ok_or(MigrationError::Vanished)?;
        Ok(())
    }

    async fn copy(&self, migration: &Migration, held: HeldSnapshot) -> Result<Copied, Failure> {
        self.handles.progress.snapshot_started(estimates(migration));
        let chunks = planner::pending(&migration.tables, &migration.ledger);
        let is_copied = |table: &&Table| chunks.iter().any(|chunk| chunk.table == table.id);
        self.note(migration.tables.iter().filter(is_copied));
        let work = Work {
            forms: self.target.forms(&migration.tables).await?,
            tables: migration.tables.clone(),
            chunks,
            held,
            committed: self.handles.moved.clone(),
        };
        let (stop, progress) = (self.handles.stop.clone(), self.handles.progress.clone());
        let workers = self.options.workers;
        worker::copy(&self.source, &self.target, work, workers, (stop, progress)).await
    }

    /// Keys first; the rest at once where the rows are of one moment, else once the stream has
    /// made them so: until then a unique index may meet a row and its successor side by side.
    async fn build(&self, migration: &mut Migration) -> Result<(), Failure> {
        self.build_stage(BuildStage::Identity).await?;
        if is_of_one_moment(migration) {
            self.build_stage(BuildStage::Rest).await?;
        }
        self.target.set_sequences(&self.source.sequences().await?).await?;
        failpoint::reached("built");
        self.target.record_phase(Phase::CatchUp).await?;
        migration.phase = Phase::CatchUp;
        Ok(())
    }

    pub(super) async fn build_stage(&self, stage: BuildStage) -> Result<(), Failure> {
        let workers = self.options.build_workers;
        let Handles { moved, progress, .. } = &self.handles;
        build::run(&self.target, stage, workers, (moved, progress)).await
    }

    pub(super) async fn is_built(&self) -> Result<bool, Failure> {
        Ok(self.target.builds(BuildStage::Rest).await?.is_empty())
    }

    /// Follows the log.
    async fn stream(
        &self,
        migration: &mut Migration,
        recopies: &mut Recopies,
    ) -> Result<Next, Failure> {
        // What happened while tables were copied must not be met in the log unprepared.
        if !self.settle(migration, None).await? {
            return Ok(Next::Again);
        }
        let coverage = Coverage::new(&migration.tables, &migration.ledger)
            .map_err(|_| MigrationError::LedgerMixed)?;
        let horizon = coverage.horizon().cloned();
        let until = if self.is_built().await? { None } else { horizon };
        let followed = match follow::follow(self, migration, coverage, until.as_ref()).await {
            Ok(followed) => followed,
            Err(halt) if halt.code().is_some() => return self.look_behind(migration, halt).await,
            Err(failure) => return Err(failure),
        };
        // The stream recorded what became of the tables meanwhile.
        *migration = self.target.load().await?.ok_or(MigrationError::Vanished)?;
        match followed {
            Followed::Stopped => Ok(Next::End(Ended::Stopped)),
            Followed::StandBy => Ok(Next::StandBy),
            Followed::Reached if until.is_some() => {
                self.build_stage(BuildStage::Rest).await?;
                Ok(Next::Again)
            }
            Followed::Reached => {
                // Once more, for all that happened up to the position that was reached.
                let settled = self.settle(migration, None).await?;
                Ok(if settled { Next::End(Ended::Reached) } else { Next::Again })
            }
            Followed::Recopy(tables) => {
                recopies.count(migration, &tables)?;
                self.reset(migration, &tables).await?;
                *migration = self.target.load().await?.ok_or(MigrationError::Vanished)?;
                Ok(Next::Again)
            }
            Followed::Unsettled(table) => {
                self.settle(migration, table).await?;
                Ok(Next::Again)
            }
            Followed::Schema(change) => {
                self.define(migration, &change, recopies).await?;
                Ok(Next::Again)
            }
        }
    }

    /// Looks whether what stood in the stream's way were rows that came or went with a partition,
    /// which is settled then.
    async fn look_behind(&self, migration: &mut Migration, halt: Failure) -> Result<Next, Failure> {
        let Ok(Some(stored)) = self.target.load().await else {
            return Err(halt);
        };
        *migration = stored;
        match self.settle(migration, None).await {
            Ok(false) => Ok(Next::Again),
            Ok(true) | Err(_) => Err(halt),
        }
    }

    /// Comes to terms with partitions that came or went: what is known of their tables is recorded
    /// anew where the log tells all about them, and else the tables are copied again. `noticed` is
    /// a table of which the log showed a partition that was not known. Returns whether nothing was to
    /// be done.
    async fn settle(
        &self,
        migration: &mut Migration,
        noticed: Option<TableId>,
    ) -> Result<bool, Failure> {
        let drift = self.source.drift(&migration.tables, migration.held.as_ref()).await?;
        let mut outdated = drift.outdated;
        // A partition that nobody sees any more took its rows along.
        let settled = |id| drift.renewed.iter().any(|table| table.id == id);
        outdated.extend(noticed.filter(|id| !settled(*id) && !outdated.contains(id)));
        if drift.renewed.is_empty() && outdated.is_empty() {
            return Ok(true);
        }
        self.target.renew(&drift.renewed).await?;
        failpoint::reached("partitions-settled");
        if !outdated.is_empty() {
            self.reset(migration, &outdated).await?;
        }
        *migration = self.target.load().await?.ok_or(MigrationError::Vanished)?;
        Ok(false)
    }
}

/// Tables that are not copied, or not as a whole.
fn unread(migration: &Migration) -> Vec<Table> {
    let read = |table: &&Table| {
        let mut entries = migration.ledger.iter().filter(|e| e.chunk.table == table.id);
        entries.clone().next().is_some() && entries.all(|entry| entry.read.is_some())
    };
    migration.tables.iter().filter(|table| !read(table)).cloned().collect()
}

/// Tables of which no chunk is in the ledger yet.
fn unplanned(migration: &Migration) -> Vec<Table> {
    let planned: HashSet<TableId> =
        migration.ledger.iter().map(|entry| entry.chunk.table).collect();
    migration.tables.iter().filter(|table| !planned.contains(&table.id)).cloned().collect()
}

/// The last position of the source's log that anything in the migration goes by.
fn furthest(migration: &Migration) -> Option<Position> {
    let read = migration.ledger.iter().filter_map(|entry| entry.read.as_ref());
    let held = migration.held.iter().map(HeldSnapshot::until);
    let all = read.map(|read| &read.high).chain(held).chain(&migration.checkpoint);
    all.cloned().reduce(Position::together)
}

/// Whether all chunks were read at one position.
fn is_of_one_moment(migration: &Migration) -> bool {
    let mut reads = migration.ledger.iter().map(|entry| entry.read.as_ref());
    let first = reads.next().flatten();
    reads.all(|read| read == first)
}

/// The source must be the one that the migration began with.
pub(super) fn compare(
    known: &SourceIdentity,
    found: &SourceIdentity,
) -> Result<(), MigrationError> {
    if known.cluster != found.cluster || known.database != found.database {
        return Err(MigrationError::OtherSource {
            known: format!("{} in cluster {}", known.database, known.cluster),
            found: format!("{} in cluster {}", found.database, found.cluster),
        });
    }
    if known.timeline != found.timeline {
        return Err(MigrationError::OtherTimeline {
            known: known.timeline.clone(),
            found: found.timeline.clone(),
        });
    }
    Ok(())
}

fn estimates(migration: &Migration) -> Vec<TableEstimate> {
    let estimate = |table: &Table| {
        let entries = || migration.ledger.iter().filter(|entry| entry.chunk.table == table.id);
        TableEstimate {
            name: table.name.to_string(),
            bytes: table.bytes,
            rows: table.estimated_rows,
            chunks: entries().count() as u64,
            chunks_done: entries().filter(|entry| entry.read.is_some()).count() as u64,
        }
    };
    migration.tables.iter().map(estimate).collect()
}
