//! The binary log as a stream of events: who asks for it, and from where on.
//!
//! In: a position. Out: an [`EventStream`] for the log reader, over a connection of its own, on a
//! thread of its own. It does not look into events. Nothing is acknowledged: the server keeps its log
//! by its own rule, whatever was read.

use std::future::Future;
use std::ops::Range;
use std::time::Duration;

use super::binlog::{Decoder, Registry};
use super::control::is_denied;
use super::error::SourceError;
use super::replication::{DumpError, EventStream, LogReader};
use super::site::Site;
use crate::connect::mysql::wire::{DumpFrom, EventBatch, EventReader, Replica};
use crate::connect::mysql::{Flavour, Wire};
use crate::model::{Failure, Position};
use crate::source::BatchSender;
use crate::source::thread::on_own_thread;

/// A server is asked for a sign of life so many times before it counts as gone.
const HEARTBEATS: u32 = 4;

/// Numbers of servers that operators give begin with one; ours lie behind these.
const FIRST_SERVER_ID: u32 = 1 << 31;

/// Reads the log from `from` on until the receiver is gone, or tables are defined anew.
pub(super) async fn read(
    site: Site,
    from: Position,
    registry: Registry,
    out: BatchSender,
    silence: Duration,
) -> Result<(), Failure> {
    let decoder = Decoder::new(registry, from.clone());
    on_own_thread(async move {
        let wire = site.wire().await?;
        let begun = within(silence, dump(wire, &from, silence / HEARTBEATS));
        let reader = begun.await?;
        LogReader::new(Events::new(reader), decoder, silence).read(&out).await
    })
    .await
}

/// A server that does not answer in this time counts as gone.
pub(super) async fn within<T>(
    silence: Duration,
    asked: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let silent = DumpError::Silent { seconds: silence.as_secs() };
    tokio::time::timeout(silence, asked).await.unwrap_or_else(|_| Err(silent.into()))
}

/// The numbers that other replicas of a server are known by there; none where the account may not
/// see them.
async fn taken(wire: &mut Wire) -> Result<Vec<u32>, Failure> {
    let version = wire.version();
    let text = match version.flavour {
        Flavour::MySql if version.number >= 80_022 => "SHOW REPLICAS",
        Flavour::MySql | Flavour::MariaDb => "SHOW SLAVE HOSTS",
    };
    let rows = match wire.rows(text).await {
        Err(error) if is_denied(error.server().map(|server| server.number)) => {
            return Ok(Vec::new());
        }
        rows => rows?,
    };
    Ok(rows.iter().filter_map(|row| row.first()?.as_ref()?.parse().ok()).collect())
}

/// The first number drawn that nobody else has.
fn free_number(taken: &[u32], mut draw: impl FnMut() -> u32) -> u32 {
    loop {
        let number = FIRST_SERVER_ID | draw();
        if !taken.contains(&number) {
            return number;
        }
    }
}

/// Asks for the log. A server ends the dump of whoever has our number, so the number is one that nobody
/// has, and a new one each time: whoever takes it from us is left alone.
async fn dump(
    mut wire: Wire,
    from: &Position,
    heartbeat: Duration,
) -> Result<EventReader, Failure> {
    let server_id = free_number(&taken(&mut wire).await?, rand::random);
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
    fn a_number_that_another_replica_has_is_not_taken() {
        let mut drawn = [7, 8, 9].into_iter();
        let taken = [7, FIRST_SERVER_ID | 7, FIRST_SERVER_ID | 8];
        assert_eq!(free_number(&taken, || drawn.next().unwrap()), FIRST_SERVER_ID | 9);
    }

    #[test]
    fn beyond_four_gib_a_file_is_read_from_its_beginning() {
        assert_eq!(asked_for(u64::from(u32::MAX)), u32::MAX);
        assert_eq!(asked_for(u64::from(u32::MAX) + 1), 4);
    }
}
