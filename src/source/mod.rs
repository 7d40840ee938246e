//! What every kind of source can do, called per batch and per chunk, never per row.
//!
//! A source reads one server and writes nothing but what the stream needs there (a publication, a
//! slot). It knows nothing of targets, groups or the ledger. That nothing is lost at the hand-over
//! rests on one promise: the position of a [`HeldSnapshot`] is exact. Everything that the position
//! contains is visible under it, and nothing else; or else the snapshot says beyond which position
//! nothing is.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;

use crate::model::report::{Removal, Transfer};
use crate::model::selection::Selection;
use crate::model::{
    Alteration, CarriedSchema, Chunk, ChunkRange, Drift, Failure, HeldSnapshot, KeyBound, Mark,
    Position, Relation, RowForm, SequenceValue, SourceHealth, SourceIdentity, SourceSurvey, Table,
    TableId, ValueKind,
};

pub mod channel;
pub mod fence;
pub mod mysql;
pub mod postgres;
mod thread;

pub use channel::{BatchReceiver, BatchSender, Delivered};

/// Knows of a source's tables what the log alone does not show.
pub trait Catalog: Send + Sync + 'static {
    /// What became of the table of `relation`, whose rows have other columns from there on in the
    /// log than `tables` say.
    fn alteration(
        &self,
        tables: &[Table],
        relation: &Relation,
    ) -> impl Future<Output = Result<Alteration, Failure>> + Send;
}

/// A source database.
pub trait Source: Catalog + Clone + Send + Sync + 'static {
    /// Reads chunks under a snapshot.
    type Reader: ChunkReader;

    /// Which server and database this is.
    fn identify(&self) -> impl Future<Output = Result<SourceIdentity, Failure>> + Send;

    /// Whether this is the source that `known` was, on another timeline, and its log up to
    /// `position` is the same.
    fn continues(
        &self,
        known: &SourceIdentity,
        position: &Position,
    ) -> impl Future<Output = Result<bool, Failure>> + Send;

    /// The selected tables, and everything that would make a new migration of them fail or lose
    /// something. Only reads. `connections` is how many there will be at most.
    fn check(
        &self,
        selection: &Selection,
        connections: usize,
    ) -> impl Future<Output = Result<SourceSurvey, Failure>> + Send;

    /// Has the changes of `tables` written to the log in the form that is needed. May be called
    /// again.
    ///
    /// # Errors
    ///
    /// Where the source takes no writes, and what is needed is not there.
    fn publish(&self, tables: &[Table]) -> impl Future<Output = Result<(), Failure>> + Send;

    /// The selected tables, each with a number of its own; as they are under the snapshot, or
    /// without one as they are now.
    fn tables(
        &self,
        held: Option<&HeldSnapshot>,
    ) -> impl Future<Output = Result<Vec<Table>, Failure>> + Send;

    /// Whether the selected tables are `tables`, as they are now. Asked once the first snapshot is
    /// held: the log behind it tells of what comes later, and not of what came before. A source
    /// whose log tells of no table that it was not told to tell of says yes.
    fn lists(&self, _tables: &[Table]) -> impl Future<Output = Result<bool, Failure>> + Send {
        std::future::ready(Ok(true))
    }

    /// As [`Self::publish`], for tables that come to those that are published.
    fn publish_more(&self, tables: &[Table]) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Starts the log's retention for this migration and holds the snapshot at its very
    /// beginning. What an earlier attempt left behind is removed.
    fn begin(&self) -> impl Future<Output = Result<HeldSnapshot, Failure>> + Send;

    /// Starts the log's retention for this migration without a snapshot: where the stream begins is
    /// read later. What an earlier attempt left behind is removed.
    fn retain(&self) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Holds another snapshot, later than the first.
    fn hold_again(&self) -> impl Future<Output = Result<HeldSnapshot, Failure>> + Send;

    /// Whether a snapshot can still be read under.
    fn is_held(&self, held: &HeldSnapshot) -> impl Future<Output = Result<bool, Failure>> + Send;

    /// A position behind the snapshot's at which a table that cannot be read under it any more had
    /// no row, and was defined as under the snapshot. None where that cannot be told.
    fn emptied(
        &self,
        held: &HeldSnapshot,
        table: &Table,
    ) -> impl Future<Output = Result<Option<Position>, Failure>> + Send;

    /// Where the log behind `from` drops a table that is not there any more: a position in front of
    /// that, behind all that the log has of its rows until then. None where the table is there. Fails
    /// where it went in another way, or nobody can tell. A source whose readers find nothing in place of
    /// such a table is not asked.
    fn dropped(
        &self,
        _from: &Position,
        _table: &Table,
    ) -> impl Future<Output = Result<Option<Position>, Failure>> + Send {
        std::future::ready(Ok(None))
    }

    /// Lets go of a snapshot.
    fn release(&self, held: &HeldSnapshot) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Reads rows of a table, and throws them away, until one of the limits is reached.
    fn measure(
        &self,
        table: &Table,
        most_bytes: u64,
        longest: Duration,
    ) -> impl Future<Output = Result<Transfer, Failure>> + Send;

    /// Everything that a migration writes on the source, by name.
    fn footprint(&self) -> Vec<String>;

    /// Cuts a table into ranges of about `chunk_bytes`, in order and without a gap; as it is under
    /// the snapshot, or without one as it is now.
    fn split(
        &self,
        held: Option<&HeldSnapshot>,
        table: &Table,
        chunk_bytes: u64,
    ) -> impl Future<Output = Result<Vec<ChunkRange>, Failure>> + Send;

    /// What became of those of `tables` that are in `wanted`, up to the snapshot, and of the tables
    /// that hang together with them.
    fn alterations(
        &self,
        held: &HeldSnapshot,
        tables: &[Table],
        wanted: &[TableId],
    ) -> impl Future<Output = Result<Vec<Alteration>, Failure>> + Send;

    /// Whether one of `tables` was defined anew since the snapshot, so that what the source says of
    /// it by now may not hold under the snapshot.
    fn redefines(
        &self,
        _held: &HeldSnapshot,
        _tables: &[Table],
    ) -> impl Future<Output = Result<bool, Failure>> + Send {
        std::future::ready(Ok(false))
    }

    /// A reader of chunks under a snapshot.
    fn reader(
        &self,
        held: &HeldSnapshot,
    ) -> impl Future<Output = Result<Self::Reader, Failure>> + Send;

    /// The schema of `tables` and of all that hangs on them, as of the snapshot.
    fn schema(
        &self,
        held: &HeldSnapshot,
        tables: &[Table],
    ) -> impl Future<Output = Result<CarriedSchema, Failure>> + Send;

    /// The values of the selected sequences, now.
    fn sequences(&self) -> impl Future<Output = Result<Vec<SequenceValue>, Failure>> + Send;

    /// The end of the log, now.
    fn position(&self) -> impl Future<Output = Result<Position, Failure>> + Send;

    /// The size of the log that there is, or its end counted in bytes: how much it grows in a short
    /// time is how much is written.
    fn log_bytes(&self) -> impl Future<Output = Result<u64, Failure>> + Send;

    /// How the source is faring. Cheap enough to be asked every second.
    fn health(&self) -> impl Future<Output = Result<SourceHealth, Failure>> + Send;

    /// What changed since `held` was taken in a way that the log does not show. Fails where going
    /// on would lose something.
    fn drift(
        &self,
        tables: &[Table],
        held: Option<&HeldSnapshot>,
    ) -> impl Future<Output = Result<Drift, Failure>> + Send;

    /// Makes sure that the source has all that `from` contains, where its log does not say so by itself
    /// when it is read from there: one that lost its log would count as caught up.
    fn confirm(&self, _from: &Position) -> impl Future<Output = Result<(), Failure>> + Send {
        std::future::ready(Ok(()))
    }

    /// Has the log be read past the definition of tables at this place, whose transaction goes on with
    /// rows: it was passed by, and they are not.
    fn pass_by(&self, _place: &Mark) {}

    /// Reads the log from `from` on, which is confirmed, and sends what it says, until `out` is closed. Acknowledges
    /// what `durable` says, and nothing else.
    fn stream(
        &self,
        from: Position,
        tables: &[Table],
        out: BatchSender,
        durable: watch::Receiver<Position>,
    ) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Removes all that this migration wrote on the source, and returns what of it was there, and
    /// what others have to remove. May be called again.
    fn remove(&self) -> impl Future<Output = Result<Removal, Failure>> + Send;
}

/// A source that is only looked at: whose log may be asked for what is still to come while nobody
/// follows it, and whose clients are let go first.
pub trait Lull: Source {
    /// Whether its log holds nothing for this migration behind `position`. False where that cannot be
    /// told.
    fn is_quiet_since(
        &self,
        position: &Position,
    ) -> impl Future<Output = Result<bool, Failure>> + Send;

    /// How many sessions are at work on the source now, ours that follow it or read it left out
    /// where the server tells them apart.
    ///
    /// # Errors
    ///
    /// Where that is not to be seen.
    fn sessions_at_work(&self) -> impl Future<Output = Result<u64, Failure>> + Send;
}

/// What became of a chunk that was to be read.
#[derive(Debug)]
pub enum Opened<R> {
    /// Its rows.
    Rows(R),
    /// Its table was emptied, rewritten, renamed or dropped since the snapshot, under which it
    /// cannot be read any more.
    Outdated,
    /// Its table is not there at the snapshot: it has no rows, and the log after the snapshot none
    /// of it either.
    Gone,
}

/// Reads one chunk after another.
pub trait ChunkReader: Send + 'static {
    /// The rows of a chunk, while they are read.
    type Rows<'a>: ChunkRows + 'a
    where
        Self: 'a;

    /// Begins to read a chunk. While its rows are read nobody can empty, rewrite, rename or drop
    /// its table.
    fn open<'a>(
        &'a mut self,
        table: &'a Table,
        chunk: &'a Chunk,
        form: RowForm,
    ) -> impl Future<Output = Result<Opened<Self::Rows<'a>>, Failure>> + Send + 'a;
}

/// Which of a table's rows are wanted, as they are now.
#[derive(Clone, Copy, Debug)]
pub enum Scope<'a> {
    /// Those with keys from `from` (inclusive) to `until` (exclusive), each open where absent.
    Range {
        /// The smallest key, if there is one.
        from: Option<&'a KeyBound>,
        /// The first key that is not wanted, if there is one.
        until: Option<&'a KeyBound>,
    },
    /// Those with one of these keys, which [`PresentReader::finds`]: the fields of a row's key as
    /// they stood in its text, in key order, with a tab between two.
    Keys(&'a [&'a [u8]]),
}

/// A server whose rows are read as they are now: a source, or a target of the same engine.
pub trait Present: Clone + Send + Sync + 'static {
    /// Reads them.
    type Reader: PresentReader;

    /// A reader with a connection of its own.
    fn reader(&self) -> impl Future<Output = Result<Self::Reader, Failure>> + Send;
}

/// Reads rows as they are now, one statement after another, without a lock that outlives it.
pub trait PresentReader: Send + 'static {
    /// The rows, while they are read: lines of text, each with the columns that are copied, in the
    /// table's order, with a tab between two fields and none in any, and a backslash before what
    /// stands for another byte. Values of columns of one kind that are equal are equal bytes,
    /// whichever server of the engine they are read from; NULL is like no value.
    type Rows<'a>: ChunkRows + 'a
    where
        Self: 'a;

    /// What the values of each column are that is read, in the order of the fields. None where the
    /// table, or one of its columns, is not there.
    fn kinds(
        &mut self,
        table: &Table,
    ) -> impl Future<Output = Result<Option<Vec<ValueKind>>, Failure>> + Send;

    /// Whether rows of a table can be asked for by such keys.
    fn finds(&self, table: &Table, keys: &[&[u8]]) -> bool;

    /// Begins to read rows. None where the table, or one of its columns, is not there.
    fn read<'a>(
        &'a mut self,
        table: &'a Table,
        scope: Scope<'a>,
    ) -> impl Future<Output = Result<Option<Self::Rows<'a>>, Failure>> + Send + 'a;
}

/// The rows of one chunk, in the buffers in which they come.
pub trait ChunkRows: Send {
    /// The next buffer of rows; None at the chunk's end.
    fn next(&mut self) -> impl Future<Output = Result<Option<Bytes>, Failure>> + Send;

    /// How many rows the chunk had, once it ended.
    fn rows(&self) -> u64;
}
