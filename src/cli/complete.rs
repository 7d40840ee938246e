//! `dunlin complete`: nothing of a migration is left on either server but the data.

use clap::Args;
use serde::Serialize;

use super::args::{Everything, Settings};
use super::output::{ExitStatus, Output, OutputError, Style};

/// The options of `dunlin complete`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  dunlin complete --source postgres://old.example/app --target postgres://new.example/app

Next: nothing; both servers are as if this migration had never been, except for the data.")]
pub struct CompleteArgs {
    /// Print what was dropped as JSON
    #[arg(long)]
    pub json: bool,
    /// The settings.
    #[command(flatten)]
    pub settings: Settings<Everything>,
}

/// What was dropped.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Completed {
    /// Each object, with its side: `source: replication slot dunlin`.
    pub dropped: Vec<String>,
}

/// Prints what was dropped.
///
/// # Errors
///
/// Where it cannot be printed.
pub fn show(completed: &Completed, output: &Output) -> Result<ExitStatus, OutputError> {
    output.report(completed, text)?;
    Ok(ExitStatus::Done)
}

fn text(completed: &Completed, style: Style) -> String {
    let lines: Vec<_> = completed.dropped.iter().map(|what| format!("dropped {what}\n")).collect();
    let end = style.green("nothing of this migration is left on either server but the data");
    format!("{}{end}\n", lines.concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_dropped_object_is_named() {
        let dropped = ["source: replication slot dunlin", "target: schema dunlin"];
        let completed = Completed { dropped: dropped.map(str::to_owned).to_vec() };
        insta::assert_snapshot!(text(&completed, Style::new(false)), @r#"
    dropped source: replication slot dunlin
    dropped target: schema dunlin
    nothing of this migration is left on either server but the data
    "#);
    }
}
