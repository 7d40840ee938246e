//! Private Postgres servers.
//!
//! Enters: which version, which settings. Leaves: a running server, with sessions of its
//! superuser. How it is started, stopped and removed is said in `private`; what runs on it,
//! nothing in here knows.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tokio_postgres::{Client, NoTls};

use super::DemoError;
use super::cluster::create_data;
use super::private::{Engine, Place, PrivateServer, Start};
use super::process::run;
use super::programs::Programs;
use super::user::as_user;

const SETTINGS: &[(&str, &str)] = &[
    ("listen_addresses", "127.0.0.1"),
    ("wal_level", "logical"),
    ("max_connections", "100"),
    ("max_wal_senders", "20"),
    ("max_replication_slots", "20"),
    ("max_worker_processes", "16"),
    ("max_prepared_transactions", "10"),
    ("shared_buffers", "128MB"),
    ("max_wal_size", "8GB"),
    ("checkpoint_timeout", "30min"),
    ("timezone", "UTC"),
    ("log_line_prefix", "%m [%p] %a "),
];
const FAST_SETTINGS: &[(&str, &str)] = &[("fsync", "off"), ("full_page_writes", "off")];

/// What a server is to be like.
#[derive(Clone, Debug, Default)]
pub struct ServerOptions {
    /// The major version; the newest installed one where none is named.
    pub major: Option<u32>,
    /// The folder of its programs, instead of looking for them.
    pub programs: Option<PathBuf>,
    /// Whether commits reach the disk. Without it the server is faster and does not survive a
    /// crash of the machine; it does survive its own.
    pub durable: bool,
    /// Whether it goes on running, and its folder stays, when its value is dropped.
    pub keep: bool,
    /// Settings on top of the usual ones; the last of a name counts.
    pub settings: Vec<(String, String)>,
}

impl ServerOptions {
    /// The same with one setting more.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// A private Postgres server.
pub type Server = PrivateServer<Postgres>;

/// Postgres, as it is started and stopped.
#[derive(Debug)]
pub struct Postgres {
    programs: Programs,
}

impl Engine for Postgres {
    // The manual, "Shutting Down the Server": INT is a fast shutdown, QUIT an immediate one.
    const STOP: &'static [&'static str] = &["INT", "QUIT"];
    const CRASH: &'static [&'static str] = &["QUIT"];
    const ERROR_MARK: &'static str = "FATAL:";

    fn command(&self, place: &Place<'_>) -> Command {
        let mut command = Command::new(self.programs.path("postgres"));
        command.arg("-D").arg(place.data()).args(["-p", &place.port.to_string()]);
        command
    }

    fn url(&self, port: u16, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{port}/{database}")
    }

    /// The server writes its state into the eighth line of `postmaster.pid`
    /// (`src/include/utils/pidfile.h`), which is also how `pg_ctl` waits.
    fn is_ready(&self, place: &Place<'_>, start: &Start<'_>) -> bool {
        let state = fs::read_to_string(place.data().join("postmaster.pid")).unwrap_or_default();
        let mut lines = state.lines().map(str::trim);
        let own = lines.next() == Some(&start.pid.to_string());
        own && matches!(lines.nth(6), Some("ready" | "standby"))
    }
}

impl Server {
    /// Makes a server and starts it.
    ///
    /// # Errors
    /// When the programs are missing, or a file or the start fails.
    pub fn create(options: &ServerOptions) -> Result<Server, DemoError> {
        let programs = match &options.programs {
            Some(folder) => Programs::in_folder(folder)?,
            None => Programs::find(options.major)?,
        };
        let mut server = Server::unmade(Postgres { programs }, options.keep)?;
        create_data(server.programs(), server.user, &server.data())?;
        server.configure(&own_settings(options, server.folder()))?;
        server.start_on_free_port()?;
        Ok(server)
    }

    /// Makes a standby of this running server, of its version, and starts it. It has a replication
    /// slot of its own here.
    ///
    /// # Errors
    /// When it cannot be copied, or a file or the start fails.
    pub fn create_standby(&self, options: &ServerOptions) -> Result<Server, DemoError> {
        let programs = self.programs().clone();
        let mut command = Command::new(programs.path("pg_basebackup"));
        let mut standby = Server::unmade(Postgres { programs }, options.keep)?;
        command
            .args(["--checkpoint=fast", "--no-sync", "--write-recovery-conf", "--create-slot"])
            .arg(format!("--slot=standby_{}", rand::random::<u32>()))
            .args(["--host=127.0.0.1", "--username=postgres", "--port"])
            .arg(self.port().to_string())
            .arg("--pgdata")
            .arg(standby.data())
            .current_dir("/");
        run(as_user(&mut command, self.user))?;
        standby.configure(&own_settings(options, standby.folder()))?;
        standby.start_on_free_port()?;
        Ok(standby)
    }

    /// The programs it was started from.
    #[must_use]
    pub fn programs(&self) -> &Programs {
        &self.engine.programs
    }

    /// Adds settings, which count from the next start.
    ///
    /// # Errors
    /// When the configuration file cannot be written.
    pub fn configure(&self, settings: &[(String, String)]) -> Result<(), DemoError> {
        let mut lines = String::new();
        for (name, value) in settings {
            let _ = writeln!(lines, "{name} = '{}'", value.replace('\'', "''"));
        }
        self.append("data/postgresql.conf", &lines)
    }

    /// Opens a session of the superuser. It ends when the client is dropped.
    ///
    /// # Errors
    /// When the server refuses it.
    pub async fn connect(&self, database: &str) -> Result<Client, DemoError> {
        connect(&self.url(database)).await
    }

    /// Makes an empty database.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn create_database(&self, name: &str) -> Result<(), DemoError> {
        let client = self.connect("postgres").await?;
        let quoted = name.replace('"', "\"\"");
        client
            .batch_execute(&format!("CREATE DATABASE \"{quoted}\""))
            .await
            .map_err(DemoError::statement("create a database"))
    }
}

/// Opens a session; it ends when the client is dropped.
///
/// # Errors
/// When the server refuses it.
pub async fn connect(url: &str) -> Result<Client, DemoError> {
    let (client, connection) =
        tokio_postgres::connect(url, NoTls).await.map_err(DemoError::statement("connect"))?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a session of the demo ended");
        }
    });
    Ok(client)
}

fn own_settings(options: &ServerOptions, folder: &Path) -> Vec<(String, String)> {
    let fast = if options.durable { &[] } else { FAST_SETTINGS };
    let mut settings: Vec<(String, String)> = SETTINGS
        .iter()
        .chain(fast)
        .map(|&(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let sockets = folder.to_string_lossy().into_owned();
    settings.push(("unix_socket_directories".to_owned(), sockets));
    settings.extend(options.settings.iter().cloned());
    settings
}
