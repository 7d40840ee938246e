//! A batch while it is filled: one buffer that values are rendered into.

use bytes::Bytes;

use super::error::Problem;
use crate::model::{Batch, Event, Position, Row, ValueRef};

/// The most room that a page begins with, in items.
const MOST_RESERVED: usize = 256 * 1024;

/// A batch that is being filled.
#[derive(Debug, Default)]
pub struct Page {
    pub(super) data: Vec<u8>,
    pub(super) values: Vec<ValueRef>,
    pub(super) events: Vec<Event>,
}

impl Page {
    /// What it holds in memory, about.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.data.len() + self.values.len() * size_of::<ValueRef>() + self.event_bytes()
    }

    fn event_bytes(&self) -> usize {
        self.events.len() * size_of::<Event>()
    }

    /// Whether nothing came.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// The batch. The next page has room for about as much.
    #[must_use]
    pub fn take(&mut self) -> Batch {
        let like = |len: usize| len.min(MOST_RESERVED);
        let next = Page {
            data: Vec::with_capacity(like(self.data.len())),
            values: Vec::with_capacity(like(self.values.len())),
            events: Vec::with_capacity(like(self.events.len())),
        };
        let Page { data, values, events } = std::mem::replace(self, next);
        Batch { data: Bytes::from(data), values, events }
    }

    /// Says that everything before `position` came, and nothing is open.
    pub(super) fn idle(&mut self, position: &Position) {
        let event = Event::Idle { position: position.clone() };
        match self.events.last_mut() {
            Some(last @ Event::Idle { .. }) => *last = event,
            Some(_) | None => self.events.push(event),
        }
    }

    /// The value that lies between `start` and the end of what is rendered.
    #[inline]
    pub(super) fn value_from(&self, start: usize) -> Result<ValueRef, Problem> {
        let len = self.data.len() - start;
        match (u32::try_from(start), u32::try_from(len)) {
            (Ok(start), Ok(len)) => Ok(ValueRef::Text { start, len }),
            _ => Err(Problem::TooLarge("the rows of one event")),
        }
    }

    /// The row of the last values, from `first` on.
    pub(super) fn row_from(&self, first: usize) -> Result<Row, Problem> {
        let len = u16::try_from(self.values.len() - first);
        match (u32::try_from(first), len) {
            (Ok(first), Ok(len)) => Ok(Row { first, len }),
            _ => Err(Problem::TooLarge("the rows of one event")),
        }
    }

    /// The bytes of a value that was rendered.
    #[inline]
    pub(super) fn text(&self, value: ValueRef) -> Option<&[u8]> {
        match value {
            ValueRef::Text { start, len } => {
                Some(&self.data[start as usize..start as usize + len as usize])
            }
            ValueRef::Null | ValueRef::Absent => None,
        }
    }
}
