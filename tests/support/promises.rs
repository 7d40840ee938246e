//! Writers that remember what they were promised: each insert that a server said was committed, each
//! that it refused, and those of which the answer never came. They move to the target once a file says
//! that the traffic is moved, as applications do behind a proxy.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::interval;
use tokio_postgres::Client;

use super::TestPair;

/// The table that they write to.
pub const TABLE: &str = "CREATE TABLE promise (id bigserial PRIMARY KEY, writer int, n int)";

/// How often a server that is not there is tried.
const RECONNECT_INTERVAL: Duration = Duration::from_millis(10);

/// What became of one insert.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Outcome {
    Promised,
    Refused,
    Unknown,
}

/// What a writer remembers.
#[derive(Default)]
struct Memory {
    outcomes: Vec<((i32, i32), Outcome)>,
    last_on_source: Option<Instant>,
    first_on_target: Option<Instant>,
}

/// Writers at work.
pub struct Promises {
    stop: watch::Sender<bool>,
    on_target: watch::Receiver<u64>,
    on_source: watch::Receiver<u64>,
    writers: JoinSet<Memory>,
    gate: PathBuf,
}

struct Writer {
    number: i32,
    urls: [String; 2],
    gate: PathBuf,
    stop: watch::Receiver<bool>,
    counts: [watch::Sender<u64>; 2],
}

impl Promises {
    /// Starts so many writers on the source. They move once the file `gate` is there.
    pub fn start(pair: &TestPair, writers: i32, gate: &Path) -> Promises {
        let (stop, stop_seen) = watch::channel(false);
        let (on_source, source_seen) = watch::channel(0);
        let (on_target, target_seen) = watch::channel(0);
        let mut tasks = JoinSet::new();
        for number in 0..writers {
            let writer = Writer {
                number,
                urls: [pair.source_url(), pair.target_url()],
                gate: gate.to_owned(),
                stop: stop_seen.clone(),
                counts: [on_source.clone(), on_target.clone()],
            };
            tasks.spawn(writer.work());
        }
        let gate = gate.to_owned();
        Promises { stop, on_target: target_seen, on_source: source_seen, writers: tasks, gate }
    }

    /// The command that moves the traffic.
    pub fn switch(&self) -> String {
        format!("touch '{}'", self.gate.display())
    }

    /// The command that moves it back.
    pub fn switch_back(&self) -> String {
        format!("rm '{}'", self.gate.display())
    }

    /// Waits until so many inserts more were committed on the source.
    pub async fn more_on_source(&mut self, inserts: u64) {
        let goal = *self.on_source.borrow() + inserts;
        self.on_source.wait_for(|count| *count >= goal).await.unwrap();
    }

    /// Waits until so many inserts more were committed on the target.
    pub async fn more_on_target(&mut self, inserts: u64) {
        let goal = *self.on_target.borrow() + inserts;
        self.on_target.wait_for(|count| *count >= goal).await.unwrap();
    }

    /// Stops the writers. Every commit that they were promised must be on this server exactly once,
    /// and nothing that was refused. Returns the longest time for which a writer was kept waiting
    /// between the two sides.
    pub async fn assert_kept(mut self, client: &Client) -> Duration {
        self.stop.send_replace(true);
        let rows = client.query("SELECT writer, n, count(*) FROM promise GROUP BY 1, 2", &[]);
        let mut memories = Vec::new();
        while let Some(memory) = self.writers.join_next().await {
            memories.push(memory.unwrap());
        }
        let rows = rows.await.unwrap();
        let there: HashMap<(i32, i32), i64> =
            rows.iter().map(|row| ((row.get(0), row.get(1)), row.get(2))).collect();
        let outcomes = || memories.iter().flat_map(|memory| &memory.outcomes);
        for (insert, outcome) in outcomes() {
            let times = there.get(insert).copied().unwrap_or_default();
            match outcome {
                Outcome::Promised => assert_eq!(times, 1, "{insert:?} was promised"),
                Outcome::Refused => assert_eq!(times, 0, "{insert:?} was refused"),
                Outcome::Unknown => assert!(times <= 1, "{insert:?} is there {times} times"),
            }
        }
        assert!(there.len() <= outcomes().count(), "rows that nobody wrote");
        let pauses = memories.iter().filter_map(|memory| {
            Some(memory.first_on_target?.duration_since(memory.last_on_source?))
        });
        pauses.max().unwrap_or_default()
    }
}

impl Writer {
    async fn work(mut self) -> Memory {
        let mut memory = Memory::default();
        let mut session: Option<(usize, Client)> = None;
        for n in 0.. {
            if *self.stop.borrow_and_update() {
                break;
            }
            let side = usize::from(self.gate.exists());
            let client = match session.take() {
                Some((of, client)) if of == side && !client.is_closed() => client,
                _ => self.connect(side).await,
            };
            let outcome = insert(&client, self.number, n).await;
            memory.outcomes.push(((self.number, n), outcome));
            if outcome == Outcome::Promised {
                self.counts[side].send_modify(|count| *count += 1);
                match side {
                    0 => memory.last_on_source = Some(Instant::now()),
                    _ => _ = memory.first_on_target.get_or_insert_with(Instant::now),
                }
            }
            session = Some((side, client));
        }
        memory
    }

    async fn connect(&self, side: usize) -> Client {
        let mut ticks = interval(RECONNECT_INTERVAL);
        loop {
            ticks.tick().await;
            if let Ok(client) = dunlin::demo::server::connect(&self.urls[side]).await {
                return client;
            }
        }
    }
}

/// An insert by a transaction of its own, within which the number is taken first.
async fn insert(client: &Client, writer: i32, n: i32) -> Outcome {
    let text = format!("INSERT INTO promise (writer, n) VALUES ({writer}, {n})");
    match client.batch_execute(&text).await {
        Ok(()) => Outcome::Promised,
        // A server that ends a session says so; what it did before that is not said.
        Err(error) if error.code().is_none_or(|code| code.code().starts_with("57P")) => {
            Outcome::Unknown
        }
        Err(_) => Outcome::Refused,
    }
}
