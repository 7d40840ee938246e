//! Connections to servers, as source and target both need them.
//!
//! In: an endpoint, and what the session is for. Out: a session that is logged in, with the
//! settings pinned that decide how values look; or an error that says whether waiting helps. It
//! knows addresses, TLS and logins; it does not know what is done over the connection.

pub mod dial;
pub mod error;
mod escaped;
pub mod keys;
pub mod mysql;
pub mod postgres;
pub mod program;
pub mod quote;
pub mod server;
pub mod server_error;
pub mod socket;
pub mod tls;

pub use error::ConnectError;
pub use server_error::{ServerError, StatementError, attempting, classify};
