//! The demo from its first server to its report: load, write, run, kill, run, compare.
//!
//! Enters: options and a place to say things. Leaves: the report. When a step fails, everything
//! that was written by the servers and by dunlin is kept, and the way there is said.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::task::{JoinError, spawn_blocking};

use super::digest::{compare, sequences_behind};
use super::driver::{Driver, Status, finish};
use super::load::load;
use super::report::{DemoReport, Loaded, SnapshotKill, StreamKill};
use super::screen::{Screen, bytes, count};
use super::server::{Server, ServerOptions, connect};
use super::writers::{WriterOptions, Writers};
use super::{DemoError, DemoOptions};

const DATABASE: &str = "app";
const LARGEST_ROWS: u32 = 5000;
/// What the writers commit between the arrival in the stream and the kill there.
const BEFORE_KILL: u64 = 1500;
/// What they commit while dunlin is dead, so that there is something to catch up with.
const WHILE_DEAD: u64 = 600;
/// What they commit while the lag of a caught-up stream is observed.
const AFTER_CATCH_UP: u64 = 600;
/// Whoever is no further behind than this, under steady load, has caught up.
const CAUGHT_UP_SECONDS: f64 = 1.0;
const CAUGHT_UP_BYTES: u64 = 1 << 20;
const LOADED: &str = "SELECT (SELECT sum(reltuples)::bigint FROM pg_class \
     WHERE relkind = 'r' AND relnamespace::regnamespace::text NOT IN \
     ('pg_catalog', 'information_schema')), pg_database_size(current_database())";
const LEFT_BEHIND: &str = "SELECT 'slot ' || slot_name FROM pg_replication_slots \
     UNION ALL SELECT 'publication ' || pubname FROM pg_publication \
     UNION ALL SELECT 'schema ' || nspname FROM pg_namespace WHERE nspname = 'dunlin' \
     UNION ALL SELECT 'session ' || pid FROM pg_stat_activity WHERE application_name ^@ 'dunlin'";

/// Two servers, one of them loaded, and what moves it.
pub(super) struct Stage {
    source: Server,
    target: Server,
    driver: Driver,
    loaded: Loaded,
    folder: TempDir,
}

impl Stage {
    /// Starts the servers and loads the source.
    pub(super) async fn set(
        options: &DemoOptions,
        screen: &mut Screen<'_>,
    ) -> Result<Stage, DemoError> {
        screen.say("starting two private servers on this machine")?;
        let folder = tempfile::Builder::new()
            .prefix("dunlin-demo-")
            .disable_cleanup(options.keep)
            .tempdir()
            .map_err(DemoError::file(&std::env::temp_dir()))?;
        let source = create_server(options, options.source_programs.clone()).await?;
        let target = create_server(options, options.target_programs.clone()).await?;
        source.create_database(DATABASE).await?;
        target.create_database(DATABASE).await?;
        screen.say(format_args!(
            "source: Postgres {} on port {}; target: Postgres {} on port {}",
            source.programs().version(),
            source.port(),
            target.programs().version(),
            target.port(),
        ))?;
        screen
            .say("loading the source: pgbench's tables, a shop, partitioned events, large texts")?;
        let loaded = load_source(&source.url(DATABASE), options).await?;
        screen.say(format_args!(
            "loaded {} rows, {}",
            count(loaded.rows),
            bytes(loaded.bytes as f64),
        ))?;
        let driver = Driver {
            binary: options.binary.clone(),
            programs: target.programs().folder().to_owned(),
            source_url: source.url(DATABASE),
            target_url: target.url(DATABASE),
            folder: folder.path().to_owned(),
            runs: 0,
        };
        Ok(Stage { source, target, driver, loaded, folder })
    }

    /// Moves the database under writers, with two kills, and compares both sides.
    pub(super) async fn perform(
        &mut self,
        options: &DemoOptions,
        screen: &mut Screen<'_>,
    ) -> Result<DemoReport, DemoError> {
        screen.say("eleven applications start to write, and do not stop until the end")?;
        let writers = Writers::start(
            &self.driver.source_url,
            WriterOptions {
                seed: options.seed,
                size: options.size,
                speed: 1.0,
                largest_rows: LARGEST_ROWS,
            },
        );
        let writing = Instant::now();
        let copying = Instant::now();
        let snapshot_kill = self.kill_in_snapshot(screen).await?;
        let mut run = self.driver.start("run", &[])?;
        self.driver.watch(&mut run, "the tables are copied", Status::is_copied).await?;
        let copied_in = copying.elapsed();
        screen.say("every table is copied and indexed; what was written meanwhile follows")?;
        writers.commit_more(BEFORE_KILL).await;
        run.kill().await?;
        let killed_at = screen.elapsed();
        screen.say("killed it by SIGKILL in the stream; the applications go on")?;
        writers.commit_more(WHILE_DEAD).await;
        let (run, stream_kill) = self.catch_up(screen, killed_at).await?;
        writers.commit_more(AFTER_CATCH_UP).await;
        let lag = self.driver.status().await?.and_then(|status| status.lag_seconds);
        let written = writers.stop().await?;
        let written_in = writing.elapsed();
        screen.say("the applications have stopped; Ctrl-C to dunlin, which commits and ends")?;
        run.interrupt()?;
        finish(run).await?;
        screen.say("dunlin run --until caught-up")?;
        self.driver.run("run", &["--until", "caught-up"]).await?;
        screen.say("comparing both sides: each server digests every row of every table")?;
        let (source, target) = (&self.driver.source_url, &self.driver.target_url);
        let tables = compare(source, target).await?;
        let sequences_behind = sequences_behind(source, target).await?;
        screen.say("dunlin complete: removes its slot, publication and state")?;
        self.driver.run("complete", &[]).await?;
        Ok(DemoReport {
            loaded: self.loaded,
            copied_in,
            snapshot_kill,
            stream_kill,
            written,
            written_in,
            lag_seconds: lag,
            tables,
            sequences_behind,
            left_behind: self.left_behind().await?,
            took: screen.elapsed(),
        })
    }

    /// What the operator finds after a failure, or asked to keep.
    pub(super) fn keep(&mut self, screen: &mut Screen<'_>) -> Result<(), DemoError> {
        self.folder.disable_cleanup(true);
        for (server, name) in [(&self.source, "source.log"), (&self.target, "target.log")] {
            let kept = self.folder.path().join(name);
            std::fs::copy(server.log(), &kept).map_err(DemoError::file(&kept))?;
        }
        screen.write(format_args!(
            "\nLogs of dunlin and of both servers: {}\n",
            self.folder.path().display()
        ))
    }

    /// How to reach the servers that stay.
    pub(super) fn say_where(&self, screen: &mut Screen<'_>) -> Result<(), DemoError> {
        for (name, server) in [("source", &self.source), ("target", &self.target)] {
            screen.write(format_args!(
                "The {name} goes on running: {} (stop it with: kill -INT {})\n",
                server.url(DATABASE),
                server.pid().unwrap_or_default(),
            ))?;
        }
        Ok(())
    }

    async fn kill_in_snapshot(
        &mut self,
        screen: &mut Screen<'_>,
    ) -> Result<Option<SnapshotKill>, DemoError> {
        screen.say("dunlin run --source … --target …")?;
        let mut run = self.driver.start("run", &[])?;
        let is_third = |status: &Status| {
            status.phase == "snapshot"
                && status.chunks_total > 0
                && status.chunks_done * 3 >= status.chunks_total
        };
        self.driver
            .watch(&mut run, "a third of the chunks are copied", |status| {
                is_third(status) || status.is_copied()
            })
            .await?;
        run.kill().await?;
        let at = screen.elapsed();
        let after = self.driver.status().await?.unwrap_or_default();
        let killed = (!after.is_copied()).then_some(SnapshotKill {
            at,
            chunks_kept: after.chunks_done,
            chunks_total: after.chunks_total,
        });
        screen.say(format_args!(
            "killed it by SIGKILL in phase {}: {} of {} chunks are in the target",
            after.phase, after.chunks_done, after.chunks_total,
        ))?;
        screen.say("dunlin run, the same words again")?;
        Ok(killed)
    }

    async fn catch_up(
        &mut self,
        screen: &mut Screen<'_>,
        killed_at: Duration,
    ) -> Result<(super::process::Process, StreamKill), DemoError> {
        let backlog_bytes = self.driver.status().await?.and_then(|status| status.lag_bytes);
        screen.say("dunlin run, the same words again")?;
        let started = Instant::now();
        let mut run = self.driver.start("run", &[])?;
        let is_caught_up = |status: &Status| {
            status.phase == "stream"
                && (status.lag_seconds.is_some_and(|lag| lag <= CAUGHT_UP_SECONDS)
                    || status.lag_bytes.is_some_and(|lag| lag <= CAUGHT_UP_BYTES))
        };
        self.driver.watch(&mut run, "the stream has caught up", is_caught_up).await?;
        let caught_up_in = started.elapsed();
        screen.say("caught up; now it follows the applications")?;
        let kill = StreamKill { at: killed_at, backlog_bytes, caught_up_in };
        Ok((run, kill))
    }

    async fn left_behind(&self) -> Result<Vec<String>, DemoError> {
        let mut found = Vec::new();
        for (side, server) in [("source", &self.source), ("target", &self.target)] {
            let client = server.connect(DATABASE).await?;
            let rows = client
                .query(LEFT_BEHIND, &[])
                .await
                .map_err(DemoError::statement("look for what dunlin left"))?;
            found.extend(rows.iter().map(|row| format!("{side}: {}", row.get::<_, String>(0))));
        }
        Ok(found)
    }
}

async fn create_server(
    options: &DemoOptions,
    programs: Option<PathBuf>,
) -> Result<Server, DemoError> {
    let options =
        ServerOptions { programs, durable: true, keep: options.keep, ..ServerOptions::default() };
    spawn_blocking(move || Server::create(&options))
        .await
        .unwrap_or_else(|panic: JoinError| std::panic::resume_unwind(panic.into_panic()))
}

async fn load_source(url: &str, options: &DemoOptions) -> Result<Loaded, DemoError> {
    let started = Instant::now();
    load(url, options.size).await?;
    let row = connect(url)
        .await?
        .query_one(LOADED, &[])
        .await
        .map_err(DemoError::statement("measure the database"))?;
    Ok(Loaded { rows: row.get(0), bytes: row.get(1), took: started.elapsed() })
}
