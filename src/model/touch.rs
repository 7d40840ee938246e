//! Which units of a verification the stream touched since they were to be read.
//!
//! In: the plan of the verification that was begun last, and what is carried out on the target. Out:
//! the units that are changed by it, each once; a target keeps them in the transaction that changes
//! the rows. So a unit that was proven, and that no such mark is of, is as it was then, and a later
//! verification need not read it. Where a change cannot be assigned to a unit (its key cannot be
//! ordered here, or is not in the log), or may have effects that the log does not hold, all units of
//! the table are touched. Nothing is lost by too many marks. Pure: no I/O, no engine.
//!
//! A table of no verification costs a look-up per step of a plan, and so does one that is touched all
//! over; nothing is looked up or allocated row by row there.

use std::collections::{BTreeSet, HashMap};

use super::chunk::{Key, borders};
use super::effect::{CellIndex, Plan, RowIdentity, Shape, Step, TableEffect};
use super::order::{ColumnOrder, KeyPart};
use super::schema::{Table, TableId};
use super::value::Value;
use super::verification::VerificationPlan;

/// A mark: a unit of a table, by its number, or all of the table.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Touch {
    /// The table.
    pub table: TableId,
    /// The unit; all of them where it is None.
    pub unit: Option<u32>,
}

impl Touch {
    /// The unit as the state has it: its number, or -1 for all.
    #[must_use]
    pub fn stored_unit(&self) -> i64 {
        self.unit.map_or(-1, i64::from)
    }

    /// Reads it back.
    #[must_use]
    pub fn from_stored(table: TableId, unit: i64) -> Self {
        Touch { table, unit: u32::try_from(unit).ok() }
    }
}

/// What one applier knows of the verification that was begun last, and which marks are to be kept.
#[derive(Debug, Default)]
pub struct Touches {
    /// How many verifications were begun, as far as is known here.
    generation: i64,
    tables: HashMap<TableId, Watched>,
    /// Marks that the open transaction still has to keep.
    due: Vec<Touch>,
    /// Tables that were changed in the open transaction.
    changed: BTreeSet<TableId>,
    /// Tables whose changes come with, or from, others that are not in the log, until one of them is
    /// changed: which rows follow which, nobody knows here.
    cascading: Vec<TableId>,
}

/// A table with units.
#[derive(Debug)]
struct Watched {
    orders: Vec<ColumnOrder>,
    /// In key order, each with its first key and its number. One where changes are not assigned.
    units: Vec<(Option<Key<'static>>, Option<u32>)>,
    /// Which of them are touched.
    touched: Vec<bool>,
    untouched: usize,
    cascades: bool,
}

impl Touches {
    /// The generation that this knows.
    #[must_use]
    pub fn generation(&self) -> i64 {
        self.generation
    }

    /// Learns of the verification that was begun last. `kept` are the marks that there are already.
    /// What the open transaction changed before counts as changes of whole tables.
    pub fn learn(&mut self, generation: i64, plan: Option<&VerificationPlan>, kept: &[Touch]) {
        self.generation = generation;
        self.due.clear();
        // Nothing is ever taken over from a sample.
        let plan = plan.filter(|plan| plan.sample.is_none());
        self.tables = plan.map_or_else(HashMap::new, watched);
        let cascades = self.tables.iter().filter(|(_, watched)| watched.cascades);
        self.cascading = cascades.map(|(table, _)| *table).collect();
        for touch in kept {
            if let Some(watched) = self.tables.get_mut(&touch.table) {
                watched.is_kept(*touch);
            }
        }
        for table in std::mem::take(&mut self.changed) {
            self.touch_table(table);
        }
    }

    /// Notes what a plan changes.
    pub fn note(&mut self, plan: &Plan) {
        for step in &plan.steps {
            match step {
                Step::Rows(effects) => {
                    effects.iter().for_each(|effect| self.note_effect(plan, effect));
                }
                Step::Truncate { shapes, .. } => {
                    shapes.iter().for_each(|shape| self.touch_table(shape.relation.table));
                }
            }
        }
    }

    /// Notes the tables of a plan behind which the transaction stays open: what was begun meanwhile is
    /// known only at its end.
    pub fn note_piece(&mut self, plan: &Plan) {
        for step in &plan.steps {
            match step {
                Step::Rows(effects) => {
                    let tables = effects.iter().map(|effect| effect.shape.relation.table);
                    self.changed.extend(tables);
                }
                Step::Truncate { shapes, .. } => {
                    self.changed.extend(shapes.iter().map(|shape| shape.relation.table));
                }
            }
        }
    }

    /// Notes that a table as a whole is another in the open transaction.
    pub fn note_table(&mut self, table: TableId) {
        self.changed.insert(table);
        self.touch_table(table);
    }

    /// The marks that the open transaction has to keep.
    #[must_use]
    pub fn due(&self) -> &[Touch] {
        &self.due
    }

    /// The open transaction is committed, with its marks.
    pub fn committed(&mut self) {
        self.due.clear();
        self.changed.clear();
    }

    fn touch_table(&mut self, table: TableId) {
        let Some(watched) = self.tables.get_mut(&table) else { return };
        if watched.untouched > 0 {
            watched.untouched = 0;
            self.due.push(Touch { table, unit: None });
        }
        if watched.cascades {
            self.touch_cascading();
        }
    }

    fn touch_cascading(&mut self) {
        for table in std::mem::take(&mut self.cascading) {
            self.touch_table(table);
        }
    }

    fn note_effect(&mut self, plan: &Plan, effect: &TableEffect) {
        let shape = &*effect.shape;
        let table = shape.relation.table;
        if shape.relation.cascades {
            self.touch_cascading();
        }
        let Some(watched) = self.tables.get_mut(&table).filter(|table| table.untouched > 0) else {
            return;
        };
        let whole = watched.cascades || watched.units.len() == 1;
        if whole || watched.note_rows(plan, effect, &mut self.due).is_none() {
            self.touch_table(table);
        }
    }
}

fn watched(plan: &VerificationPlan) -> HashMap<TableId, Watched> {
    let of = |table: &Table| {
        let units: Vec<_> = plan.units.iter().filter(|unit| unit.table == table.id).collect();
        let borders = table.changes_are_assignable().then(|| {
            borders(table, units.iter().map(|unit| unit.from.as_ref())).unwrap_or_default()
        });
        let units = match borders.filter(|borders| borders.len() > 1) {
            Some(borders) => {
                borders.into_iter().zip(units.iter().map(|unit| Some(unit.number))).collect()
            }
            None => vec![(None, None)],
        };
        let watched = Watched {
            orders: table.key_orders().collect(),
            touched: vec![false; units.len()],
            untouched: units.len(),
            units,
            cascades: table.cascades.is_some(),
        };
        (table.id, watched)
    };
    plan.definitions.iter().map(of).collect()
}

impl Watched {
    /// There is such a mark already.
    fn is_kept(&mut self, touch: Touch) {
        match touch.unit {
            None => self.untouched = 0,
            Some(number) => {
                let place = self.units.iter().position(|(_, unit)| *unit == Some(number));
                if let Some(place) = place
                    && !std::mem::replace(&mut self.touched[place], true)
                {
                    self.untouched = self.untouched.saturating_sub(1);
                }
            }
        }
    }

    /// Marks the units of rows. None where a row cannot be assigned to one.
    fn note_rows<'p>(
        &mut self,
        plan: &'p Plan,
        effect: &TableEffect,
        due: &mut Vec<Touch>,
    ) -> Option<()> {
        let shape = &*effect.shape;
        if shape.primary_key.len() != self.orders.len() {
            return None;
        }
        let mut key: Key<'p> = Vec::with_capacity(self.orders.len());
        let mut touch = |first: CellIndex, columns: &[u16]| {
            if self.untouched == 0 {
                return Some(());
            }
            read_key(&mut key, plan, first, columns.iter().zip(&self.orders))?;
            let after = self.units.partition_point(|(from, _)| {
                from.as_ref().is_none_or(|from| from.as_slice() <= key.as_slice())
            });
            let place = after.checked_sub(1)?;
            if !std::mem::replace(&mut self.touched[place], true) {
                self.untouched -= 1;
                due.push(Touch { table: shape.relation.table, unit: self.units[place].1 });
            }
            Some(())
        };
        let goes = !effect.deletes.is_empty() || !effect.discards.is_empty();
        if goes || !effect.updates.is_empty() {
            let columns = key_places(shape)?;
            let deleted = effect.deletes.iter().map(|(row, _)| row);
            let updated = effect.updates.iter().flat_map(|set| set.rows.iter().map(|(old, _)| old));
            for row in deleted.chain(&effect.discards).chain(updated) {
                touch(*row, &columns)?;
            }
        }
        let updated = effect.updates.iter().flat_map(|set| set.rows.iter().map(|(_, new)| new));
        for row in effect.inserts.iter().chain(updated) {
            touch(*row, &shape.primary_key)?;
        }
        Some(())
    }
}

/// Where the primary key's columns are among the cells of a key. None where they are not all there.
fn key_places(shape: &Shape) -> Option<Vec<u16>> {
    let RowIdentity::Key(columns) = &shape.identity else { return None };
    let place = |key: &u16| {
        let place = columns.iter().position(|column| column == key)?;
        u16::try_from(place).ok()
    };
    shape.primary_key.iter().map(place).collect()
}

/// Reads a row's key. None where a part of it is not in the log, or cannot be ordered here.
fn read_key<'p, 'c>(
    key: &mut Key<'p>,
    plan: &'p Plan,
    first: CellIndex,
    columns: impl Iterator<Item = (&'c u16, &'c ColumnOrder)>,
) -> Option<()> {
    key.clear();
    for (column, order) in columns {
        let part: KeyPart<'p> = match plan.at(first, *column) {
            Value::Text(text) => order.read(text)?,
            Value::Null | Value::Absent => return None,
        };
        key.push(part);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;

    use super::super::change::{Batch, Relation};
    use super::super::effect::{Cell, UpdateSet};
    use super::super::value::ValueRef;
    use super::super::{Cascades, Truncate};
    use super::*;
    use crate::model::TableName;

    /// A table with a key of two integers, cut at (10, 5) and (20, 0): units 1, 2 and 3. Another one,
    /// of the same columns, is not cut: unit 4.
    fn plan(cascades: bool) -> VerificationPlan {
        let table = |id: u32| {
            let column = |name: &str, number: u32| {
                serde_json::json!({
                    "name": name, "number": number, "version": 0, "type_name": "", "order": "integer",
                    "type_modifier": -1, "not_null": true, "generated": false, "collation": null,
                })
            };
            serde_json::json!({
                "id": id, "name": { "schema": "public", "name": format!("t{id}") }, "source_id": 1,
                "columns": [column("a", 1), column("b", 2)], "columns_ever": 2, "kept": [],
                "storage": 0, "identity": { "by": "key", "columns": [0, 1] }, "primary_key": [0, 1],
                "bytes": 0, "estimated_rows": 0, "pages": 0, "correlation": null, "root": null,
                "binary_travels": true,
            })
        };
        let unit = |number: u32, table: u32, from: Option<[&str; 2]>| {
            serde_json::json!({
                "number": number, "table": table, "from": from, "until": null, "bytes": 0,
            })
        };
        let plan = serde_json::json!({
            "id": 7, "tables": serde_json::to_value(crate::model::selection::Patterns::default()).unwrap(),
            "sample": null, "begun_at_s": 0, "definitions": [table(1), table(2)],
            "units": [
                unit(1, 1, None), unit(2, 1, Some(["10", "5"])), unit(3, 1, Some(["20", "0"])),
                unit(4, 2, None),
            ],
        });
        let mut plan: VerificationPlan = serde_json::from_value(plan).unwrap();
        if cascades {
            for table in &mut plan.definitions {
                table.cascades = Some(Cascades { family: 0, parent: true, rules: Vec::new() });
            }
        }
        plan
    }

    fn shape(table: u32, identity: RowIdentity) -> Arc<Shape> {
        let name = TableName { schema: "public".into(), name: format!("t{table}") };
        let relation = Relation {
            table: TableId(table),
            name,
            columns: Vec::new(),
            full: false,
            cascades: false,
        };
        Arc::new(Shape { relation: Arc::new(relation), identity, primary_key: vec![0, 1] })
    }

    /// A plan that does something with rows of a table, each of two cells.
    fn changes(
        table: u32,
        identity: RowIdentity,
        rows: &[[&str; 2]],
        act: impl FnOnce(&mut TableEffect, Vec<CellIndex>),
    ) -> Plan {
        let (mut data, mut values) = (Vec::new(), Vec::new());
        for text in rows.iter().flatten() {
            values.push(match *text {
                "?" => ValueRef::Absent,
                text => ValueRef::Text { start: data.len() as u32, len: text.len() as u32 },
            });
            data.extend_from_slice(text.as_bytes());
        }
        let cells = values.iter().map(|&value| Cell { batch: 0, value }).collect();
        let batch = Batch { data: Bytes::from(data), values, events: Vec::new() };
        let mut effect = TableEffect::new(shape(table, identity));
        act(&mut effect, (0..rows.len() as u32).map(|row| row * 2).collect());
        Plan { batches: vec![Arc::new(batch)], cells, steps: vec![Step::Rows(vec![effect])] }
    }

    fn inserts(table: u32, rows: &[[&str; 2]]) -> Plan {
        let act = |effect: &mut TableEffect, rows| effect.inserts = rows;
        changes(table, RowIdentity::Key(vec![0, 1]), rows, act)
    }

    fn knowing(plan: &VerificationPlan) -> Touches {
        let mut touches = Touches::default();
        touches.learn(1, Some(plan), &[]);
        touches
    }

    fn mark(table: u32, unit: Option<u32>) -> Touch {
        Touch { table: TableId(table), unit }
    }

    #[test]
    fn each_unit_is_marked_once() {
        let mut touches = knowing(&plan(false));
        touches.note(&inserts(1, &[["10", "5"], ["10", "4"], ["3", "9"], ["19", "99"]]));
        assert_eq!(touches.due(), [mark(1, Some(2)), mark(1, Some(1))]);
        touches.committed();
        touches.note(&inserts(1, &[["-70", "5"], ["20", "0"], ["20", "1"]]));
        assert_eq!(touches.due(), [mark(1, Some(3))]);
        touches.committed();
        touches.note(&inserts(1, &[["ten", "5"]]));
        assert_eq!(touches.due(), [], "all are marked");
        touches.note(&inserts(2, &[["ten", "5"]]));
        assert_eq!(touches.due(), [mark(2, None)]);
        touches.note(&inserts(3, &[["1", "1"]]));
        assert_eq!(touches.due(), [mark(2, None)], "nothing is known of it");
    }

    #[test]
    fn a_row_that_moves_touches_both_units() {
        let rows = [["30", "0"], ["1", "1"]];
        let update = |effect: &mut TableEffect, rows: Vec<CellIndex>| {
            effect.updates = vec![UpdateSet { columns: vec![0], rows: vec![(rows[0], rows[1])] }];
        };
        let mut touches = knowing(&plan(false));
        touches.note(&changes(1, RowIdentity::Key(vec![0, 1]), &rows, update));
        assert_eq!(touches.due(), [mark(1, Some(3)), mark(1, Some(1))]);
        // The key's columns in another order.
        let swapped = [["0", "30"], ["1", "1"]];
        let mut touches = knowing(&plan(false));
        touches.note(&changes(1, RowIdentity::Key(vec![1, 0]), &swapped, update));
        assert_eq!(touches.due(), [mark(1, Some(3)), mark(1, Some(1))]);
    }

    #[test]
    fn what_cannot_be_assigned_touches_all_of_the_table() {
        let delete = |effect: &mut TableEffect, rows: Vec<CellIndex>| {
            effect.deletes = rows.into_iter().map(|row| (row, 1)).collect();
        };
        for (identity, row) in [
            (RowIdentity::Key(vec![0]), ["1", "1"]),
            (RowIdentity::WholeRow, ["1", "1"]),
            (RowIdentity::Key(vec![0, 1]), ["1", "one"]),
            (RowIdentity::Key(vec![0, 1]), ["1", "?"]),
        ] {
            let mut touches = knowing(&plan(false));
            touches.note(&changes(1, identity, &[row], delete));
            assert_eq!(touches.due(), [mark(1, None)], "{row:?}");
        }
        let truncate =
            Truncate { tables: vec![TableId(1)], cascade: false, restart_identity: false };
        let shapes = vec![shape(1, RowIdentity::Nothing)];
        let truncate = Plan { steps: vec![Step::Truncate { truncate, shapes }], ..Plan::default() };
        let mut touches = knowing(&plan(false));
        touches.note(&truncate);
        assert_eq!(touches.due(), [mark(1, None)]);
    }

    #[test]
    fn effects_that_are_not_in_the_log_touch_all_tables_that_have_such() {
        let mut touches = knowing(&plan(true));
        touches.note(&inserts(1, &[["1", "1"]]));
        let due: BTreeSet<TableId> = touches.due().iter().map(|touch| touch.table).collect();
        assert_eq!(due, BTreeSet::from([TableId(1), TableId(2)]));
        assert!(touches.due().iter().all(|touch| touch.unit.is_none()));
    }

    #[test]
    fn pieces_that_were_sent_before_the_plan_was_known_touch_all_of_their_tables() {
        let mut touches = knowing(&plan(false));
        touches.note(&inserts(1, &[["1", "1"]]));
        touches.note_piece(&inserts(1, &[["1", "1"]]));
        touches.learn(2, Some(&plan(false)), &[]);
        assert_eq!((touches.due(), touches.generation()), (&[mark(1, None)][..], 2));
        touches.committed();
        touches.learn(3, Some(&plan(false)), &[mark(1, Some(2)), mark(2, None)]);
        touches.note(&inserts(1, &[["1", "1"], ["10", "5"]]));
        touches.note(&inserts(2, &[["1", "1"]]));
        assert_eq!(touches.due(), [mark(1, Some(1))], "what is kept is not marked again");
        touches.learn(4, None, &[]);
        touches.note(&inserts(1, &[["1", "1"]]));
        assert_eq!(touches.due(), []);
    }

    #[test]
    fn proofs_of_units_that_no_mark_is_of_are_taken_over() {
        let plan = plan(false);
        let proof = |unit: u32| {
            serde_json::from_value::<crate::model::verification::Proof>(serde_json::json!({
                "plan": 1, "unit": unit, "digest": "0:0", "bytes": 0,
                "position": crate::model::Position::Postgres(crate::model::Lsn(1)),
            }))
            .unwrap()
        };
        let proofs: Vec<_> = [1, 2, 4, 9].map(proof).into();
        let taken = |touches: &[Touch]| {
            let taken = plan.take_over(&proofs, touches);
            assert!(taken.iter().all(|proof| proof.plan == plan.id));
            taken.iter().map(|proof| proof.unit).collect::<Vec<_>>()
        };
        assert_eq!(taken(&[]), [1, 2, 4]);
        assert_eq!(taken(&[mark(1, Some(2))]), [1, 4]);
        assert_eq!(taken(&[mark(1, None)]), [4]);
        let stored = |touch: Touch| Touch::from_stored(touch.table, touch.stored_unit());
        assert_eq!(stored(mark(1, None)), mark(1, None));
        assert_eq!(stored(mark(1, Some(2))), mark(1, Some(2)));
    }
}
