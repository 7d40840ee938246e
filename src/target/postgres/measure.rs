//! How fast bytes go to the target.
//!
//! In: a session and how much to send at most. Out: bytes and seconds. What is sent is only
//! counted by the server; nothing is written.

use std::time::{Duration, Instant};

use tokio_postgres::Client;

use crate::connect::attempting;
use crate::model::Failure;
use crate::model::report::Transfer;

/// What is sent at once.
const PIECE_BYTES: usize = 4 << 20;

/// Sends pieces until one of the limits is reached.
pub(super) async fn send(
    client: &Client,
    most_bytes: u64,
    longest: Duration,
) -> Result<Transfer, Failure> {
    let piece = vec![0u8; PIECE_BYTES];
    let sending = || attempting("measure the bandwidth to the target");
    let count = "SELECT pg_catalog.length($1::bytea)";
    let statement = client.prepare(count).await.map_err(sending())?;
    let begun = Instant::now();
    let mut bytes = 0;
    while bytes < most_bytes && begun.elapsed() < longest {
        client.query_one(&statement, &[&piece]).await.map_err(sending())?;
        bytes += PIECE_BYTES as u64;
    }
    Ok(Transfer { bytes, seconds: begun.elapsed().as_secs_f64() })
}
