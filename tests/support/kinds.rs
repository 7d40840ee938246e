//! Every type that a column can have, with values at its edges and a way to make random ones.
//!
//! In: a session on a server. Out: tables of each type in the schema `kinds`, filled, and changes
//! of them. Whether a type was forgotten is the server's word ([`uncovered`]). Values are made by
//! the server: a seed makes them the same again.

mod values;

use tokio_postgres::Client;

use values::KINDS;

/// A type, or a type with a modifier, that columns are made of.
pub struct Kind {
    name: &'static str,
    /// What tells it from another kind of this type.
    part: &'static str,
    /// The first major version that has it.
    since: u32,
    /// Values at the edges, as literals.
    literals: &'static [&'static str],
    /// An expression for a random value.
    random: &'static str,
    /// It has no order, so it can be no key.
    keyless: bool,
    /// Two values that are equal and not the same.
    equal: Option<(&'static str, &'static str)>,
}

const fn kind(name: &'static str, literals: &'static [&'static str], random: &'static str) -> Kind {
    Kind { name, part: "", since: 0, literals, random, keyless: false, equal: None }
}

impl Kind {
    const fn since(mut self, major: u32) -> Kind {
        self.since = major;
        self
    }

    /// Tells a second kind of one type from the first.
    const fn named(mut self, part: &'static str) -> Kind {
        self.part = part;
        self
    }

    const fn keyless(mut self) -> Kind {
        self.keyless = true;
        self
    }

    const fn equal(mut self, one: &'static str, other: &'static str) -> Kind {
        self.equal = Some((one, other));
        self
    }

    /// The name of one of its tables.
    fn table(&self, form: &str) -> String {
        format!(r#"kinds."{form} {} {}""#, self.name.replace('"', ""), self.part)
    }

    /// Tables of this type with a row for each literal, random ones, and one that is NULL: in a
    /// column beside one of arrays, as a key, and under full identity beside a type whose binary
    /// form does not travel.
    fn setup(&self) -> String {
        let Kind { name, random, .. } = self;
        let [plain, whole, key] = ["plain", "whole", "key"].map(|form| self.table(form));
        let values = self.literals.iter().map(|literal| format!("({})", self.literal(literal)));
        let values: Vec<_> = values.chain([format!("(NULL::{name})")]).collect();
        let mut statements = format!(
            "CREATE TABLE {plain} (id int PRIMARY KEY, v {name}, a {name}[], w int);
             INSERT INTO {plain} SELECT row_number() OVER (), v FROM (VALUES {values}) AS u (v);
             INSERT INTO {plain} SELECT 20 + n, {random} FROM generate_series(1, 10) AS n;
             UPDATE {plain} SET a = {array};
             CREATE TABLE {whole} (v {name}, id int, w int, p public.pair);
             ALTER TABLE {whole} REPLICA IDENTITY FULL;
             INSERT INTO {whole} SELECT v, id FROM {plain};",
            values = values.join(", "),
            array = self.array(),
        );
        if !self.keyless {
            statements += &format!(
                "CREATE TABLE {key} (k {name} PRIMARY KEY, id int, w int);
                 INSERT INTO {key} SELECT v, id FROM {plain} WHERE v IS NOT NULL
                 ON CONFLICT DO NOTHING;"
            );
        }
        statements
    }

    /// Changes of these tables: of just the column, of another one, of the key; rows that come,
    /// and one of two that are the same goes.
    fn changes(&self) -> String {
        let Kind { random, .. } = self;
        let [plain, whole, key] = ["plain", "whole", "key"].map(|form| self.table(form));
        let mut statements = String::new();
        for table in [&plain, &whole] {
            statements += &format!(
                "UPDATE {table} AS t SET v = (SELECT v FROM {table} AS s WHERE s.id <> t.id
                                              ORDER BY (s.id - t.id + 99) % 100 LIMIT 1)
                 WHERE id % 4 = 0;
                 UPDATE {table} SET w = 1 WHERE id % 4 = 1;
                 UPDATE {table} SET v = NULL, w = 2 WHERE id % 8 = 2;
                 DELETE FROM {table} WHERE id % 4 = 3;"
            );
        }
        statements += &format!(
            "INSERT INTO {plain} SELECT 100 + n, {random} FROM generate_series(1, 7) AS n;
             UPDATE {plain} SET a = {array} WHERE id > 100 OR id % 8 = 6;
             INSERT INTO {whole} SELECT v, 200 FROM {plain}, generate_series(1, 2) WHERE id = 101;
             INSERT INTO {whole} SELECT v, id FROM {plain} WHERE id > 100;
             DELETE FROM {whole} WHERE ctid = (SELECT min(ctid) FROM {whole} WHERE id = 200);",
            array = self.array(),
        );
        if !self.keyless {
            statements += &format!(
                "UPDATE {key} SET w = 1 WHERE id % 4 IN (1, 2);
                 WITH gone AS (DELETE FROM {key} WHERE id % 4 = 3 RETURNING k, id)
                 UPDATE {key} AS t SET k = gone.k FROM gone WHERE t.id = gone.id + 1;
                 INSERT INTO {key} SELECT {random}, 300 + n FROM generate_series(1, 5) AS n
                 ON CONFLICT DO NOTHING;"
            );
        }
        statements
    }

    /// Changes that make so many rows of one kind that they go as a stream of their own; and of a
    /// key into one that is equal and not the same.
    fn further_changes(&self) -> String {
        let [plain, whole, key] = ["plain", "whole", "key"].map(|form| self.table(form));
        let mut statements = format!(
            "INSERT INTO {plain} SELECT 1000 * n + id, v, a FROM {plain}, generate_series(1, 8) AS n;
             INSERT INTO {whole} SELECT v, id FROM {whole}, generate_series(1, 8) AS n;"
        );
        if let Some((one, other)) = self.equal {
            let [one, other] = [one, other].map(|literal| self.literal(literal));
            statements += &format!(
                "DELETE FROM {key} WHERE k = {one};
                 INSERT INTO {key} VALUES ({one}, 400);
                 UPDATE {key} SET k = {other}, w = 3 WHERE k = {one};"
            );
        }
        statements
    }

    fn literal(&self, literal: &str) -> String {
        format!("'{}'::{}", literal.replace('\'', "''"), self.name)
    }

    /// An array with the row's value as an element, its shape by the row's `id`.
    fn array(&self) -> String {
        let name = self.name;
        format!(
            "pg_temp.array_of(id, v::text, (SELECT typdelim FROM pg_type \
                                            WHERE oid = '{}'::regtype))::{name}[]",
            name.replace('\'', "''")
        )
    }
}

/// In so many parts the kinds are moved: all at once would be hundreds of tables.
pub const PARTS: usize = 3;

/// Some of the kinds that a server has.
#[derive(Clone, Copy)]
pub struct Selection {
    /// The server's version.
    pub major: u32,
    /// Which part of them, from 0.
    pub part: usize,
}

impl Selection {
    fn kinds(self) -> impl Iterator<Item = &'static Kind> {
        of_version(self.major).skip(self.part).step_by(PARTS)
    }
}

fn of_version(major: u32) -> impl Iterator<Item = &'static Kind> {
    KINDS.iter().filter(move |kind| kind.since <= major)
}

/// What changes of the tables there are.
#[derive(Clone, Copy)]
pub enum Changes {
    First,
    Further,
}

/// Makes and fills the tables of these kinds.
pub async fn create(client: &Client, selection: Selection, seed: u64) {
    client.batch_execute(include_str!("../cases/postgres/types/setup.sql")).await.unwrap();
    client.batch_execute(include_str!("../cases/postgres/types/random.sql")).await.unwrap();
    let seed = (seed % 1_000_000) as f64 / 1e6;
    client.batch_execute(&format!("SELECT setseed({seed})")).await.unwrap();
    run(client, selection, Kind::setup).await;
}

/// Changes the tables of these kinds, each in a transaction of its own, over the session that made
/// them.
pub async fn change(client: &Client, selection: Selection, changes: Changes) {
    let statements = match changes {
        Changes::First => Kind::changes,
        Changes::Further => Kind::further_changes,
    };
    run(client, selection, statements).await;
}

/// Runs the statements of each kind, in a transaction of its own; names all kinds that failed.
async fn run(client: &Client, selection: Selection, statements: impl Fn(&Kind) -> String) {
    let mut failed = Vec::new();
    for kind in selection.kinds() {
        if let Err(error) = client.batch_execute(&statements(kind)).await {
            let said = error.as_db_error().map_or_else(|| error.to_string(), ToString::to_string);
            failed.push(format!("{}: {said}", kind.name));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// The types that a column can have and no kind is of.
pub async fn uncovered(client: &Client, major: u32) -> Vec<String> {
    let query = include_str!("../cases/postgres/types/uncovered.sql");
    let left_out: Vec<&str> = VALUELESS.iter().map(|(name, _)| *name).collect();
    let covered: Vec<&str> = of_version(major).map(|kind| kind.name).collect();
    let rows = client.query(query, &[&covered, &left_out]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

/// Types that no column can usefully have, and why.
const VALUELESS: &[(&str, &str)] = &[
    ("pg_node_tree", "the server writes it and reads it from nobody"),
    ("pg_ndistinct", "as above"),
    ("pg_dependencies", "as above"),
    ("pg_mcv_list", "as above"),
    ("pg_brin_bloom_summary", "as above"),
    ("pg_brin_minmax_multi_summary", "as above"),
    ("gtsvector", "what an index holds: it has no input"),
    ("gtrgm", "as above"),
    ("ghstore", "as above"),
    ("ltree_gist", "as above"),
    ("intbig_gkey", "as above"),
    ("gbtreekey2", "as above"),
    ("gbtreekey4", "as above"),
    ("gbtreekey8", "as above"),
    ("gbtreekey16", "as above"),
    ("gbtreekey32", "as above"),
    ("gbtreekey_var", "as above"),
];
