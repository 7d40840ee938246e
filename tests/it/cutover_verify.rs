//! What changed since the last verification is compared as a part of the cutover, before writers have to
//! wait: a row that differs keeps it from beginning, and what nothing touched is not read again.

use dunlin::demo::private::Engine;
use serde_json::Value;

use crate::support::promises::{Promises, TABLE};
use crate::support::steps::{Held, Servers, Side};
use crate::support::verified::{SMALL_CHUNKS, verify};
use crate::support::{
    Dunlin, TestPair, catch_up_with, number, text, wait_until, wait_until_streaming,
};

/// A table of several chunks and one of one.
const TABLES: &str = "
    CREATE TABLE big (id bigint PRIMARY KEY, filler text);
    INSERT INTO big SELECT n, repeat(md5(n::text), 40) FROM generate_series(1, 3000) AS n;
    CREATE TABLE kept (id int PRIMARY KEY, note text);
    INSERT INTO kept SELECT n, n FROM generate_series(1, 20) AS n;
    ANALYZE";

/// Patient, for a machine under load.
const PATIENT: [&str; 4] = ["--max-downtime", "50s", "--final-proof", "40s"];

pub fn words<'a>(further: &[&'a str]) -> Vec<&'a str> {
    [SMALL_CHUNKS, &PATIENT, further].concat()
}

/// What a cutover has compared before writers had to wait.
pub struct Early(Value);

impl Early {
    pub fn of(stdout: &str) -> Early {
        Early(serde_json::from_str(stdout).unwrap())
    }

    /// Chunks that were read, and those that were not.
    pub fn chunks(&self) -> (u64, u64) {
        let early = &self.0["early_proof"];
        let chunks = |name: &str| early[name].as_u64().unwrap_or_else(|| panic!("{}", self.0));
        (chunks("read_chunks"), chunks("kept_chunks"))
    }

    /// The tables of which not all was compared.
    pub fn left_out(&self) -> Vec<&str> {
        let left_out = self.0["early_proof"]["left_out"].as_array().unwrap();
        left_out.iter().map(|left| left["table"].as_str().unwrap()).collect()
    }

    pub fn assert_covered(&self) {
        assert_eq!(self.0["covered"], true, "{}", self.0);
        let steps = self.0["steps"].as_array().unwrap();
        assert!(steps.iter().any(|step| step["name"] == "verify"), "{}", self.0);
    }

    pub fn is_covered(&self) -> bool {
        self.0["covered"] == true
    }
}

/// All chunks there are, as `dunlin verify` counts them.
pub async fn verified<E: Engine + Send>(pair: &TestPair<E>) -> u64 {
    let report = verify(pair, &[]).await.expect_code(0);
    let report: Value = serde_json::from_str(&report.stdout).unwrap();
    let tables = report["tables"].as_array().unwrap().iter();
    tables.map(|table| table["units"].as_u64().unwrap()).sum()
}

async fn start() -> (TestPair, Dunlin) {
    let pair = TestPair::start().await;
    pair.source_sql(TABLES).await;
    catch_up_with(&pair, SMALL_CHUNKS).await;
    let run = Dunlin::start(&pair, "run", SMALL_CHUNKS);
    wait_until_streaming(&pair).await;
    (pair, run)
}

/// A change of a row of `big` that is on the target by then.
async fn change(pair: &TestPair, id: u32, filler: &str) {
    pair.source_sql(&format!("UPDATE big SET filler = '{filler}' WHERE id = {id}")).await;
    arrives(pair, id, filler).await;
}

async fn arrives(pair: &TestPair, id: u32, filler: &str) {
    let target = pair.on_target().await;
    let there = format!("SELECT filler FROM big WHERE id = {id}");
    wait_until("the row arrives", async || text(&target, &there).await.as_deref() == Some(filler))
        .await;
}

#[tokio::test]
async fn what_changed_since_the_last_verification_is_compared_before_the_fence() {
    let (pair, run) = start().await;
    is_compared_before_the_fence(&pair, "public.big", async |id, filler| {
        arrives(&pair, id, filler).await;
    })
    .await;
    run.finished().await.expect_code(0);
}

/// The whole course on either engine, with a run at work: the table `big` has chunks by its `id`, up to
/// more than 800, and the first holds more than 20. `arrives` waits until the target has a row so.
pub async fn is_compared_before_the_fence<S: Servers>(
    servers: &S,
    big: &str,
    arrives: impl AsyncFn(u32, &str),
) {
    let pair = servers.pair();
    let update =
        |id: u32, filler: &str| format!("UPDATE big SET filler = '{filler}' WHERE id = {id}");
    let change = async |id: u32, filler: &str| {
        servers.sql(Side::Source, &update(id, filler)).await;
        arrives(id, filler).await;
    };
    let all = verified(pair).await;
    assert!(all > 3, "{all} chunks");
    change(790, "changed").await;
    servers.sql(Side::Target, &update(790, "planted")).await;
    let refused = Dunlin::run(pair, "cutover", &words(&[])).await.expect_code(1);
    let refused = refused.expect_said("error[ROWS_DIFFER]");
    let refused = refused.expect_said(&format!("table {big}: 1 of its rows"));
    refused.expect_said("dunlin verify --repair").expect_said("the source takes writes");
    change(791, "takes writes").await;
    // What was proven of the table before is not any more.
    let without = words(&["--verify-first", "0"]);
    let refused = Dunlin::run(pair, "cutover", &without).await.expect_code(5);
    refused.expect_said("error[UNVERIFIED]").expect_said(&format!("table {big}"));
    verify(pair, &["--incremental", "--repair"]).await.expect_code(0);

    // Killed meanwhile, it leaves nothing behind.
    for (failpoint, id) in [("verification-begun", 10), ("unit-proven", 20)] {
        servers.sql(Side::Source, &update(id, "x")).await;
        let mut killed = Dunlin::start_with_failpoint(pair, "cutover", &words(&[]), failpoint);
        killed.reaches(failpoint).await;
        killed.kill().await;
        change(id, failpoint).await;
    }
    let cutover = Dunlin::run(pair, "cutover", &words(&["--json"])).await.expect_code(0);
    let early = Early::of(&cutover.stdout);
    // Both rows are in the first chunk.
    assert_eq!(early.chunks(), (1, all - 1));
    early.assert_covered();
}

#[tokio::test]
async fn it_verifies_tables_without_a_proof_where_it_is_asked_to() {
    let (pair, run) = start().await;
    let refused = Dunlin::run(&pair, "cutover", &words(&[])).await.expect_code(5);
    refused.expect_said("error[UNVERIFIED]").expect_said("--verify-first");
    // In no time nothing is proven.
    let hasty = words(&["--verify-first", "1ns"]);
    let refused = Dunlin::run(&pair, "cutover", &hasty).await.expect_code(5);
    refused.expect_said("error[UNVERIFIED]");
    let rehearsal = words(&["--dry-run", "--verify-first", "10m"]);
    let rehearsed = Dunlin::run(&pair, "cutover", &rehearsal).await.expect_code(0);
    assert!(rehearsed.stdout.contains("for 10m at most"), "{}", rehearsed.stdout);
    pair.target_sql("UPDATE kept SET note = 'planted' WHERE id = 7").await;
    let asked = words(&["--verify-first", "10m", "--json"]);
    let refused = Dunlin::run(&pair, "cutover", &asked).await.expect_code(1);
    assert!(refused.stderr.contains("ROWS_DIFFER"), "{}", refused.stderr);
    pair.target_sql("UPDATE kept SET note = '7' WHERE id = 7").await;
    let cutover = Dunlin::run(&pair, "cutover", &asked).await.expect_code(0);
    let early = Early::of(&cutover.stdout);
    // The other table's chunks were proven by the one before.
    let (read, kept) = early.chunks();
    assert!(read == 1 && kept > 2, "{read} and {kept}");
    early.assert_covered();
    run.finished().await.expect_code(0);
}

#[tokio::test]
async fn writers_go_on_meanwhile_and_everything_is_covered() {
    let pair = TestPair::start().await;
    pair.source_sql(&format!("{TABLE}; {TABLES}")).await;
    catch_up_with(&pair, SMALL_CHUNKS).await;
    let folder = tempfile::tempdir().unwrap();
    let mut promises = Promises::start(&pair, 4, &folder.path().join("moved"));
    let run = Dunlin::start(&pair, "run", SMALL_CHUNKS);
    wait_until_streaming(&pair).await;
    verify(&pair, &[]).await.expect_code(0);
    promises.more_on_source(100).await;
    let switch = promises.switch();
    let mut command = Dunlin::command(&["cutover", "--source", &pair.source_url()]);
    command.args(["--target", &pair.target_url()]).args(words(&["--json", "--switch", &switch]));
    // They write between the look at the log and the end of the comparison, too.
    let held = Held::at(command, "verification-begun").await;
    promises.more_on_source(100).await;
    held.let_go();
    let cutover = held.dunlin.finished().await.expect_code(0);
    let early = Early::of(&cutover.stdout);
    early.assert_covered();
    assert!(early.chunks().0 >= 1 && early.chunks().1 > 2, "{}", cutover.stdout);
    let changed: Value = serde_json::from_str(&cutover.stdout).unwrap();
    assert!(changed["final_proof"]["changed_rows"].as_u64().unwrap() >= 100, "{changed}");
    promises.more_on_target(100).await;
    run.finished().await.expect_code(0);
    promises.assert_kept(&pair.on_target().await).await;
}

/// What changes while it compares is much, and compared before the fence too.
#[tokio::test]
async fn much_that_changes_meanwhile_is_compared_by_another_round() {
    let (pair, run) = start().await;
    verified(&pair).await;
    change(&pair, 10, "changed").await;
    let mut command = Dunlin::command(&["cutover", "--source", &pair.source_url()]);
    command.args(["--target", &pair.target_url()]).args(words(&["--json"]));
    let held = Held::at(command, "unit-proven").await;
    pair.source_sql("UPDATE kept SET note = 'x'; UPDATE big SET filler = 'y' WHERE id <= 1200")
        .await;
    arrives(&pair, 1200, "y").await;
    held.let_go();
    let cutover = held.dunlin.finished().await.expect_code(0);
    let report: Value = serde_json::from_str(&cutover.stdout).unwrap();
    assert_eq!(report["early_proof"]["rounds"], 2, "{report}");
    assert_eq!(report["final_proof"]["changed_rows"], 0, "{report}");
    Early::of(&cutover.stdout).assert_covered();
    run.finished().await.expect_code(0);
}

#[tokio::test]
async fn what_there_is_no_time_for_is_named() {
    let (pair, run) = start().await;
    verified(&pair).await;
    change(&pair, 10, "changed").await;
    let mut command = Dunlin::command(&["cutover", "--source", &pair.source_url()]);
    command.args(["--target", &pair.target_url()]);
    command.args(words(&["--json", "--verify-first", "2s"]));
    let held = Held::at(command, "verification-begun").await;
    let locked = pair.on_target().await;
    locked.batch_execute("BEGIN; LOCK TABLE big IN ACCESS EXCLUSIVE MODE").await.unwrap();
    held.let_go();
    let cutover = held.dunlin.finished().await.expect_code(0);
    let early = Early::of(&cutover.stdout);
    assert!(early.left_out().contains(&"public.big"), "{}", cutover.stdout);
    assert!(!early.is_covered(), "{}", cutover.stdout);
    locked.batch_execute("COMMIT").await.unwrap();
    run.finished().await.expect_code(0);
    assert_eq!(number::<i64>(&pair.on_target().await, "SELECT count(*) FROM big").await, 3000);
}
