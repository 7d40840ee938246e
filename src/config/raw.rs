//! Settings as they were written: by flag, by environment variable, in a file.
//!
//! In come texts from those three places; out goes one [`RawConfig`] in which the stronger place
//! has won, with the origin of each value kept for error messages. Values are not understood
//! here. A key that does not exist, or a value of the wrong shape, is kept as a [`Problem`] so
//! that it is reported together with every other one.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use super::ConfigError;
use super::keys::{KEYS, Key, Kind};

/// Where a value was written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Origin {
    /// On the command line.
    Flag,
    /// In the environment.
    Environment,
    /// In this file.
    File(PathBuf),
}

/// The values of one key, as written.
#[derive(Clone, PartialEq, Eq)]
struct Entry {
    values: Vec<String>,
    origin: Origin,
}

/// One thing that is wrong with the settings, and what to do about it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// The key, as written.
    pub key: String,
    /// The value, as written; `***` where it may hold a password; empty where there is none.
    pub value: String,
    /// Where it was written; `None` where it was not written at all.
    pub origin: Option<Origin>,
    /// What is wrong, and what would be right.
    pub remedy: String,
}

/// Settings as they were written.
#[derive(Clone, Default)]
pub struct RawConfig {
    entries: BTreeMap<&'static str, Entry>,
    problems: Vec<Problem>,
}

impl RawConfig {
    /// Reads the text of a `dunlin.toml`.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Syntax`] where it is not TOML. The parser's own message is not kept as a
    /// cause, since it quotes the line, and the line may hold a password.
    pub fn from_toml(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
            let start = error.span().map_or(0, |span| span.start.min(text.len()));
            let before = text.as_bytes().get(..start).unwrap_or_default();
            ConfigError::Syntax {
                path: path.to_owned(),
                line: before.iter().filter(|byte| **byte == b'\n').count() + 1,
            }
        })?;
        let mut raw = RawConfig::default();
        let origin = Origin::File(path.to_owned());
        for (name, value) in table {
            match Key::named(&name) {
                Some(key) => raw.take_toml(key, &value, &origin),
                None => raw.problems.push(unknown_key(name, &origin)),
            }
        }
        Ok(raw)
    }

    /// Reads the environment variables of every key. An empty one counts as not set; a list is
    /// separated by commas.
    #[must_use]
    pub fn from_environment(lookup: impl Fn(&str) -> Option<String>) -> Self {
        let mut raw = RawConfig::default();
        for key in KEYS {
            let Some(text) = lookup(&key.variable()).filter(|text| !text.is_empty()) else {
                continue;
            };
            let values = match key.kind {
                Kind::List => split_list(&text),
                Kind::Text | Kind::Secret | Kind::Number | Kind::Switch => vec![text],
            };
            raw.set(key, values, Origin::Environment);
        }
        raw
    }

    /// Sets a key's values, replacing earlier ones.
    pub fn set(&mut self, key: &'static Key, values: Vec<String>, origin: Origin) {
        self.entries.insert(key.name, Entry { values, origin });
    }

    /// These settings, and those of a weaker place where these are silent. Problems of both are
    /// kept.
    #[must_use]
    pub fn over(mut self, weaker: RawConfig) -> RawConfig {
        for (name, entry) in weaker.entries {
            self.entries.entry(name).or_insert(entry);
        }
        self.problems.extend(weaker.problems);
        self
    }

    /// Where a key's value was written; `None` where its default holds.
    #[must_use]
    pub fn origin(&self, key: &Key) -> Option<&Origin> {
        self.entries.get(key.name).map(|entry| &entry.origin)
    }

    /// A key's values as written, or its default; empty where there is none.
    #[must_use]
    pub fn values(&self, key: &Key) -> Vec<&str> {
        match self.entries.get(key.name) {
            Some(entry) => entry.values.iter().map(String::as_str).collect(),
            None if key.default.is_empty() => Vec::new(),
            None => vec![key.default],
        }
    }

    /// What was wrong with the places themselves.
    pub(super) fn problems(&self) -> &[Problem] {
        &self.problems
    }

    fn take_toml(&mut self, key: &'static Key, value: &toml::Value, origin: &Origin) {
        let values = match (key.kind, value) {
            (Kind::List, toml::Value::Array(items)) => items.iter().map(scalar).collect(),
            (Kind::List, toml::Value::String(text)) => Some(vec![text.clone()]),
            (Kind::List, _) => None,
            (Kind::Text | Kind::Secret | Kind::Number | Kind::Switch, value) => {
                scalar(value).map(|text| vec![text])
            }
        };
        if let Some(values) = values {
            return self.set(key, values, origin.clone());
        }
        let remedy = match key.kind {
            Kind::List => "must be a list of texts, such as [\"public.*\"]",
            Kind::Text | Kind::Secret | Kind::Number | Kind::Switch => "must be one value",
        };
        self.problems.push(Problem {
            key: key.name.to_owned(),
            value: String::new(),
            origin: Some(origin.clone()),
            remedy: remedy.to_owned(),
        });
    }
}

/// A TOML value that is one word: text, a whole number, true or false.
fn scalar(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Boolean(truth) => Some(truth.to_string()),
        toml::Value::Float(_)
        | toml::Value::Datetime(_)
        | toml::Value::Array(_)
        | toml::Value::Table(_) => None,
    }
}

fn unknown_key(name: String, origin: &Origin) -> Problem {
    let remedy = match Key::nearest(&name) {
        Some(key) => format!("there is no such key; did you mean {}?", key.name),
        None => "there is no such key; dunlin config init --stdout prints all keys".to_owned(),
    };
    Problem { key: name, value: String::new(), origin: Some(origin.clone()), remedy }
}

/// Cuts at the commas that are not within braces: a glob such as `{a,b}` stays whole.
fn split_list(text: &str) -> Vec<String> {
    let mut depth = 0_u32;
    let parts = text.split(|c| {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ',' && depth == 0
    });
    let trimmed = parts.map(str::trim).filter(|part| !part.is_empty());
    trimmed.map(str::to_owned).collect()
}

/// Prints keys and origins, and no values: one may hold a password.
impl fmt::Debug for RawConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let origins = self.entries.iter().map(|(name, entry)| (name, &entry.origin));
        f.debug_map().entries(origins).finish()
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.key)?;
        if !self.value.is_empty() {
            write!(f, " = {:?}", self.value)?;
        }
        match &self.origin {
            Some(Origin::Flag) => write!(f, " (--{})", self.key)?,
            Some(Origin::Environment) => {
                let variable = Key::named(&self.key).map(Key::variable);
                write!(f, " ({})", variable.unwrap_or_default())?;
            }
            Some(Origin::File(path)) => write!(f, " ({})", path.display())?,
            None => {}
        }
        write!(f, ": {}", self.remedy)
    }
}

#[cfg(test)]
mod tests {
    use super::super::keys;
    use super::*;

    #[test]
    fn a_list_keeps_braces_whole() {
        assert_eq!(split_list("a.*, b.{x,y},,c"), ["a.*", "b.{x,y}", "c"]);
    }

    #[test]
    fn a_syntax_error_names_the_line_and_never_quotes_it() {
        let text = "name = \"x\"\nsource = \"postgres://u:hunter2@h\n";
        let error = RawConfig::from_toml(text, Path::new("d.toml")).unwrap_err();
        let printed = format!("{error} {error:?}");
        assert!(printed.contains("line 2"), "{printed}");
        assert!(!printed.contains("hunter2"), "{printed}");
    }

    #[test]
    fn the_stronger_place_wins_key_by_key() {
        let mut flags = RawConfig::default();
        flags.set(keys::WORKERS, vec!["1".to_owned()], Origin::Flag);
        let environment = RawConfig::from_environment(|name| match name {
            "DUNLIN_WORKERS" => Some("2".to_owned()),
            "DUNLIN_NAME" => Some("from_environment".to_owned()),
            "DUNLIN_CHUNK_SIZE" => Some(String::new()),
            _ => None,
        });
        let text = "workers = 3\nname = 'x'\nchunk-size = '8MiB'";
        let file = RawConfig::from_toml(text, Path::new("d.toml")).unwrap();
        let raw = flags.over(environment).over(file);
        assert_eq!(raw.values(keys::WORKERS), ["1"]);
        assert_eq!(raw.values(keys::NAME), ["from_environment"]);
        assert_eq!(raw.values(keys::CHUNK_SIZE), ["8MiB"]);
        assert_eq!(raw.values(keys::GROUP_SIZE), ["8MiB"]);
    }
}
