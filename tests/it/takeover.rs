//! Two processes on one migration: the second is refused, or the first can commit nothing more.

use dunlin::demo::ServerOptions;
use dunlin::demo::load::Size;

use crate::support::scene::{Scene, seed};
use crate::support::wait_until;

/// Ends the session that holds the migration's lock, as a broken network would.
async fn end_control_session(scene: &Scene) {
    let end = "SELECT pg_terminate_backend(l.pid) FROM pg_locks AS l \
         WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1";
    wait_until("nobody holds the migration's lock", async || {
        scene.observer.query(end, &[]).await.unwrap().is_empty()
    })
    .await;
}

/// A source that soon gives up a reader that says nothing, as a frozen one does.
fn impatient() -> ServerOptions {
    ServerOptions::default().with("wal_sender_timeout", "2s")
}

#[tokio::test]
async fn a_second_run_is_refused_while_the_first_lives() {
    let scene = Scene::start(Size::SMALL, seed()).await;
    let first = scene.run(&[]);
    scene.applied(10).await;
    let holder: i32 = scene
        .observer
        .query_one("SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1", &[])
        .await
        .unwrap()
        .get(0);
    let second = scene.run(&[]).finished().await.expect_code(4);
    assert!(second.stderr.contains("error[ALREADY_RUNNING]"), "{}", second.stderr);
    assert!(second.stderr.contains(&holder.to_string()), "{}", second.stderr);
    scene.applied(10).await;
    first.interrupt().await.expect_code(0);
    scene.finish().await;
}

#[tokio::test]
async fn a_process_that_was_frozen_and_replaced_commits_nothing_more() {
    let servers = (impatient(), ServerOptions::default());
    let scene = Scene::start_with(servers, Size::SMALL, seed()).await;
    let first = scene.run(&[]);
    scene.applied(50).await;
    first.signal("STOP");
    end_control_session(&scene).await;
    let before = scene.standing().await;
    let second = scene.run(&[]);
    scene.applied(50).await;
    let taken = scene.standing().await;
    assert!(taken.epoch > before.epoch);
    first.signal("CONT");
    let first = first.finished().await.expect_code(4);
    let said = ["error[FENCED]", "error[ALREADY_RUNNING]"];
    assert!(said.iter().any(|code| first.stderr.contains(code)), "{}", first.stderr);
    scene.applied(50).await;
    assert_eq!(scene.standing().await.epoch, taken.epoch);
    second.interrupt().await.expect_code(0);
    scene.finish().await;
}

#[tokio::test]
async fn a_process_frozen_in_an_open_transaction_keeps_nobody_out() {
    let servers = (impatient(), ServerOptions::default());
    let scene = Scene::start_with(servers, Size::SMALL, seed()).await;
    for failpoint in ["chunk-loaded:2", "group-applied:3"] {
        let mut frozen = scene.run_to(failpoint);
        frozen.reaches(failpoint.split(':').next().unwrap()).await;
        frozen.signal("STOP");
        end_control_session(&scene).await;
        let before = scene.standing().await;
        let second = scene.run(&[]);
        wait_until("the second process gets on", async || {
            let now = scene.standing().await;
            now.epoch > before.epoch && now.transactions > before.transactions + 20
        })
        .await;
        frozen.signal("CONT");
        scene.applied(20).await;
        second.kill().await;
        frozen.kill().await;
    }
    scene.finish().await;
}

#[tokio::test]
async fn an_interrupted_snapshot_says_how_to_go_on() {
    let scene = Scene::start(Size::per_mille(20), seed()).await;
    scene.kill_at("chunks-planned").await;
    let mut locking = scene.pair.on_target().await;
    let lock = locking.transaction().await.unwrap();
    // The largest table comes first, in several chunks.
    lock.batch_execute("LOCK TABLE pgbench_accounts IN SHARE MODE").await.unwrap();
    let run = scene.run(&["--workers", "1"]);
    wait_until("the copy stands at the locked table", async || {
        let waiting = "SELECT count(*) > 0 FROM pg_locks \
             WHERE NOT granted AND relation = 'pgbench_accounts'::regclass";
        scene.observer.query_one(waiting, &[]).await.unwrap().get(0)
    })
    .await;
    run.signal("INT");
    lock.commit().await.unwrap();
    let ended = run.finished().await.expect_code(0);
    assert!(ended.stdout.contains("goes on from here"), "{}", ended.stdout);
    let left = scene.ledger().await;
    assert!(left.iter().any(|chunk| chunk.finished_at.is_none()), "nothing was interrupted");
    scene.finish().await;
}

#[tokio::test]
async fn an_interrupted_stream_says_how_to_go_on() {
    let scene = Scene::start(Size::SMALL, seed()).await;
    let run = scene.run(&[]);
    scene.applied(20).await;
    let ended = run.interrupt().await.expect_code(0);
    assert!(ended.stdout.contains("goes on from here"), "{}", ended.stdout);
    scene.written(20).await;
    scene.finish().await;
}
