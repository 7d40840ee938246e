//! Private servers of either engine: started in an instant, and gone afterwards whatever happens.
//!
//! Enters: an engine, which knows the command of its server and when it is ready. Leaves: a server
//! on a free port of 127.0.0.1 with a data folder, a socket and a log of its own. It refuses to
//! know what it runs and what runs on it. A server is removed when its value is dropped, also in
//! a panic; and when this process is killed, a guard that outlives it does the same (`guard.sh`).

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::DemoError;
use super::process::run;
use super::user::{ServerUser, as_user, give};

const GUARD: &str = include_str!("guard.sh");
/// Ports below the range from which systems take the near ends of outgoing connections, so that
/// a server finds its port free again after a restart.
const PORTS: std::ops::Range<u16> = 12_000..32_000;
const PORT_ATTEMPTS: u32 = 5;
const START_TIMEOUT: Duration = Duration::from_secs(60);
const STOP_TIMEOUT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(5);

/// What tells the servers of one engine from those of another.
pub trait Engine {
    /// The signals for an orderly end: sessions are cut and everything is written. Each further
    /// one is for a server that does not follow the one before in time.
    const STOP: &'static [&'static str];
    /// The signals for an end as in a crash: the next start recovers from the log. After the last
    /// the server is killed.
    const CRASH: &'static [&'static str];
    /// What a line of the log has that says why the server does not start.
    const ERROR_MARK: &'static str;

    /// The command that becomes the server.
    fn command(&self, place: &Place<'_>) -> Command;

    /// The URL of a database on a server of this port, for the superuser.
    fn url(&self, port: u16, database: &str) -> String;

    /// Whether the started server accepts connections.
    fn is_ready(&self, place: &Place<'_>, start: &Start<'_>) -> bool;
}

/// Where a server lives.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The folder that holds all of it.
    pub folder: &'a Path,
    /// Its port on 127.0.0.1.
    pub port: u16,
}

impl Place<'_> {
    /// Its data folder.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Its log file.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.folder.join("server.log")
    }
}

/// A start that is under way.
#[derive(Clone, Copy, Debug)]
pub struct Start<'a> {
    /// The number of the server's process.
    pub pid: u32,
    /// What it has logged so far.
    pub said: &'a str,
}

/// A private server. Dropping it stops it and removes its folder, unless it was to be kept.
#[derive(Debug)]
pub struct PrivateServer<E: Engine> {
    pub(super) engine: E,
    pub(super) user: Option<ServerUser>,
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
    /// Where in the log file its words begin, in bytes.
    log_start: u64,
}

impl<E: Engine> PrivateServer<E> {
    /// A server with an empty folder; `keep` as when dropping it is to leave it alone.
    pub(super) fn unmade(engine: E, keep: bool) -> Result<PrivateServer<E>, DemoError> {
        let user = ServerUser::for_this_process()?;
        let folder = tempfile::Builder::new()
            .prefix("dunlin-")
            .disable_cleanup(keep)
            .tempdir()
            .map_err(DemoError::file(&std::env::temp_dir()))?;
        give(folder.path(), user)?;
        Ok(PrivateServer { engine, user, port: 0, running: None, keep, folder })
    }

    /// The URL of one of its databases, for the superuser.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        self.engine.url(self.port, database)
    }

    /// The port on 127.0.0.1; it stays the same over restarts.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The folder that holds all of it.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The server's log file.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.place().log()
    }

    /// The data folder.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.place().data()
    }

    /// The number of its first process, while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.running.as_ref().map(|running| running.child.id())
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
            end(running, E::CRASH)?;
        }
        ready
    }

    /// Stops it in order: sessions are cut, everything is written.
    ///
    /// # Errors
    /// When it cannot be signalled.
    pub fn stop(&mut self) -> Result<(), DemoError> {
        self.end(E::STOP)
    }

    /// Stops it as a crash does: the next start recovers.
    ///
    /// # Errors
    /// When it cannot be signalled.
    pub fn crash(&mut self) -> Result<(), DemoError> {
        self.end(E::CRASH)
    }

    /// Starts it for the first time. Somebody else may take the port before the server does, which
    /// is no reason to give up.
    pub(super) fn start_on_free_port(&mut self) -> Result<(), DemoError> {
        for _ in 1..PORT_ATTEMPTS {
            self.port = free_port();
            let started = self.start();
            if started.is_ok() || is_free(self.port) {
                return started;
            }
        }
        self.port = free_port();
        self.start()
    }

    /// Appends lines to a file of settings inside its folder.
    pub(super) fn append(&self, file: &str, lines: &str) -> Result<(), DemoError> {
        let path = self.folder.path().join(file);
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .and_then(|mut file| file.write_all(lines.as_bytes()))
            .map_err(DemoError::file(&path))
    }

    fn place(&self) -> Place<'_> {
        Place { folder: self.folder.path(), port: self.port }
    }

    fn spawn(&self) -> Result<Running, DemoError> {
        let log_path = self.log();
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log_path)
            .map_err(DemoError::file(&log_path))?;
        let errors = File::try_clone(&log).map_err(DemoError::file(&log_path))?;
        let log_start = log.metadata().map_err(DemoError::file(&log_path))?.len();
        let removed = if self.keep { Path::new("") } else { self.folder.path() };
        let server = self.engine.command(&self.place());
        let mut command = Command::new("sh");
        command
            .args(["-c", GUARD, "dunlin-guard"])
            .arg(removed)
            .arg(server.get_program())
            .args(server.get_args())
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
        guard.map_or_else(
            || Err(self.not_ready("")),
            |guard| Ok(Running { child, guard, log_start }),
        )
    }

    fn wait_until_ready(&self, running: &mut Running) -> Result<(), DemoError> {
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            let ended = has_ended(&mut running.child);
            let said = self.said_since(running.log_start);
            if ended || Instant::now() >= deadline {
                return Err(self.not_ready(&said));
            }
            let start = Start { pid: running.child.id(), said: &said };
            if self.engine.is_ready(&self.place(), &start) {
                return Ok(());
            }
            thread::sleep(POLL);
        }
    }

    fn said_since(&self, log_start: u64) -> String {
        let log = fs::read(self.log()).unwrap_or_default();
        let start = usize::try_from(log_start).unwrap_or(usize::MAX);
        String::from_utf8_lossy(log.get(start..).unwrap_or_default()).into_owned()
    }

    /// The first line that says what is wrong: those after it are often mere consequences.
    fn not_ready(&self, said: &str) -> DemoError {
        let reason = said.lines().find(|line| line.contains(E::ERROR_MARK));
        let reason = reason.or_else(|| said.lines().last()).unwrap_or_default().to_owned();
        DemoError::ServerStart { log: self.log(), said: reason }
    }

    /// Lets the guard go, and with it the last that ties the server to this process.
    fn leave(&mut self) {
        if let Some(mut running) = self.running.take() {
            let _ = running.guard.write_all(b"done\n");
        }
    }

    fn end(&mut self, signals: &[&str]) -> Result<(), DemoError> {
        match self.running.take() {
            Some(running) => end(running, signals),
            None => Ok(()),
        }
    }
}

impl<E: Engine> Drop for PrivateServer<E> {
    fn drop(&mut self) {
        if self.keep {
            self.leave();
        }
        if let Err(error) = self.end(E::CRASH) {
            tracing::warn!(%error, "a private server could not be stopped");
        }
    }
}

fn free_port() -> u16 {
    loop {
        let port = rand::random_range(PORTS);
        if is_free(port) {
            return port;
        }
    }
}

fn is_free(port: u16) -> bool {
    TcpListener::bind(("127.0.0.1", port)).is_ok()
}

/// Ends a server: by its signals, and where it does not follow in time, by force.
fn end(mut running: Running, signals: &[&str]) -> Result<(), DemoError> {
    for name in signals {
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
