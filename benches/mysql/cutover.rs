//! Cutover: how long writers wait while their database moves under load.

use std::process::Stdio;
use std::time::Duration;

use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use super::contest::pause::{self, Gate, Sides};
use super::contest::report::Report;
use super::contest::watch;
use super::stage::{Stage, row, sql};

const TABLE: &str = "CREATE TABLE bench.promise (writer int, n int, at timestamp DEFAULT now(), \
                     PRIMARY KEY (writer, n))";

/// What `dunlin cutover` says at its end.
const LIFT: &str = "SET GLOBAL super_read_only = OFF; SET GLOBAL read_only = OFF; \
                    RESET PERSIST IF EXISTS super_read_only";

/// Measures the pause, each round from a database that is copied anew.
pub async fn measure(stage: &Stage, rounds: usize, report: &mut Report) {
    stage.load();
    let mut line = pause::line();
    for _ in 0..rounds {
        stage.source_sql(&format!("DROP TABLE IF EXISTS bench.promise; {TABLE}")).await;
        stage.fresh_target().await;
        line.rounds.push(cut_over(stage).await);
        watch::run(&mut stage.dunlin("complete", &[]));
        sql(&stage.source, LIFT).await;
    }
    report.add(pause::section(line));
}

async fn cut_over(stage: &Stage) -> Duration {
    watch::run(&mut stage.dunlin("run", &["--until", "caught-up"]));
    let mut run = stage.dunlin("run", &[]);
    let mut run = run.stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    let gate = Gate::shut();
    let words = ["--switch", &gate.command(), "--accept-unverified"];
    let ports = Ports([stage.source.port(), stage.target.port()]);
    let moved = pause::measure(&ports, &gate, stage.dunlin("cutover", &words)).await;
    assert!(run.wait().unwrap().success());
    let there = row(&stage.target, "SELECT COUNT(*) FROM bench.promise").await;
    assert!(there[0].parse::<u64>().unwrap() >= moved.accepted);
    moved.pause
}

#[derive(Clone)]
struct Ports([u16; 2]);

impl Sides for Ports {
    type Session = Conn;

    async fn open(&self, side: usize) -> Option<Conn> {
        dunlin::demo::mysql::connect(self.0[side], None).await.ok()
    }

    async fn commit(session: &mut Conn, writer: u32, number: u32) -> bool {
        let text = format!("INSERT INTO bench.promise (writer, n) VALUES ({writer}, {number})");
        session.query_drop(text).await.is_ok()
    }
}
