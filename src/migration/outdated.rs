//! Tables that a snapshot does not show any more, since something became of them after it.
//!
//! One that was emptied needs no copy: at a place in the log behind the snapshot it had no row, and what
//! it has had since is in the log behind that place. So a table that is emptied again and again does not
//! keep the snapshot from its end. One that was dropped needs none either, up to the place in the log where
//! that stands, which decides what becomes of it. Any other is copied again, under a later snapshot.
//! Killed in between, the tables are empty and not copied, which the next run sees.

use super::MigrationError;
use super::run::{Besides, Run};
use crate::model::{
    Bracket, Chunk, ChunkRange, Failure, HeldSnapshot, Position, RowForm, Table, TableId,
};
use crate::source::Source;
use crate::target::{ChunkLoader, Migration, Target};

impl<S: Source, T: Target, B: Besides<S, T>> Run<S, T, B> {
    /// Gives the copies of tables up that cannot be read under the snapshot any more.
    pub(super) async fn give_up(
        &self,
        migration: &mut Migration,
        held: &HeldSnapshot,
        outdated: &[TableId],
    ) -> Result<(), Failure> {
        let checkpoint = migration.checkpoint.clone().ok_or(MigrationError::Vanished)?;
        let (mut empty, mut others) = (Vec::new(), Vec::new());
        for table in migration.tables.iter().filter(|table| outdated.contains(&table.id)) {
            if let Some(position) = self.source.dropped(&checkpoint, table).await? {
                tracing::warn!(
                    table = %table.name,
                    "was dropped on the source before it was copied: it is empty on the target until \
                     the log comes to that, and then --on-drop-table says what becomes of it"
                );
                empty.push((table.clone(), position));
                continue;
            }
            // Rows of a family change each other without a word in the log: it is copied as one.
            let emptied_at = match table.cascades {
                None => self.source.emptied(held, table).await?,
                Some(_) => None,
            };
            match emptied_at {
                Some(position) => {
                    let followed = "was emptied: it is followed from there";
                    tracing::info!(table = %table.name, %position, "{followed}");
                    empty.push((table.clone(), position));
                }
                None => others.push(table.id),
            }
        }
        if !others.is_empty() {
            self.reset(migration, &others).await?;
        }
        for (table, position) in empty {
            self.copied_empty(&table, position).await?;
        }
        if others.is_empty() {
            self.source.release(held).await?;
        }
        Ok(())
    }

    /// Empties a table and notes that it has everything up to `position`.
    async fn copied_empty(&self, table: &Table, position: Position) -> Result<(), Failure> {
        let tables = std::slice::from_ref(table);
        let chunk = Chunk { table: table.id, number: 0, range: ChunkRange::Whole, bytes: 0 };
        self.target.reset(tables).await?;
        self.target.record_chunks(tables, std::slice::from_ref(&chunk)).await?;
        let mut loader = self.target.loader().await?;
        loader.open(table, RowForm::Text).await?;
        loader.finish(&chunk, &Bracket::exact(position), 0).await
    }
}
