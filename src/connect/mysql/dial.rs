//! The way to a server: which hosts, in which order, over which kind of channel.
//!
//! In: an endpoint, and a [`Login`] that opens a session at one of its hosts. Out: the session and
//! the host that it is with. Hosts are tried as listed; one that answers and refuses the login ends
//! the search. One time-out covers the whole way to one host.

use super::error::ConnectError;
use crate::config::endpoint::{MySqlEndpoint, MySqlHost, MySqlSslMode, RootCertificates};
use crate::connect::dial::prepare_tcp;
use crate::connect::socket::Socket;
use crate::connect::tls::{self, Terms, TlsError, Verification};
use std::future::Future;
use std::net::SocketAddr;
use tokio::net::{TcpStream, lookup_host};

/// Opens a session at a host.
pub(super) trait Login: Sync {
    /// What a login gives.
    type Session: Send;

    /// Connects and logs in.
    fn log_in(
        &self,
        place: Place<'_>,
    ) -> impl Future<Output = Result<Self::Session, ConnectError>> + Send;
}

/// One of an endpoint's hosts.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    /// The endpoint.
    pub(super) endpoint: &'a MySqlEndpoint,
    /// Which of its hosts.
    pub(super) index: usize,
}

impl<'a> Place<'a> {
    /// The host.
    pub(super) fn host(&self) -> &'a MySqlHost {
        &self.endpoint.hosts()[self.index]
    }

    /// Host and port, as errors name them.
    pub(super) fn server(&self) -> String {
        self.host().to_string()
    }

    /// How much protection there is to be on the way to it: a Unix socket needs none.
    pub(super) fn ssl_mode(&self) -> MySqlSslMode {
        match self.host() {
            MySqlHost::Tcp { .. } => self.endpoint.tls().mode,
            MySqlHost::Socket { .. } => MySqlSslMode::Disabled,
        }
    }
}

/// Connects and logs in, and says with which of the hosts.
///
/// # Errors
///
/// The last host's [`ConnectError`].
pub(super) async fn dial<L: Login>(
    endpoint: &MySqlEndpoint,
    login: &L,
) -> Result<(L::Session, usize), ConnectError> {
    let last = endpoint.hosts().len() - 1;
    let mut index = 0;
    loop {
        let place = Place { endpoint, index };
        match within_timeout(place, login.log_in(place)).await {
            Ok(session) => return Ok((session, index)),
            Err(error) if index < last && error.host_may_matter() => {
                tracing::debug!(server = %place.host(), %error, "trying the next host");
                index += 1;
            }
            Err(error) => return Err(error),
        }
    }
}

async fn within_timeout<T>(
    place: Place<'_>,
    work: impl Future<Output = Result<T, ConnectError>>,
) -> Result<T, ConnectError> {
    match place.endpoint.connect_timeout() {
        None => work.await,
        Some(timeout) => tokio::time::timeout(timeout, work).await.unwrap_or_else(|_| {
            Err(ConnectError::TimedOut { server: place.server(), timeout_s: timeout.as_secs() })
        }),
    }
}

/// Where the host listens, as the resolver has it.
pub(super) async fn addresses(
    place: Place<'_>,
    name: &str,
    port: u16,
) -> Result<Vec<SocketAddr>, ConnectError> {
    lookup_host((name, port))
        .await
        .map(Iterator::collect)
        .map_err(|source| ConnectError::HostUnknown { server: place.server(), source })
}

/// Opens a TCP connection to the host.
pub(super) async fn open_tcp(
    place: Place<'_>,
    name: &str,
    port: u16,
) -> Result<TcpStream, ConnectError> {
    let unreachable = |source| ConnectError::Unreachable { server: place.server(), source };
    let addresses = addresses(place, name, port).await?;
    let stream = TcpStream::connect(addresses.as_slice()).await.map_err(unreachable)?;
    prepare_tcp(&stream, place.endpoint.keepalives()).map_err(unreachable)?;
    Ok(stream)
}

/// Shakes hands with a server that has been told that TLS begins.
pub(super) async fn shake_hands(
    tcp: TcpStream,
    place: Place<'_>,
    host: &str,
) -> Result<Socket, ConnectError> {
    let server = place.server();
    tls::shake_hands(tcp, &terms(place, host)).await.map_err(|error| match error {
        TlsError::Material { object, source } => ConnectError::TlsMaterial { object, source },
        TlsError::Handshake(source) => ConnectError::TlsHandshake { server, source },
    })
}

fn terms<'a>(place: Place<'a>, host: &'a str) -> Terms<'a> {
    let settings = place.endpoint.tls();
    // A mode that verifies never comes without roots; the endpoint was read so.
    let roots = settings.roots.as_ref().unwrap_or(&RootCertificates::System);
    let verification = match place.ssl_mode() {
        MySqlSslMode::Disabled | MySqlSslMode::Preferred | MySqlSslMode::Required => {
            Verification::Nothing
        }
        MySqlSslMode::VerifyCa => Verification::Chain(roots),
        MySqlSslMode::VerifyIdentity => Verification::ChainAndName(roots),
    };
    let identity = settings.certificate.as_deref().zip(settings.key.as_deref());
    Terms { host, verification, identity, server_name_indication: true, protocol: None }
}
