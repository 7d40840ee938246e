//! Statements in the log: what they do to a transaction, and whether they change rows.
//!
//! In comes the body of a QUERY event; out come the statement with the settings it ran under, and
//! its [`Verb`]. Only the first words are looked at: what is passed on as a definition is understood
//! elsewhere. Layout: `Query_event` in the server's statement_events.h.

use super::cursor::Cursor;
use super::error::Problem;
use super::format::Format;
use super::table::Habits;
use crate::model::{Act, Statement};

/// What a statement is to the transaction it stands in.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Begin,
    Commit,
    Rollback,
    RollbackToSavepoint,
    /// Begins a transaction that may be prepared.
    XaBegin,
    /// Commits a transaction that was prepared.
    XaCommit,
    /// Rolls one back.
    XaRollback,
    /// Neither changes rows nor ends anything.
    Nothing,
    /// It changes rows, or may, and they are not in the log: those of the tables that it names, or of any
    /// that a trigger, a view or a function leads to.
    Change,
    /// A definition that may change tables; `opens` where rows of its own follow in the same
    /// transaction.
    Define {
        opens: bool,
    },
    /// A definition that leaves every table as it is, and its first words: all that may be shown of
    /// it, since a password may stand in the rest.
    Beside {
        words: String,
        opens: bool,
    },
}

/// Statements that change no table, by their first word.
const BESIDE_TABLES: &[&str] =
    &["GRANT", "REVOKE", "FLUSH", "OPTIMIZE", "REPAIR", "CHECK", "INSTALL", "UNINSTALL"];

/// Kinds of objects that are no tables, and whose definitions change none.
const NO_TABLES: &[&str] =
    &["VIEW", "TRIGGER", "EVENT", "FUNCTION", "PROCEDURE", "PACKAGE", "USER", "ROLE", "SERVER"];

/// So many words may stand in front of the kind of an object that is defined.
const WORDS_BEFORE_KIND: usize = 32;

/// Numbers of the settings that stand in front of a statement (`Query_event_status_vars` in
/// MySQL's statement_events.h, `Q_*_CODE` in MariaDB's log_event.h).
mod setting {
    pub const FLAGS: u8 = 0;
    pub const SQL_MODE: u8 = 1;
    pub const CATALOG: u8 = 2;
    pub const AUTO_INCREMENT: u8 = 3;
    pub const CHARSET: u8 = 4;
    pub const TIME_ZONE: u8 = 5;
    pub const CATALOG_BARE: u8 = 6;
    pub const LC_TIME_NAMES: u8 = 7;
    pub const CHARSET_OF_DATABASE: u8 = 8;
    pub const UPDATED_TABLES: u8 = 9;
    pub const WRITTEN_BYTES: u8 = 10;
    pub const INVOKER: u8 = 11;
    pub const UPDATED_DATABASES: u8 = 12;
    pub const MICROSECONDS: u8 = 13;
    pub const EXPLICIT_DEFAULTS: u8 = 16;
    pub const LOGGED_WITH_XID: u8 = 17;
    pub const DEFAULT_UTF8MB4: u8 = 18;
    pub const REQUIRE_PRIMARY_KEY: u8 = 19;
    pub const TABLE_ENCRYPTION: u8 = 20;
    pub const MARIA_MICROSECONDS: u8 = 128;
    pub const MARIA_XID: u8 = 129;
    pub const MARIA_COLLATIONS: u8 = 131;
}

/// `OPTION_EXPLICIT_DEF_TIMESTAMP` in MariaDB's sql_priv.h.
const EXPLICIT_TIMESTAMPS: u32 = 1 << 24;

/// A collation of utf8mb4.
const UTF8MB4: u16 = 45;

/// The number of databases that stands for too many to be named.
const TOO_MANY_DATABASES: u8 = 254;

/// What decides how the settings of a statement are read.
#[derive(Clone, Copy)]
pub(super) struct Origin<'a> {
    /// The log's format.
    pub(super) format: &'a Format,
    /// What holds where the log says nothing.
    pub(super) server: Habits,
}

/// Reads a statement, which began in the second `began_at`. Its text stands behind everything else,
/// compressed or not.
pub(super) fn read<'a>(
    body: &'a [u8],
    began_at: u32,
    origin: Origin<'_>,
) -> Result<(Statement, &'a [u8]), Problem> {
    let mut cursor = Cursor::new(body, "a statement");
    let _thread = cursor.u32()?;
    let _seconds = cursor.u32()?;
    let database_len = usize::from(cursor.u8()?);
    let _error = cursor.u16()?;
    let settings_len = usize::from(cursor.u16()?);
    let settings = Cursor::new(cursor.take(settings_len)?, "the settings of a statement");
    let database = String::from_utf8_lossy(cursor.take(database_len)?).into_owned();
    cursor.u8()?;
    let began_at_us = i64::from(began_at) * 1_000_000;
    let explicit_timestamps = origin.server.explicit_timestamps;
    let mut statement =
        Statement { database, began_at_us, explicit_timestamps, ..Statement::default() };
    read_settings(&mut statement, origin.format, settings)?;
    Ok((statement, cursor.rest()))
}

/// Reads settings up to the first that is not known: how long that is nobody can tell.
fn read_settings(
    statement: &mut Statement,
    format: &Format,
    mut cursor: Cursor<'_>,
) -> Result<(), Problem> {
    while !cursor.is_empty() {
        match cursor.u8()? {
            setting::FLAGS => {
                let flags = cursor.u32()?;
                if format.flags_timestamps() {
                    statement.explicit_timestamps = flags & EXPLICIT_TIMESTAMPS != 0;
                }
            }
            setting::AUTO_INCREMENT | setting::WRITTEN_BYTES => {
                cursor.u32()?;
            }
            setting::SQL_MODE => statement.sql_mode = cursor.u64()?,
            setting::CATALOG => {
                cursor.short_bytes()?;
                cursor.u8()?;
            }
            setting::CATALOG_BARE => {
                cursor.short_bytes()?;
            }
            setting::TIME_ZONE => {
                let zone = cursor.short_bytes()?;
                statement.time_zone = Some(String::from_utf8_lossy(zone).into_owned());
            }
            setting::CHARSET => {
                statement.client_charset = cursor.u16()?;
                statement.connection_collation = cursor.u16()?;
                let _server = cursor.u16()?;
            }
            setting::LC_TIME_NAMES | setting::CHARSET_OF_DATABASE => {
                cursor.u16()?;
            }
            setting::UPDATED_TABLES | setting::LOGGED_WITH_XID | setting::MARIA_XID => {
                cursor.u64()?;
            }
            setting::INVOKER => {
                cursor.short_bytes()?;
                cursor.short_bytes()?;
            }
            setting::UPDATED_DATABASES => skip_databases(&mut cursor)?,
            setting::MICROSECONDS | setting::MARIA_MICROSECONDS => {
                statement.began_at_us += cursor.uint(3)?.cast_signed();
            }
            setting::EXPLICIT_DEFAULTS => statement.explicit_timestamps = cursor.u8()? != 0,
            setting::REQUIRE_PRIMARY_KEY | setting::TABLE_ENCRYPTION => {
                cursor.u8()?;
            }
            setting::DEFAULT_UTF8MB4 => {
                statement.default_collations = vec![(UTF8MB4, cursor.u16()?)];
            }
            setting::MARIA_COLLATIONS => {
                for _ in 0..cursor.u8()? {
                    statement.default_collations.push((cursor.u16()?, cursor.u16()?));
                }
            }
            _ => return Ok(()),
        }
    }
    Ok(())
}

/// Skips the names of the databases that a statement changed, each with a zero behind it.
fn skip_databases(cursor: &mut Cursor<'_>) -> Result<(), Problem> {
    let count = cursor.u8()?;
    if count != TOO_MANY_DATABASES {
        for _ in 0..count {
            while cursor.u8()? != 0 {}
        }
    }
    Ok(())
}

/// What a statement is.
pub(super) fn verb(text: &[u8]) -> Verb {
    let mut words = Words { rest: text };
    let first = words.next_word();
    match first.as_str() {
        "" if words.rest.is_empty() => Verb::Nothing,
        "SAVEPOINT" | "RELEASE" => Verb::Nothing,
        "BEGIN" => Verb::Begin,
        "START" => Verb::Begin,
        "COMMIT" => Verb::Commit,
        "ROLLBACK" => match words.next_word().as_str() {
            "TO" => Verb::RollbackToSavepoint,
            _ => Verb::Rollback,
        },
        "XA" => match words.next_word().as_str() {
            "START" | "BEGIN" => Verb::XaBegin,
            "COMMIT" => Verb::XaCommit,
            "ROLLBACK" => Verb::XaRollback,
            _ => Verb::Nothing,
        },
        "INSERT" | "UPDATE" | "DELETE" | "REPLACE" | "LOAD" | "WITH" | "CALL" | "DO" | "SELECT"
        | "TABLE" | "VALUES" | "EXECUTE" => Verb::Change,
        "CREATE" | "DROP" | "ALTER" => definition(&first, words, text),
        "RENAME" => match words.next_word().as_str() {
            "USER" => Verb::Beside { words: "RENAME USER".to_owned(), opens: false },
            _ => Verb::Define { opens: false },
        },
        // MariaDB: SET STATEMENT ... FOR, and ANALYZE in front of a statement that is run.
        "SET" => match words.next_word().as_str() {
            "STATEMENT" => Verb::Change,
            _ => Verb::Beside { words: first, opens: false },
        },
        "ANALYZE" => match words.next_word().as_str() {
            "TABLE" | "TABLES" | "LOCAL" | "NO_WRITE_TO_BINLOG" => {
                Verb::Beside { words: first, opens: false }
            }
            _ => Verb::Change,
        },
        word if BESIDE_TABLES.contains(&word) => Verb::Beside { words: first, opens: false },
        _ => Verb::Define { opens: false },
    }
}

/// Whether a statement makes a table for all to see, whatever else it says.
pub(super) fn makes_table(text: &[u8]) -> bool {
    let mut words = Words { rest: text };
    words.next_word() == "CREATE"
        && (0..WORDS_BEFORE_KIND)
            .map_while(|_| {
                let word = words.next_word();
                (!word.is_empty() || words.skip_other()).then_some(word)
            })
            .find(|word| matches!(&**word, "TABLE" | "INDEX" | "TEMPORARY"))
            .is_some_and(|word| word == "TABLE")
}

/// A statement's first words, where the rest may hold what is not to be shown.
const WORDS_TOLD: usize = 3;

/// Characters of a definition that are shown at most.
const CHARACTERS_TOLD: usize = 1000;

/// A definition as far as it may be shown: of one that is not understood its first words.
pub(super) fn told(act: &Act, text: &[u8]) -> String {
    if let Act::Other(_) | Act::Unnamed = act {
        let mut words = Words { rest: text };
        let first: Vec<_> = (0..WORDS_TOLD).map(|_| words.next_word()).collect();
        return first.join(" ").trim_end().to_owned();
    }
    let text = String::from_utf8_lossy(text.trim_ascii());
    let mut told: String = text.chars().take(CHARACTERS_TOLD).collect();
    if told.len() < text.len() {
        told.push('…');
    }
    told
}

/// What a statement defines that begins with CREATE, DROP or ALTER.
fn definition(first: &str, mut words: Words<'_>, text: &[u8]) -> Verb {
    // How MySQL logs CREATE TABLE ... SELECT (sql_table.cc).
    let opens = first == "CREATE" && ends_in(text, b"START TRANSACTION");
    let mut replaces = false;
    for _ in 0..WORDS_BEFORE_KIND {
        let word = words.next_word();
        let is_new = first == "CREATE" && !replaces;
        match word.as_str() {
            "TEMPORARY" => return Verb::Nothing,
            "REPLACE" => replaces = true,
            "TABLE" | "INDEX" => break,
            "DATABASE" | "SCHEMA" if !is_new => break,
            "DATABASE" | "SCHEMA" => {
                return Verb::Beside { words: format!("{first} {word}"), opens };
            }
            kind if NO_TABLES.contains(&kind) => {
                return Verb::Beside { words: format!("{first} {word}"), opens };
            }
            "" if !words.skip_other() => break,
            _ => {}
        }
    }
    Verb::Define { opens }
}

fn ends_in(text: &[u8], end: &[u8]) -> bool {
    let text = text.trim_ascii_end();
    text.len() >= end.len() && text[text.len() - end.len()..].eq_ignore_ascii_case(end)
}

/// The words of a statement, comments left out; what is in `/*! ... */` counts.
struct Words<'a> {
    rest: &'a [u8],
}

impl Words<'_> {
    fn skip_blanks(&mut self) {
        loop {
            self.rest = self.rest.trim_ascii_start();
            let comment = |from: usize, end: &[u8]| {
                let behind = self.rest.get(from..).unwrap_or_default();
                let found = behind.windows(end.len()).position(|part| part == end);
                found.map_or(&b""[..], |at| &behind[at + end.len()..])
            };
            self.rest = if let [b'/', b'*', b'!', behind @ ..]
            | [b'/', b'*', b'M', b'!', behind @ ..] = self.rest
            {
                let digits = behind.iter().take_while(|byte| byte.is_ascii_digit()).count();
                &behind[digits..]
            } else if self.rest.starts_with(b"*/") {
                &self.rest[2..]
            } else if self.rest.starts_with(b"/*") {
                comment(2, b"*/")
            } else if self.rest.starts_with(b"#") || self.rest.starts_with(b"-- ") {
                comment(1, b"\n")
            } else {
                return;
            };
        }
    }

    /// The next word in upper case; empty where none comes next.
    fn next_word(&mut self) -> String {
        self.skip_blanks();
        let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
        let len = self.rest.iter().take_while(|byte| is_word(byte)).count();
        let (word, rest) = self.rest.split_at(len);
        self.rest = rest;
        String::from_utf8_lossy(word).to_ascii_uppercase()
    }

    /// The next name, quoted or not.
    fn name(&mut self) -> Option<String> {
        self.skip_blanks();
        if let Some(&quote @ (b'`' | b'"')) = self.rest.first() {
            let mut name = Vec::new();
            let mut bytes = self.rest[1..].iter().copied().enumerate().peekable();
            while let Some((at, byte)) = bytes.next() {
                if byte == quote && bytes.next_if(|(_, next)| *next == quote).is_none() {
                    self.rest = &self.rest[at + 2..];
                    return String::from_utf8(name).ok();
                }
                name.push(byte);
            }
            return None;
        }
        let is_name =
            |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$' | 0x80..);
        let len = self.rest.iter().take_while(|byte| is_name(byte)).count();
        let (name, rest) = self.rest.split_at(len);
        self.rest = rest;
        if name.is_empty() { None } else { String::from_utf8(name.to_vec()).ok() }
    }

    /// Leaves out what is no word: a name or text in quotes, or a sign. False at the end.
    fn skip_other(&mut self) -> bool {
        match self.rest.first() {
            None => false,
            Some(b'`' | b'"') => self.name().is_some(),
            Some(b'\'') => {
                let end = self.rest[1..].iter().position(|&byte| byte == b'\'');
                self.rest = end.map_or(&b""[..], |end| &self.rest[end + 2..]);
                end.is_some()
            }
            Some(_) => {
                self.rest = &self.rest[1..];
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Verb {
        verb(text.as_bytes())
    }

    #[test]
    fn the_first_words_tell_what_a_statement_is() {
        for (text, expected) in [
            ("BEGIN", Verb::Begin),
            ("XA START X'6162',X'',1", Verb::XaBegin),
            ("xa end X'6162',X'',1", Verb::Nothing),
            ("XA COMMIT X'6162',X'',1", Verb::XaCommit),
            ("XA ROLLBACK X'6162',X'',1", Verb::XaRollback),
            ("COMMIT", Verb::Commit),
            ("ROLLBACK", Verb::Rollback),
            ("ROLLBACK TO `a`", Verb::RollbackToSavepoint),
            ("SAVEPOINT `a`", Verb::Nothing),
            ("/* hint */ insert into t values (1)", Verb::Change),
            ("-- why\n UPDATE t SET a = 1", Verb::Change),
            ("# nothing at all", Verb::Nothing),
            ("SELECT `other`.`f`()", Verb::Change),
            ("SET STATEMENT max_statement_time = 1 FOR INSERT INTO t VALUES (1)", Verb::Change),
            ("ANALYZE FORMAT=JSON UPDATE t SET a = 1", Verb::Change),
            ("(SELECT 1)", Verb::Define { opens: false }),
            ("DROP /*!40005 TEMPORARY */ TABLE IF EXISTS `t`", Verb::Nothing),
            ("CREATE OR REPLACE TEMPORARY TABLE t (a INT)", Verb::Nothing),
            ("DROP TABLE `t` /* generated by server */", Verb::Define { opens: false }),
            ("CREATE OR REPLACE TABLE t (a INT)", Verb::Define { opens: false }),
            ("CREATE TABLE t (a INT) START TRANSACTION", Verb::Define { opens: true }),
            ("CREATE UNIQUE INDEX view ON t (a)", Verb::Define { opens: false }),
            ("TRUNCATE t", Verb::Define { opens: false }),
            ("ALTER DATABASE shop CHARACTER SET latin1", Verb::Define { opens: false }),
            ("RENAME TABLE t TO u", Verb::Define { opens: false }),
            ("CREATE SEQUENCE s", Verb::Define { opens: false }),
            ("/*!50003 ALTER TABLE t ADD b INT */", Verb::Define { opens: false }),
        ] {
            assert_eq!(of(text), expected, "{text}");
        }
    }

    #[test]
    fn what_changes_no_table_is_told_by_its_first_words() {
        for (text, expected, rows) in [
            ("create database `shop`", "CREATE DATABASE", false),
            (
                "CREATE DEFINER=`table`@`%` SQL SECURITY DEFINER VIEW v AS SELECT 1",
                "CREATE VIEW",
                false,
            ),
            (
                "CREATE DEFINER='a'@'%' TRIGGER t BEFORE INSERT ON u FOR EACH ROW SET @a = 1",
                "CREATE TRIGGER",
                false,
            ),
            ("CREATE OR REPLACE ALGORITHM=MERGE VIEW v AS SELECT 1", "CREATE VIEW", false),
            ("DROP PROCEDURE IF EXISTS p", "DROP PROCEDURE", false),
            ("CREATE USER 'a'@'%' IDENTIFIED BY 'secret'", "CREATE USER", false),
            ("GRANT SELECT ON shop.* TO a", "GRANT", false),
            ("ANALYZE TABLE t", "ANALYZE", false),
        ] {
            let expected = Verb::Beside { words: expected.to_owned(), opens: rows };
            assert_eq!(of(text), expected, "{text}");
        }
    }
}
