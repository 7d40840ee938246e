//! `dunlin grants`: the least that each server must grant, as SQL to read and to run.
//!
//! In come names; out goes text. It asks no server.

use clap::{Args, ValueEnum};

use super::output::{ExitStatus, OutputError, print};
use crate::connect::quote::quote_ident;

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
    let wanted = |side| args.side.is_none_or(|only| only == side);
    let sides: Vec<(&str, String)> = [("source", Side::Source), ("target", Side::Target)]
        .into_iter()
        .filter(|(_, side)| wanted(*side))
        .map(|(name, side)| (name, statements(args, side)))
        .collect();
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

fn statements(args: &GrantsArgs, side: Side) -> String {
    let (once, per_schema) = match side {
        Side::Source => (
            include_str!("../../sql/postgres/grants_source.sql"),
            include_str!("../../sql/postgres/grants_source_schema.sql"),
        ),
        Side::Target => (
            include_str!("../../sql/postgres/grants_target.sql"),
            include_str!("../../sql/postgres/grants_target_schema.sql"),
        ),
    };
    let schemas = args.schemas.iter().map(|schema| fill(per_schema, args, schema));
    fill(once, args, "") + &schemas.collect::<String>()
}

/// Puts the names in, in one pass, so that a name with braces in it stays a name.
fn fill(template: &str, args: &GrantsArgs, schema: &str) -> String {
    let mut text = String::with_capacity(template.len() + 64);
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        text.push_str(before);
        let (word, behind) = after.split_once('}').unwrap_or((after, ""));
        text.push_str(&quote_ident(match word {
            "role" => &args.role,
            "owner" => &args.owner,
            "database" => &args.database,
            _ => schema,
        }));
        rest = behind;
    }
    text + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args() -> GrantsArgs {
        GrantsArgs {
            side: None,
            role: "dunlin".to_owned(),
            owner: "shop".to_owned(),
            database: "app".to_owned(),
            schemas: vec!["public".to_owned(), "a{role}\"".to_owned()],
            json: false,
        }
    }

    #[test]
    fn the_source_grants_the_least() {
        insta::assert_snapshot!(statements(&args(), Side::Source), @r#"
    -- On the source, in the database to be moved, as a superuser or the database's owner.
    -- Set a password with \password, or let the role log in by certificate or peer.
    CREATE ROLE "dunlin" LOGIN REPLICATION;
    GRANT CONNECT ON DATABASE "app" TO "dunlin";
    -- A publication is made by a role with CREATE on the database that owns the tables in it:
    -- dunlin's role becomes a member of the owner's.
    GRANT CREATE ON DATABASE "app" TO "dunlin";
    GRANT "shop" TO "dunlin";
    -- Only where tables have row security, which would hide rows from the copy:
    -- ALTER ROLE "dunlin" BYPASSRLS;
    GRANT USAGE ON SCHEMA "public" TO "dunlin";
    GRANT SELECT ON ALL TABLES IN SCHEMA "public" TO "dunlin";
    GRANT SELECT ON ALL SEQUENCES IN SCHEMA "public" TO "dunlin";
    GRANT USAGE ON SCHEMA "a{role}""" TO "dunlin";
    GRANT SELECT ON ALL TABLES IN SCHEMA "a{role}""" TO "dunlin";
    GRANT SELECT ON ALL SEQUENCES IN SCHEMA "a{role}""" TO "dunlin";
    "#);
    }

    #[test]
    fn the_target_grants_the_least() {
        insta::assert_snapshot!(statements(&args(), Side::Target), @r#"
    -- On the target, in the database to be filled, as a superuser.
    -- Set a password with \password, or let the role log in by certificate or peer.
    CREATE ROLE "dunlin" LOGIN;
    GRANT CONNECT, CREATE, TEMPORARY ON DATABASE "app" TO "dunlin";
    -- Triggers and foreign keys rest while dunlin writes. From Postgres 15 on this parameter can be
    -- granted; before, dunlin's role must be a superuser: ALTER ROLE "dunlin" SUPERUSER;
    GRANT SET ON PARAMETER session_replication_role TO "dunlin";
    -- Only where the tables exist already: whoever builds their indexes must own them.
    -- GRANT "shop" TO "dunlin";
    GRANT USAGE, CREATE ON SCHEMA "public" TO "dunlin";
    GRANT USAGE, CREATE ON SCHEMA "a{role}""" TO "dunlin";
    "#);
    }
}
