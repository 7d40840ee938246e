//! A connection that can be cut, or freeze while both ends think it stands.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What a client says is read up to here while it is held back; beyond that the client waits.
const MOST_HELD: usize = 1 << 20;

/// What the proxy does with bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// They pass.
    Pass,
    /// Those of connections that stand pass; new ones are closed at once.
    Refuse,
    /// They stop, in both directions; connections stay open.
    Freeze,
    /// Those to the server stop; its own pass.
    FreezeToServer,
    /// Those from the server stop; the client's pass.
    FreezeFromServer,
}

/// A proxy on a free port before one server, or several in turn. Dropping it cuts every connection.
pub struct Proxy {
    address: SocketAddr,
    mode: watch::Sender<Mode>,
    cut: watch::Sender<u64>,
    held: Arc<Mutex<Vec<u8>>>,
    open: watch::Receiver<usize>,
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
        Proxy::before(&[server_port]).await
    }

    /// Starts a proxy before several servers, which take connections in turn.
    pub async fn before(server_ports: &[u16]) -> Proxy {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (mode, modes) = watch::channel(Mode::Pass);
        let (cut, cuts) = watch::channel(0);
        let held = Arc::<Mutex<Vec<u8>>>::default();
        let (opened, open) = watch::channel(0);
        let mut accepting = JoinSet::new();
        let server_ports = server_ports.to_vec();
        let line = Line {
            server_ports,
            next: AtomicUsize::new(0),
            modes,
            held: Arc::clone(&held),
            opened,
        };
        accepting.spawn(line.accept(listener, cuts));
        Proxy { address, mode, cut, held, open, _accepting: accepting }
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

    /// Whether this text to the server was held back by a freeze.
    pub fn holds(&self, text: &str) -> bool {
        let held = self.held.lock().unwrap();
        held.windows(text.len()).any(|window| window == text.as_bytes())
    }

    /// How many connections stand.
    pub fn connections(&self) -> usize {
        *self.open.borrow()
    }

    /// Closes new connections at once, as if nobody served there.
    pub fn refuse(&self) {
        self.mode.send_replace(Mode::Refuse);
    }

    /// Lets everything through again, what was held back first.
    pub fn thaw(&self) {
        self.mode.send_replace(Mode::Pass);
    }
}

/// What connections have in common.
struct Line {
    server_ports: Vec<u16>,
    /// How many connections have come.
    next: AtomicUsize,
    modes: watch::Receiver<Mode>,
    held: Arc<Mutex<Vec<u8>>>,
    opened: watch::Sender<usize>,
}

impl Line {
    async fn accept(self, listener: TcpListener, cuts: watch::Receiver<u64>) {
        let line = Arc::new(self);
        let mut connections = JoinSet::new();
        while let Ok((client, _)) = listener.accept().await {
            let (line, mut cuts) = (Arc::clone(&line), cuts.clone());
            cuts.mark_unchanged();
            line.opened.send_modify(|open| *open += 1);
            connections.spawn(async move {
                line.connect(client, cuts).await;
                line.opened.send_modify(|open| *open -= 1);
            });
        }
    }

    async fn connect(&self, client: TcpStream, mut cuts: watch::Receiver<u64>) {
        if *self.modes.borrow() == Mode::Refuse {
            return;
        }
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.server_ports.len();
        let Ok(server) = TcpStream::connect(("127.0.0.1", self.server_ports[turn])).await else {
            return;
        };
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        tokio::select! {
            () = self.pass(from_client, to_server, Direction::ToServer) => {}
            () = self.pass(from_server, to_client, Direction::FromServer) => {}
            _ = cuts.changed() => {}
        }
    }

    async fn pass(&self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf, direction: Direction) {
        let (mut modes, mut buffer) = (self.modes.clone(), vec![0; 64 * 1024]);
        let passes = |mode: &Mode| match mode {
            Mode::Pass | Mode::Refuse => true,
            Mode::Freeze => false,
            Mode::FreezeToServer => direction == Direction::FromServer,
            Mode::FreezeFromServer => direction == Direction::ToServer,
        };
        let note = |read: &[u8]| self.held.lock().unwrap().extend_from_slice(read);
        let to_server = direction == Direction::ToServer;
        let mut is_open = true;
        while is_open {
            let Ok(length @ 1..) = from.read(&mut buffer).await else { return };
            let mut waiting = buffer[..length].to_vec();
            if to_server && !passes(&modes.borrow()) {
                note(&waiting);
            }
            // What a client says behind that is noted too.
            while !passes(&modes.borrow_and_update()) {
                tokio::select! {
                    passed = modes.wait_for(passes) => if passed.is_err() { return },
                    read = from.read(&mut buffer),
                        if to_server && is_open && waiting.len() < MOST_HELD => match read {
                            Ok(length @ 1..) => {
                                note(&buffer[..length]);
                                waiting.extend_from_slice(&buffer[..length]);
                            }
                            Ok(0) | Err(_) => is_open = false,
                        },
                }
            }
            if to.write_all(&waiting).await.is_err() {
                return;
            }
        }
    }
}
