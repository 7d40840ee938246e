//! A single transaction of 4 GiB, in bounded memory.

use super::backlog;
use super::contest::report::{Line, Report, Section, Unit};
use super::contest::watch;
use super::stage::Stage;

const ROWS: &str = "524288";

/// Measures dunlin once.
pub async fn measure(stage: &Stage, report: &mut Report) {
    stage
        .source_sql(
            "CREATE TABLE large (id bigint PRIMARY KEY, content text); \
             ALTER TABLE large ALTER content SET STORAGE EXTERNAL",
        )
        .await;
    stage.fresh_target("one").await;
    watch::run(&mut stage.dunlin("run", "one", &["--until", "caught-up"]));
    let insert = format!(
        "INSERT INTO large SELECT n, repeat(md5(n::text), 256) FROM generate_series(1, {ROWS}) AS n"
    );
    stage.source_sql(&insert).await;
    let end = backlog::end_of_log(stage).await;
    let mut line = Line::new("dunlin");
    line.note(watch::run(&mut stage.dunlin("run", "one", &["--until", &end])));
    let digest = "SELECT count(*)::text || ' ' || sum(length(content)) FROM large";
    let source: String = stage.on_source().await.query_one(digest, &[]).await.unwrap().get(0);
    let target: String = stage.on_target("one").await.query_one(digest, &[]).await.unwrap().get(0);
    assert_eq!(source, target);
    report.add(Section {
        title: "A transaction of 4 GiB",
        how: "524,288 rows of 8 KiB in one INSERT, applied as one transaction; one round.",
        unit: Unit::Seconds,
        lines: vec![line],
    });
}
