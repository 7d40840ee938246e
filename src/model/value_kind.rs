//! What the values of a column are, as far as two servers may write one value in two ways.
//!
//! A reader says it of each column that it reads, by what its server says of the column. Where both
//! sides say the same, equal values have equal texts; where they do not, the comparison knows from it
//! which form both texts are to be brought into. No engine's name of a type occurs here.

/// What the values of a column are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ValueKind {
    /// Values that are written in one way only, on whatever server.
    Plain,
    /// Text, with nothing in it that is of no account.
    Text,
    /// Text whose blanks at the end are of no account, filled up to a length.
    Padded {
        /// As the server's catalog has it.
        length: i32,
    },
    /// Numbers, written with so many zeros as the column's definition says.
    Number {
        /// What of the definition that depends on, in the server's own terms.
        shape: i32,
    },
    /// JSON documents that are kept by value, and written as the server likes.
    Document,
}
