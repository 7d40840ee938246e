//! Which values `dunlin verify` takes for equal between MySQL and MariaDB servers: floats by their bits,
//! numbers whatever the zeros before them, and JSON by value where one side keeps it so.

use std::collections::BTreeSet;

use dunlin::demo::mysql::Release;

use crate::mysql_verify::{differences, report, verify};
use crate::support::Dunlin;
use crate::support::mysql::MySqlPair;

async fn catch_up(pair: &MySqlPair) {
    Dunlin::run(pair, "run", &["--until", "caught-up"]).await.expect_code(0);
    verify(pair, &[]).await.expect_code(0);
}

/// What differs, each time as kind, key and columns; then it is put right.
async fn differing(pair: &MySqlPair) -> BTreeSet<String> {
    let found = report(&verify(pair, &["--repair"]).await.expect_code(0));
    verify(pair, &[]).await.expect_code(0);
    differences(&found)
}

/// Each float and double against the next one.
#[tokio::test]
async fn mysql_verify_tells_a_float_from_the_next_one() {
    for release in [Release::MYSQL_9_7, Release::MARIADB_10_11, Release::MARIADB_11_8] {
        let pair = MySqlPair::of(release).await;
        let table = "CREATE TABLE ratios (id int PRIMARY KEY, f float, d double, g float(9, 2));
            INSERT INTO ratios VALUES (1, 0.1, 0.1, 0.1), (2, 16777215, 1e22, 0), (3, 1e-40, 1e-310, 9),
                (4, 3.4e38, -1.7e308, -1)";
        pair.source_sql(table).await;
        catch_up(&pair).await;
        let next = "UPDATE ratios SET f = 0.10000000894069672 WHERE id = 1;
            UPDATE ratios SET d = 1.0000000000000002e22 WHERE id = 2;
            UPDATE ratios SET d = 1.00000000000005e-310 WHERE id = 3;
            UPDATE ratios SET f = 3.4000001745744e38, d = -1.7000000000000002e308 WHERE id = 4";
        pair.target_sql(next).await;
        let expected =
            ["1 f", "2 d", "3 d", "4 f,d"].map(|row| format!("app.ratios different {row}"));
        assert_eq!(differing(&pair).await, expected.into(), "{release:?}");
    }
}

/// A target that fills numbers with zeros, also in the key.
#[tokio::test]
async fn mysql_verify_compares_numbers_and_not_their_zeros() {
    let pair = MySqlPair::of(Release::MYSQL_9_7).await;
    let table = |filled: &str| {
        format!(
            "CREATE TABLE filled (id int unsigned {filled} PRIMARY KEY, n bigint unsigned {filled},
                d decimal(9, 3) unsigned {filled}, r double unsigned {filled}, t varchar(9))"
        )
    };
    pair.source_sql(&table("")).await;
    pair.target_sql(&table("zerofill")).await;
    let rows = "INSERT INTO filled VALUES (1, 2, 3.5, 1e30, '04'), (2, 0, 0, 0.25, '0'),
        (30, 18446744073709551615, 999999.999, 1e-30, ''), (4, NULL, NULL, NULL, NULL)";
    pair.source_sql(rows).await;
    catch_up(&pair).await;
    let planted = "UPDATE filled SET n = 20, t = '4' WHERE id = 1; UPDATE filled SET d = 0.001,
        r = 0.25000000000000006 WHERE id = 2; DELETE FROM filled WHERE id = 30;
        UPDATE filled SET n = 0 WHERE id = 4; INSERT INTO filled (id) VALUES (300)";
    pair.target_sql(planted).await;
    let expected =
        ["different 1 n,t", "different 2 d,r", "missing 30 ", "different 4 n", "extra 300 "];
    let expected = expected.map(|difference| format!("app.filled {difference}"));
    assert_eq!(differing(&pair).await, expected.into());
}

/// A source that keeps documents by value, and a target that keeps their text.
async fn to_mariadb() -> MySqlPair {
    let pair = MySqlPair::with(Release::MYSQL_9_7.into(), Release::MARIADB_11_8.into()).await;
    // A collation that both know.
    let database = "ALTER DATABASE app CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci";
    pair.source_sql(database).await;
    pair
}

/// What an application on MariaDB writes in its own words is the same document where MySQL keeps it.
#[tokio::test]
async fn mysql_verify_compares_json_by_value_where_one_side_keeps_it_so() {
    let pair = to_mariadb().await;
    let table = r#"CREATE TABLE documents (id int PRIMARY KEY, doc json, note longtext);
        INSERT INTO documents VALUES (1, '{"a": 1.0, "bb": ["\\u00e4\\n", 1e2], "a": 2.50}', '{"a": 1}'),
            (2, '[1, 2, {"x": {"y": null, "a": true}}]', NULL), (3, '"a"', NULL), (4, '1', NULL),
            (5, '1.5', NULL), (6, '{"a": "1"}', NULL), (7, NULL, NULL), (8, '[]', NULL)"#;
    pair.source_sql(table).await;
    catch_up(&pair).await;
    let same = r#"UPDATE documents SET doc = '{"bb":["ä\\n",100.0],"a":25e-1}' WHERE id = 1;
        UPDATE documents SET doc = '[1,2,{"x":{"a":true,"y":null}}]' WHERE id = 2;
        UPDATE documents SET doc = ' "\\u0061" ' WHERE id = 3; UPDATE documents SET doc = '1.50' WHERE id = 5"#;
    pair.target_sql(same).await;
    verify(&pair, &[]).await.expect_code(0);
    let other = r#"UPDATE documents SET doc = '{"bb":["ä\\n",100.0],"a":2.51}' WHERE id = 1;
        UPDATE documents SET doc = '[2,1,{"x":{"a":true,"y":null}}]' WHERE id = 2;
        UPDATE documents SET doc = '"a "' WHERE id = 3; UPDATE documents SET doc = '"1"' WHERE id = 4;
        UPDATE documents SET doc = '1.5000000000000001' WHERE id = 5;
        UPDATE documents SET doc = '{"a": 1}' WHERE id = 6; UPDATE documents SET doc = 'null' WHERE id = 7;
        UPDATE documents SET doc = '{}' WHERE id = 8"#;
    pair.target_sql(other).await;
    let expected = (1..=8).map(|id| format!("app.documents different {id} doc"));
    assert_eq!(differing(&pair).await, expected.collect());
    // What both keep as text is compared as text.
    pair.target_sql(r#"UPDATE documents SET note = '{"a":1}' WHERE id = 1"#).await;
    let expected = BTreeSet::from(["app.documents different 1 note".to_owned()]);
    assert_eq!(differing(&pair).await, expected);
}
