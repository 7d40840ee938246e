//! What `dunlin verify` reports, and how often it is asked.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use std::{env, fs};

use dunlin::demo::private::Engine;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::binary::{Dunlin, Finished};
use super::pair::TestPair;

/// How often both sides are compared under writers; `DUNLIN_VERIFY_ROUNDS=1000` has it more often.
fn rounds(usual: u32) -> u32 {
    let chosen = env::var("DUNLIN_VERIFY_ROUNDS").map(|rounds| rounds.parse().expect("a number"));
    chosen.unwrap_or(usual)
}

/// Compares both sides so often while they are written to, and expects them to be equal each time. Tells
/// how often, how long it took, and how many transactions of the writer there were meanwhile.
pub async fn never_raises_an_alarm<E: Engine + Send>(
    (pair, usual): (&TestPair<E>, u32),
    words: &[&str],
    written: &AtomicU64,
) {
    let (begun, before) = (Instant::now(), written.load(Ordering::SeqCst));
    let count = rounds(usual);
    for round in 1..=count {
        let found = Dunlin::run(pair, "verify", words).await;
        assert_eq!(found.code(), 0, "round {round}\n{}\n{}", found.stdout, found.stderr);
    }
    let written = written.load(Ordering::SeqCst) - before;
    eprintln!("{count} rounds in {:?}, beside {written} transactions", begun.elapsed());
}

/// The size of chunks in these tests.
pub const SMALL_CHUNKS: &[&str] = &["--chunk-size", "1MiB"];

/// Runs `dunlin verify` with small chunks and a report as JSON.
pub async fn verify<E: Engine + Send>(pair: &TestPair<E>, further: &[&str]) -> Finished {
    Dunlin::run(pair, "verify", &[SMALL_CHUNKS, &["--json"], further].concat()).await
}

/// Verifies what was touched, and expects both sides to be equal.
pub async fn incremental<E: Engine + Send>(pair: &TestPair<E>) -> Verified {
    Verified::of(&verify(pair, &["--incremental"]).await.expect_code(0))
}

/// Verifies what was touched last, and then everything, with both sides at rest: the digests that were
/// taken over must be those of the rows.
pub async fn takes_over_what_is_there<E: Engine + Send>(pair: &TestPair<E>) {
    incremental(pair).await;
    let taken_over = incremental(pair).await;
    let all = Verified::of(&verify(pair, &[]).await.expect_code(0));
    let tables = |report: &Verified| report.0["tables"].as_array().unwrap().clone();
    for (taken_over, read) in tables(&taken_over).iter().zip(&tables(&all)) {
        assert_eq!(taken_over["taken_over"]["units"], taken_over["units"], "{taken_over}");
        assert_eq!(taken_over["digest"], read["digest"], "{taken_over}\n{read}");
    }
}

/// Kills a verification in the middle, and has it go on. Both sides are equal, at rest, and hold so many
/// rows.
pub async fn goes_on_where_it_was_killed<E: Engine + Send>(pair: &TestPair<E>, rows: u64) {
    let words = [SMALL_CHUNKS, &["--workers", "1"]].concat();
    let mut killed = Dunlin::start_with_failpoint(pair, "verify", &words, "unit-proven:3");
    killed.reaches("unit-proven").await;
    killed.kill().await;
    let found = Verified::of(&verify(pair, &[]).await.expect_code(0));
    assert_eq!(found.0["units_before"], 3);
    assert_eq!(found.total("rows"), rows);
    let anew = Verified::of(&verify(pair, &[]).await.expect_code(0));
    assert_eq!(anew.0["units_before"], 0, "one that has ended is not gone on with");
    assert_eq!(anew.digests(), found.digests());
}

/// Verifies a sample of two sides that are equal, and looks at its certificate.
pub async fn certifies_what_it_found<E: Engine + Send>(pair: &TestPair<E>) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("proof.json");
    let words = ["--certificate", file.to_str().unwrap(), "--sample", "50", "--seed", "7"];
    let found = Verified::of(&verify(pair, &words).await.expect_code(0)).0;
    assert_eq!(found["sample"], json!({ "percent": 50.0, "seed": 7 }));
    let text = fs::read_to_string(&file).unwrap();
    let certificate: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(certificate["certificate"], found);
    let inside = text.strip_prefix("{\"certificate\":").unwrap();
    let (inside, digest) = inside.split_once(",\"sha256\":\"").unwrap();
    let expected = Sha256::digest(inside.as_bytes());
    let expected: String = expected.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(digest.trim_end(), format!("{expected}\"}}"));
    let all = Verified::of(&verify(pair, &[]).await.expect_code(0));
    let sampled = Verified(found).total("rows");
    assert!(0 < sampled && sampled < all.total("rows"), "{sampled} rows");
}

/// Verifies two sides that are equal, with as many bytes a second as one of them holds.
pub async fn keeps_to_its_rate<E: Engine + Send>(pair: &TestPair<E>) {
    let bytes = Verified::of(&verify(pair, &[]).await.expect_code(0)).total("bytes");
    // Two seconds for what is on both sides.
    let begun = Instant::now();
    verify(pair, &["--max-rate", &bytes.to_string()]).await.expect_code(0);
    assert!(begun.elapsed() >= Duration::from_millis(1900), "{:?}", begun.elapsed());
}

/// A report.
pub struct Verified(pub Value);

impl Verified {
    /// Reads it.
    pub fn of(finished: &Finished) -> Verified {
        Verified(serde_json::from_str(&finished.stdout).unwrap())
    }

    /// What it says of a table, by its name without schema.
    pub fn table(&self, name: &str) -> &Value {
        let mut tables = self.0["tables"].as_array().unwrap().iter();
        let is_named = |table: &&Value| {
            table["table"].as_str().is_some_and(|full| full.split('.').next_back() == Some(name))
        };
        tables.find(is_named).unwrap()
    }

    /// What the figures of all tables by this name add up to.
    fn total(&self, name: &str) -> u64 {
        self.0["tables"].as_array().unwrap().iter().map(|table| table[name].as_u64().unwrap()).sum()
    }

    /// The digests of all tables.
    fn digests(&self) -> Vec<&Value> {
        self.0["tables"].as_array().unwrap().iter().map(|table| &table["digest"]).collect()
    }

    /// All units of a table.
    pub fn units(&self, name: &str) -> u64 {
        self.table(name)["units"].as_u64().unwrap()
    }

    /// Those that were read.
    pub fn read(&self, name: &str) -> u64 {
        self.units(name) - self.table(name)["taken_over"]["units"].as_u64().unwrap_or_default()
    }

    /// The rows that differ, each by its table and the first value of its key.
    pub fn differences(&self) -> Vec<String> {
        let rows = self.0["differences"].as_array().unwrap().iter();
        let text = |value: &Value| value.as_str().unwrap_or("NULL").to_owned();
        let named =
            |row: &Value| format!("{} {}", text(&row["table"]), text(&row["key"][0]["value"]));
        rows.map(named).collect()
    }
}
