//! Compares units: both sides at once, then the rows of those buckets that differ.
//!
//! In: units from the queue. Out: proofs, or the keys of rows that only one side was seen to hold just
//! so; what became of these is `settle`'s. What is held in memory is digests, and of a unit that
//! differs the hashes and keys of so many rows at a time.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, PoisonError};

use super::canonical::Forms;
use super::digest::Buckets;
use super::mend::Repairs;
use super::pace::{Pace, give_way};
use super::report::seconds_now;
use super::rows::{Key, Lines, hash};
use super::settle::wait;
use super::suspect::{Standing, Suspect};
use super::{Compared, Shared, VerifyError};
use crate::model::verification::{Proof, Unit, Verdict};
use crate::model::{Failure, Position, Table};
use crate::observe::failpoint;
use crate::source::{ChunkRows, Lull, PresentReader, Scope};
use crate::target::{Mend, Proofs, Target};

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
    /// These are not.
    Unequal {
        /// Those that were looked at.
        rows: Vec<Suspect>,
        /// There are more.
        more: bool,
    },
    /// Those that were looked at are equal, and there were more.
    Again,
}

/// Compares one unit after another, over a connection to either side.
pub(super) struct Worker<S, T, R> {
    pub(super) shared: Arc<Shared<S, T>>,
    pub(super) source: R,
    pub(super) target: R,
}

/// Rows of a table, in the forms in which they are compared.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted<'a> {
    pub(super) table: &'a Table,
    pub(super) forms: &'a Forms,
    pub(super) scope: Scope<'a>,
}

/// The rows of a unit on one side, reduced.
struct Reduced {
    buckets: Buckets,
    bytes: u64,
}

impl<S: Lull, T: Target + Proofs + Mend, R: PresentReader> Worker<S, T, R> {
    pub(super) fn new(shared: Arc<Shared<S, T>>, (source, target): (R, R)) -> Self {
        Worker { shared, source, target }
    }

    /// Compares units until none is left, or the operator wants an end.
    pub(super) async fn work(mut self) -> Result<(), Failure> {
        let shared = Arc::clone(&self.shared);
        loop {
            give_way(&shared.source, shared.most_at_work, &shared.stop).await?;
            if *shared.stop.borrow() {
                break;
            }
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
        let mut repairs = Repairs::default();
        let mut attempts = 0;
        let (equal, rows, more) = loop {
            let (rows, more) = match self.attempt(unit, compared).await? {
                Found::Equal => break (true, Vec::new(), false),
                Found::Unequal { rows, more } => (rows, more),
                Found::Again if attempts < ATTEMPTS => {
                    attempts += 1;
                    let table = &compared.table.name;
                    tracing::info!(%table, "much of it just changed: once more");
                    continue;
                }
                Found::Again => {
                    let note = "more of its rows change at once than can be looked at one by one";
                    self.note(&compared.table, Verdict::Unsettled, note);
                    break (false, Vec::new(), false);
                }
            };
            let found = rows.len();
            let left = match self.shared.repair {
                true => self.repair(compared, rows, &mut repairs).await?,
                false => rows,
            };
            // What was put right is proven by the next look.
            if left.len() == found {
                break (false, left, more);
            }
        };
        self.findings(|findings| {
            let (table, keying) = (&compared.whole, &compared.keying);
            for row in &rows {
                findings.suspect(table, keying, row);
            }
            if more {
                findings.there_are_more(unit.table);
            }
            let (repaired, shown) = repairs.but(&rows);
            findings.repaired(table, keying, repaired, shown);
        });
        if equal { Ok(()) } else { self.shared.state.deny(unit.table).await }
    }

    async fn attempt(&mut self, unit: &Unit, compared: &Compared) -> Result<Found, Failure> {
        let table = &compared.table;
        let proven_at_s = seconds_now();
        let position = applied(&self.shared).await?;
        let mut read = self.reduce(unit, compared).await?;
        if read.0.is_none() || read.1.is_none() {
            // It may be on its way.
            let end = self.shared.source.position().await?;
            wait(&self.shared, &end).await?;
            read = self.reduce(unit, compared).await?;
        }
        let (source, target) = match read {
            (Some(source), Some(target)) => (source, target),
            (Some(_), None) => {
                let note = "the table, or a column of it, is not on the target";
                self.note(table, Verdict::Different, note);
                return Ok(Found::Unequal { rows: Vec::new(), more: false });
            }
            (None, _) => {
                let note = "the table, or a column of it, is not on the source any more; verify \
                            again once the run has taken note of that";
                self.note(table, Verdict::Unsettled, note);
                return Ok(Found::Unequal { rows: Vec::new(), more: false });
            }
        };
        let digest = source.buckets.total();
        match self.examine(unit, compared, &source, &target).await? {
            Found::Equal => {}
            other => return Ok(other),
        }
        let proof = Proof {
            plan: self.shared.plan,
            unit: unit.number,
            digest,
            bytes: source.bytes,
            position,
            proven_at_s,
        };
        self.shared.state.record(&proof).await?;
        self.findings(|findings| findings.proven(table.id, &proof));
        let rest = source.bytes % SHOWN_EVERY;
        self.shared.progress.table_rows(compared.place, digest.rows, rest);
        failpoint::reached("unit-proven");
        tracing::debug!(table = %table.name, unit = unit.number, rows = digest.rows, "equal");
        Ok(Found::Equal)
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
        let table = &compared.whole;
        let estimated = if unit.from.is_none() && unit.until.is_none() {
            table.estimated_rows
        } else {
            let share = unit.bytes as f64 / table.bytes.max(1) as f64;
            (table.estimated_rows as f64 * share) as u64
        };
        let buckets = Buckets::for_rows(estimated);
        let Worker { shared, source, target } = self;
        compared.learn_forms((&mut *source, &mut *target)).await?;
        let shown = |bytes| shared.progress.table_rows(compared.place, 0, bytes);
        tokio::try_join!(
            reduce(source, compared.rows(scope(unit)), (shared, buckets.emptied()), shown),
            reduce(target, compared.rows(scope(unit)), (shared, buckets), |_| {}),
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
        let mut unequal = Vec::new();
        let mut room = MOST_SUSPECTS;
        for group in source.buckets.differing(&target.buckets, MOST_HELD) {
            let wanted: BTreeSet<usize> = group.into_iter().collect();
            let wanted = |hash| wanted.contains(&source.buckets.place(hash));
            let keys = self.unmatched(unit, compared, wanted).await?;
            let too_many = keys.len() > room;
            let suspects: Vec<Suspect> = keys.into_iter().take(room).map(Suspect::new).collect();
            room -= suspects.len();
            let settled = self.settle(compared, suspects).await?.into_iter();
            unequal.extend(settled.filter(|suspect| suspect.standing != Standing::Equal));
            if too_many && unequal.is_empty() {
                return Ok(Found::Again);
            }
            if too_many {
                return Ok(Found::Unequal { rows: unequal, more: true });
            }
        }
        Ok(match unequal.is_empty() {
            true => Found::Equal,
            false => Found::Unequal { rows: unequal, more: false },
        })
    }

    /// The keys of rows in wanted buckets that are not on both sides just so.
    async fn unmatched(
        &mut self,
        unit: &Unit,
        compared: &Compared,
        wanted: impl Fn(u128) -> bool,
    ) -> Result<BTreeSet<Key>, Failure> {
        let keying = &compared.keying;
        let mut held: HashMap<u128, (i64, Key)> = HashMap::new();
        let Worker { shared, source, target } = self;
        each_row(source, compared.rows(scope(unit)), &shared.pace, |line| {
            let hash = hash(line);
            if wanted(hash) {
                held.entry(hash).or_insert_with(|| (0, keying.key(line, hash))).0 += 1;
            }
        })
        .await?;
        let position = shared.source.position().await?;
        wait(shared, &position).await?;
        each_row(target, compared.rows(scope(unit)), &shared.pace, |line| {
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

/// How far the target is.
async fn applied<S: Lull, T: Proofs>(shared: &Shared<S, T>) -> Result<Position, Failure> {
    if let Some(position) = shared.state.applied().await?.position {
        return Ok(position);
    }
    // Tables are being copied again.
    wait(shared, &shared.source.position().await?).await?;
    Ok(shared.state.applied().await?.position.ok_or(VerifyError::NotCopied)?)
}

fn scope(unit: &Unit) -> Scope<'_> {
    Scope::Range { from: unit.from.as_ref(), until: unit.until.as_ref() }
}

/// Reads rows and reduces them. None where the table, or a column of it, is not there.
async fn reduce<S, T, R: PresentReader>(
    reader: &mut R,
    wanted: Wanted<'_>,
    (shared, mut buckets): (&Shared<S, T>, Buckets),
    shown: impl Fn(u64),
) -> Result<Option<Reduced>, Failure> {
    let mut bytes = 0;
    let there = each_row(reader, wanted, &shared.pace, |line| {
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

/// Reads rows, and gives the line of each in its form. Returns whether the table, with all its columns,
/// is there. Told to end, it does so in the middle of an answer, after which the reader is not to be used
/// again.
pub(super) async fn each_row<R: PresentReader>(
    reader: &mut R,
    Wanted { table, forms, scope }: Wanted<'_>,
    pace: &Pace,
    mut each: impl FnMut(&[u8]),
) -> Result<bool, Failure> {
    let Some(mut rows) = reader.read(table, scope).await? else { return Ok(false) };
    let (mut lines, mut writer) = (Lines::default(), forms.writer());
    let mut count = 0;
    while let Some(buffer) = rows.next().await? {
        pace.pass(buffer.len()).await;
        if pace.is_over() {
            // The answer is given up, and its connection with the worker.
            return Err(VerifyError::Stopped.into());
        }
        lines.feed(&buffer, |line| {
            count += 1;
            each(writer.line(line));
        });
    }
    if !lines.are_whole() || count != rows.rows() {
        return Err(VerifyError::Torn { table: table.name.to_string() }.into());
    }
    Ok(true)
}
