//! What a verification compares, what it has proven, and what it reports.
//!
//! A unit is a table, or a range of its keys. Its digest is the number of its rows and the sum of
//! their hashes, so the order in which rows are read is of no account. Units and proofs are stored in
//! the target's state; the report is shown, written as JSON, and certified. Nothing in here reads
//! anything.

use std::collections::{HashMap, HashSet};
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

use super::chunk::KeyBound;
use super::position::Position;
use super::schema::{Table, TableId, TableName};
use super::selection::Patterns;
use super::touch::Touch;

/// How many rows there are, and the sum of their hashes modulo 2^128: equal for equal multisets of
/// rows.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Digest {
    /// The number of rows.
    pub rows: u64,
    /// The sum of their hashes.
    pub sum: u128,
}

impl Digest {
    /// Counts a row with this hash in.
    pub fn add(&mut self, hash: u128) {
        self.rows += 1;
        self.sum = self.sum.wrapping_add(hash);
    }

    /// The digest of the rows of both.
    #[must_use]
    pub fn with(self, other: Digest) -> Digest {
        Digest { rows: self.rows + other.rows, sum: self.sum.wrapping_add(other.sum) }
    }
}

/// As `ROWS:SUM`, the sum in 32 hexadecimal digits.
impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{:032x}", self.rows, self.sum)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let read = || {
            let (rows, sum) = text.split_once(':')?;
            Some(Digest { rows: rows.parse().ok()?, sum: u128::from_str_radix(sum, 16).ok()? })
        };
        read().ok_or_else(|| serde::de::Error::custom("not a digest"))
    }
}

/// What is compared at once: a table, or its rows with keys between two borders.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Unit {
    /// Its number within the verification, from zero.
    pub number: u32,
    /// The table.
    pub table: TableId,
    /// The smallest key, if there is one.
    pub from: Option<KeyBound>,
    /// The first key that is not in it, if there is one.
    pub until: Option<KeyBound>,
    /// An estimate of the bytes in it.
    pub bytes: u64,
}

/// A part of all units, chosen at random.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Sample {
    /// How many of a hundred.
    pub percent: f64,
    /// What the choice follows from.
    pub seed: u64,
}

/// A verification that was begun: all that it is to compare.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct VerificationPlan {
    /// Its own number, which no other has.
    pub id: u32,
    /// Which of the migration's tables.
    pub tables: Patterns,
    /// Which of their units; all where it is None.
    pub sample: Option<Sample>,
    /// Whether units were taken over from the verification before it.
    #[serde(default)]
    pub incremental: bool,
    /// When it was begun, in seconds since the Unix epoch, by the clock of the process.
    pub begun_at_s: u64,
    /// The tables, as they are compared.
    pub definitions: Vec<Table>,
    /// The units.
    pub units: Vec<Unit>,
}

/// A unit that was the same on both sides.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Proof {
    /// The number of the plan that the unit is of.
    pub plan: u32,
    /// The unit's number.
    pub unit: u32,
    /// The digest of its rows, as they were read on the source.
    pub digest: Digest,
    /// Bytes of their text.
    pub bytes: u64,
    /// Everything that this position contains was on the target before they were read.
    pub position: Position,
    /// When they were read, in seconds since the Unix epoch, by the clock of the process.
    #[serde(default)]
    pub proven_at_s: u64,
}

impl VerificationPlan {
    /// Those of the proofs of an earlier plan that hold in this one, which has units of the same
    /// numbers: of units that are in it and that no mark is of.
    #[must_use]
    pub fn take_over(&self, proofs: &[Proof], touches: &[Touch]) -> Vec<Proof> {
        let tables: HashMap<u32, TableId> =
            self.units.iter().map(|unit| (unit.number, unit.table)).collect();
        let touches: HashSet<Touch> = touches.iter().copied().collect();
        let holds = |proof: &&Proof| {
            tables.get(&proof.unit).is_some_and(|&table| {
                let marks = [Touch { table, unit: None }, Touch { table, unit: Some(proof.unit) }];
                !marks.iter().any(|mark| touches.contains(mark))
            })
        };
        let taken_over = |proof: &Proof| Proof { plan: self.id, ..proof.clone() };
        proofs.iter().filter(holds).map(taken_over).collect()
    }
}

/// A table of which every row was the same on both sides.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct TableProof {
    /// The table, as it was compared.
    pub table: Table,
    /// The digest of its rows, as they were read on the source.
    pub digest: Digest,
    /// Everything that this position contains was on the target before any of them was read. Of what
    /// came later, the proof says nothing.
    pub position: Position,
}

/// A table's proof, as the state has it.
#[derive(Clone, PartialEq, Debug)]
pub struct KeptProof {
    /// The proof.
    pub proof: TableProof,
    /// Its age in seconds, by the target's clock.
    pub seconds_ago: f64,
    /// The table was copied again since.
    pub outdated: bool,
}

/// What is proven of the tables of a migration.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Proven {
    /// Tables that no proof holds of.
    pub unproven: Vec<TableName>,
    /// The earliest position of the proofs of all others; None where there is none.
    pub position: Option<Position>,
    /// The age of the oldest of these in seconds, likewise.
    pub seconds_ago: Option<f64>,
}

impl Proven {
    /// What the proofs say of these tables. A proof holds until the table is copied again, or has
    /// other columns.
    #[must_use]
    pub fn of(tables: &[Table], kept: &[KeptProof]) -> Self {
        let mut proven = Proven::default();
        for table in tables {
            let holds = |kept: &&KeptProof| {
                let compared = &kept.proof.table;
                compared.id == table.id && compared.has_shape_of(table) && !kept.outdated
            };
            let Some(KeptProof { proof, seconds_ago, .. }) = kept.iter().find(holds) else {
                proven.unproven.push(table.name.clone());
                continue;
            };
            let oldest = proven.seconds_ago.map_or(*seconds_ago, |oldest| oldest.max(*seconds_ago));
            proven.seconds_ago = Some(oldest);
            proven.position = Some(earliest(proven.position, proof.position.clone()));
        }
        proven
    }
}

/// The earlier of two positions of one target.
#[must_use]
pub fn earliest(one: Option<Position>, other: Position) -> Position {
    match one {
        Some(one) if other.reaches(&one) => one,
        Some(_) | None => other,
    }
}

/// How a verification ended.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Both sides hold the same rows.
    Equal,
    /// No row was found that differs for certain, but not every row was found equal.
    Unsettled,
    /// Rows differ.
    Different,
}

/// How a row differs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DifferenceKind {
    /// The target does not have it.
    Missing,
    /// The source does not have it.
    Extra,
    /// The values of some columns differ; or it is there more often on one side.
    Different,
    /// It changed too often to be compared.
    Unsettled,
}

impl fmt::Display for DifferenceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DifferenceKind::Missing => "missing",
            DifferenceKind::Extra => "extra",
            DifferenceKind::Different => "different",
            DifferenceKind::Unsettled => "unsettled",
        })
    }
}

/// A value under its column's name; as text, NULL where there is none.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct NamedValue {
    /// The column.
    pub column: String,
    /// The value.
    pub value: Option<String>,
}

/// Both values of a column that differ.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ValuePair {
    /// The column.
    pub column: String,
    /// As text, NULL where there is none.
    pub source: Option<String>,
    /// The same of the target.
    pub target: Option<String>,
}

/// A row that differs, or could not be compared.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Difference {
    /// The table's qualified name.
    pub table: String,
    /// How it differs.
    pub kind: DifferenceKind,
    /// Its key. Of a table without a key: the row's hash, under no column's name.
    pub key: Vec<NamedValue>,
    /// The columns that differ, where both sides have it.
    pub columns: Vec<String>,
    /// It was put right since.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub repaired: bool,
    /// How often it is there on the source.
    pub source_rows: u64,
    /// How often it is there on the target.
    pub target_rows: u64,
    /// The values of these columns, where they were asked for.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub values: Vec<ValuePair>,
}

/// What was found of one table.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TableVerdict {
    /// Its qualified name.
    pub table: String,
    /// How it ended.
    pub verdict: Verdict,
    /// Rows of the units that are equal.
    pub rows: u64,
    /// Bytes of their text.
    pub bytes: u64,
    /// The digest of these rows.
    pub digest: Digest,
    /// All units of it that were to be compared.
    pub units: u64,
    /// Those that are equal.
    pub equal_units: u64,
    /// Rows that differ.
    pub different_rows: u64,
    /// Rows that changed too often to be compared.
    pub unsettled_rows: u64,
    /// Rows that differed and were put right.
    #[serde(default)]
    pub repaired_rows: u64,
    /// More rows differ than were looked at one by one.
    pub more: bool,
    /// What was not read, since nothing touched it since it was proven.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub taken_over: Option<TakenOver>,
    /// What else is to be said of it.
    pub note: Option<String>,
}

/// Units of a table that were not read again.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TakenOver {
    /// How many.
    pub units: u64,
    /// Their rows.
    pub rows: u64,
    /// Everything that this position contains was on the target before any of them was read.
    pub position: Position,
    /// When the first of them was read, in UTC.
    pub proven_at: String,
}

/// What a verification found.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct VerificationReport {
    /// How it ended.
    pub verdict: Verdict,
    /// The migration's name.
    pub migration: String,
    /// The source: database, cluster and version.
    pub source: String,
    /// The version of dunlin.
    pub version: String,
    /// When it was begun, in UTC.
    pub begun_at: String,
    /// When it ended, in UTC.
    pub ended_at: String,
    /// The end of the source's log when it began, or went on.
    pub begun_position: Position,
    /// The end of the source's log when it ended.
    pub ended_position: Position,
    /// Which of all units were compared; all where it is None.
    pub sample: Option<Sample>,
    /// Whether units were taken over that nothing touched since they were proven.
    #[serde(default)]
    pub incremental: bool,
    /// Units that an earlier process had found equal.
    pub units_before: u64,
    /// Table by table.
    pub tables: Vec<TableVerdict>,
    /// The rows that differ, some of them where there are many.
    pub differences: Vec<Difference>,
}

impl VerificationReport {
    /// The report as a certificate: one JSON object that holds it as `certificate`, and as `sha256`
    /// the SHA-256 over the bytes of that value, as they stand.
    #[must_use]
    pub fn certificate(&self) -> String {
        // Serialising into a string fails only for maps with keys that are not strings.
        let report = serde_json::to_string(self).unwrap_or_default();
        let digest = Sha256::digest(report.as_bytes());
        let digits: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{{\"certificate\":{report},\"sha256\":\"{digits}\"}}\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Lsn;

    #[test]
    fn a_digest_is_of_a_multiset() {
        let of = |hashes: &[u128]| {
            let mut digest = Digest::default();
            hashes.iter().for_each(|hash| digest.add(*hash));
            digest
        };
        assert_eq!(of(&[1, u128::MAX, 7]), of(&[7, 1, u128::MAX]));
        assert_ne!(of(&[5, 5]), of(&[5]));
        assert_ne!(of(&[0, 0]), of(&[0]));
        assert_eq!(of(&[1, 2]).with(of(&[3])), of(&[3, 2, 1]));
    }

    fn table(id: u32, name: &str) -> Table {
        let text = serde_json::json!({
            "id": id, "name": { "schema": "public", "name": name }, "source_id": 1, "columns": [],
            "columns_ever": 0, "kept": [], "storage": 0, "identity": { "by": "full" },
            "primary_key": [], "bytes": 0, "estimated_rows": 0, "pages": 0, "correlation": null,
            "root": null, "binary_travels": true,
        });
        serde_json::from_value(text).unwrap()
    }

    fn kept(table: Table, position: u64, seconds_ago: f64) -> KeptProof {
        let position = Position::Postgres(Lsn(position));
        let proof = TableProof { table, digest: Digest::default(), position };
        KeptProof { proof, seconds_ago, outdated: false }
    }

    #[test]
    fn what_is_proven_is_as_old_as_the_oldest_proof() {
        let tables = [table(0, "a"), table(1, "b")];
        let proofs = [kept(tables[0].clone(), 70, 5.0), kept(tables[1].clone(), 50, 9.0)];
        let proven = Proven::of(&tables, &proofs);
        assert_eq!(proven.unproven, []);
        assert_eq!(proven.position, Some(Position::Postgres(Lsn(50))));
        assert_eq!(proven.seconds_ago, Some(9.0));
        assert_eq!(Proven::of(&tables[..1], &proofs).seconds_ago, Some(5.0));
    }

    #[test]
    fn a_proof_holds_of_the_table_that_it_was_made_of() {
        let tables = [table(0, "a"), table(1, "b")];
        let unproven = |proofs: &[KeptProof]| Proven::of(&tables, proofs).unproven;
        let (a, b) = (kept(table(0, "a"), 1, 1.0), kept(table(1, "b"), 1, 1.0));
        assert_eq!(unproven(std::slice::from_ref(&b)), [tables[0].name.clone()]);
        let renamed = kept(table(0, "c"), 1, 1.0);
        assert_eq!(unproven(&[renamed, b.clone()]), [tables[0].name.clone()]);
        let outdated = KeptProof { outdated: true, ..a };
        assert_eq!(unproven(&[outdated, b]), [tables[0].name.clone()]);
    }

    #[test]
    fn a_digest_is_read_back() {
        let digest = Digest { rows: 3, sum: u128::MAX - 1 };
        let text = serde_json::to_string(&digest).unwrap();
        assert_eq!(text, "\"3:fffffffffffffffffffffffffffffffe\"");
        assert_eq!(serde_json::from_str::<Digest>(&text).unwrap(), digest);
        assert!(serde_json::from_str::<Digest>("\"3\"").is_err());
    }
}
