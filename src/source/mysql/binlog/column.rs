//! How the values of one column lie in a row, by what the log and the catalog say of it.
//!
//! The log gives a type's number, two bytes about it, and with `binlog_row_metadata = FULL` more;
//! the catalog gives the type as information_schema prints it. Where the two contradict each other
//! there is no [`Kind`], and the table is not read. Type numbers: `enum_field_types` in the
//! server's field_types.h; what their two bytes mean: `Table_map_event` in rows_event.h.

use std::sync::Arc;

use super::number::decimal_len;
use crate::model::Column;

/// The log's numbers of types.
pub(in crate::source::mysql) mod code {
    pub const TINY: u8 = 1;
    pub const SHORT: u8 = 2;
    pub const LONG: u8 = 3;
    pub const FLOAT: u8 = 4;
    pub const DOUBLE: u8 = 5;
    pub const TIMESTAMP: u8 = 7;
    pub const LONGLONG: u8 = 8;
    pub const INT24: u8 = 9;
    pub const DATE: u8 = 10;
    pub const TIME: u8 = 11;
    pub const DATETIME: u8 = 12;
    pub const YEAR: u8 = 13;
    pub const NEWDATE: u8 = 14;
    pub const VARCHAR: u8 = 15;
    pub const BIT: u8 = 16;
    pub const TIMESTAMP2: u8 = 17;
    pub const DATETIME2: u8 = 18;
    pub const TIME2: u8 = 19;
    pub const MARIA_BLOB_COMPRESSED: u8 = 140;
    pub const MARIA_VARCHAR_COMPRESSED: u8 = 141;
    pub const VECTOR: u8 = 242;
    pub const JSON: u8 = 245;
    pub const NEWDECIMAL: u8 = 246;
    pub const ENUM: u8 = 247;
    pub const SET: u8 = 248;
    pub const BLOB: u8 = 252;
    pub const VAR_STRING: u8 = 253;
    pub const STRING: u8 = 254;
    pub const GEOMETRY: u8 = 255;
}

/// The collation of what has no characters.
const BINARY: u32 = 63;

/// What the log says of a column.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Logged {
    /// The type's number; for ENUM and SET not the STRING that they are sent as.
    pub(super) code: u8,
    /// The two bytes about it, the first one first.
    pub(super) meta: [u8; 2],
    pub(super) unsigned: Option<bool>,
    /// The number of its collation.
    pub(super) collation: Option<u32>,
    pub(super) name: Option<String>,
    /// The labels of an ENUM or SET, in the column's character set.
    pub(super) labels: Option<Vec<Box<[u8]>>>,
}

/// Labels of an ENUM or SET.
pub(super) type Labels = Arc<[Box<[u8]>]>;

/// How a column's values lie in a row, and how they are printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// An integer of `len` bytes, printed with at least `width` digits.
    Integer {
        len: u8,
        unsigned: bool,
        width: u8,
    },
    /// With so many decimals, where that is part of the type.
    Float(Option<u8>),
    Double(Option<u8>),
    Decimal {
        precision: u8,
        scale: u8,
    },
    Date,
    Year,
    OldTime,
    OldDateTime,
    OldTimestamp,
    /// With so many digits of a fraction.
    Time(u8),
    DateTime(u8),
    Timestamp(u8),
    /// Bytes behind a length of so many bytes.
    Bytes(u8),
    /// The same, filled up with zeros to `width` bytes.
    Padded {
        len: u8,
        width: usize,
    },
    /// The same, in a form of MariaDB's own.
    Address(Address),
    /// The same, compressed by MariaDB.
    Compressed(u8),
    /// So many bytes.
    Bits(u8),
    /// A number of one or two bytes.
    Enum {
        len: u8,
        labels: Labels,
    },
    /// A bitmap of so many bytes.
    Set {
        len: u8,
        labels: Labels,
    },
    /// A binary JSON document behind a length of so many bytes.
    Json(u8),
}

/// Types of MariaDB whose bytes are not what they print.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Address {
    Uuid,
    Inet4,
    Inet6,
}

impl Address {
    fn named(name: &str) -> Option<Self> {
        match name {
            "uuid" => Some(Address::Uuid),
            "inet4" => Some(Address::Inet4),
            "inet6" => Some(Address::Inet6),
            _ => None,
        }
    }

    /// Bytes of a value.
    fn width(self) -> usize {
        match self {
            Address::Inet4 => 4,
            Address::Uuid | Address::Inet6 => 16,
        }
    }
}

/// A type as information_schema prints it.
struct Declared<'a> {
    /// Its first word, in lower case.
    name: &'a str,
    /// What is in the parentheses behind it.
    arguments: &'a str,
    /// What comes after.
    rest: &'a str,
}

impl<'a> Declared<'a> {
    fn parse(text: &'a str) -> Self {
        let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
        let (name, rest) = text.split_at(end);
        let Some(inner) = rest.strip_prefix('(') else {
            return Declared { name, arguments: "", rest };
        };
        match closing(inner) {
            Some(end) => Declared { name, arguments: &inner[..end], rest: &inner[end + 1..] },
            None => Declared { name, arguments: inner, rest: "" },
        }
    }

    fn number(&self, index: usize) -> Option<u32> {
        self.arguments.split(',').nth(index)?.trim().parse().ok()
    }

    fn says(&self, word: &str) -> bool {
        self.rest.split_ascii_whitespace().any(|part| part.eq_ignore_ascii_case(word))
    }
}

/// Where the parenthesis closes, outside of quoted labels.
fn closing(text: &str) -> Option<usize> {
    let mut quoted = false;
    for (at, character) in text.char_indices() {
        match character {
            '\'' => quoted = !quoted,
            ')' if !quoted => return Some(at),
            _ => {}
        }
    }
    None
}

/// The labels of `enum('a','b''c')`. None where their bytes in the column's own character set are
/// not known.
fn declared_labels(declared: &Declared<'_>, collation: Option<&str>) -> Option<Labels> {
    let utf8 = collation.is_none_or(|collation| collation.starts_with("utf8"));
    let mut labels = Vec::new();
    let mut rest = declared.arguments.trim_start();
    while let Some(inner) = rest.strip_prefix('\'') {
        let mut label = String::new();
        let mut characters = inner.char_indices().peekable();
        let end = loop {
            match characters.next()? {
                (_, '\'') if characters.next_if(|(_, next)| *next == '\'').is_some() => {
                    label.push('\'');
                }
                (at, '\'') => break at,
                (_, character) => label.push(character),
            }
        };
        if !utf8 && !label.is_ascii() {
            return None;
        }
        labels.push(label.into_bytes().into_boxed_slice());
        rest = inner[end + 1..].trim_start().trim_start_matches(',').trim_start();
    }
    Some(labels.into())
}

/// Bytes of the length in front of a value of at most so many bytes.
fn len_of_len(most: usize) -> u8 {
    if most > 255 { 2 } else { 1 }
}

/// The most bytes of a CHAR or BINARY: two bits of the length hide in the type's number
/// (`Field_string::do_save_field_metadata` in the server's field.cc).
fn string_len(meta: [u8; 2]) -> usize {
    usize::from((meta[0] & 0x30) ^ 0x30) << 4 | usize::from(meta[1])
}

impl Logged {
    /// How the log's values are to be read, with what the catalog says of the column.
    ///
    /// # Errors
    ///
    /// What the catalog and the log do not agree on.
    pub(super) fn kind(&self, column: &Column) -> Result<Kind, String> {
        let declared = Declared::parse(&column.type_name);
        let differs =
            || format!("whose column {} is not of type {} there", column.name, column.type_name);
        let name = declared.name.to_ascii_lowercase();
        let kind = match self.code {
            code::TINY | code::SHORT | code::INT24 | code::LONG | code::LONGLONG => {
                self.integer(&name, &declared)
            }
            code::FLOAT if name == "float" => Some(Kind::Float(decimals(&declared))),
            code::DOUBLE if matches!(&*name, "double" | "real") => {
                Some(Kind::Double(decimals(&declared)))
            }
            code::NEWDECIMAL if matches!(&*name, "decimal" | "numeric" | "fixed") => {
                let [precision, scale] = self.meta;
                let same = declared.number(0) == Some(u32::from(precision))
                    && declared.number(1).unwrap_or(0) == u32::from(scale)
                    && decimal_len(precision, scale).is_some();
                same.then_some(Kind::Decimal { precision, scale })
            }
            code::BIT if name == "bit" => {
                let bits = u32::from(self.meta[0]) + 8 * u32::from(self.meta[1]);
                let same = declared.number(0).unwrap_or(1) == bits && (1..=64).contains(&bits);
                same.then_some(Kind::Bits(bits.div_ceil(8) as u8))
            }
            code::ENUM | code::SET => self.labelled(&name, &declared, column),
            code::JSON if name == "json" => Some(Kind::Json(self.meta[0])),
            _ => self.temporal(&name, &declared).or_else(|| self.string(&name, &declared)),
        };
        let kind = kind.ok_or_else(differs)?;
        match (&kind, self.unsigned) {
            (Kind::Integer { unsigned, .. }, Some(logged)) if *unsigned != logged => Err(differs()),
            _ => Ok(kind),
        }
    }

    fn integer(&self, name: &str, declared: &Declared<'_>) -> Option<Kind> {
        let (expected, len) = match name {
            "tinyint" => (code::TINY, 1),
            "smallint" => (code::SHORT, 2),
            "mediumint" => (code::INT24, 3),
            "int" | "integer" => (code::LONG, 4),
            "bigint" => (code::LONGLONG, 8),
            _ => return None,
        };
        let zerofill = declared.says("zerofill");
        let width = if zerofill { declared.number(0).unwrap_or(0) } else { 0 };
        let unsigned = zerofill || declared.says("unsigned");
        let width = u8::try_from(width).ok()?;
        (self.code == expected).then_some(Kind::Integer { len, unsigned, width })
    }

    fn labelled(&self, name: &str, declared: &Declared<'_>, column: &Column) -> Option<Kind> {
        let labels = match &self.labels {
            Some(labels) => labels.clone().into(),
            None => declared_labels(declared, column.collation.as_deref())?,
        };
        let len = self.meta[1];
        match (self.code, name) {
            (code::ENUM, "enum") if matches!(len, 1 | 2) => Some(Kind::Enum { len, labels }),
            (code::SET, "set") if matches!(len, 1..=8) => Some(Kind::Set { len, labels }),
            _ => None,
        }
    }

    fn temporal(&self, name: &str, declared: &Declared<'_>) -> Option<Kind> {
        let digits = u8::try_from(declared.number(0).unwrap_or(0)).ok()?;
        let packed = self.meta[0] == digits && digits <= 6;
        match (self.code, name) {
            (code::DATE | code::NEWDATE, "date") => Some(Kind::Date),
            (code::YEAR, "year") => Some(Kind::Year),
            (code::TIME2, "time") if packed => Some(Kind::Time(digits)),
            (code::DATETIME2, "datetime") if packed => Some(Kind::DateTime(digits)),
            (code::TIMESTAMP2, "timestamp") if packed => Some(Kind::Timestamp(digits)),
            // The older forms with a fraction tell nobody how long they are.
            (code::TIME, "time") if digits == 0 => Some(Kind::OldTime),
            (code::DATETIME, "datetime") if digits == 0 => Some(Kind::OldDateTime),
            (code::TIMESTAMP, "timestamp") if digits == 0 => Some(Kind::OldTimestamp),
            _ => None,
        }
    }

    fn string(&self, name: &str, declared: &Declared<'_>) -> Option<Kind> {
        let is_text = matches!(name, "char" | "varchar" | "nchar" | "nvarchar");
        let longest = usize::from(u16::from_le_bytes(self.meta));
        match self.code {
            code::STRING if name == "binary" => {
                let width = string_len(self.meta);
                let same = declared.number(0).unwrap_or(1) as usize == width;
                same.then_some(Kind::Padded { len: len_of_len(width), width })
            }
            code::STRING if Address::named(name).is_some() => {
                let address = Address::named(name)?;
                // An older form of UUIDs is told apart by a comment.
                let same = address.width() == string_len(self.meta) && declared.rest.is_empty();
                same.then_some(Kind::Address(address))
            }
            code::STRING if name == "char" => Some(Kind::Bytes(len_of_len(string_len(self.meta)))),
            code::VARCHAR | code::VAR_STRING
                if is_text || matches!(name, "varbinary" | "vector") =>
            {
                Some(Kind::Bytes(len_of_len(longest)))
            }
            code::MARIA_VARCHAR_COMPRESSED if matches!(name, "varchar" | "varbinary") => {
                Some(Kind::Compressed(len_of_len(longest)))
            }
            code::BLOB if name.ends_with("text") || name.ends_with("blob") || name == "json" => {
                self.len_bytes().map(Kind::Bytes)
            }
            code::MARIA_BLOB_COMPRESSED if name.ends_with("text") || name.ends_with("blob") => {
                self.len_bytes().map(Kind::Compressed)
            }
            code::VECTOR if name == "vector" => self.len_bytes().map(Kind::Bytes),
            code::GEOMETRY if is_geometry(name) => self.len_bytes().map(Kind::Bytes),
            _ => None,
        }
    }

    fn len_bytes(&self) -> Option<u8> {
        matches!(self.meta[0], 1..=4).then_some(self.meta[0])
    }

    /// The type as information_schema would print it, as far as the log tells: with full metadata
    /// all that is needed to read the values.
    pub(super) fn described(&self) -> Option<String> {
        let binary = self.collation == Some(BINARY);
        let either = |bytes: &str, text: &str| (if binary { bytes } else { text }).to_owned();
        let [first, second] = self.meta;
        let fraction = |name: &str| match first {
            0 => name.to_owned(),
            digits => format!("{name}({digits})"),
        };
        let number = |name: &str| {
            let sign = if self.unsigned == Some(true) { " unsigned" } else { "" };
            format!("{name}{sign}")
        };
        Some(match self.code {
            code::TINY => number("tinyint"),
            code::SHORT => number("smallint"),
            code::INT24 => number("mediumint"),
            code::LONG => number("int"),
            code::LONGLONG => number("bigint"),
            code::FLOAT => number("float"),
            code::DOUBLE => number("double"),
            code::NEWDECIMAL => number(&format!("decimal({first},{second})")),
            code::BIT => format!("bit({})", u32::from(first) + 8 * u32::from(second)),
            code::DATE | code::NEWDATE => "date".to_owned(),
            code::YEAR => "year".to_owned(),
            code::TIME => "time".to_owned(),
            code::DATETIME => "datetime".to_owned(),
            code::TIMESTAMP => "timestamp".to_owned(),
            code::TIME2 => fraction("time"),
            code::DATETIME2 => fraction("datetime"),
            code::TIMESTAMP2 => fraction("timestamp"),
            code::JSON => "json".to_owned(),
            code::VECTOR => "vector".to_owned(),
            code::GEOMETRY => "geometry".to_owned(),
            code::STRING if binary => format!("binary({})", string_len(self.meta)),
            code::STRING => "char".to_owned(),
            code::VARCHAR | code::VAR_STRING | code::MARIA_VARCHAR_COMPRESSED => {
                either("varbinary", "varchar")
            }
            code::BLOB | code::MARIA_BLOB_COMPRESSED => match first {
                1 => either("tinyblob", "tinytext"),
                2 => either("blob", "text"),
                3 => either("mediumblob", "mediumtext"),
                _ => either("longblob", "longtext"),
            },
            code::ENUM => format!("enum({})", self.quoted_labels()?),
            code::SET => format!("set({})", self.quoted_labels()?),
            _ => return None,
        })
    }

    fn quoted_labels(&self) -> Option<String> {
        let quote =
            |label: &[u8]| format!("'{}'", String::from_utf8_lossy(label).replace('\'', "''"));
        let labels: Vec<_> = self.labels.as_ref()?.iter().map(|label| quote(label)).collect();
        Some(labels.join(","))
    }
}

fn is_geometry(name: &str) -> bool {
    matches!(
        name,
        "geometry"
            | "point"
            | "linestring"
            | "polygon"
            | "multipoint"
            | "multilinestring"
            | "multipolygon"
            | "geometrycollection"
            | "geomcollection"
    )
}

/// The decimals of `double(10,2)`.
fn decimals(declared: &Declared<'_>) -> Option<u8> {
    declared.number(1).and_then(|decimals| u8::try_from(decimals).ok()).filter(|d| *d <= 30)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_read_whatever_is_in_them() {
        let read = |text: &str, collation| {
            let labels = declared_labels(&Declared::parse(text), collation)?;
            Some(labels.iter().map(|label| String::from_utf8_lossy(label).into_owned()).collect())
        };
        let labels: Option<Vec<String>> = read("enum('a','b''c',')','x,y','')", None);
        assert_eq!(labels.unwrap(), ["a", "b'c", ")", "x,y", ""]);
        assert_eq!(read("set('é')", Some("utf8mb4_bin")), Some(vec!["é".to_owned()]));
        assert_eq!(read("set('é')", Some("latin1_swedish_ci")), None);
    }

    #[test]
    fn the_length_of_a_char_hides_in_its_type() {
        assert_eq!(string_len([0xFE, 120]), 120);
        assert_eq!(string_len([0xFE ^ 0x30, 0xFC]), 0x3FC);
        assert_eq!(string_len([0xEE, 0]), 0x100);
    }
}
