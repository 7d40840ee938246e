//! A bank that never closes, on MySQL and MariaDB: whoever reads the target sees whole transactions of
//! the source, while it catches up, through the cutover, and on the way back. And those who will not
//! give way to a cutover: who takes numbers all the time, who never ends, who ignores read-only.
//!
//! Each promise moves money from an account to a savings book, by triggers; so the sum over both tables is
//! always the same on the source, and is read on the side that follows without a pause.

use dunlin::demo::mysql::Release;
use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use tokio::sync::watch;

use crate::mysql_cutover::{SCHEMA, USER, Writers, assert_refuses_at, connect, words};
use crate::support::auditor::Auditor;
use crate::support::mysql::{MySqlPair, row};
use crate::support::{Dunlin, wait_until};

const BANK: &str = "
CREATE TABLE account (id int PRIMARY KEY, balance bigint NOT NULL);
CREATE TABLE saving (id int PRIMARY KEY, balance bigint NOT NULL);
INSERT INTO account VALUES (0, 1000), (1, 1000), (2, 1000), (3, 1000), (4, 1000);
INSERT INTO saving VALUES (0, 1000), (1, 1000), (2, 1000), (3, 1000), (4, 1000);
CREATE TRIGGER paid AFTER INSERT ON promise FOR EACH ROW
    UPDATE account SET balance = balance - NEW.n WHERE id = NEW.n % 5;
CREATE TRIGGER saved AFTER INSERT ON promise FOR EACH ROW
    UPDATE saving SET balance = balance + NEW.n WHERE id = NEW.writer % 5";

/// How many rows there are, and what they sum up to.
const SUM: &str = "SELECT COUNT(*), CAST(SUM(balance) AS SIGNED) FROM (SELECT balance FROM account \
                   UNION ALL SELECT balance FROM saving) AS every";
const HELD: (i64, i64) = (10, 10_000);

/// Reads the sum over and over.
fn audit(mut session: Conn) -> Auditor {
    Auditor::start(|shift| async move {
        while shift.goes_on() {
            let seen: (i64, i64) = row(&mut session, SUM).await;
            assert_eq!(seen, HELD, "part of a transaction is to be seen");
            shift.is_content();
        }
    })
}

async fn wait_for_stream(session: &mut Conn) {
    wait_until("phase stream", async || {
        let found = session.query_first("SELECT phase FROM dunlin.migration").await;
        found.ok().flatten() == Some("stream".to_owned())
    })
    .await;
}

async fn shows_whole_transactions(release: Release) {
    let pair = MySqlPair::of(release).await;
    pair.source_sql(&format!("{SCHEMA}; {BANK}")).await;
    pair.target_sql(USER).await;
    let folder = tempfile::tempdir().unwrap();
    let gate = folder.path().join("moved");
    let mut writers = Writers::start(&pair, 4, &gate);
    writers.more(0, 50).await;
    let run = Dunlin::start(&pair, "run", &[]);
    let mut target = pair.on_target().await;
    wait_until("the tables are copied", async || {
        let seen: Result<Option<(i64, Option<i64>)>, _> = target.query_first(SUM).await;
        seen.ok().flatten().is_some_and(|(rows, _)| rows == HELD.0)
    })
    .await;
    let mut there = audit(pair.on_target().await);
    wait_for_stream(&mut target).await;
    writers.more(0, 200).await;
    there.more(50).await;
    let switch = format!("touch '{}'", gate.display());
    let cutover = words(&["--way-back", "--switch", &switch]);
    Dunlin::run(&pair, "cutover", &cutover).await.expect_code(0);
    run.finished().await.expect_code(0);
    writers.more(1, 100).await;
    let seen_there = there.content().await;

    let mut back = audit(pair.on_source().await);
    let reverse = Dunlin::start(&pair, "reverse", &[]);
    let mut source = pair.on_source().await;
    wait_for_stream(&mut source).await;
    writers.more(1, 200).await;
    back.more(50).await;
    let switch = format!("rm '{}'", gate.display());
    let cutover = words(&["--back", "--switch", &switch]);
    Dunlin::run(&pair, "cutover", &cutover).await.expect_code(0);
    writers.more(0, 100).await;
    reverse.finished().await.expect_code(0);
    let seen_back = back.content().await;
    writers.assert_kept(&mut source).await;
    let moved = "SELECT (SELECT SUM(n) FROM promise) = (SELECT SUM(balance) - 5000 FROM saving)";
    assert!(row::<bool>(&mut source, moved).await, "a transfer is lost, or there twice");
    eprintln!("{seen_there} reads on the way there, {seen_back} on the way back");
}

#[tokio::test]
async fn every_read_sees_whole_transactions_mysql_9_7() {
    shows_whole_transactions(Release::MYSQL_9_7).await;
}

#[tokio::test]
async fn every_read_sees_whole_transactions_mariadb_11_8() {
    shows_whole_transactions(Release::MARIADB_11_8).await;
}

/// Takes numbers for rows that never come to be, until it is refused. Returns the last.
async fn take_numbers(port: u16, taken: watch::Sender<u64>) -> u64 {
    let mut session = connect(port).await;
    let insert = "BEGIN; INSERT INTO promise (writer, n) VALUES (-3, 0)";
    while session.query_drop(insert).await.is_ok() {
        let Ok(Some(last)) = session.query_first("SELECT LAST_INSERT_ID()").await else { break };
        taken.send_replace(last);
        if session.query_drop("ROLLBACK").await.is_err() {
            break;
        }
    }
    *taken.borrow()
}

async fn nobody_is_in_the_way(release: Release) {
    let pair = MySqlPair::of(release).await;
    pair.source_sql(&format!(
        "{SCHEMA}; CREATE TABLE rest (id int PRIMARY KEY, n int); \
                              INSERT INTO rest VALUES (1, 1)"
    ))
    .await;
    pair.target_sql(USER).await;
    Dunlin::run(&pair, "run", &["--until", "caught-up"]).await.expect_code(0);
    let port = pair.source.port();
    let (taken, mut seen) = watch::channel(0);
    let hungry = tokio::spawn(take_numbers(port, taken));
    let endless = tokio::spawn(async move {
        connect(port).await.query_drop("UPDATE rest SET n = n + SLEEP(600) WHERE id = 1").await
    });
    let mut source = pair.on_source().await;
    let at_work = "SELECT COUNT(*) FROM information_schema.processlist \
                   WHERE info LIKE 'UPDATE rest %'";
    wait_until("the statement is at work", async || row::<u64>(&mut source, at_work).await == 1)
        .await;
    seen.wait_for(|last| *last >= 20).await.unwrap();
    let done = Dunlin::run(&pair, "cutover", &words(&["--grace", "300ms"])).await;
    done.expect_code(0);
    assert!(endless.await.unwrap().is_err(), "it was to be ended");
    let last = hungry.await.unwrap();
    assert_refuses_at(port).await;
    if release == Release::MYSQL_9_7 {
        let insist = "SET SESSION TRANSACTION READ WRITE; BEGIN; INSERT INTO rest VALUES (2, 2)";
        assert!(source.query_drop(insist).await.is_err(), "a superuser wrote behind the seal");
    }
    let mut target = pair.on_target().await;
    target.query_drop("INSERT INTO promise (writer, n) VALUES (-4, 0)").await.unwrap();
    let next: u64 = row(&mut target, "SELECT LAST_INSERT_ID()").await;
    assert!(next > last, "{next} was handed out on the target, and {last} on the source before");
}

#[tokio::test]
async fn mysql_9_7_has_nobody_in_the_way() {
    nobody_is_in_the_way(Release::MYSQL_9_7).await;
}

#[tokio::test]
async fn mariadb_10_11_has_nobody_in_the_way() {
    nobody_is_in_the_way(Release::MARIADB_10_11).await;
}

#[tokio::test]
async fn mariadb_11_8_has_nobody_in_the_way() {
    nobody_is_in_the_way(Release::MARIADB_11_8).await;
}
