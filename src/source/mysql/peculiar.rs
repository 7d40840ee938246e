//! What of the source only servers of its own dialect have.
//!
//! In: the catalog, and which tables are wanted. Out: each part that a server of the other dialect
//! cannot have, or that is left out on the way there. It matters to nobody where both sides speak the
//! same; types and collations are looked at by the target, which knows its own.

use std::collections::HashSet;

use super::control::{Control, TextRow};
use super::relations::Tables;
use crate::connect::mysql::Flavour;
use crate::model::{Failure, Peculiarity, TableName};

/// MySQL's catalog tells of all this since.
const TOLD_SINCE: u32 = 80_016;

/// Reads it. `beside` are the names of what hangs on the tables.
pub(super) async fn parts(
    control: &Control,
    found: &Tables,
    beside: &[String],
) -> Result<Vec<Peculiarity>, Failure> {
    let text = match control.version().flavour {
        Flavour::MySql if control.version().number < TOLD_SINCE => return Ok(Vec::new()),
        Flavour::MySql => include_str!("../../../sql/mysql/source_peculiar_mysql.sql"),
        Flavour::MariaDb => include_str!("../../../sql/mysql/source_peculiar_mariadb.sql"),
    };
    let rows = control.rows(text, "look for what other servers do not have").await?;
    let wanted: HashSet<&TableName> = found.tables.iter().map(|table| &table.name).collect();
    let part = |row: &TextRow| {
        let table = TableName { schema: row.text(0), name: row.text(1) };
        wanted.contains(&table).then(|| Peculiarity {
            object: format!("{table}.{}", row.text(2)),
            seen: format!("it {}", row.text(3)),
            is_left_out: row.number(4) == 1,
        })
    };
    let sequence = |name: &TableName| Peculiarity {
        object: format!("sequence {name}"),
        seen: "it is a sequence".to_owned(),
        is_left_out: true,
    };
    let stored = |name: &String| Peculiarity {
        object: name.clone(),
        seen: "what it says is read by its own server".to_owned(),
        is_left_out: true,
    };
    let parts = rows.iter().filter_map(part);
    let parts = parts.chain(found.sequences.iter().map(sequence));
    Ok(parts.chain(beside.iter().map(stored)).collect())
}
