//! Values of every type through the binary log, whatever it says of them: with full metadata and
//! with the server's default, packed and not, by inserts, by updates of keys and by deletes.

use dunlin::demo::mysql::release::Flavour;
use dunlin::demo::mysql::{Release, ServerOptions};
use mysql_async::prelude::Queryable;

use crate::support::Dunlin;
use crate::support::mysql::{MySqlPair, create_every_type, row, statements_of_types};

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

/// Documents, and what the server prints of them: numbers keep their kinds and digits, members their
/// order, which is the server's own on MySQL and the text's on MariaDB.
const DOCUMENTS: [(&str, &str); 4] = [
    (
        r#"[1, 1.0, 1e15, 1e300, 9007199254740993, 18446744073709551615, -9223372036854775808, -0.0, 5e-324]"#,
        r#"[1, 1.0, 1e15, 1e300, 9007199254740993, 18446744073709551615, -9223372036854775808, -0.0, 5e-324]"#,
    ),
    (r#"{"bb": 1, "a": 2, "B": 3, "": 4}"#, r#"{"": 4, "B": 3, "a": 2, "bb": 1}"#),
    (r#"{"a": 1, "b": {"z": 1, "y": 2}, "a": 3}"#, r#"{"a": 3, "b": {"y": 2, "z": 1}}"#),
    (
        "[0.1, 1.7976931348623157e308, 123456789012345678]",
        "[0.1, 1.7976931348623157e308, 123456789012345678]",
    ),
];

async fn documents_keep_their_numbers_and_order(release: Release) {
    let pair = MySqlPair::of(release).await;
    pair.source_sql("CREATE TABLE document (id INT PRIMARY KEY, j JSON)").await;
    let rows = |first: usize| {
        let row = |(id, (text, _)): (usize, &(&str, &str))| format!("({}, '{text}')", first + id);
        let rows: Vec<String> = DOCUMENTS.iter().enumerate().map(row).collect();
        format!("INSERT INTO document VALUES {}", rows.join(", "))
    };
    pair.source_sql(&rows(0)).await;
    Dunlin::run(&pair, "run", &["--until", "snapshot"]).await.expect_code(0);
    pair.source_sql(&rows(10)).await;
    pair.source_sql("UPDATE document SET id = id + 20 WHERE id < 10").await;
    Dunlin::run(&pair, "run", &["--until", "caught-up"]).await.expect_code(0);
    pair.assert_equal().await;
    let told = "SELECT CAST(j AS CHAR) FROM document WHERE id >= 10 ORDER BY id";
    let found: Vec<String> = pair.on_target().await.query(told).await.unwrap();
    let expected = DOCUMENTS.map(|(text, printed)| match release.flavour {
        Flavour::MySql => printed,
        Flavour::MariaDb => text,
    });
    assert_eq!(found, [expected, expected].concat());
}

#[tokio::test]
async fn mysql_9_7_documents_keep_their_numbers_and_order() {
    documents_keep_their_numbers_and_order(Release::MYSQL_9_7).await;
}

#[tokio::test]
async fn mariadb_11_8_documents_keep_their_numbers_and_order() {
    documents_keep_their_numbers_and_order(Release::MARIADB_11_8).await;
}

/// What no JSON text has: decimals, dates, bytes.
const OPAQUE: &str = "
    (JSON_ARRAY(CAST(1.10 AS DECIMAL(5, 2)), CAST(12345678901234567890.123456789 AS DECIMAL(30, 9)))),
    (JSON_ARRAY(DATE '2026-01-02', TIME '-01:02:03.5', TIMESTAMP '2026-01-02 03:04:05.000006')),
    (JSON_OBJECT('bytes', CAST(X'00FF' AS JSON), 'year', CAST(CAST(2026 AS YEAR) AS JSON)))";

/// They arrive as what the document's text means, as docs/mysql.md says.
#[tokio::test]
async fn mysql_9_7_what_no_json_text_has_arrives_as_the_text() {
    let pair = MySqlPair::of(Release::MYSQL_9_7).await;
    let table = "CREATE TABLE document (id INT AUTO_INCREMENT PRIMARY KEY, j JSON)";
    let fill = format!("INSERT INTO document (j) VALUES {OPAQUE}");
    pair.source_sql(&format!("{table}; {fill}")).await;
    Dunlin::run(&pair, "run", &["--until", "snapshot"]).await.expect_code(0);
    pair.source_sql(&fill).await;
    pair.source_sql("UPDATE document SET id = id + 10 WHERE id = 1").await;
    Dunlin::run(&pair, "run", &["--until", "caught-up"]).await.expect_code(0);
    let meant = "SELECT id, CAST(CAST(CAST(j AS CHAR) AS JSON) AS CHAR) FROM document ORDER BY id";
    let meant: Vec<(u32, String)> = pair.on_source().await.query(meant).await.unwrap();
    let told = "SELECT id, CAST(j AS CHAR) FROM document ORDER BY id";
    let here: Vec<(u32, String)> = pair.on_source().await.query(told).await.unwrap();
    let there: Vec<(u32, String)> = pair.on_target().await.query(told).await.unwrap();
    assert_eq!(there, meant);
    let differing = here.iter().zip(&there).filter(|(here, there)| here != there);
    let differing: Vec<u32> = differing.map(|((id, _), _)| *id).collect();
    assert_eq!(differing, [4, 11], "decimals lose their zeros, and digits beyond sixteen");
    let kinds = "SELECT GROUP_CONCAT(DISTINCT JSON_TYPE(j->'$[0]'), JSON_TYPE(j->'$[1]')), \
                 GROUP_CONCAT(DISTINCT JSON_TYPE(j->'$.bytes')) FROM document WHERE id IN (4, 5, 6)";
    let kinds: (String, String) = row(&mut pair.on_target().await, kinds).await;
    assert_eq!(kinds, ("DOUBLEDOUBLE,STRINGSTRING".to_owned(), "STRING".to_owned()));
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
async fn mariadb_10_11_moments_are_the_same_though_clocks_change() {
    moments_around_a_change_of_clocks(Release::MARIADB_10_11).await;
}

#[tokio::test]
async fn mariadb_11_8_moments_are_the_same_though_clocks_change() {
    moments_around_a_change_of_clocks(Release::MARIADB_11_8).await;
}
