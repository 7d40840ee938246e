//! A cutover, as its order, its state and its report describe it.
//!
//! What only an engine understands is opaque in here. Durations are in milliseconds.

use serde::{Deserialize, Serialize};

use super::handover::SourceIdentity;
use super::position::Position;
use super::report::Finding;
use super::schema::Table;
use super::verification::VerificationReport;

/// How the names of migrations end that go back.
const BACK: &str = "_back";

/// How writers are kept from the source.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Manner {
    /// Every table is locked, by a session that dies with its process; then triggers refuse writes.
    TableLocks,
    /// Likewise; and then sessions of the database only read, by default.
    DatabaseReadOnly,
    /// Likewise; and then these roles cannot log in.
    Roles(Vec<String>),
    /// All of a MySQL or MariaDB server is locked, and then made read-only.
    MysqlReadOnly,
}

/// How far a cutover has come, recorded before it goes further. What it changed for longer than a
/// session lasts can be undone by it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct CutoverRecord {
    /// The epoch of the process that made it.
    pub epoch: u64,
    /// How far it has come.
    pub stage: CutoverStage,
    /// What outlives the process; None where nothing does.
    pub left: Option<Leftover>,
    /// The way back, where it is wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub way_back: Option<WayBack>,
}

/// A [`CutoverRecord`] that is about to be made.
#[derive(Clone, Copy, Debug)]
pub struct CutoverProgress<'a> {
    /// How far the cutover has come.
    pub stage: CutoverStage,
    /// What outlives the process.
    pub left: Option<&'a Leftover>,
    /// The way back.
    pub way_back: Option<&'a WayBack>,
}

impl CutoverProgress<'_> {
    /// The record, as the process of this epoch makes it.
    #[must_use]
    pub fn under(self, epoch: u64) -> CutoverRecord {
        let (left, way_back) = (self.left.cloned(), self.way_back.cloned());
        CutoverRecord { epoch, stage: self.stage, left, way_back }
    }
}

/// What a migration is called that goes the other way between the same servers: `NAME_back`, and the
/// other way round.
#[must_use]
pub fn opposite(migration: &str) -> String {
    match migration.strip_suffix(BACK) {
        Some(forward) => forward.to_owned(),
        None => format!("{migration}{BACK}"),
    }
}

/// The way back from a cutover: what is kept on the target for it, which is its source.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct WayBack {
    /// The target, as a source.
    pub source: SourceIdentity,
    /// The tables of the migration, as they are there.
    pub tables: Vec<Table>,
    /// Where the way back begins in the target's log: all that we applied there is before it, and
    /// all that its own clients commit once the traffic is moved comes after it. None until the source's log is
    /// drained.
    pub start: Option<Position>,
    /// It is being ended for good, and must not be begun any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<WayBackEnd>,
    /// What keeps writers out of the target where it was gone to its end; kept here while it is ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left: Option<Leftover>,
}

/// How a way back ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WayBackEnd {
    /// It was gone: the former source is the database again.
    Gone,
    /// It was not.
    GivenUp,
}

/// What a cutover changed on the source for longer than its process lives.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Leftover {
    /// What the source needs to undo it.
    pub handle: serde_json::Value,
    /// The operator's command that keeps writers out, where there is one, which is to be told to let
    /// them in.
    pub hook: Option<String>,
    /// How the operator can undo it: `on the source: STATEMENT`.
    pub lift: String,
    /// What ends it besides, such as `a restart of its server`; None where nothing does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
}

impl Leftover {
    /// How it is undone, for an operator who need not do so.
    #[must_use]
    pub fn lift_later(&self) -> String {
        self.lift.replacen(": ", ", once it is to take writes again: ", 1)
    }
}

/// The stages of a cutover. Each is recorded by the cutover itself before it begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CutoverStage {
    /// It follows the source closely, and then keeps its writers out for as long as it lives.
    Fencing,
    /// The source is made to refuse writes by itself, whatever becomes of the process.
    Sealing,
    /// The operator's command moves the traffic: from here on only the operator knows where it is.
    Switching,
    /// The traffic is moved back, and nothing of ours keeps writers out where it went. What does from here
    /// on is somebody else's.
    Opened,
}

/// A step of a cutover, as it was carried out.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct CutoverStep {
    /// Its name.
    pub name: String,
    /// How long it took.
    pub milliseconds: f64,
}

/// How a cutover ended without an error.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CutoverEnd {
    /// The target is the database from now on.
    CutOver,
    /// On the way back: the former source is the database again.
    CutBack,
    /// Nothing was done, since that was all that was wanted.
    Rehearsed,
    /// What an earlier one had left was undone.
    Aborted,
    /// There was nothing to be undone.
    NothingToUndo,
}

/// What was compared once more before writers had to wait.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct EarlyProof {
    /// How often what had changed was compared, each time without what is still to change.
    pub rounds: u32,
    /// The end of the source's log before the last. None where the time was over before anything was read.
    pub position: Option<Position>,
    /// Chunks that were read, since they were touched since their last proof or have none, and are equal;
    /// each as often as it was.
    pub read_chunks: u64,
    /// Their rows.
    pub read_rows: u64,
    /// Chunks that nothing touched since they were proven before, and were not read.
    pub kept_chunks: u64,
    /// Their rows.
    pub kept_rows: u64,
    /// What was not compared, table by table; the rows by an estimate.
    pub left_out: Vec<LeftOut>,
}

impl EarlyProof {
    /// Counts what a round has compared.
    pub fn count(&mut self, report: Option<&VerificationReport>) {
        let Some(report) = report else { return };
        self.position = Some(report.begun_position.clone());
        let is_first = self.rounds == 0;
        self.rounds += 1;
        for table in &report.tables {
            let kept = table.taken_over.as_ref();
            let (kept_chunks, kept_rows) = kept.map_or((0, 0), |kept| (kept.units, kept.rows));
            self.read_chunks += table.equal_units - kept_chunks;
            self.read_rows += table.rows - kept_rows;
            if is_first {
                self.kept_chunks += kept_chunks;
                self.kept_rows += kept_rows;
            }
        }
    }
}

/// What was compared once more while writers waited.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct FinalProof {
    /// Rows count that changed behind this position: where the cutover began to follow the log.
    pub since: Option<Position>,
    /// How many did: each once, but for those that have no key.
    pub changed_rows: u64,
    /// Those of them that were compared, and are the same on both sides.
    pub compared_rows: u64,
    /// What was not, table by table.
    pub left_out: Vec<LeftOut>,
}

/// What of a table was not compared.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LeftOut {
    /// Its qualified name.
    pub table: String,
    /// Rows that are known to have changed, or to be there.
    pub rows: u64,
    /// Why.
    pub why: String,
}

/// What a cutover did.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct CutoverReport {
    /// How it ended.
    pub end: CutoverEnd,
    /// What was carried out, in order.
    pub steps: Vec<CutoverStep>,
    /// How long writers were expected to wait, from the fence to the end of the switch; without the
    /// operator's command, whose time nobody knows.
    pub predicted_pause_ms: Option<f64>,
    /// How long they waited, likewise, but with the command.
    pub pause_ms: Option<f64>,
    /// What was compared before they had to; None where that was not wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub early_proof: Option<EarlyProof>,
    /// What was compared while they waited; None where that was not wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub final_proof: Option<FinalProof>,
    /// Whether every row of every table was proven equal by one or the other; None where nothing was
    /// compared before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub covered: Option<bool>,
    /// Everything that the source ever committed is before this position, and on the target.
    pub position: Option<Position>,
    /// What is not as one may expect, and was accepted.
    pub findings: Vec<Finding>,
    /// How the source can be written to again, once that is wanted.
    pub lift: Option<String>,
    /// What to do next.
    pub next: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_opposite_of_the_opposite_is_the_same() {
        assert_eq!(opposite("shop"), "shop_back");
        assert_eq!(opposite("shop_back"), "shop");
    }
}
