//! Rows as they are now, of a source or of a target.
//!
//! In: a table, and a range or some keys of it. Out: its rows as the body of a `LOAD DATA`, which is
//! one line for each. Each is a statement of its own, under a view of the rows that is made when it
//! begins and given up at its end. The session's settings are the same on every server
//! (`settings.rs` in connect) and values come in the character set in which they are stored, so equal
//! values are equal bytes on both sides. Nothing is written.

use std::collections::HashMap;

use super::control::NO_SUCH_INDEX;
use super::error::SourceError;
use super::key::KeyForm;
use super::range::{self, Walk};
use super::rows::Reading;
use crate::config::endpoint::MySqlEndpoint;
use crate::connect::mysql::quote::{quote_ident, quote_name};
use crate::connect::mysql::{Wire, WireError};
use crate::model::{Column, Failure, Table, TableId};
use crate::source::{ChunkRows, Present, PresentReader, Scope};
use bytes::Bytes;

/// `ER_BAD_DB_ERROR`, `ER_NO_SUCH_TABLE`, `ER_BAD_FIELD_ERROR`.
const NOT_THERE: [u16; 3] = [1049, 1146, 1054];

/// A MySQL or MariaDB server whose rows are read as they are now.
#[derive(Clone)]
pub struct MySqlPresent {
    endpoint: MySqlEndpoint,
}

impl MySqlPresent {
    /// The server behind an endpoint. Does not connect.
    #[must_use]
    pub fn new(endpoint: MySqlEndpoint) -> Self {
        MySqlPresent { endpoint }
    }
}

impl Present for MySqlPresent {
    type Reader = MySqlPresentReader;

    async fn reader(&self) -> Result<MySqlPresentReader, Failure> {
        let wire = Wire::connect(&self.endpoint).await?;
        Ok(MySqlPresentReader { wire, walks: HashMap::new() })
    }
}

/// Reads rows over a connection of its own.
pub struct MySqlPresentReader {
    wire: Wire,
    walks: HashMap<TableId, Walk>,
}

impl MySqlPresentReader {
    /// How a table's rows are walked; None where it is not there.
    async fn walk(&mut self, table: &Table) -> Result<Option<Walk>, Failure> {
        if let Some(walk) = self.walks.get(&table.id) {
            return Ok(Some(*walk));
        }
        let walk = match self.wire.execute(range::one_row_there(table, Walk::Primary)).await {
            Ok(_) => Walk::Primary,
            Err(error) if number(&error) == Some(NO_SUCH_INDEX) => Walk::Key,
            Err(error) if is_not_there(&error) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        self.walks.insert(table.id, walk);
        Ok(Some(walk))
    }
}

fn number(error: &WireError) -> Option<u16> {
    error.server().map(|server| server.number)
}

fn is_not_there(error: &WireError) -> bool {
    number(error).is_some_and(|number| NOT_THERE.contains(&number))
}

impl PresentReader for MySqlPresentReader {
    type Rows<'a> = MySqlPresentRows<'a>;

    fn finds(&self, table: &Table, keys: &[&[u8]]) -> bool {
        !table.primary_key.is_empty() && keys.iter().all(|key| equal(table, key).is_some())
    }

    async fn read<'a>(
        &'a mut self,
        table: &'a Table,
        scope: Scope<'a>,
    ) -> Result<Option<MySqlPresentRows<'a>>, Failure> {
        let Some(walk) = self.walk(table).await? else { return Ok(None) };
        let text = match scope {
            Scope::Range { from, until } => range::select_between(table, (from, until), walk)
                .ok_or_else(|| SourceError::Range { table: table.name.to_string() })?,
            Scope::Keys(keys) => select_keys(table, keys),
        };
        match Reading::of(&mut self.wire, table, &text).await {
            Ok(reading) => Ok(Some(MySqlPresentRows { reading })),
            Err(error) if is_not_there(&error) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// The statement that yields the rows with one of these keys.
fn select_keys(table: &Table, keys: &[&[u8]]) -> String {
    let conditions: Vec<_> = keys.iter().filter_map(|key| equal(table, key)).collect();
    let condition =
        if conditions.is_empty() { "FALSE".to_owned() } else { conditions.join(" OR ") };
    format!("SELECT {} FROM {} WHERE {condition}", range::columns(table), quote_name(&table.name))
}

/// `(a = 1 AND b = 2)`. None where a column equals no literal.
fn equal(table: &Table, key: &[u8]) -> Option<String> {
    let columns: Vec<&Column> = table.key_columns().collect();
    let fields: Vec<&[u8]> = key.split(|byte| *byte == b'\t').collect();
    if fields.len() != columns.len() {
        return None;
    }
    let equals = |(column, field): (&&Column, &&[u8])| {
        let literal = KeyForm::of(column)?.literal_of(column, &unescaped(field))?;
        Some(format!("{} = {literal}", quote_ident(&column.name)))
    };
    let conditions: Option<Vec<_>> = columns.iter().zip(&fields).map(equals).collect();
    Some(format!("({})", conditions?.join(" AND ")))
}

/// A field as it was before it was escaped. A key has no NULL.
fn unescaped(field: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(field.len());
    let mut bytes = field.iter();
    while let Some(byte) = bytes.next() {
        plain.push(match byte {
            b'\\' => match bytes.next() {
                Some(b't') => b'\t',
                Some(b'n') => b'\n',
                Some(other) => *other,
                None => b'\\',
            },
            other => *other,
        });
    }
    plain
}

/// The rows, while they are read.
pub struct MySqlPresentRows<'a> {
    reading: Reading<'a>,
}

impl ChunkRows for MySqlPresentRows<'_> {
    async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        self.reading.next_buffer().await
    }

    fn rows(&self) -> u64 {
        self.reading.rows()
    }
}
