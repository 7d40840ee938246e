//! The real binary, run as an operator runs it, and killed as a machine kills it.
//!
//! With the feature `failpoints` the binary stops at the point that `DUNLIN_FAILPOINT=NAME` or
//! `NAME:NTH` names, for good, once it has written `failpoint NAME reached` to stderr.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::Path;
use std::process::ExitStatus;
use std::sync::OnceLock;
use std::thread;

use dunlin::demo::plain_command;
use dunlin::demo::private::Engine;
use dunlin::demo::process::Process;
use dunlin::demo::programs::Programs;
use tempfile::TempDir;
use tokio::process::Command;

use super::TestPair;
use super::wait::wait_until;

/// How many lines of a run are shown when its test fails.
const LAST_WORDS: usize = 40;

/// A run of the binary. Dropping it kills it.
pub struct Dunlin {
    process: Process,
    _outputs: TempDir,
}

/// How a run ended, and what it said.
#[derive(Debug)]
pub struct Finished {
    /// How it ended.
    pub status: ExitStatus,
    /// What it wrote to stdout.
    pub stdout: String,
    /// What it wrote to stderr.
    pub stderr: String,
}

impl Finished {
    /// The exit status; -1 when it was killed.
    pub fn code(&self) -> i32 {
        self.status.code().unwrap_or(-1)
    }

    /// Panics with everything it said unless it ended with this status.
    pub fn expect_code(self, code: i32) -> Finished {
        assert_eq!(self.code(), code, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// Panics with everything it said unless it halted for the operator with this code.
    pub fn expect_halt(self, code: &str) -> Finished {
        let finished = self.expect_code(4);
        finished.expect_said(&format!("error[{code}]"))
    }

    /// Panics with everything it said unless this was part of it.
    pub fn expect_said(self, text: &str) -> Finished {
        assert!(self.stderr.contains(text), "no {text:?} in:\n{}", self.stderr);
        self
    }
}

impl Dunlin {
    /// Starts a verb with both URLs of a pair and further arguments.
    pub fn start<E: Engine + Send>(pair: &TestPair<E>, verb: &str, arguments: &[&str]) -> Dunlin {
        Dunlin::start_command(pair_command(pair, verb, arguments))
    }

    /// Starts it so that it stops at a failpoint, such as `NAME` or `NAME:3`.
    pub fn start_with_failpoint<E: Engine + Send>(
        pair: &TestPair<E>,
        verb: &str,
        arguments: &[&str],
        failpoint: &str,
    ) -> Dunlin {
        let mut command = pair_command(pair, verb, arguments);
        command.env("DUNLIN_FAILPOINT", failpoint);
        Dunlin::start_command(command)
    }

    /// Starts any command of the binary; see [`Dunlin::command`].
    pub fn start_command(command: Command) -> Dunlin {
        let outputs = tempfile::tempdir().unwrap();
        Dunlin {
            process: Process::start(command, outputs.path(), "dunlin").unwrap(),
            _outputs: outputs,
        }
    }

    /// The binary with these arguments, and nothing of this environment that could change them.
    pub fn command(arguments: &[&str]) -> Command {
        let mut command = plain_command(Path::new(env!("CARGO_BIN_EXE_dunlin")));
        command.args(arguments).env("PATH", path());
        command
    }

    /// Runs a verb with both URLs of a pair to its end.
    pub async fn run<E: Engine + Send>(
        pair: &TestPair<E>,
        verb: &str,
        arguments: &[&str],
    ) -> Finished {
        Dunlin::start(pair, verb, arguments).finished().await
    }

    /// Its process number, while it runs.
    pub fn pid(&self) -> u32 {
        self.process.pid().unwrap()
    }

    /// What it has written to stderr so far.
    pub fn stderr(&self) -> String {
        self.process.stderr()
    }

    /// Whether it has not ended yet.
    pub fn is_running(&mut self) -> bool {
        self.process.status().unwrap().is_none()
    }

    /// Sends it a signal, such as `STOP`.
    pub fn signal(&self, name: &str) {
        self.process.signal(name).unwrap();
    }

    /// Waits until it has written a line with this text to stderr; panics when it ends before.
    pub async fn says(&mut self, text: &str) {
        wait_until(&format!("dunlin says {text:?}"), async || {
            let ended = self.process.status().unwrap();
            let stderr = self.process.stderr();
            let said = stderr.lines().any(|line| line.contains(text));
            assert!(said || ended.is_none(), "{ended:?} without {text:?}:\n{stderr}");
            said
        })
        .await;
    }

    /// Waits until it stands at this failpoint.
    pub async fn reaches(&mut self, failpoint: &str) {
        self.says(&format!("failpoint {failpoint} reached")).await;
    }

    /// Kills it by SIGKILL and waits for its end.
    pub async fn kill(mut self) {
        self.process.kill().await.unwrap();
    }

    /// Asks it to stop, as Ctrl-C does, and waits for its end.
    pub async fn interrupt(self) -> Finished {
        self.process.interrupt().unwrap();
        self.finished().await
    }

    /// Waits for its end; panics with what it said when that takes too long.
    pub async fn finished(mut self) -> Finished {
        let mut status = None;
        wait_until("dunlin ends", async || {
            status = self.process.status().unwrap();
            status.is_some()
        })
        .await;
        Finished {
            status: status.unwrap(),
            stdout: self.process.stdout(),
            stderr: self.process.stderr(),
        }
    }
}

/// A test that fails while dunlin runs shows what that said last.
impl Drop for Dunlin {
    fn drop(&mut self) {
        if thread::panicking() {
            let stderr = self.process.stderr();
            let last: Vec<&str> = stderr.lines().rev().take(LAST_WORDS).collect();
            let last: Vec<&str> = last.into_iter().rev().collect();
            eprintln!("dunlin said last:\n{}", last.join("\n"));
        }
    }
}

/// The most memory that a run has held, in KiB ("/proc/pid/status" in proc(5)).
pub fn peak_resident_kib(run: &Dunlin) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", run.pid())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    peak.trim().trim_end_matches(" kB").parse().unwrap()
}

/// PATH with the programs of every version there is, so that pg_dump of any is found.
fn path() -> &'static OsStr {
    static PATH: OnceLock<OsString> = OnceLock::new();
    PATH.get_or_init(|| {
        let path = env::var_os("PATH").unwrap_or_default();
        let more = Programs::all().into_iter().map(|programs| programs.folder().to_owned());
        env::join_paths(env::split_paths(&path).chain(more)).unwrap()
    })
}

fn pair_command<E: Engine + Send>(pair: &TestPair<E>, verb: &str, arguments: &[&str]) -> Command {
    let mut command = Dunlin::command(&[verb]);
    command.args(["--source", &pair.source_url(), "--target", &pair.target_url()]);
    command.args(arguments);
    command
}
