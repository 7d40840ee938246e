//! What the log says of definitions in a stretch that nobody follows.
//!
//! In: two positions, and tables. Out: the definitions of these in between, each with how far the log was
//! read in front of it. Rows are thrown away. Where the log cannot be understood there is no answer: that
//! is told when it is followed.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::binlog::{Habits, Registry};
use super::log;
use super::site::Site;
use crate::model::{Act, Event, Failure, Position, SchemaChange, Table};
use crate::source::{BatchReceiver, channel};

/// Log in flight at most. All of it is thrown away.
const QUEUE_BYTES: usize = 4 << 20;

/// A stretch of a server's log.
pub(super) struct Stretch<'a> {
    pub(super) site: &'a Site,
    pub(super) habits: Habits,
    pub(super) from: Position,
    pub(super) until: Position,
    /// How long the server may be silent.
    pub(super) silence: Duration,
}

/// A definition, and how far the log was read in front of it.
pub(super) type Met = (Arc<SchemaChange>, Position);

impl Stretch<'_> {
    /// Whether a table was altered, renamed or dropped in it.
    pub(super) async fn redefines(&self, tables: &[Table]) -> Result<bool, Failure> {
        let mut from = self.from.clone();
        while let Some((change, _)) = self.first(from, tables).await? {
            if matches!(change.act, Act::Alter(_) | Act::Rename(_) | Act::Drop(_)) {
                return Ok(true);
            }
            let Some(end) = change.end.clone() else { return Ok(false) };
            from = end;
        }
        Ok(false)
    }

    /// The first definition behind `from` that may concern one of the tables.
    pub(super) async fn first<'a>(
        &self,
        from: Position,
        tables: impl IntoIterator<Item = &'a Table>,
    ) -> Result<Option<Met>, Failure> {
        let Stretch { site, habits, until, silence, .. } = self;
        if from.reaches(until) {
            return Ok(None);
        }
        let registry = Registry::new(tables).of_a_server(*habits);
        let (sender, mut batches) = channel::bounded(QUEUE_BYTES);
        let mut reader = JoinSet::new();
        reader.spawn(log::read((*site).clone(), from.clone(), registry, sender, *silence));
        if let Some(found) = find(&mut batches, from, until).await {
            return Ok(found);
        }
        match reader.join_next().await {
            Some(Ok(Err(failure))) if failure.code().is_none() => Err(failure),
            Some(Ok(_)) | None => Ok(None),
            Some(Err(panic)) => std::panic::resume_unwind(panic.into_panic()),
        }
    }
}

/// None where the log ended before there was an answer.
async fn find(
    batches: &mut BatchReceiver,
    from: Position,
    until: &Position,
) -> Option<Option<Met>> {
    let mut read = from;
    while let Some(delivered) = batches.receive().await {
        for event in &delivered.batch.events {
            match event {
                Event::Schema(change) => return Some(Some((Arc::clone(change), read))),
                Event::Commit { end: at } | Event::Idle { position: at } => {
                    if at.reaches(until) {
                        return Some(None);
                    }
                    read = at.clone();
                }
                Event::Begin { .. }
                | Event::Relation(_)
                | Event::Change(_)
                | Event::Truncate(_)
                | Event::Unsettled { .. } => {}
            }
        }
    }
    None
}
