//! A Postgres server as source.
//!
//! Composes the room: the catalog for what there is, slot and holder for the hand-over, rows for
//! the snapshot, replication and decode for the log. One control session lives as long as the
//! source and holds the advisory lock by which the snapshot's holder knows that a run is there.

mod alteration;
pub mod catalog;
mod check;
pub mod decode;
mod drift;
mod error;
pub mod fence;
pub mod holder;
mod holdup;
mod lockout;
mod lookout;
mod measure;
pub mod objects;
pub mod present;
mod publication;
mod quiet;
pub mod relations;
mod replication;
mod rows;
mod seal;
pub mod slot;
mod split;
mod standby;
mod storage;
pub mod wire;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use self::decode::{Registry, Root};
use self::holder::{Handle, Order};
use self::replication::{Answers, LogReader};
use self::rows::PostgresReader;
use self::slot::Names;
use self::standby::{Identified, StandbyError, TimelineGuard};
use self::storage::Storages;
use self::wire::{Wire, WireOptions};
use super::thread::on_own_thread;
use super::{BatchSender, Catalog, Source};
use crate::config::NamedTables;
use crate::config::endpoint::PostgresEndpoint;
use crate::connect::attempting;
use crate::connect::postgres::{Client, connect};
use crate::connect::program::{ProgramError, Programs};
use crate::connect::quote::type_name;
use crate::model::report::{Removal, Transfer};
use crate::model::selection::Selection;
use crate::model::{
    Alteration, CarriedSchema, ChunkRange, Drift, Failure, HeldSnapshot, Partition, Position,
    Relation, SchemaFacts, SequenceValue, SourceHealth, SourceIdentity, SourceSurvey, Table,
    TableId,
};

pub use error::SourceError;
pub use slot::slot_name;

/// What a Postgres source has to know beside its address.
#[derive(Clone, Debug)]
pub struct Options {
    /// The migration's name.
    pub name: String,
    /// Which tables.
    pub selection: Selection,
    /// Tables without replica identity that are known to see inserts only.
    pub insert_only: NamedTables,
    /// How long to wait for locks and running transactions when a snapshot is taken.
    pub slot_timeout: Duration,
    /// How long the stream may be silent.
    pub source_timeout: Duration,
    /// How long a snapshot is held without a run.
    pub snapshot_hold: Duration,
}

/// A Postgres server as source.
#[derive(Clone)]
pub struct PostgresSource {
    shared: Arc<Shared>,
}

struct Shared {
    endpoint: PostgresEndpoint,
    control: Client,
    names: Names,
    options: Options,
    /// It was a standby when we connected. Where it no longer is, everything begins again.
    standby: bool,
    /// The timeline that it was on when it was first identified.
    timeline: OnceLock<String>,
    /// The version of the server that the schema is for.
    target_version_num: OnceLock<u32>,
    /// Where the tables' rows lie, as far as that was watched.
    storages: Mutex<Storages>,
    /// Whether the log reader is to ask without pause how far the server is.
    hurry: watch::Sender<bool>,
}

impl PostgresSource {
    async fn read_log(
        &self,
        registry: Registry,
        out: &BatchSender,
        durable: watch::Receiver<Position>,
    ) -> Result<(), Failure> {
        let names = &self.shared.names;
        let wire = self.wire(true).await?;
        let mut guard = self.timeline_guard().await?;
        let (silence, hurry) = (self.shared.options.source_timeout, self.shared.hurry.subscribe());
        let answers = Answers { durable, silence, hurry };
        let publications = names.publications();
        let reader = LogReader::start(wire, &names.slot, &publications, registry, answers).await?;
        reader.read(out, guard.as_mut()).await
    }

    /// Connects, only to look.
    ///
    /// # Errors
    ///
    /// Where there is no connection.
    pub async fn connect(endpoint: &PostgresEndpoint, options: Options) -> Result<Self, Failure> {
        let names = Names::new(&options.name);
        let control = connect(endpoint, names.application).await?;
        let millis = options.slot_timeout.as_millis();
        let patience = format!("{}; SET lock_timeout = {millis}", seal::READ_WRITE);
        control.batch_execute(&patience).await.map_err(attempting("bound the wait for locks"))?;
        let standby = standby::in_recovery(&control).await?;
        let endpoint = control.endpoint().clone();
        let shared = Shared {
            endpoint,
            control,
            names,
            options,
            standby,
            timeline: OnceLock::new(),
            target_version_num: OnceLock::new(),
            storages: Mutex::default(),
            hurry: watch::Sender::new(false),
        };
        Ok(PostgresSource { shared: Arc::new(shared) })
    }

    /// Says which version the server has that the schema is for, as `server_version_num`. Unsaid,
    /// it is for a server like this one.
    pub fn face(&self, target_version_num: u32) {
        let _ = self.shared.target_version_num.set(target_version_num);
    }

    /// The client programs for the schema.
    async fn programs(&self) -> Result<Programs, ProgramError> {
        let own = self.shared.control.server_version_num();
        let target = self.shared.target_version_num.get().copied().unwrap_or(own);
        Programs::find((own / 10_000).cast_signed(), (target / 10_000).cast_signed()).await
    }

    /// A session inside of a transaction that sees exactly what the held snapshot sees.
    ///
    /// # Errors
    ///
    /// Where the snapshot is gone.
    pub async fn session_under(&self, held: &HeldSnapshot) -> Result<Client, Failure> {
        let client = connect(&self.shared.endpoint, self.shared.names.application).await?;
        let text = rows::under_snapshot(&handle(held)?.snapshot);
        client.batch_execute(&text).await.map_err(attempting("read under the snapshot"))?;
        Ok(client)
    }

    /// Tells the snapshot's holder that a run is there, for as long as this source lives.
    ///
    /// # Errors
    ///
    /// Where the connection is gone.
    pub async fn announce(&self) -> Result<(), Failure> {
        let (class, object) = self.shared.names.lock;
        let lock = "SELECT pg_catalog.pg_advisory_lock_shared($1, $2)";
        let locked = self.shared.control.execute(lock, &[&class, &object]).await;
        locked.map_err(attempting("announce this run on the source"))?;
        Ok(())
    }

    /// Makes sure that what stands under our names here, though the target holds no state, is a
    /// leftover: nobody is at work on it, and nobody can begin before this source is dropped.
    ///
    /// # Errors
    ///
    /// Where it belongs to a migration of another target or database.
    pub async fn claim_leftover(&self) -> Result<(), Failure> {
        slot::claim_leftover(&self.shared.control, &self.shared.names).await
    }

    /// The control session.
    #[must_use]
    pub fn control(&self) -> &Client {
        &self.shared.control
    }

    async fn wire(&self, replication: bool) -> Result<Wire, Failure> {
        let application_name = self.shared.names.application.to_owned();
        let options = WireOptions { application_name, replication };
        Ok(Wire::connect(&self.shared.endpoint, &options).await?)
    }

    async fn take_snapshot(&self, permanent: bool) -> Result<HeldSnapshot, Failure> {
        let (options, standby) = (&self.shared.options, self.shared.standby);
        let held = holder::start(&Order {
            endpoint: self.shared.endpoint.to_exposed_json()?,
            name: options.name.clone(),
            permanent,
            standby,
            patience_ms: options.slot_timeout.as_millis() as u64,
            stay_ms: options.snapshot_hold.as_millis() as u64,
        })
        .await?;
        if let Some(mut guard) = self.timeline_guard().await? {
            guard.check().await?;
        }
        Ok(held)
    }

    /// On a standby, what notices that it goes over to another timeline than the one that it was
    /// recognised by.
    async fn timeline_guard(&self) -> Result<Option<TimelineGuard>, Failure> {
        match self.shared.timeline.get().filter(|_| self.shared.standby) {
            Some(timeline) => {
                Ok(Some(TimelineGuard::new(self.wire(true).await?, timeline.clone())))
            }
            None => Ok(None),
        }
    }

    async fn registry(&self, tables: &[Table]) -> Result<Registry, Failure> {
        let control = &self.shared.control;
        let rows = control
            .query(include_str!("../../../sql/postgres/source_types.sql"), &[])
            .await
            .map_err(attempting("read the built-in types"))?;
        let types = rows
            .iter()
            .map(|row| (row.get(0), type_name("pg_catalog", row.get(1))))
            .collect::<HashMap<u32, String>>();
        let placements = relations::placements(control, &self.shared.options.selection).await?;
        let mut registry = Registry { types, ..Registry::default() };
        for table in tables {
            let Ok(oid) = u32::try_from(table.source_id) else { continue };
            registry.tables.insert(oid, table.id);
            if let Some(partitions) = &table.partitions {
                let oids = partitions.leaves.iter().map(|leaf| leaf.source_id);
                registry.rowless.extend(oids.filter_map(|oid| u32::try_from(oid).ok()));
                let late =
                    |leaf: &Partition| Some((u32::try_from(leaf.source_id).ok()?, leaf.came_in?));
                registry.late.extend(partitions.leaves.iter().filter_map(late));
                let primary_key = table.key_columns().map(|column| column.name.clone()).collect();
                registry.roots.insert(oid, Root { copied_at: partitions.at.clone(), primary_key });
            }
        }
        let partitioned = placements.iter().filter(|placement| placement.partitioned);
        registry.rowless.extend(
            partitioned
                .filter_map(|placement| u32::try_from(placement.source_id).ok())
                .filter(|oid| !registry.roots.contains_key(oid)),
        );
        Ok(registry)
    }

    fn is_insert_only(&self, table: &Table) -> bool {
        let above: Vec<_> = table.root.iter().collect();
        self.shared.options.insert_only.names(&table.name, &above)
    }

    /// Those of the tables that have seen an update or delete.
    async fn changed(&self, tables: &[&Table]) -> Result<HashSet<TableId>, Failure> {
        let oids: Vec<u32> =
            tables.iter().flat_map(|table| catalog::relation_oids(table)).collect();
        let changes = catalog::changes(&self.shared.control, &oids).await?;
        let changed: HashSet<u32> = changes
            .iter()
            .filter(|changes| changes.updates + changes.deletes > 0)
            .map(|changes| changes.table)
            .collect();
        let seen = tables
            .iter()
            .filter(|table| catalog::relation_oids(table).any(|oid| changed.contains(&oid)));
        Ok(seen.map(|table| table.id).collect())
    }
}

impl Catalog for PostgresSource {
    async fn alteration(
        &self,
        tables: &[Table],
        relation: &Relation,
    ) -> Result<Alteration, Failure> {
        let control = &self.shared.control;
        let table = tables.iter().find(|table| table.id == relation.table);
        let table =
            table.ok_or_else(|| SourceError::Recreated { table: relation.name.to_string() })?;
        let family = alteration::family(control, table).await?;
        let read = {
            let storages = self.shared.storages.lock().unwrap_or_else(PoisonError::into_inner);
            let in_place = |table: &Table, storage| storages.holds(table, storage);
            let context = alteration::Context { tables, family: &family, in_place: &in_place };
            alteration::read(table, relation, &context)
        };
        let read = alteration::write_types(control, read).await?;
        let mut storages = self.shared.storages.lock().unwrap_or_else(PoisonError::into_inner);
        storages.carry(read.tables());
        Ok(read)
    }
}

impl Source for PostgresSource {
    type Reader = PostgresReader;

    async fn identify(&self) -> Result<SourceIdentity, Failure> {
        let mut wire = self.wire(true).await?;
        let Identified { cluster, timeline } = standby::identify(&mut wire).await?;
        let _ = self.shared.timeline.set(timeline.clone());
        let version = wire.parameter("server_version").unwrap_or_default().to_owned();
        wire.close().await?;
        let database = self.shared.endpoint.database().to_owned();
        Ok(SourceIdentity { cluster, timeline, database, version })
    }

    async fn continues(
        &self,
        known: &SourceIdentity,
        position: &Position,
    ) -> Result<bool, Failure> {
        let mut wire = self.wire(true).await?;
        let left = standby::left(&mut wire, &known.timeline).await?;
        wire.close().await?;
        Ok(left.is_some_and(|left| replication::lsn(position) <= left))
    }

    async fn check(
        &self,
        selection: &Selection,
        connections: usize,
    ) -> Result<SourceSurvey, Failure> {
        check::survey(self, selection, connections).await
    }

    async fn publish(&self, tables: &[Table]) -> Result<(), Failure> {
        let (control, names) = (&self.shared.control, &self.shared.names);
        if self.shared.standby {
            return match publication::lacking(control, names, tables).await? {
                Some(statements) => Err(StandbyError::PublicationNeeded { statements }.into()),
                None => Ok(()),
            };
        }
        holdup::named(control, publication::create(control, names, tables).await).await
    }

    async fn tables(&self, held: Option<&HeldSnapshot>) -> Result<Vec<Table>, Failure> {
        let selection = &self.shared.options.selection;
        if let Some(held) = held {
            let session = self.session_under(held).await?;
            return Ok(relations::tables(&session, selection).await?.tables);
        }
        let found = relations::tables(&self.shared.control, selection).await;
        Ok(holdup::named(&self.shared.control, found.map_err(Failure::from)).await?.tables)
    }

    async fn publish_more(&self, tables: &[Table]) -> Result<(), Failure> {
        let (control, names) = (&self.shared.control, &self.shared.names);
        if self.shared.standby {
            return self.expect_published(tables).await;
        }
        holdup::named(control, publication::add(control, names, tables).await).await
    }

    async fn begin(&self) -> Result<HeldSnapshot, Failure> {
        holder::clear(&self.shared.control, &self.shared.names).await?;
        self.take_snapshot(true).await
    }

    async fn retain(&self) -> Result<(), Failure> {
        holder::clear(&self.shared.control, &self.shared.names).await?;
        holder::retain(&self.shared.control, &self.shared.names).await
    }

    async fn hold_again(&self) -> Result<HeldSnapshot, Failure> {
        holder::end(&self.shared.control, &self.shared.names).await?;
        self.take_snapshot(false).await
    }

    async fn is_held(&self, held: &HeldSnapshot) -> Result<bool, Failure> {
        holder::is_held(&self.shared.control, &handle(held)?).await
    }

    async fn emptied(
        &self,
        _held: &HeldSnapshot,
        _table: &Table,
    ) -> Result<Option<Position>, Failure> {
        // The log is read over the slot alone, and not before it is followed.
        Ok(None)
    }

    async fn release(&self, _held: &HeldSnapshot) -> Result<(), Failure> {
        holder::end(&self.shared.control, &self.shared.names).await
    }

    async fn measure(
        &self,
        table: &Table,
        most_bytes: u64,
        longest: Duration,
    ) -> Result<Transfer, Failure> {
        let leaves = table.partitions.iter().flat_map(|partitions| &partitions.leaves);
        let largest = leaves.max_by_key(|leaf| leaf.bytes);
        let leaf = largest.and_then(|leaf| table.partition(leaf.source_id));
        let table = leaf.as_ref().unwrap_or(table);
        measure::read(self.wire(false).await?, table, most_bytes, longest).await
    }

    fn footprint(&self) -> Vec<String> {
        let names = &self.shared.names;
        let by_whom = if self.shared.standby { ", by hand on its primary" } else { "" };
        vec![
            format!("source: publications {} and {}{by_whom}", names.publication, names.appending),
            format!("source: logical replication slot {}", names.slot),
            format!(
                "source: temporary slot {}, only where a snapshot has to be taken again",
                names.temporary_slot
            ),
        ]
    }

    async fn split(
        &self,
        _held: Option<&HeldSnapshot>,
        table: &Table,
        chunk_bytes: u64,
    ) -> Result<Vec<ChunkRange>, Failure> {
        split::split(&self.shared.control, table, chunk_bytes).await
    }

    async fn alterations(
        &self,
        held: &HeldSnapshot,
        tables: &[Table],
        wanted: &[TableId],
    ) -> Result<Vec<Alteration>, Failure> {
        let session = self.session_under(held).await?;
        let now = relations::tables(&session, &self.shared.options.selection).await?.tables;
        let mut read: Vec<Alteration> = Vec::new();
        for table in tables.iter().filter(|table| wanted.contains(&table.id)) {
            if !alteration::differs(table, &now) || read.iter().any(|a| a.table.id == table.id) {
                continue;
            }
            let family = alteration::family(&session, table).await?;
            read.extend(alteration::between_all(table, tables, &now, &family));
        }
        Ok(read)
    }

    async fn reader(&self, held: &HeldSnapshot) -> Result<PostgresReader, Failure> {
        PostgresReader::new(self.wire(false).await?, &handle(held)?.snapshot).await
    }

    async fn schema(
        &self,
        held: &HeldSnapshot,
        _tables: &[Table],
    ) -> Result<CarriedSchema, Failure> {
        let control = &self.shared.control;
        let programs = self.programs().await?;
        let selection = &self.shared.options.selection;
        let excluded = objects::excluded(control, selection).await?;
        let snapshot = handle(held)?.snapshot;
        let variables = self.shared.endpoint.libpq_variables();
        let connection: Vec<(String, String)> = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.expose().to_owned()))
            .collect();
        let session = objects::DumpSession {
            programs: &programs,
            connection: &connection,
            snapshot: Some(&snapshot),
        };
        let archive = objects::dump_schema(session, &excluded).await?;
        let found = relations::tables(control, selection).await?;
        let prefilled = found.extension_config.iter().filter_map(|id| {
            found.tables.iter().find(|table| table.id == *id).map(|table| table.name.clone())
        });
        let facts = SchemaFacts {
            definitions: objects::definitions(control).await?,
            views: objects::materialized_views(control, &excluded).await?,
            prefilled: prefilled.collect(),
            programs_version: programs.major(),
            excluded,
        };
        Ok(CarriedSchema { archive, facts })
    }

    async fn sequences(&self) -> Result<Vec<SequenceValue>, Failure> {
        let selection = &self.shared.options.selection;
        Ok(catalog::sequences(&self.shared.control, selection).await?)
    }

    async fn position(&self) -> Result<Position, Failure> {
        Ok(catalog::flushed(&self.shared.control).await?)
    }

    async fn log_bytes(&self) -> Result<u64, Failure> {
        Ok(replication::lsn(&self.position().await?).0)
    }

    async fn health(&self) -> Result<SourceHealth, Failure> {
        let control = &self.shared.control;
        let position = catalog::flushed(control).await?;
        let slot = slot::look(control, &self.shared.names.slot).await?;
        Ok(SourceHealth {
            position,
            retained_bytes: slot.retained_bytes,
            safe_bytes: slot.safe_bytes,
        })
    }

    async fn drift(&self, tables: &[Table], held: Option<&HeldSnapshot>) -> Result<Drift, Failure> {
        let control = &self.shared.control;
        publication::ensure(control, &self.shared.names).await?;
        self.watch_appending(tables).await?;
        let mut drift = self.compare_placements(tables).await?;
        let stored = self.watch_storage(tables).await?;
        drift.warnings.extend(stored.warnings);
        drift.outdated.extend(stored.outdated);
        drift.outdated.sort_unstable();
        drift.outdated.dedup();
        drift.renewed.retain(|table| !drift.outdated.contains(&table.id));
        if self.shared.standby && !standby::is_connected(control).await? {
            drift.warnings.push(standby::ALONE.to_owned());
        }
        if let Some(held) = held
            && holder::large_objects(control).await? != handle(held)?.large_objects
        {
            drift.warnings.push(
                "large objects were written on the source since the snapshot; the log does not \
                 carry them: copy them again before the cutover"
                    .to_owned(),
            );
        }
        Ok(drift)
    }

    async fn stream(
        &self,
        from: Position,
        tables: &[Table],
        out: BatchSender,
        durable: watch::Receiver<Position>,
    ) -> Result<(), Failure> {
        let names = &self.shared.names;
        let from = replication::lsn(&from);
        slot::ensure_streamable(&self.shared.control, names, from).await?;
        let registry = self.registry(tables).await?;
        let source = self.clone();
        on_own_thread(async move {
            tokio::select! {
                ended = source.read_log(registry, &out, durable) => ended,
                () = replication::long_closed(&out) => Ok(()),
            }
        })
        .await
    }

    async fn remove(&self) -> Result<Removal, Failure> {
        let (control, names) = (&self.shared.control, &self.shared.names);
        holder::end(control, names).await?;
        let mut removal = Removal::default();
        if slot::drop_slot(control, &names.slot).await? {
            removal.dropped.push(format!("source: replication slot {}", names.slot));
        }
        if self.shared.standby {
            let left = publication::present(control, names).await?;
            let statement = |name: &String| {
                format!("on the source's primary: {};", publication::drop_publication(name))
            };
            removal.left.extend(left.iter().map(statement));
        } else {
            let dropped = publication::remove(control, names).await?;
            let names = dropped.into_iter().map(|name| format!("source: publication {name}"));
            removal.dropped.extend(names);
        }
        Ok(removal)
    }
}

fn handle(held: &HeldSnapshot) -> Result<Handle, SourceError> {
    let handle = serde_json::from_value(held.handle.clone());
    handle.map_err(|source| SourceError::Handle { source })
}
