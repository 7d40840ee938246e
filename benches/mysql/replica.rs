//! The server's own replica, with four workers (`stage` sets them).

use std::time::{Duration, Instant};

use dunlin::demo::mysql::Server;

use super::stage::{row, server, sql};

/// What is run on it, for the page.
pub const COMMAND: &str = "START REPLICA; SELECT WAIT_FOR_EXECUTED_GTID_SET(…)";

/// A replica of the source.
pub struct Replica {
    pub server: Server,
}

impl Replica {
    /// Makes one that has everything from the beginning of the source's log on, and rests.
    pub async fn of(source: &Server) -> Replica {
        let replica = Replica { server: server(true) };
        let follow = format!(
            "CHANGE REPLICATION SOURCE TO SOURCE_HOST = '127.0.0.1', SOURCE_PORT = {}, \
             SOURCE_USER = 'root', SOURCE_AUTO_POSITION = 1, GET_SOURCE_PUBLIC_KEY = 1",
            source.port()
        );
        sql(&replica.server, &follow).await;
        replica
    }

    /// Lets it follow.
    pub async fn start(&self) {
        sql(&self.server, "START REPLICA").await;
    }

    /// Lets it rest.
    pub async fn stop(&self) {
        sql(&self.server, "STOP REPLICA").await;
    }

    /// From its start until it has everything up to `end`.
    pub async fn drain(&self, end: &str) -> Duration {
        let begun = Instant::now();
        self.start().await;
        let reached = format!("SELECT WAIT_FOR_EXECUTED_GTID_SET('{end}', 3600)");
        let found = row(&self.server, &reached).await;
        let taken = begun.elapsed();
        assert_eq!(found, ["0"], "the replica is stuck");
        self.stop().await;
        taken
    }
}
