//! Keeps writers out of a MySQL or MariaDB server, so that its binary log comes to an end.
//!
//! In: nothing but the server: what is fenced is all of it. Out: a session of our own that holds the
//! global read lock (`FLUSH TABLES WITH READ LOCK`), under which nobody can change a row or commit. It
//! dies with our process, and the server ends it where the process stops working. The same session
//! then makes the server read-only before it lets go. So that this succeeds is proof that the lock was
//! held until then; and whoever waited is refused afterwards. A transaction that had changed rows is
//! refused its COMMIT, but not its XA PREPARE: so the sessions that have
//! one are ended under the lock.
//!
//! MySQL is made `super_read_only`, which holds for every account and outlasts a restart. MariaDB
//! knows `read_only` alone: accounts with READ ONLY ADMIN (or SUPER) still write, and a restart lifts it.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::time::MissedTickBehavior;

use super::bypass::Bypass;
use super::catalog::{self, Positioning, Settings};
use super::control::Control;
use super::obstacles::{self, Obstacle};
use super::{MySqlSource, check, transactions};
use crate::connect::mysql::privileges::grant;
use crate::connect::mysql::quote::quote_literal;
use crate::connect::mysql::{Flavour, StatementError};
use crate::model::report::{Finding, Severity};
use crate::model::{
    Code, Disposition, Failure, Fault, Halt, Leftover, Manner, Position, SequenceValue,
};
use crate::observe::failpoint;
use crate::source::Source;
use crate::source::fence::{FenceError, FenceOrder, FencedSource, WriteFence};

/// How often it is looked who is in the way of the lock. Longer than the 100 ms within which InnoDB
/// shows its next reader of INNODB_TRX what the last one saw (trx0i_s.cc, `CACHE_MIN_IDLE_TIME_NS`).
const LOOK_INTERVAL: Duration = Duration::from_millis(150);

/// How often it is looked whether a session that was told to end is gone.
const GONE_INTERVAL: Duration = Duration::from_millis(50);

/// How long a session may take to end once it is told to.
const END_PATIENCE: Duration = Duration::from_secs(8);

/// How long a fence may be idle beyond the cutover's own limit, before the server opens it.
const SLACK: Duration = Duration::from_secs(2);

/// `ER_LOCK_WAIT_TIMEOUT`.
const LOCK_TIMED_OUT: u16 = 1205;

/// `ER_NO_SUCH_THREAD`.
const NO_SUCH_THREAD: u16 = 1094;

/// Who it is that is not found.
const UNSEEN: &str = "a session that cannot be told, such as one that rests with LOCK TABLES,";

/// What to do about a session that cannot be ended.
const END_IT: &str = "end it (KILL), then run the same command again";

/// What lets writers in, whatever else is known.
const LIFT: &str = "on the source, SET GLOBAL read_only = OFF lets writers in";

/// What to do about a source that anybody may have written to.
const GO_ON: &str = "see who has written there since the cutover. Where nobody has, as where MariaDB was only \
                     started anew, SET GLOBAL read_only = ON there, then the same command again; else go on \
                     without a way back: `dunlin complete`";

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

    /// To be run in order: accounts that may write a server that is read-only are let through, as on
    /// MariaDB they are in any case.
    fn let_through(self) -> &'static [&'static str] {
        match self {
            Seal::MySql => &["SET PERSIST read_only = ON", "SET PERSIST super_read_only = OFF"],
            Seal::MariaDb => &["SET GLOBAL read_only = ON"],
        }
    }

    /// As [`Self::open`], without forgetting what is kept over a restart.
    fn admit(self) -> &'static [&'static str] {
        match self {
            Seal::MySql => &["SET GLOBAL super_read_only = OFF", "SET GLOBAL read_only = OFF"],
            Seal::MariaDb => &["SET GLOBAL read_only = OFF"],
        }
    }

    /// What opens it besides.
    fn until(self) -> Option<&'static str> {
        match self {
            Seal::MySql => None,
            Seal::MariaDb => {
                Some("a restart of its server, unless its configuration says read_only = 1")
            }
        }
    }

    /// To be run in order. A setting that is not kept is taken for one that is not to be kept.
    fn open(self) -> &'static [&'static str] {
        match self {
            Seal::MySql => &[
                "SET GLOBAL super_read_only = OFF",
                "SET GLOBAL read_only = OFF",
                "RESET PERSIST IF EXISTS super_read_only",
                "RESET PERSIST IF EXISTS read_only",
            ],
            Seal::MariaDb => &["SET GLOBAL read_only = OFF"],
        }
    }
}

/// What a fence leaves, as it is recorded.
#[derive(Debug, Serialize, Deserialize)]
struct Sealed {
    seal: Seal,
    /// Of several hosts with the same data it is this one: its name for itself.
    server: String,
}

pub(super) fn refused(seen: impl Into<String>) -> Finding {
    Finding::block(Code::CutoverRefused, "source", seen)
}

/// A session that can seal the server does not end.
#[derive(Debug, thiserror::Error)]
#[error("end session {id} of the source, which belongs to a cutover")]
struct Lingers {
    id: String,
}

impl Fault for Lingers {
    fn disposition(&self) -> Disposition {
        let id = &self.id;
        let hint = format!(
            "see in SHOW PROCESSLIST what it waits for; KILL {id} on the source, then run the same \
             command again"
        );
        Halt::with(Code::CutoverRefused, hint)
    }
}

fn held_open(who: &Obstacle) -> Failure {
    FenceError::HeldOpen { who: who.to_string(), remedy: END_IT }.into()
}

/// A server's name for itself.
async fn server(control: &Control) -> Result<String, Failure> {
    Ok(Settings::read(control).await?.server())
}

impl MySqlSource {
    /// The name of a lock by which the session of a fence is known, also once our process is gone.
    fn fence_lock(&self) -> String {
        quote_literal(&format!("dunlin fence {}", self.shared.options.name))
    }

    /// How this server was sealed, and a session of its own to change that: the one that we have may
    /// have been cut off with that of the fence. An error where it is another server that was.
    async fn sealed(&self, left: &Leftover) -> Result<(Seal, Control), Failure> {
        let Sealed { seal, server: sealed } = serde_json::from_value(left.handle.clone())
            .map_err(|source| FenceError::Left { source, remedy: LIFT })?;
        let control = self.control_session().await?;
        let found = server(&control).await?;
        if sealed != found {
            return Err(FenceError::Elsewhere { sealed, found }.into());
        }
        Ok((seal, control))
    }

    /// Ends the session of a fence, unless it has ended. Until then a statement of it may still be under
    /// way, and seal the server.
    async fn end_session(&self, control: &Control) -> Result<(), Failure> {
        let since = Instant::now();
        let mut ticks = tokio::time::interval(GONE_INTERVAL);
        let held = format!("SELECT IS_USED_LOCK({})", self.fence_lock());
        loop {
            ticks.tick().await;
            let holder = control.one(&held, "look for the session of a fence").await?;
            let Some(id) = holder.maybe(0) else { return Ok(()) };
            if since.elapsed() >= END_PATIENCE {
                return Err(Lingers { id }.into());
            }
            match control.rows(&format!("KILL {id}"), "end the session of the fence").await {
                // It has ended by itself.
                Err(error) if error.number() != Some(NO_SUCH_THREAD) => return Err(error.into()),
                Ok(_) | Err(_) => {}
            }
        }
    }

    async fn control_session(&self) -> Result<Control, Failure> {
        self.shared.site.session().await
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
        if !matches!(&order.manner, None | Some(Manner::MysqlReadOnly)) {
            let seen = "this fence is none of MySQL or MariaDB";
            findings.push(refused(seen).with_hint("use --fence mysql-read-only"));
        }
        if check::replicates(control).await? {
            let seen = "it is a replica, whose source's writers cannot be kept out from here";
            findings.push(refused(seen).with_hint(
                "stop the applications and the replication (STOP REPLICA; RESET REPLICA ALL), then \
                 run the same command again",
            ));
        }
        if !order.sealed && Settings::read(control).await?.on("read_only") {
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
        // To write to a server that is read-only, as the way back does.
        let passing: &[&str] = match (order.way_back, flavour) {
            (true, Flavour::MySql) => &["CONNECTION_ADMIN", "SUPER"],
            (true, Flavour::MariaDb) | (false, _) => sealing,
        };
        for wanted in [locking, sealing, passing] {
            if !held.any(wanted) {
                let seen = format!("the account lacks {}", wanted.join(" or "));
                findings.push(refused(seen).with_fix(grant(wanted[0], "*.*", &account)));
            }
        }
        findings.extend(Bypass::new(control, &account).findings(order.way_back).await?);
        findings.extend(self.prepared().await?);
        Ok(findings)
    }

    async fn fence(&self, order: FenceOrder) -> Result<ReadLock, Failure> {
        let (locker, guard) = (self.control_session().await?, self.control_session().await?);
        let (patience, idle) = (order.longest.as_secs().max(1), (order.longest + SLACK).as_secs());
        let settings = format!("lock_wait_timeout = {patience}, wait_timeout = {idle}");
        let doing = "prepare the fence on the source";
        locker.rows(&format!("SET SESSION {settings}"), doing).await?;
        // One of a cutover that was killed may still be there.
        self.end_session(&guard).await?;
        locker.rows(&format!("SELECT GET_LOCK({}, 0)", self.fence_lock()), doing).await?;
        let id = locker.one("SELECT CONNECTION_ID()", doing).await?.number(0);
        let guard_id = guard.one("SELECT CONNECTION_ID()", doing).await?.number(0);
        Ok(ReadLock {
            seal: Seal::of(locker.version().flavour),
            server: server(&guard).await?,
            source: self.clone(),
            id,
            guard_id,
            positioning: self.shared.positioning,
            grace: order.grace,
            sees_others: guard.privileges().await?.any(&["PROCESS"]),
            // Shorter than the whole, so that it can be said who was in the way.
            patience: order.longest / 2,
            end: None,
            locker,
            guard,
        })
    }

    async fn unfence(&self, left: &Leftover) -> Result<(), Failure> {
        let (seal, control) = self.sealed(left).await?;
        self.end_session(&control).await?;
        control.all(seal.open(), "let writers in on the source").await
    }

    async fn end_fence(&self, _left: Option<&Leftover>) -> Result<(), Failure> {
        self.end_session(&self.control_session().await?).await
    }

    async fn let_through(&self, left: &Leftover) -> Result<(), Failure> {
        let (seal, control) = self.sealed(left).await?;
        if !Settings::read(&control).await?.on("read_only") {
            return Err(FenceError::Opened { remedy: GO_ON }.into());
        }
        control.all(seal.let_through(), "let the way back through").await
    }

    async fn admit(&self, left: &Leftover) -> Result<(), Failure> {
        let (seal, control) = self.sealed(left).await?;
        control.all(seal.admit(), "let writers in on the source").await
    }

    async fn refuse(&self, left: &Leftover) -> Result<(), Failure> {
        let (seal, control) = self.sealed(left).await?;
        control.all(seal.let_through(), "have the source refuse writes again").await
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
    guard_id: u64,
    seal: Seal,
    server: String,
    positioning: Positioning,
    grace: Duration,
    /// The account sees sessions of others, and their transactions.
    sees_others: bool,
    /// How long sessions may take to end under the lock.
    patience: Duration,
    /// The end of the log, once it is known.
    end: Option<Position>,
}

impl ReadLock {
    /// Ends the sessions that the lock still waits for. Returns one of them.
    async fn clear(&self, asked: &mut HashSet<u64>) -> Result<Option<String>, Failure> {
        let mut first = None;
        for who in obstacles::find(&self.guard, self.id).await? {
            if who.id == self.guard_id || !asked.insert(who.id) {
                continue;
            }
            match self.kill(&who).await {
                Ok(()) => {
                    tracing::warn!(%who, "its session is ended: it was in the way of the fence")
                }
                Err(error) => tracing::warn!(%who, cause = %error, "it cannot be ended"),
            }
            first.get_or_insert(who.to_string());
        }
        Ok(first)
    }

    async fn kill(&self, who: &Obstacle) -> Result<(), StatementError> {
        let kill = format!("KILL {}", who.id);
        match self.guard.rows(&kill, "end a session of the source").await {
            // It has ended by itself.
            Err(error) if error.number() != Some(NO_SUCH_THREAD) => Err(error),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Ends the sessions whose transactions have changed rows: those that are XA could still be prepared
    /// and committed on a server that is read-only. Returns once they are gone, with what they did.
    async fn end_transactions(&self) -> Result<(), Failure> {
        if !self.sees_others {
            return Ok(());
        }
        let mut ended = HashSet::new();
        for who in transactions::changing(&self.guard, self.guard_id, self.patience).await? {
            match self.kill(&who).await {
                Ok(()) => {
                    tracing::warn!(%who, "its session is ended: it had changed rows, uncommitted");
                    ended.insert(who.id);
                }
                Err(error) if error.number().is_some() => {
                    tracing::warn!(%who, cause = %error, "it cannot be ended");
                    return Err(held_open(&who));
                }
                Err(error) => return Err(error.into()),
            }
        }
        self.gone(&ended).await
    }

    /// Waits until sessions are no more.
    async fn gone(&self, ended: &HashSet<u64>) -> Result<(), Failure> {
        if ended.is_empty() {
            return Ok(());
        }
        let since = Instant::now();
        let mut ticks = tokio::time::interval(GONE_INTERVAL);
        loop {
            ticks.tick().await;
            let there = obstacles::sessions(&self.guard).await?;
            match there.iter().find(|session| ended.contains(&session.id)) {
                None => return Ok(()),
                Some(who) if since.elapsed() >= self.patience => return Err(held_open(who)),
                Some(_) => {}
            }
        }
    }

    /// Nothing was written or prepared since the log ended.
    async fn still_ended(&self) -> Result<(), Failure> {
        self.none_prepared().await?;
        let now = catalog::position(&self.guard, self.positioning).await?;
        match self.end.as_ref() {
            Some(end) if *end == now => Ok(()),
            _ => Err(FenceError::Changed { what: "something was written in spite of it" }.into()),
        }
    }

    async fn none_prepared(&self) -> Result<(), Failure> {
        if self.source.prepared().await?.is_some_and(|found| found.severity == Severity::Block) {
            let what = "an XA transaction was prepared";
            return Err(FenceError::Changed { what }.into());
        }
        Ok(())
    }
}

impl WriteFence for ReadLock {
    fn left(&self) -> Leftover {
        let sealed = Sealed { seal: self.seal, server: self.server.clone() };
        Leftover {
            handle: serde_json::to_value(sealed).unwrap_or_default(),
            hook: None,
            lift: format!("on the source: {}", self.seal.open().join("; ")),
            until: self.seal.until().map(str::to_owned),
        }
    }

    async fn close(&mut self) -> Result<(), Failure> {
        let (mut asked, mut who) = (HashSet::new(), None);
        let mut looks =
            tokio::time::interval_at(tokio::time::Instant::now() + self.grace, LOOK_INTERVAL);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let locking =
            self.locker.rows("FLUSH TABLES WITH READ LOCK", "lock all tables of the source");
        tokio::pin!(locking);
        let locked = loop {
            tokio::select! {
                locked = &mut locking => break locked,
                _ = looks.tick() => who = self.clear(&mut asked).await?.or(who),
            }
        };
        match locked {
            Ok(_) => Ok(()),
            Err(error) if error.number() == Some(LOCK_TIMED_OUT) => {
                let who = who.unwrap_or_else(|| UNSEEN.to_owned());
                Err(FenceError::HeldOpen { who, remedy: END_IT }.into())
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn end(&mut self) -> Result<Position, Failure> {
        self.end_transactions().await?;
        // The lock waits for none that was prepared since it was looked.
        self.none_prepared().await?;
        let end = catalog::position(&self.guard, self.positioning).await?;
        Ok(self.end.insert(end).clone())
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
        failpoint::reached("lock-let-go");
        // Whoever waited for the lock got through now, where the server lets them.
        self.still_ended().await
    }

    async fn open(self) -> Result<(), Failure> {
        // It may be waiting for the lock, where the server does not notice that its client is gone; and it
        // can still seal until it is gone.
        self.source.end_session(&self.guard).await
    }
}
