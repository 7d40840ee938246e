//! A Postgres endpoint: what it holds and the forms in which it is handed on.
//!
//! In: a libpq URI or keyword string and the environment. Out: hosts in the order in which they
//! are tried, each with its password; the login; TLS. Its parts are private: holding one proves
//! that it was read as a whole. It is not `Serialize`, so a password cannot end up in a state row
//! or a log by accident.

use super::error::EndpointError;
use super::parameters;
use crate::config::environment::Environment;
use crate::config::secret::{self, Secret};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

/// One Postgres server, or several of which one is to be found.
#[derive(Clone, PartialEq, Eq)]
pub struct PostgresEndpoint(Parts);

/// The form that may be serialised, which only this file can do.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Parts {
    pub(super) hosts: Vec<Host>,
    /// One for each host: a password file may hold several.
    #[serde(with = "exposed")]
    pub(super) passwords: Vec<Option<Secret>>,
    pub(super) user: String,
    pub(super) database: String,
    pub(super) tls: TlsSettings,
    pub(super) channel_binding: ChannelBinding,
    pub(super) connect_timeout_s: u64,
    pub(super) options: Option<String>,
    pub(super) keepalives: Keepalives,
    pub(super) session_role: SessionRole,
}

/// Where one server listens.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Host {
    /// A name, an address in text, or the folder of a Unix socket (starts with `/` or `@`).
    pub name: String,
    /// The address to use instead of looking the name up (`hostaddr`).
    pub address: Option<IpAddr>,
    /// The port, which is also a part of the Unix socket's file name.
    pub port: u16,
}

impl Host {
    /// Whether it is reached over a Unix socket.
    #[must_use]
    pub fn is_unix_socket(&self) -> bool {
        self.address.is_none() && self.name.starts_with(['/', '@'])
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name.contains(':') {
            true => write!(f, "[{}]:{}", self.name, self.port),
            false => write!(f, "{}:{}", self.name, self.port),
        }
    }
}

/// How much the connection is protected, in libpq's words.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum SslMode {
    /// Never TLS.
    Disable,
    /// TLS only where the server insists.
    Allow,
    /// TLS where the server offers it.
    Prefer,
    /// TLS always; the certificate is not looked at.
    Require,
    /// TLS, and the certificate comes from a trusted authority.
    VerifyCa,
    /// The same, and it names the host.
    VerifyFull,
}

impl SslMode {
    /// libpq's word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            SslMode::Disable => "disable",
            SslMode::Allow => "allow",
            SslMode::Prefer => "prefer",
            SslMode::Require => "require",
            SslMode::VerifyCa => "verify-ca",
            SslMode::VerifyFull => "verify-full",
        }
    }
}

/// Who is trusted to sign the server's certificate.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum RootCertificates {
    /// The authorities of this machine.
    System,
    /// Those in a PEM file.
    File(PathBuf),
}

/// How TLS begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum SslNegotiation {
    /// By asking the server first.
    Postgres,
    /// At once; servers understand it from 17.
    Direct,
}

/// Everything about TLS.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TlsSettings {
    /// How much protection.
    pub mode: SslMode,
    /// How it begins.
    pub negotiation: SslNegotiation,
    /// Trusted authorities; `None` where no file was named and none is at the usual place.
    pub roots: Option<RootCertificates>,
    /// Our own certificate.
    pub certificate: Option<PathBuf>,
    /// The key of our own certificate.
    pub key: Option<PathBuf>,
    /// Whether the host's name is sent to the server in the clear (`sslsni`).
    pub server_name_indication: bool,
}

/// Whether the login must be bound to the TLS channel.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum ChannelBinding {
    /// Never.
    Disable,
    /// Where both sides can.
    Prefer,
    /// Or there is no login.
    Require,
}

impl ChannelBinding {
    /// libpq's word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            ChannelBinding::Disable => "disable",
            ChannelBinding::Prefer => "prefer",
            ChannelBinding::Require => "require",
        }
    }
}

/// Which of several servers is wanted (`target_session_attrs`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum SessionRole {
    /// The first that answers.
    Any,
    /// One that takes writes.
    ReadWrite,
    /// One that takes none.
    ReadOnly,
    /// One that is not in recovery.
    Primary,
    /// One that is in recovery.
    Standby,
    /// One in recovery, else any.
    PreferStandby,
}

impl SessionRole {
    /// libpq's word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            SessionRole::Any => "any",
            SessionRole::ReadWrite => "read-write",
            SessionRole::ReadOnly => "read-only",
            SessionRole::Primary => "primary",
            SessionRole::Standby => "standby",
            SessionRole::PreferStandby => "prefer-standby",
        }
    }
}

/// Probes on an idle TCP connection, so that a dead peer is noticed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Keepalives {
    /// Whether there are any.
    pub enabled: bool,
    /// Idle time before the first probe, in seconds.
    pub idle_s: u64,
    /// Time between probes, in seconds.
    pub interval_s: u64,
    /// Unanswered probes after which the peer counts as dead.
    pub count: u32,
}

/// The variables by which libpq's programs take connection settings. A child that is to use an
/// endpoint loses all of them first and then gets [`PostgresEndpoint::libpq_variables`].
pub const LIBPQ_VARIABLES: &[&str] = &[
    "PGHOST",
    "PGHOSTADDR",
    "PGPORT",
    "PGDATABASE",
    "PGUSER",
    "PGPASSWORD",
    "PGPASSFILE",
    "PGREQUIREAUTH",
    "PGCHANNELBINDING",
    "PGSERVICE",
    "PGSERVICEFILE",
    "PGOPTIONS",
    "PGAPPNAME",
    "PGSSLMODE",
    "PGREQUIRESSL",
    "PGSSLNEGOTIATION",
    "PGSSLCOMPRESSION",
    "PGSSLCERT",
    "PGSSLKEY",
    "PGSSLCERTMODE",
    "PGSSLROOTCERT",
    "PGSSLCRL",
    "PGSSLCRLDIR",
    "PGSSLSNI",
    "PGREQUIREPEER",
    "PGSSLMINPROTOCOLVERSION",
    "PGSSLMAXPROTOCOLVERSION",
    "PGGSSENCMODE",
    "PGKRBSRVNAME",
    "PGGSSLIB",
    "PGGSSDELEGATION",
    "PGCONNECT_TIMEOUT",
    "PGCLIENTENCODING",
    "PGTARGETSESSIONATTRS",
    "PGLOADBALANCEHOSTS",
    "PGDATESTYLE",
    "PGTZ",
    "PGGEQO",
];

impl PostgresEndpoint {
    /// Reads a libpq URI or keyword string, after replacing its `${env:NAME}` and `${file:PATH}`;
    /// what it leaves open comes from the `PG*` variables, the password file and libpq's defaults.
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
        parameters::read(text, environment).map(PostgresEndpoint)
    }

    /// The hosts in the order in which they are tried. Never empty.
    #[must_use]
    pub fn hosts(&self) -> &[Host] {
        &self.0.hosts
    }

    /// The password for one of the hosts.
    #[must_use]
    pub fn password(&self, host: usize) -> Option<&Secret> {
        self.0.passwords.get(host).and_then(Option::as_ref)
    }

    /// The role to log in as.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.0.user
    }

    /// The database.
    #[must_use]
    pub fn database(&self) -> &str {
        &self.0.database
    }

    /// TLS.
    #[must_use]
    pub fn tls(&self) -> &TlsSettings {
        &self.0.tls
    }

    /// Whether the login must be bound to the TLS channel.
    #[must_use]
    pub fn channel_binding(&self) -> ChannelBinding {
        self.0.channel_binding
    }

    /// How long one host may take to connect and log in; `None` for ever.
    #[must_use]
    pub fn connect_timeout(&self) -> Option<Duration> {
        (self.0.connect_timeout_s > 0).then(|| Duration::from_secs(self.0.connect_timeout_s))
    }

    /// The operator's own start-up options.
    #[must_use]
    pub fn options(&self) -> Option<&str> {
        self.0.options.as_deref()
    }

    /// TCP keepalives.
    #[must_use]
    pub fn keepalives(&self) -> Keepalives {
        self.0.keepalives
    }

    /// Which of several servers is wanted.
    #[must_use]
    pub fn session_role(&self) -> SessionRole {
        self.0.session_role
    }

    /// This endpoint with one host only: the one that answered. Sessions that share a snapshot
    /// must be on the same server.
    #[must_use]
    pub fn pinned_to(&self, host: usize) -> Self {
        let mut parts = self.0.clone();
        parts.hosts = parts.hosts.into_iter().skip(host).take(1).collect();
        parts.passwords = parts.passwords.into_iter().skip(host).take(1).collect();
        PostgresEndpoint(parts)
    }

    /// The same server and login with another database.
    #[must_use]
    pub fn with_database(&self, database: impl Into<String>) -> Self {
        let mut parts = self.0.clone();
        parts.database = database.into();
        PostgresEndpoint(parts)
    }

    /// The endpoint as it may be shown and logged: `postgres://user@host:port/database`.
    #[must_use]
    pub fn redacted(&self) -> String {
        let hosts: Vec<String> = self.0.hosts.iter().map(Host::to_string).collect();
        format!("postgres://{}@{}/{}", self.0.user, hosts.join(","), self.0.database)
    }

    /// The whole endpoint, password included, for a child's standard input and for nothing else.
    ///
    /// # Errors
    ///
    /// [`EndpointError::HandedOver`] where a path in it is not UTF-8.
    pub fn to_exposed_json(&self) -> Result<String, EndpointError> {
        serde_json::to_string(&self.0).map_err(EndpointError::HandedOver)
    }

    /// Reads what [`Self::to_exposed_json`] wrote.
    ///
    /// # Errors
    ///
    /// [`EndpointError::HandedOver`] where it is of another version.
    pub fn from_exposed_json(json: &str) -> Result<Self, EndpointError> {
        serde_json::from_str(json).map(PostgresEndpoint).map_err(EndpointError::HandedOver)
    }

    /// The same connection as variables for one of libpq's programs, secret included. The password
    /// is the first host's: pin the endpoint first where hosts differ in it.
    #[must_use]
    pub fn libpq_variables(&self) -> Vec<(&'static str, Secret)> {
        let parts = &self.0;
        let list = |field: fn(&Host) -> String| {
            let all: Vec<String> = parts.hosts.iter().map(field).collect();
            all.join(",")
        };
        let path = |path: &PathBuf| path.display().to_string();
        let roots = parts.tls.roots.as_ref().map(|roots| match roots {
            RootCertificates::System => "system".to_owned(),
            RootCertificates::File(file) => path(file),
        });
        let address = |host: &Host| host.address.map(|ip| ip.to_string()).unwrap_or_default();
        let addresses = parts.hosts.iter().any(|host| host.address.is_some());
        let direct = parts.tls.negotiation == SslNegotiation::Direct;
        [
            ("PGHOST", Some(list(|host| host.name.clone()))),
            ("PGHOSTADDR", addresses.then(|| list(address))),
            ("PGPORT", Some(list(|host| host.port.to_string()))),
            ("PGUSER", Some(parts.user.clone())),
            ("PGDATABASE", Some(parts.database.clone())),
            ("PGPASSWORD", self.password(0).map(|password| password.expose().to_owned())),
            ("PGSSLMODE", Some(parts.tls.mode.as_str().to_owned())),
            ("PGSSLNEGOTIATION", direct.then(|| "direct".to_owned())),
            ("PGSSLROOTCERT", roots),
            ("PGSSLCERT", parts.tls.certificate.as_ref().map(path)),
            ("PGSSLKEY", parts.tls.key.as_ref().map(path)),
            ("PGSSLSNI", Some(u8::from(parts.tls.server_name_indication).to_string())),
            ("PGCHANNELBINDING", Some(parts.channel_binding.as_str().to_owned())),
            ("PGCONNECT_TIMEOUT", Some(parts.connect_timeout_s.to_string())),
            ("PGOPTIONS", parts.options.clone()),
            ("PGTARGETSESSIONATTRS", Some(parts.session_role.as_str().to_owned())),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, Secret::new(value?))))
        .collect()
    }
}

impl fmt::Display for PostgresEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.redacted())
    }
}

impl fmt::Debug for PostgresEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.redacted())
    }
}

mod exposed {
    use crate::config::secret::Secret;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(
        passwords: &[Option<Secret>],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(passwords.iter().map(|one| one.as_ref().map(Secret::expose)))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<Option<Secret>>, D::Error> {
        let texts = Vec::<Option<String>>::deserialize(deserializer)?;
        Ok(texts.into_iter().map(|text| text.map(Secret::new)).collect())
    }
}
