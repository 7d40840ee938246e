//! What on the target would make a migration fail or lose something.
//!
//! In: a session, and what is about to arrive. Out: findings, each with what was seen and what mends
//! it. It only reads. What stands on the ground is judged in one place, for the check and for the
//! run that is about to write.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::error::attempting;
use super::literal::{base, ident, name as quote_name, text};
use super::session::{Session, field};
use super::{TargetError, catalog, dialect};
use crate::connect::mysql::privileges::{Privileges, grant, show_grants};
use crate::connect::mysql::quote::{quote_account, quote_level};
use crate::connect::mysql::{Flavour, ServerVersion};
use crate::model::foreign_key::ForeignKey;
use crate::model::report::Finding;
use crate::model::{Code, DefaultCharacterSet, Failure, ServerFacts, Table, TableName};
use crate::target::Arrival;

/// Below this, the statements of a group and of the state do not fit.
const LITTLE_PACKET: u64 = 4 << 20;

/// What `max_allowed_packet` is to be where it is too little, in bytes: the default of MySQL.
const USUAL_PACKET: u64 = 64 << 20;

/// Privileges to make objects that run as another account.
const ANY_DEFINER: [&str; 4] = ["SET_ANY_DEFINER", "SET_USER_ID", "SET USER", "SUPER"];

/// The settings that matter here.
const SETTINGS: &[&str] = &[
    "local_infile",
    "read_only",
    "super_read_only",
    "max_allowed_packet",
    "lower_case_table_names",
    "max_connections",
    "log_bin",
    "binlog_format",
    "server_uuid",
    "disabled_storage_engines",
    "innodb_read_only",
    "innodb_force_primary_key",
    "log_bin_trust_function_creators",
    "sql_require_primary_key",
];

/// What the target's server says of itself.
pub(super) struct Server {
    version: ServerVersion,
    settings: HashMap<String, String>,
    connections: u64,
    /// The account that we are.
    account: String,
    privileges: Privileges,
    /// The accounts there are, as `user@host`; None where we may not see them.
    accounts: Option<HashSet<String>>,
    collations: HashSet<String>,
}

impl Server {
    /// Reads it.
    pub(super) async fn read(session: &mut Session) -> Result<Self, Failure> {
        let reading = || attempting("read the target's settings");
        let names: Vec<_> = SETTINGS.iter().map(|name| format!("'{name}'")).collect();
        let names = names.join(", ");
        let query = format!("SHOW GLOBAL VARIABLES WHERE variable_name IN ({names})");
        let rows = session.rows(query).await.map_err(reading())?;
        let mut settings: HashMap<String, String> = HashMap::new();
        for row in &rows {
            settings.insert(field::<String>(row, 0)?.to_lowercase(), field(row, 1)?);
        }
        let status = "SHOW GLOBAL STATUS LIKE 'Threads_connected'";
        let rows = session.rows(status).await.map_err(reading())?;
        let connections = rows.first().map(|row| field(row, 1)).transpose()?.unwrap_or(0);
        let rows = session.rows("SELECT CURRENT_USER()").await.map_err(reading())?;
        let account = rows.first().map(|row| field(row, 0)).transpose()?.unwrap_or_default();
        let roles = session.rows("SELECT CURRENT_ROLE()").await.map_err(reading())?;
        let roles: Option<String> = roles.first().map(|row| field(row, 0)).transpose()?.flatten();
        let show = show_grants(session.version().flavour, roles.as_deref());
        let rows = session.rows(show).await.map_err(reading())?;
        let lines = rows.iter().map(|row| field(row, 0)).collect::<Result<Vec<String>, _>>()?;
        let accounts = session.rows("SELECT CONCAT(user, '@', host) FROM mysql.user").await.ok();
        let accounts = accounts.map(|rows| rows.iter().map(|row| field(row, 0)).collect());
        Ok(Server {
            version: session.version(),
            settings,
            connections,
            account,
            privileges: Privileges::of(lines.into_iter()),
            accounts: accounts.transpose()?,
            collations: catalog::collations(session).await?,
        })
    }

    fn setting(&self, name: &str) -> &str {
        self.settings.get(name).map_or("", String::as_str)
    }

    fn is_on(&self, name: &str) -> bool {
        matches!(self.setting(name), "ON" | "1")
    }

    fn number(&self, name: &str) -> u64 {
        self.setting(name).parse().unwrap_or_default()
    }
}

/// Looks at everything.
pub(super) async fn survey(
    session: &mut Session,
    arrival: &Arrival<'_>,
) -> Result<Vec<Finding>, Failure> {
    let server = Server::read(session).await?;
    if let Some(finding) = version(&server) {
        return Ok(vec![finding]);
    }
    let mut findings = settings(&server, arrival);
    findings.extend(itself(session, &server, arrival.source).await?);
    findings.extend(packets(&server, arrival.source));
    let ground = ground(session, arrival.tables, arrival.truncate).await?;
    findings.extend(privileges(&server, arrival.tables, ground.make_schema));
    if ground.make_schema {
        findings.extend(unknown_types(&server, arrival.tables));
        findings.extend(unknown_collations(&server, arrival.tables));
        findings.extend(names(&server, arrival.tables));
        findings.extend(refusals(&server, arrival.tables));
        findings.extend(match arrival.source.dialect {
            Some(other) if other != dialect::of(server.version) => {
                dialect::findings(server.version, arrival.source)
            }
            Some(_) | None => definers(&server, arrival.source),
        });
    }
    let sets = catalog::character_sets(session).await?;
    findings.extend(character_sets(&arrival.source.character_sets, &sets));
    findings.extend(ground.obstacles.iter().map(|error| Finding::of(error, "target")));
    Ok(findings)
}

fn version(server: &Server) -> Option<Finding> {
    let supported = match server.version.flavour {
        Flavour::MariaDb => 100_500..110_900,
        Flavour::MySql => 80_000..90_800,
    };
    (!supported.contains(&server.version.number)).then(|| {
        let seen = format!("it runs {}", server.version);
        Finding::block(Code::VersionUnsupported, "target", seen)
            .with_hint("use MySQL 8.0 to 9.7, or MariaDB 10.5 to 11.8")
    })
}

fn settings(server: &Server, arrival: &Arrival<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !server.is_on("local_infile") {
        let seen = "local_infile is off, by which rows come in";
        findings.push(
            Finding::block(Code::LocalInfile, "target", seen)
                .with_fix("SET GLOBAL local_infile = ON"),
        );
    }
    let read_only = ["innodb_read_only", "super_read_only", "read_only"];
    if let Some(name) = read_only.into_iter().find(|name| server.is_on(name)) {
        findings.push(
            Finding::block(Code::TargetReadOnly, "target", format!("{name} is on"))
                .with_fix(format!("SET GLOBAL {name} = OFF"))
                .with_hint("or name a server that takes writes"),
        );
    }
    if server.is_on("log_bin") && server.setting("binlog_format") == "STATEMENT" {
        let seen = "binlog_format is STATEMENT, with which it writes nothing under READ COMMITTED";
        findings.push(
            Finding::block(Code::TargetRefused, "target", seen)
                .with_fix("SET GLOBAL binlog_format = ROW"),
        );
    }
    let free = server.number("max_connections").saturating_sub(server.connections);
    let wanted = arrival.connections.saturating_sub(1) as u64;
    if free < wanted {
        let seen = format!(
            "{free} of {} connections are free, and {wanted} more are needed",
            server.number("max_connections")
        );
        let hint = "close other sessions, raise max_connections or lower --max-connections";
        findings.push(Finding::block(Code::NoFreeConnections, "target", seen).with_hint(hint));
    }
    if server.is_on("log_bin") {
        let seen = "it writes a binary log of its own, which grows with all that arrives";
        findings.push(Finding::info("TARGET_LOGS", "target", seen));
    }
    findings
}

/// Whether the target is the server that is read. MariaDB's have no identifier; but a lock is only
/// seen on the server that it was taken on.
async fn itself(
    session: &mut Session,
    server: &Server,
    source: &ServerFacts,
) -> Result<Option<Finding>, Failure> {
    let same_uuid = !server.setting("server_uuid").is_empty()
        && source.cluster.as_deref() == Some(server.setting("server_uuid"));
    let same_lock = match &source.lock {
        Some(lock) => {
            let query = format!("SELECT IS_USED_LOCK({}) IS NOT NULL", text(lock));
            let rows = session.rows(query).await;
            let rows = rows.map_err(attempting("look whether the target is the source"))?;
            field(rows.first().ok_or(TargetError::Answer { column: 0 })?, 0)?
        }
        None => false,
    };
    Ok((same_uuid || same_lock).then(|| {
        Finding::block(Code::SameDatabase, "target", "it is the source itself")
            .with_hint("name another server as --target")
    }))
}

/// What does not fit into one packet of the target's.
fn packets(server: &Server, source: &ServerFacts) -> Option<Finding> {
    let packet = server.number("max_allowed_packet");
    let most = source.largest_row_bytes.unwrap_or_default();
    let fix = format!("SET GLOBAL max_allowed_packet = {}", most.max(USUAL_PACKET));
    if packet < LITTLE_PACKET {
        let seen = format!("max_allowed_packet is {packet} bytes, and must be {LITTLE_PACKET}");
        return Some(Finding::block(Code::ValueTooLarge, "target", seen).with_fix(fix));
    }
    (packet < most).then(|| {
        let seen = format!(
            "max_allowed_packet is {packet} bytes, on the source {most}: a row of the log that is \
             larger halts the migration"
        );
        Finding::warn("SMALL_PACKETS", "target", seen).with_fix(fix)
    })
}

/// Tables that the target's settings would not let be made.
fn refusals(server: &Server, tables: &[Table]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let engines = server.setting("disabled_storage_engines");
    if engines.split(',').any(|engine| engine.trim().eq_ignore_ascii_case("InnoDB")) {
        let seen = "disabled_storage_engines names InnoDB, of which all tables are";
        findings.push(
            Finding::block(Code::TableEngine, "target", seen)
                .with_hint("take it out of the server's configuration, then restart the server"),
        );
    }
    let required = ["sql_require_primary_key", "innodb_force_primary_key"];
    let Some(setting) = required.into_iter().find(|name| server.is_on(name)) else {
        return findings;
    };
    findings.extend(tables.iter().filter(|table| table.primary_key.is_empty()).map(|table| {
        let seen = format!("{setting} is on there, and it has no primary key");
        Finding::block(Code::TargetRefused, format!("table {}", table.name), seen)
            .with_fix(format!("SET GLOBAL {setting} = OFF"))
            .with_hint("or give it a primary key on the source")
    }));
    findings
}

/// Whether what runs as other accounts can be made, and has its accounts.
fn definers(server: &Server, source: &ServerFacts) -> Vec<Finding> {
    let mut findings = Vec::new();
    let others: Vec<&String> =
        source.definers.iter().filter(|name| **name != server.account).collect();
    if let Some(other) = others.first()
        && !server.privileges.any(&ANY_DEFINER)
    {
        let privilege = match (server.version.flavour, server.version.number) {
            (Flavour::MariaDb, _) => "SET USER",
            (Flavour::MySql, 80_200..) => "SET_ANY_DEFINER",
            (Flavour::MySql, _) => "SET_USER_ID",
        };
        let seen = format!(
            "the account lacks {privilege}, which it takes to make what runs as {other} ({} \
             accounts in all)",
            others.len()
        );
        findings.push(missing(seen).with_fix(grant(privilege, "*.*", &server.account)));
    }
    let trusted =
        server.is_on("log_bin_trust_function_creators") || server.privileges.any(&["SUPER"]);
    if source.functions && server.is_on("log_bin") && !trusted {
        let seen = "it writes a binary log and the account lacks SUPER: functions and triggers are \
                    not made there";
        findings.push(missing(seen).with_fix("SET GLOBAL log_bin_trust_function_creators = ON"));
    }
    let Some(accounts) = &server.accounts else {
        findings.extend(others.first().map(|_| {
            let listed = others.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ");
            let seen =
                format!("the account may not see whether these accounts are there: {listed}");
            Finding::warn("DEFINERS_UNKNOWN", "target", seen)
                .with_hint("what runs as one that is not there fails")
        }));
        return findings;
    };
    findings.extend(others.iter().filter(|name| !accounts.contains(**name)).map(|name| {
        let seen = format!("there is no account {name}: what runs as it on the source fails there");
        Finding::warn("DEFINER_MISSING", "target", seen)
            .with_fix(format!("CREATE USER {}", quote_account(name)))
            .with_hint("with the privileges that it has on the source")
    }));
    findings
}

fn missing(seen: impl Into<String>) -> Finding {
    Finding::block(Code::PrivilegeMissing, "target", seen)
        .with_hint("`dunlin grants --engine mysql` prints all that is needed")
}

/// What has to be granted, for all databases and for the state.
fn privileges(server: &Server, tables: &[Table], make_schema: bool) -> Vec<Finding> {
    // What acts by itself on tables that are there is only seen with TRIGGER and EVENT.
    let always = ["SELECT", "INSERT", "UPDATE", "DELETE", "DROP", "ALTER", "TRIGGER", "EVENT"];
    let schema = [
        "CREATE",
        "INDEX",
        "REFERENCES",
        "CREATE VIEW",
        "SHOW VIEW",
        "CREATE ROUTINE",
        "ALTER ROUTINE",
    ];
    let state =
        ["SELECT", "INSERT", "UPDATE", "DELETE", "DROP", "CREATE", "CREATE TEMPORARY TABLES"];
    let databases: BTreeSet<&str> = tables.iter().map(|table| &*table.name.schema).collect();
    let rows = databases.into_iter().map(|database| {
        let schema = if make_schema { &schema[..] } else { &[] };
        (database, [&always[..], schema].concat())
    });
    let wanted = rows.chain(std::iter::once(("dunlin", state.to_vec())));
    let finding = |(database, wanted): (&str, Vec<&str>)| {
        let is_missing = |privilege: &&str| !server.privileges.on_database(privilege, database);
        let lacking: Vec<&str> = wanted.into_iter().filter(is_missing).collect();
        (!lacking.is_empty()).then(|| {
            let listed = lacking.join(", ");
            let seen = format!("the account may not {listed} in database {database}");
            missing(seen).with_fix(grant(&listed, &quote_level(database), &server.account))
        })
    };
    wanted.filter_map(finding).collect()
}

/// Types that the target's server does not have, each with the columns of it.
fn unknown_types(server: &Server, tables: &[Table]) -> Vec<Finding> {
    let (mariadb, number) = (server.version.is_mariadb(), server.version.number);
    let knows = |type_name: &str| match base(type_name) {
        "vector" => number >= if mariadb { 110_700 } else { 90_000 },
        "uuid" => mariadb && number >= 100_700,
        "inet4" => mariadb && number >= 101_000,
        "inet6" => mariadb,
        _ => true,
    };
    let columns = tables
        .iter()
        .flat_map(|table| table.columns.iter().map(move |column| (&table.name, column)));
    let unknown = columns.filter(|(_, column)| !knows(&column.type_name));
    unknown
        .map(|(table, column)| {
            let seen = format!("{} does not have the type {}", server.version, column.type_name);
            Finding::block(Code::TypeUnknown, format!("{table}.{}", column.name), seen)
                .with_hint(format!("leave the table out: --exclude '{table}'"))
        })
        .collect()
}

/// Collations that the target's server does not have, each with one column of it.
fn unknown_collations(server: &Server, tables: &[Table]) -> Vec<Finding> {
    let mut unknown: BTreeMap<&str, (&TableName, &str, usize)> = BTreeMap::new();
    for table in tables {
        for column in &table.columns {
            let Some(collation) = column.collation.as_deref() else { continue };
            // utf8 and utf8mb3 are two names of one set.
            let other = collation.replacen("utf8mb3_", "utf8_", 1);
            let long = collation.replacen("utf8_", "utf8mb3_", 1);
            if [collation, &other, &long].iter().all(|name| !server.collations.contains(*name)) {
                unknown.entry(collation).or_insert((&table.name, &column.name, 0)).2 += 1;
            }
        }
    }
    let finding = |(collation, (table, column, count)): (&str, (&TableName, &str, usize))| {
        let seen = format!(
            "{} does not have the collation {collation} of {table}.{column} ({count} columns in all)",
            server.version
        );
        Finding::block(Code::CollationUnknown, "target", seen).with_hint(
            "make the tables there yourself, with a collation that the target has, or change it \
             on the source",
        )
    };
    unknown.into_iter().map(finding).collect()
}

/// Databases and tables in which what is made without naming a character set would have another than on
/// the source, as definitions of the log may do.
fn character_sets(source: &[DefaultCharacterSet], target: &[DefaultCharacterSet]) -> Vec<Finding> {
    let finding = |here: &DefaultCharacterSet| {
        let DefaultCharacterSet { database, table, name } = here;
        let there = target.iter().find(|it| it.database == *database && it.table == *table)?;
        let (object, kind, level) = match table {
            Some(table) => {
                let name = TableName { schema: database.clone(), name: table.clone() };
                (name.to_string(), "TABLE", quote_name(&name))
            }
            None => (format!("database {database}"), "DATABASE", ident(database)),
        };
        (!catalog::holds(&there.name, name)).then(|| {
            let seen = format!(
                "its default character set is {} there, {name} on the source: what the log adds to \
                 it would have another",
                there.name
            );
            Finding::block(Code::TargetSchemaDiffers, object, seen)
                .with_fix(format!("ALTER {kind} {level} DEFAULT CHARACTER SET {name}"))
        })
    };
    source.iter().filter_map(finding).collect()
}

/// Names that are another table's where the case of letters does not count.
fn names(server: &Server, tables: &[Table]) -> Vec<Finding> {
    if server.number("lower_case_table_names") == 0 {
        return Vec::new();
    }
    let mut seen: HashMap<String, &TableName> = HashMap::new();
    let mut findings = Vec::new();
    for table in tables {
        let lower = table.name.to_string().to_lowercase();
        if let Some(other) = seen.insert(lower, &table.name) {
            let seen = format!(
                "with lower_case_table_names = {} it would be one table with {other}",
                server.setting("lower_case_table_names")
            );
            findings.push(
                Finding::block(Code::TargetSchemaDiffers, table.name.to_string(), seen)
                    .with_hint("name a server that has lower_case_table_names = 0"),
            );
        }
    }
    findings
}

/// What stands where the tables are to be.
pub(super) struct Ground {
    /// None of them is there: they are to be made.
    pub(super) make_schema: bool,
    /// Those that hold rows and may be emptied.
    pub(super) to_empty: Vec<TableName>,
    /// What is in the way.
    pub(super) obstacles: Vec<TargetError>,
}

/// Looks at what stands where the tables are to be; `truncate` may be emptied.
pub(super) async fn ground(
    session: &mut Session,
    tables: &[Table],
    truncate: &[TableName],
) -> Result<Ground, Failure> {
    let names: Vec<TableName> = tables.iter().map(|table| table.name.clone()).collect();
    let existing = catalog::tables(session, &names).await?;
    let Some(present) = existing.first() else {
        return Ok(Ground { make_schema: true, to_empty: Vec::new(), obstacles: Vec::new() });
    };
    let mut obstacles = Vec::new();
    let is_there = |name: &&TableName| existing.iter().any(|table| table.name == **name);
    if let Some(missing) = names.iter().find(|name| !is_there(name)) {
        let present = present.name.clone();
        obstacles.push(TargetError::PartOfSchema { present, missing: missing.clone() });
    }
    let filled = catalog::filled(session, &existing).await?;
    let (to_empty, in_the_way): (Vec<_>, Vec<_>) =
        filled.into_iter().partition(|name| truncate.contains(name));
    obstacles.extend(in_the_way.into_iter().map(|table| TargetError::NotEmpty { table }));
    obstacles.extend(differences(tables, &existing));
    obstacles.extend(other_cascades(session, tables).await?);
    Ok(Ground { make_schema: false, to_empty, obstacles })
}

/// Tables that are there whose foreign keys would do something else than the source's, where it is
/// they that bring about what the log does not hold.
async fn other_cascades(
    session: &mut Session,
    tables: &[Table],
) -> Result<Vec<TargetError>, Failure> {
    if tables.iter().all(|table| table.cascades.is_none()) {
        return Ok(Vec::new());
    }
    let rows = session.rows(include_str!("../../../sql/mysql/foreign_keys.sql")).await;
    let rows = rows.map_err(attempting("read the target's foreign keys"))?;
    let keys = rows.iter().map(catalog::foreign_key).collect::<Result<Vec<_>, _>>()?;
    let difference = |table: &Table| {
        let rules = table.cascades.iter().flat_map(|cascades| &cascades.rules);
        let wanted: BTreeSet<String> = rules.cloned().collect();
        let of = keys.iter().filter(|key| key.table == table.name);
        let there: BTreeSet<String> = of.filter_map(ForeignKey::effect).collect();
        let other = wanted.symmetric_difference(&there).next()?;
        let seen = if there.contains(other) { "has" } else { "lacks" };
        let problem = format!("it {seen} the foreign key {other}");
        Some(TargetError::SchemaDiffers { table: table.name.clone(), problem })
    };
    Ok(tables.iter().filter_map(difference).collect())
}

/// Why tables that are there would not take the source's rows: for each the first reason.
pub(super) fn differences(tables: &[Table], existing: &[catalog::TargetTable]) -> Vec<TargetError> {
    let differing = |table: &Table| {
        let found = existing.iter().find(|found| found.name == table.name)?;
        let problem = table
            .copied_columns()
            .find_map(|column| catalog::difference(column, found.column(&column.name)))
            .or_else(|| catalog::misplaced(table, &found.names()))?;
        Some(TargetError::SchemaDiffers { table: table.name.clone(), problem })
    };
    tables.iter().filter_map(differing).collect()
}
