//! Compares two databases by what the servers themselves say of their rows.
//!
//! Enters: two URLs. Leaves: for each table, the rows on both sides and whether they are equal.
//! It shares no code with what copied the rows, so a fault there cannot hide itself here. Each
//! side is read in one transaction, under settings that fix how values are written.

use std::collections::BTreeMap;

use tokio_postgres::Client;

use super::DemoError;
use super::server::connect;

const STATEMENTS: &str = include_str!("../../sql/postgres/demo/digest_statements.sql");
/// Everything that the text of a value may depend on. The empty path qualifies every name.
const SETTINGS: &str = "SET search_path = ''; SET datestyle = 'ISO'; SET intervalstyle = 'postgres'; \
     SET extra_float_digits = 3; SET bytea_output = 'hex'; SET timezone = 'UTC'; \
     SET client_encoding = 'UTF8'; SET max_parallel_workers_per_gather = 2; \
     BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
const SEQUENCES: &str = "SELECT format('%I.%I', schemaname, sequencename), last_value, increment_by \
     FROM pg_catalog.pg_sequences WHERE schemaname <> 'dunlin'";

/// What one side says of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableDigest {
    /// How many rows there are.
    pub rows: i64,
    shape: String,
    sum: String,
}

impl TableDigest {
    /// What a server said: how many rows, which columns, and the sum of its rows' hashes.
    pub(super) fn new(rows: i64, shape: String, sum: String) -> TableDigest {
        TableDigest { rows, shape, sum }
    }
}

/// One table on both sides; `None` where the side has no such table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableComparison {
    /// The table's name, quoted as in SQL.
    pub table: String,
    /// The source's side.
    pub source: Option<TableDigest>,
    /// The target's side.
    pub target: Option<TableDigest>,
}

impl TableComparison {
    /// Whether both sides have it, with the same columns and the same rows.
    #[must_use]
    pub fn is_equal(&self) -> bool {
        self.source.is_some() && self.source == self.target
    }
}

/// Digests every table of a database: by its name, quoted as in SQL.
///
/// # Errors
/// When the server refuses a statement.
pub async fn digest(url: &str) -> Result<BTreeMap<String, TableDigest>, DemoError> {
    let client = connect(url).await?;
    let failed = || DemoError::statement("digest a database");
    client.batch_execute(SETTINGS).await.map_err(failed())?;
    let mut digests = BTreeMap::new();
    for table in client.query(STATEMENTS, &[]).await.map_err(failed())? {
        let statement: String = table.get("statement");
        let row = client.query_one(&statement, &[]).await.map_err(failed())?;
        let digest = TableDigest::new(row.get(0), table.get("shape"), row.get(1));
        digests.insert(table.get("name"), digest);
    }
    Ok(digests)
}

/// Compares every table that is on either side.
///
/// # Errors
/// When a server refuses a statement.
pub async fn compare(
    source_url: &str,
    target_url: &str,
) -> Result<Vec<TableComparison>, DemoError> {
    let (source, target) = tokio::try_join!(digest(source_url), digest(target_url))?;
    Ok(pair(source, target))
}

/// Puts beside each other what both sides say.
pub(super) fn pair(
    source: BTreeMap<String, TableDigest>,
    mut target: BTreeMap<String, TableDigest>,
) -> Vec<TableComparison> {
    let mut tables: Vec<TableComparison> = source
        .into_iter()
        .map(|(table, digest)| TableComparison {
            target: target.remove(&table),
            source: Some(digest),
            table,
        })
        .collect();
    tables.extend(target.into_iter().map(|(table, digest)| TableComparison {
        table,
        source: None,
        target: Some(digest),
    }));
    tables
}

/// The sequences whose next value on the target could have been given out on the source, or
/// which are missing there.
///
/// # Errors
/// When a server refuses a statement.
pub async fn sequences_behind(
    source_url: &str,
    target_url: &str,
) -> Result<Vec<String>, DemoError> {
    let source = sequences(&connect(source_url).await?).await?;
    let target = sequences(&connect(target_url).await?).await?;
    let behind = source.into_iter().filter(|(name, (source_value, step))| {
        match (source_value, target.get(name)) {
            (_, None) => true,
            (None, Some(_)) => false,
            (Some(_), Some((None, _))) => true,
            (Some(source), Some((Some(target), _))) => {
                if *step > 0 {
                    target < source
                } else {
                    target > source
                }
            }
        }
    });
    Ok(behind.map(|(name, _)| name).collect())
}

async fn sequences(client: &Client) -> Result<BTreeMap<String, (Option<i64>, i64)>, DemoError> {
    let rows =
        client.query(SEQUENCES, &[]).await.map_err(DemoError::statement("read the sequences"))?;
    Ok(rows.iter().map(|row| (row.get(0), (row.get(1), row.get(2)))).collect())
}
