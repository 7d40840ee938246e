//! What a sealed fence leaves on a Postgres source: a function that refuses writes, the triggers that
//! call it, and what else is shut.
//!
//! In: a migration's name. Out: the statements that make it, suspend it, and take it off. It runs
//! none of them.

use serde::{Deserialize, Serialize};

use super::fence::backend::Backend;
use super::lockout::Lockout;
use crate::connect::postgres::writers;
use crate::connect::quote::{quote_ident, quote_literal};
use crate::model::cutover::opposite;

/// The schema of the functions that refuse writes.
pub(super) const SCHEMA: &str = "dunlin_fence";

/// Has a session write, whatever the database says.
pub(super) const READ_WRITE: &str = "SET default_transaction_read_only = off";

/// What refuses writes once a fence is sealed.
#[derive(Clone, Debug)]
pub(super) struct Seal {
    pub(super) function: String,
    pub(super) trigger: String,
    pub(super) migration: String,
}

impl Seal {
    pub(super) fn of(migration: &str) -> Self {
        Seal {
            function: format!("{SCHEMA}.{}", quote_ident(&format!("refuse_{migration}"))),
            trigger: format!("dunlin_fence_{migration}"),
            migration: migration.to_owned(),
        }
    }

    pub(super) fn create_function(&self, body: &str) -> String {
        format!(
            "CREATE OR REPLACE FUNCTION {}() RETURNS trigger LANGUAGE plpgsql AS {}",
            self.function,
            quote_literal(&format!("BEGIN {body}; END"))
        )
    }

    /// SQLSTATE 25006 is what a standby answers, so that applications take it for a failover.
    ///
    /// The way back's own writers are let through.
    pub(super) fn refuse(&self) -> String {
        let said = format!(
            "this database takes no writes any more: dunlin moved it to another \
                            server (migration {})",
            self.migration
        );
        let hint = "connect to the new server";
        self.create_function(&format!(
            "IF pg_catalog.current_setting('application_name') = {} THEN RETURN NULL; END IF; \
             RAISE EXCEPTION USING MESSAGE = {}, HINT = {}, ERRCODE = 'read_only_sql_transaction'",
            quote_literal(&writers(&opposite(&self.migration))),
            quote_literal(&said),
            quote_literal(hint)
        ))
    }

    /// The function does nothing.
    pub(super) fn admit(&self) -> String {
        self.create_function("RETURN NULL")
    }

    /// Puts the trigger of a relation in force, whatever is there under its name.
    pub(super) fn arm(&self, relation: &str, found: Trigger) -> String {
        let trigger = quote_ident(&self.trigger);
        let create = format!(
            "CREATE TRIGGER {trigger} BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON {relation} \
             FOR EACH STATEMENT EXECUTE FUNCTION {}()",
            self.function
        );
        let enable = format!("ALTER TABLE {relation} ENABLE ALWAYS TRIGGER {trigger}");
        match found {
            Trigger::None => format!("{create}; {enable}"),
            Trigger::Refuses => enable,
            Trigger::Other => format!("{}; {create}; {enable}", self.drop_trigger(relation)),
        }
    }

    pub(super) fn drop_trigger(&self, relation: &str) -> String {
        format!("DROP TRIGGER IF EXISTS {} ON {relation}", quote_ident(&self.trigger))
    }

    /// The triggers go with it.
    pub(super) fn drop(&self) -> String {
        format!("DROP FUNCTION IF EXISTS {}() CASCADE", self.function)
    }
}

/// What stands on a relation under the name of a seal's trigger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trigger {
    /// Nothing.
    None,
    /// What an earlier seal left. It may be disabled, or not be in force for everybody.
    Refuses,
    /// Something else.
    Other,
}

/// What a sealed fence leaves on the source.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Sealed {
    pub(super) migration: String,
    pub(super) lockout: Option<Lockout>,
    /// The session that seals it: while it is there, that may still happen.
    #[serde(default)]
    pub(super) session: Option<Backend>,
}

impl Sealed {
    pub(super) fn seal(&self) -> Seal {
        Seal::of(&self.migration)
    }

    /// Lets writers in at once; logins also where nothing refuses writes any more.
    pub(super) fn admit(&self, refuses: bool) -> String {
        let admit = if refuses { self.seal().admit() } else { String::new() };
        joined([admit], self.lockout.as_ref().map(Lockout::open))
    }

    /// Keeps them out again.
    pub(super) fn refuse(&self) -> String {
        joined([self.seal().refuse()], self.lockout.as_ref().map(Lockout::shut))
    }

    /// Lets writers in, and leaves nothing.
    pub(super) fn lift(&self) -> String {
        let read_write = match self.lockout {
            Some(Lockout::Database { .. }) => READ_WRITE.to_owned(),
            Some(Lockout::Roles(_)) | None => String::new(),
        };
        joined([read_write, self.seal().drop()], self.lockout.as_ref().map(Lockout::open))
    }
}

/// Statements to be run as one.
fn joined<const N: usize>(statements: [String; N], more: Option<String>) -> String {
    let mut all = Vec::from(statements);
    all.extend(more);
    all.retain(|statement| !statement.is_empty());
    all.join("; ")
}
