//! The snapshot is lost in mid-copy, and what is left is copied under a later one.
//!
//! Rows change between the two: some in chunks that the first one had, some in chunks that only the
//! second one has, some from the one to the other.

use std::collections::BTreeSet;

use crate::support::compare::assert_equal;
use crate::support::scene::{LedgerRow, end_holder, finish, ledger};
use crate::support::{Dunlin, TestPair, catch_up_with, number, wait_until};

const WORDS: &[&str] = &["--chunk-size", "1MiB", "--workers", "1"];

/// The largest table has keys whose order is the server's own affair; the next can be judged key
/// by key, and each five hundredth of its rows has a value that the log leaves out.
const TABLES: &str = "
    CREATE TABLE named (name text PRIMARY KEY, pad text);
    CREATE TABLE ordered (id integer PRIMARY KEY, place integer UNIQUE, note text, body text);
    ALTER TABLE ordered ALTER COLUMN body SET STORAGE EXTERNAL;
    CREATE TABLE twins (word text);
    ALTER TABLE twins REPLICA IDENTITY FULL;
    CREATE TABLE emptied (id integer PRIMARY KEY);
    CREATE TABLE appended (id integer);
    INSERT INTO named SELECT 'n' || lpad(n::text, 6, '0'), repeat('x', 400)
    FROM generate_series(1, 12000) AS n;
    INSERT INTO ordered SELECT n, n, repeat('y', 300),
        CASE WHEN n % 500 = 0 THEN repeat('z', 3000) END
    FROM generate_series(1, 10000) AS n;
    INSERT INTO twins SELECT 'word ' || n % 7 FROM generate_series(1, 70) AS n;
    INSERT INTO emptied SELECT generate_series(1, 100);
    INSERT INTO appended SELECT generate_series(1, 100);
    ANALYZE";

/// Below 2600 are the first chunks of `ordered`, from 7500 on its last ones.
const CHANGES: &str = "
    UPDATE ordered SET note = 'changed' WHERE id IN (10, 9010);
    DELETE FROM ordered WHERE id IN (20, 9020);
    INSERT INTO ordered VALUES (-20, -20, 'new', NULL), (20020, 20020, 'new', NULL);
    UPDATE ordered SET id = 20030 WHERE id = 30;
    UPDATE ordered SET id = -9030 WHERE id = 9030;
    UPDATE ordered SET id = 20500 WHERE id = 500;
    UPDATE ordered SET place = -1 WHERE id = 40;
    UPDATE ordered SET place = 40 WHERE id = 9040;
    UPDATE ordered SET place = 9040 WHERE id = 40;
    UPDATE named SET pad = 'changed' WHERE name IN ('n000010', 'n011990');
    UPDATE named SET name = 'z' || name WHERE name IN ('n000020', 'n011980');
    DELETE FROM named WHERE name IN ('n000030', 'n011970');
    DELETE FROM twins WHERE ctid = (SELECT min(ctid) FROM twins WHERE word = 'word 3');
    INSERT INTO twins VALUES ('word 3'), ('word 8');
    TRUNCATE emptied;
    INSERT INTO emptied VALUES (7);
    INSERT INTO appended VALUES (7)";

async fn pair() -> TestPair {
    let pair = TestPair::start().await;
    pair.source_sql(TABLES).await;
    pair
}

async fn kill_at(pair: &TestPair, failpoint: &str) {
    let name = failpoint.split(':').next().unwrap();
    let mut run = Dunlin::start_with_failpoint(pair, "run", WORDS, failpoint);
    run.reaches(name).await;
    run.kill().await;
}

/// Exactly the commands that hints name.
async fn begin_anew(pair: &TestPair) {
    Dunlin::run(pair, "complete", &[]).await.expect_code(0);
    catch_up_with(pair, &["--truncate-target", "*"]).await;
    assert_equal(pair).await;
}

fn of<'a>(ledger: &'a [LedgerRow], table: &str) -> Vec<&'a LedgerRow> {
    ledger.iter().filter(|chunk| chunk.table == table).collect()
}

fn snapshots(ledger: &[LedgerRow], table: &str) -> usize {
    let points: BTreeSet<_> = of(ledger, table).iter().map(|chunk| chunk.low.clone()).collect();
    points.len()
}

#[tokio::test]
async fn what_can_be_judged_stays_and_what_cannot_is_copied_again() {
    let pair = pair().await;
    let target = pair.on_target().await;
    kill_at(&pair, "chunk-committed:2").await;
    let planned = of(&ledger(&target).await, "named").len();
    assert!(planned > 3, "{planned} chunks of the largest table");
    end_holder(&pair).await;
    pair.source_sql(CHANGES).await;

    kill_at(&pair, "tables-reset").await;
    let reset = ledger(&target).await;
    assert!(of(&reset, "named").iter().all(|chunk| chunk.finished_at.is_none()), "{reset:?}");
    let left: i64 = target.query_one("SELECT count(*) FROM named", &[]).await.unwrap().get(0);
    assert_eq!(left, 0, "a table that is to be copied again is empty");

    kill_at(&pair, &format!("chunk-committed:{}", planned + 2)).await;
    let halfway = ledger(&target).await;
    let done: Vec<_> = halfway.iter().filter(|chunk| chunk.finished_at.is_some()).collect();
    assert_eq!(done.len(), planned + 2);
    end_holder(&pair).await;
    let again = CHANGES
        .replace("20, ", "21, ")
        .replace("(20,", "(21,")
        .replace("9020)", "9021)")
        .replace("30;", "31;")
        .replace("20030", "20031")
        .replace("9030 ", "9031 ")
        .replace("500", "1000")
        .replace("-20,", "-21,")
        .replace("20020", "20021")
        .replace("40", "41")
        .replace("n0000", "n0001")
        .replace("n0119", "n0118");
    pair.source_sql(&again).await;

    kill_at(&pair, "built").await;
    let finished = ledger(&target).await;
    for chunk in done {
        assert!(finished.contains(chunk), "{chunk:?} was copied again");
    }
    assert_eq!((snapshots(&finished, "named"), snapshots(&finished, "ordered")), (1, 2));
    let index = "SELECT to_regclass('ordered_pkey') IS NOT NULL, \
         to_regclass('ordered_place_key') IS NULL";
    let row = target.query_one(index, &[]).await.unwrap();
    assert!(row.get::<_, bool>(0), "the key is there");
    assert!(row.get::<_, bool>(1), "a unique index waits until the rows are of one moment");
    finish(&pair, WORDS).await;
    let row = target.query_one("SELECT to_regclass('ordered_place_key')::text", &[]).await.unwrap();
    assert!(row.get::<_, Option<String>>(0).is_some());
}

/// Each is a change whose row, or what was there of its table, cannot be had from the log.
const UNJUDGEABLE: &[&str] = &[
    "UPDATE ordered SET id = -9500 WHERE id = 9500",
    "TRUNCATE ordered; INSERT INTO ordered SELECT n, n, 'anew', NULL FROM generate_series(1, 9) n",
];

#[tokio::test]
async fn a_table_that_a_change_cannot_be_judged_for_is_copied_again() {
    for change in UNJUDGEABLE {
        let pair = pair().await;
        pair.source_sql("DROP TABLE named").await;
        kill_at(&pair, "chunk-committed:2").await;
        end_holder(&pair).await;
        pair.source_sql("UPDATE ordered SET note = 'before' WHERE id IN (1, 9999)").await;
        pair.source_sql(change).await;
        kill_at(&pair, "tables-reset").await;
        pair.source_sql("UPDATE ordered SET note = 'after' WHERE id IN (2, 9998)").await;
        kill_at(&pair, "chunk-committed:1").await;
        finish(&pair, WORDS).await;
    }
}

#[tokio::test]
async fn a_table_is_emptied_while_it_is_copied_and_nobody_waits() {
    let pair = pair().await;
    kill_at(&pair, "chunk-committed:2").await;
    pair.source_sql(
        "SET statement_timeout = '5s'; TRUNCATE named, twins; \
         INSERT INTO named VALUES ('first', 'of the new ones'); \
         ALTER TABLE emptied ALTER COLUMN id TYPE integer USING id",
    )
    .await;
    pair.source_sql("VACUUM FULL ordered").await;
    finish(&pair, WORDS).await;
}

#[tokio::test]
async fn tables_that_exchange_their_names_while_they_are_copied_are_not_mixed() {
    let pair = TestPair::start().await;
    pair.source_sql(
        "CREATE TABLE item (id int PRIMARY KEY); CREATE TABLE other (id int PRIMARY KEY);
         INSERT INTO item SELECT generate_series(1, 10);
         INSERT INTO other SELECT generate_series(101, 110)",
    )
    .await;
    kill_at(&pair, "chunks-planned").await;
    pair.source_sql(
        "ALTER TABLE item RENAME TO passing; ALTER TABLE other RENAME TO item;
         ALTER TABLE passing RENAME TO other",
    )
    .await;
    let halted = Dunlin::run(&pair, "run", WORDS).await.expect_halt("SCHEMA_CHANGED");
    halted.expect_said("which is another table's");
    let target = pair.on_target().await;
    let rows = "SELECT (SELECT count(*) FROM item) + (SELECT count(*) FROM other)";
    assert_eq!(number::<i64>(&target, rows).await, 0, "no row reached the wrong table");
    begin_anew(&pair).await;
}

#[tokio::test]
async fn a_table_that_leaves_the_selection_while_it_is_copied_halts() {
    let pair = pair().await;
    let words = [WORDS, &["--include", "public.named"]].concat();
    let mut run = Dunlin::start_with_failpoint(&pair, "run", &words, "chunk-committed:2");
    run.reaches("chunk-committed").await;
    run.kill().await;
    pair.source_sql("ALTER TABLE named RENAME TO called").await;
    let halted = Dunlin::run(&pair, "run", &words).await.expect_halt("SCHEMA_CHANGED");
    halted.expect_said("is called public.called on the source by now");
    pair.source_sql("ALTER TABLE called RENAME TO named").await;
    Dunlin::run(&pair, "run", &[&words[..], &["--until", "caught-up"]].concat())
        .await
        .expect_code(0);
    let (source, target) = (pair.on_source().await, pair.on_target().await);
    let rows = "SELECT count(*) FROM named";
    assert_eq!(number::<i64>(&source, rows).await, number::<i64>(&target, rows).await);
}

#[tokio::test]
async fn a_table_that_is_dropped_while_it_is_copied_stays_empty_on_the_target() {
    let pair = pair().await;
    kill_at(&pair, "chunk-committed:2").await;
    pair.source_sql("UPDATE named SET pad = 'changed' WHERE name > 'n0119'; DROP TABLE named")
        .await;
    let words = [WORDS, &["--until", "caught-up"]].concat();
    let finished = Dunlin::run(&pair, "run", &words).await.expect_code(0);
    finished.expect_said("was dropped on the source before it was copied");
    let target = pair.on_target().await;
    assert_eq!(number::<i64>(&target, "SELECT count(*) FROM named").await, 0);
    pair.target_sql("DROP TABLE named").await;
    finish(&pair, WORDS).await;
}

#[tokio::test]
async fn a_forgotten_snapshot_is_given_up() {
    let pair = pair().await;
    let words: Vec<&str> = WORDS.iter().copied().chain(["--snapshot-hold", "1s"]).collect();
    let mut run = Dunlin::start_with_failpoint(&pair, "run", &words, "chunk-committed:3");
    run.reaches("chunk-committed").await;
    let source = pair.on_source().await;
    let held = async || {
        let sessions = "SELECT count(*) FROM pg_stat_activity \
             WHERE application_name LIKE 'dunlin snapshot %'";
        source.query_one(sessions, &[]).await.unwrap().get::<_, i64>(0) > 0
    };
    assert!(held().await, "held while a run is there");
    run.kill().await;
    wait_until("the forgotten snapshot is given up", async || !held().await).await;
    pair.source_sql(CHANGES).await;
    finish(&pair, &words).await;
}

/// Tables by keys of every type whose order is known: the names of the key's columns, their types,
/// and their values, which ascend with `n`.
const KEYED: &[(&str, &str, &str)] = &[
    ("a", "a numeric", "(n - 5000) * 1.010"),
    ("a", "a bytea", "decode(lpad(to_hex(n * 400000::int8), 8, '0'), 'hex')"),
    (
        "a",
        "a text COLLATE \"C\"",
        "(ARRAY['Z', 'a', 'é', '中'])[n / 3000 + 1] || lpad(n::text, 5, '0')",
    ),
    (
        "a, b",
        "a boolean, b timestamptz",
        "n > 5000, timestamptz '9999-12-31 00:00+00' + (n - 5000) * interval '61.000001 s'",
    ),
    (
        "a, b",
        "a date, b time",
        "date '0009-06-01 BC' + n / 1000, time '00:00' + n % 1000 * interval '1 s'",
    ),
    (
        "a, b",
        "a oid, b char(9) COLLATE \"C\"",
        "(2147483640::int8 + n / 1000)::oid, lpad(n::text, 6, '0')",
    ),
];

/// Even numbers are there from the start.
fn keyed_tables() -> String {
    let table = |(at, (key, columns, values)): (usize, &(&str, &str, &str))| {
        format!(
            "CREATE TABLE keyed{at} (n int, {columns}, note text, pad text, PRIMARY KEY ({key})); \
             INSERT INTO keyed{at} SELECT n, {values}, '', repeat('x', 750) \
             FROM generate_series(2, 10000, 2) AS n; "
        )
    };
    KEYED.iter().enumerate().map(table).collect::<String>() + "ANALYZE"
}

/// Changes at both ends of every table, and rows that go from the one to the other.
fn keyed_changes(round: usize) -> String {
    let (low, high) = (20 * round, 10_000 - 20 * round);
    let changes = |(at, (key, _, values)): (usize, &(&str, &str, &str))| {
        let moved = |from: usize, to: usize| {
            format!(
                "UPDATE keyed{at} SET (n, {key}) = (SELECT n, {values} FROM (SELECT {to} AS n) s) \
                 WHERE n = {from}; "
            )
        };
        let moves = moved(low, high + 1) + &moved(high, low + 1) + &moved(low + 2, low + 3);
        let (low, high) = (low + 4, high + 4);
        format!(
            "{moves} DELETE FROM keyed{at} WHERE n IN ({low}, {high}); \
             UPDATE keyed{at} SET note = 'changed' WHERE n IN ({low} + 2, {high} + 2); \
             INSERT INTO keyed{at} SELECT n, {values}, 'new' \
             FROM (VALUES ({low} + 5), ({high} + 5)) AS v (n); "
        )
    };
    KEYED.iter().enumerate().map(changes).collect()
}

/// The snapshot is lost in the middle of each table in turn.
#[tokio::test]
async fn finished_chunks_stay_whatever_the_type_of_their_keys() {
    let pair = TestPair::start().await;
    pair.source_sql(&keyed_tables()).await;
    let target = pair.on_target().await;
    let mut finished: Vec<LedgerRow> = Vec::new();
    let mut commits = 2;
    for round in 1..=KEYED.len() {
        kill_at(&pair, &format!("chunk-committed:{commits}")).await;
        end_holder(&pair).await;
        pair.source_sql(&keyed_changes(round)).await;
        let ledger = ledger(&target).await;
        let done = |chunk: &&LedgerRow| chunk.finished_at.is_some();
        for chunk in &finished {
            assert!(ledger.contains(chunk), "{chunk:?} was copied again");
        }
        finished = ledger.iter().filter(done).cloned().collect();
        let halfway = |chunk: &&LedgerRow| finished.iter().any(|done| done.table == chunk.table);
        let open = ledger.iter().filter(|chunk| chunk.finished_at.is_none());
        // The rest of this table, and two chunks of the next.
        commits = open.filter(halfway).count() + 2;
        assert!(commits > 3, "a table is half done: {ledger:?}");
    }
    finish(&pair, WORDS).await;
    let ledger = ledger(&target).await;
    for chunk in &finished {
        assert!(ledger.contains(chunk), "{chunk:?} was copied again");
    }
    for at in 0..KEYED.len() {
        assert_eq!(snapshots(&ledger, &format!("keyed{at}")), 2, "{ledger:?}");
    }
}
