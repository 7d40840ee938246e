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

pub const SCHEMA: &str =
    "CREATE TABLE promise (id bigint PRIMARY KEY AUTO_INCREMENT, writer int, n int);
CREATE TABLE audit (n bigint PRIMARY KEY AUTO_INCREMENT, promise bigint);
CREATE TRIGGER audited AFTER INSERT ON promise FOR EACH ROW INSERT INTO audit (promise) VALUES (NEW.id);
CREATE USER app@'%' IDENTIFIED BY ''; GRANT ALL ON app.* TO app@'%'";

/// An application's account, which may not write where the server is read-only.
pub const USER: &str = "CREATE USER app@'%' IDENTIFIED BY ''; GRANT ALL ON app.* TO app@'%'";

const RECONNECT_INTERVAL: Duration = Duration::from_millis(10);

/// What a writer was told of its inserts: None where the answer never came.
type Told = Vec<((i32, i32), Option<bool>)>;

pub struct Writers {
    stop: watch::Sender<bool>,
    written: [watch::Receiver<u64>; 2],
    tasks: JoinSet<(Told, Option<Duration>)>,
}

impl Writers {
    pub fn start(pair: &MySqlPair, count: i32, gate: &Path) -> Writers {
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

    pub async fn more(&mut self, side: usize, inserts: u64) {
        let goal = *self.written[side].borrow() + inserts;
        self.written[side].wait_for(|count| *count >= goal).await.unwrap();
    }

    /// Every commit that was promised is on this server exactly once, and nothing that was refused.
    pub async fn assert_kept(mut self, session: &mut Conn) {
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

pub async fn connect(port: u16) -> Conn {
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

pub async fn following(release: Release) -> (MySqlPair, Dunlin) {
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
    assert_refuses_at(pair.source.port()).await;
}

/// An application may not write to the server at this port.
pub async fn assert_refuses_at(port: u16) {
    let mut session = connect(port).await;
    let insert = "INSERT INTO promise (writer, n) VALUES (-1, -1)";
    let error = session.query_drop(insert).await.unwrap_err();
    // ER_OPTION_PREVENTS_STATEMENT.
    assert!(matches!(&error, mysql_async::Error::Server(error) if error.code == 1290), "{error}");
}

/// Patient, for a machine under load.
pub fn words<'a>(further: &[&'a str]) -> Vec<&'a str> {
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
async fn mariadb_10_11_cuts_over() {
    cuts_over(Release::MARIADB_10_11).await;
}

#[tokio::test]
async fn mariadb_11_8_cuts_over() {
    cuts_over(Release::MARIADB_11_8).await;
}

async fn tells_the_hook(release: Release) {
    let (pair, run) = following(release).await;
    let folder = tempfile::tempdir().unwrap();
    let said = folder.path().join("said");
    let hook = format!("hook:echo >> {}", said.display());
    let words = words(&["--fence", &hook]);
    let told = || std::fs::read_to_string(&said).unwrap_or_default();
    let mut killed = Dunlin::start_with_failpoint(&pair, "cutover", &words, "hook-closed");
    killed.reaches("hook-closed").await;
    killed.kill().await;
    assert_eq!(told(), "fence\n");
    assert_goes_on(&pair, 1).await;
    Dunlin::run(&pair, "cutover", &["--abort"]).await.expect_code(0);
    assert_eq!(told(), "fence\nunfence\n");
    let failing = [&words[..], &["--switch", "exit 1"]].concat();
    Dunlin::run(&pair, "cutover", &failing).await.expect_code(5);
    assert_eq!(told(), "fence\nunfence\n".repeat(2));
    assert_goes_on(&pair, 2).await;
    Dunlin::run(&pair, "cutover", &words).await.expect_code(0);
    assert_eq!(told(), "fence\nunfence\n".repeat(2) + "fence\n");
    run.finished().await.expect_code(0);
    assert_refuses(&pair).await;
}

#[tokio::test]
async fn the_hook_is_told_of_the_fence_on_mysql_9_7() {
    tells_the_hook(Release::MYSQL_9_7).await;
}

#[tokio::test]
async fn the_hook_is_told_of_the_fence_on_mariadb_11_8() {
    tells_the_hook(Release::MARIADB_11_8).await;
}

/// What writes to a MariaDB server that is read-only is named, and so is what opens it.
#[tokio::test]
async fn what_writes_past_the_seal_is_named() {
    let mut pair = MySqlPair::of(Release::MARIADB_11_8).await;
    pair.source_sql(SCHEMA).await;
    pair.target_sql(USER).await;
    pair.source_sql(
        "CREATE USER shop@'%'; GRANT READ ONLY ADMIN ON *.* TO shop@'%'; SET GLOBAL event_scheduler = ON;
         CREATE DEFINER = app@'%' EVENT quiet ON SCHEDULE EVERY 9 YEAR STARTS NOW() + INTERVAL 9 YEAR
             DO DELETE FROM promise;
         CREATE DEFINER = shop@'%' EVENT tick ON SCHEDULE EVERY 9 YEAR STARTS NOW() + INTERVAL 9 YEAR
             DO DELETE FROM promise",
    )
    .await;
    pair.target_sql("CREATE USER shop@'%'").await;
    Dunlin::run(&pair, "run", &["--until", "caught-up"]).await.expect_code(0);
    let rehearsal = ["--dry-run", "--way-back"];
    let told = Dunlin::run(&pair, "cutover", &rehearsal).await.expect_code(5).stdout;
    for said in [
        "event app.tick runs as shop@%",
        "fix: SET GLOBAL event_scheduler = OFF",
        "'shop'@'%' may write to the source",
        "a restart of the server lets writers in",
    ] {
        assert!(told.contains(said), "{said} in {told}");
    }
    assert!(!told.contains("app.quiet") && !told.contains("root"), "{told}");
    pair.source_sql("SET GLOBAL event_scheduler = OFF").await;
    Dunlin::run(&pair, "cutover", &rehearsal).await.expect_code(0);
    let refused = Dunlin::run(&pair, "cutover", &words(&["--way-back"])).await.expect_code(5);
    refused.expect_said("'shop'@'%' may write to the source");
    let accepted = words(&["--way-back", "--accept-warnings"]);
    Dunlin::run(&pair, "cutover", &accepted).await.expect_code(0);
    let until = "only until a restart of its server";
    let status =
        async |pair: &MySqlPair| Dunlin::run(pair, "status", &[]).await.expect_code(0).stdout;
    assert!(status(&pair).await.contains(until), "{}", status(&pair).await);
    pair.source.stop().unwrap();
    pair.source.start().unwrap();
    let opened = Dunlin::run(&pair, "reverse", &[]).await.expect_code(5);
    opened.expect_said("takes writes from anybody").expect_said("read_only");
    pair.source_sql("SET GLOBAL read_only = ON").await;
    Dunlin::run(&pair, "reverse", &["--until", "caught-up"]).await.expect_code(0);
    assert_refuses(&pair).await;
    assert!(status(&pair).await.contains(until), "{}", status(&pair).await);
}
