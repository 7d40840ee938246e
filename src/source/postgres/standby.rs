//! A standby as source: what it cannot do, and what becomes of it.
//!
//! In: sessions on a server that was in recovery when they began. Out: findings, warnings, and the
//! moment from which on it is a primary. Logical decoding on a standby begins with version 16
//! ("Logical Decoding Concepts" in the manual); nothing can be written there, so whatever has to be
//! written is told, to be run on the primary.
//!
//! A promoted standby goes on in another timeline, which begins where the old one was left; and so
//! does one whose primary was switched over. Its slots and its log senders go on too, without a word.
//! So that nothing of the new timeline is ever stored under the old one's name, the server is asked
//! after each piece of log, and after each snapshot, which timeline it is on: the one of what it
//! replayed last (`IdentifySystem` in walsender.c). Where that is still the one that it had when it
//! was recognised, all of that is of it. Where it is another, the run begins again from its state,
//! and finds that its log goes on (`Source::continues`).

use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Row};

use super::catalog::Server;
use super::error::SourceError;
use super::wire::{Wire, WireError};
use super::{PostgresSource, publication};
use crate::connect::attempting;
use crate::connect::quote::quote_name;
use crate::model::report::Finding;
use crate::model::{Code, Disposition, Failure, Fault, Halt, Identity, Lsn, Table, TableName};

/// The version from which on a standby can be decoded, as `server_version_num`.
pub(super) const DECODES_SINCE: i32 = 160_000;

/// What is said of a snapshot that is long in coming.
pub(super) const SLOW_SLOT: &str = "on a standby a slot waits until its primary logs which \
     transactions run there, every 15 seconds or so while it is written to; on the primary, SELECT \
     pg_log_standby_snapshot() does that at once";

/// A slot of this name there cannot be: it is no letter, digit or underscore.
const NO_SLOT: &str = "-";

/// What goes wrong on a standby alone.
#[derive(Debug, thiserror::Error)]
pub enum StandbyError {
    /// The publications, which cannot be made on a standby, are not as they are needed.
    #[error("the standby has not the publications that this migration needs")]
    PublicationNeeded {
        /// What its primary has to run.
        statements: String,
    },
    /// Tables came, which cannot be published on a standby.
    #[error("tables came to the migration that are not published yet")]
    TableUnpublished {
        /// What its primary has to run.
        statements: String,
    },
    /// A table without identity came, whose updates a standby does not count.
    #[error("table {table} came to the migration, and has no replica identity")]
    IdentityUnwatched {
        /// The table.
        table: String,
    },
    /// The standby is on another timeline.
    #[error("the standby, or its primary, was promoted: its log goes on in another timeline")]
    OtherTimeline,
    /// The snapshot could not be had in time.
    #[error("the snapshot could not be taken in time: {SLOW_SLOT}")]
    PrimarySlow,
}

impl Fault for StandbyError {
    fn disposition(&self) -> Disposition {
        match self {
            StandbyError::PublicationNeeded { statements } => {
                Halt::with(Code::PublicationNeeded, on_primary(statements))
            }
            StandbyError::TableUnpublished { statements } => {
                Halt::with(Code::TableUnpublished, on_primary(statements))
            }
            StandbyError::IdentityUnwatched { table } => Halt::with(
                Code::IdentityNeeded,
                format!(
                    "on a standby its updates and deletes would pass unseen; on the primary: ALTER \
                     TABLE {table} REPLICA IDENTITY FULL; or, where it never sees any: \
                     --insert-only '{table}'; then run the same command again"
                ),
            ),
            StandbyError::OtherTimeline => Disposition::Retry,
            StandbyError::PrimarySlow => Halt::with(
                Code::SlotHeldUp,
                "on the primary: end what has been open for long (pg_stat_activity, \
                 pg_prepared_xacts); run the same command again and, while it waits, on the \
                 primary: SELECT pg_log_standby_snapshot(); --slot-timeout waits longer",
            ),
        }
    }
}

fn on_primary(statements: &str) -> String {
    format!(
        "on the standby's primary, in the same database:\n{statements}\nthen run the same command \
         again, once the standby has replayed it"
    )
}

/// Whether the server is a standby, now.
pub(super) async fn in_recovery(client: &Client) -> Result<bool, Failure> {
    let row = client
        .query_one("SELECT pg_catalog.pg_is_in_recovery()", &[])
        .await
        .map_err(attempting("ask the source whether it is a standby"))?;
    Ok(row.get(0))
}

/// Knows whether a standby is still on one timeline, by a session of its own, where it waits for
/// nobody.
pub(super) struct TimelineGuard {
    wire: Wire,
    timeline: String,
}

impl TimelineGuard {
    /// `wire` is a replication connection.
    pub(super) fn new(wire: Wire, timeline: String) -> Self {
        TimelineGuard { wire, timeline }
    }

    /// Fails where the standby is on another timeline.
    pub(super) async fn check(&mut self) -> Result<(), Failure> {
        match identify(&mut self.wire).await?.timeline == self.timeline {
            true => Ok(()),
            false => Err(StandbyError::OtherTimeline.into()),
        }
    }
}

/// What a server says of itself over a replication connection.
pub(super) struct Identified {
    /// Its system identifier.
    pub(super) cluster: String,
    /// The timeline that it is on.
    pub(super) timeline: String,
}

/// Asks a server for its identity.
pub(super) async fn identify(wire: &mut Wire) -> Result<Identified, Failure> {
    let answer = || SourceError::Answer { command: "IDENTIFY_SYSTEM" };
    let mut fields = first_row(wire.simple_query("IDENTIFY_SYSTEM").await?).into_iter().flatten();
    let cluster = fields.next().ok_or_else(answer)?;
    let timeline = fields.next().ok_or_else(answer)?;
    Ok(Identified { cluster, timeline })
}

/// What is to be said of a standby before a migration from it begins.
pub(super) async fn findings(client: &Client, server: &Server) -> Result<Vec<Finding>, Failure> {
    let row = following(client).await?;
    let seen = "it is a standby: whatever is to be mended by GRANT, ALTER TABLE, ALTER ROLE or \
                CREATE PUBLICATION is mended on its primary, and settings on both";
    let mut findings = vec![Finding::info("STANDBY", "source", seen)];
    findings.extend(feedback(row.get("feedback"), row.get("has_slot")));
    if !row.get::<_, bool>("connected") {
        findings.push(Finding::warn("STANDBY_ALONE", "source", ALONE));
    }
    if server.wal_level == "logical" && server.max_replication_slots > 0 {
        findings.extend(primary_wal_level(client).await?);
    }
    Ok(findings)
}

/// Whether what the primary writes comes at once.
pub(super) async fn is_connected(client: &Client) -> Result<bool, Failure> {
    Ok(following(client).await?.get("connected"))
}

async fn following(client: &Client) -> Result<Row, Failure> {
    let text = include_str!("../../../sql/postgres/source_standby.sql");
    let asked = client.query_one(text, &[]).await;
    Ok(asked.map_err(attempting("find out how the standby follows its primary"))?)
}

/// What is said of a standby that nothing comes to.
pub(super) const ALONE: &str = "the standby is not connected to its primary: what is written there \
     does not arrive, or only by the archive, and counts in no lag";

fn feedback(on: bool, has_slot: bool) -> Option<Finding> {
    let finding = |seen: &str| Finding::warn("STANDBY_FEEDBACK", "source", seen);
    match (on, has_slot) {
        (false, _) => Some(
            finding(
                "hot_standby_feedback is off: vacuum on the primary ends the snapshot and \
                 invalidates the replication slot, and the migration with it",
            )
            .with_fix("ALTER SYSTEM SET hot_standby_feedback = on; SELECT pg_reload_conf()")
            .with_hint("on the standby; it also needs a physical slot on the primary"),
        ),
        (true, false) => Some(
            finding(
                "primary_slot_name is not set: while the standby is not connected, vacuum on the \
                 primary invalidates the replication slot, and the migration with it",
            )
            .with_fix("SELECT pg_create_physical_replication_slot('standby')")
            .with_hint("on the primary; then set primary_slot_name on the standby"),
        ),
        (true, true) => None,
    }
}

/// A standby knows its primary's wal_level and shows it nowhere; but whatever has to do with decoding
/// asks for it first (`CheckLogicalDecodingRequirements` in logical.c), and only then for the slot.
async fn primary_wal_level(client: &Client) -> Result<Option<Finding>, Failure> {
    let text = "SELECT 1 FROM pg_catalog.pg_logical_slot_peek_binary_changes($1, NULL, 0)";
    let refused = match client.query(text, &[&NO_SLOT]).await {
        Ok(_) => None,
        Err(error) => error.code().cloned(),
    };
    Ok((refused == Some(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE)).then(|| {
        let seen = "wal_level on the standby's primary is not logical";
        Finding::block(Code::WalLevel, "source", seen)
            .with_fix("ALTER SYSTEM SET wal_level = logical")
            .with_hint("on the primary; then restart it")
    }))
}

/// A table whose rows cannot be told apart. Its updates and deletes cannot be seen here: a standby
/// counts none.
pub(super) fn no_identity(table: &TableName) -> Finding {
    let seen = "it has no replica identity, so that only inserts are carried, and on a standby it \
                cannot be seen whether it is updated";
    Finding::block(Code::NoIdentity, format!("table {table}"), seen)
        .with_fix(format!("ALTER TABLE {} REPLICA IDENTITY FULL", quote_name(table)))
        .with_hint(format!(
            "on the primary; or add a primary key there; or leave it out: --exclude '{table}'; \
             where it never sees updates or deletes: --insert-only '{table}'"
        ))
}

/// The finding that the publications are not as they are needed.
pub(super) fn unpublished(statements: String) -> Finding {
    let seen = "the publications of this migration are not on the standby as they are needed";
    Finding::block(Code::PublicationNeeded, "source", seen)
        .with_fix(statements)
        .with_hint("on the primary, in this database: on a standby nothing can be created")
}

/// Where the server left `timeline`; None where that is none of those it came by.
pub(super) async fn left(wire: &mut Wire, timeline: &str) -> Result<Option<Lsn>, Failure> {
    const NO_HISTORY: &str = "58P01";
    let answer = |command| SourceError::Answer { command };
    let now = identify(wire).await?.timeline;
    let rows = match wire.simple_query(&format!("TIMELINE_HISTORY {now}")).await {
        // The first timeline has none.
        Err(WireError::Refused { source, .. }) if source.code == NO_HISTORY => return Ok(None),
        rows => rows?,
    };
    let history = first_row(rows).into_iter().nth(1).flatten();
    let history = history.ok_or_else(|| answer("TIMELINE_HISTORY"))?;
    Ok(switched_at(&history, timeline))
}

fn first_row(rows: Vec<Vec<Option<String>>>) -> Vec<Option<String>> {
    rows.into_iter().next().unwrap_or_default()
}

/// A line for each timeline before this one: its number, where it was left, and why (timeline.c).
fn switched_at(history: &str, timeline: &str) -> Option<Lsn> {
    let fields = history.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let mut left = fields.filter(|fields| fields.first() == Some(&timeline));
    left.next()?.get(1)?.parse().ok()
}

impl PostgresSource {
    /// Tables that come to a migration from a standby, where nothing can be published.
    pub(super) async fn expect_published(&self, tables: &[Table]) -> Result<(), Failure> {
        let unwatched =
            |table: &&Table| table.identity == Identity::Nothing && !self.is_insert_only(table);
        if let Some(table) = tables.iter().find(unwatched) {
            return Err(StandbyError::IdentityUnwatched { table: table.name.to_string() }.into());
        }
        let (control, names) = (&self.shared.control, &self.shared.names);
        match publication::lacking_more(control, names, tables).await? {
            Some(statements) => Err(StandbyError::TableUnpublished { statements }.into()),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeline_was_left_where_the_history_says() {
        let history = "1\t0/3056C68\tno recovery target specified\n\n\
                       2\t1/A0\tbefore 2026-01-01 00:00:00+00\n";
        assert_eq!(switched_at(history, "1"), Some(Lsn(0x0305_6C68)));
        assert_eq!(switched_at(history, "2"), Some(Lsn(0x1_0000_00A0)));
        assert_eq!(switched_at(history, "3"), None);
        assert_eq!(switched_at("1\tnonsense", "1"), None);
    }

    #[test]
    fn feedback_needs_a_slot_of_its_own() {
        assert!(feedback(false, true).is_some() && feedback(true, false).is_some());
        assert_eq!(feedback(true, true), None);
    }
}
