//! Snapshots of MariaDB where no lock may be had.
//!
//! In: an order, as for a snapshot under a lock. Out: connections in transactions that see exactly
//! what the returned position contains.
//!
//! MariaDB begins a snapshot and notes how far the log is in one step, between which no commit comes
//! (`ha_start_consistent_snapshot` in handler.cc, under `LOCK_commit_ordered`), and tells the place as
//! `binlog_snapshot_file` and `binlog_snapshot_position`. Not so in sessions that do not write to the
//! binary log, which are told how far the log is by now. So these sessions are left as they are. The price is that locks on the tables that are read stay until
//! the snapshot ends (`leave_log` in [`snapshot`](super::snapshot)), which `check` says.
//!
//! Each connection has a place of its own. Where all are the same, all see one moment; where the
//! source commits in between they are begun anew, and after some attempts one reads alone, which is
//! as exact. A transaction that was prepared (XA) before the place and commits after it has its rows in
//! the log before, where nobody looks: there must be none, before the snapshot and behind its
//! beginning.

use futures_util::future::try_join_all;

use super::catalog::{self, Positioning};
use super::control::Control;
use super::error::SourceError;
use super::snapshot::{self, Order};
use crate::connect::mysql::Wire;
use crate::connect::mysql::quote::quote_literal;
use crate::model::report::Finding;
use crate::model::{Bracket, Failure, Position};

/// So often connections that agree are looked for.
const ATTEMPTS: u32 = 50;

/// A place counts that was told so often in a row.
const TIMES_TOLD: u32 = 4;

/// So often a connection is asked for its place.
const MOST_ASKED: u32 = 40;

/// Takes a snapshot.
pub(super) async fn take(order: &Order<'_>) -> Result<(Vec<Wire>, Bracket), Failure> {
    let Order { site, control, .. } = order;
    let flavour = control.version().flavour;
    let connecting = (0..order.connections.max(1)).map(|_| snapshot::plain(site, flavour));
    let mut wires = try_join_all(connecting).await?;
    for _ in 0..ATTEMPTS {
        if let Some(position) = begin(&mut wires, control).await? {
            return Ok((wires, Bracket::exact(position)));
        }
    }
    tracing::warn!(
        "the source commits without pause: connections do not agree on a moment, and the snapshot is \
         read over one"
    );
    wires.truncate(1);
    let position = begin(&mut wires, control).await?;
    let position = position.ok_or(SourceError::Answer { asked: "binlog_snapshot_position" })?;
    Ok((wires, Bracket::exact(position)))
}

/// Begins the transactions. Returns the position at which they see the source, where that is one.
async fn begin(wires: &mut [Wire], control: &Control) -> Result<Option<Position>, Failure> {
    snapshot::refuse_prepared(control, Positioning::MariaGtid).await?;
    snapshot::begin(wires).await?;
    let mut agreed = None;
    for wire in wires.iter_mut() {
        let place = place(wire).await?;
        if place.is_none() || agreed.as_ref().is_some_and(|agreed| place.as_ref() != Some(agreed)) {
            return Ok(None);
        }
        agreed = place;
    }
    snapshot::refuse_prepared(control, Positioning::MariaGtid).await?;
    let Some((file, offset)) = agreed else { return Ok(None) };
    snapshot::mark(wires).await?;
    let text = format!("SELECT BINLOG_GTID_POS({}, {offset})", quote_literal(&file));
    let list = control.one(&text, "read which GTIDs a place of the log contains").await?;
    let list = list.maybe(0).ok_or(SourceError::Answer { asked: "BINLOG_GTID_POS" })?;
    Ok(Some(catalog::maria_list(&list)?))
}

/// How far the log was when the transaction of a connection began: file and offset. None where the server
/// does not say the same often enough.
///
/// The server hands it out through variables that all sessions share (`TC_LOG_BINLOG::set_status_variables`
/// in log.cc): one that asks at the same moment, as a monitor may, puts its own in their place. So
/// connections are asked one after the other, and each until it has said the same several times in a row.
async fn place(wire: &mut Wire) -> Result<Option<(String, u64)>, Failure> {
    let (mut said, mut times) = (told_place(wire).await?, 1);
    for _ in 0..MOST_ASKED {
        if times == TIMES_TOLD {
            return Ok(Some(said));
        }
        let again = told_place(wire).await?;
        times = if again == said { times + 1 } else { 1 };
        said = again;
    }
    Ok(None)
}

/// What the server says of it once.
async fn told_place(wire: &mut Wire) -> Result<(String, u64), Failure> {
    let rows = wire.rows("SHOW STATUS LIKE 'binlog_snapshot_%'").await?;
    let value = |name: &str| {
        let is_named = |row: &&Vec<Option<String>>| {
            row.first().cloned().flatten().is_some_and(|found| found.eq_ignore_ascii_case(name))
        };
        rows.iter().find(is_named).and_then(|row| row.get(1).cloned().flatten())
    };
    let file = value("binlog_snapshot_file").filter(|file| !file.is_empty());
    let offset = value("binlog_snapshot_position").and_then(|offset| offset.parse().ok());
    let place = file.zip(offset);
    Ok(place.ok_or(SourceError::Answer { asked: "binlog_snapshot_position" })?)
}

/// What has to be known before a migration begins without a lock.
pub(super) fn findings() -> Vec<Finding> {
    let seen = "no lock is taken for the snapshot: an ALTER TABLE on the source, and what comes behind \
                it, waits until all tables are copied";
    vec![Finding::warn("UNLOCKED", "source", seen)]
}
