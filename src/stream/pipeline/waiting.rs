//! What a stream waits for that has nothing to do.
//!
//! In: moments, and what another session is at. Out: that it has come. Nothing is lost by giving up to
//! wait: whoever waits again waits for the same.

use std::time::Instant;

use futures_util::future::BoxFuture;

use crate::model::{Failure, Position};
use crate::source::Delivered;

/// What a waiting stream is woken by.
pub(super) enum Woken {
    Stop,
    /// The next group may begin.
    Pace,
    /// Something is committed, and has not been durable for long enough.
    Undurable,
    /// What was committed is durable.
    Hardened(Result<(), Failure>),
    /// A batch; None where no more will come.
    Log(Option<Delivered>),
}

/// Waits for a moment, for ever where there is none.
pub(super) async fn reached(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment.into()).await,
        None => std::future::pending().await,
    }
}

/// Waits until another session has made durable what it was to, for ever where there is nothing.
pub(super) async fn done(
    hardening: &mut Option<(Position, BoxFuture<'static, Result<(), Failure>>)>,
) -> Result<(), Failure> {
    match hardening {
        Some((_, hardened)) => hardened.await,
        None => std::future::pending().await,
    }
}
