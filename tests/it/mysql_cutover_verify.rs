//! What changed since the last verification is compared as a part of the cutover of MySQL and MariaDB, before
//! writers have to wait.

use dunlin::demo::mysql::Release;
use mysql_async::prelude::Queryable;

use super::cutover_verify::{Early, verified, words};
use crate::support::mysql::MySqlPair;
use crate::support::verified::{SMALL_CHUNKS, verify};
use crate::support::{Dunlin, wait_until};

/// A table of several chunks and one of one.
const TABLES: &str = "
CREATE TABLE numbers (n int PRIMARY KEY);
INSERT INTO numbers WITH RECURSIVE x AS (SELECT 1 n UNION ALL SELECT n + 1 FROM x WHERE n < 900)
    SELECT n FROM x;
CREATE TABLE big (id bigint unsigned PRIMARY KEY, filler text);
INSERT INTO big SELECT n, repeat(sha2(n, 256), 70) FROM numbers;
ANALYZE TABLE big;
";

async fn holds(pair: &MySqlPair, what: &str, condition: &str) {
    let mut observer = pair.on_target().await;
    let query = format!("SELECT {condition}");
    wait_until(what, async || {
        let found: Result<Option<bool>, _> = observer.query_first(&query).await;
        matches!(found, Ok(Some(true)))
    })
    .await;
}

/// A change of a row of `big` that is on the target by then.
async fn change(pair: &MySqlPair, id: u32, filler: &str) {
    pair.source_sql(&format!("UPDATE big SET filler = '{filler}' WHERE id = {id}")).await;
    let there = format!("filler = '{filler}' FROM app.big WHERE id = {id}");
    holds(pair, "the row arrives", &there).await;
}

async fn compares_what_changed(release: Release) {
    let pair = MySqlPair::of(release).await;
    pair.source_sql(TABLES).await;
    let run = Dunlin::start(&pair, "run", SMALL_CHUNKS);
    holds(&pair, "the run follows the log", "phase = 'stream' FROM dunlin.migration").await;
    let all = verified(&pair).await;
    assert!(all > 3, "{all} chunks");
    change(&pair, 890, "changed").await;
    pair.target_sql("UPDATE big SET filler = 'planted' WHERE id = 890").await;
    let refused = Dunlin::run(&pair, "cutover", &words(&[])).await.expect_code(1);
    let refused =
        refused.expect_said("error[ROWS_DIFFER]").expect_said("table app.big: 1 of its rows");
    refused.expect_said("dunlin verify --repair").expect_said("the source takes writes");
    change(&pair, 891, "takes writes").await;
    verify(&pair, &["--incremental", "--repair"]).await.expect_code(0);
    for (failpoint, id) in [("verification-begun", 10), ("unit-proven", 20)] {
        pair.source_sql(&format!("UPDATE big SET filler = 'x' WHERE id = {id}")).await;
        let mut killed = Dunlin::start_with_failpoint(&pair, "cutover", &words(&[]), failpoint);
        killed.reaches(failpoint).await;
        killed.kill().await;
        change(&pair, id, failpoint).await;
    }
    let cutover = Dunlin::run(&pair, "cutover", &words(&["--json"])).await.expect_code(0);
    let early = Early::of(&cutover.stdout);
    // Both rows are in the first chunk.
    assert_eq!(early.chunks(), (1, all - 1));
    early.assert_covered();
    run.finished().await.expect_code(0);
}

#[tokio::test]
async fn mysql_9_7_compares_what_changed_before_the_fence() {
    compares_what_changed(Release::MYSQL_9_7).await;
}

#[tokio::test]
async fn mariadb_11_8_compares_what_changed_before_the_fence() {
    compares_what_changed(Release::MARIADB_11_8).await;
}
