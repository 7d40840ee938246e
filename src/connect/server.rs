//! What source and target both ask a Postgres server about itself.
//!
//! In: a row of the server's settings, as `source_server.sql` and `target_server.sql` select it.
//! Out: plain values, and the findings that are the same on either side.

use tokio_postgres::{Client, Row};

use super::StatementError;
use crate::model::Code;
use crate::model::handover::{DatabaseSetting, ServerFacts};
use crate::model::report::Finding;

/// A server, the database in it and the role we are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Basics {
    /// As `server_version_num`: 150004.
    pub version_num: i32,
    /// The cluster's identifier. None where the role may not read it.
    pub system_identifier: Option<u64>,
    /// The database's name.
    pub database: String,
    /// The database's encoding: `UTF8`, `SQL_ASCII`.
    pub encoding: String,
    /// Connections there may be, reserved ones included.
    pub max_connections: i32,
    /// Connections that only privileged roles get.
    pub reserved_connections: i32,
    /// Connections there are.
    pub used_connections: i32,
    /// The role we are.
    pub role: String,
    /// The role is a superuser.
    pub is_superuser: bool,
}

impl Basics {
    /// Reads the columns that both queries share.
    ///
    /// # Errors
    ///
    /// The system identifier cannot be read though the role may.
    pub async fn read(client: &Client, row: &Row) -> Result<Self, StatementError> {
        Ok(Basics {
            version_num: row.get("version_num"),
            system_identifier: system_identifier(client, row.get("may_read_control")).await?,
            database: row.get("database"),
            encoding: row.get("encoding"),
            max_connections: row.get("max_connections"),
            reserved_connections: row.get("reserved_connections"),
            used_connections: row.get("used_connections"),
            role: row.get("role"),
            is_superuser: row.get("is_superuser"),
        })
    }

    /// What the other side has to know; the row tells the rest.
    #[must_use]
    pub fn facts(&self, row: &Row) -> ServerFacts {
        ServerFacts {
            major: self.version_num.unsigned_abs() / 10_000,
            cluster: self.system_identifier.map(|identifier| identifier.to_string()),
            database: self.database.clone(),
            encoding: self.encoding.clone(),
            collation: row.get("collation"),
            extensions: row.get("extensions"),
            large_objects: row.get("large_objects"),
            settings: settings(row),
            ..ServerFacts::default()
        }
    }

    /// Whether there is room for so many connections, of which one is there already: our own.
    #[must_use]
    pub fn room(&self, side: &str, connections: usize) -> Option<Finding> {
        let reserved = if self.is_superuser { 0 } else { self.reserved_connections };
        let free = (self.max_connections - reserved - self.used_connections).max(0);
        let wanted = connections.saturating_sub(1);
        (usize::try_from(free).unwrap_or_default() < wanted).then(|| {
            let seen = format!(
                "{free} of {} connections are free, and {wanted} more are needed",
                self.max_connections
            );
            Finding::block(Code::NoFreeConnections, side, seen)
                .with_hint("close other sessions, raise max_connections or lower --max-connections")
        })
    }
}

fn settings(row: &Row) -> Vec<DatabaseSetting> {
    let roles: Vec<Option<String>> = row.get("setting_roles");
    let assignments: Vec<String> = row.get("settings");
    let pairs = roles.into_iter().zip(assignments);
    pairs.map(|(role, assignment)| DatabaseSetting { role, assignment }).collect()
}

/// A role lacks a privilege on one side.
#[must_use]
pub fn missing_privilege(side: &str, role: &str, seen: impl Into<String>) -> Finding {
    Finding::block(Code::PrivilegeMissing, format!("role {role} on the {side}"), seen)
        .with_hint("`dunlin grants` prints all that is needed")
}

async fn system_identifier(client: &Client, may_read: bool) -> Result<Option<u64>, StatementError> {
    if !may_read {
        return Ok(None);
    }
    let row = client
        .query_one("SELECT system_identifier FROM pg_catalog.pg_control_system()", &[])
        .await
        .map_err(super::attempting("read the system identifier"))?;
    Ok(Some(row.get::<_, i64>(0).cast_unsigned()))
}
