//! What keeps clients from a Postgres source besides the locks and triggers of a fence.
//!
//! In: what the operator wants, by name. Out: statements that take effect with the transaction of
//! the fence, what undoes them, and an end for the sessions that began before. None of it is needed for
//! exactness, which the locks and triggers see to: it has applications refused at once, where they
//! connect, and not only where they write.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use crate::connect::postgres::Client;
use crate::connect::quote::{quote_ident, quote_literal};
use crate::connect::{StatementError, attempting};
use crate::model::report::Finding;
use crate::model::{Code, Failure, Manner};

/// What is kept shut besides.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Lockout {
    /// Sessions of this database only read, unless they say otherwise.
    Database {
        /// Its name.
        name: String,
        /// What the database itself said of that before.
        before: Option<String>,
    },
    /// These roles may not log in.
    Roles(Vec<String>),
}

impl Lockout {
    /// What is wanted. Roles that may not log in anyway are left as they are.
    pub(super) async fn wanted(
        manner: Option<&Manner>,
        client: &Client,
    ) -> Result<Option<Lockout>, Failure> {
        let reading = attempting("read what is to be shut on the source");
        match manner {
            Some(Manner::DatabaseReadOnly) => {
                let sql = include_str!("../../../sql/postgres/lockout_database.sql");
                let row = client.query_one(sql, &[]).await.map_err(reading)?;
                Ok(Some(Lockout::Database { name: row.get("name"), before: row.get("before") }))
            }
            Some(Manner::Roles(roles)) => {
                let sql = include_str!("../../../sql/postgres/lockout_roles.sql");
                let rows = client.query(sql, &[roles]).await.map_err(reading)?;
                let open = rows.iter().filter(|row| row.get("may_log_in"));
                Ok(Some(Lockout::Roles(open.map(|row| row.get("name")).collect())))
            }
            Some(Manner::TableLocks | Manner::MysqlReadOnly) | None => Ok(None),
        }
    }

    /// What stands against it, now.
    pub(super) async fn findings(
        manner: Option<&Manner>,
        client: &Client,
    ) -> Result<Vec<Finding>, Failure> {
        let refused =
            |subject: &str, seen: &str| Finding::block(Code::CutoverRefused, subject, seen);
        let reading = attempting("look at what a fence may shut on the source");
        let mut findings = Vec::new();
        match manner {
            Some(Manner::DatabaseReadOnly) => {
                let sql = include_str!("../../../sql/postgres/lockout_database.sql");
                let row = client.query_one(sql, &[]).await.map_err(reading)?;
                if !row.get::<_, bool>("permitted") {
                    let seen = "the role may not make the database read-only";
                    findings.push(refused("source", seen).with_hint(
                        "make it a member of the role that owns the database, or use --fence \
                         table-locks",
                    ));
                }
            }
            Some(Manner::Roles(roles)) => {
                let sql = include_str!("../../../sql/postgres/lockout_roles.sql");
                for row in client.query(sql, &[roles]).await.map_err(reading)? {
                    let role: String = row.get("name");
                    if row.get("there") && !row.get::<_, bool>("may_log_in") {
                        let seen = "nobody logs in by this role, and its members are not fenced";
                        findings.push(Finding::warn("ROLE_WITHOUT_LOGIN", &role, seen).with_hint(
                            "name the roles by which applications log in, or add --accept-warnings",
                        ));
                        continue;
                    }
                    let seen = match () {
                        () if !row.get::<_, bool>("there") => "there is no such role",
                        () if row.get("own") => "dunlin itself logs in by this role",
                        () if !row.get::<_, bool>("permitted") => "dunlin's role may not alter it",
                        () => continue,
                    };
                    let hint = "name the roles by which applications log in: --fence roles:a,b; \
                                dunlin's role needs CREATEROLE, and from Postgres 16 on ADMIN OPTION \
                                on them";
                    findings.push(refused(&role, seen).with_hint(hint));
                }
            }
            Some(Manner::TableLocks | Manner::MysqlReadOnly) | None => {}
        }
        Ok(findings)
    }

    /// The statements that shut it, in the transaction of the fence.
    pub(super) fn shut(&self) -> String {
        match self {
            Lockout::Database { name, .. } => {
                format!(
                    "ALTER DATABASE {} SET default_transaction_read_only = on",
                    quote_ident(name)
                )
            }
            Lockout::Roles(roles) => alter_roles(roles, "NOLOGIN"),
        }
    }

    /// The statements that open it again, which may be run by a session that only reads.
    pub(super) fn open(&self) -> String {
        match self {
            Lockout::Database { name, before } => {
                let database = quote_ident(name);
                let setting = "default_transaction_read_only";
                match before {
                    Some(value) => {
                        let value = quote_literal(value);
                        format!("ALTER DATABASE {database} SET {setting} = {value}")
                    }
                    None => format!("ALTER DATABASE {database} RESET {setting}"),
                }
            }
            Lockout::Roles(roles) => alter_roles(roles, "LOGIN"),
        }
    }

    /// Ends the sessions that began before it was shut, but for those of `program`. Whoever cannot be
    /// ended is named in the log: their writes are refused all the same.
    pub(super) async fn end_sessions(&self, guard: &Client, program: &str) -> Result<(), Failure> {
        let roles = match self {
            Lockout::Database { .. } => None,
            Lockout::Roles(roles) => Some(roles),
        };
        let sql = include_str!("../../../sql/postgres/lockout_sessions.sql");
        let rows = guard
            .query(sql, &[&program, &roles])
            .await
            .map_err(attempting("look whose sessions are to be ended on the source"))?;
        let mut refused = HashSet::new();
        for row in &rows {
            let (pid, user): (i32, String) = (row.get("pid"), row.get("user"));
            let ended = guard.execute("SELECT pg_catalog.pg_terminate_backend($1)", &[&pid]).await;
            if let Err(error) = ended
                && refused.insert(user.clone())
            {
                let error = StatementError::new("end a session of the source", error);
                tracing::warn!(
                    user,
                    cause = error.code(),
                    "its sessions stay connected, and are refused where they write"
                );
            }
        }
        tracing::info!(sessions = rows.len(), "sessions of the source were asked to end");
        Ok(())
    }
}

fn alter_roles(roles: &[String], attribute: &str) -> String {
    let each: Vec<String> =
        roles.iter().map(|role| format!("ALTER ROLE {} {attribute}", quote_ident(role))).collect();
    each.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_gets_back_what_it_said() {
        let name = "a \"b\"".to_owned();
        let shut = Lockout::Database { name: name.clone(), before: None };
        assert_eq!(
            shut.open(),
            "ALTER DATABASE \"a \"\"b\"\"\" RESET default_transaction_read_only"
        );
        let shut = Lockout::Database { name, before: Some("off".to_owned()) };
        assert!(shut.open().ends_with(" SET default_transaction_read_only = 'off'"));
    }

    #[test]
    fn roles_are_altered_one_by_one() {
        let shut = Lockout::Roles(vec!["app".to_owned(), "b;c".to_owned()]);
        assert_eq!(shut.shut(), "ALTER ROLE \"app\" NOLOGIN; ALTER ROLE \"b;c\" NOLOGIN");
        assert_eq!(shut.open(), "ALTER ROLE \"app\" LOGIN; ALTER ROLE \"b;c\" LOGIN");
    }
}
