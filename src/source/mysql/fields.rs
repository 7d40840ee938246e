//! Rows of the text protocol in the form in which `LOAD DATA` reads them.
//!
//! In: a row as the server sent it. Out: the same bytes with a tab between two values and a line feed
//! at the row's end, `\N` for NULL, and a backslash escape for each backslash, tab and line feed
//! within a value. That is the default form of `LOAD DATA` (FIELDS TERMINATED BY '\t' ESCAPED BY
//! '\\' LINES TERMINATED BY '\n'), read byte by byte where its character set is `binary`; so no value
//! is looked at beyond these three bytes, whatever its character set. Nothing is lost: a row that has
//! not as many values as were asked for is refused.

use bytes::{BufMut, BytesMut};

use crate::connect::mysql::wire::Values;

/// A row was not of the form that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// Adds a row of `columns` values.
pub(super) fn push_row(row: &[u8], columns: usize, out: &mut BytesMut) -> Result<(), Malformed> {
    // Most rows have nothing to escape, and a separator takes the place of a length.
    out.reserve(row.len() + columns + 1);
    let mut seen = 0;
    for value in Values::new(row) {
        if seen > 0 {
            out.put_u8(b'\t');
        }
        seen += 1;
        match value.map_err(|_| Malformed)? {
            None => out.put_slice(b"\\N"),
            Some(value) => push_escaped(value, out),
        }
    }
    out.put_u8(b'\n');
    if seen == columns { Ok(()) } else { Err(Malformed) }
}

fn push_escaped(mut value: &[u8], out: &mut BytesMut) {
    while let Some(at) = next_special(value) {
        out.put_slice(&value[..at]);
        out.put_u8(b'\\');
        out.put_u8(match value[at] {
            b'\t' => b't',
            b'\n' => b'n',
            other => other,
        });
        value = &value[at + 1..];
    }
    out.put_slice(value);
}

/// Below this length a plain loop is faster than setting up a vectorised search.
const SHORT: usize = 16;

fn next_special(value: &[u8]) -> Option<usize> {
    if value.len() < SHORT {
        return value.iter().position(|byte| matches!(byte, b'\\' | b'\t' | b'\n'));
    }
    memchr::memchr3(b'\\', b'\t', b'\n', value)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A row of short values as a server sends it.
    fn row(values: &[Option<&[u8]>]) -> Vec<u8> {
        let mut row = Vec::new();
        for value in values {
            match value {
                None => row.push(0xFB),
                Some(value) => {
                    assert!(value.len() < 0xFB, "its length has one byte");
                    row.push(value.len() as u8);
                    row.extend_from_slice(value);
                }
            }
        }
        row
    }

    fn fields(values: &[Option<&[u8]>]) -> Vec<u8> {
        let mut out = BytesMut::new();
        push_row(&row(values), values.len(), &mut out).unwrap();
        out.to_vec()
    }

    #[test]
    fn values_are_separated_and_three_bytes_escaped() {
        let values = [Some(&b"1"[..]), None, Some(b""), Some(b"a\tb\nc\\N"), Some(b"\0\xFF'\"")];
        assert_eq!(fields(&values), b"1\t\\N\t\ta\\tb\\nc\\\\N\t\0\xFF'\"\n");
        let long = [b'x'; 40];
        let with_tab = [&long[..], b"\t", &long[..]].concat();
        let expected = [&long[..], b"\\t", &long[..], b"\n"].concat();
        assert_eq!(fields(&[Some(&with_tab)]), expected);
    }

    #[test]
    fn a_row_of_another_length_is_refused() {
        let whole = row(&[Some(b"abc"), Some(b"d")]);
        let read = |row: &[u8], columns| push_row(row, columns, &mut BytesMut::new());
        assert_eq!(read(&whole, 2), Ok(()));
        assert_eq!(read(&whole, 1), Err(Malformed));
        assert_eq!(read(&whole, 3), Err(Malformed));
        assert_eq!(read(&whole[..5], 2), Err(Malformed));
    }
}
