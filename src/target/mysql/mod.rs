//! A MySQL or MariaDB server as target.
//!
//! Composes the room: state and fence for who may write, load for chunks, schema for what surrounds
//! the rows, apply for groups. One control session lives as long as the target and holds the
//! advisory lock that keeps a second process out; the epoch fences whoever lost it. All other
//! sessions hold a lock that tells whose they are, so that whoever takes over can end them: a process
//! that is frozen would otherwise keep rows locked in a transaction that never ends.

mod alter;
mod apply;
mod catalog;
mod check;
mod define;
mod dialect;
mod error;
mod infile;
mod literal;
mod load;
mod lock;
mod logged;
mod measure;
mod mend;
mod schema;
mod sequence;
mod session;
mod state;
mod statement;
mod steps;
mod stored;
mod timestamps;
mod verification;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use self::apply::MySqlApplier;
use self::error::attempting;
use self::load::MySqlLoader;
use self::session::Session;
use self::state::Fence;
use super::{Arrival, Build, BuildStage, Migration, Standing, StreamStatus, Target};
use crate::config::endpoint::MySqlEndpoint;
use crate::connect::mysql::to_the_end;
use crate::model::report::{Finding, Transfer};
use crate::model::selection::Patterns;
use crate::model::{
    Alteration, CarriedSchema, Chunk, CutoverProgress, CutoverStage, Failure, HeldSnapshot,
    OnDropColumn, Phase, Position, RowForm, SchemaStep, SequenceValue, SourceIdentity, Table,
    TableId, TableName,
};

pub use error::TargetError;

/// What a MySQL target has to know beside its address.
#[derive(Clone, Debug)]
pub struct Options {
    /// The migration's name.
    pub name: String,
    /// What becomes of columns that are dropped on the source.
    pub on_drop_column: OnDropColumn,
    /// Whether what is written stands in the server's own binary log.
    pub binlog: bool,
    /// What earlier attempts of this process left.
    pub remembered: Remembered,
}

/// What a process keeps from one attempt to the next.
#[derive(Clone, Debug, Default)]
pub struct Remembered(Arc<Mutex<Memory>>);

#[derive(Debug, Default)]
struct Memory {
    /// Connections by which it has held the migration: where the network failed on our side only,
    /// the server still keeps the last one, with its lock.
    connections: HashSet<u32>,
    /// Sequences that are missing on the target, of which the operator was told.
    missing_sequences: HashSet<TableName>,
}

impl Remembered {
    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A MySQL or MariaDB server as target.
#[derive(Clone)]
pub struct MySqlTarget {
    shared: Arc<Shared>,
}

struct Shared {
    endpoint: MySqlEndpoint,
    control: tokio::sync::Mutex<Session>,
    options: Options,
    /// Our epoch, once the migration is taken over.
    fence: Mutex<Option<Fence>>,
    /// The steps of the build, by their numbers in the state.
    steps: Mutex<HashMap<i32, schema::Step>>,
    /// Held by each applier while it lives.
    applying: Arc<()>,
}

impl MySqlTarget {
    /// Connects.
    ///
    /// # Errors
    ///
    /// Where there is no connection.
    pub async fn connect(endpoint: &MySqlEndpoint, options: Options) -> Result<Self, Failure> {
        let control = session::open(endpoint, options.binlog).await?;
        Ok(MySqlTarget {
            shared: Arc::new(Shared {
                endpoint: control.endpoint().clone(),
                control: tokio::sync::Mutex::new(control),
                options,
                fence: Mutex::new(None),
                steps: Mutex::new(HashMap::new()),
                applying: Arc::new(()),
            }),
        })
    }

    /// The server that it is, pinned to the host that answered.
    #[must_use]
    pub fn endpoint(&self) -> &MySqlEndpoint {
        &self.shared.endpoint
    }

    fn name(&self) -> &str {
        &self.shared.options.name
    }

    async fn control(&self) -> tokio::sync::MutexGuard<'_, Session> {
        self.shared.control.lock().await
    }

    fn fence(&self) -> Result<Fence, TargetError> {
        let fence = self.shared.fence.lock().unwrap_or_else(PoisonError::into_inner);
        fence.clone().ok_or(TargetError::Fenced)
    }

    /// Another session, which is ended by whoever takes over.
    async fn session(&self) -> Result<Session, Failure> {
        let mut session = session::open(&self.shared.endpoint, self.shared.options.binlog).await?;
        lock::mark(&mut session, self.name()).await?;
        Ok(session)
    }

    /// A session of its own with a transaction in which the epoch is ours.
    async fn transaction(&self) -> Result<Session, Failure> {
        let fence = self.fence()?;
        let mut session = self.session().await?;
        session.execute("BEGIN").await.map_err(attempting("open a transaction"))?;
        fence.hold(&mut session).await?;
        Ok(session)
    }

    async fn update(&self, assignments: &str) -> Result<(), Failure> {
        let mut session = self.transaction().await?;
        state::update(&mut session, self.name(), assignments).await?;
        commit(session).await
    }
}

async fn commit(mut session: Session) -> Result<(), Failure> {
    session.execute("COMMIT").await.map_err(attempting("commit the migration's state"))?;
    session.close().await;
    Ok(())
}

/// Empties tables in the open transaction, in which foreign keys rest.
async fn empty(session: &mut Session, tables: &[Table]) -> Result<(), Failure> {
    for table in tables {
        let text = format!("DELETE FROM {}", literal::name(&table.name));
        let emptied = session.execute(text).await;
        emptied.map_err(attempting(format!("empty table {}", table.name)))?;
    }
    Ok(())
}

impl Target for MySqlTarget {
    type Loader = MySqlLoader;
    type Applier = MySqlApplier;

    async fn load(&self) -> Result<Option<Migration>, Failure> {
        let target = self.clone();
        to_the_end(async move { state::load(&mut *target.control().await, target.name()).await })
            .await
    }

    async fn create(
        &self,
        source: &SourceIdentity,
        selection: &Patterns,
        tables: &[Table],
        make_schema: bool,
    ) -> Result<(), Failure> {
        let mut session = self.session().await?;
        state::install(&mut session).await?;
        session.execute("BEGIN").await.map_err(attempting("open a transaction"))?;
        state::create(&mut session, self.name(), source, selection, make_schema).await?;
        state::store_tables(&mut session, self.name(), tables).await?;
        commit(session).await
    }

    async fn create_following(
        &self,
        source: &SourceIdentity,
        selection: &Patterns,
        tables: &[Table],
        position: &Position,
    ) -> Result<(), Failure> {
        let mut session = self.session().await?;
        state::install(&mut session).await?;
        schema::set_aside(&mut session, self.name(), tables).await?;
        session.execute("BEGIN").await.map_err(attempting("open a transaction"))?;
        state::create(&mut session, self.name(), source, selection, false).await?;
        state::store_tables(&mut session, self.name(), tables).await?;
        for table in tables {
            state::store_empty(&mut session, self.name(), table.id, position).await?;
        }
        let begin = state::begin_with_stream(self.name(), position);
        session.execute(begin).await.map_err(attempting("record where the migration begins"))?;
        commit(session).await
    }

    async fn claim(&self) -> Result<(), Failure> {
        let remembered = &self.shared.options.remembered;
        lock::take(&mut *self.control().await, self.name(), remembered).await
    }

    async fn take_over(&self) -> Result<(), Failure> {
        self.claim().await?;
        let mut control = self.control().await;
        lock::end_others(&mut control, self.name()).await?;
        let epoch = state::next_epoch(&mut control, self.name()).await?;
        // One that was marked in between may have found the former epoch.
        lock::end_others(&mut control, self.name()).await?;
        let fence = Fence { name: self.name().to_owned(), epoch };
        *self.shared.fence.lock().unwrap_or_else(PoisonError::into_inner) = Some(fence);
        Ok(())
    }

    async fn unclaim(&self) -> Result<(), Failure> {
        lock::let_go(&mut *self.control().await, self.name()).await
    }

    async fn ask_to_stand_by(&self) -> Result<(), Failure> {
        state::ask_to_stand_by(&mut *self.control().await, self.name()).await
    }

    async fn is_asked_to_stand_by(&self) -> Result<bool, Failure> {
        let (target, fence) = (self.clone(), self.fence()?);
        to_the_end(async move {
            state::is_asked_to_stand_by(&mut *target.control().await, &fence).await
        })
        .await
    }

    async fn record_cutover(&self, progress: Option<CutoverProgress<'_>>) -> Result<(), Failure> {
        let epoch = self.fence()?.epoch.cast_unsigned();
        let record = progress.map(|progress| progress.under(epoch));
        let mut session = self.transaction().await?;
        if record.as_ref().is_some_and(|record| record.stage == CutoverStage::Switching) {
            verification::touch_all(&mut session, self.name()).await?;
        }
        state::update(&mut session, self.name(), &state::cutover(record.as_ref())).await?;
        commit(session).await
    }

    async fn unfit(&self, _tables: &[Table]) -> Result<Vec<Finding>, Failure> {
        // What an index or a foreign key does not cover, the server does not let come into being.
        std::future::ready(Ok(Vec::new())).await
    }

    async fn rest(&self, tables: &[Table]) -> Result<(), Failure> {
        schema::set_aside(&mut self.session().await?, self.name(), tables).await
    }

    async fn record_snapshot(
        &self,
        held: Option<&HeldSnapshot>,
        checkpoint: Option<&Position>,
    ) -> Result<(), Failure> {
        let mut session = self.transaction().await?;
        state::record_snapshot(&mut session, self.name(), held, checkpoint).await?;
        commit(session).await
    }

    async fn record_source(&self, source: &SourceIdentity) -> Result<(), Failure> {
        self.update(&state::source(source)).await
    }

    async fn record_phase(&self, phase: Phase) -> Result<(), Failure> {
        self.update(&state::phase(phase)).await
    }

    async fn record_status(&self, status: &StreamStatus) -> Result<(), Failure> {
        let (target, status) = (self.clone(), status.clone());
        to_the_end(async move {
            state::store_status(&mut *target.control().await, target.name(), &status).await
        })
        .await
    }

    async fn status(&self) -> Result<Standing, Failure> {
        let target = self.clone();
        to_the_end(async move {
            let mut control = target.control().await;
            let holder = lock::holder(&mut control, target.name()).await?;
            let standing = state::standing(&mut control, target.name(), holder).await?;
            let deferred = schema::deferred(&mut control, target.name()).await?;
            Ok(Standing { deferred, ..standing })
        })
        .await
    }

    async fn check(&self, arrival: &Arrival<'_>) -> Result<Vec<Finding>, Failure> {
        check::survey(&mut *self.control().await, arrival).await
    }

    async fn measure(&self, most_bytes: u64, longest: Duration) -> Result<Transfer, Failure> {
        measure::send(&mut self.session().await?, most_bytes, longest).await
    }

    fn footprint(&self, tables: &[Table]) -> Vec<String> {
        vec![
            format!(
                "target: database dunlin, with the state of migration {} in its tables migration, \
                 checkpoint, tables, chunk, build and status",
                self.name()
            ),
            format!(
                "target: the {} tables above with their rows; and, unless they are there, their \
                 databases, indexes and foreign keys, views, routines, and events (disabled); \
                 triggers and events that are there already are set aside until dunlin complete",
                tables.len()
            ),
            "target: the AUTO_INCREMENT values of all tables, and the values of all sequences"
                .to_owned(),
        ]
    }

    async fn clear_ground(
        &self,
        tables: &[Table],
        truncate: &[TableName],
    ) -> Result<bool, Failure> {
        let mut session = self.session().await?;
        let ground = check::ground(&mut session, tables, truncate).await?;
        if let Some(obstacle) = ground.obstacles.into_iter().next() {
            return Err(obstacle.into());
        }
        schema::set_aside(&mut session, self.name(), tables).await?;
        let resting = "SET SESSION foreign_key_checks = 0";
        session.execute(resting).await.map_err(attempting("rest the foreign keys"))?;
        for table in &ground.to_empty {
            let emptied = session.execute(format!("TRUNCATE TABLE {}", literal::name(table))).await;
            emptied.map_err(attempting(format!("empty table {table}")))?;
        }
        Ok(ground.make_schema)
    }

    async fn present(&self, mut tables: Vec<Table>) -> Result<Vec<Table>, Failure> {
        let mut session = self.session().await?;
        // A table that a definition of the log was about to make is not there by the operator.
        state::install(&mut session).await?;
        let pending = define::pending(&mut session, self.name()).await?;
        tables.retain(|table| !pending.contains(&table.name));
        let names: Vec<TableName> = tables.iter().map(|table| table.name.clone()).collect();
        let existing = catalog::tables(&mut session, &names).await?;
        let filled = catalog::filled(&mut session, &existing).await?;
        tables.retain(|table| {
            existing.iter().any(|found| found.name == table.name) && !filled.contains(&table.name)
        });
        match check::differences(&tables, &existing).into_iter().next() {
            Some(difference) => Err(difference.into()),
            None => Ok(tables),
        }
    }

    async fn adopt(&self, tables: &[Table]) -> Result<(), Failure> {
        schema::set_aside(&mut self.session().await?, self.name(), tables).await?;
        let mut session = self.transaction().await?;
        state::store_tables(&mut session, self.name(), tables).await?;
        let ids = tables.iter().map(|table| table.id);
        verification::touch_tables(&mut session, self.name(), ids).await?;
        state::update(&mut session, self.name(), &state::return_to_snapshot()).await?;
        commit(session).await
    }

    async fn list_anew(&self, tables: &[Table], make_schema: bool) -> Result<(), Failure> {
        let mut session = self.transaction().await?;
        state::list_anew(&mut session, self.name(), tables, make_schema).await?;
        commit(session).await
    }

    async fn make_tables(&self, schema: &CarriedSchema, tables: &[Table]) -> Result<(), Failure> {
        let fence = self.fence()?;
        let mut session = self.session().await?;
        schema::make_tables(&mut session, &fence, &schema.archive, tables).await
    }

    async fn indexed_already(&self, tables: &[Table]) -> Result<HashSet<TableId>, Failure> {
        let mut session = self.session().await?;
        let mut indexed = HashSet::new();
        for table in tables {
            if catalog::is_unique_otherwise(&mut session, table).await? {
                indexed.insert(table.id);
            }
        }
        Ok(indexed)
    }

    async fn record_chunks(&self, tables: &[Table], chunks: &[Chunk]) -> Result<(), Failure> {
        let mut session = self.transaction().await?;
        state::store_tables(&mut session, self.name(), tables).await?;
        state::store_chunks(&mut session, self.name(), tables, chunks).await?;
        commit(session).await
    }

    async fn reset(&self, tables: &[Table]) -> Result<(), Failure> {
        let mut session = self.transaction().await?;
        let resting = "SET SESSION foreign_key_checks = 0";
        session.execute(resting).await.map_err(attempting("rest the foreign keys"))?;
        state::store_chunks(&mut session, self.name(), tables, &[]).await?;
        empty(&mut session, tables).await?;
        let ids = tables.iter().map(|table| table.id);
        verification::touch_tables(&mut session, self.name(), ids).await?;
        state::update(&mut session, self.name(), &state::return_to_snapshot()).await?;
        commit(session).await
    }

    async fn renew(&self, tables: &[Table]) -> Result<(), Failure> {
        let mut session = self.transaction().await?;
        state::store_tables(&mut session, self.name(), tables).await?;
        let ids = tables.iter().map(|table| table.id);
        verification::touch_tables(&mut session, self.name(), ids).await?;
        commit(session).await
    }

    async fn retake(&self, alterations: &[Alteration]) -> Result<(), Failure> {
        // The server commits before it alters a table. So the tables are emptied first, and their
        // chunks forgotten, which may be done again; the tables as they are then come last.
        let tables: Vec<Table> = alterations.iter().flat_map(Alteration::tables).cloned().collect();
        let mut session = self.transaction().await?;
        let resting = "SET SESSION foreign_key_checks = 0";
        session.execute(resting).await.map_err(attempting("rest the foreign keys"))?;
        state::store_chunks(&mut session, self.name(), &tables, &[]).await?;
        empty(&mut session, &tables).await?;
        let ids = tables.iter().map(|table| table.id);
        verification::touch_tables(&mut session, self.name(), ids).await?;
        session.execute("COMMIT").await.map_err(attempting("empty altered tables"))?;
        let (fence, on_drop) = (self.fence()?, self.shared.options.on_drop_column);
        for alteration in alterations {
            alter::carry_out(&mut session, &fence, alteration, on_drop).await?;
        }
        Ok(())
    }

    async fn define(&self, step: &SchemaStep) -> Result<(), Failure> {
        define::carry_out(self, step).await
    }

    async fn forms(&self, tables: &[Table]) -> Result<Vec<RowForm>, Failure> {
        std::future::ready(Ok(vec![RowForm::Text; tables.len()])).await
    }

    async fn loader(&self) -> Result<MySqlLoader, Failure> {
        MySqlLoader::new(self.session().await?, self.fence()?).await
    }

    async fn builds(&self, stage: BuildStage) -> Result<Vec<Build>, Failure> {
        let target = self.clone();
        let left =
            async move { schema::left(&mut *target.control().await, target.name(), stage).await };
        let steps = to_the_end(left).await?;
        let builds = steps.iter().map(|(id, step)| step.build(*id)).collect();
        let mut known = self.shared.steps.lock().unwrap_or_else(PoisonError::into_inner);
        known.extend(steps);
        Ok(builds)
    }

    async fn build(&self, id: i32) -> Result<(), Failure> {
        let step = {
            let known = self.shared.steps.lock().unwrap_or_else(PoisonError::into_inner);
            known.get(&id).cloned()
        };
        let Some(step) = step else { return Ok(()) };
        let fence = self.fence()?;
        let mut session = self.session().await?;
        schema::execute(&mut session, &fence, (id, &step)).await?;
        session.close().await;
        Ok(())
    }

    async fn set_sequences(&self, values: &[SequenceValue]) -> Result<(), Failure> {
        let mut session = self.session().await?;
        // While groups are applied, the server itself moves a table's counter on with the rows. To set
        // it would mean to wait for the open group, and hold up the next.
        let is_applying = Arc::strong_count(&self.shared.applying) > 1;
        let missing = sequence::set(&mut session, values, !is_applying).await?;
        let mut memory = self.shared.options.remembered.memory();
        for sequence in missing {
            if memory.missing_sequences.insert(sequence.clone()) {
                tracing::warn!(
                    "sequence {sequence} is not on the target, so its value is not carried: \
                     create it on the target likewise"
                );
            }
        }
        Ok(())
    }

    async fn applier(&self) -> Result<MySqlApplier, Failure> {
        let on_drop = self.shared.options.on_drop_column;
        let applying = Arc::clone(&self.shared.applying);
        MySqlApplier::new(self.session().await?, (self.fence()?, applying), on_drop).await
    }

    async fn remove(&self) -> Result<Vec<String>, Failure> {
        let mut session = self.session().await?;
        if state::load(&mut session, self.name()).await?.is_none() {
            schema::put_back(&mut session, self.name()).await?;
        }
        state::remove(&mut session, self.name()).await
    }
}
