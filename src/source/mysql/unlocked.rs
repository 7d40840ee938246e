//! Snapshots of MySQL where no lock may be had, and between which positions they lie.
//!
//! In: an order, as for a snapshot under a lock. Out: connections in transactions that see everything
//! that the bracket's `low` contains, and nothing that its `high` does not.
//!
//! `low` is `@@gtid_executed`, read before the transactions begin: a name gets into it after the rows
//! of its transaction can be seen (`MYSQL_BIN_LOG::process_commit_stage_queue`; manual, "GTID Life
//! Cycle"). So there may be more to see than it says. But a transaction owns its name from before it
//! is written to the log, and that is before its rows can be seen, until the moment in which it is
//! executed (`Gtid_state::update_gtids_impl`). Who reads first what is owned and then what is executed
//! has the name of everything that could be seen until then: that is `high`. The end of the log would
//! not do as `low`, since a transaction is in the log before it can be seen.
//!
//! Where `low` and `high` are equal the snapshot is exact, and all its transactions see one moment, as
//! under a lock. A source that does not commit without pause is in such a moment soon, so it is looked
//! for a number of times. Where none comes, one connection reads alone: all that is read is of one
//! moment, in which unique values are unique, though nobody knows which one it is in the bracket. It is
//! a few milliseconds wide, and rule 2 of the design sees to what was committed in it: it is applied
//! so that a repetition does no harm, and a table of which that cannot be said, since it has no key,
//! or the log has only parts of its rows, or they change without a word in the log, is copied again
//! under a later snapshot if one of its rows was changed there.
//!
//! A name may be given up by its owner, and what never comes would be waited for; so the snapshot counts
//! only once all of `high` is executed that is still owned. A transaction that was prepared (XA) before `low` and commits
//! after it has its rows in the log before `low`, where nobody looks: there must be none, before `low`
//! is read and once the transactions have begun. One that is prepared after the first look and commits
//! before the second stops the stream, which finds no rows of it.

use std::time::{Duration, Instant};

use futures_util::future::try_join_all;

use super::catalog::{self, Positioning};
use super::control::Control;
use super::error::{SourceError, WITH_A_LOCK};
use super::snapshot::{self, Order};
use crate::connect::mysql::Wire;
use crate::connect::mysql::quote::quote_name;
use crate::model::report::Finding;
use crate::model::{Bracket, Code, Failure, Position, Table};
use crate::observe::failpoint;

/// So often a moment without commits is looked for.
const ATTEMPTS: u32 = 50;

/// How long what is in the log is left alone to be committed.
const PAUSE: Duration = Duration::from_millis(100);

/// Takes a snapshot.
pub(super) async fn take(order: &Order<'_>) -> Result<(Vec<Wire>, Bracket), Failure> {
    if let Some(why) = obstacle(order.positioning) {
        return Err(SourceError::LockNeeded { why }.into());
    }
    let Order { site, control, .. } = order;
    let connecting = (0..order.connections.max(1)).map(|_| snapshot::session(site, control));
    let mut wires = try_join_all(connecting).await?;
    for _ in 0..ATTEMPTS {
        let bracket = begin_after(low(control).await?, control, &mut wires).await?;
        if bracket.low == bracket.high {
            snapshot::mark(&mut wires).await?;
            return Ok((wires, bracket));
        }
    }
    tracing::warn!(
        "the source commits without pause: the snapshot is read over one connection, and what \
         committed while it was taken is applied so that a repetition does no harm"
    );
    wires.truncate(1);
    let low = low(control).await?;
    failpoint::reached("snapshot-low-read");
    let Bracket { low, high } = begin_after(low, control, &mut wires).await?;
    let high = committed(high, order).await?;
    snapshot::mark(&mut wires).await?;
    Ok((wires, Bracket { low, high }))
}

/// What can be seen for certain.
async fn low(control: &Control) -> Result<Position, Failure> {
    snapshot::refuse_prepared(control, Positioning::Gtid).await?;
    catalog::position(control, Positioning::Gtid).await
}

/// Begins the transactions, and says what they may see.
async fn begin_after(
    low: Position,
    control: &Control,
    wires: &mut [Wire],
) -> Result<Bracket, Failure> {
    snapshot::begin(wires).await?;
    snapshot::refuse_prepared(control, Positioning::Gtid).await?;
    Ok(Bracket { low, high: catalog::named(control).await? })
}

/// Waits until all that `high` contains is committed, but for what was given up.
async fn committed(mut high: Position, order: &Order<'_>) -> Result<Position, Failure> {
    let begun = Instant::now();
    let mut told = false;
    loop {
        high = without_given_up(&high, &catalog::named(order.control).await?);
        if catalog::position(order.control, order.positioning).await?.reaches(&high) {
            return Ok(high);
        }
        if begun.elapsed() >= order.patience {
            return Err(SourceError::Uncommitted.into());
        }
        if !std::mem::replace(&mut told, true) {
            tracing::info!("waiting until everything that has a name is committed");
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// What is neither owned any more nor executed never could be seen.
fn without_given_up(high: &Position, named: &Position) -> Position {
    match (high, named) {
        (Position::MySql(high), Position::MySql(named)) => {
            Position::MySql(high.without(&high.without(named)))
        }
        _ => high.clone(),
    }
}

/// Why a server cannot do without a lock.
fn obstacle(positioning: Positioning) -> Option<&'static str> {
    match positioning {
        Positioning::Gtid | Positioning::MariaGtid => None,
        Positioning::File => Some(
            "gtid_mode is not ON, and where the log ends does not say which transactions can be seen",
        ),
    }
}

/// What has to be known, or to be otherwise, before a migration begins without a lock.
pub(super) fn findings(positioning: Positioning, tables: &[Table]) -> Vec<Finding> {
    let block = |object: String, seen: String| {
        Finding::block(Code::LockNeeded, object, format!("--lock none: {seen}"))
    };
    if let Some(why) = obstacle(positioning) {
        return vec![block("source".to_owned(), why.to_owned()).with_hint(WITH_A_LOCK)];
    }
    let seen = "no lock is taken: where a row changes while the snapshot is taken, the log must have it \
                whole (binlog_row_image = FULL in every session), or its table is copied again; so is \
                one whose foreign keys change rows without a word in the log";
    let mut findings = vec![Finding::warn("UNLOCKED", "source", seen)];
    let keyless = tables.iter().filter(|table| table.primary_key.is_empty());
    findings.extend(keyless.map(|table| {
        let seen = "it has neither a primary key nor a unique key without NULLs, so that nobody can \
                    say whether a change is in its copy already";
        let name = quote_name(&table.name);
        block(format!("table {}", table.name), seen.to_owned())
            .with_fix(format!(
                "ALTER TABLE {name} ADD COLUMN my_row_id bigint unsigned NOT NULL AUTO_INCREMENT \
                 PRIMARY KEY INVISIBLE"
            ))
            .with_hint(format!("or leave it out: --exclude '{}'", table.name))
    }));
    findings
}
