//! `dunlin verify --incremental` between Postgres servers: what nothing touched is not read again, and
//! what was touched is, whoever is killed when.

use dunlin::demo::ServerOptions;
use dunlin::demo::load::Size;
use serde_json::Value;
use tokio_postgres::Client;

use crate::support::scene::{Scene, seed};
use crate::support::verified::{
    SMALL_CHUNKS, Verified, incremental, takes_over_what_is_there, verify,
};
use crate::support::{Dunlin, TestPair, catch_up_with, number, wait_until, wait_until_streaming};

/// Tables of several chunks by one column, by two of which the first has few values, and by text that
/// sorts by its bytes; one whose key is sorted by the rules of a language, and one without a key.
const TABLES: &str = "
CREATE TABLE big (id bigint PRIMARY KEY, filler text);
INSERT INTO big SELECT n, repeat(md5(n::text), 40) FROM generate_series(1, 3000) AS n;
CREATE TABLE pairs (tenant int, id uuid, filler text, PRIMARY KEY (tenant, id));
INSERT INTO pairs SELECT n % 2, md5(n::text)::uuid, repeat(md5(n::text), 40)
    FROM generate_series(1, 3000) AS n ORDER BY 1, 2;
CREATE TABLE words (word text COLLATE \"C\" PRIMARY KEY, filler text);
INSERT INTO words SELECT 'w' || lpad(n::text, 5, '0'), repeat(md5(n::text), 40)
    FROM generate_series(1, 3000) AS n;
CREATE TABLE phrases (phrase text COLLATE \"und-x-icu\" PRIMARY KEY);
INSERT INTO phrases VALUES ('one'), ('two');
CREATE TABLE heap (a int, b text);
ALTER TABLE heap REPLICA IDENTITY FULL;
INSERT INTO heap VALUES (1, 'x'), (1, 'x');
ANALYZE;
";

async fn start(further: &[&str]) -> (TestPair, Dunlin) {
    let pair = TestPair::start().await;
    pair.source_sql(TABLES).await;
    catch_up_with(&pair, SMALL_CHUNKS).await;
    let run = Dunlin::start(&pair, "run", &[SMALL_CHUNKS, further].concat());
    wait_until_streaming(&pair).await;
    (pair, run)
}

/// The units that were read.
fn all_read(found: &Verified) -> [u64; 5] {
    ["big", "pairs", "words", "phrases", "heap"].map(|name| found.read(name))
}

async fn holds(client: &Client, what: &str, condition: &str) {
    wait_until(what, async || number(client, &format!("SELECT {condition}")).await).await;
}

#[tokio::test]
async fn incremental_verify_reads_what_was_touched() {
    let (pair, _run) = start(&[]).await;
    // Without a former verification all is read.
    let first = incremental(&pair).await;
    assert_eq!(first.0["incremental"], true);
    for name in ["big", "pairs", "words", "phrases", "heap"] {
        assert_eq!(first.read(name), first.units(name), "{name}");
    }
    for name in ["big", "pairs", "words"] {
        assert!(first.units(name) > 2, "{name}");
    }
    let again = incremental(&pair).await;
    assert_eq!(all_read(&again), [0; 5]);
    assert_eq!(again.table("big")["digest"], first.table("big")["digest"]);
    // The tail; then the same row once more, which is another touch.
    for round in 0..2 {
        let touch = format!(
            "UPDATE big SET filler = '{round}' WHERE id = 3000; INSERT INTO big VALUES (3001 + {round}, 'x')"
        );
        pair.source_sql(&touch).await;
        let found = incremental(&pair).await;
        assert_eq!(all_read(&found), [1, 0, 0, 0, 0], "round {round}");
        assert_eq!(found.table("big")["rows"], 3001 + round);
    }
    // A row that moves touches where it was and where it is.
    pair.source_sql("UPDATE big SET id = 100000 WHERE id = 1").await;
    assert_eq!(all_read(&incremental(&pair).await), [2, 0, 0, 0, 0]);
    pair.source_sql("UPDATE pairs SET filler = 'x' WHERE tenant = 1 AND id = md5('1')::uuid").await;
    assert_eq!(all_read(&incremental(&pair).await), [0, 1, 0, 0, 0]);
    let deletes = "DELETE FROM words WHERE word = 'w00007';
        DELETE FROM phrases WHERE phrase = 'two'; DELETE FROM heap WHERE ctid = '(0,1)'";
    pair.source_sql(deletes).await;
    assert_eq!(all_read(&incremental(&pair).await), [0, 0, 1, 1, 1]);
    pair.source_sql("TRUNCATE pairs").await;
    let found = incremental(&pair).await;
    assert_eq!(all_read(&found), [0, found.units("pairs"), 0, 0, 0]);
    pair.source_sql(
        "ALTER TABLE pairs ADD COLUMN more int; INSERT INTO pairs VALUES (1, md5('')::uuid)",
    )
    .await;
    // Until it is carried out, the table is not ready to be compared.
    let target = pair.on_target().await;
    let arrived = "SELECT count(more IS NULL) FROM pairs WHERE tenant = 1 AND filler IS NULL";
    wait_until("the altered table has its row", async || {
        target.query_one(arrived, &[]).await.is_ok_and(|row| row.get::<_, i64>(0) == 1)
    })
    .await;
    let found = incremental(&pair).await;
    assert_eq!(all_read(&found), [0, found.units("pairs"), 0, 0, 0]);
}

#[tokio::test]
async fn incremental_verify_finds_what_is_planted_where_it_reads() {
    let (pair, _run) = start(&[]).await;
    verify(&pair, &[]).await.expect_code(0);
    pair.target_sql("UPDATE big SET filler = 'planted' WHERE id IN (2, 2990)").await;
    assert_eq!(all_read(&incremental(&pair).await), [0; 5]);
    pair.source_sql("UPDATE big SET filler = 'touched' WHERE id = 3000").await;
    let found = Verified::of(&verify(&pair, &["--incremental"]).await.expect_code(1));
    assert_eq!(found.differences(), ["public.big 2990"]);
    // What was not proven is read again, though nothing touched it.
    let found = Verified::of(&verify(&pair, &["--incremental", "--repair"]).await.expect_code(0));
    assert_eq!((found.read("big"), found.differences()), (1, vec!["public.big 2990".to_owned()]));
    assert_eq!(all_read(&incremental(&pair).await), [0; 5]);
    // Others who write to the target touch nothing; that is why all is read where nothing else is said.
    let found = Verified::of(&verify(&pair, &[]).await.expect_code(1));
    assert_eq!(found.differences(), ["public.big 2"]);
    let words = ["--incremental", "--tables", "big", "--repair"];
    assert_eq!(Verified::of(&verify(&pair, &words).await.expect_code(0)).read("big"), 1);
}

#[tokio::test]
async fn what_a_verification_is_killed_over_is_marked() {
    let (pair, _run) = start(&[]).await;
    let target = pair.on_target().await;
    verify(&pair, &[]).await.expect_code(0);
    // Behind the position that it goes by, before it begins; and behind that, where nothing was read.
    for (failpoint, id) in [("marks-awaited", 10), ("verification-begun", 20)] {
        let words = [SMALL_CHUNKS, &["--incremental"]].concat();
        let mut killed = Dunlin::start_with_failpoint(&pair, "verify", &words, failpoint);
        killed.reaches(failpoint).await;
        pair.source_sql(&format!("UPDATE big SET filler = 'x' WHERE id = {id}")).await;
        let applied = format!("filler = 'x' FROM big WHERE id = {id}");
        holds(&target, "the row is applied", &applied).await;
        killed.kill().await;
        assert_eq!(all_read(&incremental(&pair).await), [1, 0, 0, 0, 0], "{failpoint}");
        assert_eq!(all_read(&incremental(&pair).await), [0; 5], "{failpoint}");
    }
    // One that is killed half way leaves what it has proven.
    pair.source_sql("UPDATE big SET filler = 'y' WHERE id IN (10, 2990); TRUNCATE heap").await;
    let words = [SMALL_CHUNKS, &["--incremental", "--workers", "1"]].concat();
    let mut killed = Dunlin::start_with_failpoint(&pair, "verify", &words, "unit-proven:2");
    killed.reaches("unit-proven").await;
    killed.kill().await;
    let found = incremental(&pair).await;
    assert_eq!(all_read(&found).iter().sum::<u64>(), 1);
    // A verification of everything does not go on with it.
    let all = Verified::of(&verify(&pair, &[]).await.expect_code(0));
    assert_eq!((&all.0["units_before"], all.read("big")), (&Value::from(0), all.units("big")));
}

#[tokio::test]
async fn a_run_that_is_killed_leaves_rows_and_marks_together() {
    let (pair, run) = start(&[]).await;
    verify(&pair, &[]).await.expect_code(0);
    run.interrupt().await.expect_code(0);
    for (failpoint, id) in [("group-applied", 10), ("group-committed", 20)] {
        let mut killed = Dunlin::start_with_failpoint(&pair, "run", SMALL_CHUNKS, failpoint);
        wait_until_streaming(&pair).await;
        pair.source_sql(&format!("UPDATE big SET filler = 'x' WHERE id = {id}")).await;
        killed.reaches(failpoint).await;
        killed.kill().await;
        let run = Dunlin::start(&pair, "run", SMALL_CHUNKS);
        assert_eq!(all_read(&incremental(&pair).await), [1, 0, 0, 0, 0], "{failpoint}");
        run.interrupt().await.expect_code(0);
    }
    // Nobody applies what was touched.
    assert_eq!(all_read(&incremental(&pair).await), [0; 5]);
    pair.source_sql("UPDATE big SET filler = 'y' WHERE id = 10").await;
    verify(&pair, &["--incremental"]).await.expect_code(4).expect_said("VERIFY_BEHIND");
}

#[tokio::test]
async fn a_group_that_is_open_while_a_verification_begins_marks_its_units() {
    let (pair, _run) = start(&["--group-size", "64KiB", "--queue-size", "128KiB"]).await;
    let target = pair.on_target().await;
    verify(&pair, &[]).await.expect_code(0);
    // Marked in the eyes of whoever applies.
    pair.source_sql("UPDATE big SET filler = 'x' WHERE id IN (10, 2990)").await;
    holds(&target, "the rows are marked", "count(*) = 2 FROM dunlin.touched").await;
    let held = pair.on_target().await;
    held.batch_execute("BEGIN; SELECT FROM big WHERE id = 2990 FOR UPDATE").await.unwrap();
    // Larger than a group: pieces of it are on the target before the row that has to wait.
    let large = "BEGIN; UPDATE big SET filler = filler || 'y' WHERE id < 200;
        UPDATE big SET filler = 'y' WHERE id = 2990; COMMIT";
    pair.source_sql(large).await;
    let waits = "EXISTS (SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock'
        AND application_name LIKE 'dunlin%')";
    holds(&target, "the group waits for the row", waits).await;
    let mut begun =
        Dunlin::start_with_failpoint(&pair, "verify", SMALL_CHUNKS, "verification-begun");
    begun.reaches("verification-begun").await;
    begun.kill().await;
    assert!(number::<bool>(&target, "SELECT count(*) = 0 FROM dunlin.touched").await);
    held.batch_execute("COMMIT").await.unwrap();
    holds(&target, "the group is applied", "filler = 'y' FROM big WHERE id = 2990").await;
    // What was sent before it was known that there is a new one counts as all of the table.
    let marks = "SELECT count(*) = 1 AND min(unit) = -1 FROM dunlin.touched";
    assert!(number::<bool>(&target, marks).await);
    assert_eq!(incremental(&pair).await.0["verdict"], "equal");
}

#[tokio::test]
async fn incremental_verify_knows_tables_that_were_copied_again() {
    let of = |major| ServerOptions { major: Some(major), ..ServerOptions::default() };
    let pair = TestPair::start_with(of(15), of(18)).await;
    pair.source_sql(TABLES).await;
    catch_up_with(&pair, SMALL_CHUNKS).await;
    verify(&pair, &[]).await.expect_code(0);
    assert_eq!(all_read(&incremental(&pair).await), [0; 5]);
    // As if it were copied again.
    let copied = "UPDATE dunlin.chunk SET finished_at = now() WHERE table_id =
        (SELECT id FROM dunlin.tables WHERE definition->'name'->>'name' = 'pairs')";
    pair.target_sql(copied).await;
    let found = incremental(&pair).await;
    assert_eq!(all_read(&found), [0, found.units("pairs"), 0, 0, 0]);
    // A sample proves too little to go on from.
    verify(&pair, &["--sample", "50"]).await.expect_code(0);
    let found = incremental(&pair).await;
    assert_eq!(found.read("big"), found.units("big"));
    let said = verify(&pair, &["--incremental", "--sample", "50"]).await.expect_code(2);
    said.expect_said("--incremental");
}

#[tokio::test]
async fn incremental_verify_takes_over_what_is_there_after_writers_and_kills() {
    let scene = Scene::start(Size::SMALL, seed()).await;
    let mut run = scene.run(&[]);
    wait_until_streaming(&scene.pair).await;
    verify(&scene.pair, &[]).await.expect_code(0);
    scene.written(50).await;
    incremental(&scene.pair).await;
    scene.written(50).await;
    run.kill().await;
    run = scene.run(&[]);
    incremental(&scene.pair).await;
    run.interrupt().await.expect_code(0);
    takes_over_what_is_there(&scene.finish().await).await;
}
