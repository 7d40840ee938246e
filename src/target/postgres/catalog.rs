//! What the target says about itself: the server, its tables, and which of them hold rows.
//!
//! In: a session and the names of tables. Out: plain values, with the names of types and
//! operators ready to be written into statements. It changes nothing; the one privilege that can only be tested by
//! using it is used in a transaction that is rolled back.

use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Row, Statement, ToStatement};

use crate::connect::StatementError;
use crate::connect::quote::{quote_ident, quote_name, type_name};
use crate::connect::server::Basics;
use crate::model::TableName;

/// The columns of named tables.
const TABLES: &str = include_str!("../../../sql/postgres/target_tables.sql");

fn reading(what: &'static str) -> impl FnOnce(tokio_postgres::Error) -> StatementError {
    move |error| StatementError::new(format!("read {what} from the target"), error)
}

/// The target server, its database and the role we are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// What every Postgres server says.
    pub basics: Basics,
    /// It is a standby, or transactions are read only by default.
    pub read_only: bool,
    /// The role may create schemas in the database.
    pub may_create_schema: bool,
    /// The role may set `session_replication_role`, so that triggers and foreign keys rest.
    pub may_rest_triggers: bool,
}

/// Reads what the server says about itself. Must be called outside of a transaction.
///
/// # Errors
///
/// A query failed.
pub async fn server(client: &Client) -> Result<Server, StatementError> {
    let row = client
        .query_one(include_str!("../../../sql/postgres/target_server.sql"), &[])
        .await
        .map_err(reading("the server's settings"))?;
    Ok(Server {
        basics: Basics::read(client, &row).await?,
        read_only: row.get("read_only"),
        may_create_schema: row.get("may_create_schema"),
        may_rest_triggers: may_rest_triggers(client).await?,
    })
}

/// Before version 15 there is no function that says whether a role may set a parameter, so it is
/// tried.
async fn may_rest_triggers(client: &Client) -> Result<bool, StatementError> {
    let failed = || reading("the privilege to set session_replication_role");
    client.batch_execute("BEGIN").await.map_err(failed())?;
    let tried = client.batch_execute("SET LOCAL session_replication_role = replica").await;
    client.batch_execute("ROLLBACK").await.map_err(failed())?;
    match tried {
        Ok(()) => Ok(true),
        Err(error) if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => Ok(false),
        Err(error) => Err(failed()(error)),
    }
}

/// A table of the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetTable {
    /// Its name.
    pub name: TableName,
    /// Its rows lie in partitions.
    pub partitioned: bool,
    /// All columns in the target's order.
    pub columns: Vec<TargetColumn>,
}

/// A column of a table of the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetColumn {
    /// Its name.
    pub name: String,
    /// The type in the form of [`type_name`], comparable with the source's.
    pub type_name: String,
    /// A type to cast text to before it is assigned to the column. It has no modifier, and a
    /// domain's base type stands for the domain: an explicit cast to `varchar(3)` or to a domain
    /// over it would cut a long value off in silence, where assignment refuses it.
    pub cast: String,
    /// The input function of that type, where a cast from text would call another function (xml,
    /// `"char"`, regclass, users' own casts): as in `SELECT input(cstring)`.
    pub input: Option<InputFunction>,
    /// The type modifier; -1 where there is none.
    pub type_modifier: i32,
    /// The server computes it; it cannot be written.
    pub generated: bool,
    /// GENERATED ALWAYS AS IDENTITY: an INSERT needs OVERRIDING SYSTEM VALUE, and an UPDATE
    /// cannot set it.
    pub identity_always: bool,
    /// It is a key column of a unique index.
    pub in_unique_index: bool,
    /// The operator by which its values are equal, as `OPERATOR(pg_catalog.=)`: that of the
    /// unique index it belongs to, else that of the type's default B-tree class. None where
    /// the type has none (json, xml, point).
    pub equality: Option<String>,
}

/// What makes a value of its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputFunction {
    /// Its qualified name, quoted.
    pub name: String,
    /// What it is given behind the text, where it takes more: the type's OID or that of its
    /// elements, as in `getTypeIOParam` of the server (lsyscache.c).
    pub parameter: Option<u32>,
}

/// The query of [`tables`], prepared for a session that asks for many tables one by one.
///
/// # Errors
///
/// It cannot be prepared.
pub async fn prepare_tables(client: &Client) -> Result<Statement, tokio_postgres::Error> {
    client.prepare(TABLES).await
}

/// Reads one table by [`prepare_tables`]. None where there is no such table.
///
/// # Errors
///
/// The query failed.
pub async fn table(
    client: &Client,
    prepared: &Statement,
    name: &TableName,
) -> Result<Option<TargetTable>, StatementError> {
    Ok(read_tables(client, prepared, std::slice::from_ref(name)).await?.pop())
}

/// Reads tables by one query. Those that do not exist are absent from the answer.
///
/// # Errors
///
/// The query failed.
pub async fn tables(
    client: &Client,
    names: &[TableName],
) -> Result<Vec<TargetTable>, StatementError> {
    read_tables(client, TABLES, names).await
}

async fn read_tables<Q: ?Sized + ToStatement>(
    client: &Client,
    query: &Q,
    names: &[TableName],
) -> Result<Vec<TargetTable>, StatementError> {
    let (schemas, tables) = split(names);
    let rows = client.query(query, &[&schemas, &tables]).await.map_err(reading("the tables"))?;
    let mut found: Vec<TargetTable> = Vec::new();
    for row in &rows {
        let name = name(row);
        if found.last().is_none_or(|table| table.name != name) {
            found.push(TargetTable {
                name,
                partitioned: row.get("partitioned"),
                columns: Vec::new(),
            });
        }
        if let (Some(table), Some(column)) = (found.last_mut(), row.get("column")) {
            table.columns.push(TargetColumn::read(row, column));
        }
    }
    Ok(found)
}

impl TargetColumn {
    fn read(row: &Row, name: String) -> Self {
        let operator: Option<String> = row.get("operator");
        let input: Option<&str> = row.get("input_name");
        TargetColumn {
            name,
            type_name: type_name(row.get("type_schema"), row.get("type_name")),
            cast: type_name(row.get("base_schema"), row.get("base_name")),
            input: input.map(|name| InputFunction {
                name: type_name(row.get("input_schema"), name),
                parameter: row.get("input_parameter"),
            }),
            type_modifier: row.get("type_modifier"),
            generated: row.get("generated"),
            identity_always: row.get("identity_always"),
            in_unique_index: row.get("in_unique_index"),
            equality: operator.map(|operator| {
                let schema: String = row.get("operator_schema");
                match schema.as_str() {
                    "pg_catalog" => format!("OPERATOR(pg_catalog.{operator})"),
                    other => format!("OPERATOR({}.{operator})", quote_ident(other)),
                }
            }),
        }
    }
}

/// A table that is there already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExistingTable {
    /// Its name.
    pub name: TableName,
    /// It holds rows (a partitioned table: in any partition).
    pub has_rows: bool,
    /// It is a partition: its rows are another table's too.
    pub partition: bool,
}

/// Tables looked into by one statement: bounds the locks that one transaction holds.
const TABLES_PER_QUERY: usize = 500;

/// Says which of the named tables exist, and which of those hold rows.
///
/// # Errors
///
/// A query failed.
pub async fn existing_tables(
    client: &Client,
    names: &[TableName],
) -> Result<Vec<ExistingTable>, StatementError> {
    let (schemas, tables) = split(names);
    let rows = client
        .query(include_str!("../../../sql/postgres/target_existing.sql"), &[&schemas, &tables])
        .await
        .map_err(reading("the tables"))?;
    let mut existing = Vec::with_capacity(rows.len());
    for rows in rows.chunks(TABLES_PER_QUERY) {
        let probes: Vec<String> = rows.iter().map(row_probe).collect();
        let statement = format!("SELECT ARRAY[{}]", probes.join(", "));
        let answer =
            client.query_one(&statement, &[]).await.map_err(reading("whether tables hold rows"))?;
        let answers: Vec<bool> = answer.get(0);
        existing.extend(rows.iter().zip(answers).map(|(row, has_rows)| ExistingTable {
            name: name(row),
            has_rows,
            partition: row.get("partition"),
        }));
    }
    Ok(existing)
}

/// Children that inherit are tables of their own; partitions are the table's own rows.
fn row_probe(row: &Row) -> String {
    let only = if row.get("partitioned") { "" } else { "ONLY " };
    format!("EXISTS (SELECT FROM {only}{})", quote_name(&name(row)))
}

fn name(row: &Row) -> TableName {
    TableName { schema: row.get("schema"), name: row.get("name") }
}

fn split(names: &[TableName]) -> (Vec<&str>, Vec<&str>) {
    names.iter().map(|name| (name.schema.as_str(), name.name.as_str())).unzip()
}
