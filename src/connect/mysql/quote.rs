//! Names and values written into SQL text for MySQL and MariaDB.
//!
//! In: names as the catalog holds them, and values. Out: text that the server's parser reads back
//! as exactly that name or value, whatever characters it holds, under the `sql_mode` and the
//! character set that [`super::settings`] pin: backslashes escape, and the text is utf8mb4, in
//! which no character holds the byte of a quote or of a backslash. It knows no statement.

use crate::model::TableName;

/// An identifier, always in backticks, with backticks inside of it doubled.
#[must_use]
pub fn quote_ident(name: &str) -> String {
    let mut text = String::with_capacity(name.len() + 2);
    push_ident(&mut text, name);
    text
}

/// A table's qualified name: `` `database`.`name` ``.
#[must_use]
pub fn quote_name(name: &TableName) -> String {
    let mut text = String::with_capacity(name.schema.len() + name.name.len() + 5);
    push_ident(&mut text, &name.schema);
    text.push('.');
    push_ident(&mut text, &name.name);
    text
}

/// An account, `user@host`, as GRANT reads it; one without a host is of any host.
#[must_use]
pub fn quote_account(account: &str) -> String {
    let (user, host) = account.rsplit_once('@').unwrap_or((account, "%"));
    format!("{}@{}", quote_ident(user), quote_ident(host))
}

/// All of a database as GRANT reads it: `` `name`.* ``, in whose name `_` and `%` would stand for
/// others.
#[must_use]
pub fn quote_level(database: &str) -> String {
    quote_ident(&database.replace('_', "\\_").replace('%', "\\%")) + ".*"
}

/// A string literal in the session's character set.
#[must_use]
pub fn quote_literal(value: &str) -> String {
    let mut text = String::with_capacity(value.len() + 2);
    text.push('\'');
    for character in value.chars() {
        match u8::try_from(character).ok().and_then(escape) {
            Some(letter) => text.extend(['\\', char::from(letter)]),
            None => text.push(character),
        }
    }
    text.push('\'');
    text
}

/// Appends a literal of bytes, which the server takes as they are in whatever character set they
/// are to be stored: `_binary'…'`.
pub fn push_bytes(text: &mut Vec<u8>, value: &[u8]) {
    text.reserve(value.len() + 9);
    text.extend_from_slice(b"_binary'");
    push_escaped(text, value);
    text.push(b'\'');
}

/// Appends bytes with those escaped that would end a literal in single quotes.
pub fn push_escaped(text: &mut Vec<u8>, value: &[u8]) {
    let mut rest = value;
    while let Some(at) = rest.iter().position(|byte| escape(*byte).is_some()) {
        text.extend_from_slice(&rest[..at]);
        text.push(b'\\');
        text.extend(escape(rest[at]));
        rest = &rest[at + 1..];
    }
    text.extend_from_slice(rest);
}

/// The letter that stands for a byte after a backslash (MySQL manual, "String Literals"). A zero
/// byte and Control-Z are escaped for tools that stop there when such text lands in a log.
fn escape(byte: u8) -> Option<u8> {
    match byte {
        b'\'' | b'\\' => Some(byte),
        b'\0' => Some(b'0'),
        b'\n' => Some(b'n'),
        b'\r' => Some(b'r'),
        0x1a => Some(b'Z'),
        _ => None,
    }
}

fn push_ident(text: &mut String, name: &str) {
    text.push('`');
    for character in name.chars() {
        if character == '`' {
            text.push('`');
        }
        text.push(character);
    }
    text.push('`');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_and_databases_are_named_as_grant_reads_them() {
        assert_eq!(quote_account("a@b@10.%"), "`a@b`@`10.%`");
        assert_eq!(quote_account("mover"), "`mover`@`%`");
        assert_eq!(quote_level("my_`shop%"), "`my\\_``shop\\%`.*");
    }

    #[test]
    fn identifiers_are_always_quoted() {
        assert_eq!(quote_ident("id"), "`id`");
        assert_eq!(quote_ident("a`b"), "`a``b`");
        let name = TableName { schema: "a.b".into(), name: "x`; --".into() };
        assert_eq!(quote_name(&name), "`a.b`.`x``; --`");
    }

    #[test]
    fn literals_survive_quotes_and_backslashes() {
        assert_eq!(quote_literal("it's"), r"'it\'s'");
        assert_eq!(quote_literal("a\\b\0c\u{1F600}"), "'a\\\\b\\0c\u{1F600}'");
    }

    #[test]
    fn bytes_survive_whatever_they_are() {
        let mut text = b"VALUES (".to_vec();
        push_bytes(&mut text, b"\xff'\\\n\x1a\xbf\x27");
        assert_eq!(text, b"VALUES (_binary'\xff\\'\\\\\\n\\Z\xbf\\''");
    }
}
