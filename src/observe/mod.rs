//! What a running migration shows of itself: logs, progress, named points for kill tests.
//!
//! Everyone reports here; it calls nobody. Nothing reported here decides anything.

pub mod failpoint;
pub mod log;
pub mod progress;
