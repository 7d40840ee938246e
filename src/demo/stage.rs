//! The demo from its first server to its report: load, write, run, kill, run, cut over, compare, go
//! back.
//!
//! Enters: options and a place to say things. Leaves: the report. When a step fails, everything
//! that was written by the servers and by dunlin is kept, and the way there is said.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::task::{JoinError, spawn_blocking};

use super::driver::{Driver, Status, finish};
use super::exhibit::{DATABASE, Exhibit};
use super::load::Size;
use super::private::PrivateServer;
use super::process::Process;
use super::report::{Backlog, DemoReport, Loaded, SnapshotKill, StreamKill};
use super::screen::{Screen, bytes, count};
use super::writers::{Application, Transaction, WriterOptions, Writers};
use super::{DemoError, DemoOptions};

const LARGEST_ROWS: u32 = 5000;
/// What the writers commit between the arrival in the stream and the kill there.
const BEFORE_KILL: u64 = 1500;
/// What they commit while dunlin is dead, so that there is something to catch up with.
const WHILE_DEAD: u64 = 600;
/// What they commit while the lag of a caught-up stream is observed.
const AFTER_CATCH_UP: u64 = 600;
/// What they commit on either side of a cutover.
const AFTER_CUTOVER: u64 = 600;
/// Patient, for a machine under load.
const CUTOVER: [&str; 4] = ["--max-downtime", "1m", "--patience", "5m"];
/// Whoever is no further behind than this, under steady load, has caught up.
const CAUGHT_UP_SECONDS: f64 = 1.0;
const CAUGHT_UP_BYTES: u64 = 1 << 20;

/// Two servers, one of them loaded, and what moves it.
pub(super) struct Stage<E: Exhibit> {
    source: PrivateServer<E>,
    target: PrivateServer<E>,
    driver: Driver,
    loaded: Loaded,
    folder: TempDir,
}

impl<E: Exhibit> Stage<E> {
    /// Starts the servers and loads the source.
    pub(super) async fn set(
        options: &DemoOptions,
        [source, target]: [E::Choice; 2],
        screen: &mut Screen<'_>,
    ) -> Result<Stage<E>, DemoError> {
        screen.say("starting two private servers on this machine")?;
        let folder = tempfile::Builder::new()
            .prefix("dunlin-demo-")
            .disable_cleanup(options.keep)
            .tempdir()
            .map_err(DemoError::file(&std::env::temp_dir()))?;
        let source = create_server::<E>(source, options.keep).await?;
        let target = create_server::<E>(target, options.keep).await?;
        E::create_database(&source).await?;
        E::create_database(&target).await?;
        screen.say(format_args!(
            "source: {} on port {}; target: {} on port {}",
            E::title(&source),
            source.port(),
            E::title(&target),
            target.port(),
        ))?;
        screen.say(format_args!("loading the source: {}", E::CONTENT))?;
        let started = Instant::now();
        let content = E::load(&source, options.size).await?;
        let loaded = Loaded { rows: content.rows, bytes: content.bytes, took: started.elapsed() };
        screen.say(format_args!(
            "loaded {} rows, {}",
            count(loaded.rows),
            bytes(loaded.bytes as f64),
        ))?;
        let driver = Driver {
            binary: options.binary.clone(),
            programs: E::programs(&target),
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
        let applications = <E::Application as Application>::ACTIVITIES.len();
        screen.say(format_args!(
            "{applications} applications start to write, and do not stop until the end"
        ))?;
        let writers = self.write(options.seed, options.size);
        let writing = Instant::now();
        let copying = Instant::now();
        let snapshot_kill = self.kill_in_snapshot(screen).await?;
        let mut run = self.driver.start("run", &[])?;
        self.driver.watch(&mut run, "the tables are copied", Status::is_copied).await?;
        let copied_in = copying.elapsed();
        screen.say("every table is copied and indexed; what was written meanwhile follows")?;
        writers.commit_more(BEFORE_KILL).await;
        self.alter().await?;
        screen.say("the source's tables were altered while the applications write")?;
        run.kill().await?;
        let killed_at = screen.elapsed();
        screen.say("killed it by SIGKILL in the stream; the applications go on")?;
        writers.commit_more(WHILE_DEAD).await;
        let (run, stream_kill) = self.catch_up(screen, killed_at).await?;
        writers.commit_more(AFTER_CATCH_UP).await;
        let lag = self.driver.status().await?.and_then(|status| status.lag_seconds);
        self.move_traffic(run, screen).await?;
        writers.commit_more(AFTER_CUTOVER).await;
        let written = writers.stop().await?;
        let written_in = writing.elapsed();
        screen.say("the applications have written to the target, and have stopped")?;
        screen.say("dunlin reverse --until caught-up: the source follows the target")?;
        self.driver.run("reverse", &["--until", "caught-up"]).await?;
        screen.say("comparing both sides: each server digests every row of every table")?;
        let tables = E::compare(&self.source, &self.target).await?;
        self.move_back(options, screen).await?;
        let counters_behind = E::counters_behind(&self.target, &self.source).await?;
        screen.say(format_args!("dunlin complete: removes {}", E::REMOVED))?;
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
            counters: E::COUNTERS,
            counters_behind,
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
                "The {name} goes on running: {} (stop it with: kill -{} {})\n",
                server.url(DATABASE),
                E::STOP.first().unwrap_or(&"TERM"),
                server.pid().unwrap_or_default(),
            ))?;
        }
        Ok(())
    }

    /// The file that tells the applications that the target is their database.
    fn moved(&self) -> PathBuf {
        self.folder.path().join("moved")
    }

    fn application(&self) -> E::Application {
        E::application([&self.source, &self.target], self.moved())
    }

    fn write(&self, seed: u64, size: Size) -> Writers {
        let options = WriterOptions { seed, size, speed: 1.0, largest_rows: LARGEST_ROWS };
        Writers::of(&self.application(), options)
    }

    /// Proves that both sides are equal and makes the target the database, while the applications
    /// write.
    async fn move_traffic(
        &mut self,
        run: Process,
        screen: &mut Screen<'_>,
    ) -> Result<(), DemoError> {
        screen.say("dunlin verify, while the applications write")?;
        let verified = self.driver.run("verify", &[]).await?;
        screen.quote(verified.lines().last().unwrap_or_default())?;
        let switch = format!("touch '{}'", self.moved().display());
        screen.say("dunlin cutover --way-back --switch …, while the applications write")?;
        let words = [&["--way-back", "--switch", &switch], &CUTOVER[..]].concat();
        let done = self.driver.run("cutover", &words).await?;
        screen.quote(&done)?;
        finish(run).await.map(drop)
    }

    /// Makes the source the database again, under applications that go on writing.
    async fn move_back(
        &mut self,
        options: &DemoOptions,
        screen: &mut Screen<'_>,
    ) -> Result<(), DemoError> {
        screen.say("the applications write to the target again; dunlin reverse follows")?;
        let writers = self.write(options.seed.wrapping_add(1 << 32), options.size);
        let reverse = self.driver.start("reverse", &[])?;
        writers.commit_more(AFTER_CUTOVER).await;
        let switch = format!("rm '{}'", self.moved().display());
        screen
            .say("dunlin cutover --back --switch …: the way back, under the same applications")?;
        let words =
            [&["--back", "--accept-unverified", "--switch", &switch], &CUTOVER[..]].concat();
        let done = self.driver.run("cutover", &words).await?;
        screen.quote(&done)?;
        finish(reverse).await?;
        writers.commit_more(AFTER_CUTOVER).await;
        writers.stop().await?;
        screen.say("the applications have written to the source again, and have stopped")
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

    /// Alters the source's tables as an application does, which begins again after a deadlock.
    async fn alter(&self) -> Result<(), DemoError> {
        let application = self.application();
        let failed = |source| DemoError::Statement { act: "alter tables", source };
        for statement in E::ALTERATIONS {
            let mut ended = Transaction::GivenUp;
            while ended == Transaction::GivenUp {
                let mut session = application.open().await?;
                ended = E::Application::transact(&mut session, statement).await.map_err(failed)?;
            }
        }
        Ok(())
    }

    async fn catch_up(
        &mut self,
        screen: &mut Screen<'_>,
        killed_at: Duration,
    ) -> Result<(Process, StreamKill), DemoError> {
        let status = self.driver.status().await?.unwrap_or_default();
        let backlog = Backlog::of(status.lag_bytes, status.lag_transactions);
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
        let kill = StreamKill { at: killed_at, backlog, caught_up_in };
        Ok((run, kill))
    }

    async fn left_behind(&self) -> Result<Vec<String>, DemoError> {
        let mut found = Vec::new();
        for (side, server) in [("source", &self.source), ("target", &self.target)] {
            let left = E::left_behind(server).await?;
            found.extend(left.into_iter().map(|left| format!("{side}: {left}")));
        }
        Ok(found)
    }
}

async fn create_server<E: Exhibit>(
    choice: E::Choice,
    keep: bool,
) -> Result<PrivateServer<E>, DemoError> {
    spawn_blocking(move || E::create(&choice, keep))
        .await
        .unwrap_or_else(|panic: JoinError| std::panic::resume_unwind(panic.into_panic()))
}
