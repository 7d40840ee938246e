//! What can go wrong with a MySQL or MariaDB source, apart from its connections.

use crate::model::{Code, Disposition, Fault, Halt, Position};

/// A MySQL or MariaDB source failed, or is not as it was left.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// The lock under which the snapshot is taken was not to be had.
    #[error("lock the source's tables for the snapshot: {holdup}")]
    HeldUp {
        /// Who holds it up.
        holdup: String,
    },
    /// The account may neither lock all tables at once nor one by one.
    #[error("lock the source's tables for the snapshot, which takes {privileges}")]
    LockRefused {
        /// The privileges that are missing.
        privileges: &'static str,
    },
    /// Without a lock the snapshot cannot be told from what comes after it.
    #[error("take a snapshot without a lock: {why}")]
    LockNeeded {
        /// What is missing.
        why: &'static str,
    },
    /// What is in the log does not get committed.
    #[error(
        "take a snapshot without a lock, which waits for transactions to commit that have names"
    )]
    Uncommitted,
    /// Transactions are prepared at the moment of the snapshot.
    #[error(
        "take a snapshot beside {count} prepared XA transactions, whose rows are in the log before it"
    )]
    Prepared {
        /// How many.
        count: usize,
    },
    /// Nobody would notice one of these that commits later.
    #[error(
        "see whether XA transactions are prepared: without GTIDs, one that is there now and commits \
         later would be lost"
    )]
    PreparedUnseen,
    /// The snapshot is gone with its connections.
    #[error("read under a snapshot that is not held any more")]
    SnapshotGone,
    /// What was stored about a snapshot cannot be read.
    #[error("read what is stored about the snapshot")]
    Handle {
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// The schema could not be written as an archive.
    #[error("write the archive of the schema")]
    Archive {
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// The server's answer was of an unexpected form.
    #[error("understand the server's answer to {asked}")]
    Answer {
        /// What it was asked.
        asked: &'static str,
    },
    /// A row of a table did not have the form that the protocol prescribes.
    #[error("understand a row of table {table}")]
    Row {
        /// The table.
        table: String,
    },
    /// A chunk's range is none of its table's key.
    #[error("read a range of table {table} whose borders are not of its key")]
    Range {
        /// The table.
        table: String,
    },
    /// A table cannot be read as it was planned.
    #[error("the columns of table {table} changed on the source since the migration was planned")]
    ColumnsChanged {
        /// The table.
        table: String,
    },
    /// A table is gone.
    #[error("table {table} was dropped or renamed on the source")]
    Gone {
        /// The table.
        table: String,
    },
    /// A table changed in a way that is not carried over.
    #[error("table {table} was altered on the source: {change}")]
    Altered {
        /// The table.
        table: String,
        /// What is different.
        change: String,
    },
    /// A table that came later has rows that change without a word in the log.
    #[error(
        "take table {table} in, whose foreign key {key} has {rules}, which the log does not hold"
    )]
    CascadeUnlogged {
        /// The table.
        table: String,
        /// The key.
        key: String,
        /// `ON DELETE CASCADE`...
        rules: String,
    },
    /// The definition of an object may not be read.
    #[error("read the definition of {object}")]
    DefinitionHidden {
        /// The object.
        object: String,
    },
    /// The log cannot be asked for from this position.
    #[error("read the source's binary log from {position} on")]
    BeyondReach {
        /// The position.
        position: Position,
    },
    /// The server's log holds less than was read of it.
    #[error("go on in the source's binary log from {position}, which it does not reach")]
    Behind {
        /// The position.
        position: Position,
    },
    /// Another server of the replication answers, which lags.
    #[error("go on with another source, a replica that does not have yet what the target has")]
    Lags,
    /// A statement of the server's is of an unexpected form.
    #[error("take apart the definition of table {table}")]
    Definition {
        /// The table.
        table: String,
    },
}

/// How to begin anew.
const ANEW: &str = "begin anew with `dunlin complete`, then `dunlin run --truncate-target '*'`";

/// How to do without a lock.
const OR_NONE: &str =
    "; or, on MySQL with GTIDs, have the snapshot taken without a lock: --lock none";

/// How to do with one.
pub(super) const WITH_A_LOCK: &str =
    "let the tables be locked for some milliseconds: leave --lock none out";

/// What to do about transactions that do not commit.
const WAIT_OR_KILL: &str = "SELECT @@GLOBAL.gtid_owned on the source names them and their sessions: wait for them or end \
     them (KILL), then run the same command again; --slot-timeout waits longer";

/// What to do about transactions that are prepared.
const END_PREPARED: &str = "commit them or roll them back (XA RECOVER CONVERT XID lists them), then run the same \
     command again";

/// What to do where nobody can tell whether there are any.
const SEE_PREPARED: &str = "GRANT XA_RECOVER_ADMIN ON *.* to dunlin's account on the source, then run the same command \
     again";

impl Fault for SourceError {
    fn disposition(&self) -> Disposition {
        match self {
            SourceError::SnapshotGone | SourceError::Lags => Disposition::Retry,
            SourceError::Behind { .. } => Halt::with(
                Code::SourceTimeline,
                format!(
                    "the source was reset or restored to a state before what the target holds: {ANEW}"
                ),
            ),
            SourceError::HeldUp { .. } => Halt::with(
                Code::SnapshotHeldUp,
                "wait for it or end it (KILL), then run the same command again; --slot-timeout \
                 waits longer",
            ),
            SourceError::LockRefused { privileges } => Halt::with(
                Code::PrivilegeMissing,
                format!(
                    "on the source: GRANT {privileges} to the account that dunlin uses{OR_NONE}"
                ),
            ),
            SourceError::LockNeeded { .. } => Halt::with(Code::LockNeeded, WITH_A_LOCK),
            SourceError::Uncommitted => Halt::with(Code::SnapshotHeldUp, WAIT_OR_KILL),
            SourceError::Prepared { .. } => Halt::with(Code::XaPrepared, END_PREPARED),
            SourceError::PreparedUnseen => Halt::with(Code::PrivilegeMissing, SEE_PREPARED),
            SourceError::BeyondReach { .. } => Halt::with(
                Code::StateUnreadable,
                format!("it is a position of another engine: check --name and --target, or {ANEW}"),
            ),
            SourceError::Handle { .. } => Halt::with(
                Code::StateUnreadable,
                format!("use the version of dunlin that began the migration, or {ANEW}"),
            ),
            SourceError::Archive { .. } | SourceError::Definition { .. } => Halt::with(
                Code::SchemaRestoreFailed,
                "make the tables on the target by hand, then run the same command again",
            ),
            SourceError::Answer { .. } | SourceError::Row { .. } => Halt::with(
                Code::ProtocolViolation,
                "check that --source is a MySQL or MariaDB server, with no proxy in between",
            ),
            SourceError::Range { .. } => Halt::with(
                Code::StateUnreadable,
                format!("the chunks that are stored are not of that table: {ANEW}"),
            ),
            SourceError::ColumnsChanged { .. } => Halt::with(
                Code::SchemaChanged,
                format!("nothing of that table was copied under this snapshot: {ANEW}"),
            ),
            SourceError::Gone { .. } => Halt::with(Code::TableRecreated, ANEW),
            SourceError::Altered { table, .. } => Halt::with(
                Code::SchemaChanged,
                format!("make the same change to {table} on the target, then {ANEW}"),
            ),
            SourceError::CascadeUnlogged { table, .. } => Halt::with(
                Code::CascadeUnlogged,
                format!(
                    "drop {table} on the target again, where it is still empty; then run the same \
                     command again, which leaves it out"
                ),
            ),
            SourceError::DefinitionHidden { .. } => Halt::with(
                Code::PrivilegeMissing,
                "on the source: GRANT SHOW_ROUTINE, or on MariaDB SELECT ON mysql.*, SHOW VIEW, \
                 TRIGGER and EVENT to the account that dunlin uses",
            ),
        }
    }
}
