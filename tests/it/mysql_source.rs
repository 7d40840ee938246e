//! A MySQL or MariaDB server as source, against the real ones: what is read is what is there, at one
//! moment, whatever the types, the keys and the writers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use dunlin::config::NamedTables;
use dunlin::config::endpoint::MySqlEndpoint;
use dunlin::config::environment::Environment;
use dunlin::demo::mysql::{Release, Server, ServerOptions};
use dunlin::model::ddl::MySqlSchema;
use dunlin::model::selection::{Patterns, Selection};
use dunlin::model::{
    Chunk, ChunkRange, Code, HeldSnapshot, Position, RowForm, Table, TableId, are_assignable,
};
use dunlin::source::mysql::{HeldConnections, MySqlSource, Options};
use dunlin::source::{ChunkReader, ChunkRows, Opened, Source};
use mysql_async::prelude::Queryable;

use crate::support::mysql::{MySqlPair, batch, row};
use crate::support::pair::DATABASE;

const WORKERS: usize = 3;

async fn source_of(server: &Server, held: &HeldConnections) -> MySqlSource {
    let url = server.url(DATABASE);
    let endpoint = MySqlEndpoint::parse(&url, &Environment::of_process()).unwrap();
    let options = Options {
        name: "dunlin".to_owned(),
        selection: everything(),
        insert_only: NamedTables::default(),
        workers: WORKERS,
        may_lock: true,
        lock_timeout: Duration::from_secs(1),
        source_timeout: Duration::from_secs(30),
        held: held.clone(),
    };
    MySqlSource::connect(&endpoint, options).await.unwrap()
}

fn everything() -> Selection {
    Selection::new(&Patterns::default()).unwrap()
}

fn chunk(table: &Table, number: usize, range: ChunkRange) -> Chunk {
    Chunk { table: table.id, number: number as u32, range, bytes: 0 }
}

/// All rows of a chunk. None where it cannot be read under the snapshot.
async fn read<R: ChunkReader>(
    reader: &mut R,
    table: &Table,
    chunk: &Chunk,
) -> Option<(Bytes, u64)> {
    let Opened::Rows(mut rows) = reader.open(table, chunk, RowForm::Text).await.unwrap() else {
        return None;
    };
    let mut all = BytesMut::new();
    while let Some(buffer) = rows.next().await.unwrap() {
        all.extend_from_slice(&buffer);
    }
    Some((all.freeze(), rows.rows()))
}

/// Makes the tables on the target as the source's schema says, without what comes later.
async fn make_tables(target: &Server, schema: &MySqlSchema) {
    let mut session = target.connect(DATABASE).await.unwrap();
    session.query_drop("SET sql_mode = 'ALLOW_INVALID_DATES'").await.unwrap();
    for table in &schema.tables {
        session.query_drop(&table.create).await.unwrap();
        for clause in table.indexes.iter().chain(&table.foreign_keys) {
            let name = table.name.name.replace('`', "``");
            session.query_drop(format!("ALTER TABLE `{name}` ADD {}", clause.text)).await.unwrap();
        }
    }
}

/// Loads rows as `LOAD DATA` does by default. What a column does not take as bytes is converted.
async fn load(target: &Server, table: &Table, rows: Bytes) {
    let mut session = target.connect(DATABASE).await.unwrap();
    let settings = "SET sql_mode = 'STRICT_ALL_TABLES,ALLOW_INVALID_DATES,NO_AUTO_VALUE_ON_ZERO', \
         time_zone = '+00:00', foreign_key_checks = 0";
    session.query_drop(settings).await.unwrap();
    let (mut columns, mut set) = (Vec::new(), Vec::new());
    for (at, column) in table.copied_columns().enumerate() {
        let name = format!("`{}`", column.name.replace('`', "``"));
        let text = column.type_name.as_str();
        let conversion = match text {
            "json" => Some(format!("CONVERT(@v{at} USING utf8mb4)")),
            "uuid" | "inet4" | "inet6" => Some(format!("CONVERT(@v{at} USING latin1)")),
            _ if text.starts_with("bit") => {
                Some(format!("CAST(CONV(HEX(@v{at}), 16, 10) AS UNSIGNED)"))
            }
            _ => None,
        };
        columns.push(conversion.as_ref().map_or(name.clone(), |_| format!("@v{at}")));
        set.extend(conversion.map(|conversion| format!("{name} = {conversion}")));
    }
    session.set_infile_handler(async move {
        Ok(Box::pin(futures_util::stream::iter([Ok::<_, std::io::Error>(rows)])) as _)
    });
    let set = if set.is_empty() { String::new() } else { format!(" SET {}", set.join(", ")) };
    let text = format!(
        "LOAD DATA LOCAL INFILE 'rows' INTO TABLE `{}` CHARACTER SET binary ({}){set}",
        table.name.name.replace('`', "``"),
        columns.join(", "),
    );
    session.query_drop(text).await.unwrap();
}

/// Copies everything in chunks of about so many bytes, and returns how many there were.
async fn copy(pair: &MySqlPair, source: &MySqlSource, chunk_bytes: u64) -> usize {
    let held = source.begin().await.unwrap();
    let tables = source.tables(Some(&held)).await.unwrap();
    let schema = source.schema(&held, &tables).await.unwrap();
    make_tables(&pair.target, &MySqlSchema::from_archive(&schema.archive).unwrap()).await;
    let mut reader = source.reader(&held).await.unwrap();
    let mut chunks = 0;
    for table in &tables {
        let ranges = source.split(Some(&held), table, chunk_bytes).await.unwrap();
        for (number, range) in ranges.into_iter().enumerate() {
            let chunk = chunk(table, number, range);
            let (rows, count) = read(&mut reader, table, &chunk).await.unwrap();
            assert_eq!(count == 0, rows.is_empty());
            load(&pair.target, table, rows).await;
            chunks += 1;
        }
    }
    source.release(&held).await.unwrap();
    chunks
}

/// Keys whose ranges are hard: composite, collated, padded, unsigned, descending in text, dates
/// that are none, and one without a primary key.
const KEYS: &str = "\
    CREATE TABLE many (id BIGINT UNSIGNED PRIMARY KEY, v INT); \
    INSERT INTO many WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 900) \
        SELECT 18446744073709550000 + i, i FROM n; \
    INSERT INTO many WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 900) \
        SELECT i, i FROM n; \
    CREATE TABLE pairs (a INT, b VARCHAR(20), c DATE, PRIMARY KEY (a, b, c)); \
    INSERT INTO pairs WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 900) \
        SELECT IF(i < 600, 7, -i), CONCAT('k', i), IF(i = 5, '0000-00-00', '2024-01-01') FROM n; \
    CREATE TABLE words (w VARCHAR(30) CHARACTER SET latin1 PRIMARY KEY); \
    INSERT INTO words WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 900) \
        SELECT CONCAT(ELT(1 + i % 4, 'ä', 'A', '\\\\', ''''), i) FROM n; \
    CREATE TABLE hashes (h BINARY(32) PRIMARY KEY); \
    INSERT INTO hashes WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 900) \
        SELECT UNHEX(SHA2(i, 256)) FROM n; \
    CREATE TABLE unique_only (k DECIMAL(10, 2) NOT NULL UNIQUE, v INT, KEY (v)); \
    INSERT INTO unique_only WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 900) \
        SELECT 450 - i + 0.5, i FROM n; \
    ANALYZE TABLE many, pairs, words, hashes, unique_only;";

#[tokio::test]
async fn mysql_source_cuts_any_key_without_gap_or_overlap() {
    for release in Release::ALL {
        let pair = MySqlPair::of(release).await;
        pair.source_sql(&format!("SET sql_mode = 'ALLOW_INVALID_DATES'; {KEYS}")).await;
        let source = source_of(&pair.source, &HeldConnections::default()).await;
        let tables = source.tables(None).await.unwrap();
        for table in &tables {
            let ranges = source.split(None, table, table.bytes / 6).await.unwrap();
            // Optimizers guess; what counts is that a table is cut at all, and not into crumbs.
            assert!((2..40).contains(&ranges.len()), "{release} {}: {ranges:?}", table.name);
            let chunks: Vec<Chunk> =
                (0..).zip(ranges).map(|(number, range)| chunk(table, number, range)).collect();
            let collated = ["pairs", "words"].contains(&table.name.name.as_str());
            assert_eq!(are_assignable(table, chunks.iter()), !collated, "{}", table.name);
        }
        let smallest = tables.iter().map(|table| table.bytes).min().unwrap();
        assert!(copy(&pair, &source, smallest / 6).await > 10);
        pair.assert_equal().await;
    }
}

/// Writes transactions of two rows each until told to stop, and returns how many it wrote.
async fn write_pairs(server: Server, stop: Arc<AtomicBool>) -> Server {
    let mut session = server.connect(DATABASE).await.unwrap();
    let mut count = 0;
    while !stop.load(Ordering::Relaxed) {
        count += 1;
        let text = format!(
            "BEGIN; INSERT INTO one VALUES ({count}); INSERT INTO other VALUES ({count}); COMMIT"
        );
        session.query_drop(text).await.unwrap();
    }
    drop(session);
    server
}

#[tokio::test]
async fn mysql_source_sees_one_moment_and_knows_which() {
    for release in Release::ALL {
        let server = Server::create(&release.into()).unwrap();
        server.create_database(DATABASE).await.unwrap();
        let tables =
            "CREATE TABLE one (id INT PRIMARY KEY); CREATE TABLE other (id INT PRIMARY KEY)";
        batch(&server, tables).await;
        let source = source_of(&server, &HeldConnections::default()).await;
        let before = source.position().await.unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let writer = tokio::spawn(write_pairs(server, Arc::clone(&stop)));
        let mut last = 0;
        for _ in 0..5 {
            let held = source.hold_again().await.unwrap();
            let counts = counts_of_all_readers(&source, &held).await;
            assert!(counts.iter().all(|count| *count == counts[0]), "{release}: {counts:?}");
            let written = before.transactions_until(&held.position);
            assert_eq!(written, Some(counts[0]), "{release}");
            assert!(counts[0] >= last);
            last = counts[0];
        }
        stop.store(true, Ordering::Relaxed);
        drop(writer.await.unwrap());
    }
}

/// What each connection of a snapshot sees of each table.
async fn counts_of_all_readers(source: &MySqlSource, held: &HeldSnapshot) -> Vec<u64> {
    let tables = source.tables(Some(held)).await.unwrap();
    let mut readers = Vec::new();
    for _ in 0..WORKERS {
        readers.push(source.reader(held).await.unwrap());
    }
    let mut counts = Vec::new();
    for reader in &mut readers {
        for table in &tables {
            let whole = chunk(table, 0, ChunkRange::Whole);
            counts.push(read(reader, table, &whole).await.unwrap().1);
        }
    }
    counts
}

#[tokio::test]
async fn mysql_source_says_where_a_table_was_rewritten_and_locks_none_for_long() {
    for release in Release::ALL {
        let server = Server::create(&release.into()).unwrap();
        server.create_database(DATABASE).await.unwrap();
        let tables = "CREATE TABLE a (id INT PRIMARY KEY); INSERT INTO a VALUES (1), (2); \
             CREATE TABLE b LIKE a; INSERT INTO b VALUES (1); \
             CREATE TABLE c LIKE a; INSERT INTO c VALUES (1), (2), (3)";
        batch(&server, tables).await;
        let held_here = HeldConnections::default();
        let source = source_of(&server, &held_here).await;
        let held = source.begin().await.unwrap();
        let tables = source.tables(Some(&held)).await.unwrap();
        let whole = |index: usize| chunk(&tables[index], 0, ChunkRange::Whole);
        let mut reader = source.reader(&held).await.unwrap();
        assert_eq!(read(&mut reader, &tables[0], &whole(0)).await.unwrap().1, 2);
        for change in ["ALTER TABLE a ADD x INT", "TRUNCATE TABLE b", "INSERT INTO c VALUES (4)"] {
            batch(&server, &format!("SET lock_wait_timeout = 2; {change}")).await;
        }
        assert_eq!(read(&mut reader, &tables[1], &whole(1)).await, None, "{release}");
        assert_eq!(read(&mut reader, &tables[2], &whole(2)).await.unwrap().1, 3);
        batch(&server, "SET lock_wait_timeout = 2; DROP TABLE b, c").await;
        drop(reader);
        assert!(source.is_held(&held).await.unwrap());
        let another = source_of(&server, &held_here).await;
        assert!(another.is_held(&held).await.unwrap(), "the next attempt of this process");
        let elsewhere = source_of(&server, &HeldConnections::default()).await;
        assert!(!elsewhere.is_held(&held).await.unwrap(), "another process");
        source.release(&held).await.unwrap();
        assert!(!another.is_held(&held).await.unwrap());
    }
}

#[tokio::test]
async fn mysql_source_tells_who_holds_the_snapshot_up() {
    let server = Server::create(&Release::MYSQL_9_7.into()).unwrap();
    server.create_database(DATABASE).await.unwrap();
    batch(&server, "CREATE TABLE t (id INT PRIMARY KEY)").await;
    let source = source_of(&server, &HeldConnections::default()).await;
    let mut locker = server.connect(DATABASE).await.unwrap();
    locker.query_drop("LOCK TABLES t WRITE").await.unwrap();
    let failure = source.begin().await.unwrap_err();
    assert_eq!(failure.code(), Some(Code::SnapshotHeldUp));
    locker.query_drop("UNLOCK TABLES").await.unwrap();
    assert!(source.begin().await.is_ok());
}

#[tokio::test]
async fn mysql_source_without_gtids_goes_by_file_and_offset() {
    let options = ServerOptions::from(Release::MYSQL_9_7);
    let options = options.with("gtid_mode", "OFF").with("enforce_gtid_consistency", "OFF");
    let server = Server::create(&options).unwrap();
    server.create_database(DATABASE).await.unwrap();
    batch(&server, "CREATE TABLE t (id INT PRIMARY KEY)").await;
    let source = source_of(&server, &HeldConnections::default()).await;
    let held = source.begin().await.unwrap();
    assert!(matches!(held.position, Position::Binlog(_)), "{}", held.position);
    batch(&server, "INSERT INTO t VALUES (1)").await;
    assert!(!held.position.reaches(&source.position().await.unwrap()));
    let survey = source.check(&everything(), 8).await.unwrap();
    assert!(survey.findings.iter().any(|finding| finding.id == "GTID_OFF"));
}

#[tokio::test]
async fn mysql_source_checks_what_would_be_lost() {
    let options = ServerOptions::from(Release::MYSQL_9_7)
        .with("binlog_row_image", "MINIMAL")
        .with("binlog_row_metadata", "MINIMAL");
    let server = Server::create(&options).unwrap();
    server.create_database(DATABASE).await.unwrap();
    let setup = "CREATE TABLE old (id INT PRIMARY KEY) ENGINE = MyISAM; \
         CREATE TABLE keyless (a INT); CREATE TABLE t (id INT PRIMARY KEY); \
         CREATE USER poor IDENTIFIED BY 'pass'; GRANT SELECT ON app.t TO poor; \
         GRANT INSERT ON app.keyless TO poor; \
         XA START 'x'; INSERT INTO t VALUES (1); XA END 'x'; XA PREPARE 'x'";
    batch(&server, setup).await;
    let source = source_of(&server, &HeldConnections::default()).await;
    let ids = |findings: &[dunlin::model::report::Finding]| -> Vec<String> {
        findings.iter().map(|finding| finding.id.clone()).collect()
    };
    let found = ids(&source.check(&everything(), 8).await.unwrap().findings);
    for id in ["BINLOG_FORMAT", "BINLOG_METADATA", "TABLE_ENGINE", "NO_KEY", "XA_PREPARED"] {
        assert!(found.iter().any(|found| found == id), "{id} is not in {found:?}");
    }
    let url = server.url(DATABASE).replace("root@", "poor:pass@");
    assert!(url.contains("poor"), "{url}");
    let endpoint = MySqlEndpoint::parse(&url, &Environment::of_process()).unwrap();
    let options = Options {
        name: "dunlin".to_owned(),
        selection: everything(),
        insert_only: NamedTables::default(),
        workers: 1,
        may_lock: true,
        lock_timeout: Duration::from_secs(1),
        source_timeout: Duration::from_secs(30),
        held: HeldConnections::default(),
    };
    let poor = MySqlSource::connect(&endpoint, options).await.unwrap();
    let survey = poor.check(&everything(), 8).await.unwrap();
    let told: Vec<String> = survey.findings.iter().map(|f| f.evidence.clone()).collect();
    for privilege in ["REPLICATION SLAVE", "REPLICATION CLIENT", "RELOAD", "app.keyless", "EVENT"] {
        assert!(told.iter().any(|told| told.contains(privilege)), "{privilege}: {told:?}");
    }
    assert_eq!(poor.begin().await.unwrap_err().code(), Some(Code::PrivilegeMissing));
}

#[tokio::test]
async fn mysql_source_carries_the_schema_in_its_own_words() {
    for release in Release::ALL {
        let server = Server::create(&release.into()).unwrap();
        server.create_database(DATABASE).await.unwrap();
        batch(
            &server,
            "CREATE TABLE parents (id INT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(9), \
             KEY by_name (name)) COMMENT 'KEY `x` (`y`),'; \
             INSERT INTO parents VALUES (41, 'x'); DELETE FROM parents; \
             CREATE TABLE children (id INT PRIMARY KEY, parent INT, \
             CONSTRAINT up FOREIGN KEY (parent) REFERENCES parents (id) ON DELETE CASCADE); \
             CREATE VIEW names AS SELECT name FROM parents",
        )
        .await;
        let mut session = server.connect(DATABASE).await.unwrap();
        for text in [
            "CREATE TRIGGER first BEFORE INSERT ON parents FOR EACH ROW SET NEW.name = 'y'",
            "CREATE FUNCTION f (x INT) RETURNS INT DETERMINISTIC RETURN x + 1",
            "CREATE EVENT later ON SCHEDULE EVERY 1 DAY DO DELETE FROM children",
        ] {
            session.query_drop(text).await.unwrap();
        }
        let source = source_of(&server, &HeldConnections::default()).await;
        let held = source.begin().await.unwrap();
        let tables = source.tables(Some(&held)).await.unwrap();
        let carried = source.schema(&held, &tables).await.unwrap();
        let schema = MySqlSchema::from_archive(&carried.archive).unwrap();
        let parents = schema.tables.iter().find(|table| table.name.name == "parents").unwrap();
        assert_eq!(parents.auto_increment, Some(42), "{release}");
        assert_eq!(parents.indexes.len(), 1);
        assert!(!parents.create.contains("by_name"));
        let children = schema.tables.iter().find(|table| table.name.name == "children").unwrap();
        assert_eq!((children.foreign_keys.len(), children.indexes.len()), (1, 1));
        assert_eq!(children.foreign_keys[0].name, "up");
        let counts = [&schema.views, &schema.triggers, &schema.routines, &schema.events];
        assert_eq!(counts.map(Vec::len), [1; 4], "{release}");
        assert!(schema.events[0].enabled && schema.events[0].time_zone.is_some());
        assert!(schema.routines[0].sql_mode.is_some());
        let next = source.sequences().await.unwrap();
        assert!(next.iter().any(|value| value.name.name == "parents" && value.last_value == 42));
        let unlogged = tables.iter().filter(|table| table.cascades.is_some()).count();
        assert_eq!(unlogged, if release.is_mariadb() { 2 } else { 0 });
        let mut now = source.tables(None).await.unwrap();
        now[0].id = TableId(7);
        let column = format!("ALTER TABLE {} ADD extra VARCHAR(5) DEFAULT 'd'", now[0].name.name);
        session.query_drop(column).await.unwrap();
        let read = source.alterations(&held, &now, &[TableId(7)]).await.unwrap();
        assert_eq!(read.len(), 1);
        assert_eq!(read[0].added[0].default.as_deref(), Some("'d'"));
        let _: u64 = row(&mut session, "SELECT COUNT(*) FROM children").await;
    }
}
