//! The schema of a MySQL or MariaDB server as statements: what its archive holds.
//!
//! In: what the source's `SHOW CREATE` says, taken apart where a target builds it in steps. Out:
//! the statements for the target, in the source's own words. Nothing here parses or runs them.
//! Each is meant for a session that has the object's database selected (`USE`) and, where one is
//! stated, the `sql_mode`, character set and collation under which the object was made: those are
//! kept with it and decide what it means.

use serde::{Deserialize, Serialize};

use super::objects::SchemaArchive;
use super::schema::TableName;

/// Which of the two related servers a schema comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dialect {
    /// MySQL.
    MySql,
    /// MariaDB.
    MariaDb,
}

/// The schema of the selected databases.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MySqlSchema {
    /// Whose words the statements are in.
    pub dialect: Dialect,
    /// The databases that hold anything that is carried.
    pub databases: Vec<DatabaseDdl>,
    /// The selected tables.
    pub tables: Vec<TableDdl>,
    /// Sequences (MariaDB only).
    pub sequences: Vec<SequenceDdl>,
    /// Views, in no particular order: one may read another.
    pub views: Vec<StoredDdl>,
    /// Triggers of the selected tables, those of one table and moment in the order in which they
    /// fire.
    pub triggers: Vec<StoredDdl>,
    /// Functions, procedures and packages; a package before its body.
    pub routines: Vec<StoredDdl>,
    /// Events.
    pub events: Vec<StoredDdl>,
}

/// A database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseDdl {
    /// Its name.
    pub name: String,
    /// `CREATE DATABASE` with character set and collation, in the source's words.
    pub create: String,
    /// Its default character set.
    pub character_set: String,
    /// Its default collation.
    pub collation: String,
}

/// A table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableDdl {
    /// Its name.
    pub name: TableName,
    /// `CREATE TABLE` with its primary key, its unique keys and whatever else it cannot be without,
    /// and without foreign keys and the indexes below.
    pub create: String,
    /// Indexes that can be made once the rows are there.
    pub indexes: Vec<Clause>,
    /// Foreign keys.
    pub foreign_keys: Vec<Clause>,
    /// The next value of its AUTO_INCREMENT column, where it has one.
    pub auto_increment: Option<u64>,
}

/// A part of a table that can follow `ALTER TABLE … ADD`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clause {
    /// The index's or the constraint's name.
    pub name: String,
    /// The clause as `SHOW CREATE TABLE` has it: ``KEY `name` (`a`,`b`)``, without a comma at
    /// its end.
    pub text: String,
}

/// A sequence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SequenceDdl {
    /// Its name.
    pub name: TableName,
    /// `CREATE SEQUENCE`.
    pub create: String,
}

/// What an object with a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StoredKind {
    /// A view.
    View,
    /// A trigger.
    Trigger,
    /// A function.
    Function,
    /// A procedure.
    Procedure,
    /// A package's declaration (MariaDB).
    Package,
    /// A package's body (MariaDB).
    PackageBody,
    /// An event.
    Event,
}

/// An object with a body, and the settings under which the body means what it means.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredDdl {
    /// Its name.
    pub name: TableName,
    /// What it is.
    pub kind: StoredKind,
    /// The `CREATE` statement, `DEFINER` included.
    pub create: String,
    /// Under whose account it runs: `user@host`.
    pub definer: String,
    /// The `sql_mode` that it was made under; none for a view, which has none of its own.
    pub sql_mode: Option<String>,
    /// `character_set_client` when it was made.
    pub character_set_client: String,
    /// `collation_connection` when it was made.
    pub collation_connection: String,
    /// `time_zone` when it was made; only of events.
    pub time_zone: Option<String>,
    /// The table it belongs to; only of triggers.
    pub table: Option<TableName>,
    /// It runs by itself; only of events, where it says ENABLE rather than DISABLE.
    pub enabled: bool,
}

impl MySqlSchema {
    /// As the archive in which it is stored and carried.
    ///
    /// # Errors
    ///
    /// None that could happen with these types.
    pub fn to_archive(&self) -> Result<SchemaArchive, serde_json::Error> {
        Ok(SchemaArchive { bytes: serde_json::to_vec(self)? })
    }

    /// Reads an archive.
    ///
    /// # Errors
    ///
    /// Where it was written by another version, or is no archive of this kind.
    pub fn from_archive(archive: &SchemaArchive) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(&archive.bytes)
    }
}
