//! `check`, `plan` and `status` on servers that are in order.

use serde_json::Value;

use crate::support::binary::Finished;
use crate::support::{Dunlin, TestPair, wait_until};

fn json(finished: Finished) -> Value {
    let finished = finished.expect_code(0);
    serde_json::from_str(&finished.stdout).unwrap()
}

async fn status(pair: &TestPair) -> Finished {
    let target = pair.target_url();
    let words = ["status", "--json", "--target", target.as_str()];
    Dunlin::start_command(Dunlin::command(&words)).finished().await
}

#[tokio::test]
async fn a_plan_counts_measures_and_writes_nothing() {
    let pair = TestPair::start().await;
    pair.source_sql(
        "CREATE TABLE orders (id int PRIMARY KEY, note text);
         INSERT INTO orders SELECT i, repeat('n', 200) FROM generate_series(1, 50000) AS i;
         CREATE TABLE log (line text); INSERT INTO log VALUES ('a'); ANALYZE",
    )
    .await;
    let plan = json(Dunlin::run(&pair, "plan", &["--json", "--chunk-size", "1MiB"]).await);
    let number = |name: &str| plan[name].as_f64().unwrap_or(-1.0);
    assert!(number("bandwidth_bytes_per_second") > 1e6, "{plan}");
    assert!(number("t_copy_seconds") > 0.0 && number("t_sync_seconds") >= 0.0, "{plan}");
    assert_eq!(plan["converges"], true);
    let tables = plan["tables"].as_array().unwrap();
    let chunks: u64 = tables.iter().map(|table| table["chunks"].as_u64().unwrap()).sum();
    assert_eq!(plan["chunks"].as_u64(), Some(chunks));
    assert!(tables[0]["chunks"].as_u64() > Some(10), "{plan}");
    assert_eq!(tables[0]["method"], "ranges of id, binary");
    assert_eq!((&tables[1]["chunks"], &tables[1]["method"]), (&1.into(), &"whole, binary".into()));
    let writes = plan["writes"].to_string();
    assert!(writes.contains("dunlin_") && writes.contains("schema dunlin"), "{writes}");
    let relations = "SELECT count(*) FROM pg_class WHERE oid >= 16384 AND relkind IN ('r', 'i')";
    let found = pair.on_target().await.query_one(relations, &[]).await.unwrap();
    assert_eq!(found.get::<_, i64>(0), 0);
    let slots = "SELECT count(*) FROM pg_replication_slots";
    let found = pair.on_source().await.query_one(slots, &[]).await.unwrap();
    assert_eq!(found.get::<_, i64>(0), 0);
}

#[tokio::test]
async fn a_check_warns_of_what_will_surprise() {
    let pair = TestPair::start().await;
    pair.source_sql(
        "CREATE TABLE orders (id int PRIMARY KEY);
         CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
         CREATE TRIGGER noted AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION note();
         ALTER TABLE orders ENABLE ALWAYS TRIGGER noted;
         SELECT lo_create(0)",
    )
    .await;
    pair.source_sql("BEGIN; INSERT INTO orders VALUES (1); PREPARE TRANSACTION 'held'").await;
    let report = json(Dunlin::run(&pair, "check", &["--json"]).await);
    let found = |id: &str| {
        let findings = report["findings"].as_array().unwrap();
        findings.iter().find(|finding| finding["id"] == id).cloned().unwrap_or_default()
    };
    let fires = found("TRIGGER_FIRES");
    assert_eq!(fires["fix_sql"], "ALTER TABLE \"public\".\"orders\" DISABLE TRIGGER \"noted\"");
    assert!(found("LONG_TRANSACTION")["evidence"].as_str().unwrap().contains("'held'"));
    assert_eq!(found("LARGE_OBJECTS")["severity"], "warn");
    assert_eq!(found("PRIVILEGES_LEFT")["severity"], "info");
}

#[tokio::test]
async fn a_status_needs_nothing_but_the_state() {
    let pair = TestPair::start().await;
    pair.source_sql("CREATE TABLE orders (id int PRIMARY KEY)").await;
    pair.source_sql("INSERT INTO orders SELECT generate_series(1, 1000)").await;
    let missing = status(&pair).await.expect_code(2);
    assert!(missing.stderr.contains("\"MIGRATION_MISSING\""), "{}", missing.stderr);

    let run = Dunlin::start(&pair, "run", &[]);
    let mut seen = Value::Null;
    wait_until("the status says that the target follows", async || {
        let finished = status(&pair).await;
        seen = serde_json::from_str(&finished.stdout).unwrap_or_default();
        seen["phase"] == "stream" && seen["running"] == true && seen["lag_seconds"] == 0.0
    })
    .await;
    assert_eq!(seen["lag_bytes"], 0);
    assert_eq!(seen["snapshot"]["chunks_done"], seen["snapshot"]["chunks_total"]);
    assert_eq!(seen["snapshot"]["tables"][0]["rows"], 1000);
    assert!(seen["slot"]["retained_bytes"].is_u64(), "{seen}");
    run.interrupt().await.expect_code(0);

    let mut seen = Value::Null;
    wait_until("the session of the run is closed", async || {
        seen = json(status(&pair).await);
        seen["running"] == false
    })
    .await;
    assert!(seen["lag_seconds"].as_f64().is_some(), "{seen}");
    assert!(seen["warnings"].to_string().contains("no process is at work"), "{seen}");
    assert!(seen["next"].as_str().unwrap().starts_with("dunlin run"), "{seen}");

    pair.source_sql("INSERT INTO orders SELECT generate_series(1001, 90000)").await;
    let (source, target) = (pair.source_url(), pair.target_url());
    let words = ["status", "--json", "--source", &source, "--target", &target];
    let seen = json(Dunlin::start_command(Dunlin::command(&words)).finished().await);
    assert!(seen["lag_bytes"].as_u64() > Some(1_000_000), "{seen}");
    let text = started_text(&pair).await;
    assert!(text.contains("not running") && text.contains("public.orders"), "{text}");

    Dunlin::run(&pair, "complete", &[]).await.expect_code(0);
    status(&pair).await.expect_code(2);
}

async fn started_text(pair: &TestPair) -> String {
    let target = pair.target_url();
    let words = ["status", "--target", target.as_str()];
    Dunlin::start_command(Dunlin::command(&words)).finished().await.expect_code(0).stdout
}
