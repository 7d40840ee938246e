//! The operator's commands: the one that moves the traffic, and the one that keeps writers out.
//!
//! In: a command for `sh -c`, and a word that it gets as its argument. Out: whether it succeeded. It is
//! a group of processes of its own, and ends with the future that runs it, so that nothing of it moves
//! traffic once the cutover is undone. What it writes goes to our standard error.

use std::fmt;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::Command;

use super::CutoverError;

/// Kills a group of processes when it is dropped.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // It may have ended by itself.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

/// A command, and what it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// It moves the traffic.
    Switch,
    /// It keeps writers out of the source.
    Fence,
    /// It lets writers into the source again.
    Unfence,
}

impl Purpose {
    /// The word that the command gets.
    fn argument(self) -> Option<&'static str> {
        match self {
            Purpose::Switch => None,
            Purpose::Fence => Some("fence"),
            Purpose::Unfence => Some("unfence"),
        }
    }
}

impl fmt::Display for Purpose {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Purpose::Switch => "the command that switches the traffic",
            Purpose::Fence => "the command that keeps writers out",
            Purpose::Unfence => "the command that lets writers in",
        })
    }
}

/// Runs the command to its end.
///
/// # Errors
///
/// Where it cannot be started, or does not end with exit status 0.
pub async fn run(purpose: Purpose, command: &str) -> Result<(), CutoverError> {
    let mut shell = Command::new("sh");
    match purpose.argument() {
        // The command may be words with arguments of its own: ours comes behind them.
        Some(word) => shell.args(["-c", &format!("{command} \"$@\""), "sh", word]),
        None => shell.args(["-c", command]),
    };
    shell.stdin(Stdio::null()).stdout(Stdio::from(std::io::stderr()));
    shell.process_group(0).kill_on_drop(true);
    let mut child =
        shell.spawn().map_err(|source| CutoverError::CommandStart { purpose, source })?;
    let mut group = Group(child.id().and_then(|id| Pid::from_raw(id.cast_signed())));
    let status =
        child.wait().await.map_err(|source| CutoverError::CommandStart { purpose, source })?;
    match status.success() {
        true => {
            // What it leaves in the background may stay.
            group.0 = None;
            Ok(())
        }
        false => Err(CutoverError::CommandFailed { purpose, status }),
    }
}
