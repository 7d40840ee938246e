//! A source and a target of MySQL or MariaDB, and the oracle for them.

use dunlin::demo::digest::TableComparison;
use dunlin::demo::mysql::digest::{compare, counters_behind};
use dunlin::demo::mysql::release::Flavour;
use dunlin::demo::mysql::server::MySql;
use dunlin::demo::mysql::{Release, Server, ServerOptions};
use mysql_async::Conn;
use mysql_async::prelude::{FromRow, Queryable};

use super::compare::assert_none_differs;
use super::pair::{DATABASE, TestPair};
use super::wait_until;

/// Two servers, each with an empty database `app`; dropping the pair removes them.
pub type MySqlPair = TestPair<MySql>;

impl TestPair<MySql> {
    /// Two servers of one release, with the usual settings.
    pub async fn of(release: Release) -> MySqlPair {
        MySqlPair::with(release.into(), release.into()).await
    }

    /// Two servers with settings of their own.
    pub async fn with(source: ServerOptions, target: ServerOptions) -> MySqlPair {
        let pair = TestPair::create((&source, &target), Server::create);
        pair.source.create_database(DATABASE).await.unwrap();
        pair.target.create_database(DATABASE).await.unwrap();
        pair
    }

    /// A session on the source.
    pub async fn on_source(&self) -> Conn {
        self.source.connect(DATABASE).await.unwrap()
    }

    /// A session on the target.
    pub async fn on_target(&self) -> Conn {
        self.target.connect(DATABASE).await.unwrap()
    }

    /// Runs statements on the source.
    pub async fn source_sql(&self, statements: &str) {
        batch(&self.source, statements).await;
    }

    /// Runs statements on the target.
    pub async fn target_sql(&self, statements: &str) {
        batch(&self.target, statements).await;
    }

    /// The tables on both sides.
    pub async fn compare(&self) -> Vec<TableComparison> {
        compare(&self.source, &self.target, DATABASE).await.unwrap()
    }

    /// Panics, naming each table, unless every table is equal on both sides, and no counter of
    /// the target is behind.
    pub async fn assert_equal(&self) {
        assert_none_differs(&self.compare().await);
        let behind = counters_behind(&self.source, &self.target, DATABASE).await.unwrap();
        assert!(behind.is_empty(), "counters are behind: {behind:?}");
    }
}

/// Runs statements on a server, in the database that tests move.
pub async fn batch(server: &Server, statements: &str) {
    server.connect(DATABASE).await.unwrap().query_drop(statements).await.unwrap();
}

/// The first row that a query returns.
pub async fn row<T: FromRow + Send + 'static>(session: &mut Conn, query: &str) -> T {
    session.query_first(query).await.unwrap().expect("a row")
}

/// What makes tables of every type that the servers of a release have, with values at the edges.
fn types(release: Release) -> Vec<&'static str> {
    let mut parts = vec![include_str!("../cases/mysql/types/setup.sql")];
    parts.push(match release.flavour {
        Flavour::MySql => include_str!("../cases/mysql/types/mysql.sql"),
        Flavour::MariaDb => include_str!("../cases/mysql/types/mariadb.sql"),
    });
    if release == Release::MARIADB_11_8 {
        parts.push(include_str!("../cases/mysql/types/mariadb_11_8.sql"));
    }
    parts
}

/// Makes tables of every type that the server has, with values at the edges.
pub async fn create_every_type(server: &Server) {
    for part in types(server.release()) {
        batch(server, part).await;
    }
}

/// The statements that fill these tables, in order, for one session.
pub fn statements_of_types(release: Release) -> impl Iterator<Item = &'static str> {
    let statements = types(release).into_iter().flat_map(|part| part.split(";\n"));
    let bare = statements.map(|text| {
        let lines = text
            .split_inclusive('\n')
            .skip_while(|line| line.trim().is_empty() || line.starts_with("--"));
        let skipped = text.len() - lines.map(str::len).sum::<usize>();
        &text[skipped..]
    });
    bare.filter(|text| ["INSERT", "SET"].iter().any(|word| text.starts_with(word)))
}

/// Waits until a condition holds on the target; a table that is not there yet is none.
pub async fn holds(pair: &MySqlPair, what: &str, condition: &str) {
    let mut observer = pair.on_target().await;
    let query = format!("SELECT {condition}");
    wait_until(what, async || {
        let found: Result<Option<bool>, _> = observer.query_first(&query).await;
        matches!(found, Ok(Some(true)))
    })
    .await;
}

/// Waits until a run follows the source's log.
pub async fn wait_until_following(pair: &MySqlPair) {
    holds(pair, "the run follows the log", "phase = 'stream' FROM dunlin.migration").await;
}

/// Whether a server keeps the sign of a zero: MySQL does, MariaDB in some of its releases.
pub async fn keeps_signs_of_zeros(server: &Server) -> bool {
    let mut session = server.connect(DATABASE).await.unwrap();
    let probe = "CREATE TEMPORARY TABLE zero (z double); INSERT INTO zero VALUES ('-0')";
    session.query_drop(probe).await.unwrap();
    row(&mut session, "SELECT CAST(z AS CHAR) LIKE '-%' FROM zero").await
}
