//! Finds the programs of a Postgres installation.
//!
//! Enters: PATH, the usual folders of Debian and of the PGDG packages, `DUNLIN_PG_BIN`, and the
//! folder into which `scripts/servers` extracts further versions. Leaves: one installation with its
//! version. It knows nothing of data folders or of running servers.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::DemoError;
use super::process::run;
use super::user::is_root;

/// Names folders to look in first; several are separated as in PATH.
pub const FOLDERS_VARIABLE: &str = "DUNLIN_PG_BIN";

/// Names the folder of `scripts/servers`, where it is not the usual one.
const SERVERS_VARIABLE: &str = "DUNLIN_SERVERS";

/// The server programs of one Postgres version, in one folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Programs {
    folder: PathBuf,
    major: u32,
    version: String,
}

impl Programs {
    /// The programs in exactly this folder.
    ///
    /// # Errors
    /// When `postgres` or `initdb` is missing there, or does not say its version.
    pub fn in_folder(folder: &Path) -> Result<Programs, DemoError> {
        let missing = || DemoError::ProgramsMissing {
            wanted: format!("Postgres server programs in {}", folder.display()),
        };
        if !folder.join("initdb").is_file() {
            return Err(missing());
        }
        let postgres = folder.join("postgres");
        let output = run(Command::new(&postgres).arg("--version"))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let version = text.split_whitespace().nth(2).ok_or_else(missing)?;
        let digits: String = version.chars().take_while(char::is_ascii_digit).collect();
        Ok(Programs {
            folder: folder.to_owned(),
            major: digits.parse().map_err(|_| missing())?,
            version: version.to_owned(),
        })
    }

    /// Every installation on this machine: those of `DUNLIN_PG_BIN` first, then the system's, then
    /// those of `scripts/servers`; of the last two, newest first.
    #[must_use]
    pub fn all() -> Vec<Programs> {
        let mut found = existing(named_folders());
        for folders in [usual_folders(), extracted_folders()] {
            let mut more = existing(folders);
            more.sort_by_key(|programs| std::cmp::Reverse(programs.major));
            more.retain(|programs| !found.contains(programs));
            found.extend(more);
        }
        found
    }

    /// The installation of this major version; without one named, the first of [`Programs::all`].
    ///
    /// # Errors
    /// When there is none: the error says what to install.
    pub fn find(major: Option<u32>) -> Result<Programs, DemoError> {
        Programs::all()
            .into_iter()
            .find(|programs| major.is_none_or(|wanted| programs.major == wanted))
            .ok_or_else(|| DemoError::ProgramsMissing {
                wanted: match major {
                    Some(major) => format!(
                        "Postgres {major} server programs (try scripts/servers postgres-{major})"
                    ),
                    None => "Postgres server programs".to_owned(),
                },
            })
    }

    /// The folder into which `scripts/servers` extracts further programs, as `servers_folder` in
    /// `scripts/lib` tells it. `None` without a home folder.
    #[must_use]
    pub fn extracted_folder() -> Option<PathBuf> {
        if let Some(folder) = env::var_os(SERVERS_VARIABLE).filter(|folder| !folder.is_empty()) {
            return Some(folder.into());
        }
        if is_root() {
            return Some("/var/cache/dunlin/servers".into());
        }
        Some(super::template::cache_folder()?.join("dunlin/servers"))
    }

    /// The path of one program.
    #[must_use]
    pub fn path(&self, program: &str) -> PathBuf {
        self.folder.join(program)
    }

    /// The folder that holds the programs.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The major version, such as 15.
    #[must_use]
    pub fn major(&self) -> u32 {
        self.major
    }

    /// The full version as the server prints it, such as `15.14`.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }
}

fn existing(folders: Vec<PathBuf>) -> Vec<Programs> {
    folders.iter().filter_map(|folder| Programs::in_folder(folder).ok()).collect()
}

fn named_folders() -> Vec<PathBuf> {
    env::var_os(FOLDERS_VARIABLE)
        .map(|value| env::split_paths(&value).collect())
        .unwrap_or_default()
}

fn usual_folders() -> Vec<PathBuf> {
    let mut folders = debian_folders(Path::new("/usr"));
    if let Ok(entries) = fs::read_dir("/usr") {
        let versions = entries.flatten().filter(|entry| {
            let name = entry.file_name();
            name.to_string_lossy().starts_with("pgsql-")
        });
        folders.extend(versions.map(|entry| entry.path().join("bin")));
    }
    if let Some(path) = env::var_os("PATH") {
        folders.extend(env::split_paths(&path));
    }
    folders
}

fn extracted_folders() -> Vec<PathBuf> {
    let Some(Ok(entries)) = Programs::extracted_folder().map(fs::read_dir) else {
        return Vec::new();
    };
    entries.flatten().flat_map(|entry| debian_folders(&entry.path().join("usr"))).collect()
}

/// The folders of programs below a `/usr` as Debian lays it out.
fn debian_folders(usr: &Path) -> Vec<PathBuf> {
    let Ok(versions) = fs::read_dir(usr.join("lib/postgresql")) else { return Vec::new() };
    versions.flatten().map(|entry| entry.path().join("bin")).collect()
}
