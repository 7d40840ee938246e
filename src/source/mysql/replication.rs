//! The log reader: one connection that dumps the binary log, read without pause.
//!
//! In come events from a position on; out go batches, bounded in bytes: where there is no room, the
//! reader waits and the server with it (it gives up only after the session's own
//! `net_write_timeout`). A server is told nothing of what is durable: its log stays for as long as
//! it is configured to, and a position is asked for by name at the next start. Nothing is lost: what
//! was decoded before an error is handed on first, and a transaction that is not whole is applied by
//! nobody. A server that is silent for longer than several heartbeats counts as gone.

use std::future::Future;
use std::ops::ControlFlow::{self, Break, Continue};
use std::time::{Duration, Instant};

use tokio::time::{Interval, MissedTickBehavior};

use super::binlog::{Decoder, Page, Rest};
use crate::model::{Disposition, Failure, Fault};
use crate::source::BatchSender;

/// A batch of this size is handed on, whatever has come behind it.
const BATCH_BYTES: usize = 256 * 1024;

/// So often the reader looks whether the server is still there.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// A dump of a binary log.
pub trait EventStream: Send {
    /// Waits until an event has come whole; false at the end of the dump. Cancel-safe.
    fn ready(&mut self) -> impl Future<Output = Result<bool, Failure>> + Send;

    /// The next event that has come, header included.
    ///
    /// # Errors
    ///
    /// What the server said in place of an event.
    fn take(&mut self) -> Result<Option<&[u8]>, Failure>;
}

/// The dump ended in a way that it should not.
#[derive(Debug, thiserror::Error)]
pub enum DumpError {
    /// The server says nothing any more.
    #[error("the source has been silent for {seconds} seconds")]
    Silent {
        /// For how long.
        seconds: u64,
    },
    /// The server ended a dump that goes on for ever.
    #[error("the source ended the dump of its binary log")]
    Ended,
}

impl Fault for DumpError {
    fn disposition(&self) -> Disposition {
        match self {
            DumpError::Silent { .. } | DumpError::Ended => Disposition::Retry,
        }
    }
}

/// A dump that is being read.
#[derive(Debug)]
pub struct LogReader<S> {
    events: S,
    decoder: Decoder,
    page: Page,
    silence: Duration,
    looks: Interval,
    heard_at: Instant,
}

impl<S: EventStream> LogReader<S> {
    /// Reads a dump that has begun. A server that says nothing for `silence`, though heartbeats were
    /// asked for, counts as gone.
    #[must_use]
    pub fn new(events: S, decoder: Decoder, silence: Duration) -> Self {
        let mut looks = tokio::time::interval(LOOK_INTERVAL);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let page = Page::default();
        LogReader { events, decoder, page, silence, looks, heard_at: Instant::now() }
    }

    /// Reads until the receiver of `out` is gone, or the log holds a definition of its tables.
    ///
    /// # Errors
    ///
    /// What was wrong with the log, the connection or the server; all that came before was sent.
    pub async fn read(mut self, out: &BatchSender) -> Result<(), Failure> {
        loop {
            let ready = tokio::select! {
                ready = self.events.ready() => ready?,
                _ = self.looks.tick() => {
                    self.look()?;
                    continue;
                }
                () = out.closed() => return Ok(()),
            };
            if !ready {
                return Err(DumpError::Ended.into());
            }
            let passed_on = self.pass_on(out).await;
            // Also what came before an error.
            if self.send(out).await.is_break() || passed_on?.is_break() {
                return Ok(());
            }
            // Only now: while there was no room, nobody listened.
            self.heard_at = Instant::now();
        }
    }

    /// Decodes all that has come.
    async fn pass_on(&mut self, out: &BatchSender) -> Result<ControlFlow<()>, Failure> {
        while let Some(event) = self.events.take()? {
            let mut rest = self.decoder.decode(event, &mut self.page)?;
            while rest == Rest::More {
                if self.send(out).await.is_break() {
                    return Ok(Break(()));
                }
                rest = self.decoder.go_on(&mut self.page)?;
            }
            if self.decoder.has_ended() {
                let _ = self.send(out).await;
                return Ok(Break(()));
            }
            if self.page.bytes() >= BATCH_BYTES && self.send(out).await.is_break() {
                return Ok(Break(()));
            }
        }
        Ok(Continue(()))
    }

    /// Sends what is in the page, once there is room.
    async fn send(&mut self, out: &BatchSender) -> ControlFlow<()> {
        if self.page.is_empty() {
            return Continue(());
        }
        let Ok(permit) = out.reserve(self.page.bytes()).await else { return Break(()) };
        match out.send(self.page.take(), permit) {
            Ok(()) => Continue(()),
            Err(_) => Break(()),
        }
    }

    fn look(&self) -> Result<(), Failure> {
        let silence = self.heard_at.elapsed();
        if silence > self.silence {
            return Err(DumpError::Silent { seconds: silence.as_secs() }.into());
        }
        Ok(())
    }
}
