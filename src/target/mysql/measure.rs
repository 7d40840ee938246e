//! How fast bytes go to the target.
//!
//! In: a session and how much to send at most. Out: bytes and seconds. What is sent is only
//! counted by the server; nothing is written.

use std::time::{Duration, Instant};

use super::error::attempting;
use super::session::Session;
use crate::model::Failure;
use crate::model::report::Transfer;

/// What is sent at once, at most.
const PIECE_BYTES: usize = 4 << 20;

/// Sends pieces until one of the limits is reached.
pub(super) async fn send(
    session: &mut Session,
    most_bytes: u64,
    longest: Duration,
) -> Result<Transfer, Failure> {
    let length = PIECE_BYTES.min(session.most_bytes() / 2);
    let statement = format!("DO LENGTH('{}')", "x".repeat(length));
    let begun = Instant::now();
    let mut bytes = 0;
    while bytes < most_bytes && begun.elapsed() < longest {
        let sent = session.execute(&statement).await;
        sent.map_err(attempting("measure the bandwidth to the target"))?;
        bytes += length as u64;
    }
    Ok(Transfer { bytes, seconds: begun.elapsed().as_secs_f64() })
}
