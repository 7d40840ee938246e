//! What an operator of MySQL and MariaDB can get wrong, and what it gets: a code, a hint, the
//! documented exit status, and nothing begun on either server.

use dunlin::demo::mysql::{Release, Server, ServerOptions};
use dunlin::model::Code;
use mysql_async::prelude::Queryable;

use crate::bad_input::{halted, ids, started};
use crate::support::Dunlin;
use crate::support::binary::Finished;
use crate::support::mysql::{MySqlPair, batch};
use crate::support::pair::DATABASE;

/// The verb ends with this code and a hint, and has left nothing behind.
async fn refused(pair: &MySqlPair, arguments: &[&str], code: Code) -> Finished {
    let finished = Dunlin::run(pair, "run", &[&["--retry-for", "0s"], arguments].concat()).await;
    let finished = halted(finished, code);
    for server in [&pair.source, &pair.target] {
        assert_eq!(databases(server).await, 0, "database dunlin is there");
    }
    finished
}

async fn databases(server: &Server) -> u64 {
    let query = "SELECT COUNT(*) FROM information_schema.schemata WHERE schema_name = 'dunlin'";
    server.connect(DATABASE).await.unwrap().query_first(query).await.unwrap().unwrap()
}

async fn found(pair: &MySqlPair, severity: &str) -> Vec<String> {
    ids(&Dunlin::run(pair, "check", &["--json"]).await, severity)
}

#[tokio::test]
async fn a_mysql_source_whose_log_lacks_what_is_needed() {
    let pair = MySqlPair::of(Release::MYSQL_9_7).await;
    pair.source_sql("CREATE TABLE orders (id int PRIMARY KEY)").await;
    for (setting, usual, code) in [
        ("server_id = 0", "server_id = 1", Code::ServerId),
        ("binlog_format = 'STATEMENT'", "binlog_format = DEFAULT", Code::BinlogFormat),
        ("binlog_row_image = 'MINIMAL'", "binlog_row_image = DEFAULT", Code::BinlogFormat),
        ("binlog_row_image = 'NOBLOB'", "binlog_row_image = DEFAULT", Code::BinlogFormat),
    ] {
        pair.source_sql(&format!("SET GLOBAL {setting}")).await;
        assert_eq!(found(&pair, "block").await, [code.as_str()], "{setting}");
        refused(&pair, &[], code).await.expect_said("hint: SET GLOBAL ");
        pair.source_sql(&format!("SET GLOBAL {usual}")).await;
    }
    for (setting, id) in [
        ("binlog_row_metadata = 'MINIMAL'", "BINLOG_METADATA"),
        ("binlog_row_value_options = 'PARTIAL_JSON'", "BINLOG_PARTIAL_JSON"),
        ("binlog_expire_logs_seconds = 60", "BINLOG_EXPIRES"),
    ] {
        pair.source_sql(&format!("SET GLOBAL {setting}")).await;
        assert!(found(&pair, "warn").await.contains(&id.to_owned()), "{setting}");
    }
    // With all of these it works.
    Dunlin::run(&pair, "run", &["--until", "snapshot"]).await.expect_code(0);
    pair.source_sql("INSERT INTO orders VALUES (1)").await;
    Dunlin::run(&pair, "run", &["--until", "caught-up"]).await.expect_code(0);
    pair.assert_equal().await;
}

#[tokio::test]
async fn a_mariadb_source_whose_log_lacks_what_is_needed() {
    let pair = MySqlPair::of(Release::MARIADB_11_8).await;
    pair.source_sql("CREATE TABLE orders (id int PRIMARY KEY)").await;
    for setting in ["binlog_format = 'MIXED'", "binlog_row_image = 'MINIMAL'"] {
        pair.source_sql(&format!("SET GLOBAL {setting}")).await;
        assert_eq!(found(&pair, "block").await, ["BINLOG_FORMAT"], "{setting}");
        refused(&pair, &[], Code::BinlogFormat).await.expect_said("hint: SET GLOBAL ");
        pair.source_sql("SET GLOBAL binlog_format = 'ROW', binlog_row_image = 'FULL'").await;
    }
    pair.source_sql("SET GLOBAL binlog_row_metadata = 'NO_LOG'").await;
    assert!(found(&pair, "warn").await.contains(&"BINLOG_METADATA".to_owned()));
}

#[tokio::test]
async fn sources_without_a_log_or_without_gtids() {
    let usual = ServerOptions::from(Release::MYSQL_9_7);
    let source = usual.clone().with("gtid_mode", "OFF").with("enforce_gtid_consistency", "OFF");
    let pair = MySqlPair::with(source, usual).await;
    pair.source_sql("CREATE TABLE orders (id int PRIMARY KEY)").await;
    assert!(found(&pair, "warn").await.contains(&"GTID_OFF".to_owned()));

    for release in [Release::MYSQL_9_7, Release::MARIADB_11_8] {
        let usual = ServerOptions::from(release);
        let pair = MySqlPair::with(usual.clone().with("skip_log_bin", "ON"), usual).await;
        pair.source_sql("CREATE TABLE orders (id int PRIMARY KEY)").await;
        assert_eq!(found(&pair, "block").await, ["BINLOG_OFF"]);
        refused(&pair, &[], Code::BinlogOff).await.expect_said("set log_bin in the server's");
    }
}

#[tokio::test]
async fn tables_that_mariadb_cannot_copy() {
    let pair = MySqlPair::of(Release::MARIADB_11_8).await;
    pair.source_sql(
        "CREATE TABLE orders (id int PRIMARY KEY); CREATE TABLE log (a int) ENGINE = MyISAM;
         CREATE TABLE history (id int PRIMARY KEY) WITH SYSTEM VERSIONING;
         CREATE TABLE heap (a int)",
    )
    .await;
    assert_eq!(found(&pair, "block").await, ["TABLE_ENGINE", "TABLE_VERSIONED"]);
    assert!(found(&pair, "warn").await.contains(&"NO_KEY".to_owned()));
    let finished = refused(&pair, &[], Code::TableEngine).await;
    finished.expect_said("app.log").expect_said("ENGINE = InnoDB");
    refused(&pair, &["--exclude", "log"], Code::TableVersioned).await;
    let few = ["--exclude", "log", "--exclude", "history"];
    refused(&pair, &[&few[..], &["--exclude", "none"]].concat(), Code::PatternUnmatched).await;
}

#[tokio::test]
async fn a_mysql_target_that_is_not_set_up() {
    let pair = MySqlPair::of(Release::MYSQL_9_7).await;
    pair.source_sql("CREATE TABLE orders (id int PRIMARY KEY); CREATE TABLE heap (a int)").await;
    let writable = "super_read_only = OFF, GLOBAL read_only = OFF";
    for (setting, usual, code) in [
        ("local_infile = OFF", "local_infile = ON", Code::LocalInfile),
        ("read_only = ON", writable, Code::TargetReadOnly),
        ("super_read_only = ON", writable, Code::TargetReadOnly),
        ("max_allowed_packet = 1048576", "max_allowed_packet = DEFAULT", Code::ValueTooLarge),
        ("sql_require_primary_key = ON", "sql_require_primary_key = OFF", Code::TargetRefused),
    ] {
        pair.target_sql(&format!("SET GLOBAL {setting}")).await;
        assert_eq!(found(&pair, "block").await, [code.as_str()], "{setting}");
        refused(&pair, &[], code).await.expect_said("hint: SET GLOBAL ");
        pair.target_sql(&format!("SET GLOBAL {usual}")).await;
    }
    pair.target_sql("SET GLOBAL max_allowed_packet = 16777216").await;
    assert!(found(&pair, "warn").await.contains(&"SMALL_PACKETS".to_owned()));
    pair.target_sql("CREATE TABLE orders (id varchar(9) PRIMARY KEY); CREATE TABLE heap (a int)")
        .await;
    refused(&pair, &[], Code::TargetSchemaDiffers).await;
    pair.target_sql("DROP TABLE orders; CREATE TABLE orders (id int PRIMARY KEY)").await;
    pair.target_sql("INSERT INTO orders VALUES (7)").await;
    refused(&pair, &[], Code::TargetNotEmpty).await.expect_said("--truncate-target");
}

#[tokio::test]
async fn a_mariadb_target_that_is_not_set_up() {
    let pair = MySqlPair::of(Release::MARIADB_11_8).await;
    pair.source_sql("CREATE TABLE orders (id int PRIMARY KEY); CREATE TABLE heap (a int)").await;
    for (setting, usual, code) in [
        ("local_infile = OFF", "local_infile = ON", Code::LocalInfile),
        ("read_only = ON", "read_only = OFF", Code::TargetReadOnly),
        ("max_allowed_packet = 1048576", "max_allowed_packet = DEFAULT", Code::ValueTooLarge),
        ("innodb_force_primary_key = ON", "innodb_force_primary_key = OFF", Code::TargetRefused),
    ] {
        pair.target_sql(&format!("SET GLOBAL {setting}")).await;
        assert_eq!(found(&pair, "block").await, [code.as_str()], "{setting}");
        refused(&pair, &[], code).await.expect_said("hint: SET GLOBAL ");
        pair.target_sql(&format!("SET GLOBAL {usual}")).await;
    }
}

/// A table that the source made while it was not strict, and a target that is.
#[tokio::test]
async fn tables_that_a_strict_target_would_refuse() {
    // A row of it with all its values would fit on no page.
    let columns: Vec<_> = (1..=40).map(|n| format!("c{n} CHAR(255)")).collect();
    let columns = columns.join(", ");
    for release in [Release::MYSQL_9_7, Release::MARIADB_11_8] {
        let pair = MySqlPair::of(release).await;
        pair.source_sql(&format!(
            "SET GLOBAL innodb_strict_mode = OFF; SET SESSION innodb_strict_mode = OFF;
             CREATE TABLE wide (id int PRIMARY KEY, {columns}) CHARACTER SET latin1;
             INSERT INTO wide (id, c1) VALUES (1, 'a')"
        ))
        .await;
        if release == Release::MYSQL_9_7 {
            pair.target_sql("CREATE USER mover@'%'; GRANT ALL ON app.* TO mover@'%'").await;
            pair.target_sql("GRANT ALL ON dunlin.* TO mover@'%'").await;
            let target = pair.target_url().replace("root@", "mover@");
            let run = ["run", "--source", &pair.source_url(), "--target", &target];
            let run = [&run[..], &["--until", "snapshot", "--retry-for", "0s"]].concat();
            let finished = halted(started(&run).await, Code::SchemaRestoreFailed);
            finished.expect_said("app.wide").expect_said("innodb_strict_mode = OFF");
        }
        Dunlin::run(&pair, "run", &["--until", "snapshot"]).await.expect_code(0);
        pair.source_sql("ALTER TABLE wide ADD KEY (c1); INSERT INTO wide (id) VALUES (2)").await;
        Dunlin::run(&pair, "run", &["--until", "caught-up"]).await.expect_code(0);
        pair.assert_equal().await;
    }
}

/// With the words that would empty the source's own tables.
#[tokio::test]
async fn one_server_is_not_moved_onto_itself() {
    for release in [Release::MYSQL_9_7, Release::MARIADB_11_8] {
        let server = Server::create(&release.into()).unwrap();
        server.create_database(DATABASE).await.unwrap();
        batch(&server, "CREATE TABLE orders (id int PRIMARY KEY)").await;
        let url = server.url(DATABASE);
        let verb = ["run", "--retry-for", "0s", "--truncate-target", "*"];
        let both = ["--source", url.as_str(), "--target", url.as_str()];
        halted(started(&[&verb[..], &both].concat()).await, Code::SameDatabase);
    }
}

#[tokio::test]
async fn accounts_that_are_not_on_the_target() {
    let pair = MySqlPair::of(Release::MYSQL_9_7).await;
    pair.source_sql(
        "CREATE USER ghost@'%'; CREATE TABLE orders (id int PRIMARY KEY);
         CREATE DEFINER = ghost@'%' VIEW big AS SELECT id FROM orders",
    )
    .await;
    let report = Dunlin::run(&pair, "check", &["--json"]).await;
    assert!(ids(&report, "warn").contains(&"DEFINER_MISSING".to_owned()), "{}", report.stdout);
    assert!(report.stdout.contains("CREATE USER `ghost`@`%`"), "{}", report.stdout);
    pair.target_sql("CREATE USER ghost@'%'").await;
    assert!(!found(&pair, "warn").await.contains(&"DEFINER_MISSING".to_owned()));
    // An account that may neither see the others nor make anything in their name.
    pair.target_sql(
        "CREATE USER mover@'%'; GRANT ALL ON app.* TO mover@'%'; GRANT ALL ON dunlin.* TO mover@'%'",
    )
    .await;
    let target = pair.target_url().replace("root@", "mover@");
    let check = ["check", "--json", "--source", &pair.source_url(), "--target", &target];
    let report = started(&check).await;
    assert_eq!(ids(&report, "block"), ["PRIVILEGE_MISSING"]);
    assert!(report.stdout.contains("GRANT SET_ANY_DEFINER ON *.* TO `mover`"), "{}", report.stdout);
    assert!(ids(&report, "warn").contains(&"DEFINERS_UNKNOWN".to_owned()), "{}", report.stdout);
}
