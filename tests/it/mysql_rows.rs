//! Rows that are hard to tell apart or to carry: images that leave columns out, keys that compare
//! equal, unique values that rows exchange, keys that move, rows without a key.

use dunlin::demo::mysql::release::Flavour;
use dunlin::demo::mysql::{Release, ServerOptions};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use crate::support::Dunlin;
use crate::support::mysql::{MySqlPair, row};

async fn catch_up(pair: &MySqlPair) {
    Dunlin::run(pair, "run", &["--until", "caught-up"]).await.expect_code(0);
    pair.assert_equal().await;
}

async fn execute(session: &mut Conn, statements: &str) {
    session.query_drop(statements).await.unwrap();
}

const IMAGES: &str = "
CREATE TABLE wide (id INT PRIMARY KEY, a INT, b TEXT, c BLOB, d VARCHAR(20) NOT NULL DEFAULT 'x');
INSERT INTO wide VALUES (1, 1, 'one', 'eins', 'i'), (2, 2, 'two', NULL, 'ii'), (3, NULL, NULL, 'drei', 'iii'),
    (4, 4, 'four', 'vier', 'iv'), (5, 5, 'five', 'fünf', 'v');
CREATE TABLE bare (a INT, b TEXT);
INSERT INTO bare VALUES (1, 'x'), (1, 'x'), (2, NULL), (NULL, 'z');
CREATE TABLE twice (a INT NOT NULL, b INT NOT NULL, c TEXT, UNIQUE KEY it (b));
INSERT INTO twice VALUES (1, 10, 'x'), (2, 20, 'y'), (3, 30, 'z'), (4, 40, NULL);
";

const IMAGE_CHANGES: &str = "
UPDATE wide SET a = a + 10 WHERE id < 3; UPDATE wide SET b = NULL WHERE id = 4;
UPDATE wide SET id = 6, d = 'vi' WHERE id = 5; UPDATE wide SET c = 'x', a = NULL WHERE id = 1;
BEGIN; UPDATE wide SET a = 0 WHERE id = 2; UPDATE wide SET b = 'later' WHERE id = 2; COMMIT;
DELETE FROM wide WHERE id = 3; INSERT INTO wide VALUES (7, 7, 'seven', 'sieben', 'vii');
UPDATE wide SET a = 70 WHERE id = 7;
UPDATE bare SET b = 'y' WHERE a = 1 LIMIT 1; DELETE FROM bare WHERE a = 2; INSERT INTO bare VALUES (5, 'w');
UPDATE twice SET c = 'changed' WHERE a = 1; DELETE FROM twice WHERE b = 20; UPDATE twice SET a = 33 WHERE b = 30;
UPDATE twice SET b = 44 WHERE a = 4;
";

/// The remedy that the halts name.
async fn begin_anew(pair: &MySqlPair) {
    Dunlin::run(pair, "complete", &[]).await.expect_code(0);
    let words = ["--truncate-target", "*", "--until", "caught-up"];
    Dunlin::run(pair, "run", &words).await.expect_code(0);
    pair.assert_equal().await;
}

/// Sessions that set the log's form for themselves in mid-run.
async fn images_in_mid_run(release: Release) {
    let pair = MySqlPair::of(release).await;
    pair.source_sql(IMAGES).await;
    catch_up(&pair).await;
    let mut session = pair.on_source().await;
    execute(&mut session, "SET binlog_row_image = 'NOBLOB'").await;
    execute(&mut session, IMAGE_CHANGES).await;
    catch_up(&pair).await;
    execute(&mut session, "DELETE FROM wide; DELETE FROM bare; DELETE FROM twice").await;
    let inserts = IMAGES.split(";\n").filter(|text| text.starts_with("INSERT"));
    for insert in inserts {
        execute(&mut session, insert).await;
    }
    execute(&mut session, "SET binlog_row_image = 'MINIMAL'").await;
    execute(&mut session, IMAGE_CHANGES).await;
    catch_up(&pair).await;
    // What the row has in the columns that are left out is not in the log.
    execute(&mut session, "INSERT INTO wide (id) VALUES (9)").await;
    let halted = Dunlin::run(&pair, "run", &["--until", "caught-up"]).await;
    halted.expect_halt("ROW_IMAGE").expect_said("--truncate-target");
    begin_anew(&pair).await;
    let mut statements = vec!["UPDATE wide SET a = 1"];
    if release.flavour == Flavour::MariaDb {
        statements.push("SET STATEMENT max_statement_time = 9 FOR UPDATE wide SET a = 2");
        statements.push("ANALYZE UPDATE wide SET a = 3");
    }
    for statement in statements {
        execute(&mut session, "SET binlog_format = 'STATEMENT'").await;
        execute(&mut session, statement).await;
        let halted = Dunlin::run(&pair, "run", &["--until", "caught-up"]).await;
        halted.expect_halt("LOG_NOT_ROWS").expect_said("binlog_format = ROW");
        begin_anew(&pair).await;
    }
}

#[tokio::test]
async fn mysql_9_7_row_images_are_set_in_mid_run() {
    images_in_mid_run(Release::MYSQL_9_7).await;
}

#[tokio::test]
async fn mariadb_10_11_row_images_are_set_in_mid_run() {
    images_in_mid_run(Release::MARIADB_10_11).await;
}

#[tokio::test]
async fn mariadb_11_8_row_images_are_set_in_mid_run() {
    images_in_mid_run(Release::MARIADB_11_8).await;
}

const DOCUMENTS: &str = r#"
CREATE TABLE document (id INT PRIMARY KEY, a JSON, n INT, b JSON);
INSERT INTO document VALUES
    (1, '{"name": "duck", "legs": [1, 2], "deep": {"x": {"y": 1.5}}}', 1, '[1, 2, 3, 4]'),
    (2, '{"name": "goose", "long": "........................................"}', 2, NULL),
    (3, NULL, 3, '{}'), (4, '[[1, [2]], "three"]', 4, '"text"')
"#;

const DOCUMENT_CHANGES: &str = r#"
UPDATE document SET a = JSON_SET(a, '$.name', 'du'), b = JSON_REPLACE(b, '$[0]', 'first') WHERE id = 1;
UPDATE document SET a = JSON_REMOVE(a, '$.long'), n = n + 1 WHERE id = 2;
UPDATE document SET n = n + 10;
UPDATE document SET a = JSON_SET(a, '$.deep.x.y', JSON_OBJECT('new', TRUE), '$.legs[2]', 18446744073709551615) WHERE id = 1;
UPDATE document SET b = JSON_SET(b, '$.k', NULL) WHERE id = 3;
UPDATE document SET a = JSON_ARRAY_APPEND(a, '$[0]', 'longer than what was there before') WHERE id = 4;
UPDATE document SET id = 5, a = JSON_SET(a, '$[1]', 3) WHERE id = 4;
UPDATE document SET b = NULL WHERE id = 1; UPDATE document SET b = '[]' WHERE id = 2;
"#;

#[tokio::test]
async fn mysql_9_7_documents_are_told_by_what_changed_in_them() {
    let pair = MySqlPair::of(Release::MYSQL_9_7).await;
    pair.source_sql(DOCUMENTS).await;
    catch_up(&pair).await;
    let mut session = pair.on_source().await;
    execute(&mut session, "SET binlog_row_value_options = 'PARTIAL_JSON'").await;
    execute(&mut session, DOCUMENT_CHANGES).await;
    catch_up(&pair).await;
    // Neither the document nor what it was before is in the log.
    execute(&mut session, "SET binlog_row_image = 'MINIMAL'").await;
    let update = "UPDATE document SET a = JSON_SET(a, '$.name', 'd') WHERE id = 1";
    execute(&mut session, update).await;
    let halted = Dunlin::run(&pair, "run", &["--until", "caught-up"]).await;
    halted.expect_halt("ROW_IMAGE");
    begin_anew(&pair).await;
}

/// A table of several chunks whose keys are equal in their first column, letter case and accents
/// aside, and one whose whole keys change to equal ones.
fn equal_keys(collation: &str) -> String {
    format!(
        "CREATE TABLE word (k VARCHAR(20) COLLATE {collation}, n INT, v MEDIUMTEXT, PRIMARY KEY (k, n));
         INSERT INTO word WITH RECURSIVE x AS (SELECT 1 n UNION ALL SELECT n + 1 FROM x WHERE n < 240)
             SELECT ELT(1 + n % 5, 'eve', 'Eve', 'ÈVE', 'eve', 'adam'), n, REPEAT('v', 20000) FROM x;
         CREATE TABLE name (k VARCHAR(20) COLLATE {collation} PRIMARY KEY, v INT);
         INSERT INTO name VALUES ('eve', 1), ('adam', 2), ('straße', 3), ('x', 4);
         CREATE TABLE padded (k CHAR(9) CHARACTER SET latin1 COLLATE latin1_swedish_ci PRIMARY KEY, v INT);
         INSERT INTO padded VALUES ('a', 1), ('b', 2);
         CREATE TABLE blank (k VARCHAR(9), n INT, v MEDIUMTEXT, PRIMARY KEY (k, n)) CHARACTER SET latin1;
         INSERT INTO blank SELECT ELT(1 + n % 5, 'eve', 'eve ', 'EVE', 'Eve  ', 'eve\t'), n, v FROM word;
         CREATE TABLE tail (k VARCHAR(9) CHARACTER SET latin1 PRIMARY KEY, v INT);
         INSERT INTO tail VALUES ('a', 1), ('b ', 2), ('c', 3), ('d  ', 4); ANALYZE TABLE word, blank"
    )
}

const EQUAL_CHANGES: &str = "
UPDATE word SET k = 'EVE' WHERE k = 'eve' AND n % 7 = 0; DELETE FROM word WHERE k = 'éve' AND n % 11 = 0;
UPDATE word SET v = 'short' WHERE k = 'Adam' AND n < 100;
UPDATE word SET k = 'ADAM' WHERE k = 'eve' AND n IN (2, 3); INSERT INTO word VALUES ('Ève', 1000, 'new');
UPDATE name SET k = 'Eve' WHERE k = 'EVE'; UPDATE name SET v = 10 WHERE k = 'eve';
BEGIN; DELETE FROM name WHERE k = 'ADAM'; INSERT INTO name VALUES ('Adám', 20); COMMIT;
BEGIN; UPDATE name SET k = 'X' WHERE k = 'x'; UPDATE name SET k = 'x' WHERE k = 'X'; UPDATE name SET k = 'X', v = 5 WHERE k = 'x'; COMMIT;
UPDATE name SET k = 'STRASSE' WHERE v = 3; DELETE FROM name WHERE k = 'EVÉ'; INSERT INTO name VALUES ('evE', 7);
UPDATE padded SET k = 'A' WHERE k = 'a  '; DELETE FROM padded WHERE k = 'B '; INSERT INTO padded VALUES ('b', 3);
UPDATE blank SET k = CONCAT(k, ' ') WHERE n % 7 = 0; UPDATE blank SET k = UPPER(k) WHERE n % 5 < 2 AND n < 90;
UPDATE blank SET k = TRIM(k) WHERE n % 11 = 0; UPDATE blank SET k = 'eve', v = 'blank' WHERE k = 'EVE ' AND n BETWEEN 100 AND 120;
DELETE FROM blank WHERE k = 'Eve   ' AND n % 13 = 0; DELETE FROM blank WHERE k = 'EVE\t' AND n > 190;
UPDATE tail SET k = 'a ' WHERE k = 'a'; UPDATE tail SET k = 'B' WHERE k = 'b'; UPDATE tail SET v = 20 WHERE k = 'b   ';
BEGIN; UPDATE tail SET k = 'C ' WHERE k = 'c'; UPDATE tail SET k = 'c  ' WHERE k = 'c'; UPDATE tail SET k = 'c', v = 30 WHERE k = 'C'; COMMIT;
BEGIN; DELETE FROM tail WHERE k = 'd'; INSERT INTO tail VALUES ('D ', 40); COMMIT;
";

async fn keys_that_compare_equal(release: Release, collation: &str) {
    let pair = MySqlPair::of(release).await;
    pair.source_sql(&equal_keys(collation)).await;
    let words = ["--chunk-size", "1MiB"];
    let mut run = Dunlin::start_with_failpoint(&pair, "run", &words, "chunk-committed:3");
    run.reaches("chunk-committed").await;
    run.kill().await;
    let (chunks,): (u32,) =
        row(&mut pair.on_target().await, "SELECT count(*) FROM dunlin.chunk").await;
    assert!(chunks > 4, "{chunks} chunks");
    pair.source_sql(EQUAL_CHANGES).await;
    let words = ["--chunk-size", "1MiB", "--until", "caught-up"];
    Dunlin::run(&pair, "run", &words).await.expect_code(0);
    pair.assert_equal().await;
    pair.source_sql(
        "DELETE FROM word WHERE n > 200; DELETE FROM name; DELETE FROM padded; DELETE FROM tail",
    )
    .await;
    pair.source_sql(
        "INSERT INTO name VALUES ('eve', 1), ('adam', 2), ('straße', 3), ('x', 4); \
         INSERT INTO padded VALUES ('a', 1), ('b', 2); \
         INSERT INTO tail VALUES ('a', 1), ('b ', 2), ('c', 3), ('d  ', 4)",
    )
    .await;
    catch_up(&pair).await;
    pair.source_sql("DELETE FROM word WHERE n = 1000").await;
    pair.source_sql(EQUAL_CHANGES).await;
    catch_up(&pair).await;
}

#[tokio::test]
async fn mysql_9_7_keys_that_compare_equal_are_one() {
    keys_that_compare_equal(Release::MYSQL_9_7, "utf8mb4_0900_ai_ci").await;
}

#[tokio::test]
async fn mariadb_10_11_keys_that_compare_equal_are_one() {
    keys_that_compare_equal(Release::MARIADB_10_11, "utf8mb4_unicode_ci").await;
}

#[tokio::test]
async fn mariadb_11_8_keys_that_compare_equal_are_one() {
    keys_that_compare_equal(Release::MARIADB_11_8, "utf8mb4_uca1400_ai_ci").await;
}

/// Rows of a megabyte in all to each chunk, each with a unique value.
const UNIQUES: &str = "
CREATE TABLE badge (id INT PRIMARY KEY, u INT UNIQUE, w VARCHAR(20) UNIQUE, v MEDIUMTEXT);
INSERT INTO badge WITH RECURSIVE x AS (SELECT 1 n UNION ALL SELECT n + 1 FROM x WHERE n < 240)
    SELECT n, n, concat('w', n), REPEAT('v', 20000) FROM x;
ANALYZE TABLE badge;
";

/// The first row and the last exchange their values, and so do neighbours; a third takes a fourth's.
const EXCHANGES: &str = "
BEGIN; UPDATE badge SET u = -1, w = '-' WHERE id = 1; UPDATE badge SET u = 1, w = 'w1' WHERE id = 240;
UPDATE badge SET u = 240, w = 'w240' WHERE id = 1; COMMIT;
BEGIN; UPDATE badge SET u = NULL WHERE id = 2; UPDATE badge SET u = 2 WHERE id = 3; UPDATE badge SET u = 3 WHERE id = 2; COMMIT;
BEGIN; DELETE FROM badge WHERE id = 5; UPDATE badge SET u = 5, w = 'W5' WHERE id = 235; INSERT INTO badge VALUES (5, 235, 'w235', 'x'); COMMIT;
UPDATE badge SET u = u + 1000 ORDER BY u DESC; UPDATE badge SET u = u - 999 ORDER BY u;
";

async fn unique_values_are_exchanged(release: Release) {
    let pair = MySqlPair::of(release).await;
    pair.source_sql(UNIQUES).await;
    let words = ["--chunk-size", "1MiB"];
    let mut run = Dunlin::start_with_failpoint(&pair, "run", &words, "chunk-committed:2");
    run.reaches("chunk-committed").await;
    run.kill().await;
    pair.source_sql(EXCHANGES).await;
    let words = ["--chunk-size", "1MiB", "--until", "caught-up"];
    Dunlin::run(&pair, "run", &words).await.expect_code(0);
    pair.assert_equal().await;
    pair.source_sql("UPDATE badge SET u = u - 1 ORDER BY u; DELETE FROM badge WHERE id IN (5, 235); \
        UPDATE badge SET u = id + 500, w = concat('n', id); UPDATE badge SET u = id, w = concat('w', id); \
        INSERT INTO badge VALUES (5, 5, 'w5', ''), (235, 235, 'w235', '')")
        .await;
    catch_up(&pair).await;
    pair.source_sql(EXCHANGES).await;
    catch_up(&pair).await;
}

#[tokio::test]
async fn mysql_9_7_rows_exchange_unique_values() {
    unique_values_are_exchanged(Release::MYSQL_9_7).await;
}

#[tokio::test]
async fn mariadb_10_11_rows_exchange_unique_values() {
    unique_values_are_exchanged(Release::MARIADB_10_11).await;
}

#[tokio::test]
async fn mariadb_11_8_rows_exchange_unique_values() {
    unique_values_are_exchanged(Release::MARIADB_11_8).await;
}

const MOVING: &str = "
CREATE TABLE link (id INT PRIMARY KEY, v VARCHAR(9), big MEDIUMTEXT);
INSERT INTO link WITH RECURSIVE x AS (SELECT 1 n UNION ALL SELECT n + 1 FROM x WHERE n < 120)
    SELECT n * 10, n, REPEAT('v', 20000) FROM x;
CREATE TABLE pair (a DATE, b VARBINARY(9), c DECIMAL(9, 2), d ENUM('p', 'q'), e INT UNSIGNED, v MEDIUMTEXT,
    PRIMARY KEY (a, b, c, d, e));
INSERT INTO pair SELECT '2024-01-31' + INTERVAL (id % 3) DAY, X'00FF', id / 100, 1 + id % 2, 4294967295 - id, big FROM link;
CREATE TABLE heap (a INT, b VARCHAR(20) COLLATE utf8mb4_general_ci, f FLOAT, g DOUBLE);
INSERT INTO heap VALUES (1, 'x', 1.2345678, 0.1), (1, 'x', 1.2345678, 0.1), (1, 'X', 1.2345678, 0.1), (1, 'x ', 1e-40, NULL),
    (NULL, NULL, NULL, NULL), (NULL, NULL, NULL, NULL), (2, 'y', -0.0, 1e308);
CREATE TABLE floating (f FLOAT PRIMARY KEY, v INT);
INSERT INTO floating VALUES (1.2345678, 1), (0.1, 2), (3.4e38, 3), (1e-45, 4);
CREATE TABLE counted (id INT AUTO_INCREMENT PRIMARY KEY, v INT);
INSERT INTO counted (v) VALUES (1), (2), (3), (4), (5); DELETE FROM counted WHERE id > 2;
ANALYZE TABLE link, pair;
";

const MOVES: &str = "
UPDATE link SET id = id + 1 ORDER BY id DESC; UPDATE link SET id = id - 1 ORDER BY id;
BEGIN; UPDATE link SET id = -1 WHERE id = 10; UPDATE link SET id = 10 WHERE id = 1200; UPDATE link SET id = 1200 WHERE id = -1; COMMIT;
BEGIN; UPDATE link SET id = 31 WHERE id = 30; UPDATE link SET id = 32 WHERE id = 31; UPDATE link SET id = 33, v = 'moved' WHERE id = 32;
DELETE FROM link WHERE id = 40; UPDATE link SET id = 40 WHERE id = 33; INSERT INTO link VALUES (30, 'again', ''); COMMIT;
BEGIN; DELETE FROM link WHERE id = 50; INSERT INTO link VALUES (50, 'b', NULL); UPDATE link SET v = 'c' WHERE id = 50; COMMIT;
BEGIN; INSERT INTO link VALUES (1, '', ''); UPDATE link SET id = 2 WHERE id = 1; DELETE FROM link WHERE id = 2; COMMIT;
UPDATE pair SET e = e - 1 WHERE d = 'p' ORDER BY e; UPDATE pair SET b = X'00', v = 'short' WHERE a = '2024-02-01';
DELETE FROM pair WHERE c < 1; UPDATE pair SET a = '2023-01-01', d = 'q' WHERE c > 11;
DELETE FROM heap WHERE a = 1 AND b = 'x' LIMIT 1; UPDATE heap SET b = 'z' WHERE b = 'X' LIMIT 1;
DELETE FROM heap WHERE a IS NULL LIMIT 1; UPDATE heap SET f = f + 1 WHERE a = 2; INSERT INTO heap VALUES (1, 'x', 1.2345678, 0.1);
UPDATE heap SET g = 7 WHERE f < 1e-39 AND f > 0;
UPDATE floating SET v = v + 10; DELETE FROM floating WHERE v = 12; UPDATE floating SET f = 2.7182817 WHERE v = 13;
INSERT INTO counted (v) VALUES (6), (7), (8); DELETE FROM counted WHERE id > 6;
";

async fn keys_move(release: Release) {
    let pair = MySqlPair::of(release).await;
    pair.source_sql(MOVING).await;
    let words = ["--chunk-size", "1MiB"];
    let mut run = Dunlin::start_with_failpoint(&pair, "run", &words, "chunk-committed:2");
    run.reaches("chunk-committed").await;
    run.kill().await;
    pair.source_sql(MOVES).await;
    let words = ["--chunk-size", "1MiB", "--until", "caught-up"];
    Dunlin::run(&pair, "run", &words).await.expect_code(0);
    pair.assert_equal().await;
    pair.source_sql(
        "DELETE FROM link; DELETE FROM pair; DELETE FROM heap; \
                     DELETE FROM floating; DELETE FROM counted",
    )
    .await;
    for insert in MOVING.split(";\n").filter(|text| text.trim().starts_with("INSERT")) {
        pair.source_sql(insert).await;
    }
    catch_up(&pair).await;
    pair.source_sql(MOVES).await;
    catch_up(&pair).await;
}

#[tokio::test]
async fn mysql_9_7_keys_move_and_rows_without_one_are_told_apart() {
    keys_move(Release::MYSQL_9_7).await;
}

#[tokio::test]
async fn mariadb_10_11_keys_move_and_rows_without_one_are_told_apart() {
    keys_move(Release::MARIADB_10_11).await;
}

#[tokio::test]
async fn mariadb_11_8_keys_move_and_rows_without_one_are_told_apart() {
    keys_move(Release::MARIADB_11_8).await;
}

/// A target that refuses what the source has, by a key of its own.
async fn another_unique_key(release: Release) {
    let pair = MySqlPair::with(release.into(), ServerOptions::from(release)).await;
    let table = "CREATE TABLE item (id INT PRIMARY KEY, w VARCHAR(20))";
    pair.source_sql(&format!("{table}; INSERT INTO item VALUES (1, 'secret'), (2, 'other')")).await;
    pair.target_sql(&format!("{table}; ALTER TABLE item ADD UNIQUE KEY of_the_target (w)")).await;
    Dunlin::run(&pair, "run", &["--until", "caught-up"]).await.expect_code(0);
    pair.source_sql("INSERT INTO item VALUES (3, 'secret')").await;
    let halted = Dunlin::run(&pair, "run", &["--until", "caught-up"]).await;
    let halted = halted.expect_halt("TARGET_REFUSED").expect_said("of_the_target");
    assert!(!halted.stderr.contains("secret"), "{}", halted.stderr);
    Dunlin::run(&pair, "complete", &[]).await.expect_code(0);
    let words = ["--truncate-target", "*", "--until", "caught-up"];
    let halted = Dunlin::run(&pair, "run", &words).await;
    let halted = halted.expect_halt("TARGET_REFUSED").expect_said("of_the_target");
    assert!(!halted.stderr.contains("secret"), "{}", halted.stderr);
    // The remedy, and the same words again.
    pair.target_sql("ALTER TABLE item DROP KEY of_the_target").await;
    Dunlin::run(&pair, "run", &words).await.expect_code(0);
    pair.assert_equal().await;
}

#[tokio::test]
async fn mysql_9_7_another_unique_key_of_the_target_is_named() {
    another_unique_key(Release::MYSQL_9_7).await;
}

#[tokio::test]
async fn mariadb_10_11_another_unique_key_of_the_target_is_named() {
    another_unique_key(Release::MARIADB_10_11).await;
}

#[tokio::test]
async fn mariadb_11_8_another_unique_key_of_the_target_is_named() {
    another_unique_key(Release::MARIADB_11_8).await;
}
