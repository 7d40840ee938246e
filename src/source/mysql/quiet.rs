//! Whether the log holds anything for a migration that nobody follows.
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
}
