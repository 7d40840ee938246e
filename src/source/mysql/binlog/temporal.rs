//! Dates and times as the server prints them in UTC.
//!
//! In come the log's binary forms, the packed ones of MySQL 5.6 and later and the plain ones before
//! them, out goes text with exactly the column's fractional digits. Formats: my_time.cc in the
//! server (`my_time_packed_from_binary` and its neighbours).

use super::cursor::Cursor;
use super::error::Problem;
use super::number::push_padded;

/// A date and a time of day, whether or not there is such a day.
struct Moment {
    year: u64,
    month: u64,
    day: u64,
    hour: u64,
    minute: u64,
    second: u64,
}

impl Moment {
    fn push_date(&self, out: &mut Vec<u8>) {
        push_padded(out, self.year, 4);
        out.push(b'-');
        push_padded(out, self.month, 2);
        out.push(b'-');
        push_padded(out, self.day, 2);
    }

    fn push(&self, out: &mut Vec<u8>) {
        self.push_date(out);
        out.push(b' ');
        push_clock(out, self.hour, self.minute, self.second);
    }

    /// From seconds since the Unix epoch; zero stands for the zero date.
    fn from_unix(seconds: u64) -> Moment {
        if seconds == 0 {
            return Moment { year: 0, month: 0, day: 0, hour: 0, minute: 0, second: 0 };
        }
        let (days, rest) = (seconds / 86_400, seconds % 86_400);
        // Years that begin with March, counted from the year 0, so that the leap day is the last.
        let day = days + 719_468;
        let (era, day_of_era) = (day / 146_097, day % 146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted = (5 * day_of_year + 2) / 153;
        let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
        Moment {
            year: era * 400 + year_of_era + u64::from(month <= 2),
            month,
            day: day_of_year - (153 * shifted + 2) / 5 + 1,
            hour: rest / 3600,
            minute: rest / 60 % 60,
            second: rest % 60,
        }
    }

    /// From the upper part of the packed form: 17 bits of months, 5 of days, then the time.
    fn from_packed(packed: u64) -> Moment {
        let months = packed >> 22;
        Moment {
            year: months / 13,
            month: months % 13,
            day: packed >> 17 & 31,
            hour: packed >> 12 & 31,
            minute: packed >> 6 & 63,
            second: packed & 63,
        }
    }
}

fn push_clock(out: &mut Vec<u8>, hour: u64, minute: u64, second: u64) {
    push_padded(out, hour, 2);
    out.push(b':');
    push_padded(out, minute, 2);
    out.push(b':');
    push_padded(out, second, 2);
}

/// Bytes of a fraction of so many digits.
pub(super) fn fraction_len(digits: u8) -> usize {
    usize::from(digits.div_ceil(2))
}

/// Writes a fraction that is stored in hundredths, ten-thousandths or millionths.
fn push_fraction(out: &mut Vec<u8>, fraction: u64, digits: u8) {
    if digits == 0 {
        return;
    }
    out.push(b'.');
    let stored = usize::from(digits.div_ceil(2) * 2);
    push_padded(out, fraction, stored);
    if digits % 2 == 1 {
        out.pop();
    }
}

/// DATE, of three bytes.
pub(super) fn push_date(out: &mut Vec<u8>, cursor: &mut Cursor<'_>) -> Result<(), Problem> {
    let date = cursor.uint(3)?;
    let moment = Moment {
        year: date >> 9,
        month: date >> 5 & 15,
        day: date & 31,
        hour: 0,
        minute: 0,
        second: 0,
    };
    moment.push_date(out);
    Ok(())
}

/// YEAR, of one byte.
pub(super) fn push_year(out: &mut Vec<u8>, cursor: &mut Cursor<'_>) -> Result<(), Problem> {
    let year = u64::from(cursor.u8()?);
    push_padded(out, if year == 0 { 0 } else { 1900 + year }, 4);
    Ok(())
}

/// TIME as it was before MySQL 5.6, of three bytes.
pub(super) fn push_old_time(out: &mut Vec<u8>, cursor: &mut Cursor<'_>) -> Result<(), Problem> {
    let stored = cursor.uint(3)?;
    let negative = stored >= 0x80_0000;
    let time = if negative { 0x100_0000 - stored } else { stored };
    if negative {
        out.push(b'-');
    }
    push_clock(out, time / 10_000, time / 100 % 100, time % 100);
    Ok(())
}

/// TIME with a fraction. The whole is one signed number, the fraction its lower bytes.
pub(super) fn push_time(
    out: &mut Vec<u8>,
    cursor: &mut Cursor<'_>,
    digits: u8,
) -> Result<(), Problem> {
    let fraction_bits = fraction_len(digits) * 8;
    let stored = cursor.uint_be(3 + fraction_len(digits))?;
    let zero = 0x80_0000 << fraction_bits;
    if stored < zero {
        out.push(b'-');
    }
    push_time_packed(out, stored.abs_diff(zero), digits, fraction_bits);
    Ok(())
}

fn push_time_packed(out: &mut Vec<u8>, time: u64, digits: u8, fraction_bits: usize) {
    let whole = time >> fraction_bits;
    push_clock(out, whole >> 12 & 1023, whole >> 6 & 63, whole & 63);
    push_fraction(out, time & ((1 << fraction_bits) - 1), digits);
}

/// DATETIME as it was before MySQL 5.6, of eight bytes.
pub(super) fn push_old_datetime(out: &mut Vec<u8>, cursor: &mut Cursor<'_>) -> Result<(), Problem> {
    let stored = cursor.u64()?;
    let (date, time) = (stored / 1_000_000, stored % 1_000_000);
    let moment = Moment {
        year: date / 10_000,
        month: date / 100 % 100,
        day: date % 100,
        hour: time / 10_000,
        minute: time / 100 % 100,
        second: time % 100,
    };
    moment.push(out);
    Ok(())
}

/// DATETIME with a fraction.
pub(super) fn push_datetime(
    out: &mut Vec<u8>,
    cursor: &mut Cursor<'_>,
    digits: u8,
) -> Result<(), Problem> {
    let packed = cursor.uint_be(5)?.checked_sub(0x80_0000_0000);
    let packed = packed.ok_or(Problem::Malformed("a DATETIME before the year 0"))?;
    Moment::from_packed(packed).push(out);
    push_fraction(out, cursor.uint_be(fraction_len(digits))?, digits);
    Ok(())
}

/// TIMESTAMP as it was before MySQL 5.6.
pub(super) fn push_old_timestamp(
    out: &mut Vec<u8>,
    cursor: &mut Cursor<'_>,
) -> Result<(), Problem> {
    Moment::from_unix(u64::from(cursor.u32()?)).push(out);
    Ok(())
}

/// TIMESTAMP with a fraction. Its seconds are unsigned: MariaDB goes on to the year 2106.
pub(super) fn push_timestamp(
    out: &mut Vec<u8>,
    cursor: &mut Cursor<'_>,
    digits: u8,
) -> Result<(), Problem> {
    let seconds = cursor.uint_be(4)?;
    let fraction = cursor.uint_be(fraction_len(digits))?;
    if seconds == 0 && fraction != 0 {
        out.extend_from_slice(b"1970-01-01 00:00:00");
    } else {
        Moment::from_unix(seconds).push(out);
    }
    push_fraction(out, fraction, digits);
    Ok(())
}

/// What a packed time within a JSON document is.
#[derive(Clone, Copy)]
pub(super) enum Packed {
    Date,
    Time,
    DateTime,
}

/// A packed time within a JSON document: 24 bits of microseconds below what else is packed.
pub(super) fn push_packed(
    out: &mut Vec<u8>,
    cursor: &mut Cursor<'_>,
    kind: Packed,
) -> Result<(), Problem> {
    let stored = i64::from_le_bytes(cursor.array()?);
    let packed = stored.unsigned_abs();
    match kind {
        Packed::Date => Moment::from_packed(packed >> 24).push_date(out),
        Packed::DateTime => {
            Moment::from_packed(packed >> 24).push(out);
            push_fraction(out, packed & 0xFF_FFFF, 6);
        }
        Packed::Time => {
            if stored < 0 {
                out.push(b'-');
            }
            push_time_packed(out, packed, 6, 24);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(read: impl FnOnce(&mut Vec<u8>) -> Result<(), Problem>) -> String {
        let mut out = Vec::new();
        read(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn cursor(bytes: &[u8]) -> Cursor<'_> {
        Cursor::new(bytes, "it")
    }

    #[test]
    fn a_time_just_below_zero_keeps_its_fraction() {
        for (bytes, digits, expected) in [
            (&[0x80, 0, 0][..], 0, "00:00:00"),
            (&[0x7F, 0xFF, 0xFF, 0xFF], 2, "-00:00:00.01"),
            (&[0x7F, 0xFF, 0xFF, 0xF6], 1, "-00:00:00.1"),
            (&[0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF], 6, "-00:00:00.000001"),
            (&[0x80, 0, 1, 0x26, 0xAC], 3, "00:00:01.990"),
            (&[0xB4, 0x6E, 0xFB], 0, "838:59:59"),
            (&[0x4B, 0x91, 0x05], 0, "-838:59:59"),
        ] {
            assert_eq!(text(|out| push_time(out, &mut cursor(bytes), digits)), expected);
        }
    }

    #[test]
    fn moments_are_in_utc() {
        for (seconds, expected) in [
            (0u32, "0000-00-00 00:00:00"),
            (1, "1970-01-01 00:00:01"),
            (951_782_400, "2000-02-29 00:00:00"),
            (1_709_251_199, "2024-02-29 23:59:59"),
            (2_147_483_647, "2038-01-19 03:14:07"),
            (4_294_967_295, "2106-02-07 06:28:15"),
        ] {
            let new = seconds.to_be_bytes();
            assert_eq!(text(|out| push_timestamp(out, &mut cursor(&new), 0)), expected);
            let old = seconds.to_le_bytes();
            assert_eq!(text(|out| push_old_timestamp(out, &mut cursor(&old))), expected);
        }
        assert_eq!(text(|out| push_year(out, &mut cursor(&[0]))), "0000");
        assert_eq!(text(|out| push_year(out, &mut cursor(&[124]))), "2024");
        let old = 20_240_229_235_959_u64.to_le_bytes();
        let expected = "2024-02-29 23:59:59";
        assert_eq!(text(|out| push_old_datetime(out, &mut cursor(&old))), expected);
    }
}
