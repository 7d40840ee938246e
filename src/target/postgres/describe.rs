//! Whether a table of the target takes the rows that the log describes.
//!
//! In: the shape that the log gives a table's rows from here on, and the target's table as it
//! stands. Out: the table, or an error with the statement that makes it fit. Columns are matched
//! by name and types by name, so a value can never reach the wrong column. A column that the target
//! has and the log's rows have not is a misfit where the source had it when the migration began:
//! it was dropped or renamed since. Any other was added to the target ahead of its place in the
//! log, as it must be where one transaction changes rows, adds the column, and changes rows again;
//! the rows before get its default, as they did on the source. Pure.

use super::catalog::{TargetColumn, TargetTable};
use crate::connect::quote::{quote_ident, quote_name};
use crate::model::{Code, Disposition, Fault, Halt, Relation, RelationColumn, Table, TableName};

/// The target's table does not fit the log.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    /// There is no such table.
    #[error("the log holds rows of table {table}, which the target does not have")]
    NoTable {
        /// The table, by its name in the log.
        table: TableName,
        /// Its name when the migration began.
        formerly: TableName,
    },
    /// A column is missing.
    #[error("table {table} has a column {column} on the source that the target does not have")]
    ColumnMissing {
        /// The table.
        table: TableName,
        /// The column.
        column: String,
        /// Its type by name.
        type_name: String,
    },
    /// A column is there that the source has no more.
    #[error("table {table} has a column {column} on the target that the source does not have")]
    ColumnExtra {
        /// The table.
        table: TableName,
        /// The column.
        column: String,
    },
    /// A column has another type.
    #[error("column {column} of table {table} is of another type on the target")]
    TypeDiffers {
        /// The table.
        table: TableName,
        /// The column.
        column: String,
        /// The source's type by name.
        source_type: String,
    },
    /// The target has no unique index over the columns by which the log tells rows apart.
    #[error("table {table} has no unique index with column {column} on the target")]
    KeyWithoutIndex {
        /// The table.
        table: TableName,
        /// A column of the key.
        column: String,
    },
    /// A column has another name on the source now.
    #[error("column {from} of table {table} is called {to} on the source now")]
    Renamed {
        /// The table on which it is to be renamed: the uppermost one, of a partition.
        table: TableName,
        /// Its former name.
        from: String,
        /// Its present one.
        to: String,
    },
    /// A column that was dropped and kept on the target came again under its name.
    #[error(
        "table {table} has a new column {column} on the source, and on the target still the one \
         of that name that was dropped before"
    )]
    Returned {
        /// The table.
        table: TableName,
        /// The column.
        column: String,
    },
    /// The target computes a column that the source writes.
    #[error("column {column} of table {table} is generated on the target but not on the source")]
    Generated {
        /// The table.
        table: TableName,
        /// The column.
        column: String,
    },
}

impl Misfit {
    /// The statement that makes the target fit.
    fn remedy(&self) -> String {
        match self {
            Misfit::NoTable { table, formerly } if table != formerly => format!(
                "ALTER TABLE {} RENAME TO {} (and SET SCHEMA where that changed)",
                quote_name(formerly),
                quote_ident(&table.name)
            ),
            Misfit::NoTable { table, .. } => {
                format!("CREATE TABLE {} with its columns and key", quote_name(table))
            }
            Misfit::ColumnMissing { table, column, type_name } => format!(
                "ALTER TABLE {} ADD COLUMN {} {type_name}, with the source's default (or RENAME \
                 COLUMN, where it was renamed; where the default is volatile, the table has to be \
                 copied anew)",
                quote_name(table),
                quote_ident(column)
            ),
            Misfit::ColumnExtra { table, column } => {
                format!(
                    "ALTER TABLE {} DROP COLUMN {} (or choose --on-drop-column)",
                    quote_name(table),
                    quote_ident(column)
                )
            }
            Misfit::Renamed { table, from, to } => format!(
                "ALTER TABLE {} RENAME COLUMN {} TO {}",
                quote_name(table),
                quote_ident(from),
                quote_ident(to)
            ),
            Misfit::Returned { table, column } => format!(
                "ALTER TABLE {} DROP COLUMN {} (or rename it)",
                quote_name(table),
                quote_ident(column)
            ),
            Misfit::TypeDiffers { table, column, source_type } => format!(
                "ALTER TABLE {} ALTER COLUMN {} TYPE {source_type}, with the source's modifier \
                 and USING",
                quote_name(table),
                quote_ident(column)
            ),
            Misfit::KeyWithoutIndex { table, column } => format!(
                "CREATE UNIQUE INDEX ON {} with {} and the other columns of the source's key",
                quote_name(table),
                quote_ident(column)
            ),
            Misfit::Generated { table, column } => format!(
                "ALTER TABLE {} ALTER COLUMN {} DROP EXPRESSION",
                quote_name(table),
                quote_ident(column)
            ),
        }
    }
}

impl Fault for Misfit {
    fn disposition(&self) -> Disposition {
        Halt::with(
            Code::SchemaChanged,
            format!("on the target: {}; then run the same command again", self.remedy()),
        )
    }
}

/// Compares a relation with the target's table for it. `table` is the table as it was when the
/// migration began.
///
/// # Errors
///
/// The first [`Misfit`].
pub(super) fn check(
    table: &Table,
    relation: &Relation,
    found: Option<TargetTable>,
) -> Result<TargetTable, Misfit> {
    let name = &relation.name;
    let found = found
        .ok_or_else(|| Misfit::NoTable { table: name.clone(), formerly: table.name.clone() })?;
    for column in &relation.columns {
        let same_name = |candidate: &&TargetColumn| candidate.name == column.name;
        match found.columns.iter().find(same_name) {
            None => {
                return Err(Misfit::ColumnMissing {
                    table: name.clone(),
                    column: column.name.clone(),
                    type_name: column.type_name.clone(),
                });
            }
            Some(target) if target.generated => {
                return Err(Misfit::Generated { table: name.clone(), column: column.name.clone() });
            }
            Some(target) if !same_type(column, target) => {
                return Err(Misfit::TypeDiffers {
                    table: name.clone(),
                    column: column.name.clone(),
                    source_type: column.type_name.clone(),
                });
            }
            Some(_) => {}
        }
    }
    if let Some(column) = key_without_index(table, relation, &found) {
        return Err(Misfit::KeyWithoutIndex { table: name.clone(), column });
    }
    let gone = unwritten(relation, &found)
        .find(|target| table.columns.iter().any(|column| column.name == target.name));
    match gone {
        Some(gone) => Err(Misfit::ColumnExtra { table: name.clone(), column: gone.name.clone() }),
        None => Ok(found),
    }
}

/// A column by which the log tells rows apart and the target has no unique index: without one, a
/// key could meet two rows and another none, and the count would still be right.
fn key_without_index(table: &Table, relation: &Relation, found: &TargetTable) -> Option<String> {
    let is_key = |column: &&RelationColumn| match relation.full {
        true => table.key_columns().any(|key| key.name == column.name),
        false => column.key,
    };
    let indexed = |name: &str| {
        found.columns.iter().any(|column| column.name == name && column.in_unique_index)
    };
    let mut keys = relation.columns.iter().filter(is_key);
    keys.find(|column| !indexed(&column.name)).map(|column| column.name.clone())
}

/// The columns of the target for which the log's rows have no value: rows get their defaults.
pub(super) fn unwritten<'a>(
    relation: &'a Relation,
    found: &'a TargetTable,
) -> impl Iterator<Item = &'a TargetColumn> {
    found.columns.iter().filter(|target| {
        !target.generated && relation.columns.iter().all(|column| column.name != target.name)
    })
}

/// The log names the base type of a domain, and the domain's own modifier is not the column's.
fn same_type(column: &RelationColumn, target: &TargetColumn) -> bool {
    if column.type_name == target.type_name {
        return column.type_modifier == target.type_modifier;
    }
    column.type_name == target.cast
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Column, ColumnOrder, Identity, TableId};

    fn name(name: &str) -> TableName {
        TableName { schema: "public".into(), name: name.into() }
    }

    fn target(columns: &[(&str, &str)]) -> TargetTable {
        let column = |(name, type_name): &(&str, &str)| TargetColumn {
            name: (*name).into(),
            type_name: (*type_name).into(),
            cast: "pg_catalog.int4".into(),
            input: None,
            type_modifier: -1,
            generated: false,
            identity_always: false,
            in_unique_index: false,
            equality: None,
        };
        TargetTable {
            name: name("now"),
            partitioned: false,
            columns: columns.iter().map(column).collect(),
        }
    }

    /// Rows of `public.now`, once `public.then`, with the integer columns `a` and `b`.
    fn fit(found: Option<TargetTable>) -> Result<TargetTable, Misfit> {
        let column = |name: &str| RelationColumn {
            name: name.into(),
            type_name: "pg_catalog.int4".into(),
            type_modifier: -1,
            key: false,
        };
        let relation = Relation {
            table: TableId(0),
            name: name("now"),
            columns: vec![column("a"), column("b")],
            full: false,
            cascades: false,
        };
        let table = Table {
            id: TableId(0),
            name: name("then"),
            source_id: 1,
            columns: vec![Column {
                name: "gone".into(),
                number: 1,
                version: 0,
                type_name: "pg_catalog.int4".into(),
                type_modifier: -1,
                not_null: false,
                generated: false,
                collation: None,
                order: ColumnOrder::Integer,
            }],
            identity: Identity::Nothing,
            primary_key: Vec::new(),
            bytes: 0,
            estimated_rows: 0,
            pages: 0,
            correlation: None,
            root: None,
            partitions: None,
            cascades: None,
            binary_travels: false,
            columns_ever: 0,
            kept: Vec::new(),
            storage: 0,
        };
        check(&table, &relation, found)
    }

    #[test]
    fn columns_are_matched_by_name_in_any_order_and_generated_ones_left_alone() {
        let mut fitting = target(&[
            ("b", "pg_catalog.int4"),
            ("computed", "pg_catalog.text"),
            // A domain over an integer: the log names its base type.
            ("a", "public.positive"),
        ]);
        fitting.columns[1].generated = true;
        assert_eq!(fit(Some(fitting.clone())), Ok(fitting));
    }

    #[test]
    fn every_misfit_names_the_statement_that_mends_it() {
        let int = "pg_catalog.int4";
        let mut modified = target(&[("a", int), ("b", int)]);
        modified.columns[1].type_modifier = 8;
        let mut generated = target(&[("a", int), ("b", int)]);
        generated.columns[1].generated = true;
        let mut other = target(&[("a", int), ("b", "pg_catalog.text")]);
        other.columns[1].cast = "pg_catalog.text".into();
        let cases = [
            (None, r#"RENAME TO "now""#),
            (Some(target(&[("a", int)])), r#"ADD COLUMN "b" pg_catalog.int4"#),
            (Some(target(&[("a", int), ("b", int), ("gone", int)])), r#"DROP COLUMN "gone""#),
            (Some(modified), r#"ALTER COLUMN "b" TYPE pg_catalog.int4"#),
            (Some(other), r#"ALTER COLUMN "b" TYPE pg_catalog.int4"#),
            (Some(generated), r#"ALTER COLUMN "b" DROP EXPRESSION"#),
        ];
        for (found, remedy) in cases {
            let misfit = fit(found).unwrap_err();
            assert!(misfit.remedy().contains(remedy), "{misfit}: {}", misfit.remedy());
        }
    }
}
