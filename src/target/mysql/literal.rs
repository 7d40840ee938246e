//! Names and values written into SQL text for MySQL and MariaDB.
//!
//! In: names, and values as the source's text or bytes. Out: text that the server's lexer reads
//! back as exactly that name or those bytes. It counts on a session whose `character_set_client` is
//! `binary`, where the lexer looks at single bytes and a backslash escapes the next one; the
//! introducer before a string says in which character set its bytes are, so that none is converted
//! on its way into a column of that character set, and so that a comparison goes by the column's own
//! collation and finds its index (manual, "Character Set Introducers").

use crate::model::{TableName, Value};

/// How values of a column are written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Encoding {
    /// As they are: whole and decimal numbers.
    Bare,
    /// As a string of ASCII characters: floating-point numbers, dates, times.
    Ascii,
    /// As a string in this character set.
    Text(String),
    /// As a label in this character set; without a label of no characters, the empty value is the
    /// index zero, which no string means.
    Label { charset: String, has_empty: bool },
    /// As the number that the bytes make, the highest first.
    Bits,
}

/// A value that the plan asks for and nobody has.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a value is asked for that is not in the log")]
pub(super) struct AbsentValue;

impl Encoding {
    /// How values of a column of this type (`COLUMN_TYPE`) and collation are written.
    pub(super) fn of(type_name: &str, collation: Option<&str>) -> Self {
        let charset = || collation.map_or_else(|| "binary".to_owned(), charset);
        match base(type_name) {
            "tinyint" | "smallint" | "mediumint" | "int" | "integer" | "bigint" | "decimal"
            | "numeric" => Encoding::Bare,
            "char" | "varchar" | "tinytext" | "text" | "mediumtext" | "longtext" | "set" => {
                Encoding::Text(charset())
            }
            "enum" => Encoding::Label { charset: charset(), has_empty: has_empty_label(type_name) },
            "json" => Encoding::Text("utf8mb4".to_owned()),
            "bit" => Encoding::Bits,
            "float" | "double" | "real" | "date" | "time" | "datetime" | "timestamp" | "year"
            | "uuid" | "inet4" | "inet6" => Encoding::Ascii,
            // binary, varbinary, the blobs, geometries, vectors: their stored bytes
            _ => Encoding::Text("binary".to_owned()),
        }
    }

    /// Writes a value. Returns whether it was one that a strict session does not take: the index
    /// zero of an ENUM.
    pub(super) fn push(&self, text: &mut Vec<u8>, value: Value<'_>) -> Result<bool, AbsentValue> {
        let bytes = match value {
            Value::Absent => return Err(AbsentValue),
            Value::Null => {
                text.extend_from_slice(b"NULL");
                return Ok(false);
            }
            Value::Text(bytes) => bytes,
        };
        match self {
            Encoding::Bare => text.extend_from_slice(bytes),
            Encoding::Ascii => push_string(text, "latin1", bytes),
            Encoding::Text(charset) => push_string(text, charset, bytes),
            Encoding::Label { has_empty: false, .. } if bytes.is_empty() => {
                text.push(b'0');
                return Ok(true);
            }
            Encoding::Label { charset, .. } => push_string(text, charset, bytes),
            Encoding::Bits => {
                let number = bytes.iter().fold(0u64, |number, byte| number << 8 | u64::from(*byte));
                text.extend_from_slice(number.to_string().as_bytes());
            }
        }
        Ok(false)
    }

    /// Writes a value that a column is compared with. The index zero of an ENUM equals the empty string; a
    /// number would have labels beside it compared as numbers too.
    pub(super) fn push_compared(
        &self,
        text: &mut Vec<u8>,
        value: Value<'_>,
    ) -> Result<(), AbsentValue> {
        match (self, value) {
            (Encoding::Label { charset, .. }, Value::Text(bytes)) => {
                push_string(text, charset, bytes);
                Ok(())
            }
            _ => self.push(text, value).map(drop),
        }
    }
}

/// The first word of a type: `int` of `int unsigned`, `varchar` of `varchar(20)`.
pub(super) fn base(type_name: &str) -> &str {
    let end = type_name.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    &type_name[..end.unwrap_or(type_name.len())]
}

/// The character set that texts of a collation are written in: its name begins with that of its own.
/// utf8mb3 goes as the utf8mb4 that it is a part of, since its name differs between versions.
pub(super) fn charset(collation: &str) -> String {
    match collation.split('_').next().unwrap_or(collation) {
        "utf8" | "utf8mb3" => "utf8mb4".to_owned(),
        charset => charset.to_owned(),
    }
}

/// Whether one of the labels of an ENUM has no characters.
fn has_empty_label(type_name: &str) -> bool {
    let mut quotes = type_name.trim_start_matches("enum(").trim_end_matches(')').as_bytes().iter();
    let (mut inside, mut length) = (false, 0);
    while let Some(&byte) = quotes.next() {
        match (inside, byte) {
            (false, b'\'') => (inside, length) = (true, 0),
            (false, _) => {}
            (true, b'\'') if quotes.as_slice().first() == Some(&b'\'') => {
                length += 1;
                quotes.next();
            }
            (true, b'\'') if length == 0 => return true,
            (true, b'\'') => inside = false,
            (true, _) => length += 1,
        }
    }
    false
}

fn push_string(text: &mut Vec<u8>, charset: &str, bytes: &[u8]) {
    text.push(b'_');
    text.extend_from_slice(charset.as_bytes());
    text.push(b'\'');
    let mut rest = bytes;
    while let Some(at) = memchr::memchr3(b'\'', b'\\', 0, rest) {
        text.extend_from_slice(&rest[..at]);
        text.push(b'\\');
        text.push(if rest[at] == 0 { b'0' } else { rest[at] });
        rest = &rest[at + 1..];
    }
    text.extend_from_slice(rest);
    text.push(b'\'');
}

/// An identifier in backticks.
pub(super) fn ident(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// A table's qualified name in backticks.
pub(super) fn name(table: &TableName) -> String {
    format!("{}.{}", ident(&table.schema), ident(&table.name))
}

/// A string literal in UTF-8.
pub(super) fn text(value: &str) -> String {
    let mut text = String::with_capacity(value.len() + 12);
    text.push_str("_utf8mb4'");
    for c in value.chars() {
        match c {
            '\'' | '\\' => text.extend(['\\', c]),
            '\0' => text.push_str("\\0"),
            c => text.push(c),
        }
    }
    text.push('\'');
    text
}

/// Bytes as a literal.
pub(super) fn bytes(value: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(value.len() + 16);
    push_string(&mut text, "binary", value);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(type_name: &str, collation: Option<&str>, value: &[u8]) -> String {
        let mut text = Vec::new();
        let encoding = Encoding::of(type_name, collation);
        encoding.push(&mut text, Value::Text(value)).unwrap();
        String::from_utf8_lossy(&text).into_owned()
    }

    #[test]
    fn each_type_has_its_form() {
        assert_eq!(written("int unsigned", None, b"7"), "7");
        assert_eq!(written("decimal(65,30)", None, b"-0.1"), "-0.1");
        assert_eq!(
            written("varchar(3)", Some("latin1_swedish_ci"), b"it's\\\0"),
            "_latin1'it\\'s\\\\\\0'"
        );
        assert_eq!(
            written("datetime(6)", None, b"0000-00-00 00:00:00.000000"),
            "_latin1'0000-00-00 00:00:00.000000'"
        );
        assert_eq!(written("bit(12)", None, &[0x0A, 0xFF]), "2815");
        assert_eq!(written("varbinary(4)", None, b"a'"), "_binary'a\\''");
        assert_eq!(written("json", None, b"{}"), "_utf8mb4'{}'");
        assert_eq!(written("enum('a','b')", Some("utf8mb4_bin"), b""), "0");
        assert_eq!(written("enum('a','')", Some("utf8mb4_bin"), b""), "_utf8mb4''");
    }

    #[test]
    fn labels_are_compared_as_strings() {
        let compared = |type_name: &str, value: &[u8]| {
            let mut text = Vec::new();
            let encoding = Encoding::of(type_name, Some("latin1_bin"));
            encoding.push_compared(&mut text, Value::Text(value)).unwrap();
            String::from_utf8(text).unwrap()
        };
        assert_eq!(compared("enum('a','b')", b""), "_latin1''");
        assert_eq!(compared("enum('a','b')", b"a"), "_latin1'a'");
        assert_eq!(compared("int", b"7"), "7");
    }

    #[test]
    fn an_empty_label_is_told_from_a_quote_in_one() {
        assert!(has_empty_label("enum('a','')"));
        assert!(has_empty_label("enum('')"));
        assert!(!has_empty_label("enum('a''','b')"));
        assert!(!has_empty_label("enum('''','b')"));
        assert!(has_empty_label("enum('''','')"));
    }

    #[test]
    fn names_end_in_their_own_backticks() {
        assert_eq!(ident("a`b"), "`a``b`");
        assert_eq!(text("it's"), "_utf8mb4'it\\'s'");
    }
}
