//! What the source says about itself: the server, its sequences, its large objects, its counters.
//!
//! In: a session and the selection. Out: plain values. It only reads, takes no lock beyond those
//! of a SELECT, and knows nothing of the target. Tables and columns are in `relations`.

use tokio_postgres::Client;

use crate::connect::StatementError;
use crate::connect::quote::quote_name;
use crate::connect::server::Basics;
use crate::model::objects::SequenceValue;
use crate::model::selection::{Selection, SelectionError};
use crate::model::{Code, Disposition, Fault, Halt, Lsn, Position, Table, TableName};

use super::relations::{self, Layout};
use super::standby;

/// What can go wrong in reading the source's catalog.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// A query failed.
    #[error(transparent)]
    Query(#[from] StatementError),
    /// The selection does not fit the tables there are.
    #[error(transparent)]
    Selection(#[from] SelectionError),
    /// A partitioned table cannot be copied as one.
    #[error("partition {partition} of table {root} is left out, and {root} is moved as one table")]
    PartlySelected {
        /// The partitioned table.
        root: TableName,
        /// The partition.
        partition: TableName,
    },
    /// The server answered a position that is none.
    #[error("the source's log position cannot be read")]
    Position {
        /// The cause.
        #[source]
        source: crate::model::position::ParsePositionError,
    },
}

impl Fault for CatalogError {
    fn disposition(&self) -> Disposition {
        match self {
            CatalogError::Query(error) => error.disposition(),
            CatalogError::Selection(error) => error.disposition(),
            CatalogError::PartlySelected { root, .. } => Halt::with(
                Code::ConfigInvalid,
                format!(
                    "leave {root} out whole, or none of its partitions; or move partitioned tables \
                     by --partitions leaves"
                ),
            ),
            CatalogError::Position { .. } => {
                Halt::with(Code::ProtocolViolation, "check that the source is a Postgres server")
            }
        }
    }
}

/// Names a failed query by what it asked for.
pub(super) fn reading(what: &'static str) -> impl FnOnce(tokio_postgres::Error) -> CatalogError {
    move |error| StatementError::new(format!("read {what} from the source"), error).into()
}

/// The source server, its database and the role we are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// What every Postgres server says.
    pub basics: Basics,
    /// It is a standby.
    pub in_recovery: bool,
    /// `minimal`, `replica` or `logical`.
    pub wal_level: String,
    /// Replication slots there may be.
    pub max_replication_slots: i32,
    /// Replication slots there are.
    pub used_replication_slots: i32,
    /// WAL senders there may be.
    pub max_wal_senders: i32,
    /// WAL senders there are.
    pub used_wal_senders: i32,
    /// How much log the server keeps for a slot before it invalidates the slot; None without a
    /// bound (and before version 13, which knows none).
    pub max_slot_wal_keep_bytes: Option<u64>,
    /// How long a slot may go unused before the server invalidates it, as the server writes it;
    /// None without a bound (and before version 18, which knows none).
    pub idle_slot_limit: Option<String>,
    /// The role may replicate.
    pub has_replication: bool,
}

impl Server {
    /// It is a standby from which the log can be decoded.
    #[must_use]
    pub fn decodes_as_standby(&self) -> bool {
        self.in_recovery && self.basics.version_num >= standby::DECODES_SINCE
    }
}

/// Reads what the server says about itself.
///
/// # Errors
///
/// A query failed.
pub async fn server(client: &Client) -> Result<Server, CatalogError> {
    let row = client
        .query_one(include_str!("../../../sql/postgres/source_server.sql"), &[])
        .await
        .map_err(reading("the server's settings"))?;
    let keep_mb: Option<i64> = row.get("max_slot_wal_keep_mb");
    Ok(Server {
        basics: Basics::read(client, &row).await?,
        in_recovery: row.get("in_recovery"),
        wal_level: row.get("wal_level"),
        max_replication_slots: row.get("max_replication_slots"),
        used_replication_slots: row.get("used_replication_slots"),
        max_wal_senders: row.get("max_wal_senders"),
        used_wal_senders: row.get("used_wal_senders"),
        max_slot_wal_keep_bytes: keep_mb.and_then(|mb| u64::try_from(mb).ok()).map(|mb| mb << 20),
        idle_slot_limit: row.get("idle_slot_limit"),
        has_replication: row.get("has_replication"),
    })
}

/// Whether a table holds a row.
///
/// # Errors
///
/// The query failed.
pub(super) async fn has_rows(client: &Client, table: &TableName) -> Result<bool, CatalogError> {
    let text = format!("SELECT EXISTS (SELECT FROM ONLY {})", quote_name(table));
    Ok(client.query_one(&text, &[]).await.map_err(reading("whether a table has rows"))?.get(0))
}

/// Whether a table ever had a row since its file was made: its first row gives it a page.
///
/// # Errors
///
/// The query failed.
pub(super) async fn had_rows(client: &Client, table: u64) -> Result<bool, CatalogError> {
    let oid = u32::try_from(table).unwrap_or_default();
    let text = "SELECT COALESCE(pg_catalog.pg_relation_size($1::oid), 1) > 0";
    let row = client.query_one(text, &[&oid]).await;
    Ok(row.map_err(reading("whether a table ever had rows"))?.get(0))
}

/// Whether a partition came into being as one, so that every row of it is in the log: no table
/// between it and `root` was attached.
///
/// # Errors
///
/// The query failed.
pub(super) async fn created_as_partition(
    client: &Client,
    partition: u64,
    root: u64,
) -> Result<bool, CatalogError> {
    let oids = [partition, root].map(|oid| u32::try_from(oid).unwrap_or_default());
    let text = include_str!("../../../sql/postgres/source_partition_made.sql");
    let row = client.query_one(text, &[&oids[0], &oids[1]]).await;
    Ok(row.map_err(reading("how a partition came into being"))?.get(0))
}

/// How far the log is durable on the source, or on its primary where it is a standby. Read twice,
/// it gives the rate at which the source writes.
///
/// # Errors
///
/// The query failed.
pub async fn flushed(client: &Client) -> Result<Position, CatalogError> {
    let row = client
        .query_one(include_str!("../../../sql/postgres/source_end_of_log.sql"), &[])
        .await
        .map_err(reading("the log position"))?;
    let lsn: Lsn =
        row.get::<_, String>(0).parse().map_err(|source| CatalogError::Position { source })?;
    Ok(Position::Postgres(lsn))
}

/// Sequences read by one statement: bounds the locks that one transaction holds.
const SEQUENCES_PER_QUERY: usize = 500;

/// Reads where every carried sequence stands: those owned by a selected table, and free ones
/// that no exclude pattern names.
///
/// Sequences are not transactional: this sees the values of now, whatever the snapshot.
///
/// # Errors
///
/// A query failed.
pub async fn sequences(
    client: &Client,
    selection: &Selection,
) -> Result<Vec<SequenceValue>, CatalogError> {
    let names = sequence_names(client, selection).await?.carried;
    let mut values = Vec::with_capacity(names.len());
    for names in names.chunks(SEQUENCES_PER_QUERY) {
        let selects: Vec<String> = names
            .iter()
            .enumerate()
            .map(|(number, name)| {
                let sequence = quote_name(name);
                format!("SELECT {number}::int4, last_value, is_called FROM {sequence}")
            })
            .collect();
        let rows = client
            .query(&selects.join(" UNION ALL "), &[])
            .await
            .map_err(reading("the sequences' values"))?;
        values.extend(rows.iter().filter_map(|row| {
            let number = usize::try_from(row.get::<_, i32>(0)).ok()?;
            Some(SequenceValue {
                name: names.get(number)?.clone(),
                last_value: row.get(1),
                is_called: row.get(2),
            })
        }));
    }
    Ok(values)
}

/// The database's sequences, as the selection divides them.
#[derive(Clone, Debug, Default)]
pub(super) struct SequenceNames {
    pub(super) carried: Vec<TableName>,
    pub(super) left_out: Vec<TableName>,
}

pub(super) async fn sequence_names(
    client: &Client,
    selection: &Selection,
) -> Result<SequenceNames, CatalogError> {
    let layout = relations::layout(client, selection).await?;
    let rows = client
        .query(include_str!("../../../sql/postgres/source_sequences.sql"), &[])
        .await
        .map_err(reading("the sequences"))?;
    let mut names = SequenceNames::default();
    for row in rows {
        let name = TableName { schema: row.get("schema"), name: row.get("name") };
        if carries_sequence(selection, &layout, &name, row.get("owner")) {
            names.carried.push(name);
        } else {
            names.left_out.push(name);
        }
    }
    Ok(names)
}

fn carries_sequence(
    selection: &Selection,
    layout: &Layout,
    name: &TableName,
    owner: Option<u32>,
) -> bool {
    match owner {
        Some(owner) => layout.keeps(owner),
        None => !selection.excludes(name),
    }
}

/// How many large objects the database has.
///
/// # Errors
///
/// The query failed.
pub async fn large_objects(client: &Client) -> Result<u64, CatalogError> {
    let row = client
        .query_one("SELECT count(*) FROM pg_catalog.pg_largeobject_metadata", &[])
        .await
        .map_err(reading("the large objects"))?;
    Ok(row.get::<_, i64>(0).cast_unsigned())
}

/// The OID of `pg_largeobject` and of `pg_largeobject_metadata`, fixed in every version: with
/// [`changes`] they tell whether a large object was written, created or dropped.
pub const LARGE_OBJECT_TABLES: [u32; 2] = [2613, 2995];

/// How many rows of a table were written since its statistics were last reset. The server
/// reports them with some delay and loses them in a crash: compare for being different, not for
/// being greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Changes {
    /// The table's OID.
    pub table: u32,
    /// Rows inserted.
    pub inserts: i64,
    /// Rows updated.
    pub updates: i64,
    /// Rows deleted.
    pub deletes: i64,
}

/// Reads the write counters of the given tables; one that is gone is absent.
///
/// # Errors
///
/// The query failed.
pub async fn changes(client: &Client, tables: &[u32]) -> Result<Vec<Changes>, CatalogError> {
    let rows = client
        .query(include_str!("../../../sql/postgres/source_changes.sql"), &[&tables])
        .await
        .map_err(reading("the write counters"))?;
    Ok(rows
        .iter()
        .map(|row| Changes {
            table: row.get(0),
            inserts: row.get(1),
            updates: row.get(2),
            deletes: row.get(3),
        })
        .collect())
}

/// The OIDs of a table and of the partitions that are copied with it.
pub(super) fn relation_oids(table: &Table) -> impl Iterator<Item = u32> {
    let leaves = table.partitions.iter().flat_map(|partitions| &partitions.leaves);
    std::iter::once(table.source_id)
        .chain(leaves.map(|leaf| leaf.source_id))
        .filter_map(|oid| u32::try_from(oid).ok())
}
