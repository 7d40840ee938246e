//! What an operator can get wrong, and what it gets: a code, a hint, the documented exit status,
//! and nothing begun on either server.

use dunlin::demo::ServerOptions;
use dunlin::model::Code;
use serde_json::Value;

use crate::support::binary::Finished;
use crate::support::compare::assert_equal;
use crate::support::pair::DATABASE;
use crate::support::secured::{Authority, put_login_rules, shell};
use crate::support::{Dunlin, TestPair, wait_until};

/// The verb ends with this code, says one sentence and a hint, and has left nothing behind.
async fn refused(pair: &TestPair, arguments: &[&str], code: Code) -> Finished {
    let finished = Dunlin::run(pair, "run", &[&["--retry-for", "0s"], arguments].concat()).await;
    let finished = halted(finished, code);
    assert_untouched(pair).await;
    finished
}

/// It ended with this code, one sentence and a hint.
pub fn halted(finished: Finished, code: Code) -> Finished {
    let finished = finished.expect_code(i32::from(code.exit_status()));
    let error = format!("error[{}]: ", code.as_str());
    assert!(finished.stderr.contains(&error), "no {error}\n{}", finished.stderr);
    assert!(finished.stderr.contains("\nhint: "), "no hint:\n{}", finished.stderr);
    finished
}

/// The end of a command.
pub async fn started(arguments: &[&str]) -> Finished {
    Dunlin::start_command(Dunlin::command(arguments)).finished().await
}

/// Nothing of dunlin is on either server.
async fn assert_untouched(pair: &TestPair) {
    let left = "SELECT pubname::text FROM pg_publication WHERE pubname LIKE 'dunlin%' UNION ALL
         SELECT slot_name::text FROM pg_replication_slots WHERE slot_name LIKE 'dunlin%' UNION ALL
         SELECT nspname::text FROM pg_namespace WHERE nspname LIKE 'dunlin%'";
    for client in [pair.on_source().await, pair.on_target().await] {
        let rows = client.query(left, &[]).await.unwrap();
        let left: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        assert_eq!(left, [] as [&str; 0]);
    }
}

/// The ids of everything that `check` says blocks.
async fn blocking(pair: &TestPair, arguments: &[&str]) -> Vec<String> {
    let finished = Dunlin::run(pair, "check", &[&["--json"], arguments].concat()).await;
    ids(&finished, "block")
}

/// The ids of what `check` found of one weight.
pub fn ids(finished: &Finished, severity: &str) -> Vec<String> {
    let report: Value = serde_json::from_str(&finished.stdout).unwrap_or_else(|error| {
        panic!("{error}\n{}\n{}", finished.stdout, finished.stderr);
    });
    let findings = report["findings"].as_array().unwrap();
    let blocks = findings.iter().any(|finding| finding["severity"] == "block");
    assert_eq!(finished.code(), if blocks { 3 } else { 0 });
    let wanted = findings.iter().filter(|finding| finding["severity"] == severity);
    wanted.map(|finding| finding["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn connections_that_cannot_be_made() {
    let pair = TestPair::start().await;
    let (source, target) = (pair.source_url(), pair.target_url());
    let run = async |source: &str| {
        started(&["run", "--retry-for", "0s", "--source", source, "--target", &target]).await
    };
    halted(run("oracle://old/app").await, Code::UrlInvalid);
    let closed = "postgres://postgres@127.0.0.1:1/app";
    halted(run(closed).await, Code::ConnectFailed);
    let check = started(&["check", "--source", closed, "--target", &target]).await;
    halted(check, Code::ConnectFailed);
    halted(run(&source.replace("/app", "/nowhere")).await, Code::DatabaseMissing);

    pair.source_sql("CREATE ROLE guarded LOGIN PASSWORD 'right'").await;
    put_login_rules(&pair.source, "host all guarded 127.0.0.1/32 scram-sha-256").await;
    let guarded = |password: &str| source.replace("postgres@", &format!("guarded:{password}@"));
    let finished = halted(run(&guarded("wr0ng-word")).await, Code::AuthFailed);
    assert!(!finished.stderr.contains("wr0ng-word"));
    assert_untouched(&pair).await;
}

#[tokio::test]
async fn a_certificate_for_another_name() {
    let pair = TestPair::start().await;
    let authority = Authority::create();
    authority.secure(&pair.source).await;
    let url = |host: &str, mode: &str| {
        format!(
            "{}?sslmode={mode}&sslrootcert={}",
            pair.source_url().replace("127.0.0.1", host),
            authority.certificate().display()
        )
    };
    let target = pair.target_url();
    let run = async |source: &str| {
        started(&["run", "--retry-for", "0s", "--source", source, "--target", &target]).await
    };
    halted(run(&url("127.0.0.1", "verify-full")).await, Code::TlsFailed);
    assert_untouched(&pair).await;
    let known = url("127.0.0.1", "verify-ca");
    started(&["check", "--source", &known, "--target", &target]).await.expect_code(0);
}

#[tokio::test]
async fn a_source_that_is_not_set_up() {
    let options = ServerOptions::default()
        .with("wal_level", "replica")
        .with("max_wal_senders", "1")
        .with("max_replication_slots", "2");
    let mut pair = TestPair::start_with(options, ServerOptions::default()).await;
    pair.source_sql("SELECT pg_create_physical_replication_slot('taken')").await;
    let found = blocking(&pair, &[]).await;
    assert_eq!(found, ["WAL_LEVEL", "NO_FREE_SLOT", "NO_FREE_SENDER"]);
    let finished = refused(&pair, &[], Code::WalLevel).await;
    assert!(finished.stderr.contains("hint: ALTER SYSTEM SET wal_level = logical"));

    pair.source.configure(&[("wal_level".into(), "logical".into())]).unwrap();
    pair.source.stop().unwrap();
    pair.source.start().unwrap();
    refused(&pair, &[], Code::NoFreeSlot).await;
    pair.source_sql("SELECT pg_drop_replication_slot('taken')").await;
    refused(&pair, &[], Code::NoFreeSender).await;
}

#[tokio::test]
async fn privileges_that_are_missing_and_then_granted() {
    let pair = TestPair::start().await;
    pair.source_sql(
        "CREATE ROLE shop; CREATE ROLE mover LOGIN; CREATE SCHEMA sales AUTHORIZATION shop;
         CREATE TABLE sales.orders (id serial PRIMARY KEY);
         ALTER TABLE sales.orders OWNER TO shop",
    )
    .await;
    pair.target_sql("CREATE ROLE mover LOGIN").await;
    let mover = |url: String| url.replace("postgres@", "mover@");
    let (source, target) = (mover(pair.source_url()), mover(pair.target_url()));
    let servers = ["--source", source.as_str(), "--target", target.as_str()];
    let check = async || started(&[&["check", "--json"], &servers[..]].concat()).await;
    let found = check().await;
    let missing = ids(&found, "block");
    assert!(missing.len() >= 7 && missing.iter().all(|id| id == "PRIVILEGE_MISSING"), "{found:?}");
    for named in ["REPLICATION", "sales.orders", "sales.orders_id_seq", "session_replication_role"]
    {
        assert!(found.stdout.contains(named), "{named} in {}", found.stdout);
    }
    let run = started(&[&["run", "--until", "caught-up"], &servers[..]].concat()).await;
    halted(run, Code::PrivilegeMissing);
    assert_untouched(&pair).await;

    let names = ["--role", "mover", "--owner", "shop", "--schema", "sales"];
    for (side, client) in [("source", pair.on_source().await), ("target", pair.on_target().await)] {
        let grants = started(&[&["grants", "--side", side], &names[..]].concat()).await;
        let create = "CREATE ROLE \"mover\" LOGIN";
        let mut text = grants.expect_code(0).stdout.replace(create, "ALTER ROLE mover LOGIN");
        if side == "target" {
            text = text.replace("GRANT USAGE, CREATE ON SCHEMA \"sales\" TO \"mover\";", "");
        }
        client.batch_execute(&text).await.unwrap();
    }
    assert_eq!(ids(&check().await, "block"), [] as [&str; 0]);
    started(&[&["run", "--until", "caught-up"], &servers[..]].concat()).await.expect_code(0);
    assert_equal(&pair).await;
}

#[tokio::test]
async fn tables_that_cannot_be_copied() {
    let pair = TestPair::start().await;
    pair.source_sql(
        "CREATE TABLE orders (id int PRIMARY KEY);
         CREATE UNLOGGED TABLE cache (id int PRIMARY KEY);
         CREATE FOREIGN DATA WRAPPER nowhere; CREATE SERVER far FOREIGN DATA WRAPPER nowhere;
         CREATE FOREIGN TABLE remote (id int) SERVER far;
         CREATE TABLE log (line text); CREATE TABLE notes (line text);
         INSERT INTO log VALUES ('a')",
    )
    .await;
    pair.source_sql("UPDATE log SET line = 'b'").await;
    let updates = "SELECT n_tup_upd FROM pg_stat_user_tables WHERE relname = 'log'";
    wait_until("the update is counted", async || {
        let client = pair.on_source().await;
        client.query_one(updates, &[]).await.unwrap().get::<_, i64>(0) > 0
    })
    .await;
    let found = Dunlin::run(&pair, "check", &["--json"]).await;
    assert_eq!(ids(&found, "block"), ["TABLE_UNLOGGED", "TABLE_FOREIGN", "NO_IDENTITY"]);
    assert_eq!(ids(&found, "warn"), ["NO_IDENTITY"]);
    refused(&pair, &[], Code::TableUnlogged).await;
    refused(&pair, &["--exclude", "cache"], Code::TableForeign).await;
    let most = ["--exclude", "cache", "--exclude", "remote"];
    refused(&pair, &most, Code::NoIdentity).await;
    refused(&pair, &[&most[..], &["--exclude", "no_such"]].concat(), Code::PatternUnmatched).await;
    let accepted = [&most[..], &["--insert-only", "log"]].concat();
    assert_eq!(blocking(&pair, &accepted).await, [] as [&str; 0]);
}

#[tokio::test]
async fn names_and_servers_that_belong_to_something_else() {
    let target = ServerOptions::default().with("max_connections", "12");
    let pair = TestPair::start_with(ServerOptions::default(), target).await;
    pair.source_sql("CREATE TABLE orders (id int PRIMARY KEY); INSERT INTO orders VALUES (1)")
        .await;

    let url = pair.source_url();
    let same = ["run", "--retry-for", "0s", "--source", &url, "--target", &url];
    halted(started(&same).await, Code::SameDatabase);
    refused(&pair, &["--workers", "16"], Code::NoFreeConnections).await;

    pair.source_sql("CREATE PUBLICATION dunlin_other").await;
    let other = ["--name", "other", "--retry-for", "0s"];
    let finished = halted(Dunlin::run(&pair, "run", &other).await, Code::SlotForeign);
    assert!(finished.stderr.contains("DROP PUBLICATION"));
    pair.source_sql("DROP PUBLICATION dunlin_other").await;
    pair.source_sql("SELECT pg_create_logical_replication_slot('dunlin_other', 'test_decoding')")
        .await;
    let finished = halted(Dunlin::run(&pair, "run", &other).await, Code::SlotForeign);
    assert!(finished.stderr.contains("pg_drop_replication_slot"));
    pair.source_sql("SELECT pg_drop_replication_slot('dunlin_other')").await;

    pair.target_sql("ALTER DATABASE app SET default_transaction_read_only = on").await;
    refused(&pair, &[], Code::TargetReadOnly).await;
    let read_write = "SET default_transaction_read_only = off;
                      ALTER DATABASE app RESET default_transaction_read_only";
    pair.target.connect("postgres").await.unwrap().batch_execute(read_write).await.unwrap();

    pair.target_sql("CREATE TABLE orders (id text PRIMARY KEY)").await;
    refused(&pair, &[], Code::TargetSchemaDiffers).await;
    pair.target_sql("DROP TABLE orders; CREATE TABLE orders (id int PRIMARY KEY)").await;
    pair.target_sql("INSERT INTO orders VALUES (7)").await;
    refused(&pair, &[], Code::TargetNotEmpty).await;
    pair.source_sql("CREATE TABLE more (id int PRIMARY KEY)").await;
    let emptied = ["--truncate-target", "orders"];
    refused(&pair, &emptied, Code::TargetSchemaDiffers).await;
    pair.target_sql("CREATE TABLE more (id int PRIMARY KEY)").await;
    let run = ["--truncate-target", "orders", "--until", "caught-up"];
    Dunlin::run(&pair, "run", &run).await.expect_code(0);
    assert_equal(&pair).await;
}

#[tokio::test]
async fn an_encoding_that_cannot_hold_the_text() {
    let pair = TestPair::start().await;
    let client = pair.target.connect("postgres").await.unwrap();
    let narrow = "CREATE DATABASE narrow ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0";
    client.batch_execute(narrow).await.unwrap();
    let target = pair.target.url("narrow");
    let run = ["run", "--retry-for", "0s", "--source", &pair.source_url(), "--target", &target];
    halted(started(&run).await, Code::EncodingDiffers);
}

#[tokio::test]
async fn a_target_without_any_room() {
    let target = ServerOptions::default()
        .with("max_connections", "4")
        .with("max_wal_senders", "0")
        .with("superuser_reserved_connections", "0");
    let pair = TestPair::start_with(ServerOptions::default(), target).await;
    let mut sessions = Vec::new();
    while let Ok(session) = pair.target.connect(DATABASE).await {
        sessions.push(session);
    }
    assert_eq!(blocking(&pair, &[]).await, ["NO_FREE_CONNECTIONS"]);
    let finished = Dunlin::run(&pair, "run", &["--retry-for", "0s"]).await;
    halted(finished, Code::NoFreeConnections);
}

#[tokio::test]
async fn a_second_process_ends_and_the_first_goes_on() {
    let pair = TestPair::start().await;
    pair.source_sql("CREATE TABLE orders (id int PRIMARY KEY)").await;
    let mut first = Dunlin::start(&pair, "run", &[]);
    first.says("caught up").await;
    let second = Dunlin::run(&pair, "run", &["--retry-for", "0s"]).await;
    halted(second, Code::AlreadyRunning);
    pair.source_sql("INSERT INTO orders VALUES (1)").await;
    wait_until("the first process goes on", async || {
        let client = pair.on_target().await;
        client.query_one("SELECT count(*) FROM orders", &[]).await.unwrap().get::<_, i64>(0) == 1
    })
    .await;
    first.interrupt().await.expect_code(0);
}

#[tokio::test]
async fn a_row_that_the_target_refuses_halts_and_can_be_mended() {
    let pair = TestPair::start().await;
    let schema = "CREATE TABLE orders (id int PRIMARY KEY, amount int)";
    pair.source_sql(schema).await;
    pair.source_sql("INSERT INTO orders VALUES (1, 10), (2, -987654321), (3, 30)").await;
    pair.target_sql(schema).await;
    pair.target_sql("ALTER TABLE orders ADD CONSTRAINT positive CHECK (amount > 0)").await;
    let run = ["--until", "caught-up", "--retry-for", "0s"];
    let finished = halted(Dunlin::run(&pair, "run", &run).await, Code::TargetRefused);
    assert!(finished.stderr.contains("positive"), "{}", finished.stderr);
    assert!(!finished.stderr.contains("987654321"), "a row's values are not told");
    let rows = pair.on_target().await.query("SELECT FROM orders", &[]).await.unwrap();
    assert_eq!(rows.len(), 0, "a chunk is there whole or not at all");
    pair.target_sql("ALTER TABLE orders DROP CONSTRAINT positive").await;
    Dunlin::run(&pair, "run", &run).await.expect_code(0);
    assert_equal(&pair).await;
}

/// The table's file is a link to /dev/full, which answers every write as a full disk does.
#[tokio::test]
async fn a_full_disk_halts_and_can_be_mended() {
    let mut pair = TestPair::start().await;
    let schema = "CREATE TABLE orders (id int, amount int)";
    pair.source_sql(schema).await;
    pair.source_sql("ALTER TABLE orders REPLICA IDENTITY FULL").await;
    pair.source_sql("INSERT INTO orders SELECT i, i FROM generate_series(1, 1000) AS i").await;
    pair.target_sql(schema).await;
    let client = pair.on_target().await;
    let path = client.query_one("SELECT pg_relation_filepath('orders')", &[]).await.unwrap();
    let file: String = path.get(0);
    drop(client);
    let data = pair.target.data();
    pair.target.stop().unwrap();
    shell(&format!("ln -sf /dev/full {file}"), &data);
    pair.target.start().unwrap();
    let run = ["--until", "caught-up", "--retry-for", "0s"];
    halted(Dunlin::run(&pair, "run", &run).await, Code::TargetDiskFull);

    pair.target.stop().unwrap();
    shell(&format!("rm {file}; : > {file}; chown --reference PG_VERSION {file}"), &data);
    pair.target.start().unwrap();
    Dunlin::run(&pair, "run", &run).await.expect_code(0);
    assert_equal(&pair).await;
}
