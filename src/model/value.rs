//! Values as places in a buffer that came from a server.
//!
//! Nothing is copied until a statement or a COPY stream is written. NULL, *absent* (not in the
//! log) and a value of no bytes are three different things and stay so.

/// Where a value lies in its batch's buffer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ValueRef {
    /// SQL NULL.
    Null,
    /// Not in the log: an unchanged large value, or a column outside of the row image.
    Absent,
    /// `len` bytes from `start`, in the engine's text form.
    Text {
        /// Offset into the batch's buffer, in bytes.
        start: u32,
        /// Length in bytes.
        len: u32,
    },
}

/// A value that was looked up.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Value<'a> {
    /// SQL NULL.
    Null,
    /// Not in the log.
    Absent,
    /// The engine's text form.
    Text(&'a [u8]),
}

/// A row's values: a run of a batch's value list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Row {
    /// Index of the first value in [`super::Batch::values`].
    pub first: u32,
    /// Number of values.
    pub len: u16,
}
