//! `dunlin check`: what would fail or be lost, and the statement that mends it.

use clap::Args;

use super::args::{Everything, Settings};
use super::output::{ExitStatus, Output, OutputError, Style};
use crate::model::report::{CheckReport, Finding, Severity};

/// The options of `dunlin check`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  dunlin check --source postgres://old.example/app --target postgres://new.example/app

Next: dunlin plan, with the same options.")]
pub struct CheckArgs {
    /// Print the findings as JSON
    #[arg(long)]
    pub json: bool,
    /// The settings.
    #[command(flatten)]
    pub settings: Settings<Everything>,
}

/// Prints the findings.
///
/// # Errors
///
/// Where they cannot be printed.
pub fn show(report: &CheckReport, output: &Output) -> Result<ExitStatus, OutputError> {
    output.report(report, text)?;
    Ok(match report.count(Severity::Block) {
        0 => ExitStatus::Done,
        _ => ExitStatus::Blocked,
    })
}

fn text(report: &CheckReport, style: Style) -> String {
    let mut findings: Vec<&Finding> = report.findings.iter().collect();
    findings.sort_by_key(|finding| finding.severity);
    let mut text: String = findings.into_iter().map(|finding| one(finding, style)).collect();
    let count = |severity| report.count(severity);
    let blocking = count(Severity::Block);
    text.push_str(&format!(
        "{blocking} blocking, {} warnings, {} notes\n",
        count(Severity::Warn),
        count(Severity::Info)
    ));
    text.push_str(match blocking {
        0 => "next: dunlin plan, with the same options\n",
        _ => "next: mend what blocks, then dunlin check again\n",
    });
    text
}

/// A finding, as it is read.
pub fn one(finding: &Finding, style: Style) -> String {
    let weight = match finding.severity {
        Severity::Block => style.red("blocks"),
        Severity::Warn => style.yellow("warning"),
        Severity::Info => "note".to_owned(),
    };
    let mut text =
        format!("{weight}[{}]: {}\n  seen: {}\n", finding.id, finding.subject, finding.evidence);
    for (number, line) in finding.fix_sql.iter().flat_map(|sql| sql.lines()).enumerate() {
        let label = if number == 0 { "fix:  " } else { "      " };
        text.push_str(&format!("  {label}{line}\n"));
    }
    if let Some(hint) = &finding.hint {
        text.push_str(&format!("  hint: {hint}\n"));
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(id: &str, severity: Severity, fix_sql: Option<&str>) -> Finding {
        Finding {
            id: id.to_owned(),
            severity,
            subject: "source".to_owned(),
            evidence: "wal_level = replica".to_owned(),
            fix_sql: fix_sql.map(str::to_owned),
            hint: None,
        }
    }

    #[test]
    fn what_blocks_stands_first() {
        let report = CheckReport {
            findings: vec![
                finding("LARGE_OBJECTS", Severity::Info, None),
                finding(
                    "WAL_LEVEL",
                    Severity::Block,
                    Some("ALTER SYSTEM SET wal_level = logical;\n-- then restart"),
                ),
                finding("COLLATION_DIFFERS", Severity::Warn, None),
            ],
        };
        insta::assert_snapshot!(text(&report, Style::new(false)), @r#"
    blocks[WAL_LEVEL]: source
      seen: wal_level = replica
      fix:  ALTER SYSTEM SET wal_level = logical;
            -- then restart

    warning[COLLATION_DIFFERS]: source
      seen: wal_level = replica

    note[LARGE_OBJECTS]: source
      seen: wal_level = replica

    1 blocking, 1 warnings, 1 notes
    next: mend what blocks, then dunlin check again
    "#);
    }

    #[test]
    fn a_clean_report_points_to_plan() {
        insta::assert_snapshot!(text(&CheckReport::default(), Style::new(false)), @r#"
    0 blocking, 0 warnings, 0 notes
    next: dunlin plan, with the same options
    "#);
    }

    #[test]
    fn json_has_stable_names() {
        let report = CheckReport { findings: vec![finding("WAL_LEVEL", Severity::Block, None)] };
        insta::assert_snapshot!(serde_json::to_string(&report).unwrap(), @r#"{"findings":[{"id":"WAL_LEVEL","severity":"block","subject":"source","evidence":"wal_level = replica","fix_sql":null,"hint":null}]}"#);
    }
}
