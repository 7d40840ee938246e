//! The snapshot: six million rows, about a gigabyte, with all indexes and constraints.

use std::time::{Duration, Instant};

use super::contest::report::{Line, Report, Section, Unit};
use super::contest::watch;
use super::stage::{DATABASE, Stage};

const SCALE: &str = "50";
const ORDERS: &str = include_str!("orders.sql");
const COUNT: &str =
    "SELECT (SELECT count(*) FROM pgbench_accounts) + (SELECT count(*) FROM orders)";
const INDEXES: &str = "SELECT count(*) FROM pg_index WHERE indrelid::regclass::text \
                       IN ('orders', 'pgbench_accounts', 'pgbench_branches', 'pgbench_tellers')";

/// Loads the source.
pub async fn load(stage: &Stage) {
    let mut pgbench = std::process::Command::new(stage.program("pgbench"));
    watch::run(pgbench.args(["-i", "-I", "dtGvp", "-q", "-s", SCALE, &stage.source_url()]));
    stage.source_sql(ORDERS).await;
    stage.source_sql("VACUUM ANALYZE").await;
}

/// Measures every contender in turn.
pub async fn measure(stage: &Stage, rounds: usize, report: &mut Report) {
    load(stage).await;
    let source = stage.on_source().await;
    let rows: i64 = source.query_one(COUNT, &[]).await.unwrap().get(0);
    let indexes: i64 = source.query_one(INDEXES, &[]).await.unwrap().get(0);
    let names = ["dunlin", "pgcopydb 0.18", "subscription", "COPY to COPY"];
    let mut lines = names.map(Line::new);
    for _ in 0..rounds {
        stage.fresh_target("one").await;
        lines[0].note(watch::run(&mut stage.dunlin("run", "one", &["--until", "snapshot"])));
        verify(stage, "one", rows, indexes).await;
        watch::run(&mut stage.dunlin("complete", "one", &[]));

        stage.fresh_target("two").await;
        lines[1].rounds.push(pgcopydb(stage, "two"));
        verify(stage, "two", rows, indexes).await;

        stage.fresh_target("three").await;
        lines[2].rounds.push(subscription(stage, "three").await);
        verify(stage, "three", rows, indexes).await;

        stage.fresh_target("four").await;
        lines[3].rounds.push(raw(stage, "four"));
        verify(stage, "four", rows, indexes).await;
    }
    report.add(Section {
        title: "Snapshot of 6,000,000 rows, indexes and constraints included",
        how: "pgbench at scale 50 and a table of a million orders with jsonb, uuid, numeric and \
              arrays; 1.05 GB. dunlin: `run --until snapshot`. pgcopydb: `clone` with two table \
              and two index jobs, without vacuum and without large objects, which was its fastest. \
              Subscription: two workers, keys and indexes made after the copy. COPY to COPY: the \
              limit, two tables at once in binary from psql to psql, then `pg_restore --jobs 2` of \
              keys and indexes.",
        unit: Unit::Seconds,
        lines: lines.into(),
    });
}

async fn verify(stage: &Stage, database: &str, rows: i64, indexes: i64) {
    let target = stage.on_target(database).await;
    let copied: i64 = target.query_one(COUNT, &[]).await.unwrap().get(0);
    let built: i64 = target.query_one(INDEXES, &[]).await.unwrap().get(0);
    assert_eq!((copied, built), (rows, indexes), "in database {database}");
}

fn pgcopydb(stage: &Stage, database: &str) -> Duration {
    let work = tempfile::tempdir().unwrap();
    let mut command = stage.pgcopydb();
    command.args(["clone", "--table-jobs", "2", "--index-jobs", "2", "--skip-vacuum"]);
    command.args(["--skip-large-objects", "--skip-extensions", "--fail-fast", "--dir"]);
    command.arg(work.path().join("work"));
    command.args(["--source", &stage.source_url(), "--target", &stage.target.url(database)]);
    watch::run(&mut command).wall
}

async fn subscription(stage: &Stage, database: &str) -> Duration {
    stage.source_sql("CREATE PUBLICATION bench FOR ALL TABLES").await;
    let target = stage.on_target(database).await;
    let started = Instant::now();
    stage.restore_section(database, "pre-data");
    let subscribe = format!(
        "CREATE SUBSCRIPTION bench CONNECTION 'host=127.0.0.1 port={} user=postgres \
         dbname={DATABASE}' PUBLICATION bench",
        stage.source.port()
    );
    target.batch_execute(&subscribe).await.unwrap();
    let left = "SELECT count(*) FROM pg_subscription_rel WHERE srsubstate <> 'r'";
    while target.query_one(left, &[]).await.unwrap().get::<_, i64>(0) > 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    stage.restore_section(database, "post-data");
    let taken = started.elapsed();
    target.batch_execute("DROP SUBSCRIPTION bench").await.unwrap();
    stage.source_sql("DROP PUBLICATION bench").await;
    taken
}

fn raw(stage: &Stage, database: &str) -> Duration {
    let (source, target) = (stage.source_url(), stage.target.url(database));
    let psql = format!("{} -qX -v ON_ERROR_STOP=1", stage.program("psql"));
    let pipe = |table: &str| {
        format!(
            "{psql} -c 'COPY {table} TO STDOUT (FORMAT binary)' '{source}' | \
             {psql} -c 'COPY {table} FROM STDIN (FORMAT binary)' '{target}'"
        )
    };
    let started = Instant::now();
    stage.restore_section(database, "pre-data");
    let text = format!(
        "{{ {}; {}; {}; }} & first=$!\n{} & second=$!\nwait $first; wait $second",
        pipe("orders"),
        pipe("pgbench_branches"),
        pipe("pgbench_tellers"),
        pipe("pgbench_accounts")
    );
    watch::run(&mut watch::script(&text));
    let archive = tempfile::NamedTempFile::new().unwrap();
    let text = format!(
        "{dump} -Fc --schema-only -f '{archive}' '{source}'
         {restore} --section=post-data --jobs 2 -d '{target}' '{archive}'",
        dump = stage.program("pg_dump"),
        restore = stage.program("pg_restore"),
        archive = archive.path().display(),
    );
    watch::run(&mut watch::script(&text));
    started.elapsed()
}
