//! A connection of our own, for what mysql_async does value by value or not at all.
//!
//! In: an endpoint. Out: the rows of a statement of the text protocol as they lie in the buffer,
//! and the events of a binlog in batches, of whatever kind and untouched. Login, framing and the
//! order of packets are known here; what a value or an event means is not. Nothing is dropped in
//! silence: packets are numbered, and an exchange that was not read to its end makes the connection
//! unusable, and says so.
//!
//! mysql_async hands out rows as values that are allocated one by one, and events in its own form,
//! without those of MariaDB that it does not know; the packets themselves it keeps to itself.
//!
//! The server's bytes are not trusted: lengths are bounded, order is checked, and what does not
//! fit is a [`Violation`].

mod auth;
mod dump;
mod error;
mod input;
mod login;
mod packet;
mod result;

pub use dump::{DumpFrom, EventBatch, EventReader, Replica};
pub use error::{Violation, WireError};
pub use packet::{Done, ResultColumn, Values};
pub use result::ResultSet;

use super::dial::{Place, dial};
use super::error::ConnectError;
use super::settings;
use super::version::ServerVersion;
use crate::config::endpoint::MySqlEndpoint;
use crate::connect::socket::Socket;
use error::Broken;
use input::{FULL_PACKET_BYTES, Input};
use login::{Greeting, WireLogin};
use packet::{ERR, read_error};
use tokio::io::AsyncWriteExt;

/// The columns of a row in text; `None` is NULL.
pub type TextRow = Vec<Option<String>>;

/// What a packet that begins an exchange asks for. Source: my_command.h of the MySQL sources.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Command {
    Quit = 0x01,
    Query = 0x03,
    Ping = 0x0e,
    BinlogDump = 0x12,
    RegisterReplica = 0x15,
    BinlogDumpGtid = 0x1e,
}

/// A connection that is logged in.
pub struct Wire {
    socket: Socket,
    input: Input,
    server: String,
    endpoint: MySqlEndpoint,
    version: ServerVersion,
    connection_id: u32,
    /// Whether an exchange has begun whose end has not been read.
    unfinished: bool,
}

impl Wire {
    /// Connects to the first host that takes the login, and pins the session's settings. Values
    /// come in the character sets in which they are stored.
    ///
    /// # Errors
    ///
    /// [`ConnectError`], which says whether waiting helps.
    pub async fn connect(endpoint: &MySqlEndpoint) -> Result<Self, ConnectError> {
        let (wire, _) = dial(endpoint, &WireLogin).await?;
        Ok(wire)
    }

    fn new(socket: Socket, input: Input, greeting: &Greeting, place: Place<'_>) -> Self {
        Wire {
            socket,
            input,
            server: place.server(),
            endpoint: place.endpoint.pinned_to(place.index),
            version: greeting.version,
            connection_id: greeting.connection_id,
            unfinished: false,
        }
    }

    async fn pin_settings(mut self) -> Result<Self, ConnectError> {
        let pinned = format!("{}, character_set_results = NULL", settings::pinned(self.version));
        match self.execute(&pinned).await {
            Ok(_) => Ok(self),
            Err(WireError::Connect(error)) => Err(error),
            Err(WireError::Lost { server, source, .. }) => {
                Err(ConnectError::Lost { server, source })
            }
            Err(WireError::Refused { server, source, .. }) => {
                Err(ConnectError::Rejected { server, source })
            }
            Err(WireError::Violation { server, source, .. }) => {
                Err(ConnectError::Protocol { server, source: Box::new(source) })
            }
            Err(error @ WireError::Unfinished { .. }) => {
                Err(ConnectError::Protocol { server: self.server, source: Box::new(error) })
            }
        }
    }

    /// The server's family and version.
    #[must_use]
    pub fn version(&self) -> ServerVersion {
        self.version
    }

    /// The server's number for this connection, as KILL takes it.
    #[must_use]
    pub fn connection_id(&self) -> u32 {
        self.connection_id
    }

    /// The endpoint, pinned to the host that answered.
    #[must_use]
    pub fn endpoint(&self) -> &MySqlEndpoint {
        &self.endpoint
    }

    /// Runs a statement whose rows are then read one by one.
    ///
    /// # Errors
    ///
    /// [`WireError`]. After [`WireError::Refused`] the connection can still be used.
    pub async fn query(&mut self, sql: impl AsRef<[u8]>) -> Result<ResultSet<'_>, WireError> {
        ResultSet::begin(self, sql.as_ref()).await
    }

    /// Runs a statement to its end, and leaves out its rows if it has any.
    ///
    /// # Errors
    ///
    /// [`WireError`]. After [`WireError::Refused`] the connection can still be used.
    pub async fn execute(&mut self, sql: impl AsRef<[u8]>) -> Result<Done, WireError> {
        self.query(sql).await?.finish().await
    }

    /// Runs a statement and returns all its rows. For small results: they are held as a whole, and
    /// bytes that are no UTF-8 are replaced.
    ///
    /// # Errors
    ///
    /// [`WireError`]. After [`WireError::Refused`] the connection can still be used.
    pub async fn rows(&mut self, sql: impl AsRef<[u8]>) -> Result<Vec<TextRow>, WireError> {
        let mut rows = Vec::new();
        let mut result = self.query(sql).await?;
        while let Some(row) = result.next().await? {
            let row: Result<TextRow, Violation> = Values::new(row)
                .map(|value| Ok(value?.map(|value| String::from_utf8_lossy(value).into_owned())))
                .collect();
            match row {
                Ok(row) => rows.push(row),
                Err(violation) => return Err(self.broken("read a row", violation)),
            }
        }
        Ok(rows)
    }

    /// Asks the server for a sign of life.
    ///
    /// # Errors
    ///
    /// [`WireError`].
    pub async fn ping(&mut self) -> Result<(), WireError> {
        const ACT: &str = "ping the server";
        self.command(ACT, Command::Ping, b"").await?;
        self.receive_done(ACT).await.map(drop)
    }

    /// Asks for the binlog, after which the connection carries nothing else.
    ///
    /// # Errors
    ///
    /// [`WireError`]. Where the server does not have what was asked for, the reader says so.
    pub async fn dump(
        self,
        replica: &Replica,
        from: &DumpFrom<'_>,
    ) -> Result<EventReader, WireError> {
        EventReader::begin(self, replica, from).await
    }

    /// Says goodbye. Without it the server notices the end by itself and logs it.
    ///
    /// # Errors
    ///
    /// [`WireError::Lost`].
    pub async fn close(mut self) -> Result<(), WireError> {
        const ACT: &str = "end the session";
        self.unfinished = false;
        self.command(ACT, Command::Quit, b"").await?;
        let closed = self.socket.shutdown().await;
        closed.map_err(|error| self.broken(ACT, Broken::Lost(error)))
    }

    /// Begins an exchange.
    async fn command(
        &mut self,
        act: &'static str,
        command: Command,
        argument: &[u8],
    ) -> Result<(), WireError> {
        if self.unfinished {
            return Err(WireError::Unfinished { act, server: self.server.clone() });
        }
        self.unfinished = true;
        let mut content = Vec::with_capacity(argument.len() + 1);
        content.push(command as u8);
        content.extend_from_slice(argument);
        let mut packets = Vec::with_capacity(content.len() + 8);
        let mut number = 0u8;
        // A full packet is followed by another, if need be by an empty one.
        for start in (0..=content.len()).step_by(FULL_PACKET_BYTES) {
            let part = &content[start..content.len().min(start + FULL_PACKET_BYTES)];
            let [a, b, c, ..] = part.len().to_le_bytes();
            packets.extend_from_slice(&[a, b, c, number]);
            packets.extend_from_slice(part);
            number = number.wrapping_add(1);
        }
        self.input.number = number;
        let sent = async {
            self.socket.write_all(&packets).await?;
            self.socket.flush().await
        };
        sent.await.map_err(|error| self.broken(act, Broken::Lost(error)))
    }

    /// The next packet's content.
    async fn receive(&mut self, act: &'static str) -> Result<&[u8], WireError> {
        let Wire { input, socket, server, .. } = self;
        input.arrive(socket).await.map_err(|broken| broken.during(act, server))?;
        Ok(self.input.arrived())
    }

    /// The server's answer to a command that has no rows.
    async fn receive_done(&mut self, act: &'static str) -> Result<Done, WireError> {
        let content = self.receive(act).await?;
        if content.first() == Some(&ERR) {
            return Err(self.refusal(act));
        }
        let done = Done::read(content);
        let done = done.map_err(|violation| self.broken(act, violation))?;
        self.end_exchange();
        Ok(done)
    }

    /// The server's refusal, which has just arrived and ends the exchange.
    fn refusal(&mut self, act: &'static str) -> WireError {
        self.end_exchange();
        match read_error(self.input.arrived()) {
            Ok(source) => WireError::Refused { act, server: self.server.clone(), source },
            Err(violation) => self.broken(act, violation),
        }
    }

    fn end_exchange(&mut self) {
        self.unfinished = false;
    }

    fn broken(&self, act: &'static str, broken: impl Into<Broken>) -> WireError {
        broken.into().during(act, &self.server)
    }
}

#[cfg(test)]
mod tests;
