//! The slot and the sessions around it: progress, hold-ups, losses, ends.

use dunlin::demo::ServerOptions;
use dunlin::demo::load::Size;

use crate::support::compare::assert_equal;
use crate::support::pair::DATABASE;
use crate::support::scene::{Scene, seed};
use crate::support::{
    Dunlin, Proxy, TestPair, carry, catch_up, number, text, wait_until, wait_until_streaming,
};

const SLOT: &str = "SELECT restart_lsn::text || ' ' || confirmed_flush_lsn FROM \
     pg_replication_slots WHERE slot_name = 'dunlin_dunlin'";
const SLOTS: &str = "SELECT count(*) FROM pg_replication_slots";

fn settings(pairs: &[(&str, &str)]) -> ServerOptions {
    let settings =
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    ServerOptions { settings, ..ServerOptions::default() }
}

#[tokio::test]
async fn slots_16_an_idle_database_beside_a_busy_one_lets_the_log_go() {
    let pair = TestPair::start().await;
    pair.source_sql("CREATE TABLE item (id int PRIMARY KEY)").await;
    pair.source.create_database("busy").await.unwrap();
    let busy = pair.source.connect("busy").await.unwrap();
    busy.batch_execute("CREATE TABLE noise (id int)").await.unwrap();
    catch_up(&pair).await;
    let run = Dunlin::start(&pair, "run", &[]);
    wait_until_streaming(&pair).await;
    let source = pair.on_source().await;
    for _ in 0..2 {
        let now: String = number(&source, "SELECT pg_current_wal_lsn()::text").await;
        busy.batch_execute("INSERT INTO noise SELECT generate_series(1, 10000); CHECKPOINT")
            .await
            .unwrap();
        let advanced = format!(
            "SELECT restart_lsn > '{now}' AND confirmed_flush_lsn > '{now}' \
             FROM pg_replication_slots WHERE slot_name = 'dunlin_dunlin'"
        );
        wait_until("the slot of the idle database advances", async || {
            busy.batch_execute("INSERT INTO noise VALUES (0); CHECKPOINT").await.unwrap();
            number::<bool>(&source, &advanced).await
        })
        .await;
    }
    let lag = "SELECT report ->> 'lag_seconds' = '0.0' AND report ->> 'lag_bytes' = '0' \
               FROM dunlin.status";
    let target = pair.on_target().await;
    wait_until("the status shows no lag", async || number(&target, lag).await).await;
    run.interrupt().await.expect_code(0);
}

#[tokio::test]
async fn slots_17_a_stalled_target_costs_neither_connection_nor_work() {
    let source = settings(&[("wal_sender_timeout", "1s")]);
    let pair = TestPair::start_with(source, ServerOptions::default()).await;
    pair.source_sql("CREATE TABLE item (id int PRIMARY KEY, note text)").await;
    catch_up(&pair).await;
    let small = ["--group-size", "64KiB", "--queue-size", "128KiB"];
    let run = Dunlin::start(&pair, "run", &small);
    wait_until_streaming(&pair).await;
    let target = pair.on_target().await;
    target.batch_execute("BEGIN; LOCK TABLE item IN SHARE MODE").await.unwrap();
    // Far more than is ever held between the two.
    pair.source_sql(
        "INSERT INTO item SELECT n, repeat('x', 1000) FROM generate_series(1, 20000) AS n",
    )
    .await;
    let source = pair.on_source().await;
    let sender = "SELECT pid FROM pg_stat_replication WHERE application_name = 'dunlin'";
    let pid: i32 = number(&source, sender).await;
    let stalled = "SELECT clock_timestamp() - query_start > interval '6 s' FROM pg_stat_activity \
                   WHERE application_name = 'dunlin dunlin' AND wait_event_type = 'Lock'";
    wait_until("the target stalls for several time-outs", async || {
        text(&target, stalled).await.as_deref() == Some("t")
    })
    .await;
    assert_eq!(number::<i32>(&source, sender).await, pid, "the sender is still the same");
    target.batch_execute("COMMIT").await.unwrap();
    wait_until("the rows arrive", async || {
        number::<i64>(&target, "SELECT count(*) FROM item").await == 20000
    })
    .await;
    assert_eq!(number::<i32>(&source, sender).await, pid, "the sender is still the same");
    let finished = run.interrupt().await.expect_code(0);
    assert!(!finished.stderr.contains("will try again"), "{}", finished.stderr);
    assert_equal(&pair).await;
}

#[tokio::test]
async fn slots_18_a_frozen_source_is_noticed_and_resumed_from() {
    let pair = TestPair::start().await;
    pair.source_sql("CREATE TABLE item (id int PRIMARY KEY)").await;
    catch_up(&pair).await;
    let proxy = Proxy::start(pair.source.port()).await;
    let mut command = Dunlin::command(&["run", "--source", &proxy.url(DATABASE)]);
    command.args(["--target", &pair.target_url(), "--source-timeout", "1s"]);
    let mut run = Dunlin::start_command(command);
    wait_until_streaming(&pair).await;
    proxy.freeze();
    pair.source_sql("INSERT INTO item VALUES (1)").await;
    run.says("has been silent for").await;
    proxy.thaw();
    let target = pair.on_target().await;
    wait_until("the row arrives", async || {
        number::<i64>(&target, "SELECT count(*) FROM item").await == 1
    })
    .await;
    run.interrupt().await.expect_code(0);
    assert_equal(&pair).await;
}

#[tokio::test]
async fn slots_34_a_backlog_is_worked_off_while_writes_keep_coming() {
    let scene = Scene::start(Size::SMALL, seed()).await;
    let until = ["--until", "caught-up"];
    scene.run(&until).finished().await.expect_code(0);
    scene.written(2000).await;
    scene.run(&until).finished().await.expect_code(0);
    // They went on all the while, and still do.
    scene.written(100).await;
    scene.finish().await;
}

#[tokio::test]
async fn the_status_shows_what_the_snapshot_costs_the_source() {
    let pair = TestPair::start().await;
    pair.source_sql("CREATE TABLE item (id int PRIMARY KEY); INSERT INTO item VALUES (1)").await;
    let mut run = Dunlin::start_with_failpoint(&pair, "run", &[], "chunk-loaded");
    run.reaches("chunk-loaded").await;
    let target = pair.on_target().await;
    wait_until("the slot's figures are recorded", async || {
        number::<i64>(&target, "SELECT count(*) FROM dunlin.status").await == 1
    })
    .await;
    let asked = Dunlin::command(&["status", "--target", &pair.target_url()]);
    let shown = Dunlin::start_command(asked).finished().await.expect_code(0);
    assert!(shown.stdout.contains("dunlin_dunlin, retains"), "{}", shown.stdout);
    assert!(shown.stdout.contains("phase         snapshot, running"), "{}", shown.stdout);
    run.kill().await;
}

#[tokio::test]
async fn slots_19_a_held_up_slot_names_the_process_and_leaves_no_orphan() {
    let pair = TestPair::start().await;
    pair.source_sql("CREATE TABLE item (id int PRIMARY KEY); CREATE TABLE other (LIKE item)").await;
    let open = pair.on_source().await;
    open.batch_execute("BEGIN; INSERT INTO other VALUES (1)").await.unwrap();
    let pid: i32 = number(&open, "SELECT pg_backend_pid()").await;
    let halted = Dunlin::run(&pair, "run", &["--slot-timeout", "1s"]).await;
    halted.expect_halt("SLOT_HELD_UP").expect_said(&format!("process {pid} "));
    let source = pair.on_source().await;
    assert_eq!(number::<i64>(&source, SLOTS).await, 0);
    let sessions = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'dunlin%'";
    wait_until("no session is left", async || number::<i64>(&source, sessions).await == 0).await;
    open.batch_execute("COMMIT").await.unwrap();
    catch_up(&pair).await;
    assert_equal(&pair).await;
}

#[tokio::test]
async fn slots_19_a_locked_table_names_the_process() {
    let pair = TestPair::start().await;
    pair.source_sql("CREATE TABLE item (id int PRIMARY KEY)").await;
    let open = pair.on_source().await;
    open.batch_execute("BEGIN; LOCK TABLE item").await.unwrap();
    let pid: i32 = number(&open, "SELECT pg_backend_pid()").await;
    let halted = Dunlin::run(&pair, "run", &["--slot-timeout", "1s"]).await;
    halted.expect_halt("SLOT_HELD_UP").expect_said(&format!("process {pid} "));
    // As CREATE INDEX CONCURRENTLY and VACUUM do; it keeps a table from being published.
    open.batch_execute("COMMIT; BEGIN; LOCK TABLE item IN SHARE UPDATE EXCLUSIVE MODE")
        .await
        .unwrap();
    let halted = Dunlin::run(&pair, "run", &["--slot-timeout", "1s"]).await;
    halted.expect_halt("SLOT_HELD_UP").expect_said(&format!("process {pid} "));
    assert_eq!(number::<i64>(&pair.on_source().await, SLOTS).await, 0);
    open.batch_execute("COMMIT").await.unwrap();
    catch_up(&pair).await;
    assert_equal(&pair).await;
}

#[tokio::test]
async fn slots_20_an_invalidated_slot_is_one_clear_error() {
    let source = settings(&[("max_slot_wal_keep_size", "1MB"), ("max_wal_size", "32MB")]);
    let pair = TestPair::start_with(source, ServerOptions::default()).await;
    pair.source_sql("CREATE TABLE item (id int PRIMARY KEY, note text)").await;
    catch_up(&pair).await;
    let session = pair.on_source().await;
    for _ in 0..4 {
        session
            .batch_execute(
                "SELECT pg_logical_emit_message(false, 'x', repeat('x', 1000)) \
                            FROM generate_series(1, 1000)",
            )
            .await
            .unwrap();
        session.batch_execute("SELECT pg_switch_wal()").await.unwrap();
    }
    session.batch_execute("CHECKPOINT").await.unwrap();
    let status = "SELECT wal_status FROM pg_replication_slots";
    assert_eq!(text(&session, status).await.as_deref(), Some("lost"));
    let halted = Dunlin::run(&pair, "run", &[]).await.expect_halt("SLOT_LOST");
    assert_eq!(halted.stderr.matches("SLOT_LOST").count(), 1, "{}", halted.stderr);
    assert!(!halted.stderr.contains("retry"), "{}", halted.stderr);
    Dunlin::run(&pair, "complete", &[]).await.expect_code(0);
    assert_eq!(number::<i64>(&session, SLOTS).await, 0);
}

#[tokio::test]
async fn slots_21_a_slot_that_is_active_for_a_killed_process_heals() {
    let pair = TestPair::start().await;
    pair.source_sql("CREATE TABLE item (id int PRIMARY KEY)").await;
    catch_up(&pair).await;
    let killed = Dunlin::start(&pair, "run", &[]);
    wait_until_streaming(&pair).await;
    killed.kill().await;
    carry(&pair, "INSERT INTO item VALUES (1)").await;
}

#[tokio::test]
async fn slots_21_a_slot_that_stays_active_is_waited_for() {
    let pair = TestPair::start().await;
    pair.source_sql("CREATE TABLE item (id int PRIMARY KEY)").await;
    catch_up(&pair).await;
    // Another reader of the slot stands for the sender of a process that died without a word.
    let source = pair.on_source().await;
    let before = text(&source, SLOT).await;
    let receiver = std::process::Command::new(pair.source.programs().path("pg_recvlogical"))
        .args(["-d", &pair.source_url(), "--slot", "dunlin_dunlin", "--start", "-f", "/dev/null"])
        .args(["-o", "proto_version=1", "-o", "publication_names=dunlin_dunlin"])
        .args(["--status-interval", "0"])
        .spawn();
    let mut receiver = receiver.unwrap();
    let active = "SELECT active FROM pg_replication_slots";
    wait_until("the slot is active", async || number(&source, active).await).await;
    let mut run = Dunlin::start(&pair, "run", &["--until", "caught-up"]);
    run.says("is in use by the server process").await;
    assert_eq!(text(&source, SLOT).await, before, "the other reader acknowledged nothing");
    receiver.kill().unwrap();
    receiver.wait().unwrap();
    run.finished().await.expect_code(0);
    assert_equal(&pair).await;
}

#[tokio::test]
async fn slots_25_an_interrupt_on_an_idle_source_ends_at_once() {
    let pair = TestPair::start().await;
    pair.source_sql("CREATE TABLE item (id int PRIMARY KEY)").await;
    let mut run = Dunlin::start(&pair, "run", &[]);
    run.says("following the source").await;
    let asked = std::time::Instant::now();
    run.interrupt().await.expect_code(0);
    assert!(asked.elapsed().as_secs() < 5, "it took {:?}", asked.elapsed());
    carry(&pair, "INSERT INTO item VALUES (1)").await;
}

#[tokio::test]
async fn slots_26_short_time_outs_on_the_source_do_not_end_the_snapshot() {
    let pair = TestPair::start().await;
    pair.source_sql(
        "CREATE TABLE item (id int PRIMARY KEY);
         INSERT INTO item SELECT generate_series(1, 1000);
         ALTER DATABASE app SET idle_in_transaction_session_timeout = 200;
         ALTER DATABASE app SET statement_timeout = 2000;
         ALTER DATABASE app SET lock_timeout = 200;
         ALTER ROLE postgres SET idle_in_transaction_session_timeout = 200",
    )
    .await;
    let mut run = Dunlin::start_with_failpoint(&pair, "run", &[], "chunks-planned");
    run.reaches("chunks-planned").await;
    let source = pair.on_source().await;
    let old = "SELECT count(*) = 2 AND min(now() - backend_start) > interval '1 s' \
               FROM pg_stat_activity WHERE application_name = 'dunlin snapshot dunlin'";
    wait_until("the snapshot outlives the time-out", async || number(&source, old).await).await;
    run.kill().await;
    let finished = catch_up(&pair).await;
    assert!(!finished.stderr.contains("snapshot is gone"), "{}", finished.stderr);
    assert_equal(&pair).await;
}
