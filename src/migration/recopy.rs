//! How often a table is copied again because nobody can say whether a change is in its copy.
//!
//! In: the tables that are to be copied again, each time. Out: nothing, or the end of it. Where a
//! snapshot has a bracket, a change in it may be one that cannot be applied so that a repetition does no
//! harm; its table is copied under the next snapshot then, in whose bracket there may be such a change
//! too. On a source that makes them all the time that would go on for ever, and cost a copy each
//! time. What is copied again for another reason does not count.

use std::collections::HashMap;

use super::MigrationError;
use crate::model::{LedgerEntry, Position, TableId};
use crate::target::Migration;

/// So often in a row a table is copied again.
const MOST: u32 = 3;

/// How often in a row each table was to be copied again on account of its bracket.
#[derive(Debug, Default)]
pub(super) struct Recopies(HashMap<TableId, u32>);

impl Recopies {
    /// Counts these once more.
    ///
    /// # Errors
    ///
    /// [`MigrationError::Unsettled`] where one was copied often enough.
    pub(super) fn count(
        &mut self,
        migration: &Migration,
        again: &[TableId],
    ) -> Result<(), MigrationError> {
        for id in again {
            let times = self.count_one(*id, is_unsettled(migration, *id));
            if times > MOST {
                let named = migration.tables.iter().find(|table| table.id == *id);
                let table = named.map(|table| table.name.to_string()).unwrap_or_default();
                return Err(MigrationError::Unsettled { table, times });
            }
        }
        Ok(())
    }

    fn count_one(&mut self, table: TableId, unsettled: bool) -> u32 {
        let times = self.0.entry(table).or_default();
        *times = if unsettled { *times + 1 } else { 0 };
        *times
    }
}

/// Whether the stream is still within the bracket of a table's copy.
fn is_unsettled(migration: &Migration, table: TableId) -> bool {
    let of_table = |entry: &&LedgerEntry| entry.chunk.table == table;
    let mut brackets =
        migration.ledger.iter().filter(of_table).filter_map(|entry| entry.read.as_ref());
    brackets.any(|read| {
        let settled = |checkpoint: &Position| checkpoint.reaches(&read.high);
        read.low != read.high && !migration.checkpoint.as_ref().is_some_and(settled)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_happens_in_a_row_counts() {
        let (mut recopies, table) = (Recopies::default(), TableId(7));
        let counted = [true, true, false, true, true, true, true]
            .map(|unsettled| recopies.count_one(table, unsettled));
        assert_eq!(counted, [1, 2, 0, 1, 2, 3, 4]);
        assert_eq!(recopies.count_one(TableId(8), true), 1);
    }
}
