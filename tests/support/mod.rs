//! What the tests stand on: private servers, waits, and the real binary.
//!
//! Servers come from the demo's room, so there is one way in which they are started and removed.
//! Nothing in here knows how dunlin works inside.

#![allow(dead_code, reason = "each test binary uses a part of it")]

pub mod binary;
pub mod compare;
pub mod pair;
pub mod proxy;
pub mod scene;
pub mod wait;

pub use binary::Dunlin;
pub use pair::TestPair;
pub use proxy::Proxy;
pub use wait::wait_until;
