//! A source and a target, each a private server with an empty database `app`.

use std::env;
use std::thread;

use dunlin::demo::private::{Engine, PrivateServer};
use dunlin::demo::server::Postgres;
use dunlin::demo::{DemoError, Server, ServerOptions};
use tokio_postgres::Client;

/// The database that tests move.
pub const DATABASE: &str = "app";

/// Two servers; dropping the pair removes them.
pub struct TestPair<E: Engine = Postgres> {
    /// The server that is read.
    pub source: PrivateServer<E>,
    /// The server that is written.
    pub target: PrivateServer<E>,
}

impl<E: Engine + Send> TestPair<E> {
    /// The URL of the database to be moved.
    pub fn source_url(&self) -> String {
        self.source.url(DATABASE)
    }

    /// The URL of the database that receives it.
    pub fn target_url(&self) -> String {
        self.target.url(DATABASE)
    }

    /// Two servers that are made at the same time.
    pub fn create<O: Sync>(
        (source, target): (&O, &O),
        create: fn(&O) -> Result<PrivateServer<E>, DemoError>,
    ) -> TestPair<E> {
        let (source, target) = thread::scope(|scope| {
            let other = scope.spawn(|| create(target));
            (create(source), other.join().unwrap())
        });
        TestPair { source: source.unwrap(), target: target.unwrap() }
    }
}

impl TestPair<Postgres> {
    /// Two servers with the usual settings. `DUNLIN_TEST_SOURCE_MAJOR` and
    /// `DUNLIN_TEST_TARGET_MAJOR` choose their versions.
    pub async fn start() -> TestPair {
        TestPair::start_with(ServerOptions::default(), ServerOptions::default()).await
    }

    /// Two servers with settings of their own.
    pub async fn start_with(source: ServerOptions, target: ServerOptions) -> TestPair {
        let source = versioned(source, "DUNLIN_TEST_SOURCE_MAJOR");
        let target = versioned(target, "DUNLIN_TEST_TARGET_MAJOR");
        let pair = TestPair::create((&source, &target), Server::create);
        pair.source.create_database(DATABASE).await.unwrap();
        pair.target.create_database(DATABASE).await.unwrap();
        pair
    }

    /// A session on the source.
    pub async fn on_source(&self) -> Client {
        self.source.connect(DATABASE).await.unwrap()
    }

    /// A session on the target.
    pub async fn on_target(&self) -> Client {
        self.target.connect(DATABASE).await.unwrap()
    }

    /// Runs statements on the source.
    pub async fn source_sql(&self, statements: &str) {
        let client = self.on_source().await;
        client.batch_execute(statements).await.unwrap();
    }

    /// Runs statements on the target.
    pub async fn target_sql(&self, statements: &str) {
        let client = self.on_target().await;
        client.batch_execute(statements).await.unwrap();
    }
}

fn versioned(mut options: ServerOptions, variable: &str) -> ServerOptions {
    if let Ok(major) = env::var(variable) {
        let major = major.parse().expect("a major version, such as 15");
        options.major.get_or_insert(major);
    }
    options
}
