//! `dunlin demo`: a whole migration on this machine, with nothing at stake.
//!
//! Enters: how much data and which servers. Leaves: a report, and a verdict that rests on digests
//! the servers compute themselves. It knows dunlin only as a program that it starts, kills and
//! starts again, and never looks inside: so its verdict is an outsider's. The tests start their
//! private servers and writers through this room as well.

mod activity;
mod application;
mod cluster;
pub mod digest;
mod driver;
mod exhibit;
mod failure;
pub mod load;
pub mod mysql;
mod postgres;
pub mod private;
pub mod process;
pub mod programs;
mod report;
mod screen;
pub mod server;
mod stage;
mod template;
mod transactions;
mod user;
mod whereabouts;
pub mod writers;

use std::io::Write;
use std::path::PathBuf;

pub use driver::plain_command;
pub use failure::DemoError;
pub use programs::Programs;
pub use report::DemoReport;
pub use server::{Server, ServerOptions};

use exhibit::Exhibit;
use load::Size;
use mysql::Release;
use mysql::server::MySql;
use screen::Screen;
use server::Postgres;
use stage::Stage;

const MARIADB: [Release; 2] = [Release::MARIADB_11_8, Release::MARIADB_10_11];

/// What a demo is to be like.
#[derive(Clone, Debug)]
pub struct DemoOptions {
    /// The dunlin to show: usually this very program.
    pub binary: PathBuf,
    /// Which servers.
    pub servers: DemoServers,
    /// How much data is loaded.
    pub size: Size,
    /// What the writers' random choices follow from.
    pub seed: u64,
    /// Whether the servers go on running afterwards, with all their files.
    pub keep: bool,
}

/// Which servers a demo is between.
#[derive(Clone, Debug)]
pub enum DemoServers {
    /// Postgres, with the folders of the programs of source and target; found where none is named.
    Postgres([Option<PathBuf>; 2]),
    /// MySQL; or MariaDB where there is none, which is said.
    MySql,
    /// MariaDB.
    MariaDb,
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
    match &options.servers {
        DemoServers::Postgres(programs) => {
            Box::pin(show::<Postgres>(&options, programs.clone(), screen)).await
        }
        DemoServers::MySql => {
            let mut wanted = vec![Release::MYSQL_9_7];
            wanted.extend(MARIADB);
            let release = Release::first_there(&wanted)?;
            if release.is_mariadb() {
                screen.say(
                    "there is no MySQL here (scripts/servers mysql-9.7 gets it): MariaDB it is",
                )?;
            }
            Box::pin(show::<MySql>(&options, [release; 2], screen)).await
        }
        DemoServers::MariaDb => {
            let release = Release::first_there(&MARIADB)?;
            Box::pin(show::<MySql>(&options, [release; 2], screen)).await
        }
    }
}

async fn show<E: Exhibit>(
    options: &DemoOptions,
    choices: [E::Choice; 2],
    mut screen: Screen<'_>,
) -> Result<DemoReport, DemoError> {
    let mut stage = Box::pin(Stage::<E>::set(options, choices, &mut screen)).await?;
    let result = Box::pin(stage.perform(options, &mut screen)).await;
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
