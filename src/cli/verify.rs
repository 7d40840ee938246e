//! `dunlin verify`: whether both sides hold the same rows.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;

use super::args::{Everything, Settings};
use super::output::{ExitStatus, Output, OutputError, Style, bytes, columns, count};
use crate::config::parse_size;
use crate::migration::VerifyOptions;
use crate::model::Failure;
use crate::model::selection::{Patterns, Selection, SelectionError};
use crate::model::verification::{
    Difference, TableVerdict, TakenOver, Verdict, VerificationReport,
};

/// Rows that are printed for each table; the JSON has more.
const MOST_PRINTED: usize = 20;

/// The options of `dunlin verify`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  dunlin verify --source postgres://old.example/app --target postgres://new.example/app
  dunlin verify --tables 'shop.*' --sample 10 --certificate proof.json
  dunlin verify --repair
  dunlin verify --incremental

Exits with 0 where all rows are equal, with 1 where any differs or could not be settled.
Next: where rows differ, look at what else writes to the target; then dunlin verify --repair.")]
pub struct VerifyArgs {
    /// Compare only these tables: table, schema.table or a glob; may be repeated
    #[arg(long, value_name = "PATTERN")]
    pub tables: Vec<String>,
    /// Compare only so many of a hundred chunks, chosen at random by a seed that the report names
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    pub sample: Option<f64>,
    /// The seed of the sample, to compare the same chunks again
    #[arg(long, value_name = "NUMBER", requires = "sample")]
    pub seed: Option<u64>,
    /// Read no more of both sides together than this in a second, such as 20MiB
    #[arg(long, value_name = "SIZE", value_parser = rate)]
    pub max_rate: Option<u64>,
    /// Begin no chunk while more sessions than that are at work on the source
    #[arg(long, value_name = "SESSIONS")]
    pub max_load: Option<u64>,
    /// Put the values that differ into the report
    #[arg(long)]
    pub show_values: bool,
    /// Put rows that differ right on the target, as the source has them, and prove them again
    #[arg(long)]
    pub repair: bool,
    /// Do not read chunks again that nothing touched since they were last found equal
    #[arg(long, conflicts_with = "sample")]
    pub incremental: bool,
    /// Write what was found to this file, with a SHA-256 over it
    #[arg(long, value_name = "FILE")]
    pub certificate: Option<PathBuf>,
    /// Print the report as JSON
    #[arg(long)]
    pub json: bool,
    /// The settings.
    #[command(flatten)]
    pub settings: Settings<Everything>,
}

impl VerifyArgs {
    /// What is to be compared.
    ///
    /// # Errors
    ///
    /// Where a pattern cannot be read.
    pub fn options(&self) -> Result<VerifyOptions, SelectionError> {
        let patterns = Patterns { include_tables: self.tables.clone(), ..Patterns::default() };
        Ok(VerifyOptions {
            tables: Selection::new(&patterns)?,
            sample_percent: self.sample,
            seed: self.seed,
            bytes_per_second: self.max_rate,
            most_at_work: self.max_load,
            show_values: self.show_values,
            repair: self.repair,
            incremental: self.incremental,
        })
    }
}

fn percent(text: &str) -> Result<f64, String> {
    let percent: Option<f64> = text.trim_end_matches('%').parse().ok();
    let legal = percent.filter(|percent| *percent > 0.0 && *percent <= 100.0);
    legal.ok_or_else(|| "must be a number above 0 and up to 100".to_owned())
}

fn rate(text: &str) -> Result<u64, String> {
    let size = parse_size(text).filter(|size| *size > 0);
    size.ok_or_else(|| "must be a size such as 512KiB or 20MiB".to_owned())
}

/// Prints the report, and writes the certificate where one is wanted.
///
/// # Errors
///
/// Where it cannot be printed or written.
pub fn show(
    report: &VerificationReport,
    certificate: Option<&Path>,
    output: &Output,
) -> Result<ExitStatus, Failure> {
    if let Some(path) = certificate {
        let text = report.certificate();
        fs::write(path, text)
            .map_err(|source| OutputError::File { path: path.to_owned(), source })?;
    }
    output.report(report, text)?;
    Ok(match report.verdict {
        Verdict::Equal => ExitStatus::Done,
        Verdict::Different | Verdict::Unsettled => ExitStatus::Different,
    })
}

fn text(report: &VerificationReport, style: Style) -> String {
    let heads = ["table", "rows equal", "size", "chunks equal", "differ", "unsettled", ""];
    let heads = heads.iter().map(|head| (*head).to_owned()).collect();
    let rows: Vec<Vec<String>> =
        std::iter::once(heads).chain(report.tables.iter().map(row)).collect();
    let mut text = columns(&rows, &[1, 2, 3, 4, 5]);
    text.extend(report.tables.iter().filter_map(taken_over));
    for table in &report.tables {
        text.push_str(&details(table, &report.differences, style));
    }
    if let Some(sample) = report.sample {
        let percent = sample.percent;
        text.push_str(&format!("\nonly {percent} % of all chunks, by the seed {}\n", sample.seed));
    }
    text.push_str(&format!("\n{}\n", conclusion(report, style)));
    text
}

fn row(table: &TableVerdict) -> Vec<String> {
    let differ = count(table.different_rows);
    vec![
        table.table.clone(),
        count(table.rows),
        bytes(table.bytes),
        format!("{}/{}", count(table.equal_units), count(table.units)),
        if table.more { format!("{differ} or more") } else { differ },
        count(table.unsettled_rows),
        table.note.clone().unwrap_or_default(),
    ]
}

/// What of a table was not read.
fn taken_over(table: &TableVerdict) -> Option<String> {
    let TakenOver { units, rows, position, proven_at } = table.taken_over.as_ref()?;
    Some(format!(
        "{}: {} chunks with {} rows not read, untouched since {proven_at}, {position}\n",
        table.table,
        count(*units),
        count(*rows)
    ))
}

/// The rows of a table that differ.
fn details(table: &TableVerdict, all: &[Difference], style: Style) -> String {
    let of_table: Vec<&Difference> = all.iter().filter(|row| row.table == table.table).collect();
    if of_table.is_empty() {
        return String::new();
    }
    let mut text = format!("\n{}\n", style.bold(&table.table));
    for row in of_table.iter().take(MOST_PRINTED) {
        text.push_str(&line(row));
    }
    let left = of_table.len().saturating_sub(MOST_PRINTED);
    if left > 0 {
        text.push_str(&format!("  and {left} more; --json has them\n"));
    }
    text
}

fn line(row: &Difference) -> String {
    let null = || "NULL".to_owned();
    let value = |value: &Option<String>| value.clone().unwrap_or_else(null);
    let quoted =
        |value: &Option<String>| value.as_ref().map_or_else(null, |value| format!("'{value}'"));
    let key = row.key.iter().map(|part| match part.column.as_str() {
        "" => format!("row {}", value(&part.value)),
        column => format!("{column} = {}", value(&part.value)),
    });
    let mut line = format!("  {:<9}  {}", row.kind, key.collect::<Vec<_>>().join(", "));
    if row.source_rows > 1 || row.target_rows > 1 {
        let (source, target) = (row.source_rows, row.target_rows);
        line.push_str(&format!("; on the source {source}, on the target {target} times"));
    }
    if row.repaired {
        line.push_str("; repaired");
    }
    if !row.columns.is_empty() {
        line.push_str(&format!("; columns {}", row.columns.join(", ")));
    }
    line.push('\n');
    for pair in &row.values {
        let (source, target) = (quoted(&pair.source), quoted(&pair.target));
        line.push_str(&match (row.source_rows, row.target_rows) {
            (0, _) => format!("    {}: target {target}\n", pair.column),
            (_, 0) => format!("    {}: source {source}\n", pair.column),
            (_, _) => format!("    {}: source {source}, target {target}\n", pair.column),
        });
    }
    line
}

fn conclusion(report: &VerificationReport, style: Style) -> String {
    let rows: u64 = report.tables.iter().map(|table| table.rows).sum();
    let repaired: u64 = report.tables.iter().map(|table| table.repaired_rows).sum();
    let repaired = match repaired {
        0 => String::new(),
        rows => format!("; {} of them repaired", count(rows)),
    };
    match report.verdict {
        Verdict::Equal => style.green(&format!(
            "equal: {} rows of {} tables, as of {}{repaired}",
            count(rows),
            count(report.tables.len() as u64),
            report.begun_position
        )),
        Verdict::Unsettled => style.yellow(
            "not settled: no row differs for certain, but not all could be compared; verify again",
        ),
        Verdict::Different => style.red("different: both sides do not hold the same rows"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::verification::{DifferenceKind, Digest, NamedValue, Sample, ValuePair};
    use crate::model::{Lsn, Position};

    fn report() -> VerificationReport {
        let table = |name: &str, verdict, different_rows| TableVerdict {
            table: name.to_owned(),
            verdict,
            rows: 120_000,
            bytes: 5 << 20,
            digest: Digest { rows: 120_000, sum: 7 },
            units: 3,
            equal_units: if different_rows > 0 { 2 } else { 3 },
            different_rows,
            unsettled_rows: 0,
            repaired_rows: 0,
            more: false,
            taken_over: None,
            note: None,
        };
        let key = |column: &str, value: &str| {
            vec![NamedValue { column: column.to_owned(), value: Some(value.to_owned()) }]
        };
        let pair =
            ValuePair { column: "note".to_owned(), source: None, target: Some(String::new()) };
        let different = Difference {
            table: "shop.orders".to_owned(),
            kind: DifferenceKind::Different,
            key: key("id", "17"),
            columns: vec!["note".to_owned()],
            repaired: false,
            source_rows: 1,
            target_rows: 1,
            values: vec![pair],
        };
        let doubled = Difference {
            kind: DifferenceKind::Different,
            key: key("", "00ff"),
            columns: Vec::new(),
            source_rows: 1,
            target_rows: 2,
            values: Vec::new(),
            ..different.clone()
        };
        let at = Position::Postgres(Lsn(0x1A_0000_0010));
        VerificationReport {
            verdict: Verdict::Different,
            migration: "dunlin".to_owned(),
            source: "app in cluster 7, 15.4".to_owned(),
            version: "0.1.0".to_owned(),
            begun_at: "2026-01-01T00:00:00Z".to_owned(),
            ended_at: "2026-01-01T00:00:09Z".to_owned(),
            begun_position: at.clone(),
            ended_position: at,
            sample: Some(Sample { percent: 5.0, seed: 9 }),
            incremental: false,
            units_before: 0,
            tables: vec![
                table("shop.orders", Verdict::Different, 2),
                table("shop.users", Verdict::Equal, 0),
            ],
            differences: vec![different, doubled],
        }
    }

    #[test]
    fn each_row_that_differs_is_named() {
        insta::assert_snapshot!(text(&report(), Style::new(false)), @r#"
      table        rows equal      size  chunks equal  differ  unsettled
      shop.orders     120,000  5.00 MiB           2/3       2          0
      shop.users      120,000  5.00 MiB           3/3       0          0

    shop.orders
      different  id = 17; columns note
        note: source NULL, target ''
      different  row 00ff; on the source 1, on the target 2 times

    only 5 % of all chunks, by the seed 9

    different: both sides do not hold the same rows
    "#);
    }

    #[test]
    fn a_rate_and_a_percentage_are_read() {
        assert_eq!((percent("12.5%"), percent("100")), (Ok(12.5), Ok(100.0)));
        assert!(percent("0").is_err() && percent("101").is_err() && percent("x").is_err());
        assert_eq!(rate("2MiB"), Ok(2 << 20));
        assert!(rate("0").is_err() && rate("fast").is_err());
    }
}
