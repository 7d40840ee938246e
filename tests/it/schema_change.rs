//! A table that changes on the source while the stream runs: halt before the first row that needs
//! it, with the statement; run it, and everything goes on.

use crate::support::compare::assert_equal;
use crate::support::{Dunlin, TestPair, catch_up, catch_up_with, number, text};

const TABLE: &str = "CREATE TABLE item (id int PRIMARY KEY, note text, size int);
     INSERT INTO item SELECT n, 'old', n FROM generate_series(1, 10) AS n";

/// Changes the table between rows, and expects the halt, the words, and the way on.
async fn changes(change: &str, row: &str, said: &str, remedy: &str) {
    let pair = TestPair::start().await;
    pair.source_sql(TABLE).await;
    catch_up(&pair).await;
    pair.source_sql("INSERT INTO item VALUES (11, 'before', 11)").await;
    pair.source_sql(change).await;
    pair.source_sql(row).await;
    let halted = Dunlin::run(&pair, "run", &[]).await.expect_halt("SCHEMA_CHANGED");
    halted.expect_said("public.item").expect_said(said);
    let target = pair.on_target().await;
    let rows = "SELECT count(*) FROM item";
    assert_eq!(number::<i64>(&target, rows).await, 11, "what came before is applied");
    Dunlin::run(&pair, "run", &[]).await.expect_halt("SCHEMA_CHANGED");
    pair.target_sql(remedy).await;
    catch_up(&pair).await;
    assert_equal(&pair).await;
    assert_eq!(number::<i64>(&target, rows).await, 12);
}

#[tokio::test]
async fn a_dropped_column_halts_with_its_statement() {
    let statement = r#"ALTER TABLE "public"."item" DROP COLUMN "note""#;
    changes(
        "ALTER TABLE item DROP COLUMN note",
        "INSERT INTO item VALUES (12, 12)",
        statement,
        statement,
    )
    .await;
}

#[tokio::test]
async fn a_renamed_column_halts() {
    changes(
        "ALTER TABLE item RENAME COLUMN note TO remark",
        "INSERT INTO item (id, remark) VALUES (12, 'after')",
        r#"ALTER TABLE "public"."item" RENAME COLUMN "note" TO "remark""#,
        "ALTER TABLE item RENAME COLUMN note TO remark",
    )
    .await;
}

#[tokio::test]
async fn a_swapped_pair_of_column_names_reaches_the_right_columns() {
    changes(
        "ALTER TABLE item RENAME COLUMN note TO spare; ALTER TABLE item RENAME size TO note; \
         ALTER TABLE item RENAME spare TO size",
        "INSERT INTO item (id, note, size) VALUES (12, 12, 'after')",
        "of another type",
        "ALTER TABLE item RENAME COLUMN note TO spare; ALTER TABLE item RENAME size TO note; \
         ALTER TABLE item RENAME spare TO size",
    )
    .await;
}

#[tokio::test]
async fn a_changed_type_halts_with_its_statement() {
    changes(
        "ALTER TABLE item ALTER COLUMN size TYPE bigint",
        "INSERT INTO item VALUES (12, 'after', 3000000000)",
        r#"ALTER COLUMN "size" TYPE"#,
        "ALTER TABLE item ALTER COLUMN size TYPE bigint",
    )
    .await;
}

#[tokio::test]
async fn a_changed_modifier_halts() {
    changes(
        "ALTER TABLE item ALTER COLUMN note TYPE varchar(10)",
        "INSERT INTO item VALUES (12, 'after', 12)",
        r#"ALTER COLUMN "note" TYPE"#,
        "ALTER TABLE item ALTER COLUMN note TYPE varchar(10)",
    )
    .await;
}

#[tokio::test]
async fn a_renamed_table_halts_with_its_statement() {
    let pair = TestPair::start().await;
    pair.source_sql(TABLE).await;
    catch_up(&pair).await;
    pair.source_sql("INSERT INTO item VALUES (11, 'before', 11)").await;
    pair.source_sql("ALTER TABLE item RENAME TO article").await;
    pair.source_sql("INSERT INTO article VALUES (12, 'after', 12)").await;
    let halted = Dunlin::run(&pair, "run", &[]).await.expect_halt("SCHEMA_CHANGED");
    let statement = r#"ALTER TABLE "public"."item" RENAME TO "article""#;
    halted.expect_said(statement);
    pair.target_sql(statement).await;
    catch_up(&pair).await;
    assert_equal(&pair).await;
}

#[tokio::test]
async fn a_change_inside_of_a_transaction_halts_before_all_of_it() {
    let pair = TestPair::start().await;
    pair.source_sql(TABLE).await;
    catch_up(&pair).await;
    pair.source_sql(
        "BEGIN; INSERT INTO item VALUES (11, 'before', 11); COMMIT; \
         BEGIN; INSERT INTO item VALUES (12, 'within', 12); \
         ALTER TABLE item DROP COLUMN note; UPDATE item SET size = 0 WHERE id > 5; COMMIT; \
         BEGIN; DELETE FROM item WHERE id = 1; COMMIT",
    )
    .await;
    Dunlin::run(&pair, "run", &[]).await.expect_halt("SCHEMA_CHANGED");
    let target = pair.on_target().await;
    let ids = text(&target, "SELECT string_agg(id::text, ',' ORDER BY id) FROM item").await;
    assert_eq!(ids.as_deref(), Some("1,2,3,4,5,6,7,8,9,10,11"));
    catch_up_with(&pair, &["--on-drop-column", "drop"]).await;
    assert_equal(&pair).await;
}

#[tokio::test]
async fn changes_that_rows_do_not_show_pass() {
    let pair = TestPair::start().await;
    pair.source_sql(TABLE).await;
    catch_up(&pair).await;
    pair.source_sql(
        "ALTER TABLE item ALTER note SET DEFAULT 'x', ALTER size SET NOT NULL; \
         CREATE INDEX ON item (size); ALTER TABLE item REPLICA IDENTITY FULL; \
         INSERT INTO item VALUES (11, 'after', 11); DELETE FROM item WHERE id = 1; \
         ALTER TABLE item REPLICA IDENTITY DEFAULT; UPDATE item SET id = 20 WHERE id = 2; \
         UPDATE item SET note = 'later' WHERE id = 20",
    )
    .await;
    catch_up(&pair).await;
    assert_equal(&pair).await;
}
