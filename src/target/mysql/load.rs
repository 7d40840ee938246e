//! Chunks into the target, each in a transaction of its own with its ledger entry.
//!
//! In come buffers of text rows exactly as the source made them (columns end in a tab, rows in a
//! line feed, a backslash escapes, `\N` is NULL); nothing in here looks inside. They go into
//! LOAD DATA LOCAL as they come, so memory is bounded by a few buffers.
//!
//! LOCAL has the server go on where it would stop otherwise: a row that meets a key is left out, a
//! value that does not fit is changed, each with a warning (manual, "LOAD DATA Statement",
//! "Duplicate-Key and Error Handling"). So a chunk commits only where the server counted as many
//! rows as the source, left out none and warned of nothing, and the ledger's row was still ours.
//! Then it is there whole with its entry; otherwise it is not there at all.

use bytes::Bytes;

use super::TargetError;
use super::error::attempting;
use super::infile::{self, Taken};
use super::literal;
use super::session::{Load, Loaded, Session, field};
use super::state::Fence;
use crate::model::{Bracket, Chunk, Failure, RowForm, Table, TableName};
use crate::observe::failpoint;
use crate::target::ChunkLoader;

/// Loads chunks over a connection of its own.
pub struct MySqlLoader {
    /// None while a load is under way, or after one that broke.
    session: Option<Session>,
    fence: Fence,
    open: Option<Open>,
}

struct Open {
    table: TableName,
    /// The columns of which an empty value is the index zero of an ENUM.
    zeros: Vec<String>,
    load: Load,
}

impl MySqlLoader {
    /// A loader over a session in which foreign keys rest.
    pub(super) async fn new(mut session: Session, fence: Fence) -> Result<Self, Failure> {
        let act = || attempting("prepare a session that loads rows");
        let settings = include_str!("../../../sql/mysql/load_session.sql");
        session.execute(settings).await.map_err(act())?;
        session.keep_warnings().await.map_err(act())?;
        Ok(MySqlLoader { session: Some(session), fence, open: None })
    }
}

impl ChunkLoader for MySqlLoader {
    async fn open(&mut self, table: &Table, _: RowForm) -> Result<(), Failure> {
        let mut session = self.session.take().ok_or(TargetError::NoChunk)?;
        session.execute("BEGIN").await.map_err(attempting("open a transaction"))?;
        let columns: Vec<Taken> = table.copied_columns().map(Taken::of).collect();
        let load = session.load(infile::statement(&literal::name(&table.name), &columns));
        let zeros = infile::zeros(&columns);
        self.open = Some(Open { table: table.name.clone(), zeros, load });
        Ok(())
    }

    async fn write(&mut self, rows: Bytes) -> Result<(), Failure> {
        let open = self.open.as_mut().ok_or(TargetError::NoChunk)?;
        if open.load.write(rows).await {
            return Ok(());
        }
        let open = self.open.take().ok_or(TargetError::NoChunk)?;
        ended(open).await.map(drop)
    }

    async fn finish(&mut self, chunk: &Chunk, read: &Bracket, rows: u64) -> Result<(), Failure> {
        let open = self.open.take().ok_or(TargetError::NoChunk)?;
        let table = open.table.clone();
        let zeros = open.zeros.clone();
        let (mut session, loaded) = ended(open).await?;
        infile::judge(&mut session, &zeros, (rows, loaded))
            .await?
            .map_err(|refusal| refusal.of(&table, rows))?;
        failpoint::reached("chunk-loaded");
        self.fence.record_chunk(&mut session, chunk, read, rows).await?;
        if let Err(error) = session.execute("COMMIT").await {
            return Err(failed("commit a chunk of", &table, (session, error)).await);
        }
        failpoint::reached("chunk-committed");
        self.session = Some(session);
        Ok(())
    }
}

/// Why rows did not come into a table. MariaDB looks at the unique keys of rows that it takes in bulk when
/// all have come, and names none that was met (`ER_ERROR_DURING_COMMIT`): they are named then.
async fn failed(
    act: &str,
    table: &TableName,
    (mut session, error): (Session, mysql_async::Error),
) -> Failure {
    const DURING_COMMIT: u16 = 1180;
    let is_unnamed = matches!(&error, mysql_async::Error::Server(it) if it.code == DURING_COMMIT);
    let query = format!(
        "SELECT DISTINCT index_name FROM information_schema.statistics WHERE non_unique = 0 \
         AND index_name <> 'PRIMARY' AND table_schema = {} AND table_name = {}",
        literal::text(&table.schema),
        literal::text(&table.name)
    );
    let rows = if is_unnamed { session.rows(query).await.unwrap_or_default() } else { Vec::new() };
    let keys: Vec<String> = rows.iter().filter_map(|row| field(row, 0).ok()).collect();
    let which = match keys.is_empty() {
        true => String::new(),
        false => format!(", which has the unique keys {}", keys.join(", ")),
    };
    attempting(format!("{act} table {table}{which}"))(error).into()
}

/// Waits for the end of a load.
async fn ended(open: Open) -> Result<(Session, Loaded), Failure> {
    let Open { table, load, .. } = open;
    let (session, loaded) = load.end().await;
    match loaded {
        Ok(loaded) => Ok((session, loaded.ok_or(TargetError::NoChunk)?)),
        Err(error) => Err(failed("load rows into", &table, (session, error)).await),
    }
}
