//! The process that holds a snapshot open, small and separate.
//!
//! The run starts it and may die; the snapshot lives on, and the next run copies what is left under
//! it. It holds the replication connection that created the slot, on which nothing more may be
//! said, since its next command ends the exported snapshot; and a session to look after it. It locks
//! no table: behind a TRUNCATE that waits for the lock to go, every reader would wait too. Its order
//! comes on standard input (it holds a password), its
//! answer goes to standard output, once. After that it looks every second whether a run is there
//! (by the advisory lock that a run holds), and gives up when none was for as long as the operator
//! allows: a forgotten run does not hold back the source's vacuum for ever.

use std::process::Stdio;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_postgres::Client as Driver;

use super::catalog::{self, LARGE_OBJECT_TABLES};
use super::error::SourceError;
use super::slot::{self, Names};
use super::standby::{SLOW_SLOT, StandbyError};
use super::wire::{Wire, WireOptions};
use crate::config::endpoint::PostgresEndpoint;
use crate::connect::attempting;
use crate::connect::postgres::{Client, connect};
use crate::connect::quote::quote_ident;
use crate::model::{Code, Disposition, Failure, Halt, HeldSnapshot, Lsn, Position};

/// How often the holder looks for a run.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// From then on a slot that is long in coming is explained.
const SLOW_AFTER: Duration = Duration::from_secs(2);

/// What a holder is to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Order {
    /// The source, password included, as the endpoint writes it.
    pub(super) endpoint: String,
    /// The migration's name.
    pub(super) name: String,
    /// Whether the slot is to outlive the connection.
    pub(super) permanent: bool,
    /// Whether the source is a standby.
    pub(super) standby: bool,
    /// How long to wait for running transactions.
    pub(super) patience_ms: u64,
    /// How long to stay without a run.
    pub(super) stay_ms: u64,
}

/// What is stored about a held snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Handle {
    /// The exported snapshot's name. It may name another one after a restart of the server, so
    /// it counts only while the sessions below are the same.
    pub(super) snapshot: String,
    /// The server's processes behind the two sessions, and when they began.
    pub(super) sessions: Vec<(i32, String)>,
    /// How often large objects had been written before the snapshot was taken.
    pub(super) large_objects: i64,
}

#[derive(Serialize, Deserialize)]
enum Answer {
    Held { consistent_point: Lsn, handle: Handle },
    HeldUp { holdup: String },
    Failed { message: String, code: Option<String>, hint: String },
}

/// Starts a holder and waits for its answer.
pub(super) async fn start(order: &Order) -> Result<HeldSnapshot, Failure> {
    let holder = |source| SourceError::Holder { source };
    let program = std::env::current_exe().map_err(holder)?;
    let mut child = tokio::process::Command::new(program)
        .arg("hold-snapshot")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .map_err(holder)?;
    let text = serde_json::to_vec(order).map_err(|source| SourceError::Handle { source })?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(&text).await.map_err(holder)?;
    }
    let mut answer = Vec::new();
    if let Some(mut stdout) = child.stdout.take() {
        let reading = stdout.read_to_end(&mut answer);
        tokio::pin!(reading);
        let read = tokio::time::timeout(SLOW_AFTER, &mut reading).await;
        if read.is_err() && order.standby {
            tracing::warn!("waiting for the replication slot: {SLOW_SLOT}");
        }
        match read {
            Ok(read) => read,
            Err(_) => reading.await,
        }
        .map_err(holder)?;
    }
    let answer: Answer =
        serde_json::from_slice(&answer).map_err(|source| SourceError::Handle { source })?;
    match answer {
        Answer::Held { consistent_point, handle } => Ok(HeldSnapshot {
            high: None,
            position: Position::Postgres(consistent_point),
            handle: serde_json::to_value(handle)
                .map_err(|source| SourceError::Handle { source })?,
        }),
        Answer::HeldUp { .. } if order.standby => Err(StandbyError::PrimarySlow.into()),
        Answer::HeldUp { holdup } => Err(SourceError::HeldUp { holdup }.into()),
        Answer::Failed { message, code, hint } => {
            Err(SourceError::HolderFailed { message, disposition: disposition(code, hint) }.into())
        }
    }
}

fn disposition(code: Option<String>, hint: String) -> Disposition {
    let Some(code) = code else {
        return Disposition::Retry;
    };
    Halt::with(Code::named(&code).unwrap_or(Code::StatementFailed), hint)
}

/// The holder's own life: reads the order, answers, holds.
///
/// # Errors
///
/// Where not even an answer can be given.
pub async fn hold() -> Result<(), Failure> {
    let local = |source| SourceError::Holder { source };
    let mut text = Vec::new();
    tokio::io::stdin().read_to_end(&mut text).await.map_err(local)?;
    let order: Order =
        serde_json::from_slice(&text).map_err(|source| SourceError::Handle { source })?;
    let taken = take(&order).await;
    let answer = match &taken {
        Ok(Taken::Held { consistent_point, handle, .. }) => {
            Answer::Held { consistent_point: *consistent_point, handle: handle.clone() }
        }
        Ok(Taken::HeldUp(holdup)) => Answer::HeldUp { holdup: holdup.clone() },
        Err(failure) => failed(failure),
    };
    let text = serde_json::to_vec(&answer).map_err(|source| SourceError::Handle { source })?;
    let mut stdout = tokio::io::stdout();
    stdout.write_all(&text).await.map_err(local)?;
    stdout.flush().await.map_err(local)?;
    if let Ok(Taken::Held { watch, slot, .. }) = taken {
        // The run waits for the end of our output; from here on nobody listens.
        close_output().map_err(local)?;
        stay(&order, &watch, &slot).await?;
    }
    Ok(())
}

/// Replaces standard output, so that the run sees its end while we live on.
fn close_output() -> std::io::Result<()> {
    let nowhere = std::fs::OpenOptions::new().write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdout(nowhere)?;
    Ok(())
}

fn failed(failure: &Failure) -> Answer {
    let mut message = failure.to_string();
    let mut cause = failure.error().source();
    while let Some(error) = cause {
        message.push_str(": ");
        message.push_str(&error.to_string());
        cause = error.source();
    }
    let (code, hint) = match failure.disposition() {
        Disposition::Retry => (None, String::new()),
        Disposition::Halt(halt) => (Some(halt.code.as_str().to_owned()), halt.hint.clone()),
    };
    Answer::Failed { message, code, hint }
}

enum Taken {
    Held { consistent_point: Lsn, handle: Handle, watch: Box<Client>, slot: Box<Wire> },
    HeldUp(String),
}

async fn take(order: &Order) -> Result<Taken, Failure> {
    let endpoint = PostgresEndpoint::from_exposed_json(&order.endpoint)?;
    let names = Names::new(&order.name);
    let watch = connect(&endpoint, &names.holder).await?;
    let large_objects = large_objects(&watch).await?;
    // What a slot waits for on a standby is no lock, so lock_timeout does not end it.
    let patience = Duration::from_millis(order.patience_ms);
    let options = WireOptions { application_name: names.holder.clone(), replication: true };
    let mut slot = Wire::connect(&endpoint, &options).await?;
    slot.simple_query(&format!("SET lock_timeout = {}", order.patience_ms)).await?;
    let text = create_slot(&names, order.permanent);
    let created = match order.standby {
        true => tokio::time::timeout(patience, slot.simple_query(&text)).await,
        false => Ok(slot.simple_query(&text).await),
    };
    let Ok(created) = created else {
        end_session(&watch, slot.process_id()).await?;
        return Ok(Taken::HeldUp(SLOW_SLOT.to_owned()));
    };
    let rows = match created {
        Ok(rows) => rows,
        Err(error) if error.server().is_some_and(|server| server.code == "55P03") => {
            return Ok(Taken::HeldUp(slot_holdup(&watch).await?));
        }
        Err(error) if error.server().is_some_and(|server| server.code == "53400") => {
            return Err(SourceError::NoFreeSlot { source: error }.into());
        }
        Err(error) => return Err(error.into()),
    };
    let answer = || SourceError::Answer { command: "CREATE_REPLICATION_SLOT" };
    let row = rows.into_iter().next().ok_or_else(answer)?;
    let mut fields = row.into_iter().skip(1);
    let point = fields.next().flatten().ok_or_else(answer)?;
    let snapshot = fields.next().flatten().ok_or_else(answer)?;
    let handle =
        Handle { snapshot, sessions: sessions(&watch, slot.process_id()).await?, large_objects };
    let consistent_point = point.parse().map_err(|_| answer())?;
    Ok(Taken::Held { consistent_point, handle, watch: Box::new(watch), slot: Box::new(slot) })
}

/// Ends a session that waits for its slot: the slot goes with it.
async fn end_session(client: &Driver, process_id: i32) -> Result<(), Failure> {
    client
        .execute("SELECT pg_catalog.pg_terminate_backend($1)", &[&process_id])
        .await
        .map_err(attempting("end the session that waits for the slot"))?;
    Ok(())
}

fn create_slot(names: &Names, permanent: bool) -> String {
    let (name, kind) =
        if permanent { (&names.slot, "") } else { (&names.temporary_slot, " TEMPORARY") };
    format!("CREATE_REPLICATION_SLOT {}{kind} LOGICAL pgoutput EXPORT_SNAPSHOT", quote_ident(name))
}

/// Who keeps a transaction open that the slot has to wait for.
async fn slot_holdup(client: &Client) -> Result<String, Failure> {
    holdup(client, include_str!("../../../sql/postgres/source_slot_holdup.sql")).await
}

async fn holdup(client: &Driver, text: &str) -> Result<String, Failure> {
    let row = client
        .query_opt(text, &[])
        .await
        .map_err(attempting("find out who holds the snapshot up"))?;
    Ok(match row {
        Some(row) => row.get(0),
        None => "whoever held it up has just ended".to_owned(),
    })
}

/// How often large objects were written, as far as the server's statistics know.
pub(super) async fn large_objects(client: &Driver) -> Result<i64, Failure> {
    let changes = catalog::changes(client, &LARGE_OBJECT_TABLES).await?;
    Ok(changes.iter().map(|table| table.inserts + table.updates + table.deletes).sum())
}

/// The sessions' processes with their beginnings, by which they are recognised.
async fn sessions(watch: &Client, slot_pid: i32) -> Result<Vec<(i32, String)>, Failure> {
    let rows = watch
        .query(
            "SELECT pid, backend_start::text FROM pg_catalog.pg_stat_activity \
             WHERE pid = $1 OR pid = pg_catalog.pg_backend_pid() ORDER BY pid",
            &[&slot_pid],
        )
        .await
        .map_err(attempting("read our own sessions"))?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

/// Holds until the sessions are ended or no run was there for long enough.
async fn stay(order: &Order, watch: &Client, slot: &Wire) -> Result<(), Failure> {
    let names = Names::new(&order.name);
    let mut alone_since = Instant::now();
    let mut ticks = tokio::time::interval(LOOK_INTERVAL);
    while alone_since.elapsed() < Duration::from_millis(order.stay_ms) {
        ticks.tick().await;
        let row = watch
            .query_one(
                include_str!("../../../sql/postgres/source_run_there.sql"),
                &[&names.lock.0.cast_unsigned(), &names.lock.1.cast_unsigned(), &slot.process_id()],
            )
            .await
            .map_err(attempting("look for the run"))?;
        if !row.get::<_, bool>("slot_there") {
            return Ok(());
        }
        if row.get::<_, bool>("run_there") {
            alone_since = Instant::now();
        }
    }
    Ok(())
}

/// Whether the sessions behind a snapshot are still the ones that took it.
pub(super) async fn is_held(client: &Driver, handle: &Handle) -> Result<bool, Failure> {
    let (pids, begun): (Vec<i32>, Vec<String>) = handle.sessions.iter().cloned().unzip();
    let row = client
        .query_one(
            "SELECT pg_catalog.count(*) = pg_catalog.cardinality($1::int4[]) \
             FROM pg_catalog.pg_stat_activity AS a \
             JOIN ROWS FROM (pg_catalog.unnest($1::int4[]), pg_catalog.unnest($2::text[])) \
             AS s(pid, begun) ON a.pid = s.pid AND a.backend_start::text = s.begun",
            &[&pids, &begun],
        )
        .await
        .map_err(attempting("look whether the snapshot is still held"))?;
    Ok(row.get(0))
}

/// Removes what an earlier attempt to hold a snapshot left.
///
/// # Errors
///
/// Where the slot is another database's.
pub(super) async fn clear(client: &Driver, names: &Names) -> Result<(), Failure> {
    end(client, names).await?;
    slot::drop_slot(client, &names.slot).await?;
    match slot::claim_slot(client, &names.slot).await? {
        Some(foreign) => Err(foreign.into()),
        None => Ok(()),
    }
}

/// Makes the slot without a snapshot. It waits for transactions that are running, for as long as the session
/// waits for locks.
pub(super) async fn retain(client: &Client, names: &Names) -> Result<(), Failure> {
    let create = "SELECT pg_catalog.pg_create_logical_replication_slot($1::text::name, 'pgoutput')";
    let created = client.execute(create, &[&names.slot]).await;
    match created.map_err(attempting(format!("make the replication slot {}", names.slot))) {
        Err(error) if error.code() == Some("55P03") => {
            Err(SourceError::HeldUp { holdup: slot_holdup(client).await? }.into())
        }
        other => Ok(other.map(|_| ())?),
    }
}

/// Ends every session of ours that holds a snapshot.
pub(super) async fn end(client: &Driver, names: &Names) -> Result<(), Failure> {
    client
        .execute(
            "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity \
             WHERE application_name = $1 AND datname = pg_catalog.current_database() \
             AND usename = current_user",
            &[&names.holder],
        )
        .await
        .map_err(attempting("end the sessions that hold the snapshot"))?;
    Ok(())
}
