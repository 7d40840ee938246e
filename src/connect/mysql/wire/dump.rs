//! The events of a binlog, as a replica is sent them.
//!
//! In: who we are, and from where on. Out: events in batches, as many as have come, each with its
//! header and its checksum, of whatever kind. The session never offers semi-synchronous
//! replication, so no transaction of the source waits for us. The events are not looked into here.
//! Sources: the MySQL internals manual, "Replication Protocol"; the MariaDB manual, "Replication
//! Protocol"; the replicas of both servers, sql/rpl_replica.cc and sql/slave.cc.

use super::error::{Broken, Violation, WireError};
use super::input::{Contents, Input};
use super::packet::{self, ERR, OK, read_error};
use super::{Command, Wire};
use crate::connect::mysql::version::Flavour;
use crate::connect::socket::Socket;
use crate::model::GtidSet;
use bytes::Bytes;
use std::ops::Range;
use std::time::Duration;

const READ: &str = "read the binlog";

/// Who asks for the binlog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replica {
    /// A number that no other replica of the source, nor the source itself, has.
    pub server_id: u32,
    /// After how long without an event the server sends a sign of life.
    pub heartbeat: Duration,
}

/// From where on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DumpFrom<'a> {
    /// MySQL: everything that is not in the set.
    Gtids(&'a GtidSet),
    /// MariaDB: what follows these GTIDs, in text, one for each domain.
    MariaGtids(&'a str),
    /// A place in a file, of either family. What lies beyond 4 GiB the command cannot name: begin
    /// at the file's first event (4) and leave out what is known.
    File {
        /// The file's name.
        name: &'a str,
        /// Where an event begins, in bytes.
        offset: u32,
    },
}

/// A connection that carries events.
pub struct EventReader {
    socket: Socket,
    input: Input,
    server: String,
}

/// One or more events, in order. Cheap to clone.
#[derive(Clone, Debug)]
pub struct EventBatch {
    contents: Contents,
}

impl EventBatch {
    /// The buffer in which the events lie, and what stands between them.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.contents.bytes
    }

    /// Where each event lies in [`Self::bytes`], from its header to its checksum.
    pub fn places(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        // A byte stands before each event that says that it is one.
        self.contents.places.iter().map(|place| place.start + 1..place.end)
    }

    /// Each event, from its header to its checksum.
    pub fn events(&self) -> impl Iterator<Item = &[u8]> + '_ {
        self.places().map(|place| &self.contents.bytes[place])
    }
}

impl EventReader {
    pub(super) async fn begin(
        mut wire: Wire,
        replica: &Replica,
        from: &DumpFrom<'_>,
    ) -> Result<Self, WireError> {
        const ACT: &str = "ask for the binlog";
        wire.execute(settings(wire.version.flavour, replica, from)).await?;
        wire.command("register as a replica", Command::RegisterReplica, &registration(replica))
            .await?;
        wire.receive_done("register as a replica").await?;
        let (command, argument) = request(replica, from);
        wire.command(ACT, command, &argument).await?;
        let Wire { socket, input, server, .. } = wire;
        Ok(EventReader { socket, input, server })
    }

    /// Everything that has come, at least one event; `None` once the server has ended the stream,
    /// which it does when it shuts down. An event may be as large as 1 GiB and is then held as a
    /// whole. May be dropped while waiting.
    ///
    /// # Errors
    ///
    /// [`WireError`]; the server's error 1236 says that it does not have what was asked for.
    pub async fn read_events(&mut self) -> Result<Option<EventBatch>, WireError> {
        let contents = self.input.contents(OK, &mut self.socket).await;
        if let Some(contents) = contents.map_err(|broken| self.broken(broken))? {
            return Ok(Some(EventBatch { contents }));
        }
        let arrived = self.input.arrive(&mut self.socket).await;
        arrived.map_err(|broken| self.broken(broken))?;
        let content = self.input.arrived();
        match content.first() {
            Some(&ERR) => {
                let source =
                    read_error(content).map_err(|violation| self.broken(violation.into()))?;
                Err(WireError::Refused { act: READ, server: self.server.clone(), source })
            }
            Some(_) if packet::is_end(content) => Ok(None),
            Some(_) | None => {
                let expected = "an event or the end of the binlog";
                Err(self.broken(Violation::OutOfTurn { expected }.into()))
            }
        }
    }

    fn broken(&self, broken: Broken) -> WireError {
        broken.during(READ, &self.server)
    }
}

/// What a replica tells the server by variables of its session: that it understands checksums (they
/// are then left in the events), when it wants a heartbeat (in nanoseconds), and, for MariaDB, that
/// it knows its GTID events and from where on it wants them.
fn settings(flavour: Flavour, replica: &Replica, from: &DumpFrom<'_>) -> String {
    let heartbeat_ns = replica.heartbeat.as_nanos();
    let mut text = format!(
        "SET @master_binlog_checksum = @@GLOBAL.binlog_checksum, \
         @source_binlog_checksum = @@GLOBAL.binlog_checksum, \
         @master_heartbeat_period = {heartbeat_ns}, @source_heartbeat_period = {heartbeat_ns}"
    );
    if flavour == Flavour::MariaDb {
        text.push_str(", @mariadb_slave_capability = 4");
    }
    if let DumpFrom::MariaGtids(state) = from {
        text.push_str(", @slave_gtid_strict_mode = 1, @slave_gtid_ignore_duplicates = 0");
        text.push_str(", @slave_connect_state = ");
        text.push_str(&crate::connect::mysql::quote::quote_literal(state));
    }
    text
}

/// COM_REGISTER_SLAVE without host, user and password, which the server would only show.
fn registration(replica: &Replica) -> Vec<u8> {
    let mut argument = replica.server_id.to_le_bytes().to_vec();
    // Three empty strings, the port, and two numbers that no server looks at any more.
    argument.extend_from_slice(&[0; 3 + 2 + 4 + 4]);
    argument
}

fn request(replica: &Replica, from: &DumpFrom<'_>) -> (Command, Vec<u8>) {
    /// The stream does not end where the binlog does for now.
    const WAIT: u16 = 0;
    /// An event begins behind the file's magic number.
    const FIRST_EVENT: u32 = 4;
    let by_file = |name: &str, offset: u32| {
        let mut argument = offset.to_le_bytes().to_vec();
        argument.extend_from_slice(&WAIT.to_le_bytes());
        argument.extend_from_slice(&replica.server_id.to_le_bytes());
        argument.extend_from_slice(name.as_bytes());
        (Command::BinlogDump, argument)
    };
    match from {
        DumpFrom::File { name, offset } => by_file(name, *offset),
        // With @slave_connect_state the server looks the file up by itself.
        DumpFrom::MariaGtids(_) => by_file("", FIRST_EVENT),
        DumpFrom::Gtids(set) => {
            /// The set decides, not the file.
            const THROUGH_GTID: u16 = 4;
            let mut argument = (WAIT | THROUGH_GTID).to_le_bytes().to_vec();
            argument.extend_from_slice(&replica.server_id.to_le_bytes());
            argument.extend_from_slice(&0u32.to_le_bytes());
            argument.extend_from_slice(&u64::from(FIRST_EVENT).to_le_bytes());
            let set = encode(set);
            // A set of more than 4 GiB fits no packet, so no server takes it.
            argument.extend_from_slice(&(set.len() as u32).to_le_bytes());
            argument.extend_from_slice(&set);
            (Command::BinlogDumpGtid, argument)
        }
    }
}

/// A set as the command has it (`Gtid_set::encode` and `encode_nsids_format` in rpl_gtid_set.cc).
/// Tags need the form that servers know since 8.3; the older form goes to all where there is none.
fn encode(set: &GtidSet) -> Vec<u8> {
    let runs: Vec<_> = set.runs().collect();
    let by_source: Vec<_> = runs.chunk_by(|one, other| one.0 == other.0).collect();
    let tagged = runs.iter().any(|(source, ..)| !source.tag().is_empty());
    let count = by_source.len() as u64;
    let mut bytes = match tagged {
        true => 1u64 << 56 | count << 8 | 1,
        false => count,
    }
    .to_le_bytes()
    .to_vec();
    for runs in by_source {
        let (source, ..) = runs[0];
        bytes.extend_from_slice(&source.uuid());
        if tagged {
            bytes.push((source.tag().len() as u8) << 1);
            bytes.extend_from_slice(source.tag().as_bytes());
        }
        bytes.extend_from_slice(&(runs.len() as u64).to_le_bytes());
        for (_, first, last) in runs {
            bytes.extend_from_slice(&first.to_le_bytes());
            bytes.extend_from_slice(&(last + 1).to_le_bytes());
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "01010101-0101-0101-0101-010101010101";

    #[test]
    fn a_set_is_sent_with_the_ends_of_its_runs_excluded() {
        let plain = encode(&format!("{UUID}:1-3:5").parse().unwrap());
        let mut expected = vec![1, 0, 0, 0, 0, 0, 0, 0];
        expected.extend_from_slice(&[1; 16]);
        for number in [2u64, 1, 4, 5, 6] {
            expected.extend_from_slice(&number.to_le_bytes());
        }
        assert_eq!(plain, expected);
        let tagged = encode(&format!("{UUID}:1:ab:7").parse().unwrap());
        assert_eq!(tagged[..8], [1, 2, 0, 0, 0, 0, 0, 1]);
        assert_eq!((tagged[24], tagged.len()), (0, 8 + 2 * (16 + 1 + 8 + 16) + 2));
    }
}
