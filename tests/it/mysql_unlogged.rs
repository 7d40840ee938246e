//! Columns that get another type or character set by a statement that the log of a MySQL or MariaDB
//! source does not have. What the target's column would round, pad or read otherwise is refused.

use dunlin::demo::mysql::release::Flavour;
use dunlin::demo::mysql::{Release, ServerOptions};

use crate::support::Dunlin;
use crate::support::mysql::{MySqlPair, row};

const CAUGHT_UP: &[&str] = &["--until", "caught-up"];

async fn pair(release: Release, metadata: &str) -> MySqlPair {
    let source = ServerOptions::from(release).with("binlog_row_metadata", metadata);
    MySqlPair::with(source, release.into()).await
}

async fn carried(pair: &MySqlPair) {
    Dunlin::run(pair, "run", CAUGHT_UP).await.expect_code(0);
}

/// The log is told nothing of what is done.
async fn alter_unlogged(pair: &MySqlPair, statement: &str) {
    pair.source_sql(&format!("SET sql_log_bin = 0; {statement}; SET sql_log_bin = 1")).await;
}

/// Columns with a character set, between others whose place among those the log may or may not count.
async fn columns_are_what_they_are(release: Release, metadata: &str) {
    let pair = pair(release, metadata).await;
    // Without their text in the log, labels beyond ASCII halt.
    let label = if metadata == "FULL" { "\u{e4}" } else { "a" };
    let (own, value) = match (release.flavour, release.series) {
        (Flavour::MySql, _) => ("vec vector(2), made json", "to_vector('[1,2]'), '{\"a\": 1}'"),
        (Flavour::MariaDb, "10.11") => ("made json, at inet6", "'{\"a\": 1}', '::1'"),
        (Flavour::MariaDb, _) => ("vec vector(2), made uuid", "vec_fromtext('[1,2]'), uuid()"),
    };
    pair.source_sql(&format!(
        "CREATE TABLE mixed (id int PRIMARY KEY, one varchar(20) CHARACTER SET latin1, place point, \
         two text CHARACTER SET utf8mb4, raw varbinary(9), three char(5) CHARACTER SET ucs2, \
         four enum('{label}', 'b') CHARACTER SET latin1, area geometry, {own}, \
         five set('\u{e4}', 'b') CHARACTER SET utf8mb4, lump blob, \
         six varchar(9) CHARACTER SET utf8mb3, seven tinytext CHARACTER SET latin1)"
    ))
    .await;
    carried(&pair).await;
    pair.source_sql(&format!(
        "INSERT INTO mixed VALUES (1, '\u{e4}', point(1, 2), '\u{20ac}', x'E4', '\u{e4}', '{label}', \
         st_geomfromtext('LINESTRING(0 0,1 1)'), {value}, 'b', x'00', '\u{e4}', '\u{e4}')"
    ))
    .await;
    carried(&pair).await;
    pair.assert_equal().await;
    Dunlin::run(&pair, "verify", &[]).await.expect_code(0);
}

#[tokio::test]
async fn mysql_9_7_columns_are_what_a_full_log_says() {
    columns_are_what_they_are(Release::MYSQL_9_7, "FULL").await;
}

#[tokio::test]
async fn mysql_9_7_columns_are_what_a_minimal_log_says() {
    columns_are_what_they_are(Release::MYSQL_9_7, "MINIMAL").await;
}

#[tokio::test]
async fn mariadb_10_11_columns_are_what_a_full_log_says() {
    columns_are_what_they_are(Release::MARIADB_10_11, "FULL").await;
}

#[tokio::test]
async fn mariadb_11_8_columns_are_what_a_full_log_says() {
    columns_are_what_they_are(Release::MARIADB_11_8, "FULL").await;
}

#[tokio::test]
async fn mariadb_11_8_columns_are_what_a_minimal_log_says() {
    columns_are_what_they_are(Release::MARIADB_11_8, "MINIMAL").await;
}

const TABLES: &str = "
CREATE TABLE money (id int PRIMARY KEY, amount decimal(10,2));
CREATE TABLE moment (id int PRIMARY KEY, at datetime);
CREATE TABLE note (id int PRIMARY KEY, words varchar(20) CHARACTER SET latin1);
CREATE TABLE label (id int PRIMARY KEY, kind enum('x', '\u{e4}') CHARACTER SET latin1);
CREATE TABLE plain (id int PRIMARY KEY, number int, words text CHARACTER SET utf8mb4)";

/// Table, what becomes of it, a row that the target's table would take for another, and what is said.
const CHANGED: [(&str, &str, &str, &str); 4] = [
    ("money", "MODIFY amount decimal(12,4)", "1.2345", "amount as decimal(12,4) in the log"),
    (
        "moment",
        "MODIFY at datetime(3)",
        "'2026-01-02 03:04:05.678'",
        "at as datetime(3) in the log",
    ),
    ("note", "MODIFY words varchar(20) CHARACTER SET utf8mb4", "'\u{e4}'", "CHARACTER SET utf8mb4"),
    (
        "label",
        "MODIFY kind enum('x', '\u{e4}') CHARACTER SET utf8mb4",
        "'\u{e4}'",
        "CHARACTER SET utf8mb4",
    ),
];

async fn what_would_change_a_value_halts(release: Release) {
    for (table, change, values, said) in CHANGED {
        let pair = pair(release, "FULL").await;
        pair.source_sql(TABLES).await;
        carried(&pair).await;
        alter_unlogged(&pair, &format!("ALTER TABLE {table} {change}")).await;
        pair.source_sql(&format!("INSERT INTO {table} VALUES (1, {values})")).await;
        let halted = Dunlin::run(&pair, "run", CAUGHT_UP).await.expect_halt("SCHEMA_CHANGED");
        halted.expect_said(said).expect_said("--truncate-target");
        let count = format!("SELECT COUNT(*) FROM {table}");
        assert_eq!(row::<u64>(&mut pair.on_target().await, &count).await, 0, "{table}");
    }
}

#[tokio::test]
async fn mysql_9_7_what_would_change_a_value_halts() {
    what_would_change_a_value_halts(Release::MYSQL_9_7).await;
}

#[tokio::test]
async fn mariadb_11_8_what_would_change_a_value_halts() {
    what_would_change_a_value_halts(Release::MARIADB_11_8).await;
}

async fn what_holds_every_value_goes_on(release: Release) {
    let pair = pair(release, "FULL").await;
    pair.source_sql(TABLES).await;
    carried(&pair).await;
    let change =
        "ALTER TABLE plain MODIFY number bigint, MODIFY words varchar(30) CHARACTER SET utf8mb4";
    alter_unlogged(&pair, change).await;
    pair.source_sql("INSERT INTO plain VALUES (1, -5, '\u{20ac} ')").await;
    carried(&pair).await;
    Dunlin::run(&pair, "verify", &[]).await.expect_code(0);
    pair.source_sql("INSERT INTO plain VALUES (2, 5000000000, '')").await;
    Dunlin::run(&pair, "run", CAUGHT_UP).await.expect_halt("TARGET_REFUSED");
}

#[tokio::test]
async fn mysql_9_7_what_holds_every_value_goes_on() {
    what_holds_every_value_goes_on(Release::MYSQL_9_7).await;
}

#[tokio::test]
async fn mariadb_11_8_what_holds_every_value_goes_on() {
    what_holds_every_value_goes_on(Release::MARIADB_11_8).await;
}
