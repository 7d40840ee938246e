//! Private Postgres servers: started in an instant, and gone afterwards whatever happens.
//!
//! Enters: which version, which settings. Leaves: a server on a free port of 127.0.0.1 with a
//! data folder, a socket folder and a log of its own. It refuses to know what runs on it. A
//! server is removed when its value is dropped, also in a panic; and when this process is killed,
//! a guard that outlives it does the same (`guard.sh`).

use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio_postgres::{Client, NoTls};

use super::DemoError;
use super::programs::{Programs, ServerUser, run};
use super::template::{as_user, create_data, file_error, give};

const GUARD: &str = include_str!("guard.sh");
/// Ports below the range from which systems take the near ends of outgoing connections, so that
/// a server finds its port free again after a restart.
const PORTS: std::ops::Range<u16> = 12_000..32_000;
const PORT_ATTEMPTS: u32 = 5;
const START_TIMEOUT: Duration = Duration::from_secs(60);
const STOP_TIMEOUT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(5);

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

/// A private server. Dropping it stops it and removes its folder, unless it was to be kept.
#[derive(Debug)]
pub struct Server {
    programs: Programs,
    user: Option<ServerUser>,
    port: u16,
    running: Option<Running>,
    keep: bool,
    folder: TempDir,
}

/// A started server, and the pipe whose closing tells the guard that this process is gone.
#[derive(Debug)]
struct Running {
    child: Child,
    guard: ChildStdin,
}

/// How a server is told to end; each has its signal (the manual, "Shutting Down the Server").
#[derive(Clone, Copy)]
enum Shutdown {
    /// Sessions are cut, senders of the log finish, and everything is written.
    Fast,
    /// As in a crash: the next start recovers from the log.
    Immediate,
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
        let mut server = Server::unmade(programs, options)?;
        create_data(&server.programs, server.user, &server.data())?;
        server.configure(&own_settings(options, server.folder.path()))?;
        server.start_on_free_port()?;
        Ok(server)
    }

    /// Makes a standby of this running server, of its version, and starts it. It has a replication
    /// slot of its own here.
    ///
    /// # Errors
    /// When it cannot be copied, or a file or the start fails.
    pub fn create_standby(&self, options: &ServerOptions) -> Result<Server, DemoError> {
        let mut standby = Server::unmade(self.programs.clone(), options)?;
        let mut command = Command::new(self.programs.path("pg_basebackup"));
        command
            .args(["--checkpoint=fast", "--no-sync", "--write-recovery-conf", "--create-slot"])
            .arg(format!("--slot=standby_{}", rand::random::<u32>()))
            .args(["--host=127.0.0.1", "--username=postgres", "--port"])
            .arg(self.port.to_string())
            .arg("--pgdata")
            .arg(standby.data())
            .current_dir("/");
        run(as_user(&mut command, self.user))?;
        standby.configure(&own_settings(options, standby.folder.path()))?;
        standby.start_on_free_port()?;
        Ok(standby)
    }

    /// A server with an empty folder.
    fn unmade(programs: Programs, options: &ServerOptions) -> Result<Server, DemoError> {
        let user = ServerUser::for_this_process()?;
        let folder = tempfile::Builder::new()
            .prefix("dunlin-")
            .disable_cleanup(options.keep)
            .tempdir()
            .map_err(file_error(&std::env::temp_dir()))?;
        give(folder.path(), user)?;
        Ok(Server { programs, user, port: 0, running: None, keep: options.keep, folder })
    }

    /// The URL of one of its databases, for the superuser.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// The port on 127.0.0.1; it stays the same over restarts.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The server's log file.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.folder.path().join("server.log")
    }

    /// The data folder.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The number of its first process, while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.running.as_ref().map(|running| running.child.id())
    }

    /// The programs it was started from.
    #[must_use]
    pub fn programs(&self) -> &Programs {
        &self.programs
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
        let path = self.data().join("postgresql.conf");
        OpenOptions::new()
            .append(true)
            .open(&path)
            .and_then(|mut file| file.write_all(lines.as_bytes()))
            .map_err(file_error(&path))
    }

    /// Starts the stopped server on its port and waits until it accepts connections. A server
    /// that runs is left alone.
    ///
    /// # Errors
    /// When it ends at once or is not ready in time.
    pub fn start(&mut self) -> Result<(), DemoError> {
        if self.running.is_some() {
            return Ok(());
        }
        let mut running = self.spawn()?;
        let ready = self.wait_until_ready(&mut running);
        if ready.is_ok() {
            self.running = Some(running);
        } else {
            end(running, Shutdown::Immediate)?;
        }
        ready
    }

    /// Stops it in order: sessions are cut, everything is written.
    ///
    /// # Errors
    /// When it cannot be signalled.
    pub fn stop(&mut self) -> Result<(), DemoError> {
        self.end(Shutdown::Fast)
    }

    /// Stops it as a crash does: the next start recovers.
    ///
    /// # Errors
    /// When it cannot be signalled.
    pub fn crash(&mut self) -> Result<(), DemoError> {
        self.end(Shutdown::Immediate)
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

    fn start_on_free_port(&mut self) -> Result<(), DemoError> {
        for _ in 1..PORT_ATTEMPTS {
            self.port = free_port();
            if self.start().is_ok() {
                return Ok(());
            }
        }
        self.port = free_port();
        self.start()
    }

    fn spawn(&self) -> Result<Running, DemoError> {
        let log_path = self.log();
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log_path)
            .map_err(file_error(&log_path))?;
        let errors = File::try_clone(&log).map_err(file_error(&log_path))?;
        let removed = if self.keep { Path::new("") } else { self.folder.path() };
        let mut command = Command::new("sh");
        command
            .args(["-c", GUARD, "dunlin-guard"])
            .arg(removed)
            .arg(self.programs.path("postgres"))
            .arg("-D")
            .arg(self.data())
            .args(["-p", &self.port.to_string()])
            .current_dir(self.folder.path())
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(log)
            .stderr(errors);
        let mut child = as_user(&mut command, self.user)
            .spawn()
            .map_err(|source| DemoError::Start { program: "sh".to_owned(), source })?;
        let guard = child.stdin.take();
        assert!(guard.is_some(), "the standard input of a server is a pipe");
        guard.map_or_else(|| Err(self.not_ready()), |guard| Ok(Running { child, guard }))
    }

    /// The server writes its state into the eighth line of `postmaster.pid`
    /// (`src/include/utils/pidfile.h`), which is also how `pg_ctl` waits.
    fn wait_until_ready(&self, running: &mut Running) -> Result<(), DemoError> {
        let state_file = self.data().join("postmaster.pid");
        let pid = running.child.id().to_string();
        let deadline = Instant::now() + START_TIMEOUT;
        while Instant::now() < deadline {
            let state = fs::read_to_string(&state_file).unwrap_or_default();
            let mut lines = state.lines().map(str::trim);
            let own = lines.next() == Some(&pid);
            if own && matches!(lines.nth(6), Some("ready" | "standby")) {
                return Ok(());
            }
            if !matches!(running.child.try_wait(), Ok(None)) {
                break;
            }
            thread::sleep(POLL);
        }
        Err(self.not_ready())
    }

    fn not_ready(&self) -> DemoError {
        DemoError::ServerStart { log: self.log(), said: last_line(&self.log()) }
    }

    /// Lets the guard go, and with it the last that ties the server to this process.
    fn leave(&mut self) {
        if let Some(mut running) = self.running.take() {
            let _ = running.guard.write_all(b"done\n");
        }
    }

    fn end(&mut self, how: Shutdown) -> Result<(), DemoError> {
        match self.running.take() {
            Some(running) => end(running, how),
            None => Ok(()),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.keep {
            self.leave();
        }
        if let Err(error) = self.end(Shutdown::Immediate) {
            tracing::warn!(%error, "a private server could not be stopped");
        }
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

fn free_port() -> u16 {
    loop {
        let port = rand::random_range(PORTS);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

fn last_line(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    text.lines().last().unwrap_or_default().to_owned()
}

/// Ends a server: by its signal, and where it does not follow in time, by force.
fn end(mut running: Running, how: Shutdown) -> Result<(), DemoError> {
    let orderly = match how {
        Shutdown::Fast => ["INT", "QUIT"].as_slice(),
        Shutdown::Immediate => ["QUIT"].as_slice(),
    };
    for name in orderly {
        if has_ended(&mut running.child) {
            break;
        }
        signal(&running.child, name)?;
        wait_for_end(&mut running.child);
    }
    let child = &mut running.child;
    let ended = child.kill().and_then(|()| child.wait());
    // The guard may be gone already, which is as good.
    let _ = running.guard.write_all(b"done\n");
    ended.map(drop).map_err(|source| DemoError::Start { program: "kill".to_owned(), source })
}

fn signal(child: &Child, name: &str) -> Result<(), DemoError> {
    let pid = child.id().to_string();
    run(Command::new("sh").args(["-c", "kill -s \"$1\" \"$2\"", "sh", name, &pid])).map(drop)
}

fn wait_for_end(child: &mut Child) {
    let deadline = Instant::now() + STOP_TIMEOUT;
    while !has_ended(child) && Instant::now() < deadline {
        thread::sleep(POLL);
    }
}

fn has_ended(child: &mut Child) -> bool {
    !matches!(child.try_wait(), Ok(None))
}
