//! A Postgres server as target.

pub mod catalog;
