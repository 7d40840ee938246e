//! Partitioned tables: rows find their leaf, and a changed set of partitions is never silent.

use crate::support::compare::assert_equal;
use crate::support::{Dunlin, TestPair, carry, catch_up};

/// Leaves whose columns lie in another order than the root's, one with a dropped column.
const EVENTS: &str = "
    CREATE TABLE event (id int, at date, note text, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
    CREATE TABLE event_1 (note text NOT NULL, gone int, at date NOT NULL, id int NOT NULL);
    ALTER TABLE event_1 DROP COLUMN gone;
    ALTER TABLE event ATTACH PARTITION event_1 FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
    CREATE TABLE event_2 PARTITION OF event FOR VALUES FROM ('2026-02-01') TO ('2026-03-01')
        PARTITION BY LIST (note);
    CREATE TABLE event_2_a PARTITION OF event_2 FOR VALUES IN ('a');
    CREATE TABLE event_2_rest PARTITION OF event_2 DEFAULT;";

async fn with_events(primary_key: bool) -> TestPair {
    let pair = TestPair::start().await;
    let mut setup = EVENTS.to_owned();
    if primary_key {
        // A key of a partitioned table has to hold the partition key of every level.
        setup = setup.replace("PRIMARY KEY (id, at)", "PRIMARY KEY (id, at, note)");
    } else {
        setup = setup.replace(", PRIMARY KEY (id, at)", "");
        for leaf in ["event_1", "event_2_a", "event_2_rest"] {
            setup.push_str(&format!("ALTER TABLE {leaf} REPLICA IDENTITY FULL;"));
        }
    }
    pair.source_sql(&setup).await;
    pair.source_sql(
        "INSERT INTO event SELECT n, date '2026-01-01' + n % 59, \
         CASE n % 3 WHEN 0 THEN 'a' ELSE 'b' END FROM generate_series(1, 300) AS n",
    )
    .await;
    catch_up(&pair).await;
    assert_equal(&pair).await;
    pair
}

const CHANGES: &str = "
    INSERT INTO event VALUES (1001, '2026-01-05', 'a'), (1002, '2026-02-05', 'c');
    UPDATE event SET note = 'moved within' WHERE id = 5;
    UPDATE event SET at = at + 30 WHERE at < '2026-01-10';
    UPDATE event SET note = 'a' WHERE id BETWEEN 40 AND 50;
    UPDATE event SET id = id + 2000 WHERE id % 10 = 0;
    DELETE FROM event WHERE id % 7 = 0";

#[tokio::test]
async fn loss_14_leaves_with_other_columns_and_rows_that_move() {
    let pair = with_events(true).await;
    carry(&pair, CHANGES).await;
    carry(&pair, "TRUNCATE event_2_a; INSERT INTO event VALUES (1, '2026-02-01', 'a')").await;
    carry(&pair, "TRUNCATE event; INSERT INTO event VALUES (1, '2026-01-01', 'b')").await;
}

#[tokio::test]
async fn loss_14_leaves_without_a_key_under_full_identity() {
    let pair = with_events(false).await;
    carry(&pair, CHANGES).await;
    carry(&pair, "INSERT INTO event SELECT * FROM event; UPDATE event SET at = '2026-02-02'").await;
}

const NEXT: &str = "CREATE TABLE event_3 PARTITION OF event \
     FOR VALUES FROM ('2026-03-01') TO ('2026-04-01')";

#[tokio::test]
async fn loss_14_a_new_partition_is_said_and_halts_when_it_is_written() {
    let pair = with_events(true).await;
    pair.source_sql("INSERT INTO event VALUES (2000, '2026-01-05', 'b')").await;
    pair.source_sql(NEXT).await;
    catch_up(&pair).await.expect_said("table public.event_3 came into being");
    pair.source_sql(
        "BEGIN; INSERT INTO event VALUES (2001, '2026-01-05', 'b'); COMMIT; \
         BEGIN; INSERT INTO event VALUES (2002, '2026-03-05', 'b'); COMMIT",
    )
    .await;
    let halted = Dunlin::run(&pair, "run", &["--until", "caught-up"]).await;
    halted.expect_halt("PARTITIONS_CHANGED").expect_said("event_3");
    pair.target_sql(NEXT).await;
    catch_up(&pair).await;
    assert_equal(&pair).await;
    carry(&pair, "UPDATE event SET note = 'x' WHERE at > '2026-03-01'; DELETE FROM event_1").await;
}

#[tokio::test]
async fn loss_14_an_attached_table_with_rows_halts_and_is_copied() {
    let pair = with_events(true).await;
    pair.source_sql(
        "CREATE TABLE event_3 (LIKE event INCLUDING ALL);
         INSERT INTO event_3 VALUES (1, '2026-03-05', 'b');
         ALTER TABLE event ATTACH PARTITION event_3 \
             FOR VALUES FROM ('2026-03-01') TO ('2026-04-01')",
    )
    .await;
    let halted = Dunlin::run(&pair, "run", &["--until", "caught-up"]).await;
    halted.expect_halt("PARTITIONS_CHANGED").expect_said("event_3");
    pair.target_sql(NEXT).await;
    catch_up(&pair).await;
    assert_equal(&pair).await;
    carry(&pair, "DELETE FROM event WHERE at = '2026-03-05'").await;
}

#[tokio::test]
async fn loss_14_a_detached_partition_is_said_and_goes_on() {
    let pair = with_events(true).await;
    pair.source_sql("ALTER TABLE event DETACH PARTITION event_1").await;
    pair.source_sql("INSERT INTO event_1 (id, at, note) VALUES (3000, '2026-01-05', 'b')").await;
    let statement = r#"ALTER TABLE "public"."event" DETACH PARTITION "public"."event_1""#;
    catch_up(&pair).await.expect_said(statement);
    pair.target_sql(statement).await;
    assert_equal(&pair).await;
    carry(&pair, "DELETE FROM event_1 WHERE id = 3000; UPDATE event_1 SET note = 'alone'").await;
}
