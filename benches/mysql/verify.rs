//! The comparison of both sides: the snapshot's tables, at rest.

use super::contest::report::{Line, Report, Section, Unit};
use super::contest::watch;
use super::stage::{Stage, sql};

/// Every row of every table digested by the servers themselves, both at the same time.
const DIGESTS: &str = "\
digest() { for n in 1 2 3 4; do mysql $@ -NB bench -e \"SELECT COUNT(*), BIT_XOR(CAST(CONV(
    LEFT(MD5(CONCAT_WS('#', id, k, c, pad)), 16), 16, 10) AS UNSIGNED)) FROM sbtest$n\"; done; }
work=$(mktemp -d); trap 'rm -r $work' EXIT
digest $source >$work/source & first=$!
digest $target >$work/target & second=$!
wait $first; wait $second; cmp $work/source $work/target";

/// `MD5` is not built in any more (release notes of MySQL 9.6).
const HASHING: &str = "INSTALL COMPONENT 'file://component_classic_hashing'";

/// Measures every contender in turn.
pub async fn measure(stage: &Stage, rounds: usize, report: &mut Report) {
    stage.load();
    sql(&stage.source, HASHING).await;
    sql(&stage.target, HASHING).await;
    watch::run(&mut stage.dunlin("run", &["--until", "caught-up"]));
    stage.settle(&stage.target).await;
    let mut lines = [Line::new("dunlin"), Line::of("SELECT md5 of each row", DIGESTS)];
    for _ in 0..rounds {
        lines[0].note(watch::run(&mut stage.dunlin("verify", &[])));
        lines[1].rounds.push(watch::run(&mut stage.script(DIGESTS)).wall);
    }
    report.add(Section {
        title: "Comparison of 1,600,000 rows on both sides",
        how: "The tables of the snapshot, at rest. dunlin: `verify`, from the start of the process to \
              its end. SELECT md5: `BIT_XOR` over the md5 of each row, table by table in one session \
              on either server, both at the same time; it tells that tables differ, not in which rows.",
        unit: Unit::Seconds,
        lines: lines.into(),
    });
}
