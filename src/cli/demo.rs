//! `dunlin demo`: a whole migration between two private servers.

use clap::{Args, ValueEnum};

use super::args::{OutputOnly, Settings};

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
}
