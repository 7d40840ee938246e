//! Frames out of the bytes that a server sends.
//!
//! In: a stream. Out: whole messages, or runs of `CopyData`. Reads are large and land in one
//! buffer, from which everything is split off without a copy. A length is checked before it is
//! believed, and the buffer grows with what has come, not with what is announced.
//!
//! Every wait is in [`Input::fill`], which keeps what it has read: whoever waits may be dropped
//! at any time and nothing is lost.

use super::error::{Broken, Violation};
use bytes::{Buf, Bytes, BytesMut};
use postgres_protocol::message::backend::{COPY_DATA_TAG, Message};
use std::io;
use std::ops::Range;
use tokio::io::{AsyncRead, AsyncReadExt};

/// The tag and the length of a message, in bytes.
pub(super) const HEADER_BYTES: usize = 5;
/// A value has at most 1 GiB less one byte; the rest is for what stands around it.
const MAX_LENGTH: u32 = (1 << 30) + (1 << 20);
/// What is made room for at once.
const BUFFER_BYTES: usize = 256 * 1024;
/// Reading into less room than this would mean more calls than need be.
const LEAST_ROOM_BYTES: usize = 64 * 1024;

/// The tag and the length of a message's body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Header {
    pub(super) tag: u8,
    pub(super) body_bytes: usize,
}

/// Reads a header, where there are enough bytes for one.
pub(super) fn header(bytes: &[u8]) -> Result<Option<Header>, Violation> {
    let Some(&[tag, a, b, c, d]) = bytes.first_chunk::<HEADER_BYTES>() else {
        return Ok(None);
    };
    // The length counts itself, but not the tag.
    let length = u32::from_be_bytes([a, b, c, d]);
    if !(4..=MAX_LENGTH).contains(&length) {
        return Err(Violation::Length { length });
    }
    Ok(Some(Header { tag, body_bytes: length as usize - 4 }))
}

/// What has been read and not yet been taken.
#[derive(Default)]
pub(super) struct Input {
    pub(super) buffer: BytesMut,
}

impl Input {
    /// Reads once, at least one byte.
    pub(super) async fn fill(
        &mut self,
        stream: &mut (impl AsyncRead + Unpin),
    ) -> Result<(), Broken> {
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

    /// The next message's header, waiting for it.
    pub(super) async fn next_header(
        &mut self,
        stream: &mut (impl AsyncRead + Unpin),
    ) -> Result<Header, Broken> {
        loop {
            if let Some(header) = header(&self.buffer)? {
                return Ok(header);
            }
            self.fill(stream).await?;
        }
    }

    /// The next message as a whole, waiting for it.
    pub(super) async fn message(
        &mut self,
        stream: &mut (impl AsyncRead + Unpin),
    ) -> Result<Message, Broken> {
        loop {
            if let Some(message) = self.take_message()? {
                return Ok(message);
            }
            self.fill(stream).await?;
        }
    }

    /// The next message, if it is there as a whole.
    pub(super) fn take_message(&mut self) -> Result<Option<Message>, Violation> {
        match header(&self.buffer)? {
            Some(header) if self.buffer.len() >= HEADER_BYTES + header.body_bytes => {
                Message::parse(&mut self.buffer).map_err(Violation::Malformed)
            }
            Some(_) | None => Ok(None),
        }
    }

    /// Leaves out the next message, waiting for its end.
    pub(super) async fn skip_message(
        &mut self,
        stream: &mut (impl AsyncRead + Unpin),
    ) -> Result<(), Broken> {
        let header = self.next_header(stream).await?;
        let end = HEADER_BYTES + header.body_bytes;
        while self.buffer.len() < end {
            self.fill(stream).await?;
        }
        self.buffer.advance(end);
        Ok(())
    }

    /// All `CopyData` messages at the front that are there as a whole.
    pub(super) fn take_copy_data(&mut self) -> Result<Option<FrameBatch>, Violation> {
        let mut end = 0;
        while let Some(header) = header(&self.buffer[end..])? {
            let next = end + HEADER_BYTES + header.body_bytes;
            if header.tag != COPY_DATA_TAG || next > self.buffer.len() {
                break;
            }
            end = next;
        }
        Ok((end > 0).then(|| FrameBatch { bytes: self.buffer.split_to(end).freeze() }))
    }
}

/// One or more whole `CopyData` messages, as they came.
#[derive(Clone, Debug)]
pub struct FrameBatch {
    bytes: Bytes,
}

impl FrameBatch {
    /// All messages, headers included. The places of [`Self::payloads`] point into it.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Where each message's content lies, in order.
    pub fn payloads(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        let mut at = 0;
        std::iter::from_fn(move || {
            let header = header(self.bytes.get(at..)?).ok()??;
            let start = at + HEADER_BYTES;
            at = start + header.body_bytes;
            Some(start..at)
        })
    }
}

/// Turns frames into one run of their contents, in place.
///
/// The buffer holds contents at its front and raw bytes behind them. Compacting moves the contents
/// of each frame down over its header, so the only copy is one within the processor's cache.
#[derive(Default)]
pub(super) struct Compactor {
    /// How much of the buffer's front is content, in bytes.
    content_bytes: usize,
    /// How much of the current frame's content is still to come, in bytes.
    frame_left_bytes: usize,
}

/// What stands behind the contents.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Behind {
    /// Less than is needed to go on.
    NothingYet,
    /// A message that is not `CopyData`.
    OtherMessage,
}

impl Compactor {
    /// Moves everything down that is there.
    pub(super) fn compact(&mut self, buffer: &mut BytesMut) -> Result<Behind, Violation> {
        let mut write = self.content_bytes;
        let mut read = write;
        let behind = loop {
            let there = self.frame_left_bytes.min(buffer.len() - read);
            if read != write {
                buffer.copy_within(read..read + there, write);
            }
            read += there;
            write += there;
            self.frame_left_bytes -= there;
            match header(&buffer[read..])? {
                _ if self.frame_left_bytes > 0 => break Behind::NothingYet,
                None => break Behind::NothingYet,
                Some(header) if header.tag != COPY_DATA_TAG => break Behind::OtherMessage,
                Some(header) => {
                    self.frame_left_bytes = header.body_bytes;
                    read += HEADER_BYTES;
                }
            }
        };
        let rest = buffer.len() - read;
        buffer.copy_within(read.., write);
        buffer.truncate(write + rest);
        self.content_bytes = write;
        Ok(behind)
    }

    pub(super) fn content_bytes(&self) -> usize {
        self.content_bytes
    }

    /// Takes the contents out.
    pub(super) fn take(&mut self, buffer: &mut BytesMut) -> Bytes {
        let content = buffer.split_to(self.content_bytes).freeze();
        self.content_bytes = 0;
        content
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frame(tag: u8, content: &[u8]) -> Vec<u8> {
        let length = u32::try_from(content.len() + 4).unwrap();
        [&[tag][..], &length.to_be_bytes(), content].concat()
    }

    #[test]
    fn lengths_are_checked() {
        let read = |length: u32| header(&[&[b'd'][..], &length.to_be_bytes()].concat());
        assert!(matches!(read(3), Err(Violation::Length { length: 3 })));
        assert!(matches!(read(u32::MAX), Err(Violation::Length { .. })));
        assert!(matches!(read(1 << 31), Err(Violation::Length { .. })));
        assert_eq!(read(4).unwrap().unwrap().body_bytes, 0);
        assert_eq!(header(b"d\0\0\0").unwrap(), None);
    }

    #[test]
    fn a_batch_ends_before_an_incomplete_frame_and_before_another_message() {
        let whole = [frame(b'd', b"one"), frame(b'd', b"")].concat();
        for tail in [&b"d\0\0\0\x08xy"[..], &frame(b'c', b"")[..], b"d\0"] {
            let mut input = Input { buffer: BytesMut::from(&[&whole[..], tail].concat()[..]) };
            let batch = input.take_copy_data().unwrap().unwrap();
            let contents: Vec<_> = batch.payloads().map(|at| &batch.bytes()[at]).collect();
            assert_eq!(contents, [&b"one"[..], b""]);
            assert_eq!(input.buffer, tail);
            assert!(input.take_copy_data().unwrap().is_none());
        }
    }

    #[test]
    fn a_message_that_cannot_be_read_is_a_violation() {
        for bytes in [frame(b'C', b"no end"), frame(b'?', b""), frame(b'R', b"\0")] {
            let mut input = Input { buffer: BytesMut::from(&bytes[..]) };
            assert!(matches!(input.take_message(), Err(Violation::Malformed(_))));
        }
    }

    proptest! {
        #[test]
        fn contents_come_out_whole_however_they_come_in(
            contents in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..20),
            cuts in prop::collection::vec(1..30usize, 1..10),
            take_at in 1..50usize,
        ) {
            let mut raw: Vec<u8> = contents.iter().flat_map(|one| frame(b'd', one)).collect();
            raw.extend(frame(b'c', b""));
            let mut buffer = BytesMut::new();
            let mut compactor = Compactor::default();
            let mut got = Vec::new();
            let mut cuts = cuts.into_iter().cycle();
            let mut behind = Behind::NothingYet;
            let mut rest = &raw[..];
            while !rest.is_empty() {
                let (piece, after) = rest.split_at(cuts.next().unwrap().min(rest.len()));
                buffer.extend_from_slice(piece);
                rest = after;
                behind = compactor.compact(&mut buffer).unwrap();
                if compactor.content_bytes() >= take_at {
                    got.extend_from_slice(&compactor.take(&mut buffer));
                }
            }
            got.extend_from_slice(&compactor.take(&mut buffer));
            prop_assert_eq!(behind, Behind::OtherMessage);
            prop_assert_eq!(got, contents.concat());
            prop_assert_eq!(&buffer[..], &frame(b'c', b"")[..]);
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut buffer = BytesMut::from(&bytes[..]);
            let _ = Compactor::default().compact(&mut buffer);
            let mut input = Input { buffer: BytesMut::from(&bytes[..]) };
            while let Ok(Some(_)) = input.take_message() {}
            let mut input = Input { buffer: BytesMut::from(&bytes[..]) };
            let _ = input.take_copy_data();
        }
    }
}
