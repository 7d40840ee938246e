//! What a verification goes by in the state, and what it leaves there.
//!
//! In: plans and proofs. Out: how far the target is, and what was proven before. Written by whoever
//! verifies, beside a run and without an epoch: nothing that a run does to rows depends on it.
//!
//! A run marks the units that it changes in the transaction that changes them. Which units there are it
//! knows by the generation that stands beside the checkpoint: a verification raises it in the
//! transaction in which it reads and forgets the marks, and the row's lock, which both hold until they
//! commit, puts each group before that or behind. Sessions read what is committed by then (READ
//! COMMITTED, see target_session.sql).

use mysql_async::Row;

use super::error::attempting;
use super::literal::text;
use super::session::{Session, field};
use super::state::{insert_rows, install, json, parse, parse_optional, read};
use super::{MySqlTarget, TargetError, lock};
use crate::model::verification::{KeptProof, Proof, TableProof, VerificationPlan};
use crate::model::{CutoverRecord, Failure, Phase, TableId, Touch, Touches};
use crate::target::{Headway, Proofs};

impl Proofs for MySqlTarget {
    async fn applied(&self) -> Result<Headway, Failure> {
        let mut control = self.control().await;
        let running = lock::holder(&mut control, self.name()).await?.is_some();
        let query = format!(
            "SELECT m.phase, c.position, s.report, m.cutover FROM dunlin.migration AS m \
             JOIN dunlin.checkpoint AS c ON c.migration = m.name \
             LEFT JOIN dunlin.status AS s ON s.migration = m.name WHERE m.name = {}",
            text(self.name())
        );
        let found = read(&mut control, query).await?;
        let missing = || TargetError::MigrationMissing { name: self.name().to_owned() };
        let row = found.as_ref().and_then(|rows| rows.first()).ok_or_else(missing)?;
        let phase: String = field(row, 0)?;
        let phase: Phase = phase.parse().map_err(TargetError::unreadable)?;
        let cutover: Option<CutoverRecord> = parse_optional(row, 3)?;
        let (checkpoint, figures) = (parse_optional(row, 1)?, parse_optional(row, 2)?);
        Ok(Headway::new((phase, cutover.as_ref()), checkpoint, figures, running))
    }

    async fn unfinished(&self) -> Result<Option<(VerificationPlan, Vec<Proof>)>, Failure> {
        let condition = "AND ended_at IS NULL AND NOT EXISTS \
                         (SELECT 1 FROM dunlin.chunk AS c WHERE c.migration = v.migration \
                          AND (c.finished_at IS NULL OR c.finished_at > v.begun_at))";
        recorded(&mut *self.control().await, self.name(), condition).await
    }

    async fn former(&self) -> Result<Option<(VerificationPlan, Vec<Proof>)>, Failure> {
        recorded(&mut *self.control().await, self.name(), "").await
    }

    async fn begin(
        &self,
        plan: &VerificationPlan,
        proofs: &[Proof],
    ) -> Result<Vec<Proof>, Failure> {
        let writing = || attempting("write what is to be verified");
        // Not the control session: what fails half way is given up with the session.
        let mut session = self.session().await?;
        install(&mut session).await?;
        let name = text(self.name());
        let raise = format!(
            "BEGIN; UPDATE dunlin.checkpoint SET generation = generation + 1 WHERE migration = {name}"
        );
        if session.execute(raise).await.map_err(writing())? != 1 {
            return Err(TargetError::MigrationMissing { name: self.name().to_owned() }.into());
        }
        let taken_over = untouched(&mut session, self.name(), plan, proofs).await?;
        let begin = format!(
            "DELETE FROM dunlin.proof WHERE migration = {name}; \
             DELETE FROM dunlin.touched WHERE migration = {name}; \
             REPLACE INTO dunlin.verification (migration, plan, begun_at) \
             VALUES ({name}, {}, UTC_TIMESTAMP(6))",
            json(plan)
        );
        session.execute(begin).await.map_err(writing())?;
        let kept =
            |proof: &Proof| format!("({name}, {}, {}, UTC_TIMESTAMP(6))", proof.unit, json(proof));
        let insert = "INSERT INTO dunlin.proof (migration, unit, proof, proven_at) VALUES ";
        let kept = insert_rows(&mut session, insert, taken_over.iter().map(kept)).await;
        kept.map_err(writing())?;
        session.execute("COMMIT").await.map_err(writing())?;
        session.close().await;
        Ok(taken_over)
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

    async fn refute(&self, tables: &[TableId]) -> Result<(), Failure> {
        let (name, ids) = (text(self.name()), tables.iter().map(|table| table.0.to_string()));
        let ids: Vec<String> = ids.collect();
        let statements = format!(
            // First its row, which one that is just ending holds.
            "BEGIN; UPDATE dunlin.verification SET ended_at = COALESCE(ended_at, UTC_TIMESTAMP(6)) \
             WHERE migration = {name}; \
             DELETE FROM dunlin.proven WHERE migration = {name} AND table_id IN ({}); \
             DELETE FROM dunlin.proof WHERE migration = {name}; COMMIT",
            ids.join(", ")
        );
        let refuted = self.control().await.execute(statements).await;
        refuted.map_err(attempting("forget what was verified"))?;
        Ok(())
    }

    async fn deny(&self, table: TableId) -> Result<(), Failure> {
        let statement = format!(
            "DELETE FROM dunlin.proven WHERE migration = {} AND table_id = {}",
            text(self.name()),
            table.0
        );
        let denied = self.control().await.execute(statement).await;
        denied.map_err(attempting("forget what was verified"))?;
        Ok(())
    }

    async fn end(&self, plan: u32, proven: &[TableProof]) -> Result<bool, Failure> {
        // Not the control session: what fails half way is given up with the session.
        let mut session = self.session().await?;
        let name = text(self.name());
        session.execute("BEGIN").await.map_err(attempting("open a transaction"))?;
        let open =
            recorded_plan(&mut session, self.name(), "AND ended_at IS NULL FOR UPDATE").await?;
        if open.is_none_or(|open| open.id != plan) {
            session.close().await;
            return Ok(false);
        }
        let keep = |proof: &TableProof| {
            format!(
                "REPLACE INTO dunlin.proven (migration, table_id, proof, begun_at, proven_at) \
                 SELECT migration, {}, {}, begun_at, UTC_TIMESTAMP(6) FROM dunlin.verification \
                 WHERE migration = {name}",
                proof.table.id.0,
                json(proof)
            )
        };
        let end = format!(
            "UPDATE dunlin.verification SET ended_at = UTC_TIMESTAMP(6) WHERE migration = {name}; \
             COMMIT"
        );
        for statement in proven.iter().map(keep).chain([end]) {
            let ended = session.execute(statement).await;
            ended.map_err(attempting("end the verification"))?;
        }
        session.close().await;
        Ok(true)
    }

    async fn proven(&self) -> Result<Vec<KeptProof>, Failure> {
        let mut control = self.control().await;
        install(&mut control).await?;
        let query = include_str!("../../../sql/mysql/load_proven.sql");
        let kept = |row: &Row| -> Result<KeptProof, Failure> {
            Ok(KeptProof {
                proof: parse(row, 0)?,
                seconds_ago: field(row, 1)?,
                outdated: field(row, 2)?,
            })
        };
        let found = read(&mut control, format!("{query} {}", text(self.name()))).await?;
        found.unwrap_or_default().iter().map(kept).collect()
    }
}

/// The verification that was begun last, where `condition` holds of it, and what it has proven.
async fn recorded(
    session: &mut Session,
    name: &str,
    condition: &str,
) -> Result<Option<(VerificationPlan, Vec<Proof>)>, Failure> {
    install(session).await?;
    let Some(plan) = recorded_plan(session, name, condition).await? else { return Ok(None) };
    let proofs =
        format!("SELECT proof FROM dunlin.proof WHERE migration = {} ORDER BY unit", text(name));
    let proofs = read(session, proofs).await?.unwrap_or_default();
    let proof = |row: &Row| parse(row, 0);
    Ok(Some((plan, proofs.iter().map(proof).collect::<Result<_, _>>()?)))
}

async fn recorded_plan(
    session: &mut Session,
    name: &str,
    condition: &str,
) -> Result<Option<VerificationPlan>, Failure> {
    let name = text(name);
    let plan =
        format!("SELECT plan FROM dunlin.verification AS v WHERE migration = {name} {condition}");
    let found = read(session, plan).await?.unwrap_or_default();
    Ok(found.first().map(|row| parse(row, 0)).transpose()?)
}

/// Those of the proofs that still hold, in the open transaction. None does where another verification
/// was begun since they were read.
async fn untouched(
    session: &mut Session,
    name: &str,
    plan: &VerificationPlan,
    proofs: &[Proof],
) -> Result<Vec<Proof>, Failure> {
    let Some(first) = proofs.first() else { return Ok(Vec::new()) };
    let former = recorded_plan(session, name, "").await?;
    if former.is_none_or(|former| former.id != first.plan) {
        return Ok(Vec::new());
    }
    let query = format!(
        "SELECT table_id, unit FROM dunlin.touched WHERE migration = {name} UNION ALL \
         SELECT DISTINCT c.table_id, -1 FROM dunlin.chunk AS c \
         JOIN dunlin.verification AS v ON v.migration = c.migration \
         WHERE c.migration = {name} AND (c.finished_at IS NULL OR c.finished_at > v.begun_at)",
        name = text(name)
    );
    Ok(plan.take_over(proofs, &touched(session, query).await?))
}

/// The marks that a query finds.
async fn touched(session: &mut Session, query: String) -> Result<Vec<Touch>, Failure> {
    let rows = read(session, query).await?.unwrap_or_default();
    let touch = |row: &Row| Ok(Touch::from_stored(TableId(field(row, 0)?), field(row, 1)?));
    rows.iter().map(touch).collect()
}

/// Learns of the verification that was begun last, in the open transaction, which has stored its
/// checkpoint and so found the generation.
pub(super) async fn learn(
    session: &mut Session,
    name: &str,
    (touches, generation): (&mut Touches, i64),
) -> Result<(), Failure> {
    let plan = recorded_plan(session, name, "").await?;
    let query =
        format!("SELECT table_id, unit FROM dunlin.touched WHERE migration = {}", text(name));
    touches.learn(generation, plan.as_ref(), &touched(session, query).await?);
    Ok(())
}

/// Keeps marks, in the open transaction, which holds the checkpoint's row.
pub(super) async fn keep(
    session: &mut Session,
    name: &str,
    touches: impl Iterator<Item = Touch>,
) -> Result<(), Failure> {
    let name = text(name);
    let rows = touches.map(|touch| format!("({name}, {}, {})", touch.table.0, touch.stored_unit()));
    let replace = "REPLACE INTO dunlin.touched (migration, table_id, unit) VALUES ";
    let kept = insert_rows(session, replace, rows).await;
    kept.map_err(attempting("mark what was changed since a verification"))?;
    Ok(())
}

/// Marks tables as a whole, likewise.
pub(super) async fn touch_tables(
    session: &mut Session,
    name: &str,
    tables: impl Iterator<Item = TableId>,
) -> Result<(), Failure> {
    keep(session, name, tables.map(|table| Touch { table, unit: None })).await
}

/// Marks all tables, likewise: others than we may write to them from here on.
pub(super) async fn touch_all(session: &mut Session, name: &str) -> Result<(), Failure> {
    let statement = format!(
        "REPLACE INTO dunlin.touched (migration, table_id, unit) \
         SELECT migration, id, -1 FROM dunlin.tables WHERE migration = {}",
        text(name)
    );
    let touched = session.execute(statement).await;
    touched.map_err(attempting("mark what was changed since a verification"))?;
    Ok(())
}
