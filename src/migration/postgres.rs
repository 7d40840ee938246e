//! Migrations between two Postgres servers: what the settings mean for this pair of engines.

use std::time::Duration;

use tokio::sync::watch;

use super::MigrationError;
use super::check::survey;
use super::follow::Limits;
use super::plan::plan as estimate;
use super::retry;
use super::run::{Besides, Ended, Handles, Options, Run, Until, compare};
use super::status::{self, Called};
use crate::config::endpoint::{Endpoint, PostgresEndpoint};
use crate::config::environment::Environment;
use crate::config::{Config, NamedTables, StateConfig};
use crate::connect::ConnectError;
use crate::model::report::{CheckReport, Finding, PlanReport, Removal, Severity, StatusReport};
use crate::model::selection::Selection;
use crate::model::{Code, Failure, HeldSnapshot, OnDropColumn, SourceHealth};
use crate::observe::progress::Progress;
use crate::source::Source;
use crate::source::postgres::catalog::large_objects;
use crate::source::postgres::{self as source, PostgresSource};
use crate::target::postgres::objects::copy_large_objects;
use crate::target::postgres::schema::Ownership;
use crate::target::postgres::{self as target, PostgresTarget, Remembered};
use crate::target::{Standing, Target};

/// `too_many_connections`.
const TOO_MANY_CONNECTIONS: &str = "53300";

/// Reads a URL of a Postgres server.
pub(super) fn endpoint(url: &str) -> Result<PostgresEndpoint, Failure> {
    match Endpoint::parse(url, &Environment::of_process())? {
        Endpoint::Postgres(endpoint) => Ok(endpoint),
    }
}

/// Connects to the source.
pub(super) async fn source(config: &Config) -> Result<PostgresSource, Failure> {
    let options = source::Options {
        name: config.name().to_owned(),
        selection: config.selection().clone(),
        insert_only: config.insert_only().clone(),
        slot_timeout: config.slot_timeout(),
        source_timeout: config.source_timeout(),
        snapshot_hold: config.snapshot_hold(),
    };
    PostgresSource::connect(&endpoint(config.source())?, options).await
}

/// Connects to the target.
pub(super) async fn target(
    config: &Config,
    remembered: &Remembered,
) -> Result<PostgresTarget, Failure> {
    let options = target::Options {
        name: config.name().to_owned(),
        privileges: config.privileges(),
        large_objects: !config.skip_large_objects(),
        maintenance_work_mem: config.maintenance_work_mem(),
        on_drop_column: config.on_drop_column(),
        remembered: remembered.clone(),
    };
    PostgresTarget::connect(&endpoint(config.target())?, options).await
}

/// Runs a migration until it ends, and again from its state where it fails for a while.
pub(super) async fn run(
    config: &Config,
    until: Option<Until>,
    progress: &Progress,
    stop: watch::Receiver<bool>,
) -> Result<Ended, Failure> {
    let options = options(config, until);
    let remembered = Remembered::default();
    // A server that is not there at the very beginning is said at once: the address may be wrong.
    let connected = begun("source", source(config).await)?;
    let mut first = Some((connected, begun("target", target(config, &remembered).await)?));
    let attempt = |moved: watch::Sender<u64>| {
        let (first, options, stop) = (first.take(), options.clone(), stop.clone());
        let remembered = remembered.clone();
        async move {
            let (source, target) = match first {
                Some(connected) => connected,
                None => (source(config).await?, target(config, &remembered).await?),
            };
            source.face(target.control().server_version_num());
            source.announce().await?;
            let handles = Handles { stop, moved, progress: progress.clone() };
            let besides = LargeObjects {
                skipped: config.skip_large_objects(),
                ownership: Ownership {
                    owners: config.privileges(),
                    privileges: config.privileges(),
                },
            };
            Box::pin(Run { source, target, besides, options, handles }.go()).await
        }
    };
    let ended = retry::persist(config.retry_for(), stop.clone(), attempt).await?;
    Ok(ended.unwrap_or(Ended::Stopped))
}

/// Large objects, which no table holds and no log carries.
struct LargeObjects {
    skipped: bool,
    ownership: Ownership,
}

impl Besides<PostgresSource, PostgresTarget> for LargeObjects {
    async fn carry(
        &self,
        source: &PostgresSource,
        target: &PostgresTarget,
        held: &HeldSnapshot,
    ) -> Result<(), Failure> {
        let reading = source.session_under(held).await?;
        if self.skipped || large_objects(&reading).await? == 0 {
            return Ok(());
        }
        let mut writing = target.session().await?;
        let copied = copy_large_objects(&reading, &mut writing, self.ownership).await?;
        tracing::info!(count = copied.count, bytes = copied.bytes, "large objects copied");
        Ok(())
    }
}

fn options(config: &Config, until: Option<Until>) -> Options {
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
        until,
    }
}

/// What would make a new migration fail or lose something.
pub(super) async fn check(config: &Config) -> Result<CheckReport, Failure> {
    let source = match source(config).await {
        Ok(source) => source,
        Err(failure) => return Ok(CheckReport { findings: vec![full("source", failure)?] }),
    };
    let target = match target(config, &Remembered::default()).await {
        Ok(target) => target,
        Err(failure) => return Ok(CheckReport { findings: vec![full("target", failure)?] }),
    };
    source.face(target.control().server_version_num());
    if let Some(migration) = target.load().await? {
        let seen = format!("migration {} is there, in phase {}", config.name(), migration.phase);
        let finding = Finding::info("MIGRATION_EXISTS", "target", seen)
            .with_hint("`dunlin run` goes on with it; `dunlin status` shows where it stands");
        return Ok(CheckReport { findings: vec![finding] });
    }
    let found = survey(&source, &target, &options(config, None)).await?;
    Ok(CheckReport { findings: found.findings })
}

/// What a run would do. What is in the way of it, `check` tells.
pub(super) async fn plan(config: &Config) -> Result<PlanReport, Failure> {
    let source = source(config).await?;
    let target = target(config, &Remembered::default()).await?;
    source.face(target.control().server_version_num());
    let options = options(config, None);
    let found = source.check(&options.selection, options.connections).await?;
    let blocking = found.findings.iter().filter(|found| found.severity == Severity::Block).count();
    if blocking > 0 {
        tracing::warn!("{blocking} findings block a run: dunlin check shows them");
    }
    estimate(&source, &target, &options, &found.tables).await
}

/// A server that has no room even for one connection is a finding; whatever else kept us out of it
/// is an error.
fn full(subject: &str, failure: Failure) -> Result<Finding, Failure> {
    let full = match failure.error().downcast_ref::<ConnectError>() {
        Some(ConnectError::Rejected { source, .. }) => source.code == TOO_MANY_CONNECTIONS,
        Some(_) | None => false,
    };
    if !full {
        return Err(failure);
    }
    let finding = Finding::block(Code::NoFreeConnections, subject, "every connection is in use");
    Ok(finding.with_hint("close other sessions or raise max_connections"))
}

/// As [`full`], for a run that cannot even begin to look.
fn begun<O>(subject: &str, connected: Result<O, Failure>) -> Result<O, Failure> {
    connected.map_err(|failure| match full(subject, failure) {
        Ok(finding) => MigrationError::Blocked { finding: Box::new(finding), all: 1 }.into(),
        Err(failure) => failure,
    })
}

/// Where a migration stands.
pub(super) async fn status(config: &StateConfig) -> Result<StatusReport, Failure> {
    let at = endpoint(config.target())?;
    let options = target::Options {
        name: config.name().to_owned(),
        privileges: false,
        large_objects: false,
        maintenance_work_mem: 0,
        on_drop_column: OnDropColumn::Halt,
        remembered: Remembered::default(),
    };
    let target = PostgresTarget::connect(&at, options).await?;
    let standing = target.status().await?;
    let source = config.source().map(endpoint).transpose()?;
    let begun = standing.migration.checkpoint.is_some();
    let live = match source.as_ref().filter(|_| begun) {
        Some(endpoint) => Some(health(endpoint, config.name(), &standing).await),
        None => None,
    };
    let called = Called {
        name: config.name().to_owned(),
        source: source.map(|endpoint| endpoint.redacted()),
        target: at.redacted(),
        slot: source::slot_name(config.name()),
    };
    Ok(status::report(called, &standing, live))
}

/// How the source is faring now. Before the slot exists there is nothing to be said.
async fn health(
    endpoint: &PostgresEndpoint,
    name: &str,
    standing: &Standing,
) -> Result<SourceHealth, Failure> {
    let options = source::Options {
        name: name.to_owned(),
        selection: Selection::new(&standing.migration.selection)?,
        insert_only: NamedTables::default(),
        slot_timeout: Duration::ZERO,
        source_timeout: Duration::ZERO,
        snapshot_hold: Duration::ZERO,
    };
    let source = PostgresSource::connect(endpoint, options).await?;
    source.health().await
}

/// Ends a migration: sequences carried over one last time, then all traces removed. Returns what
/// was there, and what is left to the operator.
pub(super) async fn complete(config: &Config) -> Result<Removal, Failure> {
    let source = source(config).await?;
    let target = target(config, &Remembered::default()).await?;
    match target.load().await? {
        Some(migration) => {
            match compare(&migration.source, &source.identify().await?) {
                // A source that was promoted is to be begun with anew, which takes this first.
                Ok(()) | Err(MigrationError::OtherTimeline { .. }) => {}
                Err(error) => return Err(error.into()),
            }
            target.take_over().await?;
            warn_of_lag(&source, &target).await?;
            target.set_sequences(&source.sequences().await?).await?;
        }
        None => source.claim_leftover().await?,
    }
    let mut removal = source.remove().await?;
    removal.dropped.extend(target.remove().await?);
    Ok(removal)
}

/// Says how much of the source's log the target goes without, once the migration is ended.
async fn warn_of_lag(source: &PostgresSource, target: &PostgresTarget) -> Result<(), Failure> {
    let checkpoint = target.load().await?.and_then(|migration| migration.checkpoint);
    let end = source.position().await?;
    let bytes = checkpoint.map_or(0, |checkpoint| checkpoint.bytes_until(&end));
    if bytes > 0 {
        tracing::warn!(
            "{bytes} bytes of the source's log are not applied on the target, and will not be; \
             they hold changes unless the applications had stopped writing"
        );
    }
    Ok(())
}
