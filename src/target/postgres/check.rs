//! What on the target would make a migration fail or lose something.
//!
//! In: a session, and what is about to arrive. Out: findings, each with what was seen and what mends
//! it. It only reads. What stands on the ground is judged in one place, for the check and for the
//! run that is about to write.

use tokio_postgres::{Client as Driver, Row};

use super::catalog::{self, Server};
use super::{Options, TargetError, work};
use crate::connect::attempting;
use crate::connect::postgres::Client;
use crate::connect::quote::{quote_ident, quote_literal, quote_name};
use crate::connect::server::missing_privilege;
use crate::model::handover::{DatabaseSetting, ServerFacts};
use crate::model::report::Finding;
use crate::model::{Code, Failure, Table, TableName};
use crate::target::Arrival;

/// Versions that are supported, by their majors.
const SUPPORTED: std::ops::RangeInclusive<u32> = 12..=18;

/// The version in which a single parameter can be granted.
const GRANTS_PARAMETERS_SINCE: i32 = 150_000;

/// Looks at everything. `options` tell what is carried over besides rows.
pub(super) async fn survey(
    control: &Client,
    arrival: &Arrival<'_>,
    options: &Options,
) -> Result<Vec<Finding>, Failure> {
    if let Some(finding) = version(control.server_version_num()) {
        return Ok(vec![finding]);
    }
    let server = catalog::server(control).await?;
    let mut findings = settings(&server, arrival.connections);
    let own = facts(control, &server).await?;
    let ground = ground(control, arrival.tables, arrival.truncate).await?;
    findings.extend(compare(arrival.source, &own, ground.make_schema));
    if ground.make_schema && !server.basics.is_superuser {
        findings.extend(arrival.source.privileged.iter().map(|object| privileged(object)));
    }
    if options.large_objects && arrival.source.large_objects && own.large_objects {
        findings.push(large_objects_in_the_way());
    }
    if ground.make_schema {
        findings.extend(closed_schemas(control, &server.basics.role, arrival.tables).await?);
    } else {
        findings.extend(unwritable(control, &server.basics.role, arrival.tables).await?);
    }
    findings.extend(ground.obstacles.iter().map(|error| Finding::of(error, "target")));
    if !options.privileges && ground.make_schema {
        let seen = "owners and privileges are not carried over: everything will belong to the \
                    target's role";
        findings.push(
            Finding::info("PRIVILEGES_LEFT", "target", seen)
                .with_hint("--privileges carries them; their roles must exist on the target"),
        );
    }
    Ok(findings)
}

/// What of the tables is there and not in force. What it is on the source, is not known here.
pub(super) async fn unfit(control: &Client, tables: &[Table]) -> Result<Vec<Finding>, Failure> {
    let (schemas, names): (Vec<&str>, Vec<&str>) =
        tables.iter().map(|table| (table.name.schema.as_str(), table.name.name.as_str())).unzip();
    let rows = control
        .query(include_str!("../../../sql/postgres/target_unfit.sql"), &[&schemas, &names])
        .await
        .map_err(attempting("look what is in force on the target"))?;
    let finding = |row: &Row| {
        let (relation, seen): (String, String) = (row.get("relation"), row.get("seen"));
        Finding::warn("NOT_IN_FORCE", format!("target: {relation}"), seen)
            .with_fix(row.get::<_, String>("fix"))
            .with_hint("unless the source has it likewise")
    };
    Ok(rows.iter().map(finding).collect())
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
    client: &Driver,
    tables: &[Table],
    truncate: &[TableName],
) -> Result<Ground, Failure> {
    let names: Vec<TableName> = tables.iter().map(|table| table.name.clone()).collect();
    let existing = catalog::existing_tables(client, &names).await?;
    let Some(present) = existing.first() else {
        return Ok(Ground { make_schema: true, to_empty: Vec::new(), obstacles: Vec::new() });
    };
    let mut obstacles = Vec::new();
    let is_there = |name: &&TableName| existing.iter().any(|table| table.name == **name);
    if let Some(missing) = names.iter().find(|name| !is_there(name)) {
        let present = present.name.clone();
        obstacles.push(TargetError::PartOfSchema { present, missing: missing.clone() });
    }
    let filled = existing.iter().filter(|table| table.has_rows).map(|table| table.name.clone());
    let (to_empty, in_the_way): (Vec<_>, Vec<_>) = filled.partition(|name| truncate.contains(name));
    obstacles.extend(in_the_way.into_iter().map(|table| TargetError::NotEmpty { table }));
    let there: Vec<Table> = tables.iter().filter(|table| is_there(&&table.name)).cloned().collect();
    obstacles.extend(work::schema_differences(client, &there).await?);
    Ok(Ground { make_schema: false, to_empty, obstacles })
}

fn version(version_num: u32) -> Option<Finding> {
    let major = version_num / 10_000;
    (!SUPPORTED.contains(&major)).then(|| {
        Finding::block(Code::VersionUnsupported, "target", format!("it runs Postgres {major}"))
            .with_hint("use a server of a version from 12 to 18")
    })
}

fn settings(server: &Server, connections: usize) -> Vec<Finding> {
    let mut findings = Vec::new();
    if server.read_only {
        let seen = "it is a standby, or its transactions are read only by default";
        findings.push(
            Finding::block(Code::TargetReadOnly, "target", seen)
                .with_hint("name a primary whose default_transaction_read_only is off"),
        );
    }
    let role = quote_ident(&server.basics.role);
    if !server.may_create_schema {
        let database = quote_ident(&server.basics.database);
        let fix = format!("GRANT CREATE ON DATABASE {database} TO {role}");
        let seen = "the role may not create schemas in the database";
        findings.push(missing(&server.basics.role, seen).with_fix(fix));
    }
    if !server.may_rest_triggers {
        let fix = match server.basics.version_num {
            GRANTS_PARAMETERS_SINCE.. => {
                format!("GRANT SET ON PARAMETER session_replication_role TO {role}")
            }
            _ => format!("ALTER ROLE {role} SUPERUSER"),
        };
        let seen = "the role may not set session_replication_role, by which triggers and foreign \
                    keys rest while dunlin writes";
        findings.push(missing(&server.basics.role, seen).with_fix(fix));
    }
    findings.extend(server.basics.room("target", connections));
    findings
}

fn missing(role: &str, seen: impl Into<String>) -> Finding {
    missing_privilege("target", role, seen)
}

/// What of the source's database this one cannot take as it is.
fn compare(source: &ServerFacts, own: &ServerFacts, make_schema: bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    let same_cluster = source.cluster.is_some() && source.cluster == own.cluster;
    if same_cluster && source.database == own.database {
        let seen = format!("it is the database {} of the source itself", own.database);
        findings.push(
            Finding::block(Code::SameDatabase, "target", seen)
                .with_hint("name another server, or another database, as --target"),
        );
    }
    if source.encoding != own.encoding {
        let seen = format!("it is in {}, the source in {}", own.encoding, source.encoding);
        let hint = "create the target's database with ENCODING 'UTF8' TEMPLATE template0";
        findings.push(if own.encoding == "UTF8" {
            Finding::warn(Code::EncodingDiffers.as_str(), "target", seen)
                .with_hint("a text that is not valid in the target's encoding halts the migration")
        } else {
            Finding::block(Code::EncodingDiffers, "target", seen).with_hint(hint)
        });
    }
    if source.collation != own.collation {
        let seen = format!("its locale is {}, the source's {}", own.collation, source.collation);
        findings.push(
            Finding::info("COLLATION_DIFFERS", "target", seen)
                .with_hint("text may be ordered in another way than on the source"),
        );
    }
    findings.extend(settings_left(source, own));
    if make_schema {
        findings.extend(older(source, own));
    }
    let absent = |name: &&String| make_schema && !own.extensions.contains(name);
    for name in source.extensions.iter().filter(absent) {
        let seen = format!("the source uses the extension {name}, which is not installed there");
        let hint = format!("install the package that holds {name} on the target's machine");
        findings.push(Finding::block(Code::ExtensionMissing, "target", seen).with_hint(hint));
    }
    findings
}

/// An older server does not understand everything that a newer one has.
fn older(source: &ServerFacts, own: &ServerFacts) -> Option<Finding> {
    (own.major < source.major).then(|| {
        let seen = format!(
            "it runs Postgres {}, which does not know everything that the source's {} does",
            own.major, source.major
        );
        Finding::warn("VERSION_OLDER", "target", seen).with_hint(
            "the whole schema is tried out before the first row is copied; where something cannot \
             be created the run halts there and names it. Then change it on the source and begin \
             anew (dunlin complete), or create the schema on the target by hand",
        )
    })
}

/// What the database of the source sets for its sessions, and this one does not.
fn settings_left(source: &ServerFacts, own: &ServerFacts) -> Option<Finding> {
    let left: Vec<&DatabaseSetting> =
        source.settings.iter().filter(|setting| !own.settings.contains(setting)).collect();
    let database = quote_ident(&own.database);
    let fix = |setting: &&DatabaseSetting| {
        let (name, value) = setting.assignment.split_once('=').unwrap_or((&setting.assignment, ""));
        // Lists are kept with their elements quoted one by one (`GUC_LIST_QUOTE` in guc.c).
        let value = match name.ends_with("search_path") || name.ends_with("_libraries") {
            true => value.to_owned(),
            false => quote_literal(value),
        };
        let whose = match &setting.role {
            Some(role) => format!("ROLE {} IN DATABASE {database}", quote_ident(role)),
            None => format!("DATABASE {database}"),
        };
        format!("ALTER {whose} SET {name} TO {value}")
    };
    (!left.is_empty()).then(|| {
        let seen = "the source's database has settings of its own, which are not carried over";
        let fixes: Vec<String> = left.iter().map(fix).collect();
        Finding::warn("DATABASE_SETTINGS", "target", seen).with_fix(fixes.join(";\n"))
    })
}

fn privileged(object: &str) -> Finding {
    let seen = format!("only a superuser may create {object}: it is not carried over");
    Finding::warn("SUPERUSER_NEEDED", "target", seen)
        .with_hint("create it by hand at the end, or let a superuser run dunlin")
}

/// Large objects keep their OIDs, so those of the source would replace others.
fn large_objects_in_the_way() -> Finding {
    let seen = "it holds large objects already; those of the source would replace the ones of the \
                same OIDs";
    let hint = "name another target, leave the source's out by --skip-large-objects, or remove \
                those that are there: SELECT lo_unlink(oid) FROM pg_largeobject_metadata";
    Finding::block(Code::TargetNotEmpty, "target", seen).with_hint(hint)
}

async fn facts(control: &Client, server: &Server) -> Result<ServerFacts, Failure> {
    let row = control
        .query_one(include_str!("../../../sql/postgres/target_facts.sql"), &[])
        .await
        .map_err(attempting("read what the target's database is like"))?;
    Ok(server.basics.facts(&row))
}

/// Schemas that are there, in which the tables cannot be made.
async fn closed_schemas(
    control: &Client,
    role: &str,
    tables: &[Table],
) -> Result<Option<Finding>, Failure> {
    let schemas: Vec<&str> = tables.iter().map(|table| table.name.schema.as_str()).collect();
    let rows = control
        .query(include_str!("../../../sql/postgres/target_closed_schemas.sql"), &[&schemas])
        .await
        .map_err(attempting("read the privileges on the target's schemas"))?;
    let closed: Vec<String> = rows.iter().map(|row| row.get("schema")).collect();
    Ok((!closed.is_empty()).then(|| {
        let seen = format!("the role may not create tables in the schemas {}", closed.join(", "));
        let quoted: Vec<String> = closed.iter().map(|schema| quote_ident(schema)).collect();
        let quoted = quoted.join(", ");
        let fix = format!("GRANT USAGE, CREATE ON SCHEMA {quoted} TO {}", quote_ident(role));
        missing(role, seen).with_fix(fix)
    }))
}

/// Tables that are there and cannot be written.
async fn unwritable(
    control: &Client,
    role: &str,
    tables: &[Table],
) -> Result<Option<Finding>, Failure> {
    let (schemas, names): (Vec<&str>, Vec<&str>) =
        tables.iter().map(|table| (table.name.schema.as_str(), table.name.name.as_str())).unzip();
    let rows = control
        .query(include_str!("../../../sql/postgres/target_privileges.sql"), &[&schemas, &names])
        .await
        .map_err(attempting("read the privileges on the target's tables"))?;
    let closed: Vec<TableName> =
        rows.iter().filter(|row| !row.get::<_, bool>("may_write")).map(name).collect();
    Ok((!closed.is_empty()).then(|| {
        let listed: Vec<String> = closed.iter().map(ToString::to_string).collect();
        let quoted: Vec<String> = closed.iter().map(quote_name).collect();
        let seen = format!("the role may not write {}", listed.join(", "));
        let fix = format!(
            "GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON {} TO {}",
            quoted.join(", "),
            quote_ident(role)
        );
        missing(role, seen).with_fix(fix)
    }))
}

fn name(row: &Row) -> TableName {
    TableName { schema: row.get("schema"), name: row.get("name") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::report::Severity;

    fn facts() -> ServerFacts {
        ServerFacts {
            cluster: Some("7".to_owned()),
            major: 15,
            database: "app".to_owned(),
            encoding: "UTF8".to_owned(),
            collation: "C.UTF-8".to_owned(),
            extensions: vec!["plpgsql".to_owned()],
            ..ServerFacts::default()
        }
    }

    fn other() -> ServerFacts {
        ServerFacts { cluster: Some("8".to_owned()), ..facts() }
    }

    fn weighed(source: &ServerFacts, own: &ServerFacts) -> Vec<(String, Severity)> {
        let findings = compare(source, own, true);
        findings.into_iter().map(|finding| (finding.id, finding.severity)).collect()
    }

    fn one(id: &str, severity: Severity) -> Vec<(String, Severity)> {
        vec![(id.to_owned(), severity)]
    }

    #[test]
    fn versions_from_12_to_18_are_supported() {
        assert!([120_000, 150_004, 180_009].into_iter().all(|num| version(num).is_none()));
        assert!([90_624, 110_022, 190_000].into_iter().all(|num| version(num).is_some()));
    }

    #[test]
    fn only_the_same_database_of_the_same_cluster_is_the_same() {
        assert_eq!(weighed(&facts(), &facts()), one("SAME_DATABASE", Severity::Block));
        assert_eq!(weighed(&facts(), &other()), []);
        let beside = ServerFacts { database: "copy".to_owned(), ..facts() };
        assert_eq!(weighed(&facts(), &beside), []);
        let unknown = ServerFacts { cluster: None, ..facts() };
        assert_eq!(weighed(&unknown, &unknown), []);
    }

    #[test]
    fn a_narrower_encoding_blocks_and_a_wider_one_warns() {
        let latin = || ServerFacts { encoding: "LATIN1".to_owned(), ..other() };
        assert_eq!(weighed(&facts(), &latin()), one("ENCODING_DIFFERS", Severity::Block));
        let source = ServerFacts { encoding: "SQL_ASCII".to_owned(), ..facts() };
        assert_eq!(weighed(&source, &other()), one("ENCODING_DIFFERS", Severity::Warn));
    }

    #[test]
    fn an_older_version_is_told_where_the_schema_is_made() {
        let source = ServerFacts { major: 18, ..facts() };
        assert_eq!(weighed(&source, &other()), one("VERSION_OLDER", Severity::Warn));
        assert_eq!(compare(&source, &other(), false), []);
        assert_eq!(weighed(&other(), &ServerFacts { major: 18, ..facts() }), []);
    }

    #[test]
    fn settings_of_the_database_come_with_their_statements() {
        let setting = |role: Option<&str>, assignment: &str| DatabaseSetting {
            role: role.map(str::to_owned),
            assignment: assignment.to_owned(),
        };
        let both = setting(None, "work_mem=8MB");
        let list = setting(None, "search_path=\"$user\", app");
        let of_role = setting(Some("Me"), "application_name=it's");
        let source = ServerFacts { settings: vec![both.clone(), list, of_role], ..facts() };
        let own = ServerFacts { settings: vec![both], ..other() };
        let found = settings_left(&source, &own).and_then(|finding| finding.fix_sql);
        let fix = "ALTER DATABASE \"app\" SET search_path TO \"$user\", app;\n\
                   ALTER ROLE \"Me\" IN DATABASE \"app\" SET application_name TO 'it''s'";
        assert_eq!(found.as_deref(), Some(fix));
    }

    #[test]
    fn an_extension_matters_only_where_the_schema_is_made() {
        let source = ServerFacts { extensions: vec!["postgis".to_owned()], ..facts() };
        assert_eq!(weighed(&source, &other()), one("EXTENSION_MISSING", Severity::Block));
        assert_eq!(compare(&source, &other(), false), []);
    }
}
