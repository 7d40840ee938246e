//! What the operator asked for, checked as a whole before anything is touched.

pub mod endpoint;
pub mod environment;
pub mod secret;
