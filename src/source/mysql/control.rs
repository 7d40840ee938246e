//! The one session that looks things up on the source.
//!
//! In: statements of the rooms around. Out: rows as the text protocol has them. It lives as long as
//! the source, sees what is committed at each moment, and is asked one thing at a time. It is not
//! under the snapshot: what has to be is read over connections of the snapshot's own.

use std::collections::HashMap;
use std::sync::Arc;

use mysql_async::Value;
use mysql_async::prelude::Queryable;
use tokio::sync::Mutex;

use super::error::SourceError;
use super::range::Walk;
use crate::connect::mysql::privileges::{Privileges, show_grants};
use crate::connect::mysql::quote::{quote_ident, quote_name};
use crate::connect::mysql::{
    Flavour, ServerVersion, Session, StatementError, attempting, to_the_end,
};
use crate::model::{Failure, Table, TableName};

/// A row of text. A column is found by its place or by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TextRow {
    fields: Vec<Option<String>>,
    names: Arc<[String]>,
}

impl TextRow {
    #[cfg(test)]
    pub(super) fn of(fields: Vec<Option<String>>) -> Self {
        TextRow { fields, names: Arc::from([]) }
    }

    #[cfg(test)]
    pub(super) fn with_names(fields: &[(&str, &str)]) -> Self {
        TextRow {
            fields: fields.iter().map(|(_, value)| Some((*value).to_owned())).collect(),
            names: fields.iter().map(|(name, _)| (*name).to_owned()).collect(),
        }
    }

    /// None where it is NULL.
    pub(super) fn maybe(&self, index: usize) -> Option<String> {
        self.fields.get(index)?.clone()
    }

    /// Empty where it is NULL.
    pub(super) fn text(&self, index: usize) -> String {
        self.maybe(index).unwrap_or_default()
    }

    /// Zero where it is NULL or no number.
    pub(super) fn number(&self, index: usize) -> u64 {
        self.text(index).parse().unwrap_or_default()
    }

    /// None where there is no such column, or it is NULL.
    pub(super) fn named(&self, name: &str) -> Option<String> {
        let index = self.names.iter().position(|known| known.eq_ignore_ascii_case(name))?;
        self.maybe(index)
    }
}

/// The errors of a missing privilege.
pub(super) fn is_denied(number: Option<u16>) -> bool {
    // ER_DBACCESS_DENIED_ERROR, ER_ACCESS_DENIED_ERROR, ER_TABLEACCESS_DENIED_ERROR,
    // ER_COLUMNACCESS_DENIED_ERROR, ER_SPECIFIC_ACCESS_DENIED_ERROR, ER_XAER_RMERR.
    matches!(number, Some(1044 | 1045 | 1142 | 1143 | 1227 | 1401))
}

/// `ER_NO_SUCH_TABLE`.
pub(super) const NO_SUCH_TABLE: u16 = 1146;

/// `ER_KEY_DOES_NOT_EXIST`: the table has no index of the name that a hint gives.
pub(super) const NO_SUCH_INDEX: u16 = 1176;

/// The session.
pub(super) struct Control {
    session: Arc<Mutex<Session>>,
    version: ServerVersion,
}

impl Control {
    pub(super) fn new(session: Session) -> Self {
        Control { version: session.version(), session: Arc::new(Mutex::new(session)) }
    }

    pub(super) fn version(&self) -> ServerVersion {
        self.version
    }

    /// Asks. `act` says what for, such as `read the tables`.
    pub(super) async fn rows(&self, text: &str, act: &str) -> Result<Vec<TextRow>, StatementError> {
        let session = Arc::clone(&self.session);
        let (text, act) = (text.to_owned(), act.to_owned());
        to_the_end(async move { ask(&mut *session.lock().await, &text, &act).await }).await
    }

    /// Runs statements in order.
    pub(super) async fn all(&self, statements: &[&str], act: &str) -> Result<(), Failure> {
        for statement in statements {
            self.rows(statement, act).await?;
        }
        Ok(())
    }

    /// Asks for one row.
    pub(super) async fn one(&self, text: &str, act: &str) -> Result<TextRow, Failure> {
        let rows = self.rows(text, act).await?;
        let first = rows.into_iter().next();
        Ok(first.ok_or(SourceError::Answer { asked: "a statement that has a row" })?)
    }

    /// Asks. None where the account may not.
    pub(super) async fn permitted(
        &self,
        text: &str,
        act: &str,
    ) -> Result<Option<Vec<TextRow>>, StatementError> {
        match self.rows(text, act).await {
            Ok(rows) => Ok(Some(rows)),
            Err(error) if is_denied(error.number()) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What our account may do.
    pub(super) async fn privileges(&self) -> Result<Privileges, Failure> {
        let act = "read the account's privileges";
        let roles = self.one("SELECT CURRENT_ROLE()", act).await?.maybe(0);
        let text = show_grants(self.version.flavour, roles.as_deref());
        let rows = self.rows(&text, act).await?;
        Ok(Privileges::of(rows.iter().map(|row| row.text(0))))
    }

    /// Has the catalog show primary keys that the server made by itself, whatever the server's
    /// default is.
    pub(super) async fn show_hidden_keys(&self) -> Result<(), StatementError> {
        let since = 80_030;
        if self.version.flavour == Flavour::MySql && self.version.number >= since {
            let text = "SET SESSION show_gipk_in_create_table_and_information_schema = ON";
            self.rows(text, "have the catalog show hidden primary keys").await?;
        }
        Ok(())
    }

    /// Makes a database the current one.
    pub(super) async fn enter(&self, database: &str) -> Result<(), StatementError> {
        let text = format!("USE {}", quote_ident(database));
        self.rows(&text, &format!("go to database {database}")).await?;
        Ok(())
    }

    /// Whether the account may read a table with all the columns that are copied.
    pub(super) async fn may_read(&self, table: &Table) -> Result<bool, StatementError> {
        let columns: Vec<String> =
            table.copied_columns().map(|column| quote_ident(&column.name)).collect();
        let columns = if columns.is_empty() { "1".to_owned() } else { columns.join(", ") };
        let text = format!("SELECT {columns} FROM {} LIMIT 0", quote_name(&table.name));
        let act = format!("look whether table {} can be read", table.name);
        Ok(self.permitted(&text, &act).await?.is_some())
    }

    /// How a table's rows are walked in the order of its key.
    pub(super) async fn walk(&self, table: &Table) -> Result<Walk, StatementError> {
        let name = quote_name(&table.name);
        let text = format!("SELECT 1 FROM {name}{} LIMIT 0", Walk::Primary.hint());
        match self.rows(&text, &format!("look at the key of table {}", table.name)).await {
            Ok(_) => Ok(Walk::Primary),
            Err(error) if error.number() == Some(NO_SUCH_INDEX) => Ok(Walk::Key),
            Err(error) => Err(error),
        }
    }

    /// The server's own numbers of the tables; none where the account may not see them. A table
    /// whose name is not all letters and digits, or that is partitioned, is listed under another
    /// name, and has none.
    pub(super) async fn table_numbers(&self) -> Result<HashMap<TableName, u64>, StatementError> {
        let view = match self.version.flavour {
            Flavour::MySql => "INNODB_TABLES",
            Flavour::MariaDb => "INNODB_SYS_TABLES",
        };
        let text = format!("SELECT NAME, TABLE_ID FROM information_schema.{view}");
        let rows = self.permitted(&text, "read the numbers of the tables").await?;
        let number = |row: &TextRow| {
            let name = row.text(0);
            let (schema, name) = name.split_once('/')?;
            let name = TableName { schema: schema.to_owned(), name: name.to_owned() };
            Some((name, row.number(1)))
        };
        Ok(rows.iter().flatten().filter_map(number).collect())
    }
}

async fn ask(session: &mut Session, text: &str, act: &str) -> Result<Vec<TextRow>, StatementError> {
    let mut answer = session.query_iter(text).await.map_err(attempting(act))?;
    let columns = answer.columns();
    let names: Arc<[String]> =
        columns.iter().flat_map(|all| all.iter()).map(|c| c.name_str().into_owned()).collect();
    let rows: Vec<mysql_async::Row> = answer.collect().await.map_err(attempting(act))?;
    answer.drop_result().await.map_err(attempting(act))?;
    let row = |row: mysql_async::Row| TextRow {
        fields: row.unwrap_raw().into_iter().map(|value| value.and_then(field)).collect(),
        names: Arc::clone(&names),
    };
    Ok(rows.into_iter().map(row).collect())
}

fn field(value: Value) -> Option<String> {
    match value {
        Value::NULL => None,
        Value::Bytes(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
        // The text protocol has no other values; were there one, its text would be the same.
        other @ (Value::Int(_)
        | Value::UInt(_)
        | Value::Float(_)
        | Value::Double(_)
        | Value::Date(..)
        | Value::Time(..)) => Some(other.as_sql(true)),
    }
}
