//! Definitions word by word: tables with all that belongs to them, views, routines, triggers and
//! events read on the target as on the source, once the migration is complete.

use std::collections::BTreeMap;

use dunlin::demo::mysql::release::Flavour;
use dunlin::demo::mysql::{Release, Server};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Row};

use crate::support::Dunlin;
use crate::support::mysql::{MySqlPair, row};
use crate::support::pair::DATABASE;

const ACCOUNT: &str = "CREATE USER teller@'%'; GRANT ALL ON app.* TO teller@'%'; \
     SET GLOBAL log_bin_trust_function_creators = ON; \
     ALTER DATABASE app CHARACTER SET latin1 COLLATE latin1_german1_ci";

/// Without it MariaDB does not take every table again that it printed (docs/mysql.md).
const LAX: &str = "SET GLOBAL innodb_strict_mode = OFF";

/// The statement that shows each of them.
const LISTED: &str = "
SELECT CONCAT('SHOW CREATE ', IF(table_type = 'VIEW', 'VIEW', IF(table_type = 'SEQUENCE', 'SEQUENCE', 'TABLE')),
    ' `', REPLACE(table_name, '`', '``'), '`') FROM information_schema.tables WHERE table_schema = 'app'
UNION ALL SELECT CONCAT('SHOW CREATE ', routine_type, ' `', REPLACE(routine_name, '`', '``'), '`')
FROM information_schema.routines WHERE routine_schema = 'app'
UNION ALL SELECT CONCAT('SHOW CREATE TRIGGER `', REPLACE(trigger_name, '`', '``'), '`')
FROM information_schema.triggers WHERE trigger_schema = 'app'
UNION ALL SELECT CONCAT('SHOW CREATE EVENT `', REPLACE(event_name, '`', '``'), '`')
FROM information_schema.events WHERE event_schema = 'app'
UNION ALL SELECT 'SHOW CREATE DATABASE `app`'";

/// In the order in which triggers fire.
const ORDER: &str = "SELECT CAST(GROUP_CONCAT(trigger_name ORDER BY action_timing, event_manipulation, \
    action_order) AS CHAR) FROM information_schema.triggers WHERE trigger_schema = 'app'";

fn cases(release: Release) -> Vec<&'static str> {
    let mut parts = vec![include_str!("../cases/mysql/definitions/setup.sql")];
    parts.push(match release.flavour {
        Flavour::MySql => include_str!("../cases/mysql/definitions/mysql.sql"),
        Flavour::MariaDb => include_str!("../cases/mysql/definitions/mariadb.sql"),
    });
    if release == Release::MARIADB_11_8 {
        parts.push(include_str!("../cases/mysql/definitions/mariadb_11_8.sql"));
    }
    let statements = parts.into_iter().flat_map(|part| part.split("\n\n"));
    statements.map(str::trim).filter(|text| !text.starts_with("--")).collect()
}

async fn define(pair: &MySqlPair, release: Release) {
    pair.source_sql(ACCOUNT).await;
    pair.target_sql(ACCOUNT).await;
    if release.is_mariadb() {
        pair.target_sql(LAX).await;
    }
    let mut session = pair.on_source().await;
    let mut failed = Vec::new();
    for statement in cases(release) {
        if let Err(error) = session.query_drop(statement).await {
            failed.push(format!("{error}: {statement}"));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
}

/// All that a server says of each object, but for the moment when it was made.
async fn shown(server: &Server) -> BTreeMap<String, String> {
    let mut session: Conn = server.connect(DATABASE).await.unwrap();
    session.query_drop("SET time_zone = '+00:00'").await.unwrap();
    let statements: Vec<String> = session.query(LISTED).await.unwrap();
    let mut shown = BTreeMap::new();
    for statement in statements {
        let row: Row = row(&mut session, &statement).await;
        let names = row.columns();
        let values = names.iter().zip(row.unwrap());
        let values = values.filter(|(column, _)| column.name_str() != "Created");
        let text = values.map(|(column, value)| {
            let text = match value {
                mysql_async::Value::Bytes(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
                value => value.as_sql(true),
            };
            format!("{}: {text}\n", column.name_str())
        });
        shown.insert(statement, without_implied(&text.collect::<String>()));
    }
    let (order,): (String,) = row(&mut session, ORDER).await;
    shown.insert("the order of triggers".to_owned(), order);
    shown
}

/// Without the character sets that collations imply: MySQL remembers whether a column's collation was
/// named, and tells both then.
fn without_implied(text: &str) -> String {
    let mut rest = text.split(" CHARACTER SET ");
    let mut kept = rest.next().unwrap_or_default().to_owned();
    for part in rest {
        let implied = part.split_once(' ').filter(|(_, next)| next.starts_with("COLLATE "));
        match implied {
            Some((_, next)) => kept.extend([" ", next]),
            None => kept.extend([" CHARACTER SET ", part]),
        }
    }
    kept
}

async fn word_by_word(release: Release) {
    let pair = MySqlPair::of(release).await;
    define(&pair, release).await;
    let source = shown(&pair.source).await;
    Dunlin::run(&pair, "run", &["--until", "caught-up"]).await.expect_code(0);
    pair.assert_equal().await;
    Dunlin::run(&pair, "complete", &[]).await.expect_code(0);
    let target = shown(&pair.target).await;
    let mut differing = Vec::new();
    for name in source.keys().chain(target.keys().filter(|name| !source.contains_key(*name))) {
        let (here, there) = (source.get(name), target.get(name));
        if here != there {
            let text = |text: Option<&String>| text.map_or("nothing", |text| text).to_owned();
            differing.push(format!("{name}\n{}\nbecame\n{}", text(here), text(there)));
        }
    }
    assert!(differing.is_empty(), "{}", differing.join("\n"));
    assert!(source.len() > 50, "{} are not all", source.len());
}

#[tokio::test]
async fn mysql_9_7_definitions_are_the_same_word_by_word() {
    word_by_word(Release::MYSQL_9_7).await;
}

#[tokio::test]
async fn mariadb_10_11_definitions_are_the_same_word_by_word() {
    word_by_word(Release::MARIADB_10_11).await;
}

#[tokio::test]
async fn mariadb_11_8_definitions_are_the_same_word_by_word() {
    word_by_word(Release::MARIADB_11_8).await;
}
