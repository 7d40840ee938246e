//! A target in memory that enforces what a real one does.
//!
//! Within a table deletes come first, then discards, updates and inserts, each a statement of its
//! own. A delete or an update must meet exactly one row (of a kind known by its whole exactly the
//! counted number), a key or unique value must not be there twice after any row of any statement,
//! and an absent value can never be written. A plan that breaks a rule leaves nothing behind.

use dunlin::model::{
    CellIndex, Plan, RowIdentity, Shape, Step, TableEffect, TableId, UpdateSet, Value,
};

use crate::source::{Row, Spec, State, clash};

/// What a plan met on the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Obstacle {
    /// A statement met another number of rows than it must.
    RowCount { table: TableId, expected: u32, met: usize },
    /// Two rows with one key or unique value.
    Duplicate { table: TableId },
}

impl Obstacle {
    /// Where it was met.
    pub fn table(&self) -> TableId {
        match self {
            Obstacle::RowCount { table, .. } | Obstacle::Duplicate { table } => *table,
        }
    }
}

/// The target's tables.
#[derive(Debug, Clone)]
pub struct Tables<'a> {
    pub specs: &'a [Spec],
    pub state: State,
    /// Unique constraints besides the keys are there already.
    pub secondary: bool,
}

impl Tables<'_> {
    /// Carries out a plan whole or not at all.
    pub fn apply(&mut self, plan: &Plan) -> Result<(), Obstacle> {
        let before = self.state.clone();
        let carried_out = plan.steps.iter().try_for_each(|step| self.step(plan, step));
        if carried_out.is_err() {
            self.state = before;
        }
        carried_out
    }

    fn step(&mut self, plan: &Plan, step: &Step) -> Result<(), Obstacle> {
        match step {
            Step::Rows(effects) => effects.iter().try_for_each(|effect| self.effect(plan, effect)),
            Step::Truncate { shapes, .. } => {
                for shape in shapes {
                    self.rows(shape.relation.table).clear();
                }
                Ok(())
            }
        }
    }

    fn effect(&mut self, plan: &Plan, effect: &TableEffect) -> Result<(), Obstacle> {
        let (shape, table) = (&*effect.shape, effect.shape.relation.table);
        for &(key, count) in &effect.deletes {
            let met = self.find(plan, shape, key);
            let whole = shape.identity == RowIdentity::WholeRow;
            let enough = if whole { met.len() >= count as usize } else { met.len() == 1 };
            if !enough {
                return Err(Obstacle::RowCount { table, expected: count, met: met.len() });
            }
            for &at in met[..count as usize].iter().rev() {
                self.rows(table).remove(at);
            }
        }
        for &key in &effect.discards {
            for at in self.find(plan, shape, key).into_iter().rev() {
                self.rows(table).remove(at);
            }
        }
        for set in &effect.updates {
            self.update(plan, shape, set)?;
        }
        for &row in &effect.inserts {
            let places = self.places(shape);
            let mut values = vec![None; self.spec(table).columns.len()];
            for (offset, &place) in (0..).zip(&places) {
                values[place] = present(plan.at(row, offset));
            }
            self.rows(table).push(values);
            self.check(table)?;
        }
        Ok(())
    }

    fn update(&mut self, plan: &Plan, shape: &Shape, set: &UpdateSet) -> Result<(), Obstacle> {
        let (table, places) = (shape.relation.table, self.places(shape));
        // All rows are found as they were before the statement.
        let mut found = Vec::new();
        for &(key, new) in &set.rows {
            let met = self.find(plan, shape, key);
            let &[at] = met.as_slice() else {
                return Err(Obstacle::RowCount { table, expected: 1, met: met.len() });
            };
            found.push((at, new));
        }
        for (at, new) in found {
            for &column in &set.columns {
                let value = present(plan.at(new, column));
                self.rows(table)[at][places[usize::from(column)]] = value;
            }
            self.check(table)?;
        }
        Ok(())
    }

    fn rows(&mut self, table: TableId) -> &mut Vec<Row> {
        self.state.get_mut(&table).unwrap()
    }

    fn spec(&self, table: TableId) -> &Spec {
        self.specs.iter().find(|spec| spec.table.id == table).unwrap()
    }

    /// Columns are matched by name.
    fn places(&self, shape: &Shape) -> Vec<usize> {
        self.spec(shape.relation.table).places(&shape.relation)
    }

    fn find(&self, plan: &Plan, shape: &Shape, key: CellIndex) -> Vec<usize> {
        let places = self.places(shape);
        let key: Vec<_> = (0..)
            .zip(shape.key_columns())
            .map(|(offset, column)| (places[usize::from(column)], present(plan.at(key, offset))))
            .collect();
        let is_meant = |row: &Row| key.iter().all(|(place, value)| row[*place] == *value);
        let rows = self.state[&shape.relation.table].iter().enumerate();
        rows.filter(|(_, row)| is_meant(row)).map(|(at, _)| at).collect()
    }

    fn check(&self, table: TableId) -> Result<(), Obstacle> {
        let rows = &self.state[&table];
        for set in self.spec(table).unique_sets(self.secondary) {
            for (at, row) in rows.iter().enumerate() {
                if rows[..at].iter().any(|other| clash(row, other, &set)) {
                    return Err(Obstacle::Duplicate { table });
                }
            }
        }
        Ok(())
    }
}

fn present(value: Value<'_>) -> Option<String> {
    match value {
        Value::Null => None,
        Value::Text(text) => Some(String::from_utf8(text.to_vec()).unwrap()),
        Value::Absent => panic!("a value that the log does not hold was to be written"),
    }
}

/// A state in which the order of rows does not matter.
pub fn sorted(state: &State) -> State {
    let mut sorted = state.clone();
    sorted.values_mut().for_each(|rows| rows.sort());
    sorted
}
