//! XA transactions: what is prepared at one place of the log and decided upon at another.
//!
//! In: the events between XA START and XA PREPARE, and the transaction that decides. Out: the rows,
//! decoded where they are committed, as rows of the transaction that commits them; of one that is
//! rolled back, nothing. It knows nothing of tables: it keeps events as they came.
//!
//! Nothing is lost: what is kept is in memory, and no position is told that lies beyond a prepared
//! transaction before it is decided. GTIDs of MySQL leave it out: whoever asks for the log from there
//! is sent it again. Other positions cannot leave anything out: from a prepared transaction on all
//! that follows is told as one transaction, which ends where nothing is undecided any more. What is
//! too much to be kept is told at once, and is an error where it turns out to be prepared.

use std::collections::VecDeque;

use super::cursor::Cursor;
use super::error::Problem;
use super::format::kind;
use super::page::Page;
use super::row::Rows;
use super::{Decoder, PAGE_FULL, Rest, State, Transaction, advance};
use crate::model::{Event, Mark, Position};

/// So many bytes of events are kept at most.
const MOST_KEPT_BYTES: usize = 16 << 20;

/// What an event takes beside its bytes, about.
const EVENT_BYTES: usize = 64;

/// The name of an XA transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Xid {
    format: u32,
    global: Vec<u8>,
    branch: Vec<u8>,
}

impl Xid {
    /// Reads it as XA PREPARE has it (`XA_prepare_event` in control_events.h).
    fn read(cursor: &mut Cursor<'_>) -> Result<Self, Problem> {
        let format = cursor.u32()?;
        let (global, branch) = (cursor.u32()?, cursor.u32()?);
        let mut part = |len: u32| {
            let len = usize::try_from(len).unwrap_or(usize::MAX);
            cursor.take(len).map(<[u8]>::to_vec)
        };
        Ok(Xid { format, global: part(global)?, branch: part(branch)? })
    }

    /// Reads it as it stands in a statement: `XA COMMIT X'6c',X'62',1` (`serialize_xid` in xa.h).
    fn parse(statement: &[u8]) -> Result<Self, Problem> {
        let parsed = || {
            let text = std::str::from_utf8(statement).ok()?;
            let mut parts = text.split_ascii_whitespace().nth(2)?.split(',');
            let mut part = || digits(parts.next()?.strip_prefix("X'")?.strip_suffix('\'')?);
            let (global, branch) = (part()?, part()?);
            Some(Xid { format: parts.next()?.parse().ok()?, global, branch })
        };
        parsed().ok_or(Problem::Malformed("the name of an XA transaction that is none"))
    }
}

fn digits(text: &str) -> Option<Vec<u8>> {
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let whole = text.len().is_multiple_of(2);
    text.as_bytes().chunks(2).map(pair).collect::<Option<_>>().filter(|_| whole)
}

/// An event as it came: rows, or the description of their table.
#[derive(Debug)]
struct Kept {
    kind: u8,
    body: Vec<u8>,
}

/// The events of an XA transaction whose end has not come.
#[derive(Debug, Default)]
pub(super) struct Aside {
    events: Vec<Kept>,
    bytes: usize,
}

/// A prepared transaction.
#[derive(Debug)]
struct Prepared {
    xid: Xid,
    mark: Mark,
    aside: Aside,
}

/// Events that are decoded after all.
#[derive(Debug)]
struct Replay {
    events: VecDeque<Kept>,
    then: Then,
}

#[derive(Debug)]
enum Then {
    /// More of the same transaction comes.
    GoOn,
    /// The transaction ends, and decides the one with this mark.
    Commit(Option<Mark>),
}

/// What is prepared and not decided.
#[derive(Debug, Default)]
pub(super) struct Undecided {
    prepared: Vec<Prepared>,
    replay: Option<Replay>,
    /// Transactions were told whose end was not.
    unended: bool,
}

impl Undecided {
    fn bytes(&self) -> usize {
        self.prepared.iter().map(|prepared| prepared.aside.bytes).sum()
    }

    fn take(&mut self, xid: &Xid) -> Option<Prepared> {
        let place = self.prepared.iter().position(|prepared| prepared.xid == *xid)?;
        Some(self.prepared.remove(place))
    }

    /// Whether events are being decoded that came before.
    pub(super) fn is_replaying(&self) -> bool {
        self.replay.is_some()
    }

    fn replay(&mut self, aside: Aside, then: Then) {
        self.replay = Some(Replay { events: aside.events.into(), then });
    }
}

impl Decoder {
    /// Whether a position can lie beyond a transaction and leave it out.
    fn leaves_gaps(&self) -> bool {
        matches!(self.position, Position::MySql(_))
    }

    /// Whether everything before the position is decided, or left out of it.
    pub(super) fn is_settled(&self) -> bool {
        self.leaves_gaps() || self.undecided.prepared.is_empty()
    }

    /// XA START.
    pub(super) fn begin_xa(&mut self) -> Result<(), Problem> {
        self.open();
        match &mut self.state {
            State::Open(Transaction { aside: aside @ None, changed: None, .. }) => {
                *aside = Some(Aside::default());
                Ok(())
            }
            State::Open(_) | State::Named(_) | State::Between => {
                Err(Problem::OutOfPlace("another transaction has no end"))
            }
        }
    }

    /// Keeps an event of an XA transaction. False where it is none that is to be kept.
    pub(super) fn set_aside(&mut self, kind: u8, body: &[u8]) -> Result<bool, Problem> {
        let form = self.form(kind);
        let State::Open(transaction) = &mut self.state else { return Ok(false) };
        let Some(aside) = &mut transaction.aside else { return Ok(false) };
        match form {
            Some(form) => {
                let rows = Rows::read(body, form)?;
                let Some(Some(layout)) = self.numbered.get(rows.table) else { return Ok(false) };
                transaction.changed.get_or_insert_with(|| layout.relation.clone());
            }
            None if kind == kind::TABLE_MAP => {
                let number_len = self.format.table_id_len(kind);
                self.numbered.describe(&self.registry, body, number_len)?;
            }
            None => return Ok(false),
        }
        aside.events.push(Kept { kind, body: body.to_vec() });
        aside.bytes += body.len() + EVENT_BYTES;
        if aside.bytes + self.undecided.bytes() > MOST_KEPT_BYTES {
            let aside = std::mem::take(aside);
            transaction.aside = None;
            self.undecided.replay(aside, Then::GoOn);
        }
        Ok(true)
    }

    /// Decodes events that were kept, until the page is full.
    pub(super) fn replay(&mut self, page: &mut Page) -> Result<Rest, Problem> {
        let Some(mut replay) = self.undecided.replay.take() else { return Ok(Rest::Nothing) };
        while let Some(Kept { kind, body }) = replay.events.pop_front() {
            match self.form(kind) {
                Some(form) => self.rows(&body, form, page)?,
                None => {
                    let number_len = self.format.table_id_len(kind);
                    self.numbered.describe(&self.registry, &body, number_len)?;
                }
            }
            if page.bytes() >= PAGE_FULL {
                self.undecided.replay = Some(replay);
                return Ok(Rest::More);
            }
        }
        if let Then::Commit(decided) = replay.then {
            self.leave_out_no_more(decided.as_ref())?;
            self.commit(page)?;
        }
        Ok(Rest::Nothing)
    }

    /// The end of XA PREPARE, or of XA COMMIT ... ONE PHASE.
    pub(super) fn prepare(&mut self, body: &[u8], page: &mut Page) -> Result<(), Problem> {
        let mut cursor = Cursor::new(body, "an XA transaction");
        let one_phase = cursor.u8()? == 1;
        let leaves_gaps = self.leaves_gaps();
        let State::Open(transaction) = &mut self.state else { return self.commit(page) };
        if one_phase {
            return self.commit(page);
        }
        match (transaction.aside.take(), &transaction.changed) {
            // Where it can be left out, one without rows is too: who decides is always known then.
            (Some(aside), changed) if changed.is_some() || leaves_gaps => {
                let (xid, mark) = (Xid::read(&mut cursor)?, transaction.mark.clone());
                if !leaves_gaps {
                    advance(&mut self.position, &mark, self.next_offset)?;
                }
                self.state = State::Between;
                self.undecided.prepared.push(Prepared { xid, mark, aside });
                Ok(())
            }
            (None, Some(relation)) => Err(Problem::Prepared(Box::new(relation.name.clone()))),
            (Some(_) | None, _) => self.commit(page),
        }
    }

    /// XA COMMIT or XA ROLLBACK.
    pub(super) fn decide(
        &mut self,
        statement: &[u8],
        commits: bool,
        page: &mut Page,
    ) -> Result<(), Problem> {
        if matches!(self.state, State::Open(Transaction { aside: Some(_), .. })) {
            let decided = if commits { Ok(()) } else { self.rolled_back() };
            return decided.and_then(|()| self.commit(page));
        }
        match self.undecided.take(&Xid::parse(statement)?) {
            None if commits && self.leaves_gaps() => Err(Problem::Unprepared),
            None => self.commit(page),
            Some(Prepared { mark, .. }) if !commits => {
                self.leave_out_no_more(Some(&mark))?;
                self.commit(page)
            }
            Some(Prepared { mark, aside, .. }) => {
                self.open();
                self.undecided.replay(aside, Then::Commit(Some(mark)));
                Ok(())
            }
        }
    }

    /// Where an XA transaction ends by itself, its events are decoded, and it ends behind them.
    pub(super) fn ends_aside(&mut self) -> bool {
        let aside = match &mut self.state {
            State::Open(transaction) => transaction.aside.take(),
            State::Named(_) | State::Between => None,
        };
        let ends = aside.is_some();
        if let Some(aside) = aside {
            self.undecided.replay(aside, Then::Commit(None));
        }
        ends
    }

    /// A prepared transaction is decided: from here on it is contained.
    fn leave_out_no_more(&mut self, decided: Option<&Mark>) -> Result<(), Problem> {
        match decided {
            Some(mark) if self.leaves_gaps() => advance(&mut self.position, mark, self.next_offset),
            Some(_) | None => Ok(()),
        }
    }

    /// Tells the position behind a transaction, unless something before it is undecided.
    pub(super) fn tell_end(&mut self, told: bool, page: &mut Page) {
        let told = told | std::mem::take(&mut self.undecided.unended);
        match (self.is_settled(), told) {
            (false, told) => self.undecided.unended = told,
            (true, true) => page.events.push(Event::Commit { end: self.position.clone() }),
            (true, false) => page.idle(&self.position),
        }
    }
}
