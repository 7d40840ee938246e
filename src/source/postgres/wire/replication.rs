//! A replication stream: messages in, status out, both at once (CopyBoth).
//!
//! In: a connection on which `START_REPLICATION` is to run. Out: batches of `CopyData` messages as
//! they came, and a way to answer the server that does not wait for reading. Reading and writing
//! may both be dropped while they wait and called again: what was read stays, and what was
//! written in part is finished first. What the messages say is the decoder's business.

use super::error::{Broken, Violation, WireError};
use super::input::{FrameBatch, Input};
use super::{Wire, log_notice, read_error};
use crate::connect::ServerError;
use crate::connect::socket::Socket;
use bytes::BytesMut;
use postgres_protocol::message::backend::{COPY_DATA_TAG, Message};
use postgres_protocol::message::frontend::{self, CopyData};
use tokio::io::{AsyncWriteExt, ReadHalf, WriteHalf};

const START: &str = "start replication";
const READ: &str = "read the replication stream";
const WRITE: &str = "answer the replication stream";

/// `CopyBothResponse`, which the library does not know, since only replication has it.
const COPY_BOTH_TAG: u8 = b'W';

/// A stream that has been started.
pub struct Replication {
    reader: ReplicationReader,
    writer: ReplicationWriter,
}

/// The half that reads.
pub struct ReplicationReader {
    half: ReadHalf<Socket>,
    input: Input,
    server: String,
}

/// The half that answers.
pub struct ReplicationWriter {
    half: WriteHalf<Socket>,
    unsent: BytesMut,
    server: String,
}

impl Replication {
    pub(super) async fn begin(mut wire: Wire, sql: &str) -> Result<Self, WireError> {
        wire.send_query(START, sql).await?;
        loop {
            let header = wire.input.next_header(&mut wire.socket).await;
            if header.map_err(|broken| wire.broken(START, broken))?.tag == COPY_BOTH_TAG {
                break;
            }
            let message = wire.input.message(&mut wire.socket).await;
            match message.map_err(|broken| wire.broken(START, broken))? {
                Message::NoticeResponse(body) => log_notice(ServerError::read(&mut body.fields())),
                Message::ParameterStatus(body) => wire.keep_parameter(&body),
                Message::ErrorResponse(body) => return Err(wire.refusal(START, &body).await),
                _ => return Err(wire.out_of_turn(START, "the beginning of replication")),
            }
        }
        let skipped = wire.input.skip_message(&mut wire.socket).await;
        skipped.map_err(|broken| wire.broken(START, broken))?;
        let (read_half, write_half) = tokio::io::split(wire.socket);
        Ok(Replication {
            reader: ReplicationReader {
                half: read_half,
                input: wire.input,
                server: wire.server.clone(),
            },
            writer: ReplicationWriter {
                half: write_half,
                unsent: BytesMut::new(),
                server: wire.server,
            },
        })
    }

    /// The two halves, so that answers go out while reading waits.
    #[must_use]
    pub fn split(self) -> (ReplicationReader, ReplicationWriter) {
        (self.reader, self.writer)
    }

    /// As [`ReplicationReader::read_frames`].
    ///
    /// # Errors
    ///
    /// [`WireError`].
    pub async fn read_frames(&mut self) -> Result<Option<FrameBatch>, WireError> {
        self.reader.read_frames().await
    }

    /// As [`ReplicationWriter::send_copy_data`].
    ///
    /// # Errors
    ///
    /// [`WireError`].
    pub async fn send_copy_data(&mut self, content: &[u8]) -> Result<(), WireError> {
        self.writer.send_copy_data(content).await
    }
}

impl ReplicationReader {
    /// Everything that has come, at least one whole message; `None` once the server has ended the
    /// stream. A message may be as large as 1 GiB and is then held as a whole. May be dropped
    /// while waiting.
    ///
    /// # Errors
    ///
    /// [`WireError`].
    pub async fn read_frames(&mut self) -> Result<Option<FrameBatch>, WireError> {
        loop {
            let taken = self.input.take_copy_data();
            if let Some(batch) = taken.map_err(|violation| self.broken(violation.into()))? {
                return Ok(Some(batch));
            }
            let header = self.input.next_header(&mut self.half).await;
            if header.map_err(|broken| self.broken(broken))?.tag == COPY_DATA_TAG {
                let filled = self.input.fill(&mut self.half).await;
                filled.map_err(|broken| self.broken(broken))?;
                continue;
            }
            let message = self.input.message(&mut self.half).await;
            match message.map_err(|broken| self.broken(broken))? {
                // A server that shuts down completes the command without CopyDone (walsender.c,
                // WalSndDone).
                Message::CopyDone | Message::CommandComplete(_) | Message::ReadyForQuery(_) => {
                    return Ok(None);
                }
                Message::ErrorResponse(body) => {
                    let source =
                        read_error(&body).map_err(|violation| self.broken(violation.into()))?;
                    return Err(WireError::Refused {
                        act: READ,
                        server: self.server.clone(),
                        source,
                    });
                }
                Message::NoticeResponse(body) => log_notice(ServerError::read(&mut body.fields())),
                Message::ParameterStatus(_) | Message::NotificationResponse(_) => {}
                _ => {
                    let expected = "more of the stream or its end";
                    return Err(self.broken(Violation::OutOfTurn { expected }.into()));
                }
            }
        }
    }

    fn broken(&self, broken: Broken) -> WireError {
        broken.during(READ, &self.server)
    }
}

impl ReplicationWriter {
    /// Sends a message to the server, such as a standby status update. Where it is dropped while
    /// waiting, the message still counts as given: the next call finishes it.
    ///
    /// # Errors
    ///
    /// [`WireError`].
    pub async fn send_copy_data(&mut self, content: &[u8]) -> Result<(), WireError> {
        let message = CopyData::new(content)
            .map_err(|error| self.broken(Violation::Malformed(error).into()))?;
        message.write(&mut self.unsent);
        self.flush().await
    }

    /// Tells the server to end the stream; it answers with what it still has and its own end.
    ///
    /// # Errors
    ///
    /// [`WireError`].
    pub async fn send_copy_done(&mut self) -> Result<(), WireError> {
        frontend::copy_done(&mut self.unsent);
        self.flush().await
    }

    /// Finishes what an earlier call was dropped over.
    ///
    /// # Errors
    ///
    /// [`WireError`].
    pub async fn flush(&mut self) -> Result<(), WireError> {
        let sent = async {
            while !self.unsent.is_empty() {
                if self.half.write_buf(&mut self.unsent).await? == 0 {
                    return Err(std::io::ErrorKind::WriteZero.into());
                }
            }
            self.half.flush().await
        };
        sent.await.map_err(|error| Broken::Lost(error).during(WRITE, &self.server))
    }

    fn broken(&self, broken: Broken) -> WireError {
        broken.during(WRITE, &self.server)
    }
}
