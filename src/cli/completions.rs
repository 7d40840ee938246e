//! `dunlin completions SHELL`: a completion script.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::args::Arguments;
use super::output::{ExitStatus, OutputError, print};

/// The options of `dunlin completions`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  dunlin completions bash > ~/.local/share/bash-completion/completions/dunlin

Next: open a new shell.")]
pub struct CompletionsArgs {
    /// The shell
    pub shell: Shell,
}

/// Prints the script.
///
/// # Errors
///
/// Where it cannot be printed.
pub fn run(args: &CompletionsArgs) -> Result<ExitStatus, OutputError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Arguments::command(), "dunlin", &mut script);
    print(&String::from_utf8_lossy(&script))?;
    Ok(ExitStatus::Done)
}
