//! What reaches the screen: reports on stdout, errors on stderr, exit statuses.
//!
//! In come reports and failures; out go text for people or JSON for programs. Text says the same
//! with colour and without. A reader of stdout that goes away early (`| head`) is not an error.

use std::error::Error;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use serde::Serialize;

use crate::config::ColorChoice;
use crate::model::{Code, Disposition, Failure, Fault, Halt};

/// The form of a report.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// How things are printed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Output {
    form: Form,
    color: ColorChoice,
}

/// Writing to the screen or a local file failed.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// Standard output cannot be written.
    #[error("cannot write to standard output")]
    Stdout(#[source] io::Error),
    /// A file cannot be written.
    #[error("cannot write {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A report cannot be put into JSON.
    #[error("cannot write the report as JSON")]
    Json(#[source] serde_json::Error),
}

impl Fault for OutputError {
    fn disposition(&self) -> Disposition {
        match self {
            OutputError::Stdout(_) | OutputError::File { .. } | OutputError::Json(_) => Halt::with(
                Code::LocalFailed,
                "look at where the output goes (a full disk, a closed pipe), then run it again",
            ),
        }
    }
}

/// A verb's result for the calling process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ExitStatus {
    /// Done.
    Done,
    /// Both sides differ.
    Different,
    /// A preflight check found what would fail.
    Blocked,
    /// Something stands against a cutover.
    Refused,
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> Self {
        match status {
            ExitStatus::Done => ExitCode::SUCCESS,
            ExitStatus::Different => ExitCode::from(1),
            ExitStatus::Blocked => ExitCode::from(3),
            ExitStatus::Refused => ExitCode::from(5),
        }
    }
}

/// Paints words, or leaves them as they are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Style {
    color: bool,
}

impl Style {
    /// With colour or without.
    #[must_use]
    pub fn new(color: bool) -> Self {
        Style { color }
    }

    /// For what stops.
    #[must_use]
    pub fn red(self, text: &str) -> String {
        self.paint("1;31", text)
    }

    /// For what may matter.
    #[must_use]
    pub fn yellow(self, text: &str) -> String {
        self.paint("1;33", text)
    }

    /// For what is good, and for commands.
    #[must_use]
    pub fn green(self, text: &str) -> String {
        self.paint("32", text)
    }

    /// For headings.
    #[must_use]
    pub fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.color { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

impl Output {
    /// Reports in this form, coloured by this choice.
    #[must_use]
    pub fn new(form: Form, color: ColorChoice) -> Self {
        Output { form, color }
    }

    /// Prints a report: its text, or itself as JSON.
    ///
    /// # Errors
    ///
    /// Where stdout cannot be written, unless its reader went away.
    pub fn report<R: Serialize>(
        &self,
        report: &R,
        text: impl FnOnce(&R, Style) -> String,
    ) -> Result<(), OutputError> {
        let stdout = io::stdout();
        let rendered = match self.form {
            Form::Text => text(report, Style::new(colored(self.color, stdout.is_terminal()))),
            Form::Json => serde_json::to_string_pretty(report).map_err(OutputError::Json)? + "\n",
        };
        print(&rendered)
    }

    /// Prints an error on stderr, with its causes and what to do, and returns its exit status.
    #[must_use]
    pub fn failure(&self, failure: &Failure) -> ExitCode {
        let told = Told::from(failure);
        let mut stderr = io::stderr();
        let rendered = match self.form {
            Form::Text => told.text(Style::new(colored(self.color, stderr.is_terminal()))),
            Form::Json => serde_json::to_string(&told).unwrap_or_default() + "\n",
        };
        // Where stderr is gone too there is nobody left to tell; the exit status remains.
        let _ = stderr.write_all(rendered.as_bytes());
        ExitCode::from(told.exit_status)
    }
}

/// Writes text to stdout.
///
/// # Errors
///
/// Where stdout cannot be written, unless its reader went away.
pub fn print(text: &str) -> Result<(), OutputError> {
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other.map_err(OutputError::Stdout),
    }
}

/// How a verb ended that goes on until something ends it.
#[derive(Clone, Copy, Debug)]
pub struct Ending {
    /// For programs.
    pub name: &'static str,
    /// For people.
    pub said: &'static str,
    /// How to go on.
    pub next: &'static str,
    /// What people are told besides.
    pub further: &'static str,
}

impl Ending {
    /// Prints it.
    ///
    /// # Errors
    ///
    /// Where it cannot be printed.
    pub fn show(&self, json: bool) -> Result<ExitStatus, OutputError> {
        print(&self.rendered(json))?;
        Ok(ExitStatus::Done)
    }

    /// As it is printed.
    #[must_use]
    pub fn rendered(&self, json: bool) -> String {
        let Ending { name, said, next, further } = self;
        match json {
            true => format!("{}\n", serde_json::json!({ "ended": name, "next": next })),
            false => format!("{said}\nnext: {next}{further}\n"),
        }
    }
}

/// An error as it is told to the operator.
#[derive(Debug, Serialize)]
struct Told {
    code: &'static str,
    message: String,
    causes: Vec<String>,
    hint: String,
    exit_status: u8,
}

impl From<&Failure> for Told {
    fn from(failure: &Failure) -> Self {
        let (code, hint) = match failure.disposition() {
            Disposition::Halt(halt) => (halt.code, halt.hint.clone()),
            // A temporary failure comes this far only from a verb that does not retry.
            Disposition::Retry => (
                Code::ConnectFailed,
                "look at the server and at the way to it, then run the same command again"
                    .to_owned(),
            ),
        };
        Told {
            code: code.as_str(),
            message: failure.to_string(),
            causes: causes(failure.error()),
            hint,
            exit_status: code.exit_status(),
        }
    }
}

impl Told {
    fn text(&self, style: Style) -> String {
        let mut text =
            format!("{}: {}\n", style.red(&format!("error[{}]", self.code)), self.message);
        for cause in &self.causes {
            text.push_str(&format!("caused by: {cause}\n"));
        }
        if !self.hint.is_empty() {
            text.push_str(&format!("{}: {}\n", style.bold("hint"), self.hint));
        }
        text
    }
}

/// The causes, outermost first. One that only repeats the text before it is left out.
fn causes(error: &(dyn Error + 'static)) -> Vec<String> {
    let mut told = vec![error.to_string()];
    let mut next = error.source();
    while let Some(cause) = next {
        let text = cause.to_string();
        if told.last().is_none_or(|before| *before != text) {
            told.push(text);
        }
        next = cause.source();
    }
    told.split_off(1)
}

/// Whether to use colour on a stream.
#[must_use]
pub fn colored(choice: ColorChoice, terminal: bool) -> bool {
    let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    match choice {
        ColorChoice::Always => true,
        ColorChoice::Never => false,
        ColorChoice::Auto => {
            let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
            terminal && !dumb && !set("NO_COLOR")
        }
    }
}

/// A size for people: `1.50 GiB`.
#[must_use]
pub fn bytes(bytes: u64) -> String {
    indicatif::BinaryBytes(bytes).to_string()
}

/// A rate for people: `1.50 MiB/s`.
#[must_use]
pub fn rate(bytes_per_second: f64) -> String {
    format!("{}/s", bytes(bytes_per_second.max(0.0) as u64))
}

/// A number for people: `1,234,567`.
#[must_use]
pub fn count(number: u64) -> String {
    indicatif::HumanCount(number).to_string()
}

/// A duration for people: `1h 2m 3s`, below ten seconds with one decimal.
#[must_use]
pub fn duration(seconds: f64) -> String {
    let seconds = seconds.clamp(0.0, 1e12);
    if seconds < 9.95 {
        return format!("{seconds:.1}s");
    }
    humantime::format_duration(Duration::from_secs(seconds.round() as u64)).to_string()
}

/// Rows of words in aligned columns; the columns named in `right` are flush right.
#[must_use]
pub fn columns(rows: &[Vec<String>], right: &[usize]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..rows.first().map_or(0, Vec::len)).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let cells: Vec<String> = row
            .iter()
            .zip(&widths)
            .enumerate()
            .map(|(column, (cell, width))| match right.contains(&column) {
                true => format!("{cell:>width$}"),
                false => format!("{cell:<width$}"),
            })
            .collect();
        text.push_str("  ");
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot read the catalog of source")]
    struct Outer(#[source] Inner);

    #[derive(Debug, thiserror::Error)]
    #[error("connection reset")]
    struct Inner;

    impl Fault for Outer {
        fn disposition(&self) -> Disposition {
            Halt::with(Code::WalLevel, "ALTER SYSTEM SET wal_level = logical")
        }
    }

    impl Fault for Inner {
        fn disposition(&self) -> Disposition {
            Disposition::Retry
        }
    }

    #[test]
    fn a_failure_is_told_with_causes_and_hint() {
        let told = Told::from(&Failure::from(Outer(Inner)));
        insta::assert_snapshot!(told.text(Style::new(false)), @r#"
    error[WAL_LEVEL]: cannot read the catalog of source
    caused by: connection reset
    hint: ALTER SYSTEM SET wal_level = logical
    "#);
        insta::assert_snapshot!(serde_json::to_string(&told).unwrap(), @r#"{"code":"WAL_LEVEL","message":"cannot read the catalog of source","causes":["connection reset"],"hint":"ALTER SYSTEM SET wal_level = logical","exit_status":3}"#);
    }

    #[test]
    fn a_temporary_failure_exits_with_75() {
        let told = Told::from(&Failure::from(Inner));
        assert_eq!((told.code, told.exit_status), ("CONNECT_FAILED", 75));
    }

    #[test]
    fn colour_only_surrounds_the_words() {
        let told = Told::from(&Failure::from(Outer(Inner)));
        let painted = told.text(Style::new(true));
        let mut plain = String::new();
        for part in painted.split('\x1b') {
            plain.push_str(
                part.split_once('m')
                    .filter(|_| part.starts_with('['))
                    .map_or(part, |(_, rest)| rest),
            );
        }
        assert_eq!(plain, told.text(Style::new(false)));
    }

    #[test]
    fn durations_are_short() {
        assert_eq!(duration(0.04), "0.0s");
        assert_eq!(duration(9.94), "9.9s");
        assert_eq!(duration(75.2), "1m 15s");
    }
}
