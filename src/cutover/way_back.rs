//! What a cutover has to do on the side that becomes the database, for the way back.
//!
//! In: the target's server as a source. Out: its log kept for the way back from before any writer
//! is let in, and where the way back begins in it; and, on the way back itself, the end of what has
//! kept writers out there since the first cutover.
//!
//! Nothing that we applied is carried back, and nothing that applications commit there is missed:
//! the log is kept from before the fence is closed, and the way back begins behind all that we applied and before the traffic
//! is moved.

use super::{Purpose, tell_hook};
use crate::model::{Failure, Leftover, Table, WayBack};
use crate::observe::failpoint;
use crate::source::fence::FencedSource;

/// The target's server as a source.
#[derive(Debug)]
pub struct Opposite<S> {
    /// It.
    pub source: S,
    /// Whether the way back from this cutover is wanted.
    pub wanted: bool,
    /// On the way back, what has refused writes there since the first cutover.
    pub sealed: Option<Leftover>,
}

impl<S: FencedSource> Opposite<S> {
    /// What is about to be kept there for the way back of `tables`.
    pub(super) async fn way_back(&self, tables: &[Table]) -> Result<WayBack, Failure> {
        let mut there = self.source.tables(None).await?;
        there.retain(|table| tables.iter().any(|other| other.name == table.name));
        let source = self.source.identify().await?;
        Ok(WayBack { source, tables: there, start: None, ended: None, left: None })
    }

    /// Has the log kept.
    pub(super) async fn keep_log(&self, tables: &[Table]) -> Result<(), Failure> {
        self.source.publish(tables).await?;
        failpoint::reached("way-back-published");
        self.source.retain().await?;
        failpoint::reached("way-back-armed");
        Ok(())
    }

    /// Gives up what is kept there for the way back. May be called again.
    ///
    /// # Errors
    ///
    /// Where the server cannot be asked.
    pub async fn disarm(&self) -> Result<(), Failure> {
        for dropped in self.source.remove().await?.dropped {
            tracing::debug!("the way back is given up: {dropped}");
        }
        Ok(())
    }

    /// Lets writers in there, until [`Self::refuse`]. May be called again.
    ///
    /// # Errors
    ///
    /// Where the server cannot be asked, or the operator's command fails.
    pub async fn admit(&self) -> Result<(), Failure> {
        match &self.sealed {
            Some(left) => {
                self.source.admit(left).await?;
                Ok(tell_hook(left, Purpose::Unfence).await?)
            }
            None => Ok(()),
        }
    }

    /// Keeps writers out there again. May be called again.
    ///
    /// # Errors
    ///
    /// Where the server cannot be asked.
    pub async fn refuse(&self) -> Result<(), Failure> {
        match &self.sealed {
            Some(left) => {
                self.source.refuse(left).await?;
                Ok(tell_hook(left, Purpose::Fence).await?)
            }
            None => Ok(()),
        }
    }

    /// Ends for good what kept writers out there. May be called again.
    ///
    /// # Errors
    ///
    /// Where the server cannot be asked.
    pub async fn unseal(&self) -> Result<(), Failure> {
        match &self.sealed {
            Some(left) => self.source.unfence(left).await,
            None => Ok(()),
        }
    }
}
