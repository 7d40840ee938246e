//! Definitions that are changed on a MySQL or MariaDB source while its log is followed.

use dunlin::demo::mysql::{Release, Server, ServerOptions};
use mysql_async::prelude::Queryable;

use crate::support::binary::Finished;
use crate::support::mysql::{MySqlPair, row};
use crate::support::steps::Held;
use crate::support::{Dunlin, wait_until};

const TABLES: &str = "
CREATE TABLE account (id bigint PRIMARY KEY AUTO_INCREMENT, owner varchar(40) NOT NULL,
    balance decimal(12,2) NOT NULL, note text, KEY by_owner (owner));
CREATE TABLE transfer (id int unsigned NOT NULL, part smallint NOT NULL, account bigint NOT NULL,
    at datetime(6), PRIMARY KEY (id, part),
    CONSTRAINT of_account FOREIGN KEY (account) REFERENCES account (id));
CREATE TABLE label (word varchar(30) PRIMARY KEY, meaning json);
CREATE TABLE heap (a int, b varchar(20));
INSERT INTO account (owner, balance, note) VALUES ('ann', 10.5, NULL), ('bob', -3, ''), ('cyd', 0, 'x');
INSERT INTO transfer SELECT id, 1, id, now(6) FROM account;
INSERT INTO label VALUES ('one', '1'), ('two', 'true');
INSERT INTO heap VALUES (1, 'x'), (1, 'x'), (NULL, NULL);
";

/// Each with changes of rows that need it.
const DEFINITIONS: &[&str] = &[
    "INSERT INTO account (owner, balance) VALUES ('old', 1);
     ALTER TABLE account ADD COLUMN level int NOT NULL DEFAULT 7 AFTER owner;
     UPDATE account SET level = id WHERE id < 3",
    "ALTER TABLE account ADD made timestamp(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6);
     INSERT INTO account (owner, balance) VALUES ('made', 2)",
    "UPDATE account SET note = 'last' WHERE id = 2; ALTER TABLE account DROP COLUMN note;
     DELETE FROM transfer WHERE account = 1; DELETE FROM account WHERE id = 1",
    "ALTER TABLE account CHANGE owner holder varchar(80) NOT NULL, ADD extra text FIRST;
     INSERT INTO account (extra, holder, balance) VALUES ('e', 'changed', 3)",
    "ALTER TABLE account MODIFY balance decimal(14,4) DEFAULT 1.5 AFTER id;
     INSERT INTO account (holder) VALUES ('moved'); UPDATE account SET balance = 0.1234 WHERE id = 3",
    "ALTER TABLE account RENAME COLUMN holder TO extra, RENAME COLUMN extra TO holder;
     INSERT INTO account (extra, holder) VALUES ('swapped', 's')",
    "ALTER TABLE account DROP INDEX by_owner, ADD INDEX by_level (level), COMMENT 'it''s, (new)'",
    "CREATE UNIQUE INDEX one ON label (word, tag); INSERT INTO label VALUES ('three', '3', 'x')",
    "DROP INDEX one ON label; DELETE FROM label WHERE word = 'one'",
    "INSERT INTO heap VALUES (5, 'gone'); TRUNCATE TABLE heap; INSERT INTO heap VALUES (2, 'y')",
    "CREATE TABLE later (id int PRIMARY KEY, t text); INSERT INTO later VALUES (1, 'a'), (2, NULL)",
    "CREATE TABLE picked AS SELECT id, level FROM account; UPDATE picked SET level = 1 WHERE id = 3",
    "CREATE TABLE alike LIKE later; INSERT INTO alike VALUES (7, 'alike')",
    "RENAME TABLE later TO former, alike TO later; INSERT INTO later VALUES (8, 'l');
     INSERT INTO former VALUES (9, 'f')",
    "RENAME TABLE former TO swap, later TO former, swap TO later; INSERT INTO later VALUES (10, 'l');
     INSERT INTO former VALUES (11, 'f')",
    "DROP TABLE picked; CREATE TABLE picked (other varchar(9) PRIMARY KEY);
     INSERT INTO picked VALUES ('again')",
    "ALTER TABLE heap RENAME TO pile, ADD c int DEFAULT 4; DELETE FROM pile LIMIT 1;
     INSERT INTO pile VALUES (1, 'p', NULL)",
    "ALTER TABLE picked DROP PRIMARY KEY, ADD id int NOT NULL, ADD PRIMARY KEY (id);
     UPDATE picked SET id = 5",
    "CREATE TABLE stamp (id int PRIMARY KEY); INSERT INTO stamp VALUES (1), (2);
     SET SESSION explicit_defaults_for_timestamp = OFF; ALTER TABLE stamp ADD made timestamp;
     UPDATE stamp SET id = 3 WHERE id = 2;
     SET SESSION explicit_defaults_for_timestamp = ON; ALTER TABLE stamp ADD seen timestamp",
    "ALTER TABLE later CONVERT TO CHARACTER SET latin1; INSERT INTO later VALUES (12, 'é')",
];

const FIRST: &str = "ALTER TABLE label ADD COLUMN tag varchar(20) DEFAULT (concat('a', 'b'))";

const CARRY: &[&str] =
    &["--until", "caught-up", "--on-drop-column", "drop", "--on-drop-table", "drop"];

/// The columns and indexes of all tables, as text.
async fn definitions(server: &Server) -> Vec<String> {
    let mut session = server.connect("app").await.unwrap();
    session
        .query(
            "SELECT CONCAT_WS(' ', TABLE_NAME, ORDINAL_POSITION, COLUMN_NAME, COLUMN_TYPE, IS_NULLABLE,
                COALESCE(COLUMN_DEFAULT, '-'), EXTRA, COALESCE(COLLATION_NAME, '-'))
             FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = 'app'
             UNION ALL
             SELECT CONCAT_WS(' ', TABLE_NAME, INDEX_NAME, SEQ_IN_INDEX, COLUMN_NAME, NON_UNIQUE)
             FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = 'app'
             UNION ALL
             SELECT CONCAT_WS(' ', TABLE_NAME, TABLE_COLLATION, TABLE_COMMENT)
             FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'app'
             ORDER BY 1",
        )
        .await
        .unwrap()
}

async fn assert_same(pair: &MySqlPair) {
    assert_eq!(definitions(&pair.source).await, definitions(&pair.target).await);
    pair.assert_equal().await;
}

async fn begun(release: Release) -> MySqlPair {
    let pair = MySqlPair::of(release).await;
    pair.source_sql(TABLES).await;
    Dunlin::run(&pair, "run", &["--until", "caught-up"]).await.expect_code(0);
    pair
}

/// All while nobody follows: the log's old events meet tables that are others by now.
async fn carries_definitions(release: Release) {
    let pair = begun(release).await;
    pair.source_sql(FIRST).await;
    for definition in DEFINITIONS {
        pair.source_sql(definition).await;
    }
    Dunlin::run(&pair, "run", CARRY).await.expect_code(0);
    assert_same(&pair).await;
    Dunlin::run(&pair, "complete", &[]).await.expect_code(0);
}

#[tokio::test]
async fn mysql_9_7_definitions_are_carried_at_their_places() {
    carries_definitions(Release::MYSQL_9_7).await;
}

#[tokio::test]
async fn mariadb_11_8_definitions_are_carried_at_their_places() {
    carries_definitions(Release::MARIADB_11_8).await;
}

#[tokio::test]
async fn mariadb_10_11_definitions_are_carried_at_their_places() {
    carries_definitions(Release::MARIADB_10_11).await;
}

/// On such a target the first TIMESTAMP column that does not say otherwise is NOT NULL and changes with
/// each change of its row.
#[tokio::test]
async fn timestamps_are_what_they_are_on_the_source_whatever_the_targets_default_is() {
    for release in [Release::MYSQL_9_7, Release::MARIADB_11_8] {
        let target = ServerOptions::from(release).with("explicit_defaults_for_timestamp", "OFF");
        let pair = MySqlPair::with(release.into(), target).await;
        pair.source_sql(
            "CREATE TABLE seen (id int PRIMARY KEY, at timestamp NOT NULL, n int);
             CREATE TABLE later (id int PRIMARY KEY, n int);
             INSERT INTO seen VALUES (1, '2020-02-02 02:02:02', 1); INSERT INTO later VALUES (1, 1)",
        )
        .await;
        Dunlin::run(&pair, "run", &["--until", "caught-up"]).await.expect_code(0);
        pair.source_sql(
            "ALTER TABLE later ADD at timestamp; UPDATE seen SET n = 2; UPDATE later SET n = 2",
        )
        .await;
        Dunlin::run(&pair, "run", CARRY).await.expect_code(0);
        assert_same(&pair).await;
    }
}

/// Before a definition is run, behind it, and when it is recorded.
const POINTS: [&str; 3] = ["definition-intended", "definition-run", "definition-recorded"];

/// Killed once for each definition, at one point after the other.
async fn survives_kills(release: Release, first: usize) {
    let pair = begun(release).await;
    pair.source_sql(FIRST).await;
    for (number, definition) in DEFINITIONS.iter().enumerate() {
        pair.source_sql(definition).await;
        let point = POINTS[(first + number) % POINTS.len()];
        let mut run = Dunlin::start_with_failpoint(&pair, "run", CARRY, point);
        run.reaches(point).await;
        run.kill().await;
    }
    Dunlin::run(&pair, "run", CARRY).await.expect_code(0);
    assert_same(&pair).await;
}

#[tokio::test]
async fn mysql_9_7_definitions_survive_kills() {
    survives_kills(Release::MYSQL_9_7, 0).await;
}

#[tokio::test]
async fn mariadb_11_8_definitions_survive_kills() {
    survives_kills(Release::MARIADB_11_8, 1).await;
}

/// One that was asleep between its intent and the definition, while another process carried that out and
/// went on.
#[tokio::test]
async fn who_lost_the_migration_runs_no_definition() {
    let pair = begun(Release::MYSQL_9_7).await;
    pair.source_sql("TRUNCATE TABLE heap; INSERT INTO heap VALUES (2, 'y')").await;
    let (source, target) = (pair.source_url(), pair.target_url());
    let mut command = Dunlin::command(&["run", "--source", &source, "--target", &target]);
    command.args(CARRY);
    let asleep = Held::at(command, "definition-intended").await;

    let mut session = pair.target.connect("app").await.unwrap();
    let claims = "SELECT DISTINCT processlist_id FROM performance_schema.metadata_locks \
         JOIN performance_schema.threads ON thread_id = owner_thread_id \
         WHERE object_type = 'USER LEVEL LOCK'";
    let claims: Vec<u64> = session.query(claims).await.unwrap();
    assert!(!claims.is_empty());
    for claim in claims {
        session.query_drop(format!("KILL {claim}")).await.unwrap();
    }
    Dunlin::run(&pair, "run", CARRY).await.expect_code(0);
    assert_same(&pair).await;

    asleep.let_go();
    let told = asleep.dunlin.finished().await;
    assert_ne!(told.code(), 0, "{told:?}");
    assert_same(&pair).await;
}

async fn halted(pair: &MySqlPair, arguments: &[&str]) -> Finished {
    let arguments = [&["--until", "caught-up"], arguments].concat();
    Dunlin::run(pair, "run", &arguments).await.expect_halt("SCHEMA_CHANGED")
}

#[tokio::test]
async fn what_comes_and_what_goes_for_ever_is_the_operators_case() {
    let pair = begun(Release::MYSQL_9_7).await;
    pair.source_sql("ALTER TABLE account DROP COLUMN note").await;
    halted(&pair, &[]).await.expect_said("--on-drop-column drop");
    pair.source_sql("DROP TABLE heap").await;
    halted(&pair, &["--on-drop-column", "drop"])
        .await
        .expect_said("DROP TABLE `heap`")
        .expect_said("--on-drop-table drop or keep");
    pair.source_sql("CREATE TABLE came (id int PRIMARY KEY); INSERT INTO came VALUES (1)").await;
    let keeping = ["--on-drop-table", "keep", "--on-create-table", "halt"];
    halted(&pair, &keeping).await.expect_said("--on-create-table create or ignore");
    pair.source_sql("DROP TABLE label; INSERT INTO account VALUES (9, 'ida', 1)").await;
    let ignoring =
        ["--until", "caught-up", "--on-drop-table", "drop", "--on-create-table", "ignore"];
    Dunlin::run(&pair, "run", &ignoring).await.expect_code(0).expect_said("is left out");
    pair.source_sql("DROP TABLE came").await;
    Dunlin::run(&pair, "run", &["--until", "caught-up"]).await.expect_code(0);
    pair.target_sql("DROP TABLE heap").await;
    assert_same(&pair).await;
}

#[tokio::test]
async fn what_is_not_understood_halts_until_it_is_seen_to_or_passed_by() {
    let pair = begun(Release::MYSQL_9_7).await;
    let partitions = "ALTER TABLE label PARTITION BY KEY (word) PARTITIONS 3";
    pair.source_sql(partitions).await;
    pair.source_sql("INSERT INTO label VALUES ('three', '3')").await;
    let said = halted(&pair, &[]).await.stderr;
    let place = said.split("--ddl-done '").nth(1).unwrap().split('\'').next().unwrap();
    halted(&pair, &[]).await.expect_said(place);
    pair.target_sql(partitions).await;
    let done = ["--until", "caught-up", "--ddl-done", place];
    Dunlin::run(&pair, "run", &done).await.expect_code(0);
    assert_same(&pair).await;
    pair.source_sql("ALTER TABLE account ORDER BY owner; ALTER DATABASE app COLLATE latin1_bin")
        .await;
    pair.source_sql("INSERT INTO account (owner, balance) VALUES ('eve', 3)").await;
    halted(&pair, &[]).await.expect_said("ALTER TABLE ACCOUNT");
    let passing = ["--until", "caught-up", "--on-other-ddl", "pass"];
    Dunlin::run(&pair, "run", &passing)
        .await
        .expect_code(0)
        .expect_said("ALTER TABLE ACCOUNT")
        .expect_said("ALTER DATABASE APP");
    pair.assert_equal().await;
}

#[tokio::test]
async fn a_table_that_is_made_in_a_way_not_understood_is_followed_once_it_is_seen_to() {
    let pair = begun(Release::MARIADB_11_8).await;
    let made = "CREATE OR REPLACE TABLE came (id int PRIMARY KEY, note text)";
    pair.source_sql(&format!("{made}; INSERT INTO came VALUES (1, 'lost?')")).await;
    // The other policy is no way round it.
    let said = halted(&pair, &["--on-other-ddl", "pass"]).await;
    let said = said.expect_said("--on-create-table ignore").stderr;
    let place = said.split("--ddl-done '").nth(1).unwrap().split('\'').next().unwrap();
    pair.target_sql(made).await;
    let done = ["--until", "caught-up", "--ddl-done", place];
    Dunlin::run(&pair, "run", &done).await.expect_code(0);
    assert_same(&pair).await;
    pair.source_sql("INSERT INTO came VALUES (2, 'followed')").await;
    Dunlin::run(&pair, "run", &["--until", "caught-up"]).await.expect_code(0);
    assert_same(&pair).await;
    pair.source_sql(
        "CREATE OR REPLACE TABLE came (id int PRIMARY KEY); INSERT INTO came VALUES (3)",
    )
    .await;
    halted(&pair, &["--on-other-ddl", "pass"]).await.expect_said("in a way that is not understood");
}

/// As mysqldump writes it: in a comment that is for some versions only.
#[tokio::test]
async fn the_rows_of_a_table_in_a_comment_for_versions_are_not_lost() {
    let pair = begun(Release::MYSQL_9_7).await;
    let made = "CREATE TABLE came (id int PRIMARY KEY, n int /*!80023 INVISIBLE */)";
    pair.source_sql(&format!("{made}; INSERT INTO came (id, n) VALUES (1, 2)")).await;
    let said = halted(&pair, &["--on-other-ddl", "pass"]).await;
    let said = said.expect_said("makes a selected table").stderr;
    let place = said.split("--ddl-done '").nth(1).unwrap().split('\'').next().unwrap();
    pair.target_sql(made).await;
    Dunlin::run(&pair, "run", &["--until", "caught-up", "--ddl-done", place]).await.expect_code(0);
    assert_same(&pair).await;

    // The name itself is not to be read, as the session's character set is no UTF-8.
    let mut session = pair.on_source().await;
    session.query_drop("SET NAMES latin1").await.unwrap();
    let made = b"CREATE TABLE t\xE9 (id int PRIMARY KEY)";
    session.query_drop(&made[..]).await.unwrap();
    session.query_drop(&b"INSERT INTO t\xE9 VALUES (1)"[..]).await.unwrap();
    let said = halted(&pair, &["--on-other-ddl", "pass"]).await;
    let said = said.expect_said("whose name cannot be read").stderr;
    let place = said.split("--ddl-done '").nth(1).unwrap().split('\'').next().unwrap();
    pair.target_sql("CREATE TABLE té (id int PRIMARY KEY)").await;
    Dunlin::run(&pair, "run", &["--until", "caught-up", "--ddl-done", place]).await.expect_code(0);
    assert_same(&pair).await;
}

/// In a database in which nothing was followed until then.
#[tokio::test]
async fn a_table_in_another_database_is_known_by_its_name_though_the_rest_is_not_understood() {
    let pair = MySqlPair::of(Release::MYSQL_9_7).await;
    pair.source_sql(TABLES).await;
    let all = |url: String| url.replace("/app", "/");
    let (source, target) = (all(pair.source_url()), all(pair.target_url()));
    let run = |until: &'static str| {
        Dunlin::start_command(Dunlin::command(&[
            "run", "--source", &source, "--target", &target, "--until", until,
        ]))
    };
    run("caught-up").finished().await.expect_code(0);
    pair.source_sql(
        "CREATE DATABASE fresh; USE fresh; CREATE TABLE t (id int /*!80023 INVISIBLE */, n int); \
         INSERT INTO t (id, n) VALUES (1, 2)",
    )
    .await;
    run("caught-up").finished().await.expect_halt("SCHEMA_CHANGED");
}

/// The rows stand in the same transaction.
async fn a_table_with_its_rows_is_left_out(release: Release) {
    let pair = begun(release).await;
    pair.source_sql(
        "CREATE TABLE picked AS SELECT id, owner FROM account; UPDATE picked SET owner = 'x'; \
         INSERT INTO account (owner, balance) VALUES ('eve', 3)",
    )
    .await;
    let ignoring = ["--until", "caught-up", "--on-create-table", "ignore"];
    let run = Dunlin::run(&pair, "run", &ignoring).await.expect_code(0);
    run.expect_said("is left out");
    pair.source_sql("UPDATE account SET balance = 4 WHERE owner = 'eve'; DROP TABLE picked").await;
    Dunlin::run(&pair, "run", &ignoring).await.expect_code(0);
    assert_same(&pair).await;
}

#[tokio::test]
async fn mysql_9_7_a_table_with_its_rows_is_left_out() {
    a_table_with_its_rows_is_left_out(Release::MYSQL_9_7).await;
}

#[tokio::test]
async fn mariadb_11_8_a_table_with_its_rows_is_left_out() {
    a_table_with_its_rows_is_left_out(Release::MARIADB_11_8).await;
}

#[tokio::test]
async fn what_the_target_refuses_is_run_once_it_is_mended() {
    let pair = begun(Release::MARIADB_11_8).await;
    pair.target_sql("ALTER TABLE account ADD extra int").await;
    pair.source_sql("ALTER TABLE account ADD extra bigint; UPDATE account SET extra = id << 33")
        .await;
    halted(&pair, &[]).await.expect_said("--ddl-done");
    pair.target_sql("ALTER TABLE account DROP extra").await;
    Dunlin::run(&pair, "run", &["--until", "caught-up"]).await.expect_code(0);
    assert_same(&pair).await;
}

#[tokio::test]
async fn cascades_that_the_source_will_not_log_halt() {
    let pair = begun(Release::MARIADB_11_8).await;
    pair.source_sql(
        "ALTER TABLE transfer ADD FOREIGN KEY (account) REFERENCES account (id) ON DELETE CASCADE",
    )
    .await;
    Dunlin::run(&pair, "run", &["--until", "caught-up"])
        .await
        .expect_code(3)
        .expect_said("CASCADE_UNLOGGED");
}

/// MariaDB logs such an alteration where it begins and where it ends.
#[tokio::test]
async fn mariadb_11_8_alterations_in_two_phases_are_carried_once() {
    let pair = begun(Release::MARIADB_11_8).await;
    pair.source_sql(
        "SET SESSION binlog_alter_two_phase = 1; ALTER TABLE heap ADD c int DEFAULT 3; INSERT INTO \
         heap VALUES (7, 'seven', 7)",
    )
    .await;
    Dunlin::run(&pair, "run", CARRY).await.expect_code(0);
    assert_same(&pair).await;
}

/// What gh-ost and pt-online-schema-change do, by hand.
const ONLINE: &str = "
CREATE TABLE _account_new LIKE account;
ALTER TABLE _account_new ADD COLUMN fresh int DEFAULT 3, MODIFY note varchar(99);
INSERT INTO _account_new (id, owner, balance, note) SELECT id, owner, balance, note FROM account
    WHERE id <= 2;
UPDATE account SET balance = 77 WHERE id = 1;
REPLACE INTO _account_new (id, owner, balance, note) SELECT id, owner, balance, note FROM account;
RENAME TABLE account TO _account_old, _account_new TO account;
INSERT INTO account (owner, balance, fresh) VALUES ('fresh', 5, 6);
";

async fn a_tool_exchanges_a_table(release: Release) {
    let pair = begun(release).await;
    pair.source_sql("ALTER TABLE transfer DROP FOREIGN KEY of_account").await;
    pair.source_sql(ONLINE).await;
    pair.source_sql("DROP TABLE _account_old").await;
    Dunlin::run(&pair, "run", CARRY).await.expect_code(0);
    assert_same(&pair).await;
}

#[tokio::test]
async fn mysql_9_7_a_table_that_a_tool_exchanges_is_carried_with_its_shadow() {
    a_tool_exchanges_a_table(Release::MYSQL_9_7).await;
}

#[tokio::test]
async fn mariadb_10_11_a_table_that_a_tool_exchanges_is_carried_with_its_shadow() {
    a_tool_exchanges_a_table(Release::MARIADB_10_11).await;
}

/// Some tables are copied before their columns come, others behind it.
#[tokio::test]
async fn columns_that_come_amid_the_copy_are_carried() {
    let pair = MySqlPair::of(Release::MYSQL_9_7).await;
    pair.source_sql(TABLES).await;
    let mut run =
        Dunlin::start_with_failpoint(&pair, "run", &["--workers", "1"], "chunk-committed");
    run.reaches("chunk-committed").await;
    run.kill().await;
    for table in ["account", "transfer", "label", "heap"] {
        let alter =
            format!("ALTER TABLE {table} ADD extra int DEFAULT 5; UPDATE {table} SET extra = 6");
        pair.source_sql(&alter).await;
    }
    Dunlin::run(&pair, "run", CARRY).await.expect_code(0);
    assert_same(&pair).await;
}

const LOADING: &str = "SELECT count(*) FROM information_schema.PROCESSLIST
    WHERE INFO LIKE 'LOAD DATA LOCAL %account%'";

/// Emptied between the snapshot and the copy, as a table is that is emptied all the time: what it
/// held at the snapshot is not copied, now or later. One that was altered before it was emptied is.
async fn emptied_before_the_copy(release: Release) {
    let pair = MySqlPair::of(release).await;
    pair.source_sql(TABLES).await;
    let words = ["--workers", "1", "--until", "snapshot"];
    let mut run = Dunlin::start_with_failpoint(&pair, "run", &words, "chunks-planned");
    run.reaches("chunks-planned").await;
    run.kill().await;
    let mut locker = pair.on_target().await;
    locker.query_drop("BEGIN; SELECT * FROM account FOR UPDATE").await.unwrap();
    let mut observer = pair.on_target().await;
    let run = Dunlin::start(&pair, "run", &words);
    wait_until("the first table is copied", async || row::<i64>(&mut observer, LOADING).await > 0)
        .await;
    pair.source_sql(
        "INSERT INTO heap VALUES (3, 'before'); DELETE FROM heap WHERE a = 1 LIMIT 1; \
         TRUNCATE TABLE heap; INSERT INTO heap VALUES (4, 'gone'); TRUNCATE heap; \
         INSERT INTO heap VALUES (5, 'stays'); DELETE FROM transfer WHERE id = 1; \
         TRUNCATE TABLE transfer; INSERT INTO transfer VALUES (1, 1, 2, '2026-01-01'); \
         ALTER TABLE label ADD COLUMN tag varchar(20) DEFAULT 'a'; TRUNCATE TABLE label; \
         INSERT INTO label VALUES ('three', '3', 'b')",
    )
    .await;
    locker.query_drop("COMMIT").await.unwrap();
    let finished = run.finished().await.expect_code(0);
    let followed: Vec<&str> =
        finished.stderr.lines().filter(|line| line.contains("was emptied")).collect();
    for (table, spared) in [("app.heap", true), ("app.transfer", true), ("app.label", false)] {
        let emptied =
            |line: &&str| line.contains("it is followed from there") && line.contains(table);
        assert_eq!(followed.iter().any(emptied), spared, "{table}:\n{}", finished.stderr);
    }
    pair.source_sql("TRUNCATE TABLE heap; INSERT INTO heap VALUES (6, 'last'), (NULL, NULL)").await;
    Dunlin::run(&pair, "run", CARRY).await.expect_code(0);
    assert_same(&pair).await;
}

#[tokio::test]
async fn mysql_9_7_tables_that_are_emptied_all_the_time_need_no_copy() {
    emptied_before_the_copy(Release::MYSQL_9_7).await;
}

#[tokio::test]
async fn mariadb_11_8_tables_that_are_emptied_all_the_time_need_no_copy() {
    emptied_before_the_copy(Release::MARIADB_11_8).await;
}
