//! What the stream took from the log and has not sent to the target yet.
//!
//! In: events, batch by batch, each with the shapes that its rows have. Out: whole transactions, or
//! all that there is. It counts bytes, and keeps the batches' permits until their last event is
//! taken out, so that nothing is held unaccounted. It knows nothing of targets.

use std::ops::Range;
use std::sync::Arc;

use crate::model::{Batch, Event, Failure, Mark, Relation, SchemaChange, TableId};
use crate::source::Delivered;
use crate::stream::group::{Part, Shapes};
use crate::target::Checkpoint;

/// Events that wait to be applied.
#[derive(Default)]
pub(super) struct Gathered {
    pub(super) parts: Vec<(Part, Delivered)>,
    pub(super) bytes: usize,
    /// How many parts, and events of the last of them, make up whole transactions; and the
    /// checkpoint that belongs there.
    pub(super) complete: Option<Complete>,
    pub(super) transactions: u64,
    pub(super) changes: u64,
    /// Why nothing more may be gathered.
    pub(super) ending: Option<Ending>,
}

/// Up to where what is gathered is whole transactions.
pub(super) struct Complete {
    pub(super) parts: usize,
    pub(super) last_event: usize,
    pub(super) checkpoint: Checkpoint,
}

/// Why nothing more may be gathered.
pub(super) enum Ending {
    Reached,
    SourceEnded,
    Unsettled(TableId),
    /// Tables are defined anew from here on.
    Schema(Arc<SchemaChange>),
    /// A table has other columns from here on; what comes next waits in the pipeline.
    Altered(Arc<Relation>),
    Failed(Failure),
}

impl Gathered {
    /// Adds events of a batch; they become one part with those before them where nothing lies between.
    pub(super) fn push(
        &mut self,
        delivered: &Delivered,
        events: Range<usize>,
        shapes: &Arc<Shapes>,
    ) {
        if events.is_empty() {
            return;
        }
        if let Some((part, last)) = self.parts.last_mut()
            && Arc::ptr_eq(&last.batch, &delivered.batch)
            && part.events.end == events.start
            && Arc::ptr_eq(&part.shapes, shapes)
        {
            part.events.end = events.end;
            return;
        }
        let part = Part { batch: Arc::clone(&delivered.batch), events, shapes: Arc::clone(shapes) };
        self.parts.push((part, delivered.clone()));
    }

    /// Takes the whole transactions out; what follows them stays.
    pub(super) fn cut(&mut self, complete: &Complete) -> Vec<(Part, Delivered)> {
        let mut rest = self.parts.split_off(complete.parts);
        if let Some((part, delivered)) = self.parts.last_mut()
            && part.events.end > complete.last_event
        {
            let mut tail = part.clone();
            tail.events.start = complete.last_event;
            part.events.end = complete.last_event;
            rest.insert(0, (tail, delivered.clone()));
        }
        let whole = std::mem::replace(&mut self.parts, rest);
        self.count_bytes();
        whole
    }

    pub(super) fn cut_all(&mut self) -> Vec<(Part, Delivered)> {
        let parts = std::mem::take(&mut self.parts);
        self.count_bytes();
        parts
    }

    fn count_bytes(&mut self) {
        let mut last: Option<&Arc<Batch>> = None;
        self.bytes = 0;
        for (part, delivered) in &self.parts {
            if !last.is_some_and(|last| Arc::ptr_eq(last, &part.batch)) {
                self.bytes += delivered.bytes;
            }
            last = Some(&part.batch);
        }
    }
}

/// The transaction that is open after the last event.
pub(super) fn last_mark(parts: &[Part]) -> Option<Mark> {
    let mut events =
        parts.iter().rev().flat_map(|part| part.batch.events[part.events.clone()].iter().rev());
    events.find_map(|event| match event {
        Event::Begin { mark, .. } => Some(mark.clone()),
        Event::Change(_)
        | Event::Truncate(_)
        | Event::Schema(_)
        | Event::Unsettled { .. }
        | Event::Relation(_)
        | Event::Commit { .. }
        | Event::Idle { .. } => None,
    })
}
