//! A migration as a whole: the only room that knows both sides and composes the others.
//!
//! The verbs of the command line end here. Which engines are on either side is decided once, by
//! the endpoints; from there on everything is written against the Source and Target traits.

mod beginning;
mod check;
pub mod cutover;
mod define;
mod end;
pub mod follow;
pub mod grants;
mod mysql;
mod outdated;
mod pair;
mod plan;
mod postgres;
mod recopy;
pub mod retry;
mod reverse;
pub mod run;
mod stand_by;
mod status;
mod verify;

use std::fmt;

use tokio::sync::watch;

use crate::config::endpoint::Endpoint;
use crate::config::environment::Environment;
use crate::config::{self, Config, StateConfig};
use crate::cutover::Orders;
use crate::model::report::{CheckReport, Finding, PlanReport, Removal, StatusReport};
use crate::model::verification::VerificationReport;
use crate::model::{Code, CutoverReport, Disposition, Failure, Fault, Halt};
use crate::observe::progress::Progress;
use crate::source::postgres::holder;
use mysql::MySqlPair;
use postgres::PostgresPair;

pub use end::{Ended, Until};
pub use verify::VerifyOptions;

/// A kind of server, as a URL names it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Engine {
    /// Postgres.
    Postgres,
    /// MySQL or MariaDB.
    MySql,
}

impl Engine {
    /// The error of a source of this engine with a target of another.
    fn beside(self, target: Engine) -> Failure {
        MigrationError::EnginesDiffer { source_engine: self, target_engine: target }.into()
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Engine::Postgres => "Postgres",
            Engine::MySql => "MySQL or MariaDB",
        })
    }
}

/// The engine of both sides.
fn engine(source: Option<&str>, target: &str) -> Result<Engine, Failure> {
    let environment = Environment::of_process();
    let of = |url| -> Result<Engine, Failure> {
        Ok(match Endpoint::parse(url, &environment)? {
            Endpoint::Postgres(_) => Engine::Postgres,
            Endpoint::MySql(_) => Engine::MySql,
        })
    };
    let target = of(target)?;
    match source.map(of).transpose()? {
        Some(source) if source != target => Err(source.beside(target)),
        Some(_) | None => Ok(target),
    }
}

/// Goes on with a migration, or begins it, until `until`, a stop or an error.
///
/// # Errors
///
/// A halt, or the last of many failures to get on.
pub async fn run(
    config: &Config,
    until: Option<config::Until>,
    progress: &Progress,
    stop: watch::Receiver<bool>,
) -> Result<Ended, Failure> {
    let until = until.map(Until::from);
    match engine(Some(config.source()), config.target())? {
        Engine::Postgres => {
            let pair = PostgresPair::default();
            let ended = pair::run(&pair, config, until, progress, stop).await?;
            Ok(reverse::concluded::<PostgresPair>(config, ended).await)
        }
        Engine::MySql => {
            let pair = MySqlPair::default();
            let ended = pair::run(&pair, config, until, progress, stop).await?;
            Ok(reverse::concluded::<MySqlPair>(config, ended).await)
        }
    }
}

/// Has the former source of a migration that was cut over follow its target, until `until`, a stop
/// or an error.
///
/// # Errors
///
/// A halt, or the last of many failures to get on.
pub async fn reverse(
    config: &Config,
    until: Option<config::Until>,
    progress: &Progress,
    stop: watch::Receiver<bool>,
) -> Result<Ended, Failure> {
    let until = until.map(Until::from);
    match engine(Some(config.source()), config.target())? {
        Engine::Postgres => {
            reverse::reverse(&PostgresPair::default(), config, until, progress, stop).await
        }
        Engine::MySql => {
            reverse::reverse(&MySqlPair::default(), config, until, progress, stop).await
        }
    }
}

/// Ends a migration and removes what it left on both servers. Returns what was removed, and what is
/// left to the operator.
///
/// # Errors
///
/// Where a server cannot be reached or refuses.
pub async fn complete(config: &Config) -> Result<Removal, Failure> {
    match engine(Some(config.source()), config.target())? {
        Engine::Postgres => Box::pin(pair::complete(&PostgresPair::default(), config)).await,
        Engine::MySql => Box::pin(pair::complete(&MySqlPair::default(), config)).await,
    }
}

/// Compares both sides, with a run at work or without.
///
/// # Errors
///
/// Where a server cannot be read, where it is stopped, and where rows differ while nobody applies the
/// log that may hold them.
pub async fn verify(
    config: &Config,
    options: &VerifyOptions,
    progress: &Progress,
    stop: watch::Receiver<bool>,
) -> Result<VerificationReport, Failure> {
    match engine(Some(config.source()), config.target())? {
        Engine::Postgres => {
            let pair = PostgresPair::default();
            Box::pin(verify::verify(&pair, config, options, progress, stop)).await
        }
        Engine::MySql => {
            let pair = MySqlPair::default();
            Box::pin(verify::verify(&pair, config, options, progress, stop)).await
        }
    }
}

/// Leaves the source for the target, or does what else is `wanted` about that.
///
/// # Errors
///
/// Where something stands against it, or it failed; what it did is undone then, unless the error
/// says otherwise.
pub async fn cutover(
    config: &Config,
    wanted: (cutover::Wanted, Orders),
    progress: &Progress,
    stop: watch::Receiver<bool>,
) -> Result<CutoverReport, Failure> {
    let opposite = wanted.1.back.then(|| config.opposite());
    let config = opposite.as_ref().unwrap_or(config);
    match engine(Some(config.source()), config.target())? {
        Engine::Postgres => {
            Box::pin(cutover::cutover(&PostgresPair::default(), config, wanted, progress, stop))
                .await
        }
        Engine::MySql => {
            Box::pin(cutover::cutover(&MySqlPair::default(), config, wanted, progress, stop)).await
        }
    }
}

/// What would make a new migration fail or lose something. Only reads.
///
/// # Errors
///
/// Where a server cannot be asked.
pub async fn check(config: &Config) -> Result<CheckReport, Failure> {
    match engine(Some(config.source()), config.target())? {
        Engine::Postgres => pair::check(&PostgresPair::default(), config).await,
        Engine::MySql => pair::check(&MySqlPair::default(), config).await,
    }
}

/// What a run would do, and how long it would take. Writes nothing; measures for a few seconds.
///
/// # Errors
///
/// Where a server cannot be asked.
pub async fn plan(config: &Config) -> Result<PlanReport, Failure> {
    match engine(Some(config.source()), config.target())? {
        Engine::Postgres => pair::plan(&PostgresPair::default(), config).await,
        Engine::MySql => pair::plan(&MySqlPair::default(), config).await,
    }
}

/// Where a migration stands, with a process at work on it or without.
///
/// # Errors
///
/// Where the target cannot be reached, or holds no such migration. A source that cannot be asked
/// is a warning in the report.
pub async fn status(config: &StateConfig) -> Result<StatusReport, Failure> {
    match engine(config.source(), config.target())? {
        Engine::Postgres => pair::status(&PostgresPair::default(), config).await,
        Engine::MySql => pair::status(&MySqlPair::default(), config).await,
    }
}

/// Holds a snapshot, as ordered on standard input.
///
/// # Errors
///
/// Where the order cannot be read or answered.
pub async fn hold_snapshot() -> Result<(), Failure> {
    holder::hold().await
}

/// What stops a migration as a whole.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MigrationError {
    /// Source and target speak different languages.
    #[error("the source is {source_engine}, the target {target_engine}")]
    EnginesDiffer {
        /// The source's.
        source_engine: Engine,
        /// The target's.
        target_engine: Engine,
    },
    /// A Postgres snapshot is to be taken without a lock, as it always is.
    #[error("--lock none is for MySQL: a Postgres snapshot is exact without any lock")]
    NothingToLock,
    /// The state went away while it was in use.
    #[error("the migration's state disappeared from the target")]
    Vanished,
    /// The source is another cluster or database.
    #[error("the migration began with {known}, but the source is {found}")]
    OtherSource {
        /// As stored.
        known: String,
        /// As found.
        found: String,
    },
    /// The source is on another timeline.
    #[error("the migration began on timeline {known}, but the source is on timeline {found}")]
    OtherTimeline {
        /// As stored.
        known: String,
        /// As found.
        found: String,
    },
    /// The selection is another one.
    #[error("the selection of tables differs from the one that the migration began with")]
    SettingsChanged,
    /// A preflight check found what would fail.
    #[error("{}: {}{}", finding.subject, finding.evidence, others(*all))]
    Blocked {
        /// The first of what it found.
        finding: Box<Finding>,
        /// How many there are that block.
        all: usize,
    },
    /// The source keeps too much log.
    #[error("the source retains {retained} bytes of log for this migration, the limit is {limit}")]
    RetainedLog {
        /// Bytes retained.
        retained: u64,
        /// The operator's limit.
        limit: u64,
    },
    /// The tables changed between the snapshot and the look at them.
    #[error("a table was altered while dunlin read how the tables of its snapshot are made")]
    Redefined,
    /// The log reader ended without an error.
    #[error("the source ended the log stream")]
    LogEnded,
    /// The ledger's brackets do not fit its tables.
    #[error(
        "the ledger holds chunks of one table from several snapshots that cannot be told apart"
    )]
    LedgerMixed,
    /// A table was copied again and again, and what changed while its snapshot was taken could never be
    /// told from its copy.
    #[error(
        "copy table {table}: {times} times it changed while its snapshot was taken in a way that cannot \
         be told from its copy"
    )]
    Unsettled {
        /// Its qualified name.
        table: String,
        /// How often that was seen, in a row.
        times: u32,
    },
}

fn others(all: usize) -> String {
    match all.saturating_sub(1) {
        0 => String::new(),
        1 => " (and one more finding that blocks)".to_owned(),
        more => format!(" (and {more} more findings that block)"),
    }
}

fn remedy(finding: &Finding) -> String {
    let parts = [finding.fix_sql.as_deref(), finding.hint.as_deref()];
    let parts: Vec<&str> = parts.into_iter().flatten().collect();
    format!("{}; `dunlin check` shows all that is in the way", parts.join("; "))
}

impl Fault for MigrationError {
    fn disposition(&self) -> Disposition {
        match self {
            MigrationError::EnginesDiffer { .. } => Halt::with(
                Code::ConfigInvalid,
                "name two servers of one engine: a database moves from Postgres to Postgres, or \
                 between MySQL and MariaDB servers",
            ),
            MigrationError::NothingToLock => {
                Halt::with(Code::ConfigInvalid, "leave --lock out; no lock will be taken")
            }
            MigrationError::Vanished => Halt::with(
                Code::MigrationMissing,
                "begin anew: `dunlin complete` clears what is left, then `dunlin run`",
            ),
            MigrationError::OtherSource { .. } => Halt::with(
                Code::SourceIdentity,
                "point --source at the database that the migration began with; for another source \
                 use another --name, or end this migration first: `dunlin complete` with the \
                 former --source (where that is gone for good, on the target: DELETE FROM \
                 dunlin.migration WHERE name = …)",
            ),
            MigrationError::OtherTimeline { .. } => Halt::with(
                Code::SourceTimeline,
                "the source was promoted or restored at a point before what the target holds, or \
                 its history is gone, so that its log may have diverged: begin anew with `dunlin \
                 complete`, then `dunlin run --truncate-target '*'`",
            ),
            MigrationError::SettingsChanged => Halt::with(
                Code::SettingsChanged,
                "use the same include and exclude patterns and the same --partitions as before, or \
                 another --name for another selection",
            ),
            MigrationError::Blocked { finding, .. } => {
                Halt::with(finding.code().unwrap_or(Code::StatementFailed), remedy(finding))
            }
            MigrationError::RetainedLog { .. } => Halt::with(
                Code::RetainedWal,
                "raise --retained-wal-halt and run the same command again, or give the migration \
                 up with `dunlin complete`, which frees the log",
            ),
            MigrationError::LogEnded | MigrationError::Redefined => Disposition::Retry,
            MigrationError::Unsettled { .. } => Halt::with(
                Code::CopyUnsettled,
                "run the same command again in a quieter hour; or leave --lock none out, with an account \
                 that may lock tables for some milliseconds: what is copied by now is kept",
            ),
            MigrationError::LedgerMixed => Halt::with(
                Code::StateUnreadable,
                "begin anew: `dunlin complete`, then `dunlin run --truncate-target '*'`",
            ),
        }
    }
}
