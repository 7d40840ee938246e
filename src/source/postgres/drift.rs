//! What became of the tables since the migration began, as far as the log does not show it.
//!
//! In: the tables as they were, and where the source's tables stand now. Out: words for the operator,
//! the partitions whose rows have to be looked for, or an error where a table was made anew. A
//! partition's own rows are always in the log; that it was attached or detached is not, and the
//! rows that an attached one brought along are not either. Pure.

use std::collections::HashMap;

use super::error::SourceError;
use super::relations::Placement;
use crate::connect::quote::quote_name;
use crate::model::{Table, TableName};

/// What changed.
#[derive(Debug, Default)]
pub(super) struct Drift<'a> {
    /// Partitions that came to a partitioned table of the migration: what rows they hold is not
    /// on the target.
    pub(super) new_partitions: Vec<&'a TableName>,
    /// What the operator has to know.
    pub(super) warnings: Vec<String>,
}

/// Compares the tables as they were with where they stand now.
///
/// # Errors
///
/// Where another table stands under the name of one of them.
pub(super) fn compare<'a>(
    tables: &[Table],
    placements: &'a [Placement],
) -> Result<Drift<'a>, SourceError> {
    let names: HashMap<u64, &TableName> =
        placements.iter().map(|placement| (placement.source_id, &placement.name)).collect();
    let known: HashMap<u64, &Table> = tables.iter().map(|table| (table.source_id, table)).collect();
    let mut drift = Drift::default();
    for placement in placements.iter().filter(|placement| !placement.partitioned) {
        let root = placement.root.and_then(|root| names.get(&root).copied());
        match known.get(&placement.source_id) {
            Some(table) => drift.warnings.extend(moved(table, root)),
            None => drift.came(tables, &placement.name, root)?,
        }
    }
    for table in tables.iter().filter(|table| !names.contains_key(&table.source_id)) {
        drift.warnings.push(format!(
            "table {} is gone from the source, or from the selection; it stays on the target",
            table.name
        ));
    }
    Ok(drift)
}

impl<'a> Drift<'a> {
    fn came(
        &mut self,
        tables: &[Table],
        name: &'a TableName,
        root: Option<&TableName>,
    ) -> Result<(), SourceError> {
        if tables.iter().any(|table| table.name == *name) {
            return Err(SourceError::Recreated { table: name.to_string() });
        }
        if root.is_some() && tables.iter().any(|table| table.root.as_ref() == root) {
            self.new_partitions.push(name);
        }
        self.warnings.push(format!(
            "table {name} came into being on the source after the migration began; it is not \
             copied: create it on the target likewise, empty, and start the run again, which takes it in"
        ));
        Ok(())
    }
}

/// Says that a table is in another partitioned table than it was, or in none.
fn moved(table: &Table, root: Option<&TableName>) -> Option<String> {
    let name = quote_name(&table.name);
    match (&table.root, root) {
        (Some(before), None) => Some(format!(
            "table {} was detached from {before} on the source; unless that is done on the target \
             too: ALTER TABLE {} DETACH PARTITION {name}",
            table.name,
            quote_name(before)
        )),
        (None, Some(now)) => Some(format!(
            "table {} was attached to {now} on the source; unless that is done on the target too: \
             ALTER TABLE {} ATTACH PARTITION {name}, with its bounds",
            table.name,
            quote_name(now)
        )),
        (Some(_), Some(_)) | (None, None) => None,
    }
}
