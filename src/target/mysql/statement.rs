//! The statements that carry out an effect, as text.
//!
//! In: a table's columns, and values of a plan. Out: statements, each with the table it is about and
//! the number of rows that it must find. Rows are found by their keys alone, compared as the column's
//! own collation has it; a table without a key by all columns, compared by their bytes. Nothing in
//! here talks to a server, and no statement overwrites or leaves out a row that it meets: no
//! REPLACE, no IGNORE, no ON DUPLICATE KEY.

use std::collections::VecDeque;

use bytes::Bytes;

use super::TargetError;
use super::infile::{self, Taken};
use super::literal::{self, AbsentValue, Encoding, base, ident};
use crate::model::{
    CellIndex, Column, Plan, Relation, RowIdentity, Shape, TableEffect, UpdateSet, Value,
};

/// From this many rows on they are loaded instead of being written into a statement: measured with
/// 10,000 rows of sysbench, inserts took 0.7 of the time, and updates of a table joined with loaded
/// rows a third of that of a statement for each row (MySQL 9.7 and MariaDB 11.8 alike). Below, the two
/// more round trips weigh more.
const LOAD_FROM: usize = 128;

/// Where loaded rows of an update wait for it.
const STAGED: &str = "dunlin.staged";

/// Bytes of one statement, about: long enough that its own cost is small, short enough for every
/// server's packets.
const STATEMENT_BYTES: usize = 1 << 20;

/// A table as statements write it.
pub(super) struct Written {
    /// Its quoted name.
    name: String,
    /// The columns of its relation, in their order.
    columns: Vec<WrittenColumn>,
}

struct WrittenColumn {
    name: String,
    ident: String,
    type_name: String,
    encoding: Encoding,
}

/// What a statement under way must have done.
pub(super) struct Expected<'a> {
    /// What it does, for errors.
    pub(super) act: &'static str,
    /// The table that it is about.
    pub(super) relation: Option<&'a Relation>,
    /// How many rows it must find; None for any number.
    pub(super) rows: Option<u64>,
}

/// Statements to be sent as one packet.
#[derive(Default)]
pub(super) struct Packet<'a> {
    /// The statements, parted by semicolons.
    pub(super) text: Vec<u8>,
    /// What each must have done.
    pub(super) expected: Vec<Expected<'a>>,
    /// Values that a strict session does not take: each brings one warning.
    pub(super) zeros: u64,
}

impl Expected<'_> {
    /// A statement that is about no rows.
    pub(super) fn nothing(act: &'static str) -> Self {
        Expected { act, relation: None, rows: None }
    }
}

impl<'a> Packet<'a> {
    /// Begins a statement.
    fn begin(&mut self, expected: Expected<'a>) {
        if !self.text.is_empty() {
            self.text.extend_from_slice(b";\n");
        }
        self.expected.push(expected);
    }

    /// Adds a whole statement.
    pub(super) fn push(&mut self, statement: &str, expected: Expected<'a>) {
        self.begin(expected);
        self.text.extend_from_slice(statement.as_bytes());
    }

    fn word(&mut self, word: &str) {
        self.text.extend_from_slice(word.as_bytes());
    }

    fn value(&mut self, column: &WrittenColumn, value: Value<'_>) -> Result<(), AbsentValue> {
        self.zeros += u64::from(column.encoding.push(&mut self.text, value)?);
        Ok(())
    }
}

impl Written {
    /// How rows of `relation` are written into its table. `columns` are those of the source.
    pub(super) fn new(relation: &Relation, columns: &[Column]) -> Self {
        let written = |column: &crate::model::RelationColumn| {
            let known = columns.iter().find(|known| known.name == column.name);
            let type_name = known.map_or(&column.type_name, |known| &known.type_name).clone();
            let collation = known.and_then(|known| known.collation.as_deref());
            WrittenColumn {
                name: column.name.clone(),
                ident: ident(&column.name),
                encoding: Encoding::of(&type_name, collation),
                type_name,
            }
        };
        Written {
            name: literal::name(&relation.name),
            columns: relation.columns.iter().map(written).collect(),
        }
    }

    /// Its quoted name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }
}

/// Writes the statements of effects of one shape.
pub(super) struct Writer<'a> {
    pub(super) plan: &'a Plan,
    pub(super) table: &'a Written,
    pub(super) shape: &'a Shape,
}

impl<'a> Writer<'a> {
    /// Adds the statements that `effect` needs to packets.
    pub(super) fn effect(
        &self,
        effect: &TableEffect,
        packets: &mut Packets<'a>,
    ) -> Result<(), TargetError> {
        if self.shape.identity == RowIdentity::WholeRow {
            for &(row, count) in &effect.deletes {
                self.delete_whole(row, count, packets)?;
            }
        } else {
            let keys: Vec<CellIndex> = effect.deletes.iter().map(|(key, _)| *key).collect();
            self.delete(&keys, true, packets)?;
            self.delete(&effect.discards, false, packets)?;
        }
        for set in &effect.updates {
            match set.rows.len() {
                LOAD_FROM.. => self.update_staged(set, packets)?,
                _ => self.update(set, packets)?,
            }
        }
        match effect.inserts.len() {
            LOAD_FROM.. => self.load(&effect.inserts, packets),
            _ => self.insert(&effect.inserts, packets),
        }
    }

    fn expected(&self, act: &'static str, rows: Option<u64>) -> Expected<'a> {
        Expected { act, relation: Some(&self.shape.relation), rows }
    }

    fn delete(
        &self,
        keys: &[CellIndex],
        strict: bool,
        packets: &mut Packets<'a>,
    ) -> Result<(), TargetError> {
        let columns = self.shape.key_columns();
        let mut rest = keys;
        while !rest.is_empty() {
            let packet = packets.open();
            packet.begin(self.expected("delete", None));
            packet.word(&format!("DELETE FROM {} WHERE ", self.table.name));
            self.tuple(&columns, packet);
            packet.word(" IN (");
            let begun = packet.text.len();
            let mut taken = 0;
            while taken < rest.len() && packet.text.len() - begun < STATEMENT_BYTES {
                packet.word(if taken == 0 { "" } else { "," });
                self.key(&columns, rest[taken], packet)?;
                taken += 1;
            }
            packet.word(")");
            if let Some(expected) = packet.expected.last_mut() {
                expected.rows = strict.then_some(taken as u64);
            }
            rest = &rest[taken..];
        }
        Ok(())
    }

    /// The key's columns: one by itself, several in brackets.
    fn tuple(&self, columns: &[u16], packet: &mut Packet<'a>) {
        let idents: Vec<&str> =
            columns.iter().map(|&c| &*self.table.columns[usize::from(c)].ident).collect();
        match &idents[..] {
            [one] => packet.word(one),
            several => packet.word(&format!("({})", several.join(","))),
        }
    }

    /// A key's values: one by itself, several in brackets.
    fn key(
        &self,
        columns: &[u16],
        key: CellIndex,
        packet: &mut Packet<'a>,
    ) -> Result<(), AbsentValue> {
        let several = columns.len() > 1;
        packet.word(if several { "(" } else { "" });
        for (offset, &column) in (0u16..).zip(columns) {
            packet.word(if offset == 0 { "" } else { "," });
            self.compared(column, self.plan.at(key, offset), packet)?;
        }
        packet.word(if several { ")" } else { "" });
        Ok(())
    }

    /// A value that a column is compared with.
    fn compared(
        &self,
        column: u16,
        value: Value<'_>,
        packet: &mut Packet<'a>,
    ) -> Result<(), AbsentValue> {
        let column = &self.table.columns[usize::from(column)];
        // A number of single precision differs from the same digits in double precision.
        let single = base(&column.type_name) == "float" && value != Value::Null;
        packet.word(if single { "CAST(" } else { "" });
        column.encoding.push_compared(&mut packet.text, value)?;
        packet.word(if single { " AS FLOAT)" } else { "" });
        Ok(())
    }

    fn delete_whole(
        &self,
        row: CellIndex,
        count: u32,
        packets: &mut Packets<'a>,
    ) -> Result<(), TargetError> {
        let packet = packets.open();
        packet.begin(self.expected("delete", Some(u64::from(count))));
        packet.word(&format!("DELETE FROM {} WHERE ", self.table.name));
        for (offset, column) in (0u16..).zip(&self.table.columns) {
            packet.word(if offset == 0 { "" } else { " AND " });
            packet.word(&bytes_of(column));
            packet.word(" <=> ");
            self.compared(offset, self.plan.at(row, offset), packet)?;
        }
        packet.word(&format!(" LIMIT {count}"));
        Ok(())
    }

    fn update(&self, set: &UpdateSet, packets: &mut Packets<'a>) -> Result<(), TargetError> {
        let keys = self.shape.key_columns();
        for &(old, new) in &set.rows {
            let packet = packets.open();
            packet.begin(self.expected("update", Some(1)));
            packet.word(&format!("UPDATE {} SET ", self.table.name));
            for (place, &column) in set.columns.iter().enumerate() {
                let written = &self.table.columns[usize::from(column)];
                packet.word(if place == 0 { "" } else { "," });
                packet.word(&written.ident);
                packet.word("=");
                packet.value(written, self.plan.at(new, column))?;
            }
            packet.word(" WHERE ");
            for (offset, &column) in (0u16..).zip(&keys) {
                packet.word(if offset == 0 { "" } else { " AND " });
                packet.word(&self.table.columns[usize::from(column)].ident);
                packet.word("=");
                self.compared(column, self.plan.at(old, offset), packet)?;
            }
        }
        Ok(())
    }

    /// Updates rows by their keys and new values, which are loaded into a table of the session's own.
    /// Its columns are made from the table's, so that nothing is converted on either way.
    fn update_staged(&self, set: &UpdateSet, packets: &mut Packets<'a>) -> Result<(), TargetError> {
        let keys = self.shape.key_columns();
        let column = |&column: &u16| &self.table.columns[usize::from(column)];
        let olds = keys.iter().map(column).zip((0..).map(|n| format!("k{n}")));
        let news = set.columns.iter().map(column).zip((0..).map(|n| format!("v{n}")));
        let staged: Vec<(&WrittenColumn, String)> = olds.clone().chain(news.clone()).collect();
        let selected: Vec<_> =
            staged.iter().map(|(column, name)| format!("{} AS {name}", column.ident)).collect();
        let table = &self.table.name;
        let make = format!(
            "DROP TEMPORARY TABLE IF EXISTS {STAGED};\n\
             CREATE TEMPORARY TABLE {STAGED} ENGINE = InnoDB AS SELECT {} FROM {table} LIMIT 0",
            selected.join(", ")
        );
        let packet = packets.open();
        packet.expected.push(self.expected("stage", None));
        packet.push(&make, self.expected("stage", None));
        let mut rows = Vec::new();
        for &(old, new) in &set.rows {
            let olds = (0..keys.len() as u16).map(|offset| self.plan.at(old, offset));
            let news = set.columns.iter().map(|&column| self.plan.at(new, column));
            push_row(&mut rows, olds.chain(news))?;
        }
        let taken = staged.iter().map(|(column, name)| Taken::named(name, &column.type_name));
        let taken: Vec<Taken> = taken.collect();
        let count = set.rows.len() as u64;
        packets.load(Rows {
            statement: infile::statement(STAGED, &taken),
            zeros: infile::zeros(&taken),
            rows: rows.into(),
            expected: self.expected("stage", Some(count)),
        });
        let found: Vec<_> = olds.map(|(c, name)| format!("t.{} = s.{name}", c.ident)).collect();
        let sets: Vec<_> = news.map(|(c, name)| format!("t.{} = s.{name}", c.ident)).collect();
        let update = format!(
            "UPDATE {STAGED} AS s STRAIGHT_JOIN {table} AS t ON {} SET {}",
            found.join(" AND "),
            sets.join(", ")
        );
        let packet = packets.open();
        packet.push(&update, self.expected("update", Some(count)));
        packet.push(&format!("DROP TEMPORARY TABLE {STAGED}"), self.expected("stage", None));
        Ok(())
    }

    fn load(&self, rows: &[CellIndex], packets: &mut Packets<'a>) -> Result<(), TargetError> {
        let columns = self.table.columns.iter();
        let taken: Vec<Taken> = columns.map(|c| Taken::named(&c.name, &c.type_name)).collect();
        let mut body = Vec::new();
        for &row in rows {
            push_row(&mut body, (0..self.shape.width()).map(|offset| self.plan.at(row, offset)))?;
        }
        packets.load(Rows {
            statement: infile::statement(&self.table.name, &taken),
            zeros: infile::zeros(&taken),
            rows: body.into(),
            expected: self.expected("insert", Some(rows.len() as u64)),
        });
        Ok(())
    }

    fn insert(&self, rows: &[CellIndex], packets: &mut Packets<'a>) -> Result<(), TargetError> {
        let idents: Vec<&str> = self.table.columns.iter().map(|c| &*c.ident).collect();
        let head = format!("INSERT INTO {} ({}) VALUES ", self.table.name, idents.join(","));
        let mut rest = rows;
        while !rest.is_empty() {
            let packet = packets.open();
            packet.begin(self.expected("insert", None));
            packet.word(&head);
            let begun = packet.text.len();
            let mut taken = 0;
            while taken < rest.len() && packet.text.len() - begun < STATEMENT_BYTES {
                packet.word(if taken == 0 { "(" } else { ",(" });
                for (offset, column) in (0u16..).zip(&self.table.columns) {
                    packet.word(if offset == 0 { "" } else { "," });
                    packet.value(column, self.plan.at(rest[taken], offset))?;
                }
                packet.word(")");
                taken += 1;
            }
            if let Some(expected) = packet.expected.last_mut() {
                expected.rows = Some(taken as u64);
            }
            rest = &rest[taken..];
        }
        Ok(())
    }
}

/// A column in the form in which only equal bytes are equal.
fn bytes_of(column: &WrittenColumn) -> String {
    let ident = &column.ident;
    match (&column.encoding, base(&column.type_name)) {
        (_, "json") => format!("CAST(CONVERT({ident} USING utf8mb4) AS BINARY)"),
        // MySQL compares vectors with nothing.
        (_, "vector") => format!("CAST({ident} AS BINARY)"),
        (Encoding::Text(charset), _) if charset == "binary" => ident.clone(),
        (Encoding::Text(_) | Encoding::Label { .. }, _) => format!("CAST({ident} AS BINARY)"),
        (Encoding::Bare | Encoding::Ascii | Encoding::Bits, _) => ident.clone(),
    }
}

/// Appends a row to those to be loaded.
fn push_row<'v>(
    rows: &mut Vec<u8>,
    values: impl Iterator<Item = Value<'v>>,
) -> Result<(), AbsentValue> {
    for (place, value) in values.enumerate() {
        if place > 0 {
            rows.push(b'\t');
        }
        infile::push(rows, value)?;
    }
    rows.push(b'\n');
    Ok(())
}

/// Rows to be loaded.
pub(super) struct Rows<'a> {
    /// The statement that loads them.
    pub(super) statement: String,
    /// The columns of which an empty value is the index zero of an ENUM.
    pub(super) zeros: Vec<String>,
    /// The rows.
    pub(super) rows: Bytes,
    /// How many there are, and of which table.
    pub(super) expected: Expected<'a>,
}

/// What is sent at once.
pub(super) enum Act<'a> {
    /// Statements.
    Packet(Packet<'a>),
    /// Rows.
    Load(Rows<'a>),
}

/// Packets of statements and rows to be loaded, in order.
pub(super) struct Packets<'a> {
    acts: VecDeque<Act<'a>>,
    most_bytes: usize,
    /// Whether foreign keys are at work for what comes next.
    keys_work: bool,
}

impl<'a> Packets<'a> {
    /// No statement yet; packets are begun anew from `most_bytes` on.
    pub(super) fn new(most_bytes: usize) -> Self {
        Packets { acts: VecDeque::new(), most_bytes, keys_work: false }
    }

    /// The packet that takes the next statement.
    pub(super) fn open(&mut self) -> &mut Packet<'a> {
        let takes_more = matches!(
            self.acts.back(),
            Some(Act::Packet(packet)) if packet.text.len() < self.most_bytes
        );
        if !takes_more {
            self.acts.push_back(Act::Packet(Packet::default()));
        }
        match self.acts.back_mut() {
            Some(Act::Packet(packet)) => packet,
            Some(Act::Load(_)) | None => unreachable!("a packet was pushed if none was there"),
        }
    }

    /// Has foreign keys at work from here on, or resting.
    pub(super) fn keys_work(&mut self, work: bool) {
        if self.keys_work != work {
            self.keys_work = work;
            let set = format!("SET SESSION foreign_key_checks = {}", u8::from(work));
            self.open().push(&set, Expected::nothing("have foreign keys at work or resting"));
        }
    }

    /// Adds rows to be loaded.
    fn load(&mut self, rows: Rows<'a>) {
        self.acts.push_back(Act::Load(rows));
    }

    /// The oldest act, if nothing can be added to it.
    pub(super) fn next_full(&mut self) -> Option<Act<'a>> {
        let full = match self.acts.front()? {
            Act::Packet(packet) => self.acts.len() > 1 || packet.text.len() >= self.most_bytes,
            Act::Load(_) => true,
        };
        if full { self.acts.pop_front() } else { None }
    }

    /// The oldest act.
    pub(super) fn next(&mut self) -> Option<Act<'a>> {
        self.acts.pop_front()
    }
}
