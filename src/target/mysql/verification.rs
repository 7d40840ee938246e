//! What a verification goes by in the state, and what it leaves there.
//!
//! In: plans and proofs. Out: how far the target is, and what was proven before. Written by whoever
//! verifies, beside a run and without an epoch: nothing that a run does depends on it.

use mysql_async::Row;

use super::error::attempting;
use super::literal::text;
use super::session::field;
use super::state::{install, json, parse, parse_optional, read};
use super::{MySqlTarget, TargetError, lock};
use crate::model::verification::{Proof, VerificationPlan};
use crate::model::{Failure, Phase};
use crate::target::{Headway, Proofs};

impl Proofs for MySqlTarget {
    async fn applied(&self) -> Result<Headway, Failure> {
        let mut control = self.control().await;
        let running = lock::is_held(&mut control, self.name()).await?;
        let query = format!(
            "SELECT m.phase, c.position, s.report FROM dunlin.migration AS m \
             JOIN dunlin.checkpoint AS c ON c.migration = m.name \
             LEFT JOIN dunlin.status AS s ON s.migration = m.name WHERE m.name = {}",
            text(self.name())
        );
        let found = read(&mut control, query).await?;
        let missing = || TargetError::MigrationMissing { name: self.name().to_owned() };
        let row = found.as_ref().and_then(|rows| rows.first()).ok_or_else(missing)?;
        let phase: String = field(row, 0)?;
        let phase: Phase = phase.parse().map_err(TargetError::unreadable)?;
        Ok(Headway::new(phase, parse_optional(row, 1)?, parse_optional(row, 2)?, running))
    }

    async fn unfinished(&self) -> Result<Option<(VerificationPlan, Vec<Proof>)>, Failure> {
        let mut control = self.control().await;
        install(&mut control).await?;
        let name = text(self.name());
        let plan = format!(
            "SELECT plan FROM dunlin.verification WHERE migration = {name} AND ended_at IS NULL"
        );
        let found = read(&mut control, plan).await?.unwrap_or_default();
        let Some(row) = found.first() else { return Ok(None) };
        let proofs =
            format!("SELECT proof FROM dunlin.proof WHERE migration = {name} ORDER BY unit");
        let proofs = read(&mut control, proofs).await?.unwrap_or_default();
        let proof = |row: &Row| parse(row, 0);
        Ok(Some((parse(row, 0)?, proofs.iter().map(proof).collect::<Result<_, _>>()?)))
    }

    async fn begin(&self, plan: &VerificationPlan) -> Result<(), Failure> {
        let mut control = self.control().await;
        install(&mut control).await?;
        let name = text(self.name());
        let statement = format!(
            "BEGIN; DELETE FROM dunlin.proof WHERE migration = {name}; \
             REPLACE INTO dunlin.verification (migration, plan, begun_at) \
             VALUES ({name}, {}, UTC_TIMESTAMP(6)); COMMIT",
            json(plan)
        );
        let begun = control.execute(statement).await;
        begun.map_err(attempting("write what is to be verified"))?;
        Ok(())
    }

    async fn record(&self, proof: &Proof) -> Result<(), Failure> {
        let statement = format!(
            "REPLACE INTO dunlin.proof (migration, unit, proof, proven_at) \
             VALUES ({}, {}, {}, UTC_TIMESTAMP(6))",
            text(self.name()),
            proof.unit,
            json(proof)
        );
        let kept = self.control().await.execute(statement).await;
        kept.map_err(attempting("keep what was verified"))?;
        Ok(())
    }

    async fn end(&self) -> Result<(), Failure> {
        let statement = format!(
            "UPDATE dunlin.verification SET ended_at = UTC_TIMESTAMP(6) WHERE migration = {}",
            text(self.name())
        );
        let ended = self.control().await.execute(statement).await;
        ended.map_err(attempting("end the verification"))?;
        Ok(())
    }
}
