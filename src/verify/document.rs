//! JSON documents by value.
//!
//! In: a document's text. Out: a text that all documents of the same value have: without blanks,
//! members in one order, numbers without zeros that are of no account, and every character either as
//! it is or in one escape. Of two members of one name the last counts. Numbers are compared with all
//! their digits, since no server is asked what it makes of them.

use super::canonical::push_number;

/// Documents that are nested deeper are left as they are. The servers' own limits are lower.
const MOST_DEPTH: usize = 256;

/// Writes documents by value, in buffers that serve for one after the other.
#[derive(Debug, Default)]
pub(super) struct Documents {
    members: Vec<Member>,
    sorted: Vec<u8>,
}

/// Where a member lies in what is written.
#[derive(Clone, Copy, Debug)]
struct Member {
    start: usize,
    name_end: usize,
    end: usize,
}

impl Member {
    /// Its name, by its length first: the order in which MySQL keeps members.
    fn name(self, out: &[u8]) -> (usize, &[u8]) {
        (self.name_end - self.start, &out[self.start..self.name_end])
    }
}

impl Documents {
    /// Appends a document. False, and nothing is appended, where it is none.
    pub(super) fn push(&mut self, text: &[u8], out: &mut Vec<u8>) -> bool {
        let start = out.len();
        self.members.clear();
        let mut reading = Reading { rest: text, out, buffers: self };
        let read = reading.value(0);
        reading.skip_blanks();
        let whole = read.is_some() && reading.rest.is_empty();
        if !whole {
            out.truncate(start);
        }
        whole
    }
}

/// A document that is being read.
struct Reading<'a> {
    rest: &'a [u8],
    out: &'a mut Vec<u8>,
    buffers: &'a mut Documents,
}

impl Reading<'_> {
    fn skip_blanks(&mut self) {
        let blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
        let blanks = self.rest.iter().take_while(|byte| blank(byte)).count();
        self.rest = &self.rest[blanks..];
    }

    /// Takes the next character that is no blank, where it is this one.
    fn takes(&mut self, wanted: u8) -> bool {
        self.skip_blanks();
        let there = self.rest.first() == Some(&wanted);
        if there {
            self.rest = &self.rest[1..];
        }
        there
    }

    fn value(&mut self, depth: usize) -> Option<()> {
        self.skip_blanks();
        match self.rest.first()? {
            _ if depth > MOST_DEPTH => None,
            b'{' => self.object(depth),
            b'[' => self.array(depth),
            b'"' => self.string(),
            b'-' | b'0'..=b'9' => self.number(),
            _ => self.literal(),
        }
    }

    fn literal(&mut self) -> Option<()> {
        let words = [&b"true"[..], b"false", b"null"];
        let word = words.into_iter().find(|word| self.rest.starts_with(word))?;
        self.out.extend_from_slice(word);
        self.rest = &self.rest[word.len()..];
        Some(())
    }

    fn number(&mut self) -> Option<()> {
        let part = |byte: &u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
        let len = self.rest.iter().take_while(|byte| part(byte)).count();
        let (number, rest) = self.rest.split_at(len);
        self.rest = rest;
        push_number(self.out, number).then_some(())
    }

    fn array(&mut self, depth: usize) -> Option<()> {
        self.takes(b'[');
        self.out.push(b'[');
        let first = self.out.len();
        while !self.takes(b']') {
            if self.out.len() > first {
                self.takes(b',').then_some(())?;
                self.out.push(b',');
            }
            self.value(depth + 1)?;
        }
        self.out.push(b']');
        Some(())
    }

    fn object(&mut self, depth: usize) -> Option<()> {
        self.takes(b'{');
        self.out.push(b'{');
        let outer = self.buffers.members.len();
        while !self.takes(b'}') {
            if self.buffers.members.len() > outer {
                self.takes(b',').then_some(())?;
                self.out.push(b',');
            }
            self.skip_blanks();
            let start = self.out.len();
            self.string()?;
            let name_end = self.out.len();
            self.takes(b':').then_some(())?;
            self.out.push(b':');
            self.value(depth + 1)?;
            self.buffers.members.push(Member { start, name_end, end: self.out.len() });
        }
        self.sort(outer);
        self.buffers.members.truncate(outer);
        self.out.push(b'}');
        Some(())
    }

    /// Puts the members from `outer` on in order, and keeps the last of each name.
    fn sort(&mut self, outer: usize) {
        let Documents { members, sorted } = &mut *self.buffers;
        let members = &mut members[outer..];
        let Some(first) = members.first() else { return };
        let begin = first.start;
        if members.is_sorted_by(|one, next| one.name(self.out) < next.name(self.out)) {
            return;
        }
        members.sort_unstable_by_key(|member| (member.name(self.out), member.start));
        sorted.clear();
        for (at, member) in members.iter().enumerate() {
            let next = members.get(at + 1);
            if next.is_some_and(|next| next.name(self.out) == member.name(self.out)) {
                continue;
            }
            if !sorted.is_empty() {
                sorted.push(b',');
            }
            sorted.extend_from_slice(&self.out[member.start..member.end]);
        }
        self.out.truncate(begin);
        self.out.extend_from_slice(sorted);
    }

    fn string(&mut self) -> Option<()> {
        self.rest = self.rest.strip_prefix(b"\"")?;
        self.out.push(b'"');
        loop {
            let len = self.rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1F))?;
            let (plain, rest) = self.rest.split_at(len);
            self.out.extend_from_slice(plain);
            match rest {
                [b'"', rest @ ..] => {
                    self.out.push(b'"');
                    self.rest = rest;
                    return Some(());
                }
                [b'\\', rest @ ..] => {
                    self.rest = rest;
                    self.escaped()?;
                }
                _ => return None,
            }
        }
    }

    /// Writes the character whose escape comes next.
    fn escaped(&mut self) -> Option<()> {
        let (escape, rest) = self.rest.split_first()?;
        self.rest = rest;
        let character = match escape {
            b'"' | b'\\' | b'/' => char::from(*escape),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => self.unicode()?,
            _ => return None,
        };
        match character {
            '"' | '\\' => self.out.extend_from_slice(&[b'\\', character as u8]),
            '\0'..='\u{1f}' => {
                let digit = b"0123456789abcdef"[(character as usize) & 15];
                let high = b'0' + ((character as u8) >> 4);
                self.out.extend_from_slice(&[b'\\', b'u', b'0', b'0', high, digit]);
            }
            _ => self.out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
        }
        Some(())
    }

    /// The character of four digits, or of two times four where it takes a pair of surrogates.
    fn unicode(&mut self) -> Option<char> {
        let high = self.four_digits()?;
        if !(0xD800..0xDC00).contains(&high) {
            return char::from_u32(high);
        }
        self.rest = self.rest.strip_prefix(b"\\u")?;
        let low = self.four_digits()?;
        if !(0xDC00..0xE000).contains(&low) {
            return None;
        }
        char::from_u32(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00))
    }

    fn four_digits(&mut self) -> Option<u32> {
        let (digits, rest) = self.rest.split_at_checked(4)?;
        self.rest = rest;
        let digit = |byte: &u8| char::from(*byte).to_digit(16);
        digits.iter().try_fold(0, |number, byte| Some(number << 4 | digit(byte)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by_value(text: &str) -> Option<String> {
        let mut out = b"before".to_vec();
        let there = Documents::default().push(text.as_bytes(), &mut out);
        let out = String::from_utf8(out).unwrap();
        let written = out.strip_prefix("before").unwrap().to_owned();
        assert_eq!(there, !written.is_empty());
        there.then_some(written)
    }

    #[test]
    fn documents_of_one_value_have_one_text() {
        let same: [&[&str]; 7] = [
            &[r#"{"a": 1, "bb": [1.50, -2e3]}"#, r#" { "bb":[ 15e-1,-2000 ] ,"a":1.0}"#],
            &[r#"{"b": 2, "a": {"d": 4, "c": 3}}"#, r#"{"a":{"c":3,"d":4},"b":2}"#],
            &[r#"{"a": 3}"#, r#"{"a": 1, "a": {"x": 2}, "a": 3}"#],
            &[r#""ä\"\\/😀\u0001""#, r#""\u00e4\u0022\u005c\/\uD83D\ude00\u0001""#],
            &[r#""\t\n\b\f\r""#, r#""\u0009\u000A\u0008\u000c\u000d""#],
            &["[]", " [ ] "],
            &["{}", "\r\n{\t}"],
        ];
        for texts in same {
            let first = by_value(texts[0]);
            assert!(first.is_some(), "{texts:?}");
            assert!(texts.iter().all(|text| by_value(text) == first), "{texts:?} {first:?}");
        }
        let expected = r#"{"a":1,"bb":[1.5,-2000]}"#;
        assert_eq!(by_value(same[0][0]).as_deref(), Some(expected));
    }

    #[test]
    fn documents_of_other_values_have_another_text() {
        let others = [
            "null",
            "true",
            "false",
            "0",
            "-0.0",
            "1",
            "10",
            r#""""#,
            r#""1""#,
            r#"" ""#,
            "[]",
            "[1]",
            "[1,1]",
            "[[1]]",
            "[1,2]",
            "[2,1]",
            "{}",
            r#"{"1":1}"#,
            r#"{"1":2}"#,
            r#"{" 1":1}"#,
            r#"{"1":1,"2":2}"#,
            r#"{"1":2,"2":1}"#,
            r#"["a","b"]"#,
            r#"["a\",\"b"]"#,
            r#""\\n""#,
            r#""\n""#,
            r#"{"a":null}"#,
            "0.1",
            "0.10000000000000001",
            "1e99",
        ];
        let texts: std::collections::BTreeSet<_> =
            others.iter().map(|text| by_value(text)).collect();
        assert_eq!(texts.len(), others.len());
        assert!(!texts.contains(&None));
    }

    #[test]
    fn what_is_no_document_is_left() {
        let none = [
            "",
            " ",
            "{",
            "}",
            "[1",
            "[1,]",
            "[,1]",
            "[1 2]",
            r#"{"a"}"#,
            r#"{"a":}"#,
            r#"{a:1}"#,
            r#"{"a":1,}"#,
            "nul",
            "1 1",
            "1x",
            "--1",
            r#"""#,
            r#""\x""#,
            r#""\ud800""#,
            r#""\udc00""#,
            r#""\u12""#,
            "\"\t\"",
            "'a'",
            "tru e",
            "+1",
            "NaN",
        ];
        for text in none {
            assert_eq!(by_value(text), None, "{text}");
        }
        let nested = |depth| [vec!["["; depth].concat(), vec!["]"; depth].concat()].concat();
        assert!(by_value(&nested(MOST_DEPTH)).is_some());
        assert_eq!(by_value(&nested(100_000)), None);
    }
}
