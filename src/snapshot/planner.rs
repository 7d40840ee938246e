//! Cuts tables into chunks, and tells which must be copied (again).
//!
//! In: tables with their sizes; out: chunks for the ledger. Sizes come from the catalog and
//! borders from the source's statistics or samples; no table is ever counted. After a snapshot was
//! lost, [`stale_tables`] names the tables whose finished chunks cannot stand beside chunks of
//! another position (rule 2 of the design).

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::model::{
    Bracket, Chunk, ChunkRange, Failure, HeldSnapshot, LedgerEntry, Table, TableId, are_assignable,
};
use crate::source::Source;

/// The chunks of `tables`, in no particular order; cut under the snapshot, or without one as they are
/// now. Tables learn how they stand under the snapshot, and which partitions they have there.
///
/// # Errors
///
/// What the source reports.
pub async fn plan<S: Source>(
    source: &S,
    held: Option<&HeldSnapshot>,
    tables: &mut [Table],
    chunk_bytes: u64,
) -> Result<Vec<Chunk>, Failure> {
    if let Some(held) = held {
        let found = source.tables(Some(held)).await?;
        for table in tables.iter_mut() {
            let seen = found.iter().find(|found| found.source_id == table.source_id);
            if let Some(seen) = seen {
                table.stand_as(seen);
            }
            if let Some(partitions) = &mut table.partitions {
                *partitions = seen.and_then(|seen| seen.partitions.clone()).unwrap_or_default();
                partitions.at = Some(held.position.clone());
            }
        }
    }
    let mut chunks = Vec::with_capacity(tables.len());
    for table in &*tables {
        let pieces = cut_with_partitions(source, held, table, chunk_bytes).await?;
        chunks.extend((0u32..).zip(pieces).map(|(number, (range, bytes))| Chunk {
            table: table.id,
            number,
            range,
            bytes,
        }));
    }
    Ok(chunks)
}

/// The ranges of a table, or of all its partitions one after the other, each with its bytes.
async fn cut_with_partitions<S: Source>(
    source: &S,
    held: Option<&HeldSnapshot>,
    table: &Table,
    chunk_bytes: u64,
) -> Result<Vec<(ChunkRange, u64)>, Failure> {
    let leaves = table.partitions.iter().flat_map(|partitions| &partitions.leaves);
    let mut pieces = Vec::new();
    for leaf in leaves.filter_map(|leaf| table.partition(leaf.source_id)) {
        let within = |(range, bytes)| {
            let range = Box::new(range);
            (ChunkRange::Partition { source_id: leaf.source_id, range }, bytes)
        };
        pieces.extend(cut(source, held, &leaf, chunk_bytes).await?.into_iter().map(within));
    }
    if pieces.is_empty() { cut(source, held, table, chunk_bytes).await } else { Ok(pieces) }
}

async fn cut<S: Source>(
    source: &S,
    held: Option<&HeldSnapshot>,
    table: &Table,
    chunk_bytes: u64,
) -> Result<Vec<(ChunkRange, u64)>, Failure> {
    let ranges = if table.bytes <= chunk_bytes {
        vec![ChunkRange::Whole]
    } else {
        source.split(held, table, chunk_bytes).await?
    };
    let bytes = table.bytes / (ranges.len().max(1) as u64);
    Ok(ranges.into_iter().map(|range| (range, bytes)).collect())
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

/// Tables that have both finished chunks that were not `read` as the unfinished ones will be, and such
/// ones, and cannot keep both: where changes cannot be assigned to a chunk, or where unique indexes
/// stand already (they are `indexed`), which would meet a row and its successor side by side. They
/// have to be copied whole. So are those whose unfinished chunks are of other partitions than they
/// may have there, and families that hang together by foreign keys whose effects are not in the
/// log.
#[must_use]
pub fn stale_tables(
    tables: &[Table],
    ledger: &[LedgerEntry],
    read: &Bracket,
    indexed: &HashSet<TableId>,
) -> Vec<TableId> {
    let mut chunks: BTreeMap<TableId, Vec<&LedgerEntry>> = BTreeMap::new();
    for entry in ledger {
        chunks.entry(entry.chunk.table).or_default().push(entry);
    }
    let assignable = |table: &Table, entries: &[&LedgerEntry]| {
        !indexed.contains(&table.id)
            && are_assignable(table, entries.iter().map(|entry| &entry.chunk))
    };
    let unfinished = |table: &Table| {
        chunks.get(&table.id).is_none_or(|all| all.iter().any(|entry| entry.read.is_none()))
    };
    let elsewhere = |table: &Table| {
        let mut reads = chunks.get(&table.id).into_iter().flatten().filter_map(|e| e.read.as_ref());
        reads.any(|other| other != read)
    };
    let stale = |table: &&Table| {
        let Some(entries) = chunks.get(&table.id) else {
            return false;
        };
        let cut_elsewhere =
            table.partitions.as_ref().is_some_and(|known| known.at.as_ref() != Some(&read.low));
        unfinished(table) && (cut_elsewhere || elsewhere(table) && !assignable(table, entries))
    };
    // A family is copied at one moment.
    let split = |table: &&Table| {
        let of = |other: &&Table| match (&table.cascades, &other.cascades) {
            (Some(one), Some(other)) => one.family == other.family,
            _ => false,
        };
        tables.iter().filter(of).any(unfinished) && tables.iter().filter(of).any(elsewhere)
    };
    tables.iter().filter(|table| stale(table) || split(table)).map(|table| table.id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Column, ColumnOrder, Identity, Lsn, Position, TableName};

    fn table(id: u32, bytes: u64, order: ColumnOrder, identity: Identity) -> Table {
        let column = |name: &str| Column {
            name: name.into(),
            number: 1,
            version: 0,
            type_name: "pg_catalog.int8".into(),
            type_modifier: -1,
            not_null: true,
            generated: false,
            collation: None,
            order,
        };
        Table {
            id: TableId(id),
            name: TableName { schema: "public".into(), name: format!("t{id}") },
            source_id: u64::from(id),
            columns: vec![column("id"), column("email")],
            identity,
            primary_key: vec![0],
            bytes,
            estimated_rows: 0,
            pages: 0,
            correlation: None,
            root: None,
            partitions: None,
            cascades: None,
            binary_travels: true,
            columns_ever: 0,
            kept: Vec::new(),
            storage: 0,
        }
    }

    fn entry(table: u32, number: u32, read: Option<u64>) -> LedgerEntry {
        let key = |number: u32| vec![format!("00000000-0000-0000-0000-{number:012}")];
        let from = (number > 0).then(|| key(number));
        let range = ChunkRange::Key { from, until: Some(key(number + 1)) };
        LedgerEntry {
            chunk: Chunk { table: TableId(table), number, range, bytes: 0 },
            read: read.map(|at| Bracket::exact(Position::Postgres(Lsn(at)))),
            rows: 0,
        }
    }

    fn key(columns: &[usize]) -> Identity {
        Identity::Key { columns: columns.to_vec() }
    }

    #[test]
    fn the_largest_table_comes_first_and_its_chunks_in_order() {
        let order = ColumnOrder::Integer;
        let tables = [table(0, 5, order, key(&[0])), table(1, 9, order, key(&[0]))];
        let ledger =
            [entry(0, 0, None), entry(1, 1, None), entry(1, 0, None), entry(0, 1, Some(7))];
        let places: Vec<_> =
            pending(&tables, &ledger).iter().map(|chunk| (chunk.table.0, chunk.number)).collect();
        assert_eq!(places, [(1, 0), (1, 1), (0, 0)]);
    }

    #[test]
    fn chunks_of_two_moments_stand_side_by_side_only_where_every_change_finds_its_chunk() {
        let stale_where = |order, identity, done: [Option<u64>; 2], indexed: &[TableId]| {
            let tables = [table(0, 0, order, identity)];
            let ledger = [entry(0, 0, done[0]), entry(0, 1, done[1])];
            let read = Bracket::exact(Position::Postgres(Lsn(50)));
            let indexed = indexed.iter().copied().collect();
            !stale_tables(&tables, &ledger, &read, &indexed).is_empty()
        };
        let stale = |order, identity, read| stale_where(order, identity, read, &[TableId(1)]);
        let half_done = [Some(10), None];
        assert!(!stale(ColumnOrder::Uuid, key(&[0]), half_done));
        assert!(!stale(ColumnOrder::Uuid, Identity::Full, half_done));
        assert!(stale(ColumnOrder::Opaque, key(&[0]), half_done));
        assert!(stale(ColumnOrder::Integer, key(&[0]), half_done), "its borders are no integers");
        // The log names rows by another column, and leaves out a primary key that changed.
        assert!(stale(ColumnOrder::Uuid, key(&[1]), half_done));
        assert!(!stale(ColumnOrder::Opaque, key(&[0]), [Some(50), None]), "of the same moment");
        assert!(!stale(ColumnOrder::Opaque, key(&[0]), [Some(10), Some(10)]), "finished");
        assert!(!stale(ColumnOrder::Opaque, key(&[0]), [None, None]), "not begun");
        let indexed = stale_where(ColumnOrder::Uuid, key(&[0]), half_done, &[TableId(0)]);
        assert!(indexed, "a unique index may meet a row and its successor");
    }
}
