//! Killed by SIGKILL at points that only a certain course of events leads to, on MySQL and MariaDB.

use dunlin::demo::mysql::Release;
use serde_json::Value;

use crate::mysql_cutover::{following, words};
use crate::support::binary::Finished;
use crate::support::mysql::{MySqlPair, row};
use crate::support::{Dunlin, wait_until};

/// Several units, and rows that are put out of order on the target.
const TABLES: &str = "
CREATE TABLE big (id int PRIMARY KEY, filler text);
INSERT INTO big WITH RECURSIVE x AS (SELECT 1 n UNION ALL SELECT n + 1 FROM x WHERE n < 900)
    SELECT n, repeat(sha2(n, 256), 70) FROM x;
CREATE TABLE hot (id int PRIMARY KEY, n int, pad text);
INSERT INTO hot SELECT id, 0, 'good' FROM big WHERE id <= 60;
ANALYZE TABLE big";
const PLANTED: &str =
    "UPDATE hot SET pad = 'bad' WHERE id % 3 = 0; INSERT INTO hot VALUES (99, 0, 'x')";
/// One is put right by the stream, which brings the whole row.
const DIFFERENT: usize = 20;

const UNITS: [&str; 5] = ["--json", "--chunk-size", "1MiB", "--workers", "1"];

async fn kill_at(pair: &MySqlPair, verb: &str, arguments: &[&str], failpoint: &str) {
    let mut killed = Dunlin::start_with_failpoint(pair, verb, arguments, failpoint);
    killed.reaches(failpoint.split(':').next().unwrap()).await;
    killed.kill().await;
}

async fn verify(pair: &MySqlPair, words: &[&str]) -> Finished {
    Dunlin::run(pair, "verify", &[&UNITS[..], words].concat()).await
}

fn report(finished: &Finished) -> Value {
    serde_json::from_str(&finished.stdout).unwrap()
}

async fn verifications_go_on(release: Release) {
    let pair = MySqlPair::of(release).await;
    pair.source_sql(TABLES).await;
    let copied = ["--chunk-size", "1MiB", "--until", "caught-up"];
    Dunlin::run(&pair, "run", &copied).await.expect_code(0);
    kill_at(&pair, "verify", &UNITS, "unit-proven:2").await;
    let found = report(&verify(&pair, &[]).await.expect_code(0));
    assert_eq!(found["units_before"], 2);
    let rows = found["tables"].as_array().unwrap().iter().map(|table| table["rows"].as_u64());
    assert_eq!(rows.sum::<Option<u64>>(), Some(900 + 60));

    // Whoever mends holds locks, and neither they nor what was about to be written outlive a kill.
    pair.target_sql(PLANTED).await;
    kill_at(&pair, "verify", &[&UNITS[..], &["--repair"]].concat(), "rows-mended:1").await;
    pair.source_sql("UPDATE hot SET n = -1 WHERE id IN (3, 4)").await;
    Dunlin::run(&pair, "run", &copied).await.expect_code(0);
    let found = report(&verify(&pair, &[]).await.expect_code(1));
    assert_eq!(found["differences"].as_array().unwrap().len(), DIFFERENT, "{found}");
    verify(&pair, &["--repair"]).await.expect_code(0);
    pair.assert_equal().await;
}

#[tokio::test]
async fn mysql_9_7_verifications_go_on_after_a_kill() {
    verifications_go_on(Release::MYSQL_9_7).await;
}

#[tokio::test]
async fn mariadb_11_8_verifications_go_on_after_a_kill() {
    verifications_go_on(Release::MARIADB_11_8).await;
}

/// The source takes a write, which arrives.
async fn assert_goes_on(pair: &MySqlPair, n: i32) {
    pair.source_sql(&format!("INSERT INTO promise (writer, n) VALUES (-1, {n})")).await;
    let mut target = pair.on_target().await;
    let there = format!("SELECT COUNT(*) FROM promise WHERE writer = -1 AND n = {n}");
    wait_until("the row arrives", async || row::<u64>(&mut target, &there).await == 1).await;
}

async fn cutovers_are_undone(release: Release) {
    let (pair, run) = following(release).await;
    let folder = tempfile::tempdir().unwrap();
    let said = folder.path().join("said");
    let hook = format!("hook:echo >> {}", said.display());
    let told = || std::fs::read_to_string(&said).unwrap_or_default();
    let words = words(&["--fence", &hook, "--final-proof", "40s"]);
    for (number, point) in (1..).zip(["hook-closed", "changes-compared"]) {
        kill_at(&pair, "cutover", &words, point).await;
        assert_eq!(told(), "fence\nunfence\n".repeat(number - 1) + "fence\n", "{point}");
        assert_goes_on(&pair, i32::try_from(number).unwrap()).await;
        Dunlin::run(&pair, "cutover", &["--abort"]).await.expect_code(0);
        assert_eq!(told(), "fence\nunfence\n".repeat(number), "{point}");
    }
    // Without its lock the source is sealed for everybody: until somebody says so.
    kill_at(&pair, "cutover", &words, "lock-let-go").await;
    let sealed = row::<bool>(&mut pair.on_source().await, "SELECT @@GLOBAL.read_only").await;
    assert!(sealed, "the source takes writes between its lock and its seal");
    Dunlin::run(&pair, "cutover", &["--abort"]).await.expect_code(0);
    assert_goes_on(&pair, 3).await;
    Dunlin::run(&pair, "cutover", &words).await.expect_code(0);
    run.finished().await.expect_code(0);
    let there = "SELECT COUNT(*) FROM promise WHERE writer = -1";
    assert_eq!(row::<u64>(&mut pair.on_target().await, there).await, 3);
}

#[tokio::test]
async fn mysql_9_7_cutovers_are_undone_after_a_kill() {
    cutovers_are_undone(Release::MYSQL_9_7).await;
}

#[tokio::test]
async fn mariadb_11_8_cutovers_are_undone_after_a_kill() {
    cutovers_are_undone(Release::MARIADB_11_8).await;
}
