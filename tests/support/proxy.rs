//! A connection that can be cut, or freeze while both ends think it stands.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What the proxy does with bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// They pass.
    Pass,
    /// They stop, in both directions; connections stay open.
    Freeze,
    /// Those to the server stop; its own pass.
    FreezeToServer,
    /// Those from the server stop; the client's pass.
    FreezeFromServer,
}

/// A proxy on a free port before one server. Dropping it cuts every connection.
pub struct Proxy {
    address: SocketAddr,
    mode: watch::Sender<Mode>,
    cut: watch::Sender<u64>,
    _accepting: JoinSet<()>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    ToServer,
    FromServer,
}

impl Proxy {
    /// Starts a proxy before the server on this port of 127.0.0.1.
    pub async fn start(server_port: u16) -> Proxy {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (mode, modes) = watch::channel(Mode::Pass);
        let (cut, cuts) = watch::channel(0);
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, server_port, modes, cuts));
        Proxy { address, mode, cut, _accepting: accepting }
    }

    /// The URL of a database behind it.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@{}/{database}", self.address)
    }

    /// The URL of a database of MySQL or MariaDB behind it.
    pub fn mysql_url(&self, database: &str) -> String {
        format!("mysql://root@{}/{database}", self.address)
    }

    /// Cuts every connection that stands; new ones pass.
    pub fn cut(&self) {
        self.cut.send_modify(|cuts| *cuts += 1);
    }

    /// Lets nothing through from now on, in both directions. Connections stay open.
    pub fn freeze(&self) {
        self.mode.send_replace(Mode::Freeze);
    }

    /// Lets nothing through to the server: it hears no reply.
    pub fn freeze_to_server(&self) {
        self.mode.send_replace(Mode::FreezeToServer);
    }

    /// Lets nothing through from the server: what it did is done, and its word is lost.
    pub fn freeze_from_server(&self) {
        self.mode.send_replace(Mode::FreezeFromServer);
    }

    /// Lets everything through again, what was held back first.
    pub fn thaw(&self) {
        self.mode.send_replace(Mode::Pass);
    }
}

async fn accept(
    listener: TcpListener,
    server_port: u16,
    modes: watch::Receiver<Mode>,
    cuts: watch::Receiver<u64>,
) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let (modes, mut cuts) = (modes.clone(), cuts.clone());
        cuts.mark_unchanged();
        connections.spawn(async move {
            let Ok(server) = TcpStream::connect(("127.0.0.1", server_port)).await else {
                return;
            };
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) = server.into_split();
            tokio::select! {
                () = pass(from_client, to_server, modes.clone(), Direction::ToServer) => {}
                () = pass(from_server, to_client, modes, Direction::FromServer) => {}
                _ = cuts.changed() => {}
            }
        });
    }
}

async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut modes: watch::Receiver<Mode>,
    direction: Direction,
) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        let passes = |mode: &Mode| match mode {
            Mode::Pass => true,
            Mode::Freeze => false,
            Mode::FreezeToServer => direction == Direction::FromServer,
            Mode::FreezeFromServer => direction == Direction::ToServer,
        };
        if modes.wait_for(passes).await.is_err() || to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}
