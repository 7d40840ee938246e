//! A standby as source: what its primary has to do, and what becomes of it.

use dunlin::demo::ServerOptions;
use dunlin::demo::digest::sequences_behind;
use dunlin::demo::load::{Size, load};
use dunlin::demo::writers::{WriterOptions, Writers};

use crate::support::compare::{assert_equal, assert_equal_between};
use crate::support::scene::{WORDS, seed, standing};
use crate::support::standby::StandbyPair;
use crate::support::{
    Dunlin, TestPair, carry, catch_up, number, text, wait_until, wait_until_streaming,
};

const SLOTS: &str = "SELECT count(*) FROM pg_replication_slots WHERE slot_type = 'logical'";

#[tokio::test]
async fn a_migration_under_writes_is_exact_in_spite_of_kills() {
    let scene = StandbyPair::start().await.pulse().await;
    let size = Size::SMALL;
    load(&scene.primary_url(), size).await.unwrap();
    let words: Vec<&str> =
        WORDS.iter().copied().chain(["--insert-only", "public.pgbench_history"]).collect();
    scene.replayed().await;
    scene.publish(&words).await;
    let options = WriterOptions { seed: seed(), size, speed: 0.5, largest_rows: 500 };
    let writers = Writers::start(&scene.primary_url(), options);

    let mut run = Dunlin::start_with_failpoint(&scene.pair, "run", &words, "chunk-loaded:3");
    run.reaches("chunk-loaded").await;
    run.kill().await;
    let mut run = Dunlin::start(&scene.pair, "run", &words);
    run.says("following the source").await;
    // A table that was truncated meanwhile needs a new one, but only after the others.
    let said = run.stderr();
    let (old, _new) = said.split_once("under a new snapshot").unwrap_or((&said, ""));
    assert!(old.contains("copied table="), "{said}");
    let target = scene.pair.on_target().await;
    let applied = standing(&target).await.transactions;
    wait_until("transactions are applied", async || {
        standing(&target).await.transactions > applied + 50
    })
    .await;
    run.kill().await;

    writers.stop().await.unwrap();
    scene.catch_up(&words).await;
    let (primary, target) = (scene.primary_url(), scene.pair.target_url());
    assert_eq!(sequences_behind(&primary, &target).await.unwrap(), [] as [String; 0]);
}

#[tokio::test]
async fn publications_are_the_primarys_and_must_be_exact() {
    let scene = StandbyPair::start().await.pulse().await;
    scene
        .primary_sql(
            "CREATE TABLE item (id int PRIMARY KEY, note text);
             CREATE TABLE part (id int PRIMARY KEY) PARTITION BY RANGE (id);
             CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM (0) TO (10);
             CREATE TABLE log (line text); INSERT INTO item VALUES (1, 'a'); INSERT INTO part VALUES (1)",
        )
        .await;
    assert!(scene.fix("NO_IDENTITY", &[]).await.unwrap().contains("REPLICA IDENTITY FULL"));
    let words = ["--insert-only", "log"];
    let halted = Dunlin::run(&scene.pair, "run", &words).await.expect_code(3);
    let needed = halted.expect_said("error[PUBLICATION_NEEDED]");
    for statement in [
        "CREATE PUBLICATION \"dunlin_dunlin\" FOR TABLE ONLY \"public\".\"item\", \
         ONLY \"public\".\"part_1\", \"public\".\"part\" \
         WITH (publish = 'insert, update, delete, truncate');",
        "CREATE PUBLICATION \"dunlin_dunlin_appending\" FOR TABLE ONLY \"public\".\"log\" \
         WITH (publish = 'insert, truncate');",
    ] {
        assert!(needed.stderr.contains(statement), "{}", needed.stderr);
    }
    let nearly = "CREATE PUBLICATION dunlin_dunlin FOR TABLE item WHERE (id > 0), part_1, part;
         CREATE PUBLICATION dunlin_dunlin_appending FOR TABLE log WITH (publish = 'insert')";
    scene.primary_sql(nearly).await;
    let fix = scene.fix("PUBLICATION_NEEDED", &words).await.unwrap();
    assert_eq!(fix.matches("DROP PUBLICATION").count(), 2, "{fix}");
    scene.primary_sql(&fix).await;
    assert_eq!(scene.fix("PUBLICATION_NEEDED", &words).await, None);
    scene.catch_up(&words).await;

    let came = "CREATE TABLE later (id int PRIMARY KEY); INSERT INTO later VALUES (1)";
    scene.primary_sql(came).await;
    scene.pair.target_sql("CREATE TABLE later (id int PRIMARY KEY)").await;
    let halted = Dunlin::run(&scene.pair, "run", &words).await.expect_halt("TABLE_UNPUBLISHED");
    let statement = "ALTER PUBLICATION \"dunlin_dunlin\" ADD TABLE ONLY \"public\".\"later\"";
    halted.expect_said(statement);
    scene.primary_sql(statement).await;
    scene.catch_up(&words).await;
    scene.primary_sql("INSERT INTO later VALUES (2); UPDATE item SET note = 'b'").await;
    scene.catch_up(&words).await;
}

#[tokio::test]
async fn on_a_standby_replication_and_select_suffice() {
    let scene = StandbyPair::start().await.pulse().await;
    scene
        .primary_sql(
            "CREATE TABLE item (id serial PRIMARY KEY); INSERT INTO item VALUES (1);
             CREATE ROLE mover LOGIN REPLICATION; GRANT SELECT ON item, item_id_seq TO mover",
        )
        .await;
    scene.publish(&[]).await;
    let source = scene.pair.source_url().replace("postgres@", "mover@");
    let target = scene.pair.target_url();
    for verb in [&["plan"][..], &["run", "--until", "caught-up"], &["complete"]] {
        let words = [verb, &["--source", &source, "--target", &target]].concat();
        Dunlin::start_command(Dunlin::command(&words)).finished().await.expect_code(0);
    }
    assert_equal_between(&scene.primary_url(), &target).await;
}

#[tokio::test]
async fn complete_leaves_nothing_on_the_standby_and_names_the_rest() {
    let scene = StandbyPair::start().await.pulse().await;
    scene.primary_sql("CREATE TABLE item (id int PRIMARY KEY)").await;
    scene.publish(&[]).await;
    scene.catch_up(&[]).await;
    let finished = Dunlin::run(&scene.pair, "complete", &[]).await.expect_code(0);
    assert!(finished.stdout.contains("dropped source: replication slot"), "{}", finished.stdout);
    let lines = finished.stdout.lines();
    let left: Vec<&str> =
        lines.filter_map(|line| line.strip_prefix("to be run on the source's primary: ")).collect();
    assert_eq!(left.len(), 2, "{}", finished.stdout);
    assert_eq!(number::<i64>(&scene.pair.on_source().await, SLOTS).await, 0);
    scene.primary_sql(&left.concat()).await;
    let again = Dunlin::run(&scene.pair, "complete", &[]).await.expect_code(0);
    assert!(again.stdout.starts_with("nothing of this migration is left"), "{}", again.stdout);
}

#[tokio::test]
async fn a_slot_that_waits_for_the_primary_says_what_helps() {
    let scene = StandbyPair::start().await;
    scene.primary_sql("CREATE TABLE item (id int PRIMARY KEY)").await;
    scene.publish(&[]).await;
    let open = scene.on_primary().await;
    open.batch_execute("BEGIN; INSERT INTO item VALUES (1)").await.unwrap();
    let run = Dunlin::run(&scene.pair, "run", &["--slot-timeout", "3s"]).await;
    let halted = run.expect_halt("SLOT_HELD_UP").expect_said("waiting for the replication slot");
    halted.expect_said("SELECT pg_log_standby_snapshot()");
    let standby = scene.pair.on_source().await;
    wait_until("no slot is left", async || number::<i64>(&standby, SLOTS).await == 0).await;
    open.batch_execute("COMMIT").await.unwrap();
    let scene = scene.pulse().await;
    scene.catch_up(&[]).await;
}

#[tokio::test]
async fn a_promoted_standby_goes_on_as_the_source() {
    let scene = StandbyPair::start().await.pulse().await;
    scene.primary_sql("CREATE TABLE item (id int PRIMARY KEY); INSERT INTO item VALUES (1)").await;
    scene.publish(&[]).await;
    let mut run = Dunlin::start(&scene.pair, "run", &[]);
    run.says("following the source").await;
    scene.primary_sql("INSERT INTO item VALUES (2)").await;
    let timeline = "SELECT source ->> 'timeline' FROM dunlin.migration";
    let target = scene.pair.on_target().await;
    assert_eq!(text(&target, timeline).await.as_deref(), Some("1"));

    scene.pair.source_sql("SELECT pg_promote()").await;
    scene.pair.source_sql("INSERT INTO item VALUES (3); DELETE FROM item WHERE id = 1").await;
    run.says("its log goes on").await;
    assert!(run.stderr().contains("in another timeline"), "{}", run.stderr());
    wait_until("what came after the promotion is there", async || {
        text(&target, "SELECT string_agg(id::text, ' ' ORDER BY id) FROM item").await.as_deref()
            == Some("2 3")
    })
    .await;
    assert_eq!(text(&target, timeline).await.as_deref(), Some("2"));
    run.kill().await;
    // The old primary, which nobody reads any more, is another server from here on.
    scene.primary_sql_alone("INSERT INTO item VALUES (99)").await;
    carry(&scene.pair, "INSERT INTO item VALUES (4)").await;
    let finished = Dunlin::run(&scene.pair, "complete", &[]).await.expect_code(0);
    assert!(finished.stdout.contains("dropped source: publication"), "{}", finished.stdout);
}

#[tokio::test]
async fn a_promotion_while_dunlin_is_down_or_in_the_snapshot_is_followed() {
    let scene = StandbyPair::start().await.pulse().await;
    scene
        .primary_sql(
            "CREATE TABLE item (id int PRIMARY KEY);
             INSERT INTO item SELECT generate_series(1, 1000)",
        )
        .await;
    scene.publish(&[]).await;
    let mut run = Dunlin::start_with_failpoint(&scene.pair, "run", &[], "chunks-planned");
    run.reaches("chunks-planned").await;
    run.kill().await;
    scene.pair.source_sql("SELECT pg_promote()").await;
    scene.pair.source_sql("INSERT INTO item VALUES (1001); DELETE FROM item WHERE id = 1").await;
    let finished = catch_up(&scene.pair).await.expect_said("its log goes on");
    assert!(!finished.stderr.contains("under a new snapshot"), "{}", finished.stderr);
    assert_equal(&scene.pair).await;
}

#[tokio::test]
async fn a_standby_whose_primary_is_switched_over_is_followed() {
    let mut scene = StandbyPair::start().await.pulse().await;
    scene.primary_sql("CREATE TABLE item (id int PRIMARY KEY); INSERT INTO item VALUES (1)").await;
    scene.publish(&[]).await;
    let heir = scene.primary.create_standby(&ServerOptions::default()).unwrap();
    let mut run = Dunlin::start(&scene.pair, "run", &[]);
    run.says("following the source").await;
    scene.switch_over(heir).await;
    scene.primary_sql("INSERT INTO item VALUES (2)").await;
    run.says("its log goes on").await;
    let target = scene.pair.on_target().await;
    wait_until("what came after the switch is there", async || {
        number::<i64>(&target, "SELECT count(*) FROM item").await == 2
    })
    .await;
    run.kill().await;
    scene.primary_sql("INSERT INTO item VALUES (3)").await;
    scene.catch_up(&[]).await;
    let timeline = "SELECT source ->> 'timeline' FROM dunlin.migration";
    assert_eq!(text(&target, timeline).await.as_deref(), Some("2"));
}

#[tokio::test]
async fn a_timeline_that_was_left_before_the_checkpoint_halts() {
    let mut pair = TestPair::start().await;
    pair.source_sql("CREATE TABLE item (id int PRIMARY KEY)").await;
    catch_up(&pair).await;
    pair.source.stop().unwrap();
    let (data, old) = (pair.source.data(), pair.source.data().with_extension("old"));
    let copied = std::process::Command::new("cp").arg("-a").args([&data, &old]).status();
    assert!(copied.unwrap().success());
    pair.source.start().unwrap();
    carry(&pair, "INSERT INTO item VALUES (1)").await;
    pair.source.stop().unwrap();
    std::fs::remove_dir_all(&data).unwrap();
    std::fs::rename(&old, &data).unwrap();
    std::fs::write(data.join("standby.signal"), "").unwrap();
    pair.source.start().unwrap();
    pair.source_sql("SELECT pg_promote()").await;
    Dunlin::run(&pair, "run", &[]).await.expect_halt("SOURCE_TIMELINE");
}

#[tokio::test]
async fn a_chunk_that_the_standby_cancels_is_copied_again() {
    let impatient = ServerOptions::default()
        .with("hot_standby_feedback", "on")
        .with("max_standby_streaming_delay", "0");
    let scene = StandbyPair::start_with(18, impatient).await.pulse().await;
    scene
        .primary_sql(
            "CREATE TABLE item (id int PRIMARY KEY, filler text);
             INSERT INTO item SELECT n, repeat('x', 1000) FROM generate_series(1, 50000) AS n",
        )
        .await;
    scene.publish(&[]).await;
    let mut run = Dunlin::start_with_failpoint(&scene.pair, "run", &[], "chunks-planned");
    run.reaches("chunks-planned").await;
    run.kill().await;
    let mut locking = scene.pair.on_target().await;
    let lock = locking.transaction().await.unwrap();
    lock.batch_execute("LOCK TABLE item IN SHARE MODE").await.unwrap();
    let mut run = Dunlin::start(&scene.pair, "run", &["--until", "caught-up"]);
    let standby = scene.pair.on_source().await;
    // A server that cannot send more holds its snapshot, and the table, for as long.
    let reading = "SELECT count(*) > 0 FROM pg_stat_activity
                   WHERE query LIKE '%COPY%item%' AND wait_event = 'ClientWrite'";
    wait_until("the copy reads the table", async || number(&standby, reading).await).await;
    scene.primary_sql_alone("VACUUM FULL item").await;
    lock.commit().await.unwrap();
    run.says("conflict with recovery").await;
    run.finished().await.expect_code(0).expect_said("will try again");
    scene.replayed().await;
    assert_equal_between(&scene.primary_url(), &scene.pair.target_url()).await;
}

#[tokio::test]
async fn a_slot_that_a_conflict_invalidates_halts() {
    let scene = StandbyPair::start_with(18, ServerOptions::default()).await.pulse().await;
    scene.primary_sql("CREATE TABLE item (id int PRIMARY KEY)").await;
    let fix = scene.fix("STANDBY_FEEDBACK", &[]).await.unwrap();
    assert!(fix.contains("hot_standby_feedback = on"), "{fix}");
    scene.publish(&[]).await;
    scene.catch_up(&[]).await;
    scene.primary_sql("CREATE TABLE gone (id int); DROP TABLE gone").await;
    scene.primary_sql("VACUUM pg_class; VACUUM pg_attribute; VACUUM pg_type").await;
    let standby = scene.pair.on_source().await;
    let status = "SELECT wal_status FROM pg_replication_slots WHERE slot_type = 'logical'";
    wait_until("the slot is invalidated", async || {
        text(&standby, status).await.as_deref() == Some("lost")
    })
    .await;
    let halted = Dunlin::run(&scene.pair, "run", &[]).await.expect_halt("SLOT_LOST");
    halted.expect_said("rows_removed").expect_said("hot_standby_feedback = on");
}

#[tokio::test]
async fn the_primarys_wal_level_is_seen_from_the_standby() {
    let mut scene = StandbyPair::start().await;
    scene.primary.configure(&[("wal_level".into(), "replica".into())]).unwrap();
    scene.primary.stop().unwrap();
    scene.primary.start().unwrap();
    scene.primary_sql("CREATE TABLE item (id int PRIMARY KEY)").await;
    let fix = scene.fix("WAL_LEVEL", &[]).await;
    assert_eq!(fix.as_deref(), Some("ALTER SYSTEM SET wal_level = logical"));
}

#[tokio::test]
async fn a_standby_of_15_is_refused() {
    let scene = StandbyPair::start_with(15, ServerOptions::default()).await;
    scene.primary_sql("CREATE TABLE item (id int PRIMARY KEY)").await;
    let refused = Dunlin::run(&scene.pair, "run", &[]).await.expect_code(3);
    refused.expect_said("error[SOURCE_STANDBY]").expect_said("begins with Postgres 16");
}

#[tokio::test]
async fn what_the_standby_has_not_replayed_counts_as_lag() {
    let scene = StandbyPair::start().await.pulse().await;
    scene.primary_sql("CREATE TABLE item (id int PRIMARY KEY)").await;
    scene.publish(&[]).await;
    scene.catch_up(&[]).await;
    let standby = scene.pair.on_source().await;
    standby.batch_execute("SELECT pg_wal_replay_pause()").await.unwrap();
    scene.primary_sql_alone("INSERT INTO item VALUES (1)").await;
    let target = scene.pair.on_target().await;
    let run = Dunlin::start(&scene.pair, "run", &["--until", "caught-up"]);
    wait_until_streaming(&scene.pair).await;
    let lags = "SELECT COALESCE((report ->> 'lag_bytes')::int8 > 0, false) FROM dunlin.status";
    wait_until("the lag is told", async || number(&target, lags).await).await;
    let status = Dunlin::run(&scene.pair, "status", &["--json"]).await.expect_code(0);
    let status: serde_json::Value = serde_json::from_str(&status.stdout).unwrap();
    assert!(status["lag_bytes"].as_u64().unwrap() > 0, "{status}");
    assert!(status["slot"]["retained_bytes"].is_u64(), "{status}");
    standby.batch_execute("SELECT pg_wal_replay_resume()").await.unwrap();
    run.finished().await.expect_code(0);
    assert_equal_between(&scene.primary_url(), &scene.pair.target_url()).await;
}
