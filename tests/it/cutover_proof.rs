//! The final proof of a cutover: rows that change while it follows the log are compared while writers
//! wait, and one that differs undoes it.
//!
//! No run is at work, so that everything written since comes to the cutover's own stream.

use serde_json::Value;

use crate::support::{Dunlin, TestPair, catch_up, number, wait_until_streaming};

const TABLES: &str = "
    CREATE TABLE kept (id int PRIMARY KEY, note text);
    CREATE TABLE words (word text, n int, said text, PRIMARY KEY (n, word));
    CREATE TABLE plain (n int);
    INSERT INTO kept SELECT n, n FROM generate_series(1, 20) n;
    INSERT INTO plain SELECT n FROM generate_series(1, 20) n";

/// Eleven rows of `kept`, since one changes its key; two of `words`; and three without a key.
const CHANGES: &str = r"
    UPDATE kept SET note = 'x' WHERE id BETWEEN 11 AND 15;
    UPDATE kept SET note = note || 'y' WHERE id BETWEEN 11 AND 12;
    DELETE FROM kept WHERE id = 15;
    INSERT INTO kept SELECT n, n FROM generate_series(101, 104) n;
    UPDATE kept SET id = 200 WHERE id = 20;
    INSERT INTO words VALUES (E'a\tb\\c\nd', 1, 'x'), ('é''', 2, NULL);
    INSERT INTO plain VALUES (21), (22), (22)";
const CHANGED: u64 = 16;

async fn copied() -> TestPair {
    let pair = TestPair::start().await;
    pair.source_sql(TABLES).await;
    catch_up(&pair).await;
    pair
}

/// Patient, for a machine under load.
const PATIENT: [&str; 4] = ["--max-downtime", "50s", "--final-proof", "40s"];

fn words<'a>(further: &[&'a str]) -> Vec<&'a str> {
    [&PATIENT, further].concat()
}

/// What the report says was compared.
pub fn compared(stdout: &str) -> (u64, u64, Value) {
    let report: Value = serde_json::from_str(stdout).unwrap();
    let proof = &report["final_proof"];
    let rows = |name: &str| proof[name].as_u64().unwrap();
    assert!(!proof["since"].is_null(), "{report}");
    (rows("compared_rows"), rows("changed_rows"), proof["left_out"].clone())
}

#[tokio::test]
async fn rows_that_change_are_compared_there_and_on_the_way_back() {
    let pair = copied().await;
    pair.source_sql(CHANGES).await;
    let there = words(&["--json", "--accept-unverified", "--way-back"]);
    let there = Dunlin::run(&pair, "cutover", &there).await.expect_code(0);
    assert_eq!(compared(&there.stdout), (CHANGED, CHANGED, Value::Array(Vec::new())));
    Dunlin::run(&pair, "reverse", &["--until", "caught-up"]).await.expect_code(0);
    pair.target_sql("UPDATE kept SET note = 'z' WHERE id IN (1, 2); DELETE FROM words").await;
    let back = words(&["--json", "--accept-unverified", "--back"]);
    let back = Dunlin::run(&pair, "cutover", &back).await.expect_code(0);
    assert_eq!(compared(&back.stdout), (4, 4, Value::Array(Vec::new())));
    assert_eq!(number::<i64>(&pair.on_source().await, "SELECT count(*) FROM words").await, 0);
}

#[tokio::test]
async fn a_row_that_differs_undoes_everything_and_is_put_right() {
    let pair = copied().await;
    Dunlin::run(&pair, "verify", &[]).await.expect_code(0);
    pair.target_sql(
        "CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS
             'BEGIN NEW.note := NEW.note || ''!''; RETURN NEW; END';
         CREATE TRIGGER shouted BEFORE INSERT ON kept FOR EACH ROW EXECUTE FUNCTION shout();
         ALTER TABLE kept ENABLE ALWAYS TRIGGER shouted",
    )
    .await;
    pair.source_sql("INSERT INTO kept VALUES (101, 'a'); UPDATE kept SET note = 'b' WHERE id = 1")
        .await;
    // What was changed before it began to follow the log is not looked at before the fence.
    let final_alone = words(&["--verify-first", "0"]);
    let undone = Dunlin::run(&pair, "cutover", &final_alone).await.expect_code(5);
    let undone =
        undone.expect_said("error[CUTOVER_UNDONE]").expect_said("at the step 'final proof'");
    undone.expect_said("1 of the rows of table public.kept").expect_said("dunlin verify --repair");
    pair.source_sql("INSERT INTO kept VALUES (102, 'a')").await;
    pair.target_sql("DROP TRIGGER shouted ON kept").await;
    // What was proven before is not any more.
    let again = Dunlin::run(&pair, "cutover", &words(&[])).await.expect_code(5);
    again.expect_said("error[UNVERIFIED]").expect_said("table public.kept");
    let run = Dunlin::start(&pair, "run", &[]);
    wait_until_streaming(&pair).await;
    Dunlin::run(&pair, "verify", &["--repair"]).await.expect_code(0);
    run.interrupt().await.expect_code(0);
    Dunlin::run(&pair, "cutover", &words(&[])).await.expect_code(0);
}

#[tokio::test]
async fn rows_without_a_key_are_compared_with_all_of_their_table() {
    let pair = copied().await;
    pair.target_sql("UPDATE plain SET n = 5 WHERE n = 6").await;
    pair.source_sql("INSERT INTO plain VALUES (21)").await;
    let accepted = words(&["--accept-unverified"]);
    let undone = Dunlin::run(&pair, "cutover", &accepted).await.expect_code(5);
    let undone = undone.expect_said("error[CUTOVER_UNDONE]");
    undone.expect_said("1 of the rows of table public.plain");
    pair.target_sql(
        "UPDATE plain SET n = 6 WHERE ctid = (SELECT max(ctid) FROM plain WHERE n = 5)",
    )
    .await;
    pair.source_sql("TRUNCATE plain; INSERT INTO plain VALUES (1)").await;
    let json = words(&["--accept-unverified", "--json"]);
    let cutover = Dunlin::run(&pair, "cutover", &json).await.expect_code(0);
    assert_eq!(compared(&cutover.stdout), (1, 1, Value::Array(Vec::new())));
}

/// Rows of a table that is altered may be others without a word in the log.
#[tokio::test]
async fn tables_that_are_altered_meanwhile_are_compared_as_a_whole() {
    let pair = copied().await;
    pair.target_sql("UPDATE kept SET note = 'planted' WHERE id = 7").await;
    pair.source_sql(
        "ALTER TABLE kept ADD COLUMN more int DEFAULT 5; UPDATE kept SET more = 1 WHERE id = 1",
    )
    .await;
    let undone = Dunlin::run(&pair, "cutover", &words(&["--accept-unverified"])).await;
    let undone = undone.expect_code(5).expect_said("error[CUTOVER_UNDONE]");
    undone.expect_said("1 of the rows of table public.kept");
}

#[tokio::test]
async fn it_can_be_killed_and_left_out() {
    let pair = copied().await;
    pair.source_sql(CHANGES).await;
    let accepted = words(&["--accept-unverified"]);
    let point = "changes-compared";
    let mut killed = Dunlin::start_with_failpoint(&pair, "cutover", &accepted, point);
    killed.reaches(point).await;
    killed.kill().await;
    // Its locks end with its session.
    pair.source_sql("UPDATE kept SET note = 'later' WHERE id = 1").await;
    pair.target_sql("UPDATE kept SET note = 'other' WHERE id = 101").await;
    let rehearsed = Dunlin::run(&pair, "cutover", &["--dry-run"]).await.expect_code(0);
    assert!(rehearsed.stdout.contains("may take 250ms more"), "{}", rehearsed.stdout);
    let without = ["--accept-unverified", "--max-downtime", "50s", "--final-proof", "0"];
    let cutover = Dunlin::run(&pair, "cutover", &without).await.expect_code(0);
    assert!(cutover.stdout.contains("no row was compared while writers waited"));
    assert!(!cutover.stdout.contains("final proof"), "{}", cutover.stdout);
}
