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

use super::pair::{Pair, is_the_source, options};
use super::run::{Besides, Ended, Handles, Run};
use super::{reverse, verify};
use crate::config::Config;
use crate::cutover::error::VERIFY;
use crate::cutover::{
    Course, Cutover, CutoverError, Opposite, Orders, Preconditions, Purpose, Stream, build, proof,
    rehearse, tell_hook,
};
use crate::model::report::{Finding, Severity};
use crate::model::{
    Code, CutoverEnd, CutoverProgress, CutoverRecord, CutoverReport, CutoverStage, Failure,
    Leftover, Phase, Position, TableId, Tap,
};
use crate::observe::progress::Progress;
use crate::source::Source;
use crate::source::fence::{FenceOrder, FencedSource};
use crate::target::{BuildStage, Proofs, Standing, StreamStatus, Target};

/// How long the server may take to notice that a cutover was killed.
const SETTLE_PATIENCE: Duration = Duration::from_secs(5);

/// How often that is looked at meanwhile.
const SETTLE_INTERVAL: Duration = Duration::from_millis(200);

/// How often it is tried to claim the migration, which waits each time.
const CLAIM_ATTEMPTS: u32 = 3;

/// How long what changed since the last verification is compared before writers have to wait, where
/// nothing else is said.
const USUALLY_VERIFIED: Duration = Duration::from_secs(60);

/// The keys of rows that change take so many bytes at most; beyond that, those that changed longest
/// ago are forgotten.
const MOST_NOTED_BYTES: usize = 16 << 20;

/// A stream in the hands of a cutover.
#[derive(Clone, Debug)]
pub struct Reins {
    /// Where it is to end, once that is known.
    pub end: watch::Receiver<Option<Position>>,
    /// How it fares.
    pub seen: watch::Sender<Option<StreamStatus>>,
    /// Where the rows are noted that change.
    pub tap: Tap,
}

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
    let standing = to_be_cut_over::<P>(config, &target, &orders).await?;
    is_the_source(&standing.migration, &source).await?;
    let record = standing.migration.cutover.clone();
    let opposite = reverse::opposite::<P>(config, &orders, record.as_ref()).await?;
    match wanted {
        Wanted::Abort => return abort(&source, &target, &standing, opposite).await,
        Wanted::Finish => return finish(&target, record, opposite).await,
        Wanted::Cutover(_) | Wanted::Rehearsal => {}
    }
    if record.as_ref().is_some_and(|record| record.stage == CutoverStage::Switching) {
        return Err(CutoverError::Undecided.into());
    }
    let (mut findings, known) = look(&source, &target, &standing, &orders).await?;
    if let Some(opposite) = opposite.as_ref().filter(|opposite| opposite.wanted) {
        findings.extend(reverse::findings::<P>(config, opposite, &standing).await?);
    }
    let tables = &standing.migration.tables;
    let proof = proof::look(&target, tables, orders.verified_within).await?;
    let consents = match wanted {
        Wanted::Cutover(consents) => consents,
        Wanted::Rehearsal | Wanted::Abort | Wanted::Finish => {
            findings.extend(to_be_verified(proof.is_ok(), orders.verify_first));
            findings.push(proof.unwrap_or_else(|lacking| {
                Finding::warn("UNVERIFIED", "target", lacking.to_string()).with_hint(VERIFY)
            }));
            return rehearsed(&source, &target, &standing, (findings, &orders)).await;
        }
    };
    permit(&findings, consents)?;
    let wanted = beforehand(proof, orders.verify_first, consents, &mut findings)?;
    let again = verify::as_part(pair, config, wanted).await?;
    claim(&target).await?;
    if let Some(record) = &record {
        clear(&source, record, opposite.as_ref()).await?;
    }
    let (options, besides) = (options(config, None), pair.besides(config));
    let sides = P::sides(&source, &target);
    let stream = follow(|handles| Run {
        source: source.clone(),
        target: target.clone(),
        besides,
        options,
        handles: Handles { progress: progress.clone(), ..handles },
    });
    let tables = standing.migration.tables;
    let course = Course::default();
    let cutover =
        Cutover { source, target, sides, tables, orders, known, stream, again, opposite, course };
    let report = Box::pin(cutover.perform(stop)).await?;
    let lift = match report.end {
        CutoverEnd::CutBack => report.lift.as_deref().map(reverse::exchanged),
        _ => report.lift,
    };
    Ok(CutoverReport { findings, lift, ..report })
}

/// Where the migration stands, which nobody cuts over and nobody has.
async fn to_be_cut_over<P: Pair>(
    config: &Config,
    target: &P::Target,
    orders: &Orders,
) -> Result<Standing, Failure> {
    if orders.back && target.load().await?.is_none() {
        let why = "the former source does not follow the target".to_owned();
        let hint = "`dunlin reverse` has it follow; then the same command again";
        return Err(CutoverError::NoWayBack { why, hint }.into());
    }
    let standing = settled(target).await?;
    if is_at_work(&standing) {
        return Err(CutoverError::AtWork { ends_it: standing.ends_it }.into());
    }
    match standing.migration.phase {
        Phase::CutOver if orders.back => Err(CutoverError::Back.into()),
        Phase::CutOver if reverse::is_gone::<P>(config, &standing.migration).await => {
            Err(CutoverError::Back.into())
        }
        Phase::CutOver => Err(CutoverError::Done.into()),
        _ => Ok(standing),
    }
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
    let tap = Tap::keeping(MOST_NOTED_BYTES);
    // Nobody stops it but the cutover, by its reins.
    let (keep_on, stop) = watch::channel(false);
    let run = run(Handles {
        stop,
        moved: watch::Sender::new(0),
        progress: Progress::default(),
        reins: Some(Reins { end: end_seen, seen: status, tap: tap.clone() }),
    });
    let mut task = JoinSet::new();
    task.spawn(async move {
        let ended = Box::pin(run.go()).await;
        drop(keep_on);
        match ended? {
            Ended::Reached => Ok(()),
            Ended::Stopped | Ended::CutOver | Ended::CutBack => {
                Err(CutoverError::StreamEnded.into())
            }
        }
    });
    Stream { task, end, seen, tap }
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

/// Claims the migration, from a run that is at work where there is one. A run that stood by for a cutover
/// that was killed may come back at the same moment, and is asked again then.
async fn claim(target: &impl Target) -> Result<(), Failure> {
    let mut attempt = 1;
    loop {
        if target.status().await?.running {
            target.ask_to_stand_by().await?;
        }
        match target.claim().await {
            Err(held) if held.code() == Some(Code::AlreadyRunning) && attempt < CLAIM_ATTEMPTS => {
                attempt += 1;
            }
            claimed => return claimed,
        }
    }
}

/// What stands against it, or is not as one may expect.
async fn look<S: FencedSource>(
    source: &S,
    target: &impl Target,
    standing: &Standing,
    orders: &Orders,
) -> Result<(Vec<Finding>, Preconditions), Failure> {
    let migration = &standing.migration;
    if migration.phase != Phase::Stream {
        let phase = migration.phase.to_string();
        return Err(CutoverError::NotFollowing { phase }.into());
    }
    let sealed = migration.cutover.as_ref().is_some_and(|record| may_be_sealed(record).is_some());
    let order = FenceOrder { sealed, ..orders.fence(migration.tables.clone()) };
    let mut findings = source.fence_findings(&order).await?;
    for stage in [BuildStage::Identity, BuildStage::Rest] {
        let left = target.builds(stage).await?;
        findings.extend(left.into_iter().map(|build| {
            Finding::block(Code::CutoverRefused, "target", format!("{} is not built", build.label))
                .with_hint("let `dunlin run` build it")
        }));
    }
    findings.extend(target.unfit(&migration.tables).await?);
    let preconditions =
        Preconditions::look(source, &migration.tables, migration.held.clone()).await?;
    findings.extend(preconditions.known().iter().cloned());
    Ok((findings, preconditions))
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
    Ok(())
}

/// For how long what changed since the last verification is compared before writers have to wait, and
/// whether the cutover depends on that.
fn beforehand(
    proof: Result<Finding, CutoverError>,
    asked: Option<Duration>,
    consents: Consents,
    findings: &mut Vec<Finding>,
) -> Result<(Duration, bool), CutoverError> {
    match (proof, asked) {
        (Ok(proven), asked) => {
            findings.push(proven);
            Ok((asked.unwrap_or(USUALLY_VERIFIED), false))
        }
        (Err(lacking), Some(longest)) if !longest.is_zero() => {
            tracing::info!("{lacking}: compared as part of the cutover");
            Ok((longest, !consents.unverified))
        }
        (Err(lacking), _) if consents.unverified => {
            tracing::warn!("{lacking}");
            Ok((Duration::ZERO, false))
        }
        (Err(lacking), _) => Err(lacking),
    }
}

/// What is said beforehand of what is compared before writers have to wait.
fn to_be_verified(proven: bool, asked: Option<Duration>) -> Option<Finding> {
    let usually = if proven { USUALLY_VERIFIED } else { Duration::ZERO };
    let longest = asked.unwrap_or(usually);
    if longest.is_zero() {
        return None;
    }
    let seen = format!(
        "what changed since the last verification is compared before writers have to wait, for {} at \
         most",
        humantime::format_duration(longest)
    );
    let hint = "--verify-first sets how long; 0 leaves it out";
    Some(Finding::info("VERIFY_FIRST", "target", seen).with_hint(hint))
}

/// What is said beforehand of the final proof.
fn to_be_proven(longest: Duration) -> Option<Finding> {
    if longest.is_zero() {
        return None;
    }
    let longest = humantime::format_duration(longest);
    let seen = format!(
        "rows that change while the cutover follows the log are compared while writers wait, which may \
         take {longest} more"
    );
    let hint = "--final-proof sets how long at most; 0 leaves it out";
    Some(Finding::info("FINAL_PROOF", "target", seen).with_hint(hint))
}

/// What a cutover would find now, and how long writers would wait.
async fn rehearsed<S: FencedSource>(
    source: &S,
    target: &impl Target,
    standing: &Standing,
    (mut findings, orders): (Vec<Finding>, &Orders),
) -> Result<CutoverReport, Failure> {
    findings.extend(to_be_proven(orders.final_proof));
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

/// What a killed cutover left on the source. Before it was about to seal it, that is nothing: its locks
/// ended with its session, and whatever refuses writes there is somebody else's.
fn may_be_sealed(record: &CutoverRecord) -> Option<&Leftover> {
    record.left.as_ref().filter(|_| record.stage != CutoverStage::Fencing)
}

/// Undoes what a killed cutover left on the servers, whose state then still says so.
async fn clear<S: FencedSource>(
    source: &S,
    record: &CutoverRecord,
    opposite: Option<&Opposite<S>>,
) -> Result<(), Failure> {
    if let Some(opposite) = opposite.filter(|_| record.stage == CutoverStage::Switching) {
        opposite.refuse().await?;
    }
    match may_be_sealed(record) {
        Some(left) => source.unfence(left).await?,
        None => source.end_fence(record.left.as_ref()).await?,
    }
    if let Some(left) = &record.left {
        tell_hook(left, Purpose::Unfence).await?;
    }
    match opposite.filter(|_| record.way_back.is_some()) {
        Some(opposite) => opposite.disarm().await,
        None => Ok(()),
    }
}

/// Undoes what a killed cutover left.
async fn abort<S: FencedSource>(
    source: &S,
    target: &(impl Target + Proofs),
    standing: &Standing,
    opposite: Option<Opposite<S>>,
) -> Result<CutoverReport, Failure> {
    let Some(record) = &standing.migration.cutover else {
        let next = "dunlin status shows where the migration stands";
        return Ok(ended(CutoverEnd::NothingToUndo, next));
    };
    claim(target).await?;
    clear(source, record, opposite.as_ref()).await?;
    target.rest(&standing.migration.tables).await?;
    target.take_over().await?;
    if record.stage == CutoverStage::Switching {
        // The target's own clients may have written meanwhile.
        let tables: Vec<TableId> = standing.migration.tables.iter().map(|table| table.id).collect();
        target.refute(&tables).await?;
    }
    target.record_cutover(None).await?;
    let next = match standing.running {
        true => "the run that is at work goes on by itself",
        false => "dunlin run, with the options it began with, goes on from here",
    };
    Ok(ended(CutoverEnd::Aborted, next))
}

/// Has a cutover count as done, which the operator knows.
async fn finish<S: FencedSource>(
    target: &impl Target,
    record: Option<CutoverRecord>,
    opposite: Option<Opposite<S>>,
) -> Result<CutoverReport, Failure> {
    let Some(record) = record.filter(|record| record.stage == CutoverStage::Switching) else {
        return Err(CutoverError::NothingToFinish.into());
    };
    target.claim().await?;
    target.take_over().await?;
    // All that the cutover would have done: it may have been killed before.
    build(target, BuildStage::Cutover).await?;
    let opposite = opposite.filter(|opposite| opposite.sealed.is_some());
    if let Some(opposite) = &opposite {
        opposite.admit().await?;
        opposite.unseal().await?;
    }
    target.record_phase(Phase::CutOver).await?;
    build(target, BuildStage::Switched).await?;
    if opposite.is_some() {
        let (left, way_back) = (record.left.as_ref(), record.way_back.as_ref());
        let progress = CutoverProgress { stage: CutoverStage::Opened, left, way_back };
        target.record_cutover(Some(progress)).await?;
        return Ok(ended(CutoverEnd::CutBack, "dunlin complete"));
    }
    let next = match record.way_back.is_some() {
        true => "dunlin reverse, with the same options, has the source follow the target",
        false => "once nobody wants to go back, dunlin complete",
    };
    Ok(ended(CutoverEnd::CutOver, next))
}

fn ended(end: CutoverEnd, next: &str) -> CutoverReport {
    CutoverReport {
        end,
        steps: Vec::new(),
        predicted_pause_ms: None,
        pause_ms: None,
        early_proof: None,
        final_proof: None,
        covered: None,
        position: None,
        findings: Vec::new(),
        lift: None,
        next: next.to_owned(),
    }
}
