//! Tables that go on a MySQL or MariaDB source before their rows are copied.

use dunlin::demo::mysql::Release;

use crate::support::Dunlin;
use crate::support::mysql::{MySqlPair, row};
use crate::support::steps::Held;

const TABLES: &str = "
CREATE TABLE stays (id int PRIMARY KEY, note varchar(20));
CREATE TABLE goes (id int PRIMARY KEY);
INSERT INTO stays VALUES (1, 'a'); INSERT INTO goes VALUES (1), (2)";

const GOES: &str = "
INSERT INTO goes VALUES (3); DELETE FROM goes WHERE id = 1; INSERT INTO stays VALUES (2, 'b');
DROP TABLE goes; UPDATE stays SET note = 'c' WHERE id = 1";

const RUN: &[&str] = &["--until", "caught-up", "--workers", "1"];

/// Everything is planned, nothing is read, and nobody holds the snapshot any more.
async fn planned(release: Release) -> MySqlPair {
    let pair = MySqlPair::of(release).await;
    pair.source_sql(TABLES).await;
    let mut run = Dunlin::start_with_failpoint(&pair, "run", RUN, "chunks-planned");
    run.reaches("chunks-planned").await;
    run.kill().await;
    pair
}

async fn one_that_went_is_the_operators_case(release: Release) {
    let pair = planned(release).await;
    pair.source_sql(GOES).await;
    Dunlin::run(&pair, "run", RUN)
        .await
        .expect_halt("SCHEMA_CHANGED")
        .expect_said("was dropped on the source before it was copied")
        .expect_said("--on-drop-table drop or keep");
    let keeping = [RUN, &["--on-drop-table", "keep"]].concat();
    Dunlin::run(&pair, "run", &keeping).await.expect_code(0);
    let left = "SELECT count(*) FROM goes";
    assert_eq!(row::<u32>(&mut pair.on_target().await, left).await, 0);
    pair.target_sql("DROP TABLE goes").await;
    pair.source_sql("CREATE TABLE goes (word varchar(9)); INSERT INTO goes VALUES ('x'), ('x')")
        .await;
    Dunlin::run(&pair, "run", RUN).await.expect_code(0);
    pair.assert_equal().await;
}

#[tokio::test]
async fn mysql_9_7_one_that_went_is_the_operators_case() {
    one_that_went_is_the_operators_case(Release::MYSQL_9_7).await;
}

#[tokio::test]
async fn mariadb_11_8_one_that_went_is_the_operators_case() {
    one_that_went_is_the_operators_case(Release::MARIADB_11_8).await;
}

/// In one run, while the snapshot is held that shows its rows; and it comes and goes once more as
/// another one.
async fn one_that_went_is_dropped(release: Release) {
    let pair = MySqlPair::of(release).await;
    pair.source_sql(TABLES).await;
    let (source, target) = (pair.source_url(), pair.target_url());
    let mut command = Dunlin::command(&["run", "--source", &source, "--target", &target]);
    command.args(RUN).args(["--on-drop-table", "drop"]);
    let run = Held::at(command, "chunks-planned").await;
    pair.source_sql(GOES).await;
    pair.source_sql(
        "CREATE TABLE goes (word varchar(9) PRIMARY KEY); INSERT INTO goes VALUES ('x'); \
         ALTER TABLE stays ADD extra int; DROP TABLE goes; INSERT INTO stays VALUES (3, 'd', 4)",
    )
    .await;
    run.let_go();
    let finished = run.dunlin.finished().await.expect_code(0);
    finished.expect_said("was dropped on the source before it was copied");
    pair.assert_equal().await;
}

#[tokio::test]
async fn mysql_9_7_one_that_went_is_dropped() {
    one_that_went_is_dropped(Release::MYSQL_9_7).await;
}

#[tokio::test]
async fn mariadb_10_11_one_that_went_is_dropped() {
    one_that_went_is_dropped(Release::MARIADB_10_11).await;
}

/// Its rows are not in the log, and would be missed under the other name.
#[tokio::test]
async fn one_that_got_another_name_halts() {
    let pair = planned(Release::MYSQL_9_7).await;
    pair.source_sql("RENAME TABLE goes TO went; CREATE TABLE goes (id int PRIMARY KEY)").await;
    pair.source_sql("DROP TABLE goes").await;
    Dunlin::run(&pair, "run", RUN).await.expect_halt("TABLE_RECREATED");
}
