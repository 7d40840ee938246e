//! `dunlin verify --incremental` between MySQL and between MariaDB servers: what nothing touched is not
//! read again, and what was touched is, also where the log does not say so.

use dunlin::demo::mysql::Release;
use mysql_async::prelude::Queryable;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::support::Dunlin;
use crate::support::mysql::{MySqlPair, holds, wait_until_following};
use crate::support::scene::seed;
use crate::support::verified::{
    SMALL_CHUNKS, Verified, incremental, takes_over_what_is_there, verify,
};

/// A table of several chunks by one column, one by two columns whose first one has few values, one whose
/// key is sorted by the rules of a language, and two that hang together by a foreign key.
const TABLES: &str = "
CREATE TABLE numbers (n int PRIMARY KEY);
INSERT INTO numbers WITH RECURSIVE x AS (SELECT 1 n UNION ALL SELECT n + 1 FROM x WHERE n < 900)
    SELECT n FROM x;
CREATE TABLE big (id bigint unsigned PRIMARY KEY, filler text);
INSERT INTO big SELECT n, repeat(sha2(n, 256), 70) FROM numbers;
CREATE TABLE pairs (tenant int, id varbinary(16), filler text, PRIMARY KEY (tenant, id));
INSERT INTO pairs SELECT n % 2, unhex(left(sha2(n, 256), 32)), repeat(sha2(n, 256), 70) FROM numbers;
CREATE TABLE words (word varchar(30) CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci PRIMARY KEY,
    filler text);
INSERT INTO words SELECT concat('w', n), repeat(sha2(n, 256), 70) FROM numbers;
CREATE TABLE parent (id int PRIMARY KEY);
CREATE TABLE child (id int PRIMARY KEY, parent int,
    FOREIGN KEY (parent) REFERENCES parent (id) ON DELETE CASCADE);
INSERT INTO parent VALUES (1), (2);
INSERT INTO child VALUES (1, 1), (2, 2);
ANALYZE TABLE big, pairs, words;
";

/// The units that were read.
fn all_read(found: &Verified) -> [u64; 5] {
    ["big", "pairs", "words", "parent", "child"].map(|name| found.read(name))
}

async fn start(release: Release, further: &[&str]) -> (MySqlPair, Dunlin) {
    let pair = MySqlPair::of(release).await;
    pair.source_sql(TABLES).await;
    let run = Dunlin::start(&pair, "run", &[SMALL_CHUNKS, further].concat());
    wait_until_following(&pair).await;
    (pair, run)
}

async fn reads_what_was_touched(release: Release) {
    let (pair, run) = start(release, &[]).await;
    let first = Verified::of(&verify(&pair, &[]).await.expect_code(0));
    assert!(first.units("big") > 2 && first.units("pairs") > 2);
    assert_eq!(all_read(&incremental(&pair).await), [0; 5]);
    // The tail; then the same row once more, which is another touch.
    for round in 0..2 {
        let touch = format!(
            "UPDATE big SET filler = '{round}' WHERE id = 900; INSERT INTO big VALUES (901 + {round}, 'x')"
        );
        pair.source_sql(&touch).await;
        let found = incremental(&pair).await;
        assert_eq!(all_read(&found), [1, 0, 0, 0, 0], "round {round}");
        assert_eq!(found.table("big")["rows"], 901 + round);
    }
    pair.source_sql("UPDATE big SET id = 100000 WHERE id = 1").await;
    assert_eq!(all_read(&incremental(&pair).await), [2, 0, 0, 0, 0]);
    let row =
        "UPDATE pairs SET filler = 'x' WHERE tenant = 1 AND id = unhex(left(sha2(1, 256), 32))";
    pair.source_sql(row).await;
    assert_eq!(all_read(&incremental(&pair).await), [0, 1, 0, 0, 0]);
    pair.source_sql("DELETE FROM words WHERE word = 'w7'; DELETE FROM parent WHERE id = 1").await;
    let found = incremental(&pair).await;
    assert_eq!(all_read(&found), [0, 0, found.units("words"), 1, 1]);
    pair.source_sql("TRUNCATE TABLE pairs").await;
    let found = incremental(&pair).await;
    assert_eq!(all_read(&found), [0, found.units("pairs"), 0, 0, 0]);
    pair.source_sql("ALTER TABLE pairs ADD COLUMN more int").await;
    let found = incremental(&pair).await;
    assert_eq!(all_read(&found), [0, found.units("pairs"), 0, 0, 0]);
    // A difference in a unit that was touched.
    pair.target_sql("UPDATE big SET filler = 'planted' WHERE id IN (2, 890)").await;
    pair.source_sql("UPDATE big SET filler = 'touched' WHERE id = 900").await;
    let found = Verified::of(&verify(&pair, &["--incremental"]).await.expect_code(1));
    assert_eq!(found.differences(), ["app.big 890"]);
    run.interrupt().await.expect_code(0);
    Dunlin::run(&pair, "complete", &[]).await.expect_code(0);
}

#[tokio::test]
async fn mysql_incremental_verify_reads_what_was_touched_on_mysql_9_7() {
    reads_what_was_touched(Release::MYSQL_9_7).await;
}

#[tokio::test]
async fn mysql_incremental_verify_reads_what_was_touched_on_mariadb_11_8() {
    reads_what_was_touched(Release::MARIADB_11_8).await;
}

/// Marks are committed with the rows, whoever is killed when.
async fn marks_what_it_is_killed_over(release: Release) {
    let (pair, run) = start(release, &[]).await;
    verify(&pair, &[]).await.expect_code(0);
    for (failpoint, id) in [("marks-awaited", 10), ("verification-begun", 20)] {
        let words = [SMALL_CHUNKS, &["--incremental"]].concat();
        let mut killed = Dunlin::start_with_failpoint(&pair, "verify", &words, failpoint);
        killed.reaches(failpoint).await;
        pair.source_sql(&format!("UPDATE big SET filler = 'x' WHERE id = {id}")).await;
        let applied = format!("filler = 'x' FROM app.big WHERE id = {id}");
        holds(&pair, "the row is applied", &applied).await;
        killed.kill().await;
        assert_eq!(all_read(&incremental(&pair).await), [1, 0, 0, 0, 0], "{failpoint}");
    }
    run.interrupt().await.expect_code(0);
    for (failpoint, id) in [("group-applied", 10), ("group-committed", 20)] {
        let mut killed = Dunlin::start_with_failpoint(&pair, "run", SMALL_CHUNKS, failpoint);
        pair.source_sql(&format!("UPDATE big SET filler = 'y' WHERE id = {id}")).await;
        killed.reaches(failpoint).await;
        killed.kill().await;
        let run = Dunlin::start(&pair, "run", SMALL_CHUNKS);
        assert_eq!(all_read(&incremental(&pair).await), [1, 0, 0, 0, 0], "{failpoint}");
        run.interrupt().await.expect_code(0);
    }
}

#[tokio::test]
async fn mysql_marks_are_committed_with_the_rows_on_mysql_9_7() {
    marks_what_it_is_killed_over(Release::MYSQL_9_7).await;
}

#[tokio::test]
async fn mysql_marks_are_committed_with_the_rows_on_mariadb_11_8() {
    marks_what_it_is_killed_over(Release::MARIADB_11_8).await;
}

/// A verification that begins in the middle of a transaction that came in pieces.
async fn marks_what_is_open(release: Release) {
    let (pair, _run) = start(release, &["--group-size", "64KiB", "--queue-size", "128KiB"]).await;
    verify(&pair, &[]).await.expect_code(0);
    pair.source_sql("UPDATE big SET filler = 'x' WHERE id IN (10, 890)").await;
    holds(&pair, "the rows are marked", "count(*) = 2 FROM dunlin.touched").await;
    let mut held = pair.on_target().await;
    held.query_drop("BEGIN; SELECT id FROM app.big WHERE id = 890 FOR UPDATE").await.unwrap();
    let large = "BEGIN; UPDATE big SET filler = concat(filler, 'y') WHERE id < 80;
        UPDATE big SET filler = 'y' WHERE id = 890; COMMIT";
    pair.source_sql(large).await;
    let sent = "count(*) > 0 FROM information_schema.PROCESSLIST
        WHERE COMMAND = 'Query' AND INFO LIKE '%big%' AND ID <> CONNECTION_ID()";
    holds(&pair, "the group waits for the row", sent).await;
    let mut begun =
        Dunlin::start_with_failpoint(&pair, "verify", SMALL_CHUNKS, "verification-begun");
    begun.reaches("verification-begun").await;
    begun.kill().await;
    holds(&pair, "the marks are forgotten", "count(*) = 0 FROM dunlin.touched").await;
    held.query_drop("COMMIT").await.unwrap();
    holds(&pair, "the group is applied", "filler = 'y' FROM app.big WHERE id = 890").await;
    holds(&pair, "all is marked", "count(*) = 1 AND min(unit) = -1 FROM dunlin.touched").await;
    assert_eq!(incremental(&pair).await.0["verdict"], "equal");
}

#[tokio::test]
async fn mysql_an_open_group_marks_its_units_on_mysql_9_7() {
    marks_what_is_open(Release::MYSQL_9_7).await;
}

#[tokio::test]
async fn mysql_an_open_group_marks_its_units_on_mariadb_11_8() {
    marks_what_is_open(Release::MARIADB_11_8).await;
}

/// Rows of one part of a table that change, go, move away and come, at random.
fn changes(random: &mut StdRng) -> String {
    let first = random.random_range(1..850);
    let mut change = |_| {
        let id = first + random.random_range(0..50);
        match random.random_range(0..4) {
            0 => format!("UPDATE big SET filler = concat('y', {id}) WHERE id = {id};"),
            1 => format!("DELETE FROM big WHERE id = {id};"),
            2 => format!("UPDATE IGNORE big SET id = id + 10000 WHERE id = {id};"),
            _ => format!("INSERT IGNORE INTO big VALUES ({id}, 'again');"),
        }
    };
    (0..30).map(&mut change).collect()
}

async fn takes_over_what_is_there_after_kills(release: Release) {
    let mut random = StdRng::seed_from_u64(seed());
    let (pair, mut run) = start(release, &[]).await;
    verify(&pair, &[]).await.expect_code(0);
    for _ in 0..2 {
        pair.source_sql(&changes(&mut random)).await;
        incremental(&pair).await;
        pair.source_sql(&changes(&mut random)).await;
        run.kill().await;
        run = Dunlin::start(&pair, "run", SMALL_CHUNKS);
    }
    takes_over_what_is_there(&pair).await;
    run.interrupt().await.expect_code(0);
}

#[tokio::test]
async fn mysql_incremental_verify_takes_over_what_is_there_on_mysql_9_7() {
    takes_over_what_is_there_after_kills(Release::MYSQL_9_7).await;
}

#[tokio::test]
async fn mysql_incremental_verify_takes_over_what_is_there_on_mariadb_11_8() {
    takes_over_what_is_there_after_kills(Release::MARIADB_11_8).await;
}
