//! A backlog: what was committed while nobody listened, and how long it takes to apply it.

use std::time::{Duration, Instant};

use super::contest::report::{Line, Report, Section, Unit};
use super::contest::watch;
use super::stage::{DATABASE, Stage};

/// What a backlog is made of.
pub struct Backlog {
    title: &'static str,
    how: &'static str,
    /// Makes the tables; `{pgbench}`, `{psql}` and `{source}` are filled in.
    load: &'static str,
    /// Commits the backlog of a round, `{round}` counting from 1.
    commit: &'static str,
    /// What must be equal on both sides afterwards.
    digest: &'static str,
}

/// The classic mix, merged where it meets the same rows again.
pub const TPCB: Backlog = Backlog {
    title: "A backlog of 200,000 TPC-B transactions (800,000 row changes)",
    how: "pgbench at scale 50. dunlin: `run --until LSN` from the start of the process to its end. \
          Subscription: from ENABLE until its origin is at the same position, with its default \
          `synchronous_commit = off`, which does not wait for the disk, and neither does dunlin, which \
          acknowledges what is on it; durable: with `on`, in one further round. Decoding only: `pg_logical_slot_peek_binary_changes`.",
    load: "{pgbench} -i -I dtgvp -q -s 50 '{source}'",
    commit: "PGOPTIONS='-c synchronous_commit=off' \
             {pgbench} -n -M prepared -c 4 -j 2 -t 50000 --random-seed={round} '{source}'",
    digest: "SELECT (SELECT sum(abalance) FROM pgbench_accounts), \
             (SELECT sum(tbalance) FROM pgbench_tellers), \
             (SELECT sum(bbalance) FROM pgbench_branches), \
             (SELECT sum(delta) FROM pgbench_history), (SELECT count(*) FROM pgbench_history)",
};

/// Nothing to merge: every transaction is of one row, and every row is met once.
pub const ROWS: Backlog = Backlog {
    title: "A backlog of 500,000 transactions of one row on distinct keys",
    how: "A third each are inserts, updates and deletes, interleaved by three sessions. Measured \
          as above.",
    load: "{psql} '{source}' <<'END'
CREATE TABLE item (id bigint PRIMARY KEY, name text, price numeric, amount integer, at timestamptz);
INSERT INTO item SELECT n, 'item ' || n, n / 100.0, n % 1000, timestamptz '2026-01-01'
FROM generate_series(1, 4000000) AS n;
CREATE PROCEDURE churn(what text, first bigint, count bigint) LANGUAGE plpgsql AS $$
BEGIN
    FOR n IN first .. first + count - 1 LOOP
        IF what = 'insert' THEN
            INSERT INTO item VALUES (10000000 + n, 'new ' || n, n / 7.0, n % 77, now());
        ELSIF what = 'update' THEN
            UPDATE item SET name = 'updated ' || n, price = price + 1, at = now() WHERE id = n;
        ELSE
            DELETE FROM item WHERE id = 2000000 + n;
        END IF;
        COMMIT;
    END LOOP;
END $$;
VACUUM ANALYZE item;
END",
    commit: "for what in insert update delete; do
PGOPTIONS='-c synchronous_commit=off' {psql} '{source}' \
    -c \"CALL churn('$what', ({round} - 1) * 170000 + 1, 166667)\" &
done; wait",
    digest: "SELECT count(*), sum(id), sum(price), sum(amount), count(DISTINCT name), 0 FROM item",
};

/// Measures every contender in turn.
pub async fn measure(stage: &Stage, backlog: &Backlog, rounds: usize, report: &mut Report) {
    shell(stage, backlog.load, 0);
    begin(stage).await;
    let mut lines =
        ["dunlin", "subscription", "subscription, durable", "decoding only"].map(Line::new);
    for round in 1..=rounds {
        shell(stage, backlog.commit, round);
        let end = end_of_log(stage).await;
        lines[3].rounds.push(decode(stage).await);
        // By turns first and second, so that neither always finds what the other left in memory.
        for turn in [round % 2, (round + 1) % 2] {
            stage.settle().await;
            match turn {
                0 => lines[1].rounds.push(drain_subscription(stage, &end).await),
                _ => lines[0].note(drain_dunlin(stage, &end)),
            }
        }
        assert_equal(stage, backlog).await;
    }
    shell(stage, backlog.commit, rounds + 1);
    let end = end_of_log(stage).await;
    stage.settle().await;
    make_durable(stage, true).await;
    lines[2].rounds.push(drain_subscription(stage, &end).await);
    drain_dunlin(stage, &end);
    assert_equal(stage, backlog).await;
    report.add(Section {
        title: backlog.title,
        how: backlog.how,
        unit: Unit::Seconds,
        lines: lines.into(),
    });
}

/// Whether the subscription waits for the disk at each commit.
pub async fn make_durable(stage: &Stage, durable: bool) {
    let value = if durable { "on" } else { "off" };
    let text = format!("ALTER SUBSCRIPTION bench SET (synchronous_commit = {value})");
    stage.on_target("two").await.batch_execute(&text).await.unwrap();
}

/// Panics unless both targets have what the source has.
async fn assert_equal(stage: &Stage, backlog: &Backlog) {
    let expected = digest(stage, None, backlog).await;
    for database in ["one", "two"] {
        assert_eq!(digest(stage, Some(database), backlog).await, expected);
    }
}

/// A copy for each contender, both of which then rest.
pub async fn begin(stage: &Stage) {
    stage.fresh_target("one").await;
    watch::run(&mut stage.dunlin("run", "one", &["--until", "caught-up"]));
    stage.fresh_target("two").await;
    stage.restore_section("two", "pre-data");
    stage.restore_section("two", "post-data");
    stage.source_sql("CREATE PUBLICATION bench FOR ALL TABLES").await;
    let target = stage.on_target("two").await;
    let subscribe = format!(
        "CREATE SUBSCRIPTION bench CONNECTION 'host=127.0.0.1 port={} user=postgres \
         dbname={DATABASE}' PUBLICATION bench WITH (binary = true)",
        stage.source.port()
    );
    target.batch_execute(&subscribe).await.unwrap();
    let left = "SELECT count(*) FROM pg_subscription_rel WHERE srsubstate <> 'r'";
    while target.query_one(left, &[]).await.unwrap().get::<_, i64>(0) > 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    rest(stage).await;
    stage.on_target("one").await.batch_execute("VACUUM ANALYZE").await.unwrap();
    target.batch_execute("VACUUM ANALYZE").await.unwrap();
}

/// Lets the subscription rest until its worker is gone.
pub async fn rest(stage: &Stage) {
    let target = stage.on_target("two").await;
    target.batch_execute("ALTER SUBSCRIPTION bench DISABLE").await.unwrap();
    let source = stage.on_source().await;
    let active = "SELECT active FROM pg_replication_slots WHERE slot_name = 'bench'";
    while source.query_one(active, &[]).await.unwrap().get(0) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn shell(stage: &Stage, text: &str, round: usize) {
    let text = text
        .replace("{pgbench}", &stage.program("pgbench"))
        .replace("{psql}", &format!("{} -qX -v ON_ERROR_STOP=1", stage.program("psql")))
        .replace("{source}", &stage.source_url())
        .replace("{round}", &round.to_string());
    watch::run(&mut watch::script(&text));
}

/// The end of the source's log, all of it flushed.
pub async fn end_of_log(stage: &Stage) -> String {
    // A last commit that is flushed, so that every one before it is.
    stage.source_sql("CREATE TABLE flushed (); DROP TABLE flushed").await;
    let source = stage.on_source().await;
    source.query_one("SELECT pg_current_wal_lsn()::text", &[]).await.unwrap().get(0)
}

async fn decode(stage: &Stage) -> Duration {
    let source = stage.on_source().await;
    let started = Instant::now();
    let peek = "SELECT count(*) FROM pg_logical_slot_peek_binary_changes('bench', NULL, NULL, \
                'proto_version', '3', 'publication_names', 'bench')";
    source.query_one(peek, &[]).await.unwrap();
    started.elapsed()
}

fn drain_dunlin(stage: &Stage, end: &str) -> watch::Taken {
    watch::run(&mut stage.dunlin("run", "one", &["--until", end]))
}

async fn drain_subscription(stage: &Stage, end: &str) -> Duration {
    let target = stage.on_target("two").await;
    let started = Instant::now();
    target.batch_execute("ALTER SUBSCRIPTION bench ENABLE").await.unwrap();
    // The position of the last transaction: what comes after it holds no row.
    let reached = format!(
        "SELECT coalesce(latest_end_lsn >= '{end}', false) FROM pg_stat_subscription \
         WHERE subname = 'bench' AND relid IS NULL"
    );
    loop {
        let row = target.query_opt(&reached, &[]).await.unwrap();
        if row.is_some_and(|row| row.get(0)) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let taken = started.elapsed();
    rest(stage).await;
    taken
}

async fn digest(stage: &Stage, target: Option<&str>, backlog: &Backlog) -> String {
    let client = match target {
        Some(database) => stage.on_target(database).await,
        None => stage.on_source().await,
    };
    let query = format!("SELECT d::text FROM ({}) AS d", backlog.digest);
    client.query_one(&query, &[]).await.unwrap().get(0)
}
