//! Secrets, and where they come from.
//!
//! In: text that may refer to `${env:NAME}` or `${file:PATH}`. Out: the text with the references
//! replaced, and [`Secret`], which prints as `***`. A secret leaves it in one way only:
//! [`Secret::expose`], which a reader can search for.

use super::environment::Environment;
use crate::model::{Code, Disposition, Fault, Halt};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use std::fmt;

/// Text that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes the text in.
    pub fn new(text: impl Into<String>) -> Self {
        Secret(text.into())
    }

    /// The text itself, for the one place that needs it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A reference to a secret that leads nowhere.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The variable is not set.
    #[error("read the environment variable {name}, which is not set")]
    VariableMissing {
        /// Its name.
        name: String,
    },
    /// The file cannot be read.
    #[error("read the secret's file {path}")]
    FileUnreadable {
        /// Its path.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The reference is neither `${env:NAME}` nor `${file:PATH}`.
    #[error("read the reference ${{{kind}...}}")]
    ReferenceUnknown {
        /// The part before the colon.
        kind: String,
    },
    /// The reference has no closing brace.
    #[error("find the closing brace of a ${{...}} reference")]
    ReferenceOpen,
}

impl Fault for SecretError {
    fn disposition(&self) -> Disposition {
        let hint = match self {
            SecretError::VariableMissing { name } => format!("set {name}, or write the value"),
            SecretError::FileUnreadable { path, .. } => {
                format!("make {path} readable for the user that runs dunlin")
            }
            SecretError::ReferenceUnknown { .. } | SecretError::ReferenceOpen => {
                "write ${env:NAME} or ${file:PATH}".to_owned()
            }
        };
        Halt::with(Code::SecretUnreadable, hint)
    }
}

/// Characters of a value that would end its part of a URI. The colon and the comma stay, so that
/// a reference may stand for `host:port` and for a list of hosts.
const URI_PART: &AsciiSet =
    &CONTROLS.add(b' ').add(b'%').add(b'@').add(b'/').add(b'?').add(b'#').add(b'&').add(b'=');

/// Replaces every reference by its value, as it is.
///
/// # Errors
///
/// [`SecretError`] where a reference leads nowhere.
pub fn resolve(text: &str, environment: &Environment) -> Result<String, SecretError> {
    replace(text, environment, |_, value| value)
}

/// Replaces every reference in a connection string. A value that stands inside a URI is
/// percent-encoded, one inside a keyword string is escaped: a password may hold any character. A
/// reference at the very beginning stands for a whole connection string and is taken as it is.
///
/// # Errors
///
/// [`SecretError`] where a reference leads nowhere.
pub fn resolve_connection(text: &str, environment: &Environment) -> Result<String, SecretError> {
    replace(text, environment, |before, value| {
        if before.is_empty() {
            value
        } else if before.contains("://") {
            utf8_percent_encode(&value, URI_PART).to_string()
        } else {
            escape_keyword_value(&value)
        }
    })
}

fn replace(
    text: &str,
    environment: &Environment,
    place: impl Fn(&str, String) -> String,
) -> Result<String, SecretError> {
    let mut resolved = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        resolved.push_str(&rest[..at]);
        let inner = &rest[at + 2..];
        let end = inner.find('}').ok_or(SecretError::ReferenceOpen)?;
        let value = look_up(&inner[..end], environment)?;
        let placed = place(&resolved, value);
        resolved.push_str(&placed);
        rest = &inner[end + 1..];
    }
    resolved.push_str(rest);
    Ok(resolved)
}

fn look_up(reference: &str, environment: &Environment) -> Result<String, SecretError> {
    match reference.split_once(':') {
        Some(("env", name)) => environment
            .get(name)
            .map(str::to_owned)
            .ok_or_else(|| SecretError::VariableMissing { name: name.into() }),
        Some(("file", path)) => std::fs::read_to_string(path)
            .map(|text| text.trim_end_matches(['\r', '\n']).to_owned())
            .map_err(|source| SecretError::FileUnreadable { path: path.into(), source }),
        Some((kind, _)) => Err(SecretError::ReferenceUnknown { kind: kind.into() }),
        None => Err(SecretError::ReferenceUnknown { kind: String::new() }),
    }
}

/// libpq takes a backslash as an escape inside and outside of quotes.
fn escape_keyword_value(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for character in value.chars() {
        if character.is_whitespace() || character == '\'' || character == '\\' {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment() -> Environment {
        Environment::new([("PW", "p@ss/w'o rd"), ("URL", "postgres://h/db")], None)
    }

    #[test]
    fn a_secret_prints_as_stars() {
        let secret = Secret::new("hush");
        assert_eq!(format!("{secret} {secret:?}"), "*** ***");
        assert_eq!(secret.expose(), "hush");
    }

    #[test]
    fn a_value_is_encoded_for_its_place() {
        let resolved = |text| resolve_connection(text, &environment()).unwrap();
        assert_eq!(resolved("${env:URL}"), "postgres://h/db");
        assert_eq!(resolved("postgres://u:${env:PW}@h/db"), "postgres://u:p%40ss%2Fw'o%20rd@h/db");
        assert_eq!(resolved("host=h password=${env:PW}"), "host=h password=p@ss/w\\'o\\ rd");
    }

    #[test]
    fn a_file_loses_its_last_line_end() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "hush\n").unwrap();
        let text = format!("${{file:{}}}", file.path().display());
        assert_eq!(resolve(&text, &environment()).unwrap(), "hush");
    }

    #[test]
    fn references_that_lead_nowhere_are_errors() {
        let error = |text| resolve(text, &environment()).unwrap_err();
        assert!(
            matches!(error("${env:NO}"), SecretError::VariableMissing { name } if name == "NO")
        );
        assert!(matches!(error("${env:PW"), SecretError::ReferenceOpen));
        assert!(matches!(error("${vault:x}"), SecretError::ReferenceUnknown { .. }));
        assert!(matches!(error("${file:/no/such}"), SecretError::FileUnreadable { .. }));
    }
}
