//! `dunlin cutover`: the traffic moves from the source to the target.

use std::time::Duration;

use clap::{Args, ValueEnum};

use super::args::{Everything, Settings};
use super::output::{ExitStatus, Output, OutputError, Style, columns};
use crate::cutover::Orders;
use crate::migration::cutover::{Consents, Wanted};
use crate::model::report::{Finding, Severity};
use crate::model::{CutoverEnd, CutoverReport, Manner};

/// The options of `dunlin cutover`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  dunlin cutover --dry-run --source postgres://old.example/app --target postgres://new.example/app
  dunlin cutover --switch './move-traffic' --accept-unverified --source … --target …

Next: once nobody wants to go back, dunlin complete.")]
pub struct CutoverArgs {
    /// How the source's writers are kept out [default: what the engine has]
    #[arg(long, value_enum)]
    pub fence: Option<Fence>,
    /// What moves the traffic, for sh -c; its exit status must be 0 once it is moved. Without it the
    /// source refuses writes at the end, and you move the traffic afterwards
    #[arg(long, value_name = "COMMAND")]
    pub switch: Option<String>,
    /// How long a transaction that is open on the source may go on before its session is ended
    #[arg(long, value_name = "DURATION", default_value = "2s",
          value_parser = humantime::parse_duration)]
    pub grace: Duration,
    /// How long writers may be kept out, the switch included, before everything is undone
    #[arg(long, value_name = "DURATION", default_value = "10s",
          value_parser = humantime::parse_duration)]
    pub max_downtime: Duration,
    /// How far the target may be behind when writers are kept out
    #[arg(long, value_name = "DURATION", default_value = "1s",
          value_parser = humantime::parse_duration)]
    pub max_lag: Duration,
    /// How long to wait for that before giving up
    #[arg(long, value_name = "DURATION", default_value = "1m",
          value_parser = humantime::parse_duration)]
    pub patience: Duration,
    /// Go on though nobody proved that both sides are equal
    #[arg(long)]
    pub accept_unverified: bool,
    /// Go on in spite of what --dry-run shows as a warning
    #[arg(long)]
    pub accept_warnings: bool,
    /// Only look what stands against it, and how long writers would wait
    #[arg(long)]
    pub dry_run: bool,
    /// Undo what a cutover left that was killed: the source takes writes again
    #[arg(long, conflicts_with = "dry_run")]
    pub abort: bool,
    /// Count a cutover as done that was killed while it switched the traffic
    #[arg(long, conflicts_with_all = ["dry_run", "abort"])]
    pub finish: bool,
    /// Print the report as JSON
    #[arg(long)]
    pub json: bool,
    /// The settings.
    #[command(flatten)]
    pub settings: Settings<Everything>,
}

/// How writers are kept out.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Fence {
    /// Postgres: every table is locked, by a session that ends with this process; then triggers refuse
    /// writes
    TableLocks,
    /// MySQL, MariaDB: the global read lock, by a session that ends with this process; then the server
    /// is read-only
    MysqlReadOnly,
}

impl CutoverArgs {
    /// What is wanted.
    #[must_use]
    pub fn wanted(&self) -> Wanted {
        match (self.dry_run, self.abort, self.finish) {
            (true, _, _) => Wanted::Rehearsal,
            (_, true, _) => Wanted::Abort,
            (_, _, true) => Wanted::Finish,
            (false, false, false) => Wanted::Cutover(Consents {
                unverified: self.accept_unverified,
                warnings: self.accept_warnings,
            }),
        }
    }

    /// How it is to be done.
    #[must_use]
    pub fn orders(&self) -> Orders {
        Orders {
            manner: self.fence.map(|fence| match fence {
                Fence::TableLocks => Manner::TableLocks,
                Fence::MysqlReadOnly => Manner::MysqlReadOnly,
            }),
            grace: self.grace,
            max_downtime: self.max_downtime,
            max_lag: self.max_lag,
            patience: self.patience,
            switch: self.switch.clone(),
        }
    }
}

/// Prints what was done.
///
/// # Errors
///
/// Where it cannot be printed.
pub fn show(report: &CutoverReport, output: &Output) -> Result<ExitStatus, OutputError> {
    output.report(report, text)?;
    let blocked = report.findings.iter().any(|finding| finding.severity == Severity::Block);
    Ok(if blocked { ExitStatus::Refused } else { ExitStatus::Done })
}

fn text(report: &CutoverReport, style: Style) -> String {
    let mut text: String = report.findings.iter().map(|found| finding(found, style)).collect();
    let rows: Vec<Vec<String>> = report
        .steps
        .iter()
        .map(|step| vec![step.name.clone(), format!("{:.1} ms", step.milliseconds)])
        .collect();
    text.push_str(&columns(&rows, &[1]));
    if let Some(milliseconds) = report.pause_ms {
        text.push_str(&format!("writers waited {milliseconds:.1} ms"));
        if let Some(predicted) = report.predicted_pause_ms {
            text.push_str(&format!(" (predicted, without the command: {predicted:.1} ms)"));
        }
        text.push('\n');
    } else if let Some(predicted) = report.predicted_pause_ms {
        text.push_str(&format!(
            "writers would wait about {predicted:.1} ms, and for the command that switches the \
             traffic\n"
        ));
    }
    if let Some(position) = &report.position {
        text.push_str(&format!("everything up to {position} is on the target\n"));
    }
    text.push_str(&match report.end {
        CutoverEnd::CutOver => style.green("cut over: the target is the database"),
        CutoverEnd::Rehearsed => "nothing was changed".to_owned(),
        CutoverEnd::Aborted => style.green("undone: the source takes writes"),
        CutoverEnd::NothingToUndo => "no cutover has left anything to undo".to_owned(),
    });
    text.push('\n');
    if let Some(lift) = &report.lift {
        text.push_str(&format!("the source refuses writes; to let them in again, {lift}\n"));
    }
    text.push_str(&format!("next: {}\n", report.next));
    text
}

fn finding(finding: &Finding, style: Style) -> String {
    let weight = match finding.severity {
        Severity::Block => style.red("block"),
        Severity::Warn => style.yellow("warning"),
        Severity::Info => "info".to_owned(),
    };
    let mut text = format!("{weight}: {}: {}\n", finding.subject, finding.evidence);
    let remedies = [("fix", &finding.fix_sql), ("hint", &finding.hint)];
    for (name, remedy) in remedies {
        if let Some(remedy) = remedy {
            text.push_str(&format!("  {name}: {remedy}\n"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{CutoverStep, Lsn, Position};

    #[test]
    fn the_steps_are_a_table() {
        let step = |name: &str, milliseconds| CutoverStep { name: name.to_owned(), milliseconds };
        let report = CutoverReport {
            end: CutoverEnd::CutOver,
            steps: vec![step("fence", 12.25), step("drain", 101.0)],
            predicted_pause_ms: Some(90.0),
            pause_ms: Some(120.5),
            position: Some(Position::Postgres(Lsn(0x1_0000_2000))),
            findings: vec![Finding::warn("NOT_CARRIED", "source", "a table came later")],
            lift: Some("on the source: DROP FUNCTION f() CASCADE".to_owned()),
            next: "dunlin complete".to_owned(),
        };
        insta::assert_snapshot!(text(&report, Style::new(false)), @r"
    warning: source: a table came later
      fence   12.2 ms
      drain  101.0 ms
    writers waited 120.5 ms (predicted, without the command: 90.0 ms)
    everything up to 1/2000 is on the target
    cut over: the target is the database
    the source refuses writes; to let them in again, on the source: DROP FUNCTION f() CASCADE
    next: dunlin complete
    ");
    }
}
