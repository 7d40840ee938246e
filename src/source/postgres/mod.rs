//! A Postgres server as the source.

pub mod wire;
