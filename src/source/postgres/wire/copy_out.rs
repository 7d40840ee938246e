//! `COPY … TO STDOUT`, in large buffers.
//!
//! In: the server's frames, of which it sends one for each row. Out: their contents, run together
//! into buffers of 64 to 256 KiB. No row costs an allocation or a wait of its own, and a frame
//! larger than a buffer passes through in pieces. The end is reported only once the server has
//! confirmed it: a COPY that breaks off is an error, never a short result.

use super::error::Violation;
use super::input::{Behind, Compactor};
use super::{Wire, WireError};
use bytes::Bytes;
use postgres_protocol::message::backend::Message;

const ACT: &str = "copy out";
/// A buffer is handed on once it holds this much.
const ENOUGH_BYTES: usize = 128 * 1024;

/// A COPY that is being read. Dropped before its end, it leaves the connection unusable.
pub struct CopyOut<'a> {
    wire: &'a mut Wire,
    compactor: Compactor,
    progress: Progress,
}

#[derive(Clone, Copy)]
enum Progress {
    /// Frames keep coming.
    Copying,
    /// The server has sent everything; whether it counts is not confirmed yet.
    AllSent,
    /// The server has told the number of rows.
    Counted(u64),
    /// The connection is ready for its next statement.
    Done(u64),
}

impl<'a> CopyOut<'a> {
    pub(super) async fn begin(wire: &'a mut Wire, sql: &str) -> Result<Self, WireError> {
        wire.send_query(ACT, sql).await?;
        match wire.receive(ACT).await? {
            Message::CopyOutResponse(_) => {
                Ok(CopyOut { wire, compactor: Compactor::default(), progress: Progress::Copying })
            }
            Message::ErrorResponse(body) => Err(wire.refusal(ACT, &body).await),
            _ => Err(wire.out_of_turn(ACT, "the beginning of a copy")),
        }
    }

    /// The next run of contents; `None` after the last, once the server has confirmed the end.
    /// May be dropped while waiting and called again.
    ///
    /// # Errors
    ///
    /// [`WireError`]; what was returned before is then not to be used.
    pub async fn next_buffer(&mut self) -> Result<Option<Bytes>, WireError> {
        while let Progress::Copying = self.progress {
            let compacted = self.compactor.compact(&mut self.wire.input.buffer);
            let behind = compacted.map_err(|violation| self.violation(violation))?;
            let content_bytes = self.compactor.content_bytes();
            let enough = match behind {
                Behind::NothingYet => ENOUGH_BYTES,
                Behind::OtherMessage => 1,
            };
            if content_bytes >= enough {
                return Ok(Some(self.compactor.take(&mut self.wire.input.buffer)));
            }
            match behind {
                Behind::NothingYet => {
                    let filled = self.wire.input.fill(&mut self.wire.socket).await;
                    filled.map_err(|broken| self.wire.broken(ACT, broken))?;
                }
                Behind::OtherMessage => self.read_message().await?,
            }
        }
        self.finish().await?;
        Ok(None)
    }

    /// How many rows there were, once [`Self::next_buffer`] has returned `None`.
    #[must_use]
    pub fn rows(&self) -> Option<u64> {
        match self.progress {
            Progress::Copying | Progress::AllSent | Progress::Counted(_) => None,
            Progress::Done(rows) => Some(rows),
        }
    }

    async fn read_message(&mut self) -> Result<(), WireError> {
        // One message only: behind a notice there may be frames again, which are not for
        // `receive` to read.
        let message = self.wire.input.message(&mut self.wire.socket).await;
        match message.map_err(|broken| self.wire.broken(ACT, broken))? {
            Message::CopyDone => {
                self.progress = Progress::AllSent;
                Ok(())
            }
            Message::NoticeResponse(body) => {
                super::log_notice(crate::connect::ServerError::read(&mut body.fields()));
                Ok(())
            }
            Message::ParameterStatus(body) => {
                self.wire.keep_parameter(&body);
                Ok(())
            }
            Message::NotificationResponse(_) => Ok(()),
            Message::ErrorResponse(body) => Err(self.wire.refusal(ACT, &body).await),
            _ => Err(self.wire.out_of_turn(ACT, "more of the copy or its end")),
        }
    }

    async fn finish(&mut self) -> Result<(), WireError> {
        loop {
            let expected = match self.progress {
                Progress::Done(_) => return Ok(()),
                Progress::Copying | Progress::AllSent => "the number of rows",
                Progress::Counted(_) => "the end of the statement",
            };
            self.progress = match (self.wire.receive(ACT).await?, self.progress) {
                (Message::CommandComplete(body), Progress::AllSent) => {
                    let tag = body.tag().map_err(Violation::Malformed);
                    let rows = tag.map(|tag| tag.strip_prefix("COPY ").map(str::parse));
                    match rows.map_err(|violation| self.violation(violation))? {
                        Some(Ok(rows)) => Progress::Counted(rows),
                        Some(Err(_)) | None => return Err(self.wire.out_of_turn(ACT, expected)),
                    }
                }
                (Message::ReadyForQuery(_), Progress::Counted(rows)) => {
                    self.wire.unfinished = false;
                    Progress::Done(rows)
                }
                (Message::ErrorResponse(body), _) => {
                    return Err(self.wire.refusal(ACT, &body).await);
                }
                (_, _) => return Err(self.wire.out_of_turn(ACT, expected)),
            };
        }
    }

    fn violation(&self, violation: Violation) -> WireError {
        self.wire.broken(ACT, violation.into())
    }
}
