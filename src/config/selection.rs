//! Which tables are meant: globs over schema and table names.
//!
//! In come patterns and the names that exist; out go the names that are meant. A pattern that
//! matches nothing is an error, since it is a misspelling more often than not and a table
//! that is left out by mistake is a table lost.

use globset::{GlobBuilder, GlobMatcher};

use super::ConfigError;
use super::keys::{self, Key};
use crate::model::TableName;

/// Globs over tables, as one key holds them.
#[derive(Clone, Debug)]
pub struct TablePatterns {
    key: &'static Key,
    patterns: Vec<TablePattern>,
}

#[derive(Clone, Debug)]
struct TablePattern {
    text: String,
    schema: Option<GlobMatcher>,
    table: Option<GlobMatcher>,
}

/// Which tables are moved.
#[derive(Clone, Debug)]
pub struct Selection {
    pub(super) include: TablePatterns,
    pub(super) exclude: TablePatterns,
    pub(super) include_schema: TablePatterns,
    pub(super) exclude_schema: TablePatterns,
}

impl TablePatterns {
    /// Reads globs on `schema.table` or `table`, or on schemas where the key is one of those.
    /// The other part of the pair is what is wrong with each unreadable one.
    pub(super) fn parse(key: &'static Key, texts: &[&str]) -> (Self, Vec<(String, String)>) {
        let whole_schemas =
            key.name == keys::INCLUDE_SCHEMA.name || key.name == keys::EXCLUDE_SCHEMA.name;
        let (mut patterns, mut faults) = (Vec::new(), Vec::new());
        for text in texts {
            match TablePattern::parse(text, whole_schemas) {
                Ok(pattern) => patterns.push(pattern),
                Err(fault) => faults.push(((*text).to_owned(), fault.kind().to_string())),
            }
        }
        (TablePatterns { key, patterns }, faults)
    }

    /// Whether one of them means this table.
    #[must_use]
    pub fn matches(&self, table: &TableName) -> bool {
        self.patterns.iter().any(|pattern| pattern.matches(table))
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// The patterns as they were written.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        self.patterns.iter().map(|pattern| pattern.text.as_str())
    }

    /// Refuses patterns that match none of these tables.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Unmatched`], which names all of them.
    pub fn require_matches<'t>(
        &self,
        tables: impl Iterator<Item = &'t TableName> + Clone,
    ) -> Result<(), ConfigError> {
        reject(self.unmatched(tables))
    }

    fn unmatched<'t>(
        &self,
        tables: impl Iterator<Item = &'t TableName> + Clone,
    ) -> Vec<(&'static str, String)> {
        let idle = self
            .patterns
            .iter()
            .filter(|pattern| !tables.clone().any(|table| pattern.matches(table)));
        idle.map(|pattern| (self.key.name, pattern.text.clone()))
            .collect()
    }
}

impl TablePattern {
    fn parse(text: &str, whole_schema: bool) -> Result<Self, globset::Error> {
        let (schema, table) = match text.split_once('.') {
            _ if whole_schema => (Some(text), None),
            Some((schema, table)) => (Some(schema), Some(table)),
            None => (None, Some(text)),
        };
        Ok(TablePattern {
            text: text.to_owned(),
            schema: schema.map(glob).transpose()?,
            table: table.map(glob).transpose()?,
        })
    }

    fn matches(&self, name: &TableName) -> bool {
        let fits = |glob: &Option<GlobMatcher>, text: &str| {
            glob.as_ref().is_none_or(|glob| glob.is_match(text))
        };
        fits(&self.schema, &name.schema) && fits(&self.table, &name.name)
    }
}

impl Selection {
    /// The tables that are meant, in the order given.
    ///
    /// A table is meant when `include` or `include-schema` matches it, or neither is given, and
    /// no exclude matches it.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Unmatched`], which names every pattern that matches none of the tables.
    pub fn select<'t>(
        &self,
        tables: impl Iterator<Item = &'t TableName> + Clone,
    ) -> Result<Vec<&'t TableName>, ConfigError> {
        let all = [
            &self.include,
            &self.exclude,
            &self.include_schema,
            &self.exclude_schema,
        ];
        reject(
            all.iter()
                .flat_map(|patterns| patterns.unmatched(tables.clone()))
                .collect(),
        )?;
        Ok(tables.filter(|table| self.selects(table)).collect())
    }

    /// Whether this table is meant.
    #[must_use]
    pub fn selects(&self, table: &TableName) -> bool {
        let everything = self.include.is_empty() && self.include_schema.is_empty();
        let included =
            everything || self.include.matches(table) || self.include_schema.matches(table);
        included && !self.exclude.matches(table) && !self.exclude_schema.matches(table)
    }
}

fn glob(text: &str) -> Result<GlobMatcher, globset::Error> {
    let built = GlobBuilder::new(text).backslash_escape(true).build()?;
    Ok(built.compile_matcher())
}

fn reject(unmatched: Vec<(&'static str, String)>) -> Result<(), ConfigError> {
    if unmatched.is_empty() {
        return Ok(());
    }
    let shown: Vec<_> = unmatched
        .iter()
        .map(|(key, text)| format!("{key} = {text:?}"))
        .collect();
    Err(ConfigError::Unmatched {
        patterns: shown.join(", "),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(schema: &str, name: &str) -> TableName {
        TableName {
            schema: schema.to_owned(),
            name: name.to_owned(),
        }
    }

    fn selection(include: &[&str], exclude: &[&str], schemas: &[&str]) -> Selection {
        Selection {
            include: TablePatterns::parse(keys::INCLUDE, include).0,
            exclude: TablePatterns::parse(keys::EXCLUDE, exclude).0,
            include_schema: TablePatterns::parse(keys::INCLUDE_SCHEMA, schemas).0,
            exclude_schema: TablePatterns::parse(keys::EXCLUDE_SCHEMA, &[]).0,
        }
    }

    #[test]
    fn includes_add_up_and_excludes_are_stronger() {
        let tables = [
            table("public", "orders"),
            table("public", "orders_old"),
            table("audit", "log"),
            table("other", "orders"),
        ];
        let chosen = |selection: Selection| -> Vec<String> {
            let names = selection.select(tables.iter()).unwrap();
            names.into_iter().map(ToString::to_string).collect()
        };
        let all = [
            "public.orders",
            "public.orders_old",
            "audit.log",
            "other.orders",
        ];
        assert_eq!(chosen(selection(&[], &[], &[])), all);
        assert_eq!(
            chosen(selection(&["orders"], &[], &[])),
            ["public.orders", "other.orders"]
        );
        assert_eq!(
            chosen(selection(&["public.*"], &["*_old"], &["aud*"])),
            ["public.orders", "audit.log"]
        );
    }

    #[test]
    fn patterns_that_match_nothing_are_all_named() {
        let tables = [table("public", "orders")];
        let error = selection(&["order"], &["public.x*"], &[])
            .select(tables.iter())
            .unwrap_err();
        let text = error.to_string();
        assert!(text.contains("include = \"order\""), "{text}");
        assert!(text.contains("exclude = \"public.x*\""), "{text}");
    }

    #[test]
    fn names_with_dots_and_case_are_matched_as_they_are() {
        let patterns = TablePatterns::parse(keys::INCLUDE, &["Sales.My.Table"]).0;
        assert!(patterns.matches(&table("Sales", "My.Table")));
        assert!(!patterns.matches(&table("sales", "my.table")));
    }
}
