//! The schema: tables, and all that hangs on them, in the source's own words.
//!
//! In: `SHOW CREATE` of every selected table and of what belongs to the databases these are in. Out: a
//! [`MySqlSchema`] in an archive. Statements are not rewritten, but for what is built later: each goes
//! over with the settings that it was made under. A foreign key to a table that is not copied is left
//! out, since no row on the target could satisfy it, and that is said.

use std::collections::{BTreeSet, HashMap};

use super::control::{Control, TextRow};
use super::create_table::CreateTable;
use super::error::SourceError;
use super::foreign_key;
use super::relations::{Tables, Wanted};
use crate::connect::mysql::privileges::{Privileges, grant};
use crate::connect::mysql::quote::{quote_ident, quote_level, quote_literal, quote_name};
use crate::connect::mysql::{Flavour, ServerVersion};
use crate::model::ddl::{
    DatabaseDdl, Dialect, MySqlSchema, SequenceDdl, StoredDdl, StoredKind, TableDdl,
};
use crate::model::report::Finding;
use crate::model::{Code, Failure, SequenceValue, Table, TableName};

/// Whose words a server's definitions are in.
pub(super) fn dialect(version: ServerVersion) -> Dialect {
    match version.flavour {
        Flavour::MySql => Dialect::MySql,
        Flavour::MariaDb => Dialect::MariaDb,
    }
}

/// Reads the schema of `tables` and of all that hangs on them.
pub(super) async fn schema(
    control: &Control,
    found: &Tables,
    tables: &[Table],
    wanted: &Wanted,
) -> Result<MySqlSchema, Failure> {
    let names: BTreeSet<&TableName> = tables.iter().map(|table| &table.name).collect();
    let databases: BTreeSet<&String> = names.iter().map(|name| &name.schema).collect();
    let keys = foreign_key::read(control).await?;
    let counters: HashMap<&TableName, u64> =
        found.counters.iter().map(|(name, counter)| (name, *counter)).collect();
    let mut schema = MySqlSchema {
        dialect: dialect(control.version()),
        databases: Vec::new(),
        tables: Vec::new(),
        sequences: Vec::new(),
        views: Vec::new(),
        triggers: Vec::new(),
        routines: Vec::new(),
        events: Vec::new(),
    };
    for name in &databases {
        schema.databases.push(database(control, name).await?);
    }
    for name in &names {
        let dangling = keys
            .iter()
            .filter(|key| key.table == **name && !names.contains(&key.parent))
            .map(|key| key.name.as_str());
        let dangling: Vec<&str> = dangling.collect();
        schema.tables.push(table(control, name, counters.get(name).copied(), &dangling).await?);
    }
    for name in &found.sequences {
        let create = show_create(control, "SEQUENCE", name).await?.text(1);
        schema.sequences.push(SequenceDdl { name: name.clone(), create });
    }
    for listed in stored(control).await?.into_iter().filter(|it| it.is_carried(&names, wanted)) {
        let object = definition(control, listed).await?;
        match object.kind {
            StoredKind::View => schema.views.push(object),
            StoredKind::Trigger => schema.triggers.push(object),
            StoredKind::Event => schema.events.push(object),
            StoredKind::Function
            | StoredKind::Procedure
            | StoredKind::Package
            | StoredKind::PackageBody => schema.routines.push(object),
        }
    }
    Ok(schema)
}

/// The next values of AUTO_INCREMENT columns, by their tables, and of sequences.
pub(super) async fn sequences(
    control: &Control,
    found: &Tables,
) -> Result<Vec<SequenceValue>, Failure> {
    let mut values: Vec<SequenceValue> =
        found.counters.iter().map(|(name, next)| next_value(name, *next)).collect();
    for name in &found.sequences {
        let text = format!("SELECT next_not_cached_value FROM {}", quote_name(name));
        let row = control.one(&text, &format!("read the sequence {name}")).await?;
        let last_value = row.text(0).parse().unwrap_or_default();
        values.push(SequenceValue { name: name.clone(), last_value, is_called: false });
    }
    Ok(values)
}

/// A counter beyond what a signed number holds is left where its rows have brought it on the target.
fn next_value(name: &TableName, next: u64) -> SequenceValue {
    let last_value = i64::try_from(next).unwrap_or(1);
    SequenceValue { name: name.clone(), last_value, is_called: false }
}

async fn database(control: &Control, name: &str) -> Result<DatabaseDdl, Failure> {
    let doing = format!("read the definition of database {name}");
    let text = format!("SHOW CREATE DATABASE {}", quote_ident(name));
    let create = control.one(&text, &doing).await?.text(1);
    let text = format!(
        "SELECT DEFAULT_CHARACTER_SET_NAME, DEFAULT_COLLATION_NAME \
         FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = {}",
        quote_literal(name)
    );
    let row = control.one(&text, &doing).await?;
    Ok(DatabaseDdl {
        name: name.to_owned(),
        create,
        character_set: row.text(0),
        collation: row.text(1),
    })
}

async fn table(
    control: &Control,
    name: &TableName,
    auto_increment: Option<u64>,
    dangling: &[&str],
) -> Result<TableDdl, Failure> {
    let text = show_create(control, "TABLE", name).await?.text(1);
    let read = CreateTable::read(&text);
    let mut read = read.ok_or_else(|| SourceError::Definition { table: name.to_string() })?;
    read.foreign_keys.retain(|key| {
        let kept = !dangling.contains(&key.name.as_str());
        if !kept {
            tracing::warn!(table = %name, key = %key.name, "refers to a table that is left out");
        }
        kept
    });
    Ok(TableDdl {
        name: name.clone(),
        create: read.create,
        indexes: read.indexes,
        foreign_keys: read.foreign_keys,
        auto_increment,
    })
}

async fn show_create(control: &Control, kind: &str, name: &TableName) -> Result<TextRow, Failure> {
    let doing = format!("read the definition of {} {name}", kind.to_lowercase());
    // Its own database is not named in the statement where it is the current one.
    control.enter(&name.schema).await?;
    let text = format!("SHOW CREATE {kind} {}", quote_name(name));
    control.one(&text, &doing).await
}

/// What hangs on tables besides their rows, as far as a target has to be fit for it.
pub(super) struct Beside {
    /// What acts by itself: triggers, and events that are enabled; by name.
    pub(super) acting: Vec<String>,
    /// The accounts under which anything of it runs.
    pub(super) definers: Vec<String>,
    /// There are functions or triggers.
    pub(super) functions: bool,
    /// All of it, by name.
    pub(super) names: Vec<String>,
}

/// Lists what hangs on `tables`.
pub(super) async fn beside(
    control: &Control,
    tables: &[Table],
    wanted: &Wanted,
) -> Result<Beside, Failure> {
    let names: BTreeSet<&TableName> = tables.iter().map(|table| &table.name).collect();
    let carried = stored(control).await?.into_iter().filter(|it| it.is_carried(&names, wanted));
    let carried: Vec<Listed> = carried.collect();
    let acting = carried.iter().filter_map(|listed| match listed.kind {
        StoredKind::Trigger => Some(format!("trigger {}", listed.name)),
        StoredKind::Event if listed.enabled => Some(format!("event {} enabled", listed.name)),
        _ => None,
    });
    let named =
        |listed: &Listed| format!("{} {}", shown(listed.kind).0.to_lowercase(), listed.name);
    let definers: BTreeSet<&String> = carried.iter().map(|listed| &listed.definer).collect();
    let is_function =
        |listed: &Listed| matches!(listed.kind, StoredKind::Function | StoredKind::Trigger);
    Ok(Beside {
        acting: acting.collect(),
        definers: definers.into_iter().cloned().collect(),
        functions: carried.iter().any(is_function),
        names: carried.iter().map(named).collect(),
    })
}

/// An object with a body, without the body.
struct Listed {
    kind: StoredKind,
    name: TableName,
    table: Option<TableName>,
    definer: String,
    enabled: bool,
}

impl Listed {
    /// Whether it goes over with these tables.
    fn is_carried(&self, tables: &BTreeSet<&TableName>, wanted: &Wanted) -> bool {
        let beside = || tables.iter().any(|table| table.schema == self.name.schema);
        match (&self.kind, &self.table) {
            (StoredKind::View, _) => beside() && wanted.has(&self.name),
            (_, Some(table)) => tables.contains(table),
            (_, None) => beside(),
        }
    }
}

async fn stored(control: &Control) -> Result<Vec<Listed>, Failure> {
    let text = include_str!("../../../sql/mysql/source_stored.sql");
    let rows = control.rows(text, "list views, triggers, routines and events").await?;
    let mut listed: Vec<Listed> = rows.iter().filter_map(listed).collect();
    // A package comes before its body.
    listed.sort_by_key(|object| object.kind == StoredKind::PackageBody);
    Ok(listed)
}

fn listed(row: &TextRow) -> Option<Listed> {
    let kind = match row.text(0).as_str() {
        "view" => StoredKind::View,
        "trigger" => StoredKind::Trigger,
        "function" => StoredKind::Function,
        "procedure" => StoredKind::Procedure,
        "package" => StoredKind::Package,
        "package body" => StoredKind::PackageBody,
        "event" => StoredKind::Event,
        _ => return None,
    };
    let name = TableName { schema: row.text(1), name: row.text(2) };
    let is_system =
        ["mysql", "information_schema", "performance_schema", "sys"].contains(&&*name.schema);
    (!is_system).then(|| Listed {
        kind,
        table: row.maybe(3).map(|table| TableName { schema: row.text(1), name: table }),
        definer: row.text(4),
        enabled: row.text(7) == "ENABLED",
        name,
    })
}

/// The words of `SHOW CREATE`, and the column that has the statement.
fn shown(kind: StoredKind) -> (&'static str, &'static str) {
    match kind {
        StoredKind::View => ("VIEW", "Create View"),
        StoredKind::Trigger => ("TRIGGER", "SQL Original Statement"),
        StoredKind::Function => ("FUNCTION", "Create Function"),
        StoredKind::Procedure => ("PROCEDURE", "Create Procedure"),
        StoredKind::Package => ("PACKAGE", "Create Package"),
        StoredKind::PackageBody => ("PACKAGE BODY", "Create Package Body"),
        StoredKind::Event => ("EVENT", "Create Event"),
    }
}

async fn definition(control: &Control, listed: Listed) -> Result<StoredDdl, Failure> {
    let (words, column) = shown(listed.kind);
    let row = show_create(control, words, &listed.name).await?;
    let hidden = || SourceError::DefinitionHidden {
        object: format!("{} {}", words.to_lowercase(), listed.name),
    };
    Ok(StoredDdl {
        kind: listed.kind,
        create: row.named(column).ok_or_else(hidden)?,
        definer: listed.definer,
        sql_mode: row.named("sql_mode"),
        character_set_client: row.named("character_set_client").unwrap_or_default(),
        collation_connection: row.named("collation_connection").unwrap_or_default(),
        time_zone: row.named("time_zone"),
        table: listed.table,
        enabled: listed.enabled,
        name: listed.name,
    })
}

/// What the account may not see of views, triggers, events and routines: what it does not see
/// would be left behind.
pub(super) async fn hidden(
    control: &Control,
    tables: &[Table],
    privileges: &Privileges,
    account: &str,
) -> Result<Vec<Finding>, Failure> {
    let databases: BTreeSet<&String> = tables.iter().map(|table| &table.name.schema).collect();
    let left = "what it does not see is left behind";
    let mut findings = Vec::new();
    for database in databases {
        let needed = ["SHOW VIEW", "TRIGGER", "EVENT"];
        let lacking: Vec<&str> =
            needed.into_iter().filter(|name| !privileges.on_database(name, database)).collect();
        let finding =
            |seen| Finding::block(Code::PrivilegeMissing, format!("database {database}"), seen);
        if !lacking.is_empty() {
            let lacking = lacking.join(", ");
            let seen = format!("the account lacks {lacking}: {left}");
            let fix = grant(&lacking, &quote_level(database), account);
            findings.push(finding(seen).with_fix(fix));
        }
        if !sees_routines(control, database, privileges).await? {
            let (privilege, level) = match control.version().flavour {
                Flavour::MySql if control.version().number < 80_020 => ("SELECT", "*.*"),
                Flavour::MySql => ("SHOW_ROUTINE", "*.*"),
                Flavour::MariaDb => ("SELECT", "mysql.proc"),
            };
            let seen = format!(
                "the account may not see the routines of other accounts ({privilege} on {level}): \
                 {left}"
            );
            findings.push(finding(seen).with_fix(grant(privilege, level, account)));
        }
    }
    Ok(findings)
}

/// Whether the account sees the routines of other accounts, with their bodies. Manuals: "SHOW CREATE
/// PROCEDURE".
async fn sees_routines(
    control: &Control,
    database: &str,
    privileges: &Privileges,
) -> Result<bool, Failure> {
    let version = control.version();
    if privileges.any(&["SELECT"]) {
        return Ok(true);
    }
    Ok(match version.flavour {
        Flavour::MySql => privileges.any(&["SHOW_ROUTINE"]),
        Flavour::MariaDb => {
            let by_name = version.number >= 110_300
                && privileges.on_database("SHOW CREATE ROUTINE", database);
            let text = "SELECT 1 FROM mysql.proc LIMIT 0";
            by_name || control.permitted(text, "look at the routines").await?.is_some()
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_of_the_server_itself_are_passed_by() {
        let row = |kind: &str, schema: &str| {
            let fields = [kind, schema, "x", "", "root@localhost", "", "0", "ENABLED"];
            TextRow::of(fields.iter().map(|text| Some((*text).to_owned())).collect())
        };
        assert!(listed(&row("procedure", "sys")).is_none());
        assert!(listed(&row("library", "shop")).is_none());
        let event = listed(&row("event", "shop")).unwrap();
        assert!(event.enabled && event.kind == StoredKind::Event);
    }
}
