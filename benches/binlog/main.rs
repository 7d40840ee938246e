//! Rows that the decoder of binary logs renders in a second, on one core.
//!
//! The log is made by hand: sysbench rows (INT, INT, CHAR(120), CHAR(60)) with checksums, inserted in
//! events of 8 KiB as a server writes them, and updated one by one in transactions of their own. Ours
//! verifies the checksums and renders every value as text; that of mysql_common makes its own values.
//! `make bench` runs this and writes its part of `docs/benchmarks.md`.
//!
//! A test runner that runs all targets comes by without `--bench`: then nothing is measured.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "it measures and tells")]

#[path = "../contest/mod.rs"]
mod contest;

use std::hint::black_box;
use std::time::{Duration, Instant};

use contest::report::{Line, Report, Section, Unit};
use contest::wanted::Wanted;
use dunlin::model::{Column, ColumnOrder, Identity, Table, TableId, TableName};
use dunlin::source::mysql::binlog::{Decoder, Page, Registry, Rest};
use mysql_common::binlog::EventStreamReader;
use mysql_common::binlog::consts::BinlogVersion;
use mysql_common::binlog::events::EventData;

const UUID: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
const PAGE_BYTES: usize = 256 * 1024;
/// Rows of a round; each log is decoded again until there were so many.
const ROWS: u32 = 1_600_000;

const HOW: &str = "One core, no server: a log in memory, made by hand.";

fn main() {
    let Some(wanted) = Wanted::of_arguments() else { return };
    let mut report = Report::new("Decoding MySQL's binary log", HOW);
    let titles =
        ["Rows inserted in events of 8 KiB", "Rows updated one by one, a transaction each"];
    for (title, (log, rows)) in titles.into_iter().zip([bulk(), single()]) {
        let plain = log.concat();
        let mut lines = ["dunlin", "mysql_common"].map(Line::new);
        for _ in 0..wanted.rounds {
            lines[0].rounds.push(taken(rows, || decode(&log)));
            lines[1].rounds.push(taken(rows, || assert_eq!(decode_theirs(&plain), rows)));
        }
        report.add(Section {
            title,
            how: "Rows of sysbench, with checksums: `cargo bench --bench binlog`.",
            unit: Unit::RowsPerSecond(ROWS),
            lines: lines.into(),
        });
    }
    if wanted.is_everything() {
        report.write(wanted.rounds);
    }
}

/// How long it takes to decode logs of so many rows until there were [`ROWS`].
fn taken(rows: u32, decode: impl Fn()) -> Duration {
    let begun = Instant::now();
    for _ in 0..ROWS / rows {
        decode();
    }
    begun.elapsed()
}

fn decode_theirs(log: &[u8]) -> u32 {
    let mut log = log;
    let mut reader = EventStreamReader::new(BinlogVersion::Version4);
    let mut decoded = 0;
    while !log.is_empty() {
        let event = reader.read(&mut log).unwrap().unwrap();
        if let Some(EventData::RowsEvent(rows)) = event.read_data().unwrap() {
            let table = reader.get_tme(rows.table_id()).unwrap();
            for row in rows.rows(table) {
                black_box(row.unwrap());
                decoded += 1;
            }
        }
    }
    decoded
}

fn decode(log: &[Vec<u8>]) {
    let table = table();
    let position = format!("{UUID}:1").parse().unwrap();
    let mut decoder = Decoder::new(Registry::new([&table]), position);
    let mut page = Page::default();
    for event in log {
        assert_eq!(decoder.decode(event, &mut page).unwrap(), Rest::Nothing);
        if page.bytes() > PAGE_BYTES {
            black_box(page.take());
        }
    }
    black_box(page.take());
}

fn event(kind: u8, body: &[u8]) -> Vec<u8> {
    let len = (19 + body.len() + 4) as u32;
    let mut event = vec![0, 0, 0, 0, kind, 1, 0, 0, 0];
    event.extend_from_slice(&len.to_le_bytes());
    event.extend_from_slice(&[0; 6]);
    event.extend_from_slice(body);
    let sum = crc32fast::hash(&event);
    event.extend_from_slice(&sum.to_le_bytes());
    event
}

/// How long the fixed part of each kind of event is, as MySQL 8.0 and later say it.
const FIXED_PARTS: [u8; 41] = [
    0, 13, 0, 8, 0, 0, 0, 0, 4, 0, 4, 0, 0, 0, 98, 0, 4, 26, 8, 0, 0, 0, 8, 8, 8, 2, 0, 0, 0, 10,
    10, 10, 42, 42, 0, 18, 52, 0, 10, 40, 0,
];

fn description() -> Vec<u8> {
    let mut body = 4u16.to_le_bytes().to_vec();
    let mut version = [0; 50];
    version[..5].copy_from_slice(b"9.7.0");
    body.extend_from_slice(&version);
    body.extend_from_slice(&[0; 4]);
    body.push(19);
    body.extend_from_slice(&FIXED_PARTS);
    body.push(1);
    event(15, &body)
}

fn begin(number: u64) -> [Vec<u8>; 3] {
    let mut gtid = vec![0];
    let uuid = u128::from_str_radix(&UUID.replace('-', ""), 16).unwrap();
    gtid.extend_from_slice(&uuid.to_be_bytes());
    gtid.extend_from_slice(&number.to_le_bytes());
    let mut begin = vec![0; 8];
    begin.extend_from_slice(&[6, 0, 0, 0, 0]);
    begin.extend_from_slice(b"sbtest\0BEGIN");
    let mut map = vec![9, 0, 0, 0, 0, 0, 1, 0];
    map.extend_from_slice(b"\x06sbtest\0\x07sbtest1\0\x04\x03\x03\xFE\xFE\x04\xFE\xE0\xFE\xF0\x00");
    map.extend_from_slice(&[1, 1, 0]);
    [event(33, &gtid), event(2, &begin), event(19, &map)]
}

fn row(id: u32, k: u32) -> Vec<u8> {
    let mut row = vec![0];
    row.extend_from_slice(&id.to_le_bytes());
    row.extend_from_slice(&k.to_le_bytes());
    row.push(119);
    row.extend_from_slice(&"68487932199-96439406143-".repeat(5).as_bytes()[..119]);
    row.push(59);
    row.extend_from_slice(&"67847967377-48000963322-".repeat(3).as_bytes()[..59]);
    row
}

fn rows_head(bitmaps: &[u8]) -> Vec<u8> {
    let mut body = vec![9, 0, 0, 0, 0, 0, 1, 0, 2, 0, 4];
    body.extend_from_slice(bitmaps);
    body
}

fn bulk() -> (Vec<Vec<u8>>, u32) {
    let mut log = vec![description()];
    log.extend(begin(2));
    for first in 0..400 {
        let mut body = rows_head(&[15]);
        for id in 0..40 {
            body.extend_from_slice(&row(first * 40 + id, 5_000_000 + id));
        }
        log.push(event(30, &body));
    }
    log.push(event(16, &[0; 8]));
    (log, 16_000)
}

fn single() -> (Vec<Vec<u8>>, u32) {
    let mut log = vec![description()];
    for id in 0..4000 {
        log.extend(begin(u64::from(id) + 2));
        let mut body = rows_head(&[15, 15]);
        body.extend_from_slice(&row(id, 5_000_000));
        body.extend_from_slice(&row(id, 5_000_001));
        log.push(event(31, &body));
        log.push(event(16, &[0; 8]));
    }
    (log, 4000)
}

fn table() -> Table {
    let types = ["int", "int", "char(120)", "char(60)"];
    let column = |(index, name): (usize, &&str)| Column {
        name: format!("c{index}"),
        number: index as u16,
        version: 0,
        type_name: (*name).to_owned(),
        type_modifier: -1,
        not_null: true,
        generated: false,
        collation: None,
        order: ColumnOrder::Opaque,
    };
    Table {
        id: TableId(0),
        name: TableName { schema: "sbtest".to_owned(), name: "sbtest1".to_owned() },
        source_id: 0,
        columns: types.iter().enumerate().map(column).collect(),
        columns_ever: 4,
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
