//! The migration's state in the target: who may write, how far everything is.
//!
//! All SQL about the schema `dunlin` is here. Rule 1 rests on [`Fence::store_checkpoint`] and
//! [`Fence::record_chunk`], which run in the transaction that holds the rows and touch nothing
//! where the epoch is no longer ours; the caller must see one row touched, or roll back.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, GenericClient, Row, Statement, Transaction};

use super::TargetError;
use crate::connect::attempting;
use crate::connect::quote::quote_literal;
use crate::model::selection::Patterns;
use crate::model::{
    Bracket, Chunk, ChunkRange, Failure, HeldSnapshot, LedgerEntry, Phase, Position,
    SourceIdentity, Table, TableId,
};
use crate::target::{Checkpoint, Migration, StreamStatus};

/// How the server reports that [`Fence::assertion`] does not hold: division_by_zero.
pub(super) const NOT_OURS: &str = "22012";

/// What storing a checkpoint is called in an error.
pub(super) const STORE_CHECKPOINT: &str = "store the checkpoint";

/// The layout of the state's tables. A binary that knows another one refuses to touch them.
const FORMAT: i32 = 2;

/// The right to write the state: the migration's name and our epoch.
#[derive(Clone, Debug)]
pub struct Fence {
    /// The migration's name.
    pub name: String,
    /// Our epoch.
    pub epoch: i64,
}

/// Prepares the statement of [`Fence::store_checkpoint`].
pub(super) async fn prepare_checkpoint(
    client: &Client,
) -> Result<Statement, tokio_postgres::Error> {
    client.prepare(include_str!("../../../sql/postgres/store_checkpoint.sql")).await
}

impl Fence {
    /// Moves the checkpoint by the prepared `statement`, in the open transaction. Returns how many
    /// verifications were begun; none can be until the transaction ends. None where another process
    /// has taken over.
    pub(super) async fn store_checkpoint(
        &self,
        client: &Client,
        statement: &Statement,
        checkpoint: &Checkpoint,
    ) -> Result<Option<i64>, tokio_postgres::Error> {
        let position = json_text(&checkpoint.position);
        let committed_at = checkpoint.committed_at_us;
        let stored = client
            .query_opt(
                statement,
                &[
                    &self.name,
                    &self.epoch,
                    &position,
                    &committed_at,
                    &count(checkpoint.transactions),
                    &count(checkpoint.changes),
                ],
            )
            .await?;
        Ok(stored.map(|row| row.get("generation")))
    }

    /// Marks a chunk as done, in the open transaction.
    ///
    /// # Errors
    ///
    /// [`TargetError::Fenced`] where another process has taken over.
    pub(super) async fn record_chunk(
        &self,
        client: &Client,
        chunk: &Chunk,
        read: &Bracket,
        rows: u64,
    ) -> Result<(), Failure> {
        let touched = client
            .execute(
                include_str!("../../../sql/postgres/record_chunk.sql"),
                &[
                    &self.name,
                    &self.epoch,
                    &number(chunk.table.0),
                    &number(chunk.number),
                    &json_text(&read.low),
                    &json_text(&read.high),
                    &count(rows),
                ],
            )
            .await
            .map_err(attempting("record a chunk in the ledger"))?;
        if touched == 1 { Ok(()) } else { Err(TargetError::Fenced.into()) }
    }

    /// A statement that fails where the epoch is not ours and else keeps it until the transaction's
    /// end, for transactions that are sent as text.
    pub(super) fn assertion(&self) -> String {
        format!(
            "SELECT 1 / (SELECT pg_catalog.count(*) FROM (SELECT FROM dunlin.checkpoint \
             WHERE migration = {} AND epoch = {} FOR SHARE) AS held)",
            quote_literal(&self.name),
            self.epoch
        )
    }

    /// Makes sure, in the open transaction and until its end, that the epoch is ours.
    ///
    /// # Errors
    ///
    /// [`TargetError::Fenced`] where it is not.
    pub(super) async fn hold(&self, client: &impl GenericClient) -> Result<(), Failure> {
        let held = client
            .query_opt(
                "SELECT 1 FROM dunlin.checkpoint WHERE migration = $1 AND epoch = $2 FOR SHARE",
                &[&self.name, &self.epoch],
            )
            .await
            .map_err(attempting("hold the migration's state"))?;
        if held.is_some() { Ok(()) } else { Err(TargetError::Fenced.into()) }
    }
}

/// Makes the state's tables where they are not there.
pub(super) async fn install(client: &Client) -> Result<(), Failure> {
    let made = client.batch_execute(include_str!("../../../sql/postgres/state.sql")).await;
    made.map_err(attempting("make the state tables of schema dunlin"))?;
    // Its tables may lack what ours have, also where the migration is another.
    let text = "SELECT format FROM dunlin.migration WHERE format <> $1 LIMIT 1";
    let other = client.query_opt(text, &[&FORMAT]).await;
    match other.map_err(attempting("read the layout of the state"))? {
        Some(row) => Err(TargetError::StateFormat { format: row.get(0) }.into()),
        None => Ok(()),
    }
}

/// Whether the state's tables are there.
pub(super) async fn is_installed(client: &Client) -> Result<bool, Failure> {
    let row = client
        .query_one("SELECT pg_catalog.to_regclass('dunlin.status') IS NOT NULL", &[])
        .await
        .map_err(attempting("look for the state tables"))?;
    Ok(row.get(0))
}

/// Reads a migration's state.
pub(super) async fn load(client: &Client, name: &str) -> Result<Option<Migration>, Failure> {
    if !is_installed(client).await? {
        return Ok(None);
    }
    let reading = || attempting("read the migration's state");
    let found = client
        .query_opt(include_str!("../../../sql/postgres/load_migration.sql"), &[&name])
        .await
        .map_err(reading())?;
    let Some(row) = found else { return Ok(None) };
    let format: i32 = row.get("format");
    if format != FORMAT {
        return Err(TargetError::StateFormat { format }.into());
    }
    let phase: String = row.get("phase");
    let tables = client
        .query(
            "SELECT definition::text FROM dunlin.tables WHERE migration = $1 ORDER BY id",
            &[&name],
        )
        .await
        .map_err(reading())?;
    let chunks = client
        .query(include_str!("../../../sql/postgres/load_chunks.sql"), &[&name])
        .await
        .map_err(reading())?;
    Ok(Some(Migration {
        source: parse(&row, "source")?,
        phase: phase.parse::<Phase>().map_err(TargetError::unreadable)?,
        selection: parse(&row, "selection")?,
        tables: tables.iter().map(|row| parse(row, "definition")).collect::<Result<_, _>>()?,
        held: parse_optional(&row, "snapshot")?,
        checkpoint: parse_optional(&row, "position")?,
        ledger: chunks.iter().map(ledger_entry).collect::<Result<_, _>>()?,
        owns_schema: row.get("owns_schema"),
        schema_made: row.get("schema_made"),
        cutover: parse_optional(&row, "cutover")?,
    }))
}

fn ledger_entry(row: &Row) -> Result<LedgerEntry, TargetError> {
    let low: Option<Position> = parse_optional(row, "low")?;
    let high: Option<Position> = parse_optional(row, "high")?;
    Ok(LedgerEntry {
        chunk: Chunk {
            table: TableId(row.get::<_, i32>("table_id").cast_unsigned()),
            number: row.get::<_, i32>("number").cast_unsigned(),
            range: parse(row, "range")?,
            bytes: row.get::<_, i64>("bytes").cast_unsigned(),
        },
        read: low.zip(high).map(|(low, high)| Bracket { low, high }),
        rows: row.get::<_, i64>("rows").cast_unsigned(),
    })
}

/// Writes a new migration.
pub(super) async fn create(
    transaction: &Transaction<'_>,
    name: &str,
    source: &SourceIdentity,
    selection: &Patterns,
    make_schema: bool,
) -> Result<(), Failure> {
    let writing = || attempting("write the new migration's state");
    transaction
        .execute(
            "INSERT INTO dunlin.migration (name, format, source, selection, phase, owns_schema) \
             VALUES ($1, $2, $3::text::jsonb, $4::text::jsonb, $5, $6)",
            &[
                &name,
                &FORMAT,
                &json_text(source),
                &json_text(selection),
                &Phase::Prepare.to_string(),
                &make_schema,
            ],
        )
        .await
        .map_err(writing())?;
    transaction
        .execute("INSERT INTO dunlin.checkpoint (migration, epoch) VALUES ($1, 0)", &[&name])
        .await
        .map_err(writing())?;
    Ok(())
}

/// Has a new migration begin with the stream, in the open transaction: its tables are copied as of
/// `position`.
pub(super) async fn begin_with_stream(
    transaction: &Transaction<'_>,
    name: &str,
    tables: &[Table],
    position: &Position,
) -> Result<(), Failure> {
    let ids: Vec<i32> = tables.iter().map(|table| number(table.id.0)).collect();
    let (range, phase) = (json_text(&ChunkRange::Whole), Phase::CatchUp.to_string());
    let position = json_text(position);
    transaction
        .execute(
            include_str!("../../../sql/postgres/begin_with_stream.sql"),
            &[&name, &phase, &position, &ids, &range],
        )
        .await
        .map_err(attempting("record where the new migration begins"))?;
    Ok(())
}

/// Stores tables as they are now, in the open transaction.
pub(super) async fn store_tables(
    client: &impl GenericClient,
    name: &str,
    tables: &[Table],
) -> Result<(), Failure> {
    let ids: Vec<i32> = tables.iter().map(|table| number(table.id.0)).collect();
    let definitions: Vec<String> = tables.iter().map(json_text).collect();
    client
        .execute(
            "INSERT INTO dunlin.tables (migration, id, definition) \
             SELECT $1, t.id, t.definition::jsonb \
             FROM ROWS FROM (pg_catalog.unnest($2::int4[]), pg_catalog.unnest($3::text[])) \
             AS t(id, definition) \
             ON CONFLICT (migration, id) DO UPDATE SET definition = excluded.definition",
            &[&name, &ids, &definitions],
        )
        .await
        .map_err(attempting("write the list of tables"))?;
    Ok(())
}

/// Stores these tables in place of all that there are.
pub(super) async fn list_anew(
    transaction: &Transaction<'_>,
    name: &str,
    tables: &[Table],
    make_schema: bool,
) -> Result<(), Failure> {
    let writing = || attempting("list the migration's tables anew");
    let forget = "DELETE FROM dunlin.tables WHERE migration = $1";
    transaction.execute(forget, &[&name]).await.map_err(writing())?;
    let owns = "UPDATE dunlin.migration SET owns_schema = $2 WHERE name = $1";
    transaction.execute(owns, &[&name, &make_schema]).await.map_err(writing())?;
    store_tables(transaction, name, tables).await
}

/// Ends the sessions of this name: those of a process that lost the migration's lock. One that is
/// frozen, or whose machine is gone, would otherwise keep the state's row locked in a transaction
/// that never ends.
pub(super) async fn end_sessions(client: &Client, application: &str) -> Result<(), Failure> {
    client
        .execute(
            "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity \
             WHERE application_name = $1 AND datname = pg_catalog.current_database() \
             AND usename = current_user",
            &[&application],
        )
        .await
        .map_err(attempting("end the sessions of the process that was here before"))?;
    Ok(())
}

/// Takes the next epoch. It must outlive a crash of the target, or two processes could have the same
/// one; so must whatever else this session records.
pub(super) async fn next_epoch(client: &Client, name: &str) -> Result<i64, Failure> {
    client
        .batch_execute(
            "SELECT pg_catalog.set_config('synchronous_commit', 'on', false) \
             WHERE pg_catalog.current_setting('synchronous_commit') = 'off'",
        )
        .await
        .map_err(attempting("have commits wait for the disk"))?;
    let row = client
        .query_opt(
            "UPDATE dunlin.checkpoint SET epoch = epoch + 1 WHERE migration = $1 RETURNING epoch",
            &[&name],
        )
        .await
        .map_err(attempting("take the migration over"))?;
    Ok(row.ok_or(TargetError::MigrationMissing { name: name.to_owned() })?.get(0))
}

/// Updates columns of the migration's row, within our epoch. `assignments` is SQL whose
/// parameters begin at `$3`.
pub(super) async fn update(
    client: &Client,
    fence: &Fence,
    assignments: &str,
    values: &[&(dyn tokio_postgres::types::ToSql + Sync)],
) -> Result<(), Failure> {
    let text = format!(
        "WITH fence AS (SELECT 1 FROM dunlin.checkpoint \
         WHERE migration = $1 AND epoch = $2 FOR SHARE) \
         UPDATE dunlin.migration SET {assignments} FROM fence WHERE name = $1"
    );
    let mut parameters: Vec<&(dyn tokio_postgres::types::ToSql + Sync)> =
        vec![&fence.name, &fence.epoch];
    parameters.extend_from_slice(values);
    let touched = client
        .execute(&text, &parameters)
        .await
        .map_err(attempting("record where the migration stands"))?;
    if touched == 1 { Ok(()) } else { Err(TargetError::Fenced.into()) }
}

/// Asks whoever holds the newest epoch to stand by.
pub(super) async fn ask_to_stand_by(client: &Client, name: &str) -> Result<(), Failure> {
    client
        .execute(
            "UPDATE dunlin.migration AS m SET stand_by = c.epoch FROM dunlin.checkpoint AS c \
             WHERE m.name = $1 AND c.migration = m.name",
            &[&name],
        )
        .await
        .map_err(attempting("ask the process that is at work to stand by"))?;
    Ok(())
}

/// Whether that was asked of us.
pub(super) async fn is_asked_to_stand_by(client: &Client, fence: &Fence) -> Result<bool, Failure> {
    let row = client
        .query_opt(
            "SELECT stand_by >= $2 IS TRUE FROM dunlin.migration WHERE name = $1",
            &[&fence.name, &fence.epoch],
        )
        .await
        .map_err(attempting("look whether a cutover is wanted"))?;
    Ok(row.is_some_and(|row| row.get(0)))
}

/// Writes the chunks of tables in place of those that are there.
pub(super) async fn store_chunks(
    transaction: &Transaction<'_>,
    name: &str,
    tables: &[Table],
    chunks: &[Chunk],
) -> Result<(), Failure> {
    let ids: Vec<i32> = tables.iter().map(|table| number(table.id.0)).collect();
    transaction
        .execute(
            "DELETE FROM dunlin.chunk WHERE migration = $1 AND table_id = ANY($2)",
            &[&name, &ids],
        )
        .await
        .map_err(attempting("clear the ledger"))?;
    let of_table: Vec<i32> = chunks.iter().map(|chunk| number(chunk.table.0)).collect();
    let numbers: Vec<i32> = chunks.iter().map(|chunk| number(chunk.number)).collect();
    let ranges: Vec<String> = chunks.iter().map(|chunk| json_text(&chunk.range)).collect();
    let bytes: Vec<i64> = chunks.iter().map(|chunk| count(chunk.bytes)).collect();
    transaction
        .execute(
            include_str!("../../../sql/postgres/store_chunks.sql"),
            &[&name, &of_table, &numbers, &ranges, &bytes],
        )
        .await
        .map_err(attempting("write the ledger"))?;
    Ok(())
}

/// Records a snapshot, and with the first one the checkpoint and the phase that follow from it.
pub(super) async fn record_snapshot(
    session: &mut Client,
    fence: &Fence,
    held: Option<&HeldSnapshot>,
    checkpoint: Option<&Position>,
) -> Result<(), Failure> {
    let writing = || attempting("record the snapshot");
    let transaction = session.transaction().await.map_err(writing())?;
    fence.hold(&transaction).await?;
    let held = held.map(json_text);
    transaction
        .execute(
            "UPDATE dunlin.migration SET snapshot = $2::text::jsonb WHERE name = $1",
            &[&fence.name, &held],
        )
        .await
        .map_err(writing())?;
    if let Some(checkpoint) = checkpoint {
        transaction
            .execute(
                "UPDATE dunlin.checkpoint SET position = $2::text::jsonb WHERE migration = $1",
                &[&fence.name, &json_text(checkpoint)],
            )
            .await
            .map_err(writing())?;
        transaction
            .execute(
                "UPDATE dunlin.migration SET phase = $2 WHERE name = $1",
                &[&fence.name, &Phase::Snapshot.to_string()],
            )
            .await
            .map_err(writing())?;
    }
    Ok(transaction.commit().await.map_err(writing())?)
}

/// Goes back to the snapshot, under a snapshot that is still to be taken.
pub(super) async fn return_to_snapshot(
    transaction: &Transaction<'_>,
    name: &str,
) -> Result<(), Failure> {
    transaction
        .execute(
            "UPDATE dunlin.migration SET phase = $2, snapshot = NULL WHERE name = $1",
            &[&name, &Phase::Snapshot.to_string()],
        )
        .await
        .map_err(attempting("go back to the snapshot"))?;
    Ok(())
}

/// Keeps the latest figures.
pub(super) async fn store_status(
    client: &Client,
    name: &str,
    status: &StreamStatus,
) -> Result<(), Failure> {
    client
        .execute(
            "INSERT INTO dunlin.status (migration, report, updated_at) \
             VALUES ($1, $2::text::jsonb, pg_catalog.clock_timestamp()) \
             ON CONFLICT (migration) DO UPDATE \
             SET report = excluded.report, updated_at = excluded.updated_at",
            &[&name, &json_text(status)],
        )
        .await
        .map_err(attempting("keep the latest figures"))?;
    Ok(())
}

/// Removes a migration's state, and the state's tables with the last one. Returns what was there.
///
/// The lock keeps new migrations out from the count to the end; it lets the others go on meanwhile,
/// who lock rows only.
pub(super) async fn remove(client: &mut Client, name: &str) -> Result<Vec<String>, Failure> {
    if !is_installed(client).await? {
        return Ok(Vec::new());
    }
    let removing = || attempting("remove the migration's state");
    let transaction = client.transaction().await.map_err(removing())?;
    let lock = "LOCK TABLE dunlin.migration IN SHARE ROW EXCLUSIVE MODE";
    match transaction.batch_execute(lock).await {
        // The last migration but ours was ended, and the tables went with it.
        Err(error) if error.code() == Some(&SqlState::UNDEFINED_TABLE) => return Ok(Vec::new()),
        other => other.map_err(removing())?,
    }
    let found = transaction
        .execute("DELETE FROM dunlin.migration WHERE name = $1", &[&name])
        .await
        .map_err(removing())?;
    let left = transaction
        .query_one("SELECT pg_catalog.count(*) FROM dunlin.migration", &[])
        .await
        .map_err(removing())?;
    let mut removed = Vec::new();
    if found > 0 {
        removed.push(format!("target: state of migration {name}"));
    }
    if left.get::<_, i64>(0) == 0 {
        transaction.batch_execute("DROP SCHEMA dunlin CASCADE").await.map_err(removing())?;
        removed.push("target: schema dunlin".to_owned());
    }
    transaction.commit().await.map_err(removing())?;
    Ok(removed)
}

/// A value of the state as JSON text.
pub(super) fn json_text<T: Serialize>(value: &T) -> String {
    // Serialising into a string fails only for maps with keys that are not strings; the state
    // holds none.
    serde_json::to_string(value).unwrap_or_else(|_| Value::Null.to_string())
}

pub(super) fn parse<T: DeserializeOwned>(row: &Row, column: &str) -> Result<T, TargetError> {
    let text: &str = row.get(column);
    serde_json::from_str(text).map_err(TargetError::unreadable)
}

pub(super) fn parse_optional<T: DeserializeOwned>(
    row: &Row,
    column: &str,
) -> Result<Option<T>, TargetError> {
    let text: Option<&str> = row.get(column);
    text.map(serde_json::from_str).transpose().map_err(TargetError::unreadable)
}

fn number(value: u32) -> i32 {
    value.cast_signed()
}

fn count(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
