//! What a log says, in the order in which it says it.
//!
//! A decoder turns a buffer that came from the server into one [`Batch`]: a list of events whose
//! values point into that buffer. Batches travel through channels; rows never do.

use std::sync::Arc;

use bytes::Bytes;

use super::position::{Mark, Position};
use super::schema::{TableId, TableName};
use super::schema_change::SchemaChange;
use super::value::{Row, Value, ValueRef};

/// A buffer from the server and what it says.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// The bytes that values point into.
    pub data: Bytes,
    /// The values of all rows, one after another.
    pub values: Vec<ValueRef>,
    /// What happened, in commit order.
    pub events: Vec<Event>,
}

impl Batch {
    /// The values of a row, in the order of the relation's columns.
    #[must_use]
    pub fn row(&self, row: Row) -> &[ValueRef] {
        let first = row.first as usize;
        &self.values[first..first + usize::from(row.len)]
    }

    /// The bytes behind a value.
    #[must_use]
    pub fn value(&self, value: ValueRef) -> Value<'_> {
        match value {
            ValueRef::Null => Value::Null,
            ValueRef::Absent => Value::Absent,
            ValueRef::Text { start, len } => {
                Value::Text(&self.data[start as usize..start as usize + len as usize])
            }
        }
    }
}

/// One thing that the log says.
#[derive(Clone, Debug)]
pub enum Event {
    /// A transaction opens. No other is open.
    Begin {
        /// Its name in the log.
        mark: Mark,
        /// When it committed on the source, in microseconds since the Unix epoch.
        committed_at_us: i64,
    },
    /// A row changed.
    Change(Change),
    /// Tables were emptied by one statement.
    Truncate(Truncate),
    /// A definition stands in the log as a statement, the first thing of its transaction, which was
    /// not begun before. The log goes on only for a reader that knows the tables as they are then.
    Schema(Arc<SchemaChange>),
    /// The shape that a table's rows have from here on. Sent before the table's first change
    /// and again only when it differs.
    Relation(Arc<Relation>),
    /// The open transaction is complete; everything up to `end` may be acknowledged once it is
    /// durable.
    Commit {
        /// The position after the transaction.
        end: Position,
    },
    /// From here on the log holds rows of a partition of which the migration does not know yet
    /// whether rows came or went with it that the log does not hold.
    Unsettled {
        /// The table that the partition belongs to.
        table: TableId,
    },
    /// No transaction is open and everything before `position` was sent.
    Idle {
        /// Where the log reader stands.
        position: Position,
    },
}

/// A change of one row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// A row came into being.
    Insert {
        /// The table it belongs to.
        table: TableId,
        /// All its values.
        new: Row,
    },
    /// A row changed. `old` is there where the key changed (key columns only, the others
    /// absent) or where the whole old row is logged.
    Update {
        /// The table it belongs to.
        table: TableId,
        /// The row before, as far as it is logged.
        old: Option<Row>,
        /// The row after; unchanged large values may be absent.
        new: Row,
    },
    /// A row went away.
    Delete {
        /// The table it belongs to.
        table: TableId,
        /// Its key (the other columns absent), or the whole row.
        old: Row,
    },
}

impl Change {
    /// The table whose row changed.
    #[must_use]
    pub fn table(&self) -> TableId {
        match self {
            Change::Insert { table, .. }
            | Change::Update { table, .. }
            | Change::Delete { table, .. } => *table,
        }
    }
}

/// Tables emptied by one statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Truncate {
    /// All tables that the statement emptied and that are being copied.
    pub tables: Vec<TableId>,
    /// The statement said CASCADE.
    pub cascade: bool,
    /// The statement said RESTART IDENTITY.
    pub restart_identity: bool,
}

/// A definition as it was run on the source. Numbers are the engine's own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statement {
    /// The database that names without one mean.
    pub database: String,
    /// Its text, in the client's character set.
    pub text: Vec<u8>,
    /// The SQL mode, bit by bit.
    pub sql_mode: u64,
    /// The collation whose character set the text is in.
    pub client_charset: u16,
    /// The collation that literals have.
    pub connection_collation: u16,
    /// The time zone, where it mattered.
    pub time_zone: Option<String>,
    /// When it began, in microseconds since the Unix epoch.
    pub began_at_us: i64,
    /// The collations that are meant by a character set alone, where that is another one than the
    /// server's own: pairs of any collation of the set and of the one that is meant.
    pub default_collations: Vec<(u16, u16)>,
    /// A column of type TIMESTAMP is what its definition says: it may be NULL and has no default, unless
    /// that is said.
    pub explicit_timestamps: bool,
}

/// The shape of a table's rows at one point of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relation {
    /// Which table.
    pub table: TableId,
    /// Its name at this point of the log.
    pub name: TableName,
    /// The columns in the order of the rows' values.
    pub columns: Vec<RelationColumn>,
    /// The old row is logged whole.
    pub full: bool,
    /// Updates and deletes of its rows have effects on other rows that the log does not hold: the
    /// target's foreign keys bring them about.
    pub cascades: bool,
}

/// A column as the log describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelationColumn {
    /// Its name.
    pub name: String,
    /// The type by its qualified name, quoted where needed: `pg_catalog.int4`. Of MySQL and MariaDB
    /// the type that is known, or what the log tells of one that it has otherwise: `decimal(12,4)`,
    /// `varchar(9) CHARACTER SET latin1`.
    pub type_name: String,
    /// The type modifier in the engine's own coding; -1 where there is none.
    pub type_modifier: i32,
    /// It belongs to the row's identity.
    pub key: bool,
}
