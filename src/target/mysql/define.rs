//! Definitions of the log, run on the target.
//!
//! In: a [`SchemaStep`], everything before which is committed. Out: the definition on the target, and
//! in the state, in one transaction, the tables as they are then and the position behind it.
//!
//! The server commits with each definition (manual, "Statements That Cause an Implicit Commit"), so
//! it is recorded before it is run, with what the tables looked like. Whoever finds such a record
//! looks at the tables: where they look the same it was not run, where they do not it was; what
//! cannot be told is not run again. Names that are exchanged may leave two tables that look the
//! same, so a table of our own gets another name by the same statement. The sessions of a process
//! that was here before are gone by then (see [`lock`](super::lock)), whatever they were doing.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::error::attempting;
use super::literal::{ident, name, text};
use super::session::{Session, field};
use super::state::{self, Fence};
use super::{MySqlTarget, TargetError, catalog, dialect, timestamps, verification};
use crate::connect::mysql::Flavour;
use crate::connect::mysql::described::{identity, key};
use crate::model::ddl::Dialect;
use crate::model::{
    Act, Deed, Failure, Redefined, SchemaStep, Statement, Table, TableId, TableName,
};
use crate::observe::failpoint;
use crate::target::Checkpoint;

/// `ER_NO_SUCH_TABLE`.
const NO_SUCH_TABLE: u16 = 1146;

/// `ER_CANT_DROP_FIELD_OR_KEY`, `ER_DUP_KEYNAME`, `ER_FK_DUP_NAME`, `ER_CHECK_CONSTRAINT_DUP_NAME`,
/// `ER_KEY_DOES_NOT_EXIST`: what leaves rows alone is there, or gone, already.
const THERE_ALREADY: [u16; 5] = [1091, 1061, 1826, 3822, 1176];

/// A definition that was begun, as the state keeps it.
#[derive(Debug)]
struct Begun {
    place: String,
    stood: Stood,
}

/// What tables looked like before a definition, in the order of their names.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Stood {
    tables: Vec<Stand>,
}

/// What a table looked like; nothing where it was not there.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Stand {
    table: TableName,
    look: Option<Look>,
}

impl Stood {
    fn look(&self, table: &TableName) -> Option<&Look> {
        self.tables.iter().find(|stand| stand.table == *table)?.look.as_ref()
    }
}

/// What one table looked like.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Look {
    /// A digest of how it is made.
    digest: String,
    columns: Vec<String>,
}

/// How a definition that was begun stands.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    NotRun,
    Run,
    Unclear,
}

/// Carries a step out. May be called again.
pub(super) async fn carry_out(target: &MySqlTarget, step: &SchemaStep) -> Result<(), Failure> {
    let fence = target.fence()?;
    let mut session = target.session().await?;
    state::install(&mut session).await?;
    let stood = match &step.run {
        // Whoever did it may have done it at any time before.
        Deed::Nothing => Stood::default(),
        Deed::AsWritten | Deed::Rename(_) | Deed::Drop(_) => {
            run_once(target, &mut session, &fence, step).await?
        }
    };
    let mut tables = Vec::new();
    for Redefined { formerly, table } in &step.tables {
        let mut read = read_anew(&mut session, step, table, stood.look(formerly)).await?;
        if session.version().is_mariadb() && dialect::of_log(&step.at) == Dialect::MySql {
            dialect::keep_documents(table, &mut read);
        }
        tables.push(read);
    }
    if let Some(created) = step.created.and_then(|id| tables.iter().find(|table| table.id == id)) {
        expect_empty(&mut session, created).await?;
    }
    record(&mut session, &fence, step, &tables).await?;
    failpoint::reached("definition-recorded");
    session.close().await;
    Ok(())
}

/// Runs what is to be run, unless it was. Returns what the tables looked like before.
async fn run_once(
    target: &MySqlTarget,
    session: &mut Session,
    fence: &Fence,
    step: &SchemaStep,
) -> Result<Stood, Failure> {
    let place = step.change.mark.to_string();
    let stands = look_at_all(session, &names(step)).await?;
    let begun = begun(session, &fence.name).await?.filter(|begun| begun.place == place);
    let (stood, found) = match begun {
        Some(begun) => {
            let found = judge(session, fence, step, (&begun.stood, &stands)).await?;
            (begun.stood, found)
        }
        None => {
            expect_places(step, &stands)?;
            begin(session, fence, step, &stands).await?;
            failpoint::reached("definition-intended");
            (stands, Found::NotRun)
        }
    };
    match found {
        Found::Run => tracing::info!(place, "was carried out already: {}", step.change.told),
        Found::Unclear => {
            let statement = step.change.told.clone();
            return Err(TargetError::Undecided { statement, place }.into());
        }
        Found::NotRun => {
            tracing::info!(place, "carrying out: {}", step.change.told);
            run(target, fence, step).await?;
        }
    }
    failpoint::reached("definition-run");
    Ok(stood)
}

/// Makes sure that columns stand in the source's order, before a definition moves them.
fn expect_places(step: &SchemaStep, stands: &Stood) -> Result<(), TargetError> {
    for Redefined { formerly, table } in &step.tables {
        let columns = stands.look(formerly).into_iter().flat_map(|look| &look.columns);
        let names: Vec<&str> = columns.map(String::as_str).collect();
        if let Some(problem) = catalog::misplaced(table, &names) {
            return Err(TargetError::Misplaced { table: formerly.clone(), problem });
        }
    }
    Ok(())
}

/// How a definition stands that was begun.
async fn judge(
    session: &mut Session,
    fence: &Fence,
    step: &SchemaStep,
    (stood, stands): (&Stood, &Stood),
) -> Result<Found, Failure> {
    let same = stood == stands;
    Ok(match (&step.run, &step.change.act) {
        (Deed::Rename(_), _) => match (is_renamed(session, fence).await?, same) {
            (true, _) => Found::Run,
            (false, true) => Found::NotRun,
            (false, false) => Found::Unclear,
        },
        // Each may be run again.
        (Deed::Drop(_), _) | (Deed::AsWritten, Act::Truncate(_)) => Found::NotRun,
        (Deed::AsWritten, Act::Alter(alter)) if same && alter.permutes => Found::Unclear,
        (Deed::AsWritten, _) if same => Found::NotRun,
        (Deed::AsWritten | Deed::Nothing, _) => Found::Run,
    })
}

/// The definition that was begun last.
async fn begun(session: &mut Session, migration: &str) -> Result<Option<Begun>, Failure> {
    let query =
        format!("SELECT place, stood FROM dunlin.definition WHERE migration = {}", text(migration));
    let rows = session.rows(query).await;
    let rows = rows.map_err(attempting("look for a definition that was begun"))?;
    let Some(row) = rows.first() else { return Ok(None) };
    let stood: String = field(row, 1)?;
    let stood = serde_json::from_str(&stood).map_err(TargetError::unreadable)?;
    Ok(Some(Begun { place: field(row, 0)?, stood }))
}

/// Records that a definition is about to be run.
async fn begin(
    session: &mut Session,
    fence: &Fence,
    step: &SchemaStep,
    stands: &Stood,
) -> Result<(), Failure> {
    let recording = || attempting("record a definition that is about to be run");
    if let Act::Create(table) = &step.change.act
        && stands.look(table).is_some()
    {
        return Err(TargetError::InTheWay { table: table.clone() }.into());
    }
    if matches!(step.run, Deed::Rename(_)) {
        let (before, after) = markers(fence);
        let made = format!(
            "DROP TABLE IF EXISTS {after}; \
             CREATE TABLE IF NOT EXISTS {before} (nothing int) ENGINE = InnoDB"
        );
        session.execute(made).await.map_err(recording())?;
    }
    session.execute("BEGIN").await.map_err(recording())?;
    fence.hold(session).await?;
    let statement = format!(
        "REPLACE INTO dunlin.definition (migration, place, statement, stood, begun_at) \
         VALUES ({}, {}, {}, {}, UTC_TIMESTAMP(6)); COMMIT",
        text(&fence.name),
        text(&step.change.mark.to_string()),
        text(&step.change.told),
        text(&state::json_text(stands)),
    );
    session.execute(statement).await.map_err(recording())?;
    Ok(())
}

/// Forgets the definition that was begun.
fn forget(fence: &Fence) -> String {
    format!("DELETE FROM dunlin.definition WHERE migration = {}", text(&fence.name))
}

/// The table of ours that gets another name together with others, under both names.
fn markers(fence: &Fence) -> (String, String) {
    let digest = hex(&Sha256::digest(fence.name.as_bytes())[..8]);
    let table = |name: &str| format!("dunlin.{}", ident(&format!("{name}_{digest}")));
    (table("renaming"), table("renamed"))
}

async fn is_renamed(session: &mut Session, fence: &Fence) -> Result<bool, Failure> {
    match session.rows(format!("SELECT 1 FROM {} LIMIT 0", markers(fence).1)).await {
        Ok(_) => Ok(true),
        Err(mysql_async::Error::Server(error)) if error.code == NO_SUCH_TABLE => Ok(false),
        Err(error) => Err(attempting("look whether tables have other names")(error).into()),
    }
}

/// Runs the definition, in a session of its own. A definition ends every transaction, so none can hold the
/// epoch while it runs. But the session is marked by now: whoever takes over from here on ends it before
/// anything else.
async fn run(target: &MySqlTarget, fence: &Fence, step: &SchemaStep) -> Result<(), Failure> {
    let mut session = target.session().await?;
    fence.hold(&mut session).await?;
    let statement = &step.change.statement;
    let ran = match &step.run {
        Deed::Nothing => Ok(0),
        Deed::AsWritten => {
            settle_where(&mut session, step).await?;
            match dialect::of_log(&step.at) == dialect::of(session.version()) {
                true => settle_in(&mut session, statement).await?,
                false => settle_in(&mut session, &dialect::settings(statement)).await?,
            }
            session.execute(&statement.text).await
        }
        Deed::Rename(pairs) => {
            let (before, after) = markers(fence);
            let pairs = pairs.iter().map(|(from, to)| format!("{} TO {}", name(from), name(to)));
            let pairs: Vec<String> = pairs.chain([format!("{before} TO {after}")]).collect();
            rest_foreign_keys(&mut session).await?;
            session.execute(format!("RENAME TABLE {}", pairs.join(", "))).await
        }
        Deed::Drop(tables) => {
            let tables: Vec<String> = tables.iter().map(name).collect();
            rest_foreign_keys(&mut session).await?;
            session.execute(format!("DROP TABLE IF EXISTS {}", tables.join(", "))).await
        }
    };
    let there = |error: &mysql_async::Error| match error {
        mysql_async::Error::Server(error) => step.repeated && THERE_ALREADY.contains(&error.code),
        _ => false,
    };
    match ran {
        Ok(_) => {}
        Err(error) if there(&error) => {
            tracing::warn!("found on the target already: {}", step.change.told);
        }
        Err(error) => {
            // What the server refuses it has not done: whoever mends the cause may alter the tables.
            if matches!(error, mysql_async::Error::Server(_)) {
                let forgotten = target.session().await?.execute(forget(fence)).await;
                forgotten.map_err(attempting("forget a definition that was refused"))?;
            }
            let place = step.change.mark.to_string();
            let source = attempting("run the source's definition on the target")(error);
            return Err(TargetError::Define { place, source }.into());
        }
    }
    session.close().await;
    Ok(())
}

async fn rest_foreign_keys(session: &mut Session) -> Result<(), Failure> {
    let resting = "SET SESSION foreign_key_checks = 0";
    session.execute(resting).await.map_err(attempting("rest the foreign keys"))?;
    Ok(())
}

/// Selects the database in which a definition ran on the source. Where the target lacks it, and the
/// definition names no table of it, names without a database are to mean nothing that can be made.
async fn settle_where(session: &mut Session, step: &SchemaStep) -> Result<(), Failure> {
    let database = &step.change.statement.database;
    if database.is_empty() {
        return Ok(());
    }
    let settling = || attempting("select the database of a definition");
    let exists =
        format!("SELECT 1 FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = {}", text(database));
    let is_there = !session.rows(exists).await.map_err(settling())?.is_empty();
    if !is_there && names(step).iter().any(|name| name.schema == *database) {
        return Err(TargetError::DatabaseMissing { database: database.clone() }.into());
    }
    let selected = if is_there { database } else { "information_schema" };
    session.execute(format!("USE {}", ident(selected))).await.map_err(settling())?;
    Ok(())
}

/// Gives a session what the statement ran under on the source.
async fn settle_in(session: &mut Session, statement: &Statement) -> Result<(), Failure> {
    let settling = || attempting("prepare the session that runs a definition");
    rest_foreign_keys(session).await?;
    default_collations(session, statement).await?;
    let began = statement.began_at_us;
    let mut settings = format!(
        "SET SESSION sql_mode = {}, timestamp = {}.{:06}",
        statement.sql_mode,
        began / 1_000_000,
        began % 1_000_000
    );
    if let Some(zone) = &statement.time_zone {
        settings.push_str(&format!(", time_zone = {}", text(zone)));
    }
    if statement.client_charset != 0 {
        settings.push_str(&format!(
            ", character_set_client = {}, collation_connection = {}",
            character_set(statement.client_charset),
            statement.connection_collation
        ));
    }
    session.execute(settings).await.map_err(settling())?;
    timestamps::settle(session, &statement.text, statement.explicit_timestamps).await
}

/// The character set of a collation, by which MariaDB knows it where the collation is one of those of
/// `utf8mb3` and `utf8mb4` that it numbers from 2048 on (`ctype-uca1400.h`); else by its number.
fn character_set(collation: u16) -> String {
    match collation {
        2048..2304 => "utf8mb3".to_owned(),
        2304..2560 => "utf8mb4".to_owned(),
        number => number.to_string(),
    }
}

/// Has character sets without a collation mean what they meant.
async fn default_collations(session: &mut Session, statement: &Statement) -> Result<(), Failure> {
    let pairs = &statement.default_collations;
    if pairs.is_empty() {
        return Ok(());
    }
    let settling = || attempting("prepare the collations under which a definition is run");
    let ids: Vec<String> = pairs.iter().map(|(_, meant)| meant.to_string()).collect();
    let flavour = session.version().flavour;
    let (query, variable) = match flavour {
        Flavour::MySql => (
            "SELECT COLLATION_NAME FROM information_schema.COLLATIONS WHERE ID IN",
            "default_collation_for_utf8mb4",
        ),
        Flavour::MariaDb => (
            "SELECT CONCAT(CHARACTER_SET_NAME, '=', FULL_COLLATION_NAME) \
             FROM information_schema.COLLATION_CHARACTER_SET_APPLICABILITY WHERE ID IN",
            "character_set_collations",
        ),
    };
    let rows = session.rows(format!("{query} ({})", ids.join(", "))).await.map_err(settling())?;
    let names = rows.iter().map(|row| field(row, 0)).collect::<Result<Vec<String>, _>>()?;
    let names = text(&names.join(","));
    session.execute(format!("SET SESSION {variable} = {names}")).await.map_err(settling())?;
    Ok(())
}

/// All tables that a step names, or that it changes.
fn names(step: &SchemaStep) -> Vec<TableName> {
    let act = &step.change.act;
    let all = act.before().into_iter().chain(act.after());
    let all = all.chain(step.tables.iter().map(|redefined| &redefined.table.name));
    let mut names: Vec<TableName> = all.cloned().collect();
    names.sort();
    names.dedup();
    names
}

async fn look_at_all(session: &mut Session, names: &[TableName]) -> Result<Stood, Failure> {
    let mut tables = Vec::new();
    for table in names {
        tables.push(Stand { table: table.clone(), look: look(session, table).await? });
    }
    Ok(Stood { tables })
}

/// What a table looks like; None where it is not there.
async fn look(session: &mut Session, table: &TableName) -> Result<Option<Look>, Failure> {
    let Some(found) = catalog::table(session, table).await? else { return Ok(None) };
    let rows = session.rows(format!("SHOW CREATE TABLE {}", name(table))).await;
    let rows = rows.map_err(attempting(format!("look at table {table}")))?;
    let made: Vec<u8> = field(rows.first().ok_or(TargetError::Answer { column: 0 })?, 1)?;
    let digest = hex(&Sha256::digest(without_counter(&made)));
    let columns = found.columns.into_iter().map(|column| column.name).collect();
    Ok(Some(Look { digest, columns }))
}

/// How a table is made, without its counter, which moves by itself.
fn without_counter(made: &[u8]) -> Vec<u8> {
    const COUNTER: &[u8] = b" AUTO_INCREMENT=";
    let Some(at) = made.windows(COUNTER.len()).rposition(|part| part == COUNTER) else {
        return made.to_vec();
    };
    let behind = &made[at + COUNTER.len()..];
    let digits = behind.iter().take_while(|byte| byte.is_ascii_digit()).count();
    [&made[..at], &behind[digits..]].concat()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A table with the columns and the key that it has on the target by now. Columns that only the
/// target had before stay out, and where nobody knows what was before, those that the source has not.
///
/// # Errors
///
/// Where a table that was seen to by hand has its columns in another order than the source's.
async fn read_anew(
    session: &mut Session,
    step: &SchemaStep,
    table: &Table,
    former: Option<&Look>,
) -> Result<Table, Failure> {
    let (mut columns, parts) = catalog::described(session, &table.name).await?;
    if columns.is_empty() {
        return Err(TargetError::TableMissing { table: table.name.clone() }.into());
    }
    let known = |name: &str| table.columns.iter().any(|column| column.name == name);
    let was_there = |name: &String| former.is_some_and(|look| look.columns.contains(name));
    let by_hand = step.run == Deed::Nothing;
    let seen = step.seen.iter().find(|seen| seen.name == table.name);
    columns.retain(|column| {
        let is_new = match seen {
            Some(seen) => seen.columns.iter().any(|other| other.name == column.name),
            None if by_hand => table.columns.is_empty(),
            None => !was_there(&column.name),
        };
        known(&column.name) || is_new
    });
    if let Some(seen) = seen {
        let names: Vec<&str> = columns.iter().map(|column| &*column.name).collect();
        if let Some(problem) = catalog::misplaced(seen, &names) {
            return Err(TargetError::Misplaced { table: table.name.clone(), problem }.into());
        }
    }
    let primary_key = key(&columns, &parts);
    let newest = columns.iter().map(|column| column.number).max().unwrap_or_default();
    Ok(Table {
        columns_ever: table.columns_ever.max(newest),
        identity: identity(&primary_key),
        primary_key,
        columns,
        ..table.clone()
    })
}

async fn expect_empty(session: &mut Session, table: &Table) -> Result<(), Failure> {
    let found = catalog::tables(session, std::slice::from_ref(&table.name)).await?;
    if catalog::filled(session, &found).await?.is_empty() {
        return Ok(());
    }
    Err(TargetError::NotEmpty { table: table.name.clone() }.into())
}

/// Records the tables as they are by now, and with them the position behind the definition.
async fn record(
    session: &mut Session,
    fence: &Fence,
    step: &SchemaStep,
    tables: &[Table],
) -> Result<(), Failure> {
    let recording = || attempting("record a definition that was carried out");
    session.execute("BEGIN").await.map_err(recording())?;
    fence.hold(session).await?;
    state::store_tables(session, &fence.name, tables).await?;
    state::forget_tables(session, &fence.name, &step.gone).await?;
    let read: Vec<TableId> = match step.repeated {
        true => Vec::new(),
        false => tables.iter().map(|table| table.id).collect(),
    };
    state::move_chunks(session, &fence.name, &read, &step.at).await?;
    let concerned = tables.iter().map(|table| table.id).chain(step.gone.iter().copied());
    verification::touch_tables(session, &fence.name, concerned).await?;
    if let Some(created) = step.created {
        state::store_empty(session, &fence.name, created, &step.at).await?;
    }
    let checkpoint = Checkpoint {
        position: step.at.clone(),
        committed_at_us: Some(step.change.committed_at_us),
        transactions: u64::from(step.change.end.is_some()),
        changes: 0,
        durable: true,
    };
    if session.execute(fence.checkpoint(&checkpoint)).await.map_err(recording())? != 1 {
        return Err(TargetError::Fenced.into());
    }
    session.execute(forget(fence)).await.map_err(recording())?;
    session.execute("COMMIT").await.map_err(recording())?;
    Ok(())
}

/// The tables that a definition is about which was begun and not recorded.
pub(super) async fn pending(
    session: &mut Session,
    migration: &str,
) -> Result<Vec<TableName>, Failure> {
    let begun = begun(session, migration).await?;
    let stands = begun.into_iter().flat_map(|begun| begun.stood.tables);
    Ok(stands.map(|stand| stand.table).collect())
}

/// Removes what exchanged names may have left.
pub(super) async fn remove_markers(session: &mut Session, migration: &str) -> Result<(), Failure> {
    let fence = Fence { name: migration.to_owned(), epoch: 0 };
    let (before, after) = markers(&fence);
    let dropped = session.execute(format!("DROP TABLE IF EXISTS {before}, {after}")).await;
    dropped.map_err(attempting("remove the migration's state"))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_that_moved_is_no_other_look() {
        let made = |counter: &str| {
            format!(
                "CREATE TABLE `t` (\n `a` int COMMENT ' AUTO_INCREMENT=5'\n) ENGINE=InnoDB{counter} X=1"
            )
        };
        let (one, other) = (made(" AUTO_INCREMENT=5"), made(" AUTO_INCREMENT=77"));
        assert_eq!(without_counter(one.as_bytes()), without_counter(other.as_bytes()));
        assert_eq!(without_counter(one.as_bytes()), made("").as_bytes());
    }
}
