//! How the rows that the log describes fit the table that the migration knows.
//!
//! In: a table's definition and a relation of the log. Out: whether they have the same columns, and
//! how rows are told apart. Pure; it knows neither where a row is nor what the target's table is like.

use std::sync::Arc;

use crate::model::{Relation, RowIdentity, Shape, Table};

/// Whether the log's rows have other columns than the table had.
pub(super) fn has_other_columns(table: &Table, relation: &Relation) -> bool {
    let known = |name: &str| table.copied_columns().any(|column| column.name == name);
    let logged = |name: &str| relation.columns.iter().any(|column| column.name == name);
    relation.columns.iter().any(|column| !known(&column.name))
        || table.copied_columns().any(|column| !logged(&column.name))
}

/// How the rows of a relation are told apart.
pub(super) fn shape_of(table: &Table, relation: &Arc<Relation>) -> Shape {
    let index_of = |name: &str| {
        let found = relation.columns.iter().position(|column| column.name == name);
        found.and_then(|index| u16::try_from(index).ok())
    };
    let key: Option<Vec<u16>> = table.key_columns().map(|column| index_of(&column.name)).collect();
    let primary_key = key.unwrap_or_default();
    let flagged =
        || (0u16..).zip(&relation.columns).filter(|(_, column)| column.key).map(|(index, _)| index);
    let identity = if relation.full {
        if primary_key.is_empty() {
            RowIdentity::WholeRow
        } else {
            RowIdentity::Key(primary_key.clone())
        }
    } else if flagged().next().is_some() {
        RowIdentity::Key(flagged().collect())
    } else {
        RowIdentity::Nothing
    };
    Shape { relation: Arc::clone(relation), identity, primary_key }
}
