//! What on the source would make a migration fail or lose something.
//!
//! In: a session and what is wanted. Out: findings, each with what was seen and what mends it. It
//! only reads. The server itself is looked at first: where its version is not supported, nothing
//! else it says is relied on.

use super::catalog::{self, LogStatus, Positioning, Settings};
use super::control::{Control, TextRow};
use super::relations::Tables;
use super::{MySqlSource, Shared, accounts, agreed, foreign_key, objects, peculiar, unlocked};
use crate::connect::mysql::described::character_set;
use crate::connect::mysql::privileges::{Privileges, grant};
use crate::connect::mysql::quote::{quote_literal, quote_name};
use crate::connect::mysql::{Flavour, ServerVersion};
use crate::model::foreign_key::ForeignKey;
use crate::model::handover::{DefaultCharacterSet, ServerFacts, SourceSurvey};
use crate::model::report::Finding;
use crate::model::selection::Selection;
use crate::model::{Code, Failure, Table, TableName};

/// A binary log that is thrown away sooner than this is easily lost.
const LITTLE_LOG_SECONDS: u64 = 24 * 3600;

/// Looks at everything.
pub(super) async fn survey(
    source: &MySqlSource,
    selection: &Selection,
    connections: usize,
) -> Result<SourceSurvey, Failure> {
    let Shared { control, .. } = &*source.shared;
    let mut survey = SourceSurvey::default();
    if let Some(finding) = version(control.version()) {
        survey.findings.push(finding);
        return Ok(survey);
    }
    let settings = Settings::read(control).await?;
    let privileges = control.privileges().await?;
    let account = control.one("SELECT CURRENT_USER()", "read our own account").await?.text(0);
    let wanted = source.wanted(selection);
    let found = source.find(&wanted).await?;
    selection.check(found.all.iter())?;
    survey.findings.extend(log(control.version().flavour, &settings));
    survey.findings.extend(positions(control.version().flavour, &settings));
    survey.findings.extend(retention(&settings));
    let may_lock = source.shared.options.may_lock;
    survey.findings.extend(lacking(control.version().flavour, may_lock, &privileges, &account));
    survey.findings.extend(locks(control.version().flavour, &privileges, &account));
    survey.findings.extend(hidden(&privileges, &account));
    if privileges.any(&CLIENT) && settings.on("log_bin") {
        survey.findings.extend(filters(&catalog::log_status(control).await?));
    }
    survey.findings.extend(unreadable(control, &found.tables, &account).await?);
    survey.findings.extend(refused(&found));
    survey.findings.extend(match may_lock {
        true => keyless(source, &found.tables),
        false if source.shared.positioning == Positioning::MariaGtid => {
            keyless(source, &found.tables).into_iter().chain(agreed::findings()).collect()
        }
        false => unlocked::findings(source.shared.positioning, &found.tables),
    });
    survey.findings.extend(prepared(control, source.shared.positioning).await?);
    survey.findings.extend(replica(control, &settings, &privileges).await?);
    survey.findings.extend(cascades(source, &found.tables).await?);
    survey.findings.extend(objects::hidden(control, &found.tables, &privileges, &account).await?);
    survey.findings.extend(room(control, &settings, connections).await?);
    survey.findings.push(accounts::finding(control, &found.tables, &account).await?);
    let beside = objects::beside(control, &found.tables, &wanted).await?;
    survey.facts = Some(ServerFacts {
        lock: Some(lock(control).await?),
        definers: beside.definers,
        functions: beside.functions,
        own: peculiar::parts(control, &found, &beside.names).await?,
        character_sets: character_sets(control, &found.tables).await?,
        ..facts(source, &settings)
    });
    survey.at_cutover = beside.acting;
    survey.tables = found.tables;
    Ok(survey)
}

fn version(version: ServerVersion) -> Option<Finding> {
    let (supported, hint) = match version.flavour {
        Flavour::MySql => (80_000..90_800, "use a server of a version from 8.0 to 9.7"),
        Flavour::MariaDb => (100_500..110_900, "use a server of a version from 10.5 to 11.8"),
    };
    (!supported.contains(&version.number)).then(|| {
        let seen = format!("it runs {version}");
        Finding::block(Code::VersionUnsupported, "source", seen).with_hint(hint)
    })
}

/// Whether the binary log holds what is needed.
fn log(flavour: Flavour, settings: &Settings) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !settings.on("log_bin") {
        let seen = "log_bin is OFF: changes are not logged";
        findings.push(
            Finding::block(Code::BinlogOff, "source", seen)
                .with_hint("set log_bin in the server's configuration, then restart the server"),
        );
        return findings;
    }
    if settings.number("server_id") == Some(0) {
        let seen = "server_id is 0: it serves its binary log to nobody";
        findings.push(
            Finding::block(Code::ServerId, "source", seen).with_fix("SET GLOBAL server_id = 1"),
        );
    }
    let setting = |name: &str, wanted: &str| {
        let seen = format!("{name} is {}, and must be {wanted}", settings.text(name));
        Finding::block(Code::BinlogFormat, "source", seen)
            .with_fix(format!("SET GLOBAL {name} = '{wanted}'"))
            .with_hint(
                "sessions that are open keep theirs: have the applications connect anew; and set \
                 it in the server's configuration",
            )
    };
    if !settings.is("binlog_format", "ROW") {
        findings.push(setting("binlog_format", "ROW"));
    }
    // FULL_NODUP (MariaDB 11.7) leaves out of the new image what the old one has.
    if !settings.is("binlog_row_image", "FULL") {
        findings.push(setting("binlog_row_image", "FULL"));
    }
    if settings.is("binlog_row_value_options", "PARTIAL_JSON") {
        findings.push(
            Finding::warn(
                "BINLOG_PARTIAL_JSON",
                "source",
                "binlog_row_value_options is PARTIAL_JSON: the log holds changes of JSON documents \
                 instead of documents",
            )
            .with_fix("SET GLOBAL binlog_row_value_options = ''"),
        );
    }
    if !settings.is("binlog_row_metadata", "FULL") && settings.has("binlog_row_metadata") {
        let lost = match flavour {
            Flavour::MySql => "names of columns and labels of ENUM and SET",
            Flavour::MariaDb => "names of columns, signs and labels of ENUM and SET",
        };
        let seen = format!(
            "binlog_row_metadata is {}: the log does not hold {lost}, which are taken from the \
             catalog; a table that is altered while the migration runs halts it",
            settings.text("binlog_row_metadata")
        );
        findings.push(
            Finding::warn("BINLOG_METADATA", "source", seen)
                .with_fix("SET GLOBAL binlog_row_metadata = 'FULL'"),
        );
    }
    findings
}

/// What the log is positioned by.
fn positions(flavour: Flavour, settings: &Settings) -> Option<Finding> {
    let by_file = Positioning::of(flavour, settings) == Positioning::File;
    (by_file && settings.on("log_bin")).then(|| {
        let seen = format!(
            "gtid_mode is {}: the log is read by file and offset, so the migration cannot go on \
             from another server of the same replication, nor after RESET BINARY LOGS AND GTIDS",
            settings.text("gtid_mode")
        );
        Finding::warn("GTID_OFF", "source", seen).with_hint(
            "set enforce_gtid_consistency and gtid_mode to ON, step by step, as the manual's \
             chapter on enabling GTIDs online says",
        )
    })
}

/// How long the binary log is kept.
fn retention(settings: &Settings) -> Option<Finding> {
    let days = settings.number("expire_logs_days").filter(|days| *days > 0);
    let seconds = settings
        .number("binlog_expire_logs_seconds")
        .filter(|seconds| *seconds > 0)
        .or(days.map(|days| days * 24 * 3600))?;
    (seconds < LITTLE_LOG_SECONDS).then(|| {
        let seen = format!(
            "the binary log is kept for {seconds} seconds: where dunlin is behind or away for \
             longer, the migration has to begin anew"
        );
        Finding::warn("BINLOG_EXPIRES", "source", seen)
            .with_fix("SET GLOBAL binlog_expire_logs_seconds = 604800")
    })
}

/// Privileges that let an account ask where the binary log ends.
const CLIENT: [&str; 5] =
    ["REPLICATION CLIENT", "BINLOG MONITOR", "REPLICATION MASTER ADMIN", "SUPER", "ALL PRIVILEGES"];

/// Privileges on the whole server that are missing.
fn lacking(
    flavour: Flavour,
    may_lock: bool,
    privileges: &Privileges,
    account: &str,
) -> Vec<Finding> {
    let mut needed: Vec<(&[&str], &str, &str)> = vec![
        (&["REPLICATION SLAVE", "REPLICATION REPLICA"], "REPLICATION SLAVE", "read the binary log"),
        (&CLIENT, "REPLICATION CLIENT", "ask where the binary log ends"),
    ];
    if flavour == Flavour::MySql && may_lock {
        needed.push((
            &["RELOAD", "FLUSH_TABLES"],
            "RELOAD",
            "hold all tables still while the snapshot is taken (without it each table is locked, \
             which takes LOCK TABLES; where neither may be had: --lock none)",
        ));
    }
    let lacking = needed.into_iter().filter(|(any, _, _)| !privileges.any(any));
    lacking
        .map(|(_, name, purpose)| {
            let seen = format!("the account lacks {name}, which it takes to {purpose}");
            missing(account, seen).with_fix(grant(name, "*.*", account))
        })
        .collect()
}

/// What keeps the application's ALTER TABLE from waiting for the copy.
fn locks(flavour: Flavour, privileges: &Privileges, account: &str) -> Option<Finding> {
    let may = privileges.any(&["BINLOG ADMIN", "SUPER"]);
    (flavour == Flavour::MariaDb && !may).then(|| {
        let seen = "the account lacks BINLOG ADMIN: an ALTER TABLE on the source, and what comes \
                    behind it, waits until all tables are copied";
        Finding::warn("COPY_LOCKS", format!("account {account} on the source"), seen)
            .with_fix(grant("BINLOG ADMIN", "*.*", account))
    })
}

/// Tables that an account may not see do not even show that they are there.
fn hidden(privileges: &Privileges, account: &str) -> Option<Finding> {
    (!privileges.any(&["SELECT"])).then(|| {
        let seen = "the account has no SELECT on the whole server: databases and tables on which \
                    it has no privilege are not seen, and not copied";
        Finding::warn("SELECT_LIMITED", format!("account {account} on the source"), seen)
            .with_fix(grant("SELECT", "*.*", account))
    })
}

fn missing(account: &str, seen: impl Into<String>) -> Finding {
    Finding::block(Code::PrivilegeMissing, format!("account {account} on the source"), seen)
        .with_hint("`dunlin grants --engine mysql` prints all that is needed")
}

fn filters(status: &LogStatus) -> Option<Finding> {
    let filters = [("binlog-do-db", &status.only), ("binlog-ignore-db", &status.without)];
    let set: Vec<String> = filters
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| format!("{name} is {value}"))
        .collect();
    (!set.is_empty()).then(|| {
        let seen = format!("{}: changes of some databases are not logged", set.join(", "));
        Finding::block(Code::BinlogFiltered, "source", seen)
            .with_hint("take the filter out of the server's configuration, then restart the server")
    })
}

/// Tables that the account sees and may not read.
async fn unreadable(
    control: &Control,
    tables: &[Table],
    account: &str,
) -> Result<Vec<Finding>, Failure> {
    let mut findings = Vec::new();
    for table in tables {
        if control.may_read(table).await? {
            continue;
        }
        let seen = format!("the account may not read table {}", table.name);
        let fix = grant("SELECT", &quote_name(&table.name), account);
        findings.push(missing(account, seen).with_fix(fix));
    }
    Ok(findings)
}

/// Tables that cannot be copied exactly.
fn refused(found: &Tables) -> Vec<Finding> {
    let engines = found.other_engines.iter().map(|(name, engine)| {
        let seen = format!("it is of the engine {engine}, which no snapshot shows");
        Finding::block(Code::TableEngine, format!("table {name}"), seen)
            .with_fix(format!("ALTER TABLE {} ENGINE = InnoDB", quote_name(name)))
            .with_hint(format!("or leave it out: --exclude '{name}'"))
    });
    let versioned = found.versioned.iter().map(|name| {
        let seen = "it keeps the history of its rows (WITH SYSTEM VERSIONING), which would not be \
                    the same on the target";
        Finding::block(Code::TableVersioned, format!("table {name}"), seen)
            .with_hint(format!("leave it out: --exclude '{name}'"))
    });
    engines.chain(versioned).collect()
}

/// Tables whose rows are told apart by all their values.
fn keyless(source: &MySqlSource, tables: &[Table]) -> Vec<Finding> {
    let without = tables.iter().filter(|table| table.primary_key.is_empty());
    without
        .filter(|table| !source.shared.options.insert_only.names(&table.name, &[]))
        .map(|table| {
            let seen = "it has neither a primary key nor a unique key without NULLs: it is copied \
                        whole, and each update or delete searches the target's table for the row";
            Finding::warn("NO_KEY", format!("table {}", table.name), seen)
                .with_hint("add a primary key; on MySQL an invisible one disturbs no application")
        })
        .collect()
}

/// Transactions that were prepared before the snapshot and may commit after it: their rows are in
/// the log before it.
async fn prepared(control: &Control, positioning: Positioning) -> Result<Option<Finding>, Failure> {
    let Some(rows) = control.permitted("XA RECOVER", "look for prepared transactions").await?
    else {
        let seen = "the account may not ask for prepared XA transactions (XA RECOVER takes \
                    XA_RECOVER_ADMIN): one that is there now and commits later would be lost";
        return Ok(Some(match positioning {
            Positioning::File => Finding::block(Code::PrivilegeMissing, "source", seen)
                .with_hint("GRANT XA_RECOVER_ADMIN: without GTIDs, nobody would notice it"),
            Positioning::Gtid | Positioning::MariaGtid => {
                Finding::warn("XA_UNKNOWN", "source", seen)
            }
        }));
    };
    Ok((!rows.is_empty()).then(|| {
        let seen = format!(
            "{} XA transactions are prepared: the log holds their rows before the snapshot, which \
             does not show them",
            rows.len()
        );
        Finding::block(Code::XaPrepared, "source", seen)
            .with_hint("commit them or roll them back: XA RECOVER CONVERT XID lists them")
    }))
}

/// A row for each server that the source is a replica of; none where the account may not ask.
async fn replication(control: &Control) -> Result<Vec<TextRow>, Failure> {
    let version = control.version();
    let text = match version.flavour {
        Flavour::MySql if version.number >= 80_022 => "SHOW REPLICA STATUS",
        Flavour::MySql => "SHOW SLAVE STATUS",
        Flavour::MariaDb => "SHOW ALL SLAVES STATUS",
    };
    let rows = control.permitted(text, "look whether the source is a replica").await?;
    Ok(rows.unwrap_or_default())
}

/// Whether the server is set up as a replica.
pub(super) async fn replicates(control: &Control) -> Result<bool, Failure> {
    Ok(!replication(control).await?.is_empty())
}

/// A source that is itself a replica.
async fn replica(
    control: &Control,
    settings: &Settings,
    privileges: &Privileges,
) -> Result<Vec<Finding>, Failure> {
    if !privileges.any(&["REPLICATION CLIENT", "SLAVE MONITOR", "REPLICA MONITOR", "SUPER"]) {
        return Ok(Vec::new());
    }
    let rows = replication(control).await?;
    let mut findings = Vec::new();
    if !rows.is_empty() && !settings.on("log_slave_updates") && !settings.on("log_replica_updates")
    {
        let seen = "it is a replica and log_replica_updates is OFF: what it replicates is not in \
                    its own binary log";
        findings.push(Finding::block(Code::BinlogFiltered, "source", seen).with_hint(
            "set log_replica_updates in the server's configuration and restart the server, or \
             name its primary as --source",
        ));
    }
    findings.extend(rows.iter().filter_map(lagging));
    Ok(findings)
}

fn lagging(row: &TextRow) -> Option<Finding> {
    let behind = row.named("Seconds_Behind_Source").or(row.named("Seconds_Behind_Master"));
    let seen = match behind.as_deref() {
        Some("0") => return None,
        Some(seconds) => format!("it is a replica, {seconds} seconds behind its own source"),
        None => "it is a replica that does not replicate at present".to_owned(),
    };
    Some(
        Finding::warn("SOURCE_LAGS", "source", seen)
            .with_hint("what it does not have yet comes to the target when it comes to it"),
    )
}

/// Foreign keys to tables that are not copied, whose cascades change child rows without a word in
/// the log.
async fn cascades(source: &MySqlSource, tables: &[Table]) -> Result<Vec<Finding>, Failure> {
    if source.shared.habits.logs_cascades {
        return Ok(Vec::new());
    }
    let copied = |name: &TableName| tables.iter().any(|table| table.name == *name);
    let keys = foreign_key::read(&source.shared.control).await?;
    let lone = keys.iter().filter(|key| copied(&key.table) && !copied(&key.parent));
    let finding = |key: &ForeignKey| {
        let seen = format!(
            "its foreign key {} has {}: the server does not log what follows here from a change of \
             a row of {}, which is not copied",
            key.name,
            key.rules()?,
            key.parent
        );
        let hint =
            format!("copy {} too, or leave this table out: --exclude '{}'", key.parent, key.table);
        Some(
            Finding::block(Code::CascadeUnlogged, format!("table {}", key.table), seen)
                .with_hint(hint),
        )
    };
    Ok(lone.filter_map(finding).collect())
}

async fn room(
    control: &Control,
    settings: &Settings,
    connections: usize,
) -> Result<Option<Finding>, Failure> {
    let text = "SHOW GLOBAL STATUS LIKE 'Threads_connected'";
    let used = control.one(text, "count the connections").await?.number(1);
    let Some(most) = settings.number("max_connections") else { return Ok(None) };
    let (free, wanted) = (most.saturating_sub(used), connections.saturating_sub(1) as u64);
    Ok((free < wanted).then(|| {
        let seen = format!("{free} of {most} connections are free, and {wanted} more are needed");
        Finding::block(Code::NoFreeConnections, "source", seen)
            .with_fix(format!("SET GLOBAL max_connections = {}", most + wanted))
            .with_hint("or close other sessions, or lower --max-connections")
    }))
}

fn facts(source: &MySqlSource, settings: &Settings) -> ServerFacts {
    let (_, server) = catalog::identity(source.shared.positioning, settings);
    ServerFacts {
        cluster: Some(server),
        major: source.shared.control.version().number / 10_000,
        database: source.shared.database().to_owned(),
        encoding: settings.text("character_set_server").to_owned(),
        collation: settings.text("collation_server").to_owned(),
        largest_row_bytes: settings.number("max_allowed_packet"),
        dialect: Some(objects::dialect(source.shared.control.version())),
        ..ServerFacts::default()
    }
}

/// The character sets that the selected tables and their databases have for what names none.
async fn character_sets(
    control: &Control,
    tables: &[Table],
) -> Result<Vec<DefaultCharacterSet>, Failure> {
    let text = include_str!("../../../sql/mysql/character_sets.sql");
    let rows = control.rows(text, "read the default character sets").await?;
    let read = |row: &TextRow| DefaultCharacterSet {
        database: row.text(0),
        table: row.maybe(1),
        name: character_set(&row.text(2)).to_owned(),
    };
    let concerned = |set: &DefaultCharacterSet| {
        tables.iter().map(|table| &table.name).any(|name| {
            name.schema == set.database && set.table.as_ref().is_none_or(|it| *it == name.name)
        })
    };
    Ok(rows.iter().map(read).filter(concerned).collect())
}

/// Takes a lock that only this server has, until the session ends.
async fn lock(control: &Control) -> Result<String, Failure> {
    let name = format!("dunlin source {}", rand::random::<u64>());
    let text = format!("SELECT GET_LOCK({}, 0)", quote_literal(&name));
    control.one(&text, "mark the source's server").await?;
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const READY: &[(&str, &str)] = &[
        ("log_bin", "ON"),
        ("server_id", "7"),
        ("binlog_format", "ROW"),
        ("binlog_row_image", "FULL"),
        ("binlog_row_metadata", "FULL"),
        ("binlog_expire_logs_seconds", "2592000"),
        ("gtid_mode", "ON"),
    ];

    fn settings(other: (&str, &str)) -> Settings {
        let kept = READY.iter().copied().filter(|(name, _)| *name != other.0);
        Settings::these(&kept.chain([other]).collect::<Vec<_>>())
    }

    fn ids(settings: &Settings) -> Vec<String> {
        let mut found = log(Flavour::MySql, settings);
        found.extend(positions(Flavour::MySql, settings));
        found.extend(retention(settings));
        found.into_iter().map(|finding| finding.id).collect()
    }

    #[test]
    fn each_setting_has_its_code() {
        assert_eq!(ids(&Settings::these(READY)), [] as [&str; 0]);
        for (setting, id) in [
            (("log_bin", "OFF"), "BINLOG_OFF"),
            (("server_id", "0"), "SERVER_ID"),
            (("binlog_format", "MIXED"), "BINLOG_FORMAT"),
            (("binlog_row_image", "MINIMAL"), "BINLOG_FORMAT"),
            (("binlog_row_metadata", "MINIMAL"), "BINLOG_METADATA"),
            (("binlog_row_value_options", "PARTIAL_JSON"), "BINLOG_PARTIAL_JSON"),
            (("binlog_expire_logs_seconds", "3600"), "BINLOG_EXPIRES"),
            (("gtid_mode", "OFF"), "GTID_OFF"),
        ] {
            assert_eq!(ids(&settings(setting)), [id], "{setting:?}");
        }
    }

    #[test]
    fn supported_versions_raise_nothing() {
        let code = |text: &str| {
            version(ServerVersion::parse(text).unwrap()).and_then(|finding| finding.code())
        };
        for text in ["8.0.11", "8.4.6", "9.7.4", "10.5.0-MariaDB", "5.5.5-10.11.19-MariaDB-log"] {
            assert_eq!(code(text), None, "{text}");
        }
        for text in ["5.7.44", "10.4.9-MariaDB", "12.0.1-MariaDB", "10.0.0"] {
            assert_eq!(code(text), Some(Code::VersionUnsupported), "{text}");
        }
    }

    #[test]
    fn filters_of_the_log_are_told() {
        let open = LogStatus::default();
        assert_eq!(filters(&open), None);
        let only = LogStatus { only: "shop".into(), ..open };
        let found = filters(&only).unwrap();
        assert_eq!(found.code(), Some(Code::BinlogFiltered));
        assert!(found.evidence.contains("binlog-do-db is shop"));
    }
}
