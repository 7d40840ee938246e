//! Snapshots of one moment on several connections, and the exact position of that moment, under a
//! lock. Where none may be had, they are taken in [`unlocked`](super::unlocked), on MariaDB in
//! [`agreed`](super::agreed).
//!
//! In: an endpoint and how many connections are to see the moment. Out: the connections, each in a
//! transaction that sees exactly what the returned position contains.
//!
//! All transactions begin while one connection keeps every commit out, by `FLUSH TABLES WITH READ LOCK`
//! or, where the account may not, by locking each wanted table. Under either no transaction that the
//! server's GTID set has is still invisible, which is not so without. The lock waits for running
//! statements and makes later ones wait behind it, so an attempt is short, and there is a pause
//! before the next.
//!
//! MariaDB could do without, but not in sessions that give up locks on tables once they are read, as
//! ours. So the lock is taken there too, and the position is asked for under it.

use std::time::{Duration, Instant};

use futures_util::future::try_join_all;

use super::catalog::{self, Positioning};
use super::control::{Control, TextRow, is_denied};
use super::error::SourceError;
use super::site::Site;
use crate::connect::mysql::quote::quote_name;
use crate::connect::mysql::{Flavour, Wire, WireError};
use crate::model::{Bracket, Failure, TableName};

/// How long one attempt to lock keeps the source's writers waiting at most.
const ATTEMPT_S: u64 = 2;

/// How long the lock may be held. Milliseconds are needed; but where the network fails meanwhile the
/// server does not hear of it, and would keep its writers waiting for hours.
const LONGEST_HELD_S: u64 = 20;

/// How long they are left alone before the next.
const PAUSE: Duration = Duration::from_secs(3);

/// Under it every chunk is read; going back to it gives up the locks on its table.
pub(super) const SAVEPOINT_NAME: &str = "dunlin";

/// `ER_LOCK_WAIT_TIMEOUT`.
const LOCK_TIMED_OUT: u16 = 1205;

/// What a snapshot is to be taken of.
pub(super) struct Order<'a> {
    pub(super) site: &'a Site,
    pub(super) control: &'a Control,
    pub(super) positioning: Positioning,
    /// Connections that are to see it.
    pub(super) connections: usize,
    /// How long to wait for the lock in all.
    pub(super) patience: Duration,
    /// The tables that are wanted, to be locked where not all can be.
    pub(super) tables: Vec<TableName>,
}

/// Takes a snapshot.
pub(super) async fn take(order: &Order<'_>) -> Result<(Vec<Wire>, Bracket), Failure> {
    let connecting = (0..order.connections.max(1)).map(|_| session(order.site, order.control));
    let mut wires = try_join_all(connecting).await?;
    let mut locker = session(order.site, order.control).await?;
    lock(order, &mut locker).await?;
    begin(&mut wires).await?;
    let position = catalog::position(order.control, order.positioning).await?;
    refuse_prepared(order.control, order.positioning).await?;
    // Fails where the server ended the session, and its lock with it, before this moment.
    locker.execute("UNLOCK TABLES").await?;
    locker.close().await?;
    mark(&mut wires).await?;
    Ok((wires, Bracket::exact(position)))
}

/// What is prepared now, and can commit only once the lock is gone, has its rows in the log before the
/// snapshot, which does not show them. Where they cannot be seen, GTIDs tell later of one that was not
/// followed from its beginning; a place in a file does not.
pub(super) async fn refuse_prepared(
    control: &Control,
    positioning: Positioning,
) -> Result<(), Failure> {
    match control.permitted("XA RECOVER", "look for prepared transactions").await? {
        Some(rows) if !rows.is_empty() => Err(SourceError::Prepared { count: rows.len() }.into()),
        None if positioning == Positioning::File => Err(SourceError::PreparedUnseen.into()),
        Some(_) | None => Ok(()),
    }
}

/// A connection on which rows are read.
pub(super) async fn session(site: &Site, control: &Control) -> Result<Wire, Failure> {
    let mut wire = plain(site, control.version().flavour).await?;
    if control.version().flavour == Flavour::MariaDb {
        leave_log(&mut wire).await?;
    }
    Ok(wire)
}

/// The same, on MariaDB without giving up locks.
pub(super) async fn plain(site: &Site, flavour: Flavour) -> Result<Wire, Failure> {
    let mut wire = site.wire().await?;
    wire.execute(settings(flavour)).await?;
    Ok(wire)
}

/// Has the server give up locks at a savepoint: with its binary log on, MariaDB does so only in
/// sessions that do not write to it (`trans_rollback_to_savepoint` in transaction.cc). Ours write
/// nothing at all.
async fn leave_log(wire: &mut Wire) -> Result<(), WireError> {
    let left = wire.execute("SET SESSION sql_log_bin = 0").await.map(drop);
    match left {
        Err(error) if is_denied(error.server().map(|server| server.number)) => {
            tracing::debug!("the account lacks BINLOG ADMIN: locks stay until the copy is done");
            Ok(())
        }
        left => left,
    }
}

/// One moment for all that is read, and no end by the server for being idle.
fn settings(flavour: Flavour) -> &'static str {
    match flavour {
        Flavour::MySql => {
            "SET SESSION wait_timeout = 31536000, \
             transaction_isolation = 'REPEATABLE-READ'"
        }
        Flavour::MariaDb => {
            "SET SESSION wait_timeout = 31536000, \
             tx_isolation = 'REPEATABLE-READ', idle_transaction_timeout = 0, \
             idle_readonly_transaction_timeout = 0"
        }
    }
}

/// Begins a transaction with a snapshot on each connection, all at once.
pub(super) async fn begin(wires: &mut [Wire]) -> Result<(), WireError> {
    let text = "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY";
    try_join_all(wires.iter_mut().map(|wire| wire.execute(text))).await?;
    Ok(())
}

pub(super) async fn mark(wires: &mut [Wire]) -> Result<(), WireError> {
    let text = format!("SAVEPOINT {SAVEPOINT_NAME}");
    try_join_all(wires.iter_mut().map(|wire| wire.execute(&text))).await?;
    Ok(())
}

/// Keeps commits out, of all tables or of the wanted ones.
async fn lock(order: &Order<'_>, locker: &mut Wire) -> Result<(), Failure> {
    let settings = format!("lock_wait_timeout = {ATTEMPT_S}, wait_timeout = {LONGEST_HELD_S}");
    locker.execute(&format!("SET SESSION {settings}")).await?;
    let begun = Instant::now();
    let mut text = "FLUSH TABLES WITH READ LOCK".to_owned();
    let each = lock_each(&order.tables);
    loop {
        let refused = match locker.execute(&text).await {
            Ok(_) => return Ok(()),
            Err(error) => error,
        };
        match refused.server().map(|server| server.number) {
            code if is_denied(code) && text != each && !order.tables.is_empty() => {
                tracing::warn!("the account may not lock all tables at once: each is locked");
                text.clone_from(&each);
            }
            code if is_denied(code) => {
                let privileges = "RELOAD, or LOCK TABLES on the tables that are copied,";
                return Err(SourceError::LockRefused { privileges }.into());
            }
            Some(LOCK_TIMED_OUT) if begun.elapsed() >= order.patience => {
                return Err(SourceError::HeldUp { holdup: holdup(order.control).await? }.into());
            }
            Some(LOCK_TIMED_OUT) => {
                tracing::info!("the source's tables cannot be locked at present; once more soon");
                tokio::time::sleep(PAUSE).await;
            }
            Some(_) | None => return Err(refused.into()),
        }
    }
}

fn lock_each(tables: &[TableName]) -> String {
    let each: Vec<String> =
        tables.iter().map(|table| format!("{} READ", quote_name(table))).collect();
    format!("LOCK TABLES {}", each.join(", "))
}

/// The statement that runs longest, without its text, which may hold data.
async fn holdup(control: &Control) -> Result<String, Failure> {
    let rows = control.rows("SHOW PROCESSLIST", "find out who holds the snapshot up").await?;
    let seconds = |row: &TextRow| row.named("Time").and_then(|text| text.parse().ok());
    let running = rows.iter().filter(|row| {
        let command = row.named("Command").unwrap_or_default();
        !matches!(command.as_str(), "Sleep" | "Daemon" | "Binlog Dump" | "Binlog Dump GTID")
    });
    let longest = running.max_by_key(|row| seconds(row).unwrap_or(0_i64));
    Ok(match longest {
        Some(row) => format!(
            "process {} of {} has been at a statement for {} seconds",
            row.named("Id").unwrap_or_default(),
            row.named("User").unwrap_or_default(),
            seconds(row).unwrap_or_default()
        ),
        None => "whoever held it up has just ended".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_locked_in_one_statement() {
        let table = |name: &str| TableName { schema: "shop".into(), name: name.into() };
        assert_eq!(
            lock_each(&[table("a"), table("b`")]),
            "LOCK TABLES `shop`.`a` READ, `shop`.`b``` READ"
        );
    }
}
