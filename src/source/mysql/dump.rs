//! A set of GTIDs as a server is told it, in the command that begins a dump.
//!
//! In: the set of what is on the target. Out: its bytes.

use crate::model::GtidSet;

/// A set as the command has it (`Gtid_set::encode` and `encode_nsids_format` in rpl_gtid_set.cc).
/// Tags need the form that servers know since 8.3; the older form goes to all where there is none.
pub(super) fn encode(set: &GtidSet) -> Vec<u8> {
    let runs: Vec<_> = set.runs().collect();
    let by_source: Vec<_> = runs.chunk_by(|one, other| one.0 == other.0).collect();
    let tagged = runs.iter().any(|(source, ..)| !source.tag().is_empty());
    let count = by_source.len() as u64;
    let mut bytes = match tagged {
        true => 1u64 << 56 | count << 8 | 1,
        false => count,
    }
    .to_le_bytes()
    .to_vec();
    for runs in by_source {
        let (source, ..) = runs[0];
        bytes.extend_from_slice(&source.uuid());
        if tagged {
            bytes.push((source.tag().len() as u8) << 1);
            bytes.extend_from_slice(source.tag().as_bytes());
        }
        bytes.extend_from_slice(&(runs.len() as u64).to_le_bytes());
        for (_, first, last) in runs {
            bytes.extend_from_slice(&first.to_le_bytes());
            bytes.extend_from_slice(&(last + 1).to_le_bytes());
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "01010101-0101-0101-0101-010101010101";

    #[test]
    fn a_set_is_sent_with_the_ends_of_its_runs_excluded() {
        let plain = encode(&format!("{UUID}:1-3:5").parse().unwrap());
        let mut expected = vec![1, 0, 0, 0, 0, 0, 0, 0];
        expected.extend_from_slice(&[1; 16]);
        for number in [2u64, 1, 4, 5, 6] {
            expected.extend_from_slice(&number.to_le_bytes());
        }
        assert_eq!(plain, expected);
        let tagged = encode(&format!("{UUID}:1:ab:7").parse().unwrap());
        assert_eq!(tagged[..8], [1, 2, 0, 0, 0, 0, 0, 1]);
        assert_eq!((tagged[24], tagged.len()), (0, 8 + 2 * (16 + 1 + 8 + 16) + 2));
    }
}
