//! A Postgres server as target.
//!
//! Composes the room: state and fence for who may write, load for chunks, schema and build for
//! what surrounds the rows, apply for groups. One control session lives as long as the target and
//! holds the advisory lock that keeps a second process out; the epoch fences whoever lost it.

mod alter;
mod apply;
pub mod build;
pub mod catalog;
mod check;
mod describe;
mod error;
mod load;
mod measure;
mod mend;
pub mod objects;
mod parameter;
mod pool;
pub mod schema;
pub mod script;
mod state;
mod statement;
mod status;
mod verification;
mod work;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use self::apply::PostgresApplier;
use self::catalog::ExistingTable;
use self::load::PostgresLoader;
use self::pool::Sessions;
use self::state::Fence;
use super::{Arrival, Build, BuildStage, Migration, Standing, StreamStatus, Target};
use crate::config::endpoint::PostgresEndpoint;
use crate::connect::attempting;
use crate::connect::postgres::{Client, connect, writers};
use crate::model::report::{Finding, Transfer};
use crate::model::selection::Patterns;
use crate::model::{
    Alteration, CarriedSchema, Chunk, CutoverProgress, CutoverStage, Failure, HeldSnapshot,
    OnDropColumn, Phase, Position, RowForm, SchemaStep, SequenceValue, SourceIdentity, Table,
    TableId, TableName,
};

pub use error::TargetError;

/// What the control session calls itself.
const APPLICATION: &str = "dunlin";

/// How long a session of a process that was just killed may keep its lock.
const LOCK_PATIENCE: Duration = Duration::from_secs(10);

/// How often the lock is tried meanwhile.
const LOCK_INTERVAL: Duration = Duration::from_millis(200);

/// What a Postgres target has to know beside its address.
#[derive(Clone, Debug)]
pub struct Options {
    /// The migration's name.
    pub name: String,
    /// Owners and grants are carried over.
    pub privileges: bool,
    /// Large objects are carried over.
    pub large_objects: bool,
    /// Memory for each index build, in bytes.
    pub maintenance_work_mem: u64,
    /// What becomes of columns that are dropped on the source.
    pub on_drop_column: OnDropColumn,
    /// What earlier attempts of this process left.
    pub remembered: Remembered,
}

/// What a process keeps from one attempt to the next.
#[derive(Clone, Debug, Default)]
pub struct Remembered(Arc<Mutex<Memory>>);

#[derive(Debug, Default)]
struct Memory {
    /// Sessions by which it has held the migration: where the network failed on our side only, the
    /// server still keeps the last one, with its lock.
    sessions: HashSet<String>,
    /// Sequences that are missing on the target, of which the operator was told.
    missing_sequences: HashSet<TableName>,
}

impl Remembered {
    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A Postgres server as target.
#[derive(Clone)]
pub struct PostgresTarget {
    shared: Arc<Shared>,
}

struct Shared {
    endpoint: PostgresEndpoint,
    control: Client,
    sessions: Sessions,
    options: Options,
    /// Our epoch, once the migration is taken over.
    fence: Mutex<Option<Fence>>,
    /// The steps of the build, by their numbers in the state.
    steps: Mutex<HashMap<i32, work::Step>>,
}

impl PostgresTarget {
    /// Connects.
    ///
    /// # Errors
    ///
    /// Where there is no connection.
    pub async fn connect(endpoint: &PostgresEndpoint, options: Options) -> Result<Self, Failure> {
        let control = connect(endpoint, APPLICATION).await?;
        // It holds the migration's lock: where its machine is gone, an answer is not sent again for a quarter
        // of an hour. Its answers are few and are read at once.
        let given_up = control.batch_execute("SET tcp_user_timeout = '60s'").await;
        given_up.map_err(attempting("have the target notice that its client is gone"))?;
        let endpoint = control.endpoint().clone();
        let sessions = Sessions::new(endpoint.clone(), writers(&options.name))?;
        Ok(PostgresTarget {
            shared: Arc::new(Shared {
                endpoint,
                control,
                sessions,
                options,
                fence: Mutex::new(None),
                steps: Mutex::new(HashMap::new()),
            }),
        })
    }

    /// The control session.
    #[must_use]
    pub fn control(&self) -> &Client {
        &self.shared.control
    }

    fn name(&self) -> &str {
        &self.shared.options.name
    }

    fn fence(&self) -> Result<Fence, TargetError> {
        let fence = self.shared.fence.lock().unwrap_or_else(PoisonError::into_inner);
        fence.clone().ok_or(TargetError::Fenced)
    }

    /// Another session.
    ///
    /// # Errors
    ///
    /// Where there is no connection.
    pub async fn session(&self) -> Result<Client, Failure> {
        Ok(connect(&self.shared.endpoint, &writers(self.name())).await?)
    }

    /// Takes the advisory lock of the migration, waiting a little for the session of a process
    /// that was just killed.
    async fn lock(&self) -> Result<(), Failure> {
        let since = Instant::now();
        let mut ticks = tokio::time::interval(LOCK_INTERVAL);
        loop {
            ticks.tick().await;
            let row = self
                .shared
                .control
                .query_one(include_str!("../../../sql/postgres/target_lock.sql"), &[&self.name()])
                .await
                .map_err(attempting("lock the migration on the target"))?;
            let remembered = &self.shared.options.remembered;
            if row.get("locked") {
                remembered.memory().sessions.insert(row.get("own_session"));
                return Ok(());
            }
            let holder: Option<i32> = row.get("holder");
            let session: Option<String> = row.get("holding_session");
            let own = session.is_some_and(|held| remembered.memory().sessions.contains(&held));
            if let Some(pid) = holder.filter(|_| own) {
                self.terminate(pid).await?;
            }
            if since.elapsed() >= LOCK_PATIENCE {
                let name = self.name().to_owned();
                let pid = holder.unwrap_or_default();
                return Err(TargetError::AlreadyRunning { name, pid }.into());
            }
        }
    }

    /// Ends a session of this very process whose connection broke on our side only.
    async fn terminate(&self, pid: i32) -> Result<(), Failure> {
        self.shared
            .control
            .execute("SELECT pg_catalog.pg_terminate_backend($1)", &[&pid])
            .await
            .map_err(attempting("end our own broken session on the target"))?;
        Ok(())
    }

    async fn empty_tables(&self, tables: &[TableName]) -> Result<(), Failure> {
        let found = catalog::tables(&self.shared.control, tables).await?;
        if found.is_empty() {
            return Ok(());
        }
        let text = statement::truncate(found.iter(), false);
        let emptied = self.shared.control.batch_execute(&text).await;
        Ok(emptied.map_err(attempting("empty tables of the target"))?)
    }
}

impl Target for PostgresTarget {
    type Loader = PostgresLoader;
    type Applier = PostgresApplier;

    async fn load(&self) -> Result<Option<Migration>, Failure> {
        state::load(&self.shared.control, self.name()).await
    }

    async fn create(
        &self,
        source: &SourceIdentity,
        selection: &Patterns,
        tables: &[Table],
        make_schema: bool,
    ) -> Result<(), Failure> {
        let mut session = self.session().await?;
        state::install(&session).await?;
        let writing = || attempting("write the new migration's state");
        let transaction = session.transaction().await.map_err(writing())?;
        state::create(&transaction, self.name(), source, selection, make_schema).await?;
        state::store_tables(&transaction, self.name(), tables).await?;
        Ok(transaction.commit().await.map_err(writing())?)
    }

    async fn create_following(
        &self,
        source: &SourceIdentity,
        selection: &Patterns,
        tables: &[Table],
        position: &Position,
    ) -> Result<(), Failure> {
        let mut session = self.session().await?;
        state::install(&session).await?;
        let writing = || attempting("write the new migration's state");
        let transaction = session.transaction().await.map_err(writing())?;
        state::create(&transaction, self.name(), source, selection, false).await?;
        state::store_tables(&transaction, self.name(), tables).await?;
        state::begin_with_stream(&transaction, self.name(), tables, position).await?;
        Ok(transaction.commit().await.map_err(writing())?)
    }

    async fn claim(&self) -> Result<(), Failure> {
        self.lock().await
    }

    async fn take_over(&self) -> Result<(), Failure> {
        state::end_sessions(&self.shared.control, &writers(self.name())).await?;
        let epoch = state::next_epoch(&self.shared.control, self.name()).await?;
        let fence = Fence { name: self.name().to_owned(), epoch };
        *self.shared.fence.lock().unwrap_or_else(PoisonError::into_inner) = Some(fence);
        Ok(())
    }

    async fn unclaim(&self) -> Result<(), Failure> {
        let unlock = include_str!("../../../sql/postgres/target_unlock.sql");
        loop {
            let row = self.shared.control.query_one(unlock, &[&self.name()]).await;
            let row = row.map_err(attempting("let go of the migration on the target"))?;
            // It was taken as often as it was claimed.
            if !row.get::<_, bool>(0) {
                return Ok(());
            }
        }
    }

    async fn ask_to_stand_by(&self) -> Result<(), Failure> {
        state::ask_to_stand_by(&self.shared.control, self.name()).await
    }

    async fn is_asked_to_stand_by(&self) -> Result<bool, Failure> {
        state::is_asked_to_stand_by(&self.shared.control, &self.fence()?).await
    }

    async fn record_cutover(&self, progress: Option<CutoverProgress<'_>>) -> Result<(), Failure> {
        let fence = self.fence()?;
        let epoch = fence.epoch.cast_unsigned();
        let record = progress.map(|progress| state::json_text(&progress.under(epoch)));
        if progress.is_some_and(|progress| progress.stage == CutoverStage::Switching) {
            verification::touch_all(&self.shared.control, &fence).await?;
        }
        let column = "cutover = $3::text::jsonb";
        state::update(&self.shared.control, &fence, column, &[&record]).await
    }

    async fn unfit(&self, tables: &[Table]) -> Result<Vec<Finding>, Failure> {
        check::unfit(&self.shared.control, tables).await
    }

    async fn rest(&self, _tables: &[Table]) -> Result<(), Failure> {
        // Triggers are there, and rest in our own sessions by `session_replication_role`.
        std::future::ready(Ok(())).await
    }

    async fn record_snapshot(
        &self,
        held: Option<&HeldSnapshot>,
        checkpoint: Option<&Position>,
    ) -> Result<(), Failure> {
        let fence = self.fence()?;
        let mut session = self.shared.sessions.get().await?;
        state::record_snapshot(&mut session, &fence, held, checkpoint).await
    }

    async fn record_source(&self, source: &SourceIdentity) -> Result<(), Failure> {
        let (fence, source) = (self.fence()?, state::json_text(source));
        let column = "source = $3::text::jsonb";
        state::update(&self.shared.control, &fence, column, &[&source]).await
    }

    async fn record_phase(&self, phase: Phase) -> Result<(), Failure> {
        let fence = self.fence()?;
        let phase = phase.to_string();
        state::update(&self.shared.control, &fence, "phase = $3", &[&phase]).await
    }

    async fn record_status(&self, status: &StreamStatus) -> Result<(), Failure> {
        state::store_status(&self.shared.control, self.name(), status).await
    }

    async fn status(&self) -> Result<Standing, Failure> {
        status::read(&self.shared.control, self.name()).await
    }

    async fn check(&self, arrival: &Arrival<'_>) -> Result<Vec<Finding>, Failure> {
        check::survey(&self.shared.control, arrival, &self.shared.options).await
    }

    async fn measure(&self, most_bytes: u64, longest: Duration) -> Result<Transfer, Failure> {
        let session = self.shared.sessions.get().await?;
        measure::send(&session, most_bytes, longest).await
    }

    fn footprint(&self, tables: &[Table]) -> Vec<String> {
        vec![
            format!(
                "target: schema dunlin, with the state of migration {} in its tables migration, \
                 checkpoint, tables, chunk, build and status",
                self.name()
            ),
            format!(
                "target: the {} tables above with their rows; and, unless they are there, all that \
                 belongs to the schema: types, functions, indexes, constraints, views, triggers",
                tables.len()
            ),
            "target: the values of all selected sequences".to_owned(),
        ]
    }

    async fn clear_ground(
        &self,
        tables: &[Table],
        truncate: &[TableName],
    ) -> Result<bool, Failure> {
        let ground = check::ground(&self.shared.control, tables, truncate).await?;
        if let Some(obstacle) = ground.obstacles.into_iter().next() {
            return Err(obstacle.into());
        }
        if !ground.to_empty.is_empty() {
            // TRUNCATE refuses a table that another refers to, unless that is truncated with it;
            // those of the migration that need not be emptied are empty.
            let all: Vec<_> = tables.iter().map(|table| table.name.clone()).collect();
            self.empty_tables(&all).await?;
        }
        Ok(ground.make_schema)
    }

    async fn present(&self, mut tables: Vec<Table>) -> Result<Vec<Table>, Failure> {
        let names: Vec<TableName> = tables.iter().map(|table| table.name.clone()).collect();
        let existing = catalog::existing_tables(&self.shared.control, &names).await?;
        // A table by itself would bring its rows into the one that it is a partition of here.
        let fits = |found: &ExistingTable, table: &Table| {
            found.name == table.name
                && !found.has_rows
                && (!found.partition || table.root.is_some())
        };
        tables.retain(|table| existing.iter().any(|found| fits(found, table)));
        match work::schema_differences(&self.shared.control, &tables).await?.into_iter().next() {
            Some(difference) => Err(difference.into()),
            None => Ok(tables),
        }
    }

    async fn adopt(&self, tables: &[Table]) -> Result<(), Failure> {
        let fence = self.fence()?;
        let mut session = self.shared.sessions.get().await?;
        let writing = || attempting("take tables into the migration");
        let transaction = session.transaction().await.map_err(writing())?;
        fence.hold(&transaction).await?;
        state::store_tables(&transaction, self.name(), tables).await?;
        verification::touch_tables(&transaction, self.name(), tables).await?;
        state::return_to_snapshot(&transaction, self.name()).await?;
        Ok(transaction.commit().await.map_err(writing())?)
    }

    async fn list_anew(&self, tables: &[Table], make_schema: bool) -> Result<(), Failure> {
        let fence = self.fence()?;
        let mut session = self.shared.sessions.get().await?;
        let writing = || attempting("list the migration's tables anew");
        let transaction = session.transaction().await.map_err(writing())?;
        fence.hold(&transaction).await?;
        state::list_anew(&transaction, self.name(), tables, make_schema).await?;
        Ok(transaction.commit().await.map_err(writing())?)
    }

    async fn make_tables(&self, schema: &CarriedSchema, tables: &[Table]) -> Result<(), Failure> {
        let fence = self.fence()?;
        let mut session = self.shared.sessions.get().await?;
        work::make_tables(&mut session, &fence, &self.shared.options, schema, tables).await
    }

    async fn indexed_already(&self, _tables: &[Table]) -> Result<HashSet<TableId>, Failure> {
        // Every index waits for the rows.
        std::future::ready(Ok(HashSet::new())).await
    }

    async fn record_chunks(&self, tables: &[Table], chunks: &[Chunk]) -> Result<(), Failure> {
        let fence = self.fence()?;
        let mut session = self.shared.sessions.get().await?;
        let writing = || attempting("write the ledger");
        let transaction = session.transaction().await.map_err(writing())?;
        fence.hold(&transaction).await?;
        state::store_tables(&transaction, self.name(), tables).await?;
        state::store_chunks(&transaction, self.name(), tables, chunks).await?;
        Ok(transaction.commit().await.map_err(writing())?)
    }

    async fn reset(&self, tables: &[Table]) -> Result<(), Failure> {
        let fence = self.fence()?;
        let mut session = self.shared.sessions.get().await?;
        let resetting = || attempting("have tables copied again");
        let transaction = session.transaction().await.map_err(resetting())?;
        fence.hold(&transaction).await?;
        state::store_chunks(&transaction, self.name(), tables, &[]).await?;
        work::empty(&transaction, tables).await?;
        verification::touch_tables(&transaction, self.name(), tables).await?;
        state::return_to_snapshot(&transaction, self.name()).await?;
        Ok(transaction.commit().await.map_err(resetting())?)
    }

    async fn renew(&self, tables: &[Table]) -> Result<(), Failure> {
        let fence = self.fence()?;
        let mut session = self.shared.sessions.get().await?;
        let writing = || attempting("record tables as they are now");
        let transaction = session.transaction().await.map_err(writing())?;
        fence.hold(&transaction).await?;
        state::store_tables(&transaction, self.name(), tables).await?;
        verification::touch_tables(&transaction, self.name(), tables).await?;
        Ok(transaction.commit().await.map_err(writing())?)
    }

    async fn retake(&self, alterations: &[Alteration]) -> Result<(), Failure> {
        let fence = self.fence()?;
        let mut session = self.shared.sessions.get().await?;
        let retaking = || attempting("have altered tables copied again");
        let tables: Vec<Table> = alterations.iter().flat_map(Alteration::tables).cloned().collect();
        let transaction = session.transaction().await.map_err(retaking())?;
        fence.hold(&transaction).await?;
        state::store_chunks(&transaction, self.name(), &tables, &[]).await?;
        for alteration in alterations {
            alter::find(transaction.client(), alteration).await?;
        }
        work::empty(&transaction, &tables).await?;
        verification::touch_tables(&transaction, self.name(), &tables).await?;
        for alteration in alterations {
            let on_drop = self.shared.options.on_drop_column;
            alter::carry_out(transaction.client(), &fence, alteration, on_drop).await?;
        }
        Ok(transaction.commit().await.map_err(retaking())?)
    }

    async fn define(&self, step: &SchemaStep) -> Result<(), Failure> {
        let place = step.change.mark.to_string();
        std::future::ready(Err(TargetError::ForeignDefinition { place }.into())).await
    }

    async fn forms(&self, tables: &[Table]) -> Result<Vec<RowForm>, Failure> {
        work::forms(&self.shared.control, tables).await
    }

    async fn loader(&self) -> Result<PostgresLoader, Failure> {
        PostgresLoader::new(self.session().await?, self.fence()?).await
    }

    async fn builds(&self, stage: BuildStage) -> Result<Vec<Build>, Failure> {
        let steps = work::left(&self.shared.control, self.name(), stage).await?;
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
        let mut session = self.shared.sessions.get().await?;
        let memory_kb = self.shared.options.maintenance_work_mem / 1024;
        work::execute(&mut session, &fence, (id, &step), memory_kb).await
    }

    async fn set_sequences(&self, values: &[SequenceValue]) -> Result<(), Failure> {
        let missing = objects::set_sequences(&self.shared.control, values).await?;
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

    async fn applier(&self) -> Result<PostgresApplier, Failure> {
        let on_drop = self.shared.options.on_drop_column;
        let sessions = (self.session().await?, self.session().await?);
        PostgresApplier::new(sessions, self.fence()?, on_drop).await
    }

    async fn remove(&self) -> Result<Vec<String>, Failure> {
        let mut session = self.session().await?;
        state::remove(&mut session, self.name()).await
    }
}
