//! The real binary's words and exit statuses, as far as no server is needed.

// Helpers outside of test functions count as code to the lint.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::{Command, Output};

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Folder(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Runs dunlin here, with no settings in the environment but these.
    fn dunlin(&self, words: &[&str], variables: &[(&str, &str)]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dunlin"));
        command.args(words).current_dir(self.path()).env_clear();
        command.envs(variables.iter().copied()).output().unwrap()
    }
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn a_usage_error_exits_with_2_and_names_the_nearest_flag() {
    let output = Folder::new().dunlin(&["run", "--worker", "3"], &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("'--workers'"));
}

#[test]
fn wrong_settings_of_every_place_are_reported_together() {
    let folder = Folder::new();
    std::fs::write(folder.path().join("dunlin.toml"), "grup-size = '1MiB'\n").unwrap();
    let words = ["check", "--chunk-size", "12Q", "--source", "postgres://u:hunter2@h/x"];
    let output = folder.dunlin(&words, &[("DUNLIN_RETRY_FOR", "soon")]);
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
    insta::assert_snapshot!(stderr(&output), @r#"
    error[CONFIG_INVALID]: 4 settings are wrong:
      grup-size (dunlin.toml): there is no such key; did you mean group-size?
      target: is needed: --target postgres://user@host/database, DUNLIN_TARGET or a line in dunlin.toml
      chunk-size = "12Q" (--chunk-size): must be a size such as 512KiB, 128MiB or 2GiB
      retry-for = "soon" (DUNLIN_RETRY_FOR): must be a duration such as 90s, 10m or 2h
    hint: every setting is explained by dunlin run --help and in docs/configuration.md
    "#);
}

#[test]
fn an_error_is_json_where_json_is_asked_for() {
    let output = Folder::new().dunlin(&["status", "--json"], &[]);
    assert_eq!(output.status.code(), Some(2));
    insta::assert_snapshot!(stderr(&output), @r#"{"code":"CONFIG_INVALID","message":"target: is needed: --target postgres://user@host/database, DUNLIN_TARGET or a line in dunlin.toml","causes":[],"hint":"every setting is explained by dunlin run --help and in docs/configuration.md","exit_status":2}"#);
}

#[test]
fn a_file_that_was_named_must_exist() {
    let output = Folder::new().dunlin(&["check", "--config", "missing.toml"], &[]);
    assert_eq!(output.status.code(), Some(2));
    insta::assert_snapshot!(stderr(&output), @r#"
    error[CONFIG_INVALID]: cannot read the configuration file missing.toml
    caused by: No such file or directory (os error 2)
    hint: name an existing file with --config, or write one: dunlin config init
    "#);
}

#[test]
fn config_init_writes_once() {
    let folder = Folder::new();
    let output = folder.dunlin(&["config", "init"], &[]);
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""));
    insta::assert_snapshot!(stdout(&output), @r#"
    wrote dunlin.toml
    next: set source and target in it, then dunlin check
    "#);
    let output = folder.dunlin(&["config", "init"], &[]);
    assert_eq!(output.status.code(), Some(2));
    insta::assert_snapshot!(stderr(&output), @r#"
    error[CONFIG_INVALID]: dunlin.toml exists already
    hint: dunlin config init --force replaces it, --stdout prints a fresh one
    "#);
    assert!(folder.dunlin(&["config", "init", "--force"], &[]).status.success());
}

#[test]
fn colour_is_used_only_on_demand_where_there_is_no_terminal() {
    let folder = Folder::new();
    let plain = folder.dunlin(&["check"], &[]);
    assert!(!stderr(&plain).contains('\x1b'));
    let painted = folder.dunlin(&["check", "--color", "always"], &[]);
    assert!(stderr(&painted).contains("\x1b[1;31merror[CONFIG_INVALID]\x1b[0m"));
}

#[test]
fn every_verb_has_an_example_and_says_what_is_next() {
    let verbs: [&[&str]; 10] = [
        &["check"],
        &["plan"],
        &["run"],
        &["status"],
        &["cutover"],
        &["complete"],
        &["grants"],
        &["config", "init"],
        &["completions"],
        &["demo"],
    ];
    for verb in verbs {
        let words: Vec<&str> = verb.iter().copied().chain(["--help"]).collect();
        let help = stdout(&Folder::new().dunlin(&words, &[]));
        assert!(help.contains("Example:\n  dunlin "), "{verb:?}: {help}");
        assert!(help.contains("\nNext: "), "{verb:?}: {help}");
    }
}

#[test]
fn grants_of_one_side_are_sql() {
    let words = ["grants", "--side", "target", "--role", "mover", "--database", "My Shop"];
    let output = Folder::new().dunlin(&words, &[]);
    assert!(output.status.success());
    assert!(stdout(&output).contains("ON DATABASE \"My Shop\" TO \"mover\";"));
}

#[test]
fn completions_know_the_verbs() {
    let output = Folder::new().dunlin(&["completions", "bash"], &[]);
    assert!(stdout(&output).contains("check plan run status verify cutover reverse complete"));
    assert!(output.status.success());
}
