//! `verify`: both sides of a migration compared, with a run at work or without.
//!
//! In: the settings, and what is to be compared. Out: the report. It makes a reader of the source's engine
//! for either server; the comparison itself is the room of that name. What fails for a while is tried
//! again, and goes on with what is not proven yet.

use tokio::sync::watch;

use super::pair::Pair;
use super::retry;
use super::run::compare;
use crate::config::Config;
use crate::model::Failure;
use crate::model::selection::Selection;
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
    /// Whether the report has the values that differ.
    pub show_values: bool,
}

/// Compares both sides.
pub(super) async fn verify<P: Pair>(
    pair: &P,
    config: &Config,
    wanted: &VerifyOptions,
    progress: &Progress,
    stop: watch::Receiver<bool>,
) -> Result<VerificationReport, Failure> {
    let options = Options {
        name: config.name().to_owned(),
        tables: wanted.tables.clone(),
        sample_percent: wanted.sample_percent,
        seed: wanted.seed,
        chunk_bytes: config.chunk_size(),
        workers: config.workers(),
        bytes_per_second: wanted.bytes_per_second,
        show_values: wanted.show_values,
    };
    let attempt = |_moved: watch::Sender<u64>| {
        let (options, progress, stop) = (options.clone(), progress.clone(), stop.clone());
        async move {
            let (source, state) = (pair.source(config).await?, pair.target(config).await?);
            if let Some(migration) = state.load().await? {
                compare(&migration.source, &source.identify().await?)?;
            }
            let sides = pair.sides(config)?;
            Box::pin(Verification { source, sides, state, options, stop, progress }.go()).await
        }
    };
    let report = retry::persist(config.retry_for(), stop.clone(), attempt).await?;
    Ok(report.ok_or(VerifyError::Stopped)?)
}
