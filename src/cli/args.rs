//! The command line: verbs, their own options, and a flag for every setting.
//!
//! In come words; out go a verb and a [`RawConfig`] of the settings given as flags. The flags of
//! settings are made from the table in `config::keys`; what a value means is not known here.

use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, Parser, Subcommand};

use super::{
    check, complete, completions, config, cutover, demo, grants, hold_snapshot, plan, reverse, run,
    status, verify,
};
use crate::config::keys::{KEYS, Key, Kind, Section};
use crate::config::{Origin, RawConfig};

/// Moves a live Postgres, MySQL or MariaDB database to another server and keeps the copy warm until you
/// cut over.
///
/// The tables are copied in chunks under a consistent snapshot, then the source's changes are
/// applied to the target in commit order. It can be killed at any moment and started again with
/// the same words.
#[derive(Debug, Parser)]
#[command(name = "dunlin", version, max_term_width = 100, subcommand_required = true)]
#[command(after_help = "Start with: dunlin check --source URL --target URL")]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Find everything that would fail or be lost; read only
    ///
    /// Connects to both servers, writes nothing, and lists everything that would make the migration
    /// fail or lose something, each with a stable id, what was seen, and the statement that mends
    /// it. Exits with 3 where something blocks.
    Check(check::CheckArgs),
    /// Show what would be done, and how long it would take
    ///
    /// Shows the chunks of each table, the bandwidth as it measures it between both servers, how
    /// long the copy takes, how much is written meanwhile, and whether and when the target will have
    /// caught up. Lists everything that would be written on either server. Writes nothing itself.
    Plan(plan::PlanArgs),
    /// Copy the tables, then follow the source; resumes where it was
    ///
    /// Prepares both servers, copies the tables under one snapshot, builds the indexes, and then
    /// follows the source's changes until it is stopped. The same words again go on where it was,
    /// whatever stopped it. Ctrl-C commits what is in hand and exits with 0; a second one stops at
    /// once.
    Run(run::RunArgs),
    /// Show where a migration stands; works with no process running
    ///
    /// Shows a migration's phase, the progress of each table, its positions and lag, and how much
    /// log the source keeps for it. It reads the state in the target, so it works with no process
    /// running; with --source it also asks the source for lag and slot.
    Status(status::StatusArgs),
    /// Compare every row of both sides, while the source is written to
    ///
    /// Reads the tables on both servers, compares digests, and looks at each row that differs again
    /// and again until it is known to differ for good: a row that is on its way is no difference.
    /// Takes no lock. With `dunlin run` at work it can be run at any time; without, both sides have to
    /// be at rest. Killed, it goes on where it was. Exits with 1 where rows differ.
    Verify(verify::VerifyArgs),
    /// Leave the source: keep its writers out, apply the last of its log, switch the traffic
    ///
    /// Looks at everything first. Then the source's writers are kept out, the target gets the last of
    /// the log and every sequence's value, the source is made to refuse writes by itself, and your
    /// command moves the traffic. Where anything fails or takes too long before your command begins,
    /// everything is undone: the source takes writes, and a run that is at work goes on. Exits with 5
    /// then.
    Cutover(cutover::CutoverArgs),
    /// After a cutover, have the former source follow the target, for the way back
    ///
    /// Takes a cutover that was done with --way-back, and the same settings. The former source, which
    /// goes on refusing all other writes, gets everything that the applications commit on the target, as
    /// `dunlin run` does it the other way. `dunlin cutover --back` goes back. Ctrl-C stops it, and
    /// the same words again go on where it was.
    Reverse(reverse::ReverseArgs),
    /// Remove everything of dunlin from both servers
    ///
    /// Before a cutover it carries the sequences over and builds what is left of the schema (on MySQL
    /// triggers and events too). Then it removes replication slot and publications, the way back, and
    /// the state on the target. The data stays; following the source ends for good, and a later run
    /// would begin from nothing. A source that was cut over goes on refusing writes; it prints what
    /// lifts that. What is gone already is passed over, so it can be repeated.
    Complete(complete::CompleteArgs),
    /// Print the least privileges that each server must grant
    ///
    /// Prints the statements that give dunlin's role the least it needs on the source and on the
    /// target. Read them, put in what your servers call things, and run them with psql, mysql or
    /// mariadb. Asks no server.
    Grants(grants::GrantsArgs),
    /// Work with the configuration file
    Config(config::ConfigArgs),
    /// Print a completion script for a shell
    ///
    /// Prints a script that completes dunlin's verbs and options in a shell.
    Completions(completions::CompletionsArgs),
    /// Show a whole migration between two private servers, with kills and a comparison
    ///
    /// Starts two private servers on this machine, loads a database of many types, keeps writing to
    /// it, migrates it, kills the migration in the snapshot and in the stream, starts it again,
    /// and compares every table at the end. Needs the server's programs installed. Exits with 0 only
    /// if every table is equal.
    Demo(demo::DemoArgs),
    /// Hold a snapshot open for a run that may be killed
    #[command(hide = true)]
    HoldSnapshot(hold_snapshot::HoldSnapshotArgs),
}

/// Which settings a verb takes.
pub trait Scope {
    /// The sections whose keys are flags of it.
    const SECTIONS: &[Section];
}

/// All settings of a migration.
#[derive(Debug)]
pub struct Everything;

/// The servers, and what is printed.
#[derive(Debug)]
pub struct ServersOnly;

/// What is printed.
#[derive(Debug)]
pub struct OutputOnly;

impl Scope for Everything {
    const SECTIONS: &[Section] = Section::ALL;
}

impl Scope for ServersOnly {
    const SECTIONS: &[Section] = &[Section::Servers, Section::Output];
}

impl Scope for OutputOnly {
    const SECTIONS: &[Section] = &[Section::Output];
}

/// The settings given as flags, and the file to read the others from.
#[derive(Debug)]
pub struct Settings<S> {
    /// The file named with `--config`.
    pub file: Option<PathBuf>,
    /// The settings given as flags.
    pub flags: RawConfig,
    scope: PhantomData<S>,
}

impl<S> Settings<S> {
    /// The flags and the file, to look at beforehand.
    pub(super) fn places(&self) -> (RawConfig, Option<&Path>) {
        (self.flags.clone(), self.file.as_deref())
    }
}

impl<S: Scope> Args for Settings<S> {
    fn augment_args(command: Command) -> Command {
        let file = Arg::new("config")
            .long("config")
            .value_name("FILE")
            .value_parser(clap::value_parser!(PathBuf))
            .help_heading("Configuration")
            .help("The file to read settings from [default: dunlin.toml, where it exists]");
        keys::<S>().fold(command.arg(file), |command, key| command.arg(argument(key)))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<S: Scope> FromArgMatches for Settings<S> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut flags = RawConfig::default();
        for key in keys::<S>() {
            if let Some(values) = matches.get_many::<String>(key.name) {
                flags.set(key, values.cloned().collect(), Origin::Flag);
            }
        }
        Ok(Settings {
            file: matches.get_one::<PathBuf>("config").cloned(),
            flags,
            scope: PhantomData,
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

fn keys<S: Scope>() -> impl Iterator<Item = &'static Key> {
    KEYS.iter().copied().filter(|key| S::SECTIONS.contains(&key.section))
}

/// The flag of one setting.
fn argument(key: &'static Key) -> Arg {
    let default = match (key.kind, key.default) {
        (Kind::List, _) | (_, "") => String::new(),
        (_, value) => format!(" [default: {value}]"),
    };
    let first = key.help.split_inclusive(". ").next().unwrap_or(key.help).trim_end();
    let places = format!("[env: {}]{default}", key.variable());
    let argument = Arg::new(key.name)
        .long(key.name)
        .value_name(key.placeholder)
        .help_heading(key.section.title())
        .help(format!("{first} {places}"))
        .long_help(format!("{} {places}", key.help));
    match key.kind {
        Kind::List => argument.action(ArgAction::Append),
        Kind::Switch => argument.num_args(0..=1).require_equals(true).default_missing_value("true"),
        Kind::Text | Kind::Secret | Kind::Number => argument,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::keys;
    use clap::CommandFactory;

    fn run_settings(words: &[&str]) -> Settings<Everything> {
        let words = ["dunlin", "run"].iter().chain(words);
        match Arguments::try_parse_from(words).unwrap().verb {
            Verb::Run(args) => args.settings,
            other => panic!("not run: {other:?}"),
        }
    }

    #[test]
    fn the_definition_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn every_setting_is_a_flag() {
        for key in KEYS {
            let flag = format!("--{}=7", key.name);
            let settings = run_settings(&[&flag]);
            assert_eq!(settings.flags.values(key), ["7"], "{}", key.name);
            assert_eq!(settings.flags.origin(key), Some(&Origin::Flag));
        }
    }

    #[test]
    fn a_switch_alone_means_true_and_lists_repeat() {
        let settings =
            run_settings(&["--privileges", "--include", "a.*", "--include", "b", "--config", "x"]);
        assert_eq!(settings.flags.values(keys::PRIVILEGES), ["true"]);
        assert_eq!(settings.flags.values(keys::INCLUDE), ["a.*", "b"]);
        assert_eq!(settings.file, Some(PathBuf::from("x")));
    }

    #[test]
    fn status_takes_no_setting_of_the_copy() {
        let words = ["dunlin", "status", "--target", "x", "--workers", "2"];
        let error = Arguments::try_parse_from(words).unwrap_err();
        assert_eq!(error.kind(), clap::error::ErrorKind::UnknownArgument);
    }
}
