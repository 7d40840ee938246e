//! How a migration begins: which tables it is of, and where its log does.
//!
//! In: both sides. Out: the state with its tables, and the first snapshot, recorded. Between the look at
//! the source and the snapshot lie minutes, or a run that failed: what the application makes meanwhile is
//! made before the position from which on the log is read, which tells nothing of it. So the tables are
//! listed once more when that position is fixed, as long as nothing is copied: what came is taken in as
//! if it had been there from the start, and what comes later is in the log.

use super::run::{Besides, Run};
use super::{MigrationError, check};
use crate::model::{Failure, Phase};
use crate::observe::failpoint;
use crate::source::Source;
use crate::target::{Migration, Target};

impl<S: Source, T: Target, B: Besides<S, T>> Run<S, T, B> {
    /// Looks at both sides, then writes the state of a new migration. Nothing is written before
    /// everything that can be known to fail was looked at.
    pub(super) async fn create(&self) -> Result<(), Failure> {
        let survey = check::survey(&self.source, &self.target, &self.options).await?;
        survey.clear()?;
        let identity = self.source.identify().await?;
        let make_schema = self.target.clear_ground(&survey.tables, &survey.truncate).await?;
        self.target
            .create(&identity, self.options.selection.patterns(), &survey.tables, make_schema)
            .await?;
        failpoint::reached("migration-created");
        Ok(())
    }

    /// Publication, slot and the snapshot at its beginning.
    pub(super) async fn prepare(&self, migration: &mut Migration) -> Result<(), Failure> {
        self.source.publish(&migration.tables).await?;
        failpoint::reached("published");
        let held = self.source.begin().await?;
        failpoint::reached("snapshot-held");
        if !self.source.lists(&migration.tables).await? {
            self.list_anew(migration).await?;
        }
        self.target.record_snapshot(Some(&held), Some(&held.position)).await?;
        failpoint::reached("snapshot-recorded");
        tracing::info!(position = %held.position, "the snapshot is held");
        migration.checkpoint = Some(held.position.clone());
        migration.held = Some(held);
        migration.phase = Phase::Snapshot;
        Ok(())
    }

    /// Looks at both sides as if nothing had begun, and has the migration be of the tables that are
    /// there by now. One of them that came behind the snapshot cannot be read under it, and is copied
    /// under a later one.
    async fn list_anew(&self, migration: &mut Migration) -> Result<(), Failure> {
        let survey = check::survey(&self.source, &self.target, &self.options).await?;
        survey.clear()?;
        let (before, now) = (&migration.tables, &survey.tables);
        for table in now.iter().filter(|table| before.iter().all(|it| it.name != table.name)) {
            tracing::info!(table = %table.name, "came while the migration began: taken in");
        }
        for table in before.iter().filter(|table| now.iter().all(|it| it.name != table.name)) {
            tracing::warn!(table = %table.name, "went while the migration began: left out");
        }
        let make_schema = self.target.clear_ground(now, &survey.truncate).await?;
        self.target.list_anew(now, make_schema).await?;
        failpoint::reached("tables-listed");
        *migration = self.target.load().await?.ok_or(MigrationError::Vanished)?;
        Ok(())
    }
}
