//! `dunlin verify` between Postgres servers: every kind of difference is found by its key, equal rows
//! under writers never raise an alarm, and a verification that was killed goes on.

use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dunlin::demo::ServerOptions;
use dunlin::demo::load::Size;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::support::binary::Finished;
use crate::support::scene::{Scene, seed};
use crate::support::{Dunlin, TestPair, catch_up, wait_until_streaming};

/// A table for each kind of key, one of several chunks, and one without a key.
const TABLES: &str = "
CREATE TABLE kinds (id int PRIMARY KEY, raw bytea, note text, ratio float8, word text, doc jsonb);
INSERT INTO kinds SELECT n, decode(md5(n::text), 'hex'), NULLIF(n % 10, 0)::text, n % 20, 'w' || n,
    jsonb_build_object('n', n) FROM generate_series(1, 3000) AS n;
CREATE TABLE big (id bigint PRIMARY KEY, filler text);
INSERT INTO big SELECT n, repeat(md5(n::text), 40) FROM generate_series(1, 3000) AS n;
CREATE TABLE pairs (a int, b uuid, \"the value\" text, PRIMARY KEY (b, a));
INSERT INTO pairs SELECT n, md5(n::text)::uuid, 'v' || n FROM generate_series(1, 500) AS n;
CREATE TABLE words (word text PRIMARY KEY, n int);
INSERT INTO words VALUES ('one', 1), ('tab' || chr(9) || chr(92), 2), ('', 3);
CREATE TABLE heap (a int, b text);
ALTER TABLE heap REPLICA IDENTITY FULL;
INSERT INTO heap VALUES (1, 'x'), (1, 'x'), (2, NULL), (NULL, NULL);
CREATE TABLE nothing ();
ANALYZE;
";

/// A bit in bytes, a NULL for an empty text, a zero's sign, a blank at the end, a value in JSON, a
/// row that is missing, one too many, values exchanged between two rows, a key that differs in a letter,
/// keys that need escapes, and in a table without a key a row doubled and a row missing.
const PLANTED: &str = "
UPDATE kinds SET raw = set_bit(raw, 3, 1 - get_bit(raw, 3)) WHERE id = 5;
UPDATE kinds SET note = '' WHERE id = 10;
UPDATE kinds SET ratio = '-0' WHERE id = 20;
UPDATE kinds SET word = word || ' ' WHERE id = 30;
UPDATE kinds SET doc = '{\"n\": 41.0}' WHERE id = 41;
DELETE FROM big WHERE id = 1700;
INSERT INTO big VALUES (-4, 'x');
UPDATE pairs SET \"the value\" = CASE a WHEN 7 THEN 'v8' ELSE 'v7' END WHERE a IN (7, 8);
UPDATE words SET word = 'One' WHERE n = 1;
UPDATE words SET n = 4 WHERE n = 2;
DELETE FROM words WHERE n = 3;
INSERT INTO heap VALUES (1, 'x');
DELETE FROM heap WHERE a = 2;
";

const MENDED: &str = "
UPDATE kinds SET raw = set_bit(raw, 3, 1 - get_bit(raw, 3)) WHERE id = 5;
UPDATE kinds SET note = NULL WHERE id = 10;
UPDATE kinds SET ratio = '0' WHERE id = 20;
UPDATE kinds SET word = rtrim(word) WHERE id = 30;
UPDATE kinds SET doc = '{\"n\": 41}' WHERE id = 41;
INSERT INTO big VALUES (1700, repeat(md5('1700'), 40));
DELETE FROM big WHERE id = -4;
UPDATE pairs SET \"the value\" = 'v' || a WHERE a IN (7, 8);
UPDATE words SET word = 'one' WHERE n = 1;
UPDATE words SET n = 2 WHERE n = 4;
INSERT INTO words VALUES ('', 3);
DELETE FROM heap WHERE ctid = (SELECT ctid FROM heap WHERE a = 1 LIMIT 1);
INSERT INTO heap VALUES (2, NULL);
";

/// As many workers as there are tables, so that they wait together for what differs.
const WORDS: &[&str] = &["--json", "--chunk-size", "1MiB", "--workers", "8"];

/// Each difference as table, kind, the last value of its key, and columns.
fn differences(report: &Value) -> BTreeSet<String> {
    let text = |value: &Value| value.as_str().unwrap_or("NULL").to_owned();
    let difference = |row: &Value| {
        let key = row["key"].as_array().unwrap().last().unwrap();
        let key = if text(&key["column"]).is_empty() { String::new() } else { text(&key["value"]) };
        let columns: Vec<String> = row["columns"].as_array().unwrap().iter().map(text).collect();
        format!("{} {} {key} {}", text(&row["table"]), text(&row["kind"]), columns.join(","))
    };
    report["differences"].as_array().unwrap().iter().map(difference).collect()
}

fn planted() -> BTreeSet<String> {
    [
        "public.kinds different 5 raw",
        "public.kinds different 10 note",
        "public.kinds different 20 ratio",
        "public.kinds different 30 word",
        "public.kinds different 41 doc",
        "public.big missing 1700 ",
        "public.big extra -4 ",
        "public.pairs different 7 the value",
        "public.pairs different 8 the value",
        "public.words missing one ",
        "public.words extra One ",
        "public.words different tab\\t\\\\ n",
        "public.words missing  ",
        "public.heap different  ",
        "public.heap missing  ",
    ]
    .map(str::to_owned)
    .into()
}

async fn verify(pair: &TestPair, further: &[&str]) -> Finished {
    Dunlin::run(pair, "verify", &[WORDS, further].concat()).await
}

fn report(finished: &Finished) -> Value {
    serde_json::from_str(&finished.stdout).unwrap()
}

async fn finds_what_is_planted(source: u32, target: u32) {
    let of = |major| ServerOptions { major: Some(major), ..ServerOptions::default() };
    let pair = TestPair::start_with(of(source), of(target)).await;
    pair.source_sql(TABLES).await;
    let words = ["--chunk-size", "1MiB", "--until", "caught-up"];
    Dunlin::run(&pair, "run", &words).await.expect_code(0);
    let equal = verify(&pair, &[]).await.expect_code(0);
    assert_eq!(report(&equal)["verdict"], "equal");
    pair.target_sql(PLANTED).await;
    // At rest, and then with a run at work.
    let found = verify(&pair, &[]).await.expect_code(1);
    assert_eq!(differences(&report(&found)), planted());
    let _run = Dunlin::start(&pair, "run", &["--chunk-size", "1MiB"]);
    wait_until_streaming(&pair).await;
    pair.source_sql("INSERT INTO heap VALUES (77, 'on its way')").await;
    let found = verify(&pair, &["--show-values"]).await.expect_code(1);
    let found = report(&found);
    assert_eq!(differences(&found), planted());
    let note = found["differences"].as_array().unwrap().iter();
    let note = note.clone().find(|row| row["columns"][0] == "note").unwrap();
    let values = serde_json::json!([{ "column": "note", "source": null, "target": "" }]);
    assert_eq!(note["values"], values);
    pair.target_sql(MENDED).await;
    verify(&pair, &[]).await.expect_code(0);
}

#[tokio::test]
async fn verify_finds_every_difference_from_15_to_15() {
    finds_what_is_planted(15, 15).await;
}

#[tokio::test]
async fn verify_finds_every_difference_from_15_to_18() {
    finds_what_is_planted(15, 18).await;
}

#[tokio::test]
async fn verify_raises_no_alarm_under_writers() {
    let scene = Scene::start(Size::per_mille(3), seed()).await;
    let toggled = "CREATE TABLE toggled (id int PRIMARY KEY, v text);
        INSERT INTO toggled SELECT n, 'a' FROM generate_series(1, 50) AS n";
    scene.pair.source_sql(toggled).await;
    let _run = scene.run(&[]);
    wait_until_streaming(&scene.pair).await;
    let stop = Arc::new(AtomicBool::new(false));
    let (toggler, stopped) = (scene.pair.on_source().await, Arc::clone(&stop));
    let toggling = tokio::spawn(async move {
        let toggle = "UPDATE toggled SET v = CASE v WHEN 'a' THEN 'b' ELSE 'a' END";
        // No faster than a stream of an unoptimised build on a busy machine.
        let mut pace = tokio::time::interval(Duration::from_millis(20));
        while !stopped.load(Ordering::SeqCst) {
            pace.tick().await;
            toggler.batch_execute(toggle).await.unwrap();
        }
    });
    for _ in 0..3 {
        let found = verify(&scene.pair, &[]).await;
        assert_eq!(found.code(), 0, "{}\n{}", found.stdout, found.stderr);
    }
    // A difference is found among all that.
    scene.pair.target_sql("INSERT INTO toggled VALUES (51, 'a')").await;
    let found = verify(&scene.pair, &["--tables", "toggled"]).await.expect_code(1);
    let expected = BTreeSet::from(["public.toggled extra 51 ".to_owned()]);
    assert_eq!(differences(&report(&found)), expected);
    stop.store(true, Ordering::SeqCst);
    toggling.await.unwrap();
}

#[tokio::test]
async fn verify_goes_on_where_it_was_killed() {
    let pair = TestPair::start().await;
    pair.source_sql(TABLES).await;
    catch_up(&pair).await;
    let words = ["--chunk-size", "1MiB", "--workers", "1"];
    let mut killed = Dunlin::start_with_failpoint(&pair, "verify", &words, "unit-proven:3");
    killed.reaches("unit-proven").await;
    killed.kill().await;
    let found = report(&verify(&pair, &[]).await.expect_code(0));
    assert_eq!(found["units_before"], 3);
    let rows = |report: &Value| {
        let tables = report["tables"].as_array().unwrap().iter();
        tables.map(|table| table["rows"].as_u64().unwrap()).sum::<u64>()
    };
    assert_eq!(rows(&found), 3000 + 3000 + 500 + 3 + 4);
    let anew = report(&verify(&pair, &[]).await.expect_code(0));
    assert_eq!(anew["units_before"], 0, "one that has ended is not gone on with");
    assert_eq!(anew["tables"], found["tables"]);
    Dunlin::run(&pair, "complete", &[]).await.expect_code(0);
}

#[tokio::test]
async fn verify_certifies_what_it_found() {
    let pair = TestPair::start().await;
    pair.source_sql(TABLES).await;
    catch_up(&pair).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("proof.json");
    let words = ["--certificate", file.to_str().unwrap(), "--sample", "50", "--seed", "7"];
    let found = report(&verify(&pair, &words).await.expect_code(0));
    assert_eq!(found["sample"], serde_json::json!({ "percent": 50.0, "seed": 7 }));
    let text = fs::read_to_string(&file).unwrap();
    let certificate: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(certificate["certificate"], found);
    let inside = text.strip_prefix("{\"certificate\":").unwrap();
    let (inside, digest) = inside.split_once(",\"sha256\":\"").unwrap();
    let expected = Sha256::digest(inside.as_bytes());
    let expected: String = expected.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(digest.trim_end(), format!("{expected}\"}}"));
    let error = verify(&pair, &["--tables", "misspelt"]).await.expect_code(2);
    error.expect_said("PATTERN_UNMATCHED");
}

#[tokio::test]
async fn verify_asks_for_a_run_where_changes_are_not_applied() {
    let pair = TestPair::start().await;
    pair.source_sql(TABLES).await;
    Dunlin::run(&pair, "verify", &[]).await.expect_code(2).expect_said("MIGRATION_MISSING");
    Dunlin::run(&pair, "run", &["--until", "snapshot"]).await.expect_code(0);
    verify(&pair, &[]).await.expect_code(0);
    pair.source_sql("UPDATE kinds SET note = 'new' WHERE id = 1").await;
    verify(&pair, &[]).await.expect_code(4).expect_said("VERIFY_BEHIND");
    // What concerns no table of the migration is no reason to wait.
    catch_up(&pair).await;
    pair.source_sql("CREATE SCHEMA other; CREATE TABLE other.t (a int PRIMARY KEY)").await;
    pair.target_sql("UPDATE kinds SET note = 'other' WHERE id = 1").await;
    let found = report(&verify(&pair, &[]).await.expect_code(1));
    let expected = BTreeSet::from(["public.kinds different 1 note".to_owned()]);
    assert_eq!(differences(&found), expected);
}
