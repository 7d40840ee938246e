//! One step per change, in the order of the source.
//!
//! Used for tables whose net effect clashes, or cannot be told. Nothing is merged: each change
//! reaches the target as it happened, and the target decides.

use std::sync::Arc;

use super::{Fact, cell_index, set_columns};
use crate::model::{Plan, RowIdentity, Shape, Step, TableEffect, UpdateSet};

/// Appends a fact to the plan as a step of its own.
pub(super) fn push(plan: &mut Plan, shape: &Arc<Shape>, fact: Fact) {
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
        Fact::Update { .. } if shape.identity == RowIdentity::WholeRow => return,
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
}
