//! Publications: what makes the log tell us about the tables.
//!
//! In: tables and names. Out: two publications that cover them exactly. On a primary they are made
//! here; on a standby nothing can be written, so they are compared with what its primary has made,
//! and the statements that are missing there are told.
//!
//! A partitioned table that is copied as one is published by itself, with the changes of all its
//! partitions as its own. Others are published by their leaves, each by name, so that one that is
//! detached goes on being published; and by their roots where these have a primary key, so that a partition
//! created later shows in the log, where it halts the run. Without that key, the new partition would
//! have no replica identity, and once it was published every UPDATE of it by the application would
//! fail; then it shows only when partitions are looked at, from time to time. Tables whose rows cannot be
//! told apart are in a publication of their own without updates and deletes: in the other one,
//! every UPDATE by the application would fail.

use std::collections::{BTreeMap, BTreeSet};

use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Row};

use super::error::SourceError;
use super::slot::Names;
use crate::connect::attempting;
use crate::connect::postgres::Client as Session;
use crate::connect::quote::{quote_ident, quote_literal, quote_name};
use crate::model::{Failure, Identity, Table, TableName};

/// A publication as this migration needs it.
#[derive(Debug, PartialEq, Eq)]
struct Publication<'a> {
    name: &'a str,
    operations: &'static str,
    /// Whether changes of partitions are published as their root's.
    via_root: bool,
    tables: BTreeSet<&'a TableName>,
    /// Partitioned tables, which bring the partitions that they get later.
    roots: BTreeSet<&'a TableName>,
}

impl<'a> Publication<'a> {
    /// A root is published where all its leaves are of the same kind: in two publications with
    /// different operations, its leaves would be published with both.
    fn both(
        names: &'a Names,
        tables: &'a [Table],
        keyed_roots: &BTreeSet<TableName>,
    ) -> [Publication<'a>; 2] {
        let (appending, known): (Vec<&Table>, Vec<&Table>) =
            tables.iter().partition(|table| table.identity == Identity::Nothing);
        let roots = |of: &[&'a Table], others: &[&'a Table]| {
            let other: BTreeSet<_> =
                others.iter().filter_map(|table| table.root.as_ref()).collect();
            of.iter()
                .filter_map(|table| table.root.as_ref())
                .filter(|root| keyed_roots.contains(*root) && !other.contains(root))
                .collect()
        };
        let via_root = tables.iter().any(|table| table.partitions.is_some());
        [
            Publication {
                name: &names.publication,
                operations: "insert, update, delete, truncate",
                via_root,
                roots: roots(&known, &appending),
                tables: known.iter().map(|table| &table.name).collect(),
            },
            Publication {
                name: &names.appending,
                operations: "insert, truncate",
                via_root,
                roots: roots(&appending, &known),
                tables: appending.iter().map(|table| &table.name).collect(),
            },
        ]
    }

    fn create(&self) -> String {
        let only = self.tables.iter().map(|table| format!("ONLY {}", quote_name(table)));
        let tables: Vec<_> = only.chain(self.roots.iter().map(|root| quote_name(root))).collect();
        let tables = match tables.is_empty() {
            true => String::new(),
            false => format!(" FOR TABLE {}", tables.join(", ")),
        };
        let via_root = if self.via_root { ", publish_via_partition_root = true" } else { "" };
        format!(
            "CREATE PUBLICATION {}{tables} WITH (publish = {}{via_root})",
            quote_ident(self.name),
            quote_literal(self.operations)
        )
    }

    /// The statements after which it is as needed, where it is not; `found` is what stands there.
    fn amends(&self, found: Option<&Standing>) -> Vec<String> {
        match found {
            None => vec![self.create()],
            Some(standing) if standing.is(self) => Vec::new(),
            Some(_) => vec![drop_publication(self.name), self.create()],
        }
    }
}

/// A publication as it stands.
#[derive(Debug)]
struct Standing {
    operations: String,
    plain: bool,
    via_root: bool,
    tables: BTreeSet<TableName>,
}

impl Standing {
    fn read(row: &Row) -> Self {
        let (schemas, tables): (Vec<String>, Vec<String>) = (row.get("schemas"), row.get("tables"));
        let names = schemas.into_iter().zip(tables);
        Standing {
            operations: row.get("operations"),
            plain: row.get("plain"),
            via_root: row.get("via_root"),
            tables: names.map(|(schema, name)| TableName { schema, name }).collect(),
        }
    }

    fn is(&self, wanted: &Publication<'_>) -> bool {
        let tables: BTreeSet<&TableName> = wanted.tables.union(&wanted.roots).copied().collect();
        self.plain
            && self.operations == wanted.operations
            && self.via_root == wanted.via_root
            && self.tables.iter().collect::<BTreeSet<_>>() == tables
    }
}

/// Makes the publications anew, in one transaction.
pub(super) async fn create(
    client: &Session,
    names: &Names,
    tables: &[Table],
) -> Result<(), Failure> {
    // Before 13 a partitioned table cannot be published itself.
    let keyed_roots = match client.server_version_num() >= 130_000 {
        true => keyed_roots(client).await?,
        false => BTreeSet::new(),
    };
    let [known, appending] = Publication::both(names, tables, &keyed_roots);
    let text = format!(
        "BEGIN; {}; {}; {}; {}; COMMIT",
        drop_publication(known.name),
        drop_publication(appending.name),
        known.create(),
        appending.create()
    );
    let made = client.batch_execute(&text).await;
    if made.is_err() {
        let undone = client.batch_execute("ROLLBACK").await;
        undone.map_err(attempting("undo the publication"))?;
    }
    Ok(made.map_err(attempting(format!("create the publication {}", names.publication)))?)
}

/// The statements that the primary of this standby has to run before the publications are as they
/// are needed; None where they are.
pub(super) async fn lacking(
    client: &Client,
    names: &Names,
    tables: &[Table],
) -> Result<Option<String>, Failure> {
    let found = standing(client, names).await?;
    let keyed_roots = keyed_roots(client).await?;
    let amends = |wanted: &Publication<'_>| wanted.amends(found.get(wanted.name));
    let wanted = Publication::both(names, tables, &keyed_roots);
    Ok(script(&wanted.iter().flat_map(amends).collect::<Vec<_>>()))
}

/// Adds tables to the publications. They must not be in them yet.
pub(super) async fn add(client: &Client, names: &Names, tables: &[Table]) -> Result<(), Failure> {
    for statement in via_root(names, tables) {
        let altered = client.batch_execute(&statement).await;
        altered.map_err(attempting("alter the publications"))?;
    }
    for table in tables {
        match client.batch_execute(&add_table(names, table)).await {
            // It is in it since an attempt that was cut short.
            Err(error) if error.code() == Some(&SqlState::DUPLICATE_OBJECT) => {}
            other => other.map_err(attempting(format!("publish table {}", table.name)))?,
        }
    }
    Ok(())
}

/// As [`lacking`], for tables that come to those that are published.
pub(super) async fn lacking_more(
    client: &Client,
    names: &Names,
    tables: &[Table],
) -> Result<Option<String>, Failure> {
    let found = standing(client, names).await?;
    let published = |table: &&Table| {
        let standing = found.get(home(names, table));
        standing.is_some_and(|standing| standing.tables.contains(&table.name))
    };
    let missing = tables.iter().filter(|table| !published(table));
    let mut statements: Vec<_> = missing.map(|table| add_table(names, table)).collect();
    if found.values().any(|standing| !standing.via_root) {
        statements.extend(via_root(names, tables));
    }
    Ok(script(&statements))
}

/// Makes sure that the publications are there: without them the server would decode up to the
/// first change and fail there, or, where one was made anew, leave changes out.
pub(super) async fn ensure(client: &Client, names: &Names) -> Result<(), Failure> {
    let found = present(client, names).await?;
    match names.publications().into_iter().find(|name| !found.contains(name)) {
        Some(publication) => Err(SourceError::PublicationMissing { publication }.into()),
        None => Ok(()),
    }
}

/// Those of our publications that are there.
pub(super) async fn present(client: &Client, names: &Names) -> Result<Vec<String>, Failure> {
    let publications = names.publications();
    let rows = client
        .query(
            "SELECT pubname::text FROM pg_catalog.pg_publication \
             WHERE pubname::text = ANY($1) ORDER BY pubname",
            &[&publications.as_slice()],
        )
        .await
        .map_err(attempting("look for the publications"))?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// Drops those of our publications that are there, and returns them.
pub(super) async fn remove(client: &Client, names: &Names) -> Result<Vec<String>, Failure> {
    let found = present(client, names).await?;
    for publication in &found {
        client
            .batch_execute(&drop_publication(publication))
            .await
            .map_err(attempting(format!("drop the publication {publication}")))?;
    }
    Ok(found)
}

/// The statement that drops a publication, whether it is there or not.
pub(super) fn drop_publication(name: &str) -> String {
    format!("DROP PUBLICATION IF EXISTS {}", quote_ident(name))
}

/// The statements after which tables that are copied as one may be added.
fn via_root(names: &Names, tables: &[Table]) -> Vec<String> {
    if tables.iter().all(|table| table.partitions.is_none()) {
        return Vec::new();
    }
    let alter = |name: String| {
        format!("ALTER PUBLICATION {} SET (publish_via_partition_root = true)", quote_ident(&name))
    };
    names.publications().into_iter().map(alter).collect()
}

fn add_table(names: &Names, table: &Table) -> String {
    format!(
        "ALTER PUBLICATION {} ADD TABLE ONLY {}",
        quote_ident(home(names, table)),
        quote_name(&table.name)
    )
}

/// The publication that a table belongs to.
fn home<'a>(names: &'a Names, table: &Table) -> &'a str {
    match table.identity {
        Identity::Nothing => &names.appending,
        Identity::Key { .. } | Identity::Full => &names.publication,
    }
}

/// Statements to be run one after the other.
fn script(statements: &[String]) -> Option<String> {
    let lines = statements.iter().map(|statement| format!("{statement};"));
    (!statements.is_empty()).then(|| lines.collect::<Vec<_>>().join("\n"))
}

async fn standing(client: &Client, names: &Names) -> Result<BTreeMap<String, Standing>, Failure> {
    let publications = names.publications();
    let rows = client
        .query(
            include_str!("../../../sql/postgres/source_publications.sql"),
            &[&publications.as_slice()],
        )
        .await
        .map_err(attempting("look at the publications"))?;
    Ok(rows.iter().map(|row| (row.get("name"), Standing::read(row))).collect())
}

/// Partitioned tables whose primary key every partition of theirs gets, later ones too.
async fn keyed_roots(client: &Client) -> Result<BTreeSet<TableName>, Failure> {
    let rows = client
        .query(include_str!("../../../sql/postgres/source_keyed_roots.sql"), &[])
        .await
        .map_err(attempting("look for the primary keys of partitioned tables"))?;
    let name = |row: &Row| TableName { schema: row.get("schema"), name: row.get("name") };
    Ok(rows.iter().map(name).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> TableName {
        TableName { schema: "public".to_owned(), name: name.to_owned() }
    }

    fn standing(operations: &str, plain: bool, tables: &[&str]) -> Standing {
        let tables = tables.iter().map(|table| name(table)).collect();
        Standing { operations: operations.to_owned(), plain, via_root: false, tables }
    }

    #[test]
    fn only_exactly_what_is_needed_is_accepted() {
        let (item, root) = (name("item"), name("root"));
        let wanted = Publication {
            name: "dunlin_x",
            operations: "insert, truncate",
            via_root: false,
            tables: BTreeSet::from([&item]),
            roots: BTreeSet::from([&root]),
        };
        let amends = |standing: &Standing| wanted.amends(Some(standing)).len();
        assert_eq!(amends(&standing("insert, truncate", true, &["root", "item"])), 0);
        assert_eq!(amends(&standing("insert, truncate", false, &["root", "item"])), 2);
        assert_eq!(amends(&standing("insert", true, &["root", "item"])), 2);
        assert_eq!(amends(&standing("insert, truncate", true, &["item"])), 2);
        assert_eq!(amends(&standing("insert, truncate", true, &["root", "item", "more"])), 2);
        let create = "CREATE PUBLICATION \"dunlin_x\" FOR TABLE ONLY \"public\".\"item\", \
                      \"public\".\"root\" WITH (publish = 'insert, truncate')";
        assert_eq!(wanted.amends(None), [create]);
    }

    #[test]
    fn a_publication_without_tables_is_one_too() {
        let none = Publication {
            name: "x",
            operations: "insert, truncate",
            via_root: false,
            tables: BTreeSet::new(),
            roots: BTreeSet::new(),
        };
        assert_eq!(none.create(), "CREATE PUBLICATION \"x\" WITH (publish = 'insert, truncate')");
        assert_eq!(none.amends(Some(&standing("insert, truncate", true, &[]))).len(), 0);
    }
}
