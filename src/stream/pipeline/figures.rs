//! What a stream says of its progress, over a channel that holds the latest.
//!
//! In: what the pipeline has applied. Out: figures for the watch, the screen and `status`.

use crate::model::Position;

/// The latest figures of a stream.
#[derive(Debug, Clone, PartialEq)]
pub struct Figures {
    /// Everything before this is on the target.
    pub applied: Position,
    /// When the last applied transaction committed on the source, in microseconds since the Unix
    /// epoch.
    pub committed_at_us: Option<i64>,
    /// Source transactions applied since the start of this process.
    pub transactions: u64,
    /// Row changes applied since the start of this process.
    pub changes: u64,
    /// Bytes of log applied since the start of this process.
    pub bytes: u64,
    /// How often a table's part of a group had to be replayed change by change.
    pub replays: u64,
    /// Bytes queued or in use.
    pub queue_bytes: u64,
}

impl Figures {
    /// Nothing applied yet.
    #[must_use]
    pub fn starting_at(applied: Position) -> Self {
        Figures {
            applied,
            committed_at_us: None,
            transactions: 0,
            changes: 0,
            bytes: 0,
            replays: 0,
            queue_bytes: 0,
        }
    }
}
