//! The connections that hold a snapshot, and who reads over which.
//!
//! In: connections that see one moment. Out: one of them at a time, to one reader at a time. A
//! connection comes back when its reader has read what it began to read; one that did not is closed,
//! since nobody knows what is still to come over it, and with the last one the snapshot is gone. It
//! lives inside of this process: another run finds none and takes a later snapshot.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use super::error::SourceError;
use crate::connect::mysql::Wire;

/// The snapshot of one migration, if this process holds one. Shared by all sources of the
/// migration that this process makes, one after another.
#[derive(Clone, Default)]
pub struct HeldConnections(Arc<Shared>);

#[derive(Default)]
struct Shared {
    pool: Mutex<Option<Pool>>,
    returned: Notify,
}

struct Pool {
    handle: Handle,
    idle: Vec<Wire>,
    /// Those that are idle, and those that are being read over.
    all: usize,
}

/// What is stored about a held snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Handle {
    /// A number of its own.
    snapshot: u64,
}

impl std::fmt::Debug for HeldConnections {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let pool = self.0.lock();
        write!(f, "HeldConnections({})", pool.as_ref().map_or(0, |pool| pool.all))
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Option<Pool>> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HeldConnections {
    /// Keeps connections that hold a snapshot. Those of an earlier one are closed.
    pub(super) fn keep(&self, wires: Vec<Wire>) -> Handle {
        let handle = Handle { snapshot: rand::random() };
        let pool = Pool { handle, all: wires.len(), idle: wires };
        *self.0.lock() = Some(pool);
        self.0.returned.notify_waiters();
        handle
    }

    /// Closes all of them.
    pub(super) fn release(&self) {
        *self.0.lock() = None;
        self.0.returned.notify_waiters();
    }

    /// Takes the idle connections out, to look whether they are alive.
    pub(super) fn idle(&self, handle: Handle) -> Vec<Lent> {
        let mut pool = self.0.lock();
        let Some(pool) = pool.as_mut().filter(|pool| pool.handle == handle) else {
            return Vec::new();
        };
        let idle = std::mem::take(&mut pool.idle);
        idle.into_iter().map(|wire| self.lend(handle, wire)).collect()
    }

    /// Whether any connection is left.
    pub(super) fn is_held(&self, handle: Handle) -> bool {
        let pool = self.0.lock();
        pool.as_ref().is_some_and(|pool| pool.handle == handle && pool.all > 0)
    }

    /// A connection to read over, as soon as one is idle.
    pub(super) async fn take(&self, handle: Handle) -> Result<Lent, SourceError> {
        loop {
            let returned = self.0.returned.notified();
            tokio::pin!(returned);
            returned.as_mut().enable();
            {
                let mut pool = self.0.lock();
                let pool = pool.as_mut().filter(|pool| pool.handle == handle && pool.all > 0);
                let pool = pool.ok_or(SourceError::SnapshotGone)?;
                if let Some(wire) = pool.idle.pop() {
                    return Ok(self.lend(handle, wire));
                }
            }
            returned.await;
        }
    }

    fn lend(&self, handle: Handle, wire: Wire) -> Lent {
        Lent { wire: Some(wire), sound: true, handle, home: self.clone() }
    }

    fn give_back(&self, handle: Handle, wire: Option<Wire>) {
        if let Some(pool) = self.0.lock().as_mut().filter(|pool| pool.handle == handle) {
            match wire {
                Some(wire) => pool.idle.push(wire),
                None => pool.all -= 1,
            }
        }
        self.0.returned.notify_waiters();
    }
}

/// A connection that was taken, until it is dropped.
pub(super) struct Lent {
    wire: Option<Wire>,
    /// Everything that was asked for over it has come.
    sound: bool,
    handle: Handle,
    home: HeldConnections,
}

impl Lent {
    /// The connection, and where to say that all that was asked for over it has come. Until that is
    /// said it counts as one that must not be used again.
    pub(super) fn begin(&mut self) -> Result<(&mut Wire, &mut bool), SourceError> {
        self.sound = false;
        let wire = self.wire.as_mut().ok_or(SourceError::SnapshotGone)?;
        Ok((wire, &mut self.sound))
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let wire = self.wire.take().filter(|_| self.sound);
        self.home.give_back(self.handle, wire);
    }
}
