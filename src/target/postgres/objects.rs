//! What else the target needs besides tables and their indexes: sequences' values, materialised
//! views' rows, statistics, large objects.
//!
//! In: values that were read on the source; for large objects a session on the source inside of
//! the snapshot. Out: the same on the target. It keeps no state: each function may be called
//! again and then ends in the same state, so nothing is lost or doubled by a restart.

use tokio_postgres::{Client, Row, Transaction};

use crate::connect::quote::{quote_ident, quote_literal, quote_name};
use crate::connect::{StatementError, attempting};
use crate::model::TableName;
use crate::model::objects::SequenceValue;

use super::schema::Ownership;

/// Sequences set by one statement: bounds the locks that one transaction holds.
const SEQUENCES_PER_STATEMENT: usize = 500;

/// Sets sequences to the given values. Returns those that the target lacks: they came into being
/// on the source after the schema was carried.
///
/// # Errors
///
/// A sequence may not be set.
pub async fn set_sequences(
    client: &Client,
    sequences: &[SequenceValue],
) -> Result<Vec<TableName>, StatementError> {
    let mut missing = Vec::new();
    for sequences in sequences.chunks(SEQUENCES_PER_STATEMENT) {
        let names: Vec<String> = sequences.iter().map(|s| quote_name(&s.name)).collect();
        let values: Vec<i64> = sequences.iter().map(|s| s.last_value).collect();
        let called: Vec<bool> = sequences.iter().map(|s| s.is_called).collect();
        // Both functions are strict: where there is no such sequence, the answer is NULL.
        let rows = client
            .query(
                "SELECT pg_catalog.setval(pg_catalog.to_regclass(w.name), w.value, w.called)
                 FROM unnest($1::text[], $2::int8[], $3::bool[])
                     WITH ORDINALITY AS w (name, value, called, place)
                 ORDER BY w.place",
                &[&names, &values, &called],
            )
            .await
            .map_err(attempting("set the sequences on the target"))?;
        let answers = rows.iter().map(|row| row.get::<_, Option<i64>>(0));
        let unset = sequences.iter().zip(answers).filter(|(_, answer)| answer.is_none());
        missing.extend(unset.map(|(sequence, _)| sequence.name.clone()));
    }
    Ok(missing)
}

/// Large objects that one transaction writes.
const OBJECTS_PER_BATCH: i64 = 128;

/// How much of each is read with the batch; what is longer follows piece by piece.
const FIRST_PIECE_BYTES: i32 = 64 << 10;

/// How much of a long one is in memory at once.
const PIECE_BYTES: i32 = 1 << 20;

/// What was copied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CopiedLargeObjects {
    /// Large objects.
    pub count: u64,
    /// Bytes in them.
    pub bytes: u64,
}

/// Copies all large objects under their own OIDs, replacing those that the target has under the
/// same ones. `source` stands in the snapshot's transaction.
///
/// Memory is bounded by a batch of first pieces and one further piece, whatever their sizes.
///
/// # Errors
///
/// Reading or writing failed; batches that were committed stay and are replaced next time.
pub async fn copy_large_objects(
    source: &Client,
    target: &mut Client,
    ownership: Ownership,
) -> Result<CopiedLargeObjects, StatementError> {
    let mut copied = CopiedLargeObjects::default();
    let mut after = 0u32;
    loop {
        let rows = source
            .query(
                include_str!("../../../sql/postgres/source_large_objects.sql"),
                &[&after, &OBJECTS_PER_BATCH, &FIRST_PIECE_BYTES],
            )
            .await
            .map_err(reading(after))?;
        let Some(last) = rows.last() else {
            return Ok(copied);
        };
        let next: u32 = last.get("oid");
        let batch = Batch { source, after, ownership };
        copied.bytes += batch.write(target, &rows).await?;
        copied.count += rows.len() as u64;
        after = next;
    }
}

struct Batch<'a> {
    source: &'a Client,
    after: u32,
    ownership: Ownership,
}

impl Batch<'_> {
    async fn write(&self, target: &mut Client, rows: &[Row]) -> Result<u64, StatementError> {
        let transaction = target.transaction().await.map_err(self.writing())?;
        let oids: Vec<u32> = rows.iter().map(|row| row.get("oid")).collect();
        let pieces: Vec<&[u8]> = rows.iter().map(|row| row.get("piece")).collect();
        transaction
            .query(
                "SELECT pg_catalog.lo_unlink(oid)
                 FROM pg_catalog.pg_largeobject_metadata WHERE oid = ANY ($1)",
                &[&oids],
            )
            .await
            .map_err(self.writing())?;
        transaction
            .query(
                "SELECT pg_catalog.lo_from_bytea(w.oid, w.piece)
                 FROM unnest($1::oid[], $2::bytea[]) AS w (oid, piece)",
                &[&oids, &pieces],
            )
            .await
            .map_err(self.writing())?;
        let mut bytes = 0;
        for (row, (&oid, piece)) in rows.iter().zip(oids.iter().zip(&pieces)) {
            bytes += piece.len() as u64;
            if piece.len() == FIRST_PIECE_BYTES as usize {
                bytes += self.write_rest(&transaction, oid).await?;
            }
            let properties = properties(row, oid, self.ownership);
            if !properties.is_empty() {
                transaction.batch_execute(&properties).await.map_err(self.writing())?;
            }
        }
        transaction.commit().await.map_err(self.writing())?;
        Ok(bytes)
    }

    async fn write_rest(&self, target: &Transaction<'_>, oid: u32) -> Result<u64, StatementError> {
        let first = i64::from(FIRST_PIECE_BYTES);
        let mut offset = first;
        loop {
            let row = self
                .source
                .query_one("SELECT pg_catalog.lo_get($1, $2, $3)", &[&oid, &offset, &PIECE_BYTES])
                .await
                .map_err(reading(self.after))?;
            let piece: &[u8] = row.get(0);
            if !piece.is_empty() {
                target
                    .execute("SELECT pg_catalog.lo_put($1, $2, $3)", &[&oid, &offset, &piece])
                    .await
                    .map_err(self.writing())?;
            }
            offset += piece.len() as i64;
            if piece.len() < PIECE_BYTES as usize {
                return Ok((offset - first).cast_unsigned());
            }
        }
    }

    fn writing(&self) -> impl FnOnce(tokio_postgres::Error) -> StatementError + use<> {
        attempting(format!("write large objects after {} to the target", self.after))
    }
}

fn reading(after: u32) -> impl FnOnce(tokio_postgres::Error) -> StatementError {
    attempting(format!("read large objects after {after} from the source"))
}

/// The statements that give a large object its comment, and its owner and privileges where they
/// travel.
fn properties(row: &Row, oid: u32, ownership: Ownership) -> String {
    let mut statements = Vec::new();
    if let Some(comment) = row.get::<_, Option<String>>("comment") {
        let comment = quote_literal(&comment);
        statements.push(format!("COMMENT ON LARGE OBJECT {oid} IS {comment}"));
    }
    if ownership.owners {
        let owner = quote_ident(row.get("owner"));
        statements.push(format!("ALTER LARGE OBJECT {oid} OWNER TO {owner}"));
    }
    if ownership.privileges {
        let grantees: Vec<Option<String>> = row.get("grantees");
        let privileges: Vec<String> = row.get("privileges");
        statements.extend(grantees.iter().zip(privileges).map(|(grantee, privilege)| {
            let (privilege, option) = match privilege.strip_suffix(" WITH GRANT OPTION") {
                Some(privilege) => (privilege, " WITH GRANT OPTION"),
                None => (privilege.as_str(), ""),
            };
            let grantee = grantee.as_deref().map_or("PUBLIC".to_owned(), quote_ident);
            format!("GRANT {privilege} ON LARGE OBJECT {oid} TO {grantee}{option}")
        }));
    }
    statements.join("; ")
}
