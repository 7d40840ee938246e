//! The snapshot: sysbench's four tables with their secondary indexes.

use super::contest::report::{Line, Report, Section, Unit};
use super::contest::watch;
use super::stage::{DATABASE, Stage, row};

const DUNLIN: &str = "dunlin run --source $source --target $target";

/// The first contenders.
const OURS: [&[&str]; 2] =
    [&["--until", "snapshot"], &["--until", "snapshot", "--target-binlog", "off"]];

const DUMPED: &str = "\
mydumper $source -B bench -o $work/dump -t 2
myloader $target -B bench -d $work/dump -t 2 -o";

const PIPED: &str =
    "mysqldump $source --single-transaction --set-gtid-purged=OFF bench | mysql $target bench";

/// One table after the other in each of two sessions.
const LOADED: &str = "\
mysqldump $source --no-data --compact --set-gtid-purged=OFF bench |
    sed '/KEY `k_/d; s/^\\(  PRIMARY KEY .*\\),$/\\1/' |
    mysql $target bench
copy() { for n in $@; do echo \"SET unique_checks = 0, foreign_key_checks = 0;
    LOAD DATA LOCAL INFILE '$work/sbtest$n' INTO TABLE sbtest$n;
    ALTER TABLE sbtest$n ADD KEY k_$n (k);\"; done | mysql $target --local-infile=1 bench; }
copy 1 2 & first=$!
copy 3 4 & wait $first; wait $!";

/// Ready data for [`LOADED`].
const READY: &str = "\
for n in 1 2 3 4; do mysql $source -NB --quick bench -e \"SELECT * FROM sbtest$n\" >$work/sbtest$n; done";

const CONTENT: &str = "SELECT COUNT(*), SUM(id), SUM(k), SUM(CRC32(c)), SUM(CRC32(pad)) FROM (\
     SELECT * FROM bench.sbtest1 UNION ALL SELECT * FROM bench.sbtest2 \
     UNION ALL SELECT * FROM bench.sbtest3 UNION ALL SELECT * FROM bench.sbtest4) AS s";

const INDEXES: &str = "SELECT GROUP_CONCAT(table_name, index_name, column_name \
     ORDER BY table_name, index_name, seq_in_index) \
     FROM information_schema.statistics WHERE table_schema = 'bench'";

/// Measures every contender in turn.
pub async fn measure(stage: &Stage, rounds: usize, report: &mut Report) {
    stage.load();
    let work = tempfile::tempdir().unwrap();
    run(stage, &work, READY);
    let expected = (row(&stage.source, CONTENT).await, row(&stage.source, INDEXES).await);
    let unlogged = LOADED.replace("SET unique", "SET sql_log_bin = 0, unique");
    let mut lines = [
        Line::of("dunlin", &format!("{DUNLIN} --until snapshot")),
        Line::of(
            "dunlin, no binary log",
            &format!("{DUNLIN} --until snapshot --target-binlog off"),
        ),
        Line::of("mydumper and myloader 0.10", DUMPED),
        Line::of("mysqldump into mysql", PIPED),
        Line::of("LOAD DATA of ready files", LOADED),
        Line::of("LOAD DATA, no binary log", &unlogged),
    ];
    for _ in 0..rounds {
        for (contender, line) in lines.iter_mut().enumerate() {
            stage.fresh_target().await;
            let ours = OURS.get(contender);
            match ours {
                Some(words) => line.note(watch::run(&mut stage.dunlin("run", words))),
                None => {
                    let command = line.command.clone().unwrap_or_default();
                    line.rounds.push(run(stage, &work, &command).wall);
                }
            }
            let found = (row(&stage.target, CONTENT).await, row(&stage.target, INDEXES).await);
            assert_eq!(found, expected, "in {DATABASE} after {}", line.name);
            if ours.is_some() {
                watch::run(&mut stage.dunlin("complete", &[]));
            }
        }
    }
    report.add(Section {
        title: "Snapshot of four sysbench tables, 1,600,000 rows, secondary indexes included",
        how: "310 MB of text. mydumper and myloader have two threads each; myloader's sessions write \
              no binary log. mysqldump is one stream. LOAD DATA is the limit: files that are there \
              already, two sessions at once, indexes made after the rows, with a binary log like \
              dunlin's first line, and without one like its second and like myloader.",
        unit: Unit::Seconds,
        lines: lines.into(),
    });
}

fn run(stage: &Stage, work: &tempfile::TempDir, text: &str) -> watch::Taken {
    let work = work.path();
    std::fs::remove_dir_all(work.join("dump")).ok();
    watch::run(stage.script(text).env("work", work))
}
