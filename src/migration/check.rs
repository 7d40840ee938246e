//! What would make a new migration fail or lose something, on both sides together.
//!
//! In: both sides and the operator's wishes. Out: findings, and what a run needs that is about to
//! begin. `check` shows the findings; `run` halts with the first one that blocks, before anything
//! is written anywhere. Both look through the same eyes.

use super::MigrationError;
use super::run::Options;
use crate::config::NamedTables;
use crate::model::report::{Finding, Severity};
use crate::model::selection::SelectionError;
use crate::model::{Failure, Table, TableName};
use crate::source::Source;
use crate::target::{Arrival, Target};

/// What was found before a migration begins.
#[derive(Clone, Debug, Default)]
pub(super) struct Survey {
    /// Everything that the operator has to know.
    pub(super) findings: Vec<Finding>,
    /// The tables to be copied.
    pub(super) tables: Vec<Table>,
    /// Those of them that may be emptied on the target.
    pub(super) truncate: Vec<TableName>,
}

/// Looks at both sides. Where the source cannot be relied on (its version is not supported) the
/// target is not looked at.
pub(super) async fn survey<S: Source, T: Target>(
    source: &S,
    target: &T,
    options: &Options,
) -> Result<Survey, Failure> {
    let found = source.check(&options.selection, options.connections).await?;
    let Some(facts) = found.facts else {
        return Ok(Survey { findings: found.findings, ..Survey::default() });
    };
    let truncate = named(&options.truncate, &found.tables)?;
    let arrival = Arrival {
        source: &facts,
        tables: &found.tables,
        truncate: &truncate,
        connections: options.connections,
    };
    let mut findings = found.findings;
    findings.extend(target.check(&arrival).await?);
    Ok(Survey { findings, tables: found.tables, truncate })
}

impl Survey {
    /// Lets a run begin, or names the first thing that is in the way. What does not block is
    /// logged.
    ///
    /// # Errors
    ///
    /// [`MigrationError::Blocked`].
    pub(super) fn clear(&self) -> Result<(), MigrationError> {
        let blocking = |finding: &&Finding| finding.severity == Severity::Block;
        if let Some(finding) = self.findings.iter().find(blocking) {
            let all = self.findings.iter().filter(blocking).count();
            return Err(MigrationError::Blocked { finding: Box::new(finding.clone()), all });
        }
        for finding in &self.findings {
            let (id, subject) = (&finding.id, &finding.subject);
            match finding.severity {
                Severity::Block | Severity::Warn => {
                    tracing::warn!("{id}: {subject}: {}", finding.evidence);
                }
                Severity::Info => tracing::info!("{id}: {subject}: {}", finding.evidence),
            }
        }
        Ok(())
    }
}

/// The tables that are named, themselves or by the table above them.
fn named(named: &NamedTables, tables: &[Table]) -> Result<Vec<TableName>, SelectionError> {
    named.check(tables.iter().map(|table| &table.name))?;
    let meant = |table: &&Table| named.names(&table.name, &table.root.iter().collect::<Vec<_>>());
    Ok(tables.iter().filter(meant).map(|table| table.name.clone()).collect())
}
