//! The form in which values are compared that the two sides do not write in one way.
//!
//! In: what either side's reader says of its columns, and rows as the servers write them. Out: rows in
//! which a value that both sides hold is the same text. Where both sides say the same of a column, its
//! text is left as it is, which is the strictest comparison; a table of such columns only is not looked
//! into at all. Nothing here knows an engine. A value that is not of its column's kind stays as it is,
//! so it differs from whatever is.

use super::document::Documents;
use super::rows::fields;
use crate::model::{Failure, Table, ValueKind};
use crate::source::PresentReader;

/// The form of a column's values.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Form {
    /// As the server writes them.
    AsItIs,
    /// Without zeros that are of no account.
    Number,
    /// Without blanks at the end.
    Unpadded,
    /// JSON by value.
    Document,
}

/// The forms of a table's fields; none where all are as the servers write them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Forms(Vec<Form>);

/// Every field as the server writes it.
pub(super) const AS_WRITTEN: &Forms = &Forms(Vec::new());

impl Forms {
    /// The forms in which rows of a table are compared. None where one side does not have it, or not
    /// all of its columns.
    pub(super) async fn of<R: PresentReader>(
        table: &Table,
        (source, target): (&mut R, &mut R),
    ) -> Result<Option<Forms>, Failure> {
        let kinds = tokio::try_join!(source.kinds(table), target.kinds(table))?;
        let (Some(source), Some(target)) = kinds else { return Ok(None) };
        Ok(Some(Forms::between(&source, &target)))
    }

    fn between(source: &[ValueKind], target: &[ValueKind]) -> Forms {
        let forms: Vec<Form> =
            source.iter().zip(target).map(|(one, other)| form(*one, *other)).collect();
        match forms.iter().all(|form| *form == Form::AsItIs) {
            true => Forms::default(),
            false => Forms(forms),
        }
    }

    /// What brings rows into these forms.
    pub(super) fn writer(&self) -> Writer<'_> {
        Writer {
            forms: &self.0,
            line: Vec::new(),
            plain: Vec::new(),
            documents: Documents::default(),
        }
    }
}

fn form(one: ValueKind, other: ValueKind) -> Form {
    use ValueKind::{Document, Number, Padded, Text};
    match (one, other) {
        (one, other) if one == other => Form::AsItIs,
        (Number { .. }, Number { .. }) => Form::Number,
        (Padded { .. }, Padded { .. }) => Form::Unpadded,
        (Document, Text) | (Text, Document) => Form::Document,
        _ => Form::AsItIs,
    }
}

/// Brings rows into their forms, in buffers that serve for one after the other.
pub(super) struct Writer<'a> {
    forms: &'a [Form],
    line: Vec<u8>,
    plain: Vec<u8>,
    documents: Documents,
}

impl Writer<'_> {
    /// A row in its form.
    pub(super) fn line<'l>(&'l mut self, line: &'l [u8]) -> &'l [u8] {
        if self.forms.is_empty() {
            return line;
        }
        self.line.clear();
        for (place, field) in fields(line).enumerate() {
            if place > 0 {
                self.line.push(b'\t');
            }
            let form = self.forms.get(place).copied().unwrap_or(Form::AsItIs);
            if !self.push(field, form) {
                self.line.extend_from_slice(field);
            }
        }
        &self.line
    }

    /// Appends a field in its form. False, and nothing is appended, where it is not of that kind.
    fn push(&mut self, field: &[u8], form: Form) -> bool {
        match form {
            Form::AsItIs => false,
            _ if field == NULL => false,
            Form::Number => push_number(&mut self.line, field),
            Form::Unpadded => {
                let blanks = field.iter().rev().take_while(|byte| **byte == b' ').count();
                self.line.extend_from_slice(&field[..field.len() - blanks]);
                true
            }
            Form::Document => {
                self.plain.clear();
                unescape(field, &mut self.plain);
                self.documents.push(&self.plain, &mut self.line)
            }
        }
    }
}

const NULL: &[u8] = b"\\N";

/// Appends the bytes of a field.
fn unescape(field: &[u8], plain: &mut Vec<u8>) {
    let mut rest = field;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        plain.extend_from_slice(&rest[..at]);
        let Some(escaped) = rest.get(at + 1) else { break };
        plain.push(match escaped {
            b't' => b'\t',
            b'n' => b'\n',
            b'r' => b'\r',
            b'b' => 0x08,
            b'f' => 0x0C,
            b'v' => 0x0B,
            other => *other,
        });
        rest = &rest[at + 2..];
    }
    plain.extend_from_slice(rest);
}

/// A number is written with up to so many zeros in the place of an exponent.
const MOST_ZEROS: i64 = 64;

/// Appends a number such that equal numbers are equal text, whatever their scale, their exponent and
/// the zeros before them. Its sign stays, a zero's too. False, and nothing is appended, where it is
/// none.
pub(super) fn push_number(out: &mut Vec<u8>, text: &[u8]) -> bool {
    let (sign, rest) = match text.split_first() {
        Some((b'-', rest)) => (&b"-"[..], rest),
        _ => (&b""[..], text),
    };
    let Some((whole, fraction, exponent)) = parts(rest) else { return false };
    let digits = || whole.iter().chain(fraction).copied();
    let len = whole.len() + fraction.len();
    out.extend_from_slice(sign);
    let Some(first) = digits().position(|digit| digit != b'0') else {
        out.push(b'0');
        return true;
    };
    let end = len - digits().rev().take_while(|digit| *digit == b'0').count();
    let digits = digits().skip(first).take(end - first);
    let count = (end - first) as i64;
    // The number is these digits, times ten to the power of this.
    let power = exponent + whole.len() as i64 - end as i64;
    let zeros = |count: i64| std::iter::repeat_n(b'0', usize::try_from(count).unwrap_or_default());
    match power {
        0..=MOST_ZEROS => {
            out.extend(digits);
            out.extend(zeros(power));
        }
        _ if power < 0 && -power - count <= MOST_ZEROS => {
            let whole = usize::try_from(count + power).unwrap_or_default();
            out.extend(digits.clone().take(whole));
            out.extend_from_slice(if whole == 0 { b"0." } else { b"." });
            out.extend(zeros(-power - count));
            out.extend(digits.skip(whole));
        }
        _ => {
            out.extend(digits);
            out.extend_from_slice(format!("e{power}").as_bytes());
        }
    }
    true
}

/// The digits before the point, those behind it, and the exponent.
fn parts(text: &[u8]) -> Option<(&[u8], &[u8], i64)> {
    let (mantissa, exponent) = match text.iter().position(|byte| matches!(byte, b'e' | b'E')) {
        Some(at) => {
            let exponent: i32 = std::str::from_utf8(&text[at + 1..]).ok()?.parse().ok()?;
            (&text[..at], i64::from(exponent))
        }
        None => (text, 0),
    };
    let (whole, fraction) = match mantissa.iter().position(|byte| *byte == b'.') {
        Some(at) => (&mantissa[..at], &mantissa[at + 1..]),
        None => (mantissa, &b""[..]),
    };
    let are_digits = |digits: &[u8]| digits.iter().all(u8::is_ascii_digit);
    let is_number = !whole.is_empty() && are_digits(whole) && are_digits(fraction);
    is_number.then_some((whole, fraction, exponent))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Option<String> {
        let mut out = Vec::new();
        push_number(&mut out, text.as_bytes()).then(|| String::from_utf8(out).unwrap())
    }

    #[test]
    fn equal_numbers_are_equal_text() {
        let same: [&[&str]; 6] = [
            &["0", "000", "0.00", "0e9"],
            &["42", "0042", "42.", "42.000", "4.2e1", "420e-1"],
            &["1.5", "1.50", "01.5", "15e-1", "0.15E+1"],
            &["-0.001", "-0.0010", "-1e-3"],
            &["100000", "1e5", "100000.0"],
            &["12e400", "1.2e401", "120e399"],
        ];
        for texts in same {
            let first = number(texts[0]);
            assert!(first.is_some(), "{texts:?}");
            assert!(texts.iter().all(|text| number(text) == first), "{texts:?} {first:?}");
        }
        let firsts: std::collections::BTreeSet<_> =
            same.iter().map(|texts| number(texts[0])).collect();
        assert_eq!(firsts.len(), same.len());
        assert_eq!(number("0042.500").as_deref(), Some("42.5"));
        assert_eq!(number("-1e-3").as_deref(), Some("-0.001"));
        assert_eq!(number("12e400").as_deref(), Some("12e400"));
        assert_eq!(number("12e-400").as_deref(), Some("12e-400"));
    }

    #[test]
    fn other_numbers_are_other_text_and_what_is_none_is_left() {
        assert_ne!(number("-0"), number("0"));
        assert_ne!(number("10"), number("1"));
        assert_ne!(number("0.1"), number("0.10000000000000001"));
        for text in ["", "-", ".5", "NaN", "Infinity", "1e", "1e99999999999", "1 ", "0x1", "1.2.3"]
        {
            assert_eq!(number(text), None, "{text}");
        }
    }

    fn lines(source: &[ValueKind], target: &[ValueKind], line: &str) -> String {
        let forms = Forms::between(source, target);
        let mut writer = forms.writer();
        String::from_utf8(writer.line(line.as_bytes()).to_vec()).unwrap()
    }

    #[test]
    fn what_both_sides_write_alike_is_left() {
        use ValueKind::{Document, Number, Padded, Plain, Text};
        let kinds = [Plain, Text, Padded { length: 9 }, Number { shape: 3 }, Document];
        let forms = Forms::between(&kinds, &kinds);
        assert_eq!(&forms, AS_WRITTEN);
        let line = "00\ta \tb  \t1.00\t{ }";
        assert_eq!(lines(&kinds, &kinds, line), line);
    }

    #[test]
    fn each_field_has_the_form_that_both_sides_have() {
        use ValueKind::{Document, Number, Padded, Plain, Text};
        let source = [Number { shape: 2 }, Padded { length: 9 }, Document, Plain, Text];
        let target = [Number { shape: 4 }, Padded { length: 5 }, Text, Plain, Text];
        let line = "1.50\ta b  \t{\"b\":[ 1.0],\"a\":\"\\\\\\\\\\\\n\"}\t1.50\t{ }";
        let expected = "1.5\ta b\t{\"a\":\"\\\\\\u000a\",\"b\":[1]}\t1.50\t{ }";
        assert_eq!(lines(&source, &target, line), expected);
        assert_eq!(lines(&target, &source, line), expected);
        let nulls = "\\N\t\\N\t\\N\t\\N\t\\N";
        assert_eq!(lines(&source, &target, nulls), nulls);
        let others = "NaN\t  \tno document\t\t";
        assert_eq!(lines(&source, &target, others), "NaN\t\tno document\t\t");
    }
}
