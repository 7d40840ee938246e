//! The demo's database on MySQL and MariaDB: its applications write without a failure, and what they
//! write arrives.

use dunlin::demo::load::Size;
use dunlin::demo::mysql::load::load;
use dunlin::demo::mysql::{Release, start_writers};
use dunlin::demo::writers::WriterOptions;

use crate::support::Dunlin;
use crate::support::mysql::MySqlPair;
use crate::support::pair::DATABASE;

async fn moves_under_applications(release: Release) {
    let pair = MySqlPair::of(release).await;
    load(&pair.source, DATABASE, Size::SMALL).await.unwrap();
    let options = WriterOptions { seed: 1, size: Size::SMALL, speed: 1.0, largest_rows: 1000 };
    let writers = start_writers(&pair.source, DATABASE, options);
    writers.commit_more(300).await;
    Dunlin::run(&pair, "run", &["--until", "snapshot"]).await.expect_code(0);
    writers.commit_more(600).await;
    let counts = writers.stop().await.unwrap();
    assert!(counts.rows > counts.transactions, "{counts:?}");
    Dunlin::run(&pair, "run", &["--until", "caught-up"]).await.expect_code(0);
    pair.assert_equal().await;
}

#[tokio::test]
async fn mysql_9_7_moves_under_applications() {
    moves_under_applications(Release::MYSQL_9_7).await;
}

#[tokio::test]
async fn mariadb_10_11_moves_under_applications() {
    moves_under_applications(Release::MARIADB_10_11).await;
}

#[tokio::test]
async fn mariadb_11_8_moves_under_applications() {
    moves_under_applications(Release::MARIADB_11_8).await;
}
