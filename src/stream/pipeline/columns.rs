//! The stream's part in keeping the target's tables to the columns that the log's rows have.
//!
//! In: what the log says of a table's columns, at the place where it says it. Out: the shapes of the
//! rows that follow, and alterations of the target's tables. What was before is on its way to the
//! target by then, in the transaction that the alteration joins; where older rows hold what is in
//! no log, the stream ends and the table is copied again. It knows nothing of SQL.

use std::sync::Arc;

use super::gathered::Ending;
use super::{End, Pipeline};
use crate::model::{Event, Failure, Relation, Table, TableId, Verdict};
use crate::observe::failpoint;
use crate::source::Catalog;
use crate::stream::group::{PlanError, Shapes};
use crate::stream::shape::{has_other_columns, shape_of};
use crate::target::Applier;

impl<C: Catalog, A: Applier> Pipeline<C, A> {
    /// The relation that the target's table has to fit by this event, and the event to go on from
    /// where that table has to be altered first. A relation is looked at when it comes; where all of
    /// its table's copy is of a later moment, with the first change that comes after that.
    pub(super) fn shows(&mut self, event: &Event, index: usize) -> Option<(Arc<Relation>, usize)> {
        match event {
            Event::Relation(relation) if self.is_contained(relation.table) => None,
            Event::Relation(relation) => {
                self.unseen.remove(&relation.table);
                Some((Arc::clone(relation), index + 1))
            }
            Event::Change(_) | Event::Truncate(_) if self.unseen.is_empty() => None,
            Event::Change(change) => self.comes_into_sight(&[change.table()], index),
            Event::Truncate(truncate) => self.comes_into_sight(&truncate.tables, index),
            Event::Begin { .. }
            | Event::Schema(_)
            | Event::Unsettled { .. }
            | Event::Commit { .. }
            | Event::Idle { .. } => None,
        }
    }

    fn comes_into_sight(
        &mut self,
        tables: &[TableId],
        index: usize,
    ) -> Option<(Arc<Relation>, usize)> {
        let unseen = |table: &&TableId| self.unseen.contains_key(table);
        let seen = tables.iter().filter(unseen).find(|table| !self.is_contained(**table))?;
        // The event is looked at again: it may be about several such tables.
        self.unseen.remove(seen).map(|relation| (relation, index))
    }

    /// Whether the open transaction is contained in all of a table's copy.
    pub(super) fn is_contained(&self, table: TableId) -> bool {
        let judged = self.mark.as_ref().map(|mark| self.feed.coverage.judge_table(table, mark));
        matches!(judged, Some(Ok(Verdict::Contained)))
    }

    /// Has the target fit a relation; says what is in the way.
    pub(super) async fn describe(&mut self, relation: &Arc<Relation>) -> Option<Ending> {
        let Some(table) = self.feed.tables.iter().find(|table| table.id == relation.table) else {
            return Some(Ending::Failed(PlanError::OutOfPlace.into()));
        };
        let taken = |other: &Table| other.id != table.id && other.name == relation.name;
        if self.feed.tables.iter().any(taken) {
            let (table, taken) = (table.name.clone(), relation.name.clone());
            return Some(Ending::Failed(PlanError::NameTaken { table, taken }.into()));
        }
        if has_other_columns(table, relation) {
            return Some(Ending::Altered(Arc::clone(relation)));
        }
        if let Err(failure) = self.applier.describe(table, relation).await {
            return Some(Ending::Failed(failure));
        }
        self.keep_shape(relation);
        None
    }

    pub(super) fn keep_shape(&mut self, relation: &Arc<Relation>) {
        if let Some(table) = self.feed.tables.iter().find(|table| table.id == relation.table) {
            let shape = Arc::new(shape_of(table, relation));
            let mut shapes = Shapes::clone(&self.shapes);
            shapes.insert(relation.table, shape);
            self.shapes = Arc::new(shapes);
        }
    }

    /// Alters the target's table as the source's was, after everything before that is sent to it.
    pub(super) async fn alter(&mut self, relation: &Arc<Relation>) -> Result<Option<End>, Failure> {
        let parts = self.gathered.cut_all();
        if !parts.is_empty()
            && let Some(end) = self.carry_out(parts, None).await?
        {
            return Ok(Some(end));
        }
        let alteration = self.catalog.alteration(&self.feed.tables, relation).await?;
        if alteration.is_untold() {
            return Ok(Some(End::Recopy(alteration.ids())));
        }
        let altered = self.applier.alter(&alteration).await?;
        self.altered = true;
        failpoint::reached("table-altered");
        if let Some(tap) = &self.feed.tap {
            // Of rows that are as they were but for a column, the log says nothing.
            tap.with(|touched| altered.iter().for_each(|table| touched.beyond_log(table.id)));
        }
        for table in altered {
            self.feed.tables.retain(|known| known.id != table.id);
            self.feed.tables.push(table);
        }
        match self.describe(relation).await {
            None => Ok(None),
            Some(Ending::Failed(failure)) => Err(failure),
            // What was read of the table does not agree with the log that it was read for.
            Some(
                Ending::Altered(_)
                | Ending::Unsettled(_)
                | Ending::Schema(_)
                | Ending::Reached
                | Ending::SourceEnded,
            ) => Ok(Some(End::Recopy(alteration.ids()))),
        }
    }
}
