//! The stream's surroundings: the log reader beside it, the watch over the source, the figures.
//!
//! The pipeline applies; this room starts the reader, asks the source every few seconds how it is
//! faring, keeps sequences warm, records the figures for `status`, and decides when the target has
//! caught up. Whatever ends one of them ends all, the pipeline first: it finishes the group in
//! hand.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use super::MigrationError;
use super::cutover::Reins;
use super::run::{Run, Until};
use crate::model::{
    Coverage, Drift, Failure, Phase, Position, SchemaChange, SourceHealth, TableId,
};
use crate::observe::progress::StreamFigures;
use crate::source::{Source, channel};
use crate::stream::pipeline::{self, End, Feed, Figures, Report};
use crate::target::{Migration, StreamStatus, Target};

/// How often the source is asked how it is faring.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);

/// How often the source is asked while tables are copied and built.
const GUARD_INTERVAL: Duration = Duration::from_secs(5);

/// Below this the room that is left before the source throws log away is said.
const LITTLE_LEFT_BYTES: i64 = 1 << 30;

/// How often the source is looked at for what the log does not show.
const DRIFT_INTERVAL: Duration = Duration::from_secs(5);

/// How long a commit on the target may go without being durable, and so unacknowledged.
const FLUSH_INTERVAL: Duration = Duration::from_millis(100);

/// How often sequences are carried over.
const SEQUENCE_INTERVAL: Duration = Duration::from_secs(10);

/// Limits and thresholds of a stream.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of log in a group, about.
    pub group_bytes: usize,
    /// Bytes of log in flight, at most.
    pub queue_bytes: usize,
    /// Bytes retained by the source from which on it is said; None for never.
    pub retained_warn_bytes: Option<u64>,
    /// Bytes retained by the source at which the run halts; None for never.
    pub retained_halt_bytes: Option<u64>,
}

/// Why following ended.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Followed {
    /// The operator wanted it.
    Stopped,
    /// It came to where it was to end.
    Reached,
    /// Tables have to be copied again.
    Recopy(Vec<TableId>),
    /// Partitions came or went, of this table where the log showed it.
    Unsettled(Option<TableId>),
    /// Tables are defined anew.
    Schema(Arc<SchemaChange>),
    /// A cutover wants the stream for itself.
    StandBy,
}

/// Why watching ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Watched {
    /// The target has caught up, which is to end the run.
    CaughtUp,
    /// Partitions came or went.
    Unsettled,
    /// A cutover wants the stream for itself.
    Asked,
}

/// Reads and applies the log from the stored checkpoint until something ends it. `horizon`
/// overrides where the run is to end.
pub(super) async fn follow<S: Source, T: Target, B>(
    run: &Run<S, T, B>,
    migration: &Migration,
    coverage: Coverage,
    horizon: Option<&Position>,
) -> Result<Followed, Failure> {
    let from = migration.checkpoint.clone().ok_or(MigrationError::Vanished)?;
    let until = match (horizon, &run.options.until) {
        (Some(horizon), _) => Some(horizon.clone()),
        (None, Some(Until::Position(position))) => Some(position.clone()),
        (None, Some(Until::Snapshot | Until::CaughtUp) | None) => None,
    };
    let limits = &run.options.stream;
    run.source.confirm(&from).await?;
    let mut applier = run.target.applier().await?;
    pipeline::store_durably(&mut applier, from.clone()).await?;
    let (sender, batches) = channel::bounded(limits.queue_bytes);
    let (durable, durable_seen) = watch::channel(from.clone());
    let (figures, figures_seen) = watch::channel(Figures::starting_at(from.clone()));
    let (stop, stop_seen) = watch::channel(false);
    let tap = run.handles.reins.as_ref().map(|reins| reins.tap.clone());
    if let Some(tap) = &tap {
        tap.with(|touched| touched.begin(&from));
    }
    let feed = Feed {
        tables: migration.tables.clone(),
        coverage,
        from: from.clone(),
        until,
        group_bytes: limits.group_bytes.min(limits.queue_bytes / 2),
        flush: FLUSH_INTERVAL,
        batches,
        stop: stop_seen,
        tap,
    };
    let mut reader = JoinSet::new();
    let (source, tables) = (run.source.clone(), migration.tables.clone());
    reader.spawn(async move { source.stream(from, &tables, sender, durable_seen).await });
    let applying = pipeline::run(feed, Report { durable, figures }, run.source.clone(), applier);
    let ends_when_caught_up = horizon.is_none() && run.options.until == Some(Until::CaughtUp);
    let ending = reach(run.handles.reins.clone(), figures_seen.clone());
    let watching = Watch::new(run, migration, figures_seen, ends_when_caught_up).keep();
    let watching = async {
        tokio::select! {
            watched = watching => watched,
            () = ending => Ok(Watched::CaughtUp),
        }
    };
    let (end, watched) = supervise(run, applying, watching, &stop).await?;
    let followed = conclude(end, watched, &mut reader).await?;
    run.target.set_sequences(&run.source.sequences().await?).await?;
    Ok(followed)
}

/// Waits until the end that a cutover gave is reached, for ever where there is none.
async fn reach(reins: Option<Reins>, mut figures: watch::Receiver<Figures>) {
    if let Some(mut reins) = reins
        && let Ok(end) = reins.end.wait_for(Option::is_some).await.map(|end| end.clone())
        && figures
            .wait_for(|now| end.as_ref().is_some_and(|end| now.applied.reaches(end)))
            .await
            .is_ok()
    {
        return;
    }
    std::future::pending().await
}

/// Runs the pipeline and the watch side by side. The end of the watch, or the operator, asks the
/// pipeline to end after the group in hand.
async fn supervise<S, T, B>(
    run: &Run<S, T, B>,
    applying: impl Future<Output = Result<End, Failure>>,
    watching: impl Future<Output = Result<Watched, Failure>>,
    stop: &watch::Sender<bool>,
) -> Result<(End, Option<Result<Watched, Failure>>), Failure> {
    tokio::pin!(applying, watching);
    let mut operator = run.handles.stop.clone();
    let mut watched = None;
    loop {
        tokio::select! {
            end = &mut applying => return Ok((end?, watched)),
            result = &mut watching, if watched.is_none() => {
                watched = Some(result);
                stop.send_replace(true);
            }
            _ = operator.wait_for(|stop| *stop), if !*stop.borrow() => {
                stop.send_replace(true);
            }
        }
    }
}

/// What the ends of all parts amount to.
async fn conclude(
    end: End,
    watched: Option<Result<Watched, Failure>>,
    reader: &mut JoinSet<Result<(), Failure>>,
) -> Result<Followed, Failure> {
    match (end, watched) {
        (End::Recopy(tables), _) => Ok(Followed::Recopy(tables)),
        (End::Unsettled(table), _) => Ok(Followed::Unsettled(Some(table))),
        (End::Schema(change), _) => Ok(Followed::Schema(change)),
        (End::Reached, _) | (End::Stopped, Some(Ok(Watched::CaughtUp))) => Ok(Followed::Reached),
        (End::Stopped, Some(Ok(Watched::Unsettled))) => Ok(Followed::Unsettled(None)),
        (End::Stopped, Some(Ok(Watched::Asked))) => Ok(Followed::StandBy),
        (End::Stopped, Some(Err(failure))) => Err(failure),
        (End::Stopped, None) => Ok(Followed::Stopped),
        (End::SourceEnded, _) => match reader.join_next().await {
            Some(Ok(Err(failure))) => Err(failure),
            Some(Ok(Ok(()))) | None => Err(MigrationError::LogEnded.into()),
            Some(Err(panic)) => std::panic::resume_unwind(panic.into_panic()),
        },
    }
}

/// What the source has to bear for a migration, as far as it was said.
#[derive(Default)]
struct Burden {
    much_retained: bool,
    little_left: bool,
}

impl Burden {
    /// Says, and in the end halts over, the log that the source keeps for us.
    fn heed(&mut self, limits: &Limits, health: &SourceHealth) -> Result<(), Failure> {
        let retained = health.retained_bytes;
        if let Some(limit) = limits.retained_halt_bytes.filter(|limit| retained >= *limit) {
            return Err(MigrationError::RetainedLog { retained, limit }.into());
        }
        let much = limits.retained_warn_bytes.is_some_and(|limit| retained >= limit);
        if much && !self.much_retained {
            tracing::warn!(retained_bytes = retained, "the source keeps much log for this run");
        }
        let little = health.safe_bytes.is_some_and(|left| left < LITTLE_LEFT_BYTES);
        if little && !self.little_left {
            tracing::warn!(
                safe_wal_size_bytes = health.safe_bytes,
                "the source will soon throw away log that this run needs: raise \
                 max_slot_wal_keep_size there"
            );
        }
        (self.much_retained, self.little_left) = (much, little);
        Ok(())
    }
}

/// Watches over the source while tables are copied and built, and records what it sees. The log will
/// be followed from `checkpoint` on. Ends only with a reason to halt.
pub(super) async fn guard<S: Source, T: Target, B>(
    run: &Run<S, T, B>,
    checkpoint: Option<Position>,
) -> Failure {
    let mut burden = Burden::default();
    let mut ticks = tokio::time::interval(GUARD_INTERVAL);
    loop {
        ticks.tick().await;
        if let Err(failure) = look_after(run, checkpoint.as_ref(), &mut burden).await {
            return failure;
        }
    }
}

async fn look_after<S: Source, T: Target, B>(
    run: &Run<S, T, B>,
    checkpoint: Option<&Position>,
    burden: &mut Burden,
) -> Result<(), Failure> {
    let health = run.source.health().await?;
    let applied = checkpoint.unwrap_or(&health.position).clone();
    let status = StreamStatus {
        lag_bytes: applied.bytes_until(&health.position),
        lag_transactions: applied.transactions_until(&health.position),
        lag_seconds: None,
        source: health.position.clone(),
        applied,
        retained_bytes: health.retained_bytes,
        safe_bytes: health.safe_bytes,
        warnings: Vec::new(),
    };
    run.target.record_status(&status).await?;
    burden.heed(&run.options.stream, &health)
}

/// Watches over the source while the pipeline applies.
struct Watch<'a, S, T, B> {
    run: &'a Run<S, T, B>,
    migration: &'a Migration,
    figures: watch::Receiver<Figures>,
    ends_when_caught_up: bool,
    /// Whether it has caught up since this process began to stream.
    follows: bool,
    phase: Phase,
    sequences_at: Instant,
    moved: Position,
    drift_at: Option<Instant>,
    burden: Burden,
    warnings: Vec<String>,
}

impl<'a, S: Source, T: Target, B> Watch<'a, S, T, B> {
    fn new(
        run: &'a Run<S, T, B>,
        migration: &'a Migration,
        figures: watch::Receiver<Figures>,
        ends_when_caught_up: bool,
    ) -> Self {
        let moved = figures.borrow().applied.clone();
        Watch {
            run,
            migration,
            figures,
            ends_when_caught_up,
            follows: false,
            phase: migration.phase,
            sequences_at: Instant::now(),
            moved,
            drift_at: None,
            burden: Burden::default(),
            warnings: Vec::new(),
        }
    }

    /// Looks after the source until the target has caught up, if that is to end the run.
    async fn keep(mut self) -> Result<Watched, Failure> {
        let mut ticks = tokio::time::interval(WATCH_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let health = self.run.source.health().await?;
            self.burden.heed(&self.run.options.stream, &health)?;
            if self.drift_at.is_none_or(|at| at.elapsed() >= DRIFT_INTERVAL)
                && self.look_for_drift().await?
            {
                return Ok(Watched::Unsettled);
            }
            let caught_up = self.is_caught_up(&health.position).await;
            if caught_up && !std::mem::replace(&mut self.follows, true) {
                tracing::info!(position = %health.position, "caught up; following the source");
            }
            self.tell(&health, caught_up).await?;
            if caught_up && self.phase != Phase::Stream {
                self.run.target.record_phase(Phase::Stream).await?;
                self.phase = Phase::Stream;
            }
            if caught_up && self.ends_when_caught_up {
                return Ok(Watched::CaughtUp);
            }
            // A cutover has the stream already, and gives it to no other.
            let rules = self.run.handles.reins.is_some();
            if !rules && self.run.target.is_asked_to_stand_by().await? {
                return Ok(Watched::Asked);
            }
            if self.sequences_at.elapsed() >= SEQUENCE_INTERVAL {
                let values = self.run.source.sequences().await?;
                self.run.target.set_sequences(&values).await?;
                self.sequences_at = Instant::now();
            }
        }
    }

    /// Whether the target soon has what the source had just now.
    async fn is_caught_up(&mut self, position: &Position) -> bool {
        let reached = self.figures.wait_for(|figures| figures.applied.reaches(position));
        tokio::time::timeout(WATCH_INTERVAL, reached).await.is_ok_and(|reached| reached.is_ok())
    }

    /// Says what changed in a way that the log does not show. Returns whether something has to be
    /// done about it.
    async fn look_for_drift(&mut self) -> Result<bool, Failure> {
        let Migration { tables, held, .. } = self.migration;
        let Drift { warnings, renewed, outdated } =
            self.run.source.drift(tables, held.as_ref()).await?;
        for warning in warnings.iter().filter(|warning| !self.warnings.contains(warning)) {
            tracing::warn!("{warning}");
        }
        self.warnings = warnings;
        self.drift_at = Some(Instant::now());
        Ok(!renewed.is_empty() || !outdated.is_empty())
    }

    /// Figures for the screen and for `status`.
    async fn tell(&mut self, health: &SourceHealth, caught_up: bool) -> Result<(), Failure> {
        let figures = self.figures.borrow_and_update().clone();
        if figures.applied != self.moved {
            self.moved = figures.applied.clone();
            self.run.handles.moved.send_modify(|moved| *moved += 1);
        }
        let lag_bytes = figures.applied.bytes_until(&health.position);
        let lag_transactions = figures.applied.transactions_until(&health.position);
        let caught_up = caught_up || figures.applied.reaches(&health.position);
        let lag_seconds = if caught_up { 0.0 } else { age_seconds(figures.committed_at_us) };
        self.run.handles.progress.stream(StreamFigures {
            transactions: figures.transactions,
            rows: figures.changes,
            bytes: figures.bytes,
            lag_bytes,
            lag_transactions,
            lag_seconds,
            queue_bytes: figures.queue_bytes,
            retained_wal_bytes: Some(health.retained_bytes).filter(|retained| *retained > 0),
            safe_wal_size_bytes: health.safe_bytes,
        });
        let status = StreamStatus {
            source: health.position.clone(),
            applied: figures.applied,
            lag_bytes: if caught_up { Some(0) } else { lag_bytes },
            lag_transactions: if caught_up { Some(0) } else { lag_transactions },
            lag_seconds: Some(lag_seconds),
            retained_bytes: health.retained_bytes,
            safe_bytes: health.safe_bytes,
            warnings: self.warnings.clone(),
        };
        if let Some(reins) = &self.run.handles.reins {
            reins.seen.send_replace(Some(status.clone()));
        }
        self.run.target.record_status(&status).await
    }
}

/// Seconds since a moment on the source's clock.
fn age_seconds(at_us: Option<i64>) -> f64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let age_us = at_us.map_or(0, |at_us| now.as_micros() as i64 - at_us);
    age_us.max(0) as f64 / 1e6
}
