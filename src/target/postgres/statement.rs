//! The statements that carry out an effect on one table, as text.
//!
//! Every statement takes one array of text per column and casts each element to the column's
//! type, so that its text never depends on how many rows there are: it is prepared once per table
//! and set of columns. An element's cast runs the type's input function, as COPY would.
//!
//! Types whose output is not read back by a cast from text (`"char"`, `name`, `bpchar`, …) keep
//! every byte here because [`TargetColumn::cast`] names the type without its modifier. Equality of
//! keys is the operator of the unique index itself, by its qualified name: with an empty
//! `search_path` the `=` of an extension's type would not be found.

use std::fmt::Write;

use super::catalog::{TargetColumn, TargetTable};
use crate::connect::quote::{quote_ident, quote_name};
use crate::model::Shape;

/// What a statement does.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) enum Kind {
    /// Deletes rows by key.
    Delete,
    /// Deletes rows that are known by their whole; takes a count for each.
    DeleteWhole,
    /// Updates rows by key: the columns that are set.
    Update(Vec<u16>),
    /// Inserts whole rows from arrays.
    Insert,
    /// Inserts whole rows from a COPY stream.
    Copy,
}

/// The text of a statement. Parameters are the key's columns first, then the columns that are set
/// (or all columns of an insert), then the count.
pub(super) fn text(kind: &Kind, target: &TargetTable, columns: &Columns<'_>) -> String {
    match kind {
        Kind::Delete => delete(target, columns),
        Kind::DeleteWhole => delete_whole(target, columns),
        Kind::Update(set) => update(target, columns, set),
        Kind::Insert => insert(target, columns),
        Kind::Copy => copy(target, columns),
    }
}

/// A shape's columns as the target has them, in the shape's order.
pub(super) struct Columns<'a> {
    /// One for each column of the relation.
    pub(super) all: Vec<&'a TargetColumn>,
    /// The key's columns, as indexes into `all`.
    pub(super) key: Vec<u16>,
}

impl<'a> Columns<'a> {
    /// Finds the columns of a shape by name. None where one is missing.
    pub(super) fn of(shape: &Shape, target: &'a TargetTable) -> Option<Self> {
        let find = |name: &str| target.columns.iter().find(|column| column.name == name);
        let all: Option<Vec<_>> =
            shape.relation.columns.iter().map(|column| find(&column.name)).collect();
        Some(Columns { all: all?, key: shape.key_columns() })
    }

    fn get(&self, index: u16) -> &'a TargetColumn {
        self.all[usize::from(index)]
    }
}

/// The table as a statement names it. A partitioned table is named with its partitions, any other
/// without those that inherit from it.
fn relation(target: &TargetTable) -> String {
    let only = if target.partitioned { "" } else { "ONLY " };
    format!("{only}{}", quote_name(&target.name))
}

/// `unnest($1::text[], …) AS u(c1, …)`
fn arrays(count: usize) -> String {
    let mut text = String::from("ROWS FROM (");
    for number in 1..=count {
        let comma = if number > 1 { ", " } else { "" };
        let _ = write!(text, "{comma}pg_catalog.unnest(${number}::pg_catalog.text[])");
    }
    text.push_str(") AS u(");
    for number in 1..=count {
        let comma = if number > 1 { ", " } else { "" };
        let _ = write!(text, "{comma}c{number}");
    }
    text.push(')');
    text
}

/// `t."a" OPERATOR(pg_catalog.=) u.c1::pg_catalog.int4 AND …`
fn key_matches(columns: &Columns<'_>) -> String {
    let matches = columns.key.iter().zip(1..).map(|(&index, number)| {
        let column = columns.get(index);
        equals(column, number)
    });
    matches.collect::<Vec<_>>().join(" AND ")
}

fn equals(column: &TargetColumn, number: usize) -> String {
    let operator = column.equality.as_deref().unwrap_or("OPERATOR(pg_catalog.=)");
    format!("t.{} {operator} u.c{number}::{}", quote_ident(&column.name), column.cast)
}

fn delete(target: &TargetTable, columns: &Columns<'_>) -> String {
    format!(
        "DELETE FROM {} AS t USING {} WHERE {}",
        relation(target),
        arrays(columns.key.len()),
        key_matches(columns)
    )
}

/// Rows are matched by the text of every column, so that types without equality can be found and
/// `1.0` is not taken for `1.00`. Of equal rows as many go as the count says.
fn delete_whole(target: &TargetTable, columns: &Columns<'_>) -> String {
    let matches: Vec<_> = columns
        .key
        .iter()
        .zip(1..)
        .map(|(&index, number)| {
            let name = quote_ident(&columns.get(index).name);
            format!("{} = {}", marked(&format!("t.{name}")), marked_text(&format!("u.c{number}")))
        })
        .collect();
    let width = columns.key.len();
    let matches = if matches.is_empty() { "true".to_owned() } else { matches.join(" AND ") };
    format!(
        "DELETE FROM {relation} AS d USING (\
         SELECT t.tableoid AS part, t.ctid AS place, u.c{count}::pg_catalog.int8 AS wanted, \
         pg_catalog.row_number() OVER (PARTITION BY u.number) AS found \
         FROM (SELECT *, pg_catalog.row_number() OVER () AS number FROM {arrays}) AS u \
         JOIN {relation} AS t ON {matches}) AS f \
         WHERE f.found <= f.wanted AND d.tableoid = f.part AND d.ctid = f.place",
        relation = relation(target),
        count = width + 1,
        arrays = arrays(width + 1),
    )
}

/// A column's text with a mark before it, or nothing for NULL: one expression that can be hashed.
/// `concat` calls the type's output function; a cast to text would strip the blanks of a `char`.
fn marked(expression: &str) -> String {
    format!("CASE WHEN {expression} IS NULL THEN '' ELSE pg_catalog.concat('=', {expression}) END")
}

fn marked_text(expression: &str) -> String {
    format!("CASE WHEN {expression} IS NULL THEN '' ELSE '=' || {expression} END")
}

fn update(target: &TargetTable, columns: &Columns<'_>, set: &[u16]) -> String {
    if set.iter().any(|&index| columns.get(index).identity_always) {
        return replace(target, columns, set);
    }
    let key = columns.key.len();
    let mut sets: Vec<_> = set
        .iter()
        .zip(key + 1..)
        .map(|(&index, number)| {
            let column = columns.get(index);
            format!("{} = u.c{number}::{}", quote_ident(&column.name), column.cast)
        })
        .collect();
    if let (true, Some(&first)) = (sets.is_empty(), columns.key.first()) {
        // Nothing but the proof that the row is there.
        let name = quote_ident(&columns.get(first).name);
        sets.push(format!("{name} = t.{name}"));
    }
    format!(
        "UPDATE {} AS t SET {} FROM {} WHERE {}",
        relation(target),
        sets.join(", "),
        arrays(key + set.len()),
        key_matches(columns)
    )
}

/// A GENERATED ALWAYS identity column cannot be set by an UPDATE, but by an INSERT: the row is
/// taken out and put back with what was set.
fn replace(target: &TargetTable, columns: &Columns<'_>, set: &[u16]) -> String {
    let key = columns.key.len();
    let written: Vec<_> = target.columns.iter().filter(|column| !column.generated).collect();
    let names: Vec<_> = written.iter().map(|column| quote_ident(&column.name)).collect();
    let values: Vec<_> = written
        .iter()
        .zip(1..)
        .map(|(column, place)| {
            let parameter = set.iter().position(|&index| columns.get(index).name == column.name);
            match parameter {
                Some(at) => format!("u.c{}::{} AS r{place}", key + at + 1, column.cast),
                None => format!("t.{} AS r{place}", quote_ident(&column.name)),
            }
        })
        .collect();
    format!(
        "WITH o AS (DELETE FROM {} AS t USING {} WHERE {} RETURNING {}) \
         INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE SELECT * FROM o",
        relation(target),
        arrays(key + set.len()),
        key_matches(columns),
        values.join(", "),
        quote_name(&target.name),
        names.join(", ")
    )
}

/// The columns in parentheses; nothing where there are none.
fn column_list(columns: &Columns<'_>) -> String {
    let names: Vec<_> = columns.all.iter().map(|column| quote_ident(&column.name)).collect();
    if names.is_empty() { String::new() } else { format!(" ({})", names.join(", ")) }
}

/// A row without columns takes an array of anything, one element for each.
fn insert(target: &TargetTable, columns: &Columns<'_>) -> String {
    let width = columns.all.len().max(1);
    let values: Vec<_> = columns
        .all
        .iter()
        .zip(1..)
        .map(|(column, number)| format!("u.c{number}::{}", column.cast))
        .collect();
    format!(
        "INSERT INTO {}{} OVERRIDING SYSTEM VALUE SELECT {} FROM {}",
        quote_name(&target.name),
        column_list(columns),
        values.join(", "),
        arrays(width)
    )
}

fn copy(target: &TargetTable, columns: &Columns<'_>) -> String {
    format!("COPY {}{} FROM STDIN", quote_name(&target.name), column_list(columns))
}
