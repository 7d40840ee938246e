//! Values of every type through the binary log, whatever it says of them: with full metadata and
//! with the server's default, packed and not, by inserts, by updates of keys and by deletes.

use dunlin::demo::mysql::release::Flavour;
use dunlin::demo::mysql::{Release, ServerOptions};
use mysql_async::prelude::Queryable;

use crate::support::Dunlin;
use crate::support::mysql::{MySqlPair, create_every_type, statements_of_types};

/// What `check` refuses, and the values that docs/mysql.md says do not arrive as they are.
const LEFT_OUT: &str = "DELETE FROM documents WHERE id > 10; DELETE FROM texts WHERE id = 4";

/// Tables of several columns and a key `id`, in every flavour and in one.
const KEYED: &[&str] = &["moments", "texts", "members", "places", "documents", "derived", "hidden"];

async fn come_through_the_log(release: Release, settings: &[(&str, &str)]) {
    let with = |options: ServerOptions, (name, value): &(&str, &str)| options.with(name, value);
    let source = settings.iter().fold(release.into(), with).with("default_time_zone", "+05:45");
    let target = ServerOptions::from(release).with("default_time_zone", "-08:00");
    let pair = MySqlPair::with(source, target).await;
    create_every_type(&pair.source).await;
    pair.source_sql("DROP TABLE IF EXISTS versioned").await;
    let mut session = pair.on_source().await;
    let tables: Vec<String> = session.query("SHOW TABLES").await.unwrap();
    for table in &tables {
        session.query_drop(format!("DELETE FROM `{}`", table.replace('`', "``"))).await.unwrap();
    }
    Dunlin::run(&pair, "run", &["--until", "caught-up"]).await.expect_code(0);
    for statement in statements_of_types(release).filter(|text| !text.contains("versioned")) {
        session.query_drop(statement).await.unwrap();
    }
    session.query_drop(LEFT_OUT).await.unwrap();
    Dunlin::run(&pair, "run", &["--until", "caught-up"]).await.expect_code(0);
    pair.assert_equal().await;
    // Both images of a row, and rows that are named by their old key.
    for table in KEYED {
        let text = format!("UPDATE {table} SET id = id + 100");
        session.query_drop(text).await.unwrap();
    }
    session.query_drop("UPDATE numbers SET id = id + 100 WHERE id < 100").await.unwrap();
    session.query_drop("DELETE FROM keyless WHERE a IS NULL LIMIT 1").await.unwrap();
    let own = match release.flavour {
        Flavour::MySql => "UPDATE vectors SET id = id + 100; DELETE FROM without_key LIMIT 1",
        Flavour::MariaDb => "UPDATE packed SET id = id + 100; UPDATE addresses SET id = id + 100",
    };
    session.query_drop(own).await.unwrap();
    Dunlin::run(&pair, "run", &["--until", "caught-up"]).await.expect_code(0);
    pair.assert_equal().await;
}

#[tokio::test]
async fn mysql_9_7_values_come_through_a_packed_log() {
    let packed = [("binlog_transaction_compression", "ON")];
    come_through_the_log(Release::MYSQL_9_7, &packed).await;
}

#[tokio::test]
async fn mysql_9_7_values_come_through_a_log_without_names() {
    come_through_the_log(Release::MYSQL_9_7, &[("binlog_row_metadata", "MINIMAL")]).await;
}

#[tokio::test]
async fn mariadb_10_11_values_come_through_a_log_without_names() {
    come_through_the_log(Release::MARIADB_10_11, &[("binlog_row_metadata", "NO_LOG")]).await;
}

#[tokio::test]
async fn mariadb_11_8_values_come_through_a_packed_log() {
    let packed = [("log_bin_compress", "ON"), ("log_bin_compress_min_len", "10")];
    come_through_the_log(Release::MARIADB_11_8, &packed).await;
}

/// A zone of one hour before UTC, of two in the summer of 2025, for servers that know no names.
const ZONE: &str = "INSERT INTO mysql.time_zone VALUES (1, 'N'); \
    INSERT INTO mysql.time_zone_name VALUES ('Summer', 1); \
    INSERT INTO mysql.time_zone_transition_type VALUES (1, 0, 3600, 0, 'W'), (1, 1, 7200, 1, 'S'); \
    INSERT INTO mysql.time_zone_transition VALUES (1, 0, 0), (1, 1743296400, 1), (1, 1761440400, 0)";

/// An hour that did not exist, one that came twice, and the moments around them.
const MOMENTS: &[&str] = &[
    "2025-03-30 01:59:59",
    "2025-03-30 02:30:00",
    "2025-03-30 03:00:00",
    "2025-10-26 01:59:59",
    "2025-10-26 02:30:00",
    "2025-10-26 03:00:00",
];

async fn moments_around_a_change_of_clocks(release: Release) {
    let pair = MySqlPair::of(release).await;
    pair.source_sql("CREATE TABLE moments (id INT PRIMARY KEY, d DATETIME, ts TIMESTAMP NULL)")
        .await;
    pair.source_sql(ZONE).await;
    let rows = |first: usize| {
        let row = |(id, text): (usize, &&str)| format!("({}, '{text}', '{text}')", first + id);
        let rows: Vec<String> = MOMENTS.iter().enumerate().map(row).collect();
        format!("INSERT INTO moments VALUES {}", rows.join(", "))
    };
    let mut session = pair.on_source().await;
    session.query_drop("SET time_zone = 'Summer', sql_mode = ''").await.unwrap();
    session.query_drop(rows(0)).await.unwrap();
    Dunlin::run(&pair, "run", &["--until", "snapshot"]).await.expect_code(0);
    session.query_drop(rows(100)).await.unwrap();
    // The hour that came twice, for the first and for the second time.
    session
        .query_drop(
            "SET time_zone = '+00:00'; UPDATE moments SET ts = '2025-10-26 00:30:00' WHERE id = 4; \
             UPDATE moments SET ts = '2025-10-26 01:30:00' WHERE id = 104",
        )
        .await
        .unwrap();
    Dunlin::run(&pair, "run", &["--until", "caught-up"]).await.expect_code(0);
    let times = "SELECT COUNT(DISTINCT ts) FROM moments WHERE id IN (4, 104)";
    let twice: Option<u32> = pair.on_target().await.query_first(times).await.unwrap();
    assert_eq!(twice, Some(2));
    pair.assert_equal().await;
}

#[tokio::test]
async fn mysql_9_7_moments_are_the_same_though_clocks_change() {
    moments_around_a_change_of_clocks(Release::MYSQL_9_7).await;
}

#[tokio::test]
async fn mariadb_11_8_moments_are_the_same_though_clocks_change() {
    moments_around_a_change_of_clocks(Release::MARIADB_11_8).await;
}
