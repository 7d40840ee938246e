//! Whole conversations with a server that lies: cut short, altered, repeated, made of noise.
//!
//! The server sends all that it has at once and hangs up, so whoever waits for more learns of the
//! end. Whatever it sends, the connection says what is wrong or does its work; it never panics,
//! never goes on for ever and never returns more than was sent.

use super::*;
use crate::config::environment::Environment;
use crate::model::{Batch, TableId};
use crate::source::postgres::decode::{Decoded, Decoder, Registry};
use proptest::prelude::*;
use std::collections::HashMap;
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::AsyncReadExt;
use tokio::net::UnixListener;
use tokio::runtime::Runtime;

/// Nothing takes that long; only what does not end does.
const PATIENCE: Duration = Duration::from_secs(20);

fn message(tag: u8, body: &[&[u8]]) -> Vec<u8> {
    let body = body.concat();
    let length = u32::try_from(body.len() + 4).unwrap();
    [&[tag][..], &length.to_be_bytes(), &body].concat()
}

/// The ways in which a server may let somebody in. The proof of SCRAM cannot be made beforehand.
fn logins() -> Vec<Vec<Vec<u8>>> {
    let asks = |method: u32, more: &[u8]| message(b'R', &[&method.to_be_bytes(), more]);
    let welcome = || {
        vec![
            asks(0, b""),
            message(b'S', &[b"server_version\x0013.4\0"]),
            message(b'N', &[b"SNOTICE\0VNOTICE\0C00000\0Mwelcome\0\0"]),
            message(b'K', &[&[0; 8]]),
            message(b'Z', &[b"I"]),
        ]
    };
    let first = [
        None,
        Some(asks(3, b"")),
        Some(asks(5, b"salt")),
        Some(asks(10, b"SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0")),
    ];
    let challenge = asks(11, b"r=nonce,s=c2FsdA==,i=4096");
    let mut logins: Vec<_> =
        first.into_iter().map(|first| first.into_iter().chain(welcome()).collect()).collect();
    let scram: &mut Vec<Vec<u8>> = &mut logins[3];
    scram.insert(1, challenge);
    scram.insert(2, asks(12, b"v=c2lnbmF0dXJl"));
    logins
}

/// The answers to a query, a COPY and START_REPLICATION.
fn answers() -> Vec<Vec<Vec<u8>>> {
    let ready = || message(b'Z', &[b"I"]);
    let row = message(b'D', &[&[0, 2, 0, 0, 0, 1, b'x', 255, 255, 255, 255]]);
    let field = [b"a\0", &[0; 6][..], &25u32.to_be_bytes(), &[255; 6], &[0, 0]].concat();
    let query = vec![
        message(b'T', &[&[0, 1], &field]),
        row,
        message(b'C', &[b"SELECT 1\0"]),
        message(b'E', &[b"SERROR\0VERROR\0C22P02\0Mno\0\0"]),
        ready(),
    ];
    let copy = vec![
        message(b'H', &[&[0, 0, 1, 0, 0]]),
        message(b'd', &[b"a row\n"]),
        message(b'd', &[b""]),
        message(b'd', &[&[b'x'; 70_000]]),
        message(b'c', &[]),
        message(b'C', &[b"COPY 3\0"]),
        ready(),
    ];
    vec![query, copy, replication()]
}

fn replication() -> Vec<Vec<u8>> {
    let wal = |parts: &[&[u8]]| message(b'd', &[b"w", &[0; 24], &parts.concat()]);
    let table = 16384u32.to_be_bytes();
    let column = |name: &[u8]| [&[1], name, b"\0", &23u32.to_be_bytes(), &[255; 4]].concat();
    let (id, note) = (column(b"id"), column(b"note"));
    let values = b"\0\x02t\0\0\0\x017n";
    vec![
        message(b'W', &[&[0, 0, 0]]),
        message(b'd', &[b"k", &[0; 16], &[1]]),
        wal(&[b"Y", &99u32.to_be_bytes(), b"public\0Mood\0"]),
        wal(&[b"B", &[0; 20]]),
        wal(&[b"R", &table, b"public\0t\0d\0\x02", &id, &note]),
        wal(&[b"I", &table, b"N", values]),
        wal(&[b"U", &table, b"O", values, b"N\0\x02ut\0\0\0\0"]),
        wal(&[b"D", &table, b"K", values]),
        wal(&[b"T", &1u32.to_be_bytes(), &[3], &table]),
        wal(&[b"C", &[0; 25]]),
        message(b'c', &[]),
        message(b'C', &[b"COPY 0\0"]),
    ]
}

/// A change of what an honest server would have sent.
#[derive(Clone, Debug)]
enum Lie {
    Cut(usize),
    Flip(usize, u8),
    /// A length, or whatever else stands there.
    Number(usize, u32),
    Insert(usize, Vec<u8>),
    /// A message that is left out, sent twice, or sent too late.
    Drop(usize),
    Repeat(usize),
    Swap(usize, usize),
}

fn lie() -> impl Strategy<Value = Lie> {
    let at = any::<usize>;
    let numbers = [0, 1, 3, 4, 5, 0xFFFF, 1 << 30, (1 << 30) + (1 << 20), 1 << 31, u32::MAX];
    prop_oneof![
        at().prop_map(Lie::Cut),
        (at(), any::<u8>()).prop_map(|(at, byte)| Lie::Flip(at, byte)),
        (at(), prop::sample::select(numbers.to_vec())).prop_map(|(at, n)| Lie::Number(at, n)),
        (at(), prop::collection::vec(any::<u8>(), 1..9)).prop_map(|(at, b)| Lie::Insert(at, b)),
        at().prop_map(Lie::Drop),
        at().prop_map(Lie::Repeat),
        (at(), at()).prop_map(|(one, other)| Lie::Swap(one, other)),
    ]
}

fn tell(mut messages: Vec<Vec<u8>>, lies: &[Lie]) -> Vec<u8> {
    for lie in lies {
        let count = messages.len().max(1);
        match *lie {
            Lie::Drop(at) if count > 1 => drop(messages.remove(at % count)),
            Lie::Repeat(at) => messages.insert(at % count, messages[at % count].clone()),
            Lie::Swap(one, other) => messages.swap(one % count, other % count),
            Lie::Drop(_) | Lie::Cut(_) | Lie::Flip(..) | Lie::Number(..) | Lie::Insert(..) => {}
        }
    }
    // Half of the places lie in the first message that is altered, where lengths are.
    let mut bytes = messages.concat();
    for lie in lies {
        let len = bytes.len().max(1);
        match lie {
            Lie::Cut(at) => bytes.truncate(at % len),
            Lie::Flip(at, byte) if !bytes.is_empty() => bytes[at % len] ^= byte,
            Lie::Number(at, number) if len > 4 => {
                let at = at % (len - 4);
                bytes[at..at + 4].copy_from_slice(&number.to_be_bytes());
            }
            Lie::Insert(at, inserted) => {
                let at = at % len;
                bytes.splice(at..at, inserted.iter().copied());
            }
            Lie::Flip(..) | Lie::Number(..) | Lie::Drop(_) | Lie::Repeat(_) | Lie::Swap(..) => {}
        }
    }
    bytes
}

/// What a client does once it is logged in.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Act {
    Query,
    Copy,
    Replicate,
}

/// Lets a client talk to a server that says just this. Returns the bytes that it was handed.
async fn converse(said: Vec<u8>, act: Act) -> Result<usize, WireError> {
    let folder = TempDir::new().unwrap();
    let listener = UnixListener::bind(folder.path().join(".s.PGSQL.5432")).unwrap();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        // The client may hang up as soon as it has heard enough.
        let _ = stream.write_all(&said).await;
        let _ = stream.shutdown().await;
        let _ = stream.read_to_end(&mut Vec::new()).await;
    });
    let words = format!(
        "host={} user=u dbname=d password=p sslmode=disable channel_binding=disable",
        folder.path().display()
    );
    let nothing: [(&str, &str); 0] = [];
    let endpoint = PostgresEndpoint::parse(&words, &Environment::new(nothing, None)).unwrap();
    let options = WireOptions { application_name: "noise".into(), replication: true };
    let talk = async {
        let wire = Wire::connect(&endpoint, &options).await?;
        talk(wire, act).await
    };
    let handed = tokio::time::timeout(PATIENCE, talk).await.expect("it goes on for ever");
    server.abort();
    handed
}

async fn talk(mut wire: Wire, act: Act) -> Result<usize, WireError> {
    let mut handed = 0;
    match act {
        Act::Query => {
            let rows = wire.simple_query("SELECT 1").await?;
            handed += rows.iter().flatten().flatten().map(String::len).sum::<usize>();
        }
        Act::Copy => {
            let mut copy = wire.copy_out("COPY t TO STDOUT").await?;
            while let Some(buffer) = copy.next_buffer().await? {
                handed += buffer.len();
            }
            assert!(copy.rows().is_some());
        }
        Act::Replicate => {
            let (mut reader, _writer) = wire.start_replication("START_REPLICATION").await?.split();
            let tables = HashMap::from([(16384, TableId(0))]);
            let types = HashMap::from([(23, "pg_catalog.int4".to_owned())]);
            let mut decoder = Decoder::new(Registry { tables, types, ..Registry::default() });
            while let Some(frames) = reader.read_frames().await? {
                handed += frames.bytes().len();
                let mut decoded = Decoded::default();
                let read = decoder.decode(frames.bytes(), frames.payloads(), &mut decoded);
                look_at_all(&decoded.batch);
                if read.is_err() {
                    break;
                }
            }
        }
    }
    Ok(handed)
}

/// Every value lies inside of its buffer, and there are no more than bytes that tell of them.
fn look_at_all(batch: &Batch) {
    assert!(batch.values.len() <= batch.data.len());
    for value in &batch.values {
        let _ = batch.value(*value);
    }
}

fn acts() -> impl Strategy<Value = Act> {
    prop::sample::select(vec![Act::Query, Act::Copy, Act::Replicate])
}

#[test]
fn an_honest_server_is_understood() {
    let runtime = Runtime::new().unwrap();
    for login in logins().into_iter().take(3) {
        for (act, handed) in [(Act::Copy, 70_006), (Act::Replicate, 0)] {
            let said = [login.clone(), answers()[act as usize].clone()].concat();
            let result = runtime.block_on(converse(said.concat(), act));
            assert!(result.is_ok_and(|bytes| bytes >= handed), "{act:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn a_server_that_lies_does_no_harm(
        login in 0..4usize,
        act in acts(),
        altered_login in any::<bool>(),
        lies in prop::collection::vec(lie(), 1..4),
        noise in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let (login, answer) = (logins()[login].clone(), answers()[act as usize].clone());
        let said = match altered_login {
            true => tell([login, answer].concat(), &lies),
            false => [login.concat(), tell(answer, &lies), noise].concat(),
        };
        let sent = said.len();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let result = runtime.block_on(converse(said, act));
        if let Ok(handed) = result {
            prop_assert!(handed <= sent);
        }
    }
}
