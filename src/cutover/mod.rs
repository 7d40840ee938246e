//! The cutover: the source's writers are kept out, the target gets the last of the log, and the
//! operator's command moves the traffic.
//!
//! In: a source that can be fenced, a target, and a stream between the two that works for us. Out: a
//! report of what was done, or an error once everything is undone. It knows no engine, and of the
//! stream only how to end it.
//!
//! No commit is lost: from the moment at which the fence is closed until it is sealed nobody can
//! commit on the source, and sealing fails unless that held all the while. The end of the log is read
//! in between, and everything before it is durable on the target before it goes on. Sealed, the
//! source refuses writes by itself; only then the traffic is moved. So nobody who waited at the
//! fence gets through on the side that is left, not even where this process is killed meanwhile.
//! Whatever outlives the process is recorded on the target before it is done, and undone in
//! reverse order where a step fails.

pub mod error;
mod steps;
mod switch;

use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::model::{
    Because, CutoverEnd, CutoverReport, CutoverStage, Failure, Leftover, Manner, Phase, Position,
    Table,
};
use crate::observe::failpoint;
use crate::source::fence::{FenceOrder, FencedSource, WriteFence};
use crate::target::{BuildStage, StreamStatus, Target};

pub use error::CutoverError;
use steps::Steps;

/// How long each act of undoing may take.
const UNDO_PATIENCE: Duration = Duration::from_secs(10);

/// How a cutover is to be done.
#[derive(Clone, Debug)]
pub struct Orders {
    /// How writers are kept out; None for what suits the engine.
    pub manner: Option<Manner>,
    /// How long a transaction that is open may go on before its session is ended.
    pub grace: Duration,
    /// From the fence to the end of the switch, at most; then everything is undone.
    pub max_downtime: Duration,
    /// The target may be so far behind when the fence is closed.
    pub max_lag: Duration,
    /// How long it is waited for that.
    pub patience: Duration,
    /// What moves the traffic, for `sh -c`. None where the operator does it afterwards.
    pub switch: Option<String>,
}

impl Orders {
    /// What is asked of the source.
    #[must_use]
    pub fn fence(&self, tables: Vec<Table>) -> FenceOrder {
        FenceOrder { manner: self.manner, tables, grace: self.grace, longest: self.max_downtime }
    }
}

/// The stream that works for a cutover.
#[derive(Debug)]
pub struct Stream {
    /// It, which ends without an error only where it was to end.
    pub task: JoinSet<Result<(), Failure>>,
    /// Where it is to end.
    pub end: watch::Sender<Option<Position>>,
    /// How it fares.
    pub seen: watch::Receiver<Option<StreamStatus>>,
}

/// A cutover that is about to be done. The migration is ours, and its stream is starting.
#[derive(Debug)]
pub struct Cutover<S, T> {
    /// The source.
    pub source: S,
    /// The target.
    pub target: T,
    /// The tables.
    pub tables: Vec<Table>,
    /// How.
    pub orders: Orders,
    /// The stream.
    pub stream: Stream,
    /// How far it has come.
    pub stage: CutoverStage,
}

impl<S: FencedSource, T: Target> Cutover<S, T> {
    /// Does it. `stop` becomes true where the operator wants it undone.
    ///
    /// # Errors
    ///
    /// What failed; by then everything is undone, unless the error says otherwise.
    pub async fn perform(
        mut self,
        mut stop: watch::Receiver<bool>,
    ) -> Result<CutoverReport, Failure> {
        let mut steps = Steps::default();
        let ready = tokio::select! {
            ready = self.follow_closely(&mut steps) => ready,
            _ = stop.wait_for(|stop| *stop) => Err(CutoverError::Interrupted.into()),
        };
        if let Err(cause) = ready {
            // Nothing was done that outlives us.
            if let Err(failure) = self.target.record_cutover(None).await {
                tracing::debug!(error = %failure, "the record of the cutover stays");
            }
            return Err(cause);
        }
        // The stream may have taken tables in, or altered them.
        if let Some(migration) = self.target.load().await? {
            self.tables = migration.tables;
        }
        let predicted = self.predict().await?;
        let mut fence = self.source.fence(self.orders.fence(self.tables.clone())).await?;
        self.source.hurry();
        failpoint::reached("cutover-begun");
        let since = Instant::now();
        let limit = self.orders.max_downtime;
        let outcome = tokio::select! {
            done = self.behind(&mut fence, &mut steps) => done,
            () = tokio::time::sleep(limit) => Err(CutoverError::Overtime { limit }.into()),
            _ = stop.wait_for(|stop| *stop) => Err(CutoverError::Interrupted.into()),
        };
        let position = match outcome {
            Ok(position) => position,
            Err(cause) => return Err(self.undo(fence, steps.current(), cause).await),
        };
        let pause = since.elapsed();
        failpoint::reached("traffic-switched");
        self.target.record_phase(Phase::CutOver).await.map_err(CutoverError::unrecorded)?;
        Ok(CutoverReport {
            end: CutoverEnd::CutOver,
            steps: steps.done(),
            predicted_pause_ms: Some(milliseconds(predicted)),
            pause_ms: Some(milliseconds(pause)),
            position: Some(position),
            findings: Vec::new(),
            lift: Some(fence.left().lift),
            next: next(self.orders.switch.is_some()),
        })
    }

    /// Waits until the target follows the source closely.
    async fn follow_closely(&mut self, steps: &mut Steps) -> Result<(), Failure> {
        steps.begin("follow closely");
        let (limit, since) = (self.orders.max_lag, Instant::now());
        let mut lag = None;
        loop {
            if lag.is_some_and(|lag| lag <= limit.as_secs_f64()) {
                return Ok(());
            }
            let left = self.orders.patience.saturating_sub(since.elapsed());
            tokio::select! {
                ended = self.stream.task.join_next() => return Err(Stream::ended(ended)),
                Ok(()) = self.stream.seen.changed() => {
                    let seen = self.stream.seen.borrow_and_update();
                    lag = seen.as_ref().and_then(|seen| seen.lag_seconds);
                }
                () = tokio::time::sleep(left) => {
                    return Err(CutoverError::Lag { seconds: lag, limit }.into());
                }
            }
        }
    }

    /// How long writers will wait, without the operator's command: what the target is behind, and
    /// as many answers of both servers as the steps take.
    async fn predict(&self) -> Result<Duration, Failure> {
        let seen = self.stream.seen.borrow().clone();
        let lag = seen.and_then(|seen| seen.lag_seconds).unwrap_or_default();
        Ok(Duration::from_secs_f64(lag)
            + rehearse(&self.source, &self.target, &self.tables).await?)
    }

    /// Everything between the closing of the fence and the end of the switch.
    async fn behind(
        &mut self,
        fence: &mut S::Fence,
        steps: &mut Steps,
    ) -> Result<Position, Failure> {
        steps.begin("fence");
        fence.close().await?;
        failpoint::reached("fence-closed");
        steps.begin("drain");
        let end = fence.end().await?;
        self.stream.end.send_replace(Some(end.clone()));
        let (_, drained) =
            tokio::try_join!(fence.arm(), async { Ok(self.stream.task.join_next().await) })?;
        match drained {
            Some(Ok(Ok(()))) => {}
            other => return Err(Stream::ended(other)),
        }
        failpoint::reached("log-drained");
        steps.begin("sequences");
        self.target.set_sequences(&fence.sequences().await?).await?;
        failpoint::reached("sequences-carried");
        steps.begin("schema");
        self.build(BuildStage::Identity).await?;
        self.build(BuildStage::Rest).await?;
        steps.begin("seal");
        let left = fence.left();
        self.enter(CutoverStage::Sealing, &left).await?;
        failpoint::reached("source-sealing");
        fence.seal().await?;
        failpoint::reached("source-sealed");
        self.enter(CutoverStage::Switching, &left).await?;
        // Not before it is recorded that no stream may go on by itself.
        steps.begin("triggers and events");
        self.build(BuildStage::Cutover).await?;
        steps.begin("switch");
        failpoint::reached("traffic-switching");
        if let Some(command) = &self.orders.switch {
            switch::run(command).await?;
        }
        Ok(end)
    }

    /// Records a stage before it begins.
    async fn enter(&mut self, stage: CutoverStage, left: &Leftover) -> Result<(), Failure> {
        self.stage = stage;
        self.target.record_cutover(Some((stage, Some(left)))).await
    }

    /// Builds what of the target's schema is still to be built.
    async fn build(&self, stage: BuildStage) -> Result<(), Failure> {
        for build in self.target.builds(stage).await? {
            self.target.build(build.id).await?;
        }
        Ok(())
    }

    /// Undoes what was done, in reverse order. Returns what is told of it.
    async fn undo(self, fence: S::Fence, step: &'static str, cause: Failure) -> Failure {
        tracing::warn!(step, error = %cause, "the cutover failed: undoing it");
        let (left, cause) = (fence.left(), Because(cause));
        let undone = async {
            match (self.stage, fence.open().await) {
                // Unsealed, it ends with us in any case.
                (CutoverStage::Fencing, Ok(()) | Err(_)) => {}
                (CutoverStage::Sealing | CutoverStage::Switching, opened) => {
                    // First it must not be able to be sealed any more.
                    opened?;
                    self.source.unfence(&left).await?;
                    self.target.rest(&self.tables).await?;
                }
            }
            self.target.record_cutover(None).await
        };
        match tokio::time::timeout(UNDO_PATIENCE, undone).await {
            Ok(Ok(())) => CutoverError::Undone { step, cause }.into(),
            Ok(Err(failure)) => {
                tracing::error!(error = %failure, "the cutover is not undone");
                CutoverError::NotUndone { step, cause }.into()
            }
            Err(_) => CutoverError::NotUndone { step, cause }.into(),
        }
    }
}

impl Stream {
    /// Why it ended where it was not to.
    fn ended(ended: Option<Result<Result<(), Failure>, tokio::task::JoinError>>) -> Failure {
        match ended {
            Some(Ok(Err(failure))) => failure,
            Some(Ok(Ok(()))) | None => CutoverError::StreamEnded.into(),
            Some(Err(panic)) if panic.is_panic() => std::panic::resume_unwind(panic.into_panic()),
            Some(Err(_)) => CutoverError::StreamEnded.into(),
        }
    }
}

/// How long the answers take that a cutover waits for while writers wait.
///
/// # Errors
///
/// Where a server cannot be asked.
pub async fn rehearse<S: FencedSource, T: Target>(
    source: &S,
    target: &T,
    tables: &[Table],
) -> Result<Duration, Failure> {
    let since = Instant::now();
    source.position().await?;
    let answer = since.elapsed();
    source.drift(tables, None).await?;
    for _ in 0..2 {
        source.sequences().await?;
        target.builds(BuildStage::Rest).await?;
    }
    Ok(since.elapsed() + answer * 8)
}

fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e4).round() / 10.0
}

fn next(switched: bool) -> String {
    let moved = match switched {
        true => "the applications write to the target",
        false => "let the applications write to the target now",
    };
    format!("{moved}; once nobody wants to go back, dunlin complete")
}
