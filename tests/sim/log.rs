//! The log of the source in memory, as batches: cut anywhere, shapes told before they are needed.

use std::collections::HashMap;
use std::sync::Arc;

use dunlin::model::{
    Batch, Change, Event, Lsn, Mark, Position, Relation, Row, TableId, Truncate, ValueRef,
};

use crate::source::{Act, Dice, Field, Transaction};

/// How a log is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Idling {
    /// Now and then it says that nothing happens.
    Sometimes,
    Never,
}

/// A reader at the start of a connection: it has told of no shape yet.
#[derive(Default)]
pub struct Encoder {
    known: HashMap<TableId, Arc<Relation>>,
    draft: Batch,
    data: Vec<u8>,
    batches: Vec<Batch>,
}

/// The batches of some transactions.
pub fn batches(log: &[Transaction], dice: &mut Dice, idling: Idling) -> Vec<Batch> {
    let mut encoder = Encoder::default();
    for transaction in log {
        let mark = Mark::Postgres(Lsn(transaction.commit));
        encoder.say(Event::Begin { mark, committed_at_us: transaction.commit as i64 }, dice);
        for change in &transaction.changes {
            for relation in &change.relations {
                encoder.introduce(relation, dice);
            }
            let table = change.relations[0].table;
            let event = encoder.change(table, &change.act);
            encoder.say(event, dice);
        }
        encoder.say(Event::Commit { end: Position::Postgres(Lsn(transaction.end)) }, dice);
        if idling == Idling::Sometimes && dice.below(3) == 0 {
            let position = Position::Postgres(Lsn(transaction.end + 10));
            encoder.say(Event::Idle { position }, dice);
        }
    }
    encoder.cut();
    encoder.batches
}

impl Encoder {
    fn say(&mut self, event: Event, dice: &mut Dice) {
        self.draft.events.push(event);
        if dice.below(4) == 0 {
            self.cut();
        }
    }

    fn cut(&mut self) {
        if !self.draft.events.is_empty() {
            let mut batch = std::mem::take(&mut self.draft);
            batch.data = std::mem::take(&mut self.data).into();
            self.batches.push(batch);
        }
    }

    fn introduce(&mut self, relation: &Arc<Relation>, dice: &mut Dice) {
        let known = self.known.insert(relation.table, Arc::clone(relation));
        if known.as_ref() != Some(relation) {
            self.say(Event::Relation(Arc::clone(relation)), dice);
        }
    }

    fn change(&mut self, table: TableId, act: &Act) -> Event {
        match act {
            Act::Insert { new } => Event::Change(Change::Insert { table, new: self.row(new) }),
            Act::Update { old, new } => {
                let old = old.as_ref().map(|old| self.row(old));
                Event::Change(Change::Update { table, old, new: self.row(new) })
            }
            Act::Delete { old } => Event::Change(Change::Delete { table, old: self.row(old) }),
            Act::Truncate { tables } => Event::Truncate(Truncate {
                tables: tables.clone(),
                cascade: false,
                restart_identity: false,
            }),
        }
    }

    fn row(&mut self, fields: &[Field]) -> Row {
        let first = self.draft.values.len() as u32;
        for field in fields {
            let value = match field {
                Field::Absent => ValueRef::Absent,
                Field::Value(None) => ValueRef::Null,
                Field::Value(Some(text)) => {
                    let start = self.data.len() as u32;
                    self.data.extend_from_slice(text.as_bytes());
                    ValueRef::Text { start, len: text.len() as u32 }
                }
            };
            self.draft.values.push(value);
        }
        Row { first, len: fields.len() as u16 }
    }
}
