//! What it means that a server refuses a dump of its binary log, or ends one.
//!
//! In: the message of error 1236 (`ER_SOURCE_FATAL_ERROR_READING_BINLOG`), or MariaDB's 4052
//! (`ER_SLAVE_SAME_ID`), by which servers say everything that may be wrong with a dump. Out: what follows.
//! The messages are not translated; they are those of rpl_binlog_sender.cc and messages_to_error_log.txt in MySQL, and of sql_repl.cc
//! in MariaDB.

use crate::model::{Code, Disposition, Halt};

/// Another replica has our number: the next attempt takes another.
const SAME_NUMBER: &[&str] = &["same server_uuid/server_id", "same server_id"];

const TOO_LARGE: &[&str] = &["max_allowed_packet"];

/// The server does not have what the target has already.
const DIVERGED: &[&str] = &["more GTIDs than", "not in the master's binlog", "not found in binlog"];

/// What is on the server's disk cannot be read.
const DAMAGED: &[&str] = &["bogus data", "truncated in the middle", "checksum", "read error"];

pub(super) fn disposition(message: &str) -> Disposition {
    let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
    if says(SAME_NUMBER) {
        Disposition::Retry
    } else if says(TOO_LARGE) {
        super::too_large()
    } else if says(DIVERGED) {
        Halt::with(
            Code::SourceTimeline,
            "the source does not have transactions that are on the target: where it is a replica that \
             lags, wait for it and run the same command again; where it was restored, reset or \
             promoted without them, begin anew: `dunlin complete`, then `dunlin run \
             --truncate-target '*'`",
        )
    } else if says(DAMAGED) {
        Halt::with(
            Code::LogUnreadable,
            "run the same command again; where it stops at the same place, the source's log is damaged \
             there (mysqlbinlog --verify-binlog-checksum): begin anew with `dunlin complete`, then \
             `dunlin run --truncate-target '*'`",
        )
    } else {
        Halt::with(
            Code::LogPurged,
            "begin anew: `dunlin complete`, then `dunlin run --truncate-target '*'`; and have the \
             source keep its log for longer: SET GLOBAL binlog_expire_logs_seconds = 604800",
        )
    }
}
