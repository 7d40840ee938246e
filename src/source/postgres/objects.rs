//! The source's schema as an archive, and the facts that building it again needs.
//!
//! In: a session (best inside of the snapshot's transaction), the selection, the snapshot's name.
//! Out: `pg_dump`'s archive, definitions of indexes and constraints, materialised views in the
//! order in which they can be refreshed. It knows nothing of the target. Objects that the
//! selection leaves out are named one by one, so that everything else is in the archive.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ffi::OsString;

use tokio_postgres::{Client, Row};

use crate::connect::program::{ProgramError, Programs};
use crate::connect::quote::{quote_ident, quote_name};
use crate::model::objects::{
    Definition, DefinitionKind, Excluded, MaterializedView, SchemaArchive,
};
use crate::model::selection::{OWN_SCHEMA, Selection};
use crate::model::{Disposition, Fault, TableName};

use super::catalog::{CatalogError, reading, sequence_names};
use super::relations::{self, Layout};
use super::slot::OWN_PREFIX;

/// What can go wrong in reading the schema.
#[derive(Debug, thiserror::Error)]
pub enum ObjectsError {
    /// A catalog query failed.
    #[error("cannot find out what the schema holds")]
    Catalog(#[from] CatalogError),
    /// `pg_dump` failed.
    #[error("cannot dump the source's schema")]
    Dump(#[source] ProgramError),
}

impl Fault for ObjectsError {
    fn disposition(&self) -> Disposition {
        match self {
            ObjectsError::Catalog(error) => error.disposition(),
            ObjectsError::Dump(error) => error.disposition(),
        }
    }
}

/// How `pg_dump` reaches the source.
#[derive(Clone, Copy, Debug)]
pub struct DumpSession<'a> {
    /// The programs.
    pub programs: &'a Programs,
    /// The connection as libpq's environment variables, `PGDATABASE` included.
    pub connection: &'a [(String, String)],
    /// The exported snapshot under which the catalog is read. None for the state of now.
    pub snapshot: Option<&'a str>,
}

/// Dumps the schema of everything that is selected.
///
/// # Errors
///
/// A catalog query or `pg_dump` failed.
pub async fn dump_schema(
    session: DumpSession<'_>,
    excluded: &Excluded,
) -> Result<SchemaArchive, ObjectsError> {
    let mut arguments: Vec<OsString> = [
        "--format=custom",
        "--schema-only",
        "--no-blobs",
        "--no-subscriptions",
        "--no-password",
        "--encoding=UTF8",
        "--lock-wait-timeout=60s",
    ]
    .map(OsString::from)
    .into();
    let own = quote_ident(OWN_SCHEMA);
    arguments.push(format!("--exclude-schema={own}").into());
    if let Some(snapshot) = session.snapshot {
        arguments.push(format!("--snapshot={snapshot}").into());
    }
    for name in &excluded.names {
        arguments.push(format!("--exclude-table={}", quote_name(name)).into());
    }
    let bytes =
        session.programs.dump(session.connection, &arguments).await.map_err(ObjectsError::Dump)?;
    Ok(SchemaArchive { bytes })
}

/// Finds everything that is not carried: tables that are not selected, their sequences, every view
/// that reads one of these, directly or through other views, and whatever else depends on them.
///
/// A table stays, without rows, when a selected one is a partition of it or inherits from it, since
/// that one cannot exist without it.
///
/// # Errors
///
/// A query failed.
pub async fn excluded(client: &Client, selection: &Selection) -> Result<Excluded, ObjectsError> {
    let own = own_publications(client).await?;
    if selection.is_everything() {
        return Ok(Excluded { own, ..Excluded::default() });
    }
    let layout = relations::layout(client, selection).await?;
    let mut names = layout.excluded_tables();
    names.extend(sequence_names(client, selection).await?.left_out);
    let views = views(client).await?;
    names.extend(excluded_views(&views, &layout, selection));
    names.sort();
    let (schemas, relations): (Vec<&str>, Vec<&str>) =
        names.iter().map(|name| (name.schema.as_str(), name.name.as_str())).unzip();
    let rows = client
        .query(include_str!("../../../sql/postgres/source_dependents.sql"), &[&schemas, &relations])
        .await
        .map_err(reading("what depends on the tables that are left out"))?;
    let dependents = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    Ok(Excluded { names, dependents, own })
}

/// The publications that dunlin made, this migration's and others', with what is in them.
async fn own_publications(client: &Client) -> Result<BTreeSet<(u32, u32)>, ObjectsError> {
    let rows = client
        .query(include_str!("../../../sql/postgres/source_own_publications.sql"), &[&OWN_PREFIX])
        .await
        .map_err(reading("dunlin's own publications"))?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

fn excluded_views(views: &[View], layout: &Layout, selection: &Selection) -> Vec<TableName> {
    let mut gone: HashSet<u32> = HashSet::new();
    let mut names = Vec::new();
    // Views come after what they read, so one pass suffices.
    for view in views {
        let reads_gone = view.reads.iter().any(|oid| gone.contains(oid) || layout.excludes(*oid));
        if reads_gone || selection.excludes(&view.name) {
            gone.insert(view.oid);
            names.push(view.name.clone());
        }
    }
    names
}

/// Reads the definitions of all indexes and constraints.
///
/// # Errors
///
/// The query failed.
pub async fn definitions(client: &Client) -> Result<Vec<Definition>, ObjectsError> {
    let rows = client
        .query(include_str!("../../../sql/postgres/source_definitions.sql"), &[])
        .await
        .map_err(reading("the indexes and constraints"))?;
    Ok(rows.iter().map(definition).collect())
}

fn definition(row: &Row) -> Definition {
    let identity = row.get("identity");
    let key = |primary| DefinitionKind::Key {
        primary,
        identity,
        index_sql: row.get("index_sql"),
        deferrable: row.get("deferrable"),
        deferred: row.get("deferred"),
    };
    let kind = match row.get("kind") {
        "index" => DefinitionKind::Index { identity },
        "primary key" => key(true),
        "unique" => key(false),
        "partitioned key" => DefinitionKind::PartitionedKey { identity },
        "foreign key" => DefinitionKind::ForeignKey { validated: row.get("validated") },
        _ => DefinitionKind::Other,
    };
    Definition {
        source_id: u64::from(row.get::<_, u32>("oid")),
        table: TableName { schema: row.get("schema"), name: row.get("table") },
        name: row.get("name"),
        partitioned: row.get("partitioned"),
        bytes: row.get::<_, i64>("bytes").max(0).cast_unsigned(),
        kind,
    }
}

/// Reads the materialised views that were dumped, in an order in which each comes after those it
/// reads.
///
/// # Errors
///
/// The query failed.
pub async fn materialized_views(
    client: &Client,
    excluded: &Excluded,
) -> Result<Vec<MaterializedView>, ObjectsError> {
    Ok(views(client)
        .await?
        .into_iter()
        .filter(|view| view.materialized && !excluded.names.contains(&view.name))
        .map(|view| MaterializedView { name: view.name, populated: view.populated })
        .collect())
}

#[derive(Clone, Debug)]
struct View {
    oid: u32,
    name: TableName,
    materialized: bool,
    populated: bool,
    reads: Vec<u32>,
}

/// All views, each after those it reads.
async fn views(client: &Client) -> Result<Vec<View>, CatalogError> {
    let rows = client
        .query(include_str!("../../../sql/postgres/source_views.sql"), &[])
        .await
        .map_err(reading("the views"))?;
    Ok(in_reading_order(
        rows.iter()
            .map(|row| View {
                oid: row.get("oid"),
                name: TableName { schema: row.get("schema"), name: row.get("name") },
                materialized: row.get("materialized"),
                populated: row.get("populated"),
                reads: row.get("reads"),
            })
            .collect(),
    ))
}

/// Depth first without recursion: a chain of views may be long. Views cannot read each other in
/// a circle except through a rule, and then any order is as good.
fn in_reading_order(views: Vec<View>) -> Vec<View> {
    let places: HashMap<u32, usize> = views.iter().enumerate().map(|(at, v)| (v.oid, at)).collect();
    let mut seen = vec![false; views.len()];
    let mut order = Vec::with_capacity(views.len());
    for first in 0..views.len() {
        let mut stack = vec![(first, false)];
        while let Some((at, read)) = stack.pop() {
            if read {
                order.push(at);
            } else if !std::mem::replace(&mut seen[at], true) {
                stack.push((at, true));
                let reads = views[at].reads.iter().filter_map(|oid| places.get(oid));
                stack.extend(reads.map(|&place| (place, false)));
            }
        }
    }
    let mut views: Vec<Option<View>> = views.into_iter().map(Some).collect();
    order.into_iter().filter_map(|at| views[at].take()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_comes_after_what_it_reads() {
        let view = |oid: u32, reads: &[u32]| View {
            oid,
            name: TableName { schema: "public".into(), name: oid.to_string() },
            materialized: true,
            populated: true,
            reads: reads.to_vec(),
        };
        let ordered = in_reading_order(vec![
            view(1, &[3, 99]),
            view(2, &[]),
            view(3, &[4, 2]),
            view(4, &[2]),
        ]);
        let oids: Vec<u32> = ordered.iter().map(|view| view.oid).collect();
        assert_eq!(oids, [2, 4, 3, 1]);
    }
}
