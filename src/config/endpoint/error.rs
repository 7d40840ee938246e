//! Why a connection string cannot be used. Names the part that is wrong, never quotes the string.

use crate::config::secret::SecretError;
use crate::model::{Code, Disposition, Fault, Halt};

/// A connection string that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// It refers to a secret that cannot be had.
    #[error("replace the references of the connection string")]
    Secret(#[from] SecretError),
    /// It names an engine that dunlin does not know.
    #[error("read the scheme of the connection URI")]
    SchemeUnknown,
    /// It cannot be taken apart.
    #[error("read the connection string: {problem}")]
    Malformed {
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A parameter is not one of the engine's.
    #[error("read the connection parameter {name}, which does not exist")]
    ParameterUnknown {
        /// Its name.
        name: String,
        /// Those there are.
        known: String,
    },
    /// A parameter is another driver's word for one that there is.
    #[error("read the connection parameter {name}, which is another driver's word for {meant}")]
    ParameterForeign {
        /// Its name.
        name: String,
        /// What it is called here.
        meant: &'static str,
    },
    /// A parameter is libpq's, but dunlin cannot honour it.
    #[error("honour the connection parameter {name}, which dunlin does not support")]
    ParameterUnsupported {
        /// Its name.
        name: String,
    },
    /// A parameter's value is not one of those it may have.
    #[error("read the value of the connection parameter {name}: expected {expected}")]
    ValueInvalid {
        /// The parameter.
        name: &'static str,
        /// What it may be.
        expected: &'static str,
    },
    /// The lists of hosts, addresses and ports differ in length.
    #[error("match {count} {what} to {hosts} hosts")]
    ListsDiffer {
        /// Which list.
        what: &'static str,
        /// Its length.
        count: usize,
        /// How many hosts there are.
        hosts: usize,
    },
    /// No user is named anywhere.
    #[error("find the user to log in as")]
    UserMissing,
    /// Two parameters contradict each other.
    #[error("combine {first} with {second}")]
    Contradiction {
        /// One of them.
        first: &'static str,
        /// The other.
        second: &'static str,
    },
    /// An option file cannot be read.
    #[error("read the option file {path}")]
    OptionFile {
        /// Its path.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A line of an option file cannot be understood. It is not quoted: a password may be in it.
    #[error("read line {line} of the option file {path}: {problem}")]
    OptionLine {
        /// The file.
        path: String,
        /// Its number, from 1.
        line: usize,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The exposed form that a parent process handed over cannot be read.
    #[error("read the endpoint that the parent process handed over")]
    HandedOver(#[source] serde_json::Error),
}

impl Fault for EndpointError {
    fn disposition(&self) -> Disposition {
        let hint = match self {
            EndpointError::Secret(error) => return error.disposition(),
            EndpointError::ParameterUnknown { known, .. } => {
                let hint = format!("correct or remove it; there are {known}");
                return Halt::with(Code::UrlInvalid, hint);
            }
            EndpointError::ParameterForeign { meant, .. } => {
                let hint = format!("write {meant} in its place, or remove it");
                return Halt::with(Code::UrlInvalid, hint);
            }
            EndpointError::SchemeUnknown => {
                "use postgres://, mysql:// or mariadb://user@host:port/database"
            }
            EndpointError::Malformed { .. } => {
                "write postgres:// or mysql://user@host:port/database, and percent-encode special \
                 characters"
            }
            EndpointError::OptionFile { .. } => {
                "make it readable for the user that runs dunlin, or name another by defaults-file"
            }
            EndpointError::OptionLine { .. } => "correct or remove that line",
            EndpointError::ParameterUnsupported { .. }
            | EndpointError::ValueInvalid { .. }
            | EndpointError::Contradiction { .. } => "correct or remove that parameter",
            EndpointError::ListsDiffer { .. } => {
                "give one port and one address for each host, or one port for all of them"
            }
            EndpointError::UserMissing => {
                "name the user in the URL, or set PGUSER (Postgres) or user in ~/.my.cnf (MySQL)"
            }
            EndpointError::HandedOver(_) => "start both processes from the same dunlin binary",
        };
        Halt::with(Code::UrlInvalid, hint)
    }
}
