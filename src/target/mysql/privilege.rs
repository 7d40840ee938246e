//! What an account may do, from the lines of `SHOW GRANTS`.
//!
//! In: `GRANT SELECT, INSERT ON `app`.* TO …`. Out: whether a privilege is held in a database.
//! Grants on single tables or columns are not counted: they would not be enough for what is still to
//! be made.

/// The grants of an account.
#[derive(Clone, Debug, Default)]
pub(super) struct Grants {
    /// Privileges, and the pattern of databases for which they are held.
    held: Vec<(Vec<String>, String)>,
}

impl Grants {
    /// Reads the lines; others than grants of privileges are passed over.
    pub(super) fn read(lines: &[String]) -> Self {
        let held = lines.iter().filter_map(|line| {
            let (privileges, rest) = line.strip_prefix("GRANT ")?.split_once(" ON ")?;
            let (object, _) = rest.split_once(" TO ")?;
            let database = object.strip_suffix(".*")?;
            let database = database.trim_matches('`').replace("``", "`");
            let database = if database == "*" { "%".to_owned() } else { database };
            let privileges = privileges.split(',').map(|name| name.trim().to_owned());
            Some((privileges.collect(), database))
        });
        Grants { held: held.collect() }
    }

    /// Whether a privilege is held in all of a database.
    pub(super) fn allow(&self, privilege: &str, database: &str) -> bool {
        self.held.iter().any(|(privileges, pattern)| {
            let named = |held: &String| held == privilege || held == "ALL PRIVILEGES";
            privileges.iter().any(named) && is_like(database, pattern)
        })
    }
}

/// Whether a name fits a pattern of LIKE, as which the server takes a grant's database.
fn is_like(name: &str, pattern: &str) -> bool {
    let mut rest = pattern.chars();
    match rest.next() {
        None => name.is_empty(),
        Some('%') => {
            let mut ends = name.char_indices().map(|(at, _)| at).chain([name.len()]);
            ends.any(|at| is_like(&name[at..], rest.as_str()))
        }
        Some(wanted) => {
            let (wanted, escaped) = match wanted {
                '\\' => (rest.next().unwrap_or('\\'), true),
                wanted => (wanted, false),
            };
            let mut name = name.chars();
            let Some(found) = name.next() else { return false };
            (found == wanted || (wanted == '_' && !escaped))
                && is_like(name.as_str(), rest.as_str())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants_hold_where_they_say() {
        let lines = [
            "GRANT USAGE ON *.* TO `me`@`%`",
            "GRANT BACKUP_ADMIN,SET_ANY_DEFINER ON *.* TO `me`@`%`",
            "GRANT SELECT, CREATE VIEW ON `app\\_one`.* TO `me`@`%`",
            "GRANT ALL PRIVILEGES ON `dunlin%`.* TO `me`@`%`",
            "GRANT DELETE ON `app_one`.`t` TO `me`@`%`",
        ];
        let grants = Grants::read(&lines.map(str::to_owned));
        assert!(grants.allow("CREATE VIEW", "app_one"));
        assert!(!grants.allow("SELECT", "appxone"));
        assert!(!grants.allow("DELETE", "app_one"));
        assert!(grants.allow("DELETE", "dunlin"));
        assert!(grants.allow("SET_ANY_DEFINER", "") && !grants.allow("CREATE VIEW", ""));
    }

    #[test]
    fn a_global_grant_holds_everywhere() {
        let grants =
            Grants::read(&["GRANT SELECT, INSERT ON *.* TO `root`@`localhost`".to_owned()]);
        assert!(grants.allow("INSERT", "any") && !grants.allow("DROP", "any"));
    }
}
