//! Looks at rows again, by their keys, until each is known to be equal, different, or past knowing.
//!
//! In: suspects. Out: the same, settled. A round reads all that are open: on the source, on the target
//! once it has applied everything up to there, and on the source again; one wait serves them all, and
//! one query many of them. Rows that move are read on the source over and over during the wait, so that
//! what the target holds then is found among what the source held.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use super::compare::{Worker, each_row};
use super::rows::{Key, Seen, hash};
use super::suspect::{Standing, Suspect};
use super::{Compared, Shared, VerifyError};
use crate::model::verification::Digest;
use crate::model::{Failure, Position};
use crate::source::{Lull, PresentReader, Scope};
use crate::target::{Mend, Proofs, Target};

/// Keys in one query.
const KEYS_AT_ONCE: usize = 200;

/// Rows that move and are followed during a wait, at most.
const MOST_FOLLOWED: usize = 200;

/// Rounds do not follow each other faster. What a server that does not wait for its disk commits is
/// seen before it is in the log; by the next round it is.
const ROUND: Duration = Duration::from_millis(250);

/// How often it is looked how far the target is.
const LOOK: Duration = Duration::from_millis(50);

/// How long a run may be away before it counts as not at work.
const RUN_PATIENCE: Duration = Duration::from_secs(3);

/// How often it is said what is waited for.
const SAY: Duration = Duration::from_secs(10);

/// Whether the target has applied what was waited for.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Waited {
    Applied,
    /// It has not, and nobody is at work on it: it is this far.
    Alone(Option<Position>),
}

impl<S: Lull, T: Target + Proofs + Mend, R: PresentReader> Worker<S, T, R> {
    /// Settles suspects.
    ///
    /// # Errors
    ///
    /// [`VerifyError::Behind`] where some differ, and nobody applies the log that may tell why.
    pub(super) async fn settle(
        &mut self,
        compared: &Compared,
        mut suspects: Vec<Suspect>,
    ) -> Result<Vec<Suspect>, Failure> {
        let mut rounds = tokio::time::interval(ROUND);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut behind = None;
        while suspects.iter().any(|suspect| suspect.standing == Standing::Open) {
            if *self.shared.stop.borrow() {
                return Err(VerifyError::Stopped.into());
            }
            rounds.tick().await;
            let open = suspects.iter_mut().filter(|one| one.standing == Standing::Open);
            behind = self.round(compared, &mut open.collect::<Vec<_>>()).await?.or(behind);
        }
        let differs = suspects.iter().any(|suspect| suspect.standing != Standing::Equal);
        match behind.filter(|_| differs) {
            Some(error) => Err(error.into()),
            None => Ok(suspects),
        }
    }

    /// One observation of each. Returns what is to be said where the target could not be waited for.
    async fn round(
        &mut self,
        compared: &Compared,
        open: &mut [&mut Suspect],
    ) -> Result<Option<VerifyError>, Failure> {
        let keys: Vec<Key> = open.iter().map(|suspect| suspect.key.clone()).collect();
        let keys: Vec<&[u8]> = keys.iter().map(|key| &**key).collect();
        let shared = &self.shared;
        let mut before = look(&mut self.source, compared, &keys, shared).await?;
        for suspect in &mut *open {
            suspect.source_holds(digest(&before, &suspect.key));
        }
        let position = shared.source.position().await?;
        let waited = self.follow(compared, open, &position).await?;
        let shared = &self.shared;
        let mut target = look(&mut self.target, compared, &keys, shared).await?;
        let after = look(&mut self.source, compared, &keys, shared).await?;
        for suspect in &mut *open {
            let key = &suspect.key;
            let (before, target) = (before.remove(key), target.remove(key));
            let after = digest(&after, key);
            suspect.observe(before.unwrap_or_default(), target.unwrap_or_default(), after);
        }
        Ok(match waited {
            Waited::Applied => None,
            Waited::Alone(applied) => Some(VerifyError::Behind { position, applied }),
        })
    }

    /// Waits until the target has applied everything up to a position, and reads those rows of the
    /// source meanwhile that moved in the last round.
    async fn follow(
        &mut self,
        compared: &Compared,
        open: &mut [&mut Suspect],
        position: &Position,
    ) -> Result<Waited, Failure> {
        let mut moving: Vec<&mut &mut Suspect> =
            open.iter_mut().filter(|suspect| suspect.is_moving).take(MOST_FOLLOWED).collect();
        let keys: Vec<Key> = moving.iter().map(|suspect| suspect.key.clone()).collect();
        let keys: Vec<&[u8]> = keys.iter().map(|key| &**key).collect();
        if keys.is_empty() || !compared.keying.is_by_key() {
            return wait(&self.shared, position).await;
        }
        let Worker { shared, source, .. } = self;
        let over = AtomicBool::new(false);
        let waiting = async {
            let waited = wait(shared, position).await;
            over.store(true, Ordering::Relaxed);
            waited
        };
        // Never given up in the middle of an answer, which would leave the connection unusable.
        let following = async {
            while !over.load(Ordering::Relaxed) {
                let seen = look(source, compared, &keys, shared).await?;
                for suspect in &mut moving {
                    let digest = digest(&seen, &suspect.key);
                    suspect.source_holds(digest);
                }
            }
            Ok(())
        };
        let (waited, ()) = tokio::try_join!(waiting, following)?;
        Ok(waited)
    }
}

/// All rows with one of these keys, on one side.
async fn look<S, T, R: PresentReader>(
    reader: &mut R,
    compared: &Compared,
    keys: &[&[u8]],
    shared: &Shared<S, T>,
) -> Result<HashMap<Key, Seen>, Failure> {
    let Compared { whole: table, keying, .. } = compared;
    let wanted: HashSet<&[u8]> = keys.iter().copied().collect();
    let mut seen: HashMap<Key, Seen> = HashMap::new();
    let mut take = |line: &[u8]| {
        let hash = hash(line);
        let key = keying.key(line, hash);
        if wanted.contains(&*key) {
            seen.entry(key).or_default().add(line, hash, shared.show_values);
        }
    };
    if keying.is_by_key() && reader.finds(table, keys) {
        for keys in keys.chunks(KEYS_AT_ONCE) {
            each_row(reader, compared.rows(Scope::Keys(keys)), &shared.pace, &mut take).await?;
        }
    } else {
        let all = Scope::Range { from: None, until: None };
        each_row(reader, compared.rows(all), &shared.pace, &mut take).await?;
    }
    Ok(seen)
}

fn digest(seen: &HashMap<Key, Seen>, key: &[u8]) -> Digest {
    seen.get(key).map(|seen| seen.digest).unwrap_or_default()
}

/// What is looked at to see how far the target is.
pub(super) struct Pulse<'a, S, T> {
    source: &'a S,
    state: &'a T,
    stop: &'a watch::Receiver<bool>,
    /// No run was at work when it was looked for last.
    alone: Option<&'a AtomicBool>,
}

impl<'a, S: Lull, T: Proofs> Pulse<'a, S, T> {
    pub(super) fn new(source: &'a S, state: &'a T, stop: &'a watch::Receiver<bool>) -> Self {
        Pulse { source, state, stop, alone: None }
    }

    fn of(shared: &'a Shared<S, T>) -> Self {
        let alone = Some(&shared.alone);
        Pulse { source: &shared.source, state: &shared.state, stop: &shared.stop, alone }
    }

    /// Waits until the target has applied everything up to a position. Without a run at work nothing
    /// comes any more, unless the log up to there holds nothing for the target anyway.
    pub(super) async fn wait(&self, position: &Position) -> Result<Waited, Failure> {
        loop {
            if let Some(waited) = self.wait_within(position, SAY).await? {
                return Ok(waited);
            }
            tracing::info!(%position, "waiting until the target has applied what the source has");
        }
    }

    /// The same; None where it takes longer than `patience`.
    async fn wait_within(
        &self,
        position: &Position,
        patience: Duration,
    ) -> Result<Option<Waited>, Failure> {
        let begun = Instant::now();
        let mut alone_since = None;
        loop {
            let applied = self.state.applied().await?;
            if applied.position.as_ref().is_some_and(|applied| applied.reaches(position)) {
                return Ok(Some(Waited::Applied));
            }
            if *self.stop.borrow() {
                return Err(VerifyError::Stopped.into());
            }
            if applied.running {
                alone_since = None;
                self.is_alone(false);
            } else {
                let since = *alone_since.get_or_insert_with(Instant::now);
                let before = self.alone.is_some_and(|alone| alone.load(Ordering::Relaxed));
                if since.elapsed() >= RUN_PATIENCE || before {
                    self.is_alone(true);
                    let quiet = match &applied.position {
                        Some(applied) => self.source.is_quiet_since(applied).await?,
                        None => false,
                    };
                    let alone = || Waited::Alone(applied.position);
                    return Ok(Some(if quiet { Waited::Applied } else { alone() }));
                }
            }
            if begun.elapsed() >= patience {
                return Ok(None);
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    fn is_alone(&self, is_alone: bool) {
        if let Some(alone) = self.alone {
            alone.store(is_alone, Ordering::Relaxed);
        }
    }
}

/// Waits as [`Pulse::wait`] does.
pub(super) async fn wait<S: Lull, T: Proofs>(
    shared: &Shared<S, T>,
    position: &Position,
) -> Result<Waited, Failure> {
    Pulse::of(shared).wait(position).await
}

/// The same; None where it takes longer than `patience`.
pub(super) async fn wait_within<S: Lull, T: Proofs>(
    shared: &Shared<S, T>,
    position: &Position,
    patience: Duration,
) -> Result<Option<Waited>, Failure> {
    Pulse::of(shared).wait_within(position, patience).await
}
