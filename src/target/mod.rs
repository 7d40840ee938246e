//! Where the rows go.

pub mod postgres;
