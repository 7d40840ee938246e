//! What the operator asked for, checked as a whole before anything is touched.
//!
//! In comes a [`RawConfig`]: texts from flags, environment and file. Out goes a [`Config`], whose
//! fields are private: holding one proves that every setting is valid by itself. What is wrong is
//! reported all together, each with key, value and remedy. Whether the servers can do what is
//! asked is not known here; a preflight check finds that out.

pub mod endpoint;
pub mod environment;
mod file;
pub mod keys;
mod opposite;
mod raw;
mod reader;
pub mod secret;
mod selection;

use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use crate::model::selection::Selection;
use crate::model::{
    Code, Disposition, Fault, Halt, OnCreateTable, OnDropColumn, OnDropTable, OnOtherDdl, Position,
    SchemaPolicy,
};
use reader::Reader;

pub use file::{reference, template};
pub use raw::{Origin, Problem, RawConfig};
pub use reader::parse_size;
pub use selection::NamedTables;

/// The file that is read where no other is named.
pub const DEFAULT_FILE: &str = "dunlin.toml";

/// Connections that are not copy jobs: replication, its catalog look-ups, the state, the
/// snapshot's holder.
const SPARE_CONNECTIONS: usize = 4;

/// The source is asked twice a second; a shorter patience would give up a sound connection.
const LEAST_SOURCE_TIMEOUT: Duration = Duration::from_secs(1);

/// Settings that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration file {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// The file is not TOML.
    #[error("{} is not valid TOML at line {line}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// Keys or values are wrong: all of them.
    #[error("{}", enumerate(problems))]
    Invalid {
        /// What is wrong, at least one.
        problems: Vec<Problem>,
    },
}

impl Fault for ConfigError {
    fn disposition(&self) -> Disposition {
        match self {
            ConfigError::Unreadable { .. } => Halt::with(
                Code::ConfigInvalid,
                "name an existing file with --config, or write one: dunlin config init",
            ),
            ConfigError::Syntax { .. } => Halt::with(
                Code::ConfigInvalid,
                "compare it with a fresh one: dunlin config init --stdout",
            ),
            ConfigError::Invalid { .. } => Halt::with(
                Code::ConfigInvalid,
                "every setting is explained by dunlin run --help and in docs/configuration.md",
            ),
        }
    }
}

fn enumerate(problems: &[Problem]) -> String {
    match problems {
        [one] => one.to_string(),
        many => {
            let lines: Vec<_> = many.iter().map(|problem| format!("\n  {problem}")).collect();
            format!("{} settings are wrong:{}", many.len(), lines.concat())
        }
    }
}

/// The form of log lines.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One object per line.
    Json,
}

/// The least level that is logged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LogLevel {
    /// What stops a run.
    Error,
    /// What may need the operator.
    Warn,
    /// What a run does.
    Info,
    /// How it does it.
    Debug,
    /// Every step.
    Trace,
}

/// When to use colour.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ColorChoice {
    /// On a terminal, unless `NO_COLOR` is set.
    Auto,
    /// In any case.
    Always,
    /// In no case.
    Never,
}

/// How progress is shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ProgressChoice {
    /// Bars on a terminal, else plain lines.
    Auto,
    /// Bars.
    Bars,
    /// A log line every few seconds.
    Plain,
    /// Not at all.
    None,
}

/// What is printed, and how.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OutputConfig {
    /// The form of log lines.
    pub log_format: LogFormat,
    /// The least level that is logged.
    pub log_level: LogLevel,
    /// When to use colour.
    pub color: ColorChoice,
    /// How progress is shown.
    pub progress: ProgressChoice,
}

/// Where a migration's state lies: all that `status` needs.
#[derive(Clone)]
pub struct StateConfig {
    source: Option<String>,
    target: String,
    name: String,
    output: OutputConfig,
}

/// Every setting of a migration. Sizes are in bytes.
#[derive(Clone)]
pub struct Config {
    source: String,
    target: String,
    name: String,
    selection: Selection,
    truncate_target: NamedTables,
    insert_only: NamedTables,
    resources: Resources,
    schema_policy: SchemaPolicy,
    target_binlog: bool,
    privileges: bool,
    skip_large_objects: bool,
    snapshot_hold: Duration,
    slot_timeout: Duration,
    may_lock: bool,
    source_timeout: Duration,
    retry_for: Duration,
    retained_wal_warn: Option<u64>,
    retained_wal_halt: Option<u64>,
    output: OutputConfig,
}

#[derive(Clone)]
struct Resources {
    workers: usize,
    build_workers: usize,
    max_connections: usize,
    chunk_size: u64,
    group_size: u64,
    queue_size: u64,
    maintenance_work_mem: u64,
}

/// Brings the three places together: flags over environment over file.
///
/// `file` is the one named by the operator; without one, `dunlin.toml` is read where it exists.
///
/// # Errors
///
/// [`ConfigError::Unreadable`] and [`ConfigError::Syntax`].
pub fn gather(
    flags: RawConfig,
    lookup: impl Fn(&str) -> Option<String>,
    file: Option<&Path>,
) -> Result<RawConfig, ConfigError> {
    let raw = flags.over(RawConfig::from_environment(lookup));
    let path = file.unwrap_or(Path::new(DEFAULT_FILE));
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(raw.over(RawConfig::from_toml(&text, path)?)),
        Err(error) if file.is_none() && error.kind() == io::ErrorKind::NotFound => Ok(raw),
        Err(cause) => Err(ConfigError::Unreadable { path: path.to_owned(), cause }),
    }
}

impl TryFrom<RawConfig> for Config {
    type Error = ConfigError;

    fn try_from(raw: RawConfig) -> Result<Self, ConfigError> {
        let mut reader = Reader::new(&raw);
        let source = reader.endpoint(keys::SOURCE);
        let target = reader.endpoint(keys::TARGET);
        let config = Config {
            source: source.unwrap_or_default(),
            target: target.unwrap_or_default(),
            name: reader.name(),
            selection: reader.selection(),
            truncate_target: reader.named_tables(keys::TRUNCATE_TARGET),
            insert_only: reader.named_tables(keys::INSERT_ONLY),
            resources: Resources::read(&mut reader),
            schema_policy: schema_policy(&mut reader),
            target_binlog: reader.choice(keys::TARGET_BINLOG, &[("on", true), ("off", false)]),
            privileges: reader.switch(keys::PRIVILEGES),
            skip_large_objects: reader.switch(keys::SKIP_LARGE_OBJECTS),
            snapshot_hold: reader.duration(keys::SNAPSHOT_HOLD),
            slot_timeout: reader.duration(keys::SLOT_TIMEOUT),
            may_lock: reader.choice(keys::LOCK, &[("auto", true), ("none", false)]),
            source_timeout: reader.duration(keys::SOURCE_TIMEOUT).max(LEAST_SOURCE_TIMEOUT),
            retry_for: reader.duration(keys::RETRY_FOR),
            retained_wal_warn: reader.limit(keys::RETAINED_WAL_WARN),
            retained_wal_halt: reader.limit(keys::RETAINED_WAL_HALT),
            output: OutputConfig::read(&mut reader),
        };
        reader.finish(config)
    }
}

fn schema_policy(reader: &mut Reader<'_>) -> SchemaPolicy {
    SchemaPolicy {
        on_other_ddl: reader
            .choice(keys::ON_OTHER_DDL, &[("halt", OnOtherDdl::Halt), ("pass", OnOtherDdl::Pass)]),
        on_create_table: reader.choice(
            keys::ON_CREATE_TABLE,
            &[
                ("create", OnCreateTable::Create),
                ("ignore", OnCreateTable::Ignore),
                ("halt", OnCreateTable::Halt),
            ],
        ),
        on_drop_table: reader.choice(
            keys::ON_DROP_TABLE,
            &[
                ("halt", OnDropTable::Halt),
                ("drop", OnDropTable::Drop),
                ("keep", OnDropTable::Keep),
            ],
        ),
        on_drop_column: reader.choice(
            keys::ON_DROP_COLUMN,
            &[
                ("halt", OnDropColumn::Halt),
                ("drop", OnDropColumn::Drop),
                ("keep", OnDropColumn::Keep),
            ],
        ),
        done: Some(reader.text(keys::DDL_DONE)).filter(|place| !place.is_empty()),
    }
}

impl TryFrom<RawConfig> for StateConfig {
    type Error = ConfigError;

    fn try_from(raw: RawConfig) -> Result<Self, ConfigError> {
        let mut reader = Reader::new(&raw);
        let target = reader.endpoint(keys::TARGET);
        let state = StateConfig {
            source: reader.optional_endpoint(keys::SOURCE),
            target: target.unwrap_or_default(),
            name: reader.name(),
            output: OutputConfig::read(&mut reader),
        };
        reader.finish(state)
    }
}

impl TryFrom<&RawConfig> for OutputConfig {
    type Error = ConfigError;

    fn try_from(raw: &RawConfig) -> Result<Self, ConfigError> {
        let mut reader = Reader::new(raw);
        let output = OutputConfig::read(&mut reader);
        reader.finish(output)
    }
}

impl OutputConfig {
    fn read(reader: &mut Reader<'_>) -> Self {
        OutputConfig {
            log_format: reader
                .choice(keys::LOG_FORMAT, &[("text", LogFormat::Text), ("json", LogFormat::Json)]),
            log_level: reader.choice(
                keys::LOG_LEVEL,
                &[
                    ("info", LogLevel::Info),
                    ("error", LogLevel::Error),
                    ("warn", LogLevel::Warn),
                    ("debug", LogLevel::Debug),
                    ("trace", LogLevel::Trace),
                ],
            ),
            color: reader.choice(
                keys::COLOR,
                &[
                    ("auto", ColorChoice::Auto),
                    ("always", ColorChoice::Always),
                    ("never", ColorChoice::Never),
                ],
            ),
            progress: reader.choice(
                keys::PROGRESS,
                &[
                    ("auto", ProgressChoice::Auto),
                    ("bars", ProgressChoice::Bars),
                    ("plain", ProgressChoice::Plain),
                    ("none", ProgressChoice::None),
                ],
            ),
        }
    }
}

impl Resources {
    fn read(reader: &mut Reader<'_>) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let workers = reader.count(keys::WORKERS, 1).unwrap_or(cores.min(4));
        let build_workers = reader.count(keys::BUILD_WORKERS, 1).unwrap_or(workers);
        let most = workers.max(build_workers).saturating_add(SPARE_CONNECTIONS);
        let max_connections = match reader.count(keys::MAX_CONNECTIONS, 0) {
            None | Some(0) => most,
            Some(limit) => limit,
        };
        if max_connections <= SPARE_CONNECTIONS {
            reader.reject(keys::MAX_CONNECTIONS, "must be 0 or at least 5");
        }
        let room = max_connections.saturating_sub(SPARE_CONNECTIONS).max(1);
        let group_size = reader.size(keys::GROUP_SIZE, 64 << 10);
        let queue_size = reader.size(keys::QUEUE_SIZE, 64 << 10);
        if queue_size < group_size {
            reader.reject(keys::QUEUE_SIZE, "must be at least group-size");
        }
        Resources {
            workers: workers.min(room),
            build_workers: build_workers.min(room),
            max_connections,
            chunk_size: reader.size(keys::CHUNK_SIZE, 1 << 20),
            group_size,
            queue_size,
            maintenance_work_mem: reader.size(keys::MAINTENANCE_WORK_MEM, 1 << 20),
        }
    }
}

impl StateConfig {
    /// The source's endpoint, where it was given.
    #[must_use]
    pub fn source(&self) -> Option<&str> {
        self.source.as_deref()
    }

    /// The target's endpoint.
    #[must_use]
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The migration's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What is printed, and how.
    #[must_use]
    pub fn output(&self) -> OutputConfig {
        self.output
    }
}

impl Config {
    /// The source's endpoint.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The target's endpoint.
    #[must_use]
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The migration's name: 1 to 40 of a-z, 0-9 and underscore.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Which tables are moved.
    #[must_use]
    pub fn selection(&self) -> &Selection {
        &self.selection
    }

    /// Tables on the target that are emptied first.
    #[must_use]
    pub fn truncate_target(&self) -> &NamedTables {
        &self.truncate_target
    }

    /// Tables without identity that are accepted because they see only inserts.
    #[must_use]
    pub fn insert_only(&self) -> &NamedTables {
        &self.insert_only
    }

    /// Whether what is written on the target stands in its own binary log.
    #[must_use]
    pub fn target_binlog(&self) -> bool {
        self.target_binlog
    }

    /// What becomes of columns that are dropped on the source.
    #[must_use]
    pub fn on_drop_column(&self) -> OnDropColumn {
        self.schema_policy.on_drop_column
    }

    /// What becomes of changes of definitions.
    #[must_use]
    pub fn schema_policy(&self) -> &SchemaPolicy {
        &self.schema_policy
    }

    /// Copies that run at once; at least 1, and within `max_connections`.
    #[must_use]
    pub fn workers(&self) -> usize {
        self.resources.workers
    }

    /// Indexes built at once; at least 1, and within `max_connections`.
    #[must_use]
    pub fn build_workers(&self) -> usize {
        self.resources.build_workers
    }

    /// The most connections on either server.
    #[must_use]
    pub fn max_connections(&self) -> usize {
        self.resources.max_connections
    }

    /// Table data per chunk, in bytes.
    #[must_use]
    pub fn chunk_size(&self) -> u64 {
        self.resources.chunk_size
    }

    /// The most change data in one group, in bytes.
    #[must_use]
    pub fn group_size(&self) -> u64 {
        self.resources.group_size
    }

    /// The most change data in flight, in bytes; at least `group_size`.
    #[must_use]
    pub fn queue_size(&self) -> u64 {
        self.resources.queue_size
    }

    /// Memory for one index build on the target, in bytes.
    #[must_use]
    pub fn maintenance_work_mem(&self) -> u64 {
        self.resources.maintenance_work_mem
    }

    /// Whether owners and grants are carried over.
    #[must_use]
    pub fn privileges(&self) -> bool {
        self.privileges
    }

    /// Whether large objects are left out.
    #[must_use]
    pub fn skip_large_objects(&self) -> bool {
        self.skip_large_objects
    }

    /// How long the snapshot's holder waits for a run to come back.
    #[must_use]
    pub fn snapshot_hold(&self) -> Duration {
        self.snapshot_hold
    }

    /// How long to wait for the slot to be made.
    #[must_use]
    pub fn slot_timeout(&self) -> Duration {
        self.slot_timeout
    }

    /// Whether the source's tables may be locked.
    #[must_use]
    pub fn may_lock(&self) -> bool {
        self.may_lock
    }

    /// How long the source may be silent.
    #[must_use]
    pub fn source_timeout(&self) -> Duration {
        self.source_timeout
    }

    /// How long to retry what may pass by itself; zero for not at all.
    #[must_use]
    pub fn retry_for(&self) -> Duration {
        self.retry_for
    }

    /// Retained log above which to warn, in bytes; `None` for never.
    #[must_use]
    pub fn retained_wal_warn(&self) -> Option<u64> {
        self.retained_wal_warn
    }

    /// Retained log above which to halt, in bytes; `None` for never.
    #[must_use]
    pub fn retained_wal_halt(&self) -> Option<u64> {
        self.retained_wal_halt
    }

    /// What is printed, and how.
    #[must_use]
    pub fn output(&self) -> OutputConfig {
        self.output
    }
}

/// Where `run` stops.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Until {
    /// When every chunk is copied and every index and constraint is built.
    Snapshot,
    /// When the target has everything that the source had at one moment of the stream.
    CaughtUp,
    /// When the target has everything up to this position.
    Position(Position),
}

impl FromStr for Until {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "snapshot" => Ok(Until::Snapshot),
            "caught-up" => Ok(Until::CaughtUp),
            other => match other.parse() {
                Ok(position) => Ok(Until::Position(position)),
                Err(_) => Err("must be snapshot, caught-up or a log position such as \
                               1A/2B3C4D5E (Postgres), a GTID set (MySQL) or a GTID list \
                               (MariaDB)"
                    .to_owned()),
            },
        }
    }
}

#[cfg(test)]
mod tests;
