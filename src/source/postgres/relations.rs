//! The source's tables: which are selected, their columns, keys and sizes.
//!
//! In: a session and the selection. Out: [`Table`]s for the plan, and everything that was found
//! but is not copied, by name and reason, so that nothing is left behind in silence. One query
//! reads all tables, so the answer is of one moment even outside of a transaction.

use std::collections::{BTreeSet, HashMap, HashSet};

use tokio_postgres::{Client, Row};

use crate::connect::quote::type_name;
use crate::model::selection::{PartitionUnit, Selection, is_system_schema};
use crate::model::{
    Column, ColumnOrder, Identity, Partition, Partitions, Table, TableId, TableName,
};

use super::catalog::{CatalogError, reading};

/// All that the selection found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tables {
    /// Tables that hold rows: ordinary ones and leaf partitions; or, where these are copied as one
    /// table, their root.
    pub tables: Vec<Table>,
    /// Partitioned tables, which hold none themselves.
    pub partitioned: Vec<PartitionedTable>,
    /// Selected foreign tables: their rows are elsewhere.
    pub foreign: Vec<TableName>,
    /// Selected unlogged tables: their changes are not in the log.
    pub unlogged: Vec<TableName>,
    /// Configuration tables of extensions. CREATE EXTENSION fills them on the target, so they
    /// are to be emptied there before their rows are copied.
    pub extension_config: Vec<TableId>,
    /// The names of all relations, selected or not: what a pattern has to match.
    pub all: Vec<TableName>,
    /// Tables that the selection leaves out.
    pub left_out: Vec<TableName>,
}

/// A table whose rows lie in its partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionedTable {
    /// Its name.
    pub name: TableName,
    /// Its OID.
    pub source_id: u64,
    /// The uppermost table above it; None where it is that itself.
    pub root: Option<TableName>,
    /// Its columns.
    pub columns: Vec<Column>,
    /// How many columns it has ever had.
    pub columns_ever: u16,
    /// How the log names a row, where changes are published as the root's.
    pub identity: Identity,
    /// The primary key: indexes into `columns`, in key order.
    pub primary_key: Vec<usize>,
}

/// Reads all selected tables.
///
/// # Errors
///
/// The query failed.
pub async fn tables(client: &Client, selection: &Selection) -> Result<Tables, CatalogError> {
    let rows = client
        .query(include_str!("../../../sql/postgres/source_tables.sql"), &[])
        .await
        .map_err(reading("the tables"))?;
    let relations: Vec<Relation> = rows.iter().map(Relation::read).collect();
    let layout = Layout::new(relations, selection);
    let all = layout.relations.values().map(|relation| relation.name.clone()).collect();
    let mut found = Tables { all, ..Tables::default() };
    for row in &rows {
        let oid: u32 = row.get("oid");
        if let Some(relation) = layout.relations.get(&oid) {
            found.add(&layout, relation, row);
        }
    }
    if selection.patterns().partitions == PartitionUnit::Root {
        found.join(&layout)?;
    }
    Ok(found)
}

impl Tables {
    fn add(&mut self, layout: &Layout, relation: &Relation, row: &Row) {
        if !layout.selected.contains(&relation.oid) {
            let system = is_system_schema(&relation.name.schema);
            if relation.kind.is_table() && !relation.of_extension && !system {
                self.left_out.push(relation.name.clone());
            }
            return;
        }
        let name = relation.name.clone();
        match relation.kind {
            Kind::Foreign => self.foreign.push(name),
            Kind::Ordinary if relation.unlogged => self.unlogged.push(name),
            Kind::Partitioned => {
                let columns = columns(row);
                self.partitioned.push(PartitionedTable {
                    name,
                    source_id: u64::from(relation.oid),
                    root: layout.root(relation).map(|root| root.name.clone()),
                    columns,
                    columns_ever: columns_ever(row),
                    identity: identity(row),
                    primary_key: key(row, "primary_key"),
                });
            }
            Kind::Ordinary => {
                let id = TableId(u32::try_from(self.tables.len()).unwrap_or(u32::MAX));
                if relation.of_extension {
                    self.extension_config.push(id);
                }
                self.tables.push(table(id, layout, relation, row));
            }
            Kind::Other => {}
        }
    }

    /// Puts one table in the place of all partitions of each root.
    fn join(&mut self, layout: &Layout) -> Result<(), CatalogError> {
        let roots = self.partitioned.iter().filter(|table| table.root.is_none());
        for (id, root) in (self.tables.len()..).zip(roots) {
            if let Some(partition) = layout.left_out_of(&root.name) {
                let (root, partition) = (root.name.clone(), partition.name.clone());
                return Err(CatalogError::PartlySelected { root, partition });
            }
            let (leaves, others): (Vec<_>, Vec<_>) = std::mem::take(&mut self.tables)
                .into_iter()
                .partition(|table| table.root.as_ref() == Some(&root.name));
            self.tables = others;
            let id = TableId(u32::try_from(id).unwrap_or(u32::MAX));
            self.tables.push(root.joined(id, &leaves, layout));
        }
        Ok(())
    }
}

impl PartitionedTable {
    /// It with all its partitions as one table.
    fn joined(&self, id: TableId, leaves: &[Table], layout: &Layout) -> Table {
        let partition = |leaf: &Table| Partition {
            name: leaf.name.clone(),
            source_id: leaf.source_id,
            storage: leaf.storage,
            links: layout.links(leaf.source_id),
            came_in: None,
            bytes: leaf.bytes,
            estimated_rows: leaf.estimated_rows,
            pages: leaf.pages,
            correlation: leaf.correlation,
        };
        let leaves_agree = leaves.iter().all(|leaf| {
            named(&leaf.identity, &leaf.columns) == named(&self.identity, &self.columns)
        });
        Table {
            id,
            name: self.name.clone(),
            source_id: self.source_id,
            columns: self.columns.clone(),
            columns_ever: self.columns_ever,
            kept: Vec::new(),
            storage: 0,
            // The log has the columns of the leaf's identity, and flags those of the root's
            // (`pgoutput_change` and `logicalrep_write_rel` in the server's source).
            identity: if leaves_agree { self.identity.clone() } else { Identity::Nothing },
            primary_key: self.primary_key.clone(),
            bytes: leaves.iter().map(|leaf| leaf.bytes).sum(),
            estimated_rows: leaves.iter().map(|leaf| leaf.estimated_rows).sum(),
            pages: 0,
            correlation: None,
            root: None,
            partitions: Some(Partitions {
                at: None,
                leaves: leaves.iter().map(partition).collect(),
            }),
            cascades: None,
            binary_travels: leaves.iter().all(|leaf| leaf.binary_travels),
        }
    }
}

/// An identity by the names of its columns, whose order differs from leaf to leaf.
fn named<'a>(identity: &Identity, columns: &'a [Column]) -> Option<BTreeSet<&'a str>> {
    match identity {
        Identity::Nothing => None,
        Identity::Full => Some(BTreeSet::new()),
        Identity::Key { columns: key } => {
            Some(key.iter().map(|&index| columns[index].name.as_str()).collect())
        }
    }
}

fn columns_ever(row: &Row) -> u16 {
    row.get::<_, i16>("columns_ever").cast_unsigned()
}

/// What a table is stored in: another file once it was emptied or rewritten.
fn storage(row: &Row) -> u64 {
    u64::from(row.get::<_, u32>("storage"))
}

/// Where every selected table stands, small enough to be read again and again: tables created,
/// dropped, renamed, attached or detached show by comparison with the stored one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Placement {
    /// The table's OID.
    pub source_id: u64,
    /// Its name.
    pub name: TableName,
    /// It is a partitioned table.
    pub partitioned: bool,
    /// Changes of its rows are in the log, unlike those of unlogged and foreign tables.
    pub logged: bool,
    /// What it is stored in: another number once it was emptied or rewritten.
    pub storage: u64,
    /// Where it is a partition: the transactions that wrote the rows of pg_inherits from it up to its
    /// root, which nothing but ATTACH and DETACH does.
    pub links: Vec<u32>,
    /// OID of the partitioned table just above it.
    pub parent: Option<u64>,
    /// OID of the uppermost partitioned table above it.
    pub root: Option<u64>,
}

impl Placement {
    /// It as a new partition of a table that is copied as one.
    pub(super) fn partition(&self) -> Partition {
        Partition {
            name: self.name.clone(),
            source_id: self.source_id,
            storage: self.storage,
            links: self.links.clone(),
            came_in: self.links.first().copied(),
            bytes: 0,
            estimated_rows: 0,
            pages: 0,
            correlation: None,
        }
    }
}

/// Reads where the selected tables stand, ordered by OID.
///
/// # Errors
///
/// The query failed. A pattern that matches nothing is no error here: it was checked when the
/// plan was made, and its table may have been dropped since.
pub async fn placements(
    client: &Client,
    selection: &Selection,
) -> Result<Vec<Placement>, CatalogError> {
    let layout = layout(client, selection).await?;
    let mut placements: Vec<Placement> = layout
        .selected
        .iter()
        .filter_map(|oid| layout.relations.get(oid))
        .filter(|relation| relation.kind.is_table())
        .map(|relation| Placement {
            source_id: u64::from(relation.oid),
            name: relation.name.clone(),
            partitioned: relation.kind == Kind::Partitioned,
            logged: relation.kind != Kind::Foreign && !relation.unlogged,
            storage: relation.storage,
            links: layout.links(u64::from(relation.oid)),
            parent: layout.parent(relation).map(|parent| u64::from(parent.oid)),
            root: layout.root(relation).map(|root| u64::from(root.oid)),
        })
        .collect();
    placements.sort();
    Ok(placements)
}

pub(super) async fn layout(client: &Client, selection: &Selection) -> Result<Layout, CatalogError> {
    let rows = client
        .query(include_str!("../../../sql/postgres/source_layout.sql"), &[])
        .await
        .map_err(reading("the tables"))?;
    Ok(Layout::new(rows.iter().map(Relation::read).collect(), selection))
}

/// All relations, and which of them the selection means.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    relations: HashMap<u32, Relation>,
    selected: BTreeSet<u32>,
    /// Tables from which a selected one is a partition or inherits: it cannot exist without them,
    /// selected or not.
    above_selected: HashSet<u32>,
}

impl Layout {
    fn new(relations: Vec<Relation>, selection: &Selection) -> Self {
        let mut layout = Layout {
            relations: relations.into_iter().map(|r| (r.oid, r)).collect(),
            selected: BTreeSet::new(),
            above_selected: HashSet::new(),
        };
        let (mut selected, mut above_selected) = (BTreeSet::new(), HashSet::new());
        for relation in layout.relations.values().filter(|r| r.kind.is_table()) {
            let above = layout.above(relation);
            let names: Vec<&TableName> = above.iter().map(|relation| &relation.name).collect();
            let free = !relation.of_extension || relation.extension_config;
            if free && selection.selects_partition(&relation.name, &names) {
                selected.insert(relation.oid);
                layout.add_ancestors(relation, &mut above_selected);
            }
        }
        layout.selected = selected;
        layout.above_selected = above_selected;
        layout
    }

    fn add_ancestors(&self, relation: &Relation, ancestors: &mut HashSet<u32>) {
        let mut open = relation.parents.clone();
        while let Some(oid) = open.pop() {
            if ancestors.insert(oid)
                && let Some(relation) = self.relations.get(&oid)
            {
                open.extend(&relation.parents);
            }
        }
    }

    /// Whether the table exists on the target too.
    pub(super) fn keeps(&self, oid: u32) -> bool {
        self.selected.contains(&oid) || self.above_selected.contains(&oid)
    }

    /// Whether it is a table of the operator's that does not exist on the target.
    pub(super) fn excludes(&self, oid: u32) -> bool {
        self.relations.get(&oid).is_some_and(|relation| {
            relation.kind.is_table() && !relation.of_extension && !self.keeps(oid)
        })
    }

    /// All tables that [`Layout::excludes`].
    pub(super) fn excluded_tables(&self) -> Vec<TableName> {
        self.relations
            .values()
            .filter(|relation| self.excludes(relation.oid))
            .map(|relation| relation.name.clone())
            .collect()
    }

    /// A table below this partitioned one that is not selected.
    fn left_out_of(&self, root: &TableName) -> Option<&Relation> {
        self.relations.values().find(|relation| {
            relation.kind.is_table()
                && !self.selected.contains(&relation.oid)
                && self.root(relation).is_some_and(|above| above.name == *root)
        })
    }

    /// The partitioned tables above one, nearest first.
    fn above(&self, relation: &Relation) -> Vec<&Relation> {
        std::iter::successors(self.parent(relation), |above| self.parent(above)).collect()
    }

    /// What links a partition to its root, nearest first.
    fn links(&self, source_id: u64) -> Vec<u32> {
        let own = u32::try_from(source_id).ok().and_then(|oid| self.relations.get(&oid));
        std::iter::successors(own, |below| self.parent(below))
            .filter(|below| below.partition)
            .filter_map(|below| below.link)
            .collect()
    }

    fn parent(&self, relation: &Relation) -> Option<&Relation> {
        let parent = relation.parents.first().filter(|_| relation.partition)?;
        self.relations.get(parent)
    }

    fn root(&self, relation: &Relation) -> Option<&Relation> {
        self.above(relation).last().copied()
    }
}

#[derive(Clone, Debug)]
struct Relation {
    oid: u32,
    name: TableName,
    kind: Kind,
    unlogged: bool,
    storage: u64,
    /// What it is a partition of, or what it inherits from.
    parents: Vec<u32>,
    /// The transaction that wrote the first of those links.
    link: Option<u32>,
    partition: bool,
    of_extension: bool,
    extension_config: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Ordinary,
    Partitioned,
    Foreign,
    /// Views and sequences, which patterns may name too.
    Other,
}

impl Kind {
    fn is_table(self) -> bool {
        match self {
            Kind::Ordinary | Kind::Partitioned | Kind::Foreign => true,
            Kind::Other => false,
        }
    }
}

impl Relation {
    fn read(row: &Row) -> Self {
        Relation {
            oid: row.get("oid"),
            name: TableName { schema: row.get("schema"), name: row.get("name") },
            kind: match row.get("kind") {
                "r" => Kind::Ordinary,
                "p" => Kind::Partitioned,
                "f" => Kind::Foreign,
                _ => Kind::Other,
            },
            unlogged: row.get("unlogged"),
            storage: storage(row),
            parents: row.get("parents"),
            link: row.get::<_, Vec<i64>>("links").first().and_then(|&link| link.try_into().ok()),
            partition: row.get("partition"),
            of_extension: row.get("of_extension"),
            extension_config: row.get("extension_config"),
        }
    }
}

fn table(id: TableId, layout: &Layout, relation: &Relation, row: &Row) -> Table {
    let bytes = |column| row.get::<_, i64>(column).max(0).cast_unsigned();
    let estimated_rows = row.get::<_, f32>("estimated_rows");
    Table {
        id,
        name: relation.name.clone(),
        source_id: u64::from(relation.oid),
        columns: columns(row),
        identity: identity(row),
        primary_key: key(row, "primary_key"),
        bytes: bytes("heap_bytes") + bytes("toast_bytes"),
        // A table that was never analysed says -1. The cast saturates.
        estimated_rows: estimated_rows.max(0.0) as u64,
        pages: bytes("heap_bytes") / bytes("block_bytes").max(1),
        correlation: row.get("correlation"),
        root: layout.root(relation).map(|root| root.name.clone()),
        partitions: None,
        cascades: None,
        binary_travels: row.get("binary_travels"),
        columns_ever: columns_ever(row),
        kept: Vec::new(),
        storage: storage(row),
    }
}

fn columns(row: &Row) -> Vec<Column> {
    let names: Vec<String> = row.get("names");
    let numbers: Vec<i16> = row.get("numbers");
    let versions: Vec<i64> = row.get("versions");
    let schemas: Vec<&str> = row.get("type_schemas");
    let types: Vec<&str> = row.get("type_names");
    let modifiers: Vec<i32> = row.get("type_modifiers");
    let not_null: Vec<bool> = row.get("not_null");
    let generated: Vec<bool> = row.get("generated");
    let collation_schemas: Vec<Option<&str>> = row.get("collation_schemas");
    let collation_names: Vec<Option<&str>> = row.get("collation_names");
    let in_byte_order: Vec<bool> = row.get("in_byte_order");
    let base_types: Vec<u32> = row.get("base_types");
    let collation = |at: usize| Some(type_name(collation_schemas[at]?, collation_names[at]?));
    names
        .into_iter()
        .enumerate()
        .map(|(at, name)| Column {
            name,
            number: numbers[at].cast_unsigned(),
            version: u32::try_from(versions[at]).unwrap_or_default(),
            type_name: type_name(schemas[at], types[at]),
            type_modifier: modifiers[at],
            not_null: not_null[at],
            generated: generated[at],
            collation: collation(at),
            order: order(base_types[at], in_byte_order[at]),
        })
        .collect()
}

/// OIDs of built-in types are fixed (`pg_type.dat` in the server's source).
pub(super) fn order(base_type: u32, in_byte_order: bool) -> ColumnOrder {
    match base_type {
        // int8, int2, int4, oid
        20 | 21 | 23 | 26 => ColumnOrder::Integer,
        // numeric
        1700 => ColumnOrder::Decimal,
        // bool
        16 => ColumnOrder::Boolean,
        // date, timestamp, timestamptz
        1082 | 1114 | 1184 => ColumnOrder::Moment,
        // time
        1083 => ColumnOrder::TimeOfDay,
        // uuid
        2950 => ColumnOrder::Uuid,
        // bytea
        17 => ColumnOrder::Bytes,
        // name, text, varchar
        19 | 25 | 1043 if in_byte_order => ColumnOrder::Text,
        // bpchar
        1042 if in_byte_order => ColumnOrder::PaddedText,
        _ => ColumnOrder::Opaque,
    }
}

/// A deferrable primary key is no identity: the server passes over indexes that are not checked
/// at once (`RelationGetIndexList` in the server's relcache.c).
fn identity(row: &Row) -> Identity {
    let columns = match row.get("identity") {
        "f" => return Identity::Full,
        "d" if row.get("primary_key_immediate") => key(row, "primary_key"),
        "i" => key(row, "identity_key"),
        _ => Vec::new(),
    };
    if columns.is_empty() {
        return Identity::Nothing;
    }
    let columns: BTreeSet<usize> = columns.into_iter().collect();
    Identity::Key { columns: columns.into_iter().collect() }
}

/// A key's columns as indexes into the columns that are not dropped, in key order.
fn key(row: &Row, column: &str) -> Vec<usize> {
    let numbers: Vec<i16> = row.get("numbers");
    row.get::<_, Option<Vec<i16>>>(column)
        .unwrap_or_default()
        .iter()
        .filter_map(|number| numbers.iter().position(|n| n == number))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::selection::Patterns;

    fn relation(oid: u32, name: &str, kind: Kind, parents: &[u32], partition: bool) -> Relation {
        Relation {
            oid,
            name: TableName { schema: "public".into(), name: name.into() },
            kind,
            unlogged: false,
            storage: u64::from(oid),
            parents: parents.to_vec(),
            link: parents.first().map(|parent| parent + oid),
            partition,
            of_extension: false,
            extension_config: false,
        }
    }

    fn layout(include: &str) -> Layout {
        let selection = Selection::new(&Patterns {
            include_tables: vec![include.into()],
            ..Patterns::default()
        })
        .unwrap();
        let relations = vec![
            relation(1, "root", Kind::Partitioned, &[], false),
            relation(2, "middle", Kind::Partitioned, &[1], true),
            relation(3, "leaf", Kind::Ordinary, &[2], true),
            relation(4, "other_leaf", Kind::Ordinary, &[2], true),
            relation(5, "parent", Kind::Ordinary, &[], false),
            relation(6, "child", Kind::Ordinary, &[5], false),
        ];
        Layout::new(relations, &selection)
    }

    #[test]
    fn a_root_brings_its_partitions() {
        let layout = layout("root");
        assert_eq!(layout.selected, BTreeSet::from([1, 2, 3, 4]));
        assert_eq!(layout.root(&layout.relations[&3]).map(|r| r.oid), Some(1));
        assert_eq!(layout.links(3), [5, 3]);
        assert!(layout.links(1).is_empty());
    }

    #[test]
    fn a_selected_table_keeps_what_it_cannot_exist_without() {
        let partition = layout("leaf");
        assert_eq!(partition.selected, BTreeSet::from([3]));
        assert!(partition.keeps(1) && partition.keeps(2));
        assert!(partition.excludes(4) && partition.excludes(5));
        let inherited = layout("child");
        assert_eq!(inherited.selected, BTreeSet::from([6]));
        assert!(inherited.keeps(5) && inherited.excludes(1));
        assert_eq!(layout("parent").selected, BTreeSet::from([5]));
    }
}
