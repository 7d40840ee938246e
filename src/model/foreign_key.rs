//! Foreign keys whose rules change rows by themselves, and which tables hang together by them.
//!
//! In: the foreign keys of a server, as its catalog names them. Out: what each table is to the
//! rules whose effects no log holds. Pure; it knows no server. That no effect is lost rests on the
//! families: whoever copies one of their tables, or changes its rows, has all of them in view.

use super::schema::{Cascades, Table, TableName};

/// A foreign key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignKey {
    /// The table whose rows refer to others.
    pub table: TableName,
    /// Its name.
    pub name: String,
    /// The table that they refer to.
    pub parent: TableName,
    /// What happens to a row when the key changes that it refers to: `CASCADE`, `SET NULL`...
    pub on_update: String,
    /// What happens to it when the row goes that it refers to.
    pub on_delete: String,
    /// The columns that refer, with commas between them.
    pub columns: String,
    /// The columns that they refer to.
    pub parent_columns: String,
}

impl ForeignKey {
    /// Its rules that write rows, if there is one: `ON DELETE CASCADE ON UPDATE SET NULL`.
    #[must_use]
    pub fn rules(&self) -> Option<String> {
        let rules = [("ON DELETE", &self.on_delete), ("ON UPDATE", &self.on_update)];
        let writes = |rule: &str| matches!(rule, "CASCADE" | "SET NULL" | "SET DEFAULT");
        let told: Vec<String> = rules
            .iter()
            .filter(|(_, rule)| writes(rule))
            .map(|(event, rule)| format!("{event} {rule}"))
            .collect();
        (!told.is_empty()).then(|| told.join(" "))
    }

    /// What it does, in a form in which servers agree; None where it writes no rows.
    #[must_use]
    pub fn effect(&self) -> Option<String> {
        let rules = self.rules()?;
        let (columns, parent, at) = (&self.columns, &self.parent, &self.parent_columns);
        Some(format!("({columns}) REFERENCES {parent} ({at}) {rules}"))
    }
}

/// Tells each table what it is to rules whose effects are not in the log.
pub fn bind(tables: &mut [Table], keys: &[ForeignKey]) {
    let place = |tables: &[Table], name: &TableName| tables.iter().position(|t| t.name == *name);
    let links: Vec<(usize, usize, &ForeignKey)> = keys
        .iter()
        .filter_map(|key| Some((place(tables, &key.table)?, place(tables, &key.parent)?, key)))
        .collect();
    // Each table begins by itself; a link makes two families one, until none does.
    let mut family: Vec<usize> = (0..tables.len()).collect();
    let mut moved = true;
    while std::mem::take(&mut moved) {
        for (child, parent, _) in &links {
            let one = family[*child].min(family[*parent]);
            moved |= family[*child] != one || family[*parent] != one;
            (family[*child], family[*parent]) = (one, one);
        }
    }
    let writing: Vec<_> = links.iter().filter(|(_, _, key)| key.rules().is_some()).collect();
    for (index, table) in tables.iter_mut().enumerate() {
        let bound = writing.iter().any(|(child, _, _)| family[*child] == family[index]);
        table.cascades = bound.then(|| Cascades {
            family: u32::try_from(family[index]).unwrap_or(u32::MAX),
            parent: writing.iter().any(|(_, parent, _)| *parent == index),
            rules: writing
                .iter()
                .filter(|(child, _, _)| *child == index)
                .filter_map(|(_, _, key)| key.effect())
                .collect(),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Identity, TableId};
    use super::*;

    fn name(name: &str) -> TableName {
        TableName { schema: "shop".into(), name: name.into() }
    }

    fn key(table: &str, parent: &str, on_delete: &str, on_update: &str) -> ForeignKey {
        ForeignKey {
            table: name(table),
            name: "fk".into(),
            parent: name(parent),
            on_update: on_update.into(),
            on_delete: on_delete.into(),
            columns: "a,b".into(),
            parent_columns: "x,y".into(),
        }
    }

    fn table(id: u32, called: &str) -> Table {
        Table {
            id: TableId(id),
            name: name(called),
            source_id: 0,
            columns: Vec::new(),
            columns_ever: 0,
            kept: Vec::new(),
            storage: 0,
            identity: Identity::Full,
            primary_key: Vec::new(),
            bytes: 0,
            estimated_rows: 0,
            pages: 0,
            correlation: None,
            root: None,
            partitions: None,
            cascades: None,
            binary_travels: false,
        }
    }

    #[test]
    fn a_cascade_is_told_by_its_rules() {
        assert_eq!(key("lines", "orders", "RESTRICT", "NO ACTION").effect(), None);
        let both = key("lines", "orders", "CASCADE", "SET NULL").effect();
        let text = "(a,b) REFERENCES shop.orders (x,y) ON DELETE CASCADE ON UPDATE SET NULL";
        assert_eq!(both.as_deref(), Some(text));
    }

    #[test]
    fn families_hang_together_by_every_key_where_one_writes() {
        let names = ["log", "d", "c", "b", "a", "x", "y"];
        let mut tables: Vec<Table> = (0..).zip(names).map(|(id, name)| table(id, name)).collect();
        bind(
            &mut tables,
            &[
                key("b", "a", "CASCADE", "RESTRICT"),
                key("c", "b", "RESTRICT", "RESTRICT"),
                key("d", "c", "NO ACTION", "NO ACTION"),
                key("y", "x", "RESTRICT", "RESTRICT"),
                key("log", "elsewhere", "CASCADE", "RESTRICT"),
            ],
        );
        let told = |table: &Table| {
            table.cascades.as_ref().map(|it| (it.family, it.parent, it.rules.len()))
        };
        let told: Vec<_> = tables.iter().map(told).collect();
        let member = Some((1, false, 0));
        let expected = [None, member, member, Some((1, false, 1)), Some((1, true, 0)), None, None];
        assert_eq!(told, expected);
    }
}
