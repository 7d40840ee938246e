//! What a definition does to which tables.
//!
//! In: a statement and the settings that it ran under. Out: an [`Act`]. The statement's own text is
//! what a target runs, so only that is read which has to be known beside it: the tables, the names
//! that they have afterwards, whether it matters for rows, what goes for ever. Strict: a statement
//! of which any part at the uppermost level is not known is [`Act::Other`], and nobody guesses: only
//! which table it makes is told, since the rows of that one follow. That much is read of a statement
//! of which nothing else is certain, too, and where not even that can be, it is said.
//! Grammar: the manual, "Data Definition Statements", of MySQL and of MariaDB.

use super::query;
use super::token::{Comments, Kind, Token, beginning, tokens};
use crate::model::{Act, Alter, Statement, TableName};

/// What a definition does, and how much of its text is the definition.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Definition {
    pub(super) act: Act,
    /// It makes a foreign key by which a change of one table's rows changes another's.
    pub(super) cascades: bool,
    /// The table like which it makes another.
    pub(super) template: Option<TableName>,
    /// The bytes of its text that are to be run.
    pub(super) len: usize,
}

/// Reads a definition. `lower` says that the server keeps names of tables in lower case.
pub(super) fn read(text: &[u8], statement: &Statement, lower: bool) -> Definition {
    let Some(all) = tokens(text, statement) else { return unclear(text, statement, lower) };
    let (body, len) = match all.as_slice() {
        // How MySQL logs CREATE TABLE ... SELECT (sql_table.cc); a client may not say it.
        [body @ .., start, transaction]
            if start.is("START") && transaction.is("TRANSACTION") && !body.is_empty() =>
        {
            (body, start.at)
        }
        body => (body, text.len()),
    };
    let parser = Parser { tokens: body, database: &statement.database, lower };
    let cascades = body.windows(3).any(|words| {
        words[0].is("ON")
            && (words[1].is("DELETE") || words[1].is("UPDATE"))
            && (words[2].is("CASCADE") || words[2].is("SET"))
    });
    let template = parser.template();
    let act = parser.act().unwrap_or_else(|| match parser.made() {
        None if query::makes_table(text) => Act::Unnamed,
        made => Act::Other(made),
    });
    Definition { act, cascades, template, len }
}

/// Reads a definition that has no tokens: the table that it makes.
fn unclear(text: &[u8], statement: &Statement, lower: bool) -> Definition {
    let act = match made_at_first(text, statement, lower) {
        None if query::makes_table(text) => Act::Unnamed,
        made => Act::Other(made),
    };
    let words: Vec<String> = String::from_utf8_lossy(text)
        .split(|character: char| !character.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_uppercase)
        .collect();
    let cascades = words.windows(3).any(|words| {
        matches!(
            [&*words[0], &*words[1], &*words[2]],
            ["ON", "DELETE" | "UPDATE", "CASCADE" | "SET"]
        )
    });
    Definition { act, cascades, template: None, len: text.len() }
}

/// The table that a statement makes, where that is certain by how it begins: whichever server executes
/// which of its comments, and whatever follows.
fn made_at_first(text: &[u8], statement: &Statement, lower: bool) -> Option<TableName> {
    let read = |comments| {
        let (tokens, is_whole) = beginning(text, statement, comments);
        let made = |tokens| Parser { tokens, database: &statement.database, lower }.made();
        let found = made(&tokens)?;
        // A name may go on behind what is certain, unless something else follows there.
        let before = tokens.split_last().and_then(|(_, before)| made(before));
        (is_whole || before.as_ref() == Some(&found)).then_some(found)
    };
    let found = read(Comments::Executed)?;
    (read(Comments::Skipped)? == found).then_some(found)
}

impl Token {
    fn is(&self, word: &str) -> bool {
        matches!(&self.kind, Kind::Word(found) if found.eq_ignore_ascii_case(word))
    }

    fn sign(&self) -> Option<u8> {
        match self.kind {
            Kind::Sign(sign) => Some(sign),
            Kind::Word(_) | Kind::Quoted(_) | Kind::Text => None,
        }
    }
}

/// What one part of ALTER TABLE does.
#[derive(Debug, Default, PartialEq, Eq)]
struct Effect {
    rows: bool,
    drops: Option<String>,
    renames: bool,
    to: Option<TableName>,
}

/// Options of a table that leave its rows as they are, by their first word.
const OPTIONS: &[&str] = &[
    "ALGORITHM",
    "AUTO_INCREMENT",
    "AVG_ROW_LENGTH",
    "CHARACTER",
    "CHARSET",
    "CHECKSUM",
    "COLLATE",
    "COMMENT",
    "DEFAULT",
    "DISABLE",
    "ENABLE",
    "ENGINE",
    "FORCE",
    "KEY_BLOCK_SIZE",
    "LOCK",
    "MAX_ROWS",
    "MIN_ROWS",
    "PACK_KEYS",
    "ROW_FORMAT",
    "STATS_AUTO_RECALC",
    "STATS_PERSISTENT",
    "STATS_SAMPLE_PAGES",
    "WITH",
    "WITHOUT",
];

/// Words that no part of ALTER TABLE that is understood has outside of parentheses and quotes: they
/// begin a part that follows without a comma.
const ELSEWHERE: &[&str] =
    &["ORDER", "PARTITION", "PARTITIONS", "PARTITIONING", "SELECT", "UNION", "VERSIONING"];

/// Functions whose result is another one each time, or on each server.
const UNCERTAIN: &[&str] = &[
    "CONNECTION_ID",
    "CURRENT_ROLE",
    "CURRENT_USER",
    "NEXT",
    "NEXTVAL",
    "RAND",
    "RANDOM_BYTES",
    "SESSION_USER",
    "SYSDATE",
    "SYSTEM_USER",
    "SYS_GUID",
    "USER",
    "UUID",
    "UUID_SHORT",
    "UUID_V4",
    "UUID_V7",
];

#[derive(Clone, Copy)]
struct Parser<'a> {
    tokens: &'a [Token],
    database: &'a str,
    lower: bool,
}

impl<'a> Parser<'a> {
    /// None where it is not understood.
    fn act(mut self) -> Option<Act> {
        let first = self.word()?;
        match first.as_str() {
            "CREATE" => self.create(),
            "ALTER" => self.alter(),
            "RENAME" => self.rename(),
            "DROP" => self.drop(),
            "TRUNCATE" => {
                self.skip("TABLE");
                let table = self.table()?;
                self.end().then_some(Act::Truncate(table))
            }
            _ => None,
        }
    }

    fn create(mut self) -> Option<Act> {
        if self.skip("TABLE") {
            self.skip_all(&["IF", "NOT", "EXISTS"])?;
            let table = self.table()?;
            let known = ["SELECT", "AS", "WITH", "VALUES", "TABLE", "IGNORE", "REPLACE", "UNION"];
            let has_rows = self.outside().any(|token| known.iter().any(|word| token.is(word)));
            return (!has_rows && self.options().is_some()).then_some(Act::Create(table));
        }
        let kinds = ["UNIQUE", "FULLTEXT", "SPATIAL", "VECTOR", "ONLINE", "OFFLINE"];
        let unique = self.tokens.iter().take(2).any(|token| token.is("UNIQUE"));
        while kinds.iter().any(|kind| self.skip(kind)) {}
        if !self.skip("INDEX") {
            return None;
        }
        self.skip_all(&["IF", "NOT", "EXISTS"])?;
        self.name()?;
        self.index_on(unique)
    }

    /// The table that CREATE TABLE makes, or makes anew.
    fn made(mut self) -> Option<TableName> {
        if !self.skip("CREATE") {
            return None;
        }
        self.skip_all(&["OR", "REPLACE"])?;
        if !self.skip("TABLE") {
            return None;
        }
        self.skip_all(&["IF", "NOT", "EXISTS"])?;
        self.table()
    }

    /// The table like which CREATE TABLE makes another.
    fn template(mut self) -> Option<TableName> {
        if !self.skip("CREATE") || !self.skip("TABLE") {
            return None;
        }
        self.skip_all(&["IF", "NOT", "EXISTS"])?;
        self.table()?;
        self.skip_sign(b'(');
        if self.skip("LIKE") { self.table() } else { None }
    }

    /// What follows the name of an index: perhaps its kind, then its table.
    fn index_on(mut self, rows: bool) -> Option<Act> {
        if self.skip("USING") || self.skip("TYPE") {
            self.word()?;
        }
        if !self.skip("ON") {
            return None;
        }
        let table = self.table()?;
        let to = table.clone();
        Some(Act::Alter(Alter { table, to, rows, drops: Vec::new(), permutes: false }))
    }

    fn drop(mut self) -> Option<Act> {
        if self.skip("INDEX") {
            self.skip_all(&["IF", "EXISTS"])?;
            self.name()?;
            // It may be the key by which rows are told apart.
            return self.index_on(true);
        }
        if !self.skip("TABLE") && !self.skip("TABLES") {
            return None;
        }
        self.skip_all(&["IF", "EXISTS"])?;
        let mut tables = vec![self.table()?];
        while self.skip_sign(b',') {
            tables.push(self.table()?);
        }
        let _ = self.skip("RESTRICT") || self.skip("CASCADE");
        self.end().then_some(Act::Drop(tables))
    }

    fn rename(mut self) -> Option<Act> {
        if !self.skip("TABLE") && !self.skip("TABLES") {
            return None;
        }
        self.skip_all(&["IF", "EXISTS"])?;
        let mut pairs = Vec::new();
        loop {
            let from = self.table()?;
            if !self.skip("TO") {
                return None;
            }
            pairs.push((from, self.table()?));
            if !self.skip_sign(b',') {
                return self.end().then_some(Act::Rename(pairs));
            }
        }
    }

    fn alter(mut self) -> Option<Act> {
        let _ = self.skip("ONLINE") || self.skip("OFFLINE");
        if !self.skip("TABLE") {
            return None;
        }
        self.skip_all(&["IF", "EXISTS"])?;
        let table = self.table()?;
        let mut alter =
            Alter { to: table.clone(), table, rows: false, drops: Vec::new(), permutes: false };
        if self.end() {
            return Some(Act::Alter(alter));
        }
        if self.outside().any(|token| ELSEWHERE.iter().any(|word| token.is(word))) {
            return None;
        }
        let mut renames = 0;
        for part in self.parts() {
            let effect = part.effect()?;
            alter.rows |= effect.rows;
            renames += usize::from(effect.renames);
            alter.drops.extend(effect.drops);
            alter.to = effect.to.unwrap_or(alter.to);
        }
        let moves = self.outside().any(|token| token.is("FIRST") || token.is("AFTER"));
        alter.permutes = renames > 1 && moves || renames > 0 && !alter.drops.is_empty();
        Some(Act::Alter(alter))
    }

    /// What one part of ALTER TABLE does.
    fn effect(mut self) -> Option<Effect> {
        let rows = Effect { rows: true, ..Effect::default() };
        let whole = self;
        match self.word()?.as_str() {
            "ADD" => self.addition(),
            "DROP" => self.removal(),
            "MODIFY" => Some(rows),
            "CHANGE" => {
                self.skip("COLUMN");
                self.skip_all(&["IF", "EXISTS"])?;
                let renames = self.name()?.to_lowercase() != self.name()?.to_lowercase();
                Some(Effect { renames, ..rows })
            }
            "RENAME" => self.renaming(),
            // A default, or whether an index or a check counts.
            "ALTER" => Some(Effect::default()),
            "CONVERT" => (self.skip("TO") && !self.end()).then_some(rows),
            word if OPTIONS.contains(&word) => whole.options(),
            _ => None,
        }
    }

    fn addition(mut self) -> Option<Effect> {
        let (rows, none) = (Effect { rows: true, ..Effect::default() }, Effect::default());
        if self.skip("CONSTRAINT") && !self.at_kind() {
            self.name()?;
        }
        let index = |mut parser: Self| parser.skip("INDEX") || parser.skip("KEY");
        let mut behind = self;
        match behind.next_word().as_str() {
            "PRIMARY" | "UNIQUE" => Some(rows),
            "INDEX" | "KEY" | "FULLTEXT" | "SPATIAL" | "FOREIGN" | "CHECK" => Some(none),
            "VECTOR" if index(behind) => Some(none),
            "PERIOD" if behind.skip("FOR") => None,
            "PARTITION" => None,
            _ => {
                self.skip("COLUMN");
                self.skip_all(&["IF", "NOT", "EXISTS"])?;
                let names = self.skip_sign(b'(') || self.name().is_some();
                (names && self.fills_alike()).then_some(rows)
            }
        }
    }

    /// Whether new columns have the same values in the same rows on every server. Numbers are given
    /// to rows in the order in which a server meets them.
    fn fills_alike(self) -> bool {
        let numbers = |token: &Token| token.is("AUTO_INCREMENT") || token.is("SERIAL");
        let open = |at: usize| self.tokens.get(at + 1).and_then(Token::sign) == Some(b'(');
        let bare = ["CURRENT_ROLE", "CURRENT_USER", "NEXT"];
        !self.tokens.iter().enumerate().any(|(at, token)| {
            let found = UNCERTAIN.iter().find(|word| token.is(word));
            numbers(token) || found.is_some_and(|word| open(at) || bare.contains(word))
        })
    }

    /// Whether a kind of constraint comes next, rather than a constraint's name.
    fn at_kind(self) -> bool {
        let kinds = ["PRIMARY", "UNIQUE", "FOREIGN", "CHECK"];
        self.tokens.first().is_some_and(|token| kinds.iter().any(|kind| token.is(kind)))
    }

    fn removal(mut self) -> Option<Effect> {
        let rows = Effect { rows: true, ..Effect::default() };
        let mut behind = self;
        match behind.next_word().as_str() {
            "FOREIGN" | "CHECK" => Some(Effect::default()),
            "PRIMARY" | "INDEX" | "KEY" | "CONSTRAINT" => Some(rows),
            "PERIOD" if behind.skip("FOR") => None,
            "PARTITION" => None,
            _ => {
                self.skip("COLUMN");
                self.skip_all(&["IF", "EXISTS"])?;
                let name = self.name()?;
                let _ = self.skip("RESTRICT") || self.skip("CASCADE");
                self.end().then_some(Effect { drops: Some(name), ..rows })
            }
        }
    }

    fn renaming(mut self) -> Option<Effect> {
        let mut behind = self;
        match behind.next_word().as_str() {
            "COLUMN" => Some(Effect { rows: true, renames: true, ..Effect::default() }),
            "INDEX" | "KEY" => Some(Effect::default()),
            _ => {
                let _ = self.skip("TO") || self.skip("AS") || self.skip_sign(b'=');
                let to = Some(self.table()?);
                self.end().then_some(Effect { to, ..Effect::default() })
            }
        }
    }

    /// Options of a table, which may follow each other without a comma.
    fn options(mut self) -> Option<Effect> {
        while !self.end() {
            if self.skip("ENGINE") {
                self.skip_sign(b'=');
                if !self.word()?.eq_ignore_ascii_case("INNODB") {
                    return None;
                }
            } else {
                self.tokens = &self.tokens[1..];
            }
        }
        Some(Effect::default())
    }

    /// The tokens outside of parentheses.
    fn outside(self) -> impl Iterator<Item = &'a Token> {
        let mut depth = 0_usize;
        self.tokens.iter().filter(move |token| {
            match token.sign() {
                Some(b'(') => depth += 1,
                Some(b')') => depth = depth.saturating_sub(1),
                Some(_) | None => {}
            }
            depth == 0
        })
    }

    /// What stands between commas outside of parentheses.
    fn parts(self) -> Vec<Parser<'a>> {
        let mut depth = 0_usize;
        let split = self.tokens.split(|token| {
            match token.sign() {
                Some(b'(') => depth += 1,
                Some(b')') => depth = depth.saturating_sub(1),
                Some(_) | None => {}
            }
            depth == 0 && token.sign() == Some(b',')
        });
        split.map(|tokens| Parser { tokens, ..self }).collect()
    }

    fn end(&self) -> bool {
        self.tokens.is_empty()
    }

    fn take(&mut self) -> Option<&'a Token> {
        let (first, rest) = self.tokens.split_first()?;
        self.tokens = rest;
        Some(first)
    }

    /// The next word without quotes, in upper case.
    fn word(&mut self) -> Option<String> {
        match &self.take()?.kind {
            Kind::Word(word) => Some(word.to_ascii_uppercase()),
            Kind::Quoted(_) | Kind::Text | Kind::Sign(_) => None,
        }
    }

    /// As [`Self::word`]; empty where none comes next.
    fn next_word(&mut self) -> String {
        self.word().unwrap_or_default()
    }

    fn skip(&mut self, word: &str) -> bool {
        let found = self.tokens.first().is_some_and(|token| token.is(word));
        self.tokens = &self.tokens[usize::from(found)..];
        found
    }

    fn skip_sign(&mut self, sign: u8) -> bool {
        let found = self.tokens.first().is_some_and(|token| token.sign() == Some(sign));
        self.tokens = &self.tokens[usize::from(found)..];
        found
    }

    /// Skips all of these words, or none where the first does not come next.
    fn skip_all(&mut self, words: &[&str]) -> Option<()> {
        if !self.skip(words[0]) {
            return Some(());
        }
        words[1..].iter().all(|word| self.skip(word)).then_some(())
    }

    fn name(&mut self) -> Option<String> {
        match &self.take()?.kind {
            Kind::Word(name) | Kind::Quoted(name) => Some(name.clone()),
            Kind::Text | Kind::Sign(_) => None,
        }
    }

    fn table(&mut self) -> Option<TableName> {
        let first = self.name()?;
        let (schema, name) = match self.skip_sign(b'.') {
            true => (first, self.name()?),
            false => (self.database.to_owned(), first),
        };
        let cased = |name: String| if self.lower { name.to_lowercase() } else { name };
        Some(TableName { schema: cased(schema), name: cased(name) })
    }
}

#[cfg(test)]
mod tests;
