//! A MySQL or MariaDB database that is moved while applications write to it, and what the target
//! says of the move.
//!
//! What the writers do is chosen by a seed; whether both sides are equal at the end is the servers'
//! word.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use dunlin::demo::mysql::Release;
use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::task::JoinHandle;

use super::mysql::MySqlPair;
use super::{Dunlin, wait_until};

/// The words of every run: the smallest chunks, so that there are several of a table.
const WORDS: &[&str] = &["--chunk-size", "1MiB"];

/// A table of several chunks, one with a unique value beside its key, a composite key, a key of text,
/// and one without a key.
const TABLES: &str = "
CREATE TABLE account (id bigint PRIMARY KEY AUTO_INCREMENT, owner varchar(40) NOT NULL,
    balance decimal(12,2) NOT NULL, note text, KEY by_owner (owner));
INSERT INTO account (owner, balance, note) WITH RECURSIVE x AS (SELECT 1 n UNION ALL SELECT n + 1 FROM x WHERE n < 900)
    SELECT concat('owner', n), n, repeat('n', 6000) FROM x;
CREATE TABLE transfer (id int unsigned NOT NULL, part smallint NOT NULL, account bigint NOT NULL,
    amount decimal(12,2), at datetime(6), PRIMARY KEY (id, part),
    CONSTRAINT of_account FOREIGN KEY (account) REFERENCES account (id));
CREATE TABLE label (word varchar(30) PRIMARY KEY, meaning json);
CREATE TABLE badge (id int PRIMARY KEY, code int UNIQUE, v float);
INSERT INTO badge SELECT id, id, id / 3 FROM account WHERE id <= 400;
CREATE TABLE heap (a int, b varchar(20));
CREATE TABLE bulk (id bigint PRIMARY KEY, v varchar(200));
ANALYZE TABLE account";

/// Writers on the source of a pair.
const WRITERS: u64 = 3;

/// `ER_LOCK_WAIT_TIMEOUT`, `ER_LOCK_DEADLOCK`: another writer won, and the transaction is gone.
const LOST: [u16; 2] = [1205, 1213];

/// Two servers; the source is written to until [`MySqlScene::finish`].
pub struct MySqlScene {
    pub pair: MySqlPair,
    pub observer: Conn,
    stop: Arc<AtomicBool>,
    written: Arc<AtomicU64>,
    sessions: Vec<JoinHandle<()>>,
}

/// How far a migration is, as its state says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Which process this is, counted.
    pub epoch: i64,
    /// Chunks and builds that are done.
    pub steps: i64,
    /// Source transactions that were applied.
    pub transactions: i64,
}

const STANDING: &str = "SELECT epoch, \
     (SELECT count(*) FROM dunlin.chunk WHERE finished_at IS NOT NULL) \
     + (SELECT count(*) FROM dunlin.build WHERE finished_at IS NOT NULL), transactions \
     FROM dunlin.checkpoint";

impl MySqlScene {
    /// Two servers of one release, loaded and written to.
    pub async fn start(release: Release, seed: u64) -> MySqlScene {
        MySqlScene::over(MySqlPair::of(release).await, seed).await
    }

    /// The same over two servers that are there, and empty.
    pub async fn over(pair: MySqlPair, seed: u64) -> MySqlScene {
        pair.source_sql(TABLES).await;
        let (stop, written) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let mut sessions = Vec::new();
        for number in 0..WRITERS {
            let writer = Writer {
                session: pair.on_source().await,
                random: StdRng::seed_from_u64(seed ^ number),
                number,
            };
            sessions.push(tokio::spawn(writer.write(Arc::clone(&stop), Arc::clone(&written))));
        }
        let observer = pair.on_target().await;
        MySqlScene { pair, observer, stop, written, sessions }
    }

    /// Starts a run with the usual words.
    pub fn run(&self) -> Dunlin {
        Dunlin::start(&self.pair, "run", WORDS)
    }

    /// The same over other URLs, such as those of proxies, with further words.
    pub fn run_between(&self, source: &str, target: &str, further: &[&str]) -> Dunlin {
        let mut command = Dunlin::command(&["run", "--source", source, "--target", target]);
        command.args(WORDS).args(further);
        Dunlin::start_command(command)
    }

    /// Starts a run that stops at a failpoint, and kills it there.
    pub async fn kill_at(&self, failpoint: &str) {
        let mut run = Dunlin::start_with_failpoint(&self.pair, "run", WORDS, failpoint);
        run.reaches(failpoint.split(':').next().unwrap()).await;
        run.kill().await;
    }

    /// Waits until the writers have committed so much more.
    pub async fn written(&self, transactions: u64) {
        let goal = self.written.load(Ordering::SeqCst) + transactions;
        wait_until("the writers go on", async || self.written.load(Ordering::SeqCst) >= goal).await;
    }

    /// Waits until so much more is applied.
    pub async fn applied(&mut self, transactions: i64) {
        let goal = self.standing().await.transactions + transactions;
        wait_until("more transactions are applied", async || {
            self.standing().await.transactions >= goal
        })
        .await;
    }

    /// How far the migration is; nothing where there is none yet.
    pub async fn standing(&mut self) -> Standing {
        let found: Result<Option<(i64, i64, i64)>, _> = self.observer.query_first(STANDING).await;
        let (epoch, steps, transactions) = found.ok().flatten().unwrap_or_default();
        Standing { epoch, steps, transactions }
    }

    /// Ends the writers.
    pub async fn still(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        for session in self.sessions.drain(..) {
            session.await.unwrap();
        }
    }

    /// Ends the writers, brings everything over and compares.
    pub async fn finish(mut self) {
        self.still().await;
        let words = [WORDS, &["--until", "caught-up"]].concat();
        Dunlin::run(&self.pair, "run", &words).await.expect_code(0);
        self.pair.assert_equal().await;
    }
}

struct Writer {
    session: Conn,
    random: StdRng,
    number: u64,
}

impl Writer {
    async fn write(mut self, stop: Arc<AtomicBool>, written: Arc<AtomicU64>) {
        let mut round = 0;
        while !stop.load(Ordering::SeqCst) {
            round += 1;
            let statements = format!("BEGIN; {}; COMMIT", self.transaction(round));
            match self.session.query_drop(statements).await {
                Ok(()) => {
                    written.fetch_add(1, Ordering::SeqCst);
                }
                Err(mysql_async::Error::Server(error)) if LOST.contains(&error.code) => {
                    self.session.query_drop("ROLLBACK").await.unwrap();
                }
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// One of several kinds. Each writer has words and badges of its own.
    fn transaction(&mut self, round: u64) -> String {
        let number = self.number;
        let mut below = |most: u64| self.random.random_range(1..=most);
        let (one, other) = (below(900), below(900));
        match below(20) {
            1..=6 => format!(
                "UPDATE account SET balance = balance - 1, note = repeat('{round}', {}) WHERE id = \
                 {one}; UPDATE account SET balance = balance + 1 WHERE id = {other}; INSERT INTO transfer \
                 VALUES ({round}, {number}, {one}, 1.5, now(6))",
                below(900)
            ),
            7..=9 => format!(
                "INSERT INTO account (owner, balance) VALUES ('new{round}', {one}), ('', {other}); \
                 DELETE FROM account WHERE owner = 'new{}'",
                round.saturating_sub(3)
            ),
            10..=12 => format!(
                "UPDATE transfer SET id = id + 1000000 WHERE part = {number} ORDER BY id DESC LIMIT \
                 3; DELETE FROM transfer WHERE part = {number} AND id > 3000000"
            ),
            13..=15 => {
                let (first, second) = (number * 100 + below(49), number * 100 + 50 + below(49));
                format!(
                    "SELECT code INTO @a FROM badge WHERE id = {first}; SELECT code INTO @b FROM badge \
                     WHERE id = {second}; UPDATE badge SET code = NULL WHERE id = {first}; UPDATE badge \
                     SET code = @a, v = v + 0.1 WHERE id = {second}; UPDATE badge SET code = @b WHERE \
                     id = {first}"
                )
            }
            16..=17 => format!(
                "DELETE FROM label WHERE word = 'w{number}-{0}'; INSERT INTO label VALUES \
                 ('W{number}-{0}', '{{\"at\": {round}}}'); INSERT INTO heap VALUES ({number}, 'b{0}'), \
                 ({number}, 'b{0}'), (NULL, NULL); DELETE FROM heap WHERE a = {number} AND b <> 'b{0}' \
                 LIMIT 2; UPDATE heap SET a = {number} WHERE a IS NULL LIMIT 1",
                below(7)
            ),
            18 => format!(
                "INSERT INTO bulk SELECT {number} * 1000000000 + {round} * 1000 + id, repeat('{round}', \
                 20) FROM badge; SAVEPOINT s; UPDATE bulk SET v = 'undone' WHERE id > {number} * \
                 1000000000 LIMIT 9; ROLLBACK TO s; DELETE FROM bulk WHERE id BETWEEN {number} * 1000000000 \
                 AND {number} * 1000000000 + ({round} - 9) * 1000"
            ),
            _ => format!("UPDATE account SET balance = 0 WHERE id = {one}; ROLLBACK; BEGIN"),
        }
    }
}
