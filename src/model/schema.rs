//! Tables and columns, by the names that both servers know them by.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::order::ColumnOrder;
use super::position::Position;

/// A table's number within one migration. It is given once, stored, and never used again for
/// another table.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TableId(pub u32);

/// A table's name, unquoted.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct TableName {
    /// The schema (Postgres) or database (MySQL) it lies in.
    pub schema: String,
    /// Its own name.
    pub name: String,
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema, self.name)
    }
}

/// A table that holds rows of its own (an ordinary table or a leaf partition), or a partitioned one
/// that is copied as one table.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Table {
    /// Its number in this migration.
    pub id: TableId,
    /// Its name.
    pub name: TableName,
    /// The engine's own number for it on the source (Postgres: the OID). A table that was
    /// dropped and created again under its old name has another one.
    pub source_id: u64,
    /// All columns in the source's order, generated ones included.
    pub columns: Vec<Column>,
    /// How many columns it has ever had, dropped ones included: the number of the newest.
    pub columns_ever: u16,
    /// Columns that were dropped on the source and, by the operator's choice, not on the target.
    pub kept: Vec<String>,
    /// The engine's own number for what its rows are stored in on the source (Postgres: the
    /// relfilenode). Another one tells that they were written anew, or emptied.
    pub storage: u64,
    /// How the log names a row of it.
    pub identity: Identity,
    /// The primary key: indexes into `columns`, in key order. Empty where there is none.
    pub primary_key: Vec<usize>,
    /// Size of the rows on the source, large values included, indexes not.
    pub bytes: u64,
    /// The statistics' guess at the number of rows.
    pub estimated_rows: u64,
    /// Number of heap pages (Postgres), for chunks by block ranges.
    pub pages: u64,
    /// How well the order of the rows on disk follows the first key column: -1 to 1. None where
    /// the statistics do not say.
    pub correlation: Option<f32>,
    /// The uppermost partitioned table above it, where it is a partition that is copied by itself.
    pub root: Option<TableName>,
    /// What its rows lie in, where it is a partitioned table that is copied as one.
    #[serde(default)]
    pub partitions: Option<Partitions>,
    /// Rules of foreign keys that change rows of it, or of others for its sake, without a word in the
    /// log.
    #[serde(default)]
    pub cascades: Option<Cascades>,
    /// Values of every column travel in the engine's binary form as far as the source can tell:
    /// no type outside of the built-in ones, looked at through arrays, domains and composites.
    pub binary_travels: bool,
}

impl Table {
    /// The columns that are copied: all but the generated ones.
    pub fn copied_columns(&self) -> impl Iterator<Item = &Column> {
        self.columns.iter().filter(|column| !column.generated)
    }

    /// Whether another one has the same name, columns and primary key.
    #[must_use]
    pub fn has_shape_of(&self, other: &Table) -> bool {
        self.name == other.name
            && self.columns == other.columns
            && self.primary_key == other.primary_key
    }

    /// Replaces the columns, by which the key and the identity keep theirs.
    ///
    /// A key of which a column is gone is no key any more.
    #[must_use]
    pub fn with_columns(&self, columns: Vec<Column>) -> Table {
        let place = |&index: &usize| {
            let number = self.columns[index].number;
            columns.iter().position(|column| column.number == number)
        };
        let places = |indexes: &[usize]| indexes.iter().map(place).collect::<Option<Vec<_>>>();
        let identity = match &self.identity {
            Identity::Key { columns } => match places(columns) {
                Some(columns) => Identity::Key { columns },
                None => Identity::Nothing,
            },
            Identity::Full | Identity::Nothing => self.identity.clone(),
        };
        let primary_key = places(&self.primary_key).unwrap_or_default();
        let newest = columns.iter().map(|column| column.number).max().unwrap_or_default();
        let columns_ever = self.columns_ever.max(newest);
        Table { identity, primary_key, columns_ever, columns, ..self.clone() }
    }

    /// Takes over what tells that rows were written anew since `seen`, which is the same table as it
    /// stands where all its rows are about to be copied.
    pub fn stand_as(&mut self, seen: &Table) {
        self.storage = seen.storage;
        for column in &mut self.columns {
            let same = seen.columns.iter().find(|other| other.number == column.number);
            column.version = same.map_or(column.version, |same| same.version);
        }
    }

    /// The primary key's columns, in key order.
    pub fn key_columns(&self) -> impl Iterator<Item = &Column> {
        self.primary_key.iter().map(|&index| &self.columns[index])
    }

    /// How the order of each primary key column is reproduced, in key order.
    pub fn key_orders(&self) -> impl Iterator<Item = ColumnOrder> {
        self.key_columns().map(|column| column.order)
    }

    /// One of its partitions as a table by itself, with this table's columns and key.
    #[must_use]
    pub fn partition(&self, source_id: u64) -> Option<Table> {
        let partitions = &self.partitions.as_ref()?.leaves;
        let leaf = partitions.iter().find(|leaf| leaf.source_id == source_id)?;
        Some(Table {
            name: leaf.name.clone(),
            source_id,
            bytes: leaf.bytes,
            estimated_rows: leaf.estimated_rows,
            pages: leaf.pages,
            correlation: leaf.correlation,
            root: Some(self.name.clone()),
            partitions: None,
            ..self.clone()
        })
    }

    /// Whether a row can be assigned to a key range outside of the server.
    #[must_use]
    pub fn key_is_comparable(&self) -> bool {
        !self.primary_key.is_empty() && self.key_orders().all(|order| order != ColumnOrder::Opaque)
    }

    /// Whether every change of a row can be assigned to a key range: the log has the old primary
    /// key too where that changes.
    #[must_use]
    pub fn changes_are_assignable(&self) -> bool {
        let logged = match &self.identity {
            Identity::Key { columns } => self.primary_key.iter().all(|key| columns.contains(key)),
            Identity::Full | Identity::Nothing => true,
        };
        logged && self.key_is_comparable()
    }
}

/// What a table is to rules of foreign keys whose effects are not in the log.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Cascades {
    /// Tables of one number hang together by foreign keys: they are copied at one moment, and their
    /// changes keep the source's order wherever one has effects on another.
    pub family: u32,
    /// Changes of its rows may have such effects.
    pub parent: bool,
    /// Its own foreign keys with such rules, in a form in which both servers agree.
    pub rules: Vec<String>,
}

/// The numbers of those of `tables` that are among `ids`, or of a family with one that is.
#[must_use]
pub fn with_families(tables: &[Table], ids: &[TableId]) -> Vec<TableId> {
    let family = |table: &Table| table.cascades.as_ref().map(|cascades| cascades.family);
    let named = |table: &&Table| ids.contains(&table.id);
    let families: Vec<u32> = tables.iter().filter(named).filter_map(family).collect();
    let meant = |table: &&Table| {
        named(table) || family(table).is_some_and(|family| families.contains(&family))
    };
    tables.iter().filter(meant).map(|table| table.id).collect()
}

/// The partitions of a table that is copied as one.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Partitions {
    /// The position of the snapshot that they were read and cut into chunks under; None before.
    pub at: Option<Position>,
    /// Those that hold rows, on every level, and those that came since without any.
    pub leaves: Vec<Partition>,
}

/// A partition that holds rows.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Partition {
    /// Its name.
    pub name: TableName,
    /// The engine's own number for it on the source, as [`Table::source_id`].
    pub source_id: u64,
    /// The engine's number of what it is stored in: another one once it was emptied or rewritten.
    pub storage: u64,
    /// The engine's numbers of what links it to the table, level by level (Postgres: of the
    /// transactions that did): others once it was detached and attached again.
    #[serde(default)]
    pub links: Vec<u32>,
    /// The engine's number of the transaction that made it a partition, where that was after the
    /// table was copied.
    #[serde(default)]
    pub came_in: Option<u32>,
    /// As [`Table::bytes`].
    pub bytes: u64,
    /// As [`Table::estimated_rows`].
    pub estimated_rows: u64,
    /// As [`Table::pages`].
    pub pages: u64,
    /// As [`Table::correlation`].
    pub correlation: Option<f32>,
}

/// A column.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its number on the source, which is never given again within the table.
    pub number: u16,
    /// The engine's own number for its description on the source (Postgres: the transaction that
    /// wrote it). Another one tells that the description was changed.
    pub version: u32,
    /// The type by its qualified name, quoted where needed, without modifier:
    /// `pg_catalog.int4`, `public."My Type"`, `pg_catalog._text`.
    pub type_name: String,
    /// The type modifier in the engine's own coding; -1 where there is none.
    pub type_modifier: i32,
    /// It may not be NULL.
    pub not_null: bool,
    /// The server computes it; it is never written.
    pub generated: bool,
    /// The collation by its qualified name, quoted where needed; None where the type has none.
    #[serde(default)]
    pub collation: Option<String>,
    /// How its order is reproduced outside of the server.
    pub order: ColumnOrder,
}

/// How the log names a row.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "lowercase")]
pub enum Identity {
    /// By the columns of a unique index over columns that are not null: indexes into
    /// [`Table::columns`].
    Key {
        /// Indexes into [`Table::columns`], in table order.
        columns: Vec<usize>,
    },
    /// By the whole old row.
    Full,
    /// Not at all: only inserts and truncates can be carried.
    Nothing,
}
