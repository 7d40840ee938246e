//! Two durable servers, the source's database, and the programs that compete.

use std::path::PathBuf;
use std::process::Command;

use dunlin::demo::programs::Programs;
use dunlin::demo::{Server, ServerOptions};
use tokio_postgres::Client;

use super::contest::watch;

/// The database on the source.
pub const DATABASE: &str = "bench";

/// The version of both servers.
const MAJOR: u32 = 15;

/// Settings of both servers: enough memory and log that nothing but the work itself is measured,
/// the same for every contender.
const SETTINGS: &[(&str, &str)] = &[
    ("shared_buffers", "1GB"),
    ("max_wal_size", "16GB"),
    ("checkpoint_timeout", "1h"),
    ("maintenance_work_mem", "512MB"),
    ("max_logical_replication_workers", "8"),
    // A subscription that was just disabled may begin again at once.
    ("wal_retrieve_retry_interval", "100ms"),
];

/// Where everything is measured.
pub struct Stage {
    pub source: Server,
    pub target: Server,
}

impl Stage {
    /// Starts both servers, with an empty database on the source. Commits reach the disk.
    pub async fn start() -> Stage {
        let options = SETTINGS.iter().fold(
            ServerOptions { major: Some(MAJOR), durable: true, ..ServerOptions::default() },
            |options, (name, value)| options.with(name, value),
        );
        let source = Server::create(&options).unwrap();
        let target = Server::create(&options).unwrap();
        source.create_database(DATABASE).await.unwrap();
        Stage { source, target }
    }

    /// A session on the source's database.
    pub async fn on_source(&self) -> Client {
        self.source.connect(DATABASE).await.unwrap()
    }

    /// A session on a database of the target.
    pub async fn on_target(&self, database: &str) -> Client {
        self.target.connect(database).await.unwrap()
    }

    /// Runs statements on the source.
    pub async fn source_sql(&self, text: &str) {
        self.on_source().await.batch_execute(text).await.unwrap();
    }

    /// Makes an empty database on the target in place of one that may be there, and lets both
    /// servers write out what is due, so that nobody pays for the one before.
    pub async fn fresh_target(&self, database: &str) {
        let server = self.on_target("postgres").await;
        server.batch_execute(&format!("DROP DATABASE IF EXISTS {database}")).await.unwrap();
        self.target.create_database(database).await.unwrap();
        self.settle().await;
    }

    /// Lets both servers write out what is due.
    pub async fn settle(&self) {
        self.source_sql("CHECKPOINT").await;
        self.on_target("postgres").await.batch_execute("CHECKPOINT").await.unwrap();
    }

    /// A program of Postgres.
    pub fn program(&self, name: &str) -> String {
        self.source.programs().path(name).display().to_string()
    }

    /// The URL of the source's database.
    pub fn source_url(&self) -> String {
        self.source.url(DATABASE)
    }

    /// A verb of dunlin from the source to a database of the target.
    pub fn dunlin(&self, verb: &str, database: &str, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dunlin"));
        command.arg(verb).args(["--source", &self.source_url()]);
        command.args(["--target", &self.target.url(database)]).args(words);
        command
    }

    /// pgcopydb, with Postgres' programs of the servers' version.
    pub fn pgcopydb(&self) -> Command {
        let path = self.source.programs().folder().display();
        let mut command = Command::new(pgcopydb());
        command.env("PATH", format!("{path}:{}", std::env::var("PATH").unwrap()));
        command
    }

    /// Makes the part of the source's schema that `section` names (see `pg_dump --section`).
    pub fn restore_section(&self, database: &str, section: &str) {
        let text = format!(
            "{dump} --section={section} --no-publications --no-subscriptions '{source}' \
             | {psql} -qX -v ON_ERROR_STOP=1 '{target}'",
            dump = self.program("pg_dump"),
            psql = self.program("psql"),
            source = self.source_url(),
            target = self.target.url(database),
        );
        watch::run(&mut watch::script(&text));
    }
}

/// The program of `scripts/servers pgcopydb`.
fn pgcopydb() -> PathBuf {
    let folder = Programs::extracted_folder().unwrap().join("pgcopydb/usr/bin/pgcopydb");
    assert!(folder.is_file(), "pgcopydb is missing: run scripts/servers pgcopydb");
    folder
}
