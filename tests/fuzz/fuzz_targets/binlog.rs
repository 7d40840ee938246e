//! Events into the decoder of binary logs.
//!
//! The input is a run of events without checksums, each behind its length in two bytes, after a
//! format description and the beginning of a transaction. The first byte chooses the kind of log.

#![no_main]

use dunlin::model::{Column, ColumnOrder, Identity, Position, Table, TableId, TableName};
use dunlin::source::mysql::binlog::{Decoder, Page, Registry, Rest};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((&choice, events)) = input.split_first() else { return };
    let position = ["3e11fa47-71ca-11e1-9e33-c80aa9429562:1-6", "0-1-6", "u/binlog.000001:4"];
    let position: Position = position[usize::from(choice % 3)].parse().unwrap();
    let mut decoder = Decoder::new(Registry::new([&table()]), position);
    let mut page = Page::default();
    let mut rest = events;
    let _ = decoder.decode(&description(), &mut page);
    while let Some((len, behind)) = rest.split_first_chunk() {
        let len = usize::from(u16::from_le_bytes(*len)).min(behind.len());
        let (event, behind) = behind.split_at(len);
        rest = behind;
        let mut event = event.to_vec();
        if let Some(bytes) = event.get_mut(9..13) {
            bytes.copy_from_slice(&(len as u32).to_le_bytes());
        }
        let mut decoded = decoder.decode(&event, &mut page);
        while matches!(decoded, Ok(Rest::More)) {
            decoded = decoder.go_on(&mut page);
        }
        if decoded.is_err() {
            break;
        }
    }
    let batch = page.take();
    for value in &batch.values {
        let _ = batch.value(*value);
    }
});

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
    let types = ["int", "varchar(20)", "json", "decimal(10,2)", "time(3)", "enum('a','b')", "bit(9)"];
    let column = |(index, name): (usize, &&str)| Column {
        name: format!("c{index}"),
        number: index as u16,
        version: 0,
        type_name: (*name).to_owned(),
        type_modifier: -1,
        not_null: false,
        generated: false,
        collation: None,
        order: ColumnOrder::Opaque,
    };
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
        binary_travels: true,
    }
}
