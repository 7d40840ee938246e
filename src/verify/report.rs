//! What the workers found, table by table, and what it amounts to.
//!
//! In: units that are equal, rows that are not. Out: a verdict for each table and for all, and the rows
//! that differ, up to a number that a person may look at. Counts are of all.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use super::rows::Keying;
use super::suspect::{Standing, Suspect};
use crate::model::verification::{
    Difference, DifferenceKind, Digest, NamedValue, Proof, TableProof, TableVerdict, TakenOver,
    ValuePair, Verdict, VerificationPlan, earliest,
};
use crate::model::{Position, Table, TableId};

/// Rows that the report names, at most.
pub(super) const MOST_NAMED: usize = 1000;

/// Everything that was found so far.
#[derive(Debug, Default)]
pub(super) struct Findings {
    tables: BTreeMap<TableId, TableVerdict>,
    /// Everything up to there was on the target before any unit was read that is equal.
    positions: BTreeMap<TableId, Position>,
    differences: Vec<Difference>,
}

impl Findings {
    /// What earlier processes have proven.
    pub(super) fn new(tables: &[Table], plan: &VerificationPlan, proofs: &[Proof]) -> Self {
        let verdict = |table: &Table| TableVerdict {
            table: table.name.to_string(),
            verdict: Verdict::Equal,
            rows: 0,
            bytes: 0,
            digest: Digest::default(),
            units: plan.units.iter().filter(|unit| unit.table == table.id).count() as u64,
            equal_units: 0,
            different_rows: 0,
            unsettled_rows: 0,
            repaired_rows: 0,
            more: false,
            taken_over: None,
            note: None,
        };
        let mut findings = Findings {
            tables: tables.iter().map(|table| (table.id, verdict(table))).collect(),
            positions: BTreeMap::new(),
            differences: Vec::new(),
        };
        for proof in proofs {
            if let Some(unit) = plan.units.iter().find(|unit| unit.number == proof.unit) {
                findings.proven(unit.table, proof);
                if plan.incremental {
                    findings.taken_over(unit.table, proof);
                }
            }
        }
        findings
    }

    /// A unit is equal.
    pub(super) fn proven(&mut self, table: TableId, proof: &Proof) {
        let Some(found) = self.tables.get_mut(&table) else { return };
        found.equal_units += 1;
        found.rows += proof.digest.rows;
        found.bytes += proof.bytes;
        found.digest = found.digest.with(proof.digest);
        let position = earliest(self.positions.remove(&table), proof.position.clone());
        self.positions.insert(table, position);
    }

    /// A unit is equal for an earlier proof.
    fn taken_over(&mut self, table: TableId, proof: &Proof) {
        let Some(found) = self.tables.get_mut(&table) else { return };
        let proven_at = moment(proof.proven_at_s);
        let before = found.taken_over.take();
        let (units, rows) = before.as_ref().map_or((0, 0), |before| (before.units, before.rows));
        let (position, earlier) = before.map(|before| (before.position, before.proven_at)).unzip();
        found.taken_over = Some(TakenOver {
            units: units + 1,
            rows: rows + proof.digest.rows,
            position: earliest(position, proof.position.clone()),
            // Texts of this form sort by time.
            proven_at: earlier.map_or(proven_at.clone(), |earlier| earlier.min(proven_at)),
        });
    }

    /// The proofs of those tables of which every unit is equal.
    pub(super) fn proofs<'a>(&self, tables: impl Iterator<Item = &'a Table>) -> Vec<TableProof> {
        let proof = |table: &Table| {
            let found = self.tables.get(&table.id)?;
            let equal = found.verdict == Verdict::Equal && found.equal_units == found.units;
            let position = self.positions.get(&table.id).filter(|_| equal)?;
            let (table, position) = (table.clone(), position.clone());
            Some(TableProof { table, digest: found.digest, position })
        };
        tables.filter_map(proof).collect()
    }

    /// Something else is to be said of a table.
    pub(super) fn note(&mut self, table: TableId, verdict: Verdict, note: &str) {
        if let Some(table) = self.tables.get_mut(&table) {
            table.verdict = table.verdict.max(verdict);
            table.note = Some(note.to_owned());
        }
    }

    /// More rows of a table differ than were looked at.
    pub(super) fn there_are_more(&mut self, table: TableId) {
        if let Some(table) = self.tables.get_mut(&table) {
            table.more = true;
        }
    }

    /// A row that is not equal.
    pub(super) fn suspect(&mut self, table: &Table, keying: &Keying, suspect: &Suspect) {
        let Some(found) = self.tables.get_mut(&table.id) else { return };
        match suspect.standing {
            Standing::Open | Standing::Equal => return,
            Standing::Different => {
                found.different_rows += 1;
                found.verdict = Verdict::Different;
            }
            Standing::Unsettled => {
                found.unsettled_rows += 1;
                found.verdict = found.verdict.max(Verdict::Unsettled);
            }
        }
        if self.differences.len() < MOST_NAMED {
            self.differences.push(difference(table, keying, suspect));
        }
    }

    /// So many rows were put right, these among them.
    pub(super) fn repaired(
        &mut self,
        table: &Table,
        keying: &Keying,
        rows: u64,
        shown: Vec<&Suspect>,
    ) {
        let Some(found) = self.tables.get_mut(&table.id) else { return };
        found.repaired_rows += rows;
        let room = MOST_NAMED.saturating_sub(self.differences.len());
        let named = |suspect| Difference { repaired: true, ..difference(table, keying, suspect) };
        self.differences.extend(shown.into_iter().take(room).map(named));
    }

    /// The verdict, table by table, and the rows.
    pub(super) fn concluded(mut self) -> (Verdict, Vec<TableVerdict>, Vec<Difference>) {
        let tables: Vec<TableVerdict> = self.tables.into_values().collect();
        let verdict = tables.iter().map(|table| table.verdict).max().unwrap_or(Verdict::Equal);
        self.differences.sort_by(|one, another| {
            let order = |row: &Difference| (row.table.clone(), row.kind);
            order(one).cmp(&order(another))
        });
        (verdict, tables, self.differences)
    }
}

fn difference(table: &Table, keying: &Keying, suspect: &Suspect) -> Difference {
    let (source, target) = &suspect.last;
    let kind = match (suspect.standing, source.digest.rows, target.digest.rows) {
        (Standing::Unsettled, _, _) => DifferenceKind::Unsettled,
        (_, _, 0) => DifferenceKind::Missing,
        (_, 0, _) => DifferenceKind::Extra,
        (_, _, _) => DifferenceKind::Different,
    };
    let columns: Vec<&str> = table.copied_columns().map(|column| column.name.as_str()).collect();
    let places = match kind {
        DifferenceKind::Different => source.differing(target),
        DifferenceKind::Missing | DifferenceKind::Extra => (0..columns.len()).collect(),
        DifferenceKind::Unsettled => Vec::new(),
    };
    let value = |place: &usize| ValuePair {
        column: columns[*place].to_owned(),
        source: source.value(*place),
        target: target.value(*place),
    };
    let shows = source.has_line() || target.has_line();
    let differing = matches!(kind, DifferenceKind::Different);
    Difference {
        table: table.name.to_string(),
        kind,
        key: keying
            .named(table, &suspect.key)
            .into_iter()
            .map(|(column, value)| NamedValue { column: column.to_owned(), value })
            .collect(),
        columns: places
            .iter()
            .filter(|_| differing)
            .map(|place| columns[*place].to_owned())
            .collect(),
        repaired: false,
        source_rows: source.digest.rows,
        target_rows: target.digest.rows,
        values: if shows { places.iter().map(value).collect() } else { Vec::new() },
    }
}

/// Seconds since the Unix epoch.
pub(super) fn seconds_now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}

/// A moment in UTC.
pub(super) fn moment(seconds: u64) -> String {
    let at = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    humantime::format_rfc3339_seconds(at).to_string()
}

/// This moment in UTC.
pub(super) fn now() -> String {
    moment(seconds_now())
}
