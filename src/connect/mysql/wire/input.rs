//! Packets out of the bytes that a server sends.
//!
//! In: a stream. Out: the contents of packets, borrowed from the one buffer into which large reads
//! land, or cut off from it without a copy. A content of 16 MiB and more comes in several packets,
//! which are joined in place: each packet's content moves down over its header, and only its own
//! bytes move. A length is bounded before it is believed, packets are numbered and a number that
//! does not follow is found, and the buffer grows with what has come, not with what is announced.
//!
//! Every wait is in [`Input::fill`], which keeps what it has read: whoever waits may be dropped at
//! any time and nothing is lost. Source: the MySQL internals manual, "MySQL Packets".

use super::error::{Broken, Violation};
use bytes::{Buf, Bytes, BytesMut};
use std::io;
use std::ops::Range;
use tokio::io::{AsyncRead, AsyncReadExt};

/// The length and the number of a packet, in bytes.
pub(super) const HEADER_BYTES: usize = 4;
/// A packet with so much content is followed by another that goes on with it.
pub(super) const FULL_PACKET_BYTES: usize = 0xff_ffff;
/// A value has at most 1 GiB; the rest is for what stands around it, which in a row are other
/// values.
pub(super) const MAX_CONTENT_BYTES: usize = (1 << 30) + (1 << 28);
/// What is made room for at once.
const BUFFER_BYTES: usize = 256 * 1024;
/// Reading into less room than this would mean more calls than need be.
const LEAST_ROOM_BYTES: usize = 64 * 1024;
/// A buffer that one content made larger than this is given back after it.
const MOST_KEPT_BYTES: usize = 4 * 1024 * 1024;

/// What has been read and not yet been taken.
#[derive(Default)]
pub(super) struct Input {
    buffer: BytesMut,
    /// The content that has arrived last. What lies before its end is done with.
    current: Range<usize>,
    /// Bytes of the content that is on its way, behind its header, that full packets have brought.
    joined_bytes: usize,
    /// The number that the next packet has.
    pub(super) number: u8,
}

/// A packet's header.
struct Header {
    content_bytes: usize,
    number: u8,
}

fn header(bytes: &[u8]) -> Option<Header> {
    let &[a, b, c, number] = bytes.first_chunk::<HEADER_BYTES>()?;
    Some(Header { content_bytes: u32::from_le_bytes([a, b, c, 0]) as usize, number })
}

impl Input {
    /// Whether nothing lies behind the content that has arrived last.
    pub(super) fn is_empty(&self) -> bool {
        self.buffer.len() == self.current.end
    }

    /// The content that has arrived last.
    pub(super) fn arrived(&self) -> &[u8] {
        &self.buffer[self.current.clone()]
    }

    /// Waits for the next content as a whole, which takes the place of the last one.
    pub(super) async fn arrive(
        &mut self,
        stream: &mut (impl AsyncRead + Unpin),
    ) -> Result<(), Broken> {
        loop {
            let at = self.current.end;
            if let Some(end) = self.first_end(at)? {
                self.current = at + HEADER_BYTES..end;
                return Ok(());
            }
            self.fill(stream).await?;
        }
    }

    /// Reads once, at least one byte.
    async fn fill(&mut self, stream: &mut (impl AsyncRead + Unpin)) -> Result<(), Broken> {
        self.drop_current();
        if self.buffer.is_empty() && self.buffer.capacity() > MOST_KEPT_BYTES {
            self.buffer = BytesMut::new();
        }
        let filled_bytes = self.buffer.len();
        if self.buffer.capacity() - filled_bytes < LEAST_ROOM_BYTES {
            let rest_bytes = BUFFER_BYTES.saturating_sub(filled_bytes);
            self.buffer.reserve(rest_bytes.max(LEAST_ROOM_BYTES));
        }
        match stream.read_buf(&mut self.buffer).await {
            Ok(0) => Err(Broken::Lost(io::ErrorKind::UnexpectedEof.into())),
            Ok(_) => Ok(()),
            Err(error) => Err(Broken::Lost(error)),
        }
    }

    fn drop_current(&mut self) {
        self.buffer.advance(self.current.end);
        self.current = 0..0;
    }

    /// Where the content ends whose header is at this place, if it is there as a whole.
    fn first_end(&mut self, at: usize) -> Result<Option<usize>, Violation> {
        loop {
            // Where packets were joined, the header at the front is read no more: what counts is
            // the next packet's, which follows what they brought.
            let next = match self.joined_bytes {
                0 => at,
                joined => at + HEADER_BYTES + joined,
            };
            let Some(Header { content_bytes, number }) = header(&self.buffer[next..]) else {
                return Ok(None);
            };
            if self.joined_bytes + content_bytes > MAX_CONTENT_BYTES {
                return Err(Violation::TooLong { most_bytes: MAX_CONTENT_BYTES });
            }
            if number != self.number {
                return Err(Violation::Number { got: number, expected: self.number });
            }
            if self.buffer.len() < next + HEADER_BYTES + content_bytes {
                return Ok(None);
            }
            self.number = number.wrapping_add(1);
            if self.joined_bytes > 0 {
                self.buffer.copy_within(next + HEADER_BYTES.., next);
                self.buffer.truncate(self.buffer.len() - HEADER_BYTES);
            }
            self.joined_bytes += content_bytes;
            if content_bytes < FULL_PACKET_BYTES {
                let end = at + HEADER_BYTES + self.joined_bytes;
                self.joined_bytes = 0;
                return Ok(Some(end));
            }
        }
    }

    /// All contents at the front that are there as a whole and begin with this byte, waiting for
    /// the first; or `None` where the next content begins otherwise.
    pub(super) async fn contents(
        &mut self,
        first: u8,
        stream: &mut (impl AsyncRead + Unpin),
    ) -> Result<Option<Contents>, Broken> {
        self.drop_current();
        loop {
            let mut places = Vec::new();
            let mut end = 0;
            while self.begins(end, first) == Some(true) {
                let Some(next) = self.first_end(end)? else {
                    break;
                };
                places.push(end + HEADER_BYTES..next);
                end = next;
            }
            if !places.is_empty() {
                return Ok(Some(Contents { bytes: self.buffer.split_to(end).freeze(), places }));
            }
            if self.begins(0, first) == Some(false) {
                return Ok(None);
            }
            self.fill(stream).await?;
        }
    }

    /// Whether the content whose header is at this place begins with this byte, where it is known.
    fn begins(&self, at: usize, first: u8) -> Option<bool> {
        if self.joined_bytes == 0 && header(&self.buffer[at..])?.content_bytes == 0 {
            return Some(false);
        }
        self.buffer.get(at + HEADER_BYTES).map(|byte| *byte == first)
    }
}

/// One or more contents, as they came.
#[derive(Clone, Debug)]
pub(super) struct Contents {
    pub(super) bytes: Bytes,
    pub(super) places: Vec<Range<usize>>,
}
