//! What can go wrong with a cutover, and where that leaves both servers.

use std::io;
use std::process::ExitStatus;
use std::time::Duration;

use super::command::Purpose;
use crate::model::report::Finding;
use crate::model::{Because, Code, Disposition, Failure, Fault, Halt};

/// A cutover did not come to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CutoverError {
    /// Something stands against it.
    #[error("{}: {}{}", finding.subject, finding.evidence, others(*all))]
    Refused {
        /// The first of what was found.
        finding: Box<Finding>,
        /// How many there are.
        all: usize,
    },
    /// The migration is not there yet.
    #[error("the migration is in phase {phase}, and a cutover begins in phase stream")]
    NotFollowing {
        /// Its phase.
        phase: String,
    },
    /// Nobody compared both sides.
    #[error("it is not proven that both sides are equal: {why}")]
    Unverified {
        /// What is lacking.
        why: String,
    },
    /// The target does not follow closely enough.
    #[error(
        "the target is {} behind, which may be {} at most",
        seconds.map_or("unknown seconds".to_owned(), |seconds| format!("{seconds:.1}s")),
        humantime::format_duration(*limit)
    )]
    Lag {
        /// How far it is behind.
        seconds: Option<f64>,
        /// How far it may be.
        limit: Duration,
    },
    /// Rows are not the same on both sides.
    #[error(
        "{rows} of the rows of table {table} that changed lately differ on the target{}",
        match others { 0 => String::new(), more => format!(", and of {more} other tables") }
    )]
    Different {
        /// The table, or the first of several.
        table: String,
        /// How many of its rows.
        rows: u64,
        /// Of how many other tables some do.
        others: usize,
    },
    /// Rows that changed since they were proven are not the same on both sides.
    #[error(
        "the cutover has not begun, and the source takes writes: both sides are not equal: table \
         {table}: {what}{}",
        match others { 0 => String::new(), more => format!(" (and {more} more tables)") }
    )]
    Unequal {
        /// The table, or the first of several.
        table: String,
        /// What of it.
        what: String,
        /// How many other tables are not equal either.
        others: usize,
    },
    /// The stream ended by itself.
    #[error("the stream of the cutover ended too early")]
    StreamEnded,
    /// The operator wanted an end.
    #[error("the cutover was interrupted")]
    Interrupted,
    /// It took too long.
    #[error("writers were kept out for {}, and were to wait no longer",
            humantime::format_duration(*limit))]
    Overtime {
        /// The limit.
        limit: Duration,
    },
    /// The operator's command cannot be run.
    #[error("run {purpose}")]
    CommandStart {
        /// What it is for.
        purpose: Purpose,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The operator's command failed.
    #[error("{purpose} ended with {status}")]
    CommandFailed {
        /// What it is for.
        purpose: Purpose,
        /// How.
        status: ExitStatus,
    },
    /// It failed, and everything is as before.
    #[error("the cutover failed at the step '{step}' and is undone")]
    Undone {
        /// The step.
        step: &'static str,
        /// Why.
        #[source]
        cause: Because,
    },
    /// It failed, and something of it may be left.
    #[error("the cutover failed at the step '{step}' and could not be undone")]
    NotUndone {
        /// The step.
        step: &'static str,
        /// How the source is opened by hand.
        lift: String,
        /// Why it failed.
        #[source]
        cause: Because,
    },
    /// The operator's command was ended before it said how it fared.
    #[error(
        "the command that switches the traffic was broken off: nobody but you can know where that is"
    )]
    BrokenOff {
        /// Why.
        #[source]
        cause: Because,
    },
    /// The traffic is moved, and the state does not say so.
    #[error("the traffic is switched, but that could not be recorded")]
    Unrecorded {
        /// Why.
        #[source]
        cause: Because,
    },
    /// A cutover was killed while the traffic was being moved.
    #[error("a cutover ended while it switched the traffic: nobody but you can know where that is")]
    Undecided,
    /// It is done already.
    #[error("the migration is cut over: the target is the database")]
    Done,
    /// The way back is done too.
    #[error("the way back is done: the former source is the database again")]
    Back,
    /// A cutover is at work.
    #[error("a cutover is at work on this migration")]
    AtWork {
        /// The statement that ends its session on the target, where that is known.
        ends_it: Option<String>,
    },
    /// The way back was not prepared.
    #[error("there is no way back: {why}")]
    NoWayBack {
        /// Why not.
        why: String,
        /// What to do.
        hint: &'static str,
    },
    /// There is no cutover whose end is in doubt.
    #[error("no cutover ended while it switched the traffic")]
    NothingToFinish,
}

impl CutoverError {
    /// Whether an operator's command said itself that it failed, or never began.
    pub(super) fn is_refusal(&self) -> bool {
        match self {
            CutoverError::CommandFailed { status, .. } => status.code().is_some(),
            CutoverError::CommandStart { .. } => true,
            _ => false,
        }
    }

    /// The traffic is moved; recording it failed.
    #[must_use]
    pub fn unrecorded(cause: Failure) -> Self {
        CutoverError::Unrecorded { cause: Because(cause) }
    }
}

/// What to do about rows that differ.
const REPAIR: &str = "find out what else writes to the target; then `dunlin verify --repair` beside \
                      `dunlin run`, which puts the rows right and proves them (on the way back beside \
                      `dunlin reverse`, with the name NAME_back and both sides exchanged); then the \
                      same command again";

/// Whether a cutover failed for rows that differ.
fn is_difference(cause: &Because) -> bool {
    let error: &(dyn std::error::Error + 'static) = cause.0.error();
    matches!(error.downcast_ref(), Some(CutoverError::Different { .. }))
}

/// What to do about a cutover that is at work.
fn wait_for_it(ends_it: Option<&str>) -> String {
    let wait = "wait for its end; Ctrl-C there undoes it";
    match ends_it {
        None => wait.to_owned(),
        Some(statement) => format!(
            "{wait}; where its machine is gone, end its session on the target: {statement}; then the \
             same command again"
        ),
    }
}

fn others(all: usize) -> String {
    match all.saturating_sub(1) {
        0 => String::new(),
        more => format!(" (and {more} more; `dunlin cutover --dry-run` shows all)"),
    }
}

const HASTEN: &str = "see which step took long (--log-level debug), or raise --max-downtime";

const MEND_COMMAND: &str =
    "mend the command, which must end with exit status 0 once it has done its work";

const DECIDE: &str = "the source refuses writes meanwhile; where the applications use the target by \
                      now: `dunlin cutover --finish`, where they use the source: `dunlin cutover \
                      --abort`; on the way back, with --source and --target as they were: where the \
                      applications use the old server, `dunlin cutover --back --finish`, where they \
                      use the new one, `dunlin cutover --back --abort`";

/// What to do about both sides not being proven equal.
pub const VERIFY: &str = "run `dunlin verify`, which may be beside the writers, then the same command \
                          again; or add --verify-first DURATION to it, which compares as part of \
                          it, or --accept-unverified";

impl Fault for CutoverError {
    fn disposition(&self) -> Disposition {
        match self {
            CutoverError::Refused { finding, .. } => {
                let parts = [finding.fix_sql.as_deref(), finding.hint.as_deref()];
                let parts: Vec<&str> = parts.into_iter().flatten().collect();
                Halt::with(Code::CutoverRefused, parts.join("; "))
            }
            CutoverError::NotFollowing { .. } => Halt::with(
                Code::CutoverRefused,
                "let `dunlin run` work until `dunlin status` shows phase stream",
            ),
            CutoverError::Unverified { .. } => Halt::with(Code::Unverified, VERIFY),
            CutoverError::Lag { .. } => Halt::with(
                Code::CutoverRefused,
                "wait until `dunlin status` shows less lag, or raise --max-lag",
            ),
            CutoverError::StreamEnded => Disposition::Retry,
            CutoverError::Interrupted => {
                Halt::with(Code::CutoverUndone, "the same command begins anew")
            }
            CutoverError::Overtime { .. } => Halt::with(Code::CutoverUndone, HASTEN),
            CutoverError::CommandStart { .. } | CutoverError::CommandFailed { .. } => {
                Halt::with(Code::CutoverUndone, MEND_COMMAND)
            }
            CutoverError::Different { .. } => Halt::with(Code::CutoverUndone, REPAIR),
            CutoverError::Unequal { .. } => Halt::with(Code::RowsDiffer, REPAIR),
            CutoverError::Undone { cause, .. } if is_difference(cause) => {
                let hint = format!("the source takes writes as before; {REPAIR}");
                Halt::with(Code::CutoverUndone, hint)
            }
            CutoverError::Undone { .. } => Halt::with(
                Code::CutoverUndone,
                "the source takes writes as before, and a `dunlin run` that was at work goes on; \
                 mend the cause, then run the same command again",
            ),
            CutoverError::NotUndone { lift, .. } => Halt::with(
                Code::CutoverUndone,
                format!(
                    "the source may still refuse writes: `dunlin cutover --abort` lets writers in (on \
                     the way back with --back); where that cannot be had, {lift}"
                ),
            ),
            CutoverError::BrokenOff { .. } | CutoverError::Undecided => {
                Halt::with(Code::CutoverUndecided, DECIDE)
            }
            CutoverError::Unrecorded { .. } => Halt::with(
                Code::CutoverUndecided,
                "the source refuses writes; `dunlin cutover --finish` records it (on the way back with \
                 --back)",
            ),
            CutoverError::Done => Halt::with(
                Code::CutOver,
                "nothing is left to be done but `dunlin complete`; where the way back is armed, \
                 `dunlin reverse` and `dunlin cutover --back`",
            ),
            CutoverError::Back => Halt::with(
                Code::CutOver,
                "nothing is left to be done but `dunlin complete`; to move once more, a new migration \
                 after it",
            ),
            CutoverError::NoWayBack { hint, .. } => Halt::with(Code::NoWayBack, *hint),
            CutoverError::AtWork { ends_it } => {
                Halt::with(Code::AlreadyRunning, wait_for_it(ends_it.as_deref()))
            }
            CutoverError::NothingToFinish => {
                Halt::with(Code::CutoverRefused, "`dunlin status` shows where the migration stands")
            }
        }
    }
}
