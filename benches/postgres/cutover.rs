//! Cutover: how long writers wait while their database moves under load.

use std::process::{Command, Stdio};
use std::time::Duration;

use tokio_postgres::Client;

use super::contest::pause::{self, Gate, Sides};
use super::contest::report::Report;
use super::contest::watch;
use super::stage::{DATABASE, Stage};

const TABLE: &str = "CREATE TABLE promise (writer int, n int, at timestamptz DEFAULT now(), \
                     PRIMARY KEY (writer, n))";

/// Measures the pause, each round from a database that is copied anew.
pub async fn measure(stage: &Stage, rounds: usize, report: &mut Report) {
    let mut pgbench = Command::new(stage.program("pgbench"));
    watch::run(pgbench.args(["-i", "-I", "dtgvp", "-q", "-s", "10", &stage.source_url()]));
    let mut line = pause::line();
    for _ in 0..rounds {
        stage.source_sql(&format!("DROP TABLE IF EXISTS promise; {TABLE}")).await;
        stage.fresh_target("one").await;
        line.rounds.push(cut_over(stage).await);
        watch::run(&mut stage.dunlin("complete", "one", &[]));
        stage.source_sql("DROP SCHEMA dunlin_fence CASCADE").await;
    }
    report.add(pause::section(line));
}

async fn cut_over(stage: &Stage) -> Duration {
    watch::run(&mut stage.dunlin("run", "one", &["--until", "caught-up"]));
    let mut run = stage.dunlin("run", "one", &[]);
    let mut run = run.stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    let gate = Gate::shut();
    let words = ["--switch", &gate.command(), "--accept-unverified"];
    let moved = pause::measure(&urls(stage), &gate, stage.dunlin("cutover", "one", &words)).await;
    assert!(run.wait().unwrap().success());
    let target = stage.on_target("one").await;
    let there = target.query_one("SELECT count(*) FROM promise", &[]).await.unwrap();
    assert!(there.get::<_, i64>(0) >= i64::try_from(moved.accepted).unwrap());
    moved.pause
}

fn urls(stage: &Stage) -> Urls {
    Urls([stage.source.url(DATABASE), stage.target.url("one")])
}

#[derive(Clone)]
struct Urls([String; 2]);

impl Sides for Urls {
    type Session = Client;

    async fn open(&self, side: usize) -> Option<Client> {
        dunlin::demo::server::connect(&self.0[side]).await.ok()
    }

    async fn commit(client: &mut Client, writer: u32, number: u32) -> bool {
        let text = format!("INSERT INTO promise (writer, n) VALUES ({writer}, {number})");
        client.batch_execute(&text).await.is_ok()
    }
}
