//! What a source has to be able to do so that it can be left for good: keep its writers out.
//!
//! In: the tables, and how writers are to be kept from them. Out: a [`WriteFence`]. Between
//! [`WriteFence::close`] and the end of [`WriteFence::seal`] no transaction can commit a change of these
//! tables; where that did not hold all the while, `seal` fails. After it the source refuses such
//! changes by itself. So a log that is read up to [`WriteFence::end`] is all there will ever be.

use std::future::Future;
use std::time::Duration;

use super::Source;
use crate::model::report::Finding;
use crate::model::{Failure, Leftover, Manner, Position, SequenceValue, Table};

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
