//! The demo's closing report: what was moved, what was killed, and whether both sides are equal.

use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use super::digest::TableComparison;
use super::screen::{bytes, count};
use super::writers::WriterCounts;

/// What a demo did and found.
#[derive(Debug)]
pub struct DemoReport {
    /// The database as it was loaded.
    pub loaded: Loaded,
    /// From the first start of dunlin until every table was copied and indexed, the kill and the
    /// restart included.
    pub copied_in: Duration,
    /// The kill in the snapshot; `None` when the snapshot was over too soon.
    pub snapshot_kill: Option<SnapshotKill>,
    /// The kill in the stream.
    pub stream_kill: StreamKill,
    /// What the writers did while all this went on.
    pub written: WriterCounts,
    /// For how long they wrote.
    pub written_in: Duration,
    /// The lag while the writers still wrote, after everything was caught up; in seconds.
    pub lag_seconds: Option<f64>,
    /// Each table.
    pub tables: Vec<TableComparison>,
    /// What gives out the numbers of ids.
    pub counters: &'static str,
    /// Those that would give out a number a second time on the target.
    pub counters_behind: Vec<String>,
    /// What was found of dunlin on either server after `dunlin complete`.
    pub left_behind: Vec<String>,
    /// From the start of the servers to this report.
    pub took: Duration,
}

/// The database as it was loaded.
#[derive(Clone, Copy, Debug)]
pub struct Loaded {
    /// Rows of all tables.
    pub rows: i64,
    /// The size of the database, indexes included.
    pub bytes: i64,
    /// How long the load took.
    pub took: Duration,
}

/// The kill in the snapshot.
#[derive(Clone, Copy, Debug)]
pub struct SnapshotKill {
    /// When, since the start of the demo.
    pub at: Duration,
    /// The chunks that were in the target, and so were not copied again.
    pub chunks_kept: u64,
    /// All chunks.
    pub chunks_total: u64,
}

/// Log that is still to be applied, as far as the source tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backlog {
    /// So many bytes.
    Bytes(u64),
    /// So many transactions.
    Transactions(u64),
    /// It does not tell.
    Unknown,
}

impl Backlog {
    /// The bytes, if they are known.
    pub(super) fn of(bytes: Option<u64>, transactions: Option<u64>) -> Backlog {
        match (bytes, transactions) {
            (Some(bytes), _) => Backlog::Bytes(bytes),
            (None, Some(transactions)) => Backlog::Transactions(transactions),
            (None, None) => Backlog::Unknown,
        }
    }
}

impl Display for Backlog {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Backlog::Bytes(size) => f.write_str(&bytes(*size as f64)),
            Backlog::Transactions(transactions) => {
                write!(f, "{} transactions", count(transactions.cast_signed()))
            }
            Backlog::Unknown => f.write_str("unknown"),
        }
    }
}

/// The kill in the stream.
#[derive(Clone, Copy, Debug)]
pub struct StreamKill {
    /// When, since the start of the demo.
    pub at: Duration,
    /// The log that had gathered on the source when dunlin was started again.
    pub backlog: Backlog,
    /// From that start until it was caught up.
    pub caught_up_in: Duration,
}

impl DemoReport {
    /// Whether every table is equal, every counter carried over, and nothing left behind.
    #[must_use]
    pub fn is_success(&self) -> bool {
        self.tables.iter().all(TableComparison::is_equal)
            && self.counters_behind.is_empty()
            && self.left_behind.is_empty()
    }
}

impl Display for DemoReport {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.moved(f)?;
        self.kills(f)?;
        self.comparison(f)?;
        self.verdict(f)
    }
}

impl DemoReport {
    fn moved(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let seconds = self.copied_in.as_secs_f64().max(0.001);
        let written_seconds = self.written_in.as_secs_f64().max(0.001);
        writeln!(f, "\nWhat was moved")?;
        writeln!(
            f,
            "  copied    {} rows, {} with indexes, in {seconds:.1} s ({} rows/s, {}/s)",
            count(self.loaded.rows),
            bytes(self.loaded.bytes as f64),
            count((self.loaded.rows as f64 / seconds) as i64),
            bytes(self.loaded.bytes as f64 / seconds),
        )?;
        writeln!(
            f,
            "  followed  {} transactions, {} rows written meanwhile in {written_seconds:.1} s \
             ({:.0} transactions/s)",
            count(self.written.transactions as i64),
            count(self.written.rows as i64),
            self.written.transactions as f64 / written_seconds,
        )?;
        match self.lag_seconds {
            Some(lag) => writeln!(f, "  lag       {lag:.1} s behind the source under that load"),
            None => writeln!(f, "  lag       none that could be measured"),
        }
    }

    fn kills(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "\nWhat was killed (SIGKILL), and what that cost")?;
        match &self.snapshot_kill {
            Some(kill) => writeln!(
                f,
                "  snapshot  at {:.1} s: {} of {} chunks were in the target and stayed; the \
                 others were copied",
                kill.at.as_secs_f64(),
                kill.chunks_kept,
                kill.chunks_total,
            )?,
            None => {
                writeln!(f, "  snapshot  not killed: it was over too soon; use a larger --scale")?
            }
        }
        let kill = &self.stream_kill;
        let backlog = kill.backlog;
        writeln!(
            f,
            "  stream    at {:.1} s: backlog {backlog} when started again, caught up in {:.1} s",
            kill.at.as_secs_f64(),
            kill.caught_up_in.as_secs_f64(),
        )
    }

    fn comparison(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let width = self.tables.iter().map(|table| table.table.len()).max();
        let width = width.unwrap_or_default().max("table".len());
        writeln!(f, "\nBoth sides, as each server digests its own rows")?;
        writeln!(f, "  {:width$}  {:>12}  {:>12}  equal", "table", "source", "target")?;
        for table in &self.tables {
            let rows = |side: &Option<_>| {
                side.as_ref().map_or("missing".to_owned(), |digest: &super::digest::TableDigest| {
                    count(digest.rows)
                })
            };
            writeln!(
                f,
                "  {:width$}  {:>12}  {:>12}  {}",
                table.table,
                rows(&table.source),
                rows(&table.target),
                if table.is_equal() { "yes" } else { "NO" },
            )?;
        }
        Ok(())
    }

    fn verdict(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f)?;
        if !self.counters_behind.is_empty() {
            writeln!(f, "{} are behind: {}", self.counters, self.counters_behind.join(", "))?;
        }
        if !self.left_behind.is_empty() {
            writeln!(f, "Left behind by dunlin: {}", self.left_behind.join(", "))?;
        }
        let differing = self.tables.iter().filter(|table| !table.is_equal()).count();
        let seconds = self.took.as_secs_f64();
        match differing {
            0 if self.is_success() => writeln!(
                f,
                "Every one of {} tables is equal, {} go on behind the source's, and dunlin left \
                 nothing on either server. {seconds:.0} s in all.",
                self.tables.len(),
                self.counters,
            ),
            0 => writeln!(f, "Every table is equal, but see above. {seconds:.0} s in all."),
            _ => writeln!(f, "{differing} tables differ. {seconds:.0} s in all."),
        }
    }
}
