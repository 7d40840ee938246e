//! The target's tables, as its catalog describes them.
//!
//! In: a session and names. Out: columns with their types, and which tables stand and hold rows. It
//! changes nothing. Types are compared in a form in which both engines agree on those that both
//! have.

use std::collections::{BTreeMap, HashSet};

use mysql_async::Row;

use super::TargetError;
use super::error::attempting;
use super::literal::{self, base, text};
use super::session::{Session, field};
use crate::connect::mysql::described::{ColumnFacts, KeyPart, character_set};
use crate::model::foreign_key::ForeignKey;
use crate::model::{Column, DefaultCharacterSet, Failure, Table, TableName};

/// A table of the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TargetTable {
    /// Its name.
    pub(super) name: TableName,
    /// Its columns in order.
    pub(super) columns: Vec<TargetColumn>,
}

/// A column of the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TargetColumn {
    /// Its name.
    pub(super) name: String,
    /// Its type, as `COLUMN_TYPE`.
    pub(super) type_name: String,
    /// The server computes it.
    pub(super) generated: bool,
    /// A row that does not name it can be inserted.
    pub(super) optional: bool,
    /// Its collation.
    pub(super) collation: Option<String>,
}

impl TargetTable {
    /// The column of this name. Column names are compared regardless of case.
    pub(super) fn column(&self, name: &str) -> Option<&TargetColumn> {
        let lower = name.to_lowercase();
        self.columns.iter().find(|column| column.name.to_lowercase() == lower)
    }

    /// The names of its columns in order.
    pub(super) fn names(&self) -> Vec<&str> {
        self.columns.iter().map(|column| &*column.name).collect()
    }
}

/// A list of names as a condition on two columns of the catalog.
fn among(schema: &str, name: &str, names: &[TableName]) -> String {
    let pairs: Vec<_> =
        names.iter().map(|n| format!("({}, {})", text(&n.schema), text(&n.name))).collect();
    // The catalog's names are in utf8mb3; a comparison of pairs with a literal of no rows would not
    // parse.
    match pairs.is_empty() {
        true => "FALSE".to_owned(),
        false => format!("({schema}, {name}) IN ({})", pairs.join(", ")),
    }
}

/// The tables of these names that are there, with their columns.
pub(super) async fn tables(
    session: &mut Session,
    names: &[TableName],
) -> Result<Vec<TargetTable>, Failure> {
    let query = format!(
        "SELECT c.table_schema, c.table_name, c.column_name, c.column_type, \
         COALESCE(c.generation_expression, '') <> '' AS is_generated, \
         c.is_nullable = 'YES' OR c.column_default IS NOT NULL \
         OR c.extra LIKE '%auto_increment%' OR c.extra LIKE '%DEFAULT_GENERATED%' AS is_optional, \
         c.collation_name \
         FROM information_schema.columns AS c \
         JOIN information_schema.tables AS t \
         ON t.table_schema = c.table_schema AND t.table_name = c.table_name \
         WHERE t.table_type LIKE '%BASE TABLE' AND {} \
         ORDER BY c.table_schema, c.table_name, c.ordinal_position",
        among("c.table_schema", "c.table_name", names)
    );
    let rows = session.rows(query).await;
    let rows = rows.map_err(attempting("read the target's tables"))?;
    let mut tables: Vec<TargetTable> = Vec::new();
    for row in &rows {
        let name = table_name(row)?;
        let column = TargetColumn {
            name: field(row, 2)?,
            type_name: field(row, 3)?,
            generated: field(row, 4)?,
            optional: field(row, 5)?,
            collation: field(row, 6)?,
        };
        match tables.last_mut() {
            Some(table) if table.name == name => table.columns.push(column),
            Some(_) | None => tables.push(TargetTable { name, columns: vec![column] }),
        }
    }
    Ok(tables)
}

/// The columns of a table as the model has them, and the parts of its unique keys. No columns where
/// it is not there.
pub(super) async fn described(
    session: &mut Session,
    table: &TableName,
) -> Result<(Vec<Column>, Vec<KeyPart>), Failure> {
    let act = || attempting(format!("read the columns of table {table}"));
    let of = among("TABLE_SCHEMA", "TABLE_NAME", std::slice::from_ref(table));
    let query = include_str!("../../../sql/mysql/columns.sql");
    let rows = session.rows(format!("{query}WHERE {of} ORDER BY ORDINAL_POSITION")).await;
    let mut columns = Vec::new();
    for row in &rows.map_err(act())? {
        let facts = ColumnFacts {
            name: field(row, 2)?,
            number: field(row, 3)?,
            type_name: field(row, 4)?,
            not_null: field(row, 5)?,
            collation: field(row, 6)?,
            generated: field(row, 7)?,
        };
        columns.push(facts.column());
    }
    let query = include_str!("../../../sql/mysql/target_keys.sql");
    let order = "ORDER BY INDEX_NAME <> 'PRIMARY', INDEX_NAME, SEQ_IN_INDEX";
    let rows = session.rows(format!("{query}WHERE NON_UNIQUE = 0 AND {of} {order}")).await;
    let mut parts = Vec::new();
    for row in &rows.map_err(act())? {
        let part =
            KeyPart { index: field(row, 2)?, column: field(row, 3)?, partial: field(row, 4)? };
        parts.push(part);
    }
    Ok((columns, parts))
}

/// The table of this name, where it is there.
pub(super) async fn table(
    session: &mut Session,
    name: &TableName,
) -> Result<Option<TargetTable>, Failure> {
    Ok(tables(session, std::slice::from_ref(name)).await?.pop())
}

/// The names of the collations that the server has.
pub(super) async fn collations(session: &mut Session) -> Result<HashSet<String>, Failure> {
    let query = match session.version().is_mariadb() {
        // Since 10.10 some collations have a short name there that belongs to several sets.
        true => {
            "SELECT DISTINCT collation_name FROM information_schema.collations \
             UNION SELECT CONCAT(character_set_name, '_', collation_name) \
             FROM information_schema.collation_character_set_applicability"
        }
        false => {
            "SELECT DISTINCT collation_name \
             FROM information_schema.collation_character_set_applicability"
        }
    };
    let rows = session.rows(query).await.map_err(attempting("read the target's collations"))?;
    Ok(rows.iter().map(|row| field(row, 0)).collect::<Result<_, _>>()?)
}

/// A foreign key, of a row of `foreign_keys.sql`.
pub(super) fn foreign_key(row: &Row) -> Result<ForeignKey, TargetError> {
    Ok(ForeignKey {
        table: table_name(row)?,
        name: field(row, 2)?,
        parent: TableName { schema: field(row, 3)?, name: field(row, 4)? },
        on_update: field(row, 5)?,
        on_delete: field(row, 6)?,
        columns: field(row, 7)?,
        parent_columns: field(row, 8)?,
    })
}

fn table_name(row: &Row) -> Result<TableName, TargetError> {
    Ok(TableName { schema: field(row, 0)?, name: field(row, 1)? })
}

/// Which of the tables hold rows.
pub(super) async fn filled(
    session: &mut Session,
    tables: &[TargetTable],
) -> Result<Vec<TableName>, Failure> {
    let mut filled = Vec::new();
    for table in tables {
        let query = format!("SELECT 1 FROM {} LIMIT 1", literal::name(&table.name));
        let act = || attempting(format!("look for rows in table {}", table.name));
        if !session.rows(query).await.map_err(act())?.is_empty() {
            filled.push(table.name.clone());
        }
    }
    Ok(filled)
}

/// Whether a table has a unique key beside the one that tells its rows apart.
pub(super) async fn is_unique_otherwise(
    session: &mut Session,
    table: &Table,
) -> Result<bool, Failure> {
    let query = format!(
        "SELECT index_name, column_name FROM information_schema.statistics \
         WHERE non_unique = 0 AND table_schema = {} AND table_name = {} \
         ORDER BY index_name, seq_in_index",
        text(&table.name.schema),
        text(&table.name.name)
    );
    let rows = session.rows(query).await;
    let rows = rows.map_err(attempting(format!("read the keys of table {}", table.name)))?;
    let mut keys: BTreeMap<String, Vec<Option<String>>> = BTreeMap::new();
    for row in &rows {
        keys.entry(field(row, 0)?).or_default().push(field(row, 1)?);
    }
    let own: Vec<_> = table.key_columns().map(|column| Some(column.name.clone())).collect();
    Ok(keys.values().any(|key| *key != own))
}

/// A type in the form in which it is compared: without display widths, which tell nothing of the
/// values, and with one name where the engines have two.
fn plain(type_name: &str) -> String {
    let lower = type_name.to_lowercase();
    let lower = lower.split(" /*").next().unwrap_or_default().trim_end();
    let rest = &lower[base(lower).len()..];
    let unsigned = if rest.contains(" unsigned") { " unsigned" } else { "" };
    match base(lower) {
        word @ ("tinyint" | "smallint" | "mediumint" | "int" | "bigint") => {
            format!("{word}{unsigned}")
        }
        "year" => "year".to_owned(),
        // MariaDB's JSON is a text with a check.
        "json" => "longtext".to_owned(),
        "geomcollection" => "geometrycollection".to_owned(),
        "enum" | "set" => type_name.to_owned(),
        word => format!("{word}{}", rest.replace(" zerofill", "")),
    }
}

/// What of a source's column is otherwise in the target's.
pub(super) fn difference(column: &Column, found: Option<&TargetColumn>) -> Option<String> {
    let Some(found) = found else { return Some(format!("column {} is missing", column.name)) };
    if found.generated {
        return Some(format!("column {} is generated there", column.name));
    }
    // A document is a text; but not every text is a document, in the form in which it is kept.
    let is_document = |type_name| base(type_name) == "json";
    let narrower = is_document(&found.type_name) && !is_document(&column.type_name);
    if narrower || plain(&column.type_name) != plain(&found.type_name) {
        let (name, there, here) = (&column.name, &found.type_name, &column.type_name);
        return Some(format!("column {name} is {there} there, {here} on the source"));
    }
    let (here, there) = (column.collation.as_deref()?, found.collation.as_deref()?);
    (!holds(there, here)).then(|| {
        let (name, here, there) = (&column.name, character_set(here), character_set(there));
        format!("the text of column {name} is in {there} there, in {here} on the source")
    })
}

/// Whether text in a character set, or under a collation of it, has the bytes that it has in another.
pub(super) fn holds(there: &str, here: &str) -> bool {
    if ["utf8", "utf8mb3"].contains(&character_set(there)) && character_set(here) == "utf8mb4" {
        return false;
    }
    let (here, there) = (literal::charset(here), literal::charset(there));
    // Rows are loaded byte by byte; of ASCII the bytes are the same in what the server stores so.
    let wide = ["ucs2", "utf16", "utf16le", "utf32"].contains(&there.as_str());
    here == there || here == "ascii" && !wide
}

/// The character sets of what names none.
pub(super) async fn character_sets(
    session: &mut Session,
) -> Result<Vec<DefaultCharacterSet>, Failure> {
    let rows = session.rows(include_str!("../../../sql/mysql/character_sets.sql")).await;
    let rows = rows.map_err(attempting("read the target's default character sets"))?;
    let mut sets = Vec::new();
    for row in &rows {
        let name: String = field(row, 2)?;
        let name = character_set(&name).to_owned();
        sets.push(DefaultCharacterSet { database: field(row, 0)?, table: field(row, 1)?, name });
    }
    Ok(sets)
}

/// The first of a table's columns that stands elsewhere among those of `names` that it has. A log
/// that does not name columns tells them by their places, and definitions move them by these.
pub(super) fn misplaced(table: &Table, names: &[&str]) -> Option<String> {
    let same = |column: &Column, name: &str| column.name.to_lowercase() == name.to_lowercase();
    let has = |column: &&Column| names.iter().any(|name| same(column, name));
    let known = |name: &&&str| table.columns.iter().any(|column| same(column, name));
    let mut pairs = table.columns.iter().filter(has).zip(names.iter().filter(known));
    let (column, name) = pairs.find(|(column, name)| !same(column, name))?;
    Some(format!("column {name} stands there where {} does on the source", column.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_compared_by_what_they_hold() {
        assert_eq!(plain("int(11) unsigned"), plain("int unsigned"));
        assert_eq!(plain("bigint(20)"), plain("bigint"));
        assert_eq!(plain("json"), plain("longtext"));
        assert_eq!(plain("datetime(6) /* mariadb-5.3 */"), plain("datetime(6)"));
        assert_ne!(plain("datetime(6)"), plain("datetime"));
        assert_ne!(plain("int"), plain("int unsigned"));
        assert_ne!(plain("decimal(10,2)"), plain("decimal(10,3)"));
        assert_ne!(plain("enum('a','B')"), plain("enum('a','b')"));
    }

    #[test]
    fn text_has_one_character_set_on_both_sides() {
        let fits = |here: &str, there: &str| {
            let facts = ColumnFacts {
                name: "word".to_owned(),
                number: 1,
                type_name: "varchar(9)".to_owned(),
                not_null: false,
                collation: Some(here.to_owned()),
                generated: false,
            };
            let found = TargetColumn {
                name: "word".to_owned(),
                type_name: "varchar(9)".to_owned(),
                generated: false,
                optional: true,
                collation: Some(there.to_owned()),
            };
            difference(&facts.column(), Some(&found)).is_none()
        };
        assert!(fits("utf8mb4_0900_ai_ci", "utf8mb4_general_ci"));
        assert!(fits("utf8mb3_general_ci", "utf8mb4_bin"));
        assert!(fits("ascii_general_ci", "latin1_swedish_ci"));
        assert!(!fits("latin1_swedish_ci", "utf8mb4_bin"));
        assert!(!fits("utf8mb4_bin", "utf16_bin"));
        assert!(!fits("utf8mb4_bin", "utf8mb3_bin") && !fits("utf8mb4_bin", "utf8_bin"));
        assert!(!fits("ascii_bin", "utf16_bin"));
    }
}
