//! A primary that is written to, a standby of it as the source, and a target.

use std::time::Duration;

use dunlin::demo::{Server, ServerOptions};
use tokio::task::JoinHandle;
use tokio_postgres::Client;

use super::binary::Finished;
use super::compare::assert_equal_between;
use super::pair::DATABASE;
use super::{Dunlin, TestPair, text, wait_until};

/// A version that decodes on standbys.
const MAJOR: u32 = 18;

/// How often a primary with [`StandbyPair::pulse`] logs its running transactions.
const PULSE: Duration = Duration::from_millis(50);

/// A primary, and a pair whose source is its standby.
pub struct StandbyPair {
    pub primary: Server,
    pub pair: TestPair,
    pulse: Option<JoinHandle<()>>,
}

impl StandbyPair {
    /// Three usual servers, but that the standby tells its primary what it still needs.
    pub async fn start() -> StandbyPair {
        let feedback = ServerOptions::default().with("hot_standby_feedback", "on");
        StandbyPair::start_with(MAJOR, feedback).await
    }

    /// A primary of this version, and a standby with settings of its own.
    pub async fn start_with(major: u32, standby: ServerOptions) -> StandbyPair {
        let options = ServerOptions { major: Some(major), ..ServerOptions::default() };
        let primary = Server::create(&options).unwrap();
        primary.create_database(DATABASE).await.unwrap();
        let source = primary.create_standby(&standby).unwrap();
        let target = Server::create(&ServerOptions::default()).unwrap();
        target.create_database(DATABASE).await.unwrap();
        StandbyPair { primary, pair: TestPair { source, target }, pulse: None }
    }

    /// Lets the primary log its running transactions again and again, which a slot waits for.
    pub async fn pulse(mut self) -> StandbyPair {
        let primary = self.on_primary().await;
        self.pulse = Some(tokio::spawn(async move {
            let mut ticks = tokio::time::interval(PULSE);
            while primary.query("SELECT pg_log_standby_snapshot()", &[]).await.is_ok() {
                ticks.tick().await;
            }
        }));
        self
    }

    /// Makes another standby of the primary the primary, which the source follows from then on.
    pub async fn switch_over(&mut self, heir: Server) {
        let heirs = heir.connect(DATABASE).await.unwrap();
        let end = text(&self.on_primary().await, "SELECT pg_current_wal_lsn()").await.unwrap();
        let replayed = format!("SELECT pg_last_wal_replay_lsn() >= '{end}'");
        wait_until("the heir has replayed it", async || {
            text(&heirs, &replayed).await.as_deref() == Some("t")
        })
        .await;
        self.replayed().await;
        self.primary.stop().unwrap();
        heirs.batch_execute("SELECT pg_promote()").await.unwrap();
        let slot = "SELECT pg_create_physical_replication_slot('follower')";
        heirs.batch_execute(slot).await.unwrap();
        let standby = self.pair.on_source().await;
        for setting in [
            format!("primary_conninfo = 'host=127.0.0.1 port={} user=postgres'", heir.port()),
            "primary_slot_name = 'follower'".to_owned(),
        ] {
            standby.batch_execute(&format!("ALTER SYSTEM SET {setting}")).await.unwrap();
        }
        standby.batch_execute("SELECT pg_reload_conf()").await.unwrap();
        self.primary = heir;
    }

    /// The URL of the database on the primary.
    pub fn primary_url(&self) -> String {
        self.primary.url(DATABASE)
    }

    /// A session on the primary.
    pub async fn on_primary(&self) -> Client {
        self.primary.connect(DATABASE).await.unwrap()
    }

    /// Runs statements on the primary, and waits until the standby has replayed them.
    pub async fn primary_sql(&self, statements: &str) {
        self.primary_sql_alone(statements).await;
        self.replayed().await;
    }

    /// Runs statements on the primary, each in a transaction of its own where they stand in one.
    pub async fn primary_sql_alone(&self, statements: &str) {
        let primary = self.on_primary().await;
        for statement in statements.split(';').filter(|statement| !statement.trim().is_empty()) {
            primary.batch_execute(statement).await.unwrap();
        }
    }

    /// Waits until the standby has replayed all that the primary has written by now.
    pub async fn replayed(&self) {
        let end = text(&self.on_primary().await, "SELECT pg_current_wal_lsn()").await.unwrap();
        let standby = self.pair.on_source().await;
        let replayed = format!("SELECT pg_last_wal_replay_lsn() >= '{end}'");
        wait_until("the standby has replayed it", async || {
            text(&standby, &replayed).await.as_deref() == Some("t")
        })
        .await;
    }

    /// Runs the statements on the primary that `check` prints for its publications.
    pub async fn publish(&self, arguments: &[&str]) {
        let statements = self.fix("PUBLICATION_NEEDED", arguments).await;
        self.primary_sql(&statements.expect("the publications are missing")).await;
    }

    /// The statements by which `check` has a finding mended; none where it finds nothing like it.
    pub async fn fix(&self, id: &str, arguments: &[&str]) -> Option<String> {
        let arguments = [&["--json"], arguments].concat();
        let checked = Dunlin::run(&self.pair, "check", &arguments).await;
        let report: serde_json::Value = serde_json::from_str(&checked.stdout).unwrap();
        let findings = report["findings"].as_array().unwrap();
        let finding = findings.iter().find(|finding| finding["id"] == id)?;
        Some(finding["fix_sql"].as_str().unwrap().to_owned())
    }

    /// Runs until the target has all that the primary has now; then both must be equal.
    pub async fn catch_up(&self, arguments: &[&str]) -> Finished {
        self.replayed().await;
        let arguments = [&["--until", "caught-up"], arguments].concat();
        let finished = Dunlin::run(&self.pair, "run", &arguments).await.expect_code(0);
        assert_equal_between(&self.primary_url(), &self.pair.target_url()).await;
        finished
    }
}

impl Drop for StandbyPair {
    fn drop(&mut self) {
        if let Some(pulse) = &self.pulse {
            pulse.abort();
        }
    }
}
