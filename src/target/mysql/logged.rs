//! Columns that the log describes otherwise than the migration knows them.
//!
//! In: a type as it is known, on both sides, and as the log has it. Out: whether the target's column
//! keeps the log's values as they are. What is too large for it, a strict server refuses; what it would
//! round, pad, cut or read in another character set must never get there. Pure.

use crate::connect::mysql::described::data_type;

/// Whether a column of the type that is known holds each value of the logged type as it is, or refuses
/// it.
pub(super) fn takes(known: &str, logged: &str) -> bool {
    known == logged || !logged.contains(" CHARACTER SET ") && keeps(known, logged)
}

fn keeps(known: &str, logged: &str) -> bool {
    match (data_type(known), data_type(logged)) {
        (one, other) if is_integer(one) && is_integer(other) => true,
        (one, other) if is_long_text(one) && (is_long_text(other) || other == "char") => true,
        (one, other) if is_bytes(one) && (is_bytes(other) || other == "binary") => true,
        ("decimal", "decimal") => number(logged, 1) <= number(known, 1),
        ("time", "time") | ("datetime", "datetime") | ("timestamp", "timestamp") => {
            number(logged, 0) <= number(known, 0)
        }
        _ => false,
    }
}

fn is_integer(word: &str) -> bool {
    matches!(word, "tinyint" | "smallint" | "mediumint" | "int" | "bigint")
}

/// Text that keeps its trailing blanks.
fn is_long_text(word: &str) -> bool {
    matches!(word, "varchar" | "tinytext" | "text" | "mediumtext" | "longtext")
}

/// Bytes that are not filled up.
fn is_bytes(word: &str) -> bool {
    matches!(word, "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob")
}

/// A number in the parentheses behind a type; 0 where there is none.
fn number(type_name: &str, index: usize) -> u32 {
    let inner = type_name.split_once('(').and_then(|(_, rest)| rest.split_once(')'));
    let argument = inner.and_then(|(inner, _)| inner.split(',').nth(index));
    argument.and_then(|argument| argument.trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_change_a_value_is_not_taken() {
        for (known, logged) in [
            ("decimal(10,2)", "decimal(12,4)"),
            ("datetime", "datetime(6)"),
            ("double", "float"),
            ("float", "double"),
            ("int", "varchar"),
            ("char(9)", "text"),
            ("binary(9)", "varbinary"),
            ("varchar(9)", "varchar(9) CHARACTER SET latin1"),
            ("text", "varchar CHARACTER SET latin1"),
            ("varchar(9)", "varbinary"),
            ("date", "datetime"),
        ] {
            assert!(!takes(known, logged), "{known} takes {logged}");
        }
    }

    #[test]
    fn what_is_kept_or_refused_is_taken() {
        for (known, logged) in [
            ("int", "bigint unsigned"),
            ("decimal(10,4)", "decimal(12,2)"),
            ("datetime(6)", "datetime"),
            ("text", "varchar"),
            ("varchar(9)", "char"),
            ("blob", "binary(3)"),
            ("enum('a')", "enum('a')"),
        ] {
            assert!(takes(known, logged), "{known} does not take {logged}");
        }
    }
}
