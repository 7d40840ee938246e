//! The comparison of both sides: the snapshot's tables, at rest.

use super::contest::report::{Line, Report, Section, Unit};
use super::contest::watch;
use super::snapshot;
use super::stage::Stage;

/// Every row of every table digested by the servers themselves, both at the same time.
const DIGESTS: &str = "\
digest() { for table in pgbench_accounts orders pgbench_branches pgbench_tellers; do
    {psql} -Atc \"SELECT count(*), bit_xor(('x' || left(md5(t::text), 16))::bit(64)::int8)
        FROM $table AS t\" \"$1\"; done; }
work=$(mktemp -d); trap 'rm -r $work' EXIT
digest '{source}' >$work/source & first=$!
digest '{target}' >$work/target & second=$!
wait $first; wait $second; cmp $work/source $work/target";

/// Measures every contender in turn.
pub async fn measure(stage: &Stage, rounds: usize, report: &mut Report) {
    snapshot::load(stage).await;
    stage.fresh_target("one").await;
    watch::run(&mut stage.dunlin("run", "one", &["--until", "caught-up"]));
    stage.on_target("one").await.batch_execute("VACUUM ANALYZE").await.unwrap();
    stage.settle().await;
    let digests = DIGESTS
        .replace("{psql}", &format!("{} -qX -v ON_ERROR_STOP=1", stage.program("psql")))
        .replace("{source}", &stage.source_url())
        .replace("{target}", &stage.target.url("one"));
    let mut lines = ["dunlin", "SELECT md5 of each row"].map(Line::new);
    for _ in 0..rounds {
        lines[0].note(watch::run(&mut stage.dunlin("verify", "one", &[])));
        lines[1].rounds.push(watch::run(&mut watch::script(&digests)).wall);
    }
    report.add(Section {
        title: "Comparison of 6,000,000 rows on both sides",
        how: "The tables of the snapshot, at rest. dunlin: `verify`, from the start of the process to \
              its end. SELECT md5: `bit_xor` over the md5 of each row as text, table by table in one \
              session on either server, both at the same time, parallel workers as they are by \
              default; it tells that tables differ, not in which rows.",
        unit: Unit::Seconds,
        lines: lines.into(),
    });
}
