//! Transactions of a size at which memory shows.

use dunlin::demo::mysql::{Release, ServerOptions};

use crate::support::binary::peak_resident_kib;
use crate::support::mysql::{MySqlPair, row};
use crate::support::{Dunlin, wait_until};

/// What a run may hold, however large the transaction: half of it is the queue's.
const MOST_RESIDENT_KIB: u64 = 160 * 1024;

/// A transaction of more than that in the log.
async fn large_transaction(release: Release, settings: &[(&str, &str)]) {
    let with = |options: ServerOptions, (name, value): &(&str, &str)| options.with(name, value);
    let source = settings.iter().fold(ServerOptions::from(release), with);
    let pair = MySqlPair::with(source, release.into()).await;
    let rows = "WITH RECURSIVE x AS (SELECT 1 n UNION ALL SELECT n + 1 FROM x WHERE n < 900)";
    pair.source_sql(&format!(
        "CREATE TABLE many (id INT AUTO_INCREMENT PRIMARY KEY, v VARCHAR(2000));
         INSERT INTO many (v) {rows} SELECT 'x' FROM x"
    ))
    .await;
    let mut run = Dunlin::start(&pair, "run", &[]);
    run.says("caught up").await;
    pair.source_sql(
        "BEGIN; INSERT INTO many (v) SELECT REPEAT(CHAR(65 + a.id % 26), 1900) FROM many a, many b \
         WHERE b.id <= 120; DELETE FROM many WHERE id % 100 = 7 AND id > 1000; COMMIT",
    )
    .await;
    let mut target = pair.on_target().await;
    wait_until("the transaction has come", async || {
        row::<(u32,)>(&mut target, "SELECT count(*) FROM many LIMIT 1").await.0 > 900
    })
    .await;
    let peak = peak_resident_kib(&run);
    assert!(peak < MOST_RESIDENT_KIB, "{peak} KiB were resident");
    run.interrupt().await.expect_code(0);
    Dunlin::run(&pair, "run", &["--until", "caught-up"]).await.expect_code(0);
    pair.assert_equal().await;
}

#[tokio::test]
async fn mysql_9_7_a_large_transaction_in_bounded_memory() {
    large_transaction(Release::MYSQL_9_7, &[]).await;
}

#[tokio::test]
async fn mysql_9_7_a_large_packed_transaction_in_bounded_memory() {
    let packed = [("binlog_transaction_compression", "ON")];
    large_transaction(Release::MYSQL_9_7, &packed).await;
}

#[tokio::test]
async fn mariadb_11_8_a_large_transaction_in_bounded_memory() {
    large_transaction(Release::MARIADB_11_8, &[]).await;
}
