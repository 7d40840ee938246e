//! What follows from a server's numbers, and what is left of its messages.

use super::*;

fn halted(number: u16, state: &str) -> Option<Code> {
    match ServerError::new(number, state, "").disposition() {
        Disposition::Retry => None,
        Disposition::Halt(halt) => Some(halt.code),
    }
}

#[test]
fn the_number_decides() {
    for number in [1040, 1053, 1205, 1213, 1317, 1927, 2006, 2013, 4031] {
        assert_eq!(halted(number, "HY000"), None, "{number}");
    }
    assert_eq!(halted(1045, "28000"), Some(Code::AuthFailed));
    assert_eq!(halted(1049, "42000"), Some(Code::DatabaseMissing));
    assert_eq!(halted(1062, "23000"), Some(Code::TargetRefused));
    assert_eq!(halted(1114, "HY000"), Some(Code::TargetDiskFull));
    assert_eq!(halted(1142, "42000"), Some(Code::PrivilegeMissing));
    assert_eq!(halted(1153, "08S01"), Some(Code::ValueTooLarge));
    assert_eq!(halted(1300, "HY000"), Some(Code::TargetRefused));
    assert_eq!(halted(1366, "HY000"), Some(Code::TargetRefused));
    assert_eq!(halted(3819, "HY000"), Some(Code::TargetRefused));
    assert_eq!(halted(3159, "HY000"), Some(Code::TlsFailed));
    assert_eq!(halted(1146, "42S02"), Some(Code::StatementFailed));
}

#[test]
fn only_the_option_that_forbids_writes_is_about_writes() {
    let text = "The MySQL server is running with the --super-read-only option so it cannot execute \
                this statement";
    let read_only = ServerError::new(1290, "HY000", text).disposition();
    assert!(matches!(read_only, Disposition::Halt(halt) if halt.code == Code::TargetReadOnly));
    let text = "The MySQL server is running with the --secure-file-priv option";
    let other = ServerError::new(1290, "HY000", text).disposition();
    assert!(matches!(other, Disposition::Halt(halt) if halt.code == Code::StatementFailed));
}

#[test]
fn messages_lose_values_and_keep_names() {
    let told = |number, message: &str| ServerError::new(number, "HY000", message).message;
    assert_eq!(
        told(1062, "Duplicate entry 'hush for key 1' for key 'accounts.PRIMARY'"),
        "Duplicate entry for key 'accounts.PRIMARY'"
    );
    assert_eq!(
        told(1366, "Incorrect string value: '\\xF0hush' for column 'name' at row 1"),
        "Incorrect string value for column 'name' at row 1"
    );
    assert_eq!(
        told(1064, "You have an error in your SQL syntax; check … to use near 'hush' at line 7"),
        "You have an error in your SQL syntax; check … to use at line 7"
    );
    assert_eq!(
        told(1292, "Truncated incorrect DOUBLE value: 'hush'"),
        "Truncated incorrect DOUBLE value"
    );
    assert_eq!(
        told(1690, "BIGINT value is out of range in '(1 + hush)'"),
        "BIGINT value is out of range"
    );
    assert_eq!(
        told(1146, "Table 'shop.orders' doesn't exist"),
        "Table 'shop.orders' doesn't exist"
    );
}

#[test]
fn a_message_is_told_with_its_numbers() {
    let error = ServerError::new(1049, "42000", "Unknown database 'shop'");
    assert_eq!(error.to_string(), "Unknown database 'shop' (error 1049, SQLSTATE 42000)");
}

#[test]
fn a_dump_that_is_refused_says_why_in_words() {
    let code = |message: &str| match ServerError::new(1236, "HY000", message).disposition() {
        Disposition::Retry => None,
        Disposition::Halt(halt) => Some(halt.code),
    };
    for (message, expected) in [
        (
            "A replica with the same server_uuid/server_id as this replica has connected to the source",
            None,
        ),
        ("A slave with the same server_id is already connected", None),
        (
            "Cannot replicate because the source purged required binary logs. Replicate the missing",
            Some(Code::LogPurged),
        ),
        ("Could not find first log file name in binary log index file", Some(Code::LogPurged)),
        (
            "Could not find GTID state requested by slave in any binlog files. Probably the slave",
            Some(Code::LogPurged),
        ),
        (
            "Client requested source to start replication from position > file size",
            Some(Code::LogPurged),
        ),
        (
            "Replica has more GTIDs than the source has, using the source's SERVER_UUID.",
            Some(Code::SourceTimeline),
        ),
        (
            "Error: connecting slave requested to start from GTID 0-1-5, which is not in the master's binlog",
            Some(Code::SourceTimeline),
        ),
        ("bogus data in log event; the first event 'b.1' at 4", Some(Code::LogUnreadable)),
        (
            "log event entry exceeded max_allowed_packet; Increase max_allowed_packet on source",
            Some(Code::ValueTooLarge),
        ),
    ] {
        assert_eq!(code(message), expected, "{message}");
    }
}
