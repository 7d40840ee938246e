//! pgoutput messages into batches.
//!
//! In come the payloads of CopyData messages (XLogData and keepalives), as ranges of one buffer;
//! out comes one [`Batch`] whose values point into that buffer: no value is copied or allocated.
//! The decoder knows which tables are being copied by the source's OIDs and refuses rows of any
//! other. It keeps no row and applies nothing; what it cannot read is an error, never a panic and
//! never skipped, and what was decoded before the error stays good.
//!
//! Messages and their layout: "Logical Replication Message Formats" in the Postgres manual. That
//! a type message names the *base* type of a domain is found in the server's
//! `logicalrep_write_typ` (proto.c).

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use crate::model::{
    Batch, Change, Code, Disposition, Event, Fault, Halt, Lsn, Mark, Position, Relation,
    RelationColumn, Row, TableId, TableName, Truncate, ValueRef,
};

/// Microseconds between the Unix epoch and 2000-01-01, where Postgres begins to count.
pub(super) const POSTGRES_EPOCH_US: i64 = 946_684_800_000_000;

/// The log said something that cannot be read or carried.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// A message ends before its last field.
    #[error("a '{kind}' message of the log ends early")]
    Truncated {
        /// The message's type byte.
        kind: char,
    },
    /// A message of a kind that was not asked for.
    #[error("the log holds a message of the unexpected kind '{kind}'")]
    UnexpectedMessage {
        /// The message's type byte.
        kind: char,
    },
    /// A message that makes no sense where it stands.
    #[error("the log holds a '{kind}' message {problem}")]
    OutOfPlace {
        /// The message's type byte.
        kind: char,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A row of a partition whose identity does not tell the rows of its table apart.
    #[error(
        "the log holds changed rows of table {table}, of which those of its partition {partition} \
         are named by other columns"
    )]
    PartitionIdentity {
        /// The table that is copied as one.
        table: TableName,
        /// Its partition.
        partition: TableName,
    },
    /// A row of a table that is not part of the migration.
    #[error("the log holds rows of table {table}, which is not part of this migration")]
    UnknownTable {
        /// The table's name in the log.
        table: TableName,
    },
}

impl Fault for DecodeError {
    fn disposition(&self) -> Disposition {
        match self {
            DecodeError::Truncated { .. }
            | DecodeError::UnexpectedMessage { .. }
            | DecodeError::OutOfPlace { .. } => Halt::with(
                Code::ProtocolViolation,
                "nothing was skipped; if source and dunlin are of supported versions, report \
                 this with the source's version",
            ),
            DecodeError::PartitionIdentity { partition, .. } => Halt::with(
                Code::IdentityNeeded,
                format!(
                    "on the source: ALTER TABLE {partition} REPLICA IDENTITY FULL; then begin \
                     anew: `dunlin complete`, then `dunlin run --truncate-target '*'`"
                ),
            ),
            DecodeError::UnknownTable { table } => Halt::with(
                Code::PartitionsChanged,
                format!(
                    "{table} came into being on the source after the migration began: create it \
                     on the target likewise, empty, and run the same command again, which takes \
                     it in"
                ),
            ),
        }
    }
}

/// Tables as the log's messages know them.
#[derive(Debug, Default)]
pub struct Registry {
    /// The copied tables by their OID on the source.
    pub tables: HashMap<u32, TableId>,
    /// Those of them that are partitioned and copied as one.
    pub roots: HashMap<u32, Root>,
    /// Other partitioned tables, and known partitions of `roots`: their messages carry no rows.
    pub rowless: HashSet<u32>,
    /// Those partitions that came after their table was copied, with the transactions (or parts of
    /// them) that made them partitions.
    pub late: HashMap<u32, u32>,
    /// Qualified names of the built-in types by OID, for which no type message is sent.
    pub types: HashMap<u32, String>,
}

/// A partitioned table that is copied as one.
#[derive(Debug, Default)]
pub struct Root {
    /// The position that contains every row that its partitions had when they were copied.
    pub copied_at: Option<Position>,
    /// The columns of its primary key.
    pub primary_key: Vec<String>,
}

/// What a run of messages said.
#[derive(Debug, Default)]
pub struct Decoded {
    /// The events.
    pub batch: Batch,
    /// The server asks for a status update at once.
    pub reply_requested: bool,
    /// The furthest position that any message named.
    pub received: Option<Lsn>,
    /// How long after its commit the last of a transaction's messages was sent, in microseconds by
    /// the source's clock (of a standby: by two clocks).
    pub behind_us: Option<i64>,
}

/// The state between messages.
#[derive(Debug)]
pub struct Decoder {
    registry: Registry,
    relations: HashMap<u32, Known>,
    /// The relation that was described last.
    described: Option<u32>,
    transaction: Option<Mark>,
    /// When the transaction that began last was committed, in microseconds since 2000.
    committed_at: i64,
    /// The number of the transaction that began last.
    xid: u32,
    /// Partitions of which an old row may lack what tells the rows of their table apart, with that
    /// table.
    unfit: HashMap<u32, (u32, TableName)>,
}

#[derive(Debug, Clone)]
enum Known {
    Copied(Described),
    Rowless,
    Foreign(TableName),
}

/// A table whose rows are copied.
#[derive(Debug, Clone)]
struct Described {
    relation: Arc<Relation>,
    /// Its rows are those of partitions.
    root: bool,
    /// For each column, whether an old row has it that is not logged whole.
    named: Vec<bool>,
}

impl Decoder {
    /// A decoder at the start of a replication stream.
    #[must_use]
    pub fn new(registry: Registry) -> Self {
        Decoder {
            registry,
            relations: HashMap::new(),
            described: None,
            transaction: None,
            committed_at: 0,
            xid: 0,
            unfit: HashMap::new(),
        }
    }

    /// Decodes the CopyData payloads at `frames` of `data` into `decoded`.
    ///
    /// # Errors
    ///
    /// [`DecodeError`]; the events before the offending message are in `decoded`.
    pub fn decode(
        &mut self,
        data: &Bytes,
        frames: impl Iterator<Item = Range<usize>>,
        decoded: &mut Decoded,
    ) -> Result<(), DecodeError> {
        decoded.batch.data = data.clone();
        for frame in frames {
            self.frame(Cursor::new(data, frame), decoded)?;
        }
        Ok(())
    }

    fn frame(&mut self, mut cursor: Cursor<'_>, decoded: &mut Decoded) -> Result<(), DecodeError> {
        match cursor.kind()? {
            b'w' => {
                let start = Lsn(cursor.u64()?);
                let _end_of_log = cursor.u64()?;
                let sent_at = cursor.i64()?;
                decoded.received = decoded.received.max(Some(start));
                self.message(cursor, &mut decoded.batch)?;
                decoded.behind_us = Some(sent_at.saturating_sub(self.committed_at));
                Ok(())
            }
            b'k' => {
                let sent = Lsn(cursor.u64()?);
                let _sent_at = cursor.u64()?;
                decoded.reply_requested |= cursor.u8()? == 1;
                decoded.received = decoded.received.max(Some(sent));
                if self.transaction.is_none() {
                    let position = Position::Postgres(sent);
                    decoded.batch.events.push(Event::Idle { position });
                }
                Ok(())
            }
            other => Err(DecodeError::UnexpectedMessage { kind: other.into() }),
        }
    }

    fn message(&mut self, mut cursor: Cursor<'_>, batch: &mut Batch) -> Result<(), DecodeError> {
        match cursor.kind()? {
            b'B' => self.begin(cursor, batch),
            b'C' => self.commit(cursor, batch),
            b'I' => self.insert(cursor, batch),
            b'U' => self.update(cursor, batch),
            b'D' => self.delete(cursor, batch),
            b'T' => self.truncate(cursor, batch),
            b'R' => self.relation(cursor, batch),
            b'Y' => self.type_name(cursor),
            b'O' => Ok(()),
            other => Err(DecodeError::UnexpectedMessage { kind: other.into() }),
        }
    }

    fn begin(&mut self, mut cursor: Cursor<'_>, batch: &mut Batch) -> Result<(), DecodeError> {
        let mark = Mark::Postgres(Lsn(cursor.u64()?));
        self.committed_at = cursor.i64()?;
        let committed_at_us = self.committed_at.saturating_add(POSTGRES_EPOCH_US);
        self.xid = cursor.u32()?;
        if self.transaction.replace(mark.clone()).is_some() {
            return Err(cursor.out_of_place("inside another transaction"));
        }
        batch.events.push(Event::Begin { mark, committed_at_us });
        Ok(())
    }

    fn commit(&mut self, mut cursor: Cursor<'_>, batch: &mut Batch) -> Result<(), DecodeError> {
        let _flags = cursor.u8()?;
        let _commit = cursor.u64()?;
        let end = Position::Postgres(Lsn(cursor.u64()?));
        if self.transaction.take().is_none() {
            return Err(cursor.out_of_place("outside of a transaction"));
        }
        batch.events.push(Event::Commit { end });
        Ok(())
    }

    fn insert(&mut self, mut cursor: Cursor<'_>, batch: &mut Batch) -> Result<(), DecodeError> {
        let (_, Described { relation, .. }) = self.relation_of_row(&mut cursor)?;
        if cursor.u8()? != b'N' {
            return Err(cursor.out_of_place("without a new row"));
        }
        let new = cursor.row(relation, batch)?;
        batch.events.push(Event::Change(Change::Insert { table: relation.table, new }));
        Ok(())
    }

    fn update(&mut self, mut cursor: Cursor<'_>, batch: &mut Batch) -> Result<(), DecodeError> {
        let (oid, described) = self.relation_of_row(&mut cursor)?;
        let relation = &described.relation;
        self.ensure_named(oid, relation)?;
        let mut part = cursor.u8()?;
        let mut old = None;
        if part == b'K' || part == b'O' {
            old = Some(cursor.old_row(part, described, batch)?);
            part = cursor.u8()?;
        }
        if part != b'N' {
            return Err(cursor.out_of_place("without a new row"));
        }
        let new = cursor.row(relation, batch)?;
        batch.events.push(Event::Change(Change::Update { table: relation.table, old, new }));
        Ok(())
    }

    fn delete(&mut self, mut cursor: Cursor<'_>, batch: &mut Batch) -> Result<(), DecodeError> {
        let (oid, described) = self.relation_of_row(&mut cursor)?;
        let relation = &described.relation;
        self.ensure_named(oid, relation)?;
        let part = cursor.u8()?;
        if part != b'K' && part != b'O' {
            return Err(cursor.out_of_place("without an old row"));
        }
        let old = cursor.old_row(part, described, batch)?;
        batch.events.push(Event::Change(Change::Delete { table: relation.table, old }));
        Ok(())
    }

    /// Looks up the relation of a row message and checks that a transaction is open.
    fn relation_of_row(&self, cursor: &mut Cursor<'_>) -> Result<(u32, &Described), DecodeError> {
        let oid = cursor.u32()?;
        if self.transaction.is_none() {
            return Err(cursor.out_of_place("outside of a transaction"));
        }
        match self.relations.get(&oid) {
            Some(Known::Copied(described)) => Ok((oid, described)),
            Some(Known::Foreign(table)) => Err(DecodeError::UnknownTable { table: table.clone() }),
            Some(Known::Rowless) => Err(cursor.out_of_place("for a table without rows of its own")),
            None => Err(cursor.out_of_place("without a relation message before it")),
        }
    }

    fn truncate(&mut self, mut cursor: Cursor<'_>, batch: &mut Batch) -> Result<(), DecodeError> {
        let count = cursor.u32()?;
        let options = cursor.u8()?;
        if self.transaction.is_none() {
            return Err(cursor.out_of_place("outside of a transaction"));
        }
        let mut tables = Vec::new();
        for _ in 0..count {
            match self.relations.get(&cursor.u32()?) {
                Some(Known::Copied(described)) => tables.push(described.relation.table),
                Some(Known::Rowless) => {}
                Some(Known::Foreign(table)) => {
                    return Err(DecodeError::UnknownTable { table: table.clone() });
                }
                None => return Err(cursor.out_of_place("without a relation message before it")),
            }
        }
        if !tables.is_empty() {
            batch.events.push(Event::Truncate(Truncate {
                tables,
                cascade: options & 1 != 0,
                restart_identity: options & 2 != 0,
            }));
        }
        Ok(())
    }

    fn relation(&mut self, mut cursor: Cursor<'_>, batch: &mut Batch) -> Result<(), DecodeError> {
        let oid = cursor.u32()?;
        let schema = cursor.schema()?;
        let name = TableName { schema, name: cursor.text()? };
        let full = cursor.u8()? == b'f';
        let count = cursor.u16()?;
        let mut columns = Vec::with_capacity(usize::from(count));
        for _ in 0..count {
            let key = cursor.u8()? & 1 != 0;
            let name = cursor.text()?;
            let type_oid = cursor.u32()?;
            let type_modifier = cursor.i32()?;
            let type_name = match self.registry.types.get(&type_oid) {
                Some(name) => name.clone(),
                None => return Err(cursor.out_of_place("with a column of an unnamed type")),
            };
            columns.push(RelationColumn { name, type_name, type_modifier, key });
        }
        let partition_of = self.root_of_partition();
        let known = if let Some(&table) = self.registry.tables.get(&oid) {
            let relation = Arc::new(Relation { table, name, columns, full, cascades: false });
            let unchanged = matches!(self.relations.get(&oid), Some(Known::Copied(known))
                if known.relation == relation);
            if !unchanged {
                batch.events.push(Event::Relation(Arc::clone(&relation)));
            }
            Known::Copied(self.described_as(oid, relation))
        } else if let Some(root) = partition_of {
            batch.events.extend(self.unsettled(oid, root));
            if self.tells_rows_of(root, &columns, full) {
                self.unfit.remove(&oid);
            } else {
                self.unfit.insert(oid, (root, name));
            }
            Known::Rowless
        } else if self.registry.rowless.contains(&oid) {
            Known::Rowless
        } else {
            Known::Foreign(name)
        };
        self.relations.insert(oid, known);
        self.described = Some(oid);
        Ok(())
    }

    fn described_as(&self, oid: u32, relation: Arc<Relation>) -> Described {
        let root = self.registry.roots.get(&oid);
        let key = root.map(|root| &root.primary_key).filter(|key| !key.is_empty() && relation.full);
        let is_named = |column: &RelationColumn| match key {
            Some(key) => key.contains(&column.name),
            None => column.key,
        };
        let named = relation.columns.iter().map(is_named).collect();
        Described { relation, root: root.is_some(), named }
    }

    /// The table to which the next relation belongs as a partition, unless it is a table by itself:
    /// before a partition is described, the table is under whose name its rows come
    /// (`maybe_send_schema` in the server's pgoutput.c).
    fn root_of_partition(&self) -> Option<u32> {
        self.described.filter(|oid| self.registry.roots.contains_key(oid))
    }

    /// What rows of a partition mean to its table that is not known; or that is, but came in this
    /// very transaction, which may have emptied it too: then it keeps its file, and nothing else
    /// tells. (A part of a transaction has a later number than the whole.) What is contained in the
    /// copy means nothing.
    fn unsettled(&self, partition: u32, root: u32) -> Option<Event> {
        let settled = match self.registry.late.get(&partition) {
            Some(&came_in) => self.xid.wrapping_sub(came_in).cast_signed() > 0,
            None => self.registry.rowless.contains(&partition),
        };
        let table = *self.registry.tables.get(&root)?;
        (!settled && !self.is_contained(root)).then_some(Event::Unsettled { table })
    }

    /// Whether the open transaction is contained in the copy of a partitioned table.
    fn is_contained(&self, root: u32) -> bool {
        let copied_at = self.registry.roots.get(&root).and_then(|root| root.copied_at.as_ref());
        let open = self.transaction.as_ref();
        copied_at.zip(open).is_some_and(|(position, mark)| position.contains(mark))
    }

    /// Whether old rows of a partition hold all that tells the rows of its table apart. They hold
    /// what the partition's own identity says (`ExtractReplicaIdentity` in the server's heapam.c),
    /// whatever the table's says, by which they are announced (`logicalrep_write_update` in
    /// proto.c). One without identity has no old rows.
    fn tells_rows_of(&self, root: u32, columns: &[RelationColumn], full: bool) -> bool {
        let Some(Known::Copied(Described { relation, named, .. })) = self.relations.get(&root)
        else {
            return true;
        };
        if full || columns.iter().all(|column| !column.key) {
            return true;
        }
        let keyed = self.registry.roots.get(&root).is_some_and(|root| !root.primary_key.is_empty());
        let whole = relation.full && !keyed;
        let has = |name: &str| columns.iter().any(|column| column.key && column.name == name);
        let mut needed = relation.columns.iter().zip(named).filter(|(_, named)| **named);
        !whole && needed.all(|(column, _)| has(&column.name))
    }

    /// Makes sure that the old rows of a table are what they are announced as.
    fn ensure_named(&self, oid: u32, relation: &Relation) -> Result<(), DecodeError> {
        match self.unfit.values().find(|(root, _)| *root == oid) {
            Some((_, partition)) if !self.is_contained(oid) => {
                let (table, partition) = (relation.name.clone(), partition.clone());
                Err(DecodeError::PartitionIdentity { table, partition })
            }
            Some(_) | None => Ok(()),
        }
    }

    fn type_name(&mut self, mut cursor: Cursor<'_>) -> Result<(), DecodeError> {
        let oid = cursor.u32()?;
        let schema = cursor.schema()?;
        let name = cursor.text()?;
        self.registry.types.insert(oid, crate::connect::quote::type_name(&schema, &name));
        Ok(())
    }
}

/// A message that is being read; every read is checked against the message's end.
struct Cursor<'a> {
    data: &'a [u8],
    at: usize,
    end: usize,
    kind: u8,
}

impl<'a> Cursor<'a> {
    fn new(data: &'a [u8], frame: Range<usize>) -> Self {
        Cursor { data, at: frame.start, end: frame.end.min(data.len()), kind: b'?' }
    }

    fn out_of_place(&self, problem: &'static str) -> DecodeError {
        DecodeError::OutOfPlace { kind: self.kind.into(), problem }
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        if len > self.end.saturating_sub(self.at) {
            return Err(DecodeError::Truncated { kind: self.kind.into() });
        }
        let taken = &self.data[self.at..self.at + len];
        self.at += len;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn kind(&mut self) -> Result<u8, DecodeError> {
        self.kind = self.u8()?;
        Ok(self.kind)
    }

    fn u8(&mut self) -> Result<u8, DecodeError> {
        Ok(self.array::<1>()?[0])
    }

    fn u16(&mut self) -> Result<u16, DecodeError> {
        self.array().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_be_bytes)
    }

    fn i32(&mut self) -> Result<i32, DecodeError> {
        self.array().map(i32::from_be_bytes)
    }

    fn u64(&mut self) -> Result<u64, DecodeError> {
        self.array().map(u64::from_be_bytes)
    }

    fn i64(&mut self) -> Result<i64, DecodeError> {
        self.array().map(i64::from_be_bytes)
    }

    fn text(&mut self) -> Result<String, DecodeError> {
        let rest = &self.data[self.at..self.end.max(self.at)];
        let len =
            memchr::memchr(0, rest).ok_or(DecodeError::Truncated { kind: self.kind.into() })?;
        let text = String::from_utf8(self.take(len)?.to_vec())
            .map_err(|_| self.out_of_place("with a name that is not UTF-8"))?;
        self.take(1)?;
        Ok(text)
    }

    /// A schema's name; an empty one stands for pg_catalog.
    fn schema(&mut self) -> Result<String, DecodeError> {
        let schema = self.text()?;
        Ok(if schema.is_empty() { "pg_catalog".to_owned() } else { schema })
    }

    fn row(&mut self, relation: &Relation, batch: &mut Batch) -> Result<Row, DecodeError> {
        let len = self.u16()?;
        if usize::from(len) != relation.columns.len() {
            return Err(self.out_of_place("whose row does not fit its relation message"));
        }
        let too_far = |_| DecodeError::OutOfPlace { kind: 'w', problem: "beyond four gigabytes" };
        let first = u32::try_from(batch.values.len()).map_err(too_far)?;
        for _ in 0..len {
            let value = match self.u8()? {
                b'n' => ValueRef::Null,
                b'u' => ValueRef::Absent,
                b't' => {
                    let len = self.u32()?;
                    let start = u32::try_from(self.at).map_err(too_far)?;
                    self.take(len as usize)?;
                    ValueRef::Text { start, len }
                }
                _ => return Err(self.out_of_place("with a value of an unknown form")),
            };
            batch.values.push(value);
        }
        Ok(Row { first, len })
    }

    /// An old row. In one that holds the key only, the other columns are sent as NULL: they are
    /// absent. An old row of a partition may hold just that too, and be announced as a whole one
    /// since its table's are.
    fn old_row(
        &mut self,
        part: u8,
        described: &Described,
        batch: &mut Batch,
    ) -> Result<Row, DecodeError> {
        let row = self.row(&described.relation, batch)?;
        if part == b'K' || described.root {
            let values = &mut batch.values[row.first as usize..];
            for (value, named) in values.iter_mut().zip(&described.named) {
                if !named {
                    *value = ValueRef::Absent;
                }
            }
        }
        Ok(row)
    }
}

#[cfg(test)]
mod tests;
