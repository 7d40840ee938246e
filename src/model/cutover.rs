//! A cutover, as its order, its state and its report describe it.
//!
//! What only an engine understands is opaque in here. Durations are in milliseconds.

use serde::{Deserialize, Serialize};

use super::position::Position;
use super::report::Finding;

/// How writers are kept from the source.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Manner {
    /// Every table is locked, by a session that dies with its process.
    TableLocks,
    /// All of a MySQL or MariaDB server is locked, and then made read-only.
    MysqlReadOnly,
}

/// How far a cutover has come, recorded before it goes further. What it changed for longer than a
/// session lasts can be undone by it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CutoverRecord {
    /// The epoch of the process that made it.
    pub epoch: u64,
    /// How far it has come.
    pub stage: CutoverStage,
    /// What outlives the process; None where nothing does.
    pub left: Option<Leftover>,
}

/// What a cutover changed on the source for longer than its process lives.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Leftover {
    /// What the source needs to undo it.
    pub handle: serde_json::Value,
    /// How the operator can undo it: `on the source: STATEMENT`.
    pub lift: String,
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
    /// Nothing was done, since that was all that was wanted.
    Rehearsed,
    /// What an earlier one had left was undone.
    Aborted,
    /// There was nothing to be undone.
    NothingToUndo,
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
    /// Everything that the source ever committed is before this position, and on the target.
    pub position: Option<Position>,
    /// What is not as one may expect, and was accepted.
    pub findings: Vec<Finding>,
    /// How the source can be written to again, once that is wanted.
    pub lift: Option<String>,
    /// What to do next.
    pub next: String,
}
