//! One stream for every kind of connection: TCP, Unix socket, TLS over TCP.
//!
//! In: a stream that is connected and, where it is TLS, has shaken hands. Out: bytes, and the
//! hash of the server's certificate to which a SCRAM login can be bound. It serves tokio-postgres
//! and the connection of our own alike, so that both log in under the same protection.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_postgres::tls::{ChannelBinding, TlsConnect};
use tokio_rustls::client::TlsStream;

/// A connected stream.
pub struct Socket {
    stream: Stream,
    server_end_point: Option<Vec<u8>>,
}

enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Socket {
    pub(super) fn tcp(stream: TcpStream) -> Self {
        Socket { stream: Stream::Tcp(stream), server_end_point: None }
    }

    pub(super) fn unix(stream: UnixStream) -> Self {
        Socket { stream: Stream::Unix(stream), server_end_point: None }
    }

    pub(super) fn tls(stream: TlsStream<TcpStream>, server_end_point: Option<Vec<u8>>) -> Self {
        Socket { stream: Stream::Tls(Box::new(stream)), server_end_point }
    }

    /// The `tls-server-end-point` of RFC 5929, where the stream is TLS and the certificate's
    /// signature has a hash.
    #[must_use]
    pub fn server_end_point(&self) -> Option<&[u8]> {
        self.server_end_point.as_deref()
    }

    /// Whether it is TLS.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        matches!(self.stream, Stream::Tls(_))
    }

    /// Whether it is a Unix socket.
    #[must_use]
    pub fn is_unix(&self) -> bool {
        matches!(self.stream, Stream::Unix(_))
    }

    /// Whether nobody else can read along: TLS, a Unix socket, or a peer on this machine.
    #[must_use]
    pub fn is_private(&self) -> bool {
        match &self.stream {
            Stream::Tcp(tcp) => tcp.peer_addr().is_ok_and(|peer| peer.ip().is_loopback()),
            Stream::Unix(_) | Stream::Tls(_) => true,
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Stream::Tcp(stream) => Pin::new(stream).poll_read(cx, buffer),
            Stream::Unix(stream) => Pin::new(stream).poll_read(cx, buffer),
            Stream::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().stream {
            Stream::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Stream::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
            Stream::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Stream::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Unix(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Stream::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

impl tokio_postgres::tls::TlsStream for Socket {
    fn channel_binding(&self) -> ChannelBinding {
        match &self.server_end_point {
            Some(hash) => ChannelBinding::tls_server_end_point(hash.clone()),
            None => ChannelBinding::none(),
        }
    }
}

/// Tells tokio-postgres that the stream it is given is ready as it is.
pub(super) struct Established;

impl TlsConnect<Socket> for Established {
    type Stream = Socket;
    type Error = Infallible;
    type Future = Ready<Result<Socket, Infallible>>;

    fn connect(self, socket: Socket) -> Self::Future {
        ready(Ok(socket))
    }
}
