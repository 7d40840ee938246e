//! Rows found by their keys, as COPY writes them.
//!
//! In: fields of rows as they stood in the text form of a COPY. Out: conditions that find these rows
//! again, on whichever server. It knows no statement.

use super::escaped::unescaped;
use super::quote::{quote_ident, quote_literal};
use crate::model::Table;

/// The condition that holds for rows with one of these keys: fields of a row in key order, as COPY
/// writes them, with a tab between two.
#[must_use]
pub fn one_of(table: &Table, keys: &[&[u8]]) -> String {
    let columns: Vec<_> = table.key_columns().map(|column| quote_ident(&column.name)).collect();
    let mut keys: Vec<Vec<String>> = keys.iter().filter_map(|key| literals(key)).collect();
    keys.retain(|key| key.len() == columns.len() && !key.is_empty());
    if keys.is_empty() {
        return "false".to_owned();
    }
    if let [column] = columns.as_slice() {
        return format!("{column} IN ({})", keys.concat().join(", "));
    }
    let rows: Vec<_> = keys.iter().map(|key| format!("({})", key.join(", "))).collect();
    format!("({}) IN ({})", columns.join(", "), rows.join(", "))
}

/// A key's fields as literals. None where they are no text in the session's encoding.
#[must_use]
pub fn literals(key: &[u8]) -> Option<Vec<String>> {
    let literal = |field| Some(quote_literal(&String::from_utf8(unescaped(field, meant)).ok()?));
    key.split(|byte| *byte == b'\t').map(literal).collect()
}

/// What COPY means by the byte behind a backslash ("File Formats" of COPY in the manual).
fn meant(escaped: u8) -> u8 {
    match escaped {
        b'b' => 0x08,
        b'f' => 0x0c,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'v' => 0x0b,
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_a_key_are_read_back() {
        assert_eq!(unescaped(b"a\\tb\\\\n\\n\\x", meant), b"a\tb\\n\nx");
        assert_eq!(literals(b"1\tit's\\\\").unwrap(), ["'1'", " E'it''s\\\\'"]);
        assert_eq!(literals(b"\xff"), None);
    }
}
