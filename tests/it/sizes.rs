//! Rows, values and transactions of a size at which memory shows.

use dunlin::demo::ServerOptions;

use crate::support::binary::peak_resident_kib;
use crate::support::compare::assert_equal;
use crate::support::{Dunlin, TestPair, carry, catch_up, number, text, wait_until};

/// What a run may hold, however large the transaction: half of it is the queue's.
const MOST_RESIDENT_KIB: u64 = 128 * 1024;

/// Two servers that compress large values fast.
async fn start() -> TestPair {
    let options = || ServerOptions::default().with("default_toast_compression", "lz4");
    TestPair::start_with(options(), options()).await
}

#[tokio::test]
async fn size_22_large_transactions_in_bounded_memory() {
    let pair = start().await;
    pair.source_sql(
        "CREATE TABLE many (id int PRIMARY KEY, v text);
         INSERT INTO many SELECT n, 'x' FROM generate_series(1, 1000000) AS n;
         CREATE TABLE large (id int PRIMARY KEY, v text);
         INSERT INTO large SELECT n FROM generate_series(1, 10500) AS n",
    )
    .await;
    let mut run = Dunlin::start(&pair, "run", &[]);
    run.says("caught up").await;
    let target = pair.on_target().await;
    // 1 GiB in the log's messages; on the disks it is compressed.
    let large = "UPDATE large SET v = repeat(md5(id::text), 3200)";
    pair.source_sql(large).await;
    let left = "SELECT EXISTS (SELECT FROM large WHERE v IS NULL)";
    wait_until("a gigabyte has come", async || !number::<bool>(&target, left).await).await;
    pair.source_sql("DELETE FROM many").await;
    let left = "SELECT EXISTS (SELECT FROM many)";
    wait_until("all rows are gone", async || !number::<bool>(&target, left).await).await;
    let peak = peak_resident_kib(&run);
    assert!(peak < MOST_RESIDENT_KIB, "{peak} KiB were resident");
    run.interrupt().await.expect_code(0);
    assert_equal(&pair).await;
}

const MEGABYTES: &str = "convert_to(repeat('duck', $1 * 250000), 'UTF8')";

#[tokio::test]
async fn size_23_a_value_of_hundreds_of_megabytes() {
    let pair = start().await;
    let value = |megabytes: u32| MEGABYTES.replace("$1", &megabytes.to_string());
    pair.source_sql(&format!(
        "CREATE TABLE blob (id int PRIMARY KEY, v bytea); INSERT INTO blob VALUES (1, {})",
        value(550)
    ))
    .await;
    catch_up(&pair).await;
    let (source, target) = (pair.on_source().await, pair.on_target().await);
    let same = async |id: u32| {
        let digest = format!("SELECT md5(v) FROM blob WHERE id = {id}");
        let digests = [text(&source, &digest).await, text(&target, &digest).await];
        assert!(digests[0].is_some());
        assert_eq!(digests[0], digests[1], "value {id}");
    };
    same(1).await;
    pair.source_sql(&format!(
        "UPDATE blob SET id = 10 WHERE id = 1; INSERT INTO blob VALUES (2, {})",
        value(200)
    ))
    .await;
    catch_up(&pair).await;
    same(2).await;
    // As text it is beyond what a server can send: its own limit ends the stream.
    pair.source_sql(&format!("INSERT INTO blob VALUES (3, {})", value(550))).await;
    let halted = Dunlin::run(&pair, "run", &["--until", "caught-up"]).await;
    halted.expect_halt("VALUE_TOO_LARGE");
}

#[tokio::test]
async fn rows_as_wide_as_can_be() {
    let pair = TestPair::start().await;
    pair.source_sql(
        "DO $$ DECLARE columns text; BEGIN
             SELECT string_agg('c' || n || ' int', ', ') INTO columns
             FROM generate_series(1, 1599) AS n;
             EXECUTE 'CREATE TABLE wide (id int PRIMARY KEY, ' || columns || ')';
             EXECUTE 'CREATE TABLE whole (id int, ' || columns || ')';
         END $$;
         ALTER TABLE whole REPLICA IDENTITY FULL;
         INSERT INTO wide (id, c1599) SELECT n, n FROM generate_series(1, 100) AS n;
         INSERT INTO whole (id, c1599) SELECT n, n FROM generate_series(1, 100) AS n;
         CREATE TABLE long_key (k text PRIMARY KEY, v int);
         INSERT INTO long_key
         SELECT string_agg(md5(g || ' ' || n), '') FROM generate_series(1, 84) AS n,
             generate_series(1, 500) AS g GROUP BY g",
    )
    .await;
    catch_up(&pair).await;
    assert_equal(&pair).await;
    carry(
        &pair,
        "DO $$ DECLARE sets text; BEGIN
             SELECT string_agg(format('c%s = %1$s', n), ', ') INTO sets
             FROM generate_series(1, 1599) AS n;
             EXECUTE 'UPDATE wide SET ' || sets || ' WHERE id < 10';
             EXECUTE 'UPDATE whole SET ' || sets || ' WHERE id < 10';
         END $$;
         INSERT INTO wide SELECT generate_series(101, 105); DELETE FROM wide WHERE id = 50;
         INSERT INTO whole SELECT generate_series(101, 105); DELETE FROM whole WHERE id = 50;
         UPDATE long_key SET v = 1 WHERE k < '8'; DELETE FROM long_key WHERE k > 'c';
         UPDATE long_key SET k = reverse(k) WHERE k LIKE '5%'",
    )
    .await;
}
