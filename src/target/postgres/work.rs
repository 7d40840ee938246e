//! The work around the rows: making the schema, choosing the form of rows, building what follows.
//!
//! In: what the source carried over, and the state. Out: tables, indexes, constraints, statistics,
//! views, each made in one transaction with its record, so that none is made twice and none is
//! forgotten.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use tokio_postgres::{Client as Driver, Transaction};

use super::build::{self, BuildStep, Stage};
use super::catalog::{self, TargetTable};
use super::schema::{self, Ownership};
use super::state::{self, Fence};
use super::{Options, TargetError, statement};
use crate::connect::attempting;
use crate::connect::postgres::Client;
use crate::connect::program::Programs;
use crate::connect::quote::{quote_literal, quote_name};
use crate::model::{CarriedSchema, Failure, RowForm, Table, TableName};
use crate::target::{Build, BuildStage};

/// One step after the load, as the state keeps it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(super) enum Step {
    /// An index, a constraint, or another part of the schema.
    Schema(BuildStep),
    /// A table's statistics.
    Analyze { table: TableName, bytes: u64 },
    /// A materialised view's rows.
    Refresh { view: TableName, wave: i32 },
}

/// The first wave of each kind of step; parallel stages are one wave, the steps of the others are
/// a wave each.
const WAVES_PER_STAGE: i32 = 1_000_000;

impl Step {
    fn stage(&self) -> BuildStage {
        match self {
            Step::Schema(step) if step.stage == Stage::Identity => BuildStage::Identity,
            Step::Schema(_) | Step::Analyze { .. } | Step::Refresh { .. } => BuildStage::Rest,
        }
    }

    /// Statistics are gathered beside the indexes; views are refreshed last.
    fn wave(&self, id: i32) -> i32 {
        match self {
            Step::Schema(step) => {
                let stage = Stage::ALL.iter().position(|stage| *stage == step.stage);
                let base = stage.unwrap_or_default() as i32 * WAVES_PER_STAGE;
                if step.stage.parallel() { base } else { base + id }
            }
            Step::Analyze { .. } => Stage::Index as i32 * WAVES_PER_STAGE,
            Step::Refresh { wave, .. } => Stage::ALL.len() as i32 * WAVES_PER_STAGE + wave,
        }
    }

    /// As statements.
    fn carried_out(&self, id: i32) -> BuildStep {
        match self {
            Step::Schema(step) => step.clone(),
            Step::Analyze { table, .. } => {
                plain(format!("ANALYZE {}", quote_name(table)), self, id)
            }
            Step::Refresh { view, .. } => {
                plain(format!("REFRESH MATERIALIZED VIEW {}", quote_name(view)), self, id)
            }
        }
    }

    fn statements(&self, id: i32) -> String {
        let step = self.carried_out(id);
        let statements = step.sql.iter().map(|sql| sql.trim().trim_end_matches(';'));
        statements.collect::<Vec<_>>().join("; ")
    }

    pub(super) fn build(&self, id: i32) -> Build {
        let bytes = match self {
            Step::Schema(step) => step.bytes_hint,
            Step::Analyze { bytes, .. } => *bytes,
            Step::Refresh { .. } => 0,
        };
        let (label, statements) = (self.label(), self.statements(id));
        Build { id, label, wave: self.wave(id), bytes, statements }
    }

    fn label(&self) -> String {
        match self {
            Step::Schema(step) => step.label.clone(),
            Step::Analyze { table, .. } => format!("statistics of {table}"),
            Step::Refresh { view, .. } => format!("materialised view {view}"),
        }
    }
}

/// Makes the tables, and records what is left to be built, in one transaction.
pub(super) async fn make_tables(
    session: &mut Client,
    fence: &Fence,
    options: &Options,
    carried: &CarriedSchema,
    tables: &[Table],
) -> Result<(), Failure> {
    let version = carried.facts.programs_version;
    let programs = Programs::find(version, version).await?;
    let ownership = Ownership { owners: options.privileges, privileges: options.privileges };
    let mut entries = schema::entries(&programs, &carried.archive, ownership).await?;
    let facts = &carried.facts;
    for left_out in entries.leave_out(&facts.excluded) {
        tracing::warn!("{left_out} is not carried over: it needs a table that is not copied");
    }
    let plan = build::plan(&entries.after, &facts.definitions);
    let own_major = (session.server_version_num() / 10_000).cast_signed();
    let rehearsed = if own_major < version { plan.clone() } else { Vec::new() };
    let analyze =
        tables.iter().map(|table| Step::Analyze { table: table.name.clone(), bytes: table.bytes });
    let views = facts.views.iter().filter(|view| view.populated).zip(0..);
    let refresh = views.map(|(view, wave)| Step::Refresh { view: view.name.clone(), wave });
    let steps: Vec<Step> =
        plan.into_iter().map(Step::Schema).chain(analyze).chain(refresh).collect();
    let prefilled: Vec<_> = facts.prefilled.iter().map(quote_name).collect();
    let ledger = record_text(fence, carried, &steps, &prefilled);
    let left_out = schema::create(session, &entries.before, &rehearsed, &ledger).await?;
    for object in left_out {
        tracing::warn!("{object} is not carried over: the role on the target may not set it");
    }
    Ok(())
}

/// The statements that record a made schema, as the last ones of the transaction that makes it.
fn record_text(
    fence: &Fence,
    carried: &CarriedSchema,
    steps: &[Step],
    prefilled: &[String],
) -> String {
    let name = quote_literal(&fence.name);
    let mut archive = String::with_capacity(carried.archive.bytes.len() * 2);
    for byte in &carried.archive.bytes {
        use std::fmt::Write;
        let _ = write!(archive, "{byte:02x}");
    }
    let mut text = format!(
        "{}; UPDATE dunlin.migration SET archive = pg_catalog.decode('{archive}', 'hex'), \
         facts = {}::pg_catalog.jsonb WHERE name = {name}",
        fence.assertion(),
        quote_literal(&state::json_text(&carried.facts)),
    );
    for (step, id) in steps.iter().zip(0i32..) {
        let step = quote_literal(&state::json_text(step));
        text.push_str(&format!(
            "; INSERT INTO dunlin.build (migration, id, step) \
             VALUES ({name}, {id}, {step}::pg_catalog.jsonb)"
        ));
    }
    for table in prefilled {
        text.push_str(&format!("; DELETE FROM ONLY {table}"));
    }
    text
}

/// What of a stage is not built yet, in order.
pub(super) async fn left(
    client: &Driver,
    name: &str,
    stage: BuildStage,
) -> Result<Vec<(i32, Step)>, Failure> {
    let rows = client
        .query(
            "SELECT id, step::text FROM dunlin.build \
             WHERE migration = $1 AND finished_at IS NULL",
            &[&name],
        )
        .await
        .map_err(attempting("read what is left to be built"))?;
    let mut steps = Vec::new();
    for row in &rows {
        let step: Step = serde_json::from_str(row.get(1)).map_err(TargetError::unreadable)?;
        if step.stage() == stage {
            steps.push((row.get::<_, i32>(0), step));
        }
    }
    steps.sort_by_key(|(id, step)| {
        let build = step.build(*id);
        (build.wave, std::cmp::Reverse(build.bytes), *id)
    });
    Ok(steps)
}

/// Carries out one step and records it, in one transaction.
pub(super) async fn execute(
    session: &mut Client,
    fence: &Fence,
    (id, step): (i32, &Step),
    memory_kb: u64,
) -> Result<(), Failure> {
    let record = format!(
        "{}; UPDATE dunlin.build SET finished_at = pg_catalog.clock_timestamp() \
         WHERE migration = {} AND id = {id}",
        fence.assertion(),
        quote_literal(&fence.name)
    );
    let step = step.carried_out(id);
    let memory_kb = u32::try_from(memory_kb).unwrap_or(u32::MAX).min(i32::MAX as u32);
    match build::execute(session, &step, memory_kb, &record).await {
        Err(build::BuildError::Step(error)) if error.code() == Some(state::NOT_OURS) => {
            Err(TargetError::Fenced.into())
        }
        executed => {
            if !executed? {
                let label = &step.label;
                tracing::warn!("{label} is not carried over: only a superuser may create it");
            }
            Ok(())
        }
    }
}

/// A step of a single statement that is no part of the archive.
fn plain(text: String, step: &Step, id: i32) -> BuildStep {
    BuildStep {
        id: id.to_string(),
        stage: Stage::Rest,
        label: step.label(),
        table: None,
        bytes_hint: 0,
        privileged: false,
        sql: vec![text],
    }
}

/// Empties tables in the open transaction. Where a foreign key refers to one of them TRUNCATE is
/// not allowed, though no row refers to it: the rows are deleted.
pub(super) async fn empty(transaction: &Transaction<'_>, tables: &[Table]) -> Result<(), Failure> {
    let act = |table: &Table| attempting(format!("empty table {}", table.name));
    let resting = "SET LOCAL session_replication_role = replica";
    transaction.batch_execute(resting).await.map_err(attempting("rest the triggers"))?;
    let found = target_tables(transaction.client(), tables).await?;
    for table in tables {
        let Some(target) = found.get(&table.name) else {
            return Err(TargetError::TableMissing { table: table.name.clone() }.into());
        };
        let only = std::iter::once(target);
        transaction.batch_execute("SAVEPOINT emptying").await.map_err(act(table))?;
        if transaction.batch_execute(&statement::truncate(only.clone(), false)).await.is_err() {
            let delete = statement::delete_all(only);
            let text = format!("ROLLBACK TO SAVEPOINT emptying; {delete}");
            transaction.batch_execute(&text).await.map_err(act(table))?;
        }
        transaction.batch_execute("RELEASE SAVEPOINT emptying").await.map_err(act(table))?;
    }
    Ok(())
}

/// Binary where the source's types travel and the target's columns are of the very same ones.
pub(super) async fn forms(client: &Driver, tables: &[Table]) -> Result<Vec<RowForm>, Failure> {
    let found = target_tables(client, tables).await?;
    let form = |table: &Table| match found.get(&table.name) {
        Some(target) if table.binary_travels && same_types(table, target) => RowForm::Binary,
        Some(_) | None => RowForm::Text,
    };
    Ok(tables.iter().map(form).collect())
}

fn same_types(table: &Table, target: &TargetTable) -> bool {
    table.copied_columns().all(|column| {
        let found = target.columns.iter().find(|candidate| candidate.name == column.name);
        found.is_some_and(|found| found.type_name == column.type_name)
    })
}

async fn target_tables(
    client: &Driver,
    tables: &[Table],
) -> Result<HashMap<TableName, TargetTable>, Failure> {
    let names: Vec<TableName> = tables.iter().map(|table| table.name.clone()).collect();
    let found = catalog::tables(client, &names).await?;
    Ok(found.into_iter().map(|table| (table.name.clone(), table)).collect())
}

/// Why tables that were there before would not take the source's rows: for each the first reason.
pub(super) async fn schema_differences(
    client: &Driver,
    tables: &[Table],
) -> Result<Vec<TargetError>, Failure> {
    let found = target_tables(client, tables).await?;
    let differing = |table: &Table| {
        let problem = difference(table, found.get(&table.name)?)?;
        Some(TargetError::SchemaDiffers { table: table.name.clone(), problem })
    };
    Ok(tables.iter().filter_map(differing).collect())
}

fn difference(table: &Table, target: &TargetTable) -> Option<String> {
    table.copied_columns().find_map(|column| {
        let same = target.columns.iter().find(|candidate| candidate.name == column.name);
        match same {
            None => Some(format!("column {} is missing", column.name)),
            Some(same) if same.generated || same.type_name != column.type_name => {
                Some(format!("column {} is of another type", column.name))
            }
            Some(_) => None,
        }
    })
}
