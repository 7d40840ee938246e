//! What acts by itself: triggers and events rest on the target until the end of the migration, and
//! are then what they were on the source.

use dunlin::demo::mysql::{Release, Server};
use mysql_async::prelude::Queryable;
use mysql_async::{Row, Value};

use crate::support::mysql::{MySqlPair, row};
use crate::support::pair::DATABASE;
use crate::support::{Dunlin, wait_until};

const ACCOUNT: &str = "CREATE USER teller@'%'; GRANT ALL ON app.* TO teller@'%'";

const TABLES: &str = "
CREATE TABLE account (id int PRIMARY KEY, balance int NOT NULL, note varchar(40));
CREATE TABLE journal (n int PRIMARY KEY AUTO_INCREMENT, account int, said varchar(60));
INSERT INTO account VALUES (1, 10, 'a'), (2, 20, 'b');
CREATE DEFINER = teller@'%' TRIGGER z_first AFTER UPDATE ON account FOR EACH ROW
    INSERT INTO journal (account, said) VALUES (NEW.id, 'first');
CREATE DEFINER = teller@'%' EVENT `the ENABLE event` ON SCHEDULE EVERY 1 YEAR
    STARTS '2030-01-01 00:00:00' COMMENT 'yearly' DO DELETE FROM journal;
CREATE EVENT resting ON SCHEDULE EVERY 1 YEAR DISABLE DO DELETE FROM journal;
";

/// In latin1 and under a mode of its own; it fires second, by the order of creation.
const SECOND: &[u8] = b"CREATE TRIGGER a_second AFTER UPDATE ON account FOR EACH ROW
    INSERT INTO \"journal\" (account, said) VALUES (NEW.id, 'zw\xf6lf')";

async fn prepare(pair: &MySqlPair) {
    pair.source_sql(ACCOUNT).await;
    pair.target_sql(ACCOUNT).await;
    let mut session = pair.on_source().await;
    // One by one: what is sent along with others keeps the semicolon behind it on MySQL.
    for statement in TABLES.split(";\n").filter(|statement| !statement.trim().is_empty()) {
        session.query_drop(statement).await.unwrap();
    }
    session.query_drop("SET NAMES latin1; SET sql_mode = 'ANSI_QUOTES'").await.unwrap();
    session.query_drop(SECOND).await.unwrap();
}

/// What the server shows of triggers and events, without the moment of their creation.
async fn shown(server: &Server) -> Vec<Vec<String>> {
    let mut session = server.connect(DATABASE).await.unwrap();
    let mut all = Vec::new();
    let listed = "SELECT CONCAT('SHOW CREATE TRIGGER `', trigger_name, '`') \
                  FROM information_schema.triggers WHERE trigger_schema = 'app' \
                  UNION ALL SELECT CONCAT('SHOW CREATE EVENT `', event_name, '`') \
                  FROM information_schema.events WHERE event_schema = 'app' ORDER BY 1";
    let statements: Vec<String> = session.query(listed).await.unwrap();
    for statement in statements {
        let row: Row = row(&mut session, &statement).await;
        let created = row.columns_ref().iter().position(|column| column.name_str() == "Created");
        let mut values = row.unwrap();
        if let Some(created) = created {
            values.remove(created);
        }
        all.push(texts(values));
    }
    let order: Vec<Row> = session
        .query(
            "SELECT trigger_name, action_order, definer FROM information_schema.triggers \
             WHERE trigger_schema = 'app' ORDER BY 1",
        )
        .await
        .unwrap();
    all.extend(order.into_iter().map(|row| texts(row.unwrap())));
    all
}

fn texts(values: Vec<Value>) -> Vec<String> {
    values.iter().map(|value| value.as_sql(true)).collect()
}

/// How many triggers there are, and how many events are enabled.
async fn acting(server: &Server) -> (u64, u64) {
    let mut session = server.connect(DATABASE).await.unwrap();
    row(
        &mut session,
        "SELECT (SELECT COUNT(*) FROM information_schema.triggers WHERE trigger_schema = 'app'), \
         (SELECT COUNT(*) FROM information_schema.events \
          WHERE event_schema = 'app' AND status = 'ENABLED')",
    )
    .await
}

async fn rest_until_the_end(release: Release) {
    let pair = MySqlPair::of(release).await;
    prepare(&pair).await;
    let names =
        ["trigger app.z_first", "trigger app.a_second", "event app.the ENABLE event enabled"];
    let plan = Dunlin::run(&pair, "plan", &[]).await.expect_code(0);
    Dunlin::run(&pair, "run", &["--until", "caught-up"]).await.expect_code(0);
    assert_eq!(acting(&pair.target).await, (0, 0));
    let status = Dunlin::run(&pair, "status", &[]).await.expect_code(0);
    for name in names {
        assert!(plan.stdout.contains(name), "{name} in {}", plan.stdout);
        assert!(status.stdout.contains(name), "{name} in {}", status.stdout);
    }
    pair.source_sql("UPDATE account SET balance = balance + 1").await;
    Dunlin::run(&pair, "run", &["--until", "caught-up"]).await.expect_code(0);
    pair.assert_equal().await;
    let source = shown(&pair.source).await;
    Dunlin::run(&pair, "complete", &[]).await.expect_code(0);
    assert_eq!(shown(&pair.target).await, source);

    // What stands on the target by now rests again.
    let again = ["--truncate-target", "*", "--until", "caught-up"];
    let mut run = Dunlin::start_with_failpoint(&pair, "run", &again, "migration-created");
    run.reaches("migration-created").await;
    run.kill().await;
    pair.source_sql("UPDATE account SET balance = balance + 1").await;
    Dunlin::run(&pair, "run", &again).await.expect_code(0);
    assert_eq!(acting(&pair.target).await, (0, 0));
    pair.assert_equal().await;
    Dunlin::run(&pair, "complete", &[]).await.expect_code(0);
    assert_eq!(shown(&pair.target).await, source);
}

#[tokio::test]
async fn mysql_triggers_and_events_rest_until_the_end() {
    rest_until_the_end(Release::MYSQL_9_7).await;
}

#[tokio::test]
async fn mariadb_triggers_and_events_rest_until_the_end() {
    rest_until_the_end(Release::MARIADB_11_8).await;
}

/// One moves on to the target in time, and the source has run it when the migration ends.
const ONCE: &str = "
SET GLOBAL event_scheduler = OFF; CREATE TABLE journal (n int PRIMARY KEY);
CREATE EVENT gone ON SCHEDULE AT NOW() + INTERVAL 3 SECOND DO INSERT INTO journal VALUES (1);
CREATE EVENT kept ON SCHEDULE AT NOW() + INTERVAL 3 SECOND ON COMPLETION PRESERVE
    DO INSERT INTO journal VALUES (2);
CREATE EVENT later ON SCHEDULE AT NOW() + INTERVAL 9 DAY DO INSERT INTO journal VALUES (3);
";

async fn events_that_are_over_do_not_run_again(release: Release) {
    let pair = MySqlPair::of(release).await;
    pair.source_sql(ONCE).await;
    Dunlin::run(&pair, "run", &["--until", "caught-up"]).await.expect_code(0);
    let mut session = pair.on_source().await;
    let over = "SELECT MAX(execute_at) < NOW() FROM information_schema.events \
                WHERE event_name IN ('gone', 'kept')";
    wait_until("the moment is over", async || row::<bool>(&mut session, over).await).await;
    Dunlin::run(&pair, "complete", &[]).await.expect_code(0);
    let left = "SELECT event_name, status FROM information_schema.events ORDER BY 1";
    let left: Vec<(String, String)> = pair.on_target().await.query(left).await.unwrap();
    let expected = [("kept", "DISABLED"), ("later", "ENABLED")];
    assert_eq!(left, expected.map(|(name, status)| (name.to_owned(), status.to_owned())));
}

#[tokio::test]
async fn mysql_events_that_are_over_do_not_run_again() {
    events_that_are_over_do_not_run_again(Release::MYSQL_9_7).await;
}

#[tokio::test]
async fn mariadb_events_that_are_over_do_not_run_again() {
    events_that_are_over_do_not_run_again(Release::MARIADB_11_8).await;
}
