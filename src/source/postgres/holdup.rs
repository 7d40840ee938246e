//! Who keeps us waiting for a lock.
//!
//! In: the outcome of something that needs locks on tables, in a session whose `lock_timeout`
//! bounds the wait. Out: the same, or who holds the lock, if it was waited for in vain. Even to
//! read a table's size takes a lock, so an ACCESS EXCLUSIVE one would otherwise hold a run up for
//! ever and in silence; and publishing a table waits for VACUUM and CREATE INDEX CONCURRENTLY.

use tokio_postgres::Client;

use super::catalog::CatalogError;
use super::error::SourceError;
use crate::connect::{StatementError, attempting};
use crate::model::Failure;

/// The SQLSTATE lock_not_available.
const LOCK_NOT_AVAILABLE: &str = "55P03";

/// Names the holder of the lock where that is what failed.
pub(super) async fn named<R>(client: &Client, outcome: Result<R, Failure>) -> Result<R, Failure> {
    match outcome {
        Err(failure) if timed_out(&failure) => {
            let row = client
                .query_opt(include_str!("../../../sql/postgres/source_lock_holdup.sql"), &[])
                .await
                .map_err(attempting("find out who holds the lock"))?;
            let holdup = match row {
                Some(row) => row.get(0),
                None => "whoever held it up has just ended".to_owned(),
            };
            Err(SourceError::HeldUp { holdup }.into())
        }
        other => other,
    }
}

fn timed_out(failure: &Failure) -> bool {
    let error = failure.error();
    let statement = match error.downcast_ref::<CatalogError>() {
        Some(CatalogError::Query(statement)) => Some(statement),
        Some(_) | None => error.downcast_ref::<StatementError>(),
    };
    statement.and_then(StatementError::code) == Some(LOCK_NOT_AVAILABLE)
}
