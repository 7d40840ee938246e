//! Fields of rows in the text forms of both engines, in which a backslash gives the byte behind it
//! another meaning.
//!
//! In: a field as it stands in a line. Out: its bytes. Which bytes have another meaning is the
//! engine's to say.

/// A field as it was before it was escaped; `meant` tells what the byte behind a backslash stands for.
/// The field is not NULL.
pub(super) fn unescaped(field: &[u8], meant: impl Fn(u8) -> u8) -> Vec<u8> {
    let mut plain = Vec::with_capacity(field.len());
    let mut bytes = field.iter();
    while let Some(byte) = bytes.next() {
        plain.push(match byte {
            b'\\' => bytes.next().map_or(b'\\', |escaped| meant(*escaped)),
            other => *other,
        });
    }
    plain
}
