//! `plan`: what a run would do, and how long it would take, by measurement.
//!
//! In: both sides and the operator's wishes. Out: a report. Tables are cut by the planner that the
//! run uses; rows are read by the run's own wire and thrown away, bytes are sent to the target and
//! only counted there. Nothing is written.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::future::try_join_all;

use super::run::Options;
use crate::model::report::{PlanInput, PlanReport, PlannedTable, Transfer};
use crate::model::{Chunk, ChunkRange, Failure, Table, TableId};
use crate::snapshot::planner;
use crate::source::Source;
use crate::target::Target;

/// How long each measurement takes, at most; and the source's writes are watched for as long.
const LONGEST: Duration = Duration::from_secs(2);

/// What each measurement moves, at most, all workers together.
const MOST_BYTES: u64 = 64 << 20;

/// A table that yields less than this is read too quickly to say anything.
const TELLING_BYTES: u64 = 1 << 20;

/// Measures, cuts and puts the numbers into the formulas.
pub(super) async fn plan<S: Source, T: Target>(
    source: &S,
    target: &T,
    options: &Options,
    tables: &[Table],
) -> Result<PlanReport, Failure> {
    let chunks = planner::plan(source, None, &mut tables.to_vec(), options.chunk_bytes).await?;
    let (wal_rate, bandwidth) =
        tokio::try_join!(log_rate(source), bandwidth(source, target, options, tables))?;
    let mut writes = source.footprint();
    writes.extend(target.footprint(tables));
    Ok(PlanReport::estimate(PlanInput {
        tables: planned(tables, &chunks),
        chunk_size_bytes: options.chunk_bytes,
        bandwidth_bytes_per_second: bandwidth,
        wal_rate_bytes_per_second: wal_rate,
        writes,
    }))
}

/// How much log the source writes per second.
async fn log_rate<S: Source>(source: &S) -> Result<f64, Failure> {
    let begun = tokio::time::Instant::now();
    let before = source.log_bytes().await?;
    tokio::time::sleep(LONGEST).await;
    let written = source.log_bytes().await?.saturating_sub(before);
    Ok(written as f64 / begun.elapsed().as_secs_f64())
}

/// The slower of both sides, with as many connections as there will be workers.
async fn bandwidth<S: Source, T: Target>(
    source: &S,
    target: &T,
    options: &Options,
    tables: &[Table],
) -> Result<f64, Failure> {
    let workers = options.workers.max(1);
    let share = MOST_BYTES / workers as u64;
    let largest = tables.iter().max_by_key(|table| table.bytes);
    let read = match largest {
        Some(table) => {
            let reads = (0..workers).map(|_| source.measure(table, share, LONGEST));
            total(&try_join_all(reads).await?)
        }
        None => None,
    };
    let sends = (0..workers).map(|_| target.measure(share, LONGEST));
    let sent = total(&try_join_all(sends).await?);
    Ok(match (read, sent) {
        (Some(read), Some(sent)) => read.min(sent),
        (read, sent) => read.or(sent).unwrap_or_default(),
    })
}

/// The rate of transfers that took place side by side; None where they were too short.
fn total(transfers: &[Transfer]) -> Option<f64> {
    let bytes: u64 = transfers.iter().map(|transfer| transfer.bytes).sum();
    let seconds = transfers.iter().map(|transfer| transfer.seconds).fold(0.0, f64::max);
    (bytes >= TELLING_BYTES && seconds > 0.0).then(|| bytes as f64 / seconds)
}

fn planned(tables: &[Table], chunks: &[Chunk]) -> Vec<PlannedTable> {
    let mut cut: HashMap<TableId, (u64, &ChunkRange)> = HashMap::new();
    for chunk in chunks {
        cut.entry(chunk.table).or_insert((0, &chunk.range)).0 += 1;
    }
    let plan = |table: &Table| {
        let (chunks, range) = cut.get(&table.id).copied().unwrap_or((0, &ChunkRange::Whole));
        PlannedTable {
            name: table.name.to_string(),
            bytes: table.bytes,
            rows: table.estimated_rows,
            chunks,
            method: method(table, range),
        }
    };
    tables.iter().map(plan).collect()
}

fn method(table: &Table, range: &ChunkRange) -> String {
    let form = if table.binary_travels { "binary" } else { "text" };
    match range {
        ChunkRange::Partition { .. } => format!("by partitions, {form}"),
        ChunkRange::Whole => format!("whole, {form}"),
        ChunkRange::Blocks { .. } => format!("block ranges, {form}"),
        ChunkRange::Key { .. } => {
            let key: Vec<&str> = table.key_columns().map(|column| column.name.as_str()).collect();
            format!("ranges of {}, {form}", key.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transfers_side_by_side_add_up() {
        let one = |bytes, seconds| Transfer { bytes, seconds };
        assert_eq!(total(&[one(4 << 20, 2.0), one(4 << 20, 1.0)]), Some(f64::from(4 << 20)));
        assert_eq!(total(&[one(1000, 0.001)]), None);
        assert_eq!(total(&[]), None);
    }
}
