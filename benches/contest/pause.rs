//! The pause that writers see when their database is moved: from the last commit that the source
//! accepted to the first that the target did.
//!
//! Writers commit at a steady pace, try a commit that was refused again, and go where a file says that
//! the database is; all that `--switch` does is to make that file.

use std::future::Future;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::report::{Line, Section, Unit};

/// Sessions that write.
const WRITERS: u32 = 16;
/// Commits in a second, of all together.
const RATE: u32 = 1000;
/// How long they write on either side of the move.
const BESIDE: Duration = Duration::from_secs(3);
/// How long a writer rests that was refused or found no server.
const REST: Duration = Duration::from_millis(2);

/// The two servers of a database that is moved.
pub trait Sides: Clone + Send + Sync + 'static {
    type Session: Send;

    /// A session with the source (0) or the target (1), where that can be had.
    fn open(&self, side: usize) -> impl Future<Output = Option<Self::Session>> + Send;

    /// Commits a row that no other commit has; whether the server said that it is done.
    fn commit(
        session: &mut Self::Session,
        writer: u32,
        number: u32,
    ) -> impl Future<Output = bool> + Send;
}

/// What the writers saw.
pub struct Moved {
    /// From the last commit on the source to the first on the target.
    pub pause: Duration,
    /// Commits that a server said were done.
    pub accepted: u64,
}

/// The path of the file, in a folder of its own, and the command that makes it.
pub struct Gate {
    folder: tempfile::TempDir,
}

impl Gate {
    pub fn shut() -> Gate {
        Gate { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("moved")
    }

    /// For `--switch`.
    pub fn command(&self) -> String {
        format!("touch '{}'", self.path().display())
    }
}

/// What is measured.
pub fn line() -> Line {
    Line::of("dunlin", "dunlin cutover --switch 'touch FILE' --accept-unverified")
}

/// The work, on the page.
pub fn section(line: Line) -> Section {
    Section {
        title: "Cutover at 1,000 transactions a second: the pause of the writers",
        how: "16 sessions insert a row each 16 ms, and try again what is refused; `--switch` makes the \
              file that tells them where their database is. From the last commit that the source \
              accepted to the first that the target did. Every accepted row is on the target. What others \
              publish of themselves, not measured here: Amazon RDS Blue/Green, typically under five \
              seconds; pg_easy_replicate, up to a minute; Vitess' SwitchTraffic waits for up to 30 s.",
        unit: Unit::Milliseconds,
        lines: vec![line],
    }
}

/// Has the writers at work while a command moves the database, which must succeed.
pub async fn measure<S: Sides>(sides: &S, gate: &Gate, mut cutover: Command) -> Moved {
    let (stop, stopped) = watch::channel(false);
    let mut writers = JoinSet::new();
    for number in 0..WRITERS {
        let (sides, path, stopped) = (sides.clone(), gate.path(), stopped.clone());
        writers.spawn(write(sides, path, number, stopped));
    }
    tokio::time::sleep(BESIDE).await;
    let ended = tokio::task::spawn_blocking(move || super::watch::run(&mut cutover)).await;
    ended.unwrap();
    tokio::time::sleep(BESIDE).await;
    stop.send_replace(true);
    let seen = writers.join_all().await;
    let last = seen.iter().filter_map(|seen| seen.last[0]).max().unwrap();
    let first = seen.iter().filter_map(|seen| seen.first[1]).min().unwrap();
    let accepted = seen.iter().map(|seen| seen.accepted).sum();
    Moved { pause: first.duration_since(last), accepted }
}

/// When a writer's commits were accepted on either side.
#[derive(Default)]
struct Seen {
    first: [Option<Instant>; 2],
    last: [Option<Instant>; 2],
    accepted: u64,
}

async fn write<S: Sides>(
    sides: S,
    gate: PathBuf,
    writer: u32,
    stopped: watch::Receiver<bool>,
) -> Seen {
    let mut seen = Seen::default();
    let mut pace = tokio::time::interval(Duration::from_secs(1) * WRITERS / RATE);
    let mut session: Option<(usize, S::Session)> = None;
    let mut number = 0;
    while !*stopped.borrow() {
        let side = usize::from(gate.exists());
        let open = match session.take() {
            Some((of, open)) if of == side => Some(open),
            _ => sides.open(side).await,
        };
        let Some(mut open) = open else {
            tokio::time::sleep(REST).await;
            continue;
        };
        number += 1;
        if S::commit(&mut open, writer, number).await {
            let now = Instant::now();
            seen.first[side].get_or_insert(now);
            seen.last[side] = Some(now);
            seen.accepted += 1;
            session = Some((side, open));
            pace.tick().await;
        } else {
            tokio::time::sleep(REST).await;
        }
    }
    seen
}
