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
    let mut failing_since = None;
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
            (attempts, failing_since) = (0, None);
            pauses = backoff();
        }
        attempts += 1;
        // An attempt that went well for long does not count: the clock starts when it fails.
        if failing_since.get_or_insert_with(Instant::now).elapsed() >= patience {
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[derive(Debug, thiserror::Error)]
    #[error("the attempt failed")]
    struct Failed(bool);

    impl Fault for Failed {
        fn disposition(&self) -> Disposition {
            if self.0 { Disposition::Retry } else { Halt::with(Code::WalLevel, "") }
        }
    }

    const LONG: Duration = Duration::from_secs(3600);

    /// The outcome, and the number of attempts it took.
    fn outcome(
        patience: Duration,
        stopped: bool,
        attempt: impl Fn(u32, watch::Sender<u64>) -> Result<(), Failed>,
    ) -> (Result<Option<()>, Failure>, u32) {
        let attempts = Cell::new(0);
        let (_stop, stop_seen) = watch::channel(stopped);
        let persisted = persist(patience, stop_seen, |moved| {
            attempts.set(attempts.get() + 1);
            let result = attempt(attempts.get(), moved).map_err(Failure::from);
            std::future::ready(result)
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        (runtime.block_on(persisted), attempts.get())
    }

    #[test]
    fn what_passes_by_itself_is_tried_again() {
        let (end, attempts) =
            outcome(LONG, false, |nth, _| if nth < 2 { Err(Failed(true)) } else { Ok(()) });
        assert!(matches!(end, Ok(Some(()))));
        assert_eq!(attempts, 2);
    }

    #[test]
    fn a_halt_is_never_repeated() {
        let (end, attempts) = outcome(LONG, false, |_, _| Err(Failed(false)));
        assert_eq!((end.unwrap_err().code(), attempts), (Some(Code::WalLevel), 1));
    }

    #[test]
    fn a_stop_ends_the_pause() {
        let (end, attempts) = outcome(LONG, true, |_, _| Err(Failed(true)));
        assert!(matches!(end, Ok(None)));
        assert_eq!(attempts, 1);
    }

    #[test]
    fn patience_is_counted_from_the_first_failure_and_again_after_progress() {
        let patience = Duration::from_millis(100);
        let (end, attempts) = outcome(patience, false, |nth, moved| {
            if nth == 2 {
                moved.send_replace(1);
            }
            Err(Failed(true))
        });
        let error = end.unwrap_err();
        assert_eq!((error.code(), attempts), (Some(Code::RetriesExhausted), 3));
        assert_eq!(error.error().source().unwrap().to_string(), "the attempt failed");
    }
}
