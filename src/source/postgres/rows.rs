//! The rows of chunks, straight from the server.
//!
//! In: a table and a range. Out: the contents of one COPY, in the buffers in which they came. Each
//! chunk is read in a transaction of its own that sees exactly the held snapshot, so that the lock
//! on its table is short: whoever waits for more keeps every later reader waiting, our own ones
//! included. No row is looked at.
//!
//! Nothing is lost by that: TRUNCATE and whatever else rewrites a table gives it another file, and
//! under an older snapshot the new file looks empty ("Caveats" of the chapter on MVCC in the
//! manual). So once the table is locked its file is compared with the snapshot's. A name is looked
//! up in the present, under whatever snapshot; so it must still mean the same table. A column or a
//! table that was dropped since cannot be read under any snapshot; the table is copied again under a
//! later one. A table that was dropped before the snapshot has no rows in it and no change after it.

use bytes::Bytes;

use super::error::SourceError;
use super::wire::{CopyOut, TextRow, Wire};
use crate::connect::quote::{quote_ident, quote_literal, quote_name, type_name};
use crate::model::{Chunk, ChunkRange, Column, Failure, KeyBound, RowForm, Table, TableName};
use crate::source::{ChunkReader, ChunkRows, Opened};

/// Reads chunks over a connection of its own.
pub struct PostgresReader {
    wire: Wire,
    snapshot: String,
    in_transaction: bool,
}

impl PostgresReader {
    /// A reader that sees what the exported snapshot `name` sees.
    ///
    /// # Errors
    ///
    /// Where the connection fails.
    pub(super) async fn new(mut wire: Wire, name: &str) -> Result<Self, Failure> {
        wire.simple_query(SETTINGS).await?;
        wire.simple_query(TEXT_AS_IT_IS).await?;
        Ok(PostgresReader { wire, snapshot: name.to_owned(), in_transaction: false })
    }

    /// How a table stands under the snapshot, in a transaction of its own in which it is locked where
    /// it can be read; and whether there is any table of its name by now.
    async fn stand(&mut self, table: &Table) -> Result<(Standing, bool), Failure> {
        self.begin().await?;
        let refused = match self.wire.simple_query(&lock_and_compare(table)).await {
            Err(error) => error,
            Ok(rows) => return Ok((standing(table, &rows), true)),
        };
        let named = match refused.server().map(|server| server.code.as_str()) {
            Some(UNDEFINED_TABLE) => false,
            Some(UNDEFINED_COLUMN) => true,
            Some(_) | None => return Err(refused.into()),
        };
        self.begin().await?;
        let rows = self.wire.simple_query(&name_of(table)).await?;
        Ok((standing(table, &rows), named))
    }

    /// Begins a transaction under the snapshot.
    async fn begin(&mut self) -> Result<(), Failure> {
        self.leave().await?;
        let begun = self.wire.simple_query(&begin_under(&self.snapshot)).await;
        begun.map_err(|source| SourceError::Snapshot { source })?;
        self.in_transaction = true;
        Ok(())
    }

    /// Ends the transaction of the chunk before, and with it the lock on its table.
    async fn leave(&mut self) -> Result<(), Failure> {
        if std::mem::take(&mut self.in_transaction) {
            self.wire.simple_query("ROLLBACK").await?;
        }
        Ok(())
    }
}

/// The server knows no table of that name.
const UNDEFINED_TABLE: &str = "42P01";

/// The server's table has no column of that name.
const UNDEFINED_COLUMN: &str = "42703";

pub(super) const SETTINGS: &str = "SET row_security = off; SET max_parallel_workers_per_gather = 0";

/// A database in SQL_ASCII holds bytes of any encoding. It would send none that are not valid in
/// the client's (`pg_server_to_any` in mbutils.c); so they are asked for as they are, and whether
/// they are valid is for the target to say.
pub(super) const TEXT_AS_IT_IS: &str = "\
     SELECT pg_catalog.set_config('client_encoding', 'SQL_ASCII', false) \
     WHERE pg_catalog.getdatabaseencoding() = 'SQL_ASCII'";

/// The statements that put a session into a transaction under the exported snapshot `name`.
pub(super) fn under_snapshot(name: &str) -> String {
    format!("{SETTINGS}; {}", begin_under(name))
}

fn begin_under(name: &str) -> String {
    format!(
        "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT {}",
        quote_literal(name)
    )
}

/// Locks a table; then tells, a row for each of its columns at the snapshot, whether it still has
/// the name and lies in the file that it had there, the name that it had there, and the column.
/// `relfilenode` is read under the snapshot, the functions know the latest. A table without columns
/// has one row without a column. The last statement fails where a column was dropped or renamed
/// since.
fn lock_and_compare(table: &Table) -> String {
    let name = quote_name(&table.name);
    format!(
        "LOCK TABLE ONLY {name} IN ACCESS SHARE MODE; \
         SELECT c.relfilenode = COALESCE(pg_catalog.pg_relation_filenode(c.oid), 0), \
                {}, s.nspname, c.relname, a.attname, n.nspname, t.typname, a.attgenerated <> '' \
         FROM pg_catalog.pg_class AS c \
         JOIN pg_catalog.pg_namespace AS s ON s.oid = c.relnamespace \
         LEFT JOIN pg_catalog.pg_attribute AS a \
             ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
         LEFT JOIN pg_catalog.pg_type AS t ON t.oid = a.atttypid \
         LEFT JOIN pg_catalog.pg_namespace AS n ON n.oid = t.typnamespace \
         WHERE c.oid = {} ORDER BY a.attnum; \
         SELECT {} FROM ONLY {name} LIMIT 0",
        is_named(table),
        table.source_id,
        copied_columns(table)
    )
}

/// The name that a table has at the snapshot, none where it is not there.
fn name_of(table: &Table) -> String {
    format!(
        "SELECT false, {}, s.nspname, c.relname FROM pg_catalog.pg_class AS c \
         JOIN pg_catalog.pg_namespace AS s ON s.oid = c.relnamespace WHERE c.oid = {}",
        is_named(table),
        table.source_id
    )
}

/// Whether a table has its name now, whatever it was called at the snapshot.
fn is_named(table: &Table) -> String {
    let name = quote_literal(&quote_name(&table.name));
    format!("COALESCE(c.oid = pg_catalog.to_regclass({name})::pg_catalog.oid, false)")
}

/// Whether a table can be read under the snapshot as it was planned.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Standing {
    /// It can.
    AsPlanned,
    /// It was emptied, rewritten, renamed or dropped since.
    Overtaken,
    /// It has another name at the snapshot than it was planned with.
    Renamed(TableName),
    /// It has other columns at the snapshot than it was planned with.
    OtherColumns,
    /// It is not there at the snapshot.
    Absent,
}

/// Reads the answer to [`lock_and_compare`] or [`name_of`].
fn standing(table: &Table, rows: &[TextRow]) -> Standing {
    let Some(first) = rows.first() else { return Standing::Absent };
    let field = |row: &TextRow, index: usize| row.get(index).cloned().flatten();
    let is = |index: usize| field(first, index).as_deref() == Some("t");
    let at_snapshot = field(first, 2).zip(field(first, 3));
    let name = at_snapshot.map(|(schema, name)| TableName { schema, name });
    match name.filter(|name| *name != table.name) {
        Some(other) if !is(1) => return Standing::Renamed(other),
        Some(_) => return Standing::Overtaken,
        None if !is(0) || !is(1) => return Standing::Overtaken,
        None => {}
    }
    let column = |row: &TextRow| {
        let type_name = type_name(&field(row, 5)?, &field(row, 6)?);
        Some((field(row, 4)?, type_name, field(row, 7)? == "t"))
    };
    let planned = table
        .columns
        .iter()
        .map(|column| (column.name.clone(), column.type_name.clone(), column.generated));
    let (mut planned, mut found): (Vec<_>, Vec<_>) =
        (planned.collect(), rows.iter().filter_map(column).collect());
    if table.root.is_some() {
        // The columns may be those of the root, whose order differs.
        planned.sort();
        found.sort();
    }
    if planned == found { Standing::AsPlanned } else { Standing::OtherColumns }
}

impl ChunkReader for PostgresReader {
    type Rows<'a> = PostgresRows<'a>;

    async fn open<'a>(
        &'a mut self,
        table: &'a Table,
        chunk: &'a Chunk,
        form: RowForm,
    ) -> Result<Opened<PostgresRows<'a>>, Failure> {
        let (partition, range) = match &chunk.range {
            ChunkRange::Partition { source_id, range } => (table.partition(*source_id), &**range),
            range => (None, range),
        };
        let table = partition.as_ref().unwrap_or(table);
        let (standing, named) = self.stand(table).await?;
        match standing {
            Standing::AsPlanned => {}
            // A partition that is gone since makes its table as outdated as one that was emptied.
            Standing::Absent | Standing::Renamed(_) if partition.is_some() => {
                return Ok(Opened::Outdated);
            }
            Standing::Overtaken => return Ok(Opened::Outdated),
            Standing::Absent if !named => return Ok(Opened::Gone),
            Standing::Absent => {
                return Err(SourceError::Recreated { table: table.name.to_string() }.into());
            }
            Standing::Renamed(now) => {
                return Err(SourceError::Renamed { table: table.name.clone(), now }.into());
            }
            Standing::OtherColumns => {
                return Err(SourceError::ColumnsChanged { table: table.name.to_string() }.into());
            }
        }
        let copy = self.wire.copy_out(&copy_text(table, range, form)).await?;
        Ok(Opened::Rows(PostgresRows::new(copy)))
    }
}

/// The rows of one chunk.
pub struct PostgresRows<'a> {
    copy: CopyOut<'a>,
}

impl<'a> PostgresRows<'a> {
    pub(super) fn new(copy: CopyOut<'a>) -> Self {
        PostgresRows { copy }
    }
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
    let columns = copied_columns(table);
    let form = match form {
        RowForm::Binary => " (FORMAT binary)",
        RowForm::Text => "",
    };
    match condition(table, range) {
        Some(condition) => {
            format!("COPY (SELECT {columns} FROM ONLY {name} WHERE {condition}) TO STDOUT{form}")
        }
        // A partitioned table cannot be copied by its name; it has no rows but its partitions'.
        None if table.partitions.is_some() => {
            format!("COPY (SELECT {columns} FROM ONLY {name}) TO STDOUT{form}")
        }
        None if columns.is_empty() => format!("COPY {name} TO STDOUT{form}"),
        None => format!("COPY {name} ({columns}) TO STDOUT{form}"),
    }
}

fn copied_columns(table: &Table) -> String {
    let columns: Vec<_> = table.copied_columns().map(|column| quote_ident(&column.name)).collect();
    columns.join(", ")
}

fn condition(table: &Table, range: &ChunkRange) -> Option<String> {
    match range {
        // A partition is read as a table by itself.
        ChunkRange::Whole | ChunkRange::Partition { .. } => None,
        ChunkRange::Key { from, until } => key_range(table, from.as_ref(), until.as_ref()),
        ChunkRange::Blocks { from, until } => Some(match until {
            Some(until) => format!(
                "ctid >= '({from},0)'::pg_catalog.tid AND ctid < '({until},0)'::pg_catalog.tid"
            ),
            None => format!("ctid >= '({from},0)'::pg_catalog.tid"),
        }),
    }
}

/// Rows whose key lies between two borders; None where there is neither.
pub(super) fn key_range(
    table: &Table,
    from: Option<&KeyBound>,
    until: Option<&KeyBound>,
) -> Option<String> {
    let from = from.map(|bound| compare(table, ">=", bound));
    let until = until.map(|bound| compare(table, "<", bound));
    let conditions: Vec<_> = from.into_iter().chain(until).collect();
    (!conditions.is_empty()).then(|| conditions.join(" AND "))
}

/// `("a", "b") >= ('1', 'x' COLLATE pg_catalog."C")`: a row comparison, which a B-tree index
/// serves. A value takes the type of its column, by the grammar's rule for untyped literals, and
/// the collation that the column had when the borders were made: whatever becomes of the column,
/// all ranges go by one order.
fn compare(table: &Table, operator: &str, bound: &KeyBound) -> String {
    let keys: Vec<_> = table.key_columns().map(|column| quote_ident(&column.name)).collect();
    let values: Vec<_> = table
        .key_columns()
        .zip(bound)
        .map(|(column, value)| collated(&quote_literal(value), column))
        .collect();
    format!("({}) {operator} ({})", keys.join(", "), values.join(", "))
}

/// An expression under the collation that a column had when the table was taken in.
pub(super) fn collated(expression: &str, column: &Column) -> String {
    match &column.collation {
        Some(collation) => format!("{expression} COLLATE {collation}"),
        None => expression.to_owned(),
    }
}
