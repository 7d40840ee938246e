//! Where a run ends, and how it ended.
//!
//! In: what the operator named. Out: the same in the words of the room. It knows nothing of how a
//! run gets there.

use crate::config;
use crate::model::Position;

/// Where a run ends by itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Until {
    /// When everything is copied and built.
    Snapshot,
    /// When the target has everything that the source had a moment ago.
    CaughtUp,
    /// When the target has everything that this position contains.
    Position(Position),
}

/// How a run ended without an error.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ended {
    /// The operator stopped it.
    Stopped,
    /// It came to where it was to end.
    Reached,
    /// A cutover ended the migration: the target is the database.
    CutOver,
    /// So it was, and the way back was gone: the former source is the database again.
    CutBack,
}

impl From<config::Until> for Until {
    fn from(until: config::Until) -> Self {
        match until {
            config::Until::Snapshot => Until::Snapshot,
            config::Until::CaughtUp => Until::CaughtUp,
            config::Until::Position(position) => Until::Position(position),
        }
    }
}
