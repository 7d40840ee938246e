//! What became of a table's columns while the migration goes on.
//!
//! A source reads it from its log and its catalog, a target carries it out. Columns are told apart
//! by the numbers that the source gives them, since names come back. What the rows hold that were
//! there before a column came is part of what has to be said: the log does not show it.

use super::schema::{Column, Table, TableId, TableName};

/// From the columns that a table had to those that its rows have from here on.
#[derive(Clone, Debug, PartialEq)]
pub struct Alteration {
    /// The name that the table had.
    pub formerly: TableName,
    /// The table whose rows show it, as it is from here on.
    pub table: Table,
    /// Columns that came, in their order.
    pub added: Vec<NewColumn>,
    /// Columns that went.
    pub dropped: Vec<DroppedColumn>,
    /// Columns that have another name now: the former and the present one.
    pub renamed: Vec<(String, String)>,
    /// The other tables that have the new columns by the same act (partitions of one table, heirs
    /// of one parent), as they are from here on.
    pub others: Vec<Table>,
    /// A name that the rows show may mean another column than before.
    pub exchanged: bool,
}

impl Alteration {
    /// All tables that it concerns, as they are from here on.
    pub fn tables(&self) -> impl Iterator<Item = &Table> {
        std::iter::once(&self.table).chain(&self.others)
    }

    /// What the rows that were there before hold by now cannot be known.
    #[must_use]
    pub fn is_untold(&self) -> bool {
        self.exchanged || self.added.iter().any(|column| column.before == Before::Untold)
    }

    /// The numbers of all tables that it concerns.
    #[must_use]
    pub fn ids(&self) -> Vec<TableId> {
        self.tables().map(|table| table.id).collect()
    }
}

/// A column that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewColumn {
    /// The column.
    pub column: Column,
    /// The table on which it was added; others have it from there.
    pub on: TableName,
    /// Its type with the modifier, in the engine's language.
    pub type_text: String,
    /// Its collation by qualified name, where it is not the type's own.
    pub collation: Option<String>,
    /// What new rows get, as an expression in the engine's language.
    pub default: Option<String>,
    /// Values are generated, as said in the engine's language (`GENERATED … AS …`).
    pub generation: Option<String>,
    /// What it holds in the rows that were there before.
    pub before: Before,
}

/// What a new column holds in the rows that were there before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Before {
    /// NULL.
    Null,
    /// One value for all, in the engine's text form.
    Value(String),
    /// What its generating expression says.
    Computed,
    /// It is not to be had from the catalog: each row may have its own, and none is in the log.
    Untold,
}

/// A column that went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DroppedColumn {
    /// Its name.
    pub name: String,
    /// No table that hangs together with this one has it any more.
    pub everywhere: bool,
}

/// What becomes of a target's column that was dropped on the source.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OnDropColumn {
    /// It needs the operator.
    Halt,
    /// It is dropped too.
    Drop,
    /// It stays; rows that come later have its default in it.
    Keep,
}
