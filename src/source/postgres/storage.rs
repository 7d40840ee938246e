//! Where the tables' rows lie: what shows that all of them were written anew.
//!
//! The log does not hold the rows that an `ALTER TABLE` writes anew (`ALTER COLUMN … TYPE … USING`,
//! a new column with a volatile default), but they lie in another file afterwards. So they do after
//! VACUUM FULL, CLUSTER and TRUNCATE, which are harmless: the rows are the same, or the log says so.
//! What tells an ALTER apart is that it also writes the column's description anew. Generated columns
//! are not in the log either. In: the tables as the migration has them and as the catalog has them,
//! every few seconds. Out: words for the operator where both changed at once or a generated column
//! came, and whether a table still lies where it is known to lie.

use std::collections::{BTreeMap, HashMap};

use tokio_postgres::Client;

use super::catalog::{CatalogError, reading};
use crate::connect::quote::type_name;
use crate::model::{Column, Table, TableId};

/// A table in the catalog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lying {
    oid: u64,
    storage: u64,
    columns_ever: u16,
    /// By the columns' numbers: the type, and the version of the column's description.
    columns: HashMap<u16, (String, i32, u32)>,
    /// The number behind each name.
    names: HashMap<String, u16>,
    /// Generated columns: number and name.
    generated: Vec<(u16, String)>,
}

/// Where tables lay when they were looked at.
#[derive(Debug, Default)]
pub(super) struct Storages {
    watched: HashMap<u64, Watched>,
    /// How many columns of a table were ever carried over since its definition was read.
    carried: HashMap<u64, u16>,
}

/// What was seen of a table since it was copied.
#[derive(Debug)]
struct Watched {
    /// The versions of its columns' descriptions in the migration: others once it is copied again.
    copied: HashMap<u16, u32>,
    /// As it was found last.
    last: Lying,
    /// Where it lay when it was found last with so many columns, by how many it ever had.
    lay: BTreeMap<u16, u64>,
    /// What was found.
    warning: Option<String>,
}

impl Watched {
    fn new(table: &Table) -> Self {
        let last = Lying::as_taken_in(table);
        let lay = BTreeMap::from([(last.columns_ever, last.storage)]);
        Watched { copied: HashMap::new(), last, lay, warning: None }
    }

    fn is_of_an_earlier_copy(&self, table: &Table) -> bool {
        let other = |c: &Column| self.copied.get(&c.number).is_some_and(|it| *it != c.version);
        table.columns.iter().any(other)
    }

    fn look(&mut self, table: &Table, now: &Lying) {
        if let Some(column) = self.last.rewritten(table, now) {
            self.warning = Some(warning(table, column));
        }
        self.copied = table.columns.iter().map(|c| (c.number, c.version)).collect();
        self.lay.insert(now.columns_ever, now.storage);
        self.last = now.clone();
    }
}

/// Reads where tables lie.
pub(super) async fn read(client: &Client, tables: &[Table]) -> Result<Vec<Lying>, CatalogError> {
    let oid = |table: &Table| u32::try_from(table.source_id).ok();
    let oids: Vec<u32> = tables.iter().filter_map(oid).collect();
    let rows = client
        .query(include_str!("../../../sql/postgres/source_storage.sql"), &[&oids])
        .await
        .map_err(reading("where tables lie"))?;
    let lying = rows.iter().map(|row| {
        let numbers: Vec<i16> = row.get("numbers");
        let names: Vec<&str> = row.get("names");
        let generated: Vec<bool> = row.get("generated");
        let schemas: Vec<&str> = row.get("type_schemas");
        let types: Vec<&str> = row.get("type_names");
        let modifiers: Vec<i32> = row.get("type_modifiers");
        let versions: Vec<i64> = row.get("versions");
        let column = |at: usize| {
            let version = u32::try_from(versions[at]).unwrap_or_default();
            (type_name(schemas[at], types[at]), modifiers[at], version)
        };
        let generated = (0..numbers.len()).filter(|at| generated[*at]);
        Lying {
            oid: u64::from(row.get::<_, u32>("oid")),
            storage: u64::from(row.get::<_, u32>("storage")),
            columns_ever: row.get::<_, i16>("columns_ever").cast_unsigned(),
            columns: (0..numbers.len())
                .map(|at| (numbers[at].cast_unsigned(), column(at)))
                .collect(),
            names: (0..numbers.len())
                .map(|at| (names[at].to_owned(), numbers[at].cast_unsigned()))
                .collect(),
            generated: generated
                .map(|at| (numbers[at].cast_unsigned(), names[at].to_owned()))
                .collect(),
        }
    });
    Ok(lying.collect())
}

impl Lying {
    fn as_taken_in(table: &Table) -> Self {
        Lying {
            oid: table.source_id,
            storage: table.storage,
            columns_ever: table.columns_ever,
            columns: table
                .columns
                .iter()
                .map(|c| (c.number, (c.type_name.clone(), c.type_modifier, c.version)))
                .collect(),
            names: HashMap::new(),
            generated: Vec::new(),
        }
    }

    /// Whether a name now means another column than the one that `table` has under it: dropped and
    /// added again, or renamed in a circle. Where the types agree, no row of the log shows it.
    fn exchanged(&self, table: &Table) -> bool {
        table.columns.iter().any(|column| {
            let now = self.names.get(&column.name).filter(|now| **now != column.number);
            let now = now.and_then(|number| self.columns.get(number));
            column.number != 0
                && now.is_some_and(|(name, modifier, _)| {
                    (name, *modifier) == (&column.type_name, column.type_modifier)
                })
        })
    }
}

/// Tables of which a column's name means another column by now.
pub(super) fn exchanged(tables: &[Table], found: &[Lying]) -> Vec<TableId> {
    let is_exchanged = |table: &&Table| {
        let now = found.iter().find(|lying| lying.oid == table.source_id);
        now.is_some_and(|now| now.exchanged(table))
    };
    tables.iter().filter(is_exchanged).map(|table| table.id).collect()
}

impl Storages {
    /// Whether rows that lie in `storage` lie where they lay before the first column came that is
    /// new to `table`.
    pub(super) fn holds(&self, table: &Table, storage: u64) -> bool {
        let watched = self.watched.get(&table.source_id);
        let lay = watched.and_then(|watched| watched.lay.range(..=table.columns_ever).next_back());
        table.storage == storage || lay.is_some_and(|(_, lay)| *lay == storage)
    }

    /// Notes that these tables' columns are carried over.
    pub(super) fn carry<'t>(&mut self, tables: impl Iterator<Item = &'t Table>) {
        self.carried.extend(tables.map(|table| (table.source_id, table.columns_ever)));
    }

    /// Compares with what was found before, and tells what needs the operator.
    pub(super) fn watch(&mut self, tables: &[Table], found: &[Lying]) -> Vec<String> {
        let mut generated = Vec::new();
        for table in tables {
            let Some(now) = found.iter().find(|lying| lying.oid == table.source_id) else {
                continue;
            };
            let carried = self.carried.get(&now.oid).copied().unwrap_or_default();
            generated.extend(now.uncarried(table, carried));
            let watched = self.watched.entry(now.oid).or_insert_with(|| Watched::new(table));
            if watched.is_of_an_earlier_copy(table) {
                *watched = Watched::new(table);
            }
            watched.look(table, now);
        }
        let watched = tables.iter().filter_map(|table| self.watched.get(&table.source_id));
        watched.filter_map(|watched| watched.warning.clone()).chain(generated).collect()
    }
}

impl Lying {
    /// What to say of generated columns that came by themselves: the log does not show them.
    fn uncarried<'t>(
        &'t self,
        table: &'t Table,
        carried: u16,
    ) -> impl Iterator<Item = String> + 't {
        let known = move |number: u16| {
            number <= carried || table.columns.iter().any(|column| column.number == number)
        };
        let came = self.generated.iter().filter(move |(number, _)| !known(*number));
        came.map(|(_, column)| {
            format!(
                "generated column {column} came to table {} on the source, which the log does not \
                 show; unless that is done, add it on the target before the cutover",
                table.name
            )
        })
    }

    /// A column whose description was written anew while the rows were. Another type is none: the
    /// log shows it.
    fn rewritten<'t>(&self, table: &'t Table, now: &Lying) -> Option<&'t str> {
        let anew = |number: &u16| match (self.columns.get(number), now.columns.get(number)) {
            (Some(before), Some(now)) => {
                before.2 != now.2 && (&before.0, before.1) == (&now.0, now.1)
            }
            (Some(_), None) | (None, _) => false,
        };
        let column = table.columns.iter().find(|column| anew(&column.number))?;
        (self.storage != now.storage).then_some(column.name.as_str())
    }
}

fn warning(table: &Table, column: &str) -> String {
    format!(
        "column {column} of table {} was altered on the source, and all rows were written anew: if \
         that changed values (ALTER COLUMN ... TYPE ... USING), the log does not hold them, and the \
         table differs until it is copied again: `dunlin complete`, then `dunlin run \
         --truncate-target '*'`",
        table.name
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ColumnOrder, Identity, TableName};

    /// A table of two columns, whose first has a description of this version.
    fn table(version: u32, storage: u64) -> Table {
        let column = |number, version| Column {
            name: format!("c{number}"),
            number,
            version,
            type_name: "pg_catalog.int4".into(),
            type_modifier: -1,
            not_null: false,
            generated: false,
            collation: None,
            order: ColumnOrder::Integer,
        };
        Table {
            id: TableId(0),
            name: TableName { schema: "public".into(), name: "t".into() },
            source_id: 7,
            columns: vec![column(1, version), column(2, 10)],
            columns_ever: 2,
            kept: Vec::new(),
            storage,
            identity: Identity::Nothing,
            primary_key: Vec::new(),
            bytes: 0,
            estimated_rows: 0,
            pages: 0,
            correlation: None,
            root: None,
            partitions: None,
            cascades: None,
            binary_travels: true,
        }
    }

    fn found(version: u32, storage: u64, columns_ever: u16) -> Lying {
        let mut found = Lying { columns_ever, ..Lying::as_taken_in(&table(version, storage)) };
        for number in 3..=columns_ever {
            found.columns.insert(number, ("pg_catalog.int4".into(), -1, 11));
        }
        found
    }

    #[test]
    fn only_what_happened_at_once_is_said() {
        let (mut storages, taken) = (Storages::default(), table(10, 1));
        let mut look = |found| storages.watch(std::slice::from_ref(&taken), &[found]).len();
        let column_came = look(found(10, 1, 3));
        let default_set = look(found(20, 1, 3));
        let vacuumed_full = look(found(20, 2, 3));
        assert_eq!([column_came, default_set, vacuumed_full], [0, 0, 0]);
        assert_eq!(look(found(30, 3, 3)), 1, "written anew by an ALTER");
        assert_eq!(look(found(30, 4, 3)), 1, "which stays said");
    }

    #[test]
    fn what_was_said_is_over_once_the_table_is_copied_again() {
        let mut storages = Storages::default();
        assert_eq!(storages.watch(&[table(10, 1)], &[found(20, 2, 2)]).len(), 1);
        assert!(storages.watch(&[table(20, 2)], &[found(20, 2, 2)]).is_empty());
        assert_eq!(storages.watch(&[table(20, 2)], &[found(30, 3, 2)]).len(), 1);
    }

    #[test]
    fn rows_are_in_place_where_they_lay_before_the_new_column() {
        let (mut storages, taken) = (Storages::default(), table(10, 1));
        for found in [found(10, 2, 2), found(10, 2, 3), found(10, 3, 4)] {
            storages.watch(std::slice::from_ref(&taken), &[found]);
        }
        let of = |columns_ever| Table { columns_ever, ..taken.clone() };
        assert!(storages.holds(&of(2), 2) && storages.holds(&of(3), 2));
        assert!(!storages.holds(&of(3), 3) && storages.holds(&of(4), 3));
    }
}
