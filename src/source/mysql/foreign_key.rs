//! Foreign keys on the source, and whether its log holds what they do.
//!
//! In: the server's version, its settings and its catalog. Out: the keys, and each table's part in
//! rules whose effects are not in the log. Before MySQL 9.6, and where `innodb_native_foreign_keys`
//! is on since, cascades are carried out beneath the server (manual, "FOREIGN KEY Constraints"), as
//! they are in MariaDB: there the log holds the row that changed and not what followed.

use super::catalog::Settings;
use super::control::{Control, TextRow};
use super::error::SourceError;
use crate::connect::mysql::{Flavour, ServerVersion};
use crate::model::foreign_key::{ForeignKey, bind};
use crate::model::{Cascades, Failure, Table, TableName};

/// Servers that log what a foreign key's cascade does to child rows begin with this version of
/// MySQL.
const LOGS_CASCADES_SINCE: u32 = 90_600;

/// Whether the log holds what cascades do.
pub(super) fn are_logged(version: ServerVersion, settings: &Settings) -> bool {
    version.flavour == Flavour::MySql
        && version.number >= LOGS_CASCADES_SINCE
        && !settings.on("innodb_native_foreign_keys")
}

/// All foreign keys.
pub(super) async fn read(control: &Control) -> Result<Vec<ForeignKey>, Failure> {
    let text = include_str!("../../../sql/mysql/foreign_keys.sql");
    let rows = control.rows(text, "read the foreign keys").await?;
    let key = |row: &TextRow| ForeignKey {
        table: TableName { schema: row.text(0), name: row.text(1) },
        name: row.text(2),
        parent: TableName { schema: row.text(3), name: row.text(4) },
        on_update: row.text(5),
        on_delete: row.text(6),
        columns: row.text(7),
        parent_columns: row.text(8),
    };
    Ok(rows.iter().map(key).collect())
}

/// Tells tables their part in what the log does not hold.
pub(super) async fn mark(control: &Control, tables: &mut [Table]) -> Result<(), Failure> {
    bind(tables, &read(control).await?);
    Ok(())
}

/// Takes no table in that has a part in what the log does not hold: where the others of its family
/// were read, it was not.
pub(super) async fn refuse_new(control: &Control, new: &[Table]) -> Result<(), Failure> {
    for key in read(control).await? {
        let concerns = |table: &Table| {
            let bound = table.cascades.is_some();
            key.table == table.name && (bound || key.rules().is_some())
                || key.parent == table.name && bound
        };
        if let Some(table) = new.iter().find(|table| concerns(table)) {
            return Err(refusal(table, &key).into());
        }
    }
    Ok(())
}

/// Tables that are about to be copied must have the part that is known of them: what their keys do
/// from the moment of the snapshot on is carried out by that.
pub(super) async fn expect_unchanged(
    control: &Control,
    known: &[Table],
    copied: &[&Table],
) -> Result<(), Failure> {
    let keys = read(control).await?;
    let followed = |name: &TableName| known.iter().any(|table| table.name == *name);
    for key in keys.iter().filter(|key| key.rules().is_some() && !followed(&key.parent)) {
        if let Some(table) = copied.iter().find(|table| table.name == key.table) {
            return Err(refusal(table, key).into());
        }
    }
    let mut now = known.to_vec();
    bind(&mut now, &keys);
    let part = |table: &Table| {
        let rules = |cascades: &Cascades| (cascades.parent, cascades.rules.clone());
        table.cascades.as_ref().map(rules)
    };
    let changed = |table: &&&Table| {
        let now = now.iter().find(|now| now.id == table.id);
        now.is_some_and(|now| part(now) != part(table))
    };
    match copied.iter().find(changed) {
        None => Ok(()),
        Some(table) => {
            let change = "its foreign keys, or those that refer to it, are others".to_owned();
            Err(SourceError::Altered { table: table.name.to_string(), change }.into())
        }
    }
}

fn refusal(table: &Table, key: &ForeignKey) -> SourceError {
    let rules = key.rules().unwrap_or_else(|| format!("a part in cascades of {}", key.parent));
    SourceError::CascadeUnlogged { table: table.name.to_string(), key: key.name.clone(), rules }
}
