//! URLs with several hosts: whatever is done after the first connection is done with the same server.

use dunlin::demo::mysql::{Release, Server};

use crate::support::mysql::{MySqlPair, batch, row};
use crate::support::pair::DATABASE;
use crate::support::{Dunlin, Proxy};

/// Where a verification has looked at both sides, and has read no row yet.
const BEGUN: &str = "verification-begun";

/// A server that is listed first, and comes back once the verification is with the second, has another
/// row. It is not the one that is compared.
#[tokio::test]
async fn rows_are_compared_on_the_servers_that_it_is_with() {
    let pair = MySqlPair::of(Release::MYSQL_9_7).await;
    pair.source_sql("CREATE TABLE orders (id int PRIMARY KEY); INSERT INTO orders VALUES (1)")
        .await;
    Dunlin::run(&pair, "run", &["--until", "caught-up"]).await.expect_code(0);
    let other = Server::create(&Release::MYSQL_9_7.into()).unwrap();
    other.create_database(DATABASE).await.unwrap();
    batch(&other, "CREATE TABLE orders (id int PRIMARY KEY); INSERT INTO orders VALUES (2)").await;
    let gate = Proxy::start(other.port()).await;
    gate.refuse();
    let hosts = |server: &Server| {
        let (first, second) = (gate.mysql_url(DATABASE), server.port());
        first.replace(&format!("/{DATABASE}"), &format!(",127.0.0.1:{second}/{DATABASE}"))
    };
    for sides in [[true, false], [false, true]] {
        let url = |server, several| match several {
            true => hosts(server),
            false => server.url(DATABASE),
        };
        let source = url(&pair.source, sides[0]);
        let target = url(&pair.target, sides[1]);
        let mut command = Dunlin::command(&["verify", "--source", &source, "--target", &target]);
        let folder = tempfile::tempdir().unwrap();
        let go_on = folder.path().join("go-on");
        command.env("DUNLIN_FAILPOINT", BEGUN).env("DUNLIN_FAILPOINT_GATE", &go_on);
        gate.refuse();
        let mut verify = Dunlin::start_command(command);
        verify.reaches(BEGUN).await;
        gate.thaw();
        std::fs::write(&go_on, "").unwrap();
        verify.finished().await.expect_code(0);
    }
}

/// A name behind which connections are with one server and with another in turn, as behind a
/// reader's endpoint.
#[tokio::test]
async fn connections_that_are_with_different_servers_halt_before_a_row_is_copied() {
    for release in [Release::MYSQL_9_7, Release::MARIADB_11_8] {
        let pair = MySqlPair::of(release).await;
        let other = Server::create(&release.into()).unwrap();
        other.create_database(DATABASE).await.unwrap();
        let orders = "CREATE TABLE orders (id int PRIMARY KEY); INSERT INTO orders VALUES (1)";
        pair.source_sql(orders).await;
        batch(&other, orders).await;
        let proxy = Proxy::before(&[pair.source.port(), other.port()]).await;
        let (source, target) = (proxy.mysql_url(DATABASE), pair.target.url(DATABASE));
        for lock in [&[][..], &["--lock", "none"]] {
            let arguments = ["run", "--source", &source, "--target", &target];
            let command = Dunlin::command(&[&arguments, lock].concat());
            let halted = Dunlin::start_command(command).finished().await;
            halted.expect_halt("SOURCE_IDENTITY");
        }
        pair.target_sql("CREATE TABLE IF NOT EXISTS orders (id int PRIMARY KEY)").await;
        let mut session = pair.on_target().await;
        let rows: u64 = row(&mut session, "SELECT COUNT(*) FROM orders").await;
        assert_eq!(rows, 0);
    }
}
