//! Whom the fence of MySQL and MariaDB ends: whoever its lock waits for, and nobody else.

use dunlin::demo::mysql::Release;
use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use tokio::task::JoinHandle;

use crate::mysql_cutover::{SCHEMA, USER, assert_refuses_at, connect, words};
use crate::support::mysql::{MySqlPair, row};
use crate::support::steps::Held;
use crate::support::{Dunlin, wait_until};

const TABLES: &str =
    "CREATE TABLE rest (id int PRIMARY KEY, n int); INSERT INTO rest VALUES (1, 1);
CREATE TABLE shelf (id int PRIMARY KEY); INSERT INTO shelf VALUES (1);
CREATE TABLE board (id int PRIMARY KEY)";

/// A session of an application that is at a statement.
struct AtWork {
    id: u32,
    ended: JoinHandle<Result<(), mysql_async::Error>>,
}

impl AtWork {
    /// Begins a statement, and waits until its session is in this state.
    async fn start(port: u16, observer: &mut Conn, statement: &'static str, state: &str) -> AtWork {
        let mut session = connect(port).await;
        let id = session.id();
        let ended = tokio::spawn(async move { session.query_drop(statement).await });
        let there = format!(
            "SELECT COUNT(*) FROM information_schema.processlist WHERE id = {id} AND {state}"
        );
        wait_until(statement, async || row::<u64>(observer, &there).await == 1).await;
        AtWork { id, ended }
    }

    async fn was_ended(self) {
        assert!(self.ended.await.unwrap().is_err(), "process {} was to be ended", self.id);
    }

    async fn goes_on(&self, observer: &mut Conn) {
        let there =
            format!("SELECT COUNT(*) FROM information_schema.processlist WHERE id = {}", self.id);
        assert!(!self.ended.is_finished(), "process {} was ended", self.id);
        assert_eq!(row::<u64>(observer, &there).await, 1, "process {} was ended", self.id);
    }
}

/// How many sessions wait for a row lock. INNODB_TRX is no place to ask again and again: who reads it
/// within 100 ms of the last reader is shown what that one saw (InnoDB's trx0i_s.cc).
async fn row_lock_waits(observer: &mut Conn) -> u64 {
    let waits = "SHOW GLOBAL STATUS LIKE 'Innodb_row_lock_current_waits'";
    let (_, waits): (String, u64) = observer.query_first(waits).await.unwrap().unwrap();
    waits
}

async fn ends_who_is_in_the_way(release: Release) {
    let pair = MySqlPair::of(release).await;
    pair.source_sql(&format!("{SCHEMA}; {TABLES}")).await;
    pair.target_sql(USER).await;
    Dunlin::run(&pair, "run", &["--until", "caught-up"]).await.expect_code(0);
    // Behind everything else that looks at tables of the source.
    let (source, target) = (pair.source_url(), pair.target_url());
    let mut command = Dunlin::command(&["cutover", "--source", &source, "--target", &target]);
    let at_once = ["--grace", "300ms", "--final-proof", "0", "--fence", "hook:true"];
    command.args(words(&at_once));
    let cutover = Held::at(command, "hook-closed").await;
    let (port, mysql) = (pair.source.port(), !release.is_mariadb());
    let mut observer = pair.on_source().await;

    // It holds locks that others wait for, and is in nobody's way but theirs.
    let mut resting = connect(port).await;
    resting.query_drop("BEGIN; UPDATE rest SET n = 2 WHERE id = 1").await.unwrap();
    let update = "UPDATE rest SET n = 3 WHERE id = 1";
    let update = AtWork::start(port, &mut observer, update, "state = 'updating'").await;
    wait_until("a row lock is waited for", async || row_lock_waits(&mut observer).await == 1).await;
    let waits = "state = 'Waiting for table metadata lock'";
    let alter = "ALTER TABLE rest ADD KEY (n)";
    let alter = AtWork::start(port, &mut observer, alter, waits).await;
    let sleeps = "state = 'User sleep'";
    let sleeper = AtWork::start(port, &mut observer, "SELECT SLEEP(600)", sleeps).await;
    let reads = "SELECT SLEEP(600) FROM shelf";
    let reader = AtWork::start(port, &mut observer, reads, sleeps).await;
    // On MariaDB whoever locks tables does not show, and a handler is in nobody's way.
    let (mut locker, mut handler) = (connect(port).await, connect(port).await);
    handler.query_drop("HANDLER shelf OPEN").await.unwrap();
    if mysql {
        locker.query_drop("LOCK TABLES board WRITE").await.unwrap();
    }

    cutover.let_go();
    let done = cutover.dunlin.finished().await.expect_code(0);
    update.was_ended().await;
    alter.was_ended().await;
    sleeper.goes_on(&mut observer).await;
    resting.query_drop("SELECT 1").await.unwrap();
    match mysql {
        // Its lock waits for tables that are in use, and for those that are locked.
        true => {
            reader.was_ended().await;
            assert!(locker.query_drop("SELECT 1").await.is_err(), "{}", done.stderr);
            assert!(handler.query_drop("SELECT 1").await.is_err(), "{}", done.stderr);
        }
        false => {
            reader.goes_on(&mut observer).await;
            handler.query_drop("SELECT 1").await.unwrap();
        }
    }
    assert!(resting.query_drop("COMMIT").await.is_err(), "it committed behind the fence");
    assert_refuses_at(port).await;
}

#[tokio::test]
async fn mysql_9_7_ends_who_is_in_the_way() {
    ends_who_is_in_the_way(Release::MYSQL_9_7).await;
}

#[tokio::test]
async fn mariadb_10_11_ends_who_is_in_the_way() {
    ends_who_is_in_the_way(Release::MARIADB_10_11).await;
}

#[tokio::test]
async fn mariadb_11_8_ends_who_is_in_the_way() {
    ends_who_is_in_the_way(Release::MARIADB_11_8).await;
}
