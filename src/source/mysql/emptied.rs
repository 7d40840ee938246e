//! Where in the log a table was emptied that a snapshot does not show any more.
//!
//! In: a table, and the log from its snapshot's position on. Out: the position behind the first
//! statement that emptied it. There it has no row, exactly, so that nothing of it has to be read: all
//! that it holds later is in the log behind that place. Whatever else became of its definition before
//! that place is somebody else's case, and then there is no answer; nor is there one where the log
//! cannot be understood that far, which is told when it is followed.

use std::time::Duration;

use tokio::task::JoinSet;

use super::binlog::{Habits, Registry};
use super::log;
use super::site::Site;
use crate::model::{Act, Event, Failure, Position, Table};
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

/// The position behind the first statement in the log that emptied the table.
pub(super) async fn since(
    stretch: Stretch<'_>,
    table: &Table,
) -> Result<Option<Position>, Failure> {
    let Stretch { site, habits, from, until, silence } = stretch;
    if from.reaches(&until) {
        return Ok(None);
    }
    let registry = Registry::new([table]).of_a_server(habits);
    let (sender, mut batches) = channel::bounded(QUEUE_BYTES);
    let mut reader = JoinSet::new();
    reader.spawn(log::read(site.clone(), from, registry, sender, silence));
    if let Some(found) = find(&mut batches, table, &until).await {
        return Ok(found);
    }
    match reader.join_next().await {
        Some(Ok(Err(failure))) if failure.code().is_none() => Err(failure),
        Some(Ok(_)) | None => Ok(None),
        Some(Err(panic)) => std::panic::resume_unwind(panic.into_panic()),
    }
}

/// None where the log ended before there was an answer.
async fn find(
    batches: &mut BatchReceiver,
    table: &Table,
    until: &Position,
) -> Option<Option<Position>> {
    while let Some(delivered) = batches.receive().await {
        for event in &delivered.batch.events {
            match event {
                Event::Schema(change) => {
                    let emptied = change.act == Act::Truncate(table.name.clone());
                    return Some(change.end.clone().filter(|_| emptied));
                }
                Event::Commit { end: at } | Event::Idle { position: at } if at.reaches(until) => {
                    return Some(None);
                }
                Event::Begin { .. }
                | Event::Relation(_)
                | Event::Change(_)
                | Event::Truncate(_)
                | Event::Unsettled { .. }
                | Event::Commit { .. }
                | Event::Idle { .. } => {}
            }
        }
    }
    None
}
