//! Logs of real servers: what they tell, applied to empty tables, has to end in the rows that the
//! server itself printed. Recorded by scripts/record-binlog.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::slice::from_ref;

use super::*;
use crate::model::{Act, Row};

type Cells = Vec<Option<Vec<u8>>>;

struct Recorded {
    tables: Vec<Table>,
    /// The rows that the server printed, by table.
    expected: BTreeMap<String, Vec<Cells>>,
    events: Vec<Vec<u8>>,
}

fn load(server: &str) -> Recorded {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/cases/binlog").join(server);
    let read = |name: &str| fs::read(folder.join(name)).unwrap();
    let columns = String::from_utf8(read("columns.tsv")).unwrap();
    let mut tables: Vec<Table> = Vec::new();
    for line in columns.lines() {
        let fields: Vec<_> = line.split('\t').collect();
        let [table, name, type_name, collation, generated, key] = fields[..] else { panic!() };
        if tables.last().is_none_or(|last| last.name.name != table) {
            let name = TableName { schema: "kinds".to_owned(), name: table.to_owned() };
            let (id, columns, identity) = (TableId(tables.len() as u32), vec![], Identity::Full);
            tables.push(Table { id, name, columns, identity, primary_key: vec![], ..items() });
        }
        let table = tables.last_mut().unwrap();
        if key == "1" {
            table.primary_key.push(table.columns.len());
            table.identity = Identity::Key { columns: table.primary_key.clone() };
        }
        let collation = (!collation.is_empty()).then(|| collation.to_owned());
        let generated = generated == "1";
        table.columns.push(Column { collation, generated, ..column(name, type_name) });
    }
    let mut expected: BTreeMap<String, Vec<Cells>> = BTreeMap::new();
    for line in read("rows.tsv").split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let mut fields = line.split(|byte| *byte == b'\t');
        let table = String::from_utf8(fields.next().unwrap().to_vec()).unwrap();
        expected.entry(table).or_default().push(fields.map(cell).collect());
    }
    Recorded { tables, expected, events: events(&read("log")) }
}

/// A field as the client prints it.
fn cell(field: &[u8]) -> Option<Vec<u8>> {
    if field == b"NULL" {
        return None;
    }
    let mut bytes = Vec::new();
    let mut rest = field.iter();
    while let Some(&byte) = rest.next() {
        bytes.push(match byte {
            b'\\' => match rest.next() {
                Some(b'0') => 0,
                Some(b'n') => b'\n',
                Some(b't') => b'\t',
                Some(other) => *other,
                None => b'\\',
            },
            other => other,
        });
    }
    Some(bytes)
}

/// The events of a file.
fn events(mut file: &[u8]) -> Vec<Vec<u8>> {
    let mut events = Vec::new();
    file = file.strip_prefix(b"\xFEbin").unwrap();
    while let Some(len) = file.get(9..13) {
        let len = u32::from_le_bytes(len.try_into().unwrap()) as usize;
        events.push(file[..len].to_vec());
        file = &file[len..];
    }
    events
}

/// Tables as the events leave them.
fn apply(batch: &Batch, tables: &[Table]) -> BTreeMap<String, Vec<Cells>> {
    let mut rows: BTreeMap<String, Vec<Cells>> = BTreeMap::new();
    let read = |row: Row| -> Vec<Value<'_>> {
        batch.row(row).iter().map(|&value| batch.value(value)).collect()
    };
    let name = |id: TableId| &tables[id.0 as usize].name.name;
    let mut keys: BTreeMap<TableId, Vec<bool>> = BTreeMap::new();
    for event in &batch.events {
        match event {
            Event::Relation(relation) => {
                let key = relation.columns.iter().map(|column| column.key || relation.full);
                keys.insert(relation.table, key.collect());
            }
            Event::Schema(change) => match &change.act {
                Act::Truncate(table) => rows.entry(table.name.clone()).or_default().clear(),
                act => panic!("{act:?}"),
            },
            Event::Change(change) => {
                let table = rows.entry(name(change.table()).clone()).or_default();
                let key = &keys[&change.table()];
                let place = |table: &[Cells], old: &[Value<'_>]| {
                    let same = |row: &Cells| {
                        row.iter()
                            .zip(old)
                            .zip(key)
                            .all(|((cell, old), key)| !key || is(cell, *old))
                    };
                    table.iter().position(same).unwrap_or_else(|| panic!("no row for {change:?}"))
                };
                match change {
                    Change::Insert { new, .. } => {
                        table.push(read(*new).into_iter().map(owned).collect());
                    }
                    Change::Delete { old, .. } => {
                        let at = place(table, &read(*old));
                        table.remove(at);
                    }
                    Change::Update { old, new, .. } => {
                        let at = place(table, &read(old.unwrap_or(*new)));
                        for (cell, new) in table[at].iter_mut().zip(read(*new)) {
                            if new != Value::Absent {
                                *cell = owned(new);
                            }
                        }
                    }
                }
            }
            _ => {}
        }
    }
    rows.retain(|_, rows| !rows.is_empty());
    rows
}

fn is(cell: &Option<Vec<u8>>, value: Value<'_>) -> bool {
    match value {
        Value::Text(text) => cell.as_deref() == Some(text),
        Value::Null => cell.is_none(),
        Value::Absent => panic!("a key is absent"),
    }
}

fn owned(value: Value<'_>) -> Option<Vec<u8>> {
    match value {
        Value::Text(text) => Some(text.to_vec()),
        Value::Null => None,
        Value::Absent => panic!("a value is absent"),
    }
}

fn in_short(row: &[Option<Vec<u8>>]) -> Vec<String> {
    let short = |cell: &Option<Vec<u8>>| match cell {
        Some(bytes) => bytes[..bytes.len().min(300)].escape_ascii().to_string(),
        None => "NULL".to_owned(),
    };
    row.iter().map(short).collect()
}

fn compare(server: &str, from: &str) {
    let recorded = load(server);
    let from = match from {
        "" => Position::MySql(Default::default()),
        _ => Position::MariaDb(Default::default()),
    };
    let mut decoder = Decoder::new(Registry::new(&recorded.tables), from);
    let mut page = Page::default();
    for event in &recorded.events {
        if let Err(error) = decode_all(&mut decoder, std::slice::from_ref(event), &mut page) {
            panic!("{error}");
        }
        if decoder.has_ended() {
            let Some(Event::Schema(change)) = page.events.last() else { panic!("no definition") };
            let behind = change.end.clone().unwrap();
            decoder.go_on_from(Registry::new(&recorded.tables), behind);
        }
    }
    let mut found = apply(&page.take(), &recorded.tables);
    for (table, mut expected) in recorded.expected {
        let mut rows = found.remove(&table).unwrap_or_default();
        rows.sort();
        expected.sort();
        assert_eq!(rows.len(), expected.len(), "{table}");
        for (row, expected) in rows.iter().zip(&expected) {
            for (at, (cell, known)) in row.iter().zip(expected).enumerate() {
                let (found, known) = (in_short(from_ref(cell)), in_short(from_ref(known)));
                assert_eq!(found, known, "{table}, column {at} of {:?}", in_short(row));
            }
            assert_eq!(row.len(), expected.len(), "{table}");
        }
    }
    assert!(found.is_empty(), "{:?}", found.keys());
}

#[test]
fn a_log_of_mysql_9_7_ends_in_the_rows_of_the_server() {
    compare("mysql-9.7", "");
}

#[test]
fn a_log_of_mariadb_10_11_ends_in_the_rows_of_the_server() {
    compare("mariadb-10.11", "0");
}

#[test]
fn a_log_of_mariadb_11_8_ends_in_the_rows_of_the_server() {
    compare("mariadb-11.8", "0");
}
