//! A single transaction of 4 GiB, in bounded memory.

use super::backlog::end_of_log;
use super::contest::report::{Line, Report, Section, Unit};
use super::contest::watch;
use super::stage::{Stage, row};

const ROWS: &str = "524288";
const CONTENT: &str = "SELECT COUNT(*), SUM(LENGTH(content)), SUM(CRC32(content)) FROM bench.large";

/// Measures dunlin once.
pub async fn measure(stage: &Stage, report: &mut Report) {
    let table = "CREATE TABLE bench.large (id BIGINT PRIMARY KEY, content TEXT)";
    stage.source_sql(table).await;
    watch::run(&mut stage.dunlin("run", &["--until", "caught-up"]));
    let insert = format!(
        "SET SESSION cte_max_recursion_depth = {ROWS}; INSERT INTO bench.large \
         WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {ROWS}) \
         SELECT n, REPEAT(LEFT(SHA2(n, 256), 32), 256) FROM numbers"
    );
    stage.source_sql(&insert).await;
    let end = end_of_log(stage).await;
    let mut line =
        Line::of("dunlin", "dunlin run --source $source --target $target --until $gtid_executed");
    line.note(watch::run(&mut stage.dunlin("run", &["--until", &end])));
    assert_eq!(row(&stage.target, CONTENT).await, row(&stage.source, CONTENT).await);
    report.add(Section {
        title: "A transaction of 4 GiB",
        how: "524,288 rows of 8 KiB in one INSERT, applied as one transaction; one round.",
        unit: Unit::Seconds,
        lines: vec![line],
    });
}
