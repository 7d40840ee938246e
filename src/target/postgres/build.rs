//! Builds what comes after the rows: indexes, constraints, triggers and the rest.
//!
//! In: an archive's entries and the source's definitions. Out: steps in an order in which they
//! can run, each a transaction with its own ledger entry, so that a build that was killed goes on
//! where it stopped and nothing is built twice. The plan is a pure function; it knows no server.
//!
//! A key is built as a plain unique index, which many can be at once on one table, and becomes a
//! constraint afterwards in an instant. A foreign key is added without looking at the rows and
//! validated afterwards, under a lock that lets writers through.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Transaction};

use crate::connect::quote::{quote_ident, quote_name};
use crate::connect::{StatementError, attempting};
use crate::model::objects::{Definition, DefinitionKind};
use crate::model::{Disposition, Fault, TableName};

use super::schema::{self, SETTINGS, restoring};
use super::script::{self, Entry};

/// What can go wrong in building.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A step's statement failed.
    #[error(transparent)]
    Step(#[from] StatementError),
}

impl Fault for BuildError {
    fn disposition(&self) -> Disposition {
        match self {
            BuildError::Step(error) => restoring(
                error,
                "mend what the server names and run the same command again; finished steps stay",
            ),
        }
    }
}

/// The stages of a build. Each begins when the one before it is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Indexes by which rows are found when changes are applied.
    Identity,
    /// All other indexes.
    Index,
    /// Constraints, from the indexes that are there.
    Constraint,
    /// Indexes of partitions become parts of those of their tables.
    Attach,
    /// Foreign keys.
    ForeignKey,
    /// The rows are checked against foreign keys.
    Validate,
    /// Triggers, rules, policies, statistics objects, comments and what depends on them.
    Rest,
}

impl Stage {
    /// All stages in order.
    pub const ALL: [Stage; 7] = [
        Stage::Identity,
        Stage::Index,
        Stage::Constraint,
        Stage::Attach,
        Stage::ForeignKey,
        Stage::Validate,
        Stage::Rest,
    ];

    /// Whether its steps may run at the same time. The others run in the order of the plan.
    #[must_use]
    pub fn parallel(self) -> bool {
        match self {
            Stage::Identity | Stage::Index | Stage::Validate => true,
            Stage::Constraint | Stage::Attach | Stage::ForeignKey | Stage::Rest => false,
        }
    }
}

/// One step: what one transaction does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildStep {
    /// Its name within the plan, the same whenever the same archive is planned.
    pub id: String,
    /// When it runs.
    pub stage: Stage,
    /// What it builds, for people.
    pub label: String,
    /// The table it builds on, where there is one.
    pub table: Option<TableName>,
    /// Bytes that it works through.
    pub bytes_hint: u64,
    /// Only a superuser may do it, so it is left out where the role is none.
    pub privileged: bool,
    /// Its statements.
    pub sql: Vec<String>,
}

/// Plans the build: steps in the order of their stages, within a parallel stage the largest first.
#[must_use]
pub fn plan(entries: &[Entry], definitions: &[Definition]) -> Vec<BuildStep> {
    let mut planner = Planner {
        definitions: definitions
            .iter()
            .map(|definition| (definition.source_id, definition))
            .collect(),
        late: HashSet::new(),
        steps: Vec::new(),
    };
    for entry in entries.iter().filter(|entry| !entry.sql.is_empty()) {
        planner.add(entry);
    }
    let mut steps = planner.steps;
    // The sort is stable: what is not parallel keeps the archive's order.
    steps.sort_by_key(|step| {
        let size = if step.stage.parallel() { step.bytes_hint } else { 0 };
        (step.stage, std::cmp::Reverse(size))
    });
    steps
}

struct Planner<'a> {
    definitions: HashMap<u64, &'a Definition>,
    /// Entries that went to the last stage.
    late: HashSet<u32>,
    steps: Vec<BuildStep>,
}

impl Planner<'_> {
    fn add(&mut self, entry: &Entry) {
        // An index on a materialised view that itself had to wait for a key, for example.
        let waits = entry.dependencies.iter().any(|id| self.late.contains(id));
        let definition = self.definitions.get(&u64::from(entry.oid)).copied();
        match (entry.kind.as_str(), definition) {
            _ if waits => self.rest(entry),
            ("INDEX", Some(definition)) => self.index(entry, definition),
            ("CONSTRAINT", Some(definition)) => self.constraint(entry, definition),
            ("FK CONSTRAINT", Some(definition)) => self.foreign_key(entry, definition),
            ("CONSTRAINT" | "CHECK CONSTRAINT", definition) => {
                self.push(entry, Stage::Constraint, definition, vec![entry.sql.clone()]);
            }
            ("INDEX ATTACH", _) => {
                self.push(entry, Stage::Attach, None, vec![entry.sql.clone()]);
            }
            _ => self.rest(entry),
        }
    }

    fn rest(&mut self, entry: &Entry) {
        self.late.insert(entry.toc_id);
        self.push(entry, Stage::Rest, None, vec![entry.sql.clone()]);
    }

    fn index(&mut self, entry: &Entry, definition: &Definition) {
        let identity = definition.kind == DefinitionKind::Index { identity: true };
        let (table, own): (Vec<_>, Vec<_>) = script::statements(&entry.sql)
            .into_iter()
            .partition(|statement| is_table_statement(statement));
        self.push(entry, index_stage(identity), Some(definition), own);
        self.mark_table(entry, definition, table);
    }

    fn constraint(&mut self, entry: &Entry, definition: &Definition) {
        let DefinitionKind::Key { primary, identity, index_sql, deferrable, deferred } =
            &definition.kind
        else {
            // That of a partitioned table is made without those of its partitions, at once; the
            // stream asks for it where rows are written through the partitioned table.
            let stage = match definition.kind {
                DefinitionKind::PartitionedKey { identity: true } => Stage::Identity,
                _ => Stage::Constraint,
            };
            return self.push(entry, stage, Some(definition), vec![entry.sql.clone()]);
        };
        let statements = script::statements(&entry.sql).into_iter();
        let (table, own): (Vec<_>, Vec<_>) =
            statements.skip(1).partition(|sql| is_table_statement(sql));
        let Some(index_sql) = index_sql else {
            let whole = script::statements(&entry.sql).into_iter().take(1).chain(own).collect();
            self.push(entry, index_stage(*identity), Some(definition), whole);
            return self.mark_table(entry, definition, table);
        };
        let kind = if *primary { "PRIMARY KEY" } else { "UNIQUE" };
        let name = quote_ident(&definition.name);
        let mut add = format!(
            "ALTER TABLE ONLY {} ADD CONSTRAINT {name} {kind} USING INDEX {name}",
            quote_name(&definition.table)
        );
        if *deferrable {
            add.push_str(" DEFERRABLE");
        }
        if *deferred {
            add.push_str(" INITIALLY DEFERRED");
        }
        self.push(entry, index_stage(*identity), Some(definition), vec![index_sql.clone()]);
        let sql = std::iter::once(add).chain(own).chain(table).collect();
        self.push_named(entry, "constraint", Stage::Constraint, definition, sql);
    }

    fn foreign_key(&mut self, entry: &Entry, definition: &Definition) {
        let DefinitionKind::ForeignKey { validated } = &definition.kind else {
            return self.rest(entry);
        };
        let mut statements = script::statements(&entry.sql);
        // A partitioned table takes no foreign key that is not valid before version 18.
        let split = *validated && !definition.partitioned;
        if split && let Some(add) = statements.first_mut() {
            add.push_str(" NOT VALID");
        }
        self.push(entry, Stage::ForeignKey, Some(definition), statements);
        if split {
            let validate = format!(
                "ALTER TABLE ONLY {} VALIDATE CONSTRAINT {}",
                quote_name(&definition.table),
                quote_ident(&definition.name)
            );
            self.push_named(entry, "validate", Stage::Validate, definition, vec![validate]);
        }
    }

    /// CLUSTER ON and REPLICA IDENTITY lock the table against everything, so they wait until no
    /// index is being built on it.
    fn mark_table(&mut self, entry: &Entry, definition: &Definition, sql: Vec<String>) {
        if !sql.is_empty() {
            self.push_named(entry, "table", Stage::Constraint, definition, sql);
        }
    }

    fn push_named(
        &mut self,
        entry: &Entry,
        part: &str,
        stage: Stage,
        definition: &Definition,
        sql: Vec<String>,
    ) {
        self.push(entry, stage, Some(definition), sql);
        if let Some(step) = self.steps.last_mut() {
            step.id = format!("{}.{part}", entry.toc_id);
        }
    }

    fn push(
        &mut self,
        entry: &Entry,
        stage: Stage,
        definition: Option<&Definition>,
        sql: Vec<String>,
    ) {
        self.steps.push(BuildStep {
            id: entry.toc_id.to_string(),
            stage,
            label: entry.label(),
            table: definition.map(|definition| definition.table.clone()),
            bytes_hint: definition.map_or(0, |definition| definition.bytes),
            privileged: is_privileged(entry),
            sql,
        });
    }
}

fn index_stage(identity: bool) -> Stage {
    if identity { Stage::Identity } else { Stage::Index }
}

/// Event triggers, and publications of all tables or of schemas: on many a managed server nobody
/// may make them. Nothing but their own parts depends on them.
fn is_privileged(entry: &Entry) -> bool {
    let of = |kind: &str| match entry.kind.as_str() {
        "COMMENT" => entry.name.starts_with(kind),
        other => other.starts_with(kind),
    };
    of("EVENT TRIGGER") || of("PUBLICATION")
}

fn is_table_statement(statement: &str) -> bool {
    statement.starts_with("ALTER TABLE ")
}

/// Runs a step and its ledger statement in one transaction: when the one is there, so is the
/// other. Returns whether it was done: a privileged step may be left out.
///
/// # Errors
///
/// A statement failed; nothing was changed.
pub async fn execute(
    client: &mut Client,
    step: &BuildStep,
    maintenance_work_mem_kb: u32,
    ledger: &str,
) -> Result<bool, BuildError> {
    let failed = || attempting(format!("build {} on the target", step.label));
    let transaction = client.transaction().await.map_err(failed())?;
    let settings = format!(
        "{SETTINGS};
         SET LOCAL synchronous_commit = off;
         SET LOCAL maintenance_work_mem = {maintenance_work_mem_kb}"
    );
    transaction.batch_execute(&settings).await.map_err(failed())?;
    let done = carry_out(&transaction, step).await?;
    transaction.batch_execute(ledger).await.map_err(failed())?;
    transaction.commit().await.map_err(failed())?;
    Ok(done)
}

/// Runs a step's statements in the open transaction.
pub(super) async fn carry_out(
    transaction: &Transaction<'_>,
    step: &BuildStep,
) -> Result<bool, StatementError> {
    if step.privileged {
        // What belongs to one that was left out does not find it.
        let forgiven = [SqlState::INSUFFICIENT_PRIVILEGE, SqlState::UNDEFINED_OBJECT];
        return schema::attempt(transaction, &step.label, &step.sql.join("; "), &forgiven).await;
    }
    for statement in &step.sql {
        let failed = attempting(format!("build {} on the target", step.label));
        transaction.batch_execute(statement).await.map_err(failed)?;
    }
    Ok(true)
}

#[cfg(test)]
mod tests;
