//! A group's net effect equals its replay change by change, whatever the source did and wherever
//! the log, the groups and the copy were cut.

use std::collections::BTreeSet;
use std::sync::Arc;

use dunlin::model::{
    Bracket, Chunk, ChunkRange, Coverage, Event, LedgerEntry, Mark, Plan, RowIdentity, Shape,
    Table, TableId,
};
use dunlin::stream::group::{self, Part, PlanError, Shapes};
use proptest::prelude::*;

use crate::log::{self, Idling};
use crate::source::{Dice, Source, Spec, State, position_after};
use crate::target::{Tables, sorted};

/// How a property held.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// The target equals the source; how many groups had a net effect, and how many clashed.
    Equal { net: usize, clashes: usize },
    /// A table has to be copied again.
    Recopy(TableId),
}

/// The copy from which a stream goes on, and where it was made.
struct Copy {
    state: State,
    coverage: Coverage,
    /// Tables whose chunks are of several moments.
    mixed: Vec<TableId>,
}

/// How chunks were read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Reading {
    /// All at the beginning.
    AtOnce,
    /// Each under a snapshot of its own.
    Exactly,
    /// Each at some moment between two that are known.
    Between,
}

/// The ranges of a table's chunks, by its first key column.
fn ranges(spec: &Spec, dice: &mut Dice) -> Vec<ChunkRange> {
    let bound = |at: &str| {
        let rest = spec.table.primary_key.len() - 1;
        Some([vec![at.to_owned()], vec!["4".to_owned(); rest]].concat())
    };
    match spec.table.id.0 {
        5 if dice.below(4) > 0 => vec![ChunkRange::Whole],
        0..3 | 5 => vec![
            ChunkRange::Key { from: None, until: bound("3") },
            ChunkRange::Key { from: bound("3"), until: bound("6") },
            ChunkRange::Key { from: bound("6"), until: None },
        ],
        _ => vec![ChunkRange::Whole],
    }
}

fn is_within(spec: &Spec, range: &ChunkRange, row: &[Option<String>]) -> bool {
    let ChunkRange::Key { from, until } = range else { return true };
    let number = |text: &String| text.parse::<i64>().unwrap();
    let key: Vec<i64> =
        spec.table.primary_key.iter().map(|&at| number(row[at].as_ref().unwrap())).collect();
    let bound = |bound: &Vec<String>| bound.iter().map(number).collect::<Vec<_>>();
    from.as_ref().is_none_or(|from| key >= bound(from))
        && until.as_ref().is_none_or(|until| key < bound(until))
}

fn copy(source: &Source, reading: Reading, dice: &mut Dice) -> Copy {
    let mut entries = Vec::new();
    let mut state = source.history[0].clone();
    for spec in &source.specs {
        for (number, range) in (0..).zip(ranges(spec, dice)) {
            let between =
                reading == Reading::Between && (spec.table.id.0 < 3 || dice.below(8) == 0);
            let moments = if reading == Reading::AtOnce { 1 } else { source.history.len() };
            let mut at = [dice.below(moments), dice.below(moments), dice.below(moments)];
            at.sort_unstable();
            let (low, read, high) = if between { at.into() } else { (at[1], at[1], at[1]) };
            let rows = source.history[read][&spec.table.id].iter();
            let rows = rows.filter(|row| is_within(spec, &range, row)).cloned();
            state.get_mut(&spec.table.id).unwrap().extend(rows);
            let low = position_after(low, dice);
            let high =
                if between { position_after(high, dice).further(low.clone()) } else { low.clone() };
            let chunk = Chunk { table: spec.table.id, number, range, bytes: 0 };
            entries.push(LedgerEntry { chunk, read: Some(Bracket { low, high }), rows: 0 });
        }
    }
    let mixed = |table: &Table| {
        let mut reads = entries.iter().filter(|entry| entry.chunk.table == table.id);
        let first = reads.next().unwrap().read.clone();
        let exact = first.as_ref().is_some_and(|read| read.low == read.high);
        !exact || reads.any(|entry| entry.read != first)
    };
    let tables = &source.definitions[0];
    let mixed = tables.iter().filter(|table| mixed(table)).map(|table| table.id).collect();
    Copy { state, coverage: Coverage::new(tables, &entries).unwrap(), mixed }
}

fn shape(spec: &Spec, relation: &Arc<dunlin::model::Relation>) -> Arc<Shape> {
    let place = |index: &usize| {
        let name = &spec.table.columns[*index].name;
        relation.columns.iter().position(|column| column.name == *name).unwrap() as u16
    };
    let primary_key: Vec<u16> = spec.table.primary_key.iter().map(place).collect();
    let identity = match (spec.full, primary_key.is_empty()) {
        (true, true) => RowIdentity::WholeRow,
        (true, false) => RowIdentity::Key(primary_key.clone()),
        (false, _) if spec.identity.is_empty() => RowIdentity::Nothing,
        (false, _) => RowIdentity::Key(spec.identity.iter().map(place).collect()),
    };
    Arc::new(Shape { relation: Arc::clone(relation), identity, primary_key })
}

/// The log as parts, each with the shapes in force.
fn parts(source: &Source, dice: &mut Dice) -> Vec<Part> {
    let mut shapes = Arc::new(Shapes::new());
    let mut parts = Vec::new();
    for batch in log::batches(&source.log, dice, Idling::Sometimes).into_iter().map(Arc::new) {
        let mut from = 0;
        for at in 0..batch.events.len() {
            if let Event::Relation(relation) = &batch.events[at] {
                parts.push(Part {
                    batch: Arc::clone(&batch),
                    events: from..at,
                    shapes: Arc::clone(&shapes),
                });
                let spec = &source.specs[relation.table.0 as usize];
                let mut known = Shapes::clone(&shapes);
                known.insert(relation.table, shape(spec, relation));
                (from, shapes) = (at, Arc::new(known));
            }
        }
        let events = from..batch.events.len();
        parts.push(Part { batch, events, shapes: Arc::clone(&shapes) });
    }
    parts
}

/// The transaction that is open after some parts.
fn open_after(parts: &[Part], mut open: Option<Mark>) -> Option<Mark> {
    for event in parts.iter().flat_map(|part| &part.batch.events[part.events.clone()]) {
        match event {
            Event::Begin { mark, .. } => open = Some(mark.clone()),
            Event::Commit { .. } => open = None,
            Event::Change(_)
            | Event::Truncate(_)
            | Event::Relation(_)
            | Event::Schema(_)
            | Event::Unsettled { .. }
            | Event::Idle { .. } => {}
        }
    }
    open
}

/// The state after a group by its net effect, and how many tables had to be replayed for it.
fn merged(
    plan: &impl Fn(&BTreeSet<TableId>) -> Result<Plan, PlanError>,
    target: &Tables<'_>,
) -> (State, usize) {
    let mut replayed = BTreeSet::new();
    loop {
        let mut attempt = target.clone();
        let clashed = match plan(&replayed) {
            Ok(plan) => match attempt.apply(&plan) {
                Ok(()) => return (attempt.state, replayed.len()),
                Err(obstacle) => obstacle.table(),
            },
            Err(PlanError::Clash { table }) => table,
            Err(error) => panic!("exact found nothing wrong: {error}"),
        };
        assert!(replayed.insert(clashed), "replaying table {clashed:?} does not help");
    }
}

/// Applies the log to the copy, group by group, both ways.
fn follow(source: &Source, copy: &Copy, dice: &mut Dice) -> Outcome {
    let of_one_moment = copy.mixed.is_empty();
    let mut target =
        Tables { specs: &source.specs, state: copy.state.clone(), secondary: of_one_moment };
    let parts = parts(source, dice);
    let (mut from, mut open) = (0, None);
    let (mut net, mut clashes) = (0, 0);
    let all: BTreeSet<TableId> = source.specs.iter().map(|spec| spec.table.id).collect();
    while from < parts.len() {
        let until = (from + 1 + dice.below(12)).min(parts.len());
        let group = &parts[from..until];
        let plan = |replayed: &BTreeSet<TableId>| {
            group::plan(group, open.clone(), &copy.coverage, replayed)
        };
        let exact: Plan = match plan(&all) {
            Ok(plan) => plan,
            Err(PlanError::Recopy { id, .. }) => {
                assert!(copy.mixed.contains(&id), "table {id:?} was read at one moment");
                return Outcome::Recopy(id);
            }
            Err(error) => panic!("the log is legal: {error}"),
        };
        let mut replayed = target.clone();
        replayed.apply(&exact).unwrap();
        match merged(&plan, &target) {
            (state, 0) => {
                net += 1;
                assert_eq!(sorted(&state), sorted(&replayed.state), "the two ways differ");
            }
            (state, _) => {
                clashes += 1;
                assert_eq!(sorted(&state), sorted(&replayed.state), "a replayed table differs");
            }
        }
        target = replayed;
        open = open_after(group, open);
        from = until;
    }
    let last = source.history.last().unwrap();
    assert_eq!(sorted(&target.state), sorted(last), "the target differs from the source");
    Outcome::Equal { net, clashes }
}

fn check(script: Vec<u32>, cuts: Vec<u32>, reading: Reading) -> Outcome {
    let mut source = Source::new(false);
    source.write(&mut Dice::new(script));
    let mut dice = Dice::new(cuts);
    let copy = copy(&source, reading, &mut dice);
    follow(&source, &copy, &mut dice)
}

fn numbers(most: usize) -> impl Strategy<Value = Vec<u32>> {
    prop::collection::vec(any::<u32>(), 0..most)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..Default::default() })]

    #[test]
    fn net_effect_equals_replay(script in numbers(700), cuts in numbers(400)) {
        let outcome = check(script, cuts, Reading::AtOnce);
        prop_assert!(matches!(outcome, Outcome::Equal { .. }), "{outcome:?}");
    }

    #[test]
    fn chunks_of_different_moments_come_out_equal(script in numbers(700), cuts in numbers(400)) {
        check(script, cuts, Reading::Exactly);
    }

    #[test]
    fn chunks_read_between_two_moments_come_out_equal(
        script in numbers(700),
        cuts in numbers(400),
    ) {
        check(script, cuts, Reading::Between);
    }
}

/// The properties above would hold of a planner that always gave up.
#[test]
fn most_groups_have_a_net_effect_and_some_clash() {
    let (mut net, mut clashes, mut equal, mut recopied) = (0, 0, 0, 0);
    for seed in 0..60 {
        let script = crate::script(seed, 600);
        let cuts = crate::script(seed + 1000, 300);
        for reading in [Reading::AtOnce, Reading::Exactly, Reading::Between] {
            match check(script.clone(), cuts.clone(), reading) {
                Outcome::Equal { net: more, clashes: others } => {
                    equal += 1;
                    net += more;
                    clashes += others;
                }
                Outcome::Recopy(_) => recopied += 1,
            }
        }
    }
    assert!(net > 2 * clashes && clashes > 20, "{net} net effects, {clashes} clashes");
    assert!(equal > 50 && recopied > 0, "{equal} came out equal, {recopied} to copy again");
}
