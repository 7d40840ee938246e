//! From MySQL to MariaDB and back: what both know arrives through the snapshot and through the log, and
//! what only one of them has is refused by name. The comparison asks both servers and nobody else.

use std::collections::BTreeMap;

use dunlin::demo::mysql::{Release, Server, ServerOptions};
use mysql_async::prelude::Queryable;
use serde_json::Value;

use crate::support::Dunlin;
use crate::support::mysql::{MySqlPair, batch};

/// A column of every type that both have, by the words of both.
const BOTH: &str = include_str!("../cases/mysql/types/setup.sql");

/// What else the one or the other knows by its own words, and the other does too.
const FROM_MYSQL: &str = "
CREATE TABLE vectors (id INT PRIMARY KEY, v VECTOR(3));
INSERT INTO vectors VALUES (1, STRING_TO_VECTOR('[1, -0.5, 1.5e-38]')), (2, NULL);
INSERT INTO documents VALUES
    (11, JSON_ARRAY(CAST(1.10 AS DECIMAL(5, 2)), DATE '2026-01-02', TIME '-01:02:03.5',
                    TIMESTAMP '2026-01-02 03:04:05.000006')),
    (12, CAST(X'00FF' AS JSON));
CREATE TABLE hidden (id INT PRIMARY KEY, seen INT, unseen INT INVISIBLE);
INSERT INTO hidden (id, seen, unseen) VALUES (1, 2, 3), (2, 3, NULL);
SET sql_generate_invisible_primary_key = ON;
CREATE TABLE without_key (a INT);
INSERT INTO without_key VALUES (1), (1);
SET sql_generate_invisible_primary_key = OFF;
CREATE TABLE expressive (id INT PRIMARY KEY, n INT DEFAULT (1 + 2), t TEXT DEFAULT (concat('a', 'b')),
    at TIMESTAMP(6) DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6),
    CONSTRAINT positive CHECK (n > 0), KEY backwards (n DESC));
INSERT INTO expressive VALUES (1, 5, 'x', '2026-01-02 03:04:05.6');
CREATE TABLE parted (id INT PRIMARY KEY, n INT) PARTITION BY HASH (id) PARTITIONS 3;
INSERT INTO parted VALUES (1, 1), (2, 2);";

const FROM_MARIADB: &str = "
CREATE TABLE vectors (id INT PRIMARY KEY, v VECTOR(3));
INSERT INTO vectors VALUES (1, VEC_FromText('[1, -0.5, 1.5e-38]')), (2, NULL);
CREATE TABLE packed (
    id INT PRIMARY KEY, v VARCHAR(1000) COMPRESSED, t TEXT COMPRESSED, b LONGBLOB COMPRESSED
);
INSERT INTO packed VALUES
    (1, REPEAT('a', 1000), REPEAT('ß', 30000), REPEAT(X'00', 100000)), (2, '', '', ''),
    (3, NULL, NULL, NULL);
CREATE TABLE hidden (id INT PRIMARY KEY, seen INT, unseen INT INVISIBLE);
INSERT INTO hidden (id, seen, unseen) VALUES (1, 2, 3), (2, 3, NULL);
CREATE TABLE expressive (id INT PRIMARY KEY, n INT DEFAULT (1 + 2), word VARCHAR(9) DEFAULT 'it''s',
    at TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6),
    CONSTRAINT positive CHECK (n > 0), KEY unused (n) IGNORED);
INSERT INTO expressive VALUES (1, 5, 'x', '2026-01-02 03:04:05.6');
CREATE TABLE parted (id INT PRIMARY KEY, n INT) PARTITION BY HASH (id) PARTITIONS 3;
INSERT INTO parted VALUES (1, 1), (2, 2);";

/// The index zero of an ENUM beside a label of no characters, which does not arrive as it is.
const LEFT_OUT: &str = "DELETE FROM texts WHERE id = 4";

/// Each column as it is compared: what the server says of its value, or of its bytes. MySQL cuts a number
/// at 22 characters, of which a sign takes one.
const COLUMNS: &str = "SELECT TABLE_NAME, CONCAT('CONCAT_WS(''|'', ', GROUP_CONCAT(
        CONCAT('COALESCE(', CASE
            WHEN DATA_TYPE IN ('float', 'double')
                THEN CONCAT('CONCAT(SIGN(', quoted, '), CAST(ABS(', quoted, ' * 1e0) AS CHAR))')
            WHEN DATA_TYPE IN ('enum', 'set', 'bit')
                THEN CONCAT('CAST(CAST(', quoted, ' AS UNSIGNED) AS CHAR)')
            WHEN DATA_TYPE IN ('tinyint', 'smallint', 'mediumint', 'int', 'bigint', 'decimal', 'date',
                'time', 'datetime', 'timestamp', 'year') THEN CONCAT('CAST(', quoted, ' AS CHAR)')
            WHEN DATA_TYPE = 'json' THEN CONCAT('HEX(CAST(', quoted, ' AS CHAR CHARACTER SET utf8mb4))')
            ELSE CONCAT('HEX(', quoted, ')') END, ', ''-'')')
        ORDER BY ORDINAL_POSITION), ')')
    FROM (SELECT *, CONCAT('`', REPLACE(COLUMN_NAME, '`', '``'), '`') AS quoted
          FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = 'app') AS named
    GROUP BY TABLE_NAME";

/// All rows of all tables, as text.
async fn rows(server: &Server) -> BTreeMap<String, Vec<String>> {
    let mut session = server.connect("app").await.unwrap();
    let settings =
        "SET NAMES utf8mb4; SET time_zone = '+00:00'; SET group_concat_max_len = 1 << 20";
    session.query_drop(settings).await.unwrap();
    let tables: Vec<(String, String)> = session.query(COLUMNS).await.unwrap();
    let mut all = BTreeMap::new();
    for (table, expression) in tables {
        let from = table.replace('`', "``");
        let query = format!("SELECT {expression} FROM `{from}`");
        let mut rows: Vec<String> = session.query(query).await.unwrap();
        rows.sort();
        all.insert(table, rows);
    }
    all
}

async fn assert_same(pair: &MySqlPair) {
    let (source, target) = (rows(&pair.source).await, rows(&pair.target).await);
    let names = |all: &BTreeMap<String, Vec<String>>| all.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&source), names(&target));
    for (table, rows) in &source {
        assert_eq!(rows, &target[table], "table {table}");
    }
}

/// The database has a collation that both know; so have the tables then.
async fn pair(source: Release, target: Release) -> MySqlPair {
    let pair = MySqlPair::with(
        ServerOptions::from(source).with("default_time_zone", "+05:45"),
        ServerOptions::from(target).with("default_time_zone", "-08:00"),
    )
    .await;
    pair.source_sql("ALTER DATABASE app CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci").await;
    pair
}

async fn moves(source: Release, target: Release, own: &str) {
    let pair = pair(source, target).await;
    let both = BOTH
        .replace("CHARACTER SET utf8mb4;", "COLLATE utf8mb4_general_ci;")
        .replace("CHARACTER SET utf16,", "CHARACTER SET utf16 COLLATE utf16_general_ci,");
    let fill = [both.as_str(), own].concat();
    batch(&pair.source, &fill).await;
    pair.source_sql(LEFT_OUT).await;
    Dunlin::run(&pair, "run", &["--until", "caught-up"]).await.expect_code(0);
    assert_same(&pair).await;
    let mut session = pair.on_source().await;
    let tables: Vec<String> = session.query("SHOW TABLES").await.unwrap();
    for table in &tables {
        session.query_drop(format!("DELETE FROM `{}`", table.replace('`', "``"))).await.unwrap();
    }
    for statement in fill.split(";\n").map(str::trim_start) {
        let bare = statement.lines().skip_while(|line| line.is_empty() || line.starts_with("--"));
        let bare = bare.collect::<Vec<_>>().join("\n");
        if ["INSERT", "SET"].iter().any(|word| bare.starts_with(word)) {
            session.query_drop(bare).await.unwrap();
        }
    }
    session.query_drop(LEFT_OUT).await.unwrap();
    for table in ["moments", "texts", "places", "documents", "derived", "vectors", "hidden"] {
        session.query_drop(format!("UPDATE {table} SET id = id + 100")).await.unwrap();
    }
    session.query_drop("DELETE FROM keyless WHERE a IS NULL LIMIT 1").await.unwrap();
    Dunlin::run(&pair, "run", &["--until", "caught-up"]).await.expect_code(0);
    assert_same(&pair).await;
    Dunlin::run(&pair, "verify", &[]).await.expect_code(0);
    changes_definitions(&pair).await;
    Dunlin::run(&pair, "complete", &[]).await.expect_code(0);
}

/// Definitions in the log are run in the source's words.
async fn changes_definitions(pair: &MySqlPair) {
    pair.source_sql(
        "TRUNCATE TABLE nothing; INSERT INTO nothing VALUES (1);
         ALTER TABLE documents ADD COLUMN word varchar(9) CHARACTER SET latin1 DEFAULT 'ä';
         INSERT INTO documents (id, j) VALUES (201, '{\"a\": [1]}');
         ALTER TABLE keyless ADD COLUMN c decimal(9,2); UPDATE keyless SET c = a;
         CREATE TABLE later (id int PRIMARY KEY, t text CHARACTER SET utf8mb4 COLLATE utf8mb4_bin);
         INSERT INTO later VALUES (1, '🦢')",
    )
    .await;
    Dunlin::run(pair, "run", &["--until", "caught-up"]).await.expect_code(0);
    assert_same(pair).await;
}

#[tokio::test]
async fn mysql_9_7_goes_over_to_mariadb_11_8() {
    moves(Release::MYSQL_9_7, Release::MARIADB_11_8, FROM_MYSQL).await;
}

#[tokio::test]
async fn mariadb_11_8_goes_over_to_mysql_9_7() {
    moves(Release::MARIADB_11_8, Release::MYSQL_9_7, FROM_MARIADB).await;
}

/// What `check` finds, as pairs of code and object.
async fn found(pair: &MySqlPair) -> Vec<(String, String)> {
    let checked = Dunlin::run(pair, "check", &["--json"]).await.expect_code(3);
    let report: Value = serde_json::from_str(&checked.stdout).unwrap();
    let text = |finding: &Value, key: &str| finding[key].as_str().unwrap().to_owned();
    let findings = report["findings"].as_array().unwrap().iter();
    findings.map(|finding| (text(finding, "id"), text(finding, "subject"))).collect()
}

fn assert_found(found: &[(String, String)], expected: &[(&str, &str)]) {
    for (id, subject) in expected {
        let is_it = |(one, other): &(String, String)| one == id && other == subject;
        assert!(found.iter().any(is_it), "no {id} of {subject} in {found:?}");
    }
}

#[tokio::test]
async fn what_mysql_does_not_have_is_refused_by_column() {
    let pair = pair(Release::MARIADB_11_8, Release::MYSQL_9_7).await;
    pair.source_sql(
        "CREATE TABLE addresses (id UUID PRIMARY KEY, i4 INET4, i6 INET6);
         CREATE TABLE texts (id INT PRIMARY KEY, t TEXT DEFAULT 'long',
             u VARCHAR(9) COLLATE utf8mb4_uca1400_ai_ci, made VARCHAR(40) DEFAULT uuid());
         CREATE TABLE vectors (id INT PRIMARY KEY, v VECTOR(3) NOT NULL, VECTOR KEY near (v));
         CREATE SEQUENCE numbers; CREATE VIEW seen AS SELECT id FROM texts",
    )
    .await;
    let found = found(&pair).await;
    assert_found(
        &found,
        &[
            ("TYPE_UNKNOWN", "app.addresses.id"),
            ("TYPE_UNKNOWN", "app.addresses.i4"),
            ("TYPE_UNKNOWN", "app.addresses.i6"),
            ("TYPE_UNKNOWN", "app.texts.t"),
            ("TYPE_UNKNOWN", "app.texts.made"),
            ("TYPE_UNKNOWN", "app.vectors.near"),
            ("COLLATION_UNKNOWN", "target"),
            ("LEFT_OUT", "sequence app.numbers"),
            ("LEFT_OUT", "view app.seen"),
        ],
    );
}

#[tokio::test]
async fn what_mariadb_does_not_have_is_refused_by_column() {
    let pair = pair(Release::MYSQL_9_7, Release::MARIADB_10_11).await;
    pair.source_sql(
        "CREATE TABLE texts (id INT PRIMARY KEY, n INT, u VARCHAR(9) COLLATE utf8mb4_0900_ai_ci,
             KEY computed ((n + 1)), CONSTRAINT lax CHECK (n > 0) NOT ENFORCED);
         CREATE TABLE vectors (id INT PRIMARY KEY, v VECTOR(3));
         CREATE TABLE places (id INT PRIMARY KEY, spot POINT SRID 4326);
         CREATE TRIGGER acting BEFORE INSERT ON texts FOR EACH ROW SET NEW.n = 1",
    )
    .await;
    let found = found(&pair).await;
    assert_found(
        &found,
        &[
            ("TYPE_UNKNOWN", "app.vectors.v"),
            ("TYPE_UNKNOWN", "app.texts.computed"),
            ("TYPE_UNKNOWN", "app.texts.lax"),
            ("COLLATION_UNKNOWN", "target"),
            ("LEFT_OUT", "app.places.spot"),
            ("LEFT_OUT", "trigger app.acting"),
        ],
    );
}
