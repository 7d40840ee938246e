//! `dunlin config init`: a commented `dunlin.toml`.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::output::{ExitStatus, print};
use crate::config::{DEFAULT_FILE, template};
use crate::model::{Code, Disposition, Failure, Fault, Halt};

/// Works with the configuration file.
#[derive(Debug, Args)]
pub struct ConfigArgs {
    /// What to do with it.
    #[command(subcommand)]
    pub verb: ConfigVerb,
}

/// What to do with the configuration file.
#[derive(Debug, Subcommand)]
pub enum ConfigVerb {
    /// Write a dunlin.toml in which every key is explained
    #[command(after_help = "\
Example:
  dunlin config init

Next: set source and target in it, then dunlin check.")]
    Init(InitArgs),
}

/// Writes a dunlin.toml in which every key stands with its meaning, commented out at its default.
/// An existing file is left alone unless --force is given.
#[derive(Debug, Args)]
pub struct InitArgs {
    /// The file to write
    #[arg(value_name = "FILE", default_value = DEFAULT_FILE)]
    pub file: PathBuf,
    /// Replace the file where it exists
    #[arg(long)]
    pub force: bool,
    /// Print it instead of writing a file
    #[arg(long, conflicts_with_all = ["force", "file"])]
    pub stdout: bool,
}

#[derive(Debug, thiserror::Error)]
enum InitError {
    #[error("{} exists already", file.display())]
    Exists { file: PathBuf },
    #[error("cannot write {}", file.display())]
    Write {
        file: PathBuf,
        #[source]
        cause: io::Error,
    },
}

impl Fault for InitError {
    fn disposition(&self) -> Disposition {
        match self {
            InitError::Exists { .. } => Halt::with(
                Code::ConfigInvalid,
                "dunlin config init --force replaces it, --stdout prints a fresh one",
            ),
            InitError::Write { .. } => {
                Halt::with(Code::LocalFailed, "name another file: dunlin config init FILE")
            }
        }
    }
}

/// Writes or prints the file.
///
/// # Errors
///
/// Where the file exists and may not be replaced, or cannot be written.
pub fn run(args: &ConfigArgs) -> Result<ExitStatus, Failure> {
    let ConfigVerb::Init(init) = &args.verb;
    if init.stdout {
        print(&template())?;
        return Ok(ExitStatus::Done);
    }
    write(&init.file, init.force)?;
    let file = init.file.display();
    let option = match init.file == Path::new(DEFAULT_FILE) {
        true => String::new(),
        false => format!(" --config {file}"),
    };
    print(&format!(
        "wrote {file}\nnext: set source and target in it, then dunlin check{option}\n"
    ))?;
    Ok(ExitStatus::Done)
}

fn write(file: &Path, force: bool) -> Result<(), InitError> {
    let mut options = OpenOptions::new();
    match force {
        true => options.write(true).create(true).truncate(true),
        false => options.write(true).create_new(true),
    };
    let written = options.open(file).and_then(|mut open| open.write_all(template().as_bytes()));
    written.map_err(|cause| match cause.kind() {
        io::ErrorKind::AlreadyExists => InitError::Exists { file: file.to_owned() },
        _ => InitError::Write { file: file.to_owned(), cause },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_existing_file_is_replaced_only_by_force() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("dunlin.toml");
        std::fs::write(&file, "mine").unwrap();
        assert!(matches!(write(&file, false), Err(InitError::Exists { .. })));
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "mine");
        write(&file, true).unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), template());
    }
}
