//! Between MySQL and MariaDB: from the words of the one to those of the other.
//!
//! In: what a server of one of the two says of a schema. Out: the same for the other, as far as it
//! has it too. Types and expressions are passed on as they are: what only one of the two has is named
//! by its source, is a finding, and nothing begins then. What runs by itself or on demand (views,
//! routines, triggers, events) is left out, and said: the two read the same words differently.

use std::collections::HashSet;

use super::literal::{base, ident};
use super::stored::label;
use crate::connect::mysql::described::character_set;
use crate::connect::mysql::{Flavour, ServerVersion};
use crate::model::ddl::{DatabaseDdl, Dialect, MySqlSchema, TableDdl};
use crate::model::report::Finding;
use crate::model::{Code, Column, Peculiarity, Position, ServerFacts, Statement, Table};

/// Bits of `sql_mode` that mean the same in both (`sql_mode.h`, `sql_class.h`): neither bit 4, which
/// only MariaDB has, nor those between 8 and 17, nor what came after 2^31.
const COMMON_MODES: u64 = 0x0000_0000_EFFC_00EF;

/// The first collation that only MySQL numbers so, and the one that is behind those.
const MYSQL_ONLY: std::ops::Range<u16> = 255..324;

/// The collations that only MariaDB has, of `utf8mb3` and of `utf8mb4`.
const MARIADB_ONLY: [std::ops::Range<u16>; 2] = [2048..2304, 2304..2560];

/// `utf8mb3_general_ci` and `utf8mb4_general_ci`.
const GENERAL: [u16; 2] = [33, 45];

/// The dialect of a server.
pub(super) fn of(version: ServerVersion) -> Dialect {
    match version.flavour {
        Flavour::MySql => Dialect::MySql,
        Flavour::MariaDb => Dialect::MariaDb,
    }
}

/// Whether a log is one of MariaDB's.
pub(super) fn of_log(position: &Position) -> Dialect {
    match position {
        Position::MariaDb(_) => Dialect::MariaDb,
        Position::MySql(_) | Position::Binlog(_) | Position::Postgres(_) => Dialect::MySql,
    }
}

/// What of the source only servers of its own dialect have.
pub(super) fn findings(version: ServerVersion, source: &ServerFacts) -> Vec<Finding> {
    let finding = |peculiarity: &Peculiarity| {
        let Peculiarity { object, seen, is_left_out } = peculiarity;
        match is_left_out {
            true => Finding::warn(
                "LEFT_OUT",
                object.clone(),
                format!("{seen}: it does not go over to {version}"),
            )
            .with_hint("make it there by hand, in the words of that server"),
            false => {
                let seen = format!("{seen}, which {version} does not have");
                Finding::block(Code::TypeUnknown, object.clone(), seen).with_hint(
                    "change it on the source, leave its table out (--exclude), or make all tables \
                     on the target yourself, each with the same columns",
                )
            }
        }
    };
    source.own.iter().map(finding).collect()
}

/// A schema in the words of `to`, which knows these collations.
pub(super) fn adapt(schema: MySqlSchema, to: Dialect, collations: &HashSet<String>) -> MySqlSchema {
    if schema.dialect == to {
        return schema;
    }
    let objects = schema.views.iter().chain(&schema.routines).chain(&schema.triggers);
    for object in objects.chain(&schema.events) {
        tracing::warn!("{} does not go over: make it on the target", label(object));
    }
    let knows = |collation: &str| collations.contains(collation);
    MySqlSchema {
        databases: schema.databases.into_iter().map(|it| database(it, knows)).collect(),
        tables: schema.tables.into_iter().map(|it| table(it, to, knows)).collect(),
        sequences: Vec::new(),
        views: Vec::new(),
        triggers: Vec::new(),
        routines: Vec::new(),
        events: Vec::new(),
        dialect: to,
    }
}

fn database(it: DatabaseDdl, knows: impl Fn(&str) -> bool) -> DatabaseDdl {
    let mut create = format!("CREATE DATABASE {}", ident(&it.name));
    match knows(&it.collation) {
        true => create.push_str(&format!(" COLLATE {}", it.collation)),
        false => create.push_str(&format!(" CHARACTER SET {}", it.character_set)),
    }
    DatabaseDdl { create, ..it }
}

fn table(mut it: TableDdl, to: Dialect, knows: impl Fn(&str) -> bool) -> TableDdl {
    it.create = translated(&it.create, to);
    // Columns of such a collation do not come this far.
    let unknown = default_collation(&it.create).filter(|name| !knows(name));
    if let Some(unknown) = unknown.map(str::to_owned) {
        let option = format!(" COLLATE={unknown}");
        let charset = format!(" CHARSET={}", character_set(&unknown));
        if let Some(at) = it.create.rfind(&option) {
            let named = it.create[..at].ends_with(&charset);
            let instead = if named { "" } else { charset.as_str() };
            it.create.replace_range(at..at + option.len(), instead);
        }
    }
    for clause in it.indexes.iter_mut().chain(&mut it.foreign_keys) {
        clause.text = translated(&clause.text, to);
    }
    it
}

/// The collation that a table's columns have by default, where the statement names it.
fn default_collation(create: &str) -> Option<&str> {
    let options = &create[create.rfind("\n) ENGINE=")?..];
    let name = &options[options.find(" COLLATE=")? + " COLLATE=".len()..];
    let end = name.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(name.len());
    Some(&name[..end])
}

/// What both have under different words, in the words of `to`.
fn translated(text: &str, to: Dialect) -> String {
    let words: &[(&str, &str)] = match to {
        Dialect::MariaDb => &[
            // A comment that only MySQL reads.
            ("/*!80023 INVISIBLE */", "INVISIBLE"),
            (" geomcollection", " geometrycollection"),
        ],
        Dialect::MySql => &[(" IGNORED", " INVISIBLE")],
    };
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['`', '\'', '"']) {
        let end = at + quoted_len(&rest[at..]);
        out.push_str(&replaced(&rest[..at], words));
        out.push_str(&rest[at..end]);
        rest = &rest[end..];
    }
    out.push_str(&replaced(rest, words));
    out
}

fn replaced(text: &str, words: &[(&str, &str)]) -> String {
    words.iter().fold(text.to_owned(), |text, (word, other)| text.replace(word, other))
}

/// How long the quoted text is that this begins with. A doubled quote reads as two such texts.
fn quoted_len(text: &str) -> usize {
    let mut bytes = text.bytes().enumerate();
    let quote = bytes.next().map(|(_, quote)| quote);
    while let Some((at, byte)) = bytes.next() {
        if byte == b'\\' && quote != Some(b'`') {
            bytes.next();
        } else if Some(byte) == quote {
            return at + 1;
        }
    }
    text.len()
}

/// Has columns that MariaDB knows as texts alone remain the JSON documents that they are in MySQL's log.
pub(super) fn keep_documents(known: &Table, read: &mut Table) {
    let is = |column: &Column, word| base(&column.type_name) == word;
    for column in read.columns.iter_mut().filter(|column| is(column, "longtext")) {
        let formerly = known.columns.iter().find(|formerly| formerly.name == column.name);
        if let Some(formerly) = formerly.filter(|formerly| is(formerly, "json")) {
            column.type_name.clone_from(&formerly.type_name);
            column.collation.clone_from(&formerly.collation);
        }
    }
}

/// The settings under which a definition of one dialect runs on a server of another.
pub(super) fn settings(statement: &Statement) -> Statement {
    let common = |collation: u16| match collation {
        number if MYSQL_ONLY.contains(&number) => GENERAL[1],
        number if MARIADB_ONLY[0].contains(&number) => GENERAL[0],
        number if MARIADB_ONLY[1].contains(&number) => GENERAL[1],
        number => number,
    };
    Statement {
        sql_mode: statement.sql_mode & COMMON_MODES,
        client_charset: common(statement.client_charset),
        connection_collation: common(statement.connection_collation),
        default_collations: Vec::new(),
        ..statement.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARIADB: &str = "CREATE TABLE `t` (\n  `a` int(11) NOT NULL,\n  \
        `b` text COLLATE latin1_bin DEFAULT NULL COMMENT ' COLLATE=x IGNORED',\n  \
        PRIMARY KEY (`a`)\n) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_uca1400_ai_ci \
        COMMENT='it''s \\' IGNORED'";

    fn ddl(create: &str) -> TableDdl {
        TableDdl {
            name: crate::model::TableName { schema: "app".into(), name: "t".into() },
            create: create.to_owned(),
            indexes: Vec::new(),
            foreign_keys: Vec::new(),
            auto_increment: None,
        }
    }

    #[test]
    fn a_default_that_the_other_does_not_know_is_left_to_it() {
        let made = table(ddl(MARIADB), Dialect::MySql, |_| false).create;
        assert_eq!(made, MARIADB.replace(" COLLATE=utf8mb4_uca1400_ai_ci", ""));
        let kept = table(ddl(MARIADB), Dialect::MySql, |_| true).create;
        assert_eq!(kept, MARIADB);
    }

    #[test]
    fn words_are_those_of_the_other_outside_of_quotes() {
        let text = "`a` int /*!80023 INVISIBLE */ COMMENT '\\'/*!80023 INVISIBLE */'";
        let made = "`a` int INVISIBLE COMMENT '\\'/*!80023 INVISIBLE */'";
        assert_eq!(translated(text, Dialect::MariaDb), made);
        let index = translated("KEY `x IGNORED` (`a`) IGNORED", Dialect::MySql);
        assert_eq!(index, "KEY `x IGNORED` (`a`) INVISIBLE");
    }
}
