//! Keeps writers out of a Postgres database, so that its log comes to an end.
//!
//! In: tables. Out: a transaction of our own that holds every one of them in SHARE ROW EXCLUSIVE mode,
//! which no transaction with an uncommitted change of it can be beside. It dies with our process, and the
//! server ends it where the process stops working. The same transaction makes, on every table, a
//! trigger that refuses each statement that would change it. So its commit is proof that the locks
//! were held until then, and puts the triggers in force at the very moment at which the locks are let
//! go: whoever waited is refused, also a session that sets itself read-write. Sequences are locked
//! too before their values are read, since whoever is refused a row may still have taken a number.

pub(super) mod backend;

use std::collections::HashSet;
use std::time::{Duration, Instant};

use tokio::time::MissedTickBehavior;
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;

use super::catalog::{self, relation_oids};
use super::lockout::Lockout;
use super::seal::{READ_WRITE, SCHEMA, Seal, Sealed, Trigger};
use super::{Options, PostgresSource, Shared};
use crate::config::endpoint::SessionRole;
use crate::connect::postgres::{Client, connect};
use crate::connect::quote::{quote_ident, quote_literal};
use crate::connect::{StatementError, attempting};
use crate::model::report::Finding;
use crate::model::selection::Selection;
use crate::model::{Code, Failure, Leftover, Lsn, Manner, Position, SequenceValue};
use crate::source::fence::{FenceError, FenceOrder, FencedSource, WriteFence};
use backend::Backend;

/// How often it is looked who is in the way.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// How long a fence may be idle beyond the cutover's own limit, before the server opens it.
const SLACK: Duration = Duration::from_secs(2);

/// How long it is waited for the last readers of a table when its trigger is dropped.
const DROP_PATIENCE: &str = "SET lock_timeout = '2s'";

/// From this version on a session that waits for a lock notices that its client is gone.
const NOTICES_CLIENTS_SINCE: u32 = 140_000;

/// A commit is durable on the server itself, and waits for no standby, which may never come: until it has
/// come nobody sees what was committed, and nobody could undo it.
const LOCALLY: &str = "SET synchronous_commit = local";

/// The SQLSTATE lock_not_available.
const LOCK_NOT_AVAILABLE: &str = "55P03";

/// What to do about a session that cannot be ended.
const END_IT: &str = "end it, or have dunlin's role be a member of pg_signal_backend, then run the same \
                      command again";

/// What lets writers in, whatever else is known.
const LIFT: &str = "on the source, DROP SCHEMA dunlin_fence CASCADE lets writers in";

/// What to do about a source that anybody may have written to.
const GO_ON: &str = "see who has written there since the cutover; then go on without a way back: `dunlin \
                     complete`";

/// A table to be fenced, or one above it.
struct Relation {
    name: String,
    trigger: Trigger,
    permitted: bool,
}

async fn relations(
    client: &Client,
    order: &FenceOrder,
    seal: &Seal,
) -> Result<Vec<Relation>, Failure> {
    let oids: Vec<u32> = order.tables.iter().flat_map(relation_oids).collect();
    let sql = include_str!("../../../sql/postgres/fence_relations.sql");
    let rows = client
        .query(sql, &[&oids, &seal.trigger, &seal.function])
        .await
        .map_err(attempting("read what is to be fenced on the source"))?;
    let relation = |row: &Row| Relation {
        name: row.get("name"),
        trigger: match (row.get("there"), row.get("refuses")) {
            (false, _) => Trigger::None,
            (true, true) => Trigger::Refuses,
            (true, false) => Trigger::Other,
        },
        permitted: row.get("permitted"),
    };
    Ok(rows.iter().map(relation).collect())
}

/// Subscriptions whose workers write to the tables: no trigger for statements stops these.
async fn subscriptions(client: &Client, order: &FenceOrder) -> Result<Vec<Finding>, Failure> {
    let oids: Vec<u32> = order.tables.iter().flat_map(relation_oids).collect();
    let found =
        client.query(include_str!("../../../sql/postgres/fence_subscriptions.sql"), &[&oids]).await;
    let rows = match found {
        // Before version 14 only a superuser sees all of it that is needed.
        Err(error) if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => {
            let seen = "the role may not see whether a subscription writes to these tables";
            let hint = "make sure that none does: no trigger stops it";
            return Ok(vec![Finding::info("SUBSCRIPTIONS_UNSEEN", "source", seen).with_hint(hint)]);
        }
        found => found.map_err(attempting("look for subscriptions of the source"))?,
    };
    let finding = |row: &Row| {
        let name: String = row.get("name");
        let seen = format!("subscription {name} writes to tables that are to be fenced");
        Finding::block(Code::CutoverRefused, "source", seen)
            .with_fix(format!("ALTER SUBSCRIPTION {} DISABLE", quote_ident(&name)))
    };
    Ok(rows.iter().map(finding).collect())
}

/// What the role may not lock.
async fn barred(
    client: &Client,
    order: &FenceOrder,
    options: &Options,
) -> Result<Vec<Finding>, Failure> {
    let refused = |subject: &str, seen: &str| {
        Finding::block(Code::CutoverRefused, subject, seen)
            .with_hint("make the role a member of the role that owns it")
    };
    let relations = relations(client, order, &Seal::of(&options.name)).await?;
    let tables = relations.iter().filter(|relation| !relation.permitted);
    let seen = "the role may not lock it, or make a trigger on it";
    let mut findings: Vec<Finding> = tables.map(|relation| refused(&relation.name, seen)).collect();
    let sequences = sequence_locks(client, &options.selection).await?;
    let sequences = sequences.iter().filter(|row| !row.get::<_, bool>("permitted"));
    findings.extend(
        sequences.map(|row| refused(row.get("name"), "the role may not lock this sequence")),
    );
    Ok(findings)
}

async fn sequence_locks(client: &Client, selection: &Selection) -> Result<Vec<Row>, Failure> {
    let names = catalog::sequence_names(client, selection).await?.carried;
    let (schemas, names): (Vec<String>, Vec<String>) =
        names.into_iter().map(|name| (name.schema, name.name)).unzip();
    let rows = client
        .query(include_str!("../../../sql/postgres/fence_sequences.sql"), &[&schemas, &names])
        .await
        .map_err(attempting("read how sequences are locked on the source"))?;
    Ok(rows)
}

/// What a fence left, as it is found.
struct Found {
    client: Client,
    sealed: Sealed,
    /// What refuses writes is there.
    refuses: bool,
}

impl PostgresSource {
    /// A session to work on what a fence left.
    async fn sealed(&self, left: &Leftover) -> Result<Found, Failure> {
        let sealed: Sealed = serde_json::from_value(left.handle.clone())
            .map_err(|source| FenceError::Left { source, remedy: LIFT })?;
        let Shared { endpoint, names, .. } = &*self.shared;
        let client = connect(endpoint, names.application).await?;
        let writing = client.batch_execute(&format!("{READ_WRITE}; {LOCALLY}")).await;
        writing.map_err(attempting("write to a source that is read-only"))?;
        if let Some(session) = &sealed.session {
            session.end(&client).await?;
        }
        let seal = sealed.seal();
        let there = client
            .query_one("SELECT pg_catalog.to_regproc($1::text) IS NOT NULL", &[&seal.function])
            .await
            .map_err(attempting("look for what refuses writes on the source"))?;
        Ok(Found { client, sealed, refuses: there.get(0) })
    }
}

/// Drops what refused writes, table by table: each waits for that table's readers, and who waits and
/// holds no other table is in a deadlock with none of them.
async fn drop_seal(client: &Client, seal: &Seal) -> Result<(), tokio_postgres::Error> {
    client.batch_execute(DROP_PATIENCE).await?;
    let tables = "SELECT DISTINCT pg_catalog.format('%I.%I', n.nspname, c.relname) \
                  FROM pg_catalog.pg_trigger AS t \
                  JOIN pg_catalog.pg_class AS c ON c.oid = t.tgrelid \
                  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace \
                  WHERE t.tgfoid = pg_catalog.to_regproc($1::text)";
    for table in client.query(tables, &[&seal.function]).await? {
        client.batch_execute(&seal.drop_trigger(table.get(0))).await?;
    }
    client.batch_execute(&seal.drop()).await
}

impl FencedSource for PostgresSource {
    type Fence = TableLocks;

    async fn fence_findings(&self, order: &FenceOrder) -> Result<Vec<Finding>, Failure> {
        let Shared { control, options, standby, .. } = &*self.shared;
        let refused =
            |subject: &str, seen: String| Finding::block(Code::CutoverRefused, subject, seen);
        if *standby {
            let seen = "it is a standby, whose primary's writers cannot be kept out from here";
            return Ok(vec![refused("source", seen.to_owned()).with_hint(
                "stop the applications, promote the standby (SELECT pg_promote()), and run the same \
                 command again",
            )]);
        }
        let mut findings = Vec::new();
        if order.manner == Some(Manner::MysqlReadOnly) {
            let seen = "this fence is none of Postgres".to_owned();
            findings.push(refused("source", seen).with_hint("use --fence table-locks"));
        }
        if order.way_back && order.manner == Some(Manner::DatabaseReadOnly) {
            let seen = "a way back could not write to a database that is read-only".to_owned();
            findings.push(refused("source", seen).with_hint("use --fence table-locks"));
        }
        let role = self.shared.endpoint.session_role();
        if role == SessionRole::ReadWrite && order.manner == Some(Manner::DatabaseReadOnly) {
            let seen = "with target_session_attrs=read-write nobody can connect to a database that is \
                        read-only, to open it again";
            let hint = "leave that out of the source's URL, or use --fence table-locks";
            findings.push(refused("source", seen.to_owned()).with_hint(hint));
        }
        findings.extend(Lockout::findings(order.manner.as_ref(), control).await?);
        findings.extend(subscriptions(control, order).await?);
        let row = control
            .query_one(include_str!("../../../sql/postgres/fence_state.sql"), &[])
            .await
            .map_err(attempting("look at what a fence needs on the source"))?;
        findings.extend(row.get::<_, Vec<String>>("prepared").into_iter().map(|gid| {
            refused(
                "source",
                format!("the prepared transaction {gid} can be committed at any time"),
            )
            .with_fix(format!("ROLLBACK PREPARED {}", quote_literal(&gid)))
        }));
        if !row.get::<_, bool>("may_create") {
            findings.push(
                refused(
                    "source",
                    format!(
                        "the role may not create schema {SCHEMA}, \
                whose function refuses writes after the cutover"
                    ),
                )
                .with_hint("run `dunlin grants` and execute what it prints"),
            );
        }
        if !row.get::<_, bool>("plpgsql") {
            findings.push(
                refused("source", "the language plpgsql is missing".to_owned())
                    .with_fix("CREATE EXTENSION plpgsql"),
            );
        }
        if !row.get::<_, bool>("may_end_sessions") {
            let seen = "the role may not end sessions of others: where one of them keeps a transaction \
                        open, the cutover is undone";
            findings.push(
                Finding::info("SESSIONS_OF_OTHERS", "source", seen)
                    .with_hint("GRANT pg_signal_backend to it, or end such sessions yourself"),
            );
        }
        findings.extend(barred(control, order, options).await?);
        Ok(findings)
    }

    async fn fence(&self, order: FenceOrder) -> Result<TableLocks, Failure> {
        let Shared { endpoint, names, options, .. } = &*self.shared;
        let session = connect(endpoint, names.application).await?;
        let guard = connect(endpoint, names.application).await?;
        let seal = Seal::of(&options.name);
        let relations = relations(&guard, &order, &seal).await?;
        let lockout = Lockout::wanted(order.manner.as_ref(), &guard).await?;
        // Shorter than the whole, so that it can be said who was in the way.
        let spare = order.longest.saturating_sub(order.grace) / 2;
        let patience = (order.grace + spare).min(order.longest * 9 / 10).as_millis();
        let idle = (order.longest + SLACK).as_millis();
        let mut settings = format!(
            "SET lock_timeout = {patience}; SET idle_in_transaction_session_timeout = {idle}; \
             {LOCALLY}"
        );
        if session.server_version_num() >= NOTICES_CLIENTS_SINCE {
            settings.push_str("; SET client_connection_check_interval = '1s'");
        }
        let preparing = || attempting("prepare the fence on the source");
        session.batch_execute(&settings).await.map_err(preparing())?;
        let durable = "SELECT pg_catalog.set_config('synchronous_commit', 'on', false) \
                       WHERE pg_catalog.current_setting('synchronous_commit') = 'off'";
        guard.batch_execute(durable).await.map_err(preparing())?;
        let backend = Backend::of(&session).await?;
        Ok(TableLocks {
            backend,
            session,
            guard,
            sealed: Sealed { migration: options.name.clone(), lockout, session: Some(backend) },
            program: names.application,
            seal,
            relations,
            selection: options.selection.clone(),
            order,
            asked: HashSet::new(),
        })
    }

    async fn unfence(&self, left: &Leftover) -> Result<(), Failure> {
        self.admit(left).await?;
        let Found { client, sealed, refuses } = self.sealed(left).await?;
        if !refuses {
            return Ok(());
        }
        // Writers are in. Somebody may keep the triggers from being dropped.
        let seal = sealed.seal();
        if let Err(error) = drop_seal(&client, &seal).await {
            let cause = StatementError::new("drop the triggers of a fence", error);
            tracing::warn!(
                cause = cause.code(),
                "triggers named {} are left on the source; they do nothing. Later, on the source: {}",
                seal.trigger,
                seal.drop()
            );
        }
        Ok(())
    }

    async fn end_fence(&self, left: Option<&Leftover>) -> Result<(), Failure> {
        // To look for what a fence left ends its session.
        match left {
            Some(left) => self.sealed(left).await.map(drop),
            // One that was not recorded had no hook to tell; the server notices that its client is gone.
            None => Ok(()),
        }
    }

    async fn let_through(&self, left: &Leftover) -> Result<(), Failure> {
        // What refuses the others knows them.
        match self.sealed(left).await?.refuses {
            true => Ok(()),
            false => Err(FenceError::Opened { remedy: GO_ON }.into()),
        }
    }

    async fn admit(&self, left: &Leftover) -> Result<(), Failure> {
        let Found { client, sealed, refuses } = self.sealed(left).await?;
        let admitted = client.batch_execute(&sealed.admit(refuses)).await;
        Ok(admitted.map_err(attempting("let writers in on the source"))?)
    }

    async fn refuse(&self, left: &Leftover) -> Result<(), Failure> {
        let Found { client, sealed, refuses } = self.sealed(left).await?;
        if !refuses {
            return Ok(());
        }
        let refused = client.batch_execute(&sealed.refuse()).await;
        Ok(refused.map_err(attempting("have the source refuse writes again"))?)
    }

    fn hurry(&self) {
        self.shared.hurry.send_replace(true);
    }
}

/// Every table is locked by one transaction.
pub struct TableLocks {
    session: Client,
    /// Looks who is in the way, and ends the other session where that is needed.
    guard: Client,
    backend: Backend,
    /// How our own sessions are called.
    program: &'static str,
    seal: Seal,
    sealed: Sealed,
    relations: Vec<Relation>,
    selection: Selection,
    order: FenceOrder,
    /// Sessions that were asked to end.
    asked: HashSet<i32>,
}

impl TableLocks {
    /// Runs statements that take locks, and clears the way for them.
    async fn lock(&mut self, statements: &str) -> Result<(), Failure> {
        let (since, grace) = (Instant::now(), self.order.grace);
        let mut ticks = tokio::time::interval(LOOK_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut in_the_way = String::new();
        let locking = self.session.batch_execute(statements);
        tokio::pin!(locking);
        let locked = loop {
            tokio::select! {
                locked = &mut locking => break locked,
                _ = ticks.tick() => {
                    let patient = since.elapsed() < grace;
                    let way = Way { guard: &self.guard, pid: self.backend.pid, asked: &mut self.asked };
                    if let Some(who) = way.clear(patient).await? {
                        in_the_way = who;
                    }
                }
            }
        };
        match locked.map_err(attempting("lock the tables and sequences of the source")) {
            Err(error) if error.code() == Some(LOCK_NOT_AVAILABLE) && !in_the_way.is_empty() => {
                Err(FenceError::HeldOpen { who: in_the_way, remedy: END_IT }.into())
            }
            other => Ok(other?),
        }
    }
}

/// What is to be cleared of others.
struct Way<'a> {
    guard: &'a Client,
    pid: i32,
    asked: &'a mut HashSet<i32>,
}

impl Way<'_> {
    /// Ends what would wait for us for ever at once, and everybody else once patience is over.
    /// Returns who is in the way.
    async fn clear(self, patient: bool) -> Result<Option<String>, Failure> {
        let rows = self
            .guard
            .query(include_str!("../../../sql/postgres/fence_blockers.sql"), &[&self.pid])
            .await
            .map_err(attempting("look who is in the way of the fence on the source"))?;
        for row in &rows {
            let (pid, who): (i32, String) = (row.get("pid"), row.get("who"));
            let ends_itself = row.get("waits_for_us") || row.get("autovacuum");
            let text = match (ends_itself, patient) {
                (true, true) => "SELECT pg_catalog.pg_cancel_backend($1)",
                (_, false) => "SELECT pg_catalog.pg_terminate_backend($1)",
                (false, true) => continue,
            };
            if pid == 0 || (!patient && !self.asked.insert(pid)) {
                continue;
            }
            match self.guard.execute(text, &[&pid]).await {
                Ok(_) if patient => tracing::debug!(%who, "its statement is cancelled"),
                Ok(_) => tracing::warn!(%who, "its session is ended: it kept a transaction open"),
                Err(_) if patient => {}
                Err(error) => {
                    let error = StatementError::new("end a session of the source", error);
                    tracing::warn!(%who, cause = error.code(), "it is in the way and cannot be ended");
                }
            }
        }
        Ok(rows.first().map(|row| row.get("who")))
    }
}

impl WriteFence for TableLocks {
    fn left(&self) -> Leftover {
        Leftover {
            handle: serde_json::to_value(&self.sealed).unwrap_or_default(),
            hook: None,
            lift: format!("on the source: {}", self.sealed.lift()),
            until: None,
        }
    }

    async fn close(&mut self) -> Result<(), Failure> {
        let mut statements = "BEGIN".to_owned();
        if !self.relations.is_empty() {
            let only: Vec<String> =
                self.relations.iter().map(|relation| format!("ONLY {}", relation.name)).collect();
            let tables = only.join(", ");
            statements += &format!("; LOCK TABLE {tables} IN SHARE ROW EXCLUSIVE MODE");
        }
        self.lock(&statements).await?;
        // Nobody can attach a partition, or make a child, from here on.
        let now = relations(&self.guard, &self.order, &self.seal).await?;
        let is_held =
            |relation: &Relation| self.relations.iter().any(|held| held.name == relation.name);
        if !now.iter().all(is_held) {
            return Err(FenceError::Changed { what: "a table came" }.into());
        }
        // Nor make a trigger, or take one out of force.
        self.relations = now;
        Ok(())
    }

    async fn end(&mut self) -> Result<Position, Failure> {
        // Its commit waits for the disk, and with it is there what others committed without waiting.
        let marker = "SELECT pg_catalog.pg_logical_emit_message(true, 'dunlin', 'cutover')::text";
        let row = self.guard.query_one(marker, &[]).await;
        let row = row.map_err(attempting("mark the end of the source's log"))?;
        let end: Lsn =
            row.get::<_, String>(0).parse().map_err(|source| FenceError::End { source })?;
        Ok(Position::Postgres(end))
    }

    async fn arm(&mut self) -> Result<(), Failure> {
        let schema = format!("CREATE SCHEMA IF NOT EXISTS {SCHEMA}");
        let mut statements = vec![schema, self.sealed.refuse()];
        let arm = |relation: &Relation| self.seal.arm(&relation.name, relation.trigger);
        statements.extend(self.relations.iter().map(arm));
        let armed = self.session.batch_execute(&statements.join("; ")).await;
        Ok(armed.map_err(attempting("make the triggers that refuse writes on the source"))?)
    }

    async fn sequences(&mut self) -> Result<Vec<SequenceValue>, Failure> {
        let rows = sequence_locks(&self.guard, &self.selection).await?;
        let locks: Vec<String> = rows.iter().map(|row| row.get("lock")).collect();
        self.lock(&locks.join("; ")).await?;
        Ok(catalog::sequences(&self.session, &self.selection).await?)
    }

    async fn seal(&mut self) -> Result<(), Failure> {
        // In a transaction that failed COMMIT is answered with ROLLBACK, which is no error; anything else
        // is refused there.
        let sealed = self.session.batch_execute("SELECT 1; COMMIT").await;
        sealed.map_err(attempting("have the source refuse writes"))?;
        match &self.sealed.lockout {
            Some(lockout) => lockout.end_sessions(&self.guard, self.program).await,
            None => Ok(()),
        }
    }

    async fn open(self) -> Result<(), Failure> {
        // It may be waiting for a lock, where the server does not notice that its client is gone; and it
        // can still commit until it is gone.
        self.backend.end(&self.guard).await
    }
}
