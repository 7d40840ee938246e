//! Whom the global read lock of a fence waits for.
//!
//! In: a session that looks, while another one waits for the lock. Out: the sessions that have to end for
//! it to be had, and nobody else. `FLUSH TABLES WITH READ LOCK` waits, one after the other, for statements that
//! change something, also while these wait for another session's lock, and for LOCK TABLES; on MySQL
//! for every table that is in use, also by one who only reads, or that HANDLER has open; for commits under way (sql/lock.cc,
//! "Handling of global read locks"; sql_base.cc, `close_cached_tables`). It does not wait for transactions
//! that are open and at rest: their commits wait for the lock. MySQL tells in its Performance Schema
//! who holds any of it. Where our account may not look there, or it is off, and on MariaDB, a session
//! counts that is at a statement which can be meant by what the lock waits for at that moment. Who
//! locked tables (LOCK TABLES) and rests does not show then. It ends nobody.

use std::collections::HashSet;

use super::control::{Control, TextRow};
use crate::connect::mysql::Flavour;
use crate::model::Failure;

/// What sessions are at that are not at a statement, or are not to be ended.
const RESTING: [&str; 6] =
    ["Sleep", "Daemon", "Binlog Dump", "Binlog Dump GTID", "Connect", "Killed"];

/// What replicates, or belongs to the server itself, whatever it is at.
const SYSTEM: [&str; 2] = ["system user", "event_scheduler"];

/// Readers of the log, who hold no lock.
const DUMPS: [&str; 2] = ["Binlog Dump", "Binlog Dump GTID"];

/// How statements begin that only read, unless they lock or call what writes.
const READING: [&str; 7] = ["SELECT", "SHOW", "EXPLAIN", "DESC", "WITH", "VALUES", "CHECKSUM"];

/// What the lock waits for at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Whoever changes something, or has locked tables.
    Writers,
    /// Whoever uses tables.
    Tables,
    /// Commits.
    Commits,
}

impl Stage {
    /// By the state of a session that waits for the lock, or is kept waiting by it.
    fn of(state: &str) -> Option<Stage> {
        match state {
            // The latter is MariaDB's.
            "Waiting for global read lock" | "Waiting for backup lock" => Some(Stage::Writers),
            "Waiting for table flush" => Some(Stage::Tables),
            "Waiting for commit lock" => Some(Stage::Commits),
            _ => None,
        }
    }

    /// What those hold that it waits for, as the Performance Schema calls it.
    fn held(self) -> &'static str {
        match self {
            Stage::Writers => "GLOBAL",
            Stage::Tables => "TABLE",
            Stage::Commits => "COMMIT",
        }
    }
}

/// A session that is in the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Obstacle {
    pub(super) id: u64,
    pub(super) user: String,
}

impl std::fmt::Display for Obstacle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "process {} of {}", self.id, self.user)
    }
}

/// The sessions that the lock waits for at this moment, which `waiting` asked for.
pub(super) async fn find(control: &Control, waiting: u64) -> Result<Vec<Obstacle>, Failure> {
    let all = control.rows("SHOW FULL PROCESSLIST", "look who is in the way").await?;
    let own = all.iter().find(|row| number(row) == waiting);
    let Some(stage) = own.and_then(|row| Stage::of(&named(row, "State"))) else {
        return Ok(Vec::new());
    };
    let holders = match control.version().flavour {
        Flavour::MySql => holders(control, waiting, stage).await?,
        Flavour::MariaDb => None,
    };
    let in_the_way: HashSet<u64> = match holders {
        Some(holders) => holders,
        None => {
            let locking = locking(control).await?;
            let meant = all.iter().filter(|row| is_meant(row, stage, &locking));
            meant.map(number).collect()
        }
    };
    let ended = all.iter().filter(|row| in_the_way.contains(&number(row)) && !is_exempt(row));
    let others = ended.filter(|row| number(row) != waiting);
    Ok(others.map(obstacle).collect())
}

/// The sessions of others than the server itself, replication, and readers of the log.
pub(super) async fn sessions(control: &Control) -> Result<Vec<Obstacle>, Failure> {
    let all = control.rows("SHOW FULL PROCESSLIST", "look who is there").await?;
    Ok(all.iter().filter(|row| !is_exempt(row)).map(obstacle).collect())
}

/// Who holds what the lock waits for, by MySQL's own word; None where it cannot be had.
async fn holders(
    control: &Control,
    waiting: u64,
    stage: Stage,
) -> Result<Option<HashSet<u64>>, Failure> {
    let text = include_str!("../../../sql/mysql/source_lock_holders.sql")
        .replace("{waiting}", &waiting.to_string());
    let Some(rows) = control.permitted(&text, "look who holds locks").await? else {
        return Ok(None);
    };
    if rows.iter().all(|row| row.number(0) != waiting) {
        return Ok(None);
    }
    let held = rows.iter().filter(|row| row.text(1) == stage.held());
    Ok(Some(held.map(|row| row.number(0)).collect()))
}

/// Whose statement locks rows; nobody's where the account may not see that.
async fn locking(control: &Control) -> Result<HashSet<u64>, Failure> {
    let text =
        "SELECT trx_mysql_thread_id FROM information_schema.INNODB_TRX WHERE trx_tables_locked > 0";
    let rows = control.permitted(text, "look whose statements lock rows").await?;
    Ok(rows.iter().flatten().map(|row| row.number(0)).collect())
}

/// Whether a session may be one that the lock waits for, by what it is at. Where it waits for the lock
/// itself, or for what that has closed, it is none.
fn is_meant(row: &TextRow, stage: Stage, locking: &HashSet<u64>) -> bool {
    let at_a_statement =
        !RESTING.contains(&&*named(row, "Command")) && Stage::of(&named(row, "State")).is_none();
    match stage {
        Stage::Tables => at_a_statement,
        Stage::Writers | Stage::Commits => {
            at_a_statement && (!only_reads(row) || locking.contains(&number(row)))
        }
    }
}

fn number(row: &TextRow) -> u64 {
    named(row, "Id").parse().unwrap_or_default()
}

fn obstacle(row: &TextRow) -> Obstacle {
    Obstacle { id: number(row), user: named(row, "User") }
}

fn named(row: &TextRow, name: &str) -> String {
    row.named(name).unwrap_or_default()
}

/// Replication, what reads the log, and the server itself.
fn is_exempt(row: &TextRow) -> bool {
    SYSTEM.contains(&&*named(row, "User")) || DUMPS.contains(&&*named(row, "Command"))
}

/// By its words alone.
fn only_reads(row: &TextRow) -> bool {
    let text = named(row, "Info").trim_start_matches(['(', ' ', '\n', '\t']).to_ascii_uppercase();
    READING.iter().any(|word| text.starts_with(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(user: &str, command: &str, state: &str, info: &str) -> TextRow {
        let fields = [("Id", "7"), ("User", user), ("Command", command)];
        let fields = [&fields[..], &[("State", state), ("Info", info)]].concat();
        TextRow::with_names(&fields)
    }

    #[test]
    fn what_waits_for_another_lock_is_in_the_way_and_what_waits_for_ours_is_not() {
        let none = HashSet::new();
        let at = |state: &str| {
            is_meant(&row("app", "Query", state, "ALTER TABLE t"), Stage::Writers, &none)
        };
        assert!(at("Waiting for table metadata lock") && at("updating"));
        assert!(!at("Waiting for global read lock") && !at("Waiting for backup lock"));
        let resting = row("app", "Sleep", "", "");
        assert!(!is_meant(&resting, Stage::Writers, &none));
    }

    #[test]
    fn who_only_reads_is_in_the_way_of_tables_alone() {
        let reads = row("app", "Query", "Sending data", "SELECT * FROM t FOR UPDATE");
        let none = HashSet::new();
        assert!(!is_meant(&reads, Stage::Writers, &none) && is_meant(&reads, Stage::Tables, &none));
        assert!(is_meant(&reads, Stage::Writers, &HashSet::from([7])), "unless it locks rows");
    }

    #[test]
    fn replication_is_left_alone() {
        assert!(is_exempt(&row("system user", "Slave_worker", "", "INSERT")));
        assert!(is_exempt(&row("other", "Binlog Dump GTID", "", "")));
        assert!(!is_exempt(&row("app", "Query", "", "INSERT")));
    }

    #[test]
    fn statements_are_told_by_how_they_begin() {
        let reads = |text: &str| only_reads(&row("app", "Query", "", text));
        assert!(
            reads("select 1") && reads(" ( SELECT 1)") && reads("WITH a AS (SELECT 1) TABLE a")
        );
        assert!(!reads("INSERT INTO t SELECT 1") && !reads("CALL p()") && !reads(""));
    }
}
