//! What a Postgres server's error means, and how it is told.
//!
//! In: an error of the driver or an `ErrorResponse`. Out: a [`ServerError`] that can be printed
//! (severity, message, SQLSTATE, the objects' names, but neither `DETAIL` nor `CONTEXT`, which
//! quote rows), and what follows from its SQLSTATE. It does not know what was attempted: the
//! caller says it.

use crate::model::{Code, Disposition, Fault, Halt};
use postgres_protocol::message::backend::ErrorFields;
use std::error::Error;
use std::fmt;
use std::io;
use tokio_postgres::error::DbError;

/// An error or notice as the server sent it, less what may hold row data.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct ServerError {
    /// `ERROR`, `FATAL`, `PANIC`, `NOTICE`…
    pub severity: String,
    /// The SQLSTATE.
    pub code: String,
    /// The primary message.
    pub message: String,
    /// What the server suggests.
    pub hint: Option<String>,
    /// The schema it concerns.
    pub schema: Option<String>,
    /// The table it concerns.
    pub table: Option<String>,
    /// The column it concerns.
    pub column: Option<String>,
    /// The constraint it concerns.
    pub constraint: Option<String>,
}

impl ServerError {
    /// Reads the fields of an `ErrorResponse` or a `NoticeResponse`. A database in SQL_ASCII may
    /// send text that is not UTF-8; such characters are replaced.
    ///
    /// # Errors
    ///
    /// The body is not made of fields.
    pub fn read(fields: &mut ErrorFields<'_>) -> io::Result<Self> {
        use tokio_postgres::fallible_iterator::FallibleIterator;
        let mut error = ServerError::default();
        while let Some(field) = fields.next()? {
            let text = String::from_utf8_lossy(field.value_bytes()).into_owned();
            match field.type_() {
                b'V' => error.severity = text,
                b'S' if error.severity.is_empty() => error.severity = text,
                b'C' => error.code = text,
                b'M' => error.message = text,
                b'H' => error.hint = Some(text),
                b's' => error.schema = Some(text),
                b't' => error.table = Some(text),
                b'c' => error.column = Some(text),
                b'n' => error.constraint = Some(text),
                _ => {}
            }
        }
        Ok(error)
    }
}

impl From<&DbError> for ServerError {
    fn from(error: &DbError) -> Self {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        ServerError {
            severity: error.severity().to_owned(),
            code: error.code().code().to_owned(),
            message: error.message().to_owned(),
            hint: owned(error.hint()),
            schema: owned(error.schema()),
            table: owned(error.table()),
            column: owned(error.column()),
            constraint: owned(error.constraint()),
        }
    }
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} (SQLSTATE {}", self.severity, self.message, self.code)?;
        match (&self.schema, &self.table) {
            (Some(schema), Some(table)) => write!(f, ", table {schema}.{table}")?,
            (None, Some(table)) => write!(f, ", table {table}")?,
            (_, None) => {}
        }
        if let Some(column) = &self.column {
            write!(f, ", column {column}")?;
        }
        if let Some(constraint) = &self.constraint {
            write!(f, ", constraint {constraint}")?;
        }
        f.write_str(")")?;
        match &self.hint {
            Some(hint) => write!(f, "; the server suggests: {hint}"),
            None => Ok(()),
        }
    }
}

impl Error for ServerError {}

impl ServerError {
    /// What follows from the SQLSTATE. Source of the codes: the Postgres manual, "PostgreSQL
    /// Error Codes".
    #[must_use]
    pub fn disposition(&self) -> Disposition {
        match self.code.as_str() {
            // Shut down, crashed, starting up; sessions ended by their time-outs; no room; lost
            // against another transaction; a lock that was not to be had; an object, such as a
            // slot, that somebody still uses.
            "57P01" | "57P02" | "57P03" | "57P04" | "57P05" | "25P03" | "25P04" | "53300"
            | "40001" | "40P01" | "55P03" | "55006" => Disposition::Retry,
            code if code.starts_with("08") => Disposition::Retry,
            "53100" => Halt::with(
                Code::TargetDiskFull,
                "free or add disk space on that server, then run the same command again",
            ),
            "28000" | "28P01" => Halt::with(
                Code::AuthFailed,
                "check the user, the password and the server's pg_hba.conf",
            ),
            "3D000" => Halt::with(Code::DatabaseMissing, "create the database, or name another"),
            "42501" => {
                Halt::with(Code::PrivilegeMissing, "run `dunlin grants` and execute what it prints")
            }
            "25006" => Halt::with(
                Code::TargetReadOnly,
                "name a server that takes writes, or end its read-only mode",
            ),
            "22021" => Halt::with(
                Code::TargetRefused,
                "a text, of a source in SQL_ASCII say, is not valid in the target's encoding: \
                 mend it on the source, then `dunlin complete`, empty the target's database and \
                 run anew; or move to a database in SQL_ASCII",
            ),
            "23505" => Halt::with(
                Code::TargetRefused,
                "a row came twice, somebody else wrote to the target, or the target has a unique \
                 constraint that the source lacks: mend that and run the same command again, or \
                 copy anew: `dunlin complete`, then `dunlin run --truncate-target '*'`",
            ),
            "54000" => too_large(),
            // No code of its own for what palloc refuses (mcxt.c).
            "XX000" if self.message.starts_with("invalid memory alloc request size") => too_large(),
            code if code.starts_with("22") || code.starts_with("23") => Halt::with(
                Code::TargetRefused,
                "mend the constraint or the row it names, then run the same command again",
            ),
            _ => {
                Halt::with(Code::StatementFailed, "see the cause; then run the same command again")
            }
        }
    }
}

/// A limit of the server's: of a message, a value, a row or an index entry.
fn too_large() -> Disposition {
    Halt::with(
        Code::ValueTooLarge,
        "shorten the value or lift the limit that the cause names, then run the same command \
         again; a value that the log holds already cannot be shortened: copy anew by `dunlin \
         complete`, then `dunlin run --truncate-target '*'`",
    )
}

/// What follows from a driver's error.
#[must_use]
pub fn classify(error: &tokio_postgres::Error) -> Disposition {
    if let Some(server) = error.as_db_error() {
        return ServerError::from(server).disposition();
    }
    let io_cause = error.source().is_some_and(|cause| cause.is::<io::Error>());
    match error.is_closed() || io_cause {
        true => Disposition::Retry,
        false => Halt::with(
            Code::StatementFailed,
            "this is a defect of dunlin; please report it with the causes above",
        ),
    }
}

/// A statement that failed: what was attempted, and why it failed.
#[derive(Debug, thiserror::Error)]
#[error("{act}")]
pub struct StatementError {
    act: String,
    disposition: Disposition,
    #[source]
    cause: Cause,
}

/// Why a statement failed, in a form that shows no row.
#[derive(Debug, thiserror::Error)]
enum Cause {
    #[error(transparent)]
    Server(Box<ServerError>),
    #[error(transparent)]
    Driver(tokio_postgres::Error),
}

impl StatementError {
    /// Joins the attempted act, such as `create the slot dunlin_main`, with its failure.
    pub fn new(act: impl Into<String>, error: tokio_postgres::Error) -> Self {
        StatementError {
            act: act.into(),
            disposition: classify(&error),
            cause: match error.as_db_error() {
                Some(server) => Cause::Server(Box::new(server.into())),
                None => Cause::Driver(error),
            },
        }
    }

    /// The SQLSTATE, where the server refused it.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        self.server().map(|server| server.code.as_str())
    }

    /// The server's own words, where it refused it.
    #[must_use]
    pub fn server(&self) -> Option<&ServerError> {
        match &self.cause {
            Cause::Server(server) => Some(server),
            Cause::Driver(_) => None,
        }
    }
}

impl Fault for StatementError {
    fn disposition(&self) -> Disposition {
        self.disposition.clone()
    }
}

/// For `map_err`: what was attempted.
pub fn attempting(act: impl Into<String>) -> impl FnOnce(tokio_postgres::Error) -> StatementError {
    move |error| StatementError::new(act, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn halted(code: &str) -> Option<Code> {
        let error = ServerError { code: code.to_owned(), ..ServerError::default() };
        match error.disposition() {
            Disposition::Retry => None,
            Disposition::Halt(halt) => Some(halt.code),
        }
    }

    #[test]
    fn the_sqlstate_decides() {
        for code in
            ["08006", "57P01", "57P03", "53300", "40001", "40P01", "55P03", "55006", "25P03"]
        {
            assert_eq!(halted(code), None, "{code}");
        }
        assert_eq!(halted("53100"), Some(Code::TargetDiskFull));
        assert_eq!(halted("42501"), Some(Code::PrivilegeMissing));
        assert_eq!(halted("23505"), Some(Code::TargetRefused));
        assert_eq!(halted("22P02"), Some(Code::TargetRefused));
        assert_eq!(halted("54000"), Some(Code::ValueTooLarge));
        assert_eq!(halted("42P01"), Some(Code::StatementFailed));
        assert_eq!(halted("28P01"), Some(Code::AuthFailed));
    }

    #[test]
    fn names_are_told() {
        let error = ServerError {
            severity: "ERROR".into(),
            code: "23505".into(),
            message: "duplicate key".into(),
            schema: Some("public".into()),
            table: Some("orders".into()),
            constraint: Some("orders_pkey".into()),
            ..ServerError::default()
        };
        assert_eq!(
            error.to_string(),
            "ERROR: duplicate key (SQLSTATE 23505, table public.orders, constraint orders_pkey)"
        );
    }
}
