//! Chunks: the pieces in which a table's rows are copied, and what a change means to them.
//!
//! A chunk is a half-open key range or a range of heap blocks. [`Coverage`] remembers, table by
//! table, at which position each chunk was read, and answers rule 2 of the design for one row:
//! is this change already contained in the copy, does it come after it, or did it happen while
//! the chunk was being read? Nothing here does I/O; the ledger in the target stores what these
//! types serialise to.

use std::cmp::Ordering;
use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::order::{ColumnOrder, KeyPart};
use super::position::{Bracket, Mark, Position};
use super::schema::{Table, TableId};

/// A key at a chunk's border: the key columns' values as text, in key order.
pub type KeyBound = Vec<String>;

/// Which rows of a table belong to a chunk.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "lowercase")]
pub enum ChunkRange {
    /// All of them.
    Whole,
    /// Primary keys from `from` (inclusive) to `until` (exclusive), each open where absent.
    Key {
        /// The smallest key, if there is one.
        from: Option<KeyBound>,
        /// The first key that is not in the chunk, if there is one.
        until: Option<KeyBound>,
    },
    /// Heap blocks from `from` (inclusive) to `until` (exclusive; open where absent).
    Blocks {
        /// The first block.
        from: u64,
        /// The first block that is not in the chunk, if there is one.
        until: Option<u64>,
    },
    /// Rows of one partition of a table that is copied as one.
    Partition {
        /// The partition, by the engine's own number on the source.
        source_id: u64,
        /// Which of its rows.
        range: Box<ChunkRange>,
    },
}

/// One chunk of one table.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Chunk {
    /// The table.
    pub table: TableId,
    /// Its number within the table, from zero.
    pub number: u32,
    /// Its rows.
    pub range: ChunkRange,
    /// An estimate of the bytes in it.
    pub bytes: u64,
}

/// A chunk in the ledger.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LedgerEntry {
    /// The chunk.
    pub chunk: Chunk,
    /// Where it was read, once its rows are committed on the target.
    pub read: Option<Bracket>,
    /// Rows that it held, once it is done.
    pub rows: u64,
}

/// What a change is to the copy of the row that it touches.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// The copy has it already: skip.
    Contained,
    /// The copy was made before it: apply strictly.
    After,
    /// The copy may have it or not: apply so that a repetition does no harm.
    Between,
}

/// At which positions all chunks of a migration were read.
#[derive(Clone, Debug, Default)]
pub struct Coverage {
    tables: HashMap<TableId, TableCoverage>,
    /// Of tables whose rows may change without a word in the log: where all of their family were
    /// read. What a change does to the others is known only where it is the same to all of them.
    families: HashMap<TableId, Vec<Bracket>>,
    /// A position at or after every chunk's `high`: what it does not contain needs no look-up.
    horizon: Option<Position>,
}

/// A key's columns, in key order.
pub(super) type Key<'a> = Vec<KeyPart<'a>>;

#[derive(Clone, Debug)]
enum TableCoverage {
    Whole(Bracket),
    /// In key order, each with its first key; the orders of the key columns.
    Ranges {
        orders: Vec<ColumnOrder>,
        chunks: Vec<(Option<Key<'static>>, Bracket)>,
    },
}

/// A change cannot be assigned to one chunk, though the table's chunks were read at different
/// positions: the table has to be copied again.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a change cannot be assigned to a chunk of its table")]
pub struct Unassignable;

impl Coverage {
    /// Reads the ledger: `entries` hold every chunk of every table, each of them done.
    ///
    /// # Errors
    ///
    /// [`Unassignable`] where a table's chunks were read at different positions though its keys
    /// cannot be compared here. The snapshot never leaves a table like that.
    pub fn new(tables: &[Table], entries: &[LedgerEntry]) -> Result<Self, Unassignable> {
        let mut by_table: HashMap<TableId, Vec<(&Chunk, &Bracket)>> = HashMap::new();
        let mut horizon: Option<Position> = None;
        for entry in entries {
            let bracket = entry.read.as_ref().ok_or(Unassignable)?;
            by_table.entry(entry.chunk.table).or_default().push((&entry.chunk, bracket));
            horizon = Some(match horizon {
                Some(horizon) => horizon.together(bracket.high.clone()),
                None => bracket.high.clone(),
            });
        }
        let families = families(tables, &by_table);
        let mut coverage = Coverage { tables: HashMap::new(), families, horizon };
        for table in tables {
            let chunks = by_table.remove(&table.id).ok_or(Unassignable)?;
            coverage.tables.insert(table.id, TableCoverage::new(table, chunks)?);
        }
        Ok(coverage)
    }

    /// Whether some change of transaction `mark` may be contained in a copy already.
    #[must_use]
    pub fn concerns(&self, mark: &Mark) -> bool {
        self.horizon.as_ref().is_some_and(|horizon| horizon.contains(mark))
    }

    /// The position from which on nothing needs to be judged any more.
    #[must_use]
    pub fn horizon(&self) -> Option<&Position> {
        self.horizon.as_ref()
    }

    /// What a change of transaction `mark` is to the row of `table` with this primary key.
    ///
    /// `key` yields the primary key's values as text, in key order; it is not called where the
    /// whole table was read at one position.
    ///
    /// # Errors
    ///
    /// [`Unassignable`] where the key cannot be compared, or where the change is another thing to
    /// tables on which it may have effects that the log does not hold.
    pub fn judge<'a, K: Iterator<Item = &'a [u8]>>(
        &self,
        table: TableId,
        mark: &Mark,
        key: impl FnOnce() -> K,
    ) -> Result<Verdict, Unassignable> {
        if let Some(brackets) = self.families.get(&table) {
            let mut verdicts = brackets.iter().map(|bracket| verdict(bracket, mark));
            let first = verdicts.next().ok_or(Unassignable)?;
            let agree = first != Verdict::Between && verdicts.all(|other| other == first);
            return if agree { Ok(first) } else { Err(Unassignable) };
        }
        match self.tables.get(&table) {
            None => Ok(Verdict::After),
            Some(TableCoverage::Whole(bracket)) => Ok(verdict(bracket, mark)),
            Some(TableCoverage::Ranges { orders, chunks }) => {
                let key = read_key(orders, key(), ColumnOrder::read).ok_or(Unassignable)?;
                let after = chunks.partition_point(|(from, _)| match from {
                    None => true,
                    Some(from) => from.as_slice().cmp(&key) != Ordering::Greater,
                });
                let (_, bracket) = chunks.get(after.wrapping_sub(1)).ok_or(Unassignable)?;
                Ok(verdict(bracket, mark))
            }
        }
    }

    /// Whether transaction `mark` may be contained in some chunk of `table` or not.
    #[must_use]
    pub fn is_between(&self, table: TableId, mark: &Mark) -> bool {
        let between = |bracket: &Bracket| verdict(bracket, mark) == Verdict::Between;
        match self.tables.get(&table) {
            None => false,
            Some(TableCoverage::Whole(bracket)) => between(bracket),
            Some(TableCoverage::Ranges { chunks, .. }) => {
                chunks.iter().any(|(_, bracket)| between(bracket))
            }
        }
    }

    /// What emptying the whole of `table` in transaction `mark` is to its copy.
    ///
    /// # Errors
    ///
    /// [`Unassignable`] where its chunks answer differently.
    pub fn judge_table(&self, table: TableId, mark: &Mark) -> Result<Verdict, Unassignable> {
        match self.tables.get(&table) {
            None => Ok(Verdict::After),
            Some(TableCoverage::Whole(bracket)) => Ok(verdict(bracket, mark)),
            Some(TableCoverage::Ranges { chunks, .. }) => {
                let mut verdicts = chunks.iter().map(|(_, bracket)| verdict(bracket, mark));
                let first = verdicts.next().ok_or(Unassignable)?;
                if verdicts.all(|other| other == first) { Ok(first) } else { Err(Unassignable) }
            }
        }
    }
}

/// Where the tables of each family were read, by the numbers of its tables.
fn families(
    tables: &[Table],
    read: &HashMap<TableId, Vec<(&Chunk, &Bracket)>>,
) -> HashMap<TableId, Vec<Bracket>> {
    let mut by_family: HashMap<u32, Vec<Bracket>> = HashMap::new();
    let of = |table: &Table| Some((table.id, table.cascades.as_ref()?.family));
    for (table, family) in tables.iter().filter_map(of) {
        let brackets = by_family.entry(family).or_default();
        for (_, bracket) in read.get(&table).into_iter().flatten() {
            if !brackets.contains(bracket) {
                brackets.push((*bracket).clone());
            }
        }
    }
    let of_table = |(table, family)| Some((table, by_family.get(&family)?.clone()));
    tables.iter().filter_map(of).filter_map(of_table).collect()
}

impl TableCoverage {
    fn new(table: &Table, mut chunks: Vec<(&Chunk, &Bracket)>) -> Result<Self, Unassignable> {
        chunks.sort_by_key(|(chunk, _)| chunk.number);
        let first = chunks[0].1;
        if chunks.iter().all(|(_, bracket)| *bracket == first) {
            return Ok(TableCoverage::Whole(first.clone()));
        }
        let borders = borders_of(table, chunks.iter().map(|(chunk, _)| *chunk));
        let borders = borders.ok_or(Unassignable)?;
        let brackets = chunks.iter().map(|(_, bracket)| (*bracket).clone());
        let chunks = borders.into_iter().zip(brackets).collect();
        Ok(TableCoverage::Ranges { orders: table.key_orders().collect(), chunks })
    }
}

/// Whether every change of a row of `table` can be assigned to one of its chunks: they are ranges
/// of keys that can be compared here, and the log tells the key.
#[must_use]
pub fn are_assignable<'a>(table: &Table, chunks: impl Iterator<Item = &'a Chunk>) -> bool {
    let mut chunks: Vec<_> = chunks.collect();
    chunks.sort_by_key(|chunk| chunk.number);
    table.changes_are_assignable() && borders_of(table, chunks.into_iter()).is_some()
}

/// The first key of each chunk. None unless they are ranges of keys that can be compared here.
fn borders_of<'a>(
    table: &Table,
    chunks: impl Iterator<Item = &'a Chunk>,
) -> Option<Vec<Option<Key<'static>>>> {
    let from = |chunk: &'a Chunk| match &chunk.range {
        ChunkRange::Key { from, .. } => Some(from.as_ref()),
        ChunkRange::Whole | ChunkRange::Blocks { .. } | ChunkRange::Partition { .. } => None,
    };
    borders(table, chunks.map(from).collect::<Option<Vec<_>>>()?.into_iter())
}

/// The first keys of ranges, comparable. None unless they can be compared here and ascend, as the
/// server said that they do.
pub(super) fn borders<'a>(
    table: &Table,
    ranges: impl Iterator<Item = Option<&'a KeyBound>>,
) -> Option<Vec<Option<Key<'static>>>> {
    let orders: Vec<_> = table.key_orders().collect();
    let mut borders: Vec<Option<Key<'static>>> = Vec::new();
    for from in ranges {
        let border = match from {
            None => None,
            Some(from) => {
                let texts = from.iter().map(String::as_bytes);
                let key = read_key(&orders, texts, ColumnOrder::read_border)?;
                Some(key.into_iter().map(KeyPart::into_owned).collect())
            }
        };
        let ascends = match borders.last() {
            None => border.is_none(),
            Some(before) => border.is_some() && *before < border,
        };
        if !ascends {
            return None;
        }
        borders.push(border);
    }
    Some(borders)
}

/// None unless there is a value for each column, and each can be read.
fn read_key<'a>(
    orders: &[ColumnOrder],
    mut texts: impl Iterator<Item = &'a [u8]>,
    read: impl Fn(ColumnOrder, &'a [u8]) -> Option<KeyPart<'a>>,
) -> Option<Key<'a>> {
    let key: Key<'a> =
        orders.iter().map(|order| read(*order, texts.next()?)).collect::<Option<_>>()?;
    texts.next().is_none().then_some(key)
}

/// The number of chunks that a table of `bytes` is cut into: P = ceil(D / S).
#[must_use]
pub fn pieces(bytes: u64, chunk_bytes: u64) -> u64 {
    bytes.div_ceil(chunk_bytes.max(1)).max(1)
}

fn verdict(bracket: &Bracket, mark: &Mark) -> Verdict {
    if bracket.low.contains(mark) {
        Verdict::Contained
    } else if !bracket.high.contains(mark) {
        Verdict::After
    } else {
        Verdict::Between
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::{Cascades, Column, Gtid, Identity, Lsn, TableName};
    use super::*;

    fn table(orders: &[ColumnOrder]) -> Table {
        let column = |order: &ColumnOrder| Column {
            name: "key".into(),
            number: 1,
            version: 0,
            type_name: String::new(),
            type_modifier: -1,
            not_null: true,
            generated: false,
            collation: None,
            order: *order,
        };
        Table {
            id: TableId(1),
            name: TableName { schema: "public".into(), name: "t".into() },
            source_id: 1,
            columns: orders.iter().map(column).collect(),
            identity: Identity::Nothing,
            primary_key: (0..orders.len()).collect(),
            bytes: 0,
            estimated_rows: 0,
            pages: 0,
            correlation: None,
            root: None,
            partitions: None,
            cascades: None,
            binary_travels: false,
            columns_ever: 0,
            kept: Vec::new(),
            storage: 0,
        }
    }

    /// Chunks that begin at these keys, after a first one without a beginning; each is read a
    /// hundred later than the one before.
    fn coverage(orders: &[ColumnOrder], borders: &[&[&str]]) -> Result<Coverage, Unassignable> {
        let bound = |bound: &&[&str]| bound.iter().map(|part| (*part).to_owned()).collect();
        let bounds: Vec<KeyBound> = borders.iter().map(bound).collect();
        let entry = |number: usize| {
            let from = number.checked_sub(1).map(|number| bounds[number].clone());
            let range = ChunkRange::Key { from, until: bounds.get(number).cloned() };
            let read = Bracket::exact(Position::Postgres(Lsn(100 * (number as u64 + 1))));
            let chunk = Chunk { table: TableId(1), number: number as u32, range, bytes: 0 };
            LedgerEntry { chunk, read: Some(read), rows: 0 }
        };
        let entries: Vec<_> = (0..=borders.len()).map(entry).collect();
        Coverage::new(&[table(orders)], &entries)
    }

    /// The chunk that a key belongs to, found by which transactions it contains.
    fn chunk_of(coverage: &Coverage, key: &[&str]) -> Result<usize, Unassignable> {
        let judge = |at| {
            let key = || key.iter().map(|part| part.as_bytes());
            coverage.judge(TableId(1), &Mark::Postgres(Lsn(at)), key)
        };
        let contained = (0..9).map(|number| judge(100 * number + 50));
        let verdicts: Result<Vec<_>, _> = contained.collect();
        Ok(verdicts?.iter().filter(|verdict| **verdict == Verdict::Contained).count() - 1)
    }

    #[test]
    fn a_bracket_has_a_before_a_between_and_an_after() {
        let set = |numbers: &str| {
            let text = format!("3e11fa47-71ca-11e1-9e33-c80aa9429562:{numbers}");
            Position::MySql(text.parse().unwrap())
        };
        let mark = |number| {
            let Position::MySql(set) = set("1") else { panic!() };
            let (source, ..) = set.runs().next().unwrap();
            Mark::MySql(Gtid { source: Arc::new(*source), number })
        };
        let entry = |id, low, high| {
            let chunk = Chunk { table: TableId(id), number: 0, range: ChunkRange::Whole, bytes: 0 };
            let read = Some(Bracket { low: set(low), high: set(high) });
            LedgerEntry { chunk, read, rows: 0 }
        };
        let tables = [1, 2].map(|id| Table { id: TableId(id), ..table(&[ColumnOrder::Integer]) });
        // What commits while a name is kept for long has another order in the log than in time.
        let entries = [entry(1, "1-5", "1-5:7-8"), entry(2, "1-6:9", "1-6:9")];
        let coverage = Coverage::new(&tables, &entries).unwrap();
        let judge = |number| {
            let key = || std::iter::once(&b"1"[..]);
            coverage.judge(TableId(1), &mark(number), key).unwrap()
        };
        let after = Verdict::After;
        let expected = [Verdict::Contained, Verdict::Between, after, after];
        assert_eq!([5, 7, 6, 9].map(judge), expected);
        assert_eq!(
            [5, 7, 9].map(|n| coverage.is_between(TableId(1), &mark(n))),
            [false, true, false]
        );
        assert!(!coverage.is_between(TableId(2), &mark(7)));
        assert_eq!(coverage.horizon(), Some(&set("1-9")));
        assert!(coverage.concerns(&mark(8)) && !coverage.concerns(&mark(10)));
    }

    #[test]
    fn pieces_are_counted_by_the_formula() {
        assert_eq!((pieces(0, 10), pieces(10, 10), pieces(11, 10), pieces(5, 0)), (1, 1, 2, 5));
    }

    #[test]
    fn integers_go_by_value_and_a_border_belongs_to_the_chunk_after_it() {
        let coverage = coverage(&[ColumnOrder::Integer], &[&["-5"], &["10"]]).unwrap();
        for (key, chunk) in [("-6", 0), ("-5", 1), ("9", 1), ("10", 2), ("100", 2)] {
            assert_eq!(chunk_of(&coverage, &[key]), Ok(chunk), "{key}");
        }
        assert_eq!(chunk_of(&coverage, &["ten"]), Err(Unassignable));
        assert_eq!(chunk_of(&coverage, &[]), Err(Unassignable));
    }

    #[test]
    fn composite_keys_go_by_their_first_column_first() {
        let orders = [ColumnOrder::Decimal, ColumnOrder::Text];
        let coverage = coverage(&orders, &[&["3.0", "b"]]).unwrap();
        let keys = [
            (["3", "a"], 0),
            (["3", "b"], 1),
            (["3.00", "b"], 1),
            (["2", "z"], 0),
            (["10", ""], 1),
        ];
        for (key, chunk) in keys {
            assert_eq!(chunk_of(&coverage, &key), Ok(chunk), "{key:?}");
        }
        assert_eq!(chunk_of(&coverage, &["3"]), Err(Unassignable));
        assert_eq!(chunk_of(&coverage, &["3", "b", "c"]), Err(Unassignable));
    }

    #[test]
    fn borders_that_do_not_ascend_here_assign_nothing() {
        let ascends = |borders: &[&[&str]]| coverage(&[ColumnOrder::Text], borders).is_ok();
        assert!(ascends(&[&["B"], &["a"]]));
        assert!(!ascends(&[&["a"], &["B"]]), "as a server sorts by the rules of a language");
        assert!(!ascends(&[&["a"], &["a"]]));
    }

    #[test]
    fn a_key_of_unknown_order_assigns_nothing_unless_all_is_of_one_moment() {
        assert!(coverage(&[ColumnOrder::Opaque], &[&["m"]]).is_err());
        let whole = coverage(&[ColumnOrder::Opaque], &[]).unwrap();
        assert_eq!(chunk_of(&whole, &["m"]), Ok(0));
    }

    #[test]
    fn a_change_is_judged_where_it_is_the_same_to_all_of_a_family() {
        let cascades = Cascades { family: 0, parent: true, rules: Vec::new() };
        let member = |id| Table {
            id: TableId(id),
            cascades: Some(cascades.clone()),
            ..table(&[ColumnOrder::Integer])
        };
        let entry = |id, at| LedgerEntry {
            chunk: Chunk { table: TableId(id), number: 0, range: ChunkRange::Whole, bytes: 0 },
            read: Some(Bracket::exact(Position::Postgres(Lsn(at)))),
            rows: 0,
        };
        let entries = [entry(1, 100), entry(2, 200)];
        let coverage = Coverage::new(&[member(1), member(2)], &entries).unwrap();
        let judge = |id, at| {
            let key = || std::iter::once(&b"1"[..]);
            coverage.judge(TableId(id), &Mark::Postgres(Lsn(at)), key)
        };
        for id in [1, 2] {
            assert_eq!(judge(id, 50), Ok(Verdict::Contained));
            assert_eq!(judge(id, 150), Err(Unassignable), "one of the two has it");
            assert_eq!(judge(id, 250), Ok(Verdict::After));
        }
    }

    #[test]
    fn between_low_and_high_nobody_knows() {
        let position = |at| Position::Postgres(Lsn(at));
        let bracket = Bracket { low: position(100), high: position(200) };
        let at = |at| verdict(&bracket, &Mark::Postgres(Lsn(at)));
        assert_eq!([at(99), at(100)], [Verdict::Contained, Verdict::Between]);
        assert_eq!([at(199), at(200)], [Verdict::Between, Verdict::After]);
    }

    #[test]
    fn emptying_a_table_is_judged_only_where_its_chunks_agree() {
        let coverage = coverage(&[ColumnOrder::Integer], &[&["5"]]).unwrap();
        let judge = |at| coverage.judge_table(TableId(1), &Mark::Postgres(Lsn(at)));
        assert_eq!(judge(99), Ok(Verdict::Contained));
        assert_eq!(judge(100), Err(Unassignable));
        assert_eq!(judge(200), Ok(Verdict::After));
        assert!(coverage.concerns(&Mark::Postgres(Lsn(199))));
        assert!(!coverage.concerns(&Mark::Postgres(Lsn(200))));
    }
}
