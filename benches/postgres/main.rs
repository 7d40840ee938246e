//! Postgres to Postgres against the alternatives, measured on private servers.
//!
//! `make bench` runs this and writes `docs/benchmarks.md`. In one run, over several rounds, each
//! contender does the same work in turn; the table shows medians and their ratios. Every figure is
//! of finished work: the rows of both sides are counted at the end. Words after `--` choose works
//! by name, and `rounds=N`; then only the table is printed.
//!
//! A test runner that runs all targets comes by without `--bench`: then nothing is measured.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark fails by panicking")]

mod backlog;
mod large;
mod latency;
mod report;
mod snapshot;
mod stage;
mod watch;

use report::Report;
use stage::Stage;

/// What was asked for.
struct Wanted {
    rounds: usize,
    works: Vec<String>,
}

impl Wanted {
    fn of_arguments() -> Option<Wanted> {
        let words: Vec<String> = std::env::args().skip(1).collect();
        if !words.iter().any(|word| word == "--bench") {
            return None;
        }
        let rounds = words.iter().find_map(|word| word.strip_prefix("rounds="));
        let works = words.iter().filter(|word| !word.contains(['-', '='])).cloned().collect();
        Some(Wanted { rounds: rounds.map_or(3, |rounds| rounds.parse().unwrap()), works })
    }

    fn includes(&self, work: &str) -> bool {
        self.works.is_empty() || self.works.iter().any(|wanted| wanted == work)
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let Some(wanted) = Wanted::of_arguments() else { return };
    let mut report = Report::default();
    if wanted.includes("snapshot") {
        snapshot::measure(&Stage::start().await, wanted.rounds, &mut report).await;
    }
    if wanted.includes("tpcb") {
        backlog::measure(&Stage::start().await, &backlog::TPCB, wanted.rounds, &mut report).await;
    }
    if wanted.includes("rows") {
        backlog::measure(&Stage::start().await, &backlog::ROWS, wanted.rounds, &mut report).await;
    }
    if wanted.includes("latency") {
        latency::measure(&Stage::start().await, wanted.rounds, &mut report).await;
    }
    if wanted.includes("large") {
        large::measure(&Stage::start().await, &mut report).await;
    }
    let text = report.markdown(wanted.rounds);
    println!("{text}");
    if wanted.works.is_empty() {
        std::fs::write("docs/benchmarks.md", text).unwrap();
    }
}
