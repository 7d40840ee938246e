//! Sets of transactions against plain sets of numbers.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

const ONE: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
const TWO: &str = "4f11fa47-71ca-11e1-9e33-c80aa9429562";

fn source(index: u8) -> Arc<GtidSource> {
    let tag: &[u8] = if index.is_multiple_of(2) { b"" } else { b"night" };
    Arc::new(GtidSource::new([index / 2; 16], tag).unwrap())
}

type Numbers = BTreeSet<(u8, u64)>;

fn set_of(numbers: &Numbers) -> GtidSet {
    let mut set = GtidSet::default();
    for &(index, number) in numbers {
        set.add(&Gtid { source: source(index), number });
    }
    set
}

fn numbers() -> impl Strategy<Value = Numbers> {
    proptest::collection::btree_set((0u8..4, 1u64..30), 0..60)
}

proptest! {
    #[test]
    fn a_set_is_what_was_added_in_any_order(mut added in proptest::collection::vec((0u8..4, 1u64..30), 0..60)) {
        let forward = set_of(&added.iter().copied().collect());
        let mut set = GtidSet::default();
        for (index, number) in added.drain(..).rev() {
            set.add(&Gtid { source: source(index), number });
        }
        prop_assert_eq!(&set, &forward);
        prop_assert_eq!(set.to_string().parse::<GtidSet>().unwrap(), set);
    }

    #[test]
    fn sets_compare_and_subtract_as_sets_do(one in numbers(), other in numbers()) {
        let (a, b) = (set_of(&one), set_of(&other));
        prop_assert_eq!(a.reaches(&b), one.is_superset(&other));
        prop_assert_eq!(a.without(&b), set_of(&one.difference(&other).copied().collect()));
        prop_assert_eq!(a.clone().with(&b), set_of(&one.union(&other).copied().collect()));
        prop_assert_eq!(a.count(), one.len() as u64);
        for index in 0..4 {
            for number in 1..31 {
                let gtid = Gtid { source: source(index), number };
                prop_assert_eq!(a.contains(&gtid), one.contains(&(index, number)));
            }
        }
    }

    #[test]
    fn no_text_makes_a_set_panic(text in "[0-9a-f:,\\- tx]{0,60}") {
        let _ = text.parse::<GtidSet>();
        let _ = text.parse::<MariaGtidList>();
    }

    #[test]
    fn a_list_is_followed_domain_by_domain(added in proptest::collection::vec((0u32..3, 1u32..3, 1u64..20), 0..40)) {
        let mut list = MariaGtidList::default();
        for &(domain, server, number) in &added {
            list.add(MariaGtid { domain, server, number });
        }
        for domain in 0..3 {
            let last = added.iter().filter(|gtid| gtid.0 == domain).map(|gtid| gtid.2).max();
            prop_assert_eq!(list.last(domain).map(|gtid| gtid.number), last);
            for number in 1..21 {
                let contained = last.is_some_and(|last| last >= number);
                prop_assert_eq!(list.contains(&MariaGtid { domain, server: 9, number }), contained);
            }
        }
        prop_assert_eq!(list.to_string().parse::<MariaGtidList>().unwrap(), list);
    }
}

#[test]
fn sets_are_printed_as_the_server_prints_them() {
    let canonical = format!("{ONE}:1-3:5:night:2-4:11,{TWO}:7");
    assert_eq!(canonical.parse::<GtidSet>().unwrap().to_string(), canonical);
    let loose = format!(" {}:5:1-2 :3,\n{TWO}:7, {ONE}:NIGHT:11:2-4", ONE.to_uppercase());
    assert_eq!(loose.parse::<GtidSet>().unwrap().to_string(), canonical);
    assert!("".parse::<GtidSet>().unwrap().is_empty());
}

#[test]
fn what_is_no_set_is_refused() {
    for text in [
        "x",
        ONE,
        &format!("{ONE}:"),
        &format!("{ONE}:0"),
        &format!("{ONE}:5-3"),
        &format!("{ONE}:9223372036854775807"),
        &format!("{ONE}:1-2-3"),
        &format!("{ONE}:t-1"),
        "1-2",
    ] {
        assert!(text.parse::<GtidSet>().is_err(), "{text}");
    }
    for text in ["1", "1-2", "1-2-3-4", "1-2-x", "+1-2-3", "0-4294967296-1"] {
        assert!(text.parse::<MariaGtidList>().is_err(), "{text}");
    }
}

#[test]
fn the_next_transaction_needs_no_new_set() {
    let mut set = set_of(&BTreeSet::from([(0, 1), (0, 2)]));
    let before = Arc::as_ptr(&set.runs);
    set.add(&Gtid { source: source(0), number: 3 });
    assert_eq!(Arc::as_ptr(&set.runs), before);
    let kept = set.clone();
    set.add(&Gtid { source: source(0), number: 5 });
    assert_eq!((kept.count(), set.count()), (3, 4));
}
