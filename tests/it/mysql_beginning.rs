//! What applications make, alter and drop on a MySQL or MariaDB source between the first look at it and
//! the snapshot.

use dunlin::demo::mysql::Release;

use crate::support::Dunlin;
use crate::support::mysql::MySqlPair;
use crate::support::steps::Held;

const TABLES: &str = "
CREATE TABLE stays (id int PRIMARY KEY, note varchar(20));
CREATE TABLE alters (id int PRIMARY KEY, note varchar(20));
CREATE TABLE again (id int PRIMARY KEY);
CREATE TABLE goes (id int PRIMARY KEY);
INSERT INTO stays VALUES (1, 'a'); INSERT INTO alters VALUES (1, 'a');
INSERT INTO again VALUES (1); INSERT INTO goes VALUES (1)";

const MEANWHILE: &str = "
CREATE TABLE comes (id int PRIMARY KEY, note text); INSERT INTO comes VALUES (1, 'b'), (2, NULL);
ALTER TABLE alters MODIFY note text, ADD extra int; UPDATE alters SET extra = 5;
DROP TABLE again; CREATE TABLE again (word varchar(9) PRIMARY KEY); INSERT INTO again VALUES ('x');
DROP TABLE goes; INSERT INTO stays VALUES (2, 'c')";

const LATER: &str = "
INSERT INTO comes VALUES (3, 'later'); UPDATE comes SET note = 'd' WHERE id = 1;
INSERT INTO alters VALUES (2, 'e', 6); INSERT INTO again VALUES ('y'); DELETE FROM stays WHERE id = 1";

const RUN: &[&str] = &["--until", "caught-up"];

/// A run that ended before its snapshot, however long ago.
async fn a_later_run_lists_the_tables_anew(release: Release) {
    for point in ["migration-created", "tables-listed"] {
        let pair = MySqlPair::of(release).await;
        pair.source_sql(TABLES).await;
        let mut run = Dunlin::start_with_failpoint(&pair, "run", RUN, "migration-created");
        run.reaches("migration-created").await;
        run.kill().await;
        pair.source_sql(MEANWHILE).await;
        if point == "tables-listed" {
            let mut run = Dunlin::start_with_failpoint(&pair, "run", RUN, point);
            run.reaches(point).await;
            run.kill().await;
            pair.source_sql("CREATE TABLE last (id int PRIMARY KEY); INSERT INTO last VALUES (7)")
                .await;
        }
        let run = Dunlin::run(&pair, "run", RUN).await.expect_code(0);
        if point == "migration-created" {
            run.expect_said("came while the migration began")
                .expect_said("went while the migration began");
        }
        pair.source_sql(LATER).await;
        Dunlin::run(&pair, "run", RUN).await.expect_code(0);
        pair.assert_equal().await;
        Dunlin::run(&pair, "verify", &[]).await.expect_code(0);
    }
}

#[tokio::test]
async fn mysql_9_7_a_later_run_lists_the_tables_anew() {
    a_later_run_lists_the_tables_anew(Release::MYSQL_9_7).await;
}

#[tokio::test]
async fn mariadb_11_8_a_later_run_lists_the_tables_anew() {
    a_later_run_lists_the_tables_anew(Release::MARIADB_11_8).await;
}

/// One and the same run: before the snapshot, and between it and the second list, which then has tables
/// that the snapshot does not show, and lacks one that it does.
async fn what_happens_in_between_is_not_lost(release: Release) {
    for point in ["migration-created", "snapshot-held"] {
        let pair = MySqlPair::of(release).await;
        pair.source_sql(TABLES).await;
        let (source, target) = (pair.source_url(), pair.target_url());
        let mut command = Dunlin::command(&["run", "--source", &source, "--target", &target]);
        command.args(RUN);
        let run = Held::at(command, point).await;
        pair.source_sql(MEANWHILE).await;
        run.let_go();
        run.dunlin.finished().await.expect_code(0);
        pair.source_sql(LATER).await;
        Dunlin::run(&pair, "run", RUN).await.expect_code(0);
        pair.assert_equal().await;
        Dunlin::run(&pair, "verify", &[]).await.expect_code(0);
    }
}

#[tokio::test]
async fn mysql_9_7_what_happens_before_the_snapshot_is_not_lost() {
    what_happens_in_between_is_not_lost(Release::MYSQL_9_7).await;
}

#[tokio::test]
async fn mariadb_11_8_what_happens_before_the_snapshot_is_not_lost() {
    what_happens_in_between_is_not_lost(Release::MARIADB_11_8).await;
}

/// Where the tables were made on the target by hand, one that came has to be made there too.
#[tokio::test]
async fn a_table_that_came_and_is_not_on_the_target_halts() {
    let pair = MySqlPair::of(Release::MYSQL_9_7).await;
    pair.source_sql(TABLES).await;
    pair.target_sql(TABLES.split("INSERT").next().unwrap()).await;
    let mut run = Dunlin::start_with_failpoint(&pair, "run", RUN, "migration-created");
    run.reaches("migration-created").await;
    run.kill().await;
    let made = "CREATE TABLE comes (id int PRIMARY KEY)";
    pair.source_sql(&format!("{made}; INSERT INTO comes VALUES (1)")).await;
    let halted = Dunlin::run(&pair, "run", RUN).await;
    assert_ne!(halted.code(), 0);
    halted.expect_said("app.comes");
    pair.target_sql(made).await;
    Dunlin::run(&pair, "run", RUN).await.expect_code(0);
    pair.assert_equal().await;
}

/// What a snapshot shows under other names, or hides, without being told so: only the catalog changes.
const ONLY_THE_CATALOG: &str = "
ALTER TABLE pairs RENAME COLUMN one TO spare;
ALTER TABLE pairs RENAME COLUMN two TO one;
ALTER TABLE pairs RENAME COLUMN spare TO two;
INSERT INTO pairs VALUES (3, 'third one', 'third two');
ALTER TABLE grows ADD COLUMN more int DEFAULT 7;
INSERT INTO grows VALUES (2, 2);
ALTER TABLE shrinks DROP COLUMN note";

const RENAMED: &str = "ALTER TABLE formerly RENAME TO latterly; INSERT INTO latterly VALUES (2)";

/// Before the tables are listed under the snapshot, and before they are made on the target.
async fn definitions_behind_the_snapshot_are_carried_out_once(release: Release) {
    for point in ["snapshot-held", "snapshot-recorded"] {
        let pair = MySqlPair::of(release).await;
        pair.source_sql(
            "CREATE TABLE pairs (id int PRIMARY KEY, one varchar(20), two varchar(20));
             CREATE TABLE grows (id int PRIMARY KEY);
             CREATE TABLE shrinks (id int PRIMARY KEY, note varchar(20));
             CREATE TABLE formerly (id int PRIMARY KEY);
             INSERT INTO pairs VALUES (1, 'first one', 'first two');
             INSERT INTO grows VALUES (1); INSERT INTO shrinks VALUES (1, 'a');
             INSERT INTO formerly VALUES (1)",
        )
        .await;
        let (source, target) = (pair.source_url(), pair.target_url());
        let mut command = Dunlin::command(&["run", "--source", &source, "--target", &target]);
        command.args(RUN);
        let run = Held::at(command, point).await;
        pair.source_sql("INSERT INTO pairs VALUES (2, 'second one', 'second two')").await;
        pair.source_sql(ONLY_THE_CATALOG).await;
        // Once it is listed, a table is followed by its name until it is copied.
        if point == "snapshot-held" {
            pair.source_sql(RENAMED).await;
        }
        run.let_go();
        let run = run.dunlin.finished().await.expect_code(0);
        run.expect_said("a table was altered while dunlin read");
        pair.source_sql("UPDATE pairs SET one = CONCAT(one, '!')").await;
        Dunlin::run(&pair, "run", RUN).await.expect_code(0);
        pair.assert_equal().await;
        Dunlin::run(&pair, "verify", &[]).await.expect_code(0);
    }
}

#[tokio::test]
async fn mysql_9_7_definitions_behind_the_snapshot_are_carried_out_once() {
    definitions_behind_the_snapshot_are_carried_out_once(Release::MYSQL_9_7).await;
}

#[tokio::test]
async fn mariadb_11_8_definitions_behind_the_snapshot_are_carried_out_once() {
    definitions_behind_the_snapshot_are_carried_out_once(Release::MARIADB_11_8).await;
}
