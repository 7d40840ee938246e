//! Logins: what is let in, what is refused and with which code, what holds in a session then, and
//! that no password is seen. Both kinds of connection, the driver's and our own, go through each.

use std::fs;
use std::path::Path;

use dunlin::config::endpoint::PostgresEndpoint;
use dunlin::config::environment::Environment;
use dunlin::connect::error::ConnectError;
use dunlin::connect::postgres::connect;
use dunlin::model::Failure;
use dunlin::source::postgres::wire::{Wire, WireOptions};
use tokio_postgres::Client;

use crate::support::pair::DATABASE;
use crate::support::secured::{
    Authority, P256, SERVER_NAME, alter, offer_tls, password_file, put_login_rules,
};
use crate::support::{Dunlin, TestPair, text, wait_until};

const NAME: &str = "login test";

/// What `query` returns over each kind of connection, or the code of the refusal.
async fn ask(endpoint: &PostgresEndpoint, query: &str) -> [String; 2] {
    let options = WireOptions { application_name: NAME.into(), replication: false };
    let driver = match connect(endpoint, NAME).await {
        Ok(client) => text(&client, query).await.unwrap(),
        Err(error) => refusal(error),
    };
    let own = match Wire::connect(endpoint, &options).await {
        Ok(mut wire) => wire.simple_query(query).await.unwrap()[0][0].clone().unwrap(),
        Err(error) => refusal(error),
    };
    [driver, own]
}

fn refusal(error: ConnectError) -> String {
    let failure = Failure::from(error);
    failure.code().map_or_else(|| format!("{failure:?}"), |code| code.as_str().to_owned())
}

/// A source that lets roles in as their names say, a target without TLS, and who may vouch.
struct Logins {
    pair: TestPair,
    authority: Authority,
    environment: Environment,
}

/// How each role gets in. Passwords are the role's name backwards.
const RULES: &str = "host all trusted 127.0.0.1/32 trust
    host all digest 127.0.0.1/32 md5
    host all scram 127.0.0.1/32 scram-sha-256
    hostssl all clear 127.0.0.1/32 password
    hostssl all certified 127.0.0.1/32 cert
    local all scram scram-sha-256
    host all,replication nobody,certified,clear 127.0.0.1/32 reject";
const ROLES: &str = "SET password_encryption = 'md5';
    CREATE ROLE digest LOGIN PASSWORD 'tsegid';
    SET password_encryption = 'scram-sha-256';
    CREATE ROLE scram LOGIN PASSWORD 'marcs';
    CREATE ROLE clear LOGIN PASSWORD 'raelc';
    CREATE ROLE trusted LOGIN; CREATE ROLE certified LOGIN; CREATE ROLE nobody LOGIN";
const PASSWORDS: &str = "*:*:app:digest:tsegid\n*:*:*:scram:marcs\n*:*:*:clear:raelc\n";

impl Logins {
    async fn start() -> Logins {
        let pair = TestPair::start().await;
        pair.source_sql(ROLES).await;
        pair.target_sql(ROLES).await;
        let authority = Authority::create();
        authority.secure(&pair.source).await;
        put_login_rules(&pair.source, RULES).await;
        let passwords = password_file(&authority.file(""), PASSWORDS);
        let variable = ("PGPASSFILE", passwords.to_str().unwrap());
        let environment = Environment::new([variable], None);
        Logins { pair, authority, environment }
    }

    fn endpoint(&self, words: &str) -> PostgresEndpoint {
        let words = format!(
            "host={SERVER_NAME} hostaddr=127.0.0.1 port={} dbname={DATABASE} {words}",
            self.pair.source.port()
        );
        self.parse(&words)
    }

    /// The last of a word counts, and one without a value takes it away; `NAME.crt` and `NAME.key` are files of the authority's folder.
    fn parse(&self, words: &str) -> PostgresEndpoint {
        let mut last: Vec<(&str, String)> = Vec::new();
        for word in words.split_whitespace() {
            let (name, value) = word.split_once('=').unwrap();
            let is_file = value.ends_with(".crt") || value.ends_with(".key");
            let file = || self.authority.file(value).display().to_string();
            let value = if is_file && !value.starts_with('/') { file() } else { value.into() };
            last.retain(|(other, _)| *other != name);
            if !value.is_empty() {
                last.push((name, value));
            }
        }
        let words: Vec<_> = last.iter().map(|(name, value)| format!("{name}={value}")).collect();
        PostgresEndpoint::parse(&words.join(" "), &self.environment).unwrap()
    }

    async fn expect(&self, rows: &[(&str, &str)]) {
        for (words, outcome) in rows {
            let outcomes = ask(&self.endpoint(words), "SELECT current_user").await;
            assert_eq!(outcomes, [*outcome; 2], "{words}");
        }
    }
}

#[tokio::test]
async fn every_method_lets_the_right_one_in() {
    let logins = Logins::start().await;
    let sockets = logins.pair.source.data();
    let sockets = sockets.parent().unwrap().display();
    logins.authority.issue("mover", "certified", P256, "basicConstraints=CA:FALSE");
    let by_socket = format!("host={sockets} hostaddr= user=scram");
    logins
        .expect(&[
            ("user=trusted", "trusted"),
            ("user=trusted sslmode=disable", "trusted"),
            ("user=digest", "digest"),
            ("user=digest sslmode=disable", "digest"),
            ("user=scram sslmode=disable", "scram"),
            ("user=scram sslmode=require", "scram"),
            ("user=scram sslmode=require channel_binding=disable", "scram"),
            ("user=scram sslmode=require channel_binding=require", "scram"),
            ("user=scram sslmode=verify-ca sslrootcert=authority.crt host=other", "scram"),
            ("user=scram sslmode=verify-full sslrootcert=authority.crt", "scram"),
            ("user=clear sslmode=require", "clear"),
            ("user=clear sslmode=allow", "clear"),
            ("user=certified sslmode=require sslcert=mover.crt sslkey=mover.key", "certified"),
            (&by_socket, "scram"),
        ])
        .await;
}

#[tokio::test]
async fn others_are_refused_with_their_code() {
    let logins = Logins::start().await;
    let stranger = Authority::create();
    stranger.issue("mover", "certified", P256, "basicConstraints=CA:FALSE");
    let (strange, certificate, key) =
        (stranger.certificate(), stranger.file("mover.crt"), stranger.file("mover.key"));
    let unknown_authority =
        format!("user=scram sslmode=verify-ca sslrootcert={}", strange.display());
    let unknown_client = format!(
        "user=certified sslmode=require sslcert={} sslkey={}",
        certificate.display(),
        key.display()
    );
    let without_tls = format!("user=scram sslmode=require port={}", logins.pair.target.port());
    logins
        .expect(&[
            ("user=scram password=wrong", "AUTH_FAILED"),
            ("user=digest password=wrong", "AUTH_FAILED"),
            ("user=clear password=wrong sslmode=require", "AUTH_FAILED"),
            ("user=digest dbname=postgres", "AUTH_FAILED"),
            ("user=nobody", "AUTH_FAILED"),
            ("user=missing_role", "AUTH_FAILED"),
            ("user=scram dbname=nowhere", "DATABASE_MISSING"),
            ("user=scram sslmode=disable channel_binding=require", "AUTH_FAILED"),
            ("user=digest sslmode=require channel_binding=require", "AUTH_FAILED"),
            ("user=clear sslmode=require channel_binding=require", "AUTH_FAILED"),
            ("user=trusted sslmode=require channel_binding=require", "AUTH_FAILED"),
            ("user=certified sslmode=require", "AUTH_FAILED"),
            ("user=scram host=other sslmode=verify-full sslrootcert=authority.crt", "TLS_FAILED"),
            ("user=scram sslmode=verify-full sslrootcert=missing.crt", "TLS_FAILED"),
            ("user=scram sslmode=verify-full", "TLS_FAILED"),
            (&unknown_authority, "TLS_FAILED"),
            (&unknown_client, "TLS_FAILED"),
            (&without_tls, "TLS_FAILED"),
        ])
        .await;
}

/// Certificates that Postgres servers have and web servers mostly do not. SCRAM is bound to each but
/// the last, whose signature has no hash to bind to (RFC 5929, section 4.1).
#[tokio::test]
async fn certificates_of_every_kind_name_and_bind() {
    let logins = Logins::start().await;
    let names = format!("subjectAltName=DNS:{SERVER_NAME}");
    let kinds = [
        ("common_name", "rsa:2048", "basicConstraints=CA:FALSE"),
        ("p256", P256, names.as_str()),
        ("p384", "ec -pkeyopt ec_paramgen_curve:P-384", "basicConstraints=CA:FALSE"),
    ];
    let bound = "user=scram sslmode=verify-full channel_binding=require";
    for (name, kind, extensions) in kinds {
        logins.authority.issue(name, SERVER_NAME, kind, extensions);
        let (certificate, key) = (format!("{name}.crt"), format!("{name}.key"));
        let file = |name: &str| logins.authority.file(name);
        offer_tls(&logins.pair.source, &file(&certificate), &file(&key)).await;
        let by_authority = format!("{bound} sslrootcert=authority.crt");
        let other = format!("{by_authority} host=other");
        logins.expect(&[(&by_authority, "scram"), (&other, "TLS_FAILED")]).await;
    }
    let own_roots = [
        ("own512", "rsa:2048 -sha512"),
        ("pss", "rsa:2048 -sha384 -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:-1"),
        ("ecdsa512", "ec -pkeyopt ec_paramgen_curve:P-256 -sha512"),
    ];
    for (name, kind) in own_roots {
        logins.authority.sign_own(name, SERVER_NAME, kind);
        let (certificate, key) = (format!("{name}.crt"), format!("{name}.key"));
        let file = |name: &str| logins.authority.file(name);
        offer_tls(&logins.pair.source, &file(&certificate), &file(&key)).await;
        let own_root = format!("{bound} sslrootcert={certificate}");
        let other = format!("{own_root} host=other");
        let unknown = format!("{bound} sslrootcert=authority.crt");
        logins
            .expect(&[(&own_root, "scram"), (&other, "TLS_FAILED"), (&unknown, "TLS_FAILED")])
            .await;
    }
    logins.authority.sign_own("ed25519", SERVER_NAME, "ed25519");
    let file = |name: &str| logins.authority.file(name);
    offer_tls(&logins.pair.source, &file("ed25519.crt"), &file("ed25519.key")).await;
    logins
        .expect(&[
            ("user=scram sslmode=verify-full sslrootcert=ed25519.crt", "scram"),
            ("user=scram sslmode=require channel_binding=require", "AUTH_FAILED"),
        ])
        .await;
}

#[tokio::test]
async fn a_certificate_of_version_one_encrypts_but_cannot_be_verified() {
    let logins = Logins::start().await;
    for (name, kind, most) in
        [("ec1", P256, "TLSv1.2"), ("rsa1", "rsa:2048", "TLSv1.2"), ("ec1", P256, "TLSv1.3")]
    {
        logins.authority.issue_version_one(name, SERVER_NAME, kind);
        let file = |name: String| logins.authority.file(&name);
        let source = &logins.pair.source;
        offer_tls(source, &file(format!("{name}.crt")), &file(format!("{name}.key"))).await;
        let version = format!("ALTER SYSTEM SET ssl_max_protocol_version = '{most}'");
        alter(source, &version).await;
        for mode in ["prefer", "require"] {
            let endpoint = logins.endpoint(&format!("user=scram sslmode={mode}"));
            let used = "SELECT ssl::text FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
            assert_eq!(ask(&endpoint, used).await, ["true"; 2], "{name} {mode}");
        }
        logins
            .expect(&[("user=scram sslmode=verify-ca sslrootcert=authority.crt", "TLS_FAILED")])
            .await;
    }
}

/// Settings that are pinned, what they are pinned to, and what someone else would have them be.
const PINNED: &[(&str, &str, &str)] = &[
    ("DateStyle", "ISO", "German"),
    ("IntervalStyle", "postgres", "sql_standard"),
    ("extra_float_digits", "3", "0"),
    ("bytea_output", "hex", "escape"),
    ("TimeZone", "UTC", "Asia/Tokyo"),
    ("search_path", "", "public"),
    ("client_encoding", "UTF8", "LATIN1"),
    ("statement_timeout", "0", "60000"),
    ("lock_timeout", "0", "60000"),
    ("idle_in_transaction_session_timeout", "0", "60000"),
    ("idle_session_timeout", "0", "60000"),
    // So the server notices in time that a machine is gone.
    ("tcp_keepalives_idle", "30", "7200"),
    ("tcp_keepalives_interval", "10", "75"),
    ("tcp_keepalives_count", "3", "9"),
];

#[tokio::test]
async fn pinned_settings_hold_whatever_role_database_and_url_say() {
    let pair = TestPair::start().await;
    pair.source_sql("CREATE ROLE mover LOGIN").await;
    let mut options = String::new();
    for (name, _, other) in PINNED {
        pair.source_sql(&format!(
            "ALTER ROLE mover SET {name} = '{other}'; ALTER DATABASE app SET {name} = '{other}'"
        ))
        .await;
        options.push_str(&format!("-c {name}={other} "));
    }
    let words = format!(
        "host=127.0.0.1 port={} user=mover dbname={DATABASE} options='{options}'",
        pair.source.port()
    );
    let none: [(&str, &str); 0] = [];
    let environment = Environment::new(none, None);
    let plain = words.split(" options=").next().unwrap();
    for words in [plain, &words] {
        let endpoint = PostgresEndpoint::parse(words, &environment).unwrap();
        for (name, value, _) in PINNED {
            let query = format!("SELECT pg_catalog.current_setting('{name}')");
            for held in ask(&endpoint, &query).await {
                let first = held.split(',').next().unwrap().trim_matches('"');
                assert_eq!(first, *value, "{name}");
            }
        }
    }
    let other = pair.source.connect(DATABASE).await.unwrap();
    let held = text(&other, "SELECT pg_catalog.current_setting('DateStyle')").await.unwrap();
    assert!(held.starts_with("German"), "the database's own settings count for others: {held}");
}

const SECRETS: [&str; 2] = ["open-sesame-source", "open-sesame-target"];

fn assert_no_secret(what: &str, text: &str) {
    for secret in SECRETS {
        assert!(!text.contains(secret), "{secret} in {what}");
    }
}

/// The command lines of a process and of all that it started, as `ps` shows them.
fn command_lines(root: u32) -> Vec<String> {
    let read = |pid: u32, file: &str| fs::read(Path::new("/proc").join(pid.to_string()).join(file));
    let mut family = vec![root];
    let mut at = 0;
    while let Some(parent) = family.get(at) {
        let parent = format!("PPid:\t{parent}\n");
        let all = fs::read_dir("/proc").unwrap().flatten();
        let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        family.extend(pids.filter(|pid| {
            let status = read(*pid, "status").unwrap_or_default();
            String::from_utf8_lossy(&status).contains(&parent)
        }));
        at += 1;
    }
    let line = |pid: &u32| read(*pid, "cmdline").unwrap_or_default();
    family.iter().map(|pid| String::from_utf8_lossy(&line(pid)).replace('\0', " ")).collect()
}

async fn column(client: &Client, query: &str) -> Vec<String> {
    client.query(query, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

/// Nothing in a session's list, the state or the server's own log of statements.
async fn assert_servers_saw_no_secret(pair: &TestPair) {
    let sessions = "SELECT (a.*)::text FROM pg_stat_activity AS a";
    for client in [pair.on_source().await, pair.on_target().await] {
        assert_no_secret("pg_stat_activity", &column(&client, sessions).await.concat());
    }
    let client = pair.on_target().await;
    let tables = "SELECT tablename::text FROM pg_tables WHERE schemaname = 'dunlin'";
    let tables = column(&client, tables).await;
    assert!(tables.len() > 3);
    for table in tables {
        let rows = column(&client, &format!("SELECT (t.*)::text FROM dunlin.{table} AS t")).await;
        assert_no_secret(&table, &rows.concat());
    }
    for server in [&pair.source, &pair.target] {
        let log = fs::read_to_string(server.log()).unwrap();
        assert!(log.contains("statement: "), "statements are logged");
        assert_no_secret("a server's log", &log);
    }
}

#[tokio::test]
async fn no_password_is_seen() {
    let pair = TestPair::start().await;
    pair.source_sql("CREATE TABLE orders (id int PRIMARY KEY); INSERT INTO orders VALUES (1)")
        .await;
    for (server, secret) in [&pair.source, &pair.target].into_iter().zip(SECRETS) {
        let client = server.connect(DATABASE).await.unwrap();
        let role = format!(
            "CREATE ROLE mover SUPERUSER LOGIN PASSWORD '{secret}';
             ALTER ROLE mover SET log_statement = 'all'"
        );
        client.batch_execute(&role).await.unwrap();
        put_login_rules(server, "host all,replication mover 127.0.0.1/32 scram-sha-256").await;
    }
    let source = pair.source_url().replace("postgres@", &format!("mover:{}@", SECRETS[0]));
    let target = pair.target_url().replace("postgres@", "mover@");
    let command = |arguments: &[&str]| {
        let mut command = Dunlin::command(&["run", "--log-level", "trace"]);
        command.args(arguments).env("PGPASSWORD", SECRETS[1]);
        command.env("DUNLIN_SOURCE", &source).env("DUNLIN_TARGET", &target);
        command
    };

    let mut stopped = command(&[]);
    stopped.env("DUNLIN_FAILPOINT", "chunk-loaded");
    let mut run = Dunlin::start_command(stopped);
    let mut seen = Vec::new();
    wait_until("a chunk is loaded", async || {
        seen.extend(command_lines(run.pid()));
        assert!(run.is_running(), "{}", run.stderr());
        run.stderr().contains("failpoint chunk-loaded reached")
    })
    .await;
    seen.extend(command_lines(run.pid()));
    assert!(seen.iter().any(|line| line.contains("hold-snapshot")), "{seen:?}");
    assert_no_secret("a command line", &seen.concat());
    assert_servers_saw_no_secret(&pair).await;
    assert_no_secret("the log", &run.stderr());
    run.kill().await;

    let finished = Dunlin::start_command(command(&["--until", "caught-up"])).finished().await;
    let finished = finished.expect_code(0);
    assert_no_secret("the log", &finished.stderr);
    assert_no_secret("the output", &finished.stdout);
    assert_servers_saw_no_secret(&pair).await;
}
