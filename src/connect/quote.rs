//! Names and values written into SQL text.
//!
//! In: names as the catalog holds them. Out: text that the server's parser reads back as exactly
//! that name or value, whatever characters it holds. It knows no statement. Every identifier and
//! every literal that reaches a server goes through here, so none can end a statement or name
//! another table.

use crate::model::TableName;

/// An identifier, always in double quotes, with double quotes inside of it doubled.
///
/// Always quoting needs no list of keywords, which grows with each version of the server.
#[must_use]
pub fn quote_ident(name: &str) -> String {
    let mut text = String::with_capacity(name.len() + 2);
    push_doubled(&mut text, name, '"');
    text
}

/// A table's qualified name: `"schema"."name"`.
#[must_use]
pub fn quote_name(name: &TableName) -> String {
    let mut text = String::with_capacity(name.schema.len() + name.name.len() + 5);
    push_doubled(&mut text, &name.schema, '"');
    text.push('.');
    push_doubled(&mut text, &name.name, '"');
    text
}

/// A string literal that means the same under either setting of `standard_conforming_strings`:
/// text with a backslash is written in the escape form.
#[must_use]
pub fn quote_literal(value: &str) -> String {
    if value.contains('\\') {
        let mut text = String::from(" E");
        push_doubled(&mut text, &value.replace('\\', "\\\\"), '\'');
        text
    } else {
        let mut text = String::with_capacity(value.len() + 2);
        push_doubled(&mut text, value, '\'');
        text
    }
}

/// A type's qualified name in the one form in which types are compared between servers and in
/// which a cast may name them: `pg_catalog.int4`, `public."My Type"`, `"sales".mood`.
///
/// After the dot the grammar takes any keyword, so a plain lower-case name stays bare there. Before the
/// dot it does not, so a schema is quoted unless it is one of the two that are known to be no
/// keyword. It is built here and not by the server's `quote_ident`, whose list of keywords
/// differs between versions.
#[must_use]
pub fn type_name(schema: &str, name: &str) -> String {
    let mut text = String::with_capacity(schema.len() + name.len() + 5);
    if matches!(schema, "pg_catalog" | "public") {
        text.push_str(schema);
    } else {
        push_doubled(&mut text, schema, '"');
    }
    text.push('.');
    let plain = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if plain {
        text.push_str(name);
    } else {
        push_doubled(&mut text, name, '"');
    }
    text
}

fn push_doubled(text: &mut String, value: &str, quote: char) {
    text.push(quote);
    for c in value.chars() {
        if c == quote {
            text.push(quote);
        }
        text.push(c);
    }
    text.push(quote);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_always_quoted() {
        assert_eq!(quote_ident("id"), r#""id""#);
        assert_eq!(quote_ident(r#"a"b"#), r#""a""b""#);
        let name = TableName { schema: "a.b".into(), name: r#"x"; --"#.into() };
        assert_eq!(quote_name(&name), r#""a.b"."x""; --""#);
    }

    #[test]
    fn literals_survive_quotes_and_backslashes() {
        assert_eq!(quote_literal("it's"), "'it''s'");
        assert_eq!(quote_literal(r"a\'b"), r" E'a\\''b'");
    }

    #[test]
    fn types_are_bare_only_where_no_keyword_can_interfere() {
        assert_eq!(type_name("pg_catalog", "_int4"), "pg_catalog._int4");
        assert_eq!(type_name("public", "My Type"), r#"public."My Type""#);
        assert_eq!(type_name("order", "mood"), r#""order".mood"#);
    }
}
