//! The way back of Postgres: under writers that remember every commit they were promised, with kills at
//! every step of either cutover, and with nothing carried round.

use dunlin::demo::ServerOptions;
use tokio_postgres::Client;

use crate::support::compare::assert_equal;
use crate::support::promises::{Promises, TABLE};
use crate::support::{Dunlin, TestPair, catch_up, number, text, wait_until};

const PHASE: &str = "SELECT phase FROM dunlin.migration";

/// What is kept on a server for somebody who follows it.
const KEPT: &str = "SELECT (SELECT count(*) FROM pg_replication_slots) \
                    + (SELECT count(*) FROM pg_publication)";

/// Patient, for a machine under load.
fn words<'a>(further: &[&'a str]) -> Vec<&'a str> {
    let patient = ["--accept-unverified", "--log-level", "debug", "--max-downtime", "50s"];
    [&patient, further].concat()
}

fn there<'a>(further: &[&'a str]) -> Vec<&'a str> {
    words(&[&["--way-back"], further].concat())
}

fn back<'a>(further: &[&'a str]) -> Vec<&'a str> {
    words(&[&["--back"], further].concat())
}

async fn wait_for_phase(client: &Client, phase: &str) {
    wait_until(&format!("phase {phase}"), async || {
        let there = "SELECT to_regclass('dunlin.migration') IS NOT NULL";
        number(client, there).await && text(client, PHASE).await.as_deref() == Some(phase)
    })
    .await;
}

/// A pair of which the target follows the source by a run.
async fn following(schema: &str) -> (TestPair, Dunlin) {
    let pair = TestPair::start().await;
    pair.source_sql(schema).await;
    let run = Dunlin::start(&pair, "run", &[]);
    wait_for_phase(&pair.on_target().await, "stream").await;
    (pair, run)
}

/// A pair that is cut over, of which the former source follows the target by a run.
async fn following_back(schema: &str) -> (TestPair, Dunlin) {
    let pair = TestPair::start().await;
    pair.source_sql(schema).await;
    catch_up(&pair).await;
    Dunlin::run(&pair, "cutover", &there(&[])).await.expect_code(0);
    let reverse = Dunlin::start(&pair, "reverse", &[]);
    wait_for_phase(&pair.on_source().await, "stream").await;
    (pair, reverse)
}

async fn assert_refuses(client: &Client) {
    let insert = "INSERT INTO promise (writer, n) VALUES (-1, 1)";
    let error = client.batch_execute(insert).await.unwrap_err();
    assert_eq!(error.code().unwrap().code(), "25006", "{error}");
}

/// A row written on one side arrives on the other.
async fn assert_arrives(from: &Client, to: &Client, n: i32) {
    let insert = format!("INSERT INTO promise (writer, n) VALUES (-1, {n})");
    from.batch_execute(&insert).await.unwrap();
    let there = format!("SELECT EXISTS (SELECT FROM promise WHERE writer = -1 AND n = {n})");
    wait_until("the row arrives", async || number(to, &there).await).await;
}

async fn status(pair: &TestPair) -> String {
    Dunlin::run(pair, "status", &[]).await.expect_code(0).stdout
}

/// Starts it so that it is killed at a failpoint.
async fn kill_at(pair: &TestPair, words: &[&str], failpoint: &str) {
    let mut cutover = Dunlin::start_with_failpoint(pair, "cutover", words, failpoint);
    cutover.reaches(failpoint).await;
    cutover.kill().await;
}

#[tokio::test]
async fn every_promised_commit_goes_there_and_back() {
    let (pair, run) = following(TABLE).await;
    let (source, target) = (pair.on_source().await, pair.on_target().await);
    let folder = tempfile::tempdir().unwrap();
    let mut promises = Promises::start(&pair, 4, &folder.path().join("moved"));
    promises.more_on_source(100).await;
    let cutover = there(&["--switch", &promises.switch()]).join("\n");
    let cutover: Vec<&str> = cutover.split('\n').collect();
    let cutover = Dunlin::run(&pair, "cutover", &cutover).await.expect_code(0);
    assert!(cutover.stdout.contains("dunlin reverse"), "{}", cutover.stdout);
    run.finished().await.expect_code(0);
    promises.more_on_target(100).await;
    assert!(status(&pair).await.contains("dunlin reverse"), "{}", status(&pair).await);

    let reverse = Dunlin::start(&pair, "reverse", &[]);
    promises.more_on_target(100).await;
    wait_for_phase(&source, "stream").await;
    assert_refuses(&source).await;
    assert!(status(&pair).await.contains("on the way back"), "{}", status(&pair).await);
    // What the first way kept is of no more use.
    assert_eq!(number::<i64>(&source, KEPT).await, 0);

    let switch = promises.switch_back();
    let cutover = Dunlin::run(&pair, "cutover", &back(&["--switch", &switch])).await;
    let cutover = cutover.expect_code(0);
    assert!(cutover.stdout.contains("the former source is the database"), "{}", cutover.stdout);
    promises.more_on_source(100).await;
    let ended = reverse.finished().await.expect_code(0);
    assert!(ended.stdout.contains("the way back is done"), "{}", ended.stdout);
    assert_refuses(&target).await;
    promises.assert_kept(&source).await;
    let behind = "SELECT (SELECT last_value FROM promise_id_seq) < (SELECT max(id) FROM promise)";
    assert!(!number::<bool>(&source, behind).await);

    let completed = Dunlin::run(&pair, "complete", &[]).await.expect_code(0);
    let lift = "on the target, once it is to take writes again: DROP FUNCTION";
    assert!(completed.stdout.contains(lift), "{}", completed.stdout);
    assert!(!completed.stdout.contains("to be run on the source"), "{}", completed.stdout);
    for side in [&source, &target] {
        assert_eq!(number::<i64>(side, KEPT).await, 0);
        assert!(number::<bool>(side, "SELECT to_regnamespace('dunlin') IS NULL").await);
    }
    source.batch_execute("INSERT INTO promise (writer, n) VALUES (-1, 0)").await.unwrap();
}

#[tokio::test]
async fn nothing_that_dunlin_applied_is_carried_round() {
    let (pair, run) = following(
        "CREATE TABLE promise (id bigserial PRIMARY KEY, writer int, n int);
         CREATE TABLE event (id int PRIMARY KEY, note text) PARTITION BY RANGE (id);
         CREATE TABLE event_1 PARTITION OF event FOR VALUES FROM (0) TO (10);
         CREATE TABLE event_2 PARTITION OF event FOR VALUES FROM (10) TO (20);
         INSERT INTO event SELECT n, n FROM generate_series(0, 19) n",
    )
    .await;
    let (source, target) = (pair.on_source().await, pair.on_target().await);
    // The log for the way back is kept while the last changes still come.
    let armed = "way-back-armed";
    let mut cutover = Dunlin::start_with_failpoint(&pair, "cutover", &there(&[]), armed);
    cutover.reaches(armed).await;
    assert_arrives(&source, &target, 0).await;
    cutover.kill().await;
    Dunlin::run(&pair, "cutover", &there(&[])).await.expect_code(0);
    run.finished().await.expect_code(0);
    for statements in [
        "INSERT INTO promise (writer, n) VALUES (1, 1)",
        "UPDATE event SET note = 'moved' WHERE id IN (5, 15)",
        "ALTER TABLE promise ADD COLUMN note text; INSERT INTO promise (note) VALUES ('new')",
    ] {
        target.batch_execute(statements).await.unwrap();
    }
    Dunlin::run(&pair, "reverse", &["--until", "caught-up"]).await.expect_code(0);
    let applied = number::<i64>(&source, "SELECT transactions FROM dunlin.checkpoint").await;
    assert_eq!(applied, 3, "transactions of the target's own clients");
    assert_equal(&pair).await;
    let servers = ["--source", &pair.target_url(), "--target", &pair.source_url()];
    let words = [&["verify", "--name", "dunlin_back"][..], &servers].concat();
    Dunlin::start_command(Dunlin::command(&words)).finished().await.expect_code(0);
    let cutover = Dunlin::run(&pair, "cutover", &back(&[])).await.expect_code(0);
    let lift = "the target refuses writes; to let them in again, on the target: DROP FUNCTION";
    assert!(cutover.stdout.contains(lift), "{}", cutover.stdout);
    source.batch_execute("INSERT INTO promise (note) VALUES ('back')").await.unwrap();
    let next: i64 = number(&source, "SELECT max(id) FROM promise").await;
    assert!(next > number::<i64>(&target, "SELECT max(id) FROM promise").await);
}

#[tokio::test]
async fn a_kill_on_the_way_there_leaves_nothing_that_the_end_does_not_remove() {
    let pair = TestPair::start().await;
    pair.source_sql(TABLE).await;
    catch_up(&pair).await;
    kill_at(&pair, &there(&[]), "way-back-armed").await;
    Dunlin::run(&pair, "complete", &[]).await.expect_code(0);
    for side in [pair.on_source().await, pair.on_target().await] {
        assert_eq!(number::<i64>(&side, KEPT).await, 0);
    }
}

#[tokio::test]
async fn after_a_kill_on_the_way_there_the_same_command_does_and_so_does_the_end() {
    let (pair, run) = following(TABLE).await;
    let (source, target) = (pair.on_source().await, pair.on_target().await);
    kill_at(&pair, &there(&[]), "cutover-begun").await;
    let failed = Dunlin::run(&pair, "cutover", &there(&["--switch", "exit 3"])).await;
    failed.expect_code(5).expect_said("error[CUTOVER_UNDONE]");
    assert_eq!(number::<i64>(&target, KEPT).await, 0);
    assert_arrives(&source, &target, 200).await;
    run.interrupt().await.expect_code(0);
    kill_at(&pair, &there(&[]), "traffic-switched").await;
    Dunlin::run(&pair, "cutover", &["--finish"]).await.expect_code(0);
    let begun = "way-back-begun";
    let mut reverse = Dunlin::start_with_failpoint(&pair, "reverse", &[], begun);
    reverse.reaches(begun).await;
    reverse.kill().await;
    Dunlin::run(&pair, "reverse", &["--until", "caught-up"]).await.expect_code(0);
    let completed = Dunlin::run(&pair, "complete", &[]).await.expect_code(0);
    let lift = "on the source, once it is to take writes again: DROP FUNCTION";
    assert!(completed.stdout.contains(lift), "{}", completed.stdout);
    for side in [&source, &target] {
        assert_eq!(number::<i64>(side, KEPT).await, 0);
    }
    assert_refuses(&source).await;
}

#[tokio::test]
async fn a_way_back_that_fails_leaves_the_target_the_database() {
    let (pair, reverse) = following_back(TABLE).await;
    let (source, target) = (pair.on_source().await, pair.on_target().await);
    assert_arrives(&target, &source, 0).await;
    let failed = Dunlin::run(&pair, "cutover", &back(&["--switch", "exit 3"])).await;
    failed.expect_code(5).expect_said("error[CUTOVER_UNDONE]");
    assert_arrives(&target, &source, 1).await;
    assert_refuses(&source).await;
    kill_at(&pair, &back(&[]), "fence-closed").await;
    assert_arrives(&target, &source, 2).await;

    kill_at(&pair, &back(&[]), "target-unsealed").await;
    assert_refuses(&target).await;
    reverse.finished().await.expect_code(5).expect_said("error[CUTOVER_UNDECIDED]");
    let told = status(&pair).await;
    assert!(told.contains("dunlin cutover --back --abort"), "{told}");
    let refused = Dunlin::run(&pair, "complete", &[]).await.expect_code(5);
    refused.expect_said("error[CUTOVER_UNDECIDED]");
    Dunlin::run(&pair, "cutover", &["--back", "--abort"]).await.expect_code(0);
    assert_refuses(&source).await;
    let mut reverse = Dunlin::start_with_failpoint(&pair, "reverse", &[], "group-committed");
    target.batch_execute("INSERT INTO promise (writer, n) VALUES (-1, 3)").await.unwrap();
    reverse.reaches("group-committed").await;
    reverse.kill().await;
    let reverse = Dunlin::start(&pair, "reverse", &[]);
    assert_arrives(&target, &source, 4).await;
    reverse.interrupt().await.expect_code(0);

    kill_at(&pair, &back(&[]), "traffic-switching").await;
    let finished = Dunlin::run(&pair, "cutover", &["--back", "--finish"]).await.expect_code(0);
    assert!(finished.stdout.contains("the former source is the database"), "{}", finished.stdout);
    assert_equal(&pair).await;
    source.batch_execute("INSERT INTO promise (writer, n) VALUES (-1, 5)").await.unwrap();
    assert_refuses(&target).await;
}

#[tokio::test]
async fn another_migration_that_has_its_name_is_left_alone() {
    let pair = TestPair::start().await;
    pair.source_sql(TABLE).await;
    catch_up(&pair).await;
    pair.target_sql("CREATE TABLE other (id int PRIMARY KEY)").await;
    let servers = ["--source", &pair.target_url(), "--target", &pair.source_url()];
    let other = async |verb: &[&str]| {
        let words = [verb, &["--name", "dunlin_back", "--include", "other"], &servers].concat();
        Dunlin::start_command(Dunlin::command(&words)).finished().await.expect_code(0)
    };
    other(&["run", "--until", "caught-up"]).await;
    let refused = Dunlin::run(&pair, "cutover", &there(&["--dry-run"])).await.expect_code(5);
    let seen = "for the way back, source: it holds another migration named dunlin_back";
    assert!(refused.stdout.contains(seen), "{}", refused.stdout);
    Dunlin::run(&pair, "cutover", &there(&[])).await.expect_code(5);
    assert!(number::<i64>(&pair.on_target().await, KEPT).await > 0, "its slot is gone");
    other(&["complete"]).await;
    pair.source_sql("DROP TABLE other").await;
    Dunlin::run(&pair, "cutover", &there(&[])).await.expect_code(0);
    Dunlin::run(&pair, "reverse", &["--until", "caught-up"]).await.expect_code(0);
}

/// A role that has what `dunlin grants` prints for a source, and then what the refusal asks for.
#[tokio::test]
async fn the_least_privileges_are_enough() {
    let pair = TestPair::start().await;
    let asked = ["grants", "--side", "source", "--role", "mover", "--owner", "app_owner"];
    let grants = Dunlin::start_command(Dunlin::command(&asked)).finished().await.expect_code(0);
    pair.source_sql("CREATE ROLE app_owner; GRANT CREATE ON SCHEMA public TO app_owner").await;
    pair.source_sql(&grants.stdout).await;
    pair.source_sql(&format!("SET ROLE app_owner; {TABLE}")).await;
    let url = pair.source_url().replace("postgres@", "mover@");
    let target = pair.target_url();
    let carry_out = async |verb: &str, further: &[&str]| {
        let words = [&[verb, "--source", &url, "--target", &target], further].concat();
        Dunlin::start_command(Dunlin::command(&words)).finished().await
    };
    carry_out("run", &["--until", "caught-up"]).await.expect_code(0);
    let grants = "SELECT current_setting('server_version_num')::int >= 150000";
    let grant = match number(&pair.on_source().await, grants).await {
        true => "GRANT SET ON PARAMETER session_replication_role TO \"mover\"",
        false => "ALTER ROLE \"mover\" SUPERUSER",
    };
    carry_out("cutover", &there(&[])).await.expect_code(5).expect_said(grant);
    pair.source_sql(grant).await;
    carry_out("cutover", &there(&[])).await.expect_code(0);
    pair.target_sql("INSERT INTO promise (writer, n) VALUES (1, 1)").await;
    carry_out("reverse", &["--until", "caught-up"]).await.expect_code(0);
    assert_equal(&pair).await;
    carry_out("cutover", &back(&[])).await.expect_code(0);
    carry_out("complete", &[]).await.expect_code(0);
}

#[tokio::test]
async fn what_the_way_back_needs_is_said_beforehand() {
    let unfit = ServerOptions::default().with("wal_level", "replica");
    let pair = TestPair::start_with(ServerOptions::default(), unfit).await;
    pair.source_sql(TABLE).await;
    catch_up(&pair).await;
    let refused = Dunlin::run(&pair, "cutover", &there(&[])).await.expect_code(5);
    refused.expect_said("for the way back, target").expect_said("wal_level");
    let early = Dunlin::run(&pair, "reverse", &[]).await.expect_code(5);
    early.expect_said("error[NO_WAY_BACK]").expect_said("not cut over");
    let early = Dunlin::run(&pair, "cutover", &back(&[])).await.expect_code(5);
    early.expect_said("error[NO_WAY_BACK]").expect_said("dunlin reverse");
    Dunlin::run(&pair, "cutover", &words(&[])).await.expect_code(0);
    let late = Dunlin::run(&pair, "reverse", &[]).await.expect_code(5);
    late.expect_said("error[NO_WAY_BACK]").expect_said("without --way-back");
}
