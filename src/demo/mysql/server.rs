//! Private MySQL and MariaDB servers.
//!
//! Enters: which release, which options of `mysqld`. Leaves: a running server that writes a row
//! based binary log, with sessions of its superuser. How it is started, stopped and removed is
//! said in `private`; what runs on it, nothing in here knows.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, OptsBuilder};

use super::release::{Flavour, Programs, Release};
use crate::demo::DemoError;
use crate::demo::private::{Engine, Place, PrivateServer, Start};
use crate::demo::process::run;
use crate::demo::template;
use crate::demo::user::{ServerUser, as_user};

/// Bump when the way in which data folders are made changes, so that older templates are not used.
const REVISION: u32 = 1;
const SETTINGS_FILE: &str = "my.cnf";
const LARGEST_PACKET: usize = 1 << 30;

const SETTINGS: &[(&str, &str)] = &[
    ("bind_address", "127.0.0.1"),
    ("log_bin", "binlog"),
    ("binlog_row_image", "FULL"),
    ("binlog_row_metadata", "FULL"),
    ("local_infile", "ON"),
    ("secure_file_priv", ""),
    ("innodb_buffer_pool_size", "128M"),
    ("max_connections", "200"),
    ("default_time_zone", "+00:00"),
];
const MYSQL_SETTINGS: &[(&str, &str)] =
    &[("mysqlx", "OFF"), ("gtid_mode", "ON"), ("enforce_gtid_consistency", "ON")];
const MARIADB_SETTINGS: &[(&str, &str)] = &[("binlog_format", "ROW")];
/// Each commit is handed to the system, which writes it when it likes.
const FAST_SETTINGS: &[(&str, &str)] =
    &[("innodb_flush_log_at_trx_commit", "2"), ("sync_binlog", "0")];
const DURABLE_SETTINGS: &[(&str, &str)] =
    &[("innodb_flush_log_at_trx_commit", "1"), ("sync_binlog", "1")];

/// What a server is to be like.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// What it is.
    pub release: Release,
    /// Whether commits reach the disk. Without it the server is faster and does not survive a
    /// crash of the machine; it does survive its own.
    pub durable: bool,
    /// Whether it goes on running, and its folder stays, when its value is dropped.
    pub keep: bool,
    /// Options of `mysqld` on top of the usual ones; the last of a name counts.
    pub settings: Vec<(String, String)>,
}

impl From<Release> for ServerOptions {
    fn from(release: Release) -> ServerOptions {
        ServerOptions { release, durable: false, keep: false, settings: Vec::new() }
    }
}

impl ServerOptions {
    /// The same with one setting more.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// A private MySQL or MariaDB server.
pub type Server = PrivateServer<MySql>;

/// MySQL or MariaDB, as it is started and stopped.
#[derive(Debug)]
pub struct MySql {
    programs: Programs,
}

impl Engine for MySql {
    // The manual, "Unix Signal Handling in MySQL".
    const STOP: &'static [&'static str] = &["TERM"];
    const CRASH: &'static [&'static str] = &[];
    const ERROR_MARK: &'static str = "[ERROR]";

    /// MariaDB, when it starts, removes the temporary tables of others from a folder that it shares.
    fn command(&self, place: &Place<'_>) -> Command {
        let mut command = Command::new(self.programs.server());
        let option = |name: &str, path: &Path| format!("--{name}={}", path.display());
        command
            .arg(option("defaults-file", &place.folder.join(SETTINGS_FILE)))
            .arg(option("basedir", self.programs.prefix()))
            .arg(option("datadir", &place.data()))
            .arg(option("tmpdir", place.folder))
            .arg(option("socket", &place.folder.join("socket")))
            .arg(option("pid-file", &place.folder.join("pid")))
            .arg(format!("--port={}", place.port));
        command
    }

    fn url(&self, port: u16, database: &str) -> String {
        let scheme = match self.programs.release().flavour {
            Flavour::MySql => "mysql",
            Flavour::MariaDb => "mariadb",
        };
        format!("{scheme}://root@127.0.0.1:{port}/{database}")
    }

    /// Both flavours say it in their log (`ER_SERVER_STARTUP_MSG`, `ER_STARTUP`).
    fn is_ready(&self, _: &Place<'_>, start: &Start<'_>) -> bool {
        start.said.contains(": ready for connections.")
    }
}

impl Server {
    /// Makes a server and starts it.
    ///
    /// # Errors
    /// When the programs are missing, or a file or the start fails.
    pub fn create(options: &ServerOptions) -> Result<Server, DemoError> {
        let programs = Programs::find(options.release)?;
        let mut server = Server::unmade(MySql { programs }, options.keep)?;
        create_data(server.programs(), server.user, &server.data())?;
        server.append(SETTINGS_FILE, "[mysqld]\n")?;
        server.configure(&own_settings(options))?;
        server.start_on_free_port()?;
        Ok(server)
    }

    /// What it is.
    #[must_use]
    pub fn release(&self) -> Release {
        self.programs().release()
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
            let _ = writeln!(lines, "{name} = \"{}\"", value.replace('\\', "\\\\"));
        }
        self.append(SETTINGS_FILE, &lines)
    }

    /// Opens a session of the superuser in a database.
    ///
    /// # Errors
    /// When the server refuses it.
    pub async fn connect(&self, database: &str) -> Result<Conn, DemoError> {
        connect(self.port(), Some(database)).await
    }

    /// Makes an empty database.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn create_database(&self, name: &str) -> Result<(), DemoError> {
        let mut session = connect(self.port(), None).await?;
        let statement = format!("CREATE DATABASE `{}`", name.replace('`', "``"));
        let failed = DemoError::statement("create a database");
        session.query_drop(statement).await.map_err(failed)
    }
}

/// Opens a session of the superuser on this port of 127.0.0.1, in a database where one is named.
///
/// # Errors
/// When the server refuses it.
pub async fn connect(port: u16, database: Option<&str>) -> Result<Conn, DemoError> {
    connect_as("root", port, database).await
}

/// As [`connect`], by an account without a password.
///
/// # Errors
/// When the server refuses it.
pub async fn connect_as(user: &str, port: u16, database: Option<&str>) -> Result<Conn, DemoError> {
    let options = OptsBuilder::default()
        .ip_or_hostname("127.0.0.1")
        .tcp_port(port)
        .user(Some(user))
        .db_name(database)
        .prefer_socket(false)
        .max_allowed_packet(Some(LARGEST_PACKET));
    Conn::new(options).await.map_err(DemoError::statement("connect"))
}

fn own_settings(options: &ServerOptions) -> Vec<(String, String)> {
    let flavoured = match options.release.flavour {
        Flavour::MySql => MYSQL_SETTINGS,
        Flavour::MariaDb => MARIADB_SETTINGS,
    };
    let pace = if options.durable { DURABLE_SETTINGS } else { FAST_SETTINGS };
    let mut settings: Vec<(String, String)> = SETTINGS
        .iter()
        .chain(flavoured)
        .chain(pace)
        .map(|&(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    // Whoever reads one server's log under another's number is cut off.
    let number: u32 = rand::random_range(1..=u32::MAX);
    settings.push(("server_id".to_owned(), number.to_string()));
    settings.extend(options.settings.iter().cloned());
    settings
}

/// Makes `data`, which must not exist yet, inside a folder that `user` owns.
fn create_data(
    programs: &Programs,
    user: Option<ServerUser>,
    data: &Path,
) -> Result<(), DemoError> {
    let name = format!("{}-{}-{REVISION}", programs.release(), programs.version());
    template::create_data(&name, user, data, || initialize(programs, user, data))?;
    forget_identity(data)
}

/// The superuser may come from this machine without a password.
fn initialize(programs: &Programs, user: Option<ServerUser>, data: &Path) -> Result<(), DemoError> {
    let mut command = match programs.release().flavour {
        Flavour::MySql => {
            let mut command = Command::new(programs.server());
            command.args(["--no-defaults", "--initialize-insecure"]);
            command.arg("--innodb-redo-log-capacity=8M");
            command
        }
        Flavour::MariaDb => {
            let mut command = Command::new(programs.path("mariadb-install-db"));
            command.args(["--no-defaults", "--auth-root-authentication-method=normal"]);
            command.args(["--skip-name-resolve", "--skip-test-db", "--innodb-log-file-size=8M"]);
            command
        }
    };
    command
        .arg(format!("--basedir={}", programs.prefix().display()))
        .arg(format!("--datadir={}", data.display()))
        .current_dir("/");
    run(as_user(&mut command, user)).map(drop)
}

/// MySQL keeps `server_uuid` in `auto.cnf` and makes a new one where that is missing: copies of one
/// template are to be two servers. MariaDB has none.
fn forget_identity(data: &Path) -> Result<(), DemoError> {
    let path = data.join("auto.cnf");
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(DemoError::file(&path)(error)),
        _ => Ok(()),
    }
}
