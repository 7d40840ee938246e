//! The demo on Postgres: which servers, what is loaded, and who compares.

use std::path::PathBuf;

use super::DemoError;
use super::application::PostgresApplication;
use super::digest::{self, TableComparison};
use super::exhibit::{Content, DATABASE, Exhibit};
use super::load::{Size, load};
use super::server::{Postgres, Server, ServerOptions};
use super::whereabouts::Whereabouts;

const LOADED: &str = "SELECT (SELECT sum(reltuples)::bigint FROM pg_class \
     WHERE relkind = 'r' AND relnamespace::regnamespace::text NOT IN \
     ('pg_catalog', 'information_schema')), pg_database_size(current_database())";
const LEFT_BEHIND: &str = "SELECT 'slot ' || slot_name FROM pg_replication_slots \
     UNION ALL SELECT 'publication ' || pubname FROM pg_publication \
     UNION ALL SELECT 'schema ' || nspname FROM pg_namespace WHERE nspname = 'dunlin' \
     UNION ALL SELECT 'session ' || pid FROM pg_stat_activity WHERE application_name ^@ 'dunlin'";

impl Exhibit for Postgres {
    /// The folder of the programs; found where none is named.
    type Choice = Option<PathBuf>;
    type Application = PostgresApplication;

    const CONTENT: &'static str = "pgbench's tables, a shop, partitioned events, large texts";
    const COUNTERS: &'static str = "sequences";
    const ALTERATIONS: &'static [&'static str] = &[
        "ALTER TABLE shop.orders ADD COLUMN urgency integer NOT NULL DEFAULT 1",
        "UPDATE shop.orders SET urgency = 2 WHERE id % 1000 = 7",
    ];
    const REMOVED: &'static str = "its slot, publication and state";

    fn create(programs: &Option<PathBuf>, keep: bool) -> Result<Server, DemoError> {
        let programs = programs.clone();
        Server::create(&ServerOptions { programs, durable: true, keep, ..Default::default() })
    }

    fn title(server: &Server) -> String {
        format!("Postgres {}", server.programs().version())
    }

    fn programs(server: &Server) -> Option<PathBuf> {
        Some(server.programs().folder().to_owned())
    }

    fn application(servers: [&Server; 2], moved: PathBuf) -> PostgresApplication {
        let urls = servers.map(|server| server.url(DATABASE));
        PostgresApplication { urls: Whereabouts::moving(urls, moved) }
    }

    async fn create_database(server: &Server) -> Result<(), DemoError> {
        server.create_database(DATABASE).await
    }

    async fn load(server: &Server, size: Size) -> Result<Content, DemoError> {
        load(&server.url(DATABASE), size).await?;
        let measured = server.connect(DATABASE).await?.query_one(LOADED, &[]).await;
        let row = measured.map_err(DemoError::statement("measure the database"))?;
        Ok(Content { rows: row.get(0), bytes: row.get(1) })
    }

    async fn compare(source: &Server, target: &Server) -> Result<Vec<TableComparison>, DemoError> {
        digest::compare(&source.url(DATABASE), &target.url(DATABASE)).await
    }

    async fn counters_behind(source: &Server, target: &Server) -> Result<Vec<String>, DemoError> {
        digest::sequences_behind(&source.url(DATABASE), &target.url(DATABASE)).await
    }

    async fn left_behind(server: &Server) -> Result<Vec<String>, DemoError> {
        let found = server.connect(DATABASE).await?.query(LEFT_BEHIND, &[]).await;
        let rows = found.map_err(DemoError::statement("look for what dunlin left"))?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }
}
