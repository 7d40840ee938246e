//! What can go wrong with a MySQL target, apart from connecting to it.

use super::literal::AbsentValue;
use crate::connect::mysql::StatementError;
use crate::model::{Code, Disposition, Fault, Halt, TableName};

pub(super) use crate::connect::mysql::attempting;

/// A MySQL target failed, or is not as it was left.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TargetError {
    /// Another process took the migration over.
    #[error("a newer process has taken this migration over")]
    Fenced,
    /// Another process works on the migration.
    #[error("another dunlin works on migration {name} (connection {connection} of the target)")]
    AlreadyRunning {
        /// The migration's name.
        name: String,
        /// Its connection to the target.
        connection: u32,
    },
    /// A session that was ended is still at it.
    #[error("the target's session {connection} of the process that was here before does not end")]
    StillThere {
        /// Its number.
        connection: u32,
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
    /// The server answered a query of ours with something else.
    #[error("read column {column} of the server's answer")]
    Answer {
        /// Its place in the answer.
        column: usize,
    },
    /// The target's table is gone, or does not fit.
    #[error("table {table} is not on the target as the log describes it")]
    TableMissing {
        /// The table.
        table: TableName,
    },
    /// A table that a definition of the log is about has its columns elsewhere.
    #[error("table {table} on the target has its columns in another order: {problem}")]
    Misplaced {
        /// The table.
        table: TableName,
        /// What stands where.
        problem: String,
    },
    /// A definition of the log ran in a database that is not there.
    #[error("the target lacks database {database}, in which a definition of the log ran")]
    DatabaseMissing {
        /// The database.
        database: String,
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
    /// The rows of the log have other columns than the target's table.
    #[error("table {table} on the target does not take the log's rows: {problem}")]
    Misfit {
        /// The table.
        table: TableName,
        /// What differs.
        problem: String,
        /// The statement that makes it fit.
        fix: String,
    },
    /// The rows of the log have a column of another type or character set.
    #[error("table {table}: its rows have column {column} as {logged} in the log; it is {known}")]
    LoggedOtherwise {
        /// The table.
        table: TableName,
        /// The column.
        column: String,
        /// What it is in the log.
        logged: String,
        /// What it is as far as the migration knows.
        known: String,
    },
    /// A statement found another number of rows than it had to.
    #[error("{act} {expected} rows of table {table}: the target has {found} of them")]
    RowCount {
        /// `update` or `delete`.
        act: &'static str,
        /// The table.
        table: TableName,
        /// How many there had to be.
        expected: u64,
        /// How many there were.
        found: u64,
    },
    /// The server changed values on their way into the table.
    #[error("{act} rows of table {table}: the target would change values")]
    Changed {
        /// What was attempted.
        act: &'static str,
        /// The table.
        table: TableName,
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
    /// The server took other rows than were read, or changed some.
    #[error(
        "load a chunk of table {table}: of {read} rows that were read, {loaded} were taken, \
         with {warnings} warnings ({said})"
    )]
    LoadRefused {
        /// The table.
        table: TableName,
        /// Rows that the source sent.
        read: u64,
        /// Rows that the target took.
        loaded: u64,
        /// How many warnings there were.
        warnings: u64,
        /// The first of them, without values.
        said: String,
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
    /// A definition of the log failed on the target.
    #[error("carry out the definition at {place} of the source's log")]
    Define {
        /// The transaction that it stands in.
        place: String,
        /// Why it failed.
        #[source]
        source: StatementError,
    },
    /// A table that a definition of the log is to make stands already.
    #[error("the source made table {table}, which is on the target and not of this migration")]
    InTheWay {
        /// The table.
        table: TableName,
    },
    /// It cannot be told whether a definition that was begun was run.
    #[error("whether this was run on the target cannot be told: {statement}")]
    Undecided {
        /// The definition.
        statement: String,
        /// The transaction that it stands in.
        place: String,
    },
    /// A table was altered while a transaction was open, which the server cannot undo.
    #[error("begin again behind the alteration of table {table}")]
    AlteredWithin {
        /// The table.
        table: TableName,
    },
    /// The schema's statement failed.
    #[error("make {object} on the target")]
    Build {
        /// What was to be made.
        object: String,
        /// Why it failed.
        #[source]
        source: StatementError,
    },
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

    /// What is to be done where a table is not as the log has it.
    fn to_be_mended(&self) -> String {
        let mend = match self {
            TargetError::Misplaced { .. } => {
                "give them the source's order on the target (ALTER TABLE ... MODIFY COLUMN ... AFTER \
                 ...), then run the same command again; where the source was altered again behind \
                 this definition, begin anew: `dunlin complete`, then `dunlin run --truncate-target \
                 '*'`"
            }
            TargetError::DatabaseMissing { .. } => {
                "create the database on the target with the character set that it has on the \
                 source, then run the same command again"
            }
            TargetError::Misfit { fix, .. } => {
                return format!("on the target: {fix}; then run the same command again");
            }
            TargetError::LoggedOtherwise { .. } => {
                "a statement that the source's log does not have altered it (SET sql_log_bin = 0), or \
                 one that was passed by: begin anew: `dunlin complete`, then `dunlin run \
                 --truncate-target '*'`"
            }
            _ => "restore the table on the target, then run the same command again",
        };
        mend.to_owned()
    }

    /// What follows where something stands on the ground.
    fn in_the_way(&self) -> Disposition {
        match self {
            TargetError::NotEmpty { table } => Halt::with(
                Code::TargetNotEmpty,
                format!(
                    "name another target, or have the table emptied: --truncate-target '{table}'"
                ),
            ),
            TargetError::InTheWay { table } => Halt::with(
                Code::SchemaChanged,
                format!(
                    "drop or rename table {table} on the target, then run the same command again; or \
                     leave new tables out: --on-create-table ignore"
                ),
            ),
            TargetError::SchemaDiffers { .. } => Halt::with(
                Code::TargetSchemaDiffers,
                "make the target's table like the source's, or drop it so that dunlin makes it",
            ),
            _ => Halt::with(
                Code::TargetSchemaDiffers,
                "empty the target so that dunlin makes the schema, or make the whole schema there",
            ),
        }
    }
}

/// What helps where a step of the build failed in another way.
const MEND_AND_GO_ON: &str =
    "mend what the server names and run the same command again; finished steps stay";

/// `ER_CANT_CREATE_TABLE`, `ER_ILLEGAL_HA`, `ER_TOO_BIG_ROWSIZE`, `ER_ILLEGAL_HA_CREATE_OPTION`: a server
/// that is strict does not take a table with such options.
const STRICT: [u16; 4] = [1005, 1031, 1118, 1478];

/// What helps where a step of the build, or a table, was refused.
fn build_or_relax(source: &StatementError) -> &'static str {
    match source.number().is_some_and(|number| STRICT.contains(&number)) {
        true => {
            "where the source made the table with innodb_strict_mode = OFF: SET GLOBAL innodb_strict_mode \
             = OFF on the target (or grant dunlin's account SESSION_VARIABLES_ADMIN there), and run the \
             same command again; else mend what the server names"
        }
        false => MEND_AND_GO_ON,
    }
}

/// What helps where a table was not altered.
fn mend_or_alter(statement: &str) -> String {
    format!(
        "mend what the cause says on the target, or alter the table yourself: {statement}; then run \
         the same command again"
    )
}

/// What helps where nobody knows whether a definition of the log was run.
fn look_or_do(place: &str) -> String {
    format!(
        "look at the tables on the target: carry the definition out where it was not, then go on \
         behind it: `dunlin run --ddl-done '{place}'`"
    )
}

/// What helps where a definition of the log failed.
fn mend_or_do(place: &str) -> String {
    format!(
        "mend what the cause says on the target and run the same command again; or make the change \
         there yourself, then go on behind it: `dunlin run --ddl-done '{place}'`"
    )
}

/// What follows where a statement made from the source's schema fails.
fn after(source: &StatementError, code: Code, hint: String) -> Disposition {
    match source.disposition() {
        Disposition::Retry => Disposition::Retry,
        Disposition::Halt(_) => Halt::with(code, hint),
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
            TargetError::AlreadyRunning { connection, .. } => Halt::with(
                Code::AlreadyRunning,
                format!(
                    "stop the other one first; where its machine is gone, end its connection on \
                     the target: KILL {connection}"
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
            TargetError::PartOfSchema { .. }
            | TargetError::NotEmpty { .. }
            | TargetError::SchemaDiffers { .. }
            | TargetError::InTheWay { .. } => self.in_the_way(),
            TargetError::TableMissing { .. }
            | TargetError::Misplaced { .. }
            | TargetError::DatabaseMissing { .. }
            | TargetError::LoggedOtherwise { .. }
            | TargetError::Misfit { .. } => Halt::with(Code::SchemaChanged, self.to_be_mended()),
            TargetError::RowCount { .. } => Halt::with(
                Code::RowMissing,
                "somebody else wrote to the target, or it was changed by a trigger; nothing of \
                 this group was kept. Mend the target's rows and run the same command again, or \
                 copy anew: `dunlin complete`, then `dunlin run --truncate-target '*'`",
            ),
            TargetError::ValueAbsent { .. } | TargetError::NoChunk | TargetError::Answer { .. } => {
                Halt::with(
                    Code::ProtocolViolation,
                    "nothing was kept; this is a defect of dunlin, please report it",
                )
            }
            TargetError::LoadRefused { .. } | TargetError::Changed { .. } => Halt::with(
                Code::TargetRefused,
                "nothing of it was kept; mend the column, key or trigger of the target that the \
                 warning names, then run the same command again",
            ),
            TargetError::Alter { statement, source } => {
                after(source, Code::SchemaChanged, mend_or_alter(statement))
            }
            TargetError::AlteredWithin { .. } | TargetError::StillThere { .. } => {
                Disposition::Retry
            }
            TargetError::Define { place, source } => {
                after(source, Code::SchemaChanged, mend_or_do(place))
            }
            TargetError::Undecided { place, .. } => {
                Halt::with(Code::SchemaChanged, look_or_do(place))
            }
            TargetError::Build { source, .. } => {
                after(source, Code::SchemaRestoreFailed, build_or_relax(source).to_owned())
            }
            TargetError::Statement(error) => error.disposition(),
        }
    }
}
