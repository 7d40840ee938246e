//! Whether the log holds anything for a migration that nobody follows, and whether others are at work.
//!
//! In: how far the target is. Out: yes or no. A server that is not written to writes nothing to its
//! binary log, so the log's end tells.

use super::MySqlSource;
use crate::model::{Failure, Position};
use crate::source::{Lull, Source};

impl Lull for MySqlSource {
    async fn is_quiet_since(&self, position: &Position) -> Result<bool, Failure> {
        Ok(position.reaches(&self.position().await?))
    }

    async fn sessions_at_work(&self) -> Result<u64, Failure> {
        let text = "SHOW GLOBAL STATUS LIKE 'Threads_running'";
        let row = self.shared.control.one(text, "look how busy the source is").await?;
        // The one that asks is at work.
        Ok(row.number(1).saturating_sub(1))
    }
}
