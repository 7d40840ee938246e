//! Tables that a setting names one by one or by glob, and no table where it names none.
//!
//! The opposite of [`Selection`] when empty: that one then means every table, which would be a
//! disaster for `truncate-target`.

use crate::model::TableName;
use crate::model::selection::{Patterns, Selection, SelectionError};

/// The tables that are named; none where nothing is.
#[derive(Clone, Debug, Default)]
pub struct NamedTables(Option<Selection>);

impl NamedTables {
    pub(super) fn new(patterns: Vec<String>) -> Result<Self, SelectionError> {
        if patterns.is_empty() {
            return Ok(NamedTables(None));
        }
        let selection =
            Selection::new(&Patterns { include_tables: patterns, ..Patterns::default() })?;
        Ok(NamedTables(Some(selection)))
    }

    /// Whether this table is named, itself or by a table above it.
    #[must_use]
    pub fn names(&self, table: &TableName, above: &[&TableName]) -> bool {
        let named = self.0.as_ref();
        named.is_some_and(|selection| selection.selects_partition(table, above))
    }

    /// Refuses patterns that match none of all the tables there are.
    ///
    /// # Errors
    ///
    /// [`SelectionError::Unmatched`], which names all of them.
    pub fn check<'a>(
        &self,
        tables: impl Iterator<Item = &'a TableName>,
    ) -> Result<(), SelectionError> {
        self.0.as_ref().map_or(Ok(()), |selection| selection.check(tables))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_pattern_names_no_table() {
        let table = TableName { schema: "public".to_owned(), name: "orders".to_owned() };
        assert!(!NamedTables::new(Vec::new()).unwrap().names(&table, &[]));
        let named = NamedTables::new(vec!["public.ord*".to_owned()]).unwrap();
        assert!(named.names(&table, &[]));
        let other = NamedTables::new(vec!["archive".to_owned()]).unwrap();
        assert!(!other.names(&table, &[]));
        assert!(other.check([&table].into_iter()).is_err());
    }
}
