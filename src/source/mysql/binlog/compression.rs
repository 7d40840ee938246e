//! Contents of events that the server compressed.
//!
//! MySQL packs whole transactions (`binlog_transaction_compression`); they are unpacked event by
//! event, so that a transaction of any size needs the memory of one. MariaDB packs the rows of one
//! event, or one statement (`log_bin_compress`). What does not decompress is an error, never
//! skipped.

use std::io::{Cursor as Source, Read};

use flate2::bufread::{DeflateDecoder, ZlibDecoder};

use super::cursor::Cursor;
use super::error::Problem;
use super::format::HEADER_LEN;

/// No event is longer: the largest packet that a server sends has 1 GiB.
const LONGEST: u64 = 1 << 30;

/// Fields in front of a payload (`Transaction_payload_event` in control_events.h).
mod field {
    pub const END: u64 = 0;
    pub const COMPRESSION: u64 = 2;
}

/// The events of a transaction, as they are unpacked.
pub(super) struct Payload {
    events: Box<dyn Read + Send>,
    event: Vec<u8>,
}

impl std::fmt::Debug for Payload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Payload").finish_non_exhaustive()
    }
}

impl Payload {
    /// Reads what stands in front of the payload.
    pub(super) fn open(body: &[u8]) -> Result<Self, Problem> {
        let mut cursor = Cursor::new(body, "the fields of a compressed transaction");
        // zstd, unless it is said (`binary_log::transaction::compression::type`).
        let mut compression = 0;
        loop {
            let field = cursor.packed()?;
            if field == field::END {
                break;
            }
            let mut value = Cursor::new(cursor.packed_bytes()?, "a field of a transaction");
            if field == field::COMPRESSION {
                compression = value.packed()?;
            }
        }
        let packed = Source::new(cursor.rest().to_vec());
        let events: Box<dyn Read + Send> = match compression {
            0 => Box::new(zstd::Decoder::new(packed).map_err(|_| Problem::Compression)?),
            255 => Box::new(packed),
            _ => return Err(Problem::Compression),
        };
        Ok(Payload { events, event: Vec::new() })
    }

    /// The next event, header included; None at the end.
    pub(super) fn next_event(&mut self) -> Result<Option<&[u8]>, Problem> {
        self.event.clear();
        self.fill(HEADER_LEN as u64)?;
        if self.event.is_empty() {
            return Ok(None);
        }
        let mut cursor = Cursor::new(&self.event, "a compressed transaction");
        cursor.take(9)?;
        let rest = u64::from(cursor.u32()?).checked_sub(HEADER_LEN as u64);
        self.fill(rest.ok_or(Problem::Compression)?)?;
        Ok(Some(&self.event))
    }

    /// Reads so many bytes more, or up to the end.
    fn fill(&mut self, bytes: u64) -> Result<(), Problem> {
        if bytes > LONGEST {
            return Err(Problem::TooLarge("an event of a compressed transaction"));
        }
        let read = self.events.by_ref().take(bytes).read_to_end(&mut self.event);
        let read = read.map_err(|_| Problem::Compression)?;
        let nothing = self.event.is_empty();
        if read as u64 == bytes || nothing { Ok(()) } else { Err(Problem::Compression) }
    }
}

/// Unpacks rows or a statement of MariaDB (`binlog_buf_uncompress` in its log_event.cc): a byte that
/// says how, the length of what was packed, the packed bytes.
pub(super) fn unpack(packed: &[u8]) -> Result<Vec<u8>, Problem> {
    let mut cursor = Cursor::new(packed, "compressed contents");
    let how = cursor.u8()?;
    let zlib = how & 0x80 != 0 && how & 0x70 == 0;
    let len = cursor.uint_be(usize::from(how & 7))?;
    if !zlib {
        return Err(Problem::Compression);
    }
    inflate(ZlibDecoder::new(cursor.rest()), len)
}

/// Unpacks a value of a COMPRESSED column of MariaDB behind what is rendered (field_comp.cc): a byte
/// that says how, and unless the value is as it was, its length and the packed bytes.
pub(super) fn push_unpacked(out: &mut Vec<u8>, packed: &[u8]) -> Result<(), Problem> {
    let Some((&how, rest)) = packed.split_first() else { return Ok(()) };
    if how == 0 {
        out.extend_from_slice(rest);
        return Ok(());
    }
    let mut cursor = Cursor::new(rest, "a compressed value");
    let len = cursor.uint_be(usize::from(how & 7))?;
    let value = match how & 0xF8 {
        0x80 => inflate(ZlibDecoder::new(cursor.rest()), len)?,
        0x88 => inflate(DeflateDecoder::new(cursor.rest()), len)?,
        _ => return Err(Problem::Compression),
    };
    out.extend_from_slice(&value);
    Ok(())
}

fn inflate(reader: impl Read, len: u64) -> Result<Vec<u8>, Problem> {
    if len > LONGEST {
        return Err(Problem::TooLarge("compressed contents"));
    }
    let mut contents = Vec::new();
    let read = reader.take(len + 1).read_to_end(&mut contents);
    let read = read.map_err(|_| Problem::Compression)?;
    if read as u64 == len { Ok(contents) } else { Err(Problem::Compression) }
}
