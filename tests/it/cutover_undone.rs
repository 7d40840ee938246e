//! What outlives a cutover that came to nothing, and must not: the proofs of a verification that was under
//! way, and the sessions of a machine that is gone.

use dunlin::demo::mysql::Release;

use crate::support::mysql::MySqlPair;
use crate::support::steps::{Applications, Held, Servers, Side, cutover};
use crate::support::{Dunlin, TestPair};

async fn caught_up<S: Servers>(servers: &S) {
    servers.prepare().await;
    Dunlin::run(servers.pair(), "run", &["--until", "caught-up"]).await.expect_code(0);
}

/// Clients may have written to the target: what a verification read before that proves nothing.
async fn leaves_no_proof<S: Servers>(servers: S) {
    caught_up(&servers).await;
    let pair = servers.pair();
    assert!(servers.insert(Side::Source, 1).await);
    Dunlin::run(pair, "run", &["--until", "caught-up"]).await.expect_code(0);
    let urls = (pair.source_url(), pair.target_url());
    let verify = Dunlin::command(&["verify", "--source", &urls.0, "--target", &urls.1]);
    let held = Held::at(verify, "unit-proven").await;
    let fails = cutover(&servers, &["--verify-first", "0", "--switch", "exit 3"]);
    Dunlin::start_command(fails).finished().await.expect_code(5);
    held.let_go();
    let verified = held.dunlin.finished().await.expect_code(0);
    verified.expect_said("does not count for a cutover");
    let rehearsed =
        async || Dunlin::run(pair, "cutover", &["--dry-run"]).await.expect_code(0).stdout;
    assert!(rehearsed().await.contains("it is not proven that both sides are equal"));
    Dunlin::run(pair, "verify", &[]).await.expect_code(0);
    assert!(rehearsed().await.contains("every table was proven equal"));
}

#[tokio::test]
async fn postgres_leaves_no_proof_of_a_verification_under_way() {
    leaves_no_proof(TestPair::start().await).await;
}

#[tokio::test]
async fn mysql_9_7_leaves_no_proof_of_a_verification_under_way() {
    leaves_no_proof(MySqlPair::of(Release::MYSQL_9_7).await).await;
}

#[tokio::test]
async fn mariadb_11_8_leaves_no_proof_of_a_verification_under_way() {
    leaves_no_proof(MySqlPair::of(Release::MARIADB_11_8).await).await;
}

/// A cutover that is at work as far as its server knows is ended by what the refusal says.
async fn is_ended_by_its_session<S: Servers>(servers: S) {
    caught_up(&servers).await;
    let pair = servers.pair();
    let mut applications = Applications::new(&servers);
    let held = Held::at(cutover(&servers, &[]), "source-sealed").await;
    let refused = Dunlin::run(pair, "cutover", &["--abort"]).await.expect_code(4);
    let refused = refused.expect_said("error[ALREADY_RUNNING]");
    let (_, behind) = refused.stderr.split_once("end its session on the target: ").unwrap();
    let (statement, _) = behind.split_once(';').unwrap();
    servers.sql(Side::Target, statement).await;
    Dunlin::run(pair, "cutover", &["--abort"]).await.expect_code(0);
    applications.write(Side::Source, true, "aborted").await;
    held.dunlin.kill().await;
    Dunlin::run(pair, "run", &["--until", "caught-up"]).await.expect_code(0);
    applications.assert_kept_on_the_source().await;
}

#[tokio::test]
async fn postgres_says_how_to_end_a_cutover_whose_machine_is_gone() {
    is_ended_by_its_session(TestPair::start().await).await;
}

#[tokio::test]
async fn mysql_9_7_says_how_to_end_a_cutover_whose_machine_is_gone() {
    is_ended_by_its_session(MySqlPair::of(Release::MYSQL_9_7).await).await;
}
