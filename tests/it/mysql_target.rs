//! The MySQL target by itself: rows of every type loaded and applied, clashes, and who may write.

use std::sync::Arc;

use bytes::Bytes;
use dunlin::config::endpoint::MySqlEndpoint;
use dunlin::config::environment::Environment;
use dunlin::demo::mysql::Release;
use dunlin::demo::mysql::server::MySql;
use dunlin::demo::private::PrivateServer;
use dunlin::model::selection::Patterns;
use dunlin::model::{
    Batch, Bracket, Cell, Chunk, ChunkRange, Code, Column, ColumnOrder, Disposition, Identity, Lsn,
    OnDropColumn, Phase, Plan, Position, Relation, RelationColumn, RowForm, RowIdentity,
    SequenceValue, Shape, SourceIdentity, Step, Table, TableEffect, TableId, TableName, UpdateSet,
    ValueRef,
};
use dunlin::target::mysql::{MySqlTarget, Options, Remembered};
use dunlin::target::{Applied, Applier, BuildStage, Checkpoint, ChunkLoader, Proofs, Target};
use futures_util::FutureExt;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Row, Value};

use crate::support::mysql::{MySqlPair, create_every_type, row};
use crate::support::pair::DATABASE;

type Server = PrivateServer<MySql>;
type Cells = Vec<Option<Vec<u8>>>;

/// A target on a server.
pub async fn target(server: &Server) -> MySqlTarget {
    let environment = Environment::new(Vec::<(String, String)>::new(), None);
    let endpoint = MySqlEndpoint::parse(&server.url(DATABASE), &environment).unwrap();
    let options = Options {
        name: "it's".to_owned(),
        on_drop_column: OnDropColumn::Drop,
        binlog: true,
        remembered: Remembered::default(),
    };
    MySqlTarget::connect(&endpoint, options).await.unwrap()
}

fn at(lsn: u64) -> Position {
    Position::Postgres(Lsn(lsn))
}

fn identity() -> SourceIdentity {
    let word = str::to_owned;
    SourceIdentity {
        cluster: word("c"),
        timeline: word("1"),
        database: word("app"),
        version: word("9"),
    }
}

fn checkpoint(lsn: u64) -> Checkpoint {
    let position = at(lsn);
    Checkpoint { position, committed_at_us: Some(1), transactions: 1, changes: 1, durable: true }
}

/// A new migration of tables, taken over.
pub async fn begin(target: &MySqlTarget, tables: &[Table]) {
    target.claim().await.unwrap();
    assert!(target.load().await.unwrap().is_none());
    target.create(&identity(), &Patterns::default(), tables, false).await.unwrap();
    target.take_over().await.unwrap();
    target.record_snapshot(None, Some(&at(1))).await.unwrap();
}

/// The tables as the catalog describes them.
async fn tables(session: &mut Conn, names: &[&str]) -> Vec<Table> {
    let mut tables = Vec::new();
    for (name, id) in names.iter().zip(0..) {
        let columns: Vec<(String, String, String, Option<String>, String)> = session
            .exec(
                "SELECT column_name, column_type, extra, collation_name, column_key \
                 FROM information_schema.columns WHERE table_schema = ? AND table_name = ? \
                 ORDER BY ordinal_position",
                (DATABASE, *name),
            )
            .await
            .unwrap();
        let primary_key: Vec<usize> =
            (0..columns.len()).filter(|&index| columns[index].4 == "PRI").collect();
        let identity = match primary_key.is_empty() {
            true => Identity::Full,
            false => Identity::Key { columns: primary_key.clone() },
        };
        let columns: Vec<Column> = columns
            .into_iter()
            .zip(1..)
            .map(|((name, type_name, extra, collation, _), number)| Column {
                name,
                number,
                version: 0,
                type_name,
                type_modifier: -1,
                not_null: false,
                generated: extra.contains("VIRTUAL") || extra.contains("STORED"),
                collation,
                order: ColumnOrder::Opaque,
            })
            .collect();
        tables.push(Table {
            id: TableId(id),
            name: TableName { schema: DATABASE.to_owned(), name: (*name).to_owned() },
            source_id: 0,
            columns_ever: columns.len() as u16,
            columns,
            kept: Vec::new(),
            storage: 0,
            identity,
            primary_key,
            bytes: 1,
            estimated_rows: 1,
            pages: 1,
            correlation: None,
            root: None,
            partitions: None,
            cascades: None,
            binary_travels: false,
        });
    }
    tables
}

/// A table's rows as text.
async fn rows(session: &mut Conn, table: &Table) -> Vec<Cells> {
    session.query_drop("SET NAMES binary; SET time_zone = '+00:00'").await.unwrap();
    let selected: Vec<String> = table
        .copied_columns()
        .map(|column| {
            let name = column.name.replace('`', "``");
            // A FLOAT is shown with six digits only.
            match column.type_name.starts_with("float") {
                true => format!("CAST(`{name}` AS DOUBLE)"),
                false => format!("`{name}`"),
            }
        })
        .collect();
    let name = table.name.name.replace('`', "``");
    let query = format!("SELECT {} FROM `{name}`", selected.join(", "));
    let rows: Vec<Row> = session.query(query).await.unwrap();
    rows.into_iter()
        .map(|row| {
            let cell = |value| match value {
                Value::NULL => None,
                Value::Bytes(bytes) => Some(bytes),
                other => panic!("{other:?} in a row of text"),
            };
            row.unwrap().into_iter().map(cell).collect()
        })
        .collect()
}

/// Rows in the form in which chunks travel.
fn body(rows: &[Cells]) -> Bytes {
    let mut body = Vec::new();
    for row in rows {
        for (place, cell) in row.iter().enumerate() {
            if place > 0 {
                body.push(b'\t');
            }
            let Some(cell) = cell else {
                body.extend_from_slice(b"\\N");
                continue;
            };
            for &byte in cell {
                match byte {
                    b'\t' => body.extend_from_slice(b"\\t"),
                    b'\n' => body.extend_from_slice(b"\\n"),
                    b'\\' => body.extend_from_slice(b"\\\\"),
                    byte => body.push(byte),
                }
            }
        }
        body.push(b'\n');
    }
    body.into()
}

/// Puts plans together.
struct Writer {
    data: Vec<u8>,
    cells: Vec<ValueRef>,
    steps: Vec<Step>,
}

impl Writer {
    fn new() -> Self {
        Writer { data: Vec::new(), cells: Vec::new(), steps: Vec::new() }
    }

    fn row(&mut self, row: &[Option<Vec<u8>>]) -> u32 {
        let first = self.cells.len() as u32;
        for cell in row {
            self.cells.push(match cell {
                None => ValueRef::Null,
                Some(bytes) => {
                    let start = self.data.len() as u32;
                    self.data.extend_from_slice(bytes);
                    ValueRef::Text { start, len: bytes.len() as u32 }
                }
            });
        }
        first
    }

    fn plan(self) -> Plan {
        let batch = Batch { data: self.data.into(), ..Batch::default() };
        let cell = |value| Cell { batch: 0, value };
        Plan {
            batches: vec![Arc::new(batch)],
            cells: self.cells.into_iter().map(cell).collect(),
            steps: self.steps,
        }
    }
}

/// The shape of a table's rows, described to the applier.
async fn shape(applier: &mut impl Applier, table: &Table) -> Arc<Shape> {
    let columns = table.copied_columns().map(|column| RelationColumn {
        name: column.name.clone(),
        type_name: column.type_name.clone(),
        type_modifier: -1,
        key: false,
    });
    let relation = Arc::new(Relation {
        table: table.id,
        name: table.name.clone(),
        columns: columns.collect(),
        full: true,
        cascades: false,
    });
    applier.describe(table, &relation).await.unwrap();
    let primary_key: Vec<u16> = table.primary_key.iter().map(|&index| index as u16).collect();
    let identity = match primary_key.is_empty() {
        true => RowIdentity::WholeRow,
        false => RowIdentity::Key(primary_key.clone()),
    };
    Arc::new(Shape { relation, identity, primary_key })
}

fn key_of(shape: &Shape, row: &Cells) -> Cells {
    shape.key_columns().iter().map(|&column| row[usize::from(column)].clone()).collect()
}

fn text(values: &[&str]) -> Cells {
    values.iter().map(|value| Some(value.as_bytes().to_vec())).collect()
}

const TYPES: &[&str] =
    &["numbers", "moments", "texts", "members", "places", "documents", "derived", "keyless"];

/// Tables of the types that a release has.
fn of_types(release: Release) -> Vec<&'static str> {
    let own: &[&str] = match release {
        Release::MYSQL_9_7 => &["vectors", "hidden", "without_key"],
        Release::MARIADB_11_8 => &["vectors", "hidden", "addresses", "packed"],
        _ => &["hidden", "addresses", "packed"],
    };
    [TYPES, own, &["odd `name` \"ß\" ''中''"]].concat()
}

/// A label of no characters and the index zero look the same as text, and a JSON document has types
/// that its text does not tell.
const NOT_IN_TEXT: &str = "DELETE FROM texts WHERE id = 4; DELETE FROM documents WHERE id > 10";

async fn every_type(release: Release) -> MySqlPair {
    let pair = MySqlPair::of(release).await;
    create_every_type(&pair.source).await;
    create_every_type(&pair.target).await;
    pair.source_sql(NOT_IN_TEXT).await;
    for name in of_types(release) {
        pair.target_sql(&format!("TRUNCATE TABLE `{}`", name.replace('`', "``"))).await;
    }
    pair
}

async fn load_every_type(release: Release) {
    let pair = every_type(release).await;
    let mut source = pair.on_source().await;
    let tables = tables(&mut source, &of_types(release)).await;
    let target = target(&pair.target).await;
    begin(&target, &tables).await;
    let chunk =
        |table: &Table| Chunk { table: table.id, number: 0, range: ChunkRange::Whole, bytes: 1 };
    let chunks: Vec<Chunk> = tables.iter().map(chunk).collect();
    target.record_chunks(&tables, &chunks).await.unwrap();
    let mut loader = target.loader().await.unwrap();
    for (table, chunk) in tables.iter().zip(&chunks) {
        let rows = rows(&mut source, table).await;
        loader.open(table, RowForm::Text).await.unwrap();
        loader.write(body(&rows)).await.unwrap();
        loader.finish(chunk, &Bracket::exact(at(5)), rows.len() as u64).await.unwrap();
    }
    pair.assert_equal().await;
    let migration = target.load().await.unwrap().unwrap();
    assert!(migration.ledger.iter().all(|entry| entry.read == Some(Bracket::exact(at(5)))));
    assert_eq!(migration.tables, tables);
    assert_eq!((migration.phase, migration.checkpoint), (Phase::Snapshot, Some(at(1))));
}

#[tokio::test]
async fn mysql_loads_every_type() {
    load_every_type(Release::MYSQL_9_7).await;
}

#[tokio::test]
async fn mariadb_11_8_loads_every_type() {
    load_every_type(Release::MARIADB_11_8).await;
}

#[tokio::test]
async fn mariadb_10_11_loads_every_type() {
    load_every_type(Release::MARIADB_10_11).await;
}

/// Inserts all rows, updates them to what they are, deletes and inserts them again.
async fn apply_every_type(release: Release) {
    let pair = every_type(release).await;
    let mut source = pair.on_source().await;
    let tables = tables(&mut source, &of_types(release)).await;
    let target = target(&pair.target).await;
    begin(&target, &tables).await;
    let mut applier = target.applier().await.unwrap();
    for (table, lsn) in tables.iter().zip(10..) {
        let rows = rows(&mut source, table).await;
        let shape = shape(&mut applier, table).await;
        let mut writer = Writer::new();
        let news: Vec<u32> = rows.iter().map(|row| writer.row(row)).collect();
        let keys: Vec<u32> = rows.iter().map(|row| writer.row(&key_of(&shape, row))).collect();
        let mut change = |change: &dyn Fn(&mut TableEffect)| {
            let mut effect = TableEffect::new(Arc::clone(&shape));
            change(&mut effect);
            writer.steps.push(Step::Rows(vec![effect]));
        };
        change(&|effect| effect.inserts = news.clone());
        if shape.identity != RowIdentity::WholeRow {
            let columns: Vec<u16> = (0..shape.width()).collect();
            let rows = keys.iter().copied().zip(news.iter().copied()).collect();
            let set = UpdateSet { columns, rows };
            change(&|effect| effect.updates = vec![set.clone()]);
        }
        change(&|effect| effect.deletes = keys.iter().map(|&key| (key, 1)).collect());
        change(&|effect| effect.inserts = news.clone());
        let applied = applier.apply(&writer.plan(), Some(&checkpoint(lsn))).await.unwrap();
        assert!(matches!(applied, Applied::Done), "{}: {applied:?}", table.name);
    }
    pair.assert_equal().await;
}

#[tokio::test]
async fn mysql_applies_every_type() {
    apply_every_type(Release::MYSQL_9_7).await;
}

#[tokio::test]
async fn mariadb_11_8_applies_every_type() {
    apply_every_type(Release::MARIADB_11_8).await;
}

#[tokio::test]
async fn mariadb_10_11_applies_every_type() {
    apply_every_type(Release::MARIADB_10_11).await;
}

const ITEMS: &str = "CREATE TABLE item (name VARCHAR(20) COLLATE utf8mb4_unicode_ci, n INT, \
     colour ENUM('red', 'blue'), other INT UNIQUE, PRIMARY KEY (name, n))";

/// Many rows go another way than few: both end in the same state, and count what they find.
async fn many_and_few(release: Release) {
    let pair = MySqlPair::of(release).await;
    pair.target_sql(ITEMS).await;
    let mut session = pair.on_target().await;
    let tables = tables(&mut session, &["item"]).await;
    let target = target(&pair.target).await;
    begin(&target, &tables).await;
    let mut applier = target.applier().await.unwrap();
    let shape = shape(&mut applier, &tables[0]).await;
    let item = |n: i32, colour: &str, other: i32| {
        text(&["ß'\\", &n.to_string(), colour, &other.to_string()])
    };
    for (count, first) in [(1000, 0), (3, 5000)] {
        let mut writer = Writer::new();
        let mut effect = TableEffect::new(Arc::clone(&shape));
        effect.inserts = (0..count).map(|n| writer.row(&item(first + n, "", n + first))).collect();
        writer.steps.push(Step::Rows(vec![effect]));
        let mut effect = TableEffect::new(Arc::clone(&shape));
        let keys: Vec<u32> = (0..count)
            // The collation takes these two for equal.
            .map(|n| writer.row(&text(&["SS'\\", &(first + n).to_string()])))
            .collect();
        let news = (0..count).map(|n| writer.row(&item(first + n, "blue", first - n - 1)));
        let news: Vec<u32> = news.collect();
        let rows = keys.iter().copied().zip(news).collect();
        effect.updates = vec![UpdateSet { columns: vec![0, 2, 3], rows }];
        writer.steps.push(Step::Rows(vec![effect]));
        let mut effect = TableEffect::new(Arc::clone(&shape));
        effect.deletes = keys.iter().skip(2).map(|&key| (key, 1)).collect();
        writer.steps.push(Step::Rows(vec![effect]));
        let applied = applier.apply(&writer.plan(), Some(&checkpoint(9))).await.unwrap();
        assert!(matches!(applied, Applied::Done), "{applied:?}");
    }
    let left: Vec<(String, i32, String, i32)> =
        session.query("SELECT name, n, colour, other FROM item ORDER BY n").await.unwrap();
    let item = |n, other| ("ß'\\".to_owned(), n, "blue".to_owned(), other);
    assert_eq!(left, [item(0, -1), item(1, -2), item(5000, 4999), item(5001, 4998)]);
    for count in [1, 500] {
        // A row that is there, one that is not, and a unique value that is taken.
        let mut there = Writer::new();
        let mut effect = TableEffect::new(Arc::clone(&shape));
        let new = |n: i32| text(&["SS'\\", &n.to_string(), "red", &(n + 900_000).to_string()]);
        effect.inserts = (0..count).map(|n| there.row(&new(n))).collect();
        there.steps.push(Step::Rows(vec![effect]));
        let mut missing = Writer::new();
        let mut effect = TableEffect::new(Arc::clone(&shape));
        let rows =
            (1..=count).map(|n| (missing.row(&text(&["x", &n.to_string()])), missing.row(&new(n))));
        let rows = rows.collect();
        effect.updates = vec![UpdateSet { columns: vec![3], rows }];
        missing.steps.push(Step::Rows(vec![effect]));
        for plan in [there.plan(), missing.plan()] {
            let applied = applier.apply(&plan, Some(&checkpoint(10))).await.unwrap();
            assert!(matches!(applied, Applied::Clash { .. }), "{applied:?}");
        }
    }
    let migration = target.load().await.unwrap().unwrap();
    assert_eq!(migration.checkpoint, Some(at(9)));
    let left: i64 = row(&mut session, "SELECT COUNT(*) FROM item").await;
    assert_eq!(left, 4);
}

#[tokio::test]
async fn mysql_applies_many_rows_as_few() {
    many_and_few(Release::MYSQL_9_7).await;
}

#[tokio::test]
async fn mariadb_applies_many_rows_as_few() {
    many_and_few(Release::MARIADB_11_8).await;
}

/// Whoever takes over ends the other's sessions and fences its epoch.
async fn only_the_newest_writes(release: Release) {
    let pair = MySqlPair::of(release).await;
    pair.target_sql("CREATE TABLE item (id INT AUTO_INCREMENT PRIMARY KEY)").await;
    let mut session = pair.on_target().await;
    let tables = tables(&mut session, &["item"]).await;
    let old = target(&pair.target).await;
    begin(&old, &tables).await;
    let mut applier = old.applier().await.unwrap();
    let shape = shape(&mut applier, &tables[0]).await;
    let mut writer = Writer::new();
    let mut effect = TableEffect::new(Arc::clone(&shape));
    effect.inserts = vec![writer.row(&text(&["0"]))];
    writer.steps.push(Step::Rows(vec![effect]));
    let plan = writer.plan();
    assert!(matches!(applier.apply(&plan, None).await.unwrap(), Applied::Done));
    let standing = old.status().await.unwrap();
    assert!(standing.running);
    // The lock goes with the control session, the rows that are under way with the applier's.
    let new = target(&pair.target).await;
    drop(old);
    new.take_over().await.unwrap();
    let failure = applier.apply(&plan, Some(&checkpoint(7))).await.unwrap_err();
    assert_eq!(failure.code(), None, "{failure:?}");
    let left: i64 = row(&mut session, "SELECT COUNT(*) FROM item").await;
    assert_eq!(left, 0);
    let name = TableName { schema: DATABASE.to_owned(), name: "item".to_owned() };
    let value = SequenceValue { name, last_value: 41, is_called: true };
    new.set_sequences(&[value.clone(), value]).await.unwrap();
    pair.target_sql("INSERT INTO item VALUES ()").await;
    let next: i64 = row(&mut session, "SELECT id FROM item").await;
    assert_eq!(next, 42);
    assert!(new.builds(BuildStage::Rest).await.unwrap().is_empty());
    assert_eq!(new.status().await.unwrap().epoch, 2);
    let removed = new.remove().await.unwrap();
    assert_eq!(removed, ["target: state of migration it's", "target: database dunlin"]);
    assert!(new.remove().await.unwrap().is_empty());
    let failure = new.status().await.unwrap_err();
    assert_eq!(failure.code(), Some(Code::MigrationMissing));
}

#[tokio::test]
async fn mysql_only_the_newest_writes() {
    only_the_newest_writes(Release::MYSQL_9_7).await;
}

#[tokio::test]
async fn mariadb_only_the_newest_writes() {
    only_the_newest_writes(Release::MARIADB_11_8).await;
}

/// The driver would take the rest of an answer for the next one's, and a migration that is there for
/// none.
#[tokio::test]
async fn a_look_that_is_dropped_half_way_leaves_no_answer_behind() {
    let pair = MySqlPair::of(Release::MYSQL_9_7).await;
    let target = target(&pair.target).await;
    begin(&target, &[]).await;
    for _ in 0..20 {
        assert!(target.is_asked_to_stand_by().now_or_never().is_none());
        assert!(target.load().await.unwrap().is_some());
        assert!(target.status().now_or_never().is_none());
        assert!(target.load().await.unwrap().is_some());
    }
    // Where nobody sees to it, the session is as good as lost, and says so.
    assert!(target.unfinished().now_or_never().is_none());
    let lost = target.load().await.unwrap_err();
    assert!(matches!(lost.disposition(), Disposition::Retry), "{lost}");
}
