//! A target in memory behind the applier's trait: transactions, a checkpoint, an epoch.
//!
//! What is committed outlives the applier; what is not goes with it. It can be told to lose the
//! connection before or after any commit, and to refuse a shape of rows.

use std::sync::{Arc, Mutex};

use dunlin::model::{
    Alteration, Code, Disposition, Failure, Fault, Halt, Plan, Position, Relation, Table,
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

/// What is committed.
#[derive(Clone, Debug)]
pub struct Server {
    pub state: State,
    pub checkpoint: Position,
    pub epoch: u64,
    pub transactions: u64,
    pub changes: u64,
    pub clashes: u64,
    /// Pieces of transactions that were larger than a group.
    pub pieces: u64,
    /// What a crash leaves.
    pub durable: Option<Box<Server>>,
}

impl Server {
    /// Forgets what is not durable. An epoch is: it is taken by a commit of its own.
    fn crash(&mut self) {
        let kept = self.durable.take().unwrap();
        *self = Server { epoch: self.epoch, durable: Some(kept.clone()), ..*kept };
    }
}

/// A catalog that is never asked: the tables keep their columns.
pub struct NoCatalog;

impl Catalog for NoCatalog {
    async fn alteration(
        &self,
        _tables: &[Table],
        _relation: &Relation,
    ) -> Result<Alteration, Failure> {
        tokio::task::yield_now().await;
        panic!("no table has other columns than it had");
    }
}

/// When the connection is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    Never,
    /// The plan with this number is not committed.
    Before(u64),
    /// It is, but the answer does not come.
    After(u64),
    /// Before the plan with this number the server crashes and forgets what was not durable.
    Crash(u64),
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
    pub plans: u64,
    pub open: Option<State>,
}

impl MemoryApplier {
    fn carry_out(&mut self, plan: &Plan) -> Applied {
        let committed = || self.server.lock().unwrap().state.clone();
        let state = self.open.clone().unwrap_or_else(committed);
        let mut tables = Tables { specs: &self.specs, state, secondary: self.secondary };
        match tables.apply(plan) {
            Ok(()) => {
                self.open = Some(tables.state);
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
        server.state = self.open.take().unwrap();
        server.checkpoint = checkpoint.position.clone();
        server.transactions += checkpoint.transactions;
        server.changes += checkpoint.changes;
        if checkpoint.durable {
            server.durable = None;
            server.durable = Some(Box::new(server.clone()));
        }
        Ok(())
    }
}

impl Applier for MemoryApplier {
    async fn describe(&mut self, table: &Table, relation: &Arc<Relation>) -> Result<(), Failure> {
        tokio::task::yield_now().await;
        assert_eq!(table.id, relation.table);
        self.describes = self.describes.checked_sub(1).ok_or(TargetFault::Misfit)?;
        Ok(())
    }

    async fn alter(&mut self, _alteration: &Alteration) -> Result<Vec<Table>, Failure> {
        tokio::task::yield_now().await;
        panic!("no table has other columns than it had");
    }

    async fn apply(
        &mut self,
        plan: &Plan,
        checkpoint: Option<&Checkpoint>,
    ) -> Result<Applied, Failure> {
        tokio::task::yield_now().await;
        self.plans += 1;
        if self.loss == Loss::Before(self.plans) {
            return Err(TargetFault::Lost.into());
        }
        if self.loss == Loss::Crash(self.plans) {
            self.server.lock().unwrap().crash();
            return Err(TargetFault::Lost.into());
        }
        if let clash @ Applied::Clash { .. } = self.carry_out(plan) {
            return Ok(clash);
        }
        match checkpoint {
            Some(checkpoint) => self.commit(checkpoint)?,
            None => self.server.lock().unwrap().pieces += 1,
        }
        if self.loss == Loss::After(self.plans) {
            return Err(TargetFault::Lost.into());
        }
        Ok(Applied::Done)
    }

    async fn abandon(&mut self) -> Result<(), Failure> {
        tokio::task::yield_now().await;
        self.open = None;
        Ok(())
    }
}
