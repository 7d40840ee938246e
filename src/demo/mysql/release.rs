//! The servers there are to choose from, and where their programs are.
//!
//! Enters: a release. Leaves: its programs, as `scripts/servers` extracted them. Servers that the
//! system has are left alone: MySQL and MariaDB take each other's place there.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::demo::DemoError;
use crate::demo::process::run;
use crate::demo::programs::Programs as Postgres;

/// Which of the two a server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavour {
    /// Oracle's.
    MySql,
    /// The one that went its own way.
    MariaDb,
}

/// A server by its flavour and series, as `scripts/servers` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Release {
    /// Which of the two it is.
    pub flavour: Flavour,
    /// The versions, as far as they are alike.
    pub series: &'static str,
}

impl Release {
    /// MySQL 9.7.
    pub const MYSQL_9_7: Release = Release { flavour: Flavour::MySql, series: "9.7" };
    /// MariaDB 10.11.
    pub const MARIADB_10_11: Release = Release { flavour: Flavour::MariaDb, series: "10.11" };
    /// MariaDB 11.8.
    pub const MARIADB_11_8: Release = Release { flavour: Flavour::MariaDb, series: "11.8" };
    /// Every one that `scripts/servers` brings.
    pub const ALL: [Release; 3] =
        [Release::MYSQL_9_7, Release::MARIADB_10_11, Release::MARIADB_11_8];

    /// The first of these whose programs are there.
    ///
    /// # Errors
    /// When none is; the error names the command that gets the first.
    pub fn first_there(wanted: &[Release]) -> Result<Release, DemoError> {
        let there = wanted.iter().find(|release| Programs::find(**release).is_ok());
        match (there, wanted.first()) {
            (Some(release), _) => Ok(*release),
            (None, Some(first)) => Programs::find(*first).map(|programs| programs.release()),
            (None, None) => Err(DemoError::ProgramsMissing { wanted: "a server".to_owned() }),
        }
    }

    /// Whether it is MariaDB.
    #[must_use]
    pub fn is_mariadb(self) -> bool {
        self.flavour == Flavour::MariaDb
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.flavour {
            Flavour::MySql => "mysql",
            Flavour::MariaDb => "mariadb",
        };
        write!(f, "{name}-{}", self.series)
    }
}

/// The programs of one release.
#[derive(Clone, Debug)]
pub struct Programs {
    release: Release,
    prefix: PathBuf,
    version: String,
}

impl Programs {
    /// The programs of this release.
    ///
    /// # Errors
    /// When they are not there; the error names the command that gets them.
    pub fn find(release: Release) -> Result<Programs, DemoError> {
        let missing = || DemoError::ReleaseMissing { release: release.to_string() };
        let prefix = Postgres::extracted_folder()
            .map(|folder| folder.join(format!("{release}/usr")))
            .ok_or_else(missing)?;
        let server = server_program(&prefix);
        if !server.is_file() {
            return Err(missing());
        }
        let output = run(Command::new(&server).args(["--no-defaults", "--version"]))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let mut words = text.split_whitespace().skip_while(|word| *word != "Ver");
        let version = words.nth(1).ok_or_else(missing)?.to_owned();
        Ok(Programs { release, prefix, version })
    }

    /// Which release they are of.
    #[must_use]
    pub fn release(&self) -> Release {
        self.release
    }

    /// The full version, such as `9.7.4-2` or `11.8.6-MariaDB-0+deb13u1`.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Its name and version without what the packager added, such as `MySQL 9.7.4`.
    #[must_use]
    pub fn title(&self) -> String {
        let name = match self.release.flavour {
            Flavour::MySql => "MySQL",
            Flavour::MariaDb => "MariaDB",
        };
        format!("{name} {}", self.version.split('-').next().unwrap_or(&self.version))
    }

    /// The folder with all that is installed: programs in `bin`, messages in `share`.
    #[must_use]
    pub fn prefix(&self) -> &Path {
        &self.prefix
    }

    /// The server itself.
    #[must_use]
    pub fn server(&self) -> PathBuf {
        server_program(&self.prefix)
    }

    /// The path of a client program.
    #[must_use]
    pub fn path(&self, program: &str) -> PathBuf {
        self.prefix.join("bin").join(program)
    }
}

/// Debian's MariaDB has it under this name too.
fn server_program(prefix: &Path) -> PathBuf {
    prefix.join("sbin/mysqld")
}
