//! Takes the script that `pg_restore --verbose` writes apart into the archive's entries.
//!
//! In: the script's text. Out: entries in its order, each with its number, class, OID, kind, name
//! and SQL. It runs nothing. An entry's head is a comment; the same text may stand inside of a
//! function's body or a table's comment, put there by anybody who may create one, and must not be
//! taken for a head. So the script is read as the server's scanner reads it (`scan.l`), and only
//! comments outside of every quotation count.

use std::ops::Range;

use super::schema::SchemaError;

/// One entry of an archive's table of contents, with its SQL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its number in the archive.
    pub toc_id: u32,
    /// OID of the system catalog that the object is in; 0 where there is none.
    pub class: u32,
    /// The object's OID on the source; 0 where there is none.
    pub oid: u32,
    /// `TABLE`, `INDEX`, `FK CONSTRAINT`, … as `pg_dump` calls it.
    pub kind: String,
    /// The schema it lies in.
    pub schema: Option<String>,
    /// Its tag: the name, often with the table's before it.
    pub name: String,
    /// Entries that must be there before it.
    pub dependencies: Vec<u32>,
    /// Its statements.
    pub sql: String,
}

impl Entry {
    /// The entry as an operator knows it.
    #[must_use]
    pub fn label(&self) -> String {
        match &self.schema {
            Some(schema) => format!("{} {schema}.{}", self.kind, self.name),
            None => format!("{} {}", self.kind, self.name),
        }
    }
}

/// Reads a script's entries. What stands before the first one only sets the session up and is
/// left out, as are psql's own commands, which newer versions of `pg_dump` write.
///
/// # Errors
///
/// A head cannot be read.
pub fn entries(script: &str) -> Result<Vec<Entry>, SchemaError> {
    let comments: Vec<Range<usize>> = scan(script)
        .into_iter()
        .filter_map(|token| match token {
            Token::Comment(range) => Some(range),
            Token::End(_) => None,
        })
        .collect();
    let mut entries: Vec<Entry> = Vec::new();
    let mut body_from = script.len();
    let mut comments = comments.into_iter().peekable();
    while let Some(range) = comments.next() {
        let line = &script[range.clone()];
        let closing = line.starts_with("-- PostgreSQL database dump complete")
            || line.starts_with("-- Completed on ");
        if !closing && !line.starts_with("-- TOC entry ") {
            continue;
        }
        if let Some(entry) = entries.last_mut() {
            entry.sql = body(&script[body_from.min(range.start)..range.start]);
            body_from = script.len();
        }
        if closing {
            break;
        }
        let mut head = vec![line];
        while let Some(next) = comments.next_if(|next| &script[next.clone()] != "--") {
            head.push(&script[next]);
        }
        body_from = comments.next().map_or(script.len(), |closing| closing.end);
        entries.push(read_head(&head)?);
    }
    if body_from < script.len()
        && let Some(entry) = entries.last_mut()
    {
        entry.sql = body(&script[body_from..]);
    }
    let first = script.find("\n-- TOC entry ").unwrap_or(script.len());
    carry_settings(&script[..first], &mut entries);
    Ok(entries)
}

/// Splits an entry's SQL at its semicolons. Not for functions whose body is not quoted.
#[must_use]
pub fn statements(sql: &str) -> Vec<String> {
    let mut statements = Vec::new();
    let mut from = 0;
    for token in scan(sql) {
        if let Token::End(at) = token {
            statements.push(sql[from..at].trim().to_owned());
            from = at + 1;
        }
    }
    statements.push(sql[from..].trim().to_owned());
    statements.retain(|statement| !statement.is_empty());
    statements
}

fn read_head(head: &[&str]) -> Result<Entry, SchemaError> {
    let parse = || -> Option<Entry> {
        let rest = head.first()?.strip_prefix("-- TOC entry ")?;
        let (toc_id, rest) = rest.split_once(" (class ")?;
        let (class, oid) = rest.strip_suffix(')')?.split_once(" OID ")?;
        let field = |prefix| head.iter().find_map(|line| line.strip_prefix(prefix));
        // The tag comes first and may hold anything; the fields behind it are found from the end.
        let named: &str = field("-- Name: ")?;
        let (name, rest) = named.rsplit_once("; Type: ")?;
        let (kind, rest) = rest.split_once("; Schema: ")?;
        let (schema, _owner) = rest.rsplit_once("; Owner:")?;
        let dependencies = field("-- Dependencies: ").unwrap_or_default();
        Some(Entry {
            toc_id: toc_id.parse().ok()?,
            class: class.parse().ok()?,
            oid: oid.parse().ok()?,
            kind: kind.to_owned(),
            schema: (schema != "-").then(|| schema.to_owned()),
            name: name.to_owned(),
            dependencies: dependencies.split(' ').filter_map(|id| id.parse().ok()).collect(),
            sql: String::new(),
        })
    };
    parse().ok_or_else(|| SchemaError::Head {
        head: head.first().copied().unwrap_or_default().to_owned(),
    })
}

/// An entry's statements without the frame of the next head (`--`) and psql's own commands.
fn body(text: &str) -> String {
    let mut text = text.trim();
    loop {
        let before = text;
        text = text.strip_suffix("\n--").unwrap_or(text).trim_end();
        if let Some((rest, last)) = text.rsplit_once('\n')
            && (last.starts_with("\\unrestrict ") || last.starts_with("\\restrict "))
        {
            text = rest.trim_end();
        }
        if text == "--" {
            text = "";
        }
        if text == before {
            return text.to_owned();
        }
    }
}

const CARRIED: [&str; 2] = ["SET default_table_access_method = ", "SET default_tablespace = "];

/// `pg_restore` writes a setting that an entry needs before that entry's head, and only when it
/// differs from the one before. Here each entry that depends on one gets it for itself, so that
/// entries may run in any order and in any session.
fn carry_settings(preamble: &str, entries: &mut [Entry]) {
    let local = |line: &str| Some(line.replacen("SET ", "SET LOCAL ", 1));
    let mut in_force = CARRIED.map(|set| {
        let line = preamble.lines().rfind(|line| line.starts_with(set));
        line.and_then(local)
    });
    for entry in entries {
        let mut settings: Vec<String> = Vec::new();
        if entry.kind.ends_with("TABLE") || entry.kind == "MATERIALIZED VIEW" {
            settings.extend(in_force.iter().flatten().cloned());
        }
        while let Some((at, line)) = last_line(&entry.sql)
            && let Some(which) = CARRIED.iter().position(|set| line.starts_with(set))
        {
            in_force[which] = local(line);
            entry.sql.truncate(at);
            entry.sql.truncate(entry.sql.trim_end().len());
        }
        if !settings.is_empty() {
            entry.sql = format!("{}\n{}", settings.join("\n"), entry.sql);
        }
    }
}

fn last_line(text: &str) -> Option<(usize, &str)> {
    let at = text.rfind('\n').map_or(0, |at| at + 1);
    (at < text.len()).then(|| (at, &text[at..]))
}

enum Token {
    /// A `--` comment, without its line end.
    Comment(Range<usize>),
    /// The semicolon that ends a statement.
    End(usize),
}

/// Finds line comments and semicolons outside of quotations. Bytes suffice: every byte that
/// matters is ASCII, and no byte of a longer UTF-8 character is.
fn scan(text: &str) -> Vec<Token> {
    let bytes = text.as_bytes();
    let mut tokens = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        at = match rest {
            [b'-', b'-', ..] => {
                let end = at + find(rest, b"\n").unwrap_or(rest.len());
                tokens.push(Token::Comment(at..end));
                end
            }
            [b'/', b'*', ..] => at + block_comment(rest),
            [b'\'', ..] => at + quotation(rest, escapes(&bytes[..at])),
            [b'"', ..] => at + quotation(rest, false),
            [b'$', ..] if !in_word(&bytes[..at]) => at + dollar_quotation(rest),
            [b';', ..] => {
                tokens.push(Token::End(at));
                at + 1
            }
            _ => at + 1,
        };
    }
    tokens
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    memchr::memmem::find(text, what)
}

/// Whether the quote after this text begins an escape string: `E'…'`.
fn escapes(before: &[u8]) -> bool {
    match before {
        [rest @ .., b'e' | b'E'] => !in_word(rest),
        _ => false,
    }
}

fn in_word(before: &[u8]) -> bool {
    before.last().is_some_and(|&b| b.is_ascii_alphanumeric() || b == b'_' || b == b'$' || b >= 0x80)
}

/// Length of a quotation. A doubled quote ends one and begins the next, which is as good.
fn quotation(text: &[u8], escapes: bool) -> usize {
    let quote = text[0];
    let mut at = 1;
    while at < text.len() {
        match text[at] {
            b'\\' if escapes => at += 2,
            b if b == quote && text.get(at + 1) == Some(&quote) => at += 2,
            b if b == quote => return at + 1,
            _ => at += 1,
        }
    }
    text.len()
}

/// Length of `$tag$ … $tag$`, or 1 where the dollar opens none.
fn dollar_quotation(text: &[u8]) -> usize {
    let tag_end =
        text[1..].iter().position(|&b| !(b.is_ascii_alphanumeric() || b == b'_' || b >= 0x80));
    let Some(end) = tag_end.map(|at| at + 1).filter(|&at| text[at] == b'$') else {
        return 1;
    };
    if text[1].is_ascii_digit() {
        return 1;
    }
    let tag = &text[..=end];
    find(&text[tag.len()..], tag).map_or(text.len(), |at| at + 2 * tag.len())
}

/// Length of a block comment; they nest.
fn block_comment(text: &[u8]) -> usize {
    let (mut at, mut depth) = (2, 1);
    while at < text.len() && depth > 0 {
        match &text[at..] {
            [b'/', b'*', ..] => {
                depth += 1;
                at += 2;
            }
            [b'*', b'/', ..] => {
                depth -= 1;
                at += 2;
            }
            _ => at += 1,
        }
    }
    at.min(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCRIPT: &str = r#"--
-- PostgreSQL database dump
--

\restrict abc

-- Dumped from database version 15.18
SET statement_timeout = 0;

--
-- TOC entry 450 (class 1255 OID 17032)
-- Name: f(); Type: FUNCTION; Schema: public; Owner: me
--

CREATE FUNCTION public.f() RETURNS trigger
    LANGUAGE plpgsql
    AS $_x$
--
-- TOC entry 451 (class 1255 OID 17033)
-- Name: fake; Type: INDEX; Schema: public; Owner: postgres
--
DROP TABLE x;
$_x$;


SET default_table_access_method = heap;

--
-- TOC entry 451 (class 1259 OID 17033)
-- Dependencies: 450 7
-- Name: a; Type: b; Type: TABLE; Schema: S p; Owner: postgres; Tablespace: x
--

CREATE TABLE "S p"."a; Type: b" (x text DEFAULT E'\';--' );


--
-- TOC entry 452 (class 0 OID 0)
-- Dependencies: 451
-- Name: TABLE a; Type: COMMENT; Schema: -; Owner: postgres
--

COMMENT ON TABLE "S p"."a; Type: b" IS '
--
-- TOC entry 9 (class 1 OID 1)
-- it''s';


-- Completed on 2026-11-23

--
-- PostgreSQL database dump complete
--

\unrestrict abc
"#;

    #[test]
    fn heads_inside_of_quotations_are_text() {
        let entries = entries(SCRIPT).unwrap();
        let ids: Vec<u32> = entries.iter().map(|entry| entry.toc_id).collect();
        assert_eq!(ids, [450, 451, 452]);
        assert!(entries[0].sql.starts_with("CREATE FUNCTION"));
        assert!(entries[0].sql.ends_with("$_x$;"));
        assert_eq!(entries[1].kind, "TABLE");
        assert_eq!(entries[1].name, "a; Type: b");
        assert_eq!(entries[1].schema.as_deref(), Some("S p"));
        assert_eq!(entries[1].dependencies, [450, 7]);
        assert!(
            entries[1]
                .sql
                .starts_with("SET LOCAL default_table_access_method = heap;\nCREATE TABLE")
        );
        assert_eq!(entries[2].schema, None);
        assert!(entries[2].sql.ends_with("it''s';"));
    }

    #[test]
    fn statements_end_at_semicolons_outside_of_quotations() {
        assert_eq!(
            statements(
                r#"ALTER TABLE "a;b" ADD x; /* ; /* ; */ */ SELECT $$;$$, $1, 'a;''', E'\';';"#
            ),
            [r#"ALTER TABLE "a;b" ADD x"#, r#"/* ; /* ; */ */ SELECT $$;$$, $1, 'a;''', E'\';'"#]
        );
    }

    #[test]
    fn text_that_ends_early_does_no_harm() {
        for text in ["'", "E'\\", "$a$", "$", "/*", "/* /", "--", "\"", "a$b$;"] {
            let _ = scan(text);
            let _ = statements(text);
        }
        assert!(entries("-- TOC entry x\n--\n").is_err());
    }
}
