//! The user that servers run as, and files that are to be its own.
//!
//! Enters: who runs this process. Leaves: the user to become, where this process may not run a
//! server itself, and commands and files made over to it.

use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use super::DemoError;
use super::process::run;

/// The user and group that a server runs as, where this process may not run it itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerUser {
    /// The user's number.
    pub uid: u32,
    /// The number of the user's group.
    pub gid: u32,
}

impl ServerUser {
    /// `postgres`, else `mysql` or `nobody`, when this process runs as root, as which no server
    /// starts (Postgres: `src/backend/main/main.c`, `check_root`; MySQL: `sql/mysqld.cc`,
    /// `check_user`). `None` when it does not.
    ///
    /// # Errors
    /// When none of these users exists.
    pub fn for_this_process() -> Result<Option<ServerUser>, DemoError> {
        if !is_root() {
            return Ok(None);
        }
        for name in ["postgres", "mysql", "nobody"] {
            if let (Some(uid), Some(gid)) = (id(&["-u", name]), id(&["-g", name])) {
                return Ok(Some(ServerUser { uid, gid }));
            }
        }
        Err(DemoError::ProgramsMissing {
            wanted: "a user `postgres`, `mysql` or `nobody` to run servers as, since root may not"
                .into(),
        })
    }
}

/// Whether this process runs as root.
pub(super) fn is_root() -> bool {
    id(&["-u"]) == Some(0)
}

/// Changes the owner of one file or folder, where a user other than this process's is needed.
pub(super) fn give(path: &Path, user: Option<ServerUser>) -> Result<(), DemoError> {
    match user {
        Some(user) => chown(path, Some(user.uid), Some(user.gid)).map_err(DemoError::file(path)),
        None => Ok(()),
    }
}

/// Runs a command as the server's user.
pub(super) fn as_user(command: &mut Command, user: Option<ServerUser>) -> &mut Command {
    match user {
        Some(user) => command.uid(user.uid).gid(user.gid),
        None => command,
    }
}

fn id(arguments: &[&str]) -> Option<u32> {
    let output = run(Command::new("id").args(arguments)).ok()?;
    String::from_utf8_lossy(&output.stdout).trim().parse().ok()
}
