//! Numbers as the server prints them.
//!
//! In come the log's binary forms, out go digits, written behind what is rendered already.

use std::io::Write;

use super::cursor::Cursor;
use super::error::Problem;

/// Writes an integer in decimal.
#[inline]
pub(super) fn push_u64(out: &mut Vec<u8>, mut value: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// Writes a signed integer in decimal.
#[inline]
pub(super) fn push_i64(out: &mut Vec<u8>, value: i64) {
    if value < 0 {
        out.push(b'-');
    }
    push_u64(out, value.unsigned_abs());
}

/// Writes an integer with zeros in front up to `width` digits.
#[inline]
pub(super) fn push_padded(out: &mut Vec<u8>, value: u64, width: usize) {
    let start = out.len();
    push_u64(out, value);
    let missing = width.saturating_sub(out.len() - start);
    if missing > 0 {
        out.resize(out.len() + missing, b'0');
        out[start..].rotate_right(missing);
    }
}

/// Bytes of so many digits at the ends of a DECIMAL (`dig2bytes` in the server's decimal.cc).
const DIGIT_BYTES: [usize; 10] = [0, 1, 1, 2, 2, 3, 3, 4, 4, 4];
/// Digits in four bytes.
const GROUP: usize = 9;
/// The largest DECIMAL has 65 digits, which fit in so many bytes wherever the point is.
const DECIMAL_BYTES: usize = 40;

/// Length of a DECIMAL in bytes. None where there is no such DECIMAL.
pub(super) fn decimal_len(precision: u8, scale: u8) -> Option<usize> {
    let (precision, scale) = (usize::from(precision), usize::from(scale));
    let integer = precision.checked_sub(scale)?;
    let len = |digits: usize| digits / GROUP * 4 + DIGIT_BYTES[digits % GROUP];
    let len = len(integer) + len(scale);
    (1..=DECIMAL_BYTES).contains(&len).then_some(len)
}

/// Reads a DECIMAL and writes it with all digits of its scale (`bin2decimal` in decimal.cc).
pub(super) fn push_decimal(
    out: &mut Vec<u8>,
    cursor: &mut Cursor<'_>,
    (precision, scale): (u8, u8),
) -> Result<(), Problem> {
    const MALFORMED: Problem = Problem::Malformed("a DECIMAL that is none");
    let len = decimal_len(precision, scale).ok_or(MALFORMED)?;
    let stored = cursor.take(len)?;
    let negative = stored[0] & 0x80 == 0;
    let mut bytes = [0; DECIMAL_BYTES];
    for (to, from) in bytes.iter_mut().zip(stored) {
        *to = if negative { !from } else { *from };
    }
    bytes[0] ^= 0x80;
    if negative {
        out.push(b'-');
    }
    let mut groups = Cursor::new(&bytes[..len], "a DECIMAL");
    let (integer, scale) = (usize::from(precision - scale), usize::from(scale));
    let start = out.len();
    for digits in [integer % GROUP].into_iter().chain((0..integer / GROUP).map(|_| GROUP)) {
        push_group(out, &mut groups, digits)?;
    }
    let zeros = out[start..].iter().take_while(|digit| **digit == b'0').count();
    out.drain(start..start + zeros);
    if out.len() == start {
        out.push(b'0');
    }
    if scale > 0 {
        out.push(b'.');
        for digits in (0..scale / GROUP).map(|_| GROUP).chain([scale % GROUP]) {
            push_group(out, &mut groups, digits)?;
        }
    }
    Ok(())
}

fn push_group(out: &mut Vec<u8>, groups: &mut Cursor<'_>, digits: usize) -> Result<(), Problem> {
    if digits == 0 {
        return Ok(());
    }
    let value = groups.uint_be(DIGIT_BYTES[digits])?;
    if value >= 10u64.pow(digits as u32) {
        return Err(Problem::Malformed("a DECIMAL that is none"));
    }
    push_padded(out, value, digits);
    Ok(())
}

/// The digits of a finite number, and the place of the point behind or before them, as the
/// shortest decimal number that reads back to the same bits.
struct Digits {
    text: [u8; 24],
    len: usize,
    /// The number is 0.DIGITS times ten to the power of this.
    point: i32,
}

impl Digits {
    fn of(value: f64) -> Result<Self, Problem> {
        const NEVER: Problem = Problem::Malformed("a number that is none");
        if !value.is_finite() {
            return Err(NEVER);
        }
        let mut buffer = [0; 40];
        let mut rest = &mut buffer[..];
        write!(rest, "{:e}", value.abs()).map_err(|_| NEVER)?;
        let written = 40 - rest.len();
        let mut digits = Digits { text: [0; 24], len: 0, point: 0 };
        let mut bytes = buffer[..written].iter();
        for &byte in bytes.by_ref().take_while(|byte| **byte != b'e') {
            if byte.is_ascii_digit() {
                *digits.text.get_mut(digits.len).ok_or(NEVER)? = byte;
                digits.len += 1;
            }
        }
        let exponent = std::str::from_utf8(bytes.as_slice()).ok();
        digits.point = exponent.and_then(|text| text.parse::<i32>().ok()).ok_or(NEVER)? + 1;
        Ok(digits)
    }

    fn text(&self) -> &[u8] {
        &self.text[..self.len]
    }

    /// Writes the number without exponent.
    fn push_plain(&self, out: &mut Vec<u8>) {
        match usize::try_from(self.point) {
            Ok(point) if point > 0 => {
                let (integer, fraction) = self.text().split_at(point.min(self.len));
                out.extend_from_slice(integer);
                out.resize(out.len() + point - integer.len(), b'0');
                if !fraction.is_empty() {
                    out.push(b'.');
                    out.extend_from_slice(fraction);
                }
            }
            Ok(_) | Err(_) => {
                out.extend_from_slice(b"0.");
                out.resize(out.len() + self.point.unsigned_abs() as usize, b'0');
                out.extend_from_slice(self.text());
            }
        }
    }
}

/// Numbers of so many digits before the point are written without exponent, if they have no more
/// digits than that (`MAX_DECPT_FOR_F_FORMAT` in the server's dtoa.h).
const PLAIN_DIGITS: i32 = 15;

/// Writes a double as `my_gcvt` in the server's dtoa.cc does.
pub(super) fn push_double(out: &mut Vec<u8>, value: f64) -> Result<(), Problem> {
    let digits = Digits::of(value)?;
    if value.is_sign_negative() {
        out.push(b'-');
    }
    if value == 0.0 {
        out.push(b'0');
        return Ok(());
    }
    let exact = digits.point <= PLAIN_DIGITS || digits.len as i32 > digits.point;
    if digits.point > -PLAIN_DIGITS && exact {
        digits.push_plain(out);
        return Ok(());
    }
    let (first, others) = digits.text().split_at(1);
    out.extend_from_slice(first);
    if !others.is_empty() {
        out.push(b'.');
        out.extend_from_slice(others);
    }
    out.push(b'e');
    push_i64(out, i64::from(digits.point - 1));
    Ok(())
}

/// Writes a double with so many decimals, as `my_fcvt` in the server's dtoa.cc does.
pub(super) fn push_fixed(out: &mut Vec<u8>, value: f64, decimals: u8) -> Result<(), Problem> {
    let digits = Digits::of(value)?;
    let decimals = usize::from(decimals);
    let needed = usize::try_from(digits.len as i32 - digits.point).unwrap_or(0);
    if value == 0.0 || needed > decimals {
        let write = write!(out, "{value:.decimals$}");
        return write.map_err(|_| Problem::Malformed("a number that is none"));
    }
    if value < 0.0 {
        out.push(b'-');
    }
    digits.push_plain(out);
    if decimals > 0 {
        if needed == 0 {
            out.push(b'.');
        }
        out.resize(out.len() + decimals - needed, b'0');
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn doubles_are_printed_as_the_server_prints_them() {
        for (value, expected) in [
            (0.0, "0"),
            (1.0, "1"),
            (-1.5, "-1.5"),
            (1e14, "100000000000000"),
            (1e15, "1e15"),
            (1234567890123456.7, "1234567890123456.8"),
            (1.2345678901234568e17, "1.2345678901234568e17"),
            (1e-15, "0.000000000000001"),
            (1e-16, "1e-16"),
            (1.5e300, "1.5e300"),
            (2.5e-7, "0.00000025"),
            (f64::from(1.2345678f32), "1.2345677614212036"),
        ] {
            assert_eq!(text(|out| push_double(out, value).unwrap()), expected);
        }
        for (value, decimals, expected) in [
            (1.5, 2, "1.50"),
            (-0.126, 2, "-0.13"),
            (0.1, 30, "0.100000000000000000000000000000"),
            (1e20, 1, "100000000000000000000.0"),
            (0.0, 3, "0.000"),
            (7.0, 0, "7"),
        ] {
            assert_eq!(text(|out| push_fixed(out, value, decimals).unwrap()), expected);
        }
        assert!(push_double(&mut Vec::new(), f64::NAN).is_err());
    }

    #[test]
    fn integers_are_padded_in_front() {
        assert_eq!(text(|out| push_padded(out, 42, 5)), "00042");
        assert_eq!(text(|out| push_padded(out, 123_456, 5)), "123456");
        assert_eq!(text(|out| push_i64(out, i64::MIN)), i64::MIN.to_string());
        assert_eq!(text(|out| push_u64(out, u64::MAX)), u64::MAX.to_string());
    }

    #[test]
    fn a_decimal_has_all_digits_of_its_scale() {
        let read = |bytes: &[u8], precision, scale| {
            let mut out = Vec::new();
            push_decimal(&mut out, &mut Cursor::new(bytes, "it"), (precision, scale))
                .map(|()| String::from_utf8(out).unwrap())
        };
        // The example in the head of `decimal2bin`: 1234567890.1234 as DECIMAL(14,4).
        let positive = [0x81, 0x0D, 0xFB, 0x38, 0xD2, 0x04, 0xD2];
        let negative = positive.map(|byte: u8| !byte);
        assert_eq!(read(&positive, 14, 4).unwrap(), "1234567890.1234");
        assert_eq!(read(&negative, 14, 4).unwrap(), "-1234567890.1234");
        assert_eq!(read(&[0x80, 0x05], 3, 2), read(&[0x80, 0x05], 3, 2));
        assert_eq!(read(&[0x80, 0x05], 3, 2).unwrap(), "0.05");
        assert_eq!(read(&[0xFF], 2, 0), Err(Problem::Malformed("a DECIMAL that is none")));
        assert!(read(&[], 65, 30).is_err() && read(&[0x80], 2, 3).is_err());
    }
}
