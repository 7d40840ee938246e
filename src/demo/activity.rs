//! What the applications of a demo do, whatever the engine.
//!
//! An activity is data: its pace, and a function from random choices to the statements of a
//! transaction. The statements are each engine's own (`transactions`, `mysql::transactions`). Between
//! them the activities of an engine cover what is easily lost: key changes, unique values that change
//! places, rows that move between partitions, large values that stay, equal rows without a key,
//! TRUNCATE, savepoints, and transactions of very different size.

use rand::rngs::StdRng;

use super::load::Size;

/// What one session does, again and again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Activity {
    /// What it attempts, for an error.
    pub(super) name: &'static str,
    /// Its usual transactions per second.
    pub(super) per_second: f64,
    /// The statements of its next transaction.
    pub(super) transaction: fn(&mut StdRng, Scope) -> String,
}

/// The bounds of the random choices.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scope {
    /// The size of the database.
    pub(super) size: Size,
    /// The rows of the largest transactions.
    pub(super) largest_rows: u32,
}

impl Activity {
    /// An activity at its usual pace.
    pub(super) const fn new(
        name: &'static str,
        per_second: f64,
        transaction: fn(&mut StdRng, Scope) -> String,
    ) -> Activity {
        Activity { name, per_second, transaction }
    }
}
