//! What changed since the last verification, compared once more before writers have to wait.
//!
//! In: a verification that reads again only what was touched since, over connections of its own, while
//! the stream of the cutover follows and writers write. Out: what was compared; or an error where rows
//! differ, when nothing is to be undone yet.
//!
//! Nothing falls between it and the final proof: the stream notes every row that it changes from before the
//! verification reads the marks, so a row that changes behind the look at its unit is among those that
//! are compared behind the fence. Where these become many, a second round reads their units, and the notes
//! begin anew with it; they are taken back where it does not come to its end. What nobody has looked at is
//! named.

use std::time::Instant;

use super::{Cutover, CutoverError, Stream, proof};
use crate::model::verification::{TableVerdict, Verdict, VerificationReport};
use crate::model::{ChangedRows, EarlyProof, Failure, LeftOut, Table};
use crate::source::fence::FencedSource;
use crate::source::{Lull, Present};
use crate::target::{Mend, Proofs, Target};
use crate::verify::{Verification, VerifyError};

/// A verification is followed by another, of what changed meanwhile, so often at most.
const MOST_ROUNDS: u32 = 3;

/// So many rows may be left for the time in which writers wait.
const FEW_CHANGED: u64 = 1000;

/// A verification before the fence.
#[derive(Debug)]
pub struct Reverification<S, P, T> {
    /// It, of all tables, and bound in time.
    pub verification: Verification<S, P, T>,
    /// Whether there is no proof but what comes of it.
    pub decides: bool,
}

impl<S, T, P> Cutover<S, T, P>
where
    S: FencedSource + Lull,
    T: Target + Proofs + Mend,
    P: Present,
{
    /// Compares what changed; and once more what changed meanwhile, where that is much and there is time.
    pub(super) async fn reverify(&mut self, again: Reverification<S, P, T>) -> Result<(), Failure> {
        let Reverification { mut verification, decides } = again;
        let begun = Instant::now();
        let longest = verification.options.longest;
        let mut report = self.round(&verification).await?;
        let mut early = EarlyProof::default();
        early.count(report.as_ref());
        while early.rounds < MOST_ROUNDS && is_whole(report.as_ref()) && self.much_changed() {
            let left = longest.map(|longest| longest.saturating_sub(begun.elapsed()));
            verification.options.longest = left;
            // What was noted so far is before the position that the next round begins at, and applied
            // and marked before it reads the marks.
            let before = self.stream.tap.with(ChangedRows::restart);
            let next = self.round(&verification).await?;
            if !is_whole(next.as_ref()) {
                self.stream.tap.with(|changed| changed.resume(before));
                break;
            }
            early.count(next.as_ref());
            report = next;
            if let Some(position) = &early.position {
                self.stream.tap.with(|changed| changed.count_from(position));
            }
        }
        self.look_up_tables().await?;
        if decides {
            let proof = proof::look(&self.target, &self.tables, self.orders.verified_within);
            tracing::info!("{}", proof.await??.evidence);
        }
        early.left_out = left_out(report.as_ref(), &self.tables);
        self.course.early = Some(early);
        Ok(())
    }

    /// One verification. None where the time was over before anything was read.
    async fn round(
        &mut self,
        verification: &Verification<S, P, T>,
    ) -> Result<Option<VerificationReport>, Failure> {
        let compared = tokio::select! {
            compared = Box::pin(verification.go()) => compared,
            ended = self.stream.task.join_next() => return Err(Stream::ended(ended)),
        };
        let report = match compared {
            Ok(report) => report,
            Err(failure) if is_out_of_time(&failure) => return Ok(None),
            Err(failure) => return Err(failure),
        };
        match unequal(&report) {
            Some(unequal) => Err(unequal.into()),
            None => Ok(Some(report)),
        }
    }

    /// Whether more rows changed than are to be compared while writers wait.
    fn much_changed(&self) -> bool {
        let rows = |changed: &mut ChangedRows| changed.tables().map(|table| table.rows()).sum();
        self.stream.tap.with::<u64>(rows) > FEW_CHANGED
    }
}

/// Whether every row was compared.
fn is_whole(report: Option<&VerificationReport>) -> bool {
    report.is_some_and(|report| report.tables.iter().all(|it| it.equal_units == it.units))
}

fn is_out_of_time(failure: &Failure) -> bool {
    matches!(failure.error().downcast_ref(), Some(VerifyError::OutOfTime))
}

/// What is said where rows differ.
fn unequal(report: &VerificationReport) -> Option<CutoverError> {
    let differ = |table: &&TableVerdict| table.verdict == Verdict::Different;
    let mut told = report.tables.iter().filter(differ).map(|found| {
        let what = match (found.different_rows, &found.note) {
            (0, Some(note)) => note.clone(),
            (rows, _) => format!("{rows} of its rows differ on the target"),
        };
        tracing::error!(table = found.table, "{what}");
        (found.table.clone(), what)
    });
    let (table, what) = told.next()?;
    Some(CutoverError::Unequal { table, what, others: told.count() })
}

/// What of these tables was not compared.
fn left_out(report: Option<&VerificationReport>, tables: &[Table]) -> Vec<LeftOut> {
    let left_out = |table: &Table| {
        let name = table.name.to_string();
        let found = report.and_then(|report| report.tables.iter().find(|it| it.table == name));
        let (rows, why) = match found {
            Some(found) if found.equal_units == found.units => return None,
            Some(found) => {
                let why = match found.verdict {
                    Verdict::Unsettled => "they change too often to be compared",
                    Verdict::Equal | Verdict::Different => "the time was over",
                };
                let open = found.units - found.equal_units;
                let why = format!("{why} ({open} of its {} chunks)", found.units);
                (table.estimated_rows.saturating_sub(found.rows), why)
            }
            None => (table.estimated_rows, "the time was over before it was looked at".to_owned()),
        };
        Some(LeftOut { table: name, rows, why })
    };
    tables.iter().filter_map(left_out).collect()
}
