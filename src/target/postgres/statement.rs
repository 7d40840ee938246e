//! The statements that carry out an effect on one table, as text.
//!
//! Every statement takes one array of text per column and casts each element to the column's
//! type, so that its text never depends on how many rows there are: it is prepared once per table
//! and set of columns. A value is read by the type's input function, as COPY reads it: that is what
//! a cast from text calls, except where the type has a cast function of its own (xml, `"char"`,
//! regclass, which does not take its own `-`, casts of users'): then the input function is called
//! by name.
//!
//! Types whose output is not read back by a cast from text (`"char"`, `name`, `bpchar`, …) keep
//! every byte here because [`TargetColumn::cast`] names the type without its modifier. Equality of
//! keys is the operator of the unique index itself, by its qualified name: with an empty
//! `search_path` the `=` of an extension's type would not be found.

use std::fmt::Write;

use super::catalog::{TargetColumn, TargetTable};
use crate::connect::quote::{quote_ident, quote_name};
use crate::model::Shape;

/// What a statement does.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) enum Kind {
    /// Deletes rows by key.
    Delete,
    /// Deletes rows that are known by their whole; takes a count for each.
    DeleteWhole,
    /// Updates rows by key: the columns that are set.
    Update(Vec<u16>),
    /// Inserts whole rows from arrays.
    Insert,
    /// Inserts whole rows from a COPY stream.
    Copy,
}

/// The text of a statement. Parameters are the key's columns first, then the columns that are set
/// (or all columns of an insert), then the count.
pub(super) fn text(kind: &Kind, target: &TargetTable, columns: &Columns<'_>) -> String {
    match kind {
        Kind::Delete => delete(target, columns),
        Kind::DeleteWhole => delete_whole(target, columns),
        Kind::Update(set) => update(target, columns, set),
        Kind::Insert => insert(target, columns),
        Kind::Copy => copy(target, columns),
    }
}

/// A shape's columns as the target has them, in the shape's order.
pub(super) struct Columns<'a> {
    /// One for each column of the relation.
    pub(super) all: Vec<&'a TargetColumn>,
    /// The key's columns, as indexes into `all`.
    pub(super) key: Vec<u16>,
}

impl<'a> Columns<'a> {
    /// Finds the columns of a shape by name. None where one is missing.
    pub(super) fn of(shape: &Shape, target: &'a TargetTable) -> Option<Self> {
        let find = |name: &str| target.columns.iter().find(|column| column.name == name);
        let all: Option<Vec<_>> =
            shape.relation.columns.iter().map(|column| find(&column.name)).collect();
        Some(Columns { all: all?, key: shape.key_columns() })
    }

    fn get(&self, index: u16) -> &'a TargetColumn {
        self.all[usize::from(index)]
    }
}

/// The table as a statement names it. A partitioned table is named with its partitions, any other
/// without those that inherit from it.
fn relation(target: &TargetTable) -> String {
    let only = if target.partitioned { "" } else { "ONLY " };
    format!("{only}{}", quote_name(&target.name))
}

/// `unnest($1::text[], …) AS u(c1, …)`
fn arrays(count: usize) -> String {
    let mut text = String::from("ROWS FROM (");
    for number in 1..=count {
        let comma = if number > 1 { ", " } else { "" };
        let _ = write!(text, "{comma}pg_catalog.unnest(${number}::pg_catalog.text[])");
    }
    text.push_str(") AS u(");
    for number in 1..=count {
        let comma = if number > 1 { ", " } else { "" };
        let _ = write!(text, "{comma}c{number}");
    }
    text.push(')');
    text
}

/// `t."a" OPERATOR(pg_catalog.=) u.c1::pg_catalog.int4 AND …`
fn key_matches(columns: &Columns<'_>) -> String {
    let matches = columns.key.iter().zip(1..).map(|(&index, number)| {
        let column = columns.get(index);
        equals(column, number)
    });
    matches.collect::<Vec<_>>().join(" AND ")
}

/// A domain is compared as its base type: a polymorphic operator, such as that of enums, does not
/// look through it. The cast costs nothing, and an index on the column still serves.
fn equals(column: &TargetColumn, number: usize) -> String {
    let TargetColumn { name, type_name, cast, .. } = column;
    let operator = column.equality.as_deref().unwrap_or("OPERATOR(pg_catalog.=)");
    let own_cast = if type_name == cast { String::new() } else { format!("::{cast}") };
    format!("t.{}{own_cast} {operator} {}", quote_ident(name), value(column, number))
}

/// The value of a column, out of the parameter of this number.
fn value(column: &TargetColumn, number: usize) -> String {
    let Some(input) = &column.input else {
        return format!("u.c{number}::{}", column.cast);
    };
    let further = match input.parameter {
        Some(parameter) => format!(", '{parameter}'::pg_catalog.oid, -1"),
        None => String::new(),
    };
    format!("{}(pg_catalog.textout(u.c{number}){further})", input.name)
}

fn delete(target: &TargetTable, columns: &Columns<'_>) -> String {
    format!(
        "DELETE FROM {} AS t USING {} WHERE {}",
        relation(target),
        arrays(columns.key.len()),
        key_matches(columns)
    )
}

/// Rows are matched by the text of every column, so that types without equality can be found and
/// `1.0` is not taken for `1.00`. The texts are compared as one array, in which NULLs are equal: of
/// hundreds of single conditions the server would make a plan for minutes. Of equal rows as many
/// go as the count says.
fn delete_whole(target: &TargetTable, columns: &Columns<'_>) -> String {
    let width = columns.key.len();
    let texts = columns.key.iter().map(|&index| text_of(&columns.get(index).name));
    let texts = texts.collect::<Vec<_>>().join(", ");
    let wanted = (1..=width).map(|number| format!("u.c{number}")).collect::<Vec<_>>().join(", ");
    format!(
        "DELETE FROM {relation} AS d USING (\
         SELECT t.tableoid AS part, t.ctid AS place, u.c{count}::pg_catalog.int8 AS wanted, \
         pg_catalog.row_number() OVER (PARTITION BY u.number) AS found \
         FROM (SELECT *, pg_catalog.row_number() OVER () AS number FROM {arrays}) AS u \
         JOIN {relation} AS t ON ARRAY[{texts}]::pg_catalog.text[] OPERATOR(pg_catalog.=) \
         ARRAY[{wanted}]::pg_catalog.text[]) AS f \
         WHERE f.found <= f.wanted AND d.tableoid = f.part AND d.ctid = f.place",
        relation = relation(target),
        count = width + 1,
        arrays = arrays(width + 1),
    )
}

/// A column's text. `concat` calls the type's output function; a cast to text would strip the
/// blanks of a `char`. A composite of nothing but NULLs, `(,)`, `IS NULL` and is a value all the
/// same.
fn text_of(column: &str) -> String {
    let column = quote_ident(column);
    format!("CASE WHEN t.{column} IS DISTINCT FROM NULL THEN pg_catalog.concat(t.{column}) END")
}

fn update(target: &TargetTable, columns: &Columns<'_>, set: &[u16]) -> String {
    if set.iter().any(|&index| columns.get(index).identity_always) {
        return replace(target, columns, set);
    }
    let key = columns.key.len();
    let mut sets: Vec<_> = set
        .iter()
        .zip(key + 1..)
        .map(|(&index, number)| {
            let column = columns.get(index);
            format!("{} = {}", quote_ident(&column.name), value(column, number))
        })
        .collect();
    if let (true, Some(&first)) = (sets.is_empty(), columns.key.first()) {
        // Nothing but the proof that the row is there.
        let name = quote_ident(&columns.get(first).name);
        sets.push(format!("{name} = t.{name}"));
    }
    format!(
        "UPDATE {} AS t SET {} FROM {} WHERE {}",
        relation(target),
        sets.join(", "),
        arrays(key + set.len()),
        key_matches(columns)
    )
}

/// A GENERATED ALWAYS identity column cannot be set by an UPDATE, but by an INSERT: the row is
/// taken out and put back with what was set.
fn replace(target: &TargetTable, columns: &Columns<'_>, set: &[u16]) -> String {
    let key = columns.key.len();
    let written: Vec<_> = target.columns.iter().filter(|column| !column.generated).collect();
    let names: Vec<_> = written.iter().map(|column| quote_ident(&column.name)).collect();
    let values: Vec<_> = written
        .iter()
        .zip(1..)
        .map(|(column, place)| {
            let parameter = set.iter().position(|&index| columns.get(index).name == column.name);
            match parameter {
                Some(at) => format!("{} AS r{place}", value(column, key + at + 1)),
                None => format!("t.{} AS r{place}", quote_ident(&column.name)),
            }
        })
        .collect();
    format!(
        "WITH o AS (DELETE FROM {} AS t USING {} WHERE {} RETURNING {}) \
         INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE SELECT * FROM o",
        relation(target),
        arrays(key + set.len()),
        key_matches(columns),
        values.join(", "),
        quote_name(&target.name),
        names.join(", ")
    )
}

/// Empties the tables that one statement emptied on the source. Never with CASCADE: the log names
/// every table that was emptied, and on the target others may refer to them by now.
pub(super) fn truncate<'a>(
    tables: impl Iterator<Item = &'a TargetTable>,
    restart_identity: bool,
) -> String {
    let identity = if restart_identity { " RESTART IDENTITY" } else { "" };
    format!("TRUNCATE {}{identity}", tables.map(relation).collect::<Vec<_>>().join(", "))
}

/// Empties tables for which TRUNCATE is refused, since a foreign key refers to one of them.
pub(super) fn delete_all<'a>(tables: impl Iterator<Item = &'a TargetTable>) -> String {
    tables.map(|table| format!("DELETE FROM {}", relation(table))).collect::<Vec<_>>().join("; ")
}

/// The columns in parentheses; nothing where there are none.
fn column_list(columns: &Columns<'_>) -> String {
    let names: Vec<_> = columns.all.iter().map(|column| quote_ident(&column.name)).collect();
    if names.is_empty() { String::new() } else { format!(" ({})", names.join(", ")) }
}

/// A row without columns takes an array of anything, one element for each.
fn insert(target: &TargetTable, columns: &Columns<'_>) -> String {
    let width = columns.all.len().max(1);
    let values: Vec<_> =
        columns.all.iter().zip(1..).map(|(column, number)| value(column, number)).collect();
    format!(
        "INSERT INTO {}{} OVERRIDING SYSTEM VALUE SELECT {} FROM {}",
        quote_name(&target.name),
        column_list(columns),
        values.join(", "),
        arrays(width)
    )
}

fn copy(target: &TargetTable, columns: &Columns<'_>) -> String {
    format!("COPY {}{} FROM STDIN", quote_name(&target.name), column_list(columns))
}

#[cfg(test)]
mod tests {
    use super::super::catalog::InputFunction;
    use super::*;
    use crate::model::{Relation, RelationColumn, RowIdentity, TableId, TableName};
    use std::sync::Arc;

    fn column(name: &str, cast: &str) -> TargetColumn {
        TargetColumn {
            name: name.into(),
            type_name: cast.into(),
            cast: cast.into(),
            input: None,
            type_modifier: -1,
            generated: false,
            identity_always: false,
            in_unique_index: false,
            equality: None,
        }
    }

    fn target(columns: Vec<TargetColumn>) -> TargetTable {
        let name = TableName { schema: "public".into(), name: "My \"t\"".into() };
        TargetTable { name, partitioned: false, columns }
    }

    fn sql(kind: &Kind, target: &TargetTable, identity: RowIdentity) -> String {
        let column = |column: &TargetColumn| RelationColumn {
            name: column.name.clone(),
            type_name: column.type_name.clone(),
            type_modifier: -1,
            key: false,
        };
        let relation = Arc::new(Relation {
            table: TableId(0),
            name: target.name.clone(),
            columns: target.columns.iter().map(column).collect(),
            full: false,
            cascades: false,
        });
        let shape = Shape { relation, identity, primary_key: Vec::new() };
        text(kind, target, &Columns::of(&shape, target).unwrap())
    }

    fn two_columns() -> TargetTable {
        let id = TargetColumn {
            equality: Some("OPERATOR(ext.===)".into()),
            ..column("id", "pg_catalog.int4")
        };
        target(vec![id, column("Note", "pg_catalog.text")])
    }

    #[test]
    fn rows_are_found_by_the_key_and_its_own_operator() {
        let key = || RowIdentity::Key(vec![0]);
        insta::assert_snapshot!(sql(&Kind::Delete, &two_columns(), key()), @r#"DELETE FROM ONLY "public"."My ""t""" AS t USING ROWS FROM (pg_catalog.unnest($1::pg_catalog.text[])) AS u(c1) WHERE t."id" OPERATOR(ext.===) u.c1::pg_catalog.int4"#);
        insta::assert_snapshot!(sql(&Kind::Update(vec![1]), &two_columns(), key()), @r#"UPDATE ONLY "public"."My ""t""" AS t SET "Note" = u.c2::pg_catalog.text FROM ROWS FROM (pg_catalog.unnest($1::pg_catalog.text[]), pg_catalog.unnest($2::pg_catalog.text[])) AS u(c1, c2) WHERE t."id" OPERATOR(ext.===) u.c1::pg_catalog.int4"#);
        let mut domain = two_columns();
        domain.columns[0].type_name = "public.code".into();
        insta::assert_snapshot!(sql(&Kind::Delete, &domain, key()), @r#"DELETE FROM ONLY "public"."My ""t""" AS t USING ROWS FROM (pg_catalog.unnest($1::pg_catalog.text[])) AS u(c1) WHERE t."id"::pg_catalog.int4 OPERATOR(ext.===) u.c1::pg_catalog.int4"#);
        let partitioned = TargetTable { partitioned: true, ..two_columns() };
        assert!(!sql(&Kind::Delete, &partitioned, key()).contains("ONLY"));
    }

    #[test]
    fn an_identity_that_is_always_generated_changes_by_taking_its_row_out() {
        let mut target = two_columns();
        target.columns[0].identity_always = true;
        let update = sql(&Kind::Update(vec![0]), &target, RowIdentity::Key(vec![1]));
        insta::assert_snapshot!(update, @r#"WITH o AS (DELETE FROM ONLY "public"."My ""t""" AS t USING ROWS FROM (pg_catalog.unnest($1::pg_catalog.text[]), pg_catalog.unnest($2::pg_catalog.text[])) AS u(c1, c2) WHERE t."Note" OPERATOR(pg_catalog.=) u.c1::pg_catalog.text RETURNING u.c2::pg_catalog.int4 AS r1, t."Note" AS r2) INSERT INTO "public"."My ""t""" ("id", "Note") OVERRIDING SYSTEM VALUE SELECT * FROM o"#);
    }

    #[test]
    fn rows_are_inserted_by_name() {
        let nothing = || RowIdentity::Nothing;
        insta::assert_snapshot!(sql(&Kind::Insert, &two_columns(), nothing()), @r#"INSERT INTO "public"."My ""t""" ("id", "Note") OVERRIDING SYSTEM VALUE SELECT u.c1::pg_catalog.int4, u.c2::pg_catalog.text FROM ROWS FROM (pg_catalog.unnest($1::pg_catalog.text[]), pg_catalog.unnest($2::pg_catalog.text[])) AS u(c1, c2)"#);
        insta::assert_snapshot!(sql(&Kind::Copy, &two_columns(), nothing()), @r#"COPY "public"."My ""t""" ("id", "Note") FROM STDIN"#);
        let empty = target(Vec::new());
        insta::assert_snapshot!(sql(&Kind::Insert, &empty, nothing()), @r#"INSERT INTO "public"."My ""t""" OVERRIDING SYSTEM VALUE SELECT  FROM ROWS FROM (pg_catalog.unnest($1::pg_catalog.text[])) AS u(c1)"#);
    }

    #[test]
    fn a_type_with_a_cast_of_its_own_is_read_by_its_input_function() {
        let input = |name: &str, parameter| Some(InputFunction { name: name.into(), parameter });
        let class = TargetColumn {
            input: input("pg_catalog.regclassin", None),
            ..column("a", "pg_catalog.regclass")
        };
        let own = TargetColumn { input: input("ext.own_in", Some(7)), ..column("b", "ext.own") };
        let insert = sql(&Kind::Insert, &target(vec![class, own]), RowIdentity::Nothing);
        assert!(insert.contains(
            "SELECT pg_catalog.regclassin(pg_catalog.textout(u.c1)), \
             ext.own_in(pg_catalog.textout(u.c2), '7'::pg_catalog.oid, -1) FROM"
        ));
    }

    #[test]
    fn equal_rows_go_as_many_as_are_counted() {
        let one = target(vec![column("a", "pg_catalog.json")]);
        insta::assert_snapshot!(sql(&Kind::DeleteWhole, &one, RowIdentity::WholeRow), @r#"DELETE FROM ONLY "public"."My ""t""" AS d USING (SELECT t.tableoid AS part, t.ctid AS place, u.c2::pg_catalog.int8 AS wanted, pg_catalog.row_number() OVER (PARTITION BY u.number) AS found FROM (SELECT *, pg_catalog.row_number() OVER () AS number FROM ROWS FROM (pg_catalog.unnest($1::pg_catalog.text[]), pg_catalog.unnest($2::pg_catalog.text[])) AS u(c1, c2)) AS u JOIN ONLY "public"."My ""t""" AS t ON ARRAY[CASE WHEN t."a" IS DISTINCT FROM NULL THEN pg_catalog.concat(t."a") END]::pg_catalog.text[] OPERATOR(pg_catalog.=) ARRAY[u.c1]::pg_catalog.text[]) AS f WHERE f.found <= f.wanted AND d.tableoid = f.part AND d.ctid = f.place"#);
    }

    #[test]
    fn tables_are_emptied_together_and_no_others_with_them() {
        let tables = [("a", false), ("b", true)].map(|(name, partitioned)| {
            let name = TableName { schema: "public".into(), name: name.into() };
            TargetTable { name, partitioned, columns: Vec::new() }
        });
        insta::assert_snapshot!(truncate(tables.iter(), true), @r#"TRUNCATE ONLY "public"."a", "public"."b" RESTART IDENTITY"#);
        insta::assert_snapshot!(delete_all(tables.iter()), @r#"DELETE FROM ONLY "public"."a"; DELETE FROM "public"."b""#);
    }
}
