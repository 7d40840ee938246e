//! Tests against real servers, a file for each subject. They fail loudly without servers.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stderr, reason = "a failing test shows its seed and what dunlin said")]

#[path = "../support/mod.rs"]
mod support;

mod bad_input;
mod chunks;
mod column_types;
mod columns;
mod complete;
mod cutover;
mod encodings;
mod faults;
mod groups;
mod harness;
mod key_order;
mod kill;
mod login;
mod loss;
mod mysql_bad_input;
mod mysql_cutover;
mod mysql_ddl;
mod mysql_demo;
mod mysql_grants;
mod mysql_kill;
mod mysql_live;
mod mysql_login;
mod mysql_objects;
mod mysql_outages;
mod mysql_rows;
mod mysql_schema;
mod mysql_servers;
mod mysql_sizes;
mod mysql_source;
mod mysql_target;
mod mysql_values;
mod mysql_verify;
mod mysql_wire;
mod objects;
mod partitions;
mod preflight;
mod roots;
mod schema_change;
mod schema_objects;
mod second_snapshot;
mod sizes;
mod slots;
mod standby;
mod takeover;
mod verify;
mod versions;
