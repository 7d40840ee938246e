//! Accounts and roles of the source that may use what is copied. They stay behind.
//!
//! In: the session that looks things up, and the tables that are copied. Out: a finding that names them,
//! for the operator to carry over, or says what our account may not see. What they may do is not
//! judged, and passwords are not read.

use std::collections::BTreeSet;
use std::fmt;

use super::control::{Control, TextRow};
use crate::connect::mysql::Flavour;
use crate::connect::mysql::privileges::{grant, is_meant};
use crate::connect::mysql::quote::{quote_account, quote_ident};
use crate::model::report::Finding;
use crate::model::{Failure, Table};

/// Accounts that a server makes for itself.
const SYSTEM: [(&str, &str); 5] = [
    ("mysql.sys", "localhost"),
    ("mysql.session", "localhost"),
    ("mysql.infoschema", "localhost"),
    ("mariadb.sys", "localhost"),
    ("mysql", "localhost"),
];

/// What to do about them.
const CARRY: &str = "carry over those that are needed, roles first (CREATE ROLE): SHOW CREATE USER and SHOW \
                     GRANTS FOR each of them print on the source what is to be run on the target";

/// An account or a role.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Holder {
    user: String,
    /// None of a role of MariaDB.
    host: Option<String>,
}

impl Holder {
    fn new(user: String, host: String) -> Self {
        Holder { user, host: Some(host).filter(|host| !host.is_empty()) }
    }

    fn is_system(&self) -> bool {
        SYSTEM.iter().any(|(user, host)| self.user == *user && self.host.as_deref() == Some(*host))
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&match &self.host {
            Some(host) => quote_account(&format!("{}@{host}", self.user)),
            None => quote_ident(&self.user),
        })
    }
}

/// That one has a role.
#[derive(Clone, Debug)]
struct Granted {
    to: Holder,
    role: Holder,
}

/// Names those that hold privileges on the databases of these tables, or on the whole server;
/// `account` is ours.
pub(super) async fn finding(
    control: &Control,
    tables: &[Table],
    account: &str,
) -> Result<Finding, Failure> {
    let (listing, granting) = match control.version().flavour {
        Flavour::MySql => (
            include_str!("../../../sql/mysql/source_accounts_mysql.sql"),
            "SELECT TO_USER, TO_HOST, FROM_USER, FROM_HOST FROM mysql.role_edges",
        ),
        Flavour::MariaDb => (
            include_str!("../../../sql/mysql/source_accounts_mariadb.sql"),
            "SELECT User, Host, Role, '' FROM mysql.roles_mapping",
        ),
    };
    let fix = || grant("SELECT", "mysql.*", account);
    let Some(rows) = control.permitted(listing, "list the source's accounts").await? else {
        let seen =
            "accounts and privileges are not copied, and the account may not see which there are";
        return Ok(Finding::info("ACCOUNTS_STAY", "source", seen).with_fix(fix()).with_hint(CARRY));
    };
    let granted = control.permitted(granting, "list the source's roles").await?;
    let unseen = granted.is_none();
    let granted: Vec<Granted> = granted.iter().flatten().map(granted_role).collect();
    let databases: BTreeSet<&str> = tables.iter().map(|table| &*table.name.schema).collect();
    let seen = told(&holders(&rows, &granted, &databases), &granted);
    Ok(match unseen {
        false => Finding::info("ACCOUNTS_STAY", "source", seen),
        true => {
            let seen = format!("{seen}; which roles they have the account may not see");
            Finding::info("ACCOUNTS_STAY", "source", seen).with_fix(fix())
        }
    }
    .with_hint(CARRY))
}

fn granted_role(row: &TextRow) -> Granted {
    Granted {
        to: Holder::new(row.text(0), row.text(1)),
        role: Holder::new(row.text(2), row.text(3)),
    }
}

/// Those that hold anything of it, themselves or by a role.
fn holders(rows: &[TextRow], granted: &[Granted], databases: &BTreeSet<&str>) -> BTreeSet<Holder> {
    let (mut there, mut holding) = (BTreeSet::new(), BTreeSet::new());
    for row in rows {
        let (holder, on) = (Holder::new(row.text(1), row.text(2)), row.text(3));
        let holds = match row.text(0).as_str() {
            "account" => {
                there.insert(holder);
                continue;
            }
            "pattern" => databases.iter().any(|database| is_meant(&on, database)),
            "database" => databases.contains(&*on),
            _ => true,
        };
        if holds {
            holding.insert(holder);
        }
    }
    loop {
        let by_role = |one: &&Granted| holding.contains(&one.role) && !holding.contains(&one.to);
        let more: Vec<Holder> = granted.iter().filter(by_role).map(|one| one.to.clone()).collect();
        if more.is_empty() {
            break;
        }
        holding.extend(more);
    }
    holding.retain(|holder| there.contains(holder) && !holder.is_system());
    holding
}

fn told(holders: &BTreeSet<Holder>, granted: &[Granted]) -> String {
    let is_role = |holder: &&Holder| {
        holder.host.is_none() || granted.iter().any(|granted| granted.role == **holder)
    };
    let (roles, accounts): (Vec<&Holder>, Vec<&Holder>) = holders.iter().partition(is_role);
    let listed = |holders: Vec<&Holder>| match holders.is_empty() {
        true => "none".to_owned(),
        false => holders.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    };
    format!(
        "accounts, roles and privileges are not copied; with privileges on what is copied, or on the \
         whole server, there are the accounts {}; roles: {}",
        listed(accounts),
        listed(roles)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(fields: [&str; 4]) -> TextRow {
        TextRow::of(fields.iter().map(|text| Some((*text).to_owned())).collect())
    }

    #[test]
    fn those_that_hold_anything_of_it_are_told() {
        let rows = [
            row(["account", "shop", "10.%", ""]),
            row(["account", "clerk", "%", ""]),
            row(["account", "other", "%", ""]),
            row(["account", "mysql.sys", "localhost", ""]),
            row(["account", "readers", "", ""]),
            row(["account", "all", "", ""]),
            row(["pattern", "shop", "10.%", "a\\_p%"]),
            row(["pattern", "other", "%", "axp"]),
            row(["pattern", "gone", "%", "a_p"]),
            row(["database", "readers", "", "a_p"]),
            row(["server", "mysql.sys", "localhost", ""]),
        ];
        let granted = [
            granted_role(&row(["clerk", "%", "all", ""])),
            granted_role(&row(["all", "", "readers", ""])),
        ];
        let found = holders(&rows, &granted, &BTreeSet::from(["a_p"]));
        let told = told(&found, &granted);
        assert!(
            told.ends_with("accounts `clerk`@`%`, `shop`@`10.%`; roles: `all`, `readers`"),
            "{told}"
        );
    }
}
