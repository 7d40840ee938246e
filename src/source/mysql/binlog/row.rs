//! Rows of an event into values.
//!
//! In come the rows of one event and the layout of their table; out go values, rendered into the
//! page, and changes. A column that is not in a row's image is *absent*, which is neither NULL nor
//! a value; what an update leaves out of the new row is taken from the old one where that has it.
//! Old rows of tables with a key are read for their key alone. Layout: `Rows_event` in the server's
//! rows_event.h.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::column::{Address, Kind};
use super::compression::{push_unpacked, unpack};
use super::cursor::{Cursor, bit};
use super::error::Problem;
use super::json::Value as Document;
use super::number::{decimal_len, push_decimal, push_double, push_fixed, push_i64, push_padded};
use super::page::Page;
use super::partial;
use super::table::Layout;
use super::temporal::{
    fraction_len, push_date, push_datetime, push_old_datetime, push_old_time, push_old_timestamp,
    push_time, push_timestamp, push_year,
};
use crate::model::{Change, Event, Row, TableName, ValueRef};

/// What an event did to its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    Insert,
    Update,
    /// An update whose new JSON documents may be told by what changed in them.
    PartialUpdate,
    Delete,
}

/// How an event of rows is laid out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Form {
    pub(super) deed: Deed,
    /// Since MySQL 5.6 there is room for more behind the flags.
    pub(super) extended: bool,
    /// MariaDB compressed the rows.
    pub(super) compressed: bool,
    /// Bytes of the table's number.
    pub(super) number_len: usize,
}

/// `NO_FOREIGN_KEY_CHECKS_F` in rows_event.h.
const NO_FOREIGN_KEY_CHECKS: u16 = 1 << 1;

/// The fixed part of an event of rows.
pub(super) struct Rows<'a> {
    /// The table's number in this file.
    pub(super) table: u64,
    /// The session that changed them had foreign keys rest.
    pub(super) keys_rest: bool,
    rest: Cursor<'a>,
    form: Form,
}

impl<'a> Rows<'a> {
    pub(super) fn read(body: &'a [u8], form: Form) -> Result<Self, Problem> {
        let mut cursor = Cursor::new(body, "the head of rows");
        let table = cursor.uint(form.number_len)?;
        let keys_rest = cursor.u16()? & NO_FOREIGN_KEY_CHECKS != 0;
        if form.extended {
            let len = usize::from(cursor.u16()?);
            let len = len.checked_sub(2).ok_or(Problem::Malformed("a length below itself"))?;
            cursor.take(len)?;
        }
        Ok(Rows { table, keys_rest, rest: cursor, form })
    }

    /// Renders the rows.
    pub(super) fn render(mut self, layout: &Layout, page: &mut Page) -> Result<(), Problem> {
        let width = self.rest.packed()?;
        if width != layout.columns.len() as u64 {
            return Err(Problem::OutOfPlace("its rows are of other columns than described"));
        }
        let first = self.rest.bitmap(layout.columns.len())?;
        let second = match self.form.deed {
            Deed::Update | Deed::PartialUpdate => self.rest.bitmap(layout.columns.len())?,
            Deed::Insert | Deed::Delete => first,
        };
        // Images without a column have no bytes either, and nobody could say how many there are.
        if !(0..layout.columns.len()).any(|column| bit(first, column)) {
            return Err(Problem::PartialRow(Box::new(layout.relation.name.clone())));
        }
        let unpacked;
        let mut rows = self.rest;
        if self.form.compressed {
            unpacked = unpack(rows.rest())?;
            rows = Cursor::new(&unpacked, "a row");
        }
        rows.now("a row");
        let mut reader = Reader { layout, page };
        while !rows.is_empty() {
            match self.form.deed {
                Deed::Insert => reader.insert(&mut rows, first)?,
                Deed::Delete => reader.delete(&mut rows, first)?,
                Deed::Update => reader.update(&mut rows, first, second)?,
                Deed::PartialUpdate => reader.partial_update(&mut rows, first, second)?,
            }
        }
        Ok(())
    }
}

struct Reader<'l, 'p> {
    layout: &'l Layout,
    page: &'p mut Page,
}

/// What is wanted of a row's image.
#[derive(Clone, Copy)]
enum Wanted<'a> {
    /// Just what names the row.
    Key,
    All,
    /// All, where some documents are told by what changed in them: a bit for each document, and the
    /// documents as they were.
    Merged {
        bits: &'a [u8],
        before: &'a [Option<&'a [u8]>],
    },
}

impl Reader<'_, '_> {
    fn table(&self) -> Box<TableName> {
        Box::new(self.layout.relation.name.clone())
    }

    fn push(&mut self, change: Change) {
        self.page.events.push(Event::Change(change));
    }

    fn of_old(&self) -> Wanted<'static> {
        if self.layout.keyed { Wanted::Key } else { Wanted::All }
    }

    fn insert(&mut self, rows: &mut Cursor<'_>, present: &[u8]) -> Result<(), Problem> {
        let new = self.row(rows, present, Wanted::All)?;
        if self.page.values[new.first as usize..].contains(&ValueRef::Absent) {
            return Err(Problem::PartialRow(self.table()));
        }
        self.push(Change::Insert { table: self.layout.relation.table, new });
        Ok(())
    }

    fn delete(&mut self, rows: &mut Cursor<'_>, present: &[u8]) -> Result<(), Problem> {
        let old = self.row(rows, present, self.of_old())?;
        self.push(Change::Delete { table: self.layout.relation.table, old });
        Ok(())
    }

    fn update(
        &mut self,
        rows: &mut Cursor<'_>,
        before: &[u8],
        after: &[u8],
    ) -> Result<(), Problem> {
        let old = self.row(rows, before, self.of_old())?;
        let new = self.row(rows, after, Wanted::All)?;
        self.finish_update(old, new);
        Ok(())
    }

    /// An update with a number before each new row that says whether documents are partial
    /// (`Partial_update_rows_log_event` in the server's log_event.h).
    fn partial_update(
        &mut self,
        rows: &mut Cursor<'_>,
        before: &[u8],
        after: &[u8],
    ) -> Result<(), Problem> {
        let image = *rows;
        let old = self.row(rows, before, self.of_old())?;
        let new = match rows.packed()? {
            0 => self.row(rows, after, Wanted::All)?,
            1 => {
                let bits = rows.bitmap(self.layout.documents)?;
                let documents = self.documents(image, before)?;
                self.row(rows, after, Wanted::Merged { bits, before: &documents })?
            }
            _ => return Err(Problem::Malformed("an unknown form of a row")),
        };
        self.finish_update(old, new);
        Ok(())
    }

    /// The documents in a row's image: None where there is none, or it is NULL.
    fn documents<'a>(
        &self,
        mut rows: Cursor<'a>,
        present: &[u8],
    ) -> Result<Vec<Option<&'a [u8]>>, Problem> {
        let mut documents = Vec::with_capacity(self.layout.documents);
        let nulls = rows.bitmap(count(present, self.layout.columns.len()))?;
        let mut index = 0;
        for (column, place) in self.layout.columns.iter().enumerate() {
            let mut value = None;
            if bit(present, column) {
                if !bit(nulls, index) {
                    value = Some(rows.take(value_len(&place.kind, rows)?)?);
                }
                index += 1;
            }
            if let Kind::Json(len) = place.kind {
                documents.push(value.and_then(|value| value.get(usize::from(len)..)));
            }
        }
        Ok(documents)
    }

    fn finish_update(&mut self, old: Row, new: Row) {
        let (first, len) = (old.first as usize, usize::from(old.len));
        let (olds, news) = self.page.values[first..].split_at_mut(len);
        for (new, old) in news.iter_mut().zip(olds.iter()) {
            if *new == ValueRef::Absent {
                *new = *old;
            }
        }
        let table = self.layout.relation.table;
        if self.layout.keyed && self.same_key(first, len) {
            self.page.values.drain(first..first + len);
            let new = Row { first: old.first, len: new.len };
            self.push(Change::Update { table, old: None, new });
        } else {
            self.push(Change::Update { table, old: Some(old), new });
        }
    }

    /// Whether the key of the old row at `first` is that of the new row behind it.
    fn same_key(&self, first: usize, len: usize) -> bool {
        let carried = self.layout.columns.iter().filter(|place| place.carried);
        let mut keys = carried.enumerate().filter(|(_, place)| place.key);
        keys.all(|(index, _)| {
            let old = self.page.values[first + index];
            let new = self.page.values[first + len + index];
            old == new || {
                let (old, new) = (self.page.text(old), self.page.text(new));
                old.is_some() && old == new
            }
        })
    }

    /// Reads a row's image.
    #[inline]
    fn row(
        &mut self,
        rows: &mut Cursor<'_>,
        present: &[u8],
        wanted: Wanted<'_>,
    ) -> Result<Row, Problem> {
        let first = self.page.values.len();
        let nulls = rows.bitmap(count(present, self.layout.columns.len()))?;
        let (mut index, mut document) = (0, 0);
        for (column, place) in self.layout.columns.iter().enumerate() {
            let is_document = matches!(place.kind, Kind::Json(_));
            document += usize::from(is_document);
            if !bit(present, column) {
                self.skip(place.carried);
                continue;
            }
            let null = bit(nulls, index);
            index += 1;
            let is_wanted = place.carried && (place.key || !matches!(wanted, Wanted::Key));
            let value = match wanted {
                _ if null => ValueRef::Null,
                Wanted::Merged { bits, before } if is_document && bit(bits, document - 1) => {
                    self.merged(rows, before.get(document - 1).copied().flatten())?
                }
                _ if is_wanted => {
                    let start = self.page.data.len();
                    push_value(&mut self.page.data, &place.kind, rows)?;
                    self.page.value_from(start)?
                }
                _ => {
                    rows.take(value_len(&place.kind, *rows)?)?;
                    ValueRef::Absent
                }
            };
            if is_wanted {
                self.page.values.push(value);
            } else {
                self.skip(place.carried);
            }
        }
        self.page.row_from(first)
    }

    fn skip(&mut self, carried: bool) {
        if carried {
            self.page.values.push(ValueRef::Absent);
        }
    }

    /// A document by what changed in it.
    fn merged(
        &mut self,
        rows: &mut Cursor<'_>,
        before: Option<&[u8]>,
    ) -> Result<ValueRef, Problem> {
        let len = rows.u32()? as usize;
        let changes = rows.take(len)?;
        let start = self.page.data.len();
        match before {
            Some(before) => {
                partial::push_merged(&mut self.page.data, before, changes)
                    .map_err(|_| Problem::PartialJson(self.table()))?;
                self.page.value_from(start)
            }
            None if changes.is_empty() => Ok(ValueRef::Absent),
            None => Err(Problem::PartialJson(self.table())),
        }
    }
}

/// How many of the first `bits` bits are set.
fn count(bitmap: &[u8], bits: usize) -> usize {
    let whole: u32 = bitmap.iter().take(bits / 8).map(|byte| byte.count_ones()).sum();
    let rest = bitmap.get(bits / 8).map_or(0, |byte| byte & ((1u16 << (bits % 8)) - 1) as u8);
    (whole + rest.count_ones()) as usize
}

/// Bytes of the value that `rows` begins with.
fn value_len(kind: &Kind, mut rows: Cursor<'_>) -> Result<usize, Problem> {
    Ok(match kind {
        Kind::Integer { len, .. } | Kind::Enum { len, .. } | Kind::Set { len, .. } => {
            usize::from(*len)
        }
        Kind::Float(_) | Kind::OldTimestamp => 4,
        Kind::Double(_) | Kind::OldDateTime => 8,
        Kind::Decimal { precision, scale } => {
            decimal_len(*precision, *scale).ok_or(Problem::Malformed("a DECIMAL that is none"))?
        }
        Kind::Date | Kind::OldTime => 3,
        Kind::Year => 1,
        Kind::Time(digits) => 3 + fraction_len(*digits),
        Kind::DateTime(digits) => 5 + fraction_len(*digits),
        Kind::Timestamp(digits) => 4 + fraction_len(*digits),
        Kind::Bits(len) => usize::from(*len),
        Kind::Address(_) => 1 + rows.u8().map(usize::from)?,
        Kind::Bytes(len) | Kind::Padded { len, .. } | Kind::Compressed(len) | Kind::Json(len) => {
            let value = rows.uint(usize::from(*len))?;
            usize::from(*len).saturating_add(usize::try_from(value).unwrap_or(usize::MAX))
        }
    })
}

/// Bytes behind their length.
#[inline]
fn bytes<'a>(rows: &mut Cursor<'a>, len: u8) -> Result<&'a [u8], Problem> {
    let len = match len {
        1 => usize::from(rows.u8()?),
        2 => usize::from(rows.u16()?),
        _ => usize::try_from(rows.uint(usize::from(len))?).unwrap_or(usize::MAX),
    };
    rows.take(len)
}

/// Reads a value and writes its text.
#[inline]
fn push_value(out: &mut Vec<u8>, kind: &Kind, rows: &mut Cursor<'_>) -> Result<(), Problem> {
    match kind {
        Kind::Integer { len, unsigned, width } => {
            let value = rows.uint(usize::from(*len))?;
            push_integer(out, value, *len, (*unsigned, *width));
        }
        Kind::Bytes(len) => out.extend_from_slice(bytes(rows, *len)?),
        Kind::Padded { len, width } => {
            let start = out.len();
            out.extend_from_slice(bytes(rows, *len)?);
            if out.len() - start < *width {
                out.resize(start + width, 0);
            }
        }
        Kind::Address(address) => push_address(out, *address, bytes(rows, 1)?)?,
        Kind::Compressed(len) => push_unpacked(out, bytes(rows, *len)?)?,
        Kind::Json(len) => Document::document(bytes(rows, *len)?).push(out, 0)?,
        Kind::Bits(len) => out.extend_from_slice(rows.take(usize::from(*len))?),
        Kind::Enum { len, labels } => push_label(out, rows.uint(usize::from(*len))?, labels)?,
        Kind::Set { len, labels } => push_labels(out, rows.uint(usize::from(*len))?, labels)?,
        Kind::Decimal { precision, scale } => push_decimal(out, rows, (*precision, *scale))?,
        Kind::Float(decimals) => {
            // Widened: the digits of a FLOAT alone would not find it again in a comparison.
            push_number(out, f64::from(f32::from_le_bytes(rows.array()?)), *decimals)?;
        }
        Kind::Double(decimals) => push_number(out, f64::from_le_bytes(rows.array()?), *decimals)?,
        Kind::Date => push_date(out, rows)?,
        Kind::Year => push_year(out, rows)?,
        Kind::OldTime => push_old_time(out, rows)?,
        Kind::OldDateTime => push_old_datetime(out, rows)?,
        Kind::OldTimestamp => push_old_timestamp(out, rows)?,
        Kind::Time(digits) => push_time(out, rows, *digits)?,
        Kind::DateTime(digits) => push_datetime(out, rows, *digits)?,
        Kind::Timestamp(digits) => push_timestamp(out, rows, *digits)?,
    }
    Ok(())
}

/// A value without its last bytes that are zero, as text.
fn push_address(out: &mut Vec<u8>, address: Address, value: &[u8]) -> Result<(), Problem> {
    let mut whole = [0; 16];
    let to = whole.get_mut(..value.len()).ok_or(Problem::Malformed("an address that is none"))?;
    to.copy_from_slice(value);
    let text = match address {
        Address::Inet4 => Ipv4Addr::new(whole[0], whole[1], whole[2], whole[3]).to_string(),
        Address::Inet6 => Ipv6Addr::from(whole).to_string(),
        Address::Uuid => uuid_text(whole),
    };
    out.extend_from_slice(text.as_bytes());
    Ok(())
}

/// MariaDB keeps the parts of a UUID of versions 1 to 5 in reverse, so that they sort by time
/// (plugin/type_uuid/sql_type_uuid.h); by where the variant stands it is told which it is.
fn uuid_text(stored: [u8; 16]) -> String {
    let reversed = stored[6] & 0x80 != 0 && (1..0x60).contains(&stored[8]);
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = stored;
    let bytes = match reversed {
        true => [m, n, o, p, k, l, i, j, g, h, a, b, c, d, e, f],
        false => stored,
    };
    let hex = |part: &[u8]| part.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let parts = [&bytes[..4], &bytes[4..6], &bytes[6..8], &bytes[8..10], &bytes[10..]];
    parts.map(hex).join("-")
}

fn push_number(out: &mut Vec<u8>, value: f64, decimals: Option<u8>) -> Result<(), Problem> {
    match decimals {
        Some(decimals) => push_fixed(out, value, decimals),
        None => push_double(out, value),
    }
}

#[inline]
fn push_integer(out: &mut Vec<u8>, value: u64, len: u8, (unsigned, width): (bool, u8)) {
    if unsigned {
        push_padded(out, value, usize::from(width));
    } else {
        let unused = 64 - 8 * u32::from(len);
        push_i64(out, (value << unused).cast_signed() >> unused);
    }
}

/// An ENUM's label by its number; 0 is the error value, which is printed as nothing.
fn push_label(out: &mut Vec<u8>, number: u64, labels: &[Box<[u8]>]) -> Result<(), Problem> {
    let Some(index) = number.checked_sub(1) else { return Ok(()) };
    let label = usize::try_from(index).ok().and_then(|index| labels.get(index));
    out.extend_from_slice(label.ok_or(Problem::Malformed("an ENUM without such a label"))?);
    Ok(())
}

/// A SET's labels, one for each bit.
fn push_labels(out: &mut Vec<u8>, bits: u64, labels: &[Box<[u8]>]) -> Result<(), Problem> {
    if labels.len() < 64 && bits >> labels.len() != 0 {
        return Err(Problem::Malformed("a SET without such labels"));
    }
    let mut first = true;
    for (_, label) in labels.iter().enumerate().filter(|(index, _)| bits >> index & 1 == 1) {
        if !first {
            out.push(b',');
        }
        first = false;
        out.extend_from_slice(label);
    }
    Ok(())
}
