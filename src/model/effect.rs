//! What a run of changes amounts to: rows to delete, to update and to insert, table by table.
//!
//! A [`Plan`] owns nothing but indexes; its cells name values in the batches that came from the
//! server. The stream's planner makes it, a target carries it out.

use std::sync::Arc;

use super::change::{Batch, Relation, Truncate};
use super::value::{Value, ValueRef};

/// A value of a plan: which batch, and where in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cell {
    /// Index into [`Plan::batches`].
    pub batch: u32,
    /// The value.
    pub value: ValueRef,
}

/// Index of a row's (or key's) first cell in [`Plan::cells`].
pub type CellIndex = u32;

/// How the rows of a table are told apart.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RowIdentity {
    /// By these columns of the relation; no two rows have the same values in them.
    Key(Vec<u16>),
    /// By the whole row; there may be several of one kind.
    WholeRow,
    /// Not at all: rows are only ever added.
    Nothing,
}

/// A table's shape in force, and how its rows are told apart.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Shape {
    /// The shape as the log gave it.
    pub relation: Arc<Relation>,
    /// How rows are found.
    pub identity: RowIdentity,
    /// The primary key's columns in the relation, in key order; empty where there is none or it
    /// is not in the relation whole.
    pub primary_key: Vec<u16>,
}

impl Shape {
    /// The columns that make up a row's key, in the order of key cells.
    #[must_use]
    pub fn key_columns(&self) -> Vec<u16> {
        match &self.identity {
            RowIdentity::Key(columns) => columns.clone(),
            RowIdentity::WholeRow => (0..self.width()).collect(),
            RowIdentity::Nothing => Vec::new(),
        }
    }

    /// The number of columns.
    #[must_use]
    pub fn width(&self) -> u16 {
        // A relation message counts its columns in sixteen bits.
        u16::try_from(self.relation.columns.len()).unwrap_or(u16::MAX)
    }
}

/// Rows to be updated that set the same columns.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UpdateSet {
    /// The columns that are set, as indexes into the relation.
    pub columns: Vec<u16>,
    /// For each row its key (as it is on the target) and its new values.
    pub rows: Vec<(CellIndex, CellIndex)>,
}

/// What happens to one table's rows. Carried out in the order of the fields.
#[derive(Clone, Debug)]
pub struct TableEffect {
    /// The table.
    pub shape: Arc<Shape>,
    /// Keys of rows that must be there and go, each with how many rows of it (more than one only
    /// for [`RowIdentity::WholeRow`]).
    pub deletes: Vec<(CellIndex, u32)>,
    /// Keys of rows that go if they are there.
    pub discards: Vec<CellIndex>,
    /// Rows that must be there and change.
    pub updates: Vec<UpdateSet>,
    /// Whole rows that must not be there and come.
    pub inserts: Vec<CellIndex>,
}

impl TableEffect {
    /// An effect that does nothing.
    #[must_use]
    pub fn new(shape: Arc<Shape>) -> Self {
        TableEffect {
            shape,
            deletes: Vec::new(),
            discards: Vec::new(),
            updates: Vec::new(),
            inserts: Vec::new(),
        }
    }
}

/// One step of a plan.
#[derive(Clone, Debug)]
pub enum Step {
    /// Changes of rows; the tables are independent of each other.
    Rows(Vec<TableEffect>),
    /// Tables to empty, by their shapes.
    Truncate {
        /// What the log said.
        truncate: Truncate,
        /// The shapes of those of its tables that are to be emptied.
        shapes: Vec<Arc<Shape>>,
    },
}

/// What a run of changes amounts to.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// The buffers that the cells point into.
    pub batches: Vec<Arc<Batch>>,
    /// The values of all rows and keys.
    pub cells: Vec<Cell>,
    /// What to do, in order.
    pub steps: Vec<Step>,
}

impl Plan {
    /// The value of a cell.
    #[must_use]
    pub fn value(&self, cell: Cell) -> Value<'_> {
        self.batches[cell.batch as usize].value(cell.value)
    }

    /// The value of a row's column, or of a key's part.
    #[must_use]
    pub fn at(&self, first: CellIndex, offset: u16) -> Value<'_> {
        self.value(self.cells[first as usize + usize::from(offset)])
    }
}
