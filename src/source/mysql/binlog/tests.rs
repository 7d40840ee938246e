//! Logs made by hand: what is told of them, and that no bytes make the decoder panic.

mod prepared;
mod recorded;

use proptest::prelude::*;

use super::*;
use crate::model::{Batch, Change, Column, ColumnOrder, Identity, Table, TableName, Value};

const UUID: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";

/// A log as a server writes it.
#[derive(Default)]
struct Log {
    events: Vec<Vec<u8>>,
    offset: u64,
}

impl Log {
    /// A log whose events have checksums.
    fn new() -> Self {
        let log = Log { events: Vec::new(), offset: 4 };
        let mut body = 4u16.to_le_bytes().to_vec();
        body.extend_from_slice(&[0; 54]);
        body.push(HEADER_LEN as u8);
        body.extend_from_slice(&[8; 42]);
        body.push(1);
        log.push(kind::FORMAT_DESCRIPTION, &body)
    }

    fn push(mut self, kind: u8, body: &[u8]) -> Self {
        let len = (HEADER_LEN + body.len() + 4) as u32;
        self.offset += u64::from(len);
        let mut event = 1_700_000_000u32.to_le_bytes().to_vec();
        event.push(kind);
        event.extend_from_slice(&7u32.to_le_bytes());
        event.extend_from_slice(&len.to_le_bytes());
        event.extend_from_slice(&(self.offset as u32).to_le_bytes());
        event.extend_from_slice(&[0, 0]);
        event.extend_from_slice(body);
        let sum = crc32fast::hash(&event);
        event.extend_from_slice(&sum.to_le_bytes());
        self.events.push(event);
        self
    }

    fn gtid(self, number: u64) -> Self {
        let mut body = vec![0];
        let uuid = u128::from_str_radix(&UUID.replace('-', ""), 16).unwrap();
        body.extend_from_slice(&uuid.to_be_bytes());
        body.extend_from_slice(&number.to_le_bytes());
        self.push(kind::GTID, &body)
    }

    fn anonymous(self) -> Self {
        self.push(kind::ANONYMOUS_GTID, &[0; 25])
    }

    fn query(self, text: &str) -> Self {
        let mut body = vec![0; 8];
        body.extend_from_slice(&[4, 0, 0, 0, 0]);
        body.extend_from_slice(b"shop\0");
        body.extend_from_slice(text.as_bytes());
        self.push(kind::QUERY, &body)
    }

    /// Describes shop.items (id INT, note VARCHAR(20)).
    fn table(self) -> Self {
        let mut body = vec![9, 0, 0, 0, 0, 0, 1, 0];
        body.extend_from_slice(b"\x04shop\0\x05items\0\x02\x03\x0f\x02\x14\0\x02");
        self.push(kind::TABLE_MAP, &body)
    }

    fn rows(self, kind: u8, bitmaps: &[u8], rows: &[u8]) -> Self {
        let mut body = vec![9, 0, 0, 0, 0, 0, 1, 0, 2, 0, 2];
        body.extend_from_slice(bitmaps);
        body.extend_from_slice(rows);
        self.push(kind, &body)
    }

    fn insert(self, id: u8) -> Self {
        self.rows(kind::WRITE_ROWS, &[3], &[0, id, 0, 0, 0, 2, b'h', b'i'])
    }

    fn xid(self) -> Self {
        self.push(kind::XID, &[0; 8])
    }

    fn transaction(self, number: u64) -> Self {
        self.gtid(number).query("BEGIN").table().insert(number as u8).xid()
    }
}

fn column(name: &str, type_name: &str) -> Column {
    Column {
        name: name.to_owned(),
        number: 1,
        version: 0,
        type_name: type_name.to_owned(),
        type_modifier: -1,
        not_null: false,
        generated: false,
        collation: None,
        order: ColumnOrder::Opaque,
    }
}

fn items() -> Table {
    Table {
        id: TableId(5),
        name: TableName { schema: "shop".to_owned(), name: "items".to_owned() },
        source_id: 0,
        columns: vec![column("id", "int"), column("note", "varchar(20)")],
        columns_ever: 2,
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

fn named() -> Position {
    Position::MySql(format!("{UUID}:1-6").parse().unwrap())
}

fn decode_all(
    decoder: &mut Decoder,
    events: &[Vec<u8>],
    page: &mut Page,
) -> Result<(), BinlogError> {
    for event in events {
        let mut rest = decoder.decode(event, page)?;
        while rest == Rest::More {
            rest = decoder.go_on(page)?;
        }
    }
    Ok(())
}

fn decode(log: &Log, from: Position) -> (Batch, Position, Option<Problem>) {
    let table = items();
    let mut decoder = Decoder::new(Registry::new([&table]), from);
    let mut page = Page::default();
    let error = decode_all(&mut decoder, &log.events, &mut page).err();
    (page.take(), decoder.position().clone(), error.map(|error| error.problem))
}

/// Events in short, values included.
fn told(batch: &Batch) -> Vec<String> {
    let row = |row| {
        let values = batch.row(row).iter().map(|&value| match batch.value(value) {
            Value::Null => "NULL".to_owned(),
            Value::Absent => "-".to_owned(),
            Value::Text(text) => String::from_utf8_lossy(text).into_owned(),
        });
        values.collect::<Vec<_>>().join(",")
    };
    let event = |event: &Event| match event {
        Event::Begin { mark, .. } => format!("begin {mark}"),
        Event::Change(Change::Insert { new, .. }) => format!("insert {}", row(*new)),
        Event::Change(Change::Delete { old, .. }) => format!("delete {}", row(*old)),
        Event::Change(Change::Update { old, new, .. }) => {
            format!("update {} {}", old.map(row).unwrap_or_default(), row(*new))
        }
        Event::Truncate(_) => "truncate".to_owned(),
        Event::Schema(change) => {
            let end = change.end.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string);
            format!("schema {} {:?} {end}", change.mark, change.act)
        }
        Event::Relation(relation) => format!("relation {}", relation.name),
        Event::Commit { end } => format!("commit {end}"),
        Event::Unsettled { .. } => "unsettled".to_owned(),
        Event::Idle { position } => format!("idle {position}"),
    };
    batch.events.iter().map(event).collect()
}

#[test]
fn transactions_are_told_from_beginning_to_end() {
    let log = Log::new()
        .gtid(7)
        .query("BEGIN")
        .table()
        .insert(1)
        .rows(kind::UPDATE_ROWS, &[3, 3], &[0, 1, 0, 0, 0, 0, 2, 1, 0, 0, 0])
        .rows(kind::UPDATE_ROWS, &[1, 3], &[0, 1, 0, 0, 0, 0, 2, 0, 0, 0, 1, b'x'])
        .rows(kind::DELETE_ROWS, &[3], &[0, 2, 0, 0, 0, 1, b'x'])
        .xid();
    let (batch, end, error) = decode(&log, named());
    assert_eq!(error, None);
    assert_eq!(
        told(&batch),
        [
            &format!("begin {UUID}:7"),
            "relation shop.items",
            "insert 1,hi",
            "update  1,NULL",
            "update 1,- 2,x",
            "delete 2,-",
            &format!("commit {UUID}:1-7"),
        ]
    );
    assert_eq!(end.to_string(), format!("{UUID}:1-7"));
}

#[test]
fn the_position_moves_only_where_a_transaction_ends() {
    let log = Log::new().transaction(7).gtid(9).query("BEGIN").table().insert(9);
    let (_, end, error) = decode(&log, named());
    assert_eq!((end.to_string(), error), (format!("{UUID}:1-7"), None));
    let again = Log::new().transaction(7).transaction(7);
    assert_eq!(decode(&again, named()).2, Some(Problem::OutOfOrder));
}

#[test]
fn without_names_the_place_is_counted_beyond_four_gib() {
    let start = 0x1_0000_0000 - 100;
    let from = Position::Binlog(BinlogPosition::new(UUID, "binlog.000003", start));
    let mut log = Log::new();
    log.offset = start;
    let log = log.anonymous().query("BEGIN").table().insert(1).xid();
    let mut events = log.events.clone();
    // A description that is sent where the reading begins within a file says no end.
    events[0][13..17].fill(0);
    let end = events[0].len() - 4;
    let sum = crc32fast::hash(&events[0][..end]).to_le_bytes();
    events[0][end..].copy_from_slice(&sum);
    let (batch, end, error) = decode(&Log { events, offset: 0 }, from);
    assert_eq!(error, None);
    assert_eq!(told(&batch)[0], format!("begin {UUID}/binlog.000003:{start}"));
    assert_eq!(end.to_string(), format!("{UUID}/binlog.000003:{}", log.offset));
    assert!(log.offset > 0x1_0000_0000);
}

/// The end that is told of a file's events, from this offset on, and the name of the next file.
fn rotate(offset: u64, name: &str) -> Vec<u8> {
    let mut body = offset.to_le_bytes().to_vec();
    body.extend_from_slice(name.as_bytes());
    let mut event = Log::new().push(kind::ROTATE, &body).events.remove(1);
    event[..4].fill(0);
    event[13..17].fill(0);
    event[17] = 0x20;
    mend(&mut event);
    event
}

#[test]
fn what_stands_before_a_place_is_passed_over() {
    let start = 0x1_0000_0000 - 100;
    let mut log = Log::new();
    log.offset = start;
    let known = log.anonymous().query("BEGIN").table().insert(1).xid();
    let from = known.offset;
    assert!(from > 0x1_0000_0000);
    let mut whole = known.anonymous().query("BEGIN").table().insert(2).xid();
    whole.events[0][13..17].fill(0);
    mend(&mut whole.events[0]);
    whole.events.insert(0, rotate(start, "binlog.000003"));
    let position = |offset| Position::Binlog(BinlogPosition::new(UUID, "binlog.000003", offset));
    let (batch, end, error) = decode(&whole, position(from));
    assert_eq!(error, None);
    let begin = format!("begin {UUID}/binlog.000003:{from}");
    assert_eq!(told(&batch)[..3], [&begin, "relation shop.items", "insert 2,hi"]);
    assert_eq!(end.to_string(), format!("{UUID}/binlog.000003:{}", whole.offset));
    let within = decode(&whole, position(from - 1)).2;
    assert_eq!(within, Some(Problem::OutOfPlace("the position lies within it")));
    whole.events.truncate(4);
    whole.events.push(rotate(4, "binlog.000004"));
    let short = decode(&whole, position(from)).2;
    assert_eq!(short, Some(Problem::OutOfPlace("the file before it ends before the position")));
}

#[test]
fn a_definition_of_a_followed_table_ends_what_this_decoder_can_tell() {
    let log = Log::new()
        .gtid(7)
        .query("DROP TEMPORARY TABLE x")
        .gtid(8)
        .query("ALTER TABLE other ADD b INT")
        .gtid(9)
        .query("BEGIN")
        .query("COMMIT")
        .gtid(10)
        .query("TRUNCATE TABLE items");
    let (batch, end, error) = decode(&log, named());
    assert_eq!(error, None);
    let name = "TableName { schema: \"shop\", name: \"items\" }";
    assert_eq!(
        told(&batch),
        [format!("idle {UUID}:1-9"), format!("schema {UUID}:10 Truncate({name}) {UUID}:1-10"),]
    );
    assert_eq!(end.to_string(), format!("{UUID}:1-9"));
    let (_, _, error) = decode(&log.transaction(11), named());
    assert_eq!(error, Some(Problem::OutOfPlace("the tables were defined anew before it")));
}

#[test]
fn what_may_hide_changes_is_refused() {
    let open = || Log::new().gtid(7).query("BEGIN");
    let name = || Box::new(items().name);
    for (log, expected) in [
        (open().query("INSERT INTO other VALUES (1)"), Problem::Statement("shop".into())),
        (Log::new().push(kind::INCIDENT, &[1, 0, 0]), Problem::Incident),
        (Log::new().push(99, &[]), Problem::UnknownType),
        (Log::new().anonymous(), Problem::Anonymous),
        (open().table().insert(1).query("ROLLBACK"), Problem::RolledBack(name())),
        (open().table().insert(1).push(kind::XA_PREPARE, &[0; 13]), Problem::Prepared(name())),
        (
            open().table().rows(kind::WRITE_ROWS, &[1], &[0, 1, 0, 0, 0]),
            Problem::PartialRow(name()),
        ),
        (open().table().rows(kind::WRITE_ROWS, &[0], &[]), Problem::PartialRow(name())),
        (open().table().rows(kind::UPDATE_ROWS, &[0, 0], &[7]), Problem::PartialRow(name())),
        (open().push(kind::TRANSACTION_PAYLOAD, &[0, 1, 2, 3]), Problem::Compression),
        (Log::new().push(kind::MARIA_START_ENCRYPTION, &[1]), Problem::Encrypted),
        (open().insert(1), Problem::OutOfPlace("its table was not described before it")),
        (Log::new().table().insert(1), Problem::OutOfPlace("it belongs to no transaction")),
    ] {
        assert_eq!(decode(&log, named()).2, Some(expected));
    }
    let mut damaged = Log::new().transaction(7);
    damaged.events[4][30] ^= 1;
    assert_eq!(decode(&damaged, named()).2, Some(Problem::Checksum));
}

#[test]
fn a_table_that_is_described_otherwise_is_refused() {
    let mut body = vec![9, 0, 0, 0, 0, 0, 1, 0];
    body.extend_from_slice(b"\x04shop\0\x05items\0\x02\x03\x08\0\x02");
    let log = Log::new().gtid(7).query("BEGIN").push(kind::TABLE_MAP, &body);
    assert!(matches!(decode(&log, named()).2, Some(Problem::TableDiffers(_))));
}

#[test]
fn rows_of_tables_that_nobody_asked_for_are_passed_over() {
    let mut body = vec![8, 0, 0, 0, 0, 0, 1, 0];
    body.extend_from_slice(b"\x04shop\0\x05other\0\xFF");
    let mut rows = vec![8, 0, 0, 0, 0, 0, 1, 0, 2, 0];
    rows.extend_from_slice(&[0xFF; 9]);
    let log = Log::new().gtid(7).query("BEGIN").push(kind::TABLE_MAP, &body);
    let log = log.push(kind::WRITE_ROWS, &rows).xid();
    let (batch, _, error) = decode(&log, named());
    assert_eq!((told(&batch), error), (vec![format!("idle {UUID}:1-7")], None));
}

/// Every kind of event, to be spoilt.
fn motley() -> Log {
    Log::new()
        .transaction(7)
        .gtid(8)
        .query("ALTER TABLE other ADD b INT")
        .gtid(9)
        .query("BEGIN")
        .table()
        .rows(kind::UPDATE_ROWS, &[3, 3], &[0, 1, 0, 0, 0, 0, 2, 1, 0, 0, 0])
        .rows(kind::PARTIAL_UPDATE_ROWS, &[3, 3], &[0, 1, 0, 0, 0, 0, 0, 2, 1, 0, 0, 0])
        .rows(kind::DELETE_ROWS, &[3], &[0, 2, 0, 0, 0, 1, b'x'])
        .xid()
        .push(kind::ROTATE, b"\x04\0\0\0\0\0\0\0binlog.000002")
        .push(kind::GTID_TAGGED, &[2, 100, 0, 0, 0, 2, 0, 4, 14, 6, 4, b'a', b'b'])
        .push(kind::HEARTBEAT, b"binlog.000002")
        .push(kind::TRANSACTION_PAYLOAD, &[2, 3, 252, 255, 0, 0, 1, 2, 3])
}

/// Puts length and checksum right again, so that what was spoilt is read at all.
fn mend(event: &mut [u8]) {
    if event.len() < HEADER_LEN + 4 {
        return;
    }
    let len = event.len() as u32;
    event[9..13].copy_from_slice(&len.to_le_bytes());
    let end = event.len() - 4;
    let sum = crc32fast::hash(&event[..end]).to_le_bytes();
    event[end..].copy_from_slice(&sum);
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(
        events in proptest::collection::vec((0u8..180, proptest::collection::vec(any::<u8>(), 0..80)), 0..12)
    ) {
        let log = events.iter().fold(Log::new().gtid(7).query("BEGIN").table(), |log, (kind, body)| log.push(*kind, body));
        for from in [named(), Position::MariaDb("0-1-1".parse().unwrap())] {
            decode(&log, from);
        }
    }

    #[test]
    fn a_spoilt_event_makes_no_panic(index in 0usize..20, at in 0usize..200, byte: u8, cut in 0usize..40) {
        let mut log = motley();
        let index = index % log.events.len();
        let event = &mut log.events[index];
        let at = at % event.len();
        event[at] = byte;
        if byte.is_multiple_of(3) {
            event.truncate(event.len() - cut.min(event.len()));
        }
        mend(event);
        let (batch, _, _) = decode(&log, named());
        for value in &batch.values {
            let _ = batch.value(*value);
        }
    }
}
