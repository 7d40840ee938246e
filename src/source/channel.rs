//! The channel from a log reader to the stream: batches, bounded in bytes.
//!
//! A batch holds a permit for its bytes from the moment it is sent until the last one who uses it
//! lets go, so that what is queued, grouped and being applied together stays within one budget.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::model::Batch;

/// A batch and the permit for its bytes.
#[derive(Debug, Clone)]
pub struct Delivered {
    /// The batch.
    pub batch: Arc<Batch>,
    /// Given back when the last clone is dropped.
    pub permit: Arc<OwnedSemaphorePermit>,
    /// The batch's size as it counts against the budget.
    pub bytes: usize,
}

/// The sending end.
#[derive(Debug, Clone)]
pub struct BatchSender {
    budget: Arc<Semaphore>,
    limit: u32,
    queue: mpsc::UnboundedSender<Delivered>,
}

/// The receiving end.
#[derive(Debug)]
pub struct BatchReceiver {
    budget: Arc<Semaphore>,
    limit: u32,
    queue: mpsc::UnboundedReceiver<Delivered>,
}

/// The other end is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closed;

/// A channel whose batches in flight add up to at most `bytes`; a single larger batch travels
/// alone.
#[must_use]
pub fn bounded(bytes: usize) -> (BatchSender, BatchReceiver) {
    let limit = u32::try_from(bytes.clamp(1, Semaphore::MAX_PERMITS)).unwrap_or(u32::MAX);
    let budget = Arc::new(Semaphore::new(limit as usize));
    let (sender, receiver) = mpsc::unbounded_channel();
    (
        BatchSender { budget: Arc::clone(&budget), limit, queue: sender },
        BatchReceiver { budget, limit, queue: receiver },
    )
}

impl BatchSender {
    /// What a batch counts for at most. Half of the budget, so that a large batch finds room
    /// beside an open transaction that fills less than the other half.
    fn largest(&self) -> u32 {
        half(self.limit)
    }

    /// Waits until there is room for `bytes`. Cancel-safe.
    ///
    /// # Errors
    ///
    /// [`Closed`] when the receiver is gone.
    pub async fn reserve(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Closed> {
        let wanted = u32::try_from(bytes).unwrap_or(u32::MAX).clamp(1, self.largest());
        Arc::clone(&self.budget).acquire_many_owned(wanted).await.map_err(|_| Closed)
    }

    /// Waits until the receiver is gone. Cancel-safe.
    pub async fn closed(&self) {
        self.queue.closed().await;
    }

    /// Sends a batch for which room was reserved.
    ///
    /// # Errors
    ///
    /// [`Closed`] when the receiver is gone.
    pub fn send(&self, batch: Batch, permit: OwnedSemaphorePermit) -> Result<(), Closed> {
        let bytes = permit.num_permits();
        let delivered = Delivered { batch: Arc::new(batch), permit: Arc::new(permit), bytes };
        self.queue.send(delivered).map_err(|_| Closed)
    }
}

/// Half of a budget.
fn half(limit: u32) -> u32 {
    (limit / 2).max(1)
}

impl BatchReceiver {
    /// Who gathers less than this and then waits for more will get it: there is room for the
    /// largest batch beside what was gathered.
    #[must_use]
    pub fn most_gathered(&self) -> usize {
        half(self.limit) as usize
    }

    /// The next batch; None when the sender is gone. Cancel-safe.
    pub async fn receive(&mut self) -> Option<Delivered> {
        self.queue.recv().await
    }

    /// A batch that has come already.
    pub fn try_receive(&mut self) -> Option<Delivered> {
        self.queue.try_recv().ok()
    }

    /// Bytes that are queued or in use.
    #[must_use]
    pub fn bytes_in_flight(&self) -> usize {
        self.limit as usize - self.budget.available_permits().min(self.limit as usize)
    }
}

impl Drop for BatchReceiver {
    fn drop(&mut self) {
        self.budget.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now<T>(future: impl Future<Output = T>) -> Option<T> {
        use futures_util::FutureExt;
        future.now_or_never()
    }

    fn send(sender: &BatchSender, bytes: usize) -> bool {
        let Some(permit) = now(sender.reserve(bytes)) else { return false };
        sender.send(Batch::default(), permit.unwrap()).unwrap();
        true
    }

    #[test]
    fn what_is_queued_and_in_use_stays_within_the_budget() {
        let (sender, mut receiver) = bounded(100);
        assert!(send(&sender, 40) && send(&sender, 40));
        assert!(!send(&sender, 40), "80 of 100 bytes are queued");
        let used = receiver.try_receive().unwrap();
        assert!(!send(&sender, 40), "a batch in use still counts");
        let clone = used.clone();
        drop(used);
        assert!(!send(&sender, 40), "until the last one lets go");
        drop(clone);
        assert!(send(&sender, 40));
        assert_eq!(receiver.bytes_in_flight(), 80);
    }

    #[test]
    fn a_batch_larger_than_the_budget_travels_beside_half_a_group() {
        let (sender, mut receiver) = bounded(101);
        let gathered = receiver.most_gathered();
        assert!(send(&sender, gathered - 1));
        let held = receiver.try_receive().unwrap();
        assert!(send(&sender, usize::MAX), "who waits with less than this will get more");
        assert!(!send(&sender, 100));
        drop((held, receiver.try_receive()));
        assert!(send(&sender, 0), "an empty batch counts for something");
        assert_eq!(receiver.bytes_in_flight(), 1);
    }

    #[test]
    fn a_budget_beyond_what_can_be_counted_still_has_room_for_the_largest_batch() {
        let (sender, receiver) = bounded(usize::MAX);
        assert!(receiver.most_gathered() as u64 <= u64::from(u32::MAX / 2));
        assert!(send(&sender, receiver.most_gathered()));
        assert!(send(&sender, usize::MAX));
    }

    #[test]
    fn a_sender_that_waits_learns_that_the_receiver_is_gone() {
        let (sender, receiver) = bounded(10);
        let permit = now(sender.reserve(5)).unwrap().unwrap();
        drop(receiver);
        assert_eq!(now(sender.reserve(5)).unwrap().unwrap_err(), Closed);
        assert_eq!(sender.send(Batch::default(), permit), Err(Closed));
        assert!(now(sender.closed()).is_some());
    }
}
