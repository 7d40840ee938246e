//! `dunlin cutover`: the traffic moves from the source to the target.

use std::str::FromStr;
use std::time::Duration;

use clap::Args;

use super::args::{Everything, Settings};
use super::output::{ExitStatus, Output, OutputError, Style, columns, count};
use crate::cutover::Orders;
use crate::migration::cutover::{Consents, Wanted};
use crate::model::report::{Finding, Severity};
use crate::model::{CutoverEnd, CutoverReport, EarlyProof, FinalProof, LeftOut, Manner};

/// The options of `dunlin cutover`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  dunlin cutover --dry-run --source postgres://old.example/app --target postgres://new.example/app
  dunlin cutover --switch './move-traffic' --way-back --source … --target …
  dunlin cutover --verify-first 10m --switch './move-traffic' --source … --target …
  dunlin cutover --back --switch './move-traffic-back' --verify-first 2h --source … --target …

Next: dunlin reverse, where the way back is wanted; once nobody wants to go back, dunlin complete.")]
pub struct CutoverArgs {
    /// How the source's writers are kept out: table-locks, database-read-only, roles:NAME,… (Postgres);
    /// mysql-read-only (MySQL, MariaDB); hook:COMMAND (any) [default: what the engine has]
    #[arg(long, value_name = "HOW")]
    pub fence: Option<Fence>,
    /// What moves the traffic, for sh -c; its exit status must be 0 once it is moved. Without it the
    /// source refuses writes at the end, and you move the traffic afterwards
    #[arg(long, value_name = "COMMAND")]
    pub switch: Option<String>,
    /// How long a transaction that is open on the source may go on before its session is ended
    #[arg(long, value_name = "DURATION", default_value = "2s",
          value_parser = humantime::parse_duration)]
    pub grace: Duration,
    /// How long writers may be kept out, the switch included. Before the switch begins everything is
    /// undone then; a switch that is still running is broken off, and the source goes on refusing
    /// writes until --finish or --abort
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
    /// How old the proof of `dunlin verify` may be that both sides are equal
    #[arg(long, value_name = "DURATION", default_value = "1day",
          value_parser = humantime::parse_duration)]
    pub verified_within: Duration,
    /// How long rows that change while the cutover follows the log may be compared once more, while
    /// writers wait; 0 for not at all
    #[arg(long, value_name = "DURATION", default_value = "250ms",
          value_parser = humantime::parse_duration)]
    pub final_proof: Duration,
    /// How long chunks that were touched since `dunlin verify`, or have no proof, may be compared before
    /// writers have to wait; 0 for not at all [default: 1m where there is a proof]
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub verify_first: Option<Duration>,
    /// Go on though there is no such proof
    #[arg(long)]
    pub accept_unverified: bool,
    /// Go on in spite of what --dry-run shows as a warning
    #[arg(long)]
    pub accept_warnings: bool,
    /// Have the target keep what the source needs to follow it afterwards (`dunlin reverse`)
    #[arg(long, conflicts_with = "back")]
    pub way_back: bool,
    /// Go the way back: from the target, which the applications use, to the source, which follows it
    #[arg(long)]
    pub back: bool,
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
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fence {
    /// By the engine.
    Engine(Manner),
    /// By the operator's command, and then by the engine.
    Hook(String),
}

/// What there is to choose from.
const HOWS: &str = "it is one of table-locks, database-read-only, roles:NAME,…, mysql-read-only, \
                    hook:COMMAND";

impl FromStr for Fence {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let said = match text.split_once(':') {
            Some((name, rest)) => (name, Some(rest)),
            None => (text, None),
        };
        Ok(match said {
            (_, Some(rest)) if rest.trim().is_empty() => return Err(HOWS.to_owned()),
            ("table-locks", None) => Fence::Engine(Manner::TableLocks),
            ("database-read-only", None) => Fence::Engine(Manner::DatabaseReadOnly),
            ("mysql-read-only", None) => Fence::Engine(Manner::MysqlReadOnly),
            ("roles", Some(roles)) => {
                Fence::Engine(Manner::Roles(roles.split(',').map(str::to_owned).collect()))
            }
            ("hook", Some(command)) => Fence::Hook(command.to_owned()),
            _ => return Err(HOWS.to_owned()),
        })
    }
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
        let (manner, hook) = match self.fence.clone() {
            Some(Fence::Engine(manner)) => (Some(manner), None),
            Some(Fence::Hook(command)) => (None, Some(command)),
            None => (None, None),
        };
        Orders {
            manner,
            hook,
            grace: self.grace,
            max_downtime: self.max_downtime,
            max_lag: self.max_lag,
            patience: self.patience,
            verified_within: self.verified_within,
            verify_first: self.verify_first,
            final_proof: self.final_proof,
            switch: self.switch.clone(),
            way_back: self.way_back,
            back: self.back,
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
    text.push_str(&proven(report));
    let (left, new) = match report.end {
        CutoverEnd::CutBack => ("target", "former source"),
        CutoverEnd::CutOver
        | CutoverEnd::Rehearsed
        | CutoverEnd::Aborted
        | CutoverEnd::NothingToUndo => ("source", "target"),
    };
    if let Some(position) = &report.position {
        text.push_str(&format!("everything up to {position} is on the {new}\n"));
    }
    text.push_str(&match report.end {
        CutoverEnd::CutOver => style.green("cut over: the target is the database"),
        CutoverEnd::CutBack => style.green("back: the former source is the database again"),
        CutoverEnd::Rehearsed => "nothing was changed".to_owned(),
        CutoverEnd::Aborted => style.green("undone: the source takes writes"),
        CutoverEnd::NothingToUndo => "no cutover has left anything to undo".to_owned(),
    });
    text.push('\n');
    if let Some(lift) = &report.lift {
        text.push_str(&format!("the {left} refuses writes; to let them in again, {lift}\n"));
    }
    text.push_str(&format!("next: {}\n", report.next));
    text
}

/// Tables of which rows were not compared that are named.
const MOST_NAMED: usize = 5;

/// What was compared before writers had to wait, and while they did, and what was not.
fn proven(report: &CutoverReport) -> String {
    let mut text = report.early_proof.as_ref().map(early).unwrap_or_default();
    match &report.final_proof {
        Some(FinalProof { since, changed_rows, compared_rows, left_out: left }) => {
            let since = since.as_ref().map(|since| format!(" since {since}")).unwrap_or_default();
            text.push_str(&format!(
                "compared {compared_rows} of {changed_rows} rows that changed{since}: equal\n"
            ));
            text.push_str(&left_out(left));
        }
        None if report.pause_ms.is_some() => {
            text.push_str("no row was compared while writers waited\n");
        }
        None => {}
    }
    text.push_str(match report.covered {
        Some(true) => {
            "covered: every row was proven equal, or compared when it had changed since\n"
        }
        Some(false) => "not everything is covered: what was not compared is named above\n",
        None => "",
    });
    text
}

/// What was compared before writers had to wait.
fn early(proof: &EarlyProof) -> String {
    let EarlyProof { position, read_chunks, read_rows, kept_chunks, kept_rows, .. } = proof;
    let mut text = match position {
        Some(position) => format!(
            "verified {} chunks with {} rows, and {} with {} were untouched since: equal, as of {position}\n",
            count(*read_chunks),
            count(*read_rows),
            count(*kept_chunks),
            count(*kept_rows)
        ),
        None => "nothing could be verified in time before writers had to wait\n".to_owned(),
    };
    text.push_str(&left_out(&proof.left_out));
    text
}

/// What was not compared.
fn left_out(left_out: &[LeftOut]) -> String {
    let mut text = String::new();
    for left in left_out.iter().take(MOST_NAMED) {
        text.push_str(&format!("  not compared: {} of {}: {}\n", left.rows, left.table, left.why));
    }
    if left_out.len() > MOST_NAMED {
        text.push_str(&format!("  not compared: rows of {} more\n", left_out.len() - MOST_NAMED));
    }
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
    use crate::model::{CutoverStep, LeftOut, Lsn, Position};

    #[test]
    fn fences_are_read() {
        let read = |text: &str| text.parse::<Fence>();
        assert_eq!(read("table-locks"), Ok(Fence::Engine(Manner::TableLocks)));
        let roles = Manner::Roles(vec!["app".to_owned(), "batch".to_owned()]);
        assert_eq!(read("roles:app,batch"), Ok(Fence::Engine(roles)));
        assert_eq!(read("hook:./pool pause:all"), Ok(Fence::Hook("./pool pause:all".to_owned())));
        for text in ["", "roles", "roles:", "hook", "hook: ", "table-locks:", "lock"] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_steps_are_a_table() {
        let step = |name: &str, milliseconds| CutoverStep { name: name.to_owned(), milliseconds };
        let left_out = LeftOut {
            table: "public.log".to_owned(),
            rows: 14,
            why: "it has no key, and is too large to be read as a whole".to_owned(),
        };
        let proof = FinalProof {
            since: Some(Position::Postgres(Lsn(0x1_0000_1000))),
            changed_rows: 3214,
            compared_rows: 3200,
            left_out: vec![left_out],
        };
        let early = EarlyProof {
            rounds: 1,
            position: Some(Position::Postgres(Lsn(0x1_0000_0800))),
            read_chunks: 3,
            read_rows: 5120,
            kept_chunks: 117,
            kept_rows: 991_000,
            left_out: Vec::new(),
        };
        let report = CutoverReport {
            end: CutoverEnd::CutOver,
            steps: vec![step("fence", 12.25), step("drain", 101.0)],
            predicted_pause_ms: Some(90.0),
            pause_ms: Some(120.5),
            early_proof: Some(early),
            final_proof: Some(proof),
            covered: Some(false),
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
    verified 3 chunks with 5,120 rows, and 117 with 991,000 were untouched since: equal, as of 1/800
    compared 3200 of 3214 rows that changed since 1/1000: equal
      not compared: 14 of public.log: it has no key, and is too large to be read as a whole
    not everything is covered: what was not compared is named above
    everything up to 1/2000 is on the target
    cut over: the target is the database
    the source refuses writes; to let them in again, on the source: DROP FUNCTION f() CASCADE
    next: dunlin complete
    ");
    }
}
