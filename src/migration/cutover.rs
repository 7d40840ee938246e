//! `cutover`: what has to hold before, and whose the stream is meanwhile.
//!
//! In: the settings, and orders. Out: a report. It looks at both sides first and changes nothing
//! where anything stands against it. Then it has a run that is at work stand by, takes the
//! migration over, and lets the stream work for the cutover itself. Where an earlier cutover was
//! killed, what that left is undone before anything else; unless it was killed while it moved the
//! traffic: then the operator has to say where that is.

use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::pair::{Pair, options};
use super::run::{Besides, Ended, Handles, Reins, Run};
use crate::config::Config;
use crate::cutover::{Cutover, CutoverError, Orders, Stream, rehearse};
use crate::model::report::{Finding, Severity};
use crate::model::{
    Code, CutoverEnd, CutoverRecord, CutoverReport, CutoverStage, Failure, Phase, Table,
};
use crate::observe::progress::Progress;
use crate::source::Source;
use crate::source::fence::FencedSource;
use crate::target::{BuildStage, Standing, Target};

/// How long the server may take to notice that a cutover was killed.
const SETTLE_PATIENCE: Duration = Duration::from_secs(5);

/// How often that is looked at meanwhile.
const SETTLE_INTERVAL: Duration = Duration::from_millis(200);

/// What is wanted of a cutover.
#[derive(Clone, Debug)]
pub enum Wanted {
    /// To do it.
    Cutover(Consents),
    /// Only to look what stands against it, and how long it would take.
    Rehearsal,
    /// To undo what one left that was killed.
    Abort,
    /// To have one count as done that was killed while it moved the traffic.
    Finish,
}

/// What the operator takes upon themselves.
#[derive(Clone, Copy, Debug, Default)]
pub struct Consents {
    /// Nobody compared both sides.
    pub unverified: bool,
    /// Something is not as one may expect.
    pub warnings: bool,
}

/// Does what is wanted. `stop` becomes true where the operator wants an end.
pub(super) async fn cutover<P: Pair>(
    pair: &P,
    config: &Config,
    (wanted, orders): (Wanted, Orders),
    progress: &Progress,
    stop: watch::Receiver<bool>,
) -> Result<CutoverReport, Failure>
where
    P::Source: FencedSource,
    P::Besides: 'static,
{
    let source = pair.source(config).await?;
    let target = pair.target(config).await?;
    pair.introduce(&source, &target);
    let standing = settled(&target).await?;
    if is_at_work(&standing) {
        return Err(CutoverError::AtWork.into());
    }
    if standing.migration.phase == Phase::CutOver {
        return Err(CutoverError::Done.into());
    }
    let record = standing.migration.cutover.clone();
    match wanted {
        Wanted::Abort => return abort(&source, &target, &standing).await,
        Wanted::Finish => return finish(&target, record).await,
        Wanted::Cutover(_) | Wanted::Rehearsal => {}
    }
    if record.as_ref().is_some_and(|record| record.stage == CutoverStage::Switching) {
        return Err(CutoverError::Undecided.into());
    }
    let findings = look(&source, &target, &standing, &orders).await?;
    let consents = match wanted {
        Wanted::Cutover(consents) => consents,
        Wanted::Rehearsal | Wanted::Abort | Wanted::Finish => {
            return rehearsed(&source, &target, &standing, findings).await;
        }
    };
    permit(&findings, consents)?;
    claim(&target, &standing).await?;
    if let Some(left) = record.and_then(|record| record.left) {
        source.unfence(&left).await?;
    }
    let (options, besides) = (options(config, None), pair.besides(config));
    let stream = follow(|handles| Run {
        source: source.clone(),
        target: target.clone(),
        besides,
        options,
        handles: Handles { progress: progress.clone(), ..handles },
    });
    let tables = standing.migration.tables;
    let stage = CutoverStage::Fencing;
    let cutover = Cutover { source, target, tables, orders, stream, stage };
    let report = Box::pin(cutover.perform(stop)).await?;
    Ok(CutoverReport { findings, ..report })
}

/// Starts the stream that works for the cutover.
fn follow<S, T, B>(run: impl FnOnce(Handles) -> Run<S, T, B>) -> Stream
where
    S: Source,
    T: Target,
    B: Besides<S, T> + 'static,
{
    let (end, end_seen) = watch::channel(None);
    let (status, seen) = watch::channel(None);
    // Nobody stops it but the cutover, by its reins.
    let (keep_on, stop) = watch::channel(false);
    let run = run(Handles {
        stop,
        moved: watch::Sender::new(0),
        progress: Progress::default(),
        reins: Some(Reins { end: end_seen, seen: status }),
    });
    let mut task = JoinSet::new();
    task.spawn(async move {
        let ended = Box::pin(run.go()).await;
        drop(keep_on);
        match ended? {
            Ended::Reached => Ok(()),
            Ended::Stopped | Ended::CutOver => Err(CutoverError::StreamEnded.into()),
        }
    });
    Stream { task, end, seen }
}

/// Where the migration stands; waits a little for the session of a cutover that was just killed.
async fn settled(target: &impl Target) -> Result<Standing, Failure> {
    let since = Instant::now();
    let mut ticks = tokio::time::interval(SETTLE_INTERVAL);
    loop {
        ticks.tick().await;
        let standing = target.status().await?;
        if !is_at_work(&standing) || since.elapsed() >= SETTLE_PATIENCE {
            return Ok(standing);
        }
    }
}

fn is_at_work(standing: &Standing) -> bool {
    let record = standing.migration.cutover.as_ref();
    standing.running && record.is_some_and(|record| record.epoch == standing.epoch)
}

/// Claims the migration, from a run that is at work where there is one.
async fn claim(target: &impl Target, standing: &Standing) -> Result<(), Failure> {
    if standing.running {
        target.ask_to_stand_by().await?;
    }
    target.claim().await
}

/// What stands against it, or is not as one may expect.
async fn look<S: FencedSource>(
    source: &S,
    target: &impl Target,
    standing: &Standing,
    orders: &Orders,
) -> Result<Vec<Finding>, Failure> {
    let migration = &standing.migration;
    if migration.phase != Phase::Stream {
        let phase = migration.phase.to_string();
        return Err(CutoverError::NotFollowing { phase }.into());
    }
    let mut findings = source.fence_findings(&orders.fence(migration.tables.clone())).await?;
    for stage in [BuildStage::Identity, BuildStage::Rest] {
        let left = target.builds(stage).await?;
        findings.extend(left.into_iter().map(|build| {
            Finding::block(Code::CutoverRefused, "target", format!("{} is not built", build.label))
                .with_hint("let `dunlin run` build it")
        }));
    }
    findings.extend(target.unfit(&migration.tables).await?);
    let drift = source.drift(&migration.tables, migration.held.as_ref()).await?;
    findings.extend(drift.warnings.into_iter().map(|seen| {
        Finding::warn("NOT_CARRIED", "source", seen)
            .with_hint("carry it over by hand where it matters, or add --accept-warnings")
    }));
    let outdated = |table: &&Table| drift.outdated.contains(&table.id);
    findings.extend(migration.tables.iter().filter(outdated).map(|table| {
        let seen = format!("table {} has to be copied again", table.name);
        Finding::block(Code::CutoverRefused, "source", seen).with_hint("let `dunlin run` do that")
    }));
    Ok(findings)
}

/// Goes on where nothing stands against it but what the operator accepts.
fn permit(findings: &[Finding], consents: Consents) -> Result<(), CutoverError> {
    let blocks = |finding: &&Finding| match finding.severity {
        Severity::Block => true,
        Severity::Warn => !consents.warnings,
        Severity::Info => false,
    };
    let mut blocking: Vec<&Finding> = findings.iter().filter(blocks).collect();
    blocking.sort_by_key(|finding| finding.severity);
    if let Some(first) = blocking.first() {
        let finding = Box::new((*first).clone());
        return Err(CutoverError::Refused { finding, all: blocking.len() });
    }
    for finding in findings {
        tracing::warn!(subject = finding.subject, "{}", finding.evidence);
    }
    if consents.unverified { Ok(()) } else { Err(CutoverError::Unverified) }
}

/// What a cutover would find now, and how long writers would wait.
async fn rehearsed<S: FencedSource>(
    source: &S,
    target: &impl Target,
    standing: &Standing,
    findings: Vec<Finding>,
) -> Result<CutoverReport, Failure> {
    let figures = standing.figures.as_ref().filter(|_| standing.running);
    let lag = figures.and_then(|figures| figures.lag_seconds).unwrap_or_default();
    let pause =
        Duration::from_secs_f64(lag) + rehearse(source, target, &standing.migration.tables).await?;
    let next = match findings.iter().any(|finding| finding.severity == Severity::Block) {
        true => "mend what stands against it, then dunlin cutover --dry-run again",
        false => "dunlin cutover, with the same options",
    };
    Ok(CutoverReport {
        predicted_pause_ms: Some((pause.as_secs_f64() * 1e4).round() / 10.0),
        findings,
        ..ended(CutoverEnd::Rehearsed, next)
    })
}

/// Undoes what a killed cutover left.
async fn abort<S: FencedSource>(
    source: &S,
    target: &impl Target,
    standing: &Standing,
) -> Result<CutoverReport, Failure> {
    let Some(record) = &standing.migration.cutover else {
        let next = "dunlin status shows where the migration stands";
        return Ok(ended(CutoverEnd::NothingToUndo, next));
    };
    claim(target, standing).await?;
    if let Some(left) = &record.left {
        source.unfence(left).await?;
    }
    target.rest(&standing.migration.tables).await?;
    target.take_over().await?;
    target.record_cutover(None).await?;
    let next = match standing.running {
        true => "the run that is at work goes on by itself",
        false => "dunlin run, with the options it began with, goes on from here",
    };
    Ok(ended(CutoverEnd::Aborted, next))
}

/// Has a cutover count as done, which the operator knows.
async fn finish(
    target: &impl Target,
    record: Option<CutoverRecord>,
) -> Result<CutoverReport, Failure> {
    if record.is_none_or(|record| record.stage != CutoverStage::Switching) {
        return Err(CutoverError::NothingToFinish.into());
    }
    target.claim().await?;
    target.take_over().await?;
    target.record_phase(Phase::CutOver).await?;
    Ok(ended(CutoverEnd::CutOver, "once nobody wants to go back, dunlin complete"))
}

fn ended(end: CutoverEnd, next: &str) -> CutoverReport {
    CutoverReport {
        end,
        steps: Vec::new(),
        predicted_pause_ms: None,
        pause_ms: None,
        position: None,
        findings: Vec::new(),
        lift: None,
        next: next.to_owned(),
    }
}
