//! A source in SQL_ASCII, whose texts may be in any encoding: carried byte by byte, or refused.

use dunlin::demo::digest::compare;

use crate::support::binary::Finished;
use crate::support::{Dunlin, TestPair, number};

/// A database in SQL_ASCII on either server.
const RAW: &str = "raw";

async fn with_raw_source() -> TestPair {
    let pair = TestPair::start().await;
    for server in [&pair.source, &pair.target] {
        let client = server.connect("postgres").await.unwrap();
        let create = "CREATE DATABASE raw ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0";
        client.batch_execute(create).await.unwrap();
    }
    let setup = r"CREATE TABLE menu (id int PRIMARY KEY, dish text, tags varchar(20)[]);
        INSERT INTO menu VALUES (1, 'crème', '{ß}'), (2, E'caf\xe9', ARRAY[E'\xfe\xff'])";
    on_source(&pair, setup).await;
    pair
}

async fn on_source(pair: &TestPair, statements: &str) {
    pair.source.connect(RAW).await.unwrap().batch_execute(statements).await.unwrap();
}

async fn dunlin(pair: &TestPair, target: &str, words: &[&str]) -> Finished {
    let (verb, words) = words.split_first().unwrap();
    let source = pair.source.url(RAW);
    let mut command = Dunlin::command(&[verb, "--source", &source, "--target", target]);
    command.args(words);
    Dunlin::start_command(command).finished().await
}

const RUN: &[&str] = &["run", "--until", "caught-up"];

#[tokio::test]
async fn types_32_bytes_of_any_encoding_arrive_as_they_are() {
    let pair = with_raw_source().await;
    let target = pair.target.url(RAW);
    for changes in
        ["", r"INSERT INTO menu VALUES (3, E'\xe4\xf6', '{}'); UPDATE menu SET id = 4 WHERE id = 2"]
    {
        on_source(&pair, changes).await;
        dunlin(&pair, &target, RUN).await.expect_code(0);
        let tables = compare(&pair.source.url(RAW), &target).await.unwrap();
        assert!(tables.iter().any(|table| table.table == "public.menu"));
        assert!(tables.iter().all(|table| table.is_equal()), "{tables:?}");
    }
}

#[tokio::test]
async fn types_32_a_text_that_the_target_cannot_hold_halts() {
    let pair = with_raw_source().await;
    let target = pair.target_url();
    let found = dunlin(&pair, &target, &["check"]).await;
    assert!(found.stdout.contains("ENCODING_DIFFERS"), "{}", found.stdout);
    dunlin(&pair, &target, RUN).await.expect_halt("TARGET_REFUSED").expect_said("public.menu");
    let client = pair.on_target().await;
    assert_eq!(number::<i64>(&client, "SELECT count(*) FROM menu").await, 0);

    on_source(&pair, "DELETE FROM menu WHERE id = 2").await;
    dunlin(&pair, &target, &["complete"]).await.expect_code(0);
    pair.target_sql("DROP TABLE menu").await;
    dunlin(&pair, &target, RUN).await.expect_code(0);
    on_source(&pair, r"INSERT INTO menu VALUES (5, 'ok'), (6, E'caf\xe9')").await;
    dunlin(&pair, &target, RUN).await.expect_halt("TARGET_REFUSED").expect_said("public.menu");
    assert_eq!(number::<i64>(&client, "SELECT count(*) FROM menu").await, 1);
}
