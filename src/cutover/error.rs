//! What can go wrong with a cutover, and where that leaves both servers.

use std::io;
use std::process::ExitStatus;
use std::time::Duration;

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
    #[error("it is not proved that both sides are equal")]
    Unverified,
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
    #[error("run the command that switches the traffic")]
    SwitchStart {
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The operator's command failed.
    #[error("the command that switches the traffic ended with {status}")]
    SwitchFailed {
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
        /// Why it failed.
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
    /// A cutover is at work.
    #[error("a cutover is at work on this migration")]
    AtWork,
    /// There is no cutover whose end is in doubt.
    #[error("no cutover ended while it switched the traffic")]
    NothingToFinish,
}

impl CutoverError {
    /// The traffic is moved; recording it failed.
    #[must_use]
    pub fn unrecorded(cause: Failure) -> Self {
        CutoverError::Unrecorded { cause: Because(cause) }
    }
}

fn others(all: usize) -> String {
    match all.saturating_sub(1) {
        0 => String::new(),
        more => format!(" (and {more} more; `dunlin cutover --dry-run` shows all)"),
    }
}

const DECIDE: &str = "the source refuses writes meanwhile; where the applications use the target by \
                      now: `dunlin cutover --finish`, where they use the source: `dunlin cutover \
                      --abort`";

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
            CutoverError::Unverified => Halt::with(
                Code::Unverified,
                "compare both sides, then add --accept-unverified to the same command",
            ),
            CutoverError::Lag { .. } => Halt::with(
                Code::CutoverRefused,
                "wait until `dunlin status` shows less lag, or raise --max-lag",
            ),
            CutoverError::StreamEnded => Disposition::Retry,
            CutoverError::Interrupted => {
                Halt::with(Code::CutoverUndone, "the same command begins anew")
            }
            CutoverError::Overtime { .. } => Halt::with(
                Code::CutoverUndone,
                "see which step took long (--log-level debug), or raise --max-downtime",
            ),
            CutoverError::SwitchStart { .. } | CutoverError::SwitchFailed { .. } => Halt::with(
                Code::CutoverUndone,
                "mend the command, which must end with exit status 0 once the traffic is moved",
            ),
            CutoverError::Undone { .. } => Halt::with(
                Code::CutoverUndone,
                "the source takes writes as before, and a `dunlin run` that was at work goes on; \
                 mend the cause, then run the same command again",
            ),
            CutoverError::NotUndone { .. } => Halt::with(
                Code::CutoverUndone,
                "the source may still refuse writes: `dunlin cutover --abort` lets writers in",
            ),
            CutoverError::Unrecorded { .. } => Halt::with(
                Code::CutoverUndecided,
                "the source refuses writes; `dunlin cutover --finish` records it",
            ),
            CutoverError::Undecided => Halt::with(Code::CutoverUndecided, DECIDE),
            CutoverError::Done => {
                Halt::with(Code::CutOver, "nothing is left to be done but `dunlin complete`")
            }
            CutoverError::AtWork => {
                Halt::with(Code::AlreadyRunning, "wait for its end; Ctrl-C there undoes it")
            }
            CutoverError::NothingToFinish => {
                Halt::with(Code::CutoverRefused, "`dunlin status` shows where the migration stands")
            }
        }
    }
}
