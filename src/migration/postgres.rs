//! Migrations between two Postgres servers: what the settings mean for this pair of engines.

use std::time::Duration;

use super::pair::Pair;
use super::run::Besides;
use super::status::Called;
use super::{Engine, MigrationError};
use crate::config::endpoint::{Endpoint, PostgresEndpoint};
use crate::config::environment::Environment;
use crate::config::{Config, NamedTables, StateConfig};
use crate::connect::ConnectError;
use crate::model::selection::Selection;
use crate::model::{Failure, HeldSnapshot, OnDropColumn, SourceHealth};
use crate::source::Source;
use crate::source::postgres::catalog::large_objects;
use crate::source::postgres::present::PostgresPresent;
use crate::source::postgres::{self as source, PostgresSource};
use crate::target::Standing;
use crate::target::postgres::objects::copy_large_objects;
use crate::target::postgres::schema::Ownership;
use crate::target::postgres::{self as target, PostgresTarget, Remembered};

/// `too_many_connections`.
const TOO_MANY_CONNECTIONS: &str = "53300";

/// Reads a URL of a Postgres server.
fn endpoint(url: &str) -> Result<PostgresEndpoint, Failure> {
    match Endpoint::parse(url, &Environment::of_process())? {
        Endpoint::Postgres(endpoint) => Ok(endpoint),
        Endpoint::MySql(_) => Err(Engine::MySql.beside(Engine::Postgres)),
    }
}

/// A Postgres server on either side.
#[derive(Default)]
pub(super) struct PostgresPair {
    remembered: Remembered,
}

impl Pair for PostgresPair {
    type Source = PostgresSource;
    type Target = PostgresTarget;
    type Present = PostgresPresent;
    type Besides = LargeObjects;

    async fn source(&self, config: &Config) -> Result<PostgresSource, Failure> {
        if !config.may_lock() {
            return Err(MigrationError::NothingToLock.into());
        }
        let options = source::Options {
            name: config.name().to_owned(),
            selection: config.selection().clone(),
            insert_only: config.insert_only().clone(),
            slot_timeout: config.slot_timeout(),
            source_timeout: config.source_timeout(),
            snapshot_hold: config.snapshot_hold(),
        };
        PostgresSource::connect(&endpoint(config.source())?, options).await
    }

    async fn target(&self, config: &Config) -> Result<PostgresTarget, Failure> {
        let options = target::Options {
            name: config.name().to_owned(),
            privileges: config.privileges(),
            large_objects: !config.skip_large_objects(),
            maintenance_work_mem: config.maintenance_work_mem(),
            on_drop_column: config.on_drop_column(),
            remembered: self.remembered.clone(),
        };
        PostgresTarget::connect(&endpoint(config.target())?, options).await
    }

    async fn state(&self, config: &StateConfig) -> Result<PostgresTarget, Failure> {
        let options = target::Options {
            name: config.name().to_owned(),
            privileges: false,
            large_objects: false,
            maintenance_work_mem: 0,
            on_drop_column: OnDropColumn::Halt,
            remembered: self.remembered.clone(),
        };
        PostgresTarget::connect(&endpoint(config.target())?, options).await
    }

    fn sides(
        source: &PostgresSource,
        target: &PostgresTarget,
    ) -> (PostgresPresent, PostgresPresent) {
        (PostgresPresent::of(source), PostgresPresent::new(target.control().endpoint().clone()))
    }

    fn introduce(&self, source: &PostgresSource, target: &PostgresTarget) {
        source.face(target.control().server_version_num());
    }

    async fn announce(&self, source: &PostgresSource) -> Result<(), Failure> {
        source.announce().await
    }

    async fn claim_leftover(&self, source: &PostgresSource) -> Result<(), Failure> {
        source.claim_leftover().await
    }

    fn besides(&self, config: &Config) -> LargeObjects {
        let privileges = config.privileges();
        LargeObjects {
            skipped: config.skip_large_objects(),
            ownership: Ownership { owners: privileges, privileges },
        }
    }

    fn is_full(&self, failure: &Failure) -> bool {
        match failure.error().downcast_ref::<ConnectError>() {
            Some(ConnectError::Rejected { source, .. }) => source.code == TOO_MANY_CONNECTIONS,
            Some(_) | None => false,
        }
    }

    fn called(&self, config: &StateConfig) -> Result<Called, Failure> {
        let source = config.source().map(endpoint).transpose()?;
        Ok(Called {
            name: config.name().to_owned(),
            source: source.map(|endpoint| endpoint.redacted()),
            target: endpoint(config.target())?.redacted(),
            slot: Some(source::slot_name(config.name())),
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
            slot_timeout: Duration::ZERO,
            source_timeout: Duration::ZERO,
            snapshot_hold: Duration::ZERO,
        };
        let url = config.source().unwrap_or_default();
        PostgresSource::connect(&endpoint(url)?, options).await?.health().await
    }
}

/// Large objects, which no table holds and no log carries.
pub(super) struct LargeObjects {
    skipped: bool,
    ownership: Ownership,
}

impl Besides<PostgresSource, PostgresTarget> for LargeObjects {
    async fn carry(
        &self,
        source: &PostgresSource,
        target: &PostgresTarget,
        held: &HeldSnapshot,
    ) -> Result<(), Failure> {
        let reading = source.session_under(held).await?;
        if self.skipped || large_objects(&reading).await? == 0 {
            return Ok(());
        }
        let mut writing = target.session().await?;
        let copied = copy_large_objects(&reading, &mut writing, self.ownership).await?;
        tracing::info!(count = copied.count, bytes = copied.bytes, "large objects copied");
        Ok(())
    }
}
