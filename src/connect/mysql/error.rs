//! What a MySQL or MariaDB server's error means, and how it is told.
//!
//! In: an error of the driver, or an ERR packet. Out: errors that can be printed, and what follows
//! from a server's error number. The texts of some errors quote values, keys or the statement: such
//! parts are left out where the text is taken in, so that no row reaches a log. It does not know
//! what was attempted: the caller says it.

mod dump;

use crate::model::{Code, Disposition, Fault, Halt};
use std::error::Error;
use std::io;

/// An error as the server sent it, less what may hold row data.
#[derive(Clone, Debug, PartialEq, Eq, Default, thiserror::Error)]
#[error("{message} (error {number}, SQLSTATE {state})")]
pub struct ServerError {
    /// The error's number.
    pub number: u16,
    /// The SQLSTATE.
    pub state: String,
    /// The message.
    pub message: String,
}

impl ServerError {
    /// Takes an error in.
    #[must_use]
    pub fn new(number: u16, state: impl Into<String>, message: &str) -> Self {
        ServerError { number, state: state.into(), message: without_values(number, message) }
    }
}

impl From<&mysql_async::ServerError> for ServerError {
    fn from(error: &mysql_async::ServerError) -> Self {
        ServerError::new(error.code, error.state.clone(), &error.message)
    }
}

/// Leaves out what a message quotes of rows or of statements. Source of the texts: the MySQL
/// manual, "Server Error Message Reference".
fn without_values(number: u16, message: &str) -> String {
    let cut = |first: &str, last: &str| {
        let start = message.find(first).unwrap_or(message.len());
        let rest = message.rfind(last).filter(|end| *end >= start);
        format!("{}{}", &message[..start], rest.map_or("", |end| &message[end..]))
    };
    match number {
        // Duplicate entry '…' for key '…'
        1062 | 1586 => cut(" '", " for key "),
        // Incorrect … value: '…' for column …; Invalid … character string: '…'; Truncated
        // incorrect … value: '…'; … value is out of range in '…'; Incorrect … value: '…' for
        // function …
        1292 | 1300 | 1366 | 1367 | 1411 | 1525 => cut(": '", " for "),
        1690 => cut(" in '", "\n"),
        // Foreign key constraint for table '…', record '…' would lead to a duplicate entry …
        1761 | 1762 => cut(", record '", " would lead "),
        // … near '…' at line …
        1064 | 1149 => cut(" near '", " at line "),
        _ => message.to_owned(),
    }
}

impl ServerError {
    /// What follows from the number. Source of the numbers: the MySQL manual, "Server Error Message
    /// Reference"; the MariaDB manual, "MariaDB Error Codes".
    #[must_use]
    pub fn disposition(&self) -> Disposition {
        match self.number {
            // No room for a connection; shut down; the connection ended by the server or by an
            // administrator; the network; a lock that was not to be had; lost against another
            // transaction; a table that changed meanwhile.
            1040
            | 1203
            | 1226
            | 1053
            | 1077
            | 1079
            | 1152
            | 1158..=1161
            | 1184
            | 1205
            | 1206
            | 1213
            | 1317
            | 1412
            | 1614
            | 1615
            | 1637
            | 1927
            | 2006
            | 2013
            | 3058
            | 3169
            | 3572
            | 4031 => Disposition::Retry,
            1021 | 1114 => disk_full(),
            // Error 28 of the system is "no space left on device".
            1030 | 1026 | 3 if self.message.contains("28") => disk_full(),
            1045 | 1130 | 1251 | 1275 | 1698 | 1820 | 1862 | 3118 | 3955 | 4151 => Halt::with(
                Code::AuthFailed,
                "check the user, the password, and the hosts from which the account may log in",
            ),
            1129 => Halt::with(
                Code::AuthFailed,
                "the server refuses this machine after too many failed connections: run FLUSH HOSTS \
                 there (or mariadb-admin flush-hosts)",
            ),
            3159 => Halt::with(Code::TlsFailed, "the server insists on TLS: set ssl-mode=REQUIRED"),
            1049 => Halt::with(Code::DatabaseMissing, "create the database, or name another"),
            1044 | 1095 | 1142 | 1143 | 1227 | 1370 | 1410 | 1419 | 3202 => Halt::with(
                Code::PrivilegeMissing,
                "run `dunlin grants --engine mysql` and execute what it prints",
            ),
            1290 if self.message.contains("read-only") || self.message.contains("read_only") => {
                read_only()
            }
            1792 | 1836 | 1874 => read_only(),
            1062 | 1586 => Halt::with(
                Code::TargetRefused,
                "a row came twice, somebody else wrote to the target, or the target has a unique key \
                 that the source lacks: mend that and run the same command again, or copy anew: \
                 `dunlin complete`, then `dunlin run --truncate-target '*'`",
            ),
            1153 | 1162 | 1301 => too_large(),
            // The latter is MariaDB's where another replica has our number.
            1236 | 4052 => dump::disposition(&self.message),
            1180 => refused_at_commit(),
            // CHECK constraints, of MySQL and of MariaDB, have the SQLSTATE of other errors.
            3819 | 4025 => refused(),
            _ if self.state.starts_with("22") || self.state.starts_with("23") => refused(),
            1048 | 1264 | 1265 | 1292 | 1300 | 1364 | 1366 | 1406 | 1452 | 1526 => refused(),
            _ => {
                Halt::with(Code::StatementFailed, "see the cause; then run the same command again")
            }
        }
    }
}

fn disk_full() -> Disposition {
    Halt::with(
        Code::TargetDiskFull,
        "free or add disk space on that server, then run the same command again",
    )
}

fn read_only() -> Disposition {
    Halt::with(
        Code::TargetReadOnly,
        "name a server that takes writes, or end its read-only mode (read_only, super_read_only)",
    )
}

fn refused() -> Disposition {
    Halt::with(
        Code::TargetRefused,
        "mend the constraint or the row it names, then run the same command again",
    )
}

/// MariaDB looks at the unique keys of rows that it took in bulk when it commits them.
fn refused_at_commit() -> Disposition {
    Halt::with(
        Code::TargetRefused,
        "where that server is MariaDB, a unique key of the target that the source lacks was most likely \
         met, which it does not name: mend it, then run the same command again",
    )
}

fn too_large() -> Disposition {
    Halt::with(
        Code::ValueTooLarge,
        "SET GLOBAL max_allowed_packet = 1073741824 on that server, then run the same command again",
    )
}

/// A server that could not be connected to.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Nobody listens there, or the network does not lead there.
    #[error("connect to {server}")]
    Unreachable {
        /// Host and port, or the socket.
        server: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It did not answer in time.
    #[error("connect to {server} within {timeout_s} seconds")]
    TimedOut {
        /// Host and port, or the socket.
        server: String,
        /// `connect-timeout`.
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
        /// The file, or the setting.
        object: String,
        /// Why.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The server ended the login with an error, or refused the session's settings.
    #[error("log in to {server}")]
    Rejected {
        /// Host and port, or the socket.
        server: String,
        /// Its own words.
        #[source]
        source: Box<ServerError>,
    },
    /// The login cannot be done: a method that is not supported, or one that would show the
    /// password.
    #[error("authenticate with {server}")]
    Unauthenticated {
        /// Host and port, or the socket.
        server: String,
        /// What was wrong.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The connection broke during the login.
    #[error("log in to {server} over a connection that broke")]
    Lost {
        /// Host and port, or the socket.
        server: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The server said something that the protocol does not allow.
    #[error("understand what {server} answers")]
    Protocol {
        /// Host and port, or the socket.
        server: String,
        /// What was wrong.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
}

impl ConnectError {
    /// The server's own words, where it answered with an error.
    #[must_use]
    pub fn server(&self) -> Option<&ServerError> {
        match self {
            ConnectError::Rejected { source, .. } => Some(source),
            ConnectError::Unreachable { .. }
            | ConnectError::TimedOut { .. }
            | ConnectError::HostUnknown { .. }
            | ConnectError::TlsNotOffered { .. }
            | ConnectError::TlsHandshake { .. }
            | ConnectError::TlsMaterial { .. }
            | ConnectError::Unauthenticated { .. }
            | ConnectError::Lost { .. }
            | ConnectError::Protocol { .. } => None,
        }
    }

    /// Whether the next host of the list is worth a try: not after a server that answered refused
    /// the login.
    pub(super) fn host_may_matter(&self) -> bool {
        match self {
            ConnectError::HostUnknown { .. } => true,
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
                "turn TLS on at the server (ssl_cert, ssl_key), or choose ssl-mode=PREFERRED",
            ),
            ConnectError::TlsHandshake { .. } => Halt::with(
                Code::TlsFailed,
                "check ssl-mode, ssl-ca and the names in the server's certificate",
            ),
            ConnectError::TlsMaterial { .. } => Halt::with(
                Code::TlsFailed,
                "check ssl-ca, ssl-cert and ssl-key; ssl-ca=system uses this machine's authorities",
            ),
            ConnectError::Rejected { source, .. } => source.disposition(),
            ConnectError::Unauthenticated { .. } => Halt::with(
                Code::AuthFailed,
                "give the password in the URL, in ~/.my.cnf or in MYSQL_PWD, for an account with \
                 caching_sha2_password, mysql_native_password or ed25519",
            ),
            ConnectError::Protocol { .. } => Halt::with(
                Code::ProtocolViolation,
                "check that the address is a MySQL or MariaDB server's, with no proxy in between",
            ),
        }
    }
}

/// What follows from a driver's error.
#[must_use]
pub fn classify(error: &mysql_async::Error) -> Disposition {
    match error {
        mysql_async::Error::Server(server) => ServerError::from(server).disposition(),
        mysql_async::Error::Io(_)
        | mysql_async::Error::Driver(
            mysql_async::DriverError::ConnectionClosed | mysql_async::DriverError::PoolDisconnected,
        ) => Disposition::Retry,
        mysql_async::Error::Driver(mysql_async::DriverError::PacketTooLarge) => too_large(),
        mysql_async::Error::Driver(_)
        | mysql_async::Error::Other(_)
        | mysql_async::Error::Url(_) => Halt::with(
            Code::StatementFailed,
            "this is a defect of dunlin; please report it with the causes above",
        ),
    }
}

/// A statement that failed: what was attempted, and why it failed.
#[derive(Debug, thiserror::Error)]
#[error("{act}")]
pub struct StatementError {
    act: String,
    disposition: Disposition,
    #[source]
    cause: Cause,
}

/// Why a statement failed, in a form that shows no row.
#[derive(Debug, thiserror::Error)]
enum Cause {
    #[error(transparent)]
    Server(Box<ServerError>),
    #[error(transparent)]
    Driver(Box<mysql_async::Error>),
}

impl StatementError {
    /// Joins the attempted act, such as `read the columns`, with its failure.
    pub fn new(act: impl Into<String>, error: mysql_async::Error) -> Self {
        StatementError {
            act: act.into(),
            disposition: classify(&error),
            cause: match &error {
                mysql_async::Error::Server(server) => Cause::Server(Box::new(server.into())),
                _ => Cause::Driver(Box::new(error)),
            },
        }
    }

    /// The server's own words, where it refused it.
    #[must_use]
    pub fn server(&self) -> Option<&ServerError> {
        match &self.cause {
            Cause::Server(server) => Some(server),
            Cause::Driver(_) => None,
        }
    }

    /// The error's number, where the server refused it.
    #[must_use]
    pub fn number(&self) -> Option<u16> {
        self.server().map(|server| server.number)
    }
}

impl Fault for StatementError {
    fn disposition(&self) -> Disposition {
        self.disposition.clone()
    }
}

/// For `map_err`: what was attempted.
pub fn attempting(act: impl Into<String>) -> impl FnOnce(mysql_async::Error) -> StatementError {
    move |error| StatementError::new(act, error)
}

#[cfg(test)]
mod tests;
