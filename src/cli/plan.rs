//! `dunlin plan`: what would be done, by which formulas, and everything that would be written.

use clap::Args;

use super::args::{Everything, Settings};
use super::check;
use super::output::{
    ExitStatus, Output, OutputError, Style, bytes, columns, count, duration, rate,
};
use crate::model::report::PlanReport;

/// The options of `dunlin plan`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  dunlin plan --source postgres://old.example/app --target postgres://new.example/app

Next: dunlin run, with the same options.")]
pub struct PlanArgs {
    /// Print the plan as JSON
    #[arg(long)]
    pub json: bool,
    /// The settings.
    #[command(flatten)]
    pub settings: Settings<Everything>,
}

/// Prints the plan.
///
/// # Errors
///
/// Where it cannot be printed.
pub fn show(report: &PlanReport, output: &Output) -> Result<ExitStatus, OutputError> {
    output.report(report, text)?;
    Ok(ExitStatus::Done)
}

fn text(plan: &PlanReport, style: Style) -> String {
    let mut text = tables(plan, style);
    text.push_str(&format!("\n{}\n", style.bold("Time")));
    text.push_str(&formulas(plan));
    text.push_str(&format!("  verdict: {}\n", verdict(plan, style)));
    text.push_str(&format!("\n{}\n", style.bold("Written on the servers by dunlin run")));
    for line in &plan.writes {
        text.push_str(&format!("  {line}\n"));
    }
    for note in &plan.notes {
        text.push_str(&format!("\n{}", check::one(note, style).trim_end()));
        text.push('\n');
    }
    text.push_str("\nnext: dunlin run, with the same options\n");
    text
}

fn tables(plan: &PlanReport, style: Style) -> String {
    let mut text = format!("{}\n", style.bold("Tables: P = ceil(D / S) chunks each"));
    let heading = ["table", "D", "rows", "P", "method"];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    rows.extend(plan.tables.iter().map(|table| {
        vec![
            table.name.clone(),
            bytes(table.bytes),
            format!("~{}", count(table.rows)),
            count(table.chunks),
            table.method.clone(),
        ]
    }));
    rows.push(vec![
        format!("{} tables", plan.tables.len()),
        bytes(plan.database_bytes),
        String::new(),
        count(plan.chunks),
        format!("S = {}", bytes(plan.chunk_size_bytes)),
    ]);
    text.push_str(&columns(&rows, &[1, 2, 3]));
    text
}

fn formulas(plan: &PlanReport) -> String {
    let bandwidth = rate(plan.bandwidth_bytes_per_second);
    let wal_rate = rate(plan.wal_rate_bytes_per_second);
    let mut text = format!("  bandwidth B = {bandwidth} (measured), new log W = {wal_rate}\n");
    let times = plan.t_copy_seconds.zip(plan.d_new_bytes).zip(plan.t_sync_seconds);
    if let Some(((copy, new), sync)) = times {
        let (copy, new, sync) = (duration(copy), bytes(new), duration(sync));
        text.push_str(&format!(
            "  T_copy = (S / B) x P = ({} / {bandwidth}) x {} = {copy}\n",
            bytes(plan.chunk_size_bytes),
            plan.chunks,
        ));
        text.push_str(&format!("  D_new = W x T_copy = {wal_rate} x {copy} = {new}\n"));
        text.push_str(&format!("  T_sync = D_new / B = {new} / {bandwidth} = {sync}\n"));
    }
    text
}

fn verdict(plan: &PlanReport, style: Style) -> String {
    match plan.caught_up_seconds {
        Some(seconds) => format!(
            "{} about {} after the start: T_copy + D_new / (B - W)",
            style.green("converges,"),
            duration(seconds)
        ),
        None if plan.t_copy_seconds.is_none() => {
            style.yellow("unknown, because no bandwidth could be measured")
        }
        None => format!(
            "{} the source writes as fast as changes can be passed on (W >= B)",
            style.red("does not converge:")
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::report::{PlanInput, PlannedTable};

    fn plan(wal_rate: f64, bandwidth: f64) -> PlanReport {
        let table = |name: &str, bytes: u64, rows, method: &str| PlannedTable {
            name: name.to_owned(),
            bytes,
            rows,
            chunks: bytes.div_ceil(128 << 20),
            method: method.to_owned(),
        };
        PlanReport::estimate(PlanInput {
            tables: vec![
                table("public.orders", 900 << 20, 1_000_000, "ranges of id, binary"),
                table("public.events", 10 << 30, 80_500_000, "block ranges, text"),
            ],
            chunk_size_bytes: 128 << 20,
            bandwidth_bytes_per_second: bandwidth,
            wal_rate_bytes_per_second: wal_rate,
            writes: vec![
                "source: publication dunlin".to_owned(),
                "source: logical replication slot dunlin".to_owned(),
                "target: schema dunlin".to_owned(),
            ],
        })
    }

    #[test]
    fn the_formulas_are_shown_with_their_numbers() {
        let plan = plan(f64::from(4 << 20), f64::from(100 << 20));
        insta::assert_snapshot!(text(&plan, Style::new(false)), @r#"
    Tables: P = ceil(D / S) chunks each
      table                   D         rows   P  method
      public.events   10.00 GiB  ~80,500,000  80  block ranges, text
      public.orders  900.00 MiB   ~1,000,000   8  ranges of id, binary
      2 tables        10.88 GiB               88  S = 128.00 MiB

    Time
      bandwidth B = 100.00 MiB/s (measured), new log W = 4.00 MiB/s
      T_copy = (S / B) x P = (128.00 MiB / 100.00 MiB/s) x 88 = 1m 53s
      D_new = W x T_copy = 4.00 MiB/s x 1m 53s = 450.56 MiB
      T_sync = D_new / B = 450.56 MiB / 100.00 MiB/s = 4.5s
      verdict: converges, about 1m 57s after the start: T_copy + D_new / (B - W)

    Written on the servers by dunlin run
      source: publication dunlin
      source: logical replication slot dunlin
      target: schema dunlin

    next: dunlin run, with the same options
    "#);
    }

    #[test]
    fn a_plan_that_does_not_converge_says_so() {
        let fast = plan(f64::from(100 << 20), f64::from(100 << 20));
        assert!(verdict(&fast, Style::new(false)).starts_with("does not converge"));
        let unknown = plan(1.0, 0.0);
        assert!(verdict(&unknown, Style::new(false)).starts_with("unknown"));
        assert!(!formulas(&unknown).contains("T_copy"));
    }
}
