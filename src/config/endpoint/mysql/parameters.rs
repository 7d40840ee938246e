//! What the connection parameters of MySQL's clients mean, and what they are where nobody names
//! them.
//!
//! In: a URI and the environment. Out: a complete endpoint. The order is that of MySQL's clients:
//! the URI (their command line), then the option file, then the `MYSQL_*` variables, then the
//! defaults. A parameter of the URI that does not exist is an error; an option file is shared with
//! other programs, so what is not known there is theirs. Source: the MySQL manual, "Command
//! Options for Connecting to the Server" and "Environment Variables".

use super::option_file::{self, Options};
use super::{EndpointError, MySqlHost, MySqlSslMode, MySqlTls, Parts};
use crate::config::endpoint::conninfo::{self, Parameters};
use crate::config::endpoint::postgres::RootCertificates;
use crate::config::environment::Environment;
use crate::config::secret::Secret;
use std::path::{Path, PathBuf};

/// Parameters that are honoured, each with its variable.
const HONOURED: &[(&str, &str)] = &[
    ("host", "MYSQL_HOST"),
    ("port", "MYSQL_TCP_PORT"),
    ("socket", "MYSQL_UNIX_PORT"),
    ("user", ""),
    ("password", "MYSQL_PWD"),
    ("database", ""),
    ("connect-timeout", ""),
    ("defaults-file", ""),
    ("ssl-mode", ""),
    ("ssl-ca", ""),
    ("ssl-cert", ""),
    ("ssl-key", ""),
    ("enable-cleartext-plugin", ""),
];

/// Other drivers' words, in lower case, and what they are called here.
const FOREIGN: &[(&str, &str)] = &[
    ("sslmode", "ssl-mode"),
    ("ssl", "ssl-mode"),
    ("tls", "ssl-mode"),
    ("usessl", "ssl-mode"),
    ("use-ssl", "ssl-mode"),
    ("require-ssl", "ssl-mode"),
    ("requiressl", "ssl-mode"),
    ("verifyservercertificate", "ssl-mode"),
    ("verify-ca", "ssl-mode"),
    ("verify-identity", "ssl-mode"),
    ("sslca", "ssl-ca"),
    ("sslrootcert", "ssl-ca"),
    ("serversslcert", "ssl-ca"),
    ("sslcert", "ssl-cert"),
    ("sslkey", "ssl-key"),
    ("unix-socket", "socket"),
    ("unixsocket", "socket"),
    ("connecttimeout", "connect-timeout"),
    ("allowcleartextpasswords", "enable-cleartext-plugin"),
    ("dbname", "database"),
];

const SSL_MODES: &[MySqlSslMode] = &[
    MySqlSslMode::Disabled,
    MySqlSslMode::Preferred,
    MySqlSslMode::Required,
    MySqlSslMode::VerifyCa,
    MySqlSslMode::VerifyIdentity,
];

const DEFAULT_PORT: u16 = 3306;
/// A migration that waits for a host which does not answer shows nothing, so it waits this long
/// and says so.
const DEFAULT_CONNECT_TIMEOUT_S: u64 = 15;

/// Reads a URI whose references have been replaced.
pub(super) fn read(text: &str, environment: &Environment) -> Result<Parts, EndpointError> {
    let (scheme, rest) = text.split_once("://").ok_or(EndpointError::SchemeUnknown)?;
    let groups: &[&str] = match scheme {
        "mysql" => &["client"],
        "mariadb" => &["client", "client-server", "client-mariadb"],
        _ => return Err(EndpointError::SchemeUnknown),
    };
    let given = check_names(conninfo::read_uri(rest)?)?;
    let file = read_file(&given, environment, groups)?;
    let settings = Settings { given, file, environment };
    let user = settings
        .get("user")
        .or_else(|| environment.get("USER"))
        .or_else(|| environment.get("LOGNAME"))
        .ok_or(EndpointError::UserMissing)?
        .to_owned();
    Ok(Parts {
        hosts: read_hosts(&settings)?,
        user,
        password: settings.get("password").map(Secret::new),
        database: settings.get("database").map(str::to_owned),
        tls: read_tls(&settings)?,
        connect_timeout_s: read_timeout(&settings)?,
        allow_clear_password: settings.switch("enable-cleartext-plugin")?,
    })
}

struct Settings<'a> {
    given: Parameters,
    file: Options,
    environment: &'a Environment,
}

impl Settings<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        let filled = |value: &&str| !value.is_empty();
        let of_uri = self.of_uri(name);
        let of_file = || self.file.get(name).map(String::as_str).filter(filled);
        let of_environment = || {
            let (_, variable) = HONOURED.iter().find(|(honoured, _)| *honoured == name)?;
            self.environment.get(variable)
        };
        of_uri.or_else(of_file).or_else(of_environment)
    }

    fn of_uri(&self, name: &str) -> Option<&str> {
        self.given.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    fn path(&self, name: &str) -> Option<PathBuf> {
        self.get(name).map(PathBuf::from)
    }

    /// Off where nobody names it; on where an option file names it without a value.
    fn switch(&self, name: &'static str) -> Result<bool, EndpointError> {
        let value = match self.get(name) {
            None => return Ok(self.file.contains_key(name)),
            Some(value) => value.to_ascii_lowercase(),
        };
        match value.as_str() {
            "1" | "on" | "true" => Ok(true),
            "0" | "off" | "false" => Ok(false),
            _ => {
                Err(EndpointError::ValueInvalid { name, expected: "1, on, true, 0, off or false" })
            }
        }
    }
}

/// Names in the form with dashes: MySQL's programs take underscores for them.
fn check_names(given: Parameters) -> Result<Parameters, EndpointError> {
    let mut checked = Parameters::new();
    for (name, value) in given {
        let plain = match name.as_str() {
            "dbname" => "database".to_owned(),
            name => name.replace('_', "-"),
        };
        if HONOURED.iter().any(|(honoured, _)| *honoured == plain) {
            checked.insert(plain, value);
            continue;
        }
        let lower = plain.to_ascii_lowercase();
        let foreign = FOREIGN.iter().find(|(foreign, _)| *foreign == lower);
        return Err(match foreign {
            Some(&(_, meant)) => EndpointError::ParameterForeign { name, meant },
            None => {
                let known: Vec<&str> = HONOURED.iter().map(|(honoured, _)| *honoured).collect();
                EndpointError::ParameterUnknown { name, known: known.join(", ") }
            }
        });
    }
    Ok(checked)
}

fn read_file(
    given: &Parameters,
    environment: &Environment,
    groups: &[&str],
) -> Result<Options, EndpointError> {
    if let Some(named) = given.get("defaults-file") {
        return option_file::read(Path::new(named), groups);
    }
    match environment.home().map(|home| home.join(".my.cnf")).filter(|usual| usual.exists()) {
        Some(usual) => option_file::read(&usual, groups),
        None => Ok(Options::new()),
    }
}

/// A host that the URI names is reached by TCP, also `localhost`: that is what it says. Where it
/// names none, the programs' rule holds: a socket that is set serves for `localhost`.
fn read_hosts(settings: &Settings<'_>) -> Result<Vec<MySqlHost>, EndpointError> {
    let named = settings.of_uri("host");
    if let (Some(_), Some(_)) = (named, settings.of_uri("socket")) {
        return Err(EndpointError::Contradiction { first: "a host", second: "socket" });
    }
    let host = settings.get("host");
    let of_uri = settings.of_uri("socket").is_some();
    let local = named.is_none() && host.is_none_or(|host| host == "localhost");
    if (of_uri || local)
        && let Some(path) = settings.path("socket")
    {
        return Ok(vec![MySqlHost::Socket { path }]);
    }
    let names: Vec<&str> = host.unwrap_or("127.0.0.1").split(',').map(str::trim).collect();
    let ports: Vec<&str> = match settings.get("port") {
        Some(ports) => ports.split(',').map(str::trim).collect(),
        None => Vec::new(),
    };
    if ports.len() > 1 && ports.len() != names.len() {
        let (count, hosts) = (ports.len(), names.len());
        return Err(EndpointError::ListsDiffer { what: "ports", count, hosts });
    }
    names
        .iter()
        .enumerate()
        .map(|(at, name)| {
            let port = read_port(ports.get(at).or(ports.first()).copied())?;
            match *name {
                "" => Err(EndpointError::Malformed { problem: "a host of the list is empty" }),
                path if path.starts_with('/') => Ok(MySqlHost::Socket { path: path.into() }),
                name => Ok(MySqlHost::Tcp { name: name.to_owned(), port }),
            }
        })
        .collect()
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

fn read_timeout(settings: &Settings<'_>) -> Result<u64, EndpointError> {
    let invalid = || EndpointError::ValueInvalid {
        name: "connect-timeout",
        expected: "a whole number of seconds",
    };
    match settings.get("connect-timeout") {
        None => Ok(DEFAULT_CONNECT_TIMEOUT_S),
        Some(text) => text.trim().parse().map_err(|_| invalid()),
    }
}

fn read_tls(settings: &Settings<'_>) -> Result<MySqlTls, EndpointError> {
    let roots = match settings.get("ssl-ca") {
        Some("system") => Some(RootCertificates::System),
        Some(path) => Some(RootCertificates::File(path.into())),
        None => None,
    };
    let mode = match settings.get("ssl-mode") {
        Some(word) => read_mode(word)?,
        None => usual_mode(settings)?,
    };
    let verifies = matches!(mode, MySqlSslMode::VerifyCa | MySqlSslMode::VerifyIdentity);
    if verifies && roots.is_none() {
        return Err(EndpointError::Contradiction {
            first: "an ssl-mode that verifies the server",
            second: "no ssl-ca (a file of certificates, or the word system)",
        });
    }
    let (certificate, key) = (settings.path("ssl-cert"), settings.path("ssl-key"));
    match (&certificate, &key) {
        (Some(_), None) => {
            Err(EndpointError::Contradiction { first: "ssl-cert", second: "no ssl-key" })
        }
        (None, Some(_)) => {
            Err(EndpointError::Contradiction { first: "ssl-key", second: "no ssl-cert" })
        }
        (Some(_), Some(_)) | (None, None) => Ok(MySqlTls { mode, roots, certificate, key }),
    }
}

fn read_mode(word: &str) -> Result<MySqlSslMode, EndpointError> {
    let word = word.to_ascii_uppercase().replace('-', "_");
    SSL_MODES.iter().copied().find(|mode| mode.as_str() == word).ok_or(
        EndpointError::ValueInvalid {
            name: "ssl-mode",
            expected: "DISABLED, PREFERRED, REQUIRED, VERIFY_CA or VERIFY_IDENTITY",
        },
    )
}

/// What an option file of MariaDB's programs says about TLS, which know no `ssl-mode`.
fn usual_mode(settings: &Settings<'_>) -> Result<MySqlSslMode, EndpointError> {
    let in_file = |name| settings.file.contains_key(name);
    if in_file("skip-ssl") || (in_file("ssl") && !settings.switch("ssl")?) {
        return Ok(MySqlSslMode::Disabled);
    }
    if in_file("ssl-verify-server-cert") && settings.switch("ssl-verify-server-cert")? {
        return Ok(MySqlSslMode::VerifyIdentity);
    }
    match in_file("ssl") {
        true => Ok(MySqlSslMode::Required),
        false => Ok(MySqlSslMode::Preferred),
    }
}

#[cfg(test)]
mod tests;
