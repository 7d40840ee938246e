//! What travels from a source to a target besides rows and changes.
//!
//! Snapshots, schemas, sequences and figures in the form in which both sides know them; what only
//! the engine understands is opaque in here.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::ddl::Dialect;
use super::failure::Code;
use super::objects::{Definition, Excluded, MaterializedView, SchemaArchive};
use super::position::{Bracket, Position};
use super::report::Finding;
use super::schema::{Table, TableId, TableName};

/// What tells one source from every other, as it is stored with the migration.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SourceIdentity {
    /// The cluster's own identifier (Postgres: the system identifier).
    pub cluster: String,
    /// The timeline or server within it that the log was read from.
    pub timeline: String,
    /// The database.
    pub database: String,
    /// The server's version as it prints it.
    pub version: String,
}

/// A snapshot that is being held open.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct HeldSnapshot {
    /// Everything that it contains is visible under the snapshot; and nothing else, unless `high` is
    /// there.
    pub position: Position,
    /// Where it is not known exactly what is visible: nothing is that this position does not contain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub high: Option<Position>,
    /// What the source needs to use and to recognise it.
    pub handle: serde_json::Value,
}

impl HeldSnapshot {
    /// Nothing is visible that this position does not contain.
    #[must_use]
    pub fn until(&self) -> &Position {
        self.high.as_ref().unwrap_or(&self.position)
    }

    /// The bracket of what is read under it.
    #[must_use]
    pub fn bracket(&self) -> Bracket {
        Bracket { low: self.position.clone(), high: self.until().clone() }
    }
}

/// What a database says about itself that the other side has to fit.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ServerFacts {
    /// The cluster's own identifier; None where the role may not read it.
    pub cluster: Option<String>,
    /// The server's major version.
    pub major: u32,
    /// The database.
    pub database: String,
    /// How its text is encoded.
    pub encoding: String,
    /// The locale by which its text is ordered.
    pub collation: String,
    /// On the source the extensions in use, on the target those that can be had.
    pub extensions: Vec<String>,
    /// It holds large objects.
    pub large_objects: bool,
    /// What is set for sessions in this database.
    pub settings: Vec<DatabaseSetting>,
    /// Objects in it that only a superuser may create.
    pub privileged: Vec<String>,
    /// Accounts as which views, routines, triggers and events run, as `user@host`, where that is
    /// not a role of the database.
    pub definers: Vec<String>,
    /// It holds functions or triggers.
    pub functions: bool,
    /// The largest row that it takes, in bytes, where there is a limit.
    pub largest_row_bytes: Option<u64>,
    /// A lock that the source has on its server for as long as it is connected, by which the server
    /// is recognised where it has no identifier.
    pub lock: Option<String>,
    /// Which of two related servers it is, where the engine has two.
    pub dialect: Option<Dialect>,
    /// What of it only servers of that dialect have.
    pub own: Vec<Peculiarity>,
    /// The character sets of what is made without naming one, where databases have one each.
    pub character_sets: Vec<DefaultCharacterSet>,
}

/// The character set of what is made in a database or a table without naming one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DefaultCharacterSet {
    /// The database.
    pub database: String,
    /// The table, whose new columns it is about; None where it is about new tables.
    pub table: Option<String>,
    /// The character set.
    pub name: String,
}

/// A part of a schema that only servers of the source's dialect have.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Peculiarity {
    /// Its name.
    pub object: String,
    /// What it is, as a sentence about it.
    pub seen: String,
    /// The rest goes over without it.
    pub is_left_out: bool,
}

/// A setting that sessions in a database begin with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DatabaseSetting {
    /// The role whose sessions they are; None for all.
    pub role: Option<String>,
    /// The setting and its value, as `name=value`.
    pub assignment: String,
}

/// What a source is found to be before a migration begins.
#[derive(Clone, Debug, Default)]
pub struct SourceSurvey {
    /// What the operator has to know.
    pub findings: Vec<Finding>,
    /// The selected tables, each with a number of its own.
    pub tables: Vec<Table>,
    /// What the target has to fit; None where the server cannot be relied on.
    pub facts: Option<ServerFacts>,
    /// What acts by itself (triggers, events) and is made or enabled on the target at the cutover
    /// only, by name.
    pub at_cutover: Vec<String>,
}

/// Why a selected table cannot be copied.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// Its changes are not in the log.
    Unlogged,
    /// Its rows lie on another server.
    Foreign,
    /// Updates and deletes of it cannot be told in the log, and it sees some.
    NoIdentity,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refusal::Unlogged => "it is unlogged, so its changes are not in the log",
            Refusal::Foreign => "it is a foreign table, whose rows lie on another server",
            Refusal::NoIdentity => "it has no replica identity, and its rows are changed",
        })
    }
}

impl Refusal {
    /// The code of a halt for this reason.
    #[must_use]
    pub fn code(self) -> Code {
        match self {
            Refusal::Unlogged => Code::TableUnlogged,
            Refusal::Foreign => Code::TableForeign,
            Refusal::NoIdentity => Code::NoIdentity,
        }
    }

    /// What can be done about `table`, besides a statement that mends it.
    #[must_use]
    pub fn hint(self, table: &TableName) -> String {
        let leave_out = format!("or leave it out: --exclude '{table}'");
        match self {
            Refusal::Unlogged => leave_out,
            Refusal::Foreign => format!("move its rows where they lie, {leave_out}"),
            Refusal::NoIdentity => format!(
                "or add a primary key; {leave_out}; where it never sees updates or deletes: \
                 --insert-only '{table}'"
            ),
        }
    }
}

/// The schema of a source: its archive, and what the archive does not say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CarriedSchema {
    /// The archive.
    pub archive: SchemaArchive,
    /// What building it again needs beside it.
    pub facts: SchemaFacts,
}

/// What the source's catalog says about the schema that its archive does not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchemaFacts {
    /// Indexes and constraints.
    pub definitions: Vec<Definition>,
    /// What is left out, and what needs it.
    pub excluded: Excluded,
    /// Materialised views, each after those it reads.
    pub views: Vec<MaterializedView>,
    /// Tables that come into being with rows, which the source's rows replace.
    pub prefilled: Vec<TableName>,
    /// The version of the programs that can read the archive.
    pub programs_version: i32,
}

/// What changed on a source in a way that its log does not show.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Drift {
    /// What the operator has to know.
    pub warnings: Vec<String>,
    /// Tables to which partitions came whose rows are all in the log: to be recorded as they are
    /// now before a row of these is applied.
    pub renewed: Vec<Table>,
    /// Tables that gained or lost rows of which the log says nothing: to be copied again.
    pub outdated: Vec<TableId>,
}

/// How rows of a chunk travel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RowForm {
    /// The engine's binary rows.
    Binary,
    /// The engine's text rows.
    Text,
}

/// How a source is faring.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct SourceHealth {
    /// The end of its log.
    pub position: Position,
    /// Bytes of log that it keeps on our account.
    pub retained_bytes: u64,
    /// Bytes that may still be written before it throws away log that we need; None where there
    /// is no limit.
    pub safe_bytes: Option<i64>,
}
