//! Starts, watches, kills and restarts dunlin, the way an operator's script would.
//!
//! Enters: the binary and two URLs. Leaves: runs of it, and what `dunlin status` says. Whether a
//! run did its work is never taken from its own words alone, except for when to kill it.

use std::env;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::process::Command;
use tokio::time::sleep;

use super::DemoError;
use super::process::Process;

const POLL: Duration = Duration::from_millis(50);
const PATIENCE: Duration = Duration::from_secs(300);

/// Where dunlin is, and what it is to move.
pub(super) struct Driver {
    pub(super) binary: PathBuf,
    /// Further programs that it is to find.
    pub(super) programs: Option<PathBuf>,
    pub(super) source_url: String,
    pub(super) target_url: String,
    pub(super) folder: PathBuf,
    pub(super) runs: u32,
}

/// What `dunlin status --json` says, as far as the demo looks.
#[derive(Clone, Debug, Default)]
pub(super) struct Status {
    pub(super) phase: String,
    pub(super) chunks_done: u64,
    pub(super) chunks_total: u64,
    pub(super) lag_bytes: Option<u64>,
    pub(super) lag_transactions: Option<u64>,
    pub(super) lag_seconds: Option<f64>,
}

impl Status {
    /// Whether every table is copied and indexed.
    pub(super) fn is_copied(&self) -> bool {
        matches!(self.phase.as_str(), "catch-up" | "stream")
    }

    fn from_json(status: &Value) -> Status {
        let number = |path: &str| status.pointer(path).and_then(Value::as_u64);
        Status {
            phase: status["phase"].as_str().unwrap_or_default().to_owned(),
            chunks_done: number("/snapshot/chunks_done").unwrap_or(0),
            chunks_total: number("/snapshot/chunks_total").unwrap_or(0),
            lag_bytes: number("/lag_bytes"),
            lag_transactions: number("/lag_transactions"),
            lag_seconds: status["lag_seconds"].as_f64(),
        }
    }
}

impl Driver {
    /// Starts a verb with both URLs.
    pub(super) fn start(&mut self, verb: &str, further: &[&str]) -> Result<Process, DemoError> {
        self.runs += 1;
        let name = format!("{:02}-{verb}", self.runs);
        Process::start(self.command(verb, further), &self.folder, &name)
    }

    /// Runs a verb to its end, which has to be status 0. Returns what it printed.
    pub(super) async fn run(&mut self, verb: &str, further: &[&str]) -> Result<String, DemoError> {
        let run = self.start(verb, further)?;
        finish(run).await
    }

    /// Watches a run until what `dunlin status` says meets the condition.
    pub(super) async fn watch(
        &self,
        run: &mut Process,
        what: &str,
        condition: impl Fn(&Status) -> bool,
    ) -> Result<Status, DemoError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.status().await?.filter(&condition) {
                return Ok(status);
            }
            if run.status()?.is_some() {
                return Err(ended_early(run));
            }
            if Instant::now() > deadline {
                return Err(DemoError::Waited { what: what.to_owned(), log: run.log().to_owned() });
            }
            sleep(POLL).await;
        }
    }

    /// What dunlin says of its migration; `None` before it has begun.
    pub(super) async fn status(&self) -> Result<Option<Status>, DemoError> {
        let output = self.command("status", &["--json"]).output().await.map_err(|source| {
            DemoError::Start { program: self.binary.display().to_string(), source }
        })?;
        let status: Option<Value> = serde_json::from_slice(&output.stdout).ok();
        Ok(status.filter(|_| output.status.success()).map(|status| Status::from_json(&status)))
    }

    fn command(&self, verb: &str, further: &[&str]) -> Command {
        let mut command = plain_command(&self.binary);
        command
            .arg(verb)
            .args(["--source", &self.source_url, "--target", &self.target_url])
            .args(further)
            .current_dir(&self.folder);
        let path = env::var_os("PATH").unwrap_or_default();
        let folders = self.programs.clone().into_iter().chain(env::split_paths(&path));
        if let Ok(path) = env::join_paths(folders) {
            command.env("PATH", path);
        }
        command
    }
}

/// A program with nothing in its environment that would change what dunlin or the engines' libraries do.
#[must_use]
pub fn plain_command(program: &Path) -> Command {
    let mut command = Command::new(program);
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if ["DUNLIN_", "PG", "MYSQL_"].iter().any(|prefix| text.starts_with(prefix)) {
            command.env_remove(&name);
        }
    }
    command
}

/// Waits for the end of a run, which has to be status 0. Returns what it printed.
pub(super) async fn finish(mut run: Process) -> Result<String, DemoError> {
    let status = run.ended().await?;
    if status.success() { Ok(run.stdout()) } else { Err(ended_early(&run)) }
}

fn ended_early(run: &Process) -> DemoError {
    DemoError::Run {
        said: run.stderr().trim_end().lines().last().unwrap_or_default().to_owned(),
        log: run.log().to_owned(),
    }
}
