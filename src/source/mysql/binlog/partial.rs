//! JSON documents of which the log tells just what changed.
//!
//! In come a document as it was and a list of changes; out goes the text of the document as it
//! became. What does not fit is an error: a document is never guessed. Layout of the changes:
//! `Json_diff_vector` in the server's json_diff.cc; paths: the MySQL manual, "JSON Path Syntax".

use std::cmp::Ordering;

use super::cursor::Cursor;
use super::error::Problem;
use super::json::{MALFORMED, Value, push_string};

/// Operations of a change.
const REPLACE: u8 = 0;
const INSERT: u8 = 1;
const REMOVE: u8 = 2;

/// A document of which parts were changed.
enum Node<'a> {
    /// As it was.
    Plain(Value<'a>),
    Array(Vec<Node<'a>>),
    /// In the order in which members are stored: shorter names first.
    Object(Vec<(Vec<u8>, Node<'a>)>),
}

/// A step of a path.
#[derive(Debug, PartialEq, Eq)]
enum Leg {
    Member(Vec<u8>),
    Element(usize),
}

/// Writes the text of the document `before` with `changes` in it.
pub(super) fn push_merged(out: &mut Vec<u8>, before: &[u8], changes: &[u8]) -> Result<(), Problem> {
    let mut document = Node::Plain(Value::document(before));
    let mut cursor = Cursor::new(changes, "changes of a JSON document");
    while !cursor.is_empty() {
        let operation = cursor.u8()?;
        let legs = parse_path(cursor.packed_bytes()?).ok_or(MALFORMED)?;
        let value = match operation {
            REMOVE => None,
            REPLACE | INSERT => Some(Node::Plain(Value::document(cursor.packed_bytes()?))),
            _ => return Err(MALFORMED),
        };
        document.change(operation, &legs, value)?;
    }
    document.push(out, 0)
}

/// By length, then by bytes (`Json_key_comparator` in the server's json_dom.h).
fn by_name(one: &[u8], other: &[u8]) -> Ordering {
    one.len().cmp(&other.len()).then_with(|| one.cmp(other))
}

impl<'a> Node<'a> {
    /// Takes an object or array apart, one level deep.
    fn open(&mut self) -> Result<(), Problem> {
        let Node::Plain(value) = self else { return Ok(()) };
        let Some(container) = value.container()? else { return Ok(()) };
        *self = if container.is_object() {
            let member =
                |index| Ok((container.key(index)?.to_vec(), Node::Plain(container.value(index)?)));
            Node::Object((0..container.count).map(member).collect::<Result<_, Problem>>()?)
        } else {
            let element = |index| container.value(index).map(Node::Plain);
            Node::Array((0..container.count).map(element).collect::<Result<_, Problem>>()?)
        };
        Ok(())
    }

    /// What a leg leads to, if it is there.
    fn child(&mut self, leg: &Leg) -> Result<Option<&mut Node<'a>>, Problem> {
        self.open()?;
        Ok(match (self, leg) {
            (Node::Array(elements), Leg::Element(index)) => elements.get_mut(*index),
            (Node::Object(members), Leg::Member(name)) => {
                let found = members.binary_search_by(|(known, _)| by_name(known, name));
                found.ok().map(|index| &mut members[index].1)
            }
            _ => None,
        })
    }

    fn change(
        &mut self,
        operation: u8,
        legs: &[Leg],
        value: Option<Node<'a>>,
    ) -> Result<(), Problem> {
        let Some((last, way)) = legs.split_last() else {
            return match (operation, value) {
                (REPLACE, Some(value)) => {
                    *self = value;
                    Ok(())
                }
                _ => Err(MALFORMED),
            };
        };
        let mut parent = self;
        for leg in way {
            parent = parent.child(leg)?.ok_or(MALFORMED)?;
        }
        parent.open()?;
        match (operation, value) {
            (REPLACE, Some(value)) => *parent.child(last)?.ok_or(MALFORMED)? = value,
            (INSERT, Some(value)) => parent.insert(last, value)?,
            _ => parent.remove(last)?,
        }
        Ok(())
    }

    fn insert(&mut self, leg: &Leg, value: Node<'a>) -> Result<(), Problem> {
        match (self, leg) {
            (Node::Array(elements), Leg::Element(index)) => {
                elements.insert((*index).min(elements.len()), value);
                Ok(())
            }
            (Node::Object(members), Leg::Member(name)) => {
                match members.binary_search_by(|(known, _)| by_name(known, name)) {
                    Ok(_) => Err(MALFORMED),
                    Err(index) => {
                        members.insert(index, (name.clone(), value));
                        Ok(())
                    }
                }
            }
            _ => Err(MALFORMED),
        }
    }

    fn remove(&mut self, leg: &Leg) -> Result<(), Problem> {
        match (self, leg) {
            (Node::Array(elements), Leg::Element(index)) if *index < elements.len() => {
                elements.remove(*index);
                Ok(())
            }
            (Node::Object(members), Leg::Member(name)) => {
                let found = members.binary_search_by(|(known, _)| by_name(known, name));
                members.remove(found.map_err(|_| MALFORMED)?);
                Ok(())
            }
            _ => Err(MALFORMED),
        }
    }

    fn push(&self, out: &mut Vec<u8>, depth: usize) -> Result<(), Problem> {
        match self {
            Node::Plain(value) => value.push(out, depth)?,
            Node::Array(elements) => {
                out.push(b'[');
                for (index, element) in elements.iter().enumerate() {
                    out.extend_from_slice(if index > 0 { b", " } else { b"" });
                    element.push(out, depth + 1)?;
                }
                out.push(b']');
            }
            Node::Object(members) => {
                out.push(b'{');
                for (index, (name, member)) in members.iter().enumerate() {
                    out.extend_from_slice(if index > 0 { b", " } else { b"" });
                    push_string(out, name);
                    out.extend_from_slice(b": ");
                    member.push(out, depth + 1)?;
                }
                out.push(b'}');
            }
        }
        Ok(())
    }
}

/// Reads `$.name."quoted name"[3]`.
fn parse_path(path: &[u8]) -> Option<Vec<Leg>> {
    let mut rest = path.strip_prefix(b"$")?;
    let mut legs = Vec::new();
    while let Some((&first, behind)) = rest.split_first() {
        rest = match first {
            b'[' => {
                let end = behind.iter().position(|byte| *byte == b']')?;
                let index = std::str::from_utf8(&behind[..end]).ok()?.trim().parse().ok()?;
                legs.push(Leg::Element(index));
                &behind[end + 1..]
            }
            b'.' if behind.first() == Some(&b'"') => {
                let end = closing_quote(behind)?;
                let name: String = serde_json::from_slice(&behind[..=end]).ok()?;
                legs.push(Leg::Member(name.into_bytes()));
                &behind[end + 1..]
            }
            b'.' => {
                let end = behind.iter().position(|byte| matches!(byte, b'.' | b'['));
                let (name, behind) = behind.split_at(end.unwrap_or(behind.len()));
                legs.push(Leg::Member(name.to_vec()));
                behind
            }
            _ => return None,
        };
    }
    Some(legs)
}

/// Where the quoted name that `text` begins with ends.
fn closing_quote(text: &[u8]) -> Option<usize> {
    let mut escaped = false;
    for (at, &byte) in text.iter().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some(at),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `{"a": 1, "bb": [true]}`
    const BEFORE: &[u8] = &[
        0, 2, 0, 30, 0, 18, 0, 1, 0, 19, 0, 2, 0, 5, 1, 0, 2, 21, 0, b'a', b'b', b'b', 1, 0, 9, 0,
        4, 1, 0, 0, 0,
    ];

    fn change(operation: u8, path: &[u8], value: &[u8]) -> Vec<u8> {
        let mut bytes = vec![operation, path.len() as u8];
        bytes.extend_from_slice(path);
        if operation != REMOVE {
            bytes.push(value.len() as u8);
            bytes.extend_from_slice(value);
        }
        bytes
    }

    fn merged(changes: &[Vec<u8>]) -> Result<String, Problem> {
        let mut out = Vec::new();
        push_merged(&mut out, BEFORE, &changes.concat())?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn changes_are_made_where_their_paths_lead() {
        assert_eq!(merged(&[]).unwrap(), r#"{"a": 1, "bb": [true]}"#);
        let changes = [
            change(REPLACE, b"$.a", &[5, 7, 0]),
            change(INSERT, b"$.bb[0]", &[4, 0]),
            change(INSERT, br#"$."c \"d""#, &[4, 2]),
            change(REMOVE, b"$.bb[1]", &[]),
        ];
        assert_eq!(merged(&changes).unwrap(), r#"{"a": 7, "bb": [null], "c \"d": false}"#);
        assert_eq!(merged(&[change(REPLACE, b"$", &[4, 1])]).unwrap(), "true");
    }

    #[test]
    fn a_change_that_does_not_fit_is_refused() {
        for changes in [
            change(REPLACE, b"$.zz", &[4, 0]),
            change(INSERT, b"$.a", &[4, 0]),
            change(REMOVE, b"$.bb[1]", &[]),
            change(REMOVE, b"$", &[]),
            change(REPLACE, b"a", &[4, 0]),
            change(9, b"$.a", &[4, 0]),
        ] {
            assert!(merged(&[changes]).is_err());
        }
    }
}
