//! Places in a source's log, in the order that the engine itself defines.
//!
//! Two kinds of place must not be mistaken for each other. A [`Position`] lies *between*
//! transactions: everything before it has been seen. A [`Mark`] names one transaction. Rule 2
//! of the design is the question whether a position contains a mark.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::gtid::{Gtid, GtidSet, MariaGtid, MariaGtidList};

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
#[error("'{0}' is not a log position")]
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

/// A place in a MySQL server's binary log: one of its files, and an offset in it.
///
/// The offset is ours, counted from the file's beginning: the log's own positions have four bytes
/// and begin anew in a file beyond 4 GiB.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct BinlogPosition {
    file: Arc<BinlogFile>,
    /// Bytes from the beginning of the file.
    pub offset: u64,
}

#[derive(PartialEq, Eq, Hash)]
struct BinlogFile {
    server_uuid: String,
    name: String,
}

impl BinlogPosition {
    /// A place in the file `name` of the server with this UUID.
    #[must_use]
    pub fn new(server_uuid: &str, name: &str, offset: u64) -> Self {
        let file = BinlogFile { server_uuid: server_uuid.to_owned(), name: name.to_owned() };
        BinlogPosition { file: Arc::new(file), offset }
    }

    /// Which server's log it is.
    #[must_use]
    pub fn server_uuid(&self) -> &str {
        &self.file.server_uuid
    }

    /// The file's name.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file.name
    }

    /// Another place in the same file.
    #[must_use]
    pub fn at(&self, offset: u64) -> Self {
        BinlogPosition { file: Arc::clone(&self.file), offset }
    }
}

/// In the order of the files' numbers, and of offsets in one file. Files of different servers or
/// of different names have no order.
impl PartialOrd for BinlogPosition {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        if self.file == other.file {
            return Some(self.offset.cmp(&other.offset));
        }
        let (one, number) = self.file.numbered()?;
        let (another, other_number) = other.file.numbered()?;
        let same = self.file.server_uuid == other.file.server_uuid && one == another;
        same.then(|| (number, self.offset).cmp(&(other_number, other.offset)))
    }
}

impl BinlogFile {
    /// The log's name and the file's number: `binlog` and 12 of `binlog.000012`.
    fn numbered(&self) -> Option<(&str, u64)> {
        let (log, number) = self.name.rsplit_once('.')?;
        Some((log, number.parse().ok()?))
    }
}

/// As `UUID/FILE:OFFSET`.
impl fmt::Display for BinlogPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}:{}", self.file.server_uuid, self.file.name, self.offset)
    }
}

impl fmt::Debug for BinlogPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for BinlogPosition {
    type Err = ParsePositionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let (server_uuid, place) = text.split_once('/')?;
            let (name, offset) = place.rsplit_once(':')?;
            let offset = offset.parse().ok()?;
            let legal = !server_uuid.is_empty() && !name.is_empty();
            legal.then(|| BinlogPosition::new(server_uuid, name, offset))
        };
        parse().ok_or_else(|| ParsePositionError(text.to_owned()))
    }
}

impl Serialize for BinlogPosition {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for BinlogPosition {
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
    /// The transactions that a MySQL server has executed.
    MySql(GtidSet),
    /// The last transaction of each of a MariaDB server's domains.
    MariaDb(MariaGtidList),
    /// The end of a transaction in the log of a MySQL server that gives them no names.
    Binlog(BinlogPosition),
}

/// One transaction's name in the log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Mark {
    /// The LSN of the commit record (`final_lsn` in pgoutput's Begin).
    Postgres(Lsn),
    /// Its name on MySQL.
    MySql(Gtid),
    /// Its name on MariaDB.
    MariaDb(MariaGtid),
    /// Where it begins in the log.
    Binlog(BinlogPosition),
}

impl Position {
    /// Whether everything that transaction `mark` did is before this position.
    ///
    /// For Postgres a transaction is contained when its commit record starts strictly before
    /// the position: one that commits exactly at a slot's consistent point belongs to the
    /// stream (`SnapBuildXactNeedsSkip` in the server's snapbuild.c). A MySQL transaction is
    /// contained when its GTID is in the set, a MariaDB one when its domain was followed beyond
    /// it. A position of one engine contains nothing of another.
    #[must_use]
    pub fn contains(&self, mark: &Mark) -> bool {
        match (self, mark) {
            (Position::Postgres(position), Mark::Postgres(commit)) => commit < position,
            (Position::MySql(executed), Mark::MySql(gtid)) => executed.contains(gtid),
            (Position::MariaDb(executed), Mark::MariaDb(gtid)) => executed.contains(gtid),
            (Position::Binlog(position), Mark::Binlog(begin)) => begin < position,
            (
                Position::Postgres(_)
                | Position::MySql(_)
                | Position::MariaDb(_)
                | Position::Binlog(_),
                _,
            ) => false,
        }
    }

    /// Whether everything before `other` is also before this position.
    #[must_use]
    pub fn reaches(&self, other: &Position) -> bool {
        match (self, other) {
            (Position::Postgres(this), Position::Postgres(other)) => this >= other,
            (Position::MySql(this), Position::MySql(other)) => this.reaches(other),
            (Position::MariaDb(this), Position::MariaDb(other)) => this.reaches(other),
            (Position::Binlog(this), Position::Binlog(other)) => this >= other,
            (
                Position::Postgres(_)
                | Position::MySql(_)
                | Position::MariaDb(_)
                | Position::Binlog(_),
                _,
            ) => false,
        }
    }

    /// Whether everything that this position contains comes before transaction `mark`, in a log
    /// that holds both.
    ///
    /// Places in a log say so. Names do not: where a log gathers what several servers named, one
    /// that is not contained may come before another that is.
    #[must_use]
    pub fn ends_before(&self, mark: &Mark) -> bool {
        match self {
            Position::Postgres(_) | Position::Binlog(_) => !self.contains(mark),
            Position::MySql(_) | Position::MariaDb(_) => false,
        }
    }

    /// The one of the two that contains the other.
    #[must_use]
    pub fn further(self, other: Position) -> Position {
        if self.reaches(&other) { self } else { other }
    }

    /// A position that contains what either of the two does. Sets of names may each have what the other
    /// lacks.
    #[must_use]
    pub fn together(self, other: Position) -> Position {
        match (self, other) {
            (Position::MySql(this), Position::MySql(other)) => Position::MySql(this.with(&other)),
            (this, other) => this.further(other),
        }
    }

    /// How many bytes of log lie between this position and a later one; zero where it is not
    /// later. None where the two do not tell: names of transactions say nothing of their size, and
    /// nobody knows how long the log's files in between are.
    #[must_use]
    pub fn bytes_until(&self, later: &Position) -> Option<u64> {
        match (self, later) {
            _ if self.reaches(later) => Some(0),
            (Position::Postgres(this), Position::Postgres(later)) => {
                Some(later.0.saturating_sub(this.0))
            }
            (Position::Binlog(this), Position::Binlog(later)) if this.file == later.file => {
                Some(later.offset.saturating_sub(this.offset))
            }
            (
                Position::Postgres(_)
                | Position::MySql(_)
                | Position::MariaDb(_)
                | Position::Binlog(_),
                _,
            ) => None,
        }
    }

    /// How many transactions lie between this position and a later one. None where positions do not
    /// count them.
    #[must_use]
    pub fn transactions_until(&self, later: &Position) -> Option<u64> {
        match (self, later) {
            (Position::MySql(this), Position::MySql(later)) => Some(later.without(this).count()),
            (Position::MariaDb(this), Position::MariaDb(later)) => Some(this.count_until(later)),
            (
                Position::Postgres(_)
                | Position::MySql(_)
                | Position::MariaDb(_)
                | Position::Binlog(_),
                _,
            ) => None,
        }
    }
}

/// Each engine's positions look different from all others'.
impl FromStr for Position {
    type Err = ParsePositionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        if text.is_empty() {
            return Err(ParsePositionError(text.to_owned()));
        }
        let postgres = || text.parse().map(Position::Postgres).ok();
        let mysql = || text.parse().map(Position::MySql).ok();
        let mariadb = || text.parse().map(Position::MariaDb).ok();
        let binlog = text.parse().map(Position::Binlog);
        postgres().or_else(mysql).or_else(mariadb).map_or(binlog, Ok)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Position::Postgres(lsn) => lsn.fmt(f),
            Position::MySql(set) => set.fmt(f),
            Position::MariaDb(list) => list.fmt(f),
            Position::Binlog(position) => position.fmt(f),
        }
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Mark::Postgres(lsn) => lsn.fmt(f),
            Mark::MySql(gtid) => gtid.fmt(f),
            Mark::MariaDb(gtid) => gtid.fmt(f),
            Mark::Binlog(position) => position.fmt(f),
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

    const TEXTS: [&str; 4] = [
        "1A/2B3C4D5E",
        "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5:7",
        "0-1-100,3-7-2",
        "3e11fa47-71ca-11e1-9e33-c80aa9429562/binlog.000012:5000000000",
    ];

    #[test]
    fn positions_read_what_they_print_and_are_stored() {
        for text in TEXTS {
            let position: Position = text.parse().unwrap();
            assert_eq!(position.to_string(), text);
            let stored = serde_json::to_string(&position).unwrap();
            assert_eq!(serde_json::from_str::<Position>(&stored).unwrap(), position);
        }
        let empty = Position::MySql(GtidSet::default());
        let stored = serde_json::to_string(&empty).unwrap();
        assert_eq!(serde_json::from_str::<Position>(&stored).unwrap(), empty);
        assert!("".parse::<Position>().is_err() && "binlog.000001:4".parse::<Position>().is_err());
    }

    #[test]
    fn only_places_tell_that_nothing_of_a_position_is_to_come() {
        let place = |lsn| Position::Postgres(Lsn(lsn));
        assert!(place(100).ends_before(&Mark::Postgres(Lsn(100))));
        assert!(!place(101).ends_before(&Mark::Postgres(Lsn(100))));
        let [_, names, ..] = TEXTS.map(|text| text.parse::<Position>().unwrap());
        let Position::MySql(set) = &names else { panic!() };
        let (source, ..) = set.runs().next().unwrap();
        let other = Mark::MySql(Gtid { source: Arc::new(*source), number: 100 });
        assert!(!names.contains(&other) && !names.ends_before(&other));
    }

    #[test]
    fn positions_of_two_engines_have_nothing_in_common() {
        for (one, text) in TEXTS.iter().enumerate() {
            for (other, another) in TEXTS.iter().enumerate() {
                let [text, another] = [text, another].map(|text| text.parse::<Position>().unwrap());
                assert_eq!(text.reaches(&another), one == other);
                assert_eq!(text.bytes_until(&another), (one == other).then_some(0));
            }
        }
    }

    #[test]
    fn files_go_by_number_and_only_those_of_one_log_have_an_order() {
        let at = |text: &str| Position::Binlog(format!("u/{text}").parse().unwrap());
        assert!(at("binlog.1000000:4").reaches(&at("binlog.999999:900")));
        assert!(!at("binlog.999999:900").reaches(&at("binlog.1000000:4")));
        assert!(!at("other.000002:4").reaches(&at("binlog.000001:4")));
        assert_eq!(at("b.000001:4").bytes_until(&at("b.000001:5000000000")), Some(4_999_999_996));
        assert_eq!(at("b.000001:4").bytes_until(&at("b.000002:4")), None);
        let Position::Binlog(begin) = at("b.000001:4") else { panic!() };
        assert!(!Position::Binlog(begin.clone()).contains(&Mark::Binlog(begin.clone())));
        assert!(Position::Binlog(begin.at(5)).contains(&Mark::Binlog(begin)));
    }

    #[test]
    fn an_event_is_no_larger_for_all_that() {
        assert!(size_of::<crate::model::Event>() <= 40);
    }
}
