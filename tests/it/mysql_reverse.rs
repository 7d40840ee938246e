//! The way back of MySQL and MariaDB: under writers that remember every commit they were promised, and
//! with a kill before the traffic is moved back.

use dunlin::demo::mysql::Release;
use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use crate::mysql_cutover::{Writers, assert_refuses_at, following, words};
use crate::support::mysql::{MySqlPair, row};
use crate::support::{Dunlin, wait_until};

const AUDITED: &str = "SELECT COUNT(*) = (SELECT COUNT(*) FROM promise) \
                       AND COUNT(*) = COUNT(DISTINCT promise) FROM audit";

async fn wait_for_stream_on(session: &mut Conn) {
    wait_until("phase stream of the way back", async || {
        let found = session.query_first("SELECT phase FROM dunlin.migration").await;
        found.ok().flatten() == Some("stream".to_owned())
    })
    .await;
}

/// A row written to the target arrives on the source.
async fn assert_follows(pair: &MySqlPair, n: i32) {
    pair.target_sql(&format!("INSERT INTO promise (writer, n) VALUES (-1, {n})")).await;
    let mut source = pair.on_source().await;
    let there = format!("SELECT COUNT(*) FROM promise WHERE writer = -1 AND n = {n}");
    wait_until("the row arrives", async || row::<u64>(&mut source, &there).await == 1).await;
}

async fn goes_there_and_back(release: Release) {
    let (pair, run) = following(release).await;
    let folder = tempfile::tempdir().unwrap();
    let gate = folder.path().join("moved");
    let mut writers = Writers::start(&pair, 4, &gate);
    writers.more(0, 100).await;
    let switch = format!("touch '{}'", gate.display());
    let there = words(&["--way-back", "--switch", &switch]);
    Dunlin::run(&pair, "cutover", &there).await.expect_code(0);
    run.finished().await.expect_code(0);
    writers.more(1, 100).await;
    assert_refuses_at(pair.source.port()).await;

    let reverse = Dunlin::start(&pair, "reverse", &[]);
    writers.more(1, 100).await;
    let mut source = pair.on_source().await;
    wait_for_stream_on(&mut source).await;
    assert_refuses_at(pair.source.port()).await;
    let status = Dunlin::run(&pair, "status", &[]).await.expect_code(0).stdout;
    assert!(status.contains("on the way back"), "{status}");

    let switch = format!("rm '{}'", gate.display());
    let back = words(&["--back", "--switch", &switch]);
    Dunlin::run(&pair, "cutover", &back).await.expect_code(0);
    writers.more(0, 100).await;
    reverse.finished().await.expect_code(0);
    assert_refuses_at(pair.target.port()).await;
    writers.assert_kept(&mut source).await;
    assert!(row::<bool>(&mut source, AUDITED).await, "a trigger fired twice or not");
    // Whatever keeps writers out there by now is somebody else's.
    source.query_drop("SET GLOBAL read_only = ON").await.unwrap();
    Dunlin::run(&pair, "complete", &[]).await.expect_code(0);
    assert!(row::<bool>(&mut source, "SELECT @@GLOBAL.read_only").await, "complete lifted it");
    let left = "SELECT COUNT(*) FROM information_schema.schemata WHERE schema_name = 'dunlin'";
    assert_eq!(row::<u64>(&mut source, left).await, 0);
    assert_eq!(row::<u64>(&mut pair.on_target().await, left).await, 0);
}

#[tokio::test]
async fn every_promised_commit_goes_there_and_back_mysql_9_7() {
    goes_there_and_back(Release::MYSQL_9_7).await;
}

#[tokio::test]
async fn every_promised_commit_goes_there_and_back_mariadb_10_11() {
    goes_there_and_back(Release::MARIADB_10_11).await;
}

#[tokio::test]
async fn every_promised_commit_goes_there_and_back_mariadb_11_8() {
    goes_there_and_back(Release::MARIADB_11_8).await;
}

#[tokio::test]
async fn a_way_back_that_is_killed_leaves_the_target_the_database() {
    let (pair, run) = following(Release::MYSQL_9_7).await;
    // Who could not write to a server that is read-only is told so beforehand.
    let nearly = "CREATE USER nearly@'%'; GRANT ALL ON *.* TO nearly@'%'; \
                  REVOKE CONNECTION_ADMIN, SUPER ON *.* FROM nearly@'%'";
    pair.source_sql(nearly).await;
    let url = pair.source_url().replace("root@", "nearly@");
    let servers = ["--source", &url, "--target", &pair.target_url()];
    let rehearsal = [&["cutover", "--dry-run", "--way-back"][..], &servers].concat();
    let told = Dunlin::start_command(Dunlin::command(&rehearsal)).finished().await.expect_code(5);
    assert!(told.stdout.contains("GRANT CONNECTION_ADMIN"), "{}", told.stdout);
    Dunlin::run(&pair, "cutover", &words(&["--way-back"])).await.expect_code(0);
    run.finished().await.expect_code(0);
    let reverse = Dunlin::start(&pair, "reverse", &[]);
    wait_for_stream_on(&mut pair.on_source().await).await;
    assert_follows(&pair, 0).await;
    let failed = Dunlin::run(&pair, "cutover", &words(&["--back", "--switch", "exit 3"])).await;
    failed.expect_code(5).expect_said("error[CUTOVER_UNDONE]");
    assert_follows(&pair, 1).await;
    assert_refuses_at(pair.source.port()).await;

    let back = words(&["--back"]);
    let unsealed = "target-unsealed";
    let mut cutover = Dunlin::start_with_failpoint(&pair, "cutover", &back, unsealed);
    cutover.reaches(unsealed).await;
    cutover.kill().await;
    assert_refuses_at(pair.target.port()).await;
    reverse.finished().await.expect_code(5).expect_said("error[CUTOVER_UNDECIDED]");
    Dunlin::run(&pair, "cutover", &["--back", "--abort"]).await.expect_code(0);
    assert_refuses_at(pair.source.port()).await;
    let reverse = Dunlin::start(&pair, "reverse", &[]);
    assert_follows(&pair, 2).await;
    reverse.interrupt().await.expect_code(0);
    let mut source = pair.on_source().await;
    assert!(row::<bool>(&mut source, AUDITED).await, "a trigger fired twice or not");
    let completed = Dunlin::run(&pair, "complete", &[]).await.expect_code(0);
    assert!(completed.stdout.contains("read_only = OFF"), "{}", completed.stdout);
    assert_refuses_at(pair.source.port()).await;
    let triggers = "SELECT COUNT(*) FROM information_schema.triggers WHERE trigger_schema = 'app'";
    assert_eq!(row::<u64>(&mut source, triggers).await, 1);
}
