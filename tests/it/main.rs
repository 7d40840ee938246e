//! Tests against real servers, a file for each subject. They fail loudly without Postgres.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "../support/mod.rs"]
mod support;

mod bad_input;
mod groups;
mod harness;
mod loss;
mod objects;
mod partitions;
mod preflight;
mod schema_change;
mod slots;
