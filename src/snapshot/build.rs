//! Builds keys, indexes and constraints after the load, several at once.
//!
//! The target says what there is to build, in waves: a later wave waits for the earlier ones.
//! Within a wave the largest comes first. Each build and its record commit in one transaction, so
//! a build is never half there, and one that is done is not begun again.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::model::Failure;
use crate::observe::progress::Progress;
use crate::target::{Build, BuildStage, Target};

/// Builds all that is left of a stage, `workers` at once. `committed` grows with every build.
///
/// # Errors
///
/// The first error of any build.
pub async fn run<T: Target>(
    target: &T,
    stage: BuildStage,
    workers: usize,
    (committed, progress): (&watch::Sender<u64>, &Progress),
) -> Result<(), Failure> {
    let mut left: VecDeque<Build> = target.builds(stage).await?.into();
    while let Some(first) = left.front() {
        let wave = first.wave;
        let size = left.iter().take_while(|build| build.wave == wave).count();
        let batch: VecDeque<Build> = left.drain(..size).collect();
        run_wave(target, batch, workers, (committed, progress)).await?;
    }
    Ok(())
}

async fn run_wave<T: Target>(
    target: &T,
    wave: VecDeque<Build>,
    workers: usize,
    (committed, progress): (&watch::Sender<u64>, &Progress),
) -> Result<(), Failure> {
    let workers = workers.min(wave.len());
    let queue = Arc::new(Mutex::new(wave));
    let mut running = JoinSet::new();
    for _ in 0..workers {
        let (target, queue) = (target.clone(), Arc::clone(&queue));
        let (committed, progress) = (committed.clone(), progress.clone());
        running.spawn(async move {
            loop {
                let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                let Some(build) = next else {
                    return Ok::<(), Failure>(());
                };
                progress.step_started(&build.label);
                target.build(build.id).await?;
                committed.send_modify(|committed| *committed += 1);
                progress.step_finished(&build.label);
            }
        });
    }
    while let Some(ended) = running.join_next().await {
        match ended {
            Ok(result) => result?,
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    }
    Ok(())
}
