//! The password file, `~/.pgpass` by default.
//!
//! In: its path and what one is about to connect to. Out: the first password that matches. Like
//! libpq, it ignores a file that others may read, with a warning. Source: the Postgres manual,
//! "The Password File".

use crate::config::secret::Secret;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tracing::warn;

/// A password file that was read once.
pub(super) struct PassFile {
    lines: Vec<String>,
}

/// What a password is wanted for.
pub(super) struct Wanted<'a> {
    pub(super) host: &'a str,
    pub(super) port: u16,
    pub(super) database: &'a str,
    pub(super) user: &'a str,
}

impl PassFile {
    /// Reads the file, where there is one that may be used.
    pub(super) fn read(path: Option<PathBuf>) -> Self {
        let lines = path
            .filter(|path| usable(path))
            .and_then(|path| std::fs::read_to_string(path).ok())
            .map(|text| text.lines().map(str::to_owned).collect())
            .unwrap_or_default();
        PassFile { lines }
    }

    /// The first line that matches decides.
    pub(super) fn find(&self, wanted: &Wanted<'_>) -> Option<Secret> {
        let port = wanted.port.to_string();
        let fields = [wanted.host, &port, wanted.database, wanted.user];
        self.lines
            .iter()
            .filter(|line| !line.starts_with('#'))
            .find_map(|line| match_line(line, fields))
    }
}

fn usable(path: &Path) -> bool {
    let Ok(metadata) = std::fs::metadata(path) else {
        return false;
    };
    if !metadata.is_file() {
        warn!(path = %path.display(), "password file is not a plain file, ignored");
        return false;
    }
    if metadata.permissions().mode() & 0o077 != 0 {
        warn!(
            path = %path.display(),
            "password file may be read by group or others, ignored; run chmod 0600 on it"
        );
        return false;
    }
    true
}

fn match_line(line: &str, fields: [&str; 4]) -> Option<Secret> {
    let mut rest = line;
    for wanted in fields {
        let (matched, after) = match rest.strip_prefix("*:") {
            Some(after) => (true, after),
            None => {
                let (field, after) = take_field(rest);
                (field == wanted, after?)
            }
        };
        if !matched {
            return None;
        }
        rest = after;
    }
    Some(Secret::new(take_field(rest).0))
}

/// A field up to the next colon that no backslash precedes, and what follows that colon.
fn take_field(text: &str) -> (String, Option<&str>) {
    let mut field = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => field.push(characters.next().map_or('\\', |(_, escaped)| escaped)),
            ':' => return (field, Some(&text[at + 1..])),
            character => field.push(character),
        }
    }
    (field, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(text: &str, host: &str, user: &str) -> Option<String> {
        let file = PassFile { lines: text.lines().map(str::to_owned).collect() };
        let wanted = Wanted { host, port: 5432, database: "db", user };
        file.find(&wanted).map(|secret| secret.expose().to_owned())
    }

    #[test]
    fn the_first_match_decides() {
        let text = "# h:5432:db:u:comment\nh:5433:db:u:port\nh:*:db:u:one\n*:*:*:*:any";
        assert_eq!(find(text, "h", "u").as_deref(), Some("one"));
        assert_eq!(find(text, "other", "u").as_deref(), Some("any"));
        assert_eq!(find("h:5432:db:u", "h", "u"), None);
        assert_eq!(find("h:5432:db:x:no", "h", "u"), None);
    }

    #[test]
    fn colons_and_backslashes_are_escaped() {
        let text = r"\:\:1:5432:db:a\\b:p\:w\\";
        assert_eq!(find(text, "::1", r"a\b").as_deref(), Some(r"p:w\"));
    }

    #[test]
    fn a_file_that_others_may_read_is_ignored() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "*:*:*:*:pw\n").unwrap();
        let lines = |mode| {
            std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(mode)).unwrap();
            PassFile::read(Some(file.path().to_owned())).lines.len()
        };
        assert_eq!(lines(0o600), 1);
        assert_eq!(lines(0o640), 0);
        assert_eq!(lines(0o604), 0);
    }
}
