//! Partitioned tables that are moved as one: the target may be partitioned in any way, and rows
//! that come and go with a whole partition are never missed.

use crate::support::binary::Finished;
use crate::support::{Dunlin, TestPair, catch_up_with, text, wait_until};

const AS_ONE: &[&str] = &["--partitions", "root"];

/// Partitions with other column orders, a dropped column, a second level and a default.
const EVENTS: &str = "
    CREATE TABLE event (id int, at date, note text, large text, PRIMARY KEY (id, at))
        PARTITION BY RANGE (at);
    ALTER TABLE event ALTER large SET STORAGE EXTERNAL;
    CREATE TABLE event_1 (large text, note text, gone int, at date NOT NULL, id int NOT NULL);
    ALTER TABLE event_1 DROP COLUMN gone, ALTER large SET STORAGE EXTERNAL;
    ALTER TABLE event ATTACH PARTITION event_1 FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
    CREATE TABLE event_2 PARTITION OF event FOR VALUES FROM ('2026-02-01') TO ('2026-03-01')
        PARTITION BY RANGE (id);
    CREATE TABLE event_2_low PARTITION OF event_2 FOR VALUES FROM (0) TO (100);
    CREATE TABLE event_2_rest PARTITION OF event_2 DEFAULT;
    CREATE TABLE event_rest PARTITION OF event DEFAULT;
    INSERT INTO event SELECT n, date '2026-01-01' + n % 70, 'note ' || n, repeat('x', 3000)
        FROM generate_series(1, 300) AS n;";

const PLAIN: &str =
    "CREATE TABLE event (note text, large text, id int, at date, PRIMARY KEY (id, at))";
const OTHERWISE: &str = "
    CREATE TABLE event (id int, at date, note text, large text, PRIMARY KEY (id, at))
        PARTITION BY HASH (id);
    CREATE TABLE event_even PARTITION OF event FOR VALUES WITH (MODULUS 2, REMAINDER 0);
    CREATE TABLE event_odd PARTITION OF event FOR VALUES WITH (MODULUS 2, REMAINDER 1);";

/// A copy that has caught up; the target's schema is made by dunlin where none is given.
async fn with_events(target: Option<&str>) -> TestPair {
    let pair = TestPair::start().await;
    pair.source_sql(EVENTS).await;
    if let Some(target) = target {
        pair.target_sql(target).await;
    }
    catch_up(&pair).await;
    assert_equal(&pair).await;
    pair
}

async fn catch_up(pair: &TestPair) -> Finished {
    catch_up_with(pair, AS_ONE).await
}

async fn rows(pair: &TestPair) -> [Option<String>; 2] {
    let query = "SELECT count(*) || ' ' || md5(string_agg(e::text, '|' ORDER BY e::text COLLATE \"C\")) \
                 FROM (SELECT id, at, note, large FROM event) AS e";
    [text(&pair.on_source().await, query).await, text(&pair.on_target().await, query).await]
}

async fn assert_equal(pair: &TestPair) {
    let [source, target] = rows(pair).await;
    assert_eq!(source, target);
}

async fn carry(pair: &TestPair, changes: &str) -> Finished {
    pair.source_sql(changes).await;
    let finished = catch_up(pair).await;
    assert_equal(pair).await;
    finished
}

const AGAIN: &str = "will be copied again";

async fn carries_every_change(pair: &TestPair) {
    let finished = carry(
        pair,
        "INSERT INTO event VALUES (1001, '2026-01-05', 'a', NULL), (1002, '2027-02-05', 'c', '');
         UPDATE event SET note = 'within' WHERE id = 5;
         UPDATE event SET at = at + 30 WHERE at < '2026-01-10';
         UPDATE event SET id = id + 2000 WHERE id % 10 = 0;
         UPDATE event SET at = '2030-01-01' WHERE id = 7; DELETE FROM event WHERE id % 9 = 0",
    )
    .await;
    assert!(!finished.stderr.contains(AGAIN), "{}", finished.stderr);
    carry(
        pair,
        "BEGIN; UPDATE event SET note = 'large stays' WHERE id = 11;
         UPDATE event SET id = 5011 WHERE id = 11; UPDATE event SET note = 'x' WHERE id = 5011;
         COMMIT; DELETE FROM event_1 WHERE id = 12",
    )
    .await;
    carry(pair, "TRUNCATE event; INSERT INTO event VALUES (1, '2026-01-01')").await;
}

#[tokio::test]
async fn loss_14_as_one_into_a_table_without_partitions() {
    carries_every_change(&with_events(Some(PLAIN)).await).await;
}

#[tokio::test]
async fn loss_14_as_one_into_a_table_that_is_partitioned_otherwise() {
    carries_every_change(&with_events(Some(OTHERWISE)).await).await;
}

#[tokio::test]
async fn loss_14_as_one_into_a_table_that_dunlin_makes() {
    carries_every_change(&with_events(None).await).await;
}

#[tokio::test]
async fn loss_14_as_one_under_full_identity() {
    let pair = TestPair::start().await;
    pair.source_sql(&EVENTS.replace(", PRIMARY KEY (id, at)", "")).await;
    let all = ["event", "event_1", "event_2_low", "event_2_rest", "event_rest"];
    for table in all {
        pair.source_sql(&format!("ALTER TABLE {table} REPLICA IDENTITY FULL")).await;
    }
    pair.target_sql(&PLAIN.replace(", PRIMARY KEY (id, at)", "")).await;
    catch_up(&pair).await;
    carry(
        &pair,
        "INSERT INTO event SELECT * FROM event; UPDATE event SET at = at + 30 WHERE id = 3; \
         DELETE FROM event WHERE id % 7 = 0; UPDATE event SET id = 0 WHERE id % 5 = 0",
    )
    .await;
}

const NEXT: &str = "CREATE TABLE event_3 PARTITION OF event \
     FOR VALUES FROM ('2026-04-01') TO ('2026-05-01');";
const FILL: &str = "INSERT INTO event_3 (id, at) SELECT n, '2026-04-02' \
     FROM generate_series(1, 10) AS n;";

#[tokio::test]
async fn loss_14_as_one_a_new_partition_needs_nobody() {
    let pair = with_events(Some(PLAIN)).await;
    pair.source_sql(NEXT).await;
    let finished = carry(&pair, FILL).await;
    assert!(!finished.stderr.contains(AGAIN), "{}", finished.stderr);
    let finished = carry(
        &pair,
        "CREATE TABLE event_4 (LIKE event INCLUDING ALL); \
         ALTER TABLE event ATTACH PARTITION event_4 FOR VALUES FROM ('2026-05-01') TO ('2026-06-01')",
    )
    .await;
    assert!(!finished.stderr.contains(AGAIN), "{}", finished.stderr);
    let finished = carry(&pair, "INSERT INTO event VALUES (1, '2026-05-05')").await;
    assert!(!finished.stderr.contains(AGAIN), "{}", finished.stderr);
}

#[tokio::test]
async fn loss_14_as_one_rows_that_come_and_go_with_a_partition_are_copied_again() {
    let pair = with_events(Some(OTHERWISE)).await;
    let attach = "ALTER TABLE event ATTACH PARTITION event_3 \
                  FOR VALUES FROM ('2026-04-01') TO ('2026-05-01')";
    let attached = format!("CREATE TABLE event_3 (LIKE event INCLUDING ALL); {FILL} {attach}");
    for changes in [
        attached.as_str(),
        "BEGIN; UPDATE event_3 SET note = 'x'; TRUNCATE event_3; COMMIT; \
         INSERT INTO event VALUES (77, '2026-04-03')",
        "ALTER TABLE event DETACH PARTITION event_3",
        attach,
        "DROP TABLE event_1",
    ] {
        let finished = carry(&pair, changes).await;
        finished.expect_said(AGAIN);
    }
    let finished = carry(&pair, "UPDATE event SET note = 'after' WHERE id = 77").await;
    assert!(!finished.stderr.contains(AGAIN), "{}", finished.stderr);
}

#[tokio::test]
async fn loss_14_as_one_a_partition_that_nobody_saw_leaves_nothing() {
    let pair = with_events(Some(PLAIN)).await;
    let changes = format!("{NEXT} {FILL} DROP TABLE event_3");
    carry(&pair, &changes).await.expect_said(AGAIN);
    let changes = format!("BEGIN; {NEXT} {FILL} COMMIT; TRUNCATE event_3; {FILL}");
    carry(&pair, &changes).await.expect_said(AGAIN);
    let finished = carry(&pair, "DELETE FROM event WHERE id < 20").await;
    assert!(!finished.stderr.contains(AGAIN), "{}", finished.stderr);
}

/// The file of a table that was made in the transaction that empties it stays the same.
#[tokio::test]
async fn loss_14_as_one_a_partition_that_was_emptied_where_it_was_made_keeps_no_row() {
    let pair = with_events(Some(PLAIN)).await;
    let after = "INSERT INTO event VALUES (11, '2026-04-03')";
    let emptied = format!("BEGIN; {NEXT} {FILL} TRUNCATE event_3; {after}; COMMIT");
    carry(&pair, &emptied).await.expect_said(AGAIN);
    pair.source_sql("DROP TABLE event_3").await;
    let within = format!("{NEXT} {FILL} TRUNCATE event_3; RELEASE SAVEPOINT within; {after}");
    let emptied =
        format!("BEGIN; DELETE FROM event WHERE id = 5; SAVEPOINT within; {within}; COMMIT");
    carry(&pair, &emptied).await.expect_said(AGAIN);
    let finished = carry(&pair, "UPDATE event SET note = 'after'").await;
    assert!(!finished.stderr.contains(AGAIN), "{}", finished.stderr);
}

/// What becomes of a partition while it is none: in no log.
const AWAY: &str = "ALTER TABLE event DETACH PARTITION event_1;
     UPDATE event_1 SET note = 'away' WHERE id < 50; DELETE FROM event_1 WHERE id > 290;
     INSERT INTO event_1 (id, at) VALUES (3000, '2026-01-05');
     ALTER TABLE event ATTACH PARTITION event_1 FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
     UPDATE event SET note = 'back' WHERE id = 3000";

#[tokio::test]
async fn loss_14_as_one_a_partition_that_was_away_in_between_is_noticed() {
    let pair = with_events(Some(PLAIN)).await;
    carry(&pair, AWAY).await.expect_said(AGAIN);
    let level = "ALTER TABLE event DETACH PARTITION event_2; DELETE FROM event_2_low WHERE id < 50;
         ALTER TABLE event ATTACH PARTITION event_2
             FOR VALUES FROM ('2026-02-01') TO ('2026-03-01')";
    carry(&pair, level).await.expect_said(AGAIN);
    let finished = carry(&pair, "UPDATE event SET note = 'after'").await;
    assert!(!finished.stderr.contains(AGAIN), "{}", finished.stderr);
}

#[tokio::test]
async fn loss_14_as_one_a_partition_that_was_away_during_the_copy_is_noticed() {
    let pair = TestPair::start().await;
    pair.source_sql(EVENTS).await;
    let mut run = Dunlin::start_with_failpoint(&pair, "run", AS_ONE, "chunk-committed");
    run.reaches("chunk-committed").await;
    // Stopped it would keep its locks. The snapshot is held by another process.
    run.kill().await;
    pair.source_sql(AWAY).await;
    catch_up(&pair).await.expect_said(AGAIN);
    assert_equal(&pair).await;
}

/// An old row is announced as whole where that is the table's identity, and holds the key only
/// where that is the partition's.
#[tokio::test]
async fn loss_14_as_one_a_large_value_outlives_another_identity() {
    let pair = TestPair::start().await;
    pair.source_sql(EVENTS).await;
    for table in ["event", "event_1", "event_2_low", "event_2_rest", "event_rest"] {
        pair.source_sql(&format!("ALTER TABLE {table} REPLICA IDENTITY FULL")).await;
    }
    pair.target_sql(PLAIN).await;
    catch_up(&pair).await;
    pair.source_sql(NEXT).await;
    carry(&pair, "INSERT INTO event VALUES (1, '2026-04-02', 'note', repeat('y', 3000))").await;
    carry(&pair, "UPDATE event SET id = 2 WHERE at = '2026-04-02'").await;
    carry(
        &pair,
        "UPDATE event SET id = 3 WHERE at = '2026-04-02'; UPDATE event SET id = id + 5000; \
         UPDATE event SET at = '2026-04-04' WHERE at = '2026-04-02'; \
         UPDATE event SET note = NULL WHERE id % 3 = 0; DELETE FROM event WHERE id % 7 = 0",
    )
    .await;
    pair.source_sql("ALTER TABLE event_1 REPLICA IDENTITY DEFAULT").await;
    carry(&pair, "UPDATE event SET id = id + 1000").await;
    let large = "SELECT count(*) FROM event WHERE large IS NULL";
    assert_eq!(text(&pair.on_target().await, large).await.as_deref(), Some("0"));
}

#[tokio::test]
async fn loss_14_as_one_an_identity_that_changes_in_between() {
    let pair = with_events(Some(PLAIN)).await;
    carry(
        &pair,
        "UPDATE event SET id = id + 1000; ALTER TABLE event REPLICA IDENTITY FULL; \
         UPDATE event SET id = id + 1000; UPDATE event SET note = 'x' WHERE id % 2 = 0; \
         DELETE FROM event WHERE id % 7 = 0",
    )
    .await;
    carry(&pair, "UPDATE event SET id = id + 1000").await;
}

#[tokio::test]
async fn as_one_a_partition_whose_identity_does_not_tell_rows_apart_halts() {
    let pair = TestPair::start().await;
    pair.source_sql(&EVENTS.replace(", PRIMARY KEY (id, at)", "")).await;
    for table in ["event", "event_1", "event_2_low", "event_2_rest", "event_rest"] {
        pair.source_sql(&format!("ALTER TABLE {table} REPLICA IDENTITY FULL")).await;
    }
    pair.target_sql(&PLAIN.replace(", PRIMARY KEY (id, at)", "")).await;
    catch_up(&pair).await;
    pair.source_sql(&format!("{NEXT} ALTER TABLE event_3 ADD PRIMARY KEY (id)")).await;
    carry(&pair, FILL).await;
    // Its old rows are their keys, and none where the key stays.
    pair.source_sql("UPDATE event_3 SET note = 'x'").await;
    let arguments = [&["--until", "caught-up"], AS_ONE].concat();
    let halted = Dunlin::run(&pair, "run", &arguments).await.expect_halt("IDENTITY_NEEDED");
    halted.expect_said("ALTER TABLE public.event_3 REPLICA IDENTITY FULL");
}

#[tokio::test]
async fn loss_14_as_one_a_running_stream_sees_partitions_come_and_go() {
    let pair = with_events(Some(PLAIN)).await;
    let mut run = Dunlin::start(&pair, "run", AS_ONE);
    run.says("following the source").await;
    for changes in [format!("{NEXT} {FILL}"), "DROP TABLE event_3".to_owned(), NEXT.to_owned()] {
        pair.source_sql(&changes).await;
        wait_until("both sides are equal", async || {
            let [source, target] = rows(&pair).await;
            source == target
        })
        .await;
    }
    // Rows are changed at once that were never in the log.
    for changes in ["TRUNCATE event_1; INSERT INTO event VALUES (1, '2026-01-01')", AWAY] {
        pair.source_sql(changes).await;
        wait_until("both sides are equal", async || {
            let [source, target] = rows(&pair).await;
            source == target
        })
        .await;
    }
    run.interrupt().await.expect_code(0);
}

#[tokio::test]
async fn loss_14_as_one_a_kill_in_the_snapshot_and_a_lost_snapshot() {
    let pair = TestPair::start().await;
    pair.source_sql(EVENTS).await;
    let mut run = Dunlin::start_with_failpoint(&pair, "run", AS_ONE, "chunk-committed");
    run.reaches("chunk-committed").await;
    run.kill().await;
    let source = pair.on_source().await;
    source
        .batch_execute(&format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE application_name LIKE 'dunlin snapshot%';
             DELETE FROM event WHERE id % 3 = 0; {NEXT} {FILL} DROP TABLE event_1"
        ))
        .await
        .unwrap();
    catch_up(&pair).await;
    assert_equal(&pair).await;
    carry(&pair, "UPDATE event SET note = 'after'; DELETE FROM event WHERE id < 30").await;
}

#[tokio::test]
async fn loss_14_as_one_a_kill_in_the_stream_under_writers() {
    let pair = with_events(Some(PLAIN)).await;
    let writer = pair.on_source().await;
    writer.batch_execute(NEXT).await.unwrap();
    for (point, at) in ["group-committed", "partitions-settled", "tables-reset"].iter().zip(1..) {
        let mut run = Dunlin::start_with_failpoint(&pair, "run", AS_ONE, point);
        writer
            .batch_execute(&format!(
                "INSERT INTO event SELECT n, date '2026-04-01' + n % 30 \
                     FROM generate_series({at}000, {at}500) AS n; \
                 UPDATE event SET at = at - 40, id = id + 10000 WHERE id % 5 = {at}; \
                 CREATE TABLE event_n_{at} PARTITION OF event \
                     FOR VALUES FROM ('203{at}-01-01') TO ('203{at}-02-01'); \
                 INSERT INTO event VALUES (1, '203{at}-01-02'); DROP TABLE event_n_{at}"
            ))
            .await
            .unwrap();
        run.reaches(point).await;
        run.kill().await;
    }
    catch_up(&pair).await;
    assert_equal(&pair).await;
}

#[tokio::test]
async fn as_one_what_cannot_be_told_halts() {
    let pair = with_events(Some(PLAIN)).await;
    let arguments = ["--until", "caught-up"];
    Dunlin::run(&pair, "run", &arguments).await.expect_halt("SETTINGS_CHANGED");
    let as_one = [&arguments, AS_ONE].concat();
    let unlogged = NEXT.replace("CREATE TABLE", "CREATE UNLOGGED TABLE");
    pair.source_sql(&unlogged).await;
    let halted = Dunlin::run(&pair, "run", &as_one).await.expect_code(3);
    halted.expect_said("error[TABLE_UNLOGGED]").expect_said("public.event_3");
    carry(&pair, "ALTER TABLE event_3 SET LOGGED").await;
}

#[tokio::test]
async fn as_one_a_partition_that_is_left_out_is_an_error() {
    let pair = TestPair::start().await;
    pair.source_sql(EVENTS).await;
    let arguments = [AS_ONE, &["--exclude", "event_1"]].concat();
    let refused = Dunlin::run(&pair, "check", &arguments).await.expect_code(2);
    refused.expect_said("error[CONFIG_INVALID]").expect_said("public.event_1");
}

#[tokio::test]
async fn as_one_a_detached_partition_does_not_come_back_as_a_table() {
    let pair = with_events(None).await;
    carry(&pair, "ALTER TABLE event DETACH PARTITION event_1").await.expect_said(AGAIN);
    carry(&pair, "INSERT INTO event_1 (id, at) VALUES (3000, '2026-01-05')").await;
}

#[tokio::test]
async fn as_one_a_partitioned_table_that_comes_later_is_taken_in() {
    let pair = with_events(Some(PLAIN)).await;
    pair.source_sql(
        "CREATE TABLE late (id int PRIMARY KEY) PARTITION BY RANGE (id);
         CREATE TABLE late_1 PARTITION OF late FOR VALUES FROM (0) TO (100);
         INSERT INTO late SELECT generate_series(1, 50)",
    )
    .await;
    pair.target_sql("CREATE TABLE late (id int PRIMARY KEY)").await;
    catch_up(&pair).await;
    pair.source_sql(
        "CREATE TABLE late_2 PARTITION OF late FOR VALUES FROM (100) TO (200);
         INSERT INTO late SELECT generate_series(101, 150); DELETE FROM late WHERE id < 10",
    )
    .await;
    catch_up(&pair).await;
    let query = "SELECT string_agg(id::text, ' ' ORDER BY id) FROM late";
    let (source, target) = (pair.on_source().await, pair.on_target().await);
    assert_eq!(text(&source, query).await, text(&target, query).await);
}
