//! The cutover of Postgres: under writers that remember every commit they were promised, with kills at
//! every step, and with everything in the way that an operator meets.

use tokio_postgres::Client;

use crate::support::pair::DATABASE;
use crate::support::promises::{Promises, TABLE};
use crate::support::{
    Dunlin, Proxy, TestPair, catch_up, number, text, wait_until, wait_until_streaming,
};

const PHASE: &str = "SELECT phase FROM dunlin.migration";
const FENCES: &str = "SELECT count(*) FROM pg_proc WHERE proname LIKE 'refuse_%'";

/// A pair of which the target follows the source by a run.
async fn following(schema: &str) -> (TestPair, Dunlin) {
    let pair = TestPair::start().await;
    pair.source_sql(schema).await;
    let run = Dunlin::start(&pair, "run", &[]);
    wait_for_phase(&pair, "stream").await;
    (pair, run)
}

async fn wait_for_phase(pair: &TestPair, phase: &str) {
    let target = pair.on_target().await;
    wait_until(&format!("phase {phase}"), async || {
        let there = "SELECT to_regclass('dunlin.migration') IS NOT NULL";
        number(&target, there).await && text(&target, PHASE).await.as_deref() == Some(phase)
    })
    .await;
}

/// Patient, for a machine under load.
fn words<'a>(further: &[&'a str]) -> Vec<&'a str> {
    let patient: &[&str] =
        if further.contains(&"--max-downtime") { &[] } else { &["--max-downtime", "50s"] };
    [&["--accept-unverified", "--log-level", "debug"], patient, further].concat()
}

/// A row written to the source arrives on the target.
async fn assert_goes_on(pair: &TestPair, n: i32) {
    pair.source_sql(&format!("INSERT INTO promise (writer, n) VALUES (-1, {n})")).await;
    let target = pair.on_target().await;
    let there = format!("SELECT EXISTS (SELECT FROM promise WHERE writer = -1 AND n = {n})");
    wait_until("the row arrives", async || number(&target, &there).await).await;
}

async fn assert_refuses(source: &Client, statement: &str) {
    let error = source.batch_execute(statement).await.unwrap_err();
    assert_eq!(error.code().unwrap().code(), "25006", "{error}");
    let _ = source.batch_execute("ROLLBACK").await;
}

#[tokio::test]
async fn every_promised_commit_is_on_the_target_and_no_refused_one() {
    let (pair, run) = following(TABLE).await;
    let folder = tempfile::tempdir().unwrap();
    let mut promises = Promises::start(&pair, 6, &folder.path().join("moved"));
    promises.more_on_source(200).await;
    let switch = promises.switch();
    let cutover = Dunlin::run(&pair, "cutover", &words(&["--switch", &switch])).await;
    let cutover = cutover.expect_code(0);
    assert!(cutover.stdout.contains("cut over: the target is the database"), "{}", cutover.stdout);
    promises.more_on_target(200).await;
    let ended = run.finished().await.expect_code(0);
    assert!(ended.stdout.contains("the migration is cut over"), "{}", ended.stdout);
    let (source, target) = (pair.on_source().await, pair.on_target().await);
    // Also a session that insists on writing.
    for statement in [
        "INSERT INTO promise (writer, n) VALUES (-1, 1)",
        "BEGIN READ WRITE; UPDATE promise SET n = 0",
        "SET session_replication_role = replica; DELETE FROM promise",
        "TRUNCATE promise",
    ] {
        assert_refuses(&source, statement).await;
    }
    let pause = promises.assert_kept(&target).await;
    eprintln!("the longest pause of a writer: {} ms\n{}", pause.as_millis(), cutover.stdout);
    let behind = "SELECT (SELECT last_value FROM promise_id_seq) < (SELECT max(id) FROM promise)";
    assert!(!number::<bool>(&target, behind).await);
    let again = Dunlin::run(&pair, "cutover", &words(&[])).await.expect_code(5);
    again.expect_said("error[CUT_OVER]");
    Dunlin::run(&pair, "run", &[]).await.expect_code(0);
    let completed = Dunlin::run(&pair, "complete", &[]).await.expect_code(0);
    assert!(completed.stdout.contains("DROP FUNCTION"), "{}", completed.stdout);
    assert!(!number::<bool>(&target, behind).await, "the target's sequence went back");
    assert_refuses(&source, "INSERT INTO promise (writer, n) VALUES (-1, 1)").await;
}

#[tokio::test]
async fn a_switch_that_fails_undoes_everything() {
    let (pair, run) = following(TABLE).await;
    let folder = tempfile::tempdir().unwrap();
    let mut promises = Promises::start(&pair, 3, &folder.path().join("never"));
    promises.more_on_source(50).await;
    let rehearsed = async || Dunlin::run(&pair, "cutover", &["--dry-run"]).await.expect_code(0);
    Dunlin::run(&pair, "verify", &[]).await.expect_code(0);
    assert!(rehearsed().await.stdout.contains("every table was proven equal"));
    let failed = Dunlin::run(&pair, "cutover", &words(&["--switch", "exit 3"])).await;
    failed.expect_code(5).expect_said("error[CUTOVER_UNDONE]").expect_said("exit status: 3");
    // Whatever the command reached may have written to the target.
    assert!(rehearsed().await.stdout.contains("it is not proven that both sides are equal"));
    let slow = ["--switch", "sleep 60", "--max-downtime", "1s"];
    let failed = Dunlin::run(&pair, "cutover", &words(&slow)).await;
    // What was broken off may have moved the traffic, or not.
    failed.expect_code(5).expect_said("error[CUTOVER_UNDECIDED]");
    assert_refuses(&pair.on_source().await, "DELETE FROM promise").await;
    run.finished().await.expect_code(5).expect_said("error[CUTOVER_UNDECIDED]");
    Dunlin::run(&pair, "cutover", &["--abort"]).await.expect_code(0);
    let run = Dunlin::start(&pair, "run", &[]);
    promises.more_on_source(50).await;
    assert_goes_on(&pair, 1).await;
    let source = pair.on_source().await;
    wait_until("no fence is left", async || number::<i64>(&source, FENCES).await == 0).await;
    let cutover = Dunlin::run(&pair, "cutover", &words(&[])).await.expect_code(0);
    assert!(cutover.stdout.contains("let the applications write to the target now"));
    run.finished().await.expect_code(0);
    promises.assert_kept(&pair.on_target().await).await;
}

async fn kill_at(pair: &TestPair, failpoint: &str) {
    let words = words(&["--max-downtime", "60s"]);
    let mut cutover = Dunlin::start_with_failpoint(pair, "cutover", &words, failpoint);
    cutover.reaches(failpoint).await;
    cutover.kill().await;
}

#[tokio::test]
async fn a_kill_before_the_seal_lets_writers_in_and_the_run_goes_on() {
    let (pair, run) = following(TABLE).await;
    let points =
        ["cutover-begun", "fence-closed", "log-drained", "sequences-carried", "source-sealing"];
    for (n, point) in (0..).zip(points) {
        kill_at(&pair, point).await;
        assert_goes_on(&pair, n).await;
    }
    assert_eq!(number::<i64>(&pair.on_source().await, FENCES).await, 0);
    // A frozen one is opened by the server itself.
    let brief = words(&["--max-downtime", "6s"]);
    let mut frozen = Dunlin::start_with_failpoint(&pair, "cutover", &brief, "fence-closed");
    frozen.reaches("fence-closed").await;
    pair.source_sql("INSERT INTO promise (writer, n) VALUES (-2, 0)").await;
    frozen.kill().await;
    assert_goes_on(&pair, 10).await;
    run.interrupt().await.expect_code(0);
}

#[tokio::test]
async fn a_kill_behind_the_seal_leaves_the_source_closed_until_it_is_aborted() {
    let (pair, run) = following(TABLE).await;
    let source = pair.on_source().await;
    let insert = "INSERT INTO promise (writer, n) VALUES (-1, 0)";
    let status = async || {
        let words = ["status", "--target", &pair.target_url()];
        Dunlin::start_command(Dunlin::command(&words)).finished().await.expect_code(0).stdout
    };

    kill_at(&pair, "source-sealed").await;
    assert_refuses(&source, insert).await;
    let told = async || status().await.contains("dunlin cutover --abort");
    wait_until("the status tells of the killed cutover", told).await;
    Dunlin::run(&pair, "cutover", &["--abort"]).await.expect_code(0);
    assert_goes_on(&pair, 1).await;

    kill_at(&pair, "traffic-switching").await;
    assert_refuses(&source, insert).await;
    run.finished().await.expect_code(5).expect_said("error[CUTOVER_UNDECIDED]");
    assert!(status().await.contains("--finish"), "{}", status().await);
    for verb in ["cutover", "complete"] {
        let words = if verb == "cutover" { words(&[]) } else { Vec::new() };
        let refused = Dunlin::run(&pair, verb, &words).await.expect_code(5);
        refused.expect_said("error[CUTOVER_UNDECIDED]");
    }
    Dunlin::run(&pair, "cutover", &["--abort"]).await.expect_code(0);
    let none = Dunlin::run(&pair, "cutover", &["--abort"]).await.expect_code(0);
    assert!(none.stdout.contains("no cutover has left anything"), "{}", none.stdout);
    let run = Dunlin::start(&pair, "run", &[]);
    assert_goes_on(&pair, 2).await;
    run.interrupt().await.expect_code(0);

    kill_at(&pair, "traffic-switched").await;
    Dunlin::run(&pair, "cutover", &["--finish"]).await.expect_code(0);
    assert_refuses(&source, insert).await;
    wait_for_phase(&pair, "cut-over").await;
    Dunlin::run(&pair, "complete", &[]).await.expect_code(0);
}

#[tokio::test]
async fn without_a_run_it_reads_the_log_itself_and_ends_whoever_keeps_a_transaction_open() {
    let pair = TestPair::start().await;
    pair.source_sql(&format!("{TABLE}; ALTER SEQUENCE promise_id_seq CACHE 50")).await;
    catch_up(&pair).await;
    pair.source_sql("INSERT INTO promise (writer, n) SELECT 1, n FROM generate_series(1, 100) n")
        .await;
    // Numbers that were taken and whose rows never came to be.
    let hungry = pair.on_source().await;
    hungry.batch_execute("BEGIN; INSERT INTO promise (writer, n) VALUES (2, 0)").await.unwrap();
    let taken: i64 = number(&hungry, "SELECT nextval('promise_id_seq')").await;
    hungry.batch_execute("ROLLBACK").await.unwrap();
    let open = pair.on_source().await;
    open.batch_execute("BEGIN; INSERT INTO promise (writer, n) VALUES (3, 0)").await.unwrap();
    let mut cutover = Dunlin::start(&pair, "cutover", &words(&["--grace", "300ms"]));
    cutover.says("its session is ended").await;
    cutover.finished().await.expect_code(0);
    assert!(open.batch_execute("COMMIT").await.is_err());
    let target = pair.on_target().await;
    assert_eq!(number::<i64>(&target, "SELECT count(*) FROM promise WHERE writer = 1").await, 100);
    assert_eq!(number::<i64>(&target, "SELECT count(*) FROM promise WHERE writer > 1").await, 0);
    let next: i64 = number(&target, "SELECT nextval('promise_id_seq')").await;
    assert!(next > taken, "{next} was handed out on the source, where {taken} was");
}

#[tokio::test]
async fn what_stands_against_it_is_said_before_anything_is_changed() {
    let pair = TestPair::start().await;
    pair.source_sql(TABLE).await;
    let early = Dunlin::run(&pair, "cutover", &words(&[])).await.expect_code(2);
    early.expect_said("error[MIGRATION_MISSING]");
    catch_up(&pair).await;
    let unverified = Dunlin::run(&pair, "cutover", &[]).await.expect_code(5);
    unverified.expect_said("error[UNVERIFIED]").expect_said("table public.promise");
    let rehearsed = Dunlin::run(&pair, "cutover", &["--dry-run"]).await.expect_code(0);
    assert!(rehearsed.stdout.contains("dunlin verify"), "{}", rehearsed.stdout);
    Dunlin::run(&pair, "verify", &[]).await.expect_code(0);
    let rehearsed = Dunlin::run(&pair, "cutover", &["--dry-run"]).await.expect_code(0);
    assert!(rehearsed.stdout.contains("proven equal"), "{}", rehearsed.stdout);
    let outdated = Dunlin::run(&pair, "cutover", &["--verified-within", "0s"]).await;
    outdated.expect_code(5).expect_said("error[UNVERIFIED]").expect_said("old");
    pair.source_sql(
        "BEGIN; INSERT INTO promise (writer, n) VALUES (1, 1); PREPARE TRANSACTION 'x'",
    )
    .await;
    let rehearsed = Dunlin::run(&pair, "cutover", &["--dry-run"]).await.expect_code(5);
    assert!(rehearsed.stdout.contains("ROLLBACK PREPARED 'x'"), "{}", rehearsed.stdout);
    let refused = Dunlin::run(&pair, "cutover", &words(&[])).await.expect_code(5);
    refused.expect_said("error[CUTOVER_REFUSED]").expect_said("ROLLBACK PREPARED 'x'");
    pair.source_sql("COMMIT PREPARED 'x'").await;
    pair.source_sql("CREATE TABLE later (id int PRIMARY KEY)").await;
    let refused = Dunlin::run(&pair, "cutover", &words(&[])).await.expect_code(5);
    refused.expect_said("public.later");
    let rehearsed = Dunlin::run(&pair, "cutover", &["--dry-run", "--json"]).await.expect_code(0);
    assert!(rehearsed.stdout.contains("\"end\": \"rehearsed\""), "{}", rehearsed.stdout);
    let accepted = words(&["--accept-warnings"]);
    Dunlin::run(&pair, "cutover", &accepted).await.expect_code(0);
    let target = pair.on_target().await;
    assert_eq!(number::<i64>(&target, "SELECT count(*) FROM promise").await, 1);
}

#[tokio::test]
async fn partitions_are_fenced_from_every_side() {
    let (pair, run) = following(
        "CREATE TABLE event (id int PRIMARY KEY, note text) PARTITION BY RANGE (id);
         CREATE TABLE event_1 PARTITION OF event FOR VALUES FROM (0) TO (10);
         CREATE TABLE event_2 PARTITION OF event FOR VALUES FROM (10) TO (20);
         INSERT INTO event SELECT n, n FROM generate_series(0, 19) n;
         CREATE TABLE counted (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY);
         INSERT INTO counted DEFAULT VALUES",
    )
    .await;
    wait_until_streaming(&pair).await;
    Dunlin::run(&pair, "cutover", &words(&[])).await.expect_code(0);
    run.finished().await.expect_code(0);
    let next: i32 =
        number(&pair.on_target().await, "INSERT INTO counted DEFAULT VALUES RETURNING id").await;
    assert_eq!(next, 2);
    let source = pair.on_source().await;
    for statement in [
        "UPDATE event SET note = ''",
        "DELETE FROM event_2",
        "TRUNCATE event",
        "INSERT INTO event_1 VALUES (5, '') ON CONFLICT DO NOTHING",
    ] {
        assert_refuses(&source, statement).await;
    }
}

#[tokio::test]
async fn connections_that_are_cut_while_the_fence_closes_undo_it() {
    let (pair, run) = following(TABLE).await;
    let proxy = Proxy::start(pair.source.port()).await;
    let open = pair.on_source().await;
    open.batch_execute("BEGIN; INSERT INTO promise (writer, n) VALUES (-1, 0)").await.unwrap();
    let mut command = Dunlin::command(&["cutover", "--source", &proxy.url(DATABASE)]);
    command.args(["--target", &pair.target_url()]).args(words(&["--grace", "45s"]));
    let cutover = Dunlin::start_command(command);
    let source = pair.on_source().await;
    let waits = "SELECT EXISTS (SELECT FROM pg_stat_activity \
                 WHERE application_name = 'dunlin' AND wait_event_type = 'Lock')";
    wait_until("the fence waits for the writer", async || number(&source, waits).await).await;
    proxy.cut();
    let undone = cutover.finished().await.expect_code(5);
    undone.expect_said("error[CUTOVER_UNDONE]").expect_said("at the step 'fence'");
    open.batch_execute("COMMIT").await.unwrap();
    assert_goes_on(&pair, 1).await;
    run.interrupt().await.expect_code(0);
}

/// Whether a role of the source can log in.
async fn may_connect(pair: &TestPair, role: &str) -> bool {
    let url = pair.source.url(DATABASE).replace("postgres@", &format!("{role}@"));
    dunlin::demo::server::connect(&url).await.is_ok()
}

#[tokio::test]
async fn a_read_only_database_ends_its_sessions_and_is_opened_again_by_an_abort() {
    let (pair, run) = following(TABLE).await;
    let held = pair.on_source().await;
    let read_only = words(&["--fence", "database-read-only", "--max-downtime", "60s"]);
    let mut killed =
        Dunlin::start_with_failpoint(&pair, "cutover", &read_only, "traffic-switching");
    killed.reaches("traffic-switching").await;
    killed.kill().await;
    assert!(held.batch_execute("SELECT 1").await.is_err(), "a session outlived the fence");
    let source = pair.on_source().await;
    assert_refuses(&source, "CREATE TABLE elsewhere ()").await;
    assert_refuses(&source, "BEGIN READ WRITE; DELETE FROM promise").await;
    run.finished().await.expect_code(5).expect_said("error[CUTOVER_UNDECIDED]");
    Dunlin::run(&pair, "cutover", &["--abort"]).await.expect_code(0);
    let run = Dunlin::start(&pair, "run", &[]);
    assert_goes_on(&pair, 1).await;
    let done = Dunlin::run(&pair, "cutover", &read_only).await.expect_code(0);
    assert!(done.stdout.contains("RESET default_transaction_read_only"), "{}", done.stdout);
    run.finished().await.expect_code(0);
    // Its own database refuses dunlin nothing that ending the migration takes.
    Dunlin::run(&pair, "complete", &[]).await.expect_code(0);
    let left = "SELECT count(*) FROM pg_replication_slots";
    assert_eq!(number::<i64>(&pair.on_source().await, left).await, 0);
}

#[tokio::test]
async fn roles_that_are_fenced_can_log_in_again_where_the_switch_fails() {
    let (pair, run) = following(TABLE).await;
    pair.source_sql("CREATE ROLE app LOGIN; CREATE ROLE batch LOGIN; CREATE ROLE resting NOLOGIN")
        .await;
    let fence = ["--fence", "roles:app,resting", "--accept-warnings"];
    let refused = words(&["--fence", "roles:postgres,nobody"]);
    let refused = Dunlin::run(&pair, "cutover", &refused).await.expect_code(5);
    refused.expect_said("dunlin itself logs in by this role");
    let failed = words(&[&fence[..], &["--switch", "exit 1"]].concat());
    Dunlin::run(&pair, "cutover", &failed).await.expect_code(5);
    assert!(may_connect(&pair, "app").await, "the role stays locked out");
    assert!(!may_connect(&pair, "resting").await, "a role may log in that might not before");
    Dunlin::run(&pair, "cutover", &words(&fence)).await.expect_code(0);
    run.finished().await.expect_code(0);
    assert!(!may_connect(&pair, "app").await);
    assert!(may_connect(&pair, "batch").await);
    assert_refuses(&pair.on_source().await, "DELETE FROM promise").await;
}

#[tokio::test]
async fn the_hook_is_told_of_the_fence_and_of_its_undoing() {
    let (pair, run) = following(TABLE).await;
    let folder = tempfile::tempdir().unwrap();
    let said = folder.path().join("said");
    let hook = format!("hook:echo >> {}", said.display());
    let words = words(&["--fence", &hook, "--max-downtime", "60s"]);
    let told = || std::fs::read_to_string(&said).unwrap_or_default();
    let mut killed = Dunlin::start_with_failpoint(&pair, "cutover", &words, "hook-closed");
    killed.reaches("hook-closed").await;
    killed.kill().await;
    assert_eq!(told(), "fence\n");
    assert_goes_on(&pair, 1).await;
    Dunlin::run(&pair, "cutover", &["--abort"]).await.expect_code(0);
    assert_eq!(told(), "fence\nunfence\n");
    let failing = [&words[..], &["--switch", "exit 1"]].concat();
    Dunlin::run(&pair, "cutover", &failing).await.expect_code(5);
    assert_eq!(told(), "fence\nunfence\n".repeat(2));
    Dunlin::run(&pair, "cutover", &words).await.expect_code(0);
    assert_eq!(told(), "fence\nunfence\n".repeat(2) + "fence\n");
    run.finished().await.expect_code(0);
}

/// Moves tables of an owner by a role that has what `dunlin grants` prints and nothing else.
#[tokio::test]
async fn the_least_privileges_are_enough() {
    let pair = TestPair::start().await;
    let asked = ["grants", "--side", "source", "--role", "mover", "--owner", "app_owner"];
    let grants = Dunlin::start_command(Dunlin::command(&asked)).finished().await.expect_code(0);
    pair.source_sql("CREATE ROLE app_owner LOGIN; GRANT CREATE ON SCHEMA public TO app_owner")
        .await;
    pair.source_sql(&grants.stdout).await;
    pair.source_sql(&format!("SET ROLE app_owner; {TABLE}; INSERT INTO promise DEFAULT VALUES"))
        .await;
    let url = pair.source_url().replace("postgres@", "mover@");
    let carry_out = async |verb: &str, further: &[&str]| {
        let mut command = Dunlin::command(&[verb, "--source", &url]);
        command.args(["--target", &pair.target_url()]).args(further);
        Dunlin::start_command(command).finished().await.expect_code(0)
    };
    carry_out("run", &["--until", "caught-up"]).await;
    let next: i64 = number(&pair.on_source().await, "SELECT nextval('promise_id_seq')").await;
    let rehearsed = carry_out("cutover", &["--dry-run"]).await;
    assert!(rehearsed.stdout.contains("pg_signal_backend"), "{}", rehearsed.stdout);
    carry_out("cutover", &words(&[])).await;
    let own = pair.source.url(DATABASE).replace("postgres@", "app_owner@");
    let owner = dunlin::demo::server::connect(&own).await.unwrap();
    assert_refuses(&owner, "INSERT INTO promise DEFAULT VALUES").await;
    let target = pair.on_target().await;
    assert_eq!(number::<i64>(&target, "SELECT nextval('promise_id_seq')").await, next + 1);
}
