//! `SHOW CREATE TABLE`, taken apart.
//!
//! In: the statement as the server prints it under a `sql_mode` without ANSI_QUOTES. Out: the table
//! without what can be added later, and each of those parts as a clause. It splits at commas outside
//! of quotes and parentheses and looks at each part's first words; it understands no type, no
//! expression and no option, and passes them on as they are. Nothing is lost by that: a part that it
//! does not know stays with the table.

use crate::model::ddl::Clause;

/// A `CREATE TABLE` statement, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CreateTable {
    /// The statement without the parts below.
    pub(super) create: String,
    /// Indexes that are not unique and that no column needs at once.
    pub(super) indexes: Vec<Clause>,
    /// Foreign keys.
    pub(super) foreign_keys: Vec<Clause>,
}

/// What a part of the statement is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// An index that may come later.
    Index,
    ForeignKey,
    /// A column, a key, a check: it stays.
    Table,
}

/// Kinds of index that hold no constraint, by their first words.
const INDEXES: [&str; 4] = ["KEY ", "FULLTEXT KEY ", "SPATIAL KEY ", "VECTOR KEY "];

impl CreateTable {
    /// Takes a statement apart. None where it has not the form of a table with a list of columns.
    pub(super) fn read(statement: &str) -> Option<Self> {
        let open = list_begin(statement)?;
        let (parts, close) = split(statement, open + 1)?;
        let mut read =
            CreateTable { create: String::new(), indexes: Vec::new(), foreign_keys: Vec::new() };
        let counted = parts.iter().find_map(|part| counted_column(part));
        let serves = |part: &&str| counted.is_some_and(|column| first_column(part) == Some(column));
        let has_key =
            parts.iter().map(|part| part.trim()).any(|part| is_key(part) && serves(&part));
        let mut needed = counted.is_some() && !has_key;
        let mut kept = Vec::new();
        for part in parts.iter().map(|part| part.trim()) {
            match kind(part) {
                Part::Index if needed && serves(&part) => {
                    needed = false;
                    kept.push(part);
                }
                Part::Index => read.indexes.push(clause(part)?),
                Part::ForeignKey => read.foreign_keys.push(clause(part)?),
                Part::Table => kept.push(part),
            }
        }
        let (head, tail) = (&statement[..=open], &statement[close..]);
        read.create = format!("{head}\n  {}\n{tail}", kept.join(",\n  "));
        Some(read)
    }
}

/// Where the list of columns opens: the first parenthesis outside of quotes.
fn list_begin(statement: &str) -> Option<usize> {
    let mut scan = Scan { text: statement.as_bytes(), at: 0 };
    loop {
        if scan.skip_quoted()? {
            continue;
        }
        if scan.text[scan.at] == b'(' {
            return Some(scan.at);
        }
        scan.at += 1;
    }
}

/// The parts of the list that begins at `begin`, and where it closes.
fn split(statement: &str, begin: usize) -> Option<(Vec<&str>, usize)> {
    let mut scan = Scan { text: statement.as_bytes(), at: begin };
    let (mut parts, mut part_begin, mut depth) = (Vec::new(), begin, 0);
    loop {
        if scan.skip_quoted()? {
            continue;
        }
        match scan.text[scan.at] {
            b'(' => depth += 1,
            b')' if depth == 0 => {
                parts.push(&statement[part_begin..scan.at]);
                return Some((parts, scan.at));
            }
            b')' => depth -= 1,
            b',' if depth == 0 => {
                parts.push(&statement[part_begin..scan.at]);
                part_begin = scan.at + 1;
            }
            _ => {}
        }
        scan.at += 1;
    }
}

fn kind(part: &str) -> Part {
    let part = part.trim_start();
    if INDEXES.iter().any(|words| part.starts_with(words)) {
        return Part::Index;
    }
    let Some(constraint) = part.strip_prefix("CONSTRAINT ") else { return Part::Table };
    match after_name(constraint) {
        Some(rest) if rest.starts_with("FOREIGN KEY ") => Part::ForeignKey,
        Some(_) | None => Part::Table,
    }
}

fn is_key(part: &str) -> bool {
    part.starts_with("PRIMARY KEY ") || part.starts_with("UNIQUE KEY ")
}

fn clause(part: &str) -> Option<Clause> {
    let name = &part[part.find('`')?..];
    let len = name.len() - after_name(name)?.len();
    let name = name[..len].trim_end();
    let name = name.strip_prefix('`')?.strip_suffix('`')?.replace("``", "`");
    Some(Clause { name, text: part.to_owned() })
}

/// The name, in its quotes, of the column that this part declares as AUTO_INCREMENT.
fn counted_column(part: &str) -> Option<&str> {
    let part = part.trim();
    let rest = after_name(part)?;
    let mut scan = Scan { text: rest.as_bytes(), at: 0 };
    let mut bare = String::new();
    while scan.at < scan.text.len() {
        if !scan.skip_quoted()? {
            bare.push(char::from(scan.text[scan.at]));
            scan.at += 1;
        }
    }
    let name = part[..part.len() - rest.len()].trim_end();
    bare.split_whitespace().any(|word| word == "AUTO_INCREMENT").then_some(name)
}

/// The first column, in its quotes, of a key or an index.
fn first_column(part: &str) -> Option<&str> {
    if after_name(part).is_some() {
        return None;
    }
    let open = list_begin(part)?;
    let column = &part[open + 1..];
    let rest = after_name(column)?;
    Some(column[..column.len() - rest.len()].trim_end())
}

/// What follows a name in backticks and the blanks behind it.
fn after_name(text: &str) -> Option<&str> {
    let mut scan = Scan { text: text.as_bytes(), at: 0 };
    if !text.starts_with('`') || !scan.skip_quoted()? {
        return None;
    }
    Some(text[scan.at..].trim_start())
}

/// A place in a statement.
struct Scan<'a> {
    text: &'a [u8],
    at: usize,
}

impl Scan<'_> {
    /// Skips what is in quotes, if it begins here. A backslash escapes in all but backticks; a
    /// doubled quote reads as two quoted texts side by side. None at the statement's end.
    fn skip_quoted(&mut self) -> Option<bool> {
        let quote = *self.text.get(self.at)?;
        if !matches!(quote, b'`' | b'\'' | b'"') {
            return Some(false);
        }
        loop {
            self.at += 1;
            match *self.text.get(self.at)? {
                b'\\' if quote != b'`' => self.at += 1,
                byte if byte == quote => {
                    self.at += 1;
                    if self.text.get(self.at) != Some(&quote) {
                        return Some(true);
                    }
                }
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(clauses: &[Clause]) -> Vec<&str> {
        clauses.iter().map(|clause| clause.name.as_str()).collect()
    }

    const ORDERS: &str = "CREATE TABLE `or``ders (` (\n  `id` int NOT NULL AUTO_INCREMENT,\n  \
        `note` varchar(20) DEFAULT 'a,\\')b''(' COMMENT 'KEY `x` (`y`)',\n  \
        `total` decimal(10,2) GENERATED ALWAYS AS ((`id` * 2)) STORED,\n  \
        PRIMARY KEY (`id`),\n  UNIQUE KEY `u` (`note`),\n  KEY `by,note` (`note`(5),`id`),\n  \
        FULLTEXT KEY `words` (`note`),\n  KEY `expression` ((lower(`note`))),\n  \
        CONSTRAINT `f``k` FOREIGN KEY (`id`) REFERENCES `parents` (`id`) ON DELETE CASCADE,\n  \
        CONSTRAINT `positive` CHECK ((`id` > 0))\n\
        ) ENGINE=InnoDB AUTO_INCREMENT=7 COMMENT='(,)'\n\
        /*!50100 PARTITION BY HASH (`id`) PARTITIONS 4 */";

    #[test]
    fn indexes_and_foreign_keys_come_off_and_the_rest_stays() {
        let read = CreateTable::read(ORDERS).unwrap();
        assert_eq!(names(&read.indexes), ["by,note", "words", "expression"]);
        assert_eq!(names(&read.foreign_keys), ["f`k"]);
        assert_eq!(read.indexes[0].text, "KEY `by,note` (`note`(5),`id`)");
        let expected = "CREATE TABLE `or``ders (` (\n  `id` int NOT NULL AUTO_INCREMENT,\n  \
            `note` varchar(20) DEFAULT 'a,\\')b''(' COMMENT 'KEY `x` (`y`)',\n  \
            `total` decimal(10,2) GENERATED ALWAYS AS ((`id` * 2)) STORED,\n  \
            PRIMARY KEY (`id`),\n  UNIQUE KEY `u` (`note`),\n  \
            CONSTRAINT `positive` CHECK ((`id` > 0))\n\
            ) ENGINE=InnoDB AUTO_INCREMENT=7 COMMENT='(,)'\n\
            /*!50100 PARTITION BY HASH (`id`) PARTITIONS 4 */";
        assert_eq!(read.create, expected);
    }

    #[test]
    fn a_counting_column_keeps_an_index_that_begins_with_it() {
        let table = |keys: &str| {
            let text = format!(
                "CREATE TABLE `t` (\n  `a` int DEFAULT '0',\n  \
                 `n` bigint NOT NULL AUTO_INCREMENT COMMENT 'x',\n  {keys}\n) ENGINE=InnoDB"
            );
            let read = CreateTable::read(&text).unwrap();
            names(&read.indexes).join(" ")
        };
        assert_eq!(table("KEY `an` (`a`,`n`),\n  KEY `na` (`n`,`a`),\n  KEY `n2` (`n`)"), "an n2");
        assert_eq!(table("PRIMARY KEY (`n`),\n  KEY `na` (`n`,`a`)"), "na");
        assert_eq!(table("UNIQUE KEY `u` (`n`,`a`),\n  KEY `na` (`n`,`a`)"), "na");
        assert_eq!(table("PRIMARY KEY (`a`,`n`),\n  KEY `n` (`n`)"), "");
        assert_eq!(table("KEY `n` (`n`),\n  CONSTRAINT `c` CHECK (`n` > 0)"), "");
    }

    #[test]
    fn what_is_no_table_is_not_read() {
        for text in ["", "CREATE TABLE `t", "CREATE TABLE `t` (`a` int", "CREATE VIEW `v`"] {
            assert_eq!(CreateTable::read(text), None, "{text}");
        }
    }
}
