//! What the source's server says about itself.
//!
//! In: its variables and its status. Out: plain values for the checks, the identity and the position.
//! Names of variables differ between servers and versions; what a server does not know is absent,
//! never a guess.

use std::collections::HashMap;

use super::binlog::CharacterSets;
use super::control::{Control, TextRow};
use super::error::SourceError;
use crate::connect::mysql::Flavour;
use crate::model::{BinlogPosition, Failure, Position};

/// A server's global variables that matter here, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Settings(HashMap<String, String>);

/// The statement whose rows they are.
pub(super) const SETTINGS: &str = include_str!("../../../sql/mysql/source_settings.sql");

impl Settings {
    pub(super) async fn read(control: &Control) -> Result<Self, Failure> {
        let rows = control.rows(SETTINGS, "read the server's settings").await?;
        Ok(Settings::of(rows.iter().map(|row| (row.text(0), row.text(1)))))
    }

    /// Out of names and values.
    pub(super) fn of(pairs: impl IntoIterator<Item = (String, String)>) -> Self {
        let lower = |(name, value): (String, String)| (name.to_ascii_lowercase(), value);
        Settings(pairs.into_iter().map(lower).collect())
    }

    /// The server's name for itself, which is one of its own among those that have the same data. MySQL
    /// refuses to replicate between two with the same; MariaDB has none, and `server_uid` only in some
    /// versions.
    pub(super) fn server(&self) -> String {
        let own = |name| self.text(name);
        match (own("server_uuid"), own("server_uid")) {
            ("", uid) => {
                let (host, port, id) = (own("hostname"), own("port"), own("server_id"));
                let uid = if uid.is_empty() { String::new() } else { format!(", {uid}") };
                format!("{host}:{port}, server {id}{uid}")
            }
            (uuid, _) => uuid.to_owned(),
        }
    }

    /// Its value; empty where the server has no such variable.
    pub(super) fn text(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    pub(super) fn is(&self, name: &str, value: &str) -> bool {
        self.text(name).eq_ignore_ascii_case(value)
    }

    /// Whether it is switched on.
    pub(super) fn on(&self, name: &str) -> bool {
        self.is(name, "ON") || self.is(name, "1")
    }

    /// None where there is no such variable, or it is no number.
    pub(super) fn number(&self, name: &str) -> Option<u64> {
        let text = self.text(name);
        text.split('.').next().and_then(|whole| whole.parse().ok())
    }

    #[cfg(test)]
    pub(super) fn these(pairs: &[(&str, &str)]) -> Self {
        Settings::of(pairs.iter().map(|&(name, value)| (name.into(), value.into())))
    }
}

/// By what the source's log is positioned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Positioning {
    /// By the set of MySQL's GTIDs.
    Gtid,
    /// By MariaDB's list of GTIDs.
    MariaGtid,
    /// By file and offset.
    File,
}

impl Positioning {
    pub(super) fn of(flavour: Flavour, settings: &Settings) -> Self {
        match flavour {
            Flavour::MariaDb => Positioning::MariaGtid,
            Flavour::MySql if settings.on("gtid_mode") => Positioning::Gtid,
            Flavour::MySql => Positioning::File,
        }
    }
}

/// What stands in the place of one cluster's identifier where any server of it may be read from:
/// the checkpoint's GTIDs tell whether it belongs to it.
const BY_GTID: &str = "of shared GTIDs";

/// What tells one source from every other: cluster, and server within it.
pub(super) fn identity(positioning: Positioning, settings: &Settings) -> (String, String) {
    let server = settings.server();
    match positioning {
        Positioning::Gtid | Positioning::MariaGtid => (BY_GTID.to_owned(), server),
        Positioning::File => (server.clone(), server),
    }
}

/// The end of the log as far as its transactions can be seen.
pub(super) async fn position(
    control: &Control,
    positioning: Positioning,
) -> Result<Position, Failure> {
    let doing = "read the end of the binary log";
    match positioning {
        Positioning::Gtid => {
            let text = "SELECT @@GLOBAL.gtid_executed";
            gtid_set(&control.one(text, doing).await?.text(0))
        }
        Positioning::MariaGtid => {
            let text = "SELECT @@GLOBAL.gtid_binlog_pos";
            maria_list(&control.one(text, doing).await?.text(0))
        }
        Positioning::File => {
            let server_uuid = control.one("SELECT @@GLOBAL.server_uuid", doing).await?.text(0);
            let status = log_status(control).await?;
            let place = BinlogPosition::new(&server_uuid, &status.file, status.offset);
            Ok(Position::Binlog(place))
        }
    }
}

/// Everything that can be seen by now, and perhaps more: what has been executed, and before that what
/// has a name.
pub(super) async fn named(control: &Control) -> Result<Position, Failure> {
    let doing = "read which transactions have names";
    let owned = control.one("SELECT @@GLOBAL.gtid_owned", doing).await?.text(0);
    let executed = control.one("SELECT @@GLOBAL.gtid_executed", doing).await?.text(0);
    let owned = owned_set(&owned).ok_or(SourceError::Answer { asked: "gtid_owned" })?;
    gtid_set(&format!("{executed},{owned}"))
}

/// A set out of `UUID[:TAG]:NUMBER#SESSION[:NUMBER#SESSION...]`, where the next UUID follows without
/// anything in between (`Owned_gtids::to_string` in rpl_gtid.h): it begins eight digits before a dash.
fn owned_set(text: &str) -> Option<String> {
    let mut parts = Vec::new();
    let mut rest = text;
    while !rest.trim().is_empty() {
        let source = rest.get(rest.find('-')?.checked_sub(8)?..)?;
        let (uuid, behind) = source.split_at_checked(36)?;
        let end = match behind.find('-') {
            Some(dash) => dash.checked_sub(8)?,
            None => behind.len(),
        };
        let numbers = behind.get(..end)?.split(':');
        let bare: Vec<&str> =
            numbers.map(|number| number.split('#').next().unwrap_or("")).collect();
        parts.push(format!("{uuid}{}", bare.join(":")));
        rest = &behind[end..];
    }
    Some(parts.join(","))
}

/// Reads a set of MySQL's GTIDs as the server prints it, over several lines where it is long.
pub(super) fn gtid_set(text: &str) -> Result<Position, Failure> {
    let bare: String = text.split_whitespace().collect();
    let set = bare.parse().map_err(|_| SourceError::Answer { asked: "gtid_executed" })?;
    Ok(Position::MySql(set))
}

/// Reads a list of MariaDB's GTIDs.
pub(super) fn maria_list(text: &str) -> Result<Position, Failure> {
    let list = text.trim().parse();
    Ok(Position::MariaDb(list.map_err(|_| SourceError::Answer { asked: "gtid_binlog_pos" })?))
}

/// Where the binary log ends, and what it leaves out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct LogStatus {
    pub(super) file: String,
    pub(super) offset: u64,
    /// `binlog-do-db`.
    pub(super) only: String,
    /// `binlog-ignore-db`.
    pub(super) without: String,
}

/// Reads it.
///
/// # Errors
///
/// Where the binary log is off, or the privilege is missing.
pub(super) async fn log_status(control: &Control) -> Result<LogStatus, Failure> {
    let version = control.version();
    let text = match version.flavour {
        Flavour::MySql if version.number >= 80_200 => "SHOW BINARY LOG STATUS",
        Flavour::MySql | Flavour::MariaDb => "SHOW MASTER STATUS",
    };
    let rows = control.rows(text, "read the end of the binary log").await?;
    let row = rows.first().ok_or(SourceError::Answer { asked: text })?;
    Ok(LogStatus {
        file: row.text(0),
        offset: row.number(1),
        only: row.text(2),
        without: row.text(3),
    })
}

/// The character sets that the numbers of collations stand for in the log.
pub(super) async fn character_sets(control: &Control) -> Result<CharacterSets, Failure> {
    let version = control.version();
    // There, collations that belong to several sets have no number of their own.
    let by_set = version.flavour == Flavour::MariaDb && version.number >= 101_001;
    let list = if by_set { "COLLATION_CHARACTER_SET_APPLICABILITY" } else { "COLLATIONS" };
    let text = format!(
        "SELECT ID, CHARACTER_SET_NAME FROM information_schema.{list} WHERE ID IS NOT NULL"
    );
    let rows = control.rows(&text, "read the source's collations").await?;
    let number = |row: &TextRow| u32::try_from(row.number(0)).ok();
    Ok(rows.iter().filter_map(|row| Some((number(row)?, row.text(1)))).collect())
}

/// The size of all files of the binary log that there are.
pub(super) async fn log_bytes(control: &Control) -> Result<u64, Failure> {
    let files = control.rows("SHOW BINARY LOGS", "read the size of the binary log").await?;
    Ok(files.iter().map(|file| file.number(1)).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_does_not_know_is_absent() {
        let settings =
            Settings::these(&[("log_bin", "ON"), ("binlog_expire_logs_seconds", "864.5")]);
        assert!(settings.on("log_bin") && !settings.on("gtid_mode") && !settings.has("gtid_mode"));
        assert_eq!(settings.number("binlog_expire_logs_seconds"), Some(864));
        assert_eq!(settings.number("server_id"), None);
    }

    #[test]
    fn names_that_are_owned_make_a_set() {
        let [one, other] =
            ["22097a16-e77a-11f1-9eb5-02fc00000001", "bbbbbbbb-aaaa-aaaa-aaaa-aaaaaaaaaaaa"];
        let owned = format!("{one}:7#12:5#11{one}:tag1:9#14{other}:1#13");
        let set = owned_set(&owned).unwrap();
        assert_eq!(set, format!("{one}:7:5,{one}:tag1:9,{other}:1"));
        let expected = gtid_set(&format!("{one}:5:7:tag1:9,{other}:1")).unwrap();
        assert_eq!(gtid_set(&format!(",{set}")).unwrap(), expected);
        assert_eq!(owned_set("").as_deref(), Some(""));
        for wrong in ["7#12", "a-b", "22097a16-e77a"] {
            assert_eq!(owned_set(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn servers_that_share_gtids_are_one_cluster() {
        let settings = Settings::these(&[("server_uuid", "u1"), ("gtid_mode", "ON")]);
        let gtid = Positioning::of(Flavour::MySql, &settings);
        assert_eq!(identity(gtid, &settings), (BY_GTID.to_owned(), "u1".to_owned()));
        let settings = Settings::these(&[("server_uuid", "u1"), ("gtid_mode", "OFF_PERMISSIVE")]);
        let file = Positioning::of(Flavour::MySql, &settings);
        assert_eq!(identity(file, &settings), ("u1".to_owned(), "u1".to_owned()));
        let settings = Settings::these(&[("server_id", "7"), ("hostname", "db"), ("port", "3306")]);
        let maria = Positioning::of(Flavour::MariaDb, &settings);
        assert_eq!(identity(maria, &settings).1, "db:3306, server 7");
    }
}
