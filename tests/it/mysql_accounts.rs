//! Accounts and roles are not copied: `check` and `plan` name those that may use what is.

use dunlin::demo::mysql::Release;
use dunlin::demo::mysql::release::Flavour;
use serde_json::Value;

use crate::bad_input::started;
use crate::support::Dunlin;
use crate::support::binary::Finished;
use crate::support::mysql::MySqlPair;

const ACCOUNTS: &str = "CREATE TABLE orders (id int PRIMARY KEY); CREATE DATABASE elsewhere;
CREATE USER shop@'10.%'; GRANT SELECT, INSERT ON app.orders TO shop@'10.%';
CREATE USER auditor@'%'; GRANT PROCESS ON *.* TO auditor@'%';
CREATE USER stranger@'%'; GRANT ALL ON elsewhere.* TO stranger@'%';
CREATE USER idle@'%';
CREATE ROLE clerks; GRANT SELECT ON `a%`.* TO clerks;
CREATE USER clerk@'%'; GRANT clerks TO clerk@'%';
CREATE USER mover@'%'; GRANT SELECT ON app.* TO mover@'%'";

/// The note about accounts among these, whatever else was found.
fn note(finished: &Finished, key: &str) -> Value {
    let report: Value = serde_json::from_str(&finished.stdout)
        .unwrap_or_else(|error| panic!("{error}\n{}\n{}", finished.stdout, finished.stderr));
    let notes = report[key].as_array().unwrap();
    let found = notes.iter().find(|note| note["id"] == "ACCOUNTS_STAY");
    let found = found.unwrap_or_else(|| panic!("{report}")).clone();
    assert_eq!(found["severity"], "info");
    assert!(found["hint"].as_str().unwrap().contains("SHOW GRANTS"), "{found}");
    found
}

async fn accounts_are_named(release: Release) {
    let pair = MySqlPair::of(release).await;
    pair.source_sql(ACCOUNTS).await;
    let roles = match release.flavour {
        Flavour::MySql => "roles: `clerks`@`%`",
        Flavour::MariaDb => "roles: `clerks`",
    };
    let checked = note(&Dunlin::run(&pair, "check", &["--json"]).await, "findings");
    let planned = note(&Dunlin::run(&pair, "plan", &["--json"]).await, "notes");
    assert_eq!(checked, planned);
    let told = checked["evidence"].as_str().unwrap();
    for name in ["`shop`@`10.%`", "`auditor`@`%`", "`clerk`@`%`", "`mover`@`%`", roles] {
        assert!(told.contains(name), "{name} in {told}");
    }
    for name in ["stranger", "idle", "mysql.sys", "mariadb.sys"] {
        assert!(!told.contains(name), "{name} in {told}");
    }
    let plan = Dunlin::run(&pair, "plan", &[]).await.expect_code(0).stdout;
    assert!(plan.contains("note[ACCOUNTS_STAY]") && plan.contains("`auditor`@`%`"), "{plan}");

    let source = pair.source_url().replace("root@", "mover@");
    let check = ["check", "--json", "--source", &source, "--target", &pair.target_url()];
    let unseen = note(&started(&check).await, "findings");
    assert!(unseen["evidence"].as_str().unwrap().contains("may not see"), "{unseen}");
    assert_eq!(unseen["fix_sql"], "GRANT SELECT ON mysql.* TO `mover`@`%`");
}

#[tokio::test]
async fn mysql_9_7_accounts_are_named() {
    accounts_are_named(Release::MYSQL_9_7).await;
}

#[tokio::test]
async fn mariadb_10_11_accounts_are_named() {
    accounts_are_named(Release::MARIADB_10_11).await;
}
