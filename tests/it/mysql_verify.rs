//! `dunlin verify` between MySQL and between MariaDB servers: every kind of difference is found by its
//! key, and equal rows under writers never raise an alarm.
//!
//! `DUNLIN_VERIFY_ROUNDS=1000` has the comparison under writers that often; `DUNLIN_TEST_SEED` repeats it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use dunlin::config::endpoint::MySqlEndpoint;
use dunlin::config::environment::Environment;
use dunlin::demo::mysql::Release;
use dunlin::model::OnDropColumn;
use dunlin::model::verification::Proven;
use dunlin::target::mysql::{MySqlTarget, Options, Remembered};
use dunlin::target::{Proofs, Target};
use mysql_async::prelude::Queryable;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::Value;

use crate::support::Dunlin;
use crate::support::binary::Finished;
use crate::support::mysql::{
    MySqlPair, create_every_type, keeps_signs_of_zeros, wait_until_following,
};
use crate::support::scene::seed;
use crate::support::verified::never_raises_an_alarm;

/// A table for each kind of key, one of several chunks, and one without a key.
pub const TABLES: &str = "
CREATE TABLE kinds (id int PRIMARY KEY, raw blob, note text, ratio double, word varchar(20), doc json);
INSERT INTO kinds WITH RECURSIVE x AS (SELECT 1 n UNION ALL SELECT n + 1 FROM x WHERE n < 900)
    SELECT n, unhex(left(sha2(n, 256), 32)), nullif(n % 10, 0), n % 20, concat('w', n), json_object('n', n) FROM x;
CREATE TABLE big (id bigint unsigned PRIMARY KEY, filler text);
INSERT INTO big SELECT id, repeat(sha2(id, 256), 70) FROM kinds;
CREATE TABLE pairs (a int, b varbinary(16), `the value` text, PRIMARY KEY (b, a));
INSERT INTO pairs SELECT id, unhex(left(sha2(id, 256), 32)), concat('v', id) FROM kinds WHERE id <= 500;
CREATE TABLE words (word varchar(30) CHARACTER SET latin1 PRIMARY KEY, n int);
INSERT INTO words VALUES ('one', 1), ('tab\\t\\\\', 2), ('', 3), ('ä', 5);
CREATE TABLE ratios (r float PRIMARY KEY, n int);
INSERT INTO ratios VALUES (0.1, 1), (1.2345678, 2);
CREATE TABLE heap (a int, b text);
INSERT INTO heap VALUES (1, 'x'), (1, 'x'), (2, NULL), (NULL, NULL);
ANALYZE TABLE big;
";

/// A bit in bytes, a NULL for an empty text, a blank at the end, a value in JSON, a row that is missing,
/// one too many, values exchanged between two rows, a key that differs in a letter, a key that needs
/// escapes, a key that equals no literal, and in a table without a key a row doubled and one missing.
const PLANTED: &str = "
UPDATE kinds SET raw = concat(char(ascii(raw) ^ 1), substr(raw, 2)) WHERE id = 5;
UPDATE kinds SET note = '' WHERE id = 10;
UPDATE kinds SET word = concat(word, ' ') WHERE id = 30;
UPDATE kinds SET doc = '{\"n\": 42}' WHERE id = 41;
DELETE FROM big WHERE id = 700;
INSERT INTO big VALUES (18446744073709551615, 'x');
UPDATE pairs SET `the value` = CASE a WHEN 7 THEN 'v8' ELSE 'v7' END WHERE a IN (7, 8);
UPDATE words SET word = 'One' WHERE n = 1;
UPDATE words SET n = 4 WHERE n = 2;
DELETE FROM words WHERE n = 5;
UPDATE ratios SET n = 3 WHERE n = 2;
INSERT INTO heap VALUES (1, 'x');
DELETE FROM heap WHERE a = 2;
";

/// As many workers as there are tables, so that they wait together for what differs.
const WORDS: &[&str] = &["--json", "--chunk-size", "1MiB", "--workers", "4"];

/// Each difference as table, kind, number in its key, and columns.
pub fn differences(report: &Value) -> BTreeSet<String> {
    let text = |value: &Value| value.as_str().unwrap_or("NULL").to_owned();
    let difference = |row: &Value| {
        let key = row["key"].as_array().unwrap().last().unwrap();
        let named = ["id", "a"].contains(&key["column"].as_str().unwrap());
        let key = if named { text(&key["value"]) } else { String::new() };
        let columns: Vec<String> = row["columns"].as_array().unwrap().iter().map(text).collect();
        format!("{} {} {key} {}", text(&row["table"]), text(&row["kind"]), columns.join(","))
    };
    report["differences"].as_array().unwrap().iter().map(difference).collect()
}

fn planted(zero: bool) -> BTreeSet<String> {
    let mut planted = vec![
        "app.kinds different 5 raw",
        "app.kinds different 10 note",
        "app.kinds different 30 word",
        "app.kinds different 41 doc",
        "app.big missing 700 ",
        "app.big extra 18446744073709551615 ",
        "app.pairs different 7 the value",
        "app.pairs different 8 the value",
        "app.words missing  ",
        "app.words extra  ",
        "app.words different  n",
        "app.ratios different  n",
        "app.heap different  ",
        "app.heap missing  ",
    ];
    if zero {
        planted.push("app.kinds different 20 ratio");
    }
    planted.into_iter().map(str::to_owned).collect()
}

pub async fn verify(pair: &MySqlPair, further: &[&str]) -> Finished {
    Dunlin::run(pair, "verify", &[WORDS, further].concat()).await
}

pub fn report(finished: &Finished) -> Value {
    serde_json::from_str(&finished.stdout).unwrap()
}

async fn finds_what_is_planted(release: Release) {
    let pair = MySqlPair::of(release).await;
    pair.source_sql(TABLES).await;
    let words = ["--chunk-size", "1MiB", "--until", "caught-up"];
    Dunlin::run(&pair, "run", &words).await.expect_code(0);
    let equal = verify(&pair, &[]).await.expect_code(0);
    assert_eq!(report(&equal)["verdict"], "equal");
    pair.target_sql(PLANTED).await;
    let zero = keeps_signs_of_zeros(&pair.target).await;
    if zero {
        pair.target_sql("UPDATE kinds SET ratio = '-0' WHERE id = 20").await;
    }
    let found = verify(&pair, &[]).await.expect_code(1);
    assert_eq!(differences(&report(&found)), planted(zero));
    let repaired = report(&verify(&pair, &["--repair"]).await.expect_code(0));
    assert_eq!(differences(&repaired), planted(zero));
    let all = repaired["differences"].as_array().unwrap();
    assert!(all.iter().all(|row| row["repaired"] == true), "{repaired}");
    let equal = report(&verify(&pair, &[]).await.expect_code(0));
    assert_eq!(differences(&equal), BTreeSet::new());
    pair.assert_equal().await;
    pair.source_sql("INSERT INTO heap VALUES (5, 'not applied')").await;
    verify(&pair, &[]).await.expect_code(4).expect_said("VERIFY_BEHIND");
}

#[tokio::test]
async fn mysql_verify_finds_every_difference_on_mysql_9_7() {
    finds_what_is_planted(Release::MYSQL_9_7).await;
}

#[tokio::test]
async fn mysql_verify_finds_every_difference_on_mariadb_10_11() {
    finds_what_is_planted(Release::MARIADB_10_11).await;
}

#[tokio::test]
async fn mysql_verify_finds_every_difference_on_mariadb_11_8() {
    finds_what_is_planted(Release::MARIADB_11_8).await;
}

/// Rows that toggle between two values, that only ever grow, that come and go, that exchange their
/// values, and that have no key; some of them chosen at random.
fn transaction(round: u32, random: &mut StdRng) -> String {
    let (id, other) = (random.random_range(1..=50), random.random_range(1..=50));
    format!(
        "BEGIN; UPDATE kinds SET note = IF(note = 'a', 'b', 'a') WHERE id BETWEEN 1 AND 50; \
         UPDATE kinds SET ratio = ratio + 1 WHERE id = 51; \
         INSERT INTO big VALUES (100000 + {round}, 'x'); DELETE FROM big WHERE id = 99980 + {round}; \
         UPDATE pairs SET `the value` = '{round}' WHERE a IN ({id}, {other}); \
         UPDATE words SET word = IF(word = 'one', 'ONE', 'one') WHERE n = 1; \
         INSERT INTO heap VALUES ({id}, 'x'), ({id}, 'x'); DELETE FROM heap WHERE a = {other} LIMIT 3; \
         COMMIT"
    )
}

async fn raises_no_alarm(release: Release) {
    let mut random = StdRng::seed_from_u64(seed());
    let pair = MySqlPair::of(release).await;
    pair.source_sql(TABLES).await;
    let _run = Dunlin::start(&pair, "run", &["--chunk-size", "1MiB"]);
    wait_until_following(&pair).await;
    let stop = Arc::new(AtomicBool::new(false));
    let (mut writer, stopped) = (pair.on_source().await, Arc::clone(&stop));
    let written = Arc::<AtomicU64>::default();
    let counted = Arc::clone(&written);
    let writing = tokio::spawn(async move {
        let mut pace = tokio::time::interval(Duration::from_millis(10));
        let mut round = 0;
        while !stopped.load(Ordering::SeqCst) {
            pace.tick().await;
            writer.query_drop(transaction(round, &mut random)).await.unwrap();
            counted.fetch_add(1, Ordering::SeqCst);
            round += 1;
        }
    });
    never_raises_an_alarm((&pair, 2), WORDS, &written).await;
    pair.target_sql("INSERT INTO words VALUES ('planted', NULL)").await;
    let found = verify(&pair, &["--tables", "words"]).await.expect_code(1);
    assert_eq!(differences(&report(&found)), BTreeSet::from(["app.words extra  ".to_owned()]));
    stop.store(true, Ordering::SeqCst);
    writing.await.unwrap();
}

#[tokio::test]
async fn mysql_verify_raises_no_alarm_under_writers_on_mysql_9_7() {
    raises_no_alarm(Release::MYSQL_9_7).await;
}

#[tokio::test]
async fn mysql_verify_raises_no_alarm_under_writers_on_mariadb_11_8() {
    raises_no_alarm(Release::MARIADB_11_8).await;
}

#[tokio::test]
async fn mysql_verify_knows_every_type() {
    for release in [Release::MYSQL_9_7, Release::MARIADB_11_8] {
        let pair = MySqlPair::of(release).await;
        create_every_type(&pair.source).await;
        let left_out = "DROP TABLE IF EXISTS versioned; DELETE FROM documents WHERE id > 10; \
                        DELETE FROM texts WHERE id = 4";
        pair.source_sql(left_out).await;
        Dunlin::run(&pair, "run", &["--until", "caught-up"]).await.expect_code(0);
        verify(&pair, &[]).await.expect_code(0);
    }
}

/// The tables of the migration that nothing is proven of.
async fn unproven(pair: &MySqlPair) -> Vec<String> {
    let environment = Environment::new(Vec::<(String, String)>::new(), None);
    let endpoint = MySqlEndpoint::parse(&pair.target_url(), &environment).unwrap();
    let options = Options {
        name: "dunlin".to_owned(),
        on_drop_column: OnDropColumn::Halt,
        binlog: true,
        remembered: Remembered::default(),
    };
    let target = MySqlTarget::connect(&endpoint, options).await.unwrap();
    let migration = target.load().await.unwrap().unwrap();
    let proven = Proven::of(&migration.tables, &target.proven().await.unwrap());
    assert_eq!(proven.position.is_some(), proven.unproven.len() < migration.tables.len());
    assert_eq!(proven.seconds_ago.is_some(), proven.position.is_some());
    proven.unproven.iter().map(ToString::to_string).collect()
}

async fn leaves_a_proof(release: Release) {
    let pair = MySqlPair::of(release).await;
    pair.source_sql(TABLES).await;
    Dunlin::run(&pair, "run", &["--until", "caught-up"]).await.expect_code(0);
    assert_eq!(unproven(&pair).await.len(), 6);
    verify(&pair, &[]).await.expect_code(0);
    assert_eq!(unproven(&pair).await, Vec::<String>::new());
    pair.target_sql("UPDATE kinds SET note = 'other' WHERE id = 1").await;
    verify(&pair, &["--tables", "kinds"]).await.expect_code(1);
    assert_eq!(unproven(&pair).await, ["app.kinds"]);
    // As if it were copied again.
    let copied = "UPDATE dunlin.chunk SET finished_at = UTC_TIMESTAMP(6) WHERE table_id =
        (SELECT id FROM dunlin.tables WHERE definition LIKE '%\"name\":\"words\"%')";
    pair.target_sql(copied).await;
    assert_eq!(unproven(&pair).await, ["app.kinds", "app.words"]);
    Dunlin::run(&pair, "complete", &[]).await.expect_code(0);
}

#[tokio::test]
async fn mysql_verify_leaves_a_proof_of_each_table() {
    leaves_a_proof(Release::MYSQL_9_7).await;
}

#[tokio::test]
async fn mysql_verify_leaves_a_proof_of_each_table_on_mariadb() {
    leaves_a_proof(Release::MARIADB_11_8).await;
}

/// A repair among writers never puts an older row in a newer one's place.
async fn repairs_among_writers(release: Release) {
    let pair = MySqlPair::of(release).await;
    let table = "CREATE TABLE hot (id int PRIMARY KEY, n int, pad text);
        INSERT INTO hot WITH RECURSIVE x AS (SELECT 1 n UNION ALL SELECT n + 1 FROM x WHERE n < 60)
        SELECT n, 0, 'good' FROM x; CREATE TABLE loose (n int, pad text);
        INSERT INTO loose SELECT n, pad FROM hot";
    pair.source_sql(table).await;
    let _run = Dunlin::start(&pair, "run", &[]);
    wait_until_following(&pair).await;
    let stop = Arc::new(AtomicBool::new(false));
    let (mut writer, stopped) = (pair.on_source().await, Arc::clone(&stop));
    let writing = tokio::spawn(async move {
        let mut pace = tokio::time::interval(Duration::from_millis(150));
        let mut round = 0;
        while !stopped.load(Ordering::SeqCst) {
            pace.tick().await;
            round += 7;
            let write = format!("UPDATE hot SET n = n + 1 WHERE id = {} + 1", round % 60);
            writer.query_drop(write).await.unwrap();
        }
    });
    let planted =
        "UPDATE hot SET pad = 'bad' WHERE id % 3 = 0; DELETE FROM loose WHERE n = 0 LIMIT 3";
    for _ in 0..2 {
        pair.target_sql(planted).await;
        // Rows that the stream wants at the same time may be left for the next time.
        let found = verify(&pair, &["--repair"]).await;
        assert!(matches!(found.code(), 0 | 1), "{}\n{}", found.stdout, found.stderr);
    }
    stop.store(true, Ordering::SeqCst);
    writing.await.unwrap();
    verify(&pair, &["--repair"]).await.expect_code(0);
    pair.assert_equal().await;
}

#[tokio::test]
async fn mysql_verify_repairs_among_writers_on_mysql_9_7() {
    repairs_among_writers(Release::MYSQL_9_7).await;
}

#[tokio::test]
async fn mysql_verify_repairs_among_writers_on_mariadb_11_8() {
    repairs_among_writers(Release::MARIADB_11_8).await;
}

#[tokio::test]
async fn mysql_verify_compares_generated_columns() {
    let pair = MySqlPair::of(Release::MYSQL_9_7).await;
    let table = "CREATE TABLE computed (twice int AS (n * 2) VIRTUAL, id int PRIMARY KEY,
            kept float AS (n / 3) STORED, n int, note text);
        INSERT INTO computed (id, n, note) VALUES (1, 0, 'a'), (2, 1, 'a'), (3, 2, 'a')";
    pair.source_sql(table).await;
    Dunlin::run(&pair, "run", &["--until", "caught-up"]).await.expect_code(0);
    verify(&pair, &[]).await.expect_code(0);
    let other = "ALTER TABLE computed DROP COLUMN twice;
        ALTER TABLE computed ADD COLUMN twice int AS (n * n) VIRTUAL;
        UPDATE computed SET note = 'b' WHERE id = 3";
    pair.target_sql(other).await;
    // What the target computes otherwise cannot be put right.
    let found = report(&verify(&pair, &["--repair"]).await.expect_code(1));
    let expected = ["app.computed different 2 twice", "app.computed different 3 note"];
    assert_eq!(differences(&found), expected.map(str::to_owned).into());
}
