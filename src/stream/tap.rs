//! Which rows a stream changes, for whoever wants to look at them again.
//!
//! In: events that are about to be applied. Out: the keys of their rows, as lines of text have them.
//! Of a row whose key the log does not tell, and of tables that are changed as a whole, it says so.
//! It compares nothing, and holds back nothing of the stream.

use super::group::Part;
use crate::model::{Batch, Change, ChangedRows, Event, Row, Shape, TableId, Tap, Value};

/// Notes the rows that these events change. `bound` are the tables of which rows may change without
/// a word in the log.
pub(super) fn note(tap: &Tap, parts: &[Part], bound: &[TableId]) {
    tap.with(|touched| {
        bound.iter().for_each(|table| touched.beyond_log(*table));
        for part in parts {
            for event in &part.batch.events[part.events.clone()] {
                match event {
                    Event::Change(change) => changed(touched, part, *change),
                    Event::Truncate(truncate) => {
                        truncate.tables.iter().for_each(|table| touched.beyond_log(*table));
                    }
                    Event::Begin { .. }
                    | Event::Schema(_)
                    | Event::Relation(_)
                    | Event::Commit { .. }
                    | Event::Unsettled { .. }
                    | Event::Idle { .. } => {}
                }
            }
        }
    });
}

fn changed(touched: &mut ChangedRows, part: &Part, change: Change) {
    let table = change.table();
    let key = |row: Row| part.shapes.get(&table).and_then(|shape| key(shape, &part.batch, row));
    let (old, new) = match change {
        Change::Insert { new, .. } => (None, Some(new)),
        Change::Update { old, new, .. } => (old, Some(new)),
        Change::Delete { old, .. } => (Some(old), None),
    };
    let before = old.and_then(key);
    // A key that an update leaves out is the one that the row had.
    let after = new.and_then(|new| key(new).or_else(|| before.clone()));
    if let Some(before) = before.as_ref().filter(|before| after.as_ref() != Some(*before)) {
        touched.row(table, before, false);
    }
    match after {
        Some(after) => touched.row(table, &after, true),
        None if new.is_some() || before.is_none() => touched.unnamed(table),
        None => {}
    }
}

/// The key of a row, where it has one and the log tells it.
fn key(shape: &Shape, batch: &Batch, row: Row) -> Option<Vec<u8>> {
    if shape.primary_key.is_empty() {
        return None;
    }
    let values = batch.row(row);
    let mut key = Vec::new();
    for (at, &column) in shape.primary_key.iter().enumerate() {
        if at > 0 {
            key.push(b'\t');
        }
        match batch.value(*values.get(usize::from(column))?) {
            Value::Text(text) => push_escaped(&mut key, text),
            Value::Null | Value::Absent => return None,
        }
    }
    Some(key)
}

/// Appends a field as it stands in a line of text, where a tab ends it and a line feed the row.
fn push_escaped(key: &mut Vec<u8>, field: &[u8]) {
    for &byte in field {
        match byte {
            b'\\' => key.extend_from_slice(b"\\\\"),
            b'\t' => key.extend_from_slice(b"\\t"),
            b'\n' => key.extend_from_slice(b"\\n"),
            other => key.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;

    use super::*;
    use crate::model::{Relation, RowIdentity, TableName, ValueRef};
    use crate::stream::group::Shapes;

    const TABLE: TableId = TableId(1);

    /// Rows of two columns each, the key second; `None` is a value that the log leaves out.
    fn part(rows: &[[Option<&str>; 2]], changes: &[Change], keyed: bool) -> Part {
        let (mut data, mut values) = (Vec::new(), Vec::new());
        for value in rows.iter().flatten() {
            values.push(value.map_or(ValueRef::Absent, |text| {
                let start = data.len() as u32;
                data.extend_from_slice(text.as_bytes());
                ValueRef::Text { start, len: text.len() as u32 }
            }));
        }
        let events: Vec<Event> = changes.iter().map(|change| Event::Change(*change)).collect();
        let relation = Relation {
            table: TABLE,
            name: TableName { schema: "s".to_owned(), name: "t".to_owned() },
            columns: Vec::new(),
            full: false,
            cascades: false,
        };
        let primary_key = if keyed { vec![1] } else { Vec::new() };
        let identity = RowIdentity::WholeRow;
        let shape = Arc::new(Shape { relation: Arc::new(relation), identity, primary_key });
        let shapes = Arc::new(Shapes::from([(TABLE, shape)]));
        let range = 0..events.len();
        let batch = Arc::new(Batch { data: Bytes::from(data), values, events });
        Part { batch, events: range, shapes }
    }

    fn row(number: u32) -> Row {
        Row { first: number * 2, len: 2 }
    }

    fn noted(part: Part, bound: &[TableId]) -> (Vec<(String, bool)>, u64, bool) {
        let tap = Tap::keeping(1 << 20);
        note(&tap, &[part], bound);
        tap.with(|touched| {
            let rows = touched.batches(100).into_iter().flat_map(|batch| batch.keys);
            let text = |key: &[u8]| String::from_utf8_lossy(key).into_owned();
            let mut rows: Vec<_> = rows.map(|(key, exists)| (text(&key), exists)).collect();
            rows.sort();
            let table = touched.tables().next().unwrap();
            (rows, table.unnamed, table.beyond_log)
        })
    }

    #[test]
    fn both_keys_of_a_row_that_changed_its_key_are_noted() {
        let rows = [
            [Some("x"), Some("1")],
            [Some("x"), Some("2")],
            [None, Some("1")],
            [None, Some("3")],
            [Some("x"), None],
        ];
        let changes = [
            Change::Insert { table: TABLE, new: row(0) },
            Change::Update { table: TABLE, old: Some(row(2)), new: row(1) },
            Change::Delete { table: TABLE, old: row(3) },
            // A large key that did not change is not in the log again.
            Change::Update { table: TABLE, old: Some(row(1)), new: row(4) },
        ];
        let (rows, unnamed, beyond_log) = noted(part(&rows, &changes, true), &[]);
        let key = |text: &str, exists| (text.to_owned(), exists);
        assert_eq!(rows, [key("1", false), key("2", true), key("3", false)]);
        assert_eq!((unnamed, beyond_log), (0, false));
    }

    #[test]
    fn what_has_no_key_is_counted() {
        let rows = [[Some("x"), None], [Some("y"), None]];
        let changes = [
            Change::Insert { table: TABLE, new: row(0) },
            Change::Update { table: TABLE, old: Some(row(0)), new: row(1) },
            Change::Delete { table: TABLE, old: row(1) },
        ];
        for keyed in [true, false] {
            assert_eq!(noted(part(&rows, &changes, keyed), &[]), (Vec::new(), 3, false));
        }
        assert_eq!(noted(part(&rows, &[], true), &[TABLE]), (Vec::new(), 0, true));
    }

    #[test]
    fn a_key_is_written_as_in_a_line() {
        let rows = [[None, Some("a\\b\tc\nd\re")]];
        let changes = [Change::Insert { table: TABLE, new: row(0) }];
        let (rows, ..) = noted(part(&rows, &changes, true), &[]);
        assert_eq!(rows, [("a\\\\b\\tc\\nd\re".to_owned(), true)]);
    }
}
