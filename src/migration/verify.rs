//! `verify`: both sides of a migration compared, with a run at work or without.
//!
//! In: the settings, and what is to be compared. Out: the report. It makes a reader of the source's engine
//! for either server; the comparison itself is the room of that name. What fails for a while is tried
//! again, and goes on with what is not proven yet.

use std::time::Duration;

use tokio::sync::watch;

use super::pair::Pair;
use super::retry;
use super::run::compare;
use crate::config::Config;
use crate::cutover::Reverification;
use crate::model::Failure;
use crate::model::selection::{Patterns, Selection};
use crate::model::verification::VerificationReport;
use crate::observe::progress::Progress;
use crate::source::Source;
use crate::target::Target;
use crate::verify::{Options, Verification, VerifyError};

/// What is to be compared, and how.
#[derive(Clone, Debug)]
pub struct VerifyOptions {
    /// Which of the migration's tables.
    pub tables: Selection,
    /// How many units of a hundred; all where it is None.
    pub sample_percent: Option<f64>,
    /// What the choice of these follows from; a new one where it is None.
    pub seed: Option<u64>,
    /// Bytes of rows to read in a second, of both sides together; any number where it is None.
    pub bytes_per_second: Option<u64>,
    /// No chunk is begun while more sessions than that are at work on the source.
    pub most_at_work: Option<u64>,
    /// Whether the report has the values that differ.
    pub show_values: bool,
    /// Whether rows that differ are put right on the target.
    pub repair: bool,
    /// Whether units are left out that nothing touched since they were proven.
    pub incremental: bool,
}

/// The same in the words of the room, with the time that it may take.
fn options(config: &Config, wanted: VerifyOptions, longest: Option<Duration>) -> Options {
    Options {
        name: config.name().to_owned(),
        tables: wanted.tables,
        sample_percent: wanted.sample_percent,
        seed: wanted.seed,
        chunk_bytes: config.chunk_size(),
        workers: config.workers(),
        bytes_per_second: wanted.bytes_per_second,
        most_at_work: wanted.most_at_work,
        show_values: wanted.show_values,
        repair: wanted.repair,
        incremental: wanted.incremental,
        longest,
    }
}

/// A comparison of what was touched since the last one as a part of a cutover, for so `long` at most,
/// which may be not at all: over connections of its own, with no end but the cutover's and that of its time.
pub(super) async fn as_part<P: Pair>(
    pair: &P,
    config: &Config,
    (long, decides): (Duration, bool),
) -> Result<Option<Reverification<P::Source, P::Present, P::Target>>, Failure> {
    if long.is_zero() {
        return Ok(None);
    }
    let wanted = VerifyOptions {
        tables: Selection::new(&Patterns::default())?,
        sample_percent: None,
        seed: None,
        bytes_per_second: None,
        most_at_work: None,
        show_values: false,
        repair: false,
        incremental: true,
    };
    let (source, state) = (pair.source(config).await?, pair.target(config).await?);
    let (_, stop) = watch::channel(false);
    let verification = Verification {
        sides: P::sides(&source, &state),
        source,
        state,
        options: options(config, wanted, Some(long)),
        stop,
        progress: Progress::default(),
    };
    Ok(Some(Reverification { verification, decides }))
}

/// Compares both sides.
pub(super) async fn verify<P: Pair>(
    pair: &P,
    config: &Config,
    wanted: &VerifyOptions,
    progress: &Progress,
    stop: watch::Receiver<bool>,
) -> Result<VerificationReport, Failure> {
    let options = options(config, wanted.clone(), None);
    let attempt = |_moved: watch::Sender<u64>| {
        let (options, progress, stop) = (options.clone(), progress.clone(), stop.clone());
        async move {
            let (source, state) = (pair.source(config).await?, pair.target(config).await?);
            if let Some(migration) = state.load().await? {
                compare(&migration.source, &source.identify().await?)?;
            }
            let sides = P::sides(&source, &state);
            Box::pin(Verification { source, sides, state, options, stop, progress }.go()).await
        }
    };
    let report = retry::persist(config.retry_for(), stop.clone(), attempt).await?;
    Ok(report.ok_or(VerifyError::Stopped)?)
}
