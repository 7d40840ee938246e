//! What the tests stand on: private servers, waits, and the real binary.
//!
//! Servers come from the demo's room, so there is one way in which they are started and removed.
//! Nothing in here knows how dunlin works inside.

#![allow(dead_code, reason = "each test binary uses a part of it")]

pub mod auditor;
pub mod binary;
pub mod carry;
pub mod compare;
pub mod kinds;
pub mod mysql;
pub mod mysql_kinds;
pub mod mysql_scene;
pub mod pair;
pub mod promises;
pub mod proxy;
pub mod scene;
pub mod secured;
pub mod standby;
pub mod steps;
pub mod verified;
pub mod wait;

pub use binary::Dunlin;
pub use carry::{carry, catch_up, catch_up_with, number, text, wait_until_streaming};
pub use pair::TestPair;
pub use proxy::Proxy;
pub use wait::wait_until;
