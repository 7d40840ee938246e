//! Methods of logging in, against what the servers' own clients answer.

use super::*;
use proptest::prelude::*;

/// Made by `openssl rsa -pubout` for this test alone.
const KEY: &[u8] = include_bytes!("key.pem");

const NONCE: &[u8] = b"0123456789abcdefghij";

#[test]
fn the_methods_of_the_servers_are_known() {
    for name in ["mysql_native_password", "caching_sha2_password", "client_ed25519"] {
        assert_eq!(Plugin::named(name).unwrap().name(), name);
    }
    let unknown = Refusal::PluginUnknown { name: "parsec".to_owned() };
    assert_eq!(Plugin::named("parsec").unwrap_err(), unknown);
}

#[test]
fn answers_have_the_length_that_the_method_demands() {
    let begin = |plugin: Plugin| plugin.begin("pw", NONCE, true).unwrap().len();
    assert_eq!(begin(Plugin::NativePassword), 20);
    assert_eq!(begin(Plugin::CachingSha2Password), 32);
    assert_eq!(begin(Plugin::Ed25519), 64);
    for plugin in [Plugin::NativePassword, Plugin::CachingSha2Password] {
        assert_eq!(plugin.begin("", NONCE, false).unwrap(), b"");
    }
}

#[test]
fn the_password_itself_goes_only_where_nobody_else_can_read() {
    assert_eq!(Plugin::ClearPassword.begin("pw", NONCE, true).unwrap(), b"pw\0");
    assert_eq!(Plugin::ClearPassword.begin("pw", NONCE, false), Err(Refusal::ChannelOpen));
    let go_on = |data, private| Plugin::CachingSha2Password.go_on(data, "pw", NONCE, private);
    assert_eq!(go_on(&[3], false), Ok(None));
    assert_eq!(go_on(&[4], true), Ok(Some(b"pw\0".to_vec())));
    assert_eq!(go_on(&[4], false), Ok(Some(vec![2])));
    let hidden = go_on(KEY, false).unwrap().unwrap();
    assert_eq!(hidden.len(), 256);
    assert_ne!(go_on(KEY, false).unwrap().unwrap(), hidden);
}

#[test]
fn a_key_that_is_none_is_refused() {
    let cut = &KEY[..KEY.len() / 2];
    let ec = b"-----BEGIN PUBLIC KEY-----\n\
        MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEWLY2b8RLr0L3kk5yGqyTTgHkdCRK\n\
        nmyv0bzhVTNWwHyNgcRXw8Ulkn8dvN7kQAQ8aUDXj9F0jvMvyT9qGXFBqQ==\n\
        -----END PUBLIC KEY-----\n";
    for key in [&b""[..], b"\x00", cut, ec] {
        let refused = Plugin::CachingSha2Password.go_on(key, "pw", NONCE, false);
        assert_eq!(refused, Err(Refusal::KeyUnusable));
    }
    let long = "x".repeat(300);
    let refused = Plugin::CachingSha2Password.go_on(KEY, &long, NONCE, false);
    assert_eq!(refused, Err(Refusal::KeyUnusable));
}

#[test]
fn answers_of_the_server_are_told_apart() {
    assert!(matches!(Answer::read(b"\x00\x00\x00"), Ok(Answer::Welcome)));
    assert!(matches!(Answer::read(b"\xff\x15\x04"), Ok(Answer::Refused)));
    assert!(matches!(Answer::read(b"\x01\x04"), Ok(Answer::More(b"\x04"))));
    assert!(matches!(
        Answer::read(b"\xfeclient_ed25519\0nonce"),
        Ok(Answer::Switch { name: "client_ed25519", data: b"nonce" })
    ));
    assert!(matches!(Answer::read(b"\xfe"), Ok(Answer::Switch { name: "mysql_old_password", .. })));
    assert!(Answer::read(b"").is_err());
    assert!(Answer::read(b"\xfeno end").is_err());
}

proptest! {
    #[test]
    fn no_key_panics(at in any::<usize>(), byte in any::<u8>(), password in ".{0,80}") {
        let mut key = KEY.to_vec();
        let at = at % key.len();
        key[at] = byte;
        let _ = hide(&password, NONCE, &key);
    }
}
