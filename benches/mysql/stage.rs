//! Two servers, the source's database, and the programs that compete.

use std::process::Command;
use std::time::{Duration, Instant};

use dunlin::demo::mysql::{Release, Server, ServerOptions};
use dunlin::demo::programs::Programs;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Value};

use super::contest::watch;

/// The database on both servers.
pub const DATABASE: &str = "bench";

const RELEASE: Release = Release::MYSQL_9_7;

/// Settings of all servers: enough memory and log that nothing but the work itself is measured.
const SETTINGS: &[(&str, &str)] = &[
    ("innodb_buffer_pool_size", "1G"),
    ("innodb_redo_log_capacity", "4G"),
    ("replica_parallel_workers", "4"),
];

/// How long a server may take to write out its dirty pages.
const SETTLING: Duration = Duration::from_secs(60);

/// Where everything is measured.
pub struct Stage {
    pub source: Server,
    pub target: Server,
}

impl Stage {
    /// Starts both servers, with an empty database on each.
    pub async fn start() -> Stage {
        let stage = Stage { source: server(false), target: server(true) };
        stage.source.create_database(DATABASE).await.unwrap();
        stage.target.create_database(DATABASE).await.unwrap();
        stage
    }

    /// Runs statements on the source.
    pub async fn source_sql(&self, text: &str) {
        sql(&self.source, text).await;
    }

    /// Makes an empty database on the target in place of the one that is there, and lets both
    /// servers write out what is due, so that nobody pays for the one before.
    pub async fn fresh_target(&self) {
        sql(&self.target, &format!("DROP DATABASE {DATABASE}; CREATE DATABASE {DATABASE}")).await;
        self.settle(&self.target).await;
    }

    /// Lets the source and another server write out what is due.
    pub async fn settle(&self, other: &Server) {
        settle(&self.source).await;
        settle(other).await;
    }

    /// The four tables of sysbench, 1,600,000 rows.
    pub fn load(&self) {
        watch::run(&mut self.sysbench(&["--threads=4", "prepare"]));
    }

    /// sysbench's write-only transactions on the source.
    pub fn sysbench(&self, words: &[&str]) -> Command {
        let root = extracted("sysbench");
        let scripts = root.join("usr/share/sysbench");
        let mut command = Command::new(root.join("usr/bin/sysbench"));
        command
            .env("LUA_PATH", scripts.join("?.lua"))
            .env("MARIADB_PLUGIN_DIR", root.join(PLUGINS))
            .arg(scripts.join("oltp_write_only.lua"))
            .args(["--db-driver=mysql", "--mysql-host=127.0.0.1", "--mysql-user=root"])
            .arg(format!("--mysql-port={}", self.source.port()))
            .arg(format!("--mysql-db={DATABASE}"))
            .args(["--tables=4", "--table-size=400000"])
            .args(words);
        command
    }

    /// A verb of dunlin from the source to the target.
    pub fn dunlin(&self, verb: &str, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dunlin"));
        command.arg(verb).args(["--source", &self.source.url(DATABASE)]);
        command.args(["--target", &self.target.url(DATABASE)]).args(words);
        command
    }

    /// A script in which `mysql`, `mysqldump`, `mydumper` and `myloader` are those of
    /// `scripts/servers`, and `$source` and `$target` say where the servers are.
    pub fn script(&self, text: &str) -> Command {
        let mydumper = extracted("mydumper");
        let reach = |server: &Server| format!("-h 127.0.0.1 -u root -P {}", server.port());
        let mut command = watch::script(text);
        let programs = self.source.programs().path("");
        let path = std::env::var("PATH").unwrap();
        let ours = format!("{}:{}", mydumper.join("usr/bin").display(), programs.display());
        command
            .env("PATH", format!("{ours}:{path}"))
            .env("MARIADB_PLUGIN_DIR", mydumper.join(PLUGINS))
            .env("source", reach(&self.source))
            .env("target", reach(&self.target));
        command
    }
}

/// Where the clients find how to log in.
const PLUGINS: &str = "usr/lib/x86_64-linux-gnu/libmariadb3/plugin";

/// A server with the settings of all.
pub fn server(durable: bool) -> Server {
    let options = ServerOptions { durable, ..ServerOptions::from(RELEASE) };
    let options = SETTINGS.iter().fold(options, |options, (name, value)| options.with(name, value));
    Server::create(&options).unwrap()
}

/// A session without a database.
pub async fn session(server: &Server) -> Conn {
    dunlin::demo::mysql::connect(server.port(), None).await.unwrap()
}

/// Runs statements.
pub async fn sql(server: &Server, text: &str) {
    session(server).await.query_drop(text).await.unwrap();
}

/// The only row of a query, as text.
pub async fn row(server: &Server, query: &str) -> Vec<String> {
    let row: mysql_async::Row = session(server).await.query_first(query).await.unwrap().unwrap();
    let text = |value: Value| value.as_sql(true).trim_matches('\'').to_owned();
    row.unwrap().into_iter().map(text).collect()
}

/// Lets a server write out its dirty pages. Those of its own housekeeping may be left.
async fn settle(server: &Server) {
    sql(server, "SET GLOBAL innodb_max_dirty_pages_pct_lwm = 0, innodb_max_dirty_pages_pct = 0")
        .await;
    let begun = Instant::now();
    let dirty = "SHOW GLOBAL STATUS LIKE 'Innodb_buffer_pool_pages_dirty'";
    while row(server, dirty).await[1].parse::<u32>().unwrap() > 20 && begun.elapsed() < SETTLING {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let usual = "SET GLOBAL innodb_max_dirty_pages_pct = DEFAULT, \
                 innodb_max_dirty_pages_pct_lwm = DEFAULT";
    sql(server, usual).await;
}

/// The folder of what `scripts/servers NAME` brings.
fn extracted(name: &str) -> std::path::PathBuf {
    let folder = Programs::extracted_folder().unwrap().join(name);
    assert!(folder.is_dir(), "{name} is missing: run scripts/servers {name}");
    folder
}
