//! What a database holds besides the rows of its tables, in the form in which it crosses from
//! source to target.
//!
//! In: what the source's catalog says. Out: plain values for the target. It knows no SQL beyond
//! carrying it. Each object keeps the source's own number, by which an archive's entries and the
//! catalog's facts are matched without comparing names.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::schema::TableName;

/// Where a sequence stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SequenceValue {
    /// Its name.
    pub name: TableName,
    /// The last value given, or the first to be given.
    pub last_value: i64,
    /// `last_value` was given already.
    pub is_called: bool,
}

/// The schema in the engine's own archive format (Postgres: `pg_dump`'s custom format).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchemaArchive {
    /// The archive.
    pub bytes: Vec<u8>,
}

impl std::fmt::Debug for SchemaArchive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SchemaArchive({} bytes)", self.bytes.len())
    }
}

/// What the source's catalog says about an index or a constraint, as far as building it needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Definition {
    /// The engine's own number for it on the source (Postgres: the OID of the index or of the
    /// constraint).
    pub source_id: u64,
    /// The table it belongs to.
    pub table: TableName,
    /// Its name.
    pub name: String,
    /// The table's rows lie in partitions.
    pub partitioned: bool,
    /// Bytes that building it works through: the index's size, or for a foreign key the size of
    /// the referencing table.
    pub bytes: u64,
    /// What it is.
    pub kind: DefinitionKind,
}

/// What an index or a constraint is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DefinitionKind {
    /// An index that no constraint owns.
    Index {
        /// Rows are named by it in the log.
        identity: bool,
    },
    /// A primary key or unique constraint of a table that holds rows itself.
    Key {
        /// It is the primary key.
        primary: bool,
        /// Rows are named by it in the log.
        identity: bool,
        /// The statement that creates its index alone; None where key and index are made at once.
        index_sql: Option<String>,
        /// It may be checked at the end of a transaction.
        deferrable: bool,
        /// It is checked at the end of a transaction unless said otherwise.
        deferred: bool,
    },
    /// A primary key or unique constraint on a partitioned table.
    PartitionedKey {
        /// Rows are named by it in the log.
        identity: bool,
    },
    /// A foreign key.
    ForeignKey {
        /// Every row is known to satisfy it.
        validated: bool,
    },
    /// A check or an exclusion constraint.
    Other,
}

/// A materialised view.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MaterializedView {
    /// Its name.
    pub name: TableName,
    /// It can be read on the source: it was refreshed at least once.
    pub populated: bool,
}

/// What the selection leaves out of the schema.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Excluded {
    /// Tables, views and sequences, by name.
    pub names: Vec<TableName>,
    /// Everything that cannot exist without these, by the engine's own numbers (Postgres: the
    /// OIDs of the system catalog and of the object).
    pub dependents: BTreeSet<(u32, u32)>,
    /// What is there only for the sake of migrations, by the same numbers.
    pub own: BTreeSet<(u32, u32)>,
}
