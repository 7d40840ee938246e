//! Changes of tables' definitions that stand in the log as statements, and what is done about them.
//!
//! In: what a source read from its log, and what the operator chose. Out: plain values for the
//! stream, which decides, and for the target, which carries out. A statement's text is opaque in
//! here; what it does to which tables is said beside it.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::alteration::OnDropColumn;
use super::change::Statement;
use super::position::{Mark, Position};
use super::schema::{Table, TableId, TableName};

/// A statement of the log that defines tables, at its place.
#[derive(Clone, Debug, PartialEq)]
pub struct SchemaChange {
    /// The transaction it stands in, of which it is the first thing.
    pub mark: Mark,
    /// The position behind it; None where rows of the same transaction follow.
    pub end: Option<Position>,
    /// When it was committed on the source, in microseconds since the Unix epoch.
    pub committed_at_us: i64,
    /// What it does.
    pub act: Act,
    /// It makes a foreign key by which rows change that are not in the log then.
    pub unlogged: bool,
    /// The table like which it makes another.
    pub template: Option<TableName>,
    /// Those of the tables it names that are selected, by the names that they have behind it.
    pub selected: BTreeSet<TableName>,
    /// The statement.
    pub statement: Statement,
    /// The statement as far as it may be shown.
    pub told: String,
}

/// What a statement does to which tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Makes a table.
    Create(TableName),
    /// Alters a table.
    Alter(Alter),
    /// Gives tables other names, one after the other.
    Rename(Vec<(TableName, TableName)>),
    /// Drops tables.
    Drop(Vec<TableName>),
    /// Empties a table.
    Truncate(TableName),
    /// It is not understood; the table that it makes, where that much is.
    Other(Option<TableName>),
    /// It makes a table, and which one cannot be read.
    Unnamed,
}

/// How a table is altered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alter {
    /// The table.
    pub table: TableName,
    /// The name that it has then.
    pub to: TableName,
    /// Columns or keys change, so that it matters for each row whether it was there before.
    pub rows: bool,
    /// Columns that go.
    pub drops: Vec<String>,
    /// Columns take the names or places of others, so that the table may look as before though its
    /// columns are others.
    pub permutes: bool,
}

impl Act {
    /// The tables that stand there before it, as far as it names them.
    #[must_use]
    pub fn before(&self) -> Vec<&TableName> {
        match self {
            Act::Create(_) | Act::Other(_) | Act::Unnamed => Vec::new(),
            Act::Alter(alter) => vec![&alter.table],
            Act::Rename(pairs) => pairs.iter().map(|(from, _)| from).collect(),
            Act::Drop(tables) => tables.iter().collect(),
            Act::Truncate(table) => vec![table],
        }
    }

    /// The table that it makes.
    #[must_use]
    pub fn made(&self) -> Option<&TableName> {
        match self {
            Act::Create(table) => Some(table),
            Act::Other(made) => made.as_ref(),
            Act::Alter(_) | Act::Rename(_) | Act::Drop(_) | Act::Truncate(_) | Act::Unnamed => None,
        }
    }

    /// The tables that stand there behind it, as far as it names them.
    #[must_use]
    pub fn after(&self) -> Vec<&TableName> {
        match self {
            Act::Drop(_) | Act::Unnamed => Vec::new(),
            Act::Other(made) => made.iter().collect(),
            Act::Create(table) | Act::Truncate(table) => vec![table],
            Act::Alter(alter) => vec![&alter.to],
            Act::Rename(pairs) => pairs.iter().map(|(_, to)| to).collect(),
        }
    }
}

/// What the operator chose for changes of definitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaPolicy {
    /// For definitions that are not understood.
    pub on_other_ddl: OnOtherDdl,
    /// For tables that are made.
    pub on_create_table: OnCreateTable,
    /// For tables that are dropped, or leave the selection.
    pub on_drop_table: OnDropTable,
    /// For columns that are dropped.
    pub on_drop_column: OnDropColumn,
    /// The place of one that was seen to by hand.
    pub done: Option<String>,
}

/// What becomes of a definition that is not understood.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OnOtherDdl {
    /// It needs the operator.
    Halt,
    /// It is passed by, and said.
    Pass,
}

/// What becomes of a selected table that is made on the source.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OnCreateTable {
    /// It is made on the target and followed.
    Create,
    /// It is left out, and said.
    Ignore,
    /// It needs the operator.
    Halt,
}

/// What becomes of the target's table where the source's is dropped or leaves the selection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OnDropTable {
    /// It needs the operator.
    Halt,
    /// It goes too.
    Drop,
    /// It stays, and is followed no more.
    Keep,
}

/// What a target has to do about a change of definitions, everything before which it holds.
#[derive(Clone, Debug)]
pub struct SchemaStep {
    /// The change.
    pub change: Arc<SchemaChange>,
    /// What is run.
    pub run: Deed,
    /// What is run may be there already: the table is a copy of a later moment.
    pub repeated: bool,
    /// Tables of the migration that it concerns.
    pub tables: Vec<Redefined>,
    /// Where nothing is run: what tables of these names are like on the source by now.
    pub seen: Vec<Table>,
    /// The one among them that comes into the migration by it, empty.
    pub created: Option<TableId>,
    /// Tables that are no longer of the migration.
    pub gone: Vec<TableId>,
    /// Everything that this position contains is on the target then.
    pub at: Position,
}

/// A table that a change of definitions concerns.
#[derive(Clone, Debug)]
pub struct Redefined {
    /// The name that it had.
    pub formerly: TableName,
    /// The table, under the name that it has then; its columns and its key are those of before, and
    /// are to be read anew.
    pub table: Table,
}

/// What is run for a change of definitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deed {
    /// The statement as it stands in the log.
    AsWritten,
    /// These tables get other names, in this order.
    Rename(Vec<(TableName, TableName)>),
    /// These tables are dropped where they are there.
    Drop(Vec<TableName>),
    /// Nothing: it is done, or not wanted.
    Nothing,
}
