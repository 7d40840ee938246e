//! Payloads of the log's messages into the pgoutput decoder.
//!
//! The input is a run of payloads, each behind its length in one byte.

#![no_main]

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use dunlin::model::TableId;
use dunlin::source::postgres::decode::{Decoded, Decoder, Registry};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let mut frames = Vec::new();
    let mut at = 0;
    while let Some(&len) = input.get(at) {
        let start = at + 1;
        at = (start + usize::from(len)).min(input.len());
        frames.push(start..at);
    }
    let mut decoder = Decoder::new(Registry {
        tables: HashMap::from([(16384, TableId(0))]),
        rowless: HashSet::from([5]),
        types: HashMap::from([(23, "pg_catalog.int4".to_owned())]),
        ..Registry::default()
    });
    let mut decoded = Decoded::default();
    let _ = decoder.decode(&Bytes::copy_from_slice(input), frames.into_iter(), &mut decoded);
    assert!(decoded.batch.values.len() <= input.len());
    for value in &decoded.batch.values {
        let _ = decoded.batch.value(*value);
    }
});
