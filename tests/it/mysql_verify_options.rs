//! What `dunlin verify` is told between MySQL and between MariaDB servers: it goes on where it was killed,
//! certifies what it found, and keeps to what it may take.

use dunlin::demo::mysql::Release;
use mysql_async::prelude::Queryable;

use crate::mysql_verify::TABLES;
use crate::support::mysql::{MySqlPair, row};
use crate::support::verified::{
    certifies_what_it_found, goes_on_where_it_was_killed, keeps_to_its_rate,
};
use crate::support::{Dunlin, wait_until};

/// The rows of the tables.
const ROWS: u64 = 900 + 900 + 500 + 4 + 2 + 4;

async fn moved(release: Release) -> MySqlPair {
    let pair = MySqlPair::of(release).await;
    pair.source_sql(TABLES).await;
    Dunlin::run(&pair, "run", &["--until", "caught-up"]).await.expect_code(0);
    pair
}

#[tokio::test]
async fn mysql_verify_goes_on_and_certifies_and_keeps_to_its_rate_on_mysql_9_7() {
    let pair = moved(Release::MYSQL_9_7).await;
    goes_on_where_it_was_killed(&pair, ROWS).await;
    certifies_what_it_found(&pair).await;
    keeps_to_its_rate(&pair).await;
}

#[tokio::test]
async fn mysql_verify_goes_on_and_certifies_on_mariadb_11_8() {
    let pair = moved(Release::MARIADB_11_8).await;
    goes_on_where_it_was_killed(&pair, ROWS).await;
    certifies_what_it_found(&pair).await;
}

/// Sessions that wait for a lock are at work, and so many more than the server's own threads and ours.
const AT_WORK: usize = 9;

#[tokio::test]
async fn mysql_verify_waits_while_the_source_is_busy() {
    let pair = moved(Release::MYSQL_9_7).await;
    let mut holder = pair.on_source().await;
    holder.query_drop("DO GET_LOCK('busy', 600)").await.unwrap();
    let mut busy = Vec::new();
    for _ in 0..AT_WORK {
        let mut session = pair.on_source().await;
        let work = "DO GET_LOCK('busy', 600), RELEASE_LOCK('busy')";
        busy.push(tokio::spawn(async move { session.query_drop(work).await }));
    }
    wait_until("the sessions are at work", async || {
        let waiting =
            "SELECT COUNT(*) FROM performance_schema.processlist WHERE state = 'User lock'";
        row::<usize>(&mut holder, waiting).await == AT_WORK
    })
    .await;
    let most = (AT_WORK - 1).to_string();
    let words = ["--max-load", &most, "--workers", "1"];
    let mut verifying = Dunlin::start(&pair, "verify", &words);
    verifying.says("waiting until fewer sessions are at work on the source").await;
    holder.query_drop("DO RELEASE_LOCK('busy')").await.unwrap();
    for work in busy {
        work.await.unwrap().unwrap();
    }
    verifying.finished().await.expect_code(0);
}
