//! The rows of a statement, one after the other, as they lie in the buffer.
//!
//! In: a statement's text. Out: its columns, then the packets of its rows. A row is never copied
//! and never held beside others; the server waits while nobody asks for more. A result that was not
//! read to its end leaves the connection unusable, and says so.

use super::error::{Violation, WireError};
use super::packet::{self, Done, ERR, Fields, LOCAL_INFILE, OK, ResultColumn};
use super::{Command, Wire};

/// More columns than any table or view has.
const MOST_COLUMNS: u64 = 65_535;
const ACT: &str = "run a statement";

/// A result that is being read.
pub struct ResultSet<'a> {
    wire: &'a mut Wire,
    columns: Vec<ResultColumn>,
    done: Option<Done>,
}

impl<'a> ResultSet<'a> {
    pub(super) async fn begin(wire: &'a mut Wire, sql: &[u8]) -> Result<Self, WireError> {
        wire.command(ACT, Command::Query, sql).await?;
        let content = wire.receive(ACT).await?;
        let count = match content.first() {
            Some(&ERR) => return Err(wire.refusal(ACT)),
            Some(&OK) => {
                let done = Done::read(content);
                let done = done.map_err(|violation| wire.broken(ACT, violation))?;
                wire.end_exchange();
                return Ok(ResultSet { wire, columns: Vec::new(), done: Some(done) });
            }
            Some(&LOCAL_INFILE) => {
                let expected = "no request for a local file";
                return Err(wire.broken(ACT, Violation::OutOfTurn { expected }));
            }
            Some(_) | None => Fields::new(content, "the number of columns").number(),
        };
        let count = count.map_err(|violation| wire.broken(ACT, violation))?;
        if count > MOST_COLUMNS {
            let object = "the number of columns";
            return Err(wire.broken(ACT, Violation::Malformed { object }));
        }
        let mut columns = Vec::new();
        for _ in 0..count {
            let column = ResultColumn::read(wire.receive(ACT).await?);
            columns.push(column.map_err(|violation| wire.broken(ACT, violation))?);
        }
        Ok(ResultSet { wire, columns, done: None })
    }

    /// The columns; none where the statement gives no rows.
    #[must_use]
    pub fn columns(&self) -> &[ResultColumn] {
        &self.columns
    }

    /// What the server said at the end, once it was read.
    #[must_use]
    pub fn done(&self) -> Option<&Done> {
        self.done.as_ref()
    }

    /// The next row, which [`super::Values`] takes apart; `None` at the end. It lies in the
    /// connection's buffer until the next call. May be dropped while waiting.
    ///
    /// # Errors
    ///
    /// [`WireError`]. After [`WireError::Refused`] the connection can still be used.
    pub async fn next(&mut self) -> Result<Option<&[u8]>, WireError> {
        if self.done.is_some() {
            return Ok(None);
        }
        let content = self.wire.receive(ACT).await?;
        match content.first() {
            Some(&ERR) => return Err(self.wire.refusal(ACT)),
            Some(_) if packet::is_end(content) => {
                let done = Done::read(content);
                self.done = Some(done.map_err(|violation| self.wire.broken(ACT, violation))?);
                self.wire.end_exchange();
                return Ok(None);
            }
            Some(_) => {}
            None => {
                let object = "an empty row";
                return Err(self.wire.broken(ACT, Violation::Malformed { object }));
            }
        }
        Ok(Some(self.wire.input.arrived()))
    }

    /// The connection. Where the rows were not read to their end, it cannot be used.
    #[must_use]
    pub fn into_wire(self) -> &'a mut Wire {
        self.wire
    }

    /// Reads on to the end, and says what the server said there.
    ///
    /// # Errors
    ///
    /// [`WireError`].
    pub async fn finish(mut self) -> Result<Done, WireError> {
        while self.next().await?.is_some() {}
        Ok(self.done.take().unwrap_or_default())
    }
}
