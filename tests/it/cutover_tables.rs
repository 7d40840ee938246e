//! Tables of a Postgres source that are not as they were: made while a cutover gets ready or waits
//! behind its fence, or with a trigger that an earlier cutover left and somebody took out of force.

use crate::support::promises::TABLE;
use crate::support::steps::{Held, cutover};
use crate::support::{Dunlin, TestPair, catch_up, number};

/// A table that comes meanwhile is named, though others were accepted.
async fn is_named(step: &str, words: &[&str], code: &str) {
    let pair = TestPair::start().await;
    pair.source_sql(TABLE).await;
    catch_up(&pair).await;
    pair.source_sql("CREATE TABLE known (id int PRIMARY KEY)").await;
    let words = [words, &["--accept-warnings"]].concat();
    let held = Held::at(cutover(&pair, &words), step).await;
    pair.source_sql("CREATE TABLE later (id int PRIMARY KEY); INSERT INTO later VALUES (1)").await;
    held.let_go();
    let failed = held.dunlin.finished().await.expect_code(5);
    failed.expect_said(code).expect_said("source: table public.later came into being");
    pair.source_sql("INSERT INTO promise (writer, n) VALUES (1, 1)").await;
    Dunlin::start_command(cutover(&pair, &words)).finished().await.expect_code(0);
    let there = "SELECT count(*) FROM promise WHERE writer = 1";
    assert_eq!(number::<i64>(&pair.on_target().await, there).await, 1);
}

#[tokio::test]
async fn a_table_that_comes_before_the_fence_is_not_left_behind() {
    is_named("way-back-armed", &["--way-back"], "error[CUTOVER_REFUSED]").await;
}

#[tokio::test]
async fn a_table_that_comes_as_the_fence_closes_is_not_left_behind() {
    is_named("cutover-begun", &[], "error[CUTOVER_UNDONE]").await;
}

#[tokio::test]
async fn triggers_that_are_left_are_put_in_force() {
    let pair = TestPair::start().await;
    let tables = "CREATE TABLE shelf (id int PRIMARY KEY); CREATE TABLE board (id int PRIMARY KEY)";
    pair.source_sql(&format!("{TABLE}; {tables}")).await;
    catch_up(&pair).await;
    // As a cutover leaves them that was undone: disabled, not for everybody, and somebody's own.
    pair.source_sql(
        "CREATE SCHEMA dunlin_fence;
         CREATE FUNCTION dunlin_fence.refuse_dunlin() RETURNS trigger LANGUAGE plpgsql
             AS 'BEGIN RETURN NULL; END';
         CREATE TRIGGER dunlin_fence_dunlin BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON promise
             FOR EACH STATEMENT EXECUTE FUNCTION dunlin_fence.refuse_dunlin();
         CREATE TRIGGER dunlin_fence_dunlin BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON shelf
             FOR EACH STATEMENT EXECUTE FUNCTION dunlin_fence.refuse_dunlin();
         CREATE TRIGGER dunlin_fence_dunlin BEFORE DELETE ON board
             FOR EACH STATEMENT EXECUTE FUNCTION dunlin_fence.refuse_dunlin();
         ALTER TABLE promise DISABLE TRIGGER dunlin_fence_dunlin",
    )
    .await;
    Dunlin::start_command(cutover(&pair, &[])).finished().await.expect_code(0);
    let source = pair.on_source().await;
    for statement in [
        "INSERT INTO promise (writer, n) VALUES (1, 1)",
        "INSERT INTO shelf VALUES (1)",
        "INSERT INTO board VALUES (1)",
        "SET session_replication_role = replica; TRUNCATE shelf",
    ] {
        let error = source.batch_execute(statement).await.expect_err(statement);
        assert_eq!(error.code().unwrap().code(), "25006", "{statement}: {error}");
    }
}
