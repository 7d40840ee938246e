//! Where in the log a table was emptied, or dropped, that a snapshot does not show any more.
//!
//! In: a table, and the log from its snapshot's position on, or from where it will be followed. Out: the
//! position behind the first statement that emptied it, or in front of the first that dropped it. There it has no row, exactly, so that nothing of it has to be read: all
//! that it holds later is in the log behind that place. Whatever else became of its definition before
//! that place is somebody else's case, and then there is no answer; nor is there one where the log
//! cannot be understood that far, which is told when it is followed. What stands in front of the place
//! where a table is dropped need not be read either, as nothing of it is left behind that place; what
//! becomes of the table there, and of another that comes under its name, is decided when the log is
//! followed, like anything else that it says. Only where the table got another name before would its rows
//! be missed under that.

use super::stretch::Stretch;
use crate::model::{Act, Failure, Position, Table};

/// The position behind the first statement in the log that emptied the table.
pub(super) async fn since(
    stretch: Stretch<'_>,
    table: &Table,
) -> Result<Option<Position>, Failure> {
    let from = stretch.from.clone();
    let Some((change, _)) = stretch.first(from, [table]).await? else { return Ok(None) };
    let emptied = change.act == Act::Truncate(table.name.clone());
    Ok(change.end.clone().filter(|_| emptied))
}

/// A position in front of the first statement in the log that dropped the table, behind all the rows
/// that it had until then.
pub(super) async fn before_drop(
    stretch: Stretch<'_>,
    table: &Table,
) -> Result<Option<Position>, Failure> {
    let mut from = stretch.from.clone();
    while let Some((change, before)) = stretch.first(from, [table]).await? {
        match &change.act {
            Act::Drop(tables) if tables.contains(&table.name) => return Ok(Some(before)),
            Act::Rename(_) => return Ok(None),
            Act::Alter(alter) if alter.table != alter.to => return Ok(None),
            Act::Alter(_)
            | Act::Create(_)
            | Act::Drop(_)
            | Act::Truncate(_)
            | Act::Other(_)
            | Act::Unnamed => {}
        }
        let Some(end) = change.end.clone() else { return Ok(None) };
        from = end;
    }
    Ok(None)
}
