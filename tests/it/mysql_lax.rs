//! What a strict session does not take and tables hold all the same: dates that are none in columns
//! that are NOT NULL, the index zero of an ENUM, bytes that are no text.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;

use dunlin::demo::mysql::Release;
use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use crate::support::Dunlin;
use crate::support::mysql::{MySqlPair, row};

async fn catch_up(pair: &MySqlPair) {
    Dunlin::run(pair, "run", &["--until", "caught-up"]).await.expect_code(0);
    pair.assert_equal().await;
}

const DATES: &str = "
CREATE TABLE dates (id INT PRIMARY KEY, d DATE NOT NULL, dt DATETIME NOT NULL, dt3 DATETIME(3) NOT NULL,
    ts TIMESTAMP NOT NULL, ts6 TIMESTAMP(6) NOT NULL, y YEAR NOT NULL, t TIME NOT NULL);
CREATE TABLE days (d DATE NOT NULL, at DATETIME(6) NOT NULL, n INT, PRIMARY KEY (d, at));
CREATE TABLE bare_days (d DATE NOT NULL, ts TIMESTAMP(3) NOT NULL, n INT);
CREATE TABLE grades (id INT PRIMARY KEY, e ENUM('a', 'ß') NOT NULL, n ENUM('x', 'y'), l ENUM('ä', 'b') CHARACTER SET latin1);
CREATE TABLE graded (e ENUM('a', 'b') NOT NULL, n INT NOT NULL, v INT, PRIMARY KEY (e, n));
CREATE TABLE bare_grades (e ENUM('a', 'b'), s SET('p', 'q'), n INT);
";

/// No dates, dates of no month or day, a day that no month has, and what a column gets of itself where
/// nothing is said; labels that there are not, beside NULL.
const DATE_ROWS: &[&str] = &[
    "INSERT INTO dates VALUES (1, '0000-00-00', '0000-00-00', '0000-00-00', '0000-00-00', '0000-00-00', 0, 0), \
     (2, '2026-00-00', '2026-00-00 01:02:03', '2026-12-00 23:59:59.999', '2026-01-02 03:04:05', 0, 2026, '-00:00:01'), \
     (3, '2026-02-31', '2026-04-31 00:00:00', '0000-01-01 00:00:00.001', '1970-01-01 00:00:01', '2038-01-19 03:14:07.999999', 1901, '838:59:59')",
    "INSERT INTO dates (id) VALUES (4), (5)",
    "INSERT INTO days VALUES ('0000-00-00', 0, 1), ('2026-00-00', '2026-02-31 01:02:03.000004', 2), \
     ('2026-01-00', '0000-00-00 00:00:00', 3), ('2026-02-30', '2026-00-00 00:00:00.5', 4)",
    "INSERT INTO bare_days VALUES ('0000-00-00', 0, 1), ('0000-00-00', 0, 1), ('2026-00-31', '2026-01-02', 2)",
    "INSERT INTO grades VALUES (1, 'none', 'none', 'none'), (2, 'ß', NULL, 'ä'), (3, 0, 'x', ''), (4, 'a', 0, NULL)",
    "INSERT INTO grades (id) VALUES (5)",
    "INSERT INTO graded VALUES ('none', 1, 1), ('none', 2, 2), ('a', 1, 3), ('b', 1, 4), \
     ('a', 9, 5), ('none', 9, 6), ('none', 8, 7)",
    "INSERT INTO bare_grades VALUES ('a', 'p', 1), ('none', 'p', 1), ('a', 'p', 1), ('none', 'p', 1), (NULL, 'p', 1), ('b', 'none', 1)",
];

const DATE_CHANGES: &[&str] = &[
    "UPDATE dates SET d = '2026-03-00', dt = 0, ts6 = 0 WHERE id = 3; UPDATE dates SET d = '2026-01-01', ts = '2026-01-01' WHERE id = 1",
    "UPDATE dates SET id = id + 10 WHERE id IN (1, 2)",
    "UPDATE days SET n = n + 10; UPDATE days SET at = '2026-00-00 07:00:00' WHERE n = 11; DELETE FROM days WHERE d = '2026-01-00'; \
     UPDATE days SET d = '0000-00-00' WHERE n = 14; DELETE FROM days WHERE d = '2026-00-00'",
    "DELETE FROM bare_days WHERE d = 0 LIMIT 1; UPDATE bare_days SET n = 3 WHERE d = '2026-00-31'",
    "UPDATE grades SET e = 'none' WHERE id = 2; UPDATE grades SET e = 'a', l = 'none' WHERE id = 1; DELETE FROM grades WHERE id = 3",
    "UPDATE graded SET v = v + 10; UPDATE graded SET n = 3 WHERE e = 0 AND n = 1; UPDATE graded SET e = 'none', n = 4 WHERE e = 'b'; \
     DELETE FROM graded WHERE e = 0 AND n = 2",
    // Beside a number a label would be one, too.
    "BEGIN; DELETE FROM graded WHERE e = 'a' AND n = 9; DELETE FROM graded WHERE e = 0 AND n = 8; COMMIT",
    // The rows before it differ in nothing else.
    "DELETE FROM bare_grades WHERE e = 0 LIMIT 1",
    "UPDATE bare_grades SET n = 2 WHERE e = 0; DELETE FROM bare_grades WHERE e = 'a' LIMIT 1; UPDATE bare_grades SET e = 'none' WHERE e = 'b'",
];

/// More rows than are written by statements.
const MANY: &[&str] = &[
    "INSERT INTO grades WITH RECURSIVE x AS (SELECT 1 n UNION ALL SELECT n + 1 FROM x WHERE n < 300) \
     SELECT n + 1000, n % 3, n % 3, n % 3 FROM x",
    "UPDATE grades SET e = 0, n = (id + 1) % 3 WHERE id > 1000",
    "INSERT INTO graded SELECT 0, id, 1 FROM grades WHERE id > 1000",
    "UPDATE graded SET v = 2 WHERE n > 1000",
    "UPDATE graded SET n = n + 1000 WHERE n > 1000 ORDER BY n DESC",
    "INSERT INTO dates SELECT id, 0, '2026-00-00', '2026-02-31 00:00:00.5', 0, 0, 0, 0 FROM grades WHERE id > 1000",
    "UPDATE dates SET d = '2026-02-00', dt = '2026-02-31' WHERE id > 1000",
    "DELETE FROM graded WHERE e = 0 AND n > 1000 AND n % 3 > 0",
];

async fn dates_and_labels_that_are_none(release: Release) {
    let pair = MySqlPair::of(release).await;
    let mut session = pair.on_source().await;
    session.query_drop("SET sql_mode = 'ALLOW_INVALID_DATES'").await.unwrap();
    session.query_drop(DATES).await.unwrap();
    execute(&mut session, DATE_ROWS).await;
    Dunlin::run(&pair, "run", &["--until", "snapshot"]).await.expect_code(0);
    execute(&mut session, DATE_CHANGES).await;
    catch_up(&pair).await;
    let all = ["dates", "days", "bare_days", "grades", "graded", "bare_grades"];
    let delete = all.map(|table| format!("DELETE FROM {table}")).join("; ");
    session.query_drop(delete).await.unwrap();
    execute(&mut session, DATE_ROWS).await;
    catch_up(&pair).await;
    execute(&mut session, DATE_CHANGES).await;
    catch_up(&pair).await;
    execute(&mut session, MANY).await;
    catch_up(&pair).await;
    let mut target = pair.on_target().await;
    for none in [
        "SELECT COUNT(*) FROM dates WHERE d = 0",
        "SELECT COUNT(*) FROM grades WHERE e = 0",
        "SELECT COUNT(*) FROM graded WHERE e = 0",
        "SELECT COUNT(*) FROM bare_grades WHERE e = 0",
    ] {
        let count: u32 = row(&mut target, none).await;
        assert!(count > 0, "{none}");
    }
}

async fn execute(session: &mut Conn, statements: &[&str]) {
    for statement in statements {
        let done = session.query_drop(*statement).await;
        done.unwrap_or_else(|error| panic!("{error}: {statement}"));
    }
}

#[tokio::test]
async fn mysql_9_7_dates_and_labels_that_are_none_arrive() {
    dates_and_labels_that_are_none(Release::MYSQL_9_7).await;
}

#[tokio::test]
async fn mariadb_10_11_dates_and_labels_that_are_none_arrive() {
    dates_and_labels_that_are_none(Release::MARIADB_10_11).await;
}

#[tokio::test]
async fn mariadb_11_8_dates_and_labels_that_are_none_arrive() {
    dates_and_labels_that_are_none(Release::MARIADB_11_8).await;
}

/// A byte that no text has, and a character that ends too soon.
const NO_TEXT: &str = "
CREATE TABLE raw (id INT PRIMARY KEY, u VARBINARY(40), g VARBINARY(20));
INSERT INTO raw VALUES (1, X'61', X'61'), (2, X'61FF62', X'D6D0'), (3, X'F09FA6', X'D6D081'), (4, X'', X'FF20');
CREATE TABLE broken (id INT PRIMARY KEY, u VARCHAR(10) CHARACTER SET utf8mb4, g VARCHAR(10) CHARACTER SET gbk);
CREATE TABLE sound LIKE broken;
INSERT INTO sound VALUES (1, '🦢', '中')
";

/// Gives a table of texts the file of a table of bytes.
async fn break_texts(pair: &MySqlPair) {
    let mut session = pair.on_source().await;
    session.query_drop(NO_TEXT).await.unwrap();
    session.query_drop("ALTER TABLE broken DISCARD TABLESPACE").await.unwrap();
    let (folder,): (String,) = row(&mut session, "SELECT @@datadir").await;
    let file = |table: &str| Path::new(&folder).join(format!("app/{table}.ibd"));
    session.query_drop("FLUSH TABLES raw FOR EXPORT").await.unwrap();
    fs::copy(file("raw"), file("broken")).unwrap();
    let owner = fs::metadata(file("raw")).unwrap();
    chown(file("broken"), Some(owner.uid()), Some(owner.gid())).unwrap();
    session.query_drop("UNLOCK TABLES").await.unwrap();
    session.query_drop("ALTER TABLE broken IMPORT TABLESPACE; DROP TABLE raw").await.unwrap();
    let (bytes,): (String,) =
        row(&mut session, "SELECT GROUP_CONCAT(HEX(u), HEX(g) ORDER BY id) FROM broken").await;
    assert_eq!(bytes, "6161,61FF62D6D0,F09FA6D6D081,FF20");
}

/// No server takes such bytes: they halt, in the copy as in the log, and nothing stands in their place.
async fn bytes_that_are_no_text(release: Release) {
    let pair = MySqlPair::of(release).await;
    break_texts(&pair).await;
    let halted = Dunlin::run(&pair, "run", &["--until", "caught-up"]).await;
    halted.expect_halt("TARGET_REFUSED").expect_said("app.broken");
    let mut target = pair.on_target().await;
    assert_eq!(row::<u32>(&mut target, "SELECT COUNT(*) FROM broken").await, 0);
    Dunlin::run(&pair, "complete", &[]).await.expect_code(0);
    // MySQL does not even move them from one table to another.
    if !release.is_mariadb() {
        return;
    }
    let words = ["--exclude", "app.broken", "--truncate-target", "*", "--until", "caught-up"];
    Dunlin::run(&pair, "run", &words).await.expect_code(0);
    pair.source_sql("INSERT INTO sound VALUES (2, 'a', 'b')").await;
    pair.source_sql("INSERT INTO sound SELECT id + 10, u, g FROM broken WHERE id > 1").await;
    let (there,): (String,) =
        row(&mut pair.on_source().await, "SELECT HEX(u) FROM sound WHERE id = 12").await;
    assert_eq!(there, "61FF62");
    let halted = Dunlin::run(&pair, "run", &words).await;
    halted.expect_halt("TARGET_REFUSED").expect_said("app.sound");
    let (rows,): (u32,) = row(&mut target, "SELECT COUNT(*) FROM sound WHERE id > 10").await;
    assert_eq!(rows, 0);
}

#[tokio::test]
async fn mysql_9_7_bytes_that_are_no_text_halt() {
    bytes_that_are_no_text(Release::MYSQL_9_7).await;
}

#[tokio::test]
async fn mariadb_10_11_bytes_that_are_no_text_halt() {
    bytes_that_are_no_text(Release::MARIADB_10_11).await;
}

#[tokio::test]
async fn mariadb_11_8_bytes_that_are_no_text_halt() {
    bytes_that_are_no_text(Release::MARIADB_11_8).await;
}
