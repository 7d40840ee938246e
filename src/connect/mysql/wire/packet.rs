//! What packets hold: integers, strings, the answers OK, ERR and EOF, the columns of a result.
//!
//! In: the content of a packet. Out: its parts, borrowed. Nothing is believed: what does not fit is
//! a [`Violation`]. Source: the MySQL internals manual, "Protocol Basics" and "Text Resultset".

use super::error::Violation;
use super::input::FULL_PACKET_BYTES;
use crate::connect::mysql::error::ServerError;

/// First bytes of answers.
pub(super) const OK: u8 = 0x00;
pub(super) const MORE_DATA: u8 = 0x01;
pub(super) const LOCAL_INFILE: u8 = 0xfb;
pub(super) const EOF: u8 = 0xfe;
pub(super) const ERR: u8 = 0xff;

/// The byte that stands for NULL in the place of a value's length.
const NULL: u8 = 0xfb;

/// Bytes that are read from the front. Every step fails where they end too early.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a> {
    rest: &'a [u8],
    /// What they are of, for the error.
    object: &'static str,
}

impl<'a> Fields<'a> {
    pub(super) fn new(bytes: &'a [u8], object: &'static str) -> Self {
        Fields { rest: bytes, object }
    }

    pub(super) fn malformed(&self) -> Violation {
        Violation::Malformed { object: self.object }
    }

    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(super) fn bytes(&mut self, count: usize) -> Result<&'a [u8], Violation> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(self.malformed())?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Violation> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(self.malformed())?;
        self.rest = rest;
        Ok(*taken)
    }

    pub(super) fn u8(&mut self) -> Result<u8, Violation> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(super) fn u16(&mut self) -> Result<u16, Violation> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Violation> {
        self.array().map(u32::from_le_bytes)
    }

    /// Bytes up to the next zero byte, which is taken too.
    pub(super) fn until_zero(&mut self) -> Result<&'a [u8], Violation> {
        let end = memchr::memchr(0, self.rest).ok_or(self.malformed())?;
        let taken = self.bytes(end)?;
        self.bytes(1)?;
        Ok(taken)
    }

    /// A length-encoded integer.
    pub(super) fn number(&mut self) -> Result<u64, Violation> {
        let number = match self.u8()? {
            0xfc => u64::from(self.u16()?),
            0xfd => {
                let [a, b, c] = self.array()?;
                u64::from(u32::from_le_bytes([a, b, c, 0]))
            }
            0xfe => u64::from_le_bytes(self.array()?),
            NULL | 0xff => return Err(self.malformed()),
            small => u64::from(small),
        };
        Ok(number)
    }

    /// A length-encoded string.
    pub(super) fn string(&mut self) -> Result<&'a [u8], Violation> {
        let length = self.number()?;
        self.bytes(usize::try_from(length).map_err(|_| self.malformed())?)
    }
}

/// The values of a row of the text protocol, in order: `None` is NULL. A row that does not fit
/// its form ends with an error.
#[derive(Clone)]
pub struct Values<'a>(Fields<'a>);

impl<'a> Values<'a> {
    /// The values of a row as [`super::ResultSet::next`] gave it.
    #[must_use]
    pub fn new(row: &'a [u8]) -> Self {
        Values(Fields::new(row, "a row"))
    }
}

impl<'a> Iterator for Values<'a> {
    type Item = Result<Option<&'a [u8]>, Violation>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let fields = &mut self.0;
        let (&first, rest) = fields.rest.split_first()?;
        // Nearly all values are shorter than 251 bytes.
        if first < NULL {
            let Some((value, rest)) = rest.split_at_checked(usize::from(first)) else {
                return Some(Err(self.end()));
            };
            fields.rest = rest;
            return Some(Ok(Some(value)));
        }
        if first == NULL {
            fields.rest = rest;
            return Some(Ok(None));
        }
        match fields.string() {
            Ok(value) => Some(Ok(Some(value))),
            Err(_) => Some(Err(self.end())),
        }
    }
}

impl Values<'_> {
    #[cold]
    fn end(&mut self) -> Violation {
        self.0.rest = &[];
        self.0.malformed()
    }
}

/// What the server says where a statement has succeeded.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Done {
    /// Rows that were changed.
    pub affected_rows: u64,
    /// Warnings there are now.
    pub warnings: u16,
    /// Whether a transaction is open, and other bits of the server's state.
    pub status: u16,
}

impl Done {
    /// Reads an OK packet; its first byte may be that of EOF, which it replaces.
    pub(super) fn read(content: &[u8]) -> Result<Self, Violation> {
        let mut fields = Fields::new(content, "an OK packet");
        fields.u8()?;
        let affected_rows = fields.number()?;
        fields.number()?;
        let status = fields.u16()?;
        Ok(Done { affected_rows, status, warnings: fields.u16()? })
    }
}

/// Whether a packet ends a result: a row that begins with the same byte holds a value of at
/// least 16 MiB, and is longer than one packet.
pub(super) fn is_end(content: &[u8]) -> bool {
    content.first() == Some(&EOF) && content.len() < FULL_PACKET_BYTES
}

/// Reads an ERR packet. Before a session is agreed upon it has no SQLSTATE.
pub(super) fn read_error(content: &[u8]) -> Result<Box<ServerError>, Violation> {
    let mut fields = Fields::new(content, "an ERR packet");
    fields.u8()?;
    let number = fields.u16()?;
    let (state, message) = match fields.rest().strip_prefix(b"#") {
        Some(marked) => marked.split_at_checked(5).ok_or(fields.malformed())?,
        None => (&b"HY000"[..], fields.rest()),
    };
    let state = String::from_utf8_lossy(state).into_owned();
    Ok(Box::new(ServerError::new(number, state, &String::from_utf8_lossy(message))))
}

/// A column of a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResultColumn {
    /// Its name.
    pub name: String,
    /// The number of its character set's collation; 63 is binary.
    pub collation: u16,
    /// How long its values are written, at most.
    pub length: u32,
    /// Its type, as the protocol numbers them.
    pub kind: u8,
    /// The protocol's bits, such as 32 for unsigned.
    pub flags: u16,
}

impl ResultColumn {
    pub(super) fn read(content: &[u8]) -> Result<Self, Violation> {
        let mut fields = Fields::new(content, "a column of a result");
        for _catalog_schema_table_and_original in 0..4 {
            fields.string()?;
        }
        let name = String::from_utf8_lossy(fields.string()?).into_owned();
        fields.string()?;
        let mut fixed = Fields::new(fields.string()?, "a column of a result");
        Ok(ResultColumn {
            name,
            collation: fixed.u16()?,
            length: fixed.u32()?,
            kind: fixed.u8()?,
            flags: fixed.u16()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encoded(value: Option<&[u8]>) -> Vec<u8> {
        let Some(value) = value else {
            return vec![NULL];
        };
        let length = value.len();
        let mut bytes = match length {
            0..251 => vec![length as u8],
            251..0x1_0000 => [&[0xfc][..], &(length as u16).to_le_bytes()].concat(),
            0x1_0000..0x100_0000 => [&[0xfd][..], &(length as u32).to_le_bytes()[..3]].concat(),
            _ => [&[0xfe][..], &(length as u64).to_le_bytes()].concat(),
        };
        bytes.extend_from_slice(value);
        bytes
    }

    #[test]
    fn values_of_every_length_come_back() {
        for length in [0, 1, 250, 251, 0xffff, 0x1_0000, 0xff_ffff, 0x100_0000] {
            let value = vec![b'x'; length];
            let row = [encoded(Some(&value)), encoded(None), encoded(Some(b"end"))].concat();
            let values: Result<Vec<_>, _> = Values::new(&row).collect();
            assert_eq!(values.unwrap(), [Some(&value[..]), None, Some(b"end")]);
        }
    }

    #[test]
    fn a_row_that_ends_within_a_value_is_a_violation() {
        for row in [&b"\x05abc"[..], b"\xfc\x01", b"\xfe\xff\xff\xff\xff\xff\xff\xff\xffx", b"\xff"]
        {
            let values: Vec<_> = Values::new(row).collect();
            assert_eq!(values, [Err(Violation::Malformed { object: "a row" })]);
        }
    }

    #[test]
    fn errors_come_with_and_without_a_state() {
        let error = read_error(b"\xff\x15\x04#28000Access denied").unwrap();
        assert_eq!(error.to_string(), "Access denied (error 1045, SQLSTATE 28000)");
        let error = read_error(b"\xff\x10\x04Too many connections").unwrap();
        assert_eq!((error.number, error.state.as_str()), (1040, "HY000"));
    }

    proptest! {
        #[test]
        fn rows_come_back(row in prop::collection::vec(prop::option::of(
            prop::collection::vec(any::<u8>(), 0..300)), 0..20)
        ) {
            let bytes = row.iter().map(|value| encoded(value.as_deref())).collect::<Vec<_>>().concat();
            let values: Result<Vec<_>, _> = Values::new(&bytes).collect();
            let expected: Vec<_> = row.iter().map(Option::as_deref).collect();
            prop_assert_eq!(values.unwrap(), expected);
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let count = Values::new(&bytes).count();
            prop_assert!(count <= bytes.len());
            let _ = Done::read(&bytes);
            let _ = read_error(&bytes);
            let _ = ResultColumn::read(&bytes);
        }
    }
}
