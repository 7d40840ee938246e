//! Rows and events as MySQL and MariaDB send them, over our own wire.

use std::time::Duration;

use dunlin::config::endpoint::MySqlEndpoint;
use dunlin::config::environment::Environment;
use dunlin::connect::mysql::wire::{DumpFrom, EventReader, Replica, Values};
use dunlin::connect::mysql::{Wire, WireError};
use dunlin::demo::mysql::{Release, Server, ServerOptions};
use dunlin::model::GtidSet;
use mysql_async::prelude::Queryable;

/// Kinds of events, as the servers number them.
mod event {
    pub const ROTATE: u8 = 4;
    pub const FORMAT_DESCRIPTION: u8 = 15;
    pub const XID: u8 = 16;
    pub const TABLE_MAP: u8 = 19;
    pub const WRITE_ROWS_V1: u8 = 23;
    pub const HEARTBEAT: u8 = 27;
    pub const WRITE_ROWS: u8 = 30;
    pub const GTID: u8 = 33;
    pub const MARIADB_GTID: u8 = 162;
    pub const MARIADB_GTID_LIST: u8 = 163;
}

const LARGE_BYTES: usize = 20 << 20;

fn endpoint(server: &Server) -> MySqlEndpoint {
    let nothing: [(&str, &str); 0] = [];
    MySqlEndpoint::parse(&server.url("app"), &Environment::new(nothing, None)).unwrap()
}

async fn server(release: Release) -> Server {
    let options = ServerOptions::from(release).with("max_allowed_packet", "1073741824");
    let server = Server::create(&options).unwrap();
    server.create_database("app").await.unwrap();
    server
}

#[tokio::test]
async fn a_row_larger_than_a_packet_comes_in_one_piece() {
    for release in Release::ALL {
        let server = server(release).await;
        let mut wire = Wire::connect(&endpoint(&server)).await.unwrap();
        let sql = format!(
            "SELECT REPEAT('x', {LARGE_BYTES}) AS a, NULL AS b UNION ALL SELECT 'small', 'end'"
        );
        let mut result = wire.query(&sql).await.unwrap();
        assert_eq!(result.columns().len(), 2);
        assert_eq!(result.columns()[1].name, "b");
        let row = result.next().await.unwrap().unwrap();
        let values: Vec<_> = Values::new(row).map(Result::unwrap).collect();
        assert_eq!(values[0].unwrap().len(), LARGE_BYTES);
        assert_eq!(values[1], None);
        let row = result.next().await.unwrap().unwrap();
        let values: Vec<_> = Values::new(row).map(Result::unwrap).collect();
        assert_eq!(values, [Some(&b"small"[..]), Some(b"end")]);
        assert!(result.next().await.unwrap().is_none());
        assert!(result.done().is_some());
        let rows = wire.rows(format!("SELECT LENGTH('{}')", "y".repeat(LARGE_BYTES))).await;
        assert_eq!(rows.unwrap()[0][0].as_deref(), Some(&*LARGE_BYTES.to_string()));
    }
}

#[tokio::test]
async fn a_refused_statement_leaves_the_connection_usable_and_an_unread_one_does_not() {
    let server = server(Release::MYSQL_9_7).await;
    let mut wire = Wire::connect(&endpoint(&server)).await.unwrap();
    let refused = wire.execute("SELECT * FROM nothing").await.unwrap_err();
    assert_eq!(refused.server().unwrap().number, 1146);
    // This one fails after rows were sent.
    let late = wire.rows("SELECT 1 UNION ALL SELECT EXP(1000)").await.unwrap_err();
    assert_eq!(late.server().unwrap().number, 1690);
    let done = wire.execute("CREATE TABLE t (a INT PRIMARY KEY)").await.unwrap();
    assert_eq!(done.affected_rows, 0);
    assert_eq!(wire.execute("INSERT INTO t VALUES (1), (2)").await.unwrap().affected_rows, 2);
    let mut result = wire.query("SELECT a FROM t").await.unwrap();
    assert!(result.next().await.unwrap().is_some());
    drop(result);
    let unfinished = wire.execute("SELECT 1").await.unwrap_err();
    assert!(matches!(unfinished, WireError::Unfinished { .. }));
}

/// The kinds of events up to the first of this kind. Each is as long as its header says.
async fn kinds_until(reader: &mut EventReader, last: u8) -> Vec<u8> {
    let mut kinds = Vec::new();
    let read = async {
        while let Some(batch) = reader.read_events().await.unwrap() {
            for event in batch.events() {
                let size = u32::from_le_bytes(event[9..13].try_into().unwrap());
                assert_eq!(size as usize, event.len());
                kinds.push(event[4]);
                if event[4] == last {
                    return;
                }
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), read).await.expect("the event does not come");
    kinds
}

fn replica(server_id: u32) -> Replica {
    Replica { server_id, heartbeat: Duration::from_millis(200) }
}

async fn write_rows(server: &Server) {
    let mut session = server.connect("app").await.unwrap();
    session.query_drop("CREATE TABLE t (a INT PRIMARY KEY, b LONGBLOB)").await.unwrap();
    let large = format!("INSERT INTO t VALUES (1, REPEAT('x', {LARGE_BYTES})), (2, 'y')");
    session.query_drop(large).await.unwrap();
    session.query_drop("INSERT INTO t VALUES (3, 'z')").await.unwrap();
}

#[tokio::test]
async fn mysql_sends_what_a_set_of_gtids_lacks() {
    let server = server(Release::MYSQL_9_7).await;
    write_rows(&server).await;
    let wire = Wire::connect(&endpoint(&server)).await.unwrap();
    let all = GtidSet::default();
    let mut reader = wire.dump(&replica(4_000_001), &DumpFrom::Gtids(&all)).await.unwrap();
    let kinds = kinds_until(&mut reader, event::HEARTBEAT).await;
    assert_eq!(kinds[..2], [event::ROTATE, event::FORMAT_DESCRIPTION]);
    let rows = [event::GTID, 2, event::TABLE_MAP, event::WRITE_ROWS, event::XID];
    assert!(kinds.windows(rows.len()).any(|window| window == rows));
    assert_eq!(kinds.iter().filter(|kind| **kind == event::XID).count(), 2);
}

#[tokio::test]
async fn mariadb_sends_its_own_events() {
    for release in [Release::MARIADB_10_11, Release::MARIADB_11_8] {
        let server = server(release).await;
        write_rows(&server).await;
        let wire = Wire::connect(&endpoint(&server)).await.unwrap();
        let from = DumpFrom::MariaGtids("");
        let mut reader = wire.dump(&replica(4_000_001), &from).await.unwrap();
        let kinds = kinds_until(&mut reader, event::HEARTBEAT).await;
        assert_eq!(kinds[..2], [event::ROTATE, event::FORMAT_DESCRIPTION]);
        assert!(kinds.contains(&event::MARIADB_GTID_LIST));
        assert!(kinds.contains(&event::MARIADB_GTID));
        assert!(kinds.contains(&event::WRITE_ROWS_V1));
        assert_eq!(kinds.iter().filter(|kind| **kind == event::XID).count(), 2);
    }
}

#[tokio::test]
async fn a_place_in_a_file_serves_without_gtids() {
    for release in Release::ALL {
        let server = server(release).await;
        write_rows(&server).await;
        let mut wire = Wire::connect(&endpoint(&server)).await.unwrap();
        let files = wire.rows("SHOW BINARY LOGS").await.unwrap();
        let name = files[0][0].clone().unwrap();
        let from = DumpFrom::File { name: &name, offset: 4 };
        let mut reader = wire.dump(&replica(4_000_001), &from).await.unwrap();
        let kinds = kinds_until(&mut reader, event::XID).await;
        assert_eq!(kinds[..2], [event::ROTATE, event::FORMAT_DESCRIPTION]);
        let wire = Wire::connect(&endpoint(&server)).await.unwrap();
        let from = DumpFrom::File { name: "binlog.999999", offset: 4 };
        let mut reader = wire.dump(&replica(4_000_002), &from).await.unwrap();
        let refused = reader.read_events().await.unwrap_err();
        assert_eq!(refused.server().unwrap().number, 1236);
    }
}
