//! The steps of the build, as the state on a MySQL target keeps them.
//!
//! In: steps as JSON. Out: those that are not done. What a step is, only the schema knows.

use mysql_async::Row;

use super::TargetError;
use super::error::attempting;
use super::literal::{self, text};
use super::session::{Session, field};
use super::state::{Fence, insert_rows, read};
use crate::model::{Failure, SchemaArchive};

/// Writes the steps of the build and the archive they come from, in the open transaction.
pub(super) async fn store_schema(
    session: &mut Session,
    name: &str,
    archive: &SchemaArchive,
    steps: &[String],
) -> Result<(), Failure> {
    let writing = || attempting("record the schema that was made");
    let mut statement = b"UPDATE dunlin.migration SET archive = ".to_vec();
    statement.extend_from_slice(&literal::bytes(&archive.bytes));
    statement.extend_from_slice(format!(" WHERE name = {}", text(name)).as_bytes());
    session.execute(statement).await.map_err(writing())?;
    store_steps(session, name, steps).await
}

/// Adds steps to those of the build.
pub(super) async fn store_steps(
    session: &mut Session,
    name: &str,
    steps: &[String],
) -> Result<(), Failure> {
    let writing = || attempting("record the steps of the build");
    let query = format!(
        "SELECT COALESCE(MAX(id) + 1, 0) FROM dunlin.build WHERE migration = {}",
        text(name)
    );
    let rows = session.rows(query).await.map_err(writing())?;
    let first: i32 = field(rows.first().ok_or(TargetError::Answer { column: 0 })?, 0)?;
    let rows = steps.iter().zip(first..);
    let rows = rows.map(|(step, id)| format!("({}, {id}, {})", text(name), text(step)));
    let insert = "INSERT INTO dunlin.build (migration, id, step) VALUES ";
    insert_rows(session, insert, rows).await.map_err(writing())?;
    Ok(())
}

/// Steps of the build that are not done, as they were stored.
pub(super) async fn steps_left(
    session: &mut Session,
    name: &str,
) -> Result<Vec<(i32, String)>, Failure> {
    let query = format!(
        "SELECT id, step FROM dunlin.build WHERE migration = {} AND finished_at IS NULL \
         ORDER BY id",
        text(name)
    );
    let rows = read(session, query).await?.unwrap_or_default();
    let step = |row: &Row| Ok((field(row, 0)?, field(row, 1)?));
    rows.iter().map(step).collect()
}

/// Records a step of the build as done, in the open transaction.
pub(super) async fn record_step(
    session: &mut Session,
    fence: &Fence,
    id: i32,
) -> Result<(), Failure> {
    let statement = format!(
        "UPDATE dunlin.build SET finished_at = UTC_TIMESTAMP(6) WHERE migration = {} AND id = {id}",
        text(&fence.name)
    );
    session.execute(statement).await.map_err(attempting("record a step of the build"))?;
    Ok(())
}
