//! What an account may do, read from `SHOW GRANTS`.
//!
//! In: its lines, those of active roles included. Out: yes or no for a privilege that concerns the
//! whole server or a database. Privileges on a single table or column are not read here: whether a
//! table can be read is found by reading it, and what is still to be made has none.

use std::collections::HashSet;

use super::Flavour;
use super::quote::quote_account;

/// An account's privileges.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Privileges {
    global: HashSet<String>,
    /// By the pattern of a database's name.
    databases: Vec<(String, HashSet<String>)>,
}

/// Privileges that ALL PRIVILEGES on a level stand for.
const ALL: &str = "ALL PRIVILEGES";

/// The statement that shows what our account may do; `roles` as `CURRENT_ROLE()` has them.
#[must_use]
pub fn show_grants(flavour: Flavour, roles: Option<&str>) -> String {
    match (flavour, roles) {
        // MariaDB shows what the active role may do by itself.
        (Flavour::MariaDb, _) | (Flavour::MySql, None | Some("" | "NONE")) => {
            "SHOW GRANTS".to_owned()
        }
        (Flavour::MySql, Some(roles)) => {
            format!("SHOW GRANTS FOR CURRENT_USER() USING {roles}")
        }
    }
}

/// The statement that grants a privilege to an account, `user@host` as `CURRENT_USER()` has it.
#[must_use]
pub fn grant(privilege: &str, level: &str, account: &str) -> String {
    format!("GRANT {privilege} ON {level} TO {}", quote_account(account))
}

impl Privileges {
    /// Reads the lines; others than grants of privileges are passed over.
    #[must_use]
    pub fn of(lines: impl Iterator<Item = String>) -> Self {
        let mut privileges = Privileges::default();
        for line in lines {
            privileges.add(&line);
        }
        privileges
    }

    /// `GRANT SELECT, RELOAD ON *.* TO ...`, or the same ON `name`.*
    fn add(&mut self, line: &str) {
        let Some(rest) = line.strip_prefix("GRANT ") else { return };
        let Some((names, rest)) = rest.split_once(" ON ") else { return };
        let Some((level, _)) = rest.split_once(" TO ") else { return };
        let names = names.split(',').map(|name| name.trim().to_ascii_uppercase());
        if level == "*.*" {
            self.global.extend(names);
        } else if let Some(database) = level.strip_suffix(".*") {
            let bare = database.trim_matches('`').replace("``", "`");
            self.databases.push((bare, names.collect()));
        }
    }

    /// Whether the account has one of these on the whole server.
    #[must_use]
    pub fn any(&self, names: &[&str]) -> bool {
        self.global.contains(ALL) || names.iter().any(|name| self.global.contains(*name))
    }

    /// Whether it has this one on a database.
    #[must_use]
    pub fn on_database(&self, name: &str, database: &str) -> bool {
        let granted =
            |privileges: &HashSet<String>| privileges.contains(name) || privileges.contains(ALL);
        self.any(&[name])
            || self
                .databases
                .iter()
                .any(|(pattern, privileges)| granted(privileges) && is_meant(pattern, database))
    }
}

/// Whether a database is meant by a pattern of GRANT: `%` and `_` as in LIKE, a backslash before either.
#[must_use]
pub fn is_meant(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), name.chars().collect());
    fits(&pattern, &name)
}

fn fits(pattern: &[char], name: &[char]) -> bool {
    match pattern {
        [] => name.is_empty(),
        ['%', rest @ ..] => (0..=name.len()).any(|skipped| fits(rest, &name[skipped..])),
        ['\\', escaped, rest @ ..] => {
            name.split_first().is_some_and(|(first, name)| first == escaped && fits(rest, name))
        }
        [one, rest @ ..] => name
            .split_first()
            .is_some_and(|(first, name)| (*one == '_' || first == one) && fits(rest, name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn privileges(lines: &[&str]) -> Privileges {
        Privileges::of(lines.iter().map(|line| (*line).to_owned()))
    }

    #[test]
    fn grants_are_read_by_their_level() {
        let held = privileges(&[
            "GRANT SELECT, RELOAD, REPLICATION SLAVE ON *.* TO `u`@`%`",
            "GRANT BACKUP_ADMIN,FLUSH_TABLES ON *.* TO `u`@`%`",
            "GRANT TRIGGER, EVENT ON `shop\\_1`.* TO `u`@`%`",
            "GRANT ALL PRIVILEGES ON `test%`.* TO `u`@`%` WITH GRANT OPTION",
            "GRANT UPDATE ON `shop`.`t` TO `u`@`%`",
            "GRANT `role`@`%` TO `u`@`%`",
        ]);
        assert!(held.any(&["FLUSH_TABLES", "RELOAD"]) && held.any(&["REPLICATION SLAVE"]));
        assert!(!held.any(&["REPLICATION CLIENT"]) && !held.any(&["UPDATE"]));
        assert!(held.on_database("TRIGGER", "shop_1") && !held.on_database("TRIGGER", "shopx1"));
        assert!(held.on_database("EVENT", "test_2") && held.on_database("SELECT", "anything"));
        assert!(privileges(&["GRANT ALL PRIVILEGES ON *.* TO `root`@`localhost`"]).any(&["X"]));
    }
}
