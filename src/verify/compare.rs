//! Compares units: both sides at once, then the rows of those buckets that differ.
//!
//! In: units from the queue. Out: proofs, or the keys of rows that only one side was seen to hold just
//! so; what became of these is `settle`'s. What is held in memory is digests, and of a unit that
//! differs the hashes and keys of so many rows at a time.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, PoisonError};

use super::digest::Buckets;
use super::rows::{Key, Lines, hash};
use super::settle::wait;
use super::suspect::{Standing, Suspect};
use super::{Compared, Shared, VerifyError};
use crate::model::verification::{Proof, Unit, Verdict};
use crate::model::{Failure, Table};
use crate::observe::failpoint;
use crate::source::{ChunkRows, Lull, PresentReader, Scope};
use crate::target::{Proofs, Target};

/// Rows whose hashes and keys one worker holds at once, about.
const MOST_HELD: u64 = 100_000;

/// Rows of a unit that are looked at one by one; where more differ, that is said.
const MOST_SUSPECTS: usize = 5_000;

/// A unit of which too many rows differed for being on their way is compared again, so often.
const ATTEMPTS: u32 = 10;

/// What became of the rows of a unit that differed at first.
enum Found {
    /// All are equal.
    Equal,
    /// Some are not.
    Unequal,
    /// Those that were looked at are equal, and there were more.
    Again,
}

/// Compares one unit after another, over a connection to either side.
pub(super) struct Worker<S, T, R> {
    pub(super) shared: Arc<Shared<S, T>>,
    pub(super) source: R,
    pub(super) target: R,
}

/// The rows of a unit on one side, reduced.
struct Reduced {
    buckets: Buckets,
    bytes: u64,
}

impl<S: Lull, T: Target + Proofs, R: PresentReader> Worker<S, T, R> {
    pub(super) fn new(shared: Arc<Shared<S, T>>, (source, target): (R, R)) -> Self {
        Worker { shared, source, target }
    }

    /// Compares units until none is left, or the operator wants an end.
    pub(super) async fn work(mut self) -> Result<(), Failure> {
        let shared = Arc::clone(&self.shared);
        while !*shared.stop.borrow() {
            let next = shared.queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            let Some(unit) = next else { break };
            let compared = shared.tables.get(&unit.table);
            assert!(compared.is_some(), "only units of tables that are compared are queued");
            let Some(compared) = compared else { break };
            self.compare(&unit, compared).await?;
            shared.progress.chunk_done(compared.place);
        }
        Ok(())
    }

    async fn compare(&mut self, unit: &Unit, compared: &Compared) -> Result<(), Failure> {
        for _ in 0..ATTEMPTS {
            if self.attempt(unit, compared).await?.is_some() {
                return Ok(());
            }
            tracing::info!(table = %compared.table.name, "much of it just changed: once more");
        }
        let note = "more of its rows change at once than can be looked at one by one";
        self.note(&compared.table, Verdict::Unsettled, note);
        Ok(())
    }

    /// None where too much of it changed meanwhile to tell.
    async fn attempt(&mut self, unit: &Unit, compared: &Compared) -> Result<Option<()>, Failure> {
        let table = &compared.table;
        let mut read = self.reduce(unit, compared).await?;
        if read.0.is_none() || read.1.is_none() {
            // It may be on its way.
            let position = self.shared.source.position().await?;
            wait(&self.shared, &position).await?;
            read = self.reduce(unit, compared).await?;
        }
        let (source, target) = match read {
            (Some(source), Some(target)) => (source, target),
            (Some(_), None) => {
                let note = "the table, or a column of it, is not on the target";
                self.note(table, Verdict::Different, note);
                return Ok(Some(()));
            }
            (None, _) => {
                let note = "the table, or a column of it, is not on the source any more; verify \
                            again once the run has taken note of that";
                self.note(table, Verdict::Unsettled, note);
                return Ok(Some(()));
            }
        };
        let position = self.shared.source.position().await?;
        let digest = source.buckets.total();
        match self.examine(unit, compared, &source, &target).await? {
            Found::Equal => {}
            Found::Unequal => return Ok(Some(())),
            Found::Again => return Ok(None),
        }
        let proof = Proof {
            plan: self.shared.plan,
            unit: unit.number,
            digest,
            bytes: source.bytes,
            position,
        };
        self.shared.state.record(&proof).await?;
        self.findings(|findings| findings.proven(table.id, &proof));
        let rest = source.bytes % SHOWN_EVERY;
        self.shared.progress.table_rows(compared.place, digest.rows, rest);
        failpoint::reached("unit-proven");
        tracing::debug!(table = %table.name, unit = unit.number, rows = digest.rows, "equal");
        Ok(Some(()))
    }

    fn note(&self, table: &Table, verdict: Verdict, note: &str) {
        self.findings(|findings| findings.note(table.id, verdict, note));
    }

    pub(super) fn findings(&self, act: impl FnOnce(&mut super::Findings)) {
        act(&mut self.shared.findings.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Reads the unit on both sides at once.
    async fn reduce(
        &mut self,
        unit: &Unit,
        compared: &Compared,
    ) -> Result<(Option<Reduced>, Option<Reduced>), Failure> {
        let table = &compared.table;
        let estimated = if unit.from.is_none() && unit.until.is_none() {
            table.estimated_rows
        } else {
            let share = unit.bytes as f64 / table.bytes.max(1) as f64;
            (table.estimated_rows as f64 * share) as u64
        };
        let buckets = Buckets::for_rows(estimated);
        let Worker { shared, source, target } = self;
        let shown = |bytes| shared.progress.table_rows(compared.place, 0, bytes);
        tokio::try_join!(
            reduce(source, (table, scope(unit)), (shared, buckets.emptied()), shown),
            reduce(target, (table, scope(unit)), (shared, buckets), |_| {}),
        )
    }

    /// Looks at the rows of the buckets that differ.
    async fn examine(
        &mut self,
        unit: &Unit,
        compared: &Compared,
        source: &Reduced,
        target: &Reduced,
    ) -> Result<Found, Failure> {
        let mut unequal = false;
        let mut room = MOST_SUSPECTS;
        for group in source.buckets.differing(&target.buckets, MOST_HELD) {
            let wanted: BTreeSet<usize> = group.into_iter().collect();
            let wanted = |hash| wanted.contains(&source.buckets.place(hash));
            let keys = self.unmatched(unit, compared, wanted).await?;
            let too_many = keys.len() > room;
            let suspects: Vec<Suspect> = keys.into_iter().take(room).map(Suspect::new).collect();
            room -= suspects.len();
            for suspect in self.settle(compared, suspects).await? {
                if suspect.standing != Standing::Equal {
                    unequal = true;
                    self.findings(|findings| {
                        findings.suspect(&compared.table, &compared.keying, &suspect);
                    });
                }
            }
            if too_many && unequal {
                self.findings(|findings| findings.there_are_more(unit.table));
            }
            if too_many {
                return Ok(if unequal { Found::Unequal } else { Found::Again });
            }
        }
        Ok(if unequal { Found::Unequal } else { Found::Equal })
    }

    /// The keys of rows in wanted buckets that are not on both sides just so.
    async fn unmatched(
        &mut self,
        unit: &Unit,
        compared: &Compared,
        wanted: impl Fn(u128) -> bool,
    ) -> Result<BTreeSet<Key>, Failure> {
        let Compared { table, keying, .. } = compared;
        let mut held: HashMap<u128, (i64, Key)> = HashMap::new();
        let Worker { shared, source, target } = self;
        each_row(source, (table, scope(unit)), shared, |line| {
            let hash = hash(line);
            if wanted(hash) {
                held.entry(hash).or_insert_with(|| (0, keying.key(line, hash))).0 += 1;
            }
        })
        .await?;
        let position = shared.source.position().await?;
        wait(shared, &position).await?;
        each_row(target, (table, scope(unit)), shared, |line| {
            let hash = hash(line);
            if wanted(hash) {
                held.entry(hash).or_insert_with(|| (0, keying.key(line, hash))).0 -= 1;
            }
        })
        .await?;
        let unmatched = held.into_values().filter(|(count, _)| *count != 0);
        Ok(unmatched.map(|(_, key)| key).collect())
    }
}

fn scope(unit: &Unit) -> Scope<'_> {
    Scope::Range { from: unit.from.as_ref(), until: unit.until.as_ref() }
}

/// Reads rows and reduces them. None where the table, or a column of it, is not there.
async fn reduce<S, T, R: PresentReader>(
    reader: &mut R,
    what: (&Table, Scope<'_>),
    (shared, mut buckets): (&Shared<S, T>, Buckets),
    shown: impl Fn(u64),
) -> Result<Option<Reduced>, Failure> {
    let mut bytes = 0;
    let there = each_row(reader, what, shared, |line| {
        buckets.add(hash(line));
        bytes += line.len() as u64 + 1;
        if bytes % SHOWN_EVERY < line.len() as u64 + 1 {
            shown(SHOWN_EVERY);
        }
    })
    .await?;
    Ok(there.then_some(Reduced { buckets, bytes }))
}

/// Progress is shown each time that so many more bytes were read.
const SHOWN_EVERY: u64 = 1 << 20;

/// Reads rows, and gives the line of each. Returns whether the table, with all its columns, is there.
pub(super) async fn each_row<S, T, R: PresentReader>(
    reader: &mut R,
    (table, scope): (&Table, Scope<'_>),
    shared: &Shared<S, T>,
    mut each: impl FnMut(&[u8]),
) -> Result<bool, Failure> {
    let Some(mut rows) = reader.read(table, scope).await? else { return Ok(false) };
    let mut lines = Lines::default();
    let mut count = 0;
    while let Some(buffer) = rows.next().await? {
        shared.pace.pass(buffer.len()).await;
        lines.feed(&buffer, |line| {
            count += 1;
            each(line);
        });
    }
    if !lines.are_whole() || count != rows.rows() {
        return Err(VerifyError::Torn { table: table.name.to_string() }.into());
    }
    Ok(true)
}
