//! A statement's text as the server's lexer sees it.
//!
//! In: the text, and the settings that it ran under. Out: tokens, with what stands in executable
//! comments among them. Where it depends on the server's version or on an unusual character set
//! what a byte means, there are no tokens at all: the caller then takes the statement as not
//! understood, and may still look at how it begins. It knows no statement. Rules: the manual, "Comments", "Schema Object Names",
//! "String Literals".

use crate::model::Statement;

/// Double quotes are around names (`MODE_ANSI_QUOTES`).
const ANSI_QUOTES: u64 = 4;

/// A backslash is a character like any other (`MODE_NO_BACKSLASH_ESCAPES`).
const NO_BACKSLASH_ESCAPES: u64 = 1 << 20;

/// What stands in an executable comment of this version or below is executed by every server that is
/// supported, MariaDB included, which passes over those of MySQL 5.7.
const EXECUTED_EVERYWHERE: u32 = 50_699;

/// A piece of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    /// Where it begins in the text.
    pub(super) at: usize,
}

/// What a piece is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A word without quotes, as it is written.
    Word(String),
    /// A name in quotes, without them.
    Quoted(String),
    /// A text in quotes.
    Text,
    /// Any other sign.
    Sign(u8),
}

/// What becomes of comments that some servers execute and others do not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comments {
    /// There are no tokens behind them.
    Uncertain,
    /// What stands in them is among the tokens.
    Executed,
    /// They are passed over.
    Skipped,
}

/// Takes a statement apart. None where not every byte is certain.
pub(super) fn tokens(text: &[u8], statement: &Statement) -> Option<Vec<Token>> {
    let (tokens, is_whole) = beginning(text, statement, Comments::Uncertain);
    is_whole.then_some(tokens)
}

/// The tokens in front of the first byte that is not certain, of which the last may go on behind it, and
/// whether there is none.
pub(super) fn beginning(
    text: &[u8],
    statement: &Statement,
    comments: Comments,
) -> (Vec<Token>, bool) {
    let certain = match std::str::from_utf8(text) {
        Ok(_) => text.len(),
        Err(error) => error.valid_up_to(),
    };
    let ascii = || text.iter().take_while(|byte| byte.is_ascii()).count();
    let certain = if is_utf8(statement.client_charset) { certain } else { ascii() };
    let mut lexer = Lexer {
        text: &text[..certain],
        at: 0,
        ansi_quotes: statement.sql_mode & ANSI_QUOTES != 0,
        escapes: statement.sql_mode & NO_BACKSLASH_ESCAPES == 0,
        comments,
        in_comment: false,
    };
    let mut tokens = Vec::new();
    let ended = lexer.all(&mut tokens).is_some();
    (tokens, ended && certain == text.len())
}

/// Whether a collation, by its number, is one of UTF-8.
fn is_utf8(collation: u16) -> bool {
    matches!(collation, 33 | 45 | 46 | 76 | 83 | 192..=247 | 254..=323 | 576..=578 | 608..=610)
        || matches!(collation, 1056..=1300 | 2048..=2559)
}

struct Lexer<'a> {
    text: &'a [u8],
    at: usize,
    ansi_quotes: bool,
    escapes: bool,
    comments: Comments,
    /// An executable comment is open.
    in_comment: bool,
}

impl Lexer<'_> {
    /// Reads all there is. None where something is not certain, or does not end.
    fn all(&mut self, tokens: &mut Vec<Token>) -> Option<()> {
        loop {
            self.skip_blanks()?;
            let at = self.at;
            let Some(&byte) = self.text.get(at) else {
                return (!self.in_comment).then_some(());
            };
            let kind = match byte {
                b'`' => Kind::Quoted(String::from_utf8(self.quoted(b'`', false)?).ok()?),
                b'"' if self.ansi_quotes => {
                    Kind::Quoted(String::from_utf8(self.quoted(b'"', false)?).ok()?)
                }
                b'\'' | b'"' => self.quoted(byte, self.escapes).map(|_| Kind::Text)?,
                byte if is_word(byte) => Kind::Word(self.word()),
                byte => {
                    self.at += 1;
                    Kind::Sign(byte)
                }
            };
            tokens.push(Token { kind, at });
        }
    }

    /// Skips blanks and comments, and the signs of executable ones.
    fn skip_blanks(&mut self) -> Option<()> {
        loop {
            let rest = &self.text[self.at..];
            let blanks = rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
            let rest = &rest[blanks..];
            self.at += blanks;
            let digits =
                |from: usize| rest[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
            if rest.starts_with(b"/*M!") {
                // One server executes it, the other does not.
                self.meet(4 + digits(4))?;
            } else if rest.starts_with(b"/*!") {
                let version = std::str::from_utf8(&rest[3..3 + digits(3)]).ok()?;
                let version = if version.is_empty() { 0 } else { version.parse::<u32>().ok()? };
                if self.in_comment || version > EXECUTED_EVERYWHERE {
                    self.meet(3 + digits(3))?;
                } else {
                    self.in_comment = true;
                    self.at += 3 + digits(3);
                }
            } else if self.in_comment && rest.starts_with(b"*/") {
                self.in_comment = false;
                self.at += 2;
            } else if rest.starts_with(b"/*") {
                self.at += 2 + find(&rest[2..], b"*/")? + 2;
            } else if rest.starts_with(b"#") || is_dashes(rest) {
                self.at += find(rest, b"\n").map_or(rest.len(), |end| end + 1);
            } else {
                return Some(());
            }
        }
    }

    /// Goes into a comment that some servers execute, behind its sign of so many bytes, or passes over
    /// it.
    fn meet(&mut self, sign: usize) -> Option<()> {
        match self.comments {
            Comments::Uncertain => None,
            Comments::Executed => {
                self.in_comment = true;
                self.at += sign;
                Some(())
            }
            Comments::Skipped => {
                let inside = &self.text[self.at + sign..];
                let len = find(inside, b"*/")?;
                let nested = find(&inside[..len], b"/*").is_some();
                self.at += sign + len + 2;
                (!nested).then_some(())
            }
        }
    }

    /// Reads what is in quotes. None where it does not end.
    fn quoted(&mut self, quote: u8, escapes: bool) -> Option<Vec<u8>> {
        let mut inside = Vec::new();
        self.at += 1;
        loop {
            let byte = *self.text.get(self.at)?;
            self.at += 1;
            if byte == b'\\' && escapes {
                self.at += 1;
            } else if byte == quote {
                if self.text.get(self.at) != Some(&quote) {
                    return Some(inside);
                }
                self.at += 1;
            }
            inside.push(byte);
        }
    }

    fn word(&mut self) -> String {
        let rest = &self.text[self.at..];
        let len = rest.iter().take_while(|byte| is_word(**byte)).count();
        self.at += len;
        String::from_utf8_lossy(&rest[..len]).into_owned()
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$' | 0x80..)
}

/// Two dashes begin a comment where a blank or the end follows.
fn is_dashes(rest: &[u8]) -> bool {
    rest.starts_with(b"--")
        && rest.get(2).is_none_or(|byte| byte.is_ascii_whitespace() || byte.is_ascii_control())
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|part| part == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str, sql_mode: u64) -> Option<String> {
        let statement = Statement { sql_mode, client_charset: 45, ..Statement::default() };
        let tokens = tokens(text.as_bytes(), &statement)?;
        let show = |token: &Token| match &token.kind {
            Kind::Word(word) => word.clone(),
            Kind::Quoted(name) => format!("[{name}]"),
            Kind::Text => "'".to_owned(),
            Kind::Sign(sign) => char::from(*sign).to_string(),
        };
        Some(tokens.iter().map(show).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn comments_quotes_and_modes_are_read_as_the_server_reads_them() {
        for (text, mode, expected) in [
            ("ALTER TABLE `a``b`.t1", 0, "ALTER TABLE [a`b] . t1"),
            ("a /* b */ -- c\n# d\n e--f", 0, "a e - - f"),
            ("/*!40000 DROP */ TABLE t /*! x */", 0, "DROP TABLE t x"),
            ("DEFAULT 'it''s \\' )' ,", 0, "DEFAULT ' ,"),
            ("DEFAULT '\\' , 'x'", NO_BACKSLASH_ESCAPES, "DEFAULT ' , '"),
            ("\"a\" \"b\"", 0, "' '"),
            ("\"a\"\"b\" 'c'", ANSI_QUOTES, "[a\"b] '"),
            ("é$1 (1.5)", 0, "é$1 ( 1 . 5 )"),
        ] {
            assert_eq!(of(text, mode).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_not_certain_has_no_tokens() {
        for text in
            ["a 'b", "/* a", "/*! a", "/*!80013 a */ b", "/*M!100300 a */", "/*! /*! a */*/"]
        {
            assert_eq!(of(text, 0), None, "{text}");
        }
        assert_eq!(
            tokens(
                b"ALTER TABLE t \xFF",
                &Statement { client_charset: 45, ..Statement::default() }
            ),
            None
        );
        let gbk = Statement { client_charset: 28, ..Statement::default() };
        assert_eq!(tokens("ALTER TABLE é".as_bytes(), &gbk), None);
        assert!(tokens(b"ALTER TABLE t", &gbk).is_some());
    }
}
