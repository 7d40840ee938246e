//! Places in a source's log, in the order that the engine itself defines.
//!
//! Two kinds of place must not be mistaken for each other. A [`Position`] lies *between*
//! transactions: everything before it has been seen. A [`Mark`] names one transaction. Rule 2
//! of the design is the question whether a position contains a mark.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A byte position in a Postgres write-ahead log.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Lsn(pub u64);

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xFFFF_FFFF)
    }
}

impl fmt::Debug for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text was not a position of the engine it was read for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a log position such as 1A/2B3C4D5E")]
pub struct ParsePositionError(String);

impl FromStr for Lsn {
    type Err = ParsePositionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fail = || ParsePositionError(text.to_owned());
        let (high, low) = text.split_once('/').ok_or_else(fail)?;
        let high = u32::from_str_radix(high, 16).map_err(|_| fail())?;
        let low = u32::from_str_radix(low, 16).map_err(|_| fail())?;
        Ok(Lsn(u64::from(high) << 32 | u64::from(low)))
    }
}

impl Serialize for Lsn {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Lsn {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A place between two transactions: everything before it is contained, nothing after it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "engine", content = "at", rename_all = "lowercase")]
pub enum Position {
    /// The end of a commit record, or a slot's consistent point.
    Postgres(Lsn),
}

/// One transaction's name in the log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Mark {
    /// The LSN of the commit record (`final_lsn` in pgoutput's Begin).
    Postgres(Lsn),
}

impl Position {
    /// Whether everything that transaction `mark` did is before this position.
    ///
    /// For Postgres a transaction is contained when its commit record starts strictly before
    /// the position: one that commits exactly at a slot's consistent point belongs to the
    /// stream (`SnapBuildXactNeedsSkip` in the server's snapbuild.c).
    #[must_use]
    pub fn contains(&self, mark: &Mark) -> bool {
        match (self, mark) {
            (Position::Postgres(position), Mark::Postgres(commit)) => commit < position,
        }
    }

    /// Whether everything before `other` is also before this position.
    #[must_use]
    pub fn reaches(&self, other: &Position) -> bool {
        match (self, other) {
            (Position::Postgres(this), Position::Postgres(other)) => this >= other,
        }
    }

    /// The one of the two that contains the other.
    #[must_use]
    pub fn further(self, other: Position) -> Position {
        if self.reaches(&other) { self } else { other }
    }

    /// How many bytes of log lie between this position and a later one; zero where it is not
    /// later.
    #[must_use]
    pub fn bytes_until(&self, later: &Position) -> u64 {
        match (self, later) {
            (Position::Postgres(this), Position::Postgres(later)) => later.0.saturating_sub(this.0),
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Position::Postgres(lsn) => lsn.fmt(f),
        }
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Mark::Postgres(lsn) => lsn.fmt(f),
        }
    }
}

/// The positions between which a chunk was read: everything before `low` is in it, nothing
/// after `high` is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Bracket {
    /// All that this position contains is in the chunk.
    pub low: Position,
    /// Nothing that this position does not contain is in the chunk.
    pub high: Position,
}

impl Bracket {
    /// The bracket of a chunk that was read under a snapshot taken exactly at `position`.
    #[must_use]
    pub fn exact(position: Position) -> Self {
        Bracket { low: position.clone(), high: position }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lsn_reads_what_it_prints() {
        for value in [0, 1, 0xFFFF_FFFF, 0x1_0000_0000, u64::MAX] {
            assert_eq!(Lsn(value).to_string().parse(), Ok(Lsn(value)));
        }
        assert!("16".parse::<Lsn>().is_err());
        assert!("1/2/3".parse::<Lsn>().is_err());
    }

    #[test]
    fn a_commit_exactly_at_the_consistent_point_is_not_contained() {
        let point = Position::Postgres(Lsn(100));
        assert!(point.contains(&Mark::Postgres(Lsn(99))));
        assert!(!point.contains(&Mark::Postgres(Lsn(100))));
    }
}
