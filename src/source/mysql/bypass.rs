//! What may still write to a MySQL or MariaDB server that is read-only, and what dunlin lacks to
//! keep it from writing.
//!
//! In: the session that looks things up. Out: findings, by account, event and privilege. `read_only`
//! lets through accounts with READ ONLY ADMIN (MariaDB; before 10.11 also SUPER), or with CONNECTION_ADMIN or
//! SUPER (MySQL), and the events that run as such an account (manual, "read_only"). MySQL's
//! `super_read_only` lets nobody through. It changes nothing.

use super::control::{Control, TextRow};
use super::fence::refused;
use crate::connect::mysql::Flavour;
use crate::connect::mysql::privileges::grant;
use crate::connect::mysql::quote::quote_literal;
use crate::model::Failure;
use crate::model::report::Finding;

/// From this version of MariaDB on SUPER is not READ ONLY ADMIN (MDEV-29668).
const SUPER_IS_LESS_SINCE: u32 = 101_100;

/// How accounts begin that the server itself has, and nobody logs in by.
const INTERNAL: [&str; 2] = ["'mysql.", "'mariadb.sys'"];

/// Who administrates, and does not write for an application.
const ADMINISTRATORS: [&str; 2] = ["'root'@", "'mysql'@'localhost'"];

/// Who writes to a server of ours that is read-only.
pub(super) struct Bypass<'a> {
    control: &'a Control,
    /// Our own account, as `CURRENT_USER()` has it.
    account: &'a str,
}

impl<'a> Bypass<'a> {
    pub(super) fn new(control: &'a Control, account: &'a str) -> Self {
        Bypass { control, account }
    }

    /// What writes past the seal of a fence: of a MySQL server only once it is open for the way back.
    pub(super) async fn findings(&self, way_back: bool) -> Result<Vec<Finding>, Failure> {
        let flavour = self.control.version().flavour;
        let mut findings = self.of_sessions().await?;
        if flavour == Flavour::MySql && !way_back {
            return Ok(findings);
        }
        let accounts = self.accounts().await?;
        findings.extend(of_accounts(accounts.as_deref(), flavour));
        if flavour == Flavour::MariaDb {
            findings.extend(self.of_events(accounts.as_deref()).await?);
            let seen = "a restart of the server lets writers in again";
            let hint = "once it is cut over, put read_only = 1 into its configuration ([mysqld])";
            findings.push(Finding::info("OPENED_BY_RESTART", "source", seen).with_hint(hint));
        }
        Ok(findings)
    }

    /// Whether sessions of others are seen and can be ended.
    async fn of_sessions(&self) -> Result<Vec<Finding>, Failure> {
        let ending: &[&str] = match self.control.version().flavour {
            Flavour::MySql => &["CONNECTION_ADMIN", "SUPER"],
            Flavour::MariaDb => &["CONNECTION ADMIN", "SUPER"],
        };
        let held = self.control.privileges().await?;
        let mut findings = Vec::new();
        if !held.any(&["PROCESS"]) {
            let seen = "the account lacks PROCESS: it does not see the transactions of others, and an XA \
                        transaction that is open could be prepared on the sealed source, and on MySQL committed";
            let hint = "or make sure that no application uses XA, and add --accept-warnings";
            findings.push(
                Finding::warn("TRANSACTIONS_UNSEEN", "source", seen)
                    .with_fix(grant("PROCESS", "*.*", self.account))
                    .with_hint(hint),
            );
        }
        if !held.any(ending) {
            let seen = format!(
                "the account lacks {}: where a session of another account keeps the lock from being \
                 had, or has changed rows and not committed them, the cutover is undone",
                ending[0]
            );
            findings.push(Finding::info("SESSIONS_OF_OTHERS", "source", seen).with_fix(grant(
                ending[0],
                "*.*",
                self.account,
            )));
        }
        Ok(findings)
    }

    /// Accounts but ours that may write to a server that is read-only; None where ours may not see.
    async fn accounts(&self) -> Result<Option<Vec<String>>, Failure> {
        if !self.control.privileges().await?.on_database("SELECT", "mysql") {
            return Ok(None);
        }
        let version = self.control.version();
        let passing: &[&str] = match version.flavour {
            Flavour::MySql => &["CONNECTION_ADMIN", "SUPER"],
            Flavour::MariaDb if version.number >= SUPER_IS_LESS_SINCE => {
                &["READ ONLY ADMIN", "READ_ONLY ADMIN"]
            }
            Flavour::MariaDb => &["READ ONLY ADMIN", "READ_ONLY ADMIN", "SUPER"],
        };
        let passing: Vec<String> = passing.iter().map(|name| quote_literal(name)).collect();
        let text = format!(
            "SELECT DISTINCT GRANTEE FROM information_schema.USER_PRIVILEGES \
             WHERE PRIVILEGE_TYPE IN ({}) ORDER BY GRANTEE",
            passing.join(", ")
        );
        let rows =
            self.control.rows(&text, "look which accounts write to a server that is read-only");
        let own = quoted(self.account);
        let internal = |account: &String| INTERNAL.iter().any(|name| account.starts_with(name));
        let mut accounts: Vec<String> = rows.await?.iter().map(|row| row.text(0)).collect();
        accounts.retain(|account| *account != own && !internal(account));
        Ok(Some(accounts))
    }

    /// Enabled events of MariaDB that run as such an account.
    async fn of_events(&self, accounts: Option<&[String]>) -> Result<Vec<Finding>, Failure> {
        let text = "SELECT EVENT_SCHEMA, EVENT_NAME, DEFINER FROM information_schema.EVENTS \
                    WHERE STATUS = 'ENABLED' AND @@GLOBAL.event_scheduler = 'ON'";
        let rows = self.control.rows(text, "read the enabled events of the source").await?;
        let own = quoted(self.account);
        let passes = |row: &&TextRow| {
            let definer = quoted(&row.text(2));
            definer == own || accounts.is_none_or(|accounts| accounts.contains(&definer))
        };
        let finding = |row: TextRow| {
            let (event, definer) = (format!("{}.{}", row.text(0), row.text(1)), row.text(2));
            let found = match accounts {
                Some(_) => refused(format!(
                    "event {event} runs as {definer}, which may write to a server that is read-only"
                )),
                None => {
                    let seen = format!(
                        "event {event} runs as {definer}, which perhaps may write to a server that is \
                         read-only"
                    );
                    Finding::warn("EVENT_WRITES", "source", seen)
                }
            };
            found.with_fix("SET GLOBAL event_scheduler = OFF").with_hint(
                "switch it on again where the cutover is undone, and after `dunlin cutover --back`",
            )
        };
        Ok(rows.iter().filter(passes).cloned().map(finding).collect())
    }
}

/// Accounts by which applications write all the same.
fn of_accounts(accounts: Option<&[String]>, flavour: Flavour) -> Option<Finding> {
    let (privilege, when) = match flavour {
        Flavour::MySql => ("CONNECTION_ADMIN or SUPER", "from `dunlin reverse` on"),
        Flavour::MariaDb => ("READ ONLY ADMIN or SUPER", "after the cutover"),
    };
    let Some(accounts) = accounts else {
        let seen = format!(
            "the account may not see which others have {privilege}, and write to the source {when} \
             all the same"
        );
        let hint = "make sure that no application has it, or GRANT SELECT ON mysql.* to dunlin";
        return Some(Finding::info("ACCOUNTS_UNSEEN", "source", seen).with_hint(hint));
    };
    let administrates = |account: &&String| {
        ADMINISTRATORS.iter().any(|administrator| account.starts_with(administrator))
    };
    let others: Vec<&str> =
        accounts.iter().filter(|account| !administrates(account)).map(String::as_str).collect();
    if others.is_empty() {
        return None;
    }
    let seen =
        format!("{} may write to the source {when} all the same: {privilege}", others.join(", "));
    Some(Finding::warn("WRITES_ALL_THE_SAME", "source", seen).with_hint(
        "revoke that from accounts by which applications write, or add --accept-warnings",
    ))
}

/// An account as `information_schema` has it.
fn quoted(account: &str) -> String {
    let (user, host) = account.rsplit_once('@').unwrap_or((account, ""));
    format!("'{user}'@'{host}'")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accounts(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| quoted(name)).collect()
    }

    #[test]
    fn administrators_are_not_taken_for_applications() {
        let found = accounts(&["root@%", "mysql@localhost"]);
        assert_eq!(of_accounts(Some(&found), Flavour::MariaDb), None);
        let found = accounts(&["root@%", "shop@10.%"]);
        let told = of_accounts(Some(&found), Flavour::MySql).unwrap();
        assert!(told.evidence.starts_with("'shop'@'10.%' may write"), "{}", told.evidence);
        assert_eq!(of_accounts(None, Flavour::MySql).unwrap().id, "ACCOUNTS_UNSEEN");
    }
}
