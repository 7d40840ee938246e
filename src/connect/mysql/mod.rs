//! Connections to MySQL and MariaDB servers, as source and target both need them.
//!
//! In: an endpoint. Out: a [`session`] of the driver for statements, or a [`wire`] of our own for
//! what is read by the million; both logged in under the same settings. What a server's error means
//! is told in [`error`], what an account may do in [`privileges`], and names and values are written
//! into SQL by [`quote`] alone. What is done over a connection is not known here.

pub mod described;
mod dial;
pub mod error;
pub mod key;
pub mod privileges;
pub mod quote;
pub mod session;
pub mod settings;
pub mod version;
pub mod wire;

pub use error::{ConnectError, ServerError, StatementError, attempting, classify};
pub use session::{Session, connect, to_the_end};
pub use version::{Flavour, ServerVersion};
pub use wire::{Wire, WireError};
