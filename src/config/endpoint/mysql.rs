//! A MySQL or MariaDB endpoint: what it holds and the forms in which it is handed on.
//!
//! In: a `mysql://` or `mariadb://` URI and the environment. Out: hosts in the order in which they
//! are tried, the login, the database, TLS. Its parts are private: holding one proves that it was
//! read as a whole. It is not `Serialize`, so a password cannot end up in a state row or a log by
//! accident.

mod option_file;
mod parameters;

use super::error::EndpointError;
use super::postgres::{Keepalives, RootCertificates};
use crate::config::environment::Environment;
use crate::config::secret::{self, Secret};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// One MySQL or MariaDB server, or several of which one is to be found.
#[derive(Clone, PartialEq, Eq)]
pub struct MySqlEndpoint(Parts);

#[derive(Clone, PartialEq, Eq)]
struct Parts {
    hosts: Vec<MySqlHost>,
    user: String,
    password: Option<Secret>,
    database: Option<String>,
    tls: MySqlTls,
    connect_timeout_s: u64,
    allow_clear_password: bool,
}

/// Where one server listens.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum MySqlHost {
    /// At an address.
    Tcp {
        /// A name or an address in text.
        name: String,
        /// The port.
        port: u16,
    },
    /// At a Unix socket.
    Socket {
        /// The socket's file.
        path: PathBuf,
    },
}

impl fmt::Display for MySqlHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MySqlHost::Tcp { name, port } if name.contains(':') => write!(f, "[{name}]:{port}"),
            MySqlHost::Tcp { name, port } => write!(f, "{name}:{port}"),
            MySqlHost::Socket { path } => path.display().fmt(f),
        }
    }
}

/// How much the connection is protected, in the words of MySQL's `--ssl-mode`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MySqlSslMode {
    /// Never TLS.
    Disabled,
    /// TLS where the server offers it.
    Preferred,
    /// TLS always; the certificate is not looked at.
    Required,
    /// TLS, and the certificate comes from a trusted authority.
    VerifyCa,
    /// The same, and it names the host.
    VerifyIdentity,
}

impl MySqlSslMode {
    /// MySQL's word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            MySqlSslMode::Disabled => "DISABLED",
            MySqlSslMode::Preferred => "PREFERRED",
            MySqlSslMode::Required => "REQUIRED",
            MySqlSslMode::VerifyCa => "VERIFY_CA",
            MySqlSslMode::VerifyIdentity => "VERIFY_IDENTITY",
        }
    }
}

/// Everything about TLS. A Unix socket needs none and has none.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MySqlTls {
    /// How much protection.
    pub mode: MySqlSslMode,
    /// Trusted authorities; always there where the mode verifies.
    pub roots: Option<RootCertificates>,
    /// Our own certificate.
    pub certificate: Option<PathBuf>,
    /// The key of our own certificate; there exactly if the certificate is.
    pub key: Option<PathBuf>,
}

impl MySqlEndpoint {
    /// Reads a URI, after replacing its `${env:NAME}` and `${file:PATH}`; what it leaves open comes
    /// from the option file, the `MYSQL_*` variables and the defaults, in this order.
    ///
    /// # Errors
    ///
    /// [`EndpointError`], which never quotes the string.
    pub fn parse(text: &str, environment: &Environment) -> Result<Self, EndpointError> {
        let resolved = secret::resolve_connection(text.trim(), environment)?;
        Self::parse_resolved(&resolved, environment)
    }

    pub(super) fn parse_resolved(
        text: &str,
        environment: &Environment,
    ) -> Result<Self, EndpointError> {
        parameters::read(text, environment).map(MySqlEndpoint)
    }

    /// The hosts in the order in which they are tried. Never empty.
    #[must_use]
    pub fn hosts(&self) -> &[MySqlHost] {
        &self.0.hosts
    }

    /// The account to log in as.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.0.user
    }

    /// Its password.
    #[must_use]
    pub fn password(&self) -> Option<&Secret> {
        self.0.password.as_ref()
    }

    /// The database that was named: what a migration selects by default. `None` stands for all
    /// that are not the server's own.
    #[must_use]
    pub fn database(&self) -> Option<&str> {
        self.0.database.as_deref()
    }

    /// TLS.
    #[must_use]
    pub fn tls(&self) -> &MySqlTls {
        &self.0.tls
    }

    /// How long one host may take to connect and log in; `None` for ever.
    #[must_use]
    pub fn connect_timeout(&self) -> Option<Duration> {
        (self.0.connect_timeout_s > 0).then(|| Duration::from_secs(self.0.connect_timeout_s))
    }

    /// Whether a server may ask for the password itself (`enable-cleartext-plugin`), which it then
    /// only gets over TLS or a Unix socket.
    #[must_use]
    pub fn allow_clear_password(&self) -> bool {
        self.0.allow_clear_password
    }

    /// TCP keepalives.
    #[must_use]
    pub fn keepalives(&self) -> Keepalives {
        Keepalives { enabled: true, idle_s: 30, interval_s: 10, count: 3 }
    }

    /// This endpoint with one host only: the one that answered. Sessions that share a snapshot
    /// must be on the same server.
    #[must_use]
    pub fn pinned_to(&self, host: usize) -> Self {
        let mut parts = self.0.clone();
        parts.hosts = parts.hosts.into_iter().skip(host).take(1).collect();
        MySqlEndpoint(parts)
    }

    /// The same server and login with another database, or with none.
    #[must_use]
    pub fn with_database(&self, database: Option<&str>) -> Self {
        let mut parts = self.0.clone();
        parts.database = database.map(str::to_owned);
        MySqlEndpoint(parts)
    }

    /// The endpoint as it may be shown and logged: `mysql://user@host:port/database`.
    #[must_use]
    pub fn redacted(&self) -> String {
        let hosts: Vec<String> = self.0.hosts.iter().map(MySqlHost::to_string).collect();
        let database = self.0.database.as_deref().unwrap_or_default();
        format!("mysql://{}@{}/{database}", self.0.user, hosts.join(","))
    }
}

impl fmt::Display for MySqlEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.redacted())
    }
}

impl fmt::Debug for MySqlEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.redacted())
    }
}
