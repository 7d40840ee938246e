//! No more bytes a second than the operator allows, none while the source is busy, and none once it is
//! to end.
//!
//! In: bytes that were read, by whichever worker, and how many others are at work on the source. Out: a
//! wait, where there were too many. Shared by all workers; without a limit it costs nothing.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::model::Failure;
use crate::source::Lull;

/// How often it is looked whether the source is still busy.
const LOOK: Duration = Duration::from_millis(500);

/// Waits while more than so many sessions are at work on the source, unless it is to stop.
///
/// # Errors
///
/// Where the source cannot be asked.
pub(super) async fn give_way<S: Lull>(
    source: &S,
    most: Option<u64>,
    stop: &watch::Receiver<bool>,
) -> Result<(), Failure> {
    let Some(most) = most else { return Ok(()) };
    let mut said = false;
    while !*stop.borrow() {
        let at_work = source.sessions_at_work().await?;
        if at_work <= most {
            break;
        }
        if !std::mem::replace(&mut said, true) {
            tracing::info!(at_work, "waiting until fewer sessions are at work on the source");
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

/// The limit, and when all that was read would have been read at just that rate.
#[derive(Debug)]
pub(super) struct Pace {
    bytes_per_second: Option<u64>,
    due: Mutex<Instant>,
    /// Becomes true when nothing more is to be read.
    stop: Option<watch::Receiver<bool>>,
}

impl Pace {
    pub(super) fn new(bytes_per_second: Option<u64>, stop: watch::Receiver<bool>) -> Self {
        Pace { bytes_per_second, stop: Some(stop), ..Pace::unhurried() }
    }

    /// No limit, and no end.
    pub(super) fn unhurried() -> Self {
        Pace { bytes_per_second: None, due: Mutex::new(Instant::now()), stop: None }
    }

    /// Whether nothing more is to be read.
    pub(super) fn is_over(&self) -> bool {
        self.stop.as_ref().is_some_and(|stop| *stop.borrow())
    }

    /// Waits until so many more bytes may have been read.
    pub(super) async fn pass(&self, bytes: usize) {
        let Some(rate) = self.bytes_per_second else { return };
        tokio::time::sleep_until(self.due_after(bytes, rate).into()).await;
    }

    fn due_after(&self, bytes: usize, rate: u64) -> Instant {
        let cost = Duration::from_secs_f64(bytes as f64 / rate.max(1) as f64);
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        *due = (*due).max(Instant::now()) + cost;
        *due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_spread_over_time() {
        let pace = Pace { bytes_per_second: Some(1000), ..Pace::unhurried() };
        let begun = Instant::now();
        let last = (0..10).map(|_| pace.due_after(500, 1000)).last().unwrap();
        let spread = last - begun;
        assert!(spread >= Duration::from_secs(5), "{spread:?}");
    }
}
