//! What can go wrong on a connection of our own, once it is logged in.

use crate::connect::{ConnectError, ServerError};
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
        /// Host and port.
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
        /// Host and port.
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
        /// Host and port.
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
        /// Host and port.
        server: String,
    },
}

impl WireError {
    /// The server's own words, where it answered with an error.
    #[must_use]
    pub fn server(&self) -> Option<&ServerError> {
        match self {
            WireError::Refused { source, .. } => Some(source),
            WireError::Connect(ConnectError::Rejected { source, .. }) => Some(source),
            WireError::Connect(_)
            | WireError::Lost { .. }
            | WireError::Violation { .. }
            | WireError::Unfinished { .. } => None,
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
                "check that the address is a Postgres server's, with no pooler in between",
            ),
        }
    }
}

/// Something that the protocol does not allow.
#[derive(Debug, thiserror::Error)]
pub enum Violation {
    /// A length below the least or above the most there is.
    #[error("a message claims a length of {length} bytes")]
    Length {
        /// The length as sent.
        length: u32,
    },
    /// A message that does not belong here.
    #[error("a message out of turn: {expected} was expected")]
    OutOfTurn {
        /// What would have been right.
        expected: &'static str,
    },
    /// A message whose inside does not fit its form.
    #[error("a message that cannot be read")]
    Malformed(#[source] io::Error),
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
