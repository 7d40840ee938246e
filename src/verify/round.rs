//! Which units are compared, and which need not be read again.
//!
//! In: the tables, and what the state has of verifications before. Out: the plan, recorded, and the
//! proofs that hold already: those of a process that was killed in the middle of the same verification;
//! or, where that is wanted, those of the verification before, of units that nothing touched since.
//!
//! The latter hold as of a position that is read first, on the source. Once the target has applied
//! everything up to there, whatever of a unit changed up to there was applied, and marked in the same
//! transaction. The marks are read only then, in the transaction with which the new verification
//! begins; whatever is applied later is later than that position, and marked for the next one.

use std::collections::HashSet;

use super::settle::{Pulse, Waited};
use super::{Options, STALE_S, Verification, VerifyError, planner, report};
use crate::model::verification::{Proof, Sample, Unit, VerificationPlan};
use crate::model::{Failure, Position, Table, TableId};
use crate::observe::failpoint;
use crate::source::{Lull, Present};
use crate::target::{Headway, Mend, Proofs, Target};

impl<S: Lull, P: Present, T: Target + Proofs + Mend> Verification<S, P, T> {
    /// The units to compare, and what is proven of them already. `position` is the end of the source's
    /// log as it was before.
    pub(super) async fn round(
        &self,
        tables: &[Table],
        position: &Position,
        headway: &Headway,
    ) -> Result<(VerificationPlan, Vec<Proof>), Failure> {
        // Of rows that the target's own clients write nothing is marked.
        let begun = match self.options.incremental && !headway.handed_over {
            true => self.go_further(tables, position).await,
            false => self.go_on(tables).await,
        };
        failpoint::reached("verification-begun");
        begun
    }

    /// The verification that an earlier process left, where it is of the same tables; or a new one.
    async fn go_on(&self, tables: &[Table]) -> Result<(VerificationPlan, Vec<Proof>), Failure> {
        let Options { sample_percent, seed, chunk_bytes, .. } = self.options;
        let patterns = self.options.tables.patterns();
        if let Some((plan, mut proofs)) = self.state.unfinished().await? {
            // Another process may have gone on with the plan that was there before.
            proofs.retain(|proof| proof.plan == plan.id);
            let same_sample = plan.sample.map(|sample| sample.percent) == sample_percent
                && seed.is_none_or(|seed| plan.sample.is_none_or(|sample| sample.seed == seed));
            let age_s = report::seconds_now().saturating_sub(plan.begun_at_s);
            let same = plan.tables == *patterns && same_sample && !plan.incremental;
            if same && age_s < STALE_S && is_of(&plan, tables) {
                tracing::info!(proven = proofs.len(), all = plan.units.len(), "goes on");
                return Ok((plan, proofs));
            }
        }
        let seed = seed.unwrap_or_else(rand::random);
        let sample = sample_percent.map(|percent| Sample { percent, seed });
        let plan = planner::plan(&self.source, tables, chunk_bytes, (patterns, sample)).await?;
        self.state.begin(&plan, &[]).await?;
        Ok((plan, Vec::new()))
    }

    /// A new verification, of the units of the one before, with those of its proofs that still hold.
    async fn go_further(
        &self,
        tables: &[Table],
        position: &Position,
    ) -> Result<(VerificationPlan, Vec<Proof>), Failure> {
        let pulse = Pulse::new(&self.source, &self.state, &self.stop);
        if let Waited::Alone(applied) = pulse.wait(position).await? {
            return Err(VerifyError::Behind { position: position.clone(), applied }.into());
        }
        failpoint::reached("marks-awaited");
        let (kept, mut proofs) = match self.state.former().await? {
            Some((former, mut proofs)) => {
                proofs.retain(|proof| proof.plan == former.id);
                (kept(&former, tables), proofs)
            }
            None => (Vec::new(), Vec::new()),
        };
        // Numbers of units that are not kept are given again.
        let numbers: HashSet<u32> = kept.iter().map(|unit| unit.number).collect();
        proofs.retain(|proof| numbers.contains(&proof.unit));
        let ids: HashSet<TableId> = kept.iter().map(|unit| unit.table).collect();
        let (_, others): (Vec<Table>, Vec<Table>) =
            tables.iter().cloned().partition(|table| ids.contains(&table.id));
        let patterns = (self.options.tables.patterns(), None);
        let planned = planner::plan(&self.source, &others, self.options.chunk_bytes, patterns);
        let planned = planned.await?;
        let first = kept.iter().map(|unit| unit.number + 1).max().unwrap_or_default();
        let added = planned.units.into_iter();
        let added = added.map(|unit| Unit { number: first + unit.number, ..unit });
        let plan = VerificationPlan {
            incremental: true,
            definitions: tables.to_vec(),
            units: kept.into_iter().chain(added).collect(),
            ..planned
        };
        let taken_over = self.state.begin(&plan, &proofs).await?;
        let (chunks, untouched) = (plan.units.len(), taken_over.len());
        tracing::info!(chunks, untouched, "comparing both sides");
        Ok((plan, taken_over))
    }
}

/// The units of a plan that are those of tables as they are now.
fn kept(former: &VerificationPlan, tables: &[Table]) -> Vec<Unit> {
    // A sample has not all of them.
    if former.sample.is_some() {
        return Vec::new();
    }
    let same = |planned: &&Table| {
        tables.iter().any(|table| planned.id == table.id && planned.has_shape_of(table))
    };
    let ids: HashSet<TableId> =
        former.definitions.iter().filter(same).map(|table| table.id).collect();
    former.units.iter().filter(|unit| ids.contains(&unit.table)).cloned().collect()
}

/// Whether a plan is of these tables, as they are now.
fn is_of(plan: &VerificationPlan, tables: &[Table]) -> bool {
    let same =
        |(planned, table): (&Table, &Table)| planned.id == table.id && planned.has_shape_of(table);
    plan.definitions.len() == tables.len() && plan.definitions.iter().zip(tables).all(same)
}
