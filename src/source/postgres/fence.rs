//! Keeps writers out of a Postgres database, so that its log comes to an end.
//!
//! In: tables. Out: a transaction of our own that holds every one of them in SHARE ROW EXCLUSIVE mode,
//! which no transaction with an uncommitted change of it can be beside. It dies with our process, and the
//! server ends it where the process stops working. The same transaction makes, on every table, a
//! trigger that refuses each statement that would change it. So its commit is proof that the locks
//! were held until then, and puts the triggers in force at the very moment at which the locks are let
//! go: whoever waited is refused, also a session that sets itself read-write. Sequences are locked
//! too before their values are read, since whoever is refused a row may still have taken a number.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use tokio::time::MissedTickBehavior;
use tokio_postgres::Row;

use super::catalog::{self, relation_oids};
use super::{PostgresSource, Shared};
use crate::connect::postgres::{Client, connect};
use crate::connect::quote::{quote_ident, quote_literal};
use crate::connect::{StatementError, attempting};
use crate::model::report::Finding;
use crate::model::selection::Selection;
use crate::model::{
    Code, Disposition, Failure, Fault, Halt, Leftover, Lsn, Manner, Position, SequenceValue,
};
use crate::source::fence::{FenceOrder, FencedSource, WriteFence};

/// The schema of the functions that refuse writes.
const SCHEMA: &str = "dunlin_fence";

/// How often it is looked who is in the way.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// How long a fence may be idle beyond the cutover's own limit, before the server opens it.
const SLACK: Duration = Duration::from_secs(2);

/// How long it is waited for the last readers of a table when its trigger is dropped.
const DROP_PATIENCE: &str = "SET lock_timeout = '2s'";

/// From this version on a session that waits for a lock notices that its client is gone.
const NOTICES_CLIENTS_SINCE: u32 = 140_000;

/// The SQLSTATE lock_not_available.
const LOCK_NOT_AVAILABLE: &str = "55P03";

/// Writers cannot be kept out.
#[derive(Debug, thiserror::Error)]
pub enum FenceError {
    /// Somebody does not let go of a table.
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
    /// The server answered a position that is none.
    #[error("read the end of the source's log")]
    End {
        /// Why.
        #[source]
        source: crate::model::position::ParsePositionError,
    },
}

impl Fault for FenceError {
    fn disposition(&self) -> Disposition {
        match self {
            FenceError::HeldOpen { .. } => Halt::with(
                Code::CutoverRefused,
                "end it, or have dunlin's role be a member of pg_signal_backend, then run the same \
                 command again",
            ),
            FenceError::Left { .. } => Halt::with(
                Code::StateUnreadable,
                "use the version of dunlin that began the cutover; on the source, DROP SCHEMA \
                 dunlin_fence CASCADE lets writers in",
            ),
            FenceError::End { .. } => {
                Halt::with(Code::ProtocolViolation, "check that the source is a Postgres server")
            }
        }
    }
}

/// What refuses writes once a fence is sealed.
#[derive(Clone, Debug)]
struct Seal {
    function: String,
    trigger: String,
    migration: String,
}

impl Seal {
    fn of(migration: &str) -> Self {
        Seal {
            function: format!("{SCHEMA}.{}", quote_ident(&format!("refuse_{migration}"))),
            trigger: format!("dunlin_fence_{migration}"),
            migration: migration.to_owned(),
        }
    }

    fn create_function(&self, body: &str) -> String {
        format!(
            "CREATE OR REPLACE FUNCTION {}() RETURNS trigger LANGUAGE plpgsql AS {}",
            self.function,
            quote_literal(&format!("BEGIN {body}; END"))
        )
    }

    /// SQLSTATE 25006 is what a standby answers, so that applications take it for a failover.
    fn refuse(&self) -> String {
        let said = format!(
            "this database takes no writes any more: dunlin moved it to another \
                            server (migration {})",
            self.migration
        );
        let hint = "connect to the new server";
        self.create_function(&format!(
            "RAISE EXCEPTION USING MESSAGE = {}, HINT = {}, ERRCODE = 'read_only_sql_transaction'",
            quote_literal(&said),
            quote_literal(hint)
        ))
    }

    fn create_trigger(&self, relation: &str) -> String {
        let trigger = quote_ident(&self.trigger);
        format!(
            "CREATE TRIGGER {trigger} BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON {relation} \
             FOR EACH STATEMENT EXECUTE FUNCTION {}(); \
             ALTER TABLE {relation} ENABLE ALWAYS TRIGGER {trigger}",
            self.function
        )
    }

    /// The triggers go with it.
    fn drop(&self) -> String {
        format!("DROP FUNCTION IF EXISTS {}() CASCADE", self.function)
    }
}

/// A table to be fenced, or one above it.
struct Relation {
    name: String,
    armed: bool,
    permitted: bool,
}

async fn relations(
    client: &Client,
    order: &FenceOrder,
    seal: &Seal,
) -> Result<Vec<Relation>, Failure> {
    let oids: Vec<u32> = order.tables.iter().flat_map(relation_oids).collect();
    let rows = client
        .query(include_str!("../../../sql/postgres/fence_relations.sql"), &[&oids, &seal.trigger])
        .await
        .map_err(attempting("read what is to be fenced on the source"))?;
    let relation = |row: &Row| Relation {
        name: row.get("name"),
        armed: row.get("armed"),
        permitted: row.get("permitted"),
    };
    Ok(rows.iter().map(relation).collect())
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
        if !matches!(order.manner, None | Some(Manner::TableLocks)) {
            let seen = "this fence is none of Postgres".to_owned();
            findings.push(refused("source", seen).with_hint("use --fence table-locks"));
        }
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
        let relations = relations(control, order, &Seal::of(&options.name)).await?;
        let barred = relations.iter().filter(|relation| !relation.permitted);
        findings.extend(barred.map(|relation| {
            refused(&relation.name, "the role may not lock it, or make a trigger on it".to_owned())
                .with_hint("make the role a member of the role that owns it")
        }));
        let sequences = sequence_locks(control, &options.selection).await?;
        let barred = sequences.iter().filter(|row| !row.get::<_, bool>("permitted"));
        findings.extend(barred.map(|row| {
            refused(row.get("name"), "the role may not lock this sequence".to_owned())
                .with_hint("make the role a member of the role that owns it")
        }));
        Ok(findings)
    }

    async fn fence(&self, order: FenceOrder) -> Result<TableLocks, Failure> {
        let Shared { endpoint, names, options, .. } = &*self.shared;
        let session = connect(endpoint, names.application).await?;
        let guard = connect(endpoint, names.application).await?;
        let seal = Seal::of(&options.name);
        let relations = relations(&guard, &order, &seal).await?;
        let (patience, idle) = (order.longest.as_millis(), (order.longest + SLACK).as_millis());
        let mut settings = format!(
            "SET lock_timeout = {patience}; SET idle_in_transaction_session_timeout = {idle}; \
             SELECT pg_catalog.set_config('synchronous_commit', 'on', false) \
             WHERE pg_catalog.current_setting('synchronous_commit') = 'off'"
        );
        if session.server_version_num() >= NOTICES_CLIENTS_SINCE {
            settings.push_str("; SET client_connection_check_interval = '1s'");
        }
        let preparing = || attempting("prepare the fence on the source");
        session.batch_execute(&settings).await.map_err(preparing())?;
        let durable = "SELECT pg_catalog.set_config('synchronous_commit', 'on', false) \
                       WHERE pg_catalog.current_setting('synchronous_commit') = 'off'";
        guard.batch_execute(durable).await.map_err(preparing())?;
        let row = session.query_one("SELECT pg_catalog.pg_backend_pid()", &[]).await;
        Ok(TableLocks {
            pid: row.map_err(preparing())?.get(0),
            session,
            guard,
            seal,
            relations,
            selection: options.selection.clone(),
            grace: order.grace,
            asked: HashSet::new(),
        })
    }

    async fn unfence(&self, left: &Leftover) -> Result<(), Failure> {
        let migration: String = serde_json::from_value(left.handle.clone())
            .map_err(|source| FenceError::Left { source })?;
        let Shared { endpoint, names, .. } = &*self.shared;
        let client = connect(endpoint, names.application).await?;
        let seal = Seal::of(&migration);
        let there = client
            .query_one("SELECT pg_catalog.to_regproc($1::text) IS NOT NULL", &[&seal.function])
            .await
            .map_err(attempting("look for what refuses writes on the source"))?;
        if !there.get::<_, bool>(0) {
            return Ok(());
        }
        // At once, also where a reader keeps the triggers from being dropped.
        let open = seal.create_function("RETURN NULL");
        client.batch_execute(&open).await.map_err(attempting("let writers in on the source"))?;
        let dropped = client.batch_execute(&format!("{DROP_PATIENCE}; {}", seal.drop())).await;
        match dropped.map_err(attempting("drop the triggers of a fence on the source")) {
            Err(error) if error.code() == Some(LOCK_NOT_AVAILABLE) => {
                tracing::warn!(
                    "triggers named {} are left on the source, where readers are in the way; they do \
                     nothing. Later, on the source: {}",
                    seal.trigger,
                    seal.drop()
                );
                Ok(())
            }
            other => Ok(other?),
        }
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
    pid: i32,
    seal: Seal,
    relations: Vec<Relation>,
    selection: Selection,
    grace: Duration,
    /// Sessions that were asked to end.
    asked: HashSet<i32>,
}

impl TableLocks {
    /// Runs statements that take locks, and clears the way for them.
    async fn lock(&mut self, statements: &str) -> Result<(), Failure> {
        let (since, grace) = (Instant::now(), self.grace);
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
                    let way = Way { guard: &self.guard, pid: self.pid, asked: &mut self.asked };
                    if let Some(who) = way.clear(patient).await? {
                        in_the_way = who;
                    }
                }
            }
        };
        match locked.map_err(attempting("lock the tables and sequences of the source")) {
            Err(error) if error.code() == Some(LOCK_NOT_AVAILABLE) && !in_the_way.is_empty() => {
                Err(FenceError::HeldOpen { who: in_the_way }.into())
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
            handle: serde_json::Value::String(self.seal.migration.clone()),
            lift: format!("on the source: {}", self.seal.drop()),
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
        self.lock(&statements).await
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
        let mut statements =
            vec![format!("CREATE SCHEMA IF NOT EXISTS {SCHEMA}"), self.seal.refuse()];
        let unarmed = self.relations.iter().filter(|relation| !relation.armed);
        statements.extend(unarmed.map(|relation| self.seal.create_trigger(&relation.name)));
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
        Ok(sealed.map_err(attempting("have the source refuse writes"))?)
    }

    async fn open(self) -> Result<(), Failure> {
        // It may be waiting for a lock, where the server does not notice that its client is gone.
        let end = "SELECT pg_catalog.pg_terminate_backend($1)";
        let ended = self.guard.execute(end, &[&self.pid]).await;
        ended.map_err(attempting("end the session of the fence on the source"))?;
        // It can still commit until it is gone.
        let mut ticks = tokio::time::interval(LOOK_INTERVAL);
        let there = "SELECT EXISTS (SELECT FROM pg_catalog.pg_stat_activity WHERE pid = $1)";
        loop {
            ticks.tick().await;
            let row = self.guard.query_one(there, &[&self.pid]).await;
            let row = row.map_err(attempting("wait for the end of the fence on the source"))?;
            if !row.get::<_, bool>(0) {
                return Ok(());
            }
        }
    }
}
