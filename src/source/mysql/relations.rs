//! The source's tables: which are selected, their columns, keys and sizes.
//!
//! In: what `information_schema` says, and the selection. Out: [`Table`]s for the plan, and everything
//! that was found but is not copied, by name and reason, so that nothing is left behind in silence.
//! A partitioned table is one table here: its binary log and its rows do not show the partitions.
//!
//! A table without a primary key is known by a unique key over columns that are never NULL, where it
//! has one: its rows are told apart by it as well as by a primary key.

use std::collections::HashMap;
use std::time::Duration;

use super::control::{Control, TextRow};
use crate::connect::mysql::Flavour;
use crate::connect::mysql::described::{ColumnFacts, KeyPart, identity, key};
use crate::model::selection::Selection;
use crate::model::{Column, Failure, Table, TableId, TableName};

/// The engine whose rows a snapshot shows and a transaction writes.
const TRANSACTIONAL: &str = "InnoDB";

/// So many readings of MariaDB's catalog in a row have to say the same.
const EQUAL_READINGS: u32 = 3;

/// So often it is read at most.
const MOST_READINGS: u32 = 30;

/// How long it is left alone between two.
const READING_PAUSE: Duration = Duration::from_millis(30);

/// All that the selection found.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Tables {
    /// Tables that are copied.
    pub(super) tables: Vec<Table>,
    /// Selected tables of other engines, each with its own.
    pub(super) other_engines: Vec<(TableName, String)>,
    /// Selected tables that keep the history of their rows.
    pub(super) versioned: Vec<TableName>,
    /// Selected sequences (MariaDB).
    pub(super) sequences: Vec<TableName>,
    /// The next values of AUTO_INCREMENT columns.
    pub(super) counters: Vec<(TableName, u64)>,
    /// The names of all tables, selected or not: what a pattern has to match.
    pub(super) all: Vec<TableName>,
}

impl Tables {
    /// Whether the same tables were found, with the same columns and keys.
    fn has_shape_of(&self, other: &Tables) -> bool {
        let same = |(one, other): (&Table, &Table)| one.has_shape_of(other);
        self.all == other.all
            && self.tables.len() == other.tables.len()
            && self.tables.iter().zip(&other.tables).all(same)
    }
}

/// Which tables are wanted.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    /// By name.
    pub(super) selection: Selection,
    /// The only database, where the URL names one.
    pub(super) database: Option<String>,
}

impl Wanted {
    /// Whether a table is to be copied.
    pub(super) fn has(&self, name: &TableName) -> bool {
        let inside = self.database.as_ref().is_none_or(|database| *database == name.schema);
        inside && self.selection.selects(name)
    }
}

/// Reads all tables that are wanted. MariaDB reads its catalog table by table, and one that is being
/// emptied may lack its key or be left out altogether; so it is read until it says the same several
/// times over.
pub(super) async fn tables(control: &Control, wanted: &Wanted) -> Result<Tables, Failure> {
    let mut found = tables_once(control, wanted).await?;
    if control.version().flavour == Flavour::MySql {
        return Ok(found);
    }
    let mut same = 1;
    for _ in 1..MOST_READINGS {
        if same == EQUAL_READINGS {
            break;
        }
        tokio::time::sleep(READING_PAUSE).await;
        let next = tables_once(control, wanted).await?;
        same = if next.has_shape_of(&found) { same + 1 } else { 1 };
        found = next;
    }
    Ok(found)
}

/// Which columns are read, and in which order.
const OF_ALL_TABLES: &str = "\
WHERE TABLE_SCHEMA NOT IN ('mysql', 'information_schema', 'performance_schema', 'sys')
ORDER BY TABLE_SCHEMA, TABLE_NAME, ORDINAL_POSITION";

/// The same as it is read for the first time, which is enough where nothing new is found.
pub(super) async fn tables_once(control: &Control, wanted: &Wanted) -> Result<Tables, Failure> {
    let text = include_str!("../../../sql/mysql/source_tables.sql");
    let tables = control.rows(text, "read the tables").await?;
    let text = format!("{}{OF_ALL_TABLES}", include_str!("../../../sql/mysql/columns.sql"));
    let columns = control.rows(&text, "read the tables' columns").await?;
    let text = include_str!("../../../sql/mysql/source_keys.sql");
    let keys = control.rows(text, "read the tables' keys").await?;
    let numbers = control.table_numbers().await?;
    Ok(read(&Answers { tables, columns, keys, numbers }, wanted))
}

/// What the catalog answered.
#[derive(Default)]
struct Answers {
    tables: Vec<TextRow>,
    columns: Vec<TextRow>,
    keys: Vec<TextRow>,
    numbers: HashMap<TableName, u64>,
}

fn read(answers: &Answers, wanted: &Wanted) -> Tables {
    let columns = by_table(&answers.columns);
    let keys = by_table(&answers.keys);
    let mut found = Tables::default();
    for row in &answers.tables {
        let name = name(row);
        let kind = row.text(2);
        if kind == "VIEW" || kind == "SYSTEM VIEW" {
            continue;
        }
        found.all.push(name.clone());
        if !wanted.has(&name) {
            continue;
        }
        match kind.as_str() {
            "SEQUENCE" => found.sequences.push(name),
            "SYSTEM VERSIONED" => found.versioned.push(name),
            _ if !row.text(3).eq_ignore_ascii_case(TRANSACTIONAL) => {
                found.other_engines.push((name, row.text(3)));
            }
            _ => {
                let id = TableId(u32::try_from(found.tables.len()).unwrap_or(u32::MAX));
                let number = answers.numbers.get(&name).copied();
                if let Some(counter) = row.maybe(6).and_then(|text| text.parse().ok()) {
                    found.counters.push((name.clone(), counter));
                }
                let columns = columns.get(&name).map_or(&[][..], Vec::as_slice);
                let keys = keys.get(&name).map_or(&[][..], Vec::as_slice);
                let table = table((id, number), row, columns, keys);
                found.tables.push(table);
            }
        }
    }
    found
}

fn by_table(rows: &[TextRow]) -> HashMap<TableName, Vec<&TextRow>> {
    let mut tables: HashMap<TableName, Vec<&TextRow>> = HashMap::new();
    for row in rows {
        tables.entry(name(row)).or_default().push(row);
    }
    tables
}

fn name(row: &TextRow) -> TableName {
    TableName { schema: row.text(0), name: row.text(1) }
}

fn table(
    (id, number): (TableId, Option<u64>),
    row: &TextRow,
    columns: &[&TextRow],
    keys: &[&TextRow],
) -> Table {
    let columns: Vec<Column> = columns.iter().map(|row| column(row)).collect();
    let keys: Vec<KeyPart> = keys.iter().map(part).collect();
    let primary_key = key(&columns, &keys);
    let name = name(row);
    Table {
        id,
        source_id: number.unwrap_or_else(|| digest(&name)),
        storage: number.unwrap_or_default(),
        identity: identity(&primary_key),
        columns_ever: columns.iter().map(|column| column.number).max().unwrap_or_default(),
        kept: Vec::new(),
        primary_key,
        bytes: row.number(5),
        estimated_rows: row.number(4),
        pages: 0,
        correlation: None,
        root: None,
        partitions: None,
        cascades: None,
        binary_travels: false,
        columns,
        name,
    }
}

fn column(row: &TextRow) -> Column {
    ColumnFacts {
        name: row.text(2),
        number: u16::try_from(row.number(3)).unwrap_or(u16::MAX),
        type_name: row.text(4),
        not_null: row.number(5) == 1,
        collation: row.maybe(6),
        generated: row.number(7) == 1,
    }
    .column()
}

fn part(row: &&TextRow) -> KeyPart {
    KeyPart { index: row.text(2), column: row.maybe(3), partial: row.number(4) != 0 }
}

/// A number for a table whose own one the server does not show: always the same for one name, and
/// beyond all that a server gives (FNV-1a).
fn digest(name: &TableName) -> u64 {
    let bytes = name.schema.bytes().chain([0]).chain(name.name.bytes());
    let digest = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |digest, byte| {
        (digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    digest | 1 << 63
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Identity;
    use crate::model::selection::Patterns;

    fn row(fields: &[&str]) -> TextRow {
        let field = |text: &&str| (*text != "NULL").then(|| (*text).to_owned());
        TextRow::of(fields.iter().map(field).collect())
    }

    fn wanted(exclude: &str) -> Wanted {
        let exclude_tables = if exclude.is_empty() { Vec::new() } else { vec![exclude.into()] };
        let patterns = Patterns { exclude_tables, ..Patterns::default() };
        Wanted { selection: Selection::new(&patterns).unwrap(), database: None }
    }

    fn columns() -> Vec<TextRow> {
        vec![
            row(&["shop", "t", "id", "1", "bigint unsigned", "1", "NULL", "0"]),
            row(&["shop", "t", "code", "2", "varchar(9)", "1", "utf8mb4_0900_bin", "0"]),
            row(&["shop", "t", "note", "3", "text", "0", "utf8mb4_0900_ai_ci", "0"]),
            row(&["shop", "t", "twice", "4", "int", "1", "NULL", "1"]),
        ]
    }

    fn with_keys(keys: &[[&str; 5]]) -> Table {
        let answers = Answers {
            tables: vec![row(&["shop", "t", "BASE TABLE", "InnoDB", "7", "16384", "12"])],
            columns: columns(),
            keys: keys.iter().map(|key| row(key)).collect(),
            ..Answers::default()
        };
        read(&answers, &wanted("")).tables.remove(0)
    }

    #[test]
    fn a_table_is_known_by_its_primary_key_or_a_unique_one_without_nulls() {
        let primary = ["shop", "t", "PRIMARY", "id", "0"];
        let unique = ["shop", "t", "a", "code", "0"];
        let table = with_keys(&[primary, unique]);
        assert_eq!(table.primary_key, [0]);
        assert_eq!(table.identity, Identity::Key { columns: vec![0] });
        assert_eq!((table.bytes, table.estimated_rows, table.columns_ever), (16384, 7, 4));
        assert_eq!(with_keys(&[unique]).primary_key, [1]);
        let pair = [["shop", "t", "A", "code", "0"], ["shop", "t", "A", "id", "0"]];
        assert_eq!(with_keys(&pair).primary_key, [1, 0]);
        assert_eq!(with_keys(&[pair[0], pair[1], unique]).primary_key, [1]);
        for unusable in [
            ["shop", "t", "a", "note", "0"],
            ["shop", "t", "a", "code", "1"],
            ["shop", "t", "a", "twice", "0"],
            ["shop", "t", "a", "NULL", "0"],
        ] {
            let table = with_keys(&[unusable]);
            assert_eq!((table.primary_key.len(), table.identity), (0, Identity::Full));
        }
    }

    #[test]
    fn what_is_not_copied_is_named() {
        let answers = Answers {
            tables: vec![
                row(&["shop", "log", "BASE TABLE", "MyISAM", "0", "0", "NULL"]),
                row(&["shop", "history", "SYSTEM VERSIONED", "InnoDB", "0", "0", "NULL"]),
                row(&["shop", "numbers", "SEQUENCE", "InnoDB", "1", "0", "NULL"]),
                row(&["shop", "old", "BASE TABLE", "InnoDB", "0", "0", "NULL"]),
                row(&["shop", "v", "VIEW", "NULL", "0", "0", "NULL"]),
            ],
            ..Answers::default()
        };
        let found = read(&answers, &wanted("old"));
        let name = |name: &str| TableName { schema: "shop".into(), name: name.into() };
        assert_eq!(found.tables, []);
        assert_eq!(found.other_engines, [(name("log"), "MyISAM".to_owned())]);
        assert_eq!(
            (found.versioned, found.sequences),
            (vec![name("history")], vec![name("numbers")])
        );
        assert_eq!(found.all.len(), 4);
        let elsewhere = Wanted { database: Some("other".to_owned()), ..wanted("") };
        assert_eq!(read(&answers, &elsewhere).other_engines, []);
    }

    #[test]
    fn a_table_without_a_number_of_its_own_gets_one_that_stays() {
        let name =
            |schema: &str, name: &str| TableName { schema: schema.into(), name: name.into() };
        assert_eq!(digest(&name("a", "b")), digest(&name("a", "b")));
        assert_ne!(digest(&name("a", "bc")), digest(&name("ab", "c")));
    }
}
