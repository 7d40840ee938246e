//! The number by which a source knows who reads its log: a server ends the dump of whoever has the one
//! that another replica gives itself.

use std::time::Duration;

use dunlin::config::endpoint::MySqlEndpoint;
use dunlin::config::environment::Environment;
use dunlin::connect::mysql::Wire;
use dunlin::connect::mysql::wire::{DumpFrom, EventReader, Replica};
use dunlin::demo::mysql::Release;
use dunlin::model::GtidSet;
use mysql_async::prelude::Queryable;

use crate::support::mysql::{MySqlPair, row};
use crate::support::wait::PATIENCE;
use crate::support::{Dunlin, wait_until};

/// Table rows that were inserted, as MySQL and MariaDB number such events.
const WRITE_ROWS: [u8; 2] = [30, 23];

/// The replicas that the source knows.
async fn numbers(pair: &MySqlPair) -> Vec<u32> {
    let list = match pair.source.release().is_mariadb() {
        true => "SHOW SLAVE HOSTS",
        false => "SHOW REPLICAS",
    };
    let rows: Vec<mysql_async::Row> = pair.on_source().await.query(list).await.unwrap();
    rows.iter().map(|row| row.get(0).unwrap()).collect()
}

/// Another replica that reads the log from its end on, under this number.
async fn replica(pair: &MySqlPair, server_id: u32) -> EventReader {
    let nothing: [(&str, &str); 0] = [];
    let environment = Environment::new(nothing, None);
    let endpoint = MySqlEndpoint::parse(&pair.source_url(), &environment).unwrap();
    let wire = Wire::connect(&endpoint).await.unwrap();
    let replica = Replica { server_id, heartbeat: Duration::from_secs(1) };
    let mut source = pair.on_source().await;
    let reader = match pair.source.release().is_mariadb() {
        true => {
            let end: (String,) = row(&mut source, "SELECT @@GLOBAL.gtid_binlog_pos").await;
            wire.dump(&replica, &DumpFrom::MariaGtids(&end.0)).await
        }
        false => {
            let end: (String,) = row(&mut source, "SELECT @@GLOBAL.gtid_executed").await;
            let end: GtidSet = end.0.parse().unwrap();
            wire.dump(&replica, &DumpFrom::Gtids(&end)).await
        }
    };
    reader.unwrap()
}

async fn number_is_taken(release: Release) {
    let pair = MySqlPair::of(release).await;
    pair.source_sql("CREATE TABLE orders (id int PRIMARY KEY)").await;
    let mut run = Dunlin::start(&pair, "run", &[]);
    let mut target = pair.on_target().await;
    let mut arrives = async |id: u32| {
        pair.source_sql(&format!("INSERT INTO orders VALUES ({id})")).await;
        let there = format!("SELECT count(*) FROM app.orders WHERE id = {id}");
        wait_until("the row arrives", async || {
            target.query_first(&there).await.ok().flatten() == Some(1)
        })
        .await;
    };
    arrives(1).await;
    let mut ours = Vec::new();
    wait_until("the source knows dunlin", async || {
        ours = numbers(&pair).await;
        ours.len() == 1
    })
    .await;
    let mut other = replica(&pair, ours[0]).await;
    run.says("will try again").await;
    arrives(2).await;
    let mut all = Vec::new();
    wait_until("the source knows both", async || {
        all = numbers(&pair).await;
        all.len() == 2 && all[0] != all[1]
    })
    .await;
    assert!(all.contains(&ours[0]), "{ours:?} became {all:?}");
    // The other one goes on, with what was written since.
    let sees = async {
        loop {
            let batch = other.read_events().await.unwrap().expect("the dump goes on");
            if batch.events().any(|event| WRITE_ROWS.contains(&event[4])) {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, sees).await.expect("the row comes to the other one too");
    run.interrupt().await.expect_code(0);
}

#[tokio::test]
async fn mysql_9_7_another_replica_takes_the_number() {
    number_is_taken(Release::MYSQL_9_7).await;
}

#[tokio::test]
async fn mariadb_11_8_another_replica_takes_the_number() {
    number_is_taken(Release::MARIADB_11_8).await;
}
