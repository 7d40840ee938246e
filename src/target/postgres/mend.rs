//! Rows put right, beside a stream that goes on.
//!
//! In: keys of rows that differ, and the source's rows for them. Out: these rows in place of the
//! target's, in a transaction that holds their locks from before the source is read until it ends.
//! It asks for no epoch: whether the rows are as new as what the stream has written is for the caller
//! to find out while the locks are held, and whoever takes the migration over ends this session.

use std::pin::Pin;

use bytes::Bytes;
use futures_util::SinkExt;
use tokio_postgres::CopyInSink;

use super::load::copy_text;
use super::{PostgresTarget, TargetError};
use crate::connect::attempting;
use crate::connect::keys::one_of;
use crate::connect::postgres::Client as Session;
use crate::connect::quote::quote_name;
use crate::model::{Failure, RowForm, Table};
use crate::target::{Mend, Mender};

/// Puts rows right over a connection of its own.
pub struct PostgresMender {
    session: Session,
    /// The table, while a transaction is open.
    table: Option<Table>,
    sink: Option<Pin<Box<CopyInSink<Bytes>>>>,
}

impl Mend for PostgresTarget {
    type Mender = PostgresMender;

    async fn mender(&self) -> Result<PostgresMender, Failure> {
        let session = self.session().await?;
        session
            .batch_execute(include_str!("../../../sql/postgres/mend_session.sql"))
            .await
            .map_err(attempting("prepare a session that puts rows right"))?;
        Ok(PostgresMender { session, table: None, sink: None })
    }
}

/// The statements that open the transaction. Rows of tables that inherit from this one stay.
fn opening(table: &Table, keys: Option<&[&[u8]]>) -> String {
    let only = if table.partitions.is_some() { "" } else { "ONLY " };
    let name = quote_name(&table.name);
    match keys {
        Some(keys) => format!("BEGIN; DELETE FROM {only}{name} WHERE {}", one_of(table, keys)),
        None => format!(
            "BEGIN; SET LOCAL lock_timeout = '5s'; \
             LOCK TABLE {only}{name} IN SHARE ROW EXCLUSIVE MODE; DELETE FROM {only}{name}"
        ),
    }
}

impl Mender for PostgresMender {
    async fn open(&mut self, table: &Table, keys: Option<&[&[u8]]>) -> Result<(), Failure> {
        self.table = Some(table.clone());
        let opened = self.session.batch_execute(&opening(table, keys)).await;
        let act = || format!("clear the place of rows of table {}", table.name);
        Ok(opened.map_err(|error| attempting(act())(error))?)
    }

    async fn write(&mut self, rows: Bytes) -> Result<(), Failure> {
        let table = self.table.as_ref().ok_or(TargetError::NoChunk)?;
        let act = || attempting(format!("write rows of table {}", table.name));
        if self.sink.is_none() {
            let sink = self.session.copy_in(&copy_text(table, RowForm::Text)).await;
            self.sink = Some(Box::pin(sink.map_err(act())?));
        }
        let Some(sink) = self.sink.as_mut() else { return Ok(()) };
        Ok(sink.send(rows).await.map_err(act())?)
    }

    async fn fill(&mut self, rows: u64) -> Result<(), Failure> {
        let table = self.table.as_ref().ok_or(TargetError::NoChunk)?;
        let loaded = match self.sink.take() {
            Some(mut sink) => {
                let finished = sink.as_mut().finish().await;
                let act = || format!("write rows of table {}", table.name);
                finished.map_err(|error| attempting(act())(error))?
            }
            None => 0,
        };
        if loaded == rows {
            return Ok(());
        }
        Err(TargetError::LoadCount { table: table.name.clone(), read: rows, loaded }.into())
    }

    async fn commit(&mut self) -> Result<(), Failure> {
        let committed = self.session.batch_execute("COMMIT").await;
        committed.map_err(attempting("commit rows that were put right"))?;
        self.table = None;
        Ok(())
    }

    async fn abandon(&mut self) -> Result<(), Failure> {
        // A COPY that is dropped fails, and with it the transaction.
        self.sink = None;
        if self.table.take().is_some() {
            let undone = self.session.batch_execute("ROLLBACK").await;
            undone.map_err(attempting("give up rows that were to be put right"))?;
        }
        Ok(())
    }
}
