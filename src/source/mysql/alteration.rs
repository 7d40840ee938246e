//! What became of a table's columns.
//!
//! In: a table as the migration knows it, and its columns as the log or the catalog has them. Out: an
//! [`Alteration`]. MySQL gives columns no number that stays: a renamed column looks like one that
//! went and one that came, and what older rows hold in a column that came is not in the catalog. So
//! a column that came is [`Before::Untold`] where rows are there, and its table is copied again
//! rather than guessed at; only columns that merely went are carried over in place. Pure.

use super::control::TextRow;
use super::error::SourceError;
use crate::connect::mysql::Flavour;
use crate::connect::mysql::described::data_type;
use crate::connect::mysql::quote::quote_literal;
use crate::model::{
    Alteration, Before, Column, ColumnOrder, DroppedColumn, NewColumn, Relation, RelationColumn,
    Table,
};

/// From the columns that a table had to those that its rows have in the log from here on.
pub(super) fn in_the_log(table: &Table, relation: &Relation) -> Alteration {
    let in_log = |name: &str| relation.columns.iter().any(|column| column.name == name);
    let known = |name: &str| table.copied_columns().any(|column| column.name == name);
    let kept = table.columns.iter().filter(|column| column.generated || in_log(&column.name));
    let mut columns: Vec<Column> = kept.cloned().collect();
    let came = relation.columns.iter().filter(|column| !known(&column.name));
    let added: Vec<NewColumn> = (table.columns_ever..)
        .zip(came)
        .map(|(newest, column)| untold(table, column, newest.saturating_add(1)))
        .collect();
    columns.retain(|column| added.iter().all(|new| new.column.name != column.name));
    columns.extend(added.iter().map(|new| new.column.clone()));
    let after = Table { name: relation.name.clone(), ..table.with_columns(columns) };
    Alteration {
        formerly: table.name.clone(),
        dropped: dropped(table, |name| in_log(name)),
        table: after,
        added,
        renamed: Vec::new(),
        others: Vec::new(),
        exchanged: false,
    }
}

fn dropped(table: &Table, stays: impl Fn(&str) -> bool) -> Vec<DroppedColumn> {
    let went = table.copied_columns().filter(|column| !stays(&column.name));
    went.map(|column| DroppedColumn { name: column.name.clone(), everywhere: true }).collect()
}

fn untold(table: &Table, column: &RelationColumn, number: u16) -> NewColumn {
    NewColumn {
        column: Column {
            name: column.name.clone(),
            number,
            version: 0,
            type_name: column.type_name.clone(),
            type_modifier: column.type_modifier,
            not_null: false,
            generated: false,
            collation: None,
            order: ColumnOrder::Opaque,
        },
        on: table.name.clone(),
        type_text: column.type_name.clone(),
        collation: None,
        default: None,
        generation: None,
        before: Before::Untold,
    }
}

/// A column of the catalog, as far as making it again needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Described {
    name: String,
    default: Option<String>,
    generation: Option<String>,
}

impl Described {
    /// Reads a row of `source_described.sql`.
    pub(super) fn read(row: &TextRow, flavour: Flavour) -> Self {
        let expression = row.maybe(3).filter(|text| !text.is_empty());
        let extra = row.text(4).to_ascii_uppercase();
        let kept = if extra.starts_with("VIRTUAL") { "VIRTUAL" } else { "STORED" };
        let computed = row.number(2) == 1;
        Described {
            name: row.text(0),
            default: row.maybe(1).and_then(|text| default(&text, &row.text(5), computed, flavour)),
            generation: expression.map(|text| format!("GENERATED ALWAYS AS ({text}) {kept}")),
        }
    }
}

/// A default as an expression. MariaDB's catalog holds it as one; MySQL's holds a literal's bare text
/// unless it is `computed`, or written in digits of base two or sixteen.
fn default(text: &str, type_name: &str, computed: bool, flavour: Flavour) -> Option<String> {
    let digits = matches!(data_type(type_name), "bit" | "binary" | "varbinary");
    match flavour {
        Flavour::MariaDb => (text != "NULL").then(|| text.to_owned()),
        Flavour::MySql if computed && !text.starts_with("CURRENT_TIMESTAMP") => {
            Some(format!("({text})"))
        }
        Flavour::MySql if computed || digits => Some(text.to_owned()),
        Flavour::MySql => Some(quote_literal(text)),
    }
}

/// From the columns that a table had to those that it has by now, for a table that is copied from
/// its start. None where they are the same.
///
/// # Errors
///
/// Where a column is another one under the name that it had.
pub(super) fn since(
    table: &Table,
    now: &Table,
    described: &[Described],
) -> Result<Option<Alteration>, SourceError> {
    let is_same = table.columns.len() == now.columns.len()
        && table.columns.iter().zip(&now.columns).all(|(one, other)| same(one, other));
    let key = |table: &Table| -> Vec<String> {
        table.primary_key.iter().map(|&place| table.columns[place].name.clone()).collect()
    };
    if key(table) != key(now) {
        let change = "other columns tell its rows apart".to_owned();
        return Err(SourceError::Altered { table: table.name.to_string(), change });
    }
    if is_same {
        return Ok(None);
    }
    let of =
        |table: &Table, name: &str| table.columns.iter().position(|column| column.name == name);
    for column in &table.columns {
        let other = of(now, &column.name).map(|place| &now.columns[place]);
        if let Some(other) = other.filter(|other| !same(column, other)) {
            let table = table.name.to_string();
            let change = format!(
                "column {} was {} and is {}",
                column.name,
                described_type(column),
                described_type(other)
            );
            return Err(SourceError::Altered { table, change });
        }
    }
    let came = now.columns.iter().filter(|column| of(table, &column.name).is_none());
    let added = came.map(|column| {
        let found = described.iter().find(|described| described.name == column.name);
        NewColumn {
            on: now.name.clone(),
            type_text: column.type_name.clone(),
            collation: column.collation.clone(),
            default: found.and_then(|found| found.default.clone()),
            generation: found.and_then(|found| found.generation.clone()),
            before: if column.generated { Before::Computed } else { Before::Null },
            column: column.clone(),
        }
    });
    let went = table.columns.iter().filter(|column| of(now, &column.name).is_none());
    let dropped =
        went.map(|column| DroppedColumn { name: column.name.clone(), everywhere: true }).collect();
    Ok(Some(Alteration {
        formerly: table.name.clone(),
        added: added.collect(),
        dropped,
        renamed: Vec::new(),
        others: Vec::new(),
        exchanged: false,
        table: Table {
            id: table.id,
            kept: table.kept.clone(),
            columns_ever: table.columns_ever.max(now.columns_ever),
            cascades: table.cascades.clone(),
            ..now.clone()
        },
    }))
}

fn same(one: &Column, other: &Column) -> bool {
    one.name == other.name
        && one.type_name == other.type_name
        && one.collation == other.collation
        && one.generated == other.generated
        && one.not_null == other.not_null
}

fn described_type(column: &Column) -> String {
    let collation = column.collation.iter().map(|collation| format!(" COLLATE {collation}"));
    let null = if column.not_null { " NOT NULL" } else { "" };
    let generated = if column.generated { " GENERATED" } else { "" };
    format!("{}{}{null}{generated}", column.type_name, collation.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Identity, TableId, TableName};

    fn column(name: &str, number: u16, type_name: &str) -> Column {
        Column {
            name: name.into(),
            number,
            version: 0,
            type_name: type_name.into(),
            type_modifier: -1,
            not_null: false,
            generated: name == "generated",
            collation: None,
            order: ColumnOrder::Integer,
        }
    }

    fn table(columns: Vec<Column>) -> Table {
        Table {
            id: TableId(7),
            name: TableName { schema: "shop".into(), name: "t".into() },
            source_id: 1,
            columns_ever: columns.len() as u16,
            columns,
            kept: Vec::new(),
            storage: 0,
            identity: Identity::Key { columns: vec![0] },
            primary_key: vec![0],
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

    fn known() -> Table {
        let columns =
            [column("id", 1, "int"), column("generated", 2, "int"), column("note", 3, "text")];
        table(columns.to_vec())
    }

    fn relation(columns: &[&str]) -> Relation {
        let column = |name: &&str| RelationColumn {
            name: (*name).to_owned(),
            type_name: "int".into(),
            type_modifier: -1,
            key: false,
        };
        let name = TableName { schema: "shop".into(), name: "t".into() };
        let columns = columns.iter().map(column).collect();
        Relation { table: TableId(7), name, columns, full: true, cascades: false }
    }

    fn names(table: &Table) -> Vec<&str> {
        table.columns.iter().map(|column| column.name.as_str()).collect()
    }

    #[test]
    fn a_column_that_went_is_carried_over_in_place() {
        let read = in_the_log(&known(), &relation(&["id"]));
        assert!(!read.is_untold());
        assert_eq!(read.dropped, [DroppedColumn { name: "note".into(), everywhere: true }]);
        assert_eq!(names(&read.table), ["id", "generated"]);
        assert_eq!((read.table.primary_key.as_slice(), read.table.id), (&[0][..], TableId(7)));
    }

    #[test]
    fn a_column_that_came_or_was_renamed_is_not_guessed_at() {
        for columns in [&["id", "note", "new"][..], &["id", "remark"]] {
            let read = in_the_log(&known(), &relation(columns));
            assert!(read.is_untold(), "{columns:?}");
            assert_eq!(read.table.columns_ever, 4);
        }
    }

    #[test]
    fn a_table_that_is_copied_anew_is_made_as_it_is_by_now() {
        assert!(since(&known(), &known(), &[]).unwrap().is_none());
        let now = table(vec![column("id", 1, "int"), column("new", 2, "bigint")]);
        let read = since(&known(), &now, &[]).unwrap().unwrap();
        let came: Vec<_> = read.added.iter().map(|new| new.type_text.as_str()).collect();
        assert_eq!(came, ["bigint"]);
        let went: Vec<_> = read.dropped.iter().map(|column| column.name.as_str()).collect();
        assert_eq!(went, ["generated", "note"]);
        assert_eq!((read.table.id, read.table.columns_ever), (TableId(7), 3));
        let other = table(vec![column("id", 1, "bigint")]);
        let error = since(&known(), &other, &[]).unwrap_err();
        assert!(error.to_string().ends_with("column id was int and is bigint"), "{error}");
    }

    #[test]
    fn a_default_is_written_as_its_server_reads_it() {
        let of = |text, type_name, computed| default(text, type_name, computed, Flavour::MySql);
        assert_eq!(of("5", "int", false).as_deref(), Some("'5'"));
        assert_eq!(of("uuid()", "char(36)", true).as_deref(), Some("(uuid())"));
        let now = "CURRENT_TIMESTAMP(3)";
        assert_eq!(of(now, "datetime(3)", true).as_deref(), Some(now));
        assert_eq!(of("b'1'", "bit(1)", false).as_deref(), Some("b'1'"));
        assert_eq!(default("NULL", "int", false, Flavour::MariaDb), None);
    }
}
