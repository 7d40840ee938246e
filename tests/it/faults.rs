//! Connections that break, freeze and lose replies; servers that crash and come back.
//!
//! A run goes on by itself, in the same process, until its patience is at an end.

use dunlin::demo::load::Size;

use crate::support::pair::DATABASE;
use crate::support::scene::{Scene, seed};
use crate::support::{Dunlin, Proxy, wait_until};

/// A scene whose run reaches both servers through proxies.
struct Line {
    scene: Scene,
    source: Proxy,
    target: Proxy,
    run: Dunlin,
}

impl Line {
    async fn start() -> Line {
        let scene = Scene::start(Size::SMALL, seed()).await;
        let source = Proxy::start(scene.pair.source.port()).await;
        let target = Proxy::start(scene.pair.target.port()).await;
        let run = scene.run_between(&source.url(DATABASE), &target.url(DATABASE), &[]);
        Line { scene, source, target, run }
    }

    /// The run is still the same, ends in order, and has lost nothing.
    async fn finish(self) {
        self.scene.applied(20).await;
        self.run.interrupt().await.expect_code(0);
        self.scene.finish().await;
    }
}

/// A commit of a group waits, in the middle of it, for an advisory lock of ours.
const PAUSE: &str = "
    CREATE FUNCTION pause() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN PERFORM pg_advisory_xact_lock(42); RETURN NULL; END';
    CREATE CONSTRAINT TRIGGER pause AFTER UPDATE ON dunlin.checkpoint
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
        WHEN (NEW.transactions > OLD.transactions) EXECUTE FUNCTION public.pause();
    ALTER TABLE dunlin.checkpoint ENABLE ALWAYS TRIGGER pause";
const WAITS: &str = "SELECT count(*) > 0 FROM pg_locks \
    WHERE locktype = 'advisory' AND objid = 42 AND NOT granted";

#[tokio::test]
async fn a_commit_whose_reply_is_lost_counts_once() {
    let line = Line::start().await;
    line.scene.applied(20).await;
    line.scene.pair.target_sql(PAUSE).await;
    let observer = &line.scene.observer;
    for _ in 0..4 {
        line.scene.applied(20).await;
        observer.batch_execute("SELECT pg_advisory_lock(42)").await.unwrap();
        wait_until("a group is being committed", async || {
            observer.query_one(WAITS, &[]).await.unwrap().get(0)
        })
        .await;
        let before = line.scene.standing().await;
        line.target.freeze_from_server();
        observer.batch_execute("SELECT pg_advisory_unlock(42)").await.unwrap();
        wait_until("it is committed, and nobody hears of it", async || {
            line.scene.standing().await.transactions > before.transactions
        })
        .await;
        line.target.cut();
        line.target.thaw();
    }
    line.finish().await;
}

#[tokio::test]
async fn cut_connections_are_made_anew() {
    let line = Line::start().await;
    for steps in [1, 4, 8] {
        wait_until("chunks are copied", async || line.scene.standing().await.steps >= steps).await;
        line.source.cut();
    }
    for _ in 0..3 {
        line.scene.applied(20).await;
        line.source.cut();
        line.scene.applied(20).await;
        line.target.cut();
    }
    line.finish().await;
}

#[tokio::test]
async fn a_frozen_network_that_thaws_costs_only_time() {
    let line = Line::start().await;
    line.scene.applied(20).await;
    for _ in 0..3 {
        line.source.freeze();
        line.target.freeze();
        line.scene.written(100).await;
        line.source.thaw();
        line.target.thaw();
        line.scene.applied(100).await;
    }
    line.finish().await;
}

#[tokio::test]
async fn servers_that_crash_are_waited_for() {
    let mut line = Line::start().await;
    wait_until("chunks are copied", async || line.scene.standing().await.steps >= 3).await;
    line.scene.pair.target.crash().unwrap();
    line.scene.pair.target.start().unwrap();
    line.scene.applied(20).await;
    line.scene.pair.target.crash().unwrap();
    line.scene.written(50).await;
    line.scene.pair.target.start().unwrap();
    line.scene.applied(50).await;
    line.scene.pair.source.crash().unwrap();
    line.scene.pair.source.start().unwrap();
    line.scene.applied(50).await;
    line.scene.pair.source.stop().unwrap();
    line.scene.pair.source.start().unwrap();
    line.scene.applied(50).await;
    line.finish().await;
}

#[tokio::test]
async fn a_source_that_crashes_in_mid_copy_takes_the_snapshot_with_it() {
    let mut line = Line::start().await;
    wait_until("chunks are copied", async || line.scene.standing().await.steps >= 3).await;
    line.scene.pair.source.crash().unwrap();
    line.scene.pair.source.start().unwrap();
    line.finish().await;
}

#[tokio::test]
async fn patience_ends_when_the_target_stays_away() {
    let mut scene = Scene::start(Size::SMALL, seed()).await;
    let run = scene.run(&["--retry-for", "2s"]);
    scene.applied(10).await;
    scene.pair.target.stop().unwrap();
    let ended = run.finished().await.expect_code(75);
    assert!(ended.stderr.contains("error[RETRIES_EXHAUSTED]"), "{}", ended.stderr);
    scene.pair.target.start().unwrap();
    scene.finish().await;
}
