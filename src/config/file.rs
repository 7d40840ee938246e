//! The commented `dunlin.toml` and the reference in `docs/configuration.md`, written from the
//! table of keys.

use super::keys::{KEYS, Key, Kind, Section};

/// A `dunlin.toml` in which every key stands with its meaning, commented out at its default.
#[must_use]
pub fn template() -> String {
    let mut text = String::from(
        "# dunlin.toml: settings of a migration. Flags are stronger than environment variables\n\
         # (DUNLIN_CHUNK_SIZE for chunk-size), those are stronger than this file.\n\
         # Every key is commented out at its default, or at an example where it has none. Sizes\n\
         # are in KiB, MiB or GiB, durations in s, m, h or d.\n",
    );
    for section in Section::ALL {
        text.push_str(&format!("\n# {}\n", section.title()));
        for key in in_section(*section) {
            text.push('\n');
            for line in wrap(key.help, 95) {
                text.push_str(&format!("# {line}\n"));
            }
            text.push_str(&format!("# {} = {}\n", key.name, example(key)));
        }
    }
    text
}

/// The reference of every key as Markdown.
#[must_use]
pub fn reference() -> String {
    let mut text = String::new();
    for section in Section::ALL {
        text.push_str(&format!("## {}\n\n", section.title()));
        for key in in_section(*section) {
            let default = match (key.kind, key.default) {
                (Kind::List, _) => "none".to_owned(),
                (_, "") => "see below".to_owned(),
                (_, value) => format!("`{value}`"),
            };
            let default = if key.kind == Kind::Secret { "none, required" } else { &default };
            text.push_str(&format!("### `{}`\n\n", key.name));
            text.push_str(&format!("- flag: `--{} {}`", key.name, key.placeholder));
            text.push_str(if key.kind == Kind::List { ", repeatable\n" } else { "\n" });
            text.push_str(&format!("- environment: `{}`\n", key.variable()));
            text.push_str(&format!("- default: {default}\n\n"));
            for line in wrap(key.help, 98) {
                text.push_str(&format!("{line}\n"));
            }
            text.push('\n');
        }
    }
    text
}

fn in_section(section: Section) -> impl Iterator<Item = &'static Key> {
    KEYS.iter().copied().filter(move |key| key.section == section)
}

/// The key's default as TOML, or an example where it has none.
fn example(key: &Key) -> String {
    match (key.kind, key.default) {
        (Kind::List, _) => "[]".to_owned(),
        (Kind::Secret, _) => {
            let host = key.name;
            format!(
                "\"postgres://user:${{env:{}_PASSWORD}}@{host}.example/app\"",
                host.to_uppercase()
            )
        }
        (Kind::Number, "") => "4".to_owned(),
        (Kind::Number | Kind::Switch, value) => value.to_owned(),
        (Kind::Text, value) => format!("{value:?}"),
    }
}

/// Breaks a text at spaces so that no line is longer than `width`, where its words allow.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if line.len() + 1 + word.len() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            Some(_) | None => lines.push(word.to_owned()),
        }
    }
    lines
}
