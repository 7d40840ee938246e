//! The schema on the target: databases and tables before the rows, everything else after them.
//!
//! In: the source's statements. Out: tables with their primary and unique keys at once, and steps
//! for what is better made after the load: indexes, foreign keys, routines, views, events. The
//! server commits with each statement, so a step and its record are not one: each looks first at
//! what stands, makes what does not, and is recorded then. A process that is killed in between
//! finds it there. Triggers would fire for rows of ours, and no session can have them rest: they are
//! kept in the state, and are made once the target is written by its own clients. Events are made
//! disabled.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use super::TargetError;
use super::error::attempting;
use super::literal::{ident, name, text};
use super::session::{Session, field};
use super::state::{self, Fence};
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
    /// A table's indexes, all by one statement, and its statistics.
    Indexes { table: TableName, bytes: u64, clauses: Vec<Clause> },
    /// A table's foreign keys, whose rows are known to satisfy them.
    ForeignKeys { table: TableName, clauses: Vec<Clause> },
    /// A routine or an event.
    Stored { object: StoredDdl },
    /// All views, in whatever order they need each other.
    Views { views: Vec<StoredDdl> },
    /// A trigger, which waits for the end of the migration.
    Trigger { object: StoredDdl },
}

impl Step {
    fn stage(&self) -> Option<BuildStage> {
        match self {
            Step::Indexes { .. }
            | Step::ForeignKeys { .. }
            | Step::Stored { .. }
            | Step::Views { .. } => Some(BuildStage::Rest),
            Step::Trigger { .. } => None,
        }
    }

    fn wave(&self) -> i32 {
        match self {
            Step::Indexes { .. } => 0,
            Step::ForeignKeys { .. } => 1,
            Step::Stored { object } if object.kind != StoredKind::Event => 2,
            Step::Views { .. } => 3,
            Step::Stored { .. } | Step::Trigger { .. } => 4,
        }
    }

    /// The step as the frame knows it.
    pub(super) fn build(&self, id: i32) -> Build {
        let (label, bytes) = match self {
            Step::Indexes { table, bytes, clauses } if clauses.is_empty() => {
                (format!("statistics of {table}"), bytes / 100)
            }
            Step::Indexes { table, bytes, .. } => (format!("indexes of {table}"), *bytes),
            Step::ForeignKeys { table, .. } => (format!("foreign keys of {table}"), 0),
            Step::Stored { object } | Step::Trigger { object } => (label(object), 0),
            Step::Views { views } => (format!("{} views", views.len()), 0),
        };
        Build { id, label, wave: self.wave(), bytes, statements: self.statements() }
    }

    /// What it runs, where nothing of it stands yet.
    fn statements(&self) -> String {
        let all = |objects: &[StoredDdl]| {
            objects.iter().map(|object| object.create.clone()).collect::<Vec<_>>().join(";\n")
        };
        match self {
            Step::Indexes { table, clauses, .. } if clauses.is_empty() => {
                format!("ANALYZE TABLE {}", name(table))
            }
            Step::Indexes { table, clauses, .. } | Step::ForeignKeys { table, clauses } => {
                let adds: Vec<_> = clauses.iter().map(|c| format!("ADD {}", c.text)).collect();
                format!("ALTER TABLE {} {}", name(table), adds.join(", "))
            }
            Step::Stored { object } | Step::Trigger { object } => object.create.clone(),
            Step::Views { views } => all(views),
        }
    }
}

fn label(object: &StoredDdl) -> String {
    let kind = match object.kind {
        StoredKind::View => "view",
        StoredKind::Trigger => "trigger",
        StoredKind::Function => "function",
        StoredKind::Procedure => "procedure",
        StoredKind::Package => "package",
        StoredKind::PackageBody => "package body",
        StoredKind::Event => "event",
    };
    format!("{kind} {}", object.name)
}

/// Makes the tables, then records what is left to be built. May be called again.
pub(super) async fn make_tables(
    session: &mut Session,
    fence: &Fence,
    archive: &SchemaArchive,
    tables: &[Table],
) -> Result<(), Failure> {
    let schema = MySqlSchema::from_archive(archive).map_err(TargetError::unreadable)?;
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
        let create = unless_there(&table.create, "CREATE TABLE ");
        make(session, format!("table {}", table.name), create).await?;
    }
    for trigger in &schema.triggers {
        tracing::warn!(
            trigger = %trigger.name,
            "this trigger is not made: it would change rows a second time; make it on the target at \
             the cutover, once the run has ended"
        );
    }
    let steps: Vec<String> = steps(schema, tables).iter().map(state::json_text).collect();
    let recording = || attempting("record the schema that was made");
    let binary = "SET NAMES binary; BEGIN";
    session.execute(binary).await.map_err(recording())?;
    fence.hold(session).await?;
    state::store_schema(session, &fence.name, archive, &steps).await?;
    session.execute("COMMIT").await.map_err(recording())?;
    Ok(())
}

/// What follows the rows.
fn steps(schema: MySqlSchema, tables: &[Table]) -> Vec<Step> {
    let bytes = |name: &TableName| {
        let found = tables.iter().find(|table| table.name == *name);
        found.map_or(0, |table| table.bytes)
    };
    let mut steps = Vec::new();
    let mut foreign = Vec::new();
    for table in schema.tables {
        let bytes = bytes(&table.name);
        if !table.foreign_keys.is_empty() {
            let clauses = table.foreign_keys;
            foreign.push(Step::ForeignKeys { table: table.name.clone(), clauses });
        }
        steps.push(Step::Indexes { table: table.name, bytes, clauses: table.indexes });
    }
    steps.extend(foreign);
    steps.extend(schema.routines.into_iter().map(|object| Step::Stored { object }));
    if !schema.views.is_empty() {
        steps.push(Step::Views { views: schema.views });
    }
    steps.extend(schema.events.into_iter().map(|object| Step::Stored { object }));
    steps.extend(schema.triggers.into_iter().map(|object| Step::Trigger { object }));
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
    for (id, step) in state::steps_left(session, name).await? {
        let step: Step = serde_json::from_str(&step).map_err(TargetError::unreadable)?;
        if step.stage() == Some(stage) {
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
    match step {
        Step::Indexes { table, clauses, .. } => indexes(session, table, clauses).await?,
        Step::ForeignKeys { table, clauses } => foreign_keys(session, table, clauses).await?,
        Step::Stored { object } | Step::Trigger { object } => {
            if !stands(session, object).await? {
                stored(session, object).await?;
            }
        }
        Step::Views { views } => make_views(session, views).await?,
    }
    let recording = || attempting("record a step of the build");
    session.execute("SET NAMES binary; BEGIN").await.map_err(recording())?;
    fence.hold(session).await?;
    state::record_step(session, fence, id).await?;
    session.execute("COMMIT").await.map_err(recording())?;
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
        if !stands(session, view).await? {
            waiting.push(view);
        }
    }
    while !waiting.is_empty() {
        let mut failed: Option<TargetError> = None;
        let mut still = Vec::new();
        for view in &waiting {
            match stored(session, view).await {
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

/// Whether an object stands.
async fn stands(session: &mut Session, object: &StoredDdl) -> Result<bool, Failure> {
    let routine = |kind| ("routines", "routine", format!(" AND routine_type = '{kind}'"));
    let (list, of, and) = match object.kind {
        StoredKind::View => ("views", "table", String::new()),
        StoredKind::Trigger => ("triggers", "trigger", String::new()),
        StoredKind::Event => ("events", "event", String::new()),
        StoredKind::Function => routine("FUNCTION"),
        StoredKind::Procedure => routine("PROCEDURE"),
        StoredKind::Package => routine("PACKAGE"),
        StoredKind::PackageBody => routine("PACKAGE BODY"),
    };
    let query = format!(
        "SELECT 1 FROM information_schema.{list} \
         WHERE {of}_schema = {} AND {of}_name = {}{and}",
        text(&object.name.schema),
        text(&object.name.name)
    );
    let rows = session.rows(query).await;
    Ok(!rows.map_err(attempting(format!("look for {}", label(object))))?.is_empty())
}

/// Makes an object with a body, under the settings that decide what the body means.
async fn stored(session: &mut Session, object: &StoredDdl) -> Result<(), TargetError> {
    let label = label(object);
    let failed = |source| TargetError::Build { object: label.clone(), source };
    // The statement is sent in UTF-8; only one of ASCII alone reads the same in any other set.
    let client = match object.create.is_ascii() {
        true => &*object.character_set_client,
        false => "utf8mb4",
    };
    let mut settings = format!(
        "USE {}; SET character_set_client = {client}, collation_connection = {}",
        ident(&object.name.schema),
        object.collation_connection
    );
    if let Some(mode) = &object.sql_mode {
        settings.push_str(&format!(", sql_mode = {}", text(mode)));
    }
    if let Some(zone) = &object.time_zone {
        settings.push_str(&format!(", time_zone = {}", text(zone)));
    }
    session.execute(settings).await.map_err(attempting("prepare a session")).map_err(failed)?;
    let create = match object.kind {
        StoredKind::Event if object.enabled => disabled(&object.create),
        _ => object.create.clone(),
    };
    let made = make(session, label.clone(), create).await;
    let back = session.execute("SET NAMES utf8mb4").await;
    made?;
    back.map(drop).map_err(attempting("prepare a session")).map_err(failed)
}

/// The statement of an event that says ENABLE outside of its body: with DISABLE in its place.
fn disabled(create: &str) -> String {
    match create.find(" ENABLE ") {
        Some(at) => format!("{} DISABLE {}", &create[..at], &create[at + " ENABLE ".len()..]),
        None => create.to_owned(),
    }
}
