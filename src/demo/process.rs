//! One run of a program, seen from outside: what it says, how it ends.
//!
//! Enters: a program, its arguments, a folder for what it says. Leaves: its words and its exit
//! status. Both of its outputs go to files rather than pipes, so nothing is lost when it is
//! killed, and a child of its own that lives on keeps nothing waiting.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command as Plain, ExitStatus, Output, Stdio};

use tokio::process::{Child, Command};

use super::DemoError;

/// A program that was started. Dropping it kills it.
#[derive(Debug)]
pub struct Process {
    child: Child,
    program: String,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Process {
    /// Starts a program whose outputs go to `NAME.out` and `NAME.log` in the folder.
    ///
    /// # Errors
    /// When the program cannot be started or the files cannot be written.
    pub fn start(mut command: Command, folder: &Path, name: &str) -> Result<Process, DemoError> {
        let program = command.as_std().get_program().to_string_lossy().into_owned();
        let stdout = folder.join(format!("{name}.out"));
        let stderr = folder.join(format!("{name}.log"));
        let child = command
            .stdin(Stdio::null())
            .stdout(File::create(&stdout).map_err(DemoError::file(&stdout))?)
            .stderr(File::create(&stderr).map_err(DemoError::file(&stderr))?)
            .kill_on_drop(true)
            .spawn()
            .map_err(|source| DemoError::Start { program: program.clone(), source })?;
        Ok(Process { child, program, stdout, stderr })
    }

    /// Its process number, while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// What it has written to stdout so far.
    #[must_use]
    pub fn stdout(&self) -> String {
        read(&self.stdout)
    }

    /// What it has written to stderr so far.
    #[must_use]
    pub fn stderr(&self) -> String {
        read(&self.stderr)
    }

    /// The file with what it writes to stderr.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.stderr
    }

    /// Its status when it has ended, `None` while it runs.
    ///
    /// # Errors
    /// When the system does not know it.
    pub fn status(&mut self) -> Result<Option<ExitStatus>, DemoError> {
        self.child.try_wait().map_err(start_error(&self.program))
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// When the system does not know it.
    pub async fn ended(&mut self) -> Result<ExitStatus, DemoError> {
        self.child.wait().await.map_err(start_error(&self.program))
    }

    /// Kills it by SIGKILL, so that it can do nothing more, and waits for its end.
    ///
    /// # Errors
    /// When the system refuses.
    pub async fn kill(&mut self) -> Result<(), DemoError> {
        self.child.kill().await.map_err(start_error(&self.program))
    }

    /// Asks it to stop, as Ctrl-C does. One that has ended already is left alone.
    ///
    /// # Errors
    /// When the signal cannot be sent.
    pub fn interrupt(&self) -> Result<(), DemoError> {
        self.signal("INT")
    }

    /// Sends it a signal by its name without SIG. One that has ended already is left alone.
    ///
    /// # Errors
    /// When the signal cannot be sent.
    pub fn signal(&self, name: &str) -> Result<(), DemoError> {
        let Some(pid) = self.child.id() else {
            return Ok(());
        };
        let mut kill = Plain::new("sh");
        kill.args(["-c", "kill -s \"$1\" \"$2\"", "sh", name, &pid.to_string()]);
        run(&mut kill).map(drop)
    }
}

/// Runs a program to its end; a status other than 0 is an error that shows its last words.
pub(super) fn run(command: &mut Plain) -> Result<Output, DemoError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output =
        command.output().map_err(|source| DemoError::Start { program: program.clone(), source })?;
    if output.status.success() {
        return Ok(output);
    }
    Err(DemoError::Program {
        program,
        status: output.status,
        said: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    })
}

fn read(path: &Path) -> String {
    let bytes = fs::read(path).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

fn start_error(program: &str) -> impl FnOnce(std::io::Error) -> DemoError {
    let program = program.to_owned();
    move |source| DemoError::Start { program, source }
}
