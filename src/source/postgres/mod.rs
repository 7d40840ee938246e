//! A Postgres server as source.

pub mod catalog;
pub mod decode;
pub mod relations;
