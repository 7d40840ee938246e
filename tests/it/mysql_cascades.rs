//! Foreign keys with rules that change rows by themselves: the target's rows follow, whether the
//! source's log holds what the rules did (MySQL from 9.6 on) or not (MariaDB).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use dunlin::demo::mysql::{Release, ServerOptions};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use crate::support::mysql::MySqlPair;
use crate::support::{Dunlin, wait_until};

/// Two levels of cascades, a NULL, a key without rules behind them, and a table that refers to itself.
const TABLES: &str = "
CREATE TABLE owner (id int PRIMARY KEY, code int NOT NULL, UNIQUE KEY by_code (code));
CREATE TABLE item (id int PRIMARY KEY, owner int, code int, name varchar(40), KEY by_name (name),
    CONSTRAINT of_owner FOREIGN KEY (owner) REFERENCES owner (id)
        ON DELETE CASCADE ON UPDATE CASCADE,
    CONSTRAINT of_code FOREIGN KEY (code) REFERENCES owner (code)
        ON DELETE SET NULL ON UPDATE CASCADE);
CREATE TABLE part (item int NOT NULL, n int NOT NULL, PRIMARY KEY (item, n),
    CONSTRAINT of_item FOREIGN KEY (item) REFERENCES item (id) ON DELETE CASCADE ON UPDATE CASCADE);
CREATE TABLE remark (id int PRIMARY KEY, item int,
    CONSTRAINT on_part FOREIGN KEY (item) REFERENCES item (id));
CREATE TABLE node (id int PRIMARY KEY, above int,
    CONSTRAINT below FOREIGN KEY (above) REFERENCES node (id) ON DELETE CASCADE);
CREATE TABLE plain (id int PRIMARY KEY, said varchar(20));
";

/// Rows of one number, as they are before anything happens to them.
fn rows(at: u64) -> String {
    let (one, two, three) = (at + 1, at + 2, at + 3);
    format!(
        "INSERT INTO owner VALUES ({at}, {one}), ({one}, {two}); \
         INSERT INTO item VALUES ({at}, {at}, {one}, 'a'), ({one}, {at}, {two}, 'b'), \
         ({two}, {one}, {one}, 'c'), ({three}, NULL, {two}, 'd'); \
         INSERT INTO part VALUES ({at}, 1), ({at}, 2), ({one}, 1), ({two}, 1), ({three}, 1); \
         INSERT INTO remark VALUES ({at}, {one}); \
         INSERT INTO node VALUES ({at}, NULL), ({one}, {at}), ({two}, {one}), ({three}, {three}); \
         INSERT INTO plain VALUES ({at}, 'x'); "
    )
}

/// What happens to them: children change before a cascade and after it, in one transaction.
fn changes(at: u64) -> String {
    let (one, two, five) = (at + 1, at + 2, at + 5);
    format!(
        "UPDATE item SET name = 'before' WHERE id = {one}; \
         UPDATE owner SET id = {five} WHERE id = {at}; \
         UPDATE item SET name = CONCAT(name, '+') WHERE owner = {five}; \
         UPDATE owner SET code = {five} WHERE id = {one}; \
         UPDATE item SET id = {five} WHERE id = {at}; \
         DELETE FROM remark WHERE id = {at}; \
         DELETE FROM owner WHERE id = {five}; \
         INSERT INTO owner VALUES ({five}, {one}); \
         INSERT INTO item VALUES ({one}, {five}, {one}, 'anew'); \
         INSERT INTO part VALUES ({one}, 1); \
         DELETE FROM node WHERE id = {at}; INSERT INTO node VALUES ({one}, NULL), ({two}, {one}); \
         UPDATE plain SET said = 'y' WHERE id = {at}; \
         SET foreign_key_checks = 0; DELETE FROM owner WHERE id = {one}; \
         DELETE FROM node WHERE id = {one}; \
         SET foreign_key_checks = 1; DELETE FROM plain WHERE id = {at}; "
    )
}

/// Definitions while the log is followed; a table comes that stands against what cascades do.
const REDEFINE: &str = "
ALTER TABLE item MODIFY name varchar(60);
ALTER TABLE part ADD KEY by_n (n);
CREATE TABLE audit (id int PRIMARY KEY, owner int,
    CONSTRAINT seen FOREIGN KEY (owner) REFERENCES owner (id));
";

const SEEN: &str = "INSERT INTO audit VALUES (50, 50)";

async fn follows(release: Release) {
    let pair = MySqlPair::of(release).await;
    pair.source_sql(TABLES).await;
    pair.source_sql(&(rows(0) + &rows(10))).await;
    Dunlin::run(&pair, "run", &["--until", "snapshot"]).await.expect_code(0);
    pair.source_sql(&format!("BEGIN; {} COMMIT; {}", changes(0), changes(10))).await;
    let mixed = format!("BEGIN; {}{} COMMIT", rows(20), changes(20));
    pair.source_sql(&mixed).await;
    Dunlin::run(&pair, "run", &["--until", "caught-up"]).await.expect_code(0);
    pair.assert_equal().await;
    // Where a table is defined anew, its copy counts as of that moment.
    pair.source_sql(&format!("{}{REDEFINE}{}{}{SEEN}", rows(40), changes(40), rows(50))).await;
    Dunlin::run(&pair, "run", &["--until", "caught-up"]).await.expect_code(0);
    pair.source_sql(&format!("BEGIN; DELETE FROM audit; {} COMMIT", changes(50))).await;
    Dunlin::run(&pair, "run", &["--until", "caught-up"]).await.expect_code(0);
    pair.assert_equal().await;
    Dunlin::run(&pair, "complete", &[]).await.expect_code(0);
    // The schema is there by now.
    pair.source_sql(&(rows(30) + &rows(60))).await;
    let again = ["--until", "snapshot", "--truncate-target", "*"];
    Dunlin::run(&pair, "run", &again).await.expect_code(0);
    let loosen = "ALTER TABLE item DROP FOREIGN KEY of_code; ";
    pair.source_sql(&format!("{}{loosen}{}", changes(30), changes(60))).await;
    Dunlin::run(&pair, "run", &["--until", "caught-up"]).await.expect_code(0);
    pair.assert_equal().await;
    Dunlin::run(&pair, "complete", &[]).await.expect_code(0);
}

#[tokio::test]
async fn mysql_9_7_follows_cascades() {
    follows(Release::MYSQL_9_7).await;
}

#[tokio::test]
async fn mariadb_10_11_follows_cascades() {
    follows(Release::MARIADB_10_11).await;
}

#[tokio::test]
async fn mariadb_11_8_follows_cascades() {
    follows(Release::MARIADB_11_8).await;
}

/// Cascades are carried out beneath the server there, and not logged.
#[tokio::test]
async fn mysql_9_7_follows_cascades_that_it_does_not_log() {
    let options = ServerOptions::from(Release::MYSQL_9_7);
    let source = options.clone().with("innodb_native_foreign_keys", "ON");
    let pair = MySqlPair::with(source, options).await;
    pair.source_sql(TABLES).await;
    pair.source_sql(&rows(0)).await;
    Dunlin::run(&pair, "run", &["--until", "snapshot"]).await.expect_code(0);
    pair.source_sql(&format!("{}BEGIN; {} COMMIT", rows(10), changes(10))).await;
    Dunlin::run(&pair, "run", &["--until", "caught-up"]).await.expect_code(0);
    pair.assert_equal().await;
}

#[tokio::test]
async fn a_target_without_the_rules_of_the_source_is_refused() {
    let pair = MySqlPair::of(Release::MARIADB_11_8).await;
    pair.source_sql(TABLES).await;
    pair.target_sql(TABLES).await;
    pair.target_sql("ALTER TABLE item DROP FOREIGN KEY of_code").await;
    let refused = Dunlin::run(&pair, "run", &["--until", "caught-up"]).await;
    refused.expect_code(3).expect_said("TARGET_SCHEMA_DIFFERS").expect_said("REFERENCES app.owner");
    let lone = ["--until", "caught-up", "--exclude", "owner"];
    let refused = Dunlin::run(&pair, "run", &lone).await;
    refused.expect_code(3).expect_said("CASCADE_UNLOGGED");
}

const PARENT: &str = "CREATE TABLE parent (id int PRIMARY KEY)";
const CHILD: &str = "CREATE TABLE child (id int PRIMARY KEY, parent int, \
                     FOREIGN KEY (parent) REFERENCES parent (id) ON DELETE CASCADE)";

async fn those_that_come_later_are_refused(source: ServerOptions) {
    let release = source.release;
    let pair = MySqlPair::with(source, release.into()).await;
    let run = ["--until", "caught-up"];
    pair.source_sql(PARENT).await;
    Dunlin::run(&pair, "run", &run).await.expect_code(0);
    pair.source_sql(CHILD).await;
    Dunlin::run(&pair, "run", &run).await.expect_code(3).expect_said("CASCADE_UNLOGGED");
    let ignoring = ["--until", "caught-up", "--on-create-table", "ignore"];
    Dunlin::run(&pair, "run", &ignoring).await.expect_code(0);
    pair.target_sql(CHILD).await;
    Dunlin::run(&pair, "run", &run).await.expect_code(3).expect_said("CASCADE_UNLOGGED");
    pair.target_sql("DROP TABLE child").await;
    Dunlin::run(&pair, "run", &run).await.expect_code(0);
    Dunlin::run(&pair, "complete", &[]).await.expect_code(0);
    // They are followed from the beginning, and then under the names that they have.
    pair.target_sql("DROP TABLE parent").await;
    Dunlin::run(&pair, "run", &run).await.expect_code(0);
    pair.source_sql("RENAME TABLE parent TO ancestor").await;
    let refused = Dunlin::run(&pair, "run", &run).await;
    refused.expect_halt("SCHEMA_CHANGED").expect_said("renames or drops");
}

#[tokio::test]
async fn mariadb_11_8_refuses_cascades_that_come_later() {
    those_that_come_later_are_refused(Release::MARIADB_11_8.into()).await;
}

/// Cascades are carried out beneath the server there.
#[tokio::test]
async fn mysql_9_7_refuses_cascades_that_come_later_and_are_not_logged() {
    let options = ServerOptions::from(Release::MYSQL_9_7);
    those_that_come_later_are_refused(options.with("innodb_native_foreign_keys", "ON")).await;
}

/// Where a run is killed, under writers.
const POINTS: &[&str] = &[
    "chunks-planned",
    "chunk-committed",
    "built",
    "group-applied",
    "group-committed",
    "group-applied:2",
    "group-committed:3",
];

/// Each session has numbers of its own.
async fn write(mut session: Conn, from: u64, stop: Arc<AtomicBool>, written: Arc<AtomicU64>) {
    let mut at = from;
    while !stop.load(Ordering::SeqCst) {
        at += 10;
        let statements = match at / 10 % 3 {
            0 => format!("BEGIN; {}{} COMMIT", rows(at), changes(at)),
            1 => format!("BEGIN; {} COMMIT; BEGIN; {} COMMIT", rows(at), changes(at)),
            _ => format!("{}{}DO 0", rows(at), changes(at)),
        };
        // At a pace that is followed on any machine.
        session.query_drop(format!("{statements}; DO SLEEP(0.2)")).await.unwrap();
        written.fetch_add(1, Ordering::SeqCst);
    }
}

async fn survives_kills(release: Release) {
    let pair = MySqlPair::of(release).await;
    pair.source_sql(TABLES).await;
    pair.source_sql(&rows(0)).await;
    let (stop, written) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
    let session = pair.on_source().await;
    let writer = tokio::spawn(write(session, 1000, stop.clone(), written.clone()));
    for point in POINTS {
        let mut run = Dunlin::start_with_failpoint(&pair, "run", &[], point);
        run.reaches(point.split(':').next().unwrap()).await;
        run.kill().await;
        let before = written.load(Ordering::SeqCst);
        wait_until("the writer goes on", async || written.load(Ordering::SeqCst) >= before + 3)
            .await;
    }
    stop.store(true, Ordering::SeqCst);
    writer.await.unwrap();
    Dunlin::run(&pair, "run", &["--until", "caught-up"]).await.expect_code(0);
    pair.assert_equal().await;
}

#[tokio::test]
async fn mysql_9_7_cascades_survive_kills() {
    survives_kills(Release::MYSQL_9_7).await;
}

#[tokio::test]
async fn mariadb_11_8_cascades_survive_kills() {
    survives_kills(Release::MARIADB_11_8).await;
}
