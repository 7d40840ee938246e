//! The cutover: the source's writers are kept out, the target gets the last of the log, and the
//! operator's command moves the traffic.
//!
//! In: a source that can be fenced, a target, and a stream between the two that works for us. Out: a
//! report of what was done, or an error once everything is undone. It knows no engine, and of the
//! stream only how to end it and where it notes the rows that it changes. What changed since both sides
//! were proven equal is compared once more: most of it before writers wait, the rest behind the fence.
//!
//! No commit is lost: from the moment at which the fence is closed until it is sealed nobody can
//! commit on the source, and sealing fails unless that held all the while. The end of the log is read
//! in between, and everything before it is durable on the target before it goes on. Sealed, the
//! source refuses writes by itself; only then the traffic is moved. So nobody who waited at the
//! fence gets through on the side that is left, not even where this process is killed meanwhile.
//! Whatever outlives the process is recorded on the target before it is done, and undone in
//! reverse order where a step fails.

mod command;
pub mod error;
mod preconditions;
pub mod proof;
mod prove;
mod reverify;
mod steps;
mod way_back;

use std::future::Future;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::model::{
    Because, Code, CutoverEnd, CutoverProgress, CutoverReport, CutoverStage, EarlyProof, Failure,
    FinalProof, Leftover, Manner, Phase, Position, Table, TableId, Tap, WayBack,
};
use crate::observe::failpoint;
use crate::source::fence::{FenceOrder, FencedSource, WriteFence};
use crate::source::{Lull, Present};
use crate::target::{BuildStage, Mend, Proofs, StreamStatus, Target};
use crate::verify::final_proof::Prover;

pub use command::Purpose;
pub use error::CutoverError;
pub use preconditions::Preconditions;
pub use reverify::Reverification;
use steps::Steps;
pub use way_back::Opposite;

/// How long each act of undoing may take.
const UNDO_PATIENCE: Duration = Duration::from_secs(10);

/// How a cutover is to be done.
#[derive(Clone, Debug)]
pub struct Orders {
    /// How writers are kept out; None for what suits the engine.
    pub manner: Option<Manner>,
    /// What keeps writers out besides, for `sh -c`: it is told `fence`, and `unfence` where that is undone.
    pub hook: Option<String>,
    /// How long a transaction that is open may go on before its session is ended.
    pub grace: Duration,
    /// From the fence to the end of the switch, at most; then everything is undone.
    pub max_downtime: Duration,
    /// The target may be so far behind when the fence is closed.
    pub max_lag: Duration,
    /// How long it is waited for that.
    pub patience: Duration,
    /// How old the proof may be that both sides are equal.
    pub verified_within: Duration,
    /// For so long, at most, what changed since is compared before writers have to wait; zero for not at
    /// all, None for what suits the proof.
    pub verify_first: Option<Duration>,
    /// For so long, at most, rows that changed lately are compared while writers wait; zero for not at
    /// all.
    pub final_proof: Duration,
    /// What moves the traffic, for `sh -c`. None where the operator does it afterwards.
    pub switch: Option<String>,
    /// Whether the source is to be able to follow the target afterwards.
    pub way_back: bool,
    /// Whether this is the way back: source and target are exchanged.
    pub back: bool,
}

impl Orders {
    /// What is asked of the source.
    #[must_use]
    pub fn fence(&self, tables: Vec<Table>) -> FenceOrder {
        FenceOrder {
            manner: self.manner.clone(),
            tables,
            grace: self.grace,
            longest: self.max_downtime,
            way_back: self.way_back || self.back,
            sealed: false,
        }
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
    /// The rows that it changed.
    pub tap: Tap,
}

/// A cutover that is about to be done. The migration is ours, and its stream is starting.
#[derive(Debug)]
pub struct Cutover<S, T, P> {
    /// The source.
    pub source: S,
    /// The target.
    pub target: T,
    /// The rows of both.
    pub sides: (P, P),
    /// The tables.
    pub tables: Vec<Table>,
    /// How.
    pub orders: Orders,
    /// What was there of the source before.
    pub known: Preconditions,
    /// The stream.
    pub stream: Stream,
    /// What comes before the fence, where it is wanted.
    pub again: Option<Reverification<S, P, T>>,
    /// The target as a source, where the way back matters.
    pub opposite: Option<Opposite<S>>,
    /// How far it has come.
    pub course: Course,
}

/// How far a cutover has come.
#[derive(Debug)]
pub struct Course {
    /// The stage.
    pub stage: CutoverStage,
    /// What is kept for the way back.
    pub way_back: Option<WayBack>,
    /// The operator's command has been started.
    pub switching: bool,
    /// What was compared before writers had to wait.
    pub early: Option<EarlyProof>,
    /// What was compared while they waited.
    pub proof: Option<FinalProof>,
}

impl Default for Course {
    fn default() -> Self {
        Course {
            stage: CutoverStage::Fencing,
            way_back: None,
            switching: false,
            early: None,
            proof: None,
        }
    }
}

impl Course {
    /// Whether every row was compared, before writers had to wait or while they did.
    fn covered(&self) -> Option<bool> {
        let early = self.early.as_ref()?;
        let proven = self.proof.as_ref().is_some_and(|proof| proof.left_out.is_empty());
        Some(early.left_out.is_empty() && proven)
    }
}

/// What there is before writers have to wait.
struct Ready<F, R> {
    /// How long they will.
    predicted: Duration,
    fence: F,
    /// Where a final proof is wanted.
    prover: Option<Prover<R>>,
}

impl<S, T, P> Cutover<S, T, P>
where
    S: FencedSource + Lull,
    T: Target + Proofs + Mend,
    P: Present,
{
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
            ready = self.get_ready(&mut steps) => ready,
            _ = stop.wait_for(|stop| *stop) => Err(CutoverError::Interrupted.into()),
        };
        let mut ready = match ready {
            Ok(ready) => ready,
            Err(cause) => {
                if let Err(failure) = self.forget().await {
                    tracing::warn!(error = %failure, "the record of the cutover stays");
                }
                return Err(cause);
            }
        };
        self.source.hurry();
        failpoint::reached("cutover-begun");
        let since = Instant::now();
        let limit = self.orders.max_downtime;
        let outcome = tokio::select! {
            done = self.behind(&mut ready, &mut steps) => done,
            () = tokio::time::sleep(limit) => Err(CutoverError::Overtime { limit }.into()),
            _ = stop.wait_for(|stop| *stop) => Err(CutoverError::Interrupted.into()),
        };
        let position = match outcome {
            Ok(position) => position,
            // A command that said itself that it failed has not moved the traffic; of one that was
            // broken off nobody knows what it reached.
            Err(cause) if self.course.switching && !is_refusal(&cause) => {
                return Err(CutoverError::BrokenOff { cause: Because(cause) }.into());
            }
            Err(cause) => return Err(self.undo(ready.fence, steps.current(), cause).await),
        };
        let pause = since.elapsed();
        failpoint::reached("traffic-switched");
        steps.begin("record");
        self.target.record_phase(Phase::CutOver).await.map_err(CutoverError::unrecorded)?;
        if let Err(failure) = self.unseal_target(&ready.fence).await {
            let meant =
                "what kept writers out of the target is not all gone: dunlin complete ends it";
            tracing::warn!(error = %failure, "{meant}");
        }
        if let Err(failure) = build(&self.target, BuildStage::Switched).await {
            tracing::warn!(error = %failure, "not all events run yet: dunlin complete enables them");
        }
        Ok(CutoverReport {
            end: if self.orders.back { CutoverEnd::CutBack } else { CutoverEnd::CutOver },
            steps: steps.done(),
            predicted_pause_ms: Some(milliseconds(ready.predicted)),
            pause_ms: Some(milliseconds(pause)),
            covered: self.course.covered(),
            early_proof: self.course.early.take(),
            final_proof: self.course.proof.take(),
            position: Some(position),
            findings: Vec::new(),
            lift: Some(self.left(&ready.fence).lift),
            next: next(&self.orders),
        })
    }

    /// Everything that can be done before writers have to wait.
    async fn get_ready(
        &mut self,
        steps: &mut Steps,
    ) -> Result<Ready<S::Fence, P::Reader>, Failure> {
        self.follow_closely(steps).await?;
        if let Some(again) = self.again.take() {
            steps.begin("verify");
            self.reverify(again).await?;
            self.follow_closely(steps).await?;
        }
        self.look_up_tables().await?;
        if let Some(opposite) = self.opposite.as_ref().filter(|opposite| opposite.wanted) {
            steps.begin("way back");
            let way_back = opposite.way_back(&self.tables).await?;
            self.course.way_back = Some(way_back.clone());
            // Before anything is there that is to be removed.
            self.record(None).await?;
            opposite.keep_log(&way_back.tables).await?;
            self.follow_closely(steps).await?;
        }
        let order = self.orders.fence(self.tables.clone());
        self.known.still_hold(&self.source, &order).await?;
        let (prover, proving) = self.get_prover().await?;
        let predicted = self.predict().await? + proving;
        let fence = self.source.fence(order).await?;
        Ok(Ready { predicted, fence, prover })
    }

    /// The stream may have taken tables in, or altered them.
    async fn look_up_tables(&mut self) -> Result<(), Failure> {
        if let Some(migration) = self.target.load().await? {
            self.tables = migration.tables;
        }
        Ok(())
    }

    /// Removes what was got ready.
    async fn forget(&self) -> Result<(), Failure> {
        if let (Some(opposite), Some(_)) = (&self.opposite, &self.course.way_back) {
            opposite.disarm().await?;
        }
        self.target.record_cutover(None).await
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
        Ready { fence, prover, .. }: &mut Ready<S::Fence, P::Reader>,
        steps: &mut Steps,
    ) -> Result<Position, Failure> {
        let left = self.left(fence);
        if left.hook.is_some() {
            steps.begin("hook");
            self.enter(CutoverStage::Fencing, &left).await?;
            tell_hook(&left, Purpose::Fence).await?;
            failpoint::reached("hook-closed");
        }
        steps.begin("fence");
        fence.close().await?;
        failpoint::reached("fence-closed");
        steps.begin("drain");
        let end = fence.end().await?;
        self.stream.end.send_replace(Some(end.clone()));
        let (_, (), drained) = tokio::try_join!(
            fence.arm(),
            self.known.still_hold_fenced(&self.source, &self.tables),
            async { Ok(self.stream.task.join_next().await) },
        )?;
        match drained {
            Some(Ok(Ok(()))) => {}
            other => return Err(Stream::ended(other)),
        }
        failpoint::reached("log-drained");
        steps.begin("sequences");
        self.target.set_sequences(&fence.sequences().await?).await?;
        failpoint::reached("sequences-carried");
        steps.begin("schema");
        build(&self.target, BuildStage::Identity).await?;
        build(&self.target, BuildStage::Rest).await?;
        if let Some(prover) = prover.take() {
            steps.begin("final proof");
            self.prove(prover).await?;
        }
        steps.begin("seal");
        self.enter(CutoverStage::Sealing, &left).await?;
        failpoint::reached("source-sealing");
        fence.seal().await?;
        failpoint::reached("source-sealed");
        if let (Some(opposite), Some(way_back)) = (&self.opposite, &mut self.course.way_back) {
            // All that we applied is committed, and nobody else has written there yet.
            way_back.start = Some(opposite.source.position().await?);
        }
        self.enter(CutoverStage::Switching, &left).await?;
        // Not before it is recorded that no stream may go on by itself.
        steps.begin("triggers");
        build(&self.target, BuildStage::Cutover).await?;
        if let Some(opposite) = self.opposite.as_ref().filter(|_| self.orders.back) {
            steps.begin("unseal the target");
            opposite.admit().await?;
            failpoint::reached("target-unsealed");
        }
        steps.begin("switch");
        failpoint::reached("traffic-switching");
        if let Some(command) = &self.orders.switch {
            self.course.switching = true;
            command::run(Purpose::Switch, command).await?;
        }
        Ok(end)
    }

    /// Ends for good what kept writers out of the target, on the way back.
    async fn unseal_target(&mut self, fence: &S::Fence) -> Result<(), Failure> {
        let Some(opposite) = self.opposite.as_ref().filter(|opposite| opposite.sealed.is_some())
        else {
            return Ok(());
        };
        opposite.unseal().await?;
        let left = self.left(fence);
        self.enter(CutoverStage::Opened, &left).await
    }

    /// What there is to undo later, whatever becomes of this process.
    fn left(&self, fence: &S::Fence) -> Leftover {
        Leftover { hook: self.orders.hook.clone(), ..fence.left() }
    }

    /// Records a stage before it begins.
    async fn enter(&mut self, stage: CutoverStage, left: &Leftover) -> Result<(), Failure> {
        self.course.stage = stage;
        self.record(Some(left)).await
    }

    async fn record(&self, left: Option<&Leftover>) -> Result<(), Failure> {
        let Course { stage, way_back, .. } = &self.course;
        let progress = CutoverProgress { stage: *stage, left, way_back: way_back.as_ref() };
        self.target.record_cutover(Some(progress)).await
    }

    /// Undoes what was done, in reverse order. Returns what is told of it.
    async fn undo(self, fence: S::Fence, step: &'static str, cause: Failure) -> Failure {
        tracing::warn!(step, error = %cause, "the cutover failed: undoing it");
        let left = self.left(&fence);
        let undone = async {
            // Whoever took over decides now; this process may have been asleep.
            if let Err(newer) = within(self.record(Some(&left))).await
                && newer.code() == Some(Code::Fenced)
            {
                return Err(newer);
            }
            if self.course.stage == CutoverStage::Switching {
                // Clients of the target may have written to it.
                let tables: Vec<TableId> = self.tables.iter().map(|table| table.id).collect();
                within(self.target.refute(&tables)).await?;
            }
            within(self.unseal_source(fence, &left)).await?;
            within(async { Ok(tell_hook(&left, Purpose::Unfence).await?) }).await?;
            within(self.forget()).await
        };
        match undone.await {
            Ok(()) => CutoverError::Undone { step, cause: Because(cause) }.into(),
            Err(newer) if newer.code() == Some(Code::Fenced) => newer,
            Err(failure) => {
                tracing::error!(error = %failure, "the cutover is not undone");
                CutoverError::NotUndone { step, lift: left.lift, cause: Because(cause) }.into()
            }
        }
    }

    /// Lets writers in on the source, and keeps them out of the target where they were let in there.
    async fn unseal_source(&self, fence: S::Fence, left: &Leftover) -> Result<(), Failure> {
        if let Some(opposite) = &self.opposite
            && self.course.stage == CutoverStage::Switching
        {
            opposite.refuse().await?;
        }
        let opened = fence.open().await;
        if self.course.stage == CutoverStage::Fencing {
            if opened.is_err()
                && let Err(failure) = self.source.end_fence(Some(left)).await
            {
                // Unsealed, it ends with us in any case, once the server notices.
                tracing::warn!(error = %failure, "the session of the fence is not known to be gone");
            }
            return Ok(());
        }
        if let Err(failure) = opened {
            // Its connection may be gone, or its server have been started anew.
            tracing::debug!(error = %failure, "the fence is opened by another session");
        }
        self.source.unfence(left).await?;
        self.target.rest(&self.tables).await
    }
}

/// Builds what of a stage of the target's schema is still to be built.
///
/// # Errors
///
/// Where something cannot be built.
pub async fn build(target: &impl Target, stage: BuildStage) -> Result<(), Failure> {
    for build in target.builds(stage).await? {
        target.build(build.id).await?;
    }
    Ok(())
}

/// Whether an operator's command said itself that it failed.
fn is_refusal(cause: &Failure) -> bool {
    let error: &(dyn std::error::Error + 'static) = cause.error();
    error.downcast_ref().is_some_and(CutoverError::is_refusal)
}

/// An act of undoing, which may take so long.
async fn within(act: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let overtime = CutoverError::Overtime { limit: UNDO_PATIENCE };
    tokio::time::timeout(UNDO_PATIENCE, act).await.unwrap_or(Err(overtime.into()))
}

/// Has the operator's command let writers in again, or keep them out, where there is one.
///
/// # Errors
///
/// Where it does not succeed.
pub async fn tell_hook(left: &Leftover, purpose: Purpose) -> Result<(), CutoverError> {
    match &left.hook {
        Some(hook) => command::run(purpose, hook).await,
        None => Ok(()),
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

fn next(orders: &Orders) -> String {
    let side = if orders.back { "former source" } else { "target" };
    let moved = match orders.switch {
        Some(_) => format!("the applications write to the {side}"),
        None => format!("let the applications write to the {side} now"),
    };
    let then = match orders.way_back {
        true => "dunlin reverse, with the same options, has the source follow the target",
        false if orders.back => "dunlin complete removes what is left on both servers",
        false => "once nobody wants to go back, dunlin complete",
    };
    format!("{moved}; {then}")
}
