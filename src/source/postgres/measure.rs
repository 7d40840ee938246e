//! How fast rows come from the source.
//!
//! In: a table and how much of it to read at most. Out: bytes and seconds. Rows are read by the
//! same wire as the snapshot's and thrown away.

use std::time::{Duration, Instant};

use super::rows::copy_text;
use super::wire::Wire;
use crate::model::report::Transfer;
use crate::model::{ChunkRange, Failure, RowForm, Table};

/// Reads rows of `table` until one of the limits is reached. The connection ends with it, in the
/// middle of the copy if need be.
pub(super) async fn read(
    mut wire: Wire,
    table: &Table,
    most_bytes: u64,
    longest: Duration,
) -> Result<Transfer, Failure> {
    let form = if table.binary_travels { RowForm::Binary } else { RowForm::Text };
    let text = copy_text(table, &ChunkRange::Whole, form);
    let begun = Instant::now();
    let mut copy = wire.copy_out(&text).await?;
    let mut bytes = 0;
    while bytes < most_bytes && begun.elapsed() < longest {
        match copy.next_buffer().await? {
            Some(buffer) => bytes += buffer.len() as u64,
            None => break,
        }
    }
    Ok(Transfer { bytes, seconds: begun.elapsed().as_secs_f64() })
}
