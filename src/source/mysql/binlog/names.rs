//! The events that name transactions.
//!
//! In come their bodies; out come GTIDs and what else is needed of them. Layouts: `Gtid_event` in the
//! MySQL source (control_events.h), `Gtid_log_event` in MariaDB's log_event.h, and the head of the
//! serialization library's readme for the tagged form.

use std::sync::Arc;

use super::cursor::Cursor;
use super::error::Problem;
use crate::model::{Gtid, GtidSource, MariaGtid};

/// What a MySQL GTID event says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) uuid: [u8; 16],
    pub(super) tag: Vec<u8>,
    pub(super) number: u64,
    /// When it was committed on this server, in microseconds; 0 where that is not told.
    pub(super) committed_at_us: u64,
}

impl Named {
    /// The GTID; its source is shared with the one before where it is the same.
    pub(super) fn gtid(&self, last: Option<&Arc<GtidSource>>) -> Result<Gtid, Problem> {
        let source = GtidSource::new(self.uuid, &self.tag);
        let source = source.ok_or(Problem::Malformed("a tag that is none"))?;
        let source = match last {
            Some(last) if **last == source => Arc::clone(last),
            Some(_) | None => Arc::new(source),
        };
        Ok(Gtid { source, number: self.number })
    }
}

/// Reads a GTID or anonymous GTID event.
pub(super) fn read_gtid(body: &[u8]) -> Result<Named, Problem> {
    let mut cursor = Cursor::new(body, "a GTID");
    let _flags = cursor.u8()?;
    let uuid = cursor.array()?;
    let number = cursor.u64()?;
    let mut named = Named { uuid, tag: Vec::new(), number, committed_at_us: 0 };
    let has_clock = !cursor.is_empty() && cursor.u8()? == 2;
    if has_clock {
        let _last_committed = cursor.u64()?;
        let _sequence_number = cursor.u64()?;
        if !cursor.is_empty() {
            // The highest bit tells that the time on the first server follows.
            named.committed_at_us = cursor.uint(7)? & !(1 << 55);
        }
    }
    Ok(named)
}

/// The numbers of a tagged GTID's fields, in the order of `Gtid_event::define_fields`.
mod field {
    pub const FLAGS: u64 = 0;
    pub const UUID: u64 = 1;
    pub const NUMBER: u64 = 2;
    pub const TAG: u64 = 3;
    pub const LAST_COMMITTED: u64 = 4;
    pub const SEQUENCE_NUMBER: u64 = 5;
    pub const COMMITTED_AT: u64 = 6;
}

/// Reads a tagged GTID event. Fields that are needed come first; what is behind them is passed over.
pub(super) fn read_tagged(body: &[u8]) -> Result<Named, Problem> {
    let mut cursor = Cursor::new(body, "a tagged GTID");
    let _version = varlen(&mut cursor)?;
    let _len = varlen(&mut cursor)?;
    let _last_needed_field = varlen(&mut cursor)?;
    let mut named = Named { uuid: [0; 16], tag: Vec::new(), number: 0, committed_at_us: 0 };
    while !cursor.is_empty() {
        match varlen(&mut cursor)? {
            field::FLAGS => {
                varlen(&mut cursor)?;
            }
            field::UUID => {
                for byte in &mut named.uuid {
                    let value = u8::try_from(varlen(&mut cursor)?);
                    *byte = value.map_err(|_| Problem::Malformed("a UUID that is none"))?;
                }
            }
            field::NUMBER => named.number = signed(&mut cursor)?.unsigned_abs(),
            field::TAG => {
                let len = varlen(&mut cursor)?;
                named.tag = cursor.take(usize::try_from(len).unwrap_or(usize::MAX))?.to_vec();
            }
            field::LAST_COMMITTED | field::SEQUENCE_NUMBER => {
                signed(&mut cursor)?;
            }
            field::COMMITTED_AT => {
                named.committed_at_us = varlen(&mut cursor)?;
                break;
            }
            _ => break,
        }
    }
    if named.number == 0 || named.tag.is_empty() {
        return Err(Problem::Malformed("a tagged GTID without its parts"));
    }
    Ok(named)
}

/// An integer whose first byte ends in as many ones as bytes follow it
/// (`read_varlen_bytes_unsigned` in variable_length_integers.h).
fn varlen(cursor: &mut Cursor<'_>) -> Result<u64, Problem> {
    let first = cursor.u8()?;
    let more = first.trailing_ones() as usize;
    let rest = cursor.uint(more)?;
    Ok(match more {
        0..=6 => u64::from(first >> (more + 1)) | rest << (7 - more),
        _ => rest,
    })
}

/// A signed integer: its sign is the lowest bit.
fn signed(cursor: &mut Cursor<'_>) -> Result<i64, Problem> {
    let value = varlen(cursor)?;
    Ok((value >> 1).cast_signed() ^ -((value & 1).cast_signed()))
}

/// What a MariaDB GTID event says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct MariaNamed {
    pub(super) gtid: MariaGtid,
    /// One event follows, which stands alone: no end of a transaction comes.
    pub(super) standalone: bool,
    /// What follows is an XA transaction that is prepared.
    pub(super) prepares: bool,
    /// What follows is only begun, or is taken back: `binlog_alter_two_phase` logs a definition
    /// where it begins and where it ends.
    pub(super) void: bool,
}

/// Flags of a group (`Gtid_log_event` in log_event.h): it is one event; the number of the commit
/// follows; the name of an XA transaction follows, which is prepared or completed.
mod flag {
    pub const STANDALONE: u8 = 1;
    pub const COMMIT_ID: u8 = 2;
    pub const PREPARED_XA: u8 = 64;
    pub const COMPLETED_XA: u8 = 128;
    /// Of the byte behind: the definition begins; it is taken back.
    pub const START_ALTER: u8 = 2;
    pub const ROLLBACK_ALTER: u8 = 8;
}

/// Reads a MariaDB GTID event, whose header has the server.
pub(super) fn read_maria(body: &[u8], server: u32) -> Result<MariaNamed, Problem> {
    let mut cursor = Cursor::new(body, "a GTID");
    let number = cursor.u64()?;
    let domain = cursor.u32()?;
    let flags = cursor.u8()?;
    if flags & flag::COMMIT_ID != 0 {
        cursor.u64()?;
    }
    if flags & (flag::PREPARED_XA | flag::COMPLETED_XA) != 0 {
        let _format = cursor.u32()?;
        let (global, branch) = (cursor.u8()?, cursor.u8()?);
        cursor.take(usize::from(global) + usize::from(branch))?;
    }
    let more = if cursor.is_empty() { 0 } else { cursor.u8()? };
    Ok(MariaNamed {
        gtid: MariaGtid { domain, server, number },
        standalone: flags & flag::STANDALONE != 0,
        prepares: flags & flag::PREPARED_XA != 0,
        void: more & (flag::START_ALTER | flag::ROLLBACK_ALTER) != 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_tell_their_length_in_the_first_byte() {
        for (bytes, expected) in [
            (&[0][..], 0),
            (&[254], 127),
            (&[0b1111_1011, 0xFF, 0b0000_0111], 65_535),
            (&[255; 9], u64::MAX),
            (&[0x7F, 1, 0, 0, 0, 0, 0, 0], 1),
        ] {
            assert_eq!(varlen(&mut Cursor::new(bytes, "it")).unwrap(), expected);
        }
        let negative = [0b1111_1011, 0xFF, 0b0000_1111];
        assert_eq!(signed(&mut Cursor::new(&negative, "it")).unwrap(), -65_536);
        assert!(varlen(&mut Cursor::new(&[255, 1], "it")).is_err());
    }
}
