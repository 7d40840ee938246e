//! Where a migration stands.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A migration's phase, as stored in its state. Each transition is made by `migration` and
/// persisted before the next phase begins; a process that is killed resumes in the stored one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// The state exists; publication, slot and snapshot do not, or not for certain.
    Prepare,
    /// Tables are made and chunks are copied.
    Snapshot,
    /// All rows are there; keys, indexes and constraints are being built.
    Build,
    /// The stream applies what was written meanwhile.
    CatchUp,
    /// The target follows closely.
    Stream,
    /// The target is the database; the source is followed no more.
    CutOver,
}

impl Phase {
    const ALL: [(Phase, &'static str); 6] = [
        (Phase::Prepare, "prepare"),
        (Phase::Snapshot, "snapshot"),
        (Phase::Build, "build"),
        (Phase::CatchUp, "catch-up"),
        (Phase::Stream, "stream"),
        (Phase::CutOver, "cut-over"),
    ];
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Phase::Prepare => "prepare",
            Phase::Snapshot => "snapshot",
            Phase::Build => "build",
            Phase::CatchUp => "catch-up",
            Phase::Stream => "stream",
            Phase::CutOver => "cut-over",
        };
        f.pad(text)
    }
}

/// The text names no phase.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a phase that this version knows")]
pub struct UnknownPhase(String);

impl FromStr for Phase {
    type Err = UnknownPhase;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Phase::ALL.iter().find(|(_, name)| *name == text);
        found.map(|(phase, _)| *phase).ok_or_else(|| UnknownPhase(text.to_owned()))
    }
}
