//! The least that each server must grant, as SQL to read and to run.
//!
//! In: names. Out: text. It asks no server and knows nothing of the command line.

use super::Engine;
use crate::connect::mysql::quote as mysql;
use crate::connect::quote::quote_ident;

/// The names that the statements are about.
#[derive(Clone, Copy, Debug)]
pub struct Roles<'a> {
    /// The kind of server.
    pub engine: Engine,
    /// dunlin's role (MySQL: its account, `user` or `user@host`).
    pub role: &'a str,
    /// The role that owns the tables; none in MySQL.
    pub owner: &'a str,
    /// The database.
    pub database: &'a str,
    /// The schemas that are moved (MySQL: the databases).
    pub schemas: &'a [String],
}

/// What the source must grant.
#[must_use]
pub fn source_statements(roles: &Roles<'_>) -> String {
    let (once, per_schema) = match roles.engine {
        Engine::Postgres => (
            include_str!("../../sql/postgres/grants_source.sql"),
            include_str!("../../sql/postgres/grants_source_schema.sql"),
        ),
        Engine::MySql => (
            include_str!("../../sql/mysql/grants_source.sql"),
            include_str!("../../sql/mysql/grants_source_schema.sql"),
        ),
    };
    statements(roles, once, per_schema)
}

/// What the target must grant.
#[must_use]
pub fn target_statements(roles: &Roles<'_>) -> String {
    let (once, per_schema) = match roles.engine {
        Engine::Postgres => (
            include_str!("../../sql/postgres/grants_target.sql"),
            include_str!("../../sql/postgres/grants_target_schema.sql"),
        ),
        Engine::MySql => (
            include_str!("../../sql/mysql/grants_target.sql"),
            include_str!("../../sql/mysql/grants_target_schema.sql"),
        ),
    };
    statements(roles, once, per_schema)
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
        text.push_str(&match (roles.engine, word) {
            (Engine::Postgres, "role") => quote_ident(roles.role),
            (Engine::Postgres, "owner") => quote_ident(roles.owner),
            (Engine::Postgres, "database") => quote_ident(roles.database),
            (Engine::Postgres, _) => quote_ident(schema),
            (Engine::MySql, "role") => mysql::quote_account(roles.role),
            (Engine::MySql, _) => mysql::quote_level(schema),
        });
        rest = behind;
    }
    text + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roles(schemas: &[String]) -> Roles<'_> {
        let engine = Engine::Postgres;
        Roles { engine, role: "dunlin", owner: "shop", database: "app", schemas }
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
    -- Only for dunlin cutover, to end sessions of others that keep a transaction open:
    -- GRANT pg_signal_backend TO "dunlin";
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

    fn of_mysql(schemas: &[String]) -> Roles<'_> {
        Roles { engine: Engine::MySql, role: "mover@10.%", ..roles(schemas) }
    }

    #[test]
    fn a_source_of_mysql_grants_the_least() {
        insta::assert_snapshot!(source_statements(&of_mysql(&["my_shop".to_owned()])), @r"
    -- On the source, as an account that may create others. What stands in /*! */ is read by
    -- versions of MySQL that have it, in /*M! */ by those of MariaDB.
    CREATE USER IF NOT EXISTS `mover`@`10.%`;
    -- Set a password: ALTER USER `mover`@`10.%` IDENTIFIED BY '...';
    -- The binary log, where it ends, and a moment in which all tables hold still; prepared XA
    -- transactions; the routines of other accounts; locks that end with each table. With --lock none
    -- RELOAD is not needed for run.
    GRANT REPLICATION SLAVE, REPLICATION CLIENT, RELOAD /*!80004 , XA_RECOVER_ADMIN */
        /*!80020 , SHOW_ROUTINE */ /*M!100502 , BINLOG ADMIN */ ON *.* TO `mover`@`10.%`;
    GRANT /*!80000 USAGE ON *.* */ /*M!100500 SELECT ON mysql.proc */ TO `mover`@`10.%`;
    -- Only to have check and plan name the accounts of applications, which are not copied:
    -- GRANT SELECT ON mysql.* TO `mover`@`10.%`;
    -- Only to be told which session keeps the snapshot from beginning:
    -- GRANT PROCESS ON *.* TO `mover`@`10.%`;
    -- Only for dunlin cutover: to have the server refuse writes, to end what keeps the lock from being
    -- had, and to write to a server that is read-only, as dunlin reverse does; grant it on both servers.
    -- GRANT PROCESS, CONNECTION_ADMIN, SYSTEM_VARIABLES_ADMIN ON *.* TO `mover`@`10.%`;
    -- GRANT SELECT ON performance_schema.* TO `mover`@`10.%`;
    -- On MariaDB: GRANT PROCESS, CONNECTION ADMIN, READ ONLY ADMIN ON *.* TO `mover`@`10.%`;
    GRANT SELECT, SHOW VIEW, TRIGGER, EVENT ON `my\_shop`.* TO `mover`@`10.%`;
    ");
    }

    #[test]
    fn a_target_of_mysql_grants_the_least() {
        insta::assert_snapshot!(target_statements(&of_mysql(&["my_shop".to_owned()])), @r"
    -- On the target, as an account that may create others. What stands in /*! */ is read by
    -- versions of MySQL that have it, in /*M! */ by those of MariaDB.
    CREATE USER IF NOT EXISTS `mover`@`10.%`;
    -- Set a password: ALTER USER `mover`@`10.%` IDENTIFIED BY '...';
    -- The state of the migration.
    GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, CREATE TEMPORARY TABLES
        ON `dunlin`.* TO `mover`@`10.%`;
    -- Only where views, routines, triggers or events run as other accounts:
    GRANT USAGE /*!80200 , SET_ANY_DEFINER, ALLOW_NONEXISTENT_DEFINER */
        /*M!100502 , SET USER */ ON *.* TO `mover`@`10.%`;
    -- Before MySQL 8.2: GRANT SET_USER_ID ON *.* TO `mover`@`10.%`;
    -- Only where one of these accounts has SYSTEM_USER: GRANT SYSTEM_USER ON *.* TO `mover`@`10.%`;
    -- Only where ENUM columns hold many values that are no label (index 0), on MySQL:
    -- GRANT SESSION_VARIABLES_ADMIN ON *.* TO `mover`@`10.%`;
    -- Only with --target-binlog off, SESSION_VARIABLES_ADMIN too, or on MariaDB:
    -- GRANT BINLOG ADMIN ON *.* TO `mover`@`10.%`;
    -- Only where the target writes a binary log and there are functions or triggers:
    -- SET GLOBAL log_bin_trust_function_creators = ON;
    GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, ALTER, INDEX, REFERENCES, CREATE VIEW,
        SHOW VIEW, CREATE ROUTINE, ALTER ROUTINE, TRIGGER, EVENT ON `my\_shop`.* TO `mover`@`10.%`;
    ");
    }
}
