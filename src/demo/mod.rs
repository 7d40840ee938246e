//! `dunlin demo`: a whole migration on this machine, with nothing at stake.
//!
//! Enters: how much data and which Postgres. Leaves: a report, and a verdict that rests on digests
//! the servers compute themselves. It knows dunlin only as a program that it starts, kills and
//! starts again, and never looks inside: so its verdict is an outsider's. The tests start their
//! private servers and writers through this room as well.

mod activity;
mod cluster;
pub mod digest;
mod driver;
mod failure;
pub mod load;
pub mod mysql;
pub mod private;
pub mod process;
pub mod programs;
mod report;
mod screen;
pub mod server;
mod stage;
mod template;
mod user;
pub mod writers;

use std::io::Write;
use std::path::PathBuf;

pub use driver::plain_command;
pub use failure::DemoError;
pub use programs::Programs;
pub use report::DemoReport;
pub use server::{Server, ServerOptions};

use load::Size;
use screen::Screen;
use stage::Stage;

/// What a demo is to be like.
#[derive(Clone, Debug)]
pub struct DemoOptions {
    /// The dunlin to show: usually this very program.
    pub binary: PathBuf,
    /// The folder of the source's server programs; found where none is named.
    pub source_programs: Option<PathBuf>,
    /// The folder of the target's server programs; found where none is named.
    pub target_programs: Option<PathBuf>,
    /// How much data is loaded.
    pub size: Size,
    /// What the writers' random choices follow from.
    pub seed: u64,
    /// Whether the servers go on running afterwards, with all their files.
    pub keep: bool,
}

/// Runs the demo and says what happens, with the report at the end. Whether it went well, the
/// report says ([`DemoReport::is_success`]).
///
/// # Errors
/// When a server, a writer or dunlin itself fails; what they wrote is then kept, and where that
/// is has been said.
pub async fn run(
    options: DemoOptions,
    out: &mut (dyn Write + Send),
) -> Result<DemoReport, DemoError> {
    let mut screen = Screen::new(out);
    let mut stage = Box::pin(Stage::set(&options, &mut screen)).await?;
    let result = Box::pin(stage.perform(&options, &mut screen)).await;
    if let Ok(report) = &result {
        screen.write(report)?;
    }
    if options.keep || !result.as_ref().is_ok_and(DemoReport::is_success) {
        stage.keep(&mut screen)?;
    }
    if options.keep {
        stage.say_where(&mut screen)?;
    }
    result
}
