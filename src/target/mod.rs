//! What every kind of target can do, called per chunk and per group, never per row.
//!
//! A target writes one server: the rows, and in the same transactions the state of the migration.
//! It knows nothing of sources. That nothing is lost or doubled rests on two promises: a chunk and
//! its ledger entry commit together, and so do a group and its checkpoint; and whoever commits with
//! an epoch that is no longer the newest fails.

use std::collections::HashSet;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::model::report::{Finding, Transfer};
use crate::model::selection::Patterns;
use crate::model::verification::{KeptProof, Proof, TableProof, VerificationPlan};
use crate::model::{
    Alteration, Bracket, CarriedSchema, Chunk, CutoverProgress, CutoverRecord, CutoverStage,
    Failure, HeldSnapshot, LedgerEntry, Phase, Plan, Position, Relation, RowForm, SchemaStep,
    SequenceValue, ServerFacts, SourceIdentity, Table, TableId, TableName,
};

pub mod mysql;
pub mod postgres;

/// A migration as its state in the target describes it.
#[derive(Clone, Debug)]
pub struct Migration {
    /// The source it began with.
    pub source: SourceIdentity,
    /// Where it stands.
    pub phase: Phase,
    /// The selection of tables, which may not change while it goes on.
    pub selection: Patterns,
    /// Its tables.
    pub tables: Vec<Table>,
    /// The snapshot that is in use, if one was taken.
    pub held: Option<HeldSnapshot>,
    /// Everything that this position contains is on the target. None before the first snapshot.
    pub checkpoint: Option<Position>,
    /// All chunks.
    pub ledger: Vec<LedgerEntry>,
    /// Whether the target's tables are made by dunlin.
    pub owns_schema: bool,
    /// Whether it has made them.
    pub schema_made: bool,
    /// The cutover that is under way, or was when its process ended.
    pub cutover: Option<CutoverRecord>,
}

/// The latest figures of a stream, kept for `status`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct StreamStatus {
    /// The end of the source's log.
    pub source: Position,
    /// Everything before this is on the target.
    pub applied: Position,
    /// Log between the two; None where the engine's positions do not tell.
    pub lag_bytes: Option<u64>,
    /// Transactions between the two; None where the engine's positions do not count them.
    #[serde(default)]
    pub lag_transactions: Option<u64>,
    /// Age of the newest applied transaction; zero where nothing is missing, None before the log is
    /// followed.
    pub lag_seconds: Option<f64>,
    /// Log that the source keeps for this migration.
    pub retained_bytes: u64,
    /// Log that may still be written before the source throws away what is needed; None without
    /// a limit.
    pub safe_bytes: Option<i64>,
    /// What may need the operator.
    pub warnings: Vec<String>,
}

/// Where a migration stands, as its state says. Ages are in seconds, by the target's clock.
#[derive(Clone, Debug)]
pub struct Standing {
    /// The state.
    pub migration: Migration,
    /// How often it was taken over.
    pub epoch: u64,
    /// The latest figures of a stream, if there was one.
    pub figures: Option<StreamStatus>,
    /// The age of these figures.
    pub figures_seconds_ago: Option<f64>,
    /// The age of the newest applied transaction, since its commit on the source.
    pub committed_seconds_ago: Option<f64>,
    /// The age of whatever was written last.
    pub updated_seconds_ago: f64,
    /// What acts by itself and waits for the cutover, by name.
    pub deferred: Vec<String>,
    /// A process is at work on it.
    pub running: bool,
    /// The statement that ends its session, where it is known.
    pub ends_it: Option<String>,
}

/// What is about to arrive on a target.
#[derive(Clone, Copy, Debug)]
pub struct Arrival<'a> {
    /// What the source says about itself.
    pub source: &'a ServerFacts,
    /// The tables.
    pub tables: &'a [Table],
    /// Those that may be emptied first.
    pub truncate: &'a [TableName],
    /// How many connections there will be at most.
    pub connections: usize,
}

/// What a group leaves behind in the state.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    /// Everything that this position contains is on the target.
    pub position: Position,
    /// When the last transaction committed on the source, in microseconds since the Unix epoch.
    pub committed_at_us: Option<i64>,
    /// Source transactions in the group.
    pub transactions: u64,
    /// Row changes in the group.
    pub changes: u64,
    /// Whether the commit is reported only once a crash of the target cannot undo it. Then it can
    /// undo none before it either.
    pub durable: bool,
}

/// How a plan fared.
#[derive(Debug)]
pub enum Applied {
    /// It is carried out (and committed, where a checkpoint was given).
    Done,
    /// It met a constraint or a missing row on the way; everything that it did is undone.
    Clash {
        /// The table.
        table: TableId,
        /// What it met, for when replaying the table's changes meets it again.
        failure: Failure,
    },
}

/// The schema's parts that are made after the load.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BuildStage {
    /// What the stream needs to find rows.
    Identity,
    /// Everything else that waits for the rows.
    Rest,
    /// What acts by itself, and would act a second time on rows that it brought about on the source:
    /// it waits until the target is about to be written by its own clients.
    Cutover,
    /// What starts by itself: it waits until the traffic has been moved for certain.
    Switched,
}

/// One thing to build.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Build {
    /// Its number in the state.
    pub id: i32,
    /// What it is, for logs and bars.
    pub label: String,
    /// Steps of a later wave wait for all of an earlier one.
    pub wave: i32,
    /// About how much work it is, in bytes of table.
    pub bytes: u64,
    /// What it runs, for an operator who has to do it by hand.
    pub statements: String,
}

/// A target database.
pub trait Target: Clone + Send + Sync + 'static {
    /// Loads chunks.
    type Loader: ChunkLoader;
    /// Applies plans.
    type Applier: Applier;

    /// The migration's state, if there is any.
    fn load(&self) -> impl Future<Output = Result<Option<Migration>, Failure>> + Send;

    /// Writes the state of a new migration. With `make_schema` its tables are still to be made.
    fn create(
        &self,
        source: &SourceIdentity,
        selection: &Patterns,
        tables: &[Table],
        make_schema: bool,
    ) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Writes the state of a new migration that begins with the stream: the rows of these tables are
    /// here, with everything that `position` contains.
    fn create_following(
        &self,
        source: &SourceIdentity,
        selection: &Patterns,
        tables: &[Table],
        position: &Position,
    ) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Keeps every other process from this migration, whether there is one yet or not.
    ///
    /// # Errors
    ///
    /// Where another process is at work on it.
    fn claim(&self) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Takes over the migration, which was claimed: every process that held it before can commit no
    /// more.
    fn take_over(&self) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Lets go of the migration, for another process to claim.
    fn unclaim(&self) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Asks the process that is at work, without claiming anything, to stand by for a cutover.
    fn ask_to_stand_by(&self) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Whether that was asked of us.
    fn is_asked_to_stand_by(&self) -> impl Future<Output = Result<bool, Failure>> + Send;

    /// Records how far a cutover has come, under our epoch; None where nothing of it is left.
    fn record_cutover(
        &self,
        progress: Option<CutoverProgress<'_>>,
    ) -> impl Future<Output = Result<(), Failure>> + Send;

    /// What of the tables is not in force here as it stands in the catalog. Only reads.
    fn unfit(&self, tables: &[Table])
    -> impl Future<Output = Result<Vec<Finding>, Failure>> + Send;

    /// Takes off what acts by itself on these tables and was made or enabled for a cutover that came
    /// to nothing. It is made again at the next. May be called again.
    fn rest(&self, tables: &[Table]) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Records a snapshot. With `checkpoint` it is the first one: the stream begins there, and
    /// the phase that follows is recorded with it.
    fn record_snapshot(
        &self,
        held: Option<&HeldSnapshot>,
        checkpoint: Option<&Position>,
    ) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Records under which identity the source is known from now on.
    fn record_source(
        &self,
        source: &SourceIdentity,
    ) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Records a phase.
    fn record_phase(&self, phase: Phase) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Records the latest figures for `status`.
    fn record_status(
        &self,
        status: &StreamStatus,
    ) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Where the migration stands. Takes nothing over and writes nothing.
    ///
    /// # Errors
    ///
    /// Where there is no such migration.
    fn status(&self) -> impl Future<Output = Result<Standing, Failure>> + Send;

    /// Finds everything that would make the migration fail or lose something here. Only reads.
    fn check(
        &self,
        arrival: &Arrival<'_>,
    ) -> impl Future<Output = Result<Vec<Finding>, Failure>> + Send;

    /// Sends bytes, and has them thrown away, until one of the limits is reached.
    fn measure(
        &self,
        most_bytes: u64,
        longest: Duration,
    ) -> impl Future<Output = Result<Transfer, Failure>> + Send;

    /// Everything that a migration writes on the target.
    fn footprint(&self, tables: &[Table]) -> Vec<String>;

    /// Looks at what stands on the target and empties what `truncate` names. Returns whether the
    /// tables are still to be made.
    ///
    /// # Errors
    ///
    /// Where tables hold rows, or only some of them are there.
    fn clear_ground(
        &self,
        tables: &[Table],
        truncate: &[TableName],
    ) -> impl Future<Output = Result<bool, Failure>> + Send;

    /// Those of `tables` that stand on the target, empty.
    fn present(
        &self,
        tables: Vec<Table>,
    ) -> impl Future<Output = Result<Vec<Table>, Failure>> + Send;

    /// Takes tables into the migration that stand on the target: they are recorded, still to be cut
    /// into chunks and copied, and the phase goes back to the snapshot.
    fn adopt(&self, tables: &[Table]) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Has a migration of which nothing is copied or made yet be of these tables, and no others.
    /// With `make_schema` they are still to be made.
    fn list_anew(
        &self,
        tables: &[Table],
        make_schema: bool,
    ) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Makes the tables, without what is better built after the load. May be called again.
    fn make_tables(
        &self,
        schema: &CarriedSchema,
        tables: &[Table],
    ) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Those of `tables`, which were made here, that have a unique index before their rows are whole,
    /// beside the key that tells their rows apart.
    fn indexed_already(
        &self,
        tables: &[Table],
    ) -> impl Future<Output = Result<HashSet<TableId>, Failure>> + Send;

    /// Writes the chunks of tables into the ledger, in place of any that are there, and the tables
    /// as they were cut.
    fn record_chunks(
        &self,
        tables: &[Table],
        chunks: &[Chunk],
    ) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Empties tables, forgets their chunks, and goes back to the snapshot, under one that is still
    /// to be taken: all in one transaction.
    fn reset(&self, tables: &[Table]) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Records tables of the migration as they are now.
    fn renew(&self, tables: &[Table]) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Empties tables and alters them as they were altered on the source, to be copied from the
    /// start under the snapshot that is held: all in one transaction.
    fn retake(
        &self,
        alterations: &[Alteration],
    ) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Carries a change of definitions out, everything before which is committed, and records the
    /// tables as they are behind it together with the position behind it. May be called again:
    /// what was begun is found and not run twice.
    ///
    /// # Errors
    ///
    /// Where the operator is needed; the position has not moved then.
    fn define(&self, step: &SchemaStep) -> impl Future<Output = Result<(), Failure>> + Send;

    /// For each table, how its rows can be loaded.
    fn forms(&self, tables: &[Table])
    -> impl Future<Output = Result<Vec<RowForm>, Failure>> + Send;

    /// A loader of chunks.
    fn loader(&self) -> impl Future<Output = Result<Self::Loader, Failure>> + Send;

    /// What of a stage is still to be built, in order of waves, the largest first in each.
    fn builds(&self, stage: BuildStage)
    -> impl Future<Output = Result<Vec<Build>, Failure>> + Send;

    /// Builds one thing and records it, in one transaction.
    fn build(&self, id: i32) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Sets sequences.
    fn set_sequences(
        &self,
        values: &[SequenceValue],
    ) -> impl Future<Output = Result<(), Failure>> + Send;

    /// An applier of plans.
    fn applier(&self) -> impl Future<Output = Result<Self::Applier, Failure>> + Send;

    /// Removes all state of the migration, and returns what of it was there. May be called again.
    fn remove(&self) -> impl Future<Output = Result<Vec<String>, Failure>> + Send;
}

/// How far a target is with its source's log.
#[derive(Clone, Debug)]
pub struct Headway {
    /// Everything that this position contains is on the target. None where tables are still to be
    /// copied.
    pub position: Option<Position>,
    /// A process is at work on it.
    pub running: bool,
    /// The target's own clients may write to it: a cutover moved them, or is about to.
    pub handed_over: bool,
}

impl Headway {
    /// What the state says: the checkpoint, and what the process at work found out since where the
    /// log held nothing for the target.
    #[must_use]
    pub fn new(
        (phase, cutover): (Phase, Option<&CutoverRecord>),
        checkpoint: Option<Position>,
        figures: Option<StreamStatus>,
        running: bool,
    ) -> Self {
        let switching = cutover.is_some_and(|record| record.stage == CutoverStage::Switching);
        let position = match phase {
            Phase::Prepare | Phase::Snapshot | Phase::Build => None,
            Phase::CatchUp | Phase::Stream | Phase::CutOver => match (checkpoint, figures) {
                (Some(checkpoint), Some(figures)) => Some(checkpoint.further(figures.applied)),
                (checkpoint, _) => checkpoint,
            },
        };
        Headway { position, running, handed_over: switching || phase == Phase::CutOver }
    }
}

/// What a verification goes by in the state, and what it leaves there. It is no part of the
/// migration: of it a run reads the plan alone, to mark the units that it changes
/// ([`Touches`](crate::model::Touches)), and whoever verifies holds no epoch.
pub trait Proofs: Clone + Send + Sync + 'static {
    /// How far the target is. Cheap enough to be asked many times a second.
    ///
    /// # Errors
    ///
    /// Where there is no such migration.
    fn applied(&self) -> impl Future<Output = Result<Headway, Failure>> + Send;

    /// The verification that was begun last and has not ended, and what it has proven. None where
    /// anything was copied since, which is to be compared anew.
    fn unfinished(
        &self,
    ) -> impl Future<Output = Result<Option<(VerificationPlan, Vec<Proof>)>, Failure>> + Send;

    /// The verification that was begun last, whether it has ended or not, and what it has proven.
    fn former(
        &self,
    ) -> impl Future<Output = Result<Option<(VerificationPlan, Vec<Proof>)>, Failure>> + Send;

    /// Begins a verification; what is there of an earlier one is forgotten, but for those of `proofs`,
    /// which `former` gave, of whose units nothing was changed since they were to be read. Returns
    /// these, as proofs of this plan. Whatever is committed from here on marks the units that it changes.
    fn begin(
        &self,
        plan: &VerificationPlan,
        proofs: &[Proof],
    ) -> impl Future<Output = Result<Vec<Proof>, Failure>> + Send;

    /// Keeps a proof.
    fn record(&self, proof: &Proof) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Keeps no proof of these tables any more, and none of the verification that was begun last, which
    /// has then ended: somebody else may have written to them.
    fn refute(&self, tables: &[TableId]) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Keeps no proof of a table any more.
    fn deny(&self, table: TableId) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Ends the verification of this plan, and keeps what it has proven of whole tables, whatever
    /// verification is begun next. Returns false, and keeps nothing, where it has ended already
    /// ([`Self::refute`]), or another was begun.
    fn end(
        &self,
        plan: u32,
        proven: &[TableProof],
    ) -> impl Future<Output = Result<bool, Failure>> + Send;

    /// The last proof of each table that has one.
    fn proven(&self) -> impl Future<Output = Result<Vec<KeptProof>, Failure>> + Send;
}

/// A target whose rows can be put right while it is written to.
pub trait Mend {
    /// Puts rows right.
    type Mender: Mender;

    /// A mender with a connection of its own, which ends with the migration's epoch.
    fn mender(&self) -> impl Future<Output = Result<Self::Mender, Failure>> + Send;
}

/// Puts rows in other rows' place, in one transaction after another. It waits for no lock for long:
/// whoever writes at the same time goes first.
pub trait Mender: Send + 'static {
    /// Opens a transaction and deletes rows in it: those with one of these keys (the fields of a row's
    /// key as they stand in its text, in key order, with a tab between two), or all. From here to the
    /// end of the transaction nobody else can write a row that was deleted, and where all were, none
    /// at all.
    fn open(
        &mut self,
        table: &Table,
        keys: Option<&[&[u8]]>,
    ) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Takes rows in their place: whole lines of text, as a reader of the same engine gives them.
    fn write(&mut self, rows: Bytes) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Ends the rows, of which there must be as many. From here on nobody else can write these.
    fn fill(&mut self, rows: u64) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Commits, durably.
    fn commit(&mut self) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Gives up the transaction, if one is open.
    ///
    /// # Errors
    ///
    /// Where the connection is lost.
    fn abandon(&mut self) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// Loads one chunk after another, each in one transaction.
pub trait ChunkLoader: Send + 'static {
    /// Opens a transaction and begins to load a chunk.
    fn open(
        &mut self,
        table: &Table,
        form: RowForm,
    ) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Writes a buffer of rows.
    fn write(&mut self, rows: Bytes) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Ends the chunk: the number of rows must be `rows`; then rows and ledger commit as one.
    fn finish(
        &mut self,
        chunk: &Chunk,
        read: &Bracket,
        rows: u64,
    ) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// Applies plans in target transactions.
pub trait Applier: Send + 'static {
    /// Learns the shape that a table's rows have from here on.
    ///
    /// # Errors
    ///
    /// Where the target's table does not fit it, with the statement that makes it fit.
    fn describe(
        &mut self,
        table: &Table,
        relation: &Arc<Relation>,
    ) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Alters tables as they were altered on the source, and records what they are like from here
    /// on, in the open target transaction, which was begun by [`Self::apply`]. Returns the tables
    /// as recorded.
    ///
    /// # Errors
    ///
    /// Where the operator is needed, with the statement to run.
    fn alter(
        &mut self,
        alteration: &Alteration,
    ) -> impl Future<Output = Result<Vec<Table>, Failure>> + Send;

    /// Carries out a plan in the open target transaction, or in a new one. With a checkpoint the
    /// transaction is committed with it; without, it stays open for the next plan.
    fn apply(
        &mut self,
        plan: &Plan,
        checkpoint: Option<&Checkpoint>,
    ) -> impl Future<Output = Result<Applied, Failure>> + Send;

    /// Makes durable what is committed by now, apart from the transactions of this applier: it need
    /// not wait. The target must not have been started again since the applier was made.
    fn harden(&mut self) -> impl Future<Output = Result<(), Failure>> + Send + 'static;

    /// Gives up the open transaction.
    fn abandon(&mut self) -> impl Future<Output = Result<(), Failure>> + Send;
}
