//! Where a table is cut.
//!
//! In: a table with its statistics. Out: ranges without gap or overlap, of about equal size. A
//! table whose heap follows its key is cut by key, where the key's order is known outside of the
//! server: its chunks stay assignable, so that a lost snapshot costs only what was not copied. Any
//! other is cut by heap blocks, which are read in the order in which they lie; or, where the server
//! is too old for those, by any key that it sorts itself. Borders by key come from a sample of the
//! table's pages; no table is counted, and a wrong guess makes chunks uneven, never incomplete: a
//! row belongs to the one range that the server's own operators say.

use tokio_postgres::Client as Driver;
use tokio_postgres::error::SqlState;

use super::rows::collated;
use crate::connect::attempting;
use crate::connect::postgres::Client;
use crate::connect::quote::{quote_ident, quote_name};
use crate::model::{ChunkRange, Failure, KeyBound, Table, pieces};

/// From this correlation on the heap counts as lying in key order.
const IN_ORDER: f32 = 0.9;

/// Rows to sample for each chunk.
const SAMPLES_PER_CHUNK: u64 = 100;

/// Ranges of blocks are read as such from this version on; before, each would read the whole heap.
const BLOCK_RANGES_SINCE: u32 = 140_000;

pub(super) async fn split(
    client: &Client,
    table: &Table,
    chunk_bytes: u64,
) -> Result<Vec<ChunkRange>, Failure> {
    let pieces = pieces(table.bytes, chunk_bytes);
    let reads_blocks = client.server_version_num() >= BLOCK_RANGES_SINCE;
    let by_its_key = if reads_blocks {
        let in_order = table.correlation.is_some_and(|correlation| correlation.abs() >= IN_ORDER);
        in_order && table.key_is_comparable()
    } else {
        table.key_is_comparable() || sorts_by_bare_names(client, table).await?
    };
    if by_its_key {
        let bounds = sample(client, table, pieces).await?;
        if !bounds.is_empty() {
            return Ok(by_key(bounds));
        }
    }
    Ok(if reads_blocks { by_blocks(table.pages, pieces) } else { vec![ChunkRange::Whole] })
}

/// Whether the server compares the table's primary key by the operators that a range of keys is
/// written with. It is no range otherwise: rows would be read twice, or never.
async fn sorts_by_bare_names(client: &Driver, table: &Table) -> Result<bool, Failure> {
    let text = include_str!("../../../sql/postgres/source_key_operators.sql");
    let oid = u32::try_from(table.source_id).unwrap_or_default();
    let row = client
        .query_one(text, &[&oid])
        .await
        .map_err(attempting(format!("read how the keys of table {} sort", table.name)))?;
    Ok(row.get(0))
}

/// Keys that divide the table into `pieces`, ascending, without repetition.
async fn sample(client: &Driver, table: &Table, pieces: u64) -> Result<Vec<KeyBound>, Failure> {
    let keys: Vec<_> = table.key_columns().map(|column| quote_ident(&column.name)).collect();
    let wanted = (pieces * SAMPLES_PER_CHUNK) as f64;
    let percent = (100.0 * wanted / (table.estimated_rows.max(1) as f64)).clamp(0.001, 100.0);
    // Qualified: a bare name in ORDER BY would mean the text of the output, 10 before 9.
    let qualified: Vec<_> = keys.iter().map(|key| format!("s.{key}")).collect();
    let sorted = qualified.iter().zip(table.key_columns());
    let text = format!(
        "SELECT {texts} FROM (SELECT {keys} FROM ONLY {name} TABLESAMPLE SYSTEM ({percent}) \
         REPEATABLE (1)) AS s ORDER BY {order}",
        texts = qualified.iter().map(|key| format!("{key}::text")).collect::<Vec<_>>().join(", "),
        order = sorted.map(|(key, column)| collated(key, column)).collect::<Vec<_>>().join(", "),
        keys = keys.join(", "),
        name = quote_name(&table.name),
    );
    let rows = match client.query(&text, &[]).await {
        // What became of the table is for those to find who read it.
        Err(error)
            if [Some(&SqlState::UNDEFINED_TABLE), Some(&SqlState::UNDEFINED_COLUMN)]
                .contains(&error.code()) =>
        {
            return Ok(Vec::new());
        }
        rows => rows.map_err(attempting(format!("sample the keys of table {}", table.name)))?,
    };
    let count = rows.len() as u64;
    let mut bounds: Vec<KeyBound> = (1..pieces)
        .filter_map(|piece| rows.get((count * piece / pieces) as usize))
        .map(|row| (0..keys.len()).map(|index| row.get(index)).collect())
        .collect();
    bounds.dedup();
    Ok(bounds)
}

fn by_key(bounds: Vec<KeyBound>) -> Vec<ChunkRange> {
    let mut from = None;
    let mut ranges = Vec::with_capacity(bounds.len() + 1);
    for bound in bounds {
        ranges.push(ChunkRange::Key { from: from.take(), until: Some(bound.clone()) });
        from = Some(bound);
    }
    ranges.push(ChunkRange::Key { from, until: None });
    ranges
}

/// The last range is open: the table may have grown since it was measured.
fn by_blocks(pages: u64, pieces: u64) -> Vec<ChunkRange> {
    let step = pages.div_ceil(pieces).max(1);
    let mut ranges: Vec<ChunkRange> = (0..pieces)
        .map(|piece| piece * step)
        .take_while(|from| *from == 0 || *from < pages)
        .map(|from| ChunkRange::Blocks { from, until: Some(from + step) })
        .collect();
    if let Some(ChunkRange::Blocks { until, .. }) = ranges.last_mut() {
        *until = None;
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn block_ranges_have_neither_gap_nor_end() {
        for (pages, pieces) in [(0, 1), (1, 3), (10, 3), (10, 10), (1000, 7)] {
            let ranges = by_blocks(pages, pieces);
            let mut next = Some(0);
            for range in &ranges {
                let ChunkRange::Blocks { from, until } = range else { panic!("{range:?}") };
                assert_eq!(Some(*from), next);
                next = *until;
            }
            assert_eq!(next, None);
        }
    }

    #[test]
    fn key_ranges_have_neither_gap_nor_end() {
        let ranges = by_key(vec![vec!["5".into()], vec!["9".into()]]);
        let bound = |key: &str| Some(vec![key.to_owned()]);
        assert_eq!(
            ranges,
            [
                ChunkRange::Key { from: None, until: bound("5") },
                ChunkRange::Key { from: bound("5"), until: bound("9") },
                ChunkRange::Key { from: bound("9"), until: None },
            ]
        );
    }
}
