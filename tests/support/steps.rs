//! A cutover there and back, held or killed at any of its steps, on either engine; and what of it
//! is to be seen on both servers.

use std::fs;

use dunlin::demo::mysql::server::MySql;
use dunlin::demo::private::Engine;
use dunlin::demo::server::Postgres;
use mysql_async::prelude::Queryable;
use tempfile::TempDir;

use super::mysql::{MySqlPair, batch, row};
use super::pair::DATABASE;
use super::{Dunlin, Proxy, TestPair, number, wait_until};

/// Either server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    Source,
    Target,
}

/// What a test asks of servers of either engine.
pub trait Servers {
    type Engine: Engine + Send;

    fn pair(&self) -> &TestPair<Self::Engine>;

    /// Runs statements in the database that is moved.
    async fn sql(&self, side: Side, statements: &str);

    /// Makes what applications write to, and their account.
    async fn prepare(&self);

    /// An application writes a row. Whether it was let in.
    async fn insert(&self, side: Side, n: i32) -> bool;

    /// The rows of applications, and how many different ones.
    async fn rows(&self) -> (i64, i64);

    /// All that a cutover makes or sets on both servers for longer than it lives.
    async fn traces(&self) -> Vec<i64>;

    /// What would show in a statement that seals the source.
    fn sealing(&self) -> &'static str;

    /// The URL of the database behind a proxy.
    fn url_behind(&self, proxy: &Proxy) -> String;
}

/// Slots and publications, functions and triggers that refuse writes.
const POSTGRES_TRACES: &str = "\
SELECT ARRAY[(SELECT count(*) FROM pg_replication_slots), (SELECT count(*) FROM pg_publication),
             (SELECT count(*) FROM pg_proc WHERE proname LIKE 'refuse_%'),
             (SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'dunlin_fence_%')]";

impl Servers for TestPair<Postgres> {
    type Engine = Postgres;

    fn pair(&self) -> &TestPair<Postgres> {
        self
    }

    async fn sql(&self, side: Side, statements: &str) {
        match side {
            Side::Source => self.source_sql(statements).await,
            Side::Target => self.target_sql(statements).await,
        }
    }

    async fn prepare(&self) {
        self.source_sql("CREATE TABLE promise (id bigserial PRIMARY KEY, writer int, n int)").await;
    }

    async fn insert(&self, side: Side, n: i32) -> bool {
        let client = match side {
            Side::Source => self.on_source().await,
            Side::Target => self.on_target().await,
        };
        let insert = format!("INSERT INTO promise (writer, n) VALUES (-1, {n})");
        match client.batch_execute(&insert).await {
            Ok(()) => true,
            Err(error) => {
                assert_eq!(error.code().expect("an answer").code(), "25006", "{error}");
                false
            }
        }
    }

    async fn rows(&self) -> (i64, i64) {
        let counts = "SELECT count(*), count(DISTINCT n) FROM promise";
        let row = self.on_source().await.query_one(counts, &[]).await.unwrap();
        (row.get(0), row.get(1))
    }

    async fn traces(&self) -> Vec<i64> {
        let mut traces: Vec<i64> = number(&self.on_source().await, POSTGRES_TRACES).await;
        traces.extend(number::<Vec<i64>>(&self.on_target().await, POSTGRES_TRACES).await);
        traces
    }

    fn sealing(&self) -> &'static str {
        "COMMIT"
    }

    fn url_behind(&self, proxy: &Proxy) -> String {
        proxy.url(DATABASE)
    }
}

/// Whether it is read-only, by what kept settings, and what acts by itself.
const MYSQL_TRACES: &str = "\
SELECT @@GLOBAL.read_only,
       (SELECT COUNT(*) FROM information_schema.triggers WHERE trigger_schema = 'app'),
       (SELECT COUNT(*) FROM information_schema.events WHERE status = 'ENABLED')";

/// `ER_OPTION_PREVENTS_STATEMENT`.
const READ_ONLY: u16 = 1290;

/// An application's account, which may not write where the server is read-only.
const ACCOUNT: &str = "CREATE USER app@'%' IDENTIFIED BY ''; GRANT ALL ON app.* TO app@'%'";

impl Servers for MySqlPair {
    type Engine = MySql;

    fn pair(&self) -> &MySqlPair {
        self
    }

    async fn sql(&self, side: Side, statements: &str) {
        match side {
            Side::Source => self.source_sql(statements).await,
            Side::Target => self.target_sql(statements).await,
        }
    }

    async fn prepare(&self) {
        for server in [&self.source, &self.target] {
            batch(server, ACCOUNT).await;
        }
        self.source_sql(
            "CREATE TABLE promise (id bigint PRIMARY KEY AUTO_INCREMENT, writer int, n int);
             CREATE TRIGGER marked BEFORE INSERT ON promise FOR EACH ROW SET NEW.writer = -2",
        )
        .await;
    }

    async fn insert(&self, side: Side, n: i32) -> bool {
        let url = match side {
            Side::Source => self.source_url(),
            Side::Target => self.target_url(),
        };
        let url = url.replace("root@", "app@").replace("mariadb://", "mysql://");
        let mut session = mysql_async::Conn::from_url(url).await.unwrap();
        let insert = format!("INSERT INTO promise (writer, n) VALUES (-1, {n})");
        match session.query_drop(insert).await {
            Ok(()) => true,
            Err(mysql_async::Error::Server(error)) if error.code == READ_ONLY => false,
            Err(error) => panic!("{error}"),
        }
    }

    async fn rows(&self) -> (i64, i64) {
        let counts = "SELECT COUNT(*), COUNT(DISTINCT n) FROM promise";
        row(&mut self.on_source().await, counts).await
    }

    async fn traces(&self) -> Vec<i64> {
        let mut traces = Vec::new();
        for mut session in [self.on_source().await, self.on_target().await] {
            let (read_only, triggers, events): (i64, i64, i64) =
                row(&mut session, MYSQL_TRACES).await;
            traces.extend([read_only, triggers, events]);
            if !self.source.release().is_mariadb() {
                let kept = "SELECT @@GLOBAL.super_read_only, COUNT(*), \
                            COALESCE(SUM(variable_value = 'ON'), 0) \
                            FROM performance_schema.persisted_variables \
                            WHERE variable_name LIKE '%read_only'";
                let (closed, kept, on): (i64, i64, i64) = row(&mut session, kept).await;
                traces.extend([closed, kept, on]);
            }
        }
        traces
    }

    fn sealing(&self) -> &'static str {
        "read_only = ON"
    }

    fn url_behind(&self, proxy: &Proxy) -> String {
        // What passes is to be read.
        proxy.mysql_url(DATABASE) + "?ssl-mode=DISABLED"
    }
}

/// A cutover that stands at a failpoint, until it is let go or killed.
pub struct Held {
    pub dunlin: Dunlin,
    folder: TempDir,
}

impl Held {
    /// Starts the command and waits until it stands there.
    pub async fn at(mut command: tokio::process::Command, failpoint: &str) -> Held {
        let folder = tempfile::tempdir().unwrap();
        command.env("DUNLIN_FAILPOINT", failpoint);
        command.env("DUNLIN_FAILPOINT_GATE", folder.path().join("gate"));
        let mut dunlin = Dunlin::start_command(command);
        dunlin.reaches(failpoint).await;
        Held { dunlin, folder }
    }

    /// Lets it go on.
    pub fn let_go(&self) {
        fs::write(self.folder.path().join("gate"), "").unwrap();
    }
}

/// A cutover with these words, patient for a machine under load.
pub fn cutover<S: Servers>(servers: &S, words: &[&str]) -> tokio::process::Command {
    let pair = servers.pair();
    between(&[&pair.source_url(), &pair.target_url()], words)
}

/// The same between other URLs.
pub fn between(urls: &[&str; 2], words: &[&str]) -> tokio::process::Command {
    let mut command = Dunlin::command(&["cutover", "--source", urls[0], "--target", urls[1]]);
    command.args(["--accept-unverified", "--log-level", "debug", "--max-downtime", "50s"]);
    command.args(words);
    command
}

/// Applications that write now and then, and remember what they were promised.
pub struct Applications<'a, S> {
    servers: &'a S,
    promised: i32,
    tried: i32,
}

impl<'a, S: Servers> Applications<'a, S> {
    pub fn new(servers: &'a S) -> Self {
        Applications { servers, promised: 0, tried: 0 }
    }

    /// They write on this side, which lets them in or not.
    pub async fn write(&mut self, side: Side, is_let_in: bool, when: &str) {
        self.tried += 1;
        let done = self.servers.insert(side, self.tried).await;
        assert_eq!(done, is_let_in, "whether the {side:?} takes writes, {when}");
        self.promised += i32::from(done);
    }

    /// Whatever they were promised is on the source exactly once, and nothing else.
    pub async fn assert_kept_on_the_source(&self) {
        let promised = i64::from(self.promised);
        wait_until("every promised row is there", async || self.servers.rows().await.1 >= promised)
            .await;
        assert_eq!(self.servers.rows().await, (promised, promised));
    }
}
