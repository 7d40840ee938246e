//! Rows that changed lately, compared once more while both sides rest.
//!
//! In: which rows changed, and a connection to either side. Out: how many of them are the same there,
//! how many are not, and of what that cannot be said. Nobody may write to either side meanwhile: then
//! one look is enough, and what differs differs. It takes no longer than it is given, and says what it
//! did not get to; what changed last comes first. Rows without a key are compared with all others of
//! their table, where that is small.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use super::canonical::{AS_WRITTEN, Forms};
use super::compare::{Wanted, each_row};
use super::pace::Pace;
use super::rows::hash;
use crate::model::{
    Failure, FinalProof, KeyBatch, LeftOut, RowKey, Table, TableChanges, TableId, Tap,
};
use crate::source::{Present, PresentReader, Scope};

/// Keys in one query.
const KEYS_AT_ONCE: usize = 500;

/// A table is read as a whole up to this size, in bytes.
const MOST_READ_WHOLE: u64 = 16 << 20;

/// Tables of which rows are read beforehand, at most.
const MOST_REHEARSED: usize = 64;

/// Compares rows, over a connection to either side.
#[derive(Debug)]
pub struct Prover<R> {
    source: R,
    target: R,
    /// The forms in which rows of a table are compared.
    forms: HashMap<TableId, Forms>,
}

/// What was found of the rows of one scope.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Found {
    /// Rows of the source.
    rows: u64,
    /// Rows that are not on both sides just so.
    differing: u64,
}

/// What was found of rows that were asked for by their keys.
#[derive(Clone, Copy, Debug, Default)]
struct FoundByKey {
    /// How many of them were compared.
    compared: u64,
    differing: u64,
}

/// What was found so far.
#[derive(Debug, Default)]
struct Tally {
    compared: HashMap<TableId, u64>,
    /// Tables of which not every row could be asked for by its key.
    incomplete: BTreeSet<TableId>,
    /// Tables of which all rows were compared.
    whole: Vec<TableId>,
    differing: BTreeMap<TableId, u64>,
}

/// What became of the comparison.
#[derive(Debug)]
pub struct Compared {
    /// What was compared, and what was not.
    pub proof: FinalProof,
    /// Tables of which rows differ, with how many.
    pub differing: Vec<(TableId, u64)>,
}

impl<R: PresentReader> Prover<R> {
    /// Connects to both sides.
    ///
    /// # Errors
    ///
    /// Where one cannot be connected to.
    pub async fn connect<P: Present<Reader = R>>(sides: &(P, P)) -> Result<Self, Failure> {
        let (source, target) = tokio::try_join!(sides.0.reader(), sides.1.reader())?;
        Ok(Prover { source, target, forms: HashMap::new() })
    }

    /// Reads some of the rows that changed by now, on both sides, and returns how long all of them would
    /// take. What it reads is still changing, and compared with nothing.
    ///
    /// # Errors
    ///
    /// Where they cannot be read.
    pub async fn rehearse(&mut self, tables: &[Table], tap: &Tap) -> Result<Duration, Failure> {
        let batches = tap.with(|touched| touched.batches(KEYS_AT_ONCE));
        let all: usize = batches.iter().map(|batch| batch.keys.len()).sum();
        let (begun, mut read) = (Instant::now(), 0);
        let mut rehearsed: Vec<TableId> = Vec::new();
        for batch in &batches {
            if rehearsed.contains(&batch.table) || rehearsed.len() >= MOST_REHEARSED {
                continue;
            }
            if let Some(table) = tables.iter().find(|table| table.id == batch.table) {
                self.compare_rows(table, &batch.keys).await?;
                read += batch.keys.len();
                rehearsed.push(batch.table);
            }
        }
        let share = all as f64 / read.max(1) as f64;
        Ok(begun.elapsed().mul_f64(share))
    }

    /// Compares the rows that changed, for so long at most.
    ///
    /// # Errors
    ///
    /// Where a server fails.
    pub async fn compare(
        mut self,
        tables: &[Table],
        tap: &Tap,
        longest: Duration,
    ) -> Result<Compared, Failure> {
        let (batches, touched): (Vec<KeyBatch>, Vec<TableChanges>) =
            tap.with(|touched| (touched.batches(KEYS_AT_ONCE), touched.tables().collect()));
        let mut tally = Tally::default();
        // A connection whose answer is given up is not used again.
        match tokio::time::timeout(longest, self.work(tables, (&batches, &touched), &mut tally))
            .await
        {
            Ok(done) => done?,
            Err(_) => tracing::warn!("not every row that changed could be compared in time"),
        }
        let since = tap.with(|touched| touched.since().cloned());
        let left_out = touched.iter().filter_map(|rows| tally.left_out(tables, rows)).collect();
        let proof = FinalProof {
            since,
            changed_rows: touched.iter().map(TableChanges::rows).sum(),
            compared_rows: touched.iter().map(|rows| tally.compared(rows)).sum(),
            left_out,
        };
        Ok(Compared { proof, differing: tally.differing.into_iter().collect() })
    }

    async fn work(
        &mut self,
        tables: &[Table],
        (batches, touched): (&[KeyBatch], &[TableChanges]),
        tally: &mut Tally,
    ) -> Result<(), Failure> {
        for batch in batches {
            let Some(table) = tables.iter().find(|table| table.id == batch.table) else { continue };
            let found = self.compare_rows(table, &batch.keys).await?;
            *tally.compared.entry(table.id).or_default() += found.compared;
            if found.compared < batch.keys.len() as u64 {
                tally.incomplete.insert(table.id);
            }
            tally.differ(table.id, found.differing);
        }
        let is_to_be_read = |table: &&Table| {
            let rows = touched.iter().find(|rows| rows.table == table.id);
            let more = rows.is_some_and(TableChanges::is_more_than_named);
            (more || tally.incomplete.contains(&table.id)) && table.bytes <= MOST_READ_WHOLE
        };
        let mut whole: Vec<&Table> = tables.iter().filter(is_to_be_read).collect();
        whole.sort_by_key(|table| table.bytes);
        for table in whole {
            let all = Scope::Range { from: None, until: None };
            let Some(found) = self.compare_scope(table, all).await? else { continue };
            tally.whole.push(table.id);
            if found.differing > 0 {
                tally.differing.insert(table.id, found.differing);
            }
        }
        Ok(())
    }

    /// Compares rows by their keys, as far as they can be asked for by these.
    async fn compare_rows(
        &mut self,
        table: &Table,
        keys: &[(RowKey, bool)],
    ) -> Result<FoundByKey, Failure> {
        let finds =
            |key: &[u8]| self.source.finds(table, &[key]) && self.target.finds(table, &[key]);
        let keys: Vec<&(RowKey, bool)> = keys.iter().filter(|(key, _)| finds(key)).collect();
        let there = keys.iter().filter(|(_, exists)| *exists).count() as u64;
        let asked: Vec<&[u8]> = keys.iter().map(|(key, _)| &**key).collect();
        if asked.is_empty() {
            return Ok(FoundByKey::default());
        }
        let Some(found) = self.compare_scope(table, Scope::Keys(&asked)).await? else {
            return Ok(FoundByKey::default());
        };
        // Of a row that should be there and was not found, nothing is known.
        let missing = there.saturating_sub(found.rows);
        let compared = (asked.len() as u64).saturating_sub(missing);
        Ok(FoundByKey { compared, differing: found.differing })
    }

    /// Compares rows of both sides as multisets. None where the source does not have the table, or a
    /// column of it.
    async fn compare_scope(
        &mut self,
        table: &Table,
        scope: Scope<'_>,
    ) -> Result<Option<Found>, Failure> {
        let Prover { source, target, forms } = self;
        if !forms.contains_key(&table.id)
            && let Some(learnt) = Forms::of(table, (&mut *source, &mut *target)).await?
        {
            forms.insert(table.id, learnt);
        }
        let forms = forms.get(&table.id).unwrap_or(AS_WRITTEN);
        let wanted = Wanted { table, forms, scope };
        let (source, target) = tokio::try_join!(held(source, wanted), held(target, wanted))?;
        let Some(source) = source else { return Ok(None) };
        let rows = source.values().sum();
        Ok(Some(Found { rows, differing: differing(&source, &target.unwrap_or_default()) }))
    }
}

/// How often rows with each hash are there on one side. None where the table, or a column of it, is not.
async fn held<R: PresentReader>(
    reader: &mut R,
    wanted: Wanted<'_>,
) -> Result<Option<HashMap<u128, u64>>, Failure> {
    let mut held: HashMap<u128, u64> = HashMap::new();
    let unhurried = Pace::unhurried();
    let count = |line: &[u8]| *held.entry(hash(line)).or_default() += 1;
    let there = each_row(reader, wanted, &unhurried, count).await?;
    Ok(there.then_some(held))
}

/// How many rows are not on both sides just so: one that has other values counts once.
fn differing(source: &HashMap<u128, u64>, target: &HashMap<u128, u64>) -> u64 {
    let beyond = |one: &HashMap<u128, u64>, other: &HashMap<u128, u64>| {
        let more = |(hash, rows): (&u128, &u64)| {
            rows.saturating_sub(other.get(hash).copied().unwrap_or_default())
        };
        one.iter().map(more).sum::<u64>()
    };
    beyond(source, target).max(beyond(target, source))
}

impl Tally {
    fn differ(&mut self, table: TableId, rows: u64) {
        if rows > 0 {
            *self.differing.entry(table).or_default() += rows;
        }
    }

    /// How many of a table's rows that changed were compared.
    fn compared(&self, touched: &TableChanges) -> u64 {
        match self.whole.contains(&touched.table) {
            true => touched.rows(),
            false => self.compared.get(&touched.table).copied().unwrap_or_default(),
        }
    }

    /// What of a table was not compared.
    fn left_out(&self, tables: &[Table], touched: &TableChanges) -> Option<LeftOut> {
        let rows = touched.rows() - self.compared(touched);
        let beyond_log = touched.beyond_log && !self.whole.contains(&touched.table);
        if rows == 0 && !beyond_log {
            return None;
        }
        let table = tables.iter().find(|table| table.id == touched.table);
        let why = match table {
            None => "the migration does not have it any more",
            Some(table) if touched.is_more_than_named() && table.bytes > MOST_READ_WHOLE => {
                match (touched.beyond_log, table.primary_key.is_empty()) {
                    (true, _) => {
                        "rows of it may have changed that the log does not name, and it is too \
                         large to be read as a whole"
                    }
                    (false, true) => "it has no key, and is too large to be read as a whole",
                    (false, false) => "more of its rows changed than are remembered",
                }
            }
            Some(table) if self.incomplete.contains(&table.id) => {
                "they cannot be asked for by their keys"
            }
            Some(_) => "the time was over",
        };
        let table = table.map_or_else(String::new, |table| table.name.to_string());
        Some(LeftOut { table, rows, why: why.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(hashes: &[u128]) -> HashMap<u128, u64> {
        let mut held = HashMap::new();
        hashes.iter().for_each(|hash| *held.entry(*hash).or_default() += 1);
        held
    }

    #[test]
    fn a_row_that_differs_counts_once() {
        let count = |source: &[u128], target: &[u128]| differing(&held(source), &held(target));
        assert_eq!(count(&[1, 2, 2], &[2, 1, 2]), 0);
        assert_eq!(count(&[1, 2, 3], &[1, 9, 3]), 1, "other values");
        assert_eq!(count(&[1, 2], &[1]), 1, "missing");
        assert_eq!(count(&[1], &[1, 2, 3]), 2, "extra");
        assert_eq!(count(&[2, 2], &[2]), 1, "doubled");
        assert_eq!(count(&[1, 2, 3], &[4, 5]), 3);
    }
    fn table(bytes: u64, primary_key: &[usize]) -> Table {
        let text = serde_json::json!({
            "id": 1, "name": { "schema": "public", "name": "t" }, "source_id": 1, "columns": [],
            "columns_ever": 0, "kept": [], "storage": 0, "identity": { "by": "full" },
            "primary_key": primary_key, "bytes": bytes, "estimated_rows": 0, "pages": 0,
            "correlation": null, "root": null, "binary_travels": true,
        });
        serde_json::from_value(text).unwrap()
    }

    #[test]
    fn what_was_not_compared_is_said() {
        let id = TableId(1);
        let touched =
            |named, unnamed, beyond_log| TableChanges { table: id, named, unnamed, beyond_log };
        let left = |tally: &Tally, bytes, key: &[usize], touched: TableChanges| {
            let left = tally.left_out(&[table(bytes, key)], &touched);
            left.map(|left| (left.rows, left.why.split(' ').take(3).collect::<Vec<_>>().join(" ")))
        };
        let said = |rows, why: &str| Some((rows, why.to_owned()));
        let (small, large) = (1 << 10, MOST_READ_WHOLE + 1);
        let none = Tally::default();
        assert_eq!(left(&none, small, &[0], touched(5, 0, false)), said(5, "the time was"));
        assert_eq!(left(&none, large, &[], touched(0, 4, false)), said(4, "it has no"));
        assert_eq!(left(&none, large, &[0], touched(0, 4, false)), said(4, "more of its"));
        let some = Tally { compared: HashMap::from([(id, 5)]), ..Tally::default() };
        assert_eq!(left(&some, small, &[0], touched(5, 0, false)), None);
        assert_eq!(left(&some, large, &[0], touched(5, 0, true)), said(0, "rows of it"));
        let whole = Tally { whole: vec![id], ..Tally::default() };
        assert_eq!(left(&whole, small, &[], touched(0, 4, true)), None);
        assert_eq!(whole.compared(&touched(3, 4, false)), 7);
    }
}
