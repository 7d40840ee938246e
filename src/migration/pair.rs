//! The verbs, for any pair of engines.
//!
//! In: the settings, and a [`Pair`], which knows what they mean for its engines and what these
//! carry beside tables and sequences. Out: what the verbs report. Nothing in here knows an engine.

use std::future::Future;

use tokio::sync::watch;

use super::MigrationError;
use super::check::survey;
use super::follow::Limits;
use super::plan::plan as estimate;
use super::retry;
use super::reverse::{self, Concluded};
use super::run::{Besides, Ended, Handles, Options, Run, Until, compare};
use super::status::{self, Called};
use crate::config::{Config, StateConfig};
use crate::cutover::CutoverError;
use crate::model::report::{CheckReport, Finding, PlanReport, Removal, Severity, StatusReport};
use crate::model::{
    Code, CutoverStage, Disposition, Failure, Leftover, Phase, SourceHealth, Table,
};
use crate::observe::failpoint;
use crate::observe::progress::Progress;
use crate::source::fence::FencedSource;
use crate::source::{Lull, Present, Source};
use crate::target::{BuildStage, Mend, Migration, Proofs, Standing, Target};

/// A source and a target that fit each other, and how they are reached.
pub(super) trait Pair: Default + Send + Sync {
    /// The kind of source.
    type Source: Lull;
    /// The kind of target.
    type Target: Target + Proofs + Mend;
    /// Either of them as a server whose rows are compared.
    type Present: Present;
    /// What they carry beside tables and sequences.
    type Besides: Besides<Self::Source, Self::Target>;

    /// Connects to the source.
    fn source(&self, config: &Config)
    -> impl Future<Output = Result<Self::Source, Failure>> + Send;

    /// Connects to the target.
    fn target(&self, config: &Config)
    -> impl Future<Output = Result<Self::Target, Failure>> + Send;

    /// Connects to the target, to look at the state alone.
    fn state(
        &self,
        config: &StateConfig,
    ) -> impl Future<Output = Result<Self::Target, Failure>> + Send;

    /// The rows of source and target as they are now, on the very servers that these are with: of
    /// several hosts another one may have other rows.
    fn sides(source: &Self::Source, target: &Self::Target) -> (Self::Present, Self::Present);

    /// Tells the source what it has to know of the target.
    fn introduce(&self, source: &Self::Source, target: &Self::Target);

    /// Keeps others from what this migration has on the source, for as long as the source is there.
    fn announce(&self, source: &Self::Source) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Makes sure that what bears our name on the source, though the target holds no state, is a
    /// leftover.
    fn claim_leftover(
        &self,
        source: &Self::Source,
    ) -> impl Future<Output = Result<(), Failure>> + Send;

    /// What they carry beside tables and sequences.
    fn besides(&self, config: &Config) -> Self::Besides;

    /// Whether a server had no room for one more connection.
    fn is_full(&self, failure: &Failure) -> bool;

    /// The servers of a migration, without passwords, and what keeps the log for it.
    fn called(&self, config: &StateConfig) -> Result<Called, Failure>;

    /// How the source of a migration is faring now.
    fn health(
        &self,
        config: &StateConfig,
        standing: &Standing,
    ) -> impl Future<Output = Result<SourceHealth, Failure>> + Send;
}

/// Runs a migration until it ends, and again from its state where it fails for a while.
pub(super) async fn run<P: Pair>(
    pair: &P,
    config: &Config,
    until: Option<Until>,
    progress: &Progress,
    stop: watch::Receiver<bool>,
) -> Result<Ended, Failure> {
    let options = options(config, until);
    // A server that is not there at the very beginning is said at once: the address may be wrong.
    let source = begun(pair, "source", pair.source(config).await)?;
    let mut first = Some((source, begun(pair, "target", pair.target(config).await)?));
    let attempt = |moved: watch::Sender<u64>| {
        let (first, options, stop) = (first.take(), options.clone(), stop.clone());
        async move {
            let (source, target) = match first {
                Some(connected) => connected,
                None => (pair.source(config).await?, pair.target(config).await?),
            };
            pair.introduce(&source, &target);
            pair.announce(&source).await?;
            let handles = Handles { stop, moved, progress: progress.clone(), reins: None };
            let besides = pair.besides(config);
            Box::pin(Run { source, target, besides, options, handles }.go()).await
        }
    };
    let ended = retry::persist(config.retry_for(), stop.clone(), attempt).await?;
    Ok(ended.unwrap_or(Ended::Stopped))
}

pub(super) fn options(config: &Config, until: Option<Until>) -> Options {
    Options {
        selection: config.selection().clone(),
        truncate: config.truncate_target().clone(),
        chunk_bytes: config.chunk_size(),
        workers: config.workers(),
        build_workers: config.build_workers(),
        connections: config.max_connections(),
        stream: Limits {
            group_bytes: usize::try_from(config.group_size()).unwrap_or(usize::MAX),
            queue_bytes: usize::try_from(config.queue_size()).unwrap_or(usize::MAX),
            retained_warn_bytes: config.retained_wal_warn(),
            retained_halt_bytes: config.retained_wal_halt(),
        },
        schema: config.schema_policy().clone(),
        until,
    }
}

/// What would make a new migration fail or lose something.
pub(super) async fn check<P: Pair>(pair: &P, config: &Config) -> Result<CheckReport, Failure> {
    let source = match pair.source(config).await {
        Ok(source) => source,
        Err(failure) => return Ok(CheckReport { findings: vec![full(pair, "source", failure)?] }),
    };
    let target = match pair.target(config).await {
        Ok(target) => target,
        Err(failure) => return Ok(CheckReport { findings: vec![full(pair, "target", failure)?] }),
    };
    pair.introduce(&source, &target);
    let migration = match target.load().await {
        // What the account may not do is among the findings.
        Err(failure) if failure.code() == Some(Code::PrivilegeMissing) => None,
        loaded => loaded?,
    };
    if let Some(migration) = migration {
        let seen = format!("migration {} is there, in phase {}", config.name(), migration.phase);
        let finding = Finding::info("MIGRATION_EXISTS", "target", seen)
            .with_hint("`dunlin run` goes on with it; `dunlin status` shows where it stands");
        return Ok(CheckReport { findings: vec![finding] });
    }
    let found = survey(&source, &target, &options(config, None)).await?;
    Ok(CheckReport { findings: found.findings })
}

/// What a run would do. What is in the way of it, `check` tells.
pub(super) async fn plan<P: Pair>(pair: &P, config: &Config) -> Result<PlanReport, Failure> {
    let source = pair.source(config).await?;
    let target = pair.target(config).await?;
    pair.introduce(&source, &target);
    let options = options(config, None);
    let found = source.check(&options.selection, options.connections).await?;
    let blocking = found.findings.iter().filter(|found| found.severity == Severity::Block).count();
    if blocking > 0 {
        tracing::warn!("{blocking} findings block a run: dunlin check shows them");
    }
    let mut report = estimate(&source, &target, &options, &found.tables).await?;
    if !found.at_cutover.is_empty() {
        let listed = found.at_cutover.join(", ");
        let by = "by dunlin cutover, or by dunlin complete where there was none";
        report.writes.push(format!("target, {by}: {listed}"));
    }
    let notes = found.findings.into_iter().filter(|found| found.severity == Severity::Info);
    report.notes = notes.collect();
    Ok(report)
}

/// A server that has no room even for one connection is a finding; whatever else kept us out of it
/// is an error.
fn full<P: Pair>(pair: &P, subject: &str, failure: Failure) -> Result<Finding, Failure> {
    if !pair.is_full(&failure) {
        return Err(failure);
    }
    let finding = Finding::block(Code::NoFreeConnections, subject, "every connection is in use");
    Ok(finding.with_hint("close other sessions or raise max_connections"))
}

/// As [`full`], for a run that cannot even begin to look.
fn begun<P: Pair, O>(pair: &P, subject: &str, connected: Result<O, Failure>) -> Result<O, Failure> {
    connected.map_err(|failure| match full(pair, subject, failure) {
        Ok(finding) => MigrationError::Blocked { finding: Box::new(finding), all: 1 }.into(),
        Err(failure) => failure,
    })
}

/// Where a migration stands. Before it has begun with the log, the source has nothing to say.
pub(super) async fn status<P: Pair>(
    pair: &P,
    config: &StateConfig,
) -> Result<StatusReport, Failure> {
    let called = pair.called(config)?;
    let standing = pair.state(config).await?.status().await?;
    let record = standing.migration.cutover.as_ref();
    if standing.migration.phase == Phase::CutOver
        && record.is_some_and(|record| record.way_back.is_some())
        && let Some(back) = config.opposite()
        && let Some(report) = status_back::<P>(&back, &standing).await?
    {
        return Ok(report);
    }
    let begun = standing.migration.checkpoint.is_some();
    let live = match config.source().filter(|_| begun) {
        Some(_) => Some(pair.health(config, &standing).await),
        None => None,
    };
    Ok(status::report(called, &standing, live))
}

/// Where the way back stands; None where it has not begun.
async fn status_back<P: Pair>(
    config: &StateConfig,
    forward: &Standing,
) -> Result<Option<StatusReport>, Failure> {
    let pair = P::default();
    let standing = match pair.state(config).await?.status().await {
        Err(failure) if failure.code() == Some(Code::MigrationMissing) => return Ok(None),
        standing => standing?,
    };
    let live = pair.health(config, &standing).await;
    let report = status::report(pair.called(config)?, &standing, Some(live));
    Ok(Some(status::backwards(report, &standing, forward)))
}

/// Ends a migration: sequences carried over one last time, then all traces removed. Returns what
/// was there, and what is left to the operator.
pub(super) async fn complete<P: Pair>(pair: &P, config: &Config) -> Result<Removal, Failure>
where
    P::Source: FencedSource,
{
    let source = pair.source(config).await?;
    let target = pair.target(config).await?;
    let migration = target.load().await?;
    let mut back = None;
    match &migration {
        Some(migration) => {
            is_the_source(migration, &source).await?;
            let record = migration.cutover.as_ref().filter(|_| migration.phase != Phase::CutOver);
            if record.is_some_and(|record| record.stage == CutoverStage::Switching) {
                return Err(CutoverError::Undecided.into());
            }
            target.claim().await?;
            let armed = migration.cutover.as_ref().filter(|record| record.way_back.is_some());
            if let Some(armed) = armed {
                // Where it was gone, the target may refuse us until then.
                back = Some(reverse::conclude::<P>(config, (&source, &target), armed).await?);
                failpoint::reached("way-back-removed");
            }
            target.take_over().await?;
            // After a cutover the target's own clients have gone on.
            if migration.phase != Phase::CutOver {
                warn_of_lag(&source, &target).await?;
                target.set_sequences(&source.sequences().await?).await?;
            }
        }
        None => pair.claim_leftover(&source).await?,
    }
    let mut removal = source.remove().await?;
    if let Some(migration) = migration {
        removal.left.extend(finish_schema(&target).await?);
        let has_gone_back = back.as_ref().is_some_and(|back| back.gone);
        if let Some(Concluded { removal: back, .. }) = back {
            removal.dropped.extend(back.dropped);
            removal.left.extend(back.left);
        }
        let left = migration.cutover.and_then(|record| record.left);
        let left = left.filter(|_| !has_gone_back);
        removal.left.extend(left.as_ref().map(Leftover::lift_later));
    }
    removal.dropped.extend(target.remove().await?);
    Ok(removal)
}

/// Makes sure that a migration that is to be ended is of this source. One that was promoted is to be
/// begun with anew, which takes this first.
pub(super) async fn is_the_source(
    migration: &Migration,
    source: &impl Source,
) -> Result<(), Failure> {
    match compare(&migration.source, &source.identify().await?) {
        Ok(()) | Err(MigrationError::OtherTimeline { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Builds what a migration that began to make the target's schema has not built yet: nobody else
/// knows what is missing, and without it a later run could not use the tables. What acts by itself
/// comes last: from here on the target is its own clients'. Returns what cannot be built.
pub(super) async fn finish_schema(target: &impl Target) -> Result<Vec<String>, Failure> {
    let mut left = Vec::new();
    let stages =
        [BuildStage::Identity, BuildStage::Rest, BuildStage::Cutover, BuildStage::Switched];
    for stage in stages {
        for build in target.builds(stage).await? {
            tracing::info!(step = build.label, "finishing the schema on the target");
            match target.build(build.id).await {
                Ok(()) => {}
                Err(failure) if *failure.disposition() == Disposition::Retry => {
                    return Err(failure);
                }
                Err(failure) => {
                    let cause = failure.error().source().map(ToString::to_string);
                    tracing::warn!(step = build.label, cause, "cannot be built");
                    let when = match stage {
                        BuildStage::Identity | BuildStage::Rest => ", once its rows are whole",
                        BuildStage::Cutover | BuildStage::Switched => "",
                    };
                    left.push(format!("on the target{when}: {};", build.statements));
                }
            }
        }
    }
    Ok(left)
}

/// Says how much of the source's log the target goes without, once the migration is ended, and what
/// changed on the source that the log does not show.
pub(super) async fn warn_of_lag(source: &impl Source, target: &impl Target) -> Result<(), Failure> {
    let Some(migration) = target.load().await? else { return Ok(()) };
    let Some(checkpoint) = migration.checkpoint else { return Ok(()) };
    match source.drift(&migration.tables, migration.held.as_ref()).await {
        Ok(drift) => {
            for warning in drift.warnings {
                tracing::warn!("{warning}");
            }
            let outdated = |table: &&Table| drift.outdated.contains(&table.id);
            for table in migration.tables.iter().filter(outdated) {
                tracing::warn!(table = %table.name, "its rows changed in a way that no log shows");
            }
        }
        // Whatever it is, the migration is to be ended.
        Err(failure) => tracing::warn!("{failure}"),
    }
    let end = source.position().await?;
    if !checkpoint.reaches(&end) {
        tracing::warn!(
            "the source's log between {checkpoint} and {end} is not applied on the target, and will \
             not be; it holds changes unless the applications had stopped writing"
        );
    }
    Ok(())
}
