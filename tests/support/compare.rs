//! The oracle: both sides as the servers themselves see them.

use dunlin::demo::digest::{TableComparison, TableDigest, compare, sequences_behind};

use super::TestPair;

/// The tables that are not equal on both sides, missing ones included.
pub async fn differing_tables(pair: &TestPair) -> Vec<String> {
    compare(&pair.source_url(), &pair.target_url())
        .await
        .unwrap()
        .into_iter()
        .filter(|table| !table.is_equal())
        .map(|table| table.table)
        .collect()
}

/// Panics, naming each table, unless every table is equal on both sides.
pub async fn assert_equal(pair: &TestPair) {
    assert_equal_between(&pair.source_url(), &pair.target_url()).await;
}

/// The same for any two databases.
pub async fn assert_equal_between(source: &str, target: &str) {
    assert_none_differs(&compare(source, target).await.unwrap());
}

/// Panics, naming each table that differs.
pub fn assert_none_differs(tables: &[TableComparison]) {
    let differing: Vec<String> = tables
        .iter()
        .filter(|table| !table.is_equal())
        .map(|table| {
            let rows = |side: &Option<_>| side.as_ref().map(|digest: &TableDigest| digest.rows);
            let (source, target) = (rows(&table.source), rows(&table.target));
            format!("{}: source {source:?} rows, target {target:?} rows", table.table)
        })
        .collect();
    assert!(differing.is_empty(), "both sides differ:\n{}", differing.join("\n"));
}

/// Panics unless every sequence of the target would go on behind the source's.
pub async fn assert_sequences_carried(pair: &TestPair) {
    let behind = sequences_behind(&pair.source_url(), &pair.target_url()).await.unwrap();
    assert!(behind.is_empty(), "sequences are behind: {behind:?}");
}
