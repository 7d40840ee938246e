//! A server that says whatever the fuzzer likes, to a connection that logs in, copies and streams.
//!
//! The first byte chooses what the connection does and whether the login is an honest one.

#![no_main]

use std::time::Duration;

use dunlin::config::endpoint::PostgresEndpoint;
use dunlin::config::environment::Environment;
use dunlin::source::postgres::wire::{Wire, WireError, WireOptions};
use libfuzzer_sys::fuzz_target;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;

/// AuthenticationOk, the version, ReadyForQuery.
const LOGIN: &[u8] = b"R\0\0\0\x08\0\0\0\0S\0\0\0\x18server_version\x0013.4\0Z\0\0\0\x05I";

fuzz_target!(|input: &[u8]| {
    let Some((&choice, said)) = input.split_first() else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join(".s.PGSQL.5432")).unwrap();
        let login = if choice & 4 == 0 { LOGIN } else { b"" };
        let said = [login, said].concat();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.write_all(&said).await;
            let _ = stream.shutdown().await;
            let _ = stream.read_to_end(&mut Vec::new()).await;
        });
        let words = format!("host={} user=u dbname=d password=p", folder.path().display());
        let environment = Environment::new([("HOME", "/")], None);
        let endpoint = PostgresEndpoint::parse(&words, &environment).unwrap();
        let talked = tokio::time::timeout(Duration::from_secs(20), talk(&endpoint, choice)).await;
        assert!(talked.is_ok(), "it goes on for ever");
        server.abort();
    });
});

async fn talk(endpoint: &PostgresEndpoint, choice: u8) -> Result<(), WireError> {
    let options = WireOptions { application_name: "fuzz".into(), replication: true };
    let mut wire = Wire::connect(endpoint, &options).await?;
    match choice & 3 {
        0 => drop(wire.simple_query("SELECT 1").await?),
        1 => {
            let mut copy = wire.copy_out("COPY t TO STDOUT").await?;
            while copy.next_buffer().await?.is_some() {}
        }
        _ => {
            let (mut reader, _writer) = wire.start_replication("START_REPLICATION").await?.split();
            while let Some(frames) = reader.read_frames().await? {
                assert!(frames.payloads().all(|payload| payload.end <= frames.bytes().len()));
            }
        }
    }
    Ok(())
}
