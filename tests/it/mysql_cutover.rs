//! The cutover of MySQL and MariaDB: under writers that remember every commit they were promised, and
//! with kills at its steps.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use dunlin::demo::mysql::Release;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, OptsBuilder};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::interval;

use crate::support::mysql::{MySqlPair, row};
use crate::support::{Dunlin, wait_until};

const SCHEMA: &str =
    "CREATE TABLE promise (id bigint PRIMARY KEY AUTO_INCREMENT, writer int, n int);
CREATE TABLE audit (n bigint PRIMARY KEY AUTO_INCREMENT, promise bigint);
CREATE TRIGGER audited AFTER INSERT ON promise FOR EACH ROW INSERT INTO audit (promise) VALUES (NEW.id);
CREATE USER app@'%' IDENTIFIED BY ''; GRANT ALL ON app.* TO app@'%'";

/// An application's account, which may not write where the server is read-only.
const USER: &str = "CREATE USER app@'%' IDENTIFIED BY ''; GRANT ALL ON app.* TO app@'%'";

const RECONNECT_INTERVAL: Duration = Duration::from_millis(10);

/// What a writer was told of its inserts: None where the answer never came.
type Told = Vec<((i32, i32), Option<bool>)>;

struct Writers {
    stop: watch::Sender<bool>,
    written: [watch::Receiver<u64>; 2],
    tasks: JoinSet<(Told, Option<Duration>)>,
}

impl Writers {
    fn start(pair: &MySqlPair, count: i32, gate: &Path) -> Writers {
        let (stop, stopped) = watch::channel(false);
        let (counts, written): (Vec<_>, Vec<_>) = (0..2).map(|_| watch::channel(0)).unzip();
        let ports = [pair.source.port(), pair.target.port()];
        let mut tasks = JoinSet::new();
        for number in 0..count {
            let gate = gate.to_owned();
            tasks.spawn(write((number, ports), gate, stopped.clone(), counts.clone()));
        }
        Writers { stop, written: written.try_into().unwrap(), tasks }
    }

    async fn more(&mut self, side: usize, inserts: u64) {
        let goal = *self.written[side].borrow() + inserts;
        self.written[side].wait_for(|count| *count >= goal).await.unwrap();
    }

    /// Every commit that was promised is on this server exactly once, and nothing that was refused.
    async fn assert_kept(mut self, session: &mut Conn) {
        self.stop.send_replace(true);
        let (mut told, mut pause) = (Vec::new(), None);
        while let Some(ended) = self.tasks.join_next().await {
            let (more, waited) = ended.unwrap();
            told.extend(more);
            pause = pause.max(waited);
        }
        let rows: Vec<(i32, i32)> =
            session.query("SELECT writer, n FROM promise WHERE writer >= 0").await.unwrap();
        for (insert, answer) in &told {
            let times = rows.iter().filter(|row| *row == insert).count();
            match answer {
                Some(true) => assert_eq!(times, 1, "{insert:?} was promised"),
                Some(false) => assert_eq!(times, 0, "{insert:?} was refused"),
                None => assert!(times <= 1, "{insert:?} is there {times} times"),
            }
        }
        assert!(rows.len() <= told.len(), "rows that nobody wrote");
        eprintln!("the longest pause of a writer: {pause:?}");
    }
}

async fn connect(port: u16) -> Conn {
    let mut ticks = interval(RECONNECT_INTERVAL);
    loop {
        ticks.tick().await;
        let options = OptsBuilder::default().ip_or_hostname("127.0.0.1").tcp_port(port);
        let options = options.user(Some("app")).db_name(Some("app")).prefer_socket(false);
        if let Ok(session) = Conn::new(options).await {
            return session;
        }
    }
}

/// Writes to the source until the traffic is moved, then to the target.
async fn write(
    (number, ports): (i32, [u16; 2]),
    gate: PathBuf,
    stop: watch::Receiver<bool>,
    written: Vec<watch::Sender<u64>>,
) -> (Told, Option<Duration>) {
    let (mut told, mut last, mut waited) = (Told::new(), None::<Instant>, None);
    let mut session: Option<(usize, Conn)> = None;
    for n in 0.. {
        if *stop.borrow() {
            break;
        }
        let side = usize::from(gate.exists());
        let mut conn = match session.take() {
            Some((of, conn)) if of == side => conn,
            _ => connect(ports[side]).await,
        };
        let insert = format!("INSERT INTO promise (writer, n) VALUES ({number}, {n})");
        let answer = match conn.query_drop(insert).await {
            Ok(()) => Some(true),
            Err(mysql_async::Error::Server(_)) => Some(false),
            Err(_) => None,
        };
        told.push(((number, n), answer));
        if answer == Some(true) {
            written[side].send_modify(|count| *count += 1);
            match side {
                0 => last = Some(Instant::now()),
                _ => waited = waited.or_else(|| last.map(|last| last.elapsed())),
            }
        }
        session = answer.is_some().then_some((side, conn));
    }
    (told, waited)
}

async fn wait_for_phase(pair: &MySqlPair, phase: &str) {
    let mut target = pair.on_target().await;
    wait_until(&format!("phase {phase}"), async || {
        let found = target.query_first("SELECT phase FROM dunlin.migration").await;
        found.ok().flatten() == Some(phase.to_owned())
    })
    .await;
}

async fn following(release: Release) -> (MySqlPair, Dunlin) {
    let pair = MySqlPair::of(release).await;
    pair.source_sql(SCHEMA).await;
    pair.target_sql(USER).await;
    let run = Dunlin::start(&pair, "run", &[]);
    wait_for_phase(&pair, "stream").await;
    (pair, run)
}

async fn assert_goes_on(pair: &MySqlPair, n: i32) {
    pair.source_sql(&format!("INSERT INTO promise (writer, n) VALUES (-1, {n})")).await;
    let mut target = pair.on_target().await;
    let there = format!("SELECT COUNT(*) FROM promise WHERE writer = -1 AND n = {n}");
    wait_until("the row arrives", async || row::<u64>(&mut target, &there).await == 1).await;
}

async fn assert_refuses(pair: &MySqlPair) {
    let mut session = connect(pair.source.port()).await;
    let insert = "INSERT INTO promise (writer, n) VALUES (-1, -1)";
    let error = session.query_drop(insert).await.unwrap_err();
    // ER_OPTION_PREVENTS_STATEMENT.
    assert!(matches!(&error, mysql_async::Error::Server(error) if error.code == 1290), "{error}");
}

/// Patient, for a machine under load.
fn words<'a>(further: &[&'a str]) -> Vec<&'a str> {
    [&["--accept-unverified", "--log-level", "debug", "--max-downtime", "50s"], further].concat()
}

async fn cuts_over(release: Release) {
    let (pair, run) = following(release).await;
    let folder = tempfile::tempdir().unwrap();
    let gate = folder.path().join("moved");
    let mut writers = Writers::start(&pair, 4, &gate);
    writers.more(0, 100).await;

    let failed = Dunlin::run(&pair, "cutover", &words(&["--switch", "exit 3"])).await;
    failed.expect_code(5).expect_said("error[CUTOVER_UNDONE]");
    writers.more(0, 50).await;
    assert_goes_on(&pair, 1).await;

    // A number that was taken, of a row that never came to be; and a transaction that will not end.
    let mut open = connect(pair.source.port()).await;
    open.query_drop("BEGIN; INSERT INTO promise (writer, n) VALUES (-2, 0)").await.unwrap();
    let switch = format!("touch '{}'", gate.display());
    let cutover = Dunlin::run(&pair, "cutover", &words(&["--switch", &switch])).await;
    let cutover = cutover.expect_code(0);
    eprintln!("{}", cutover.stdout);
    writers.more(1, 100).await;
    run.finished().await.expect_code(0);
    assert_refuses(&pair).await;
    assert!(open.query_drop("COMMIT").await.is_err(), "it committed behind the fence");
    let mut target = pair.on_target().await;
    writers.assert_kept(&mut target).await;
    let (there, refused): (u64, u64) =
        row(&mut target, "SELECT SUM(writer = -1), SUM(writer = -2) FROM promise").await;
    assert_eq!((there, refused), (1, 0));
    let audited = "SELECT COUNT(*) = (SELECT COUNT(*) FROM promise) \
                   AND COUNT(*) = COUNT(DISTINCT promise) FROM audit";
    assert!(row::<bool>(&mut target, audited).await, "a trigger fired twice or not");
    let counter = "SELECT COUNT(DISTINCT id) = COUNT(*) FROM promise";
    assert!(row::<bool>(&mut target, counter).await);
    let completed = Dunlin::run(&pair, "complete", &[]).await.expect_code(0);
    assert!(completed.stdout.contains("read_only = OFF"), "{}", completed.stdout);
    assert_refuses(&pair).await;
}

#[tokio::test]
async fn mysql_9_7_cuts_over() {
    cuts_over(Release::MYSQL_9_7).await;
}

#[tokio::test]
async fn mariadb_11_8_cuts_over() {
    cuts_over(Release::MARIADB_11_8).await;
}

async fn kill_at(pair: &MySqlPair, failpoint: &str) {
    let words = words(&[]);
    let mut cutover = Dunlin::start_with_failpoint(pair, "cutover", &words, failpoint);
    cutover.reaches(failpoint).await;
    cutover.kill().await;
}

#[tokio::test]
async fn kills_leave_the_source_open_before_the_seal_and_closed_behind_it() {
    let (pair, run) = following(Release::MYSQL_9_7).await;
    for (n, point) in (0..).zip(["fence-closed", "log-drained", "source-sealing"]) {
        kill_at(&pair, point).await;
        assert_goes_on(&pair, n).await;
    }
    kill_at(&pair, "source-sealed").await;
    assert_refuses(&pair).await;
    Dunlin::run(&pair, "cutover", &["--abort"]).await.expect_code(0);
    assert_goes_on(&pair, 10).await;
    kill_at(&pair, "traffic-switching").await;
    run.finished().await.expect_code(5).expect_said("error[CUTOVER_UNDECIDED]");
    Dunlin::run(&pair, "cutover", &["--finish"]).await.expect_code(0);
    assert_refuses(&pair).await;
}
