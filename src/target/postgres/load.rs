//! Chunks into the target, each in a transaction of its own with its ledger entry.
//!
//! In come buffers of COPY rows exactly as the source made them; nothing in here looks inside.
//! The chunk's transaction holds the migration's epoch from its first statement on; it commits
//! only when the server counted as many rows as the source and the ledger's row was still ours. So
//! a chunk is there whole with its entry, or not at all.

use std::pin::Pin;

use bytes::Bytes;
use futures_util::SinkExt;
use tokio_postgres::CopyInSink;

use super::TargetError;
use super::state::Fence;
use crate::connect::attempting;
use crate::connect::postgres::Client as Session;
use crate::connect::quote::{quote_ident, quote_name};
use crate::model::{Bracket, Chunk, Failure, RowForm, Table, TableName};
use crate::observe::failpoint;
use crate::target::ChunkLoader;

/// Loads chunks over a connection of its own.
pub struct PostgresLoader {
    session: Session,
    fence: Fence,
    open: Option<(TableName, Pin<Box<CopyInSink<Bytes>>>)>,
}

impl PostgresLoader {
    /// A loader over a session in which triggers rest and commits need not wait for the disk: a
    /// chunk that a crash of the target loses is lost with its ledger entry.
    ///
    /// # Errors
    ///
    /// Where the session's settings cannot be made.
    pub(super) async fn new(session: Session, fence: Fence) -> Result<Self, Failure> {
        session
            .batch_execute(include_str!("../../../sql/postgres/load_session.sql"))
            .await
            .map_err(attempting("prepare a session that loads rows"))?;
        Ok(PostgresLoader { session, fence, open: None })
    }
}

/// The statement that takes a table's rows.
pub(super) fn copy_text(table: &Table, form: RowForm) -> String {
    let columns: Vec<_> = table.copied_columns().map(|column| quote_ident(&column.name)).collect();
    let columns =
        if columns.is_empty() { String::new() } else { format!(" ({})", columns.join(", ")) };
    let form = match form {
        RowForm::Binary => " (FORMAT binary)",
        RowForm::Text => "",
    };
    format!("COPY {}{columns} FROM STDIN{form}", quote_name(&table.name))
}

impl ChunkLoader for PostgresLoader {
    async fn open(&mut self, table: &Table, form: RowForm) -> Result<(), Failure> {
        let begun = self.session.batch_execute("BEGIN").await;
        begun.map_err(attempting("open a transaction"))?;
        self.fence.hold(&*self.session).await?;
        let act = format!("load rows into table {}", table.name);
        let sink = self.session.copy_in(&copy_text(table, form)).await.map_err(attempting(act))?;
        self.open = Some((table.name.clone(), Box::pin(sink)));
        Ok(())
    }

    async fn write(&mut self, rows: Bytes) -> Result<(), Failure> {
        let (table, sink) = self.open.as_mut().ok_or(TargetError::NoChunk)?;
        let sent = sink.send(rows).await;
        Ok(sent.map_err(|error| attempting(format!("load rows into table {table}"))(error))?)
    }

    async fn finish(&mut self, chunk: &Chunk, read: &Bracket, rows: u64) -> Result<(), Failure> {
        let (table, mut sink) = self.open.take().ok_or(TargetError::NoChunk)?;
        let loaded = sink.as_mut().finish().await;
        let loaded =
            loaded.map_err(|error| attempting(format!("load rows into table {table}"))(error))?;
        if loaded != rows {
            return Err(TargetError::LoadCount { table, read: rows, loaded }.into());
        }
        failpoint::reached("chunk-loaded");
        self.fence.record_chunk(&self.session, chunk, read, rows).await?;
        let committed = self.session.batch_execute("COMMIT").await;
        committed.map_err(attempting(format!("commit a chunk of table {table}")))?;
        failpoint::reached("chunk-committed");
        Ok(())
    }
}
