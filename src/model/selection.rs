//! Which tables the operator wants, by patterns.
//!
//! In: include and exclude patterns, and names. Out: yes or no for each name, and an error that
//! names the patterns that met nothing. It knows no catalog. A pattern with a typing mistake
//! would silently leave a table behind, so one that matches nothing is an error.
//!
//! A pattern is `table` (in any schema) or `schema.table`; both parts are globs (`*`, `?`,
//! `[a-z]`, `{a,b}`). A part in double quotes is taken literally, dots included. With no include
//! pattern at all everything is included; an exclude pattern always wins.

use serde::{Deserialize, Serialize};

use globset::{Glob, GlobBuilder, GlobMatcher};

use super::failure::{Code, Disposition, Fault, Halt};
use super::schema::TableName;

/// dunlin's own schema on the target, which is never selected.
pub const OWN_SCHEMA: &str = "dunlin";

/// Patterns as the operator wrote them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Patterns {
    /// Tables to include.
    pub include_tables: Vec<String>,
    /// Tables to leave out.
    pub exclude_tables: Vec<String>,
    /// Schemas to include whole.
    pub include_schemas: Vec<String>,
    /// Schemas to leave out whole.
    pub exclude_schemas: Vec<String>,
    /// What partitioned tables are copied by.
    #[serde(default)]
    pub partitions: PartitionUnit,
}

/// What partitioned tables are copied by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PartitionUnit {
    /// Each partition as a table by itself: the target is partitioned alike.
    #[default]
    Leaves,
    /// Each partitioned table as one: the target may be partitioned in any way, or not at all.
    Root,
}

/// Compiled patterns.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    patterns: Patterns,
    include: Vec<Pattern>,
    exclude: Vec<Pattern>,
}

/// What can be wrong with a selection.
#[derive(Debug, thiserror::Error)]
pub enum SelectionError {
    /// A pattern cannot be read.
    #[error("cannot read the pattern '{pattern}'")]
    Unreadable {
        /// As the operator wrote it.
        pattern: String,
        /// What the glob parser says.
        #[source]
        source: globset::Error,
    },
    /// A pattern has an empty part or an open quote.
    #[error("the pattern '{pattern}' is not of the form 'table' or 'schema.table'")]
    Malformed {
        /// As the operator wrote it.
        pattern: String,
    },
    /// Patterns matched nothing.
    #[error("no table matches {}", .patterns.iter().map(|p| format!("'{p}'")).collect::<Vec<_>>().join(", "))]
    Unmatched {
        /// As the operator wrote them.
        patterns: Vec<String>,
    },
}

impl Fault for SelectionError {
    fn disposition(&self) -> Disposition {
        match self {
            SelectionError::Unreadable { .. } | SelectionError::Malformed { .. } => Halt::with(
                Code::ConfigInvalid,
                "write 'table', 'schema.table' or a glob such as 'sales.*'",
            ),
            SelectionError::Unmatched { .. } => Halt::with(
                Code::PatternUnmatched,
                "correct the pattern or remove it; names are case-sensitive",
            ),
        }
    }
}

#[derive(Clone, Debug)]
struct Pattern {
    text: String,
    schema: Option<GlobMatcher>,
    /// None where a whole schema is meant.
    table: Option<GlobMatcher>,
}

impl Selection {
    /// Compiles patterns.
    ///
    /// # Errors
    ///
    /// The first pattern that cannot be read.
    pub fn new(patterns: &Patterns) -> Result<Self, SelectionError> {
        let compile = |tables: &[String], schemas: &[String]| {
            tables
                .iter()
                .map(|text| Pattern::table(text))
                .chain(schemas.iter().map(|text| Pattern::schema(text)))
                .collect::<Result<Vec<_>, _>>()
        };
        Ok(Selection {
            patterns: patterns.clone(),
            include: compile(&patterns.include_tables, &patterns.include_schemas)?,
            exclude: compile(&patterns.exclude_tables, &patterns.exclude_schemas)?,
        })
    }

    /// The patterns as the operator wrote them.
    #[must_use]
    pub fn patterns(&self) -> &Patterns {
        &self.patterns
    }

    /// Whether there is no pattern at all, so that everything is selected.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.include.is_empty() && self.exclude.is_empty()
    }

    /// Whether a table is selected by its own name.
    #[must_use]
    pub fn selects(&self, name: &TableName) -> bool {
        self.selects_partition(name, &[])
    }

    /// Whether a partition is selected: it is included with any table above it and left out with
    /// any table above it.
    #[must_use]
    pub fn selects_partition(&self, name: &TableName, above: &[&TableName]) -> bool {
        let any = |patterns: &[Pattern]| {
            patterns.iter().any(|pattern| {
                pattern.matches(name) || above.iter().any(|name| pattern.matches(name))
            })
        };
        !is_system_schema(&name.schema)
            && (self.include.is_empty() || any(&self.include))
            && !any(&self.exclude)
    }

    /// Whether an exclude pattern names it, or it lies in a schema that is never selected.
    #[must_use]
    pub fn excludes(&self, name: &TableName) -> bool {
        is_system_schema(&name.schema) || self.exclude.iter().any(|p| p.matches(name))
    }

    /// Checks that every pattern matches at least one of all the names there are.
    ///
    /// # Errors
    ///
    /// [`SelectionError::Unmatched`] with all patterns that match none.
    pub fn check<'a, I>(&self, names: I) -> Result<(), SelectionError>
    where
        I: Iterator<Item = &'a TableName>,
    {
        let mut unmatched: Vec<&Pattern> = self.include.iter().chain(&self.exclude).collect();
        for name in names {
            if unmatched.is_empty() {
                break;
            }
            unmatched.retain(|pattern| is_system_schema(&name.schema) || !pattern.matches(name));
        }
        if unmatched.is_empty() {
            return Ok(());
        }
        let patterns = unmatched.into_iter().map(|pattern| pattern.text.clone()).collect();
        Err(SelectionError::Unmatched { patterns })
    }
}

/// Whether a schema belongs to the server or to dunlin, so that nothing in it is ever selected.
#[must_use]
pub fn is_system_schema(schema: &str) -> bool {
    schema.starts_with("pg_") || schema == "information_schema" || schema == OWN_SCHEMA
}

impl Pattern {
    fn table(text: &str) -> Result<Self, SelectionError> {
        let malformed = || SelectionError::Malformed { pattern: text.to_owned() };
        let parts = split(text).ok_or_else(malformed)?;
        let glob = |part: &Part| part.compile(text);
        let (schema, table) = match parts.as_slice() {
            [table] => (None, glob(table)?),
            [schema, table] => (Some(glob(schema)?), glob(table)?),
            _ => return Err(malformed()),
        };
        Ok(Pattern { text: text.to_owned(), schema, table: Some(table) })
    }

    fn schema(text: &str) -> Result<Self, SelectionError> {
        let parts = split(text).filter(|parts| parts.len() == 1);
        let Some([schema]) = parts.as_deref() else {
            return Err(SelectionError::Malformed { pattern: text.to_owned() });
        };
        Ok(Pattern { text: text.to_owned(), schema: Some(schema.compile(text)?), table: None })
    }

    fn matches(&self, name: &TableName) -> bool {
        let fits = |glob: &Option<GlobMatcher>, text: &str| {
            glob.as_ref().is_none_or(|glob| glob.is_match(text))
        };
        fits(&self.schema, &name.schema) && fits(&self.table, &name.name)
    }
}

/// One side of a pattern's dot, with literal text already escaped.
#[derive(Default)]
struct Part(String);

impl Part {
    fn compile(&self, pattern: &str) -> Result<GlobMatcher, SelectionError> {
        GlobBuilder::new(&self.0)
            .literal_separator(false)
            .backslash_escape(true)
            .build()
            .map(|glob: Glob| glob.compile_matcher())
            .map_err(|source| SelectionError::Unreadable { pattern: pattern.to_owned(), source })
    }
}

/// Splits at dots outside of double quotes; None where a part is empty or a quote is open.
fn split(text: &str) -> Option<Vec<Part>> {
    let mut parts = vec![Part::default()];
    let mut chars = text.chars().peekable();
    let mut quoted = false;
    while let Some(c) = chars.next() {
        let part = parts.last_mut()?;
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                part.0.push('"');
            }
            '"' => quoted = !quoted,
            '.' if !quoted => parts.push(Part::default()),
            c if quoted => part.0.push_str(&globset::escape(c.encode_utf8(&mut [0; 4]))),
            c => part.0.push(c),
        }
    }
    (!quoted && parts.iter().all(|part| !part.0.is_empty())).then_some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(schema: &str, name: &str) -> TableName {
        TableName { schema: schema.into(), name: name.into() }
    }

    fn selection(include: &[&str], exclude: &[&str]) -> Selection {
        let owned = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
        Selection::new(&Patterns {
            include_tables: owned(include),
            exclude_tables: owned(exclude),
            ..Patterns::default()
        })
        .unwrap()
    }

    #[test]
    fn without_patterns_everything_but_system_schemas_is_selected() {
        let all = selection(&[], &[]);
        assert!(all.selects(&name("public", "orders")));
        for schema in ["pg_catalog", "pg_toast", "pg_temp_3", "information_schema", "dunlin"] {
            assert!(!all.selects(&name(schema, "x")), "{schema}");
        }
    }

    #[test]
    fn a_bare_name_means_any_schema_and_exclude_wins() {
        let some = selection(&["orders", "sales.*"], &["*.*_old"]);
        assert!(some.selects(&name("public", "orders")));
        assert!(some.selects(&name("sales", "a/b")));
        assert!(!some.selects(&name("sales", "a_old")));
        assert!(!some.selects(&name("public", "customers")));
    }

    #[test]
    fn quotes_make_a_part_literal() {
        let one = selection(&[r#""a.b"."x*""#], &[]);
        assert!(one.selects(&name("a.b", "x*")));
        assert!(!one.selects(&name("a.b", "xy")));
        assert!(selection(&[r#"public."a""b""#], &[]).selects(&name("public", "a\"b")));
    }

    #[test]
    fn a_partition_follows_the_tables_above_it() {
        let root = name("public", "events");
        let leaf = name("parts", "events_1");
        assert!(selection(&["events"], &[]).selects_partition(&leaf, &[&root]));
        assert!(!selection(&[], &["events"]).selects_partition(&leaf, &[&root]));
    }

    #[test]
    fn patterns_that_match_nothing_are_named() {
        let some = selection(&["orders", "odrers"], &["x.*"]);
        let error = some.check([name("public", "orders")].iter()).unwrap_err();
        assert_eq!(error.to_string(), "no table matches 'odrers', 'x.*'");
        assert_eq!(
            Selection::new(&Patterns {
                include_schemas: vec!["a.b".into()],
                ..Patterns::default()
            })
            .unwrap_err()
            .to_string(),
            "the pattern 'a.b' is not of the form 'table' or 'schema.table'"
        );
        for bad in ["", "a.b.c", ".b", "\"a"] {
            assert!(Pattern::table(bad).is_err(), "{bad}");
        }
    }
}
