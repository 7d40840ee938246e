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

mod canonical;
mod compare;
mod digest;
mod document;
pub mod final_proof;
mod mend;
mod pace;
mod planner;
mod report;
mod round;
mod rows;
mod settle;
mod suspect;

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use self::canonical::{AS_WRITTEN, Forms};
use self::compare::{Wanted, Worker};
use self::pace::Pace;
use self::report::Findings;
use self::rows::Keying;
use crate::model::selection::Selection;
use crate::model::verification::{Proof, Unit, Verdict, VerificationPlan, VerificationReport};
use crate::model::{
    Code, Disposition, Failure, Fault, Halt, Position, SourceIdentity, Table, TableId,
};
use crate::observe::progress::{Progress, TableEstimate};
use crate::source::{ChunkRows, Lull, Present, PresentReader, Scope};
use crate::target::{Mend, Migration, Proofs, Target};

/// A verification that was begun longer ago is begun anew, in seconds.
const STALE_S: u64 = 24 * 60 * 60;

/// How long workers may take to end once they are told to.
const HALT_PATIENCE: Duration = Duration::from_secs(2);

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
    /// No chunk is begun while more sessions than that are at work on the source.
    pub most_at_work: Option<u64>,
    /// Whether the report has the values that differ.
    pub show_values: bool,
    /// Whether rows that differ are put right on the target.
    pub repair: bool,
    /// Whether units are left out that nothing touched since they were proven.
    pub incremental: bool,
    /// After so long it ends with what is compared by then; never where it is None.
    pub longest: Option<Duration>,
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
    /// The target is not the source's copy any more.
    #[error("put rows right on a target that its own clients write to")]
    HandedOver,
    /// Rows that were about to be put right are being written.
    #[error(
        "have the stream catch up, and rows hold still, while rows of table {table} are locked"
    )]
    Contended {
        /// The table.
        table: String,
    },
    /// The source has no such table, or not all of its columns.
    #[error("read table {table} on the source, which does not have it any more")]
    Gone {
        /// The table.
        table: String,
    },
    /// The operator stopped it.
    #[error("compare all tables before being stopped")]
    Stopped,
    /// It ended before it was known what is to be compared.
    #[error("find out in time what is to be compared")]
    OutOfTime,
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
            VerifyError::HandedOver => Halt::with(
                Code::CutOver,
                "after a cutover the target is right and the source is old: nothing is to be put \
                 right there",
            ),
            VerifyError::Contended { .. } | VerifyError::Gone { .. } => Disposition::Retry,
            VerifyError::Missing { .. } => {
                Halt::with(Code::MigrationMissing, "look at --name and --target")
            }
            VerifyError::Stopped => {
                Halt::with(Code::VerifyStopped, "the same command again goes on where it was")
            }
            VerifyError::OutOfTime => Halt::with(Code::VerifyStopped, "give it more time"),
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
    /// The table with its generated columns as if they were copied, where both sides have them.
    whole: Table,
    /// How rows of that are known.
    keying: Keying,
    /// The forms in which its rows are compared, once that was asked.
    forms: OnceLock<Forms>,
}

impl Compared {
    fn forms(&self) -> &Forms {
        self.forms.get().unwrap_or(AS_WRITTEN)
    }

    /// Asks both sides, as long as one of them does not have all of the table.
    async fn learn_forms<R: PresentReader>(&self, sides: (&mut R, &mut R)) -> Result<(), Failure> {
        if self.forms.get().is_none()
            && let Some(forms) = Forms::of(&self.whole, sides).await?
        {
            // Another worker may have asked at the same time, and got the same answer.
            self.forms.get_or_init(|| forms);
        }
        Ok(())
    }

    fn rows<'a>(&'a self, scope: Scope<'a>) -> Wanted<'a> {
        Wanted { table: &self.whole, forms: self.forms(), scope }
    }

    fn leaves_columns_out(&self) -> bool {
        self.whole.columns.iter().any(|column| column.generated)
    }
}

/// Whether a server has a table with all columns that are to be read.
async fn is_there<R: PresentReader>(reader: &mut R, table: &Table) -> Result<bool, Failure> {
    let Some(mut rows) = reader.read(table, Scope::Keys(&[])).await? else { return Ok(false) };
    while rows.next().await?.is_some() {}
    Ok(true)
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
    most_at_work: Option<u64>,
    show_values: bool,
    repair: bool,
    /// No run was at work when it was looked for last, and looked for again a while later.
    alone: AtomicBool,
    /// Becomes true when the workers are to end.
    stop: watch::Receiver<bool>,
    progress: Progress,
}

/// A verification of which the units are known.
struct Begun<S, T> {
    plan: VerificationPlan,
    /// The source: database, cluster and version.
    source: String,
    /// The end of its log before.
    position: Position,
    /// Units that were proven before.
    proven: u64,
    shared: Arc<Shared<S, T>>,
    /// Has the workers end.
    halt: watch::Sender<bool>,
}

impl<S: Lull, P: Present, T: Target + Proofs + Mend> Verification<S, P, T> {
    /// Compares everything that was not proven by an earlier process.
    ///
    /// # Errors
    ///
    /// Where a server fails; where the operator stops it; [`VerifyError::Behind`] where rows differ and
    /// nobody applies the log that may hold them; and [`VerifyError::OutOfTime`]. Where the time is over
    /// later, the report has fewer units that are equal than there are.
    pub async fn go(&self) -> Result<VerificationReport, Failure> {
        let deadline = self.options.longest.map(|longest| Instant::now() + longest);
        let begun = match deadline {
            Some(deadline) => {
                let begun = tokio::time::timeout_at(deadline, self.begin()).await;
                begun.unwrap_or(Err(VerifyError::OutOfTime.into()))?
            }
            None => self.begin().await?,
        };
        self.work(&begun, deadline).await?;
        if *self.stop.borrow() {
            return Err(VerifyError::Stopped.into());
        }
        self.conclude(begun).await
    }

    /// Finds out what is to be compared.
    async fn begin(&self) -> Result<Begun<S, T>, Failure> {
        let missing = || VerifyError::Missing { name: self.options.name.clone() };
        let migration = self.state.load().await?.ok_or_else(missing)?;
        let headway = self.state.applied().await?;
        if headway.position.is_none() {
            return Err(VerifyError::NotCopied.into());
        }
        if self.options.repair && headway.handed_over {
            return Err(VerifyError::HandedOver.into());
        }
        let position = self.source.position().await?;
        let tables = self.selected(&migration)?;
        let (plan, proofs) = self.round(&tables, &position, &headway).await?;
        let mut findings = Findings::new(&tables, &plan, &proofs);
        self.progress.comparison_started(estimates(&tables, &plan, &proofs));
        let tables = self.compared(tables).await?;
        for compared in tables.iter().filter(|compared| compared.leaves_columns_out()) {
            let note = "its generated columns are not on both sides, and not compared";
            findings.note(compared.table.id, Verdict::Equal, note);
        }
        let (halt, halted) = watch::channel(false);
        let shared = self.shared(tables, findings, (&plan, &proofs), halted);
        let (source, proven) = (called(&migration.source), proofs.len() as u64);
        Ok(Begun { plan, source, position, proven, shared: Arc::new(shared), halt })
    }

    /// What was found; what of it is proof is kept.
    async fn conclude(&self, begun: Begun<S, T>) -> Result<VerificationReport, Failure> {
        let Begun { plan, source, position, proven, shared, .. } = begun;
        let findings = {
            let mut findings = shared.findings.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *findings)
        };
        let proofs = match plan.sample {
            Some(_) => Vec::new(),
            None => findings.proofs(shared.tables.values().map(|compared| &compared.table)),
        };
        let (verdict, tables, differences) = findings.concluded();
        let ended_position = self.source.position().await?;
        if !self.state.end(plan.id, &proofs).await? {
            tracing::warn!(
                "this verification does not count for a cutover: another one was begun, or a cutover \
                 undone, before its end; verify again"
            );
        }
        Ok(VerificationReport {
            verdict,
            migration: self.options.name.clone(),
            source,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            begun_at: report::moment(plan.begun_at_s),
            ended_at: report::now(),
            begun_position: position,
            ended_position,
            sample: plan.sample,
            incremental: plan.incremental,
            units_before: if plan.incremental { 0 } else { proven },
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

    /// The tables, as they are read: with their generated columns, where both sides have these.
    async fn compared(&self, tables: Vec<Table>) -> Result<Vec<Compared>, Failure> {
        let mut readers = None;
        let mut all = Vec::new();
        for (place, table) in tables.into_iter().enumerate() {
            let mut whole = table.clone();
            if table.columns.iter().any(|column| column.generated) {
                whole.columns.iter_mut().for_each(|column| column.generated = false);
                let (source, target) = match &mut readers {
                    Some(readers) => readers,
                    None => {
                        readers.insert((self.sides.0.reader().await?, self.sides.1.reader().await?))
                    }
                };
                if !is_there(source, &whole).await? || !is_there(target, &whole).await? {
                    whole = table.clone();
                }
            }
            let (keying, forms) = (Keying::of(&whole), OnceLock::new());
            all.push(Compared { place, table, whole, keying, forms });
        }
        Ok(all)
    }

    fn shared(
        &self,
        tables: Vec<Compared>,
        findings: Findings,
        (plan, proofs): (&VerificationPlan, &[Proof]),
        stop: watch::Receiver<bool>,
    ) -> Shared<S, T> {
        let tables: HashMap<TableId, Compared> =
            tables.into_iter().map(|compared| (compared.table.id, compared)).collect();
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
            pace: Pace::new(self.options.bytes_per_second, stop.clone()),
            most_at_work: self.options.most_at_work,
            show_values: self.options.show_values,
            repair: self.options.repair,
            alone: AtomicBool::new(false),
            stop,
            progress: self.progress.clone(),
        }
    }

    /// Compares unit after unit, several at once, until none is left or the workers are to end.
    async fn work(&self, begun: &Begun<S, T>, deadline: Option<Instant>) -> Result<(), Failure> {
        let Begun { shared, halt, .. } = begun;
        let open = shared.queue.lock().unwrap_or_else(PoisonError::into_inner).len();
        let mut running = JoinSet::new();
        for _ in 0..self.options.workers.min(open) {
            let (shared, (source, target)) = (Arc::clone(shared), self.sides.clone());
            running.spawn(async move {
                let readers = (source.reader().await?, target.reader().await?);
                Worker::new(shared, readers).work().await
            });
        }
        let mut stop = self.stop.clone();
        loop {
            let halted = *halt.borrow();
            tokio::select! {
                ended = running.join_next() => match ended {
                    None => return Ok(()),
                    Some(Ok(Err(failure))) if halted && is_stopped(&failure) => {}
                    Some(Ok(result)) => result?,
                    Some(Err(panic)) => std::panic::resume_unwind(panic.into_panic()),
                },
                Ok(_) = stop.wait_for(|stop| *stop), if !halted => {
                    halt.send_replace(true);
                }
                () = reached(deadline), if !halted => {
                    halt.send_replace(true);
                }
                () = reached(deadline.map(|deadline| deadline + HALT_PATIENCE)) => break,
            }
        }
        // One that waits for an answer does not see that it is to end.
        running.shutdown().await;
        Ok(())
    }
}

/// Waits for a moment, for ever where there is none.
async fn reached(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

fn is_stopped(failure: &Failure) -> bool {
    matches!(failure.error().downcast_ref(), Some(VerifyError::Stopped))
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
