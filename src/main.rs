//! Parses the command line, runs the verb, prints the error, returns the exit status.

use std::process::ExitCode;

fn main() -> ExitCode {
    dunlin::cli::main()
}
