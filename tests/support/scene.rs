//! A database that is moved while applications write to it, and what the target says of it.
//!
//! The demo's database and writers on the source; on the target a session that reads the state, to
//! choose the moment for a kill. Whether both sides are equal at the end is the servers' word.

use std::env;

use dunlin::demo::ServerOptions;
use dunlin::demo::load::{Size, load};
use dunlin::demo::writers::{WriterOptions, Writers};
use tokio_postgres::Client;

use super::compare::{assert_equal, assert_sequences_carried};
use super::{Dunlin, TestPair, wait_until};

/// The words of every run: the smallest chunks, so that there are several of a table.
pub const WORDS: &[&str] = &["--chunk-size", "1MiB", "--log-level", "debug"];

/// Two servers; the source is loaded, and written to until [`Scene::finish`].
pub struct Scene {
    pub pair: TestPair,
    /// A session on the target.
    pub observer: Client,
    writers: Writers,
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

/// A chunk of the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerRow {
    pub table: String,
    pub number: i32,
    pub low: Option<String>,
    pub finished_at: Option<String>,
}

const STANDING: &str = "SELECT epoch, \
     (SELECT count(*) FROM dunlin.chunk WHERE finished_at IS NOT NULL) \
     + (SELECT count(*) FROM dunlin.build WHERE finished_at IS NOT NULL), transactions \
     FROM dunlin.checkpoint";
const LEDGER: &str = "SELECT t.definition->'name'->>'name', c.number, c.low::text, \
     c.finished_at::text FROM dunlin.chunk AS c \
     JOIN dunlin.tables AS t ON t.migration = c.migration AND t.id = c.table_id ORDER BY 1, 2";

impl Scene {
    /// Two usual servers, loaded and written to.
    pub async fn start(size: Size, seed: u64) -> Scene {
        let none = ServerOptions::default;
        Scene::start_with((none(), none()), size, seed).await
    }

    /// The same with settings for source and target.
    pub async fn start_with(
        (source, target): (ServerOptions, ServerOptions),
        size: Size,
        seed: u64,
    ) -> Scene {
        let pair = TestPair::start_with(source, target).await;
        load(&pair.source_url(), size).await.unwrap();
        let options = WriterOptions { seed, size, speed: 0.5, largest_rows: 500 };
        let writers = Writers::start(&pair.source_url(), options);
        let observer = pair.on_target().await;
        Scene { pair, observer, writers }
    }

    /// Starts a run with the usual words and further ones.
    pub fn run(&self, further: &[&str]) -> Dunlin {
        Dunlin::start(&self.pair, "run", &words(further))
    }

    /// The same over other URLs, such as those of proxies.
    pub fn run_between(&self, source: &str, target: &str, further: &[&str]) -> Dunlin {
        let mut command = Dunlin::command(&["run", "--source", source, "--target", target]);
        command.args(words(further));
        Dunlin::start_command(command)
    }

    /// Starts a run that stops at a failpoint.
    pub fn run_to(&self, failpoint: &str) -> Dunlin {
        Dunlin::start_with_failpoint(&self.pair, "run", WORDS, failpoint)
    }

    /// Starts a run that stops at a failpoint, and kills it there.
    pub async fn kill_at(&self, failpoint: &str) {
        let name = failpoint.split(':').next().unwrap();
        let mut run = self.run_to(failpoint);
        run.reaches(name).await;
        run.kill().await;
    }

    /// Waits until the writers have committed so much more.
    pub async fn written(&self, transactions: u64) {
        self.writers.commit_more(transactions).await;
    }

    /// Waits until a run has applied so much more.
    pub async fn applied(&self, transactions: i64) {
        let client = self.pair.on_target().await;
        let goal = standing(&client).await.transactions + transactions;
        wait_until("more transactions are applied", async || {
            standing(&client).await.transactions >= goal
        })
        .await;
    }

    /// How far the migration is.
    pub async fn standing(&self) -> Standing {
        standing(&self.observer).await
    }

    /// The ledger.
    pub async fn ledger(&self) -> Vec<LedgerRow> {
        ledger(&self.observer).await
    }

    /// Lets the writers end and a run catch up; then both sides must be equal. Returns them.
    pub async fn finish(self) -> TestPair {
        self.writers.stop().await.unwrap();
        finish(&self.pair, WORDS).await;
        self.pair
    }
}

/// Runs until the target has everything; then both sides must be equal.
pub async fn finish(pair: &TestPair, words: &[&str]) {
    let words: Vec<&str> = words.iter().copied().chain(["--until", "caught-up"]).collect();
    Dunlin::run(pair, "run", &words).await.expect_code(0);
    assert_equal(pair).await;
    assert_sequences_carried(pair).await;
}

/// How far the migration on this target is; nothing where there is none yet.
pub async fn standing(client: &Client) -> Standing {
    match client.query_opt(STANDING, &[]).await {
        Ok(Some(row)) => {
            Standing { epoch: row.get(0), steps: row.get(1), transactions: row.get(2) }
        }
        _ => Standing::default(),
    }
}

/// The ledger on this target.
pub async fn ledger(client: &Client) -> Vec<LedgerRow> {
    let rows = client.query(LEDGER, &[]).await.unwrap();
    let row = |row: &tokio_postgres::Row| LedgerRow {
        table: row.get(0),
        number: row.get(1),
        low: row.get(2),
        finished_at: row.get(3),
    };
    rows.iter().map(row).collect()
}

/// Ends the sessions that hold a snapshot, and waits until they are gone.
pub async fn end_holder(pair: &TestPair) {
    let client = pair.on_source().await;
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
         WHERE application_name LIKE 'dunlin snapshot %'";
    wait_until("the snapshot's holder is gone", async || {
        client.query(end, &[]).await.unwrap().is_empty()
    })
    .await;
}

/// The seed of a test's random choices, which is printed: `DUNLIN_TEST_SEED` where it is set.
pub fn seed() -> u64 {
    seed_or(rand::random_range(1..1_000_000))
}

/// The same, with a seed for where none is set.
pub fn seed_or(usual: u64) -> u64 {
    let chosen = env::var("DUNLIN_TEST_SEED").map(|seed| seed.parse().expect("a number"));
    let seed = chosen.unwrap_or(usual);
    eprintln!("DUNLIN_TEST_SEED={seed}");
    seed
}

fn words<'a>(further: &[&'a str]) -> Vec<&'a str> {
    WORDS.iter().copied().chain(further.iter().copied()).collect()
}
