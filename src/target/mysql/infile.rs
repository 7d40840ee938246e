//! Rows as LOAD DATA takes them: the statement, the values, and what the server said.
//!
//! In: columns, and values in the source's own text. Out: a statement for rows whose columns end in a
//! tab and whose rows end in a line feed, where a backslash escapes and `\N` is NULL; values in that
//! form; and whether all rows came as they were. LOCAL has the server go on where it would stop
//! otherwise: a row that meets a key is left out, a value that does not fit is changed, each with a
//! warning (manual, "LOAD DATA Statement", "Duplicate-Key and Error Handling"). So rows count as
//! loaded only where none was left out and nothing was warned of.

use super::TargetError;
use super::error::attempting;
use super::literal::{self, AbsentValue, Encoding, ident};
use super::session::{Loaded, Session, field};
use crate::model::{Column, Failure, TableName, Value};

/// Warnings that are told in an error.
const MOST_TOLD: usize = 3;

/// `WARN_DATA_TRUNCATED`, which is said of the index zero of an ENUM; that is stored as it is.
const TRUNCATED: u16 = 1265;

/// A column as rows are loaded into it.
pub(super) struct Taken {
    /// Its name.
    pub(super) name: String,
    /// What becomes of a field's bytes, where the column does not take them as they are.
    pub(super) conversion: Option<&'static str>,
    /// An empty value is the index zero of an ENUM.
    pub(super) has_zero: bool,
}

impl Taken {
    /// How rows are loaded into a column.
    pub(super) fn of(column: &Column) -> Self {
        Taken::named(&column.name, &column.type_name)
    }

    /// How rows are loaded into a column of this name and type.
    pub(super) fn named(name: &str, type_name: &str) -> Self {
        let conversion = match literal::base(type_name) {
            // A JSON column takes no binary string (ER_INVALID_JSON_CHARSET).
            "json" => Some("utf8mb4"),
            // These would take a binary string of their own length for their inner form.
            "uuid" | "inet4" | "inet6" => Some("latin1"),
            _ => None,
        };
        let has_zero =
            matches!(Encoding::of(type_name, None), Encoding::Label { has_empty: false, .. });
        Taken { name: name.to_owned(), conversion, has_zero }
    }
}

/// The statement that loads rows of these columns. The file's name is for whoever reads the server's
/// log.
pub(super) fn statement(table: &str, columns: &[Taken]) -> String {
    let (mut fields, mut conversions) = (Vec::new(), Vec::new());
    for (index, column) in columns.iter().enumerate() {
        let name = ident(&column.name);
        match column.conversion {
            None => fields.push(name),
            Some(charset) => {
                fields.push(format!("@v{index}"));
                conversions.push(format!("{name} = CONVERT(@v{index} USING {charset})"));
            }
        }
    }
    if fields.is_empty() {
        fields.push("@nothing".to_owned());
    }
    let mut text = format!(
        "LOAD DATA LOCAL INFILE 'rows' INTO TABLE {table} CHARACTER SET binary \
         FIELDS TERMINATED BY '\\t' ESCAPED BY '\\\\' LINES TERMINATED BY '\\n' ({})",
        fields.join(", ")
    );
    if !conversions.is_empty() {
        text.push_str(" SET ");
        text.push_str(&conversions.join(", "));
    }
    text
}

/// The columns of which an empty value is the index zero of an ENUM.
pub(super) fn zeros(columns: &[Taken]) -> Vec<String> {
    columns.iter().filter(|column| column.has_zero).map(|column| column.name.clone()).collect()
}

/// Appends a field of a row.
pub(super) fn push(rows: &mut Vec<u8>, value: Value<'_>) -> Result<(), AbsentValue> {
    let mut rest = match value {
        Value::Absent => return Err(AbsentValue),
        Value::Null => {
            rows.extend_from_slice(b"\\N");
            return Ok(());
        }
        Value::Text(bytes) => bytes,
    };
    while let Some(at) = memchr::memchr3(b'\\', b'\t', b'\n', rest) {
        rows.extend_from_slice(&rest[..at]);
        rows.extend_from_slice(match rest[at] {
            b'\t' => b"\\t",
            b'\n' => b"\\n",
            _ => b"\\\\",
        });
        rest = &rest[at + 1..];
    }
    rows.extend_from_slice(rest);
    Ok(())
}

/// Why rows do not count as loaded.
pub(super) struct Refusal {
    /// What the server said.
    pub(super) loaded: Loaded,
    /// The first warnings that count, without values.
    said: Vec<String>,
}

impl Refusal {
    /// As an error about a table, into which `read` rows were sent.
    pub(super) fn of(self, table: &TableName, read: u64) -> TargetError {
        TargetError::LoadRefused {
            table: table.clone(),
            read,
            loaded: self.loaded.records.saturating_sub(self.loaded.skipped),
            warnings: self.loaded.warnings,
            said: self.said.join("; "),
        }
    }
}

/// Whether all rows came, and came as they were.
pub(super) async fn judge(
    session: &mut Session,
    zeros: &[String],
    (rows, loaded): (u64, Loaded),
) -> Result<Result<(), Refusal>, Failure> {
    let all = loaded.records == rows && loaded.skipped == 0;
    if all && loaded.warnings == 0 {
        return Ok(Ok(()));
    }
    let warnings = session.rows("SHOW WARNINGS").await;
    let warnings = warnings.map_err(attempting("read the server's warnings"))?;
    let mut said = Vec::new();
    for row in &warnings {
        let (code, message): (u16, String) = (field(row, 1)?, field(row, 2)?);
        let zero = |column: &String| message.contains(&format!(" for column '{column}' at row "));
        if (code != TRUNCATED || !zeros.iter().any(zero)) && said.len() < MOST_TOLD {
            said.push(without_values(code, &message));
        }
    }
    let kept = warnings.len() as u64;
    if all && said.is_empty() && kept == loaded.warnings {
        return Ok(Ok(()));
    }
    if kept < loaded.warnings {
        said.push(format!("the server kept {kept}: more takes SESSION_VARIABLES_ADMIN"));
    }
    Ok(Err(Refusal { loaded, said }))
}

/// A warning as it may be shown: the column, the key and the row's number, but no value.
fn without_values(code: u16, message: &str) -> String {
    let place = [" for column ", " for key "].iter().find_map(|word| message.rfind(word));
    format!("warning {code}{}", place.map_or("", |place| &message[place..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_keep_their_bytes() {
        let mut rows = Vec::new();
        push(&mut rows, Value::Text(b"a\tb\\c\nd\0\xff")).unwrap();
        assert_eq!(rows, b"a\\tb\\\\c\\nd\0\xff");
        rows.clear();
        push(&mut rows, Value::Null).unwrap();
        assert_eq!(rows, b"\\N");
        assert_eq!(push(&mut rows, Value::Absent), Err(AbsentValue));
    }

    #[test]
    fn columns_that_take_no_bytes_are_converted() {
        let columns = [Taken::named("id", "int"), Taken::named("j`", "json")];
        insta::assert_snapshot!(statement("`a`.`t`", &columns), @r"LOAD DATA LOCAL INFILE 'rows' INTO TABLE `a`.`t` CHARACTER SET binary FIELDS TERMINATED BY '\t' ESCAPED BY '\\' LINES TERMINATED BY '\n' (`id`, @v1) SET `j``` = CONVERT(@v1 USING utf8mb4)");
    }

    #[test]
    fn warnings_are_told_without_values() {
        let message = "Duplicate entry 'secret' for key 'item.name'";
        assert_eq!(without_values(1062, message), "warning 1062 for key 'item.name'");
        let message = "Incorrect string value: '\\xFF' for column 'for column ' at row 7";
        assert!(!without_values(1366, message).contains("xFF"));
        assert_eq!(without_values(1000, "value secret"), "warning 1000");
    }
}
