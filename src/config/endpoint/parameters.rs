//! What libpq's connection parameters mean, and what they are where nobody names them.
//!
//! In: a connection string and the environment. Out: a complete endpoint. The order is libpq's:
//! the string, then the `PG*` variables, then the defaults. A parameter that does not exist, or
//! that dunlin cannot honour, is an error; none is ignored except those that change nothing.
//! Source: the Postgres manual, "Parameter Key Words" and "Environment Variables".

use super::conninfo::{self, Parameters};
use super::error::EndpointError;
use super::passfile::{PassFile, Wanted};
use super::postgres::{
    ChannelBinding, Host, Keepalives, Parts, RootCertificates, SessionRole, SslMode,
    SslNegotiation, TlsSettings,
};
use crate::config::environment::Environment;
use crate::config::secret::Secret;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Parameters that are honoured, each with its variable.
const HONOURED: &[(&str, &str)] = &[
    ("host", "PGHOST"),
    ("hostaddr", "PGHOSTADDR"),
    ("port", "PGPORT"),
    ("dbname", "PGDATABASE"),
    ("user", "PGUSER"),
    ("password", "PGPASSWORD"),
    ("passfile", "PGPASSFILE"),
    ("channel_binding", "PGCHANNELBINDING"),
    ("connect_timeout", "PGCONNECT_TIMEOUT"),
    ("options", "PGOPTIONS"),
    ("sslmode", "PGSSLMODE"),
    ("sslnegotiation", "PGSSLNEGOTIATION"),
    ("sslrootcert", "PGSSLROOTCERT"),
    ("sslcert", "PGSSLCERT"),
    ("sslkey", "PGSSLKEY"),
    ("sslsni", "PGSSLSNI"),
    ("target_session_attrs", "PGTARGETSESSIONATTRS"),
    ("gssencmode", "PGGSSENCMODE"),
    ("keepalives", ""),
    ("keepalives_idle", ""),
    ("keepalives_interval", ""),
    ("keepalives_count", ""),
];

/// Parameters that dunlin sets by itself, so that the operator's change nothing: the encoding is
/// always UTF-8, the application's name says what the session is for.
const OWN: &[&str] =
    &["application_name", "fallback_application_name", "client_encoding", "sslcompression"];

/// libpq's parameters that would change what is trusted or reached, and that dunlin cannot honour.
const UNSUPPORTED: &[&str] = &[
    "service",
    "servicefile",
    "require_auth",
    "requiressl",
    "requirepeer",
    "sslpassword",
    "sslcertmode",
    "sslcrl",
    "sslcrldir",
    "sslkeylogfile",
    "ssl_min_protocol_version",
    "ssl_max_protocol_version",
    "min_protocol_version",
    "max_protocol_version",
    "krbsrvname",
    "gsslib",
    "gssdelegation",
    "replication",
    "load_balance_hosts",
    "tcp_user_timeout",
    "scram_client_key",
    "scram_server_key",
    "oauth_issuer",
    "oauth_client_id",
    "oauth_client_secret",
    "oauth_scope",
];

const DEFAULT_PORT: u16 = 5432;
/// libpq would wait for ever. A migration that waits for a host which does not answer shows
/// nothing, so it waits this long and says so.
const DEFAULT_CONNECT_TIMEOUT_S: u64 = 15;

/// Reads a connection string whose references have been replaced.
pub(super) fn read(text: &str, environment: &Environment) -> Result<Parts, EndpointError> {
    let given = conninfo::read(text)?;
    check_names(&given)?;
    let settings = Settings { given, environment };
    check_gss(&settings)?;
    let hosts = read_hosts(&settings)?;
    let user = settings
        .get("user")
        .or_else(|| environment.get("USER"))
        .or_else(|| environment.get("LOGNAME"))
        .ok_or(EndpointError::UserMissing)?
        .to_owned();
    let database = settings.get("dbname").unwrap_or(&user).to_owned();
    let passwords = read_passwords(&settings, &hosts, &database, &user);
    Ok(Parts {
        passwords,
        hosts,
        user,
        database,
        tls: read_tls(&settings)?,
        channel_binding: settings.word(
            "channel_binding",
            CHANNEL_BINDINGS,
            ChannelBinding::Prefer,
        )?,
        connect_timeout_s: settings.number("connect_timeout", DEFAULT_CONNECT_TIMEOUT_S)?,
        options: settings.get("options").map(str::to_owned),
        keepalives: Keepalives {
            enabled: settings.word("keepalives", SWITCH, true)?,
            idle_s: settings.number("keepalives_idle", 30)?,
            interval_s: settings.number("keepalives_interval", 10)?,
            count: settings.number("keepalives_count", 3)?,
        },
        session_role: settings.word("target_session_attrs", SESSION_ROLES, SessionRole::Any)?,
    })
}

struct Settings<'a> {
    given: Parameters,
    environment: &'a Environment,
}

/// The words that a parameter may have, what they mean, and how the error lists them.
type Words<T> = (&'static [(&'static str, T)], &'static str);

const SWITCH: Words<bool> = (&[("0", false), ("1", true)], "0 or 1");
const CHANNEL_BINDINGS: Words<ChannelBinding> = (
    &[
        ("disable", ChannelBinding::Disable),
        ("prefer", ChannelBinding::Prefer),
        ("require", ChannelBinding::Require),
    ],
    "disable, prefer or require",
);
const SSL_MODES: Words<SslMode> = (
    &[
        ("disable", SslMode::Disable),
        ("allow", SslMode::Allow),
        ("prefer", SslMode::Prefer),
        ("require", SslMode::Require),
        ("verify-ca", SslMode::VerifyCa),
        ("verify-full", SslMode::VerifyFull),
    ],
    "disable, allow, prefer, require, verify-ca or verify-full",
);
const NEGOTIATIONS: Words<SslNegotiation> = (
    &[("postgres", SslNegotiation::Postgres), ("direct", SslNegotiation::Direct)],
    "postgres or direct",
);
const SESSION_ROLES: Words<SessionRole> = (
    &[
        ("any", SessionRole::Any),
        ("read-write", SessionRole::ReadWrite),
        ("read-only", SessionRole::ReadOnly),
        ("primary", SessionRole::Primary),
        ("standby", SessionRole::Standby),
        ("prefer-standby", SessionRole::PreferStandby),
    ],
    "any, read-write, read-only, primary, standby or prefer-standby",
);

impl Settings<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        let variable = || {
            HONOURED
                .iter()
                .find(|(honoured, variable)| *honoured == name && !variable.is_empty())
                .and_then(|(_, variable)| self.environment.get(variable))
        };
        self.given.get(name).map(String::as_str).filter(|value| !value.is_empty()).or_else(variable)
    }

    fn word<T: Copy>(
        &self,
        name: &'static str,
        (words, expected): Words<T>,
        default: T,
    ) -> Result<T, EndpointError> {
        match self.get(name) {
            None => Ok(default),
            Some(value) => words
                .iter()
                .find(|(word, _)| *word == value)
                .map(|(_, meaning)| *meaning)
                .ok_or(EndpointError::ValueInvalid { name, expected }),
        }
    }

    fn number<T: FromStr>(&self, name: &'static str, default: T) -> Result<T, EndpointError> {
        let expected = "a whole number";
        match self.get(name) {
            None => Ok(default),
            Some(value) => {
                value.trim().parse().map_err(|_| EndpointError::ValueInvalid { name, expected })
            }
        }
    }

    fn list(&self, name: &str) -> Vec<&str> {
        self.get(name).map(|list| list.split(',').map(str::trim).collect()).unwrap_or_default()
    }

    fn path(&self, name: &str) -> Option<PathBuf> {
        self.get(name).map(PathBuf::from)
    }

    /// A file at libpq's usual place, where it exists.
    fn usual_file(&self, name: &str) -> Option<PathBuf> {
        self.environment
            .home()
            .map(|home| home.join(".postgresql").join(name))
            .filter(|path| path.exists())
    }
}

fn check_names(given: &Parameters) -> Result<(), EndpointError> {
    for name in given.keys() {
        let known = HONOURED.iter().any(|(honoured, _)| honoured == name);
        if known || OWN.contains(&name.as_str()) {
            continue;
        }
        let name = name.clone();
        return Err(match UNSUPPORTED.contains(&name.as_str()) {
            true => EndpointError::ParameterUnsupported { name },
            false => {
                let known: Vec<&str> = HONOURED.iter().map(|(honoured, _)| *honoured).collect();
                EndpointError::ParameterUnknown { name, known: known.join(", ") }
            }
        });
    }
    Ok(())
}

fn check_gss(settings: &Settings<'_>) -> Result<(), EndpointError> {
    match settings.get("gssencmode") {
        Some("require") => {
            Err(EndpointError::ParameterUnsupported { name: "gssencmode=require".to_owned() })
        }
        None | Some("disable" | "prefer") => Ok(()),
        Some(_) => {
            Err(EndpointError::ValueInvalid { name: "gssencmode", expected: "disable or prefer" })
        }
    }
}

fn read_hosts(settings: &Settings<'_>) -> Result<Vec<Host>, EndpointError> {
    let names = settings.list("host");
    let addresses = settings.list("hostaddr");
    let ports = settings.list("port");
    let count = names.len().max(addresses.len()).max(1);
    for (what, list) in [("host names", &names), ("addresses", &addresses)] {
        if !list.is_empty() && list.len() != count {
            return Err(lists_differ(what, list.len(), count));
        }
    }
    if ports.len() > 1 && ports.len() != count {
        return Err(lists_differ("ports", ports.len(), count));
    }
    (0..count)
        .map(|at| {
            let port = read_port(ports.get(at).or(ports.first()).copied())?;
            let address = read_address(addresses.get(at).copied())?;
            let name = match (names.get(at).copied().unwrap_or(""), address) {
                ("", Some(address)) => address.to_string(),
                ("", None) => usual_host(port),
                (name, _) => name.to_owned(),
            };
            Ok(Host { name, address, port })
        })
        .collect()
}

fn lists_differ(what: &'static str, count: usize, hosts: usize) -> EndpointError {
    EndpointError::ListsDiffer { what, count, hosts }
}

fn read_port(text: Option<&str>) -> Result<u16, EndpointError> {
    match text {
        None | Some("") => Ok(DEFAULT_PORT),
        Some(text) => {
            text.parse().ok().filter(|port| *port > 0).ok_or(EndpointError::ValueInvalid {
                name: "port",
                expected: "a number from 1 to 65535",
            })
        }
    }
}

fn read_address(text: Option<&str>) -> Result<Option<IpAddr>, EndpointError> {
    match text {
        None | Some("") => Ok(None),
        Some(text) => text.parse().map(Some).map_err(|_| EndpointError::ValueInvalid {
            name: "hostaddr",
            expected: "an IP address",
        }),
    }
}

/// Where libpq looks when no host is named: the socket folder that the server was built with,
/// which differs between systems.
fn usual_host(port: u16) -> String {
    SOCKET_FOLDERS
        .iter()
        .find(|folder| Path::new(folder).join(format!(".s.PGSQL.{port}")).exists())
        .map_or("localhost", |folder| folder)
        .to_owned()
}

const SOCKET_FOLDERS: &[&str] = &["/var/run/postgresql", "/tmp"];

fn read_passwords(
    settings: &Settings<'_>,
    hosts: &[Host],
    database: &str,
    user: &str,
) -> Vec<Option<Secret>> {
    if let Some(password) = settings.get("password") {
        return vec![Some(Secret::new(password)); hosts.len()];
    }
    let home_file = || settings.environment.home().map(|home| home.join(".pgpass"));
    let file = PassFile::read(settings.path("passfile").or_else(home_file));
    hosts
        .iter()
        .map(|host| {
            // Lines for the usual socket folder are written with the name localhost.
            let name = match SOCKET_FOLDERS.contains(&host.name.as_str()) {
                true => "localhost",
                false => &host.name,
            };
            file.find(&Wanted { host: name, port: host.port, database, user })
        })
        .collect()
}

fn read_tls(settings: &Settings<'_>) -> Result<TlsSettings, EndpointError> {
    let roots = match settings.get("sslrootcert") {
        Some("system") => Some(RootCertificates::System),
        Some(path) => Some(RootCertificates::File(path.into())),
        None => settings.usual_file("root.crt").map(RootCertificates::File),
    };
    let system = roots == Some(RootCertificates::System);
    let default_mode = match system {
        true => SslMode::VerifyFull,
        false => SslMode::Prefer,
    };
    let named_mode = settings.word("sslmode", SSL_MODES, default_mode)?;
    if system && named_mode != SslMode::VerifyFull {
        return Err(EndpointError::Contradiction {
            first: "sslrootcert=system",
            second: "an sslmode other than verify-full",
        });
    }
    // As libpq has it: where there is a root certificate, `require` looks at the chain too.
    let mode = match (named_mode, &roots) {
        (SslMode::Require, Some(RootCertificates::File(path))) if path.exists() => {
            SslMode::VerifyCa
        }
        (mode, _) => mode,
    };
    let negotiation = settings.word("sslnegotiation", NEGOTIATIONS, SslNegotiation::Postgres)?;
    let weak = matches!(mode, SslMode::Disable | SslMode::Allow | SslMode::Prefer);
    if negotiation == SslNegotiation::Direct && weak {
        return Err(EndpointError::Contradiction {
            first: "sslnegotiation=direct",
            second: "an sslmode weaker than require",
        });
    }
    let certificate = settings.path("sslcert");
    Ok(TlsSettings {
        mode,
        negotiation,
        roots,
        certificate: certificate.or_else(|| settings.usual_file("postgresql.crt")),
        key: settings.path("sslkey").or_else(|| settings.usual_file("postgresql.key")),
        server_name_indication: settings.word("sslsni", SWITCH, true)?,
    })
}

#[cfg(test)]
mod tests;
