//! Columns that came and went on the source, carried over to the target's tables; and whether a
//! table takes the log's rows.
//!
//! In: an [`Alteration`], the target's table as it stands, and what the operator chose for columns
//! that were dropped. Out: statements, and then the tables' definitions as they are from there on.
//! The server commits with each statement (manual, "Statements That Cause an Implicit Commit"), so
//! none runs in the transaction of the rows that show it: everything before is committed with its
//! checkpoint by then, and each statement can be repeated. What is on the target already was done by
//! the operator, or by a process that was killed, and is not done again.
//!
//! A new column is added with the value that the source's older rows have in it as its default,
//! and is given its own default then.

use super::catalog::{self, TargetColumn, TargetTable};
use super::error::attempting;
use super::literal::{ident, name, text};
use super::logged::takes;
use super::session::Session;
use super::state::{self, Fence};
use super::{TargetError, verification};
use crate::model::{
    Alteration, Before, DroppedColumn, Failure, NewColumn, OnDropColumn, Relation, Table,
};

/// Carries an alteration out, while no transaction is open. Returns the tables as they are then.
///
/// # Errors
///
/// Where the operator is needed, with the statement to run.
pub(super) async fn carry_out(
    session: &mut Session,
    fence: &Fence,
    alteration: &Alteration,
    on_drop: OnDropColumn,
) -> Result<Vec<Table>, Failure> {
    let table = &alteration.table.name;
    let found = catalog::table(session, table).await?;
    let found = found.ok_or_else(|| TargetError::TableMissing { table: table.clone() })?;
    for statement in statements(alteration, &found, on_drop)? {
        tracing::info!(%table, statement, "altered as on the source");
        if let Err(error) = session.execute(&statement).await {
            let source = attempting(format!("alter table {table}"))(error);
            return Err(TargetError::Alter { statement, source }.into());
        }
    }
    let tables = definitions(alteration, on_drop);
    let recording = || attempting("record altered tables");
    session.execute("BEGIN").await.map_err(recording())?;
    fence.hold(session).await?;
    state::store_tables(session, &fence.name, &tables).await?;
    let ids = tables.iter().map(|table| table.id);
    verification::touch_tables(session, &fence.name, ids).await?;
    session.execute("COMMIT").await.map_err(recording())?;
    Ok(tables)
}

/// The statements that are still to be run.
fn statements(
    alteration: &Alteration,
    found: &TargetTable,
    on_drop: OnDropColumn,
) -> Result<Vec<String>, TargetError> {
    let table = &alteration.table;
    let on = name(&table.name);
    let has = |name: &str| found.column(name).is_some();
    let mut statements = Vec::new();
    for (from, to) in &alteration.renamed {
        match (has(from), has(to)) {
            (true, false) => {
                let (from, to) = (ident(from), ident(to));
                statements.push(format!("ALTER TABLE {on} RENAME COLUMN {from} TO {to}"));
            }
            (false, true) => {}
            (true, true) | (false, false) => {
                let problem = format!("column {from} was renamed {to} on the source");
                let fix =
                    format!("ALTER TABLE {on} RENAME COLUMN {} TO {}", ident(from), ident(to));
                return Err(TargetError::Misfit { table: table.name.clone(), problem, fix });
            }
        }
    }
    let taken = |name: &str| table.columns.iter().any(|column| column.name == name);
    for dropped in alteration.dropped.iter().filter(|dropped| !taken(&dropped.name)) {
        if let Some(column) = found.column(&dropped.name) {
            statements.push(drop_column(table, dropped, column, on_drop)?);
        }
    }
    for new in &alteration.added {
        let kept = table.kept.contains(&new.column.name);
        match has(&new.column.name) {
            true if kept => {
                let column = ident(&new.column.name);
                return Err(TargetError::Misfit {
                    table: table.name.clone(),
                    problem: format!("column {column} came back, and its former one was kept"),
                    fix: format!("ALTER TABLE {on} DROP COLUMN {column}"),
                });
            }
            there => statements.extend(add_column(table, new, there)),
        }
    }
    Ok(statements)
}

fn drop_column(
    table: &Table,
    dropped: &DroppedColumn,
    found: &TargetColumn,
    on_drop: OnDropColumn,
) -> Result<String, TargetError> {
    let (on, column) = (name(&table.name), ident(&dropped.name));
    let fix = format!("ALTER TABLE {on} DROP COLUMN {column}");
    match on_drop {
        OnDropColumn::Drop => Ok(fix),
        OnDropColumn::Keep => {
            let collation = found.collation.as_ref();
            let collation = collation.map_or_else(String::new, |name| format!(" COLLATE {name}"));
            let type_name = &found.type_name;
            Ok(format!("ALTER TABLE {on} MODIFY COLUMN {column} {type_name}{collation} NULL"))
        }
        OnDropColumn::Halt => Err(TargetError::Misfit {
            table: table.name.clone(),
            problem: format!("column {} was dropped on the source", dropped.name),
            fix,
        }),
    }
}

/// Adds a column with the value of the older rows, then gives it its own default. Where it is
/// `there`, that may be for want of the second part.
fn add_column(table: &Table, new: &NewColumn, there: bool) -> Vec<String> {
    let (on, column) = (name(&table.name), ident(&new.column.name));
    let mut definition = format!("{column} {}", new.type_text);
    if let Some(collation) = &new.collation {
        definition.push_str(&format!(" COLLATE {collation}"));
    }
    if let Some(generation) = &new.generation {
        definition.push_str(&format!(" {generation}"));
    }
    if new.column.not_null {
        definition.push_str(" NOT NULL");
    }
    let default = |default: &str| format!("{definition} DEFAULT {default}");
    let lasting = new.default.as_deref().map_or_else(|| definition.clone(), default);
    let first = match &new.before {
        Before::Value(value) => default(&text(value)),
        Before::Null | Before::Computed | Before::Untold => lasting.clone(),
    };
    let mut statements = Vec::new();
    if !there {
        statements.push(format!("ALTER TABLE {on} ADD COLUMN {first}{}", place(table, new)));
    }
    if first != lasting {
        statements.push(format!("ALTER TABLE {on} MODIFY COLUMN {lasting}"));
    }
    statements
}

/// Where a column stands among those that the table has then.
fn place(table: &Table, new: &NewColumn) -> String {
    let index = table.columns.iter().position(|column| column.number == new.column.number);
    match index {
        Some(0) => " FIRST".to_owned(),
        Some(index) => format!(" AFTER {}", ident(&table.columns[index - 1].name)),
        None => String::new(),
    }
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

/// Whether the target's table takes rows of `relation`. Returns the columns that only the target has,
/// which get their defaults.
///
/// # Errors
///
/// Where it does not, with the statement that makes it fit.
pub(super) fn fits(
    table: &Table,
    relation: &Relation,
    found: Option<&TargetTable>,
) -> Result<Vec<String>, TargetError> {
    let missing = || TargetError::TableMissing { table: relation.name.clone() };
    let found = found.ok_or_else(missing)?;
    let misfit = |problem: String, fix: String| TargetError::Misfit {
        table: relation.name.clone(),
        problem,
        fix: format!("ALTER TABLE {} {fix}", name(&relation.name)),
    };
    for logged in &relation.columns {
        let known = table.columns.iter().find(|known| known.name == logged.name);
        let there = found.column(&logged.name);
        let problem = known.and_then(|known| catalog::difference(known, there));
        if let Some(problem) = problem {
            let verb = if there.is_some() { "MODIFY" } else { "ADD" };
            let type_name = known.map_or(&*logged.type_name, |known| &known.type_name);
            let collation = known.and_then(|known| known.collation.as_ref());
            let collation = collation.map_or_else(String::new, |name| format!(" COLLATE {name}"));
            let fix = format!("{verb} COLUMN {} {type_name}{collation}", ident(&logged.name));
            return Err(misfit(problem, fix));
        }
        if let Some(known) = known.filter(|known| !takes(&known.type_name, &logged.type_name)) {
            return Err(TargetError::LoggedOtherwise {
                table: relation.name.clone(),
                column: logged.name.clone(),
                logged: logged.type_name.clone(),
                known: known.type_name.clone(),
            });
        }
    }
    let logged = |column: &&TargetColumn| {
        relation.columns.iter().any(|l| l.name.to_lowercase() == column.name.to_lowercase())
    };
    let mut extra = Vec::new();
    for column in found.columns.iter().filter(|column| !column.generated && !logged(column)) {
        if !column.optional {
            let problem = format!("column {} has no value in it", column.name);
            return Err(misfit(problem, format!("DROP COLUMN {}", ident(&column.name))));
        }
        if !table.kept.contains(&column.name) {
            extra.push(column.name.clone());
        }
    }
    Ok(extra)
}
