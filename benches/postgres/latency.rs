//! Latency: from the commit on the source until the row can be seen on the target.

use std::collections::HashMap;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tokio_postgres::Client;

use super::backlog;
use super::contest::report::{Line, Report, Section, Unit, quantile};
use super::contest::watch;
use super::stage::Stage;

const RATE: &str = "500";
const PROBES: i32 = 500;
const PROBE_EVERY: Duration = Duration::from_millis(20);

/// Measures both contenders in turn.
pub async fn measure(stage: &Stage, rounds: usize, report: &mut Report) {
    let mut pgbench = Command::new(stage.program("pgbench"));
    watch::run(pgbench.args(["-i", "-I", "dtgvp", "-q", "-s", "10", &stage.source_url()]));
    stage.source_sql("CREATE TABLE probe (id integer PRIMARY KEY)").await;
    backlog::begin(stage).await;
    let mut middle = ["dunlin", "subscription", "subscription, durable"].map(Line::new);
    let mut late = middle.clone();
    for round in 0..rounds {
        for turn in (0..3).map(|turn| (turn + round) % 3) {
            stage.settle().await;
            let seen = match turn {
                0 => {
                    let (seen, resident) = dunlin(stage).await;
                    middle[turn].note_resident(resident);
                    late[turn].note_resident(resident);
                    seen
                }
                _ => subscription(stage, turn == 2).await,
            };
            middle[turn].rounds.push(quantile(&seen, 1, 2));
            late[turn].rounds.push(quantile(&seen, 99, 100));
        }
    }
    let section = |title, how, lines: [Line; 3]| Section {
        title,
        how,
        unit: Unit::Milliseconds,
        lines: lines.into(),
    };
    report.add(section(
        "From commit to visible at 500 transactions a second: median",
        "pgbench at scale 10 with `--rate 500`; beside it a row is committed every 20 ms, and the \
         target is asked for the newest row without pause. The subscription has its default \
         `synchronous_commit = off`, which does not wait for the disk; durable: with `on`.",
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
    let mut command = stage.dunlin("run", "one", &[]);
    let mut run = command.stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    let seen = probe(stage, "one").await;
    let resident = watch::most_resident(run.id());
    watch::run(Command::new("kill").args(["-s", "INT", &run.id().to_string()]));
    assert!(run.wait().unwrap().success());
    (seen, resident)
}

async fn subscription(stage: &Stage, durable: bool) -> Vec<Duration> {
    backlog::make_durable(stage, durable).await;
    let target = stage.on_target("two").await;
    target.batch_execute("ALTER SUBSCRIPTION bench ENABLE").await.unwrap();
    let seen = probe(stage, "two").await;
    backlog::rest(stage).await;
    seen
}

/// How long each row took.
async fn probe(stage: &Stage, database: &str) -> Vec<Duration> {
    let (source, target) = (stage.on_source().await, stage.on_target(database).await);
    let first = newest(&source).await + 1;
    // The contender is at work once it brings a row.
    insert(&source, first).await;
    while newest(&target).await < first {}
    let mut load = load(stage);
    let write = async {
        let mut committed = HashMap::new();
        let mut every = tokio::time::interval(PROBE_EVERY);
        for id in first + 1..=first + PROBES {
            every.tick().await;
            insert(&source, id).await;
            committed.insert(id, Instant::now());
        }
        committed
    };
    let watch = async {
        let (mut seen, mut last) = (HashMap::new(), first);
        while last < first + PROBES {
            let newest = newest(&target).await;
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
    let mut pgbench = Command::new(stage.program("pgbench"));
    pgbench.args(["-n", "-M", "prepared", "-c", "4", "-T", "600", "--rate", RATE]);
    pgbench.arg(stage.source_url()).stdout(Stdio::null()).stderr(Stdio::null());
    pgbench.spawn().unwrap()
}

async fn insert(client: &Client, id: i32) {
    client.execute("INSERT INTO probe VALUES ($1)", &[&id]).await.unwrap();
}

async fn newest(client: &Client) -> i32 {
    let newest = client.query_one("SELECT coalesce(max(id), 0) FROM probe", &[]).await;
    newest.unwrap().get(0)
}
