//! Every setting, described once.
//!
//! The flags, the environment variables, the keys of `dunlin.toml`, the file that `config init`
//! writes and `docs/configuration.md` are all made from this table, so they cannot disagree. It
//! knows names, defaults and words; what a value means is decided in the parent module.

/// A setting.
#[derive(Debug)]
pub struct Key {
    /// Its name in `dunlin.toml`, and after `--` as a flag.
    pub name: &'static str,
    /// What it belongs to.
    pub section: Section,
    /// How many values it takes.
    pub kind: Kind,
    /// What stands for the value in help texts.
    pub placeholder: &'static str,
    /// The value where nobody set one; empty where there is none.
    pub default: &'static str,
    /// What it does: whole sentences, the unit included.
    pub help: &'static str,
}

/// What a setting belongs to: a heading in help texts and in the file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Section {
    /// Which servers, and the migration's name.
    Servers,
    /// Which tables.
    Selection,
    /// How much at once.
    Resources,
    /// What is carried over, and how.
    Contents,
    /// When to warn, to wait and to give up.
    Protection,
    /// What is printed.
    Output,
}

impl Section {
    /// All sections in the order in which they are shown.
    pub const ALL: &[Section] = &[
        Section::Servers,
        Section::Selection,
        Section::Resources,
        Section::Contents,
        Section::Protection,
        Section::Output,
    ];

    /// The heading.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Section::Servers => "Servers",
            Section::Selection => "Selection",
            Section::Resources => "Resources",
            Section::Contents => "Contents",
            Section::Protection => "Protection",
            Section::Output => "Output",
        }
    }
}

/// How many values a setting takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// One text.
    Text,
    /// One text that may hold a password and is never printed.
    Secret,
    /// One number, written without quotes in the file.
    Number,
    /// true or false; the flag alone means true.
    Switch,
    /// Any number of texts.
    List,
}

impl Key {
    /// The environment variable: `chunk-size` is read from `DUNLIN_CHUNK_SIZE`.
    #[must_use]
    pub fn variable(&self) -> String {
        format!("DUNLIN_{}", self.name.to_uppercase().replace('-', "_"))
    }

    /// The key of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Key> {
        KEYS.iter().copied().find(|key| key.name == name)
    }

    /// The key whose name is closest to a mistyped one, where one is close at all.
    #[must_use]
    pub fn nearest(name: &str) -> Option<&'static Key> {
        let typed = name.to_lowercase().replace('_', "-");
        KEYS.iter()
            .copied()
            .map(|key| (edit_distance(&typed, key.name), key))
            .min_by_key(|(distance, _)| *distance)
            .filter(|(distance, key)| *distance <= key.name.len().div_ceil(3))
            .map(|(_, key)| key)
    }
}

/// Number of single-character edits between two words (Levenshtein).
fn edit_distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in right.iter().enumerate() {
            let substituted = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[right.len()]
}

macro_rules! keys {
    ($($constant:ident = $name:literal, $section:ident, $kind:ident, $placeholder:literal,
       $default:literal: $help:literal;)+) => {
        $(#[doc = $help]
        pub const $constant: &Key = &Key {
            name: $name,
            section: Section::$section,
            kind: Kind::$kind,
            placeholder: $placeholder,
            default: $default,
            help: $help,
        };)+

        /// Every setting there is, in the order in which they are shown.
        pub const KEYS: &[&Key] = &[$($constant,)+];
    };
}

keys! {
    SOURCE = "source", Servers, Secret, "URL", "":
        "The database to move: a libpq URI or keywords, or a mysql:// or mariadb:// URL. PG* \
         variables and ~/.pgpass, or ~/.my.cnf and MYSQL_* variables, fill in what it leaves out; \
         write passwords as ${env:NAME} or ${file:PATH}.";
    TARGET = "target", Servers, Secret, "URL", "":
        "The database to move it to, in the same form.";
    NAME = "name", Servers, Text, "NAME", "dunlin":
        "The migration's name, which is also the name of its slot and publication: 1 to 40 of \
         a-z, 0-9 and _. One server can take part in several migrations of different names.";

    INCLUDE = "include", Selection, List, "PATTERN", "":
        "Tables to move, as globs on schema.table; a pattern without a dot means tables of any \
         schema. Everything is moved where neither this nor include-schema is given.";
    EXCLUDE = "exclude", Selection, List, "PATTERN", "":
        "Tables to leave out, in the same form. Stronger than every include.";
    INCLUDE_SCHEMA = "include-schema", Selection, List, "PATTERN", "":
        "Schemas to move with all their tables, as globs.";
    EXCLUDE_SCHEMA = "exclude-schema", Selection, List, "PATTERN", "":
        "Schemas to leave out with all their tables, as globs. Stronger than every include.";
    PARTITIONS = "partitions", Selection, Text, "UNIT", "leaves":
        "What partitioned tables are moved by: leaves (each partition as a table; the target is \
         partitioned alike) or root (each as one table, from Postgres 13 on; the target's may be \
         partitioned otherwise or not at all).";

    WORKERS = "workers", Resources, Number, "COUNT", "":
        "Copies that run at once during the snapshot. The default is one per core, at most 4.";
    BUILD_WORKERS = "build-workers", Resources, Number, "COUNT", "":
        "Indexes and constraints that are built at once on the target. The default is the number \
         of workers.";
    MAX_CONNECTIONS = "max-connections", Resources, Number, "COUNT", "0":
        "The most connections that dunlin opens on either server, at least 5: four for itself, the \
         others for workers. 0 means as many as it needs: the greater of workers and \
         build-workers, plus 4.";
    CHUNK_SIZE = "chunk-size", Resources, Text, "SIZE", "128MiB":
        "Table data per chunk: the unit that one worker copies and that is repeated after an \
         interruption. At least 1MiB.";
    GROUP_SIZE = "group-size", Resources, Text, "SIZE", "8MiB":
        "The most change data that is applied in one target transaction, unless a single source \
         transaction is larger. At least 64KiB.";
    QUEUE_SIZE = "queue-size", Resources, Text, "SIZE", "16MiB":
        "The most change data held in memory between the source and the target. At least \
         group-size.";
    MAINTENANCE_WORK_MEM = "maintenance-work-mem", Resources, Text, "SIZE", "512MiB":
        "Postgres: the target's maintenance_work_mem while indexes are built. Each of the build-workers may \
         use that much of the target's memory. At least 1MiB.";

    TRUNCATE_TARGET = "truncate-target", Contents, List, "PATTERN", "":
        "Tables on the target that may hold rows already and are emptied first, as globs. Any \
         other table with rows is an error.";
    INSERT_ONLY = "insert-only", Contents, List, "PATTERN", "":
        "Tables without replica identity that are accepted because they see only inserts, as \
         globs. An update or delete of one stops the run.";
    ON_DROP_COLUMN = "on-drop-column", Contents, Text, "WHAT", "halt":
        "What becomes of a column of the target that is dropped on the source during the migration: \
         halt (say so and stop before the first row without it, which is the default because what \
         is dropped is not to be had again), drop (drop it too), or keep (leave it; later rows have \
         its default in it; MySQL and MariaDB: halts).";
    ON_OTHER_DDL = "on-other-ddl", Contents, Text, "WHAT", "halt":
        "MySQL and MariaDB: what becomes of a definition in the log that is not understood and may \
         concern the tables: halt, or pass (go on without it, and say so).";
    ON_CREATE_TABLE = "on-create-table", Contents, Text, "WHAT", "create":
        "MySQL and MariaDB: what becomes of a selected table that is made on the source during the \
         migration: create (make it on the target and follow it), ignore (leave it out, and say \
         so), or halt.";
    ON_DROP_TABLE = "on-drop-table", Contents, Text, "WHAT", "halt":
        "MySQL and MariaDB: what becomes of the target's table where the source's is dropped, or \
         renamed so that it is not selected any more: halt (the default because what is dropped is \
         not to be had again), drop (do the same on the target), or keep (leave it as it is, and \
         follow it no more).";
    TARGET_BINLOG = "target-binlog", Contents, Text, "WHAT", "on":
        "MySQL and MariaDB: whether what dunlin writes stands in the target's own binary log: on, or \
         off, which is faster, and right where nothing reads that log: no replica of the target, and \
         no restore from it. Off takes SESSION_VARIABLES_ADMIN on the target (MariaDB: BINLOG ADMIN).";
    DDL_DONE = "ddl-done", Contents, Text, "PLACE", "":
        "MySQL and MariaDB: the place (as the halt said it) of a definition in the log that you \
         have carried out on the target yourself, or do not want there.";
    PRIVILEGES = "privileges", Contents, Switch, "BOOL", "false":
        "Postgres: carry owners and grants over. The roles must exist on the target.";
    SKIP_LARGE_OBJECTS = "skip-large-objects", Contents, Switch, "BOOL", "false":
        "Postgres: leave large objects out. They are copied once otherwise; the log does not carry later \
         changes to them.";

    SNAPSHOT_HOLD = "snapshot-hold", Protection, Text, "DURATION", "30m":
        "Postgres: how long the snapshot stays open on the source for an interrupted run to come \
         back to. While it is open, vacuum on the source removes nothing newer.";
    SLOT_TIMEOUT = "slot-timeout", Protection, Text, "DURATION", "60s":
        "How long to wait for the replication slot, which cannot be made before the transactions \
         that run at that moment have ended; on MySQL and MariaDB for the lock of the snapshot, or \
         for the transactions that it waits for.";
    LOCK = "lock", Protection, Text, "HOW", "auto":
        "MySQL and MariaDB: auto (the source's tables are locked for the milliseconds in which the \
         snapshot is taken), or none (never, which takes MariaDB, or MySQL with GTIDs and a key on every \
         table). Postgres takes its snapshot without a lock.";
    SOURCE_TIMEOUT = "source-timeout", Protection, Text, "DURATION", "2m":
        "How long the source may send nothing on the stream, though it is asked twice a second, \
         before the connection is made anew. At least 1s.";
    RETRY_FOR = "retry-for", Protection, Text, "DURATION", "10m":
        "How long to go on retrying while a server cannot be reached. 0s means not at all.";
    RETAINED_WAL_WARN = "retained-wal-warn", Protection, Text, "SIZE", "10GiB":
        "Postgres: warn when the slot retains more log than this on the source. 0 means never.";
    RETAINED_WAL_HALT = "retained-wal-halt", Protection, Text, "SIZE", "0":
        "Postgres: halt when the slot retains more log than this on the source. 0 means never, which is the \
         default because the slot goes on retaining log while dunlin is stopped: only dunlin \
         complete, or catching up, gives the space back.";

    LOG_FORMAT = "log-format", Output, Text, "FORMAT", "text":
        "The form of log lines: text or json. They go to stderr.";
    LOG_LEVEL = "log-level", Output, Text, "LEVEL", "info":
        "The least level that is logged: error, warn, info, debug or trace.";
    COLOR = "color", Output, Text, "WHEN", "auto":
        "When to use colour: auto (on a terminal, unless NO_COLOR is set), always or never.";
    PROGRESS = "progress", Output, Text, "FORM", "auto":
        "How progress is shown: bars, plain (a log line every few seconds), none, or auto (bars \
         on a terminal, else plain).";
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_are_unique_and_plain() {
        let names: HashSet<_> = KEYS.iter().map(|key| key.name).collect();
        assert_eq!(names.len(), KEYS.len());
        let plain = |name: &str| name.chars().all(|c| c.is_ascii_lowercase() || c == '-');
        assert!(names.into_iter().all(plain));
    }

    #[test]
    fn a_mistyped_key_finds_its_neighbour_and_nonsense_does_not() {
        assert_eq!(Key::nearest("chunksize").map(|key| key.name), Some("chunk-size"));
        assert_eq!(Key::nearest("chunk_size").map(|key| key.name), Some("chunk-size"));
        assert_eq!(Key::nearest("worker").map(|key| key.name), Some("workers"));
        assert_eq!(Key::nearest("zzzzzzzzzz").map(|key| key.name), None);
    }

    #[test]
    fn variables_are_upper_case() {
        assert_eq!(CHUNK_SIZE.variable(), "DUNLIN_CHUNK_SIZE");
    }
}
