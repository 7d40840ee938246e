//! The settings of the way back: the same servers, each on the other side.
//!
//! In: the settings as the operator gave them. Out: those of the migration that goes the other way,
//! which has a name of its own. It is its own inverse.

use super::{Config, StateConfig};
use crate::model::cutover::opposite;

impl Config {
    /// The same settings for the migration that goes the other way, between tables that are there
    /// on both sides.
    #[must_use]
    pub fn opposite(&self) -> Config {
        Config {
            source: self.target.clone(),
            target: self.source.clone(),
            name: opposite(&self.name),
            skip_large_objects: true,
            ..self.clone()
        }
    }
}

impl StateConfig {
    /// The same servers for the migration that goes the other way; None where the source is not
    /// known.
    #[must_use]
    pub fn opposite(&self) -> Option<StateConfig> {
        Some(StateConfig {
            source: Some(self.target.clone()),
            target: self.source.clone()?,
            name: opposite(&self.name),
            output: self.output,
        })
    }
}
