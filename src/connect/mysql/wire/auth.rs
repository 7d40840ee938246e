//! How a server is shown that we know the password.
//!
//! In: the method that the server names and its challenge. Out: our answer. The password itself is
//! handed out only for a channel that nobody else can read, or hidden by the server's RSA key. No
//! connection is known here. Source: the MySQL internals manual, "Authentication Methods"; the
//! MariaDB manual, "Authentication Plugin - ed25519".

use super::error::Violation;
use super::packet::{EOF, ERR, Fields, MORE_DATA, OK};
use mysql_common::crypto::rsa::{GetRandom, Pkcs1OaepPadding, PublicKey};
use mysql_common::scramble::{create_response_for_ed25519, scramble_native, scramble_sha256};
use x509_cert::der::asn1::Uint;
use x509_cert::der::pem::LineEnding;
use x509_cert::der::{Decode, DecodePem, EncodePem, Reader, SliceReader};
use x509_cert::spki::SubjectPublicKeyInfoOwned;

/// Why a login is not gone on with.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(super) enum Refusal {
    #[error("the server asks for the method {name}, which dunlin does not know")]
    PluginUnknown { name: String },
    #[error("the server asks for the password in the clear; enable-cleartext-plugin=1 allows it")]
    ClearPasswordNotAllowed,
    #[error("the server asks for the password in the clear, over a channel that others can read")]
    ChannelOpen,
    #[error("the server's RSA key cannot be used")]
    KeyUnusable,
    #[error("the server goes on in a way that its method does not know")]
    OutOfTurn,
}

/// A method that is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Plugin {
    NativePassword,
    CachingSha2Password,
    Ed25519,
    ClearPassword,
}

const PLUGINS: &[Plugin] =
    &[Plugin::NativePassword, Plugin::CachingSha2Password, Plugin::Ed25519, Plugin::ClearPassword];

/// What the server says in the course of a login.
#[derive(Debug)]
pub(super) enum Answer<'a> {
    Welcome,
    Refused,
    /// Another method is to be used.
    Switch {
        name: &'a str,
        data: &'a [u8],
    },
    /// The method goes on.
    More(&'a [u8]),
}

impl<'a> Answer<'a> {
    pub(super) fn read(content: &'a [u8]) -> Result<Self, Violation> {
        let mut fields = Fields::new(content, "an answer in a login");
        match fields.u8()? {
            OK => Ok(Answer::Welcome),
            ERR => Ok(Answer::Refused),
            MORE_DATA => Ok(Answer::More(fields.rest())),
            // Without a name it stands for the passwords of MySQL 3.23.
            EOF if fields.rest().is_empty() => {
                Ok(Answer::Switch { name: "mysql_old_password", data: &[] })
            }
            EOF => {
                let name =
                    std::str::from_utf8(fields.until_zero()?).map_err(|_| fields.malformed())?;
                let data = fields.rest();
                Ok(Answer::Switch { name, data: data.strip_suffix(b"\0").unwrap_or(data) })
            }
            _ => Err(fields.malformed()),
        }
    }
}

impl Plugin {
    pub(super) fn named(name: &str) -> Result<Self, Refusal> {
        let unknown = || Refusal::PluginUnknown { name: name.to_owned() };
        PLUGINS.iter().copied().find(|plugin| plugin.name() == name).ok_or_else(unknown)
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Plugin::NativePassword => "mysql_native_password",
            Plugin::CachingSha2Password => "caching_sha2_password",
            Plugin::Ed25519 => "client_ed25519",
            Plugin::ClearPassword => "mysql_clear_password",
        }
    }

    /// The answer to the server's challenge. `private` says whether nobody else can read it.
    pub(super) fn begin(
        self,
        password: &str,
        nonce: &[u8],
        private: bool,
    ) -> Result<Vec<u8>, Refusal> {
        let password = password.as_bytes();
        match self {
            Plugin::NativePassword => {
                Ok(scramble_native(nonce, password).map(Vec::from).unwrap_or_default())
            }
            Plugin::CachingSha2Password => {
                Ok(scramble_sha256(nonce, password).map(Vec::from).unwrap_or_default())
            }
            Plugin::Ed25519 => Ok(create_response_for_ed25519(password, nonce).to_vec()),
            Plugin::ClearPassword if private => Ok(ended(password)),
            Plugin::ClearPassword => Err(Refusal::ChannelOpen),
        }
    }

    /// The answer, where there is one to be given, to what the server says later on. Only
    /// caching_sha2_password has more to say: 3 where it knew the password, 4 where it must be
    /// given the password itself, and its RSA key where it was asked for it.
    pub(super) fn go_on(
        self,
        data: &[u8],
        password: &str,
        nonce: &[u8],
        private: bool,
    ) -> Result<Option<Vec<u8>>, Refusal> {
        const KNOWN: &[u8] = &[3];
        const PASSWORD_NEEDED: &[u8] = &[4];
        const ASK_FOR_KEY: u8 = 2;
        match (self, data) {
            (Plugin::CachingSha2Password, KNOWN) => Ok(None),
            (Plugin::CachingSha2Password, PASSWORD_NEEDED) if private => {
                Ok(Some(ended(password.as_bytes())))
            }
            (Plugin::CachingSha2Password, PASSWORD_NEEDED) => Ok(Some(vec![ASK_FOR_KEY])),
            (Plugin::CachingSha2Password, key) => hide(password, nonce, key).map(Some),
            (Plugin::NativePassword | Plugin::Ed25519 | Plugin::ClearPassword, _) => {
                Err(Refusal::OutOfTurn)
            }
        }
    }
}

fn ended(password: &[u8]) -> Vec<u8> {
    [password, b"\0"].concat()
}

/// Encrypts the password, combined with the nonce, by RSA with OAEP.
fn hide(password: &str, nonce: &[u8], key: &[u8]) -> Result<Vec<u8>, Refusal> {
    let key = ServerKey::read(key).ok_or(Refusal::KeyUnusable)?;
    let mut password = ended(password.as_bytes());
    if nonce.is_empty() || password.len() > key.most_bytes {
        return Err(Refusal::KeyUnusable);
    }
    for (byte, mask) in password.iter_mut().zip(nonce.iter().cycle()) {
        *byte ^= mask;
    }
    let padding = Pkcs1OaepPadding::new(GetRandom);
    Ok(PublicKey::from_pem(key.pem).encrypt_block(password, padding))
}

/// A key that the library which encrypts takes without a panic.
struct ServerKey {
    /// Written anew from what was read.
    pem: String,
    /// How many bytes it can hide.
    most_bytes: usize,
}

impl ServerKey {
    /// Reads an RSA key of 1024 to 16384 bits; `None` where it is none.
    fn read(pem: &[u8]) -> Option<Self> {
        /// Two hashes of SHA-1 and two bytes more (RFC 8017, section 7.1.1), and one for the
        /// rounding of a modulus whose first bits are zero.
        const PADDING_BYTES: usize = 43;
        let info = SubjectPublicKeyInfoOwned::from_pem(pem).ok()?;
        let (modulus, exponent) = read_rsa(info.subject_public_key.as_bytes()?).ok()?;
        let modulus = modulus.as_bytes();
        let odd = modulus.last().is_some_and(|last| last % 2 == 1);
        // With an exponent of 1 or 0 nothing would be hidden.
        let hides = exponent > Uint::new(&[1]).ok()?;
        let fits = odd && hides && (128..=2048).contains(&modulus.len());
        let pem = info.to_pem(LineEnding::LF).ok()?;
        fits.then(|| ServerKey { pem, most_bytes: modulus.len() - PADDING_BYTES })
    }
}

/// Modulus and exponent of an RSA key (RFC 8017, appendix A.1.1).
fn read_rsa(key: &[u8]) -> x509_cert::der::Result<(Uint, Uint)> {
    let mut reader = SliceReader::new(key)?;
    let numbers = |reader: &mut SliceReader<'_>| -> x509_cert::der::Result<(Uint, Uint)> {
        Ok((Uint::decode(reader)?, Uint::decode(reader)?))
    };
    let numbers = reader.sequence(numbers)?;
    reader.finish()?;
    Ok(numbers)
}

#[cfg(test)]
mod tests;
