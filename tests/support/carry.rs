//! What most tests do: bring the target up to the source, change the source, do it again, compare.
//!
//! Changes that are made while dunlin is down come to the next run in one piece, so they meet in
//! one group; what a test says about groups does not depend on timing.

use tokio_postgres::types::FromSqlOwned;
use tokio_postgres::{Client, SimpleQueryMessage};

use super::binary::Finished;
use super::compare::assert_equal;
use super::{Dunlin, TestPair, wait_until};

/// Runs until the target has all that the source has now.
pub async fn catch_up(pair: &TestPair) -> Finished {
    catch_up_with(pair, &[]).await
}

/// The same, with further arguments.
pub async fn catch_up_with(pair: &TestPair, arguments: &[&str]) -> Finished {
    let arguments = [&["--until", "caught-up"], arguments].concat();
    Dunlin::run(pair, "run", &arguments).await.expect_code(0)
}

/// Makes changes on the source, brings the target up to them and compares all tables.
pub async fn carry(pair: &TestPair, changes: &str) {
    pair.source_sql(changes).await;
    catch_up(pair).await;
    assert_equal(pair).await;
}

/// The one value that a query returns.
pub async fn number<T: FromSqlOwned>(client: &Client, query: &str) -> T {
    client.query_one(query, &[]).await.unwrap().get(0)
}

/// The first value that a query returns, as the server writes it.
pub async fn text(client: &Client, query: &str) -> Option<String> {
    let messages = client.simple_query(query).await.unwrap();
    messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    })
}

/// Waits until dunlin reads the source's log.
pub async fn wait_until_streaming(pair: &TestPair) {
    let source = pair.on_source().await;
    let streaming = "SELECT EXISTS (SELECT FROM pg_stat_replication \
                     WHERE application_name = 'dunlin' AND state = 'streaming')";
    wait_until("dunlin reads the log", async || number(&source, streaming).await).await;
}
