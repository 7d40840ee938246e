//! What a verification goes by in the state, and what it leaves there.
//!
//! In: plans and proofs. Out: how far the target is, and what was proven before. Written by whoever
//! verifies, beside a run and without an epoch: nothing that a run does depends on it.

use super::state::{install, json_text, parse, parse_optional};
use super::{PostgresTarget, TargetError};
use crate::connect::attempting;
use crate::model::verification::{Proof, VerificationPlan};
use crate::model::{Failure, Phase, Position};
use crate::target::{Headway, Proofs, StreamStatus};

impl Proofs for PostgresTarget {
    async fn applied(&self) -> Result<Headway, Failure> {
        let text = include_str!("../../../sql/postgres/target_applied.sql");
        let found = self.control().query_opt(text, &[&self.name()]).await;
        let row = found
            .map_err(attempting("look how far the target is"))?
            .ok_or_else(|| TargetError::MigrationMissing { name: self.name().to_owned() })?;
        let phase: String = row.get("phase");
        let phase: Phase = phase.parse().map_err(TargetError::unreadable)?;
        let checkpoint: Option<Position> = parse_optional(&row, "position")?;
        let figures: Option<StreamStatus> = parse_optional(&row, "report")?;
        Ok(Headway::new(phase, checkpoint, figures, row.get("running")))
    }

    async fn unfinished(&self) -> Result<Option<(VerificationPlan, Vec<Proof>)>, Failure> {
        let reading = || attempting("read what was verified before");
        install(self.control()).await?;
        let plan = "SELECT plan::text FROM dunlin.verification \
                    WHERE migration = $1 AND ended_at IS NULL";
        let found = self.control().query_opt(plan, &[&self.name()]).await.map_err(reading())?;
        let Some(row) = found else { return Ok(None) };
        let proofs = "SELECT proof::text FROM dunlin.proof WHERE migration = $1 ORDER BY unit";
        let proofs = self.control().query(proofs, &[&self.name()]).await.map_err(reading())?;
        let proofs = proofs.iter().map(|row| parse(row, "proof")).collect::<Result<_, _>>()?;
        Ok(Some((parse(&row, "plan")?, proofs)))
    }

    async fn begin(&self, plan: &VerificationPlan) -> Result<(), Failure> {
        let writing = || attempting("write what is to be verified");
        install(self.control()).await?;
        // One statement, so that proofs are never of another plan than the one beside them.
        let text = "WITH forgotten AS (DELETE FROM dunlin.proof WHERE migration = $1) \
                    INSERT INTO dunlin.verification (migration, plan) \
                    VALUES ($1, $2::text::jsonb) ON CONFLICT (migration) DO UPDATE \
                    SET plan = excluded.plan, begun_at = excluded.begun_at, ended_at = NULL";
        let values: [&(dyn tokio_postgres::types::ToSql + Sync); 2] =
            [&self.name(), &json_text(plan)];
        self.control().execute(text, &values).await.map_err(writing())?;
        Ok(())
    }

    async fn record(&self, proof: &Proof) -> Result<(), Failure> {
        let text = "INSERT INTO dunlin.proof (migration, unit, proof) \
                    VALUES ($1, $2, $3::text::jsonb) ON CONFLICT (migration, unit) DO UPDATE \
                    SET proof = excluded.proof, proven_at = excluded.proven_at";
        let unit = i64::from(proof.unit);
        self.control()
            .execute(text, &[&self.name(), &unit, &json_text(proof)])
            .await
            .map_err(attempting("keep what was verified"))?;
        Ok(())
    }

    async fn end(&self) -> Result<(), Failure> {
        let text = "UPDATE dunlin.verification SET ended_at = pg_catalog.now() \
                    WHERE migration = $1";
        let ended = self.control().execute(text, &[&self.name()]).await;
        ended.map_err(attempting("end the verification"))?;
        Ok(())
    }
}
