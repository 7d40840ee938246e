//! The slot, which keeps the log for us, and the names of all that is ours on a source.
//!
//! In: a session and names. Out: the truth about the slot. Nothing is made again in silence: a slot
//! that is lost, moved or foreign is an error with its own code.

use std::time::{Duration, Instant};

use tokio_postgres::Client;

use super::error::SourceError;
use super::publication;
use crate::connect::attempting;
use crate::model::{Failure, Lsn};

/// How the names of all slots and publications of all migrations begin.
pub(super) const OWN_PREFIX: &str = "dunlin_";

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
            slot: format!("{OWN_PREFIX}{name}"),
            temporary_slot: format!("{OWN_PREFIX}{name}_again"),
            publication: format!("{OWN_PREFIX}{name}"),
            appending: format!("{OWN_PREFIX}{name}_appending"),
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

/// What retains the log for the migration `name`.
#[must_use]
pub fn slot_name(name: &str) -> String {
    Names::new(name).slot
}

/// What stands already under the names that a new migration is about to use. Publications on a
/// standby are its primary's, made there for this migration.
pub(super) async fn claim(
    client: &Client,
    names: &Names,
    standby: bool,
) -> Result<Option<SourceError>, Failure> {
    if let Some(foreign) = claim_slot(client, &names.slot).await? {
        return Ok(Some(foreign));
    }
    if standby {
        return Ok(None);
    }
    let publication = publication::present(client, names).await?.into_iter().next();
    Ok(publication.map(|publication| SourceError::PublicationForeign { publication }))
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
    let safe_bytes = match row.get("in_recovery") {
        true => row.get("standby_safe"),
        false => columns.get("safe_wal_size").and_then(serde_json::Value::as_i64),
    };
    Ok(Slot {
        confirmed: confirmed.unwrap_or_default(),
        active_pid: columns.get("active_pid").and_then(|pid| pid.as_i64()).map(|pid| pid as i32),
        retained_bytes: row.get::<_, i64>("retained").max(0).cast_unsigned(),
        safe_bytes,
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
    publication::ensure(client, names).await
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
