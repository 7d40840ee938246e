//! A Postgres server as target.

pub mod build;
pub mod catalog;
pub mod objects;
pub mod schema;
pub mod script;
