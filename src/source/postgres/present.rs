//! Rows as they are now, of a source or of a target.
//!
//! In: a table, and a range or some keys of it. Out: the contents of one COPY in the text form, in the
//! buffers in which they came. Each is a statement of its own that sees what is committed when it
//! begins; it holds no lock and no snapshot beyond its end. The session's settings are the same on
//! every server (`PINNED` in connect), so equal values are equal bytes on both sides. Nothing is
//! written.

use super::rows::{PostgresRows, SETTINGS, TEXT_AS_IT_IS, key_range};
use super::wire::{Wire, WireError, WireOptions};
use crate::config::endpoint::PostgresEndpoint;
use crate::connect::quote::{quote_ident, quote_literal, quote_name};
use crate::model::{Failure, Table};
use crate::source::{Present, PresentReader, Scope};

/// The server knows no such table, schema or column.
const NOT_THERE: [&str; 3] = ["42P01", "3F000", "42703"];

/// What our sessions say that they are.
const APPLICATION: &str = "dunlin verify";

/// A Postgres server whose rows are read as they are now.
#[derive(Clone, Debug)]
pub struct PostgresPresent {
    endpoint: PostgresEndpoint,
}

impl PostgresPresent {
    /// The server behind an endpoint. Does not connect.
    #[must_use]
    pub fn new(endpoint: PostgresEndpoint) -> Self {
        PostgresPresent { endpoint }
    }
}

impl Present for PostgresPresent {
    type Reader = PostgresPresentReader;

    async fn reader(&self) -> Result<PostgresPresentReader, Failure> {
        let options = WireOptions { application_name: APPLICATION.to_owned(), replication: false };
        let mut wire = Wire::connect(&self.endpoint, &options).await?;
        wire.simple_query(SETTINGS).await?;
        wire.simple_query(TEXT_AS_IT_IS).await?;
        Ok(PostgresPresentReader { wire })
    }
}

/// Reads rows over a connection of its own.
pub struct PostgresPresentReader {
    wire: Wire,
}

impl PresentReader for PostgresPresentReader {
    type Rows<'a> = PostgresRows<'a>;

    fn finds(&self, table: &Table, keys: &[&[u8]]) -> bool {
        // Types of extensions may have no operator that a bare `=` means.
        let built_in = |name: &str| name.starts_with("pg_catalog.");
        !table.primary_key.is_empty()
            && table.key_columns().all(|column| built_in(&column.type_name))
            && keys.iter().all(|key| literals(key).is_some())
    }

    async fn read<'a>(
        &'a mut self,
        table: &'a Table,
        scope: Scope<'a>,
    ) -> Result<Option<PostgresRows<'a>>, Failure> {
        match self.wire.copy_out(&statement(table, scope)).await {
            Ok(copy) => Ok(Some(PostgresRows::new(copy))),
            Err(error) if is_not_there(&error) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

fn is_not_there(error: &WireError) -> bool {
    error.server().is_some_and(|server| NOT_THERE.contains(&server.code.as_str()))
}

/// A partitioned table that is copied as one is read with its partitions, of which the other server
/// may have others or none; of any other table, rows of those that inherit from it are left out.
fn statement(table: &Table, scope: Scope<'_>) -> String {
    let columns: Vec<_> = table.copied_columns().map(|column| quote_ident(&column.name)).collect();
    let columns = columns.join(", ");
    let name = quote_name(&table.name);
    let condition = match scope {
        Scope::Range { from, until } => key_range(table, from, until),
        Scope::Keys(keys) => Some(one_of(table, keys)),
    };
    let only = if table.partitions.is_some() { "" } else { "ONLY " };
    match condition {
        Some(condition) => {
            format!("COPY (SELECT {columns} FROM {only}{name} WHERE {condition}) TO STDOUT")
        }
        None if table.partitions.is_some() || columns.is_empty() => {
            format!("COPY (SELECT {columns} FROM {only}{name}) TO STDOUT")
        }
        None => format!("COPY {name} ({columns}) TO STDOUT"),
    }
}

/// Rows that have one of these keys.
fn one_of(table: &Table, keys: &[&[u8]]) -> String {
    let columns: Vec<_> = table.key_columns().map(|column| quote_ident(&column.name)).collect();
    let mut keys: Vec<Vec<String>> = keys.iter().filter_map(|key| literals(key)).collect();
    keys.retain(|key| key.len() == columns.len() && !key.is_empty());
    if keys.is_empty() {
        return "false".to_owned();
    }
    if let [column] = columns.as_slice() {
        return format!("{column} IN ({})", keys.concat().join(", "));
    }
    let rows: Vec<_> = keys.iter().map(|key| format!("({})", key.join(", "))).collect();
    format!("({}) IN ({})", columns.join(", "), rows.join(", "))
}

/// A key's fields as literals. None where they are no text in the session's encoding.
fn literals(key: &[u8]) -> Option<Vec<String>> {
    let literal = |field| Some(quote_literal(&String::from_utf8(unescaped(field)).ok()?));
    key.split(|byte| *byte == b'\t').map(literal).collect()
}

/// A field as it was before COPY escaped it ("File Formats" of COPY in the manual). A key has no
/// NULL.
fn unescaped(field: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(field.len());
    let mut bytes = field.iter();
    while let Some(byte) = bytes.next() {
        plain.push(match byte {
            b'\\' => match bytes.next() {
                Some(b'b') => 0x08,
                Some(b'f') => 0x0c,
                Some(b'n') => b'\n',
                Some(b'r') => b'\r',
                Some(b't') => b'\t',
                Some(b'v') => 0x0b,
                Some(other) => *other,
                None => b'\\',
            },
            other => *other,
        });
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_a_key_are_read_back() {
        assert_eq!(unescaped(b"a\\tb\\\\n\\n\\x"), b"a\tb\\n\nx");
        assert_eq!(literals(b"1\tit's\\\\").unwrap(), ["'1'", " E'it''s\\\\'"]);
        assert_eq!(literals(b"\xff"), None);
    }
}
