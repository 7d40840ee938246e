//! SQL sessions with a Postgres server, by tokio-postgres.
//!
//! In: an endpoint and the application's name. Out: a [`Client`] whose settings are pinned: values
//! always look the same, names mean what they say, and no time-out of the server's ends a long
//! migration. Dropping the client ends its connection. Notices go to the log, at debug.

use super::dial::{self, Login, Place, STANDING, Standing};
use super::error::ConnectError;
use super::server_error::ServerError;
use super::socket::{Established, Socket};
use super::tls;
use crate::config::endpoint::{ChannelBinding, PostgresEndpoint};
use std::error::Error;
use std::future::poll_fn;
use std::io;
use std::ops::{Deref, DerefMut};
use tokio::task::AbortHandle;
use tokio_postgres::config::{self, SslMode, SslNegotiation};
use tokio_postgres::{AsyncMessage, Connection};
use tracing::debug;

/// A session. Derefs to the driver's client.
pub struct Client {
    client: tokio_postgres::Client,
    connection: AbortHandle,
    endpoint: PostgresEndpoint,
    server_version_num: u32,
}

impl Client {
    /// The server's version as `server_version_num` has it: 150004 for 15.4.
    #[must_use]
    pub fn server_version_num(&self) -> u32 {
        self.server_version_num
    }

    /// The endpoint, pinned to the host that answered.
    #[must_use]
    pub fn endpoint(&self) -> &PostgresEndpoint {
        &self.endpoint
    }
}

impl Deref for Client {
    type Target = tokio_postgres::Client;

    fn deref(&self) -> &Self::Target {
        &self.client
    }
}

impl DerefMut for Client {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.client
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

/// What the sessions call themselves that write a target for this migration. So whoever takes over
/// tells them from those of others, and a fence lets those of the way back through.
#[must_use]
pub fn writers(migration: &str) -> String {
    format!("dunlin {migration}")
}

/// Connects and logs in, and pins the session's settings.
///
/// # Errors
///
/// [`ConnectError`], which says whether waiting helps.
pub async fn connect(
    endpoint: &PostgresEndpoint,
    application_name: &str,
) -> Result<Client, ConnectError> {
    let (mut client, host) = dial::dial(endpoint, &DriverLogin { application_name }).await?;
    client.endpoint = endpoint.pinned_to(host);
    Ok(client)
}

/// The settings that decide how values look and what names mean, as start-up options. The
/// operator's own options come first, so that these hold.
#[must_use]
pub fn pinned_options(endpoint: &PostgresEndpoint) -> String {
    let mut options = endpoint.options().unwrap_or_default().to_owned();
    for (name, value) in PINNED {
        if !options.is_empty() {
            options.push(' ');
        }
        options.push_str("-c ");
        options.push_str(name);
        options.push('=');
        options.push_str(value);
    }
    options
}

const PINNED: &[(&str, &str)] = &[
    ("DateStyle", "ISO"),
    ("IntervalStyle", "postgres"),
    ("extra_float_digits", "3"),
    ("bytea_output", "hex"),
    ("TimeZone", "UTC"),
    ("lc_monetary", "C"),
    ("array_nulls", "on"),
    ("search_path", ""),
    ("jit", "off"),
    ("statement_timeout", "0"),
    ("lock_timeout", "0"),
    ("idle_in_transaction_session_timeout", "0"),
    // A server that asks its idle clients whether they are there ends the sessions of a machine that is
    // gone within a minute, and lets go of their locks; by itself it would ask after two hours. One that
    // is there answers, also where it rests. No more than that: tcp_user_timeout would end a session
    // whose client is slow to read, too.
    ("tcp_keepalives_idle", "30"),
    ("tcp_keepalives_interval", "10"),
    ("tcp_keepalives_count", "3"),
];

/// Statements that pin what a server has from its version on: it would refuse a start-up option
/// that it does not know.
pub fn later_pins(server_version_num: u32) -> impl Iterator<Item = &'static str> {
    const LATER: &[(u32, &str)] =
        &[(140_000, "SET idle_session_timeout = 0"), (170_000, "SET transaction_timeout = 0")];
    LATER
        .iter()
        .filter(move |(since, _)| server_version_num >= *since)
        .map(|(_, statement)| *statement)
}

/// Reads the `server_version` that a server reports when a session begins: `15.4 (Debian …)`,
/// `18beta1`. From version 10 on there are two parts.
#[must_use]
pub fn version_num(server_version: &str) -> Option<u32> {
    let end = server_version
        .find(|character: char| !character.is_ascii_digit() && character != '.')
        .unwrap_or(server_version.len());
    let mut parts = server_version[..end].split('.');
    let major: u32 = parts.next()?.parse().ok()?;
    let minor: u32 = parts.next().and_then(|part| part.parse().ok()).unwrap_or(0);
    let last: u32 = parts.next().and_then(|part| part.parse().ok()).unwrap_or(0);
    match major {
        0..10 => Some(major * 10_000 + minor * 100 + last),
        10..1000 => Some(major * 10_000 + minor),
        _ => None,
    }
}

struct DriverLogin<'a> {
    application_name: &'a str,
}

impl Login for DriverLogin<'_> {
    type Session = Client;

    async fn login(&self, socket: Socket, place: Place<'_>) -> Result<Client, ConnectError> {
        let config = driver_config(place, self.application_name);
        let (client, connection) = config
            .connect_raw(socket, Established)
            .await
            .map_err(|error| login_error(place, error))?;
        let version = connection.parameter("server_version").unwrap_or_default();
        let server_version_num = version_num(version).ok_or_else(|| ConnectError::Protocol {
            server: place.server(),
            source: "it does not say its version".into(),
        })?;
        let session = Client {
            client,
            connection: tokio::spawn(drive(connection)).abort_handle(),
            endpoint: place.endpoint.clone(),
            server_version_num,
        };
        for statement in later_pins(server_version_num) {
            session.batch_execute(statement).await.map_err(|error| login_error(place, error))?;
        }
        Ok(session)
    }

    async fn standing(
        &self,
        session: &mut Client,
        place: Place<'_>,
    ) -> Result<Standing, ConnectError> {
        let row =
            session.query_one(STANDING, &[]).await.map_err(|error| login_error(place, error))?;
        let read = |column| row.try_get(column).map_err(|error| login_error(place, error));
        Ok(Standing { in_recovery: read(0)?, read_only: read(1)? })
    }
}

/// The stream is ready when the driver gets it, plain or not; to the driver it is always "TLS
/// that is negotiated directly", which is how it takes the hash that the login is bound to.
fn driver_config(place: Place<'_>, application_name: &str) -> tokio_postgres::Config {
    let endpoint = place.endpoint;
    let mut config = tokio_postgres::Config::new();
    config
        .user(endpoint.user())
        .dbname(endpoint.database())
        .options(pinned_options(endpoint))
        .application_name(application_name)
        .ssl_mode(SslMode::Require)
        .ssl_negotiation(SslNegotiation::Direct)
        .channel_binding(match endpoint.channel_binding() {
            ChannelBinding::Disable => config::ChannelBinding::Disable,
            ChannelBinding::Prefer => config::ChannelBinding::Prefer,
            ChannelBinding::Require => config::ChannelBinding::Require,
        });
    if let Some(password) = endpoint.password(place.index) {
        config.password(password.expose());
    }
    config
}

fn login_error(place: Place<'_>, error: tokio_postgres::Error) -> ConnectError {
    let server = place.server();
    if let Some(refusal) = error.as_db_error() {
        let source = Box::new(refusal.into());
        return ConnectError::Rejected { server, source };
    }
    if error.is_closed() {
        let source = io::ErrorKind::UnexpectedEof.into();
        return ConnectError::Lost { server, source };
    }
    match error.into_source().map(|cause| cause.downcast::<io::Error>()) {
        Some(Ok(source)) => broken_login(place, *source),
        Some(Err(source)) => ConnectError::Unauthenticated { server, source },
        None => ConnectError::Protocol { server, source: "it sent a message out of turn".into() },
    }
}

/// A login that an I/O error ended.
#[must_use]
pub fn broken_login(place: Place<'_>, source: io::Error) -> ConnectError {
    let server = place.server();
    match source.kind() {
        _ if tls::is_tls_failure(&source) => ConnectError::TlsHandshake { server, source },
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => {
            ConnectError::Protocol { server, source: source.into() }
        }
        _ => ConnectError::Lost { server, source },
    }
}

/// Runs the connection until it ends. An error that ends it reaches whoever waits for an answer;
/// it is logged for the case that nobody does.
async fn drive(mut connection: Connection<Socket, Socket>) {
    while let Some(message) = poll_fn(|cx| connection.poll_message(cx)).await {
        match message {
            Ok(AsyncMessage::Notice(notice)) => {
                debug!(notice = %ServerError::from(&notice), "server notice");
            }
            Ok(_) => {}
            Err(error) => {
                let cause = error.source().map(ToString::to_string);
                debug!(%error, cause, "connection ended");
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::environment::Environment;

    #[test]
    fn versions_are_read() {
        assert_eq!(version_num("15.4 (Debian 15.4-1.pgdg120+1)"), Some(150_004));
        assert_eq!(version_num("18beta1"), Some(180_000));
        assert_eq!(version_num("12.22"), Some(120_022));
        assert_eq!(version_num("9.6.24"), Some(90_624));
        assert_eq!(version_num("devel"), None);
        assert_eq!(version_num("4294967295.1"), None);
    }

    #[test]
    fn pins_come_after_the_operators_options() {
        let environment = Environment::new([("USER", "u")], None);
        let endpoint =
            PostgresEndpoint::parse("host=h options='-c DateStyle=German'", &environment).unwrap();
        let options = pinned_options(&endpoint);
        assert!(options.starts_with("-c DateStyle=German -c DateStyle=ISO "));
        assert!(options.contains(" -c search_path= "));
    }

    #[test]
    fn later_settings_wait_for_their_version() {
        assert_eq!(later_pins(130_000).count(), 0);
        assert_eq!(later_pins(150_000).count(), 1);
        assert_eq!(later_pins(170_000).count(), 2);
    }
}
