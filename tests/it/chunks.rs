//! Tables cut into chunks: no gap, no overlap, no table forgotten, and no column.

use crate::support::carry::{catch_up_with, number, text};
use crate::support::compare::assert_equal;
use crate::support::{Dunlin, TestPair};

const KEYS: &str = "CREATE TABLE public.keys (id int PRIMARY KEY, note text NOT NULL);
    INSERT INTO public.keys SELECT n, repeat('x', 40) FROM generate_series(1, 120000) AS n;";

/// Keys of different lengths, and statistics that say that the heap lies in their order.
#[tokio::test]
async fn a_table_is_cut_in_the_order_of_its_keys_and_not_of_their_text() {
    let pair = TestPair::start().await;
    pair.source_sql(KEYS).await;
    pair.source_sql("ANALYZE public.keys").await;
    catch_up_with(&pair, &["--chunk-size", "1MiB"]).await;
    let target = pair.on_target().await;
    let by_key = "SELECT count(*) FROM dunlin.chunk WHERE range->>'by' = 'key'";
    assert!(number::<i64>(&target, by_key).await > 3, "the table is cut by key");
    let borders = "SELECT string_agg(range->'from'->>0, ' ' ORDER BY number) FROM dunlin.chunk";
    let borders = text(&target, borders).await.unwrap();
    let borders: Vec<u64> = borders.split(' ').map(|border| border.parse().unwrap()).collect();
    assert!(borders.is_sorted(), "{borders:?}");
    assert_equal(&pair).await;
}

/// Chunks are planned for every table, also where the ledger holds those of a newer one already.
#[tokio::test]
async fn a_table_taken_in_before_the_chunks_are_planned_takes_no_other_ones_place() {
    let pair = TestPair::start().await;
    pair.source_sql(KEYS).await;
    let mut dunlin = Dunlin::start_with_failpoint(&pair, "run", &[], "tables-made");
    dunlin.reaches("tables-made").await;
    dunlin.kill().await;
    let newer = "CREATE TABLE public.newer (id int PRIMARY KEY)";
    pair.source_sql(newer).await;
    pair.source_sql("INSERT INTO public.newer SELECT generate_series(1, 10)").await;
    pair.target_sql(newer).await;
    catch_up_with(&pair, &[]).await;
    assert_equal(&pair).await;
}

/// What a TRUNCATE … CASCADE emptied is named in the log; what refers to it by now is not emptied.
#[tokio::test]
async fn a_truncate_does_not_cascade_to_a_table_that_came_later() {
    let pair = TestPair::start().await;
    pair.source_sql("CREATE TABLE public.p (id int PRIMARY KEY); INSERT INTO public.p VALUES (1)")
        .await;
    catch_up_with(&pair, &[]).await;
    let later = "CREATE TABLE public.later (id int PRIMARY KEY, p int REFERENCES public.p)";
    pair.source_sql("TRUNCATE public.p CASCADE; INSERT INTO public.p VALUES (2)").await;
    pair.source_sql(later).await;
    pair.source_sql("INSERT INTO public.later VALUES (1, 2), (2, 2)").await;
    pair.target_sql(later).await;
    catch_up_with(&pair, &[]).await;
    assert_equal(&pair).await;
}
