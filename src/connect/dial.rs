//! The way to a server: which hosts, in which order, over which kind of channel.
//!
//! In: an endpoint, and a [`Login`] that turns a stream into a session. Out: the session and the
//! host that it is with. The order is libpq's: hosts as listed; for each of them TLS and plain as
//! `sslmode` says. One time-out covers the whole way to one host.

use super::error::ConnectError;
use super::socket::Socket;
use super::tls::{self, Terms, TlsError, Verification};
use crate::config::endpoint::{
    Host, Keepalives, PostgresEndpoint, RootCertificates, SessionRole, SslMode, SslNegotiation,
    TlsSettings,
};
use postgres_protocol::message::frontend;
use socket2::{SockRef, TcpKeepalive};
use std::error::Error;
use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream, lookup_host};

/// Turns a stream into a session.
pub trait Login: Sync {
    /// What a login gives.
    type Session: Send;

    /// Logs in.
    fn login(
        &self,
        socket: Socket,
        place: Place<'_>,
    ) -> impl Future<Output = Result<Self::Session, ConnectError>> + Send;

    /// Asks the server what it is.
    fn standing(
        &self,
        session: &mut Self::Session,
        place: Place<'_>,
    ) -> impl Future<Output = Result<Standing, ConnectError>> + Send;
}

/// One of an endpoint's hosts.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    /// The endpoint.
    pub endpoint: &'a PostgresEndpoint,
    /// Which of its hosts.
    pub index: usize,
}

impl<'a> Place<'a> {
    /// The host.
    #[must_use]
    pub fn host(&self) -> &'a Host {
        &self.endpoint.hosts()[self.index]
    }

    /// Host and port, as errors name them.
    #[must_use]
    pub fn server(&self) -> String {
        self.host().to_string()
    }
}

/// What a server is at the moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Standing {
    /// Whether it replays another server's log.
    pub in_recovery: bool,
    /// Whether a session's transactions take no writes unless told otherwise.
    pub read_only: bool,
}

/// The statement whose one row, of two booleans, is a [`Standing`].
pub const STANDING: &str = "SELECT pg_catalog.pg_is_in_recovery(), \
    pg_catalog.current_setting('transaction_read_only')::pg_catalog.bool";

/// Connects and logs in, and says with which of the hosts.
///
/// # Errors
///
/// The last host's [`ConnectError`].
pub async fn dial<L: Login>(
    endpoint: &PostgresEndpoint,
    login: &L,
) -> Result<(L::Session, usize), ConnectError> {
    let (first, then) = match endpoint.session_role() {
        SessionRole::PreferStandby => (SessionRole::Standby, Some(SessionRole::Any)),
        role => (role, None),
    };
    match (dial_for(endpoint, login, first).await, then) {
        (Err(error), Some(role)) if error.host_may_matter() => {
            dial_for(endpoint, login, role).await
        }
        (outcome, _) => outcome,
    }
}

async fn dial_for<L: Login>(
    endpoint: &PostgresEndpoint,
    login: &L,
    role: SessionRole,
) -> Result<(L::Session, usize), ConnectError> {
    let last = endpoint.hosts().len() - 1;
    let mut index = 0;
    loop {
        let place = Place { endpoint, index };
        match within_timeout(place, reach(place, login, role)).await {
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

#[derive(Clone, Copy, PartialEq, Eq)]
enum Channel {
    Plain,
    TlsIfOffered,
    Tls,
}

async fn reach<L: Login>(
    place: Place<'_>,
    login: &L,
    role: SessionRole,
) -> Result<L::Session, ConnectError> {
    let mode = match place.host().is_unix_socket() {
        true => SslMode::Disable,
        false => place.endpoint.tls().mode,
    };
    let (first, second) = match mode {
        SslMode::Disable => (Channel::Plain, None),
        SslMode::Allow => (Channel::Plain, Some(Channel::Tls)),
        SslMode::Prefer => (Channel::TlsIfOffered, Some(Channel::Plain)),
        SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => (Channel::Tls, None),
    };
    let mut session = match (open_and_log_in(place, login, first).await, second) {
        (Err(error), Some(channel)) if error.channel_may_matter() => {
            let again = open_and_log_in(place, login, channel).await;
            // Where the other channel gets no further, the first refusal is the one to show.
            again.map_err(|second| match second {
                ConnectError::TlsNotOffered { .. } => error,
                second if second.channel_may_matter() => error,
                second => second,
            })?
        }
        (outcome, _) => outcome?,
    };
    if role != SessionRole::Any {
        let standing = login.standing(&mut session, place).await?;
        check_role(place, role, standing)?;
    }
    Ok(session)
}

fn check_role(place: Place<'_>, role: SessionRole, is: Standing) -> Result<(), ConnectError> {
    let fits = match role {
        SessionRole::Any | SessionRole::PreferStandby => true,
        SessionRole::ReadWrite => !is.in_recovery && !is.read_only,
        SessionRole::ReadOnly => is.in_recovery || is.read_only,
        SessionRole::Primary => !is.in_recovery,
        SessionRole::Standby => is.in_recovery,
    };
    match fits {
        true => Ok(()),
        false => Err(ConnectError::OtherRole { server: place.server(), wanted: role.as_str() }),
    }
}

async fn open_and_log_in<L: Login>(
    place: Place<'_>,
    login: &L,
    channel: Channel,
) -> Result<L::Session, ConnectError> {
    let host = place.host();
    if host.is_unix_socket() {
        let path = socket_path(host);
        let stream =
            UnixStream::connect(&path).await.map_err(|source| unreachable_at(place, source))?;
        return login.login(Socket::unix(stream), place).await;
    }
    let tcp = open_tcp(place).await?;
    let socket = match channel {
        Channel::Plain => Socket::tcp(tcp),
        Channel::TlsIfOffered | Channel::Tls => negotiate(tcp, place, channel).await?,
    };
    login.login(socket, place).await
}

/// Source of the name: the Postgres manual, `unix_socket_directories`. `@` stands for Linux's
/// abstract name space, which the standard library takes with a leading zero byte.
fn socket_path(host: &Host) -> String {
    let path = format!("{}/.s.PGSQL.{}", host.name, host.port);
    match path.strip_prefix('@') {
        Some(name) => format!("\0{name}"),
        None => path,
    }
}

fn unreachable_at(place: Place<'_>, source: std::io::Error) -> ConnectError {
    ConnectError::Unreachable { server: place.server(), source }
}

async fn open_tcp(place: Place<'_>) -> Result<TcpStream, ConnectError> {
    let host = place.host();
    let addresses: Vec<SocketAddr> = match host.address {
        Some(address) => vec![(address, host.port).into()],
        None => lookup_host((host.name.as_str(), host.port))
            .await
            .map_err(|source| ConnectError::HostUnknown { server: place.server(), source })?
            .collect(),
    };
    let stream = TcpStream::connect(addresses.as_slice())
        .await
        .map_err(|source| unreachable_at(place, source))?;
    prepare_tcp(&stream, place.endpoint.keepalives())
        .map_err(|source| unreachable_at(place, source))?;
    Ok(stream)
}

pub(super) fn prepare_tcp(stream: &TcpStream, keepalives: Keepalives) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    if !keepalives.enabled {
        return Ok(());
    }
    // Nought stands for the system's own figure, as in libpq.
    let mut probes = TcpKeepalive::new();
    if keepalives.idle_s > 0 {
        probes = probes.with_time(Duration::from_secs(keepalives.idle_s));
    }
    if keepalives.interval_s > 0 {
        probes = probes.with_interval(Duration::from_secs(keepalives.interval_s));
    }
    if keepalives.count > 0 {
        probes = probes.with_retries(keepalives.count);
    }
    SockRef::from(stream).set_tcp_keepalive(&probes)
}

/// Asks for TLS (Postgres manual, "SSL Session Encryption") and shakes hands. The answer is one
/// byte; anything behind it that was not encrypted is an attack, so exactly one byte is read.
async fn negotiate(
    mut tcp: TcpStream,
    place: Place<'_>,
    channel: Channel,
) -> Result<Socket, ConnectError> {
    let settings = place.endpoint.tls();
    if settings.negotiation == SslNegotiation::Postgres {
        let answer = ask_for_tls(&mut tcp)
            .await
            .map_err(|source| ConnectError::Lost { server: place.server(), source })?;
        match (answer, channel) {
            (b'S', _) => {}
            (b'N', Channel::TlsIfOffered) => return Ok(Socket::tcp(tcp)),
            (b'N', _) => {
                return Err(ConnectError::TlsNotOffered { server: place.server() });
            }
            (_, _) => {
                return Err(ConnectError::Protocol {
                    server: place.server(),
                    source: "the answer to the request for TLS is neither S nor N".into(),
                });
            }
        }
    }
    shake_hands(tcp, place).await
}

async fn shake_hands(tcp: TcpStream, place: Place<'_>) -> Result<Socket, ConnectError> {
    let server = place.server();
    let material = |object: String, source: Box<dyn Error + Send + Sync>| {
        ConnectError::TlsMaterial { object, source }
    };
    let terms = terms(place).map_err(|(object, problem)| material(object, problem.into()))?;
    tls::shake_hands(tcp, &terms).await.map_err(|error| match error {
        TlsError::Material { object, source } => material(object, source),
        TlsError::Handshake(source) => ConnectError::TlsHandshake { server, source },
    })
}

/// What `sslmode` and its companions ask of TLS; or the object that is missing, and why it is needed.
fn terms(place: Place<'_>) -> Result<Terms<'_>, (String, &'static str)> {
    let settings = place.endpoint.tls();
    let verification = match settings.mode {
        SslMode::Disable | SslMode::Allow | SslMode::Prefer | SslMode::Require => {
            Verification::Nothing
        }
        SslMode::VerifyCa => Verification::Chain(roots(settings)?),
        SslMode::VerifyFull => Verification::ChainAndName(roots(settings)?),
    };
    let identity = match (&settings.certificate, &settings.key) {
        (Some(certificate), Some(key)) => Some((certificate.as_path(), key.as_path())),
        (Some(certificate), None) => {
            let object = certificate.display().to_string();
            return Err((object, "it has no key: sslkey is not set"));
        }
        (None, _) => None,
    };
    Ok(Terms {
        host: &place.host().name,
        verification,
        identity,
        server_name_indication: settings.server_name_indication,
        // Direct negotiation demands it (Postgres manual, "SSL Session Encryption"); older servers
        // do not look at it.
        protocol: Some(b"postgresql"),
    })
}

fn roots(settings: &TlsSettings) -> Result<&RootCertificates, (String, &'static str)> {
    let problem = "sslmode asks to verify the server, but sslrootcert is not set \
                   and ~/.postgresql/root.crt does not exist";
    settings.roots.as_ref().ok_or_else(|| ("root certificates".to_owned(), problem))
}

async fn ask_for_tls(tcp: &mut TcpStream) -> std::io::Result<u8> {
    let mut request = bytes::BytesMut::new();
    frontend::ssl_request(&mut request);
    tcp.write_all(&request).await?;
    tcp.read_u8().await
}
