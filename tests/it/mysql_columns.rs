//! Tables that the operator made on a MySQL or MariaDB target: places of columns, character sets, columns
//! of its own. What would put a value elsewhere, or let it mean something else, is refused.

use dunlin::demo::mysql::Release;
use dunlin::model::Code;

use crate::bad_input::{halted, started};
use crate::support::Dunlin;
use crate::support::mysql::{MySqlPair, row};

const CAUGHT_UP: [&str; 2] = ["--until", "caught-up"];

async fn refused(pair: &MySqlPair, arguments: &[&str]) -> String {
    let arguments = [&CAUGHT_UP, arguments].concat();
    halted(Dunlin::run(pair, "run", &arguments).await, Code::TargetSchemaDiffers).stderr
}

async fn changed(pair: &MySqlPair, arguments: &[&str]) -> String {
    let arguments = [&CAUGHT_UP, arguments].concat();
    Dunlin::run(pair, "run", &arguments).await.expect_halt("SCHEMA_CHANGED").stderr
}

async fn carried(pair: &MySqlPair, arguments: &[&str]) {
    Dunlin::run(pair, "run", &[&CAUGHT_UP, arguments].concat()).await.expect_code(0);
}

/// The place that a halt says to go on behind.
fn place(said: &str) -> String {
    said.split("--ddl-done '").nth(1).unwrap().split('\'').next().unwrap().to_owned()
}

/// On a source whose log has no names of columns.
async fn without_names(release: Release) -> MySqlPair {
    let pair = MySqlPair::of(release).await;
    pair.source_sql("SET GLOBAL binlog_row_metadata = 'MINIMAL'").await;
    pair
}

async fn keeps_places(release: Release) {
    let pair = without_names(release).await;
    pair.source_sql(
        "CREATE TABLE t (id int PRIMARY KEY, a int, b int); INSERT INTO t VALUES (1, 1, 2)",
    )
    .await;
    pair.target_sql("CREATE TABLE t (id int PRIMARY KEY, own int, b int, a int)").await;
    let said = refused(&pair, &[]).await;
    assert!(said.contains("column b stands there where a does"), "{said}");
    pair.target_sql("ALTER TABLE t MODIFY b int AFTER a").await;
    carried(&pair, &[]).await;
    // It is not understood, and done by hand, at first elsewhere.
    pair.source_sql(
        "ALTER TABLE t ADD c int AFTER id, ORDER BY id; INSERT INTO t VALUES (2, 3, 1, 2)",
    )
    .await;
    let place = place(&changed(&pair, &[]).await);
    pair.target_sql("ALTER TABLE t ADD c int").await;
    let said = changed(&pair, &["--ddl-done", &place]).await;
    assert!(said.contains("column a stands there where c does"), "{said}");
    pair.target_sql("ALTER TABLE t MODIFY c int AFTER id").await;
    carried(&pair, &["--ddl-done", &place]).await;
    pair.target_sql("ALTER TABLE t MODIFY c int AFTER b").await;
    pair.source_sql("ALTER TABLE t COMMENT 'another'; INSERT INTO t VALUES (3, 3, 1, 2)").await;
    let said = changed(&pair, &[]).await;
    assert!(said.contains("column a stands there where c does"), "{said}");
    pair.target_sql("ALTER TABLE t MODIFY c int AFTER id").await;
    carried(&pair, &[]).await;
    pair.target_sql("ALTER TABLE t DROP own").await;
    pair.assert_equal().await;
}

#[tokio::test]
async fn mysql_9_7_columns_keep_their_places() {
    keeps_places(Release::MYSQL_9_7).await;
}

#[tokio::test]
async fn mariadb_11_8_columns_keep_their_places() {
    keeps_places(Release::MARIADB_11_8).await;
}

/// Where the log names them, a column that the source does not have would be one that it dropped.
#[tokio::test]
async fn a_column_of_the_target_is_not_dropped_behind_what_was_done_by_hand() {
    let pair = MySqlPair::of(Release::MYSQL_9_7).await;
    pair.source_sql("CREATE TABLE t (id int PRIMARY KEY, a int)").await;
    carried(&pair, &[]).await;
    pair.target_sql("ALTER TABLE t ADD own int DEFAULT 7").await;
    pair.source_sql("ALTER TABLE t COMMENT 'x', ORDER BY id; INSERT INTO t VALUES (1, 2)").await;
    let place = place(&changed(&pair, &[]).await);
    carried(&pair, &["--ddl-done", &place, "--on-drop-column", "drop"]).await;
    let mut session = pair.on_target().await;
    assert_eq!(row::<i64>(&mut session, "SELECT own FROM t").await, 7);
    pair.target_sql("ALTER TABLE t DROP own").await;
    pair.assert_equal().await;
}

#[tokio::test]
async fn a_table_made_like_one_that_is_not_followed_is_the_operators() {
    let pair = without_names(Release::MYSQL_9_7).await;
    pair.source_sql("CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE model (id int PRIMARY KEY, a int, b int)")
        .await;
    let without = ["--exclude", "model"];
    carried(&pair, &without).await;
    pair.target_sql("CREATE TABLE model (id int PRIMARY KEY, b int, a int)").await;
    pair.source_sql("CREATE TABLE n LIKE model; INSERT INTO n VALUES (1, 2, 3)").await;
    let said = changed(&pair, &without).await;
    assert!(said.contains("makes a table like one"), "{said}");
    pair.target_sql("DROP TABLE model; CREATE TABLE n (id int PRIMARY KEY, b int, a int)").await;
    let place = place(&said);
    let done = [&without[..], &["--ddl-done", &place]].concat();
    let said = refused(&pair, &done).await;
    assert!(said.contains("column b stands there where a does"), "{said}");
    pair.target_sql("ALTER TABLE n MODIFY b int AFTER a").await;
    carried(&pair, &done).await;
    pair.source_sql("DROP TABLE model").await;
    pair.assert_equal().await;
}

async fn compares_character_sets(release: Release) {
    let pair = MySqlPair::of(release).await;
    let words = "(id int PRIMARY KEY, w varchar(20), e enum('é', 'o')) DEFAULT CHARACTER SET";
    pair.source_sql(&format!(
        "CREATE TABLE t {words} utf8mb4; INSERT INTO t VALUES (1, 'é', 'é');
         CREATE TABLE u (id int PRIMARY KEY, w text) DEFAULT CHARACTER SET utf8mb3;
         INSERT INTO u VALUES (1, 'é'); ALTER DATABASE app CHARACTER SET utf8mb4"
    ))
    .await;
    pair.target_sql(&format!(
        "ALTER DATABASE app CHARACTER SET utf8mb4; CREATE TABLE t {words} latin1;
         CREATE TABLE u (id int PRIMARY KEY, w text) DEFAULT CHARACTER SET utf8mb4"
    ))
    .await;
    let check = async || Dunlin::run(&pair, "check", &["--json"]).await.expect_code(3).stdout;
    let said = check().await;
    assert!(said.contains("the text of column w is in latin1 there, in utf8mb4"), "{said}");
    pair.target_sql("ALTER TABLE t MODIFY w varchar(20) CHARACTER SET utf8mb3").await;
    let said = check().await;
    assert!(said.contains("of column w is in utf8mb3 there, in utf8mb4"), "{said}");
    pair.target_sql("ALTER TABLE t MODIFY w varchar(20) CHARACTER SET utf8mb4").await;
    let said = check().await;
    assert!(said.contains("the text of column e is in latin1 there"), "{said}");
    pair.target_sql("ALTER TABLE t MODIFY e enum('é', 'o') CHARACTER SET utf8mb4").await;
    let said = check().await;
    assert!(said.contains("ALTER TABLE `app`.`t` DEFAULT CHARACTER SET utf8mb4"), "{said}");
    pair.target_sql(
        "ALTER TABLE t DEFAULT CHARACTER SET utf8mb4; ALTER DATABASE app CHARACTER SET latin1",
    )
    .await;
    let said = refused(&pair, &[]).await;
    assert!(said.contains("ALTER DATABASE `app` DEFAULT CHARACTER SET utf8mb4"), "{said}");
    pair.target_sql("ALTER DATABASE app CHARACTER SET utf8mb4").await;
    carried(&pair, &[]).await;
    pair.source_sql(
        "CREATE TABLE n (w varchar(9) PRIMARY KEY); INSERT INTO n VALUES ('ß'), ('🦢');
         ALTER TABLE t ADD x text; UPDATE t SET x = 'ü', e = 'o'; INSERT INTO t VALUES (2, 'ö', 'é', 'ä');
         UPDATE u SET w = 'ñ'",
    )
    .await;
    carried(&pair, &[]).await;
    Dunlin::run(&pair, "verify", &[]).await.expect_code(0);
    for column in ["t.x", "t.w", "t.e", "u.w", "n.w"] {
        let (table, name) = column.split_once('.').unwrap();
        let query = format!(
            "SELECT GROUP_CONCAT(HEX(CONVERT({name} USING utf8mb4)) ORDER BY HEX({name})) FROM {table}"
        );
        let (mut source, mut target) = (pair.on_source().await, pair.on_target().await);
        let there: String = row(&mut target, &query).await;
        assert_eq!(row::<String>(&mut source, &query).await, there, "{column}");
    }
}

#[tokio::test]
async fn mysql_9_7_character_sets_are_compared() {
    compares_character_sets(Release::MYSQL_9_7).await;
}

#[tokio::test]
async fn mariadb_11_8_character_sets_are_compared() {
    compares_character_sets(Release::MARIADB_11_8).await;
}

#[tokio::test]
async fn a_definition_of_a_database_that_is_missing_runs_in_no_other() {
    let pair = MySqlPair::of(Release::MYSQL_9_7).await;
    pair.source_sql("CREATE TABLE t (id int PRIMARY KEY)").await;
    let source = pair.source_url();
    let source = source.strip_suffix("/app").unwrap();
    let target = pair.target_url();
    let run = ["run", "--source", source, "--target", &target, "--until", "caught-up"];
    started(&run).await.expect_code(0);
    pair.source_sql(
        "CREATE DATABASE tools; USE tools; ALTER TABLE app.t ADD a int;
         CREATE DATABASE n; USE n; CREATE TABLE x (id int PRIMARY KEY); INSERT INTO x VALUES (3)",
    )
    .await;
    started(&run).await.expect_halt("SCHEMA_CHANGED").expect_said("lacks database n");
    let mut session = pair.on_target().await;
    let query = "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_NAME = 'x'";
    assert_eq!(row::<i64>(&mut session, query).await, 0);
    pair.target_sql("CREATE DATABASE n").await;
    started(&run).await.expect_code(0);
    assert_eq!(row::<i64>(&mut session, "SELECT id FROM n.x").await, 3);
    pair.assert_equal().await;
}
