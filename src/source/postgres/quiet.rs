//! Whether the log holds anything for a migration that nobody follows, and whether others are at work.
//!
//! In: how far the target is. Out: yes or no, by a look at what the slot would send; nothing is
//! acknowledged by that ("Logical Decoding" in the manual: peeking consumes nothing). A server's log
//! grows without a change to any table, so its end alone does not tell.

use super::error::SourceError;
use super::{PostgresSource, replication};
use crate::connect::attempting;
use crate::model::{Failure, Position};
use crate::source::Lull;

/// Messages that are looked at, at most. Where there are more it is not quiet.
const MOST_MESSAGES: i32 = 10_000;

/// `object_in_use`: somebody follows the log.
const IN_USE: &str = "55006";

impl Lull for PostgresSource {
    async fn is_quiet_since(&self, position: &Position) -> Result<bool, Failure> {
        let names = &self.shared.names;
        let publications =
            names.publications().map(|name| crate::connect::quote::quote_ident(&name));
        let found = self
            .control()
            .query(
                "SELECT pg_catalog.substring(data, 1, 9) \
                 FROM pg_catalog.pg_logical_slot_peek_binary_changes($1, NULL, $2, \
                     'proto_version', '1', 'publication_names', $3)",
                &[&names.slot, &MOST_MESSAGES, &publications.join(",")],
            )
            .await;
        let rows = match found {
            Err(error) if error.code().is_some_and(|code| code.code() == IN_USE) => {
                return Ok(false);
            }
            rows => rows.map_err(attempting("look at what the replication slot would send"))?,
        };
        let messages: Vec<&[u8]> = rows.iter().map(|row| row.get(0)).collect();
        let few = messages.len() < MOST_MESSAGES.unsigned_abs() as usize;
        Ok(few && hold_nothing(&messages, replication::lsn(position).0))
    }

    async fn sessions_at_work(&self) -> Result<u64, Failure> {
        let text = include_str!("../../../sql/postgres/source_activity.sql");
        let row = self.control().query_one(text, &[]).await;
        let row = row.map_err(attempting("look how busy the source is"))?;
        if row.get::<_, bool>("hidden") {
            return Err(SourceError::ActivityHidden { role: row.get("role") }.into());
        }
        Ok(row.get::<_, i64>("at_work").unsigned_abs())
    }
}

/// Whether no transaction that commits at this position or later changes a row. A transaction begins
/// with `B` and the LSN of its commit ("Logical Replication Message Formats" in the manual).
fn hold_nothing(messages: &[&[u8]], position: u64) -> bool {
    let mut is_later = false;
    for message in messages {
        match message {
            [b'B', lsn @ ..] => {
                let lsn = lsn.first_chunk::<8>().copied().map(u64::from_be_bytes);
                is_later = lsn.is_none_or(|lsn| lsn >= position);
            }
            [b'I' | b'U' | b'D' | b'T', ..] if is_later => return false,
            _ => {}
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_changes_behind_the_position_count() {
        let begin = |lsn: u64| [&b"B"[..], &lsn.to_be_bytes()].concat();
        let (early, late) = (begin(99), begin(100));
        let before: Vec<&[u8]> = vec![&early, b"R", b"I", b"C", &late, b"R", b"C"];
        assert!(hold_nothing(&before, 100));
        let after: Vec<&[u8]> = vec![&early, b"I", b"C", &late, b"T", b"C"];
        assert!(!hold_nothing(&after, 100));
        assert!(hold_nothing(&after, 101));
    }
}
