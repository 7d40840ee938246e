//! `dunlin grants`: the least that each server must grant, as SQL to read and to run.
//!
//! In come names; out goes text. It asks no server.

use clap::{Args, ValueEnum};

use super::output::{ExitStatus, OutputError, print};
use crate::migration::grants::{Roles, source_statements, target_statements};

/// The options of `dunlin grants`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  dunlin grants --side source --database app --schema public --schema sales | psql ...

Next: dunlin check, as that role.")]
pub struct GrantsArgs {
    /// One side only
    #[arg(long, value_enum)]
    pub side: Option<Side>,
    /// dunlin's role
    #[arg(long, value_name = "ROLE", default_value = "dunlin")]
    pub role: String,
    /// The role that owns the tables
    #[arg(long, value_name = "ROLE", default_value = "app_owner")]
    pub owner: String,
    /// The database
    #[arg(long, value_name = "NAME", default_value = "app")]
    pub database: String,
    /// A schema to be moved, repeatable
    #[arg(long = "schema", value_name = "NAME", default_value = "public")]
    pub schemas: Vec<String>,
    /// Print {"source": SQL, "target": SQL} as JSON
    #[arg(long)]
    pub json: bool,
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
    let roles = Roles {
        role: &args.role,
        owner: &args.owner,
        database: &args.database,
        schemas: &args.schemas,
    };
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
