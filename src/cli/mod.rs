//! The command line: words in; reports, errors and an exit status out.
//!
//! Each verb has a file with its options, its help and the text of its result. Settings become a
//! [`RawConfig`] first, then a checked `Config`. Only this room prints. It decides nothing about
//! data.

pub mod args;
pub mod check;
pub mod complete;
pub mod completions;
pub mod config;
pub mod cutover;
pub mod demo;
pub mod grants;
pub mod hold_snapshot;
pub mod output;
pub mod plan;
pub mod reverse;
pub mod run;
pub mod status;
pub mod verify;

use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::config::{
    ColorChoice, Config, ConfigError, LogFormat, LogLevel, OutputConfig, ProgressChoice, RawConfig,
};
use crate::config::{StateConfig, gather};
use crate::migration;
use crate::model::{Code, Disposition, Failure, Fault, Halt};
use crate::observe::log::{self, Screen};
use crate::observe::progress::{Display, Progress, drive};
use args::{Arguments, Settings, Verb};
use output::{ExitStatus, Form, Output, colored};

/// How often a plain progress line is logged.
const PLAIN_INTERVAL: Duration = Duration::from_secs(5);

/// How often bars are drawn.
const BARS_INTERVAL: Duration = Duration::from_millis(200);

/// The exit status of a process that was interrupted twice, as a shell would give it.
const SECOND_INTERRUPT: i32 = 130;

/// The process itself failed.
#[derive(Debug, thiserror::Error)]
enum ProcessError {
    #[error("cannot start the threads of the process")]
    Runtime(#[source] io::Error),
}

impl Fault for ProcessError {
    fn disposition(&self) -> Disposition {
        match self {
            ProcessError::Runtime(_) => {
                Halt::with(Code::LocalFailed, "look at the limits of threads and open files")
            }
        }
    }
}

/// Parses the command line, does what it says, prints the result or the error.
#[must_use]
pub fn main() -> ExitCode {
    let verb = Arguments::parse().verb;
    let output = Output::new(form(verb.json()), verb.color());
    match perform(verb) {
        Ok(status) => status.into(),
        Err(failure) => output.failure(&failure),
    }
}

impl Verb {
    /// When errors are coloured, as far as the settings can be read at all.
    fn color(&self) -> ColorChoice {
        let (flags, file) = match self {
            Verb::Check(args) => args.settings.places(),
            Verb::Plan(args) => args.settings.places(),
            Verb::Run(args) => args.settings.places(),
            Verb::Status(args) => args.settings.places(),
            Verb::Verify(args) => args.settings.places(),
            Verb::Cutover(args) => args.settings.places(),
            Verb::Reverse(args) => args.settings.places(),
            Verb::Complete(args) => args.settings.places(),
            Verb::Demo(args) => args.settings.places(),
            Verb::Grants(_) | Verb::Config(_) | Verb::Completions(_) | Verb::HoldSnapshot(_) => {
                (RawConfig::default(), None)
            }
        };
        let settings = gather(flags, variable, file).and_then(|raw| OutputConfig::try_from(&raw));
        settings.map_or(ColorChoice::Auto, |output| output.color)
    }

    fn json(&self) -> bool {
        match self {
            Verb::Check(args) => args.json,
            Verb::Plan(args) => args.json,
            Verb::Run(args) => args.json,
            Verb::Status(args) => args.json,
            Verb::Verify(args) => args.json,
            Verb::Cutover(args) => args.json,
            Verb::Reverse(args) => args.json,
            Verb::Complete(args) => args.json,
            Verb::Grants(args) => args.json,
            Verb::Config(_) | Verb::Completions(_) | Verb::Demo(_) | Verb::HoldSnapshot(_) => false,
        }
    }
}

fn form(json: bool) -> Form {
    if json { Form::Json } else { Form::Text }
}

fn perform(verb: Verb) -> Result<ExitStatus, Failure> {
    match verb {
        Verb::Grants(args) => Ok(grants::run(&args)?),
        Verb::Config(args) => config::run(&args),
        Verb::Completions(args) => Ok(completions::run(&args)?),
        Verb::Check(_)
        | Verb::Plan(_)
        | Verb::Run(_)
        | Verb::Status(_)
        | Verb::Verify(_)
        | Verb::Cutover(_)
        | Verb::Reverse(_)
        | Verb::Complete(_)
        | Verb::Demo(_)
        | Verb::HoldSnapshot(_) => {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .enable_all()
                .build()
                .map_err(ProcessError::Runtime)?;
            runtime.block_on(Box::pin(connected(verb)))
        }
    }
}

/// The verbs that talk to servers.
async fn connected(verb: Verb) -> Result<ExitStatus, Failure> {
    match verb {
        Verb::Check(args) => {
            let (config, session) = session(args.settings, args.json)?;
            let output = session.output;
            let report = migration::check(&config).await;
            session.end().await;
            Ok(check::show(&report?, &output)?)
        }
        Verb::Plan(args) => {
            let (config, session) = session(args.settings, args.json)?;
            let output = session.output;
            let report = migration::plan(&config).await;
            session.end().await;
            Ok(plan::show(&report?, &output)?)
        }
        Verb::Run(args) => {
            let (config, session) = session(args.settings, args.json)?;
            let stop = interrupts()?;
            let ended = migration::run(&config, args.until, &session.progress, stop).await;
            session.end().await;
            Ok(run::show(ended?, args.json)?)
        }
        Verb::Reverse(args) => {
            let (config, session) = session(args.settings, args.json)?;
            let stop = interrupts()?;
            let ended = migration::reverse(&config, args.until, &session.progress, stop).await;
            session.end().await;
            Ok(reverse::show(ended?, args.json)?)
        }
        Verb::Verify(args) => {
            let options = args.options()?;
            let (config, session) = session(args.settings, args.json)?;
            let (output, stop) = (session.output, interrupts()?);
            let report = migration::verify(&config, &options, &session.progress, stop).await;
            session.end().await;
            verify::show(&report?, args.certificate.as_deref(), &output)
        }
        Verb::Cutover(args) => {
            let wanted = (args.wanted(), args.orders());
            let (config, session) = session(args.settings, args.json)?;
            let (output, stop) = (session.output, interrupts()?);
            let report = migration::cutover(&config, wanted, &session.progress, stop).await;
            session.end().await;
            Ok(cutover::show(&report?, &output)?)
        }
        Verb::Complete(args) => {
            let (config, session) = session(args.settings, args.json)?;
            let output = session.output;
            let removal = migration::complete(&config).await;
            session.end().await;
            Ok(complete::show(&removal?, &output)?)
        }
        Verb::Status(args) => {
            let config = StateConfig::try_from(collect(args.settings)?)?;
            let output = Output::new(form(args.json), config.output().color);
            Ok(status::show(&migration::status(&config).await?, &output)?)
        }
        Verb::Demo(args) => Ok(demo::run(&args).await?),
        Verb::HoldSnapshot(_) => {
            migration::hold_snapshot().await?;
            Ok(ExitStatus::Done)
        }
        Verb::Grants(_) | Verb::Config(_) | Verb::Completions(_) => Ok(ExitStatus::Done),
    }
}

/// A flag that the first Ctrl-C or SIGTERM sets; the second one ends the process at once, which
/// is just as safe.
fn interrupts() -> Result<watch::Receiver<bool>, ProcessError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(ProcessError::Runtime)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(ProcessError::Runtime)?;
    let (flag, seen) = watch::channel(false);
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if flag.send_replace(true) {
                std::process::exit(SECOND_INTERRUPT);
            }
            tracing::info!("finishing what is in hand; once more to stop at once");
        }
    });
    Ok(seen)
}

/// What a verb reports to while it works: logs, progress, and the form of its result.
pub struct Session {
    /// How the result is printed.
    pub output: Output,
    /// Where the work reports its progress.
    pub progress: Progress,
    drawing: tokio::task::JoinHandle<()>,
}

impl Session {
    /// Starts logging and the display of progress.
    #[must_use]
    pub fn start(config: OutputConfig, json: bool) -> Self {
        let terminal = io::stderr().is_terminal();
        let screen = Screen::new();
        log::init(log_format(config, terminal), log_level(config), &screen);
        let wants_bars = terminal && config.log_format == LogFormat::Text;
        let display = match config.progress {
            ProgressChoice::None => Display::None,
            ProgressChoice::Auto if wants_bars => Display::bars(&screen, BARS_INTERVAL),
            ProgressChoice::Bars => Display::bars(&screen, BARS_INTERVAL),
            ProgressChoice::Auto | ProgressChoice::Plain => Display::Plain(PLAIN_INTERVAL),
        };
        let progress = Progress::default();
        Session {
            output: Output::new(form(json), config.color),
            drawing: tokio::spawn(drive(progress.clone(), display)),
            progress,
        }
    }

    /// Draws the last figures and takes the bars away.
    pub async fn end(self) {
        self.progress.finish();
        // A display that failed is no reason to fail the work.
        let _ = self.drawing.await;
    }
}

/// Checks all settings and starts logs and progress.
fn session<S>(settings: Settings<S>, json: bool) -> Result<(Config, Session), ConfigError> {
    let config = Config::try_from(collect(settings)?)?;
    let session = Session::start(config.output(), json);
    Ok((config, session))
}

fn collect<S>(settings: Settings<S>) -> Result<RawConfig, ConfigError> {
    gather(settings.flags, variable, settings.file.as_deref())
}

fn log_format(config: OutputConfig, terminal: bool) -> log::Format {
    match config.log_format {
        LogFormat::Json => log::Format::Json,
        LogFormat::Text => log::Format::Text { color: colored(config.color, terminal) },
    }
}

fn log_level(config: OutputConfig) -> tracing::Level {
    match config.log_level {
        LogLevel::Error => tracing::Level::ERROR,
        LogLevel::Warn => tracing::Level::WARN,
        LogLevel::Info => tracing::Level::INFO,
        LogLevel::Debug => tracing::Level::DEBUG,
        LogLevel::Trace => tracing::Level::TRACE,
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
