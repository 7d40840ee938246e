//! MySQL to MySQL against the alternatives, measured on private servers.
//!
//! `make bench` runs this and writes its part of `docs/benchmarks.md`. In one run, over several
//! rounds, each contender does the same work in turn; the table shows medians and their ratios. Every
//! figure is of finished work: the rows of both sides are compared at the end. Words after `--`
//! choose works by name, and `rounds=N`; then only the table is printed.
//!
//! A test runner that runs all targets comes by without `--bench`: then nothing is measured.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark fails by panicking")]

mod backlog;
#[path = "../contest/mod.rs"]
mod contest;
mod cutover;
mod large;
mod latency;
mod replica;
mod snapshot;
mod stage;
mod verify;

use contest::report::Report;
use contest::wanted::Wanted;
use stage::Stage;

const HOW: &str = "MySQL 9.7 with 1 GB of buffer pool and 4 GB of redo log. Targets commit durably and \
     write a binary log (`innodb_flush_log_at_trx_commit = 1`, `sync_binlog = 1`); the source does not \
     wait for its disk. Each contender writes to a server whose dirty pages are all written out.";

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let Some(wanted) = Wanted::of_arguments() else { return };
    let mut report = Report::new("MySQL to MySQL", HOW);
    if wanted.includes("snapshot") {
        snapshot::measure(&Stage::start().await, wanted.rounds, &mut report).await;
    }
    if wanted.includes("verify") {
        verify::measure(&Stage::start().await, wanted.rounds, &mut report).await;
    }
    if wanted.includes("backlog") {
        backlog::measure(&Stage::start().await, wanted.rounds, &mut report).await;
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
