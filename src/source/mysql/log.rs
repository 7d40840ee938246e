//! The binary log as a stream of events: who asks for it, and from where on.
//!
//! In: a position. Out: an [`EventStream`] for the log reader, over a connection of its own, on a
//! thread of its own. It does not look into events. Nothing is acknowledged: the server keeps its log
//! by its own rule, whatever was read.

use std::ops::Range;
use std::time::Duration;

use super::binlog::{Decoder, Registry};
use super::error::SourceError;
use super::replication::{EventStream, LogReader};
use crate::config::endpoint::MySqlEndpoint;
use crate::connect::mysql::Wire;
use crate::connect::mysql::wire::{DumpFrom, EventBatch, EventReader, Replica};
use crate::model::{Failure, Position};
use crate::source::BatchSender;
use crate::source::thread::on_own_thread;

/// A server is asked for a sign of life so many times before it counts as gone.
const HEARTBEATS: u32 = 4;

/// Numbers of servers that operators give begin with one; ours lie behind these.
const FIRST_SERVER_ID: u32 = 1 << 31;

/// Reads the log from `from` on until the receiver is gone, or tables are defined anew.
pub(super) async fn read(
    endpoint: MySqlEndpoint,
    from: Position,
    registry: Registry,
    out: BatchSender,
    silence: Duration,
) -> Result<(), Failure> {
    let decoder = Decoder::new(registry, from.clone());
    on_own_thread(async move {
        let wire = Wire::connect(&endpoint).await?;
        let reader = dump(wire, &from, silence / HEARTBEATS).await?;
        LogReader::new(Events::new(reader), decoder, silence).read(&out).await
    })
    .await
}

/// Asks for the log. The number that we give ourselves is a new one each time: a server ends the
/// dump of whoever has the same.
async fn dump(wire: Wire, from: &Position, heartbeat: Duration) -> Result<EventReader, Failure> {
    let server_id = FIRST_SERVER_ID | rand::random::<u32>();
    let replica = Replica { server_id, heartbeat };
    let reader = match from {
        Position::MySql(executed) => wire.dump(&replica, &DumpFrom::Gtids(executed)).await?,
        Position::MariaDb(list) => {
            wire.dump(&replica, &DumpFrom::MariaGtids(&list.to_string())).await?
        }
        Position::Binlog(at) => {
            let offset = asked_for(at.offset);
            wire.dump(&replica, &DumpFrom::File { name: at.file(), offset }).await?
        }
        Position::Postgres(_) => {
            return Err(SourceError::BeyondReach { position: from.clone() }.into());
        }
    };
    Ok(reader)
}

/// Where a file is begun to be read to come to this offset. The command names four bytes of it; for
/// what lies beyond, the file is read from its first event on, and the decoder passes over what it
/// knows.
fn asked_for(offset: u64) -> u32 {
    const FIRST_EVENT: u32 = 4;
    u32::try_from(offset).unwrap_or(FIRST_EVENT)
}

/// Events as they come, one after the other.
struct Events {
    reader: EventReader,
    batch: Option<EventBatch>,
    /// Where those of the batch lie that were not taken, the last first.
    places: Vec<Range<usize>>,
}

impl Events {
    fn new(reader: EventReader) -> Self {
        Events { reader, batch: None, places: Vec::new() }
    }
}

impl EventStream for Events {
    async fn ready(&mut self) -> Result<bool, Failure> {
        if !self.places.is_empty() {
            return Ok(true);
        }
        let Some(batch) = self.reader.read_events().await? else { return Ok(false) };
        self.places = batch.places().collect();
        self.places.reverse();
        self.batch = Some(batch);
        Ok(true)
    }

    fn take(&mut self) -> Result<Option<&[u8]>, Failure> {
        let (Some(place), Some(batch)) = (self.places.pop(), &self.batch) else {
            return Ok(None);
        };
        Ok(Some(&batch.bytes()[place]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beyond_four_gib_a_file_is_read_from_its_beginning() {
        assert_eq!(asked_for(u64::from(u32::MAX)), u32::MAX);
        assert_eq!(asked_for(u64::from(u32::MAX) + 1), 4);
    }
}
