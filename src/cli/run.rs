//! `dunlin run`: the migration itself.

use clap::Args;

use super::args::{Everything, Settings};
use super::output::{Ending, ExitStatus, OutputError};
use crate::config::Until;
use crate::migration::Ended;

/// The options of `dunlin run`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  dunlin run --source postgres://old.example/app --target postgres://new.example/app

Next: dunlin status --target URL; once it has caught up, dunlin verify, then dunlin cutover --dry-run.")]
pub struct RunArgs {
    /// Stop with exit status 0 at this point: snapshot, caught-up or a log position such as
    /// 1A/2B3C4D5E (MySQL: a GTID set; MariaDB: a GTID list); the next run goes on from there
    #[arg(long, value_name = "POINT")]
    pub until: Option<Until>,
    /// Print errors as JSON, and the result as one JSON object
    #[arg(long)]
    pub json: bool,
    /// The settings.
    #[command(flatten)]
    pub settings: Settings<Everything>,
}

/// Says how the run ended and how to go on.
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
            "stopped; everything that was received whole is committed",
            "dunlin run, with the same options, goes on from here",
        ),
        Ended::Reached => (
            "reached",
            "the point named with --until is reached",
            "dunlin run, with the same options and without --until, goes on from here",
        ),
        Ended::CutOver => (
            "cut-over",
            "the migration is cut over: the target is the database",
            "once nobody wants to go back, dunlin complete",
        ),
        Ended::CutBack => (
            "cut-back",
            "the way back is done: the former source is the database again",
            "dunlin complete",
        ),
    };
    let further = "; dunlin status --target URL shows where it stands";
    Ending { name, said, next, further }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ending_says_how_to_go_on() {
        insta::assert_snapshot!(ending(Ended::Stopped).rendered(false), @r#"
    stopped; everything that was received whole is committed
    next: dunlin run, with the same options, goes on from here; dunlin status --target URL shows where it stands
    "#);
        insta::assert_snapshot!(ending(Ended::Reached).rendered(true), @r#"{"ended":"reached","next":"dunlin run, with the same options and without --until, goes on from here"}"#);
    }
}
