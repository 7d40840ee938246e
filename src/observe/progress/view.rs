//! The figures at one moment, and what follows from them. Pure.

use std::time::Duration;

use super::{StreamFigures, TableEstimate};

/// All figures at one moment.
#[derive(Clone, Debug, Default)]
pub(super) struct View {
    pub snapshot: Option<SnapshotView>,
    pub steps: Vec<StepView>,
    pub stream: Option<StreamFigures>,
    /// The tables are not copied but compared.
    pub comparing: bool,
}

/// The snapshot at one moment.
#[derive(Clone, Debug)]
pub(super) struct SnapshotView {
    pub elapsed: Duration,
    pub tables: Vec<TableView>,
}

/// A table at one moment: rows and bytes of this run, chunks of all runs.
#[derive(Clone, Debug)]
pub(super) struct TableView {
    pub estimate: TableEstimate,
    pub rows: u64,
    pub bytes: u64,
    pub chunks: u64,
}

/// A named step that is running.
#[derive(Clone, Debug)]
pub(super) struct StepView {
    pub name: String,
    pub elapsed: Duration,
}

impl TableView {
    /// All its chunks are in the target.
    pub fn done(&self) -> bool {
        self.chunks >= self.estimate.chunks
    }

    /// It is being copied.
    pub fn active(&self) -> bool {
        !self.done() && (self.rows > 0 || self.bytes > 0)
    }

    /// How much of it is copied, 0 to 1. Rows say it finely but only by an estimate, so chunks
    /// say the least it can be, and that it is done.
    pub fn fraction(&self) -> f64 {
        if self.done() {
            return 1.0;
        }
        let by_chunks = share(self.chunks, self.estimate.chunks);
        let by_rows = self.fraction_before() + share(self.rows, self.estimate.rows);
        by_rows.clamp(by_chunks, 0.99_f64.max(by_chunks))
    }

    /// How much of it earlier runs had copied.
    pub fn fraction_before(&self) -> f64 {
        share(self.estimate.chunks_done, self.estimate.chunks)
    }
}

impl SnapshotView {
    /// Rows copied by this run.
    pub fn rows(&self) -> u64 {
        self.tables.iter().map(|table| table.rows).sum()
    }

    /// Bytes copied by this run.
    pub fn bytes(&self) -> u64 {
        self.tables.iter().map(|table| table.bytes).sum()
    }

    /// Chunks in the target.
    pub fn chunks(&self) -> u64 {
        self.tables.iter().map(|table| table.chunks).sum()
    }

    /// All chunks.
    pub fn all_chunks(&self) -> u64 {
        self.tables.iter().map(|table| table.estimate.chunks).sum()
    }

    /// Everything is copied.
    pub fn done(&self) -> bool {
        self.tables.iter().all(TableView::done)
    }

    /// How much of the whole is copied, 0 to 1, by size.
    pub fn fraction(&self) -> f64 {
        self.weighted(TableView::fraction)
    }

    /// How long the rest takes at this run's mean speed.
    pub fn rest(&self) -> Option<Duration> {
        let (before, now) = (self.weighted(TableView::fraction_before), self.fraction());
        let speed = (now - before) / self.elapsed.as_secs_f64();
        let seconds = (1.0 - now) / speed;
        (speed > 0.0 && seconds < 1e9).then(|| Duration::from_secs_f64(seconds.max(0.0)))
    }

    fn weighted(&self, fraction: impl Fn(&TableView) -> f64) -> f64 {
        let weight = |table: &TableView| table.estimate.bytes.max(1) as f64;
        let all: f64 = self.tables.iter().map(weight).sum();
        let part: f64 = self.tables.iter().map(|table| weight(table) * fraction(table)).sum();
        if all > 0.0 { part / all } else { 1.0 }
    }
}

fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(rows: u64, chunks: u64, chunks_done: u64) -> TableView {
        TableView {
            estimate: TableEstimate {
                name: "public.orders".to_owned(),
                bytes: 1000,
                rows: 100,
                chunks: 4,
                chunks_done,
            },
            rows,
            bytes: rows * 10,
            chunks,
        }
    }

    #[test]
    fn a_wrong_estimate_never_says_done_too_early_or_less_than_the_chunks() {
        assert!(table(500, 3, 0).fraction() < 1.0);
        assert!((table(0, 3, 0).fraction() - 0.75).abs() < 1e-9);
        assert!((table(50, 1, 0).fraction() - 0.5).abs() < 1e-9);
        assert!((table(1, 4, 0).fraction() - 1.0).abs() < 1e-9);
    }

    #[test]
    fn the_rest_is_counted_from_this_runs_own_speed() {
        let view = SnapshotView { elapsed: Duration::from_secs(10), tables: vec![table(25, 3, 2)] };
        assert_eq!(view.rest().map(|rest| rest.as_secs()), Some(10));
    }
}
