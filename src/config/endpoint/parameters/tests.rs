//! Connection strings, variables and password files, read as libpq reads them.

use super::super::postgres::PostgresEndpoint;
use super::*;
use std::os::unix::fs::PermissionsExt;

fn environment(variables: &[(&str, &str)]) -> Environment {
    Environment::new(variables.iter().copied(), None)
}

fn parse(text: &str) -> PostgresEndpoint {
    PostgresEndpoint::parse(text, &environment(&[("USER", "os")])).unwrap()
}

fn error(text: &str) -> EndpointError {
    PostgresEndpoint::parse(text, &environment(&[("USER", "os")])).unwrap_err()
}

#[test]
fn the_string_goes_before_the_variables_and_these_before_the_defaults() {
    let environment = environment(&[
        ("PGHOST", "env-host"),
        ("PGPORT", "6000"),
        ("PGUSER", "env-user"),
        ("PGPASSWORD", "env-password"),
        ("PGSSLMODE", "require"),
        ("PGCONNECT_TIMEOUT", "0"),
    ]);
    let endpoint = PostgresEndpoint::parse("postgres://h/db", &environment).unwrap();
    assert_eq!(endpoint.redacted(), "postgres://env-user@h:6000/db");
    assert_eq!(endpoint.password(0).unwrap().expose(), "env-password");
    assert_eq!(endpoint.tls().mode, SslMode::Require);
    assert_eq!(endpoint.connect_timeout(), None);
    assert_eq!(parse("host=h").redacted(), "postgres://os@h:5432/os");
}

#[test]
fn several_hosts_share_a_port_or_have_one_each() {
    assert_eq!(
        parse("postgres://a,b:1,[::1]/db").redacted(),
        "postgres://os@a:5432,b:1,[::1]:5432/db"
    );
    assert_eq!(parse("host=a,b port=7").redacted(), "postgres://os@a:7,b:7/os");
    assert!(matches!(
        error("host=a,b port=1,2,3"),
        EndpointError::ListsDiffer { what: "ports", .. }
    ));
    let second = parse("postgres://a,b:1/db").pinned_to(1);
    assert_eq!(second.redacted(), "postgres://os@b:1/db");
}

#[test]
fn a_socket_folder_is_a_host() {
    assert!(parse("postgres:///db?host=/run/pg").hosts()[0].is_unix_socket());
    assert!(parse("postgres://%2Frun%2Fpg/db").hosts()[0].is_unix_socket());
    assert!(!parse("host=/run/pg hostaddr=127.0.0.1").hosts()[0].is_unix_socket());
}

#[test]
fn parameters_that_cannot_be_honoured_are_errors_that_name_them() {
    let named = |text| error(text).to_string();
    assert!(named("postgres://h/db?sslmood=require").contains("sslmood"));
    assert!(named("host=h sslcrl=/crl").contains("sslcrl"));
    assert!(named("host=h sslmode=on").contains("sslmode"));
    assert!(named("host=h port=0").contains("port"));
    assert!(named("host=h keepalives=yes").contains("keepalives"));
    assert!(matches!(
        PostgresEndpoint::parse("host=h", &environment(&[])),
        Err(EndpointError::UserMissing)
    ));
}

#[test]
fn a_root_certificate_strengthens_the_mode() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let mode = |text: &str| parse(text).tls().mode;
    let path = file.path().display();
    assert_eq!(mode(&format!("host=h sslmode=require sslrootcert={path}")), SslMode::VerifyCa);
    assert_eq!(mode("host=h sslmode=require sslrootcert=/no/such"), SslMode::Require);
    assert_eq!(mode("host=h sslrootcert=system"), SslMode::VerifyFull);
    assert!(matches!(
        error("host=h sslrootcert=system sslmode=require"),
        EndpointError::Contradiction { .. }
    ));
    assert!(matches!(error("host=h sslnegotiation=direct"), EndpointError::Contradiction { .. }));
}

#[test]
fn the_password_file_serves_each_host() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join(".pgpass");
    std::fs::write(&file, "a:*:*:*:one\nb:*:*:*:two\nlocalhost:*:*:*:three\n").unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let environment = Environment::new([("USER", "os")], Some(home.path().to_owned()));
    let endpoint = PostgresEndpoint::parse("host=a,b,c,/var/run/postgresql", &environment).unwrap();
    let passwords: Vec<_> =
        (0..4).map(|host| endpoint.password(host).map(Secret::expose)).collect();
    assert_eq!(passwords, [Some("one"), Some("two"), None, Some("three")]);
}

#[test]
fn a_password_is_shown_nowhere_and_handed_on_in_full() {
    let endpoint = parse("postgres://u:hush@h/db?sslmode=verify-full&options=-c%20a%3Db");
    assert!(!format!("{endpoint} {endpoint:?}").contains("hush"));
    let json = endpoint.to_exposed_json().unwrap();
    assert!(PostgresEndpoint::from_exposed_json(&json).unwrap() == endpoint);
    let variables = endpoint.libpq_variables();
    assert!(!format!("{variables:?}").contains("hush"));
    let value = |name| {
        let found = variables.iter().find(|(variable, _)| *variable == name);
        found.map(|(_, value)| value.expose())
    };
    assert_eq!(value("PGPASSWORD"), Some("hush"));
    assert_eq!(value("PGSSLMODE"), Some("verify-full"));
    assert_eq!(value("PGOPTIONS"), Some("-c a=b"));
    assert_eq!(value("PGHOSTADDR"), None);
}

#[test]
fn references_are_replaced_once() {
    let environment = environment(&[("PW", "a${env:NO}@b"), ("USER", "os")]);
    let endpoint = PostgresEndpoint::parse("postgres://u:${env:PW}@h/db", &environment).unwrap();
    assert_eq!(endpoint.password(0).unwrap().expose(), "a${env:NO}@b");
}
