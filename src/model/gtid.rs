//! Transactions of MySQL and MariaDB by their global names, and sets of them.
//!
//! In and out come the servers' own text forms. A MySQL set is kept exactly, with its holes; a
//! MariaDB list holds the last transaction of each domain, within which the numbers ascend. Both
//! are cheap to clone, because every commit that is read carries the position after it. Nothing in
//! here knows how the names travel in a log.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The text was no GTID set or list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a set of GTIDs")]
pub struct ParseGtidError(String);

impl ParseGtidError {
    fn of(text: &str) -> Self {
        ParseGtidError(text.chars().take(200).collect())
    }
}

/// Numbers begin with one and end before this (`GNO_END` in the server's rpl_gtid.h).
const NUMBER_END: u64 = i64::MAX as u64;

/// A tag has at most so many characters.
const TAG_LEN: usize = 32;

/// Who gave a MySQL transaction its number: a server, and the tag that was in force there.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GtidSource {
    uuid: [u8; 16],
    /// Lower case, filled up with zeros; empty where there is none.
    tag: [u8; TAG_LEN],
}

impl GtidSource {
    /// A server by its UUID, and a tag, which may be empty. None where the tag is none.
    #[must_use]
    pub fn new(uuid: [u8; 16], tag: &[u8]) -> Option<Self> {
        let letter = |byte: &u8| byte.is_ascii_alphabetic() || *byte == b'_';
        let legal = tag.len() <= TAG_LEN
            && tag.first().is_none_or(letter)
            && tag.iter().all(|byte| letter(byte) || byte.is_ascii_digit());
        legal.then(|| {
            let mut padded = [0; TAG_LEN];
            for (to, from) in padded.iter_mut().zip(tag) {
                *to = from.to_ascii_lowercase();
            }
            GtidSource { uuid, tag: padded }
        })
    }

    /// The server's UUID.
    #[must_use]
    pub fn uuid(&self) -> [u8; 16] {
        self.uuid
    }

    /// The tag; empty where there is none.
    #[must_use]
    pub fn tag(&self) -> &str {
        let len = self.tag.iter().position(|byte| *byte == 0).unwrap_or(TAG_LEN);
        std::str::from_utf8(&self.tag[..len]).unwrap_or_default()
    }

    fn write_uuid(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.uuid.iter().enumerate() {
            if matches!(index, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Display for GtidSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_uuid(f)?;
        if self.tag[0] != 0 {
            write!(f, ":{}", self.tag())?;
        }
        Ok(())
    }
}

impl fmt::Debug for GtidSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A UUID, with or without dashes.
fn parse_uuid(text: &str) -> Option<[u8; 16]> {
    let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b'-').collect();
    let dashes = text.len() - digits.len();
    if digits.len() != 32 || !matches!(dashes, 0 | 4) {
        return None;
    }
    let mut uuid = [0; 16];
    for (byte, pair) in uuid.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |at: u8| char::from(at).to_digit(16);
        *byte = u8::try_from(digit(pair[0])? << 4 | digit(pair[1])?).ok()?;
    }
    Some(uuid)
}

/// One MySQL transaction.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Gtid {
    /// Who numbered it. Shared, because one source numbers many.
    pub source: Arc<GtidSource>,
    /// Its number, from one.
    pub number: u64,
}

impl fmt::Display for Gtid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.source, self.number)
    }
}

impl fmt::Debug for Gtid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Consecutive transactions of one source.
#[derive(Clone, PartialEq, Eq)]
struct Run {
    source: Arc<GtidSource>,
    first: u64,
    last: u64,
}

/// Any set of MySQL transactions.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct GtidSet {
    /// By source, then by number; neither overlapping nor adjacent.
    runs: Arc<Vec<Run>>,
}

impl GtidSet {
    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Number of runs that begin at `gtid` or before it.
    fn rank(&self, source: &GtidSource, number: u64) -> usize {
        self.runs.partition_point(|run| (&*run.source, run.first) <= (source, number))
    }

    /// Whether the transaction is in it.
    #[must_use]
    pub fn contains(&self, gtid: &Gtid) -> bool {
        self.holds(&gtid.source, gtid.number, gtid.number)
    }

    fn holds(&self, source: &GtidSource, first: u64, last: u64) -> bool {
        let Some(index) = self.rank(source, first).checked_sub(1) else { return false };
        let run = &self.runs[index];
        *run.source == *source && run.last >= last
    }

    /// Adds one transaction. Does not allocate unless the set is shared or becomes longer.
    pub fn add(&mut self, gtid: &Gtid) {
        self.add_run(&gtid.source, gtid.number, gtid.number);
    }

    fn add_run(&mut self, source: &Arc<GtidSource>, mut first: u64, mut last: u64) {
        if self.holds(source, first, last) {
            return;
        }
        let at = self.rank(source, first);
        let touches = |run: &Run| *run.source == **source;
        let joins_before = at.checked_sub(1).filter(|&before| {
            let run = &self.runs[before];
            touches(run) && run.last >= first.saturating_sub(1)
        });
        let from = joins_before.unwrap_or(at);
        let until = self.runs[at..]
            .iter()
            .position(|run| !touches(run) || run.first > last.saturating_add(1))
            .map_or(self.runs.len(), |count| at + count);
        for run in &self.runs[from..until] {
            first = first.min(run.first);
            last = last.max(run.last);
        }
        let runs = Arc::make_mut(&mut self.runs);
        if from < until {
            runs[from].first = first;
            runs[from].last = last;
            runs.drain(from + 1..until);
        } else {
            runs.insert(from, Run { source: Arc::clone(source), first, last });
        }
    }

    /// Whether everything in `other` is in this set too.
    #[must_use]
    pub fn reaches(&self, other: &GtidSet) -> bool {
        Arc::ptr_eq(&self.runs, &other.runs)
            || other.runs.iter().all(|run| self.holds(&run.source, run.first, run.last))
    }

    /// What is in either set.
    #[must_use]
    pub fn with(mut self, other: &GtidSet) -> GtidSet {
        for run in other.runs.iter() {
            self.add_run(&run.source, run.first, run.last);
        }
        self
    }

    /// What is in this set and not in `other`.
    #[must_use]
    pub fn without(&self, other: &GtidSet) -> GtidSet {
        let mut runs = Vec::new();
        for run in self.runs.iter() {
            let mut first = run.first;
            let others = other.runs.iter().filter(|o| o.source == run.source);
            for gone in others.filter(|o| o.last >= run.first && o.first <= run.last) {
                if gone.first > first {
                    runs.push(Run { first, last: gone.first - 1, ..run.clone() });
                }
                first = gone.last.saturating_add(1);
            }
            if first <= run.last {
                runs.push(Run { first, ..run.clone() });
            }
        }
        GtidSet { runs: Arc::new(runs) }
    }

    /// Its runs of consecutive transactions: the source, the first number, the last.
    pub fn runs(&self) -> impl Iterator<Item = (&GtidSource, u64, u64)> {
        self.runs.iter().map(|run| (&*run.source, run.first, run.last))
    }

    /// How many transactions there are in it.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.runs.iter().fold(0, |sum: u64, run| sum.saturating_add(run.last - run.first + 1))
    }
}

impl fmt::Display for GtidSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut before: Option<&GtidSource> = None;
        for run in self.runs.iter() {
            let source = &*run.source;
            if before.is_none_or(|before| before.uuid != source.uuid) {
                f.write_str(if before.is_some() { "," } else { "" })?;
                fmt::Display::fmt(source, f)?;
            } else if before.is_some_and(|before| before.tag != source.tag) {
                write!(f, ":{}", source.tag())?;
            }
            write!(f, ":{}", run.first)?;
            if run.last > run.first {
                write!(f, "-{}", run.last)?;
            }
            before = Some(source);
        }
        Ok(())
    }
}

impl fmt::Debug for GtidSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for GtidSet {
    type Err = ParseGtidError;

    /// Reads the server's form, line breaks and spaces between the parts included.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut set = GtidSet::default();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            add_part(&mut set, part).ok_or_else(|| ParseGtidError::of(text))?;
        }
        Ok(set)
    }
}

/// Adds `UUID[:TAG]:FIRST[-LAST]...`.
fn add_part(set: &mut GtidSet, part: &str) -> Option<()> {
    let mut pieces = part.split(':').map(str::trim);
    let uuid = parse_uuid(pieces.next()?)?;
    let mut source = Arc::new(GtidSource::new(uuid, b"")?);
    let mut named = false;
    for piece in pieces {
        if !piece.starts_with(|first: char| first.is_ascii_digit()) {
            source = Arc::new(GtidSource::new(uuid, piece.as_bytes())?);
            named = !piece.is_empty();
            if !named {
                return None;
            }
            continue;
        }
        let (first, last) = piece.split_once('-').unwrap_or((piece, piece));
        let (first, last) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        if first == 0 || last < first || last >= NUMBER_END {
            return None;
        }
        set.add_run(&source, first, last);
        named = true;
    }
    named.then_some(())
}

/// One MariaDB transaction: domain, server, number.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct MariaGtid {
    /// The replication domain, in which numbers ascend.
    pub domain: u32,
    /// The server that it was first executed on.
    pub server: u32,
    /// Its number in the domain.
    pub number: u64,
}

impl fmt::Display for MariaGtid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.domain, self.server, self.number)
    }
}

impl fmt::Debug for MariaGtid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for MariaGtid {
    type Err = ParseGtidError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let mut parts = text.trim().split('-');
            let (domain, server, number) = (parts.next()?, parts.next()?, parts.next()?);
            let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
            if parts.next().is_some() || ![domain, server, number].into_iter().all(digits) {
                return None;
            }
            Some(MariaGtid {
                domain: domain.parse().ok()?,
                server: server.parse().ok()?,
                number: number.parse().ok()?,
            })
        };
        parse().ok_or_else(|| ParseGtidError::of(text))
    }
}

/// The last transaction of each MariaDB domain.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct MariaGtidList {
    /// By domain; one for each.
    last: Arc<Vec<MariaGtid>>,
}

impl MariaGtidList {
    fn place(&self, domain: u32) -> Result<usize, usize> {
        self.last.binary_search_by_key(&domain, |gtid| gtid.domain)
    }

    /// The last transaction of a domain.
    #[must_use]
    pub fn last(&self, domain: u32) -> Option<MariaGtid> {
        self.place(domain).ok().map(|index| self.last[index])
    }

    /// Whether the transaction's domain was followed up to it.
    #[must_use]
    pub fn contains(&self, gtid: &MariaGtid) -> bool {
        self.last(gtid.domain).is_some_and(|last| last.number >= gtid.number)
    }

    /// Follows the transaction's domain up to it.
    pub fn add(&mut self, gtid: MariaGtid) {
        let place = self.place(gtid.domain);
        let last = Arc::make_mut(&mut self.last);
        match place {
            Ok(index) if last[index].number <= gtid.number => last[index] = gtid,
            Ok(_) => {}
            Err(index) => last.insert(index, gtid),
        }
    }

    /// Whether everything that `other` was followed to is contained in this list.
    #[must_use]
    pub fn reaches(&self, other: &MariaGtidList) -> bool {
        other.last.iter().all(|gtid| self.contains(gtid))
    }

    /// How many transactions there are from this list to a later one, if every number was used.
    #[must_use]
    pub fn count_until(&self, later: &MariaGtidList) -> u64 {
        let distance = |gtid: &MariaGtid| {
            let from = self.last(gtid.domain).map_or(0, |last| last.number);
            gtid.number.saturating_sub(from)
        };
        later.last.iter().fold(0, |sum: u64, gtid| sum.saturating_add(distance(gtid)))
    }
}

impl fmt::Display for MariaGtidList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, gtid) in self.last.iter().enumerate() {
            f.write_str(if index > 0 { "," } else { "" })?;
            fmt::Display::fmt(gtid, f)?;
        }
        Ok(())
    }
}

impl fmt::Debug for MariaGtidList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for MariaGtidList {
    type Err = ParseGtidError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut last: BTreeMap<u32, MariaGtid> = BTreeMap::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let gtid: MariaGtid = part.parse().map_err(|_| ParseGtidError::of(text))?;
            let known = last.entry(gtid.domain).or_insert(gtid);
            if known.number < gtid.number {
                *known = gtid;
            }
        }
        Ok(MariaGtidList { last: Arc::new(last.into_values().collect()) })
    }
}

/// Stored as the server writes them.
macro_rules! as_text {
    ($($kind:ty),+) => {$(
        impl Serialize for $kind {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $kind {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )+};
}

as_text!(GtidSet, MariaGtidList);

#[cfg(test)]
mod tests;
