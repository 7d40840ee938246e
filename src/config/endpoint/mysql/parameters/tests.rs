//! URIs, option files and variables, read as MySQL's programs read them.

use super::super::MySqlEndpoint;
use super::*;

fn environment(variables: &[(&str, &str)]) -> Environment {
    Environment::new(variables.iter().copied(), None)
}

fn parse(text: &str) -> MySqlEndpoint {
    MySqlEndpoint::parse(text, &environment(&[("USER", "os")])).unwrap()
}

fn error(text: &str) -> EndpointError {
    MySqlEndpoint::parse(text, &environment(&[("USER", "os")])).unwrap_err()
}

/// A home folder with an option file.
fn home(text: &str) -> (tempfile::TempDir, Environment) {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join(".my.cnf"), text).unwrap();
    let environment =
        Environment::new([("USER", "os"), ("MYSQL_PWD", "of-env")], Some(home.path().to_owned()));
    (home, environment)
}

#[test]
fn the_uri_goes_before_the_file_and_this_before_the_variables_and_these_before_the_defaults() {
    let (_home, environment) =
        home("[client]\nuser=of-file\npassword=\"of # file\"\nport=4000\nssl-mode=REQUIRED\n");
    let endpoint = MySqlEndpoint::parse("mysql://h/db", &environment).unwrap();
    assert_eq!(endpoint.redacted(), "mysql://of-file@h:4000/db");
    assert_eq!(endpoint.password().unwrap().expose(), "of # file");
    assert_eq!(endpoint.tls().mode, MySqlSslMode::Required);
    let endpoint =
        MySqlEndpoint::parse("mysql://me:pw@h:1/db?ssl-mode=disabled", &environment).unwrap();
    assert_eq!(endpoint.redacted(), "mysql://me@h:1/db");
    assert_eq!(endpoint.password().unwrap().expose(), "pw");
    assert_eq!(endpoint.tls().mode, MySqlSslMode::Disabled);
    let (_home, environment) = home("[mysqld]\nuser=server\n");
    let endpoint = MySqlEndpoint::parse("mysql://", &environment).unwrap();
    assert_eq!(endpoint.redacted(), "mysql://os@127.0.0.1:3306/");
    assert_eq!(endpoint.password().unwrap().expose(), "of-env");
    assert_eq!((endpoint.database(), endpoint.tls().mode), (None, MySqlSslMode::Preferred));
}

#[test]
fn an_option_file_may_be_named() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "[client]\nhost=of-file\n[client-mariadb]\nskip-ssl\n").unwrap();
    let (_home, environment) = home("[client]\nhost=of-home\n");
    let read = |scheme: &str| {
        let text = format!("{scheme}:///?defaults-file={}", file.path().display());
        MySqlEndpoint::parse(&text, &environment).unwrap()
    };
    assert_eq!(read("mysql").redacted(), "mysql://os@of-file:3306/");
    assert_eq!(read("mysql").tls().mode, MySqlSslMode::Preferred);
    assert_eq!(read("mariadb").tls().mode, MySqlSslMode::Disabled);
    let missing = MySqlEndpoint::parse("mysql://h/?defaults-file=/no/such", &environment);
    assert!(matches!(missing, Err(EndpointError::OptionFile { .. })));
}

#[test]
fn several_hosts_share_a_port_or_have_one_each() {
    assert_eq!(parse("mysql://a,b:1,[::1]/db").redacted(), "mysql://os@a:3306,b:1,[::1]:3306/db");
    assert_eq!(parse("mariadb://a,b/?port=7").redacted(), "mysql://os@a:7,b:7/");
    assert!(matches!(error("mysql://a,b,c/?port=1,2"), EndpointError::ListsDiffer { .. }));
    assert!(matches!(error("mysql://a,,c/"), EndpointError::Malformed { .. }));
    assert_eq!(parse("mysql://a,b:1/db").pinned_to(1).redacted(), "mysql://os@b:1/db");
}

#[test]
fn a_socket_serves_where_no_host_is_named() {
    let socket = |path: &str| vec![MySqlHost::Socket { path: path.into() }];
    assert_eq!(parse("mysql:///db?socket=/run/my.sock").hosts(), socket("/run/my.sock"));
    assert_eq!(parse("mysql://u@%2Frun%2Fmy.sock/db").hosts(), socket("/run/my.sock"));
    let (_home, environment) = home("[client]\nhost=localhost\nsocket=/run/file.sock\n");
    let read = |text| MySqlEndpoint::parse(text, &environment).unwrap();
    assert_eq!(read("mysql:///db").hosts(), socket("/run/file.sock"));
    assert_eq!(read("mysql://localhost/db").redacted(), "mysql://os@localhost:3306/db");
    assert!(matches!(error("mysql://h/?socket=/s"), EndpointError::Contradiction { .. }));
}

#[test]
fn parts_are_percent_encoded() {
    let endpoint = parse("mysql://a%40b:p%3A%2F%3F@h/d%2Fb?ssl_ca=%2Fca%20file");
    assert_eq!((endpoint.user(), endpoint.database()), ("a@b", Some("d/b")));
    assert_eq!(endpoint.password().unwrap().expose(), "p:/?");
    let roots = endpoint.tls().roots.clone();
    assert_eq!(roots, Some(RootCertificates::File("/ca file".into())));
}

#[test]
fn modes_are_read_in_any_case_and_verifying_needs_authorities() {
    let mode = |word: &str| parse(&format!("mysql://h/?ssl-ca=system&ssl-mode={word}")).tls().mode;
    assert_eq!(mode("VERIFY_IDENTITY"), MySqlSslMode::VerifyIdentity);
    assert_eq!(mode("verify-ca"), MySqlSslMode::VerifyCa);
    assert_eq!(mode("Preferred"), MySqlSslMode::Preferred);
    assert!(matches!(error("mysql://h/?ssl-mode=VERIFY_CA"), EndpointError::Contradiction { .. }));
    assert!(matches!(error("mysql://h/?ssl-cert=/c"), EndpointError::Contradiction { .. }));
    assert!(matches!(
        error("mysql://h/?ssl-mode=verify-full"),
        EndpointError::ValueInvalid { name: "ssl-mode", .. }
    ));
}

#[test]
fn option_files_of_mariadb_say_it_in_other_words() {
    let mode = |text: &str| {
        let (_home, environment) = home(&format!("[client]\nssl-ca=system\n{text}\n"));
        MySqlEndpoint::parse("mariadb://h/", &environment).unwrap().tls().mode
    };
    assert_eq!(mode("ssl"), MySqlSslMode::Required);
    assert_eq!(mode("ssl=0"), MySqlSslMode::Disabled);
    assert_eq!(mode("ssl-verify-server-cert"), MySqlSslMode::VerifyIdentity);
    assert_eq!(mode("ssl-verify-server-cert=0"), MySqlSslMode::Preferred);
    assert_eq!(mode("disable-auto-rehash"), MySqlSslMode::Preferred);
}

#[test]
fn parameters_that_do_not_exist_are_errors_that_name_those_there_are() {
    use crate::model::{Disposition, Fault};
    let hint = |error: EndpointError| match error.disposition() {
        Disposition::Halt(halt) => halt.hint,
        Disposition::Retry => panic!("a URL does not mend itself"),
    };
    let unknown = error("mysql://h/?charset=utf8");
    assert!(unknown.to_string().contains("charset"));
    assert!(hint(unknown).contains("connect-timeout, defaults-file, ssl-mode"));
    for word in ["sslMode", "sslmode", "useSSL", "require_ssl"] {
        let foreign = error(&format!("mysql://h/?{word}=REQUIRED"));
        assert!(foreign.to_string().contains(word));
        assert!(hint(foreign).contains("write ssl-mode"));
    }
    assert!(error("mysql://h/?connect-timeout=soon").to_string().contains("connect-timeout"));
    assert!(error("mysql://h:0/").to_string().contains("port"));
    let nobody = MySqlEndpoint::parse("mysql://h/", &environment(&[]));
    assert!(matches!(nobody, Err(EndpointError::UserMissing)));
}

#[test]
fn a_password_is_shown_nowhere() {
    let endpoint = parse("mysql://u:hush@h/db?ssl-mode=REQUIRED");
    assert!(!format!("{endpoint} {endpoint:?}").contains("hush"));
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "[client]\npassword=hush\n!include hush\n").unwrap();
    let error = error(&format!("mysql://h/?defaults-file={}", file.path().display()));
    assert!(error.to_string().contains("read line 3"));
    assert!(!format!("{error} {error:?}").contains("hush"));
}
