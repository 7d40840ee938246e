//! Character sets by the numbers that the log has for collations.
//!
//! In: the server's list of collations. Out: whether values of a column lie in the log in another
//! character set than the migration knows, as they do behind a definition that the log does not have.
//! Pure.

use std::collections::HashMap;
use std::sync::Arc;

use super::column::Logged;
use crate::connect::mysql::described::{character_set, data_type};
use crate::model::Column;

/// The character set of each of a server's collations, by its number. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct CharacterSets(Arc<HashMap<u32, String>>);

impl FromIterator<(u32, String)> for CharacterSets {
    fn from_iter<I: IntoIterator<Item = (u32, String)>>(collations: I) -> Self {
        CharacterSets(Arc::new(collations.into_iter().collect()))
    }
}

impl CharacterSets {
    /// The character set of the column's values in the log, where it is another than the one that is
    /// known. None where the log does not tell.
    pub(super) fn other(&self, logged: &Logged, known: &Column) -> Option<&str> {
        let is_text = matches!(
            data_type(&known.type_name),
            "char" | "varchar" | "tinytext" | "text" | "mediumtext" | "longtext" | "enum" | "set"
        );
        let is_bytes = matches!(
            data_type(&known.type_name),
            "binary" | "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob"
        );
        let expected = match &known.collation {
            Some(collation) if is_text => character_set(collation),
            None if is_bytes => "binary",
            Some(_) | None => return None,
        };
        let found = self.0.get(&logged.collation?)?;
        (one_name(found) != one_name(expected)).then_some(found)
    }
}

/// Servers went over to the longer name.
fn one_name(set: &str) -> &str {
    if set == "utf8" { "utf8mb3" } else { set }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ColumnOrder;

    #[test]
    fn only_what_the_log_tells_can_be_another() {
        let sets: CharacterSets = [(8, "latin1"), (33, "utf8"), (45, "utf8mb4"), (63, "binary")]
            .map(|(number, name)| (number, name.to_owned()))
            .into_iter()
            .collect();
        let other = |type_name: &str, known: Option<&str>, collation: Option<u32>| {
            let known = Column {
                name: "c".into(),
                number: 1,
                version: 0,
                type_name: type_name.into(),
                type_modifier: -1,
                not_null: false,
                generated: false,
                collation: known.map(str::to_owned),
                order: ColumnOrder::Opaque,
            };
            let logged = Logged { collation, ..Logged::default() };
            sets.other(&logged, &known).map(str::to_owned)
        };
        let known = Some("latin1_bin");
        assert_eq!(other("varchar(9)", known, Some(45)).as_deref(), Some("utf8mb4"));
        assert_eq!(other("enum('a')", known, Some(45)).as_deref(), Some("utf8mb4"));
        assert_eq!(other("text", known, Some(63)).as_deref(), Some("binary"));
        assert_eq!(other("blob", None, Some(8)).as_deref(), Some("latin1"));
        for (type_name, known, collation) in [
            ("varchar(9)", known, Some(8)),
            ("varchar(9)", known, None),
            ("varchar(9)", known, Some(7777)),
            ("text", Some("utf8mb3_general_ci"), Some(33)),
            ("varbinary(9)", None, Some(63)),
            ("uuid", None, Some(8)),
        ] {
            assert_eq!(other(type_name, known, collation), None, "{type_name} {collation:?}");
        }
    }
}
