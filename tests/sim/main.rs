//! Seeded models of a source and a target, in memory: the planner and the pipeline between them
//! are the real ones. A failing case prints its seed or its shrunk list of decisions.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stderr, reason = "the seed of a case that fails")]

mod applier;
mod group;
mod log;
mod pipeline;
mod source;
mod target;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// A list of decisions from a seed.
fn script(seed: u64, len: usize) -> Vec<u32> {
    let mut random = StdRng::seed_from_u64(seed);
    (0..len).map(|_| random.random()).collect()
}
