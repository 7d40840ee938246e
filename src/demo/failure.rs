//! What can fail in a demo, and what follows from it.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use crate::model::{Code, Disposition, Fault, failure::Halt};

/// Why a demo, or a private server, came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// A program or user that is needed is not on this machine.
    #[error("cannot find {wanted}")]
    ProgramsMissing {
        /// What was looked for.
        wanted: String,
    },
    /// The programs of a server that is chosen by its release are not on this machine.
    #[error("cannot find the programs of {release}: scripts/servers {release} gets them")]
    ReleaseMissing {
        /// The release, by its name there.
        release: String,
    },
    /// A program could not be started.
    #[error("cannot start {program}")]
    Start {
        /// The program.
        program: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A program reported a failure.
    #[error("{program} failed ({status}): {said}")]
    Program {
        /// The program.
        program: String,
        /// Its status.
        status: ExitStatus,
        /// What it wrote to stderr.
        said: String,
    },
    /// A file or folder could not be used.
    #[error("cannot use {}", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A file of a server is not laid out as expected.
    #[error("cannot read the layout of {}", path.display())]
    Layout {
        /// The file.
        path: PathBuf,
    },
    /// A private server did not start.
    #[error("a private server did not start (its log is {}): {said}", log.display())]
    ServerStart {
        /// Its log.
        log: PathBuf,
        /// The last line in there.
        said: String,
    },
    /// A statement on a private server failed.
    #[error("cannot {act}")]
    Statement {
        /// What was attempted.
        act: &'static str,
        /// What the server or the driver said.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// A run of dunlin ended where it should not have, or not well.
    #[error("dunlin ended too soon or badly (its log is {}): {said}", log.display())]
    Run {
        /// The last line it said.
        said: String,
        /// All that it said.
        log: PathBuf,
    },
    /// Something that was to happen did not in time.
    #[error("waited in vain until {what} (the log of dunlin is {})", log.display())]
    Waited {
        /// What was to happen.
        what: String,
        /// What dunlin said.
        log: PathBuf,
    },
    /// What happens could not be said.
    #[error("cannot write the report")]
    Screen(#[source] io::Error),
}

impl DemoError {
    /// The error of a statement that was to do this.
    pub(super) fn statement<E>(act: &'static str) -> impl FnOnce(E) -> DemoError
    where
        E: Error + Send + Sync + 'static,
    {
        move |source| DemoError::Statement { act, source: source.into() }
    }

    /// The error of an operation on this file or folder.
    pub(super) fn file(path: &Path) -> impl FnOnce(io::Error) -> DemoError {
        let path = path.to_owned();
        move |source| DemoError::File { path, source }
    }
}

impl Fault for DemoError {
    fn disposition(&self) -> Disposition {
        match self {
            DemoError::ProgramsMissing { .. } => Halt::with(
                Code::ProgramMissing,
                "install postgresql and postgresql-contrib, or name the folder of the programs in \
                 DUNLIN_PG_BIN",
            ),
            DemoError::ReleaseMissing { .. } => Halt::with(
                Code::ProgramMissing,
                "run scripts/servers in the sources of dunlin with the name of the release",
            ),
            DemoError::Start { .. }
            | DemoError::Program { .. }
            | DemoError::File { .. }
            | DemoError::Layout { .. }
            | DemoError::ServerStart { .. }
            | DemoError::Run { .. }
            | DemoError::Waited { .. }
            | DemoError::Screen(_) => {
                Halt::with(Code::LocalFailed, "see the named program, file or log")
            }
            DemoError::Statement { .. } => Halt::with(
                Code::StatementFailed,
                "run the demo again with --keep and see the servers' logs",
            ),
        }
    }
}
