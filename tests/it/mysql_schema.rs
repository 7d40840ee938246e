//! The schema on a MySQL target: in what order it is made, and that it is made once.

use dunlin::demo::mysql::Release;
use dunlin::model::ddl::{
    Clause, DatabaseDdl, Dialect, MySqlSchema, StoredDdl, StoredKind, TableDdl,
};
use dunlin::model::{CarriedSchema, SchemaFacts, TableName};
use dunlin::target::{BuildStage, Target};
use mysql_async::prelude::Queryable;

use crate::mysql_target::{begin, target};
use crate::support::mysql::{MySqlPair, row};
use crate::support::pair::DATABASE;

fn clause(name: &str, text: &str) -> Clause {
    Clause { name: name.to_owned(), text: text.to_owned() }
}

fn object(kind: StoredKind, name: &str, create: &str) -> StoredDdl {
    StoredDdl {
        name: TableName { schema: DATABASE.to_owned(), name: name.to_owned() },
        kind,
        create: create.to_owned(),
        definer: "root@localhost".to_owned(),
        sql_mode: (kind != StoredKind::View).then(|| "ANSI_QUOTES".to_owned()),
        character_set_client: "utf8mb4".to_owned(),
        collation_connection: "utf8mb4_bin".to_owned(),
        time_zone: (kind == StoredKind::Event).then(|| "+02:00".to_owned()),
        table: None,
        enabled: true,
    }
}

/// A schema in which things need each other in another order than that of their names.
fn schema(dialect: Dialect) -> CarriedSchema {
    let table = |name: &str, create: &str| TableDdl {
        name: TableName { schema: DATABASE.to_owned(), name: name.to_owned() },
        create: create.to_owned(),
        indexes: Vec::new(),
        foreign_keys: Vec::new(),
        auto_increment: None,
    };
    let mut child =
        table("child", "CREATE TABLE `child` (`id` int PRIMARY KEY, `of` int, `t` text)");
    child.indexes =
        vec![clause("by_of", "KEY `by_of` (`of`)"), clause("w", "FULLTEXT KEY `w` (`t`)")];
    child.foreign_keys = vec![clause(
        "parents",
        "CONSTRAINT `parents` FOREIGN KEY (`of`) REFERENCES `parent` (`id`) ON DELETE CASCADE",
    )];
    let event = "CREATE EVENT `tick` ON SCHEDULE EVERY 1 SECOND ON COMPLETION NOT PRESERVE ENABLE \
                 DO INSERT INTO parent VALUES (NULL)";
    let schema = MySqlSchema {
        dialect,
        databases: vec![DatabaseDdl {
            name: DATABASE.to_owned(),
            create: "CREATE DATABASE `app` DEFAULT CHARACTER SET utf8mb4".to_owned(),
            character_set: "utf8mb4".to_owned(),
            collation: "utf8mb4_bin".to_owned(),
        }],
        tables: vec![
            child,
            table("parent", "CREATE TABLE `parent` (`id` int PRIMARY KEY COMMENT 'größe')"),
        ],
        sequences: Vec::new(),
        views: vec![
            object(StoredKind::View, "a", "CREATE VIEW `a` AS SELECT * FROM `b`"),
            object(StoredKind::View, "b", "CREATE VIEW `b` AS SELECT twice(id) AS id FROM `child`"),
        ],
        triggers: vec![object(
            StoredKind::Trigger,
            "t",
            "CREATE TRIGGER `t` BEFORE INSERT ON `parent` FOR EACH ROW SET NEW.id = 1",
        )],
        routines: vec![object(
            StoredKind::Function,
            "twice",
            "CREATE FUNCTION \"twice\"(n int) RETURNS int DETERMINISTIC RETURN n * 2",
        )],
        events: vec![object(StoredKind::Event, "tick", event)],
    };
    CarriedSchema { archive: schema.to_archive().unwrap(), facts: SchemaFacts::default() }
}

/// Everything is made once, however often a killed process begins again.
async fn makes_the_schema(release: Release) {
    let pair = MySqlPair::of(release).await;
    pair.target_sql("SET GLOBAL log_bin_trust_function_creators = ON").await;
    let target = target(&pair.target).await;
    begin(&target, &[]).await;
    let migration = target.load().await.unwrap().unwrap();
    assert!(!migration.schema_made);
    // As if it had been killed before it recorded the first.
    pair.target_sql(
        "CREATE TABLE `child` (`id` int PRIMARY KEY, `of` int, `t` text, KEY by_of (`of`))",
    )
    .await;
    let dialect = match release.is_mariadb() {
        true => Dialect::MariaDb,
        false => Dialect::MySql,
    };
    target.make_tables(&schema(dialect), &[]).await.unwrap();
    assert!(target.load().await.unwrap().unwrap().schema_made);
    assert!(target.builds(BuildStage::Identity).await.unwrap().is_empty());
    let builds = target.builds(BuildStage::Rest).await.unwrap();
    assert_eq!(builds.len(), 6, "{builds:?}");
    for build in &builds {
        target.build(build.id).await.unwrap();
        target.build(build.id).await.unwrap();
    }
    assert!(target.builds(BuildStage::Rest).await.unwrap().is_empty());
    let mut session = pair.on_target().await;
    let comment: String = row(
        &mut session,
        "SELECT column_comment FROM information_schema.columns WHERE table_name = 'parent'",
    )
    .await;
    assert_eq!(comment, "größe");
    let made: Vec<String> = session
        .query(
            "SELECT CONCAT('index ', index_name) FROM information_schema.statistics \
             WHERE table_schema = 'app' AND table_name = 'child' UNION ALL \
             SELECT CONCAT('key ', constraint_name) \
             FROM information_schema.referential_constraints UNION ALL \
             SELECT CONCAT('view ', table_name) FROM information_schema.views \
             WHERE table_schema = 'app' UNION ALL \
             SELECT CONCAT('event ', event_name, ' ', status) FROM information_schema.events \
             UNION ALL SELECT CONCAT('trigger ', trigger_name) FROM information_schema.triggers \
             WHERE trigger_schema = 'app' ORDER BY 1",
        )
        .await
        .unwrap();
    let event = made[0].clone();
    assert_eq!(event, "event tick DISABLED");
    let rest = ["index by_of", "index PRIMARY", "index w", "key parents", "view a", "view b"];
    assert_eq!(made[1..], rest);
    let at_cutover =
        [(BuildStage::Cutover, "trigger app.t"), (BuildStage::Switched, "event app.tick enabled")];
    for (stage, label) in at_cutover {
        let builds = target.builds(stage).await.unwrap();
        let labels: Vec<&str> = builds.iter().map(|build| build.label.as_str()).collect();
        assert_eq!(labels, [label]);
        target.build(builds[0].id).await.unwrap();
        target.build(builds[0].id).await.unwrap();
    }
    let acting: String = row(
        &mut session,
        "SELECT CONCAT(trigger_name, ' ', status) FROM information_schema.triggers \
         JOIN information_schema.events WHERE trigger_schema = 'app'",
    )
    .await;
    assert_eq!(acting, "t ENABLED");
}

#[tokio::test]
async fn mysql_makes_the_schema() {
    makes_the_schema(Release::MYSQL_9_7).await;
}

#[tokio::test]
async fn mariadb_makes_the_schema() {
    makes_the_schema(Release::MARIADB_11_8).await;
}
