//! Logging in to MySQL and MariaDB: methods, TLS, refusals; by the driver and by our own wire.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use dunlin::config::endpoint::MySqlEndpoint;
use dunlin::config::environment::Environment;
use dunlin::connect::mysql::{ConnectError, Flavour, Wire, connect};
use dunlin::demo::mysql::{Release, Server, ServerOptions};
use dunlin::model::{Code, Disposition, Fault};
use mysql_async::prelude::Queryable;

use crate::support::secured::{Authority, P256};

fn endpoint(url: &str) -> MySqlEndpoint {
    let nothing: [(&str, &str); 0] = [];
    MySqlEndpoint::parse(url, &Environment::new(nothing, None)).unwrap()
}

/// Logs in both ways, and says whether the sessions are encrypted.
async fn log_in(url: &str) -> Result<bool, ConnectError> {
    const STATUS: &str = "SHOW SESSION STATUS LIKE 'Ssl_cipher'";
    let endpoint = endpoint(url);
    let mut wire = Wire::connect(&endpoint).await?;
    let rows = wire.rows(STATUS).await.unwrap();
    let by_wire = rows[0][1].as_deref() != Some("");
    wire.ping().await.unwrap();
    wire.close().await.unwrap();
    let mut session = connect(&endpoint, "dunlin").await?;
    let row: (String, String) = session.query_first(STATUS).await.unwrap().unwrap();
    assert_eq!(by_wire, !row.1.is_empty());
    let zone: Option<String> = session.query_first("SELECT @@time_zone").await.unwrap();
    assert_eq!(zone.as_deref(), Some("+00:00"));
    Ok(by_wire)
}

/// The code of a login that fails, which has to be the same both ways, and to show no password.
async fn refusal(url: &str) -> Option<Code> {
    let code = |error: &ConnectError| match error.disposition() {
        Disposition::Retry => None,
        Disposition::Halt(halt) => Some(halt.code),
    };
    let endpoint = endpoint(url);
    let wire = Wire::connect(&endpoint).await.err().expect("a refusal");
    let session = connect(&endpoint, "dunlin").await.err().expect("a refusal");
    assert_eq!(code(&wire), code(&session), "{wire:?} and {session:?}");
    assert!(!format!("{wire:?} {session:?}").contains("hush"));
    code(&wire)
}

async fn with_accounts(options: ServerOptions, statements: &str) -> Server {
    let server = Server::create(&options).unwrap();
    server.create_database("app").await.unwrap();
    server.connect("app").await.unwrap().query_drop(statements).await.unwrap();
    server
}

/// Lets a server read the certificates that it is given.
fn open_for_all(authority: &Authority) {
    let folder = authority.file("");
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    }
}

fn secured(release: Release, authority: &Authority) -> ServerOptions {
    let file = |name: &str| authority.file(name).display().to_string();
    ServerOptions::from(release)
        .with("ssl_ca", &file("authority.crt"))
        .with("ssl_cert", &file("server.crt"))
        .with("ssl_key", &file("server.key"))
}

#[tokio::test]
async fn caching_sha2_password_goes_by_tls_and_by_rsa_and_then_by_its_cache() {
    let user = "CREATE USER u IDENTIFIED WITH caching_sha2_password BY 'p@ss/word'; \
                GRANT ALL ON app.* TO u; CREATE USER nobody IDENTIFIED BY ''";
    let server = with_accounts(Release::MYSQL_9_7.into(), user).await;
    let mut root = server.connect("app").await.unwrap();
    let port = server.port();
    let url = |mode: &str| format!("mysql://u:p%40ss%2Fword@127.0.0.1:{port}/app?ssl-mode={mode}");
    for mode in ["REQUIRED", "DISABLED", "PREFERRED"] {
        // Empties the cache, so that the server needs the password itself.
        root.query_drop("FLUSH PRIVILEGES").await.unwrap();
        let encrypted = log_in(&url(mode)).await.unwrap();
        assert_eq!(encrypted, mode != "DISABLED");
        assert_eq!(log_in(&url(mode)).await.unwrap(), encrypted);
    }
    root.query_drop("FLUSH PRIVILEGES").await.unwrap();
    let socket: String = root.query_first("SELECT @@socket").await.unwrap().unwrap();
    assert!(!log_in(&format!("mysql://u:p%40ss%2Fword@/app?socket={socket}")).await.unwrap());
    assert!(log_in(&format!("mysql://nobody@127.0.0.1:{port}/")).await.unwrap());
}

#[tokio::test]
async fn mariadb_takes_its_own_methods() {
    let accounts = "INSTALL SONAME 'auth_ed25519'; \
                    CREATE USER n IDENTIFIED VIA mysql_native_password USING PASSWORD('hush'); \
                    CREATE USER e IDENTIFIED VIA ed25519 USING PASSWORD('hush'); \
                    GRANT ALL ON app.* TO n, e";
    for release in [Release::MARIADB_10_11, Release::MARIADB_11_8] {
        let server = with_accounts(release.into(), accounts).await;
        for user in ["n", "e"] {
            let url =
                |password| format!("mariadb://{user}:{password}@127.0.0.1:{}/app", server.port());
            log_in(&url("hush")).await.unwrap();
            assert_eq!(refusal(&url("hushhush")).await, Some(Code::AuthFailed));
        }
        let wire = Wire::connect(&endpoint(&server.url("app"))).await.unwrap();
        assert_eq!(wire.version().flavour, Flavour::MariaDb);
        assert!(wire.version().to_string().contains(release.series));
    }
}

#[tokio::test]
async fn every_ssl_mode_looks_as_far_as_it_says() {
    let authority = Authority::create();
    authority.issue("server", "127.0.0.1", P256, "subjectAltName=IP:127.0.0.1");
    authority.issue("client", "u", P256, "extendedKeyUsage=clientAuth");
    open_for_all(&authority);
    let stranger = Authority::create();
    for release in [Release::MYSQL_9_7, Release::MARIADB_11_8] {
        let account = "CREATE USER u IDENTIFIED BY 'hush' REQUIRE X509; GRANT ALL ON app.* TO u; \
                       CREATE USER p IDENTIFIED BY 'hush'; GRANT ALL ON app.* TO p";
        let server = with_accounts(secured(release, &authority), account).await;
        let url = |user: &str, host: &str, rest: &str| {
            format!("mysql://{user}:hush@{host}:{}/app?{rest}", server.port())
        };
        let ca = |authority: &Authority| format!("ssl-ca={}", authority.certificate().display());
        let (own, other) = (ca(&authority), ca(&stranger));
        assert!(!log_in(&url("p", "127.0.0.1", "ssl-mode=DISABLED")).await.unwrap());
        for rest in [
            "ssl-mode=PREFERRED".to_owned(),
            "ssl-mode=REQUIRED".to_owned(),
            format!("ssl-mode=VERIFY_CA&{own}"),
            format!("ssl-mode=VERIFY_IDENTITY&{own}"),
        ] {
            assert!(log_in(&url("p", "127.0.0.1", &rest)).await.unwrap(), "{rest}");
        }
        for (host, rest) in [
            ("127.0.0.1", format!("ssl-mode=VERIFY_CA&{other}")),
            ("127.0.0.1", format!("ssl-mode=VERIFY_IDENTITY&{other}")),
            ("localhost", format!("ssl-mode=VERIFY_IDENTITY&{own}")),
            ("127.0.0.1", "ssl-mode=VERIFY_CA&ssl-ca=/no/such".to_owned()),
        ] {
            assert_eq!(refusal(&url("p", host, &rest)).await, Some(Code::TlsFailed), "{rest}");
        }
        let identity = format!(
            "ssl-mode=REQUIRED&ssl-cert={}&ssl-key={}",
            authority.file("client.crt").display(),
            authority.file("client.key").display()
        );
        assert!(log_in(&url("u", "127.0.0.1", &identity)).await.unwrap());
        let without = refusal(&url("u", "127.0.0.1", "ssl-mode=REQUIRED")).await;
        assert_eq!(without, Some(Code::AuthFailed));
    }
}

#[tokio::test]
async fn a_server_without_tls_is_told_from_one_with() {
    let server = with_accounts(Release::MARIADB_10_11.into(), "DO 1").await;
    let url = |mode: &str| format!("{}?ssl-mode={mode}", server.url("app"));
    assert!(!log_in(&url("PREFERRED")).await.unwrap());
    assert_eq!(refusal(&url("REQUIRED")).await, Some(Code::TlsFailed));
}

#[tokio::test]
async fn refusals_have_their_codes() {
    for release in [Release::MYSQL_9_7, Release::MARIADB_11_8] {
        let account = "CREATE USER u IDENTIFIED BY 'hush'; GRANT ALL ON app.* TO u";
        let server = with_accounts(release.into(), account).await;
        let url = |login: &str, database: &str| {
            format!("mysql://{login}@127.0.0.1:{}/{database}", server.port())
        };
        assert_eq!(refusal(&url("u:hushhush", "app")).await, Some(Code::AuthFailed));
        assert_eq!(refusal(&url("u", "app")).await, Some(Code::AuthFailed));
        assert_eq!(refusal(&url("root", "missing")).await, Some(Code::DatabaseMissing));
        assert_eq!(refusal(&url("u:hush", "mysql")).await, Some(Code::PrivilegeMissing));
    }
    assert_eq!(refusal("mysql://u:hush@no.such.host.invalid/").await, Some(Code::HostUnknown));
    assert_eq!(refusal("mysql://u:hush@127.0.0.1:1/").await, None);
}

#[tokio::test]
async fn a_server_that_is_full_is_waited_for_and_the_next_host_is_tried() {
    let account = "CREATE USER u IDENTIFIED BY 'hush'; GRANT ALL ON app.* TO u";
    let server = with_accounts(Release::MYSQL_9_7.into(), account).await;
    let mut root = server.connect("app").await.unwrap();
    root.query_drop("SET GLOBAL max_connections = 1").await.unwrap();
    let url = format!("mysql://u:hush@127.0.0.1:{}/app", server.port());
    assert_eq!(refusal(&url).await, None);
    let error = Wire::connect(&endpoint(&url)).await.err().unwrap();
    assert_eq!(error.server().map(|server| server.number), Some(1040));
    let second = with_accounts(Release::MARIADB_11_8.into(), account).await;
    let both =
        format!("mysql://u:hush@127.0.0.1:{},127.0.0.1:{}/app", server.port(), second.port());
    let wire = Wire::connect(&endpoint(&both)).await.unwrap();
    assert_eq!(wire.version().flavour, Flavour::MariaDb);
    assert_eq!(wire.endpoint().hosts().len(), 1);
    root.disconnect().await.unwrap();
}
