//! A plan's cells as parameters and as COPY text, without a copy in between.
//!
//! Values go from the buffer that came from the source straight into the message for the target:
//! as elements of a `text[]` in its binary form, or escaped for COPY. NULL stays NULL; an absent
//! value here is a broken invariant of the planner and refused.

use bytes::{BufMut, BytesMut};
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};

use crate::model::{CellIndex, Plan, Value};

/// `text`'s OID, the same on every server.
const TEXT_OID: u32 = 25;

/// Which rows a parameter takes its elements from.
#[derive(Clone, Copy, Debug)]
pub(super) enum Rows<'a> {
    /// Keys with counts.
    Counted(&'a [(CellIndex, u32)]),
    /// Keys or rows.
    Plain(&'a [CellIndex]),
    /// The keys of updates.
    Olds(&'a [(CellIndex, CellIndex)]),
    /// The new rows of updates.
    News(&'a [(CellIndex, CellIndex)]),
}

impl Rows<'_> {
    pub(super) fn len(self) -> usize {
        match self {
            Rows::Counted(rows) => rows.len(),
            Rows::Plain(rows) => rows.len(),
            Rows::Olds(rows) | Rows::News(rows) => rows.len(),
        }
    }

    fn get(self, index: usize) -> CellIndex {
        match self {
            Rows::Counted(rows) => rows[index].0,
            Rows::Plain(rows) => rows[index],
            Rows::Olds(rows) => rows[index].0,
            Rows::News(rows) => rows[index].1,
        }
    }
}

/// What the elements of a parameter are.
#[derive(Clone, Copy, Debug)]
enum Elements {
    /// The value at this offset of each row.
    Column(u16),
    /// The count of each row.
    Count,
}

/// One column of many rows, as a `text[]`.
#[derive(Clone, Copy)]
pub(super) struct TextArray<'a> {
    plan: &'a Plan,
    rows: Rows<'a>,
    elements: Elements,
}

/// Cells of the plan are customers' data: they are never printed.
impl std::fmt::Debug for TextArray<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TextArray({} × {:?})", self.rows.len(), self.elements)
    }
}

impl<'a> TextArray<'a> {
    pub(super) fn column(plan: &'a Plan, rows: Rows<'a>, offset: u16) -> Self {
        TextArray { plan, rows, elements: Elements::Column(offset) }
    }

    pub(super) fn counts(plan: &'a Plan, rows: Rows<'a>) -> Self {
        TextArray { plan, rows, elements: Elements::Count }
    }

    fn put(&self, index: usize, out: &mut BytesMut) -> Result<bool, AbsentValue> {
        match self.elements {
            Elements::Column(offset) => match self.plan.at(self.rows.get(index), offset) {
                Value::Null => {
                    out.put_i32(-1);
                    Ok(true)
                }
                Value::Absent => Err(AbsentValue),
                Value::Text(text) => {
                    let len = i32::try_from(text.len()).map_err(|_| AbsentValue)?;
                    out.put_i32(len);
                    out.put_slice(text);
                    Ok(false)
                }
            },
            Elements::Count => {
                let count = match self.rows {
                    Rows::Counted(rows) => rows[index].1,
                    Rows::Plain(_) | Rows::Olds(_) | Rows::News(_) => 1,
                };
                let text = count.to_string();
                out.put_i32(text.len() as i32);
                out.put_slice(text.as_bytes());
                Ok(false)
            }
        }
    }
}

/// A value that is not in the log was to be written.
#[derive(Debug, thiserror::Error)]
#[error("a value that the log does not hold was to be written")]
pub(super) struct AbsentValue;

impl ToSql for TextArray<'_> {
    /// The binary form of an array: dimensions, whether there are NULLs, the elements' type, length
    /// and lower bound, then each element with its length (`array_recv` in arrayfuncs.c).
    fn to_sql(
        &self,
        _: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        out.put_i32(1);
        let has_null = out.len();
        out.put_i32(0);
        out.put_u32(TEXT_OID);
        out.put_i32(i32::try_from(self.rows.len())?);
        out.put_i32(1);
        let mut any_null = false;
        for index in 0..self.rows.len() {
            any_null |= self.put(index, out)?;
        }
        if any_null {
            out[has_null..has_null + 4].copy_from_slice(&1i32.to_be_bytes());
        }
        Ok(IsNull::No)
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::TEXT_ARRAY
    }

    to_sql_checked!();
}

/// Appends one row of COPY text ("COPY", "Text Format" in the Postgres manual).
pub(super) fn copy_row(
    plan: &Plan,
    row: CellIndex,
    width: u16,
    out: &mut BytesMut,
) -> Result<(), AbsentValue> {
    for column in 0..width {
        if column > 0 {
            out.put_u8(b'\t');
        }
        match plan.at(row, column) {
            Value::Null => out.put_slice(b"\\N"),
            Value::Absent => return Err(AbsentValue),
            Value::Text(text) => escape(text, out),
        }
    }
    out.put_u8(b'\n');
    Ok(())
}

/// Backslash, tab and the line ends are the only bytes that mean something.
fn escape(mut text: &[u8], out: &mut BytesMut) {
    while let Some(at) = text.iter().position(|byte| matches!(byte, b'\\' | b'\t' | b'\n' | b'\r'))
    {
        out.put_slice(&text[..at]);
        out.put_slice(match text[at] {
            b'\t' => b"\\t",
            b'\n' => b"\\n",
            b'\r' => b"\\r",
            _ => b"\\\\",
        });
        text = &text[at + 1..];
    }
    out.put_slice(text);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Batch, Cell, ValueRef};
    use std::sync::Arc;

    /// One batch "abc" and rows of two columns: (abc, NULL), ("", absent).
    fn plan() -> Plan {
        let batch = Batch { data: "abc".into(), ..Batch::default() };
        let text = |start, len| ValueRef::Text { start, len };
        let values = [text(0, 3), ValueRef::Null, text(3, 0), ValueRef::Absent];
        let cells = values.map(|value| Cell { batch: 0, value }).to_vec();
        Plan { batches: vec![Arc::new(batch)], cells, steps: Vec::new() }
    }

    fn bytes(array: &TextArray<'_>) -> Option<Vec<u8>> {
        let mut out = BytesMut::new();
        array.to_sql(&Type::TEXT_ARRAY, &mut out).ok()?;
        Some(out.to_vec())
    }

    #[test]
    fn an_array_says_its_length_and_whether_it_holds_nulls() {
        let plan = plan();
        let texts = bytes(&TextArray::column(&plan, Rows::Plain(&[0, 2]), 0)).unwrap();
        let header = [0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 25, 0, 0, 0, 2, 0, 0, 0, 1];
        let elements = [0, 0, 0, 3, b'a', b'b', b'c', 0, 0, 0, 0];
        assert_eq!(texts, [&header[..], &elements[..]].concat());
        let null = bytes(&TextArray::column(&plan, Rows::Plain(&[0]), 1)).unwrap();
        assert_eq!(null[4..8], [0, 0, 0, 1], "there are NULLs");
        assert_eq!(null[20..], [0xFF; 4]);
    }

    #[test]
    fn keys_rows_and_counts_come_from_their_own_places() {
        let plan = plan();
        let updates = [(2, 0)];
        let element = |array: TextArray<'_>| bytes(&array).unwrap()[24..].to_vec();
        assert_eq!(element(TextArray::column(&plan, Rows::Olds(&updates), 0)), b"");
        assert_eq!(element(TextArray::column(&plan, Rows::News(&updates), 0)), b"abc");
        let counted = [(0, 17)];
        assert_eq!(element(TextArray::column(&plan, Rows::Counted(&counted), 0)), b"abc");
        assert_eq!(element(TextArray::counts(&plan, Rows::Counted(&counted))), b"17");
    }

    #[test]
    fn an_absent_value_is_never_written() {
        let plan = plan();
        assert_eq!(bytes(&TextArray::column(&plan, Rows::Plain(&[2]), 1)), None);
        assert!(copy_row(&plan, 2, 2, &mut BytesMut::new()).is_err());
    }

    #[test]
    fn copy_text_tells_null_from_nothing() {
        let mut out = BytesMut::new();
        copy_row(&plan(), 0, 2, &mut out).unwrap();
        copy_row(&plan(), 2, 1, &mut out).unwrap();
        copy_row(&plan(), 0, 0, &mut out).unwrap();
        assert_eq!(&out[..], b"abc\t\\N\n\n\n");
    }

    #[test]
    fn copy_text_escapes_what_has_a_meaning() {
        let mut out = BytesMut::new();
        escape(b"a\\b\tc\nd\re\\.", &mut out);
        assert_eq!(&out[..], b"a\\\\b\\tc\\nd\\re\\\\.");
    }
}
