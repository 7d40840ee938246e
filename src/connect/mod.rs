//! Connections to servers, as source and target both need them.

pub mod program;
pub mod quote;
