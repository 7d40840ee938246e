//! The order of keys, outside of the server that holds them.
//!
//! In: a key column's value as text, in the form in which the source's sessions are set to write
//! it, be it in the log or at a chunk's border. Out: a [`KeyPart`], which compares as the server
//! compares the value. Nothing in here knows an engine: a [`ColumnOrder`] names an order and the
//! texts that it reads, and a source says which of its columns have one.
//!
//! A row that is assigned to the wrong chunk is lost or doubled. So nothing is guessed: a text
//! outside of the form that is described here is not read at all, and its table becomes the unit.

use std::borrow::Cow;
use std::cmp::Reverse;

use serde::{Deserialize, Serialize};

/// How a key column's order is reproduced outside of the server.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ColumnOrder {
    /// By value: an integer, signed or not, of at most 64 bits.
    Integer,
    /// By value: `-12.340`, of any length, without exponent. `-Infinity` comes first, then the
    /// numbers, `Infinity`, and `NaN`. Zeros at either end do not count.
    Decimal,
    /// `f` or `false` before `t` or `true`.
    Boolean,
    /// By time: `2024-02-29`, or `2024-02-29 13:14:15.678901`, which an offset from UTC may
    /// follow (`+05:30`), and ` BC` where the year is before the first. `-infinity` comes first,
    /// `infinity` last.
    Moment,
    /// By time since midnight: `13:14:15.678901`, up to `24:00:00`.
    TimeOfDay,
    /// By the sixteen bytes of a UUID.
    Uuid,
    /// By bytes, which are written as lower-case hexadecimal digits behind `\x`.
    Bytes,
    /// By bytes, which are in the log as they are, and at a chunk's border as those of `Bytes`.
    RawBytes,
    /// Text, by its own bytes: a binary collation, and no other encoding than the log's.
    Text,
    /// The same, where spaces at the end do not count.
    PaddedText,
    /// It cannot be: text under the rules of a language, enums, arrays, composites and the rest.
    Opaque,
}

/// One column of a key, comparable with others that were read by the same [`ColumnOrder`].
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct KeyPart<'a>(Part<'a>);

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Part<'a> {
    /// An integer; microseconds; false and true.
    Number(i128),
    Uuid(u128),
    Decimal(Decimal<'a>),
    Bytes(Cow<'a, [u8]>),
}

/// In the order of the variants.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Decimal<'a> {
    NegativeInfinity,
    Negative(Reverse<Magnitude<'a>>),
    /// Zero too.
    Positive(Magnitude<'a>),
    Infinity,
    NotANumber,
}

/// A number without its sign, in the order of the fields.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Magnitude<'a> {
    integer_digits: usize,
    /// Digits before the point, without zeros in front.
    integer: Cow<'a, [u8]>,
    /// Digits behind the point, without zeros at the end.
    fraction: Cow<'a, [u8]>,
}

impl ColumnOrder {
    /// Reads a value. None where its order is unknown, or the text is of another form.
    #[must_use]
    pub fn read(self, text: &[u8]) -> Option<KeyPart<'_>> {
        let part = match self {
            ColumnOrder::Integer => Part::Number(integer(text)?),
            ColumnOrder::Decimal => Part::Decimal(decimal(text)?),
            ColumnOrder::Boolean => Part::Number(boolean(text)?),
            ColumnOrder::Moment => Part::Number(moment(text)?),
            ColumnOrder::TimeOfDay => Part::Number(time_of_day(text)?),
            ColumnOrder::Uuid => Part::Uuid(uuid(text)?),
            ColumnOrder::Bytes => Part::Bytes(Cow::Borrowed(hexadecimal(text)?)),
            ColumnOrder::Text | ColumnOrder::RawBytes => Part::Bytes(Cow::Borrowed(text)),
            ColumnOrder::PaddedText => Part::Bytes(Cow::Borrowed(without_end(text, b' '))),
            ColumnOrder::Opaque => return None,
        };
        Some(KeyPart(part))
    }

    /// Reads a value as it is written at a chunk's border.
    #[must_use]
    pub fn read_border(self, text: &[u8]) -> Option<KeyPart<'_>> {
        if self != ColumnOrder::RawBytes {
            return self.read(text);
        }
        let digit = |byte: u8| char::from(byte).to_digit(16);
        let byte = |pair: &[u8]| Some((digit(pair[0])? << 4 | digit(pair[1])?) as u8);
        let bytes = hexadecimal(text)?.chunks_exact(2).map(byte).collect::<Option<Vec<u8>>>()?;
        Some(KeyPart(Part::Bytes(Cow::Owned(bytes))))
    }
}

impl KeyPart<'_> {
    /// The same, without the text that it was read from.
    #[must_use]
    pub fn into_owned(self) -> KeyPart<'static> {
        KeyPart(match self.0 {
            Part::Number(number) => Part::Number(number),
            Part::Uuid(uuid) => Part::Uuid(uuid),
            Part::Decimal(decimal) => Part::Decimal(decimal.into_owned()),
            Part::Bytes(bytes) => Part::Bytes(owned(bytes)),
        })
    }
}

impl Decimal<'_> {
    fn into_owned(self) -> Decimal<'static> {
        match self {
            Decimal::NegativeInfinity => Decimal::NegativeInfinity,
            Decimal::Negative(Reverse(number)) => Decimal::Negative(Reverse(number.into_owned())),
            Decimal::Positive(number) => Decimal::Positive(number.into_owned()),
            Decimal::Infinity => Decimal::Infinity,
            Decimal::NotANumber => Decimal::NotANumber,
        }
    }
}

impl Magnitude<'_> {
    fn into_owned(self) -> Magnitude<'static> {
        Magnitude {
            integer_digits: self.integer_digits,
            integer: owned(self.integer),
            fraction: owned(self.fraction),
        }
    }
}

fn owned(bytes: Cow<'_, [u8]>) -> Cow<'static, [u8]> {
    Cow::Owned(bytes.into_owned())
}

fn integer(text: &[u8]) -> Option<i128> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn boolean(text: &[u8]) -> Option<i128> {
    match text {
        b"f" | b"false" => Some(0),
        b"t" | b"true" => Some(1),
        _ => None,
    }
}

fn decimal(text: &[u8]) -> Option<Decimal<'_>> {
    match text {
        b"NaN" => return Some(Decimal::NotANumber),
        b"Infinity" => return Some(Decimal::Infinity),
        b"-Infinity" => return Some(Decimal::NegativeInfinity),
        _ => {}
    }
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let point = digits.iter().position(|byte| *byte == b'.');
    let (integer, fraction) = match point {
        Some(point) => (&digits[..point], &digits[point + 1..]),
        None => (digits, &digits[..0]),
    };
    let are_digits = integer.iter().chain(fraction).all(u8::is_ascii_digit);
    if integer.is_empty() || !are_digits || point.is_some() && fraction.is_empty() {
        return None;
    }
    let integer = without_start(integer, b'0');
    let magnitude = Magnitude {
        integer_digits: integer.len(),
        integer: Cow::Borrowed(integer),
        fraction: Cow::Borrowed(without_end(fraction, b'0')),
    };
    let zero = magnitude.integer.is_empty() && magnitude.fraction.is_empty();
    let negative = digits.len() < text.len() && !zero;
    Some(if negative {
        Decimal::Negative(Reverse(magnitude))
    } else {
        Decimal::Positive(magnitude)
    })
}

fn uuid(text: &[u8]) -> Option<u128> {
    let digits = || text.iter().filter(|byte| **byte != b'-');
    if digits().count() != 32 {
        return None;
    }
    digits().try_fold(0, |uuid, byte| Some(uuid << 4 | u128::from(char::from(*byte).to_digit(16)?)))
}

/// The digits sort as the bytes do.
fn hexadecimal(text: &[u8]) -> Option<&[u8]> {
    let digits = text.strip_prefix(b"\\x")?;
    let whole = digits.len().is_multiple_of(2);
    (whole && digits.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))).then_some(digits)
}

/// Microseconds from one fixed day on, in UTC where there is an offset.
fn moment(text: &[u8]) -> Option<i128> {
    match text {
        b"infinity" => return Some(i128::MAX),
        b"-infinity" => return Some(i128::MIN),
        _ => {}
    }
    let (text, before_first) = match text.strip_suffix(b" BC") {
        Some(text) => (text, true),
        None => (text, false),
    };
    let mut scan = Scan(text);
    let year = scan.number(4, 7)?;
    let month = scan.after(b'-', 2)?;
    let day = scan.after(b'-', 2)?;
    if year == 0 || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // The first year before the first one is the year 0 to those who calculate.
    let midnight = days(if before_first { 1 - year } else { year }, month, day) * DAY;
    if scan.0.is_empty() {
        return Some(midnight);
    }
    scan.eat(b' ')?;
    let clock = scan.clock()?;
    let offset = if scan.0.is_empty() { 0 } else { scan.offset()? };
    scan.0.is_empty().then_some(midnight + clock - offset)
}

fn time_of_day(text: &[u8]) -> Option<i128> {
    let mut scan = Scan(text);
    let clock = scan.clock()?;
    scan.0.is_empty().then_some(clock)
}

/// Microseconds.
const SECOND: i128 = 1_000_000;
const DAY: i128 = 86_400 * SECOND;

/// Days from one fixed day on, in the Gregorian calendar, extended to all years. Years begin with
/// March here, so that the leap day is the last.
fn days(year: i128, month: i128, day: i128) -> i128 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    365 * year + leap_days + (153 * month + 2) / 5 + day
}

/// What is left to be read of a text.
struct Scan<'a>(&'a [u8]);

impl Scan<'_> {
    fn eat(&mut self, byte: u8) -> Option<()> {
        self.0 = self.0.strip_prefix(&[byte])?;
        Some(())
    }

    /// A number of so many digits; all of them that there are.
    fn number(&mut self, least: usize, most: usize) -> Option<i128> {
        let len = self.0.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (digits, rest) = self.0.split_at(len);
        self.0 = rest;
        let value = || digits.iter().fold(0, |value, digit| value * 10 + i128::from(digit - b'0'));
        (least..=most).contains(&len).then(value)
    }

    /// A number of so many digits behind a byte.
    fn after(&mut self, byte: u8, digits: usize) -> Option<i128> {
        self.eat(byte)?;
        self.number(digits, digits)
    }

    /// `13:14:15.678901`, in microseconds.
    fn clock(&mut self) -> Option<i128> {
        let hour = self.number(2, 2)?;
        let minute = self.after(b':', 2)?;
        let second = self.after(b':', 2)?;
        if hour > 24 || minute > 59 || second > 60 {
            return None;
        }
        let whole = (hour * 3600 + minute * 60 + second) * SECOND;
        if self.eat(b'.').is_none() {
            return Some(whole);
        }
        let before = self.0.len();
        let fraction = self.number(1, 6)?;
        let digits = (before - self.0.len()) as u32;
        Some(whole + fraction * 10i128.pow(6 - digits))
    }

    /// `+05`, `-03:30` or `+05:53:28`, in microseconds east of UTC.
    fn offset(&mut self) -> Option<i128> {
        let sign = if self.eat(b'-').is_some() { -1 } else { 1 };
        if sign == 1 {
            self.eat(b'+')?;
        }
        let mut seconds = self.number(2, 2)? * 3600;
        for unit in [60, 1] {
            if self.0.is_empty() {
                break;
            }
            seconds += self.after(b':', 2)? * unit;
        }
        Some(sign * seconds * SECOND)
    }
}

fn without_start(mut bytes: &[u8], unwanted: u8) -> &[u8] {
    while let [first, rest @ ..] = bytes
        && *first == unwanted
    {
        bytes = rest;
    }
    bytes
}

fn without_end(mut bytes: &[u8], unwanted: u8) -> &[u8] {
    while let [rest @ .., last] = bytes
        && *last == unwanted
    {
        bytes = rest;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_ascends(order: ColumnOrder, texts: &[&str]) {
        for pair in texts.windows(2) {
            let [one, other] = [pair[0], pair[1]].map(|text| order.read(text.as_bytes()));
            assert!(one.is_some() && one < other, "{} before {}", pair[0], pair[1]);
        }
    }

    fn assert_same(order: ColumnOrder, one: &str, other: &str) {
        let read = |text: &str| order.read(text.as_bytes()).map(KeyPart::into_owned);
        assert!(read(one).is_some(), "{one}");
        assert_eq!(read(one), read(other), "{one} and {other}");
    }

    fn assert_unread(order: ColumnOrder, texts: &[&str]) {
        for text in texts {
            assert_eq!(order.read(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn integers_go_by_value() {
        let largest = "18446744073709551615";
        assert_ascends(ColumnOrder::Integer, &["-9223372036854775808", "-1", "9", "10", largest]);
        assert_unread(ColumnOrder::Integer, &["", "-", "1.0", " 1", "ten"]);
    }

    #[test]
    fn decimals_go_by_value_whatever_their_scale() {
        let ascending = [
            "-Infinity",
            "-100",
            "-99.5",
            "-9",
            "-0.10",
            "-0.0999",
            "0",
            "0.0001",
            "0.01",
            "1",
            "1.5",
            "2",
            "10",
            "10.01",
            "99",
            "100000000000000000000000000000000000000000",
            "Infinity",
            "NaN",
        ];
        assert_ascends(ColumnOrder::Decimal, &ascending);
        for (one, other) in [("1.0", "1.00"), ("-0.00", "0"), ("0012", "12.0"), ("-7", "-7.00")] {
            assert_same(ColumnOrder::Decimal, one, other);
        }
        assert_unread(ColumnOrder::Decimal, &["", "-", ".5", "5.", "1e5", "--1", "+1", "1.2.3"]);
    }

    #[test]
    fn moments_go_by_time() {
        let ascending = [
            "-infinity",
            "4713-11-24 BC",
            "0044-03-15 BC",
            "0001-12-31 BC",
            "0001-01-01",
            "1900-02-28",
            "1900-03-01",
            "2000-02-28",
            "2000-02-29",
            "2000-03-01",
            "2000-12-31 23:59:59.99",
            "2000-12-31 23:59:59.999999",
            "2001-01-01",
            "9999-12-31",
            "10000-01-01",
            "5874897-12-31",
            "infinity",
        ];
        assert_ascends(ColumnOrder::Moment, &ascending);
        let odd = ["", "today", "0000-01-01", "2024-00-01", "2024-01-00", "2024-1-1", "24-01-01"];
        assert_unread(ColumnOrder::Moment, &odd);
        let odd = ["2024-01-01 ", "2024-01-01T00:00:00", "2024-01-01 12:00", "2024-01-01 BC BC"];
        assert_unread(ColumnOrder::Moment, &odd);
    }

    #[test]
    fn an_offset_changes_the_text_and_not_the_moment() {
        let noon = "2024-02-29 12:00:00+00";
        for other in [
            "2024-02-29 17:30:00+05:30",
            "2024-02-29 08:30:00-03:30",
            "2024-03-01 00:00:00+12",
            "2024-02-29 12:53:28+00:53:28",
        ] {
            assert_same(ColumnOrder::Moment, noon, other);
        }
        let ascending = ["2024-03-01 01:00:00+14", noon, "2024-02-29 06:00:01-06"];
        assert_ascends(ColumnOrder::Moment, &ascending);
        assert_same(ColumnOrder::Moment, "0001-12-31 23:30:00-01 BC", "0001-01-01 00:30:00+00");
        assert_unread(ColumnOrder::Moment, &["2024-01-01 00:00:00+", "2024-01-01 00:00:00+5"]);
    }

    #[test]
    fn times_of_day_go_by_the_clock() {
        let ascending = ["00:00:00", "00:00:00.000001", "09:59:59", "23:59:59.9", "24:00:00"];
        assert_ascends(ColumnOrder::TimeOfDay, &ascending);
        assert_unread(ColumnOrder::TimeOfDay, &["", "9:00:00", "25:00:00", "12:00:00+00"]);
    }

    #[test]
    fn bytes_and_text_go_by_their_bytes_and_the_shorter_comes_first() {
        assert_ascends(ColumnOrder::Bytes, &["\\x", "\\x00", "\\x0000", "\\x09", "\\x0a", "\\xff"]);
        assert_unread(ColumnOrder::Bytes, &["", "00", "\\x0", "\\xAB", "\\000"]);
        assert_ascends(ColumnOrder::Text, &["", " ", "B", "Ba", "a", "a ", "é", "中", "🐦"]);
        assert_ascends(ColumnOrder::PaddedText, &["", "a", "a\t", "a b", "ab"]);
        assert_same(ColumnOrder::PaddedText, "a b   ", "a b");
    }

    #[test]
    fn raw_bytes_are_written_as_digits_at_a_border() {
        let order = ColumnOrder::RawBytes;
        let border = |text: &str| order.read_border(text.as_bytes()).map(KeyPart::into_owned);
        assert_eq!(border("\\x6162"), order.read(b"ab"));
        assert!(border("\\x") < border("\\x00") && border("\\x7f") < order.read(&[0x80]));
        assert_eq!((border("ab"), border("\\x0")), (None, None));
        assert_eq!(ColumnOrder::Integer.read_border(b"7"), ColumnOrder::Integer.read(b"7"));
    }

    #[test]
    fn uuids_go_by_their_bytes_whatever_their_case() {
        let uuid = "7fffffff-ffff-ffff-ffff-ffffffffffff";
        assert_ascends(ColumnOrder::Uuid, &[uuid, "80000000-0000-0000-0000-000000000000"]);
        assert_same(ColumnOrder::Uuid, uuid, "7FFFFFFF-ffff-ffff-ffff-ffffffffffff");
        assert_unread(ColumnOrder::Uuid, &["", "7fffffff", "+fffffff-ffff-ffff-ffff-fffffffffffg"]);
    }

    #[test]
    fn false_comes_before_true_however_they_are_written() {
        assert_ascends(ColumnOrder::Boolean, &["f", "true"]);
        assert_same(ColumnOrder::Boolean, "t", "true");
        assert_unread(ColumnOrder::Boolean, &["", "yes"]);
        assert_unread(ColumnOrder::Opaque, &["anything"]);
    }
}
