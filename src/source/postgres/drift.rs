//! What became of the tables since the migration began, as far as the log does not show it.
//!
//! In: the tables as they were, and where the source's tables stand now. Out: words for the operator,
//! the partitions whose rows have to be looked for, or an error where a table was made anew. A
//! partition's own rows are always in the log; that it was attached or detached is not, and the
//! rows that an attached one brought along are not either. Pure.

use std::collections::{HashMap, HashSet};

use super::error::SourceError;
use super::relations::Placement;
use crate::connect::quote::quote_name;
use crate::model::{Partition, Table, TableName};

/// What changed.
#[derive(Debug, Default)]
pub(super) struct Drift<'a> {
    /// Partitions that came to a partitioned table of the migration: what rows they hold is not
    /// on the target.
    pub(super) new_partitions: Vec<&'a TableName>,
    /// Partitions that came to a table that is copied as one, with that table.
    pub(super) joined: Vec<(&'a Table, &'a Placement)>,
    /// Tables that are copied as one and whose partitions went or were emptied.
    pub(super) outdated: Vec<&'a Table>,
    /// What the operator has to know.
    pub(super) warnings: Vec<String>,
}

/// Compares the tables as they were with where they stand now.
///
/// # Errors
///
/// Where another table stands under the name of one of them.
pub(super) fn compare<'a>(
    tables: &'a [Table],
    placements: &'a [Placement],
) -> Result<Drift<'a>, SourceError> {
    let names: HashMap<u64, &TableName> =
        placements.iter().map(|placement| (placement.source_id, &placement.name)).collect();
    let known: HashMap<u64, &Table> = tables.iter().map(|table| (table.source_id, table)).collect();
    let mut drift = Drift::default();
    let as_one = |placement: &Placement| {
        let root = placement.root.and_then(|root| known.get(&root));
        root.is_some_and(|table| table.partitions.is_some())
    };
    let apart = |placement: &&Placement| {
        let known = known.contains_key(&placement.source_id);
        !placement.partitioned && placement.logged && (known || !as_one(placement))
    };
    for placement in placements.iter().filter(apart) {
        let root = placement.root.and_then(|root| names.get(&root).copied());
        match known.get(&placement.source_id) {
            Some(table) => drift.warnings.extend(moved(table, root)),
            None => drift.came(tables, &placement.name, root)?,
        }
    }
    for table in tables {
        drift.compare_partitions(table, placements)?;
    }
    let logged: HashSet<u64> = placements
        .iter()
        .filter(|placement| placement.logged)
        .map(|placement| placement.source_id)
        .collect();
    for table in tables.iter().filter(|table| !logged.contains(&table.source_id)) {
        drift.warnings.push(format!(
            "table {} is gone from the source, or from the selection; it stays on the target",
            table.name
        ));
    }
    Ok(drift)
}

impl<'a> Drift<'a> {
    /// Looks for partitions of a table that is copied as one which came, went or were emptied. Their
    /// rows are in the log as those of the table; that they came along, went away or were emptied
    /// is not (`pgoutput_truncate` in the server's pgoutput.c passes over partitions).
    fn compare_partitions(
        &mut self,
        table: &'a Table,
        placements: &'a [Placement],
    ) -> Result<(), SourceError> {
        let Some(partitions) = table.partitions.as_ref().filter(|known| known.at.is_some()) else {
            return Ok(());
        };
        let stand: HashMap<u64, &Placement> = placements
            .iter()
            .filter(|placement| placement.root == Some(table.source_id) && !placement.partitioned)
            .map(|placement| (placement.source_id, placement))
            .collect();
        // A table that is gone itself is said elsewhere; its rows here stay.
        if placements.iter().all(|placement| placement.source_id != table.source_id) {
            return Ok(());
        }
        let stands = |leaf: &&Partition| {
            let placement = stand.get(&leaf.source_id);
            placement.is_some_and(|now| (now.storage, &now.links) == (leaf.storage, &leaf.links))
        };
        let mut gone = partitions.leaves.iter().filter(|leaf| !stands(leaf));
        if let Some(leaf) = gone.next() {
            tracing::warn!(
                table = %table.name, partition = %leaf.name,
                "a partition was emptied, rewritten, detached or dropped, which the log does not \
                 show"
            );
            self.outdated.push(table);
            return Ok(());
        }
        for placement in stand.into_values() {
            if !placement.logged {
                return Err(SourceError::PartitionUnlogged { table: placement.name.clone() });
            }
            if partitions.leaves.iter().all(|leaf| leaf.source_id != placement.source_id) {
                self.joined.push((table, placement));
            }
        }
        Ok(())
    }

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
