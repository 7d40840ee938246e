//! The rows of chunks, straight from the server.
//!
//! In: a table and a range. Out: the body of a `LOAD DATA`, in buffers of a size that is worth
//! sending. Each chunk is read over a connection of the held snapshot, and afterwards the
//! connection goes back to the savepoint at its beginning: that keeps the snapshot and gives up the
//! lock on the table's definition, behind which an ALTER TABLE of the application and then every
//! later statement on the table would wait.
//!
//! Nothing is lost by that: whatever rewrites a table (TRUNCATE, most of ALTER TABLE) makes it
//! unreadable under an older snapshot, and the server says so (`ER_TABLE_DEF_CHANGED`). It is asked
//! before the chunk counts as begun, and from then on the table's definition is locked.

use std::collections::HashMap;

use bytes::{Bytes, BytesMut};

use super::control::{NO_SUCH_INDEX, NO_SUCH_TABLE};
use super::error::SourceError;
use super::fields::push_row;
use super::held::{Handle, HeldConnections, Lent};
use super::range::{self, Walk};
use super::snapshot::SAVEPOINT_NAME;
use crate::connect::mysql::wire::ResultSet;
use crate::connect::mysql::{Wire, WireError};
use crate::model::{Chunk, ChunkRange, Failure, RowForm, Table, TableId};
use crate::source::{ChunkReader, ChunkRows, Opened};

/// A buffer is passed on from this size.
const BUFFER_BYTES: usize = 256 << 10;

/// The errors of a table that was rewritten since the snapshot (`ER_TABLE_DEF_CHANGED`), has not
/// every column any more that it had (`ER_BAD_FIELD_ERROR`), or is not there.
const OVERTAKEN: [u16; 3] = [1412, 1054, NO_SUCH_TABLE];

/// Reads chunks over a connection that holds the snapshot.
pub struct MySqlReader {
    lent: Lent,
    walks: HashMap<TableId, Walk>,
}

/// Whether a table can be read under the snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Readable(Walk),
    /// It was rewritten since, lost a column, or is gone.
    Overtaken,
}

impl MySqlReader {
    pub(super) async fn new(held: &HeldConnections, handle: Handle) -> Result<Self, SourceError> {
        Ok(MySqlReader { lent: held.take(handle).await?, walks: HashMap::new() })
    }

    /// Locks a table's definition, and finds out whether the snapshot shows its rows.
    async fn standing(&mut self, table: &Table) -> Result<Standing, Failure> {
        let known = self.walks.get(&table.id).copied();
        let (wire, _) = self.lent.begin()?;
        let mut walk = known.unwrap_or(Walk::Primary);
        loop {
            let asked = wire.execute(range::columns_there(table)).await;
            let asked = match asked {
                Ok(_) => wire.execute(range::one_row_there(table, walk)).await,
                Err(error) => Err(error),
            };
            let Err(error) = asked else {
                self.walks.insert(table.id, walk);
                return Ok(Standing::Readable(walk));
            };
            match error.server().map(|server| server.number) {
                Some(NO_SUCH_INDEX) if walk == Walk::Primary => walk = Walk::Key,
                Some(number) if OVERTAKEN.contains(&number) => return Ok(Standing::Overtaken),
                Some(_) | None => return Err(error.into()),
            }
        }
    }

    async fn leave(&mut self) -> Result<(), Failure> {
        let (wire, sound) = self.lent.begin()?;
        back(wire).await?;
        *sound = true;
        Ok(())
    }
}

/// Gives up the locks of a chunk and keeps the snapshot.
async fn back(wire: &mut Wire) -> Result<(), WireError> {
    wire.execute(format!("ROLLBACK TO SAVEPOINT {SAVEPOINT_NAME}")).await?;
    Ok(())
}

impl ChunkReader for MySqlReader {
    type Rows<'a> = MySqlRows<'a>;

    async fn open<'a>(
        &'a mut self,
        table: &'a Table,
        chunk: &'a Chunk,
        _form: RowForm,
    ) -> Result<Opened<MySqlRows<'a>>, Failure> {
        let walk = match self.standing(table).await? {
            Standing::Readable(walk) => walk,
            Standing::Overtaken => {
                self.leave().await?;
                return Ok(Opened::Outdated);
            }
        };
        let (wire, sound) = self.lent.begin()?;
        let reading = Reading::begin(wire, table, &chunk.range, walk).await?;
        Ok(Opened::Rows(MySqlRows { reading: Some(reading), sound, rows: 0 }))
    }
}

/// The rows of one chunk.
pub struct MySqlRows<'a> {
    reading: Option<Reading<'a>>,
    sound: &'a mut bool,
    rows: u64,
}

impl ChunkRows for MySqlRows<'_> {
    async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        let Some(reading) = &mut self.reading else { return Ok(None) };
        if let Some(buffer) = reading.next_buffer().await? {
            self.rows = reading.rows;
            return Ok(Some(buffer));
        }
        if let Some(reading) = self.reading.take() {
            back(reading.set.into_wire()).await?;
            *self.sound = true;
        }
        Ok(None)
    }

    fn rows(&self) -> u64 {
        self.rows
    }
}

/// A result whose rows are turned into what is loaded.
pub(super) struct Reading<'a> {
    set: ResultSet<'a>,
    table: String,
    columns: usize,
    rows: u64,
    out: BytesMut,
}

impl<'a> Reading<'a> {
    /// Begins to read a range of a table.
    pub(super) async fn begin(
        wire: &'a mut Wire,
        table: &Table,
        range: &ChunkRange,
        walk: Walk,
    ) -> Result<Self, Failure> {
        let text = range::select(table, range, walk);
        let text = text.ok_or_else(|| SourceError::Range { table: table.name.to_string() })?;
        Ok(Reading::of(wire, table, &text).await?)
    }

    /// Begins to read the rows that a statement yields of a table.
    pub(super) async fn of(
        wire: &'a mut Wire,
        table: &Table,
        text: &str,
    ) -> Result<Self, WireError> {
        let set = wire.query(text).await?;
        let columns = set.columns().len();
        let out = BytesMut::with_capacity(BUFFER_BYTES);
        Ok(Reading { set, table: table.name.to_string(), columns, rows: 0, out })
    }

    /// How many rows have come.
    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    /// The next buffer of whole rows; None at the end.
    pub(super) async fn next_buffer(&mut self) -> Result<Option<Bytes>, Failure> {
        while let Some(row) = self.set.next().await? {
            let pushed = push_row(row, self.columns, &mut self.out);
            pushed.map_err(|_| SourceError::Row { table: self.table.clone() })?;
            self.rows += 1;
            if self.out.len() >= BUFFER_BYTES {
                let next = BytesMut::with_capacity(BUFFER_BYTES);
                return Ok(Some(std::mem::replace(&mut self.out, next).freeze()));
            }
        }
        let rest = std::mem::take(&mut self.out);
        Ok((!rest.is_empty()).then(|| rest.freeze()))
    }
}
