//! Latency: from the commit on the source until the row can be seen on the target.

use std::collections::HashMap;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use dunlin::demo::mysql::Server;
use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use super::backlog;
use super::contest::report::{Line, Report, Section, Unit, quantile};
use super::contest::watch;
use super::replica::Replica;
use super::stage::{Stage, session};

const PROBES: u32 = 500;
const PROBE_EVERY: Duration = Duration::from_millis(20);

/// Measures both contenders in turn.
pub async fn measure(stage: &Stage, rounds: usize, report: &mut Report) {
    stage.source_sql("CREATE TABLE bench.probe (id INT PRIMARY KEY)").await;
    let replica = Replica::of(&stage.source).await;
    backlog::begin(stage, &replica).await;
    let mut middle = [
        Line::of("dunlin", "dunlin run --source $source --target $target"),
        Line::of("replica with four workers", "START REPLICA"),
    ];
    let mut late = middle.clone();
    for round in 0..rounds {
        for turn in [round % 2, (round + 1) % 2] {
            let seen = match turn {
                0 => {
                    stage.settle(&stage.target).await;
                    let (seen, resident) = dunlin(stage).await;
                    middle[turn].note_resident(resident);
                    late[turn].note_resident(resident);
                    seen
                }
                _ => {
                    stage.settle(&replica.server).await;
                    own_replica(stage, &replica).await
                }
            };
            middle[turn].rounds.push(quantile(&seen, 1, 2));
            late[turn].rounds.push(quantile(&seen, 99, 100));
        }
    }
    let section = |title, how, lines: [Line; 2]| Section {
        title,
        how,
        unit: Unit::Milliseconds,
        lines: lines.into(),
    };
    report.add(section(
        "From commit to visible at 500 transactions a second: median",
        "Write-only sysbench transactions (`--rate=500`); beside them a row is committed every 20 ms, \
         and the target is asked for the newest row without pause.",
        middle,
    ));
    report.add(section(
        "From commit to visible at 500 transactions a second: 99th percentile",
        "Of the same rows.",
        late,
    ));
}

/// How long each row took, and how much memory dunlin had.
async fn dunlin(stage: &Stage) -> (Vec<Duration>, u64) {
    let mut command = stage.dunlin("run", &[]);
    let mut run = command.stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    let seen = probe(stage, &stage.target).await;
    let resident = watch::most_resident(run.id());
    watch::run(Command::new("kill").args(["-s", "INT", &run.id().to_string()]));
    assert!(run.wait().unwrap().success());
    (seen, resident)
}

async fn own_replica(stage: &Stage, replica: &Replica) -> Vec<Duration> {
    replica.start().await;
    let seen = probe(stage, &replica.server).await;
    replica.drain(&backlog::end_of_log(stage).await).await;
    seen
}

/// How long each row took.
async fn probe(stage: &Stage, target: &Server) -> Vec<Duration> {
    let (mut source, mut target) = (session(&stage.source).await, session(target).await);
    let first = newest(&mut source).await + 1;
    // The contender is at work once it brings a row.
    insert(&mut source, first).await;
    while newest(&mut target).await < first {}
    let mut load = load(stage);
    let write = async {
        let mut committed = HashMap::new();
        let mut every = tokio::time::interval(PROBE_EVERY);
        for id in first + 1..=first + PROBES {
            every.tick().await;
            insert(&mut source, id).await;
            committed.insert(id, Instant::now());
        }
        committed
    };
    let watch = async {
        let (mut seen, mut last) = (HashMap::new(), first);
        while last < first + PROBES {
            let newest = newest(&mut target).await;
            let now = Instant::now();
            seen.extend((last + 1..=newest).map(|id| (id, now)));
            last = newest;
        }
        seen
    };
    let (committed, seen) = tokio::join!(write, watch);
    load.kill().unwrap();
    load.wait().unwrap();
    committed.iter().map(|(id, at)| seen[id].saturating_duration_since(*at)).collect()
}

fn load(stage: &Stage) -> Child {
    let mut sysbench = stage.sysbench(&["--threads=4", "--time=600", "--rate=500", "run"]);
    sysbench.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

async fn insert(session: &mut Conn, id: u32) {
    session.query_drop(format!("INSERT INTO bench.probe VALUES ({id})")).await.unwrap();
}

async fn newest(session: &mut Conn) -> u32 {
    let newest = session.query_first("SELECT COALESCE(MAX(id), 0) FROM bench.probe").await;
    newest.unwrap().unwrap()
}
