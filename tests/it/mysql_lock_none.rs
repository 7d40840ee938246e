//! A MySQL source on which no lock may be had: what commits while the snapshot is taken is neither
//! lost nor stale nor there twice.
//!
//! A session that owns a GTID keeps every moment from being exact, so that the snapshot gets a bracket.
//! The process stands still behind the bracket's beginning for as long as the tests write.

use dunlin::demo::mysql::{Release, ServerOptions};
use dunlin::model::Code;
use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use tempfile::TempDir;
use tokio::process::Command;

use crate::bad_input::{halted, ids, started};
use crate::support::binary::Finished;
use crate::support::mysql::{MySqlPair, row};
use crate::support::mysql_scene::MySqlScene;
use crate::support::{Dunlin, wait_until};

/// An account that may lock nothing.
const READER: &str = "CREATE USER reader@'%';
    GRANT REPLICATION SLAVE, REPLICATION CLIENT, XA_RECOVER_ADMIN, SHOW_ROUTINE ON *.* TO reader@'%';
    GRANT SELECT, SHOW VIEW, TRIGGER, EVENT ON app.* TO reader@'%'";

/// Where a run stands still.
const LOW_READ: &str = "snapshot-low-read";

/// What a run says that waits for transactions which were under way.
const WAITS: &str = "waiting until everything that has a name is committed";

/// What is said of a table that is reset.
const AGAIN: &str = "will be copied again from its start";

const WORDS: &[&str] = &["--lock", "none", "--until", "caught-up", "--chunk-size", "1MiB"];

async fn pair(source: ServerOptions) -> MySqlPair {
    let pair = MySqlPair::with(source, Release::MYSQL_9_7.into()).await;
    pair.source_sql(READER).await;
    pair
}

/// A verb as that account.
fn command(pair: &MySqlPair, words: &[&str]) -> Command {
    let source = pair.source_url().replace("root@", "reader@");
    let mut command = Dunlin::command(words);
    command.args(["--source", &source, "--target", &pair.target_url()]);
    command
}

fn run(pair: &MySqlPair, words: &[&str]) -> Command {
    command(pair, &[&["run"], WORDS, words].concat())
}

/// A session that owns a GTID until it commits.
async fn owner(pair: &MySqlPair, number: u64) -> Conn {
    let mut session = pair.on_source().await;
    let name = format!("SET GTID_NEXT = 'aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa:{number}'; BEGIN");
    session.query_drop(name).await.unwrap();
    session
}

/// A run that stands still within its bracket, until [`Paused::go_on`].
struct Paused {
    run: Dunlin,
    folder: TempDir,
}

impl Paused {
    async fn start(mut command: Command) -> Paused {
        let folder = tempfile::tempdir().unwrap();
        command.env("DUNLIN_FAILPOINT", LOW_READ);
        command.env("DUNLIN_FAILPOINT_GATE", folder.path().join("go-on"));
        let mut run = Dunlin::start_command(command);
        run.reaches(LOW_READ).await;
        Paused { run, folder }
    }

    fn go_on(&self) {
        std::fs::write(self.folder.path().join("go-on"), "").unwrap();
    }
}

/// Several chunks with unique values, a composite key of text, and a unique key for a primary one.
const TABLES: &str = "
CREATE TABLE item (id int PRIMARY KEY, code int UNIQUE, v varchar(4000));
INSERT INTO item WITH RECURSIVE x AS (SELECT 1 n UNION ALL SELECT n + 1 FROM x WHERE n < 900)
    SELECT n, n, repeat('v', 3500) FROM x;
CREATE TABLE link (a int, b varchar(20), v int, PRIMARY KEY (a, b));
INSERT INTO link SELECT id, concat('b', id), id FROM item WHERE id <= 50;
CREATE TABLE tagged (code varchar(20) NOT NULL, v int, UNIQUE KEY (code));
INSERT INTO tagged SELECT b, v FROM link;
ANALYZE TABLE item";

/// The snapshot shows all of it, and the log behind its beginning has it too.
const SEEN: &str = "
INSERT INTO item VALUES (2001, 2001, 'came');
UPDATE item SET v = 'changed' WHERE id IN (5, 50, 500);
DELETE FROM item WHERE id = 6;
UPDATE item SET id = 3000, v = 'moved' WHERE id = 7;
BEGIN; UPDATE item SET code = NULL WHERE id = 10; UPDATE item SET code = 10 WHERE id = 800;
    UPDATE item SET code = 800 WHERE id = 10; COMMIT;
BEGIN; DELETE FROM item WHERE id = 20; INSERT INTO item VALUES (20, 20, 'anew'); COMMIT;
INSERT INTO item VALUES (2002, 2002, 'came'); DELETE FROM item WHERE id = 2002;
UPDATE item SET id = 4000 WHERE id = 30; UPDATE item SET id = 30 WHERE id = 31;
UPDATE item SET id = 31 WHERE id = 4000;
BEGIN; UPDATE item SET code = 5001 WHERE id = 900; UPDATE item SET code = 900 WHERE id = 1; COMMIT;
UPDATE link SET b = 'other' WHERE a = 1; DELETE FROM link WHERE a = 2;
INSERT INTO link VALUES (1, 'b1', 7), (60, 'B', NULL); UPDATE link SET v = 0 WHERE a = 60;
UPDATE tagged SET code = 'TAG' WHERE code = 'b1'; DELETE FROM tagged WHERE code = 'b2';
INSERT INTO tagged VALUES ('b1', 1), ('b2', 2)";

/// The snapshot shows none of it, though it is named by then.
const UNSEEN: &str = "
INSERT INTO item VALUES (2003, 2003, 'came'), (6, 6, 'came again');
UPDATE item SET v = 'changed once more' WHERE id IN (5, 3000);
UPDATE item SET id = 7, code = 5002 WHERE id = 2001;
UPDATE item SET code = 5003 WHERE id = 800; UPDATE item SET code = 10 WHERE id = 850;
DELETE FROM item WHERE id = 20;
DELETE FROM link WHERE a = 1; INSERT INTO link VALUES (2, 'b2', 9);
DELETE FROM tagged WHERE v < 5; COMMIT";

#[tokio::test]
async fn what_commits_while_the_snapshot_is_taken_arrives_once() {
    let pair = pair(Release::MYSQL_9_7.into()).await;
    pair.source_sql(TABLES).await;
    let locked = command(&pair, &["run", "--until", "caught-up"]);
    let locked = Dunlin::start_command(locked).finished().await;
    halted(locked, Code::PrivilegeMissing).expect_said("--lock none");
    let planned = Dunlin::start_command(command(&pair, &["plan", "--lock", "none"]));
    let planned = planned.finished().await.expect_code(0);
    assert!(planned.stdout.contains("no lock is taken"), "{}", planned.stdout);

    let (mut under_way, mut given_up) = (owner(&pair, 1).await, owner(&pair, 2).await);
    let mut paused = Paused::start(run(&pair, &[])).await;
    pair.source_sql(SEEN).await;
    paused.go_on();
    paused.run.says(WAITS).await;
    given_up.query_drop("ROLLBACK").await.unwrap();
    under_way.query_drop(UNSEEN).await.unwrap();
    paused.run.finished().await.expect_code(0);
    pair.assert_equal().await;
    let mut target = pair.on_target().await;
    let chunks = "SELECT count(*), sum(low <> high) FROM dunlin.chunk";
    let (chunks, bracketed): (u64, u64) = row(&mut target, chunks).await;
    assert!(chunks > 4 && bracketed == chunks, "{bracketed} of {chunks} chunks have a bracket");

    pair.source_sql("UPDATE item SET v = 'later' WHERE id < 9; DELETE FROM link WHERE a < 9").await;
    Dunlin::start_command(run(&pair, &[])).finished().await.expect_code(0);
    pair.assert_equal().await;
}

#[tokio::test]
async fn without_commits_the_snapshot_is_exact() {
    let pair = pair(Release::MYSQL_9_7.into()).await;
    pair.source_sql(TABLES).await;
    Dunlin::start_command(run(&pair, &[])).finished().await.expect_code(0);
    pair.assert_equal().await;
    let chunks = "SELECT count(*), sum(low = high) FROM dunlin.chunk";
    let (chunks, exact): (u64, u64) = row(&mut pair.on_target().await, chunks).await;
    assert_eq!(exact, chunks);
}

/// A table each whose changes within the bracket cannot be repeated without harm.
const AWKWARD: &str = "
CREATE TABLE seat (id int PRIMARY KEY, code int UNIQUE, v int);
INSERT INTO seat VALUES (1, 5, 0), (2, 6, 0);
CREATE TABLE note (id int PRIMARY KEY, v int, w int); INSERT INTO note VALUES (1, 1, 1);
CREATE TABLE parent (id int PRIMARY KEY, v int); INSERT INTO parent VALUES (1, 1), (2, 2);
CREATE TABLE child (id int PRIMARY KEY, parent int,
    FOREIGN KEY (parent) REFERENCES parent (id) ON DELETE CASCADE);
INSERT INTO child VALUES (1, 1), (2, 1), (3, 2);
CREATE TABLE bulk (id int PRIMARY KEY AUTO_INCREMENT, v text)";

#[tokio::test]
async fn what_cannot_be_repeated_is_copied_again() {
    let options = ServerOptions::from(Release::MYSQL_9_7);
    let pair = pair(options.with("innodb_native_foreign_keys", "ON")).await;
    pair.source_sql(AWKWARD).await;
    let mut under_way = owner(&pair, 1).await;
    let paused = Paused::start(run(&pair, &["--group-size", "64KiB"])).await;
    // In the copy the second seat has the code by now that the first has in the first of groups.
    pair.source_sql("UPDATE seat SET v = 1 WHERE id = 1").await;
    let filling = "INSERT INTO bulk (v) VALUES (repeat('filling', 9000));";
    pair.source_sql(&filling.repeat(40)).await;
    pair.source_sql("UPDATE seat SET code = 7 WHERE id = 1; UPDATE seat SET code = 5 WHERE id = 2")
        .await;
    pair.source_sql("SET SESSION binlog_row_image = MINIMAL; UPDATE note SET v = 2 WHERE id = 1")
        .await;
    pair.source_sql("DELETE FROM parent WHERE id = 1").await;
    under_way.query_drop("COMMIT").await.unwrap();
    paused.go_on();
    let finished = paused.run.finished().await.expect_code(0);
    for table in ["app.seat", "app.note", "app.parent", "app.child"] {
        let said = |line: &str| line.contains(AGAIN) && line.contains(table);
        assert!(finished.stderr.lines().any(said), "{table}:\n{}", finished.stderr);
    }
    pair.assert_equal().await;
}

#[tokio::test]
async fn killed_while_it_copies_and_while_it_converges() {
    let options = ServerOptions::from(Release::MYSQL_9_7);
    // A key for the scene's table without one.
    let pair = pair(options.with("sql_generate_invisible_primary_key", "ON")).await;
    let mut scene = MySqlScene::over(pair, 41).await;
    let points = [LOW_READ, "chunk-committed:2", "chunk-loaded", "group-applied"];
    for (number, failpoint) in (1..).zip(points) {
        let mut under_way = owner(&scene.pair, number).await;
        let mut command = run(&scene.pair, &[]);
        command.env("DUNLIN_FAILPOINT", failpoint);
        let mut killed = Dunlin::start_command(command);
        match failpoint {
            LOW_READ => killed.reaches(LOW_READ).await,
            _ => killed.says(WAITS).await,
        }
        scene.written(20).await;
        under_way.query_drop("COMMIT").await.unwrap();
        killed.reaches(failpoint.split(':').next().unwrap()).await;
        killed.kill().await;
    }
    scene.written(50).await;
    scene.still().await;
    Dunlin::start_command(run(&scene.pair, &[])).finished().await.expect_code(0);
    scene.pair.assert_equal().await;
    let chunks = "SELECT count(*) FROM dunlin.chunk WHERE low <> high";
    let (bracketed,): (u64,) = row(&mut scene.observer, chunks).await;
    assert!(bracketed > 0);
}

/// A session that owns a GTID, and has changed a part of a row, which cannot be applied again where
/// nobody knows whether it is in the copy.
async fn part(pair: &MySqlPair, number: u64) -> Conn {
    let mut session = pair.on_source().await;
    session.query_drop("SET SESSION binlog_row_image = MINIMAL").await.unwrap();
    let change = format!(
        "SET GTID_NEXT = 'aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa:{number}'; BEGIN; \
         UPDATE note SET v = v + 1 WHERE id = {number}"
    );
    session.query_drop(change).await.unwrap();
    session
}

#[tokio::test]
async fn killed_while_a_table_is_given_up() {
    let pair = pair(Release::MYSQL_9_7.into()).await;
    pair.source_sql(
        "CREATE TABLE note (id int PRIMARY KEY, v int, w int);
         INSERT INTO note VALUES (1, 1, 1), (2, 2, 2), (3, 3, 3)",
    )
    .await;
    let mut target = pair.on_target().await;
    for number in [1, 2] {
        let mut under_way = part(&pair, number).await;
        let mut command = run(&pair, &[]);
        command.env("DUNLIN_FAILPOINT", "tables-reset");
        let mut killed = Dunlin::start_command(command);
        killed.says(WAITS).await;
        under_way.query_drop("COMMIT").await.unwrap();
        killed.reaches("tables-reset").await;
        killed.kill().await;
        let left = "SELECT (SELECT count(*) FROM note), (SELECT count(*) FROM dunlin.chunk)";
        assert_eq!(row::<(u64, u64)>(&mut target, left).await, (0, 0));
    }
    pair.source_sql("UPDATE note SET w = 7 WHERE id = 3; DELETE FROM note WHERE id = 1").await;
    Dunlin::start_command(run(&pair, &[])).finished().await.expect_code(0);
    pair.assert_equal().await;
}

#[tokio::test]
async fn a_table_is_not_copied_again_for_ever() {
    let pair = pair(Release::MYSQL_9_7.into()).await;
    pair.source_sql(
        "CREATE TABLE note (id int PRIMARY KEY, v int, w int);
         INSERT INTO note VALUES (1, 1, 1), (2, 2, 2), (3, 3, 3), (4, 4, 4), (5, 5, 5)",
    )
    .await;
    let mut under_way = part(&pair, 1).await;
    let halting = Dunlin::start_command(run(&pair, &[]));
    for snapshots in 1..=4 {
        wait_until("the snapshot waits for what is under way", async || {
            halting.stderr().lines().filter(|line| line.contains(WAITS)).count() >= snapshots
        })
        .await;
        // The next snapshot is to have a bracket too.
        let next = part(&pair, snapshots as u64 + 1).await;
        std::mem::replace(&mut under_way, next).query_drop("COMMIT").await.unwrap();
    }
    let ended = halting.finished().await.expect_halt("COPY_UNSETTLED");
    assert_eq!(ended.stderr.matches(AGAIN).count(), 3, "{}", ended.stderr);
    ended.expect_said("table app.note").expect_said("--lock none");
    under_way.query_drop("COMMIT").await.unwrap();
    Dunlin::start_command(run(&pair, &[])).finished().await.expect_code(0);
    pair.assert_equal().await;
}

async fn blocking(pair: &MySqlPair) -> Finished {
    let check = command(pair, &["check", "--lock", "none", "--json"]);
    Dunlin::start_command(check).finished().await
}

#[tokio::test]
async fn where_it_cannot_be_exact_it_is_refused_by_name() {
    let keyless = pair(Release::MYSQL_9_7.into()).await;
    keyless.source_sql("CREATE TABLE item (id int PRIMARY KEY); CREATE TABLE heap (a int)").await;
    let found = blocking(&keyless).await;
    assert_eq!(ids(&found, "block"), ["LOCK_NEEDED"], "{}", found.stdout);
    assert!(ids(&found, "warn").contains(&"UNLOCKED".to_owned()), "{}", found.stdout);
    let refused = Dunlin::start_command(run(&keyless, &[])).finished().await;
    halted(refused, Code::LockNeeded).expect_said("table app.heap");
    let few = run(&keyless, &["--exclude", "heap"]);
    Dunlin::start_command(few).finished().await.expect_code(0);

    let nameless = ServerOptions::from(Release::MYSQL_9_7);
    let nameless = nameless.with("gtid_mode", "OFF").with("enforce_gtid_consistency", "OFF");
    let pair = MySqlPair::with(nameless, Release::MYSQL_9_7.into()).await;
    pair.source_sql("CREATE TABLE item (id int PRIMARY KEY)").await;
    let check = Dunlin::run(&pair, "check", &["--lock", "none", "--json"]).await;
    assert_eq!(ids(&check, "block"), ["LOCK_NEEDED"], "{}", check.stdout);
    // Begun with a lock, it is not gone on with without one.
    let mut begun = Dunlin::start_with_failpoint(&pair, "run", &[], "chunks-planned");
    begun.reaches("chunks-planned").await;
    begun.kill().await;
    let refused = Dunlin::run(&pair, "run", &["--lock", "none"]).await;
    halted(refused, Code::LockNeeded).expect_said("leave --lock none out");
    let postgres = "postgres://nobody@127.0.0.1:1/app";
    let words = ["check", "--lock", "none", "--source", postgres, "--target", postgres];
    halted(started(&words).await, Code::ConfigInvalid).expect_said("without any lock");
}

/// An account of MariaDB that may lock nothing, and take nothing out of the log.
const MARIADB_READER: &str = "CREATE USER reader@'%';
    GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO reader@'%';
    GRANT SELECT, SHOW VIEW, TRIGGER, EVENT ON app.* TO reader@'%';
    GRANT SELECT ON mysql.proc TO reader@'%'";

/// Under writers, with a table that has no key: connections agree on a moment or one reads alone, and
/// either is exact, or the counts of the stream's statements would not be.
async fn agreed_under_writers(release: Release) {
    let pair = MySqlPair::of(release).await;
    pair.source_sql(MARIADB_READER).await;
    let mut scene = MySqlScene::over(pair, 43).await;
    for failpoint in ["snapshot-held", "chunk-committed:2", "group-applied"] {
        scene.written(20).await;
        let mut command = run(&scene.pair, &[]);
        command.env("DUNLIN_FAILPOINT", failpoint);
        let mut killed = Dunlin::start_command(command);
        killed.reaches(failpoint.split(':').next().unwrap()).await;
        killed.kill().await;
    }
    scene.written(50).await;
    scene.still().await;
    Dunlin::start_command(run(&scene.pair, &[])).finished().await.expect_code(0);
    scene.pair.assert_equal().await;
    let chunks = "SELECT count(*), sum(low = high) FROM dunlin.chunk";
    let (chunks, exact): (u64, u64) = row(&mut scene.observer, chunks).await;
    assert!(chunks > 4 && exact == chunks, "{exact} of {chunks} chunks are exact");
}

#[tokio::test]
async fn mariadb_10_11_agrees_on_a_moment_under_writers() {
    agreed_under_writers(Release::MARIADB_10_11).await;
}

#[tokio::test]
async fn mariadb_11_8_agrees_on_a_moment_under_writers() {
    agreed_under_writers(Release::MARIADB_11_8).await;
}
