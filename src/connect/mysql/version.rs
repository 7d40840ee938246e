//! What a server is: MySQL or MariaDB, and which version.
//!
//! In: the text by which a server greets. Out: a [`ServerVersion`], or nothing where the text is no
//! version. What a version can do is not known here.

use std::fmt;

/// Which of the two families a server belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Flavour {
    /// MySQL, and what is built from its sources.
    MySql,
    /// MariaDB.
    MariaDb,
}

impl fmt::Display for Flavour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Flavour::MySql => "MySQL",
            Flavour::MariaDb => "MariaDB",
        })
    }
}

/// A server's family and version.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ServerVersion {
    /// The family.
    pub flavour: Flavour,
    /// The version in one number: 80036 for 8.0.36, 101106 for 10.11.6.
    pub number: u32,
}

impl ServerVersion {
    /// Reads `@@version`, or the text of a greeting. MariaDB before 11 greets with `5.5.5-` before
    /// its own version, so that old replicas take it for a master they know (MariaDB manual,
    /// "Connection", initial handshake packet).
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let flavour = match text.contains("MariaDB") {
            true => Flavour::MariaDb,
            false => Flavour::MySql,
        };
        let text = match flavour {
            Flavour::MariaDb => text.strip_prefix("5.5.5-").unwrap_or(text),
            Flavour::MySql => text,
        };
        let end = text
            .find(|character: char| !character.is_ascii_digit() && character != '.')
            .unwrap_or(text.len());
        let mut parts = text[..end].split('.');
        let major: u32 = parts.next()?.parse().ok()?;
        let minor: u32 = parts.next()?.parse().ok()?;
        let patch: u32 = parts.next().and_then(|part| part.parse().ok()).unwrap_or(0);
        let fits = major < 1000 && minor < 100 && patch < 100;
        fits.then_some(ServerVersion { flavour, number: major * 10_000 + minor * 100 + patch })
    }

    /// Whether it is MariaDB.
    #[must_use]
    pub fn is_mariadb(&self) -> bool {
        self.flavour == Flavour::MariaDb
    }
}

impl fmt::Display for ServerVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (major, minor) = (self.number / 10_000, self.number / 100 % 100);
        write!(f, "{} {major}.{minor}.{}", self.flavour, self.number % 100)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<(Flavour, u32)> {
        ServerVersion::parse(text).map(|version| (version.flavour, version.number))
    }

    #[test]
    fn greetings_are_read() {
        assert_eq!(read("8.0.36"), Some((Flavour::MySql, 80036)));
        assert_eq!(read("9.7.4-log"), Some((Flavour::MySql, 90704)));
        assert_eq!(read("8.0.mysql_aurora.3.04.0"), Some((Flavour::MySql, 80000)));
        assert_eq!(read("5.5.5-10.11.6-MariaDB-log"), Some((Flavour::MariaDb, 101_106)));
        assert_eq!(read("11.8.6-MariaDB-2"), Some((Flavour::MariaDb, 110_806)));
        assert_eq!(read("eight"), None);
        assert_eq!(read("99999999999.1.1"), None);
    }

    #[test]
    fn it_is_told_as_operators_write_it() {
        let version = ServerVersion::parse("5.5.5-10.11.6-MariaDB-log").unwrap();
        assert_eq!(version.to_string(), "MariaDB 10.11.6");
    }
}
