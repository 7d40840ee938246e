//! Views, routines, triggers and events on the target: each as it was on the source.
//!
//! In: an object's `CREATE` statement, and the settings under which it was made, which the server
//! keeps with it. Out: the object under the same settings, definer included. What acts by itself is
//! made or enabled at the cutover only; what of this kind stands on the target before is read here,
//! to be made again by its own statement. It keeps no record: that is the schema's.

use super::TargetError;
use super::error::attempting;
use super::literal::{ident, name, text};
use super::session::{Session, field};
use crate::connect::mysql::StatementError;
use crate::connect::mysql::quote::quote_account;
use crate::connect::mysql::settings::SQL_MODE;
use crate::model::ddl::{StoredDdl, StoredKind};
use crate::model::{Failure, TableName};

/// What an object is called in logs.
pub(super) fn label(object: &StoredDdl) -> String {
    format!("{} {}", words(object.kind).to_lowercase(), object.name)
}

fn words(kind: StoredKind) -> &'static str {
    match kind {
        StoredKind::View => "VIEW",
        StoredKind::Trigger => "TRIGGER",
        StoredKind::Function => "FUNCTION",
        StoredKind::Procedure => "PROCEDURE",
        StoredKind::Package => "PACKAGE",
        StoredKind::PackageBody => "PACKAGE BODY",
        StoredKind::Event => "EVENT",
    }
}

/// Whether an object stands.
pub(super) async fn stands(session: &mut Session, object: &StoredDdl) -> Result<bool, Failure> {
    let routine = || format!(" AND routine_type = '{}'", words(object.kind));
    let (list, of, and) = match object.kind {
        StoredKind::View => ("views", "table", String::new()),
        StoredKind::Trigger => ("triggers", "trigger", String::new()),
        StoredKind::Event => ("events", "event", String::new()),
        StoredKind::Function
        | StoredKind::Procedure
        | StoredKind::Package
        | StoredKind::PackageBody => ("routines", "routine", routine()),
    };
    let query = format!(
        "SELECT 1 FROM information_schema.{list} \
         WHERE {of}_schema = {} AND {of}_name = {}{and}",
        text(&object.name.schema),
        text(&object.name.name)
    );
    let rows = session.rows(query).await;
    Ok(!rows.map_err(attempting(format!("look for {}", label(object))))?.is_empty())
}

/// Makes an object.
pub(super) async fn make(session: &mut Session, object: &StoredDdl) -> Result<(), TargetError> {
    let create = match object.kind {
        StoredKind::Event if object.enabled => disabled(&object.create),
        _ => object.create.clone(),
    };
    execute(session, object, &create).await
}

/// Enables an event, where it stands. One that was to run once at a moment that is over has run on
/// the source, and what it did there has come: it becomes here what it became there.
pub(super) async fn enable(session: &mut Session, event: &StoredDdl) -> Result<(), Failure> {
    let query = format!(
        "SELECT event_type = 'ONE TIME' \
             AND CONVERT_TZ(execute_at, time_zone, '+00:00') <= UTC_TIMESTAMP(), \
         on_completion = 'PRESERVE' FROM information_schema.events \
         WHERE event_schema = {} AND event_name = {}",
        text(&event.name.schema),
        text(&event.name.name)
    );
    let rows = session.rows(query).await;
    let rows = rows.map_err(attempting(format!("look for {}", label(event))))?;
    let Some(row) = rows.first() else { return Ok(()) };
    let (is_over, stays): (Option<bool>, bool) = (field(row, 0)?, field(row, 1)?);
    match (is_over.unwrap_or_default(), stays) {
        (false, _) => execute(session, event, &alter(event, "ENABLE")).await?,
        (true, false) => {
            let drop = format!("DROP EVENT IF EXISTS {}", ident(&event.name.name));
            execute(session, event, &drop).await?;
        }
        (true, true) => {}
    }
    Ok(())
}

/// Drops a trigger, or disables an event.
pub(super) async fn take_off(session: &mut Session, object: &StoredDdl) -> Result<(), TargetError> {
    match object.kind {
        StoredKind::Event => execute(session, object, &alter(object, "DISABLE")).await,
        kind => {
            let drop = format!("DROP {} IF EXISTS {}", words(kind), name(&object.name));
            execute(session, object, &drop).await
        }
    }
}

/// The statement that changes whether an event runs, and leaves it its definer, which would be the
/// account that runs it.
fn alter(event: &StoredDdl, state: &str) -> String {
    let definer = quote_account(&event.definer);
    format!("ALTER DEFINER = {definer} EVENT {} {state}", ident(&event.name.name))
}

/// What an operator runs to make an object.
pub(super) fn script(object: &StoredDdl) -> String {
    format!("{};\n{}", settings(object, &object.character_set_client), object.create)
}

/// What an operator runs to enable an event.
pub(super) fn script_of_enabling(event: &StoredDdl) -> String {
    format!("{};\n{}", settings(event, &event.character_set_client), alter(event, "ENABLE"))
}

/// The statements that bring about the settings of an object, for a client that writes in `client`.
fn settings(object: &StoredDdl, client: &str) -> String {
    let mut settings = format!(
        "USE {}; SET character_set_client = {client}, collation_connection = {}",
        ident(&object.name.schema),
        object.collation_connection
    );
    if let Some(mode) = &object.sql_mode {
        settings.push_str(&format!(", sql_mode = {}", text(mode)));
    }
    if let Some(zone) = &object.time_zone {
        settings.push_str(&format!(", time_zone = {}", text(zone)));
    }
    settings
}

/// Runs a statement about an object under the object's settings, in the character set that its text
/// was written in; in UTF-8 where that cannot hold it.
async fn execute(
    session: &mut Session,
    object: &StoredDdl,
    statement: &str,
) -> Result<(), TargetError> {
    let failed = |source| TargetError::Build { object: label(object), source };
    let preparing = || attempting("prepare a session");
    let own = &*object.character_set_client;
    let (client, bytes) = match encoded(session, statement, own).await.map_err(failed)? {
        Some(bytes) => (own, bytes),
        None => ("utf8mb4", statement.as_bytes().to_vec()),
    };
    let settings = settings(object, client);
    session.execute(settings).await.map_err(preparing()).map_err(failed)?;
    let done = session.execute(bytes).await;
    let done = done.map(drop).map_err(attempting(format!("make {}", label(object))));
    // What is written next is written for our own settings.
    let own = format!("SET NAMES utf8mb4; SET sql_mode = '{SQL_MODE}', time_zone = '+00:00'");
    let back = session.execute(own).await;
    done.map_err(failed)?;
    back.map(drop).map_err(preparing()).map_err(failed)
}

/// A text in a character set, as the server writes it; None where that loses something.
async fn encoded(
    session: &mut Session,
    statement: &str,
    charset: &str,
) -> Result<Option<Vec<u8>>, StatementError> {
    if statement.is_ascii() || charset.starts_with("utf8mb4") {
        return Ok(Some(statement.as_bytes().to_vec()));
    }
    let literal = text(statement);
    let query = format!(
        "SELECT CAST(CONVERT({literal} USING {charset}) AS BINARY), \
         CAST(CONVERT(CONVERT({literal} USING {charset}) USING utf8mb4) AS BINARY) = \
         CAST({literal} AS BINARY)"
    );
    let rows = session.rows(query).await;
    let rows = rows.map_err(attempting("write a definition in its own character set"))?;
    let Some(row) = rows.first() else { return Ok(None) };
    let whole: bool = field(row, 1).unwrap_or_default();
    Ok(if whole { field(row, 0).ok() } else { None })
}

/// The triggers of tables, and the enabled events of their databases.
pub(super) async fn acting(
    session: &mut Session,
    tables: &[TableName],
) -> Result<Vec<StoredDdl>, Failure> {
    let reading = || attempting("read the target's triggers and events");
    session.execute("SET NAMES utf8mb4").await.map_err(reading())?;
    let mut found = triggers(session, tables).await?;
    let names: Vec<String> = tables.iter().map(|table| text(&table.schema)).collect();
    let query = format!(
        "SELECT event_schema, event_name, definer, sql_mode, character_set_client, \
         collation_connection, time_zone FROM information_schema.events \
         WHERE status = 'ENABLED' AND event_schema IN ({})",
        names.join(", ")
    );
    let rows = session.rows(query).await.map_err(reading())?;
    for row in &rows {
        found.push(StoredDdl {
            name: TableName { schema: field(row, 0)?, name: field(row, 1)? },
            kind: StoredKind::Event,
            create: String::new(),
            definer: field(row, 2)?,
            sql_mode: Some(field(row, 3)?),
            character_set_client: field(row, 4)?,
            collation_connection: field(row, 5)?,
            time_zone: Some(field(row, 6)?),
            table: None,
            enabled: true,
        });
    }
    session.execute("SET NAMES binary").await.map_err(reading())?;
    Ok(found)
}

/// In the order in which they fire.
async fn triggers(session: &mut Session, tables: &[TableName]) -> Result<Vec<StoredDdl>, Failure> {
    let reading = || attempting("read the target's triggers");
    let names: Vec<String> = tables
        .iter()
        .map(|table| format!("({}, {})", text(&table.schema), text(&table.name)))
        .collect();
    let query = format!(
        "SELECT trigger_schema, trigger_name, event_object_table, definer \
         FROM information_schema.triggers \
         WHERE (event_object_schema, event_object_table) IN ({}) \
         ORDER BY event_object_schema, event_object_table, action_timing, event_manipulation, \
         action_order",
        names.join(", ")
    );
    let listed = session.rows(query).await.map_err(reading())?;
    let mut found = Vec::new();
    for row in &listed {
        let schema: String = field(row, 0)?;
        let name = TableName { schema: schema.clone(), name: field(row, 1)? };
        let query = format!("SHOW CREATE TRIGGER {}", super::literal::name(&name));
        let shown = session.rows(query).await.map_err(reading())?;
        let shown = shown.first().ok_or(TargetError::Answer { column: 0 })?;
        found.push(StoredDdl {
            name,
            kind: StoredKind::Trigger,
            create: field(shown, 2)?,
            definer: field(row, 3)?,
            sql_mode: Some(field(shown, 1)?),
            character_set_client: field(shown, 3)?,
            collation_connection: field(shown, 4)?,
            time_zone: None,
            table: Some(TableName { schema, name: field(row, 2)? }),
            enabled: false,
        });
    }
    Ok(found)
}

/// The statement of an event that says ENABLE outside of names: with DISABLE in its place.
fn disabled(create: &str) -> String {
    let mut quoted = false;
    for (at, byte) in create.bytes().enumerate() {
        quoted ^= matches!(byte, b'`' | b'\'');
        if !quoted && create.as_bytes()[at..].starts_with(b" ENABLE ") {
            return format!("{} DISABLE {}", &create[..at], &create[at + " ENABLE ".len()..]);
        }
    }
    create.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_disabled_and_not_its_name() {
        let create = |state: &str| {
            format!(
                "CREATE DEFINER=`an ENABLE d`@`%` EVENT `x ENABLE y` ON SCHEDULE EVERY 1 DAY STARTS \
                 '2026-01-01 00:00:00' ON COMPLETION NOT PRESERVE {state} DO SET @a = ' ENABLE '"
            )
        };
        assert_eq!(disabled(&create("ENABLE")), create("DISABLE"));
    }
}
