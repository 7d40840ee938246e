//! What can go wrong with a Postgres source, apart from its connections.

use std::io;

use super::standby::StandbyError;
use super::wire::WireError;
use crate::model::{Code, Disposition, Fault, Halt, Lsn, TableName};

/// A Postgres source failed, or is not as it was left.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// A slot stands where ours is to be.
    #[error(
        "the source already has a replication slot {slot} that is not of this migration: {}, {}",
        database.as_ref().map_or("a physical one".to_owned(), |name| format!("of database {name}")),
        if *active { "in use" } else { "not in use at the moment" }
    )]
    SlotForeign {
        /// Its name.
        slot: String,
        /// Its database, unless it is a physical one.
        database: Option<String>,
        /// Somebody reads from it.
        active: bool,
    },
    /// A publication stands where ours is to be.
    #[error("the source already has a publication {publication} that is not of this migration")]
    PublicationForeign {
        /// Its name.
        publication: String,
    },
    /// The target knows nothing of a migration that is alive on the source.
    #[error(
        "the target holds no migration of that name, but on the source one is at work under it, \
         or its replication slot {slot} is another database's"
    )]
    UsedElsewhere {
        /// The slot's name.
        slot: String,
    },
    /// What others do is not to be seen.
    #[error("see what sessions of other roles do as role {role}")]
    ActivityHidden {
        /// Our role.
        role: String,
    },
    /// There is no slot to be had.
    #[error("create a replication slot")]
    NoFreeSlot {
        /// The server's word for it.
        #[source]
        source: WireError,
    },
    /// The slot is gone.
    #[error("the source has no replication slot {slot} any more")]
    SlotMissing {
        /// Its name.
        slot: String,
    },
    /// The server invalidated the slot.
    #[error("the source has invalidated the replication slot {slot} ({why})")]
    SlotLost {
        /// Its name.
        slot: String,
        /// The server's word for it.
        why: String,
    },
    /// The slot was moved, or made anew, by somebody else.
    #[error(
        "the replication slot {slot} is confirmed up to {confirmed}, beyond the checkpoint \
         {checkpoint} that is durable on the target"
    )]
    SlotAhead {
        /// Its name.
        slot: String,
        /// How far the server believes that it was applied.
        confirmed: Lsn,
        /// How far it was.
        checkpoint: Lsn,
    },
    /// The slot is of another kind than ours.
    #[error("the replication slot {slot} is not a pgoutput slot of this database")]
    SlotOther {
        /// Its name.
        slot: String,
    },
    /// Another process streams from the slot.
    #[error("the replication slot {slot} is in use by the server process {pid}")]
    SlotActive {
        /// Its name.
        slot: String,
        /// The WAL sender's process.
        pid: i32,
    },
    /// A publication is gone.
    #[error("the source has no publication {publication} any more")]
    PublicationMissing {
        /// Its name.
        publication: String,
    },
    /// The snapshot could not be had in time.
    #[error("the snapshot could not be taken in time: {holdup}")]
    HeldUp {
        /// Who holds it up.
        holdup: String,
    },
    /// The snapshot went away, or could not be read under.
    #[error("read under the snapshot that is held")]
    Snapshot {
        /// Why.
        #[source]
        source: WireError,
    },
    /// The process that holds the snapshot could not be started, or died early.
    #[error("start the process that holds the snapshot")]
    Holder {
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The process that holds the snapshot failed.
    #[error("hold the snapshot: {message}")]
    HolderFailed {
        /// What it said.
        message: String,
        /// What follows.
        disposition: Disposition,
    },
    /// What was stored about a snapshot cannot be read.
    #[error("read what is stored about the snapshot")]
    Handle {
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// The server answered a replication command in an unexpected form.
    #[error("understand the server's answer to {command}")]
    Answer {
        /// The command.
        command: &'static str,
    },
    /// A table was dropped and created again.
    #[error("table {table} was dropped and created again on the source")]
    Recreated {
        /// The table.
        table: String,
    },
    /// A table goes by a name under which it is not known to the migration.
    #[error("table {table} is called {now} on the source by now")]
    Renamed {
        /// The table.
        table: TableName,
        /// Its name at the snapshot.
        now: TableName,
    },
    /// A partition with rows was attached.
    #[error("the partition {table} was attached on the source, and has rows that are not copied")]
    PartitionCame {
        /// The partition.
        table: TableName,
    },
    /// A table has other columns at the snapshot than when the migration was planned.
    #[error("the columns of table {table} changed on the source since the migration was planned")]
    ColumnsChanged {
        /// The table.
        table: String,
    },
    /// A partition came whose changes are not in the log.
    #[error("partition {table} is unlogged or a foreign table, so its changes are not in the log")]
    PartitionUnlogged {
        /// The partition.
        table: TableName,
    },
    /// A table without identity saw an update or delete.
    #[error("table {table}, which has no replica identity, saw updates or deletes")]
    IdentityNeeded {
        /// The table.
        table: String,
    },
    /// The server says nothing any more.
    #[error("the source's log sender has been silent for {seconds} seconds")]
    Silent {
        /// For how long.
        seconds: u64,
    },
    /// The source is a standby.
    #[error(transparent)]
    Standby(#[from] StandbyError),
    /// The connection failed.
    #[error(transparent)]
    Wire(#[from] WireError),
}

/// How to begin anew where the log that is needed is gone.
const ANEW: &str = "the changes in between are not to be had from the log: begin anew with \
                    `dunlin complete`, then `dunlin run --truncate-target '*'`";

/// Which server is meant.
const OTHER_SERVER: &str = "where --source is another server of the cluster than the migration \
                            began with, name that one (a primary and its standbys have each \
                            slots of their own)";

/// What to do about a table that is not known by its name.
const FORMER_NAME: &str = "give it its former name again and run the same command again, or begin \
                           anew: `dunlin complete`, then `dunlin run --truncate-target '*'`";

/// How to make room for a slot.
const FREE_SLOT: &str = "drop a slot that nobody needs (pg_replication_slots lists them), or raise \
                         max_replication_slots and restart the source";

/// How to name the migration that is meant.
const SAME_AS_RUN: &str = "look at --name, --source and --target: they must be those of \
                           `dunlin run`; stop a run first";

/// How to get by something that stands under one of our names.
const OTHER_NAME: &str = "choose another --name; only if";

fn log_it(table: &TableName) -> String {
    format!(
        "make {table} logged on the source (ALTER TABLE ... SET LOGGED), or detach it; then run the \
         same command again"
    )
}

fn attach_likewise(table: &TableName) -> String {
    format!(
        "create {table} on the target and attach it likewise, then run the same command again: it \
         copies the rows and goes on"
    )
}

/// What keeps a slot from being lost for this reason (`invalidation_reason` in the manual's page on
/// pg_replication_slots).
fn against_loss(why: &str) -> &'static str {
    match why {
        "rows_removed" => {
            "set hot_standby_feedback = on on the standby, and give it a physical slot on its primary"
        }
        "wal_level_insufficient" => "set wal_level = logical on the standby's primary",
        "idle_timeout" => "set idle_replication_slot_timeout = 0 on the source",
        _ => "raise max_slot_wal_keep_size on the source",
    }
}

fn beside_slot(slot: &str, active: bool) -> String {
    if active {
        return "choose another --name: somebody needs that slot".to_owned();
    }
    format!(
        "{OTHER_NAME} it is of no migration that goes on later, on the source: \
         SELECT pg_drop_replication_slot('{slot}')"
    )
}

/// What lets us see what others do.
fn show(role: &str) -> String {
    format!("on the source: GRANT pg_read_all_stats TO \"{role}\"")
}

impl Fault for SourceError {
    fn disposition(&self) -> Disposition {
        match self {
            SourceError::SlotForeign { slot, active, .. } => {
                Halt::with(Code::SlotForeign, beside_slot(slot, *active))
            }
            SourceError::PublicationForeign { publication } => Halt::with(
                Code::SlotForeign,
                format!(
                    "{OTHER_NAME} nobody needs it, on the source: DROP PUBLICATION \"{publication}\""
                ),
            ),
            SourceError::PartitionUnlogged { table } => {
                Halt::with(Code::TableUnlogged, log_it(table))
            }
            SourceError::UsedElsewhere { .. } => Halt::with(Code::MigrationMissing, SAME_AS_RUN),
            SourceError::ActivityHidden { role } => Halt::with(Code::PrivilegeMissing, show(role)),
            SourceError::NoFreeSlot { .. } => Halt::with(Code::NoFreeSlot, FREE_SLOT),
            SourceError::SlotMissing { .. } | SourceError::SlotOther { .. } => {
                Halt::with(Code::SlotMissing, format!("{OTHER_SERVER}; otherwise {ANEW}"))
            }
            SourceError::SlotLost { why, .. } => {
                Halt::with(Code::SlotLost, format!("{ANEW}; first {}", against_loss(why)))
            }
            SourceError::SlotAhead { .. } => Halt::with(Code::SlotAhead, ANEW),
            SourceError::SlotActive { .. }
            | SourceError::Snapshot { .. }
            | SourceError::Silent { .. } => Disposition::Retry,
            SourceError::PublicationMissing { .. } => Halt::with(Code::PublicationMissing, ANEW),
            SourceError::HeldUp { .. } => Halt::with(
                Code::SlotHeldUp,
                "wait for it or end it (SELECT pg_terminate_backend(PID)), then run the same \
                 command again; --slot-timeout waits longer",
            ),
            SourceError::Holder { .. } => Halt::with(
                Code::LocalFailed,
                "see the cause; dunlin starts itself a second time, so its own program file must \
                 be there and executable",
            ),
            SourceError::HolderFailed { disposition, .. } => disposition.clone(),
            SourceError::Handle { .. } => Halt::with(
                Code::StateUnreadable,
                "use the version of dunlin that began the migration, or begin anew: \
                 `dunlin complete`, then `dunlin run --truncate-target '*'`",
            ),
            SourceError::Answer { .. } => Halt::with(
                Code::ProtocolViolation,
                "check that --source is a Postgres server, with no pooler in between",
            ),
            SourceError::ColumnsChanged { .. } => Halt::with(
                Code::SchemaChanged,
                "nothing of that table was copied under this snapshot: begin anew with \
                 `dunlin complete`, then `dunlin run --truncate-target '*'`",
            ),
            SourceError::Renamed { .. } => Halt::with(Code::SchemaChanged, FORMER_NAME),
            SourceError::Recreated { .. } => Halt::with(Code::TableRecreated, ANEW),
            SourceError::PartitionCame { table } => {
                Halt::with(Code::PartitionsChanged, attach_likewise(table))
            }
            SourceError::IdentityNeeded { table } => Halt::with(
                Code::IdentityNeeded,
                format!(
                    "on the source: ALTER TABLE {table} REPLICA IDENTITY FULL; then begin anew: \
                     `dunlin complete`, `dunlin run --truncate-target '*'`"
                ),
            ),
            SourceError::Standby(error) => error.disposition(),
            SourceError::Wire(error) => error.disposition(),
        }
    }
}
