//! The tables that are followed, and how the log describes them.
//!
//! In come TABLE_MAP events; out come [`Layout`]s: how rows are read, and as which relation they
//! appear. Tables that nobody asked for are recognised by their name alone. What the log describes is
//! compared with what the migration knows; where names are in the log (`binlog_row_metadata = FULL`)
//! columns are found by them, otherwise by their place, and a mismatch is an error: no value is
//! ever read as another column's.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::charset::CharacterSets;
use super::column::{Kind, Logged, code};
use super::cursor::{Cursor, bit};
use super::error::Problem;
use crate::model::{
    Act, Column, ColumnOrder, Identity, Mark, Relation, RelationColumn, Statement, Table, TableId,
    TableName,
};
use crate::source::mysql::relations::Wanted;

/// The tables that are followed, by the name that a TABLE_MAP has for them.
#[derive(Debug, Default)]
pub struct Registry {
    tables: HashMap<Box<[u8]>, Arc<Known>>,
    /// Which tables are to be followed that come; none where that is not known.
    wanted: Option<Wanted>,
    server: Habits,
    /// The place of a definition that is not told.
    passed: Option<Mark>,
    sets: CharacterSets,
}

/// What a server does to definitions.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::source::mysql) struct Habits {
    /// It keeps names of tables in lower case.
    pub(in crate::source::mysql) folds_case: bool,
    /// It logs what foreign keys do to rows.
    pub(in crate::source::mysql) logs_cascades: bool,
    /// A TIMESTAMP column is what its definition says, where a session does not say otherwise
    /// (`explicit_defaults_for_timestamp`).
    pub(in crate::source::mysql) explicit_timestamps: bool,
    /// It counts geometries among the columns that have a collation in the log.
    pub(in crate::source::mysql) collates_geometry: bool,
}

/// What the migration knows of a table.
#[derive(Debug)]
struct Known {
    id: TableId,
    name: TableName,
    columns: Vec<Column>,
    /// Indexes into `columns` of those that name a row; none where the whole row does.
    key: Vec<usize>,
    /// What follows from its changes by foreign keys is not in the log.
    cascades: bool,
}

impl Registry {
    /// The tables of a migration.
    #[must_use]
    pub fn new<'a>(tables: impl IntoIterator<Item = &'a Table>) -> Self {
        let mut registry = Registry::default();
        for table in tables {
            let key = match &table.identity {
                Identity::Key { columns } => columns.clone(),
                Identity::Full | Identity::Nothing => Vec::new(),
            };
            let known = Known {
                id: table.id,
                name: table.name.clone(),
                columns: table.columns.clone(),
                key,
                cascades: table.cascades.as_ref().is_some_and(|cascades| cascades.parent),
            };
            registry.tables.insert(name_in_log(&table.name), Arc::new(known));
        }
        registry
    }

    /// Says which tables are to be followed that come, and what the server does to definitions.
    #[must_use]
    pub(in crate::source::mysql) fn selecting(self, wanted: Wanted, server: Habits) -> Self {
        Registry { wanted: Some(wanted), server, ..self }
    }

    /// Says what the server does to definitions; no table comes to those that are known.
    #[must_use]
    pub(in crate::source::mysql) fn of_a_server(self, server: Habits) -> Self {
        Registry { server, ..self }
    }

    /// Says which definition was told before, and is not to be told again.
    #[must_use]
    pub(in crate::source::mysql) fn passing_by(self, passed: Option<Mark>) -> Self {
        Registry { passed, ..self }
    }

    /// Says which character sets the numbers of collations stand for.
    #[must_use]
    pub(in crate::source::mysql) fn reading_text_as(self, sets: CharacterSets) -> Self {
        Registry { sets, ..self }
    }

    /// Whether the definition at this place was told before.
    pub(super) fn passes_by(&self, place: &Mark) -> bool {
        self.passed.as_ref() == Some(place)
    }

    /// What the server does to definitions.
    pub(super) fn server(&self) -> Habits {
        self.server
    }

    fn knows(&self, name: &TableName) -> bool {
        self.tables.contains_key(&name_in_log(name))
    }

    fn selects(&self, name: &TableName) -> bool {
        self.wanted.as_ref().is_some_and(|wanted| wanted.has(name))
    }

    /// The selected tables that a definition leaves.
    pub(super) fn selected(&self, act: &Act) -> BTreeSet<TableName> {
        act.after().into_iter().filter(|name| self.selects(name)).cloned().collect()
    }

    /// Whether a definition changes what is followed.
    pub(super) fn is_concerned(&self, act: &Act, statement: &Statement) -> bool {
        match act {
            Act::Create(table) => self.selects(table) && !self.knows(table),
            Act::Truncate(table) => self.knows(table),
            Act::Alter(alter) => {
                self.knows(&alter.table) || alter.table != alter.to && self.selects(&alter.to)
            }
            Act::Drop(tables) => tables.iter().any(|table| self.knows(table)),
            Act::Rename(pairs) => {
                pairs.iter().any(|(from, to)| self.knows(from) || self.selects(to))
            }
            // Whichever it makes, its rows are lost where it is not told.
            Act::Unnamed if self.wanted.is_some() => true,
            Act::Unnamed => self.may_concern(&statement.database, &statement.text),
            Act::Other(made) => {
                made.as_ref().is_some_and(|table| self.selects(table))
                    || self.may_concern(&statement.database, &statement.text)
            }
        }
    }

    /// Whether a statement may concern a table that is followed: it runs in the database of one, or
    /// mentions the name of one or of its database.
    pub(super) fn may_concern(&self, database: &str, text: &[u8]) -> bool {
        self.tables.values().any(|known| {
            known.name.schema.eq_ignore_ascii_case(database)
                || mentions(text, &known.name.name)
                || mentions(text, &known.name.schema)
        })
    }
}

/// Whether a name occurs in a text, in whatever case.
fn mentions(text: &[u8], name: &str) -> bool {
    !name.is_empty()
        && text.windows(name.len()).any(|part| part.eq_ignore_ascii_case(name.as_bytes()))
}

/// Database and table, each with its length in front and a zero behind.
fn name_in_log(name: &TableName) -> Box<[u8]> {
    let mut bytes = Vec::with_capacity(name.schema.len() + name.name.len() + 4);
    for part in [&name.schema, &name.name] {
        bytes.push(part.len() as u8);
        bytes.extend_from_slice(part.as_bytes());
        bytes.push(0);
    }
    bytes.into()
}

/// How the rows of a table lie in the log.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) relation: Arc<Relation>,
    /// The same for sessions in which foreign keys rest, where that makes a difference.
    resting: Option<Arc<Relation>>,
    /// All columns that the log has.
    pub(super) columns: Vec<Place>,
    /// How many JSON columns there are.
    pub(super) documents: usize,
    /// Old rows are named by some of their columns.
    pub(super) keyed: bool,
}

impl Layout {
    /// As which relation rows appear that were changed with foreign keys at work, or resting.
    pub(super) fn relation(&self, keys_rest: bool) -> &Arc<Relation> {
        self.resting.as_ref().filter(|_| keys_rest).unwrap_or(&self.relation)
    }
}

/// A column of the log's rows.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) kind: Kind,
    /// It goes to the target; the server does not compute it.
    pub(super) carried: bool,
    /// It belongs to the row's name.
    pub(super) key: bool,
}

/// The tables that the log has numbered, in the file that is being read.
#[derive(Debug, Default)]
pub(super) struct Numbered {
    tables: HashMap<u64, Entry>,
}

#[derive(Debug)]
struct Entry {
    /// The event behind its fixed part, to recognise one that says the same.
    described: Box<[u8]>,
    layout: Option<Arc<Layout>>,
}

impl Numbered {
    /// Forgets all numbers: a new file may give them to other tables.
    pub(super) fn clear(&mut self) {
        self.tables.clear();
    }

    /// The layout of a table by its number; None within where nobody asked for the table.
    pub(super) fn get(&self, number: u64) -> Option<Option<&Arc<Layout>>> {
        self.tables.get(&number).map(|entry| entry.layout.as_ref())
    }

    /// Reads a TABLE_MAP.
    pub(super) fn describe(
        &mut self,
        registry: &Registry,
        body: &[u8],
        number_len: usize,
    ) -> Result<(), Problem> {
        let mut cursor = Cursor::new(body, "the description of a table");
        let number = cursor.uint(number_len)?;
        let _flags = cursor.u16()?;
        let described = cursor.rest();
        if self.tables.get(&number).is_some_and(|entry| *entry.described == *described) {
            return Ok(());
        }
        cursor.short_bytes()?;
        cursor.u8()?;
        cursor.short_bytes()?;
        cursor.u8()?;
        let name = &described[..described.len() - cursor.rest().len()];
        let layout = match registry.tables.get(name) {
            Some(known) => Some(Arc::new(known.layout(cursor, registry)?)),
            None => None,
        };
        self.tables.insert(number, Entry { described: described.into(), layout });
        Ok(())
    }
}

impl Known {
    /// Reads what the log says of the columns, and compares.
    fn layout(&self, cursor: Cursor<'_>, registry: &Registry) -> Result<Layout, Problem> {
        let Registry { sets, server, .. } = registry;
        let logged = read_columns(cursor, *server)?;
        let differs = |how: String| Problem::TableDiffers(Box::new((self.name.clone(), how)));
        let named = logged.iter().all(|column| column.name.is_some());
        if !named && logged.len() != self.columns.len() {
            let how = format!("with {} columns in place of {}", logged.len(), self.columns.len());
            return Err(differs(how));
        }
        let mut layout = Layout {
            relation: Arc::new(Relation {
                table: self.id,
                name: self.name.clone(),
                columns: Vec::new(),
                full: self.key.is_empty(),
                cascades: self.cascades,
            }),
            resting: None,
            columns: Vec::with_capacity(logged.len()),
            documents: 0,
            keyed: !self.key.is_empty(),
        };
        let mut columns = Vec::new();
        for (index, log) in logged.iter().enumerate() {
            let (known, mut column) = match &log.name {
                Some(name) => self.by_name(name, log).map_err(differs)?,
                None => (Some(index), self.columns[index].clone()),
            };
            let kind = log.kind(&column).map_err(differs)?;
            if let Some(set) = known.and_then(|index| sets.other(log, &self.columns[index])) {
                column.type_name.push_str(" CHARACTER SET ");
                column.type_name.push_str(set);
            }
            let key = known.is_some_and(|index| self.is_key(index));
            let carried = !column.generated;
            layout.documents += usize::from(matches!(kind, Kind::Json(_)));
            if carried {
                columns.push(relation_column(&column, key));
            }
            layout.columns.push(Place { kind, carried, key });
        }
        let relation = Relation { columns, ..Relation::clone(&layout.relation) };
        layout.relation = Arc::new(relation);
        if self.cascades {
            let resting = Relation { cascades: false, ..Relation::clone(&layout.relation) };
            layout.resting = Some(Arc::new(resting));
        }
        Ok(layout)
    }

    fn is_key(&self, index: usize) -> bool {
        self.key.contains(&index)
    }

    /// The column of this name as it is known, or as the log describes it where it is not known or
    /// has become another.
    fn by_name(&self, name: &str, log: &Logged) -> Result<(Option<usize>, Column), String> {
        let found = self.columns.iter().position(|column| column.name == name);
        if let Some(index) = found
            && log.kind(&self.columns[index]).is_ok()
        {
            return Ok((found, self.columns[index].clone()));
        }
        let type_name = log.described();
        let type_name = type_name.ok_or_else(|| format!("whose column {name} is not readable"))?;
        let column = Column {
            name: name.to_owned(),
            number: 0,
            version: 0,
            type_name,
            type_modifier: -1,
            not_null: false,
            generated: found.is_some_and(|index| self.columns[index].generated),
            collation: None,
            order: ColumnOrder::Opaque,
        };
        Ok((found, column))
    }
}

fn relation_column(column: &Column, key: bool) -> RelationColumn {
    let Column { name, type_name, type_modifier, .. } = column.clone();
    RelationColumn { name, type_name, type_modifier, key }
}

/// Reads the columns of a TABLE_MAP, from their number on.
fn read_columns(mut cursor: Cursor<'_>, server: Habits) -> Result<Vec<Logged>, Problem> {
    let count = usize::try_from(cursor.packed()?).unwrap_or(usize::MAX);
    let codes = cursor.take(count)?;
    let mut meta = Cursor::new(cursor.packed_bytes()?, "the types of columns");
    let mut columns = Vec::with_capacity(count);
    for &code in codes {
        columns.push(read_type(code, &mut meta)?);
    }
    let _nullable = cursor.bitmap(count)?;
    read_optional(&mut columns, cursor, server)?;
    Ok(columns)
}

fn read_type(code: u8, meta: &mut Cursor<'_>) -> Result<Logged, Problem> {
    let mut logged = Logged { code, ..Logged::default() };
    match code {
        code::FLOAT
        | code::DOUBLE
        | code::BLOB
        | code::JSON
        | code::GEOMETRY
        | code::VECTOR
        | code::MARIA_BLOB_COMPRESSED
        | code::TIME2
        | code::DATETIME2
        | code::TIMESTAMP2 => logged.meta[0] = meta.u8()?,
        code::VARCHAR
        | code::VAR_STRING
        | code::MARIA_VARCHAR_COMPRESSED
        | code::BIT
        | code::NEWDECIMAL => logged.meta = meta.array()?,
        code::STRING | code::ENUM | code::SET => {
            logged.meta = meta.array()?;
            if matches!(logged.meta[0], code::ENUM | code::SET) {
                logged.code = logged.meta[0];
            }
        }
        _ => {}
    }
    Ok(logged)
}

/// What may stand behind the columns (`Optional_metadata_field_type` in rows_event.h).
mod optional {
    pub const SIGNEDNESS: u8 = 1;
    pub const DEFAULT_CHARSET: u8 = 2;
    pub const COLUMN_CHARSET: u8 = 3;
    pub const COLUMN_NAME: u8 = 4;
    pub const SET_LABELS: u8 = 5;
    pub const ENUM_LABELS: u8 = 6;
    pub const LABEL_DEFAULT_CHARSET: u8 = 10;
    pub const LABEL_COLUMN_CHARSET: u8 = 11;
}

/// Whether a column has a sign bit. A YEAR has one, though it has no sign.
fn is_number(column: &Logged) -> bool {
    matches!(
        column.code,
        code::TINY
            | code::SHORT
            | code::INT24
            | code::LONG
            | code::LONGLONG
            | code::YEAR
            | code::NEWDECIMAL
            | code::FLOAT
            | code::DOUBLE
    )
}

fn has_collation(column: &Logged) -> bool {
    matches!(
        column.code,
        code::STRING
            | code::VECTOR
            | code::VAR_STRING
            | code::VARCHAR
            | code::BLOB
            | code::MARIA_BLOB_COMPRESSED
            | code::MARIA_VARCHAR_COMPRESSED
    )
}

/// The same on MariaDB, where a geometry is one kind of BLOB.
fn has_collation_or_is_geometry(column: &Logged) -> bool {
    column.code == code::GEOMETRY || has_collation(column)
}

fn is_labelled(column: &Logged) -> bool {
    matches!(column.code, code::ENUM | code::SET)
}

fn read_optional(
    columns: &mut [Logged],
    mut cursor: Cursor<'_>,
    server: Habits,
) -> Result<(), Problem> {
    let collated: fn(&Logged) -> bool = match server.collates_geometry {
        true => has_collation_or_is_geometry,
        false => has_collation,
    };
    while !cursor.is_empty() {
        let field = cursor.u8()?;
        let mut value = Cursor::new(cursor.packed_bytes()?, "what is told of columns");
        match field {
            optional::SIGNEDNESS => {
                for (index, column) in columns.iter_mut().filter(|c| is_number(c)).enumerate() {
                    // The first column is the most significant bit here.
                    column.unsigned = Some(bit(value.rest(), index ^ 7));
                }
            }
            optional::DEFAULT_CHARSET => default_collation(columns, collated, value)?,
            optional::COLUMN_CHARSET => column_collations(columns, collated, value)?,
            optional::LABEL_DEFAULT_CHARSET => default_collation(columns, is_labelled, value)?,
            optional::LABEL_COLUMN_CHARSET => column_collations(columns, is_labelled, value)?,
            optional::COLUMN_NAME => {
                for column in columns.iter_mut() {
                    let name = std::str::from_utf8(value.short_bytes()?);
                    let name = name.map_err(|_| Problem::Malformed("a name that is no text"))?;
                    column.name = Some(name.to_owned());
                }
            }
            optional::SET_LABELS => labels(columns, code::SET, value)?,
            optional::ENUM_LABELS => labels(columns, code::ENUM, value)?,
            // Kinds of geometry, the primary key, visibility, dimensions of vectors: not needed.
            _ => {}
        }
    }
    Ok(())
}

fn collation(value: u64) -> Result<u32, Problem> {
    u32::try_from(value).map_err(|_| Problem::Malformed("a collation that is none"))
}

/// One collation for all, and others for some by their place among those that have one.
fn default_collation(
    columns: &mut [Logged],
    among: fn(&Logged) -> bool,
    mut value: Cursor<'_>,
) -> Result<(), Problem> {
    let default = collation(value.packed()?)?;
    for column in columns.iter_mut().filter(|column| among(column)) {
        column.collation = Some(default);
    }
    while !value.is_empty() {
        let index = usize::try_from(value.packed()?).unwrap_or(usize::MAX);
        let other = collation(value.packed()?)?;
        let column = columns.iter_mut().filter(|column| among(column)).nth(index);
        column.ok_or(Problem::Malformed("a collation of no column"))?.collation = Some(other);
    }
    Ok(())
}

fn column_collations(
    columns: &mut [Logged],
    among: fn(&Logged) -> bool,
    mut value: Cursor<'_>,
) -> Result<(), Problem> {
    for column in columns.iter_mut().filter(|column| among(column)) {
        column.collation = Some(collation(value.packed()?)?);
    }
    Ok(())
}

fn labels(columns: &mut [Logged], code: u8, mut value: Cursor<'_>) -> Result<(), Problem> {
    for column in columns.iter_mut().filter(|column| column.code == code) {
        let count = value.packed()?;
        let mut labels = Vec::new();
        for _ in 0..count {
            labels.push(value.packed_bytes()?.into());
        }
        column.labels = Some(labels);
    }
    Ok(())
}
