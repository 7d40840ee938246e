//! XA transactions: rows that are prepared at one place of the log come with the decision at another,
//! or not at all, also where the run is killed in between.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use dunlin::demo::mysql::{Release, ServerOptions};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use crate::support::mysql::{MySqlPair, row};
use crate::support::{Dunlin, wait_until};

const TABLES: &str = "
CREATE TABLE account (id int PRIMARY KEY, balance int NOT NULL);
CREATE TABLE entry (id int PRIMARY KEY, said varchar(20));
INSERT INTO account VALUES (1, 0), (2, 0), (3, 0), (4, 0);
";

/// Changes rows of an account, and prepares that under its number's name.
fn prepare(account: u32, at: u64) -> String {
    format!(
        "XA START 'x{account}'; INSERT INTO entry VALUES ({at}, 'prepared'); \
         UPDATE account SET balance = balance + {at} WHERE id = {account}; \
         XA END 'x{account}'; XA PREPARE 'x{account}'"
    )
}

/// Prepared transactions that a session leaves behind, decided once the run was killed.
async fn are_decided_later(release: Release) {
    let pair = MySqlPair::of(release).await;
    pair.source_sql(TABLES).await;
    Dunlin::run(&pair, "run", &["--until", "caught-up"]).await.expect_code(0);
    for account in [1, 2] {
        pair.source_sql(&prepare(account, u64::from(account))).await;
    }
    pair.source_sql("INSERT INTO entry VALUES (10, 'ordinary')").await;
    pair.source_sql(
        "XA START 'o'; INSERT INTO entry VALUES (11, 'one phase'); XA END 'o'; \
         XA COMMIT 'o' ONE PHASE",
    )
    .await;
    // Only a position that leaves them out lies behind what came after them.
    if !release.is_mariadb() {
        let mut run = Dunlin::start(&pair, "run", &[]);
        let mut target = pair.on_target().await;
        wait_until("what came after them is there", async || {
            let (found,): (u64,) = row(&mut target, "SELECT count(*) FROM entry").await;
            assert!(run.is_running());
            found == 2
        })
        .await;
        run.kill().await;
    }
    pair.source_sql("XA COMMIT 'x1'; INSERT INTO entry VALUES (12, 'ordinary')").await;
    if !release.is_mariadb() {
        let mut run = Dunlin::start_with_failpoint(&pair, "run", &[], "group-applied");
        run.reaches("group-applied").await;
        run.kill().await;
    }
    pair.source_sql("XA ROLLBACK 'x2'").await;
    Dunlin::run(&pair, "run", &["--until", "caught-up"]).await.expect_code(0);
    pair.assert_equal().await;
}

#[tokio::test]
async fn mysql_9_7_prepared_transactions_are_decided_later() {
    are_decided_later(Release::MYSQL_9_7).await;
}

#[tokio::test]
async fn mariadb_10_11_prepared_transactions_are_decided_later() {
    are_decided_later(Release::MARIADB_10_11).await;
}

#[tokio::test]
async fn mariadb_11_8_prepared_transactions_are_decided_later() {
    are_decided_later(Release::MARIADB_11_8).await;
}

/// Prepared transactions outlive their server, under a run that follows it: it stops, and crashes.
async fn outlive_their_server(release: Release) {
    let mut pair = MySqlPair::of(release).await;
    pair.source_sql(TABLES).await;
    let mut run = Dunlin::start(&pair, "run", &[]);
    run.says("caught up").await;
    for account in [1, 2, 3] {
        pair.source_sql(&prepare(account, u64::from(account))).await;
    }
    pair.source_sql("INSERT INTO entry VALUES (10, 'ordinary')").await;
    pair.source.stop().unwrap();
    pair.source.start().unwrap();
    pair.source_sql("XA COMMIT 'x1'; INSERT INTO entry VALUES (11, 'ordinary')").await;
    pair.source.crash().unwrap();
    pair.source.start().unwrap();
    pair.source_sql("XA ROLLBACK 'x2'; XA COMMIT 'x3'; INSERT INTO entry VALUES (12, 'last')")
        .await;
    let mut target = pair.on_target().await;
    wait_until("the last row is there", async || {
        assert!(run.is_running(), "{}", run.stderr());
        row::<u32>(&mut target, "SELECT COUNT(*) FROM entry WHERE id = 12").await == 1
    })
    .await;
    run.interrupt().await.expect_code(0);
    Dunlin::run(&pair, "run", &["--until", "caught-up"]).await.expect_code(0);
    pair.assert_equal().await;
    let ids = "SELECT GROUP_CONCAT(id ORDER BY id) FROM entry";
    assert_eq!(row::<String>(&mut target, ids).await, "1,3,10,11,12");
}

#[tokio::test]
async fn mysql_9_7_prepared_transactions_outlive_their_server() {
    outlive_their_server(Release::MYSQL_9_7).await;
}

#[tokio::test]
async fn mariadb_10_11_prepared_transactions_outlive_their_server() {
    outlive_their_server(Release::MARIADB_10_11).await;
}

/// Where a run is killed, under writers.
const POINTS: &[&str] =
    &["group-applied", "group-committed", "group-applied:2", "group-committed:3"];

/// Prepares and decides, one after the other, in a session of its own, with other rows in between.
async fn write(
    mut sessions: [Conn; 2],
    account: u32,
    stop: Arc<AtomicBool>,
    written: Arc<AtomicU64>,
) {
    let [xa, other] = &mut sessions;
    let mut at = u64::from(account) * 1_000_000;
    while !stop.load(Ordering::SeqCst) {
        at += 10;
        xa.query_drop(prepare(account, at)).await.unwrap();
        let ordinary = format!("INSERT INTO entry VALUES ({at} + 1, 'ordinary')");
        other.query_drop(ordinary).await.unwrap();
        let verb = if at % 30 == 0 { "ROLLBACK" } else { "COMMIT" };
        xa.query_drop(format!("XA {verb} 'x{account}'")).await.unwrap();
        // At a pace that is followed on any machine.
        let last = format!("DELETE FROM entry WHERE id = {at} - 9; DO SLEEP(0.05)");
        other.query_drop(last).await.unwrap();
        written.fetch_add(1, Ordering::SeqCst);
    }
}

async fn survives_kills(source: ServerOptions) {
    let release = source.release;
    let pair = MySqlPair::with(source, release.into()).await;
    pair.source_sql(TABLES).await;
    // No snapshot is taken beside a prepared transaction.
    Dunlin::run(&pair, "run", &["--until", "snapshot"]).await.expect_code(0);
    let (stop, written) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
    let sessions = [pair.on_source().await, pair.on_source().await];
    let writer = tokio::spawn(write(sessions, 1, stop.clone(), written.clone()));
    let mut left = None;
    for (at, point) in (100..).zip(POINTS) {
        let mut run = Dunlin::start_with_failpoint(&pair, "run", &[], point);
        if let Some(decision) = left.take() {
            pair.source_sql(decision).await;
        }
        run.reaches(point.split(':').next().unwrap()).await;
        pair.source_sql(&prepare(2, at)).await;
        left = Some(if at % 2 == 0 { "XA COMMIT 'x2'" } else { "XA ROLLBACK 'x2'" });
        run.kill().await;
        let before = written.load(Ordering::SeqCst);
        wait_until("the writer goes on", async || written.load(Ordering::SeqCst) >= before + 5)
            .await;
    }
    stop.store(true, Ordering::SeqCst);
    writer.await.unwrap();
    pair.source_sql(left.unwrap_or("DO 0")).await;
    Dunlin::run(&pair, "run", &["--until", "caught-up"]).await.expect_code(0);
    pair.assert_equal().await;
}

#[tokio::test]
async fn mysql_9_7_xa_survives_kills() {
    survives_kills(Release::MYSQL_9_7.into()).await;
}

#[tokio::test]
async fn mysql_9_7_xa_survives_kills_without_gtids() {
    let options = ServerOptions::from(Release::MYSQL_9_7);
    let options = options.with("gtid_mode", "OFF").with("enforce_gtid_consistency", "OFF");
    survives_kills(options).await;
}

#[tokio::test]
async fn mariadb_11_8_xa_survives_kills() {
    survives_kills(Release::MARIADB_11_8.into()).await;
}
