//! What is seldom met: holes in a set of GTIDs, cascades that are logged before what caused them,
//! counters whose top row is gone, the longest names, bytes beyond ASCII, rows larger than a packet.

use dunlin::demo::mysql::{Release, ServerOptions};
use mysql_async::prelude::Queryable;

use crate::support::Dunlin;
use crate::support::mysql::{MySqlPair, row};

async fn catch_up(pair: &MySqlPair) {
    Dunlin::run(pair, "run", &["--until", "caught-up"]).await.expect_code(0);
    pair.assert_equal().await;
}

/// What fills a hole comes later than what lies beyond it, and is new all the same.
#[tokio::test]
async fn mysql_9_7_holes_and_tags_in_a_set_of_gtids_are_kept() {
    const OTHER: &str = "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa";
    let pair = MySqlPair::of(Release::MYSQL_9_7).await;
    let mut session = pair.on_source().await;
    let mut named = async |name: &str, statement: &str| {
        let text = format!("SET gtid_next = '{name}'; {statement}; SET gtid_next = AUTOMATIC");
        session.query_drop(text).await.unwrap();
    };
    pair.source_sql("CREATE TABLE item (id INT PRIMARY KEY, v INT)").await;
    named(&format!("{OTHER}:10"), "INSERT INTO item VALUES (10, 0)").await;
    named(&format!("{OTHER}:night:3"), "INSERT INTO item VALUES (3, 0)").await;
    catch_up(&pair).await;
    named(&format!("{OTHER}:12"), "INSERT INTO item VALUES (12, 0)").await;
    named(&format!("{OTHER}:night:1"), "UPDATE item SET v = 1 WHERE id = 3").await;
    catch_up(&pair).await;
    for number in [11, 1, 9] {
        let update = format!("INSERT INTO item VALUES ({number}, 0)");
        named(&format!("{OTHER}:{number}"), &update).await;
    }
    named("AUTOMATIC:night", "UPDATE item SET v = v + 1").await;
    named(&format!("{OTHER}:night:2"), "UPDATE item SET v = v * 10").await;
    catch_up(&pair).await;
    let (count, sum): (u32, u32) =
        row(&mut pair.on_target().await, "SELECT count(*), sum(v) FROM item").await;
    assert_eq!((count, sum), (6, 70));
}

/// Domains that count for themselves in one log: how far the one is says nothing of the other.
async fn domains_count_for_themselves(release: Release) {
    let pair = MySqlPair::of(release).await;
    pair.source_sql(
        "CREATE TABLE item (id INT PRIMARY KEY, v INT); CREATE TABLE thing (id INT PRIMARY KEY, v INT)",
    )
    .await;
    let (mut one, mut other) = (pair.on_source().await, pair.on_source().await);
    other.query_drop("SET gtid_domain_id = 7, server_id = 70").await.unwrap();
    catch_up(&pair).await;
    for point in ["group-applied", "group-committed"] {
        let first = if point == "group-applied" { 1 } else { 11 };
        for id in first..first + 5 {
            one.query_drop(format!("INSERT INTO item VALUES ({id}, 0)")).await.unwrap();
            let both = format!(
                "INSERT INTO thing VALUES ({id}, 0); UPDATE thing SET v = v + 1; \
                 DELETE FROM thing WHERE id = {id} - 3"
            );
            other.query_drop(both).await.unwrap();
        }
        let mut run = Dunlin::start_with_failpoint(&pair, "run", &[], point);
        run.reaches(point).await;
        run.kill().await;
        pair.source_sql("FLUSH BINARY LOGS; UPDATE item SET v = v + 1").await;
    }
    catch_up(&pair).await;
    // The other goes on alone, then far ahead; a third begins; the first is where it was.
    let mut alone = async |text: &str| {
        other.query_drop(text).await.unwrap();
        catch_up(&pair).await;
    };
    alone("UPDATE thing SET v = v * 2").await;
    alone("SET gtid_seq_no = 5000; INSERT INTO thing VALUES (50, 0)").await;
    alone("SET gtid_domain_id = 3; INSERT INTO thing VALUES (51, 0)").await;
    one.query_drop("INSERT INTO item VALUES (50, 0)").await.unwrap();
    catch_up(&pair).await;
    let (position,): (String,) =
        row(&mut one, "SELECT REGEXP_REPLACE(@@gtid_binlog_pos, '-[0-9]+-[0-9]+', '')").await;
    let mut domains: Vec<&str> = position.split(',').collect();
    domains.sort_unstable();
    assert_eq!(domains, ["0", "3", "7"]);
}

#[tokio::test]
async fn mariadb_10_11_domains_count_for_themselves() {
    domains_count_for_themselves(Release::MARIADB_10_11).await;
}

#[tokio::test]
async fn mariadb_11_8_domains_count_for_themselves() {
    domains_count_for_themselves(Release::MARIADB_11_8).await;
}

const FAMILY: &str = "
CREATE TABLE parent (id INT PRIMARY KEY, code INT UNIQUE);
CREATE TABLE child (id INT PRIMARY KEY, parent INT, code INT,
    FOREIGN KEY (parent) REFERENCES parent (id) ON DELETE CASCADE ON UPDATE CASCADE,
    FOREIGN KEY (code) REFERENCES parent (code) ON DELETE SET NULL ON UPDATE SET NULL);
CREATE TABLE grandchild (id INT PRIMARY KEY, child INT,
    FOREIGN KEY (child) REFERENCES child (id) ON DELETE CASCADE);
INSERT INTO parent VALUES (1, 1), (2, 2), (3, 3), (4, 4), (5, 5);
INSERT INTO child VALUES (1, 1, 2), (2, 1, 3), (3, 2, 3), (4, 3, 4), (5, 4, 4), (6, NULL, 5);
INSERT INTO grandchild VALUES (1, 1), (2, 1), (3, 3), (4, 5)";

/// The server logs what a cascade does before the row that caused it.
#[tokio::test]
async fn mysql_9_7_cascades_that_are_logged_arrive() {
    let pair = MySqlPair::of(Release::MYSQL_9_7).await;
    pair.source_sql(FAMILY).await;
    catch_up(&pair).await;
    for statement in [
        "DELETE FROM parent WHERE id = 1",
        "UPDATE parent SET id = 20 WHERE id = 2",
        "UPDATE parent SET code = 40 WHERE code = 4",
        "BEGIN; INSERT INTO parent VALUES (6, 6); INSERT INTO child VALUES (7, 6, 6); \
         INSERT INTO grandchild VALUES (7, 7); DELETE FROM parent WHERE id IN (6, 20); COMMIT",
        "DELETE FROM parent WHERE id = 4",
    ] {
        pair.source_sql(statement).await;
    }
    catch_up(&pair).await;
    let left: (u32, u32) = row(
        &mut pair.on_target().await,
        "SELECT (SELECT count(*) FROM child), (SELECT count(*) FROM grandchild)",
    )
    .await;
    assert_eq!(left, (2, 0));
}

async fn edges(release: Release) {
    let pair = MySqlPair::of(release).await;
    let (long, wide) = ("n".repeat(64), "中".repeat(64));
    // Every byte but zero is a character of latin1.
    let bytes: String = (1..=255).map(|byte| format!("{byte:02X}")).collect();
    pair.source_sql(&format!(
        "CREATE TABLE counted (id INT AUTO_INCREMENT PRIMARY KEY, v INT);
         INSERT INTO counted (v) VALUES (1), (2), (3); DELETE FROM counted WHERE id = 3;
         CREATE TABLE emptied (id INT AUTO_INCREMENT PRIMARY KEY, v INT);
         INSERT INTO emptied (v) VALUES (1), (2), (3), (4); DELETE FROM emptied;
         CREATE TABLE `{long}` (`{wide}` INT PRIMARY KEY, `{long}` INT, `a.b` INT, `-` INT);
         INSERT INTO `{long}` VALUES (1, 2, 3, 4);
         CREATE TABLE `中` (`select` INT, `{wide}` VARCHAR(9), KEY `{long}` (`select`))
             CHARACTER SET utf8mb4;
         INSERT INTO `中` VALUES (1, 'x'), (NULL, NULL);
         CREATE TABLE bytes (id INT PRIMARY KEY, l VARCHAR(300) CHARACTER SET latin1,
             g TEXT CHARACTER SET gbk, k TEXT CHARACTER SET koi8r, b VARBINARY(300));
         INSERT INTO bytes VALUES (1, X'{bytes}', '中文\\\\乗', 'Ж', X'{bytes}00')"
    ))
    .await;
    catch_up(&pair).await;
    pair.source_sql(&format!(
        "INSERT INTO counted (v) VALUES (4), (5); DELETE FROM counted WHERE v = 5;
         INSERT INTO emptied (v) VALUES (1); DELETE FROM emptied;
         UPDATE `{long}` SET `{wide}` = 7, `-` = NULL; INSERT INTO `中` VALUES (9, '中');
         UPDATE `中` SET `select` = 5 WHERE `select` IS NULL;
         INSERT INTO bytes SELECT id + 1, l, g, k, b FROM bytes;
         UPDATE bytes SET id = 9, l = CONCAT(l, 'x'), b = REVERSE(b) WHERE id = 1"
    ))
    .await;
    catch_up(&pair).await;
    let mut target = pair.on_target().await;
    for (table, next) in [("counted", 6), ("emptied", 6)] {
        target.query_drop(format!("INSERT INTO {table} (v) VALUES (0)")).await.unwrap();
        let given: Option<u32> =
            target.query_first("SELECT CAST(LAST_INSERT_ID() AS UNSIGNED)").await.unwrap();
        assert_eq!(given, Some(next), "{table}");
    }
}

#[tokio::test]
async fn mysql_9_7_counters_names_and_bytes_at_their_edges() {
    edges(Release::MYSQL_9_7).await;
}

#[tokio::test]
async fn mariadb_10_11_counters_names_and_bytes_at_their_edges() {
    edges(Release::MARIADB_10_11).await;
}

#[tokio::test]
async fn mariadb_11_8_counters_names_and_bytes_at_their_edges() {
    edges(Release::MARIADB_11_8).await;
}

/// One event of the log, and one row of the copy, beyond what a packet holds and clients take by default.
async fn large_row(release: Release, mib: u32, (log, log_size): (&str, &str)) {
    let with = |options: ServerOptions| {
        let options = options.with("max_allowed_packet", "1G").with(log, log_size);
        options.with("innodb_doublewrite", "OFF")
    };
    let pair = MySqlPair::with(with(release.into()), with(release.into())).await;
    pair.source_sql("CREATE TABLE large (id INT PRIMARY KEY, v LONGBLOB)").await;
    let insert = |id: u32| {
        let piece = "CONCAT('\\t\\0', REPEAT('ab', 2047))";
        format!("INSERT INTO large VALUES ({id}, REPEAT({piece}, {mib} << 8))")
    };
    pair.source_sql(&insert(1)).await;
    Dunlin::run(&pair, "run", &["--until", "snapshot"]).await.expect_code(0);
    pair.source_sql(&insert(2)).await;
    Dunlin::run(&pair, "run", &["--until", "caught-up"]).await.expect_code(0);
    let sums = "SELECT CAST(group_concat(id, ' ', length(v), ' ', crc32(v) ORDER BY id) AS CHAR) FROM large";
    let (here,): (String,) = row(&mut pair.on_source().await, sums).await;
    let (there,): (String,) = row(&mut pair.on_target().await, sums).await;
    assert_eq!(here, there);
}

#[tokio::test]
async fn mysql_9_7_a_row_of_two_packets() {
    large_row(Release::MYSQL_9_7, 17, ("innodb_redo_log_capacity", "256M")).await;
}

#[tokio::test]
async fn mysql_9_7_a_row_of_120_mib() {
    large_row(Release::MYSQL_9_7, 120, ("innodb_redo_log_capacity", "1G")).await;
}

#[tokio::test]
async fn mariadb_11_8_a_row_of_two_packets() {
    large_row(Release::MARIADB_11_8, 17, ("innodb_log_file_size", "256M")).await;
}
