//! `dunlin hold-snapshot`: the small process that outlives a killed run. Not for people.

use clap::Args;

/// Holds a snapshot open on the source until its run is done with it or stays away for too long.
/// Started by dunlin run, which writes the order to its standard input as JSON.
#[derive(Debug, Args)]
pub struct HoldSnapshotArgs {}
