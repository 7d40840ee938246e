//! Publication and slot: what makes the log tell us about the tables, and keeps it for us.
//!
//! In: tables and names. Out: a publication that covers them, and the truth about the slot. Nothing
//! is made again in silence: a slot that is lost, moved or foreign is an error with its own code.
//!
//! A partitioned table that is copied as one is published by itself, with the changes of all its
//! partitions as its own. Others are published by their leaves, each by name, so that one that is detached goes
//! on being published; and by their roots where these have a primary key, so that a partition
//! created later shows in the log, where it halts the run. Without that key, the new partition would
//! have no replica identity, and once it was published every UPDATE of it by the application would
//! fail; then it shows only when partitions are looked at, from time to time. Tables whose rows cannot be
//! told apart are in a publication of their own without updates and deletes: in the other one,
//! every UPDATE by the application would fail.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Row};

use super::error::SourceError;
use crate::connect::attempting;
use crate::connect::quote::{quote_ident, quote_literal, quote_name};
use crate::model::{Failure, Identity, Lsn, Table, TableName};

/// How long the ended user of a slot may take to let go of it.
const DROP_PATIENCE: Duration = Duration::from_secs(10);

/// How often that is looked at meanwhile.
const DROP_INTERVAL: Duration = Duration::from_millis(100);

/// The names that a migration uses on its source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// The slot.
    pub slot: String,
    /// The slot of a later snapshot, gone with its connection.
    pub temporary_slot: String,
    /// The publication of tables whose rows can be told apart.
    pub publication: String,
    /// The publication of tables that only grow.
    pub appending: String,
    /// What sessions that hold a snapshot call themselves.
    pub holder: String,
    /// What all other sessions call themselves.
    pub application: &'static str,
    /// The two halves of the advisory lock that a running process holds on the source.
    pub lock: (i32, i32),
}

impl Names {
    /// The names of the migration `name`.
    #[must_use]
    pub fn new(name: &str) -> Self {
        // FNV-1a: it has to be the same in every version, and nothing more.
        let hash = name
            .bytes()
            .fold(0x811C_9DC5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
        Names {
            slot: format!("dunlin_{name}"),
            temporary_slot: format!("dunlin_{name}_again"),
            publication: format!("dunlin_{name}"),
            appending: format!("dunlin_{name}_appending"),
            holder: format!("dunlin snapshot {name}"),
            application: "dunlin",
            lock: (i32::from_be_bytes(*b"dunl"), hash.cast_signed()),
        }
    }

    /// The publications to stream from.
    #[must_use]
    pub fn publications(&self) -> [String; 2] {
        [self.publication.clone(), self.appending.clone()]
    }
}

/// What stands already under the names that a new migration is about to use.
pub(super) async fn claim(client: &Client, names: &Names) -> Result<Option<SourceError>, Failure> {
    if let Some(foreign) = claim_slot(client, &names.slot).await? {
        return Ok(Some(foreign));
    }
    let publications = names.publications();
    let publication = client
        .query_opt(
            "SELECT pubname::text FROM pg_catalog.pg_publication \
             WHERE pubname::text = ANY($1) LIMIT 1",
            &[&publications.as_slice()],
        )
        .await
        .map_err(attempting("look for publications of that name"))?;
    Ok(publication.map(|row| SourceError::PublicationForeign { publication: row.get(0) }))
}

/// The slot that stands already under the name of ours.
pub(super) async fn claim_slot(
    client: &Client,
    slot: &str,
) -> Result<Option<SourceError>, Failure> {
    let row = client
        .query_opt(
            "SELECT database::text, active FROM pg_catalog.pg_replication_slots \
             WHERE slot_name = $1::text",
            &[&slot],
        )
        .await
        .map_err(attempting(format!("look for the replication slot {slot}")))?;
    Ok(row.map(|row| SourceError::SlotForeign {
        slot: slot.to_owned(),
        database: row.get("database"),
        active: row.get("active"),
    }))
}

/// Makes sure that nobody is at work under our names, and keeps a run out until the session ends.
///
/// # Errors
///
/// Where somebody is, or the slot is another database's.
pub(super) async fn claim_leftover(client: &Client, names: &Names) -> Result<(), Failure> {
    let row = client
        .query_one(
            "SELECT pg_catalog.pg_try_advisory_lock($1, $2) AS locked, \
             (SELECT s.active OR s.database IS DISTINCT FROM pg_catalog.current_database() \
              FROM pg_catalog.pg_replication_slots AS s \
              WHERE s.slot_name = $3::text) IS TRUE AS used",
            &[&names.lock.0, &names.lock.1, &names.slot],
        )
        .await
        .map_err(attempting("look whether a run is there on the source"))?;
    if row.get("locked") && !row.get::<_, bool>("used") {
        return Ok(());
    }
    Err(SourceError::UsedElsewhere { slot: names.slot.clone() }.into())
}

/// Makes the publications anew, in one transaction.
pub(super) async fn publish(
    client: &Client,
    names: &Names,
    tables: &[Table],
    server_version_num: u32,
) -> Result<(), Failure> {
    let (appending, known): (Vec<&Table>, Vec<&Table>) =
        tables.iter().partition(|table| table.identity == Identity::Nothing);
    // Before 13 a partitioned table cannot be published itself.
    let keyed_roots = match server_version_num >= 130_000 {
        true => keyed_roots(client).await?,
        false => BTreeSet::new(),
    };
    let text = format!(
        "BEGIN; {}; {}; {}; {}; COMMIT",
        drop_publication(&names.publication),
        drop_publication(&names.appending),
        create_publication(&names.publication, &known, &appending, &keyed_roots),
        create_publication(&names.appending, &appending, &known, &keyed_roots)
    );
    let made = client.batch_execute(&text).await;
    if made.is_err() {
        let undone = client.batch_execute("ROLLBACK").await;
        undone.map_err(attempting("undo the publication"))?;
    }
    Ok(made.map_err(attempting(format!("create the publication {}", names.publication)))?)
}

/// Adds tables to the publications. They must not be in them yet.
pub(super) async fn publish_more(
    client: &Client,
    names: &Names,
    tables: &[Table],
) -> Result<(), Failure> {
    if tables.iter().any(|table| table.partitions.is_some()) {
        for publication in names.publications() {
            let text = format!(
                "ALTER PUBLICATION {} SET (publish_via_partition_root = true)",
                quote_ident(&publication)
            );
            let altered = client.batch_execute(&text).await;
            altered.map_err(attempting(format!("alter the publication {publication}")))?;
        }
    }
    for table in tables {
        let publication = match table.identity {
            Identity::Nothing => &names.appending,
            Identity::Key { .. } | Identity::Full => &names.publication,
        };
        let text = format!(
            "ALTER PUBLICATION {} ADD TABLE ONLY {}",
            quote_ident(publication),
            quote_name(&table.name)
        );
        match client.batch_execute(&text).await {
            // It is in it since an attempt that was cut short.
            Err(error) if error.code() == Some(&SqlState::DUPLICATE_OBJECT) => {}
            other => other.map_err(attempting(format!("publish table {}", table.name)))?,
        }
    }
    Ok(())
}

fn drop_publication(name: &str) -> String {
    format!("DROP PUBLICATION IF EXISTS {}", quote_ident(name))
}

/// Partitioned tables whose primary key every partition of theirs gets, later ones too.
async fn keyed_roots(client: &Client) -> Result<BTreeSet<TableName>, Failure> {
    let rows = client
        .query(include_str!("../../../sql/postgres/source_keyed_roots.sql"), &[])
        .await
        .map_err(attempting("look for the primary keys of partitioned tables"))?;
    let name = |row: &Row| TableName { schema: row.get("schema"), name: row.get("name") };
    Ok(rows.iter().map(name).collect())
}

/// A root is published where all its leaves are of the same kind: in two publications with
/// different operations, its leaves would be published with both.
fn create_publication(
    name: &str,
    tables: &[&Table],
    others: &[&Table],
    keyed_roots: &BTreeSet<TableName>,
) -> String {
    let other_roots: BTreeSet<&TableName> =
        others.iter().filter_map(|table| table.root.as_ref()).collect();
    let roots: BTreeSet<&TableName> = tables
        .iter()
        .filter_map(|table| table.root.as_ref())
        .filter(|root| keyed_roots.contains(*root) && !other_roots.contains(root))
        .collect();
    let names: Vec<_> = tables
        .iter()
        .map(|table| format!("ONLY {}", quote_name(&table.name)))
        .chain(roots.into_iter().map(quote_name))
        .collect();
    let appending = tables.first().is_some_and(|table| table.identity == Identity::Nothing);
    let operations =
        if appending { "insert, truncate" } else { "insert, update, delete, truncate" };
    let as_one = |table: &&&Table| table.partitions.is_some();
    let via_root = match tables.iter().chain(others).any(|table| as_one(&table)) {
        true => ", publish_via_partition_root = true",
        false => "",
    };
    let tables =
        if names.is_empty() { String::new() } else { format!(" FOR TABLE {}", names.join(", ")) };
    format!(
        "CREATE PUBLICATION {}{tables} WITH (publish = {}{via_root})",
        quote_ident(name),
        quote_literal(operations)
    )
}

/// A slot as the server shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    pub(super) confirmed: Lsn,
    pub(super) active_pid: Option<i32>,
    pub(super) retained_bytes: u64,
    pub(super) safe_bytes: Option<i64>,
}

/// Reads the slot.
///
/// # Errors
///
/// Where it is missing, invalidated, or another than ours.
pub(super) async fn look(client: &Client, slot: &str) -> Result<Slot, Failure> {
    // As a row of JSON: which columns there are depends on the version.
    let row = client
        .query_opt(include_str!("../../../sql/postgres/source_slot.sql"), &[&slot])
        .await
        .map_err(attempting(format!("look at the replication slot {slot}")))?;
    let Some(row) = row else {
        return Err(SourceError::SlotMissing { slot: slot.to_owned() }.into());
    };
    let columns: serde_json::Value = serde_json::from_str(row.get("slot"))
        .map_err(|_| SourceError::Answer { command: "the query for the slot" })?;
    let text = |name: &str| columns.get(name).and_then(|value| value.as_str());
    if let Some(why) = text("invalidation_reason").filter(|why| !why.is_empty()) {
        return Err(lost(slot, why));
    }
    if text("wal_status") == Some("lost") || text("restart_lsn").is_none() {
        return Err(lost(slot, "lost"));
    }
    if text("plugin") != Some("pgoutput") || !row.get::<_, bool>("of_this_database") {
        return Err(SourceError::SlotOther { slot: slot.to_owned() }.into());
    }
    let confirmed = text("confirmed_flush_lsn").and_then(|lsn| lsn.parse().ok());
    Ok(Slot {
        confirmed: confirmed.unwrap_or_default(),
        active_pid: columns.get("active_pid").and_then(|pid| pid.as_i64()).map(|pid| pid as i32),
        retained_bytes: row.get::<_, i64>("retained").max(0).cast_unsigned(),
        safe_bytes: columns.get("safe_wal_size").and_then(serde_json::Value::as_i64),
    })
}

fn lost(slot: &str, why: &str) -> Failure {
    SourceError::SlotLost { slot: slot.to_owned(), why: why.to_owned() }.into()
}

/// Makes sure that a stream from `checkpoint` gets everything that comes after it.
///
/// # Errors
///
/// Where the slot or a publication does not allow it.
pub(super) async fn ensure_streamable(
    client: &Client,
    names: &Names,
    checkpoint: Lsn,
) -> Result<(), Failure> {
    let slot = look(client, &names.slot).await?;
    if slot.confirmed > checkpoint {
        return Err(SourceError::SlotAhead {
            slot: names.slot.clone(),
            confirmed: slot.confirmed,
            checkpoint,
        }
        .into());
    }
    if let Some(pid) = slot.active_pid {
        return Err(SourceError::SlotActive { slot: names.slot.clone(), pid }.into());
    }
    ensure_published(client, names).await
}

/// Makes sure that the publications are there: without them the server would decode up to the
/// first change and fail there, or, where one was made anew, leave changes out.
pub(super) async fn ensure_published(client: &Client, names: &Names) -> Result<(), Failure> {
    for publication in names.publications() {
        let found = client
            .query_opt(
                "SELECT 1 FROM pg_catalog.pg_publication WHERE pubname = $1::text",
                &[&publication],
            )
            .await
            .map_err(attempting("look for the publications"))?;
        if found.is_none() {
            return Err(SourceError::PublicationMissing { publication }.into());
        }
    }
    Ok(())
}

/// Drops the slot, if it is there and this database's; whoever uses it is ended first. Returns
/// whether it was there.
///
/// # Errors
///
/// Where its user does not go in time.
pub(super) async fn drop_slot(client: &Client, slot: &str) -> Result<bool, Failure> {
    let dropping = || attempting(format!("drop the replication slot {slot}"));
    let since = Instant::now();
    let mut ticks = tokio::time::interval(DROP_INTERVAL);
    loop {
        ticks.tick().await;
        let text = include_str!("../../../sql/postgres/source_end_slot_user.sql");
        let row = client.query_opt(text, &[&slot]).await.map_err(dropping())?;
        let Some(row) = row else { return Ok(false) };
        let Some(pid) = row.get("active_pid") else { break };
        if since.elapsed() >= DROP_PATIENCE {
            return Err(SourceError::SlotActive { slot: slot.to_owned(), pid }.into());
        }
    }
    client
        .execute("SELECT pg_catalog.pg_drop_replication_slot($1::text::name)", &[&slot])
        .await
        .map_err(dropping())?;
    Ok(true)
}

/// Removes slot and publications, and returns those that were there. May be called again.
pub(super) async fn remove(client: &Client, names: &Names) -> Result<Vec<String>, Failure> {
    let mut removed = Vec::new();
    if drop_slot(client, &names.slot).await? {
        removed.push(format!("source: replication slot {}", names.slot));
    }
    let publications = names.publications();
    let found = client
        .query(
            "SELECT pubname::text FROM pg_catalog.pg_publication \
             WHERE pubname::text = ANY($1) ORDER BY pubname",
            &[&publications.as_slice()],
        )
        .await
        .map_err(attempting("look for the publications"))?;
    for row in found {
        let publication: String = row.get(0);
        client
            .batch_execute(&drop_publication(&publication))
            .await
            .map_err(attempting(format!("drop the publication {publication}")))?;
        removed.push(format!("source: publication {publication}"));
    }
    Ok(removed)
}
