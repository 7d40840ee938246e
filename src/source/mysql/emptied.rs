//! Where in the log a table was emptied, or dropped, that a snapshot does not show any more.
//!
//! In: a table, and the log from its snapshot's position on, or from where it will be followed. Out: the
//! position behind the first statement that emptied it, or in front of the first that dropped it. There it has no row, exactly, so that nothing of it has to be read: all
//! that it holds later is in the log behind that place. Whatever else became of its definition before
//! that place is somebody else's case, and then there is no answer; nor is there one where the log
//! cannot be understood that far, which is told when it is followed. What stands in front of the place
//! where a table is dropped need not be read either, as nothing of it is left behind that place; what
//! becomes of the table there, and of another that comes under its name, is decided when the log is
//! followed, like anything else that it says. Only where the table got another name before would its rows
//! be missed under that.

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

/// The position behind the first statement in the log that emptied the table.
pub(super) async fn since(
    stretch: Stretch<'_>,
    table: &Table,
) -> Result<Option<Position>, Failure> {
    let from = stretch.from.clone();
    let Some((change, _)) = first(&stretch, from, table).await? else { return Ok(None) };
    let emptied = change.act == Act::Truncate(table.name.clone());
    Ok(change.end.clone().filter(|_| emptied))
}

/// A position in front of the first statement in the log that dropped the table, behind all the rows
/// that it had until then.
pub(super) async fn before_drop(
    stretch: Stretch<'_>,
    table: &Table,
) -> Result<Option<Position>, Failure> {
    let mut from = stretch.from.clone();
    while let Some((change, before)) = first(&stretch, from, table).await? {
        match &change.act {
            Act::Drop(tables) if tables.contains(&table.name) => return Ok(Some(before)),
            Act::Rename(_) => return Ok(None),
            Act::Alter(alter) if alter.table != alter.to => return Ok(None),
            Act::Alter(_)
            | Act::Create(_)
            | Act::Drop(_)
            | Act::Truncate(_)
            | Act::Other(_)
            | Act::Unnamed => {}
        }
        let Some(end) = change.end.clone() else { return Ok(None) };
        from = end;
    }
    Ok(None)
}

/// A definition, and how far the log was read in front of it.
type Met = (Arc<SchemaChange>, Position);

/// The first definition in the log behind `from` that may concern the table.
async fn first(
    stretch: &Stretch<'_>,
    from: Position,
    table: &Table,
) -> Result<Option<Met>, Failure> {
    let Stretch { site, habits, until, silence, .. } = stretch;
    if from.reaches(until) {
        return Ok(None);
    }
    let registry = Registry::new([table]).of_a_server(*habits);
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
