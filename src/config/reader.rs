//! Reads one setting at a time and keeps what is wrong.
//!
//! Each method answers a usable value even where the written one is not, so that reading goes on
//! to the next key; [`Reader::finish`] gives the result out only when nothing was wrong.

use std::error::Error;
use std::time::Duration;

use super::ConfigError;
use super::keys::{self, Key, Kind};
use super::raw::{Problem, RawConfig};
use super::selection::NamedTables;
use crate::model::selection::{PartitionUnit, Patterns, Selection};

/// The longest duration that is accepted: ten years.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// The settings being read, and what was wrong so far.
pub(super) struct Reader<'r> {
    raw: &'r RawConfig,
    problems: Vec<Problem>,
}

impl<'r> Reader<'r> {
    pub fn new(raw: &'r RawConfig) -> Self {
        Reader { raw, problems: raw.problems().to_vec() }
    }

    /// Gives the result out when nothing was wrong.
    pub fn finish<T>(self, result: T) -> Result<T, ConfigError> {
        if self.problems.is_empty() {
            return Ok(result);
        }
        Err(ConfigError::Invalid { problems: self.problems })
    }

    /// Notes that a key's value is wrong.
    pub fn reject(&mut self, key: &Key, remedy: impl Into<String>) {
        let value = match key.kind {
            Kind::Secret if self.text(key).is_empty() => String::new(),
            Kind::Secret => "***".to_owned(),
            Kind::Text | Kind::Number | Kind::Switch | Kind::List => self.text(key),
        };
        self.problems.push(Problem {
            key: key.name.to_owned(),
            value,
            origin: self.raw.origin(key).cloned(),
            remedy: remedy.into(),
        });
    }

    /// A server that must be given.
    pub fn endpoint(&mut self, key: &'static Key) -> Option<String> {
        let endpoint = self.optional_endpoint(key);
        if endpoint.is_none() {
            let name = key.name;
            self.reject(
                key,
                format!(
                    "is needed: --{name} postgres://user@host/database, {} or a line in {}",
                    key.variable(),
                    super::DEFAULT_FILE
                ),
            );
        }
        endpoint
    }

    /// A server that may be left out.
    pub fn optional_endpoint(&mut self, key: &'static Key) -> Option<String> {
        Some(self.text(key)).filter(|text| !text.is_empty())
    }

    /// The migration's name.
    pub fn name(&mut self) -> String {
        let name = self.text(keys::NAME);
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if name.is_empty() || name.len() > 40 || !name.chars().all(plain) {
            self.reject(keys::NAME, "must be 1 to 40 of a-z, 0-9 and _");
        }
        name
    }

    /// Which tables are moved.
    pub fn selection(&mut self) -> Selection {
        let patterns = Patterns {
            include_tables: self.patterns(keys::INCLUDE, for_tables),
            exclude_tables: self.patterns(keys::EXCLUDE, for_tables),
            include_schemas: self.patterns(keys::INCLUDE_SCHEMA, for_schemas),
            exclude_schemas: self.patterns(keys::EXCLUDE_SCHEMA, for_schemas),
            partitions: self.choice(
                keys::PARTITIONS,
                &[("leaves", PartitionUnit::Leaves), ("root", PartitionUnit::Root)],
            ),
        };
        // Each pattern was read by itself before, so that all that are wrong are reported.
        Selection::new(&patterns).unwrap_or_default()
    }

    /// Tables named by a setting.
    pub fn named_tables(&mut self, key: &'static Key) -> NamedTables {
        let patterns = self.patterns(key, for_tables);
        NamedTables::new(patterns).unwrap_or_default()
    }

    /// A key's patterns, those that cannot be read excepted.
    fn patterns(&mut self, key: &'static Key, place: fn(Vec<String>) -> Patterns) -> Vec<String> {
        let mut good = Vec::new();
        for text in self.raw.values(key) {
            match Selection::new(&place(vec![text.to_owned()])) {
                Ok(_) => good.push(text.to_owned()),
                Err(error) => self.problems.push(Problem {
                    key: key.name.to_owned(),
                    value: text.to_owned(),
                    origin: self.raw.origin(key).cloned(),
                    remedy: match error.source() {
                        Some(cause) => format!("is not a glob: {cause}"),
                        None => error.to_string(),
                    },
                }),
            }
        }
        good
    }

    /// A whole number of at least `least`; `None` where the key was not set.
    pub fn count(&mut self, key: &'static Key, least: usize) -> Option<usize> {
        let text = self.text(key);
        if text.is_empty() {
            return None;
        }
        match text.parse::<usize>() {
            Ok(number) if (least..=10_000).contains(&number) => Some(number),
            Ok(_) | Err(_) => {
                self.reject(key, format!("must be a whole number from {least} to 10000"));
                None
            }
        }
    }

    /// A size of at least `least` bytes.
    pub fn size(&mut self, key: &'static Key, least: u64) -> u64 {
        match parse_size(&self.text(key)) {
            Some(size) if size >= least => size,
            Some(_) => {
                let shown = indicatif::BinaryBytes(least);
                self.reject(key, format!("must be at least {shown}"));
                least
            }
            None => {
                self.reject(key, "must be a size such as 512KiB, 128MiB or 2GiB");
                least
            }
        }
    }

    /// A size of which zero means "never".
    pub fn limit(&mut self, key: &'static Key) -> Option<u64> {
        Some(self.size(key, 0)).filter(|size| *size > 0)
    }

    /// A duration.
    pub fn duration(&mut self, key: &'static Key) -> Duration {
        match humantime::parse_duration(&self.text(key)) {
            Ok(duration) if duration <= LONGEST => duration,
            Ok(_) | Err(_) => {
                self.reject(key, "must be a duration such as 90s, 10m or 2h");
                Duration::ZERO
            }
        }
    }

    /// True or false.
    pub fn switch(&mut self, key: &'static Key) -> bool {
        self.choice(key, &[("false", false), ("true", true)])
    }

    /// One of these words; the first stands in for a wrong one.
    pub fn choice<T: Copy>(&mut self, key: &'static Key, choices: &[(&str, T)]) -> T {
        let text = self.text(key);
        if let Some((_, choice)) = choices.iter().find(|(word, _)| *word == text) {
            return *choice;
        }
        let words: Vec<_> = choices.iter().map(|(word, _)| *word).collect();
        self.reject(key, format!("must be one of {}", words.join(", ")));
        choices[0].1
    }

    /// A setting as it stands.
    pub fn text(&self, key: &Key) -> String {
        self.raw.values(key).join(", ")
    }
}

fn for_tables(include_tables: Vec<String>) -> Patterns {
    Patterns { include_tables, ..Patterns::default() }
}

fn for_schemas(include_schemas: Vec<String>) -> Patterns {
    Patterns { include_schemas, ..Patterns::default() }
}

/// Reads a size: a whole number of bytes, or one with a binary unit.
#[must_use]
pub fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let shift = match unit.trim() {
        "" | "B" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        "TiB" => 40,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_binary_units() {
        assert_eq!(parse_size("0"), Some(0));
        assert_eq!(parse_size("512KiB"), Some(512 << 10));
        assert_eq!(parse_size("128 MiB"), Some(128 << 20));
        assert_eq!(parse_size("2TiB"), Some(2 << 40));
        assert_eq!(parse_size("17179869184GiB"), None);
        for wrong in ["", "MiB", "128MB", "1.5GiB", "-1", "1e3", "12Q"] {
            assert_eq!(parse_size(wrong), None, "{wrong}");
        }
    }
}
