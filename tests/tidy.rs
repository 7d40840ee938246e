//! The house's style as a test: sizes, names, heads, and which room may know which.
//!
//! It reads the source as text, formatted by rustfmt, so it needs no parser. A rule that is broken
//! is reported with file and line, all of them at once. Limits only ever go down.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

const FILE_LINES: usize = 600;
const FUNCTION_LINES: usize = 70;
const PARAMETERS: usize = 5;
const BANNED_NAMES: &[&str] = &["util", "utils", "common", "helper", "helpers", "types", "manager"];

/// A room, and the rooms it may know besides itself.
const ROOMS: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("observe", &["model"]),
    ("config", &["model"]),
    ("connect", &["model", "config"]),
    ("source", &["model", "config", "connect", "observe"]),
    ("target", &["model", "config", "connect", "observe"]),
    ("snapshot", &["model", "source", "target", "observe"]),
    ("stream", &["model", "source", "target", "observe"]),
    ("verify", &["model", "source", "target", "observe"]),
    ("cutover", &["model", "source", "target", "observe", "verify"]),
    (
        "migration",
        &[
            "model", "observe", "config", "connect", "source", "target", "snapshot", "stream",
            "verify", "cutover",
        ],
    ),
    ("demo", &["model", "config", "connect", "observe"]),
    ("cli", &["migration", "config", "observe", "demo", "cutover", "model"]),
];
/// Rooms that know the traits of source and target and none of their engines.
const ENGINE_FREE: &[&str] = &["snapshot", "stream", "verify", "cutover"];
const ENGINES: &[&str] =
    &["source::postgres", "target::postgres", "source::mysql", "target::mysql"];

struct File {
    path: PathBuf,
    text: String,
}

impl File {
    fn name(&self) -> String {
        self.path.display().to_string()
    }

    /// The folder below `src`, or the file where it lies there itself.
    fn room(&self) -> String {
        let inside = self.path.strip_prefix("src").unwrap();
        let first = inside.components().next().unwrap().as_os_str();
        first.to_string_lossy().trim_end_matches(".rs").to_owned()
    }

    fn is_test(&self) -> bool {
        self.path.ends_with("tests.rs")
            || self.path.components().any(|part| part.as_os_str() == "tests")
    }

    /// Numbered lines of code: without comments, and without the unit tests at the end.
    fn code(&self) -> Vec<(usize, &str)> {
        let numbered = self.text.lines().enumerate().map(|(number, line)| (number + 1, line));
        let all: Vec<_> = numbered.collect();
        let tests = all.windows(2).position(|pair| {
            pair[0].1 == "#[cfg(test)]" && pair[1].1.starts_with("mod ") && pair[1].1.ends_with('{')
        });
        all[..tests.unwrap_or(all.len())]
            .iter()
            .filter(|(_, line)| !line.trim_start().starts_with("//"))
            .copied()
            .collect()
    }
}

fn rust_files(folder: &str) -> Vec<File> {
    fn visit(root: &Path, folder: &Path, files: &mut Vec<File>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                visit(root, &path, files);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(File {
                    text: fs::read_to_string(&path).unwrap(),
                    path: path.strip_prefix(root).unwrap().to_owned(),
                });
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    visit(root, &root.join(folder), &mut files);
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

fn all_files() -> Vec<File> {
    let mut files = rust_files("src");
    files.extend(rust_files("tests"));
    files
}

fn assert_none(broken: Vec<String>) {
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn files_are_short_and_named_for_something() {
    let mut broken = Vec::new();
    for file in all_files() {
        let lines = file.text.lines().count();
        if lines > FILE_LINES {
            broken.push(format!("{}: {lines} lines", file.name()));
        }
        for part in file.path.with_extension("").components() {
            let part = part.as_os_str().to_string_lossy();
            if BANNED_NAMES.contains(&part.as_ref()) {
                broken.push(format!("{}: `{part}` names nothing", file.name()));
            }
        }
    }
    assert_none(broken);
}

#[test]
fn modules_say_what_they_are_for() {
    let without = all_files().into_iter().filter(|file| !file.text.starts_with("//! "));
    assert_none(without.map(|file| format!("{}: no `//!` head", file.name())).collect());
}

#[test]
fn functions_are_short_and_take_little() {
    let mut broken = Vec::new();
    for file in all_files() {
        let lines: Vec<&str> = file.text.lines().collect();
        for start in (0..lines.len()).filter(|&at| is_function(lines[at])) {
            let (length, parameters) = measure(&lines[start..]);
            let place = format!("{}:{}", file.name(), start + 1);
            if length > FUNCTION_LINES {
                broken.push(format!("{place}: a function of {length} lines"));
            }
            if parameters > PARAMETERS {
                broken.push(format!("{place}: a function of {parameters} parameters"));
            }
        }
    }
    assert_none(broken);
}

fn is_function(line: &str) -> bool {
    let words = line.split_whitespace();
    let mut rest = words.skip_while(|word| {
        word.starts_with("pub") || matches!(*word, "const" | "async" | "in" | "super)" | "crate)")
    });
    rest.next() == Some("fn") && rest.next().is_some_and(|name| name.contains(['(', '<']))
}

/// The lines of the function that starts here, and its parameters besides `self`.
fn measure(lines: &[&str]) -> (usize, usize) {
    let indent = lines[0].len() - lines[0].trim_start().len();
    let close = format!("{}}}", " ".repeat(indent));
    let is_last = |line: &&str| {
        **line == close
            || (line.len() - line.trim_start().len() <= indent && line.ends_with([';', '}']))
    };
    let length = lines.iter().position(is_last).map_or(lines.len(), |last| last + 1);
    (length, parameters(&lines[..length].join(" ")))
}

/// Counts what stands between the first parentheses outside of angle brackets.
fn parameters(signature: &str) -> usize {
    let text = signature.replace("->", "  ");
    let text = &text[text.find("fn ").unwrap_or(0)..];
    let mut depth = 0i32;
    let mut list = None;
    let mut items = Vec::new();
    for (at, character) in text.char_indices() {
        match character {
            '(' if depth == 0 && list.is_none() => {
                list = Some(at + 1);
                depth = 1;
            }
            '(' | '[' | '<' | '{' => depth += 1,
            ')' | ']' | '>' | '}' => depth -= 1,
            ',' if depth == 1 => {
                items.extend(list.map(|from| &text[from..at]));
                list = Some(at + 1);
            }
            _ => {}
        }
        if let (Some(from), 0) = (list, depth) {
            items.push(&text[from..at]);
            break;
        }
    }
    let is_own = |item: &str| item.ends_with("self") || item.starts_with("self:");
    let items = items.into_iter().map(str::trim);
    items.filter(|item| !item.is_empty() && !is_own(item)).count()
}

#[test]
fn rooms_know_only_whom_they_may() {
    let mut broken = Vec::new();
    for file in rust_files("src").iter().filter(|file| !file.is_test()) {
        let room = file.room();
        if ["lib", "main"].contains(&room.as_str()) {
            continue;
        }
        let Some((_, allowed)) = ROOMS.iter().find(|(name, _)| *name == room) else {
            broken.push(format!("{}: the room `{room}` is not in the table", file.name()));
            continue;
        };
        for (number, line) in file.code() {
            let place = format!("{}:{number}", file.name());
            for known in rooms_named(line) {
                if known != room && !allowed.contains(&known) {
                    broken.push(format!("{place}: `{room}` may not know `{known}`"));
                }
            }
            let names_engine = ENGINES.iter().any(|engine| line.contains(engine));
            if ENGINE_FREE.contains(&room.as_str()) && names_engine {
                broken.push(format!("{place}: `{room}` may not know an engine"));
            }
        }
    }
    assert_none(broken);
}

fn rooms_named(line: &str) -> Vec<&str> {
    let mut rooms = Vec::new();
    for (at, _) in line.match_indices("crate::") {
        let rest = &line[at + "crate::".len()..];
        let name =
            |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').count();
        if let Some(group) = rest.strip_prefix('{') {
            let members = group.split(',').map(str::trim);
            rooms.extend(members.map(|member| &member[..name(member)]));
        } else {
            rooms.push(&rest[..name(rest)]);
        }
    }
    rooms.retain(|name| ROOMS.iter().any(|(room, _)| room == name));
    rooms
}

#[test]
fn only_the_command_line_prints() {
    let mut broken = Vec::new();
    for file in rust_files("src").iter().filter(|file| !file.is_test()) {
        if ["cli", "main"].contains(&file.room().as_str()) {
            continue;
        }
        for (number, line) in file.code() {
            if ["println!(", "print!(", "eprintln!(", "eprint!(", "dbg!("]
                .iter()
                .any(|it| line.contains(it))
            {
                broken.push(format!("{}:{number}: prints", file.name()));
            }
        }
    }
    assert_none(broken);
}

#[test]
fn nothing_panics_on_an_error_outside_of_tests() {
    let mut broken = Vec::new();
    for file in rust_files("src").iter().filter(|file| !file.is_test()) {
        for (number, line) in file.code() {
            if [".unwrap()", ".expect(", "todo!(", "unimplemented!("]
                .iter()
                .any(|it| line.contains(it))
            {
                broken.push(format!("{}:{number}: {}", file.name(), line.trim()));
            }
        }
    }
    assert_none(broken);
}

#[test]
fn tests_wait_for_conditions() {
    let mut broken = Vec::new();
    for file in rust_files("tests") {
        if file.path.ends_with("tidy.rs") || file.path.ends_with("support/wait.rs") {
            continue;
        }
        for (number, line) in file.code() {
            if line.contains("sleep(") {
                broken.push(format!("{}:{number}: sleeps", file.name()));
            }
        }
    }
    assert_none(broken);
}

#[test]
fn the_measures_measure() {
    let lines = "pub(super) fn first(&self, a: Vec<(u8, u8)>, f: impl Fn(u8, u8) -> u8) -> u8 {\n    1\n}\n\nfn next() {}";
    let lines: Vec<&str> = lines.lines().collect();
    assert_eq!(measure(&lines), (3, 2));
    assert_eq!(measure(&lines[4..]), (1, 0));
    assert!(is_function("    pub(in super) async fn go<T>("));
    assert!(!is_function("let call = fn_pointer(1);"));
    assert_eq!(rooms_named("use crate::{model, demo::Server};"), ["model", "demo"]);
}
