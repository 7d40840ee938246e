//! What changed since the last verification is compared as a part of the cutover of MySQL and MariaDB, before
//! writers have to wait.

use dunlin::demo::mysql::Release;

use super::cutover_verify::is_compared_before_the_fence;
use crate::support::Dunlin;
use crate::support::mysql::{MySqlPair, holds, wait_until_following};
use crate::support::verified::SMALL_CHUNKS;

/// A table of several chunks and one of one.
const TABLES: &str = "
CREATE TABLE numbers (n int PRIMARY KEY);
INSERT INTO numbers WITH RECURSIVE x AS (SELECT 1 n UNION ALL SELECT n + 1 FROM x WHERE n < 900)
    SELECT n FROM x;
CREATE TABLE big (id bigint unsigned PRIMARY KEY, filler text);
INSERT INTO big SELECT n, repeat(sha2(n, 256), 70) FROM numbers;
ANALYZE TABLE big;
";

async fn compares_what_changed(release: Release) {
    let pair = MySqlPair::of(release).await;
    pair.source_sql(TABLES).await;
    let run = Dunlin::start(&pair, "run", SMALL_CHUNKS);
    wait_until_following(&pair).await;
    is_compared_before_the_fence(&pair, "app.big", async |id, filler| {
        let there = format!("filler = '{filler}' FROM app.big WHERE id = {id}");
        holds(&pair, "the row arrives", &there).await;
    })
    .await;
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
