//! The harness for MySQL and MariaDB: servers are private and keep their data over a crash, and
//! the comparison sees every difference there can be.

use std::fs;
use std::path::Path;
use std::thread;

use dunlin::demo::DemoError;
use dunlin::demo::mysql::digest::digest;
use dunlin::demo::mysql::{Release, Server, ServerOptions};

use crate::support::mysql::{MySqlPair, batch, create_every_type, keeps_signs_of_zeros, row};
use crate::support::pair::DATABASE;

/// One of each, started at the same time.
fn every_server() -> Vec<Server> {
    thread::scope(|scope| {
        let create = |release: Release| move || Server::create(&release.into()).unwrap();
        let started = Release::ALL.map(|release| scope.spawn(create(release)));
        started.into_iter().map(|server| server.join().unwrap()).collect()
    })
}

#[tokio::test]
async fn mysql_servers_keep_every_type_over_a_restart_and_a_crash() {
    for mut server in every_server() {
        server.create_database(DATABASE).await.unwrap();
        create_every_type(&server).await;
        let before = digest(&server, DATABASE).await.unwrap();
        assert!(before.len() >= 13, "{}: {:?}", server.release(), before.keys());
        assert_eq!(before["numbers"].rows, 6);
        let port = server.port();
        server.stop().unwrap();
        server.start().unwrap();
        assert_eq!(digest(&server, DATABASE).await.unwrap(), before);
        batch(&server, "INSERT INTO nothing VALUES (1)").await;
        server.crash().unwrap();
        server.start().unwrap();
        assert_eq!(server.port(), port);
        let after = digest(&server, DATABASE).await.unwrap();
        let differing: Vec<_> =
            before.keys().filter(|name| before[*name] != after[*name]).collect();
        assert_eq!(differing, ["nothing"]);
        let folder = server.folder().to_owned();
        drop(server);
        assert!(!fs::exists(folder).unwrap());
    }
}

#[tokio::test]
async fn mysql_servers_log_rows_whole_and_are_not_one() {
    for release in Release::ALL {
        let pair = MySqlPair::of(release).await;
        let mut session = pair.on_source().await;
        let settings = "SELECT @@log_bin, @@binlog_format, @@binlog_row_image, \
             @@binlog_row_metadata, @@local_infile";
        let settings: (u8, String, String, String, u8) = row(&mut session, settings).await;
        let words = |word: &str| word.to_owned();
        assert_eq!(settings, (1, words("ROW"), words("FULL"), words("FULL"), 1));
        let identity = match release.is_mariadb() {
            true => "SELECT CAST(@@server_id AS CHAR)",
            false => "SELECT @@server_uuid",
        };
        let source: String = row(&mut session, identity).await;
        let target: String = row(&mut pair.on_target().await, identity).await;
        assert_ne!(source, target);
    }
}

#[tokio::test]
async fn mysql_digests_are_equal_for_equal_tables() {
    for release in Release::ALL {
        let pair = MySqlPair::of(release).await;
        create_every_type(&pair.source).await;
        create_every_type(&pair.target).await;
        pair.assert_equal().await;
        let zero = keeps_signs_of_zeros(&pair.target).await.then_some(&NEGATIVE_ZERO);
        for (change, back, table) in CHANGES.iter().chain(zero) {
            pair.target_sql(&format!("SET sql_mode = ''; {change}")).await;
            assert_eq!(differing(&pair).await, [*table], "{release}: {change}");
            pair.target_sql(&format!("SET sql_mode = ''; {back}")).await;
            assert_eq!(differing(&pair).await, [""; 0], "{release}: {back}");
        }
    }
}

async fn differing(pair: &MySqlPair) -> Vec<String> {
    let tables = pair.compare().await.into_iter();
    tables.filter(|table| !table.is_equal()).map(|table| table.table).collect()
}

/// The smallest differences between two values of a type, and the way back. MySQL takes an update
/// of a JSON value to an equal one, such as of 1 to 1.0, for none at all; hence NULL between.
const CHANGES: &[(&str, &str, &str)] = &[
    ("UPDATE texts SET v = NULL WHERE id = 1", "UPDATE texts SET v = '' WHERE id = 1", "texts"),
    (
        "UPDATE texts SET fixed = X'01' WHERE id = 1",
        "UPDATE texts SET fixed = '' WHERE id = 1",
        "texts",
    ),
    (
        "UPDATE texts SET varied = X'0100000000' WHERE id = 2",
        "UPDATE texts SET varied = X'0100' WHERE id = 2",
        "texts",
    ),
    ("UPDATE texts SET v = 'X  ' WHERE id = 2", "UPDATE texts SET v = 'x  ' WHERE id = 2", "texts"),
    ("UPDATE texts SET v = 'x' WHERE id = 2", "UPDATE texts SET v = 'x  ' WHERE id = 2", "texts"),
    ("UPDATE texts SET e = 1 WHERE id = 4", "UPDATE texts SET e = 0 WHERE id = 4", "texts"),
    (
        "UPDATE members SET s = 9223372036854775809 - 1 WHERE id = 3",
        "UPDATE members SET s = '01,64' WHERE id = 3",
        "members",
    ),
    (
        "UPDATE numbers SET f = 1.2345679 WHERE id = 2",
        "UPDATE numbers SET f = 1.2345678 WHERE id = 2",
        "numbers",
    ),
    (
        "UPDATE numbers SET g = 0.10000000000000002 WHERE id = 3",
        "UPDATE numbers SET g = 0.1 WHERE id = 3",
        "numbers",
    ),
    (
        "UPDATE numbers SET bit64 = bit64 - 1 WHERE id = 1",
        "UPDATE numbers SET bit64 = bit64 + 1 WHERE id = 1",
        "numbers",
    ),
    (
        "UPDATE moments SET t6 = '-00:00:00.000002' WHERE id = 3",
        "UPDATE moments SET t6 = '-00:00:00.000001' WHERE id = 3",
        "moments",
    ),
    (
        "UPDATE moments SET y = 2000 WHERE id = 3",
        "UPDATE moments SET y = '0000' WHERE id = 3",
        "moments",
    ),
    (
        "UPDATE places SET any_shape = ST_GeomFromText('POINT(1 2)', 0) WHERE id = 1",
        "UPDATE places SET any_shape = ST_GeomFromText('POINT(1 2)', 4326) WHERE id = 1",
        "places",
    ),
    (
        "UPDATE documents SET j = NULL WHERE id = 4; UPDATE documents SET j = '1.0' WHERE id = 4",
        "UPDATE documents SET j = NULL WHERE id = 4; UPDATE documents SET j = '1' WHERE id = 4",
        "documents",
    ),
    ("DELETE FROM keyless WHERE a = 1 LIMIT 1", "INSERT INTO keyless VALUES (1, 'x')", "keyless"),
    (
        "UPDATE hidden SET unseen = 4 WHERE id = 1",
        "UPDATE hidden SET unseen = 3 WHERE id = 1",
        "hidden",
    ),
];

const NEGATIVE_ZERO: (&str, &str, &str) = (
    "UPDATE numbers SET g = '-0' WHERE id = 4",
    "UPDATE numbers SET g = 0 WHERE id = 4",
    "numbers",
);

#[tokio::test]
async fn mysql_counters_that_are_behind_are_seen() {
    for release in Release::ALL {
        let pair = MySqlPair::of(release).await;
        let table = "CREATE TABLE counted (id INT AUTO_INCREMENT PRIMARY KEY)";
        pair.source_sql(table).await;
        pair.target_sql(table).await;
        pair.source_sql("INSERT INTO counted VALUES (7); DELETE FROM counted").await;
        let behind = dunlin::demo::mysql::digest::counters_behind;
        assert_eq!(behind(&pair.source, &pair.target, DATABASE).await.unwrap(), ["counted"]);
        pair.target_sql("ALTER TABLE counted AUTO_INCREMENT = 8").await;
        pair.assert_equal().await;
    }
}

#[tokio::test]
async fn mysql_servers_that_do_not_start_say_why() {
    for release in Release::ALL {
        let options = ServerOptions::from(release).with("no_such_option", "1");
        let Err(DemoError::ServerStart { said, .. }) = Server::create(&options) else {
            panic!("{release} started");
        };
        assert!(said.contains("unknown variable 'no_such_option"), "{said}");
    }
}

#[test]
fn a_release_that_is_not_there_names_the_command() {
    let release = Release { series: "1.0", ..Release::MYSQL_9_7 };
    let error = Server::create(&release.into()).unwrap_err();
    assert!(error.to_string().contains("scripts/servers mysql-1.0"), "{error}");
    assert!(Path::new("scripts/servers").is_file());
}
