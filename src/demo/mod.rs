//! `dunlin demo`: a whole migration on this machine, with nothing at stake.
//!
//! Enters: how much data and which Postgres. Leaves: a report, and a verdict that rests on digests
//! the servers compute themselves. It knows dunlin only as a program that it starts, kills and
//! starts again, and never looks inside: so its verdict is an outsider's. The tests start their
//! private servers and writers through this room as well.

mod activity;
pub mod digest;
mod failure;
pub mod load;
pub mod process;
pub mod programs;
pub mod server;
mod template;
pub mod writers;

pub use failure::DemoError;
pub use programs::Programs;
pub use server::{Server, ServerOptions};
