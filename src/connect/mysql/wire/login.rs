//! The login of a connection of our own.
//!
//! In: a place. Out: a [`Wire`] that is logged in, over TLS as `ssl-mode` has it. The password
//! leaves in the clear only over TLS or a Unix socket; what a server sends in the clear before TLS
//! begins is looked at only as far as it must be. Source: the MySQL internals manual, "Connection
//! Phase".

use super::Wire;
use super::auth::{Answer, Plugin, Refusal};
use super::error::{Broken, Violation};
use super::input::Input;
use super::packet::{ERR, Fields, read_error};
use crate::config::endpoint::{MySqlHost, MySqlSslMode};
use crate::config::secret::Secret;
use crate::connect::mysql::dial::{self, Login, Place};
use crate::connect::mysql::error::{ConnectError, ServerError};
use crate::connect::mysql::version::ServerVersion;
use crate::connect::socket::Socket;
use crate::connect::tls::is_tls_failure;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::UnixStream;

/// Bits of what client and server can do. Source: mysql_com.h of the MySQL sources.
mod capability {
    pub(super) const LONG_PASSWORD: u32 = 1;
    pub(super) const LONG_FLAG: u32 = 1 << 2;
    pub(super) const CONNECT_WITH_DB: u32 = 1 << 3;
    pub(super) const PROTOCOL_41: u32 = 1 << 9;
    pub(super) const SSL: u32 = 1 << 11;
    pub(super) const TRANSACTIONS: u32 = 1 << 13;
    pub(super) const SECURE_CONNECTION: u32 = 1 << 15;
    pub(super) const PLUGIN_AUTH: u32 = 1 << 19;
    pub(super) const CONNECT_ATTRIBUTES: u32 = 1 << 20;
    pub(super) const PLUGIN_AUTH_LENGTH_ENCODED: u32 = 1 << 21;
    pub(super) const DEPRECATE_EOF: u32 = 1 << 24;
}

/// What every server that is supported can do.
const NEEDED: u32 = capability::PROTOCOL_41
    | capability::SECURE_CONNECTION
    | capability::PLUGIN_AUTH
    | capability::DEPRECATE_EOF;
const WANTED: u32 = NEEDED
    | capability::LONG_PASSWORD
    | capability::LONG_FLAG
    | capability::TRANSACTIONS
    | capability::CONNECT_ATTRIBUTES
    | capability::PLUGIN_AUTH_LENGTH_ENCODED;

/// utf8mb4_general_ci, which every server knows. The session's settings are pinned later.
const COLLATION: u8 = 45;
/// A server that goes on asking is none: no login takes more exchanges than this.
const MOST_EXCHANGES: usize = 8;

/// How a server greets.
pub(super) struct Greeting {
    pub(super) version: ServerVersion,
    pub(super) connection_id: u32,
    capabilities: u32,
    nonce: Vec<u8>,
    plugin: String,
}

impl Greeting {
    pub(super) fn read(content: &[u8]) -> Result<Self, Violation> {
        let mut fields = Fields::new(content, "the server's greeting");
        if fields.u8()? != 10 {
            return Err(Violation::Malformed { object: "the protocol's version" });
        }
        let version = String::from_utf8_lossy(fields.until_zero()?);
        let version = ServerVersion::parse(&version)
            .ok_or(Violation::Malformed { object: "the server's version" })?;
        let connection_id = fields.u32()?;
        let mut nonce = fields.bytes(8)?.to_vec();
        fields.u8()?;
        let lower = u32::from(fields.u16()?);
        fields.bytes(3)?;
        let capabilities = lower | u32::from(fields.u16()?) << 16;
        if capabilities & NEEDED != NEEDED {
            return Err(Violation::Malformed { object: "the capabilities of an old server" });
        }
        let nonce_bytes = usize::from(fields.u8()?);
        fields.bytes(10)?;
        let rest_of_nonce = fields.bytes(nonce_bytes.saturating_sub(8).max(13))?;
        nonce.extend_from_slice(rest_of_nonce.strip_suffix(b"\0").unwrap_or(rest_of_nonce));
        let plugin = fields.until_zero().unwrap_or(fields.rest());
        let plugin = String::from_utf8_lossy(plugin).into_owned();
        Ok(Greeting { version, connection_id, capabilities, nonce, plugin })
    }

    fn offers_tls(&self) -> bool {
        self.capabilities & capability::SSL != 0
    }
}

/// Logs in for reading rows and the binlog.
pub(super) struct WireLogin;

impl Login for WireLogin {
    type Session = Wire;

    async fn log_in(&self, place: Place<'_>) -> Result<Wire, ConnectError> {
        let mut input = Input::default();
        let (greeting, mut socket) = match place.host() {
            MySqlHost::Tcp { name, port } => {
                let mut tcp = dial::open_tcp(place, name, *port).await?;
                let greeting = read_greeting(&mut input, &mut tcp, place).await?;
                match begin_tls(&greeting, place)? {
                    false => (greeting, Socket::tcp(tcp)),
                    true if !input.is_empty() => {
                        let expected = "nothing before TLS begins";
                        return Err(broken(place, Violation::OutOfTurn { expected }));
                    }
                    true => {
                        let request = hello(&greeting, place, true);
                        send(&mut input, &mut tcp, place, &request).await?;
                        (greeting, dial::shake_hands(tcp, place, name).await?)
                    }
                }
            }
            MySqlHost::Socket { path } => {
                let mut unix = UnixStream::connect(path).await.map_err(|source| {
                    ConnectError::Unreachable { server: place.server(), source }
                })?;
                let greeting = read_greeting(&mut input, &mut unix, place).await?;
                (greeting, Socket::unix(unix))
            }
        };
        authenticate(&mut input, &mut socket, place, &greeting).await?;
        let wire = Wire::new(socket, input, &greeting, place);
        wire.pin_settings().await
    }
}

fn begin_tls(greeting: &Greeting, place: Place<'_>) -> Result<bool, ConnectError> {
    match (place.ssl_mode(), greeting.offers_tls()) {
        (MySqlSslMode::Disabled, _) | (MySqlSslMode::Preferred, false) => Ok(false),
        (_, true) => Ok(true),
        (_, false) => Err(ConnectError::TlsNotOffered { server: place.server() }),
    }
}

async fn read_greeting(
    input: &mut Input,
    stream: &mut (impl AsyncRead + Unpin),
    place: Place<'_>,
) -> Result<Greeting, ConnectError> {
    input.arrive(stream).await.map_err(|error| broken(place, error))?;
    let content = input.arrived();
    match content.first() {
        // A server that is full, or that refuses this machine, greets with an error.
        Some(&ERR) => Err(rejected(place, read_error(content))),
        Some(_) | None => Greeting::read(content).map_err(|violation| broken(place, violation)),
    }
}

async fn authenticate(
    input: &mut Input,
    socket: &mut Socket,
    place: Place<'_>,
    greeting: &Greeting,
) -> Result<(), ConnectError> {
    let endpoint = place.endpoint;
    let password = endpoint.password().map_or("", Secret::expose);
    let private = socket.is_tls() || socket.is_unix();
    let mut plugin = Plugin::named(&greeting.plugin).unwrap_or(Plugin::NativePassword);
    let refused = |error| auth_refusal(place, error);
    let mut request = hello(greeting, place, socket.is_tls());
    let first = match plugin {
        // It is only ever done where the server insists.
        Plugin::ClearPassword => Vec::new(),
        _ => plugin.begin(password, &greeting.nonce, private).map_err(refused)?,
    };
    push_response(&mut request, endpoint.user(), &first);
    if let Some(database) = endpoint.database() {
        request.extend_from_slice(database.as_bytes());
        request.push(0);
    }
    request.extend_from_slice(plugin.name().as_bytes());
    request.push(0);
    if WANTED & greeting.capabilities & capability::CONNECT_ATTRIBUTES != 0 {
        push_attributes(&mut request);
    }
    send(input, socket, place, &request).await?;

    let mut nonce = greeting.nonce.clone();
    for _ in 0..MOST_EXCHANGES {
        input.arrive(socket).await.map_err(|error| broken(place, error))?;
        let content = input.arrived();
        let answer = Answer::read(content);
        let reply = match answer.map_err(|violation| broken(place, violation))? {
            Answer::Welcome => return Ok(()),
            Answer::Refused => return Err(rejected(place, read_error(content))),
            Answer::Switch { name, data } => {
                plugin = Plugin::named(name).map_err(refused)?;
                if plugin == Plugin::ClearPassword && !endpoint.allow_clear_password() {
                    return Err(refused(Refusal::ClearPasswordNotAllowed));
                }
                nonce = data.to_vec();
                Some(plugin.begin(password, &nonce, private).map_err(refused)?)
            }
            Answer::More(data) => plugin.go_on(data, password, &nonce, private).map_err(refused)?,
        };
        if let Some(reply) = reply {
            send(input, socket, place, &reply).await?;
        }
    }
    let expected = "the end of the login";
    Err(broken(place, Violation::OutOfTurn { expected }))
}

/// The beginning of our answer, which is also the request for TLS.
fn hello(greeting: &Greeting, place: Place<'_>, tls: bool) -> Vec<u8> {
    let mut capabilities = WANTED & (greeting.capabilities | capability::LONG_PASSWORD);
    if tls {
        capabilities |= capability::SSL;
    }
    if place.endpoint.database().is_some() {
        capabilities |= capability::CONNECT_WITH_DB;
    }
    let mut request = capabilities.to_le_bytes().to_vec();
    // The most bytes that we take in one packet: what the protocol allows.
    request.extend_from_slice(&(1u32 << 30).to_le_bytes());
    request.push(COLLATION);
    request.extend_from_slice(&[0; 23]);
    request
}

/// A response of less than 251 bytes has the same form whether its length is encoded or a byte.
fn push_response(request: &mut Vec<u8>, user: &str, response: &[u8]) {
    request.extend_from_slice(user.as_bytes());
    request.push(0);
    request.push(response.len() as u8);
    request.extend_from_slice(response);
}

/// What the server shows of us in performance_schema.
fn push_attributes(request: &mut Vec<u8>) {
    const ATTRIBUTES: &[u8] = b"\x0cprogram_name\x06dunlin";
    request.push(ATTRIBUTES.len() as u8);
    request.extend_from_slice(ATTRIBUTES);
}

/// Sends a packet, numbered in turn. None of a login's is longer than one may be.
async fn send(
    input: &mut Input,
    stream: &mut (impl AsyncWrite + Unpin),
    place: Place<'_>,
    content: &[u8],
) -> Result<(), ConnectError> {
    let [a, b, c, ..] = content.len().to_le_bytes();
    let packet = [&[a, b, c, input.number][..], content].concat();
    input.number = input.number.wrapping_add(1);
    let sent = async {
        stream.write_all(&packet).await?;
        stream.flush().await
    };
    sent.await.map_err(|error| broken(place, Broken::Lost(error)))
}

fn rejected(place: Place<'_>, error: Result<Box<ServerError>, Violation>) -> ConnectError {
    match error {
        Ok(source) => ConnectError::Rejected { server: place.server(), source },
        Err(violation) => broken(place, violation),
    }
}

fn auth_refusal(place: Place<'_>, refusal: Refusal) -> ConnectError {
    ConnectError::Unauthenticated { server: place.server(), source: Box::new(refusal) }
}

fn broken(place: Place<'_>, broken: impl Into<Broken>) -> ConnectError {
    let server = place.server();
    match broken.into() {
        // With TLS 1.3 a server refuses a client's certificate only after the handshake.
        Broken::Lost(source) if is_tls_failure(&source) => {
            ConnectError::TlsHandshake { server, source }
        }
        Broken::Lost(source) => ConnectError::Lost { server, source },
        Broken::Violation(violation) => {
            ConnectError::Protocol { server, source: Box::new(violation) }
        }
    }
}
