//! Where a table is cut.
//!
//! In: a table with its key and its statistics. Out: ranges of its key without gap or overlap, of
//! about equal size. A key that begins with an integer is cut between values, by what the optimizer
//! expects to find between them: it looks into the index for that, and reads no rows. Where too many
//! rows share one first value, and where keys begin with anything else, the server walks the index
//! from border to border. No rows cross the wire but the borders, and a wrong guess makes chunks
//! uneven, never incomplete: a row belongs to the one range that the server's own comparison says.

use super::control::{Control, NO_SUCH_TABLE};
use super::range::{Walk, above, key_list};
use crate::connect::mysql::key::KeyForm;
use crate::connect::mysql::quote::{quote_ident, quote_name};
use crate::model::{ChunkRange, ColumnOrder, Failure, KeyBound, Table, pieces};

/// How much fuller than wanted a range of equal first values has to be before it is walked.
const OVERFULL: u64 = 2;

/// A range between two values of the key's first column is cut until it holds no more than this
/// part of what a chunk should: the pieces are then put together to chunks.
const GRAIN: u64 = 2;

/// At most so many times the chunks that are due: statistics may be far off.
const EXCESS: u64 = 8;

pub(super) async fn split(
    control: &Control,
    table: &Table,
    chunk_bytes: u64,
) -> Result<Vec<ChunkRange>, Failure> {
    let pieces = pieces(table.bytes, chunk_bytes);
    let has_form = |column| KeyForm::of(column).is_some();
    if pieces == 1 || table.primary_key.is_empty() || !table.key_columns().all(has_form) {
        return Ok(vec![ChunkRange::Whole]);
    }
    let walk = match control.walk(table).await {
        // It went, which whoever reads it sees to.
        Err(error) if error.number() == Some(NO_SUCH_TABLE) => return Ok(vec![ChunkRange::Whole]),
        walk => walk?,
    };
    let rows = (table.estimated_rows / pieces).max(1);
    let most = usize::try_from(pieces.saturating_mul(EXCESS)).unwrap_or(usize::MAX);
    let cut = Cut { control, table, walk, rows, most };
    let by_value = table.key_orders().next() == Some(ColumnOrder::Integer);
    let mut bounds = if by_value { cut.between_values().await? } else { Vec::new() };
    if bounds.is_empty() {
        // Also where the optimizer sees next to nothing between the first value and the last.
        bounds = cut.along(None).await?;
    }
    Ok(ranges(bounds))
}

struct Cut<'a> {
    control: &'a Control,
    table: &'a Table,
    walk: Walk,
    /// Rows that a chunk should have.
    rows: u64,
    /// Borders at most.
    most: usize,
}

/// Values of the key's first column, and how many rows are expected there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    first: i128,
    last: i128,
    rows: u64,
}

impl Cut<'_> {
    fn doing(&self) -> String {
        format!("look for the borders of chunks of table {}", self.table.name)
    }

    fn name(&self) -> String {
        format!("{}{}", quote_name(&self.table.name), self.walk.hint())
    }

    fn first_column(&self) -> String {
        self.table.key_columns().next().map(|column| quote_ident(&column.name)).unwrap_or_default()
    }

    async fn between_values(&self) -> Result<Vec<KeyBound>, Failure> {
        let column = self.first_column();
        let text = format!("SELECT MIN({column}), MAX({column}) FROM {}", self.name());
        let row = self.control.one(&text, &self.doing()).await?;
        let value = |index| row.maybe(index).and_then(|text| text.parse::<i128>().ok());
        let (Some(first), Some(last)) = (value(0), value(1)) else { return Ok(Vec::new()) };
        let spans = gathered(self.fine_spans(first, last).await?, self.rows);
        let mut bounds = Vec::new();
        for (at, span) in spans.iter().enumerate() {
            let border = if at == 0 { None } else { self.border(span.first).await? };
            bounds.extend(border);
            if span.first == span.last && span.rows > self.rows * OVERFULL && self.is_composite() {
                bounds.extend(self.along(Some(span.first)).await?);
            }
        }
        bounds.dedup();
        Ok(bounds)
    }

    fn is_composite(&self) -> bool {
        self.table.primary_key.len() > 1
    }

    /// All values from `first` to `last` in order, each span small or of one value.
    async fn fine_spans(&self, first: i128, last: i128) -> Result<Vec<Span>, Failure> {
        let grain = (self.rows / GRAIN).max(1);
        let mut fine = Vec::new();
        let mut open = vec![(first, last)];
        while let Some((first, last)) = open.pop() {
            let rows = self.expected(first, last).await?;
            let room = fine.len() + open.len() < self.most;
            if rows > grain && first < last && room {
                let middle = first + (last - first) / 2;
                open.push((middle + 1, last));
                open.push((first, middle));
            } else {
                fine.push(Span { first, last, rows });
            }
        }
        Ok(fine)
    }

    /// How many rows the optimizer expects between two values, themselves included.
    async fn expected(&self, first: i128, last: i128) -> Result<u64, Failure> {
        let column = self.first_column();
        let text = format!(
            "EXPLAIN FORMAT=TRADITIONAL SELECT {column} FROM {} WHERE {column} >= {first} AND {column} <= {last}",
            self.name()
        );
        let row = self.control.one(&text, &self.doing()).await?;
        Ok(row.named("rows").and_then(|text| text.parse().ok()).unwrap_or_default())
    }

    /// The border before the first key that begins with this value or a larger one.
    async fn border(&self, value: i128) -> Result<Option<KeyBound>, Failure> {
        if !self.is_composite() {
            return Ok(Some(vec![value.to_string()]));
        }
        let condition = format!("{} >= {value}", self.first_column());
        self.key_at(Some(&condition), 0).await
    }

    /// Borders along the keys, those that begin with one value or all, each a chunk's rows behind
    /// the one before.
    async fn along(&self, first_value: Option<i128>) -> Result<Vec<KeyBound>, Failure> {
        let within = first_value.map(|value| format!("{} = {value}", self.first_column()));
        let mut bounds: Vec<KeyBound> = Vec::new();
        while bounds.len() < self.most {
            let (behind, skipped) = match bounds.last() {
                None => (None, self.rows),
                Some(bound) => (above(self.table, bound), self.rows - 1),
            };
            let conditions: Vec<String> = within.clone().into_iter().chain(behind).collect();
            let condition = (!conditions.is_empty()).then(|| conditions.join(" AND "));
            match self.key_at(condition.as_deref(), skipped).await? {
                Some(bound) if bounds.last() != Some(&bound) => bounds.push(bound),
                Some(_) | None => break,
            }
        }
        Ok(bounds)
    }

    /// The key that comes after so many others.
    async fn key_at(
        &self,
        condition: Option<&str>,
        skipped: u64,
    ) -> Result<Option<KeyBound>, Failure> {
        let columns = self.table.key_columns().filter_map(|column| {
            let form = KeyForm::of(column)?;
            Some(form.select(column))
        });
        let text = format!(
            "SELECT {} FROM {}{} ORDER BY {} LIMIT {skipped}, 1",
            columns.collect::<Vec<_>>().join(", "),
            self.name(),
            condition.map(|condition| format!(" WHERE {condition}")).unwrap_or_default(),
            key_list(self.table),
        );
        let rows = self.control.rows(&text, &self.doing()).await?;
        let bound = |row: &super::control::TextRow| {
            (0..self.table.primary_key.len()).map(|index| row.text(index)).collect()
        };
        Ok(rows.first().map(bound))
    }
}

/// Puts neighbours together as long as they are no more than one chunk's rows.
fn gathered(fine: Vec<Span>, rows: u64) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::new();
    for span in fine {
        match spans.last_mut() {
            Some(last) if last.rows + span.rows <= rows => {
                last.last = span.last;
                last.rows += span.rows;
            }
            Some(_) | None => spans.push(span),
        }
    }
    spans
}

/// Ranges from border to border, open at either end.
fn ranges(bounds: Vec<KeyBound>) -> Vec<ChunkRange> {
    let mut from = None;
    let mut ranges = Vec::with_capacity(bounds.len() + 1);
    for bound in bounds {
        ranges.push(ChunkRange::Key { from: from.take(), until: Some(bound.clone()) });
        from = Some(bound);
    }
    ranges.push(ChunkRange::Key { from, until: None });
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_neighbours_make_one_chunk() {
        let span = |first, last, rows| Span { first, last, rows };
        let fine = vec![span(1, 5, 4), span(6, 10, 5), span(11, 11, 90), span(12, 20, 0)];
        let expected = [span(1, 10, 9), span(11, 11, 90), span(12, 20, 0)];
        assert_eq!(gathered(fine, 10), expected);
        assert_eq!(gathered(Vec::new(), 10), []);
    }

    #[test]
    fn ranges_have_neither_gap_nor_end() {
        let bound = |key: &str| vec![key.to_owned()];
        assert_eq!(
            ranges(vec![bound("5"), bound("9")]),
            [
                ChunkRange::Key { from: None, until: Some(bound("5")) },
                ChunkRange::Key { from: Some(bound("5")), until: Some(bound("9")) },
                ChunkRange::Key { from: Some(bound("9")), until: None },
            ]
        );
        assert_eq!(ranges(Vec::new()), [ChunkRange::Key { from: None, until: None }]);
    }
}
