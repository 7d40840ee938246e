//! Medians, ratios, and the page that shows them: a part for each benchmark, which writes its own and
//! leaves the others as they are.

use std::fmt::Write;
use std::process::Command;
use std::time::Duration;

/// The page.
const PAGE: &str = "docs/benchmarks.md";

const HEAD: &str = "# Benchmarks\n\nThe tables are written by the benchmarks, the contenders in \
     turn; figures are medians, with the fastest and the slowest round in parentheses. Ratios are of \
     medians: other / dunlin, so above 1 dunlin is the faster. Source, target and contender share \
     the machine.";

/// One benchmark's part of the page.
pub struct Report {
    /// Its heading.
    title: &'static str,
    /// What holds for all of it, in sentences.
    how: &'static str,
    sections: Vec<Section>,
}

/// A work: what is done, and how each contender fared.
pub struct Section {
    pub title: &'static str,
    /// How it is measured, in sentences.
    pub how: &'static str,
    /// What a figure is of.
    pub unit: Unit,
    pub lines: Vec<Line>,
}

#[derive(Clone, Copy)]
pub enum Unit {
    Seconds,
    Milliseconds,
    /// So many rows in each round.
    RowsPerSecond(u32),
}

/// One contender's figures, a round each.
#[derive(Clone)]
pub struct Line {
    pub name: String,
    /// What was run, where it is a command of its own.
    pub command: Option<String>,
    pub rounds: Vec<Duration>,
    /// The most memory that was resident, where it is dunlin's.
    pub resident_bytes: Option<u64>,
    /// Processor time in each round, where it is dunlin's.
    pub processor: Vec<Duration>,
}

impl Line {
    /// A contender before its first round.
    pub fn new(name: &str) -> Line {
        Line {
            name: name.into(),
            command: None,
            rounds: Vec::new(),
            resident_bytes: None,
            processor: Vec::new(),
        }
    }

    /// The same with what is run.
    pub fn of(name: &str, command: &str) -> Line {
        Line { command: Some(command.into()), ..Line::new(name) }
    }

    /// Notes a round of dunlin's.
    pub fn note(&mut self, taken: super::watch::Taken) {
        self.rounds.push(taken.wall);
        self.processor.push(taken.processor);
        self.note_resident(taken.resident_bytes);
    }

    /// Notes how much memory dunlin had in a round.
    pub fn note_resident(&mut self, bytes: u64) {
        self.resident_bytes = self.resident_bytes.max(Some(bytes));
    }
}

impl Report {
    /// A part without any work yet.
    pub fn new(title: &'static str, how: &'static str) -> Report {
        Report { title, how, sections: Vec::new() }
    }

    /// Adds a work, and prints it at once.
    pub fn add(&mut self, section: Section) {
        println!("{}", described(&section));
        self.sections.push(section);
    }

    /// Puts the part into the page, in the place of the one that is there.
    pub fn write(&self, rounds: usize) {
        let page = std::fs::read_to_string(PAGE).unwrap_or_default();
        let mut parts: Vec<String> = vec![HEAD.into()];
        parts.extend(page.split("\n## ").skip(1).map(|part| part.trim_end().to_owned()));
        let own = self.markdown(rounds);
        let is_own = |part: &String| part.lines().next() == Some(self.title);
        match parts.iter().position(is_own) {
            Some(at) => parts[at] = own,
            None => parts.push(own),
        }
        std::fs::write(PAGE, parts.join("\n\n## ") + "\n").unwrap();
    }

    fn markdown(&self, rounds: usize) -> String {
        let (title, how, machine) = (self.title, self.how, machine());
        let mut text = format!("{title}\n\n{how} {rounds} rounds on {machine}.\n\n");
        for section in &self.sections {
            let _ = writeln!(text, "{}", described(section));
        }
        text.truncate(text.trim_end().len());
        text
    }
}

/// A section's text.
fn described(section: &Section) -> String {
    let mut text = format!("### {}\n\n{}\n\n{}", section.title, section.how, table(section));
    let commands =
        section.lines.iter().filter_map(|line| Some((&line.name, line.command.as_ref()?)));
    for (at, (name, command)) in commands.enumerate() {
        let _ = writeln!(text, "{}- {name}: `{command}`", if at == 0 { "\n" } else { "" });
    }
    text
}

fn table(section: &Section) -> String {
    let unit = match section.unit {
        Unit::Seconds => "seconds",
        Unit::Milliseconds => "milliseconds",
        Unit::RowsPerSecond(_) => "million rows a second",
    };
    let mut text = format!("| | {unit} | ratio | processor | resident |\n|---|---|---|---|---|\n");
    let own = section.lines.first().map(|line| median(&line.rounds));
    for line in &section.lines {
        let middle = median(&line.rounds);
        let ratio = own.map_or(0.0, |own| middle.as_secs_f64() / own.as_secs_f64());
        let processor = match line.processor.is_empty() {
            true => String::new(),
            false => format!("{:.2} s", median(&line.processor).as_secs_f64()),
        };
        let resident = line.resident_bytes.map(|bytes| format!("{} MiB", bytes >> 20));
        let _ = writeln!(
            text,
            "| {} | {} ({} to {}) | {ratio:.2} | {processor} | {} |",
            line.name,
            figure(middle, section.unit),
            figure(line.rounds.iter().copied().min().unwrap_or_default(), section.unit),
            figure(line.rounds.iter().copied().max().unwrap_or_default(), section.unit),
            resident.unwrap_or_default()
        );
    }
    text
}

fn figure(duration: Duration, unit: Unit) -> String {
    match unit {
        Unit::Seconds => format!("{:.2}", duration.as_secs_f64()),
        Unit::Milliseconds => format!("{:.1}", duration.as_secs_f64() * 1000.0),
        Unit::RowsPerSecond(rows) => {
            format!("{:.2}", f64::from(rows) / duration.as_secs_f64().max(1e-9) / 1e6)
        }
    }
}

/// The middle one; of an even number the later of the two.
pub fn median(rounds: &[Duration]) -> Duration {
    quantile(rounds, 1, 2)
}

/// The smallest that at least `part` of `of` do not exceed.
pub fn quantile(values: &[Duration], part: usize, of: usize) -> Duration {
    let mut sorted = values.to_vec();
    sorted.sort();
    let last = sorted.len().saturating_sub(1);
    sorted.get((sorted.len() * part / of).min(last)).copied().unwrap_or_default()
}

fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = memory
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB"))
        .and_then(|kib| kib.parse::<u64>().ok())
        .unwrap_or_default();
    let kernel = Command::new("uname").arg("-sr").output().unwrap().stdout;
    let kernel = String::from_utf8_lossy(&kernel);
    // Without what its builder calls it.
    let kernel = kernel.trim().split('-').next().unwrap_or_default();
    format!("{cores} cores, {} GiB of memory, {}", kib.div_ceil(1024 * 1024), kernel)
}
