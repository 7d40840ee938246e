//! What a verification goes by in the state, and what it leaves there.
//!
//! In: plans and proofs. Out: how far the target is, and what was proven before. Written by whoever
//! verifies, beside a run and without an epoch: nothing that a run does to rows depends on it.
//!
//! A run marks the units that it changes in the transaction that changes them. Which units there are it
//! knows by the generation that stands beside the checkpoint: a verification raises it in the
//! transaction in which it reads and forgets the marks, and the row's lock, which both hold until they
//! commit, puts each group before that or behind.

use tokio_postgres::{Client, GenericClient, IsolationLevel};

use super::state::{Fence, install, json_text, parse, parse_optional};
use super::{PostgresTarget, TargetError};
use crate::connect::attempting;
use crate::model::verification::{KeptProof, Proof, TableProof, VerificationPlan};
use crate::model::{CutoverRecord, Failure, Phase, Position, Table, TableId, Touch, Touches};
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
        let cutover: Option<CutoverRecord> = parse_optional(&row, "cutover")?;
        Ok(Headway::new((phase, cutover.as_ref()), checkpoint, figures, row.get("running")))
    }

    async fn unfinished(&self) -> Result<Option<(VerificationPlan, Vec<Proof>)>, Failure> {
        let condition = "AND ended_at IS NULL AND NOT EXISTS \
                         (SELECT FROM dunlin.chunk AS c WHERE c.migration = v.migration \
                          AND (c.finished_at IS NULL OR c.finished_at > v.begun_at))";
        recorded(self.control(), self.name(), condition).await
    }

    async fn former(&self) -> Result<Option<(VerificationPlan, Vec<Proof>)>, Failure> {
        recorded(self.control(), self.name(), "").await
    }

    async fn begin(
        &self,
        plan: &VerificationPlan,
        proofs: &[Proof],
    ) -> Result<Vec<Proof>, Failure> {
        let writing = || attempting("write what is to be verified");
        let mut session = self.session().await?;
        install(&session).await?;
        // Each statement sees what was committed before it, the first waits for the open group.
        let transaction =
            session.build_transaction().isolation_level(IsolationLevel::ReadCommitted);
        let transaction = transaction.start().await.map_err(writing())?;
        let raise = "UPDATE dunlin.checkpoint SET generation = generation + 1 WHERE migration = $1";
        if transaction.execute(raise, &[&self.name()]).await.map_err(writing())? != 1 {
            return Err(TargetError::MigrationMissing { name: self.name().to_owned() }.into());
        }
        let taken_over = untouched(&transaction, self.name(), plan, proofs).await?;
        let units: Vec<i64> = taken_over.iter().map(|proof| i64::from(proof.unit)).collect();
        let texts: Vec<String> = taken_over.iter().map(json_text).collect();
        let begin = include_str!("../../../sql/postgres/begin_verification.sql");
        let values: [&(dyn tokio_postgres::types::ToSql + Sync); 2] =
            [&self.name(), &json_text(plan)];
        transaction.execute(begin, &values).await.map_err(writing())?;
        let keep = "INSERT INTO dunlin.proof (migration, unit, proof) \
                    SELECT $1, p.unit, p.proof::jsonb \
                    FROM ROWS FROM (pg_catalog.unnest($2::int8[]), pg_catalog.unnest($3::text[])) \
                    AS p(unit, proof)";
        transaction.execute(keep, &[&self.name(), &units, &texts]).await.map_err(writing())?;
        transaction.commit().await.map_err(writing())?;
        Ok(taken_over)
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

    async fn refute(&self, tables: &[TableId]) -> Result<(), Failure> {
        let writing = || attempting("forget what was verified");
        // First and by itself: none keeps anything from here on, and what one has kept that was just ending
        // the next statement sees.
        let end = "UPDATE dunlin.verification \
                   SET ended_at = COALESCE(ended_at, pg_catalog.now()) WHERE migration = $1";
        self.control().execute(end, &[&self.name()]).await.map_err(writing())?;
        let text = include_str!("../../../sql/postgres/refute.sql");
        let tables: Vec<i32> = tables.iter().map(|table| table.0.cast_signed()).collect();
        self.control().execute(text, &[&self.name(), &tables]).await.map_err(writing())?;
        Ok(())
    }

    async fn deny(&self, table: TableId) -> Result<(), Failure> {
        let text = "DELETE FROM dunlin.proven WHERE migration = $1 AND table_id = $2";
        let denied = self.control().execute(text, &[&self.name(), &table.0.cast_signed()]).await;
        denied.map_err(attempting("forget what was verified"))?;
        Ok(())
    }

    async fn end(&self, plan: u32, proven: &[TableProof]) -> Result<bool, Failure> {
        let text = include_str!("../../../sql/postgres/keep_proven.sql");
        let ids: Vec<i32> = proven.iter().map(|proof| proof.table.id.0.cast_signed()).collect();
        let proofs: Vec<String> = proven.iter().map(json_text).collect();
        let values: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
            [&self.name(), &ids, &proofs, &i64::from(plan)];
        let ended = self.control().query_one(text, &values).await;
        Ok(ended.map_err(attempting("end the verification"))?.get("kept"))
    }

    async fn proven(&self) -> Result<Vec<KeptProof>, Failure> {
        install(self.control()).await?;
        let text = include_str!("../../../sql/postgres/load_proven.sql");
        let rows = self.control().query(text, &[&self.name()]).await;
        let rows = rows.map_err(attempting("read what was verified before"))?;
        let kept = |row: &tokio_postgres::Row| -> Result<KeptProof, Failure> {
            Ok(KeptProof {
                proof: parse(row, "proof")?,
                seconds_ago: row.get("seconds_ago"),
                outdated: row.get("outdated"),
            })
        };
        rows.iter().map(kept).collect()
    }
}

/// The verification that was begun last, where `condition` holds of it, and what it has proven.
async fn recorded(
    client: &Client,
    name: &str,
    condition: &str,
) -> Result<Option<(VerificationPlan, Vec<Proof>)>, Failure> {
    let reading = || attempting("read what was verified before");
    install(client).await?;
    let plan =
        format!("SELECT plan::text FROM dunlin.verification AS v WHERE migration = $1 {condition}");
    let found = client.query_opt(&plan, &[&name]).await.map_err(reading())?;
    let Some(row) = found else { return Ok(None) };
    let proofs = "SELECT proof::text FROM dunlin.proof WHERE migration = $1 ORDER BY unit";
    let proofs = client.query(proofs, &[&name]).await.map_err(reading())?;
    let proofs = proofs.iter().map(|row| parse(row, "proof")).collect::<Result<_, _>>()?;
    Ok(Some((parse(&row, "plan")?, proofs)))
}

/// Those of the proofs that still hold, in the open transaction. None does where another verification
/// was begun since they were read.
async fn untouched(
    client: &impl GenericClient,
    name: &str,
    plan: &VerificationPlan,
    proofs: &[Proof],
) -> Result<Vec<Proof>, Failure> {
    let Some(first) = proofs.first() else { return Ok(Vec::new()) };
    let reading = || attempting("read what was verified before");
    let former = recorded_plan(client, name).await?;
    if former.is_none_or(|former| former.id != first.plan) {
        return Ok(Vec::new());
    }
    let text = include_str!("../../../sql/postgres/load_touched.sql");
    let rows = client.query(text, &[&name]).await.map_err(reading())?;
    Ok(plan.take_over(proofs, &rows.iter().map(touch).collect::<Vec<_>>()))
}

fn touch(row: &tokio_postgres::Row) -> Touch {
    let table = TableId(row.get::<_, i32>("table_id").cast_unsigned());
    Touch::from_stored(table, row.get("unit"))
}

/// Learns of the verification that was begun last, in the open transaction, which has stored its
/// checkpoint and so found the generation.
pub(super) async fn learn(
    client: &Client,
    name: &str,
    (touches, generation): (&mut Touches, i64),
) -> Result<(), Failure> {
    let plan = recorded_plan(client, name).await?;
    let text = "SELECT table_id, unit FROM dunlin.touched WHERE migration = $1";
    let rows = client.query(text, &[&name]).await;
    let rows = rows.map_err(attempting("read what was changed since a verification"))?;
    touches.learn(generation, plan.as_ref(), &rows.iter().map(touch).collect::<Vec<_>>());
    Ok(())
}

async fn recorded_plan(
    client: &impl GenericClient,
    name: &str,
) -> Result<Option<VerificationPlan>, Failure> {
    let text = "SELECT plan::text FROM dunlin.verification WHERE migration = $1";
    let found = client.query_opt(text, &[&name]).await;
    let found = found.map_err(attempting("read what was verified before"))?;
    Ok(found.map(|row| parse(&row, "plan")).transpose()?)
}

/// Keeps marks, in the open transaction, which holds the checkpoint's row.
pub(super) async fn keep(
    client: &impl GenericClient,
    name: &str,
    touches: &[Touch],
) -> Result<(), Failure> {
    let tables: Vec<i32> = touches.iter().map(|touch| touch.table.0.cast_signed()).collect();
    let units: Vec<i64> = touches.iter().map(Touch::stored_unit).collect();
    let text = "INSERT INTO dunlin.touched (migration, table_id, unit) \
                SELECT $1, t.table_id, t.unit \
                FROM ROWS FROM (pg_catalog.unnest($2::int4[]), pg_catalog.unnest($3::int8[])) \
                AS t(table_id, unit) ON CONFLICT DO NOTHING";
    let kept = client.execute(text, &[&name, &tables, &units]).await;
    kept.map_err(attempting("mark what was changed since a verification"))?;
    Ok(())
}

/// Marks tables as a whole, likewise.
pub(super) async fn touch_tables(
    client: &impl GenericClient,
    name: &str,
    tables: &[Table],
) -> Result<(), Failure> {
    let touches: Vec<Touch> =
        tables.iter().map(|table| Touch { table: table.id, unit: None }).collect();
    keep(client, name, &touches).await
}

/// Marks all tables: others than we may write to them from here on.
pub(super) async fn touch_all(client: &Client, fence: &Fence) -> Result<(), Failure> {
    let text = "WITH fence AS (SELECT FROM dunlin.checkpoint \
                WHERE migration = $1 AND epoch = $2 FOR SHARE) \
                INSERT INTO dunlin.touched (migration, table_id, unit) \
                SELECT t.migration, t.id, -1 FROM dunlin.tables AS t CROSS JOIN fence \
                WHERE t.migration = $1 ON CONFLICT DO NOTHING";
    let touched = client.execute(text, &[&fence.name, &fence.epoch]).await;
    touched.map_err(attempting("mark what was changed since a verification"))?;
    Ok(())
}
