//! Whether it is proven that both sides are equal, as a cutover wants it.
//!
//! In: what verifications left in the state. Out: what is lacking, or how old the proof is. A proof is of
//! the rows as they were then; what was changed since is the stream's, whose every commit is exact.

use std::time::Duration;

use super::CutoverError;
use crate::model::report::Finding;
use crate::model::verification::Proven;
use crate::model::{Failure, Table};
use crate::target::Proofs;

/// What is lacking of a proof of these tables that is not older than `within`; or a finding that
/// tells its age.
///
/// # Errors
///
/// Where the state cannot be read.
pub async fn look(
    target: &impl Proofs,
    tables: &[Table],
    within: Duration,
) -> Result<Result<Finding, CutoverError>, Failure> {
    Ok(judge(&Proven::of(tables, &target.proven().await?), within))
}

fn judge(proven: &Proven, within: Duration) -> Result<Finding, CutoverError> {
    let lacking = |why: String| Err(CutoverError::Unverified { why });
    if let Some(first) = proven.unproven.first() {
        let others = match proven.unproven.len() - 1 {
            0 => String::new(),
            more => format!(" (and {more} more)"),
        };
        return lacking(format!("no whole table {first}{others} was verified since it was copied"));
    }
    let seconds = proven.seconds_ago.unwrap_or_default().max(0.0);
    let shown = humantime::format_duration(Duration::from_secs(seconds as u64));
    if seconds > within.as_secs_f64() {
        let limit = humantime::format_duration(within);
        return lacking(format!("a proof is {shown} old, and may be {limit} at most"));
    }
    Ok(Finding::info("VERIFIED", "target", format!("every table was proven equal {shown} ago")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::TableName;

    fn proven(unproven: &[&str], seconds_ago: f64) -> Proven {
        let name = |name: &&str| TableName { schema: "public".into(), name: (*name).into() };
        let unproven = unproven.iter().map(name).collect();
        Proven { unproven, position: None, seconds_ago: Some(seconds_ago) }
    }

    #[test]
    fn every_table_has_to_be_proven_recently() {
        let judged = |proven: &Proven| {
            let judged = judge(proven, Duration::from_secs(60));
            judged.map(|finding| finding.evidence).map_err(|error| error.to_string())
        };
        let told = judged(&proven(&[], 59.5));
        assert_eq!(told, Ok("every table was proven equal 59s ago".to_owned()));
        let old = judged(&proven(&[], 61.0)).unwrap_err();
        assert!(old.ends_with("a proof is 1m 1s old, and may be 1m at most"), "{old}");
        let some = judged(&proven(&["a", "b"], 1.0)).unwrap_err();
        assert!(some.contains("table public.a (and 1 more)"), "{some}");
    }
}
