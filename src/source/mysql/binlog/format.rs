//! How a log's events are framed: headers, checksums, the description at a file's beginning.
//!
//! In come the bytes of whole events; out come their headers and bodies, with checksums verified
//! and taken off. Layouts: "Replication event: binlog event header" and
//! `Format_description_event` in the MySQL source documentation (control_events.h).

use super::cursor::Cursor;
use super::error::Problem;
use crate::connect::mysql::{Flavour, ServerVersion};

/// Length of the header that every event begins with.
pub(super) const HEADER_LEN: usize = 19;
const CHECKSUM_LEN: usize = 4;

/// Set in a format description while the file is being written; not part of the checksum.
const IN_USE: u16 = 0x1;
/// The event was made by the sender and stands in no file.
const ARTIFICIAL: u16 = 0x20;
/// Who does not know the event may pass over it.
const IGNORABLE: u16 = 0x80;

/// The numbers of the events that are known (`Log_event_type` in binlog_event.h, and MariaDB's
/// log_event.h).
pub(super) mod kind {
    pub const QUERY: u8 = 2;
    pub const STOP: u8 = 3;
    pub const ROTATE: u8 = 4;
    pub const INTVAR: u8 = 5;
    pub const SLAVE: u8 = 7;
    pub const RAND: u8 = 13;
    pub const USER_VAR: u8 = 14;
    pub const FORMAT_DESCRIPTION: u8 = 15;
    pub const XID: u8 = 16;
    pub const TABLE_MAP: u8 = 19;
    pub const WRITE_ROWS_V1: u8 = 23;
    pub const UPDATE_ROWS_V1: u8 = 24;
    pub const DELETE_ROWS_V1: u8 = 25;
    pub const INCIDENT: u8 = 26;
    pub const HEARTBEAT: u8 = 27;
    pub const IGNORABLE: u8 = 28;
    pub const ROWS_QUERY: u8 = 29;
    pub const WRITE_ROWS: u8 = 30;
    pub const UPDATE_ROWS: u8 = 31;
    pub const DELETE_ROWS: u8 = 32;
    pub const GTID: u8 = 33;
    pub const ANONYMOUS_GTID: u8 = 34;
    pub const PREVIOUS_GTIDS: u8 = 35;
    pub const TRANSACTION_CONTEXT: u8 = 36;
    pub const VIEW_CHANGE: u8 = 37;
    pub const XA_PREPARE: u8 = 38;
    pub const PARTIAL_UPDATE_ROWS: u8 = 39;
    pub const TRANSACTION_PAYLOAD: u8 = 40;
    pub const HEARTBEAT_V2: u8 = 41;
    pub const GTID_TAGGED: u8 = 42;
    pub const MARIA_ANNOTATE_ROWS: u8 = 160;
    pub const MARIA_BINLOG_CHECKPOINT: u8 = 161;
    pub const MARIA_GTID: u8 = 162;
    pub const MARIA_GTID_LIST: u8 = 163;
    pub const MARIA_START_ENCRYPTION: u8 = 164;
    pub const MARIA_QUERY_COMPRESSED: u8 = 165;
    pub const MARIA_WRITE_ROWS_COMPRESSED_V1: u8 = 166;
    pub const MARIA_UPDATE_ROWS_COMPRESSED_V1: u8 = 167;
    pub const MARIA_DELETE_ROWS_COMPRESSED_V1: u8 = 168;
    pub const MARIA_WRITE_ROWS_COMPRESSED: u8 = 169;
    pub const MARIA_UPDATE_ROWS_COMPRESSED: u8 = 170;
    pub const MARIA_DELETE_ROWS_COMPRESSED: u8 = 171;
}

/// What every event says of itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    /// When the statement began, in seconds since the Unix epoch; 0 for events that are made up.
    pub(super) timestamp: u32,
    pub(super) kind: u8,
    /// The number of the server that it was first written on.
    pub(super) server: u32,
    /// The event's length, header and checksum included.
    pub(super) len: u32,
    /// The lower half of the event's end in its file; 0 where it is not told.
    pub(super) end: u32,
    flags: u16,
}

impl Header {
    pub(super) fn read(event: &[u8]) -> Result<Self, Problem> {
        let mut cursor = Cursor::new(event, "its header");
        let timestamp = cursor.u32()?;
        let kind = cursor.u8()?;
        let server = cursor.u32()?;
        let len = cursor.u32()?;
        let end = cursor.u32()?;
        let flags = cursor.u16()?;
        if u64::from(len) != event.len() as u64 {
            return Err(Problem::Malformed("another length than its own"));
        }
        Ok(Header { timestamp, kind, server, len, end, flags })
    }

    pub(super) fn is_ignorable(&self) -> bool {
        self.flags & IGNORABLE != 0
    }

    /// Whether the event stands in the file, and so moves the offset on.
    pub(super) fn is_in_file(&self) -> bool {
        let made_up = matches!(self.kind, kind::HEARTBEAT | kind::HEARTBEAT_V2);
        // A description that is sent anew where the reading begins within a file has no end.
        let repeated = self.kind == kind::FORMAT_DESCRIPTION && self.end == 0;
        self.flags & ARTIFICIAL == 0 && !made_up && !repeated
    }
}

/// What a format description says of the events behind it.
#[derive(Clone, Debug, Default)]
pub(super) struct Format {
    /// Whether events end with a checksum; None before a description came.
    pub(super) checksums: Option<bool>,
    /// Length of the fixed part behind the header, by event type from 1 on.
    post_header_lens: Vec<u8>,
    /// What wrote it, where that can be read.
    version: Option<ServerVersion>,
}

/// The first versions of MariaDB's series that log `explicit_defaults_for_timestamp` with the flags of
/// a statement, as do all from 10.10 on; others have it for the whole server
/// (`Format_description_log_event::deduct_options_written_to_bin_log` in log_event.cc).
const FLAGGED_SINCE: [u32; 5] = [100_517, 100_609, 100_705, 100_804, 100_902];

impl Format {
    /// The body of an event, its checksum verified and taken off.
    pub(super) fn body<'a>(&self, header: &Header, event: &'a [u8]) -> Result<&'a [u8], Problem> {
        let body = event.get(HEADER_LEN..).ok_or(Problem::Truncated("its header"))?;
        match (header.kind, self.checksums) {
            // Always with room for a checksum, whatever those behind it have.
            (kind::FORMAT_DESCRIPTION, _) => Ok(body),
            (_, Some(true)) => verified(event, header),
            (_, Some(false)) => Ok(body),
            // Sent before the first description; nothing says yet whether there are checksums.
            (kind::ROTATE, None) => Ok(verified(event, header).unwrap_or(body)),
            (_, None) => Err(Problem::OutOfPlace("no format description came before it")),
        }
    }

    /// Reads a format description.
    pub(super) fn read(header: &Header, event: &[u8]) -> Result<Self, Problem> {
        let body = event.get(HEADER_LEN..).ok_or(Problem::Truncated("its header"))?;
        let mut cursor = Cursor::new(body, "the format description");
        if cursor.u16()? != 4 {
            return Err(Problem::Malformed("a format of the log that is not supported"));
        }
        let version = cursor.take(50)?;
        let version = version.split(|byte| *byte == 0).next().unwrap_or_default();
        let version = ServerVersion::parse(&String::from_utf8_lossy(version));
        cursor.take(4)?;
        if usize::from(cursor.u8()?) != HEADER_LEN {
            return Err(Problem::Malformed("an event header of another length"));
        }
        let lens = cursor.rest().len().checked_sub(1 + CHECKSUM_LEN);
        let lens = cursor.take(lens.ok_or(Problem::Truncated("the format description"))?)?;
        let checksums = match cursor.u8()? {
            0 => false,
            1 => {
                verified(event, header)?;
                true
            }
            _ => return Err(Problem::Malformed("an unknown kind of checksums")),
        };
        Ok(Format { checksums: Some(checksums), post_header_lens: lens.to_vec(), version })
    }

    /// Whether the flags of a statement tell what it took TIMESTAMP columns for.
    pub(super) fn flags_timestamps(&self) -> bool {
        let Some(ServerVersion { flavour: Flavour::MariaDb, number }) = self.version else {
            return false;
        };
        let of_series = |since: &&u32| *since / 100 == number / 100;
        number >= 101_000
            || FLAGGED_SINCE.iter().find(of_series).is_some_and(|since| number >= *since)
    }

    /// Length of the fixed part behind the header of events of this type; 0 where it is not told.
    pub(super) fn post_header_len(&self, kind: u8) -> usize {
        let index = usize::from(kind).checked_sub(1);
        index.and_then(|index| self.post_header_lens.get(index)).map_or(0, |len| usize::from(*len))
    }

    /// Length of the table numbers in events of this type: servers before 5.1.4 wrote four bytes.
    pub(super) fn table_id_len(&self, kind: u8) -> usize {
        if self.post_header_len(kind) == 6 { 4 } else { 6 }
    }
}

/// The body without its checksum, if that is right.
fn verified<'a>(event: &'a [u8], header: &Header) -> Result<&'a [u8], Problem> {
    let end = event.len().checked_sub(CHECKSUM_LEN).filter(|end| *end >= HEADER_LEN);
    let end = end.ok_or(Problem::Truncated("its checksum"))?;
    let mut hasher = crc32fast::Hasher::new();
    if header.kind == kind::FORMAT_DESCRIPTION {
        let flags = header.flags & !IN_USE;
        hasher.update(&event[..HEADER_LEN - 2]);
        hasher.update(&flags.to_le_bytes());
        hasher.update(&event[HEADER_LEN..end]);
    } else {
        hasher.update(&event[..end]);
    }
    if event[end..] != hasher.finalize().to_le_bytes() {
        return Err(Problem::Checksum);
    }
    Ok(&event[HEADER_LEN..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_tell_whether_flags_are_about_timestamps() {
        for (version, expected) in [
            ("10.4.34-MariaDB-log", false),
            ("10.5.16-MariaDB", false),
            ("10.5.17-MariaDB", true),
            ("10.6.9-MariaDB", true),
            ("10.9.1-MariaDB", false),
            ("10.10.1-MariaDB", true),
            ("11.8.3-MariaDB-log", true),
            ("8.0.36", false),
        ] {
            let format = Format { version: ServerVersion::parse(version), ..Format::default() };
            assert_eq!(format.flags_timestamps(), expected, "{version}");
        }
        assert!(!Format::default().flags_timestamps());
    }
}
