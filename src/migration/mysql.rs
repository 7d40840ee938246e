//! Migrations between two MySQL or MariaDB servers: what the settings mean for this pair of
//! engines.

use std::time::Duration;

use super::Engine;
use super::pair::Pair;
use super::run::Besides;
use super::status::Called;
use crate::config::endpoint::{Endpoint, MySqlEndpoint};
use crate::config::environment::Environment;
use crate::config::{Config, NamedTables, StateConfig};
use crate::connect::mysql::ConnectError;
use crate::model::selection::Selection;
use crate::model::{Failure, HeldSnapshot, OnDropColumn, SourceHealth};
use crate::source::Source;
use crate::source::mysql::present::MySqlPresent;
use crate::source::mysql::{self as source, HeldConnections, MySqlSource};
use crate::target::Standing;
use crate::target::mysql::{self as target, MySqlTarget, Remembered};

/// `ER_CON_COUNT_ERROR` and `ER_TOO_MANY_USER_CONNECTIONS`.
const TOO_MANY_CONNECTIONS: [u16; 2] = [1040, 1203];

/// Reads a URL of a MySQL or MariaDB server.
fn endpoint(url: &str) -> Result<MySqlEndpoint, Failure> {
    match Endpoint::parse(url, &Environment::of_process())? {
        Endpoint::MySql(endpoint) => Ok(endpoint),
        Endpoint::Postgres(_) => Err(Engine::Postgres.beside(Engine::MySql)),
    }
}

/// A MySQL or MariaDB server on either side.
#[derive(Default)]
pub(super) struct MySqlPair {
    remembered: Remembered,
    held: HeldConnections,
}

impl Pair for MySqlPair {
    type Source = MySqlSource;
    type Target = MySqlTarget;
    type Present = MySqlPresent;
    type Besides = Nothing;

    async fn source(&self, config: &Config) -> Result<MySqlSource, Failure> {
        let options = source::Options {
            name: config.name().to_owned(),
            selection: config.selection().clone(),
            insert_only: config.insert_only().clone(),
            workers: config.workers(),
            may_lock: config.may_lock(),
            lock_timeout: config.slot_timeout(),
            source_timeout: config.source_timeout(),
            held: self.held.clone(),
        };
        MySqlSource::connect(&endpoint(config.source())?, options).await
    }

    async fn target(&self, config: &Config) -> Result<MySqlTarget, Failure> {
        let options = target::Options {
            name: config.name().to_owned(),
            on_drop_column: config.on_drop_column(),
            binlog: config.target_binlog(),
            remembered: self.remembered.clone(),
        };
        MySqlTarget::connect(&endpoint(config.target())?, options).await
    }

    async fn state(&self, config: &StateConfig) -> Result<MySqlTarget, Failure> {
        let options = target::Options {
            name: config.name().to_owned(),
            on_drop_column: OnDropColumn::Halt,
            binlog: true,
            remembered: self.remembered.clone(),
        };
        MySqlTarget::connect(&endpoint(config.target())?, options).await
    }

    fn sides(source: &MySqlSource, target: &MySqlTarget) -> (MySqlPresent, MySqlPresent) {
        (MySqlPresent::of(source), MySqlPresent::new(target.endpoint().clone()))
    }

    fn introduce(&self, _source: &MySqlSource, _target: &MySqlTarget) {}

    async fn announce(&self, _source: &MySqlSource) -> Result<(), Failure> {
        Ok(())
    }

    async fn claim_leftover(&self, _source: &MySqlSource) -> Result<(), Failure> {
        Ok(())
    }

    fn besides(&self, _config: &Config) -> Nothing {
        Nothing
    }

    fn is_full(&self, failure: &Failure) -> bool {
        match failure.error().downcast_ref::<ConnectError>() {
            Some(ConnectError::Rejected { source, .. }) => {
                TOO_MANY_CONNECTIONS.contains(&source.number)
            }
            Some(_) | None => false,
        }
    }

    fn called(&self, config: &StateConfig) -> Result<Called, Failure> {
        let source = config.source().map(endpoint).transpose()?;
        Ok(Called {
            name: config.name().to_owned(),
            source: source.map(|endpoint| endpoint.redacted()),
            target: endpoint(config.target())?.redacted(),
            slot: None,
        })
    }

    async fn health(
        &self,
        config: &StateConfig,
        standing: &Standing,
    ) -> Result<SourceHealth, Failure> {
        let options = source::Options {
            name: config.name().to_owned(),
            selection: Selection::new(&standing.migration.selection)?,
            insert_only: NamedTables::default(),
            workers: 0,
            may_lock: false,
            lock_timeout: Duration::ZERO,
            source_timeout: Duration::ZERO,
            held: self.held.clone(),
        };
        let url = config.source().unwrap_or_default();
        MySqlSource::connect(&endpoint(url)?, options).await?.health().await
    }
}

/// All that there is lies in tables.
pub(super) struct Nothing;

impl Besides<MySqlSource, MySqlTarget> for Nothing {
    async fn carry(
        &self,
        _source: &MySqlSource,
        _target: &MySqlTarget,
        _held: &HeldSnapshot,
    ) -> Result<(), Failure> {
        Ok(())
    }
}
