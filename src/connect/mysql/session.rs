//! SQL sessions with a MySQL or MariaDB server, by mysql_async.
//!
//! In: an endpoint and the program's name. Out: a [`Session`] whose settings are pinned, at the
//! first host that takes the login. Its answers count the rows that a statement found, not those
//! that it changed. Dropping it ends its connection.

use super::dial::{self, Login, Place};
use super::error::{ConnectError, ServerError};
use super::settings;
use super::version::ServerVersion;
use crate::config::endpoint::{MySqlEndpoint, MySqlHost, MySqlSslMode, RootCertificates};
use crate::config::secret::Secret;
use crate::connect::tls::is_tls_failure;
use mysql_async::prelude::Queryable;
use mysql_async::{ClientIdentity, Conn, DriverError, IoError, Opts, OptsBuilder, SslOpts};
use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

/// The most bytes that the protocol lets a packet have.
pub const MAX_ALLOWED_PACKET_BYTES: usize = 1 << 30;

/// A session. Derefs to the driver's connection.
pub struct Session {
    conn: Conn,
    endpoint: MySqlEndpoint,
    version: ServerVersion,
}

impl Session {
    /// The server's family and version.
    #[must_use]
    pub fn version(&self) -> ServerVersion {
        self.version
    }

    /// The endpoint, pinned to the host that answered.
    #[must_use]
    pub fn endpoint(&self) -> &MySqlEndpoint {
        &self.endpoint
    }

    /// The driver's connection alone.
    #[must_use]
    pub fn into_conn(self) -> Conn {
        self.conn
    }
}

impl Deref for Session {
    type Target = Conn;

    fn deref(&self) -> &Conn {
        &self.conn
    }
}

impl DerefMut for Session {
    fn deref_mut(&mut self) -> &mut Conn {
        &mut self.conn
    }
}

/// Does something with a session to its end, even where nobody waits for it any more: the driver would
/// take an answer that was read by half for the next one's.
pub async fn to_the_end<T: Send + 'static>(asked: impl Future<Output = T> + Send + 'static) -> T {
    match tokio::spawn(asked).await {
        Ok(answer) => answer,
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}

/// Connects and logs in, and pins the session's settings.
///
/// # Errors
///
/// [`ConnectError`], which says whether waiting helps.
pub async fn connect(
    endpoint: &MySqlEndpoint,
    program_name: &str,
) -> Result<Session, ConnectError> {
    let ((conn, version), host) = dial::dial(endpoint, &DriverLogin { program_name }).await?;
    Ok(Session { conn, endpoint: endpoint.pinned_to(host), version })
}

struct DriverLogin<'a> {
    program_name: &'a str,
}

impl Login for DriverLogin<'_> {
    type Session = (Conn, ServerVersion);

    async fn log_in(&self, place: Place<'_>) -> Result<Self::Session, ConnectError> {
        let mut conn = match place.ssl_mode() {
            MySqlSslMode::Disabled => self.open(place, false).await?,
            MySqlSslMode::Preferred => match self.open(place, true).await {
                Err(ConnectError::TlsNotOffered { .. }) => self.open(place, false).await?,
                outcome => outcome?,
            },
            MySqlSslMode::Required | MySqlSslMode::VerifyCa | MySqlSslMode::VerifyIdentity => {
                self.open(place, true).await?
            }
        };
        let version: Option<String> =
            conn.query_first("SELECT @@version").await.map_err(|error| refusal(place, error))?;
        let version = version.as_deref().and_then(ServerVersion::parse).ok_or_else(|| {
            let source = "the server's version cannot be read".into();
            ConnectError::Protocol { server: place.server(), source }
        })?;
        conn.query_drop(settings::pinned(version)).await.map_err(|error| refusal(place, error))?;
        Ok((conn, version))
    }
}

impl DriverLogin<'_> {
    async fn open(&self, place: Place<'_>, tls: bool) -> Result<Conn, ConnectError> {
        let endpoint = place.endpoint;
        let private = tls || matches!(place.host(), MySqlHost::Socket { .. });
        let builder = OptsBuilder::default()
            .user(Some(endpoint.user()))
            .pass(endpoint.password().map(Secret::expose))
            .db_name(endpoint.database())
            .prefer_socket(false)
            .tcp_keepalive(Some(Duration::from_secs(endpoint.keepalives().idle_s)))
            .max_allowed_packet(Some(MAX_ALLOWED_PACKET_BYTES))
            .wait_timeout(Some(settings::PATIENCE_S as usize))
            .client_found_rows(true)
            .enable_cleartext_plugin(private && endpoint.allow_clear_password())
            .connect_attribute("program_name", self.program_name)
            .ssl_opts(tls.then(|| ssl_options(place)).transpose()?);
        let builder = match place.host() {
            MySqlHost::Tcp { name, port } => {
                let addresses = dial::addresses(place, name, *port).await?;
                let addresses: Vec<_> = addresses.iter().map(SocketAddr::ip).collect();
                builder.ip_or_hostname(name).tcp_port(*port).resolved_ips(Some(addresses))
            }
            MySqlHost::Socket { path } => builder.socket(Some(path.display().to_string())),
        };
        Conn::new(Opts::from(builder)).await.map_err(|error| refusal(place, error))
    }
}

fn ssl_options(place: Place<'_>) -> Result<SslOpts, ConnectError> {
    let settings = place.endpoint.tls();
    let authorities = match &settings.roots {
        Some(RootCertificates::File(path)) => Some(path),
        Some(RootCertificates::System) | None => None,
    };
    let files = [authorities, settings.certificate.as_ref(), settings.key.as_ref()];
    for path in files.into_iter().flatten() {
        File::open(path).map_err(|error| {
            let source = Box::new(error);
            ConnectError::TlsMaterial { object: path.display().to_string(), source }
        })?;
    }
    let identity = settings.certificate.clone().zip(settings.key.clone());
    let identity =
        identity.map(|(certificate, key)| ClientIdentity::new(certificate.into(), key.into()));
    let options = SslOpts::default().with_client_identity(identity);
    let verifies_name = match place.ssl_mode() {
        MySqlSslMode::Disabled | MySqlSslMode::Preferred | MySqlSslMode::Required => {
            return Ok(options
                .with_danger_accept_invalid_certs(true)
                .with_danger_skip_domain_validation(true));
        }
        MySqlSslMode::VerifyCa => false,
        MySqlSslMode::VerifyIdentity => true,
    };
    let roots = match &settings.roots {
        Some(RootCertificates::File(path)) => vec![path.clone().into()],
        Some(RootCertificates::System) | None => {
            let found = rustls_native_certs::load_native_certs();
            found.certs.into_iter().map(|certificate| certificate.to_vec().into()).collect()
        }
    };
    Ok(options
        .with_root_certs(roots)
        .with_disable_built_in_roots(true)
        .with_danger_skip_domain_validation(!verifies_name))
}

/// What the driver's error means while a session begins.
fn refusal(place: Place<'_>, error: mysql_async::Error) -> ConnectError {
    let server = place.server();
    match error {
        mysql_async::Error::Server(error) => {
            ConnectError::Rejected { server, source: Box::new(ServerError::from(&error)) }
        }
        mysql_async::Error::Io(IoError::Tls(error)) => {
            ConnectError::TlsHandshake { server, source: io::Error::other(error) }
        }
        mysql_async::Error::Io(IoError::Io(source)) => io_failure(server, source),
        mysql_async::Error::Driver(DriverError::NoClientSslFlagFromServer) => {
            ConnectError::TlsNotOffered { server }
        }
        mysql_async::Error::Driver(DriverError::NoKeyFound) => ConnectError::TlsMaterial {
            object: "ssl-key".to_owned(),
            source: Box::new(DriverError::NoKeyFound),
        },
        mysql_async::Error::Driver(
            error @ (DriverError::UnknownAuthPlugin { .. }
            | DriverError::MysqlOldPasswordDisabled
            | DriverError::CleartextPluginDisabled),
        ) => ConnectError::Unauthenticated { server, source: Box::new(error) },
        mysql_async::Error::Driver(DriverError::ConnectionClosed) => {
            let source = io::ErrorKind::UnexpectedEof.into();
            ConnectError::Lost { server, source }
        }
        error @ (mysql_async::Error::Driver(_)
        | mysql_async::Error::Other(_)
        | mysql_async::Error::Url(_)) => ConnectError::Protocol { server, source: Box::new(error) },
    }
}

fn io_failure(server: String, source: io::Error) -> ConnectError {
    match source.kind() {
        _ if is_tls_failure(&source) => ConnectError::TlsHandshake { server, source },
        io::ErrorKind::ConnectionRefused
        | io::ErrorKind::NotFound
        | io::ErrorKind::PermissionDenied
        | io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkUnreachable => ConnectError::Unreachable { server, source },
        _ => ConnectError::Lost { server, source },
    }
}
