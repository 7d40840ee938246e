//! TLS as database clients have it.
//!
//! In: a TCP stream whose peer is ready for a handshake, and the [`Terms`] of the endpoint. Out: an
//! encrypted [`Socket`] that also knows the hash to which SCRAM can be bound. The certificate is
//! looked at as far as the terms demand and no further; signatures over the handshake are always
//! verified, by the certificate's key whatever else it holds. Two habits of database servers are
//! met that web servers do not have: a self-signed certificate that is its own root, and a name
//! only in the subject's common name. It knows no engine.

use super::socket::Socket;
use crate::config::endpoint::RootCertificates;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, ring, verify_tls13_signature_with_raw_key,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{
    CertificateDer, PrivateKeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime,
};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, OtherError, RootCertStore,
    SignatureScheme,
};
use sha2::{Digest, Sha256, Sha384, Sha512};
use std::error::Error;
use std::io;
use std::path::Path;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use x509_cert::certificate::{Certificate, Version};
use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::der::{Decode, Encode};
use x509_cert::ext::pkix::SubjectAltName;

type Cause = Box<dyn Error + Send + Sync>;

/// What a client asks of TLS.
pub(super) struct Terms<'a> {
    /// The host's name, or its address in text.
    pub(super) host: &'a str,
    /// How far the server's certificate is looked at.
    pub(super) verification: Verification<'a>,
    /// Files of our own certificate and its key.
    pub(super) identity: Option<(&'a Path, &'a Path)>,
    /// Whether the host's name is sent in the clear.
    pub(super) server_name_indication: bool,
    /// The protocol that is to be spoken, where the server wants to hear it.
    pub(super) protocol: Option<&'static [u8]>,
}

/// How far the server's certificate is looked at, and whom one trusts.
pub(super) enum Verification<'a> {
    Nothing,
    Chain(&'a RootCertificates),
    ChainAndName(&'a RootCertificates),
}

/// Why there is no TLS.
pub(super) enum TlsError {
    /// A file of ours cannot be used.
    Material { object: String, source: Cause },
    /// The handshake failed.
    Handshake(io::Error),
}

/// Shakes hands with the server.
pub(super) async fn shake_hands(tcp: TcpStream, terms: &Terms<'_>) -> Result<Socket, TlsError> {
    let config = client_config(terms)?;
    let name = ServerName::try_from(terms.host.to_owned())
        .map_err(|error| TlsError::Handshake(io::Error::new(io::ErrorKind::InvalidInput, error)))?;
    let connector = TlsConnector::from(Arc::new(config));
    let stream = connector.connect(name, tcp).await.map_err(TlsError::Handshake)?;
    let server_end_point = stream
        .get_ref()
        .1
        .peer_certificates()
        .and_then(|chain| chain.first())
        .and_then(|certificate| server_end_point(certificate));
    Ok(Socket::tls(stream, server_end_point))
}

/// Whether a broken login was broken by TLS: with TLS 1.3 a server refuses a client's certificate
/// only after the handshake.
pub(super) fn is_tls_failure(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>())
}

fn client_config(terms: &Terms<'_>) -> Result<ClientConfig, TlsError> {
    let provider = Arc::new(ring::default_provider());
    let verifier = Arc::new(Verifier::new(&terms.verification, &provider)?);
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| material("protocol versions", error))?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut config = match terms.identity {
        Some((certificate, key)) => builder
            .with_client_auth_cert(read_certificates(certificate)?, read_key(key)?)
            .map_err(|error| material(certificate.display(), error))?,
        None => builder.with_no_client_auth(),
    };
    config.enable_sni = terms.server_name_indication;
    config.alpn_protocols = terms.protocol.map(<[u8]>::to_vec).into_iter().collect();
    Ok(config)
}

fn material(object: impl ToString, source: impl Into<Cause>) -> TlsError {
    TlsError::Material { object: object.to_string(), source: source.into() }
}

fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certificates: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| material(path.display(), error))?;
    match certificates.is_empty() {
        true => Err(material(path.display(), "it holds no certificate")),
        false => Ok(certificates),
    }
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_file(path).map_err(|error| material(path.display(), error))
}

/// Looks at the server's certificate as far as the terms demand.
#[derive(Debug)]
struct Verifier {
    check: Check,
    algorithms: WebPkiSupportedAlgorithms,
}

#[derive(Debug)]
enum Check {
    Nothing,
    Chain(Trusted),
    ChainAndName(Trusted),
}

#[derive(Debug)]
struct Trusted {
    anchors: RootCertStore,
    /// The same certificates as they are. One of them may be the server's own, which web
    /// verification refuses as "an authority used as a server".
    certificates: Vec<CertificateDer<'static>>,
}

impl Verifier {
    fn new(verification: &Verification<'_>, provider: &CryptoProvider) -> Result<Self, TlsError> {
        let check = match verification {
            Verification::Nothing => Check::Nothing,
            Verification::Chain(roots) => Check::Chain(Trusted::read(roots)?),
            Verification::ChainAndName(roots) => Check::ChainAndName(Trusted::read(roots)?),
        };
        Ok(Verifier { check, algorithms: provider.signature_verification_algorithms })
    }
}

impl Trusted {
    fn read(roots: &RootCertificates) -> Result<Self, TlsError> {
        let mut anchors = RootCertStore::empty();
        match roots {
            RootCertificates::File(path) => {
                let certificates = read_certificates(path)?;
                for certificate in &certificates {
                    anchors
                        .add(certificate.clone())
                        .map_err(|error| material(path.display(), error))?;
                }
                Ok(Trusted { anchors, certificates })
            }
            RootCertificates::System => {
                let found = rustls_native_certs::load_native_certs();
                anchors.add_parsable_certificates(found.certs);
                match (anchors.is_empty(), found.errors.into_iter().next()) {
                    (true, Some(error)) => Err(material("the system's authorities", error)),
                    (true, None) => Err(material("the system's authorities", "there are none")),
                    (false, _) => Ok(Trusted { anchors, certificates: Vec::new() }),
                }
            }
        }
    }

    fn verify(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
        algorithms: &WebPkiSupportedAlgorithms,
    ) -> Result<(), rustls::Error> {
        if self.certificates.iter().any(|own| own == end_entity) {
            return verify_validity(end_entity, now);
        }
        if decode(end_entity)?.tbs_certificate().version() == Version::V1 {
            return Err(CertificateError::Other(OtherError(Arc::new(VersionOne))).into());
        }
        let parsed = ParsedCertificate::try_from(end_entity)?;
        verify_server_cert_signed_by_trust_anchor(
            &parsed,
            &self.anchors,
            intermediates,
            now,
            algorithms.all,
        )
    }
}

/// A certificate without extensions, which cannot say what it may be used for.
#[derive(Debug, thiserror::Error)]
#[error(
    "the certificate is of X.509 version 1 (openssl makes it so where it is given no extensions), \
     which cannot be verified: issue one of version 3, or let sslmode=require (ssl-mode=REQUIRED) \
     encrypt without verifying it"
)]
struct VersionOne;

fn decode(certificate: &CertificateDer<'_>) -> Result<Certificate, rustls::Error> {
    Certificate::from_der(certificate).map_err(|_| bad_encoding())
}

fn bad_encoding() -> rustls::Error {
    CertificateError::BadEncoding.into()
}

/// Verifies the handshake's signature by the certificate's key alone, as `verify_tls12_signature` of
/// rustls does, but whatever the certificate's version: the certificate itself is looked at elsewhere,
/// as far as the terms demand.
fn verify_tls12_signature(
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signed: &DigitallySignedStruct,
    algorithms: &WebPkiSupportedAlgorithms,
) -> Result<HandshakeSignatureValid, rustls::Error> {
    let decoded = decode(certificate)?;
    let key = decoded.tbs_certificate().subject_public_key_info();
    let identifier = key.algorithm.to_der().map_err(|_| bad_encoding())?;
    let of_scheme = algorithms.mapping.iter().filter(|(scheme, _)| *scheme == signed.scheme);
    let verified = of_scheme
        .flat_map(|(_, algorithms)| algorithms.iter())
        // The identifiers are without the tag and length of the sequence that they are.
        .filter(|algorithm| identifier.ends_with(algorithm.public_key_alg_id().as_ref()))
        .any(|algorithm| {
            let key = key.subject_public_key.raw_bytes();
            algorithm.verify_signature(key, message, signed.signature()).is_ok()
        });
    match verified {
        true => Ok(HandshakeSignatureValid::assertion()),
        false => Err(CertificateError::BadSignature.into()),
    }
}

fn verify_validity(certificate: &CertificateDer<'_>, now: UnixTime) -> Result<(), rustls::Error> {
    let validity = *decode(certificate)?.tbs_certificate().validity();
    if now.as_secs() < validity.not_before.to_unix_duration().as_secs() {
        return Err(CertificateError::NotValidYet.into());
    }
    if now.as_secs() > validity.not_after.to_unix_duration().as_secs() {
        return Err(CertificateError::Expired.into());
    }
    Ok(())
}

/// As libpq has it: the alternative names decide; where there are none, the common name does.
fn verify_name(
    certificate: &CertificateDer<'_>,
    name: &ServerName<'_>,
) -> Result<(), rustls::Error> {
    let parsed = ParsedCertificate::try_from(certificate)?;
    let Err(refusal) = verify_server_name(&parsed, name) else {
        return Ok(());
    };
    let decoded = decode(certificate)?;
    let alternative_names = decoded.tbs_certificate().get_extension::<SubjectAltName>();
    let matches = matches!(alternative_names, Ok(None))
        && common_name(&decoded).is_some_and(|pattern| matches_name(&pattern, &name.to_str()));
    match matches {
        true => Ok(()),
        false => Err(refusal),
    }
}

const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");

fn common_name(certificate: &Certificate) -> Option<String> {
    certificate
        .tbs_certificate()
        .subject()
        .iter()
        .find(|attribute| attribute.oid == COMMON_NAME)
        .and_then(|attribute| String::from_utf8(attribute.value.value().to_vec()).ok())
}

/// A star stands for the whole first label and for nothing else.
fn matches_name(pattern: &str, name: &str) -> bool {
    if pattern.eq_ignore_ascii_case(name) {
        return true;
    }
    match (pattern.strip_prefix("*."), name.split_once('.')) {
        (Some(parent), Some((label, rest))) => {
            !label.is_empty() && parent.contains('.') && parent.eq_ignore_ascii_case(rest)
        }
        (_, _) => false,
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match &self.check {
            Check::Nothing => {}
            Check::Chain(trusted) => {
                trusted.verify(end_entity, intermediates, now, &self.algorithms)?;
            }
            Check::ChainAndName(trusted) => {
                trusted.verify(end_entity, intermediates, now, &self.algorithms)?;
                verify_name(end_entity, server_name)?;
            }
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let key = decode(certificate)?.tbs_certificate().subject_public_key_info().to_der();
        let key = SubjectPublicKeyInfoDer::from(key.map_err(|_| bad_encoding())?);
        verify_tls13_signature_with_raw_key(message, &key, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// The hash of the certificate to which a login is bound (RFC 5929, section 4.1): that of the
/// certificate's own signature, with SHA-256 in the place of MD5 and SHA-1. `None` where the
/// signature has no hash of its own (Ed25519): there is no binding then.
fn server_end_point(der: &CertificateDer<'_>) -> Option<Vec<u8>> {
    let algorithm = Certificate::from_der(der).ok()?.signature_algorithm().clone();
    let hash = match algorithm.oid.to_string().as_str() {
        RSA_PSS => pss_hash(&algorithm.parameters.to_der().ok()?),
        oid => SIGNATURE_HASHES
            .iter()
            .find(|(signature, _)| *signature == oid)
            .map(|(_, hash)| *hash)?,
    };
    Some(match hash {
        Hash::Sha256 => Sha256::digest(der).to_vec(),
        Hash::Sha384 => Sha384::digest(der).to_vec(),
        Hash::Sha512 => Sha512::digest(der).to_vec(),
    })
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

const RSA_PSS: &str = "1.2.840.113549.1.1.10";

const SIGNATURE_HASHES: &[(&str, Hash)] = &[
    ("1.2.840.113549.1.1.4", Hash::Sha256), // md5WithRSAEncryption
    ("1.2.840.113549.1.1.5", Hash::Sha256), // sha1WithRSAEncryption
    ("1.2.840.113549.1.1.11", Hash::Sha256), // sha256WithRSAEncryption
    ("1.2.840.113549.1.1.12", Hash::Sha384), // sha384WithRSAEncryption
    ("1.2.840.113549.1.1.13", Hash::Sha512), // sha512WithRSAEncryption
    ("1.2.840.10045.4.1", Hash::Sha256),    // ecdsa-with-SHA1
    ("1.2.840.10045.4.3.2", Hash::Sha256),  // ecdsa-with-SHA256
    ("1.2.840.10045.4.3.3", Hash::Sha384),  // ecdsa-with-SHA384
    ("1.2.840.10045.4.3.4", Hash::Sha512),  // ecdsa-with-SHA512
];

/// The hash that RSASSA-PSS parameters name (RFC 4055, section 3.1) stands first in them; where
/// it is left out it is SHA-1.
fn pss_hash(parameters: &[u8]) -> Hash {
    /// 2.16.840.1.101.3.4.2, encoded, without its last arc.
    const NIST_HASH: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02];
    let last_arc = parameters
        .windows(NIST_HASH.len() + 1)
        .find(|window| window.starts_with(NIST_HASH))
        .and_then(<[u8]>::last);
    match last_arc {
        Some(2) => Hash::Sha384,
        Some(3) => Hash::Sha512,
        Some(_) | None => Hash::Sha256,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_one_label() {
        assert!(matches_name("DB.example.com", "db.example.com"));
        assert!(matches_name("*.example.com", "db.example.com"));
        assert!(!matches_name("*.example.com", "a.db.example.com"));
        assert!(!matches_name("*.example.com", "example.com"));
        assert!(!matches_name("*.com", "example.com"));
        assert!(!matches_name("*", "localhost"));
    }

    #[test]
    fn pss_parameters_name_their_hash() {
        for (arc, hash) in [(1, Hash::Sha256), (2, Hash::Sha384), (3, Hash::Sha512)] {
            let parameters = [0x30, 0x0b, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, arc];
            assert_eq!(pss_hash(&parameters), hash);
        }
        assert_eq!(pss_hash(&[]), Hash::Sha256);
    }
}
