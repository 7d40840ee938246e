//! What is compared: which tables, in which pieces, and which of these where a part is enough.
//!
//! In: tables, and a source that knows where to cut them. Out: units, the largest table first. A table
//! is cut by its key alone: where rows lie on the disk is another matter on each server. Whether both
//! servers sort a key alike is of no account: each one's ranges hold every row of it, and a row that
//! falls into another range than on the other side is looked up by its key.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::report::seconds_now;
use crate::model::selection::Patterns;
use crate::model::verification::{Sample, Unit, VerificationPlan};
use crate::model::{ChunkRange, Failure, KeyBound, Table};
use crate::source::Source;

/// The borders of a unit.
type Borders = (Option<KeyBound>, Option<KeyBound>);

/// Plans a verification.
pub(super) async fn plan<S: Source>(
    source: &S,
    tables: &[Table],
    chunk_bytes: u64,
    (patterns, sample): (&Patterns, Option<Sample>),
) -> Result<VerificationPlan, Failure> {
    let mut sorted: Vec<&Table> = tables.iter().collect();
    sorted.sort_by_key(|table| (std::cmp::Reverse(table.bytes), table.id));
    let mut units = Vec::new();
    for table in sorted {
        let borders = cut(source, table, chunk_bytes).await?;
        let bytes = table.bytes / (borders.len().max(1) as u64);
        units.extend(borders.into_iter().map(|(from, until)| Unit {
            number: 0,
            table: table.id,
            from,
            until,
            bytes,
        }));
    }
    for (unit, number) in units.iter_mut().zip(0..) {
        unit.number = number;
    }
    if let Some(sample) = sample {
        units = chosen(units, sample);
    }
    Ok(VerificationPlan {
        id: rand::random(),
        tables: patterns.clone(),
        sample,
        incremental: false,
        begun_at_s: seconds_now(),
        definitions: tables.to_vec(),
        units,
    })
}

async fn cut<S: Source>(
    source: &S,
    table: &Table,
    chunk_bytes: u64,
) -> Result<Vec<Borders>, Failure> {
    let whole = vec![(None, None)];
    if table.bytes <= chunk_bytes || table.partitions.is_some() {
        return Ok(whole);
    }
    let ranges = source.split(None, table, chunk_bytes).await?;
    let borders: Option<Vec<Borders>> = ranges.into_iter().map(borders).collect();
    Ok(borders.unwrap_or(whole))
}

/// None where it is no range of keys.
fn borders(range: ChunkRange) -> Option<Borders> {
    match range {
        ChunkRange::Whole => Some((None, None)),
        ChunkRange::Key { from, until } => Some((from, until)),
        ChunkRange::Blocks { .. } | ChunkRange::Partition { .. } => None,
    }
}

/// So many of a hundred, and at least one.
fn chosen(mut units: Vec<Unit>, sample: Sample) -> Vec<Unit> {
    let wanted = (units.len() as f64 * sample.percent / 100.0).ceil() as usize;
    let wanted = wanted.clamp(1.min(units.len()), units.len());
    let mut random = StdRng::seed_from_u64(sample.seed);
    for place in 0..wanted {
        let other = random.random_range(place..units.len());
        units.swap(place, other);
    }
    units.truncate(wanted);
    units.sort_by_key(|unit| unit.number);
    units
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::TableId;

    fn units(count: u32) -> Vec<Unit> {
        let unit = |number| Unit { number, table: TableId(0), from: None, until: None, bytes: 0 };
        (0..count).map(unit).collect()
    }

    #[test]
    fn a_sample_follows_from_its_seed() {
        let of = |percent, seed| chosen(units(100), Sample { percent, seed });
        assert_eq!(of(10.0, 1).len(), 10);
        assert_eq!(of(10.0, 1), of(10.0, 1));
        assert_ne!(of(10.0, 1), of(10.0, 2));
        assert_eq!(of(0.001, 1).len(), 1);
        assert_eq!(of(100.0, 1), units(100));
        assert!(chosen(Vec::new(), Sample { percent: 5.0, seed: 0 }).is_empty());
    }
}
