//! Postgres to Postgres against the alternatives, measured on private servers.
//!
//! `make bench` runs this and writes its part of `docs/benchmarks.md`. In one run, over several rounds, each
//! contender does the same work in turn; the table shows medians and their ratios. Every figure is
//! of finished work: the rows of both sides are counted at the end. Words after `--` choose works
//! by name, and `rounds=N`; then only the table is printed.
//!
//! A test runner that runs all targets comes by without `--bench`: then nothing is measured.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark fails by panicking")]

mod backlog;
#[path = "../contest/mod.rs"]
mod contest;
mod cutover;
mod large;
mod latency;
mod snapshot;
mod stage;
mod verify;

use contest::report::Report;
use contest::wanted::Wanted;
use stage::Stage;

const HOW: &str = "Both servers commit durably (`fsync` on), with 1 GB of shared buffers, 512 MB of \
     maintenance memory and no checkpoint in a measured span.";

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let Some(wanted) = Wanted::of_arguments() else { return };
    let mut report = Report::new("Postgres to Postgres", HOW);
    if wanted.includes("snapshot") {
        snapshot::measure(&Stage::start().await, wanted.rounds, &mut report).await;
    }
    if wanted.includes("verify") {
        verify::measure(&Stage::start().await, wanted.rounds, &mut report).await;
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
    if wanted.includes("cutover") {
        cutover::measure(&Stage::start().await, wanted.rounds, &mut report).await;
    }
    if wanted.is_everything() {
        report.write(wanted.rounds);
    }
}
