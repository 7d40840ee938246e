//! The values of keys, from the server and back to it.
//!
//! In: a key column. Out: the expression that reads its value as text for a chunk's border, and the
//! literal that means that value again; and the condition that finds rows by the keys that they had
//! in the body of a `LOAD DATA`. Text and bytes travel as hexadecimal digits, since a border is kept
//! as text and they may be in any character set. It knows no statement.
//!
//! Ranges of keys hold every row exactly once because the server compares a key with a border as it
//! compares two keys: a literal has its column's own character set and collation.

use super::described::{character_set, data_type};
use super::quote::{quote_ident, quote_literal};
use crate::connect::escaped::unescaped;
use crate::model::{Column, Table};

/// How a key column is compared with a border.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyForm {
    /// A number, which is written without quotes.
    Number,
    /// A date, a time or another value that the server reads from its text.
    Quoted,
    /// Text of some character set, or bytes.
    Hexadecimal,
}

impl KeyForm {
    /// None where no range of such keys can be read: an ENUM or SET sorts by its number and is
    /// compared by its label, a FLOAT equals no literal, and the rest is not worth the risk.
    pub fn of(column: &Column) -> Option<Self> {
        match data_type(&column.type_name) {
            "tinyint" | "smallint" | "mediumint" | "int" | "bigint" | "decimal" | "year" => {
                Some(KeyForm::Number)
            }
            "date" | "datetime" | "timestamp" | "time" | "uuid" | "inet4" | "inet6" => {
                Some(KeyForm::Quoted)
            }
            "char" | "varchar" | "binary" | "varbinary" => Some(KeyForm::Hexadecimal),
            _ => None,
        }
    }

    /// The expression that gives a column's value as a border has it.
    pub fn select(self, column: &Column) -> String {
        let name = quote_ident(&column.name);
        match self {
            KeyForm::Number | KeyForm::Quoted => name,
            KeyForm::Hexadecimal => format!("CONCAT('\\\\x', LOWER(HEX({name})))"),
        }
    }

    /// The literal for a value as a row has it. None where it is not of the column's form.
    pub fn literal_of(self, column: &Column, value: &[u8]) -> Option<String> {
        let text = match self {
            KeyForm::Number | KeyForm::Quoted => std::str::from_utf8(value).ok()?.to_owned(),
            KeyForm::Hexadecimal => {
                let digits = value.iter().map(|byte| format!("{byte:02x}"));
                format!("\\x{}", digits.collect::<String>())
            }
        };
        self.literal(column, &text)
    }

    /// The literal for a value at a border. None where the text is not of the form that
    /// [`Self::select`] gives.
    pub fn literal(self, column: &Column, text: &str) -> Option<String> {
        match self {
            KeyForm::Number => {
                let digits = text.strip_prefix('-').unwrap_or(text);
                let is_number = digits.starts_with(|c: char| c.is_ascii_digit())
                    && digits.chars().all(|c| c.is_ascii_digit() || c == '.');
                is_number.then(|| text.to_owned())
            }
            KeyForm::Quoted => Some(quote_literal(text)),
            KeyForm::Hexadecimal => {
                let digits = text.strip_prefix("\\x")?;
                let are_digits = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
                if !are_digits || digits.len() % 2 == 1 {
                    return None;
                }
                let bytes = format!("X'{digits}'");
                Some(match &column.collation {
                    Some(collation) => {
                        let character_set = character_set(collation);
                        format!("_{character_set} {bytes} COLLATE {collation}")
                    }
                    None => bytes,
                })
            }
        }
    }
}

/// The condition that holds for rows with one of these keys: fields of a row, in key order, with a tab
/// between two. A list is planned faster than alternatives.
#[must_use]
pub fn one_of(table: &Table, keys: &[&[u8]]) -> String {
    let columns: Vec<&Column> = table.key_columns().collect();
    let keys: Vec<_> = keys.iter().filter_map(|key| literals(&columns, key)).collect();
    match columns.as_slice() {
        _ if keys.is_empty() => "FALSE".to_owned(),
        [column] => format!("{} IN ({})", quote_ident(&column.name), keys.concat().join(", ")),
        columns => {
            let keys: Vec<_> = keys.iter().map(|key| all_equal(columns, key)).collect();
            keys.join(" OR ")
        }
    }
}

/// `(a = 1 AND b = 2)`. None where a column equals no literal.
#[must_use]
pub fn equal(table: &Table, key: &[u8]) -> Option<String> {
    let columns: Vec<&Column> = table.key_columns().collect();
    Some(all_equal(&columns, &literals(&columns, key)?))
}

fn all_equal(columns: &[&Column], literals: &[String]) -> String {
    let equals = |(column, literal): (&&Column, &String)| {
        format!("{} = {literal}", quote_ident(&column.name))
    };
    let conditions: Vec<_> = columns.iter().zip(literals).map(equals).collect();
    format!("({})", conditions.join(" AND "))
}

/// A key's fields as literals. None where a column equals none.
fn literals(columns: &[&Column], key: &[u8]) -> Option<Vec<String>> {
    let fields: Vec<&[u8]> = key.split(|byte| *byte == b'\t').collect();
    if fields.len() != columns.len() {
        return None;
    }
    let literal = |(column, field): (&&Column, &&[u8])| {
        KeyForm::of(column)?.literal_of(column, &unescaped(field, meant))
    };
    columns.iter().zip(&fields).map(literal).collect()
}

/// What a body of LOAD DATA means by the byte behind a backslash.
fn meant(escaped: u8) -> u8 {
    match escaped {
        b't' => b'\t',
        b'n' => b'\n',
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connect::mysql::described::order;

    fn column(column_type: &str, collation: Option<&str>) -> Column {
        Column {
            name: "k`".to_owned(),
            number: 1,
            version: 0,
            type_name: column_type.to_owned(),
            type_modifier: -1,
            not_null: true,
            generated: false,
            collation: collation.map(str::to_owned),
            order: order(column_type, collation),
        }
    }

    #[test]
    fn a_border_reads_back_as_the_value_that_it_was() {
        let literal = |column: &Column, text: &str| KeyForm::of(column)?.literal(column, text);
        let number = column("bigint unsigned", None);
        assert_eq!(
            literal(&number, "18446744073709551615").as_deref(),
            Some("18446744073709551615")
        );
        assert_eq!(literal(&number, "-7").as_deref(), Some("-7"));
        for injected in ["", "-", "1 OR 1", "1e5", "--1"] {
            assert_eq!(literal(&number, injected), None, "{injected}");
        }
        let text = column("varchar(10)", Some("latin1_swedish_ci"));
        let expected = "_latin1 X'61ff' COLLATE latin1_swedish_ci";
        assert_eq!(literal(&text, "\\x61ff").as_deref(), Some(expected));
        assert_eq!(literal(&text, "abc"), None);
        assert_eq!(literal(&column("binary(2)", None), "\\x00ff").as_deref(), Some("X'00ff'"));
        let moment = column("datetime(3)", None);
        let expected = "'2024-01-01 00:00:00.000'";
        assert_eq!(literal(&moment, "2024-01-01 00:00:00.000").as_deref(), Some(expected));
        assert_eq!(KeyForm::of(&column("enum('a')", None)), None);
        assert_eq!(KeyForm::of(&column("float", None)), None);
    }
}
