//! What may be wrong with a binary log, and what follows from it.

use std::fmt;

use crate::model::{Code, Disposition, Fault, Halt, TableName};

/// Where an event stands: the log's file as far as it is known, and the offset of the event.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Place {
    /// The file; empty before the log has named it.
    pub file: String,
    /// Bytes from its beginning.
    pub offset: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.offset)
    }
}

/// An event that cannot be read or carried.
#[derive(Debug, thiserror::Error)]
#[error("the binary log's event of type {event} at {place} {problem}")]
pub struct BinlogError {
    /// The event's type, by its number in the log.
    pub event: u8,
    /// Where it stands.
    pub place: Place,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What is wrong with an event.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// It ends before something that should be in it.
    #[error("ends early, within {0}")]
    Truncated(&'static str),
    /// It holds something that cannot be.
    #[error("holds {0}")]
    Malformed(&'static str),
    /// It makes no sense where it stands.
    #[error("is out of place: {0}")]
    OutOfPlace(&'static str),
    /// Its bytes are not those that the server wrote.
    #[error("has a wrong checksum")]
    Checksum,
    /// It is of a type that is not known, and it may hold changes.
    #[error("is of an unknown type")]
    UnknownType,
    /// It says that the log lacks something.
    #[error("reports that changes are missing from the log")]
    Incident,
    /// What follows is encrypted.
    #[error("begins an encrypted log")]
    Encrypted,
    /// Its compressed contents cannot be had.
    #[error("cannot be decompressed")]
    Compression,
    /// It does not fit into memory or into a batch.
    #[error("is too large: {0}")]
    TooLarge(&'static str),
    /// A statement that changes rows, in place of the rows.
    #[error("holds a statement of database {0} in place of the rows it changed")]
    Statement(Box<str>),
    /// Rows were changed and then rolled back within a transaction that was logged.
    #[error("rolls back rows of table {0} that the log holds")]
    RolledBack(Box<TableName>),
    /// A transaction that another one will decide upon holds rows, more than can be kept.
    #[error("prepares an XA transaction with rows of table {0}, more than can be kept")]
    Prepared(Box<TableName>),
    /// A transaction is committed that was prepared before the log was followed.
    #[error("commits an XA transaction whose rows are not in the log from the snapshot on")]
    Unprepared,
    /// Tables change while a transaction is prepared, and no position can lie between the two.
    #[error("changes the definition of a table while an XA transaction is prepared")]
    Undecided,
    /// Rows do not have the columns that the table is known to have.
    #[error("describes table {}, {}", .0.0, .0.1)]
    TableDiffers(Box<(TableName, String)>),
    /// A row lacks columns that are needed.
    #[error("holds a row of table {0} without all its columns")]
    PartialRow(Box<TableName>),
    /// A partial JSON document does not fit the document it is a part of.
    #[error("holds a change of a JSON document of table {0} that does not fit the document")]
    PartialJson(Box<TableName>),
    /// A transaction without a name in a log that is followed by names.
    #[error("begins a transaction without a GTID")]
    Anonymous,
    /// A transaction has a number that is not beyond its domain's last.
    #[error("begins a transaction whose GTID is out of order")]
    OutOfOrder,
}

const ANEW: &str = "begin anew: `dunlin complete`, then `dunlin run --truncate-target '*'`";

impl Problem {
    fn code(&self) -> Code {
        match self {
            Problem::Truncated(_)
            | Problem::Malformed(_)
            | Problem::OutOfPlace(_)
            | Problem::UnknownType => Code::ProtocolViolation,
            Problem::Checksum | Problem::Compression | Problem::Incident | Problem::Encrypted => {
                Code::LogUnreadable
            }
            Problem::TooLarge(_) => Code::ValueTooLarge,
            Problem::Statement(_) | Problem::RolledBack(_) => Code::LogNotRows,
            Problem::Prepared(_) | Problem::Unprepared | Problem::Undecided => Code::XaPrepared,
            Problem::TableDiffers(_) => Code::SchemaChanged,
            Problem::PartialRow(_) | Problem::PartialJson(_) => Code::RowImage,
            Problem::Anonymous | Problem::OutOfOrder => Code::GtidNeeded,
        }
    }

    fn hint(&self) -> String {
        match self {
            Problem::Truncated(_)
            | Problem::Malformed(_)
            | Problem::OutOfPlace(_)
            | Problem::UnknownType => "nothing was skipped; if source and dunlin are of supported \
                                       versions, report this with the source's version"
                .to_owned(),
            Problem::Checksum | Problem::Compression => format!(
                "run the same command again; where it stops at the same place, the source's log is \
                 damaged there (mysqlbinlog --verify-binlog-checksum): {ANEW}"
            ),
            Problem::Incident | Problem::Encrypted => format!(
                "look into the source's error log; the changes are not to be had from this log: \
                 {ANEW}"
            ),
            Problem::TooLarge(_) => {
                "a single row of the source exceeds what can be carried".to_owned()
            }
            Problem::Statement(_) => format!(
                "on the source: SET GLOBAL binlog_format = ROW, and see that no session sets it \
                 back; then {ANEW}"
            ),
            Problem::RolledBack(table) => format!(
                "{table}, or a table changed together with it, is of a storage engine without \
                 transactions: ALTER TABLE ... ENGINE=InnoDB on the source, then {ANEW}"
            ),
            Problem::Prepared(table) => format!(
                "transactions that are prepared at one time may have 16 MiB of rows together: leave \
                 {table} out, or have its writers prepare less; then {ANEW}"
            ),
            Problem::Unprepared => format!(
                "give dunlin's account the privilege to see prepared transactions (GRANT \
                 XA_RECOVER_ADMIN), so that no snapshot is taken beside one; then {ANEW}"
            ),
            Problem::Undecided => ANEW.to_owned(),
            Problem::TableDiffers(_) => format!(
                "with binlog_row_metadata = FULL on the source dunlin can follow such changes; now \
                 {ANEW}"
            ),
            Problem::PartialRow(_) | Problem::PartialJson(_) => format!(
                "on the source: SET GLOBAL binlog_row_image = FULL, binlog_row_value_options = '', \
                 and see that no session sets them back; then {ANEW}"
            ),
            Problem::Anonymous => {
                format!("on the source: SET GLOBAL gtid_mode = ON; then {ANEW}")
            }
            Problem::OutOfOrder => {
                format!("on the source: SET GLOBAL gtid_strict_mode = ON; then {ANEW}")
            }
        }
    }
}

impl Fault for BinlogError {
    fn disposition(&self) -> Disposition {
        Halt::with(self.problem.code(), self.problem.hint())
    }
}
