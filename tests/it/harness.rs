//! The harness itself: servers are private, keep their data over a crash, and leave nothing.

use std::fs;

use dunlin::demo::load::{Size, load};
use dunlin::demo::server::connect;
use dunlin::demo::writers::{WriterOptions, Writers};

use crate::support::compare::{assert_equal, differing_tables};
use crate::support::pair::DATABASE;
use crate::support::{Dunlin, Proxy, TestPair, wait_until};

#[tokio::test]
async fn a_pair_has_two_identities_and_survives_a_crash() {
    let mut pair = TestPair::start().await;
    let identity = "SELECT system_identifier FROM pg_control_system()";
    let source: i64 = pair.on_source().await.query_one(identity, &[]).await.unwrap().get(0);
    let target: i64 = pair.on_target().await.query_one(identity, &[]).await.unwrap().get(0);
    assert_ne!(source, target);

    pair.source_sql("CREATE TABLE kept AS SELECT generate_series(1, 1000) AS id").await;
    let session = pair.on_source().await;
    pair.source.crash().unwrap();
    wait_until("the session of a crashed server is closed", async || session.is_closed()).await;
    pair.source.start().unwrap();
    let rows: i64 =
        pair.on_source().await.query_one("SELECT count(*) FROM kept", &[]).await.unwrap().get(0);
    assert_eq!(rows, 1000);
}

#[tokio::test]
async fn a_dropped_pair_leaves_no_folder() {
    let pair = TestPair::start().await;
    let folders = [pair.source.data(), pair.target.data()];
    assert!(folders.iter().all(|folder| folder.is_dir()));
    drop(pair);
    assert!(folders.iter().all(|folder| !fs::exists(folder.parent().unwrap()).unwrap()));
}

#[tokio::test]
async fn a_comparison_finds_one_changed_row() {
    let pair = TestPair::start().await;
    let (source, target) = (pair.source_url(), pair.target_url());
    load(&source, Size::SMALL).await.unwrap();
    load(&target, Size::SMALL).await.unwrap();
    assert_equal(&pair).await;
    pair.target_sql("UPDATE pgbench_accounts SET abalance = 1 WHERE aid = 7").await;
    assert_eq!(differing_tables(&pair).await, ["public.pgbench_accounts"]);
}

#[tokio::test]
async fn writers_do_everything_without_a_failure() {
    let pair = TestPair::start().await;
    load(&pair.source_url(), Size::SMALL).await.unwrap();
    let options = WriterOptions { seed: 1, size: Size::SMALL, speed: 10.0, largest_rows: 10_000 };
    let writers = Writers::start(&pair.source_url(), options);
    writers.commit_more(3000).await;
    let counts = writers.stop().await.unwrap();
    assert!(counts.transactions >= 3000, "{counts:?}");
    assert!(counts.rows > 2 * counts.transactions, "{counts:?}");
}

#[tokio::test]
async fn writers_go_on_after_a_crash() {
    let mut pair = TestPair::start().await;
    load(&pair.source_url(), Size::SMALL).await.unwrap();
    let options = WriterOptions { seed: 2, size: Size::SMALL, speed: 1.0, largest_rows: 100 };
    let writers = Writers::start(&pair.source_url(), options);
    writers.commit_more(100).await;
    pair.source.crash().unwrap();
    pair.source.start().unwrap();
    writers.commit_more(100).await;
    writers.stop().await.unwrap();
}

#[tokio::test]
async fn a_proxy_cuts_freezes_and_thaws() {
    let pair = TestPair::start().await;
    let proxy = Proxy::start(pair.source.port()).await;
    let session = connect(&proxy.url(DATABASE)).await.unwrap();
    proxy.freeze_from_server();
    let held = session.batch_execute("CREATE TABLE done ()");
    let direct = pair.on_source().await;
    let arrives = wait_until("the statement arrives though its reply is held back", async || {
        let found = direct.query_one("SELECT to_regclass('done') IS NOT NULL", &[]).await;
        found.unwrap().get(0)
    });
    let thaw = async {
        arrives.await;
        proxy.thaw();
    };
    let (reply, ()) = tokio::join!(held, thaw);
    reply.unwrap();
    proxy.cut();
    assert!(session.batch_execute("SELECT 1").await.is_err());
    connect(&proxy.url(DATABASE)).await.unwrap();
}

#[tokio::test]
async fn the_binary_runs_to_its_end() {
    let version = Dunlin::start_command(Dunlin::command(&["--version"]));
    version.finished().await.expect_code(0);
}
