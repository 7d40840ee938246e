//! No more bytes a second than the operator allows.
//!
//! In: bytes that were read, by whichever worker. Out: a wait, where there were too many. Shared by all
//! workers; without a limit it costs nothing.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The limit, and when all that was read would have been read at just that rate.
#[derive(Debug)]
pub(super) struct Pace {
    bytes_per_second: Option<u64>,
    due: Mutex<Instant>,
}

impl Pace {
    pub(super) fn new(bytes_per_second: Option<u64>) -> Self {
        Pace { bytes_per_second, due: Mutex::new(Instant::now()) }
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
        let pace = Pace::new(Some(1000));
        let begun = Instant::now();
        let last = (0..10).map(|_| pace.due_after(500, 1000)).last().unwrap();
        let spread = last - begun;
        assert!(spread >= Duration::from_secs(5), "{spread:?}");
    }
}
