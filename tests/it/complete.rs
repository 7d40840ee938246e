//! `complete` ends its own migration and nobody else's, and says what it removed.

use crate::support::{
    Dunlin, TestPair, carry, catch_up, catch_up_with, number, text, wait_until,
    wait_until_streaming,
};

const SLOTS: &str = "SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'dunlin_dunlin'";

async fn complete(source: &str, target: &str) -> crate::support::binary::Finished {
    let words = ["complete", "--source", source, "--target", target];
    Dunlin::start_command(Dunlin::command(&words)).finished().await
}

#[tokio::test]
async fn another_source_or_target_is_refused_before_anything_is_removed() {
    let pair = TestPair::start().await;
    pair.source_sql("CREATE TABLE item (id int PRIMARY KEY)").await;
    pair.source.create_database("twin").await.unwrap();
    pair.target.create_database("empty").await.unwrap();
    let (twin, empty) = (pair.source.url("twin"), pair.target.url("empty"));
    catch_up(&pair).await;
    let (source, target) = (pair.on_source().await, pair.on_target().await);
    let stands = async || {
        assert_eq!(number::<i64>(&source, SLOTS).await, 1);
        assert_eq!(number::<i64>(&target, "SELECT count(*) FROM dunlin.migration").await, 1);
    };

    complete(&twin, &pair.target_url()).await.expect_halt("SOURCE_IDENTITY");
    stands().await;
    complete(&twin, &empty).await.expect_code(2).expect_said("MIGRATION_MISSING");
    stands().await;

    let run = Dunlin::start(&pair, "run", &[]);
    wait_until_streaming(&pair).await;
    complete(&pair.source_url(), &empty).await.expect_code(2).expect_said("MIGRATION_MISSING");
    complete(&pair.source_url(), &pair.target_url()).await.expect_halt("ALREADY_RUNNING");
    run.interrupt().await.expect_code(0);
    stands().await;
}

#[tokio::test]
async fn what_is_not_applied_is_said_and_only_what_was_there_is_reported() {
    let pair = TestPair::start().await;
    pair.source_sql("CREATE TABLE item (id int PRIMARY KEY)").await;
    catch_up(&pair).await;
    pair.source_sql("INSERT INTO item VALUES (1)").await;
    let finished = Dunlin::run(&pair, "complete", &[]).await.expect_code(0);
    let finished = finished.expect_said("is not applied on the target, and will not be");
    for dropped in [
        "source: replication slot dunlin_dunlin\n",
        "source: publication dunlin_dunlin\n",
        "source: publication dunlin_dunlin_appending\n",
        "target: state of migration dunlin\n",
        "target: schema dunlin\n",
    ] {
        assert!(finished.stdout.contains(dropped), "{}", finished.stdout);
    }
    let again = Dunlin::run(&pair, "complete", &[]).await.expect_code(0);
    assert!(!again.stdout.contains("dropped"), "{}", again.stdout);
}

#[tokio::test]
async fn an_unfinished_schema_is_finished_so_that_a_run_can_begin_anew() {
    let pair = TestPair::start().await;
    pair.source_sql(
        "CREATE TABLE parent (id int PRIMARY KEY, note text UNIQUE);
         CREATE TABLE child (id int PRIMARY KEY, parent int REFERENCES parent, pad text);
         INSERT INTO parent SELECT n, n FROM generate_series(1, 10) AS n;
         INSERT INTO child SELECT n, n, repeat('x', 2000) FROM generate_series(1, 10) AS n;
         ANALYZE",
    )
    .await;
    let words = ["--workers", "1"];
    let mut run = Dunlin::start_with_failpoint(&pair, "run", &words, "chunk-committed:1");
    run.reaches("chunk-committed").await;
    run.kill().await;
    let finished = Dunlin::run(&pair, "complete", &[]).await.expect_code(0);
    let lines = finished.stdout.lines();
    let left: String = lines
        .filter_map(|line| line.strip_prefix("to be run on the target, once its rows are whole: "))
        .collect();
    assert!(left.contains("VALIDATE CONSTRAINT"), "{}", finished.stdout);
    catch_up_with(&pair, &["--truncate-target", "*"]).await;
    pair.target_sql(&left).await;
    carry(&pair, "UPDATE child SET parent = 1; DELETE FROM parent WHERE id > 5").await;
    let whole = "SELECT count(*) FROM pg_constraint WHERE convalidated AND conrelid <> 0 \
                 AND conrelid::regclass::text IN ('parent', 'child') AND contype <> 'n'";
    let (source, target) = (pair.on_source().await, pair.on_target().await);
    assert_eq!(number::<i64>(&target, whole).await, number::<i64>(&source, whole).await);
}

#[tokio::test]
async fn a_leftover_is_removed_and_a_slot_of_another_database_is_not() {
    let pair = TestPair::start().await;
    pair.source_sql("CREATE TABLE item (id int PRIMARY KEY)").await;
    catch_up(&pair).await;
    pair.target_sql("DROP SCHEMA dunlin CASCADE; DROP TABLE item").await;
    let finished = Dunlin::run(&pair, "complete", &[]).await.expect_code(0);
    assert!(finished.stdout.contains("slot dunlin_dunlin"), "{}", finished.stdout);

    pair.source.create_database("other").await.unwrap();
    let other = pair.source.connect("other").await.unwrap();
    let create = "SELECT pg_create_logical_replication_slot('dunlin_dunlin', 'pgoutput')";
    other.batch_execute(create).await.unwrap();
    let finished = Dunlin::run(&pair, "run", &[]).await.expect_code(3);
    let finished = finished.expect_said("of database other, not in use").expect_said("--name");
    assert!(finished.stderr.contains("SLOT_FOREIGN"), "{}", finished.stderr);
    Dunlin::run(&pair, "complete", &[]).await.expect_code(2).expect_said("MIGRATION_MISSING");
    assert_eq!(number::<i64>(&other, SLOTS).await, 1);
}

#[tokio::test]
async fn a_partition_that_comes_later_can_be_updated_without_a_key_of_its_root() {
    let pair = TestPair::start().await;
    pair.source_sql(
        "CREATE TABLE event (id int) PARTITION BY RANGE (id);
         CREATE TABLE event_1 PARTITION OF event FOR VALUES FROM (0) TO (10);
         ALTER TABLE event_1 ADD PRIMARY KEY (id);
         CREATE TABLE keyed (id int PRIMARY KEY) PARTITION BY RANGE (id);
         CREATE TABLE keyed_1 PARTITION OF keyed FOR VALUES FROM (0) TO (10)",
    )
    .await;
    catch_up(&pair).await;
    pair.source_sql(
        "CREATE TABLE event_2 PARTITION OF event FOR VALUES FROM (10) TO (20);
         INSERT INTO event VALUES (1), (10); UPDATE event SET id = id + 1; DELETE FROM event",
    )
    .await;
    let published = "SELECT string_agg(tablename, ' ' ORDER BY tablename) \
                     FROM pg_publication_rel AS r JOIN pg_publication AS p ON p.oid = r.prpubid \
                     CROSS JOIN LATERAL (SELECT r.prrelid::regclass::text AS tablename) AS t \
                     WHERE p.pubname = 'dunlin_dunlin'";
    let source = pair.on_source().await;
    assert_eq!(text(&source, published).await.as_deref(), Some("event_1 keyed keyed_1"));
}

#[tokio::test]
async fn the_user_of_a_slot_is_ended_and_waited_for() {
    let pair = TestPair::start().await;
    pair.source_sql("CREATE TABLE item (id int PRIMARY KEY)").await;
    catch_up(&pair).await;
    let receiver = std::process::Command::new(pair.source.programs().path("pg_recvlogical"))
        .args(["-d", &pair.source_url(), "--slot", "dunlin_dunlin", "--start", "-f", "/dev/null"])
        .args(["-o", "proto_version=1", "-o", "publication_names=dunlin_dunlin", "--no-loop"])
        .spawn();
    let mut receiver = receiver.unwrap();
    let source = pair.on_source().await;
    let active = "SELECT active FROM pg_replication_slots";
    wait_until("the slot is active", async || number(&source, active).await).await;
    let finished = Dunlin::run(&pair, "complete", &[]).await.expect_code(0);
    assert!(finished.stdout.contains("slot dunlin_dunlin"), "{}", finished.stdout);
    assert_eq!(number::<i64>(&source, SLOTS).await, 0);
    receiver.wait().unwrap();
}
