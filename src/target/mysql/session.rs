//! A session on the target: statements in one packet with a count for each, and rows for
//! LOAD DATA from memory.
//!
//! In: SQL text. Out: how many rows each statement found, or which one failed. It knows neither
//! tables nor the state. Statements that are sent as one packet are carried out in order and none
//! after one that failed; nothing is committed by it unless the text says so, and a session that
//! goes away takes its open transaction with it.

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream;
use mysql_async::prelude::{FromValue, Queryable};
use mysql_async::{Conn, Row};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::TargetError;
use super::error::attempting;
use crate::config::endpoint::MySqlEndpoint;
use crate::connect::mysql::{ServerVersion, connect};
use crate::model::Failure;

/// What our sessions call themselves.
const PROGRAM: &str = "dunlin";

/// Bytes of rows in one packet.
const PIECE_BYTES: usize = 256 * 1024;

/// Buffers between a chunk's reader and the connection.
const BUFFERS: usize = 4;

/// `ER_SPECIFIC_ACCESS_DENIED_ERROR`.
const ACCESS_DENIED: u16 = 1227;

/// A session with our settings.
pub(super) struct Session {
    conn: Conn,
    endpoint: MySqlEndpoint,
    version: ServerVersion,
    most_bytes: usize,
    /// An answer is being read. Whoever was dropped over that leaves it so, and the driver would take
    /// the rest of the answer for the next one's.
    answering: bool,
}

/// What the server says about a statement.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Done {
    /// Rows that it found or made.
    pub(super) rows: u64,
    /// Its warnings.
    pub(super) warnings: u16,
    /// The last insert ID, as the server calls it; zero where it says none.
    pub(super) insert_id: u64,
}

/// Why a packet of statements stopped.
pub(super) struct Stopped {
    /// The statements that were carried out before.
    pub(super) done: Vec<Done>,
    /// Why the next was not.
    pub(super) error: mysql_async::Error,
}

/// What the server says about a LOAD DATA statement.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Loaded {
    /// Rows that came.
    pub(super) records: u64,
    /// Rows that were left out, of those.
    pub(super) skipped: u64,
    /// Values that were changed, and rows that were left out.
    pub(super) warnings: u64,
}

impl Session {
    /// Bytes that the server takes in one packet.
    pub(super) fn most_bytes(&self) -> usize {
        self.most_bytes
    }

    /// The endpoint, pinned to the host that answered.
    pub(super) fn endpoint(&self) -> &MySqlEndpoint {
        &self.endpoint
    }

    /// The server's family and version.
    pub(super) fn version(&self) -> ServerVersion {
        self.version
    }

    /// The server's number for it.
    pub(super) fn id(&self) -> u32 {
        self.conn.id()
    }

    /// Carries out statements, up to the first that fails.
    pub(super) async fn batch(&mut self, text: &[u8]) -> Result<Vec<Done>, Stopped> {
        self.begin().map_err(|error| Stopped { done: Vec::new(), error })?;
        let done = self.carry_out(text).await;
        self.answering = false;
        done
    }

    /// A session whose last answer was not read to its end is as good as lost.
    fn begin(&mut self) -> Result<(), mysql_async::Error> {
        match std::mem::replace(&mut self.answering, true) {
            true => Err(mysql_async::DriverError::ConnectionClosed.into()),
            false => Ok(()),
        }
    }

    async fn carry_out(&mut self, text: &[u8]) -> Result<Vec<Done>, Stopped> {
        let mut done = Vec::new();
        let mut result = match self.conn.query_iter(text).await {
            Ok(result) => result,
            Err(error) => return Err(Stopped { done, error }),
        };
        loop {
            // The driver keeps a later statement's error as if it were an answer to come.
            if result.columns().is_none() {
                return match result.next().await {
                    Ok(_) => Ok(done),
                    Err(error) => Err(Stopped { done, error }),
                };
            }
            done.push(Done {
                rows: result.affected_rows(),
                warnings: result.warnings(),
                insert_id: result.last_insert_id().unwrap_or_default(),
            });
            if result.is_empty() {
                return Ok(done);
            }
            if let Err(error) = result.for_each(drop).await {
                return Err(Stopped { done, error });
            }
        }
    }

    /// Carries out statements. Returns how many rows the last one found.
    pub(super) async fn execute(
        &mut self,
        text: impl AsRef<[u8]>,
    ) -> Result<u64, mysql_async::Error> {
        let done = self.batch(text.as_ref()).await.map_err(|stopped| stopped.error)?;
        Ok(done.last().map_or(0, |last| last.rows))
    }

    /// Has the server keep every warning of a statement. On MySQL that takes SESSION_VARIABLES_ADMIN;
    /// without, rows of which more is warned than is kept do not count as loaded.
    pub(super) async fn keep_warnings(&mut self) -> Result<(), mysql_async::Error> {
        match self.execute("SET SESSION max_error_count = 65535").await {
            Err(mysql_async::Error::Server(error)) if error.code == ACCESS_DENIED => Ok(()),
            set => set.map(drop),
        }
    }

    /// Has the server make whatever table the source has, as it would not where it is strict about
    /// options that it does not use. On MySQL that takes SESSION_VARIABLES_ADMIN.
    async fn take_any_table(&mut self) -> Result<(), mysql_async::Error> {
        match self.execute("SET SESSION innodb_strict_mode = OFF").await {
            Err(mysql_async::Error::Server(error)) if error.code == ACCESS_DENIED => Ok(()),
            set => set.map(drop),
        }
    }

    /// The rows of a query.
    pub(super) async fn rows(
        &mut self,
        text: impl AsRef<[u8]>,
    ) -> Result<Vec<Row>, mysql_async::Error> {
        self.begin()?;
        let rows = self.conn.query(text.as_ref()).await;
        self.answering = false;
        rows
    }

    /// Carries out a LOAD DATA LOCAL statement with these rows.
    pub(super) async fn load_rows(
        &mut self,
        text: &str,
        rows: Bytes,
    ) -> Result<Option<Loaded>, mysql_async::Error> {
        self.begin()?;
        let rows = async move { Ok(stream::iter(pieces(rows)).boxed()) };
        self.conn.set_infile_handler(rows);
        let loaded = self.conn.query_drop(text).await;
        self.answering = false;
        loaded.map(|()| Loaded::read(&self.conn.info()))
    }

    /// Ends it in good order. One that is dropped ends too, with its open transaction.
    pub(super) async fn close(self) {
        if let Err(error) = self.conn.disconnect().await {
            tracing::debug!(%error, "a session ended without a farewell");
        }
    }

    /// Begins a LOAD DATA LOCAL statement; its rows are what is sent to the returned load.
    pub(super) fn load(mut self, text: String) -> Load {
        let (sender, receiver) = mpsc::channel::<Bytes>(BUFFERS);
        let under_way = tokio::spawn(async move {
            let rows = async move {
                let rows = stream::unfold(receiver, |mut receiver| async {
                    receiver.recv().await.map(|rows| (Ok(rows), receiver))
                });
                Ok(rows.boxed())
            };
            self.conn.set_infile_handler(rows);
            let loaded = self.conn.query_drop(text).await;
            let loaded = loaded.map(|()| Loaded::read(&self.conn.info()));
            (self, loaded)
        });
        Load { sender, under_way }
    }
}

impl Loaded {
    /// Reads `Records: 5  Deleted: 0  Skipped: 0  Warnings: 0`, in whatever language.
    fn read(info: &str) -> Option<Self> {
        let mut numbers = info
            .split(|c: char| !c.is_ascii_digit())
            .filter(|digits| !digits.is_empty())
            .map(str::parse::<u64>);
        let mut next = || numbers.next()?.ok();
        let (records, _deleted) = (next()?, next()?);
        Some(Loaded { records, skipped: next()?, warnings: next()? })
    }
}

/// A LOAD DATA statement under way.
pub(super) struct Load {
    sender: mpsc::Sender<Bytes>,
    under_way: JoinHandle<(Session, Result<Option<Loaded>, mysql_async::Error>)>,
}

impl Load {
    /// Hands rows over. Returns false where the statement has ended already, by an error that
    /// [`Self::end`] tells.
    pub(super) async fn write(&mut self, rows: Bytes) -> bool {
        self.sender.send(rows).await.is_ok()
    }

    /// Ends the rows. Returns the session, and what the server says about the statement.
    pub(super) async fn end(self) -> (Session, Result<Option<Loaded>, mysql_async::Error>) {
        drop(self.sender);
        match self.under_way.await {
            Ok(ended) => ended,
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    }
}

/// Opens a session whose writes stand in the server's binary log, or do not.
///
/// # Errors
///
/// Where there is no connection, or the account may not write past the log.
pub(super) async fn open(endpoint: &MySqlEndpoint, binlog: bool) -> Result<Session, Failure> {
    let act = || attempting("prepare a session of the target");
    let opened = connect(endpoint, PROGRAM).await?;
    let (version, endpoint) = (opened.version(), opened.endpoint().clone());
    let conn = opened.into_conn();
    let mut session = Session { conn, endpoint, version, most_bytes: 0, answering: false };
    let settings = include_str!("../../../sql/mysql/target_session.sql");
    session.execute(settings).await.map_err(act())?;
    session.take_any_table().await.map_err(act())?;
    if !binlog {
        let act = attempting("write past the target's binary log (--target-binlog off)");
        session.execute("SET SESSION sql_log_bin = 0").await.map_err(act)?;
    }
    let rows = session.rows("SELECT @@max_allowed_packet").await.map_err(act())?;
    session.most_bytes = field(rows.first().ok_or(TargetError::Answer { column: 0 })?, 0)?;
    Ok(session)
}

/// Rows in pieces that make a packet each.
fn pieces(mut rows: Bytes) -> impl Iterator<Item = std::io::Result<Bytes>> {
    std::iter::from_fn(move || {
        let piece = rows.split_to(rows.len().min(PIECE_BYTES));
        (!piece.is_empty()).then_some(Ok(piece))
    })
}

/// A column of a row.
///
/// # Errors
///
/// Where it is not of this type: the server is not one that we know.
pub(super) fn field<T: FromValue>(row: &Row, index: usize) -> Result<T, TargetError> {
    match row.get_opt(index) {
        Some(Ok(value)) => Ok(value),
        Some(Err(_)) | None => Err(TargetError::Answer { column: index }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_to_load_data_is_read_in_any_language() {
        let read = |info| Loaded::read(info).map(|l| (l.records, l.skipped, l.warnings));
        assert_eq!(read("Records: 5  Deleted: 0  Skipped: 1  Warnings: 12"), Some((5, 1, 12)));
        assert_eq!(
            read("Datensätze: 7  Gelöscht: 0  Ausgelassen: 0  Warnungen: 0"),
            Some((7, 0, 0))
        );
        assert_eq!(read(""), None);
    }
}
