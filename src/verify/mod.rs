//! Whether both sides hold the same rows, while the source is written to.
//!
//! In: a source, its rows and the target's as they are now, and the target's state, which says how far
//! the log is applied. Out: a report of every row that is missing, extra or different. Nothing here
//! knows an engine or a lock; nothing is written but proofs into the state, so that a verification that
//! was killed goes on where it was.
//!
//! Each unit is read on both sides at once and reduced to digests. Where these differ, the rows that
//! differ become suspects (`compare`), and each suspect is looked at by its key: on the source, then
//! on the target once that has applied everything up to there, then on the source again (`settle`).
//! So no row is called different for being on its way, and no difference that lasts is overlooked:
//! every row of either side is in exactly one unit there, and in a digest.

mod compare;
mod digest;
mod pace;
mod planner;
mod report;
mod rows;
mod settle;
mod suspect;

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;
use tokio::task::JoinSet;

use self::compare::Worker;
use self::pace::Pace;
use self::report::Findings;
use self::rows::Keying;
use crate::model::selection::Selection;
use crate::model::verification::{Proof, Sample, Unit, VerificationPlan, VerificationReport};
use crate::model::{
    Code, Disposition, Failure, Fault, Halt, Position, SourceIdentity, Table, TableId,
};
use crate::observe::progress::{Progress, TableEstimate};
use crate::source::{Lull, Present};
use crate::target::{Migration, Proofs, Target};

/// A verification that was begun longer ago is begun anew, in seconds.
const STALE_S: u64 = 24 * 60 * 60;

/// What a verification is to do.
#[derive(Clone, Debug)]
pub struct Options {
    /// The migration's name.
    pub name: String,
    /// Which of its tables.
    pub tables: Selection,
    /// How many units of a hundred; all where it is None.
    pub sample_percent: Option<f64>,
    /// What the choice of these follows from; a new one where it is None.
    pub seed: Option<u64>,
    /// Size of a unit, in bytes.
    pub chunk_bytes: u64,
    /// Units at once; each takes a connection on either side.
    pub workers: usize,
    /// Bytes of rows to read in a second, of both sides together; any number where it is None.
    pub bytes_per_second: Option<u64>,
    /// Whether the report has the values that differ.
    pub show_values: bool,
}

/// A comparison of both sides.
#[derive(Debug)]
pub struct Verification<S, P, T> {
    /// The source, for its log and for where its tables are cut.
    pub source: S,
    /// The rows of the source, and those of the target.
    pub sides: (P, P),
    /// The target, for its state.
    pub state: T,
    /// What to do.
    pub options: Options,
    /// Becomes true when the operator wants an end.
    pub stop: watch::Receiver<bool>,
    /// Where progress is shown.
    pub progress: Progress,
}

/// What keeps a verification from an answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// Tables are still being copied.
    #[error("compare tables that are still being copied")]
    NotCopied,
    /// There is no such migration.
    #[error("compare the tables of migration {name}, which the target knows nothing of")]
    Missing {
        /// Its name.
        name: String,
    },
    /// Nobody applies what the source's log holds.
    #[error(
        "compare rows that changed on the source up to {position}: the target is at {}, and no run \
         is at work",
        applied.as_ref().map_or_else(|| "its copy".to_owned(), ToString::to_string)
    )]
    Behind {
        /// How far the source is.
        position: Position,
        /// How far the target is.
        applied: Option<Position>,
    },
    /// The operator stopped it.
    #[error("compare all tables before being stopped")]
    Stopped,
    /// A server's answer ended within a row.
    #[error("read the rows of table {table}, which ended within a row")]
    Torn {
        /// The table.
        table: String,
    },
}

impl Fault for VerifyError {
    fn disposition(&self) -> Disposition {
        match self {
            VerifyError::NotCopied => Halt::with(
                Code::VerifyBehind,
                "wait until `dunlin run` follows the source (`dunlin status` shows its phase), then \
                 verify again",
            ),
            VerifyError::Behind { .. } => Halt::with(
                Code::VerifyBehind,
                "start `dunlin run` and verify again while it is at work: rows that are not applied \
                 yet cannot be told from rows that differ",
            ),
            VerifyError::Missing { .. } => {
                Halt::with(Code::MigrationMissing, "look at --name and --target")
            }
            VerifyError::Stopped => {
                Halt::with(Code::VerifyStopped, "the same command again goes on where it was")
            }
            VerifyError::Torn { .. } => Halt::with(
                Code::ProtocolViolation,
                "check that both addresses are servers', with no proxy in between",
            ),
        }
    }
}

/// A table that is compared.
struct Compared {
    /// Its place among the tables that progress is shown of.
    place: usize,
    table: Table,
    keying: Keying,
}

/// What the workers share.
struct Shared<S, T> {
    source: S,
    state: T,
    tables: HashMap<TableId, Compared>,
    /// The number of the plan.
    plan: u32,
    queue: Mutex<VecDeque<Unit>>,
    findings: Mutex<Findings>,
    pace: Pace,
    show_values: bool,
    /// No run was at work when it was looked for last, and looked for again a while later.
    alone: AtomicBool,
    stop: watch::Receiver<bool>,
    progress: Progress,
}

impl<S: Lull, P: Present, T: Target + Proofs> Verification<S, P, T> {
    /// Compares everything that was not proven by an earlier process.
    ///
    /// # Errors
    ///
    /// Where a server fails; where the operator stops it; and [`VerifyError::Behind`] where rows
    /// differ and nobody applies the log that may hold them.
    pub async fn go(&self) -> Result<VerificationReport, Failure> {
        let missing = || VerifyError::Missing { name: self.options.name.clone() };
        let migration = self.state.load().await?.ok_or_else(missing)?;
        if self.state.applied().await?.position.is_none() {
            return Err(VerifyError::NotCopied.into());
        }
        let begun_position = self.source.position().await?;
        let tables = self.selected(&migration)?;
        let (plan, proofs) = self.plan(&tables).await?;
        let findings = Findings::new(&tables, &plan, &proofs);
        self.progress.comparison_started(estimates(&tables, &plan, &proofs));
        let shared = Arc::new(self.shared(tables, findings, &plan, &proofs));
        self.work(&shared).await?;
        if *self.stop.borrow() {
            return Err(VerifyError::Stopped.into());
        }
        let findings = {
            let mut findings = shared.findings.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *findings)
        };
        let (verdict, tables, differences) = findings.concluded();
        let ended_position = self.source.position().await?;
        self.state.end().await?;
        Ok(VerificationReport {
            verdict,
            migration: self.options.name.clone(),
            source: called(&migration.source),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            begun_at: report::moment(plan.begun_at_s),
            ended_at: report::now(),
            begun_position,
            ended_position,
            sample: plan.sample,
            units_before: proofs.len() as u64,
            tables,
            differences,
        })
    }

    fn selected(&self, migration: &Migration) -> Result<Vec<Table>, Failure> {
        let selection = &self.options.tables;
        selection.check(migration.tables.iter().flat_map(|table| {
            let above = table.root.iter();
            above.chain(std::iter::once(&table.name))
        }))?;
        let selected = |table: &&Table| {
            selection.selects_partition(&table.name, &table.root.iter().collect::<Vec<_>>())
        };
        Ok(migration.tables.iter().filter(selected).cloned().collect())
    }

    /// The verification that an earlier process left, where it is of the same tables; or a new one.
    async fn plan(&self, tables: &[Table]) -> Result<(VerificationPlan, Vec<Proof>), Failure> {
        let Options { sample_percent, seed, chunk_bytes, .. } = self.options;
        let patterns = self.options.tables.patterns();
        if let Some((plan, mut proofs)) = self.state.unfinished().await? {
            // Another process may have gone on with the plan that was there before.
            proofs.retain(|proof| proof.plan == plan.id);
            let same_sample = plan.sample.map(|sample| sample.percent) == sample_percent
                && seed.is_none_or(|seed| plan.sample.is_none_or(|sample| sample.seed == seed));
            let age_s = report::seconds_now().saturating_sub(plan.begun_at_s);
            if plan.tables == *patterns && same_sample && age_s < STALE_S {
                tracing::info!(proven = proofs.len(), all = plan.units.len(), "goes on");
                return Ok((plan, proofs));
            }
        }
        let seed = seed.unwrap_or_else(rand::random);
        let sample = sample_percent.map(|percent| Sample { percent, seed });
        let plan = planner::plan(&self.source, tables, chunk_bytes, (patterns, sample)).await?;
        self.state.begin(&plan).await?;
        Ok((plan, Vec::new()))
    }

    fn shared(
        &self,
        tables: Vec<Table>,
        findings: Findings,
        plan: &VerificationPlan,
        proofs: &[Proof],
    ) -> Shared<S, T> {
        let compared = |(place, table): (usize, Table)| {
            (table.id, Compared { place, keying: Keying::of(&table), table })
        };
        let tables: HashMap<TableId, Compared> =
            tables.into_iter().enumerate().map(compared).collect();
        let proven = |unit: &&Unit| proofs.iter().any(|proof| proof.unit == unit.number);
        let open =
            plan.units.iter().filter(|unit| !proven(unit) && tables.contains_key(&unit.table));
        Shared {
            source: self.source.clone(),
            state: self.state.clone(),
            plan: plan.id,
            queue: Mutex::new(open.cloned().collect()),
            tables,
            findings: Mutex::new(findings),
            pace: Pace::new(self.options.bytes_per_second),
            show_values: self.options.show_values,
            alone: AtomicBool::new(false),
            stop: self.stop.clone(),
            progress: self.progress.clone(),
        }
    }

    /// Compares unit after unit, several at once.
    async fn work(&self, shared: &Arc<Shared<S, T>>) -> Result<(), Failure> {
        let open = shared.queue.lock().unwrap_or_else(PoisonError::into_inner).len();
        let mut running = JoinSet::new();
        for _ in 0..self.options.workers.min(open) {
            let (shared, (source, target)) = (Arc::clone(shared), self.sides.clone());
            running.spawn(async move {
                let readers = (source.reader().await?, target.reader().await?);
                Worker::new(shared, readers).work().await
            });
        }
        while let Some(ended) = running.join_next().await {
            match ended {
                Ok(result) => result?,
                Err(panic) => std::panic::resume_unwind(panic.into_panic()),
            }
        }
        Ok(())
    }
}

fn called(source: &SourceIdentity) -> String {
    format!("{} in cluster {}, {}", source.database, source.cluster, source.version)
}

fn estimates(tables: &[Table], plan: &VerificationPlan, proofs: &[Proof]) -> Vec<TableEstimate> {
    let proven = |unit: &&Unit| proofs.iter().any(|proof| proof.unit == unit.number);
    let estimate = |table: &Table| {
        let units = || plan.units.iter().filter(|unit| unit.table == table.id);
        TableEstimate {
            name: table.name.to_string(),
            bytes: units().map(|unit| unit.bytes).sum(),
            rows: table.estimated_rows,
            chunks: units().count() as u64,
            chunks_done: units().filter(proven).count() as u64,
        }
    };
    tables.iter().map(estimate).collect()
}
