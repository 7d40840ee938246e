//! Rows as they are now, of a source or of a target.
//!
//! In: a table, and a range or some keys of it. Out: the contents of one COPY in the text form, in the
//! buffers in which they came. Each is a statement of its own that sees what is committed when it
//! begins; it holds no lock and no snapshot beyond its end. The session's settings are the same on
//! every server (`PINNED` in connect), so equal values are equal bytes on both sides; but for a
//! numeric's scale and the blanks of a char, which are as many as the column's type says. Nothing is
//! written.

use super::PostgresSource;
use super::rows::{PostgresRows, SETTINGS, TEXT_AS_IT_IS, key_range};
use super::wire::{TextRow, Wire, WireError, WireOptions};
use crate::config::endpoint::PostgresEndpoint;
use crate::connect::keys::{literals, one_of};
use crate::connect::quote::{quote_ident, quote_literal, quote_name};
use crate::model::{Column, Failure, Table, ValueKind};
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

    /// The server that a source is with.
    #[must_use]
    pub fn of(source: &PostgresSource) -> Self {
        PostgresPresent::new(source.shared.endpoint.clone())
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

    async fn kinds(&mut self, table: &Table) -> Result<Option<Vec<ValueKind>>, Failure> {
        // A column has the same type on both sides, or nothing is copied into it.
        if !table.copied_columns().any(|column| kind(column, 0) != ValueKind::Plain) {
            return Ok(Some(table.copied_columns().map(|_| ValueKind::Plain).collect()));
        }
        let rows = self.wire.simple_query(&modifiers(table)).await?;
        let modifier = |column: &Column| {
            let is_of = |row: &&TextRow| row.first() == Some(&Some(column.name.clone()));
            rows.iter().find(is_of)?.get(1)?.as_ref()?.parse().ok()
        };
        let kinds = table.copied_columns().map(|column| Some(kind(column, modifier(column)?)));
        Ok(kinds.collect())
    }

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

/// What the values of a column are that has this modifier of its type (`pg_attribute.atttypmod`).
fn kind(column: &Column, modifier: i32) -> ValueKind {
    match column.type_name.as_str() {
        "pg_catalog.numeric" => ValueKind::Number { shape: modifier },
        "pg_catalog.bpchar" => ValueKind::Padded { length: modifier },
        _ => ValueKind::Plain,
    }
}

/// The statement that yields each column of a table with the modifier of its type.
fn modifiers(table: &Table) -> String {
    format!(
        "SELECT attname, atttypmod FROM pg_catalog.pg_attribute \
         WHERE attrelid = pg_catalog.to_regclass({}) AND attnum > 0 AND NOT attisdropped",
        quote_literal(&quote_name(&table.name))
    )
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
    // Not by the table's name, under which COPY gives no generated column.
    let condition = condition.map(|condition| format!(" WHERE {condition}")).unwrap_or_default();
    format!("COPY (SELECT {columns} FROM {only}{name}{condition}) TO STDOUT")
}
