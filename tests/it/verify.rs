//! `dunlin verify` between Postgres servers: every kind of difference is found by its key, equal rows
//! under writers never raise an alarm, and a verification that was killed goes on.
//!
//! `DUNLIN_VERIFY_ROUNDS=1000` has the comparison under writers that often; `DUNLIN_TEST_SEED` repeats it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use dunlin::config::endpoint::PostgresEndpoint;
use dunlin::config::environment::Environment;
use dunlin::demo::ServerOptions;
use dunlin::demo::load::Size;
use dunlin::model::OnDropColumn;
use dunlin::model::verification::Proven;
use dunlin::target::postgres::{Options, PostgresTarget, Remembered};
use dunlin::target::{Proofs, Target};
use serde_json::Value;
use tokio_postgres::Client;

use crate::support::binary::Finished;
use crate::support::scene::{Scene, seed};
use crate::support::verified::{
    certifies_what_it_found, goes_on_where_it_was_killed, keeps_to_its_rate, never_raises_an_alarm,
};
use crate::support::{Dunlin, TestPair, catch_up, number, text, wait_until, wait_until_streaming};

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
    repairs_what_is_planted(&pair).await;
    pair.target_sql(PLANTED).await;
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
    repairs_what_is_planted(&pair).await;
}

async fn repairs_what_is_planted(pair: &TestPair) {
    let repaired = report(&verify(pair, &["--repair"]).await.expect_code(0));
    assert_eq!(differences(&repaired), planted());
    let all = repaired["differences"].as_array().unwrap();
    assert!(all.iter().all(|row| row["repaired"] == true), "{repaired}");
    assert_eq!(unproven(pair).await, Vec::<String>::new());
    let equal = report(&verify(pair, &[]).await.expect_code(0));
    assert_eq!(differences(&equal), BTreeSet::new());
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
    let written = Arc::<AtomicU64>::default();
    let counted = Arc::clone(&written);
    let toggling = tokio::spawn(async move {
        let toggle = "UPDATE toggled SET v = CASE v WHEN 'a' THEN 'b' ELSE 'a' END";
        // No faster than a stream of an unoptimised build on a busy machine.
        let mut pace = tokio::time::interval(Duration::from_millis(20));
        while !stopped.load(Ordering::SeqCst) {
            pace.tick().await;
            toggler.batch_execute(toggle).await.unwrap();
            counted.fetch_add(1, Ordering::SeqCst);
        }
    });
    never_raises_an_alarm((&scene.pair, 3), WORDS, &written).await;
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
    goes_on_where_it_was_killed(&pair, 3000 + 3000 + 500 + 3 + 4).await;
    Dunlin::run(&pair, "complete", &[]).await.expect_code(0);
}

#[tokio::test]
async fn verify_certifies_what_it_found() {
    let pair = TestPair::start().await;
    pair.source_sql(TABLES).await;
    catch_up(&pair).await;
    certifies_what_it_found(&pair).await;
    let error = verify(&pair, &["--tables", "misspelt"]).await.expect_code(2);
    error.expect_said("PATTERN_UNMATCHED");
    keeps_to_its_rate(&pair).await;
}

/// Where a column's type has another scale or length on the target, values are written with other zeros
/// and blanks; nothing else of them is of no account.
#[tokio::test]
async fn verify_compares_values_and_not_their_zeros() {
    let pair = TestPair::start().await;
    let table = |number: &str, padded: &str| {
        format!(
            "CREATE TABLE scaled (k {number} PRIMARY KEY, n {number}, c {padded}, t text, j json)"
        )
    };
    pair.source_sql(&table("numeric", "char(4)")).await;
    pair.target_sql(&table("numeric(12, 4)", "char(9)")).await;
    let rows = "INSERT INTO scaled SELECT k, k / 2.0, 'c' || k, k || ' ', format('{\"a\": %s}', k)::json
        FROM generate_series(1, 9) AS k; INSERT INTO scaled VALUES (10, NULL, '', '', NULL), (11, 'NaN', NULL, NULL, NULL)";
    pair.source_sql(rows).await;
    catch_up(&pair).await;
    verify(&pair, &[]).await.expect_code(0);
    let planted =
        "UPDATE scaled SET n = n + 0.0001 WHERE k = 1; UPDATE scaled SET c = 'C' WHERE k = 2;
        UPDATE scaled SET t = '3' WHERE k = 3; UPDATE scaled SET j = '{\"a\":4}' WHERE k = 4;
        UPDATE scaled SET c = NULL WHERE k = 10; UPDATE scaled SET n = 0 WHERE k = 11;
        DELETE FROM scaled WHERE k = 5; INSERT INTO scaled VALUES (5.5)";
    pair.target_sql(planted).await;
    let found = report(&verify(&pair, &["--repair"]).await.expect_code(0));
    let expected = [
        "different 1 n",
        "different 2 c",
        "different 3 t",
        "different 4 j",
        "different 10 c",
        "different 11 n",
        "missing 5 ",
        "extra 5.5 ",
    ];
    let expected = expected.map(|difference| format!("public.scaled {difference}"));
    assert_eq!(differences(&found), expected.into());
    verify(&pair, &[]).await.expect_code(0);
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

/// What is proven of the tables of the migration.
async fn proven(pair: &TestPair) -> Proven {
    let environment = Environment::new(Vec::<(String, String)>::new(), None);
    let endpoint = PostgresEndpoint::parse(&pair.target_url(), &environment).unwrap();
    let options = Options {
        name: "dunlin".to_owned(),
        privileges: false,
        large_objects: false,
        maintenance_work_mem: 0,
        on_drop_column: OnDropColumn::Halt,
        remembered: Remembered::default(),
    };
    let target = PostgresTarget::connect(&endpoint, options).await.unwrap();
    let migration = target.load().await.unwrap().unwrap();
    Proven::of(&migration.tables, &target.proven().await.unwrap())
}

async fn unproven(pair: &TestPair) -> Vec<String> {
    proven(pair).await.unproven.iter().map(ToString::to_string).collect()
}

#[tokio::test]
async fn verify_leaves_a_proof_of_each_table() {
    let pair = TestPair::start().await;
    pair.source_sql(TABLES).await;
    catch_up(&pair).await;
    assert_eq!(unproven(&pair).await.len(), 6);
    verify(&pair, &["--sample", "100"]).await.expect_code(0);
    assert_eq!(unproven(&pair).await.len(), 6, "a sample proves nothing");
    verify(&pair, &[]).await.expect_code(0);
    let whole = proven(&pair).await;
    assert_eq!(whole.unproven, []);
    assert!(whole.position.is_some());
    assert!(whole.seconds_ago.is_some_and(|seconds| seconds >= 0.0));
    // A difference denies the table's proof, even where only a part is compared.
    pair.target_sql("UPDATE kinds SET note = 'other' WHERE id = 1").await;
    let words = ["--tables", "kinds", "--sample", "100"];
    verify(&pair, &words).await.expect_code(1);
    assert_eq!(unproven(&pair).await, ["public.kinds"]);
    pair.target_sql("UPDATE kinds SET note = '1' WHERE id = 1").await;
    verify(&pair, &words).await.expect_code(0);
    assert_eq!(unproven(&pair).await, ["public.kinds"]);
    verify(&pair, &["--tables", "kinds"]).await.expect_code(0);
    assert_eq!(unproven(&pair).await, Vec::<String>::new());
    // As if it were copied again.
    let copied = "UPDATE dunlin.chunk SET finished_at = now() WHERE table_id =
        (SELECT id FROM dunlin.tables WHERE definition -> 'name' ->> 'name' = 'words')";
    pair.target_sql(copied).await;
    assert_eq!(unproven(&pair).await, ["public.words"]);
    let named =
        "UPDATE dunlin.tables SET definition = jsonb_set(definition, '{name,name}', '\"other\"')
        WHERE definition -> 'name' ->> 'name' = 'pairs'";
    pair.target_sql(named).await;
    assert_eq!(unproven(&pair).await, ["public.other", "public.words"]);
}

/// Whether a repair that was stopped just before it commits leaves everything as it was, and one that
/// is carried out among writers never puts an older row in a newer one's place.
#[tokio::test]
async fn verify_repairs_among_writers() {
    let pair = TestPair::start().await;
    let table = "CREATE TABLE hot (id int PRIMARY KEY, n int, pad text);
        INSERT INTO hot SELECT n, 0, 'good' FROM generate_series(1, 60) AS n";
    pair.source_sql(table).await;
    let _run = Dunlin::start(&pair, "run", &[]);
    wait_until_streaming(&pair).await;
    let planted =
        "UPDATE hot SET pad = 'bad' WHERE id % 3 = 0; INSERT INTO hot VALUES (99, 0, 'x')";
    pair.target_sql(planted).await;
    let mut killed = Dunlin::start_with_failpoint(&pair, "verify", &["--repair"], "rows-mended:1");
    killed.reaches("rows-mended").await;
    pair.source_sql("UPDATE hot SET n = -1 WHERE id IN (3, 4)").await;
    killed.kill().await;
    let found = report(&verify(&pair, &[]).await.expect_code(1));
    assert_eq!(differences(&found).len(), 20, "{found}");
    let stop = Arc::new(AtomicBool::new(false));
    let (writer, stopped) = (pair.on_source().await, Arc::clone(&stop));
    let writing = tokio::spawn(async move {
        let mut pace = tokio::time::interval(Duration::from_millis(150));
        let mut round = 0;
        while !stopped.load(Ordering::SeqCst) {
            pace.tick().await;
            round += 7;
            let write = format!("UPDATE hot SET n = n + 1 WHERE id = {} + 1", round % 60);
            writer.batch_execute(&write).await.unwrap();
        }
    });
    for _ in 0..2 {
        // Rows that the stream wants at the same time may be left for the next time.
        let found = verify(&pair, &["--repair"]).await;
        assert!(matches!(found.code(), 0 | 1), "{}\n{}", found.stdout, found.stderr);
        pair.target_sql("UPDATE hot SET pad = 'bad' WHERE id % 3 = 0").await;
    }
    stop.store(true, Ordering::SeqCst);
    writing.await.unwrap();
    verify(&pair, &["--repair"]).await.expect_code(0);
    let rows = "SELECT string_agg(hot::text, ' ' ORDER BY id) FROM hot";
    let of = async |client: Client| text(&client, rows).await;
    assert_eq!(of(pair.on_source().await).await, of(pair.on_target().await).await);
}

#[tokio::test]
async fn verify_waits_while_the_source_is_busy() {
    let pair = TestPair::start().await;
    pair.source_sql(TABLES).await;
    catch_up(&pair).await;
    let lock = "SELECT pg_advisory_lock(7)";
    let (observer, busy) = (pair.on_source().await, pair.on_source().await);
    observer.batch_execute(lock).await.unwrap();
    let work = tokio::spawn(async move { busy.batch_execute(lock).await });
    wait_until("a session is at work", async || {
        let waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted";
        number::<i64>(&observer, waiting).await == 1
    })
    .await;
    let mut verifying = Dunlin::start(&pair, "verify", &["--max-load", "0"]);
    verifying.says("waiting until fewer sessions are at work on the source").await;
    observer.batch_execute("SELECT pg_advisory_unlock(7)").await.unwrap();
    work.await.unwrap().unwrap();
    verifying.finished().await.expect_code(0);
}

#[tokio::test]
async fn verify_compares_generated_columns() {
    let pair = TestPair::start().await;
    let tables = "
        CREATE TABLE computed (twice int GENERATED ALWAYS AS (n * 2) STORED, id int PRIMARY KEY,
            said text GENERATED ALWAYS AS ('it is ' || n) STORED, n int, note text);
        INSERT INTO computed (id, n, note) SELECT n, n - 1, 'a' FROM generate_series(1, 3) AS n;
        CREATE TABLE plainer (id int PRIMARY KEY, n int GENERATED ALWAYS AS (id) STORED);
        INSERT INTO plainer SELECT generate_series(1, 3)";
    pair.source_sql(tables).await;
    catch_up(&pair).await;
    verify(&pair, &[]).await.expect_code(0);
    let other = "ALTER TABLE computed DROP COLUMN twice;
        ALTER TABLE computed ADD COLUMN twice int GENERATED ALWAYS AS (n * n) STORED;
        UPDATE computed SET note = 'b' WHERE id = 3; ALTER TABLE plainer DROP COLUMN n";
    pair.target_sql(other).await;
    // What the target computes otherwise cannot be put right.
    let found = report(&verify(&pair, &["--repair"]).await.expect_code(1));
    let expected = BTreeSet::from([
        "public.computed different 2 twice".to_owned(),
        "public.computed different 3 note".to_owned(),
    ]);
    assert_eq!(differences(&found), expected);
    let plainer = &found["tables"][1];
    assert_eq!(
        (&plainer["table"], &plainer["verdict"]),
        (&"public.plainer".into(), &"equal".into())
    );
    assert!(plainer["note"].as_str().unwrap().contains("generated columns"), "{plainer}");
}
