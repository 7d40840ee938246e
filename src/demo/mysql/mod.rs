//! MySQL and MariaDB in the demo's room: private servers, the database that is moved and its
//! applications, and the comparison of two servers.
//!
//! The same as the room itself offers of Postgres; what both need is up there.

mod application;
pub mod digest;
mod exhibit;
pub mod load;
pub mod release;
pub mod server;
mod transactions;

pub use application::start_writers;
pub use release::Release;
pub use server::{Server, ServerOptions, connect};
