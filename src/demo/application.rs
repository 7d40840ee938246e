//! Sessions of the applications that write to a Postgres database.
//!
//! Enters: a URL, and the statements of a transaction. Leaves: how it ended.

use std::error::Error;

use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, SimpleQueryMessage};

use super::DemoError;
use super::activity::Activity;
use super::server::connect;
use super::transactions::ACTIVITIES;
use super::whereabouts::Whereabouts;
use super::writers::{Application, Transaction};

/// What an application shrugs at and goes on.
const PASSING: &[SqlState] = &[
    SqlState::T_R_DEADLOCK_DETECTED,
    SqlState::T_R_SERIALIZATION_FAILURE,
    SqlState::ADMIN_SHUTDOWN,
    SqlState::CRASH_SHUTDOWN,
    // A fence that would be in a deadlock with it.
    SqlState::QUERY_CANCELED,
    // The database is being moved, or was.
    SqlState::READ_ONLY_SQL_TRANSACTION,
];

/// Applications of a Postgres database.
#[derive(Clone, Debug)]
pub(super) struct PostgresApplication {
    /// The URLs of the database.
    pub(super) urls: Whereabouts<String>,
}

impl Application for PostgresApplication {
    type Session = Client;

    const ACTIVITIES: &'static [Activity] = ACTIVITIES;

    async fn open(&self) -> Result<Client, DemoError> {
        connect(self.urls.now()).await
    }

    async fn transact(
        client: &mut Client,
        statements: &str,
    ) -> Result<Transaction, Box<dyn Error + Send + Sync>> {
        let messages = match client.simple_query(&format!("BEGIN; {statements}; COMMIT")).await {
            Ok(messages) => messages,
            // Without a code it is the connection that failed.
            Err(error) if error.code().is_none_or(|code| PASSING.contains(code)) => {
                return Ok(Transaction::GivenUp);
            }
            Err(error) => return Err(error.into()),
        };
        let rows = messages.iter().map(|message| match message {
            SimpleQueryMessage::CommandComplete(rows) => *rows,
            _ => 0,
        });
        Ok(Transaction::Committed(rows.sum()))
    }
}
