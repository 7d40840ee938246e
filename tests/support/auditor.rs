//! Somebody who looks at a server over and over, while others work on it, and is never to see anything
//! that was not there.

use std::future::Future;

use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Looks until it is told to stop.
pub struct Auditor {
    stop: watch::Sender<bool>,
    looks: watch::Receiver<u64>,
    looking: JoinHandle<()>,
}

/// What the one who looks is told, and tells.
pub struct Shift {
    stopped: watch::Receiver<bool>,
    looked: watch::Sender<u64>,
}

impl Shift {
    /// Whether to look once more.
    pub fn goes_on(&self) -> bool {
        !*self.stopped.borrow()
    }

    /// Counts a look that found everything in order.
    pub fn is_content(&self) {
        self.looked.send_modify(|looks| *looks += 1);
    }
}

impl Auditor {
    /// Begins to look. What looks fails by panicking.
    pub fn start<F>(look: impl FnOnce(Shift) -> F) -> Auditor
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (stop, stopped) = watch::channel(false);
        let (looked, looks) = watch::channel(0);
        Auditor { stop, looks, looking: tokio::spawn(look(Shift { stopped, looked })) }
    }

    /// Waits until so many looks more found everything in order.
    pub async fn more(&mut self, looks: u64) {
        let goal = *self.looks.borrow() + looks;
        self.looks.wait_for(|count| *count >= goal).await.unwrap();
    }

    /// Stops. Every look found everything in order, so many in all.
    pub async fn content(self) -> u64 {
        self.stop.send_replace(true);
        self.looking.await.unwrap();
        *self.looks.borrow()
    }
}
