//! Cuts tables into chunks, and tells which must be copied (again).
//!
//! In: tables with their sizes; out: chunks for the ledger. Sizes come from the catalog and
//! borders from the source's statistics or samples; no table is ever counted. After a snapshot was
//! lost, [`stale_tables`] names the tables whose finished chunks cannot stand beside chunks of
//! another position (rule 2 of the design).

use std::collections::{BTreeMap, HashMap};

use crate::model::{
    Chunk, ChunkRange, Failure, HeldSnapshot, LedgerEntry, Position, Table, TableId,
};
use crate::source::Source;

/// The chunks of `tables`, in no particular order; cut under the snapshot, or without one as they are
/// now.
///
/// # Errors
///
/// What the source reports.
pub async fn plan<S: Source>(
    source: &S,
    held: Option<&HeldSnapshot>,
    tables: &[Table],
    chunk_bytes: u64,
) -> Result<Vec<Chunk>, Failure> {
    let mut chunks = Vec::with_capacity(tables.len());
    for table in tables {
        let ranges = if table.bytes <= chunk_bytes {
            vec![ChunkRange::Whole]
        } else {
            source.split(held, table, chunk_bytes).await?
        };
        let bytes = table.bytes / (ranges.len().max(1) as u64);
        chunks.extend((0u32..).zip(ranges).map(|(number, range)| Chunk {
            table: table.id,
            number,
            range,
            bytes,
        }));
    }
    Ok(chunks)
}

/// The number of chunks that a table of `bytes` is cut into: P = ceil(D / S).
#[must_use]
pub fn pieces(bytes: u64, chunk_bytes: u64) -> u64 {
    bytes.div_ceil(chunk_bytes.max(1)).max(1)
}

/// What is still to be copied: the largest table first, each table's chunks in order, so that the
/// last minutes are not one worker's.
#[must_use]
pub fn pending(tables: &[Table], ledger: &[LedgerEntry]) -> Vec<Chunk> {
    let bytes: HashMap<TableId, u64> = tables.iter().map(|table| (table.id, table.bytes)).collect();
    let open = ledger.iter().filter(|entry| entry.read.is_none());
    let mut chunks: Vec<Chunk> = open.map(|entry| entry.chunk.clone()).collect();
    chunks.sort_by_key(|chunk| {
        let bytes = bytes.get(&chunk.table).copied().unwrap_or_default();
        (std::cmp::Reverse(bytes), chunk.table, chunk.number)
    });
    chunks
}

/// Tables that have both finished chunks from another position than `position` and unfinished
/// ones, and whose changes cannot be assigned to a chunk: they have to be copied whole.
#[must_use]
pub fn stale_tables(tables: &[Table], ledger: &[LedgerEntry], position: &Position) -> Vec<TableId> {
    let mut chunks: BTreeMap<TableId, Vec<&LedgerEntry>> = BTreeMap::new();
    for entry in ledger {
        chunks.entry(entry.chunk.table).or_default().push(entry);
    }
    let assignable = |table: &Table, entries: &[&LedgerEntry]| {
        table.key_is_comparable()
            && entries.iter().all(|entry| matches!(entry.chunk.range, ChunkRange::Key { .. }))
    };
    let stale = |table: &&Table| {
        let Some(entries) = chunks.get(&table.id) else {
            return false;
        };
        let unfinished = entries.iter().any(|entry| entry.read.is_none());
        let elsewhere = entries
            .iter()
            .any(|entry| entry.read.as_ref().is_some_and(|read| read.low != *position));
        unfinished && elsewhere && !assignable(table, entries)
    };
    tables.iter().filter(stale).map(|table| table.id).collect()
}
