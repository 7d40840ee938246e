//! Log lines on stderr, as text or as JSON, above the progress bars where there are any.
//!
//! In come tracing events; out go whole lines. The bars and the log share one [`Screen`], so a
//! line never tears a bar.

use std::io::{self, Write};

use indicatif::{MultiProgress, ProgressDrawTarget};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

/// stderr, shared by log lines and bars.
#[derive(Clone, Debug)]
pub struct Screen(MultiProgress);

impl Screen {
    /// stderr. Bars appear only where it is a terminal.
    #[must_use]
    pub fn new() -> Self {
        Screen(MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(10)))
    }

    /// The bars on it.
    pub(super) fn bars(&self) -> &MultiProgress {
        &self.0
    }
}

impl Default for Screen {
    fn default() -> Self {
        Self::new()
    }
}

/// Writes one log line, with the bars out of the way.
#[derive(Debug)]
pub struct Line<'s>(&'s Screen);

impl Write for Line<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.0.suspend(|| io::stderr().lock().write_all(line))?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

impl<'s> MakeWriter<'s> for Screen {
    type Writer = Line<'s>;

    fn make_writer(&'s self) -> Line<'s> {
        Line(self)
    }
}

/// The form of log lines.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// For people; in colour or not.
    Text {
        /// Use colour.
        color: bool,
    },
    /// One object per line.
    Json,
}

/// Starts logging for the whole process: dunlin's own events from `level` on, other crates'
/// from `warn` on. A second call changes nothing.
pub fn init(format: Format, level: tracing::Level, screen: &Screen) {
    let least = level.as_str().to_lowercase();
    let others = if level == tracing::Level::ERROR { "error" } else { "warn" };
    let builder = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(format!("{others},dunlin={least}")))
        .with_writer(screen.clone());
    let started = match format {
        Format::Text { color } => builder.with_ansi(color).with_target(false).try_init(),
        Format::Json => builder.json().flatten_event(true).try_init(),
    };
    // It fails only where the process logs already.
    drop(started);
}
