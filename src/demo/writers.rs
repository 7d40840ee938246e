//! Applications that go on writing while their database is moved.
//!
//! Enters: a loaded database ([`super::load`]), a seed, a speed. Leaves: counts. Each activity is
//! a session of its own whose transactions follow from the seed alone; how they interleave is
//! the server's affair. A deadlock or a lost connection is what it is for any application: the
//! transaction is given up with its session and the next one begins. Writers stop between
//! transactions.

use std::error::Error;
use std::future::Future;
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::DemoError;
use super::activity::{Activity, Scope};
use super::application::PostgresApplication;
use super::load::Size;
use super::whereabouts::Whereabouts;

const RECONNECT_PAUSE: Duration = Duration::from_millis(50);

/// How the writers are to write.
#[derive(Clone, Copy, Debug)]
pub struct WriterOptions {
    /// What every random choice follows from.
    pub seed: u64,
    /// The size at which the database was loaded.
    pub size: Size,
    /// Transactions per second relative to the usual (about 300 altogether).
    pub speed: f64,
    /// The rows of the largest transactions.
    pub largest_rows: u32,
}

/// What the writers have done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WriterCounts {
    /// Transactions that were committed.
    pub transactions: u64,
    /// Rows that their statements wrote, those of rolled-back savepoints included.
    pub rows: u64,
    /// Transactions that were given up: deadlocks, lost connections.
    pub given_up: u64,
    /// Writers that ended with an error.
    pub failed: u64,
}

/// How applications reach their database, and what they do there.
pub(super) trait Application: Clone + Send + Sync + 'static {
    /// A connection.
    type Session: Send;

    /// Every session there is.
    const ACTIVITIES: &'static [Activity];

    /// Opens a session.
    fn open(&self) -> impl Future<Output = Result<Self::Session, DemoError>> + Send;

    /// Commits the statements as one transaction; what it did of one that fails goes with the
    /// session.
    fn transact(
        session: &mut Self::Session,
        statements: &str,
    ) -> impl Future<Output = Result<Transaction, Box<dyn Error + Send + Sync>>> + Send;
}

/// How a transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transaction {
    /// It is committed; its statements wrote so many rows.
    Committed(u64),
    /// A deadlock or a lost connection ended it.
    GivenUp,
}

/// Running writers. Dropping them cuts them off in the middle of whatever they do.
#[derive(Debug)]
pub struct Writers {
    counts: watch::Receiver<WriterCounts>,
    stop: watch::Sender<bool>,
    sessions: JoinSet<Result<(), DemoError>>,
}

impl Writers {
    /// Starts a session for each activity on Postgres.
    #[must_use]
    pub fn start(url: &str, options: WriterOptions) -> Writers {
        let urls = Whereabouts::fixed(url.to_owned());
        Writers::of(&PostgresApplication { urls }, options)
    }

    /// Starts a session for each activity.
    pub(super) fn of<A: Application>(application: &A, options: WriterOptions) -> Writers {
        let (counted, counts) = watch::channel(WriterCounts::default());
        let (stop, stopped) = watch::channel(false);
        let mut sessions = JoinSet::new();
        for (number, &activity) in A::ACTIVITIES.iter().enumerate() {
            let writer = Writer {
                application: application.clone(),
                activity,
                scope: Scope { size: options.size, largest_rows: options.largest_rows },
                random: StdRng::seed_from_u64(options.seed.wrapping_add(number as u64)),
                counted: counted.clone(),
                stopped: stopped.clone(),
            };
            sessions.spawn(writer.run(pace(activity.per_second * options.speed)));
        }
        Writers { counts, stop, sessions }
    }

    /// What they have done so far.
    #[must_use]
    pub fn counts(&self) -> WriterCounts {
        *self.counts.borrow()
    }

    /// Waits until so many more transactions were committed. Returns early when a writer failed;
    /// [`Writers::stop`] then says why.
    pub async fn commit_more(&self, transactions: u64) {
        let goal = self.counts().transactions + transactions;
        let mut counts = self.counts.clone();
        // An error means that every writer has ended, which `stop` reports.
        let _ = counts.wait_for(|counts| counts.transactions >= goal || counts.failed > 0).await;
    }

    /// Lets each finish its transaction, and ends them.
    ///
    /// # Errors
    /// The first error that a writer ended with.
    pub async fn stop(mut self) -> Result<WriterCounts, DemoError> {
        self.stop.send_replace(true);
        while let Some(ended) = self.sessions.join_next().await {
            match ended {
                Ok(result) => result?,
                Err(panic) => std::panic::resume_unwind(panic.into_panic()),
            }
        }
        Ok(self.counts())
    }
}

struct Writer<A> {
    application: A,
    activity: Activity,
    scope: Scope,
    random: StdRng,
    counted: watch::Sender<WriterCounts>,
    stopped: watch::Receiver<bool>,
}

impl<A: Application> Writer<A> {
    async fn run(mut self, pace: Interval) -> Result<(), DemoError> {
        let result = self.write(pace).await;
        if result.is_err() {
            self.counted.send_modify(|counts| counts.failed += 1);
        }
        result
    }

    async fn write(&mut self, mut pace: Interval) -> Result<(), DemoError> {
        let mut session = None;
        loop {
            tokio::select! {
                _ = self.stopped.wait_for(|stopped| *stopped) => return Ok(()),
                _ = pace.tick() => {}
            }
            let Some(open) = &mut session else {
                session = self.open().await;
                continue;
            };
            let statements = (self.activity.transaction)(&mut self.random, self.scope);
            match A::transact(open, &statements).await {
                Ok(Transaction::Committed(rows)) => self.counted.send_modify(|counts| {
                    counts.transactions += 1;
                    counts.rows += rows;
                }),
                Ok(Transaction::GivenUp) => {
                    session = None;
                    self.counted.send_modify(|counts| counts.given_up += 1);
                }
                Err(source) => {
                    return Err(DemoError::Statement { act: self.activity.name, source });
                }
            }
        }
    }

    async fn open(&self) -> Option<A::Session> {
        let session = self.application.open().await;
        if session.is_err() {
            tokio::time::sleep(RECONNECT_PAUSE).await;
        }
        session.ok()
    }
}

fn pace(per_second: f64) -> Interval {
    let mut pace = interval(Duration::from_secs_f64(1.0 / per_second.clamp(0.01, 10_000.0)));
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    pace
}
