//! Puts rows right that differ, while the stream goes on.
//!
//! In: rows that were found different. Out: those that could not be put right. Nothing newer is
//! overwritten and nothing comes back that was deleted, by rule 2 of the design: rows are locked on the
//! target first; then they are read on the source; then the locks are held until the target has applied
//! everything up to the end of the source's log as it was after that.
//!
//! What the log holds of these rows up to there was applied before they were locked, since it could not
//! have been after; so it is in what was read. What was read is in the log up to there, since it is what
//! the source was seen to hold for two seconds. So it is exactly what the rows are at that position, and
//! every later change comes on top. Where the stream wants one of them meanwhile it never gets there:
//! then they are given back, and it is tried again.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use bytes::BytesMut;

use super::compare::Worker;
use super::report::MOST_NAMED;
use super::rows::{Key, Lines, fields, hash};
use super::settle::{Waited, wait, wait_within};
use super::suspect::{Standing, Suspect};
use super::{Compared, Shared, VerifyError};
use crate::model::verification::{Digest, Verdict};
use crate::model::{Failure, Position};
use crate::observe::failpoint;
use crate::source::{ChunkRows, Lull, PresentReader, Scope};
use crate::target::{Mend, Mender, Proofs, Target};

/// Rows that are locked at once.
const AT_ONCE: usize = 200;

/// How long they are, at most, once they are written.
const PATIENCE: Duration = Duration::from_secs(5);

/// What can be seen on a source is in its log after this long, even where commits do not wait for the
/// disk (Postgres: three times `wal_writer_delay`, which is 200 ms unless it is set otherwise).
const LOGGED_WITHIN: Duration = Duration::from_secs(1);

/// How often it is tried.
const ATTEMPTS: u32 = 5;

/// A table whose rows cannot be found by their keys is replaced as a whole, up to this size in bytes.
const MOST_REPLACED: u64 = 1 << 30;

/// Rows are passed on from this size, in bytes.
const BUFFER_BYTES: usize = 256 << 10;

/// The rows of a unit that were put right, or that it was tried with.
#[derive(Debug, Default)]
pub(super) struct Repairs {
    tried: HashSet<Key>,
    /// Some of those that were put right.
    shown: Vec<Suspect>,
}

impl Repairs {
    /// How many were put right, and some of them, where these are left that differ.
    pub(super) fn but(&self, left: &[Suspect]) -> (u64, Vec<&Suspect>) {
        let left: HashSet<&Key> = left.iter().map(|suspect| &suspect.key).collect();
        let repaired = self.tried.iter().filter(|key| !left.contains(key)).count() as u64;
        (repaired, self.shown.iter().filter(|suspect| !left.contains(&suspect.key)).collect())
    }
}

impl<S: Lull, T: Target + Proofs + Mend, R: PresentReader> Worker<S, T, R> {
    /// Puts rows right that differ. Returns those that are as they were, and those that differ although
    /// they were put right.
    ///
    /// # Errors
    ///
    /// Where a server fails; and where the target's own clients may write to it by now.
    pub(super) async fn repair(
        &mut self,
        compared: &Compared,
        suspects: Vec<Suspect>,
        repairs: &mut Repairs,
    ) -> Result<Vec<Suspect>, Failure> {
        let is_open = |suspect: &Suspect| {
            suspect.standing == Standing::Different && !repairs.tried.contains(&suspect.key)
        };
        let (open, mut left): (Vec<_>, Vec<_>) = suspects.into_iter().partition(is_open);
        if open.is_empty() {
            return Ok(left);
        }
        repairs.tried.extend(open.iter().map(|suspect| suspect.key.clone()));
        let refused = self.mend(compared, open.clone()).await?;
        for suspect in open {
            if refused.contains(&suspect.key) {
                left.push(suspect);
            } else if repairs.shown.len() < MOST_NAMED {
                repairs.shown.push(suspect);
            }
        }
        Ok(left)
    }

    /// Puts rows right, and returns the keys of those that the target would not take.
    async fn mend(
        &mut self,
        compared: &Compared,
        mut open: Vec<Suspect>,
    ) -> Result<HashSet<Key>, Failure> {
        let mut mender = self.shared.state.mender().await?;
        let table = &compared.table;
        let by_key = {
            let keys: Vec<&[u8]> = open.iter().map(|suspect| &*suspect.key).collect();
            compared.keying.is_by_key()
                && self.source.finds(table, &keys)
                && self.target.finds(table, &keys)
        };
        if !by_key && table.bytes > MOST_REPLACED {
            let note = "its rows have no key to be found by, and it is too large to be replaced";
            self.say(compared, note);
            return Ok(open.into_iter().map(|suspect| suspect.key).collect());
        }
        let at_once = if by_key { AT_ONCE } else { open.len().max(1) };
        for _ in 0..ATTEMPTS {
            // Halves of what was refused, down to single rows; what is left of all is tried as one
            // again, since rows may be in each other's way.
            let mut batches: Vec<&[Suspect]> = open.chunks(at_once).collect();
            let mut refused = Vec::new();
            while let Some(batch) = batches.pop() {
                let taken = self.replace(&mut mender, compared, (batch, by_key)).await?;
                match batch {
                    _ if taken => {}
                    [_, _, ..] if by_key => {
                        let (one, another) = batch.split_at(batch.len() / 2);
                        batches.extend([another, one]);
                    }
                    _ => refused.extend_from_slice(batch),
                }
            }
            open = refused;
            if open.is_empty() {
                return Ok(HashSet::new());
            }
        }
        self.say(compared, "not all of its rows could be put right: the log says why");
        Ok(open.into_iter().map(|suspect| suspect.key).collect())
    }

    fn say(&self, compared: &Compared, note: &str) {
        self.findings(|findings| findings.note(compared.table.id, Verdict::Equal, note));
    }

    /// Replaces rows with the keys of suspects, or all of the table. Returns false where the target
    /// would not have it.
    async fn replace(
        &mut self,
        mender: &mut T::Mender,
        compared: &Compared,
        (suspects, by_key): (&[Suspect], bool),
    ) -> Result<bool, Failure> {
        // The less is still to come, the shorter rows are locked.
        let end = self.shared.source.position().await?;
        applied(wait(&self.shared, &end).await?, end)?;
        match self.fill(mender, compared, (suspects, by_key)).await? {
            Ok(()) => {
                failpoint::reached("rows-mended");
                mender.commit().await?;
                Ok(true)
            }
            Err(refusal) => {
                // A connection that is lost is no refusal.
                mender.abandon().await?;
                let cause = refusal.error().source().map(ToString::to_string);
                tracing::warn!(table = %compared.table.name, cause, "not put right yet: {refusal}");
                Ok(false)
            }
        }
    }

    /// Writes the source's rows in place of the target's, and sees to it that they are as of one
    /// position on both sides. What the target refuses is the inner error.
    async fn fill(
        &mut self,
        mender: &mut T::Mender,
        compared: &Compared,
        (suspects, by_key): (&[Suspect], bool),
    ) -> Result<Result<(), Failure>, Failure> {
        let keys: Vec<&[u8]> = suspects.iter().map(|suspect| &*suspect.key).collect();
        let keys = by_key.then_some(keys.as_slice());
        if let Err(refusal) = mender.open(&compared.table, keys).await {
            return Ok(Err(refusal));
        }
        let Worker { shared, source, .. } = self;
        let passed = pass_on((source, &mut *mender), compared, (suspects, keys), shared).await?;
        let filled = match passed {
            Ok(rows) => mender.fill(rows).await,
            Err(refusal) => Err(refusal),
        };
        if let Err(refusal) = filled {
            return Ok(Err(refusal));
        }
        // Of all the others nobody knows how long they have been as they are.
        let looks = if by_key { 1 } else { 2 };
        for look in 0..looks {
            if look > 0 {
                tokio::time::sleep(LOGGED_WITHIN).await;
            }
            let end = shared.source.position().await?;
            let Some(waited) = wait_within(shared, &end, PATIENCE).await? else {
                return Ok(Err(contended(compared)));
            };
            applied(waited, end)?;
        }
        if shared.state.applied().await?.handed_over {
            return Err(VerifyError::HandedOver.into());
        }
        Ok(Ok(()))
    }
}

fn applied(waited: Waited, position: Position) -> Result<(), VerifyError> {
    match waited {
        Waited::Applied => Ok(()),
        Waited::Alone(applied) => Err(VerifyError::Behind { position, applied }),
    }
}

fn contended(compared: &Compared) -> Failure {
    VerifyError::Contended { table: compared.table.name.to_string() }.into()
}

/// Has the mender take the source's rows: those with some keys, or all. Returns how many, or why not.
async fn pass_on<S, T, R: PresentReader, M: Mender>(
    (source, mender): (&mut R, &mut M),
    compared: &Compared,
    (suspects, keys): (&[Suspect], Option<&[&[u8]]>),
    shared: &Shared<S, T>,
) -> Result<Result<u64, Failure>, Failure> {
    let Compared { table, whole, keying, .. } = compared;
    let read_columns = whole.columns.iter().zip(&table.columns).filter(|(read, _)| !read.generated);
    let computed: Vec<bool> = read_columns.map(|(_, column)| column.generated).collect();
    let mut held: HashMap<&[u8], Digest> =
        suspects.iter().map(|suspect| (&*suspect.key, Digest::default())).collect();
    let scope = keys.map_or(Scope::Range { from: None, until: None }, Scope::Keys);
    let Some(mut rows) = source.read(whole, scope).await? else {
        return Ok(Err(VerifyError::Gone { table: table.name.to_string() }.into()));
    };
    let (mut lines, mut out) = (Lines::default(), BytesMut::new());
    let mut writer = compared.forms().writer();
    let (mut read, mut passed) = (0, 0);
    let mut written = Ok(());
    // To its end even where it is refused: an answer given up leaves the connection unusable.
    while let Some(buffer) = rows.next().await? {
        shared.pace.pass(buffer.len()).await;
        lines.feed(&buffer, |line| {
            read += 1;
            let form = writer.line(line);
            let hash = hash(form);
            let held = held.get_mut(&*keying.key(form, hash));
            if held.is_some() || keys.is_none() {
                passed += 1;
                push_copied(&mut out, line, &computed);
            }
            if let Some(held) = held {
                held.add(hash);
            }
        });
        if out.len() >= BUFFER_BYTES {
            let full = out.split().freeze();
            if written.is_ok() {
                written = mender.write(full).await;
            }
        }
    }
    if !lines.are_whole() || read != rows.rows() {
        return Err(VerifyError::Torn { table: table.name.to_string() }.into());
    }
    if written.is_ok() && !out.is_empty() {
        written = mender.write(out.freeze()).await;
    }
    let as_seen = |suspect: &Suspect| held.get(&*suspect.key) == Some(&suspect.last.0.digest);
    if written.is_ok() && !suspects.iter().all(as_seen) {
        written = Err(contended(compared));
    }
    Ok(written.map(|()| passed))
}

/// Appends a row without the fields of columns that the target computes.
fn push_copied(out: &mut BytesMut, line: &[u8], computed: &[bool]) {
    if computed.contains(&true) {
        let copied = fields(line).zip(computed).filter(|(_, computed)| !**computed);
        for (at, (field, _)) in copied.enumerate() {
            if at > 0 {
                out.extend_from_slice(b"\t");
            }
            out.extend_from_slice(field);
        }
    } else {
        out.extend_from_slice(line);
    }
    out.extend_from_slice(b"\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_target_computes_is_left_out() {
        let pushed = |computed: &[bool]| {
            let mut out = BytesMut::new();
            push_copied(&mut out, b"1\t\\N\t\tx", computed);
            out.to_vec()
        };
        assert_eq!(pushed(&[false; 4]), b"1\t\\N\t\tx\n");
        assert_eq!(pushed(&[true, false, true, false]), b"\\N\tx\n");
        assert_eq!(pushed(&[false, true, false, true]), b"1\t\n");
        assert_eq!(pushed(&[true; 4]), b"\n");
    }
}
