//! The stream: what the log says becomes transactions on the target.
//!
//! In come batches from a source's log reader, out go plans to a target's applier. The room knows
//! neither engine; [`group`] is pure, [`pipeline`] drives it.

pub mod definition;
pub mod group;
pub mod pipeline;
mod shape;
mod tap;
