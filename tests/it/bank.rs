//! A bank that never closes: whoever reads the target sees whole transactions of the source, while it
//! catches up, through the cutover, and on the way back.
//!
//! Each promise moves money from an account to a savings book, by a trigger; so the sum over both tables is
//! always the same on the source, and is read on the side that follows without a pause.

use tokio_postgres::Client;

use crate::support::auditor::Auditor;
use crate::support::promises::{Promises, TABLE};
use crate::support::{Dunlin, TestPair, number, text, wait_until};

const BANK: &str = "
    CREATE TABLE account (id int PRIMARY KEY, balance bigint NOT NULL);
    CREATE TABLE saving (id int PRIMARY KEY, balance bigint NOT NULL);
    INSERT INTO account SELECT n, 1000 FROM generate_series(0, 9) n;
    INSERT INTO saving SELECT n, 1000 FROM generate_series(0, 9) n;
    CREATE FUNCTION transfer() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN
             UPDATE public.account SET balance = balance - NEW.n WHERE id = NEW.n % 10;
             UPDATE public.saving SET balance = balance + NEW.n WHERE id = NEW.writer % 10;
             RETURN NULL;
         END';
    CREATE TRIGGER transferred AFTER INSERT ON promise
        FOR EACH ROW EXECUTE FUNCTION transfer()";

/// How many rows there are, and what they sum up to.
const SUM: &str = "SELECT count(*), sum(balance)::bigint FROM (SELECT balance FROM account \
                   UNION ALL SELECT balance FROM saving) AS every";
const HELD: (i64, i64) = (20, 20_000);

const PATIENT: [&str; 5] = ["--accept-unverified", "--max-downtime", "50s", "--final-proof", "20s"];

/// Reads the sum over and over.
fn audit(client: Client) -> Auditor {
    Auditor::start(|shift| async move {
        while shift.goes_on() {
            let row = client.query_one(SUM, &[]).await.unwrap();
            assert_eq!((row.get(0), row.get(1)), HELD, "part of a transaction is to be seen");
            shift.is_content();
        }
    })
}

/// The target has its copy, from which on it follows.
async fn wait_for_copy(target: &Client) {
    wait_until("the tables are copied", async || {
        let made = "SELECT count(*) = 2 FROM pg_tables WHERE tablename IN ('account', 'saving')";
        number(target, made).await && number::<i64>(target, SUM).await == HELD.0
    })
    .await;
}

/// What is applied to this server follows the other one.
async fn wait_for_stream(client: &Client) {
    wait_until("phase stream", async || {
        let there = "SELECT to_regclass('dunlin.migration') IS NOT NULL";
        let phase = "SELECT phase FROM dunlin.migration WHERE phase = 'stream'";
        number(client, there).await && text(client, phase).await.is_some()
    })
    .await;
}

#[tokio::test]
async fn every_read_of_the_side_that_follows_sees_whole_transactions() {
    let pair = TestPair::start().await;
    pair.source_sql(&format!("{TABLE}; {BANK}")).await;
    let folder = tempfile::tempdir().unwrap();
    let mut promises = Promises::start(&pair, 4, &folder.path().join("moved"));
    promises.more_on_source(50).await;
    let run = Dunlin::start(&pair, "run", &[]);
    let target = pair.on_target().await;
    wait_for_copy(&target).await;
    let mut there = audit(pair.on_target().await);
    wait_for_stream(&target).await;
    promises.more_on_source(200).await;
    there.more(50).await;
    let switch = promises.switch();
    let cutover = [&PATIENT[..], &["--way-back", "--switch", &switch]].concat();
    let cutover = Dunlin::run(&pair, "cutover", &cutover).await.expect_code(0);
    assert!(cutover.stdout.contains("rows that changed since"), "{}", cutover.stdout);
    run.finished().await.expect_code(0);
    promises.more_on_target(100).await;
    let seen_there = there.content().await;

    let mut back = audit(pair.on_source().await);
    let reverse = Dunlin::start(&pair, "reverse", &[]);
    let source = pair.on_source().await;
    wait_for_stream(&source).await;
    promises.more_on_target(200).await;
    back.more(50).await;
    let switch = promises.switch_back();
    let cutover = [&PATIENT[..], &["--back", "--switch", &switch]].concat();
    Dunlin::run(&pair, "cutover", &cutover).await.expect_code(0);
    promises.more_on_source(100).await;
    reverse.finished().await.expect_code(0);
    let seen_back = back.content().await;
    promises.assert_kept(&source).await;
    let moved = "SELECT (SELECT sum(n) FROM promise) = (SELECT sum(balance) - 10000 FROM saving)";
    assert!(number::<bool>(&source, moved).await, "a transfer is lost, or there twice");
    eprintln!("{seen_there} reads on the way there, {seen_back} on the way back");
}
