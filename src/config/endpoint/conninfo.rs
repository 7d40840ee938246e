//! The notations of a connection: libpq's keyword string, and the URI, which is the same for all
//! engines.
//!
//! In: one string. Out: its parameters by name, values decoded. What they mean, and whether they
//! exist, is not known here. Source of both grammars: the Postgres manual, "Connection Strings".

use super::error::EndpointError;
use percent_encoding::percent_decode_str;
use std::collections::BTreeMap;

/// Parameters by name, as written.
pub(super) type Parameters = BTreeMap<String, String>;

/// Takes a connection string apart.
pub(super) fn read(text: &str) -> Result<Parameters, EndpointError> {
    let uri = ["postgresql://", "postgres://"].iter().find_map(|scheme| text.strip_prefix(scheme));
    match uri {
        Some(rest) => read_uri(rest).map(translate_ssl),
        None if text.is_empty() || text.contains('=') => read_keywords(text),
        None => Err(malformed("it is neither a URI nor a list of key=value")),
    }
}

fn malformed(problem: &'static str) -> EndpointError {
    EndpointError::Malformed { problem }
}

/// For compatibility with JDBC, libpq reads `ssl=true` as `sslmode=require`.
fn translate_ssl(mut parameters: Parameters) -> Parameters {
    if parameters.get("ssl").is_some_and(|value| value == "true") {
        parameters.remove("ssl");
        parameters.insert("sslmode".to_owned(), "require".to_owned());
    }
    parameters
}

/// Takes apart what follows the scheme of a URI: login, hosts (`host`, `port`), database
/// (`dbname`) and the query.
pub(super) fn read_uri(rest: &str) -> Result<Parameters, EndpointError> {
    let mut parameters = Parameters::new();
    let (before_query, query) = match rest.split_once('?') {
        Some((before, query)) => (before, Some(query)),
        None => (rest, None),
    };
    let (authority, database) = match before_query.split_once('/') {
        Some((authority, database)) => (authority, Some(database)),
        None => (before_query, None),
    };
    let hosts = match authority.rsplit_once('@') {
        Some((login, hosts)) => {
            read_login(login, &mut parameters)?;
            hosts
        }
        None => authority,
    };
    read_hosts(hosts, &mut parameters)?;
    put(&mut parameters, "dbname", decode(database.unwrap_or(""))?);
    for pair in query.unwrap_or("").split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) =
            pair.split_once('=').ok_or(malformed("a query parameter has no value"))?;
        parameters.insert(decode(name)?, decode(value)?);
    }
    Ok(parameters)
}

fn read_login(login: &str, parameters: &mut Parameters) -> Result<(), EndpointError> {
    let (user, password) = match login.split_once(':') {
        Some((user, password)) => (user, password),
        None => (login, ""),
    };
    put(parameters, "user", decode(user)?);
    put(parameters, "password", decode(password)?);
    Ok(())
}

fn read_hosts(list: &str, parameters: &mut Parameters) -> Result<(), EndpointError> {
    let mut hosts = Vec::new();
    let mut ports = Vec::new();
    for entry in list.split(',') {
        let (host, port) = match entry.strip_prefix('[') {
            Some(inner) => {
                let (address, after) = inner
                    .split_once(']')
                    .ok_or(malformed("an IPv6 address has no closing bracket"))?;
                let port = match after.strip_prefix(':') {
                    Some(port) => port,
                    None if after.is_empty() => "",
                    None => return Err(malformed("something follows an IPv6 address")),
                };
                (address, port)
            }
            None => entry.split_once(':').unwrap_or((entry, "")),
        };
        hosts.push(decode(host)?);
        ports.push(decode(port)?);
    }
    if hosts.len() > 1 || !hosts[0].is_empty() {
        put(parameters, "host", hosts.join(","));
    }
    if ports.iter().any(|port| !port.is_empty()) {
        put(parameters, "port", ports.join(","));
    }
    Ok(())
}

fn put(parameters: &mut Parameters, name: &str, value: String) {
    if !value.is_empty() {
        parameters.insert(name.to_owned(), value);
    }
}

/// Unlike in HTML forms, `+` is a plus sign. A `%` without two hexadecimal digits is an error.
fn decode(part: &str) -> Result<String, EndpointError> {
    let valid = part.match_indices('%').all(|(at, _)| {
        part.as_bytes()
            .get(at + 1..at + 3)
            .is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit) && digits != b"00")
    });
    if !valid {
        return Err(malformed("a % is not followed by two hexadecimal digits"));
    }
    percent_decode_str(part)
        .decode_utf8()
        .map(std::borrow::Cow::into_owned)
        .map_err(|_| malformed("a percent-encoded part is not UTF-8"))
}

fn read_keywords(text: &str) -> Result<Parameters, EndpointError> {
    let mut parameters = Parameters::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (name, after) =
            rest.split_once('=').ok_or(malformed("a keyword is not followed by ="))?;
        let name = name.trim_end();
        if name.is_empty() || name.contains(char::is_whitespace) {
            return Err(malformed("a keyword is not followed by ="));
        }
        let (value, after) = read_value(after.trim_start())?;
        parameters.insert(name.to_owned(), value);
        rest = after.trim_start();
    }
    Ok(parameters)
}

/// A value up to white space, or in single quotes; a backslash takes the next character as it is.
fn read_value(text: &str) -> Result<(String, &str), EndpointError> {
    let (quoted, body) = match text.strip_prefix('\'') {
        Some(body) => (true, body),
        None => (false, text),
    };
    let mut value = String::new();
    let mut characters = body.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            '\'' if quoted => return Ok((value, &body[at + 1..])),
            character if !quoted && character.is_whitespace() => return Ok((value, &body[at..])),
            character => value.push(character),
        }
    }
    if quoted {
        return Err(malformed("a quoted value has no closing quote"));
    }
    Ok((value, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Vec<(String, String)> {
        read(text).unwrap().into_iter().collect()
    }

    fn owned(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_uri_is_taken_apart() {
        assert_eq!(
            pairs(
                "postgresql://us%20er:p%40ss@h1:1,[::1]:2,h3/d%62?sslmode=require&options=-c%20a%3Db"
            ),
            owned(&[
                ("dbname", "db"),
                ("host", "h1,::1,h3"),
                ("options", "-c a=b"),
                ("password", "p@ss"),
                ("port", "1,2,"),
                ("sslmode", "require"),
                ("user", "us er"),
            ])
        );
        assert_eq!(pairs("postgres://"), owned(&[]));
        assert_eq!(
            pairs("postgres://%2Fvar%2Frun/db?user=u&ssl=true"),
            owned(
                &[("dbname", "db"), ("host", "/var/run"), ("sslmode", "require"), ("user", "u"),]
            )
        );
    }

    #[test]
    fn a_keyword_string_is_taken_apart() {
        assert_eq!(
            pairs(r"host = h  password='it\'s a \\' user=a\ b dbname=''"),
            owned(&[("dbname", ""), ("host", "h"), ("password", r"it's a \"), ("user", "a b"),])
        );
    }

    #[test]
    fn what_cannot_be_taken_apart_is_an_error() {
        for text in [
            "nonsense",
            "postgres://[::1/db",
            "postgres://[::1]x/db",
            "postgres://u%zz@h/db",
            "postgres://u%00@h/db",
            "postgres://u%ff@h/db",
            "postgres://h/db?sslmode",
            "host=h password='open",
            "host h=1",
            "=1",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
