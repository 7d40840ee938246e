//! MySQL and MariaDB in the demo's room: private servers, and the comparison of two of them.
//!
//! The same as the room itself offers of Postgres; what both need is up there.

pub mod digest;
pub mod release;
pub mod server;

pub use release::Release;
pub use server::{Server, ServerOptions, connect};
