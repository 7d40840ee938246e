//! One fate per key: the net effect of any number of changes.
//!
//! In come facts in commit order; at the end of a step, what is left of them for each key goes
//! into the plan. A fact that does not fit the fate that its key already has is a clash: nothing
//! is guessed, the table is replayed.

use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::Arc;

use hashbrown::HashTable;

use super::{Fact, PlanError, cell_index, clash, key_width, same_cells, set_columns};
use crate::model::{
    CellIndex, Plan, RowIdentity, Shape, Step, TableEffect, UpdateSet, Value, ValueRef,
};

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
pub(super) struct Merge {
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
            (false, Fate::Insert | Fate::Update | Fate::Replace) => return Err(clash(shape)),
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
            (false, Fate::Delete | Fate::Vanish) => return Err(clash(shape)),
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
            (false, Fate::Delete | Fate::Vanish) => return Err(clash(shape)),
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
            return Err(clash(shape));
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

impl Merge {
    /// Takes in one fact.
    pub(super) fn fact(
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

    /// Turns what was gathered so far into a step.
    pub(super) fn close(&mut self, plan: &mut Plan) {
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
