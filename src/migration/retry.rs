//! What is tried again, how often, and when it is given up.
//!
//! The only place that retries. An attempt that fails with a disposition of Retry is begun again
//! from the stored state after a growing, jittered pause; progress (a checkpoint or a ledger that
//! moved) resets the clock. An attempt that halts is never repeated.

use std::future::Future;
use std::time::{Duration, Instant};

use backon::{BackoffBuilder, ExponentialBuilder};
use tokio::sync::watch;

use crate::model::{Code, Disposition, Failure, Fault, Halt};

const SHORTEST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// Every retry failed.
#[derive(Debug, thiserror::Error)]
#[error("no progress for {} in spite of {attempts} attempts", humantime::format_duration(*patience))]
pub struct Exhausted {
    attempts: u32,
    patience: Duration,
    #[source]
    last: FailureSource,
}

/// A failure as the cause of another.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct FailureSource(Failure, #[source] Option<Box<dyn std::error::Error + Send + Sync>>);

impl Fault for Exhausted {
    fn disposition(&self) -> Disposition {
        Halt::with(
            Code::RetriesExhausted,
            "mend what the causes name, then run the same command again: it goes on where it was",
        )
    }
}

/// Runs attempts until one succeeds or halts, `patience` runs out without progress, or `stop` is
/// set. `attempt` is given a flag on which it reports progress.
///
/// # Errors
///
/// The attempt's own halt, or [`Exhausted`].
pub async fn persist<O, F, A>(
    patience: Duration,
    mut stop: watch::Receiver<bool>,
    mut attempt: A,
) -> Result<Option<O>, Failure>
where
    A: FnMut(watch::Sender<u64>) -> F,
    F: Future<Output = Result<O, Failure>>,
{
    let mut pauses = backoff();
    let mut attempts = 0;
    let mut since = Instant::now();
    loop {
        let (progress, moved) = watch::channel(0);
        let failure = match attempt(progress).await {
            Ok(outcome) => return Ok(Some(outcome)),
            Err(failure) => failure,
        };
        if *failure.disposition() != Disposition::Retry {
            return Err(failure);
        }
        if *moved.borrow() > 0 {
            (attempts, since) = (0, Instant::now());
            pauses = backoff();
        }
        attempts += 1;
        if since.elapsed() >= patience {
            let causes = failure.error().source().map(|cause| cause.to_string().into());
            let last = FailureSource(failure, causes);
            return Err(Exhausted { attempts, patience, last }.into());
        }
        let pause = pauses.next().unwrap_or(LONGEST_PAUSE);
        tracing::warn!(
            error = %failure,
            cause = failure.error().source().map(tracing::field::display),
            pause = %humantime::format_duration(Duration::from_millis(pause.as_millis() as u64)),
            "will try again"
        );
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = stop.wait_for(|stop| *stop) => return Ok(None),
        }
    }
}

fn backoff() -> impl Iterator<Item = Duration> {
    ExponentialBuilder::default()
        .with_min_delay(SHORTEST_PAUSE)
        .with_max_delay(LONGEST_PAUSE)
        .with_jitter()
        .without_max_times()
        .build()
}
