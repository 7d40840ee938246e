//! Compares a database on two servers by what the servers themselves say of its rows.
//!
//! Enters: two servers of one flavour, and the database. Leaves: for each table, the rows on both
//! sides and whether they are equal; and which counters are behind. It shares no code with what
//! copied the rows, so a fault there cannot hide itself here. Each side is read in one
//! transaction, under settings that fix how values are written.

use std::collections::BTreeMap;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error};

use super::Server;
use crate::demo::DemoError;
use crate::demo::digest::{TableComparison, TableDigest, pair};

const STATEMENTS: &str = include_str!("../../../sql/mysql/demo/digest_statements.sql");
/// Everything that the text of a value may depend on.
const SETTINGS: &str = "SET NAMES utf8mb4; SET time_zone = '+00:00'; SET sql_mode = ''; \
     SET group_concat_max_len = 1 << 24; \
     SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; \
     START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY";
const COUNTERS: &str = "SELECT table_name, auto_increment FROM information_schema.tables \
     WHERE table_schema = ? AND auto_increment IS NOT NULL";
/// MySQL shows counters from a cache that is a day old at worst; MariaDB has no such cache.
const FRESH: &str = "SET information_schema_stats_expiry = 0";

/// Digests every table of a database, by its name.
///
/// # Errors
/// When the server refuses a statement.
pub async fn digest(
    server: &Server,
    database: &str,
) -> Result<BTreeMap<String, TableDigest>, DemoError> {
    let mut session = server.connect(database).await?;
    read_tables(&mut session, database).await.map_err(DemoError::statement("digest a database"))
}

/// Compares every table that is on either side.
///
/// # Errors
/// When a server refuses a statement.
pub async fn compare(
    source: &Server,
    target: &Server,
    database: &str,
) -> Result<Vec<TableComparison>, DemoError> {
    let (source, target) = tokio::try_join!(digest(source, database), digest(target, database))?;
    Ok(pair(source, target))
}

/// The tables whose next AUTO_INCREMENT on the target could have been given out on the source, or
/// which have none there.
///
/// # Errors
/// When a server refuses a statement.
pub async fn counters_behind(
    source: &Server,
    target: &Server,
    database: &str,
) -> Result<Vec<String>, DemoError> {
    let source = counters(source, database).await?;
    let target = counters(target, database).await?;
    let behind = source.into_iter().filter(|(table, next)| target.get(table) < Some(next));
    Ok(behind.map(|(table, _)| table).collect())
}

async fn read_tables(
    session: &mut Conn,
    database: &str,
) -> Result<BTreeMap<String, TableDigest>, Error> {
    session.query_drop(SETTINGS).await?;
    let tables: Vec<(String, String, String)> = session.exec(STATEMENTS, (database,)).await?;
    let mut digests = BTreeMap::new();
    for (name, shape, statement) in tables {
        let found: Option<(i64, String)> = session.query_first(statement).await?;
        let (rows, sum) = found.unwrap_or_default();
        digests.insert(name, TableDigest::new(rows, shape, sum));
    }
    Ok(digests)
}

async fn counters(server: &Server, database: &str) -> Result<BTreeMap<String, u64>, DemoError> {
    let failed = || DemoError::statement("read the counters");
    let mut session = server.connect(database).await?;
    if !server.release().is_mariadb() {
        session.query_drop(FRESH).await.map_err(failed())?;
    }
    let counters: Vec<(String, u64)> =
        session.exec(COUNTERS, (database,)).await.map_err(failed())?;
    Ok(counters.into_iter().collect())
}
