//! Parses the command line, runs the verb, prints the error, returns the exit status.

fn main() {}
