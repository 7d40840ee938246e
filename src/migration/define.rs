//! Changes of definitions that the log holds as statements, each a step of the migration.
//!
//! In: a change, everything before which is applied. Out: the target's tables as they are behind it,
//! recorded with the position behind it. What is done is decided by
//! [`decide`](crate::stream::definition::decide); the target carries it out so that it may be
//! repeated.

use std::sync::Arc;

use super::MigrationError;
use super::run::{Besides, Run};
use crate::model::{Coverage, Failure, SchemaChange};
use crate::source::Source;
use crate::stream::definition::{Course, Ground, decide};
use crate::target::{BuildStage, Migration, Target};

impl<S: Source, T: Target, B: Besides<S, T>> Run<S, T, B> {
    /// Does what is to be done about a change of definitions.
    pub(super) async fn define(
        &self,
        migration: &mut Migration,
        change: &Arc<SchemaChange>,
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
            Course::Step(step) => {
                // What is still to be built was said of the tables as they are before it.
                if !self.is_built().await? {
                    self.build_stage(BuildStage::Rest).await?;
                }
                self.target.define(&step).await?;
            }
            Course::Recopy(tables) => self.reset(migration, &tables).await?,
        }
        *migration = self.target.load().await?.ok_or(MigrationError::Vanished)?;
        Ok(())
    }
}
