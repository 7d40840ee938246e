//! What can go wrong on a connection of our own, once it is logged in.

use crate::connect::mysql::error::{ConnectError, ServerError};
use crate::model::{Code, Disposition, Fault, Halt};
use std::io;

/// A connection that did not do what it was asked. The caller knows, and says, what for.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// There was no connection to begin with.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The connection broke.
    #[error("{act} with {server} over a connection that broke")]
    Lost {
        /// What was under way.
        act: &'static str,
        /// Host and port, or the socket.
        server: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The server answered with an error.
    #[error("{act} with {server}")]
    Refused {
        /// What was under way.
        act: &'static str,
        /// Host and port, or the socket.
        server: String,
        /// Its own words.
        #[source]
        source: Box<ServerError>,
    },
    /// The server sent what the protocol does not allow here.
    #[error("{act} with {server}")]
    Violation {
        /// What was under way.
        act: &'static str,
        /// Host and port, or the socket.
        server: String,
        /// What it was.
        #[source]
        source: Violation,
    },
    /// An earlier exchange on this connection was not read to its end.
    #[error("{act} with {server} while another exchange is unfinished")]
    Unfinished {
        /// What was asked.
        act: &'static str,
        /// Host and port, or the socket.
        server: String,
    },
}

impl WireError {
    /// The server's own words, where it answered with an error.
    #[must_use]
    pub fn server(&self) -> Option<&ServerError> {
        match self {
            WireError::Refused { source, .. } => Some(source),
            WireError::Connect(error) => error.server(),
            WireError::Lost { .. } | WireError::Violation { .. } | WireError::Unfinished { .. } => {
                None
            }
        }
    }
}

impl Fault for WireError {
    fn disposition(&self) -> Disposition {
        match self {
            WireError::Connect(error) => error.disposition(),
            WireError::Lost { .. } | WireError::Unfinished { .. } => Disposition::Retry,
            WireError::Refused { source, .. } => source.disposition(),
            WireError::Violation { .. } => Halt::with(
                Code::ProtocolViolation,
                "check that the address is a MySQL or MariaDB server's, with no proxy in between",
            ),
        }
    }
}

/// Something that the protocol does not allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// A packet that is larger than any may be.
    #[error("a packet of more than {most_bytes} bytes")]
    TooLong {
        /// The most there may be.
        most_bytes: usize,
    },
    /// A packet whose number does not follow the one before it: something is lost.
    #[error("a packet numbered {got} where {expected} was due")]
    Number {
        /// Its number.
        got: u8,
        /// The one that was due.
        expected: u8,
    },
    /// A packet that does not belong here.
    #[error("a packet out of turn: {expected} was expected")]
    OutOfTurn {
        /// What would have been right.
        expected: &'static str,
    },
    /// A packet whose inside does not fit its form.
    #[error("a packet that cannot be read: {object}")]
    Malformed {
        /// The part that does not fit.
        object: &'static str,
    },
}

/// Why reading stopped, before it is known on whose behalf it was done.
#[derive(Debug)]
pub(super) enum Broken {
    Lost(io::Error),
    Violation(Violation),
}

impl From<Violation> for Broken {
    fn from(violation: Violation) -> Self {
        Broken::Violation(violation)
    }
}

impl Broken {
    pub(super) fn during(self, act: &'static str, server: &str) -> WireError {
        let server = server.to_owned();
        match self {
            Broken::Lost(source) => WireError::Lost { act, server, source },
            Broken::Violation(source) => WireError::Violation { act, server, source },
        }
    }
}
