//! Digests of many rows, kept apart in buckets by the rows' own hashes.
//!
//! In: hashes of rows, in whatever order. Out: whether two sides hold the same multiset of rows, and
//! where they do not, the buckets in which rows differ. Every version of a row that only one side has
//! makes a bucket differ, and equal rows fall into the same bucket on both; so what is in the other
//! buckets need not be looked at again. The memory is the buckets', whatever the number of rows.

use crate::model::verification::Digest;

/// Digests of the rows of one side.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Buckets {
    /// A power of two.
    digests: Vec<Digest>,
}

impl Buckets {
    /// Buckets for about so many rows.
    pub(super) fn for_rows(rows: u64) -> Self {
        let buckets = (rows / ROWS_PER_BUCKET).clamp(FEWEST, MOST).next_power_of_two();
        Buckets { digests: vec![Digest::default(); usize::try_from(buckets).unwrap_or(1)] }
    }

    /// Empty buckets, as many.
    pub(super) fn emptied(&self) -> Self {
        Buckets { digests: vec![Digest::default(); self.digests.len()] }
    }

    /// The bucket of a row.
    pub(super) fn place(&self, hash: u128) -> usize {
        // A division by what only we know to be a power of two would cost more than the hash.
        (hash as usize) & (self.digests.len() - 1)
    }

    /// Counts a row in.
    pub(super) fn add(&mut self, hash: u128) {
        let place = self.place(hash);
        self.digests[place].add(hash);
    }

    /// The digest of all rows.
    pub(super) fn total(&self) -> Digest {
        self.digests.iter().copied().fold(Digest::default(), Digest::with)
    }

    /// The buckets that differ, in groups that hold about `most_rows` rows each.
    pub(super) fn differing(&self, other: &Buckets, most_rows: u64) -> Vec<Vec<usize>> {
        let mut groups: Vec<Vec<usize>> = Vec::new();
        let mut rows_in_group = 0;
        for (place, (one, another)) in self.digests.iter().zip(&other.digests).enumerate() {
            if one == another {
                continue;
            }
            let rows = one.rows.max(another.rows);
            match groups.last_mut() {
                Some(group) if rows_in_group + rows <= most_rows => group.push(place),
                Some(_) | None => {
                    groups.push(vec![place]);
                    rows_in_group = 0;
                }
            }
            rows_in_group += rows;
        }
        groups
    }
}

const ROWS_PER_BUCKET: u64 = 256;
const FEWEST: u64 = 64;
/// Thirty-two bytes each, on both sides.
const MOST: u64 = 1 << 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn buckets(hashes: impl Iterator<Item = u128>) -> Buckets {
        let mut buckets = Buckets::for_rows(0);
        hashes.for_each(|hash| buckets.add(hash));
        buckets
    }

    #[test]
    fn order_is_of_no_account_and_each_version_of_a_row_makes_its_bucket_differ() {
        let one = buckets(0..1000);
        assert_eq!(one, buckets((0..1000).rev()));
        assert!(one.differing(&buckets((0..1000).rev()), 10).is_empty());
        let changed = buckets((0..1000).map(|hash| if hash == 70 { 5000 } else { hash }));
        let differing = one.differing(&changed, u64::MAX);
        assert_eq!(differing, [vec![one.place(70), one.place(5000)]]);
        let doubled = buckets((0..1000).chain([70]));
        assert_eq!(one.differing(&doubled, 1), [vec![one.place(70)]]);
    }

    #[test]
    fn groups_hold_about_so_many_rows() {
        let (one, none) = (buckets(0..64 * 10), buckets(0..0));
        let groups = one.differing(&none, 100);
        assert_eq!(groups.iter().map(Vec::len).collect::<Vec<_>>(), [10, 10, 10, 10, 10, 10, 4]);
        assert_eq!(one.differing(&none, 1).len(), 64);
    }

    #[test]
    fn the_number_of_buckets_is_bounded() {
        assert_eq!(Buckets::for_rows(0).digests.len(), 64);
        assert_eq!(Buckets::for_rows(256 * 1000).digests.len(), 1024);
        assert_eq!(Buckets::for_rows(u64::MAX).digests.len(), 1 << 16);
    }
}
