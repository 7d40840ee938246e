//! Events into the decoder of binary logs.
//!
//! The input is a run of events as they stand in a file, each with a checksum that is taken off: a log
//! of a real server is one, behind a first byte that chooses the kind of log (`scripts/fuzz-binlog`
//! makes such). Tables are those of the recorded logs (tests/cases/binlog) and one more.

#![no_main]

use std::sync::LazyLock;

use dunlin::model::{Batch, Column, ColumnOrder, Event, Identity, Position, Table, TableId, TableName};
use dunlin::source::mysql::binlog::{Decoder, Page, Registry, Rest};
use libfuzzer_sys::fuzz_target;

/// The columns of the recorded servers' tables.
const RECORDED: [&str; 2] = [
    include_str!("../../cases/binlog/mysql-9.7/columns.tsv"),
    include_str!("../../cases/binlog/mariadb-11.8/columns.tsv"),
];

/// Length of an event's header, and of the checksum at its end.
const HEADER_LEN: usize = 19;
const CHECKSUM_LEN: usize = 4;

/// The number of format descriptions: one without checksums is in force.
const FORMAT_DESCRIPTION: u8 = 15;

static TABLES: LazyLock<[Vec<Table>; 2]> = LazyLock::new(|| RECORDED.map(tables));

fuzz_target!(|input: &[u8]| {
    let Some((&choice, mut rest)) = input.split_first() else { return };
    let choice = usize::from(choice % 3);
    let position = ["3e11fa47-71ca-11e1-9e33-c80aa9429562:1-6", "0-1-6", "u/binlog.000001:4"];
    let position: Position = position[choice].parse().unwrap();
    let tables = &TABLES[choice % 2];
    let mut decoder = Decoder::new(Registry::new(tables), position);
    let mut page = Page::default();
    let _ = decoder.decode(&description(), &mut page);
    while let Some(mut event) = next_event(&mut rest) {
        if event[4] == FORMAT_DESCRIPTION {
            continue;
        }
        event.truncate(event.len() - CHECKSUM_LEN);
        let len = event.len() as u32;
        event[9..13].copy_from_slice(&len.to_le_bytes());
        let mut decoded = decoder.decode(&event, &mut page);
        while matches!(decoded, Ok(Rest::More)) {
            // As the reader of the log does, which sends what has come.
            read(page.take());
            decoded = decoder.go_on(&mut page);
        }
        if decoded.is_err() {
            break;
        }
        if decoder.has_ended() {
            let batch = page.take();
            let Some(Event::Schema(change)) = batch.events.last() else { break };
            let Some(behind) = change.end.clone() else { break };
            decoder.go_on_from(Registry::new(tables), behind);
        }
    }
    read(page.take());
});

/// Looks at all values.
fn read(batch: Batch) {
    for value in &batch.values {
        let _ = batch.value(*value);
    }
}

/// The next event, as long as it says that it is; the last one as long as there are bytes.
fn next_event(rest: &mut &[u8]) -> Option<Vec<u8>> {
    let len = rest.get(9..13)?;
    let len = u32::from_le_bytes(len.try_into().ok()?) as usize;
    let len = len.max(HEADER_LEN + CHECKSUM_LEN).min(rest.len());
    if len < HEADER_LEN + CHECKSUM_LEN {
        return None;
    }
    let (event, behind) = rest.split_at(len);
    *rest = behind;
    Some(event.to_vec())
}

/// The tables whose columns are listed, and one more.
fn tables(columns: &str) -> Vec<Table> {
    let mut tables = vec![table()];
    for line in columns.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let [name, column_name, type_name, collation, generated, key] = fields[..] else {
            continue;
        };
        if tables.last().is_none_or(|last| last.name.name != name) {
            let name = TableName { schema: "kinds".to_owned(), name: name.to_owned() };
            let id = TableId(tables.len() as u32);
            let (identity, primary_key) = (Identity::Full, Vec::new());
            tables.push(Table { id, name, columns: Vec::new(), identity, primary_key, ..table() });
        }
        let Some(table) = tables.last_mut() else { continue };
        if key == "1" {
            table.primary_key.push(table.columns.len());
            table.identity = Identity::Key { columns: table.primary_key.clone() };
        }
        let collation = (!collation.is_empty()).then(|| collation.to_owned());
        let generated = generated == "1";
        table.columns.push(Column { collation, generated, ..column(column_name, type_name) });
    }
    tables
}

fn column(name: &str, type_name: &str) -> Column {
    Column {
        name: name.to_owned(),
        number: 0,
        version: 0,
        type_name: type_name.to_owned(),
        type_modifier: -1,
        not_null: false,
        generated: false,
        collation: None,
        order: ColumnOrder::Opaque,
    }
}

/// A format description of a log without checksums.
fn description() -> Vec<u8> {
    let mut event = vec![0; 19];
    event[4] = 15;
    event.extend_from_slice(&4u16.to_le_bytes());
    event.extend_from_slice(&[0; 54]);
    event.push(19);
    event.extend_from_slice(&[8; 42]);
    event.extend_from_slice(&[0; 5]);
    let len = event.len() as u32;
    event[9..13].copy_from_slice(&len.to_le_bytes());
    event
}

fn table() -> Table {
    let types =
        ["int", "varchar(20)", "json", "decimal(10,2)", "time(3)", "enum('a','b')", "bit(9)"];
    let column = |(index, name): (usize, &&str)| column(&format!("c{index}"), name);
    Table {
        id: TableId(0),
        name: TableName { schema: "s".to_owned(), name: "t".to_owned() },
        source_id: 0,
        columns: types.iter().enumerate().map(column).collect(),
        columns_ever: types.len() as u16,
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
        binary_travels: true,
    }
}
