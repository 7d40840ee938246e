//! The source's catalog, looked at every few seconds for what the log does not show.
//!
//! In: the tables as the migration knows them. Out: what has to be recorded or copied anew, words for
//! the operator, or an error where the migration cannot go on. It asks the catalog; what the answers
//! mean is decided in `drift.rs` and `storage.rs`.

use std::sync::PoisonError;

use super::relations::{self, Placement};
use super::{PostgresSource, SourceError, catalog, drift, storage};
use crate::model::{Drift, Failure, Identity, Table, TableId};

impl PostgresSource {
    /// What changed among the tables in a way that the log does not show.
    pub(super) async fn compare_placements(&self, tables: &[Table]) -> Result<Drift, Failure> {
        let control = &self.shared.control;
        let placements = relations::placements(control, &self.shared.options.selection).await?;
        let drift = drift::compare(tables, &placements)?;
        for partition in drift.new_partitions {
            if catalog::has_rows(control, partition).await? {
                return Err(SourceError::PartitionCame { table: partition.clone() }.into());
            }
        }
        let mut outdated: Vec<TableId> = drift.outdated.iter().map(|table| table.id).collect();
        let mut renewed: Vec<Table> = Vec::new();
        for (table, placement) in drift.joined {
            if !self.is_logged_from_the_start(table, placement).await? {
                tracing::warn!(
                    table = %table.name, partition = %placement.name,
                    "a partition came that may hold rows which the log does not"
                );
                outdated.push(table.id);
                continue;
            }
            tracing::info!(table = %table.name, partition = %placement.name, "a partition came");
            if renewed.iter().all(|known| known.id != table.id) {
                renewed.push(table.clone());
            }
            let same = renewed.iter_mut().find(|known| known.id == table.id);
            if let Some(partitions) = same.and_then(|table| table.partitions.as_mut()) {
                partitions.leaves.push(placement.partition());
            }
        }
        outdated.dedup();
        renewed.retain(|table| !outdated.contains(&table.id));
        Ok(Drift { warnings: drift.warnings, renewed, outdated })
    }

    /// Whether the log holds every row that a new partition ever had: it was made as a partition,
    /// or never had a row, and was never emptied (a new table lies in a file of its own number).
    async fn is_logged_from_the_start(
        &self,
        table: &Table,
        placement: &Placement,
    ) -> Result<bool, Failure> {
        let control = &self.shared.control;
        if placement.storage != placement.source_id {
            return Ok(false);
        }
        let (partition, root) = (placement.source_id, table.source_id);
        Ok(catalog::created_as_partition(control, partition, root).await?
            || !catalog::had_rows(control, partition).await?)
    }

    /// Tables whose rows cannot be told apart must not see updates or deletes; where they were
    /// accepted because they had seen none, their counters are watched.
    pub(super) async fn watch_appending(&self, tables: &[Table]) -> Result<(), Failure> {
        let accepted =
            |table: &&Table| table.identity == Identity::Nothing && !self.is_insert_only(table);
        let watched: Vec<&Table> = tables.iter().filter(accepted).collect();
        if watched.is_empty() {
            return Ok(());
        }
        let changed = self.changed(&watched).await?;
        match watched.into_iter().find(|table| changed.contains(&table.id)) {
            Some(table) => {
                Err(SourceError::IdentityNeeded { table: table.name.to_string() }.into())
            }
            None => Ok(()),
        }
    }

    /// Says which tables were written anew with other values, and finds those of which a column's
    /// name means another column by now.
    pub(super) async fn watch_storage(&self, tables: &[Table]) -> Result<Drift, Failure> {
        let found = storage::read(&self.shared.control, tables).await?;
        let outdated = storage::exchanged(tables, &found);
        for table in tables.iter().filter(|table| outdated.contains(&table.id)) {
            tracing::warn!(table = %table.name, "a column's name means another column by now");
        }
        let mut storages = self.shared.storages.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Drift { warnings: storages.watch(tables, &found), outdated, renewed: Vec::new() })
    }
}
