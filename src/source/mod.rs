//! Where the data comes from.

pub mod postgres;
