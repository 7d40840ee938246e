//! A Postgres server as source.

pub mod catalog;
pub mod objects;
pub mod relations;
