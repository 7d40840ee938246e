//! Why there is no connection, and whether waiting helps.
//!
//! Every variant names the server it was about. What the server said, or the system, is the cause.

use super::server_error::ServerError;
use crate::model::{Code, Disposition, Fault, Halt};
use std::error::Error;
use std::io;

/// A server that could not be connected to.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Nobody listens there, or the network does not lead there.
    #[error("connect to {server}")]
    Unreachable {
        /// Host and port.
        server: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It did not answer in time.
    #[error("connect to {server} within {timeout_s} seconds")]
    TimedOut {
        /// Host and port.
        server: String,
        /// `connect_timeout`.
        timeout_s: u64,
    },
    /// The name does not resolve.
    #[error("look up the address of {server}")]
    HostUnknown {
        /// Host and port.
        server: String,
        /// What the resolver said.
        #[source]
        source: io::Error,
    },
    /// The server does not speak TLS, and the settings insist on it.
    #[error("begin TLS with {server}, which does not offer it")]
    TlsNotOffered {
        /// Host and port.
        server: String,
    },
    /// The TLS handshake failed: an unknown authority, another name, a refused certificate.
    #[error("establish TLS with {server}")]
    TlsHandshake {
        /// Host and port.
        server: String,
        /// What was wrong.
        #[source]
        source: io::Error,
    },
    /// A certificate or key file cannot be used.
    #[error("prepare TLS: {object}")]
    TlsMaterial {
        /// The file, or the setting that is missing.
        object: String,
        /// Why.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The server ended the login with an error.
    #[error("log in to {server}")]
    Rejected {
        /// Host and port.
        server: String,
        /// Its own words.
        #[source]
        source: Box<ServerError>,
    },
    /// The login cannot be done: no password, a method that is not supported, a server that does
    /// not prove that it knows the password.
    #[error("authenticate with {server}")]
    Unauthenticated {
        /// Host and port.
        server: String,
        /// What was wrong.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The connection broke during the login.
    #[error("log in to {server} over a connection that broke")]
    Lost {
        /// Host and port.
        server: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The server said something that the protocol does not allow.
    #[error("understand what {server} answers")]
    Protocol {
        /// Host and port.
        server: String,
        /// What was wrong.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The server is there, but it is not of the wanted kind.
    #[error("find a server that is {wanted}; {server} is not")]
    OtherRole {
        /// Host and port of the last one looked at.
        server: String,
        /// `target_session_attrs`.
        wanted: &'static str,
    },
}

impl ConnectError {
    /// Whether the login over another kind of channel, plain or TLS, may do better: a handshake
    /// that failed, or `pg_hba.conf` having no line for this kind.
    pub(super) fn channel_may_matter(&self) -> bool {
        match self {
            ConnectError::TlsHandshake { .. } => true,
            ConnectError::Rejected { source, .. } => source.code == "28000",
            ConnectError::Unreachable { .. }
            | ConnectError::TimedOut { .. }
            | ConnectError::HostUnknown { .. }
            | ConnectError::TlsNotOffered { .. }
            | ConnectError::TlsMaterial { .. }
            | ConnectError::Unauthenticated { .. }
            | ConnectError::Lost { .. }
            | ConnectError::Protocol { .. }
            | ConnectError::OtherRole { .. } => false,
        }
    }

    /// Whether the next host of the list is worth a try. As libpq has it: not after a server that
    /// answered refused the login.
    pub(super) fn host_may_matter(&self) -> bool {
        match self {
            ConnectError::HostUnknown { .. } | ConnectError::OtherRole { .. } => true,
            other => other.disposition() == Disposition::Retry,
        }
    }
}

impl Fault for ConnectError {
    fn disposition(&self) -> Disposition {
        match self {
            ConnectError::Unreachable { .. }
            | ConnectError::TimedOut { .. }
            | ConnectError::Lost { .. } => Disposition::Retry,
            ConnectError::HostUnknown { .. } => Halt::with(
                Code::HostUnknown,
                "check the host's name in the URL and the resolver of this machine",
            ),
            ConnectError::TlsNotOffered { .. } => Halt::with(
                Code::TlsFailed,
                "turn TLS on at the server (ssl = on), or choose sslmode=prefer",
            ),
            ConnectError::TlsHandshake { .. } => Halt::with(
                Code::TlsFailed,
                "check sslmode, sslrootcert and the names in the server's certificate",
            ),
            ConnectError::TlsMaterial { .. } => Halt::with(
                Code::TlsFailed,
                "check sslrootcert, sslcert and sslkey; sslrootcert=system uses this machine's",
            ),
            ConnectError::Rejected { source, .. } => source.disposition(),
            ConnectError::Unauthenticated { .. } => Halt::with(
                Code::AuthFailed,
                "give the password in the URL, in PGPASSWORD or in ~/.pgpass",
            ),
            ConnectError::Protocol { .. } => Halt::with(
                Code::ProtocolViolation,
                "check that the address is a Postgres server's, with no pooler in between",
            ),
            ConnectError::OtherRole { .. } => {
                Halt::with(Code::ConnectFailed, "check target_session_attrs and the list of hosts")
            }
        }
    }
}
