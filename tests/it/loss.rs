//! Nothing is lost: order, keepalives, the hand-over, keys, identities, unchanged values.

use crate::support::compare::assert_equal;
use crate::support::{Dunlin, TestPair, carry, catch_up, number, text, wait_until};

/// A value too large for its row and too random to be compressed, so that it is stored apart and
/// left out of the log while it does not change.
const LARGE: &str = "(SELECT string_agg(md5(random()::text), '') FROM generate_series(1, 400))";

const CONFIRMED: &str = "SELECT confirmed_flush_lsn::text FROM pg_replication_slots \
     WHERE slot_name = 'dunlin_dunlin'";
const CHECKPOINT: &str = "SELECT position ->> 'at' FROM dunlin.checkpoint";

#[tokio::test]
async fn loss_01_a_transaction_that_began_first_and_committed_last_arrives() {
    let pair = TestPair::start().await;
    pair.source_sql("CREATE TABLE item (id int PRIMARY KEY, note text)").await;
    catch_up(&pair).await;
    let slow = pair.on_source().await;
    slow.batch_execute("BEGIN; INSERT INTO item VALUES (1, 'began first')").await.unwrap();
    pair.source_sql("INSERT INTO item VALUES (2, 'committed first')").await;
    catch_up(&pair).await;
    let target = pair.on_target().await;
    assert_eq!(number::<i64>(&target, "SELECT count(*) FROM item").await, 1);
    slow.batch_execute("INSERT INTO item VALUES (3, 'late'); COMMIT").await.unwrap();
    catch_up(&pair).await;
    assert_equal(&pair).await;
    assert_eq!(number::<i64>(&target, "SELECT count(*) FROM item").await, 3);
}

#[tokio::test]
async fn loss_02_a_keepalive_between_receipt_and_commit_acknowledges_nothing() {
    let pair = TestPair::start().await;
    pair.source_sql("CREATE TABLE item (id int PRIMARY KEY)").await;
    catch_up(&pair).await;
    let source = pair.on_source().await;
    let before = text(&source, CONFIRMED).await;
    let mut held = Dunlin::start_with_failpoint(&pair, "run", &[], "group-applied");
    pair.source_sql("INSERT INTO item VALUES (1)").await;
    held.reaches("group-applied").await;
    // An answer to a keepalive is on its way when the server has heard from us once more.
    let heard =
        "SELECT reply_time::text FROM pg_stat_replication WHERE application_name = 'dunlin'";
    for _ in 0..3 {
        let last = text(&source, heard).await;
        pair.source_sql("CREATE TABLE other (); DROP TABLE other").await;
        wait_until("the server hears from dunlin", async || text(&source, heard).await != last)
            .await;
    }
    let checkpoint = text(&pair.on_target().await, CHECKPOINT).await;
    let confirmed = text(&source, CONFIRMED).await;
    let compare = format!(
        "SELECT '{}'::pg_lsn <= '{}'::pg_lsn",
        confirmed.clone().unwrap(),
        checkpoint.unwrap()
    );
    assert!(number::<bool>(&source, &compare).await, "{before:?} became {confirmed:?}");
    held.kill().await;
    catch_up(&pair).await;
    assert_equal(&pair).await;
}

#[tokio::test]
async fn loss_03_commits_around_the_consistent_point_arrive_once() {
    let pair = TestPair::start().await;
    pair.source_sql(
        "CREATE TABLE tick (writer int, number int, PRIMARY KEY (writer, number));
         CREATE PROCEDURE write(writer int) LANGUAGE plpgsql AS $$
         BEGIN
             FOR number IN 1..100000 LOOP
                 INSERT INTO tick VALUES (writer, number);
                 COMMIT;
                 EXIT WHEN EXISTS (SELECT FROM pg_replication_slots
                                   WHERE confirmed_flush_lsn IS NOT NULL) AND number % 200 = 0;
             END LOOP;
         END $$",
    )
    .await;
    let writers: Vec<_> = futures_util::future::join_all((0..4).map(|_| pair.on_source())).await;
    let run = Dunlin::start(&pair, "run", &["--until", "caught-up"]);
    let calls = (0..).zip(&writers).map(|(number, writer)| async move {
        writer.batch_execute(&format!("CALL write({number})")).await.unwrap();
    });
    futures_util::future::join_all(calls).await;
    run.finished().await.expect_code(0);
    catch_up(&pair).await;
    assert_equal(&pair).await;
}

#[tokio::test]
async fn loss_04_a_slot_that_was_dropped_or_made_anew_halts() {
    let pair = TestPair::start().await;
    pair.source_sql("CREATE TABLE item (id int PRIMARY KEY)").await;
    catch_up(&pair).await;
    pair.source_sql("SELECT pg_drop_replication_slot('dunlin_dunlin')").await;
    pair.source_sql("INSERT INTO item VALUES (1)").await;
    Dunlin::run(&pair, "run", &[]).await.expect_halt("SLOT_MISSING");
    pair.source_sql("SELECT pg_create_logical_replication_slot('dunlin_dunlin', 'pgoutput')").await;
    Dunlin::run(&pair, "run", &[]).await.expect_halt("SLOT_AHEAD");
    let rows: i64 = number(&pair.on_target().await, "SELECT count(*) FROM item").await;
    assert_eq!(rows, 0, "nothing after the gap was applied");
}

#[tokio::test]
async fn loss_05_a_slot_that_somebody_else_advanced_halts() {
    let pair = TestPair::start().await;
    pair.source_sql("CREATE TABLE item (id int PRIMARY KEY)").await;
    catch_up(&pair).await;
    pair.source_sql("INSERT INTO item VALUES (1)").await;
    pair.source_sql(
        "SELECT pg_replication_slot_advance('dunlin_dunlin', pg_current_wal_flush_lsn())",
    )
    .await;
    Dunlin::run(&pair, "run", &[]).await.expect_halt("SLOT_AHEAD");
}

#[tokio::test]
async fn loss_06_another_cluster_or_timeline_halts() {
    let pair = TestPair::start().await;
    pair.source_sql("CREATE TABLE item (id int PRIMARY KEY)").await;
    catch_up(&pair).await;
    let known = "SELECT source::text FROM dunlin.migration";
    let target = pair.on_target().await;
    let identity: String = number(&target, known).await;
    pair.target_sql(r#"UPDATE dunlin.migration SET source = source || '{"timeline": "7"}'"#).await;
    Dunlin::run(&pair, "run", &[]).await.expect_halt("SOURCE_TIMELINE");
    let restore = "UPDATE dunlin.migration SET source = $1::text::jsonb";
    target.execute(restore, &[&identity]).await.unwrap();
    let other = TestPair::start().await;
    other.source_sql("CREATE TABLE item (id int PRIMARY KEY)").await;
    let mut command = Dunlin::command(&["run", "--source", &other.source_url()]);
    command.args(["--target", &pair.target_url()]);
    let finished = Dunlin::start_command(command).finished().await;
    finished.expect_halt("SOURCE_IDENTITY");
    carry(&pair, "INSERT INTO item VALUES (1)").await;
}

#[tokio::test]
async fn loss_07_a_row_that_the_target_refuses_halts_and_is_kept() {
    let pair = TestPair::start().await;
    pair.source_sql("CREATE TABLE item (id int PRIMARY KEY, size int)").await;
    catch_up(&pair).await;
    pair.target_sql("ALTER TABLE item ADD CONSTRAINT small CHECK (size < 10)").await;
    pair.source_sql(
        "BEGIN; INSERT INTO item VALUES (1, 1); COMMIT; \
         BEGIN; INSERT INTO item VALUES (2, 20); COMMIT; \
         BEGIN; INSERT INTO item VALUES (3, 3); COMMIT",
    )
    .await;
    let refused = Dunlin::run(&pair, "run", &[]).await.expect_halt("TARGET_REFUSED");
    refused.expect_said("constraint small").expect_said("public.item");
    pair.target_sql("ALTER TABLE item DROP CONSTRAINT small").await;
    catch_up(&pair).await;
    assert_equal(&pair).await;
}

#[tokio::test]
async fn loss_08_an_update_or_delete_that_meets_no_row_halts() {
    let pair = TestPair::start().await;
    pair.source_sql(
        "CREATE TABLE item (id int PRIMARY KEY, note text);
         INSERT INTO item SELECT n, 'old' FROM generate_series(1, 3) AS n",
    )
    .await;
    catch_up(&pair).await;
    pair.target_sql("DELETE FROM item WHERE id IN (1, 2)").await;
    pair.source_sql("UPDATE item SET note = 'new' WHERE id = 1").await;
    Dunlin::run(&pair, "run", &[]).await.expect_halt("ROW_MISSING").expect_said("public.item");
    pair.target_sql("INSERT INTO item VALUES (1, 'old')").await;
    catch_up(&pair).await;
    pair.source_sql("DELETE FROM item WHERE id = 2").await;
    Dunlin::run(&pair, "run", &[]).await.expect_halt("ROW_MISSING");
    pair.target_sql("INSERT INTO item VALUES (2, 'old')").await;
    catch_up(&pair).await;
    pair.target_sql("INSERT INTO item VALUES (4, 'foreign')").await;
    pair.source_sql("INSERT INTO item VALUES (4, 'ours')").await;
    Dunlin::run(&pair, "run", &[]).await.expect_halt("TARGET_REFUSED");
    pair.target_sql("DELETE FROM item WHERE id = 4").await;
    catch_up(&pair).await;
    assert_equal(&pair).await;
}

#[tokio::test]
async fn loss_09_truncate_of_several_tables_with_its_options() {
    let pair = TestPair::start().await;
    pair.source_sql(
        "CREATE TABLE one (id serial PRIMARY KEY, note text);
         CREATE TABLE two (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, \
                           one int REFERENCES one);
         CREATE TABLE three (id int PRIMARY KEY);
         CREATE TABLE parent (id int PRIMARY KEY);
         CREATE TABLE child () INHERITS (parent);
         INSERT INTO one (note) SELECT 'x' FROM generate_series(1, 100);
         INSERT INTO two (one) SELECT n FROM generate_series(1, 100) AS n;
         INSERT INTO three SELECT generate_series(1, 100);
         INSERT INTO parent SELECT generate_series(1, 10);
         INSERT INTO child SELECT generate_series(11, 20)",
    )
    .await;
    catch_up(&pair).await;
    carry(
        &pair,
        "INSERT INTO three VALUES (101); TRUNCATE one, three CASCADE; \
         INSERT INTO one (note) VALUES ('after'); INSERT INTO three VALUES (101); \
         TRUNCATE ONLY parent; INSERT INTO parent VALUES (1)",
    )
    .await;
    carry(
        &pair,
        "TRUNCATE one RESTART IDENTITY CASCADE; INSERT INTO one (note) VALUES ('first'); \
         INSERT INTO two (one) VALUES (1), (1); TRUNCATE parent",
    )
    .await;
    Dunlin::run(&pair, "complete", &[]).await.expect_code(0);
    pair.target_sql("INSERT INTO one (note) VALUES ('second'); INSERT INTO two (one) VALUES (2)")
        .await;
    let target = pair.on_target().await;
    assert_eq!(number::<i32>(&target, "SELECT max(id) FROM one").await, 2);
    assert_eq!(number::<i32>(&target, "SELECT max(id) FROM two").await, 3);
}

#[tokio::test]
async fn loss_10_key_updates_keep_values_that_are_not_in_the_log() {
    let pair = TestPair::start().await;
    pair.source_sql(&format!(
        "CREATE TABLE item (id int PRIMARY KEY, note text, large text, other text);
         ALTER TABLE item ALTER large SET STORAGE EXTERNAL;
         INSERT INTO item SELECT n, 'old', {LARGE}, {LARGE} FROM generate_series(1, 20) AS n"
    ))
    .await;
    catch_up(&pair).await;
    carry(&pair, "UPDATE item SET id = 101 WHERE id = 1").await;
    carry(&pair, "UPDATE item SET id = id + 1000 WHERE id BETWEEN 2 AND 5").await;
    carry(
        &pair,
        "UPDATE item SET note = 'before' WHERE id = 6; UPDATE item SET id = 106 WHERE id = 6; \
         UPDATE item SET note = 'after' WHERE id = 106; \
         UPDATE item SET other = 'short' WHERE id = 106",
    )
    .await;
    carry(
        &pair,
        "UPDATE item SET id = 107 WHERE id = 7; INSERT INTO item VALUES (7, 'new', 'short'); \
         UPDATE item SET id = 207 WHERE id = 107; DELETE FROM item WHERE id = 8; \
         UPDATE item SET id = 8 WHERE id = 207",
    )
    .await;
    carry(
        &pair,
        &format!(
            "INSERT INTO item VALUES (300, 'new', {LARGE}); \
             UPDATE item SET id = 301 WHERE id = 300; UPDATE item SET note = 'x' WHERE id = 301; \
             UPDATE item SET id = 109 WHERE id = 9; DELETE FROM item WHERE id = 109; \
             UPDATE item SET id = 110, large = NULL WHERE id = 10"
        ),
    )
    .await;
}

#[tokio::test]
async fn loss_11_unique_values_change_hands_within_a_group() {
    let pair = TestPair::start().await;
    pair.source_sql(
        "CREATE TABLE account (id int PRIMARY KEY, mail text UNIQUE, rank int, \
                               UNIQUE (rank) DEFERRABLE INITIALLY DEFERRED);
         INSERT INTO account SELECT n, n || '@x', n FROM generate_series(1, 200) AS n",
    )
    .await;
    catch_up(&pair).await;
    carry(&pair, "DELETE FROM account WHERE id = 1; INSERT INTO account VALUES (201, '1@x', 1)")
        .await;
    carry(
        &pair,
        "UPDATE account SET mail = 'parked' WHERE id = 2; \
         UPDATE account SET mail = '2@x' WHERE id = 3; \
         UPDATE account SET mail = '3@x' WHERE id = 2",
    )
    .await;
    carry(
        &pair,
        "UPDATE account SET rank = CASE rank WHEN 4 THEN 5 ELSE 4 END WHERE rank IN (4, 5)",
    )
    .await;
    carry(&pair, "UPDATE account SET rank = 206 - rank WHERE id > 5").await;
    carry(
        &pair,
        "BEGIN; UPDATE account SET id = id + 1000; COMMIT; \
         BEGIN; UPDATE account SET id = 3201 - id; COMMIT",
    )
    .await;
    carry(
        &pair,
        "DELETE FROM account; INSERT INTO account \
         SELECT n, (201 - n) || '@x', 201 - n FROM generate_series(1, 200) AS n",
    )
    .await;
}

#[tokio::test]
async fn loss_12_full_identity_finds_exactly_one_row() {
    let pair = TestPair::start().await;
    pair.source_sql(&format!(
        r#"CREATE TABLE loose (n int, c char(8), j json, p point, x numeric, t text, v varchar,
                               f float8, y text COLLATE "C");
           ALTER TABLE loose REPLICA IDENTITY FULL;
           INSERT INTO loose VALUES
               (1, 'a', '{{"k": 1}}', '(1,2)', 1.0, NULL, '', 'NaN', 'y'),
               (1, 'a', '{{"k": 1}}', '(1,2)', 1.0, NULL, '', 'NaN', 'y'),
               (1, 'a', '{{"k": 1}}', '(1,2)', 1.0, NULL, '', 'NaN', 'y'),
               (1, 'a', '{{"k":1}}', '(1,2)', 1.0, NULL, '', 'NaN', 'y'),
               (1, 'a', '{{"k": 1}}', '(1,2)', 1.00, NULL, '', 'NaN', 'y'),
               (NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
               (NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
               (2, 'b  ', '[]', '(0,-0)', 0, '', ' ', '-0', E'\\');
           INSERT INTO loose (n, t) SELECT 3, {LARGE} FROM generate_series(1, 3);
           CREATE TABLE keyed (id int PRIMARY KEY, j json, t text);
           ALTER TABLE keyed REPLICA IDENTITY FULL;
           INSERT INTO keyed SELECT n, '{{}}', {LARGE} FROM generate_series(1, 5) AS n"#
    ))
    .await;
    catch_up(&pair).await;
    let one = "(SELECT ctid FROM loose WHERE n = 1 AND x::text = '1.0' AND j::text LIKE '%: 1%' \
               LIMIT 1)";
    carry(&pair, &format!("DELETE FROM loose WHERE ctid = {one}")).await;
    carry(&pair, &format!("UPDATE loose SET t = t WHERE ctid = {one}")).await;
    carry(&pair, &format!("UPDATE loose SET x = 1.000 WHERE ctid = {one}")).await;
    carry(&pair, "DELETE FROM loose WHERE ctid = (SELECT ctid FROM loose WHERE n IS NULL LIMIT 1)")
        .await;
    carry(
        &pair,
        "UPDATE loose SET n = 4 WHERE n = 3; UPDATE loose SET c = 'c' WHERE n = 2; \
         DELETE FROM loose WHERE ctid = (SELECT ctid FROM loose WHERE n = 4 LIMIT 1); \
         INSERT INTO loose (n) VALUES (5), (5), (5); \
         DELETE FROM loose WHERE ctid = (SELECT ctid FROM loose WHERE n = 5 LIMIT 1)",
    )
    .await;
    carry(
        &pair,
        "UPDATE keyed SET j = '[1]' WHERE id = 1; UPDATE keyed SET id = 12 WHERE id = 2; \
         UPDATE keyed SET j = j WHERE id = 3; DELETE FROM keyed WHERE id = 4",
    )
    .await;
    carry(&pair, "DELETE FROM loose").await;
}

#[tokio::test]
async fn loss_13_unchanged_json_that_is_stored_apart_stays() {
    let pair = TestPair::start().await;
    pair.source_sql(&format!(
        "CREATE TABLE document (id int PRIMARY KEY, body json, bin jsonb, raw bytea, n int);
         ALTER TABLE document ALTER body SET STORAGE EXTERNAL;
         INSERT INTO document SELECT n, to_json({LARGE}), to_jsonb({LARGE}), \
             decode({LARGE}, 'hex'), 0 FROM generate_series(1, 100) AS n"
    ))
    .await;
    catch_up(&pair).await;
    carry(&pair, "UPDATE document SET n = 1 WHERE id = 1").await;
    carry(
        &pair,
        "BEGIN; UPDATE document SET n = id; COMMIT; \
         BEGIN; UPDATE document SET body = '{}' WHERE id < 50; COMMIT; \
         BEGIN; UPDATE document SET raw = NULL, n = n + 1 WHERE id % 2 = 0; COMMIT; \
         BEGIN; UPDATE document SET id = id + 100 WHERE id > 90; COMMIT; \
         BEGIN; DELETE FROM document WHERE id = 70; COMMIT",
    )
    .await;
}

#[tokio::test]
async fn loss_15_a_table_dropped_and_made_anew_halts() {
    let pair = TestPair::start().await;
    pair.source_sql("CREATE TABLE item (id int PRIMARY KEY); CREATE TABLE other (LIKE item)").await;
    catch_up(&pair).await;
    pair.source_sql("INSERT INTO item VALUES (1); DROP TABLE item").await;
    pair.source_sql("CREATE TABLE item (id int PRIMARY KEY); INSERT INTO item VALUES (2)").await;
    let halted = Dunlin::run(&pair, "run", &[]).await.expect_halt("TABLE_RECREATED");
    halted.expect_said("public.item");
}
