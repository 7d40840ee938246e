//! Messages built by hand, cut short, put out of place, and made of noise.

use super::*;
use crate::model::Value;
use proptest::prelude::*;

/// A message of the log inside of its CopyData frame.
const SENT_AT_US: i64 = 5;

fn wal(message: &[&[u8]]) -> Vec<u8> {
    let sent_at = SENT_AT_US.to_be_bytes();
    [b"w", &[0; 7][..], &[9], &[0; 8][..], &sent_at, &message.concat()].concat()
}

fn begin() -> Vec<u8> {
    begin_numbered(0)
}

fn begin_numbered(xid: u32) -> Vec<u8> {
    wal(&[b"B", &7u64.to_be_bytes(), &1i64.to_be_bytes(), &xid.to_be_bytes()])
}

fn commit() -> Vec<u8> {
    wal(&[b"C\0", &7u64.to_be_bytes(), &8u64.to_be_bytes(), &[0; 8]])
}

/// Table 16384: a key column and another.
fn relation() -> Vec<u8> {
    relation_of(16384, b"d", [1, 0])
}

/// A table of two columns, with its identity and whether the columns belong to it.
fn relation_of(oid: u32, identity: &[u8], keys: [u8; 2]) -> Vec<u8> {
    let column = |flags: &[u8], name: &[u8]| {
        [flags, name, b"\0", &23u32.to_be_bytes(), &(-1i32).to_be_bytes()].concat()
    };
    let columns = [column(&keys[..1], b"id"), column(&keys[1..], b"note")].concat();
    let count = 2u16.to_be_bytes();
    wal(&[b"R", &oid.to_be_bytes(), b"public\0t\0", identity, &count, &columns])
}

fn row(values: &[&[u8]]) -> Vec<u8> {
    let count = u16::try_from(values.len()).unwrap().to_be_bytes();
    [&count[..], &values.concat()].concat()
}

fn change(kind: &[u8], rows: &[(&[u8], Vec<u8>)]) -> Vec<u8> {
    let rows: Vec<u8> = rows.iter().flat_map(|(tag, row)| [tag, &row[..]].concat()).collect();
    wal(&[kind, &16384u32.to_be_bytes(), &rows])
}

const SEVEN: &[u8] = b"t\0\0\0\x017";

/// One message of every kind, in an order that makes sense.
fn frames() -> Vec<Vec<u8>> {
    let whole = || row(&[SEVEN, b"t\0\0\0\0"]);
    vec![
        [&b"k"[..], &[0; 16], &[1]].concat(),
        wal(&[b"Y", &99u32.to_be_bytes(), b"public\0Mood\0"]),
        begin(),
        wal(&[b"O", &[0; 8], b"origin\0"]),
        relation(),
        change(b"I", &[(b"N", whole())]),
        change(b"U", &[(b"N", row(&[SEVEN, b"u"]))]),
        change(b"U", &[(b"K", row(&[SEVEN, b"n"])), (b"N", row(&[SEVEN, b"n"]))]),
        change(b"D", &[(b"K", row(&[SEVEN, b"n"]))]),
        wal(&[b"T", &1u32.to_be_bytes(), &[3], &16384u32.to_be_bytes()]),
        commit(),
    ]
}

fn decoder() -> Decoder {
    Decoder::new(Registry {
        tables: HashMap::from([(16384, TableId(4))]),
        roots: HashMap::new(),
        rowless: HashSet::from([5]),
        late: HashMap::new(),
        types: HashMap::from([(23, "pg_catalog.int4".to_owned())]),
    })
}

fn decode(decoder: &mut Decoder, frames: &[Vec<u8>]) -> (Decoded, Result<(), DecodeError>) {
    let mut ends = 0;
    let ranges = frames.iter().map(|frame| {
        ends += frame.len();
        ends - frame.len()..ends
    });
    let (ranges, data) = (ranges.collect::<Vec<_>>(), Bytes::from(frames.concat()));
    let mut decoded = Decoded::default();
    let result = decoder.decode(&data, ranges.into_iter(), &mut decoded);
    (decoded, result)
}

#[test]
fn every_kind_of_message_says_what_it_means() {
    let (decoded, result) = decode(&mut decoder(), &frames());
    result.unwrap();
    assert!(decoded.reply_requested);
    assert_eq!(decoded.received, Some(Lsn(9)));
    assert_eq!(decoded.behind_us, Some(SENT_AT_US - 1));
    let batch = &decoded.batch;
    let values =
        |row| -> Vec<_> { batch.row(row).iter().map(|value| batch.value(*value)).collect() };
    let (seven, absent) = (Value::Text(b"7"), Value::Absent);
    let [idle, begin, relation, insert, update, moved, delete, truncate, commit] =
        batch.events.as_slice()
    else {
        panic!("{:?}", batch.events)
    };
    assert!(matches!(idle, Event::Idle { position: Position::Postgres(Lsn(0)) }));
    assert!(matches!(begin, Event::Begin { mark: Mark::Postgres(Lsn(7)), committed_at_us }
        if *committed_at_us == POSTGRES_EPOCH_US + 1));
    assert!(matches!(relation, Event::Relation(relation)
        if relation.table == TableId(4) && relation.columns[0].key && !relation.full));
    let Event::Change(Change::Insert { new, .. }) = *insert else { panic!("{insert:?}") };
    assert_eq!(values(new), [seven, Value::Text(b"")]);
    let Event::Change(Change::Update { old: None, new, .. }) = *update else {
        panic!("{update:?}")
    };
    assert_eq!(values(new), [seven, absent]);
    let Event::Change(Change::Update { old: Some(old), new, .. }) = *moved else {
        panic!("{moved:?}")
    };
    assert_eq!([values(old), values(new)], [[seven, absent], [seven, Value::Null]]);
    let Event::Change(Change::Delete { old, .. }) = *delete else { panic!("{delete:?}") };
    assert_eq!(values(old), [seven, absent]);
    assert!(matches!(truncate, Event::Truncate(truncate)
        if truncate.cascade && truncate.restart_identity));
    assert!(matches!(commit, Event::Commit { end: Position::Postgres(Lsn(8)) }));
}

#[test]
fn a_message_cut_short_is_never_taken_for_a_whole_one() {
    let frames = frames();
    for (at, frame) in frames.iter().enumerate() {
        // What follows an origin's name or a commit's end is not read.
        let unread = match frame[25.min(frame.len() - 1)] {
            b'O' => 15,
            b'C' => 8,
            _ => 0,
        };
        for len in 0..frame.len() - unread {
            let mut decoder = decoder();
            decode(&mut decoder, &frames[..at]).1.unwrap();
            let (decoded, result) = decode(&mut decoder, &[frame[..len].to_vec()]);
            assert!(result.is_err(), "{len} bytes of message {at} were taken");
            assert!(decoded.batch.events.is_empty());
        }
    }
}

#[test]
fn what_is_out_of_place_is_refused() {
    let insert = || change(b"I", &[(b"N", row(&[SEVEN, SEVEN]))]);
    let unknown = |id: u32| wal(&[b"I", &id.to_be_bytes(), b"N"]);
    let cases = [
        vec![commit()],
        vec![begin(), begin()],
        vec![begin(), insert()],
        vec![begin(), relation(), commit(), insert()],
        vec![begin(), relation(), change(b"I", &[(b"N", row(&[SEVEN]))])],
        vec![begin(), relation(), change(b"I", &[(b"N", row(&[SEVEN, b"b\0\0\0\0"]))])],
        vec![begin(), unknown(5)],
        vec![wal(&[b"S"])],
        vec![b"x".to_vec()],
    ];
    for frames in cases {
        let (_, result) = decode(&mut decoder(), &frames);
        assert!(result.is_err(), "{frames:?}");
    }
}

/// Table 16384 as a partitioned one with the known partitions 5 and 6, the latter made since by the
/// transaction 40.
fn root_decoder(primary_key: &str) -> Decoder {
    let primary_key = primary_key.split_whitespace().map(str::to_owned).collect();
    let copied_at = Some(Position::Postgres(Lsn(7)));
    Decoder::new(Registry {
        roots: HashMap::from([(16384, Root { copied_at, primary_key })]),
        rowless: HashSet::from([5, 6]),
        late: HashMap::from([(6, 40)]),
        ..decoder().registry
    })
}

fn delete_whole() -> Vec<u8> {
    change(b"D", &[(b"O", row(&[SEVEN, b"n"]))])
}

#[test]
fn an_old_row_of_a_partition_is_what_its_own_identity_says() {
    let (keys, whole) = ([1, 0], [1, 1]);
    for (root, partition) in [("f", "d"), ("f", "f"), ("d", "f"), ("d", "d")] {
        let described = |oid, identity: &str| {
            relation_of(oid, identity.as_bytes(), if identity == "f" { whole } else { keys })
        };
        let frames =
            [begin(), described(16384, root), described(5, partition), delete_whole(), commit()];
        let (decoded, result) = decode(&mut root_decoder("id"), &frames);
        result.unwrap();
        let Event::Change(Change::Delete { old, .. }) = decoded.batch.events[2] else {
            panic!("{:?}", decoded.batch.events)
        };
        assert_eq!(decoded.batch.row(old)[1], ValueRef::Absent);
    }
}

#[test]
fn a_partition_that_names_its_rows_otherwise_is_refused_with_its_first_change() {
    let cases = [
        ("", ("f", [1, 1]), ("d", [1, 0]), false),
        ("", ("f", [1, 1]), ("i", [1, 1]), false),
        ("", ("f", [1, 1]), ("d", [0, 0]), true),
        ("id", ("f", [1, 1]), ("i", [0, 1]), false),
        ("id", ("d", [1, 0]), ("i", [0, 1]), false),
        ("id", ("d", [1, 0]), ("i", [1, 1]), true),
        ("id note", ("f", [1, 1]), ("d", [1, 1]), true),
    ];
    for (primary_key, root, partition, accepted) in cases {
        let mut decoder = root_decoder(primary_key);
        let insert = change(b"I", &[(b"N", row(&[SEVEN, b"n"]))]);
        let described = [
            begin(),
            relation_of(16384, root.0.as_bytes(), root.1),
            relation_of(5, partition.0.as_bytes(), partition.1),
            insert,
        ];
        decode(&mut decoder, &described).1.unwrap();
        let (_, result) = decode(&mut decoder, &[delete_whole()]);
        assert_eq!(result.is_ok(), accepted, "{primary_key} {root:?} {partition:?}");
    }
}

#[test]
fn rows_of_a_partition_where_it_was_made_tell_nothing() {
    for (partition, xid, settled) in
        [(5, 40, true), (6, 40, false), (6, 39, false), (6, 41, true), (9, 41, false)]
    {
        let frames = [
            begin_numbered(xid),
            relation_of(16384, b"d", [1, 0]),
            relation_of(partition, b"d", [1, 0]),
        ];
        let (decoded, result) = decode(&mut root_decoder("id"), &frames);
        result.unwrap();
        let last = decoded.batch.events.last().unwrap();
        let told = matches!(last, Event::Unsettled { table: TableId(4) });
        assert_eq!(told, !settled, "partition {partition} in transaction {xid}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn no_bytes_make_it_panic(
        kind in prop::sample::select(b"BCIUDTRYOk".to_vec()),
        tail in prop::collection::vec(any::<u8>(), 0..60),
        flips in prop::collection::vec((0usize..11, any::<usize>(), any::<u8>()), 0..4),
    ) {
        let mut frames = frames();
        for (frame, at, byte) in flips {
            let len = frames[frame].len();
            frames[frame][at % len] = byte;
        }
        let mut decoder = decoder();
        let (decoded, _) = decode(&mut decoder, &frames);
        for value in &decoded.batch.values {
            let _ = decoded.batch.value(*value);
        }
        let _ = decode(&mut decoder, &[wal(&[&[kind], &tail]), tail.clone()]);
    }
}
