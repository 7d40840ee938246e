//! The net effect of a group of changes, and the exact replay of what has none.
//!
//! In come runs of events in commit order; out comes a [`Plan`]. Two ways lead to the same end
//! state. Merged changes keep one fate per key: a row that was inserted and deleted vanishes, a
//! hundred updates of a row are one. Within a table the target deletes, then updates, then
//! inserts. Replayed changes are a step each, in the source's order; that is for tables whose net
//! effect clashes with a unique constraint on the way, or cannot be told without values that the
//! log left out. Tables do not depend on each other here (foreign keys rest on the target), so
//! one table is replayed while all others are merged. But where changes have effects on other rows
//! that only the target's foreign keys bring about, the whole family of tables is replayed.
//!
//! Nothing is lost or applied twice: every change either alters the fate of its key, or is judged
//! *contained* in the copy of its chunk by [`Coverage`]; whatever does not fit the fate that the
//! key already has is a clash, and its table is replayed, where the target itself decides.
//! Pure: no I/O, no clock, no knowledge of any engine.

mod merge;
mod replay;

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::sync::Arc;

use crate::model::effect::RowIdentity;
use crate::model::{
    Batch, Cell, CellIndex, Change, Code, Coverage, Disposition, Event, Fault, Halt, Mark, Plan,
    Row, Shape, Step, Table, TableId, TableName, Truncate, Value, ValueRef, Verdict, with_families,
};
use merge::Merge;

/// The shapes in force, by table.
pub type Shapes = HashMap<TableId, Arc<Shape>>;

/// A run of events of one batch.
#[derive(Clone, Debug)]
pub struct Part {
    /// The batch.
    pub batch: Arc<Batch>,
    /// Which of its events.
    pub events: Range<usize>,
    /// The shapes of the tables whose rows these events change.
    pub shapes: Arc<Shapes>,
}

/// Why a plan could not be made.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// The changes have no net effect that can be told; they have to be replayed one by one.
    #[error("the changes of a table have to be replayed one by one")]
    Clash {
        /// The table.
        table: TableId,
    },
    /// A change cannot be judged against the copy of its table, or needs a value that neither
    /// the log nor the target has: the table has to be copied again.
    #[error("a change of table {table} cannot be judged against its copy")]
    Recopy {
        /// The table.
        table: TableName,
        /// Its number.
        id: TableId,
    },
    /// An update or delete of a table whose rows cannot be told apart.
    #[error("the log holds an update or delete of table {table}, which has no replica identity")]
    NoIdentity {
        /// The table.
        table: TableName,
    },
    /// The log does not say which row changed.
    #[error("the log leaves out the key of a changed row of table {table}")]
    KeyAbsent {
        /// The table.
        table: TableName,
    },
    /// A table goes by the name of another one of the migration: on the target that name would find
    /// the other one's rows.
    #[error("rows of table {table} come under the name {taken} by now, which is another table's")]
    NameTaken {
        /// The table, as it was called.
        table: TableName,
        /// The name.
        taken: TableName,
    },
    /// A row came before the relation that describes it, or outside of a transaction.
    #[error("the log holds a change that belongs to no transaction or relation")]
    OutOfPlace,
}

impl Fault for PlanError {
    fn disposition(&self) -> Disposition {
        match self {
            PlanError::Clash { .. } | PlanError::OutOfPlace => Halt::with(
                Code::ProtocolViolation,
                "nothing of the group was applied; report this with the source's version",
            ),
            PlanError::Recopy { .. } => Disposition::Retry,
            PlanError::NameTaken { .. } => Halt::with(
                Code::SchemaChanged,
                "nothing under these names was applied; to carry tables that exchanged their names, \
                 begin anew: `dunlin complete`, then `dunlin run --truncate-target '*'`",
            ),
            PlanError::KeyAbsent { table } => Halt::with(
                Code::IdentityNeeded,
                format!(
                    "have the source log all of a changed row (Postgres: ALTER TABLE {table} REPLICA \
                     IDENTITY FULL; MySQL and MariaDB: binlog_row_image = FULL, in every session), \
                     then begin anew: `dunlin complete`, then `dunlin run --truncate-target '*'`"
                ),
            ),
            PlanError::NoIdentity { table } => Halt::with(
                Code::IdentityNeeded,
                format!(
                    "on the source: ALTER TABLE {table} REPLICA IDENTITY FULL; then begin \
                     anew: `dunlin complete`, then `dunlin run --truncate-target '*'`"
                ),
            ),
        }
    }
}

/// Plans changes: those of the tables in `replayed` one by one, all others by their net effect.
///
/// `open` is the transaction that is open before the first event, if one is.
///
/// # Errors
///
/// [`PlanError::Clash`] names a table that has to be among `replayed`; the others are final.
pub fn plan(
    parts: &[Part],
    open: Option<Mark>,
    coverage: &Coverage,
    replayed: &BTreeSet<TableId>,
) -> Result<Plan, PlanError> {
    let mut planner = Planner::new(parts, replayed);
    walk(&mut planner, parts, open, coverage)?;
    planner.merge.close(&mut planner.plan);
    Ok(planner.plan)
}

/// Tables whose changes keep the source's order in these parts: families in which a change has
/// effects on other rows that the log does not hold.
#[must_use]
pub fn bound(parts: &[Part], tables: &[Table]) -> Vec<TableId> {
    let parents: BTreeSet<TableId> = tables
        .iter()
        .filter(|table| table.cascades.as_ref().is_some_and(|cascades| cascades.parent))
        .map(|table| table.id)
        .collect();
    if parents.is_empty() {
        return Vec::new();
    }
    let mut changed: Vec<TableId> = Vec::new();
    for part in parts {
        for event in &part.batch.events[part.events.clone()] {
            let Event::Change(Change::Update { table, .. } | Change::Delete { table, .. }) = event
            else {
                continue;
            };
            let cascades = || part.shapes.get(table).is_some_and(|shape| shape.relation.cascades);
            if parents.contains(table) && !changed.contains(table) && cascades() {
                changed.push(*table);
            }
        }
    }
    with_families(tables, &changed)
}

/// Where effects that the log does not hold meet rows of tables beyond the family, as those of a
/// table that came later do: has everything keep the source's order. False where it does already.
pub fn widen(replayed: &mut BTreeSet<TableId>, tables: &[Table]) -> bool {
    let before = replayed.len();
    if tables.iter().any(|table| table.cascades.is_some() && replayed.contains(&table.id)) {
        replayed.extend(tables.iter().map(|table| table.id));
    }
    replayed.len() > before
}

/// Whether some of these parts may be on the target in a table already. Then a row of its copy may have
/// a unique value by now that, at this place of the log, is still another's.
#[must_use]
pub fn repeats(parts: &[Part], open: Option<&Mark>, coverage: &Coverage, table: TableId) -> bool {
    let events = parts.iter().flat_map(|part| &part.batch.events[part.events.clone()]);
    let begun = events.filter_map(|event| match event {
        Event::Begin { mark, .. } => Some(mark),
        Event::Change(_)
        | Event::Truncate(_)
        | Event::Schema(_)
        | Event::Relation(_)
        | Event::Unsettled { .. }
        | Event::Commit { .. }
        | Event::Idle { .. } => None,
    });
    open.into_iter().chain(begun).any(|mark| coverage.is_between(table, mark))
}

/// Feeds every event to the planner.
fn walk(
    planner: &mut Planner<'_>,
    parts: &[Part],
    open: Option<Mark>,
    coverage: &Coverage,
) -> Result<(), PlanError> {
    let mut mark = open;
    for (index, part) in parts.iter().enumerate() {
        planner.source = u32::try_from(index).map_err(|_| PlanError::OutOfPlace)?;
        for event in &part.batch.events[part.events.clone()] {
            match event {
                Event::Begin { mark: begun, .. } => mark = Some(begun.clone()),
                Event::Commit { .. } => mark = None,
                Event::Schema(_)
                | Event::Relation(_)
                | Event::Unsettled { .. }
                | Event::Idle { .. } => {}
                Event::Change(change) => {
                    let mark = mark.as_ref().ok_or(PlanError::OutOfPlace)?;
                    let judge = Judge { coverage, mark, concerned: coverage.concerns(mark) };
                    planner.change(part, *change, &judge)?;
                }
                Event::Truncate(truncate) => {
                    let mark = mark.as_ref().ok_or(PlanError::OutOfPlace)?;
                    planner.truncate(part, truncate, coverage, mark)?;
                }
            }
        }
    }
    Ok(())
}

/// Rule 2 for the changes of one transaction.
struct Judge<'a> {
    coverage: &'a Coverage,
    mark: &'a Mark,
    concerned: bool,
}

impl Judge<'_> {
    fn row(&self, batch: &Batch, shape: &Shape, row: Row) -> Result<Verdict, PlanError> {
        if !self.concerned {
            return Ok(Verdict::After);
        }
        let values = batch.row(row);
        let key = || {
            // A key that may change unseen assigns a row to no chunk.
            let seen = if identity_tells_key(shape) { &shape.primary_key[..] } else { &[] };
            seen.iter().map_while(|&column| match batch.value(values[usize::from(column)]) {
                Value::Text(text) => Some(text),
                Value::Null | Value::Absent => None,
            })
        };
        let verdict = self.coverage.judge(shape.relation.table, self.mark, key);
        match verdict.map_err(|_| recopy(shape))? {
            Verdict::Between if !is_known_by_key(shape) => Err(recopy(shape)),
            verdict => Ok(verdict),
        }
    }
}

/// Whether the log names rows by just the primary key. Only then can a change be repeated without
/// harm: by another name, the copy may hold a later state of the row that it does not find.
fn is_known_by_key(shape: &Shape) -> bool {
    match &shape.identity {
        RowIdentity::Key(columns) => {
            columns.len() == shape.primary_key.len() && identity_tells_key(shape)
        }
        RowIdentity::WholeRow | RowIdentity::Nothing => false,
    }
}

/// Whether an update that changes the primary key has the old one in the log.
fn identity_tells_key(shape: &Shape) -> bool {
    match &shape.identity {
        RowIdentity::Key(columns) => shape.primary_key.iter().all(|key| columns.contains(key)),
        RowIdentity::WholeRow | RowIdentity::Nothing => true,
    }
}

fn clash(shape: &Shape) -> PlanError {
    PlanError::Clash { table: shape.relation.table }
}

fn recopy(shape: &Shape) -> PlanError {
    PlanError::Recopy { table: shape.relation.name.clone(), id: shape.relation.table }
}

/// One row's change, resolved to cells, as a strategy sees it.
enum Fact {
    /// A row came; `lenient` where it may be there already.
    Insert { row: CellIndex, lenient: bool },
    /// A row with this key went; `lenient` where it may be gone already.
    Delete { key: CellIndex, lenient: bool },
    /// A row with this key changed and kept its key.
    Update { key: CellIndex, row: CellIndex },
    /// A row changed its key from `old`.
    Move { old: CellIndex, row: CellIndex },
}

struct Planner<'a> {
    plan: Plan,
    /// Index of the batch that rows come from now.
    source: u32,
    merge: Merge,
    /// Tables whose changes are replayed.
    replayed: &'a BTreeSet<TableId>,
    /// Shapes in force for the step that is being gathered, to notice that one changes.
    shapes: HashMap<TableId, Arc<Shape>>,
}

impl<'a> Planner<'a> {
    fn new(parts: &[Part], replayed: &'a BTreeSet<TableId>) -> Self {
        let batches = parts.iter().map(|part| Arc::clone(&part.batch)).collect();
        Planner {
            plan: Plan { batches, ..Plan::default() },
            source: 0,
            merge: Merge::default(),
            replayed,
            shapes: HashMap::new(),
        }
    }

    /// The shape of a change's rows. One that differs from the one before closes the step.
    fn shape(&mut self, part: &Part, table: TableId) -> Result<Arc<Shape>, PlanError> {
        let shape = part.shapes.get(&table).ok_or(PlanError::OutOfPlace)?;
        match self.shapes.get(&table) {
            Some(known) if Arc::ptr_eq(known, shape) => {}
            Some(_) => {
                self.merge.close(&mut self.plan);
                self.shapes.insert(table, Arc::clone(shape));
            }
            None => {
                self.shapes.insert(table, Arc::clone(shape));
            }
        }
        Ok(Arc::clone(shape))
    }

    fn change(&mut self, part: &Part, change: Change, judge: &Judge) -> Result<(), PlanError> {
        let shape = self.shape(part, change.table())?;
        match change {
            Change::Insert { new, .. } => {
                let lenient = match judge.row(&part.batch, &shape, new)? {
                    Verdict::Contained => return Ok(()),
                    Verdict::After => false,
                    Verdict::Between => true,
                };
                let row = self.row_cells(&part.batch, new, None);
                self.fact(&shape, Fact::Insert { row, lenient })
            }
            Change::Delete { old, .. } => {
                let lenient = match judge.row(&part.batch, &shape, old)? {
                    Verdict::Contained => return Ok(()),
                    Verdict::After => false,
                    Verdict::Between => true,
                };
                let row = self.row_cells(&part.batch, old, None);
                let key = self.key_cells(&shape, row)?;
                self.fact(&shape, Fact::Delete { key, lenient })
            }
            Change::Update { old, new, .. } => self.update(part, &shape, (old, new), judge),
        }
    }

    fn update(
        &mut self,
        part: &Part,
        shape: &Arc<Shape>,
        (old, new): (Option<Row>, Row),
        judge: &Judge,
    ) -> Result<(), PlanError> {
        let row = self.row_cells(&part.batch, new, old);
        let new_key = self.key_cells(shape, row)?;
        let old_key = match old {
            Some(old) => {
                let old = self.row_cells(&part.batch, old, None);
                self.key_cells(shape, old)?
            }
            None => new_key,
        };
        let moves = old_key != new_key && !self.same_key(shape, old_key, new_key);
        let after = judge.row(&part.batch, shape, new)?;
        let before = match old {
            Some(old) if moves => judge.row(&part.batch, shape, old)?,
            Some(_) | None => after,
        };
        match (before, after) {
            (Verdict::Contained, Verdict::Contained) => Ok(()),
            (Verdict::After, Verdict::After) if moves => {
                self.fact(shape, Fact::Move { old: old_key, row })
            }
            (Verdict::After, Verdict::After) => {
                self.fact(shape, Fact::Update { key: old_key, row })
            }
            (before, after) => {
                if before != Verdict::Contained {
                    let lenient = before == Verdict::Between;
                    self.fact(shape, Fact::Delete { key: old_key, lenient })?;
                }
                if after != Verdict::Contained {
                    if !self.is_whole(shape, row) {
                        return Err(recopy(shape));
                    }
                    let lenient = after == Verdict::Between;
                    self.fact(shape, Fact::Insert { row, lenient })?;
                }
                Ok(())
            }
        }
    }

    fn fact(&mut self, shape: &Arc<Shape>, fact: Fact) -> Result<(), PlanError> {
        if shape.identity == RowIdentity::Nothing && !matches!(fact, Fact::Insert { .. }) {
            return Err(PlanError::NoIdentity { table: shape.relation.name.clone() });
        }
        let lenient =
            matches!(fact, Fact::Insert { lenient: true, .. } | Fact::Delete { lenient: true, .. });
        if lenient && !matches!(shape.identity, RowIdentity::Key(_)) {
            // Of rows without a key nobody can say whether one is there already.
            return Err(recopy(shape));
        }
        if self.replayed.contains(&shape.relation.table) {
            replay::push(&mut self.plan, shape, fact);
            return Ok(());
        }
        self.merge.fact(&mut self.plan, shape, fact)
    }

    fn truncate(
        &mut self,
        part: &Part,
        truncate: &Truncate,
        coverage: &Coverage,
        mark: &Mark,
    ) -> Result<(), PlanError> {
        let mut shapes = Vec::new();
        for &table in &truncate.tables {
            let shape = self.shape(part, table)?;
            match coverage.judge_table(table, mark) {
                Ok(Verdict::Contained) => {}
                Ok(Verdict::After) => shapes.push(shape),
                Ok(Verdict::Between) | Err(_) => return Err(recopy(&shape)),
            }
        }
        self.merge.close(&mut self.plan);
        if !shapes.is_empty() {
            self.plan.steps.push(Step::Truncate { truncate: truncate.clone(), shapes });
        }
        Ok(())
    }

    /// Cells of a row; what is absent in it is taken from `fallback`.
    fn row_cells(&mut self, batch: &Batch, row: Row, fallback: Option<Row>) -> CellIndex {
        let first = cell_index(&self.plan);
        let source = self.source;
        let cell = |value| Cell { batch: source, value };
        self.plan.cells.extend(batch.row(row).iter().map(|&value| cell(value)));
        if let Some(fallback) = fallback {
            let cells = &mut self.plan.cells[first as usize..];
            for (slot, &old) in cells.iter_mut().zip(batch.row(fallback)) {
                if slot.value == ValueRef::Absent {
                    *slot = cell(old);
                }
            }
        }
        first
    }

    /// Cells of the key of a row that has cells already.
    fn key_cells(&mut self, shape: &Shape, row: CellIndex) -> Result<CellIndex, PlanError> {
        let absent = || PlanError::KeyAbsent { table: shape.relation.name.clone() };
        match &shape.identity {
            RowIdentity::Nothing => Ok(row),
            RowIdentity::WholeRow => {
                if self.is_whole(shape, row) {
                    Ok(row)
                } else {
                    Err(absent())
                }
            }
            RowIdentity::Key(columns) => {
                let first = cell_index(&self.plan);
                for &column in columns {
                    let cell = self.plan.cells[row as usize + usize::from(column)];
                    if cell.value == ValueRef::Absent {
                        return Err(absent());
                    }
                    self.plan.cells.push(cell);
                }
                Ok(first)
            }
        }
    }

    fn is_whole(&self, shape: &Shape, row: CellIndex) -> bool {
        let first = row as usize;
        let cells = &self.plan.cells[first..first + usize::from(shape.width())];
        cells.iter().all(|cell| cell.value != ValueRef::Absent)
    }

    fn same_key(&self, shape: &Shape, one: CellIndex, other: CellIndex) -> bool {
        same_cells(&self.plan, one, other, key_width(shape))
    }
}

fn cell_index(plan: &Plan) -> CellIndex {
    let len = plan.cells.len();
    assert!(u32::try_from(len).is_ok(), "a group is bounded far below four billion values");
    len as CellIndex
}

fn key_width(shape: &Shape) -> u16 {
    match &shape.identity {
        RowIdentity::Key(columns) => u16::try_from(columns.len()).unwrap_or(u16::MAX),
        RowIdentity::WholeRow => shape.width(),
        RowIdentity::Nothing => 0,
    }
}

fn same_cells(plan: &Plan, one: CellIndex, other: CellIndex, width: u16) -> bool {
    (0..width).all(|offset| plan.at(one, offset) == plan.at(other, offset))
}

/// The columns that an update of `row` sets: those that are there, without `except`.
fn set_columns(
    plan: &Plan,
    shape: &Shape,
    row: CellIndex,
    except: &[u16],
) -> impl Iterator<Item = u16> {
    (0..shape.width())
        .filter(move |column| plan.at(row, *column) != Value::Absent && !except.contains(column))
}
