//! Sessions of the applications that write to a MySQL or MariaDB database.
//!
//! Enters: a server's database, and the statements of a transaction. Leaves: how it ended.

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, DriverError, Error};

use super::Server;
use super::server::connect_as;
use super::transactions::ACTIVITIES;
use crate::demo::DemoError;
use crate::demo::activity::Activity;
use crate::demo::whereabouts::Whereabouts;
use crate::demo::writers::{Application, Transaction, WriterOptions, Writers};

/// What an application shrugs at and goes on: a lock waited for in vain, a deadlock, a server that
/// shuts down, a table that was changed meanwhile, a database that is moved, a fence that ends who is in
/// its way (`ER_LOCK_WAIT_TIMEOUT`, `ER_LOCK_DEADLOCK`, `ER_SERVER_SHUTDOWN`, `ER_TABLE_DEF_CHANGED`,
/// `ER_OPTION_PREVENTS_STATEMENT`, `ER_QUERY_INTERRUPTED`, MariaDB's `ER_CONNECTION_KILLED`, MySQL's
/// `ER_SESSION_WAS_KILLED`).
const PASSING: &[u16] = &[1205, 1213, 1053, 1412, 1290, 1317, 1927, 3169];

/// Applications of a MySQL or MariaDB database.
#[derive(Clone, Debug)]
pub(in crate::demo) struct MySqlApplication {
    /// The ports of the servers.
    pub(super) ports: Whereabouts<u16>,
    /// The database.
    pub(super) database: String,
    /// The account, which has no password.
    pub(super) user: &'static str,
}

/// Starts a session for each activity on a server's database, as [`Writers::start`] does on Postgres.
#[must_use]
pub fn start_writers(server: &Server, database: &str, options: WriterOptions) -> Writers {
    let ports = Whereabouts::fixed(server.port());
    let database = database.to_owned();
    Writers::of(&MySqlApplication { ports, database, user: "root" }, options)
}

impl Application for MySqlApplication {
    type Session = Conn;

    const ACTIVITIES: &'static [Activity] = ACTIVITIES;

    async fn open(&self) -> Result<Conn, DemoError> {
        connect_as(self.user, *self.ports.now(), Some(&self.database)).await
    }

    async fn transact(
        session: &mut Conn,
        statements: &str,
    ) -> Result<Transaction, Box<dyn std::error::Error + Send + Sync>> {
        match rows_of(session, &format!("BEGIN; {statements}; COMMIT")).await {
            Ok(rows) => Ok(Transaction::Committed(rows)),
            Err(Error::Server(error)) if PASSING.contains(&error.code) => Ok(Transaction::GivenUp),
            Err(Error::Io(_) | Error::Driver(DriverError::ConnectionClosed)) => {
                Ok(Transaction::GivenUp)
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// Runs statements, and adds up the rows that they wrote.
pub(super) async fn rows_of(session: &mut Conn, statements: &str) -> Result<u64, Error> {
    let mut result = session.query_iter(statements).await?;
    let mut rows = 0;
    loop {
        // The driver keeps a later statement's error as if it were an answer to come.
        if result.columns().is_none() {
            result.next().await?;
            return Ok(rows);
        }
        rows += result.affected_rows();
        if result.is_empty() {
            return Ok(rows);
        }
        result.for_each(drop).await?;
    }
}
