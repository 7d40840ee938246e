//! The settings that every session of ours has, whoever opened it.
//!
//! In: the server's version. Out: one statement that pins them: values look the same whatever the
//! server's or the account's defaults are, no value is bent to fit, and no time-out of the
//! server's ends a long migration. What one kind of session needs besides is its room's.

use super::version::{Flavour, ServerVersion};

/// Strict, so that no value is bent; yet zero and partial dates, and 0 in an AUTO_INCREMENT column,
/// arrive as the source holds them. Backslashes escape: [`super::quote`] relies on it.
pub const SQL_MODE: &str =
    "STRICT_ALL_TABLES,ALLOW_INVALID_DATES,NO_AUTO_VALUE_ON_ZERO,NO_ENGINE_SUBSTITUTION";

/// How long a lock of the definition of a table is waited for, in seconds.
pub const LOCK_WAIT_TIMEOUT_S: u32 = 60;

/// How long a row's lock is waited for, in seconds.
pub const ROW_LOCK_WAIT_TIMEOUT_S: u32 = 60;

/// How long the server waits for us to go on with a statement's data in either direction, or with
/// the next statement, in seconds: a slow peer is no reason to give up.
pub const PATIENCE_S: u32 = 8 * 60 * 60;

/// The statement that pins them.
#[must_use]
pub fn pinned(version: ServerVersion) -> String {
    let own = match version.flavour {
        Flavour::MySql => "max_execution_time = 0, information_schema_stats_expiry = 0",
        Flavour::MariaDb => "max_statement_time = 0",
    };
    format!(
        "SET NAMES utf8mb4, time_zone = '+00:00', sql_mode = '{SQL_MODE}', autocommit = 1, \
         sql_select_limit = DEFAULT, sql_quote_show_create = 1, group_concat_max_len = 1048576, \
         net_read_timeout = {PATIENCE_S}, net_write_timeout = {PATIENCE_S}, \
         wait_timeout = {PATIENCE_S}, lock_wait_timeout = {LOCK_WAIT_TIMEOUT_S}, \
         innodb_lock_wait_timeout = {ROW_LOCK_WAIT_TIMEOUT_S}, {own}"
    )
}
