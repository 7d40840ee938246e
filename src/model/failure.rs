//! What went wrong, in the form in which the composer acts on it and the operator reads it.
//!
//! Every room has an error enum of its own; each answers [`Fault::disposition`]: try again, or
//! halt with a stable code and the next command. Only `migration` retries and only `cli` prints.

use std::error::Error;
use std::fmt;

/// A room's error that knows what should follow from it.
pub trait Fault: Error + Send + Sync + 'static {
    /// What to do about it.
    fn disposition(&self) -> Disposition;
}

/// What follows from an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// It may pass by itself: a lost connection, a server that restarts.
    Retry,
    /// It needs the operator.
    Halt(Halt),
}

/// Why the operator is needed, and for what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Halt {
    /// The stable code.
    pub code: Code,
    /// What to do next: the statement or the command.
    pub hint: String,
}

impl Halt {
    /// A halt with a hint, as a disposition.
    #[must_use]
    pub fn with(code: Code, hint: impl Into<String>) -> Disposition {
        Disposition::Halt(Halt { code, hint: hint.into() })
    }
}

/// Any room's error, with what follows from it.
pub struct Failure {
    disposition: Disposition,
    error: Box<dyn Error + Send + Sync>,
}

impl Failure {
    /// What to do about it.
    #[must_use]
    pub fn disposition(&self) -> &Disposition {
        &self.disposition
    }

    /// The stable code, where it is a halt.
    #[must_use]
    pub fn code(&self) -> Option<Code> {
        match &self.disposition {
            Disposition::Retry => None,
            Disposition::Halt(halt) => Some(halt.code),
        }
    }
}

/// A failure as the cause of another.
#[derive(Debug)]
pub struct Because(pub Failure);

impl fmt::Display for Because {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for Because {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.error.source()
    }
}

impl<F: Fault> From<F> for Failure {
    fn from(fault: F) -> Self {
        Failure { disposition: fault.disposition(), error: Box::new(fault) }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {:?}", self.disposition, self.error)
    }
}

impl Failure {
    /// The error itself, whose `source()` chain holds the causes.
    #[must_use]
    pub fn error(&self) -> &(dyn Error + Send + Sync + 'static) {
        self.error.as_ref()
    }
}

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal => $status:literal,)+) => {
        /// Stable error codes. `docs/errors.md` explains each.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
        pub enum Code { $($(#[doc = $doc])+ $name,)+ }

        impl Code {
            /// Every code there is.
            pub const ALL: &[Code] = &[$(Code::$name,)+];

            /// The code as it is printed.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Code::$name => $text,)+ }
            }

            /// The code that is printed like this.
            #[must_use]
            pub fn named(text: &str) -> Option<Code> {
                Code::ALL.iter().copied().find(|code| code.as_str() == text)
            }

            /// The process's exit status.
            #[must_use]
            pub fn exit_status(self) -> u8 {
                match self { $(Code::$name => $status,)+ }
            }
        }
    };
}

codes! {
    /// A configuration key, flag or value is wrong.
    ConfigInvalid = "CONFIG_INVALID" => 2,
    /// A connection URL cannot be read.
    UrlInvalid = "URL_INVALID" => 2,
    /// A secret's file or environment variable cannot be read.
    SecretUnreadable = "SECRET_UNREADABLE" => 2,
    /// A table pattern matches nothing.
    PatternUnmatched = "PATTERN_UNMATCHED" => 2,
    /// The server refused the user or the password.
    AuthFailed = "AUTH_FAILED" => 2,
    /// The database does not exist.
    DatabaseMissing = "DATABASE_MISSING" => 2,
    /// The server's TLS certificate or name was not accepted, or TLS is not offered.
    TlsFailed = "TLS_FAILED" => 2,
    /// The host name does not resolve.
    HostUnknown = "HOST_UNKNOWN" => 2,
    /// There is no migration of that name in the target.
    MigrationMissing = "MIGRATION_MISSING" => 2,
    /// Rows differ on the target.
    RowsDiffer = "ROWS_DIFFER" => 1,
    /// A program that is needed (pg_dump, pg_restore) is missing or too old.
    ProgramMissing = "PROGRAM_MISSING" => 3,
    /// The source's wal_level is not logical.
    WalLevel = "WAL_LEVEL" => 3,
    /// The source has no free replication slot.
    NoFreeSlot = "NO_FREE_SLOT" => 3,
    /// The source has no free WAL sender.
    NoFreeSender = "NO_FREE_SENDER" => 3,
    /// A privilege is missing.
    PrivilegeMissing = "PRIVILEGE_MISSING" => 3,
    /// The server has no room for the connections that are needed.
    NoFreeConnections = "NO_FREE_CONNECTIONS" => 3,
    /// Source and target are the same database.
    SameDatabase = "SAME_DATABASE" => 3,
    /// The source writes no binary log.
    BinlogOff = "BINLOG_OFF" => 3,
    /// The source's binary log holds statements, or not the whole of changed rows.
    BinlogFormat = "BINLOG_FORMAT" => 3,
    /// The source's binary log leaves changes of some databases out.
    BinlogFiltered = "BINLOG_FILTERED" => 3,
    /// The source's server_id is 0.
    ServerId = "SERVER_ID" => 3,
    /// A selected table is of an engine without transactions.
    TableEngine = "TABLE_ENGINE" => 3,
    /// A selected table keeps the history of its rows.
    TableVersioned = "TABLE_VERSIONED" => 3,
    /// Without a lock the snapshot could not be told from what comes after it.
    LockNeeded = "LOCK_NEEDED" => 3,
    /// The source does not log what a foreign key's cascade does to rows.
    CascadeUnlogged = "CASCADE_UNLOGGED" => 3,
    /// The source is a standby of a version that cannot decode there.
    SourceStandby = "SOURCE_STANDBY" => 3,
    /// The target is a standby or read only.
    TargetReadOnly = "TARGET_READ_ONLY" => 3,
    /// The server's version is not supported.
    VersionUnsupported = "VERSION_UNSUPPORTED" => 3,
    /// A slot or publication of the name that is needed belongs to something else.
    SlotForeign = "SLOT_FOREIGN" => 3,
    /// The source is a standby whose primary lacks the publications that are needed.
    PublicationNeeded = "PUBLICATION_NEEDED" => 3,
    /// A table without replica identity sees updates or deletes.
    NoIdentity = "NO_IDENTITY" => 3,
    /// A selected table is unlogged, so its changes are not in the log.
    TableUnlogged = "TABLE_UNLOGGED" => 3,
    /// A selected table is a foreign table.
    TableForeign = "TABLE_FOREIGN" => 3,
    /// The target's encoding cannot hold every text of the source.
    EncodingDiffers = "ENCODING_DIFFERS" => 3,
    /// An extension that the source uses is not installed on the target's machine.
    ExtensionMissing = "EXTENSION_MISSING" => 3,
    /// The target's local_infile is off.
    LocalInfile = "LOCAL_INFILE" => 3,
    /// The target does not have a column's type.
    TypeUnknown = "TYPE_UNKNOWN" => 3,
    /// The target does not have a column's collation.
    CollationUnknown = "COLLATION_UNKNOWN" => 3,
    /// The target holds rows or large objects already.
    TargetNotEmpty = "TARGET_NOT_EMPTY" => 3,
    /// The target's tables do not fit the source's.
    TargetSchemaDiffers = "TARGET_SCHEMA_DIFFERS" => 3,
    /// The schema could not be restored on the target.
    SchemaRestoreFailed = "SCHEMA_RESTORE_FAILED" => 4,
    /// The replication slot is gone.
    SlotMissing = "SLOT_MISSING" => 4,
    /// The replication slot was invalidated by the server.
    SlotLost = "SLOT_LOST" => 4,
    /// The replication slot is ahead of the checkpoint.
    SlotAhead = "SLOT_AHEAD" => 4,
    /// Creating the slot waits for a running transaction.
    SlotHeldUp = "SLOT_HELD_UP" => 4,
    /// The lock under which the snapshot is taken waits for running statements.
    SnapshotHeldUp = "SNAPSHOT_HELD_UP" => 4,
    /// What changed in a table while its snapshot was taken could never be told from its copy.
    CopyUnsettled = "COPY_UNSETTLED" => 4,
    /// The slot is in use by another process.
    SlotActive = "SLOT_ACTIVE" => 4,
    /// The publication is gone.
    PublicationMissing = "PUBLICATION_MISSING" => 4,
    /// The source is a standby, and a table has to be published on its primary.
    TableUnpublished = "TABLE_UNPUBLISHED" => 4,
    /// The source is another cluster than the one the migration began with.
    SourceIdentity = "SOURCE_IDENTITY" => 4,
    /// The source is on another timeline.
    SourceTimeline = "SOURCE_TIMELINE" => 4,
    /// An update or delete met no row on the target.
    RowMissing = "ROW_MISSING" => 4,
    /// The target refused a row.
    TargetRefused = "TARGET_REFUSED" => 4,
    /// A value or a row is larger than a server can send or hold.
    ValueTooLarge = "VALUE_TOO_LARGE" => 4,
    /// The table changed on the source in a way that is not yet on the target.
    SchemaChanged = "SCHEMA_CHANGED" => 4,
    /// A table was dropped and created again on the source.
    TableRecreated = "TABLE_RECREATED" => 4,
    /// Partitions were attached or detached on the source.
    PartitionsChanged = "PARTITIONS_CHANGED" => 4,
    /// A table that is copied without identity saw an update or delete.
    IdentityNeeded = "IDENTITY_NEEDED" => 4,
    /// The server sent something that the protocol does not allow.
    ProtocolViolation = "PROTOCOL_VIOLATION" => 4,
    /// The source's log is damaged, encrypted, or says itself that it lacks something.
    LogUnreadable = "LOG_UNREADABLE" => 4,
    /// The source's log does not go back to where the migration is.
    LogPurged = "LOG_PURGED" => 4,
    /// The source's log holds statements, or rows that were rolled back, in place of row changes.
    LogNotRows = "LOG_NOT_ROWS" => 4,
    /// The source's log leaves out parts of rows that are needed.
    RowImage = "ROW_IMAGE" => 4,
    /// A prepared XA transaction cannot be carried.
    XaPrepared = "XA_PREPARED" => 4,
    /// The source's log lacks GTIDs, or has them out of order.
    GtidNeeded = "GTID_NEEDED" => 4,
    /// The source retains more log than the operator allows.
    RetainedWal = "RETAINED_WAL" => 4,
    /// A process with a newer epoch has taken over.
    Fenced = "FENCED" => 4,
    /// Another dunlin works on the same migration.
    AlreadyRunning = "ALREADY_RUNNING" => 4,
    /// The target's disk is full.
    TargetDiskFull = "TARGET_DISK_FULL" => 4,
    /// The stored state cannot be read, or is of another version of dunlin.
    StateUnreadable = "STATE_UNREADABLE" => 4,
    /// The settings differ from the ones the migration began with.
    SettingsChanged = "SETTINGS_CHANGED" => 4,
    /// A statement failed that was expected to succeed.
    StatementFailed = "STATEMENT_FAILED" => 4,
    /// The target has not applied what is to be compared, and nobody is at work on it.
    VerifyBehind = "VERIFY_BEHIND" => 4,
    /// A verification was stopped before its end.
    VerifyStopped = "VERIFY_STOPPED" => 4,
    /// A local file or process failed.
    LocalFailed = "LOCAL_FAILED" => 4,
    /// Something stands against a cutover.
    CutoverRefused = "CUTOVER_REFUSED" => 5,
    /// Nobody has proved that both sides are equal.
    Unverified = "UNVERIFIED" => 5,
    /// A cutover failed before the traffic was moved, and was undone.
    CutoverUndone = "CUTOVER_UNDONE" => 5,
    /// A cutover ended while the traffic was being moved.
    CutoverUndecided = "CUTOVER_UNDECIDED" => 5,
    /// The migration was cut over already.
    CutOver = "CUT_OVER" => 5,
    /// The way back was not armed at the cutover, or is not running.
    NoWayBack = "NO_WAY_BACK" => 5,
    /// The server cannot be reached.
    ConnectFailed = "CONNECT_FAILED" => 75,
    /// It went on failing after every retry.
    RetriesExhausted = "RETRIES_EXHAUSTED" => 75,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn codes_are_unique() {
        let texts: HashSet<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(texts.len(), Code::ALL.len());
    }
}
