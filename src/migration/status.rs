//! `status`: where a migration stands, from the state in the target and, where it is at hand, from
//! the source itself.
//!
//! In: the stored state with its ages, and how the source is faring now. Out: a report. Figures of
//! a process that is gone are shown as what they are: old.

use crate::model::report::{
    Direction, Positions, SlotStatus, SnapshotStatus, StatusReport, TableStatus,
};
use crate::model::{
    CutoverStage, Failure, LedgerEntry, Phase, Position, SourceHealth, Table, WayBackEnd,
};
use crate::target::{Migration, Standing, StreamStatus};

/// Figures of a running process are renewed every second; older ones are not its latest word.
const FRESH_SECONDS: f64 = 10.0;

/// How the servers and the migration are called.
pub(super) struct Called {
    /// The migration's name.
    pub(super) name: String,
    /// The source, without password; None where only its state is known.
    pub(super) source: Option<String>,
    /// The target, without password.
    pub(super) target: String,
    /// What retains the log on the source; None where the server keeps it by a rule of its own.
    pub(super) slot: Option<String>,
}

/// Composes the report. `live` is the source's own answer, where it was asked.
pub(super) fn report(
    called: Called,
    standing: &Standing,
    live: Option<Result<SourceHealth, Failure>>,
) -> StatusReport {
    let mut warnings = Vec::new();
    let live = match live {
        Some(Ok(health)) => Some(health),
        Some(Err(failure)) => {
            let code = failure.code().map_or("it may pass by itself", |code| code.as_str());
            warnings.push(format!("the source: {failure} ({code})"));
            None
        }
        None => None,
    };
    let migration = &standing.migration;
    let lag = Lag::of(standing, live.as_ref());
    for warning in standing.figures.iter().flat_map(|figures| &figures.warnings) {
        if !warnings.contains(warning) {
            warnings.push(warning.clone());
        }
    }
    warnings.extend(interrupted(standing));
    warnings.extend(fading(standing));
    if lag.is_old {
        warnings.push("no process is at work: lag and log are as it last saw them".to_owned());
    }
    let identity = &migration.source;
    let next = next(standing, lag.seconds, called.source.is_some());
    StatusReport {
        name: called.name,
        direction: Direction::Forward,
        phase: migration.phase.to_string(),
        epoch: standing.epoch,
        source: called.source.unwrap_or_else(|| {
            format!("{} in cluster {}, {}", identity.database, identity.cluster, identity.version)
        }),
        target: called.target,
        positions: lag.positions,
        lag_bytes: lag.bytes,
        lag_transactions: lag.transactions,
        lag_seconds: lag.seconds,
        snapshot: (!migration.ledger.is_empty()).then(|| snapshot(migration)),
        slot: called.slot.and_then(|name| slot(name, standing, live.as_ref())),
        updated_seconds_ago: standing.updated_seconds_ago,
        running: standing.running,
        at_cutover: standing.deferred.clone(),
        warnings,
        next,
    }
}

/// How far the target is behind.
struct Lag {
    positions: Positions,
    bytes: Option<u64>,
    transactions: Option<u64>,
    seconds: Option<f64>,
    is_old: bool,
}

impl Lag {
    /// A process at work knows best. Without one, the source says how far it is by now; and
    /// without that, what the process said last has grown older.
    fn of(standing: &Standing, live: Option<&SourceHealth>) -> Lag {
        let figures = standing.figures.as_ref();
        let age = standing.figures_seconds_ago.unwrap_or_default().max(0.0);
        let fresh = figures.filter(|_| standing.running && age < FRESH_SECONDS);
        let durable = durable(standing);
        let behind = |figures: &StreamStatus| (figures.lag_bytes, figures.lag_transactions);
        let (source, (bytes, transactions), seconds, is_old) = match (fresh, live, figures) {
            (Some(figures), live, _) => {
                let end = live.map_or(&figures.source, |health| &health.position);
                (Some(end), behind(figures), figures.lag_seconds, false)
            }
            (None, Some(health), _) => {
                let end = &health.position;
                let bytes = durable.as_ref().and_then(|durable| durable.bytes_until(end));
                let counted = durable.as_ref().and_then(|durable| durable.transactions_until(end));
                let seconds = match durable.as_ref().map(|durable| durable.reaches(end)) {
                    Some(true) => Some(0.0),
                    Some(false) => standing.committed_seconds_ago.map(|age| age.max(0.0)),
                    None => None,
                };
                (Some(&health.position), (bytes, counted), seconds, false)
            }
            (None, None, Some(figures)) => {
                let seconds = figures.lag_seconds.map(|seconds| seconds + age);
                (Some(&figures.source), behind(figures), seconds, true)
            }
            (None, None, None) => (None, (None, None), None, false),
        };
        let received = figures.map(|figures| figures.applied.clone());
        let received = match (received, durable.clone()) {
            (Some(received), Some(durable)) => Some(received.further(durable)),
            (received, durable) => received.or(durable),
        };
        if standing.migration.phase == Phase::CutOver {
            // All of the source's log came over; what it writes by itself since then concerns nobody.
            let positions = Positions { received, durable, source: None };
            return Lag {
                positions,
                bytes: None,
                transactions: None,
                seconds: None,
                is_old: false,
            };
        }
        let positions = Positions { received, durable, source: source.cloned() };
        Lag { positions, bytes, transactions, seconds, is_old }
    }
}

/// Everything that this position contains is on the target: the checkpoint, or what the process
/// found out since, where the log held nothing for the target.
fn durable(standing: &Standing) -> Option<Position> {
    let applied = standing.figures.as_ref().map(|figures| figures.applied.clone());
    match (standing.migration.checkpoint.clone(), applied) {
        (Some(checkpoint), Some(applied)) => Some(checkpoint.further(applied)),
        (checkpoint, _) => checkpoint,
    }
}

fn slot(name: String, standing: &Standing, live: Option<&SourceHealth>) -> Option<SlotStatus> {
    let live = live.map(|health| (health.retained_bytes, health.safe_bytes, 0.0));
    let age = standing.figures_seconds_ago.unwrap_or_default().max(0.0);
    let figures = standing.figures.as_ref();
    let stored = figures.map(|figures| (figures.retained_bytes, figures.safe_bytes, age));
    let (retained_bytes, safe_wal_size_bytes, seen_seconds_ago) = live.or(stored)?;
    Some(SlotStatus { name, retained_bytes, safe_wal_size_bytes, seen_seconds_ago })
}

fn snapshot(migration: &Migration) -> SnapshotStatus {
    let tables: Vec<TableStatus> =
        migration.tables.iter().map(|table| progress(table, &migration.ledger)).collect();
    let sum = |part: fn(&TableStatus) -> u64| tables.iter().map(part).sum();
    SnapshotStatus {
        chunks_done: sum(|table| table.chunks_done),
        chunks_total: sum(|table| table.chunks_total),
        rows: sum(|table| table.rows),
        bytes: sum(|table| table.bytes),
        tables,
    }
}

fn progress(table: &Table, ledger: &[LedgerEntry]) -> TableStatus {
    // The ledger is ordered by table.
    let from = ledger.partition_point(|entry| entry.chunk.table < table.id);
    let chunks = || ledger[from..].iter().take_while(|entry| entry.chunk.table == table.id);
    let done = || chunks().filter(|entry| entry.read.is_some());
    TableStatus {
        name: table.name.to_string(),
        chunks_done: done().count() as u64,
        chunks_total: chunks().count() as u64,
        rows: done().map(|entry| entry.rows).sum(),
        bytes: done().map(|entry| entry.chunk.bytes).sum(),
    }
}

/// What a cutover left that was killed.
fn interrupted(standing: &Standing) -> Option<String> {
    let record = standing.migration.cutover.as_ref()?;
    let at_work = standing.running && record.epoch == standing.epoch;
    let said = match (record.stage, at_work) {
        (CutoverStage::Opened, _) => return None,
        _ if standing.migration.phase == Phase::CutOver => return None,
        (CutoverStage::Fencing | CutoverStage::Sealing | CutoverStage::Switching, true) => {
            "a cutover is at work"
        }
        (CutoverStage::Fencing, false) if record.way_back.is_some() => {
            "a cutover was killed, and the target keeps log for the way back: dunlin cutover \
             --abort frees it"
        }
        (CutoverStage::Fencing, false) if record.left.is_none() => return None,
        (CutoverStage::Fencing | CutoverStage::Sealing, false) => {
            "a cutover was killed, and the source may refuse writes: dunlin cutover --abort lets \
             writers in"
        }
        (CutoverStage::Switching, false) => {
            "a cutover was killed while it switched the traffic, and the source refuses writes: \
             where the applications use the target by now, dunlin cutover --finish; where they use \
             the source, dunlin cutover --abort"
        }
    };
    Some(said.to_owned())
}

/// What may let writers in on the side that was left.
fn fading(standing: &Standing) -> Option<String> {
    let record = standing.migration.cutover.as_ref();
    let left = record.and_then(|record| record.left.as_ref())?;
    let until = left.until.as_ref().filter(|_| standing.migration.phase == Phase::CutOver)?;
    Some(format!("the server that was left refuses writes only until {until}"))
}

fn next(standing: &Standing, lag_seconds: Option<f64>, source_is_known: bool) -> String {
    let record = standing.migration.cutover.as_ref();
    let way_back = record.is_some_and(|record| record.way_back.is_some());
    let ended = record.and_then(|record| record.way_back.as_ref()?.ended);
    let next = match (standing.migration.phase, standing.running) {
        (Phase::CutOver, _) if ended == Some(WayBackEnd::Gone) => {
            "the way back is done: the former source is the database again; dunlin complete ends it"
        }
        (Phase::CutOver, _) if ended.is_some() => {
            "the target is the database; dunlin complete, which was broken off, ends the way back"
        }
        (Phase::CutOver, _) if way_back && !source_is_known => {
            "the migration is cut over; with --source, dunlin status shows where the way back stands"
        }
        (Phase::CutOver, _) if way_back => {
            "the target is the database; dunlin reverse has the source follow it, for the way back; \
             once nobody wants to go back: dunlin complete"
        }
        (Phase::CutOver, _) => {
            "the target is the database; once nobody wants to go back: dunlin complete"
        }
        (_, false) => "dunlin run, with the options it began with, goes on from here",
        (Phase::Stream, true) if lag_seconds == Some(0.0) => {
            "dunlin cutover --dry-run, then dunlin cutover; or, once the applications have stopped \
             writing to the source and the lag is zero: stop the run (Ctrl-C), then dunlin complete"
        }
        (Phase::Prepare | Phase::Snapshot | Phase::Build, true) => {
            "wait: dunlin status again shows the progress"
        }
        (Phase::CatchUp | Phase::Stream, true) => {
            "wait until the lag is zero: dunlin status again shows it"
        }
    };
    next.to_owned()
}

/// The report of a migration that is the way back of another, `forward`.
pub(super) fn backwards(
    report: StatusReport,
    standing: &Standing,
    forward: &Standing,
) -> StatusReport {
    let next = match (standing.migration.phase, standing.running) {
        (Phase::CutOver, _) => "the former source is the database again; dunlin complete",
        (_, false) => "dunlin reverse, with the options of the cutover, goes on from here",
        (Phase::Stream, true) if report.lag_seconds == Some(0.0) => {
            "dunlin cutover --back goes back; once nobody wants to: stop dunlin reverse (Ctrl-C), \
             then dunlin complete"
        }
        (_, true) => "wait until the lag is zero: dunlin status again shows it",
    };
    let turned =
        |warning: &String| warning.replace("dunlin cutover --", "dunlin cutover --back --");
    let mut warnings: Vec<String> = report.warnings.iter().map(turned).collect();
    warnings.extend(fading(forward).filter(|_| standing.migration.phase != Phase::CutOver));
    StatusReport { direction: Direction::Back, warnings, next: next.to_owned(), ..report }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::selection::Patterns;
    use crate::model::{Lsn, SourceIdentity};

    fn at(lsn: u64) -> Position {
        Position::Postgres(Lsn(lsn))
    }

    fn standing(running: bool) -> Standing {
        Standing {
            migration: Migration {
                source: SourceIdentity {
                    cluster: "7".to_owned(),
                    timeline: "1".to_owned(),
                    database: "app".to_owned(),
                    version: "15.4".to_owned(),
                },
                phase: Phase::Stream,
                selection: Patterns::default(),
                tables: Vec::new(),
                held: None,
                checkpoint: Some(at(100)),
                ledger: Vec::new(),
                owns_schema: true,
                schema_made: true,
                cutover: None,
            },
            epoch: 2,
            figures: Some(StreamStatus {
                source: at(300),
                applied: at(200),
                lag_bytes: Some(100),
                lag_transactions: None,
                lag_seconds: Some(1.5),
                retained_bytes: 400,
                safe_bytes: None,
                warnings: Vec::new(),
            }),
            figures_seconds_ago: Some(1.0),
            committed_seconds_ago: Some(60.0),
            updated_seconds_ago: 1.0,
            deferred: Vec::new(),
            running,
            ends_it: None,
        }
    }

    fn health(position: u64) -> SourceHealth {
        SourceHealth { position: at(position), retained_bytes: 500, safe_bytes: Some(9) }
    }

    #[test]
    fn a_process_at_work_knows_its_lag_best() {
        let lag = Lag::of(&standing(true), Some(&health(350)));
        assert_eq!((lag.bytes, lag.seconds, lag.is_old), (Some(100), Some(1.5), false));
        assert_eq!(lag.positions.source, Some(at(350)));
    }

    #[test]
    fn without_a_process_the_source_knows() {
        let lag = Lag::of(&standing(false), Some(&health(350)));
        assert_eq!((lag.bytes, lag.seconds, lag.is_old), (Some(150), Some(60.0), false));
        let idle = Lag::of(&standing(false), Some(&health(200)));
        assert_eq!((idle.bytes, idle.seconds), (Some(0), Some(0.0)));
    }

    #[test]
    fn without_both_the_last_word_grows_older_and_is_said_to_be() {
        let lag = Lag::of(&standing(false), None);
        assert_eq!((lag.bytes, lag.seconds, lag.is_old), (Some(100), Some(2.5), true));
    }
}
