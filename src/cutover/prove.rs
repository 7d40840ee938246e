//! The final proof: rows that changed lately, compared while writers wait and both sides rest.
//!
//! In: what the stream noted since the cutover began to follow the log by itself, and a connection to either
//! side that was made before writers had to wait. Out: what was compared; or an error where any of it
//! differs, which undoes the cutover. What changed before that is `verify`'s, whose proof a cutover
//! demands, and `reverify`'s.

use std::time::Duration;

use super::{Cutover, CutoverError};
use crate::model::{Failure, TableId};
use crate::observe::failpoint;
use crate::source::fence::FencedSource;
use crate::source::{Lull, Present};
use crate::target::{Mend, Proofs, Target};
use crate::verify::final_proof::Prover;

/// How long it may take to find out how long the final proof takes.
const REHEARSAL: Duration = Duration::from_secs(2);

impl<S, T, P> Cutover<S, T, P>
where
    S: FencedSource + Lull,
    T: Target + Proofs + Mend,
    P: Present,
{
    /// Connects to both sides for the final proof, and finds out how long that will take. None where
    /// it is not wanted.
    pub(super) async fn get_prover(
        &self,
    ) -> Result<(Option<Prover<P::Reader>>, Duration), Failure> {
        let longest = self.orders.final_proof;
        if longest.is_zero() {
            return Ok((None, Duration::ZERO));
        }
        let mut prover = Prover::connect(&self.sides).await?;
        let rehearsal = prover.rehearse(&self.tables, &self.stream.tap);
        let expected = match tokio::time::timeout(REHEARSAL, rehearsal).await {
            Ok(expected) => expected?,
            // Somebody holds a table, whom the fence will deal with.
            Err(_) => {
                prover = Prover::connect(&self.sides).await?;
                longest
            }
        };
        Ok((Some(prover), expected.min(longest)))
    }

    /// Compares the rows that changed.
    pub(super) async fn prove(&mut self, prover: Prover<P::Reader>) -> Result<(), Failure> {
        let longest = self.orders.final_proof;
        let compared = prover.compare(&self.tables, &self.stream.tap, longest).await?;
        if let Some((first, rows)) = compared.differing.first() {
            for (table, rows) in &compared.differing {
                tracing::error!(table = self.called(*table), rows, "differs on the target");
            }
            // Or an earlier proof would be taken for one of these rows, by the next cutover or verification.
            let tables: Vec<TableId> = compared.differing.iter().map(|(table, _)| *table).collect();
            self.target.refute(&tables).await?;
            let (table, others) = (self.called(*first), compared.differing.len() - 1);
            return Err(CutoverError::Different { table, rows: *rows, others }.into());
        }
        failpoint::reached("changes-compared");
        self.course.proof = Some(compared.proof);
        Ok(())
    }

    fn called(&self, id: TableId) -> String {
        let table = self.tables.iter().find(|table| table.id == id);
        table.map(|table| table.name.to_string()).unwrap_or_default()
    }
}
