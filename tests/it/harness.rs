//! The harness itself: servers are private, keep their data over a crash, and leave nothing.

use std::fs;

use dunlin::demo::load::{Size, load};

use crate::support::compare::{assert_equal, differing_tables};
use crate::support::{TestPair, wait_until};

#[tokio::test]
async fn a_pair_has_two_identities_and_survives_a_crash() {
    let mut pair = TestPair::start().await;
    let identity = "SELECT system_identifier FROM pg_control_system()";
    let source: i64 = pair
        .on_source()
        .await
        .query_one(identity, &[])
        .await
        .unwrap()
        .get(0);
    let target: i64 = pair
        .on_target()
        .await
        .query_one(identity, &[])
        .await
        .unwrap()
        .get(0);
    assert_ne!(source, target);

    pair.source_sql("CREATE TABLE kept AS SELECT generate_series(1, 1000) AS id")
        .await;
    let session = pair.on_source().await;
    pair.source.crash().unwrap();
    wait_until("the session of a crashed server is closed", async || {
        session.is_closed()
    })
    .await;
    pair.source.start().unwrap();
    let rows: i64 = pair
        .on_source()
        .await
        .query_one("SELECT count(*) FROM kept", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(rows, 1000);
}

#[tokio::test]
async fn a_dropped_pair_leaves_no_folder() {
    let pair = TestPair::start().await;
    let folders = [pair.source.data(), pair.target.data()];
    assert!(folders.iter().all(|folder| folder.is_dir()));
    drop(pair);
    assert!(
        folders
            .iter()
            .all(|folder| !fs::exists(folder.parent().unwrap()).unwrap())
    );
}

#[tokio::test]
async fn a_comparison_finds_one_changed_row() {
    let pair = TestPair::start().await;
    let (source, target) = (pair.source_url(), pair.target_url());
    load(&source, Size::SMALL).await.unwrap();
    load(&target, Size::SMALL).await.unwrap();
    assert_equal(&pair).await;
    pair.target_sql("UPDATE pgbench_accounts SET abalance = 1 WHERE aid = 7")
        .await;
    assert_eq!(differing_tables(&pair).await, ["public.pgbench_accounts"]);
}
