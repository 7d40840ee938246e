//! A target in memory behind the applier's trait: transactions, a checkpoint, an epoch.
//!
//! What is committed outlives the applier; what is not goes with it. It can be told to lose the
//! connection before or after any commit or alteration, to be taken over before one, and to refuse a
//! shape of rows. The catalog beside it knows what older rows hold in a new column, or does not.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex};

use dunlin::model::{
    Alteration, Before, Code, Column, Disposition, DroppedColumn, Failure, Fault, Halt, NewColumn,
    Plan, Position, Relation, Table, TableId,
};
use dunlin::source::Catalog;
use dunlin::target::{Applied, Applier, Checkpoint};

use crate::source::{Spec, State};
use crate::target::Tables;

/// What goes wrong on the target.
#[derive(Debug, thiserror::Error)]
pub enum TargetFault {
    #[error("the connection is lost")]
    Lost,
    #[error("another process has taken the migration over")]
    Fenced,
    #[error("the table does not fit")]
    Misfit,
    #[error("a plan cannot be carried out exactly")]
    Refused,
}

impl Fault for TargetFault {
    fn disposition(&self) -> Disposition {
        match self {
            TargetFault::Lost => Disposition::Retry,
            TargetFault::Fenced => Halt::with(Code::Fenced, ""),
            TargetFault::Misfit => Halt::with(Code::SchemaChanged, ""),
            TargetFault::Refused => Halt::with(Code::RowMissing, ""),
        }
    }
}

/// The tables and their rows.
#[derive(Clone, Debug)]
pub struct Content {
    pub state: State,
    pub tables: Vec<Table>,
}

/// What is committed.
#[derive(Clone, Debug)]
pub struct Server {
    pub content: Content,
    pub checkpoint: Position,
    pub epoch: u64,
    pub transactions: u64,
    pub changes: u64,
    pub clashes: u64,
    /// Pieces of transactions that were larger than a group.
    pub pieces: u64,
    pub alterations: u64,
    /// What a crash leaves.
    pub durable: Option<Box<Server>>,
    pub crashes: u64,
}

impl Server {
    /// Makes durable what is committed.
    pub fn harden(&mut self) {
        self.durable = None;
        self.durable = Some(Box::new(self.clone()));
    }

    /// Forgets what is not durable. An epoch is: it is taken by a commit of its own.
    fn crash(&mut self) {
        let kept = self.durable.take().unwrap();
        let crashes = self.crashes + 1;
        *self = Server { epoch: self.epoch, crashes, durable: Some(kept.clone()), ..*kept };
    }
}

/// The source's catalog.
pub struct MemoryCatalog {
    pub specs: Arc<Vec<Spec>>,
    /// What older rows hold in columns that came.
    pub befores: HashMap<(TableId, String), Before>,
    /// It does not know that of any column.
    pub doubtful: bool,
}

impl MemoryCatalog {
    fn added(&self, table: &Table, column: &Column) -> NewColumn {
        let known = &self.befores[&(table.id, column.name.clone())];
        NewColumn {
            column: column.clone(),
            on: table.name.clone(),
            type_text: column.type_name.clone(),
            collation: None,
            default: None,
            generation: None,
            before: if self.doubtful { Before::Untold } else { known.clone() },
        }
    }
}

impl Catalog for MemoryCatalog {
    async fn alteration(
        &self,
        tables: &[Table],
        relation: &Relation,
    ) -> Result<Alteration, Failure> {
        tokio::task::yield_now().await;
        let table = tables.iter().find(|table| table.id == relation.table).unwrap();
        let spec = self.specs.iter().find(|spec| spec.table.id == table.id).unwrap();
        let (before, after) = (names(&table.columns), relation_names(relation));
        assert_ne!(before, after, "the catalog was asked in vain");
        let now = spec.columns.iter().filter(|column| after.contains(&*column.name));
        let came = now.clone().filter(|column| !before.contains(&*column.name));
        let dropped = before.difference(&after);
        let dropped = dropped.map(|name| DroppedColumn { name: (*name).into(), everywhere: true });
        Ok(Alteration {
            formerly: table.name.clone(),
            table: table.with_columns(now.cloned().collect()),
            added: came.map(|column| self.added(table, column)).collect(),
            dropped: dropped.collect(),
            renamed: Vec::new(),
            others: Vec::new(),
            exchanged: false,
        })
    }
}

/// The names of some columns.
pub fn names(columns: &[Column]) -> BTreeSet<&str> {
    columns.iter().map(|column| &*column.name).collect()
}

fn relation_names(relation: &Relation) -> BTreeSet<&str> {
    relation.columns.iter().map(|column| &*column.name).collect()
}

/// When the connection is lost. Plans and alterations are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    Never,
    /// The one with this number is not carried out.
    Before(u64),
    /// It is, and committed where it has a checkpoint, but the answer does not come.
    After(u64),
    /// Before it the server crashes and forgets what was not durable.
    Crash(u64),
    /// Before it another process takes the migration over.
    TakenOver(u64),
}

/// An applier over the server.
pub struct MemoryApplier {
    pub server: Arc<Mutex<Server>>,
    pub specs: Arc<Vec<Spec>>,
    pub epoch: u64,
    pub loss: Loss,
    /// Descriptions that are still accepted.
    pub describes: u64,
    /// Unique constraints besides the keys are there already.
    pub secondary: bool,
    /// Plans and alterations so far.
    pub acts: u64,
    pub open: Option<Content>,
    /// The open transaction altered tables.
    pub altered: bool,
}

impl MemoryApplier {
    /// Begins an act, or has it go wrong.
    fn begin(&mut self) -> Result<(), TargetFault> {
        self.acts += 1;
        let mut server = self.server.lock().unwrap();
        match self.loss {
            Loss::Before(act) if act == self.acts => Err(TargetFault::Lost),
            Loss::Crash(act) if act == self.acts => {
                server.crash();
                Err(TargetFault::Lost)
            }
            Loss::TakenOver(act) if act == self.acts => {
                server.epoch += 1;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn end(&self) -> Result<(), TargetFault> {
        if self.loss == Loss::After(self.acts) { Err(TargetFault::Lost) } else { Ok(()) }
    }

    /// What the open transaction sees.
    fn content(&self) -> Content {
        let committed = || self.server.lock().unwrap().content.clone();
        self.open.clone().unwrap_or_else(committed)
    }

    fn carry_out(&mut self, plan: &Plan) -> Applied {
        let Content { state, tables } = self.content();
        let mut target = Tables { specs: &self.specs, state, secondary: self.secondary };
        match target.apply(plan) {
            Ok(()) => {
                self.open = Some(Content { state: target.state, tables });
                Applied::Done
            }
            Err(obstacle) => {
                self.server.lock().unwrap().clashes += 1;
                Applied::Clash { table: obstacle.table(), failure: TargetFault::Refused.into() }
            }
        }
    }

    fn commit(&mut self, checkpoint: &Checkpoint) -> Result<(), TargetFault> {
        let mut server = self.server.lock().unwrap();
        if server.epoch != self.epoch {
            return Err(TargetFault::Fenced);
        }
        assert!(checkpoint.position.reaches(&server.checkpoint), "the checkpoint went back");
        let altered = std::mem::take(&mut self.altered);
        assert!(checkpoint.durable || !altered, "a crash could undo an alteration");
        server.content = self.open.take().unwrap();
        server.checkpoint = checkpoint.position.clone();
        server.transactions += checkpoint.transactions;
        server.changes += checkpoint.changes;
        if checkpoint.durable {
            server.harden();
        }
        Ok(())
    }
}

impl Applier for MemoryApplier {
    async fn describe(&mut self, table: &Table, relation: &Arc<Relation>) -> Result<(), Failure> {
        tokio::task::yield_now().await;
        let tables = self.content().tables;
        assert_eq!(tables.iter().find(|known| known.id == relation.table), Some(table));
        assert_eq!(names(&table.columns), relation_names(relation));
        self.describes = self.describes.checked_sub(1).ok_or(TargetFault::Misfit)?;
        Ok(())
    }

    async fn alter(&mut self, alteration: &Alteration) -> Result<Vec<Table>, Failure> {
        tokio::task::yield_now().await;
        self.begin()?;
        let table = &alteration.table;
        let open = self.open.as_mut().expect("an alteration joins the transaction that shows it");
        let spec = self.specs.iter().find(|spec| spec.table.id == table.id).unwrap();
        let rows = open.state.get_mut(&table.id).unwrap();
        for new in &alteration.added {
            let value = match &new.before {
                Before::Null => None,
                Before::Value(value) => Some(value.clone()),
                Before::Computed | Before::Untold => panic!("no value is known"),
            };
            let place = spec.place(&new.column.name);
            rows.iter_mut().for_each(|row| row[place].clone_from(&value));
        }
        for dropped in &alteration.dropped {
            let place = spec.place(&dropped.name);
            rows.iter_mut().for_each(|row| row[place] = None);
        }
        *open.tables.iter_mut().find(|known| known.id == table.id).unwrap() = table.clone();
        self.altered = true;
        self.server.lock().unwrap().alterations += 1;
        self.end()?;
        Ok(vec![table.clone()])
    }

    async fn apply(
        &mut self,
        plan: &Plan,
        checkpoint: Option<&Checkpoint>,
    ) -> Result<Applied, Failure> {
        tokio::task::yield_now().await;
        self.begin()?;
        if let clash @ Applied::Clash { .. } = self.carry_out(plan) {
            return Ok(clash);
        }
        match checkpoint {
            Some(checkpoint) => self.commit(checkpoint)?,
            None => self.server.lock().unwrap().pieces += 1,
        }
        self.end()?;
        Ok(Applied::Done)
    }

    fn harden(&mut self) -> impl Future<Output = Result<(), Failure>> + Send + 'static {
        let server = Arc::clone(&self.server);
        let crashes = server.lock().unwrap().crashes;
        async move {
            tokio::task::yield_now().await;
            let mut server = server.lock().unwrap();
            if server.crashes != crashes {
                return Err(TargetFault::Lost.into());
            }
            server.harden();
            Ok(())
        }
    }

    async fn abandon(&mut self) -> Result<(), Failure> {
        tokio::task::yield_now().await;
        self.open = None;
        self.altered = false;
        Ok(())
    }
}
