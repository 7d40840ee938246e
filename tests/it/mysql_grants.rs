//! The privileges that dunlin needs of MySQL and MariaDB: what is missing is named, and what
//! `dunlin grants` prints is enough for a whole migration.

use dunlin::demo::mysql::Release;
use dunlin::model::Code;
use mysql_async::prelude::Queryable;

use crate::bad_input::{halted, ids, started};
use crate::support::binary::Finished;
use crate::support::mysql::{MySqlPair, batch, row};

/// Tables, and objects that run as another account.
const OBJECTS: &str = "
CREATE USER teller@'%'; GRANT ALL ON app.* TO teller@'%';
CREATE TABLE orders (id int PRIMARY KEY AUTO_INCREMENT, total int, KEY by_total (total));
CREATE TABLE item (id int PRIMARY KEY, orders int, FOREIGN KEY (orders) REFERENCES orders (id));
CREATE DEFINER = teller@'%' VIEW big AS SELECT id FROM orders WHERE total > 10;
CREATE DEFINER = teller@'%' FUNCTION twice(n int) RETURNS int DETERMINISTIC RETURN n * 2;
CREATE DEFINER = teller@'%' PROCEDURE forget() DELETE FROM item;
CREATE DEFINER = teller@'%' EVENT tidy ON SCHEDULE EVERY 1 YEAR DO DELETE FROM orders WHERE id < 0;
CREATE DEFINER = teller@'%' TRIGGER doubled BEFORE INSERT ON orders FOR EACH ROW
    SET NEW.total = NEW.total * 2;
INSERT INTO orders (total) VALUES (1), (2), (3); INSERT INTO item VALUES (1, 1), (2, 2);
";

const ARRIVED: &str = "
SELECT (SELECT COUNT(*) FROM information_schema.routines WHERE definer = 'teller@%')
     + (SELECT COUNT(*) FROM information_schema.views WHERE definer = 'teller@%')
     + (SELECT COUNT(*) FROM information_schema.events WHERE definer = 'teller@%'
        AND status = 'ENABLED')
     + (SELECT COUNT(*) FROM information_schema.triggers WHERE definer = 'teller@%')";

/// A pair of servers, as an account that has to be granted everything.
struct Mover {
    pair: MySqlPair,
    source: String,
    target: String,
}

impl Mover {
    async fn new(release: Release) -> Mover {
        let pair = MySqlPair::of(release).await;
        pair.source_sql(OBJECTS).await;
        pair.target_sql("CREATE USER teller@'%'; GRANT ALL ON app.* TO teller@'%'").await;
        pair.target_sql("SET GLOBAL log_bin_trust_function_creators = ON").await;
        for server in [&pair.source, &pair.target] {
            batch(server, "CREATE USER mover@'%'; GRANT SELECT ON app.* TO mover@'%'").await;
        }
        let mover = |url: String| url.replace("root@", "mover@");
        Mover { source: mover(pair.source_url()), target: mover(pair.target_url()), pair }
    }

    async fn dunlin(&self, words: &[&str]) -> Finished {
        let servers = ["--source", self.source.as_str(), "--target", self.target.as_str()];
        started(&[words, &servers].concat()).await
    }

    /// Runs what `dunlin grants` prints, on both servers.
    async fn grant(&self) {
        let engine = if self.pair.source.release().is_mariadb() { "mariadb" } else { "mysql" };
        for (side, server) in [("source", &self.pair.source), ("target", &self.pair.target)] {
            let words = ["grants", "--engine", engine, "--side", side, "--role", "mover"];
            batch(server, &started(&words).await.expect_code(0).stdout).await;
        }
    }
}

async fn moves_with_what_grants_prints(release: Release) {
    let mover = Mover::new(release).await;
    let missing = mover.dunlin(&["check", "--json"]).await;
    let blocking = ids(&missing, "block");
    assert!(blocking.iter().all(|id| id == "PRIVILEGE_MISSING"), "{missing:?}");
    for named in ["REPLICATION SLAVE", "REPLICATION CLIENT", "TRIGGER", "CREATE VIEW", "`dunlin`"] {
        assert!(missing.stdout.contains(named), "{named} in {}", missing.stdout);
    }
    let run = ["run", "--until", "caught-up"];
    halted(mover.dunlin(&run).await, Code::PrivilegeMissing);

    mover.grant().await;
    let ready = mover.dunlin(&["check", "--json"]).await;
    assert_eq!(ids(&ready, "block"), [] as [&str; 0], "{}", ready.stdout);
    mover.dunlin(&["plan"]).await.expect_code(0);
    mover.dunlin(&run).await.expect_code(0);
    let pair = &mover.pair;
    pair.source_sql("INSERT INTO orders (total) VALUES (9); DELETE FROM orders WHERE id = 3").await;
    mover.dunlin(&run).await.expect_code(0);
    pair.assert_equal().await;
    mover.dunlin(&["complete"]).await.expect_code(0);
    let arrived: u64 = pair.on_target().await.query_first(ARRIVED).await.unwrap().unwrap();
    assert_eq!(arrived, 5);
    let again = [&run[..], &["--truncate-target", "*"]].concat();
    mover.dunlin(&again).await.expect_code(0);
    pair.assert_equal().await;
}

/// There and back with what `dunlin grants` prints for both sides, on both servers.
async fn goes_back_with_what_grants_prints(release: Release) {
    let mover = Mover::new(release).await;
    let pair = &mover.pair;
    let (engine, of_cutover) = match release.is_mariadb() {
        true => ("mariadb", "-- On MariaDB: GRANT PROCESS"),
        false => ("mysql", "-- GRANT PROCESS, "),
    };
    pair.source_sql("SET GLOBAL log_bin_trust_function_creators = ON").await;
    let mut more = String::new();
    for side in ["source", "target"] {
        let words = ["grants", "--engine", engine, "--side", side, "--role", "mover"];
        let printed = started(&words).await.expect_code(0).stdout;
        batch(&pair.source, &printed).await;
        batch(&pair.target, &printed).await;
        let rest = printed.lines().filter(|line| line.starts_with(of_cutover));
        more.extend(rest.map(|line| &line[line.find("GRANT").unwrap()..]));
    }
    mover.dunlin(&["run", "--until", "caught-up"]).await.expect_code(0);
    let rehearsal = ["cutover", "--dry-run", "--way-back", "--accept-unverified"];
    let told = mover.dunlin(&rehearsal).await.expect_code(5).stdout;
    let unseen = "warning: source: the account lacks PROCESS";
    for said in [unseen, "CONNECTION", "ADMIN ON *.* TO `mover`@`%`"] {
        assert!(told.contains(said), "{said} in {told}");
    }
    batch(&pair.source, &more).await;
    batch(&pair.target, &more).await;
    let told = mover.dunlin(&rehearsal).await.expect_code(0).stdout;
    assert!(!told.contains("lacks") && told.contains("may not see which others"), "{told}");
    let patient = ["--accept-unverified", "--accept-warnings", "--max-downtime", "50s"];
    mover.dunlin(&[&["cutover", "--way-back"][..], &patient].concat()).await.expect_code(0);
    pair.target_sql("INSERT INTO orders (total) VALUES (7)").await;
    mover.dunlin(&["reverse", "--until", "caught-up"]).await.expect_code(0);
    pair.assert_equal().await;
    mover.dunlin(&[&["cutover", "--back"][..], &patient].concat()).await.expect_code(0);
    mover.dunlin(&["complete"]).await.expect_code(0);
    pair.source_sql("INSERT INTO orders (total) VALUES (8)").await;
}

#[tokio::test]
async fn mysql_9_7_goes_back_with_what_grants_prints() {
    goes_back_with_what_grants_prints(Release::MYSQL_9_7).await;
}

#[tokio::test]
async fn mariadb_10_11_goes_back_with_what_grants_prints() {
    goes_back_with_what_grants_prints(Release::MARIADB_10_11).await;
}

#[tokio::test]
async fn mysql_9_7_moves_with_what_grants_prints() {
    moves_with_what_grants_prints(Release::MYSQL_9_7).await;
}

#[tokio::test]
async fn mariadb_10_11_moves_with_what_grants_prints() {
    moves_with_what_grants_prints(Release::MARIADB_10_11).await;
}

#[tokio::test]
async fn mariadb_11_8_moves_with_what_grants_prints() {
    moves_with_what_grants_prints(Release::MARIADB_11_8).await;
}

/// Where the target's binary log ends.
async fn logged(pair: &MySqlPair) -> String {
    let end = match pair.target.release().is_mariadb() {
        false => "SELECT @@gtid_executed",
        true => "SELECT @@gtid_binlog_pos",
    };
    row::<(String,)>(&mut pair.on_target().await, end).await.0
}

async fn writes_past_the_log(release: Release, privilege: &str) {
    let mover = Mover::new(release).await;
    mover.grant().await;
    let run = ["run", "--until", "caught-up", "--target-binlog", "off"];
    halted(mover.dunlin(&run).await, Code::PrivilegeMissing);
    let pair = &mover.pair;
    pair.target_sql(&format!("GRANT {privilege} ON *.* TO mover@'%'")).await;
    let before = logged(pair).await;
    mover.dunlin(&run).await.expect_code(0);
    pair.source_sql("INSERT INTO orders (total) VALUES (9); ALTER TABLE item ADD note text").await;
    mover.dunlin(&run).await.expect_code(0);
    assert_eq!(logged(pair).await, before);
    pair.source_sql("DELETE FROM orders WHERE total = 18").await;
    mover.dunlin(&["run", "--until", "caught-up"]).await.expect_code(0);
    assert_ne!(logged(pair).await, before);
    pair.assert_equal().await;
}

#[tokio::test]
async fn mysql_9_7_writes_past_the_targets_log() {
    writes_past_the_log(Release::MYSQL_9_7, "SESSION_VARIABLES_ADMIN").await;
}

#[tokio::test]
async fn mariadb_11_8_writes_past_the_targets_log() {
    writes_past_the_log(Release::MARIADB_11_8, "BINLOG ADMIN").await;
}
