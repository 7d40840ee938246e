//! `dunlin demo`: a whole migration between two private servers.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::args::{OutputOnly, Settings};
use super::output::ExitStatus;
use crate::demo::load::Size;
use crate::demo::{DemoOptions, DemoServers};
use crate::model::{Code, Failure, Fault, Halt};

/// The options of `dunlin demo`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  dunlin demo --scale 1

Next: dunlin check --source URL --target URL, with servers of your own.")]
pub struct DemoArgs {
    /// Which servers
    #[arg(long, value_enum, default_value = "postgres")]
    pub engine: DemoEngine,
    /// Amount of data; 10 is several hundred MiB
    #[arg(long, value_name = "FACTOR", default_value_t = 10,
          value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub scale: u32,
    /// The folder of the source's Postgres programs, where it is not to be the newest found
    #[arg(long, value_name = "DIR")]
    pub source_bin: Option<PathBuf>,
    /// The folder of the target's Postgres programs, where it is not to be the newest found
    #[arg(long, value_name = "DIR")]
    pub target_bin: Option<PathBuf>,
    /// What the writers' random choices follow from
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub seed: u64,
    /// Keep the servers running at the end, and print how to reach them
    #[arg(long)]
    pub keep: bool,
    /// The settings.
    #[command(flatten)]
    pub settings: Settings<OutputOnly>,
}

/// The servers of the demo.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum DemoEngine {
    /// Postgres to Postgres.
    Postgres,
    /// MySQL to MySQL; MariaDB where there is no MySQL.
    Mysql,
    /// MariaDB to MariaDB.
    Mariadb,
}

/// Thousandths of the demo's full data for each unit of `--scale`.
const PER_MILLE_PER_SCALE: u32 = 100;

/// Runs the demo on this very program. What it says goes to standard output.
///
/// # Errors
///
/// A server, a writer or dunlin itself failed.
pub async fn run(args: &DemoArgs) -> Result<ExitStatus, Failure> {
    let programs = [args.source_bin.clone(), args.target_bin.clone()];
    let servers = match args.engine {
        DemoEngine::Postgres => DemoServers::Postgres(programs),
        DemoEngine::Mysql | DemoEngine::Mariadb if programs.iter().any(Option::is_some) => {
            return Err(OtherPrograms.into());
        }
        DemoEngine::Mysql => DemoServers::MySql,
        DemoEngine::Mariadb => DemoServers::MariaDb,
    };
    let binary = std::env::current_exe().map_err(OwnProgram)?;
    let options = DemoOptions {
        binary,
        servers,
        size: Size::per_mille(args.scale * PER_MILLE_PER_SCALE),
        seed: args.seed,
        keep: args.keep,
    };
    let report = crate::demo::run(options, &mut std::io::stdout()).await?;
    Ok(if report.is_success() { ExitStatus::Done } else { ExitStatus::Different })
}

#[derive(Debug, thiserror::Error)]
#[error("find the program file of this process")]
struct OwnProgram(#[source] std::io::Error);

impl Fault for OwnProgram {
    fn disposition(&self) -> crate::model::Disposition {
        Halt::with(Code::LocalFailed, "run dunlin from a file that is still there")
    }
}

#[derive(Debug, thiserror::Error)]
#[error("--source-bin and --target-bin name folders of Postgres programs")]
struct OtherPrograms;

impl Fault for OtherPrograms {
    fn disposition(&self) -> crate::model::Disposition {
        Halt::with(Code::ConfigInvalid, "leave them out: scripts/servers brings the others")
    }
}
