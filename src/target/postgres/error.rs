//! What can go wrong with a Postgres target, apart from its statements.

use super::describe::Misfit;
use super::parameter::AbsentValue;
use crate::connect::StatementError;
use crate::model::{Code, Disposition, Fault, Halt, TableName};

/// A Postgres target failed, or is not as it was left.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TargetError {
    /// Another process took the migration over.
    #[error("a newer process has taken this migration over")]
    Fenced,
    /// Another process works on the migration.
    #[error("another dunlin works on migration {name} (server process {pid} on the target)")]
    AlreadyRunning {
        /// The migration's name.
        name: String,
        /// Its session on the target.
        pid: i32,
    },
    /// There is no such migration.
    #[error("the target holds no migration named {name}")]
    MigrationMissing {
        /// The migration's name.
        name: String,
    },
    /// The state was written by another version.
    #[error("the state in the target has the format {format}, which this version does not know")]
    StateFormat {
        /// The stored format.
        format: i32,
    },
    /// The state does not make sense.
    #[error("read the migration's state")]
    StateUnreadable {
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The target's table is gone, or does not fit.
    #[error("table {table} is not on the target as the log describes it")]
    TableMissing {
        /// The table.
        table: TableName,
    },
    /// The log holds a definition as a statement, which no Postgres source sends.
    #[error("carry out a definition of the log at {place}")]
    ForeignDefinition {
        /// The transaction that it stands in.
        place: String,
    },
    /// Only some of the tables are there.
    #[error("the target has table {present}, but not table {missing}")]
    PartOfSchema {
        /// One that is there.
        present: TableName,
        /// One that is not.
        missing: TableName,
    },
    /// A table holds rows.
    #[error("table {table} on the target holds rows already")]
    NotEmpty {
        /// The table.
        table: TableName,
    },
    /// A table lacks a column, or has one of another kind.
    #[error("table {table} on the target does not fit the source's: {problem}")]
    SchemaDiffers {
        /// The table.
        table: TableName,
        /// What differs.
        problem: String,
    },
    /// A statement touched another number of rows than it had to.
    #[error("{act} {expected} rows of table {table}: the target has {touched} of them")]
    RowCount {
        /// `update` or `delete`.
        act: &'static str,
        /// The table.
        table: TableName,
        /// How many there had to be.
        expected: u64,
        /// How many there were.
        touched: u64,
    },
    /// A constraint refused what the source has.
    #[error(transparent)]
    Statement(#[from] StatementError),
    /// The planner asked for a value that is not there.
    #[error("write a group of changes")]
    ValueAbsent {
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The server took another number of rows than were read.
    #[error("load a chunk of table {table}: {read} rows were read, {loaded} were taken")]
    LoadCount {
        /// The table.
        table: TableName,
        /// Rows that the source sent.
        read: u64,
        /// Rows that the target took.
        loaded: u64,
    },
    /// No session can be had from those that are kept.
    #[error("take a session of the target")]
    NoSession {
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Rows came for no chunk.
    #[error("load rows of no chunk")]
    NoChunk,
    /// A table could not be altered as it was on the source.
    #[error("alter a table as it was altered on the source")]
    Alter {
        /// What was tried.
        statement: String,
        /// Why it failed.
        #[source]
        source: StatementError,
    },
    /// The table does not take the log's rows.
    #[error(transparent)]
    Misfit(#[from] Misfit),
}

impl From<AbsentValue> for TargetError {
    fn from(source: AbsentValue) -> Self {
        TargetError::ValueAbsent { source: Box::new(source) }
    }
}

impl TargetError {
    pub(super) fn unreadable(source: impl std::error::Error + Send + Sync + 'static) -> Self {
        TargetError::StateUnreadable { source: Box::new(source) }
    }
}

/// What follows where a table could not be altered.
fn unaltered(statement: &str, source: &StatementError) -> Disposition {
    match source.disposition() {
        Disposition::Retry => Disposition::Retry,
        Disposition::Halt(_) => Halt::with(
            Code::SchemaChanged,
            format!(
                "mend what the cause says on the target (a type, function or sequence that is \
                 missing there, say), or alter the table yourself: {statement}; then run the same \
                 command again"
            ),
        ),
    }
}

impl Fault for TargetError {
    fn disposition(&self) -> Disposition {
        match self {
            TargetError::Fenced => Halt::with(
                Code::Fenced,
                "nothing of this process's last transaction was kept; let the newer one go on, \
                 `dunlin status` shows it",
            ),
            TargetError::AlreadyRunning { pid, .. } => Halt::with(
                Code::AlreadyRunning,
                format!(
                    "stop the other one first; where its machine is gone, end its session on the \
                     target: SELECT pg_terminate_backend({pid})"
                ),
            ),
            TargetError::MigrationMissing { .. } => Halt::with(
                Code::MigrationMissing,
                "check --target and --name, or begin one with `dunlin run`",
            ),
            TargetError::StateFormat { .. } | TargetError::StateUnreadable { .. } => Halt::with(
                Code::StateUnreadable,
                "use the version of dunlin that began the migration, or begin anew: \
                 `dunlin complete`, then `dunlin run --truncate-target '*'`",
            ),
            TargetError::PartOfSchema { .. } => Halt::with(
                Code::TargetSchemaDiffers,
                "empty the target so that dunlin makes the schema, or make the whole schema there",
            ),
            TargetError::NotEmpty { table } => Halt::with(
                Code::TargetNotEmpty,
                format!(
                    "name another target, or have the table emptied: --truncate-target '{table}'"
                ),
            ),
            TargetError::SchemaDiffers { .. } => Halt::with(
                Code::TargetSchemaDiffers,
                "make the target's table like the source's, or drop it so that dunlin makes it",
            ),
            TargetError::TableMissing { .. } => Halt::with(
                Code::SchemaChanged,
                "restore the table on the target, then run the same command again",
            ),
            TargetError::RowCount { .. } => Halt::with(
                Code::RowMissing,
                "somebody else wrote to the target, or it was changed by a trigger; nothing of \
                 this group was kept. Mend the target's rows and run the same command again, or \
                 copy anew: `dunlin complete`, then `dunlin run --truncate-target '*'`",
            ),
            TargetError::ValueAbsent { .. }
            | TargetError::NoChunk
            | TargetError::ForeignDefinition { .. } => Halt::with(
                Code::ProtocolViolation,
                "nothing was kept; this is a defect of dunlin, please report it",
            ),
            TargetError::LoadCount { .. } => Halt::with(
                Code::TargetRefused,
                "a trigger, rule or policy on the target keeps rows away; disable it, then run \
                 the same command again",
            ),
            TargetError::Alter { statement, source } => unaltered(statement, source),
            TargetError::NoSession { .. } => Disposition::Retry,
            TargetError::Statement(error) => error.disposition(),
            TargetError::Misfit(misfit) => misfit.disposition(),
        }
    }
}
