//! Rows as they are now, of a source or of a target.
//!
//! In: a table, and a range or some keys of it. Out: its rows as the body of a `LOAD DATA`, which is
//! one line for each. Each is a statement of its own, under a view of the rows that is made when it
//! begins and given up at its end. The session's settings are the same on every server
//! (`settings.rs` in connect) and values come in the character set in which they are stored, so equal
//! values are equal bytes on both sides; but for numbers that are filled with zeros, and for documents
//! that one side keeps as text. Nothing is written.

use std::collections::HashMap;

use super::MySqlSource;
use super::binlog::column::code;
use super::control::NO_SUCH_INDEX;
use super::error::SourceError;
use super::range::{self, Walk};
use super::rows::Reading;
use super::site::Site;
use crate::config::endpoint::MySqlEndpoint;
use crate::connect::mysql::quote::quote_name;
use crate::connect::mysql::wire::ResultColumn;
use crate::connect::mysql::{Wire, WireError, key};
use crate::model::{Failure, Table, TableId, ValueKind};
use crate::source::{ChunkRows, Present, PresentReader, Scope};
use bytes::Bytes;

/// `ER_BAD_DB_ERROR`, `ER_NO_SUCH_TABLE`, `ER_BAD_FIELD_ERROR`.
const NOT_THERE: [u16; 3] = [1049, 1146, 1054];

/// A MySQL or MariaDB server whose rows are read as they are now.
#[derive(Clone)]
pub struct MySqlPresent {
    site: Site,
}

impl MySqlPresent {
    /// The server behind an endpoint. Does not connect.
    #[must_use]
    pub fn new(endpoint: MySqlEndpoint) -> Self {
        MySqlPresent { site: Site::any(endpoint) }
    }

    /// The server that a source is with.
    #[must_use]
    pub fn of(source: &MySqlSource) -> Self {
        MySqlPresent { site: source.shared.site.clone() }
    }
}

impl Present for MySqlPresent {
    type Reader = MySqlPresentReader;

    async fn reader(&self) -> Result<MySqlPresentReader, Failure> {
        let wire = self.site.wire().await?;
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

    async fn kinds(&mut self, table: &Table) -> Result<Option<Vec<ValueKind>>, Failure> {
        match self.wire.query(&range::columns_there(table)).await {
            Ok(set) => {
                let kinds = set.columns().iter().map(kind).collect();
                set.finish().await?;
                Ok(Some(kinds))
            }
            Err(error) if is_not_there(&error) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn finds(&self, table: &Table, keys: &[&[u8]]) -> bool {
        !table.primary_key.is_empty() && keys.iter().all(|key| key::equal(table, key).is_some())
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

/// The bits of a column's flags (mysql_com.h): it is filled with zeros, it is an ENUM, it is a SET.
const ZEROFILL: u16 = 64;
const LABELS: u16 = 256 | 2048;

/// The number of the collation of what is no text.
const BINARY: u16 = 63;

/// What the values of a column are. MariaDB's JSON is a text with a check, which says nothing of
/// blanks and the order of members.
fn kind(column: &ResultColumn) -> ValueKind {
    let is_text = column.collation != BINARY && column.flags & LABELS == 0;
    let filled = if column.flags & ZEROFILL == 0 { 0 } else { column.length.cast_signed() };
    match column.kind {
        code::JSON => ValueKind::Document,
        code::VARCHAR | code::BLOB | code::VAR_STRING | code::STRING if is_text => ValueKind::Text,
        code::TINY
        | code::SHORT
        | code::INT24
        | code::LONG
        | code::LONGLONG
        | code::NEWDECIMAL
        | code::FLOAT
        | code::DOUBLE => ValueKind::Number { shape: filled },
        _ => ValueKind::Plain,
    }
}

/// The statement that yields the rows with one of these keys.
fn select_keys(table: &Table, keys: &[&[u8]]) -> String {
    let condition = key::one_of(table, keys);
    format!("SELECT {} FROM {} WHERE {condition}", range::columns(table), quote_name(&table.name))
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
