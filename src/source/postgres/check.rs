//! What on the source would make a migration fail or lose something.
//!
//! In: a session and what is wanted. Out: findings, each with what was seen and what mends it. It
//! only reads. The server itself is looked at first: where its version is not supported, nothing
//! else it says is relied on.

use tokio_postgres::Row;

use super::catalog::relation_oids;
use super::catalog::{self, Server};
use super::holdup;
use super::publication;
use super::relations::{self, Tables};
use super::slot;
use super::standby;
use super::{PostgresSource, Shared};
use crate::connect::attempting;
use crate::connect::postgres::Client;
use crate::connect::quote::{quote_ident, quote_name};
use crate::connect::server::missing_privilege;
use crate::model::handover::{Refusal, ServerFacts, SourceSurvey};
use crate::model::report::Finding;
use crate::model::selection::Selection;
use crate::model::{Code, Failure, Identity, Table, TableName};

/// Versions that are supported, by their majors.
const SUPPORTED: std::ops::RangeInclusive<u32> = 12..=18;

/// Partitioned tables are published as one from this version on.
const PUBLISHES_ROOTS_SINCE: i32 = 130_000;

/// The snapshot's holder and the log reader; a resumed run asks who the server is beside a holder.
const SENDERS: i32 = 2;

/// The slot that retains the log, and a temporary one where a snapshot has to be taken again.
const SLOTS: i32 = 2;

/// A slot that may retain less than this is easily lost.
const LITTLE_LOG_BYTES: u64 = 1 << 30;

/// Looks at everything.
pub(super) async fn survey(
    source: &PostgresSource,
    selection: &Selection,
    connections: usize,
) -> Result<SourceSurvey, Failure> {
    let control = source.control();
    let mut survey = SourceSurvey::default();
    if let Some(finding) = version(control.server_version_num()) {
        survey.findings.push(finding);
        return Ok(survey);
    }
    let server = catalog::server(control).await?;
    survey.findings.extend(settings(&server, connections));
    survey.findings.extend(claimed(source).await?);
    let found = relations::tables(control, selection).await;
    let found = holdup::named(control, found.map_err(Failure::from)).await?;
    selection.check(found.all.iter())?;
    survey.findings.extend(as_one(&server, &found.tables));
    survey.findings.extend(refused(source, &found).await?);
    let standby = server.decodes_as_standby();
    if standby {
        survey.findings.extend(standby::findings(control, &server).await?);
        let lacking = publication::lacking(control, &source.shared.names, &found.tables).await?;
        survey.findings.extend(lacking.map(standby::unpublished));
    }
    survey.findings.extend(privileges(control, &server, &found.tables).await?);
    survey.findings.extend(sequence_privileges(control, selection, &server.basics.role).await?);
    survey.findings.extend(programs(source).await);
    survey.findings.extend(firing(control, &found).await?);
    survey.findings.extend(holdups(control).await?);
    survey.findings.extend(large_objects(control, standby).await?);
    survey.findings.extend(little_log(&server, &found.tables));
    survey.findings.extend(idle_limit(&server));
    let database = database(control, &server).await?;
    survey.findings.extend(database.findings);
    survey.facts = Some(database.facts);
    survey.tables = found.tables;
    Ok(survey)
}

/// The version, where it is not one of those that are supported.
fn version(version_num: u32) -> Option<Finding> {
    let major = version_num / 10_000;
    (!SUPPORTED.contains(&major)).then(|| {
        Finding::block(Code::VersionUnsupported, "source", format!("it runs Postgres {major}"))
            .with_hint("use a server of a version from 12 to 18")
    })
}

/// What stands against copying partitioned tables as one, each.
fn as_one(server: &Server, tables: &[Table]) -> Vec<Finding> {
    let roots = || tables.iter().filter(|table| table.partitions.is_some());
    let by_leaves = "move partitioned tables by --partitions leaves";
    if server.basics.version_num < PUBLISHES_ROOTS_SINCE && roots().next().is_some() {
        let seen = "it publishes no partitioned table as one; that begins with Postgres 13";
        return vec![Finding::block(Code::VersionUnsupported, "source", seen).with_hint(by_leaves)];
    }
    let full = roots().filter(|table| table.identity == Identity::Full);
    full.map(|table| {
        let seen = "its rows are told apart by all their columns: unless a partition that is \
                    created later is given REPLICA IDENTITY FULL, every update and delete of it by \
                    the application will fail";
        Finding::warn("PARTITIONS_WITHOUT_KEY", format!("table {}", table.name), seen)
            .with_hint(format!("add a primary key; or {by_leaves}"))
    })
    .collect()
}

/// What the server's settings and its load say.
fn settings(server: &Server, connections: usize) -> Vec<Finding> {
    let mut findings = Vec::new();
    if server.in_recovery && !server.decodes_as_standby() {
        let seen = "it is a standby, and logical decoding on a standby begins with Postgres 16";
        findings.push(Finding::block(Code::SourceStandby, "source", seen).with_hint(
            "name the primary as --source, or promote the standby (SELECT pg_promote())",
        ));
    }
    if server.wal_level != "logical" {
        let seen = format!("wal_level is {}, and must be logical", server.wal_level);
        let fix = "ALTER SYSTEM SET wal_level = logical";
        findings.push(
            Finding::block(Code::WalLevel, "source", seen)
                .with_fix(fix)
                .with_hint("then restart the server"),
        );
    }
    let free = server.max_replication_slots - server.used_replication_slots;
    if free < SLOTS {
        let most = server.max_replication_slots;
        let seen = format!("{free} of {most} replication slots are free, and {SLOTS} are needed");
        findings.push(raised(Code::NoFreeSlot, seen, ("max_replication_slots", most + SLOTS)));
    }
    let free = server.max_wal_senders - server.used_wal_senders;
    if free < SENDERS {
        let most = server.max_wal_senders;
        let seen = format!("{free} of {most} WAL senders are free, and {SENDERS} are needed");
        findings.push(raised(Code::NoFreeSender, seen, ("max_wal_senders", most + SENDERS)));
    }
    if !server.basics.is_superuser && !server.has_replication {
        let fix = format!("ALTER ROLE {} REPLICATION", quote_ident(&server.basics.role));
        findings.push(missing(&server.basics.role, "the role may not replicate").with_fix(fix));
    }
    findings.extend(server.basics.room("source", connections));
    findings
}

fn raised(code: Code, seen: String, (setting, value): (&str, i32)) -> Finding {
    Finding::block(code, "source", seen)
        .with_fix(format!("ALTER SYSTEM SET {setting} = {value}"))
        .with_hint("then restart the server")
}

fn missing(role: &str, seen: impl Into<String>) -> Finding {
    missing_privilege("source", role, seen)
}

async fn claimed(source: &PostgresSource) -> Result<Option<Finding>, Failure> {
    let Shared { control, names, standby, .. } = &*source.shared;
    let claim = slot::claim(control, names, *standby).await?;
    Ok(claim.map(|error| Finding::of(&error, "source")))
}

/// Tables that cannot be copied, or only with reservations.
async fn refused(source: &PostgresSource, found: &Tables) -> Result<Vec<Finding>, Failure> {
    let unlogged = found.unlogged.iter().map(|name| refusal(name, Refusal::Unlogged));
    let mut findings: Vec<Finding> = unlogged.collect();
    findings.extend(found.foreign.iter().map(|name| refusal(name, Refusal::Foreign)));
    let is_appending =
        |table: &&Table| table.identity == Identity::Nothing && !source.is_insert_only(table);
    let appending: Vec<&Table> = found.tables.iter().filter(is_appending).collect();
    let changed = source.changed(&appending).await?;
    for table in appending {
        findings.push(if source.shared.standby {
            standby::no_identity(&table.name)
        } else if changed.contains(&table.id) {
            refusal(&table.name, Refusal::NoIdentity)
        } else {
            let seen = "it has no replica identity: only inserts are carried, and an update or \
                        delete of it will halt the migration";
            Finding::warn(Code::NoIdentity.as_str(), format!("table {}", table.name), seen)
                .with_fix(full_identity(&table.name))
        });
    }
    Ok(findings)
}

fn refusal(table: &TableName, reason: Refusal) -> Finding {
    let finding = Finding::block(reason.code(), format!("table {table}"), reason.to_string())
        .with_hint(reason.hint(table));
    match reason {
        Refusal::Unlogged => {
            finding.with_fix(format!("ALTER TABLE {} SET LOGGED", quote_name(table)))
        }
        Refusal::Foreign => finding,
        Refusal::NoIdentity => finding.with_fix(full_identity(table)),
    }
}

fn full_identity(table: &TableName) -> String {
    format!("ALTER TABLE {} REPLICA IDENTITY FULL", quote_name(table))
}

async fn privileges(
    control: &Client,
    server: &Server,
    tables: &[Table],
) -> Result<Vec<Finding>, Failure> {
    let oids: Vec<u32> = oids(tables);
    let rows = control
        .query(include_str!("../../../sql/postgres/source_privileges.sql"), &[&oids])
        .await
        .map_err(attempting("read the privileges on the source's tables"))?;
    let role = quote_ident(&server.basics.role);
    let lacking = |holds: &str| -> Vec<&Row> {
        rows.iter().filter(|row| !row.get::<_, bool>(holds)).collect()
    };
    let mut findings = Vec::new();
    let closed = distinct(&lacking("may_use_schema"), "schema");
    if !closed.is_empty() {
        let seen = format!("the role may not use the schemas {}", closed.join(", "));
        let schemas: Vec<String> = closed.iter().map(|schema| quote_ident(schema)).collect();
        let fix = format!("GRANT USAGE ON SCHEMA {} TO {role}", schemas.join(", "));
        findings.push(missing(&server.basics.role, seen).with_fix(fix));
    }
    let unreadable = names(&lacking("may_select"));
    if !unreadable.is_empty() {
        let seen = format!("the role may not read {}", listed(&unreadable));
        let fix = format!("GRANT SELECT ON {} TO {role}", quoted(&unreadable));
        findings.push(missing(&server.basics.role, seen).with_fix(fix));
    }
    let foreign = lacking("owns");
    if !foreign.is_empty() && !server.decodes_as_standby() {
        let owners = distinct(&foreign, "owner");
        let seen = format!(
            "the role is no member of the owner of {}, who alone may publish them",
            listed(&names(&foreign))
        );
        let grants = owners.iter().map(|owner| format!("GRANT {} TO {role}", quote_ident(owner)));
        let fix = grants.collect::<Vec<_>>().join(";\n");
        findings.push(missing(&server.basics.role, seen).with_fix(fix));
    }
    let hidden: Vec<&Row> = rows.iter().filter(|row| row.get("hides_rows")).collect();
    if !hidden.is_empty() {
        let seen = format!("row security hides rows of {} from the role", listed(&names(&hidden)));
        let fix = format!("ALTER ROLE {role} BYPASSRLS");
        findings.push(missing(&server.basics.role, seen).with_fix(fix));
    }
    Ok(findings)
}

async fn sequence_privileges(
    control: &Client,
    selection: &Selection,
    role: &str,
) -> Result<Option<Finding>, Failure> {
    let carried = catalog::sequence_names(control, selection).await?.carried;
    let (schemas, sequences): (Vec<&str>, Vec<&str>) =
        carried.iter().map(|name| (name.schema.as_str(), name.name.as_str())).unzip();
    let text = include_str!("../../../sql/postgres/source_sequence_privileges.sql");
    let rows = control
        .query(text, &[&schemas, &sequences])
        .await
        .map_err(attempting("read the privileges on the source's sequences"))?;
    let unreadable = names(&rows.iter().collect::<Vec<_>>());
    Ok((!unreadable.is_empty()).then(|| {
        let seen = format!("the role may not read the sequences {}", listed(&unreadable));
        let sequences = quoted(&unreadable);
        let fix = format!("GRANT SELECT ON SEQUENCE {sequences} TO {}", quote_ident(role));
        missing(role, seen).with_fix(fix)
    }))
}

async fn programs(source: &PostgresSource) -> Option<Finding> {
    source.programs().await.err().map(|error| Finding::of(&error, "this machine"))
}

/// Triggers and rules that do not rest while dunlin writes.
async fn firing(control: &Client, found: &Tables) -> Result<Vec<Finding>, Failure> {
    let roots = found.partitioned.iter().filter_map(|table| u32::try_from(table.source_id).ok());
    let oids: Vec<u32> = oids(&found.tables).into_iter().chain(roots).collect();
    let rows = control
        .query(include_str!("../../../sql/postgres/source_firing.sql"), &[&oids])
        .await
        .map_err(attempting("look for triggers and rules that always fire"))?;
    let finding = |row: &Row| {
        let (kind, hook): (&str, &str) = (row.get("kind"), row.get("hook"));
        let table = name(row);
        let seen = format!(
            "its {} {hook} is enabled for replicas too: carried over, it fires on the target for \
             every change that dunlin applies",
            kind.to_lowercase()
        );
        let fix =
            format!("ALTER TABLE {} DISABLE {kind} {}", quote_name(&table), quote_ident(hook));
        Finding::warn("TRIGGER_FIRES", format!("table {table}"), seen)
            .with_fix(fix)
            .with_hint("disable it on the target while dunlin applies, unless it does no harm")
    };
    Ok(rows.iter().map(finding).collect())
}

async fn holdups(control: &Client) -> Result<Vec<Finding>, Failure> {
    let rows = control
        .query(include_str!("../../../sql/postgres/source_holdups.sql"), &[])
        .await
        .map_err(attempting("look for transactions that are open on the source"))?;
    let finding = |row: &Row| {
        let seen: String = row.get("evidence");
        Finding::warn("LONG_TRANSACTION", "source", seen)
            .with_fix(row.get::<_, String>("fix"))
            .with_hint("the replication slot is made only once it has ended")
    };
    Ok(rows.iter().map(finding).collect())
}

async fn large_objects(control: &Client, standby: bool) -> Result<Option<Finding>, Failure> {
    let count = catalog::large_objects(control).await?;
    Ok((count > 0).then(|| {
        let seen = format!(
            "there are {count} large objects; changes to them are not in the log, so those made \
             while the migration runs are not carried{}",
            if standby { ", and on a standby cannot be noticed either" } else { "" }
        );
        Finding::warn("LARGE_OBJECTS", "source", seen)
    }))
}

/// A bound on retained log that a copy of this size may well reach.
fn little_log(server: &Server, tables: &[Table]) -> Option<Finding> {
    let keep = server.max_slot_wal_keep_bytes?;
    let bytes: u64 = tables.iter().map(|table| table.bytes).sum();
    (keep < bytes.max(LITTLE_LOG_BYTES)).then(|| {
        let seen = format!(
            "max_slot_wal_keep_size is {} MB: the server gives the slot up, and the migration \
             with it, once that much was written while it was behind",
            keep >> 20
        );
        Finding::warn("SLOT_LIMIT", "source", seen)
            .with_fix("ALTER SYSTEM SET max_slot_wal_keep_size = -1; SELECT pg_reload_conf()")
    })
}

/// A bound on the time that a slot may go unused.
fn idle_limit(server: &Server) -> Option<Finding> {
    let limit = server.idle_slot_limit.as_ref()?;
    let seen = format!(
        "idle_replication_slot_timeout is {limit}: the server gives the slot up, and the \
         migration with it, once no run has used it for that long"
    );
    let fix = "ALTER SYSTEM SET idle_replication_slot_timeout = 0; SELECT pg_reload_conf()";
    Some(Finding::warn("SLOT_LIMIT", "source", seen).with_fix(fix))
}

/// What the database is like, and what there is to be said of it.
struct Database {
    facts: ServerFacts,
    findings: Vec<Finding>,
}

async fn database(control: &Client, server: &Server) -> Result<Database, Failure> {
    let row = control
        .query_one(include_str!("../../../sql/postgres/source_facts.sql"), &[])
        .await
        .map_err(attempting("read what the source's database is like"))?;
    let mut findings = Vec::new();
    if !row.get::<_, bool>("may_publish") && !server.in_recovery {
        let database = quote_ident(&server.basics.database);
        let fix =
            format!("GRANT CREATE ON DATABASE {database} TO {}", quote_ident(&server.basics.role));
        let seen = "the role may not create a publication in the database";
        findings.push(missing(&server.basics.role, seen).with_fix(fix));
    }
    let subscriptions: Vec<String> = row.get("subscriptions");
    findings.extend(subscriptions.iter().map(|name| subscription(name)));
    let facts = ServerFacts { privileged: row.get("privileged"), ..server.basics.facts(&row) };
    Ok(Database { facts, findings })
}

/// Two subscriptions over one slot would take each other's changes.
fn subscription(name: &str) -> Finding {
    let seen =
        "it is not carried over: what it brings to the source comes to the target from there";
    Finding::info("SUBSCRIPTION_LEFT", format!("subscription {name}"), seen).with_hint(
        "once the applications write to the target, drop it here with slot_name = NONE and create \
         it there with the same slot_name, create_slot = false and copy_data = false",
    )
}

fn oids(tables: &[Table]) -> Vec<u32> {
    tables.iter().flat_map(relation_oids).collect()
}

fn name(row: &Row) -> TableName {
    TableName { schema: row.get("schema"), name: row.get("name") }
}

fn names(rows: &[&Row]) -> Vec<TableName> {
    rows.iter().map(|row| name(row)).collect()
}

fn listed(names: &[TableName]) -> String {
    names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn quoted(names: &[TableName]) -> String {
    names.iter().map(quote_name).collect::<Vec<_>>().join(", ")
}

fn distinct(rows: &[&Row], column: &str) -> Vec<String> {
    let values: std::collections::BTreeSet<String> =
        rows.iter().map(|row| row.get(column)).collect();
    values.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connect::server::Basics;

    fn server() -> Server {
        let basics = Basics {
            version_num: 150_004,
            system_identifier: Some(7),
            database: "app".to_owned(),
            encoding: "UTF8".to_owned(),
            max_connections: 100,
            reserved_connections: 3,
            used_connections: 1,
            role: "dunlin".to_owned(),
            is_superuser: false,
        };
        Server {
            basics,
            in_recovery: false,
            wal_level: "logical".to_owned(),
            max_replication_slots: 10,
            used_replication_slots: 0,
            max_wal_senders: 10,
            used_wal_senders: 0,
            max_slot_wal_keep_bytes: None,
            idle_slot_limit: None,
            has_replication: true,
        }
    }

    fn ids(server: &Server) -> Vec<String> {
        settings(server, 8).into_iter().map(|finding| finding.id).collect()
    }

    #[test]
    fn versions_from_12_to_18_are_supported() {
        assert!([120_000, 150_004, 180_009].into_iter().all(|num| version(num).is_none()));
        for num in [90_624, 110_022, 190_000] {
            assert_eq!(
                version(num).and_then(|finding| finding.code()),
                Some(Code::VersionUnsupported)
            );
        }
    }

    #[test]
    fn a_server_that_is_ready_raises_nothing() {
        assert_eq!(ids(&server()), [] as [&str; 0]);
    }

    #[test]
    fn each_setting_has_its_code() {
        assert_eq!(ids(&Server { wal_level: "replica".to_owned(), ..server() }), ["WAL_LEVEL"]);
        assert_eq!(ids(&Server { used_replication_slots: 9, ..server() }), ["NO_FREE_SLOT"]);
        assert_eq!(ids(&Server { used_wal_senders: 9, ..server() }), ["NO_FREE_SENDER"]);
        assert_eq!(ids(&Server { has_replication: false, ..server() }), ["PRIVILEGE_MISSING"]);
        let crowded = |used_connections| {
            let basics = Basics { used_connections, ..server().basics };
            ids(&Server { basics, ..server() })
        };
        assert_eq!(crowded(91), ["NO_FREE_CONNECTIONS"]);
        assert_eq!(crowded(90), [] as [&str; 0]);
        for (version_num, findings) in [(150_004, &["SOURCE_STANDBY"][..]), (160_000, &[])] {
            let basics = Basics { version_num, ..server().basics };
            let standby = Server { basics, in_recovery: true, ..server() };
            assert_eq!(ids(&standby), findings);
        }
    }

    #[test]
    fn a_bound_on_the_log_is_compared_with_the_data() {
        let bound = |bytes| Server { max_slot_wal_keep_bytes: Some(bytes), ..server() };
        assert!(little_log(&bound(1 << 20), &[]).is_some());
        assert!(little_log(&bound(2 << 30), &[]).is_none());
        assert!(little_log(&server(), &[]).is_none());
    }

    #[test]
    fn a_bound_on_idle_slots_is_told() {
        assert!(idle_limit(&server()).is_none());
        assert!(idle_limit(&Server { idle_slot_limit: Some("1d".into()), ..server() }).is_some());
    }
}
