//! The rows of chunks, straight from the server.
//!
//! In: a table and a range. Out: the contents of one COPY, in the buffers in which they came. Each
//! reader sits in a transaction that sees exactly the held snapshot. No row is looked at.

use bytes::Bytes;

use super::wire::{CopyOut, Wire};
use crate::connect::quote::{quote_ident, quote_literal, quote_name};
use crate::model::{Chunk, ChunkRange, Failure, KeyBound, RowForm, Table};
use crate::source::{ChunkReader, ChunkRows};

/// Reads chunks over a connection of its own.
pub struct PostgresReader {
    wire: Wire,
}

impl PostgresReader {
    /// A reader that sees what the exported snapshot `name` sees.
    ///
    /// # Errors
    ///
    /// Where the snapshot is gone.
    pub(super) async fn new(mut wire: Wire, name: &str) -> Result<Self, Failure> {
        wire.simple_query(&under_snapshot(name)).await?;
        Ok(PostgresReader { wire })
    }
}

/// The statements that put a session into a transaction under the exported snapshot `name`.
pub(super) fn under_snapshot(name: &str) -> String {
    format!(
        "SET row_security = off; SET max_parallel_workers_per_gather = 0; \
         BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT {}",
        quote_literal(name)
    )
}

impl ChunkReader for PostgresReader {
    type Rows<'a> = PostgresRows<'a>;

    async fn open<'a>(
        &'a mut self,
        table: &'a Table,
        chunk: &'a Chunk,
        form: RowForm,
    ) -> Result<PostgresRows<'a>, Failure> {
        Ok(PostgresRows { copy: self.wire.copy_out(&copy_text(table, &chunk.range, form)).await? })
    }
}

/// The rows of one chunk.
pub struct PostgresRows<'a> {
    copy: CopyOut<'a>,
}

impl ChunkRows for PostgresRows<'_> {
    async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        Ok(self.copy.next_buffer().await?)
    }

    fn rows(&self) -> u64 {
        self.copy.rows().unwrap_or_default()
    }
}

/// The statement that yields a chunk's rows. COPY of a table, like ONLY, leaves out the rows of
/// tables that inherit from it.
pub(super) fn copy_text(table: &Table, range: &ChunkRange, form: RowForm) -> String {
    let name = quote_name(&table.name);
    let columns: Vec<_> = table.copied_columns().map(|column| quote_ident(&column.name)).collect();
    let columns = columns.join(", ");
    let form = match form {
        RowForm::Binary => " (FORMAT binary)",
        RowForm::Text => "",
    };
    match condition(table, range) {
        Some(condition) => {
            format!("COPY (SELECT {columns} FROM ONLY {name} WHERE {condition}) TO STDOUT{form}")
        }
        None if columns.is_empty() => format!("COPY {name} TO STDOUT{form}"),
        None => format!("COPY {name} ({columns}) TO STDOUT{form}"),
    }
}

fn condition(table: &Table, range: &ChunkRange) -> Option<String> {
    let (from, until) = match range {
        ChunkRange::Whole => (None, None),
        ChunkRange::Key { from, until } => (
            from.as_ref().map(|bound| compare(table, ">=", bound)),
            until.as_ref().map(|bound| compare(table, "<", bound)),
        ),
        ChunkRange::Blocks { from, until } => (
            Some(format!("ctid >= '({from},0)'::pg_catalog.tid")),
            until.map(|until| format!("ctid < '({until},0)'::pg_catalog.tid")),
        ),
    };
    let conditions: Vec<_> = from.into_iter().chain(until).collect();
    (!conditions.is_empty()).then(|| conditions.join(" AND "))
}

/// `("a", "b") >= ('1'::pg_catalog.int4, …)`: a row comparison, which a B-tree index serves.
fn compare(table: &Table, operator: &str, bound: &KeyBound) -> String {
    let keys: Vec<_> = table.key_columns().map(|column| quote_ident(&column.name)).collect();
    let values: Vec<_> = table
        .key_columns()
        .zip(bound)
        .map(|(column, value)| format!("{}::{}", quote_literal(value), column.type_name))
        .collect();
    format!("({}) {operator} ({})", keys.join(", "), values.join(", "))
}
