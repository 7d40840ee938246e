//! Names, columns, types and objects of every kind, through the snapshot and through the stream.

use std::process::Command;

use crate::support::compare::{assert_equal, assert_sequences_carried, differing_tables};
use crate::support::{Dunlin, TestPair, carry, catch_up, catch_up_with, number, text, wait_until};

#[tokio::test]
async fn columns_of_every_kind() {
    let pair = TestPair::start().await;
    pair.source_sql(
        "CREATE TABLE computed (id int PRIMARY KEY, a int, sum int GENERATED ALWAYS AS (a + 1) STORED, b text);
         CREATE TABLE numbered (k text PRIMARY KEY, n int GENERATED ALWAYS AS IDENTITY, v text);
         CREATE TABLE counted (n int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, v text);
         CREATE TABLE emptied ();
         CREATE TABLE dropped (gone1 int, id int PRIMARY KEY, gone2 text, v text);
         ALTER TABLE dropped DROP COLUMN gone1; ALTER TABLE dropped DROP COLUMN gone2;
         CREATE TABLE wide (a int, b text, c date, d text, PRIMARY KEY (c, a));
         CREATE TABLE by_index (id int NOT NULL, code text NOT NULL, v text, UNIQUE (code));
         ALTER TABLE by_index REPLICA IDENTITY USING INDEX by_index_code_key;
         CREATE TABLE only_key (a int, b int, PRIMARY KEY (a, b));
         CREATE TABLE growing (v text);
         CREATE TABLE parent (id int PRIMARY KEY, v text);
         CREATE TABLE child (extra int, PRIMARY KEY (id)) INHERITS (parent);
         INSERT INTO computed (id, a) SELECT n, n FROM generate_series(1, 100) AS n;
         INSERT INTO numbered (k, v) SELECT n, 'x' FROM generate_series(1, 100) AS n;
         INSERT INTO counted (v) SELECT 'x' FROM generate_series(1, 100) AS n;
         INSERT INTO emptied DEFAULT VALUES; INSERT INTO emptied DEFAULT VALUES;
         INSERT INTO dropped SELECT n, 'x' FROM generate_series(1, 100) AS n;
         INSERT INTO wide SELECT n, 'x', date '2026-01-01' + n % 10 FROM generate_series(1, 100) AS n;
         INSERT INTO by_index SELECT n, n, 'x' FROM generate_series(1, 100) AS n;
         INSERT INTO only_key SELECT n, n FROM generate_series(1, 100) AS n;
         INSERT INTO growing SELECT n FROM generate_series(1, 100) AS n;
         INSERT INTO parent SELECT n, 'x' FROM generate_series(1, 100) AS n;
         INSERT INTO child SELECT n, 'x', n FROM generate_series(1, 100) AS n",
    )
    .await;
    catch_up(&pair).await;
    assert_equal(&pair).await;
    carry(
        &pair,
        "INSERT INTO computed (id, a) VALUES (101, 7); UPDATE computed SET a = a * 2 WHERE id < 50;
         UPDATE computed SET id = 200 WHERE id = 1; DELETE FROM computed WHERE id = 2;
         INSERT INTO numbered (k, v) VALUES ('new', 'y'); UPDATE numbered SET v = 'z' WHERE n < 10;
         UPDATE numbered SET k = 'moved' WHERE k = '20'; DELETE FROM numbered WHERE k = '21';
         INSERT INTO counted (v) VALUES ('y'); UPDATE counted SET v = 'z' WHERE n < 10;
         DELETE FROM counted WHERE n = 11;
         INSERT INTO emptied DEFAULT VALUES;
         INSERT INTO dropped VALUES (101, 'y'); UPDATE dropped SET v = 'z' WHERE id < 10;
         DELETE FROM dropped WHERE id = 11;
         INSERT INTO wide VALUES (1, 'new', '2027-01-01'); UPDATE wide SET b = 'y' WHERE a < 10;
         UPDATE wide SET c = c + 100, d = 'moved' WHERE a > 90; DELETE FROM wide WHERE a = 50;
         INSERT INTO by_index VALUES (1, 'new', 'y'); UPDATE by_index SET v = 'z' WHERE id < 10;
         UPDATE by_index SET code = 'moved' WHERE id = 20; DELETE FROM by_index WHERE id = 21;
         INSERT INTO only_key VALUES (0, 0); UPDATE only_key SET b = b; UPDATE only_key SET b = b + 1;
         DELETE FROM only_key WHERE a = 5;
         INSERT INTO growing VALUES ('y'), ('y'); TRUNCATE growing; INSERT INTO growing VALUES ('z');
         UPDATE parent SET v = 'both' WHERE id < 10; DELETE FROM ONLY parent WHERE id = 20;
         UPDATE child SET extra = 0 WHERE id = 30; DELETE FROM child WHERE id = 31",
    )
    .await;
}

#[tokio::test]
async fn identity_columns_that_change_their_values() {
    let pair = TestPair::start().await;
    pair.source_sql(
        "CREATE TABLE numbered (k text PRIMARY KEY, n int GENERATED ALWAYS AS IDENTITY, v text);
         CREATE TABLE large (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, body text, v text);
         ALTER TABLE large ALTER body SET STORAGE EXTERNAL;
         INSERT INTO large (body) SELECT repeat(md5(n::text), 200) FROM generate_series(1, 10) AS n;
         INSERT INTO numbered (k, v) SELECT n, 'x' FROM generate_series(1, 10) AS n",
    )
    .await;
    catch_up(&pair).await;
    carry(
        &pair,
        "UPDATE numbered SET n = DEFAULT WHERE k = '1'; UPDATE large SET id = DEFAULT WHERE id < 4; \
         UPDATE large SET v = 'x' WHERE id = 5; DELETE FROM numbered WHERE k = '2'; \
         INSERT INTO numbered OVERRIDING SYSTEM VALUE VALUES ('2', 77, 'again')",
    )
    .await;
}

#[tokio::test]
async fn names_of_every_kind() {
    let pair = TestPair::start().await;
    let long = "l".repeat(63);
    let umlauts = "ü".repeat(31);
    pair.source_sql(&format!(
        r#"CREATE SCHEMA "Mixed.Case"; CREATE SCHEMA "select";
           CREATE TABLE "Mixed.Case"."Ta""ble" ("Id" int PRIMARY KEY, "a b" text, "q""uote" int);
           CREATE TABLE "select"."from" ("where" int PRIMARY KEY, "order" text);
           CREATE TABLE "{long}" ("{long}" int PRIMARY KEY, v text);
           CREATE TABLE "{umlauts}" ("naïve ключ 鍵" int PRIMARY KEY, "$1" text, "\" text);
           CREATE TABLE "it's" ("'" int PRIMARY KEY, "%s" text, "{{}}" text);
           CREATE TYPE "select"."Mood" AS ENUM ('so so', 'it''s', 'ö');
           CREATE TABLE "select"."Mood2" ("Mood" "select"."Mood" PRIMARY KEY, l "select"."Mood"[]);
           INSERT INTO "Mixed.Case"."Ta""ble" VALUES (1, 'x', 1), (2, 'y', 2);
           INSERT INTO "select"."from" VALUES (1, 'x'), (2, 'y');
           INSERT INTO "{long}" VALUES (1, 'x'), (2, 'y');
           INSERT INTO "{umlauts}" VALUES (1, 'x', 'x'), (2, 'y', 'y');
           INSERT INTO "it's" VALUES (1, 'x', 'x'), (2, 'y', 'y');
           INSERT INTO "select"."Mood2" VALUES ('so so', '{{"it''s",ö}}'), ('ö', NULL)"#
    ))
    .await;
    catch_up(&pair).await;
    assert_equal(&pair).await;
    carry(
        &pair,
        &format!(
            r#"INSERT INTO "Mixed.Case"."Ta""ble" VALUES (3, 'z', 3);
               UPDATE "Mixed.Case"."Ta""ble" SET "a b" = 'new', "q""uote" = 0 WHERE "Id" = 1;
               DELETE FROM "Mixed.Case"."Ta""ble" WHERE "Id" = 2;
               UPDATE "select"."from" SET "order" = 'new' WHERE "where" = 1;
               UPDATE "{long}" SET v = 'new', "{long}" = 5 WHERE "{long}" = 1;
               UPDATE "{umlauts}" SET "$1" = 'new' WHERE "naïve ключ 鍵" = 1;
               DELETE FROM "{umlauts}" WHERE "naïve ключ 鍵" = 2;
               UPDATE "it's" SET "%s" = 'new' WHERE "'" = 1; DELETE FROM "it's" WHERE "'" = 2;
               UPDATE "select"."Mood2" SET l = '{{so so}}' WHERE "Mood" = 'ö';
               DELETE FROM "select"."Mood2" WHERE "Mood" = 'so so';
               TRUNCATE "select"."from"; INSERT INTO "select"."from" VALUES (9, E'\\ \t \n')"#
        ),
    )
    .await;
}

#[tokio::test]
async fn a_schema_that_stands_already_is_filled() {
    let pair = TestPair::start().await;
    pair.source_sql(
        "CREATE TABLE customer (id serial PRIMARY KEY, name text);
         CREATE TABLE orders (id int PRIMARY KEY, customer int REFERENCES customer, n int);
         CREATE INDEX ON orders (n);
         INSERT INTO customer (name) SELECT 'c' FROM generate_series(1, 100);
         INSERT INTO orders SELECT n, n, n FROM generate_series(1, 100) AS n",
    )
    .await;
    let programs = pair.source.programs();
    let dump = Command::new(programs.path("pg_dump"))
        .args(["--schema-only", "--dbname", &pair.source_url()])
        .output()
        .unwrap();
    assert!(dump.status.success(), "{}", String::from_utf8_lossy(&dump.stderr));
    let dump = String::from_utf8(dump.stdout).unwrap();
    // Newer versions frame the dump in commands of psql.
    let statements: Vec<_> = dump.lines().filter(|line| !line.starts_with('\\')).collect();
    pair.target_sql(&statements.join("\n")).await;
    pair.target_sql("INSERT INTO public.customer VALUES (7, 'foreign')").await;
    let refused = Dunlin::run(&pair, "run", &[]).await.expect_code(3);
    refused.expect_said("error[TARGET_NOT_EMPTY]").expect_said("public.customer");
    catch_up_with(&pair, &["--truncate-target", "public.customer"]).await;
    assert_equal(&pair).await;
    carry(
        &pair,
        "INSERT INTO customer (name) VALUES ('new'); INSERT INTO orders VALUES (101, 101, 1); \
         DELETE FROM orders WHERE id = 5; DELETE FROM customer WHERE id = 5",
    )
    .await;
    assert_sequences_carried(&pair).await;
}

#[tokio::test]
async fn triggers_and_foreign_keys_of_the_target_rest() {
    let pair = TestPair::start().await;
    pair.source_sql(
        "CREATE TABLE log (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, what text);
         CREATE TABLE parent (id int PRIMARY KEY, v text);
         CREATE TABLE child (id int PRIMARY KEY, \
                             parent int REFERENCES parent ON DELETE CASCADE ON UPDATE CASCADE);
         CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN INSERT INTO log (what) VALUES (TG_OP || TG_TABLE_NAME); RETURN NULL; END $$;
         CREATE TRIGGER noted AFTER INSERT OR UPDATE OR DELETE ON parent
             FOR EACH ROW EXECUTE FUNCTION note();
         CREATE TRIGGER noted AFTER INSERT OR UPDATE OR DELETE ON child
             FOR EACH ROW EXECUTE FUNCTION note();
         INSERT INTO parent SELECT n, 'x' FROM generate_series(1, 100) AS n;
         INSERT INTO child SELECT n, n FROM generate_series(1, 100) AS n",
    )
    .await;
    catch_up(&pair).await;
    assert_equal(&pair).await;
    carry(
        &pair,
        "UPDATE parent SET id = id + 1000 WHERE id < 10; DELETE FROM parent WHERE id > 1000; \
         INSERT INTO parent VALUES (1); INSERT INTO child VALUES (1, 1)",
    )
    .await;
    let fires = "SELECT count(*) FROM pg_trigger WHERE tgname = 'noted' AND tgenabled = 'O'";
    assert_eq!(number::<i64>(&pair.on_target().await, fires).await, 2);
}

#[tokio::test]
async fn a_selection_moves_what_it_names() {
    let pair = TestPair::start().await;
    pair.source_sql(
        "CREATE SCHEMA app; CREATE SCHEMA audit;
         CREATE TABLE app.one (id serial PRIMARY KEY); CREATE TABLE app.two (id int PRIMARY KEY);
         CREATE TABLE app.two_old (id int PRIMARY KEY REFERENCES app.two);
         CREATE TABLE audit.log (id int PRIMARY KEY);
         CREATE VIEW app.all_old AS SELECT * FROM app.two_old;
         INSERT INTO app.one DEFAULT VALUES; INSERT INTO app.two VALUES (1), (2);
         INSERT INTO app.two_old VALUES (1); INSERT INTO audit.log VALUES (1)",
    )
    .await;
    let arguments = ["--include-schema", "app", "--exclude", "*_old"];
    catch_up_with(&pair, &arguments).await;
    assert_eq!(differing_tables(&pair).await, ["app.two_old", "audit.log"]);
    pair.source_sql(
        "INSERT INTO app.one DEFAULT VALUES; DELETE FROM app.two WHERE id = 2; \
         UPDATE app.two_old SET id = 1; INSERT INTO audit.log VALUES (2); \
         TRUNCATE app.two CASCADE; INSERT INTO app.two VALUES (7)",
    )
    .await;
    catch_up_with(&pair, &arguments).await;
    assert_eq!(differing_tables(&pair).await, ["app.two_old", "audit.log"]);
    Dunlin::run(&pair, "run", &[]).await.expect_halt("SETTINGS_CHANGED");
    let mut none = vec!["--include", "nothing.*"];
    none.extend(["--name", "other"]);
    let finished = Dunlin::run(&pair, "run", &none).await.expect_code(2);
    finished.expect_said("error[PATTERN_UNMATCHED]");
}

#[tokio::test]
async fn large_objects_of_the_target_are_not_overwritten() {
    let pair = TestPair::start().await;
    pair.source_sql("CREATE TABLE item (id int PRIMARY KEY); SELECT lo_from_bytea(4711, 'ours')")
        .await;
    pair.target_sql("SELECT lo_from_bytea(4711, 'theirs')").await;
    let refused = Dunlin::run(&pair, "run", &[]).await.expect_code(3);
    refused.expect_said("error[TARGET_NOT_EMPTY]").expect_said("--skip-large-objects");
    let held = "SELECT convert_from(lo_get(4711), 'UTF8')";
    assert_eq!(text(&pair.on_target().await, held).await.as_deref(), Some("theirs"));
    catch_up_with(&pair, &["--skip-large-objects"]).await;
    assert_eq!(text(&pair.on_target().await, held).await.as_deref(), Some("theirs"));
    Dunlin::run(&pair, "complete", &[]).await.expect_code(0);
    pair.target_sql("DROP TABLE item; SELECT lo_unlink(4711)").await;
    catch_up(&pair).await;
    assert_eq!(text(&pair.on_target().await, held).await.as_deref(), Some("ours"));
}

#[tokio::test]
async fn a_sequence_that_the_target_lacks_is_told_and_the_others_are_set() {
    let pair = TestPair::start().await;
    pair.source_sql("CREATE TABLE item (id serial PRIMARY KEY)").await;
    catch_up(&pair).await;
    pair.source_sql(
        "CREATE SCHEMA later; CREATE SEQUENCE a_late_one; CREATE SEQUENCE later.on; \
         SELECT setval('a_late_one', 7); INSERT INTO item SELECT FROM generate_series(1, 50)",
    )
    .await;
    let caught_up = catch_up(&pair).await;
    let told = |name: &str| format!("sequence {name} is not on the target");
    assert_eq!(caught_up.stderr.matches(&told("public.a_late_one")).count(), 1);
    caught_up.expect_said(&told("later.on"));
    let value = "SELECT last_value FROM item_id_seq";
    assert_eq!(number::<i64>(&pair.on_target().await, value).await, 50);
    pair.target_sql("CREATE SEQUENCE a_late_one; CREATE SCHEMA later; CREATE SEQUENCE later.on")
        .await;
    catch_up(&pair).await;
    assert_sequences_carried(&pair).await;
}

#[tokio::test]
async fn sequences_are_exact_at_the_end_and_complete_leaves_nothing() {
    let pair = TestPair::start().await;
    pair.source_sql(
        "CREATE TABLE item (id bigserial PRIMARY KEY, n int GENERATED BY DEFAULT AS IDENTITY);
         CREATE SEQUENCE down INCREMENT -1; CREATE SEQUENCE fresh START 100;
         CREATE SEQUENCE cycled MAXVALUE 3 CYCLE;
         SELECT nextval('down') FROM generate_series(1, 5);
         SELECT nextval('cycled') FROM generate_series(1, 2);
         INSERT INTO item SELECT FROM generate_series(1, 50)",
    )
    .await;
    catch_up(&pair).await;
    assert_sequences_carried(&pair).await;
    pair.source_sql("INSERT INTO item SELECT FROM generate_series(1, 50); SELECT nextval('down')")
        .await;
    catch_up(&pair).await;
    assert_sequences_carried(&pair).await;
    pair.source_sql("SELECT setval('item_id_seq', 5000), setval('cycled', 1), setval('fresh', 7)")
        .await;
    Dunlin::run(&pair, "complete", &[]).await.expect_code(0);
    let values = "SELECT string_agg(schemaname || sequencename || coalesce(last_value, -1), ',' \
                  ORDER BY sequencename) FROM pg_sequences";
    let (source, target) = (pair.on_source().await, pair.on_target().await);
    assert_eq!(text(&source, values).await, text(&target, values).await);
    let traces = "SELECT concat_ws(' ', \
         (SELECT count(*) FROM pg_replication_slots), (SELECT count(*) FROM pg_publication), \
         (SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'dunlin%'), \
         (SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'dunlin%'), \
         (SELECT count(*) FROM pg_class WHERE relname LIKE '%dunlin%'), \
         (SELECT count(*) FROM pg_replication_origin))";
    // The server ends a session a moment after the process that had it.
    for (side, client) in [("source", &source), ("target", &target)] {
        wait_until(&format!("nothing of dunlin is left on the {side}"), async || {
            text(client, traces).await.as_deref() == Some("0 0 0 0 0 0")
        })
        .await;
    }
    assert_equal(&pair).await;
}
