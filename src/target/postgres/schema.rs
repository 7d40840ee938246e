//! The schema on the target: an archive becomes entries, and those that come before the rows are
//! created.
//!
//! In: the archive, the client programs, a session. Out: the entries for before and after the
//! rows. It knows nothing of the source. `pg_restore` only turns the archive into SQL; the
//! statements run here, in one transaction, so that a failure names its object and leaves nothing
//! behind, and so that settings that an older server does not know are never sent to it.

use std::collections::HashSet;

use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Transaction};

use crate::connect::program::{ProgramError, Programs};
use crate::connect::{StatementError, attempting};
use crate::model::objects::{Excluded, SchemaArchive};
use crate::model::{Code, Disposition, Fault, Halt};

use super::build::{self, BuildStep};
use super::script::{self, Entry};

/// What can go wrong with the schema.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// `pg_restore` could not read the archive.
    #[error("cannot read the schema's archive")]
    Archive(#[source] ProgramError),
    /// The script is not UTF-8: a database in SQL_ASCII whose names or bodies are something else.
    #[error("the schema holds text that is not UTF-8")]
    Encoding(#[source] std::string::FromUtf8Error),
    /// An entry's head is not as `pg_restore` writes it.
    #[error("cannot read the archive's entry '{head}'")]
    Head {
        /// Its first line.
        head: String,
    },
    /// The list and the script of one archive disagree.
    #[error("the archive lists {listed} entries, its script holds others")]
    Incomplete {
        /// How many are listed.
        listed: usize,
    },
    /// An object could not be created, or a statement around it failed.
    #[error(transparent)]
    Statement(#[from] StatementError),
}

impl Fault for SchemaError {
    fn disposition(&self) -> Disposition {
        match self {
            SchemaError::Archive(error) => error.disposition(),
            SchemaError::Encoding(_) => Halt::with(
                Code::SchemaRestoreFailed,
                "rename what is not UTF-8 on the source, or create the schema on the target by hand",
            ),
            SchemaError::Head { .. } | SchemaError::Incomplete { .. } => Halt::with(
                Code::SchemaRestoreFailed,
                "check that pg_dump and pg_restore are of one version",
            ),
            SchemaError::Statement(error) => restoring(
                error,
                "mend what the server names (a missing role, extension or type) and run the same \
                 command again; nothing was left behind",
            ),
        }
    }
}

/// What follows from a statement of the schema that failed: what its SQLSTATE says, and where that
/// says nothing in particular, that the schema does not fit this server.
pub(super) fn restoring(error: &StatementError, hint: &'static str) -> Disposition {
    match error.disposition() {
        Disposition::Halt(Halt { code: Code::StatementFailed, .. }) => {
            Halt::with(Code::SchemaRestoreFailed, hint)
        }
        other => other,
    }
}

/// Which properties of objects travel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ownership {
    /// Objects keep their owners, who must exist on the target.
    pub owners: bool,
    /// Objects keep their privileges, whose roles must exist on the target.
    pub privileges: bool,
}

/// An archive, taken apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entries {
    /// What comes before the rows: types, functions, tables, views.
    pub before: Vec<Entry>,
    /// What comes after: indexes, constraints, triggers, and the rest.
    pub after: Vec<Entry>,
}

impl Entries {
    /// Takes away what is there only for the sake of migrations, and what cannot be created
    /// without something that the selection leaves out. Returns what the latter was, for the
    /// operator to know.
    pub fn leave_out(&mut self, excluded: &Excluded) -> Vec<String> {
        let mut left_out = Vec::new();
        let mut gone = HashSet::new();
        for entries in [&mut self.before, &mut self.after] {
            entries.retain(|entry| {
                if excluded.own.contains(&(entry.class, entry.oid)) {
                    return false;
                }
                // Comments and privileges have no number of their own, only what they belong to.
                let belongs = entry.class == 0
                    && entry.dependencies.iter().any(|toc_id| gone.contains(toc_id));
                let goes = belongs || excluded.dependents.contains(&(entry.class, entry.oid));
                if goes {
                    gone.insert(entry.toc_id);
                    left_out.push(entry.label());
                }
                !goes
            });
        }
        left_out
    }
}

/// Takes an archive apart.
///
/// # Errors
///
/// The archive or its script cannot be read.
pub async fn entries(
    programs: &Programs,
    archive: &SchemaArchive,
    ownership: Ownership,
) -> Result<Entries, SchemaError> {
    Ok(Entries {
        before: section(programs, archive, ownership, "--section=pre-data").await?,
        after: section(programs, archive, ownership, "--section=post-data").await?,
    })
}

async fn section(
    programs: &Programs,
    archive: &SchemaArchive,
    ownership: Ownership,
    section: &str,
) -> Result<Vec<Entry>, SchemaError> {
    let mut arguments = vec![section, "--no-tablespaces", "--no-subscriptions"];
    if !ownership.owners {
        arguments.push("--no-owner");
    }
    if !ownership.privileges {
        arguments.push("--no-privileges");
    }
    let text = async |more: &[&str]| {
        let arguments = [&arguments, more].concat();
        let output = programs.restore(&archive.bytes, &arguments).await;
        String::from_utf8(output.map_err(SchemaError::Archive)?).map_err(SchemaError::Encoding)
    };
    let list = text(&["--list"]).await?;
    let script = text(&["--verbose", "--file=-"]).await?;
    let entries = script::entries(&script)?;
    compare(&list, &entries)?;
    Ok(entries)
}

/// Every entry of the script is in the list, and every listed one is in the script once.
fn compare(list: &str, entries: &[Entry]) -> Result<(), SchemaError> {
    let listed: Option<Vec<(u32, u32, u32)>> = list
        .lines()
        .filter(|line| !line.starts_with(';') && !line.is_empty())
        .map(|line| {
            let (id, rest) = line.split_once("; ")?;
            let mut numbers = rest.split(' ').map(str::parse);
            let (class, oid) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
            Some((id.parse().ok()?, class, oid))
        })
        .collect();
    let mut listed = listed.unwrap_or_default();
    let mut found: Vec<(u32, u32, u32)> =
        entries.iter().map(|entry| (entry.toc_id, entry.class, entry.oid)).collect();
    listed.sort_unstable();
    found.sort_unstable();
    if listed != found {
        return Err(SchemaError::Incomplete { listed: listed.len() });
    }
    Ok(())
}

/// Creates what comes before the rows, in one transaction, with `ledger` as its last statement.
///
/// Schemas that exist already are taken as they are, but for those that every database has. Returns what was left out since the role
/// may not do it: comments on extensions that somebody else owns. The steps to be `rehearsed` are
/// carried out on the empty tables and undone: what this server does not understand of them is
/// said now, rather than when all rows are copied.
///
/// # Errors
///
/// A statement failed; nothing was changed.
pub async fn create(
    client: &mut Client,
    entries: &[Entry],
    rehearsed: &[BuildStep],
    ledger: &str,
) -> Result<Vec<String>, SchemaError> {
    let transaction =
        client.transaction().await.map_err(attempting("begin creating the schema"))?;
    transaction
        .batch_execute(SETTINGS)
        .await
        .map_err(attempting("set up the session for the schema"))?;
    let schemas = existing_schemas(&transaction).await?;
    let mut left_out = Vec::new();
    for entry in entries {
        let exists = entry.kind == "SCHEMA" && schemas.contains(&entry.name);
        if entry.sql.is_empty() || (exists && entry.sql.contains("CREATE SCHEMA ")) {
            continue;
        }
        let comment = entry.kind == "COMMENT"
            && (entry.name.starts_with("EXTENSION ") || entry.name.starts_with("SCHEMA "));
        if comment || exists {
            let forgiven = [SqlState::INSUFFICIENT_PRIVILEGE];
            if !attempt(&transaction, &entry.label(), &entry.sql, &forgiven).await? {
                left_out.push(entry.label());
            }
        } else {
            let created = transaction.batch_execute(&entry.sql).await;
            created.map_err(creating(&entry.label()))?;
        }
    }
    if !rehearsed.is_empty() {
        rehearse(&transaction, rehearsed).await?;
    }
    transaction
        .batch_execute(ledger)
        .await
        .map_err(attempting("record that the schema was created"))?;
    transaction.commit().await.map_err(attempting("commit the schema"))?;
    Ok(left_out)
}

/// What the head of a `pg_restore` script sets, without what older servers do not know.
pub(super) const SETTINGS: &str = "SET LOCAL statement_timeout = 0;
    SET LOCAL search_path = '';
    SET LOCAL standard_conforming_strings = on;
    SET LOCAL check_function_bodies = off;
    SET LOCAL xmloption = content;
    SET LOCAL row_security = off;
    SET LOCAL client_min_messages = warning;
    SET LOCAL default_tablespace = ''";

fn creating(label: &str) -> impl FnOnce(tokio_postgres::Error) -> StatementError + use<> {
    attempting(format!("create {label} on the target"))
}

async fn rehearse(transaction: &Transaction<'_>, steps: &[BuildStep]) -> Result<(), SchemaError> {
    let around = || attempting("rehearse what follows the rows");
    transaction.batch_execute("SAVEPOINT rehearsal").await.map_err(around())?;
    for step in steps {
        build::carry_out(transaction, step).await?;
    }
    transaction.batch_execute("ROLLBACK TO SAVEPOINT rehearsal").await.map_err(around())?;
    Ok(())
}

async fn existing_schemas(transaction: &Transaction<'_>) -> Result<HashSet<String>, SchemaError> {
    let rows = transaction
        .query("SELECT nspname::text FROM pg_catalog.pg_namespace", &[])
        .await
        .map_err(attempting("list the schemas of the target"))?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// Runs statements that may fail in one of the `forgiven` ways, and then leave nothing behind.
/// Returns whether they did not.
pub(super) async fn attempt(
    transaction: &Transaction<'_>,
    label: &str,
    statements: &str,
    forgiven: &[SqlState],
) -> Result<bool, StatementError> {
    transaction.batch_execute("SAVEPOINT attempt").await.map_err(creating(label))?;
    let end = match transaction.batch_execute(statements).await {
        Ok(()) => "RELEASE SAVEPOINT attempt",
        Err(error) if error.code().is_some_and(|code| forgiven.contains(code)) => {
            "ROLLBACK TO SAVEPOINT attempt"
        }
        Err(error) => return Err(creating(label)(error)),
    };
    transaction.batch_execute(end).await.map_err(creating(label))?;
    Ok(end.starts_with("RELEASE"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(toc_id: u32, class: u32, oid: u32, dependencies: &[u32]) -> Entry {
        Entry {
            toc_id,
            class,
            oid,
            kind: "TABLE".into(),
            schema: Some("public".into()),
            name: format!("t{toc_id}"),
            dependencies: dependencies.to_vec(),
            sql: String::new(),
        }
    }

    #[test]
    fn what_depends_on_something_left_out_goes_with_its_comments() {
        let mut entries = Entries {
            before: vec![entry(1, 1255, 7, &[]), entry(2, 0, 0, &[1]), entry(3, 1259, 8, &[1])],
            after: vec![entry(4, 0, 0, &[3, 1]), entry(5, 0, 0, &[3])],
        };
        entries.after.push(entry(6, 6104, 9, &[]));
        let excluded =
            Excluded { names: Vec::new(), dependents: [(1255, 7)].into(), own: [(6104, 9)].into() };
        let left_out = entries.leave_out(&excluded);
        assert_eq!(left_out, ["TABLE public.t1", "TABLE public.t2", "TABLE public.t4"]);
        assert_eq!((entries.before.len(), entries.after.len()), (1, 1));
    }

    #[test]
    fn the_list_must_agree_with_the_script() {
        let entry = entry(3, 1259, 42, &[]);
        let list = ";\n; Archive\n;\n3; 1259 42 TABLE public t me\n";
        assert!(compare(list, std::slice::from_ref(&entry)).is_ok());
        assert!(compare(list, &[]).is_err());
        assert!(compare(";\n", &[entry]).is_err());
    }
}
