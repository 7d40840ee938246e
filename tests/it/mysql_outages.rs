//! What befalls the source's log and its server: thrown away, reset, stalled, taken over by another
//! server; and a target that is slow for long.

use std::fs;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::Path;

use dunlin::demo::mysql::release::Flavour;
use dunlin::demo::mysql::{Release, Server, ServerOptions};
use mysql_async::prelude::Queryable;
use tokio::task::JoinHandle;

use crate::support::mysql::{MySqlPair, batch, holds, row, wait_until_following};
use crate::support::pair::DATABASE;
use crate::support::{Dunlin, wait_until};

const ITEM: &str = "CREATE TABLE item (id INT AUTO_INCREMENT PRIMARY KEY, v VARCHAR(200)); \
                    INSERT INTO item (v) VALUES ('one'), ('two')";

async fn catch_up(pair: &MySqlPair) {
    Dunlin::run(pair, "run", &["--until", "caught-up"]).await.expect_code(0);
    pair.assert_equal().await;
}

/// Throws away all of the source's log but its last, empty file.
async fn purge(pair: &MySqlPair) {
    let mut session = pair.on_source().await;
    session.query_drop("FLUSH BINARY LOGS").await.unwrap();
    let files: Vec<mysql_async::Row> = session.query("SHOW BINARY LOGS").await.unwrap();
    let last: String = files.last().unwrap().get(0).unwrap();
    // MariaDB keeps files that a dump which has just ended may still be reading.
    wait_until("the log is thrown away", async || {
        session.query_drop(format!("PURGE BINARY LOGS TO '{last}'")).await.unwrap();
        let files: Vec<mysql_async::Row> = session.query("SHOW BINARY LOGS").await.unwrap();
        files.len() == 1
    })
    .await;
}

async fn log_is_thrown_away(source: ServerOptions) {
    let release = source.release;
    let pair = MySqlPair::with(source, release.into()).await;
    pair.source_sql(ITEM).await;
    catch_up(&pair).await;
    pair.source_sql("INSERT INTO item (v) VALUES ('three')").await;
    purge(&pair).await;
    let halted = Dunlin::run(&pair, "run", &["--until", "caught-up"]).await;
    halted.expect_halt("LOG_PURGED").expect_said("dunlin run --truncate-target '*'");
    Dunlin::run(&pair, "complete", &[]).await.expect_code(0);
    let words = ["--truncate-target", "*", "--until", "caught-up"];
    Dunlin::run(&pair, "run", &words).await.expect_code(0);
    pair.assert_equal().await;
    pair.source_sql("INSERT INTO item (v) VALUES ('four')").await;
    catch_up(&pair).await;
    // Names that were given before are given anew: what has them now must not count as known.
    let reset = match release.flavour {
        Flavour::MySql => "RESET BINARY LOGS AND GTIDS",
        Flavour::MariaDb => "RESET MASTER",
    };
    pair.source_sql(reset).await;
    pair.source_sql("INSERT INTO item (v) VALUES ('five')").await;
    let halted = Dunlin::run(&pair, "run", &["--until", "caught-up"]).await;
    halted.expect_halt("SOURCE_TIMELINE").expect_said("dunlin run --truncate-target '*'");
}

#[tokio::test]
async fn mysql_9_7_halts_where_the_log_was_thrown_away() {
    log_is_thrown_away(Release::MYSQL_9_7.into()).await;
}

#[tokio::test]
async fn mysql_9_7_without_gtids_halts_where_the_log_was_thrown_away() {
    let options = ServerOptions::from(Release::MYSQL_9_7);
    let options = options.with("gtid_mode", "OFF").with("enforce_gtid_consistency", "OFF");
    log_is_thrown_away(options).await;
}

#[tokio::test]
async fn mariadb_10_11_halts_where_the_log_was_thrown_away() {
    log_is_thrown_away(Release::MARIADB_10_11.into()).await;
}

#[tokio::test]
async fn mariadb_11_8_halts_where_the_log_was_thrown_away() {
    log_is_thrown_away(Release::MARIADB_11_8.into()).await;
}

/// How a server is set up for commits that are in the log and cannot be seen, since no replica confirms
/// them; how that is switched; and how it is seen that one waits.
fn semi_synchronous(release: Release) -> (&'static str, impl Fn(&str) -> String, String) {
    let (load, name) = match release.flavour {
        Flavour::MySql => {
            ("INSTALL PLUGIN rpl_semi_sync_source SONAME 'semisync_source.so'", "source")
        }
        Flavour::MariaDb => ("SET GLOBAL rpl_semi_sync_master_wait_no_slave = ON", "master"),
    };
    let set = move |value: &str| {
        format!(
            "SET GLOBAL rpl_semi_sync_{name}_wait_point = 'AFTER_SYNC', \
             GLOBAL rpl_semi_sync_{name}_timeout = 3600000, GLOBAL rpl_semi_sync_{name}_enabled = {value}"
        )
    };
    (load, set, format!("SHOW GLOBAL STATUS LIKE 'Rpl_semi_sync_{name}_wait_sessions'"))
}

/// Begins a commit, and waits until it waits for a replica.
async fn stall(pair: &MySqlPair, waits: &str) -> JoinHandle<()> {
    let mut stalled = pair.on_source().await;
    let stalled = tokio::spawn(async move {
        stalled.query_drop("INSERT INTO item (v) VALUES ('in the log alone')").await.unwrap();
    });
    let mut session = pair.on_source().await;
    wait_until("a commit waits for a replica", async || {
        row::<(String, String)>(&mut session, waits).await.1 == "1"
    })
    .await;
    stalled
}

async fn semi_synchronous_stall(release: Release) {
    let (load, set, waits) = semi_synchronous(release);
    let pair = MySqlPair::of(release).await;
    pair.source_sql(ITEM).await;
    pair.source_sql(load).await;
    pair.source_sql(&set("ON")).await;
    let stalled = stall(&pair, &waits).await;
    let mut session = pair.on_source().await;
    let (seen,): (u32,) = row(&mut session, "SELECT count(*) FROM item").await;
    assert_eq!(seen, 2);
    let mut run = Dunlin::start(&pair, "run", &["--until", "caught-up"]);
    run.says("cannot be locked at present").await;
    session.query_drop(set("OFF")).await.unwrap();
    stalled.await.unwrap();
    run.finished().await.expect_code(0);
    pair.assert_equal().await;
}

/// The target has what the source does not show yet: the log is of that source for all that.
async fn semi_synchronous_stall_of_a_stream(release: Release) {
    let (load, set, waits) = semi_synchronous(release);
    let pair = MySqlPair::of(release).await;
    pair.source_sql(ITEM).await;
    pair.source_sql(load).await;
    let run = Dunlin::start(&pair, "run", &[]);
    wait_until_following(&pair).await;
    pair.source_sql(&set("ON")).await;
    let stalled = stall(&pair, &waits).await;
    let arrived = "count(*) = 1 FROM item WHERE v = 'in the log alone'";
    holds(&pair, "the row arrives", arrived).await;
    run.interrupt().await.expect_code(0);
    Dunlin::run(&pair, "run", &["--until", "caught-up"]).await.expect_code(0);
    let (seen,): (u32,) = row(&mut pair.on_source().await, "SELECT count(*) FROM item").await;
    assert_eq!(seen, 2);
    pair.source_sql(&set("OFF")).await;
    stalled.await.unwrap();
    Dunlin::run(&pair, "run", &["--until", "caught-up"]).await.expect_code(0);
    pair.assert_equal().await;
}

#[tokio::test]
async fn mysql_9_7_a_commit_that_stalls_does_not_end_the_stream() {
    semi_synchronous_stall_of_a_stream(Release::MYSQL_9_7).await;
}

#[tokio::test]
async fn mariadb_11_8_a_commit_that_stalls_does_not_end_the_stream() {
    semi_synchronous_stall_of_a_stream(Release::MARIADB_11_8).await;
}

#[tokio::test]
async fn mysql_9_7_a_commit_that_stalls_at_the_snapshot_is_not_lost() {
    semi_synchronous_stall(Release::MYSQL_9_7).await;
}

#[tokio::test]
async fn mariadb_10_11_a_commit_that_stalls_at_the_snapshot_is_not_lost() {
    semi_synchronous_stall(Release::MARIADB_10_11).await;
}

#[tokio::test]
async fn mariadb_11_8_a_commit_that_stalls_at_the_snapshot_is_not_lost() {
    semi_synchronous_stall(Release::MARIADB_11_8).await;
}

/// Three servers: a primary, a replica of it, and the target.
struct Replicated {
    pair: MySqlPair,
    replica: Server,
}

/// What starts a replica, and what says how far a server is.
fn replicate(primary: &Server) -> String {
    let port = primary.port();
    match primary.release().flavour {
        Flavour::MySql => format!(
            "RESET BINARY LOGS AND GTIDS; CHANGE REPLICATION SOURCE TO SOURCE_HOST = '127.0.0.1', \
             SOURCE_PORT = {port}, SOURCE_USER = 'root', SOURCE_AUTO_POSITION = 1, \
             SOURCE_CONNECT_RETRY = 1, GET_SOURCE_PUBLIC_KEY = 1; START REPLICA"
        ),
        Flavour::MariaDb => format!(
            "RESET MASTER; CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = {port}, \
             MASTER_USER = 'root', MASTER_CONNECT_RETRY = 1, MASTER_USE_GTID = slave_pos; START SLAVE"
        ),
    }
}

impl Replicated {
    async fn start(release: Release) -> Replicated {
        let logged = || ServerOptions::from(release).with("log_slave_updates", "ON");
        let pair = MySqlPair::with(logged(), release.into()).await;
        let replica = Server::create(&logged()).unwrap();
        let mut session = dunlin::demo::mysql::server::connect(replica.port(), None).await.unwrap();
        session.query_drop(replicate(&pair.source)).await.unwrap();
        Replicated { pair, replica }
    }

    /// Stops or starts what the replica does with what it receives.
    async fn applies(&self, applies: bool) {
        let verb = if applies { "START" } else { "STOP" };
        let text = match self.replica.release().flavour {
            Flavour::MySql => format!("{verb} REPLICA SQL_THREAD"),
            Flavour::MariaDb => format!("{verb} SLAVE SQL_THREAD"),
        };
        batch(&self.replica, &text).await;
    }

    async fn replica_has(&self, id: u32) {
        let mut session = None;
        wait_until("the replica has a row", async || {
            if session.is_none() {
                session = self.replica.connect(DATABASE).await.ok();
            }
            let Some(session) = &mut session else { return false };
            let query = format!("SELECT id FROM item WHERE id = {id}");
            session.query_first::<u32, _>(query).await.is_ok_and(|found| found.is_some())
        })
        .await;
    }

    async fn target_has(&self, id: u32) {
        let mut session = self.pair.on_target().await;
        wait_until("the target has a row", async || {
            let query = format!("SELECT id FROM item WHERE id = {id}");
            session.query_first::<u32, _>(query).await.is_ok_and(|found| found.is_some())
        })
        .await;
    }

    fn run(&self, sources: &[&Server], words: &[&str]) -> Dunlin {
        let hosts: Vec<String> =
            sources.iter().map(|server| format!("127.0.0.1:{}", server.port())).collect();
        let source = format!("mysql://root@{}/{DATABASE}", hosts.join(","));
        let target = self.pair.target_url();
        let mut command = Dunlin::command(&["run", "--source", &source, "--target", &target]);
        command.args(words);
        Dunlin::start_command(command)
    }
}

/// A source that is itself a replica and lags; then it is promoted, and the other one comes back.
async fn another_server_takes_over(release: Release) {
    let mut servers = Replicated::start(release).await;
    let with_id = |id: u32| format!("INSERT INTO item VALUES ({id}, 'row {id}')");
    servers.pair.source_sql(ITEM).await;
    servers.replica_has(2).await;
    servers.applies(false).await;
    servers.pair.source_sql(&with_id(10)).await;
    let replica = &servers.replica;
    servers.run(&[replica], &["--until", "caught-up"]).finished().await.expect_code(0);
    servers.applies(true).await;
    servers.replica_has(10).await;
    servers.run(&[replica], &["--until", "caught-up"]).finished().await.expect_code(0);
    servers.target_has(10).await;

    // From the replica to the primary, and back to the replica, which lags and is waited for.
    servers.applies(false).await;
    servers.pair.source_sql(&with_id(11)).await;
    let mut run = servers.run(&[&servers.pair.source, replica], &["--source-timeout", "2s"]);
    servers.target_has(11).await;
    let port = servers.pair.source.port();
    servers.pair.source.stop().unwrap();
    run.says("does not have yet what the target has").await;
    servers.pair.source.start().unwrap();
    assert_eq!(port, servers.pair.source.port());
    servers.pair.source_sql(&with_id(12)).await;
    servers.target_has(12).await;
    servers.applies(true).await;
    servers.replica_has(12).await;

    servers.pair.source.stop().unwrap();
    batch(&servers.replica, &with_id(13)).await;
    servers.target_has(13).await;
    run.interrupt().await.expect_code(0);
}

#[tokio::test]
async fn mysql_9_7_another_server_takes_over() {
    another_server_takes_over(Release::MYSQL_9_7).await;
}

#[tokio::test]
async fn mariadb_10_11_another_server_takes_over() {
    another_server_takes_over(Release::MARIADB_10_11).await;
}

#[tokio::test]
async fn mariadb_11_8_another_server_takes_over() {
    another_server_takes_over(Release::MARIADB_11_8).await;
}

/// A promoted server that lacks what the target has.
#[tokio::test]
async fn mysql_9_7_a_server_without_what_the_target_has_is_refused() {
    let servers = Replicated::start(Release::MYSQL_9_7).await;
    servers.pair.source_sql(ITEM).await;
    servers.replica_has(2).await;
    servers.applies(false).await;
    servers.pair.source_sql("INSERT INTO item VALUES (10, 'lost')").await;
    let words = ["--until", "caught-up"];
    servers.run(&[&servers.pair.source], &words).finished().await.expect_code(0);
    batch(&servers.replica, "STOP REPLICA; RESET REPLICA ALL").await;
    batch(&servers.replica, "INSERT INTO item VALUES (11, 'new')").await;
    let halted = servers.run(&[&servers.replica], &words).finished().await;
    halted.expect_halt("SOURCE_TIMELINE");
}

/// A log that gathers what two servers named: all of a position is applied, in whatever order the
/// two come.
#[tokio::test]
async fn mysql_9_7_ends_behind_all_that_a_position_holds() {
    const OTHER: &str = "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa";
    let pair = MySqlPair::of(Release::MYSQL_9_7).await;
    pair.source_sql(ITEM).await;
    catch_up(&pair).await;
    let mut session = pair.on_source().await;
    let (executed,): (String,) = row(&mut session, "SELECT @@GLOBAL.gtid_executed").await;
    for number in 1..=2 {
        let text = format!(
            "INSERT INTO item (v) VALUES ('own'); SET gtid_next = '{OTHER}:{number}'; \
             INSERT INTO item (v) VALUES ('other'); SET gtid_next = AUTOMATIC"
        );
        session.query_drop(text).await.unwrap();
    }
    session.query_drop("INSERT INTO item (v) VALUES ('beyond')").await.unwrap();
    let position = format!("{executed},{OTHER}:1-2");
    let words = ["--until", position.as_str()];
    Dunlin::run(&pair, "run", &words).await.expect_code(0);
    let count = "SELECT count(*), count(IF(v = 'beyond', 1, NULL)) FROM item";
    let found: (u32, u32) = row(&mut pair.on_target().await, count).await;
    assert_eq!(found, (6, 0));
    // It is reached already.
    Dunlin::run(&pair, "run", &words).await.expect_code(0);
    catch_up(&pair).await;
}

/// The source's own limit for a peer that does not take its bytes is a second; the target's rows are
/// locked for longer.
async fn slow_target(release: Release) {
    let source = ServerOptions::from(release).with("net_write_timeout", "1");
    let pair = MySqlPair::with(source, release.into()).await;
    pair.source_sql(ITEM).await;
    pair.source_sql("CREATE TABLE large (id INT PRIMARY KEY, v MEDIUMTEXT)").await;
    let mut run = Dunlin::start(&pair, "run", &[]);
    run.says("caught up").await;
    let mut locker = pair.on_target().await;
    locker.query_drop("BEGIN; UPDATE item SET v = v WHERE id = 1").await.unwrap();
    pair.source_sql("UPDATE item SET v = 'waits' WHERE id = 1").await;
    let mut session = pair.on_source().await;
    for id in 0..60 {
        let text = format!("INSERT INTO large VALUES ({id}, REPEAT('x', 1000000))");
        session.query_drop(text).await.unwrap();
    }
    // By the server's own clock, three times as long as it would wait.
    session.query_drop("DO SLEEP(3)").await.unwrap();
    let (there,): (u32,) = row(&mut locker, "SELECT count(*) FROM large").await;
    assert_eq!(there, 0);
    locker.query_drop("COMMIT").await.unwrap();
    wait_until("the target has everything", async || {
        row::<(u32,)>(&mut locker, "SELECT count(*) FROM large").await.0 == 60
    })
    .await;
    let finished = run.interrupt().await.expect_code(0);
    assert!(!finished.stderr.contains("try again"), "{}", finished.stderr);
    catch_up(&pair).await;
}

#[tokio::test]
async fn mysql_9_7_waits_for_a_slow_target() {
    slow_target(Release::MYSQL_9_7).await;
}

#[tokio::test]
async fn mariadb_10_11_waits_for_a_slow_target() {
    slow_target(Release::MARIADB_10_11).await;
}

#[tokio::test]
async fn mariadb_11_8_waits_for_a_slow_target() {
    slow_target(Release::MARIADB_11_8).await;
}

/// Where the first compressed transaction behind this place of a log stands: its offset and length.
fn payload_behind(log: &[u8], start: usize) -> (usize, usize) {
    const TRANSACTION_PAYLOAD: u8 = 40;
    let length = |at: usize| u32::from_le_bytes(log[at + 9..at + 13].try_into().unwrap()) as usize;
    let mut at = start;
    while log[at + 4] != TRANSACTION_PAYLOAD {
        at += length(at);
    }
    (at, length(at))
}

/// A compressed transaction that is damaged in the source's file: once so that its checksum shows it,
/// and once so that only unpacking does.
#[tokio::test]
async fn mysql_9_7_a_damaged_payload_halts_before_its_rows() {
    let packed =
        ServerOptions::from(Release::MYSQL_9_7).with("binlog_transaction_compression", "ON");
    let pair = MySqlPair::with(packed, Release::MYSQL_9_7.into()).await;
    pair.source_sql(
        "CREATE TABLE item (id INT PRIMARY KEY, v TEXT); INSERT INTO item VALUES (1, 'a')",
    )
    .await;
    Dunlin::run(&pair, "run", &["--until", "caught-up"]).await.expect_code(0);
    let mut source = pair.on_source().await;
    let (folder,): (String,) = row(&mut source, "SELECT @@log_bin_basename").await;
    let end = "SHOW BINARY LOG STATUS";
    let (name, start, ..): (String, usize, String, String, String) = row(&mut source, end).await;
    let file = Path::new(&folder).with_file_name(name);
    pair.source_sql("INSERT INTO item VALUES (2, REPEAT('b', 5000)), (3, REPEAT('c', 5000))").await;
    pair.source_sql("INSERT INTO item VALUES (4, 'd')").await;

    let whole = fs::read(&file).unwrap();
    let (at, length) = payload_behind(&whole, start);
    let mut flipped = whole[at..at + length].to_vec();
    flipped[length / 2] ^= 1;
    let mut unpackable = whole[at..at + length].to_vec();
    // What every frame of zstd begins with.
    let frame = unpackable.windows(4).position(|bytes| bytes == [0x28, 0xB5, 0x2F, 0xFD]).unwrap();
    unpackable[frame] ^= 1;
    let sum = crc32fast::hash(&unpackable[..length - 4]).to_le_bytes();
    unpackable[length - 4..].copy_from_slice(&sum);
    for (damaged, expected) in [(flipped, "checksum"), (unpackable, "decompressed")] {
        overwrite(&file, at, &damaged);
        let halted = Dunlin::run(&pair, "run", &["--until", "caught-up"]).await;
        halted.expect_halt("LOG_UNREADABLE").expect_said(expected);
        let (count,): (u32,) = row(&mut pair.on_target().await, "SELECT count(*) FROM item").await;
        assert_eq!(count, 1);
    }
    overwrite(&file, at, &whole[at..at + length]);
    Dunlin::run(&pair, "run", &["--until", "caught-up"]).await.expect_code(0);
    pair.assert_equal().await;
}

fn overwrite(file: &Path, at: usize, bytes: &[u8]) {
    let mut file = fs::OpenOptions::new().write(true).open(file).unwrap();
    file.seek(SeekFrom::Start(at as u64)).unwrap();
    file.write_all(bytes).unwrap();
}
