//! Rows as lines of text: where each ends, what its hash is, and which of its fields are its key.
//!
//! In: the buffers of a reader, of whatever engine: a line for each row, a tab between two fields, and
//! neither within a value. Out: whole lines, one after the other. Nothing here knows what a value
//! means; NULL is written like no value, so two rows are equal where their lines are, once
//! `canonical` has brought them into one form.

use twox_hash::XxHash3_128;

use crate::model::Table;
use crate::model::verification::Digest;

/// Puts lines together that lie in several buffers.
#[derive(Debug, Default)]
pub(super) struct Lines {
    begun: Vec<u8>,
}

impl Lines {
    /// Gives every line that ends in this buffer, without its end.
    pub(super) fn feed(&mut self, buffer: &[u8], mut each: impl FnMut(&[u8])) {
        let mut start = 0;
        for end in memchr::memchr_iter(b'\n', buffer) {
            let line = &buffer[start..end];
            if self.begun.is_empty() {
                each(line);
            } else {
                self.begun.extend_from_slice(line);
                each(&self.begun);
                self.begun.clear();
            }
            start = end + 1;
        }
        self.begun.extend_from_slice(&buffer[start..]);
    }

    /// Whether every line has ended.
    pub(super) fn are_whole(&self) -> bool {
        self.begun.is_empty()
    }
}

/// A row's hash.
pub(super) fn hash(line: &[u8]) -> u128 {
    XxHash3_128::oneshot(line)
}

/// What a row is known by: the fields of its key, with a tab between two; or its hash, where its table
/// has no key.
pub(super) type Key = Box<[u8]>;

/// How rows of a table are known.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Keying {
    /// The places of the key's columns among the fields, in key order. Empty where there is no key.
    places: Vec<usize>,
}

impl Keying {
    pub(super) fn of(table: &Table) -> Self {
        let copied = |index: &usize| {
            let before = table.columns[..*index].iter().filter(|column| !column.generated);
            (!table.columns[*index].generated).then(|| before.count())
        };
        let places: Option<Vec<usize>> = table.primary_key.iter().map(copied).collect();
        Keying { places: places.unwrap_or_default() }
    }

    /// Whether there is a key.
    pub(super) fn is_by_key(&self) -> bool {
        !self.places.is_empty()
    }

    /// The key of the row with this line and hash.
    pub(super) fn key(&self, line: &[u8], hash: u128) -> Key {
        if self.places.is_empty() {
            return Box::from(hash.to_be_bytes());
        }
        let mut key = Vec::new();
        for (at, place) in self.places.iter().enumerate() {
            if at > 0 {
                key.push(b'\t');
            }
            key.extend_from_slice(fields(line).nth(*place).unwrap_or_default());
        }
        key.into_boxed_slice()
    }

    /// The key's columns and values; the hash under no name where there is no key.
    pub(super) fn named<'a>(
        &self,
        table: &'a Table,
        key: &'a [u8],
    ) -> Vec<(&'a str, Option<String>)> {
        if self.places.is_empty() {
            let digits = key.iter().map(|byte| format!("{byte:02x}"));
            return vec![("", Some(digits.collect()))];
        }
        let names = table.key_columns().map(|column| column.name.as_str());
        names.zip(fields(key).map(shown)).collect()
    }
}

/// The fields of a row.
pub(super) fn fields(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|byte| *byte == b'\t')
}

/// A value for the eye: escapes as they are, NULL where there is none.
fn shown(field: &[u8]) -> Option<String> {
    (field != b"\\N").then(|| String::from_utf8_lossy(field).into_owned())
}

/// All rows with one key, as they were seen on one side.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Seen {
    /// How many there are, and their hashes.
    pub(super) digest: Digest,
    /// A hash of each field of the last of them.
    columns: Vec<u64>,
    /// The last of them, where its values are to be shown.
    line: Option<Box<[u8]>>,
}

impl Seen {
    /// Takes a row in.
    pub(super) fn add(&mut self, line: &[u8], hash: u128, keeps_line: bool) {
        self.digest.add(hash);
        self.columns = fields(line).map(|field| self::hash(field) as u64).collect();
        self.line = keeps_line.then(|| Box::from(line));
    }

    /// The places of the fields that differ, where both sides have one row.
    pub(super) fn differing(&self, other: &Seen) -> Vec<usize> {
        if self.digest.rows != 1 || other.digest.rows != 1 {
            return Vec::new();
        }
        let pairs = self.columns.iter().zip(&other.columns).enumerate();
        pairs.filter(|(_, (one, another))| one != another).map(|(place, _)| place).collect()
    }

    /// Whether values can be shown.
    pub(super) fn has_line(&self) -> bool {
        self.line.is_some()
    }

    /// The value of a field, where lines were kept.
    pub(super) fn value(&self, place: usize) -> Option<String> {
        let line = self.line.as_deref()?;
        fields(line).nth(place).and_then(shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_whole_whatever_the_buffers() {
        let text = b"1\ta\n\n22\tb\\n\n";
        for cut in 0..=text.len() {
            let mut lines = Lines::default();
            let mut seen: Vec<Vec<u8>> = Vec::new();
            for part in [&text[..cut], &text[cut..]] {
                lines.feed(part, |line| seen.push(line.to_vec()));
            }
            assert_eq!(seen, [&b"1\ta"[..], b"", b"22\tb\\n"], "cut at {cut}");
            assert!(lines.are_whole());
        }
        let mut lines = Lines::default();
        lines.feed(b"1\n2", |_| {});
        assert!(!lines.are_whole());
    }

    #[test]
    fn a_key_is_taken_from_its_fields_in_key_order() {
        let keying = Keying { places: vec![2, 0] };
        assert_eq!(&*keying.key(b"a\t\\N\tc\td", 7), b"c\ta");
        let keyless = Keying { places: Vec::new() };
        assert_eq!(&*keyless.key(b"a", 7), 7u128.to_be_bytes());
    }

    #[test]
    fn fields_that_differ_are_named_by_place() {
        let seen = |line: &[u8]| {
            let mut seen = Seen::default();
            seen.add(line, hash(line), true);
            seen
        };
        let (one, another) = (seen(b"1\t\\N\tx"), seen(b"1\t\tx"));
        assert_eq!(one.differing(&another), [1]);
        assert_eq!((one.value(1), another.value(1)), (None, Some(String::new())));
        assert!(one.differing(&Seen::default()).is_empty());
    }
}
