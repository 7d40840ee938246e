//! A Postgres server as source.

pub mod catalog;
pub mod relations;
