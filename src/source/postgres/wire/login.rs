//! Start-up and authentication.
//!
//! In: a stream, plain or TLS, and the endpoint. Out: a [`Wire`] that is ready for its first
//! query. A password leaves in the clear only where nobody else can read along; SCRAM is bound
//! to the TLS channel as `channel_binding` says, and the server has to prove that it knows the
//! password too. Source: the Postgres manual, "Message Flow" and "SASL Authentication".

use super::error::{Broken, Violation};
use super::input::Input;
use super::{Wire, WireOptions, read_error};
use crate::config::endpoint::ChannelBinding;
use crate::connect::dial::{Login, Place, STANDING, Standing};
use crate::connect::error::ConnectError;
use crate::connect::postgres::{broken_login, later_pins, pinned_options, version_num};
use crate::connect::socket::Socket;
use bytes::BytesMut;
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{self, ScramSha256};
use postgres_protocol::message::backend::{AuthenticationSaslBody, Message};
use postgres_protocol::message::frontend;
use std::collections::BTreeMap;
use std::error::Error;
use std::io;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio_postgres::fallible_iterator::FallibleIterator;

/// Logs in for a [`Wire`].
pub(super) struct WireLogin<'a> {
    pub(super) options: &'a WireOptions,
}

impl Login for WireLogin<'_> {
    type Session = Wire;

    async fn login(&self, mut socket: Socket, place: Place<'_>) -> Result<Wire, ConnectError> {
        let mut login = Exchange {
            place,
            private: socket.is_private(),
            server_end_point: socket.server_end_point().map(<[u8]>::to_vec),
            stream: &mut socket,
            input: Input::default(),
            proof: Proof::NotAsked,
            bound: false,
        };
        login.start(self.options).await?;
        login.authenticate().await?;
        let (process_id, parameters) = login.read_parameters().await?;
        let input = login.input;
        let version = parameters.get("server_version").map(String::as_str);
        let server_version_num = version
            .and_then(version_num)
            .ok_or_else(|| protocol(place, "it does not say its version"))?;
        let mut wire = Wire {
            socket,
            input,
            server: place.server(),
            endpoint: place.endpoint.pinned_to(place.index),
            parameters,
            process_id,
            server_version_num,
            unfinished: false,
        };
        for statement in later_pins(server_version_num) {
            simple(&mut wire, place, statement).await?;
        }
        Ok(wire)
    }

    async fn standing(&self, wire: &mut Wire, place: Place<'_>) -> Result<Standing, ConnectError> {
        let rows = simple(wire, place, STANDING).await?;
        let is_true = |value: &Option<String>| value.as_deref() == Some("t");
        match rows.first().map(Vec::as_slice) {
            Some([in_recovery, read_only]) => {
                Ok(Standing { in_recovery: is_true(in_recovery), read_only: is_true(read_only) })
            }
            Some(_) | None => Err(protocol(place, "it does not say whether it is in recovery")),
        }
    }
}

async fn simple(
    wire: &mut Wire,
    place: Place<'_>,
    sql: &str,
) -> Result<Vec<super::TextRow>, ConnectError> {
    wire.simple_query(sql).await.map_err(|error| match error {
        super::WireError::Connect(error) => error,
        super::WireError::Refused { server, source, .. } => {
            ConnectError::Rejected { server, source }
        }
        super::WireError::Lost { source, .. } => broken_login(place, source),
        error @ (super::WireError::Violation { .. } | super::WireError::Unfinished { .. }) => {
            protocol(place, error)
        }
    })
}

fn protocol(place: Place<'_>, source: impl Into<Box<dyn Error + Send + Sync>>) -> ConnectError {
    ConnectError::Protocol { server: place.server(), source: source.into() }
}

/// Whether the server has shown that it knows the password.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Proof {
    /// No method was used that has such a proof.
    NotAsked,
    /// The method has begun.
    Owed,
    /// The server gave it.
    Given,
}

/// A login under way.
struct Exchange<'a, S> {
    place: Place<'a>,
    private: bool,
    server_end_point: Option<Vec<u8>>,
    stream: &'a mut S,
    input: Input,
    proof: Proof,
    bound: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Exchange<'_, S> {
    async fn start(&mut self, options: &WireOptions) -> Result<(), ConnectError> {
        let endpoint = self.place.endpoint;
        let pinned = pinned_options(endpoint);
        let mut parameters = vec![
            ("user", endpoint.user()),
            ("database", endpoint.database()),
            ("client_encoding", "UTF8"),
            ("application_name", &options.application_name),
            ("options", &pinned),
        ];
        if options.replication {
            parameters.push(("replication", "database"));
        }
        let mut message = BytesMut::new();
        frontend::startup_message(parameters, &mut message).map_err(|error| self.refuse(error))?;
        self.send(&message).await
    }

    async fn send(&mut self, message: &[u8]) -> Result<(), ConnectError> {
        let sent = async {
            self.stream.write_all(message).await?;
            self.stream.flush().await
        };
        sent.await.map_err(|error| broken_login(self.place, error))
    }

    async fn receive(&mut self) -> Result<Message, ConnectError> {
        match self.input.message(self.stream).await {
            Ok(message) => Ok(message),
            Err(Broken::Lost(source)) => Err(broken_login(self.place, source)),
            Err(Broken::Violation(violation)) => Err(protocol(self.place, violation)),
        }
    }

    fn refuse(&self, source: impl Into<Box<dyn Error + Send + Sync>>) -> ConnectError {
        ConnectError::Unauthenticated { server: self.place.server(), source: source.into() }
    }

    fn out_of_turn(&self, expected: &'static str) -> ConnectError {
        protocol(self.place, Violation::OutOfTurn { expected })
    }

    fn password(&self) -> Result<&str, ConnectError> {
        self.place
            .endpoint
            .password(self.place.index)
            .map(crate::config::secret::Secret::expose)
            .ok_or_else(|| self.refuse("the server asks for a password and none is given"))
    }

    async fn authenticate(&mut self) -> Result<(), ConnectError> {
        loop {
            match self.receive().await? {
                Message::AuthenticationOk => return self.check_proof(),
                Message::AuthenticationCleartextPassword => self.send_cleartext().await?,
                Message::AuthenticationMd5Password(body) => {
                    let user = self.place.endpoint.user();
                    let hash = md5_hash(user.as_bytes(), self.password()?.as_bytes(), body.salt());
                    self.send_password(hash.as_bytes()).await?;
                }
                Message::AuthenticationSasl(body) => self.authenticate_scram(&body).await?,
                Message::NoticeResponse(_) => {}
                Message::ErrorResponse(body) => {
                    let source = read_error(&body).map_err(|error| protocol(self.place, error))?;
                    return Err(ConnectError::Rejected { server: self.place.server(), source });
                }
                Message::AuthenticationGss
                | Message::AuthenticationKerberosV5
                | Message::AuthenticationScmCredential
                | Message::AuthenticationSspi => {
                    return Err(self.refuse("the server asks for a method other than a password"));
                }
                _ => return Err(self.out_of_turn("an authentication request")),
            }
        }
    }

    fn check_proof(&self) -> Result<(), ConnectError> {
        if self.proof == Proof::Owed {
            return Err(self.refuse("the server does not prove that it knows the password"));
        }
        if self.place.endpoint.channel_binding() == ChannelBinding::Require && !self.bound {
            return Err(self.refuse("channel binding is required, and the login was not bound"));
        }
        Ok(())
    }

    async fn send_cleartext(&mut self) -> Result<(), ConnectError> {
        if !self.private {
            return Err(self.refuse(
                "the server asks for the password in the clear, over a network and without TLS",
            ));
        }
        let password = self.password()?.to_owned();
        self.send_password(password.as_bytes()).await
    }

    async fn send_password(&mut self, password: &[u8]) -> Result<(), ConnectError> {
        if self.place.endpoint.channel_binding() == ChannelBinding::Require {
            return Err(
                self.refuse("channel binding is required, and the server does not offer it")
            );
        }
        let mut message = BytesMut::new();
        frontend::password_message(password, &mut message).map_err(|error| self.refuse(error))?;
        self.send(&message).await
    }

    async fn authenticate_scram(
        &mut self,
        offer: &AuthenticationSaslBody,
    ) -> Result<(), ConnectError> {
        let (mechanism, binding) = self.choose_mechanism(offer)?;
        let mut scram = ScramSha256::new(self.password()?.as_bytes(), binding);
        self.proof = Proof::Owed;
        let mut message = BytesMut::new();
        frontend::sasl_initial_response(mechanism, scram.message(), &mut message)
            .map_err(|error| self.refuse(error))?;
        self.send(&message).await?;
        let challenge = match self.receive_sasl().await? {
            Message::AuthenticationSaslContinue(body) => body,
            _ => return Err(self.out_of_turn("a SASL challenge")),
        };
        scram.update(challenge.data()).map_err(|error| self.refuse(error))?;
        let mut message = BytesMut::new();
        frontend::sasl_response(scram.message(), &mut message)
            .map_err(|error| self.refuse(error))?;
        self.send(&message).await?;
        let outcome = match self.receive_sasl().await? {
            Message::AuthenticationSaslFinal(body) => body,
            _ => return Err(self.out_of_turn("the outcome of SASL")),
        };
        scram.finish(outcome.data()).map_err(|error| self.refuse(error))?;
        self.proof = Proof::Given;
        self.bound = mechanism == sasl::SCRAM_SHA_256_PLUS;
        Ok(())
    }

    async fn receive_sasl(&mut self) -> Result<Message, ConnectError> {
        match self.receive().await? {
            Message::ErrorResponse(body) => Err(ConnectError::Rejected {
                server: self.place.server(),
                source: read_error(&body).map_err(|error| protocol(self.place, error))?,
            }),
            message => Ok(message),
        }
    }

    /// With a channel to bind to and a server that does not offer it, the client says that it
    /// could: so a server that did offer it notices an attacker in between (RFC 5802, section 6).
    fn choose_mechanism(
        &self,
        offer: &AuthenticationSaslBody,
    ) -> Result<(&'static str, sasl::ChannelBinding), ConnectError> {
        let (mut scram, mut scram_plus) = (false, false);
        let mut mechanisms = offer.mechanisms();
        while let Some(mechanism) =
            mechanisms.next().map_err(|error| protocol(self.place, error))?
        {
            scram |= mechanism == sasl::SCRAM_SHA_256;
            scram_plus |= mechanism == sasl::SCRAM_SHA_256_PLUS;
        }
        let wanted = self.place.endpoint.channel_binding();
        let end_point = self.server_end_point.clone().filter(|_| wanted != ChannelBinding::Disable);
        match end_point {
            Some(hash) if scram_plus => {
                Ok((sasl::SCRAM_SHA_256_PLUS, sasl::ChannelBinding::tls_server_end_point(hash)))
            }
            _ if wanted == ChannelBinding::Require => {
                Err(self.refuse("channel binding is required, and this connection cannot have it"))
            }
            Some(_) if scram => Ok((sasl::SCRAM_SHA_256, sasl::ChannelBinding::unrequested())),
            None if scram => Ok((sasl::SCRAM_SHA_256, sasl::ChannelBinding::unsupported())),
            Some(_) | None => Err(self.refuse("the server offers no SASL mechanism that is known")),
        }
    }

    async fn read_parameters(&mut self) -> Result<(i32, BTreeMap<String, String>), ConnectError> {
        let mut process_id = 0;
        let mut parameters = BTreeMap::new();
        loop {
            match self.receive().await? {
                Message::ParameterStatus(body) => {
                    let text = |part: io::Result<&str>| {
                        part.map(str::to_owned).map_err(|error| protocol(self.place, error))
                    };
                    parameters.insert(text(body.name())?, text(body.value())?);
                }
                Message::BackendKeyData(body) => process_id = body.process_id(),
                Message::NoticeResponse(_) => {}
                Message::ReadyForQuery(_) => return Ok((process_id, parameters)),
                Message::ErrorResponse(body) => {
                    let source = read_error(&body).map_err(|error| protocol(self.place, error))?;
                    return Err(ConnectError::Rejected { server: self.place.server(), source });
                }
                _ => return Err(self.out_of_turn("the end of the start-up")),
            }
        }
    }
}
