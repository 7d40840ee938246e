//! A binary log's events into batches.
//!
//! In come whole events, as they stand in a file or behind the zero byte of a packet; out come
//! [`Batch`](crate::model::Batch)es of transactions, rendered into [`Page`]s. What the decoder does
//! not know it refuses: an event that may carry changes and is not understood is an error, never
//! skipped. It knows the tables that are followed and what their columns are, and nothing of
//! connections, groups or targets.
//!
//! Nothing is lost or told twice: the position moves on only where a transaction ends (XID,
//! COMMIT, the end of a definition, the decision about what is prepared), never where it is named; a log that ends or begins
//! anew within a transaction is an error. Every event's checksum is verified before it is read.

mod charset;
pub(super) mod column;
mod compression;
mod cursor;
mod definition;
mod error;
mod format;
mod json;
mod names;
mod number;
mod page;
mod partial;
mod prepared;
mod query;
mod row;
mod table;
mod temporal;
mod token;

use std::collections::HashMap;
use std::sync::Arc;

pub(super) use self::charset::CharacterSets;
use self::compression::{Payload, unpack};
use self::cursor::Cursor;
use self::definition::Definition;
pub use self::error::{BinlogError, Place, Problem};
use self::format::{Format, HEADER_LEN, Header, kind};
pub use self::page::Page;
use self::prepared::{Aside, Undecided};
use self::query::Verb;
use self::row::{Deed, Form, Rows};
pub(super) use self::table::Habits;
use self::table::Numbered;
pub use self::table::Registry;
use crate::model::{
    BinlogPosition, Event, GtidSource, Mark, Position, Relation, SchemaChange, Statement, TableId,
};

/// A page of this size is handed on before more of a compressed transaction is unpacked.
const PAGE_FULL: usize = 1 << 20;

/// What is left of an event that was decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Rest {
    /// Nothing: the next event may come.
    Nothing,
    /// More than fits into a page; [`Decoder::go_on`] decodes it.
    More,
}

/// The state between events.
#[derive(Debug)]
pub struct Decoder {
    registry: Registry,
    /// Everything before this came.
    position: Position,
    /// Where the event stands that is being decoded.
    place: Place,
    /// Where the next one begins.
    next_offset: u64,
    format: Format,
    numbered: Numbered,
    /// The relations that were told, by table.
    told: HashMap<TableId, Arc<Relation>>,
    /// Who numbered the last transaction.
    source: Option<Arc<GtidSource>>,
    state: State,
    payload: Option<Payload>,
    undecided: Undecided,
    /// A definition was told: what follows is for whoever knows the tables as they are then.
    has_ended: bool,
}

#[derive(Debug)]
enum State {
    Between,
    /// A transaction was named; what it is comes next.
    Named(Transaction),
    Open(Transaction),
}

#[derive(Debug)]
struct Transaction {
    mark: Mark,
    committed_at_us: i64,
    /// Its beginning was told.
    told: bool,
    /// The first table of which it changed rows.
    changed: Option<Arc<Relation>>,
    /// An XA transaction's events, until its end says what becomes of them.
    aside: Option<Aside>,
    /// It announces a definition, or takes one back: what it holds is not done.
    void: bool,
}

impl Decoder {
    /// A decoder of the log from `position` on, whose kind says how transactions are named.
    #[must_use]
    pub fn new(registry: Registry, position: Position) -> Self {
        let (file, next_offset) = match &position {
            Position::Binlog(position) => (position.file().to_owned(), position.offset),
            Position::MySql(_) | Position::MariaDb(_) | Position::Postgres(_) => (String::new(), 0),
        };
        Decoder {
            registry,
            position,
            place: Place { file, offset: next_offset },
            next_offset,
            format: Format::default(),
            numbered: Numbered::default(),
            told: HashMap::new(),
            source: None,
            state: State::Between,
            payload: None,
            undecided: Undecided::default(),
            has_ended: false,
        }
    }

    /// Whether a definition was told, behind which this decoder knows the tables no more.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// Everything before this came.
    #[must_use]
    pub fn position(&self) -> &Position {
        &self.position
    }

    /// Goes on behind a definition, at `position`, with the tables as they are then.
    pub fn go_on_from(&mut self, registry: Registry, position: Position) {
        self.registry = registry;
        self.position = position;
        self.state = State::Between;
        self.has_ended = false;
        self.numbered.clear();
    }

    /// Decodes one event, header included.
    ///
    /// # Errors
    ///
    /// [`BinlogError`]; what came before the event is in the page, and some of its rows may be.
    pub fn decode(&mut self, event: &[u8], page: &mut Page) -> Result<Rest, BinlogError> {
        let kind = event.get(4).copied().unwrap_or_default();
        self.event(event, page).map_err(|problem| self.error(kind, problem))
    }

    /// Decodes more of an event of which there is a rest.
    ///
    /// # Errors
    ///
    /// As [`Self::decode`].
    pub fn go_on(&mut self, page: &mut Page) -> Result<Rest, BinlogError> {
        let rest = match self.replay(page) {
            Ok(Rest::Nothing) => self.unpack_payload(page),
            rest => rest,
        };
        rest.map_err(|problem| self.error(kind::TRANSACTION_PAYLOAD, problem))
    }

    fn error(&self, event: u8, problem: Problem) -> BinlogError {
        BinlogError { event, place: self.place.clone(), problem }
    }

    fn event(&mut self, event: &[u8], page: &mut Page) -> Result<Rest, Problem> {
        if self.has_ended {
            return Err(Problem::OutOfPlace("the tables were defined anew before it"));
        }
        let header = Header::read(event)?;
        self.place.offset = self.next_offset;
        let body = self.format.body(&header, event)?;
        if header.is_in_file() {
            self.advance(&header)?;
            if self.is_known(&header)? {
                return Ok(Rest::Nothing);
            }
        }
        match header.kind {
            kind::FORMAT_DESCRIPTION => {
                self.format = Format::read(&header, event)?;
                self.numbered.clear();
                match self.state {
                    State::Between => Ok(Rest::Nothing),
                    State::Named(_) | State::Open(_) => {
                        Err(Problem::OutOfPlace("a transaction before it has no end"))
                    }
                }
            }
            kind::TRANSACTION_PAYLOAD => {
                self.payload = Some(Payload::open(body)?);
                self.unpack_payload(page)
            }
            _ => {
                self.dispatch(&header, body, page)?;
                self.replay(page)
            }
        }
    }

    /// Whether the event stands before the position. So do some where the log could only be asked for
    /// from its file's beginning on.
    fn is_known(&self, header: &Header) -> Result<bool, Problem> {
        match &self.position {
            Position::Binlog(position)
                if position.file() == self.place.file && self.place.offset < position.offset =>
            {
                if self.next_offset > position.offset {
                    return Err(Problem::OutOfPlace("the position lies within it"));
                }
                Ok(header.kind != kind::FORMAT_DESCRIPTION)
            }
            _ => Ok(false),
        }
    }

    /// Moves behind an event of the file. Its end is told in four bytes only, if at all; without
    /// names of transactions the place is all there is, and has to fit exactly.
    fn advance(&mut self, header: &Header) -> Result<(), Problem> {
        let end = self.place.offset + u64::from(header.len);
        let told = (end & !u64::from(u32::MAX)) | u64::from(header.end);
        self.next_offset = match &self.position {
            _ if header.end == 0 || told == end => end,
            Position::Binlog(_) => {
                return Err(Problem::OutOfPlace("it does not stand where it says"));
            }
            // A server that follows names leaves out what is not needed.
            _ if told > self.place.offset => told,
            _ => told.saturating_add(1 << 32),
        };
        Ok(())
    }

    /// Unpacks events of a compressed transaction until the page is full.
    fn unpack_payload(&mut self, page: &mut Page) -> Result<Rest, Problem> {
        let Some(mut payload) = self.payload.take() else { return Ok(Rest::Nothing) };
        while let Some(event) = payload.next_event()? {
            let header = Header::read(event)?;
            let nested = [kind::TRANSACTION_PAYLOAD, kind::FORMAT_DESCRIPTION, kind::ROTATE];
            if nested.contains(&header.kind) {
                return Err(Problem::OutOfPlace("another stands within it"));
            }
            self.dispatch(&header, &event[HEADER_LEN..], page)?;
            if self.has_ended {
                return Ok(Rest::Nothing);
            }
            if page.bytes() >= PAGE_FULL || self.undecided.is_replaying() {
                self.payload = Some(payload);
                return Ok(Rest::More);
            }
        }
        Ok(Rest::Nothing)
    }

    fn dispatch(&mut self, header: &Header, body: &[u8], page: &mut Page) -> Result<(), Problem> {
        if self.set_aside(header.kind, body)? {
            return Ok(());
        }
        if let Some(form) = self.form(header.kind) {
            return self.rows(body, form, page);
        }
        match header.kind {
            kind::TABLE_MAP => {
                let number_len = self.format.table_id_len(header.kind);
                self.numbered.describe(&self.registry, body, number_len)
            }
            kind::QUERY => self.query(header, body, page),
            kind::MARIA_QUERY_COMPRESSED => self.query(header, body, page),
            kind::XID => self.commit(page),
            kind::GTID | kind::ANONYMOUS_GTID | kind::GTID_TAGGED | kind::MARIA_GTID => {
                self.name(header, body)
            }
            kind::XA_PREPARE => self.prepare(body, page),
            kind::ROTATE => self.rotate(body),
            kind::HEARTBEAT | kind::HEARTBEAT_V2 => {
                if matches!(self.state, State::Between) && self.is_settled() {
                    page.idle(&self.position);
                }
                Ok(())
            }
            // What a statement needs to be run again: where it changes rows, it is refused itself.
            kind::INTVAR | kind::RAND | kind::USER_VAR => Ok(()),
            kind::STOP
            | kind::SLAVE
            | kind::IGNORABLE
            | kind::ROWS_QUERY
            | kind::PREVIOUS_GTIDS
            | kind::TRANSACTION_CONTEXT
            | kind::VIEW_CHANGE
            | kind::MARIA_ANNOTATE_ROWS
            | kind::MARIA_BINLOG_CHECKPOINT
            | kind::MARIA_GTID_LIST => Ok(()),
            kind::INCIDENT => Err(Problem::Incident),
            kind::MARIA_START_ENCRYPTION if !header.is_ignorable() => Err(Problem::Encrypted),
            _ if header.is_ignorable() => Ok(()),
            _ => Err(Problem::UnknownType),
        }
    }

    /// How an event of rows is laid out; None of any other.
    fn form(&self, kind: u8) -> Option<Form> {
        let (deed, extended, compressed) = match kind {
            kind::WRITE_ROWS_V1 => (Deed::Insert, false, false),
            kind::UPDATE_ROWS_V1 => (Deed::Update, false, false),
            kind::DELETE_ROWS_V1 => (Deed::Delete, false, false),
            kind::WRITE_ROWS => (Deed::Insert, true, false),
            kind::UPDATE_ROWS => (Deed::Update, true, false),
            kind::DELETE_ROWS => (Deed::Delete, true, false),
            kind::PARTIAL_UPDATE_ROWS => (Deed::PartialUpdate, true, false),
            kind::MARIA_WRITE_ROWS_COMPRESSED_V1 => (Deed::Insert, false, true),
            kind::MARIA_UPDATE_ROWS_COMPRESSED_V1 => (Deed::Update, false, true),
            kind::MARIA_DELETE_ROWS_COMPRESSED_V1 => (Deed::Delete, false, true),
            kind::MARIA_WRITE_ROWS_COMPRESSED => (Deed::Insert, true, true),
            kind::MARIA_UPDATE_ROWS_COMPRESSED => (Deed::Update, true, true),
            kind::MARIA_DELETE_ROWS_COMPRESSED => (Deed::Delete, true, true),
            _ => return None,
        };
        let number_len = self.format.table_id_len(kind);
        Some(Form { deed, extended, compressed, number_len })
    }

    fn rows(&mut self, body: &[u8], form: Form, page: &mut Page) -> Result<(), Problem> {
        let rows = Rows::read(body, form)?;
        let State::Open(transaction) = &mut self.state else {
            return Err(Problem::OutOfPlace("it belongs to no transaction"));
        };
        let layout = match self.numbered.get(rows.table) {
            Some(Some(layout)) => layout,
            Some(None) => return Ok(()),
            // What ends a statement without rows (`Rows_log_event::do_apply_event`).
            None if rows.table == DUMMY_TABLE => return Ok(()),
            None => return Err(Problem::OutOfPlace("its table was not described before it")),
        };
        transaction.begin(page);
        let relation = layout.relation(rows.keys_rest);
        let told = self.told.get(&relation.table);
        if !told.is_some_and(|told| Arc::ptr_eq(told, relation) || told == relation) {
            page.events.push(Event::Relation(Arc::clone(relation)));
            self.told.insert(relation.table, Arc::clone(relation));
        }
        if transaction.changed.is_none() {
            transaction.changed = Some(Arc::clone(relation));
        }
        rows.render(layout, page)
    }

    /// Reads the name of the transaction that comes next.
    fn name(&mut self, header: &Header, body: &[u8]) -> Result<(), Problem> {
        if !matches!(self.state, State::Between) {
            return Err(Problem::OutOfPlace("another transaction has no end"));
        }
        let mut committed_at_us = i64::from(header.timestamp) * 1_000_000;
        let (mut open, mut void, mut aside) = (false, false, None);
        let mark = if header.kind == kind::MARIA_GTID {
            let named = names::read_maria(body, header.server)?;
            (open, void) = (!named.standalone, named.void);
            aside = named.prepares.then(Aside::default);
            Mark::MariaDb(named.gtid)
        } else {
            let named = match header.kind {
                kind::GTID_TAGGED => names::read_tagged(body)?,
                _ => names::read_gtid(body)?,
            };
            if named.committed_at_us > 0 {
                committed_at_us = named.committed_at_us.cast_signed();
            }
            match &self.position {
                Position::Binlog(position) => {
                    let file = BinlogPosition::new(
                        position.server_uuid(),
                        &self.place.file,
                        self.place.offset,
                    );
                    let same = position.file() == self.place.file;
                    Mark::Binlog(if same { position.at(self.place.offset) } else { file })
                }
                _ if header.kind == kind::ANONYMOUS_GTID => return Err(Problem::Anonymous),
                _ => {
                    let gtid = named.gtid(self.source.as_ref())?;
                    self.source = Some(Arc::clone(&gtid.source));
                    Mark::MySql(gtid)
                }
            }
        };
        if self.position.contains(&mark) {
            return Err(Problem::OutOfOrder);
        }
        let transaction =
            Transaction { mark, committed_at_us, told: false, changed: None, aside, void };
        self.state = if open { State::Open(transaction) } else { State::Named(transaction) };
        Ok(())
    }

    fn query(&mut self, header: &Header, body: &[u8], page: &mut Page) -> Result<(), Problem> {
        let origin = query::Origin { format: &self.format, server: self.registry.server() };
        let (statement, text) = query::read(body, header.timestamp, origin)?;
        let unpacked;
        let mut text = text;
        if header.kind == kind::MARIA_QUERY_COMPRESSED {
            unpacked = unpack(text)?;
            text = &unpacked;
        }
        let verb = query::verb(text);
        match (verb, &self.state) {
            (_, State::Between) => Err(Problem::OutOfPlace("it belongs to no transaction")),
            (_, State::Named(Transaction { void: true, .. })) => self.commit(page),
            (Verb::Begin, State::Open(_)) => {
                Err(Problem::OutOfPlace("another transaction has no end"))
            }
            (Verb::Begin, State::Named(_)) => {
                self.open();
                Ok(())
            }
            (Verb::XaBegin, _) => self.begin_xa(),
            (Verb::XaCommit, _) => self.decide(text, true, page),
            (Verb::XaRollback, _) => self.decide(text, false, page),
            (Verb::Commit, _) => self.commit(page),
            (Verb::Rollback, _) => self.rolled_back().and_then(|()| self.commit(page)),
            (Verb::RollbackToSavepoint, _) => self.rolled_back(),
            (Verb::Nothing, State::Open(_)) => Ok(()),
            (Verb::Nothing, State::Named(_)) => self.commit(page),
            (Verb::Change, _) => Err(Problem::Statement(statement.database.into())),
            (Verb::Beside { words, opens }, _) => {
                let (database, place) = (&statement.database, &self.place);
                tracing::warn!(
                    %place, database, "the source ran {words}, which is not carried over"
                );
                self.end_definition(opens, page)
            }
            (Verb::Define { opens }, _) => {
                let read = definition::read(text, &statement, self.registry.server().folds_case);
                let statement = Statement { text: text[..read.len].to_vec(), ..statement };
                self.define(read, statement, opens, page)
            }
        }
    }

    /// Tells a definition that concerns tables of the migration. One that makes a table that is
    /// known was seen to before.
    fn define(
        &mut self,
        Definition { act, cascades, template, .. }: Definition,
        statement: Statement,
        opens: bool,
        page: &mut Page,
    ) -> Result<(), Problem> {
        let told = query::told(&act, &statement.text);
        if !self.registry.is_concerned(&act, &statement) {
            tracing::info!(place = %self.place, "the source ran {told}, which is beside the tables");
            return self.end_definition(opens, page);
        }
        let (State::Named(transaction) | State::Open(transaction)) = &self.state else {
            return Err(Problem::OutOfPlace("it belongs to no transaction"));
        };
        if self.registry.passes_by(&transaction.mark) {
            return self.end_definition(opens, page);
        }
        if transaction.told {
            return Err(Problem::OutOfPlace("a definition stands behind rows"));
        }
        if !self.is_settled() {
            return Err(Problem::Undecided);
        }
        let alone = !opens && matches!(self.state, State::Named(_));
        let (mark, committed_at_us) = (transaction.mark.clone(), transaction.committed_at_us);
        let end = if alone { Some(self.beyond(&mark)?) } else { None };
        let selected = self.registry.selected(&act);
        let change = SchemaChange {
            mark,
            end,
            committed_at_us,
            act,
            unlogged: cascades && !self.registry.server().logs_cascades,
            template,
            selected,
            statement,
            told,
        };
        page.events.push(Event::Schema(Arc::new(change)));
        self.has_ended = true;
        Ok(())
    }

    /// A definition that stands alone ends its transaction, unless rows of its own follow.
    fn end_definition(&mut self, opens: bool, page: &mut Page) -> Result<(), Problem> {
        match self.state {
            State::Named(_) if opens => {
                self.open();
                Ok(())
            }
            State::Named(_) => self.commit(page),
            State::Open(_) | State::Between => Ok(()),
        }
    }

    fn open(&mut self) {
        self.state = match std::mem::replace(&mut self.state, State::Between) {
            State::Named(transaction) => State::Open(transaction),
            other => other,
        };
    }

    /// Refuses a roll-back of rows that were told.
    fn rolled_back(&self) -> Result<(), Problem> {
        match &self.state {
            State::Named(transaction) | State::Open(transaction) => match &transaction.changed {
                Some(relation) => Err(Problem::RolledBack(Box::new(relation.name.clone()))),
                None => Ok(()),
            },
            State::Between => Ok(()),
        }
    }

    /// The end of a transaction: only here the position moves on.
    fn commit(&mut self, page: &mut Page) -> Result<(), Problem> {
        if self.ends_aside() {
            return Ok(());
        }
        let transaction = match std::mem::replace(&mut self.state, State::Between) {
            State::Named(transaction) | State::Open(transaction) => transaction,
            State::Between => return Err(Problem::OutOfPlace("it belongs to no transaction")),
        };
        advance(&mut self.position, &transaction.mark, self.next_offset)?;
        self.tell_end(transaction.told, page);
        Ok(())
    }

    /// The position behind the transaction that is open or named, were it to end here.
    fn beyond(&self, mark: &Mark) -> Result<Position, Problem> {
        let mut position = self.position.clone();
        advance(&mut position, mark, self.next_offset)?;
        Ok(position)
    }

    /// The name of the file that the next event stands in.
    fn rotate(&mut self, body: &[u8]) -> Result<(), Problem> {
        let mut cursor = Cursor::new(body, "the name of the next file");
        let offset = cursor.u64()?;
        let name = std::str::from_utf8(cursor.rest());
        let name = name.map_err(|_| Problem::Malformed("a file name that is no text"))?;
        if name.is_empty() || name.contains(char::is_control) {
            return Err(Problem::Malformed("a file name that is none"));
        }
        if let Position::Binlog(position) = &self.position
            && position.file() == self.place.file
            && position.file() != name
            && self.next_offset < position.offset
        {
            return Err(Problem::OutOfPlace("the file before it ends before the position"));
        }
        self.place = Place { file: name.to_owned(), offset };
        self.next_offset = offset;
        self.numbered.clear();
        Ok(())
    }
}

/// Moves a position behind a transaction, where the log goes on at `offset`.
fn advance(position: &mut Position, mark: &Mark, offset: u64) -> Result<(), Problem> {
    match (position, mark) {
        (Position::MySql(executed), Mark::MySql(gtid)) => executed.add(gtid),
        (Position::MariaDb(executed), Mark::MariaDb(gtid)) => executed.add(*gtid),
        (Position::Binlog(position), Mark::Binlog(begin)) => *position = begin.at(offset),
        _ => return Err(Problem::OutOfPlace("the log is another engine's")),
    }
    Ok(())
}

/// The number in an event of rows that just ends a statement.
const DUMMY_TABLE: u64 = 0x00FF_FFFF;

impl Transaction {
    /// Tells the transaction's beginning, if it was not told.
    fn begin(&mut self, page: &mut Page) {
        if !self.told {
            self.told = true;
            let (mark, committed_at_us) = (self.mark.clone(), self.committed_at_us);
            page.events.push(Event::Begin { mark, committed_at_us });
        }
    }
}

#[cfg(test)]
mod tests;
