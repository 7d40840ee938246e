//! Random values as literals.
//!
//! In: a generator. Out: a number, digits in quotes, or hexadecimal, so that no quoting is at stake.
//! Nothing in here knows a server; it knows which bytes are text in a character set.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

/// Of so many texts and documents one is long.
const ONE_IS_LONG: u32 = 80;

/// Whether something happens that does so once in so many times.
pub fn once_in(rng: &mut StdRng, times: u32) -> bool {
    rng.random_range(0..times) == 0
}

/// A number from 0, less than this one.
pub fn below(rng: &mut StdRng, most: u32) -> u32 {
    rng.random_range(0..most)
}

/// A whole number of so many bits, of any length; often the lowest or the highest.
pub fn signed(rng: &mut StdRng, bits: u32) -> String {
    let (lowest, highest) = (i64::MIN >> (64 - bits), i64::MAX >> (64 - bits));
    let shorter = rng.random_range(0..bits);
    let any = (rng.random::<i64>() >> (64 - bits)) >> shorter;
    [lowest, highest, -1, any, any, any, any, any].choose(rng).unwrap().to_string()
}

/// The same without a sign.
pub fn unsigned(rng: &mut StdRng, bits: u32) -> String {
    let highest = u64::MAX >> (64 - bits);
    let any = highest.min(rng.random::<u64>() >> (64 - bits)) >> rng.random_range(0..bits);
    [highest, 0, any, any, any, any, any, any].choose(rng).unwrap().to_string()
}

/// A decimal number of so many digits, of them so many behind the point.
pub fn decimal(rng: &mut StdRng, digits: usize, scale: usize, signed: bool) -> String {
    let mut some = |most: usize| {
        let count = if once_in(rng, 6) { most } else { rng.random_range(0..=most) };
        (0..count).map(|_| rng.random_range(b'0'..=b'9') as char).collect::<String>()
    };
    let (whole, part) = (some(digits - scale), some(scale));
    let sign = if signed && rng.random() { "-" } else { "" };
    let whole = if whole.is_empty() { "0" } else { &whole };
    let point = if part.is_empty() { "" } else { "." };
    format!("{sign}{whole}{point}{part}")
}

/// A number of single precision: any that there is, or one of few digits.
pub fn float(rng: &mut StdRng) -> String {
    let any = loop {
        let any = f32::from_bits(rng.random());
        if any.is_finite() {
            break any;
        }
    };
    let few = rng.random_range(-1_000_000..1_000_000) as f32 / 1000.0;
    let value = [any, any, any, few, f32::MAX, -0.0, f32::MIN_POSITIVE].choose(rng).copied();
    format!("{:e}", f64::from(value.unwrap()))
}

/// The same of double precision.
pub fn double(rng: &mut StdRng) -> String {
    format!("{:e}", number(rng))
}

fn number(rng: &mut StdRng) -> f64 {
    let any = loop {
        let any = f64::from_bits(rng.random());
        if any.is_finite() {
            break any;
        }
    };
    let few = f64::from(rng.random_range(-1_000_000..1_000_000)) / 1000.0;
    [any, any, any, few, 1e15, -0.0, f64::MAX].choose(rng).copied().unwrap()
}

/// A number with so many digits before and behind the point.
pub fn fixed(rng: &mut StdRng, digits: u32, scale: u32) -> String {
    let most = 10u64.pow(digits);
    let (value, unit) = (rng.random_range(0..most), 10u64.pow(scale));
    let sign = if rng.random() { "-" } else { "" };
    let width = scale as usize;
    format!("{sign}{}.{:0width$}", value / unit, value % unit)
}

/// A date: a real one, one that no calendar has, one with parts of zero, or no date at all.
pub fn date(rng: &mut StdRng) -> String {
    format!("'{}'", day(rng))
}

fn day(rng: &mut StdRng) -> String {
    let (year, month, day) = match rng.random_range(0..10) {
        0 => (0, 0, 0),
        1 => (rng.random_range(1..10_000), rng.random_range(0..=12), 0),
        2 => (rng.random_range(0..10_000), rng.random_range(1..=12), 31),
        _ => (rng.random_range(0..10_000), rng.random_range(1..=12), rng.random_range(1..=28)),
    };
    format!("{year:04}-{month:02}-{day:02}")
}

/// So many digits of a second, behind a point.
fn fraction(rng: &mut StdRng, scale: u32) -> String {
    let value: u32 = [0, 1, 10u32.pow(scale) - 1, rng.random_range(0..10u32.pow(scale))]
        .choose(rng)
        .copied()
        .unwrap_or_default();
    let width = scale as usize;
    if scale == 0 { String::new() } else { format!(".{value:0width$}") }
}

/// A date and a time of day.
pub fn moment(rng: &mut StdRng, scale: u32) -> String {
    let day = day(rng);
    if day.starts_with("0000-00") {
        return "'0000-00-00 00:00:00'".to_owned();
    }
    let mut part = |most| rng.random_range(0..most);
    let (hour, minute, second) = (part(24), part(60), part(60));
    format!("'{day} {hour:02}:{minute:02}:{second:02}{}'", fraction(rng, scale))
}

/// A second until `last` since 1970, or none.
pub fn timestamp(rng: &mut StdRng, scale: u32, last: u32) -> String {
    if once_in(rng, 8) {
        return "'0000-00-00 00:00:00'".to_owned();
    }
    let any = rng.random_range(1..=last);
    let second = [1, last, any, any, any, any].choose(rng).copied().unwrap();
    format!("FROM_UNIXTIME({second}{})", fraction(rng, scale))
}

/// A span of time.
pub fn time(rng: &mut StdRng, scale: u32) -> String {
    const LAST: u32 = 838 * 3600 + 59 * 60 + 59;
    let any = rng.random_range(0..LAST);
    let second = [0, 0, any, any, any, LAST].choose(rng).copied().unwrap();
    let part = if second == LAST { String::new() } else { fraction(rng, scale) };
    let sign = if rng.random() { "-" } else { "" };
    let (hour, minute) = (second / 3600, second / 60 % 60);
    format!("'{sign}{hour:02}:{minute:02}:{:02}{part}'", second % 60)
}

/// A year, or none.
pub fn year(rng: &mut StdRng) -> String {
    if once_in(rng, 8) { "0".to_owned() } else { rng.random_range(1901..=2155).to_string() }
}

/// Bytes as a literal.
pub fn hexadecimal(bytes: &[u8]) -> String {
    let digits: String = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
    format!("X'{digits}'")
}

/// Up to `most` of something; seldom, where that is a lot, thousands.
fn length(rng: &mut StdRng, most: usize) -> usize {
    match most {
        0..=255 => rng.random_range(0..=most),
        _ if once_in(rng, ONE_IS_LONG) => rng.random_range(0..=most),
        _ => rng.random_range(0..40),
    }
}

/// Up to so many bytes.
pub fn bytes(rng: &mut StdRng, most: usize) -> String {
    let count = length(rng, most);
    let mut byte = || *[0, b'\\', b'\'', b'\t', b'\n', b' ', rng.random()].choose(rng).unwrap();
    let bytes: Vec<u8> = (0..count).map(|_| byte()).collect();
    hexadecimal(&bytes)
}

/// Exactly so many numbers of single precision, as a vector has them: MariaDB wants its length to be
/// a number of single precision too.
pub fn vector(rng: &mut StdRng, count: usize) -> String {
    let mut number = || rng.random_range(-1.0..1.0f32) * 10f32.powi(rng.random_range(-37..18));
    let numbers: Vec<[u8; 4]> = (0..count).map(|_| number().to_le_bytes()).collect();
    hexadecimal(&numbers.concat())
}

/// Text of up to so many characters in a character set.
pub fn text(rng: &mut StdRng, charset: &str, most: usize) -> String {
    let count = length(rng, most);
    let letters: Vec<Vec<u8>> = (0..count).map(|_| letter(rng, charset)).collect();
    format!("_{charset} {}", hexadecimal(&letters.concat()))
}

/// Characters that mean something to somebody, in every character set that is a superset of ASCII.
const SPECIAL: &[char] =
    &['\0', '\t', '\n', '\r', '\\', '\'', '"', ' ', '%', 'N', 'a', 'A', '\x1A'];

/// One character, as its bytes in a character set.
fn letter(rng: &mut StdRng, charset: &str) -> Vec<u8> {
    let plain = if rng.random() { SPECIAL.choose(rng).copied() } else { None };
    let c = plain.unwrap_or_else(|| rng.random());
    let narrow = if c > '\u{FFFF}' { 'ß' } else { c };
    let units = |c: char| c.encode_utf16(&mut [0; 2]).to_vec();
    match charset {
        "utf8mb4" => c.to_string().into_bytes(),
        "utf8mb3" => narrow.to_string().into_bytes(),
        "utf16" => units(c).iter().flat_map(|unit| unit.to_be_bytes()).collect(),
        "utf16le" => units(c).iter().flat_map(|unit| unit.to_le_bytes()).collect(),
        "ucs2" => units(narrow).iter().flat_map(|unit| unit.to_be_bytes()).collect(),
        "utf32" => u32::from(c).to_be_bytes().to_vec(),
        _ => plain.map_or_else(|| own_letter(rng, charset), |c| vec![c as u8]),
    }
}

/// A character that only this character set writes so.
fn own_letter(rng: &mut StdRng, charset: &str) -> Vec<u8> {
    let mut of = |ranges: &[RangeInclusive<u8>]| {
        let range = ranges.choose(rng).unwrap().clone();
        rng.random_range(range)
    };
    match charset {
        "gbk" => vec![of(&[0x81..=0xFE]), of(&[0x40..=0x7E, 0x5C..=0x5C, 0x80..=0xFE])],
        "big5" => vec![of(&[0xA1..=0xF9]), of(&[0x40..=0x7E, 0x5C..=0x5C, 0xA1..=0xFE])],
        "sjis" => match of(&[0..=2]) {
            0 => vec![of(&[0xA1..=0xDF])],
            _ => {
                vec![of(&[0x81..=0x9F, 0xE0..=0xFC]), of(&[0x40..=0x7E, 0x5C..=0x5C, 0x80..=0xFC])]
            }
        },
        "gb18030" => match of(&[0..=1]) {
            0 => vec![of(&[0x81..=0xFE]), of(&[0x40..=0x7E, 0x80..=0xFE])],
            _ => {
                let digit = || 0x30..=0x39;
                vec![of(&[0x90..=0xE2]), of(&[digit()]), of(&[0x81..=0xFE]), of(&[digit()])]
            }
        },
        _ => vec![of(&[0..=0xFF])],
    }
}

/// A JSON document.
pub fn document(rng: &mut StdRng) -> String {
    let long = once_in(rng, ONE_IS_LONG);
    let text = match long {
        true => {
            let members: Vec<String> = (0..9000).map(|_| node(rng, 0)).collect();
            format!("[{}]", members.join(","))
        }
        false => node(rng, 3),
    };
    format!("_utf8mb4 {}", hexadecimal(text.as_bytes()))
}

/// A value of a document with so many levels below it at most.
fn node(rng: &mut StdRng, depth: u32) -> String {
    let kinds = if depth == 0 { 8 } else { 12 };
    match rng.random_range(0..kinds) {
        0 => "null".to_owned(),
        1 => rng.random::<bool>().to_string(),
        2 => signed(rng, 64),
        3 => unsigned(rng, 64),
        4 => double(rng),
        5 => fixed(rng, 6, 3),
        6 | 7 => string(rng),
        8 | 9 => {
            let count = rng.random_range(0..6);
            let members: Vec<String> = (0..count).map(|_| node(rng, depth - 1)).collect();
            format!("[{}]", members.join(", "))
        }
        _ => {
            let count = rng.random_range(0..6);
            let mut member = || format!("{}: {}", string(rng), node(rng, depth - 1));
            let members: Vec<String> = (0..count).map(|_| member()).collect();
            format!("{{{}}}", members.join(", "))
        }
    }
}

fn string(rng: &mut StdRng) -> String {
    let count = rng.random_range(0..12);
    let mut text = String::from('"');
    for _ in 0..count {
        let c = if rng.random() { *SPECIAL.choose(rng).unwrap() } else { rng.random() };
        match c {
            '"' | '\\' => text.extend(['\\', c]),
            c if c < ' ' => text.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => text.push(c),
        }
    }
    text.push('"');
    text
}

/// A shape of this number in the standard, in one of two reference systems.
pub fn geometry(rng: &mut StdRng, shape: u32) -> String {
    let system = [0, 4326].choose(rng).unwrap();
    let mut wkb = Vec::new();
    push_shape(rng, shape, &mut wkb);
    format!("ST_GeomFromWKB({}, {system})", hexadecimal(&wkb))
}

const POINT: u32 = 1;
const LINE: u32 = 2;
const POLYGON: u32 = 3;

/// The well-known binary form: points, lines, polygons, and several of each; a collection is the last.
fn push_shape(rng: &mut StdRng, shape: u32, wkb: &mut Vec<u8>) {
    wkb.push(1);
    wkb.extend(shape.to_le_bytes());
    match shape {
        POINT => push_point(rng, wkb),
        LINE => {
            let count = rng.random_range(2..6u32);
            wkb.extend(count.to_le_bytes());
            (0..count).for_each(|_| push_point(rng, wkb));
        }
        POLYGON => {
            let count = rng.random_range(3..6u32);
            wkb.extend(1u32.to_le_bytes());
            wkb.extend((count + 1).to_le_bytes());
            let begin = wkb.len();
            (0..count).for_each(|_| push_point(rng, wkb));
            // A ring ends where it begins.
            wkb.extend_from_within(begin..begin + 16);
        }
        _ => {
            let count = rng.random_range(1..4u32);
            wkb.extend(count.to_le_bytes());
            for _ in 0..count {
                // 4 is several points, 5 lines, 6 polygons.
                let member = if shape < 7 { shape - 3 } else { rng.random_range(POINT..=POLYGON) };
                push_shape(rng, member, wkb);
            }
        }
    }
}

fn push_point(rng: &mut StdRng, wkb: &mut Vec<u8>) {
    for _ in 0..2 {
        let place: f64 = rng.random_range(-90.0..90.0);
        wkb.extend(place.to_le_bytes());
    }
}

/// A UUID of a version that MariaDB takes, which depends on the variant.
pub fn uuid(rng: &mut StdRng) -> String {
    const VERSION: u32 = 76;
    const VARIANT: u32 = 56;
    let mut value: u128 = rng.random::<u128>() >> *[0, 0, 64, 127].choose(rng).unwrap();
    let versions = if value >> VARIANT & 0xFF > 0x80 { 9 } else { 6 };
    value &= !(0xF << VERSION);
    value |= u128::from(below(rng, versions)) << VERSION;
    let digits = format!("{value:032x}");
    let parts = [0..8, 8..12, 12..16, 16..20, 20..32].map(|range| &digits[range]);
    format!("'{}'", parts.join("-"))
}

/// An address of four bytes.
pub fn inet4(rng: &mut StdRng) -> String {
    format!("'{}'", Ipv4Addr::from(rng.random::<u32>()))
}

/// An address of sixteen bytes, some of them zero, or one of four.
pub fn inet6(rng: &mut StdRng) -> String {
    let any = rng.random::<u128>();
    let short = (0xFFFF << 32) | u128::from(rng.random::<u32>());
    let zeros = any & (u128::MAX << rng.random_range(0..128));
    format!("'{}'", Ipv6Addr::from(*[any, zeros, short, any >> 100].choose(rng).unwrap()))
}
