//! The demo on MySQL and MariaDB: which servers, what is loaded, and who compares.

use std::path::PathBuf;

use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use super::application::MySqlApplication;
use super::digest;
use super::load::load;
use super::server::MySql;
use super::{Release, Server, ServerOptions};
use crate::demo::DemoError;
use crate::demo::digest::TableComparison;
use crate::demo::exhibit::{Content, DATABASE, Exhibit};
use crate::demo::load::Size;
use crate::demo::whereabouts::Whereabouts;

const BYTES: &str = "SELECT CAST(SUM(size) AS SIGNED) FROM (SELECT data_length + index_length AS size \
     FROM information_schema.tables WHERE table_schema = DATABASE()) AS sizes";
/// MySQL shows sizes from a cache that is a day old at worst.
const FRESH: &str = "SET SESSION /*!80000 information_schema_stats_expiry = 0, */ autocommit = 1";
/// Sizes are those of the last statistics.
const ANALYZE: &str = "SELECT CONCAT('ANALYZE NO_WRITE_TO_BINLOG TABLE ', \
     GROUP_CONCAT('`', REPLACE(table_name, '`', '``'), '`')) \
     FROM information_schema.tables WHERE table_schema = DATABASE() AND table_type = 'BASE TABLE'";
const LEFT_BEHIND: &str = "SELECT CONCAT('database ', schema_name) FROM information_schema.schemata \
     WHERE schema_name = 'dunlin'";

/// A read-only server refuses it, unlike the superuser. Accounts are not moved: both servers have it.
const ACCOUNT: &str = "CREATE USER shop@'%' IDENTIFIED BY ''; GRANT ALL ON app.* TO shop@'%'";

/// Room for what is moved and for its log, as an operator would set it.
const SETTINGS: [(&str, &str); 2] =
    [("innodb_buffer_pool_size", "512M"), ("max_binlog_size", "128M")];

impl Exhibit for MySql {
    type Choice = Release;
    type Application = MySqlApplication;

    const CONTENT: &'static str =
        "TPC-B's tables, a shop, partitioned events, large texts, every type of column";
    const COUNTERS: &'static str = "AUTO_INCREMENT values";
    const ALTERATIONS: &'static [&'static str] = &[
        "ALTER TABLE orders ADD COLUMN urgency int NOT NULL DEFAULT 1 AFTER state",
        "UPDATE orders SET urgency = 2 WHERE id % 1000 = 7",
        "ALTER TABLE document MODIFY title varchar(300) NOT NULL, ADD INDEX by_title (title)",
    ];
    const REMOVED: &'static str = "its state";

    fn create(release: &Release, keep: bool) -> Result<Server, DemoError> {
        let log = match release.is_mariadb() {
            true => ("innodb_log_file_size", "1G"),
            false => ("innodb_redo_log_capacity", "1G"),
        };
        let mut options = ServerOptions { durable: true, keep, ..ServerOptions::from(*release) };
        for (name, value) in SETTINGS.into_iter().chain([log]) {
            options = options.with(name, value);
        }
        Server::create(&options)
    }

    fn title(server: &Server) -> String {
        server.programs().title()
    }

    fn programs(_: &Server) -> Option<PathBuf> {
        None
    }

    fn application(servers: [&Server; 2], moved: PathBuf) -> MySqlApplication {
        let ports = Whereabouts::moving(servers.map(Server::port), moved);
        MySqlApplication { ports, database: DATABASE.to_owned(), user: "shop" }
    }

    async fn create_database(server: &Server) -> Result<(), DemoError> {
        server.create_database(DATABASE).await?;
        let made = server.connect(DATABASE).await?.query_drop(ACCOUNT).await;
        made.map_err(DemoError::statement("make the applications' account"))
    }

    async fn load(server: &Server, size: Size) -> Result<Content, DemoError> {
        let rows = load(server, DATABASE, size).await?;
        let mut session = server.connect(DATABASE).await?;
        let measured = measure(&mut session).await;
        let bytes = measured.map_err(DemoError::statement("measure the database"))?;
        let rows = i64::try_from(rows).unwrap_or(i64::MAX);
        Ok(Content { rows, bytes })
    }

    async fn compare(source: &Server, target: &Server) -> Result<Vec<TableComparison>, DemoError> {
        digest::compare(source, target, DATABASE).await
    }

    async fn counters_behind(source: &Server, target: &Server) -> Result<Vec<String>, DemoError> {
        digest::counters_behind(source, target, DATABASE).await
    }

    async fn left_behind(server: &Server) -> Result<Vec<String>, DemoError> {
        let found = server.connect(DATABASE).await?.query(LEFT_BEHIND).await;
        found.map_err(DemoError::statement("look for what dunlin left"))
    }
}

/// Data and indexes of the session's database, in bytes.
async fn measure(session: &mut Conn) -> mysql_async::Result<i64> {
    session.query_drop(FRESH).await?;
    let analyze: Option<String> = session.query_first(ANALYZE).await?;
    session.query_drop(analyze.unwrap_or_default()).await?;
    let bytes: Option<Option<i64>> = session.query_first(BYTES).await?;
    Ok(bytes.flatten().unwrap_or_default())
}
