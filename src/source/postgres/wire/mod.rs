//! A connection of our own, for what tokio-postgres does not speak or does per row.
//!
//! In: an endpoint. Out: the rows of small queries as text, the contents of a COPY in large
//! buffers, and the messages of a replication stream in batches. Login, framing and the order of
//! messages are known here; what a buffer holds is not. Nothing is dropped in silence: an exchange
//! that was not read to its end makes the connection unusable, and says so.
//!
//! The server's bytes are not trusted: lengths are bounded, order is checked, and what does not
//! fit is a [`Violation`].

mod copy_out;
mod error;
mod input;
mod login;
mod replication;

pub use copy_out::CopyOut;
pub use error::{Violation, WireError};
pub use input::FrameBatch;
pub use replication::{Replication, ReplicationReader, ReplicationWriter};

use crate::config::endpoint::PostgresEndpoint;
use crate::connect::ServerError;
use crate::connect::dial::dial;
use crate::connect::error::ConnectError;
use crate::connect::socket::Socket;
use bytes::BytesMut;
use error::Broken;
use input::Input;
use login::WireLogin;
use postgres_protocol::message::backend::{
    DataRowBody, ErrorResponseBody, Message, ParameterStatusBody,
};
use postgres_protocol::message::frontend;
use std::collections::BTreeMap;
use std::io;
use tokio::io::AsyncWriteExt;
use tokio_postgres::fallible_iterator::FallibleIterator;
use tracing::debug;

/// The columns of a row in text; `None` is NULL.
pub type TextRow = Vec<Option<String>>;

/// What a connection is for.
#[derive(Clone, Debug)]
pub struct WireOptions {
    /// Shown in `pg_stat_activity`.
    pub application_name: String,
    /// Whether replication commands are understood (`replication=database`).
    pub replication: bool,
}

/// A connection that is logged in.
pub struct Wire {
    socket: Socket,
    input: Input,
    server: String,
    endpoint: PostgresEndpoint,
    parameters: BTreeMap<String, String>,
    process_id: i32,
    server_version_num: u32,
    /// Whether an exchange has begun whose end has not been read.
    unfinished: bool,
}

impl Wire {
    /// Connects and logs in, with the same settings pinned as `connect::postgres` pins.
    ///
    /// # Errors
    ///
    /// [`ConnectError`], which says whether waiting helps.
    pub async fn connect(
        endpoint: &PostgresEndpoint,
        options: &WireOptions,
    ) -> Result<Self, ConnectError> {
        let (wire, _) = dial(endpoint, &WireLogin { options }).await?;
        Ok(wire)
    }

    /// The server's version as `server_version_num` has it.
    #[must_use]
    pub fn server_version_num(&self) -> u32 {
        self.server_version_num
    }

    /// A setting that the server reports by itself, such as `server_encoding`.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).map(String::as_str)
    }

    /// The server's process for this connection.
    #[must_use]
    pub fn process_id(&self) -> i32 {
        self.process_id
    }

    /// The endpoint, pinned to the host that answered.
    #[must_use]
    pub fn endpoint(&self) -> &PostgresEndpoint {
        &self.endpoint
    }

    /// Runs statements and returns all their rows. For small results: they are held as a whole.
    ///
    /// # Errors
    ///
    /// [`WireError`]. After [`WireError::Refused`] the connection can still be used.
    pub async fn simple_query(&mut self, sql: &str) -> Result<Vec<TextRow>, WireError> {
        const ACT: &str = "run a statement";
        self.send_query(ACT, sql).await?;
        let mut rows = Vec::new();
        loop {
            match self.receive(ACT).await? {
                Message::DataRow(body) => {
                    let row = read_row(&body).map_err(|error| self.broken(ACT, error.into()))?;
                    rows.push(row);
                }
                Message::RowDescription(_)
                | Message::CommandComplete(_)
                | Message::EmptyQueryResponse => {}
                Message::ErrorResponse(body) => return Err(self.refusal(ACT, &body).await),
                Message::ReadyForQuery(_) => {
                    self.unfinished = false;
                    return Ok(rows);
                }
                _ => return Err(self.out_of_turn(ACT, "a row or the end of the statement")),
            }
        }
    }

    /// Runs `COPY … TO STDOUT`, whose contents are then read in large buffers.
    ///
    /// # Errors
    ///
    /// [`WireError`]. After [`WireError::Refused`] the connection can still be used.
    pub async fn copy_out(&mut self, sql: &str) -> Result<CopyOut<'_>, WireError> {
        CopyOut::begin(self, sql).await
    }

    /// Runs `START_REPLICATION`, after which the connection carries nothing else.
    ///
    /// # Errors
    ///
    /// [`WireError`].
    pub async fn start_replication(self, sql: &str) -> Result<Replication, WireError> {
        Replication::begin(self, sql).await
    }

    /// Says goodbye. Without it the server notices the end by itself and logs it.
    ///
    /// # Errors
    ///
    /// [`WireError::Lost`].
    pub async fn close(mut self) -> Result<(), WireError> {
        const ACT: &str = "end the session";
        let mut message = BytesMut::new();
        frontend::terminate(&mut message);
        self.send(ACT, &message).await?;
        let closed = self.socket.shutdown().await;
        closed.map_err(|error| self.broken(ACT, Broken::Lost(error)))
    }

    async fn send_query(&mut self, act: &'static str, sql: &str) -> Result<(), WireError> {
        if self.unfinished {
            return Err(WireError::Unfinished { act, server: self.server.clone() });
        }
        let mut message = BytesMut::new();
        frontend::query(sql, &mut message)
            .map_err(|error| self.broken(act, Violation::Malformed(error).into()))?;
        self.unfinished = true;
        self.send(act, &message).await
    }

    async fn send(&mut self, act: &'static str, message: &[u8]) -> Result<(), WireError> {
        let sent = async {
            self.socket.write_all(message).await?;
            self.socket.flush().await
        };
        sent.await.map_err(|error| self.broken(act, Broken::Lost(error)))
    }

    /// The next message that belongs to the exchange; what a server may send at any moment is
    /// dealt with here.
    async fn receive(&mut self, act: &'static str) -> Result<Message, WireError> {
        loop {
            let received = self.input.message(&mut self.socket).await;
            match received.map_err(|broken| self.broken(act, broken))? {
                Message::NoticeResponse(body) => log_notice(ServerError::read(&mut body.fields())),
                Message::ParameterStatus(body) => self.keep_parameter(&body),
                Message::NotificationResponse(_) => {}
                message => return Ok(message),
            }
        }
    }

    fn keep_parameter(&mut self, body: &ParameterStatusBody) {
        if let (Ok(name), Ok(value)) = (body.name(), body.value()) {
            self.parameters.insert(name.to_owned(), value.to_owned());
        }
    }

    /// The server's refusal, after reading on to where the next statement may begin. A fatal error
    /// has nothing behind it.
    async fn refusal(&mut self, act: &'static str, body: &ErrorResponseBody) -> WireError {
        let source = match read_error(body) {
            Ok(source) => source,
            Err(violation) => return self.broken(act, violation.into()),
        };
        let more_comes = source.severity == "ERROR";
        let refusal = WireError::Refused { act, server: self.server.clone(), source };
        if more_comes {
            self.read_to_end(act).await;
        }
        refusal
    }

    /// Reads on to where the next statement may begin. Where that fails the exchange stays
    /// unfinished, which the next statement reports.
    async fn read_to_end(&mut self, act: &'static str) {
        while let Ok(message) = self.receive(act).await {
            if let Message::ReadyForQuery(_) = message {
                self.unfinished = false;
                return;
            }
        }
    }

    fn out_of_turn(&self, act: &'static str, expected: &'static str) -> WireError {
        self.broken(act, Violation::OutOfTurn { expected }.into())
    }

    fn broken(&self, act: &'static str, broken: Broken) -> WireError {
        broken.during(act, &self.server)
    }
}

fn read_error(body: &ErrorResponseBody) -> Result<Box<ServerError>, Violation> {
    ServerError::read(&mut body.fields()).map(Box::new).map_err(Violation::Malformed)
}

fn log_notice(notice: io::Result<ServerError>) {
    if let Ok(notice) = notice {
        debug!(%notice, "server notice");
    }
}

fn read_row(body: &DataRowBody) -> Result<TextRow, Violation> {
    let malformed = |error| Violation::Malformed(error);
    let mut row = TextRow::new();
    let mut ranges = body.ranges();
    while let Some(range) = ranges.next().map_err(malformed)? {
        let value = match range {
            None => None,
            Some(range) => {
                let bytes = body.buffer().get(range).unwrap_or_default();
                let text = String::from_utf8(bytes.to_vec());
                Some(text.map_err(|error| malformed(io::Error::other(error.utf8_error())))?)
            }
        };
        row.push(value);
    }
    Ok(row)
}

#[cfg(test)]
mod tests;
