//! The migration's state in the target: who may write, how far everything is.
//!
//! All SQL about the database `dunlin` is here. Rule 1 rests on [`Fence::checkpoint`] and
//! [`Fence::record_chunk`], which run in the transaction that holds the rows and touch nothing
//! where the epoch is no longer ours; the caller must see one row found (sessions count rows that
//! are found, not rows that differ), or roll back.
//!
//! Every commit of InnoDB is as durable as the server is set up to make it
//! (`innodb_flush_log_at_trx_commit`); no session may have it otherwise. So a commit that is asked
//! to be durable is one like any other.

use mysql_async::Row;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::error::attempting;
use super::literal::text;
use super::session::{Session, field};
use super::{TargetError, define};
use crate::model::selection::Patterns;
use crate::model::{
    Bracket, Chunk, ChunkRange, CutoverRecord, Failure, HeldSnapshot, LedgerEntry, Phase, Position,
    SourceIdentity, Table, TableId,
};
use crate::target::{Checkpoint, Migration, Standing, StreamStatus};

/// The layout of the state's tables. A binary that knows another one refuses to touch them.
const FORMAT: i32 = 2;

/// Bytes of a statement that writes many rows of the state, about.
const STATEMENT_BYTES: usize = 1 << 20;

/// `ER_BAD_DB_ERROR` and `ER_NO_SUCH_TABLE`: there is no state.
const NOT_INSTALLED: [u16; 2] = [1049, 1146];

/// The right to write the state: the migration's name and our epoch.
#[derive(Clone, Debug)]
pub(super) struct Fence {
    /// The migration's name.
    pub(super) name: String,
    /// Our epoch.
    pub(super) epoch: i64,
}

impl Fence {
    /// The statement that moves the checkpoint, in the open transaction. It finds one row, or none
    /// where another process has taken over; and what the server calls the last insert ID is then how
    /// many verifications were begun (manual, "LAST_INSERT_ID(expr)"). None can be until the
    /// transaction ends.
    pub(super) fn checkpoint(&self, checkpoint: &Checkpoint) -> String {
        let committed_at = match checkpoint.committed_at_us {
            Some(us) => moment(us),
            None => "committed_at".to_owned(),
        };
        format!(
            "UPDATE dunlin.checkpoint SET position = {}, committed_at = {committed_at}, \
             applied_at = UTC_TIMESTAMP(6), transactions = transactions + {}, \
             changes = changes + {}, generation = LAST_INSERT_ID(generation) WHERE migration = {} AND epoch = {}",
            json(&checkpoint.position),
            checkpoint.transactions,
            checkpoint.changes,
            text(&self.name),
            self.epoch
        )
    }

    /// Marks a chunk as done, in the open transaction.
    ///
    /// # Errors
    ///
    /// [`TargetError::Fenced`] where another process has taken over.
    pub(super) async fn record_chunk(
        &self,
        session: &mut Session,
        chunk: &Chunk,
        read: &Bracket,
        rows: u64,
    ) -> Result<(), Failure> {
        self.hold(session).await?;
        let statement = format!(
            "UPDATE dunlin.chunk SET low = {}, high = {}, `rows` = {rows}, \
             finished_at = UTC_TIMESTAMP(6) \
             WHERE migration = {} AND table_id = {} AND number = {} AND low IS NULL",
            json(&read.low),
            json(&read.high),
            text(&self.name),
            chunk.table.0,
            chunk.number
        );
        let found = session.execute(statement).await;
        match found.map_err(attempting("record a chunk in the ledger"))? {
            1 => Ok(()),
            _ => Err(TargetError::Fenced.into()),
        }
    }

    /// Makes sure, in the open transaction and until its end, that the epoch is ours.
    ///
    /// # Errors
    ///
    /// [`TargetError::Fenced`] where it is not.
    pub(super) async fn hold(&self, session: &mut Session) -> Result<(), Failure> {
        let held = session
            .rows(format!(
                "SELECT 1 FROM dunlin.checkpoint WHERE migration = {} AND epoch = {} \
                 LOCK IN SHARE MODE",
                text(&self.name),
                self.epoch
            ))
            .await
            .map_err(attempting("hold the migration's state"))?;
        if held.is_empty() { Err(TargetError::Fenced.into()) } else { Ok(()) }
    }
}

/// Microseconds since the Unix epoch as a moment of the state.
fn moment(us: i64) -> String {
    format!("TIMESTAMPADD(MICROSECOND, {us}, '1970-01-01 00:00:00')")
}

/// Makes the state's tables where they are not there.
pub(super) async fn install(session: &mut Session) -> Result<(), Failure> {
    let made = session.execute(include_str!("../../../sql/mysql/state.sql")).await;
    made.map_err(attempting("make the state tables of database dunlin"))?;
    // Its tables may lack what ours have, also where the migration is another.
    let text = format!("SELECT format FROM dunlin.migration WHERE format <> {FORMAT} LIMIT 1");
    let other = session.rows(text).await.map_err(attempting("read the layout of the state"))?;
    match other.first() {
        Some(row) => Err(TargetError::StateFormat { format: field(row, 0)? }.into()),
        None => Ok(()),
    }
}

/// Rows of the state; None where there is no state.
pub(super) async fn read(
    session: &mut Session,
    query: String,
) -> Result<Option<Vec<Row>>, Failure> {
    match session.rows(query).await {
        Ok(rows) => Ok(Some(rows)),
        Err(mysql_async::Error::Server(error)) if NOT_INSTALLED.contains(&error.code) => Ok(None),
        Err(error) => Err(attempting("read the migration's state")(error).into()),
    }
}

/// Reads a migration's state.
pub(super) async fn load(session: &mut Session, name: &str) -> Result<Option<Migration>, Failure> {
    let found = include_str!("../../../sql/mysql/load_migration.sql");
    let found = read(session, format!("{found} {}", text(name))).await?;
    let Some(row) = found.as_ref().and_then(|rows| rows.first()) else { return Ok(None) };
    let format: i32 = field(row, 0)?;
    if format != FORMAT {
        return Err(TargetError::StateFormat { format }.into());
    }
    let phase: String = field(row, 3)?;
    let of_ours = format!("WHERE migration = {}", text(name));
    let tables =
        read(session, format!("SELECT definition FROM dunlin.tables {of_ours} ORDER BY id"))
            .await?;
    let chunks = read(
        session,
        format!(
            "SELECT table_id, number, `range`, bytes, low, high, `rows` FROM dunlin.chunk \
             {of_ours} ORDER BY table_id, number"
        ),
    )
    .await?;
    let (tables, chunks) = (tables.unwrap_or_default(), chunks.unwrap_or_default());
    Ok(Some(Migration {
        source: parse(row, 1)?,
        phase: phase.parse::<Phase>().map_err(TargetError::unreadable)?,
        selection: parse(row, 2)?,
        tables: tables.iter().map(|row| parse(row, 0)).collect::<Result<_, _>>()?,
        held: parse_optional(row, 6)?,
        checkpoint: parse_optional(row, 7)?,
        ledger: chunks.iter().map(ledger_entry).collect::<Result<_, _>>()?,
        owns_schema: field(row, 4)?,
        schema_made: field(row, 5)?,
        cutover: parse_optional(row, 8)?,
    }))
}

fn ledger_entry(row: &Row) -> Result<LedgerEntry, TargetError> {
    let low: Option<Position> = parse_optional(row, 4)?;
    let high: Option<Position> = parse_optional(row, 5)?;
    Ok(LedgerEntry {
        chunk: Chunk {
            table: TableId(field(row, 0)?),
            number: field(row, 1)?,
            range: parse(row, 2)?,
            bytes: field(row, 3)?,
        },
        read: low.zip(high).map(|(low, high)| Bracket { low, high }),
        rows: field(row, 6)?,
    })
}

/// Reads where the migration `name` stands. Ages are by the target's clock.
pub(super) async fn standing(
    session: &mut Session,
    name: &str,
    holder: Option<u32>,
) -> Result<Standing, Failure> {
    let missing = || TargetError::MigrationMissing { name: name.to_owned() };
    let migration = load(session, name).await?.ok_or_else(missing)?;
    let query = include_str!("../../../sql/mysql/target_status.sql");
    let found = read(session, format!("{query} {}", text(name))).await?;
    let row = found.as_ref().and_then(|rows| rows.first()).ok_or_else(missing)?;
    Ok(Standing {
        migration,
        epoch: field(row, 0)?,
        figures: parse_optional(row, 1)?,
        figures_seconds_ago: field(row, 2)?,
        committed_seconds_ago: field(row, 3)?,
        updated_seconds_ago: field::<f64>(row, 4)?.max(0.0),
        deferred: Vec::new(),
        running: holder.is_some(),
        ends_it: holder.map(|connection| format!("KILL {connection}")),
    })
}

/// Writes a new migration, in the open transaction.
pub(super) async fn create(
    session: &mut Session,
    name: &str,
    source: &SourceIdentity,
    selection: &Patterns,
    make_schema: bool,
) -> Result<(), Failure> {
    let statement = format!(
        "INSERT INTO dunlin.migration \
         (name, format, source, selection, phase, owns_schema, created_at) \
         VALUES ({name}, {FORMAT}, {}, {}, {}, {make_schema}, UTC_TIMESTAMP(6)); \
         INSERT INTO dunlin.checkpoint (migration, epoch) VALUES ({name}, 0)",
        json(source),
        json(selection),
        text(&Phase::Prepare.to_string()),
        name = text(name),
    );
    session.execute(statement).await.map_err(attempting("write the new migration's state"))?;
    Ok(())
}

/// Stores tables as they are now, in the open transaction.
pub(super) async fn store_tables(
    session: &mut Session,
    name: &str,
    tables: &[Table],
) -> Result<(), Failure> {
    let name = text(name);
    let rows = tables.iter().map(|table| format!("({name}, {}, {})", table.id.0, json(table)));
    let replace = "REPLACE INTO dunlin.tables (migration, id, definition) VALUES ";
    insert_rows(session, replace, rows).await.map_err(attempting("write the list of tables"))?;
    Ok(())
}

/// Stores these tables in place of all that there are, in the open transaction.
pub(super) async fn list_anew(
    session: &mut Session,
    name: &str,
    tables: &[Table],
    make_schema: bool,
) -> Result<(), Failure> {
    let of_ours = text(name);
    let statement = format!(
        "DELETE FROM dunlin.tables WHERE migration = {of_ours}; \
         UPDATE dunlin.migration SET owns_schema = {make_schema} WHERE name = {of_ours}"
    );
    session.execute(statement).await.map_err(attempting("list the migration's tables anew"))?;
    store_tables(session, name, tables).await
}

/// Writes the chunks of tables in place of those that are there, in the open transaction.
pub(super) async fn store_chunks(
    session: &mut Session,
    name: &str,
    tables: &[Table],
    chunks: &[Chunk],
) -> Result<(), Failure> {
    let name = text(name);
    for table in tables {
        let statement = format!(
            "DELETE FROM dunlin.chunk WHERE migration = {name} AND table_id = {}",
            table.id.0
        );
        session.execute(statement).await.map_err(attempting("clear the ledger"))?;
    }
    let rows = chunks.iter().map(|chunk| {
        let Chunk { table, number, range, bytes } = chunk;
        format!("({name}, {}, {number}, {}, {bytes})", table.0, json(range))
    });
    let insert = "INSERT INTO dunlin.chunk (migration, table_id, number, `range`, bytes) VALUES ";
    insert_rows(session, insert, rows).await.map_err(attempting("write the ledger"))?;
    Ok(())
}

/// Forgets tables and their chunks, in the open transaction.
pub(super) async fn forget_tables(
    session: &mut Session,
    name: &str,
    tables: &[TableId],
) -> Result<(), Failure> {
    for table in tables {
        let of = format!("WHERE migration = {}", text(name));
        let statement = format!(
            "DELETE FROM dunlin.chunk {of} AND table_id = {id}; \
             DELETE FROM dunlin.tables {of} AND id = {id}",
            id = table.0
        );
        session.execute(statement).await.map_err(attempting("forget tables that went"))?;
    }
    Ok(())
}

/// Notes that tables whose chunks are all read hold everything up to `position`, in the open
/// transaction.
pub(super) async fn move_chunks(
    session: &mut Session,
    name: &str,
    tables: &[TableId],
    position: &Position,
) -> Result<(), Failure> {
    for table in tables {
        let statement = format!(
            "UPDATE dunlin.chunk SET low = {position}, high = {position} \
             WHERE migration = {} AND table_id = {} AND low IS NOT NULL",
            text(name),
            table.0,
            position = json(position),
        );
        session.execute(statement).await.map_err(attempting("record how far tables are"))?;
    }
    Ok(())
}

/// Notes a table that has everything up to `position`, in the open transaction.
pub(super) async fn store_empty(
    session: &mut Session,
    name: &str,
    table: TableId,
    position: &Position,
) -> Result<(), Failure> {
    let statement = format!(
        "REPLACE INTO dunlin.chunk \
         (migration, table_id, number, `range`, bytes, low, high, `rows`, finished_at) \
         VALUES ({}, {}, 0, {}, 0, {position}, {position}, 0, UTC_TIMESTAMP(6))",
        text(name),
        table.0,
        json(&ChunkRange::Whole),
        position = json(position),
    );
    session.execute(statement).await.map_err(attempting("record a table that came"))?;
    Ok(())
}

/// What has a new migration begin with the stream at `position`.
pub(super) fn begin_with_stream(name: &str, position: &Position) -> String {
    let (name, phase) = (text(name), text(&Phase::CatchUp.to_string()));
    format!(
        "UPDATE dunlin.migration SET phase = {phase} WHERE name = {name}; \
         UPDATE dunlin.checkpoint SET position = {} WHERE migration = {name}",
        json(position)
    )
}

/// Inserts rows by as few statements as their sizes allow.
pub(super) async fn insert_rows(
    session: &mut Session,
    insert: &str,
    rows: impl Iterator<Item = String>,
) -> Result<(), mysql_async::Error> {
    let mut statement = String::new();
    for row in rows {
        statement.push_str(if statement.is_empty() { insert } else { ", " });
        statement.push_str(&row);
        if statement.len() >= STATEMENT_BYTES {
            session.execute(std::mem::take(&mut statement)).await?;
        }
    }
    if !statement.is_empty() {
        session.execute(statement).await?;
    }
    Ok(())
}

/// Takes the next epoch.
pub(super) async fn next_epoch(session: &mut Session, name: &str) -> Result<i64, Failure> {
    let taking = || attempting("take the migration over");
    let (name_text, statement) = (text(name), "UPDATE dunlin.checkpoint SET epoch = epoch + 1");
    let statement = format!("BEGIN; {statement} WHERE migration = {name_text}");
    if session.execute(statement).await.map_err(taking())? != 1 {
        session.execute("ROLLBACK").await.map_err(taking())?;
        return Err(TargetError::MigrationMissing { name: name.to_owned() }.into());
    }
    let query = format!("SELECT epoch FROM dunlin.checkpoint WHERE migration = {name_text}");
    let rows = session.rows(query).await.map_err(taking())?;
    session.execute("COMMIT").await.map_err(taking())?;
    let missing = || TargetError::MigrationMissing { name: name.to_owned() };
    Ok(field(rows.first().ok_or_else(missing)?, 0)?)
}

/// Sets columns of the migration's row, in the open transaction. `assignments` is SQL.
pub(super) async fn update(
    session: &mut Session,
    name: &str,
    assignments: &str,
) -> Result<(), Failure> {
    let statement =
        format!("UPDATE dunlin.migration SET {assignments} WHERE name = {}", text(name));
    let found = session.execute(statement).await;
    match found.map_err(attempting("record where the migration stands"))? {
        1 => Ok(()),
        _ => Err(TargetError::MigrationMissing { name: name.to_owned() }.into()),
    }
}

/// What is set where a phase is recorded.
pub(super) fn phase(phase: Phase) -> String {
    format!("phase = {}", text(&phase.to_string()))
}

/// What is set where the source is recorded.
pub(super) fn source(source: &SourceIdentity) -> String {
    format!("source = {}", json(source))
}

/// What is set where a cutover comes further.
pub(super) fn cutover(record: Option<&CutoverRecord>) -> String {
    format!("cutover = {}", record.map_or_else(|| "NULL".to_owned(), json))
}

/// Asks whoever holds the newest epoch to stand by.
pub(super) async fn ask_to_stand_by(session: &mut Session, name: &str) -> Result<(), Failure> {
    let name = text(name);
    let statement = format!(
        "UPDATE dunlin.migration SET stand_by = \
         (SELECT epoch FROM dunlin.checkpoint WHERE migration = {name}) WHERE name = {name}"
    );
    let asked = session.execute(statement).await;
    asked.map_err(attempting("ask the process that is at work to stand by"))?;
    Ok(())
}

/// Whether that was asked of us.
pub(super) async fn is_asked_to_stand_by(
    session: &mut Session,
    fence: &Fence,
) -> Result<bool, Failure> {
    let query = format!(
        "SELECT 1 FROM dunlin.migration WHERE name = {} AND stand_by >= {}",
        text(&fence.name),
        fence.epoch
    );
    let rows = session.rows(query).await;
    Ok(!rows.map_err(attempting("look whether a cutover is wanted"))?.is_empty())
}

/// What is set to go back to the snapshot, under one that is still to be taken.
pub(super) fn return_to_snapshot() -> String {
    format!("{}, snapshot = NULL", phase(Phase::Snapshot))
}

/// Records a snapshot, and with the first one the checkpoint and the phase that follow from it, in
/// the open transaction.
pub(super) async fn record_snapshot(
    session: &mut Session,
    name: &str,
    held: Option<&HeldSnapshot>,
    checkpoint: Option<&Position>,
) -> Result<(), Failure> {
    let held = held.map_or_else(|| "NULL".to_owned(), json);
    update(session, name, &format!("snapshot = {held}")).await?;
    if let Some(checkpoint) = checkpoint {
        let statement = format!(
            "UPDATE dunlin.checkpoint SET position = {} WHERE migration = {}",
            json(checkpoint),
            text(name)
        );
        session.execute(statement).await.map_err(attempting("record the snapshot"))?;
        update(session, name, &phase(Phase::Snapshot)).await?;
    }
    Ok(())
}

/// Keeps the latest figures.
pub(super) async fn store_status(
    session: &mut Session,
    name: &str,
    status: &StreamStatus,
) -> Result<(), Failure> {
    let statement = format!(
        "REPLACE INTO dunlin.status (migration, report, updated_at) \
         VALUES ({}, {}, UTC_TIMESTAMP(6))",
        text(name),
        json(status)
    );
    session.execute(statement).await.map_err(attempting("keep the latest figures"))?;
    Ok(())
}

/// Removes a migration's state, and the database with the last one. Returns what was there.
///
/// A migration that begins between the count and the DROP loses its state; it has no rows by then
/// and halts, since its own row is gone.
pub(super) async fn remove(session: &mut Session, name: &str) -> Result<Vec<String>, Failure> {
    let removing = || attempting("remove the migration's state");
    let found = read(session, "SELECT name FROM dunlin.migration".to_owned()).await?;
    let Some(found) = found else { return Ok(Vec::new()) };
    // Another version may have made it.
    install(session).await?;
    let names = found.iter().map(|row| field(row, 0)).collect::<Result<Vec<String>, _>>()?;
    let mut removed = Vec::new();
    // One that never began may have set triggers and events aside.
    let tables =
        "touched proven proof verification chunk build tables definition status checkpoint";
    let delete = |table| format!("DELETE FROM dunlin.{table} WHERE migration = {};", text(name));
    let deletes: Vec<String> = tables.split(' ').map(delete).collect();
    let statement = format!(
        "BEGIN; {} DELETE FROM dunlin.migration WHERE name = {}; COMMIT",
        deletes.join(" "),
        text(name)
    );
    session.execute(statement).await.map_err(removing())?;
    if names.iter().any(|known| known == name) {
        define::remove_markers(session, name).await?;
        removed.push(format!("target: state of migration {name}"));
    }
    if names.iter().all(|known| known == name) {
        session.execute("DROP DATABASE IF EXISTS dunlin").await.map_err(removing())?;
        removed.push("target: database dunlin".to_owned());
    }
    Ok(removed)
}

/// A value of the state as a literal.
pub(super) fn json<T: Serialize>(value: &T) -> String {
    text(&json_text(value))
}

/// A value of the state as JSON text.
pub(super) fn json_text<T: Serialize>(value: &T) -> String {
    // Serialising into a string fails only for maps with keys that are not strings; the state
    // holds none.
    serde_json::to_string(value).unwrap_or_else(|_| Value::Null.to_string())
}

pub(super) fn parse<T: DeserializeOwned>(row: &Row, column: usize) -> Result<T, TargetError> {
    let text: String = field(row, column)?;
    serde_json::from_str(&text).map_err(TargetError::unreadable)
}

pub(super) fn parse_optional<T: DeserializeOwned>(
    row: &Row,
    column: usize,
) -> Result<Option<T>, TargetError> {
    let text: Option<String> = field(row, column)?;
    text.as_deref().map(serde_json::from_str).transpose().map_err(TargetError::unreadable)
}
