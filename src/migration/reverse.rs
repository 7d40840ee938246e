//! The way back: the former source follows the former target, as a migration of its own.
//!
//! In: the settings as they were all along, and what the cutover has kept on the target. Out: a
//! run with source and target exchanged, that begins with the stream; and the end of it. Both
//! directions never follow at once, and each begins behind all that the other applied: so what
//! dunlin applied is carried round by neither.

use tokio::sync::watch;

use super::pair::{self, Pair, finish_schema, options, warn_of_lag};
use super::run::{Ended, Until, compare};
use crate::config::Config;
use crate::cutover::{CutoverError, Opposite, Orders};
use crate::model::report::{Finding, Removal, Severity};
use crate::model::{
    Code, CutoverProgress, CutoverRecord, CutoverStage, Failure, Leftover, Phase, Position,
    TableName, WayBack, WayBackEnd,
};
use crate::observe::failpoint;
use crate::observe::progress::Progress;
use crate::source::Source;
use crate::source::fence::FencedSource;
use crate::target::{Arrival, Migration, Standing, Target};

/// Has the former source follow the target, until `until`, a stop or an error.
pub(super) async fn reverse<P: Pair>(
    pair: &P,
    config: &Config,
    until: Option<Until>,
    progress: &Progress,
    stop: watch::Receiver<bool>,
) -> Result<Ended, Failure>
where
    P::Source: FencedSource,
{
    let back = config.opposite();
    begin(pair, config, &back).await?;
    pair::run(&P::default(), &back, until, progress, stop).await
}

/// Writes the state of the way back on the former source, unless it is there; and ends what is kept
/// there for the way that was gone.
async fn begin<P: Pair>(pair: &P, config: &Config, back: &Config) -> Result<(), Failure>
where
    P::Source: FencedSource,
{
    let target = pair.target(config).await?;
    let migration = target.load().await?;
    let (way_back, start) = armed(migration.as_ref())?;
    let source = pair.source(config).await?;
    if let Some(migration) = &migration {
        compare(&migration.source, &source.identify().await?)?;
    }
    let state = P::default().target(back).await?;
    let found = state.load().await?;
    let sealed = migration.as_ref().and_then(|it| it.cutover.as_ref()?.left.as_ref());
    // Where the traffic is being moved back, or was, the former source is not ours to close.
    let moved = found.as_ref().is_some_and(|found| {
        let stage = found.cutover.as_ref().map(|record| record.stage);
        found.phase == Phase::CutOver || stage == Some(CutoverStage::Switching)
    });
    if let Some(left) = sealed.filter(|_| !moved) {
        // Each time: it may have been opened since.
        source.let_through(left).await?;
    }
    if let Some(found) = found {
        own(&found, way_back, start, back.name())?;
    } else {
        state.claim().await?;
        let patterns = config.selection().patterns();
        state.create_following(&way_back.source, patterns, &way_back.tables, start).await?;
        failpoint::reached("way-back-begun");
        state.unclaim().await?;
    }
    for dropped in source.remove().await?.dropped {
        tracing::info!("no longer needed: {dropped}");
    }
    Ok(())
}

/// Makes sure that the state on the former source is of this way back, and not of one that began
/// before all that was applied since.
fn own(
    found: &Migration,
    way_back: &WayBack,
    start: &Position,
    name: &str,
) -> Result<(), CutoverError> {
    let goes_on = found.checkpoint.as_ref().is_some_and(|checkpoint| checkpoint.reaches(start));
    if goes_on && found.source.cluster == way_back.source.cluster {
        return Ok(());
    }
    let why = format!("the former source holds another migration named {name}");
    Err(CutoverError::NoWayBack { why, hint: OTHER })
}

/// What is done about a migration that has the way back's name.
const OTHER: &str =
    "end it first: `dunlin complete` with its --name, and its own --source and --target";

/// The way back that a cutover has armed, and where it begins.
fn armed(migration: Option<&Migration>) -> Result<(&WayBack, &Position), CutoverError> {
    let missing = |why: String, hint| CutoverError::NoWayBack { why, hint };
    let migration = migration.ok_or_else(|| {
        missing(
            "the target holds no such migration".to_owned(),
            "check --target and --name; --source and --target are those of the cutover",
        )
    })?;
    if migration.phase != Phase::CutOver {
        let why = format!("the migration is in phase {}, and not cut over", migration.phase);
        return Err(missing(why, "`dunlin cutover --way-back` comes first"));
    }
    let way_back = migration.cutover.as_ref().and_then(|record| record.way_back.as_ref());
    if way_back.is_some_and(|way_back| way_back.ended.is_some()) {
        return Err(ended());
    }
    way_back.and_then(|way_back| Some((way_back, way_back.start.as_ref()?))).ok_or_else(|| {
        missing(
            "the cutover was done without --way-back".to_owned(),
            "end it with `dunlin complete`; a new migration from the target to the source, with \
             --truncate-target '*', copies everything",
        )
    })
}

/// The way back is about to be no more.
fn ended() -> CutoverError {
    let why = "`dunlin complete` has begun to end it".to_owned();
    CutoverError::NoWayBack { why, hint: "`dunlin complete` again ends it" }
}

/// Whether the way back of a migration was gone to its end, as far as the former source says so.
pub(super) async fn is_gone<P: Pair>(config: &Config, migration: &Migration) -> bool {
    let way_back = migration.cutover.as_ref().and_then(|record| record.way_back.as_ref());
    let Some(way_back) = way_back.filter(|_| migration.phase == Phase::CutOver) else {
        return false;
    };
    if let Some(end) = way_back.ended {
        return end == WayBackEnd::Gone;
    }
    let Ok(state) = P::default().target(&config.opposite()).await else { return false };
    state.load().await.is_ok_and(|it| it.is_some_and(|it| it.phase == Phase::CutOver))
}

/// What a run says that found the migration cut over.
pub(super) async fn concluded<P: Pair>(config: &Config, ended: Ended) -> Ended {
    if ended != Ended::CutOver {
        return ended;
    }
    // Nothing depends on it but what is said.
    let Ok(target) = P::default().target(config).await else { return ended };
    match target.load().await {
        Ok(Some(migration)) if is_gone::<P>(config, &migration).await => Ended::CutBack,
        Ok(_) | Err(_) => ended,
    }
}

/// The target's server as a source, where a cutover has to do with the way back.
pub(super) async fn opposite<P: Pair>(
    config: &Config,
    orders: &Orders,
    record: Option<&CutoverRecord>,
) -> Result<Option<Opposite<P::Source>>, Failure> {
    let armed = record.is_some_and(|record| record.way_back.is_some());
    if !orders.back && !orders.way_back && !armed {
        return Ok(None);
    }
    let (pair, config) = (P::default(), config.opposite());
    let mut sealed = None;
    if orders.back {
        let first = pair.target(&config).await?.load().await?;
        let first = first.and_then(|migration| migration.cutover);
        let way_back = first.as_ref().and_then(|record| record.way_back.as_ref());
        if way_back.is_some_and(|way_back| way_back.ended.is_some()) {
            return Err(ended().into());
        }
        sealed = first.and_then(|record| record.left);
    }
    let source = pair.source(&config).await?;
    Ok(Some(Opposite { source, wanted: orders.way_back, sealed }))
}

/// What would keep the source from following the target afterwards. What an earlier cutover has left is
/// undone before that.
pub(super) async fn findings<P: Pair>(
    config: &Config,
    opposite: &Opposite<P::Source>,
    standing: &Standing,
) -> Result<Vec<Finding>, Failure>
where
    P::Source: FencedSource,
{
    let back = config.opposite();
    let options = options(&back, None);
    let survey = opposite.source.check(&options.selection, options.connections).await?;
    let mut findings = survey.findings;
    let record = standing.migration.cutover.as_ref();
    let armed = record.is_some_and(|record| record.way_back.is_some());
    let sealed = record.is_some_and(|record| record.left.is_some());
    findings.retain(|found| !(armed && found.code() == Some(Code::SlotForeign)));
    if let Some(facts) = &survey.facts {
        let mut tables = survey.tables;
        let moved = &standing.migration.tables;
        tables.retain(|table| moved.iter().any(|other| other.name == table.name));
        let filled: Vec<TableName> = tables.iter().map(|table| table.name.clone()).collect();
        let arrival = Arrival {
            source: facts,
            tables: &tables,
            truncate: &filled,
            connections: options.connections,
        };
        let target = P::default().target(&back).await?;
        if target.load().await?.is_some() {
            let seen = format!("it holds another migration named {}", back.name());
            findings.push(Finding::block(Code::CutoverRefused, "target", seen).with_hint(OTHER));
        }
        let mut found = target.check(&arrival).await?;
        found.retain(|found| !(sealed && found.code() == Some(Code::TargetReadOnly)));
        findings.extend(found);
    }
    let blocking = findings.into_iter().filter(|finding| finding.severity == Severity::Block);
    Ok(blocking
        .map(|finding| Finding {
            subject: format!("for the way back, {}", exchanged(&finding.subject)),
            ..finding
        })
        .collect())
}

/// A text that begins with one side, for the other direction.
pub(super) fn exchanged(text: &str) -> String {
    for (side, other) in [("source", "target"), ("target", "source")] {
        for before in ["", "on the ", "the "] {
            if let Some(rest) = text.strip_prefix(before).and_then(|text| text.strip_prefix(side)) {
                return format!("{before}{other}{rest}");
            }
        }
    }
    text.to_owned()
}

/// How a way back was ended.
pub(super) struct Concluded {
    /// What was removed, and what is left.
    pub(super) removal: Removal,
    /// Whether it was gone to its end: the former source is the database again.
    pub(super) gone: bool,
}

/// Records that the way back of a migration is ended for good, before anything of it is removed: half
/// of it must not be begun with again.
async fn close(
    forward: &impl Target,
    record: &CutoverRecord,
    end: WayBackEnd,
    sealed: Option<&Leftover>,
) -> Result<(), Failure> {
    let way_back = record.way_back.clone().map(|it| WayBack {
        ended: Some(it.ended.unwrap_or(end)),
        left: sealed.cloned(),
        ..it
    });
    let (stage, left) = (record.stage, record.left.as_ref());
    forward.take_over().await?;
    let progress = CutoverProgress { stage, left, way_back: way_back.as_ref() };
    forward.record_cutover(Some(progress)).await
}

/// Ends the way back of the migration between `former` and `forward`, whose state is on the latter, and
/// removes what it has on both servers.
pub(super) async fn conclude<P: Pair>(
    config: &Config,
    (former, forward): (&P::Source, &P::Target),
    armed: &CutoverRecord,
) -> Result<Concluded, Failure>
where
    P::Source: FencedSource,
{
    let (pair, back) = (P::default(), config.opposite());
    let (source, target) = (pair.source(&back).await?, pair.target(&back).await?);
    let migration = target.load().await?;
    let end = armed.way_back.as_ref().and_then(|way_back| way_back.ended);
    let gone = end == Some(WayBackEnd::Gone)
        || migration.as_ref().is_some_and(|migration| migration.phase == Phase::CutOver);
    let record = migration.as_ref().and_then(|migration| migration.cutover.clone());
    let mut left = Vec::new();
    if let Some(migration) = &migration {
        pair::is_the_source(migration, &source).await?;
        if !gone && record.as_ref().is_some_and(|it| it.stage == CutoverStage::Switching) {
            return Err(CutoverError::Undecided.into());
        }
        target.claim().await?;
        target.take_over().await?;
        if !gone {
            close(forward, armed, WayBackEnd::GivenUp, None).await?;
            // What acts by itself there rested for the way back.
            left.extend(finish_schema(&target).await?);
            warn_of_lag(&source, &target).await?;
            target.set_sequences(&source.sequences().await?).await?;
        }
    }
    // What an end that was killed half-way has removed was kept before.
    let opened = record.as_ref().is_some_and(|record| record.stage == CutoverStage::Opened);
    if let Some(left) = armed.left.as_ref().filter(|_| gone && migration.is_some() && !opened) {
        // It is the database again: nothing of what kept writers out may stay.
        former.unfence(left).await?;
    }
    let kept = armed.way_back.as_ref().and_then(|way_back| way_back.left.clone());
    let sealed = record.and_then(|record| record.left).or(kept).filter(|_| gone);
    if let Some(left) = &sealed {
        // The first way's state lies there, and is to be removed too. It may be open by now.
        match source.let_through(left).await {
            Err(opened) if opened.code() == Some(Code::CutoverRefused) => {}
            let_through => let_through?,
        }
    }
    if gone || migration.is_none() {
        let end = if gone { WayBackEnd::Gone } else { WayBackEnd::GivenUp };
        close(forward, armed, end, sealed.as_ref()).await?;
    }
    let mut removal = source.remove().await?;
    removal.dropped.extend(target.remove().await?);
    removal.left.extend(left);
    removal.left.extend(sealed.as_ref().map(Leftover::lift_later));
    for text in removal.dropped.iter_mut().chain(&mut removal.left) {
        *text = exchanged(text);
    }
    Ok(Concluded { removal, gone })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_of_one_side_is_said_of_the_other() {
        assert_eq!(exchanged("source: publication x"), "target: publication x");
        assert_eq!(exchanged("on the source: DROP y"), "on the target: DROP y");
        assert_eq!(exchanged("target"), "source");
        assert_eq!(exchanged("public.t"), "public.t");
    }
}
