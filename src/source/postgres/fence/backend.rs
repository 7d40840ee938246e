//! The session of a fence, told from every other, and its end.
//!
//! In: a session. Out: by what it is known on its server, also once our process is gone; and the
//! certainty that it is no more. While it is there, a COMMIT of it may still be under way: sent before
//! we were killed, or waiting for a synchronous standby. Until then nobody can know whether the
//! fence is sealed.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::connect::attempting;
use crate::connect::postgres::Client;
use crate::model::{Code, Disposition, Failure, Fault, Halt};

/// How often it is looked whether a session has ended.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// How long a session may take to end once it is told to.
const PATIENCE: Duration = Duration::from_secs(8);

/// A session of a Postgres server. Numbers are used again, so its beginning is known too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backend {
    /// Its number.
    pub pid: i32,
    /// Microseconds since 1970, as the server counts them.
    since: i64,
}

/// A session does not end.
#[derive(Debug, thiserror::Error)]
#[error("end session {pid} of the source, which belongs to a cutover")]
pub struct Lingers {
    pid: i32,
}

impl Fault for Lingers {
    fn disposition(&self) -> Disposition {
        let pid = self.pid;
        let hint = format!(
            "see in pg_stat_activity what it waits for; SELECT pg_terminate_backend({pid}) on the \
             source, then run the same command again"
        );
        Halt::with(Code::CutoverRefused, hint)
    }
}

impl Backend {
    /// A session of our own.
    ///
    /// # Errors
    ///
    /// Where the server does not answer.
    pub async fn of(session: &Client) -> Result<Self, Failure> {
        let sql = include_str!("../../../../sql/postgres/own_backend.sql");
        let row = session.query_one(sql, &[]).await;
        let row = row.map_err(attempting("tell the session of the fence"))?;
        Ok(Backend { pid: row.get("pid"), since: row.get("since") })
    }

    /// Ends it, unless it has ended.
    ///
    /// # Errors
    ///
    /// Where it is still there, or that cannot be known.
    pub async fn end(&self, client: &Client) -> Result<(), Failure> {
        let ended = async {
            let mut ticks = tokio::time::interval(LOOK_INTERVAL);
            loop {
                ticks.tick().await;
                let sql = include_str!("../../../../sql/postgres/end_backend.sql");
                let rows = client.query(sql, &[&self.pid, &self.since]).await;
                if rows.map_err(attempting("end the session of the fence"))?.is_empty() {
                    return Ok(());
                }
            }
        };
        let patience = tokio::time::timeout(PATIENCE, ended).await;
        patience.unwrap_or_else(|_| Err(Lingers { pid: self.pid }.into()))
    }
}
