//! Makes the database that is moved: schema, rows by the million, then indexes, keys and triggers.
//!
//! Enters: an empty database and a size. Leaves: the tables that the applications write to. All rows
//! are made by the server itself, from numbers, so two loads of a size are equal; none of it is in
//! the server's log.

use mysql_async::prelude::Queryable;

use super::Server;
use super::application::rows_of;
use crate::demo::DemoError;
use crate::demo::load::Size;

const SESSION: &str = include_str!("../../../sql/mysql/demo/load_session.sql");
const SCHEMA: &str = include_str!("../../../sql/mysql/demo/schema.sql");
const LOAD_BANK: &str = include_str!("../../../sql/mysql/demo/load_bank.sql");
const LOAD_SHOP: &str = include_str!("../../../sql/mysql/demo/load_shop.sql");
const LOAD_EVENTS: &str = include_str!("../../../sql/mysql/demo/load_events.sql");
const FINISH: &str = include_str!("../../../sql/mysql/demo/finish.sql");

/// Loads an empty database, and says how many rows it has.
///
/// # Errors
/// When the server refuses a statement.
pub async fn load(server: &Server, database: &str, size: Size) -> Result<u64, DemoError> {
    let run = |statements| run(server, database, size, statements);
    run(SCHEMA).await?;
    let (bank, shop, events) = tokio::try_join!(run(LOAD_BANK), run(LOAD_SHOP), run(LOAD_EVENTS))?;
    run(FINISH).await?;
    Ok(bank + shop + events)
}

async fn run(
    server: &Server,
    database: &str,
    size: Size,
    statements: &str,
) -> Result<u64, DemoError> {
    let failed = || DemoError::statement("load the database");
    let mut session = server.connect(database).await?;
    session.query_drop(SESSION).await.map_err(failed())?;
    let size = format!("SET @per_mille = {}", size.thousandths());
    session.query_drop(size).await.map_err(failed())?;
    rows_of(&mut session, statements).await.map_err(failed())
}
