//! Plans, carried out in target transactions.
//!
//! In come plans and checkpoints; what leaves are statements, sent one behind the other without
//! waiting for answers, so that a group costs two round trips and not one per statement. Triggers
//! and foreign keys rest meanwhile (`session_replication_role = replica`): their effects are in
//! the log.
//!
//! Nothing is lost or doubled: every statement says how many rows it must touch, and the
//! transaction is committed only after each has touched exactly those and the checkpoint's row was
//! still ours. A statement that meets a unique constraint or another number of rows undoes all
//! that the plan did ([`Applied::Clash`]); the stream then replays the changes in the source's
//! order, and what still fails is an error that names the table. The room decides nothing about
//! order or merging: that is the plan's. What a verification has proven of the rows that are changed
//! is marked as out of date in the same transaction.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::task::Poll;

use bytes::{Bytes, BytesMut};
use futures_util::SinkExt;
use tokio_postgres::Statement;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;

use super::catalog::{self, TargetTable};
use super::parameter::{Rows, TextArray, copy_row};
use super::state::{self, Fence};
use super::statement::{self, Columns, Kind};
use super::{TargetError, alter, describe, verification};
use crate::connect::postgres::Client as Session;
use crate::connect::{StatementError, attempting};
use crate::model::{
    Alteration, CellIndex, Failure, OnDropColumn, Plan, Relation, RowIdentity, Shape, Step, Table,
    TableEffect, TableId, Touches, Truncate,
};
use crate::observe::failpoint;
use crate::target::{Applied, Applier, Checkpoint};

/// From this many rows on an insert goes as a COPY stream.
const COPY_FROM: usize = 64;

/// Size at which COPY text is handed to the connection.
const COPY_BUFFER: usize = 128 * 1024;

/// Statements that may be under way before the oldest answer is awaited.
const MOST_UNDER_WAY: usize = 256;

/// Applies plans over a connection of its own.
pub struct PostgresApplier {
    session: Session,
    fence: Fence,
    on_drop: OnDropColumn,
    /// By the address of the shape's relation, which [`Prepared`] keeps alive.
    prepared: HashMap<usize, Prepared>,
    in_transaction: bool,
    /// The statement that stores the checkpoint.
    checkpoint: Statement,
    /// The generation that it found last.
    generation: AtomicI64,
    /// What verifications have proven and is changed here.
    touches: Touches,
    /// The query that reads a table's columns.
    columns: Statement,
    /// Commits, and waits until that is as safe as the operator wants it.
    commit_durably: String,
    /// A session whose commits wait for that, and vouch for all before them. It was made with this
    /// applier and is never made anew: a server that crashed meanwhile has ended it.
    voucher: Arc<Session>,
}

/// A relation's shape, the target's table for it, and the statements made so far.
struct Prepared {
    relation: Arc<Relation>,
    table: TargetTable,
    statements: HashMap<Kind, Statement>,
}

/// Why a plan stopped half way.
enum Interruption {
    /// A table's constraint or number of rows; the transaction can be rolled back.
    Clash(TableId, TargetError),
    /// Anything else.
    Failed(Failure),
}

impl<F: Into<Failure>> From<F> for Interruption {
    fn from(error: F) -> Self {
        Interruption::Failed(error.into())
    }
}

impl PostgresApplier {
    /// An applier over a session in which triggers rest.
    ///
    /// # Errors
    ///
    /// Where the session's settings cannot be made.
    pub(super) async fn new(
        (session, voucher): (Session, Session),
        fence: Fence,
        on_drop: OnDropColumn,
    ) -> Result<Self, Failure> {
        let act = || attempting("prepare the session that applies changes");
        let level = "SELECT pg_catalog.replace(pg_catalog.current_setting('synchronous_commit'), \
                     'off', 'on')";
        let level: String = session.query_one(level, &[]).await.map_err(act())?.get(0);
        voucher.batch_execute(&format!("SET synchronous_commit = {level}")).await.map_err(act())?;
        session
            .batch_execute(include_str!("../../../sql/postgres/apply_session.sql"))
            .await
            .map_err(act())?;
        Ok(PostgresApplier {
            checkpoint: state::prepare_checkpoint(&session).await.map_err(act())?,
            columns: catalog::prepare_tables(&session).await.map_err(act())?,
            generation: AtomicI64::new(0),
            touches: Touches::default(),
            commit_durably: format!("SET LOCAL synchronous_commit = {level}; COMMIT"),
            session,
            voucher: Arc::new(voucher),
            fence,
            on_drop,
            prepared: HashMap::new(),
            in_transaction: false,
        })
    }

    /// Makes sure that every statement of a plan is prepared.
    async fn prepare(&mut self, plan: &Plan) -> Result<(), Failure> {
        for step in &plan.steps {
            let Step::Rows(effects) = step else { continue };
            for effect in effects {
                for kind in kinds(effect) {
                    self.prepare_one(&effect.shape, kind).await?;
                }
            }
        }
        Ok(())
    }

    async fn prepare_one(&mut self, shape: &Shape, kind: Kind) -> Result<(), Failure> {
        let name = &shape.relation.name;
        let missing = || TargetError::TableMissing { table: name.clone() };
        let prepared = self.prepared.get_mut(&address(shape)).ok_or_else(missing)?;
        if prepared.statements.contains_key(&kind) {
            return Ok(());
        }
        let columns = Columns::of(shape, &prepared.table).ok_or_else(missing)?;
        let text = statement::text(&kind, &prepared.table, &columns);
        let statement = self
            .session
            .prepare(&text)
            .await
            .map_err(attempting(format!("prepare the statements for table {name}")))?;
        prepared.statements.insert(kind, statement);
        Ok(())
    }

    async fn carry_out(
        &self,
        plan: &Plan,
        checkpoint: Option<&Checkpoint>,
    ) -> Result<(), Interruption> {
        let mut queue = Queue { under_way: VecDeque::new() };
        let opening = if self.in_transaction { "SAVEPOINT dunlin_piece" } else { "BEGIN" };
        let opened = async { self.session.batch_execute(opening).await.map(|()| 0) };
        queue.push(Box::pin(opened), Expected::nothing("open a transaction"));
        for step in &plan.steps {
            match step {
                Step::Rows(effects) => {
                    for effect in effects {
                        self.effect(plan, effect, &mut queue).await?;
                    }
                }
                Step::Truncate { truncate, shapes } => {
                    queue.settle().await?;
                    self.truncate(truncate, shapes).await?;
                }
            }
        }
        if let Some(checkpoint) = checkpoint {
            let stored = async {
                let stored = &self.checkpoint;
                let found = self.fence.store_checkpoint(&self.session, stored, checkpoint).await?;
                self.generation.store(found.unwrap_or_default(), Ordering::Relaxed);
                Ok(u64::from(found.is_some()))
            };
            queue.push(Box::pin(stored), Expected::checkpoint());
        }
        queue.settle().await
    }

    async fn effect<'a>(
        &'a self,
        plan: &'a Plan,
        effect: &'a TableEffect,
        queue: &mut Queue<'a>,
    ) -> Result<(), Interruption> {
        let shape = &*effect.shape;
        let key = shape.key_columns().len() as u16;
        let whole = shape.identity == RowIdentity::WholeRow;
        if !effect.deletes.is_empty() {
            let rows = Rows::Counted(&effect.deletes);
            let mut parameters = columns(plan, rows, 0..key);
            let kind = if whole { Kind::DeleteWhole } else { Kind::Delete };
            if whole {
                parameters.push(TextArray::counts(plan, rows));
            }
            let count = effect.deletes.iter().map(|(_, count)| u64::from(*count)).sum();
            let expected = Expected::rows(shape, "delete", count);
            self.queue_statement(shape, &kind, parameters, expected, queue).await?;
        }
        if !effect.discards.is_empty() {
            let parameters = columns(plan, Rows::Plain(&effect.discards), 0..key);
            let expected = Expected::any(shape, "delete");
            self.queue_statement(shape, &Kind::Delete, parameters, expected, queue).await?;
        }
        for set in &effect.updates {
            let mut parameters = columns(plan, Rows::Olds(&set.rows), 0..key);
            let rows = Rows::News(&set.rows);
            parameters.extend(set.columns.iter().map(|&c| TextArray::column(plan, rows, c)));
            let expected = Expected::rows(shape, "update", set.rows.len() as u64);
            let kind = Kind::Update(set.columns.clone());
            self.queue_statement(shape, &kind, parameters, expected, queue).await?;
        }
        self.inserts(plan, effect, queue).await
    }

    async fn inserts<'a>(
        &'a self,
        plan: &'a Plan,
        effect: &'a TableEffect,
        queue: &mut Queue<'a>,
    ) -> Result<(), Interruption> {
        let shape = &*effect.shape;
        match effect.inserts.len() {
            0 => Ok(()),
            count if count >= COPY_FROM => {
                // A COPY that is refused outright, as behind a failed statement, would have the
                // server answer twice: to the Sync behind Execute and to the driver's CopyFail.
                queue.settle().await?;
                self.copy(plan, shape, &effect.inserts).await
            }
            count => {
                let rows = Rows::Plain(&effect.inserts);
                let parameters = match shape.width() {
                    0 => vec![TextArray::counts(plan, rows)],
                    width => columns(plan, rows, 0..width),
                };
                let expected = Expected::rows(shape, "insert", count as u64);
                self.queue_statement(shape, &Kind::Insert, parameters, expected, queue).await
            }
        }
    }

    async fn queue_statement<'a>(
        &'a self,
        shape: &'a Shape,
        kind: &Kind,
        parameters: Vec<TextArray<'a>>,
        expected: Expected<'a>,
        queue: &mut Queue<'a>,
    ) -> Result<(), Interruption> {
        let statement = self.statement(shape, kind)?;
        let sent = async move {
            let parameters: Vec<&(dyn ToSql + Sync)> =
                parameters.iter().map(|parameter| parameter as &(dyn ToSql + Sync)).collect();
            self.session.execute(statement, &parameters).await
        };
        queue.push(Box::pin(sent), expected);
        while queue.under_way.len() > MOST_UNDER_WAY {
            queue.await_oldest().await?;
        }
        Ok(())
    }

    fn table(&self, shape: &Shape) -> Result<&TargetTable, Failure> {
        let prepared = self.prepared.get(&address(shape));
        let missing = || TargetError::TableMissing { table: shape.relation.name.clone() };
        Ok(&prepared.ok_or_else(missing)?.table)
    }

    fn statement(&self, shape: &Shape, kind: &Kind) -> Result<&Statement, Failure> {
        let prepared = self.prepared.get(&address(shape));
        let statement = prepared.and_then(|prepared| prepared.statements.get(kind));
        let missing = || TargetError::TableMissing { table: shape.relation.name.clone() };
        Ok(statement.ok_or_else(missing)?)
    }

    async fn copy(
        &self,
        plan: &Plan,
        shape: &Shape,
        rows: &[CellIndex],
    ) -> Result<(), Interruption> {
        let statement = self.statement(shape, &Kind::Copy)?;
        let expected = Expected::rows(shape, "insert", rows.len() as u64);
        let sink = self.session.copy_in::<_, Bytes>(statement).await;
        let mut sink = Box::pin(sink.map_err(|error| expected.failed(error))?);
        let mut buffer = BytesMut::with_capacity(COPY_BUFFER + COPY_BUFFER / 4);
        for &row in rows {
            copy_row(plan, row, shape.width(), &mut buffer)
                .map_err(|source| TargetError::ValueAbsent { source: Box::new(source) })?;
            if buffer.len() >= COPY_BUFFER {
                let full = buffer.split().freeze();
                sink.send(full).await.map_err(|error| expected.failed(error))?;
                buffer.reserve(COPY_BUFFER + COPY_BUFFER / 4);
            }
        }
        sink.send(buffer.freeze()).await.map_err(|error| expected.failed(error))?;
        let copied = sink.as_mut().finish().await.map_err(|error| expected.failed(error))?;
        expected.check(copied)
    }

    async fn truncate(
        &self,
        truncate: &Truncate,
        shapes: &[Arc<Shape>],
    ) -> Result<(), Interruption> {
        let tables: Vec<&TargetTable> =
            shapes.iter().map(|shape| self.table(shape)).collect::<Result<_, _>>()?;
        let act = || attempting(format!("truncate {} tables", shapes.len()));
        let text = statement::truncate(tables.iter().copied(), truncate.restart_identity);
        let text = format!("SAVEPOINT dunlin_truncate; {text}; RELEASE SAVEPOINT dunlin_truncate");
        match self.session.batch_execute(&text).await {
            Err(error) if error.code() == Some(&SqlState::FEATURE_NOT_SUPPORTED) => {
                let text = statement::delete_all(tables.iter().copied());
                let text = format!("ROLLBACK TO SAVEPOINT dunlin_truncate; {text}");
                Ok(self.session.batch_execute(&text).await.map_err(act())?)
            }
            truncated => Ok(truncated.map_err(act())?),
        }
    }

    /// Marks what was proven of the rows that the plan changed. Which units there are is known by the
    /// generation that the checkpoint's row has, which does not move until the transaction ends.
    async fn touch(&mut self, plan: &Plan, ends: bool) -> Result<(), Failure> {
        self.touches.note(plan);
        if !ends {
            self.touches.note_piece(plan);
            return Ok(());
        }
        let generation = self.generation.load(Ordering::Relaxed);
        if generation != self.touches.generation() {
            let learnt = (&mut self.touches, generation);
            verification::learn(&self.session, &self.fence.name, learnt).await?;
            self.touches.note(plan);
        }
        match self.touches.due() {
            [] => Ok(()),
            due => verification::keep(&*self.session, &self.fence.name, due).await,
        }
    }

    /// Undoes what the last plan did.
    async fn undo(&mut self) -> Result<(), Failure> {
        let text = if self.in_transaction {
            "ROLLBACK TO SAVEPOINT dunlin_piece; RELEASE SAVEPOINT dunlin_piece"
        } else {
            "ROLLBACK"
        };
        Ok(self.session.batch_execute(text).await.map_err(attempting("roll a group back"))?)
    }
}

impl Applier for PostgresApplier {
    async fn describe(&mut self, table: &Table, relation: &Arc<Relation>) -> Result<(), Failure> {
        let found = catalog::table(&self.session, &self.columns, &relation.name).await?;
        let found = describe::check(table, relation, found)?;
        for column in describe::unwritten(relation, &found) {
            let (table, column) = (&relation.name, &column.name);
            tracing::warn!(%table, column, "only the target has this column; rows get its default");
        }
        let prepared =
            Prepared { relation: Arc::clone(relation), table: found, statements: HashMap::new() };
        self.prepared.insert(Arc::as_ptr(&prepared.relation) as usize, prepared);
        Ok(())
    }

    async fn alter(&mut self, alteration: &Alteration) -> Result<Vec<Table>, Failure> {
        let altered = alter::carry_out(&self.session, &self.fence, alteration, self.on_drop);
        let altered = altered.await?;
        altered.iter().for_each(|table| self.touches.note_table(table.id));
        Ok(altered)
    }

    async fn apply(
        &mut self,
        plan: &Plan,
        checkpoint: Option<&Checkpoint>,
    ) -> Result<Applied, Failure> {
        self.prepare(plan).await?;
        match self.carry_out(plan, checkpoint).await {
            Ok(()) => {}
            Err(Interruption::Failed(failure)) => return Err(failure),
            Err(Interruption::Clash(table, error)) => {
                self.undo().await?;
                return Ok(Applied::Clash { table, failure: error.into() });
            }
        }
        self.touch(plan, checkpoint.is_some()).await?;
        if !plan.steps.is_empty() {
            failpoint::reached("group-applied");
        }
        if let Some(checkpoint) = checkpoint {
            let commit = if checkpoint.durable { &self.commit_durably } else { "COMMIT" };
            self.session.batch_execute(commit).await.map_err(attempting("commit a group"))?;
            self.touches.committed();
            self.in_transaction = false;
        } else {
            if self.in_transaction {
                self.session
                    .batch_execute("RELEASE SAVEPOINT dunlin_piece")
                    .await
                    .map_err(attempting("keep a piece of a transaction"))?;
            }
            self.in_transaction = true;
        }
        Ok(Applied::Done)
    }

    fn harden(&mut self) -> impl Future<Output = Result<(), Failure>> + Send + 'static {
        let voucher = Arc::clone(&self.voucher);
        async move {
            // A transaction that has written nothing to the log would not wait for it (xact.c,
            // RecordTransactionCommit).
            let writing = "SELECT pg_catalog.pg_logical_emit_message(true, 'dunlin', '')";
            let hardened = voucher.batch_execute(writing).await;
            Ok(hardened.map_err(attempting("make groups durable"))?)
        }
    }

    async fn abandon(&mut self) -> Result<(), Failure> {
        self.in_transaction = false;
        // The marks go with the rows; the pieces are read again.
        self.touches = Touches::default();
        let rolled_back = self.session.batch_execute("ROLLBACK").await;
        Ok(rolled_back.map_err(attempting("roll an unfinished transaction back"))?)
    }
}

/// The statements that an effect needs.
fn kinds(effect: &TableEffect) -> Vec<Kind> {
    let mut kinds = Vec::new();
    if !effect.deletes.is_empty() {
        let whole = effect.shape.identity == RowIdentity::WholeRow;
        kinds.push(if whole { Kind::DeleteWhole } else { Kind::Delete });
    }
    if !effect.discards.is_empty() {
        kinds.push(Kind::Delete);
    }
    kinds.extend(effect.updates.iter().map(|set| Kind::Update(set.columns.clone())));
    match effect.inserts.len() {
        0 => {}
        count if count >= COPY_FROM => kinds.push(Kind::Copy),
        _ => kinds.push(Kind::Insert),
    }
    kinds
}

fn address(shape: &Shape) -> usize {
    Arc::as_ptr(&shape.relation) as usize
}

fn columns<'a>(
    plan: &'a Plan,
    rows: Rows<'a>,
    offsets: std::ops::Range<u16>,
) -> Vec<TextArray<'a>> {
    offsets.map(|offset| TextArray::column(plan, rows, offset)).collect()
}

/// What a statement under way must have done.
struct Expected<'a> {
    act: &'static str,
    relation: Option<&'a Relation>,
    rows: Option<u64>,
}

impl<'a> Expected<'a> {
    fn nothing(act: &'static str) -> Self {
        Expected { act, relation: None, rows: None }
    }

    /// The checkpoint's row is there and of our epoch.
    fn checkpoint() -> Self {
        Expected { act: state::STORE_CHECKPOINT, relation: None, rows: Some(1) }
    }

    fn rows(shape: &'a Shape, act: &'static str, rows: u64) -> Self {
        Expected { act, relation: Some(&shape.relation), rows: Some(rows) }
    }

    fn any(shape: &'a Shape, act: &'static str) -> Self {
        Expected { act, relation: Some(&shape.relation), rows: None }
    }

    fn check(&self, touched: u64) -> Result<(), Interruption> {
        match (self.rows, self.relation) {
            (Some(rows), Some(relation)) if rows != touched => {
                let error = TargetError::RowCount {
                    act: self.act,
                    table: relation.name.clone(),
                    expected: rows,
                    touched,
                };
                Err(Interruption::Clash(relation.table, error))
            }
            (Some(1), None) if touched == 0 => Err(TargetError::Fenced.into()),
            (Some(_) | None, _) => Ok(()),
        }
    }

    fn failed(&self, error: tokio_postgres::Error) -> Interruption {
        let Some(relation) = self.relation else {
            return StatementError::new(self.act, error).into();
        };
        let act = format!("{} rows of table {}", self.act, relation.name);
        let error = StatementError::new(act, error);
        match error.code() {
            // unique_violation, exclusion_violation
            Some("23505" | "23P01") => Interruption::Clash(relation.table, error.into()),
            Some(_) | None => error.into(),
        }
    }
}

type Sent<'a> = Pin<Box<dyn Future<Output = Result<u64, tokio_postgres::Error>> + Send + 'a>>;

/// Statements whose answers are still to come, oldest first.
struct Queue<'a> {
    under_way: VecDeque<(Sent<'a>, Expected<'a>)>,
}

impl<'a> Queue<'a> {
    /// Sends a statement. The driver sends with the first poll and in the order of first polls;
    /// so each is polled here once, with nobody to wake. Its answer is looked at in its turn, also
    /// where it is there at once: what failed first explains what failed later.
    fn push(&mut self, mut sent: Sent<'a>, expected: Expected<'a>) {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        let sent = match sent.as_mut().poll(&mut context) {
            Poll::Pending => sent,
            Poll::Ready(answer) => Box::pin(std::future::ready(answer)),
        };
        self.under_way.push_back((sent, expected));
    }

    async fn await_oldest(&mut self) -> Result<(), Interruption> {
        let Some((sent, expected)) = self.under_way.pop_front() else {
            return Ok(());
        };
        let touched = sent.await.map_err(|error| expected.failed(error))?;
        expected.check(touched)
    }

    async fn settle(&mut self) -> Result<(), Interruption> {
        while !self.under_way.is_empty() {
            self.await_oldest().await?;
        }
        Ok(())
    }
}
