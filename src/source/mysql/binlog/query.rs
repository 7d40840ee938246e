//! Statements in the log: what they do to a transaction, and whether they change rows.
//!
//! In comes the body of a QUERY event; out come the statement with the settings it ran under, and
//! its [`Verb`]. Only the first words are looked at: what is passed on as a definition is understood
//! elsewhere. Layout: `Query_event` in the server's statement_events.h.

use super::cursor::Cursor;
use super::error::Problem;
use crate::model::{Statement, TableName};

/// What a statement is to the transaction it stands in.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Begin,
    Commit,
    Rollback,
    RollbackToSavepoint,
    /// Ends a group in which another transaction's fate is told.
    XaEnd,
    /// Neither changes rows nor ends anything.
    Nothing,
    /// It changes rows that are not in the log, those of the table that it names first.
    Change,
    /// It may change any rows, and they are not in the log.
    Call,
    Truncate(TableName),
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
const NO_TABLES: &[&str] = &[
    "VIEW",
    "TRIGGER",
    "EVENT",
    "FUNCTION",
    "PROCEDURE",
    "PACKAGE",
    "USER",
    "ROLE",
    "SERVER",
    "INDEX",
];

/// So many words may stand in front of the kind of an object that is defined.
const WORDS_BEFORE_KIND: usize = 32;

/// Numbers of the settings that stand in front of a statement.
mod setting {
    pub const FLAGS: u8 = 0;
    pub const SQL_MODE: u8 = 1;
    pub const CATALOG: u8 = 2;
    pub const AUTO_INCREMENT: u8 = 3;
    pub const CHARSET: u8 = 4;
    pub const TIME_ZONE: u8 = 5;
    pub const CATALOG_BARE: u8 = 6;
}

/// Reads a statement. Its text stands behind everything else, compressed or not.
pub(super) fn read(body: &[u8]) -> Result<(Statement, &[u8]), Problem> {
    let mut cursor = Cursor::new(body, "a statement");
    let _thread = cursor.u32()?;
    let _seconds = cursor.u32()?;
    let database_len = usize::from(cursor.u8()?);
    let _error = cursor.u16()?;
    let settings_len = usize::from(cursor.u16()?);
    let settings = Cursor::new(cursor.take(settings_len)?, "the settings of a statement");
    let database = String::from_utf8_lossy(cursor.take(database_len)?).into_owned();
    cursor.u8()?;
    let mut statement = Statement { database, ..Statement::default() };
    read_settings(&mut statement, settings)?;
    Ok((statement, cursor.rest()))
}

/// Reads settings up to the first that is not known: how long that is nobody can tell.
fn read_settings(statement: &mut Statement, mut cursor: Cursor<'_>) -> Result<(), Problem> {
    while !cursor.is_empty() {
        match cursor.u8()? {
            setting::FLAGS | setting::AUTO_INCREMENT => {
                cursor.u32()?;
            }
            setting::SQL_MODE => statement.sql_mode = cursor.u64()?,
            setting::CATALOG => {
                cursor.short_bytes()?;
                cursor.u8()?;
            }
            setting::CATALOG_BARE | setting::TIME_ZONE => {
                cursor.short_bytes()?;
            }
            setting::CHARSET => {
                statement.client_charset = cursor.u16()?;
                statement.connection_collation = cursor.u16()?;
                statement.server_collation = cursor.u16()?;
            }
            _ => return Ok(()),
        }
    }
    Ok(())
}

/// What a statement in `database` is.
pub(super) fn verb(text: &[u8], database: &str) -> Verb {
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
            "START" | "BEGIN" => Verb::Begin,
            "COMMIT" | "ROLLBACK" => Verb::XaEnd,
            _ => Verb::Nothing,
        },
        "INSERT" | "UPDATE" | "DELETE" | "REPLACE" | "LOAD" => Verb::Change,
        "WITH" | "CALL" | "DO" | "SELECT" | "TABLE" | "VALUES" | "EXECUTE" => Verb::Call,
        "TRUNCATE" => match words.table(database) {
            Some(table) => Verb::Truncate(table),
            None => Verb::Define { opens: false },
        },
        "CREATE" | "DROP" | "ALTER" => definition(&first, words, text),
        "RENAME" => match words.next_word().as_str() {
            "USER" => Verb::Beside { words: "RENAME USER".to_owned(), opens: false },
            _ => Verb::Define { opens: false },
        },
        // MariaDB: SET STATEMENT ... FOR, and ANALYZE in front of a statement that is run.
        "SET" => match words.next_word().as_str() {
            "STATEMENT" => Verb::Call,
            _ => Verb::Beside { words: first, opens: false },
        },
        "ANALYZE" => match words.next_word().as_str() {
            "TABLE" | "TABLES" | "LOCAL" | "NO_WRITE_TO_BINLOG" => {
                Verb::Beside { words: first, opens: false }
            }
            _ => Verb::Call,
        },
        word if BESIDE_TABLES.contains(&word) => Verb::Beside { words: first, opens: false },
        _ => Verb::Define { opens: false },
    }
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
            "TABLE" | "DATABASE" | "SCHEMA" if !is_new => break,
            "TABLE" | "DATABASE" | "SCHEMA" => {
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

    /// The table of a TRUNCATE.
    fn table(&mut self, database: &str) -> Option<TableName> {
        let mut ahead = Words { rest: self.rest };
        if ahead.next_word() == "TABLE" {
            self.rest = ahead.rest;
        }
        let first = self.name()?;
        self.skip_blanks();
        let Some(behind) = self.rest.strip_prefix(b".") else {
            return Some(TableName { schema: database.to_owned(), name: first });
        };
        self.rest = behind;
        Some(TableName { schema: first, name: self.name()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Verb {
        verb(text.as_bytes(), "shop")
    }

    #[test]
    fn the_first_words_tell_what_a_statement_is() {
        for (text, expected) in [
            ("BEGIN", Verb::Begin),
            ("XA START X'6162',X'',1", Verb::Begin),
            ("xa end X'6162',X'',1", Verb::Nothing),
            ("XA COMMIT X'6162',X'',1", Verb::XaEnd),
            ("COMMIT", Verb::Commit),
            ("ROLLBACK", Verb::Rollback),
            ("ROLLBACK TO `a`", Verb::RollbackToSavepoint),
            ("SAVEPOINT `a`", Verb::Nothing),
            ("/* hint */ insert into t values (1)", Verb::Change),
            ("-- why\n UPDATE t SET a = 1", Verb::Change),
            ("# nothing at all", Verb::Nothing),
            ("SELECT `other`.`f`()", Verb::Call),
            ("SET STATEMENT max_statement_time = 1 FOR INSERT INTO t VALUES (1)", Verb::Call),
            ("ANALYZE FORMAT=JSON UPDATE t SET a = 1", Verb::Call),
            ("(SELECT 1)", Verb::Define { opens: false }),
            ("DROP /*!40005 TEMPORARY */ TABLE IF EXISTS `t`", Verb::Nothing),
            ("CREATE OR REPLACE TEMPORARY TABLE t (a INT)", Verb::Nothing),
            ("DROP TABLE `t` /* generated by server */", Verb::Define { opens: false }),
            ("CREATE OR REPLACE TABLE t (a INT)", Verb::Define { opens: false }),
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
            ("CREATE TABLE t (a INT) START TRANSACTION", "CREATE TABLE", true),
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
            ("CREATE UNIQUE INDEX i ON t (a)", "CREATE INDEX", false),
            ("CREATE USER 'a'@'%' IDENTIFIED BY 'secret'", "CREATE USER", false),
            ("GRANT SELECT ON shop.* TO a", "GRANT", false),
            ("ANALYZE TABLE t", "ANALYZE", false),
        ] {
            let expected = Verb::Beside { words: expected.to_owned(), opens: rows };
            assert_eq!(of(text), expected, "{text}");
        }
    }

    #[test]
    fn a_truncate_names_its_table() {
        let table = |schema: &str, name: &str| {
            Verb::Truncate(TableName { schema: schema.to_owned(), name: name.to_owned() })
        };
        assert_eq!(of("TRUNCATE t"), table("shop", "t"));
        assert_eq!(of("truncate table `my``table`"), table("shop", "my`table"));
        assert_eq!(of("TRUNCATE TABLE `a b` . /* x */ é$1"), table("a b", "é$1"));
        assert_eq!(of("TRUNCATE `table`"), table("shop", "table"));
        assert_eq!(of("TRUNCATE"), Verb::Define { opens: false });
    }
}
