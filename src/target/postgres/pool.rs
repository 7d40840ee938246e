//! Sessions of the target that are used again: a schema of thousands of indexes is not worth as
//! many connections.
//!
//! Only work that leaves nothing behind in its session takes one from here: transactions with
//! local settings. Loaders and appliers, which set up their sessions for themselves, keep their
//! own. How many are open at once follows from how many work at once.

use deadpool::managed::{Manager, Metrics, Object, Pool, PoolError, RecycleError, RecycleResult};

use super::TargetError;
use crate::config::endpoint::PostgresEndpoint;
use crate::connect::ConnectError;
use crate::connect::postgres::{Client, connect};
use crate::model::Failure;

/// More than work at once; the workers are bounded by the settings.
const MOST_SESSIONS: usize = 256;

/// Opens sessions.
pub(super) struct Opener {
    endpoint: PostgresEndpoint,
    application: String,
}

impl Manager for Opener {
    type Type = Client;
    type Error = ConnectError;

    async fn create(&self) -> Result<Client, ConnectError> {
        connect(&self.endpoint, &self.application).await
    }

    async fn recycle(&self, client: &mut Client, _: &Metrics) -> RecycleResult<ConnectError> {
        if client.is_closed() { Err(RecycleError::message("closed")) } else { Ok(()) }
    }
}

/// Sessions, open and idle.
pub(super) struct Sessions(Pool<Opener>);

impl Sessions {
    /// No session yet.
    pub(super) fn new(
        endpoint: PostgresEndpoint,
        application: String,
    ) -> Result<Self, TargetError> {
        let pool = Pool::builder(Opener { endpoint, application }).max_size(MOST_SESSIONS).build();
        Ok(Sessions(pool.map_err(|source| TargetError::NoSession { source: Box::new(source) })?))
    }

    /// An idle session, or a new one.
    ///
    /// # Errors
    ///
    /// Where there is no connection.
    pub(super) async fn get(&self) -> Result<Object<Opener>, Failure> {
        match self.0.get().await {
            Ok(session) => Ok(session),
            Err(PoolError::Backend(error)) => Err(error.into()),
            Err(source) => Err(TargetError::NoSession { source: Box::new(source) }.into()),
        }
    }
}
