//! Why a connection string cannot be used. Names the part that is wrong, never quotes the string.

use crate::config::secret::SecretError;
use crate::model::{Code, Disposition, Fault, Halt};

/// A connection string that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// It refers to a secret that cannot be had.
    #[error("replace the references of the connection string")]
    Secret(#[from] SecretError),
    /// It names an engine that dunlin does not move yet.
    #[error("connect to {engine}, an engine that is not supported yet")]
    EngineUnsupported {
        /// The URI's scheme.
        engine: String,
    },
    /// It names an engine that dunlin does not know.
    #[error("read the scheme of the connection URI")]
    SchemeUnknown,
    /// It cannot be taken apart.
    #[error("read the connection string: {problem}")]
    Malformed {
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A parameter is not one of libpq's.
    #[error("read the connection parameter {name}, which does not exist")]
    ParameterUnknown {
        /// Its name.
        name: String,
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
    /// The exposed form that a parent process handed over cannot be read.
    #[error("read the endpoint that the parent process handed over")]
    HandedOver(#[source] serde_json::Error),
}

impl Fault for EndpointError {
    fn disposition(&self) -> Disposition {
        let hint = match self {
            EndpointError::Secret(error) => return error.disposition(),
            EndpointError::EngineUnsupported { .. } | EndpointError::SchemeUnknown => {
                "use postgres://user@host:port/database"
            }
            EndpointError::Malformed { .. } => {
                "write postgres://user@host:port/database, and percent-encode special characters"
            }
            EndpointError::ParameterUnknown { .. }
            | EndpointError::ParameterUnsupported { .. }
            | EndpointError::ValueInvalid { .. }
            | EndpointError::Contradiction { .. } => "correct or remove that parameter",
            EndpointError::ListsDiffer { .. } => {
                "give one port and one address for each host, or one port for all of them"
            }
            EndpointError::UserMissing => "name the user in the URL, or set PGUSER",
            EndpointError::HandedOver(_) => "start both processes from the same dunlin binary",
        };
        Halt::with(Code::UrlInvalid, hint)
    }
}
