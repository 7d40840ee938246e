//! The next values of AUTO_INCREMENT columns and of sequences.
//!
//! In: names with the values that the source stands at. Out: the target set so that it gives none of
//! them again. A value is never set back: the server itself takes the highest one in a table where
//! that is more (manual, "AUTO_INCREMENT Handling in InnoDB").

use super::error::attempting;
use super::literal::{name, text};
use super::session::{Session, field};
use crate::model::{Failure, SequenceValue, TableName};

/// Sets each to go on behind the source's value; those of tables only where `tables_too`. Returns
/// those that are not there.
pub(super) async fn set(
    session: &mut Session,
    values: &[SequenceValue],
    tables_too: bool,
) -> Result<Vec<TableName>, Failure> {
    let mut missing = Vec::new();
    for value in values {
        match kind(session, &value.name).await? {
            None => missing.push(value.name.clone()),
            Some(Kind::Sequence) => {
                let called = u8::from(value.is_called);
                let statement =
                    format!("DO SETVAL({}, {}, {called})", name(&value.name), value.last_value);
                let act = format!("set sequence {}", value.name);
                session.execute(statement).await.map_err(attempting(act))?;
            }
            Some(Kind::Table { next }) => {
                let wanted = value.last_value.cast_unsigned() + u64::from(value.is_called);
                if tables_too && next.is_none_or(|next| next < wanted) {
                    let table = name(&value.name);
                    let statement = format!("ALTER TABLE {table} AUTO_INCREMENT = {wanted}");
                    let act = format!("set AUTO_INCREMENT of table {}", value.name);
                    session.execute(statement).await.map_err(attempting(act))?;
                }
            }
        }
    }
    Ok(missing)
}

/// What bears a name.
enum Kind {
    Sequence,
    /// A table, and the next value of its AUTO_INCREMENT column.
    Table {
        next: Option<u64>,
    },
}

async fn kind(session: &mut Session, name: &TableName) -> Result<Option<Kind>, Failure> {
    let query = format!(
        "SELECT table_type, auto_increment FROM information_schema.tables \
         WHERE table_schema = {} AND table_name = {}",
        text(&name.schema),
        text(&name.name)
    );
    let rows = session.rows(query).await;
    let rows = rows.map_err(attempting(format!("look for {name}")))?;
    let Some(row) = rows.first() else { return Ok(None) };
    let table_type: String = field(row, 0)?;
    Ok(Some(match table_type.as_str() {
        "SEQUENCE" => Kind::Sequence,
        _ => Kind::Table { next: field(row, 1)? },
    }))
}
