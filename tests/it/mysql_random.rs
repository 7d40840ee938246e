//! Random rows of every type, through the snapshot and through the log; the servers compare.
//!
//! Each family of types is a table with a key and one without, and each type that can be one is a
//! table's key. A seed, which is printed, chooses values, which columns may be NULL, what changes, and
//! how much the log says of its columns; it is always the same one, and `DUNLIN_TEST_SEED` names
//! others. The session is strict, so no value arrives at the source as another than was meant; nothing
//! in here knows how a type is written in the log.

use dunlin::demo::mysql::{Release, ServerOptions};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::support::Dunlin;
use crate::support::mysql::MySqlPair;
use crate::support::mysql_kinds::values::{below, once_in};
use crate::support::mysql_kinds::{Choice, Family, Kind, of};
use crate::support::scene::seed_or;

const MODE: &str = "SET sql_mode = 'STRICT_ALL_TABLES,ALLOW_INVALID_DATES,NO_AUTO_VALUE_ON_ZERO'";

/// Rows of a table when it is copied.
const ROWS: u32 = 20;
/// Rows that come by one transaction, more than are written by statements.
const MANY_ROWS: u32 = 140;
/// Transactions of some few changes.
const TRANSACTIONS: u32 = 60;
/// Rows of a table that has just a key.
const KEYS: u32 = 20;

/// A table of one family.
struct Table<'a> {
    name: String,
    family: &'a Family,
    /// The kinds whose columns may be NULL.
    nullable: Vec<bool>,
    /// Whether ENUMs have the index zero.
    zeros: bool,
    /// The next row's number.
    next: u32,
}

impl<'a> Table<'a> {
    fn new(rng: &mut StdRng, family: &'a Family, suffix: &str, zeros: bool) -> Table<'a> {
        let nullable = family.kinds.iter().map(|_| !once_in(rng, 3)).collect();
        Table { name: format!("{}{suffix}", family.name), family, nullable, zeros, next: 1 }
    }

    /// `touched` changes by itself on the source, and must not on the target.
    fn definition(&self, key: &str) -> String {
        let columns = self.family.kinds.iter().zip(&self.nullable).enumerate();
        let columns = columns.map(|(number, (kind, nullable))| {
            let null = if *nullable { "NULL" } else { "NOT NULL" };
            format!("c{number} {} {null}", kind.words)
        });
        format!(
            "CREATE TABLE {} (id BIGINT UNSIGNED NOT NULL {key}, {}, touched TIMESTAMP(3) NOT NULL \
             DEFAULT CURRENT_TIMESTAMP(3) ON UPDATE CURRENT_TIMESTAMP(3)) CHARACTER SET utf8mb4",
            self.name,
            columns.collect::<Vec<_>>().join(", ")
        )
    }

    fn value(&self, rng: &mut StdRng, column: usize) -> String {
        match self.nullable[column] && once_in(rng, 8) {
            true => "NULL".to_owned(),
            false => self.family.kinds[column].value(rng),
        }
    }

    fn insert(&mut self, rng: &mut StdRng, rows: u32) -> String {
        let first = self.next;
        self.next += rows;
        let row = |id: u32| {
            let values = (0..self.nullable.len()).map(|column| self.value(rng, column));
            format!("({id}, {}, DEFAULT)", values.collect::<Vec<_>>().join(", "))
        };
        let rows: Vec<String> = (first..self.next).map(row).collect();
        format!("INSERT INTO {} VALUES {}", self.name, rows.join(", "))
    }

    /// New values of some columns.
    fn update(&self, rng: &mut StdRng) -> String {
        let mut sets: Vec<String> = Vec::new();
        for _ in 0..=below(rng, 3) {
            let column = below(rng, self.nullable.len() as u32) as usize;
            sets.push(format!("c{column} = {}", self.value(rng, column)));
        }
        if rng.random() {
            sets.push("touched = touched".to_owned());
        }
        format!("UPDATE {} SET {}", self.name, sets.join(", "))
    }

    /// The index zero of one of the ENUMs, which a strict session does not take.
    fn zero(&self, rng: &mut StdRng) -> Option<String> {
        let kinds = self.family.kinds.iter().enumerate();
        let enums: Vec<usize> = kinds
            .filter(|(_, kind)| self.zeros && kind.has_zero())
            .map(|(column, _)| column)
            .collect();
        let most = u32::try_from(enums.len()).ok().filter(|most| *most > 0)?;
        let column = enums[below(rng, most) as usize];
        Some(format!("SET sql_mode = ''; UPDATE {} SET c{column} = 0", self.name))
    }

    /// A change of few rows.
    fn change(&mut self, rng: &mut StdRng) -> String {
        let one = format!("WHERE id >= {} ORDER BY id LIMIT 1", below(rng, self.next));
        match below(rng, 10) {
            0..=2 => {
                let rows = 1 + below(rng, 3);
                self.insert(rng, rows)
            }
            3..=5 => format!("{} {one}", self.update(rng)),
            6 => {
                self.next += 1;
                format!("UPDATE {} SET id = {} {one}", self.name, self.next - 1)
            }
            7 => match self.zero(rng) {
                Some(zero) => format!("{zero} {one}; {MODE}"),
                None => format!("{} {one}", self.update(rng)),
            },
            _ => format!("DELETE FROM {} {one}", self.name),
        }
    }

    /// Changes of many rows, in one transaction.
    fn changes_of_many(&mut self, rng: &mut StdRng) -> Vec<String> {
        let name = self.name.clone();
        let mut statements = vec![
            self.insert(rng, MANY_ROWS),
            format!("{} WHERE id % 4 <> 0", self.update(rng)),
            format!("UPDATE {name} SET id = id + 1000000 WHERE id % 5 = 0 ORDER BY id DESC"),
            format!("DELETE FROM {name} WHERE id % 11 = 0"),
        ];
        if let Some(zero) = self.zero(rng) {
            statements.push(format!("{zero} WHERE id % 3 = 0; {MODE}"));
        }
        statements
    }
}

/// The statement that makes the table of which a kind is the key.
fn definition_of_key(number: usize, kind: &Kind) -> String {
    let words = &kind.words;
    format!(
        "CREATE TABLE key_{number} (k {words} NOT NULL PRIMARY KEY, n INT) CHARACTER SET utf8mb4"
    )
}

/// New keys, as far as they are not equal to others, which is the server's word.
fn keys(rng: &mut StdRng, number: usize, kind: &Kind) -> String {
    let row = |n: u32| format!("({}, {n})", kind.value(rng));
    let rows: Vec<String> = (0..KEYS).map(row).collect();
    format!("INSERT IGNORE INTO key_{number} VALUES {}", rows.join(", "))
}

/// Keys that change, rows that go, and rows that change beside their keys.
fn changes_of_keys(rng: &mut StdRng, number: usize, kind: &Kind) -> Vec<String> {
    let mut statements = vec![
        format!("DELETE FROM key_{number} WHERE n % 5 = 0"),
        format!("UPDATE key_{number} SET n = n + 100 WHERE n % 3 = 0"),
    ];
    for n in 0..KEYS / 2 {
        let value = kind.value(rng);
        let one = format!("WHERE n = {n} LIMIT 1");
        statements.push(format!("UPDATE IGNORE key_{number} SET k = {value} {one}"));
    }
    statements.push(keys(rng, number, kind));
    statements
}

async fn execute(session: &mut Conn, statement: &str) {
    let done = session.query_drop(statement).await;
    done.unwrap_or_else(|error| panic!("{error}: {statement:.500}"));
}

async fn commit(session: &mut Conn, statements: &[String]) {
    execute(session, &format!("BEGIN; {}; COMMIT", statements.join("; "))).await;
}

async fn catch_up(pair: &MySqlPair) {
    Dunlin::run(pair, "run", &["--until", "caught-up"]).await.expect_code(0);
    pair.assert_equal().await;
}

async fn random_rows_of_every_type(release: Release, metadata: [&str; 2], usual: u64) {
    let mut rng = StdRng::seed_from_u64(seed_or(usual));
    let metadata = metadata[below(&mut rng, 2) as usize];
    eprintln!("binlog_row_metadata = {metadata}");
    let source = ServerOptions::from(release)
        .with("default_time_zone", "+05:45")
        .with("binlog_row_metadata", metadata);
    let target = ServerOptions::from(release).with("default_time_zone", "-08:00");
    let pair = MySqlPair::with(source, target).await;
    let mut session = pair.on_source().await;
    execute(&mut session, &format!("{MODE}, time_zone = '+00:00'")).await;

    let log_has_labels = metadata == "FULL";
    let families = of(Choice { release, log_has_labels });
    let mut tables = Vec::new();
    for family in &families {
        for (suffix, key) in [("", "PRIMARY KEY"), ("_bare", "")] {
            // On MySQL the index zero comes in groups of its own (docs/mysql.md).
            let mut table = Table::new(&mut rng, family, suffix, release.is_mariadb());
            execute(&mut session, &table.definition(key)).await;
            execute(&mut session, &table.insert(&mut rng, ROWS)).await;
            if let Some(zero) = table.zero(&mut rng) {
                execute(&mut session, &format!("{zero} WHERE id % 4 = 0; {MODE}")).await;
            }
            tables.push(table);
        }
    }
    let keyed: Vec<&Kind> =
        families.iter().flat_map(|family| &family.kinds).filter(|kind| kind.is_key).collect();
    for (number, kind) in keyed.iter().enumerate() {
        execute(&mut session, &definition_of_key(number, kind)).await;
        execute(&mut session, &keys(&mut rng, number, kind)).await;
    }
    catch_up(&pair).await;

    for (number, kind) in keyed.iter().enumerate() {
        commit(&mut session, &changes_of_keys(&mut rng, number, kind)).await;
    }
    for table in &mut tables {
        commit(&mut session, &table.changes_of_many(&mut rng)).await;
    }
    catch_up(&pair).await;

    for _ in 0..TRANSACTIONS {
        let mut statements = Vec::new();
        for _ in 0..=below(&mut rng, 3) {
            let table = below(&mut rng, tables.len() as u32) as usize;
            statements.push(tables[table].change(&mut rng));
        }
        commit(&mut session, &statements).await;
    }
    catch_up(&pair).await;
    for table in tables.iter_mut().filter(|table| table.name.starts_with("members")) {
        table.zeros = true;
        let zero = table.zero(&mut rng).unwrap();
        execute(&mut session, &format!("{zero} WHERE id % 4 <> 0; {MODE}")).await;
    }
    catch_up(&pair).await;
    let compared = pair.compare().await;
    let rows = compared.iter().filter_map(|table| table.target.as_ref()).map(|it| it.rows);
    assert!(rows.sum::<i64>() > 2500, "too few rows are left to compare");
}

#[tokio::test]
async fn mysql_9_7_random_rows_of_every_type_arrive() {
    random_rows_of_every_type(Release::MYSQL_9_7, ["FULL", "MINIMAL"], 1).await;
}

#[tokio::test]
async fn mariadb_10_11_random_rows_of_every_type_arrive() {
    random_rows_of_every_type(Release::MARIADB_10_11, ["FULL", "NO_LOG"], 2).await;
}

#[tokio::test]
async fn mariadb_11_8_random_rows_of_every_type_arrive() {
    random_rows_of_every_type(Release::MARIADB_11_8, ["FULL", "NO_LOG"], 3).await;
}
