//! Whole migrations between MySQL and between MariaDB servers, by the program itself: with changes
//! between two runs, and killed at named points under writers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use dunlin::demo::mysql::Release;
use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use tokio::task::JoinHandle;

use crate::support::mysql::{MySqlPair, create_every_type};
use crate::support::{Dunlin, wait_until};

const TABLES: &str = "
CREATE TABLE account (id bigint PRIMARY KEY AUTO_INCREMENT, owner varchar(40) NOT NULL,
    balance decimal(12,2) NOT NULL, note text, KEY by_owner (owner));
CREATE TABLE transfer (id int unsigned NOT NULL, part smallint NOT NULL, account bigint NOT NULL,
    amount decimal(12,2), at datetime(6), PRIMARY KEY (id, part),
    CONSTRAINT of_account FOREIGN KEY (account) REFERENCES account (id));
CREATE TABLE label (word varchar(30) PRIMARY KEY, meaning json);
CREATE TABLE heap (a int, b varchar(20));
INSERT INTO account (owner, balance, note) VALUES ('ann', 10.5, NULL), ('bob', -3, ''), ('\\'q\\t\\\\', 0, 'x');
INSERT INTO account (owner, balance, note) SELECT concat(owner, a.id), balance + a.id, repeat('n', 500)
    FROM account a JOIN (SELECT 1 n UNION SELECT 2 UNION SELECT 3 UNION SELECT 4) x;
INSERT INTO transfer SELECT id, 1, id, balance, now(6) FROM account;
INSERT INTO label VALUES ('one', '{\"b\": 1, \"a\": [1.0, null]}'), ('two', 'true');
INSERT INTO heap VALUES (1, 'x'), (1, 'x'), (NULL, NULL);
CREATE VIEW rich AS SELECT owner FROM account WHERE balance > 5;
";

const CHANGES: &str = "
BEGIN;
INSERT INTO account (owner, balance) VALUES ('new', 1), ('newer', 2);
UPDATE account SET balance = balance + 1, note = NULL WHERE id <= 4;
DELETE FROM transfer WHERE id = 3;
UPDATE transfer SET id = id + 1000 WHERE id = 5;
COMMIT;
UPDATE label SET meaning = '{\"c\": 2}' WHERE word = 'two';
UPDATE label SET word = 'ONE' WHERE word = 'one';
INSERT INTO heap VALUES (2, 'y'), (2, 'y');
DELETE FROM heap WHERE a = 1 LIMIT 1;
UPDATE heap SET b = 'z' WHERE a IS NULL;
";

/// What `check` refuses, and the values that docs/mysql.md says do not arrive as they are.
const LEFT_OUT: &str = "DROP TABLE IF EXISTS versioned; DELETE FROM documents WHERE id > 10; \
                        DELETE FROM texts WHERE id = 4";

/// Definitions beside the tables that are there.
const BESIDE: &str = "CREATE VIEW poor AS SELECT owner FROM account WHERE balance < 0;
CREATE TABLE later (id int PRIMARY KEY); ANALYZE TABLE account; CREATE DATABASE other;
CREATE TABLE other.thing (id int PRIMARY KEY); USE other; ALTER TABLE thing ADD name text";

/// How many transactions of the source are still to be applied, as `status` says.
async fn transactions_behind(pair: &MySqlPair) -> u64 {
    let status = Dunlin::run(pair, "status", &["--json"]).await.expect_code(0);
    let status: serde_json::Value = serde_json::from_str(&status.stdout).unwrap();
    status["lag_transactions"].as_u64().unwrap()
}

async fn moves(release: Release) {
    let pair = MySqlPair::of(release).await;
    pair.source_sql(TABLES).await;
    create_every_type(&pair.source).await;
    pair.source_sql(LEFT_OUT).await;
    Dunlin::run(&pair, "run", &["--until", "snapshot"]).await.expect_code(0);
    pair.source_sql(CHANGES).await;
    pair.source_sql(BESIDE).await;
    Dunlin::run(&pair, "run", &["--until", "caught-up"]).await.expect_code(0);
    pair.assert_equal().await;
    pair.source_sql("TRUNCATE TABLE label; INSERT INTO label VALUES ('three', '3')").await;
    assert_eq!(transactions_behind(&pair).await, 2);
    Dunlin::run(&pair, "run", &["--until", "caught-up"]).await.expect_code(0);
    pair.assert_equal().await;
    assert_eq!(transactions_behind(&pair).await, 0);
    Dunlin::run(&pair, "status", &[]).await.expect_code(0);
    Dunlin::run(&pair, "complete", &[]).await.expect_code(0);
}

#[tokio::test]
async fn mysql_9_7_moves() {
    moves(Release::MYSQL_9_7).await;
}

#[tokio::test]
async fn mariadb_10_11_moves() {
    moves(Release::MARIADB_10_11).await;
}

#[tokio::test]
async fn mariadb_11_8_moves() {
    moves(Release::MARIADB_11_8).await;
}

/// `ER_LOCK_DEADLOCK`.
const DEADLOCK: u16 = 1213;

/// The points at which a run is killed, in the order in which it comes by.
const POINTS: &[&str] = &[
    "migration-created",
    "taken-over",
    "published",
    "snapshot-held",
    "snapshot-recorded",
    "tables-made",
    "chunks-planned",
    "chunk-loaded",
    "chunk-committed",
    "snapshot-released",
    "built",
    "group-applied",
    "group-committed",
    "group-applied:2",
    "group-committed:3",
];

/// Sessions that write to the source until they are told to end.
struct Writers {
    stop: Arc<AtomicBool>,
    written: Arc<AtomicU64>,
    sessions: Vec<JoinHandle<()>>,
}

impl Writers {
    async fn start(pair: &MySqlPair, count: u64) -> Writers {
        let (stop, written) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let mut sessions = Vec::new();
        for number in 0..count {
            let session = pair.on_source().await;
            sessions.push(tokio::spawn(write(session, number, stop.clone(), written.clone())));
        }
        Writers { stop, written, sessions }
    }

    /// Waits until so many more transactions are committed.
    async fn more(&self, count: u64) {
        let before = self.written.load(Ordering::SeqCst);
        wait_until("the writers go on", async || {
            self.written.load(Ordering::SeqCst) >= before + count
        })
        .await;
    }

    async fn end(self) {
        self.stop.store(true, Ordering::SeqCst);
        for session in self.sessions {
            session.await.unwrap();
        }
    }
}

/// Each session has accounts and words of its own, so that none waits for another.
async fn write(mut session: Conn, number: u64, stop: Arc<AtomicBool>, written: Arc<AtomicU64>) {
    let mut round = 0;
    while !stop.load(Ordering::SeqCst) {
        round += 1;
        let (account, word) = (number + 1, format!("w{number}-{}", round % 7));
        let statements = format!(
            "BEGIN; UPDATE account SET balance = balance + 1, note = repeat('{round}', {}) WHERE id = \
             {account}; INSERT INTO account (owner, balance) VALUES ('{word}', {round}); INSERT INTO \
             transfer VALUES ({round}, {number} + 10, {account}, 1.5, now(6)); DELETE FROM label WHERE \
             word = '{word}'; INSERT INTO label VALUES ('{word}', '{{\"at\": {round}}}'); INSERT INTO \
             heap VALUES ({number}, '{word}'); DELETE FROM heap WHERE a = {number} AND b <> '{word}' \
             LIMIT 1; UPDATE transfer SET id = id + 100000 WHERE id = {round} - 5 AND part = {number} + \
             10; COMMIT",
            round % 900,
        );
        match session.query_drop(statements).await {
            Ok(()) => {
                written.fetch_add(1, Ordering::SeqCst);
            }
            // Another session won; the transaction is gone as a whole.
            Err(mysql_async::Error::Server(error)) if error.code == DEADLOCK => {}
            Err(error) => panic!("{error}"),
        }
    }
}

async fn survives_kills(release: Release) {
    let pair = MySqlPair::of(release).await;
    pair.source_sql(TABLES).await;
    let writers = Writers::start(&pair, 2).await;
    for point in POINTS {
        let mut run = Dunlin::start_with_failpoint(&pair, "run", &[], point);
        run.reaches(point.split(':').next().unwrap()).await;
        run.kill().await;
        writers.more(20).await;
    }
    writers.end().await;
    Dunlin::run(&pair, "run", &["--until", "caught-up"]).await.expect_code(0);
    pair.assert_equal().await;
}

#[tokio::test]
async fn mysql_9_7_survives_kills_at_named_points() {
    survives_kills(Release::MYSQL_9_7).await;
}

#[tokio::test]
async fn mariadb_11_8_survives_kills_at_named_points() {
    survives_kills(Release::MARIADB_11_8).await;
}

/// One that was not there yet when both sides were checked.
async fn a_prepared_transaction_is_not_left_out(release: Release) {
    let pair = MySqlPair::of(release).await;
    pair.source_sql(TABLES).await;
    let mut run = Dunlin::start_with_failpoint(&pair, "run", &[], "published");
    run.reaches("published").await;
    run.kill().await;
    let prepare = "XA START 'x'; INSERT INTO heap VALUES (7, 'later'); XA END 'x'; XA PREPARE 'x'";
    pair.source_sql(prepare).await;
    let refused = Dunlin::run(&pair, "run", &["--until", "caught-up"]).await;
    refused.expect_code(4).expect_said("XA_PREPARED");
    pair.source_sql("XA COMMIT 'x'").await;
    Dunlin::run(&pair, "run", &["--until", "caught-up"]).await.expect_code(0);
    pair.assert_equal().await;
}

#[tokio::test]
async fn mysql_9_7_does_not_leave_out_a_prepared_transaction() {
    a_prepared_transaction_is_not_left_out(Release::MYSQL_9_7).await;
}

#[tokio::test]
async fn mariadb_11_8_does_not_leave_out_a_prepared_transaction() {
    a_prepared_transaction_is_not_left_out(Release::MARIADB_11_8).await;
}
