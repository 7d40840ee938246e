//! Bytes of an event that are being read; every read is checked against the end.

use super::error::Problem;

/// What is left of an event, and what is being read of it.
#[derive(Clone, Copy)]
pub(super) struct Cursor<'a> {
    rest: &'a [u8],
    what: &'static str,
}

impl<'a> Cursor<'a> {
    /// `what` is told where the bytes end early.
    pub(super) fn new(bytes: &'a [u8], what: &'static str) -> Self {
        Cursor { rest: bytes, what }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    #[inline]
    pub(super) fn take(&mut self, len: usize) -> Result<&'a [u8], Problem> {
        match self.rest.split_at_checked(len) {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(taken)
            }
            None => Err(Problem::Truncated(self.what)),
        }
    }

    #[inline]
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Problem> {
        match self.rest.split_first_chunk() {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(*taken)
            }
            None => Err(Problem::Truncated(self.what)),
        }
    }

    #[inline]
    pub(super) fn u8(&mut self) -> Result<u8, Problem> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    pub(super) fn u16(&mut self) -> Result<u16, Problem> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    pub(super) fn u32(&mut self) -> Result<u32, Problem> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(super) fn u64(&mut self) -> Result<u64, Problem> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// An integer of one to eight bytes, the least significant first.
    #[inline]
    pub(super) fn uint(&mut self, len: usize) -> Result<u64, Problem> {
        let mut bytes = [0; 8];
        let taken = self.take(len)?;
        match bytes.get_mut(..len) {
            Some(to) => to.copy_from_slice(taken),
            None => return Err(Problem::Malformed("an integer of more than eight bytes")),
        }
        Ok(u64::from_le_bytes(bytes))
    }

    /// An integer of one to eight bytes, the most significant first.
    #[inline]
    pub(super) fn uint_be(&mut self, len: usize) -> Result<u64, Problem> {
        let taken = self.take(len)?;
        Ok(taken.iter().fold(0, |value, &byte| value << 8 | u64::from(byte)))
    }

    /// A length-encoded integer ("Protocol::LengthEncodedInteger" in the MySQL internals manual).
    pub(super) fn packed(&mut self) -> Result<u64, Problem> {
        match self.u8()? {
            byte @ 0..=250 => Ok(u64::from(byte)),
            252 => self.uint(2),
            253 => self.uint(3),
            254 => self.uint(8),
            251 | 255 => Err(Problem::Malformed("a packed integer that is none")),
        }
    }

    /// As many bytes as a packed integer before them says.
    pub(super) fn packed_bytes(&mut self) -> Result<&'a [u8], Problem> {
        let len = self.packed()?;
        self.take(usize::try_from(len).unwrap_or(usize::MAX))
    }

    /// As many bytes as the byte before them says.
    pub(super) fn short_bytes(&mut self) -> Result<&'a [u8], Problem> {
        let len = self.u8()?;
        self.take(usize::from(len))
    }

    /// A bitmap of so many bits.
    pub(super) fn bitmap(&mut self, bits: usize) -> Result<&'a [u8], Problem> {
        self.take(bits.div_ceil(8))
    }

    /// What is read from here on.
    pub(super) fn now(&mut self, what: &'static str) {
        self.what = what;
    }
}

/// A bit of a bitmap that begins with the least significant one.
#[inline]
pub(super) fn bit(bitmap: &[u8], index: usize) -> bool {
    bitmap.get(index / 8).is_some_and(|byte| byte >> (index % 8) & 1 == 1)
}
