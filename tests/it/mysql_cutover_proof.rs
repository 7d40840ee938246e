//! The final proof of a cutover of MySQL and MariaDB: rows that change while it follows the log are
//! compared while writers wait, whatever their keys are.

use dunlin::demo::mysql::Release;
use serde_json::Value;

use super::cutover_proof::compared;
use super::mysql_cutover::words;
use crate::support::Dunlin;
use crate::support::mysql::MySqlPair;
use crate::support::steps::{Held, cutover};

const TABLES: &str = "
CREATE TABLE kept (id int PRIMARY KEY, note varchar(20));
CREATE TABLE word (word varchar(20) CHARACTER SET latin1, n decimal(8, 2), said text,
    PRIMARY KEY (n, word));
CREATE TABLE hash (hash binary(4) PRIMARY KEY, n int);
CREATE TABLE moment (moment datetime(3) PRIMARY KEY, n int);
CREATE TABLE kind (kind enum('a', 'b') PRIMARY KEY, n int);
CREATE TABLE plain (n int);
CREATE TABLE owner_less (id int PRIMARY KEY);
CREATE TABLE owner (id int PRIMARY KEY);
CREATE TABLE item (id int PRIMARY KEY, owner int,
    FOREIGN KEY (owner) REFERENCES owner (id) ON DELETE CASCADE);
INSERT INTO kept VALUES (1, 'a'), (2, 'b'), (3, 'c');
INSERT INTO owner VALUES (1), (2);
INSERT INTO owner_less VALUES (1), (2);
INSERT INTO item VALUES (1, 1), (2, 2), (3, 2)";

/// Five rows of `kept`, since one changes its key; seven by other keys; two without.
const CHANGES: &str = r"
INSERT INTO kept VALUES (4, 'd');
UPDATE kept SET note = 'x' WHERE id <= 2;
UPDATE kept SET id = 5 WHERE id = 3;
INSERT INTO word VALUES (CONCAT('a', CHAR(9), '\\', CHAR(10), _latin1 X'E9'), -1.50, 'x'), ('', 2, NULL);
INSERT INTO hash VALUES (X'00095C0A', 1), (X'FF000000', 2);
INSERT INTO moment VALUES ('2024-02-29 12:00:00.120', 1), ('0001-01-01 00:00:00', 2);
INSERT INTO kind VALUES ('b', 1);
INSERT INTO plain VALUES (1), (1)";
const CHANGED: u64 = 14;

/// Patient, for a machine under load.
const PROVEN: [&str; 3] = ["--json", "--final-proof", "40s"];

async fn copied(release: Release) -> MySqlPair {
    let pair = MySqlPair::of(release).await;
    pair.source_sql(TABLES).await;
    Dunlin::run(&pair, "run", &["--until", "caught-up"]).await.expect_code(0);
    pair
}

async fn compares_rows_that_change(release: Release) {
    let pair = copied(release).await;
    let shout = "CREATE TRIGGER shouted BEFORE INSERT ON kept FOR EACH ROW \
                 SET NEW.note = CONCAT(NEW.note, '!')";
    pair.target_sql(shout).await;
    pair.source_sql(CHANGES).await;
    let undone = Dunlin::run(&pair, "cutover", &words(&PROVEN)).await.expect_code(5);
    undone.expect_said("CUTOVER_UNDONE").expect_said("of the rows of table app.kept");
    pair.target_sql("DROP TRIGGER shouted; UPDATE kept SET note = TRIM('!' FROM note)").await;
    // The same rows once more, so that they come to the next one's stream.
    pair.source_sql(
        "DELETE FROM kept WHERE id > 3; DELETE FROM word; DELETE FROM hash; DELETE FROM moment; \
         DELETE FROM kind; INSERT INTO kept VALUES (3, 'c'); UPDATE kept SET note = 'y'",
    )
    .await;
    pair.source_sql(CHANGES).await;
    let there = [&PROVEN[..], &["--way-back"]].concat();
    let there = Dunlin::run(&pair, "cutover", &words(&there)).await.expect_code(0);
    assert_eq!(compared(&there.stdout), (CHANGED, CHANGED, Value::Array(Vec::new())));
    Dunlin::run(&pair, "reverse", &["--until", "caught-up"]).await.expect_code(0);
    // The rule takes rows of `item` with it, in the log or not.
    pair.target_sql("DELETE FROM owner WHERE id = 1; UPDATE word SET said = 'z' WHERE n = 2").await;
    let back = [&PROVEN[..], &["--back"]].concat();
    let back = Dunlin::run(&pair, "cutover", &words(&back)).await.expect_code(0);
    let (compared, changed, left_out) = compared(&back.stdout);
    assert!(compared == changed && changed >= 2, "{compared} of {changed}");
    assert_eq!(left_out, Value::Array(Vec::new()));
}

#[tokio::test]
async fn mysql_9_7_compares_rows_that_change() {
    compares_rows_that_change(Release::MYSQL_9_7).await;
}

#[tokio::test]
async fn mariadb_11_8_compares_rows_that_change() {
    compares_rows_that_change(Release::MARIADB_11_8).await;
}

/// What the log holds as statements changes rows that it does not name.
async fn compares_tables_that_are_defined_anew(release: Release) {
    let pair = copied(release).await;
    pair.target_sql("UPDATE kept SET note = 'planted' WHERE id = 2").await;
    pair.source_sql("ALTER TABLE kept ADD COLUMN more int DEFAULT 5").await;
    let undone = Dunlin::run(&pair, "cutover", &words(&PROVEN)).await.expect_code(5);
    undone.expect_said("CUTOVER_UNDONE").expect_said("1 of the rows of table app.kept");
    pair.target_sql("UPDATE kept SET note = 'b' WHERE id = 2").await;
    pair.source_sql("TRUNCATE TABLE owner_less").await;
    let command = cutover(&pair, &PROVEN);
    let held = Held::at(command, "log-drained").await;
    pair.target_sql("INSERT INTO owner_less VALUES (9)").await;
    held.let_go();
    let undone = held.dunlin.finished().await.expect_code(5);
    undone.expect_said("CUTOVER_UNDONE").expect_said("1 of the rows of table app.owner_less");
    pair.target_sql("DELETE FROM owner_less").await;
    Dunlin::run(&pair, "cutover", &words(&PROVEN)).await.expect_code(0);
}

#[tokio::test]
async fn mysql_9_7_compares_tables_that_are_defined_anew() {
    compares_tables_that_are_defined_anew(Release::MYSQL_9_7).await;
}

#[tokio::test]
async fn mariadb_11_8_compares_tables_that_are_defined_anew() {
    compares_tables_that_are_defined_anew(Release::MARIADB_11_8).await;
}

/// The log does not hold what rules of foreign keys do there.
#[tokio::test]
async fn mariadb_11_8_compares_tables_that_the_log_does_not_tell_of() {
    let pair = copied(Release::MARIADB_11_8).await;
    pair.target_sql("UPDATE item SET owner = 1 WHERE id = 3").await;
    pair.source_sql("DELETE FROM owner WHERE id = 1").await;
    let undone = Dunlin::run(&pair, "cutover", &words(&PROVEN)).await.expect_code(5);
    undone.expect_said("CUTOVER_UNDONE").expect_said("of the rows of table app.item");
    pair.source_sql("INSERT INTO owner VALUES (3)").await;
}
