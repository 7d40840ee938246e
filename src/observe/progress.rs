//! How far a migration has come, counted as it goes and drawn from time to time.
//!
//! In come counts from the snapshot's workers and figures from the stream, through a [`Progress`]
//! that costs them a few atomic additions per buffer. Out go bars on a terminal or log lines,
//! drawn by one task, [`drive`]. Losing a figure here loses nothing: the state in the target is
//! what counts.

mod draw;
mod view;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::Notify;

use super::log::Screen;
use view::{SnapshotView, StepView, TableView, View};

/// The most lines that are drawn at once.
const MOST_LINES: usize = 10;

/// Rates are taken over at least this long, or they would flicker.
const RATE_WINDOW: Duration = Duration::from_secs(3);

/// A table about to be copied.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TableEstimate {
    /// Its qualified name.
    pub name: String,
    /// Estimated size.
    pub bytes: u64,
    /// Estimated rows.
    pub rows: u64,
    /// All its chunks.
    pub chunks: u64,
    /// Those that an earlier run has copied.
    pub chunks_done: u64,
}

/// What the stream is doing. Counts are totals since the process began to stream.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct StreamFigures {
    /// Transactions applied.
    pub transactions: u64,
    /// Rows applied.
    pub rows: u64,
    /// Bytes of change data applied.
    pub bytes: u64,
    /// Log between the durable position and the source's end; None where positions do not tell.
    pub lag_bytes: Option<u64>,
    /// Transactions between the two; None where positions do not count them.
    pub lag_transactions: Option<u64>,
    /// Age of the newest durable transaction; zero where nothing is missing.
    pub lag_seconds: f64,
    /// Change data in flight.
    pub queue_bytes: u64,
    /// Log that the source retains for the slot, where it was asked.
    pub retained_wal_bytes: Option<u64>,
    /// Log that may still be written before the server gives the slot up, where it has a limit.
    pub safe_wal_size_bytes: Option<i64>,
}

/// Where the parts of a migration report to. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<Counters>);

#[derive(Debug, Default)]
struct Counters {
    snapshot: RwLock<Option<Snapshot>>,
    steps: Mutex<Vec<(String, Instant)>>,
    stream: Mutex<Option<StreamFigures>>,
    comparing: AtomicBool,
    finished: Notify,
}

#[derive(Debug)]
struct Snapshot {
    started: Instant,
    tables: Vec<TableCounters>,
}

#[derive(Debug)]
struct TableCounters {
    estimate: TableEstimate,
    rows: AtomicU64,
    bytes: AtomicU64,
    chunks: AtomicU64,
}

impl Progress {
    /// The snapshot begins, or goes on, with these tables. They are referred to by their index
    /// from now on.
    pub fn snapshot_started(&self, tables: Vec<TableEstimate>) {
        let counters = |estimate: TableEstimate| TableCounters {
            rows: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            chunks: AtomicU64::new(estimate.chunks_done),
            estimate,
        };
        let snapshot = Snapshot {
            started: Instant::now(),
            tables: tables.into_iter().map(counters).collect(),
        };
        let mut current = self.0.snapshot.write().unwrap_or_else(PoisonError::into_inner);
        *current = Some(snapshot);
    }

    /// The same for tables that are not copied but compared.
    pub fn comparison_started(&self, tables: Vec<TableEstimate>) {
        self.0.comparing.store(true, Ordering::Relaxed);
        self.snapshot_started(tables);
    }

    /// Rows of a table have passed: differences, not totals.
    pub fn table_rows(&self, index: usize, rows: u64, bytes: u64) {
        self.with_table(index, |table| {
            table.rows.fetch_add(rows, Ordering::Relaxed);
            table.bytes.fetch_add(bytes, Ordering::Relaxed);
        });
    }

    /// A chunk of a table is in the target.
    pub fn chunk_done(&self, index: usize) {
        self.with_table(index, |table| {
            table.chunks.fetch_add(1, Ordering::Relaxed);
        });
    }

    /// A step with a name begins: the build of an index, the restore of the schema.
    pub fn step_started(&self, name: &str) {
        locked(&self.0.steps).push((name.to_owned(), Instant::now()));
    }

    /// That step is over.
    pub fn step_finished(&self, name: &str) {
        let mut steps = locked(&self.0.steps);
        if let Some(place) = steps.iter().position(|(step, _)| step == name) {
            steps.remove(place);
        }
    }

    /// What the stream is doing now. The snapshot is over once this was called.
    pub fn stream(&self, figures: StreamFigures) {
        *locked(&self.0.stream) = Some(figures);
    }

    /// Ends [`drive`].
    pub fn finish(&self) {
        self.0.finished.notify_one();
    }

    fn with_table(&self, index: usize, count: impl FnOnce(&TableCounters)) {
        let snapshot = self.0.snapshot.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(table) = snapshot.as_ref().and_then(|snapshot| snapshot.tables.get(index)) {
            count(table);
        }
    }

    fn view(&self) -> View {
        let snapshot = self.0.snapshot.read().unwrap_or_else(PoisonError::into_inner);
        let steps = locked(&self.0.steps);
        View {
            snapshot: snapshot.as_ref().map(|snapshot| SnapshotView {
                elapsed: snapshot.started.elapsed(),
                tables: snapshot.tables.iter().map(TableCounters::view).collect(),
            }),
            steps: steps
                .iter()
                .map(|(name, started)| StepView { name: name.clone(), elapsed: started.elapsed() })
                .collect(),
            stream: locked(&self.0.stream).clone(),
            comparing: self.0.comparing.load(Ordering::Relaxed),
        }
    }
}

impl TableCounters {
    fn view(&self) -> TableView {
        TableView {
            estimate: self.estimate.clone(),
            rows: self.rows.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            chunks: self.chunks.load(Ordering::Relaxed),
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How progress is drawn.
#[derive(Debug)]
pub enum Display {
    /// Bars at the bottom of a terminal.
    Bars(Bars),
    /// A log line at this interval.
    Plain(Duration),
    /// Not at all.
    None,
}

/// Lines at the bottom of a terminal.
#[derive(Debug)]
pub struct Bars {
    screen: Screen,
    lines: Vec<ProgressBar>,
    interval: Duration,
}

impl Display {
    /// Bars on this screen, drawn at this interval.
    #[must_use]
    pub fn bars(screen: &Screen, interval: Duration) -> Self {
        Display::Bars(Bars { screen: screen.clone(), lines: Vec::new(), interval })
    }

    fn interval(&self) -> Option<Duration> {
        match self {
            Display::Bars(bars) => Some(bars.interval),
            Display::Plain(interval) => Some(*interval),
            Display::None => None,
        }
    }

    fn draw(&mut self, now: &View, before: &View, passed: Duration) {
        match self {
            Display::Bars(bars) => bars.draw(draw::lines(now, before, passed, MOST_LINES)),
            Display::Plain(_) => draw::log(now, before, passed),
            Display::None => {}
        }
    }

    fn clear(&mut self) {
        if let Display::Bars(bars) = self {
            bars.draw(Vec::new());
        }
    }
}

impl Bars {
    fn draw(&mut self, texts: Vec<String>) {
        while self.lines.len() > texts.len() {
            if let Some(line) = self.lines.pop() {
                line.finish_and_clear();
                self.screen.bars().remove(&line);
            }
        }
        while self.lines.len() < texts.len() {
            let style = ProgressStyle::with_template("{wide_msg}");
            let line = self.screen.bars().add(ProgressBar::no_length());
            self.lines.push(line.with_style(style.unwrap_or(ProgressStyle::default_bar())));
        }
        for (line, text) in self.lines.iter().zip(texts) {
            line.set_message(text);
        }
    }
}

/// Draws the progress until [`Progress::finish`].
pub async fn drive(progress: Progress, mut display: Display) {
    let Some(interval) = display.interval() else {
        return;
    };
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    ticks.tick().await;
    let mut seen = VecDeque::from([(Instant::now(), progress.view())]);
    loop {
        tokio::select! {
            _ = ticks.tick() => {
                let now = progress.view();
                while seen.get(1).is_some_and(|(time, _)| time.elapsed() >= RATE_WINDOW) {
                    seen.pop_front();
                }
                if let Some((time, before)) = seen.front() {
                    display.draw(&now, before, time.elapsed());
                }
                seen.push_back((Instant::now(), now));
            }
            () = progress.0.finished.notified() => return display.clear(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(chunks_done: u64) -> TableEstimate {
        TableEstimate {
            name: "public.orders".to_owned(),
            bytes: 1000,
            rows: 100,
            chunks: 4,
            chunks_done,
        }
    }

    #[test]
    fn counts_add_up_and_unknown_tables_are_ignored() {
        let progress = Progress::default();
        progress.table_rows(0, 1, 1);
        progress.snapshot_started(vec![table(1)]);
        progress.table_rows(0, 10, 100);
        progress.table_rows(0, 5, 50);
        progress.table_rows(7, 5, 50);
        progress.chunk_done(0);
        let snapshot = progress.view().snapshot.unwrap();
        let seen = &snapshot.tables[0];
        assert_eq!((seen.rows, seen.bytes, seen.chunks), (15, 150, 2));
    }

    #[test]
    fn a_step_is_shown_until_it_is_finished() {
        let progress = Progress::default();
        progress.step_started("index a");
        progress.step_started("index b");
        progress.step_finished("index a");
        let names: Vec<_> = progress.view().steps.into_iter().map(|step| step.name).collect();
        assert_eq!(names, ["index b"]);
    }

    #[tokio::test]
    async fn drawing_ends_when_it_is_told() {
        let progress = Progress::default();
        progress.finish();
        drive(progress.clone(), Display::Plain(Duration::from_secs(3600))).await;
        drive(progress, Display::None).await;
    }
}
