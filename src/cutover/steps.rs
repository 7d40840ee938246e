//! The steps of a cutover, with the time that each took.
//!
//! In: the names of steps as they begin. Out: a table, and lines in the log.

use std::time::Instant;

use super::milliseconds;
use crate::model::CutoverStep;

/// What was carried out so far.
#[derive(Debug, Default)]
pub(super) struct Steps {
    done: Vec<CutoverStep>,
    current: Option<(&'static str, Instant)>,
}

impl Steps {
    /// Ends the step before and begins another.
    pub(super) fn begin(&mut self, name: &'static str) {
        self.end();
        tracing::debug!(step = name, "begins");
        self.current = Some((name, Instant::now()));
    }

    /// The step that is being carried out.
    pub(super) fn current(&self) -> &'static str {
        self.current.map_or("preconditions", |(name, _)| name)
    }

    /// All steps, of which the last has just ended.
    pub(super) fn done(mut self) -> Vec<CutoverStep> {
        self.end();
        self.done
    }

    fn end(&mut self) {
        if let Some((name, since)) = self.current.take() {
            let milliseconds = milliseconds(since.elapsed());
            tracing::info!(step = name, milliseconds, "done");
            self.done.push(CutoverStep { name: name.to_owned(), milliseconds });
        }
    }
}
