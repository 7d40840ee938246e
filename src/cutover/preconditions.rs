//! What may come to stand against a cutover while it gets ready: looked at again right before the fence,
//! and behind it.
//!
//! In: a source, and what was found of it before anything began. Out: an error that names what is there
//! now and was not then. The operator accepts what is there at the beginning and nothing else: a table
//! that is made meanwhile would be left behind without a word. It changes nothing.

use super::CutoverError;
use crate::model::report::{Finding, Severity};
use crate::model::{Code, Failure, HeldSnapshot, Table};
use crate::source::Source;
use crate::source::fence::{FenceOrder, FencedSource};

/// What is not carried of the source, as it was before the cutover began.
#[derive(Debug, Default)]
pub struct Preconditions {
    held: Option<HeldSnapshot>,
    known: Vec<Finding>,
}

impl Preconditions {
    /// Looks for the first time.
    ///
    /// # Errors
    ///
    /// Where the source cannot be asked, or going on would lose something.
    pub async fn look(
        source: &impl Source,
        tables: &[Table],
        held: Option<HeldSnapshot>,
    ) -> Result<Self, Failure> {
        let known = not_carried(source, tables, held.as_ref()).await?;
        Ok(Preconditions { held, known })
    }

    /// What was found then.
    #[must_use]
    pub fn known(&self) -> &[Finding] {
        &self.known
    }

    /// Nothing has come that stands against it.
    pub(super) async fn still_hold<S: FencedSource>(
        &self,
        source: &S,
        order: &FenceOrder,
    ) -> Result<(), Failure> {
        let mut found = source.fence_findings(order).await?;
        found.retain(|finding| finding.severity == Severity::Block);
        found.extend(self.came(not_carried(source, &order.tables, self.held.as_ref()).await?));
        refuse(&found)
    }

    /// Nothing has come that is not carried. Large objects are not looked at: writers are waiting.
    pub(super) async fn still_hold_fenced(
        &self,
        source: &impl Source,
        tables: &[Table],
    ) -> Result<(), Failure> {
        refuse(&self.came(not_carried(source, tables, None).await?))
    }

    fn came(&self, mut found: Vec<Finding>) -> Vec<Finding> {
        found.retain(|finding| !self.known.contains(finding));
        found
    }
}

fn refuse(found: &[Finding]) -> Result<(), Failure> {
    match found.first() {
        None => Ok(()),
        Some(first) => {
            let finding = Box::new(first.clone());
            Err(CutoverError::Refused { finding, all: found.len() }.into())
        }
    }
}

/// What became of the source that the log does not show.
async fn not_carried(
    source: &impl Source,
    tables: &[Table],
    held: Option<&HeldSnapshot>,
) -> Result<Vec<Finding>, Failure> {
    let drift = source.drift(tables, held).await?;
    let warning = |seen| {
        Finding::warn("NOT_CARRIED", "source", seen).with_hint(
            "carry it over by hand where it matters, or have the cutover accept what is there when it \
             begins: --accept-warnings",
        )
    };
    let mut findings: Vec<Finding> = drift.warnings.into_iter().map(warning).collect();
    let outdated = |table: &&Table| drift.outdated.contains(&table.id);
    findings.extend(tables.iter().filter(outdated).map(|table| {
        let seen = format!("table {} has to be copied again", table.name);
        Finding::block(Code::CutoverRefused, "source", seen).with_hint("let `dunlin run` do that")
    }));
    Ok(findings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_there_is_accepted() {
        let seen = |table: &str| Finding::warn("NOT_CARRIED", "source", table);
        let preconditions = Preconditions { held: None, known: vec![seen("a")] };
        assert!(refuse(&preconditions.came(vec![seen("a")])).is_ok());
        let refused = refuse(&preconditions.came(vec![seen("a"), seen("b")])).unwrap_err();
        assert_eq!(refused.to_string(), "source: b");
    }
}
