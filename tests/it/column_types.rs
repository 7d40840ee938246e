//! Every type that a column can have, through the snapshot and through the stream.

use dunlin::demo::ServerOptions;

use crate::support::compare::assert_equal;
use crate::support::kinds::{self, Changes, Selection};
use crate::support::scene::seed;
use crate::support::{TestPair, catch_up, number, text};

/// Moves tables of the types of one part between servers of these versions.
pub async fn every_type(source: Option<u32>, target: Option<u32>, part: usize) {
    let options = |major| ServerOptions { major, ..ServerOptions::default() };
    let pair = TestPair::start_with(options(source), options(target)).await;
    let selection = Selection { major: pair.source.programs().major(), part };
    let client = pair.on_source().await;
    // The target gives out other OIDs than the source.
    pair.target_sql("SELECT lo_create(0) FROM generate_series(1, 1000)").await;
    pair.target_sql("SELECT lo_unlink(oid) FROM pg_largeobject_metadata").await;
    kinds::create(&client, selection, seed()).await;
    assert_eq!(kinds::uncovered(&client, selection.major).await, [""; 0], "forgotten types");
    catch_up(&pair).await;
    let oid = "SELECT 'mood'::regtype::oid::text";
    assert_ne!(text(&client, oid).await, text(&pair.on_target().await, oid).await);
    assert_equal(&pair).await;
    for changes in [Changes::First, Changes::Further] {
        kinds::change(&client, selection, changes).await;
        catch_up(&pair).await;
        assert_equal(&pair).await;
    }
    let tables = "SELECT count(*) FROM pg_class WHERE relnamespace = 'kinds'::regnamespace";
    assert!(number::<i64>(&pair.on_target().await, tables).await > 100);
}

#[tokio::test]
async fn types_31_every_type_arrives_first_part() {
    every_type(None, None, 0).await;
}

#[tokio::test]
async fn types_31_every_type_arrives_second_part() {
    every_type(None, None, 1).await;
}

#[tokio::test]
async fn types_31_every_type_arrives_third_part() {
    every_type(None, None, kinds::PARTS - 1).await;
}
