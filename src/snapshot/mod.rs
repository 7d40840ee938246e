//! The snapshot: tables cut into chunks, chunks copied by parallel workers, then what is better
//! built once the rows are there.
//!
//! In come a held snapshot and the ledger; out go rows, straight through from a source's reader to
//! a target's loader. The room knows neither engine and looks into no buffer. Nothing is lost or
//! copied twice: the chunks of a table have no gap and no overlap, and each is committed with its
//! ledger entry; what the ledger calls done is not touched again.

pub mod build;
pub mod planner;
pub mod worker;
