//! Where the rows and the log come from.

pub mod postgres;
