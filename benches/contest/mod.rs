//! What the benchmarks of all engines share: what was asked for, how long programs take, the page.

#![allow(dead_code, reason = "no benchmark needs all of it")]

pub mod pause;
pub mod report;
pub mod wanted;
pub mod watch;
