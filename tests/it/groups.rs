//! Groups and transactions of every size, and where the stream may end.

use crate::support::compare::assert_equal;
use crate::support::{
    Dunlin, TestPair, carry, catch_up, catch_up_with, number, wait_until, wait_until_streaming,
};

const SMALL: &[&str] = &["--group-size", "64KiB", "--queue-size", "128KiB"];

#[tokio::test]
async fn a_transaction_larger_than_a_group_arrives_whole_and_in_pieces() {
    let pair = TestPair::start().await;
    pair.source_sql(
        "CREATE TABLE item (id int PRIMARY KEY, mail text UNIQUE, note text);
         INSERT INTO item SELECT n, n || '@x', 'old' FROM generate_series(1, 1000) AS n",
    )
    .await;
    catch_up_with(&pair, SMALL).await;
    pair.source_sql(
        "BEGIN; INSERT INTO item SELECT n, n || '@x', repeat('x', 100) \
                FROM generate_series(1001, 21000) AS n; \
         UPDATE item SET mail = 'parked' WHERE id = 1; \
         UPDATE item SET mail = '1@x' WHERE id = 20000; \
         UPDATE item SET mail = '20000@x' WHERE id = 1; \
         UPDATE item SET note = 'new' WHERE id % 3 = 0; \
         UPDATE item SET id = -id WHERE id > 15000; \
         DELETE FROM item WHERE id % 5 = 0; COMMIT; \
         BEGIN; INSERT INTO item VALUES (1000000, 'last'); COMMIT",
    )
    .await;
    // A piece that is applied is not to be seen, nor to stay when the run dies.
    let mut killed = Dunlin::start_with_failpoint(&pair, "run", SMALL, "group-applied:3");
    killed.reaches("group-applied").await;
    let target = pair.on_target().await;
    assert_eq!(number::<i64>(&target, "SELECT count(*) FROM item").await, 1000);
    killed.kill().await;
    catch_up_with(&pair, SMALL).await;
    assert_equal(&pair).await;
}

#[tokio::test]
async fn a_large_transaction_with_a_truncate_in_its_midst_arrives() {
    let pair = TestPair::start().await;
    pair.source_sql("CREATE TABLE item (id int PRIMARY KEY, note text)").await;
    catch_up_with(&pair, SMALL).await;
    pair.source_sql(
        "BEGIN; INSERT INTO item SELECT n, repeat('x', 100) FROM generate_series(1, 5000) AS n; \
         TRUNCATE item; \
         INSERT INTO item SELECT n, repeat('y', 100) FROM generate_series(1, 5000) AS n; COMMIT",
    )
    .await;
    catch_up_with(&pair, SMALL).await;
    assert_equal(&pair).await;
}

#[tokio::test]
async fn a_row_larger_than_every_queue_passes() {
    let pair = TestPair::start().await;
    pair.source_sql(
        "CREATE TABLE item (id int PRIMARY KEY, body text, n int);
         INSERT INTO item VALUES (1, repeat('abcdefghij', 2000000), 0)",
    )
    .await;
    catch_up_with(&pair, SMALL).await;
    assert_equal(&pair).await;
    pair.source_sql(
        "BEGIN; INSERT INTO item SELECT 2, repeat('0123456789', 2000000), 0; COMMIT; \
         BEGIN; UPDATE item SET n = 1; INSERT INTO item VALUES (3, 'short'); \
         INSERT INTO item SELECT 4, repeat('klmnopqrst', 2000000), 0; \
         UPDATE item SET body = body || 'x'; COMMIT",
    )
    .await;
    catch_up_with(&pair, SMALL).await;
    assert_equal(&pair).await;
}

#[tokio::test]
async fn many_small_transactions_of_one_row_become_its_last_state() {
    let pair = TestPair::start().await;
    pair.source_sql(
        "CREATE TABLE item (id int PRIMARY KEY, n int);
         INSERT INTO item VALUES (1, 0), (2, 0);
         CREATE PROCEDURE write() LANGUAGE plpgsql AS $$
         BEGIN
             FOR step IN 1..500 LOOP
                 UPDATE item SET n = step WHERE id = 1 + step % 2; COMMIT;
                 DELETE FROM item WHERE id = 2; COMMIT;
                 INSERT INTO item VALUES (2, step); COMMIT;
                 INSERT INTO item VALUES (3, step); COMMIT;
                 DELETE FROM item WHERE id = 3; COMMIT;
             END LOOP;
         END $$",
    )
    .await;
    catch_up(&pair).await;
    carry(&pair, "CALL write()").await;
}

#[tokio::test]
async fn until_a_position_ends_exactly_there() {
    let pair = TestPair::start().await;
    pair.source_sql("CREATE TABLE item (id int PRIMARY KEY)").await;
    catch_up(&pair).await;
    let source = pair.on_source().await;
    pair.source_sql("INSERT INTO item VALUES (1)").await;
    let after_first: String = number(&source, "SELECT pg_current_wal_insert_lsn()::text").await;
    pair.source_sql("INSERT INTO item VALUES (2)").await;
    Dunlin::run(&pair, "run", &["--until", &after_first]).await.expect_code(0);
    let target = pair.on_target().await;
    assert_eq!(number::<i32>(&target, "SELECT max(id) FROM item").await, 1);
    let end: String = number(&source, "SELECT pg_current_wal_insert_lsn()::text").await;
    Dunlin::run(&pair, "run", &["--until", &end]).await.expect_code(0);
    assert_equal(&pair).await;
    catch_up(&pair).await;
}

#[tokio::test]
async fn a_running_stream_applies_at_once_what_is_written() {
    let pair = TestPair::start().await;
    pair.source_sql("CREATE TABLE item (id int PRIMARY KEY)").await;
    let run = Dunlin::start(&pair, "run", &[]);
    wait_until_streaming(&pair).await;
    let target = pair.on_target().await;
    for id in 1..=20 {
        pair.source_sql(&format!("INSERT INTO item VALUES ({id})")).await;
        let there = format!("SELECT EXISTS (SELECT FROM item WHERE id = {id})");
        wait_until("the row is there", async || number(&target, &there).await).await;
    }
    run.interrupt().await.expect_code(0);
    assert_equal(&pair).await;
}
