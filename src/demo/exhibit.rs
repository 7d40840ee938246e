//! What the demo has to know of an engine.
//!
//! Enters: servers and their database. Leaves: what is loaded, written, compared and looked for, in
//! the engine's own words. The course of the demo is the same for all of them (`stage`).

use std::future::Future;
use std::path::PathBuf;

use super::DemoError;
use super::digest::TableComparison;
use super::load::Size;
use super::private::{Engine, PrivateServer};
use super::writers::Application;

/// The database that is moved.
pub(super) const DATABASE: &str = "app";

/// An engine whose databases the demo can move.
pub(super) trait Exhibit: Engine + Sized + Send + Sync + 'static {
    /// Which servers there are to choose from.
    type Choice: Clone + Send + 'static;

    /// What writes to the database.
    type Application: Application;

    /// What is loaded, for the screen.
    const CONTENT: &'static str;

    /// What the server takes the next number of an id from, for the report.
    const COUNTERS: &'static str;

    /// What changes tables in mid-stream, and fills what came.
    const ALTERATIONS: &'static [&'static str];

    /// What `dunlin complete` removes, for the screen.
    const REMOVED: &'static str;

    /// Makes and starts a server whose commits reach the disk.
    fn create(choice: &Self::Choice, keep: bool) -> Result<PrivateServer<Self>, DemoError>;

    /// Name and version of a server.
    fn title(server: &PrivateServer<Self>) -> String;

    /// The folder of programs that dunlin is to find.
    fn programs(server: &PrivateServer<Self>) -> Option<PathBuf>;

    /// The applications of the database, which is at the second server while the file is there.
    fn application(servers: [&PrivateServer<Self>; 2], moved: PathBuf) -> Self::Application;

    /// Makes the database, empty.
    fn create_database(
        server: &PrivateServer<Self>,
    ) -> impl Future<Output = Result<(), DemoError>> + Send;

    /// Makes tables and rows in the empty database.
    fn load(
        server: &PrivateServer<Self>,
        size: Size,
    ) -> impl Future<Output = Result<Content, DemoError>> + Send;

    /// What each server says of its own rows.
    fn compare(
        source: &PrivateServer<Self>,
        target: &PrivateServer<Self>,
    ) -> impl Future<Output = Result<Vec<TableComparison>, DemoError>> + Send;

    /// What would give out a number on the target that the source may have given out.
    fn counters_behind(
        source: &PrivateServer<Self>,
        target: &PrivateServer<Self>,
    ) -> impl Future<Output = Result<Vec<String>, DemoError>> + Send;

    /// What is there of dunlin.
    fn left_behind(
        server: &PrivateServer<Self>,
    ) -> impl Future<Output = Result<Vec<String>, DemoError>> + Send;
}

/// What was loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Content {
    /// Rows of all tables.
    pub(super) rows: i64,
    /// The size of the database, indexes included.
    pub(super) bytes: i64,
}
