//! A source in memory: tables, legal changes to them, and the log that tells of those.
//!
//! It does only what a real source could do (keys and unique values never clash on it), and logs
//! it as Postgres would: key columns only where a key changed, the whole old row where that is the
//! table's identity, nothing for a large value that did not change. Its tables may be given columns
//! and lose them, at any place of a transaction; that shows in the log with the next row. It
//! remembers what every table held after every transaction, so that a copy can be taken as of any of
//! them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use dunlin::model::{
    Before, Column, ColumnOrder, Identity, Lsn, Position, Relation, RelationColumn, Table, TableId,
    TableName,
};

/// A row's values in the order of [`Spec::columns`]; None for NULL, and where the table has no such
/// column.
pub type Row = Vec<Option<String>>;

/// What every table holds. Rows may be in any order.
pub type State = BTreeMap<TableId, Vec<Row>>;

/// A value as it is logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Field {
    Absent,
    Value(Option<String>),
}

#[derive(Clone, Debug)]
pub enum Act {
    Insert { new: Vec<Field> },
    Update { old: Option<Vec<Field>>, new: Vec<Field> },
    Delete { old: Vec<Field> },
    Truncate { tables: Vec<TableId> },
}

/// One change, with the shape of the rows it tells of (none for a truncate).
#[derive(Clone, Debug)]
pub struct Logged {
    pub relations: Vec<Arc<Relation>>,
    pub act: Act,
}

/// A committed transaction.
#[derive(Clone, Debug)]
pub struct Transaction {
    pub commit: u64,
    pub end: u64,
    pub changes: Vec<Logged>,
}

/// Columns that a table can be given or lose: the first is there from the beginning.
const EXTRAS: [&str; 4] = ["extra_0", "extra_1", "extra_2", "extra_3"];

/// What a table is like.
#[derive(Clone, Debug)]
pub struct Spec {
    /// As it is at the beginning.
    pub table: Table,
    /// All columns that it ever has; the last ones are [`EXTRAS`].
    pub columns: Vec<Column>,
    /// The old row is logged whole.
    pub full: bool,
    /// The columns by which the log tells rows apart where it does not log them whole.
    pub identity: Vec<usize>,
    /// Unique besides the primary key; NULLs are all different.
    pub unique: Option<usize>,
    /// Left out of the log where it did not change and begins with `T`.
    pub large: Option<usize>,
}

/// Decisions, taken one after another from a list that can be made shorter.
#[derive(Debug)]
pub struct Dice(std::vec::IntoIter<u32>);

impl Dice {
    pub fn new(script: Vec<u32>) -> Self {
        Dice(script.into_iter())
    }

    /// A number below `sides`; zero when the list has come to its end.
    pub fn below(&mut self, sides: usize) -> usize {
        self.0.next().map_or(0, |number| number as usize % sides.max(1))
    }

    pub fn is_empty(&self) -> bool {
        self.0.len() == 0
    }
}

fn spec(id: u32, name: &str, columns: &[&str], key: &[usize]) -> Spec {
    let column = |(name, number): (&&str, u16)| Column {
        name: (*name).to_owned(),
        number,
        version: 0,
        type_name: "pg_catalog.text".into(),
        type_modifier: -1,
        not_null: false,
        generated: false,
        collation: None,
        order: if name.starts_with("id") { ColumnOrder::Integer } else { ColumnOrder::Opaque },
    };
    let at = |name| columns.iter().position(|column| *column == name);
    let all: Vec<Column> = columns.iter().chain(&EXTRAS).zip(1..).map(column).collect();
    let first = columns.len() + 1;
    Spec {
        table: Table {
            id: TableId(id),
            name: TableName { schema: "public".into(), name: name.into() },
            source_id: u64::from(id),
            columns: all[..first].to_vec(),
            identity: Identity::Key { columns: key.to_vec() },
            primary_key: key.to_vec(),
            bytes: 0,
            estimated_rows: 0,
            pages: 0,
            correlation: None,
            root: None,
            partitions: None,
            cascades: None,
            binary_travels: true,
            columns_ever: first as u16,
            kept: Vec::new(),
            storage: 0,
        },
        columns: all,
        full: false,
        identity: key.to_vec(),
        unique: at("code"),
        large: at("large"),
    }
}

/// One table of every kind.
pub fn specs() -> Vec<Spec> {
    let mut specs = vec![
        spec(0, "accounts", &["id", "code", "note", "large"], &[0]),
        spec(1, "lines", &["note", "id_order", "id_line", "large"], &[1, 2]),
        spec(2, "full_keyed", &["id", "code", "large"], &[0]),
        spec(3, "whole_rows", &["note", "large"], &[]),
        spec(4, "journal", &["note", "large"], &[]),
        spec(5, "people", &["id", "code", "large"], &[0]),
    ];
    for full in [2, 3] {
        specs[full].full = true;
        specs[full].table.identity = Identity::Full;
    }
    specs[4].table.identity = Identity::Nothing;
    specs[5].identity = vec![1];
    specs[5].table.identity = Identity::Key { columns: vec![1] };
    specs
}

impl Spec {
    /// Sets of columns of which no two rows have the same values.
    pub fn unique_sets(&self, secondary: bool) -> Vec<Vec<usize>> {
        let mut sets = vec![self.table.primary_key.clone(), self.identity.clone()];
        sets.extend(self.unique.filter(|_| secondary).map(|column| vec![column]));
        sets.retain(|set| !set.is_empty());
        sets
    }

    /// The rows' shape where the table is like `table`.
    fn relation(&self, table: &Table, version: usize) -> Arc<Relation> {
        let mut columns: Vec<RelationColumn> = (0..)
            .zip(&table.columns)
            .map(|(index, column)| RelationColumn {
                name: column.name.clone(),
                type_name: column.type_name.clone(),
                type_modifier: column.type_modifier,
                key: self.full || self.identity.contains(&index),
            })
            .collect();
        let places = columns.len();
        columns.rotate_left(version % places);
        Arc::new(Relation {
            table: self.table.id,
            name: self.table.name.clone(),
            columns,
            full: self.full,
            cascades: false,
        })
    }

    /// Where in a row a column is.
    pub fn place(&self, name: &str) -> usize {
        self.columns.iter().position(|column| column.name == name).unwrap()
    }

    /// Where in a row the columns of a relation are.
    pub fn places(&self, relation: &Relation) -> Vec<usize> {
        relation.columns.iter().map(|column| self.place(&column.name)).collect()
    }
}

/// Whether two rows have the same values in some columns, none of them NULL.
pub fn clash(one: &Row, other: &Row, columns: &[usize]) -> bool {
    columns.iter().all(|&column| one[column].is_some() && one[column] == other[column])
}

/// The source.
#[derive(Debug)]
pub struct Source {
    pub specs: Vec<Spec>,
    pub log: Vec<Transaction>,
    /// The state before the first transaction, and after each.
    pub history: Vec<State>,
    /// What the tables were like before the first transaction, and after each.
    pub definitions: Vec<Vec<Table>>,
    /// What older rows hold in columns that came.
    pub befores: HashMap<(TableId, String), Before>,
    /// Whether tables get and lose columns.
    alters: bool,
    tables: Vec<Table>,
    state: State,
    relations: Vec<Arc<Relation>>,
    versions: usize,
    open: Vec<Logged>,
}

/// Positions of a transaction's commit and end: far enough apart for others to lie between.
pub fn commit_of(transaction: usize) -> u64 {
    100 * (transaction as u64 + 1)
}

/// A position that contains just the first `transactions`.
pub fn position_after(transactions: usize, dice: &mut Dice) -> Position {
    // A commit exactly at the position is not contained in it.
    let least = if transactions == 0 { 1 } else { commit_of(transactions - 1) + 1 };
    let span = (commit_of(transactions) - least) as usize;
    let at = [0, span / 2, span][dice.below(3)];
    Position::Postgres(Lsn(least + at as u64))
}

impl Source {
    pub fn new(alters: bool) -> Self {
        let specs = specs();
        let state: State = specs.iter().map(|spec| (spec.table.id, Vec::new())).collect();
        let tables: Vec<Table> = specs.iter().map(|spec| spec.table.clone()).collect();
        Source {
            relations: specs.iter().map(|spec| spec.relation(&spec.table, 0)).collect(),
            specs,
            log: Vec::new(),
            history: vec![state.clone()],
            definitions: vec![tables.clone()],
            befores: HashMap::new(),
            alters,
            tables,
            state,
            versions: 0,
            open: Vec::new(),
        }
    }

    /// Commits transactions until the decisions are used up.
    pub fn write(&mut self, dice: &mut Dice) {
        while !dice.is_empty() {
            let changes = 1 + if dice.below(8) == 0 { 30 } else { dice.below(5) };
            for _ in 0..changes {
                self.act(dice);
            }
            let commit = commit_of(self.log.len());
            let changes = std::mem::take(&mut self.open);
            self.log.push(Transaction { commit, end: commit + 20, changes });
            self.history.push(self.state.clone());
            self.definitions.push(self.tables.clone());
        }
    }

    fn act(&mut self, dice: &mut Dice) {
        let table = dice.below(self.specs.len());
        if self.alters && dice.below(25) == 0 {
            return self.alter(table, dice);
        }
        let at = dice.below(self.rows(table).len());
        let Some(row) = self.rows(table).get(at).cloned() else {
            return self.insert(table, dice);
        };
        let only_inserts = self.specs[table].table.identity == Identity::Nothing;
        let large = self.specs[table].large;
        match dice.below(14) {
            0..3 => self.insert(table, dice),
            _ if only_inserts => self.insert(table, dice),
            3 => self.update(table, at, row),
            4 | 5 => {
                let other = self.random_row(table, dice);
                let keep = |column: &usize| self.specs[table].table.primary_key.contains(column);
                let mixed = (0..row.len())
                    .map(|column| if keep(&column) { &row[column] } else { &other[column] });
                let mixed = mixed.cloned().collect();
                self.update(table, at, mixed);
            }
            6 | 7 => {
                // A new key, often with everything else as it was.
                let other = self.random_row(table, dice);
                let mut moved = row;
                let key = self.specs[table].table.primary_key.clone();
                for column in key.into_iter().chain(self.specs[table].unique) {
                    moved[column] = other[column].clone();
                }
                self.update(table, at, moved);
            }
            8 => self.delete(table, at),
            9 => {
                self.delete(table, at);
                let mut again = row;
                if let Some(large) = large {
                    again[large] = random_large(dice);
                }
                self.insert_row(table, again);
            }
            10 | 11 => self.swap(table, at, dice),
            12 if dice.below(3) == 0 => self.truncate(dice),
            12 => self.chain(table, at, dice),
            _ => {
                self.versions += 1;
                let relation = self.specs[table].relation(&self.tables[table], self.versions);
                self.relations[table] = relation;
            }
        }
    }

    /// Gives a table its next column, or takes one away.
    fn alter(&mut self, table: usize, dice: &mut Dice) {
        let (spec, known) = (&self.specs[table], &self.tables[table]);
        let mut columns = known.columns.clone();
        let next = spec.columns.get(usize::from(known.columns_ever));
        let first_extra = spec.columns.len() - EXTRAS.len();
        let extras = columns.len() - first_extra;
        let changed = match next.filter(|_| dice.below(2) == 0) {
            Some(next) => {
                columns.push(next.clone());
                next.name.clone()
            }
            None if extras == 0 => return,
            None => columns.remove(first_extra + dice.below(extras)).name,
        };
        let came = columns.len() > known.columns.len();
        let before =
            [Before::Null, Before::Value("d".into()), Before::Untold][dice.below(3)].clone();
        let place = spec.place(&changed);
        self.tables[table] = known.with_columns(columns);
        for row in self.state.get_mut(&TableId(table as u32)).unwrap() {
            row[place] = match &before {
                _ if !came => None,
                Before::Value(value) => Some(value.clone()),
                Before::Untold => Some(dice.below(9).to_string()),
                Before::Null | Before::Computed => None,
            };
        }
        if came {
            self.befores.insert((TableId(table as u32), changed), before);
        }
        self.relations[table] = self.specs[table].relation(&self.tables[table], self.versions);
    }

    fn rows(&self, table: usize) -> &Vec<Row> {
        &self.state[&TableId(table as u32)]
    }

    fn rows_mut(&mut self, table: usize) -> &mut Vec<Row> {
        self.state.get_mut(&TableId(table as u32)).unwrap()
    }

    fn random_row(&self, table: usize, dice: &mut Dice) -> Row {
        let value = |name: &str, dice: &mut Dice| match name {
            "code" if table == 5 => Some(format!("c{}", dice.below(9))),
            "code" => Some(dice.below(8)).filter(|code| *code > 0).map(|code| format!("c{code}")),
            "large" => random_large(dice),
            "note" => Some(format!("n{}", dice.below(3))),
            "id" | "id_order" | "id_line" => Some(dice.below(9).to_string()),
            _ => Some(dice.below(2).to_string()),
        };
        let mut row = vec![None; self.specs[table].columns.len()];
        for column in &self.tables[table].columns {
            row[self.specs[table].place(&column.name)] = value(&column.name, dice);
        }
        row
    }

    /// Whether a row could stand beside the others.
    fn is_legal(&self, table: usize, row: &Row, instead_of: Option<usize>) -> bool {
        let sets = self.specs[table].unique_sets(true);
        let rows = self.rows(table).iter().enumerate();
        let mut others = rows.filter(|(at, _)| Some(*at) != instead_of);
        !others.any(|(_, other)| sets.iter().any(|set| clash(row, other, set)))
    }

    fn insert(&mut self, table: usize, dice: &mut Dice) {
        let row = self.random_row(table, dice);
        self.insert_row(table, row);
    }

    fn insert_row(&mut self, table: usize, row: Row) {
        if self.is_legal(table, &row, None) {
            let new = self.fields(table, &row, |_| true);
            self.rows_mut(table).push(row);
            self.tell(table, Act::Insert { new });
        }
    }

    fn delete(&mut self, table: usize, at: usize) {
        let row = self.rows_mut(table).swap_remove(at);
        let old = self.old(table, &row);
        self.tell(table, Act::Delete { old });
    }

    fn update(&mut self, table: usize, at: usize, row: Row) {
        if !self.is_legal(table, &row, Some(at)) {
            return;
        }
        let before = std::mem::replace(&mut self.rows_mut(table)[at], row.clone());
        let spec = &self.specs[table];
        let key_changed = spec.identity.iter().any(|&column| before[column] != row[column]);
        let old = (spec.full || key_changed).then(|| self.old(table, &before));
        let is_large =
            |value: &Option<String>| value.as_ref().is_some_and(|value| value.starts_with('T'));
        let new = self.fields(table, &row, |column| {
            Some(column) != spec.large || !is_large(&row[column]) || before[column] != row[column]
        });
        self.tell(table, Act::Update { old, new });
    }

    /// Two rows exchange their unique values, by way of NULL.
    fn swap(&mut self, table: usize, at: usize, dice: &mut Dice) {
        let Some(column) = self.specs[table].unique.filter(|_| table != 5) else { return };
        let other = dice.below(self.rows(table).len());
        let (mut first, mut second) =
            (self.rows(table)[at].clone(), self.rows(table)[other].clone());
        if at == other {
            return;
        }
        let mut spare = first.clone();
        spare[column] = None;
        std::mem::swap(&mut first[column], &mut second[column]);
        self.update(table, at, spare);
        self.update(table, other, second);
        self.update(table, at, first);
    }

    /// A row goes from key to key.
    fn chain(&mut self, table: usize, at: usize, dice: &mut Dice) {
        for _ in 0..3 {
            let mut row = self.rows(table)[at].clone();
            if let Some(&column) = self.specs[table].table.primary_key.first() {
                row[column] = Some(dice.below(9).to_string());
            }
            self.update(table, at, row);
        }
    }

    fn truncate(&mut self, dice: &mut Dice) {
        let first = dice.below(self.specs.len());
        let last = (first + dice.below(2)).min(self.specs.len() - 1);
        let tables: Vec<TableId> = (first..=last).map(|table| TableId(table as u32)).collect();
        for table in &tables {
            self.state.get_mut(table).unwrap().clear();
        }
        let relations = self.relations[first..=last].to_vec();
        self.open.push(Logged { relations, act: Act::Truncate { tables } });
    }

    fn tell(&mut self, table: usize, act: Act) {
        self.open.push(Logged { relations: vec![Arc::clone(&self.relations[table])], act });
    }

    fn fields(&self, table: usize, row: &Row, logged: impl Fn(usize) -> bool) -> Vec<Field> {
        let places = self.specs[table].places(&self.relations[table]);
        let field = |column: usize| {
            if logged(column) { Field::Value(row[column].clone()) } else { Field::Absent }
        };
        places.into_iter().map(field).collect()
    }

    fn old(&self, table: usize, row: &Row) -> Vec<Field> {
        let spec = &self.specs[table];
        self.fields(table, row, |column| spec.full || spec.identity.contains(&column))
    }
}

fn random_large(dice: &mut Dice) -> Option<String> {
    match dice.below(5) {
        0 => None,
        1 => Some(String::new()),
        number => Some(format!("T{number}")),
    }
}
