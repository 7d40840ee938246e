//! How a run makes way for a cutover, and comes back where that comes to nothing.
//!
//! A cutover reads the log itself, so that one process knows all there is to know while writers
//! wait. It asks the run to let go of the migration (the state says so) and takes over. The run
//! looks at the state until the cutover is done, which ends the run too; or until nobody holds the
//! migration any more, in which case it goes on from the checkpoint like after any other stop. It
//! decides nothing about data: whoever has the newest epoch does.

use std::time::{Duration, Instant};

use super::run::{Besides, Ended, Run};
use crate::cutover::CutoverError;
use crate::model::{CutoverStage, Failure, Phase};
use crate::source::Source;
use crate::target::{Standing, Target};

/// How often the state is looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// How long a cutover may take to claim what it asked for.
const CLAIM_PATIENCE: Duration = Duration::from_secs(10);

/// How long a cutover may have the stream before it is said how to end one whose machine is gone.
const FIRST_WORD: Duration = Duration::from_secs(60);

/// How often that is said from then on.
const WORD_INTERVAL: Duration = Duration::from_secs(300);

/// The stage of a cutover of which the process ended.
fn left_at(standing: &Standing) -> Option<CutoverStage> {
    let record = standing.migration.cutover.as_ref()?;
    (!standing.running).then_some(record.stage)
}

/// Whether the process that is at work is a cutover.
fn is_cutting_over(standing: &Standing) -> bool {
    let record = standing.migration.cutover.as_ref();
    standing.running && record.is_some_and(|record| record.epoch == standing.epoch)
}

/// For how long a cutover has had the stream, and when that is said.
#[derive(Debug)]
struct Wait {
    since: Instant,
    next: Instant,
}

impl Wait {
    fn since(now: Instant) -> Self {
        Wait { since: now, next: now + FIRST_WORD }
    }

    /// In whole seconds.
    fn lasted(&self, now: Instant) -> Duration {
        Duration::from_secs((now - self.since).as_secs())
    }

    fn is_to_be_said(&mut self, now: Instant) -> bool {
        let is_due = now >= self.next;
        if is_due {
            self.next = now + WORD_INTERVAL;
        }
        is_due
    }
}

impl<S: Source, T: Target, B: Besides<S, T>> Run<S, T, B> {
    /// Waits while a cutover is at work, or about to be where one `asked` for the stream. Returns
    /// how the run ends, where it does not go on.
    ///
    /// # Errors
    ///
    /// Where nobody can know which side is written to.
    pub(super) async fn stand_by(&self, asked: bool) -> Result<Option<Ended>, Failure> {
        if self.handles.reins.is_some() || self.target.load().await?.is_none() {
            return Ok(None);
        }
        let (since, mut wait) = (Instant::now(), None::<Wait>);
        let mut ticks = tokio::time::interval(LOOK_INTERVAL);
        let mut stop = self.handles.stop.clone();
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                _ = stop.wait_for(|stop| *stop) => return Ok(Some(Ended::Stopped)),
            }
            let standing = self.target.status().await?;
            if standing.migration.phase == Phase::CutOver {
                return Ok(Some(Ended::CutOver));
            }
            if left_at(&standing) == Some(CutoverStage::Switching) {
                return Err(CutoverError::Undecided.into());
            }
            if is_cutting_over(&standing) {
                if wait.is_none() {
                    tracing::info!("a cutover has the stream: standing by");
                }
                let wait = wait.get_or_insert_with(|| Wait::since(Instant::now()));
                if wait.is_to_be_said(Instant::now()) {
                    let ends_it = standing.ends_it.as_deref().unwrap_or_default();
                    tracing::warn!(
                        "a cutover has had the stream for {}; where its process is frozen or its machine \
                         gone, end its session on the target: {ends_it}; then dunlin cutover --abort",
                        humantime::format_duration(wait.lasted(Instant::now()))
                    );
                }
                continue;
            }
            if wait.is_some() || !asked || since.elapsed() >= CLAIM_PATIENCE {
                self.resume(&standing, wait.is_some());
                return Ok(None);
            }
        }
    }

    fn resume(&self, standing: &Standing, seen: bool) {
        if seen {
            tracing::info!("the cutover came to nothing: going on");
        }
        let record = standing.migration.cutover.as_ref();
        if record.is_some_and(|record| record.way_back.is_some()) {
            tracing::warn!(
                "a cutover was killed, and the target keeps log for the way back: dunlin cutover \
                 --abort frees it"
            );
        }
        let shut = record.is_some_and(|record| record.left.is_some());
        if left_at(standing) == Some(CutoverStage::Sealing) || (shut && !standing.running) {
            tracing::warn!(
                "a cutover was killed, and the source may still refuse writes: dunlin cutover \
                 --abort lets writers in"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cutover_that_does_not_end_is_spoken_of_now_and_then() {
        let begun = Instant::now();
        let mut wait = Wait::since(begun);
        let said: Vec<u64> =
            (0..1000).filter(|s| wait.is_to_be_said(begun + Duration::from_secs(*s))).collect();
        assert_eq!(said, [60, 360, 660, 960]);
        assert_eq!(wait.lasted(begun + Duration::from_millis(61_700)).as_secs(), 61);
    }
}
