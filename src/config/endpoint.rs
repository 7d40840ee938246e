//! Where a server is and how to log in to it.
//!
//! In: a connection string in the form of the engine's own client, and the [`Environment`]. Out:
//! an [`Endpoint`] that is complete: every default, variable and password file has been looked
//! up. Whether the server is there is `connect`'s business. Neither `Debug` nor `Display` shows a
//! password; an endpoint is not serialisable by itself, only by
//! [`PostgresEndpoint::to_exposed_json`].

mod conninfo;
mod error;
mod mysql;
mod parameters;
mod passfile;
mod postgres;

pub use error::EndpointError;
pub use mysql::{MySqlEndpoint, MySqlHost, MySqlSslMode, MySqlTls};
pub use postgres::{
    ChannelBinding, Host, Keepalives, LIBPQ_VARIABLES, PostgresEndpoint, RootCertificates,
    SessionRole, SslMode, SslNegotiation, TlsSettings,
};

use super::environment::Environment;
use super::secret;
use std::fmt;

/// A database server of any engine.
#[derive(Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// A Postgres server.
    Postgres(PostgresEndpoint),
    /// A MySQL or MariaDB server.
    MySql(MySqlEndpoint),
}

impl Endpoint {
    /// Reads a connection string after replacing its `${env:NAME}` and `${file:PATH}`.
    ///
    /// # Errors
    ///
    /// [`EndpointError`], which never quotes the string, since a password may be anywhere in it.
    pub fn parse(text: &str, environment: &Environment) -> Result<Self, EndpointError> {
        let resolved = secret::resolve_connection(text.trim(), environment)?;
        match resolved.split_once("://") {
            Some(("mysql" | "mariadb", _)) => {
                MySqlEndpoint::parse_resolved(&resolved, environment).map(Endpoint::MySql)
            }
            Some(("postgres" | "postgresql", _)) | None => {
                PostgresEndpoint::parse_resolved(&resolved, environment).map(Endpoint::Postgres)
            }
            Some((scheme, _)) if scheme.contains('=') => {
                PostgresEndpoint::parse_resolved(&resolved, environment).map(Endpoint::Postgres)
            }
            Some(_) => Err(EndpointError::SchemeUnknown),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Endpoint::Postgres(endpoint) => endpoint.fmt(f),
            Endpoint::MySql(endpoint) => endpoint.fmt(f),
        }
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Endpoint::Postgres(endpoint) => endpoint.fmt(f),
            Endpoint::MySql(endpoint) => endpoint.fmt(f),
        }
    }
}
