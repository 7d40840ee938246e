//! What `check`, `plan` and `status` have found, as values that are shown or written as JSON.
//!
//! Units stand at the end of each name. Servers are named without passwords. Nothing here knows
//! how the figures came to be, except for the plan's own formulas.

use serde::{Deserialize, Serialize};

use super::Position;
use super::failure::{Code, Disposition, Fault};

/// How much a finding weighs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The migration would fail or lose something.
    Block,
    /// It would work, but not as one may expect.
    Warn,
    /// Worth knowing.
    Info,
}

/// One thing that a preflight check found.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Finding {
    /// Its stable id; an error code where the run would halt with it.
    pub id: String,
    /// How much it weighs.
    pub severity: Severity,
    /// What it is about: a table, a setting, a role.
    pub subject: String,
    /// What was seen.
    pub evidence: String,
    /// The statement that mends it, where one does.
    pub fix_sql: Option<String>,
    /// What else to do, or what follows from it.
    pub hint: Option<String>,
}

impl Finding {
    /// What a run would halt with.
    #[must_use]
    pub fn block(code: Code, subject: impl Into<String>, evidence: impl Into<String>) -> Self {
        Finding::new(code.as_str(), Severity::Block, subject.into(), evidence.into())
    }

    /// What may surprise.
    #[must_use]
    pub fn warn(id: &str, subject: impl Into<String>, evidence: impl Into<String>) -> Self {
        Finding::new(id, Severity::Warn, subject.into(), evidence.into())
    }

    /// What is worth knowing.
    #[must_use]
    pub fn info(id: &str, subject: impl Into<String>, evidence: impl Into<String>) -> Self {
        Finding::new(id, Severity::Info, subject.into(), evidence.into())
    }

    /// An error that a run would halt with.
    #[must_use]
    pub fn of(fault: &impl Fault, subject: impl Into<String>) -> Self {
        let (code, hint) = match fault.disposition() {
            Disposition::Halt(halt) => (halt.code, Some(halt.hint)),
            Disposition::Retry => (Code::ConnectFailed, None),
        };
        Finding { hint, ..Finding::block(code, subject, fault.to_string()) }
    }

    fn new(id: &str, severity: Severity, subject: String, evidence: String) -> Self {
        Finding { id: id.to_owned(), severity, subject, evidence, fix_sql: None, hint: None }
    }

    /// With the statement that mends it.
    #[must_use]
    pub fn with_fix(mut self, sql: impl Into<String>) -> Self {
        self.fix_sql = Some(sql.into());
        self
    }

    /// With what else to do.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The code of the error that it would become.
    #[must_use]
    pub fn code(&self) -> Option<Code> {
        Code::named(&self.id)
    }
}

/// All that a preflight check found.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct CheckReport {
    /// The findings in the order in which they were found.
    pub findings: Vec<Finding>,
}

impl CheckReport {
    /// How many findings have this weight.
    #[must_use]
    pub fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.severity == severity).count()
    }
}

/// What became of all that a migration wrote on its servers.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Removal {
    /// Each object that was dropped, with its side: `source: replication slot dunlin`.
    pub dropped: Vec<String>,
    /// What the operator has to do, where dunlin cannot.
    pub left: Vec<String>,
}

/// A table as it will be copied.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PlannedTable {
    /// Its qualified name.
    pub name: String,
    /// D: the size of its rows.
    pub bytes: u64,
    /// The statistics' guess at its rows.
    pub rows: u64,
    /// P: its chunks.
    pub chunks: u64,
    /// How it is cut and carried: `key ranges, binary`.
    pub method: String,
}

/// Bytes that passed, and how long they took.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Transfer {
    /// How many.
    pub bytes: u64,
    /// How long.
    pub seconds: f64,
}

/// What was measured, and what is to be done: all that the formulas need.
#[derive(Clone, PartialEq, Debug)]
pub struct PlanInput {
    /// The tables.
    pub tables: Vec<PlannedTable>,
    /// S: the chunk size.
    pub chunk_size_bytes: u64,
    /// B: how much passes from source to target per second, all workers together.
    pub bandwidth_bytes_per_second: f64,
    /// How much log the source writes per second.
    pub wal_rate_bytes_per_second: f64,
    /// Everything that will be written on either server.
    pub writes: Vec<String>,
}

/// What a migration would do, and how long it would take.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct PlanReport {
    /// The tables, largest first.
    pub tables: Vec<PlannedTable>,
    /// The size of all of them.
    pub database_bytes: u64,
    /// P: the chunks of all of them.
    pub chunks: u64,
    /// S: the chunk size.
    pub chunk_size_bytes: u64,
    /// B: the measured bandwidth, all workers together.
    pub bandwidth_bytes_per_second: f64,
    /// `(S / B) x P`; none where no bandwidth was measured.
    pub t_copy_seconds: Option<f64>,
    /// The observed rate of new log.
    pub wal_rate_bytes_per_second: f64,
    /// What is written while the tables are copied: the rate times `t_copy_seconds`.
    pub d_new_bytes: Option<u64>,
    /// `D_new / B`: how long it takes to pass that on.
    pub t_sync_seconds: Option<f64>,
    /// The stream is faster than the source's writes.
    pub converges: bool,
    /// When the stream has caught up, counted from the start: `T_copy + D_new / (B - W)`, since
    /// the source goes on writing meanwhile; none where it does not converge.
    pub caught_up_seconds: Option<f64>,
    /// Everything that will be written on either server.
    pub writes: Vec<String>,
    /// What is worth knowing of the source.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<Finding>,
}

impl PlanReport {
    /// Puts the numbers into the formulas.
    #[must_use]
    pub fn estimate(input: PlanInput) -> Self {
        let PlanInput {
            mut tables,
            chunk_size_bytes,
            bandwidth_bytes_per_second: bandwidth,
            wal_rate_bytes_per_second: wal_rate,
            writes,
        } = input;
        tables.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.name.cmp(&b.name)));
        let chunks = tables.iter().map(|table| table.chunks).sum();
        let measured = bandwidth.is_finite() && bandwidth > 0.0;
        let t_copy = measured.then(|| chunk_size_bytes as f64 / bandwidth * chunks as f64);
        let new_bytes = t_copy.map(|seconds| wal_rate * seconds);
        let converges = measured && wal_rate < bandwidth;
        let caught_up = t_copy.zip(new_bytes).filter(|_| converges);
        PlanReport {
            database_bytes: tables.iter().map(|table| table.bytes).sum(),
            chunks,
            chunk_size_bytes,
            bandwidth_bytes_per_second: bandwidth,
            t_copy_seconds: t_copy,
            wal_rate_bytes_per_second: wal_rate,
            d_new_bytes: new_bytes.map(|bytes| bytes.round() as u64),
            t_sync_seconds: new_bytes.map(|bytes| bytes / bandwidth),
            converges,
            caught_up_seconds: caught_up.map(|(copy, new)| copy + new / (bandwidth - wal_rate)),
            tables,
            writes,
            notes: Vec::new(),
        }
    }
}

/// Which way a migration goes between its two servers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// From the source to the target.
    #[default]
    Forward,
    /// After a cutover, from the target to the source.
    Back,
}

/// Where a migration stands.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct StatusReport {
    /// The migration's name.
    pub name: String,
    /// Which way it goes. On the way back source and target are exchanged here.
    #[serde(default)]
    pub direction: Direction,
    /// The phase it is in.
    pub phase: String,
    /// How often a process has taken it over; only the newest may commit.
    pub epoch: u64,
    /// The source, without password.
    pub source: String,
    /// The target, without password.
    pub target: String,
    /// How far each part has come.
    pub positions: Positions,
    /// Log between the durable position and the source's end; none where the source was not
    /// asked.
    pub lag_bytes: Option<u64>,
    /// Transactions between the two, where the engine's positions count them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag_transactions: Option<u64>,
    /// Age of the newest transaction that is durable on the target, zero where nothing is
    /// missing; none where it is not known.
    pub lag_seconds: Option<f64>,
    /// The snapshot, once it is planned.
    pub snapshot: Option<SnapshotStatus>,
    /// The replication slot; none where the source was not asked or has none.
    pub slot: Option<SlotStatus>,
    /// Since the state was last written.
    pub updated_seconds_ago: f64,
    /// A process is at work on it.
    pub running: bool,
    /// What acts by itself on the target (triggers, events) and is made or enabled at the cutover.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub at_cutover: Vec<String>,
    /// What may need the operator.
    pub warnings: Vec<String>,
    /// The command to run next.
    pub next: String,
}

/// How far each part of a migration has come: durable ≤ received ≤ source.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Positions {
    /// Read from the source's log.
    pub received: Option<Position>,
    /// Durable on the target.
    pub durable: Option<Position>,
    /// The end of the source's log.
    pub source: Option<Position>,
}

/// How far the snapshot has come.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SnapshotStatus {
    /// Chunks in the target.
    pub chunks_done: u64,
    /// All chunks.
    pub chunks_total: u64,
    /// Rows in the target.
    pub rows: u64,
    /// Size of these chunks on the source.
    pub bytes: u64,
    /// Each table.
    pub tables: Vec<TableStatus>,
}

/// How far one table has come.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TableStatus {
    /// Its qualified name.
    pub name: String,
    /// Chunks in the target.
    pub chunks_done: u64,
    /// All its chunks.
    pub chunks_total: u64,
    /// Rows in the target.
    pub rows: u64,
    /// Size of these chunks on the source.
    pub bytes: u64,
}

/// What the slot costs the source.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct SlotStatus {
    /// Its name.
    pub name: String,
    /// Log that the source keeps for it.
    pub retained_bytes: u64,
    /// Log that may still be written before the server gives the slot up
    /// (`pg_replication_slots.safe_wal_size`); none where there is no limit.
    pub safe_wal_size_bytes: Option<i64>,
    /// How long ago that was seen, by the target's clock.
    pub seen_seconds_ago: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(wal_rate: f64, bandwidth: f64) -> PlanInput {
        let table = |name: &str, bytes, chunks| PlannedTable {
            name: name.to_owned(),
            bytes,
            rows: 1,
            chunks,
            method: "key ranges, binary".to_owned(),
        };
        PlanInput {
            tables: vec![table("small", 100, 1), table("large", 950, 10)],
            chunk_size_bytes: 100,
            bandwidth_bytes_per_second: bandwidth,
            wal_rate_bytes_per_second: wal_rate,
            writes: Vec::new(),
        }
    }

    #[test]
    fn the_formulas_give_what_a_pencil_gives() {
        let plan = PlanReport::estimate(input(25.0, 50.0));
        assert_eq!(plan.tables[0].name, "large");
        assert_eq!((plan.database_bytes, plan.chunks), (1050, 11));
        assert_eq!(plan.t_copy_seconds, Some(22.0));
        assert_eq!(plan.d_new_bytes, Some(550));
        assert_eq!(plan.t_sync_seconds, Some(11.0));
        assert_eq!((plan.converges, plan.caught_up_seconds), (true, Some(44.0)));
    }

    #[test]
    fn writes_as_fast_as_the_stream_never_converge() {
        let plan = PlanReport::estimate(input(50.0, 50.0));
        assert_eq!((plan.converges, plan.caught_up_seconds), (false, None));
    }

    #[test]
    fn without_a_measurement_nothing_is_promised() {
        let plan = PlanReport::estimate(input(1.0, 0.0));
        assert_eq!((plan.t_copy_seconds, plan.converges), (None, false));
    }
}
