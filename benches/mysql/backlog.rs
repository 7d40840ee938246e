//! A backlog: what was committed while nobody listened, and how long it takes to apply it.

use super::contest::report::{Line, Report, Section, Unit};
use super::contest::watch;
use super::replica::{self, Replica};
use super::stage::{Stage, row};

const TABLES: &str = "bench.sbtest1, bench.sbtest2, bench.sbtest3, bench.sbtest4";

/// Measures both contenders in turn.
pub async fn measure(stage: &Stage, rounds: usize, report: &mut Report) {
    let replica = Replica::of(&stage.source).await;
    begin(stage, &replica).await;
    let mut lines = [
        Line::of("dunlin", "dunlin run --source $source --target $target --until $gtid_executed"),
        Line::of("replica with four workers", replica::COMMAND),
    ];
    for round in 1..=rounds {
        let seed = format!("--rand-seed={round}");
        let words = ["--threads=4", "--events=100000", "--time=0", &seed, "run"];
        watch::run(&mut stage.sysbench(&words));
        let end = end_of_log(stage).await;
        // By turns first and second, so that neither always finds what the other left in memory.
        for turn in [round % 2, (round + 1) % 2] {
            match turn {
                0 => {
                    stage.settle(&replica.server).await;
                    lines[1].rounds.push(replica.drain(&end).await);
                }
                _ => {
                    stage.settle(&stage.target).await;
                    lines[0].note(watch::run(&mut stage.dunlin("run", &["--until", &end])));
                }
            }
        }
        assert_equal(stage, &replica, TABLES).await;
    }
    report.add(Section {
        title: "A backlog of 100,000 write-only sysbench transactions (400,000 row changes)",
        how: "Four tables of 400,000 rows. dunlin: from the start of the process to its end. The \
              server's own replica: from START REPLICA until it has executed the same transactions, \
              with `replica_parallel_workers = 4` and its other settings as MySQL 9.7 has them.",
        unit: Unit::Seconds,
        lines: lines.into(),
    });
}

/// Loads the source, and makes a copy for each contender, both of which then rest.
pub async fn begin(stage: &Stage, replica: &Replica) {
    replica.start().await;
    stage.load();
    watch::run(&mut stage.dunlin("run", &["--until", "caught-up"]));
    replica.drain(&end_of_log(stage).await).await;
}

/// All transactions of the source.
pub async fn end_of_log(stage: &Stage) -> String {
    row(&stage.source, "SELECT REPLACE(@@GLOBAL.gtid_executed, '\n', '')").await.remove(0)
}

/// Panics unless all three servers have the same rows.
pub async fn assert_equal(stage: &Stage, replica: &Replica, tables: &str) {
    for table in tables.split(", ") {
        let checksum = format!("CHECKSUM TABLE {table}");
        let expected = row(&stage.source, &checksum).await;
        assert_eq!(row(&stage.target, &checksum).await, expected);
        assert_eq!(row(&replica.server, &checksum).await, expected);
    }
}
