//! The least that each server must grant, as SQL to read and to run.
//!
//! In: names. Out: text. It asks no server and knows nothing of the command line.

use crate::connect::quote::quote_ident;

/// The names that the statements are about.
#[derive(Clone, Copy, Debug)]
pub struct Roles<'a> {
    /// dunlin's role.
    pub role: &'a str,
    /// The role that owns the tables.
    pub owner: &'a str,
    /// The database.
    pub database: &'a str,
    /// The schemas that are moved.
    pub schemas: &'a [String],
}

/// What the source must grant.
#[must_use]
pub fn source_statements(roles: &Roles<'_>) -> String {
    statements(
        roles,
        include_str!("../../sql/postgres/grants_source.sql"),
        include_str!("../../sql/postgres/grants_source_schema.sql"),
    )
}

/// What the target must grant.
#[must_use]
pub fn target_statements(roles: &Roles<'_>) -> String {
    statements(
        roles,
        include_str!("../../sql/postgres/grants_target.sql"),
        include_str!("../../sql/postgres/grants_target_schema.sql"),
    )
}

fn statements(roles: &Roles<'_>, once: &str, per_schema: &str) -> String {
    let schemas = roles.schemas.iter().map(|schema| fill(per_schema, roles, schema));
    fill(once, roles, "") + &schemas.collect::<String>()
}

/// Puts the names in, in one pass, so that a name with braces in it stays a name.
fn fill(template: &str, roles: &Roles<'_>, schema: &str) -> String {
    let mut text = String::with_capacity(template.len() + 64);
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        text.push_str(before);
        let (word, behind) = after.split_once('}').unwrap_or((after, ""));
        text.push_str(&quote_ident(match word {
            "role" => roles.role,
            "owner" => roles.owner,
            "database" => roles.database,
            _ => schema,
        }));
        rest = behind;
    }
    text + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roles(schemas: &[String]) -> Roles<'_> {
        Roles { role: "dunlin", owner: "shop", database: "app", schemas }
    }

    fn schemas() -> Vec<String> {
        vec!["public".to_owned(), "a{role}\"".to_owned()]
    }

    #[test]
    fn the_source_grants_the_least() {
        insta::assert_snapshot!(source_statements(&roles(&schemas())), @r#"
    -- On the source, in the database to be moved, as a superuser or the database's owner.
    -- Set a password with \password, or let the role log in by certificate or peer.
    CREATE ROLE "dunlin" LOGIN REPLICATION;
    GRANT CONNECT ON DATABASE "app" TO "dunlin";
    -- A publication is made by a role with CREATE on the database that owns the tables in it:
    -- dunlin's role becomes a member of the owner's. Where the source is a standby neither is needed:
    -- its primary makes the publications by hand. All of this is then run on the primary.
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
        insta::assert_snapshot!(target_statements(&roles(&schemas())), @r#"
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
