//! XA transactions, made by hand.

use super::*;

/// The name `a`, as XA PREPARE has it.
fn prepare(log: Log, one_phase: u8) -> Log {
    log.push(kind::XA_PREPARE, &[one_phase, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, b'a'])
}

fn xa(log: Log, one_phase: u8) -> Log {
    let log = log.query("XA START X'61',X'',1").table().insert(1).query("XA END X'61',X'',1");
    prepare(log, one_phase)
}

const COMMIT: &str = "XA COMMIT X'61',X'',1";
const ROLLBACK: &str = "XA ROLLBACK X'61',X'',1";

/// A log as it is sent where it is followed by places, and the place of its first transaction.
fn in_a_file(mut log: Log) -> (Position, Log) {
    let start = 4 + log.events[0].len() as u64;
    log.events[0][13..17].fill(0);
    mend(&mut log.events[0]);
    log.events.insert(0, rotate(start, "binlog.000003"));
    (Position::Binlog(BinlogPosition::new(UUID, "binlog.000003", start)), log)
}

#[test]
fn prepared_rows_come_where_they_are_committed() {
    let log = xa(Log::new().gtid(7), 0).transaction(8).gtid(9).query(COMMIT);
    let (batch, end, error) = decode(&log, named());
    assert_eq!(error, None);
    let between = [
        format!("begin {UUID}:8"),
        "relation shop.items".to_owned(),
        "insert 8,hi".to_owned(),
        format!("commit {UUID}:1-6:8"),
    ];
    let last = [format!("begin {UUID}:9"), "insert 1,hi".to_owned(), format!("commit {UUID}:1-9")];
    assert_eq!(told(&batch), [&between[..], &last[..]].concat());
    assert_eq!(end.to_string(), format!("{UUID}:1-9"));
    // What a server sends that is asked for the log from in between.
    let again = xa(Log::new().gtid(7), 0).gtid(9).query(COMMIT);
    let gap = || Position::MySql(format!("{UUID}:1-6:8").parse().unwrap());
    let (batch, _, error) = decode(&again, gap());
    assert_eq!((told(&batch).len(), error), (4, None));
    let rolled_back = xa(Log::new().gtid(7), 0).gtid(9).query(ROLLBACK);
    assert_eq!(told(&decode(&rolled_back, gap()).0), [format!("idle {UUID}:1-9")]);
}

#[test]
fn without_gaps_what_follows_ends_with_the_decision() {
    for (decision, rows) in [(COMMIT, 2), (ROLLBACK, 1)] {
        let log = xa(Log::new().anonymous(), 0).anonymous().query("BEGIN").table().insert(2).xid();
        let undecided = Log { events: log.events.clone(), offset: log.offset };
        let log = log.anonymous().query(decision);
        let (from, events) = in_a_file(undecided);
        let (batch, _, error) = decode(&events, from);
        assert_eq!(error, None);
        assert!(!told(&batch).iter().any(|event| event.starts_with("commit")));
        let end = format!("{UUID}/binlog.000003:{}", log.offset);
        let (from, events) = in_a_file(log);
        let (batch, position, error) = decode(&events, from);
        assert_eq!((position.to_string(), error), (end.clone(), None));
        let told = told(&batch);
        let count = |what: &str| told.iter().filter(|event| event.starts_with(what)).count();
        assert_eq!((count("begin"), count("insert"), count("commit")), (rows, rows, 1));
        assert_eq!(told.last(), Some(&format!("commit {end}")));
    }
}

#[test]
fn one_phase_is_an_ordinary_transaction() {
    for log in [xa(Log::new().gtid(7), 1), xa(Log::new().gtid(7), 1).gtid(8).query("BEGIN").xid()] {
        let (batch, _, error) = decode(&log, named());
        assert_eq!(error, None);
        let begun = [&format!("begin {UUID}:7"), "relation shop.items", "insert 1,hi"];
        assert_eq!(told(&batch)[..3], begun);
        assert_eq!(told(&batch)[3], format!("commit {UUID}:1-7"));
    }
}

#[test]
fn what_is_too_much_to_be_kept_is_prepared_in_one_phase_only() {
    let mut log = Log::new().gtid(7).query("XA START X'61',X'',1").table();
    for _ in 0..300 {
        let mut body = vec![9, 0, 0, 0, 0, 0, 1, 0];
        body.extend_from_slice(&60_002u16.to_le_bytes());
        body.resize(body.len() + 60_000, 0);
        body.extend_from_slice(&[2, 3, 0, 1, 0, 0, 0, 2, b'h', b'i']);
        log = log.push(kind::WRITE_ROWS, &body);
    }
    let events = log.events.clone();
    let (batch, _, error) = decode(&prepare(log, 1), named());
    assert_eq!((told(&batch).len(), error), (303, None));
    let log = Log { events, offset: 4 };
    let table = Box::new(items().name);
    assert_eq!(decode(&prepare(log, 0), named()).2, Some(Problem::Prepared(table)));
}

#[test]
fn a_decision_about_what_nobody_saw_is_refused() {
    let log = Log::new().gtid(7).query(COMMIT);
    assert_eq!(decode(&log, named()).2, Some(Problem::Unprepared));
    let log = Log::new().gtid(7).query(ROLLBACK);
    assert_eq!(told(&decode(&log, named()).0), [format!("idle {UUID}:1-7")]);
    let log = Log::new().gtid(7).query("XA COMMIT 'a'");
    let nameless = Problem::Malformed("the name of an XA transaction that is none");
    assert_eq!(decode(&log, named()).2, Some(nameless));
}

#[test]
fn a_definition_beside_a_prepared_transaction_needs_a_gap() {
    let truncated = |log: Log| log.query("TRUNCATE TABLE items");
    let (batch, _, error) = decode(&truncated(xa(Log::new().gtid(7), 0).gtid(8)), named());
    assert_eq!(error, None);
    assert!(told(&batch)[0].ends_with(&format!("{UUID}:1-6:8")));
    let (from, log) = in_a_file(truncated(xa(Log::new().anonymous(), 0).anonymous()));
    assert_eq!(decode(&log, from).2, Some(Problem::Undecided));
}
