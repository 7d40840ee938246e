//! Keeps writers out of a MySQL or MariaDB server, so that its binary log comes to an end.
//!
//! In: nothing but the server: what is fenced is all of it. Out: a session of our own that holds the
//! global read lock (`FLUSH TABLES WITH READ LOCK`), under which nobody can change a row or commit. It
//! dies with our process, and the server ends it where the process stops working. The same session
//! then makes the server read-only before it lets go. So that this succeeds is proof that the lock was
//! held until then; and whoever waited, or has a transaction open, is refused afterwards.
//!
//! MySQL is made `super_read_only`, which holds for every account and outlasts a restart. MariaDB
//! knows `read_only` alone: accounts with READ ONLY ADMIN (or SUPER) still write, and a restart lifts it.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::time::MissedTickBehavior;

use super::catalog::{self, Positioning, Settings};
use super::control::{Control, TextRow};
use super::{MySqlSource, PROGRAM};
use crate::connect::mysql::privileges::grant;
use crate::connect::mysql::{Flavour, connect};
use crate::model::report::Finding;
use crate::model::{
    Code, Disposition, Failure, Fault, Halt, Leftover, Manner, Position, SequenceValue,
};
use crate::source::Source;
use crate::source::fence::{FenceOrder, FencedSource, WriteFence};

/// How often it is looked who is in the way.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// How long a fence may be idle beyond the cutover's own limit, before the server opens it.
const SLACK: Duration = Duration::from_secs(2);

/// `ER_LOCK_WAIT_TIMEOUT`.
const LOCK_TIMED_OUT: u16 = 1205;

/// `ER_NO_SUCH_THREAD`.
const NO_SUCH_THREAD: u16 = 1094;

/// What a server that waits for the global read lock says of its sessions.
const WAITING: &str = "Waiting for";

/// Writers cannot be kept out.
#[derive(Debug, thiserror::Error)]
pub enum FenceError {
    /// Somebody does not let go.
    #[error("keep writers out of the source: {who} is in the way")]
    HeldOpen {
        /// Who.
        who: String,
    },
    /// What is to be undone cannot be read.
    #[error("read what a fence left on the source")]
    Left {
        /// Why.
        #[source]
        source: serde_json::Error,
    },
}

impl Fault for FenceError {
    fn disposition(&self) -> Disposition {
        match self {
            FenceError::HeldOpen { .. } => {
                Halt::with(Code::CutoverRefused, "end it (KILL), then run the same command again")
            }
            FenceError::Left { .. } => Halt::with(
                Code::StateUnreadable,
                "use the version of dunlin that began the cutover; on the source, SET GLOBAL \
                 read_only = OFF lets writers in",
            ),
        }
    }
}

/// What makes the server read-only, and takes that back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Seal {
    /// `super_read_only`, kept over a restart.
    MySql,
    /// `read_only`.
    MariaDb,
}

impl Seal {
    fn of(flavour: Flavour) -> Self {
        match flavour {
            Flavour::MySql => Seal::MySql,
            Flavour::MariaDb => Seal::MariaDb,
        }
    }

    fn close(self) -> &'static str {
        match self {
            Seal::MySql => "SET PERSIST super_read_only = ON",
            Seal::MariaDb => "SET GLOBAL read_only = ON",
        }
    }

    /// To be run in order. A setting that is not kept is taken for one that is not to be kept.
    fn open(self) -> &'static [&'static str] {
        match self {
            Seal::MySql => &[
                "SET GLOBAL super_read_only = OFF",
                "SET GLOBAL read_only = OFF",
                "RESET PERSIST IF EXISTS super_read_only",
            ],
            Seal::MariaDb => &["SET GLOBAL read_only = OFF"],
        }
    }
}

fn refused(seen: impl Into<String>) -> Finding {
    Finding::block(Code::CutoverRefused, "source", seen)
}

impl MySqlSource {
    async fn control_session(&self) -> Result<Control, Failure> {
        Ok(Control::new(connect(&self.shared.endpoint, PROGRAM).await?))
    }

    /// Transactions that are prepared and can be committed at any time, by anybody.
    async fn prepared(&self) -> Result<Option<Finding>, Failure> {
        let asked = self.shared.control.permitted("XA RECOVER", "look for prepared transactions");
        Ok(match asked.await? {
            None => Some(
                Finding::warn(
                    "XA_UNSEEN",
                    "source",
                    "the account may not see whether XA transactions are prepared",
                )
                .with_hint("GRANT XA_RECOVER_ADMIN, or make sure that XA RECOVER shows none"),
            ),
            Some(rows) if rows.is_empty() => None,
            Some(rows) => Some(
                refused(format!("{} XA transactions are prepared", rows.len()))
                    .with_hint("commit them or roll them back: XA RECOVER lists them"),
            ),
        })
    }
}

impl FencedSource for MySqlSource {
    type Fence = ReadLock;

    async fn fence_findings(&self, order: &FenceOrder) -> Result<Vec<Finding>, Failure> {
        let control = &self.shared.control;
        let flavour = control.version().flavour;
        let mut findings = Vec::new();
        if !matches!(order.manner, None | Some(Manner::MysqlReadOnly)) {
            let seen = "this fence is none of MySQL or MariaDB";
            findings.push(refused(seen).with_hint("use --fence mysql-read-only"));
        }
        if Settings::read(control).await?.on("read_only") {
            let seen = "it is read-only already, so what is written to it comes from elsewhere";
            findings
                .push(refused(seen).with_hint("cut over from the server that takes the writes"));
        }
        let held = control.privileges().await?;
        let doing = "read our own account";
        let account = control.one("SELECT CURRENT_USER()", doing).await?.text(0);
        let (locking, sealing): (&[&str], &[&str]) = match flavour {
            Flavour::MySql => (&["RELOAD", "FLUSH_TABLES"], &["SYSTEM_VARIABLES_ADMIN"]),
            Flavour::MariaDb => (&["RELOAD"], &["READ ONLY ADMIN", "READ_ONLY ADMIN", "SUPER"]),
        };
        for wanted in [locking, sealing] {
            if !held.any(wanted) {
                let seen = format!("the account lacks {}", wanted.join(" or "));
                findings.push(refused(seen).with_fix(grant(wanted[0], "*.*", &account)));
            }
        }
        findings.extend(self.prepared().await?);
        Ok(findings)
    }

    async fn fence(&self, order: FenceOrder) -> Result<ReadLock, Failure> {
        let (locker, guard) = (self.control_session().await?, self.control_session().await?);
        let (patience, idle) = (order.longest.as_secs().max(1), (order.longest + SLACK).as_secs());
        let settings = format!("lock_wait_timeout = {patience}, wait_timeout = {idle}");
        let doing = "prepare the fence on the source";
        locker.rows(&format!("SET SESSION {settings}"), doing).await?;
        let id = locker.one("SELECT CONNECTION_ID()", doing).await?.number(0);
        Ok(ReadLock {
            seal: Seal::of(locker.version().flavour),
            source: self.clone(),
            locker,
            guard,
            id,
            positioning: self.shared.positioning,
            grace: order.grace,
        })
    }

    async fn unfence(&self, left: &Leftover) -> Result<(), Failure> {
        let seal: Seal = serde_json::from_value(left.handle.clone())
            .map_err(|source| FenceError::Left { source })?;
        for statement in seal.open() {
            self.shared.control.rows(statement, "let writers in on the source").await?;
        }
        Ok(())
    }

    /// Its log tells of every transaction by itself.
    fn hurry(&self) {}
}

/// One session holds the global read lock.
pub struct ReadLock {
    source: MySqlSource,
    locker: Control,
    /// Looks who is in the way, and ends the other session where that is needed.
    guard: Control,
    id: u64,
    seal: Seal,
    positioning: Positioning,
    grace: Duration,
}

/// A session that is at a statement, and does not wait for a lock itself.
fn is_in_the_way(row: &TextRow) -> bool {
    let command = row.named("Command").unwrap_or_default();
    let resting = ["Sleep", "Daemon", "Binlog Dump", "Binlog Dump GTID", "Connect", "Killed"];
    let waits = row.named("State").is_some_and(|state| state.starts_with(WAITING));
    let system = row.named("User").is_some_and(|user| user == "system user");
    !resting.contains(&command.as_str()) && !waits && !system
}

impl ReadLock {
    /// Ends statements that the lock still waits for. Returns one of them.
    async fn clear(&self, asked: &mut HashSet<u64>) -> Result<Option<String>, Failure> {
        let rows = self.guard.rows("SHOW FULL PROCESSLIST", "look who is in the way").await?;
        let mut first = None;
        for row in rows.iter().filter(|row| is_in_the_way(row)) {
            let id = row.named("Id").and_then(|id| id.parse().ok()).unwrap_or_default();
            let own = self.guard.one("SELECT CONNECTION_ID()", "tell our own session").await?;
            if id == self.id || id == own.number(0) || !asked.insert(id) {
                continue;
            }
            let who = format!("process {id} of {}", row.named("User").unwrap_or_default());
            match self.guard.rows(&format!("KILL {id}"), "end a session of the source").await {
                Ok(_) => {
                    tracing::warn!(%who, "its session is ended: it was in the way of the fence")
                }
                Err(error) => tracing::warn!(%who, cause = %error, "it cannot be ended"),
            }
            first.get_or_insert(who);
        }
        Ok(first)
    }
}

impl WriteFence for ReadLock {
    fn left(&self) -> Leftover {
        Leftover {
            handle: serde_json::to_value(self.seal).unwrap_or_default(),
            lift: format!("on the source: {}", self.seal.open().join("; ")),
        }
    }

    async fn close(&mut self) -> Result<(), Failure> {
        let (since, mut asked, mut who) = (Instant::now(), HashSet::new(), None);
        let mut ticks = tokio::time::interval(LOOK_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let locking =
            self.locker.rows("FLUSH TABLES WITH READ LOCK", "lock all tables of the source");
        tokio::pin!(locking);
        let locked = loop {
            tokio::select! {
                locked = &mut locking => break locked,
                _ = ticks.tick(), if since.elapsed() >= self.grace => {
                    who = self.clear(&mut asked).await?.or(who);
                }
            }
        };
        match locked {
            Ok(_) => Ok(()),
            Err(error) if error.number() == Some(LOCK_TIMED_OUT) => {
                let who = who.unwrap_or_else(|| "a session that holds a lock".to_owned());
                Err(FenceError::HeldOpen { who }.into())
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn end(&mut self) -> Result<Position, Failure> {
        catalog::position(&self.guard, self.positioning).await
    }

    async fn arm(&mut self) -> Result<(), Failure> {
        // It takes a single statement.
        std::future::ready(Ok(())).await
    }

    async fn sequences(&mut self) -> Result<Vec<SequenceValue>, Failure> {
        // To take a number is to write, for which nobody has a lock.
        self.source.sequences().await
    }

    async fn seal(&mut self) -> Result<(), Failure> {
        let doing = "have the source refuse writes";
        self.locker.rows(self.seal.close(), doing).await?;
        self.locker.rows("UNLOCK TABLES", doing).await?;
        Ok(())
    }

    async fn open(self) -> Result<(), Failure> {
        // It may be waiting for the lock, where the server does not notice that its client is gone.
        let end = format!("KILL {}", self.id);
        let ended = self.guard.rows(&end, "end the session of the fence");
        match ended.await {
            // It has ended by itself.
            Err(error) if error.number() != Some(NO_SUCH_THREAD) => return Err(error.into()),
            Ok(_) | Err(_) => {}
        }
        // It can still seal until it is gone.
        let mut ticks = tokio::time::interval(LOOK_INTERVAL);
        loop {
            ticks.tick().await;
            let rows = self.guard.rows("SHOW PROCESSLIST", "wait for the end of the fence").await?;
            let id = self.id.to_string();
            if !rows.iter().any(|row| row.named("Id").as_ref() == Some(&id)) {
                return Ok(());
            }
        }
    }
}
