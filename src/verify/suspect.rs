//! A row that was not the same when both sides were read, and what it turns out to be.
//!
//! In: what the source held, what the target held once it had applied everything up to there, and what
//! the source held after that. Out: whether the row is equal after all, different, or neither yet.
//! Pure. A row that is written to all the time is never taken for different: a difference counts only
//! where both sides hold still, in observation after observation, each after a wait of its own. A row
//! is equal once the target holds what the source was seen to hold in the same stretch of time; else a
//! row that changes faster than it can be looked at would never be.

use super::rows::{Key, Seen};
use crate::model::verification::Digest;

/// So many observations in a row have to say the same.
pub(super) const OBSERVATIONS: u32 = 8;

/// After so many, a row that never held still is left.
pub(super) const MOST_OBSERVATIONS: u32 = 60;

/// What the source was seen to hold is remembered so far back.
const REMEMBERED: usize = 256;

/// What is known of a row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Standing {
    /// It has to be looked at again.
    Open,
    /// Both sides hold the same.
    Equal,
    /// They do not.
    Different,
    /// It changes too often.
    Unsettled,
}

/// A row under suspicion.
#[derive(Clone, Debug)]
pub(super) struct Suspect {
    /// What it is known by.
    pub(super) key: Key,
    /// What is known of it.
    pub(super) standing: Standing,
    /// What both sides held last.
    pub(super) last: (Seen, Seen),
    /// How often in a row both sides held just that.
    streak: u32,
    observations: u32,
    /// What the source held lately.
    held: Vec<Digest>,
    /// The source held something else at the end of the last observation than at its beginning.
    pub(super) is_moving: bool,
}

impl Suspect {
    pub(super) fn new(key: Key) -> Self {
        Suspect {
            key,
            standing: Standing::Open,
            last: (Seen::default(), Seen::default()),
            streak: 0,
            observations: 0,
            held: Vec::new(),
            is_moving: false,
        }
    }

    /// What the source holds now.
    pub(super) fn source_holds(&mut self, digest: Digest) {
        if self.held.last() != Some(&digest) {
            if self.held.len() == REMEMBERED {
                self.held.remove(0);
            }
            self.held.push(digest);
        }
    }

    /// What the source held, what the target held after it had applied all that, and what the source
    /// held after that.
    pub(super) fn observe(&mut self, before: Seen, target: Seen, after: Digest) {
        self.source_holds(before.digest);
        self.source_holds(after);
        self.observations += 1;
        self.is_moving = before.digest != after;
        if self.held.contains(&target.digest) {
            self.standing = Standing::Equal;
            return;
        }
        let same = self.last.0.digest == before.digest && self.last.1.digest == target.digest;
        self.streak = match (self.is_moving, same) {
            (true, _) => 0,
            (false, true) => self.streak + 1,
            (false, false) => 1,
        };
        self.last = (before, target);
        if self.streak >= OBSERVATIONS {
            self.standing = Standing::Different;
        } else if self.observations >= MOST_OBSERVATIONS {
            self.standing = Standing::Unsettled;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(value: u8) -> Seen {
        let mut seen = Seen::default();
        if value > 0 {
            seen.add(&[value], u128::from(value), false);
        }
        seen
    }

    fn after(observations: &[(u8, u8, u8)]) -> Standing {
        let mut suspect = Suspect::new(Box::from(&b"1"[..]));
        for (before, target, after) in observations {
            if suspect.standing == Standing::Open {
                suspect.observe(seen(*before), seen(*target), seen(*after).digest);
            }
        }
        suspect.standing
    }

    #[test]
    fn a_row_that_holds_still_and_differs_is_different() {
        for (source, target) in [(1, 2), (1, 0), (0, 1)] {
            assert_eq!(after(&[(source, target, source); 8]), Standing::Different);
            assert_eq!(after(&[(source, target, source); 7]), Standing::Open);
        }
    }

    #[test]
    fn a_row_that_moves_begins_the_count_anew() {
        let mut observations = vec![(1, 9, 1); 7];
        observations.push((1, 9, 2));
        observations.extend([(2, 9, 2); 7]);
        assert_eq!(after(&observations), Standing::Open);
        observations.push((2, 9, 2));
        assert_eq!(after(&observations), Standing::Different);
        // The target moves: it is still being written to.
        let target_moves: Vec<_> = (0..20).map(|n| (1, 10 + n % 2, 1)).collect();
        assert_eq!(after(&target_moves), Standing::Open);
    }

    #[test]
    fn a_row_is_equal_once_the_target_holds_what_the_source_held() {
        assert_eq!(after(&[(1, 2, 1), (1, 1, 1)]), Standing::Equal);
        assert_eq!(after(&[(1, 1, 2)]), Standing::Equal, "what it held before");
        assert_eq!(after(&[(1, 2, 2)]), Standing::Equal, "what it held after");
        assert_eq!(after(&[(1, 9, 2), (3, 2, 4)]), Standing::Equal, "what it held in between");
        assert_eq!(after(&[(1, 0, 0)]), Standing::Equal, "it was deleted");
    }

    #[test]
    fn a_row_that_never_holds_still_is_left() {
        let moving: Vec<_> = (0..60).map(|n| (2 * n + 1, 200, 2 * n + 2)).collect();
        assert_eq!(after(&moving), Standing::Unsettled);
    }
}
