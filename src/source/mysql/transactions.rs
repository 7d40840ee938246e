//! The transactions of others that have changed rows when nobody can change any more.
//!
//! In: a session that looks, while another one holds the global read lock. Out: the sessions that have
//! such a transaction open. A server that is read-only refuses COMMIT, but not XA PREPARE, and MySQL not XA
//! COMMIT either: none of them may outlive the fence. InnoDB tells which there are in INNODB_TRX, and
//! shows whoever reads that within 100 ms of the last reader what that one saw (trx0i_s.cc,
//! `CACHE_MIN_IDLE_TIME_NS`): so the session that looks opens a transaction of its own first, and
//! believes no answer that does not hold it. Under the lock no further row can be changed, so what is
//! seen once is all there is. It ends nobody.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::control::Control;
use super::obstacles::{self, Obstacle};
use crate::model::Failure;
use crate::source::fence::FenceError;

/// How often InnoDB is asked.
const LOOK_INTERVAL: Duration = Duration::from_millis(150);

/// Who it is that keeps the answer from being made anew.
const READER: &str =
    "somebody who reads information_schema.INNODB_TRX more often than every 100 ms";

/// What to do about it.
const PAUSE_IT: &str = "have it pause, then run the same command again";

/// The sessions whose transactions have changed rows. `own` is the number of the one that looks, which
/// takes PROCESS.
pub(super) async fn changing(
    control: &Control,
    own: u64,
    patience: Duration,
) -> Result<Vec<Obstacle>, Failure> {
    let doing = "look whose transactions are open";
    control.rows("START TRANSACTION WITH CONSISTENT SNAPSHOT", doing).await?;
    let changed = up_to_date(control, own, patience).await;
    control.rows("ROLLBACK", doing).await?;
    let changed = changed?;
    let mut sessions = obstacles::sessions(control).await?;
    sessions.retain(|session| changed.contains_key(&session.id));
    Ok(sessions)
}

/// How many rows each session's transaction changed, where it did, as InnoDB says it once ours is open.
async fn up_to_date(
    control: &Control,
    own: u64,
    patience: Duration,
) -> Result<HashMap<u64, u64>, Failure> {
    let text = "SELECT trx_mysql_thread_id, trx_rows_modified FROM information_schema.INNODB_TRX";
    let since = Instant::now();
    let mut ticks = tokio::time::interval(LOOK_INTERVAL);
    loop {
        ticks.tick().await;
        let rows = control.rows(text, "look whose transactions are open").await?;
        let mut all: HashMap<u64, u64> =
            rows.iter().map(|row| (row.number(0), row.number(1))).collect();
        if all.contains_key(&own) {
            all.retain(|_, changed| *changed > 0);
            return Ok(all);
        }
        if since.elapsed() >= patience {
            let who = READER.to_owned();
            return Err(FenceError::HeldOpen { who, remedy: PAUSE_IT }.into());
        }
    }
}
