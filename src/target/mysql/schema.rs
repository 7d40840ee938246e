//! The schema on the target: databases and tables before the rows, everything else after them.
//!
//! In: the source's statements. Out: tables with their primary and unique keys at once, and steps
//! for what is better made after the load: indexes, foreign keys, routines, views, events. The
//! server commits with each statement, so a step and its record are not one: each looks first at
//! what stands, makes what does not, and is recorded then. A process that is killed in between
//! finds it there. Triggers would fire for rows of ours, and no session can have them rest: they are
//! kept in the state, and are made once the target is written by its own clients. Events are made
//! disabled, and enabled then. Triggers and events that stand on the target already are taken into the
//! state in the same way, before a row is written.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use super::error::attempting;
use super::literal::{ident, name, text};
use super::session::{Session, field};
use super::state::{self, Fence};
use super::steps;
use super::stored::{self, label};
use super::{TargetError, catalog, dialect, timestamps};
use crate::connect::mysql::StatementError;
use crate::model::ddl::{Clause, MySqlSchema, StoredDdl, StoredKind};
use crate::model::{Failure, SchemaArchive, Table, TableName};
use crate::target::{Build, BuildStage};

/// `ER_NO_SUCH_TABLE`, `ER_VIEW_INVALID`, `ER_SP_DOES_NOT_EXIST`, `ER_BAD_TABLE_ERROR`: a view reads
/// what is not made yet.
const NOT_YET: [u16; 4] = [1146, 1356, 1305, 1051];

/// One step after the load, as the state keeps it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(super) enum Step {
    /// A table's indexes, all by one statement, and its statistics. `early` where a foreign key that
    /// the stream needs may need them.
    Indexes {
        table: TableName,
        bytes: u64,
        clauses: Vec<Clause>,
        #[serde(default)]
        early: bool,
    },
    /// A table's foreign keys, whose rows are known to satisfy them. `early` where the stream needs
    /// them, to do what they did on the source without a word in the log.
    ForeignKeys {
        table: TableName,
        clauses: Vec<Clause>,
        #[serde(default)]
        early: bool,
    },
    /// A routine or an event.
    Stored { object: StoredDdl },
    /// All views, in whatever order they need each other.
    Views { views: Vec<StoredDdl> },
    /// A trigger, which waits for the cutover.
    Trigger { object: StoredDdl },
    /// An event that stands and is enabled at the cutover.
    Enable { object: StoredDdl },
}

impl Step {
    fn stage(&self) -> BuildStage {
        match self {
            Step::Indexes { early: true, .. } | Step::ForeignKeys { early: true, .. } => {
                BuildStage::Identity
            }
            Step::Indexes { .. }
            | Step::ForeignKeys { .. }
            | Step::Stored { .. }
            | Step::Views { .. } => BuildStage::Rest,
            Step::Trigger { .. } => BuildStage::Cutover,
            Step::Enable { .. } => BuildStage::Switched,
        }
    }

    fn wave(&self) -> i32 {
        match self {
            Step::Indexes { .. } => 0,
            Step::ForeignKeys { .. } => 1,
            Step::Stored { object } if object.kind != StoredKind::Event => 2,
            Step::Views { .. } => 3,
            Step::Stored { .. } | Step::Trigger { .. } => 4,
            Step::Enable { .. } => 5,
        }
    }

    /// The step as the frame knows it.
    pub(super) fn build(&self, id: i32) -> Build {
        let (label, bytes) = match self {
            Step::Indexes { table, bytes, clauses, .. } if clauses.is_empty() => {
                (format!("statistics of {table}"), bytes / 100)
            }
            Step::Indexes { table, bytes, .. } => (format!("indexes of {table}"), *bytes),
            Step::ForeignKeys { table, .. } => (format!("foreign keys of {table}"), 0),
            Step::Stored { object } | Step::Trigger { object } => (label(object), 0),
            Step::Enable { object } => (format!("{} enabled", label(object)), 0),
            Step::Views { views } => (format!("{} views", views.len()), 0),
        };
        Build { id, label, wave: self.wave(), bytes, statements: self.statements() }
    }

    /// What it runs, where nothing of it stands yet.
    fn statements(&self) -> String {
        match self {
            Step::Indexes { table, clauses, .. } if clauses.is_empty() => {
                format!("ANALYZE TABLE {}", name(table))
            }
            Step::Indexes { table, clauses, .. } | Step::ForeignKeys { table, clauses, .. } => {
                let adds: Vec<_> = clauses.iter().map(|c| format!("ADD {}", c.text)).collect();
                format!("ALTER TABLE {} {}", name(table), adds.join(", "))
            }
            Step::Stored { object } | Step::Trigger { object } => stored::script(object),
            Step::Enable { object } => stored::script_of_enabling(object),
            Step::Views { views } => {
                views.iter().map(stored::script).collect::<Vec<_>>().join(";\n")
            }
        }
    }
}

/// Makes the tables, then records what is left to be built. May be called again.
pub(super) async fn make_tables(
    session: &mut Session,
    fence: &Fence,
    archive: &SchemaArchive,
    tables: &[Table],
) -> Result<(), Failure> {
    let schema = MySqlSchema::from_archive(archive).map_err(TargetError::unreadable)?;
    let known = catalog::collations(session).await?;
    let schema = dialect::adapt(schema, dialect::of(session.version()), &known);
    let preparing = || attempting("prepare the session that makes the schema");
    // What a source holds may have been made under a laxer mode: labels that compare equal, dates of
    // zeros as defaults.
    let settings = "SET NAMES utf8mb4; SET SESSION foreign_key_checks = 0, \
                    sql_mode = 'ALLOW_INVALID_DATES,NO_AUTO_VALUE_ON_ZERO'";
    session.execute(settings).await.map_err(preparing())?;
    for database in &schema.databases {
        let object = format!("database {}", database.name);
        make(session, object, unless_there(&database.create, "CREATE DATABASE ")).await?;
    }
    for sequence in &schema.sequences {
        using(session, &sequence.name.schema).await?;
        let create = unless_there(&sequence.create, "CREATE SEQUENCE ");
        make(session, format!("sequence {}", sequence.name), create).await?;
    }
    for table in &schema.tables {
        using(session, &table.name.schema).await?;
        // A server tells definitions in full: what it does not say is not so.
        timestamps::settle(session, table.create.as_bytes(), true).await?;
        let create = unless_there(&table.create, "CREATE TABLE ");
        make(session, format!("table {}", table.name), create).await?;
    }
    let steps: Vec<String> = steps(schema, tables).iter().map(state::json_text).collect();
    let recording = || attempting("record the schema that was made");
    let binary = "SET NAMES binary; BEGIN";
    session.execute(binary).await.map_err(recording())?;
    fence.hold(session).await?;
    steps::store_schema(session, &fence.name, archive, &steps).await?;
    session.execute("COMMIT").await.map_err(recording())?;
    Ok(())
}

/// What follows the rows.
fn steps(schema: MySqlSchema, tables: &[Table]) -> Vec<Step> {
    let known = |name: &TableName| {
        let found = tables.iter().find(|table| table.name == *name);
        found.map_or((0, false), |table| (table.bytes, table.cascades.is_some()))
    };
    let mut steps = Vec::new();
    let mut foreign = Vec::new();
    for table in schema.tables {
        let (bytes, early) = known(&table.name);
        if !table.foreign_keys.is_empty() {
            let clauses = table.foreign_keys;
            foreign.push(Step::ForeignKeys { table: table.name.clone(), clauses, early });
        }
        let clauses = table.indexes;
        steps.push(Step::Indexes { table: table.name, bytes, clauses, early });
    }
    steps.extend(foreign);
    steps.extend(schema.routines.into_iter().map(|object| Step::Stored { object }));
    if !schema.views.is_empty() {
        steps.push(Step::Views { views: schema.views });
    }
    steps.extend(schema.triggers.into_iter().map(|object| Step::Trigger { object }));
    let enabled = schema.events.iter().filter(|event| event.enabled).cloned();
    steps.extend(enabled.map(|object| Step::Enable { object }));
    steps.extend(schema.events.into_iter().map(|object| Step::Stored { object }));
    steps
}

/// `CREATE … IF NOT EXISTS`, of a statement that begins with `begin`.
fn unless_there(create: &str, begin: &str) -> String {
    match create.strip_prefix(begin) {
        Some(rest) if !rest.starts_with("IF NOT EXISTS") => format!("{begin}IF NOT EXISTS {rest}"),
        Some(_) | None => create.to_owned(),
    }
}

async fn using(session: &mut Session, database: &str) -> Result<(), Failure> {
    let used = session.execute(format!("USE {}", ident(database))).await;
    used.map_err(attempting(format!("use database {database}")))?;
    Ok(())
}

async fn make(session: &mut Session, object: String, statement: String) -> Result<(), TargetError> {
    let made = session.execute(statement).await;
    let act = || attempting(format!("make {object}"));
    made.map(drop).map_err(act()).map_err(|source| TargetError::Build { object, source })
}

/// What of a stage is not built yet, in order.
pub(super) async fn left(
    session: &mut Session,
    name: &str,
    stage: BuildStage,
) -> Result<Vec<(i32, Step)>, Failure> {
    let mut steps = Vec::new();
    for (id, step) in steps::steps_left(session, name).await? {
        let step: Step = serde_json::from_str(&step).map_err(TargetError::unreadable)?;
        if step.stage() == stage {
            steps.push((id, step));
        }
    }
    steps.sort_by_key(|(id, step)| {
        let build = step.build(*id);
        (build.wave, std::cmp::Reverse(build.bytes), *id)
    });
    Ok(steps)
}

/// Carries out one step, then records it.
pub(super) async fn execute(
    session: &mut Session,
    fence: &Fence,
    (id, step): (i32, &Step),
) -> Result<(), Failure> {
    let preparing = || attempting("prepare a session that builds");
    let settings = "SET NAMES utf8mb4; SET SESSION foreign_key_checks = 0, unique_checks = 0";
    session.execute(settings).await.map_err(preparing())?;
    perform(session, step).await?;
    let recording = || attempting("record a step of the build");
    session.execute("SET NAMES binary; BEGIN").await.map_err(recording())?;
    fence.hold(session).await?;
    steps::record_step(session, fence, id).await?;
    session.execute("COMMIT").await.map_err(recording())?;
    Ok(())
}

async fn perform(session: &mut Session, step: &Step) -> Result<(), Failure> {
    match step {
        Step::Indexes { table, clauses, .. } => indexes(session, table, clauses).await,
        Step::ForeignKeys { table, clauses, .. } => foreign_keys(session, table, clauses).await,
        Step::Stored { object } | Step::Trigger { object } => {
            if !stored::stands(session, object).await? {
                stored::make(session, object).await?;
            }
            Ok(())
        }
        Step::Enable { object } => stored::enable(session, object).await,
        Step::Views { views } => make_views(session, views).await,
    }
}

/// What waits for the cutover.
async fn waiting(session: &mut Session, migration: &str) -> Result<Vec<(i32, Step)>, Failure> {
    let mut steps = left(session, migration, BuildStage::Cutover).await?;
    steps.extend(left(session, migration, BuildStage::Switched).await?);
    Ok(steps)
}

/// What of the state waits for the cutover, by name.
pub(super) async fn deferred(
    session: &mut Session,
    migration: &str,
) -> Result<Vec<String>, Failure> {
    let steps = waiting(session, migration).await?;
    Ok(steps.iter().map(|(id, step)| step.build(*id).label).collect())
}

/// Takes the triggers of tables that stand, and the events of their databases, into the state; then
/// drops the ones and disables the others. A process that is killed in between begins again.
pub(super) async fn set_aside(
    session: &mut Session,
    migration: &str,
    tables: &[Table],
) -> Result<(), Failure> {
    if tables.is_empty() {
        return Ok(());
    }
    let tables: Vec<TableName> = tables.iter().map(|table| table.name.clone()).collect();
    let acting = stored::acting(session, &tables).await?;
    if acting.is_empty() {
        return Ok(());
    }
    state::install(session).await?;
    let known = steps::steps_left(session, migration).await?;
    let steps = acting.iter().map(|object| match object.kind {
        StoredKind::Event => Step::Enable { object: object.clone() },
        _ => Step::Trigger { object: object.clone() },
    });
    let steps = steps.map(|step| state::json_text(&step));
    let new: Vec<String> = steps.filter(|step| known.iter().all(|(_, it)| it != step)).collect();
    steps::store_steps(session, migration, &new).await?;
    for object in &acting {
        tracing::warn!("{} is taken off the target until dunlin complete", label(object));
        stored::take_off(session, object).await?;
    }
    Ok(())
}

/// Makes again what [`set_aside`] took off for a migration that never began.
pub(super) async fn put_back(session: &mut Session, migration: &str) -> Result<(), Failure> {
    for (_, step) in waiting(session, migration).await? {
        perform(session, &step).await?;
    }
    Ok(())
}

async fn indexes(
    session: &mut Session,
    table: &TableName,
    clauses: &[Clause],
) -> Result<(), Failure> {
    let query = "SELECT DISTINCT index_name FROM information_schema.statistics WHERE table_schema";
    add(session, table, clauses, query).await?;
    let analyzed = session.rows(format!("ANALYZE TABLE {}", name(table))).await;
    analyzed.map_err(attempting(format!("gather the statistics of table {table}")))?;
    Ok(())
}

async fn foreign_keys(
    session: &mut Session,
    table: &TableName,
    clauses: &[Clause],
) -> Result<(), Failure> {
    using(session, &table.schema).await?;
    let query = "SELECT constraint_name FROM information_schema.table_constraints \
                 WHERE constraint_type = 'FOREIGN KEY' AND table_schema";
    add(session, table, clauses, query).await
}

/// Adds those clauses to a table whose names `query` does not find on it, by one statement.
async fn add(
    session: &mut Session,
    table: &TableName,
    clauses: &[Clause],
    query: &str,
) -> Result<(), Failure> {
    let query = format!("{query} = {} AND table_name = {}", text(&table.schema), text(&table.name));
    let rows = session.rows(query).await;
    let rows = rows.map_err(attempting(format!("read what table {table} has")))?;
    let there = rows.iter().map(|row| field(row, 0));
    let there = there.collect::<Result<HashSet<String>, _>>()?;
    let is_missing = |clause: &&Clause| {
        there.iter().all(|name| name.to_lowercase() != clause.name.to_lowercase())
    };
    let missing: Vec<_> =
        clauses.iter().filter(is_missing).map(|clause| format!("ADD {}", clause.text)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let statement = format!("ALTER TABLE {} {}", name(table), missing.join(", "));
    Ok(make(session, format!("indexes and keys of table {table}"), statement).await?)
}

/// Makes all views. One that reads another waits for it.
async fn make_views(session: &mut Session, views: &[StoredDdl]) -> Result<(), Failure> {
    let mut waiting: Vec<&StoredDdl> = Vec::new();
    for view in views {
        if !stored::stands(session, view).await? {
            waiting.push(view);
        }
    }
    while !waiting.is_empty() {
        let mut failed: Option<TargetError> = None;
        let mut still = Vec::new();
        for view in &waiting {
            match stored::make(session, view).await {
                Ok(()) => {}
                Err(TargetError::Build { object, source }) if is_not_yet(&source) => {
                    still.push(*view);
                    failed = Some(TargetError::Build { object, source });
                }
                Err(error) => return Err(error.into()),
            }
        }
        if let Some(error) = failed.filter(|_| still.len() == waiting.len()) {
            return Err(error.into());
        }
        waiting = still;
    }
    Ok(())
}

fn is_not_yet(error: &StatementError) -> bool {
    error.number().is_some_and(|number| NOT_YET.contains(&number))
}
