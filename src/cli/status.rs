//! `dunlin status`: where a migration stands, from its state in the target.

use clap::Args;

use super::args::{ServersOnly, Settings};
use super::output::{ExitStatus, Output, OutputError, Style, bytes, columns, count, duration};
use crate::model::report::{Direction, SlotStatus, SnapshotStatus, StatusReport};
use crate::model::{Phase, Position};

/// The options of `dunlin status`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  dunlin status --target postgres://new.example/app --json

Next: the command that the last line of its output names.")]
pub struct StatusArgs {
    /// Print the status as JSON
    #[arg(long)]
    pub json: bool,
    /// The settings.
    #[command(flatten)]
    pub settings: Settings<ServersOnly>,
}

/// Prints the status.
///
/// # Errors
///
/// Where it cannot be printed.
pub fn show(report: &StatusReport, output: &Output) -> Result<ExitStatus, OutputError> {
    output.report(report, text)?;
    Ok(ExitStatus::Done)
}

fn text(status: &StatusReport, style: Style) -> String {
    let running = match status.running {
        true => style.green("running"),
        false => style.yellow("not running"),
    };
    let mut rows = vec![
        pair("migration", status.name.clone()),
        pair("phase", format!("{}, {running}, epoch {}", status.phase, status.epoch)),
        pair("source", status.source.clone()),
        pair("target", status.target.clone()),
        pair("updated", format!("{} ago", duration(status.updated_seconds_ago))),
        pair("lag", lag(status)),
        pair("durable", position(status.positions.durable.as_ref())),
        pair("received", position(status.positions.received.as_ref())),
        pair("source's end", position(status.positions.source.as_ref())),
    ];
    if status.direction == Direction::Back {
        let said = "on the way back: the former source follows the former target";
        rows.insert(1, pair("direction", said.to_owned()));
    }
    rows.extend(status.slot.as_ref().map(|slot| pair("slot", retained(slot))));
    let mut text = columns(&rows, &[]);
    if let Some(snapshot) = &status.snapshot {
        text.push_str(&tables(snapshot, style));
    }
    if !status.at_cutover.is_empty() {
        text.push_str(&format!("\nat the cutover: {}\n", status.at_cutover.join(", ")));
    }
    for warning in &status.warnings {
        text.push_str(&format!("\n{}: {warning}", style.yellow("warning")));
    }
    text.push_str(if status.warnings.is_empty() { "\n" } else { "\n\n" });
    text.push_str(&format!("next: {}\n", status.next));
    text
}

fn pair(name: &str, value: String) -> Vec<String> {
    vec![name.to_owned(), value]
}

fn lag(status: &StatusReport) -> String {
    let transactions = status.lag_transactions.map(|lag| format!("{} transactions", count(lag)));
    let size = status.lag_bytes.map(bytes).or(transactions);
    match (size, status.lag_seconds) {
        (Some(size), Some(seconds)) => format!("{}, {size}", duration(seconds)),
        (Some(size), None) => size,
        (None, Some(seconds)) => duration(seconds),
        (None, None) if status.phase == Phase::CutOver.to_string() => {
            "none: the target has all that was committed on the source".to_owned()
        }
        (None, None) => "unknown; --source URL asks the source".to_owned(),
    }
}

fn position(position: Option<&Position>) -> String {
    position.map_or_else(|| "-".to_owned(), ToString::to_string)
}

fn retained(slot: &SlotStatus) -> String {
    let room = match slot.safe_wal_size_bytes {
        Some(room) => format!("{} more before the server gives it up", bytes(room.max(0) as u64)),
        None => "no limit set on the server".to_owned(),
    };
    let seen = duration(slot.seen_seconds_ago);
    format!("{}, retains {}, {room} (seen {seen} ago)", slot.name, bytes(slot.retained_bytes))
}

fn tables(snapshot: &SnapshotStatus, style: Style) -> String {
    let mut text = format!(
        "\n{}: {} of {} chunks, {} rows, {}\n",
        style.bold("snapshot"),
        count(snapshot.chunks_done),
        count(snapshot.chunks_total),
        count(snapshot.rows),
        bytes(snapshot.bytes)
    );
    let rows: Vec<Vec<String>> = snapshot
        .tables
        .iter()
        .map(|table| {
            vec![
                table.name.clone(),
                format!("{}/{} chunks", table.chunks_done, table.chunks_total),
                format!("{} rows", count(table.rows)),
                bytes(table.bytes),
            ]
        })
        .collect();
    text.push_str(&columns(&rows, &[1, 2, 3]));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Lsn;
    use crate::model::report::{Positions, TableStatus};

    fn report() -> StatusReport {
        let at = |lsn| Some(Position::Postgres(Lsn(lsn)));
        StatusReport {
            name: "dunlin".to_owned(),
            direction: Direction::Forward,
            phase: "stream".to_owned(),
            epoch: 3,
            source: "postgres://app@old.example:5432/app".to_owned(),
            target: "postgres://app@new.example:5432/app".to_owned(),
            positions: Positions {
                received: at(0x1_0000_2000),
                durable: at(0x1_0000_1000),
                source: at(0x1_0000_3000),
            },
            lag_bytes: Some(8192),
            lag_transactions: None,
            lag_seconds: Some(0.4),
            snapshot: Some(SnapshotStatus {
                chunks_done: 9,
                chunks_total: 9,
                rows: 1_200_000,
                bytes: 150 << 20,
                tables: vec![TableStatus {
                    name: "public.orders".to_owned(),
                    chunks_done: 9,
                    chunks_total: 9,
                    rows: 1_200_000,
                    bytes: 150 << 20,
                }],
            }),
            slot: Some(SlotStatus {
                name: "dunlin".to_owned(),
                retained_bytes: 48 << 20,
                safe_wal_size_bytes: None,
                seen_seconds_ago: 1.2,
            }),
            updated_seconds_ago: 1.2,
            running: true,
            at_cutover: Vec::new(),
            warnings: vec!["public.log has no replica identity".to_owned()],
            next: "dunlin complete, once the applications use the target".to_owned(),
        }
    }

    #[test]
    fn a_running_stream() {
        insta::assert_snapshot!(text(&report(), Style::new(false)), @r#"
      migration     dunlin
      phase         stream, running, epoch 3
      source        postgres://app@old.example:5432/app
      target        postgres://app@new.example:5432/app
      updated       1.2s ago
      lag           0.4s, 8.00 KiB
      durable       1/1000
      received      1/2000
      source's end  1/3000
      slot          dunlin, retains 48.00 MiB, no limit set on the server (seen 1.2s ago)

    snapshot: 9 of 9 chunks, 1,200,000 rows, 150.00 MiB
      public.orders  9/9 chunks  1,200,000 rows  150.00 MiB

    warning: public.log has no replica identity

    next: dunlin complete, once the applications use the target
    "#);
    }

    #[test]
    fn json_says_the_same_with_exact_units() {
        insta::assert_snapshot!(serde_json::to_string_pretty(&report()).unwrap(), @r#"
    {
      "name": "dunlin",
      "direction": "forward",
      "phase": "stream",
      "epoch": 3,
      "source": "postgres://app@old.example:5432/app",
      "target": "postgres://app@new.example:5432/app",
      "positions": {
        "received": {
          "engine": "postgres",
          "at": "1/2000"
        },
        "durable": {
          "engine": "postgres",
          "at": "1/1000"
        },
        "source": {
          "engine": "postgres",
          "at": "1/3000"
        }
      },
      "lag_bytes": 8192,
      "lag_seconds": 0.4,
      "snapshot": {
        "chunks_done": 9,
        "chunks_total": 9,
        "rows": 1200000,
        "bytes": 157286400,
        "tables": [
          {
            "name": "public.orders",
            "chunks_done": 9,
            "chunks_total": 9,
            "rows": 1200000,
            "bytes": 157286400
          }
        ]
      },
      "slot": {
        "name": "dunlin",
        "retained_bytes": 50331648,
        "safe_wal_size_bytes": null,
        "seen_seconds_ago": 1.2
      },
      "updated_seconds_ago": 1.2,
      "running": true,
      "warnings": [
        "public.log has no replica identity"
      ],
      "next": "dunlin complete, once the applications use the target"
    }
    "#);
    }

    #[test]
    fn without_the_source_the_lag_is_unknown() {
        let report = StatusReport { lag_bytes: None, lag_seconds: None, slot: None, ..report() };
        assert!(text(&report, Style::new(false)).contains("unknown; --source"));
        let report = StatusReport { lag_transactions: Some(1234), ..report };
        assert!(text(&report, Style::new(false)).contains("1,234 transactions"));
    }
}
