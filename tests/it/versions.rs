//! Servers of other versions than the usual one: whole migrations under writers, and what a check
//! says of versions that differ. Other subjects run between any two versions by
//! `DUNLIN_TEST_SOURCE_MAJOR` and `DUNLIN_TEST_TARGET_MAJOR`.

use dunlin::demo::ServerOptions;
use dunlin::demo::load::Size;
use dunlin::demo::programs::Programs;

use crate::column_types;
use crate::support::kinds;
use crate::support::scene::{Scene, seed};
use crate::support::{Dunlin, TestPair, carry, catch_up, number, wait_until};

#[tokio::test]
async fn a_whole_migration_from_13_to_18() {
    whole_migration(13, 18).await;
}

#[tokio::test]
async fn a_whole_migration_from_15_to_17() {
    whole_migration(15, 17).await;
}

#[tokio::test]
async fn a_whole_migration_from_15_to_18() {
    whole_migration(15, 18).await;
}

#[tokio::test]
async fn a_whole_migration_from_18_to_18() {
    whole_migration(18, 18).await;
}

#[tokio::test]
async fn a_whole_migration_to_an_older_version() {
    whole_migration(18, 15).await;
}

/// Under writers, killed once in the snapshot and once in the stream.
async fn whole_migration(source: u32, target: u32) {
    let versions = (version(source), version(target));
    let scene = Scene::start_with(versions, Size::per_mille(5), seed()).await;
    scene.kill_at("chunk-committed:3").await;
    scene.written(50).await;
    scene.kill_at("group-committed:3").await;
    scene.written(50).await;
    scene.finish().await;
}

#[tokio::test]
async fn every_type_from_13_to_18() {
    every_type(13, 18).await;
}

#[tokio::test]
async fn every_type_from_15_to_17() {
    every_type(15, 17).await;
}

#[tokio::test]
async fn every_type_from_15_to_18() {
    every_type(15, 18).await;
}

#[tokio::test]
async fn every_type_from_18_to_18() {
    every_type(18, 18).await;
}

async fn every_type(source: u32, target: u32) {
    for part in 0..kinds::PARTS {
        column_types::every_type(Some(source), Some(target), part).await;
    }
}

#[tokio::test]
async fn what_an_older_version_does_not_know_is_named_before_the_first_row() {
    let pair = TestPair::start_with(version(18), version(15)).await;
    pair.source_sql(
        "CREATE EXTENSION btree_gist;
         CREATE TABLE item (id integer PRIMARY KEY, v text,
             twice text GENERATED ALWAYS AS (v || v) VIRTUAL);
         CREATE TABLE stay (room integer, during tsrange, PRIMARY KEY (room, during WITHOUT OVERLAPS));
         INSERT INTO item SELECT n, 'x' FROM generate_series(1, 10) AS n;
         INSERT INTO stay SELECT n, '[2026-01-01,2026-01-02)' FROM generate_series(1, 10) AS n",
    )
    .await;
    let check = Dunlin::run(&pair, "check", &[]).await.expect_code(0);
    assert!(check.stdout.contains("VERSION_OLDER"), "{}", check.stdout);
    refuses(&pair, "create TABLE public.item on the target").await;
    pair.source_sql("ALTER TABLE item DROP COLUMN twice").await;
    // The tables can be made by now; what comes after the rows is tried out.
    refuses(&pair, "build CONSTRAINT public.stay stay_pkey on the target").await;
    pair.source_sql("ALTER TABLE stay DROP CONSTRAINT stay_pkey, ADD PRIMARY KEY (room, during)")
        .await;
    catch_up(&pair).await;
    carry(&pair, "UPDATE item SET v = 'y' WHERE id < 5; DELETE FROM stay WHERE room = 3").await;
}

/// A run halts over this, and leaves nothing behind; then the migration is ended.
async fn refuses(pair: &TestPair, act: &str) {
    let refused = Dunlin::run(pair, "run", &[]).await.expect_halt("SCHEMA_RESTORE_FAILED");
    refused.expect_said(act);
    let tables = "SELECT count(*) FROM pg_class WHERE relname IN ('item', 'stay')";
    assert_eq!(number::<i64>(&pair.on_target().await, tables).await, 0);
    Dunlin::run(pair, "complete", &[]).await.expect_code(0);
}

#[tokio::test]
async fn what_is_not_carried_over_is_told_with_its_remedy() {
    let source = version(18).with("idle_replication_slot_timeout", "1d");
    let pair = TestPair::start_with(source, version(18)).await;
    pair.source_sql(
        "CREATE TABLE item (id integer PRIMARY KEY);
         ALTER DATABASE app SET work_mem = '8MB';
         ALTER ROLE postgres IN DATABASE app SET search_path = app, public;
         CREATE FUNCTION seen() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
         CREATE EVENT TRIGGER watches ON ddl_command_end EXECUTE FUNCTION seen();
         CREATE PUBLICATION everything FOR ALL TABLES;
         CREATE SUBSCRIPTION theirs CONNECTION 'host=db.example' PUBLICATION p WITH (connect = false)",
    )
    .await;
    pair.target_sql(
        "CREATE ROLE mover LOGIN; GRANT CREATE ON DATABASE app TO mover;
         GRANT CREATE ON SCHEMA public TO mover;
         GRANT SET ON PARAMETER session_replication_role TO mover",
    )
    .await;
    let target = pair.target_url().replace("postgres@", "mover@");
    let with = |verb: &'static str, further: &[&str]| {
        let source = pair.source_url();
        let mut command = Dunlin::command(&[verb, "--source", &source, "--target", &target]);
        command.args(further);
        Dunlin::start_command(command).finished()
    };
    let check = with("check", &[]).await.expect_code(0).stdout;
    for said in [
        "SLOT_LIMIT",
        "idle_replication_slot_timeout is 1d",
        "SUBSCRIPTION_LEFT",
        "DATABASE_SETTINGS",
        "ALTER DATABASE \"app\" SET work_mem TO '8MB'",
        "ALTER ROLE \"postgres\" IN DATABASE \"app\" SET search_path TO app, public",
        "only a superuser may create event trigger watches",
        "only a superuser may create publication everything",
    ] {
        assert!(check.contains(said), "no {said:?} in:\n{check}");
    }
    let run = with("run", &["--until", "caught-up"]).await.expect_code(0);
    run.expect_said("EVENT TRIGGER watches is not carried over")
        .expect_said("PUBLICATION everything is not carried over");
    with("complete", &[]).await.expect_code(0);
}

#[tokio::test]
async fn a_slot_that_was_idle_for_too_long_is_lost_and_said_so() {
    let pair = TestPair::start_with(version(18), version(18)).await;
    pair.source_sql("CREATE TABLE item (id integer PRIMARY KEY)").await;
    catch_up(&pair).await;
    let source = pair.on_source().await;
    source.batch_execute("ALTER SYSTEM SET idle_replication_slot_timeout = '1s'").await.unwrap();
    source.batch_execute("SELECT pg_reload_conf()").await.unwrap();
    wait_until("the server gives the slot up", async || {
        source.batch_execute("INSERT INTO item SELECT max(id) + 1 FROM item").await.ok();
        source.batch_execute("SELECT pg_switch_wal(); CHECKPOINT").await.unwrap();
        let lost = "SELECT EXISTS (SELECT FROM pg_replication_slots WHERE invalidation_reason = 'idle_timeout')";
        number(&source, lost).await
    })
    .await;
    let halted = Dunlin::run(&pair, "run", &[]).await.expect_halt("SLOT_LOST");
    halted.expect_said("idle_timeout");
}

#[test]
fn a_missing_version_names_what_brings_it() {
    let missing = Programs::find(Some(99)).unwrap_err().to_string();
    assert!(missing.contains("scripts/servers postgres-99"), "{missing}");
}

fn version(major: u32) -> ServerOptions {
    ServerOptions { major: Some(major), ..ServerOptions::default() }
}
