//! Figures as lines of a terminal and as log lines. Pure, apart from the logging itself.

use std::time::Duration;

use indicatif::{BinaryBytes, HumanCount};

use super::StreamFigures;
use super::view::{SnapshotView, TableView, View};

const BAR_WIDTH: usize = 10;
const NAME_WIDTH: usize = 24;

/// The lines of a terminal, at most `most`.
pub(super) fn lines(now: &View, before: &View, passed: Duration, most: usize) -> Vec<String> {
    if let Some(figures) = &now.stream {
        return vec![stream_line(figures, before.stream.as_ref(), passed)];
    }
    let mut lines = Vec::new();
    if let Some(snapshot) = now.snapshot.as_ref().filter(|snapshot| !snapshot.done()) {
        let active: Vec<_> = snapshot.tables.iter().filter(|table| table.active()).collect();
        let earlier = before.snapshot.as_ref();
        for table in active.iter().take(most.saturating_sub(2)) {
            lines.push(table_line(table, earlier, passed));
        }
        lines.push(snapshot_line(snapshot, earlier, passed));
    }
    for step in now.steps.iter().take(most.saturating_sub(lines.len())) {
        lines.push(format!("{}  {}", clock(step.elapsed), step.name));
    }
    lines
}

fn table_line(table: &TableView, before: Option<&SnapshotView>, passed: Duration) -> String {
    let name = &table.estimate.name;
    let earlier = before.and_then(|snapshot| {
        let mut tables = snapshot.tables.iter();
        tables.find(|earlier| earlier.estimate.name == *name)
    });
    let gained = table.fraction() - earlier.map_or(0.0, TableView::fraction);
    line(&Figures {
        name: shortened(name),
        fraction: table.fraction(),
        rest: rest(1.0 - table.fraction(), gained, passed),
        rate: byte_rate(table.bytes, earlier.map_or(0, |earlier| earlier.bytes), passed),
        rows: table.rows,
        bytes: table.bytes,
    })
}

fn snapshot_line(now: &SnapshotView, before: Option<&SnapshotView>, passed: Duration) -> String {
    line(&Figures {
        name: format!("all: {}/{} chunks", now.chunks(), now.all_chunks()),
        fraction: now.fraction(),
        rest: now.rest(),
        rate: byte_rate(now.bytes(), before.map_or(0, SnapshotView::bytes), passed),
        rows: now.rows(),
        bytes: now.bytes(),
    })
}

/// What a line of a bar says; the most important first, since narrow terminals cut the end off.
struct Figures {
    name: String,
    fraction: f64,
    rest: Option<Duration>,
    rate: String,
    rows: u64,
    bytes: u64,
}

fn line(figures: &Figures) -> String {
    format!(
        "{:<NAME_WIDTH$} {} ETA {:<8} {:>12} {:>11} rows {:>10}",
        figures.name,
        bar(figures.fraction),
        figures.rest.map_or_else(|| "-".to_owned(), clock),
        figures.rate,
        HumanCount(figures.rows).to_string(),
        BinaryBytes(figures.bytes).to_string(),
    )
}

/// How long `missing` takes where `gained` was done in the time that passed.
fn rest(missing: f64, gained: f64, passed: Duration) -> Option<Duration> {
    let seconds = missing / gained * passed.as_secs_f64();
    (gained > 0.0 && seconds < 1e9).then(|| Duration::from_secs_f64(seconds.max(0.0)))
}

fn stream_line(now: &StreamFigures, before: Option<&StreamFigures>, passed: Duration) -> String {
    let earlier = |figure: fn(&StreamFigures) -> u64| before.map_or(0, figure);
    let lag = match (now.lag_bytes, now.lag_transactions) {
        (Some(bytes), _) => format!(", {}", BinaryBytes(bytes)),
        (None, Some(transactions)) => format!(", {} tx", HumanCount(transactions)),
        (None, None) => String::new(),
    };
    let mut line = format!(
        "stream: lag {:.1}s{lag}  {} tx/s  {} rows/s",
        now.lag_seconds,
        HumanCount(per_second(now.transactions, earlier(|f| f.transactions), passed)),
        HumanCount(per_second(now.rows, earlier(|f| f.rows), passed)),
    );
    // Where positions do not tell bytes, there are none to be counted.
    if now.bytes > 0 {
        line.push_str(&format!("  {}", byte_rate(now.bytes, earlier(|f| f.bytes), passed)));
    }
    line.push_str(&format!("  queue {}", BinaryBytes(now.queue_bytes)));
    if let Some(retained) = now.retained_wal_bytes {
        line.push_str(&format!("  slot retains {}", BinaryBytes(retained)));
    }
    if let Some(room) = now.safe_wal_size_bytes {
        line.push_str(&format!(", room {}", BinaryBytes(room.max(0).unsigned_abs())));
    }
    line
}

/// The same figures as one log line.
pub(super) fn log(now: &View, before: &View, passed: Duration) {
    if let Some(figures) = &now.stream {
        let earlier = before.stream.clone().unwrap_or_default();
        return tracing::info!(
            lag_seconds = figures.lag_seconds,
            lag_bytes = figures.lag_bytes,
            lag_transactions = figures.lag_transactions,
            transactions_per_second =
                per_second(figures.transactions, earlier.transactions, passed),
            rows_per_second = per_second(figures.rows, earlier.rows, passed),
            queue_bytes = figures.queue_bytes,
            retained_wal_bytes = figures.retained_wal_bytes,
            safe_wal_size_bytes = figures.safe_wal_size_bytes,
            "streaming"
        );
    }
    if let Some(snapshot) = now.snapshot.as_ref().filter(|snapshot| !snapshot.done()) {
        let bytes_before = before.snapshot.as_ref().map_or(0, SnapshotView::bytes);
        tracing::info!(
            percent = (snapshot.fraction() * 100.0).floor(),
            chunks = snapshot.chunks(),
            all_chunks = snapshot.all_chunks(),
            rows = snapshot.rows(),
            bytes = snapshot.bytes(),
            bytes_per_second = per_second(snapshot.bytes(), bytes_before, passed),
            eta_seconds = snapshot.rest().map(|rest| rest.as_secs()),
            "{}",
            if now.comparing { "comparing" } else { "copying" }
        );
    }
    for step in &now.steps {
        tracing::info!(step = step.name, elapsed_seconds = step.elapsed.as_secs(), "working");
    }
}

fn bar(fraction: f64) -> String {
    let fraction = fraction.clamp(0.0, 1.0);
    let full = (fraction * BAR_WIDTH as f64).floor() as usize;
    format!("[{:<BAR_WIDTH$}] {:>3}%", "=".repeat(full), (fraction * 100.0).floor())
}

fn byte_rate(now: u64, before: u64, passed: Duration) -> String {
    format!("{}/s", BinaryBytes(per_second(now, before, passed)))
}

fn per_second(now: u64, before: u64, passed: Duration) -> u64 {
    let seconds = passed.as_secs_f64().max(0.001);
    (now.saturating_sub(before) as f64 / seconds) as u64
}

fn clock(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    format!("{hours:02}:{minutes:02}:{:02}", seconds % 60)
}

/// A name that fits its column: the end of it says more than its beginning.
fn shortened(name: &str) -> String {
    let count = name.chars().count();
    if count <= NAME_WIDTH {
        return name.to_owned();
    }
    let kept: String = name.chars().skip(count - NAME_WIDTH + 2).collect();
    format!("..{kept}")
}

#[cfg(test)]
mod tests {
    use super::super::TableEstimate;
    use super::super::view::StepView;
    use super::*;

    fn table(name: &str, rows: u64, chunks: u64) -> TableView {
        TableView {
            estimate: TableEstimate {
                name: name.to_owned(),
                bytes: 100 << 20,
                rows: 1_000_000,
                chunks: 10,
                chunks_done: 0,
            },
            rows,
            bytes: rows * 100,
            chunks,
        }
    }

    fn copying(tables: Vec<TableView>) -> View {
        View {
            snapshot: Some(SnapshotView { elapsed: Duration::from_secs(10), tables }),
            ..View::default()
        }
    }

    #[test]
    fn only_tables_in_work_have_a_line() {
        let mut now = copying(vec![
            table("public.orders", 400_000, 3),
            table("public.done", 1_000_000, 10),
            table("public.waiting", 0, 0),
            table("a_schema.with_a_name_that_is_far_too_long", 900_000, 9),
        ]);
        now.steps.push(StepView {
            name: "index public.done_pkey".to_owned(),
            elapsed: Duration::from_secs(75),
        });
        let before = copying(vec![table("public.orders", 300_000, 2)]);
        let lines = lines(&now, &before, Duration::from_secs(1), 10);
        insta::assert_snapshot!(lines.join("\n"), @r#"
    public.orders            [====      ]  40% ETA 00:00:06   9.54 MiB/s     400,000 rows  38.15 MiB
    ..e_that_is_far_too_long [========= ]  90% ETA 00:00:00  85.83 MiB/s     900,000 rows  85.83 MiB
    all: 22/40 chunks        [=====     ]  57% ETA 00:00:07 190.73 MiB/s   2,300,000 rows 219.35 MiB
    00:01:15  index public.done_pkey
    "#);
    }

    #[test]
    fn there_are_never_more_lines_than_fit() {
        let tables = (0..50).map(|n| table(&format!("t{n}"), 10, 0)).collect();
        let lines = lines(&copying(tables), &View::default(), Duration::from_secs(1), 10);
        assert_eq!(lines.len(), 9);
    }

    #[test]
    fn the_stream_has_one_line() {
        let figures = StreamFigures {
            transactions: 3000,
            rows: 12_000,
            bytes: 4 << 20,
            lag_bytes: Some(8192),
            lag_transactions: None,
            lag_seconds: 0.34,
            queue_bytes: 65536,
            retained_wal_bytes: Some(48 << 20),
            safe_wal_size_bytes: Some(-5),
        };
        let now = View { stream: Some(figures), ..View::default() };
        let seen = lines(&now, &View::default(), Duration::from_secs(2), 10);
        insta::assert_snapshot!(seen.join("\n"), @r#"stream: lag 0.3s, 8.00 KiB  1,500 tx/s  6,000 rows/s  2.00 MiB/s  queue 64.00 KiB  slot retains 48.00 MiB, room 0 B"#);
        let counted = StreamFigures {
            transactions: 10,
            lag_transactions: Some(1234),
            lag_seconds: 2.0,
            ..StreamFigures::default()
        };
        let now = View { stream: Some(counted), ..View::default() };
        let seen = lines(&now, &View::default(), Duration::from_secs(2), 10);
        insta::assert_snapshot!(seen.join("\n"), @"stream: lag 2.0s, 1,234 tx  5 tx/s  0 rows/s  queue 0 B");
    }
}
