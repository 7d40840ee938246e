//! `dunlin grants`: the least that each server must grant, as SQL to read and to run.
//!
//! In come names; out goes text. It asks no server.

use clap::{Args, ValueEnum};

use super::output::{ExitStatus, OutputError, print};
use crate::migration::Engine;
use crate::migration::grants::{Roles, source_statements, target_statements};

/// The options of `dunlin grants`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  dunlin grants --side source --database app --schema public --schema sales | psql ...
  dunlin grants --engine mysql --side target --database app | mysql ...

Next: dunlin check, as that role.")]
pub struct GrantsArgs {
    /// The kind of server
    #[arg(long, value_enum, default_value = "postgres")]
    pub engine: GrantsEngine,
    /// One side only
    #[arg(long, value_enum)]
    pub side: Option<Side>,
    /// dunlin's role (MySQL: user or user@host)
    #[arg(long, value_name = "ROLE", default_value = "dunlin")]
    pub role: String,
    /// The role that owns the tables (Postgres)
    #[arg(long, value_name = "ROLE", default_value = "app_owner")]
    pub owner: String,
    /// The database
    #[arg(long, value_name = "NAME", default_value = "app")]
    pub database: String,
    /// A schema to be moved, repeatable (MySQL: a further database); `public` where none is given
    #[arg(long = "schema", value_name = "NAME")]
    pub schemas: Vec<String>,
    /// Print {"source": SQL, "target": SQL} as JSON
    #[arg(long)]
    pub json: bool,
}

/// A kind of server.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum GrantsEngine {
    /// Postgres.
    Postgres,
    /// MySQL.
    Mysql,
    /// MariaDB; the statements are the same as for MySQL.
    Mariadb,
}

/// A side of the migration.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Side {
    /// Where the data comes from.
    Source,
    /// Where it goes.
    Target,
}

/// Prints the statements.
///
/// # Errors
///
/// Where they cannot be printed.
pub fn run(args: &GrantsArgs) -> Result<ExitStatus, OutputError> {
    let mut schemas = args.schemas.clone();
    let engine = match args.engine {
        GrantsEngine::Postgres => Engine::Postgres,
        GrantsEngine::Mysql | GrantsEngine::Mariadb => Engine::MySql,
    };
    match engine {
        Engine::Postgres if schemas.is_empty() => schemas.push("public".to_owned()),
        Engine::Postgres => {}
        Engine::MySql => schemas.insert(0, args.database.clone()),
    }
    let (role, owner, database) = (&*args.role, &*args.owner, &*args.database);
    let roles = Roles { engine, role, owner, database, schemas: &schemas };
    let wanted = |side| args.side.is_none_or(|only| only == side);
    let mut sides = Vec::new();
    if wanted(Side::Source) {
        sides.push(("source", source_statements(&roles)));
    }
    if wanted(Side::Target) {
        sides.push(("target", target_statements(&roles)));
    }
    if args.json {
        let object: serde_json::Map<_, _> =
            sides.into_iter().map(|(name, sql)| (name.to_owned(), sql.into())).collect();
        print(&format!("{}\n", serde_json::Value::Object(object)))?;
    } else {
        let texts: Vec<_> = sides.into_iter().map(|(_, sql)| sql).collect();
        print(&texts.join("\n"))?;
    }
    Ok(ExitStatus::Done)
}
