//! `dunlin complete`: nothing of a migration is left on either server but the data.

use clap::Args;

use super::args::{Everything, Settings};
use super::output::{ExitStatus, Output, OutputError, Style};
use crate::model::report::Removal;

/// The options of `dunlin complete`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  dunlin complete --source postgres://old.example/app --target postgres://new.example/app

Next: nothing, unless it prints a statement that lets writers in again on a server that was left.")]
pub struct CompleteArgs {
    /// Print what was dropped as JSON
    #[arg(long)]
    pub json: bool,
    /// The settings.
    #[command(flatten)]
    pub settings: Settings<Everything>,
}

/// Prints what was dropped, and what is left to be done.
///
/// # Errors
///
/// Where it cannot be printed.
pub fn show(removal: &Removal, output: &Output) -> Result<ExitStatus, OutputError> {
    output.report(removal, text)?;
    Ok(ExitStatus::Done)
}

fn text(removal: &Removal, style: Style) -> String {
    let dropped = removal.dropped.iter().map(|what| format!("dropped {what}\n"));
    let left = removal.left.iter().map(|what| format!("to be run {what}\n"));
    let lines: Vec<_> = dropped.chain(left).collect();
    let end = match removal.left.is_empty() {
        true => style.green("nothing of this migration is left on either server but the data"),
        false => {
            style.yellow("after that, nothing of this migration is left on any server but the data")
        }
    };
    format!("{}{end}\n", lines.concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_dropped_object_is_named() {
        let dropped = ["source: replication slot dunlin", "target: schema dunlin"];
        let dropped = dropped.map(str::to_owned).to_vec();
        let mut removal = Removal { dropped, left: Vec::new() };
        insta::assert_snapshot!(text(&removal, Style::new(false)), @r#"
    dropped source: replication slot dunlin
    dropped target: schema dunlin
    nothing of this migration is left on either server but the data
    "#);
        removal.left.push("on the source's primary: DROP PUBLICATION dunlin;".to_owned());
        insta::assert_snapshot!(text(&removal, Style::new(false)), @r#"
    dropped source: replication slot dunlin
    dropped target: schema dunlin
    to be run on the source's primary: DROP PUBLICATION dunlin;
    after that, nothing of this migration is left on any server but the data
    "#);
    }
}
