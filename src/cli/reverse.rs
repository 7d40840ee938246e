//! `dunlin reverse`: the former source follows the target, for the way back.

use clap::Args;

use super::args::{Everything, Settings};
use super::output::{Ending, ExitStatus, OutputError};
use crate::config::Until;
use crate::migration::Ended;

/// The options of `dunlin reverse`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  dunlin reverse --source postgres://old.example/app --target postgres://new.example/app

Next: dunlin status; to go back, dunlin cutover --back; once nobody wants to, dunlin complete.")]
pub struct ReverseArgs {
    /// Stop with exit status 0 at this point: caught-up or a log position such as 1A/2B3C4D5E (MySQL: a
    /// GTID set; MariaDB: a GTID list); the same command again goes on from there
    #[arg(long, value_name = "POINT")]
    pub until: Option<Until>,
    /// Print errors as JSON, and the result as one JSON object
    #[arg(long)]
    pub json: bool,
    /// The settings: source and target are those of the cutover.
    #[command(flatten)]
    pub settings: Settings<Everything>,
}

/// Says how it ended and how to go on.
///
/// # Errors
///
/// Where it cannot be printed.
pub fn show(ended: Ended, json: bool) -> Result<ExitStatus, OutputError> {
    ending(ended).show(json)
}

fn ending(ended: Ended) -> Ending {
    let (name, said, next) = match ended {
        Ended::Stopped => (
            "stopped",
            "stopped; everything that was received whole is committed on the former source",
            "dunlin reverse, with the same options, goes on from here",
        ),
        Ended::Reached => (
            "reached",
            "the point named with --until is reached",
            "dunlin reverse, with the same options and without --until, goes on from here",
        ),
        Ended::CutOver | Ended::CutBack => (
            "cut-back",
            "the way back is done: the former source is the database again",
            "dunlin complete",
        ),
    };
    Ending { name, said, next, further: "" }
}
