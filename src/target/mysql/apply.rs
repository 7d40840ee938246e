//! Plans, carried out in target transactions.
//!
//! In come plans and checkpoints; what leaves are statements, many to a packet, so that a small
//! group costs two round trips: one for all that it does, one for COMMIT. Foreign keys rest
//! meanwhile: their effects are in the log. Where a relation says that they are not, its updates and
//! deletes are carried out with foreign keys at work, which do here what they did on the source.
//!
//! Nothing is lost or doubled: every statement says how many rows it must find, and the transaction
//! is committed only after each has found exactly those and the checkpoint's row was still ours. A
//! statement that meets a unique key or another number of rows undoes all that the plan did
//! ([`Applied::Clash`]); the stream then replays the changes in the source's order, and what still
//! fails is an error that names the table. What a verification has proven of the rows that are changed
//! is marked as out of date in the same transaction. TRUNCATE is carried out as DELETE, since the server would
//! commit before it. The room decides nothing about order or merging: that is the plan's.

use std::collections::HashMap;
use std::sync::Arc;

use super::error::attempting;
use super::infile;
use super::session::{Session, field};
use super::state::Fence;
use super::statement::{Act, Expected, Packet, Packets, Rows, Writer, Written};
use super::{TargetError, alter, catalog, verification};
use crate::model::{
    Alteration, Failure, OnDropColumn, Plan, Relation, Shape, Step, Table, TableId, Touches,
};
use crate::observe::failpoint;
use crate::target::{Applied, Applier, Checkpoint};

/// Bytes of a packet of statements, about.
const PACKET_BYTES: usize = 2 << 20;

/// `ER_DUP_ENTRY`, `ER_DUP_ENTRY_WITH_KEY_NAME`, `ER_ROW_IS_REFERENCED_2`, `ER_NO_REFERENCED_ROW_2`:
/// a row that may be gone in another order stands against it, or lacks one that comes.
const OUT_OF_ORDER: [u16; 4] = [1062, 1586, 1451, 1452];

/// Without STRICT_ALL_TABLES, as which only the index zero of an ENUM is written.
const RELAXED: &str = "SET SESSION sql_mode = 'NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES'";

/// Applies plans over a connection of its own.
pub struct MySqlApplier {
    session: Session,
    /// The session's own `sql_mode`.
    strict: String,
    fence: Fence,
    on_drop: OnDropColumn,
    /// By the address of the shape's relation, which [`Described`] keeps alive.
    described: HashMap<usize, Described>,
    in_transaction: bool,
    /// What verifications have proven and is changed here.
    touches: Touches,
    /// Tells the target that groups are applied.
    _applying: Arc<()>,
}

/// A relation's shape, and how its rows are written.
struct Described {
    relation: Arc<Relation>,
    written: Written,
}

/// Why a plan stopped half way.
enum Interruption {
    /// A table's unique key or number of rows; the transaction can be rolled back.
    Clash(TableId, TargetError),
    /// Anything else.
    Failed(Failure),
}

impl<F: Into<Failure>> From<F> for Interruption {
    fn from(error: F) -> Self {
        Interruption::Failed(error.into())
    }
}

impl MySqlApplier {
    /// An applier over a session in which foreign keys rest.
    pub(super) async fn new(
        mut session: Session,
        (fence, applying): (Fence, Arc<()>),
        on_drop: OnDropColumn,
    ) -> Result<Self, Failure> {
        let act = || attempting("prepare the session that applies changes");
        let settings = include_str!("../../../sql/mysql/apply_session.sql");
        session.execute(settings).await.map_err(act())?;
        session.keep_warnings().await.map_err(act())?;
        let rows = session.rows("SELECT @@SESSION.sql_mode").await.map_err(act())?;
        let strict: String = field(rows.first().ok_or(TargetError::Answer { column: 0 })?, 0)?;
        Ok(MySqlApplier {
            session,
            strict: format!("SET SESSION sql_mode = '{strict}'"),
            fence,
            on_drop,
            described: HashMap::new(),
            in_transaction: false,
            touches: Touches::default(),
            _applying: applying,
        })
    }

    async fn carry_out(
        &mut self,
        plan: &Plan,
        checkpoint: Option<&Checkpoint>,
    ) -> Result<i64, Interruption> {
        let MySqlApplier { session, strict, fence, described, .. } = self;
        let mut sender = Sender { session, strict, generation: 0 };
        let mut packets = Packets::new(PACKET_BYTES.min(sender.session.most_bytes() / 4));
        let opening = if self.in_transaction { "SAVEPOINT dunlin_piece" } else { "BEGIN" };
        packets.open().push(opening, Expected::nothing("open a transaction"));
        for step in &plan.steps {
            match step {
                Step::Rows(effects) => {
                    for effect in effects {
                        let table = written(described, &effect.shape)?;
                        let changes = !effect.deletes.is_empty() || !effect.updates.is_empty();
                        packets.keys_work(effect.shape.relation.cascades && changes);
                        let writer = Writer { plan, table, shape: &effect.shape };
                        writer.effect(effect, &mut packets)?;
                        while let Some(act) = packets.next_full() {
                            sender.send(act).await?;
                        }
                    }
                }
                Step::Truncate { shapes, .. } => {
                    packets.keys_work(false);
                    for shape in shapes {
                        let name = written(described, shape)?.name();
                        let expected = Expected::any(&shape.relation, "truncate");
                        packets.open().push(&format!("DELETE FROM {name}"), expected);
                    }
                }
            }
        }
        packets.keys_work(false);
        if let Some(checkpoint) = checkpoint {
            packets.open().push(&fence.checkpoint(checkpoint), Expected::checkpoint());
        }
        while let Some(act) = packets.next() {
            sender.send(act).await?;
        }
        Ok(sender.generation)
    }

    /// Marks what was proven of the rows that the plan changed. Which units there are is known by the
    /// generation that the checkpoint's row has, which does not move until the transaction ends; None
    /// where that stays open.
    async fn touch(&mut self, plan: &Plan, generation: Option<i64>) -> Result<(), Failure> {
        let MySqlApplier { session, fence, touches, .. } = self;
        touches.note(plan);
        let Some(generation) = generation else {
            touches.note_piece(plan);
            return Ok(());
        };
        if generation != touches.generation() {
            verification::learn(session, &fence.name, (&mut *touches, generation)).await?;
            touches.note(plan);
        }
        verification::keep(session, &fence.name, touches.due().iter().copied()).await
    }

    /// Undoes what the last plan did.
    async fn undo(&mut self) -> Result<(), Failure> {
        let text = match self.in_transaction {
            true => "ROLLBACK TO SAVEPOINT dunlin_piece; SET SESSION foreign_key_checks = 0",
            false => "ROLLBACK; SET SESSION foreign_key_checks = 0",
        };
        self.session.execute(text).await.map_err(attempting("roll a group back"))?;
        Ok(())
    }
}

impl Applier for MySqlApplier {
    async fn describe(&mut self, table: &Table, relation: &Arc<Relation>) -> Result<(), Failure> {
        // The log comes back to one where sessions with and without foreign keys take turns.
        if self.described.contains_key(&(Arc::as_ptr(relation) as usize)) {
            return Ok(());
        }
        let found = catalog::table(&mut self.session, &relation.name).await?;
        for column in alter::fits(table, relation, found.as_ref())? {
            let table = &relation.name;
            tracing::warn!(%table, column, "only the target has this column; rows get its default");
        }
        let written = Written::new(relation, &table.columns);
        let described = Described { relation: Arc::clone(relation), written };
        self.described.insert(Arc::as_ptr(relation) as usize, described);
        Ok(())
    }

    async fn alter(&mut self, alteration: &Alteration) -> Result<Vec<Table>, Failure> {
        // The server commits before it alters a table: what is open of a transaction would be kept
        // without its checkpoint. It is given up, and read again behind the alteration.
        let within = std::mem::take(&mut self.in_transaction);
        if within {
            self.abandon().await?;
        }
        let altered = alter::carry_out(&mut self.session, &self.fence, alteration, self.on_drop);
        let altered = altered.await?;
        let ids = alteration.ids();
        self.described.retain(|_, described| !ids.contains(&described.relation.table));
        if within {
            let table = alteration.table.name.clone();
            return Err(TargetError::AlteredWithin { table }.into());
        }
        Ok(altered)
    }

    async fn apply(
        &mut self,
        plan: &Plan,
        checkpoint: Option<&Checkpoint>,
    ) -> Result<Applied, Failure> {
        let generation = match self.carry_out(plan, checkpoint).await {
            Ok(generation) => generation,
            Err(Interruption::Failed(failure)) => return Err(failure),
            Err(Interruption::Clash(table, error)) => {
                self.undo().await?;
                return Ok(Applied::Clash { table, failure: error.into() });
            }
        };
        self.touch(plan, checkpoint.map(|_| generation)).await?;
        if !plan.steps.is_empty() {
            failpoint::reached("group-applied");
        }
        self.in_transaction = checkpoint.is_none();
        if checkpoint.is_some() {
            self.session.execute("COMMIT").await.map_err(attempting("commit a group"))?;
            self.touches.committed();
        }
        Ok(Applied::Done)
    }

    fn harden(&mut self) -> impl Future<Output = Result<(), Failure>> + Send + 'static {
        // How durable a commit is, is a setting of the server's.
        std::future::ready(Ok(()))
    }

    async fn abandon(&mut self) -> Result<(), Failure> {
        self.in_transaction = false;
        // The marks go with the rows; the pieces are read again.
        self.touches = Touches::default();
        let rolled_back = self.session.execute("ROLLBACK").await;
        rolled_back.map_err(attempting("roll an unfinished transaction back"))?;
        Ok(())
    }
}

fn written<'a>(
    described: &'a HashMap<usize, Described>,
    shape: &Shape,
) -> Result<&'a Written, TargetError> {
    let found = described.get(&(Arc::as_ptr(&shape.relation) as usize));
    let missing = || TargetError::TableMissing { table: shape.relation.name.clone() };
    found.map(|described| &described.written).ok_or_else(missing)
}

/// Sends packets and judges what the server says.
struct Sender<'s> {
    session: &'s mut Session,
    strict: &'s str,
    /// What the checkpoint's row has as its generation, once the checkpoint is stored.
    generation: i64,
}

impl Sender<'_> {
    async fn send(&mut self, act: Act<'_>) -> Result<(), Interruption> {
        match act {
            Act::Packet(packet) => self.packet(packet).await,
            Act::Load(rows) => self.load(rows).await,
        }
    }

    /// Loads rows. One that meets a key is left out by the server, which is a clash.
    async fn load(&mut self, load: Rows<'_>) -> Result<(), Interruption> {
        let Rows { statement, zeros, rows, expected } = load;
        let loaded = self.session.load_rows(&statement, rows).await;
        let loaded = loaded.map_err(|error| expected.failed(error))?;
        let count = expected.rows.unwrap_or_default();
        let loaded = loaded.ok_or(TargetError::NoChunk)?;
        let Err(refusal) = infile::judge(self.session, &zeros, (count, loaded)).await? else {
            return Ok(());
        };
        let relation = expected.relation.ok_or(TargetError::NoChunk)?;
        let left_out = refusal.loaded.skipped > 0;
        let error = refusal.of(&relation.name, count);
        Err(if left_out { Interruption::Clash(relation.table, error) } else { error.into() })
    }

    async fn packet(&mut self, packet: Packet<'_>) -> Result<(), Interruption> {
        if packet.zeros == 0 {
            return self.judge(&packet).await.map(drop);
        }
        let relaxing = || attempting("set the mode in which an ENUM takes the index zero");
        self.session.execute(RELAXED).await.map_err(relaxing())?;
        let warnings = self.judge(&packet).await;
        self.session.execute(self.strict).await.map_err(relaxing())?;
        if warnings? == packet.zeros {
            return Ok(());
        }
        let mut relations = packet.expected.iter().filter_map(|expected| expected.relation);
        let table = relations.next_back().map(|relation| relation.name.clone());
        Err(match table {
            Some(table) => TargetError::Changed { act: "write", table }.into(),
            None => TargetError::NoChunk.into(),
        })
    }

    /// Sends a packet, and compares the rows that were found. Returns the number of warnings.
    async fn judge(&mut self, packet: &Packet<'_>) -> Result<u64, Interruption> {
        let (done, error) = match self.session.batch(&packet.text).await {
            Ok(done) => (done, None),
            Err(stopped) => (stopped.done, Some(stopped.error)),
        };
        for (done, expected) in done.iter().zip(&packet.expected) {
            expected.check(done.rows)?;
            // The checkpoint's statement is the last of all.
            self.generation = done.insert_id.cast_signed();
        }
        if let Some(error) = error {
            return Err(match packet.expected.get(done.len()) {
                Some(expected) => expected.failed(error),
                None => attempting("write a group of changes")(error).into(),
            });
        }
        Ok(done.iter().map(|done| u64::from(done.warnings)).sum())
    }
}

impl<'a> Expected<'a> {
    fn any(relation: &'a Relation, act: &'static str) -> Self {
        Expected { act, relation: Some(relation), rows: None }
    }

    /// The checkpoint's row is there and of our epoch.
    fn checkpoint() -> Self {
        Expected { act: "store the checkpoint", relation: None, rows: Some(1) }
    }

    fn check(&self, found: u64) -> Result<(), Interruption> {
        match (self.rows, self.relation) {
            (Some(rows), Some(relation)) if rows != found => {
                let error = TargetError::RowCount {
                    act: self.act,
                    table: relation.name.clone(),
                    expected: rows,
                    found,
                };
                Err(Interruption::Clash(relation.table, error))
            }
            (Some(1), None) if found != 1 => Err(TargetError::Fenced.into()),
            (Some(_) | None, _) => Ok(()),
        }
    }

    fn failed(&self, error: mysql_async::Error) -> Interruption {
        let Some(relation) = self.relation else {
            return attempting(self.act)(error).into();
        };
        let out_of_order = matches!(
            &error,
            mysql_async::Error::Server(server) if OUT_OF_ORDER.contains(&server.code)
        );
        let error = attempting(format!("{} rows of table {}", self.act, relation.name))(error);
        if out_of_order { Interruption::Clash(relation.table, error.into()) } else { error.into() }
    }
}
