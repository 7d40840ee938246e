//! Whom the fence of MySQL and MariaDB ends: whoever its lock waits for, and whoever has changed rows
//! once it is had, and nobody else.

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

    // It holds locks that others wait for, and is in nobody's way but theirs until the lock is had.
    let mut resting = connect(port).await;
    resting.query_drop("BEGIN; UPDATE rest SET n = 2 WHERE id = 1").await.unwrap();
    let mut looking = connect(port).await;
    looking.query_drop("BEGIN; SELECT * FROM rest WHERE id = 0 FOR UPDATE").await.unwrap();
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
    assert!(resting.query_drop("SELECT 1").await.is_err(), "{}", done.stderr);
    looking.query_drop("SELECT 1").await.unwrap();
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

/// Ends, prepares and commits an XA transaction that a session has begun.
async fn commit_xa(
    session: &mut Conn,
    name: &str,
    steps: &[&str],
) -> Result<(), mysql_async::Error> {
    for step in steps {
        session.query_drop(format!("XA {step} '{name}'")).await?;
    }
    Ok(())
}

/// A server that is read-only still prepares XA transactions that have changed rows; MySQL commits them too.
async fn no_xa_transaction_outlives_the_fence(release: Release) {
    let pair = MySqlPair::of(release).await;
    pair.source_sql(&format!("{SCHEMA}; {TABLES}")).await;
    pair.target_sql(USER).await;
    Dunlin::run(&pair, "run", &["--until", "caught-up"]).await.expect_code(0);
    let port = pair.source.port();
    let mut observer = pair.on_source().await;
    let begun = async |name: &str, id: u32| {
        let mut session = connect(port).await;
        let insert = format!("XA START '{name}'; INSERT INTO board VALUES ({id})");
        session.query_drop(insert).await.unwrap();
        session
    };
    let (mut active, mut idle) = (begun("active", 1).await, begun("idle", 2).await);
    idle.query_drop("XA END 'idle'").await.unwrap();
    let (mut later, mut preparing) = (connect(port).await, begun("preparing", 3).await);
    later.query_drop("XA START 'later'").await.unwrap();
    preparing.query_drop("XA END 'preparing'").await.unwrap();

    let (source, target) = (pair.source_url(), pair.target_url());
    let mut command = Dunlin::command(&["cutover", "--source", &source, "--target", &target]);
    command.args(words(&["--final-proof", "0"]));
    let cutover = Held::at(command, "fence-closed").await;
    let waits = async |observer: &mut Conn, id: u32| {
        let there = format!(
            "SELECT COUNT(*) FROM information_schema.processlist \
             WHERE id = {id} AND state LIKE 'Waiting for %lock'"
        );
        wait_until("it waits for the lock", async || row::<u64>(observer, &there).await == 1).await;
    };
    let (later_id, preparing_id) = (later.id(), preparing.id());
    let later = tokio::spawn(async move {
        later.query_drop("INSERT INTO board VALUES (4)").await?;
        commit_xa(&mut later, "later", &["END", "PREPARE", "COMMIT"]).await
    });
    let preparing = tokio::spawn(async move {
        commit_xa(&mut preparing, "preparing", &["PREPARE", "COMMIT"]).await
    });
    waits(&mut observer, later_id).await;
    waits(&mut observer, preparing_id).await;
    cutover.let_go();
    cutover.dunlin.finished().await.expect_code(0);
    let told = [
        commit_xa(&mut active, "active", &["END", "PREPARE", "COMMIT"]).await,
        commit_xa(&mut idle, "idle", &["PREPARE", "COMMIT"]).await,
        later.await.unwrap(),
        preparing.await.unwrap(),
    ];
    assert!(told.iter().all(Result::is_err), "committed behind the fence: {told:?}");
    assert_eq!(row::<u64>(&mut observer, "SELECT COUNT(*) FROM board").await, 0);
    let prepared: Vec<mysql_async::Row> = observer.query("XA RECOVER").await.unwrap();
    assert!(prepared.is_empty(), "prepared behind the fence: {prepared:?}");
    pair.assert_equal().await;
}

#[tokio::test]
async fn mysql_9_7_leaves_no_xa_transaction() {
    no_xa_transaction_outlives_the_fence(Release::MYSQL_9_7).await;
}

#[tokio::test]
async fn mariadb_10_11_leaves_no_xa_transaction() {
    no_xa_transaction_outlives_the_fence(Release::MARIADB_10_11).await;
}

#[tokio::test]
async fn mariadb_11_8_leaves_no_xa_transaction() {
    no_xa_transaction_outlives_the_fence(Release::MARIADB_11_8).await;
}

/// An account that may write to a server that is read-only gets through once the lock is let go.
#[tokio::test]
async fn what_is_written_behind_the_seal_undoes_the_cutover() {
    let pair = MySqlPair::of(Release::MARIADB_11_8).await;
    pair.source_sql(&format!("{SCHEMA}; {TABLES}")).await;
    pair.target_sql(USER).await;
    Dunlin::run(&pair, "run", &["--until", "caught-up"]).await.expect_code(0);
    let (source, target) = (pair.source_url(), pair.target_url());
    let mut command = Dunlin::command(&["cutover", "--source", &source, "--target", &target]);
    command.args(words(&["--final-proof", "0"]));
    let cutover = Held::at(command, "lock-let-go").await;
    pair.source_sql("INSERT INTO board VALUES (1)").await;
    cutover.let_go();
    let undone = cutover.dunlin.finished().await.expect_code(5);
    undone.expect_said("error[CUTOVER_UNDONE]").expect_said("something was written");
    pair.source_sql("INSERT INTO board VALUES (2)").await;
    Dunlin::run(&pair, "run", &["--until", "caught-up"]).await.expect_code(0);
    pair.assert_equal().await;
}

/// A lock that nobody waits for any more is not had either, where the server has not noticed.
async fn an_abort_ends_the_session_of_the_fence(release: Release) {
    let pair = MySqlPair::of(release).await;
    pair.source_sql(&format!("{SCHEMA}; {TABLES}")).await;
    pair.target_sql(USER).await;
    Dunlin::run(&pair, "run", &["--until", "caught-up"]).await.expect_code(0);
    let (port, mut observer) = (pair.source.port(), pair.on_source().await);
    let mut resting = connect(port).await;
    resting.query_drop("BEGIN; UPDATE rest SET n = 2 WHERE id = 1").await.unwrap();
    let update = "UPDATE rest SET n = 3 WHERE id = 1";
    let update = AtWork::start(port, &mut observer, update, "state = 'updating'").await;
    let mut cutover = Dunlin::start(&pair, "cutover", &words(&["--grace", "45s"]));
    let locks = "SELECT COUNT(*) FROM information_schema.processlist \
                 WHERE info LIKE 'FLUSH TABLES WITH READ LOCK%' AND state LIKE 'Waiting for %lock'";
    wait_until("the fence waits", async || {
        assert!(cutover.is_running());
        row::<u64>(&mut observer, locks).await == 1
    })
    .await;
    cutover.kill().await;
    Dunlin::run(&pair, "cutover", &["--abort"]).await.expect_code(0);
    assert_eq!(row::<u64>(&mut observer, locks).await, 0, "its session waits on");
    update.goes_on(&mut observer).await;
    resting.query_drop("COMMIT").await.unwrap();
    update.ended.await.unwrap().unwrap();
}

#[tokio::test]
async fn mysql_9_7_ends_the_session_of_a_fence_that_is_aborted() {
    an_abort_ends_the_session_of_the_fence(Release::MYSQL_9_7).await;
}

#[tokio::test]
async fn mariadb_11_8_ends_the_session_of_a_fence_that_is_aborted() {
    an_abort_ends_the_session_of_the_fence(Release::MARIADB_11_8).await;
}
