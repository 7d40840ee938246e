//! Columns that are added or dropped on the source while the stream runs, carried over at their
//! place in the log: the rows from before hold what they hold on the source, whatever the catalog
//! says by the time it is read.

use crate::support::compare::assert_equal;
use crate::support::{Dunlin, TestPair, carry, catch_up, catch_up_with, number, text, wait_until};

const ITEM: &str = "CREATE TYPE mood AS ENUM ('sad', 'glad');
     CREATE TABLE item (id int PRIMARY KEY, note text, size int);
     INSERT INTO item SELECT n, 'old', n FROM generate_series(1, 10) AS n";

/// Every column of every table: type, collation, NOT NULL, default, how it is generated.
const DEFINITIONS: &str =
    "SELECT string_agg(format('%s.%s %s %s %s %s %s %s', c.relname, a.attname,
         format_type(a.atttypid, a.atttypmod), a.attcollation::regcollation, a.attnotnull,
         a.attgenerated, a.attidentity, pg_get_expr(d.adbin, d.adrelid)), E'\\n'
         ORDER BY c.relname, a.attname)
     FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
     LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
     WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p')
         AND c.relnamespace = 'public'::regnamespace";

async fn pair(setup: &str) -> TestPair {
    let pair = TestPair::start().await;
    pair.source_sql(setup).await;
    catch_up(&pair).await;
    pair
}

/// Runs statements, each in a transaction of its own unless they say otherwise.
async fn one_by_one(pair: &TestPair, statements: &str) {
    let source = pair.on_source().await;
    for statement in statements.split(';').filter(|statement| !statement.trim().is_empty()) {
        source.batch_execute(statement).await.unwrap();
    }
}

async fn assert_defined_alike(pair: &TestPair) {
    let source = text(&pair.on_source().await, DEFINITIONS).await;
    assert_eq!(source, text(&pair.on_target().await, DEFINITIONS).await);
}

/// Makes changes while dunlin is down; they arrive without the operator, definitions included, and
/// without a copy.
async fn carried(pair: &TestPair, changes: &str) {
    one_by_one(pair, changes).await;
    let said = catch_up(pair).await;
    assert!(!said.stderr.contains("copied again"), "{}", said.stderr);
    assert_equal(pair).await;
    assert_defined_alike(pair).await;
}

/// The same, but what was not in the log has to be copied.
async fn copied_again(pair: &TestPair, changes: &str) {
    one_by_one(pair, changes).await;
    catch_up(pair).await.expect_said("will be copied again");
    assert_equal(pair).await;
    assert_defined_alike(pair).await;
}

#[tokio::test]
async fn added_columns_arrive_with_type_default_and_older_values() {
    let pair = pair(ITEM).await;
    carried(
        &pair,
        "INSERT INTO item VALUES (11, 'before', 11);
         ALTER TABLE item ADD COLUMN plain int;
         INSERT INTO item VALUES (12, 'between', 12, 12);
         ALTER TABLE item ADD COLUMN tags text[] NOT NULL DEFAULT '{a,\"b c\"}',
             ADD COLUMN mood mood DEFAULT 'glad', ADD COLUMN price numeric(10,2) DEFAULT 1.5;
         INSERT INTO item VALUES (13, 'between', 13, 13, '{}', 'sad', 3);
         ALTER TABLE item ADD COLUMN since timestamptz DEFAULT now();
         ALTER TABLE item ADD COLUMN word text COLLATE \"C\" DEFAULT E'it''s\\\\ \"so\"';
         INSERT INTO item (id) VALUES (14);
         UPDATE item SET plain = id WHERE id < 5; DELETE FROM item WHERE id = 2",
    )
    .await;
    carried(&pair, "INSERT INTO item (id) VALUES (15); UPDATE item SET since = '-infinity'").await;
}

#[tokio::test]
async fn a_column_comes_in_the_middle_of_a_transaction() {
    let pair = pair(ITEM).await;
    carried(
        &pair,
        "BEGIN; INSERT INTO item VALUES (11, 'before', 11); UPDATE item SET note = 'x' WHERE id = 1;
         ALTER TABLE item ADD COLUMN a int DEFAULT 7; UPDATE item SET a = id WHERE id > 8;
         ALTER TABLE item ADD COLUMN b text DEFAULT 'b'; INSERT INTO item VALUES (12, '', 1, 2, '3');
         DELETE FROM item WHERE id = 3; COMMIT;
         BEGIN; DELETE FROM item WHERE id = 4; ALTER TABLE item DROP COLUMN a;
         ALTER TABLE item ADD COLUMN c int; INSERT INTO item VALUES (13, '', 1, 'b', 2); ROLLBACK;
         DELETE FROM item WHERE id = 5",
    )
    .await;
}

#[tokio::test]
async fn values_that_are_in_no_log_are_copied() {
    let pair = pair(ITEM).await;
    copied_again(
        &pair,
        "INSERT INTO item VALUES (11, 'before', 11);
         ALTER TABLE item ADD COLUMN token uuid NOT NULL DEFAULT gen_random_uuid();
         INSERT INTO item VALUES (12, 'after', 12); UPDATE item SET note = 'y' WHERE id < 4;
         ALTER TABLE item ADD COLUMN later int DEFAULT 1; UPDATE item SET later = 2 WHERE id = 1",
    )
    .await;
    copied_again(
        &pair,
        "ALTER TABLE item ADD COLUMN number int GENERATED ALWAYS AS IDENTITY;
         INSERT INTO item (id) VALUES (13)",
    )
    .await;
    carried(&pair, "INSERT INTO item (id) VALUES (14); DELETE FROM item WHERE id = 12").await;
}

/// All that the log says before the new copy is passed over, in whatever shape it says it.
#[tokio::test]
async fn a_copied_table_passes_over_its_former_shapes() {
    let pair =
        pair("CREATE TABLE item (a int, id int PRIMARY KEY); INSERT INTO item VALUES (8, 9)").await;
    one_by_one(
        &pair,
        "INSERT INTO item VALUES (1, 2); UPDATE item SET id = 3 WHERE id = 2;
         ALTER TABLE item ADD COLUMN token uuid DEFAULT gen_random_uuid();
         UPDATE item SET id = 4 WHERE id = 3; ALTER TABLE item DROP COLUMN a;
         INSERT INTO item (id) VALUES (5); DELETE FROM item WHERE id = 9",
    )
    .await;
    let said = catch_up_with(&pair, &["--on-drop-column", "drop"]).await;
    said.expect_said("will be copied again");
    assert_equal(&pair).await;
    carried(&pair, "UPDATE item SET id = 6 WHERE id = 5").await;
}

#[tokio::test]
async fn a_generated_column_is_computed_here_too() {
    let pair = pair(ITEM).await;
    copied_again(
        &pair,
        "ALTER TABLE item ADD COLUMN base int DEFAULT 2,
             ADD COLUMN twice int GENERATED ALWAYS AS (size * 2) STORED;
         INSERT INTO item VALUES (11, 'after', 11, 3)",
    )
    .await;
}

#[tokio::test]
async fn the_catalog_may_be_ahead_of_the_log() {
    let pair = pair(ITEM).await;
    // Dropped by the time it is looked up.
    one_by_one(
        &pair,
        "ALTER TABLE item ADD COLUMN passing varchar(10) DEFAULT 'p';
         INSERT INTO item VALUES (11, 'with', 11, 'q'); ALTER TABLE item DROP COLUMN passing;
         INSERT INTO item VALUES (12, 'without', 12)",
    )
    .await;
    let halted = Dunlin::run(&pair, "run", &[]).await.expect_halt("SCHEMA_CHANGED");
    let statement = r#"ALTER TABLE "public"."item" DROP COLUMN "passing""#;
    halted.expect_said(statement);
    pair.target_sql(statement).await;
    carried(&pair, "DELETE FROM item WHERE id = 11").await;
    // The default is another one by then; the name another column's; the type another one.
    carried(
        &pair,
        "ALTER TABLE item ADD COLUMN a int DEFAULT 1; UPDATE item SET size = 0 WHERE id = 1;
         ALTER TABLE item ALTER a SET DEFAULT 2; UPDATE item SET size = 0 WHERE id = 2;
         ALTER TABLE item ALTER a DROP DEFAULT; ALTER TABLE item ALTER a SET NOT NULL;
         ALTER TABLE item ALTER a DROP NOT NULL; INSERT INTO item (id, a) VALUES (20, NULL)",
    )
    .await;
    copied_again(
        &pair,
        "ALTER TABLE item ADD COLUMN b int DEFAULT 1; UPDATE item SET size = 0 WHERE id = 3;
         ALTER TABLE item DROP COLUMN b; ALTER TABLE item ADD COLUMN b int DEFAULT 2;
         UPDATE item SET size = 1 WHERE id = 3",
    )
    .await;
    copied_again(
        &pair,
        "ALTER TABLE item ADD COLUMN c varchar(5) DEFAULT 'c'; UPDATE item SET c = 'd' WHERE id = 3;
         ALTER TABLE item ALTER c TYPE text; UPDATE item SET c = 'long enough' WHERE id = 4",
    )
    .await;
    copied_again(
        &pair,
        "ALTER TABLE item ADD COLUMN d int DEFAULT 1; UPDATE item SET d = 5 WHERE id = 3;
         VACUUM FULL item",
    )
    .await;
}

#[tokio::test]
async fn a_table_that_was_rewritten_before_is_not_copied_for_a_plain_column() {
    let pair = pair(ITEM).await;
    pair.source_sql("VACUUM FULL item").await;
    catch_up(&pair).await;
    pair.source_sql("INSERT INTO item VALUES (11, 'x', 1)").await;
    carried(&pair, "DELETE FROM item WHERE id = 1").await;
    let mut run = Dunlin::start(&pair, "run", &[]);
    run.says("caught up").await;
    let target = pair.on_target().await;
    pair.source_sql("ALTER TABLE item ADD COLUMN a int; UPDATE item SET a = 1 WHERE id = 2").await;
    run.says("altered as on the source").await;
    let updated = "SELECT EXISTS (SELECT FROM item AS i WHERE to_jsonb(i)->>'a' = '1')";
    wait_until("the row is updated", async || number(&target, updated).await).await;
    run.interrupt().await.expect_code(0);
    carried(&pair, "INSERT INTO item (id) VALUES (12)").await;
}

#[tokio::test]
async fn killed_between_the_alteration_and_its_checkpoint() {
    let pair = pair(ITEM).await;
    one_by_one(
        &pair,
        "ALTER TABLE item ADD COLUMN a int DEFAULT 5; INSERT INTO item VALUES (11, 'after', 11, 6)",
    )
    .await;
    for failpoint in ["table-altered", "group-applied", "group-committed"] {
        let mut run = Dunlin::start_with_failpoint(&pair, "run", &[], failpoint);
        run.reaches(failpoint).await;
        run.kill().await;
    }
    carried(&pair, "UPDATE item SET a = 8 WHERE id = 4").await;
}

#[tokio::test]
async fn a_type_that_is_missing_halts_and_goes_on() {
    let pair = pair(ITEM).await;
    pair.source_sql(
        "CREATE TYPE colour AS ENUM ('red'); ALTER TABLE item ADD COLUMN colour colour;
         INSERT INTO item VALUES (11, 'after', 11, 'red')",
    )
    .await;
    let halted = Dunlin::run(&pair, "run", &[]).await.expect_halt("SCHEMA_CHANGED");
    halted.expect_said(r#"ADD COLUMN "colour" public.colour"#).expect_said("does not exist");
    pair.target_sql("CREATE TYPE colour AS ENUM ('red')").await;
    carried(&pair, "DELETE FROM item WHERE id = 1").await;
}

const PARTS: &str =
    "CREATE TABLE part (id int, at int, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
     CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM (0) TO (10);
     CREATE TABLE part_2 (at int NOT NULL, gone int, id int NOT NULL);
     ALTER TABLE part_2 DROP COLUMN gone;
     ALTER TABLE part ATTACH PARTITION part_2 FOR VALUES FROM (10) TO (20);
     INSERT INTO part SELECT n, n FROM generate_series(0, 19) AS n";

#[tokio::test]
async fn columns_of_partitioned_tables_come_and_go_at_the_root() {
    let pair = pair(PARTS).await;
    carried(
        &pair,
        "INSERT INTO part VALUES (30, 15); ALTER TABLE part ADD COLUMN a int DEFAULT 4;
         INSERT INTO part VALUES (31, 5, 1), (32, 15, 2);
         ALTER TABLE part ADD COLUMN b timestamptz DEFAULT now(), ADD COLUMN c text;
         UPDATE part SET c = 'c' WHERE id > 17",
    )
    .await;
    copied_again(
        &pair,
        "ALTER TABLE part ADD COLUMN d uuid DEFAULT gen_random_uuid();
         INSERT INTO part VALUES (33, 5)",
    )
    .await;
    let drop = ["--on-drop-column", "drop"];
    one_by_one(
        &pair,
        "ALTER TABLE part ADD COLUMN passing int DEFAULT 3; INSERT INTO part VALUES (36, 7), (37, 17);
         ALTER TABLE part DROP COLUMN passing; INSERT INTO part VALUES (38, 8), (39, 18)",
    )
    .await;
    let said = catch_up_with(&pair, &drop).await;
    assert!(!said.stderr.contains("copied again"), "{}", said.stderr);
    assert_equal(&pair).await;
    pair.source_sql("ALTER TABLE part DROP COLUMN a; INSERT INTO part VALUES (34, 6), (35, 16)")
        .await;
    catch_up_with(&pair, &drop).await;
    assert_equal(&pair).await;
    assert_defined_alike(&pair).await;
}

/// The target's table has no partitions, so nothing there tells what the source's partitions hold.
#[tokio::test]
async fn columns_of_a_table_that_is_moved_as_one() {
    let as_one = ["--partitions", "root", "--on-drop-column", "drop"];
    let rows = "SELECT string_agg(to_jsonb(p)::text, ' ' ORDER BY id, at) FROM part AS p";
    let pair = TestPair::start().await;
    pair.source_sql(PARTS).await;
    pair.target_sql("CREATE TABLE part (at int, id int, PRIMARY KEY (id, at))").await;
    catch_up_with(&pair, &as_one).await;
    let told = "ALTER TABLE part ADD COLUMN a int NOT NULL DEFAULT 4;
         INSERT INTO part VALUES (31, 5, 1), (32, 15, 2);
         ALTER TABLE part ADD COLUMN b timestamptz DEFAULT now(), ADD COLUMN c text;
         UPDATE part SET c = 'c' WHERE id > 17;
         ALTER TABLE part DROP COLUMN b; DELETE FROM part WHERE id = 3";
    let untold = "ALTER TABLE part ADD COLUMN d uuid DEFAULT gen_random_uuid();
         INSERT INTO part VALUES (33, 5)";
    for (changes, again) in [(told, false), (untold, true)] {
        one_by_one(&pair, changes).await;
        let said = catch_up_with(&pair, &as_one).await;
        assert_eq!(said.stderr.contains("copied again"), again, "{}", said.stderr);
        let source = text(&pair.on_source().await, rows).await;
        assert_eq!(source, text(&pair.on_target().await, rows).await);
    }
}

#[tokio::test]
async fn columns_of_inherited_tables_come_from_the_parent() {
    let pair = pair(
        "CREATE TABLE parent (id int PRIMARY KEY); \
         CREATE TABLE child (own int, PRIMARY KEY (id)) INHERITS (parent); \
         INSERT INTO parent VALUES (1); INSERT INTO child VALUES (2, 2)",
    )
    .await;
    carried(
        &pair,
        "ALTER TABLE parent ADD COLUMN a int DEFAULT 4; INSERT INTO child VALUES (3, 3, 3);
         INSERT INTO parent VALUES (4, 4); ALTER TABLE child ADD COLUMN b int DEFAULT 5;
         UPDATE child SET own = 7",
    )
    .await;
    pair.source_sql("ALTER TABLE ONLY parent DROP COLUMN a; INSERT INTO parent VALUES (5)").await;
    let halted = Dunlin::run(&pair, "run", &["--on-drop-column", "drop"]).await;
    halted.expect_halt("SCHEMA_CHANGED");
    pair.target_sql("ALTER TABLE ONLY parent DROP COLUMN a").await;
    carried(&pair, "UPDATE child SET a = 9 WHERE id = 3").await;
}

const DROPPED: &str = "ALTER TABLE item DROP COLUMN note; INSERT INTO item VALUES (12, 12)";

#[tokio::test]
async fn a_dropped_column_halts_unless_the_operator_chose() {
    let pair = pair(ITEM).await;
    pair.source_sql(DROPPED).await;
    let halted = Dunlin::run(&pair, "run", &[]).await.expect_halt("SCHEMA_CHANGED");
    halted
        .expect_said(r#"ALTER TABLE "public"."item" DROP COLUMN "note""#)
        .expect_said("--on-drop-column");
    catch_up_with(&pair, &["--on-drop-column", "drop"]).await;
    assert_equal(&pair).await;
    carry(&pair, "DELETE FROM item WHERE id = 12").await;
}

#[tokio::test]
async fn a_dropped_column_is_kept_and_its_name_comes_again() {
    let pair = pair(
        "CREATE TABLE item (id int PRIMARY KEY, note text NOT NULL, size int);
         INSERT INTO item SELECT n, 'old', n FROM generate_series(1, 10) AS n",
    )
    .await;
    pair.source_sql(DROPPED).await;
    let keep = ["--on-drop-column", "keep"];
    catch_up_with(&pair, &keep).await;
    let target = pair.on_target().await;
    let kept = "SELECT count(note) FROM item";
    assert_eq!(number::<i64>(&target, kept).await, 10);
    pair.source_sql(
        "ALTER TABLE item ADD COLUMN note text DEFAULT 'new'; INSERT INTO item VALUES (13)",
    )
    .await;
    let halted = Dunlin::run(&pair, "run", &keep).await.expect_halt("SCHEMA_CHANGED");
    halted.expect_said("that was dropped before");
    pair.target_sql("ALTER TABLE item RENAME COLUMN note TO old_note").await;
    catch_up_with(&pair, &keep).await;
    let notes = "SELECT string_agg(note, ',' ORDER BY id) FROM item";
    let source = pair.on_source().await;
    assert_eq!(text(&source, notes).await, text(&target, notes).await);
    pair.target_sql("ALTER TABLE item DROP COLUMN old_note").await;
    assert_equal(&pair).await;
}

/// The definition was read when the migration was planned; the snapshot is of later.
#[tokio::test]
async fn a_column_that_came_before_the_snapshot_is_copied() {
    let pair = TestPair::start().await;
    pair.source_sql(ITEM).await;
    let mut run = Dunlin::start_with_failpoint(&pair, "run", &[], "migration-created");
    run.reaches("migration-created").await;
    run.kill().await;
    pair.source_sql(
        "ALTER TABLE item ADD COLUMN a int DEFAULT 5; INSERT INTO item (id) VALUES (11)",
    )
    .await;
    catch_up(&pair).await;
    assert_equal(&pair).await;
    assert_defined_alike(&pair).await;
}

/// Under the snapshot that is held it can be read no more.
#[tokio::test]
async fn a_column_that_is_dropped_during_the_copy_has_it_begin_again() {
    let pair = TestPair::start().await;
    pair.source_sql(ITEM).await;
    let drop = ["--on-drop-column", "drop"];
    let mut run = Dunlin::start_with_failpoint(&pair, "run", &drop, "chunks-planned");
    run.reaches("chunks-planned").await;
    pair.source_sql(DROPPED).await;
    run.kill().await;
    catch_up_with(&pair, &drop).await.expect_said("will be copied again");
    assert_equal(&pair).await;
    assert_defined_alike(&pair).await;
}

#[tokio::test]
async fn a_generated_column_that_comes_alone_is_said() {
    let pair = pair(ITEM).await;
    pair.source_sql("ALTER TABLE item ADD COLUMN twice int GENERATED ALWAYS AS (size * 2) STORED")
        .await;
    let said = catch_up(&pair).await;
    said.expect_said("generated column twice came to table public.item");
}

#[tokio::test]
async fn rows_that_were_written_anew_are_said() {
    let pair = pair(ITEM).await;
    pair.source_sql("VACUUM FULL item").await;
    let said = catch_up(&pair).await;
    assert!(!said.stderr.contains("written anew"), "{}", said.stderr);
    pair.source_sql("ALTER TABLE item ALTER COLUMN size TYPE int USING size * 2").await;
    let warning = "column size of table public.item was altered";
    catch_up(&pair).await.expect_said(warning);
    let own_values = "ALTER TABLE item ADD COLUMN token uuid DEFAULT gen_random_uuid(); \
         INSERT INTO item VALUES (50, 'new', 1)";
    one_by_one(&pair, own_values).await;
    catch_up(&pair).await.expect_said("will be copied again");
    assert_equal(&pair).await;
    let said = catch_up(&pair).await;
    assert!(!said.stderr.contains(warning), "{}", said.stderr);
}

#[tokio::test]
async fn a_name_that_means_another_column_has_its_table_copied_again() {
    let pair = pair(&format!("{ITEM}; ALTER TABLE item ADD COLUMN other int DEFAULT 7")).await;
    // No row of the log shows either.
    let exchange = "ALTER TABLE item RENAME size TO passing; ALTER TABLE item RENAME other TO size;
         ALTER TABLE item RENAME passing TO other";
    one_by_one(&pair, exchange).await;
    catch_up(&pair).await.expect_said("will be copied again");
    assert_equal(&pair).await;
    pair.source_sql("ALTER TABLE item DROP COLUMN size, ADD COLUMN size int DEFAULT 5").await;
    catch_up(&pair).await.expect_said("will be copied again");
    assert_equal(&pair).await;
    carry(
        &pair,
        "INSERT INTO item VALUES (50, 'new', 1, 2); UPDATE item SET size = 9 WHERE id = 1",
    )
    .await;
}

#[tokio::test]
async fn a_column_that_takes_the_name_of_another_is_not_taken_for_it() {
    let pair = pair(&format!("{ITEM}; ALTER TABLE item ADD COLUMN other int DEFAULT 7")).await;
    let replace = "ALTER TABLE item DROP COLUMN size; ALTER TABLE item RENAME other TO size";
    pair.source_sql(&format!("{replace}; INSERT INTO item VALUES (50, 'new', 1)")).await;
    let words = ["--until", "caught-up"];
    let halted = Dunlin::run(&pair, "run", &words).await.expect_halt("SCHEMA_CHANGED");
    // The table is empty here by now: what is left of it is a matter of names.
    assert_eq!(number::<i64>(&pair.on_target().await, "SELECT count(*) FROM item").await, 0);
    assert!(halted.stderr.contains("DROP COLUMN \"other\""), "{}", halted.stderr);
    catch_up_with(&pair, &["--on-drop-column", "drop"]).await;
    assert_equal(&pair).await;
    carry(&pair, "UPDATE item SET size = 9 WHERE id = 1").await;
}

#[tokio::test]
async fn tables_that_exchange_their_names_are_not_mixed() {
    let pair = pair(&format!("{ITEM}; CREATE TABLE other (LIKE item INCLUDING ALL)")).await;
    pair.source_sql(
        "ALTER TABLE item RENAME TO passing; ALTER TABLE other RENAME TO item;
         ALTER TABLE passing RENAME TO other; INSERT INTO item VALUES (50, 'of the other', 1)",
    )
    .await;
    let halted = Dunlin::run(&pair, "run", &["--until", "caught-up"]).await;
    halted.expect_halt("SCHEMA_CHANGED").expect_said("which is another table's");
    let mixed = "SELECT count(*) FROM item WHERE id = 50";
    assert_eq!(number::<i64>(&pair.on_target().await, mixed).await, 0);
}
