//! Framing, and servers that say anything at all: no bytes do harm.

use super::input::{FULL_PACKET_BYTES, HEADER_BYTES, MAX_CONTENT_BYTES};
use super::*;
use crate::config::environment::Environment;
use crate::model::GtidSet;
use proptest::prelude::*;
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;
use tokio::runtime::Runtime;

/// No conversation with a server that hangs up takes so long.
const PATIENCE: Duration = Duration::from_secs(20);

fn packet(number: u8, content: &[u8]) -> Vec<u8> {
    let [a, b, c, ..] = content.len().to_le_bytes();
    [&[a, b, c, number][..], content].concat()
}

/// Packets that follow each other.
fn packets(first: u8, contents: &[Vec<u8>]) -> Vec<u8> {
    let mut number = first;
    let mut bytes = Vec::new();
    for content in contents {
        let mut rest = &content[..];
        loop {
            let (part, after) = rest.split_at(rest.len().min(FULL_PACKET_BYTES));
            bytes.extend_from_slice(&packet(number, part));
            number = number.wrapping_add(1);
            rest = after;
            if part.len() < FULL_PACKET_BYTES {
                break;
            }
        }
    }
    bytes
}

fn greeting(plugin: &str) -> Vec<u8> {
    let mut content = b"\x0a9.7.4\0".to_vec();
    content.extend_from_slice(&7u32.to_le_bytes());
    content.extend_from_slice(b"01234567\0");
    let capabilities = 0xffff_f7ffu32.to_le_bytes();
    content.extend_from_slice(&capabilities[..2]);
    content.extend_from_slice(&[45, 2, 0]);
    content.extend_from_slice(&capabilities[2..]);
    content.push(21);
    content.extend_from_slice(&[0; 10]);
    content.extend_from_slice(b"890123456789\0");
    content.extend_from_slice(plugin.as_bytes());
    content.push(0);
    content
}

const OKAY: &[u8] = &[0, 0, 0, 2, 0, 0, 0];
const END: &[u8] = &[0xfe, 0, 0, 2, 0, 0, 0];

fn column(name: &str) -> Vec<u8> {
    let mut content = b"\x03def\0\0\0".to_vec();
    content.push(name.len() as u8);
    content.extend_from_slice(name.as_bytes());
    content.extend_from_slice(b"\0\x0c\x3f\0\0\x01\0\0\xfd\x01\0\0\0\0");
    content
}

/// A login, a SET, and then what answers the act.
fn conversation(act: Act) -> Vec<Vec<u8>> {
    let login = [
        packets(0, &[greeting("caching_sha2_password")]),
        packets(2, &[b"\x01\x04".to_vec()]),
        packets(4, &[OKAY.to_vec()]),
        packets(1, &[OKAY.to_vec()]),
    ];
    let answer = match act {
        Act::Query => vec![packets(
            1,
            &[
                b"\x02".to_vec(),
                column("a"),
                column("b"),
                b"\x03one\xfb".to_vec(),
                [&b"\xfc\x2c\x01"[..], &[b'x'; 300], b"\x03two"].concat(),
                END.to_vec(),
            ],
        )],
        Act::Dump => vec![
            packets(1, &[OKAY.to_vec()]),
            packets(1, &[OKAY.to_vec()]),
            packets(1, &[b"\0event one".to_vec(), b"\0event two".to_vec(), END.to_vec()]),
        ],
    };
    login.into_iter().chain(answer).collect()
}

/// Nothing else that an error shows, such as the name of a temporary folder, can contain it.
const PASSWORD: &str = "not-to-be-shown";

/// What a client does once it is logged in.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Act {
    Query,
    Dump,
}

/// Lets a client talk to a server that says just this. Returns how many values or events it was
/// given.
async fn converse(said: Vec<u8>, act: Act) -> Result<usize, WireError> {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("my.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        // The client may hang up as soon as it has heard enough.
        let _ = stream.write_all(&said).await;
        let _ = stream.shutdown().await;
        let _ = stream.read_to_end(&mut Vec::new()).await;
    });
    let url = format!("mysql://u:{PASSWORD}@/db?socket={}", path.display());
    let nothing: [(&str, &str); 0] = [];
    let endpoint = MySqlEndpoint::parse(&url, &Environment::new(nothing, None)).unwrap();
    let talk = async {
        let wire = Wire::connect(&endpoint).await?;
        talk(wire, act).await
    };
    let given = tokio::time::timeout(PATIENCE, talk).await.expect("it goes on for ever");
    server.abort();
    given
}

async fn talk(mut wire: Wire, act: Act) -> Result<usize, WireError> {
    let mut given = 0;
    match act {
        Act::Query => {
            let mut result = wire.query("SELECT 1").await?;
            while let Some(row) = result.next().await? {
                given += Values::new(row).count();
            }
            assert!(result.done().is_some());
        }
        Act::Dump => {
            let replica = Replica { server_id: 7, heartbeat: Duration::from_secs(1) };
            let mut reader = wire.dump(&replica, &DumpFrom::Gtids(&GtidSet::default())).await?;
            while let Some(batch) = reader.read_events().await? {
                given += batch.events().map(<[u8]>::len).sum::<usize>();
            }
        }
    }
    Ok(given)
}

#[test]
fn an_honest_server_is_understood() {
    let runtime = Runtime::new().unwrap();
    for (act, expected) in [(Act::Query, 4), (Act::Dump, 18)] {
        let said = conversation(act).concat();
        assert_eq!(runtime.block_on(converse(said, act)).unwrap(), expected);
    }
}

#[test]
fn a_password_is_shown_by_no_error() {
    let runtime = Runtime::new().unwrap();
    let refused = b"\xff\x15\x04#28000Access denied for user 'u'@'localhost'".to_vec();
    let said = [packets(0, &[greeting("mysql_native_password")]), packets(2, &[refused])].concat();
    let error = runtime.block_on(converse(said, Act::Query)).unwrap_err();
    assert_eq!(error.server().unwrap().number, 1045);
    assert!(!format!("{error} {error:?}").contains(PASSWORD));
    let full = b"\xff\x10\x04Too many connections".to_vec();
    let error = runtime.block_on(converse(packets(0, &[full]), Act::Query)).unwrap_err();
    assert_eq!(error.server().unwrap().number, 1040);
}

#[test]
fn a_method_that_nobody_knows_is_named() {
    let runtime = Runtime::new().unwrap();
    let switch = b"\xfedialog\0challenge\0".to_vec();
    let said = [packets(0, &[greeting("x")]), packets(2, &[switch])].concat();
    let error = runtime.block_on(converse(said, Act::Query)).unwrap_err();
    let WireError::Connect(ConnectError::Unauthenticated { source, .. }) = error else {
        panic!("{error:?}");
    };
    assert!(source.to_string().contains("dialog"));
}

async fn contents_of(bytes: &[u8], at_once: usize) -> Result<Vec<Vec<u8>>, Broken> {
    let (mut client, mut server) = tokio::io::duplex(at_once);
    let sent = bytes.to_vec();
    tokio::spawn(async move {
        let _ = server.write_all(&sent).await;
    });
    let mut input = Input::default();
    let mut contents = Vec::new();
    loop {
        match input.arrive(&mut client).await {
            Ok(()) => contents.push(input.arrived().to_vec()),
            Err(Broken::Lost(_)) => return Ok(contents),
            Err(violation) => return Err(violation),
        }
    }
}

async fn batches_of(bytes: &[u8], at_once: usize) -> Result<Vec<Vec<u8>>, Broken> {
    let (mut client, mut server) = tokio::io::duplex(at_once);
    let sent = bytes.to_vec();
    tokio::spawn(async move {
        let _ = server.write_all(&sent).await;
    });
    let mut input = Input::default();
    let mut contents = Vec::new();
    loop {
        match input.contents(0, &mut client).await {
            Ok(Some(batch)) => {
                contents
                    .extend(batch.places.iter().map(|place| batch.bytes[place.clone()].to_vec()));
            }
            Ok(None) => {
                input.arrive(&mut client).await?;
                contents.push(input.arrived().to_vec());
            }
            Err(Broken::Lost(_)) => return Ok(contents),
            Err(violation) => return Err(violation),
        }
    }
}

#[test]
fn contents_of_several_packets_are_joined() {
    let runtime = Runtime::new().unwrap();
    let contents: Vec<Vec<u8>> = [10, FULL_PACKET_BYTES, 0, 2 * FULL_PACKET_BYTES + 5, 3]
        .into_iter()
        .enumerate()
        .map(|(index, length)| {
            (0..length).map(|at| if at == 0 { 0 } else { (at / 7 + index) as u8 }).collect()
        })
        .collect();
    let bytes = packets(0, &contents);
    for at_once in [100_000, 1 << 20] {
        let got = runtime.block_on(contents_of(&bytes, at_once)).unwrap();
        assert!(got == contents);
        let got = runtime.block_on(batches_of(&bytes, at_once)).unwrap();
        assert!(got == contents);
    }
}

#[test]
fn a_number_that_does_not_follow_is_found() {
    let runtime = Runtime::new().unwrap();
    let bytes = [packet(0, b"one"), packet(2, b"three")].concat();
    let lost = runtime.block_on(contents_of(&bytes, 1000)).unwrap_err();
    let expected = Violation::Number { got: 2, expected: 1 };
    assert!(matches!(lost, Broken::Violation(violation) if violation == expected));
}

#[test]
fn no_content_is_joined_for_ever() {
    let runtime = Runtime::new().unwrap();
    let lost = runtime.block_on(async {
        let (mut client, mut server) = tokio::io::duplex(1 << 20);
        tokio::spawn(async move {
            for number in 0u8.. {
                let header = [0xff, 0xff, 0xff, number];
                let part = vec![0; FULL_PACKET_BYTES];
                if server.write_all(&header).await.is_err()
                    || server.write_all(&part).await.is_err()
                {
                    return;
                }
            }
        });
        Input::default().arrive(&mut client).await.unwrap_err()
    });
    let expected = Violation::TooLong { most_bytes: MAX_CONTENT_BYTES };
    assert!(matches!(lost, Broken::Violation(violation) if violation == expected));
}

/// How what an honest server says is altered.
#[derive(Clone, Debug)]
enum Lie {
    Cut(usize),
    Flip(usize, u8),
    Insert(usize, Vec<u8>),
    Repeat(usize),
    Swap(usize, usize),
}

fn lie() -> impl Strategy<Value = Lie> {
    let place = any::<usize>;
    let noise = prop::collection::vec(any::<u8>(), 1..20);
    prop_oneof![
        place().prop_map(Lie::Cut),
        (place(), any::<u8>()).prop_map(|(at, byte)| Lie::Flip(at, byte)),
        (place(), noise).prop_map(|(at, bytes)| Lie::Insert(at, bytes)),
        place().prop_map(Lie::Repeat),
        (place(), place()).prop_map(|(one, other)| Lie::Swap(one, other)),
    ]
}

fn tell(mut messages: Vec<Vec<u8>>, lies: &[Lie]) -> Vec<u8> {
    let count = messages.len();
    for lie in lies {
        match lie {
            Lie::Repeat(at) => messages.insert(at % count, messages[at % count].clone()),
            Lie::Swap(one, other) => messages.swap(one % count, other % count),
            Lie::Cut(_) | Lie::Flip(..) | Lie::Insert(..) => {}
        }
    }
    let mut bytes = messages.concat();
    for lie in lies {
        let length = bytes.len().max(1);
        match lie {
            Lie::Cut(at) => bytes.truncate(at % length),
            Lie::Flip(at, byte) if !bytes.is_empty() => bytes[at % length] ^= byte,
            Lie::Insert(at, inserted) => {
                let at = at % length;
                bytes.splice(at.min(bytes.len())..at.min(bytes.len()), inserted.iter().copied());
            }
            Lie::Flip(..) | Lie::Repeat(_) | Lie::Swap(..) => {}
        }
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn a_server_that_lies_does_no_harm(
        act in prop::sample::select(vec![Act::Query, Act::Dump]),
        lies in prop::collection::vec(lie(), 1..4),
    ) {
        let said = tell(conversation(act), &lies);
        let sent = said.len();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        if let Ok(given) = runtime.block_on(converse(said, act)) {
            prop_assert!(given <= sent);
        }
    }

    #[test]
    fn contents_come_out_whole_however_they_come_in(
        contents in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..20),
        at_once in 1..50usize,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let bytes = packets(0, &contents);
        prop_assert_eq!(bytes.len(), contents.concat().len() + HEADER_BYTES * contents.len());
        prop_assert_eq!(&runtime.block_on(contents_of(&bytes, at_once)).unwrap(), &contents);
        prop_assert_eq!(&runtime.block_on(batches_of(&bytes, at_once)).unwrap(), &contents);
    }

    #[test]
    fn no_greeting_panics(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
        let _ = Greeting::read(&bytes);
        let _ = Greeting::read(&[b"\x0a8.0.1\0", &bytes[..]].concat());
    }
}
