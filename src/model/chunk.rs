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

use super::position::{Bracket, Mark, Position};
use super::schema::{ColumnOrder, Table, TableId};

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
    /// A position at or after every chunk's `high`: what it does not contain needs no look-up.
    horizon: Option<Position>,
}

#[derive(Clone, Debug)]
enum TableCoverage {
    Whole(Bracket),
    /// In key order; the orders of the key columns; the key columns' indexes in the table.
    Ranges {
        orders: Vec<ColumnOrder>,
        chunks: Vec<(Option<Vec<KeyPart>>, Bracket)>,
    },
}

/// A change cannot be assigned to one chunk, though the table's chunks were read at different
/// positions: the table has to be copied again.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a change cannot be assigned to a chunk of its table")]
pub struct Unassignable;

/// One column of a key, comparable as the server compares it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum KeyPart {
    Integer(i64),
    Uuid(u128),
}

impl KeyPart {
    fn parse(order: ColumnOrder, text: &[u8]) -> Result<KeyPart, Unassignable> {
        let text = std::str::from_utf8(text).map_err(|_| Unassignable)?;
        match order {
            ColumnOrder::Integer => text.parse().map(KeyPart::Integer).map_err(|_| Unassignable),
            ColumnOrder::Uuid => u128::from_str_radix(&text.replace('-', ""), 16)
                .map(KeyPart::Uuid)
                .map_err(|_| Unassignable),
            ColumnOrder::Opaque => Err(Unassignable),
        }
    }

    fn parse_all<'a>(
        orders: &[ColumnOrder],
        texts: impl Iterator<Item = &'a [u8]>,
    ) -> Result<Vec<KeyPart>, Unassignable> {
        orders.iter().zip(texts).map(|(order, text)| KeyPart::parse(*order, text)).collect()
    }
}

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
                Some(horizon) => horizon.further(bracket.high.clone()),
                None => bracket.high.clone(),
            });
        }
        let mut coverage = Coverage { tables: HashMap::new(), horizon };
        for table in tables {
            if let Some(chunks) = by_table.remove(&table.id) {
                coverage.tables.insert(table.id, TableCoverage::new(table, chunks)?);
            }
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
    /// [`Unassignable`] where the key cannot be compared.
    pub fn judge<'a, K: Iterator<Item = &'a [u8]>>(
        &self,
        table: TableId,
        mark: &Mark,
        key: impl FnOnce() -> K,
    ) -> Result<Verdict, Unassignable> {
        match self.tables.get(&table) {
            None => Ok(Verdict::After),
            Some(TableCoverage::Whole(bracket)) => Ok(verdict(bracket, mark)),
            Some(TableCoverage::Ranges { orders, chunks }) => {
                let key = KeyPart::parse_all(orders, key())?;
                if key.len() != orders.len() {
                    return Err(Unassignable);
                }
                let after = chunks.partition_point(|(from, _)| match from {
                    None => true,
                    Some(from) => from.as_slice().cmp(&key) != Ordering::Greater,
                });
                let (_, bracket) = chunks.get(after.wrapping_sub(1)).ok_or(Unassignable)?;
                Ok(verdict(bracket, mark))
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

impl TableCoverage {
    fn new(table: &Table, mut chunks: Vec<(&Chunk, &Bracket)>) -> Result<Self, Unassignable> {
        chunks.sort_by_key(|(chunk, _)| chunk.number);
        let first = chunks[0].1;
        if chunks.iter().all(|(_, bracket)| *bracket == first) {
            return Ok(TableCoverage::Whole(first.clone()));
        }
        let orders: Vec<_> = table.key_orders().collect();
        let mut ranges = Vec::with_capacity(chunks.len());
        for (chunk, bracket) in chunks {
            let ChunkRange::Key { from, .. } = &chunk.range else {
                return Err(Unassignable);
            };
            let from = match from {
                None => None,
                Some(from) => {
                    Some(KeyPart::parse_all(&orders, from.iter().map(|part| part.as_bytes()))?)
                }
            };
            ranges.push((from, bracket.clone()));
        }
        Ok(TableCoverage::Ranges { orders, chunks: ranges })
    }
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
