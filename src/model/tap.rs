//! Rows that changed on the source, by their keys: what a cutover compares once more.
//!
//! In: keys, from the stream. Out: batches of keys, the newest first, each key once. Bounded in bytes:
//! beyond that the rows that changed longest ago are forgotten, and only counted. It neither reads a
//! log nor compares anything.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use super::position::Position;
use super::schema::TableId;

/// What a key takes beside its bytes, about.
const OVERHEAD_BYTES: usize = 80;

/// A row's key: the fields as they stand in a line of text, in key order, with a tab between two.
pub type RowKey = Box<[u8]>;

/// What is known of a row that changed.
#[derive(Clone, Copy, Debug)]
struct LastChange {
    /// How many changes were noted before its last.
    number: u64,
    /// Whether it was there after that.
    exists: bool,
}

/// What changed of a table.
#[derive(Clone, Debug, Default)]
struct ChangedTable {
    rows: HashMap<RowKey, LastChange>,
    /// Changes of rows that cannot be named: there is no key, or it was forgotten.
    unnamed: u64,
    /// Rows changed of which the log says nothing one by one.
    beyond_log: bool,
}

/// What changed of one table, in figures.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TableChanges {
    /// The table.
    pub table: TableId,
    /// Rows that are known by their keys.
    pub named: u64,
    /// Changes of rows that are not.
    pub unnamed: u64,
    /// Rows changed of which the log says nothing one by one.
    pub beyond_log: bool,
}

impl TableChanges {
    /// All rows that are known to have changed; one without a key as often as it did.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.named + self.unnamed
    }

    /// Whether there is more to compare than rows that are known by their keys.
    #[must_use]
    pub fn is_more_than_named(&self) -> bool {
        self.unnamed > 0 || self.beyond_log
    }
}

/// Rows of one table that changed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyBatch {
    /// The table.
    pub table: TableId,
    /// Their keys, each with whether there was such a row after its last change.
    pub keys: Vec<(RowKey, bool)>,
}

/// The rows that changed from some position of the log on.
#[derive(Debug)]
pub struct ChangedRows {
    since: Option<Position>,
    tables: BTreeMap<TableId, ChangedTable>,
    noted: u64,
    bytes: usize,
    most_bytes: usize,
}

impl ChangedRows {
    /// Nothing yet; it may take so many bytes.
    #[must_use]
    pub fn within(most_bytes: usize) -> Self {
        ChangedRows { since: None, tables: BTreeMap::new(), noted: 0, bytes: 0, most_bytes }
    }

    /// Notes that the log is looked at from this position on, or from an earlier one.
    pub fn begin(&mut self, position: &Position) {
        self.since.get_or_insert_with(|| position.clone());
    }

    /// Where the log was begun to be looked at.
    #[must_use]
    pub fn since(&self) -> Option<&Position> {
        self.since.as_ref()
    }

    /// Begins anew. Returns what was noted so far.
    pub fn restart(&mut self) -> ChangedRows {
        let empty = ChangedRows {
            since: self.since.clone(),
            noted: self.noted,
            ..ChangedRows::within(self.most_bytes)
        };
        std::mem::replace(self, empty)
    }

    /// Of what changed up to there, nobody needs to know any more.
    pub fn count_from(&mut self, position: &Position) {
        self.since = Some(position.clone());
    }

    /// Takes back what was noted before it was begun anew.
    pub fn resume(&mut self, before: ChangedRows) {
        self.since = before.since;
        for (table, changed) in before.tables {
            let known = self.tables.entry(table).or_default();
            known.unnamed += changed.unnamed;
            known.beyond_log |= changed.beyond_log;
            for (key, change) in changed.rows {
                let bytes = key.len() + OVERHEAD_BYTES;
                if let Entry::Vacant(vacant) = known.rows.entry(key) {
                    vacant.insert(change);
                    self.bytes += bytes;
                }
            }
        }
        if self.bytes > self.most_bytes {
            self.forget();
        }
    }

    /// Notes a row that changed, and whether it was there after that.
    pub fn row(&mut self, table: TableId, key: &[u8], exists: bool) {
        self.noted += 1;
        let touch = LastChange { number: self.noted, exists };
        let rows = &mut self.tables.entry(table).or_default().rows;
        match rows.get_mut(key) {
            Some(known) => *known = touch,
            None => {
                rows.insert(Box::from(key), touch);
                self.bytes += key.len() + OVERHEAD_BYTES;
                if self.bytes > self.most_bytes {
                    self.forget();
                }
            }
        }
    }

    /// Notes the change of a row that cannot be named.
    pub fn unnamed(&mut self, table: TableId) {
        self.tables.entry(table).or_default().unnamed += 1;
    }

    /// Notes that rows of a table may have changed of which the log says nothing one by one.
    pub fn beyond_log(&mut self, table: TableId) {
        self.tables.entry(table).or_default().beyond_log = true;
    }

    /// Forgets the older half of the keys.
    fn forget(&mut self) {
        let touches = self.tables.values().flat_map(|table| table.rows.values());
        let mut numbers: Vec<u64> = touches.map(|touch| touch.number).collect();
        let middle = numbers.len() / 2;
        let border = *numbers.select_nth_unstable(middle).1;
        self.bytes = 0;
        for table in self.tables.values_mut() {
            let before = table.rows.len();
            table.rows.retain(|_, touch| touch.number > border);
            table.unnamed += (before - table.rows.len()) as u64;
            self.bytes += table.rows.keys().map(|key| key.len() + OVERHEAD_BYTES).sum::<usize>();
        }
    }

    /// What changed, table by table.
    pub fn tables(&self) -> impl Iterator<Item = TableChanges> {
        self.tables.iter().map(|(table, touched)| TableChanges {
            table: *table,
            named: touched.rows.len() as u64,
            unnamed: touched.unnamed,
            beyond_log: touched.beyond_log,
        })
    }

    /// All rows that are known by their keys, about `size` of one table at once. What changed last
    /// comes first.
    #[must_use]
    pub fn batches(&self, size: usize) -> Vec<KeyBatch> {
        let mut batches = Vec::new();
        for (table, touched) in &self.tables {
            let mut rows: Vec<(&RowKey, &LastChange)> = touched.rows.iter().collect();
            rows.sort_unstable_by_key(|(_, touch)| std::cmp::Reverse(touch.number));
            batches.extend(rows.chunks(size.max(1)).map(|rows| {
                let newest = rows.first().map_or(0, |(_, touch)| touch.number);
                let keys = rows.iter().map(|(key, touch)| ((*key).clone(), touch.exists));
                (newest, KeyBatch { table: *table, keys: keys.collect() })
            }));
        }
        batches.sort_unstable_by_key(|(newest, _)| std::cmp::Reverse(*newest));
        batches.into_iter().map(|(_, batch)| batch).collect()
    }
}

/// Where a stream notes the rows that it applies, for whoever wants to look at them again.
#[derive(Clone, Debug)]
pub struct Tap(Arc<Mutex<ChangedRows>>);

impl Tap {
    /// A tap that keeps so many bytes.
    #[must_use]
    pub fn keeping(most_bytes: usize) -> Self {
        Tap(Arc::new(Mutex::new(ChangedRows::within(most_bytes))))
    }

    /// Looks at what was noted, or notes more. Nothing may be waited for meanwhile.
    pub fn with<O>(&self, act: impl FnOnce(&mut ChangedRows) -> O) -> O {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: TableId = TableId(7);
    const OTHER: TableId = TableId(3);

    fn keys(touched: &ChangedRows, size: usize) -> Vec<Vec<String>> {
        let shown = |batch: &KeyBatch| {
            let text = |(key, exists): &(RowKey, bool)| {
                format!("{}{}", String::from_utf8_lossy(key), if *exists { "" } else { "-" })
            };
            batch.keys.iter().map(text).collect()
        };
        touched.batches(size).iter().map(shown).collect()
    }

    #[test]
    fn each_row_is_there_once_and_the_newest_first() {
        let mut touched = ChangedRows::within(1 << 20);
        for (table, key, exists) in [
            (TABLE, "a", true),
            (TABLE, "b", true),
            (OTHER, "a", true),
            (TABLE, "c", true),
            (TABLE, "a", false),
        ] {
            touched.row(table, key.as_bytes(), exists);
        }
        assert_eq!(keys(&touched, 10), [vec!["a-", "c", "b"], vec!["a"]]);
        assert_eq!(keys(&touched, 2), [vec!["a-", "c"], vec!["a"], vec!["b"]]);
        let rows: Vec<_> = touched.tables().map(|table| (table.table, table.rows())).collect();
        assert_eq!(rows, [(OTHER, 1), (TABLE, 3)]);
    }

    #[test]
    fn what_changed_longest_ago_is_forgotten_and_counted() {
        let mut touched = ChangedRows::within(10 * (OVERHEAD_BYTES + 2));
        for number in 10..30 {
            touched.row(TABLE, number.to_string().as_bytes(), true);
        }
        let table = touched.tables().next().unwrap();
        assert_eq!(table.rows(), 20);
        assert!(table.named <= 10 && table.named >= 5, "{table:?}");
        let newest = keys(&touched, 3).remove(0);
        assert_eq!(newest, ["29", "28", "27"]);
        assert!(table.is_more_than_named());
    }

    #[test]
    fn what_was_noted_before_is_taken_back() {
        let mut touched = ChangedRows::within(1 << 20);
        touched.row(TABLE, b"a", true);
        touched.row(TABLE, b"b", true);
        touched.unnamed(OTHER);
        let before = touched.restart();
        assert!(touched.tables().next().is_none() && touched.batches(10).is_empty());
        touched.row(TABLE, b"c", true);
        touched.row(TABLE, b"a", false);
        assert_eq!(keys(&touched, 10), [vec!["a-", "c"]]);
        touched.resume(before);
        assert_eq!(keys(&touched, 10), [vec!["a-", "c", "b"]]);
        let rows: Vec<_> = touched.tables().map(|table| (table.table, table.rows())).collect();
        assert_eq!(rows, [(OTHER, 1), (TABLE, 3)]);
        // It takes no more room than it is given, whatever comes back.
        let mut small = ChangedRows::within(3 * (OVERHEAD_BYTES + 1));
        small.row(TABLE, b"a", true);
        small.row(TABLE, b"b", true);
        let before = small.restart();
        small.row(TABLE, b"c", true);
        small.row(TABLE, b"d", true);
        small.resume(before);
        assert_eq!(keys(&small, 10), [vec!["d"]]);
        assert_eq!(small.tables().next().unwrap().rows(), 4);
    }

    #[test]
    fn what_cannot_be_named_is_counted() {
        let mut touched = ChangedRows::within(1 << 20);
        touched.unnamed(TABLE);
        touched.unnamed(TABLE);
        touched.beyond_log(OTHER);
        let tables: Vec<_> = touched.tables().collect();
        assert_eq!((tables[0].rows(), tables[0].beyond_log), (0, true));
        assert_eq!((tables[1].rows(), tables[1].beyond_log), (2, false));
        assert!(tables.iter().all(TableChanges::is_more_than_named));
        assert!(touched.batches(5).is_empty());
    }
}
