//! What a server's catalog says of a table, as the model has it.
//!
//! In: rows of `information_schema`, as either side reads them. Out: columns, and the key by which
//! rows are told apart. Pure: what is asked and of whom is not known here.

use crate::model::{Column, ColumnOrder, Identity};

/// A column, as `information_schema.COLUMNS` has it.
#[derive(Clone, Debug)]
pub struct ColumnFacts {
    /// `COLUMN_NAME`.
    pub name: String,
    /// `ORDINAL_POSITION`.
    pub number: u16,
    /// `COLUMN_TYPE`.
    pub type_name: String,
    /// `IS_NULLABLE` is `NO`.
    pub not_null: bool,
    /// `COLLATION_NAME`.
    pub collation: Option<String>,
    /// It has a `GENERATION_EXPRESSION`.
    pub generated: bool,
}

impl ColumnFacts {
    /// The column.
    #[must_use]
    pub fn column(self) -> Column {
        Column {
            order: order(&self.type_name, self.collation.as_deref()),
            name: self.name,
            number: self.number,
            version: 0,
            type_name: self.type_name,
            type_modifier: -1,
            not_null: self.not_null,
            generated: self.generated,
            collation: self.collation,
        }
    }
}

/// A part of a unique key, as `information_schema.STATISTICS` has it.
#[derive(Clone, Debug)]
pub struct KeyPart {
    /// `INDEX_NAME`.
    pub index: String,
    /// `COLUMN_NAME`; None for an expression.
    pub column: Option<String>,
    /// Only the beginning of its values counts.
    pub partial: bool,
}

/// The primary key, or else the unique key of the fewest columns, that tells every row apart by
/// whole values that are written and never NULL. The parts of a key stand together, in its order.
#[must_use]
pub fn key(columns: &[Column], parts: &[KeyPart]) -> Vec<usize> {
    let mut keys: Vec<(&str, Option<Vec<usize>>)> = Vec::new();
    for part in parts {
        if keys.last().is_none_or(|(last, _)| *last != part.index) {
            keys.push((&part.index, Some(Vec::new())));
        }
        let name = part.column.as_ref().filter(|_| !part.partial);
        let place = name
            .and_then(|name| columns.iter().position(|column| column.name == *name))
            .filter(|&place| columns[place].not_null && !columns[place].generated);
        if let Some((_, key)) = keys.last_mut() {
            *key = key.take().zip(place).map(|(mut key, place)| {
                key.push(place);
                key
            });
        }
    }
    let usable = keys.into_iter().filter_map(|(index, key)| Some((index, key?)));
    let best = usable.min_by_key(|(index, key)| (*index != "PRIMARY", key.len(), *index));
    best.map(|(_, key)| key).unwrap_or_default()
}

/// The whole old row is in the log; a row is told apart by its key where it has one.
#[must_use]
pub fn identity(primary_key: &[usize]) -> Identity {
    if primary_key.is_empty() {
        return Identity::Full;
    }
    let mut columns = primary_key.to_vec();
    columns.sort_unstable();
    Identity::Key { columns }
}

/// The type's first word: `decimal` of `decimal(10,2) unsigned`.
#[must_use]
pub fn data_type(column_type: &str) -> &str {
    let end = column_type.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    &column_type[..end.unwrap_or(column_type.len())]
}

/// The character set that a collation belongs to, by which its name begins.
#[must_use]
pub fn character_set(collation: &str) -> &str {
    collation.split('_').next().unwrap_or(collation)
}

/// How a key column's order is reproduced outside of the server.
#[must_use]
pub fn order(column_type: &str, collation: Option<&str>) -> ColumnOrder {
    match data_type(column_type) {
        "tinyint" | "smallint" | "mediumint" | "int" | "bigint" => ColumnOrder::Integer,
        "decimal" => ColumnOrder::Decimal,
        // Written with all their digits, so that later ones sort behind earlier ones as text does.
        "date" | "datetime" | "timestamp" | "year" => ColumnOrder::Text,
        "binary" | "varbinary" => ColumnOrder::RawBytes,
        "char" | "varchar" if collation.is_some_and(is_by_bytes) => ColumnOrder::RawBytes,
        _ => ColumnOrder::Opaque,
    }
}

/// Collations that compare code points without padding, in character sets whose bytes sort as
/// their code points do. The other `_bin` collations pad with spaces before they compare.
fn is_by_bytes(collation: &str) -> bool {
    let by_code_point = collation == "utf8mb4_0900_bin" || collation.ends_with("_nopad_bin");
    let sorts_as_bytes =
        ["utf8", "utf8mb3", "utf8mb4", "latin1", "ascii"].contains(&character_set(collation));
    by_code_point && sorts_as_bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_orders_that_are_known_are_claimed() {
        let of = |column_type, collation| order(column_type, collation);
        assert_eq!(of("int(10) unsigned zerofill", None), ColumnOrder::Integer);
        assert_eq!(of("decimal(10,2)", None), ColumnOrder::Decimal);
        assert_eq!(of("timestamp(6)", None), ColumnOrder::Text);
        assert_eq!(of("binary(16)", None), ColumnOrder::RawBytes);
        assert_eq!(of("varchar(9)", Some("utf8mb4_0900_bin")), ColumnOrder::RawBytes);
        for collation in ["utf8mb4_bin", "utf8mb4_0900_ai_ci", "utf16_nopad_bin", "latin1_bin"] {
            assert_eq!(of("varchar(9)", Some(collation)), ColumnOrder::Opaque, "{collation}");
        }
        assert_eq!(of("time", None), ColumnOrder::Opaque);
        assert_eq!(of("enum('a')", Some("utf8mb4_0900_bin")), ColumnOrder::Opaque);
    }
}
