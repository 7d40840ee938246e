//! A cutover there and back at each of its steps, on every engine: killed there, its connections cut,
//! its servers started anew; and its verbs in the wrong order. Whatever happens, the source takes writes
//! again, nothing is left behind, the stream goes on, and every promised row is there exactly once.

use dunlin::demo::mysql::Release;

use crate::support::binary::Finished;
use crate::support::mysql::MySqlPair;
use crate::support::steps::{Applications, Held, Servers, Side, between, cutover};
use crate::support::{Dunlin, Proxy, TestPair, number, wait_until};

const CATCH_UP: [&str; 2] = ["--until", "caught-up"];
const FAILS: [&str; 2] = ["--switch", "exit 3"];

/// Where a cutover with a way back is killed, and whether the source refuses writes then.
const THERE: [(&str, bool); 9] = [
    ("way-back-published", false),
    ("way-back-armed", false),
    ("cutover-begun", false),
    ("fence-closed", false),
    ("log-drained", false),
    ("sequences-carried", false),
    ("source-sealing", false),
    ("source-sealed", true),
    ("traffic-switching", true),
];

/// Likewise on the way back, of which the source is the target of before.
const BACK: [(&str, bool); 8] = [
    ("cutover-begun", false),
    ("fence-closed", false),
    ("log-drained", false),
    ("sequences-carried", false),
    ("source-sealing", false),
    ("source-sealed", true),
    ("target-unsealed", true),
    ("traffic-switching", true),
];

async fn run<S: Servers>(servers: &S, verb: &str, words: &[&str]) -> String {
    Dunlin::run(servers.pair(), verb, words).await.expect_code(0).stdout
}

async fn cut_over<S: Servers>(servers: &S, words: &[&str]) -> Finished {
    Dunlin::start_command(cutover(servers, words)).finished().await
}

async fn caught_up<S: Servers>(servers: S) -> S {
    servers.prepare().await;
    run(&servers, "run", &CATCH_UP).await;
    servers
}

/// Kills a cutover at each step, and undoes it by `--abort` or by the same command that then fails.
async fn kills<S: Servers>(
    servers: &S,
    applications: &mut Applications<'_, S>,
    (words, side): (&[&str], Side),
    steps: &[(&str, bool)],
) {
    let before = servers.traces().await;
    for (n, (step, refuses)) in steps.iter().enumerate() {
        let held = Held::at(cutover(servers, words), step).await;
        held.dunlin.kill().await;
        applications.write(side, !refuses, step).await;
        if *refuses || side == Side::Source {
            wait_until("the status tells how it is undone", async || {
                run(servers, "status", &[]).await.contains("--abort")
            })
            .await;
        }
        let undecided = ["target-unsealed", "traffic-switching"].contains(step);
        if undecided {
            let refused = cut_over(servers, words).await.expect_code(5);
            refused.expect_said("error[CUTOVER_UNDECIDED]");
        }
        if undecided || n % 2 == 0 {
            cut_over(servers, &[words, &["--abort"]].concat()).await.expect_code(0);
        } else {
            let failed = cut_over(servers, &[words, &FAILS].concat()).await.expect_code(5);
            failed.expect_said("error[CUTOVER_UNDONE]").expect_said("exit status: 3");
        }
        assert_eq!(servers.traces().await, before, "after a kill at {step}");
        applications.write(side, true, step).await;
    }
}

async fn killed_there<S: Servers>(servers: S) {
    let servers = &caught_up(servers).await;
    let mut applications = Applications::new(servers);
    kills(servers, &mut applications, (&["--way-back"], Side::Source), &THERE).await;
    let held = Held::at(cutover(servers, &["--way-back"]), "traffic-switched").await;
    held.dunlin.kill().await;
    applications.write(Side::Source, false, "switched").await;
    cut_over(servers, &["--finish"]).await.expect_code(0);
    let mut reverse =
        Dunlin::start_with_failpoint(servers.pair(), "reverse", &[], "way-back-begun");
    reverse.reaches("way-back-begun").await;
    reverse.kill().await;
    applications.write(Side::Target, true, "cut over").await;
    run(servers, "reverse", &CATCH_UP).await;
    applications.assert_kept_on_the_source().await;

    // An end that is killed half-way is not begun with again.
    let mut complete =
        Dunlin::start_with_failpoint(servers.pair(), "complete", &[], "way-back-removed");
    complete.reaches("way-back-removed").await;
    complete.kill().await;
    let before = servers.traces().await;
    for (verb, words) in [("reverse", &[][..]), ("cutover", &["--back"])] {
        let refused = Dunlin::run(servers.pair(), verb, words).await.expect_code(5);
        refused.expect_said("error[NO_WAY_BACK]");
    }
    assert_eq!(servers.traces().await, before);
    run(servers, "complete", &[]).await;
    applications.write(Side::Source, false, "ended").await;
}

async fn killed_on_the_way_back<S: Servers>(servers: S) {
    let servers = &caught_up(servers).await;
    let mut applications = Applications::new(servers);
    applications.write(Side::Source, true, "at the beginning").await;
    cut_over(servers, &["--way-back"]).await.expect_code(0);
    applications.write(Side::Target, true, "cut over").await;
    run(servers, "reverse", &CATCH_UP).await;
    kills(servers, &mut applications, (&["--back"], Side::Target), &BACK).await;
    applications.write(Side::Source, false, "on the way back").await;
    let held = Held::at(cutover(servers, &["--back"]), "traffic-switched").await;
    held.dunlin.kill().await;
    cut_over(servers, &["--back", "--finish"]).await.expect_code(0);
    applications.write(Side::Target, false, "gone back").await;
    applications.write(Side::Source, true, "gone back").await;
    applications.assert_kept_on_the_source().await;

    let mut complete =
        Dunlin::start_with_failpoint(servers.pair(), "complete", &[], "way-back-removed");
    complete.reaches("way-back-removed").await;
    complete.kill().await;
    let refused = Dunlin::run(servers.pair(), "reverse", &[]).await.expect_code(5);
    refused.expect_said("error[NO_WAY_BACK]").expect_said("dunlin complete");
    let said = run(servers, "run", &[]).await;
    assert!(said.contains("the former source is the database"), "{said}");
    applications.write(Side::Source, true, "half ended").await;
    // What the first end has removed is not all that told it.
    let told = run(servers, "complete", &[]).await;
    let lift = "to be run on the target, once it is to take writes again: ";
    assert!(told.contains(lift), "{told}");
    applications.write(Side::Source, true, "ended").await;
    applications.write(Side::Target, false, "ended").await;
}

#[tokio::test]
async fn killed_at_every_step_there() {
    killed_there(TestPair::start().await).await;
}

#[tokio::test]
async fn killed_at_every_step_there_mysql_9_7() {
    killed_there(MySqlPair::of(Release::MYSQL_9_7).await).await;
}

#[tokio::test]
async fn killed_at_every_step_there_mariadb_11_8() {
    killed_there(MySqlPair::of(Release::MARIADB_11_8).await).await;
}

#[tokio::test]
async fn killed_at_every_step_back() {
    killed_on_the_way_back(TestPair::start().await).await;
}

#[tokio::test]
async fn killed_at_every_step_back_mysql_9_7() {
    killed_on_the_way_back(MySqlPair::of(Release::MYSQL_9_7).await).await;
}

#[tokio::test]
async fn killed_at_every_step_back_mariadb_11_8() {
    killed_on_the_way_back(MySqlPair::of(Release::MARIADB_11_8).await).await;
}

/// Where all connections with a side are cut.
const CUTS: [(&str, Side); 12] = [
    ("way-back-armed", Side::Target),
    ("cutover-begun", Side::Source),
    ("fence-closed", Side::Source),
    ("fence-closed", Side::Target),
    ("log-drained", Side::Source),
    ("sequences-carried", Side::Target),
    ("source-sealing", Side::Source),
    ("source-sealing", Side::Target),
    ("source-sealed", Side::Source),
    ("source-sealed", Side::Target),
    ("traffic-switching", Side::Source),
    ("traffic-switching", Side::Target),
];

/// Likewise on the way back, of which the target is the source.
const CUTS_BACK: [(&str, Side); 10] = [
    ("cutover-begun", Side::Target),
    ("fence-closed", Side::Target),
    ("fence-closed", Side::Source),
    ("log-drained", Side::Target),
    ("source-sealing", Side::Source),
    ("source-sealed", Side::Target),
    ("source-sealed", Side::Source),
    ("target-unsealed", Side::Source),
    ("traffic-switching", Side::Target),
    ("traffic-switching", Side::Source),
];

/// Cuts the connections of a cutover at each step, which fails, and undoes what that leaves.
async fn cuts<S: Servers>(
    servers: &S,
    applications: &mut Applications<'_, S>,
    (word, side): (&str, Side),
    steps: &[(&str, Side)],
) {
    let pair = servers.pair();
    let before = servers.traces().await;
    let source = Proxy::start(pair.source.port()).await;
    let target = Proxy::start(pair.target.port()).await;
    let urls = [&source, &target].map(|proxy| servers.url_behind(proxy));
    let urls = [urls[0].as_str(), urls[1].as_str()];
    for (step, cut) in steps {
        let held = Held::at(between(&urls, &[&[word][..], &FAILS].concat()), step).await;
        match cut {
            Side::Source => source.cut(),
            Side::Target => target.cut(),
        }
        held.let_go();
        let when = format!("{step}, {cut:?} cut");
        let failed = held.dunlin.finished().await;
        // What it could not reach may be a passing matter (75).
        assert!([5, 75].contains(&failed.code()), "{when}: {failed:?}");
        if failed.stderr.contains("and is undone") {
            applications.write(side, true, &when).await;
        }
        cut_over(servers, &[word, "--abort"]).await.expect_code(0);
        assert_eq!(servers.traces().await, before, "{when}");
        applications.write(side, true, &when).await;
    }
}

async fn connections_are_cut<S: Servers>(servers: S) {
    let servers = &caught_up(servers).await;
    let mut applications = Applications::new(servers);
    cuts(servers, &mut applications, ("--way-back", Side::Source), &CUTS).await;
    run(servers, "run", &CATCH_UP).await;
    cut_over(servers, &["--way-back"]).await.expect_code(0);
    applications.assert_kept_on_the_source().await;
    applications.write(Side::Source, false, "cut over").await;
}

async fn connections_are_cut_on_the_way_back<S: Servers>(servers: S) {
    let servers = &caught_up(servers).await;
    let mut applications = Applications::new(servers);
    cut_over(servers, &["--way-back"]).await.expect_code(0);
    run(servers, "reverse", &CATCH_UP).await;
    cuts(servers, &mut applications, ("--back", Side::Target), &CUTS_BACK).await;
    applications.write(Side::Source, false, "on the way back").await;
    cut_over(servers, &["--back"]).await.expect_code(0);
    applications.assert_kept_on_the_source().await;
    applications.write(Side::Source, true, "gone back").await;
    applications.write(Side::Target, false, "gone back").await;
}

#[tokio::test]
async fn cut_at_every_step() {
    connections_are_cut(TestPair::start().await).await;
}

#[tokio::test]
async fn cut_at_every_step_mysql_9_7() {
    connections_are_cut(MySqlPair::of(Release::MYSQL_9_7).await).await;
}

#[tokio::test]
async fn cut_at_every_step_mariadb_11_8() {
    connections_are_cut(MySqlPair::of(Release::MARIADB_11_8).await).await;
}

#[tokio::test]
async fn cut_at_every_step_back() {
    connections_are_cut_on_the_way_back(TestPair::start().await).await;
}

#[tokio::test]
async fn cut_at_every_step_back_mysql_9_7() {
    connections_are_cut_on_the_way_back(MySqlPair::of(Release::MYSQL_9_7).await).await;
}

#[tokio::test]
async fn cut_at_every_step_back_mariadb_11_8() {
    connections_are_cut_on_the_way_back(MySqlPair::of(Release::MARIADB_11_8).await).await;
}

/// A statement that seals the source is under way when its cutover is killed and undone.
async fn a_seal_comes_late<S: Servers>(servers: S) {
    let servers = &caught_up(servers).await;
    let proxy = Proxy::start(servers.pair().source.port()).await;
    let urls = [servers.url_behind(&proxy), servers.pair().target_url()];
    let urls = [urls[0].as_str(), urls[1].as_str()];
    let held = Held::at(between(&urls, &[]), "source-sealing").await;
    proxy.freeze_to_server();
    held.let_go();
    wait_until("the seal is under way", async || proxy.holds(servers.sealing())).await;
    held.dunlin.kill().await;
    cut_over(servers, &["--abort"]).await.expect_code(0);
    proxy.thaw();
    wait_until("what was held back has come", async || proxy.connections() == 0).await;
    Applications::new(servers).write(Side::Source, true, "after the seal came").await;
    run(servers, "run", &CATCH_UP).await;
}

#[tokio::test]
async fn a_late_seal_finds_nobody() {
    a_seal_comes_late(TestPair::start().await).await;
}

#[tokio::test]
async fn a_late_seal_finds_nobody_mysql_9_7() {
    a_seal_comes_late(MySqlPair::of(Release::MYSQL_9_7).await).await;
}

#[tokio::test]
async fn a_late_seal_finds_nobody_mariadb_11_8() {
    a_seal_comes_late(MySqlPair::of(Release::MARIADB_11_8).await).await;
}

/// A synchronous standby that never answers keeps nobody from being let in again.
#[tokio::test]
async fn the_seal_waits_for_no_standby() {
    let pair = &caught_up(TestPair::start().await).await;
    let held = Held::at(cutover(pair, &FAILS), "source-sealing").await;
    let source = pair.on_source().await;
    source.batch_execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'").await.unwrap();
    source.batch_execute("SELECT pg_reload_conf()").await.unwrap();
    let other = pair.on_source().await;
    let waiting = tokio::spawn(async move { other.batch_execute("CREATE TABLE probe ()").await });
    let waits = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = 'SyncRep')";
    wait_until("commits wait for the standby", async || number(&source, waits).await).await;
    held.let_go();
    let failed = held.dunlin.finished().await.expect_code(5);
    failed.expect_said("error[CUTOVER_UNDONE]").expect_said("and is undone");
    source.batch_execute("ALTER SYSTEM RESET synchronous_standby_names").await.unwrap();
    source.batch_execute("SELECT pg_reload_conf()").await.unwrap();
    waiting.await.unwrap().unwrap();
    Applications::new(pair).write(Side::Source, true, "undone").await;
    assert_eq!(pair.traces().await[2..4], [0, 0]);
}

/// Either server is started anew while the traffic is being moved.
async fn servers_start_anew<S: Servers>(mut servers: S, restart: impl Fn(&mut S, Side)) {
    servers = caught_up(servers).await;
    let held = Held::at(cutover(&servers, &FAILS), "traffic-switching").await;
    restart(&mut servers, Side::Source);
    held.let_go();
    let failed = held.dunlin.finished().await.expect_code(5);
    failed.expect_said("error[CUTOVER_UNDONE]").expect_said("and is undone");
    let held = Held::at(cutover(&servers, &[]), "traffic-switched").await;
    restart(&mut servers, Side::Target);
    held.let_go();
    let ended = held.dunlin.finished().await;
    // MySQL's is recorded over a new connection.
    if ended.code() != 0 {
        let failed = ended.expect_code(5).expect_said("error[CUTOVER_UNDECIDED]");
        failed.expect_said("dunlin cutover --finish");
        cut_over(&servers, &["--finish"]).await.expect_code(0);
    }
    let mut applications = Applications::new(&servers);
    applications.write(Side::Source, false, "cut over").await;
    applications.write(Side::Target, true, "cut over").await;
}

#[tokio::test]
async fn servers_are_started_anew() {
    servers_start_anew(TestPair::start().await, |pair: &mut TestPair, side| {
        let server = if side == Side::Source { &mut pair.source } else { &mut pair.target };
        server.stop().unwrap();
        server.start().unwrap();
    })
    .await;
}

async fn mysql_servers_start_anew(release: Release) {
    let pair = MySqlPair::of(release).await;
    servers_start_anew(pair, |pair: &mut MySqlPair, side| {
        let server = if side == Side::Source { &mut pair.source } else { &mut pair.target };
        server.stop().unwrap();
        server.start().unwrap();
    })
    .await;
}

#[tokio::test]
async fn servers_are_started_anew_mysql_9_7() {
    mysql_servers_start_anew(Release::MYSQL_9_7).await;
}

#[tokio::test]
async fn servers_are_started_anew_mariadb_11_8() {
    mysql_servers_start_anew(Release::MARIADB_11_8).await;
}

/// Whatever is asked out of turn is refused, and says what comes next.
async fn verbs_come_in_the_wrong_order<S: Servers>(servers: S) {
    let servers = &caught_up(servers).await;
    let refused = async |verb: &str, words: &[&str], code: &str, said: &str| {
        let patient: &[&str] = if verb == "cutover" { &["--accept-unverified"] } else { &[] };
        let told = Dunlin::run(servers.pair(), verb, &[patient, words].concat()).await;
        assert!(![0, 101, -1].contains(&told.code()), "{verb} {words:?}: {told:?}");
        told.expect_said(&format!("error[{code}]")).expect_said(said);
    };
    refused("reverse", &[], "NO_WAY_BACK", "dunlin cutover --way-back").await;
    refused("cutover", &["--back"], "NO_WAY_BACK", "dunlin reverse").await;
    refused("cutover", &["--finish"], "CUTOVER_REFUSED", "dunlin status").await;
    cut_over(servers, &["--abort"]).await.expect_code(0);

    let held = Held::at(cutover(servers, &["--way-back"]), "way-back-armed").await;
    for words in [&[][..], &["--abort"]] {
        refused("cutover", words, "ALREADY_RUNNING", "Ctrl-C").await;
    }
    assert!(run(servers, "status", &[]).await.contains("a cutover is at work"));
    held.let_go();
    held.dunlin.finished().await.expect_code(0);
    refused("cutover", &[], "CUT_OVER", "dunlin reverse").await;
    refused("cutover", &["--abort"], "CUT_OVER", "dunlin complete").await;
    refused("cutover", &["--back"], "NO_WAY_BACK", "dunlin reverse").await;
    let target = ["status", "--target", &servers.pair().target_url()];
    let told = Dunlin::start_command(Dunlin::command(&target)).finished().await.expect_code(0);
    assert!(told.stdout.contains("with --source"), "{}", told.stdout);
    assert!(told.stdout.contains("lag           none"), "{}", told.stdout);

    let mut applications = Applications::new(servers);
    applications.write(Side::Target, true, "cut over").await;
    let mut reverse = Dunlin::start(servers.pair(), "reverse", &[]);
    wait_until("the way back follows", async || {
        let told = run(servers, "status", &[]).await;
        told.contains("on the way back") && told.contains("stream, running")
    })
    .await;
    refused("complete", &[], "ALREADY_RUNNING", "").await;
    assert!(reverse.is_running());
    run(servers, "cutover", &["--back", "--accept-unverified", "--max-downtime", "50s"]).await;
    reverse.finished().await.expect_code(0);

    let gone = "the former source is the database";
    for (verb, words) in [("run", &[][..]), ("reverse", &[]), ("status", &[])] {
        let told = run(servers, verb, words).await;
        assert!(told.contains(gone) && told.contains("dunlin complete"), "{verb}: {told}");
    }
    refused("cutover", &[], "CUT_OVER", gone).await;
    refused("cutover", &["--back"], "CUT_OVER", gone).await;
    refused("cutover", &["--back", "--abort"], "CUT_OVER", "dunlin complete").await;
    applications.write(Side::Source, true, "gone back").await;
    applications.assert_kept_on_the_source().await;
    run(servers, "complete", &[]).await;
    applications.write(Side::Source, true, "ended").await;
}

#[tokio::test]
async fn the_wrong_order_is_refused() {
    verbs_come_in_the_wrong_order(TestPair::start().await).await;
}

#[tokio::test]
async fn the_wrong_order_is_refused_mariadb_11_8() {
    verbs_come_in_the_wrong_order(MySqlPair::of(Release::MARIADB_11_8).await).await;
}
