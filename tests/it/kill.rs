//! Killed by SIGKILL, at every named point and at random ones, under writers.
//!
//! The next run has the same words. What counts at the end is that both sides are equal.

use std::collections::BTreeMap;

use dunlin::demo::load::Size;
use dunlin::observe::failpoint;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::support::scene::{LedgerRow, Scene, end_holder, finish, seed};
use crate::support::{TestPair, wait_until};

/// Large enough for tables of several chunks.
const SIZE: Size = Size::SMALL;

/// The points that a plain migration comes by, in that order; and which visit is its last.
const PLAIN: &[(&str, u32)] = &[
    ("migration-created", 1),
    ("taken-over", 1),
    ("published", 1),
    ("snapshot-held", 1),
    ("snapshot-recorded", 1),
    ("tables-made", 1),
    ("chunks-planned", 1),
    ("chunk-loaded", 1),
    ("chunk-loaded", 3),
    ("chunk-committed", 1),
    ("chunk-committed", 4),
    ("snapshot-released", 1),
    ("built", 1),
    ("group-applied", 1),
    ("group-applied", 3),
    ("group-committed", 1),
    ("group-committed", 20),
];

/// The points that only a certain course of events leads to, each in a test of its own.
const PARTICULAR: &[&str] = &[
    "tables-published",
    "snapshot-low-read",
    "tables-listed",
    "tables-reset",
    "partitions-settled",
    "table-altered",
    "marks-awaited",
    "verification-begun",
    "unit-proven",
    "rows-mended",
    "definition-intended",
    "definition-run",
    "definition-recorded",
    "way-back-published",
    "way-back-armed",
    "cutover-begun",
    "hook-closed",
    "fence-closed",
    "log-drained",
    "sequences-carried",
    "changes-compared",
    "source-sealing",
    "lock-let-go",
    "source-sealed",
    "target-unsealed",
    "traffic-switching",
    "traffic-switched",
    "way-back-begun",
    "way-back-removed",
];

#[test]
fn no_named_point_is_left_out() {
    let killed =
        |name: &&str| PLAIN.iter().any(|(point, _)| point == name) || PARTICULAR.contains(name);
    let left: Vec<_> = failpoint::NAMES.iter().filter(|name| !killed(name)).collect();
    assert!(left.is_empty(), "no test kills a run at {left:?}");
}

#[tokio::test]
async fn a_kill_at_each_named_point_loses_nothing() {
    let scene = Scene::start(Size::per_mille(20), seed()).await;
    for (point, visit) in PLAIN {
        scene.kill_at(&format!("{point}:{visit}")).await;
        scene.written(20).await;
    }
    scene.finish().await;
}

#[tokio::test]
async fn a_kill_while_tables_are_taken_in_loses_nothing() {
    let scene = Scene::start(SIZE, seed()).await;
    let make = "CREATE TABLE late (id integer PRIMARY KEY, word text)";
    scene.run(&["--until", "caught-up"]).finished().await.expect_code(0);
    scene.pair.source_sql(make).await;
    scene
        .pair
        .source_sql("INSERT INTO late SELECT n, 'early' FROM generate_series(1, 100) n")
        .await;
    scene.pair.target_sql(make).await;
    scene.kill_at("tables-published").await;
    scene
        .pair
        .source_sql("INSERT INTO late VALUES (101, 'late'); DELETE FROM late WHERE id = 5")
        .await;
    scene.kill_at("group-committed").await;
    scene.pair.source_sql("UPDATE late SET word = 'later' WHERE id > 90").await;
    scene.finish().await;
}

#[tokio::test]
async fn fifty_random_kills_lose_nothing() {
    let seed = seed();
    let mut random = StdRng::seed_from_u64(seed);
    let scene = Scene::start(Size::per_mille(20), seed).await;
    let (mut kills, mut in_snapshot) = (0, 0);
    while kills < 50 {
        let before = scene.standing().await;
        let (steps, transactions) = (random.random_range(0..6), random.random_range(1..100));
        let mut run = scene.run(&[]);
        let mut now = before;
        wait_until("the run gets on", async || {
            assert!(run.is_running(), "{}", run.stderr());
            now = scene.standing().await;
            now.epoch > before.epoch
                && (now.steps > before.steps + steps
                    || now.transactions >= before.transactions + transactions
                    || steps == 0)
        })
        .await;
        run.kill().await;
        kills += 1;
        in_snapshot += u32::from(now.transactions == 0);
    }
    assert!((5..45).contains(&in_snapshot), "{in_snapshot} kills in the snapshot, seed {seed}");
    scene.finish().await;
}

#[tokio::test]
async fn a_killed_copy_goes_on_with_what_is_left() {
    let scene = Scene::start(Size::per_mille(20), seed()).await;
    scene.kill_at("chunk-committed:6").await;
    // The writers empty one table again and again; it is copied anew where they do so in between.
    let lasting = async || -> Vec<LedgerRow> {
        scene.ledger().await.into_iter().filter(|chunk| chunk.table != "staging").collect()
    };
    let before = lasting().await;
    let finished = |ledger: &[LedgerRow]| -> Vec<LedgerRow> {
        ledger.iter().filter(|chunk| chunk.finished_at.is_some()).cloned().collect()
    };
    assert!(finished(&before).len() >= 5 && finished(&before).len() < before.len());
    scene.written(100).await;
    scene.run(&["--until", "snapshot"]).finished().await.expect_code(0);
    let after = finished(&lasting().await);
    assert_eq!(after.len(), before.len());
    for chunk in finished(&before) {
        assert!(after.contains(&chunk), "{chunk:?} was copied again");
    }
    let points: BTreeMap<_, _> = after.iter().map(|chunk| (&chunk.low, ())).collect();
    assert_eq!(points.len(), 1, "more than one consistent point: {points:?}");
    scene.finish().await;
}

#[tokio::test]
async fn large_objects_come_though_the_run_is_killed_after_the_last_chunk() {
    let pair = TestPair::start().await;
    pair.source_sql(
        "CREATE TABLE lonely (id integer PRIMARY KEY); SELECT lo_from_bytea(4711, 'x')",
    )
    .await;
    let scene_words: &[&str] = &["--retry-for", "10s"];
    let mut run =
        crate::support::Dunlin::start_with_failpoint(&pair, "run", scene_words, "chunk-committed");
    run.reaches("chunk-committed").await;
    run.kill().await;
    finish(&pair, scene_words).await;
    let there = "SELECT count(*) FROM pg_largeobject_metadata WHERE oid = 4711";
    let count: i64 = pair.on_target().await.query_one(there, &[]).await.unwrap().get(0);
    assert_eq!(count, 1);
}

#[tokio::test]
async fn a_lost_snapshot_costs_what_was_not_copied() {
    let scene = Scene::start(Size::per_mille(20), seed()).await;
    scene.kill_at("chunk-committed:3").await;
    end_holder(&scene.pair).await;
    scene.written(100).await;
    scene.kill_at("chunk-committed:3").await;
    end_holder(&scene.pair).await;
    scene.written(100).await;
    scene.finish().await;
}
