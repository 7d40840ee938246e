//! Columns that came and went on the source, carried over to the target's tables.
//!
//! In: an [`Alteration`], the target's table as it stands, and what the operator chose for columns
//! that were dropped. Out: statements, which run in the transaction that ends with the next
//! checkpoint, so that a process that is killed leaves either both or neither; and the tables'
//! definitions as they are from there on, written in that same transaction. What is on the target
//! already was done by the operator and is not done again.
//!
//! A new column is added with the value that the source's older rows have in it as its default,
//! and is given its own default then: `DEFAULT now()` evaluated here would be another moment.

use tokio_postgres::Client;

use super::TargetError;
use super::catalog::{self, TargetTable};
use super::describe::Misfit;
use super::state::{self, Fence};
use crate::connect::StatementError;
use crate::connect::quote::{quote_ident, quote_literal, quote_name};
use crate::model::{Alteration, Before, DroppedColumn, Failure, NewColumn, OnDropColumn, Table};

/// Carries an alteration out in the open transaction. Returns the tables as they are then.
///
/// # Errors
///
/// Where the operator is needed, with the statement to run.
pub(super) async fn carry_out(
    client: &Client,
    fence: &Fence,
    alteration: &Alteration,
    on_drop: OnDropColumn,
) -> Result<Vec<Table>, Failure> {
    let found = find(client, alteration).await?;
    for statement in statements(alteration, &found, on_drop)? {
        tracing::info!(table = %alteration.table.name, statement, "altered as on the source");
        if let Err(error) = client.batch_execute(&statement).await {
            let act = format!("alter table {}", alteration.table.name);
            let source = StatementError::new(act, error);
            return Err(TargetError::Alter { statement, source }.into());
        }
    }
    let tables = definitions(alteration, on_drop);
    state::store_tables(client, &fence.name, &tables).await?;
    Ok(tables)
}

/// The target's table, by its name on the source.
///
/// # Errors
///
/// Where there is none of that name.
pub(super) async fn find(client: &Client, alteration: &Alteration) -> Result<TargetTable, Failure> {
    let Alteration { table, formerly, .. } = alteration;
    let found = catalog::tables(client, std::slice::from_ref(&table.name)).await?.pop();
    let (table, formerly) = (table.name.clone(), formerly.clone());
    Ok(found.ok_or(Misfit::NoTable { table, formerly })?)
}

/// The statements that are still to be run.
fn statements(
    alteration: &Alteration,
    found: &TargetTable,
    on_drop: OnDropColumn,
) -> Result<Vec<String>, Misfit> {
    let table = &alteration.table;
    let has = |name: &str| found.columns.iter().any(|column| column.name == name);
    if let Some((from, to)) = alteration.renamed.iter().find(|(from, to)| has(from) && !has(to)) {
        return Err(Misfit::Renamed {
            table: table.root.clone().unwrap_or_else(|| table.name.clone()),
            from: from.clone(),
            to: to.clone(),
        });
    }
    let mut statements = Vec::new();
    // Where the rows come anew, a name that another column took over may keep its column here; what
    // that one was called is then one too many.
    let taken = |name: &str| table.columns.iter().any(|column| column.name == name);
    let former = alteration.renamed.iter().filter(|(_, to)| has(to));
    let former = former.map(|(from, _)| DroppedColumn { name: from.clone(), everywhere: true });
    let dropped = alteration.dropped.iter().cloned().chain(former);
    for dropped in dropped.filter(|dropped| has(&dropped.name) && !taken(&dropped.name)) {
        statements.push(drop_column(table, &dropped, on_drop)?);
    }
    for new in &alteration.added {
        let kept = table.kept.contains(&new.column.name);
        match has(&new.column.name) {
            true if kept => {
                return Err(Misfit::Returned {
                    table: table.name.clone(),
                    column: new.column.name.clone(),
                });
            }
            true => {}
            false => statements.push(add_column(new)),
        }
    }
    Ok(statements)
}

fn drop_column(
    table: &Table,
    dropped: &DroppedColumn,
    on_drop: OnDropColumn,
) -> Result<String, Misfit> {
    // The columns of a partition are those of the table it belongs to.
    let on = quote_name(table.root.as_ref().unwrap_or(&table.name));
    let column = quote_ident(&dropped.name);
    match on_drop {
        OnDropColumn::Drop if dropped.everywhere => {
            Ok(format!("ALTER TABLE {on} DROP COLUMN {column}"))
        }
        OnDropColumn::Keep => Ok(format!("ALTER TABLE {on} ALTER COLUMN {column} DROP NOT NULL")),
        OnDropColumn::Drop | OnDropColumn::Halt => {
            Err(Misfit::ColumnExtra { table: table.name.clone(), column: dropped.name.clone() })
        }
    }
}

fn add_column(new: &NewColumn) -> String {
    let (on, column) = (quote_name(&new.on), quote_ident(&new.column.name));
    let mut text = format!("ALTER TABLE {on} ADD COLUMN {column} {}", new.type_text);
    if let Some(collation) = &new.collation {
        text.push_str(&format!(" COLLATE {collation}"));
    }
    if let Some(generation) = &new.generation {
        text.push_str(&format!(" {generation}"));
    }
    if let Before::Value(value) = &new.before {
        text.push_str(&format!(" DEFAULT {}", quote_literal(value)));
    }
    if new.column.not_null {
        text.push_str(" NOT NULL");
    }
    match (&new.default, &new.before) {
        (Some(default), _) => {
            text.push_str(&format!(
                "; ALTER TABLE {on} ALTER COLUMN {column} SET DEFAULT {default}"
            ));
        }
        (None, Before::Value(_)) => {
            text.push_str(&format!("; ALTER TABLE {on} ALTER COLUMN {column} DROP DEFAULT"));
        }
        (None, Before::Null | Before::Computed | Before::Untold) => {}
    }
    text
}

/// The tables' definitions once the alteration is carried out.
fn definitions(alteration: &Alteration, on_drop: OnDropColumn) -> Vec<Table> {
    let after = |table: &Table| {
        let mut table = table.clone();
        if on_drop == OnDropColumn::Keep {
            table.kept.extend(alteration.dropped.iter().map(|dropped| dropped.name.clone()));
        }
        table.kept.retain(|kept| table.columns.iter().all(|column| column.name != *kept));
        table
    };
    alteration.tables().map(after).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Column, ColumnOrder, TableName};

    fn new_column(before: Before) -> NewColumn {
        NewColumn {
            column: Column {
                name: "since".into(),
                number: 3,
                version: 7,
                type_name: "pg_catalog.timestamptz".into(),
                type_modifier: -1,
                not_null: false,
                generated: false,
                collation: None,
                order: ColumnOrder::Opaque,
            },
            on: TableName { schema: "public".into(), name: "item".into() },
            type_text: "timestamp with time zone".into(),
            collation: None,
            default: Some("now()".into()),
            generation: None,
            before,
        }
    }

    #[test]
    fn older_rows_get_the_value_that_they_have_on_the_source() {
        let value = Before::Value("2026-01-01 00:00:00+00".into());
        insta::assert_snapshot!(add_column(&new_column(value)), @r#"ALTER TABLE "public"."item" ADD COLUMN "since" timestamp with time zone DEFAULT '2026-01-01 00:00:00+00'; ALTER TABLE "public"."item" ALTER COLUMN "since" SET DEFAULT now()"#);
        let mut plain = new_column(Before::Value("it's".into()));
        plain.default = None;
        plain.column.not_null = true;
        insta::assert_snapshot!(add_column(&plain), @r#"ALTER TABLE "public"."item" ADD COLUMN "since" timestamp with time zone DEFAULT 'it''s' NOT NULL; ALTER TABLE "public"."item" ALTER COLUMN "since" DROP DEFAULT"#);
        insta::assert_snapshot!(add_column(&new_column(Before::Null)), @r#"ALTER TABLE "public"."item" ADD COLUMN "since" timestamp with time zone; ALTER TABLE "public"."item" ALTER COLUMN "since" SET DEFAULT now()"#);
    }
}
