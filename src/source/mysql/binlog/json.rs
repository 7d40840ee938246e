//! Binary JSON documents as the server prints them.
//!
//! In come the bytes of a JSON column; out goes the text that a SELECT gives. Nothing of the
//! document is kept. Layout: the head of the server's json_binary.h; text: `wrapper_to_string` in
//! json_dom.cc.

use super::column::code;
use super::cursor::Cursor;
use super::error::Problem;
use super::number::{push_decimal, push_double, push_i64, push_u64};
use super::temporal::{Packed, push_packed};

/// The server accepts no deeper nesting (`JSON_DOCUMENT_MAX_DEPTH` in json_syntax_check.h).
const MOST_DEPTH: usize = 101;

pub(super) const MALFORMED: Problem = Problem::Malformed("a JSON document that is none");

/// Types of values within a document.
mod kind {
    pub const SMALL_OBJECT: u8 = 0;
    pub const LARGE_OBJECT: u8 = 1;
    pub const SMALL_ARRAY: u8 = 2;
    pub const LARGE_ARRAY: u8 = 3;
    pub const LITERAL: u8 = 4;
    pub const INT16: u8 = 5;
    pub const UINT16: u8 = 6;
    pub const INT32: u8 = 7;
    pub const UINT32: u8 = 8;
    pub const INT64: u8 = 9;
    pub const UINT64: u8 = 10;
    pub const DOUBLE: u8 = 11;
    pub const STRING: u8 = 12;
    pub const OPAQUE: u8 = 15;
}

/// A value within a document.
#[derive(Clone, Copy, Debug)]
pub(super) struct Value<'a> {
    kind: u8,
    bytes: &'a [u8],
}

/// The members of an object or the elements of an array.
#[derive(Clone, Copy)]
pub(super) struct Container<'a> {
    bytes: &'a [u8],
    large: bool,
    object: bool,
    /// How many members or elements there are.
    pub(super) count: usize,
}

impl<'a> Value<'a> {
    /// A whole document.
    pub(super) fn document(bytes: &'a [u8]) -> Self {
        match bytes.split_first() {
            Some((&kind, bytes)) => Value { kind, bytes },
            // What a column that was left out of an INSERT IGNORE holds (`parse_binary`).
            None => Value { kind: kind::LITERAL, bytes: &[0] },
        }
    }

    fn cursor(&self) -> Cursor<'a> {
        Cursor::new(self.bytes, "a JSON document")
    }

    /// What is in an object or array; None of anything else.
    pub(super) fn container(&self) -> Result<Option<Container<'a>>, Problem> {
        let (large, object) = match self.kind {
            kind::SMALL_OBJECT => (false, true),
            kind::LARGE_OBJECT => (true, true),
            kind::SMALL_ARRAY => (false, false),
            kind::LARGE_ARRAY => (true, false),
            _ => return Ok(None),
        };
        let mut cursor = self.cursor();
        let width = if large { 4 } else { 2 };
        let count = cursor.uint(width)? as usize;
        let len = cursor.uint(width)? as usize;
        let bytes = self.bytes.get(..len).ok_or(Problem::Truncated("a JSON document"))?;
        let container = Container { bytes, large, object, count };
        let entries = container.width() * 2
            + count.saturating_mul(container.key_entry() + container.value_entry());
        if entries > bytes.len() {
            return Err(Problem::Truncated("a JSON document"));
        }
        Ok(Some(container))
    }

    /// Writes the value's text.
    pub(super) fn push(&self, out: &mut Vec<u8>, depth: usize) -> Result<(), Problem> {
        if depth > MOST_DEPTH {
            return Err(MALFORMED);
        }
        match self.container()? {
            Some(container) => container.push(out, depth),
            None => self.push_scalar(out),
        }
    }

    fn push_scalar(&self, out: &mut Vec<u8>) -> Result<(), Problem> {
        let mut cursor = self.cursor();
        match self.kind {
            kind::LITERAL => match cursor.u8()? {
                0 => out.extend_from_slice(b"null"),
                1 => out.extend_from_slice(b"true"),
                2 => out.extend_from_slice(b"false"),
                _ => return Err(MALFORMED),
            },
            kind::INT16 => push_i64(out, i64::from(i16::from_le_bytes(cursor.array()?))),
            kind::UINT16 => push_u64(out, u64::from(cursor.u16()?)),
            kind::INT32 => push_i64(out, i64::from(i32::from_le_bytes(cursor.array()?))),
            kind::UINT32 => push_u64(out, u64::from(cursor.u32()?)),
            kind::INT64 => push_i64(out, i64::from_le_bytes(cursor.array()?)),
            kind::UINT64 => push_u64(out, cursor.u64()?),
            kind::DOUBLE => {
                let start = out.len();
                push_double(out, f64::from_le_bytes(cursor.array()?))?;
                if !out[start..].iter().any(|byte| matches!(byte, b'.' | b'e')) {
                    out.extend_from_slice(b".0");
                }
            }
            kind::STRING => push_string(out, string(&mut cursor)?),
            kind::OPAQUE => push_opaque(out, cursor)?,
            _ => return Err(MALFORMED),
        }
        Ok(())
    }
}

impl<'a> Container<'a> {
    /// Bytes of a count, a size or an offset.
    fn width(&self) -> usize {
        if self.large { 4 } else { 2 }
    }

    fn key_entry(&self) -> usize {
        if self.object { self.width() + 2 } else { 0 }
    }

    fn value_entry(&self) -> usize {
        1 + self.width()
    }

    pub(super) fn is_object(&self) -> bool {
        self.object
    }

    fn cursor(&self, at: usize) -> Result<Cursor<'a>, Problem> {
        let bytes = self.bytes.get(at..).ok_or(Problem::Truncated("a JSON document"))?;
        Ok(Cursor::new(bytes, "a JSON document"))
    }

    /// A member's name.
    pub(super) fn key(&self, index: usize) -> Result<&'a [u8], Problem> {
        let mut entry = self.cursor(2 * self.width() + index * self.key_entry())?;
        let at = entry.uint(self.width())? as usize;
        let len = usize::from(entry.u16()?);
        self.cursor(at)?.take(len)
    }

    /// A member's or element's value.
    pub(super) fn value(&self, index: usize) -> Result<Value<'a>, Problem> {
        let first = 2 * self.width() + self.count * self.key_entry();
        let mut entry = self.cursor(first + index * self.value_entry())?;
        let kind = entry.u8()?;
        let inlined = match kind {
            kind::LITERAL | kind::INT16 | kind::UINT16 => true,
            kind::INT32 | kind::UINT32 => self.large,
            _ => false,
        };
        let bytes = if inlined {
            entry.rest()
        } else {
            self.cursor(entry.uint(self.width())? as usize)?.rest()
        };
        Ok(Value { kind, bytes })
    }

    fn push(&self, out: &mut Vec<u8>, depth: usize) -> Result<(), Problem> {
        out.push(if self.object { b'{' } else { b'[' });
        for index in 0..self.count {
            if index > 0 {
                out.extend_from_slice(b", ");
            }
            if self.object {
                push_string(out, self.key(index)?);
                out.extend_from_slice(b": ");
            }
            // Offsets may make a document larger than its bytes, over and over.
            if out.len() > u32::MAX as usize {
                return Err(Problem::TooLarge("a JSON document"));
            }
            self.value(index)?.push(out, depth + 1)?;
        }
        out.push(if self.object { b'}' } else { b']' });
        Ok(())
    }
}

/// Bytes behind their length, which has seven bits a byte, the lowest first.
fn string<'a>(cursor: &mut Cursor<'a>) -> Result<&'a [u8], Problem> {
    let mut len = 0usize;
    for shift in (0..35).step_by(7) {
        let byte = cursor.u8()?;
        len |= usize::from(byte & 0x7F) << shift;
        if byte & 0x80 == 0 {
            return cursor.take(len);
        }
    }
    Err(MALFORMED)
}

/// Writes a string in quotes (`double_quote` in json_dom.cc).
pub(super) fn push_string(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    let mut plain = 0;
    for (at, &byte) in text.iter().enumerate() {
        let short = match byte {
            b'"' | b'\\' => byte,
            0x08 => b'b',
            0x09 => b't',
            0x0A => b'n',
            0x0C => b'f',
            0x0D => b'r',
            0..=0x1F => 0,
            _ => continue,
        };
        out.extend_from_slice(&text[plain..at]);
        plain = at + 1;
        if short == 0 {
            let digit = b"0123456789abcdef"[usize::from(byte & 15)];
            out.extend_from_slice(&[b'\\', b'u', b'0', b'0', b'0' + (byte >> 4), digit]);
        } else {
            out.extend_from_slice(&[b'\\', short]);
        }
    }
    out.extend_from_slice(&text[plain..]);
    out.push(b'"');
}

/// A value of a type that JSON does not have.
fn push_opaque(out: &mut Vec<u8>, mut cursor: Cursor<'_>) -> Result<(), Problem> {
    let code = cursor.u8()?;
    let bytes = string(&mut cursor)?;
    let mut value = Cursor::new(bytes, "a value within a JSON document");
    let packed = match code {
        code::NEWDECIMAL => {
            let shape = (value.u8()?, value.u8()?);
            return push_decimal(out, &mut value, shape);
        }
        code::VAR_STRING => {
            push_string(out, bytes);
            return Ok(());
        }
        code::DATE => Packed::Date,
        code::TIME => Packed::Time,
        code::DATETIME | code::TIMESTAMP => Packed::DateTime,
        _ => {
            out.extend_from_slice(b"\"base64:type");
            push_u64(out, u64::from(code));
            out.push(b':');
            push_base64(out, bytes);
            out.push(b'"');
            return Ok(());
        }
    };
    out.push(b'"');
    push_packed(out, &mut value, packed)?;
    out.push(b'"');
    Ok(())
}

/// Characters in a line of base64; the line feed between lines is escaped within a JSON string
/// (`base64_encode` in the server's base64.h).
const BASE64_LINE: usize = 76;

fn push_base64(out: &mut Vec<u8>, bytes: &[u8]) {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (index, group) in bytes.chunks(3).enumerate() {
        if index > 0 && (index * 4).is_multiple_of(BASE64_LINE) {
            out.extend_from_slice(b"\\n");
        }
        let bits = group.iter().fold(0u32, |bits, &byte| bits << 8 | u32::from(byte));
        let bits = bits << (8 * (3 - group.len()));
        for place in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * place) & 63) as usize];
            out.push(if place > group.len() { b'=' } else { digit });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(document: &[u8]) -> Result<String, Problem> {
        let mut out = Vec::new();
        Value::document(document).push(&mut out, 0)?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn scalars_are_printed_as_the_server_prints_them() {
        assert_eq!(text(&[]).unwrap(), "null");
        assert_eq!(text(&[4, 2]).unwrap(), "false");
        assert_eq!(text(&[5, 0xFF, 0xFF]).unwrap(), "-1");
        let double = |value: f64| [&[11][..], &value.to_le_bytes()].concat();
        assert_eq!(text(&double(1.0)).unwrap(), "1.0");
        assert_eq!(text(&double(1e15)).unwrap(), "1e15");
        assert_eq!(text(b"\x0c\x05a\"\\\n\x01").unwrap(), r#""a\"\\\n\u0001""#);
        assert_eq!(text(b"\x0f\xfc\x04abcd").unwrap(), r#""base64:type252:YWJjZA==""#);
    }

    #[test]
    fn what_is_no_document_is_refused() {
        for bytes in [&[4][..], &[4, 3], &[0, 1], &[2, 255, 255, 4, 0], &[13, 0], b"\x0c\x80"] {
            assert!(text(bytes).is_err(), "{bytes:?}");
        }
        // An array whose only element is the array itself.
        assert_eq!(text(&[2, 1, 0, 7, 0, 2, 0, 0]), Err(MALFORMED));
    }
}
