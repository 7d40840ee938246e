//! Who is at work on a migration: locks that live as long as the connections that hold them.
//!
//! In: a session and the migration's name. Out: the lock, or whose connection has it. The control
//! session holds the migration's lock; every other session holds one whose name ends in its own
//! number, by which they are told from those of other migrations and of other programs. The epoch, not
//! the lock, is what a commit rests on.

use std::time::{Duration, Instant};

use mysql_async::prelude::FromValue;
use sha2::{Digest, Sha256};

use super::error::attempting;
use super::literal::text;
use super::session::{Session, field};
use super::{Remembered, TargetError};
use crate::model::Failure;

/// How long a connection of a process that was just killed may keep its lock.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a session may take to end: it undoes what it was doing.
const ENDING: Duration = Duration::from_secs(60);

/// How often the lock is tried meanwhile.
const INTERVAL: Duration = Duration::from_millis(200);

/// `ER_NO_SUCH_THREAD`: the connection has ended by itself.
const GONE: u16 = 1094;

/// The lock's name, of at most 64 characters (manual, "Locking Functions").
fn lock_name(migration: &str) -> String {
    let digest = Sha256::digest(migration.as_bytes());
    let hex: String = digest[..16].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("dunlin {hex}")
}

/// Takes the migration's lock, waiting a little for the connection of a process that was just killed.
pub(super) async fn take(
    control: &mut Session,
    name: &str,
    remembered: &Remembered,
) -> Result<(), Failure> {
    let locking = || attempting("lock the migration on the target");
    let lock = text(&lock_name(name));
    let since = Instant::now();
    let mut ticks = tokio::time::interval(INTERVAL);
    loop {
        ticks.tick().await;
        let rows = control.rows(format!("SELECT GET_LOCK({lock}, 0), IS_USED_LOCK({lock})")).await;
        let rows = rows.map_err(locking())?;
        let row = rows.first().ok_or(TargetError::Answer { column: 0 })?;
        let (taken, holder): (Option<u8>, Option<u32>) = (field(row, 0)?, field(row, 1)?);
        if taken == Some(1) {
            remembered.memory().connections.insert(control.id());
            return Ok(());
        }
        let own = |held: &u32| remembered.memory().connections.contains(held);
        if let Some(connection) = holder.filter(own) {
            end(control, connection).await?;
        }
        if since.elapsed() >= PATIENCE {
            let (name, connection) = (name.to_owned(), holder.unwrap_or_default());
            return Err(TargetError::AlreadyRunning { name, connection }.into());
        }
    }
}

/// Lets go of the migration's lock, however often it was taken.
pub(super) async fn let_go(control: &mut Session, name: &str) -> Result<(), Failure> {
    let lock = text(&lock_name(name));
    loop {
        let rows = control.rows(format!("SELECT RELEASE_LOCK({lock})")).await;
        let rows = rows.map_err(attempting("let go of the migration on the target"))?;
        let released: Option<u8> =
            field(rows.first().ok_or(TargetError::Answer { column: 0 })?, 0)?;
        if released != Some(1) {
            return Ok(());
        }
    }
}

/// Whose connection holds the migration's lock.
pub(super) async fn holder(control: &mut Session, name: &str) -> Result<Option<u32>, Failure> {
    let lock = text(&lock_name(name));
    let rows = control.rows(format!("SELECT IS_USED_LOCK({lock})")).await;
    let rows = rows.map_err(attempting("look who is at work on the migration"))?;
    Ok(field(rows.first().ok_or(TargetError::Answer { column: 0 })?, 0)?)
}

/// Marks a session as one of the migration's.
pub(super) async fn mark(session: &mut Session, name: &str) -> Result<(), Failure> {
    let statement =
        format!("DO GET_LOCK(CONCAT({}, ' ', CONNECTION_ID()), 0)", text(&lock_name(name)));
    session.execute(statement).await.map_err(attempting("mark a session of the target"))?;
    Ok(())
}

/// Ends all marked sessions: those of a process that lost the migration's lock. Returns once they are
/// gone: what a statement was doing to tables is done or undone by then.
pub(super) async fn end_others(control: &mut Session, name: &str) -> Result<(), Failure> {
    let query = format!(
        "SELECT id FROM information_schema.processlist WHERE IS_USED_LOCK(CONCAT({}, ' ', id)) = id",
        text(&lock_name(name))
    );
    let rows = control.rows(query).await;
    let rows = rows.map_err(attempting("look for sessions of the process that was here before"))?;
    let others = rows.iter().map(|row| field(row, 0)).collect::<Result<Vec<u32>, _>>()?;
    for other in &others {
        end(control, *other).await?;
    }
    let mut ticks = tokio::time::interval(INTERVAL);
    for other in others {
        let own = format!("CONCAT({}, ' ', {other})", text(&lock_name(name)));
        let query = format!("SELECT IS_USED_LOCK({own}) IS NULL");
        let since = Instant::now();
        while !one::<bool>(control, &query).await? {
            if since.elapsed() >= ENDING {
                return Err(TargetError::StillThere { connection: other }.into());
            }
            ticks.tick().await;
        }
    }
    Ok(())
}

async fn one<T: FromValue>(control: &mut Session, query: &str) -> Result<T, Failure> {
    let rows = control.rows(query).await;
    let rows = rows.map_err(attempting("look for sessions of the process that was here before"))?;
    Ok(field(rows.first().ok_or(TargetError::Answer { column: 0 })?, 0)?)
}

async fn end(control: &mut Session, connection: u32) -> Result<(), Failure> {
    match control.execute(format!("KILL {connection}")).await {
        Err(mysql_async::Error::Server(error)) if error.code == GONE => Ok(()),
        other => {
            let act = "end the sessions of the process that was here before";
            other.map_err(attempting(act))?;
            Ok(())
        }
    }
}
