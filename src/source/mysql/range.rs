//! The statements that read a chunk's rows.
//!
//! In: a table and a range of it. Out: SQL. A range of a composite key is written as alternatives,
//! one for each column, since the server uses its index for those and not for a comparison of rows
//! ([range optimization of row constructor expressions] covers only equality). Columns are read so
//! that their text loses nothing: a FLOAT as the DOUBLE that it is, all others as they are.
//!
//! [range optimization of row constructor expressions]:
//!     https://dev.mysql.com/doc/refman/8.4/en/range-optimization.html

use crate::connect::mysql::described::data_type;
use crate::connect::mysql::key::KeyForm;
use crate::connect::mysql::quote::{quote_ident, quote_name};
use crate::model::{ChunkRange, Column, KeyBound, Table};

/// How the server is told to walk the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Walk {
    /// In the order of the index named PRIMARY.
    Primary,
    /// In the order of the key that stands for a primary key, or in any where there is none.
    Key,
}

impl Walk {
    /// What follows the table's name.
    pub(super) fn hint(self) -> &'static str {
        match self {
            Walk::Primary => " FORCE INDEX (PRIMARY)",
            Walk::Key => "",
        }
    }
}

/// The statement that yields a chunk's rows. None where the range is not one of this table's keys.
pub(super) fn select(table: &Table, range: &ChunkRange, walk: Walk) -> Option<String> {
    match range {
        ChunkRange::Whole => select_between(table, (None, None), walk),
        ChunkRange::Key { from, until } => {
            select_between(table, (from.as_ref(), until.as_ref()), walk)
        }
        ChunkRange::Blocks { .. } | ChunkRange::Partition { .. } => None,
    }
}

/// The statement that yields the rows whose key lies between two borders, each open where absent.
/// None where a border is not of this table's key.
pub(super) fn select_between(
    table: &Table,
    (from, until): (Option<&KeyBound>, Option<&KeyBound>),
    walk: Walk,
) -> Option<String> {
    let columns = columns(table);
    let name = quote_name(&table.name);
    let hint = if table.primary_key.is_empty() { "" } else { walk.hint() };
    let condition = within(table, from, until)?;
    let order = match condition {
        Some(_) => format!(" ORDER BY {}", key_list(table)),
        // The order in which the rows lie.
        None => String::new(),
    };
    let condition = condition.map(|condition| format!(" WHERE {condition}")).unwrap_or_default();
    Some(format!("SELECT {columns} FROM {name}{hint}{condition}{order}"))
}

/// The columns that are copied.
pub(super) fn columns(table: &Table) -> String {
    let columns: Vec<_> = table.copied_columns().map(expression).collect();
    if columns.is_empty() { "NULL".to_owned() } else { columns.join(", ") }
}

/// Fails where the table is gone, or one of its columns. Has no row.
pub(super) fn columns_there(table: &Table) -> String {
    let columns: Vec<_> = table.copied_columns().map(|column| quote_ident(&column.name)).collect();
    let columns = if columns.is_empty() { "NULL".to_owned() } else { columns.join(", ") };
    format!("SELECT {columns} FROM {} LIMIT 0", quote_name(&table.name))
}

/// Fails where the snapshot does not show the table's rows.
pub(super) fn one_row_there(table: &Table, walk: Walk) -> String {
    let hint = if table.primary_key.is_empty() { "" } else { walk.hint() };
    format!("SELECT 1 FROM {}{hint} LIMIT 1", quote_name(&table.name))
}

/// The key's columns, in order.
pub(super) fn key_list(table: &Table) -> String {
    let keys: Vec<_> = table.key_columns().map(|column| quote_ident(&column.name)).collect();
    keys.join(", ")
}

fn expression(column: &Column) -> String {
    let name = quote_ident(&column.name);
    match data_type(&column.type_name) {
        // As text a FLOAT has six digits, and its value needs up to nine.
        "float" => format!("CAST({name} AS DOUBLE)"),
        _ => name,
    }
}

/// The outer None: a border is not of this table's key. The inner None: there is no border.
fn within(
    table: &Table,
    from: Option<&KeyBound>,
    until: Option<&KeyBound>,
) -> Option<Option<String>> {
    let lower = from.map(|bound| at_least(table, bound));
    let upper = until.map(|bound| below(table, bound));
    let mut conditions = Vec::new();
    for condition in [lower, upper].into_iter().flatten() {
        conditions.push(condition?);
    }
    Some((!conditions.is_empty()).then(|| conditions.join(" AND ")))
}

/// Keys from a border on, itself included.
pub(super) fn at_least(table: &Table, bound: &KeyBound) -> Option<String> {
    compare(table, bound, (">", ">="))
}

/// Keys behind a border.
pub(super) fn above(table: &Table, bound: &KeyBound) -> Option<String> {
    compare(table, bound, (">", ">"))
}

/// Keys before a border.
pub(super) fn below(table: &Table, bound: &KeyBound) -> Option<String> {
    compare(table, bound, ("<", "<"))
}

/// `(a > 1 OR (a = 1 AND b >= 2))`: every column but the last compares by the first operator, the
/// last by the second.
fn compare(table: &Table, bound: &KeyBound, operators: (&str, &str)) -> Option<String> {
    let columns: Vec<&Column> = table.key_columns().collect();
    if columns.len() != bound.len() || columns.is_empty() {
        return None;
    }
    let mut equal: Vec<String> = Vec::new();
    let mut alternatives = Vec::new();
    for (at, (column, text)) in columns.iter().zip(bound).enumerate() {
        let literal = KeyForm::of(column)?.literal(column, text)?;
        let name = quote_ident(&column.name);
        let operator = if at + 1 == columns.len() { operators.1 } else { operators.0 };
        let mut conditions = equal.clone();
        conditions.push(format!("{name} {operator} {literal}"));
        alternatives.push(conditions.join(" AND "));
        equal.push(format!("{name} = {literal}"));
    }
    Some(match alternatives.as_slice() {
        [single] => single.clone(),
        _ => {
            let each: Vec<_> = alternatives.iter().map(|each| format!("({each})")).collect();
            format!("({})", each.join(" OR "))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ColumnOrder, Identity, TableId, TableName};

    fn table(columns: &[(&str, &str)], primary_key: &[usize]) -> Table {
        let column = |(number, (name, type_name)): (u16, &(&str, &str))| Column {
            name: (*name).to_owned(),
            number,
            version: 0,
            type_name: (*type_name).to_owned(),
            type_modifier: -1,
            not_null: true,
            generated: *name == "generated",
            collation: None,
            order: ColumnOrder::Integer,
        };
        Table {
            id: TableId(0),
            name: TableName { schema: "shop".into(), name: "or`ders".into() },
            source_id: 1,
            columns: (1..).zip(columns).map(column).collect(),
            columns_ever: 0,
            kept: Vec::new(),
            storage: 0,
            identity: Identity::Full,
            primary_key: primary_key.to_vec(),
            bytes: 0,
            estimated_rows: 0,
            pages: 0,
            correlation: None,
            root: None,
            partitions: None,
            cascades: None,
            binary_travels: false,
        }
    }

    fn bound(parts: &[&str]) -> Option<KeyBound> {
        Some(parts.iter().map(|part| (*part).to_owned()).collect())
    }

    #[test]
    fn a_range_of_one_column_compares_it() {
        let table = table(&[("id", "int"), ("f", "float(7,3)"), ("generated", "int")], &[0]);
        let range = ChunkRange::Key { from: bound(&["5"]), until: bound(&["9"]) };
        assert_eq!(
            select(&table, &range, Walk::Primary).as_deref(),
            Some(
                "SELECT `id`, CAST(`f` AS DOUBLE) FROM `shop`.`or``ders` \
                 FORCE INDEX (PRIMARY) WHERE `id` >= 5 AND `id` < 9 ORDER BY `id`"
            )
        );
        let open = ChunkRange::Key { from: None, until: None };
        let all = "SELECT `id`, CAST(`f` AS DOUBLE) FROM `shop`.`or``ders`";
        assert_eq!(select(&table, &open, Walk::Key).as_deref(), Some(all));
    }

    #[test]
    fn a_composite_range_is_written_as_alternatives() {
        let table = table(&[("a", "int"), ("b", "date"), ("c", "int")], &[0, 1]);
        let from = bound(&["1", "2024-01-01"]).unwrap();
        assert_eq!(
            at_least(&table, &from).as_deref(),
            Some("((`a` > 1) OR (`a` = 1 AND `b` >= '2024-01-01'))")
        );
        assert_eq!(
            below(&table, &from).as_deref(),
            Some("((`a` < 1) OR (`a` = 1 AND `b` < '2024-01-01'))")
        );
    }

    #[test]
    fn what_is_no_border_of_this_key_is_refused() {
        let table = table(&[("a", "int"), ("b", "int")], &[0, 1]);
        for parts in [&["1"][..], &["1", "2", "3"], &["1", "2 OR 1"]] {
            let range = ChunkRange::Key { from: bound(parts), until: None };
            assert_eq!(select(&table, &range, Walk::Primary), None, "{parts:?}");
        }
        let blocks = ChunkRange::Blocks { from: 0, until: None };
        assert_eq!(select(&table, &blocks, Walk::Primary), None);
    }
}
