//! The one way in which a test waits: for a condition, with a deadline.

use std::time::{Duration, Instant};

/// Long enough for a loaded machine of two cores; nothing waits that long when all is well.
pub const PATIENCE: Duration = Duration::from_secs(60);

const POLL: Duration = Duration::from_millis(10);

/// Waits until the condition holds; panics with its name when it does not in time.
pub async fn wait_until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition().await {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        tokio::time::sleep(POLL).await;
    }
}
