//! The net effect of a group of changes, and its exact replay.
//!
//! In come runs of events in commit order; out comes a [`Plan`]. Two ways lead to the same end
//! state. [`net_effect`] keeps one fate per key: a row that was inserted and deleted vanishes, a
//! hundred updates of a row are one. Within a table the target deletes, then updates, then
//! inserts. [`exact`] makes one step of every change, in the source's order; it is for groups
//! whose net effect clashes with a unique constraint on the way, or cannot be told without values
//! that the log left out.
//!
//! Nothing is lost or applied twice: every change either alters the fate of its key, or is judged
//! *contained* in the copy of its chunk by [`Coverage`]; whatever does not fit the fate that the
//! key already has is no longer merged but replayed exactly, where the target itself decides.
//! Pure: no I/O, no clock, no knowledge of any engine.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, Hasher};
use std::ops::Range;
use std::sync::Arc;

use hashbrown::HashTable;

use crate::model::{
    Batch, Cell, CellIndex, Change, Code, Coverage, Disposition, Event, Fault, Halt, Mark, Plan,
    Row, Shape, Step, TableEffect, TableId, TableName, Truncate, UpdateSet, Value, ValueRef,
    Verdict,
};
use crate::model::effect::RowIdentity;

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
    #[error("the changes have to be replayed one by one")]
    Clash,
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
    /// A row came before the relation that describes it, or outside of a transaction.
    #[error("the log holds a change that belongs to no transaction or relation")]
    OutOfPlace,
}

impl Fault for PlanError {
    fn disposition(&self) -> Disposition {
        match self {
            PlanError::Clash | PlanError::OutOfPlace => Halt::with(
                Code::ProtocolViolation,
                "nothing of the group was applied; report this with the source's version",
            ),
            PlanError::Recopy { .. } => Disposition::Retry,
            PlanError::NoIdentity { table } | PlanError::KeyAbsent { table } => Halt::with(
                Code::IdentityNeeded,
                format!(
                    "on the source: ALTER TABLE {table} REPLICA IDENTITY FULL; then copy the \
                     table again: `dunlin complete`, `dunlin run --truncate-target '{table}'`"
                ),
            ),
        }
    }
}

/// Reduces changes to one fate per key.
///
/// `open` is the transaction that is open before the first event, if one is.
///
/// # Errors
///
/// [`PlanError::Clash`] where [`exact`] must be used instead; the others are final.
pub fn net_effect(
    parts: &[Part],
    open: Option<Mark>,
    coverage: &Coverage,
) -> Result<Plan, PlanError> {
    let mut planner = Planner::new(parts, Merge::default());
    walk(&mut planner, parts, open, coverage)?;
    planner.finish()
}

/// Makes one step of every change, in order.
///
/// # Errors
///
/// As [`net_effect`], but never [`PlanError::Clash`].
pub fn exact(parts: &[Part], open: Option<Mark>, coverage: &Coverage) -> Result<Plan, PlanError> {
    let mut planner = Planner::new(parts, Replay);
    walk(&mut planner, parts, open, coverage)?;
    planner.finish()
}

/// Feeds every event to the planner.
fn walk<S: Strategy>(
    planner: &mut Planner<S>,
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
                Event::Relation(_) | Event::Idle { .. } => {}
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
            shape.primary_key.iter().map_while(|&column| {
                match batch.value(values[usize::from(column)]) {
                    Value::Text(text) => Some(text),
                    Value::Null | Value::Absent => None,
                }
            })
        };
        self.coverage.judge(shape.relation.table, self.mark, key).map_err(|_| recopy(shape))
    }
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

/// What becomes of the facts.
trait Strategy {
    fn fact(
        &mut self,
        plan: &mut Plan,
        shape: &Arc<Shape>,
        fact: Fact,
    ) -> Result<(), PlanError>;

    /// Turns what was gathered so far into a step.
    fn close(&mut self, plan: &mut Plan);
}

struct Planner<S> {
    plan: Plan,
    /// Index of the batch that rows come from now.
    source: u32,
    strategy: S,
    /// Shapes in force for the step that is being gathered, to notice that one changes.
    shapes: HashMap<TableId, Arc<Shape>>,
}

impl<S: Strategy> Planner<S> {
    fn new(parts: &[Part], strategy: S) -> Self {
        let batches = parts.iter().map(|part| Arc::clone(&part.batch)).collect();
        Planner {
            plan: Plan { batches, ..Plan::default() },
            source: 0,
            strategy,
            shapes: HashMap::new(),
        }
    }

    fn finish(mut self) -> Result<Plan, PlanError> {
        self.strategy.close(&mut self.plan);
        Ok(self.plan)
    }

    /// The shape of a change's rows. One that differs from the one before closes the step.
    fn shape(&mut self, part: &Part, table: TableId) -> Result<Arc<Shape>, PlanError> {
        let shape = part.shapes.get(&table).ok_or(PlanError::OutOfPlace)?;
        match self.shapes.get(&table) {
            Some(known) if Arc::ptr_eq(known, shape) => {}
            Some(_) => {
                self.strategy.close(&mut self.plan);
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
        self.strategy.fact(&mut self.plan, shape, fact)
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
        self.strategy.close(&mut self.plan);
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
                if self.is_whole(shape, row) { Ok(row) } else { Err(absent()) }
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

/// What becomes of one key within a step.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    /// The row was there and changes.
    Update,
    /// The row was not there and comes.
    Insert,
    /// The row was there and goes.
    Delete,
    /// The row was there, goes, and comes anew.
    Replace,
    /// The row came and went.
    Vanish,
}

#[derive(Debug)]
struct Slot {
    /// Index into [`Merge::shapes`].
    shape: u32,
    key: CellIndex,
    row: CellIndex,
    fate: Fate,
    /// Whether a deleted row may be gone already.
    lenient: bool,
    /// Rows more (or fewer) of this kind, for tables whose rows are known by their whole.
    balance: i64,
    /// The key's hash, kept for when the table of slots grows.
    hash: u64,
}

/// One fate per key.
#[derive(Default)]
struct Merge {
    hasher: foldhash::fast::RandomState,
    shapes: Vec<Arc<Shape>>,
    slots: Vec<Slot>,
    by_key: HashTable<u32>,
    /// Rows of tables without any identity, by shape.
    appended: Vec<(u32, CellIndex)>,
}

impl Merge {
    fn shape_index(&mut self, shape: &Arc<Shape>) -> u32 {
        let known = self.shapes.iter().rposition(|known| Arc::ptr_eq(known, shape));
        let index = known.unwrap_or_else(|| {
            self.shapes.push(Arc::clone(shape));
            self.shapes.len() - 1
        });
        index as u32
    }

    /// The slot of a key; true where it is new.
    fn slot(&mut self, plan: &Plan, shape: &Arc<Shape>, key: CellIndex) -> (usize, bool) {
        let shape_index = self.shape_index(shape);
        let width = key_width(shape);
        let mut hasher = self.hasher.build_hasher();
        shape_index.hash(&mut hasher);
        for offset in 0..width {
            match plan.at(key, offset) {
                Value::Text(text) => {
                    hasher.write_usize(text.len());
                    hasher.write(text);
                }
                Value::Null | Value::Absent => hasher.write_u8(0xFF),
            }
        }
        let hash = hasher.finish();
        let same = |&index: &u32| {
            let slot = &self.slots[index as usize];
            slot.shape == shape_index && same_cells(plan, slot.key, key, width)
        };
        if let Some(&index) = self.by_key.find(hash, same) {
            return (index as usize, false);
        }
        let index = self.slots.len();
        self.slots.push(Slot {
            shape: shape_index,
            key,
            row: key,
            fate: Fate::Vanish,
            lenient: false,
            balance: 0,
            hash,
        });
        let slots = &self.slots;
        self.by_key.insert_unique(hash, index as u32, |&index| slots[index as usize].hash);
        (index, true)
    }

    fn insert(
        &mut self,
        plan: &mut Plan,
        shape: &Arc<Shape>,
        row: CellIndex,
        lenient: bool,
    ) -> Result<(), PlanError> {
        let RowIdentity::Key(columns) = &shape.identity else {
            return Err(PlanError::OutOfPlace);
        };
        let key = cell_index(plan);
        for &column in columns {
            plan.cells.push(plan.cells[row as usize + usize::from(column)]);
        }
        let (index, new) = self.slot(plan, shape, key);
        let slot = &mut self.slots[index];
        slot.row = row;
        slot.fate = match (new, slot.fate) {
            (true, _) if lenient => {
                slot.lenient = true;
                Fate::Replace
            }
            (true, _) | (false, Fate::Vanish) => Fate::Insert,
            (false, Fate::Delete) => Fate::Replace,
            (false, Fate::Insert | Fate::Update | Fate::Replace) => return Err(PlanError::Clash),
        };
        Ok(())
    }

    fn delete(
        &mut self,
        plan: &Plan,
        shape: &Arc<Shape>,
        key: CellIndex,
        lenient: bool,
    ) -> Result<(), PlanError> {
        let (index, new) = self.slot(plan, shape, key);
        let slot = &mut self.slots[index];
        slot.fate = match (new, slot.fate) {
            (true, _) => {
                slot.lenient = lenient;
                Fate::Delete
            }
            (false, Fate::Update | Fate::Replace) => Fate::Delete,
            (false, Fate::Insert) => Fate::Vanish,
            (false, Fate::Delete | Fate::Vanish) if lenient => slot.fate,
            (false, Fate::Delete | Fate::Vanish) => return Err(PlanError::Clash),
        };
        Ok(())
    }

    fn update(
        &mut self,
        plan: &mut Plan,
        shape: &Arc<Shape>,
        key: CellIndex,
        row: CellIndex,
    ) -> Result<(), PlanError> {
        let (index, new) = self.slot(plan, shape, key);
        let slot = &mut self.slots[index];
        match (new, slot.fate) {
            (true, _) => {
                slot.fate = Fate::Update;
                slot.row = row;
            }
            (false, Fate::Update | Fate::Insert | Fate::Replace) => {
                fill_absent(plan, shape, row, slot.row);
                slot.row = row;
            }
            (false, Fate::Delete | Fate::Vanish) => return Err(PlanError::Clash),
        }
        Ok(())
    }

    /// A row that changed its key: gone under the old one, come under the new one. What the log
    /// leaves out is taken from what the group already knows of the row; where that does not
    /// suffice, only an UPDATE of the row itself will do.
    fn relocate(
        &mut self,
        plan: &mut Plan,
        shape: &Arc<Shape>,
        old: CellIndex,
        row: CellIndex,
    ) -> Result<(), PlanError> {
        let (index, new) = self.slot(plan, shape, old);
        if !new {
            fill_absent(plan, shape, row, self.slots[index].row);
        } else {
            self.slots[index].fate = Fate::Update;
            self.slots[index].row = row;
        }
        let first = row as usize;
        let cells = &plan.cells[first..first + usize::from(shape.width())];
        if cells.iter().any(|cell| cell.value == ValueRef::Absent) {
            return Err(PlanError::Clash);
        }
        self.delete(plan, shape, old, false)?;
        self.insert(plan, shape, row, false)
    }

    /// Tables whose rows are known by their whole: only the balance of each kind matters.
    fn balance(&mut self, plan: &Plan, shape: &Arc<Shape>, row: CellIndex, by: i64) {
        let (index, _) = self.slot(plan, shape, row);
        self.slots[index].balance += by;
    }
}

/// Gives the absent cells of `row` the values that `known` has.
fn fill_absent(plan: &mut Plan, shape: &Shape, row: CellIndex, known: CellIndex) {
    for column in 0..usize::from(shape.width()) {
        if plan.cells[row as usize + column].value == ValueRef::Absent {
            plan.cells[row as usize + column] = plan.cells[known as usize + column];
        }
    }
}

impl Strategy for Merge {
    fn fact(
        &mut self,
        plan: &mut Plan,
        shape: &Arc<Shape>,
        fact: Fact,
    ) -> Result<(), PlanError> {
        match (&shape.identity, fact) {
            (RowIdentity::Nothing, Fact::Insert { row, .. }) => {
                let index = self.shape_index(shape);
                self.appended.push((index, row));
                Ok(())
            }
            (RowIdentity::Nothing, _) => {
                Err(PlanError::NoIdentity { table: shape.relation.name.clone() })
            }
            (RowIdentity::WholeRow, fact) => {
                match fact {
                    Fact::Insert { row, .. } => self.balance(plan, shape, row, 1),
                    Fact::Delete { key, .. } => self.balance(plan, shape, key, -1),
                    Fact::Update { .. } => {}
                    Fact::Move { old, row } => {
                        self.balance(plan, shape, old, -1);
                        self.balance(plan, shape, row, 1);
                    }
                }
                Ok(())
            }
            (RowIdentity::Key(_), fact) => match fact {
                Fact::Insert { row, lenient } => self.insert(plan, shape, row, lenient),
                Fact::Delete { key, lenient } => self.delete(plan, shape, key, lenient),
                Fact::Update { key, row } => self.update(plan, shape, key, row),
                Fact::Move { old, row } => self.relocate(plan, shape, old, row),
            },
        }
    }

    fn close(&mut self, plan: &mut Plan) {
        let mut effects: Vec<_> =
            self.shapes.iter().map(|shape| TableEffect::new(Arc::clone(shape))).collect();
        for (shape, row) in self.appended.drain(..) {
            effects[shape as usize].inserts.push(row);
        }
        for slot in self.slots.drain(..) {
            emit(plan, &mut effects[slot.shape as usize], &slot);
        }
        self.by_key.clear();
        self.shapes.clear();
        if !effects.is_empty() {
            plan.steps.push(Step::Rows(effects));
        }
    }
}

/// Adds a key's fate to its table's effect.
fn emit(plan: &Plan, effect: &mut TableEffect, slot: &Slot) {
    let RowIdentity::Key(key_columns) = &effect.shape.identity else {
        let count = u32::try_from(slot.balance.unsigned_abs()).unwrap_or(u32::MAX);
        if slot.balance < 0 {
            effect.deletes.push((slot.key, count));
        } else {
            effect.inserts.extend((0..count).map(|_| slot.key));
        }
        return;
    };
    match slot.fate {
        Fate::Vanish => {}
        Fate::Update => {
            let row = (slot.key, slot.row);
            let set_columns = || set_columns(plan, &effect.shape, slot.row, key_columns);
            let same = |set: &&mut UpdateSet| set_columns().eq(set.columns.iter().copied());
            match effect.updates.iter_mut().find(same) {
                Some(set) => set.rows.push(row),
                None => {
                    let columns = set_columns().collect();
                    effect.updates.push(UpdateSet { columns, rows: vec![row] });
                }
            }
        }
        Fate::Insert => effect.inserts.push(slot.row),
        Fate::Delete | Fate::Replace => {
            if slot.lenient {
                effect.discards.push(slot.key);
            } else {
                effect.deletes.push((slot.key, 1));
            }
            if slot.fate == Fate::Replace {
                effect.inserts.push(slot.row);
            }
        }
    }
}

/// One step per change.
struct Replay;

impl Strategy for Replay {
    fn fact(
        &mut self,
        plan: &mut Plan,
        shape: &Arc<Shape>,
        fact: Fact,
    ) -> Result<(), PlanError> {
        let mut effect = TableEffect::new(Arc::clone(shape));
        match fact {
            Fact::Insert { row, lenient } => {
                if let (true, RowIdentity::Key(columns)) = (lenient, &shape.identity) {
                    effect.discards.push(cell_index(plan));
                    for &column in columns {
                        plan.cells.push(plan.cells[row as usize + usize::from(column)]);
                    }
                }
                effect.inserts.push(row);
            }
            Fact::Delete { key, lenient: true } => effect.discards.push(key),
            Fact::Delete { key, lenient: false } => effect.deletes.push((key, 1)),
            Fact::Move { old, row } if shape.identity == RowIdentity::WholeRow => {
                effect.deletes.push((old, 1));
                effect.inserts.push(row);
            }
            Fact::Update { .. } if shape.identity == RowIdentity::WholeRow => return Ok(()),
            Fact::Update { key, row } => {
                let columns = set_columns(plan, shape, row, &shape.key_columns()).collect();
                effect.updates.push(UpdateSet { columns, rows: vec![(key, row)] });
            }
            Fact::Move { old, row } => {
                let columns = set_columns(plan, shape, row, &[]).collect();
                effect.updates.push(UpdateSet { columns, rows: vec![(old, row)] });
            }
        }
        plan.steps.push(Step::Rows(vec![effect]));
        Ok(())
    }

    fn close(&mut self, _plan: &mut Plan) {}
}
