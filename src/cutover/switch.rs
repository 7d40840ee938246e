//! The operator's command that moves the traffic.
//!
//! In: a command for `sh -c`. Out: whether it succeeded. It is a group of processes of its own, and
//! ends with the future that runs it, so that nothing of it moves traffic once the cutover is undone.
//! What it writes goes to our standard error.

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

/// Runs the command to its end.
///
/// # Errors
///
/// Where it cannot be started, or does not end with exit status 0.
pub(super) async fn run(command: &str) -> Result<(), CutoverError> {
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).stdin(Stdio::null()).stdout(Stdio::from(std::io::stderr()));
    shell.process_group(0).kill_on_drop(true);
    let mut child = shell.spawn().map_err(|source| CutoverError::SwitchStart { source })?;
    let mut group = Group(child.id().and_then(|id| Pid::from_raw(id.cast_signed())));
    let status = child.wait().await.map_err(|source| CutoverError::SwitchStart { source })?;
    match status.success() {
        true => {
            // What it leaves in the background may stay.
            group.0 = None;
            Ok(())
        }
        false => Err(CutoverError::SwitchFailed { status }),
    }
}
