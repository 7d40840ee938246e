//! Rows put right, beside a stream that goes on.
//!
//! In: keys of rows that differ, and the source's rows for them. Out: these rows in place of the
//! target's, in a transaction that holds their locks from before the source is read until it ends.
//! It asks for no epoch: whether the rows are as new as what the stream has written is for the caller
//! to find out while the locks are held, and whoever takes the migration over ends this session.
//!
//! Rows with certain keys are deleted under READ COMMITTED, which locks them and no gap beside them.
//! All rows are deleted under REPEATABLE READ, which locks every gap too, so that nobody can insert
//! (manual, "InnoDB Locking", "Next-Key Locks").

use bytes::Bytes;

use super::error::attempting;
use super::infile::{self, Taken};
use super::session::{Load, Loaded, Session};
use super::{MySqlTarget, TargetError, literal};
use crate::connect::mysql::key::one_of;
use crate::model::{Failure, Table};
use crate::target::{Mend, Mender};

/// Puts rows right over a connection of its own.
pub struct MySqlMender {
    /// None while a load is under way.
    session: Option<Session>,
    load: Option<Load>,
    /// The table, while a transaction is open.
    table: Option<Table>,
}

impl Mend for MySqlTarget {
    type Mender = MySqlMender;

    async fn mender(&self) -> Result<MySqlMender, Failure> {
        let mut session = self.session().await?;
        let act = || attempting("prepare a session that puts rows right");
        let settings = include_str!("../../../sql/mysql/mend_session.sql");
        session.execute(settings).await.map_err(act())?;
        session.keep_warnings().await.map_err(act())?;
        Ok(MySqlMender { session: Some(session), load: None, table: None })
    }
}

/// The statements that open the transaction.
fn opening(table: &Table, keys: Option<&[&[u8]]>) -> String {
    let name = literal::name(&table.name);
    match keys {
        Some(keys) => format!("BEGIN; DELETE FROM {name} WHERE {}", one_of(table, keys)),
        None => {
            format!("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; BEGIN; DELETE FROM {name}")
        }
    }
}

impl MySqlMender {
    fn session(&mut self) -> Result<&mut Session, TargetError> {
        self.session.as_mut().ok_or(TargetError::NoChunk)
    }

    fn table(&self) -> Result<&Table, TargetError> {
        self.table.as_ref().ok_or(TargetError::NoChunk)
    }

    /// Ends the load that is under way, if there is one.
    async fn end(&mut self) -> Result<Option<Loaded>, Failure> {
        let Some(load) = self.load.take() else { return Ok(None) };
        let (session, loaded) = load.end().await;
        self.session = Some(session);
        let name = &self.table()?.name;
        let loaded = loaded.map_err(attempting(format!("write rows of table {name}")))?;
        Ok(Some(loaded.ok_or(TargetError::NoChunk)?))
    }
}

impl Mender for MySqlMender {
    async fn open(&mut self, table: &Table, keys: Option<&[&[u8]]>) -> Result<(), Failure> {
        self.table = Some(table.clone());
        let opened = self.session()?.execute(opening(table, keys)).await;
        opened.map_err(attempting(format!("clear the place of rows of table {}", table.name)))?;
        Ok(())
    }

    async fn write(&mut self, rows: Bytes) -> Result<(), Failure> {
        if let Some(session) = self.session.take() {
            let table = self.table()?;
            let columns: Vec<Taken> = table.copied_columns().map(Taken::of).collect();
            let text = infile::statement(&literal::name(&table.name), &columns);
            self.load = Some(session.load(text));
        }
        let load = self.load.as_mut().ok_or(TargetError::NoChunk)?;
        if load.write(rows).await {
            return Ok(());
        }
        self.end().await.map(drop)
    }

    async fn fill(&mut self, rows: u64) -> Result<(), Failure> {
        let none = Loaded { records: 0, skipped: 0, warnings: 0 };
        let loaded = self.end().await?.unwrap_or(none);
        let table = self.table()?;
        let columns: Vec<Taken> = table.copied_columns().map(Taken::of).collect();
        let name = table.name.clone();
        let zeros = infile::zeros(&columns);
        let judged = infile::judge(self.session()?, &zeros, (rows, loaded)).await?;
        Ok(judged.map_err(|refusal| refusal.of(&name, rows))?)
    }

    async fn commit(&mut self) -> Result<(), Failure> {
        let committed = self.session()?.execute("COMMIT").await;
        committed.map_err(attempting("commit rows that were put right"))?;
        self.table = None;
        Ok(())
    }

    async fn abandon(&mut self) -> Result<(), Failure> {
        if let Some(load) = self.load.take() {
            let (session, _) = load.end().await;
            self.session = Some(session);
        }
        if self.table.take().is_some() {
            let undone = self.session()?.execute("ROLLBACK").await;
            undone.map_err(attempting("give up rows that were to be put right"))?;
        }
        Ok(())
    }
}
