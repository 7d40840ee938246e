//! Changes of definitions that the log holds as statements, each a step of the migration.
//!
//! In: a change, everything before which is applied. Out: the target's tables as they are behind it,
//! recorded with the position behind it. What is done is decided by
//! [`decide`](crate::stream::definition::decide); the target carries it out so that it may be
//! repeated.

use std::sync::Arc;

use super::MigrationError;
use super::recopy::Recopies;
use super::run::{Besides, Run};
use crate::model::{Coverage, Deed, Failure, SchemaChange, Table};
use crate::source::Source;
use crate::stream::definition::{Course, Ground, decide};
use crate::target::{BuildStage, Migration, Target};

impl<S: Source, T: Target, B: Besides<S, T>> Run<S, T, B> {
    /// Notes, where a cutover wants to know, that rows of tables are others for a reason that the log does
    /// not name row by row: these were defined anew, emptied or copied.
    pub(super) fn note<'a>(&self, tables: impl Iterator<Item = &'a Table>) {
        if let Some(reins) = &self.handles.reins {
            reins.tap.with(|changed| tables.for_each(|table| changed.beyond_log(table.id)));
        }
    }

    /// Does what is to be done about a change of definitions.
    pub(super) async fn define(
        &self,
        migration: &mut Migration,
        change: &Arc<SchemaChange>,
        recopies: &mut Recopies,
    ) -> Result<(), Failure> {
        let coverage = Coverage::new(&migration.tables, &migration.ledger)
            .map_err(|_| MigrationError::LedgerMixed)?;
        let applied = migration.checkpoint.clone().ok_or(MigrationError::Vanished)?;
        let ground = Ground {
            tables: &migration.tables,
            coverage: &coverage,
            policy: &self.options.schema,
            applied: &applied,
        };
        match decide(change, &ground)? {
            Course::Step(mut step) => {
                // Whoever did it by hand may have put columns elsewhere.
                if step.run == Deed::Nothing && !step.tables.is_empty() {
                    step.seen = self.source.tables(None).await?;
                }
                // What is still to be built was said of the tables as they are before it.
                if !self.is_built().await? {
                    self.build_stage(BuildStage::Rest).await?;
                }
                self.note(step.tables.iter().map(|redefined| &redefined.table));
                self.target.define(&step).await?;
                if change.end.is_none() && step.created.is_none() {
                    self.source.pass_by(&change.mark);
                }
            }
            Course::Recopy(tables) => {
                recopies.count(migration, &tables)?;
                self.reset(migration, &tables).await?;
            }
        }
        *migration = self.target.load().await?.ok_or(MigrationError::Vanished)?;
        Ok(())
    }
}
