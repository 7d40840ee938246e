//! The log reader: one replication connection, read without pause, answered in time.
//!
//! In comes the stream of the slot from a position on; out go batches, and to the server what is
//! durable on the target. The reader never waits for the target without answering the server: while
//! there is no room for a batch, its timer goes on. Nothing is acknowledged but what the target has
//! made durable (*acknowledged ≤ durable ≤ received*). The slot is compared with the checkpoint
//! before the stream starts, since the server moves a start before `confirmed_flush_lsn` forward
//! without a word (`CreateDecodingContext` in logical.c).

use std::future::Future;
use std::ops::ControlFlow::{self, Break, Continue};
use std::time::{Duration, Instant, SystemTime};

use bytes::{BufMut, BytesMut};
use tokio::sync::watch;
use tokio::time::{Interval, MissedTickBehavior};

use super::decode::{Decoded, Decoder, POSTGRES_EPOCH_US, Registry};
use super::error::SourceError;
use super::rows::TEXT_AS_IT_IS;
use super::standby::TimelineGuard;
use super::wire::{FrameBatch, ReplicationReader, ReplicationWriter, Wire};
use crate::model::{Batch, Event, Failure, Lsn, Position, ValueRef};
use crate::source::BatchSender;

/// How often the server hears from us. Far below any sensible `wal_sender_timeout`, and short
/// enough for an idle source to be seen as caught up at once.
const ANSWER_INTERVAL: Duration = Duration::from_millis(500);

/// The same where somebody waits for the end of the log.
const HURRIED_INTERVAL: Duration = Duration::from_millis(20);

/// How long data is left to gather in the socket. A server sends every row change by itself, and
/// being woken for each costs both sides more than the change.
const NAP: Duration = Duration::from_millis(1);

/// What comes so long after its commit is late anyway, and loses nothing by a nap.
const LATE_US: i64 = 50_000;

/// A read that brought this much left more behind: there is no need to wait for it.
const WORTHWHILE_BYTES: usize = 192 * 1024;

/// How long a reader may take to say goodbye.
const PARTING: Duration = Duration::from_secs(5);

/// The options of START_REPLICATION that a server of this version understands. Streaming of open
/// transactions is not asked for: a transaction comes once it has committed, in commit order.
pub(super) fn options(server_version_num: u32, publications: &[String]) -> String {
    let protocol = match server_version_num {
        160_000.. => 4,
        150_000.. => 3,
        140_000.. => 2,
        _ => 1,
    };
    let names: Vec<_> =
        publications.iter().map(|name| crate::connect::quote::quote_ident(name)).collect();
    let names = crate::connect::quote::quote_literal(&names.join(","));
    format!("(proto_version '{protocol}', publication_names {names})")
}

/// Waits until a reader of this channel is not needed any more and has had time to say goodbye.
pub(super) async fn long_closed(out: &BatchSender) {
    out.closed().await;
    tokio::time::sleep(PARTING).await;
}

/// What the server is told while its log is read.
pub(super) struct Answers {
    /// What may be acknowledged.
    pub(super) durable: watch::Receiver<Position>,
    /// A server that says nothing for so long, though it is asked twice a second, counts as gone.
    pub(super) silence: Duration,
    /// Becomes true where somebody waits for the end of the log.
    pub(super) hurry: watch::Receiver<bool>,
}

/// A stream that is being read.
pub(super) struct LogReader {
    reader: ReplicationReader,
    writer: ReplicationWriter,
    decoder: Decoder,
    answers: Answers,
    ticks: Interval,
    received: Lsn,
    heard_at: Instant,
    heard_since_tick: bool,
}

impl LogReader {
    /// Starts the stream.
    pub(super) async fn start(
        mut wire: Wire,
        slot: &str,
        publications: &[String],
        registry: Registry,
        mut answers: Answers,
    ) -> Result<Self, Failure> {
        let from = lsn(&answers.durable.borrow());
        let options = options(wire.server_version_num(), publications);
        let slot = crate::connect::quote::quote_ident(slot);
        let command = format!("START_REPLICATION SLOT {slot} LOGICAL {from} {options}");
        wire.simple_query(TEXT_AS_IT_IS).await?;
        let (reader, writer) = wire.start_replication(&command).await?.split();
        let ticks = ticks(*answers.hurry.borrow_and_update());
        Ok(LogReader {
            reader,
            writer,
            decoder: Decoder::new(registry),
            answers,
            ticks,
            received: from,
            heard_at: Instant::now(),
            heard_since_tick: false,
        })
    }

    /// Reads until the receiver of `out` is gone, or the standby, if it is one, went over to another
    /// timeline.
    pub(super) async fn read(
        mut self,
        out: &BatchSender,
        mut guard: Option<&mut TimelineGuard>,
    ) -> Result<(), Failure> {
        loop {
            let frames = tokio::select! {
                frames = self.reader.read_frames() => frames?,
                _ = self.ticks.tick() => {
                    self.tick().await?;
                    continue;
                }
                Ok(()) = self.answers.hurry.changed() => {
                    self.ticks = ticks(*self.answers.hurry.borrow_and_update());
                    continue;
                }
                () = out.closed() => return self.part().await,
            };
            let Some(frames) = frames else { return Ok(()) };
            self.heard_since_tick = true;
            if let Some(guard) = &mut guard {
                self.answering(guard.check()).await?;
            }
            let late = match self.pass_on(&frames, out).await? {
                Continue(behind_us) => behind_us.is_some_and(|behind_us| behind_us > LATE_US),
                Break(()) => return self.part().await,
            };
            if late && frames.bytes().len() < WORTHWHILE_BYTES {
                // The thread itself: a runtime that waits is woken by every piece that comes.
                std::thread::sleep(NAP);
            }
            // Only now: while there was no room, nobody listened.
            self.heard_at = Instant::now();
        }
    }

    /// Decodes what came and sends it, answering the server while there is no room. Goes on with how
    /// far what came is behind.
    async fn pass_on(
        &mut self,
        frames: &FrameBatch,
        out: &BatchSender,
    ) -> Result<ControlFlow<(), Option<i64>>, Failure> {
        let mut decoded = Decoded::default();
        let result = self.decoder.decode(frames.bytes(), frames.payloads(), &mut decoded);
        self.received = self.received.max(decoded.received.unwrap_or_default());
        if decoded.reply_requested {
            self.answer(false).await?;
        }
        if !decoded.batch.events.is_empty() {
            let size = size(&decoded.batch);
            let permit = loop {
                tokio::select! {
                    permit = out.reserve(size) => break permit,
                    _ = self.ticks.tick() => self.answer(false).await?,
                }
            };
            let Ok(permit) = permit else {
                return Ok(Break(()));
            };
            if out.send(decoded.batch, permit).is_err() {
                return Ok(Break(()));
            }
        }
        result?;
        Ok(Continue(decoded.behind_us))
    }

    /// Waits for something without leaving the server without an answer.
    async fn answering(
        &mut self,
        awaited: impl Future<Output = Result<(), Failure>>,
    ) -> Result<(), Failure> {
        tokio::pin!(awaited);
        loop {
            tokio::select! {
                ended = &mut awaited => return ended,
                _ = self.ticks.tick() => self.tick().await?,
            }
        }
    }

    async fn tick(&mut self) -> Result<(), Failure> {
        let silence = self.heard_at.elapsed();
        if silence > self.answers.silence {
            return Err(SourceError::Silent { seconds: silence.as_secs() }.into());
        }
        let heard = std::mem::take(&mut self.heard_since_tick);
        let ask = !heard || *self.answers.hurry.borrow();
        self.answer(ask).await
    }

    /// Says goodbye with what is durable by now.
    async fn part(mut self) -> Result<(), Failure> {
        self.answer(false).await?;
        self.writer.send_copy_done().await?;
        Ok(())
    }

    /// A standby status update: received, flushed, applied, the time, and whether an answer is
    /// wanted ("Streaming Replication Protocol" in the Postgres manual).
    async fn answer(&mut self, ask: bool) -> Result<(), Failure> {
        let durable = lsn(&self.answers.durable.borrow());
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let now_us = (now.as_micros() as u64).saturating_sub(POSTGRES_EPOCH_US.unsigned_abs());
        let mut message = BytesMut::with_capacity(34);
        message.put_u8(b'r');
        message.put_u64(self.received.max(durable).0);
        message.put_u64(durable.0);
        message.put_u64(durable.0);
        message.put_u64(now_us);
        message.put_u8(u8::from(ask));
        Ok(self.writer.send_copy_data(&message).await?)
    }
}

fn ticks(hurried: bool) -> Interval {
    let mut ticks = tokio::time::interval(if hurried { HURRIED_INTERVAL } else { ANSWER_INTERVAL });
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// What a batch holds in memory, about.
fn size(batch: &Batch) -> usize {
    batch.data.len()
        + batch.values.len() * size_of::<ValueRef>()
        + batch.events.len() * size_of::<Event>()
}

pub(super) fn lsn(position: &Position) -> Lsn {
    match position {
        Position::Postgres(lsn) => *lsn,
        // Of another engine: as if nothing were applied, which the comparison with the slot refuses.
        Position::MySql(_) | Position::MariaDb(_) | Position::Binlog(_) => Lsn::default(),
    }
}
