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
