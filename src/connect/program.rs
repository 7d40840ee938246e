//! Postgres' own client programs: finding `pg_dump` and `pg_restore` of a version that fits, and
//! running them.
//!
//! In: the source's version, arguments, the connection as libpq's environment variables. Out:
//! what the program wrote. It knows nothing of what is dumped. A password never appears among
//! the arguments, which every user of the machine can read.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

use crate::model::{Code, Disposition, Fault, Halt};

/// The environment variable that names folders to look into first, several separated as in PATH.
pub const FOLDERS_VARIABLE: &str = "DUNLIN_PG_BIN";

/// What can go wrong with a client program.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// No installed version fits.
    #[error("cannot find pg_dump and pg_restore of version {major} or newer ({})", installed(.found))]
    Missing {
        /// The source's major version.
        major: i32,
        /// The major versions there are.
        found: Vec<i32>,
    },
    /// The program could not be run.
    #[error("cannot run {}", program.display())]
    Run {
        /// Which one.
        program: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The program ran and failed.
    #[error("{} failed", program.display())]
    Failed {
        /// Which one.
        program: PathBuf,
        /// How it ended and what it said.
        #[source]
        source: Ended,
    },
}

/// How a program ended, and the last lines it wrote to its standard error.
#[derive(Debug, thiserror::Error)]
#[error("{status}: {message}")]
pub struct Ended {
    status: ExitStatus,
    message: String,
}

/// What a program says, which tells no SQLSTATE, of what passes by itself: a standby cancelled it for
/// what its primary did, or the connection broke (`pqReadData` in fe-misc.c).
const PASSING: [&str; 2] = ["conflict with recovery", "server closed the connection unexpectedly"];

impl Ended {
    fn passes(&self) -> bool {
        PASSING.iter().any(|words| self.message.contains(words))
    }
}

impl Fault for ProgramError {
    fn disposition(&self) -> Disposition {
        match self {
            ProgramError::Missing { major, .. } => Halt::with(
                Code::ProgramMissing,
                format!(
                    "install the Debian package postgresql-client-{major}, or name the folder \
                     that holds the programs in {FOLDERS_VARIABLE}"
                ),
            ),
            ProgramError::Run { .. } => Halt::with(
                Code::LocalFailed,
                "check that the program may be run and that memory and disk are not exhausted",
            ),
            ProgramError::Failed { source, .. } if source.passes() => Disposition::Retry,
            ProgramError::Failed { .. } => Halt::with(
                Code::LocalFailed,
                "see the program's message; run the same command again to go on",
            ),
        }
    }
}

fn installed(majors: &[i32]) -> String {
    if majors.is_empty() {
        return "there is none".to_owned();
    }
    let majors: Vec<String> = majors.iter().map(ToString::to_string).collect();
    format!("there is only {}", majors.join(", "))
}

/// `pg_dump` and `pg_restore` of one version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Programs {
    folder: PathBuf,
    major: i32,
}

impl Programs {
    /// Finds the programs for a schema that goes from a server of one major version to another's.
    ///
    /// `pg_dump` refuses a server newer than itself, and each version writes what servers of its
    /// own version understand, but not always what newer ones do ("pg_dump", Notes, in the
    /// Postgres manual). So the target's own version is best, or the source's where that is newer;
    /// otherwise the one that is nearest above it, then the nearest below. Those in the folders
    /// that [`FOLDERS_VARIABLE`] names are preferred.
    ///
    /// # Errors
    ///
    /// [`ProgramError::Missing`].
    pub async fn find(source_major: i32, target_major: i32) -> Result<Self, ProgramError> {
        let mut found = Vec::new();
        for folders in [named_folders(), usual_folders()] {
            let mut here = Vec::new();
            for folder in folders {
                let programs = version(&folder).await.map(|major| Programs { folder, major });
                here.extend(programs);
            }
            if let Some(best) = fitting(&here, source_major, target_major) {
                return Ok(best.clone());
            }
            found.extend(here);
        }
        let found: BTreeSet<i32> = found.iter().map(|programs| programs.major).collect();
        Err(ProgramError::Missing { major: source_major, found: found.into_iter().collect() })
    }

    /// Their major version.
    #[must_use]
    pub fn major(&self) -> i32 {
        self.major
    }

    /// Runs `pg_dump` and returns what it wrote.
    ///
    /// # Errors
    ///
    /// It could not be run, or failed.
    pub async fn dump(
        &self,
        connection: &[(String, String)],
        arguments: &[OsString],
    ) -> Result<Vec<u8>, ProgramError> {
        let mut command = Command::new(self.folder.join("pg_dump"));
        command.args(arguments).envs(connection.iter().map(|(name, value)| (name, value)));
        run(command, &[]).await
    }

    /// Runs `pg_restore` over an archive, without a server, and returns what it wrote.
    ///
    /// # Errors
    ///
    /// It could not be run, or failed.
    pub async fn restore(
        &self,
        archive: &[u8],
        arguments: &[&str],
    ) -> Result<Vec<u8>, ProgramError> {
        let mut command = Command::new(self.folder.join("pg_restore"));
        command.args(arguments);
        run(command, archive).await
    }
}

async fn run(mut command: Command, input: &[u8]) -> Result<Vec<u8>, ProgramError> {
    let program = PathBuf::from(command.as_std().get_program());
    let failed = |source| ProgramError::Run { program: program.clone(), source };
    // Messages are read by people, but also recognised in tests: keep them in one language.
    let mut child = command
        .env("LC_MESSAGES", "C")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(failed)?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let write = async {
        if let Some(mut stdin) = stdin {
            // A program that fails closes its input early; its own message says more.
            let _ = stdin.write_all(input).await;
        }
    };
    let (mut output, mut message) = (Vec::new(), Vec::new());
    let read = async {
        match stdout {
            Some(mut stdout) => stdout.read_to_end(&mut output).await,
            None => Ok(0),
        }
    };
    let listen = async {
        match stderr {
            Some(mut stderr) => stderr.read_to_end(&mut message).await,
            None => Ok(0),
        }
    };
    let ((), read, listened) = tokio::join!(write, read, listen);
    let status = child.wait().await.map_err(failed)?;
    read.and(listened).map_err(failed)?;
    if status.success() {
        return Ok(output);
    }
    Err(ProgramError::Failed {
        program,
        source: Ended { status, message: last_lines(&String::from_utf8_lossy(&message)) },
    })
}

fn last_lines(message: &str) -> String {
    let lines: Vec<&str> = message.lines().filter(|line| !line.is_empty()).collect();
    lines[lines.len().saturating_sub(5)..].join("; ")
}

/// The programs of the version that fits best; of two alike, those that come first.
fn fitting(found: &[Programs], source_major: i32, target_major: i32) -> Option<&Programs> {
    let wanted = source_major.max(target_major);
    found
        .iter()
        .filter(|programs| programs.major >= source_major)
        .min_by_key(|programs| (programs.major < wanted, (programs.major - wanted).abs()))
}

fn named_folders() -> Vec<PathBuf> {
    let named = std::env::var_os(FOLDERS_VARIABLE).unwrap_or_default();
    std::env::split_paths(&named).filter(|folder| !folder.as_os_str().is_empty()).collect()
}

/// The folders in which packages put the programs: PATH first, then per-version ones.
fn usual_folders() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    for (parent, prefix) in [
        ("/usr/lib/postgresql", ""),
        ("/usr", "pgsql-"),
        ("/opt/homebrew/opt", "postgresql@"),
        ("/opt/homebrew/opt", "libpq"),
        ("/usr/local/opt", "postgresql@"),
        ("/usr/local/opt", "libpq"),
    ] {
        let Ok(entries) = std::fs::read_dir(parent) else {
            continue;
        };
        let versions = entries
            .flatten()
            .filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
            .map(|entry| entry.path().join("bin"));
        folders.extend(versions);
    }
    folders.push(PathBuf::from("/usr/local/pgsql/bin"));
    folders
}

/// The version of the programs in a folder; None where either is missing or does not run.
async fn version(folder: &Path) -> Option<i32> {
    let dump = folder.join("pg_dump");
    if !dump.is_file() || !folder.join("pg_restore").is_file() {
        return None;
    }
    let mut command = Command::new(dump);
    command.arg("--version");
    let output = run(command, &[]).await.ok()?;
    major(&String::from_utf8_lossy(&output))
}

/// Reads `pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`, `… 18beta1`.
fn major(version: &str) -> Option<i32> {
    let number = version.split_once("(PostgreSQL) ")?.1;
    let end = number.find(|c: char| !c.is_ascii_digit());
    number[..end.unwrap_or(number.len())].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        assert_eq!(major("pg_dump (PostgreSQL) 15.18 (Debian 1)\n"), Some(15));
        assert_eq!(major("pg_dump (PostgreSQL) 18beta1"), Some(18));
        assert_eq!(major("pg_dump"), None);
    }

    #[test]
    fn the_target_s_version_is_best_and_none_is_older_than_the_source() {
        let majors = |majors: &[i32], source, target| {
            let programs = |&major: &i32| Programs { folder: PathBuf::new(), major };
            let found: Vec<Programs> = majors.iter().map(programs).collect();
            fitting(&found, source, target).map(|programs| programs.major)
        };
        assert_eq!(majors(&[13, 15, 18], 13, 15), Some(15));
        assert_eq!(majors(&[13, 15, 18], 13, 16), Some(18));
        assert_eq!(majors(&[13, 15], 13, 18), Some(15));
        assert_eq!(majors(&[18, 17], 17, 15), Some(17));
        assert_eq!(majors(&[13, 15], 17, 15), None);
    }

    #[test]
    fn what_a_standby_cancels_is_tried_again() {
        let disposition = |message: &str| {
            let source = Ended { status: ExitStatus::default(), message: message.to_owned() };
            ProgramError::Failed { program: PathBuf::from("pg_dump"), source }.disposition()
        };
        let cancelled = "pg_dump: error: query failed: ERROR:  canceling statement due to conflict \
                         with recovery";
        assert_eq!(disposition(cancelled), Disposition::Retry);
        assert_ne!(
            disposition("pg_dump: error: no matching tables were found"),
            Disposition::Retry
        );
    }

    #[test]
    fn a_missing_program_names_the_package() {
        let error = ProgramError::Missing { major: 17, found: vec![13, 15] };
        assert_eq!(
            error.to_string(),
            "cannot find pg_dump and pg_restore of version 17 or newer (there is only 13, 15)"
        );
        let Disposition::Halt(halt) = error.disposition() else {
            panic!("halts");
        };
        assert!(halt.hint.contains("postgresql-client-17"));
    }
}
