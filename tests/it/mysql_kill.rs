//! Killed by SIGKILL at random moments, under writers; lines that are cut, and servers that are
//! restarted.

use dunlin::demo::mysql::Release;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::support::mysql_scene::MySqlScene;
use crate::support::pair::DATABASE;
use crate::support::scene::seed;
use crate::support::{Dunlin, Proxy, wait_until};

async fn random_kills(release: Release, count: u32) {
    let seed = seed();
    let mut random = StdRng::seed_from_u64(seed);
    let mut scene = MySqlScene::start(release, seed).await;
    let mut in_snapshot = 0;
    for _ in 0..count {
        let before = scene.standing().await;
        let (steps, transactions) = (random.random_range(0..5), random.random_range(1..100));
        let mut run = scene.run();
        let mut now = before;
        wait_until("the run gets on", async || {
            assert!(run.is_running(), "seed {seed}: {}", run.stderr());
            now = scene.standing().await;
            now.epoch > before.epoch
                && (now.steps > before.steps + steps
                    || now.transactions >= before.transactions + transactions
                    || steps == 0)
        })
        .await;
        run.kill().await;
        in_snapshot += u32::from(now.transactions == 0);
    }
    assert!((3..count).contains(&in_snapshot), "{in_snapshot} in the snapshot, seed {seed}");
    scene.finish().await;
}

#[tokio::test]
async fn mysql_9_7_fifty_random_kills_lose_nothing() {
    random_kills(Release::MYSQL_9_7, 50).await;
}

#[tokio::test]
async fn mariadb_10_11_random_kills_lose_nothing() {
    random_kills(Release::MARIADB_10_11, 20).await;
}

#[tokio::test]
async fn mariadb_11_8_random_kills_lose_nothing() {
    random_kills(Release::MARIADB_11_8, 20).await;
}

/// A run that reaches both servers through proxies.
struct Line {
    scene: MySqlScene,
    source: Proxy,
    target: Proxy,
    run: Dunlin,
}

impl Line {
    async fn start(release: Release, further: &[&str]) -> Line {
        let scene = MySqlScene::start(release, seed()).await;
        let source = Proxy::start(scene.pair.source.port()).await;
        let target = Proxy::start(scene.pair.target.port()).await;
        let urls = [&source, &target].map(|proxy| proxy.mysql_url(DATABASE));
        let run = scene.run_between(&urls[0], &urls[1], further);
        Line { scene, source, target, run }
    }

    /// The run is still the same, ends in order, and has lost nothing.
    async fn finish(mut self) {
        self.scene.applied(20).await;
        self.run.interrupt().await.expect_code(0);
        self.scene.finish().await;
    }
}

/// Cut in the snapshot and in the stream, on either side; replies of the target are lost.
async fn cut_lines(release: Release) {
    let mut line = Line::start(release, &["--source-timeout", "2s"]).await;
    for (steps, proxy) in [(1, 0), (4, 1), (6, 0)] {
        wait_until("chunks are copied", async || line.scene.standing().await.steps >= steps).await;
        [&line.source, &line.target][proxy].cut();
    }
    for _ in 0..2 {
        line.scene.applied(20).await;
        line.source.cut();
        line.scene.applied(20).await;
        line.target.cut();
    }
    for _ in 0..3 {
        line.scene.applied(20).await;
        line.target.freeze_from_server();
        line.scene.written(20).await;
        line.target.cut();
        line.target.thaw();
    }
    // The first may still be those of the session that was cut.
    for _ in 0..2 {
        line.scene.applied(20).await;
    }
    line.source.freeze();
    line.run.says("has been silent").await;
    line.source.thaw();
    line.finish().await;
}

#[tokio::test]
async fn mysql_9_7_cut_lines_are_made_anew() {
    cut_lines(Release::MYSQL_9_7).await;
}

#[tokio::test]
async fn mariadb_11_8_cut_lines_are_made_anew() {
    cut_lines(Release::MARIADB_11_8).await;
}
