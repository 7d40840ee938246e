//! What the source's server says about itself.
//!
//! In: its variables and its status. Out: plain values for the checks, the identity and the position.
//! Names of variables differ between servers and versions; what a server does not know is absent,
//! never a guess.

use std::collections::HashMap;

use super::control::Control;
use super::error::SourceError;
use crate::connect::mysql::Flavour;
use crate::model::{BinlogPosition, Failure, Position};

/// A server's global variables that matter here, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Settings(HashMap<String, String>);

impl Settings {
    pub(super) async fn read(control: &Control) -> Result<Self, Failure> {
        let text = include_str!("../../../sql/mysql/source_settings.sql");
        let rows = control.rows(text, "read the server's settings").await?;
        Ok(Settings(
            rows.iter().map(|row| (row.text(0).to_ascii_lowercase(), row.text(1))).collect(),
        ))
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
    pub(super) fn of(pairs: &[(&str, &str)]) -> Self {
        Settings(pairs.iter().map(|&(name, value)| (name.into(), value.into())).collect())
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
    let server = match settings.text("server_uuid") {
        "" => format!("server {} at port {}", settings.text("server_id"), settings.text("port")),
        uuid => uuid.to_owned(),
    };
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_does_not_know_is_absent() {
        let settings = Settings::of(&[("log_bin", "ON"), ("binlog_expire_logs_seconds", "864.5")]);
        assert!(settings.on("log_bin") && !settings.on("gtid_mode") && !settings.has("gtid_mode"));
        assert_eq!(settings.number("binlog_expire_logs_seconds"), Some(864));
        assert_eq!(settings.number("server_id"), None);
    }

    #[test]
    fn servers_that_share_gtids_are_one_cluster() {
        let settings = Settings::of(&[("server_uuid", "u1"), ("gtid_mode", "ON")]);
        let gtid = Positioning::of(Flavour::MySql, &settings);
        assert_eq!(identity(gtid, &settings), (BY_GTID.to_owned(), "u1".to_owned()));
        let settings = Settings::of(&[("server_uuid", "u1"), ("gtid_mode", "OFF_PERMISSIVE")]);
        let file = Positioning::of(Flavour::MySql, &settings);
        assert_eq!(identity(file, &settings), ("u1".to_owned(), "u1".to_owned()));
        let settings = Settings::of(&[("server_id", "7"), ("port", "3306")]);
        let maria = Positioning::of(Flavour::MariaDb, &settings);
        assert_eq!(identity(maria, &settings).1, "server 7 at port 3306");
    }
}
