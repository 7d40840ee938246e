//! What a source has to be able to do so that it can be left for good: keep its writers out.
//!
//! In: the tables, and how writers are to be kept from them. Out: a [`WriteFence`]. Between
//! [`WriteFence::close`] and the end of [`WriteFence::seal`] no transaction can commit a change of these
//! tables; where that did not hold all the while, `seal` fails. After it the source refuses such
//! changes by itself. So a log that is read up to [`WriteFence::end`] is all there will ever be.

use std::future::Future;
use std::time::Duration;

use super::Source;
use crate::model::position::ParsePositionError;
use crate::model::report::Finding;
use crate::model::{
    Code, Disposition, Failure, Fault, Halt, Leftover, Manner, Position, SequenceValue, Table,
};

/// Writers cannot be kept out, or not be let in again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FenceError {
    /// Somebody does not let go.
    #[error("keep writers out of the source: {who} is in the way")]
    HeldOpen {
        /// Who.
        who: String,
        /// What to do about it.
        remedy: &'static str,
    },
    /// What is to be undone cannot be read.
    #[error("read what a fence left on the source")]
    Left {
        /// Why.
        #[source]
        source: serde_json::Error,
        /// What lets writers in all the same.
        remedy: &'static str,
    },
    /// There is another table, or a transaction that anybody can commit, since it was looked.
    #[error("keep writers out of the source: {what} while the fence was being closed")]
    Changed {
        /// What happened.
        what: &'static str,
    },
    /// Another server answers than the one that writers were kept out of.
    #[error("reach the server that refuses writes, {sealed}: {found} answers in its place")]
    Elsewhere {
        /// What that one is called by its own word.
        sealed: String,
        /// What the other one is.
        found: String,
    },
    /// What kept writers out is gone.
    #[error("the source takes writes from anybody: what refused them is gone")]
    Opened {
        /// What to do about it.
        remedy: &'static str,
    },
    /// The server answered a position that is none.
    #[error("read the end of the source's log")]
    End {
        /// Why.
        #[source]
        source: ParsePositionError,
    },
}

impl Fault for FenceError {
    fn disposition(&self) -> Disposition {
        match self {
            FenceError::HeldOpen { remedy, .. } => Halt::with(Code::CutoverRefused, *remedy),
            FenceError::Left { remedy, .. } => Halt::with(
                Code::StateUnreadable,
                format!("use the version of dunlin that began the cutover; {remedy}"),
            ),
            FenceError::Elsewhere { .. } => Halt::with(
                Code::CutoverRefused,
                "name that server alone in the URL, once it is there; nothing was changed on the other",
            ),
            FenceError::Changed { .. } => {
                Halt::with(Code::CutoverRefused, "run the same command again")
            }
            FenceError::Opened { remedy } => Halt::with(Code::CutoverRefused, *remedy),
            FenceError::End { .. } => {
                Halt::with(Code::ProtocolViolation, "check what kind of server the source is")
            }
        }
    }
}

/// How writers are to be kept out.
#[derive(Clone, Debug)]
pub struct FenceOrder {
    /// By what; None for what suits the engine.
    pub manner: Option<Manner>,
    /// The tables.
    pub tables: Vec<Table>,
    /// How long a transaction that is open may go on before its session is ended.
    pub grace: Duration,
    /// After this the server itself lets writers in again, where the process has stopped working.
    pub longest: Duration,
    /// Whether we have to write to the source afterwards all the same, for the way back.
    pub way_back: bool,
    /// Whether an earlier fence of ours is sealed there, which is to be undone first.
    pub sealed: bool,
}

/// A source that can keep writers out.
pub trait FencedSource: Source {
    /// Keeps them out.
    type Fence: WriteFence;

    /// What stands against it, now. Only reads.
    fn fence_findings(
        &self,
        order: &FenceOrder,
    ) -> impl Future<Output = Result<Vec<Finding>, Failure>> + Send;

    /// A fence that is still open.
    fn fence(&self, order: FenceOrder)
    -> impl Future<Output = Result<Self::Fence, Failure>> + Send;

    /// Undoes what a fence left, whatever became of the process that made it; writers may come in
    /// at once. May be called again.
    fn unfence(&self, left: &Leftover) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Ends the session of a fence that was not sealed, whatever became of the process that made it: the
    /// server may not have noticed that its client is gone. Changes nothing else. May be called again.
    fn end_fence(
        &self,
        left: Option<&Leftover>,
    ) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Lets the way back's own writers through what a fence left; all others are refused as before.
    /// May be called again.
    fn let_through(&self, left: &Leftover) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Lets writers in where a fence keeps them out, so that [`Self::refuse`] can take it back.
    fn admit(&self, left: &Leftover) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Keeps writers out again that [`Self::admit`] let in, all but the way back's own.
    fn refuse(&self, left: &Leftover) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Has the log reader ask the server as often as it can how far it is.
    fn hurry(&self);
}

/// Keeps writers out of a source. Dropping it lets them in again, unless it is sealed.
pub trait WriteFence: Send {
    /// What there will be to undo once it is sealed, for [`FencedSource::unfence`].
    fn left(&self) -> Leftover;

    /// Keeps writers out, and waits until those that had begun are done. Sessions that take longer
    /// are ended.
    ///
    /// # Errors
    ///
    /// Where somebody cannot be kept out.
    fn close(&mut self) -> impl Future<Output = Result<(), Failure>> + Send;

    /// The end of the log: everything that was committed before the fence was closed is before it,
    /// and durable.
    fn end(&mut self) -> impl Future<Output = Result<Position, Failure>> + Send;

    /// Gets ready for [`Self::seal`], which takes effect at once then.
    fn arm(&mut self) -> impl Future<Output = Result<(), Failure>> + Send;

    /// The selected sequences, from which nobody can take a value any more.
    fn sequences(&mut self) -> impl Future<Output = Result<Vec<SequenceValue>, Failure>> + Send;

    /// From here on the source refuses writes by itself.
    ///
    /// # Errors
    ///
    /// Where the fence was not closed all the while. What was done of it, if anything,
    /// [`FencedSource::unfence`] undoes.
    fn seal(&mut self) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Lets writers in again, as far as that takes no [`FencedSource::unfence`].
    fn open(self) -> impl Future<Output = Result<(), Failure>> + Send;
}
