//! Where a source's server is, and which one it is.
//!
//! In: an endpoint, and the name that the server there has for itself. Out: further connections with
//! that very server. Behind a name with several addresses, or a proxy that spreads connections, each
//! may be with another one, whose rows and whose end of the log are of another moment: a snapshot would
//! be read on one, and its position on another. So each connection is asked which server it is with
//! before it is used. Where a server took another's place for good, the next attempt begins with it.

use super::PROGRAM;
use super::catalog::{SETTINGS, Settings};
use super::control::Control;
use crate::config::endpoint::MySqlEndpoint;
use crate::connect::mysql::{Wire, connect};
use crate::model::{Code, Disposition, Failure, Fault, Halt};

/// A further connection is with another server than the first.
#[derive(Debug, thiserror::Error)]
#[error(
    "connect to the source once more: its first connection is with {known}, this one with {found}"
)]
struct AnotherServer {
    /// The first one's name for itself.
    known: String,
    /// The other's.
    found: String,
}

impl Fault for AnotherServer {
    fn disposition(&self) -> Disposition {
        Halt::with(
            Code::SourceIdentity,
            "give --source the address of one server: behind a name with several addresses, or a proxy \
             that spreads connections, each connection may be with another. Where a server has just \
             taken another's place, run the same command again",
        )
    }
}

/// A server of a source, or any server behind an endpoint where none is named.
#[derive(Clone)]
pub(super) struct Site {
    endpoint: MySqlEndpoint,
    server: Option<String>,
}

impl Site {
    /// The server that has this name for itself.
    pub(super) fn of(endpoint: MySqlEndpoint, server: String) -> Self {
        Site { endpoint, server: Some(server) }
    }

    /// Whichever server is behind an endpoint.
    pub(super) fn any(endpoint: MySqlEndpoint) -> Self {
        Site { endpoint, server: None }
    }

    pub(super) fn endpoint(&self) -> &MySqlEndpoint {
        &self.endpoint
    }

    /// A connection that moves rows or the log.
    pub(super) async fn wire(&self) -> Result<Wire, Failure> {
        let mut wire = Wire::connect(&self.endpoint).await?;
        self.prove(&mut wire).await?;
        Ok(wire)
    }

    /// A session that looks things up.
    pub(super) async fn session(&self) -> Result<Control, Failure> {
        let control = Control::new(connect(&self.endpoint, PROGRAM).await?);
        if self.server.is_some() {
            self.compare(&Settings::read(&control).await?)?;
        }
        Ok(control)
    }

    /// Fails where a connection is with another server, or with none any more.
    pub(super) async fn prove(&self, wire: &mut Wire) -> Result<(), Failure> {
        if self.server.is_none() {
            return Ok(());
        }
        let rows = wire.rows(SETTINGS).await?;
        let pair = |row: Vec<Option<String>>| {
            let mut fields = row.into_iter().map(Option::unwrap_or_default);
            Some((fields.next()?, fields.next()?))
        };
        self.compare(&Settings::of(rows.into_iter().filter_map(pair)))
    }

    fn compare(&self, settings: &Settings) -> Result<(), Failure> {
        let found = settings.server();
        match &self.server {
            Some(known) if *known != found => {
                Err(AnotherServer { known: known.clone(), found }.into())
            }
            Some(_) | None => Ok(()),
        }
    }
}
